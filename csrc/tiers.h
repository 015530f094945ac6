/* tiers -- a growing row of pointers that never moves what it holds.
 *
 *   count 0 or 1   the pointer itself, no allocation
 *   beyond         tier 0: 8 entries, tier 1: 8, tier 2: 16, tier 3: 32 ...
 *
 * One block for each tier: a list of all tiers up to this one, then its entries; the
 * row knows the list of the highest. So growing copies a short list and no entry. The
 * highest tier goes when the one below it has become empty. Not thread-safe.
 *
 * A row that changes under a lock has a pantry, since malloc and free may tidy up for
 * many milliseconds when much has been freed: what it needs is taken from there, what
 * it drops is left there, and the pantry is filled and emptied after the lock.
 */
#ifndef ND_TIERS_H
#define ND_TIERS_H

#include "nd.h"

enum {
    ND_TIER_SHIFT = 3, /* log2 of the entries of tier 0 */
    ND_TIERS_MAX = 30
};

struct nd_tiers {
    union {
        void *one;     /* tier_count is 0 */
        void ***tiers; /* it is not */
    };
    uint32_t tier_count;
    uint32_t count; /* entries */
};

struct nd_pantry {
    void *spare[ND_TIERS_MAX]; /* a block for each tier, or NULL */
    uint32_t wanted;           /* bits: tiers that were needed and not there */
    void *trash;               /* to be freed; each begins with a link to the next */
};

/* *pantry* NULL: malloc and free. ND_ENOMEM: row unchanged; with a pantry it means that
 * a block is wanted there. */
int nd_tiers_push(struct nd_tiers *row, void *entry, struct nd_pantry *pantry);
void *nd_tiers_pop(struct nd_tiers *row, struct nd_pantry *pantry); /* the last one */
void nd_tiers_fini(struct nd_tiers *row); /* empty again; frees no entry */

/* Leaves *memory*, which is as large as a pointer at least, to be freed. */
void nd_pantry_drop(struct nd_pantry *pantry, void *memory);

/* Takes out what was dropped, to be freed outside of the lock. */
void *nd_pantry_take_trash(struct nd_pantry *pantry);
void nd_trash_free(void *trash);

/* Outside of the lock: makes the blocks of *wanted* in *fresh*. Then, under it: moves
 * them to *pantry*, and leaves in *fresh* what is there already. */
int nd_pantry_make(struct nd_pantry *fresh, uint32_t wanted);
void nd_pantry_fill(struct nd_pantry *pantry, struct nd_pantry *fresh);
void nd_pantry_fini(struct nd_pantry *pantry);

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
