/* cache -- see cache.h. Sets of eight entries, whose tags are one line of memory. */
#include "cache.h"

#include <stdlib.h>

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
    uint64_t permits_id;    /* of those that were last found to allow it */
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
    entry->permits_id = 0;
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

/* Apart, so that the usual way needs no room on the stack. */
__attribute__((noinline)) static bool ask_permits(struct entry *entry,
                                                  const struct nd_permits *permits,
                                                  struct nd_slice subject)
{
    bool may = nd_permits_may_publish(permits, subject);
    if (may && entry != NULL)
        entry->permits_id = nd_permits_id(permits);
    return may;
}

bool nd_cache_may_publish(struct nd_cache *cache, const struct nd_permits *permits,
                          struct nd_slice subject)
{
    struct entry *entry = cache->last;
    assert(entry == NULL || entry_is(entry, subject));
    if (entry != NULL && nd_likely(entry->permits_id == nd_permits_id(permits)))
        return true;
    return ask_permits(entry, permits, subject);
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
