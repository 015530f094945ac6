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
