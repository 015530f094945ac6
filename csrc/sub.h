/* sub -- one subscription, and the gate of the connection that made it.
 *
 * Both are counted records that any reactor may hold through a match result, also after
 * their end. What never changes (sid, queue, owner, gate) anyone may read; what changes
 * is either atomic or belongs to the owner's thread, as the fields say. A stale match
 * can therefore cause a skip, never a crash.
 */
#ifndef ND_SUB_H
#define ND_SUB_H

#include <stdatomic.h>

#include "hash.h"
#include "nd.h"
#include "permit.h"

struct nd_conn;
struct nd_place;

/* What other reactors may know of a connection (or of an inbox): is it gone, and is it
 * heavy, that is, does it owe more than it should? While it is, every deliverer takes
 * what it adds off the credit, which the owner refills; see brake.h. The connection
 * holds one reference, each of its subscriptions one more. */
struct nd_gate {
    _Atomic uint32_t refs;
    _Atomic bool dead;        /* set by the owner at the start of a close */
    _Atomic bool heavy;       /* set and cleared by the owner */
    _Atomic int64_t credit;   /* bytes that may still be added; below 0 = in debt */
    _Atomic int64_t share;    /* bytes that one pace window brings */
    _Atomic uint32_t waiting; /* publishers that it keeps halted */
    uint64_t cid;             /* 0 = an inbox */
};

/* What a delivery touches stands together at the end, with the sid right behind it. */
struct nd_sub {
    struct nd_hash_link by_sid; /* in the connection's table; owner's thread only */
    struct nd_place *place;     /* where it stands in the index; under its lock */
    struct nd_gate *gate;       /* one reference */
    uint32_t slot;              /* which entry of that place; under its lock */
    _Atomic uint32_t refs;
    _Atomic bool dead;    /* set by the owner at UNSUB and when the limit is reached */
    uint8_t owner;        /* index of the reactor that owns the connection */
    bool is_filtered;     /* it has permits */
    uint32_t sid_len;     /* bytes */
    uint32_t queue_len;   /* bytes; 0 = plain */
    struct nd_conn *conn; /* owner's thread only, and only while not dead */
    uint64_t delivered;   /* messages since SUB; owner's thread only */
    uint64_t max;         /* 0 = no limit; owner's thread only */
    uint8_t text[];       /* sid, queue, and one reference to permits if filtered */
};

struct nd_gate *nd_gate_new(uint64_t cid); /* born with 1; NULL = no memory */
void nd_gate_retain(struct nd_gate *gate);
void nd_gate_release(struct nd_gate *gate);

/* Born with 1, retains *gate* and *permits*; NULL = no memory. *permits*: NULL unless
 * they deny some of what it subscribes to. by_sid.hash is the caller's to set. */
struct nd_sub *nd_sub_new(struct nd_gate *gate, struct nd_conn *conn, uint32_t owner,
                          struct nd_slice sid, struct nd_slice queue,
                          struct nd_permits *permits);
void nd_sub_retain(struct nd_sub *sub);
void nd_sub_release(struct nd_sub *sub);

static inline struct nd_slice nd_sub_sid(const struct nd_sub *sub)
{
    return nd_slice(sub->text, sub->sid_len);
}

static inline struct nd_slice nd_sub_queue(const struct nd_sub *sub)
{
    return nd_slice(sub->text + sub->sid_len, sub->queue_len);
}

/* Few subscriptions need them, so they stand where the others end. */
static inline struct nd_permits *nd_sub_permits(const struct nd_sub *sub)
{
    struct nd_permits *permits = NULL;
    if (sub->is_filtered)
        memcpy(&permits, sub->text + sub->sid_len + sub->queue_len, sizeof permits);
    return permits;
}

/* Is a message on *subject* kept from it? */
static inline bool nd_sub_is_denied(const struct nd_sub *sub, struct nd_slice subject)
{
    return sub->is_filtered &&
           !nd_permits_may_receive(nd_sub_permits(sub), subject, nd_sub_queue(sub));
}

/* Takes part no longer; whoever finds one in a stale result skips it. */
static inline bool nd_sub_is_dead(const struct nd_sub *sub)
{
    return atomic_load_explicit(&sub->dead, memory_order_acquire) ||
           atomic_load_explicit(&sub->gate->dead, memory_order_acquire);
}

#endif
