/* hash -- see hash.h. */
#include "hash.h"

/* ---- SipHash with one round for each word and three at the end ---- */

struct sip {
    uint64_t a, b, c, d;
};

static inline uint64_t turn_left(uint64_t word, unsigned bits)
{
    return word << bits | word >> (64 - bits);
}

static inline void sip_round(struct sip *s)
{
    s->a += s->b;
    s->c += s->d;
    s->b = turn_left(s->b, 13) ^ s->a;
    s->d = turn_left(s->d, 16) ^ s->c;
    s->a = turn_left(s->a, 32) + s->d;
    s->c += s->b;
    s->d = turn_left(s->d, 21) ^ s->a;
    s->b = turn_left(s->b, 17) ^ s->c;
    s->c = turn_left(s->c, 32);
}

static inline struct sip sip_begin(const struct nd_hash_key *key)
{
    return (struct sip){
        .a = key->k0 ^ UINT64_C(0x736f6d6570736575),
        .b = key->k1 ^ UINT64_C(0x646f72616e646f6d),
        .c = key->k0 ^ UINT64_C(0x6c7967656e657261),
        .d = key->k1 ^ UINT64_C(0x7465646279746573),
    };
}

static inline void sip_word(struct sip *s, uint64_t word)
{
    s->d ^= word;
    sip_round(s);
    s->a ^= word;
}

static inline uint64_t sip_end(struct sip *s)
{
    s->c ^= 0xff;
    sip_round(s);
    sip_round(s);
    sip_round(s);
    return s->a ^ s->b ^ s->c ^ s->d;
}

/* Words are little-endian whatever the machine, so that test vectors hold. */
static inline uint64_t word_at(const uint8_t *ptr)
{
    uint64_t word;
    memcpy(&word, ptr, sizeof word);
    bool is_big = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__;
    return is_big ? __builtin_bswap64(word) : word;
}

uint64_t nd_hash_bytes(const struct nd_hash_key *key, struct nd_slice bytes)
{
    struct sip s = sip_begin(key);
    size_t whole = bytes.len & ~(size_t)7;
    for (size_t i = 0; i < whole; i += 8)
        sip_word(&s, word_at(bytes.ptr + i));
    uint64_t last = (uint64_t)bytes.len << 56;
    for (size_t i = whole; i < bytes.len; i++)
        last |= (uint64_t)bytes.ptr[i] << (8 * (i - whole));
    sip_word(&s, last);
    return sip_end(&s);
}

uint64_t nd_hash_u64(const struct nd_hash_key *key, uint64_t number)
{
    struct sip s = sip_begin(key);
    sip_word(&s, number);
    sip_word(&s, UINT64_C(8) << 56);
    return sip_end(&s);
}

/* ---- the table ---- */

enum {
    GROW = 2,   /* buckets for each insertion at most: more than one, to catch up */
    SPARSE = 4, /* fewer records than a quarter of the buckets: shrink ... */
    SHRINK = 8  /* ... by so many for each removal, or the first would lag behind */
};

static inline uint32_t bucket_of(const struct nd_hash *table, uint64_t hash)
{
    uint32_t count = table->buckets.count;
    uint32_t top_bit = UINT32_C(1) << (31 - __builtin_clz(count));
    uint32_t wide = (uint32_t)hash & (2 * top_bit - 1);
    return wide < count ? wide : wide & (top_bit - 1);
}

static inline struct nd_hash_link **head_at(const struct nd_hash *table,
                                            uint32_t bucket)
{
    return (struct nd_hash_link **)nd_tiers_at((struct nd_tiers *)&table->buckets,
                                               bucket);
}

static void put(struct nd_hash *table, struct nd_hash_link *link)
{
    uint32_t bucket = bucket_of(table, link->hash);
    struct nd_hash_link **head = head_at(table, bucket);
    link->next = *head;
    *head = link;
    table->top = ND_MAX(table->top, bucket + 1);
}

static void put_chain(struct nd_hash *table, struct nd_hash_link *chain)
{
    while (chain != NULL) {
        struct nd_hash_link *next = chain->next;
        put(table, chain);
        chain = next;
    }
}

/* Adds one bucket and gives it its part of the chain that it splits. */
static void grow(struct nd_hash *table)
{
    uint32_t fresh = table->buckets.count;
    if (fresh >= UINT32_C(1) << 31 ||
        nd_tiers_push(&table->buckets, NULL, table->pantry) != 0)
        return;
    uint32_t top_bit = UINT32_C(1) << (31 - __builtin_clz(fresh));
    struct nd_hash_link **head = head_at(table, fresh - top_bit);
    struct nd_hash_link *chain = *head;
    *head = NULL;
    put_chain(table, chain);
}

static void shrink(struct nd_hash *table)
{
    struct nd_hash_link *chain = nd_tiers_pop(&table->buckets, table->pantry);
    table->top = ND_MIN(table->top, table->buckets.count);
    put_chain(table, chain);
}

void nd_hash_init(struct nd_hash *table)
{
    *table = (struct nd_hash){.used = 0};
}

void nd_hash_fini(struct nd_hash *table)
{
    nd_tiers_fini(&table->buckets);
    nd_hash_init(table);
}

void nd_hash_insert(struct nd_hash *table, struct nd_hash_link *link)
{
    if (table->buckets.count == 0)
        (void)nd_tiers_push(&table->buckets, NULL,
                            NULL); /* the first one always fits */
    put(table, link);
    table->used++;
    for (int i = 0; i < GROW && table->used > table->buckets.count; i++)
        grow(table);
}

bool nd_hash_remove(struct nd_hash *table, struct nd_hash_link *link)
{
    if (table->used == 0)
        return false;
    struct nd_hash_link **at = head_at(table, bucket_of(table, link->hash));
    while (*at != NULL && *at != link)
        at = &(*at)->next;
    if (*at == NULL)
        return false;
    *at = link->next;
    link->next = NULL;
    table->used--;
    for (int i = 0; i < SHRINK; i++) {
        if (table->used * SPARSE >= table->buckets.count || table->buckets.count == 1)
            break;
        shrink(table);
    }
    return true;
}

struct nd_hash_link *nd_hash_find(const struct nd_hash *table, uint64_t hash,
                                  const struct nd_hash_link *after)
{
    struct nd_hash_link *link;
    if (after != NULL)
        link = after->next;
    else if (table->used == 0)
        return NULL;
    else
        link = *head_at(table, bucket_of(table, hash));
    while (link != NULL && link->hash != hash)
        link = link->next;
    return link;
}

struct nd_hash_link **nd_hash_head(const struct nd_hash *table, uint64_t hash)
{
    return table->used > 0 ? head_at(table, bucket_of(table, hash)) : NULL;
}

struct nd_hash_link *nd_hash_any(struct nd_hash *table)
{
    if (table->used == 0)
        return NULL;
    while (*head_at(table, table->top - 1) == NULL)
        table->top--;
    return *head_at(table, table->top - 1);
}
