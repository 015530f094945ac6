/* tiers -- a growing row of pointers that never moves what it holds.
 *
 *   count 0 or 1   the pointer itself, no allocation
 *   beyond         tier 0: 8 entries, tier 1: 8, tier 2: 16, tier 3: 32 ...
 *
 * Growing adds one tier for each doubling and copies only the short list of tiers, so
 * that a lock under which a row of 100,000 grows is held for a few steps. A tier goes
 * when the one below it has become empty. Not thread-safe.
 */
#ifndef ND_TIERS_H
#define ND_TIERS_H

#include "nd.h"

enum { ND_TIER_SHIFT = 3 }; /* log2 of the entries of tier 0 */

struct nd_tiers {
    union {
        void *one;     /* tier_count is 0 */
        void ***tiers; /* it is not */
    };
    uint32_t tier_count;
    uint32_t count; /* entries */
};

int nd_tiers_push(struct nd_tiers *row, void *entry); /* ND_ENOMEM: row unchanged */
void *nd_tiers_pop(struct nd_tiers *row);             /* the last; there is one */
void nd_tiers_fini(struct nd_tiers *row);             /* empty again; frees no entry */

/* Where entry *index* lies; valid until the next push or pop. */
static inline void **nd_tiers_at(struct nd_tiers *row, uint32_t index)
{
    if (row->tier_count == 0)
        return &row->one;
    uint32_t scaled = index >> ND_TIER_SHIFT;
    if (scaled == 0)
        return &row->tiers[0][index];
    uint32_t tier = 32 - (uint32_t)__builtin_clz(scaled);
    return &row->tiers[tier][index - (UINT32_C(1) << (tier - 1 + ND_TIER_SHIFT))];
}

static inline void *nd_tiers_get(const struct nd_tiers *row, uint32_t index)
{
    return *nd_tiers_at((struct nd_tiers *)row, index);
}

#endif
