#include "client.h"

#include "brake.h"
#include "deliver.h"
#include "digits.h"
#include "reactor.h"
#include "sids.h"
#include "subject.h"

#define STRINGS(s) (int)ND_MIN((s).len, (size_t)256), (const char *)(s).ptr

static void ok(struct nd_conn *conn)
{
    if (conn->options & ND_OPT_VERBOSE) {
        nd_conn_reply(conn, ND_LIT("+OK\r\n"));
    }
}

/* What others did before their PONG counts before what we do now. */
static bool collect(struct nd_conn *conn)
{
    nd_reactor_collect(conn->owner);
    return nd_conn_is_alive(conn);
}

/* ---- subscriptions ---- */

static int subscribe(struct nd_conn *conn, const struct nd_op *op, uint64_t hash)
{
    struct nd_reactor *reactor = conn->owner;
    struct nd_permits *filter = nd_rights_filter(conn, op->subject, op->queue);
    struct nd_sub *sub =
        nd_sub_new(conn->gate, conn, reactor->index, op->sid, op->queue, filter);
    if (sub == NULL) {
        return ND_ENOMEM;
    }
    int rc = nd_sublist_insert(reactor->engine->index, sub, op->subject);
    if (rc != ND_OK) {
        nd_sub_release(sub);
        return rc;
    }
    sub->by_sid.hash = hash;
    nd_hash_insert(&conn->sids, &sub->by_sid);
    return ND_OK;
}

static bool is_full(const struct nd_conn *conn)
{
    uint32_t max = conn->owner->settings->options.max_subscriptions;
    return max > 0 && nd_sids_count(conn) >= max;
}

static void refuse_sub(struct nd_conn *conn)
{
    if (!conn->was_full) { /* who asks again and again fills no log */
        nd_conn_log(conn, ND_LEVEL_ERROR, "maximum subscriptions exceeded");
        conn->was_full = true;
    }
    nd_conn_reply(conn, ND_LIT("-ERR 'maximum subscriptions exceeded'\r\n"));
}

static void on_sub(struct nd_conn *conn, const struct nd_op *op)
{
    if (!collect(conn)) {
        return;
    }
    if (!nd_subject_is_subscribable(op->subject)) {
        nd_conn_reply(conn, ND_LIT("-ERR 'Invalid Subject'\r\n"));
        return;
    }
    if (!nd_rights_may_subscribe(conn, op->subject, op->queue, op->sid)) {
        return;
    }
    uint64_t hash = nd_hash_bytes(&conn->owner->engine->key, op->sid);
    if (nd_sids_find(conn, op->sid, hash) != NULL) {
        ok(conn);
        return;
    }
    if (is_full(conn)) {
        refuse_sub(conn);
        return;
    }
    if (subscribe(conn, op, hash) != ND_OK) {
        nd_conn_log(conn, ND_LEVEL_ERROR, "No memory for a subscription");
        nd_conn_close(conn);
        return;
    }
    ok(conn);
}

void nd_client_unsubscribe(struct nd_conn *conn, struct nd_sub *sub)
{
    if (conn->is_traced) {
        nd_conn_trace(conn, "<->", "DELSUB", nd_sub_sid(sub));
    }
    atomic_store_explicit(&sub->dead, true, memory_order_release);
    nd_sids_remove(conn, sub);
    nd_sublist_remove(conn->owner->engine->index, sub);
    nd_sub_release(sub);
}

static void on_unsub(struct nd_conn *conn, const struct nd_op *op)
{
    if (!collect(conn)) {
        return;
    }
    uint64_t hash = nd_hash_bytes(&conn->owner->engine->key, op->sid);
    struct nd_sub *sub = nd_sids_find(conn, op->sid, hash);
    if (sub != NULL) {
        sub->max = op->max;
        if (op->max <= sub->delivered) {
            nd_client_unsubscribe(conn, sub);
        } else if (nd_conn_logs_debug(conn)) {
            nd_conn_log(conn, ND_LEVEL_DEBUG,
                        "Deferring actual UNSUB(%.*s): %llu max, %llu received",
                        STRINGS(op->sid), (unsigned long long)op->max,
                        (unsigned long long)sub->delivered);
        }
    }
    ok(conn);
}

void nd_client_forget(struct nd_conn *conn, uint32_t *budget)
{
    struct nd_sub *subs[64];
    while (*budget > 0 && nd_sids_count(conn) > 0) {
        size_t n = 0;
        for (; n < 64 && n < *budget && nd_sids_count(conn) > 0; n++) {
            subs[n] = nd_sids_take(conn);
            atomic_store_explicit(&subs[n]->dead, true, memory_order_release);
        }
        nd_sublist_remove_many(conn->owner->engine->index, subs, n);
        for (size_t i = 0; i < n; i++) {
            nd_sub_release(subs[i]);
        }
        *budget -= (uint32_t)n;
    }
}

/* ---- CONNECT, INFO and Python's answers ---- */

static void ask_python(struct nd_conn *conn, const struct nd_op *op)
{
    struct nd_engine *engine = conn->owner->engine;
    char peer[ND_ADDRESS_SIZE + 32];
    int peer_len = nd_conn_name(conn, peer, sizeof(peer));
    struct nd_event event = {
        .kind = op->kind == ND_OP_CONNECT ? ND_EV_CONNECT : ND_EV_INFO,
        .cid = conn->cid,
        .text = (const char *)op->arg.ptr,
        .text_len = (uint32_t)op->arg.len,
        .prior = conn->note != NULL ? (const char *)conn->note->data : NULL,
        .prior_len = conn->note != NULL ? conn->note->cap : 0,
        .peer = peer,
        .peer_len = (uint32_t)peer_len,
        .is_traced = conn->is_traced,
    };
    if (nd_events_push(&engine->events, &event) != ND_OK) {
        nd_conn_close(conn);
        return;
    }
    nd_conn_enter(conn, ND_CONN_ADMITTING);
}

/* Takes over the reference to *note*. */
static void take_options(struct nd_conn *conn, struct nd_blob *note, uint32_t options)
{
    if (conn->note != NULL) {
        nd_blob_release(conn->note);
    }
    conn->note = note;
    conn->options = (uint8_t)options;
    ok(conn);
}

static void on_connect(struct nd_conn *conn, const struct nd_op *op)
{
    struct nd_reactor *reactor = conn->owner;
    const struct nd_memo_entry *known = NULL;
    if (conn->note == NULL && !conn->is_traced) {
        known = nd_memo_find(&reactor->memo, &reactor->engine->key, op->arg);
    }
    if (known == NULL) {
        ask_python(conn, op);
        return;
    }
    struct nd_rights rights = known->rights;
    nd_conn_enter(conn, ND_CONN_OPEN);
    if (nd_rights_take(conn, &rights)) {
        nd_blob_retain(known->note);
        take_options(conn, known->note, known->options);
    }
}

bool nd_client_begin(struct nd_conn *conn)
{
    const struct nd_options *options = &conn->owner->settings->options;
    struct nd_rights rights = {options->open_grant, options->open_permits};
    return nd_rights_take(conn, &rights);
}

void nd_client_admit(struct nd_conn *conn, bool has_note, uint32_t options,
                     struct nd_slice note, struct nd_slice key, struct nd_rights rights)
{
    if (conn->state != ND_CONN_ADMITTING) {
        return;
    }
    nd_conn_enter(conn, ND_CONN_OPEN);
    if (has_note) { /* CONNECT; the answer to INFO brings none */
        struct nd_blob *copy = nd_blob_copy(note);
        if (copy == NULL) {
            nd_conn_close(conn);
            return;
        }
        if (!nd_rights_take(conn, &rights)) {
            nd_blob_release(copy);
            return;
        }
        if (key.len > 0) {
            struct nd_reactor *reactor = conn->owner;
            nd_memo_put(&reactor->memo, &reactor->engine->key, key, copy, options,
                        rights);
        }
        take_options(conn, copy, options);
    }
    nd_conn_resume(conn);
}

void nd_client_refuse(struct nd_conn *conn, struct nd_slice text,
                      struct nd_slice reason)
{
    if (conn->state != ND_CONN_ADMITTING) {
        return;
    }
    if (reason.len > 0) {
        nd_conn_log(conn, ND_LEVEL_ERROR, "%.*s", STRINGS(reason));
    }
    nd_conn_fail(conn, text);
}

/* ---- the rest ---- */

static const char *const verbs[] = {
    [ND_OP_PUB] = "PUB",         [ND_OP_HPUB] = "HPUB", [ND_OP_SUB] = "SUB",
    [ND_OP_UNSUB] = "UNSUB",     [ND_OP_PING] = "PING", [ND_OP_PONG] = "PONG",
    [ND_OP_CONNECT] = "CONNECT", [ND_OP_INFO] = "INFO", [ND_OP_OK] = "+OK",
    [ND_OP_ERR] = "-ERR",
};

static void trace_in(struct nd_conn *conn, const struct nd_op *op)
{
    bool has_arg = op->kind <= ND_OP_UNSUB;
    nd_conn_trace(conn, "->>", verbs[op->kind], has_arg ? op->arg : nd_slice("", 0));
}

void nd_client_run(struct nd_conn *conn, const struct nd_op *op)
{
    if (conn->is_traced && op->kind <= ND_OP_PONG) {
        trace_in(conn, op);
    }
    switch (op->kind) {
    case ND_OP_SUB:
        on_sub(conn, op);
        break;
    case ND_OP_UNSUB:
        on_unsub(conn, op);
        break;
    case ND_OP_PING:
        if (collect(conn)) {
            nd_conn_reply(conn, ND_LIT("PONG\r\n"));
            conn->has_ponged = true;
            nd_change_tell(conn);
        }
        if (conn->is_traced) {
            nd_conn_trace(conn, "<<-", "PONG", nd_slice("", 0));
        }
        break;
    case ND_OP_PONG:
        conn->pings_out = 0;
        break;
    case ND_OP_CONNECT:
        on_connect(conn, op);
        break;
    case ND_OP_INFO:
        ask_python(conn, op);
        break;
    case ND_OP_OK:
        break;
    case ND_OP_ERR:
        nd_conn_log(conn, ND_LEVEL_ERROR, "Client Error %.*s", STRINGS(op->arg));
        collect(conn);
        nd_conn_drain(conn);
        break;
    case ND_OP_PUB:
    case ND_OP_HPUB:
        assert(!"has a payload");
    }
}

bool nd_client_announce(struct nd_conn *conn, const struct nd_op *op)
{
    const struct nd_settings *settings = conn->owner->settings;
    if (conn->is_traced) {
        trace_in(conn, op);
    }
    if (op->kind == ND_OP_HPUB && !(conn->options & ND_OPT_HEADERS)) {
        nd_conn_log(conn, ND_LEVEL_ERROR,
                    "Error reading from client: HPUB without the headers option");
        nd_conn_fail(conn, ND_LIT("Parser Error"));
        return false;
    }
    if (op->size > settings->max_payload) {
        nd_conn_log(conn, ND_LEVEL_ERROR, "Maximum Payload Exceeded: %llu vs %lld",
                    (unsigned long long)op->size,
                    (long long)settings->options.max_payload);
        nd_conn_fail(conn, ND_LIT("Maximum Payload Violation"));
        return false;
    }
    if ((conn->options & ND_OPT_PEDANTIC) && !nd_subject_is_publishable(op->subject)) {
        nd_conn_reply(conn, ND_LIT("-ERR 'Invalid Subject'\r\n"));
    }
    return nd_conn_is_alive(conn);
}

/* The line behind the sid, for a publisher whose spelling cannot be sent on. */
static struct nd_slice print_line(struct nd_reactor *reactor, const struct nd_op *op)
{
    uint8_t *at = reactor->scratch;
    if (op->reply.len > 0) {
        *at++ = ' ';
        memcpy(at, op->reply.ptr, op->reply.len);
        at += op->reply.len;
    }
    if (op->kind == ND_OP_HPUB) {
        *at++ = ' ';
        at = nd_digits_put(at, op->header_size);
    }
    *at++ = ' ';
    at = nd_digits_put(at, op->size);
    *at++ = '\r';
    *at++ = '\n';
    return nd_slice(reactor->scratch, (size_t)(at - reactor->scratch));
}

static int64_t deliver(struct nd_conn *conn, const struct nd_op *op,
                       struct nd_slice body, struct nd_blob *blob,
                       struct nd_match *match)
{
    bool is_canonical = op->tail.len > 0;
    struct nd_msg msg = {
        .line = is_canonical ? op->tail : print_line(conn->owner, op),
        .body = body,
        .blob = blob,
        .reply_len = (uint32_t)op->reply.len,
        .header_size = (uint32_t)op->header_size,
        .has_header = op->kind == ND_OP_HPUB,
        .is_joined = is_canonical,
        .is_echoed = (conn->options & ND_OPT_ECHO) != 0,
    };
    return nd_deliver(conn->owner, conn, &msg, match);
}

static void take_in(struct nd_conn *conn, const struct nd_op *op, struct nd_slice body)
{
    conn->in_msgs++;
    conn->in_bytes += op->size;
    if (nd_unlikely(conn->is_traced)) {
        nd_conn_trace_payload(conn, nd_slice(body.ptr, op->size));
    }
}

bool nd_client_publish(struct nd_conn *conn, const struct nd_op *op,
                       struct nd_slice body, struct nd_blob *blob)
{
    struct nd_reactor *reactor = conn->owner;
    struct nd_permits *permits = conn->rights.permits;
    int rc;
    struct nd_match *match = nd_cache_find(reactor->cache, op->subject, &rc);
    if (nd_unlikely(permits != NULL) &&
        !nd_cache_may_publish(reactor->cache, permits, op->subject)) {
        take_in(conn, op, body);
        nd_rights_refuse_publish(conn, op->subject);
        return true;
    }
    if (match != NULL &&
        nd_unlikely(!nd_brake_pass(reactor, conn, match, op->subject.len + body.len))) {
        return false;
    }
    take_in(conn, op, body);
    ok(conn);
    int64_t count = match == NULL ? rc : deliver(conn, op, body, blob, match);
    if (nd_unlikely(count < 0)) {
        nd_conn_log(conn, ND_LEVEL_ERROR, "No memory for a message");
        nd_conn_close(conn);
    } else if (count == 0 && op->reply.len > 0 &&
               (conn->options & ND_OPT_NO_RESPONDERS) && nd_conn_is_alive(conn)) {
        nd_deliver_no_responders(reactor, conn, op->reply);
    }
    return true;
}

/* ---- errors ---- */

/* What may be shown of it: a CONNECT that is misspelt has secrets in its JSON. */
static struct nd_slice harmless(struct nd_slice input, size_t from)
{
    struct nd_slice shown = nd_slice(input.ptr + from, 0);
    size_t most = ND_MIN(input.len - from, (size_t)32);
    while (shown.len < most && !strchr("{\"", shown.ptr[shown.len])) {
        shown.len++;
    }
    return shown;
}

static void log_parse_error(struct nd_conn *conn, int rc, const struct nd_op *op,
                            struct nd_slice input)
{
    static const char *const names[] = {
        [ND_OP_PUB] = "processPub",
        [ND_OP_HPUB] = "processHeaderPub",
        [ND_OP_SUB] = "processSub",
        [ND_OP_UNSUB] = "processUnsub",
    };
    struct nd_slice at = harmless(input, op->error_at);
    switch (rc) {
    case ND_PARSE_ARGS:
        nd_conn_log(
            conn, ND_LEVEL_ERROR, "Error reading from client: %s Parse Error: '%.*s'",
            op->kind <= ND_OP_UNSUB ? names[op->kind] : "parse", STRINGS(op->arg));
        break;
    case ND_PARSE_SIZE:
        nd_conn_log(conn, ND_LEVEL_ERROR,
                    "Error reading from client: %s Bad or Missing Size: '%.*s'",
                    names[op->kind], STRINGS(op->arg));
        break;
    case ND_PARSE_LINE:
        nd_conn_log(conn, ND_LEVEL_ERROR,
                    "Error reading from client: maximum control line exceeded");
        break;
    default:
        nd_conn_log(conn, ND_LEVEL_ERROR,
                    "Error reading from client: Client Parser ERROR, state=0, i=%llu: "
                    "proto='\"%.*s\"...'",
                    (unsigned long long)op->error_at, STRINGS(at));
    }
}

void nd_client_reject(struct nd_conn *conn, int rc, const struct nd_op *op,
                      struct nd_slice input)
{
    log_parse_error(conn, rc, op, input);
    if (rc == ND_PARSE_LINE) {
        nd_conn_fail(conn, ND_LIT("maximum control line exceeded"));
        return;
    }
    if (rc == ND_PARSE_VERB) {
        nd_conn_reply(conn, ND_LIT("-ERR 'Unknown Protocol Operation'\r\n"));
    }
    nd_conn_fail(conn, ND_LIT("Parser Error"));
}

/* ---- timers ---- */

void nd_client_on_auth(struct nd_conn *conn)
{
    if (nd_conn_logs_debug(conn)) {
        nd_conn_log(conn, ND_LEVEL_DEBUG, "Authorization Timeout");
    }
    nd_conn_fail(conn, ND_LIT("Authorization Timeout"));
}

/* A connection that we do not read for now could not be heard answering: it is neither
 * asked nor charged. */
void nd_client_on_ping(struct nd_conn *conn)
{
    struct nd_reactor *reactor = conn->owner;
    if (nd_conn_logs_debug(conn)) {
        nd_conn_log(conn, ND_LEVEL_DEBUG, "Client Ping Timer");
    }
    if (!nd_conn_is_heard(conn)) {
        nd_timer_start(&reactor->ping, &conn->ping, reactor->now_ms);
        return;
    }
    if (++conn->pings_out > reactor->settings->options.ping_max) {
        if (nd_conn_logs_debug(conn)) {
            nd_conn_log(conn, ND_LEVEL_DEBUG, "Stale Client Connection - Closing");
        }
        nd_tally_add(&reactor->tally.stale_connections, 1);
        nd_conn_fail(conn, ND_LIT("Stale Connection"));
        conn->is_lingering &= conn->was_heard; /* nothing will come, so no reset */
        return;
    }
    conn->was_heard = false;
    nd_conn_reply(conn, ND_LIT("PING\r\n"));
    if (conn->is_traced) {
        nd_conn_trace(conn, "<<-", "PING", nd_slice("", 0));
    }
    nd_timer_start(&reactor->ping, &conn->ping, reactor->now_ms);
}
