/* cache -- the match results that one reactor keeps.
 *
 * Bounded in entries and bytes (ND_CACHE_ENTRIES, ND_CACHE_BYTES); subjects that nobody
 * wants are kept as well. When it is full, a subject drives out another only if it is
 * asked for a second time within a while: those that pass by once (a scan over very
 * many, inboxes of one reply) do not empty it, and cost no allocation. A result is
 * compared with the generations of the index before it is used. Its reactor's thread
 * only.
 */
#ifndef ND_CACHE_H
#define ND_CACHE_H

#include "hash.h"
#include "match.h"
#include "nd.h"
#include "permit.h"
#include "sublist.h"

struct nd_cache;

struct nd_cache_counts {
    uint64_t entries, hits, misses;
};

struct nd_cache *nd_cache_new(struct nd_sublist *list, const struct nd_hash_key *key);
void nd_cache_free(struct nd_cache *cache);

/* Borrowed until the next call with this cache. NULL: nobody is interested, or no
 * memory (*rc tells: ND_OK or ND_ENOMEM). */
struct nd_match *nd_cache_find(struct nd_cache *cache, struct nd_slice subject,
                               int *rc);

/* May those with *permits* publish to *subject*, which was found right before? */
bool nd_cache_may_publish(struct nd_cache *cache, const struct nd_permits *permits,
                          struct nd_slice subject);

/* Before a sleep: lets go of the result that was only lent. */
void nd_cache_rest(struct nd_cache *cache);

/* Drops results that are no longer true, so that a sleeping reactor does not keep the
 * dead alive. Looks at *budget* entries at most; true when all have been seen. */
bool nd_cache_sweep(struct nd_cache *cache, uint32_t budget);

/* Have the last few finds all been of subjects that only pass by? Then it pays to warm
 * the index for those that come next. */
bool nd_cache_is_passed(const struct nd_cache *cache);

void nd_cache_count(const struct nd_cache *cache, struct nd_cache_counts *counts);

#endif
