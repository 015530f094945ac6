/* place -- the subscriptions of one subject or pattern.
 *
 *   plain   [ sub sub sub ... ]
 *   teams   -> queue "a" [ sub sub ] -> queue "b" [ sub ] ...
 *
 * A team is what one place has of a queue group; a result joins the teams of one name.
 * All teams of the index stand in one keyed hash as well, so that a subject with very
 * many queues stays quick. A sub knows its place and its slot; whoever leaves is
 * replaced by the last of the row. Neither places nor teams are ever empty.
 *
 * Everything here is under the lock of the index. What goes is handed to *trash*, a
 * list through the links that these records begin with, to be freed after the lock.
 */
#ifndef ND_PLACE_H
#define ND_PLACE_H

#include "hash.h"
#include "nd.h"
#include "sub.h"
#include "tiers.h"

struct nd_node;

enum nd_place_kind {
    ND_PLACE_LITERAL,
    ND_PLACE_TOKEN, /* a pattern whose first token is literal */
    ND_PLACE_WILD,  /* a pattern whose first token is a wildcard */
};

struct nd_team {
    struct nd_hash_link link; /* in nd_teams; hash: place and queue */
    struct nd_place *place;
    struct nd_team *prev, *next; /* of this place */
    struct nd_tiers members;     /* struct nd_sub *; their queue is the name */
};

struct nd_place {
    struct nd_hash_link link; /* hash: of the subject, or of a pattern's first token;
                                 linked only if literal */
    struct nd_tiers plain;    /* struct nd_sub * */
    struct nd_team *teams;
    struct nd_node *node; /* of a pattern: where it ends; else NULL */
    uint32_t text_len;
    uint8_t kind;   /* enum nd_place_kind */
    uint8_t text[]; /* the subject, if literal */
};

struct nd_teams {
    struct nd_hash table;
    struct nd_hash_key key;
};

/* How far the copying of a place has come; zeroed to begin. */
struct nd_place_pos {
    const struct nd_team *team; /* NULL = at the plain ones */
    uint32_t index;
};

struct nd_place *nd_place_new(enum nd_place_kind kind, uint64_t hash,
                              struct nd_slice text);
void nd_place_free(struct nd_place *place); /* with its teams; releases who is in */
struct nd_team *nd_team_new(void);

/* Seats *sub*. A team that is missing is made of *spare, which is then NULL. Cannot
 * fail for the first of a place or team; else ND_ENOMEM, and nothing has changed. */
int nd_place_add(struct nd_place *place, struct nd_teams *teams, struct nd_sub *sub,
                 struct nd_team **spare);

void nd_place_drop(struct nd_place *place, struct nd_teams *teams, struct nd_sub *sub);

/* Seats *fresh*, which is of the same queue, where *sub* was. */
void nd_place_swap(struct nd_place *place, struct nd_teams *teams, struct nd_sub *sub,
                   struct nd_sub *fresh);

/* Copies and retains up to *room* subscriptions. Fewer than *room*: it was the last. */
size_t nd_place_copy(const struct nd_place *place, struct nd_place_pos *pos,
                     struct nd_sub **to, size_t room);

static inline bool nd_place_is_empty(const struct nd_place *place)
{
    return place->plain.count == 0 && place->teams == NULL;
}

static inline struct nd_slice nd_place_text(const struct nd_place *place)
{
    return nd_slice(place->text, place->text_len);
}

/* The name of a team that has members. */
static inline struct nd_slice nd_team_name(const struct nd_team *team)
{
    return nd_sub_queue(nd_tiers_get(&team->members, 0));
}

#endif
