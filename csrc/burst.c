#include "burst.h"

#include "brake.h"
#include "burst_own.h"
#include "copy.h"
#include "deliver_own.h"
#include "reactor.h"

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

void nd_burst__render_head(struct nd_burst_head *head, const struct nd_match *match,
                           const struct nd_sub *sub)
{
    struct nd_slice prefix = match->prefix, sid = nd_sub_sid(sub);
    head->len = prefix.len + sid.len;
    head->is_short = head->len <= sizeof(head->few);
    if (head->is_short) {
        memcpy(head->few, prefix.ptr, prefix.len);
        memcpy(head->few + prefix.len, sid.ptr, sid.len);
    }
}

size_t nd_burst__fill(uint8_t *at, size_t room, const struct nd_burst *burst,
                      uint32_t *i, const struct nd_burst_head *head)
{
    size_t used = 0;
    for (; *i < burst->count; (*i)++) {
        const struct nd_burst_item *item = &burst->items[*i];
        if (head->len + item->len + ND_HEAD_SHORT > room - used) {
            break;
        }
        memcpy(at + used, head->few, ND_HEAD_SHORT);
        nd_copy(at + used + head->len, item->rest, item->len);
        used += head->len + item->len;
    }
    return used;
}

static int put(const struct nd_burst *burst, struct nd_outbuf *out,
               struct nd_pool *pool, const struct nd_sub *sub)
{
    struct nd_burst_head head;
    nd_burst__render_head(&head, burst->match, sub);
    for (uint32_t i = 0; i < burst->count; i++) {
        size_t used = 0;
        if (head.is_short) {
            size_t room = (size_t)(out->limit - out->cursor);
            used = nd_burst__fill(out->cursor, room, burst, &i, &head);
        }
        if (used > 0) {
            nd_outbuf_commit(out, used);
        }
        if (i < burst->count &&
            put_pieces(out, pool, burst->match->prefix, nd_sub_sid(sub),
                       &burst->items[i]) != ND_OK) {
            return ND_ENOMEM;
        }
    }
    return ND_OK;
}

bool nd_burst__is_plain(const struct nd_burst *burst, const struct nd_sub *sub,
                        uint64_t bytes)
{
    const struct nd_conn *to = sub->conn;
    return !atomic_load_explicit(&sub->dead, memory_order_relaxed) && sub->max == 0 &&
           nd_conn_is_alive(to) && !to->is_traced &&
           (burst->is_echoed || to->cid != burst->from_cid) &&
           to->out.pending + bytes <= to->owner->settings->high_water;
}

void nd_burst__account(struct nd_reactor *reactor, const struct nd_burst *burst,
                       struct nd_sub *sub)
{
    sub->delivered += burst->count;
    nd_deliver__count(sub->conn, burst->count, burst->body_bytes);
    nd_deliver__owe(reactor, sub->conn, burst->bytes);
}

void nd_burst__refuse(struct nd_conn *to)
{
    nd_conn_log(to, ND_LEVEL_ERROR, "No memory for what it is owed");
    nd_conn_close(to);
}

/* Returns how many messages it took. */
static uint32_t serve_all(struct nd_reactor *reactor, const struct nd_burst *burst,
                          struct nd_sub *sub)
{
    uint64_t head = burst->match->prefix.len + sub->sid_len;
    if (nd_unlikely(
            !nd_burst__is_plain(burst, sub, head * burst->count + burst->bytes))) {
        return serve_singly(reactor, burst, &sub, 1);
    }
    struct nd_conn *to = sub->conn;
    if (nd_unlikely(put(burst, &to->out, &reactor->pool, sub) != ND_OK)) {
        nd_burst__refuse(to);
        return 0;
    }
    nd_burst__account(reactor, burst, sub);
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

uint32_t nd_burst__serve_slice(struct nd_reactor *reactor, const struct nd_burst *burst)
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

/* ---- begin and end ---- */

/* How much may be gathered: a wide fan-out stays within its bound, and nobody comes to
 * owe much more at once than what makes it heavy. */
static uint32_t room_for(const struct nd_settings *settings,
                         const struct nd_match *match)
{
    uint64_t each = ND_TURN_BYTES / 2 / ND_MAX(match->plain_count, 1u);
    each = ND_MIN(each, (uint64_t)ND_BURST_BYTES);
    return (uint32_t)ND_MIN(each, settings->high_water / 8);
}

bool nd_burst_begin(struct nd_burst *burst, struct nd_conn *from,
                    struct nd_slice subject)
{
    struct nd_reactor *reactor = from->owner;
    int rc;
    assert(!nd_burst_is_open(burst));
    struct nd_match *match = nd_cache_find(reactor->cache, subject, &rc);
    if (nd_unlikely(from->rights.permits != NULL) &&
        !nd_cache_may_publish(reactor->cache, from->rights.permits, subject)) {
        return false; /* refused one by one, too */
    }
    if (nd_unlikely(rc != ND_OK) || nd_unlikely(!nd_brake_is_calm(from, match))) {
        return false;
    }
    burst->from = from;
    burst->from_cid = from->cid;
    burst->subject = subject;
    burst->match = match;
    burst->is_echoed = (from->options & ND_OPT_ECHO) != 0;
    burst->count = 0;
    burst->room = match != NULL ? room_for(reactor->settings, match) : 0;
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
            served = nd_burst__serve_slice(reactor, burst);
            served += nd_burst__send_slices(reactor, burst);
        }
        if (served == 0) {
            deliver_singly(reactor, burst);
        }
    }
    burst->from = NULL;
}
