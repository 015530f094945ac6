#include "brake.h"

#include "conn.h"
#include "reactor.h"

enum { DEEP_DEBT = 4 }; /* shares below zero: a large message is being paid for */

static bool is_heavy(const struct nd_gate *gate)
{
    return atomic_load_explicit(&gate->heavy, memory_order_acquire);
}

/* ---- the side of the publisher ---- */

void nd_brake_charge(struct nd_reactor *reactor, struct nd_gate *gate, uint64_t bytes)
{
    struct nd_conn *actor = reactor->actor;
    if (actor == NULL || !nd_conn_is_alive(actor)) {
        return;
    }
    int64_t before =
        atomic_fetch_sub_explicit(&gate->credit, (int64_t)bytes, memory_order_relaxed);
    if (before > (int64_t)bytes || actor->is_halted) {
        return;
    }
    actor->is_halted = true;
    nd_gate_retain(gate);
    actor->pacer = gate;
    nd_timer_start(&reactor->pace, &actor->pace, reactor->now_ms);
    atomic_fetch_add_explicit(&reactor->paced_count, 1, memory_order_relaxed);
}

void nd_brake_release(struct nd_conn *conn)
{
    if (conn->is_halted) {
        conn->is_halted = false;
        nd_gate_release(conn->pacer);
        conn->pacer = NULL;
        nd_timer_stop(&conn->owner->pace, &conn->pace);
        atomic_fetch_sub_explicit(&conn->owner->paced_count, 1, memory_order_relaxed);
    }
}

void nd_brake_on_pace(struct nd_conn *conn)
{
    const struct nd_gate *gate = conn->pacer;
    int64_t credit = atomic_load_explicit(&gate->credit, memory_order_relaxed);
    int64_t share = atomic_load_explicit(&gate->share, memory_order_relaxed);
    if (is_heavy(gate) && share > 0 && credit < -DEEP_DEBT * share &&
        !atomic_load_explicit(&gate->dead, memory_order_relaxed) &&
        !atomic_load_explicit(&gate->is_stalled, memory_order_relaxed)) {
        nd_timer_start(&conn->owner->pace, &conn->pace, conn->owner->now_ms);
        return;
    }
    nd_brake_release(conn);
    nd_conn_resume(conn);
}

void nd_brake_relieve(struct nd_reactor *reactor, const struct nd_gate *gate)
{
    struct nd_timer *next;
    for (struct nd_timer *timer = reactor->pace.first; timer != NULL; timer = next) {
        struct nd_conn *conn = nd_container(timer, struct nd_conn, pace);
        next = timer->next;
        if (conn->pacer == gate) {
            nd_brake_release(conn);
            nd_conn_resume(conn);
        }
    }
}

/* ---- the side of the one who lags ---- */

static void relieve_everyone(struct nd_reactor *reactor, const struct nd_gate *gate)
{
    struct nd_engine *engine = reactor->engine;
    nd_brake_relieve(reactor, gate);
    for (uint32_t i = 0; i < engine->options.reactors; i++) {
        struct nd_reactor *other = engine->reactors[i];
        if (other == reactor ||
            atomic_load_explicit(&other->paced_count, memory_order_relaxed) == 0) {
            continue;
        }
        /* Without memory they find out by themselves, at the end of their window. */
        struct nd_mail_relief *relief =
            nd_outbox_push(&reactor->outboxes[i], ND_MAIL_RELIEF, sizeof(*relief));
        if (relief != NULL) {
            relief->gate = gate;
        }
    }
}

static void set_share(struct nd_conn *conn)
{
    struct nd_reactor *reactor = conn->owner;
    const struct nd_options *options = &reactor->engine->options;
    uint64_t idle_ms = reactor->now_ms - conn->progress_ms;
    uint64_t left_ms = options->write_deadline_ms > idle_ms + ND_PACE_MS
                           ? options->write_deadline_ms - idle_ms
                           : ND_PACE_MS;
    uint64_t room = options->max_pending > conn->out.pending
                        ? options->max_pending - conn->out.pending
                        : 0;
    int64_t share = (int64_t)ND_MAX(room / left_ms * ND_PACE_MS, (uint64_t)1);
    atomic_store_explicit(&conn->gate->share, share, memory_order_relaxed);
    atomic_store_explicit(&conn->gate->is_stalled, idle_ms > ND_STALL_MS,
                          memory_order_relaxed);
}

/* One more share; what was not used does not add up, and the stalled owe nothing.
 * Others take off the credit meanwhile, so it is moved, not set. */
static void refill(struct nd_gate *gate)
{
    int64_t share = atomic_load_explicit(&gate->share, memory_order_relaxed);
    int64_t credit = atomic_load_explicit(&gate->credit, memory_order_relaxed);
    bool is_stalled = atomic_load_explicit(&gate->is_stalled, memory_order_relaxed);
    int64_t target = is_stalled || credit >= 0 ? share : credit + share;
    atomic_fetch_add_explicit(&gate->credit, target - credit, memory_order_relaxed);
}

static void set_heavy(struct nd_conn *conn, bool heavy)
{
    struct nd_reactor *reactor = conn->owner;
    atomic_store_explicit(&conn->gate->heavy, heavy, memory_order_release);
    if (heavy) {
        nd_timer_start(&reactor->heavy, &conn->heavy, reactor->now_ms);
        atomic_fetch_add_explicit(&reactor->heavy_count, 1, memory_order_relaxed);
    } else {
        nd_timer_stop(&reactor->heavy, &conn->heavy);
        atomic_fetch_sub_explicit(&reactor->heavy_count, 1, memory_order_relaxed);
        relieve_everyone(reactor, conn->gate);
    }
}

void nd_brake_weigh(struct nd_conn *conn)
{
    uint64_t high = conn->owner->engine->high_water;
    bool was_heavy = is_heavy(conn->gate);
    if (was_heavy && conn->out.pending <= high / 2) {
        set_heavy(conn, false);
    } else if (!was_heavy && conn->is_blocked && conn->out.pending > high &&
               nd_conn_is_alive(conn)) {
        set_share(conn);
        atomic_store_explicit(&conn->gate->credit, 0, memory_order_relaxed);
        refill(conn->gate);
        set_heavy(conn, true);
    }
}

void nd_brake_on_heavy(struct nd_conn *conn)
{
    set_share(conn);
    refill(conn->gate);
    nd_timer_start(&conn->owner->heavy, &conn->heavy, conn->owner->now_ms);
}

void nd_brake_forget(struct nd_conn *conn)
{
    if (is_heavy(conn->gate)) {
        set_heavy(conn, false);
    }
}

/* ---- inboxes ---- */

void nd_brake_weigh_inbox(struct nd_reactor *reactor, uint32_t to)
{
    struct nd_engine *engine = reactor->engine;
    struct nd_inbox *inbox = &engine->reactors[to]->inbox;
    if (nd_unlikely(atomic_load_explicit(&inbox->weight, memory_order_relaxed) >
                    engine->inbox_high)) {
        atomic_store_explicit(&inbox->gate->heavy, true, memory_order_release);
    }
}

void nd_brake_empty_inbox(struct nd_reactor *reactor)
{
    if (nd_unlikely(is_heavy(reactor->inbox.gate))) {
        atomic_store_explicit(&reactor->inbox.gate->heavy, false, memory_order_release);
        relieve_everyone(reactor, reactor->inbox.gate);
    }
}
