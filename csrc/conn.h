/* conn -- one connection: its states, what was read, what is owed, its end.
 *
 *             CONNECT             answer
 *   GREETED ----------> ADMITTING --------> OPEN --------> DRAINING ------> BURIED
 *      \___ another operation, no auth ______/
 *
 *   OPEN      a later CONNECT leads to ADMITTING and back
 *   DRAINING  nothing is read; what is owed goes out
 *   BURIED    freed when its subscriptions are gone from the index
 *
 * A connection belongs to one reactor for life, and everything here is that reactor's
 * thread alone. Nothing is freed under a caller's feet: closing sets a state and links
 * the connection to the graveyard, and only the end of the turn buries it.
 *
 * Reading. The reactor lends its slab for one read. Operations run right in it; what is
 * unfinished becomes the tail. A short tail is copied back to the front of the slab by
 * the next read; a long one (ND_DIRECT_MIN) stays, and the next read goes into it.
 */
#ifndef ND_CONN_H
#define ND_CONN_H

#include "hash.h"
#include "nd.h"
#include "outbuf.h"
#include "rights.h"
#include "sub.h"
#include "sys.h"
#include "timer.h"

struct nd_match;
struct nd_reactor;
struct nd_recheck;

/* What the poller hands back: the first member of everything that is watched. */
enum nd_source {
    ND_SOURCE_CONN,
    ND_SOURCE_LISTENER,
    ND_SOURCE_BELL,
};

enum nd_conn_state {
    ND_CONN_GREETED,   /* has our INFO, has said nothing yet */
    ND_CONN_ADMITTING, /* Python has its CONNECT or INFO; not read meanwhile */
    ND_CONN_OPEN,
    ND_CONN_DRAINING, /* owes nothing new; closes when all is written */
    ND_CONN_BURIED,   /* the socket is or will be closed this turn */
};

struct nd_conn {
    enum nd_source source; /* must be first */
    int fd;                /* -1 after the burial */
    uint8_t state;         /* enum nd_conn_state */
    uint8_t options;       /* bits of enum nd_connect_option */
    uint8_t pings_out;     /* PINGs without a PONG */
    bool is_traced : 1;
    bool is_surplus : 1;   /* over max_connections: not counted */
    bool is_known : 1;     /* was OPEN once: counts as a slow consumer, is logged */
    bool is_ending : 1;    /* the poller saw the end of stream or an error coming */
    bool is_ready : 1;     /* on the reactor's ready list */
    bool is_dirty : 1;     /* on its dirty list */
    bool is_blocked : 1;   /* the kernel took less than it was given */
    bool is_announced : 1; /* the tail's control line was checked already */
    bool is_direct : 1;    /* the tail is filled by reading into it */
    bool has_backlog : 1;  /* the tail holds operations that could have run */
    bool is_yielding : 1;  /* it had its turn of them; the rest is for the next */
    bool is_halted : 1;    /* paced: its next publish waits; brake.h */
    bool is_sated : 1;     /* owes too many replies: not read until they are gone */
    bool is_lingering : 1; /* sent -ERR: shut down for writing, input is thrown away */
    bool has_ponged : 1;   /* has had a PONG: an INFO may come at any time */
    bool has_missed_info : 1; /* there is a newer INFO than it was sent */
    bool was_heard : 1;       /* something has come since the last PING */
    bool was_full : 1;        /* wanted more subscriptions than it may have */

    struct nd_reactor *owner;
    uint64_t cid; /* never reused; cid % reactors is the owner */
    struct nd_gate *gate;
    struct nd_rights rights; /* one reference to its permits */
    struct nd_outbuf out;
    uint64_t in_msgs, in_bytes, out_msgs, out_bytes;
    uint64_t burst_mark; /* of the burst that has seen it last; burst.c */

    struct nd_blob *tail; /* unfinished, from the first byte of an operation; or NULL */
    uint64_t tail_len;
    uint64_t tail_need;    /* length of the whole operation; 0 = not known yet */
    uint64_t sated_bytes;  /* to be written before a sated one is read again */
    uint32_t reply_bytes;  /* of PONG, +OK, -ERR and 503 since all was written */
    uint32_t lingered;     /* bytes thrown away */
    uint32_t round;        /* the last that it has taken part in; change.h */
    uint64_t unsent;       /* what the kernel held when last asked */
    uint64_t progress_ms;  /* when the peer last took something, while blocked */
    struct nd_gate *pacer; /* who halted us last; one reference, or NULL */
    struct nd_match *aim;  /* what we write to under pressure; one reference, or NULL */
    int64_t toll;          /* bytes of the publish that waits, or of the last one */
    int64_t prepaid;       /* bytes of its credit that are reserved for us */

    struct nd_hash sids;        /* our subscriptions, by sid */
    struct nd_recheck *recheck; /* the others of them, or NULL */
    struct nd_hash_link by_cid;
    struct nd_conn *next_ready, *next_dirty, *next_grave;
    struct nd_conn *prev_alive, *next_alive;
    struct nd_timer phase; /* auth, admit or linger, as the state is */
    struct nd_timer ping;
    struct nd_timer owed;  /* while blocked */
    struct nd_timer heavy; /* while our gate is heavy */
    struct nd_timer pace;  /* while we are paced */

    struct nd_blob *note; /* Python's, from the last CONNECT, all of it; or NULL */
    uint8_t ip_len;       /* of address */
    char address[ND_ADDRESS_SIZE];
};

/* Takes *fd*, which nd_sys_prepare_socket has seen, and makes the connection known to its reactor; greets it with INFO.
 * ND_ENOMEM or ND_ESYS: the descriptor is closed. */
int nd_conn_adopt(struct nd_reactor *reactor, int fd, uint64_t cid,
                  struct nd_conn **conn);

/* One read, and all that can be done with it. True: there may be more at once. */
bool nd_conn_read(struct nd_conn *conn);

/* Writes what is owed, as far as the kernel takes it. */
void nd_conn_flush(struct nd_conn *conn);

/* Reading may go on, after an answer, a pace window or a written backlog. */
void nd_conn_resume(struct nd_conn *conn);

/* Starts the timers that the settings ask for and that do not run. */
void nd_conn_start_timers(struct nd_conn *conn);

void nd_conn_inform(struct nd_conn *conn); /* INFO, as a reply */

/* A direct answer (PONG, +OK ...): appended, counted, flushed when the turn ends. */
void nd_conn_reply(struct nd_conn *conn, struct nd_slice bytes);

/* What is owed, then -ERR '*text*', then the end. An empty text sends nothing. */
void nd_conn_fail(struct nd_conn *conn, struct nd_slice text);

void nd_conn_drain(struct nd_conn *conn); /* what is owed, then the end */
void nd_conn_close(struct nd_conn *conn); /* now; what is owed is dropped */
void nd_conn_cut(struct nd_conn *conn); /* close a slow consumer: counted and logged */

/* From the graveyard: closes the socket, forgets up to *budget* subscriptions. True: it
 * is freed; false: it must come again. */
bool nd_conn_bury(struct nd_conn *conn, uint32_t *budget);

void nd_conn_on_owed(struct nd_conn *conn); /* timer: has the peer made progress? */

/* Moves between the states that have a timer of their own; the old one's stops. */
void nd_conn_enter(struct nd_conn *conn, enum nd_conn_state state);

/* Would we have seen an answer, had it sent one? Not while it is not read. */
bool nd_conn_is_heard(const struct nd_conn *conn);

static inline bool nd_conn_is_alive(const struct nd_conn *conn)
{
    return conn->state < ND_CONN_DRAINING;
}

/* A line of the log about this connection, "ip:port - cid:n - text". */
void nd_conn_log(struct nd_conn *conn, enum nd_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool nd_conn_logs_debug(const struct nd_conn *conn);

/* "->> [VERB arg]" and "->> MSG_PAYLOAD: [...]"; call only if is_traced. */
void nd_conn_trace(struct nd_conn *conn, const char *arrow, const char *verb,
                   struct nd_slice arg);
void nd_conn_trace_payload(struct nd_conn *conn, struct nd_slice payload);

/* "ip:port - cid:n"; returns its length. */
int nd_conn_name(const struct nd_conn *conn, char *to, size_t size);

#endif
