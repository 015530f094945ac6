/* tiers -- see tiers.h. */
#include "tiers.h"

#include <stdlib.h>

/* How many entries lie below tier *tier*. */
static uint32_t below(uint32_t tier)
{
    return tier == 0 ? 0 : UINT32_C(1) << (tier - 1 + ND_TIER_SHIFT);
}

static void *block_new(uint32_t tier)
{
    size_t entries = tier == 0 ? below(1) : below(tier);
    return malloc((tier + 1 + entries) * sizeof(void *));
}

/* The list of tiers in the block of *tier*, which is where the block begins. */
static void ***list_of(const struct nd_tiers *row, uint32_t tier)
{
    return (void ***)(void *)(row->tiers[tier] - (tier + 1));
}

/* ---- the pantry ---- */

static void *take_block(struct nd_pantry *pantry, uint32_t tier)
{
    if (pantry == NULL)
        return block_new(tier);
    void *block = pantry->spare[tier];
    pantry->spare[tier] = NULL;
    if (block == NULL)
        pantry->wanted |= UINT32_C(1) << tier;
    return block;
}

void nd_pantry_drop(struct nd_pantry *pantry, void *memory)
{
    if (pantry == NULL) {
        free(memory);
        return;
    }
    memcpy(memory, &pantry->trash, sizeof pantry->trash);
    pantry->trash = memory;
}

void *nd_pantry_take_trash(struct nd_pantry *pantry)
{
    void *trash = pantry->trash;
    pantry->trash = NULL;
    return trash;
}

void nd_trash_free(void *trash)
{
    while (trash != NULL) {
        void *next;
        memcpy(&next, trash, sizeof next);
        free(trash);
        trash = next;
    }
}

int nd_pantry_make(struct nd_pantry *fresh, uint32_t wanted)
{
    *fresh = (struct nd_pantry){.wanted = 0};
    for (uint32_t tier = 0; tier < ND_TIERS_MAX; tier++) {
        if ((wanted >> tier & 1) == 0)
            continue;
        fresh->spare[tier] = block_new(tier);
        if (fresh->spare[tier] == NULL) {
            nd_pantry_fini(fresh);
            return ND_ENOMEM;
        }
    }
    return 0;
}

void nd_pantry_fill(struct nd_pantry *pantry, struct nd_pantry *fresh)
{
    for (uint32_t tier = 0; tier < ND_TIERS_MAX; tier++) {
        if (pantry->spare[tier] != NULL)
            continue;
        pantry->spare[tier] = fresh->spare[tier];
        fresh->spare[tier] = NULL;
    }
}

void nd_pantry_fini(struct nd_pantry *pantry)
{
    for (uint32_t tier = 0; tier < ND_TIERS_MAX; tier++)
        free(pantry->spare[tier]);
    nd_trash_free(pantry->trash);
    *pantry = (struct nd_pantry){.wanted = 0};
}

/* ---- rows ---- */

static int add_tier(struct nd_tiers *row, struct nd_pantry *pantry)
{
    uint32_t tier = row->tier_count;
    void ***list = tier == ND_TIERS_MAX ? NULL : take_block(pantry, tier);
    if (list == NULL)
        return ND_ENOMEM;
    void **entries = (void **)(list + tier + 1);
    if (tier == 0)
        entries[0] = row->one;
    else
        memcpy(list, row->tiers, tier * sizeof *list);
    list[tier] = entries;
    row->tiers = list;
    row->tier_count++;
    return 0;
}

int nd_tiers_push(struct nd_tiers *row, void *entry, struct nd_pantry *pantry)
{
    bool is_full =
        row->tier_count == 0 ? row->count == 1 : row->count == below(row->tier_count);
    if (is_full && add_tier(row, pantry) != 0)
        return ND_ENOMEM;
    *nd_tiers_at(row, row->count++) = entry;
    return 0;
}

static void drop_tier(struct nd_tiers *row, struct nd_pantry *pantry)
{
    uint32_t tier = --row->tier_count;
    void ***list = row->tiers;
    if (tier == 0)
        row->one = list[0][0];
    else
        row->tiers = list_of(row, tier - 1);
    nd_pantry_drop(pantry, list);
}

void *nd_tiers_pop(struct nd_tiers *row, struct nd_pantry *pantry)
{
    assert(row->count > 0);
    void *entry = nd_tiers_get(row, --row->count);
    uint32_t tiers = row->tier_count;
    if (tiers > 2 && row->count <= below(tiers - 2))
        drop_tier(row, pantry);
    while (row->tier_count > 0 && row->count <= 1)
        drop_tier(row, pantry);
    return entry;
}

void nd_tiers_fini(struct nd_tiers *row)
{
    while (row->tier_count > 0)
        drop_tier(row, NULL);
    *row = (struct nd_tiers){.count = 0};
}
