#include "reactor.h"

#include <stdlib.h>

#include "brake.h"
#include "client.h"
#include "recheck.h"

enum {
    SWEEP_SLICE = 64, /* cached results looked at in one turn */
    SWEEP_MS = 1000   /* between two rounds through the cache */
};

/* ---- life ---- */

static void init_timers(struct nd_reactor *reactor)
{
    const struct nd_options *options = &reactor->settings->options;
    nd_timers_init(&reactor->auth, options->auth_timeout_ms);
    nd_timers_init(&reactor->admit, ND_ADMIT_MS);
    nd_timers_init(&reactor->ping, options->ping_interval_ms);
    nd_timers_init(&reactor->linger, ND_LINGER_MS);
    nd_timers_init(&reactor->owed, ND_OWED_MS);
    nd_timers_init(&reactor->heavy, ND_PACE_MS);
    nd_timers_init(&reactor->pace, ND_PACE_MS);
    nd_timers_init(&reactor->accept, ND_ACCEPT_PAUSE_MS);
}

static int fill(struct nd_reactor *reactor)
{
    struct nd_engine *engine = reactor->engine;
    /* For the longest line that may ever be allowed: what is not used costs nothing. */
    size_t line = ND_LINE_CEILING + 64;
    reactor->slab = nd_blob_new(ND_READ_SIZE + line);
    reactor->scratch = malloc(2 * line);
    reactor->bare_line = reactor->scratch + line;
    reactor->outboxes = calloc(engine->reactor_count, sizeof(*reactor->outboxes));
    reactor->cache = nd_cache_new(engine->index, &engine->key);
    reactor->poll = nd_poll_open();
    if (reactor->slab == NULL || reactor->scratch == NULL ||
        reactor->outboxes == NULL || reactor->cache == NULL || reactor->poll == NULL) {
        return ND_ENOMEM;
    }
    for (uint32_t i = 0; i < engine->reactor_count; i++) {
        reactor->outboxes[i].pool = &reactor->pages;
    }
    reactor->random = nd_hash_u64(&engine->key, reactor->index) | 1;
    return nd_poll_add_level(reactor->poll, reactor->inbox.bell.read_fd,
                             &reactor->bell_source);
}

struct nd_reactor *nd_reactor_new(struct nd_engine *engine, uint32_t index,
                                  struct nd_settings *settings, struct nd_blob *info)
{
    struct nd_reactor *reactor;
    if (posix_memalign((void **)&reactor, 64, sizeof(*reactor)) != 0) {
        return NULL;
    }
    memset(reactor, 0, sizeof(*reactor));
    reactor->engine = engine;
    reactor->index = index;
    reactor->bell_source = ND_SOURCE_BELL;
    reactor->settings = settings;
    reactor->info = info;
    nd_hash_init(&reactor->conns);
    init_timers(reactor);
    if (nd_inbox_init(&reactor->inbox) != ND_OK) {
        free(reactor);
        return NULL;
    }
    nd_settings_retain(settings);
    nd_blob_retain(info);
    if (fill(reactor) != ND_OK) {
        nd_reactor_free(reactor);
        return NULL;
    }
    return reactor;
}

static void bury(struct nd_reactor *reactor, uint32_t budget);

void nd_reactor_close_all(struct nd_reactor *reactor)
{
    nd_listeners_close(reactor);
    while (reactor->conns.used > 0 || reactor->graveyard != NULL) {
        struct nd_hash_link *link = nd_hash_any(&reactor->conns);
        if (link != NULL) {
            struct nd_conn *conn = nd_container(link, struct nd_conn, by_cid);
            nd_conn_close(conn);
        }
        /* Closing one may have made others ready: nobody will be served any more. */
        reactor->ready_first = reactor->ready_last = NULL;
        reactor->dirty_first = reactor->dirty_last = NULL;
        reactor->unchecked_first = reactor->unchecked_last = NULL;
        for (struct nd_conn *c = reactor->graveyard; c != NULL; c = c->next_grave) {
            c->is_ready = c->is_dirty = false;
            if (c->recheck != NULL) {
                c->recheck->is_listed = false;
            }
        }
        bury(reactor, UINT32_MAX);
    }
}

void nd_reactor_free(struct nd_reactor *reactor)
{
    if (reactor->poll != NULL) {
        nd_poll_close(reactor->poll);
    }
    for (uint32_t i = 0;
         reactor->outboxes != NULL && i < reactor->engine->reactor_count; i++) {
        nd_reactor_dispose(reactor->outboxes[i].first);
        nd_outbox_close_room(&reactor->outboxes[i]);
    }
    nd_reactor_dispose(nd_inbox_take(&reactor->inbox));
    nd_inbox_fini(&reactor->inbox);
    if (reactor->cache != NULL) {
        nd_cache_free(reactor->cache);
    }
    if (reactor->slab != NULL) {
        nd_blob_release(reactor->slab);
    }
    nd_memo_fini(&reactor->memo);
    nd_change_fini(&reactor->change);
    nd_settings_release(reactor->settings);
    nd_blob_release(reactor->info);
    nd_changes_free(reactor->changes);
    nd_page_pool_fini(&reactor->pages);
    nd_pool_fini(&reactor->pool);
    nd_hash_fini(&reactor->conns);
    free(reactor->outboxes);
    free(reactor->scratch);
    free(reactor);
}

/* ---- small services ---- */

void nd_reactor_add_ready(struct nd_reactor *reactor, struct nd_conn *conn)
{
    if (!conn->is_ready) {
        conn->is_ready = true;
        conn->next_ready = NULL;
        *(reactor->ready_last != NULL ? &reactor->ready_last->next_ready
                                      : &reactor->ready_first) = conn;
        reactor->ready_last = conn;
        reactor->ready_count++;
    }
}

void nd_reactor_add_alive(struct nd_reactor *reactor, struct nd_conn *conn)
{
    conn->prev_alive = reactor->alive_last;
    conn->next_alive = NULL;
    *(reactor->alive_last != NULL ? &reactor->alive_last->next_alive
                                  : &reactor->alive_first) = conn;
    reactor->alive_last = conn;
    reactor->alive_count++;
}

void nd_reactor_drop_alive(struct nd_reactor *reactor, struct nd_conn *conn)
{
    *(conn->prev_alive != NULL ? &conn->prev_alive->next_alive
                               : &reactor->alive_first) = conn->next_alive;
    *(conn->next_alive != NULL ? &conn->next_alive->prev_alive : &reactor->alive_last) =
        conn->prev_alive;
    reactor->alive_count--;
}

struct nd_conn *nd_reactor_find(struct nd_reactor *reactor, uint64_t cid)
{
    uint64_t hash = nd_hash_u64(&reactor->engine->key, cid);
    struct nd_hash_link *link = NULL;
    while ((link = nd_hash_find(&reactor->conns, hash, link)) != NULL) {
        struct nd_conn *conn = nd_container(link, struct nd_conn, by_cid);
        if (conn->cid == cid) {
            return conn;
        }
    }
    return NULL;
}

uint32_t nd_reactor_random(struct nd_reactor *reactor, uint32_t below)
{
    uint64_t x = reactor->random; /* xorshift64* */
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    reactor->random = x;
    return (uint32_t)(((x * 0x2545F4914F6CDD1DULL >> 32) * below) >> 32);
}

/* ---- the other steps of a turn ---- */

static void note_event(struct nd_reactor *reactor, const struct nd_poll_event *event)
{
    switch (*(enum nd_source *)event->who) {
    case ND_SOURCE_BELL:
        nd_bell_clear(&reactor->inbox.bell);
        break;
    case ND_SOURCE_LISTENER:
        nd_listener_accept(reactor, event->who);
        break;
    case ND_SOURCE_CONN: {
        struct nd_conn *conn = event->who;
        conn->is_ending |= event->is_ending;
        if (event->writable && conn->is_blocked) {
            conn->is_blocked = false;
            nd_reactor_add_dirty(reactor, conn);
        }
        if (event->readable) {
            nd_reactor_add_ready(reactor, conn);
        }
    }
    }
}

/* Each ready connection once; who has more goes to the back of the list. */
static void read_ready(struct nd_reactor *reactor)
{
    for (uint32_t left = reactor->ready_count; left > 0; left--) {
        struct nd_conn *conn = reactor->ready_first;
        reactor->ready_first = conn->next_ready;
        if (reactor->ready_first == NULL) {
            reactor->ready_last = NULL;
        }
        reactor->ready_count--;
        conn->is_ready = false;
        if (!nd_blob_is_sole(reactor->slab)) {
            /* Large payloads are owed straight out of the read buffer. */
            nd_reactor_post(reactor);
            nd_reactor_flush(reactor);
            assert(nd_blob_is_sole(reactor->slab));
        }
        if (nd_conn_read(conn)) {
            nd_reactor_add_ready(reactor, conn);
        }
    }
}

static void expire(struct nd_reactor *reactor)
{
    static const struct {
        size_t list, timer;
        void (*expired)(struct nd_conn *conn);
    } kinds[] = {
#define KIND(list, timer, function) \
    {offsetof(struct nd_reactor, list), offsetof(struct nd_conn, timer), function}
        KIND(auth, phase, nd_client_on_auth), KIND(admit, phase, nd_client_on_auth),
        KIND(linger, phase, nd_conn_close),   KIND(ping, ping, nd_client_on_ping),
        KIND(owed, owed, nd_conn_on_owed),    KIND(heavy, heavy, nd_brake_on_heavy),
        KIND(pace, pace, nd_brake_on_pace),
#undef KIND
    };
    struct nd_timer *timer;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
        struct nd_timers *list = (void *)((char *)reactor + kinds[i].list);
        uint32_t left = ND_EXPIRE_SLICE;
        while (left-- > 0 &&
               (timer = nd_timers_take_due(list, reactor->now_ms)) != NULL) {
            kinds[i].expired((void *)((char *)timer - kinds[i].timer));
        }
    }
    if (nd_timers_take_due(&reactor->accept, reactor->now_ms) != NULL) {
        nd_listeners_resume(reactor);
    }
    if (reactor->lame.is_on && reactor->now_ms >= reactor->lame.due_ms) {
        nd_lame_send_away(reactor);
    }
}

void nd_reactor_flush(struct nd_reactor *reactor)
{
    struct nd_conn *conn = reactor->dirty_first;
    reactor->dirty_first = reactor->dirty_last = NULL;
    reactor->dirty_bytes = 0;
    while (conn != NULL) {
        struct nd_conn *next = conn->next_dirty;
        conn->is_dirty = false;
        nd_conn_flush(conn);
        conn = next;
    }
}

static void bury(struct nd_reactor *reactor, uint32_t budget)
{
    struct nd_conn *conn = reactor->graveyard;
    reactor->graveyard = NULL;
    while (conn != NULL) {
        struct nd_conn *next = conn->next_grave;
        if (!nd_conn_bury(conn, &budget)) {
            conn->next_grave = reactor->graveyard;
            reactor->graveyard = conn;
        }
        conn = next;
    }
}

static int64_t until_due(const struct nd_reactor *reactor)
{
    const struct nd_timers *lists[] = {
        &reactor->auth, &reactor->admit, &reactor->linger, &reactor->ping,
        &reactor->owed, &reactor->heavy, &reactor->pace,   &reactor->accept};
    uint64_t due_ms = reactor->is_stopping ? reactor->stop_by_ms : UINT64_MAX;
    if (reactor->lame.is_on && reactor->alive_count > 0) {
        due_ms = ND_MIN(due_ms, reactor->lame.due_ms);
    }
    bool has_work = reactor->ready_first != NULL || reactor->graveyard != NULL ||
                    reactor->change.settings != NULL || reactor->change.is_going_round;
    if ((has_work && !reactor->is_stopping) || reactor->dirty_first != NULL ||
        reactor->is_sweeping || reactor->unchecked_first != NULL ||
        nd_inbox_has_mail(&reactor->inbox)) {
        return 0;
    }
    for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++) {
        due_ms = ND_MIN(due_ms, nd_timers_due(lists[i]));
    }
    if (due_ms == UINT64_MAX) {
        return -1;
    }
    return due_ms > reactor->now_ms ? (int64_t)(due_ms - reactor->now_ms) : 0;
}

/* Once a second, if it is awake anyway, a reactor lets go of results that are no longer
 * true, in slices; so they do not keep the dead alive. */
static void sweep(struct nd_reactor *reactor)
{
    if (!reactor->is_sweeping && reactor->now_ms - reactor->swept_ms < SWEEP_MS) {
        return;
    }
    reactor->is_sweeping = !nd_cache_sweep(reactor->cache, SWEEP_SLICE);
    reactor->swept_ms = reactor->now_ms;
}

static void publish_cache_counts(struct nd_reactor *reactor)
{
    struct nd_cache_counts counts;
    nd_cache_count(reactor->cache, &counts);
    atomic_store_explicit(&reactor->tally.cache_entries, counts.entries,
                          memory_order_relaxed);
    atomic_store_explicit(&reactor->tally.cache_hits, counts.hits,
                          memory_order_relaxed);
    atomic_store_explicit(&reactor->tally.cache_misses, counts.misses,
                          memory_order_relaxed);
}

/* ---- the end ---- */

/* Stops reading; ends when every reactor has, their mail is served, and what is owed is
 * written or has had its time. */
static void stop_step(struct nd_reactor *reactor)
{
    struct nd_engine *engine = reactor->engine;
    if (!reactor->is_stopping) {
        reactor->is_stopping = true;
        reactor->stop_by_ms = reactor->now_ms + ND_STOP_MS;
        nd_listeners_close(reactor);
        nd_reactor_post(reactor);
        if (atomic_fetch_add(&engine->quiet, 1) + 1 == engine->reactor_count) {
            for (uint32_t i = 0; i < engine->reactor_count; i++) {
                nd_bell_ring(&engine->reactors[i]->inbox.bell);
            }
        }
    }
    bool is_quiet = atomic_load(&engine->quiet) == engine->reactor_count;
    bool is_written = reactor->owed.first == NULL && reactor->dirty_first == NULL;
    bool is_late = reactor->now_ms >= reactor->stop_by_ms;
    if (is_late || (is_quiet && is_written && !nd_inbox_has_mail(&reactor->inbox))) {
        nd_reactor_close_all(reactor);
        reactor->is_ended = true;
        if (atomic_fetch_add(&engine->ended, 1) + 1 == engine->reactor_count) {
            nd_events_close(&engine->events);
        }
    }
}

/* ---- the turn ---- */

/* Looks again and again for a moment, if that is likely to be worth it; see spin.h.
 * Returns the number of events; 0 = none, unless there is mail. */
static int spin(struct nd_reactor *reactor)
{
    int count;
    uint64_t until_us = nd_sys_now_us() + ND_SPIN_US;
    do {
        nd_sys_yield(); /* who is to give us work may be waiting for this processor */
        count = nd_poll_wait(reactor->poll, 0, reactor->events);
    } while (count == 0 && !nd_inbox_has_mail(&reactor->inbox) &&
             nd_sys_now_us() < until_us);
    nd_spin_ended(&reactor->spin, count > 0 || nd_inbox_has_mail(&reactor->inbox));
    return count;
}

static int doze(struct nd_reactor *reactor, int64_t timeout_ms)
{
    publish_cache_counts(reactor);
    nd_cache_rest(reactor->cache);
    uint64_t from_us = nd_sys_now_us();
    int count = nd_poll_wait(reactor->poll, timeout_ms, reactor->events);
    nd_inbox_wake(&reactor->inbox);
    nd_spin_slept(&reactor->spin, nd_sys_now_us() - from_us);
    return count;
}

static void wait_for_events(struct nd_reactor *reactor, int64_t timeout_ms,
                            uint64_t fixed_now_ms)
{
    int count = 0;
    if (timeout_ms != 0 && reactor->read_bytes < ND_SPIN_BYTES &&
        nd_spin_is_due(&reactor->spin)) {
        count = spin(reactor);
    }
    if (count == 0) {
        count = timeout_ms != 0 && nd_inbox_doze(&reactor->inbox)
                    ? doze(reactor, timeout_ms)
                    : nd_poll_wait(reactor->poll, 0, reactor->events);
    }
    reactor->now_ms = fixed_now_ms > 0 ? fixed_now_ms : nd_sys_now_ms();
    for (int i = 0; i < count; i++) {
        note_event(reactor, &reactor->events[i]);
    }
}

int64_t nd_reactor_turn(struct nd_reactor *reactor, int64_t timeout_ms,
                        uint64_t fixed_now_ms)
{
    wait_for_events(reactor, timeout_ms, fixed_now_ms);
    reactor->read_bytes = 0;
    nd_reactor_collect(reactor);
    if (nd_unlikely(reactor->change.settings != NULL)) {
        nd_change_apply(reactor);
    }
    if (nd_unlikely(reactor->change.is_going_round)) {
        nd_change_go_round(reactor);
    }
    bool is_stopping = atomic_load(&reactor->engine->is_stopping);
    if (!is_stopping) {
        read_ready(reactor);
    }
    nd_recheck_run(reactor);
    expire(reactor);
    nd_reactor_post(reactor);
    nd_reactor_flush(reactor);
    bury(reactor, ND_BURY_SLICE);
    nd_reactor_post(reactor); /* of those who are at ease now, or gone: see brake.h */
    if (is_stopping) {
        stop_step(reactor);
    }
    sweep(reactor);
    return reactor->is_ended ? ND_ESTATE : until_due(reactor);
}
