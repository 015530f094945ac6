/* load_run -- the clocks, and the loop of publishers and subscribers. In each turn all readable subscribers are read dry before a
 * publisher may write one more block, so that a server has no reason to find a
 * subscriber slow. */
#include "load.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
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
    unsigned total = settings->subscribers + settings->publishers;

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
}

bool run_open(struct run *run)
{
    const struct settings *settings = run->settings;
    uint64_t published = settings->publishers * settings->messages;
    bool once = settings->queue || settings->pairs;

    run->expected =
        published * (once && settings->subscribers ? 1 : settings->subscribers);
    prepare_links(run);
    if (settings->shuffle)
        subject_shuffle(run);
    mode_of(run)->prepare(run);
    run->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!link_open_all(run))
        return false;
    for (unsigned i = 0; i < run->link_count; i++) {
        struct link *link = run->links[i];

        /* Subscribers are level-triggered, publishers edge-triggered: they remember. */
        if (!link_watch(run, link,
                        link->kind == LINK_PUBLISHER ? EPOLLIN | EPOLLOUT | EPOLLET
                                                     : EPOLLIN))
            return false;
    }
    return true;
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
    if (subscriber)
        link_pay_pongs(run, link);
}

static void read_dry(struct run *run, struct link *link)
{
    ssize_t got;

    do {
        got = recv(link->fd, run->buffer, READ_SIZE, 0);
        if (got > 0) {
            consume(run, link, (size_t)got);
        } else if (got == 0) {
            run_fail(run, "%s: closed by the server", link_name(link));
        } else if (errno != EAGAIN) {
            run_fail(run, "%s: %s", link_name(link), strerror(errno));
        }
    } while (got == READ_SIZE && !run->failure_count);
}

/* How many messages this publisher may take now. */
static uint64_t allowance(const struct run *run, const struct publisher *publisher)
{
    const struct settings *settings = run->settings;
    uint64_t rest = settings->messages - publisher->taken;
    uint64_t published = settings->publishers * settings->messages;
    uint64_t arrived, limit;

    if (!settings->inflight || !run->expected)
        return rest;
    /* Deliveries of all are weighed against messages of all: with several publishers
     * the limit is one for their sum. */
    arrived = run->delivered / (run->expected / published);
    limit = settings->inflight / run->pub_record;
    limit = (limit ? limit : 1) * settings->publishers;
    if (run->taken >= arrived + limit)
        return 0;
    return rest < arrived + limit - run->taken ? rest : arrived + limit - run->taken;
}

static bool take_next(struct run *run, struct publisher *publisher)
{
    uint64_t count;

    if (publisher->link.pongs_owed) {
        publisher->link.pongs_owed--;
        publisher->at = "PONG\r\n";
        publisher->left = strlen(publisher->at);
        return true;
    }
    if (publisher->taken == run->settings->messages) {
        if (publisher->has_pinged)
            return false;
        publisher->has_pinged = true;
        publisher->at = "PING\r\n";
        publisher->left = strlen(publisher->at);
        return true;
    }
    count = allowance(run, publisher);
    if (!count)
        return false;
    count = mode_of(run)->fill(run, publisher, count);
    publisher->taken += count;
    run->taken += count;
    return true;
}

/* Write one block at most. True: the socket may well take another. */
static bool write_block(struct run *run, struct publisher *publisher)
{
    ssize_t sent;

    if (!publisher->is_writable || (!publisher->left && !take_next(run, publisher)))
        return false;
    sent = send(publisher->link.fd, publisher->at, publisher->left, MSG_NOSIGNAL);
    if (sent < 0) {
        if (errno != EAGAIN)
            run_fail(run, "%s: %s", link_name(&publisher->link), strerror(errno));
        publisher->is_writable = false;
        return false;
    }
    publisher->at += sent;
    publisher->left -= (size_t)sent;
    publisher->is_writable = publisher->left == 0;
    return publisher->is_writable;
}

/* False: nothing happened for as long as we were willing to wait. */
static bool turn(struct run *run, int patience_ms)
{
    struct epoll_event events[EVENTS_MAX];
    int count = epoll_wait(run->epoll, events, EVENTS_MAX, patience_ms);

    for (int i = 0; i < count && !run->failure_count; i++) {
        struct link *link = events[i].data.ptr;

        if (link->kind == LINK_PUBLISHER && (events[i].events & EPOLLOUT))
            ((struct publisher *)link)->is_writable = true;
        if (events[i].events & ~(uint32_t)EPOLLOUT)
            read_dry(run, link);
    }
    return count != 0;
}

static bool is_complete(const struct run *run)
{
    if (run->delivered < run->expected)
        return false;
    for (unsigned i = 0; i < run->settings->publishers; i++) {
        /* The first PONG was that of the greeting. */
        if (run->publishers[i].link.pongs < 2)
            return false;
    }
    return true;
}

static void publish_all(struct run *run)
{
    bool is_blocked = true;

    while (!run->failure_count && !is_complete(run)) {
        if (!turn(run, is_blocked ? STALL_MS : 0) && is_blocked) {
            run_fail(run, "nothing moved for %d s", STALL_MS / 1000);
            return;
        }
        is_blocked = true;
        for (unsigned i = 0; i < run->settings->publishers; i++) {
            if (write_block(run, &run->publishers[i]))
                is_blocked = false;
        }
    }
}

/* Every publisher had its PONG, so all that a subscriber is to get stands before the
 * PONG of this PING: whatever came too much is found by this. */
static void flush_subscribers(struct run *run)
{
    const struct settings *settings = run->settings;
    uint64_t each = settings->pairs ? settings->messages
                                    : settings->publishers * settings->messages;

    for (unsigned i = 0; i < settings->subscribers; i++)
        link_send(run, &run->subscribers[i].link, "PING\r\n", strlen("PING\r\n"));
    for (unsigned i = 0; i < settings->subscribers; i++) {
        const struct subscriber *subscriber = &run->subscribers[i];

        while (!run->failure_count && subscriber->link.pongs < 2) {
            if (!turn(run, STALL_MS))
                run_fail(run, "%s: no last PONG", link_name(&subscriber->link));
        }
        if (!settings->queue && subscriber->received != each)
            run_fail(run, "%s: %llu messages, not %llu", link_name(&subscriber->link),
                     (unsigned long long)subscriber->received,
                     (unsigned long long)each);
    }
    if (run->delivered != run->expected)
        run_fail(run, "%llu deliveries, not %llu", (unsigned long long)run->delivered,
                 (unsigned long long)run->expected);
}

static double clock_seconds(clockid_t clock)
{
    struct timespec now = {0};

    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

void run_timed(struct run *run, void (*work)(struct run *run))
{
    clockid_t server = CLOCK_MONOTONIC;
    double seconds, cpu, server_cpu;

    if (run->settings->server_pid &&
        clock_getcpuclockid(run->settings->server_pid, &server) != 0) {
        run_fail(run, "no process %d", (int)run->settings->server_pid);
        return;
    }
    cpu = clock_seconds(CLOCK_PROCESS_CPUTIME_ID);
    server_cpu = clock_seconds(server);
    seconds = clock_seconds(CLOCK_MONOTONIC);
    work(run);
    run->seconds = clock_seconds(CLOCK_MONOTONIC) - seconds;
    if (run->settings->server_pid)
        run->server_cpu = clock_seconds(server) - server_cpu;
    run->cpu = clock_seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
}

void run_publish(struct run *run)
{
    run_timed(run, publish_all);
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
        read_dry(run, ready.data.ptr);
    }
}
