/* tsan_sublist -- two threads that subscribe and unsubscribe beside two that match,
 * to be built with -fsanitize=thread. Prints "ok" and how much it did. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "cache.h"
#include "sublist.h"

enum {
    CHANGERS = 2,
    FINDERS = 2,
    CHANGES = 100000, /* at most; they end with the finders */
    FINDS = 2000,
    HELD = 64,
    CROWD = 2500,
    FORMS = 6,
    FORM_CROWD = 5
};

struct worker {
    pthread_t thread;
    uint32_t index;
    uint64_t seen; /* subscriptions met in results */
    struct nd_gate *gate;
    struct nd_sub *held[HELD];
};

static const struct nd_hash_key key = {1, 2};
static struct nd_sublist *list;
static struct nd_permits *permits; /* deny what is no crowd's */
static _Atomic uint32_t finding = FINDERS;

static uint32_t next(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

static struct nd_slice subject_of(uint32_t number, char room[32])
{
    static const char *const forms[] = {"a.%u", "a.*",    "a.>",
                                        "*.%u", "b.%u.*", "crowd"};
    int len = snprintf(room, 32, forms[number % FORMS], number / FORMS % 8);
    return nd_slice(room, (size_t)len);
}

static struct nd_sub *make(struct nd_gate *gate, uint32_t owner, struct nd_slice queue,
                           bool is_filtered)
{
    struct nd_permits *filter = is_filtered ? permits : NULL;
    return nd_sub_new(gate, NULL, owner, ND_LIT("sid"), queue, filter);
}

static struct nd_sub *subscribe(struct nd_gate *gate, uint32_t owner, uint32_t number)
{
    char room[32];
    struct nd_slice queue = number / FORMS % 4 == 0 ? ND_LIT("q") : ND_LIT("");
    struct nd_sub *sub = make(gate, owner, queue, number % 2 == 0);
    if (sub == NULL || nd_sublist_insert(list, sub, subject_of(number, room)) != 0)
        abort();
    return sub;
}

/* The same subscription under other permits. */
static struct nd_sub *replace(struct nd_gate *gate, struct nd_sub *sub)
{
    char room[32];
    struct nd_sub *fresh = make(gate, sub->owner, nd_sub_queue(sub), !sub->is_filtered);
    if (fresh == NULL || nd_sublist_subject(list, sub, (uint8_t *)room, 32) > 32)
        abort();
    atomic_store_explicit(&sub->dead, true, memory_order_release);
    nd_sublist_replace(list, sub, fresh);
    nd_sub_release(sub);
    return fresh;
}

static void *change(void *argument)
{
    struct worker *worker = argument;
    struct nd_gate *gate = worker->gate;
    struct nd_sub **held = worker->held;
    uint64_t chance = worker->index + 1;
    for (int i = 0; i < CHANGES && atomic_load(&finding) > 0; i++) {
        uint32_t slot = next(&chance) % HELD;
        if (held[slot] == NULL) {
            held[slot] = subscribe(gate, worker->index, next(&chance));
            continue;
        }
        if (next(&chance) % 2 == 0) {
            held[slot] = replace(gate, held[slot]);
            continue;
        }
        atomic_store_explicit(&held[slot]->dead, true, memory_order_release);
        if (!nd_sublist_remove(list, held[slot]))
            abort();
        nd_sub_release(held[slot]);
        held[slot] = NULL;
    }
    atomic_store_explicit(&gate->dead, true, memory_order_release);
    for (int i = 0; i < HELD; i++) {
        if (held[i] == NULL)
            continue;
        if (nd_sublist_remove_many(list, &held[i], 1) != 1)
            abort();
        nd_sub_release(held[i]);
    }
    nd_gate_release(gate);
    return NULL;
}

/* Those who were there from start to end must be in each result once, whatever moved
 * while it was copied. Their number is also that of the gate. */
static void expect_crowd(const struct nd_match *match)
{
    uint32_t count = 0;
    for (uint32_t i = 0; match != NULL && i < match->plain_count; i++)
        count += match->plain[i]->gate->cid == CROWD;
    for (uint32_t i = 0; match != NULL && i < match->group_count; i++) {
        const struct nd_group *group = &match->groups[i];
        for (uint32_t m = group->first; m < group->first + group->count; m++)
            count += match->members[m]->gate->cid == CROWD;
    }
    if (count != CROWD) {
        fprintf(stderr, "%u of %d\n", count, CROWD);
        abort();
    }
}

static uint64_t count_live(const struct nd_match *match)
{
    uint64_t count = 0;
    for (uint32_t i = 0; match != NULL && i < match->plain_count; i++)
        count += !nd_sub_is_dead(match->plain[i]);
    return count;
}

static void *find(void *argument)
{
    struct worker *worker = argument;
    struct nd_cache *cache = nd_cache_new(list, &key);
    uint64_t chance = worker->index + 100;
    char room[32];
    for (int i = 0; i < FINDS; i++) {
        bool is_crowd = i % 8 == 0;
        struct nd_slice subject =
            subject_of(is_crowd ? FORM_CROWD : next(&chance) % 48, room);
        int rc;
        struct nd_match *match = nd_cache_find(cache, subject, &rc);
        if (rc != 0)
            abort();
        if (is_crowd)
            expect_crowd(match);
        worker->seen += count_live(match);
        if (i % 100 == 0)
            nd_cache_sweep(cache, 256);
    }
    nd_cache_free(cache);
    atomic_fetch_sub(&finding, 1);
    return NULL;
}

/* The first of the crowd are the changers', so that removals move the others. */
static void prepare(struct worker *worker, uint32_t index)
{
    *worker = (struct worker){.index = index};
    if (index >= CHANGERS)
        return;
    worker->gate = nd_gate_new(index);
    for (uint32_t i = 0; i < HELD; i++)
        worker->held[i] = subscribe(worker->gate, index, FORM_CROWD + FORMS * i);
}

static void start(struct worker *worker)
{
    void *(*work)(void *) = worker->index < CHANGERS ? change : find;
    if (pthread_create(&worker->thread, NULL, work, worker) != 0)
        abort();
}

static bool is_empty_and_sound(void)
{
    const char *fault = nd_sublist_check(list);
    struct nd_sublist_counts counts;
    nd_sublist_count(list, &counts);
    fprintf(stderr, "%s\n", fault ? fault : "sound");
    return !fault && counts.places + counts.nodes + counts.subscriptions == 0;
}

int main(void)
{
    static struct worker workers[CHANGERS + FINDERS];
    struct nd_sub *crowd[CROWD];
    struct nd_gate *gate = nd_gate_new(CROWD);
    uint64_t seen = 0;
    static const struct nd_rule rule = {ND_RULE_SUBSCRIBE_DENY, "*.1", 3, "", 0};
    list = nd_sublist_new(&key, CHANGERS);
    permits = nd_permits_new("", 0, &rule, 1);
    for (uint32_t i = 0; i < CHANGERS + FINDERS; i++)
        prepare(&workers[i], i);
    for (uint32_t i = 0; i < CROWD; i++)
        crowd[i] = subscribe(gate, i % CHANGERS, FORM_CROWD + FORMS * i);
    for (uint32_t i = 0; i < CHANGERS + FINDERS; i++)
        start(&workers[i]);
    for (uint32_t i = 0; i < CHANGERS + FINDERS; i++) {
        pthread_join(workers[i].thread, NULL);
        seen += workers[i].seen;
    }
    if (nd_sublist_remove_many(list, crowd, CROWD) != CROWD || !is_empty_and_sound())
        return 1;
    for (uint32_t i = 0; i < CROWD; i++)
        nd_sub_release(crowd[i]);
    nd_sublist_free(list);
    nd_gate_release(gate);
    nd_permits_release(permits);
    printf("ok %llu\n", (unsigned long long)seen);
    return 0;
}
