#include "conn.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "brake.h"
#include "client.h"
#include "reactor.h"

enum { IOV_COUNT = 64 }; /* pieces of one write */

/* ---- life ---- */

static int greet(struct nd_conn *conn)
{
    struct nd_engine *engine = conn->owner->engine;
    char own[ND_ADDRESS_SIZE + 64];
    int len = snprintf(own, sizeof(own),
                       ",\"client_id\":%llu,\"client_ip\":\"%.*s\"} \r\n",
                       (unsigned long long)conn->cid, conn->ip_len, conn->address);
    struct nd_pool *pool = &conn->owner->pool;
    int rc = nd_outbuf_append(&conn->out, pool, nd_slice(engine->info, engine->info_len));
    if (rc == ND_OK) {
        rc = nd_outbuf_append(&conn->out, pool, nd_slice(own, (size_t)len));
    }
    nd_reactor_add_dirty(conn->owner, conn);
    return rc;
}

static void free_conn(struct nd_conn *conn)
{
    nd_outbuf_fini(&conn->out, &conn->owner->pool);
    nd_hash_fini(&conn->sids);
    if (conn->tail != NULL) {
        nd_blob_release(conn->tail);
    }
    if (conn->gate != NULL) {
        nd_gate_release(conn->gate);
    }
    free(conn->note);
    free(conn);
}

static int make_known(struct nd_conn *conn)
{
    struct nd_reactor *reactor = conn->owner;
    conn->gate = nd_gate_new(conn->cid);
    if (conn->gate == NULL) {
        return ND_ENOMEM;
    }
    int rc = nd_poll_add(reactor->poll, conn->fd, conn);
    if (rc == ND_OK) {
        conn->by_cid.hash = nd_hash_u64(&reactor->engine->key, conn->cid);
        nd_hash_insert(&reactor->conns, &conn->by_cid);
    }
    return rc;
}

int nd_conn_adopt(struct nd_reactor *reactor, int fd, uint64_t cid, struct nd_conn **out)
{
    struct nd_engine *engine = reactor->engine;
    struct nd_conn *conn = calloc(1, sizeof(*conn));
    if (conn == NULL || nd_sys_prepare_socket(fd) != 0) {
        free(conn);
        nd_sys_close(fd);
        return ND_ENOMEM;
    }
    conn->source = ND_SOURCE_CONN;
    conn->fd = fd;
    conn->state = ND_CONN_GREETED;
    conn->options = ND_OPT_VERBOSE | ND_OPT_PEDANTIC | ND_OPT_ECHO;
    conn->is_traced = engine->options.trace;
    conn->owner = reactor;
    conn->cid = cid;
    conn->ip_len = (uint8_t)nd_sys_peer(fd, conn->address);
    nd_outbuf_init(&conn->out);
    nd_hash_init(&conn->sids);
    int rc = make_known(conn);
    if (rc != ND_OK) {
        nd_sys_close(fd);
        free_conn(conn);
        return rc;
    }
    if (engine->options.auth_required) {
        nd_timer_start(&reactor->auth, &conn->phase, reactor->now_ms);
    }
    if (engine->options.ping_interval_ms > 0) {
        nd_timer_start(&reactor->ping, &conn->ping, reactor->now_ms);
    }
    if (nd_conn_logs_debug(conn)) {
        nd_conn_log(conn, ND_LEVEL_DEBUG, "Client connection created");
    }
    *out = conn;
    if (greet(conn) != ND_OK) {
        nd_conn_close(conn);
    }
    return ND_OK;
}

void nd_conn_enter(struct nd_conn *conn, enum nd_conn_state state)
{
    struct nd_reactor *reactor = conn->owner;
    struct nd_timers *const lists[] = {
        [ND_CONN_GREETED] = &reactor->auth,
        [ND_CONN_ADMITTING] = &reactor->admit,
        [ND_CONN_DRAINING] = &reactor->linger,
    };
    if (nd_timer_is_running(&conn->phase)) {
        nd_timer_stop(lists[conn->state], &conn->phase);
    }
    if (conn->state == ND_CONN_ADMITTING) {
        atomic_fetch_sub(&reactor->engine->unanswered, 1);
    }
    conn->state = state;
    if (state == ND_CONN_ADMITTING) {
        atomic_fetch_add(&reactor->engine->unanswered, 1);
        nd_timer_start(&reactor->admit, &conn->phase, reactor->now_ms);
    }
    conn->is_known |= state == ND_CONN_OPEN;
}

/* The start of the end: takes no part any longer, whatever is still to be written. */
static void retire(struct nd_conn *conn)
{
    atomic_store_explicit(&conn->gate->dead, true, memory_order_release);
    nd_brake_release(conn);
    nd_brake_forget(conn);
    nd_timer_stop(&conn->owner->ping, &conn->ping);
}

void nd_conn_close(struct nd_conn *conn)
{
    struct nd_reactor *reactor = conn->owner;
    if (conn->state == ND_CONN_BURIED) {
        return;
    }
    if (nd_conn_is_alive(conn)) {
        retire(conn);
    }
    nd_conn_enter(conn, ND_CONN_BURIED);
    nd_timer_stop(&reactor->owed, &conn->owed);
    nd_outbuf_fini(&conn->out, &reactor->pool);
    conn->next_grave = reactor->graveyard;
    reactor->graveyard = conn;
}

void nd_conn_drain(struct nd_conn *conn)
{
    if (nd_conn_is_alive(conn)) {
        retire(conn);
        nd_conn_enter(conn, ND_CONN_DRAINING);
        nd_reactor_add_dirty(conn->owner, conn);
    }
}

void nd_conn_fail(struct nd_conn *conn, struct nd_slice text)
{
    if (!nd_conn_is_alive(conn)) {
        return;
    }
    if (text.len > 0) {
        nd_conn_reply(conn, ND_LIT("-ERR '"));
        nd_conn_reply(conn, text);
        nd_conn_reply(conn, ND_LIT("'\r\n"));
    }
    nd_conn_drain(conn);
    conn->is_lingering = conn->state == ND_CONN_DRAINING;
}

void nd_conn_cut(struct nd_conn *conn)
{
    if (conn->is_known) {
        nd_tally_add(&conn->owner->tally.slow_consumers, 1);
        nd_conn_log(conn, ND_LEVEL_INFO, "Slow Consumer Detected");
    }
    nd_conn_close(conn);
}

bool nd_conn_bury(struct nd_conn *conn, uint32_t *budget)
{
    struct nd_reactor *reactor = conn->owner;
    assert(conn->state == ND_CONN_BURIED);
    if (conn->fd >= 0) {
        if (nd_conn_logs_debug(conn)) {
            nd_conn_log(conn, ND_LEVEL_DEBUG, "Client connection closed");
        }
        nd_poll_forget(reactor->poll, conn->fd);
        nd_sys_close(conn->fd);
        conn->fd = -1;
        nd_hash_remove(&reactor->conns, &conn->by_cid);
        atomic_fetch_sub(&reactor->engine->connections, !conn->is_surplus);
    }
    nd_client_forget(conn, budget);
    if (conn->sids.used > 0 || conn->is_ready || conn->is_dirty) {
        return false;
    }
    free_conn(conn);
    return true;
}

/* ---- reading ---- */

/* May run operations; the reasons not to, one by one. */
static bool can_run(const struct nd_conn *conn)
{
    return (conn->state == ND_CONN_OPEN || conn->state == ND_CONN_GREETED) &&
           !conn->is_halted && /* paced for a heavy subscriber */
           !conn->is_sated;    /* does not read our replies */
}

bool nd_conn_is_heard(const struct nd_conn *conn)
{
    return can_run(conn) && !conn->is_ready;
}

static bool can_read(const struct nd_conn *conn)
{
    return can_run(conn) || (conn->is_lingering && conn->state == ND_CONN_DRAINING);
}

static void tell_poller(struct nd_conn *conn)
{
    if (conn->state != ND_CONN_BURIED) {
        nd_poll_want(conn->owner->poll, conn->fd, can_read(conn), conn->is_blocked);
    }
}

void nd_conn_resume(struct nd_conn *conn)
{
    tell_poller(conn);
    if (can_read(conn)) {
        nd_reactor_add_ready(conn->owner, conn);
    }
}

/* Runs one PUB or HPUB, whose control line is *line* bytes long, if all of it is there.
 * Returns its length; 0 if not, and then *need is what it will be. */
static size_t run_publish(struct nd_conn *conn, const struct nd_op *op, size_t line,
                          struct nd_slice bytes, struct nd_blob *blob, uint64_t *need)
{
    if (!conn->is_announced && !nd_client_announce(conn, op)) {
        return 0;
    }
    conn->is_announced = true;
    const uint8_t *body = bytes.ptr + line;
    size_t have = bytes.len - line;
    if ((have > op->size && body[op->size] != '\r') ||
        (have > op->size + 1 && body[op->size + 1] != '\n')) {
        struct nd_op at = *op;
        at.error_at = line + op->size;
        nd_client_reject(conn, ND_PARSE_VERB, &at, bytes);
        return 0;
    }
    *need = line + op->size + 2;
    if (have < op->size + 2) {
        return 0;
    }
    conn->is_announced = false;
    nd_client_publish(conn, op, nd_slice(body, op->size + 2), blob);
    return *need;
}

/* The first word of a connection decides whether it must be a CONNECT. */
static bool may_begin(struct nd_conn *conn, uint8_t first)
{
    if ((first | 0x20) == 'c' || !conn->owner->engine->options.auth_required) {
        return true;
    }
    nd_conn_log(conn, ND_LEVEL_ERROR, "Authorization Error");
    nd_conn_fail(conn, ND_LIT("Authorization Violation"));
    return false;
}

/* The control line of the last PUB of a run. Publishers repeat themselves: a line that is
 * the same to the letter needs neither parsing nor checking again. */
struct last_line {
    const uint8_t *ptr;
    size_t len; /* 0 = none */
    struct nd_op op;
};

static bool is_repeated(const struct last_line *last, struct nd_slice rest)
{
    if (last->len == 0 || rest.len < last->len) {
        return false;
    }
    const uint8_t *a = last->ptr, *b = rest.ptr;
    size_t end = last->len - sizeof(uint64_t); /* no PUB is shorter */
    uint64_t x, y;
    for (size_t at = 0; at < end; at += sizeof(x)) {
        memcpy(&x, a + at, sizeof(x));
        memcpy(&y, b + at, sizeof(y));
        if (x != y) {
            return false;
        }
    }
    memcpy(&x, a + end, sizeof(x));
    memcpy(&y, b + end, sizeof(y));
    return x == y;
}

static void remember(struct last_line *last, const struct nd_conn *conn,
                     const struct nd_op *op, const uint8_t *line, size_t len)
{
    bool is_plain = op->kind == ND_OP_PUB && op->tail.len > 0 && !conn->is_traced &&
                    !(conn->options & ND_OPT_PEDANTIC);
    *last = (struct last_line){line, is_plain ? len : 0, *op};
}

/* Runs the operations in *bytes* (which lie in *blob*) for as long as the connection
 * may. Returns how many bytes are done with; *need is the length of the unfinished
 * operation behind them, or 0. */
static size_t run(struct nd_conn *conn, struct nd_slice bytes, struct nd_blob *blob,
                  uint64_t *need)
{
    const struct nd_parse_limits *limits = &conn->owner->engine->limits;
    struct last_line last;
    size_t used = 0;
    last.len = 0;
    *need = 0;
    while (used < bytes.len && can_run(conn)) {
        struct nd_slice rest = nd_slice(bytes.ptr + used, bytes.len - used);
        struct nd_op op;
        if (is_repeated(&last, rest)) {
            uint64_t whole = last.len + last.op.size + 2;
            const uint8_t *end = rest.ptr + whole;
            if (rest.len >= whole && end[-2] == '\r' && end[-1] == '\n') {
                last.op.tail.ptr = rest.ptr + last.len - last.op.tail.len;
                nd_client_publish(conn, &last.op,
                                  nd_slice(rest.ptr + last.len, last.op.size + 2), blob);
                used += whole;
                continue;
            }
        }
        if (conn->state == ND_CONN_GREETED && !may_begin(conn, rest.ptr[0])) {
            break;
        }
        int line = nd_parse(rest.ptr, rest.len, limits, &op);
        if (nd_unlikely(line <= 0)) {
            if (line < 0) {
                nd_client_reject(conn, line, &op, rest);
            }
            break;
        }
        if (conn->state == ND_CONN_GREETED && op.kind != ND_OP_CONNECT) {
            nd_conn_enter(conn, ND_CONN_OPEN);
        }
        if (nd_likely(op.kind <= ND_OP_HPUB)) {
            size_t len = run_publish(conn, &op, (size_t)line, rest, blob, need);
            if (len == 0) {
                break;
            }
            remember(&last, conn, &op, rest.ptr, (size_t)line);
            used += len;
            *need = 0;
        } else {
            nd_client_run(conn, &op);
            used += (size_t)line;
        }
    }
    return used;
}

/* Runs with the books kept: who acts, and what came in. */
static size_t run_counted(struct nd_conn *conn, struct nd_slice bytes,
                          struct nd_blob *blob, uint64_t *need)
{
    struct nd_reactor *reactor = conn->owner;
    uint64_t msgs = conn->in_msgs, in_bytes = conn->in_bytes;
    reactor->actor = conn;
    size_t used = run(conn, bytes, blob, need);
    reactor->actor = NULL;
    if (conn->in_msgs != msgs) {
        nd_tally_add(&reactor->tally.in_msgs, conn->in_msgs - msgs);
        nd_tally_add(&reactor->tally.in_bytes, conn->in_bytes - in_bytes);
    }
    return used;
}

static void drop_tail(struct nd_conn *conn)
{
    if (conn->tail != NULL) {
        nd_blob_release(conn->tail);
        conn->tail = NULL;
    }
    conn->tail_len = 0;
    conn->tail_need = 0;
    conn->is_direct = false;
    conn->has_backlog = false;
}

/* Makes *rest* the tail. A long operation gets room ahead of its bytes, but never more
 * than has come already (or one direct read's minimum): what a peer announces costs
 * nothing, what it sends does. */
static void keep_tail(struct nd_conn *conn, struct nd_slice rest, uint64_t need)
{
    if (rest.len == 0 || !nd_conn_is_alive(conn)) {
        drop_tail(conn);
        return;
    }
    bool is_direct = can_run(conn) && need >= ND_DIRECT_MIN;
    size_t room = ND_MAX(rest.len, (size_t)64);
    if (is_direct) {
        room = (size_t)ND_MIN(need, ND_MAX(2 * (uint64_t)rest.len, 2 * ND_DIRECT_MIN));
    }
    if (conn->tail != NULL && (conn->tail->cap < room || !nd_blob_is_sole(conn->tail))) {
        drop_tail(conn);
    }
    if (conn->tail == NULL) {
        conn->tail = nd_blob_new(room);
        if (conn->tail == NULL) {
            nd_conn_close(conn);
            return;
        }
    }
    memcpy(conn->tail->data, rest.ptr, rest.len);
    conn->tail_len = rest.len;
    conn->tail_need = need;
    conn->is_direct = is_direct;
    conn->has_backlog = !can_run(conn);
}

/* Room for the next read into a direct tail. */
static bool grow_tail(struct nd_conn *conn)
{
    if (conn->tail_len == conn->tail->cap) {
        uint64_t cap = ND_MIN(conn->tail_need, 2 * (uint64_t)conn->tail->cap);
        struct nd_blob *grown = nd_blob_grow(conn->tail, (size_t)cap);
        if (grown == NULL) {
            nd_conn_close(conn);
            return false;
        }
        conn->tail = grown;
    }
    return true;
}

/* *got* bytes went first into the direct tail, the rest to the front of the slab. */
static void take_direct(struct nd_conn *conn, size_t got)
{
    size_t room = ND_MIN(conn->tail->cap, conn->tail_need) - conn->tail_len;
    size_t direct = ND_MIN(got, room);
    uint64_t need;
    conn->tail_len += direct;
    if (conn->tail_len < conn->tail_need) {
        assert(got == direct);
        /* The byte behind the payload may already tell that it is wrong. */
        if (conn->tail_len + 1 == conn->tail_need) {
            run_counted(conn, nd_slice(conn->tail->data, conn->tail_len), NULL, &need);
        }
        return;
    }
    struct nd_blob *blob = conn->tail;
    conn->tail = NULL;
    run_counted(conn, nd_slice(blob->data, conn->tail_len), blob, &need);
    nd_blob_release(blob);
    drop_tail(conn);
    if (got > direct) {
        struct nd_blob *slab = conn->owner->slab;
        struct nd_slice bytes = nd_slice(slab->data, got - direct);
        size_t used = run_counted(conn, bytes, slab, &need);
        keep_tail(conn, nd_slice(bytes.ptr + used, bytes.len - used), need);
    }
}

/* *len* bytes lie at the front of the slab: the tail, and what was read behind it. */
static void take_slab(struct nd_conn *conn, size_t len)
{
    struct nd_blob *slab = conn->owner->slab;
    uint64_t need;
    conn->has_backlog = false;
    size_t used = run_counted(conn, nd_slice(slab->data, len), slab, &need);
    keep_tail(conn, nd_slice(slab->data + used, len - used), need);
}

/* After a fatal error: lets the peer read our last words before a reset kills them. */
static bool discard(struct nd_conn *conn)
{
    struct nd_blob *slab = conn->owner->slab;
    struct iovec iov = {slab->data, slab->cap};
    int64_t got = nd_sys_readv(conn->fd, &iov, 1);
    if (got == ND_AGAIN) {
        return false;
    }
    conn->lingered += got > 0 ? (uint32_t)got : 0;
    if (got <= 0 || conn->lingered > ND_LINGER_BYTES) {
        nd_conn_close(conn);
        return false;
    }
    return true;
}

/* Lays out one read; returns the bytes asked for. *kept bytes of an old tail stand at
 * the front of the slab. */
static size_t plan_read(struct nd_conn *conn, struct iovec iov[2], int *count, size_t *kept)
{
    struct nd_blob *slab = conn->owner->slab;
    size_t asked = 0;
    *count = 0;
    *kept = 0;
    if (conn->is_direct) {
        asked = ND_MIN(conn->tail->cap, conn->tail_need) - conn->tail_len;
        iov[(*count)++] = (struct iovec){conn->tail->data + conn->tail_len, asked};
        if (conn->tail->cap < conn->tail_need) {
            return asked; /* nothing may pass the gap */
        }
    } else if (conn->tail != NULL) {
        *kept = conn->tail_len;
        memcpy(slab->data, conn->tail->data, *kept);
    }
    size_t room = slab->cap - *kept;
    if (conn->state == ND_CONN_GREETED) {
        room = ND_MIN(room, (size_t)ND_STRANGER_READ);
    }
    iov[(*count)++] = (struct iovec){slab->data + *kept, room};
    return asked + room;
}

bool nd_conn_read(struct nd_conn *conn)
{
    if (conn->is_lingering) {
        return can_read(conn) && discard(conn);
    }
    if (!can_run(conn) || (conn->is_direct && !grow_tail(conn))) {
        return false;
    }
    struct iovec iov[2];
    int count;
    size_t kept;
    size_t asked = plan_read(conn, iov, &count, &kept);
    int64_t got = asked > 0 ? nd_sys_readv(conn->fd, iov, count) : ND_AGAIN;
    bool is_end = got == 0;
    if (got == ND_AGAIN) {
        if (!conn->has_backlog) {
            return false;
        }
        got = 0;
    }
    if (got < 0) {
        nd_reactor_collect(conn->owner);
        nd_conn_close(conn);
        return false;
    }
    if (conn->is_direct) {
        take_direct(conn, (size_t)got);
    } else {
        take_slab(conn, kept + (size_t)got);
    }
    if (is_end && can_run(conn)) {
        nd_reactor_collect(conn->owner);
        nd_conn_drain(conn);
    }
    tell_poller(conn);
    return can_read(conn) && ((size_t)got == asked || conn->is_ending);
}

/* ---- writing ---- */

static void on_blocked(struct nd_conn *conn)
{
    struct nd_reactor *reactor = conn->owner;
    if (!nd_blob_is_sole(reactor->slab) &&
        nd_outbuf_settle(&conn->out, reactor->slab) != ND_OK) {
        nd_conn_close(conn);
        return;
    }
    if (!nd_timer_is_running(&conn->owed)) {
        nd_timer_start(&reactor->owed, &conn->owed, reactor->now_ms);
        conn->progress_ms = reactor->now_ms;
        int64_t unsent = nd_sys_unsent(conn->fd);
        conn->unsent = unsent > 0 ? (uint64_t)unsent : 0;
    }
    nd_brake_weigh(conn);
}

static void on_written(struct nd_conn *conn)
{
    struct nd_reactor *reactor = conn->owner;
    nd_timer_stop(&reactor->owed, &conn->owed);
    nd_brake_weigh(conn);
    conn->reply_bytes = 0;
    if (conn->state == ND_CONN_DRAINING) {
        if (!conn->is_lingering) {
            nd_conn_close(conn);
        } else if (!nd_timer_is_running(&conn->phase)) {
            nd_sys_shutdown_write(conn->fd);
            nd_timer_start(&reactor->linger, &conn->phase, reactor->now_ms);
            nd_conn_resume(conn);
        }
    } else if (conn->is_sated) {
        conn->is_sated = false;
        nd_conn_resume(conn);
    }
}

void nd_conn_flush(struct nd_conn *conn)
{
    struct nd_reactor *reactor = conn->owner;
    int64_t budget = ND_FLUSH_MAX;
    if (conn->state == ND_CONN_BURIED) {
        return;
    }
    while (!conn->is_blocked && conn->out.pending > 0 && budget > 0) {
        struct iovec iov[IOV_COUNT];
        int count = nd_outbuf_peek(&conn->out, iov, IOV_COUNT);
        int64_t asked = 0;
        for (int i = 0; i < count; i++) {
            asked += (int64_t)iov[i].iov_len;
        }
        int64_t sent = nd_sys_writev(conn->fd, iov, count);
        if (sent < 0 && sent != ND_AGAIN) {
            nd_conn_close(conn);
            return;
        }
        sent = ND_MAX(sent, 0);
        if (sent > 0) {
            nd_outbuf_consume(&conn->out, &reactor->pool, (uint64_t)sent);
            conn->progress_ms = reactor->now_ms;
        }
        conn->is_blocked = sent < asked;
        budget -= sent;
    }
    if (conn->is_blocked) {
        on_blocked(conn);
    } else if (conn->out.pending == 0) {
        on_written(conn);
    } else {
        nd_reactor_add_dirty(reactor, conn);
    }
    tell_poller(conn);
}

void nd_conn_on_owed(struct nd_conn *conn)
{
    struct nd_reactor *reactor = conn->owner;
    int64_t unsent = nd_sys_unsent(conn->fd);
    if (unsent >= 0 && (uint64_t)unsent < conn->unsent) {
        conn->progress_ms = reactor->now_ms;
    }
    conn->unsent = unsent > 0 ? (uint64_t)unsent : 0;
    if (reactor->now_ms - conn->progress_ms >=
        reactor->engine->options.write_deadline_ms) {
        nd_conn_cut(conn);
        return;
    }
    nd_timer_start(&reactor->owed, &conn->owed, reactor->now_ms);
}

void nd_conn_reply(struct nd_conn *conn, struct nd_slice bytes)
{
    if (!nd_conn_is_alive(conn)) {
        return;
    }
    if (nd_outbuf_append(&conn->out, &conn->owner->pool, bytes) != ND_OK) {
        nd_conn_close(conn);
        return;
    }
    conn->reply_bytes += (uint32_t)bytes.len;
    conn->is_sated = conn->reply_bytes > ND_REPLIES_MAX;
    nd_reactor_add_dirty(conn->owner, conn);
}

/* ---- log ---- */

bool nd_conn_logs_debug(const struct nd_conn *conn)
{
    return conn->owner->engine->options.debug;
}

int nd_conn_name(const struct nd_conn *conn, char *to, size_t size)
{
    return snprintf(to, size, "%s - cid:%llu", conn->address,
                    (unsigned long long)conn->cid);
}

static void log_slice(struct nd_conn *conn, enum nd_level level, struct nd_slice text)
{
    char prefix[ND_ADDRESS_SIZE + 32];
    int len = nd_conn_name(conn, prefix, sizeof(prefix) - 3);
    memcpy(prefix + len, " - ", 4);
    nd_events_log(&conn->owner->engine->events, level, conn->cid, prefix, text);
}

void nd_conn_log(struct nd_conn *conn, enum nd_level level, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    len = ND_MIN(ND_MAX(len, 0), (int)sizeof(text) - 1);
    log_slice(conn, level, nd_slice(text, (size_t)len));
}

/* Traced bytes may hold anything, NUL included; what is too long is cut. */
static void trace_bytes(struct nd_conn *conn, const char *head, struct nd_slice bytes)
{
    char text[ND_LOG_LINE / 4];
    size_t head_len = strlen(head);
    size_t len = ND_MIN(bytes.len, sizeof(text) - head_len - 1);
    memcpy(text, head, head_len);
    if (len > 0) {
        memcpy(text + head_len, bytes.ptr, len);
    }
    text[head_len + len] = ']';
    log_slice(conn, ND_LEVEL_TRACE, nd_slice(text, head_len + len + 1));
}

void nd_conn_trace(struct nd_conn *conn, const char *arrow, const char *verb,
                   struct nd_slice arg)
{
    char head[32];
    snprintf(head, sizeof(head), "%s [%s%s", arrow, verb, arg.len > 0 ? " " : "");
    trace_bytes(conn, head, arg);
}

void nd_conn_trace_payload(struct nd_conn *conn, struct nd_slice payload)
{
    trace_bytes(conn, "->> MSG_PAYLOAD: [", payload);
}
