/* timer -- deadlines of one duration, in the order in which they fall due.
 *
 * Every kind of timer (auth, ping, owed, pace ...) has one duration, so appending keeps
 * its list sorted: start, stop and expiry take constant time, and an idle list costs
 * nothing. A timer knows since when it runs and not when it is due, so a change of the
 * duration moves them all and leaves the order alone. A reactor has one list for each
 * kind; its thread only.
 */
#ifndef ND_TIMER_H
#define ND_TIMER_H

#include "nd.h"

struct nd_timer { /* embedded in what shall be woken; zeroed = not running */
    struct nd_timer *prev, *next;
    uint64_t since_ms;
};

struct nd_timers {
    struct nd_timer *first, *last;
    uint64_t duration_ms; /* may be changed at any time */
};

void nd_timers_init(struct nd_timers *timers, uint64_t duration_ms);

/* Starts or restarts: due one duration from now. The time is never 0. */
void nd_timer_start(struct nd_timers *timers, struct nd_timer *timer, uint64_t now_ms);
void nd_timer_stop(struct nd_timers *timers, struct nd_timer *timer);

static inline bool nd_timer_is_running(const struct nd_timer *timer)
{
    return timer->since_ms != 0;
}

/* When the first is due; UINT64_MAX = none runs. */
static inline uint64_t nd_timers_due(const struct nd_timers *timers)
{
    return timers->first != NULL ? timers->first->since_ms + timers->duration_ms
                                 : UINT64_MAX;
}

/* Takes the first that is due; NULL = none. */
struct nd_timer *nd_timers_take_due(struct nd_timers *timers, uint64_t now_ms);

void nd_timers_stop_all(struct nd_timers *timers);

#endif
