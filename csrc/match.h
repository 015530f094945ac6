/* match -- who gets a message on one subject: an immutable, counted result.
 *
 * The plain subscriptions stand sorted by the reactor that owns them, so that each
 * reactor serves a slice and the publisher's reactor sends one parcel for each of the
 * others. Every queue group stands by itself, members of all reactors together.
 *
 *   plain    [ reactor 0 ... | reactor 1 ... | ... ]      starts: where each begins
 *   members  [ group 0 ... | group 1 ... ]                groups: first and count
 *   prefix   "MSG <subject> ", which every delivery begins with ("H" before it in HMSG)
 *
 * A result holds one reference to each of its subscriptions. All of it is one
 * allocation.
 */
#ifndef ND_MATCH_H
#define ND_MATCH_H

#include "nd.h"
#include "sub.h"

struct nd_group {
    uint32_t first; /* index into members */
    uint32_t count;
};

struct nd_match {
    _Atomic uint32_t refs;
    uint32_t plain_count;
    uint32_t group_count;
    uint32_t weight; /* bytes of all this */
    uint32_t room;   /* bytes of the allocation */
    struct nd_sub **plain;
    uint32_t *starts; /* reactors + 1 entries */
    struct nd_sub **members;
    struct nd_group *groups;
    struct nd_slice prefix;
};

/* Born with 1. Takes over one reference to each of *subs*, and their order with it;
 * NULL = no memory, and the references stay the caller's. *spare* is NULL or a cleared
 * result: it is made of that if there is room. */
struct nd_match *nd_match_new(struct nd_slice subject, struct nd_sub **subs,
                              size_t count, uint32_t reactors, struct nd_match *spare);
void nd_match_retain(struct nd_match *match);
void nd_match_release(struct nd_match *match);

/* Lets go of the subscriptions of a result that nobody else holds; the memory stays. */
void nd_match_clear(struct nd_match *match);

static inline struct nd_slice nd_match_subject(const struct nd_match *match)
{
    return nd_slice(match->prefix.ptr + 4, match->prefix.len - 5);
}

#endif
