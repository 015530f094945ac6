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
    nd_timer_stop(timers, timer);
    timer->due_ms = now_ms + timers->duration_ms;
    timer->due_ms += timer->due_ms == 0; /* 0 means "not running" */
    timer->prev = timers->last;
    *(timers->last != NULL ? &timers->last->next : &timers->first) = timer;
    timers->last = timer;
    assert(timer->prev == NULL || timer->prev->due_ms <= timer->due_ms);
}

struct nd_timer *nd_timers_take_due(struct nd_timers *timers, uint64_t now_ms)
{
    struct nd_timer *timer = timers->first;
    if (timer == NULL || timer->due_ms > now_ms) {
        return NULL;
    }
    nd_timer_stop(timers, timer);
    return timer;
}
