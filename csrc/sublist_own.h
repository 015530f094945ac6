/* sublist_own -- what the files of the sublist module share, and nobody else. */
#ifndef ND_SUBLIST_OWN_H
#define ND_SUBLIST_OWN_H

#include <stdalign.h>
#include <stdatomic.h>

#include "place.h"
#include "sublist.h"
#include "sys.h"
#include "trie.h"

enum {
    ND_LITERAL_BUCKETS = 4096, /* generations; powers of two */
    ND_TOKEN_BUCKETS = 1024,
    ND_CACHE_LINE = 64
};

/* Written under the write lock: the particular one first, then *any*, each with
 * release, so that whoever has seen a new *any* sees the particular one as well. */
struct nd_generations {
    alignas(ND_CACHE_LINE) _Atomic uint64_t any;
    _Atomic uint32_t wild;
    _Atomic uint32_t literals[ND_LITERAL_BUCKETS];
    _Atomic uint32_t tokens[ND_TOKEN_BUCKETS];
};

struct nd_sublist {
    struct nd_generations generations;
    alignas(ND_CACHE_LINE) nd_rwlock lock; /* of all below but key and reactors */
    struct nd_hash literals;               /* struct nd_place */
    struct nd_trie patterns;
    struct nd_teams teams;
    struct nd_pantry pantry;         /* of the four above, and of all rows */
    struct nd_sublist_counts counts; /* nodes are counted by the trie */
    struct nd_hash_key key;
    uint32_t reactors;
};

struct nd_place *nd_sublist__literal(const struct nd_sublist *list, uint64_t hash,
                                     struct nd_slice subject);

/* Has nothing changed since *stamp that could change its result? */
bool nd_sublist__is_same(const struct nd_sublist *list, const struct nd_stamp *stamp);

#endif
