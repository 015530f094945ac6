/* outbuf -- what we owe a peer, oldest first.
 *
 *   segs   [ chunk A 0..9000 ][ blob 0..65536 ][ chunk A 9000..9100 ] ...
 *            small things      a large payload   small things again
 *            are copied        by reference      into the same chunk
 *
 * Small bytes are copied into chunks from the reactor's pool, the first of them a small
 * one; payloads from ND_SHARE_MIN up are held by reference. One write takes everything,
 * in order. An empty buffer holds no memory. Belongs to its connection's reactor; its
 * thread only.
 */
#ifndef ND_OUTBUF_H
#define ND_OUTBUF_H

#include <sys/uio.h>

#include "mem.h"
#include "nd.h"

enum { ND_OUTBUF_INLINE = 4 }; /* segments without an allocation */

struct nd_seg {
    struct nd_blob *blob; /* one reference */
    uint32_t at, len;
};

struct nd_outbuf {
    struct nd_seg *segs;       /* a ring of cap entries: inline_segs or the heap */
    uint32_t head, count, cap; /* cap is a power of two */
    uint32_t fill;             /* bytes used of chunk, while no segment is open */
    struct nd_blob *chunk;     /* the one being filled, with a reference; or NULL */
    uint8_t *cursor, *limit;   /* the room left in it, while the last segment is open
                                  (that is: ends at cursor); else both NULL */
    uint64_t pending;          /* bytes in all */
    struct nd_seg inline_segs[ND_OUTBUF_INLINE];
};

void nd_outbuf_init(struct nd_outbuf *out);
void nd_outbuf_fini(struct nd_outbuf *out, struct nd_pool *pool); /* drops all */

/* Copies. After ND_ENOMEM a part may be in: the buffer is good for nothing but fini. */
int nd_outbuf_append(struct nd_outbuf *out, struct nd_pool *pool,
                     struct nd_slice bytes);

/* Holds *bytes*, which lie in *blob*, by reference. */
int nd_outbuf_append_ref(struct nd_outbuf *out, struct nd_blob *blob,
                         struct nd_slice bytes);

/* Where the next *len* bytes may be written in one piece, to be committed at once; NULL
 * if the open chunk has no such room (then append). */
static inline uint8_t *nd_outbuf_room(const struct nd_outbuf *out, size_t len)
{
    return (size_t)(out->limit - out->cursor) >= len ? out->cursor : NULL;
}

static inline void nd_outbuf_commit(struct nd_outbuf *out, size_t len)
{
    out->segs[(out->head + out->count - 1) & (out->cap - 1)].len += (uint32_t)len;
    out->cursor += len;
    out->pending += len;
}

/* The oldest bytes as at most *max* pieces; returns how many. */
int nd_outbuf_peek(const struct nd_outbuf *out, struct iovec *iov, int max);

/* The oldest *len* bytes have gone. */
void nd_outbuf_consume(struct nd_outbuf *out, struct nd_pool *pool, uint64_t len);

/* Copies what lies in *blob* elsewhere, so that its owner may use it again. */
int nd_outbuf_settle(struct nd_outbuf *out, struct nd_blob *blob);

/* For tests: NULL, or which invariant does not hold. */
const char *nd_outbuf_check(const struct nd_outbuf *out);

#endif
