/* tiers -- see tiers.h. */
#include "tiers.h"

#include <stdlib.h>

/* How many entries lie below tier *tier*. */
static uint32_t below(uint32_t tier)
{
    return tier == 0 ? 0 : UINT32_C(1) << (tier - 1 + ND_TIER_SHIFT);
}

static int add_tier(struct nd_tiers *row)
{
    uint32_t tier = row->tier_count;
    size_t size = tier == 0 ? below(1) : below(tier);
    void **fresh = malloc(size * sizeof *fresh);
    void ***list = tier == 0 ? NULL : row->tiers;
    list = fresh == NULL ? NULL : realloc(list, (tier + 1) * sizeof *list);
    if (list == NULL) {
        free(fresh);
        return ND_ENOMEM;
    }
    if (tier == 0)
        fresh[0] = row->one;
    list[tier] = fresh;
    row->tiers = list;
    row->tier_count++;
    return 0;
}

int nd_tiers_push(struct nd_tiers *row, void *entry)
{
    if (row->count == UINT32_MAX)
        return ND_ENOMEM;
    bool is_full =
        row->tier_count == 0 ? row->count == 1 : row->count == below(row->tier_count);
    if (is_full && add_tier(row) != 0)
        return ND_ENOMEM;
    *nd_tiers_at(row, row->count++) = entry;
    return 0;
}

static void back_to_one(struct nd_tiers *row)
{
    void *one = row->tiers[0][0];
    for (uint32_t i = 0; i < row->tier_count; i++)
        free(row->tiers[i]);
    free(row->tiers);
    row->one = one;
    row->tier_count = 0;
}

void *nd_tiers_pop(struct nd_tiers *row)
{
    assert(row->count > 0);
    void *entry = nd_tiers_get(row, --row->count);
    if (row->tier_count == 0)
        return entry;
    if (row->count <= 1)
        back_to_one(row);
    else if (row->tier_count > 2 && row->count <= below(row->tier_count - 2))
        free(row->tiers[--row->tier_count]);
    return entry;
}

void nd_tiers_fini(struct nd_tiers *row)
{
    if (row->tier_count > 0)
        back_to_one(row);
    *row = (struct nd_tiers){.count = 0};
}
