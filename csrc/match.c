/* match -- see match.h. */
#include "match.h"

#include <stdlib.h>

enum { FEW_RUNS = 16 }; /* sorted without an allocation */

/* Neighbours among *subs* that are of one queue. */
struct run {
    struct nd_sub **first;
    uint32_t count;
};

struct plan {
    struct nd_sub **subs;
    size_t count;
    uint32_t plain_count, member_count;
    uint32_t run_count, group_count;
    struct run *runs;
    struct run few_runs[FEW_RUNS];
};

static bool begins_run(struct nd_sub *const *subs, size_t i)
{
    if (subs[i]->queue_len == 0)
        return false;
    return i == 0 || subs[i - 1]->queue_len == 0 ||
           !nd_slice_is_equal(nd_sub_queue(subs[i - 1]), nd_sub_queue(subs[i]));
}

static void plan_counts(struct plan *plan)
{
    for (size_t i = 0; i < plan->count; i++) {
        bool is_member = plan->subs[i]->queue_len > 0;
        plan->plain_count += !is_member;
        plan->member_count += is_member;
        plan->run_count += begins_run(plan->subs, i);
    }
}

static int compare_runs(const void *left, const void *right)
{
    const struct run *one = left, *other = right;
    struct nd_slice a = nd_sub_queue(*one->first), b = nd_sub_queue(*other->first);
    if (a.len != b.len)
        return a.len < b.len ? -1 : 1;
    return memcmp(a.ptr, b.ptr, a.len);
}

static bool begins_group(const struct plan *plan, uint32_t i)
{
    return i == 0 || compare_runs(&plan->runs[i - 1], &plan->runs[i]) != 0;
}

/* Teams of one queue at several places are one group: brings their runs together. */
static int plan_groups(struct plan *plan)
{
    plan->runs = plan->few_runs;
    if (plan->run_count == 0)
        return 0;
    if (plan->run_count > FEW_RUNS)
        plan->runs = malloc(plan->run_count * sizeof *plan->runs);
    if (plan->runs == NULL)
        return ND_ENOMEM;
    uint32_t found = 0;
    for (size_t i = 0; i < plan->count; i++) {
        if (begins_run(plan->subs, i))
            plan->runs[found++] = (struct run){plan->subs + i, 0};
        if (plan->subs[i]->queue_len > 0)
            plan->runs[found - 1].count++;
    }
    qsort(plan->runs, plan->run_count, sizeof *plan->runs, compare_runs);
    for (uint32_t i = 0; i < plan->run_count; i++)
        plan->group_count += begins_group(plan, i);
    return 0;
}

/* One allocation: the record, what is aligned like a pointer, then the rest. */
static struct nd_match *allocate(const struct plan *plan, struct nd_slice subject,
                                 uint32_t reactors, struct nd_match *spare)
{
    size_t pointers = (size_t)plan->plain_count + plan->member_count;
    size_t prefix_len = subject.len + 5;
    size_t size = sizeof(struct nd_match) + pointers * sizeof(struct nd_sub *) +
                  plan->group_count * sizeof(struct nd_group) +
                  (reactors + 1) * sizeof(uint32_t) + prefix_len;
    struct nd_match *match = spare;
    if (spare == NULL || spare->room < size) {
        match = size > UINT32_MAX ? NULL : malloc(size);
        if (match == NULL)
            return NULL;
        match->room = (uint32_t)size;
    }
    atomic_init(&match->refs, 1);
    match->plain_count = plan->plain_count;
    match->group_count = plan->group_count;
    match->weight = (uint32_t)size;
    match->plain = (struct nd_sub **)(match + 1);
    match->members = match->plain + plan->plain_count;
    match->groups = (struct nd_group *)(match->members + plan->member_count);
    match->starts = (uint32_t *)(match->groups + plan->group_count);
    uint8_t *prefix = (uint8_t *)(match->starts + reactors + 1);
    memcpy(prefix, "MSG ", 4);
    if (subject.len > 0)
        memcpy(prefix + 4, subject.ptr, subject.len);
    prefix[prefix_len - 1] = ' ';
    match->prefix = nd_slice(prefix, prefix_len);
    return match;
}

static void fill_plain(struct nd_match *match, const struct plan *plan,
                       uint32_t reactors)
{
    uint32_t at[ND_REACTORS_MAX] = {0};
    for (size_t i = 0; i < plan->count; i++) {
        assert(plan->subs[i]->owner < reactors);
        at[plan->subs[i]->owner] += plan->subs[i]->queue_len == 0;
    }
    match->starts[0] = 0;
    for (uint32_t r = 0; r < reactors; r++) {
        match->starts[r + 1] = match->starts[r] + at[r];
        at[r] = match->starts[r];
    }
    for (size_t i = 0; i < plan->count; i++) {
        struct nd_sub *sub = plan->subs[i];
        if (sub->queue_len == 0)
            match->plain[at[sub->owner]++] = sub;
    }
}

static void fill_groups(struct nd_match *match, const struct plan *plan)
{
    struct nd_group *group = match->groups;
    uint32_t end = 0;
    for (uint32_t i = 0; i < plan->run_count; i++) {
        const struct run *run = &plan->runs[i];
        if (begins_group(plan, i))
            *group++ = (struct nd_group){end, 0};
        memcpy(match->members + end, run->first, run->count * sizeof(struct nd_sub *));
        group[-1].count += run->count;
        end += run->count;
    }
}

struct nd_match *nd_match_new(struct nd_slice subject, struct nd_sub **subs,
                              size_t count, uint32_t reactors, struct nd_match *spare)
{
    assert(reactors > 0 && reactors <= ND_REACTORS_MAX);
    if (count > UINT32_MAX)
        return NULL;
    struct plan plan = {.subs = subs, .count = count};
    plan_counts(&plan);
    if (plan_groups(&plan) != 0)
        return NULL;
    struct nd_match *match = allocate(&plan, subject, reactors, spare);
    if (match != NULL) {
        fill_plain(match, &plan, reactors);
        fill_groups(match, &plan);
    }
    if (plan.runs != plan.few_runs)
        free(plan.runs);
    return match;
}

void nd_match_retain(struct nd_match *match)
{
    atomic_fetch_add_explicit(&match->refs, 1, memory_order_relaxed);
}

static void release_all(struct nd_sub **subs, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        nd_sub_release(subs[i]);
}

void nd_match_clear(struct nd_match *match)
{
    release_all(match->plain, match->plain_count);
    for (uint32_t i = 0; i < match->group_count; i++)
        release_all(match->members + match->groups[i].first, match->groups[i].count);
    match->plain_count = match->group_count = 0;
}

void nd_match_release(struct nd_match *match)
{
    if (atomic_fetch_sub_explicit(&match->refs, 1, memory_order_acq_rel) != 1)
        return;
    nd_match_clear(match);
    free(match);
}

/* ---- the cache: sets of eight entries, whose tags are one line of memory ---- */

enum {
    WAYS = 8,
    SETS = ND_CACHE_ENTRIES / WAYS,
    SEEN = 4096,  /* subjects that passed by and are remembered, more or less */
    KEY_MAX = 44, /* bytes of a subject that nobody wants; longer ones are not kept */
    PASSED = 8,
    PASSED_MAX = 32, /* a measure of how many finds were not kept */
    TOO_BIG = ND_CACHE_BYTES / 2
};

struct entry {
    struct nd_stamp stamp;
    struct nd_match *match; /* one reference; NULL = nobody wants key */
    uint32_t key_len;
    uint8_t key[KEY_MAX]; /* only if match is NULL */
};

struct nd_cache {
    struct nd_sublist *list;
    uint64_t seed;
    struct entry *last; /* found or put most recently; NULL = none */
    struct nd_cache_counts counts;
    size_t bytes;   /* what the entries weigh, the big one excepted */
    uint32_t hand;  /* of evictions */
    uint32_t sweep; /* the next one to look at; 0 = a new round */
    uint64_t round; /* generation at which the round began */
    uint64_t clean; /* generation at which all that is here was true */
    bool has_big;
    uint32_t passed;                        /* finds in a row that were not kept */
    struct nd_match *passing;               /* lent, but not kept; NULL = none */
    uint32_t seen[SEEN];                    /* parts of tags */
    struct entry big;                       /* the last one above TOO_BIG */
    uint64_t tags[ND_CACHE_ENTRIES];        /* 0 = empty */
    struct entry entries[ND_CACHE_ENTRIES]; /* memory is touched as it fills */
};

static uint64_t load_64(const uint8_t *ptr)
{
    uint64_t word;
    memcpy(&word, ptr, sizeof word);
    return word;
}

static uint64_t blend(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 29;
}

/* Quicker than SipHash and weaker: who finds a collision evicts an entry, no more. */
static uint64_t tag_of(const struct nd_cache *cache, struct nd_slice subject)
{
    uint64_t hash = blend(cache->seed, subject.len), last = 0;
    size_t i = 0;
    for (; i + 8 <= subject.len; i += 8)
        hash = blend(hash, load_64(subject.ptr + i));
    for (; i < subject.len; i++)
        last = last << 8 | subject.ptr[i];
    return blend(blend(hash, last), cache->seed) | 1;
}

static bool entry_is(const struct entry *entry, struct nd_slice subject)
{
    if (entry->match != NULL)
        return nd_slice_is_equal(nd_match_subject(entry->match), subject);
    return nd_slice_is_equal(nd_slice(entry->key, entry->key_len), subject);
}

static size_t weight_of(const struct nd_match *match)
{
    return sizeof(struct entry) + (match == NULL ? 0 : match->weight);
}

struct nd_cache *nd_cache_new(struct nd_sublist *list, const struct nd_hash_key *key)
{
    struct nd_cache *cache = calloc(1, sizeof *cache);
    if (cache == NULL)
        return NULL;
    cache->list = list;
    cache->seed = nd_hash_u64(key, ND_CACHE_ENTRIES);
    cache->clean = nd_sublist_generation(list);
    return cache;
}

static void drop_big(struct nd_cache *cache)
{
    if (!cache->has_big)
        return;
    if (cache->last == &cache->big)
        cache->last = NULL;
    cache->has_big = false;
    cache->counts.entries--;
    nd_match_release(cache->big.match);
}

static void drop_at(struct nd_cache *cache, uint32_t i)
{
    struct entry *entry = &cache->entries[i];
    if (cache->tags[i] == 0)
        return;
    if (cache->last == entry)
        cache->last = NULL;
    cache->tags[i] = 0;
    cache->counts.entries--;
    cache->bytes -= weight_of(entry->match);
    if (entry->match != NULL)
        nd_match_release(entry->match);
}

static void drop(struct nd_cache *cache, struct entry *entry)
{
    if (entry == &cache->big)
        drop_big(cache);
    else
        drop_at(cache, (uint32_t)(entry - cache->entries));
}

/* A result that was only lent, to be used again; NULL if others hold it, or none is. */
static struct nd_match *take_spare(struct nd_cache *cache)
{
    struct nd_match *spare = cache->passing;
    cache->passing = NULL;
    if (spare == NULL)
        return NULL;
    if (atomic_load_explicit(&spare->refs, memory_order_acquire) > 1) {
        nd_match_release(spare);
        return NULL;
    }
    nd_match_clear(spare);
    return spare;
}

void nd_cache_rest(struct nd_cache *cache)
{
    free(take_spare(cache));
}

void nd_cache_free(struct nd_cache *cache)
{
    if (cache == NULL)
        return;
    drop_big(cache);
    nd_cache_rest(cache);
    for (uint32_t i = 0; cache->counts.entries > 0; i++)
        drop_at(cache, i);
    free(cache);
}

static uint32_t set_of(uint64_t tag)
{
    return (uint32_t)(tag >> 32) % SETS * WAYS;
}

static struct entry *look_up(struct nd_cache *cache, struct nd_slice subject,
                             uint64_t tag)
{
    uint32_t set = set_of(tag);
    for (uint32_t i = set; i < set + WAYS; i++) {
        if (cache->tags[i] == tag && entry_is(&cache->entries[i], subject))
            return &cache->entries[i];
    }
    if (cache->has_big && entry_is(&cache->big, subject))
        return &cache->big;
    return NULL;
}

/* An empty place for *weight* more bytes in the set of *tag*. */
static uint32_t make_place(struct nd_cache *cache, uint64_t tag, size_t weight)
{
    while (cache->bytes + weight > ND_CACHE_BYTES)
        drop_at(cache, cache->hand++ % ND_CACHE_ENTRIES);
    uint32_t set = set_of(tag);
    for (uint32_t i = set; i < set + WAYS; i++) {
        if (cache->tags[i] == 0)
            return i;
    }
    uint32_t victim = set + cache->hand++ % WAYS;
    drop_at(cache, victim);
    return victim;
}

/* Takes over the reference to *match*. */
static void keep(struct nd_cache *cache, struct nd_slice subject, uint64_t tag,
                 const struct nd_stamp *stamp, struct nd_match *match)
{
    struct entry *entry = &cache->big;
    size_t weight = weight_of(match);
    if (weight > TOO_BIG) {
        drop_big(cache);
        cache->has_big = true;
    } else {
        uint32_t i = make_place(cache, tag, weight);
        cache->tags[i] = tag;
        cache->bytes += weight;
        entry = &cache->entries[i];
    }
    entry->stamp = *stamp;
    entry->match = match;
    if (match == NULL) {
        entry->key_len = (uint32_t)subject.len;
        memcpy(entry->key, subject.ptr, subject.len);
    }
    cache->counts.entries++;
    cache->last = entry;
}

/* Is the subject of *tag* worth driving out another? Only if it has been here before. */
static bool is_welcome(struct nd_cache *cache, uint64_t tag)
{
    uint32_t set = set_of(tag), mark = (uint32_t)(tag >> 16);
    for (uint32_t i = set; i < set + WAYS; i++) {
        if (cache->tags[i] == 0)
            return true;
    }
    uint32_t *seen = &cache->seen[tag / 2 % SEEN]; /* tags are odd */
    bool was_here = *seen == mark;
    *seen = mark;
    return was_here;
}

/* Asks the index, and lends the answer without keeping it. */
static struct nd_match *pass(struct nd_cache *cache, struct nd_slice subject, int *rc)
{
    struct nd_match *spare = take_spare(cache), *match;
    *rc = nd_sublist_match(cache->list, subject, NULL, spare, &match);
    if (match != spare)
        free(spare);
    cache->passing = match;
    cache->passed = ND_MIN(cache->passed + 1, (uint32_t)PASSED_MAX);
    cache->last = NULL;
    return match;
}

static struct nd_match *ask(struct nd_cache *cache, struct nd_slice subject,
                            uint64_t tag, int *rc)
{
    struct nd_stamp stamp;
    struct nd_match *match;
    *rc = nd_sublist_match(cache->list, subject, &stamp, NULL, &match);
    if (*rc != ND_OK || (match == NULL && subject.len > KEY_MAX)) {
        cache->last = NULL;
        return NULL;
    }
    keep(cache, subject, tag, &stamp, match);
    return match;
}

struct nd_match *nd_cache_find(struct nd_cache *cache, struct nd_slice subject, int *rc)
{
    struct entry *entry = cache->last;
    uint64_t tag = 0;
    *rc = ND_OK;
    if (entry == NULL || !entry_is(entry, subject)) {
        tag = tag_of(cache, subject);
        entry = look_up(cache, subject, tag);
    }
    if (entry != NULL && nd_sublist_is_current(cache->list, &entry->stamp)) {
        cache->counts.hits++;
        cache->passed -= cache->passed / 4;
        cache->last = entry;
        return entry->match;
    }
    cache->counts.misses++;
    tag = tag != 0 ? tag : tag_of(cache, subject);
    if (entry != NULL)
        drop(cache, entry);
    else if (!is_welcome(cache, tag))
        return pass(cache, subject, rc);
    return ask(cache, subject, tag, rc);
}

static void sweep_at(struct nd_cache *cache, uint32_t i)
{
    if (cache->tags[i] == 0)
        return;
    if (!nd_sublist_is_current(cache->list, &cache->entries[i].stamp))
        drop_at(cache, i);
}

bool nd_cache_sweep(struct nd_cache *cache, uint32_t budget)
{
    if (cache->sweep == 0) {
        cache->round = nd_sublist_generation(cache->list);
        if (cache->round == cache->clean || cache->counts.entries == 0)
            return true;
        if (cache->has_big && !nd_sublist_is_current(cache->list, &cache->big.stamp))
            drop_big(cache);
    }
    uint32_t end = ND_CACHE_ENTRIES - cache->sweep;
    end = cache->sweep + ND_MIN(end, budget);
    for (uint32_t i = cache->sweep; i < end; i++)
        sweep_at(cache, i);
    cache->sweep = end % ND_CACHE_ENTRIES;
    if (end < ND_CACHE_ENTRIES)
        return false;
    cache->clean = cache->round;
    return true;
}

bool nd_cache_is_passed(const struct nd_cache *cache)
{
    return cache->passed >= PASSED;
}

void nd_cache_count(const struct nd_cache *cache, struct nd_cache_counts *counts)
{
    *counts = cache->counts;
}
