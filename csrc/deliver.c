#include "deliver.h"

#include "brake.h"
#include "client.h"
#include "conn.h"
#include "deliver_own.h"
#include "match.h"
#include "reactor.h"

enum { TRIES_MAX = 8 }; /* owners that a queue message may find its member gone at */

void nd_deliver__begin(struct nd_delivery *d, struct nd_reactor *reactor,
                       const struct nd_msg *msg, const struct nd_match *match,
                       struct nd_conn *from, uint64_t from_cid)
{
    d->reactor = reactor;
    d->msg = msg;
    d->from = from;
    d->from_cid = from_cid;
    d->has_bare = false;
    nd_view_full(&d->full, msg, match);
}

static const struct nd_view *bare_view(struct nd_delivery *d)
{
    if (!d->has_bare) {
        nd_view_bare(&d->bare, &d->full, d->msg, d->reactor->bare_line);
        d->has_bare = true;
    }
    return &d->bare;
}

void nd_deliver__owe(struct nd_reactor *reactor, struct nd_conn *to, uint64_t bytes)
{
    reactor->dirty_bytes += bytes;
    nd_reactor_add_dirty(reactor, to);
    if (nd_likely(to->out.pending <= reactor->engine->early_mark)) {
        return;
    }
    if (!to->is_blocked) {
        nd_reactor_post(reactor);
        nd_conn_flush(to);
    } else {
        nd_brake_weigh(to);
    }
}

static void count_delivery(struct nd_conn *to, struct nd_sub *sub)
{
    sub->delivered++;
    if (nd_unlikely(sub->max != 0 && sub->delivered >= sub->max)) {
        if (nd_conn_logs_debug(to)) {
            nd_conn_log(to, ND_LEVEL_DEBUG,
                        "Auto-unsubscribe limit of %llu reached for sid '%.*s'",
                        (unsigned long long)sub->max, (int)sub->sid_len, sub->text);
        }
        nd_client_unsubscribe(to, sub);
    }
}

static void trace_out(struct nd_conn *to, const struct nd_sub *sub,
                      const struct nd_view *view)
{
    uint8_t text[512];
    size_t len = 0;
    struct nd_slice pieces[] = {nd_slice(view->prefix.ptr + 4, view->prefix.len - 4),
                                nd_sub_sid(sub),
                                nd_slice(view->line.ptr, view->line.len - 2)};
    for (size_t i = 0; i < 3; i++) {
        size_t part = ND_MIN(pieces[i].len, sizeof(text) - len);
        memcpy(text + len, pieces[i].ptr, part);
        len += part;
    }
    nd_conn_trace(to, "<<-", view->is_headed ? "HMSG" : "MSG", nd_slice(text, len));
}

bool nd_deliver__serve(struct nd_delivery *d, struct nd_sub *sub)
{
    struct nd_reactor *reactor = d->reactor;
    if (atomic_load_explicit(&sub->dead, memory_order_relaxed)) {
        return false;
    }
    struct nd_conn *to = sub->conn;
    if (!nd_conn_is_alive(to) || (!d->msg->is_echoed && to->cid == d->from_cid)) {
        return false;
    }
    if (nd_unlikely(to->out.pending > reactor->engine->options.max_pending)) {
        nd_conn_cut(to);
        return false;
    }
    const struct nd_view *view = &d->full;
    if (nd_unlikely(d->msg->has_header &&
                    (!view->is_headed || !(to->options & ND_OPT_HEADERS)))) {
        view = bare_view(d);
    }
    if (nd_unlikely(nd_view_put(view, &to->out, &reactor->pool, sub) != ND_OK)) {
        nd_conn_log(to, ND_LEVEL_ERROR, "No memory for what it is owed");
        nd_conn_close(to);
        return false;
    }
    nd_deliver__count(to, 1, view->size);
    if (nd_unlikely(to->is_traced)) {
        trace_out(to, sub, view);
    }
    count_delivery(to, sub);
    nd_deliver__owe(reactor, to, view->size);
    return true;
}

/* ---- parcels ---- */

struct mail_msg {
    struct nd_parcel head;
    struct nd_match *match; /* one reference */
    struct nd_sub *chosen;  /* a queue member, held by the match; NULL = our slice */
    struct nd_blob *blob;   /* holds body, one reference; NULL: it lies behind line */
    const uint8_t *body;    /* in blob */
    uint64_t from_cid;
    uint32_t body_len, line_len, reply_len, header_size;
    uint8_t tries;
    bool has_header, is_echoed;
    uint8_t bytes[];
};

/* Large bytes are shared by all parcels of a message: in what holds them, or, if that
 * is the read buffer, which its reactor needs back, in one copy. */
static int hold_body(struct nd_reactor *reactor, struct nd_msg *msg,
                     struct nd_blob **copy)
{
    if (msg->body.len < ND_SHARE_MIN ||
        (msg->blob != NULL && msg->blob != reactor->slab)) {
        return ND_OK;
    }
    struct nd_blob *blob = nd_blob_new(msg->body.len);
    if (blob == NULL) {
        return ND_ENOMEM;
    }
    memcpy(blob->data, msg->body.ptr, msg->body.len);
    msg->body.ptr = blob->data;
    msg->blob = *copy = blob;
    msg->is_joined = false;
    return ND_OK;
}

static int send_mail(struct nd_delivery *d, uint32_t to, struct nd_match *match,
                     struct nd_sub *chosen, uint8_t tries)
{
    const struct nd_msg *msg = d->msg;
    struct nd_outbox *outbox = &d->reactor->outboxes[to];
    bool is_held = msg->body.len >= ND_SHARE_MIN;
    assert(!is_held || msg->blob != d->reactor->slab);
    size_t inside = msg->line.len + (is_held ? 0 : msg->body.len);
    struct mail_msg *mail = nd_outbox_push(outbox, ND_MAIL_MSG, sizeof(*mail) + inside);
    if (mail == NULL) {
        return ND_ENOMEM;
    }
    nd_match_retain(match);
    mail->match = match;
    mail->chosen = chosen;
    mail->blob = NULL;
    mail->from_cid = d->from_cid;
    mail->body_len = (uint32_t)msg->body.len;
    mail->line_len = (uint32_t)msg->line.len;
    mail->reply_len = msg->reply_len;
    mail->header_size = msg->header_size;
    mail->tries = tries;
    mail->has_header = msg->has_header;
    mail->is_echoed = msg->is_echoed;
    memcpy(mail->bytes, msg->line.ptr, msg->line.len);
    if (is_held) {
        nd_blob_retain(msg->blob);
        mail->blob = msg->blob;
        mail->body = msg->body.ptr;
        nd_outbox_weigh(outbox, msg->body.len);
    } else {
        memcpy(mail->bytes + msg->line.len, msg->body.ptr, msg->body.len);
    }
    if (nd_unlikely(outbox->weight > d->reactor->engine->outbox_high)) {
        nd_reactor_post(d->reactor); /* so that its owner, and the brake, know of it */
    }
    return ND_OK;
}

void nd_deliver_dispose(struct nd_parcel *parcel)
{
    struct mail_msg *mail = nd_container(parcel, struct mail_msg, head);
    if (mail->blob != NULL) {
        nd_blob_release(mail->blob);
    }
    nd_match_release(mail->match);
}

static uint32_t count_live(const struct nd_match *match, uint32_t slice)
{
    uint32_t live = 0;
    for (uint32_t i = match->starts[slice]; i < match->starts[slice + 1]; i++) {
        live += !nd_sub_is_dead(match->plain[i]);
    }
    return live;
}

static int64_t send_slices(struct nd_delivery *d, struct nd_match *match)
{
    struct nd_engine *engine = d->reactor->engine;
    int64_t count = 0;
    for (uint32_t to = 0; to < engine->options.reactors; to++) {
        if (to == d->reactor->index || match->starts[to] == match->starts[to + 1]) {
            continue;
        }
        if (send_mail(d, to, match, NULL, 0) != ND_OK) {
            return ND_ENOMEM;
        }
        count += d->msg->reply_len > 0 ? count_live(match, to) : 1;
    }
    return count;
}

/* Gives the message to one member. Returns 1, 0 if it cannot take it, or ND_ENOMEM. */
static int offer(struct nd_delivery *d, struct nd_match *match, struct nd_sub *sub,
                 uint8_t tries)
{
    uint64_t bytes = d->full.prefix.len + d->full.line.len + d->full.body.len;
    if (sub->owner == d->reactor->index) {
        if (!nd_deliver__serve(d, sub)) {
            return 0;
        }
    } else {
        if (nd_sub_is_dead(sub) ||
            (!d->msg->is_echoed && sub->gate->cid == d->from_cid)) {
            return 0;
        }
        int rc = send_mail(d, sub->owner, match, sub, tries);
        if (rc != ND_OK) {
            return rc;
        }
    }
    nd_brake_charge(d->from, sub->gate, bytes);
    return 1;
}

/* One member of *group*, uniformly at random among those who can take it; those who lag
 * come last. Returns as offer does. */
static int pick(struct nd_delivery *d, struct nd_match *match,
                const struct nd_group *group, uint8_t tries)
{
    uint32_t start = nd_reactor_random(d->reactor, group->count);
    for (uint32_t i = 0; i < 2 * group->count; i++) {
        struct nd_sub *sub = match->members[group->first + (start + i) % group->count];
        bool is_shut = !nd_brake_is_open(d->from, sub->gate);
        int rc = is_shut == (i >= group->count) ? offer(d, match, sub, tries) : 0;
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

static void serve_slice(struct nd_delivery *d, struct nd_match *match, int64_t *count)
{
    uint32_t own = d->reactor->index;
    for (uint32_t i = match->starts[own]; i < match->starts[own + 1]; i++) {
        *count += nd_deliver__serve(d, match->plain[i]);
    }
}

static bool leaves_reactor(const struct nd_reactor *reactor,
                           const struct nd_match *match)
{
    uint32_t own = reactor->index;
    return match->group_count > 0 ||
           match->starts[own + 1] - match->starts[own] < match->plain_count;
}

/* Beyond our own slice: parcels to other reactors, and one member of every group. */
static int64_t deliver_widely(struct nd_delivery *d, struct nd_match *match,
                              int64_t count)
{
    struct nd_msg held = *d->msg;
    struct nd_blob *copy = NULL;
    if (d->reactor->engine->options.reactors > 1) {
        if (hold_body(d->reactor, &held, &copy) != ND_OK) {
            return ND_ENOMEM;
        }
        d->msg = &held;
        int64_t sent = send_slices(d, match);
        count = sent < 0 ? sent : count + sent;
    }
    for (uint32_t i = 0; i < match->group_count && count >= 0; i++) {
        int picked = pick(d, match, &match->groups[i], 0);
        count = picked < 0 ? picked : count + picked;
    }
    if (copy != NULL) {
        nd_blob_release(copy);
    }
    return count;
}

/* To everyone in *match*, which the caller keeps alive. */
static int64_t deliver_match(struct nd_reactor *reactor, struct nd_conn *from,
                             const struct nd_msg *msg, struct nd_match *match)
{
    struct nd_delivery d;
    int64_t count = 0;
    nd_deliver__begin(&d, reactor, msg, match, from, from->cid);
    serve_slice(&d, match, &count);
    return leaves_reactor(reactor, match) ? deliver_widely(&d, match, count) : count;
}

int64_t nd_deliver(struct nd_reactor *reactor, struct nd_conn *from,
                   const struct nd_msg *msg, struct nd_match *match)
{
    int64_t count = deliver_match(reactor, from, msg, match);
    if (nd_unlikely(count == 0)) {
        /* Everyone in it has gone. Has the index heard of others meanwhile? */
        int rc;
        struct nd_slice subject = nd_match_subject(match);
        nd_match_retain(match);
        struct nd_match *again = nd_cache_find(reactor->cache, subject, &rc);
        if (again != NULL && again != match) {
            count = deliver_match(reactor, from, msg, again);
        }
        nd_match_release(match);
    }
    return count;
}

/* ---- the other side of the mail ---- */

static const struct nd_group *find_group(const struct nd_match *match,
                                         struct nd_slice queue)
{
    for (uint32_t i = 0; i < match->group_count; i++) {
        const struct nd_group *group = &match->groups[i];
        if (nd_slice_is_equal(nd_sub_queue(match->members[group->first]), queue)) {
            return group;
        }
    }
    return NULL;
}

/* Our member has gone since it was picked: another one of its group, from the index as
 * it is now. */
static void pick_again(struct nd_delivery *d, struct mail_msg *mail)
{
    int rc;
    struct nd_match *match =
        nd_cache_find(d->reactor->cache, nd_match_subject(mail->match), &rc);
    const struct nd_group *group =
        match != NULL ? find_group(match, nd_sub_queue(mail->chosen)) : NULL;
    if (group != NULL && mail->tries < TRIES_MAX) {
        pick(d, match, group, mail->tries + 1);
    }
}

void nd_deliver_mail(struct nd_reactor *reactor, struct nd_parcel *parcel)
{
    struct mail_msg *mail = nd_container(parcel, struct mail_msg, head);
    struct nd_msg msg = {
        .line = nd_slice(mail->bytes, mail->line_len),
        .body = nd_slice(mail->blob != NULL ? mail->body : mail->bytes + mail->line_len,
                         mail->body_len),
        .blob = mail->blob,
        .reply_len = mail->reply_len,
        .header_size = mail->header_size,
        .has_header = mail->has_header,
        .is_joined = mail->blob == NULL,
        .is_echoed = mail->is_echoed,
    };
    struct nd_delivery d;
    int64_t count = 0;
    nd_deliver__begin(&d, reactor, &msg, mail->match, NULL, mail->from_cid);
    if (mail->chosen == NULL) {
        serve_slice(&d, mail->match, &count);
    } else if (!nd_deliver__serve(&d, mail->chosen)) {
        pick_again(&d, mail);
    }
    nd_deliver_dispose(parcel);
}

/* ---- nobody there ---- */

static struct nd_sub *find_own(const struct nd_match *match, const struct nd_conn *conn)
{
    uint32_t own = conn->owner->index;
    for (uint32_t i = match->starts[own]; i < match->starts[own + 1]; i++) {
        struct nd_sub *sub = match->plain[i];
        if (!nd_sub_is_dead(sub) && sub->conn == conn) {
            return sub;
        }
    }
    for (uint32_t i = 0; i < match->group_count; i++) {
        const struct nd_group *group = &match->groups[i];
        for (uint32_t k = 0; k < group->count; k++) {
            struct nd_sub *sub = match->members[group->first + k];
            if (sub->owner == own && !nd_sub_is_dead(sub) && sub->conn == conn) {
                return sub;
            }
        }
    }
    return NULL;
}

/* Counts neither as a delivery nor towards a limit, as in later servers. */
void nd_deliver_no_responders(struct nd_reactor *reactor, struct nd_conn *from,
                              struct nd_slice reply)
{
    int rc;
    struct nd_match *match = nd_cache_find(reactor->cache, reply, &rc);
    struct nd_sub *sub = match != NULL ? find_own(match, from) : NULL;
    if (sub != NULL) {
        nd_conn_reply(from, nd_slice("H", 1));
        nd_conn_reply(from, match->prefix);
        nd_conn_reply(from, nd_sub_sid(sub));
        nd_conn_reply(from, ND_LIT(" 16 16\r\nNATS/1.0 503\r\n\r\n\r\n"));
    }
}
