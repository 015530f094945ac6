#include "burst.h"

#include "brake.h"
#include "copy.h"
#include "deliver_own.h"
#include "reactor.h"

enum { HEAD_SHORT = 64 }; /* bytes of "MSG subject sid" that are copied at one go */

/* ---- one message of it, as if it came alone ---- */

static struct nd_msg msg_at(const struct nd_burst *burst, uint32_t i)
{
    const struct nd_burst_item *item = &burst->items[i];
    size_t line = item->len - item->size - 2;
    return (struct nd_msg){
        .line = nd_slice(item->rest, line),
        .body = nd_slice(item->rest + line, item->size + 2),
        .is_joined = true,
        .is_echoed = burst->is_echoed,
    };
}

/* The whole way, from the look for other takers to the groups. */
static void deliver_at(struct nd_reactor *reactor, const struct nd_burst *burst,
                       uint32_t i)
{
    struct nd_msg msg = msg_at(burst, i);
    if (nd_unlikely(nd_deliver(reactor, burst->from, &msg, burst->match) < 0)) {
        nd_conn_log(burst->from, ND_LEVEL_ERROR, "No memory for a message");
        nd_conn_close(burst->from);
    }
}

static void deliver_singly(struct nd_reactor *reactor, const struct nd_burst *burst)
{
    nd_match_retain(burst->match); /* the cache may be asked, and let go of it */
    for (uint32_t i = 0; i < burst->count; i++) {
        deliver_at(reactor, burst, i);
    }
    nd_match_release(burst->match);
}

static uint32_t serve_singly(struct nd_reactor *reactor, const struct nd_burst *burst,
                             struct nd_sub *const *subs, uint32_t count)
{
    uint32_t served = 0;
    for (uint32_t i = 0; i < burst->count; i++) {
        struct nd_msg msg = msg_at(burst, i);
        struct nd_delivery d;
        nd_deliver__begin(&d, reactor, &msg, burst->match, burst->from,
                          burst->from_cid);
        for (uint32_t k = 0; k < count; k++) {
            served += nd_deliver__serve(&d, subs[k]);
        }
    }
    return served;
}

/* ---- all of it to one subscriber ---- */

static int put_pieces(struct nd_outbuf *out, struct nd_pool *pool,
                      struct nd_slice prefix, struct nd_slice sid,
                      const struct nd_burst_item *item)
{
    struct nd_slice pieces[] = {prefix, sid, nd_slice(item->rest, item->len)};
    int rc = ND_OK;
    for (size_t i = 0; i < 3 && rc == ND_OK; i++) {
        rc = nd_outbuf_append(out, pool, pieces[i]);
    }
    return rc;
}

/* Copies items from *i* on for as long as the open chunk has room; returns where it
 * stopped. A short head is written whole, beyond its end: the rest comes over that. */
static uint32_t fill_chunk(struct nd_outbuf *out, const struct nd_burst *burst,
                           uint32_t i, const uint8_t few[HEAD_SHORT], size_t head_len)
{
    uint8_t *from = out->cursor, *at = from;
    size_t room = (size_t)(out->limit - from);
    for (; i < burst->count; i++) {
        const struct nd_burst_item *item = &burst->items[i];
        if (head_len + item->len + HEAD_SHORT > room) {
            break;
        }
        memcpy(at, few, HEAD_SHORT);
        nd_copy(at + head_len, item->rest, item->len);
        at += head_len + item->len;
        room -= head_len + item->len;
    }
    if (at > from) {
        nd_outbuf_commit(out, (size_t)(at - from));
    }
    return i;
}

static int put(const struct nd_burst *burst, struct nd_outbuf *out,
               struct nd_pool *pool, const struct nd_sub *sub)
{
    struct nd_slice prefix = burst->match->prefix, sid = nd_sub_sid(sub);
    size_t head_len = prefix.len + sid.len;
    uint8_t few[HEAD_SHORT];
    bool is_short = head_len <= sizeof(few);
    if (is_short) {
        memcpy(few, prefix.ptr, prefix.len);
        memcpy(few + prefix.len, sid.ptr, sid.len);
    }
    for (uint32_t i = 0; i < burst->count; i++) {
        i = is_short ? fill_chunk(out, burst, i, few, head_len) : i;
        if (i < burst->count &&
            put_pieces(out, pool, prefix, sid, &burst->items[i]) != ND_OK) {
            return ND_ENOMEM;
        }
    }
    return ND_OK;
}

/* Nothing that has to be looked at between two messages? */
static bool is_plain(const struct nd_burst *burst, const struct nd_sub *sub,
                     uint64_t bytes)
{
    const struct nd_conn *to = sub->conn;
    return !atomic_load_explicit(&sub->dead, memory_order_relaxed) && sub->max == 0 &&
           nd_conn_is_alive(to) && !to->is_traced &&
           (burst->is_echoed || to->cid != burst->from_cid) &&
           to->out.pending + bytes <= to->owner->engine->high_water;
}

/* Returns how many messages it took. */
static uint32_t serve_all(struct nd_reactor *reactor, const struct nd_burst *burst,
                          struct nd_sub *sub)
{
    uint64_t head = burst->match->prefix.len + sub->sid_len;
    if (nd_unlikely(!is_plain(burst, sub, head * burst->count + burst->bytes))) {
        return serve_singly(reactor, burst, &sub, 1);
    }
    struct nd_conn *to = sub->conn;
    if (nd_unlikely(put(burst, &to->out, &reactor->pool, sub) != ND_OK)) {
        nd_conn_log(to, ND_LEVEL_ERROR, "No memory for what it is owed");
        nd_conn_close(to);
        return 0;
    }
    sub->delivered += burst->count;
    nd_deliver__count(to, burst->count, burst->body_bytes);
    nd_deliver__owe(reactor, to, burst->bytes);
    return burst->count;
}

/* ---- to everyone on this reactor ---- */

/* Has a connection two subscriptions here? Then it is to see each message twice before
 * the next, as if they came one by one. */
static bool has_doubles(struct nd_reactor *reactor, struct nd_sub *const *subs,
                        uint32_t count)
{
    uint64_t mark = ++reactor->burst_mark;
    for (uint32_t i = 0; i < count; i++) {
        if (atomic_load_explicit(&subs[i]->dead, memory_order_relaxed)) {
            continue;
        }
        struct nd_conn *to = subs[i]->conn;
        if (to->burst_mark == mark) {
            return true;
        }
        to->burst_mark = mark;
    }
    return false;
}

static uint32_t serve_slice(struct nd_reactor *reactor, const struct nd_burst *burst)
{
    const uint32_t *starts = burst->match->starts + reactor->index;
    struct nd_sub **subs = burst->match->plain + starts[0];
    uint32_t count = starts[1] - starts[0], served = 0;
    if (count > 1 && has_doubles(reactor, subs, count)) {
        return serve_singly(reactor, burst, subs, count);
    }
    for (uint32_t i = 0; i < count; i++) {
        served += serve_all(reactor, burst, subs[i]);
    }
    return served;
}

/* ---- to other reactors ---- */

struct mail_item {
    uint32_t at; /* of the rest, in the bytes of the parcel */
    uint32_t len, size;
};

struct mail_burst {
    struct nd_parcel head;
    struct nd_match *match; /* one reference */
    uint64_t from_cid;
    uint64_t body_bytes;
    uint32_t count, bytes;
    bool is_echoed;
    struct mail_item items[]; /* then their bytes */
};

/* All of them as they lie in the input, if not much lies between them: one copy instead
 * of many. */
static bool is_dense(const struct nd_burst *burst, size_t *span)
{
    const struct nd_burst_item *last = &burst->items[burst->count - 1];
    *span = (size_t)(last->rest + last->len - burst->items[0].rest);
    return *span <= 2 * burst->bytes;
}

static void fill_mail(struct mail_burst *mail, const struct nd_burst *burst, bool dense,
                      size_t span)
{
    uint8_t *bytes = (uint8_t *)(mail->items + burst->count);
    const uint8_t *first = burst->items[0].rest;
    uint32_t at = 0;
    if (dense) {
        memcpy(bytes, first, span);
    }
    for (uint32_t i = 0; i < burst->count; i++) {
        const struct nd_burst_item *item = &burst->items[i];
        if (dense) {
            at = (uint32_t)(item->rest - first);
        } else {
            nd_copy(bytes + at, item->rest, item->len);
        }
        mail->items[i] = (struct mail_item){at, item->len, item->size};
        at += item->len;
    }
}

static int send_mail(struct nd_reactor *reactor, const struct nd_burst *burst,
                     uint32_t to)
{
    struct nd_outbox *outbox = &reactor->outboxes[to];
    struct mail_burst *mail;
    size_t span;
    bool dense = is_dense(burst, &span);
    size_t size = sizeof(*mail) + burst->count * sizeof(*mail->items) +
                  (dense ? span : burst->bytes);
    mail = nd_outbox_push(outbox, ND_MAIL_BURST, size);
    if (mail == NULL) {
        return ND_ENOMEM;
    }
    nd_match_retain(burst->match);
    mail->match = burst->match;
    mail->from_cid = burst->from_cid;
    mail->body_bytes = burst->body_bytes;
    mail->count = burst->count;
    mail->bytes = (uint32_t)burst->bytes;
    mail->is_echoed = burst->is_echoed;
    fill_mail(mail, burst, dense, span);
    if (outbox->weight > reactor->engine->outbox_high) {
        nd_reactor_post(reactor); /* so that its owner, and the brake, know of it */
    }
    return ND_OK;
}

static uint32_t send_slices(struct nd_reactor *reactor, const struct nd_burst *burst)
{
    const uint32_t *starts = burst->match->starts;
    uint32_t sent = 0;
    for (uint32_t to = 0; to < reactor->engine->options.reactors; to++) {
        if (to == reactor->index || starts[to] == starts[to + 1]) {
            continue;
        }
        if (send_mail(reactor, burst, to) != ND_OK) {
            nd_conn_log(burst->from, ND_LEVEL_ERROR, "No memory for a message");
            nd_conn_close(burst->from);
            break;
        }
        burst->from->mailed |= UINT64_C(1) << to;
        sent++;
    }
    return sent;
}

void nd_burst_dispose(struct nd_parcel *parcel)
{
    nd_match_release(nd_container(parcel, struct mail_burst, head)->match);
}

void nd_burst_mail(struct nd_reactor *reactor, struct nd_parcel *parcel)
{
    struct mail_burst *mail = nd_container(parcel, struct mail_burst, head);
    struct nd_burst burst;
    burst.from = NULL;
    burst.match = mail->match;
    burst.from_cid = mail->from_cid;
    burst.is_echoed = mail->is_echoed;
    burst.count = mail->count;
    burst.bytes = mail->bytes;
    burst.body_bytes = mail->body_bytes;
    const uint8_t *bytes = (const uint8_t *)(mail->items + mail->count);
    for (uint32_t i = 0; i < mail->count; i++) {
        const struct mail_item *item = &mail->items[i];
        burst.items[i] =
            (struct nd_burst_item){bytes + item->at, item->len, item->size};
    }
    serve_slice(reactor, &burst);
    nd_burst_dispose(parcel);
}

/* ---- begin and end ---- */

/* How much may be gathered: a wide fan-out stays within its bound, and nobody comes to
 * owe much more at once than what makes it heavy. */
static uint32_t room_for(const struct nd_engine *engine, const struct nd_match *match)
{
    uint64_t each = ND_TURN_BYTES / 2 / ND_MAX(match->plain_count, 1u);
    each = ND_MIN(each, (uint64_t)ND_BURST_BYTES);
    return (uint32_t)ND_MIN(each, engine->high_water / 8);
}

bool nd_burst_begin(struct nd_burst *burst, struct nd_conn *from,
                    struct nd_slice subject)
{
    struct nd_reactor *reactor = from->owner;
    int rc;
    assert(!nd_burst_is_open(burst));
    struct nd_match *match = nd_cache_find(reactor->cache, subject, &rc);
    if (nd_unlikely(rc != ND_OK) ||
        (match != NULL && nd_unlikely(!nd_brake_is_calm(reactor, match)))) {
        return false;
    }
    burst->from = from;
    burst->from_cid = from->cid;
    burst->subject = subject;
    burst->match = match;
    burst->is_echoed = (from->options & ND_OPT_ECHO) != 0;
    burst->count = 0;
    burst->room = match != NULL ? room_for(reactor->engine, match) : 0;
    burst->bytes = 0;
    burst->body_bytes = 0;
    return true;
}

void nd_burst_end(struct nd_burst *burst)
{
    struct nd_conn *from = burst->from;
    if (from == NULL) {
        return;
    }
    struct nd_reactor *reactor = from->owner;
    from->in_msgs += burst->count;
    from->in_bytes += burst->body_bytes;
    if (burst->match != NULL && burst->count == 1) {
        deliver_at(reactor, burst, 0);
    } else if (burst->match != NULL) {
        uint32_t served = 0;
        if (burst->match->group_count == 0) {
            served = serve_slice(reactor, burst);
            served += send_slices(reactor, burst);
        }
        if (served == 0) {
            deliver_singly(reactor, burst);
        }
    }
    burst->from = NULL;
}
