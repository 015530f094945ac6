/* sublist -- the index: which subscriptions does a subject reach?
 *
 * One for the whole engine, shared by all reactors under one reader-writer lock that
 * prefers writers. The lock is a leaf: nothing else is locked, no system call is made
 * and only a small bounded number of steps is taken while it is held.
 *
 *   literals   keyed hash: subject -> place
 *   patterns   trie: token -> node, '*' -> node, '>' -> place; the edges of the whole
 *              trie live in one keyed hash, and an empty trie costs one comparison
 *   place      the plain subscriptions of one subject or pattern, and its queue groups
 *
 * Generations tell a cached result whether it is still true without looking anything
 * up: one for each bucket of literals, one for each bucket of first tokens of patterns,
 * one for patterns that begin with a wildcard, and one that moves with any of them, so
 * that the common case is a single comparison. A change to one literal leaves the
 * results of others alone.
 */
#ifndef ND_SUBLIST_H
#define ND_SUBLIST_H

#include "hash.h"
#include "nd.h"
#include "sub.h"

struct nd_sublist;
struct nd_match;

struct nd_sublist_counts {
    uint64_t subscriptions;    /* now */
    uint64_t inserts, removes; /* since the start */
    uint64_t places, nodes;    /* now: 0 when nothing is subscribed */
};

/* What a cached result has to compare; see nd_sublist_is_current. */
struct nd_stamp {
    uint64_t any;            /* of the whole index */
    uint32_t literal_bucket; /* and its generation: */
    uint32_t literal;
    uint32_t token_bucket;
    uint32_t token;
    uint32_t wild;
};

/* *reactors* is how many slices a match result has. NULL = no memory. */
struct nd_sublist *nd_sublist_new(const struct nd_hash_key *key, uint32_t reactors);
void nd_sublist_free(struct nd_sublist *list); /* releases what is still in it */

/* Adds *sub* under *subject* (checked by the caller) and retains it. */
int nd_sublist_insert(struct nd_sublist *list, struct nd_sub *sub,
                      struct nd_slice subject);

/* Takes *sub* out and releases it; false if it is not in. */
bool nd_sublist_remove(struct nd_sublist *list, struct nd_sub *sub);

/* The same for many with one lock for each short run of them (closing a connection).
 * Releases each. Returns how many were in. */
size_t nd_sublist_remove_many(struct nd_sublist *list, struct nd_sub *const *subs,
                              size_t count);

/* Puts *fresh*, of the same subject and queue, in the place of *sub*, which must be in:
 * at no moment both of them, or neither, are there. Retains and releases. */
void nd_sublist_replace(struct nd_sublist *list, struct nd_sub *sub,
                        struct nd_sub *fresh);

/* Writes the subject of *sub*, which must be in, if it fits into *cap* bytes; returns
 * how many it needs. */
size_t nd_sublist_subject(struct nd_sublist *list, const struct nd_sub *sub,
                          uint8_t *to, size_t cap);

/* The result for a published subject, without those that may not get it. It has one
 * reference for the caller; *stamp*, if not NULL, gets its stamp. Nobody interested, or
 * an error: *match is NULL. *spare* is as for nd_match_new. */
int nd_sublist_match(struct nd_sublist *list, struct nd_slice subject,
                     struct nd_stamp *stamp, struct nd_match *spare,
                     struct nd_match **match);

/* Brings what a look-up of these subjects will touch nearer to the processor, for all
 * of them at once: in a large index each would otherwise wait for memory several times,
 * one after the other. A hint; at most ND_WARM_MAX of them. */
void nd_sublist_warm(struct nd_sublist *list, const struct nd_slice *subjects,
                     size_t count);

/* Moves with every change of the index. Takes no lock. */
uint64_t nd_sublist_generation(const struct nd_sublist *list);

/* Is a result that was taken with *stamp* still what nd_sublist_match would give? Moves
 * stamp->any forward if so. Takes no lock. */
bool nd_sublist_is_current(const struct nd_sublist *list, struct nd_stamp *stamp);

void nd_sublist_count(struct nd_sublist *list, struct nd_sublist_counts *counts);

/* For tests: NULL if every invariant holds, else which does not. */
const char *nd_sublist_check(struct nd_sublist *list);

#endif
