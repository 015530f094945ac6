#include "conn.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "brake.h"
#include "client.h"
#include "conn_own.h"
#include "reactor.h"
#include "recheck.h"
#include "sids.h"

enum { IOV_COUNT = 64 }; /* pieces of one write */

/* ---- life ---- */

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
    if (conn->note != NULL) {
        nd_blob_release(conn->note);
    }
    nd_recheck_fini(conn);
    nd_permits_release(conn->rights.permits);
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

int nd_conn_adopt(struct nd_reactor *reactor, int fd, uint64_t cid,
                  struct nd_conn **out)
{
    struct nd_conn *conn = calloc(1, sizeof(*conn));
    if (conn == NULL) {
        nd_sys_close(fd);
        return ND_ENOMEM;
    }
    conn->source = ND_SOURCE_CONN;
    conn->fd = fd;
    conn->state = ND_CONN_GREETED;
    conn->options = ND_OPT_VERBOSE | ND_OPT_PEDANTIC | ND_OPT_ECHO;
    conn->is_traced = reactor->settings->options.trace;
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
    nd_reactor_add_alive(reactor, conn);
    conn->round = reactor->change.round;
    nd_conn_start_timers(conn);
    if (nd_conn_logs_debug(conn)) {
        nd_conn_log(conn, ND_LEVEL_DEBUG, "Client connection created");
    }
    *out = conn;
    nd_conn_inform(conn);
    return ND_OK;
}

void nd_conn_start_timers(struct nd_conn *conn)
{
    struct nd_reactor *reactor = conn->owner;
    const struct nd_options *options = &reactor->settings->options;
    if (options->auth_required && conn->state == ND_CONN_GREETED &&
        !nd_timer_is_running(&conn->phase)) {
        nd_timer_start(&reactor->auth, &conn->phase, reactor->now_ms);
    }
    if (options->ping_interval_ms > 0 && !nd_timer_is_running(&conn->ping)) {
        nd_timer_start(&reactor->ping, &conn->ping, reactor->now_ms);
    }
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
    nd_reactor_drop_alive(conn->owner, conn);
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
    bool is_listed = conn->recheck != NULL && conn->recheck->is_listed;
    if (nd_sids_count(conn) > 0 || conn->is_ready || conn->is_dirty || is_listed) {
        return false;
    }
    free_conn(conn);
    return true;
}

/* ---- may it be read? ---- */

/* May run operations; the reasons not to, one by one. */
bool nd_conn__can_run(const struct nd_conn *conn)
{
    return (conn->state == ND_CONN_OPEN || conn->state == ND_CONN_GREETED) &&
           !conn->is_halted && /* paced for a heavy subscriber */
           !conn->is_sated;    /* does not read our replies */
}

bool nd_conn_is_heard(const struct nd_conn *conn)
{
    return nd_conn__can_run(conn) && !conn->is_ready;
}

bool nd_conn__can_read(const struct nd_conn *conn)
{
    return nd_conn__can_run(conn) ||
           (conn->is_lingering && conn->state == ND_CONN_DRAINING);
}

void nd_conn__tell_poller(struct nd_conn *conn)
{
    if (conn->state != ND_CONN_BURIED) {
        nd_poll_want(conn->owner->poll, conn->fd, nd_conn__can_read(conn),
                     conn->is_blocked);
    }
}

void nd_conn_resume(struct nd_conn *conn)
{
    nd_conn__tell_poller(conn);
    if (nd_conn__can_read(conn)) {
        nd_reactor_add_ready(conn->owner, conn);
    }
}

/* ---- writing ---- */

static void on_blocked(struct nd_conn *conn)
{
    struct nd_reactor *reactor = conn->owner;
    if (!nd_timer_is_running(&conn->owed)) {
        nd_timer_start(&reactor->owed, &conn->owed, reactor->now_ms);
        conn->progress_ms = reactor->now_ms;
    }
    nd_brake_weigh(conn);
}

static uint64_t ask_unsent(const struct nd_conn *conn)
{
    int64_t unsent = nd_sys_unsent(conn->fd);
    return unsent > 0 ? (uint64_t)unsent : 0;
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
    }
}

/* A sated connection is read again when all that it owed by then has gone. */
static void digest(struct nd_conn *conn, uint64_t sent)
{
    if (!conn->is_sated) {
        return;
    }
    conn->sated_bytes -= ND_MIN(sent, conn->sated_bytes);
    if (conn->sated_bytes == 0) {
        conn->is_sated = false;
        conn->reply_bytes = 0;
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
            digest(conn, (uint64_t)sent);
        }
        if (sent < asked) {
            conn->is_blocked = true;
            conn->unsent = ask_unsent(conn);
        }
        budget -= sent;
    }
    if (conn->out.pending == 0) {
        on_written(conn);
    } else if (!nd_blob_is_sole(reactor->slab) &&
               nd_outbuf_settle(&conn->out, reactor->slab) != ND_OK) {
        nd_conn_close(conn); /* the slab is needed for the next read */
    } else if (conn->is_blocked) {
        on_blocked(conn);
    } else {
        nd_reactor_add_dirty(reactor, conn);
    }
    nd_conn__tell_poller(conn);
}

void nd_conn_on_owed(struct nd_conn *conn)
{
    struct nd_reactor *reactor = conn->owner;
    uint64_t unsent = ask_unsent(conn);
    if (unsent < conn->unsent) {
        /* The poller will not speak up before a third of the kernel's buffer is free;
         * what has become free is used now, so that what we owe falls as it is read. */
        conn->progress_ms = reactor->now_ms;
        conn->is_blocked = false;
        nd_reactor_add_dirty(reactor, conn);
    } else if (reactor->now_ms - conn->progress_ms >=
               reactor->settings->options.write_deadline_ms) {
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
    if (!conn->is_sated && conn->reply_bytes > ND_REPLIES_MAX) {
        conn->is_sated = true;
        conn->sated_bytes = conn->out.pending;
    }
    nd_reactor_add_dirty(conn->owner, conn);
}

void nd_conn_inform(struct nd_conn *conn)
{
    char own[ND_ADDRESS_SIZE + 64];
    int len =
        snprintf(own, sizeof(own), ",\"client_id\":%llu,\"client_ip\":\"%.*s\"} \r\n",
                 (unsigned long long)conn->cid, conn->ip_len, conn->address);
    nd_conn_reply(conn, nd_blob_slice(conn->owner->info));
    nd_conn_reply(conn, nd_slice(own, (size_t)len));
}

/* ---- log ---- */

bool nd_conn_logs_debug(const struct nd_conn *conn)
{
    return conn->owner->settings->options.debug;
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
    char text[ND_KIB];
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
