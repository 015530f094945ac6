#include "timer.h"

void nd_timers_init(struct nd_timers *timers, uint64_t duration_ms)
{
    timers->first = timers->last = NULL;
    timers->duration_ms = duration_ms;
}

void nd_timer_stop(struct nd_timers *timers, struct nd_timer *timer)
{
    if (!nd_timer_is_running(timer)) {
        return;
    }
    *(timer->prev != NULL ? &timer->prev->next : &timers->first) = timer->next;
    *(timer->next != NULL ? &timer->next->prev : &timers->last) = timer->prev;
    *timer = (struct nd_timer){0};
}

void nd_timer_start(struct nd_timers *timers, struct nd_timer *timer, uint64_t now_ms)
{
    assert(now_ms > 0);
    nd_timer_stop(timers, timer);
    timer->since_ms = now_ms;
    timer->prev = timers->last;
    *(timers->last != NULL ? &timers->last->next : &timers->first) = timer;
    timers->last = timer;
    assert(timer->prev == NULL || timer->prev->since_ms <= now_ms);
}

struct nd_timer *nd_timers_take_due(struct nd_timers *timers, uint64_t now_ms)
{
    struct nd_timer *timer = timers->first;
    if (nd_timers_due(timers) > now_ms) {
        return NULL;
    }
    nd_timer_stop(timers, timer);
    return timer;
}

void nd_timers_stop_all(struct nd_timers *timers)
{
    while (timers->first != NULL) {
        nd_timer_stop(timers, timers->first);
    }
}
