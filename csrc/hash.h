/* hash -- a keyed hash, and a table of records that carry their own link.
 *
 * The key is random for each process, so a stranger cannot choose names that collide.
 *
 * The table hashes linearly: it gains one bucket with an insertion and loses a few with
 * a removal, splitting or joining one chain for each, so no operation ever takes long
 * and the memory returns with the records.
 *
 *   buckets   0 1 2 3 | 4 5            6 buckets: 4, and the chains 0 and 1 split
 *
 * The table owns nothing: records embed struct nd_hash_link and live as their owner
 * says. Not thread-safe; the caller's lock or thread protects it.
 */
#ifndef ND_HASH_H
#define ND_HASH_H

#include "nd.h"
#include "tiers.h"

struct nd_hash_key {
    uint64_t k0, k1;
};

/* SipHash-1-3. */
uint64_t nd_hash_bytes(const struct nd_hash_key *key, struct nd_slice bytes);
uint64_t nd_hash_u64(const struct nd_hash_key *key, uint64_t number);

/* One hash out of two, of which at least one is keyed. */
static inline uint64_t nd_hash_join(uint64_t a, uint64_t b)
{
    uint64_t joined =
        (a + b * UINT64_C(0x9e3779b97f4a7c15)) * UINT64_C(0xd6e8feb86659fd93);
    return joined ^ joined >> 32;
}

struct nd_hash_link {
    struct nd_hash_link *next;
    uint64_t hash;
};

struct nd_hash {
    struct nd_tiers buckets;  /* heads of chains; the first costs no allocation */
    uint32_t top;             /* buckets from here up are empty */
    size_t used;              /* records */
    struct nd_pantry *pantry; /* NULL, or borrowed: see tiers.h */
};

void nd_hash_init(struct nd_hash *table);
void nd_hash_fini(struct nd_hash *table); /* forgets the records, frees the buckets */

/* The head of the chain on which a record of *hash* would be, to be fetched ahead of
 * time; NULL if the table is empty. Valid until the table changes. */
struct nd_hash_link **nd_hash_head(const struct nd_hash *table, uint64_t hash);

/* The caller has set link->hash and knows that no equal record is in. Cannot fail:
 * growth for which there is no memory is put off. */
void nd_hash_insert(struct nd_hash *table, struct nd_hash_link *link);
bool nd_hash_remove(struct nd_hash *table, struct nd_hash_link *link);

/* Walks the records whose hash is equal; the caller compares. Start with NULL. */
struct nd_hash_link *nd_hash_find(const struct nd_hash *table, uint64_t hash,
                                  const struct nd_hash_link *after);

/* Any record, or NULL: for emptying a table, which takes linear time as a whole. */
struct nd_hash_link *nd_hash_any(struct nd_hash *table);

#endif
