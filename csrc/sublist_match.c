/* sublist_match -- who is interested in a published subject?
 *
 * A search copies what it finds into a room of its own and keeps to two rules: nothing
 * is allocated while the lock is held, and the lock is held for ND_MATCH_SLICE steps at
 * most. So a search stops wherever its slice or its room ends, and goes on under the
 * next lock if the generations that concern it say that nothing moved; else it begins
 * anew, and after a few times it takes its whole way under one lock.
 */
#include "match.h"
#include "sublist_own.h"

#include <stdlib.h>

#include "subject.h"

enum {
    RESTARTS = 3,
    FEW_SUBS = 64, /* what a search has room for without an allocation */
    FEW_TOKENS = 16,
    MORE_SUBS = 1024 /* the first allocated room */
};

enum outcome {
    DONE,
    PAUSED,  /* the slice is used up */
    FULL,    /* the room is */
    MOVED,   /* something changed since the last lock: begin anew */
    PATTERNS /* there are patterns after all: tokens are needed */
};

struct search {
    struct nd_sublist *list;
    struct nd_slice subject;
    uint64_t hash; /* of the subject */
    struct nd_stamp stamp;
    struct nd_walk walk;
    void *walk_room;        /* NULL = the few below */
    struct nd_place *place; /* being copied; borrowed while nothing moves */
    struct nd_place_pos pos;
    struct nd_sub **subs; /* retained */
    size_t count, room;
    uint32_t restarts;
    bool has_begun;
    struct nd_sub *few_subs[FEW_SUBS];
    struct nd_token few_tokens[FEW_TOKENS];
    struct nd_step few_steps[FEW_TOKENS + 1];
};

static uint32_t count_tokens(struct nd_slice subject)
{
    uint32_t count = 1;
    for (size_t i = 0; i < subject.len; i++)
        count += subject.ptr[i] == '.';
    return count;
}

static int split(struct search *search)
{
    struct nd_token *tokens = search->few_tokens;
    struct nd_step *steps = search->few_steps;
    uint32_t count = count_tokens(search->subject);
    if (count > FEW_TOKENS) {
        tokens = malloc(count * sizeof *tokens + (count + 1) * sizeof *steps);
        if (tokens == NULL)
            return ND_ENOMEM;
        steps = (struct nd_step *)(void *)(tokens + count);
        search->walk_room = tokens;
    }
    struct nd_slice rest = search->subject;
    bool more = true;
    for (uint32_t i = 0; nd_subject_next(&rest, &more, &tokens[i].text); i++)
        tokens[i].hash = nd_hash_bytes(&search->list->key, tokens[i].text);
    search->walk = (struct nd_walk){&search->list->patterns, tokens, count, 0, steps};
    return 0;
}

/* The hash of the first token stands only in the stamp, for results that are kept. */
static uint32_t token_bucket(const struct nd_sublist *list, struct nd_slice subject)
{
    struct nd_slice first;
    bool more = true;
    nd_subject_next(&subject, &more, &first);
    return (uint32_t)(nd_hash_bytes(&list->key, first) % ND_TOKEN_BUCKETS);
}

static void search_init(struct search *search, struct nd_sublist *list,
                        struct nd_slice subject, bool is_kept)
{
    search->list = list;
    search->subject = subject;
    search->hash = nd_hash_bytes(&list->key, subject);
    search->walk.count = 0;
    search->walk_room = NULL;
    search->subs = search->few_subs;
    search->count = 0;
    search->room = FEW_SUBS;
    search->restarts = 0;
    search->has_begun = false;
    search->stamp.literal_bucket = (uint32_t)(search->hash % ND_LITERAL_BUCKETS);
    search->stamp.token_bucket = is_kept ? token_bucket(list, subject) : 0;
}

static void search_clear(struct search *search)
{
    for (size_t i = 0; i < search->count; i++)
        nd_sub_release(search->subs[i]);
    search->count = 0;
}

static void search_fini(struct search *search)
{
    free(search->walk_room);
    if (search->subs != search->few_subs)
        free(search->subs);
}

/* ---- under the lock ---- */

static bool has_patterns(const struct nd_sublist *list)
{
    return atomic_load_explicit(&list->patterns.patterns, memory_order_relaxed) > 0;
}

/* Under the lock nobody writes the generations: the stamp is of one moment. */
static void search_begin(struct search *search)
{
    const struct nd_sublist *list = search->list;
    const struct nd_generations *now = &list->generations;
    struct nd_stamp *stamp = &search->stamp;
    const memory_order relaxed = memory_order_relaxed;
    stamp->any = atomic_load_explicit(&now->any, relaxed);
    stamp->wild = atomic_load_explicit(&now->wild, relaxed);
    stamp->token = atomic_load_explicit(&now->tokens[stamp->token_bucket], relaxed);
    stamp->literal =
        atomic_load_explicit(&now->literals[stamp->literal_bucket], relaxed);
    search->place = nd_sublist__literal(list, search->hash, search->subject);
    search->pos = (struct nd_place_pos){0};
    search->walk.height = 0;
    if (has_patterns(list))
        nd_walk_begin(&search->walk);
    search->has_begun = true;
}

static bool next_place(struct search *search)
{
    search->place = NULL;
    search->pos = (struct nd_place_pos){0};
    return nd_walk_next(&search->walk, &search->place);
}

/* One place or a part of it; false when the room is full. */
static bool copy_place(struct search *search, size_t limit, size_t *steps)
{
    if (search->place == NULL)
        return true;
    size_t room = ND_MIN(search->room - search->count, limit);
    size_t copied =
        nd_place_copy(search->place, &search->pos, search->subs + search->count, room);
    search->count += copied;
    *steps += copied;
    return copied < room;
}

static enum outcome search_slice(struct search *search)
{
    if (search->has_begun && !nd_sublist__is_same(search->list, &search->stamp))
        return MOVED;
    if (!search->has_begun && has_patterns(search->list) && search->walk.count == 0)
        return PATTERNS;
    if (!search->has_begun)
        search_begin(search);
    size_t limit = search->restarts > RESTARTS ? SIZE_MAX : ND_MATCH_SLICE;
    size_t steps = 0;
    do {
        if (!copy_place(search, limit - steps, &steps))
            return search->count == search->room ? FULL : PAUSED;
        if (++steps >= limit) {
            return next_place(search) ? PAUSED : DONE;
        }
    } while (next_place(search));
    return DONE;
}

/* ---- between the locks ---- */

static int more_room(struct search *search)
{
    bool is_first = search->subs == search->few_subs;
    size_t room = is_first ? MORE_SUBS : 2 * search->room;
    struct nd_sub **subs = realloc(is_first ? NULL : search->subs, room * sizeof *subs);
    if (subs == NULL)
        return ND_ENOMEM;
    if (is_first)
        memcpy(subs, search->few_subs, search->count * sizeof *subs);
    search->subs = subs;
    search->room = room;
    return 0;
}

static int search_run(struct search *search)
{
    for (;;) {
        nd_rwlock_read(&search->list->lock);
        enum outcome outcome = search_slice(search);
        nd_rwlock_unlock(&search->list->lock);
        int rc = 0;
        if (outcome == DONE)
            return 0;
        if (outcome == PATTERNS)
            rc = split(search);
        if (outcome == FULL)
            rc = more_room(search);
        if (outcome == MOVED) {
            search_clear(search);
            search->has_begun = false;
            search->restarts++;
        }
        if (rc != 0)
            return rc;
    }
}

/* Those who may not get it are not in the result, so nobody who uses it has to ask. */
static void search_filter(struct search *search)
{
    size_t kept = 0;
    for (size_t i = 0; i < search->count; i++) {
        struct nd_sub *sub = search->subs[i];
        if (nd_sub_is_denied(sub, search->subject))
            nd_sub_release(sub);
        else
            search->subs[kept++] = sub;
    }
    search->count = kept;
}

int nd_sublist_match(struct nd_sublist *list, struct nd_slice subject,
                     struct nd_stamp *stamp, struct nd_match *spare,
                     struct nd_match **match)
{
    struct search search;
    *match = NULL;
    search_init(&search, list, subject, stamp != NULL);
    int rc = has_patterns(list) ? split(&search) : 0;
    if (rc == 0)
        rc = search_run(&search);
    search_filter(&search);
    if (rc == 0 && search.count > 0) {
        *match =
            nd_match_new(subject, search.subs, search.count, list->reactors, spare);
        rc = *match == NULL ? ND_ENOMEM : 0;
    }
    if (rc != 0)
        search_clear(&search);
    if (stamp != NULL)
        *stamp = search.stamp;
    search_fini(&search);
    return rc;
}

/* ---- ahead of time ---- */

struct glance {
    uint64_t hash;
    struct nd_hash_link **head;
};

static void fetch_place(const struct glance *glance)
{
    if (glance->head != NULL && *glance->head != NULL) {
        __builtin_prefetch(*glance->head);
        __builtin_prefetch((const char *)*glance->head + ND_CACHE_LINE);
    }
}

static void fetch_sub(const struct nd_hash *literals, const struct glance *glance)
{
    struct nd_hash_link *link = nd_hash_find(literals, glance->hash, NULL);
    if (link == NULL)
        return;
    const struct nd_place *place = nd_container(link, struct nd_place, link);
    if (place->plain.count > 0) {
        const struct nd_sub *sub = nd_tiers_get(&place->plain, 0);
        __builtin_prefetch(&sub->refs, 1);
        __builtin_prefetch(sub->text);
    }
}

void nd_sublist_warm(struct nd_sublist *list, const struct nd_slice *subjects,
                     size_t count)
{
    struct glance glances[ND_WARM_MAX];
    assert(count <= ND_WARM_MAX);
    for (size_t i = 0; i < count; i++)
        glances[i].hash = nd_hash_bytes(&list->key, subjects[i]);
    nd_rwlock_read(&list->lock);
    for (size_t i = 0; i < count; i++) {
        glances[i].head = nd_hash_head(&list->literals, glances[i].hash);
        __builtin_prefetch(glances[i].head);
    }
    for (size_t i = 0; i < count; i++)
        fetch_place(&glances[i]);
    for (size_t i = 0; i < count; i++)
        fetch_sub(&list->literals, &glances[i]);
    nd_rwlock_unlock(&list->lock);
}
