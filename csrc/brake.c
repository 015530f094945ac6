#include "brake.h"

#include "conn.h"
#include "reactor.h"

enum { AIM_BYTES = 4 * ND_KIB }; /* of a result that is kept in mind */

static bool is_heavy(const struct nd_gate *gate)
{
    return atomic_load_explicit(&gate->heavy, memory_order_relaxed);
}

static int64_t credit_of(const struct nd_gate *gate)
{
    return atomic_load_explicit(&gate->credit, memory_order_relaxed);
}

/* ---- the side of the publisher ---- */

static void halt(struct nd_reactor *reactor, struct nd_conn *from, struct nd_gate *gate,
                 uint64_t bytes)
{
    if (from->pacer != gate) {
        nd_gate_retain(gate);
        if (from->pacer != NULL) {
            nd_gate_release(from->pacer);
        }
        from->pacer = gate;
    }
    from->is_halted = true;
    from->toll = (int64_t)bytes;
    from->prepaid = 0;
    nd_timer_start(&reactor->pace, &from->pace, reactor->now_ms);
    atomic_fetch_add_explicit(&gate->waiting, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&reactor->paced_count, 1, memory_order_relaxed);
}

void nd_brake_charge(struct nd_conn *from, struct nd_gate *gate, uint64_t bytes)
{
    int64_t due = (int64_t)bytes;
    if (from == NULL || !is_heavy(gate)) {
        return;
    }
    if (from->pacer == gate) {
        int64_t paid = ND_MIN(due, from->prepaid);
        from->prepaid -= paid;
        due -= paid;
    }
    atomic_fetch_sub_explicit(&gate->credit, due, memory_order_relaxed);
}

bool nd_brake_is_open(const struct nd_conn *from, const struct nd_gate *gate)
{
    return !is_heavy(gate) || credit_of(gate) > 0 ||
           (from != NULL && from->pacer == gate && from->prepaid > 0) ||
           atomic_load_explicit(&gate->dead, memory_order_relaxed);
}

/* A group is as open as its most willing member. */
static struct nd_gate *find_shut_group(const struct nd_conn *from,
                                       const struct nd_match *match)
{
    for (uint32_t i = 0; i < match->group_count; i++) {
        const struct nd_group *group = &match->groups[i];
        uint32_t k = 0;
        while (k < group->count &&
               !nd_brake_is_open(from, match->members[group->first + k]->gate)) {
            k++;
        }
        if (k == group->count) {
            return match->members[group->first]->gate;
        }
    }
    return NULL;
}

/* Who is in the middle of its input may fill a heavy inbox on, up to twice the mark: to
 * stop there it would have to put the rest of its input aside. */
static bool is_full(const struct nd_inbox *inbox, uint64_t high)
{
    return is_heavy(inbox->gate) &&
           atomic_load_explicit(&inbox->weight, memory_order_relaxed) > 2 * high;
}

/* The first inbox on the way to *match* that is heavy, or full. */
static struct nd_gate *find_inbox(const struct nd_reactor *reactor,
                                  const struct nd_match *match, bool full)
{
    struct nd_engine *engine = reactor->engine;
    uint64_t high = reactor->settings->inbox_high;
    for (uint32_t to = 0; to < engine->reactor_count; to++) {
        struct nd_gate *gate = engine->reactors[to]->inbox.gate;
        bool is_reached = match->starts[to] < match->starts[to + 1] ||
                          (match->group_count > 0 && to != reactor->index);
        if (is_reached &&
            (full ? is_full(&engine->reactors[to]->inbox, high) : is_heavy(gate))) {
            return gate;
        }
    }
    return NULL;
}

static struct nd_gate *find_heavy(struct nd_sub *const *subs, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (is_heavy(subs[i]->gate)) {
            return subs[i]->gate;
        }
    }
    return NULL;
}

static bool is_anyone_heavy(const struct nd_engine *engine)
{
    return atomic_load_explicit(&engine->heavy_count, memory_order_relaxed) != 0;
}

static void forget_aim(struct nd_conn *from)
{
    if (from->aim != NULL) {
        nd_match_release(from->aim);
        from->aim = NULL;
    }
}

/* Is nobody at all heavy? Keeps in mind what a publisher writes to while someone is, and
 * for as long as it goes on with that. A wide result is not kept: many of them could be
 * out of date. */
static bool is_at_ease(struct nd_conn *from, struct nd_match *match)
{
    bool at_ease = !is_anyone_heavy(from->owner->engine);
    if (nd_unlikely(from->aim != match)) {
        forget_aim(from);
        if (!at_ease && match != NULL && match->weight <= AIM_BYTES) {
            nd_match_retain(match);
            from->aim = match;
        }
    }
    return at_ease;
}

bool nd_brake_is_calm(struct nd_conn *from, struct nd_match *match)
{
    struct nd_reactor *reactor = from->owner;
    if (nd_likely(is_at_ease(from, match)) || match == NULL) {
        return true;
    }
    for (uint32_t i = 0; i < match->group_count; i++) {
        const struct nd_group *group = &match->groups[i];
        if (find_heavy(match->members + group->first, group->count) != NULL) {
            return false;
        }
    }
    return find_heavy(match->plain, match->plain_count) == NULL &&
           find_inbox(reactor, match, true) == NULL;
}

static bool pass_gates(struct nd_reactor *reactor, struct nd_conn *from,
                       const struct nd_match *match, uint64_t bytes)
{
    struct nd_gate *shut = find_shut_group(from, match);
    for (uint32_t i = 0; i < match->plain_count && shut == NULL; i++) {
        if (!nd_brake_is_open(from, match->plain[i]->gate)) {
            shut = match->plain[i]->gate;
        }
    }
    if (shut != NULL) {
        halt(reactor, from, shut, bytes);
        return false;
    }
    for (uint32_t i = 0; i < match->plain_count; i++) {
        nd_brake_charge(from, match->plain[i]->gate, bytes);
    }
    return true;
}

static bool pass_inboxes(struct nd_reactor *reactor, struct nd_conn *from,
                         const struct nd_match *match, uint64_t bytes)
{
    struct nd_gate *gate = find_inbox(reactor, match, true);
    if (gate != NULL) {
        halt(reactor, from, gate, bytes);
    }
    return gate == NULL;
}

bool nd_brake_enter(struct nd_conn *from)
{
    struct nd_reactor *reactor = from->owner;
    if (nd_likely(from->aim == NULL) || !is_anyone_heavy(reactor->engine)) {
        return true;
    }
    struct nd_gate *gate = find_inbox(reactor, from->aim, false);
    if (gate == NULL) {
        gate = find_heavy(from->aim->plain, from->aim->plain_count);
    }
    if (gate == NULL || (from->pacer == gate && from->prepaid > 0)) {
        return true;
    }
    /* What it will send is not known: as much as its last one, or any of a burst. */
    halt(reactor, from, gate, ND_MAX((uint64_t)from->toll, (uint64_t)ND_SHARE_MIN));
    return false;
}

bool nd_brake_pass(struct nd_reactor *reactor, struct nd_conn *from,
                   struct nd_match *match, uint64_t bytes)
{
    if (nd_likely(is_at_ease(from, match))) {
        return true;
    }
    from->toll = (int64_t)bytes;
    return pass_inboxes(reactor, from, match, bytes) &&
           pass_gates(reactor, from, match, bytes);
}

static void let_go(struct nd_conn *conn)
{
    conn->is_halted = false;
    nd_timer_stop(&conn->owner->pace, &conn->pace);
    atomic_fetch_sub_explicit(&conn->pacer->waiting, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&conn->owner->paced_count, 1, memory_order_relaxed);
}

void nd_brake_release(struct nd_conn *conn)
{
    if (conn->is_halted) {
        let_go(conn);
    }
    if (conn->pacer != NULL) {
        nd_gate_release(conn->pacer);
        conn->pacer = NULL;
    }
    forget_aim(conn);
}

/* An inbox may have been called heavy just when its owner had emptied it. */
static void look_at_inbox(struct nd_reactor *reactor, const struct nd_gate *gate)
{
    struct nd_engine *engine = reactor->engine;
    for (uint32_t i = 0; i < engine->reactor_count; i++) {
        struct nd_inbox *inbox = &engine->reactors[i]->inbox;
        if (inbox->gate == gate && !nd_inbox_has_mail(inbox) &&
            atomic_exchange(&inbox->gate->heavy, false)) {
            atomic_fetch_sub(&engine->heavy_count, 1);
        }
    }
}

/* Reserves a part of the credit, for the publish that waits if for nothing else. */
static bool reserve(struct nd_conn *conn)
{
    struct nd_gate *gate = conn->pacer;
    if (!is_heavy(gate) || atomic_load_explicit(&gate->dead, memory_order_relaxed)) {
        return true;
    }
    if (credit_of(gate) <= 0) {
        return false;
    }
    int64_t share = atomic_load_explicit(&gate->share, memory_order_relaxed);
    uint32_t waiting = atomic_load_explicit(&gate->waiting, memory_order_relaxed);
    conn->prepaid = ND_MAX(share / ND_MAX(waiting, 1U), conn->toll);
    atomic_fetch_sub_explicit(&gate->credit, conn->prepaid, memory_order_relaxed);
    return true;
}

void nd_brake_on_pace(struct nd_conn *conn)
{
    if (conn->pacer->cid == 0) {
        look_at_inbox(conn->owner, conn->pacer);
    }
    if (reserve(conn)) {
        let_go(conn);
        nd_conn_resume(conn);
    } else {
        nd_timer_start(&conn->owner->pace, &conn->pace, conn->owner->now_ms);
    }
}

void nd_brake_relieve(struct nd_reactor *reactor, const struct nd_gate *gate)
{
    struct nd_timer *next;
    for (struct nd_timer *timer = reactor->pace.first; timer != NULL; timer = next) {
        struct nd_conn *conn = nd_container(timer, struct nd_conn, pace);
        next = timer->next;
        if (conn->pacer == gate) {
            let_go(conn);
            nd_conn_resume(conn);
        }
    }
}

/* ---- the side of the one who lags ---- */

static void relieve_everyone(struct nd_reactor *reactor, const struct nd_gate *gate)
{
    struct nd_engine *engine = reactor->engine;
    nd_brake_relieve(reactor, gate);
    for (uint32_t i = 0; i < engine->reactor_count; i++) {
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
    const struct nd_options *options = &reactor->settings->options;
    uint64_t idle_ms = reactor->now_ms - conn->progress_ms;
    uint64_t left_ms = options->write_deadline_ms > idle_ms + ND_PACE_MS
                           ? options->write_deadline_ms - idle_ms
                           : ND_PACE_MS;
    uint64_t room = options->max_pending > conn->out.pending
                        ? options->max_pending - conn->out.pending
                        : 0;
    uint64_t least = (uint64_t)ND_READER_MIN * ND_PACE_MS / 1000;
    uint64_t share = ND_MAX(room * ND_PACE_MS / left_ms, least);
    atomic_store_explicit(&conn->gate->share, (int64_t)share, memory_order_relaxed);
}

/* One more share; what was not used does not add up. Others take off the credit
 * meanwhile, so it is moved, not set. */
static void refill(struct nd_gate *gate)
{
    int64_t share = atomic_load_explicit(&gate->share, memory_order_relaxed);
    int64_t credit = credit_of(gate);
    int64_t target = ND_MIN(credit + share, share);
    atomic_fetch_add_explicit(&gate->credit, target - credit, memory_order_relaxed);
}

static void set_heavy(struct nd_conn *conn, bool heavy)
{
    struct nd_reactor *reactor = conn->owner;
    atomic_store_explicit(&conn->gate->heavy, heavy, memory_order_relaxed);
    if (heavy) {
        nd_timer_start(&reactor->heavy, &conn->heavy, reactor->now_ms);
        atomic_fetch_add(&reactor->engine->heavy_count, 1);
    } else {
        nd_timer_stop(&reactor->heavy, &conn->heavy);
        atomic_fetch_sub(&reactor->engine->heavy_count, 1);
        relieve_everyone(reactor, conn->gate);
    }
}

void nd_brake_weigh(struct nd_conn *conn)
{
    uint64_t high = conn->owner->settings->high_water;
    bool was_heavy = is_heavy(conn->gate);
    if (was_heavy && conn->out.pending <= high / 2) {
        set_heavy(conn, false);
    } else if (!was_heavy && conn->is_blocked && conn->out.pending > high &&
               nd_conn_is_alive(conn)) {
        set_share(conn);
        /* The first window is for those who are in the middle of a read. */
        atomic_store_explicit(&conn->gate->credit, (int64_t)high, memory_order_relaxed);
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
                    reactor->settings->inbox_high) &&
        !atomic_exchange(&inbox->gate->heavy, true)) {
        atomic_fetch_add(&engine->heavy_count, 1);
    }
}

void nd_brake_empty_inbox(struct nd_reactor *reactor)
{
    struct nd_gate *gate = reactor->inbox.gate;
    if (nd_unlikely(is_heavy(gate)) && atomic_exchange(&gate->heavy, false)) {
        atomic_fetch_sub(&reactor->engine->heavy_count, 1);
        relieve_everyone(reactor, gate);
    }
}
