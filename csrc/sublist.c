/* sublist -- see sublist.h: life, changes and generations. Matching is in
 * sublist_match.c. */
#include "sublist_own.h"

#include <stdlib.h>

#include "subject.h"

enum { REMOVE_RUN = 32 }; /* subscriptions taken out under one lock */

/* ---- life ---- */

static int init(struct nd_sublist *list, const struct nd_hash_key *key)
{
    list->key = *key;
    list->teams.key = *key;
    nd_hash_init(&list->literals);
    nd_hash_init(&list->teams.table);
    int rc = nd_trie_init(&list->patterns, key);
    if (rc != 0)
        return rc;
    list->literals.pantry = &list->pantry;
    list->patterns.edges.pantry = &list->pantry;
    list->teams.table.pantry = &list->pantry;
    rc = nd_rwlock_init(&list->lock);
    if (rc != 0)
        nd_trie_fini(&list->patterns);
    return rc;
}

struct nd_sublist *nd_sublist_new(const struct nd_hash_key *key, uint32_t reactors)
{
    assert(reactors > 0 && reactors <= ND_REACTORS_MAX);
    struct nd_sublist *list = aligned_alloc(alignof(struct nd_sublist), sizeof *list);
    if (list == NULL)
        return NULL;
    memset(list, 0, sizeof *list);
    list->reactors = reactors;
    if (init(list, key) != 0) {
        free(list);
        return NULL;
    }
    return list;
}

/* A node and what hangs on it by stars; literal edges are the caller's. */
static void free_stars(struct nd_node *node)
{
    while (node != NULL) {
        struct nd_node *star = node->star;
        nd_place_free(node->here);
        nd_place_free(node->rest);
        free(node);
        node = star;
    }
}

void nd_sublist_free(struct nd_sublist *list)
{
    if (list == NULL)
        return;
    struct nd_hash_link *link;
    while ((link = nd_hash_any(&list->literals)) != NULL) {
        nd_hash_remove(&list->literals, link);
        nd_place_free(nd_container(link, struct nd_place, link));
    }
    while ((link = nd_hash_any(&list->patterns.edges)) != NULL) {
        nd_hash_remove(&list->patterns.edges, link);
        free_stars(nd_container(link, struct nd_node, link));
    }
    free_stars(list->patterns.root);
    nd_hash_fini(&list->literals);
    nd_hash_fini(&list->patterns.edges);
    nd_hash_fini(&list->teams.table);
    nd_pantry_fini(&list->pantry);
    nd_rwlock_fini(&list->lock);
    free(list);
}

/* ---- generations ---- */

static void bump_32(_Atomic uint32_t *generation)
{
    uint32_t now = atomic_load_explicit(generation, memory_order_relaxed);
    atomic_store_explicit(generation, now + 1, memory_order_release);
}

static void bump(struct nd_sublist *list, const struct nd_place *place)
{
    struct nd_generations *generations = &list->generations;
    if (place->kind == ND_PLACE_WILD)
        bump_32(&generations->wild);
    else if (place->kind == ND_PLACE_TOKEN)
        bump_32(&generations->tokens[place->link.hash % ND_TOKEN_BUCKETS]);
    else
        bump_32(&generations->literals[place->link.hash % ND_LITERAL_BUCKETS]);
    uint64_t any = atomic_load_explicit(&generations->any, memory_order_relaxed);
    atomic_store_explicit(&generations->any, any + 1, memory_order_release);
}

uint64_t nd_sublist_generation(const struct nd_sublist *list)
{
    return atomic_load_explicit(&list->generations.any, memory_order_acquire);
}

bool nd_sublist__is_same(const struct nd_sublist *list, const struct nd_stamp *stamp)
{
    const struct nd_generations *now = &list->generations;
    const _Atomic uint32_t *literal = &now->literals[stamp->literal_bucket];
    const _Atomic uint32_t *token = &now->tokens[stamp->token_bucket];
    return atomic_load_explicit(literal, memory_order_acquire) == stamp->literal &&
           atomic_load_explicit(token, memory_order_acquire) == stamp->token &&
           atomic_load_explicit(&now->wild, memory_order_acquire) == stamp->wild;
}

bool nd_sublist_is_current(const struct nd_sublist *list, struct nd_stamp *stamp)
{
    uint64_t any = nd_sublist_generation(list);
    if (nd_likely(any == stamp->any))
        return true;
    if (!nd_sublist__is_same(list, stamp))
        return false;
    stamp->any = any; /* as read before the others: what came between shows next time */
    return true;
}

/* ---- insertion ---- */

/* All that an insertion may need, made before the lock; what is left is freed after. */
struct draft {
    struct nd_place *place;
    struct nd_team *team;
    struct nd_hash_link *spares; /* nodes; none for a literal */
    bool is_rest;
};

static void draft_fini(struct draft *draft)
{
    nd_place_free(draft->place);
    free(draft->team);
    nd_trash_free(draft->spares);
}

static struct nd_place *draft_place(const struct nd_sublist *list,
                                    struct nd_slice subject)
{
    if (!nd_subject_has_wildcard(subject)) {
        uint64_t hash = nd_hash_bytes(&list->key, subject);
        return nd_place_new(ND_PLACE_LITERAL, hash, subject);
    }
    struct nd_slice rest = subject, first;
    bool more = true;
    nd_subject_next(&rest, &more, &first);
    bool is_wild = nd_subject_has_wildcard(first);
    uint64_t hash = nd_hash_bytes(&list->key, first);
    return nd_place_new(is_wild ? ND_PLACE_WILD : ND_PLACE_TOKEN, hash,
                        nd_slice(NULL, 0));
}

static int draft_init(struct draft *draft, const struct nd_sublist *list,
                      const struct nd_sub *sub, struct nd_slice subject)
{
    *draft = (struct draft){.place = draft_place(list, subject)};
    if (draft->place == NULL)
        return ND_ENOMEM;
    if (sub->queue_len > 0) {
        draft->team = nd_team_new();
        if (draft->team == NULL)
            return ND_ENOMEM;
    }
    if (draft->place->kind == ND_PLACE_LITERAL)
        return 0;
    return nd_trie_spares(&list->patterns, subject, &draft->spares, &draft->is_rest);
}

struct nd_place *nd_sublist__literal(const struct nd_sublist *list, uint64_t hash,
                                     struct nd_slice subject)
{
    struct nd_hash_link *link = NULL;
    while ((link = nd_hash_find(&list->literals, hash, link)) != NULL) {
        struct nd_place *place = nd_container(link, struct nd_place, link);
        if (nd_slice_is_equal(nd_place_text(place), subject))
            return place;
    }
    return NULL;
}

static struct nd_place *take_place(struct nd_sublist *list, struct draft *draft)
{
    struct nd_place *place = draft->place;
    draft->place = NULL;
    list->counts.places++;
    return place;
}

static struct nd_place *reach_literal(struct nd_sublist *list, struct draft *draft)
{
    struct nd_place *place = draft->place;
    struct nd_place *there =
        nd_sublist__literal(list, place->link.hash, nd_place_text(place));
    if (there != NULL)
        return there;
    nd_hash_insert(&list->literals, &place->link);
    return take_place(list, draft);
}

static struct nd_place *reach_pattern(struct nd_sublist *list, struct draft *draft)
{
    struct nd_node *node = nd_trie_reach(&list->patterns, &draft->spares);
    struct nd_place **at = draft->is_rest ? &node->rest : &node->here;
    if (*at != NULL)
        return *at;
    *at = take_place(list, draft);
    (*at)->node = node;
    atomic_fetch_add_explicit(&list->patterns.patterns, 1, memory_order_relaxed);
    return *at;
}

/* A place that is new here takes its first without memory; so ND_ENOMEM leaves no place
 * empty behind. */
static int seat(struct nd_sublist *list, struct draft *draft, struct nd_sub *sub)
{
    struct nd_place *place = draft->place->kind == ND_PLACE_LITERAL
                                 ? reach_literal(list, draft)
                                 : reach_pattern(list, draft);
    int rc = nd_place_add(place, &list->teams, sub, &draft->team);
    if (rc != 0)
        return rc;
    sub->place = place;
    list->counts.subscriptions++;
    list->counts.inserts++;
    bump(list, place);
    return 0;
}

/* One attempt under the lock, for which *fresh* brings blocks. Sets *wanted* to those
 * that are missing now: to seat *sub* if it failed, to let a table grow if it did not.
 */
static int try_seat(struct nd_sublist *list, struct draft *draft, struct nd_sub *sub,
                    struct nd_pantry *fresh, uint32_t *wanted)
{
    nd_rwlock_write(&list->lock);
    nd_pantry_fill(&list->pantry, fresh);
    int rc = seat(list, draft, sub);
    *wanted = list->pantry.wanted;
    list->pantry.wanted = 0;
    nd_rwlock_unlock(&list->lock);
    nd_pantry_fini(fresh);
    return rc;
}

static void supply(struct nd_sublist *list, uint32_t wanted)
{
    struct nd_pantry fresh;
    if (nd_pantry_make(&fresh, wanted) != 0)
        return; /* the table grows another time */
    nd_rwlock_write(&list->lock);
    nd_pantry_fill(&list->pantry, &fresh);
    nd_rwlock_unlock(&list->lock);
    nd_pantry_fini(&fresh);
}

static int insert(struct nd_sublist *list, struct draft *draft, struct nd_sub *sub)
{
    struct nd_pantry fresh = {.wanted = 0};
    uint32_t wanted;
    int rc = try_seat(list, draft, sub, &fresh, &wanted);
    while (rc != 0 && nd_pantry_make(&fresh, wanted) == 0)
        rc = try_seat(list, draft, sub, &fresh, &wanted);
    if (rc == 0 && wanted != 0)
        supply(list, wanted);
    return rc;
}

int nd_sublist_insert(struct nd_sublist *list, struct nd_sub *sub,
                      struct nd_slice subject)
{
    struct draft draft;
    int rc = draft_init(&draft, list, sub, subject);
    if (rc == 0) {
        nd_sub_retain(sub);
        rc = insert(list, &draft, sub);
        if (rc != 0)
            nd_sub_release(sub);
    }
    draft_fini(&draft);
    return rc;
}

/* ---- removal ---- */

static void close_place(struct nd_sublist *list, struct nd_place *place)
{
    struct nd_node *node = place->node;
    list->counts.places--;
    if (node == NULL) {
        nd_hash_remove(&list->literals, &place->link);
    } else {
        *(node->here == place ? &node->here : &node->rest) = NULL;
        atomic_fetch_sub_explicit(&list->patterns.patterns, 1, memory_order_relaxed);
        nd_trie_prune(&list->patterns, node);
    }
    nd_pantry_drop(&list->pantry, place);
}

static bool unseat(struct nd_sublist *list, struct nd_sub *sub)
{
    struct nd_place *place = sub->place;
    if (place == NULL)
        return false;
    nd_place_drop(place, &list->teams, sub);
    sub->place = NULL;
    list->counts.subscriptions--;
    list->counts.removes++;
    bump(list, place);
    if (nd_place_is_empty(place))
        close_place(list, place);
    return true;
}

bool nd_sublist_remove(struct nd_sublist *list, struct nd_sub *sub)
{
    return nd_sublist_remove_many(list, &sub, 1) == 1;
}

/* One run of at most REMOVE_RUN. */
static size_t remove_run(struct nd_sublist *list, struct nd_sub *const *subs,
                         size_t count)
{
    struct nd_sub *out[REMOVE_RUN];
    size_t gone = 0;
    nd_rwlock_write(&list->lock);
    for (size_t i = 0; i < count; i++) {
        if (unseat(list, subs[i]))
            out[gone++] = subs[i];
    }
    void *trash = nd_pantry_take_trash(&list->pantry);
    nd_rwlock_unlock(&list->lock);
    nd_trash_free(trash);
    for (size_t i = 0; i < gone; i++)
        nd_sub_release(out[i]);
    return gone;
}

size_t nd_sublist_remove_many(struct nd_sublist *list, struct nd_sub *const *subs,
                              size_t count)
{
    size_t gone = 0;
    for (size_t i = 0; i < count; i += REMOVE_RUN)
        gone += remove_run(list, subs + i, ND_MIN(count - i, (size_t)REMOVE_RUN));
    return gone;
}

/* ---- one subscription ---- */

void nd_sublist_replace(struct nd_sublist *list, struct nd_sub *sub,
                        struct nd_sub *fresh)
{
    nd_sub_retain(fresh);
    nd_rwlock_write(&list->lock);
    struct nd_place *place = sub->place;
    nd_place_swap(place, &list->teams, sub, fresh);
    fresh->place = place;
    sub->place = NULL;
    bump(list, place);
    nd_rwlock_unlock(&list->lock);
    nd_sub_release(sub);
}

/* Backwards, from the end of *to*; returns where it begins. */
static uint8_t *put_before(uint8_t *end, struct nd_slice bytes)
{
    if (bytes.len > 0)
        memcpy(end - bytes.len, bytes.ptr, bytes.len);
    return end - bytes.len;
}

static size_t pattern_len(const struct nd_place *place)
{
    size_t len = place->node->rest == place ? 2 : 0; /* ".>" */
    for (const struct nd_node *node = place->node; node->parent; node = node->parent)
        len += node->token_len + (size_t)1;
    return len - 1; /* no dot before the first */
}

static void put_pattern(const struct nd_place *place, uint8_t *end)
{
    const struct nd_node *node = place->node;
    if (node->rest == place)
        end =
            put_before(end, nd_slice(node->parent ? ".>" : ">", node->parent ? 2 : 1));
    for (; node->parent; node = node->parent) {
        end = put_before(end, nd_node_token(node));
        if (node->parent->parent)
            end = put_before(end, nd_slice(".", 1));
    }
}

size_t nd_sublist_subject(struct nd_sublist *list, const struct nd_sub *sub,
                          uint8_t *to, size_t cap)
{
    nd_rwlock_read(&list->lock);
    const struct nd_place *place = sub->place;
    bool is_literal = place->kind == ND_PLACE_LITERAL;
    size_t len = is_literal ? place->text_len : pattern_len(place);
    if (len <= cap && is_literal)
        put_before(to + len, nd_place_text(place));
    else if (len <= cap)
        put_pattern(place, to + len);
    nd_rwlock_unlock(&list->lock);
    return len;
}

void nd_sublist_count(struct nd_sublist *list, struct nd_sublist_counts *counts)
{
    nd_rwlock_read(&list->lock);
    *counts = list->counts;
    counts->nodes = list->patterns.nodes;
    nd_rwlock_unlock(&list->lock);
}
