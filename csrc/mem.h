/* mem -- blobs: counted runs of bytes that connections, parcels and buffers share.
 *
 *   one blob, three holders:      chunk of an output buffer   (private while it fills)
 *                                 payload of a large message  (many readers)
 *                                 the read buffer of a reactor
 *
 * Whoever holds a reference may read; only a sole holder may write or grow. Memory that
 * a peer makes us need may be refused (NULL): that peer is closed, the server lives.
 */
#ifndef ND_MEM_H
#define ND_MEM_H

#include <stdatomic.h>

#include "nd.h"

struct nd_blob {
    _Atomic uint32_t refs;
    uint32_t cap;         /* bytes of data */
    struct nd_blob *next; /* of a pool, while it lies there */
    uint8_t data[];
};

struct nd_blob *nd_blob_new(size_t cap); /* born with 1; NULL = no memory */

struct nd_blob *nd_blob_copy(struct nd_slice bytes); /* the same, filled */

/* A sole holder's blob, moved if need be; NULL leaves the old one as it is. */
struct nd_blob *nd_blob_grow(struct nd_blob *blob, size_t cap);

static inline void nd_blob_retain(struct nd_blob *blob)
{
    atomic_fetch_add_explicit(&blob->refs, 1, memory_order_relaxed);
}

static inline bool nd_blob_is_sole(struct nd_blob *blob)
{
    return atomic_load_explicit(&blob->refs, memory_order_acquire) == 1;
}

void nd_blob_release(struct nd_blob *blob);

/* All of a blob that was made full. */
static inline struct nd_slice nd_blob_slice(const struct nd_blob *blob)
{
    return nd_slice(blob->data, blob->cap);
}

/* Chunks of two sizes that a reactor keeps for reuse. Its thread only. */
struct nd_pool {
    struct nd_blob *first, *next; /* of ND_CHUNK_FIRST, of ND_CHUNK_SIZE */
    uint32_t bytes;               /* in both */
};

struct nd_blob *nd_pool_take(struct nd_pool *pool,
                             bool is_first); /* NULL = no memory */

/* Releases a reference; the last one of a chunk goes back to the pool. */
void nd_pool_put(struct nd_pool *pool, struct nd_blob *blob);
void nd_pool_fini(struct nd_pool *pool);

#endif
