/* load_request -- requesters, each with one request outstanding, and one responder.
 *
 * The reply to a request is known before it comes, subject, sid and all, so it is
 * compared byte for byte. The responder verifies all of a request but its reply
 * subject, which it echoes: a wrong one would not come back to who waits for it.
 */
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

enum { SHOWN_SIZE = 40 }; /* bytes of a bad record, for the message */

static const char request_start[] = "MSG perf.request 1 _INBOX.";

struct requester {
    struct link link;
    uint64_t sent;    /* requests */
    uint64_t sent_ns; /* when the last of them was, on the monotonic clock */
    size_t offset;    /* bytes we have of its reply */
    size_t size;      /* bytes of its reply; 0 = nothing outstanding */
    char *request, *reply;
};

struct responder {
    struct link link;
    uint64_t answered;
    size_t held_size; /* bytes of an unfinished record */
    char *held;       /* its start, then room for one read */
    char *replies;    /* to the requests of one read */
};

static struct {
    struct requester *requesters;
    struct responder responder;
    char ending[16]; /* of a request's MSG line: " size\r\n" */
    size_t ending_size;
    char *body; /* the payload and its CRLF */
    size_t body_size;
} exchange;

static uint64_t now_ns(void)
{
    struct timespec now = {0};

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void prepare(struct run *run)
{
    const struct settings *settings = run->settings;
    size_t payload = settings->sizes[0].max;
    unsigned count = settings->requesters;
    size_t record = 3 * HEAD_MAX + payload + 2;

    run->expected = count * settings->messages;
    run->links = must_alloc(count + 1, sizeof(struct link *));
    exchange.ending_size =
        (size_t)snprintf(exchange.ending, sizeof(exchange.ending), " %zu\r\n", payload);
    exchange.body_size = payload + 2;
    exchange.body = must_alloc(1, exchange.body_size);
    memset(exchange.body, 'x', payload);
    memcpy(exchange.body + payload, "\r\n", 2);
    exchange.responder.link.kind = LINK_RESPONDER;
    exchange.responder.held = must_alloc(1, READ_SIZE + record);
    /* A reply is shorter than its request: no sid, and a shorter word. */
    exchange.responder.replies = must_alloc(1, READ_SIZE + record);
    run->links[run->link_count++] = &exchange.responder.link;
    exchange.requesters = must_alloc(count, sizeof(struct requester));
    for (unsigned i = 0; i < count; i++) {
        struct requester *requester = &exchange.requesters[i];

        requester->link.kind = LINK_REQUESTER;
        requester->link.index = i;
        requester->request = must_alloc(1, record);
        requester->reply = must_alloc(1, record);
        run->links[run->link_count++] = &requester->link;
    }
}

static void ask(struct run *run, struct requester *requester)
{
    size_t payload = run->settings->sizes[0].max;
    unsigned long long sid = 1;
    char *at = requester->request;
    char inbox[HEAD_MAX / 2];

    snprintf(inbox, sizeof(inbox), "_INBOX.%u.%llu", requester->link.index,
             (unsigned long long)requester->sent);
    if (run->settings->new_inbox) {
        sid += requester->sent;
        at += sprintf(at, "SUB %s %llu\r\nUNSUB %llu 1\r\n", inbox, sid, sid);
    }
    at += sprintf(at, "PUB perf.request %s %zu\r\n", inbox, payload);
    memcpy(at, exchange.body, exchange.body_size);
    at += exchange.body_size;
    requester->size =
        (size_t)sprintf(requester->reply, "MSG %s %llu %zu\r\n", inbox, sid, payload);
    memcpy(requester->reply + requester->size, exchange.body, exchange.body_size);
    requester->size += exchange.body_size;
    requester->offset = 0;
    requester->sent++;
    run->taken++;
    requester->sent_ns = now_ns();
    link_send(run, &requester->link, requester->request,
              (size_t)(at - requester->request));
}

/* Bytes of a reply. Returns how many were consumed; 0 = they are wrong. */
static size_t take_reply(struct run *run, struct requester *requester, const char *data,
                         size_t size)
{
    size_t missing = requester->size - requester->offset;
    size_t used = size < missing ? size : missing;

    if (!used || memcmp(data, requester->reply + requester->offset, used) != 0) {
        run_fail(run, "%s: wrong reply to request %llu near: %.*s",
                 link_name(&requester->link), (unsigned long long)requester->sent,
                 (int)(size < SHOWN_SIZE ? size : SHOWN_SIZE), data);
        return 0;
    }
    requester->offset += used;
    if (requester->offset < requester->size)
        return used;
    latency_add(&run->latencies, now_ns() - requester->sent_ns);
    requester->size = requester->offset = 0;
    run->delivered++;
    return used;
}

static void read_replies(struct run *run, struct requester *requester)
{
    struct link *link = &requester->link;
    ssize_t got = recv(link->fd, run->buffer, READ_SIZE, 0);

    if (got <= 0)
        run_fail(run, "%s: %s", link_name(link),
                 got ? strerror(errno) : "closed by the server");
    for (size_t done = 0; got > 0 && done < (size_t)got;) {
        const char *at = run->buffer + done;
        size_t size = (size_t)got - done;
        size_t used = requester->offset || (!link->line_len && *at == 'M')
                          ? take_reply(run, requester, at, size)
                          : link_take_line(run, link, at, size);

        if (!used)
            return;
        done += used;
    }
    link_pay_pongs(run, link);
    if (!requester->size && requester->sent < run->settings->messages)
        ask(run, requester);
}

/* Answer the request at *data*. Returns its size, 0 if it is not whole yet. */
static size_t answer(struct run *run, const char *data, size_t size, char **out)
{
    const char *newline = memchr(data, '\n', size);
    size_t line = newline ? (size_t)(newline - data) + 1 : 0;
    size_t before = strlen(request_start) - strlen("_INBOX.");
    size_t inbox;

    if (!newline && size < HEAD_MAX)
        return 0;
    if (line < strlen(request_start) + exchange.ending_size ||
        memcmp(data, request_start, strlen(request_start)) != 0 ||
        memcmp(newline + 1 - exchange.ending_size, exchange.ending,
               exchange.ending_size) != 0) {
        run_fail(run, "responder: not a request of ours: %.*s",
                 (int)(size < SHOWN_SIZE ? size : SHOWN_SIZE), data);
        return 0;
    }
    if (size < line + exchange.body_size)
        return 0;
    if (memcmp(data + line, exchange.body, exchange.body_size) != 0) {
        run_fail(run, "responder: wrong payload in a request");
        return 0;
    }
    inbox = line - before - exchange.ending_size;
    *out += sprintf(*out, "PUB %.*s%s", (int)inbox, data + before, exchange.ending);
    memcpy(*out, exchange.body, exchange.body_size);
    *out += exchange.body_size;
    exchange.responder.answered++;
    return line + exchange.body_size;
}

static void read_requests(struct run *run, struct responder *responder)
{
    struct link *link = &responder->link;
    ssize_t got = recv(link->fd, responder->held + responder->held_size, READ_SIZE, 0);
    size_t size = responder->held_size + (size_t)(got > 0 ? got : 0);
    char *out = responder->replies;
    size_t done = 0;

    if (got <= 0)
        run_fail(run, "%s: %s", link_name(link),
                 got ? strerror(errno) : "closed by the server");
    while (done < size) {
        const char *at = responder->held + done;
        size_t used = link->line_len || *at != 'M'
                          ? link_take_line(run, link, at, size - done)
                          : answer(run, at, size - done, &out);

        if (!used)
            break;
        done += used;
    }
    responder->held_size = size - done;
    memmove(responder->held, responder->held + done, size - done);
    link_pay_pongs(run, link);
    if (out > responder->replies)
        link_send(run, link, responder->replies, (size_t)(out - responder->replies));
}

static void turn(struct run *run)
{
    struct epoll_event events[EVENTS_MAX];
    int count = epoll_wait(run->epoll, events, EVENTS_MAX, STALL_MS);

    if (count == 0)
        run_fail(run, "nothing moved for %d s", STALL_MS / 1000);
    for (int i = 0; i < count && !run->failure_count; i++) {
        struct link *link = events[i].data.ptr;

        if (link->kind == LINK_RESPONDER)
            read_requests(run, (struct responder *)link);
        else
            read_replies(run, (struct requester *)link);
    }
}

static void exchange_all(struct run *run)
{
    for (unsigned i = 0; i < run->settings->requesters; i++)
        ask(run, &exchange.requesters[i]);
    while (!run->failure_count && run->delivered < run->expected)
        turn(run);
}

/* Nothing may come any more but the PONG of a last PING. */
static void flush_links(struct run *run)
{
    for (unsigned i = 0; i < run->link_count; i++)
        link_send(run, run->links[i], "PING\r\n", strlen("PING\r\n"));
    for (unsigned i = 0; i < run->link_count; i++) {
        while (!run->failure_count && run->links[i]->pongs < 2)
            turn(run);
    }
    if (exchange.responder.answered != run->expected)
        run_fail(run, "%llu requests arrived, not %llu",
                 (unsigned long long)exchange.responder.answered,
                 (unsigned long long)run->expected);
}

void request_run(struct run *run)
{
    prepare(run);
    run->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!link_open_all(run))
        return;
    for (unsigned i = 0; i < run->link_count; i++) {
        if (!link_watch(run, run->links[i], EPOLLIN))
            return;
    }
    run_timed(run, exchange_all);
    if (!run->failure_count)
        flush_links(run);
}
