/* One read of a connection, and all that can be done with it: see conn.h, "Reading". */
#include "conn.h"

#include "brake.h"
#include "client.h"
#include "conn_own.h"
#include "reactor.h"

/* Is it all that is asked of a message that may come in a burst? See burst.h. */
static bool is_simple(const struct nd_conn *conn, const struct nd_op *op)
{
    bool wants_answer =
        (conn->options & (ND_OPT_VERBOSE | ND_OPT_PEDANTIC)) != 0 ||
        (op->reply.len > 0 && (conn->options & ND_OPT_NO_RESPONDERS) != 0);
    return op->kind == ND_OP_PUB && op->tail.len > 0 && op->size < ND_SHARE_MIN - 2 &&
           !wants_answer && !conn->is_traced &&
           op->size <= conn->owner->settings->max_payload;
}

/* Adds one whole message to the burst; another subject, or a full one, begins anew.
 * False: it has to be published by itself. */
static bool gather(struct nd_conn *conn, const struct nd_op *op, const uint8_t *body)
{
    struct nd_burst *burst = &conn->owner->burst;
    const uint8_t *rest = body - op->tail.len;
    uint32_t size = (uint32_t)op->size, len = (uint32_t)op->tail.len + size + 2;
    if (nd_burst_is_open(burst) && nd_slice_is_equal(burst->subject, op->subject) &&
        nd_burst_push(burst, rest, len, size)) {
        return true;
    }
    nd_burst_end(burst);
    return nd_conn__can_run(conn) && nd_burst_begin(burst, conn, op->subject) &&
           nd_burst_push(burst, rest, len, size);
}

/* Runs one PUB or HPUB, whose control line is *line* bytes long, if all of it is there.
 * Returns its length; 0 if not, and then *need is what it will be. */
static size_t run_publish(struct nd_conn *conn, const struct nd_op *op, size_t line,
                          struct nd_slice bytes, struct nd_blob *blob, uint64_t *need)
{
    const uint8_t *body = bytes.ptr + line;
    size_t have = bytes.len - line;
    bool is_whole =
        have >= op->size + 2 && body[op->size] == '\r' && body[op->size + 1] == '\n';
    if (is_whole && is_simple(conn, op) && gather(conn, op, body)) {
        conn->is_announced = false;
        return line + op->size + 2;
    }
    nd_burst_end(&conn->owner->burst);
    if (!nd_conn__can_run(conn) ||
        (!conn->is_announced && !nd_client_announce(conn, op))) {
        return 0;
    }
    conn->is_announced = true;
    if ((have > op->size && body[op->size] != '\r') ||
        (have > op->size + 1 && body[op->size + 1] != '\n')) {
        struct nd_op at = *op;
        at.error_at = line + op->size;
        nd_client_reject(conn, ND_PARSE_VERB, &at, bytes);
        return 0;
    }
    *need = line + op->size + 2;
    if (!is_whole || !nd_client_publish(conn, op, nd_slice(body, op->size + 2), blob)) {
        return 0;
    }
    conn->is_announced = false;
    return *need;
}

/* The first word of a connection decides whether it must be a CONNECT. */
static bool may_begin(struct nd_conn *conn, uint8_t first)
{
    if ((first | 0x20) == 'c' || !conn->owner->settings->options.auth_required) {
        return true;
    }
    nd_conn_log(conn, ND_LEVEL_ERROR, "Authorization Error");
    nd_conn_fail(conn, ND_LIT("Authorization Violation"));
    return false;
}

/* The control line of the last PUB that was gathered. Publishers repeat themselves: a
 * line that is the same to the letter needs neither parsing nor checking again. */
struct last_line {
    const uint8_t *ptr;
    size_t len;    /* 0 = none */
    size_t before; /* of those, up to the end of the subject */
    size_t size;   /* of the payload */
};

static inline bool is_repeated(const struct last_line *last, const uint8_t *line)
{
    size_t end = last->len - sizeof(uint64_t); /* no PUB is shorter */
    uint64_t x, y;
    for (size_t at = 0; at < end; at += sizeof(x)) {
        memcpy(&x, last->ptr + at, sizeof(x));
        memcpy(&y, line + at, sizeof(y));
        if (x != y) {
            return false;
        }
    }
    memcpy(&x, last->ptr + end, sizeof(x));
    memcpy(&y, line + end, sizeof(y));
    return x == y;
}

/* Gathers as many more of the same as stand at the front of *bytes*; returns how long
 * they are. */
static size_t gather_repeated(struct nd_burst *burst, const struct last_line *last,
                              struct nd_slice bytes)
{
    size_t whole = last->len + last->size + 2, used = 0;
    if (last->len == 0) {
        return 0;
    }
    while (bytes.len - used >= whole && is_repeated(last, bytes.ptr + used)) {
        const uint8_t *line = bytes.ptr + used, *end = line + whole;
        if (end[-2] != '\r' || end[-1] != '\n' ||
            !nd_burst_push(burst, line + last->before, (uint32_t)(whole - last->before),
                           (uint32_t)last->size)) {
            break;
        }
        used += whole;
    }
    return used;
}

/* Warms the index for the PUBs at the front of *bytes*; returns how many there are. */
static int look_ahead(struct nd_conn *conn, struct nd_slice bytes)
{
    const struct nd_parse_limits *limits = &conn->owner->settings->limits;
    struct nd_slice subjects[ND_WARM_MAX];
    struct nd_op op;
    size_t at = 0;
    int count = 0, line;
    while (count < ND_WARM_MAX && at < bytes.len) {
        line = nd_parse(bytes.ptr + at, bytes.len - at, limits, &op);
        if (line <= 0 || op.kind > ND_OP_HPUB || op.size > bytes.len - at) {
            break;
        }
        subjects[count++] = op.subject;
        at += (size_t)line + op.size + 2;
    }
    if (count > 1) {
        nd_sublist_warm(conn->owner->engine->index, subjects, (size_t)count);
    }
    return ND_MAX(count, 1);
}

/* Runs the operations in *bytes* (which lie in *blob*) for as long as the connection
 * may. Returns how many bytes are done with; *need is the length of the unfinished
 * operation behind them, or 0. */
static size_t run(struct nd_conn *conn, struct nd_slice bytes, struct nd_blob *blob,
                  uint64_t *need)
{
    /* For a line that was taken when its payload was awaited, under a higher limit. */
    static const struct nd_parse_limits highest = {ND_LINE_CEILING, ND_LINE_CEILING};
    const struct nd_parse_limits *limits = &conn->owner->settings->limits;
    struct nd_burst *burst = &conn->owner->burst;
    struct last_line last = {.len = 0};
    size_t used = 0;
    int slice = ND_RUN_SLICE, warm = 0;
    *need = 0;
    conn->is_yielding = false;
    while (used < bytes.len && nd_conn__can_run(conn) && !conn->is_yielding) {
        if (nd_unlikely(conn->owner->dirty_bytes > ND_TURN_BYTES)) {
            /* A wide fan-out: what one read can make of it has to have a bound. */
            nd_burst_end(burst);
            last.len = 0;
            nd_reactor_post(conn->owner);
            nd_reactor_flush(conn->owner);
            continue;
        }
        struct nd_slice rest = nd_slice(bytes.ptr + used, bytes.len - used);
        struct nd_op op;
        size_t again = gather_repeated(burst, &last, rest);
        if (again > 0) {
            used += again;
            continue;
        }
        if (conn->state == ND_CONN_GREETED && !may_begin(conn, rest.ptr[0])) {
            break;
        }
        if (nd_unlikely(nd_cache_is_passed(conn->owner->cache)) && --warm < 0) {
            warm = look_ahead(conn, rest) - 1;
        }
        int line = nd_parse(rest.ptr, rest.len, limits, &op);
        if (nd_unlikely(line <= 0)) {
            if (line == ND_PARSE_LINE && conn->is_announced && limits != &highest) {
                limits = &highest;
                continue;
            }
            nd_burst_end(burst);
            if (line < 0 && nd_conn__can_run(conn)) {
                nd_client_reject(conn, line, &op, rest);
            }
            break;
        }
        if (conn->state == ND_CONN_GREETED && op.kind != ND_OP_CONNECT) {
            nd_conn_enter(conn, ND_CONN_OPEN);
            if (!nd_client_begin(conn)) {
                break;
            }
        }
        if (nd_likely(op.kind <= ND_OP_HPUB)) {
            size_t len = run_publish(conn, &op, (size_t)line, rest, blob, need);
            if (len == 0) {
                break;
            }
            last = (struct last_line){
                .ptr = rest.ptr,
                .len = nd_burst_is_open(burst) ? (size_t)line : 0,
                .before = (size_t)line - op.tail.len,
                .size = (size_t)op.size,
            };
            used += len;
            *need = 0;
        } else {
            nd_burst_end(burst);
            last.len = 0;
            if (!nd_conn__can_run(conn)) {
                break; /* ended by what it published to itself */
            }
            nd_client_run(conn, &op);
            used += (size_t)line;
            conn->is_yielding = --slice == 0;
        }
    }
    nd_burst_end(burst);
    return used;
}

/* Runs with the books kept of what came in. */
static size_t run_counted(struct nd_conn *conn, struct nd_slice bytes,
                          struct nd_blob *blob, uint64_t *need)
{
    struct nd_reactor *reactor = conn->owner;
    uint64_t msgs = conn->in_msgs, in_bytes = conn->in_bytes;
    size_t used = run(conn, bytes, blob, need);
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

/* Makes *rest* the tail. A long operation gets room ahead of its bytes: as much again as
 * has come, or a little. What a peer only announces costs nothing. */
static void keep_tail(struct nd_conn *conn, struct nd_slice rest, uint64_t need)
{
    if (rest.len == 0 || !nd_conn_is_alive(conn)) {
        drop_tail(conn);
        return;
    }
    bool is_direct = nd_conn__can_run(conn) && need >= ND_DIRECT_MIN;
    size_t room = ND_MAX(rest.len, (size_t)64);
    if (is_direct) {
        room = (size_t)ND_MIN(need, ND_MAX(2 * (uint64_t)rest.len, 2 * ND_DIRECT_MIN));
    }
    if (conn->tail != NULL && (conn->tail->cap < room || conn->tail->cap > 2 * room)) {
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
    conn->has_backlog = !nd_conn__can_run(conn) || conn->is_yielding;
}

/* Room for the next read into a direct tail. */
static bool grow_tail(struct nd_conn *conn)
{
    if (conn->tail_len == conn->tail->cap && conn->tail_len < conn->tail_need) {
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

/* *got* bytes more of the operation in the direct tail. */
static void take_direct(struct nd_conn *conn, size_t got)
{
    uint64_t need;
    conn->tail_len += got;
    if (conn->tail_len < conn->tail_need) {
        /* The byte behind the payload may already tell that it is wrong. */
        if (conn->tail_len + 1 == conn->tail_need) {
            run_counted(conn, nd_slice(conn->tail->data, conn->tail_len), NULL, &need);
        }
        return;
    }
    struct nd_blob *blob = conn->tail;
    conn->tail = NULL;
    size_t used = run_counted(conn, nd_slice(blob->data, conn->tail_len), blob, &need);
    if (used == 0 && conn->is_halted) {
        conn->tail = blob; /* as it is, to be run when the brake lets go */
        conn->has_backlog = true;
        return;
    }
    nd_blob_release(blob);
    drop_tail(conn);
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
    int64_t got = nd_sys_read(conn->fd, slab->data, ND_READ_SIZE);
    if (got == ND_AGAIN) {
        return false;
    }
    conn->lingered += got > 0 ? (uint32_t)got : 0;
    if (got == 0 && conn->out.pending > 0) {
        conn->is_lingering = false; /* it will send no more, but may still listen */
    } else if (got <= 0 || conn->lingered > ND_LINGER_BYTES) {
        nd_conn_close(conn);
    }
    return nd_conn__can_read(conn);
}

/* Lays out one read; returns the bytes asked for. *kept bytes of an old tail stand at
 * the front of the slab. */
static size_t plan_read(struct nd_conn *conn, struct iovec *iov, size_t *kept)
{
    struct nd_blob *slab = conn->owner->slab;
    *kept = 0;
    if (conn->is_direct) {
        size_t room = ND_MIN(conn->tail->cap, conn->tail_need) - conn->tail_len;
        *iov = (struct iovec){conn->tail->data + conn->tail_len, room};
        return room;
    }
    if (conn->tail != NULL) {
        *kept = conn->tail_len;
        memcpy(slab->data, conn->tail->data, *kept);
    }
    const struct nd_parse_limits *limits = &conn->owner->settings->limits;
    size_t lent = ND_READ_SIZE + ND_MAX(limits->line, limits->connect);
    size_t room = lent > *kept ? lent - *kept : 0;
    if (conn->state == ND_CONN_GREETED) {
        room = ND_MIN(room, (size_t)ND_STRANGER_READ);
    }
    *iov = (struct iovec){slab->data + *kept, room};
    return room;
}

/* The stream has ended, well or not, and all that came by it has run. */
static void end(struct nd_conn *conn, int64_t rc)
{
    nd_reactor_collect(conn->owner);
    if (rc == 0) {
        nd_conn_drain(conn);
    } else {
        nd_conn_close(conn);
    }
}

bool nd_conn_read(struct nd_conn *conn)
{
    if (conn->is_lingering) {
        return nd_conn__can_read(conn) && discard(conn);
    }
    if (!nd_conn__can_run(conn) || !nd_brake_enter(conn) ||
        (conn->is_direct && !grow_tail(conn))) {
        return false;
    }
    struct iovec iov;
    size_t kept;
    size_t asked = plan_read(conn, &iov, &kept);
    int64_t rc = asked > 0 ? nd_sys_read(conn->fd, iov.iov_base, asked) : ND_AGAIN;
    if (rc == ND_AGAIN && !conn->has_backlog) {
        return false;
    }
    size_t got = rc > 0 ? (size_t)rc : 0;
    conn->owner->read_bytes += got;
    conn->was_heard |= got > 0;
    if (conn->is_direct) {
        take_direct(conn, got);
    } else {
        take_slab(conn, kept + got);
    }
    if (rc <= 0 && rc != ND_AGAIN && nd_conn__can_run(conn) && !conn->has_backlog) {
        end(conn, rc);
    }
    nd_conn__tell_poller(conn);
    return nd_conn__can_read(conn) &&
           (got == asked || conn->is_ending || conn->has_backlog);
}
