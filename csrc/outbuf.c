#include "outbuf.h"

#include <stdlib.h>

enum { REOPEN_MIN = 512 }; /* bytes: with less room a chunk is not opened again */

void nd_outbuf_init(struct nd_outbuf *out)
{
    memset(out, 0, sizeof(*out));
    out->segs = out->inline_segs;
    out->cap = ND_OUTBUF_INLINE;
}

static struct nd_seg *seg_at(const struct nd_outbuf *out, uint32_t i)
{
    return &out->segs[(out->head + i) & (out->cap - 1)];
}

/* Back to the state after init: nothing owed, no memory held. */
static void reset(struct nd_outbuf *out, struct nd_pool *pool)
{
    if (out->chunk != NULL) {
        nd_pool_put(pool, out->chunk);
    }
    if (out->segs != out->inline_segs) {
        free(out->segs);
    }
    nd_outbuf_init(out);
}

void nd_outbuf_fini(struct nd_outbuf *out, struct nd_pool *pool)
{
    for (uint32_t i = 0; i < out->count; i++) {
        nd_pool_put(pool, seg_at(out, i)->blob);
    }
    reset(out, pool);
}

static int grow_ring(struct nd_outbuf *out)
{
    uint32_t cap = out->cap * 2;
    struct nd_seg *segs = malloc(cap * sizeof(*segs));
    if (segs == NULL) {
        return ND_ENOMEM;
    }
    for (uint32_t i = 0; i < out->count; i++) {
        segs[i] = *seg_at(out, i);
    }
    if (out->segs != out->inline_segs) {
        free(out->segs);
    }
    out->segs = segs;
    out->cap = cap;
    out->head = 0;
    return ND_OK;
}

static int push_seg(struct nd_outbuf *out, struct nd_blob *blob, uint32_t at,
                    uint32_t len)
{
    if (out->count == out->cap && grow_ring(out) != ND_OK) {
        return ND_ENOMEM;
    }
    nd_blob_retain(blob);
    *seg_at(out, out->count++) = (struct nd_seg){blob, at, len};
    out->pending += len;
    return ND_OK;
}

/* Ends the open segment; the chunk stays, for the next one. */
static void close_seg(struct nd_outbuf *out)
{
    if (out->cursor != NULL) {
        out->fill = (uint32_t)(out->cursor - out->chunk->data);
        out->cursor = out->limit = NULL;
    }
}

/* Opens a segment with room: in the present chunk if it has enough, else in a new one.
 */
static int open_seg(struct nd_outbuf *out, struct nd_pool *pool)
{
    close_seg(out);
    if (out->chunk == NULL || out->chunk->cap - out->fill < REOPEN_MIN) {
        struct nd_blob *chunk = nd_pool_take(pool, out->chunk == NULL);
        if (chunk == NULL) {
            return ND_ENOMEM;
        }
        if (out->chunk != NULL) {
            nd_pool_put(pool, out->chunk);
        }
        out->chunk = chunk;
        out->fill = 0;
    }
    int rc = push_seg(out, out->chunk, out->fill, 0);
    if (rc == ND_OK) {
        out->cursor = out->chunk->data + out->fill;
        out->limit = out->chunk->data + out->chunk->cap;
    }
    return rc;
}

int nd_outbuf_append(struct nd_outbuf *out, struct nd_pool *pool, struct nd_slice bytes)
{
    while (bytes.len > 0) {
        if (out->cursor == out->limit) {
            int rc = open_seg(out, pool);
            if (rc != ND_OK) {
                return rc;
            }
        }
        size_t len = ND_MIN(bytes.len, (size_t)(out->limit - out->cursor));
        memcpy(out->cursor, bytes.ptr, len);
        nd_outbuf_commit(out, len);
        bytes.ptr += len;
        bytes.len -= len;
    }
    return ND_OK;
}

int nd_outbuf_append_ref(struct nd_outbuf *out, struct nd_blob *blob,
                         struct nd_slice bytes)
{
    assert(bytes.ptr >= blob->data && bytes.ptr + bytes.len <= blob->data + blob->cap);
    close_seg(out);
    uint32_t at = (uint32_t)(bytes.ptr - blob->data);
    struct nd_seg *last = out->count > 0 ? seg_at(out, out->count - 1) : NULL;
    if (last != NULL && last->blob == blob && last->at + last->len == at) {
        last->len += (uint32_t)bytes.len;
        out->pending += bytes.len;
        return ND_OK;
    }
    return push_seg(out, blob, at, (uint32_t)bytes.len);
}

int nd_outbuf_peek(const struct nd_outbuf *out, struct iovec *iov, int max)
{
    int n = 0;
    for (uint32_t i = 0; i < out->count && n < max; i++) {
        struct nd_seg *seg = seg_at(out, i);
        if (seg->len > 0) {
            iov[n].iov_base = seg->blob->data + seg->at;
            iov[n++].iov_len = seg->len;
        }
    }
    return n;
}

void nd_outbuf_consume(struct nd_outbuf *out, struct nd_pool *pool, uint64_t len)
{
    assert(len <= out->pending);
    out->pending -= len;
    while (out->count > 0) {
        struct nd_seg *seg = seg_at(out, 0);
        if (seg->len > len) {
            seg->at += (uint32_t)len;
            seg->len -= (uint32_t)len;
            return;
        }
        len -= seg->len;
        nd_pool_put(pool, seg->blob);
        out->head = (out->head + 1) & (out->cap - 1);
        out->count--;
    }
    reset(out, pool);
}

int nd_outbuf_settle(struct nd_outbuf *out, struct nd_blob *blob)
{
    for (uint32_t i = 0; i < out->count; i++) {
        struct nd_seg *seg = seg_at(out, i);
        if (seg->blob != blob) {
            continue;
        }
        struct nd_blob *copy = nd_blob_new(seg->len);
        if (copy == NULL) {
            return ND_ENOMEM;
        }
        memcpy(copy->data, blob->data + seg->at, seg->len);
        nd_blob_release(blob);
        *seg = (struct nd_seg){copy, 0, seg->len};
    }
    return ND_OK;
}

const char *nd_outbuf_check(const struct nd_outbuf *out)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < out->count; i++) {
        const struct nd_seg *seg = seg_at(out, i);
        if ((uint64_t)seg->at + seg->len > seg->blob->cap) {
            return "a segment leaves its blob";
        }
        bytes += seg->len;
    }
    if (bytes != out->pending) {
        return "pending is not the sum of the segments";
    }
    if (out->cursor != NULL) {
        const struct nd_seg *last = seg_at(out, out->count - 1);
        if (out->count == 0 || last->blob != out->chunk ||
            out->chunk->data + last->at + last->len != out->cursor) {
            return "the open segment does not end at the cursor";
        }
    }
    if (out->pending == 0 && (out->count != 0 || out->chunk != NULL)) {
        return "an empty buffer holds memory";
    }
    return NULL;
}
