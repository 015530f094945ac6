#include "mem.h"

#include <stdlib.h>

enum { POOL_COUNT = 32 }; /* chunks: half a megabyte for a reactor that was busy */

struct nd_blob *nd_blob_new(size_t cap)
{
    assert(cap <= UINT32_MAX);
    struct nd_blob *blob = malloc(sizeof(*blob) + cap);
    if (blob != NULL) {
        atomic_init(&blob->refs, 1);
        blob->cap = (uint32_t)cap;
        blob->next = NULL;
    }
    return blob;
}

struct nd_blob *nd_blob_grow(struct nd_blob *blob, size_t cap)
{
    assert(nd_blob_is_sole(blob) && cap <= UINT32_MAX);
    struct nd_blob *grown = realloc(blob, sizeof(*blob) + cap);
    if (grown != NULL) {
        grown->cap = (uint32_t)cap;
    }
    return grown;
}

void nd_blob_release(struct nd_blob *blob)
{
    if (atomic_fetch_sub_explicit(&blob->refs, 1, memory_order_acq_rel) == 1) {
        free(blob);
    }
}

struct nd_blob *nd_pool_take(struct nd_pool *pool)
{
    struct nd_blob *blob = pool->free;
    if (blob == NULL) {
        return nd_blob_new(ND_CHUNK_SIZE);
    }
    pool->free = blob->next;
    pool->count--;
    blob->next = NULL;
    return blob;
}

void nd_pool_put(struct nd_pool *pool, struct nd_blob *blob)
{
    if (blob->cap != ND_CHUNK_SIZE || pool->count >= POOL_COUNT ||
        !nd_blob_is_sole(blob)) {
        nd_blob_release(blob);
        return;
    }
    blob->next = pool->free;
    pool->free = blob;
    pool->count++;
}

void nd_pool_fini(struct nd_pool *pool)
{
    while (pool->free != NULL) {
        struct nd_blob *blob = pool->free;
        pool->free = blob->next;
        nd_blob_release(blob);
    }
}
