#include "permit.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "subject.h"

enum {
    LISTS = ND_RULE_SUBSCRIBE_DENY + 1,
    CACHE_LINE = 64,
    FEW_RULES = 4 /* in a bucket, on average at most */
};

/* A cache line. */
struct rule {
    struct rule *next; /* in its bucket */
    struct nd_slice subject, queue;
    struct nd_slice tail; /* behind the literal tokens and their dot; empty = nothing */
    uint32_t literal;     /* bytes of the literal tokens that subject begins with */
    bool is_rest;         /* the tail is ">" */
};

/* The rules of a list whose literal beginnings are of one length. */
struct group {
    uint32_t literal;
    uint32_t mask; /* buckets, of which there are a power of two, less 1 */
    union {
        struct rule *only; /* mask is 0 */
        struct rule **buckets;
    };
};

struct list {
    struct rule *rules;   /* by the length of what is literal */
    struct group *groups; /* likewise */
    uint32_t count;
    uint32_t group_count;
};

/* What a PUB asks for stands together at the beginning. */
struct nd_permits {
    _Atomic uint32_t refs;
    uint64_t id;
    struct list lists[LISTS];
    struct nd_slice name;
};

static const struct nd_permits everything;

static const struct list *list_of(const struct nd_permits *permits,
                                  enum nd_rule_list which)
{
    return &(permits != NULL ? permits : &everything)->lists[which];
}

/* The rules are the operator's: nobody else can choose what collides. */
static inline uint64_t hash_of(const uint8_t *literal, size_t len)
{
    uint64_t hash = 0, word;
    size_t i = 0;
    for (; i + 8 <= len; i += 8) {
        memcpy(&word, literal + i, 8);
        hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 32;
    }
    for (; i < len; i++) {
        hash = (hash ^ literal[i]) * UINT64_C(0x100000001b3);
    }
    return hash ^ hash >> 32;
}

static inline const struct rule *first_of(const struct group *group,
                                          const uint8_t *literal)
{
    if (group->mask == 0) {
        return group->only;
    }
    return group->buckets[hash_of(literal, group->literal) & group->mask];
}

/* ---- patterns ---- */

static bool is_char(struct nd_slice token, uint8_t byte)
{
    return token.len == 1 && token.ptr[0] == byte;
}

static bool is_wildcard(struct nd_slice token)
{
    return is_char(token, '*') || is_char(token, '>');
}

/* Is all that *subject* stands for in *pattern*? With *is_literal* it stands for itself
 * alone, whatever characters it has. */
static bool is_in(struct nd_slice subject, struct nd_slice pattern, bool is_literal)
{
    struct nd_slice want, given;
    bool more_want = true, more_given = true;
    while (nd_subject_next(&pattern, &more_want, &want)) {
        if (!more_want && is_char(want, '>')) {
            return more_given;
        }
        if (!nd_subject_next(&subject, &more_given, &given)) {
            return false;
        }
        bool is_rest = !is_literal && is_char(given, '>');
        if (is_char(want, '*') ? is_rest : !nd_slice_is_equal(want, given)) {
            return false;
        }
    }
    return !more_given;
}

/* Is there a subject that both stand for? */
static bool overlap(struct nd_slice a, struct nd_slice b)
{
    struct nd_slice one, other;
    bool more_a = true, more_b = true;
    while (nd_subject_next(&a, &more_a, &one)) {
        if (!nd_subject_next(&b, &more_b, &other)) {
            return false;
        }
        if (is_char(one, '>') || is_char(other, '>')) {
            return true;
        }
        if (!is_char(one, '*') && !is_char(other, '*') &&
            !nd_slice_is_equal(one, other)) {
            return false;
        }
    }
    return !more_b;
}

/* ---- looking up ---- */

/* Yields the rules whose literal tokens a subject begins with. */
struct search {
    const struct group *group, *end; /* still to be looked at */
    struct nd_slice subject;
    const struct rule *rule; /* likewise */
};

static inline struct search search_begin(const struct list *list,
                                         struct nd_slice subject)
{
    return (struct search){list->groups, list->groups + list->group_count, subject,
                           NULL};
}

/* False: no group is left whose literal tokens might be some of the subject. */
static inline bool search_advance(struct search *search)
{
    struct nd_slice subject = search->subject;
    while (search->group < search->end && search->group->literal <= subject.len) {
        const struct group *group = search->group++;
        size_t end = group->literal;
        if (end == 0 || end == subject.len || subject.ptr[end] == '.') {
            search->rule = first_of(group, subject.ptr);
            return true;
        }
    }
    return false;
}

/* Inline, so that a search stays in registers: 80 instructions less for a question. */
__attribute__((always_inline)) static inline const struct rule *
search_next(struct search *search)
{
    do {
        while (search->rule != NULL) {
            const struct rule *rule = search->rule;
            search->rule = rule->next;
            if (memcmp(rule->subject.ptr, search->subject.ptr, rule->literal) == 0) {
                return rule;
            }
        }
    } while (search_advance(search));
    return NULL;
}

/* As is_in, of a rule that the search has yielded. */
static bool holds(const struct rule *rule, struct nd_slice subject, bool is_literal)
{
    size_t at = rule->literal;
    if (at > 0 && (at == subject.len || rule->tail.len == 0)) {
        return at == subject.len && rule->tail.len == 0;
    }
    if (rule->is_rest) {
        return true;
    }
    at += at > 0;
    return is_in(nd_slice(subject.ptr + at, subject.len - at), rule->tail, is_literal);
}

/* Is *rule*, which denies, about *queue*? The name is taken literally: a client cannot
 * slip through by a name that looks like a wildcard. */
static bool denies_queue(const struct rule *rule, struct nd_slice queue)
{
    return rule->queue.len == 0 || (queue.len > 0 && is_in(queue, rule->queue, true));
}

static bool is_denied(const struct list *deny, struct nd_slice subject,
                      struct nd_slice queue, bool is_literal)
{
    struct search search = search_begin(deny, subject);
    const struct rule *rule;
    while ((rule = search_next(&search)) != NULL) {
        if (holds(rule, subject, is_literal) && denies_queue(rule, queue)) {
            return true;
        }
    }
    return false;
}

/* ---- questions ---- */

/* Rules for publishing know no queues. */
static bool is_listed(const struct list *list, struct nd_slice subject)
{
    struct search search = search_begin(list, subject);
    const struct rule *rule;
    while ((rule = search_next(&search)) != NULL) {
        if (holds(rule, subject, true)) {
            return true;
        }
    }
    return false;
}

bool nd_permits_may_publish(const struct nd_permits *permits, struct nd_slice subject)
{
    const struct list *allow = list_of(permits, ND_RULE_PUBLISH_ALLOW);
    return (allow->count == 0 || is_listed(allow, subject)) &&
           !is_listed(list_of(permits, ND_RULE_PUBLISH_DENY), subject);
}

/* Where rules for queues hold the subject, a queue has to be in one of them, even if
 * another rule allows the subject as such. */
static bool may_subscribe(const struct list *allow, struct nd_slice subject,
                          struct nd_slice queue)
{
    struct search search = search_begin(allow, subject);
    const struct rule *rule;
    bool has_plain = allow->count == 0, has_queue = false, is_named = false;
    while ((rule = search_next(&search)) != NULL) {
        if (!holds(rule, subject, false)) {
            continue;
        }
        if (rule->queue.len == 0) {
            has_plain = true;
        } else if (queue.len > 0) {
            has_queue = true;
            is_named |= is_in(queue, rule->queue, false);
        }
    }
    return has_queue ? is_named : has_plain;
}

bool nd_permits_may_subscribe(const struct nd_permits *permits, struct nd_slice subject,
                              struct nd_slice queue)
{
    return may_subscribe(list_of(permits, ND_RULE_SUBSCRIBE_ALLOW), subject, queue) &&
           !is_denied(list_of(permits, ND_RULE_SUBSCRIBE_DENY), subject, queue, false);
}

bool nd_permits_must_filter(const struct nd_permits *permits, struct nd_slice subject,
                            struct nd_slice queue)
{
    const struct list *deny = list_of(permits, ND_RULE_SUBSCRIBE_DENY);
    if (deny->count == 0 || !nd_subject_has_wildcard(subject)) {
        return false;
    }
    for (uint32_t i = 0; i < deny->count; i++) {
        const struct rule *rule = &deny->rules[i];
        if (overlap(rule->subject, subject) && denies_queue(rule, queue)) {
            return true;
        }
    }
    return false;
}

bool nd_permits_may_receive(const struct nd_permits *permits, struct nd_slice subject,
                            struct nd_slice queue)
{
    return !is_denied(list_of(permits, ND_RULE_SUBSCRIBE_DENY), subject, queue, true);
}

static bool are_alike(const struct nd_permits *a, const struct nd_permits *b,
                      enum nd_rule_list which)
{
    const struct list *one = list_of(a, which), *other = list_of(b, which);
    bool is_alike = one->count == other->count;
    for (uint32_t i = 0; is_alike && i < one->count; i++) {
        is_alike = nd_slice_is_equal(one->rules[i].subject, other->rules[i].subject) &&
                   nd_slice_is_equal(one->rules[i].queue, other->rules[i].queue);
    }
    return is_alike;
}

bool nd_permits_filter_alike(const struct nd_permits *a, const struct nd_permits *b)
{
    return are_alike(a, b, ND_RULE_SUBSCRIBE_DENY);
}

bool nd_permits_subscribe_alike(const struct nd_permits *a, const struct nd_permits *b)
{
    return are_alike(a, b, ND_RULE_SUBSCRIBE_ALLOW) && nd_permits_filter_alike(a, b);
}

uint64_t nd_permits_id(const struct nd_permits *permits)
{
    return permits != NULL ? permits->id : 0;
}

struct nd_slice nd_permits_name(const struct nd_permits *permits)
{
    return permits != NULL ? permits->name : nd_slice(NULL, 0);
}

/* ---- life ---- */

static bool is_valid(const struct nd_rule *rule)
{
    struct nd_slice subject = nd_slice(rule->subject, rule->subject_len);
    bool is_publish = rule->list <= ND_RULE_PUBLISH_DENY;
    return rule->list < LISTS && rule->subject_len > 0 &&
           nd_subject_is_subscribable(subject) && (!is_publish || rule->queue_len == 0);
}

/* Bytes of all; 0 = a rule is not valid. Counts the rules of each list. */
static size_t measure(const struct nd_rule *rules, uint32_t count,
                      uint32_t counts[LISTS])
{
    size_t each = sizeof(struct rule) + sizeof(struct group) + sizeof(struct rule *);
    size_t size = sizeof(struct nd_permits) + count * each;
    for (uint32_t i = 0; i < count; i++) {
        if (!is_valid(&rules[i])) {
            return 0;
        }
        counts[rules[i].list]++;
        size += (size_t)rules[i].subject_len + rules[i].queue_len;
    }
    return size;
}

static struct nd_slice put_text(uint8_t **at, const char *text, uint32_t len)
{
    struct nd_slice copy = nd_slice(*at, len);
    if (len > 0) {
        memcpy(*at, text, len);
    }
    *at += len;
    return copy;
}

static void add(struct list *list, const struct nd_rule *from, uint8_t **text)
{
    struct rule *rule = &list->rules[list->count++];
    rule->subject = put_text(text, from->subject, from->subject_len);
    rule->queue = put_text(text, from->queue, from->queue_len);
    struct nd_slice rest = rule->subject, token;
    bool more = true;
    while (nd_subject_next(&rest, &more, &token)) {
        if (is_wildcard(token)) {
            size_t at = (size_t)(token.ptr - rule->subject.ptr);
            rule->tail = nd_slice(token.ptr, rule->subject.len - at);
            rule->is_rest = is_char(rule->tail, '>');
            return;
        }
        rule->literal =
            (uint32_t)(token.ptr - rule->subject.ptr + (ptrdiff_t)token.len);
    }
}

static int compare_rules(const void *left, const void *right)
{
    const struct rule *a = left, *b = right;
    if (a->literal != b->literal) {
        return a->literal < b->literal ? -1 : 1;
    }
    return a->subject.ptr < b->subject.ptr ? -1 : 1; /* as they came */
}

static void put_in(struct group *group, struct rule *rule)
{
    uint64_t hash = hash_of(rule->subject.ptr, rule->literal);
    struct rule **bucket =
        group->mask == 0 ? &group->only : &group->buckets[hash & group->mask];
    rule->next = *bucket;
    *bucket = rule;
}

/* Makes a group of the rules from *first* on that are of one length; returns what it
 * leaves of the buckets, and in *first* the rule that follows. */
static struct rule **add_group(struct list *list, uint32_t *first,
                               struct rule **buckets)
{
    struct group *group = &list->groups[list->group_count++];
    uint32_t end = *first + 1, bucket_count = 1;
    group->literal = list->rules[*first].literal;
    while (end < list->count && list->rules[end].literal == group->literal) {
        end++;
    }
    while (bucket_count * FEW_RULES < end - *first) {
        bucket_count *= 2;
    }
    group->mask = bucket_count - 1;
    if (bucket_count > 1) {
        group->buckets = buckets;
        buckets += bucket_count;
    }
    for (; *first < end; ++*first) {
        put_in(group, &list->rules[*first]);
    }
    return buckets;
}

/* One allocation: the record, all rules, groups and buckets, then the texts. */
static void fill(struct nd_permits *permits, const struct nd_rule *rules,
                 uint32_t count, const uint32_t counts[LISTS], struct nd_slice name)
{
    struct rule *row = (struct rule *)(permits + 1);
    struct group *groups = (struct group *)(row + count);
    struct rule **buckets = (struct rule **)(groups + count);
    uint8_t *text = (uint8_t *)(buckets + count);
    permits->name = put_text(&text, (const char *)name.ptr, (uint32_t)name.len);
    for (uint32_t k = 0; k < LISTS; k++) {
        permits->lists[k].rules = row;
        row += counts[k];
    }
    for (uint32_t i = 0; i < count; i++) {
        add(&permits->lists[rules[i].list], &rules[i], &text);
    }
    for (uint32_t k = 0; k < LISTS; k++) {
        struct list *list = &permits->lists[k];
        qsort(list->rules, list->count, sizeof(*list->rules), compare_rules);
        list->groups = groups;
        for (uint32_t first = 0; first < list->count;) {
            buckets = add_group(list, &first, buckets);
        }
        groups += list->group_count;
    }
}

struct nd_permits *nd_permits_new(const char *name, uint32_t name_len,
                                  const struct nd_rule *rules, uint32_t count)
{
    static _Atomic uint64_t last_id;
    uint32_t counts[LISTS] = {0};
    size_t size = measure(rules, count, counts);
    if (size == 0) {
        return NULL;
    }
    size = (size + name_len + CACHE_LINE - 1) & ~(size_t)(CACHE_LINE - 1);
    struct nd_permits *permits = aligned_alloc(CACHE_LINE, size);
    if (permits == NULL) {
        return NULL;
    }
    memset(permits, 0, size);
    fill(permits, rules, count, counts, nd_slice(name, name_len));
    atomic_init(&permits->refs, 1);
    permits->id = atomic_fetch_add_explicit(&last_id, 1, memory_order_relaxed) + 1;
    return permits;
}

void nd_permits_retain(struct nd_permits *permits)
{
    if (permits != NULL) {
        atomic_fetch_add_explicit(&permits->refs, 1, memory_order_relaxed);
    }
}

void nd_permits_release(struct nd_permits *permits)
{
    if (permits != NULL &&
        atomic_fetch_sub_explicit(&permits->refs, 1, memory_order_acq_rel) == 1) {
        free(permits);
    }
}
