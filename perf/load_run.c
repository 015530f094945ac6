/* load_run -- the loop of publishers and subscribers. In each turn all readable
 * subscribers are read dry before a publisher may write one more block, so that a
 * server has no reason to find a subscriber slow.
 */
#include "load.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void run_fail(struct run *run, const char *format, ...)
{
    va_list args;

    if (run->failure_count < FAILURES_KEPT) {
        va_start(args, format);
        vsnprintf(run->failures[run->failure_count], sizeof(run->failures[0]), format,
                  args);
        va_end(args);
    }
    run->failure_count++;
}

static const struct mode *mode_of(const struct run *run)
{
    return run->settings->check ? &check_mode : &speed_mode;
}

/* Subscribers are opened first. */
static void prepare_links(struct run *run)
{
    const struct settings *settings = run->settings;
    unsigned total = settings->subscribers + settings->publishers + 1;

    run->publishers = must_alloc(settings->publishers, sizeof(struct publisher));
    run->subscribers = must_alloc(settings->subscribers, sizeof(struct subscriber));
    run->links = must_alloc(total, sizeof(struct link *));
    for (unsigned i = 0; i < settings->subscribers; i++) {
        run->subscribers[i].link.kind = LINK_SUBSCRIBER;
        run->subscribers[i].link.index = i;
        run->links[run->link_count++] = &run->subscribers[i].link;
    }
    for (unsigned i = 0; i < settings->publishers; i++) {
        run->publishers[i].link.kind = LINK_PUBLISHER;
        run->publishers[i].link.index = i;
        run->links[run->link_count++] = &run->publishers[i].link;
    }
    if (settings->churn)
        run->links[run->link_count++] = churn_link(run);
}

static void consume(struct run *run, struct link *link, size_t size)
{
    struct subscriber *subscriber =
        link->kind == LINK_SUBSCRIBER ? (struct subscriber *)link : NULL;
    size_t done = 0;

    while (done < size) {
        const char *at = run->buffer + done;
        size_t used;

        if (subscriber && (subscriber->offset || (!link->line_len && *at == 'M')))
            used = mode_of(run)->take(run, subscriber, at, size - done);
        else
            used = link_take_line(run, link, at, size - done);
        if (!used)
            return;
        done += used;
    }
}

static void hear(struct run *run, struct link *link, uint32_t events)
{
    bool is_dry = !(events & ~(uint32_t)EPOLLOUT);

    while (!is_dry && !run->failure_count) {
        size_t got = link_read(run, link, run->buffer);

        consume(run, link, got);
        is_dry = !got || (got < READ_SIZE && !(events & EVENTS_ENDING));
    }
    if (link->kind == LINK_SUBSCRIBER && link_write(run, link))
        link_pay_pongs(run, link);
}

bool run_open(struct run *run)
{
    const struct settings *settings = run->settings;
    bool once = settings->queue || settings->pairs;

    run->fan_out = once && settings->subscribers ? 1 : settings->subscribers;
    run->has_latencies = settings->rate > 0 && run->fan_out;
    run->hear = hear;
    schedule_prepare(run, settings->publishers);
    if (run->schedule.total < UINT64_MAX)
        run->expected = run->schedule.total * run->fan_out;
    prepare_links(run);
    if (settings->shuffle)
        subject_shuffle(run);
    mode_of(run)->prepare(run);
    run->epoll = epoll_create1(EPOLL_CLOEXEC);
    return link_open_all(run) && link_watch_all(run);
}

/* How many messages this publisher may take now. */
static uint64_t allowance(const struct run *run, const struct publisher *publisher)
{
    const struct settings *settings = run->settings;
    uint64_t rest = schedule_rest(run, publisher->link.index, publisher->taken);
    uint64_t arrived, limit;

    if (!settings->inflight || !run->fan_out)
        return rest;
    /* Deliveries of all are weighed against messages of all: with several publishers
     * the limit is one for their sum. */
    arrived = run->delivered / run->fan_out;
    limit = settings->inflight / run->pub_record;
    limit = (limit ? limit : 1) * settings->publishers;
    if (run->taken >= arrived + limit)
        return 0;
    return rest < arrived + limit - run->taken ? rest : arrived + limit - run->taken;
}

static void take_next(struct run *run, struct publisher *publisher)
{
    struct link *link = &publisher->link;
    uint64_t count;

    link_pay_pongs(run, link);
    if (link->left)
        return;
    count = allowance(run, publisher);
    if (count) {
        count = mode_of(run)->fill(run, publisher, count);
        publisher->taken += count;
        run->taken += count;
    } else if (!publisher->has_pinged && run->schedule.is_final &&
               !schedule_rest(run, link->index, publisher->taken)) {
        publisher->has_pinged = true;
        link_ping(run, link);
    }
}

/* Write one block at most. True: the socket may well take another. */
static bool write_block(struct run *run, struct publisher *publisher)
{
    struct link *link = &publisher->link;

    if (!link->left)
        take_next(run, publisher);
    if (!link->left || !link_write(run, link))
        return false;
    if (run->settings->rate > 0)
        schedule_note_sent(run, link->index, &publisher->sent, publisher->taken);
    return true;
}

/* True: it stopped for others to have their turn, not because it had to. What is due
 * by the clock does not wait for others. */
static bool publish(struct run *run, struct publisher *publisher)
{
    bool may_go_on = write_block(run, publisher);

    while (may_go_on && run->settings->rate > 0)
        may_go_on = write_block(run, publisher);
    return may_go_on;
}

static bool is_complete(const struct run *run)
{
    if (!run->schedule.is_final || run->delivered < run->taken * run->fan_out)
        return false;
    for (unsigned i = 0; i < run->settings->publishers; i++) {
        const struct publisher *publisher = &run->publishers[i];

        if (!publisher->has_pinged || publisher->link.pongs < publisher->link.pings)
            return false;
    }
    return true;
}

static void publish_all(struct run *run)
{
    uint64_t wake_ns = 0;

    if (run->settings->churn)
        churn_start(run);
    while (!run->failure_count && !is_complete(run)) {
        run_turn(run, wake_ns);
        wake_ns = run->settings->churn ? churn_serve(run) : UINT64_MAX;
        for (unsigned i = 0; i < run->settings->publishers; i++) {
            if (publish(run, &run->publishers[i]))
                wake_ns = 0;
        }
    }
    if (run->settings->churn)
        churn_stop(run);
}

/* Every publisher had its PONG, so all that a subscriber is to get stands before the
 * PONG of this PING: whatever came too much is found by this. */
static void flush_subscribers(struct run *run)
{
    const struct settings *settings = run->settings;

    for (unsigned i = 0; i < settings->subscribers; i++)
        link_ping(run, &run->subscribers[i].link);
    for (unsigned i = 0; i < settings->subscribers; i++) {
        const struct subscriber *subscriber = &run->subscribers[i];
        uint64_t wanted = settings->pairs ? run->publishers[i].taken : run->taken;

        while (!run->failure_count && subscriber->link.pongs < subscriber->link.pings)
            run_turn(run, UINT64_MAX);
        if (!settings->queue && subscriber->received != wanted)
            run_fail(run, "%s: %llu messages, not %llu", link_name(&subscriber->link),
                     (unsigned long long)subscriber->received,
                     (unsigned long long)wanted);
    }
    if (run->delivered != run->expected)
        run_fail(run, "%llu deliveries, not %llu", (unsigned long long)run->delivered,
                 (unsigned long long)run->expected);
}

void run_publish(struct run *run)
{
    run_timed(run, publish_all);
    if (run->schedule.total == UINT64_MAX)
        run->expected = run->taken * run->fan_out;
    if (!run->failure_count)
        flush_subscribers(run);
}

void run_hold(struct run *run)
{
    static struct link standard_input = {.kind = LINK_PUBLISHER, .fd = STDIN_FILENO};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &standard_input};

    /* What cannot be watched, /dev/null for one, is at its end. */
    if (epoll_ctl(run->epoll, EPOLL_CTL_ADD, STDIN_FILENO, &event) != 0)
        return;
    while (!run->failure_count) {
        struct epoll_event ready;

        if (epoll_wait(run->epoll, &ready, 1, -1) != 1)
            continue;
        if (ready.data.ptr == &standard_input)
            return;
        hear(run, ready.data.ptr, ready.events);
    }
}
