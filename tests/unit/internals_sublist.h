/* The hash, the subscriptions, the index and the match cache, as the tests see them. */

struct nd_hash_key {
    uint64_t k0, k1;
};
uint64_t nd_hash_bytes(const struct nd_hash_key *key, struct nd_slice bytes);
uint64_t nd_hash_u64(const struct nd_hash_key *key, uint64_t number);

struct nd_tiers {
    uint32_t tier_count;
    uint32_t count;
    ...;
};
struct nd_pantry {
    void *spare[30];
    uint32_t wanted;
    void *trash;
};
int nd_tiers_push(struct nd_tiers *row, void *entry, struct nd_pantry *pantry);
void *nd_tiers_pop(struct nd_tiers *row, struct nd_pantry *pantry);
void *nd_pantry_take_trash(struct nd_pantry *pantry);
void nd_trash_free(void *trash);
int nd_pantry_make(struct nd_pantry *fresh, uint32_t wanted);
void nd_pantry_fill(struct nd_pantry *pantry, struct nd_pantry *fresh);
void nd_pantry_fini(struct nd_pantry *pantry);
void nd_tiers_fini(struct nd_tiers *row);
void *nd_tiers_get(const struct nd_tiers *row, uint32_t index);

struct nd_hash_link {
    struct nd_hash_link *next;
    uint64_t hash;
};
struct nd_hash {
    struct nd_tiers buckets;
    uint32_t top;
    size_t used;
    ...;
};
void nd_hash_init(struct nd_hash *table);
void nd_hash_fini(struct nd_hash *table);
void nd_hash_insert(struct nd_hash *table, struct nd_hash_link *link);
bool nd_hash_remove(struct nd_hash *table, struct nd_hash_link *link);
struct nd_hash_link *nd_hash_find(const struct nd_hash *table, uint64_t hash,
                                  const struct nd_hash_link *after);
struct nd_hash_link *nd_hash_any(struct nd_hash *table);

struct nd_conn;
struct nd_place;
struct nd_gate {
    uint32_t refs;
    bool dead;
    uint64_t cid;
    ...;
};
struct nd_sub {
    uint32_t refs;
    bool dead;
    uint8_t owner;
    bool is_filtered;
    struct nd_gate *gate;
    struct nd_conn *conn;
    uint64_t delivered;
    uint64_t max;
    struct nd_place *place;
    uint32_t slot;
    ...;
};
struct nd_gate *nd_gate_new(uint64_t cid);
void nd_gate_retain(struct nd_gate *gate);
void nd_gate_release(struct nd_gate *gate);
struct nd_sub *nd_sub_new(struct nd_gate *gate, struct nd_conn *conn, uint32_t owner,
                          struct nd_slice sid, struct nd_slice queue,
                          struct nd_permits *permits);
void nd_sub_retain(struct nd_sub *sub);
void nd_sub_release(struct nd_sub *sub);
struct nd_slice nd_sub_sid(const struct nd_sub *sub);
struct nd_slice nd_sub_queue(const struct nd_sub *sub);
struct nd_permits *nd_sub_permits(const struct nd_sub *sub);
bool nd_sub_is_dead(const struct nd_sub *sub);

struct nd_sublist;
struct nd_match;
struct nd_sublist_counts {
    uint64_t subscriptions;
    uint64_t inserts, removes;
    uint64_t places, nodes;
};
struct nd_stamp {
    uint64_t any;
    uint32_t literal_bucket;
    uint32_t literal;
    uint32_t token_bucket;
    uint32_t token;
    uint32_t wild;
};
struct nd_sublist *nd_sublist_new(const struct nd_hash_key *key, uint32_t reactors);
void nd_sublist_free(struct nd_sublist *list);
int nd_sublist_insert(struct nd_sublist *list, struct nd_sub *sub,
                      struct nd_slice subject);
bool nd_sublist_remove(struct nd_sublist *list, struct nd_sub *sub);
size_t nd_sublist_remove_many(struct nd_sublist *list, struct nd_sub *const *subs,
                              size_t count);
void nd_sublist_replace(struct nd_sublist *list, struct nd_sub *sub,
                        struct nd_sub *fresh);
size_t nd_sublist_subject(struct nd_sublist *list, const struct nd_sub *sub,
                          uint8_t *to, size_t cap);
int nd_sublist_match(struct nd_sublist *list, struct nd_slice subject,
                     struct nd_stamp *stamp, struct nd_match *spare,
                     struct nd_match **match);
void nd_sublist_warm(struct nd_sublist *list, const struct nd_slice *subjects,
                     size_t count);
uint64_t nd_sublist_generation(const struct nd_sublist *list);
bool nd_sublist_is_current(const struct nd_sublist *list, struct nd_stamp *stamp);
void nd_sublist_count(struct nd_sublist *list, struct nd_sublist_counts *counts);
const char *nd_sublist_check(struct nd_sublist *list);

struct nd_group {
    uint32_t first;
    uint32_t count;
};
struct nd_match {
    uint32_t refs;
    uint32_t plain_count;
    uint32_t group_count;
    uint32_t weight;
    uint32_t room;
    struct nd_sub **plain;
    uint32_t *starts;
    struct nd_sub **members;
    struct nd_group *groups;
    struct nd_slice prefix;
};
struct nd_match *nd_match_new(struct nd_slice subject, struct nd_sub **subs,
                              size_t count, uint32_t reactors, struct nd_match *spare);
void nd_match_clear(struct nd_match *match);
void nd_match_retain(struct nd_match *match);
void nd_match_release(struct nd_match *match);
struct nd_slice nd_match_subject(const struct nd_match *match);

struct nd_cache;
struct nd_cache_counts {
    uint64_t entries, hits, misses;
};
struct nd_cache *nd_cache_new(struct nd_sublist *list, const struct nd_hash_key *key);
void nd_cache_free(struct nd_cache *cache);
struct nd_match *nd_cache_find(struct nd_cache *cache, struct nd_slice subject,
                               int *rc);
bool nd_cache_may_publish(struct nd_cache *cache, const struct nd_permits *permits,
                          struct nd_slice subject);
void nd_cache_rest(struct nd_cache *cache);
bool nd_cache_is_passed(const struct nd_cache *cache);
bool nd_cache_sweep(struct nd_cache *cache, uint32_t budget);
void nd_cache_count(const struct nd_cache *cache, struct nd_cache_counts *counts);
