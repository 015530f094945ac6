#include "mem.h"

#include <stdlib.h>

enum { POOL_BYTES = ND_MIB }; /* that a reactor keeps when it has been busy */

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

struct nd_blob *nd_blob_copy(struct nd_slice bytes)
{
    struct nd_blob *blob = nd_blob_new(bytes.len);
    if (blob != NULL && bytes.len > 0) {
        memcpy(blob->data, bytes.ptr, bytes.len);
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

static struct nd_blob **row_of(struct nd_pool *pool, size_t cap)
{
    return cap == ND_CHUNK_FIRST  ? &pool->first
           : cap == ND_CHUNK_SIZE ? &pool->next
                                  : NULL;
}

struct nd_blob *nd_pool_take(struct nd_pool *pool, bool is_first)
{
    size_t cap = is_first ? ND_CHUNK_FIRST : ND_CHUNK_SIZE;
    struct nd_blob **row = row_of(pool, cap);
    struct nd_blob *blob = *row;
    if (blob == NULL) {
        return nd_blob_new(cap);
    }
    *row = blob->next;
    pool->bytes -= blob->cap;
    blob->next = NULL;
    return blob;
}

void nd_pool_put(struct nd_pool *pool, struct nd_blob *blob)
{
    struct nd_blob **row = row_of(pool, blob->cap);
    if (row == NULL || pool->bytes + blob->cap > POOL_BYTES || !nd_blob_is_sole(blob)) {
        nd_blob_release(blob);
        return;
    }
    blob->next = *row;
    *row = blob;
    pool->bytes += blob->cap;
}

static void empty(struct nd_blob *blob)
{
    while (blob != NULL) {
        struct nd_blob *next = blob->next;
        nd_blob_release(blob);
        blob = next;
    }
}

void nd_pool_fini(struct nd_pool *pool)
{
    empty(pool->first);
    empty(pool->next);
    *pool = (struct nd_pool){0};
}
