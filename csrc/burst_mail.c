/* A burst on its way to another reactor.
 *
 *   one subscriber there    "MSG a 1 16\r\n...": all its bytes, made by the sender in a
 *                           chunk that the owner only links into the output buffer
 *   many, or little of it   the rests, from which the owner makes what each one gets
 */
#include "burst.h"

#include "burst_own.h"
#include "conn.h"
#include "copy.h"
#include "reactor.h"

/* Bytes of rests. With less, a chunk would be held for too little: who lags holds four
 * times at most of what it owes. */
enum { READY_MIN = 16 * ND_KIB };

_Static_assert(ND_BURST_BYTES + (ND_BURST_MAX + 1) * ND_HEAD_SHORT <= ND_CHUNK_SIZE,
               "a burst with its heads fits into a chunk");

struct mail_item {
    uint32_t at; /* of the rest, in the bytes of the parcel */
    uint32_t len, size;
};

struct mail_burst {
    struct nd_parcel head;
    struct nd_match *match; /* one reference */
    struct nd_blob *blob;   /* holds ready, one reference; NULL: see items */
    struct nd_slice ready;  /* the very bytes for the only subscriber there */
    uint64_t from_cid;
    uint64_t body_bytes;
    uint32_t count, bytes;
    bool is_echoed;
    struct mail_item items[]; /* where in ready; else in what lies behind them */
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

static struct mail_burst *push(struct nd_outbox *outbox, const struct nd_burst *burst,
                               size_t bytes)
{
    size_t size = sizeof(struct mail_burst) + burst->count * sizeof(struct mail_item);
    struct mail_burst *mail = nd_outbox_push(outbox, ND_MAIL_BURST, size + bytes);
    if (mail != NULL) {
        nd_match_retain(burst->match);
        mail->match = burst->match;
        mail->blob = NULL;
        mail->from_cid = burst->from_cid;
        mail->body_bytes = burst->body_bytes;
        mail->count = burst->count;
        mail->bytes = (uint32_t)burst->bytes;
        mail->is_echoed = burst->is_echoed;
    }
    return mail;
}

static int send_items(struct nd_outbox *outbox, const struct nd_burst *burst)
{
    size_t span;
    bool dense = is_dense(burst, &span);
    struct mail_burst *mail = push(outbox, burst, dense ? span : burst->bytes);
    if (mail == NULL) {
        return ND_ENOMEM;
    }
    fill_mail(mail, burst, dense, span);
    return ND_OK;
}

/* For a single subscriber the bytes that it is to get are made here: its owner never
 * touches them, but for the kernel. */
static int send_ready(struct nd_reactor *reactor, struct nd_outbox *outbox,
                      const struct nd_burst *burst, const struct nd_burst_head *head)
{
    size_t len = burst->bytes + burst->count * head->len;
    uint8_t *to = nd_outbox_room(outbox, &reactor->pool, len + ND_HEAD_SHORT);
    struct mail_burst *mail = to != NULL ? push(outbox, burst, 0) : NULL;
    if (mail == NULL) {
        return ND_ENOMEM;
    }
    uint32_t done = 0, at = 0;
    nd_burst__fill(to, len + ND_HEAD_SHORT, burst, &done, head);
    assert(done == burst->count);
    for (uint32_t i = 0; i < burst->count; i++) {
        const struct nd_burst_item *item = &burst->items[i];
        at += (uint32_t)head->len;
        mail->items[i] = (struct mail_item){at, item->len, item->size};
        at += item->len;
    }
    mail->ready = nd_slice(to, len);
    mail->blob = nd_outbox_take_room(outbox, len);
    return ND_OK;
}

static int send_mail(struct nd_reactor *reactor, const struct nd_burst *burst,
                     uint32_t to)
{
    struct nd_outbox *outbox = &reactor->outboxes[to];
    const uint32_t *starts = burst->match->starts + to;
    struct nd_burst_head head = {.is_short = false};
    if (starts[1] - starts[0] == 1 && burst->bytes >= READY_MIN) {
        nd_burst__render_head(&head, burst->match, burst->match->plain[starts[0]]);
    }
    int rc = head.is_short ? send_ready(reactor, outbox, burst, &head)
                           : send_items(outbox, burst);
    if (rc == ND_OK && outbox->weight > reactor->settings->outbox_high) {
        nd_reactor_post(reactor); /* so that its owner, and the brake, know of it */
    }
    return rc;
}

uint32_t nd_burst__send_slices(struct nd_reactor *reactor, const struct nd_burst *burst)
{
    const uint32_t *starts = burst->match->starts;
    uint32_t sent = 0;
    for (uint32_t to = 0; to < reactor->engine->reactor_count; to++) {
        if (to == reactor->index || starts[to] == starts[to + 1]) {
            continue;
        }
        if (send_mail(reactor, burst, to) != ND_OK) {
            nd_conn_log(burst->from, ND_LEVEL_ERROR, "No memory for a message");
            nd_conn_close(burst->from);
            break;
        }
        sent++;
    }
    return sent;
}

void nd_burst_dispose(struct nd_parcel *parcel)
{
    struct mail_burst *mail = nd_container(parcel, struct mail_burst, head);
    nd_match_release(mail->match);
    if (mail->blob != NULL) {
        nd_blob_release(mail->blob);
    }
}

/* The bytes as they are. False: someone has to look at the messages. */
static bool serve_ready(struct nd_reactor *reactor, const struct mail_burst *mail,
                        const struct nd_burst *burst)
{
    struct nd_sub *sub = burst->match->plain[burst->match->starts[reactor->index]];
    if (!nd_burst__is_plain(burst, sub, mail->ready.len)) {
        return false;
    }
    if (nd_outbuf_append_ref(&sub->conn->out, mail->blob, mail->ready) != ND_OK) {
        nd_burst__refuse(sub->conn);
    } else {
        nd_burst__account(reactor, burst, sub);
    }
    return true;
}

static void serve_items(struct nd_reactor *reactor, const struct mail_burst *mail,
                        struct nd_burst *burst)
{
    const uint8_t *bytes = mail->blob != NULL
                               ? mail->ready.ptr
                               : (const uint8_t *)(mail->items + mail->count);
    for (uint32_t i = 0; i < mail->count; i++) {
        const struct mail_item *item = &mail->items[i];
        burst->items[i] =
            (struct nd_burst_item){bytes + item->at, item->len, item->size};
    }
    nd_burst__serve_slice(reactor, burst);
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
    if (mail->blob == NULL || !serve_ready(reactor, mail, &burst)) {
        serve_items(reactor, mail, &burst);
    }
    nd_burst_dispose(parcel);
}
