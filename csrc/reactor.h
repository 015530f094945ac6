/* reactor -- one thread's share of the connections, and the turn that serves them.
 *
 *   wait -> collect -> read -> expire -> post -> flush -> bury -> wait ...
 *
 *   wait     poll until the next timer, or not at all while there is work at hand
 *   collect  the inbox: what other threads have sent us
 *   read     ready connections, one read each, in turn
 *   expire   timers
 *   post     parcels to other reactors
 *   flush    every connection that owes bytes, one write each
 *   bury     the closed
 *
 * post always comes before flush: when a PONG leaves, everything published before it is
 * in the mailboxes of those who must deliver it.
 */
#ifndef ND_REACTOR_H
#define ND_REACTOR_H

#include "burst.h"
#include "cache.h"
#include "change.h"
#include "conn.h"
#include "engine.h"
#include "listener.h"
#include "lame.h"
#include "mailbox.h"
#include "mem.h"
#include "memo.h"
#include "nd.h"
#include "poll.h"
#include "settings.h"
#include "spin.h"
#include "timer.h"

enum nd_mail {
    ND_MAIL_MSG,    /* deliver.c */
    ND_MAIL_BURST,  /* burst.c */
    ND_MAIL_LISTEN, /* the rest: reactor.c */
    ND_MAIL_ADOPT,
    ND_MAIL_ADMIT,
    ND_MAIL_REFUSE,
    ND_MAIL_CLOSE,
    ND_MAIL_RELIEF,
    ND_MAIL_RECONFIGURE, /* change.c */
    ND_MAIL_LAME_DUCK,
    ND_MAIL_REGRANT,
};

struct nd_mail_socket { /* LISTEN, ADOPT */
    struct nd_parcel head;
    uint64_t cid;
    int fd;
    bool is_surplus; /* over max_connections: not counted, told so, closed */
};

struct nd_mail_answer { /* ADMIT, REFUSE, CLOSE */
    struct nd_parcel head;
    uint64_t cid;
    struct nd_rights rights; /* ADMIT: one reference to its permits */
    uint32_t options;
    bool has_note;       /* ADMIT: options, note and rights replace the old ones */
    uint32_t text_len;   /* the note, or the error text */
    uint32_t reason_len; /* behind it */
    uint32_t key_len;    /* ADMIT: of the CONNECT, behind that; 0 = not to be kept */
    uint32_t version;    /* of the settings that it is to be kept under */
    char text[];
};

struct nd_mail_relief {
    struct nd_parcel head;
    const struct nd_gate *gate; /* compared, never followed */
};

struct nd_mail_regrant {
    struct nd_parcel head;
    struct nd_changes *changes; /* for this reactor alone */
};

/* Written by the owner only, read by anyone: plain numbers that may be a little old. */
struct nd_tally {
    _Atomic uint64_t in_msgs, in_bytes, out_msgs, out_bytes;
    _Atomic uint64_t slow_consumers, stale_connections;
    _Atomic uint64_t cache_entries, cache_hits, cache_misses;
};

static inline void nd_tally_add(_Atomic uint64_t *number, uint64_t n)
{
    atomic_store_explicit(number,
                          atomic_load_explicit(number, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

struct nd_reactor {
    struct nd_engine *engine;
    struct nd_settings *settings; /* one reference; stays through a turn */
    struct nd_blob *info; /* INFO line up to the client's own fields, likewise */
    uint32_t index;
    bool is_stopping;
    bool is_ended;
    bool is_sweeping;  /* in the middle of a round through the cache */
    uint64_t swept_ms; /* when the last round moved */
    uint64_t now_ms;   /* of this turn */
    uint64_t stop_by_ms;

    struct nd_blob *slab; /* the read buffer, lent to one connection at a time */
    uint8_t *scratch;     /* room for one control line: a publisher's, respelled */
    uint8_t *bare_line;   /* and for one more: without the header's size */
    struct nd_pool pool;
    struct nd_cache *cache;
    struct nd_memo memo;
    struct nd_changes *changes; /* of rights, the latest first; see rights.c */
    struct nd_burst burst;      /* of the connection that is being read */
    uint64_t burst_mark;        /* the last one given out; see burst.c */
    uint64_t random;            /* state of a generator for queue picks */
    struct nd_outbox *outboxes; /* one for each reactor; our own stays empty */

    struct nd_conn *ready_first, *ready_last;
    uint32_t ready_count;
    struct nd_conn *dirty_first, *dirty_last;
    uint64_t dirty_bytes; /* delivered to our connections since the last flush */
    struct nd_conn *graveyard;
    struct nd_conn *alive_first, *alive_last; /* those that take part */
    uint32_t alive_count;
    struct nd_conn *unchecked_first, *unchecked_last; /* recheck.h */
    struct nd_hash conns;                             /* by cid; the dying too */
    struct nd_change change;
    struct nd_lame lame;

    struct nd_timers auth, admit, linger, ping, owed, heavy, pace, accept;
    struct nd_listener *listeners;
    struct nd_timer accept_pause; /* running: listeners are not watched */

    struct nd_spin spin;
    uint64_t read_bytes; /* in this turn, from all connections */
    struct nd_poll *poll;
    enum nd_source bell_source; /* what the poller knows the bell by */
    struct nd_poll_event events[ND_POLL_BATCH];

    /* Other threads' cache lines begin here. */
    _Alignas(64) struct nd_tally tally;
    _Atomic uint32_t paced_count; /* connections of ours that are halted */
    _Alignas(64) struct nd_inbox inbox;
    struct nd_page_pool pages; /* that we fill for others */
};

/* Retains *settings* and *info*. */
struct nd_reactor *nd_reactor_new(struct nd_engine *engine, uint32_t index,
                                  struct nd_settings *settings, struct nd_blob *info);
void nd_reactor_free(struct nd_reactor *reactor);
void nd_reactor_close_all(struct nd_reactor *reactor); /* sockets and subscriptions */

/* One turn, which waits up to *timeout_ms* (-1 = for ever); the time is *fixed_now_ms*,
 * or the system's if that is 0. Returns as nd_reactor_step does. */
int64_t nd_reactor_turn(struct nd_reactor *reactor, int64_t timeout_ms,
                        uint64_t fixed_now_ms);

void nd_reactor_collect(struct nd_reactor *reactor); /* cheap when there is no mail */
void nd_reactor_post(struct nd_reactor *reactor);
void nd_reactor_dispose(struct nd_page *page); /* mail that nobody will read */
void nd_reactor_flush(struct nd_reactor *reactor);

void nd_reactor_add_ready(struct nd_reactor *reactor, struct nd_conn *conn);
void nd_reactor_add_alive(struct nd_reactor *reactor, struct nd_conn *conn);
void nd_reactor_drop_alive(struct nd_reactor *reactor, struct nd_conn *conn);

static inline void nd_reactor_add_dirty(struct nd_reactor *reactor,
                                        struct nd_conn *conn)
{
    if (!conn->is_dirty) {
        conn->is_dirty = true;
        conn->next_dirty = NULL;
        *(reactor->dirty_last != NULL ? &reactor->dirty_last->next_dirty
                                      : &reactor->dirty_first) = conn;
        reactor->dirty_last = conn;
    }
}

struct nd_conn *nd_reactor_find(struct nd_reactor *reactor, uint64_t cid);

/* Uniform in [0, below). */
uint32_t nd_reactor_random(struct nd_reactor *reactor, uint32_t below);

#endif
