/* burst -- messages of one publisher to one subject, delivered together.
 *
 * Publishers repeat themselves: what one read brings is often a run of messages to the
 * same subject. Such a run is gathered and then served subscriber by subscriber, so that
 * what belongs to a subscriber is touched once for the run, and other reactors get one
 * parcel for it.
 *
 *   slab   PUB a 2\r\nhi\r\nPUB a 3\r\nyou\r\n ...
 *               |- rest 0 -|     |- rest 1 --|       rest = " size\r\npayload\r\n"
 *
 * Only simple messages come together: PUB, small, spelled as it must be sent on, of a
 * client that neither wants an answer to each nor is traced. The order that a subscriber
 * sees is that of one by one. A burst lives within one read of one connection: whatever
 * else happens ends it first, and nobody asks the cache meanwhile, which has lent the
 * match. Belongs to a reactor; its thread only.
 */
#ifndef ND_BURST_H
#define ND_BURST_H

#include "deliver.h"
#include "match.h"
#include "nd.h"

struct nd_burst_item {
    const uint8_t *rest; /* behind the sid: " [reply ]size\r\npayload\r\n" */
    uint32_t len;        /* bytes of it */
    uint32_t size;       /* bytes of the payload */
};

struct nd_burst {
    struct nd_conn *from;    /* NULL = none is open */
    struct nd_slice subject; /* as it stands in the input */
    struct nd_match *match;  /* NULL = nobody wants it */
    uint64_t from_cid;
    bool is_echoed;                           /* the publisher wants its own */
    uint32_t count;                           /* messages, kept or only counted */
    uint32_t room;                            /* bytes of rests that may still come */
    uint64_t bytes;                           /* of the rests */
    uint64_t body_bytes;                      /* of the payloads */
    struct nd_burst_item items[ND_BURST_MAX]; /* if match is not NULL */
};

/* Looks *subject* up and opens a burst for it. False: its messages have to be published
 * one by one, because *from* may not, someone there is heavy, or there is no memory. */
bool nd_burst_begin(struct nd_burst *burst, struct nd_conn *from,
                    struct nd_slice subject);

/* Delivers what was gathered, if anything. The publisher may be closed by that. */
void nd_burst_end(struct nd_burst *burst);

static inline bool nd_burst_is_open(const struct nd_burst *burst)
{
    return burst->from != NULL;
}

/* False: it is full. *rest* stays where it is until the end. */
static inline bool nd_burst_push(struct nd_burst *burst, const uint8_t *rest,
                                 uint32_t len, uint32_t size)
{
    if (burst->match != NULL) {
        if (burst->count == ND_BURST_MAX || (burst->count > 0 && burst->room < len)) {
            return false;
        }
        burst->items[burst->count] = (struct nd_burst_item){rest, len, size};
        burst->room -= ND_MIN(len, burst->room);
        burst->bytes += len;
    }
    burst->count++;
    burst->body_bytes += size;
    return true;
}

/* A parcel from another reactor: serves our slice. */
void nd_burst_mail(struct nd_reactor *reactor, struct nd_parcel *parcel);
void nd_burst_dispose(struct nd_parcel *parcel); /* a parcel that is not served */

#endif
