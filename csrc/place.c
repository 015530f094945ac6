/* place -- see place.h. */
#include "place.h"

#include <stdlib.h>

struct nd_place *nd_place_new(enum nd_place_kind kind, uint64_t hash,
                              struct nd_slice text)
{
    size_t size = offsetof(struct nd_place, text) + text.len;
    struct nd_place *place = malloc(ND_MAX(size, sizeof *place));
    if (place == NULL)
        return NULL;
    memset(place, 0, sizeof *place);
    place->link.hash = hash;
    place->kind = (uint8_t)kind;
    place->text_len = (uint32_t)text.len;
    if (text.len > 0)
        memcpy(place->text, text.ptr, text.len);
    return place;
}

static void row_free(struct nd_tiers *row)
{
    for (uint32_t i = 0; i < row->count; i++)
        nd_sub_release(nd_tiers_get(row, i));
    nd_tiers_fini(row);
}

void nd_place_free(struct nd_place *place)
{
    if (place == NULL)
        return;
    row_free(&place->plain);
    while (place->teams != NULL) {
        struct nd_team *team = place->teams;
        place->teams = team->next;
        row_free(&team->members);
        free(team);
    }
    free(place);
}

struct nd_team *nd_team_new(void)
{
    return calloc(1, sizeof(struct nd_team));
}

/* ---- teams ---- */

static uint64_t team_hash(const struct nd_teams *teams, const struct nd_place *place,
                          struct nd_slice queue)
{
    return nd_hash_join(nd_hash_bytes(&teams->key, queue), (uintptr_t)place);
}

static struct nd_team *team_find(const struct nd_teams *teams,
                                 const struct nd_place *place, struct nd_slice queue,
                                 uint64_t hash)
{
    struct nd_hash_link *link = NULL;
    while ((link = nd_hash_find(&teams->table, hash, link)) != NULL) {
        struct nd_team *team = nd_container(link, struct nd_team, link);
        if (team->place == place && nd_slice_is_equal(nd_team_name(team), queue))
            return team;
    }
    return NULL;
}

static void team_link(struct nd_team *team, struct nd_teams *teams,
                      struct nd_place *place, uint64_t hash)
{
    team->place = place;
    team->next = place->teams;
    if (team->next != NULL)
        team->next->prev = team;
    place->teams = team;
    team->link.hash = hash;
    nd_hash_insert(&teams->table, &team->link);
}

static void team_unlink(struct nd_team *team, struct nd_teams *teams)
{
    if (team->prev != NULL)
        team->prev->next = team->next;
    else
        team->place->teams = team->next;
    if (team->next != NULL)
        team->next->prev = team->prev;
    nd_hash_remove(&teams->table, &team->link);
}

/* ---- rows ---- */

static int row_add(struct nd_tiers *row, struct nd_sub *sub, struct nd_pantry *pantry)
{
    int rc = nd_tiers_push(row, sub, pantry);
    if (rc == 0)
        sub->slot = row->count - 1;
    return rc;
}

static void row_drop(struct nd_tiers *row, struct nd_sub *sub, struct nd_pantry *pantry)
{
    assert(nd_tiers_get(row, sub->slot) == sub);
    struct nd_sub *last = nd_tiers_pop(row, pantry);
    if (last == sub)
        return;
    *nd_tiers_at(row, sub->slot) = last;
    last->slot = sub->slot;
}

int nd_place_add(struct nd_place *place, struct nd_teams *teams, struct nd_sub *sub,
                 struct nd_team **spare)
{
    struct nd_pantry *pantry = teams->table.pantry;
    struct nd_slice queue = nd_sub_queue(sub);
    if (queue.len == 0)
        return row_add(&place->plain, sub, pantry);
    uint64_t hash = team_hash(teams, place, queue);
    struct nd_team *team = team_find(teams, place, queue, hash);
    if (team != NULL)
        return row_add(&team->members, sub, pantry);
    team = *spare;
    *spare = NULL;
    team_link(team, teams, place, hash);
    return row_add(&team->members, sub, pantry);
}

void nd_place_drop(struct nd_place *place, struct nd_teams *teams, struct nd_sub *sub)
{
    struct nd_pantry *pantry = teams->table.pantry;
    struct nd_slice queue = nd_sub_queue(sub);
    if (queue.len == 0) {
        row_drop(&place->plain, sub, pantry);
        return;
    }
    uint64_t hash = team_hash(teams, place, queue);
    struct nd_team *team = team_find(teams, place, queue, hash);
    assert(team != NULL);
    row_drop(&team->members, sub, pantry);
    if (team->members.count > 0)
        return;
    team_unlink(team, teams);
    nd_pantry_drop(pantry, team);
}

void nd_place_swap(struct nd_place *place, struct nd_teams *teams, struct nd_sub *sub,
                   struct nd_sub *fresh)
{
    struct nd_slice queue = nd_sub_queue(sub);
    struct nd_tiers *row = &place->plain;
    if (queue.len > 0) {
        uint64_t hash = team_hash(teams, place, queue);
        row = &team_find(teams, place, queue, hash)->members;
    }
    assert(nd_tiers_get(row, sub->slot) == sub);
    *nd_tiers_at(row, sub->slot) = fresh;
    fresh->slot = sub->slot;
}

/* ---- copying ---- */

static size_t row_copy(const struct nd_tiers *row, uint32_t *index, struct nd_sub **to,
                       size_t room)
{
    size_t count = ND_MIN(room, (size_t)(row->count - *index));
    for (size_t i = 0; i < count; i++) {
        to[i] = nd_tiers_get(row, *index + (uint32_t)i);
        nd_sub_retain(to[i]);
    }
    *index += (uint32_t)count;
    return count;
}

size_t nd_place_copy(const struct nd_place *place, struct nd_place_pos *pos,
                     struct nd_sub **to, size_t room)
{
    size_t count = 0;
    for (;;) {
        const struct nd_tiers *row = pos->team ? &pos->team->members : &place->plain;
        count += row_copy(row, &pos->index, to + count, room - count);
        const struct nd_team *next = pos->team ? pos->team->next : place->teams;
        if (count == room || next == NULL)
            return count;
        *pos = (struct nd_place_pos){.team = next};
    }
}
