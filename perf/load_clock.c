/* load_clock -- the clocks, when a message is due, and one turn of the loop.
 *
 * The generator sleeps until the next message is due; it never spins, so its CPU time
 * tells how busy it was. The kernel may wake a sleeper late by its timer slack, which
 * is set to the least, or by a thousandth of the sleep if that is more.
 */
#include "load.h"

#include <errno.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#define SECOND_NS 1000000000u

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec now = {0};

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

uint64_t now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

void schedule_prepare(struct run *run, unsigned sender_count)
{
    const struct settings *settings = run->settings;
    struct schedule *schedule = &run->schedule;

    schedule->sender_count = sender_count;
    schedule->total = sender_count * settings->messages;
    if (settings->rate > 0)
        schedule->interval_ns = SECOND_NS / settings->rate;
    if (settings->seconds > 0)
        schedule->total = settings->rate > 0
                              ? (uint64_t)(settings->rate * settings->seconds + 0.5)
                              : UINT64_MAX;
}

/* How many of the first *count* messages are this sender's. */
static uint64_t share(const struct schedule *schedule, unsigned sender, uint64_t count)
{
    return count / schedule->sender_count +
           (sender < count % schedule->sender_count ? 1 : 0);
}

uint64_t schedule_rest(const struct run *run, unsigned sender, uint64_t taken)
{
    uint64_t due = share(&run->schedule, sender, run->schedule.due_count);

    return due > taken ? due - taken : 0;
}

uint64_t schedule_number(const struct run *run, unsigned sender, uint64_t n)
{
    return n * run->schedule.sender_count + sender;
}

uint64_t schedule_due_ns(const struct run *run, uint64_t number)
{
    const struct schedule *schedule = &run->schedule;

    return schedule->start_ns + (uint64_t)((double)number * schedule->interval_ns);
}

void schedule_note_sent(struct run *run, unsigned sender, uint64_t *sent,
                        uint64_t taken)
{
    uint64_t now;

    if (*sent == taken)
        return;
    now = now_ns();
    for (; *sent < taken; ++*sent) {
        uint64_t due = schedule_due_ns(run, schedule_number(run, sender, *sent));

        latency_add(&run->lateness, now > due ? now - due : 0);
    }
}

static void advance(struct run *run)
{
    struct schedule *schedule = &run->schedule;

    if (schedule->is_final)
        return;
    if (schedule->interval_ns > 0) {
        double elapsed_ns = (double)(run->now_ns - schedule->start_ns);
        uint64_t due_count = (uint64_t)(elapsed_ns / schedule->interval_ns) + 1;

        schedule->is_final = due_count >= schedule->total;
        schedule->due_count = schedule->is_final ? schedule->total : due_count;
        run->moved_ns = run->now_ns;
    } else if (schedule->total < UINT64_MAX) {
        schedule->due_count = schedule->total;
        schedule->is_final = true;
    } else {
        /* What was taken until the end was the run: there is no rest any more. */
        schedule->is_final = run->now_ns >= schedule->end_ns;
        schedule->due_count = schedule->is_final ? 0 : UINT64_MAX;
    }
}

static void start(struct run *run)
{
    struct schedule *schedule = &run->schedule;

    prctl(PR_SET_TIMERSLACK, 1);
    run->now_ns = run->moved_ns = schedule->start_ns = now_ns();
    schedule->end_ns =
        schedule->start_ns + (uint64_t)(run->settings->seconds * SECOND_NS);
    advance(run);
}

/* When the schedule has something for us; UINT64_MAX = never again. */
static uint64_t next_ns(const struct run *run)
{
    const struct schedule *schedule = &run->schedule;

    if (schedule->is_final)
        return UINT64_MAX;
    return schedule->interval_ns > 0 ? schedule_due_ns(run, schedule->due_count)
                                     : schedule->end_ns;
}

/* When to give up if nothing moves until then. A slow schedule is not a stall. */
static uint64_t stall_ns(const struct run *run)
{
    uint64_t moved_ns = run->moved_ns;

    if (run->schedule.interval_ns > 0 && !run->schedule.is_final)
        moved_ns = next_ns(run);
    return moved_ns + (uint64_t)STALL_SECONDS * SECOND_NS;
}

static int await_events(const struct run *run, struct epoll_event *events,
                        uint64_t wake_ns)
{
    struct timespec patience = {0};

    if (wake_ns) {
        uint64_t due_ns = next_ns(run);
        uint64_t give_up_ns = stall_ns(run);
        uint64_t now = now_ns();

        if (due_ns < wake_ns)
            wake_ns = due_ns;
        if (give_up_ns < wake_ns)
            wake_ns = give_up_ns;
        if (wake_ns > now) {
            patience.tv_sec = (time_t)((wake_ns - now) / SECOND_NS);
            patience.tv_nsec = (long)((wake_ns - now) % SECOND_NS);
        }
    }
    return epoll_pwait2(run->epoll, events, EVENTS_MAX, &patience, NULL);
}

void run_turn(struct run *run, uint64_t wake_ns)
{
    struct epoll_event events[EVENTS_MAX];
    int count = await_events(run, events, wake_ns);

    if (count < 0 && errno != EINTR)
        run_fail(run, "epoll_pwait2: %s", strerror(errno));
    run->now_ns = now_ns();
    if (!wake_ns) /* who does not wait has just written */
        run->moved_ns = run->now_ns;
    for (int i = 0; i < count && !run->failure_count; i++) {
        struct link *link = events[i].data.ptr;

        if (events[i].events & EPOLLOUT)
            link->is_full = false;
        if (link->kind != LINK_CHURNER)
            run->moved_ns = run->now_ns;
        run->hear(run, link, events[i].events);
    }
    if (run->now_ns >= stall_ns(run))
        run_fail(run, "nothing moved for %d s", STALL_SECONDS);
    if (run->schedule.interval_ns > 0)
        run->now_ns = now_ns(); /* hearing took its time */
    advance(run);
}

void run_timed(struct run *run, void (*work)(struct run *run))
{
    clockid_t server = CLOCK_MONOTONIC;
    uint64_t begin, cpu, server_cpu;

    if (run->settings->server_pid &&
        clock_getcpuclockid(run->settings->server_pid, &server) != 0) {
        run_fail(run, "no process %d", (int)run->settings->server_pid);
        return;
    }
    cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    server_cpu = clock_ns(server);
    start(run);
    begin = run->now_ns;
    work(run);
    run->seconds = (double)(now_ns() - begin) / SECOND_NS;
    if (run->settings->server_pid)
        run->server_cpu = (double)(clock_ns(server) - server_cpu) / SECOND_NS;
    run->cpu = (double)(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu) / SECOND_NS;
}
