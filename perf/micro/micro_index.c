/* micro_index -- the index, the cache before it, and their weight; see micro.h.
 *
 * Subjects lie in memory in the order in which they are asked for, which is not that in
 * which they were subscribed to: a subject that comes in is warm, its place is not.
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include "cache.h"
#include "micro.h"
#include "sublist.h"

enum {
    THOUSAND = 1000,
    MILLION = 1000 * 1000,
    TEXT_MAX = 40,
    STRIDE = 7919 /* a prime: its multiples reach every number in another order */
};

struct text {
    uint8_t len;
    char bytes[TEXT_MAX - 1];
};

uint64_t index_limit = MILLION;

static struct nd_sublist *list;
static struct nd_cache *cache;
static struct nd_gate *gate;
static struct nd_sub **subs; /* one for each subject or pattern in the index */
static struct text *asked;   /* in the order in which they are asked for */
static uint64_t total;       /* of both */
static uint64_t turn;        /* the next to ask for */
static bool has_interest;    /* in what is asked for */

static void *must_alloc(size_t count, size_t size)
{
    void *ptr = calloc(count, size);
    must(ptr != NULL, "no memory");
    return ptr;
}

static struct nd_slice slice_of(const struct text *text)
{
    return nd_slice(text->bytes, text->len);
}

static void print(struct text *text, const char *format, uint64_t number)
{
    int len = snprintf(text->bytes, sizeof(text->bytes), format, (unsigned)number);
    must(len > 0 && len < (int)sizeof(text->bytes), "a subject that is too long");
    text->len = (uint8_t)len;
}

static void literal(struct text *text, uint64_t number)
{
    print(text, "perf.%06u", number);
}

static void absent(struct text *text, uint64_t number)
{
    print(text, "nobody.%06u", number);
}

/* Two to five tokens, wildcards in any place but the first; each a pattern of its
 * own. What matches it has "any" for "*" and "any.end" for ">". */
static void pattern(struct text *text, uint64_t number)
{
    static const char *const forms[] = {"a%u.*.c", "b.c%u.>", "c%u.d.*.e",
                                        "d.*.e%u.f.>", "e%u.>"};
    print(text, forms[number % 5], number / 5);
}

static void under_pattern(struct text *text, uint64_t number)
{
    static const char *const forms[] = {"a%u.any.c", "b.c%u.any.end", "c%u.d.any.e",
                                        "d.any.e%u.f.any.end", "e%u.any.end"};
    print(text, forms[number % 5], number / 5);
}

static void insert(struct nd_sub *sub, struct nd_slice subject)
{
    must(nd_sublist_insert(list, sub, subject) == ND_OK, "not inserted");
}

static void fill_asked(void (*render)(struct text *text, uint64_t number))
{
    asked = must_alloc(total, sizeof(*asked));
    for (uint64_t i = 0; i < total; i++)
        render(&asked[i], i * STRIDE % total);
}

static void make_subs(void)
{
    subs = must_alloc(total, sizeof(struct nd_sub *));
    for (uint64_t i = 0; i < total; i++) {
        subs[i] = nd_sub_new(gate, NULL, 0, ND_LIT("1"), ND_LIT(""), NULL);
        must(subs[i] != NULL, "no memory");
    }
}

static void open_index(uint64_t size)
{
    total = ND_MIN(size, index_limit);
    turn = 0;
    has_interest = true;
    gate = nd_gate_new(1);
    list = nd_sublist_new(&micro_key, 1);
    must(gate != NULL && list != NULL, "no memory");
    make_subs();
}

static void subscribe(void (*render)(struct text *text, uint64_t number))
{
    struct text text;
    for (uint64_t i = 0; i < total; i++) {
        render(&text, i);
        insert(subs[i], slice_of(&text));
    }
}

static void open_cache(void)
{
    cache = nd_cache_new(list, &micro_key);
    must(cache != NULL, "no memory");
}

static void literals_begin(const struct bench *bench)
{
    open_index(bench->size);
    subscribe(literal);
    fill_asked(literal);
    open_cache();
}

static void patterns_begin(const struct bench *bench)
{
    open_index(bench->size);
    subscribe(pattern);
    fill_asked(under_pattern);
    open_cache();
}

static void absent_begin(const struct bench *bench)
{
    open_index(bench->size);
    subscribe(literal);
    fill_asked(absent);
    open_cache();
    has_interest = false;
}

static void close_index(void)
{
    nd_cache_free(cache);
    nd_sublist_free(list);
    for (uint64_t i = 0; i < total; i++)
        nd_sub_release(subs[i]);
    nd_gate_release(gate);
    free(asked);
    free(subs);
    cache = NULL;
    asked = NULL;
}

static struct nd_slice next_asked(void)
{
    struct nd_slice subject = slice_of(&asked[turn]);
    turn = turn + 1 < total ? turn + 1 : 0;
    return subject;
}

static void find_same_run(uint64_t count)
{
    for (; count > 0; count--) {
        int rc;
        struct nd_match *match = nd_cache_find(cache, slice_of(opaque(asked)), &rc);
        must(rc == ND_OK && match != NULL, "not the match meant");
    }
}

static void match_run(uint64_t count)
{
    for (; count > 0; count--) {
        struct nd_stamp stamp;
        struct nd_match *match;
        int rc = nd_sublist_match(list, next_asked(), &stamp, NULL, &match);
        must(rc == ND_OK && (match != NULL) == has_interest, "not the match meant");
        if (match != NULL)
            nd_match_release(match);
    }
}

static void find_run(uint64_t count)
{
    for (; count > 0; count--) {
        int rc;
        struct nd_match *match = nd_cache_find(cache, next_asked(), &rc);
        must(rc == ND_OK && (match != NULL) == has_interest, "not the match meant");
    }
}

/* As the engine does it where subjects only pass by: warmed by the dozen first. */
static void warm_run(uint64_t count)
{
    struct nd_slice subjects[ND_WARM_MAX];
    while (count > 0) {
        uint64_t part = ND_MIN(count, (uint64_t)ND_WARM_MAX);
        uint64_t first = turn;
        for (uint64_t i = 0; i < part; i++)
            subjects[i] = next_asked();
        nd_sublist_warm(list, subjects, part);
        turn = first;
        match_run(part);
        count -= part;
    }
}

/* Each in turn goes and comes back: all but one of them are in the index. */
static void change_literals_begin(const struct bench *bench)
{
    open_index(bench->size);
    subscribe(literal);
    fill_asked(literal);
}

static void change_patterns_begin(const struct bench *bench)
{
    open_index(bench->size);
    subscribe(pattern);
    fill_asked(pattern);
}

static void change_run(uint64_t count)
{
    for (; count > 0; count--) {
        struct nd_sub *sub = subs[turn * STRIDE % total];
        must(nd_sublist_remove(list, sub), "not removed");
        insert(sub, next_asked());
    }
}

static double heap_bytes(void)
{
    struct mallinfo2 info = mallinfo2();
    return (double)(info.uordblks + info.hblkhd);
}

/* What subscribing adds, for each; the records of the subscriptions are there. */
static double index_bytes(uint64_t size, void (*render)(struct text *, uint64_t))
{
    open_index(size);
    double before = heap_bytes();
    subscribe(render);
    double each = (heap_bytes() - before) / (double)total;
    close_index();
    return each;
}

static double sub_bytes(void)
{
    double before = heap_bytes();
    open_index(MILLION);
    double each = (heap_bytes() - before) / (double)total;
    close_index();
    return each - sizeof(struct nd_sub *); /* of our own row of them */
}

void index_weigh(struct weight weights[WEIGHT_COUNT])
{
    weights[0] = (struct weight){"memory, subscription", sub_bytes()};
    weights[1] = (struct weight){"memory, its literal in the index",
                                 index_bytes(MILLION, literal)};
    weights[2] = (struct weight){"memory, its pattern in the index",
                                 index_bytes(100 * THOUSAND, pattern)};
}

#define INDEX(title, how, what, count)                                              \
    {                                                                               \
        .name = title, .begin = how##_begin, .run = what##_run, .end = close_index, \
        .size = count                                                               \
    }

const struct bench index_benches[] = {
    INDEX("cache hit, same subject", literals, find_same, THOUSAND),
    INDEX("cache hit, 1,000 subjects", literals, find, THOUSAND),
    INDEX("cache hit, 1,000 that nobody wants", absent, find, THOUSAND),
    INDEX("cache miss, 100,000 literals", literals, find, 100 * THOUSAND),
    INDEX("cache miss, 10,000 patterns", patterns, find, 10 * THOUSAND),
    INDEX("index, 1,000 literals", literals, match, THOUSAND),
    INDEX("index, 100,000 literals", literals, match, 100 * THOUSAND),
    INDEX("index, 1,000,000 literals", literals, match, MILLION),
    INDEX("index, 1,000,000 literals, warmed", literals, warm, MILLION),
    INDEX("index, 10,000 patterns", patterns, match, 10 * THOUSAND),
    INDEX("index, nobody among 1,000,000", absent, match, MILLION),
    INDEX("remove and insert, 1,000,000 literals", change_literals, change, MILLION),
    INDEX("remove and insert, 10,000 patterns", change_patterns, change, 10 * THOUSAND),
    {.name = NULL},
};
