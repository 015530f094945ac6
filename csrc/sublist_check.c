/* sublist_check -- every invariant of the index that can be seen, for tests. */
#include "sublist_own.h"

struct totals {
    uint64_t subs, places, patterns, nodes, teams, children;
};

static const char *check_table(const struct nd_hash *table)
{
    size_t used = 0;
    for (uint32_t i = 0; i < table->buckets.count; i++) {
        const struct nd_hash_link *link = nd_tiers_get(&table->buckets, i);
        if (link != NULL && i >= table->top)
            return "a chain stands above the top of a table";
        for (; link != NULL; link = link->next, used++) {
            const struct nd_hash_link *found = NULL;
            do {
                found = nd_hash_find(table, link->hash, found);
            } while (found != NULL && found != link);
            if (found == NULL)
                return "a record is not in the bucket of its hash";
        }
    }
    return used == table->used ? NULL : "a table miscounts its records";
}

static const char *check_row(const struct nd_place *place, const struct nd_tiers *row,
                             struct nd_slice queue, struct totals *totals)
{
    totals->subs += row->count;
    for (uint32_t i = 0; i < row->count; i++) {
        const struct nd_sub *sub = nd_tiers_get(row, i);
        if (sub->place != place)
            return "a subscription does not know its place";
        if (sub->slot != i)
            return "a subscription does not know its slot";
        if (!nd_slice_is_equal(nd_sub_queue(sub), queue))
            return "a subscription sits in another queue's row";
        if (atomic_load(&sub->refs) == 0)
            return "a subscription in the index is not retained";
    }
    return NULL;
}

static const char *check_place(const struct nd_place *place, struct totals *totals)
{
    totals->places++;
    totals->patterns += place->node != NULL;
    if (nd_place_is_empty(place))
        return "a place is empty";
    if ((place->kind == ND_PLACE_LITERAL) != (place->node == NULL))
        return "a place stands with the wrong kind";
    const char *fault = check_row(place, &place->plain, nd_slice(NULL, 0), totals);
    const struct nd_team *prev = NULL, *team = place->teams;
    for (; fault == NULL && team != NULL; prev = team, team = team->next) {
        totals->teams++;
        if (team->members.count == 0)
            return "a team is empty";
        if (team->place != place || team->prev != prev)
            return "a team is linked wrongly";
        fault = check_row(place, &team->members, nd_team_name(team), totals);
    }
    return fault;
}

static const char *check_end(const struct nd_node *node, const struct nd_place *place,
                             struct totals *totals)
{
    if (place == NULL)
        return NULL;
    if (place->node != node)
        return "a pattern does not know its node";
    return check_place(place, totals);
}

/* A node and what hangs on it by stars; literal edges come by the table. */
static const char *check_stars(const struct nd_node *node, struct totals *totals)
{
    const char *fault = NULL;
    for (; fault == NULL && node != NULL; node = node->star) {
        totals->children += node->children;
        totals->nodes += node->parent != NULL;
        if (node->parent != NULL && nd_node_is_empty(node))
            return "a node is empty";
        if (node->star != NULL && node->star->parent != node)
            return "a star does not know its parent";
        if (node->here != NULL && node->here == node->rest)
            return "a place stands twice at a node";
        fault = check_end(node, node->here, totals);
        if (fault == NULL)
            fault = check_end(node, node->rest, totals);
    }
    return fault;
}

static const char *check_edge(const struct nd_sublist *list, const struct nd_node *node,
                              struct totals *totals)
{
    struct nd_slice text = nd_node_token(node);
    struct nd_token token = {text, nd_hash_bytes(&list->key, text)};
    if (nd_slice_is_equal(text, ND_LIT("*")))
        return "a star is an edge";
    if (nd_trie_child(&list->patterns, node->parent, &token) != node)
        return "an edge does not lead to its node";
    return check_stars(node, totals);
}

static const char *check_literal(const struct nd_sublist *list,
                                 const struct nd_place *place, struct totals *totals)
{
    struct nd_slice text = nd_place_text(place);
    if (nd_sublist__literal(list, nd_hash_bytes(&list->key, text), text) != place)
        return "a literal is not found under its subject";
    return check_place(place, totals);
}

static const char *check_records(const struct nd_sublist *list, struct totals *totals)
{
    const char *fault = check_stars(list->patterns.root, totals);
    const struct nd_tiers *buckets = &list->patterns.edges.buckets;
    for (uint32_t i = 0; i < buckets->count; i++) {
        struct nd_hash_link *link = nd_tiers_get(buckets, i);
        for (; fault == NULL && link != NULL; link = link->next)
            fault = check_edge(list, nd_container(link, struct nd_node, link), totals);
    }
    buckets = &list->literals.buckets;
    for (uint32_t i = 0; i < buckets->count; i++) {
        struct nd_hash_link *link = nd_tiers_get(buckets, i);
        for (; fault == NULL && link != NULL; link = link->next)
            fault =
                check_literal(list, nd_container(link, struct nd_place, link), totals);
    }
    return fault;
}

static const char *check_totals(const struct nd_sublist *list,
                                const struct totals *totals)
{
    const struct nd_sublist_counts *counts = &list->counts;
    if (totals->subs != counts->subscriptions)
        return "subscriptions are miscounted";
    if (totals->subs != counts->inserts - counts->removes)
        return "inserts and removes do not add up";
    if (totals->places != counts->places)
        return "places are miscounted";
    if (totals->patterns != atomic_load(&list->patterns.patterns))
        return "patterns are miscounted";
    if (totals->nodes != list->patterns.nodes)
        return "nodes are miscounted";
    if (totals->children != list->patterns.edges.used)
        return "a node miscounts its children";
    if (totals->teams != list->teams.table.used)
        return "teams are miscounted";
    return NULL;
}

static const char *check(const struct nd_sublist *list)
{
    struct totals totals = {0};
    const char *fault = check_table(&list->literals);
    if (fault == NULL)
        fault = check_table(&list->patterns.edges);
    if (fault == NULL)
        fault = check_table(&list->teams.table);
    if (fault == NULL)
        fault = check_records(list, &totals);
    return fault != NULL ? fault : check_totals(list, &totals);
}

const char *nd_sublist_check(struct nd_sublist *list)
{
    nd_rwlock_read(&list->lock);
    const char *fault = check(list);
    nd_rwlock_unlock(&list->lock);
    return fault;
}
