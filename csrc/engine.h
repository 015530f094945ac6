/* engine -- implements nd_api.h; owns the reactors, the index and the event queue.
 *
 * Three things are shared and mutable: the index, the mailboxes, the event queue. Their
 * locks are leaves: none is taken while another is held.
 */
#ifndef ND_ENGINE_H
#define ND_ENGINE_H

#include <stdatomic.h>

#include "event.h"
#include "hash.h"
#include "nd.h"
#include "sublist.h"

struct nd_reactor;

struct nd_engine {
    struct nd_hash_key key;
    int pid; /* of the process that made it; a fork may not use it */

    struct nd_sublist *index;
    struct nd_events events;
    struct nd_reactor **reactors;
    uint32_t reactor_count;

    /* Looked at for each message or turn, seldom written. */
    _Atomic uint32_t heavy_count; /* gates that are heavy, inboxes included */
    _Atomic bool is_stopping;
    _Atomic uint32_t version; /* of the last settings given out */

    /* Written for each connection: a cache line of their own. */
    _Alignas(64) _Atomic uint64_t last_cid;
    _Atomic uint64_t connections;       /* open now */
    _Atomic uint64_t total_connections; /* since start */
    _Atomic uint32_t unanswered;        /* CONNECTs that wait for Python */
    _Atomic uint32_t quiet; /* reactors that have stopped reading and posted all */
    _Atomic uint32_t ended; /* reactors that have ended */
};

static inline uint64_t nd_engine_next_cid(struct nd_engine *engine)
{
    return atomic_fetch_add_explicit(&engine->last_cid, 1, memory_order_relaxed) + 1;
}

#endif
