/* sub -- see sub.h. */
#include "sub.h"

#include <stdlib.h>

struct nd_gate *nd_gate_new(uint64_t cid)
{
    struct nd_gate *gate = calloc(1, sizeof *gate);
    if (gate == NULL)
        return NULL;
    atomic_init(&gate->refs, 1);
    gate->cid = cid;
    return gate;
}

void nd_gate_retain(struct nd_gate *gate)
{
    atomic_fetch_add_explicit(&gate->refs, 1, memory_order_relaxed);
}

void nd_gate_release(struct nd_gate *gate)
{
    if (atomic_fetch_sub_explicit(&gate->refs, 1, memory_order_acq_rel) == 1)
        free(gate);
}

struct nd_sub *nd_sub_new(struct nd_gate *gate, struct nd_conn *conn, uint32_t owner,
                          struct nd_slice sid, struct nd_slice queue,
                          struct nd_permits *permits)
{
    assert(owner < ND_REACTORS_MAX);
    if (sid.len > UINT32_MAX || queue.len > UINT32_MAX)
        return NULL;
    size_t size = offsetof(struct nd_sub, text) + sid.len + queue.len;
    size += permits != NULL ? sizeof permits : 0;
    struct nd_sub *sub = malloc(ND_MAX(size, sizeof *sub));
    if (sub == NULL)
        return NULL;
    memset(sub, 0, sizeof *sub);
    atomic_init(&sub->refs, 1);
    sub->owner = (uint8_t)owner;
    sub->is_filtered = permits != NULL;
    sub->sid_len = (uint32_t)sid.len;
    sub->queue_len = (uint32_t)queue.len;
    sub->gate = gate;
    sub->conn = conn;
    if (sid.len > 0)
        memcpy(sub->text, sid.ptr, sid.len);
    if (queue.len > 0)
        memcpy(sub->text + sid.len, queue.ptr, queue.len);
    if (permits != NULL)
        memcpy(sub->text + sid.len + queue.len, &permits, sizeof permits);
    nd_permits_retain(permits);
    nd_gate_retain(gate);
    return sub;
}

void nd_sub_retain(struct nd_sub *sub)
{
    atomic_fetch_add_explicit(&sub->refs, 1, memory_order_relaxed);
}

void nd_sub_release(struct nd_sub *sub)
{
    if (atomic_fetch_sub_explicit(&sub->refs, 1, memory_order_acq_rel) != 1)
        return;
    nd_gate_release(sub->gate);
    nd_permits_release(nd_sub_permits(sub));
    free(sub);
}
