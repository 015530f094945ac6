/* load_request -- requesters and one responder.
 *
 * Without a rate, a requester keeps one request outstanding; with one, it sends what
 * is due, however many are unanswered. Replies come in the order of the requests, and
 * the next one is known before it comes, subject, sid and all, so it is compared byte
 * for byte. The responder verifies all of a request but its reply subject, which it
 * echoes: a wrong one would not come back to who waits for it.
 */
#include "load.h"

#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

enum {
    SHOWN_SIZE = 40,           /* bytes of a bad record, for the message */
    REQUESTS_SIZE = 16 * 1024, /* a requester with a rate writes about this at once */
};

static const char request_start[] = "MSG perf.request 1 _INBOX.";

struct requester {
    struct link link;
    uint64_t taken, sent, answered; /* requests */
    uint64_t sent_ns;               /* without a rate: when the last one was */
    size_t offset;                  /* bytes we have of the next reply */
    size_t size;                    /* bytes of it; 0 = it is not rendered */
    char *requests, *reply;
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

static void prepare(struct run *run)
{
    const struct settings *settings = run->settings;
    size_t payload = settings->sizes[0].max;
    unsigned count = settings->requesters;
    size_t record = 3 * HEAD_MAX + payload + 2;

    run->has_latencies = true;
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
        requester->requests = must_alloc(1, REQUESTS_SIZE + record);
        requester->reply = must_alloc(1, record);
        run->links[run->link_count++] = &requester->link;
    }
}

/* The sid of a requester's n-th reply. */
static unsigned long long reply_sid(const struct run *run, uint64_t n)
{
    return run->settings->new_inbox ? 1 + n : 1;
}

static char *render_request(const struct run *run, const struct requester *requester,
                            char *at)
{
    unsigned long long sid = reply_sid(run, requester->taken);
    char inbox[HEAD_MAX / 2];

    snprintf(inbox, sizeof(inbox), "_INBOX.%u.%llu", requester->link.index,
             (unsigned long long)requester->taken);
    if (run->settings->new_inbox)
        at += sprintf(at, "SUB %s %llu\r\nUNSUB %llu 1\r\n", inbox, sid, sid);
    at += sprintf(at, "PUB perf.request %s%s", inbox, exchange.ending);
    memcpy(at, exchange.body, exchange.body_size);
    return at + exchange.body_size;
}

static void render_reply(const struct run *run, struct requester *requester)
{
    int head = sprintf(requester->reply, "MSG _INBOX.%u.%llu %llu%s",
                       requester->link.index, (unsigned long long)requester->answered,
                       reply_sid(run, requester->answered), exchange.ending);

    memcpy(requester->reply + head, exchange.body, exchange.body_size);
    requester->size = (size_t)head + exchange.body_size;
    requester->offset = 0;
}

/* How many requests it may send now. */
static uint64_t allowance(const struct run *run, const struct requester *requester)
{
    uint64_t rest = schedule_rest(run, requester->link.index, requester->taken);

    if (run->settings->rate > 0)
        return rest;
    return rest && requester->taken == requester->answered ? 1 : 0;
}

static void ask(struct run *run, struct requester *requester)
{
    struct link *link = &requester->link;

    while (link_write(run, link)) {
        uint64_t count = allowance(run, requester);
        char *at = requester->requests;

        if (run->settings->rate > 0)
            schedule_note_sent(run, link->index, &requester->sent, requester->taken);
        link_pay_pongs(run, link);
        if (!count || link->left)
            return;
        for (; count && at - requester->requests < REQUESTS_SIZE; count--) {
            at = render_request(run, requester, at);
            requester->taken++;
            run->taken++;
        }
        link->at = requester->requests;
        link->left = (size_t)(at - requester->requests);
        requester->sent_ns = now_ns();
    }
}

static void note_reply(struct run *run, struct requester *requester)
{
    uint64_t number = schedule_number(run, requester->link.index, requester->answered);
    uint64_t asked_ns =
        run->settings->rate > 0 ? schedule_due_ns(run, number) : requester->sent_ns;

    latency_add(&run->latencies, run->now_ns > asked_ns ? run->now_ns - asked_ns : 0);
    requester->size = requester->offset = 0;
    requester->answered++;
    run->delivered++;
}

/* Bytes of a reply. Returns how many were consumed; 0 = they are wrong. */
static size_t take_reply(struct run *run, struct requester *requester, const char *data,
                         size_t size)
{
    size_t missing, used;

    if (!requester->size && requester->answered < requester->taken)
        render_reply(run, requester);
    missing = requester->size - requester->offset;
    used = size < missing ? size : missing;
    if (!used || memcmp(data, requester->reply + requester->offset, used) != 0) {
        run_fail(run, "%s: wrong reply to request %llu near: %.*s",
                 link_name(&requester->link), (unsigned long long)requester->answered,
                 (int)(size < SHOWN_SIZE ? size : SHOWN_SIZE), data);
        return 0;
    }
    requester->offset += used;
    if (requester->offset == requester->size)
        note_reply(run, requester);
    return used;
}

static void read_replies(struct run *run, struct requester *requester, size_t size)
{
    struct link *link = &requester->link;

    for (size_t done = 0; done < size;) {
        const char *at = run->buffer + done;
        size_t used = requester->offset || (!link->line_len && *at == 'M')
                          ? take_reply(run, requester, at, size - done)
                          : link_take_line(run, link, at, size - done);

        if (!used)
            return;
        done += used;
    }
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

/* Render the replies to all whole requests that are held. */
static void answer_all(struct run *run, struct responder *responder)
{
    struct link *link = &responder->link;
    char *out = responder->replies;
    size_t done = 0;

    while (done < responder->held_size) {
        const char *at = responder->held + done;
        size_t size = responder->held_size - done;
        size_t used = link->line_len || *at != 'M' ? link_take_line(run, link, at, size)
                                                   : answer(run, at, size, &out);

        if (!used)
            break;
        done += used;
    }
    responder->held_size -= done;
    memmove(responder->held, responder->held + done, responder->held_size);
    link->at = responder->replies;
    link->left = (size_t)(out - responder->replies);
}

/* Read on only while all replies can be written: what a server does not take is not
 * piled up here. */
static void serve(struct run *run, struct responder *responder, bool is_ending)
{
    struct link *link = &responder->link;
    bool is_dry = false;

    while (!run->failure_count && link_write(run, link) && !is_dry) {
        size_t got = link_read(run, link, responder->held + responder->held_size);

        is_dry = !got || (got < READ_SIZE && !is_ending);
        responder->held_size += got;
        answer_all(run, responder);
    }
    link_pay_pongs(run, link);
}

static void hear(struct run *run, struct link *link, bool is_ending)
{
    struct requester *requester = (struct requester *)link;
    size_t got;

    if (link->kind == LINK_RESPONDER) {
        serve(run, (struct responder *)link, is_ending);
        return;
    }
    do {
        got = link_read(run, link, run->buffer);
        read_replies(run, requester, got);
    } while ((got == READ_SIZE || (is_ending && got)) && !run->failure_count);
    if (!run->failure_count)
        ask(run, requester);
}

static void ask_all(struct run *run)
{
    for (unsigned i = 0; i < run->settings->requesters; i++)
        ask(run, &exchange.requesters[i]);
}

static void exchange_all(struct run *run)
{
    ask_all(run);
    while (!run->failure_count &&
           (run->delivered < run->taken || !run->schedule.is_final)) {
        run_turn(run, UINT64_MAX);
        if (run->settings->rate > 0) /* else, each asks when it has its reply */
            ask_all(run);
    }
}

/* Nothing may come any more but the PONG of a last PING. */
static void flush_links(struct run *run)
{
    for (unsigned i = 0; i < run->link_count; i++)
        link_ping(run, run->links[i]);
    for (unsigned i = 0; i < run->link_count; i++) {
        while (!run->failure_count && run->links[i]->pongs < 2)
            run_turn(run, UINT64_MAX);
    }
    if (exchange.responder.answered != run->expected)
        run_fail(run, "%llu requests arrived, not %llu",
                 (unsigned long long)exchange.responder.answered,
                 (unsigned long long)run->expected);
}

void request_run(struct run *run)
{
    run->hear = hear;
    schedule_prepare(run, run->settings->requesters);
    prepare(run);
    run->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!link_open_all(run) || !link_watch_all(run))
        return;
    run_timed(run, exchange_all);
    run->expected = run->schedule.total < UINT64_MAX ? run->schedule.total : run->taken;
    if (!run->failure_count)
        flush_links(run);
}
