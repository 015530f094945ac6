/* load_request -- requesters, and the loop of them and their responder.
 *
 * Without a rate, a requester keeps one request outstanding; with one, it sends what
 * is due, however many are unanswered. Replies come in the order of the requests, and
 * the next one is known before it comes, subject, sid and all, so it is compared byte
 * for byte.
 */
#include "load.h"

#include <stdio.h>
#include <string.h>

enum {
    SHOWN_SIZE = 40,           /* bytes of a bad record, for the message */
    REQUESTS_SIZE = 16 * 1024, /* a requester with a rate writes about this at once */
};

struct requester {
    struct link link;
    uint64_t taken, sent, answered; /* requests */
    uint64_t sent_ns;               /* without a rate: when the last one was */
    size_t offset;                  /* bytes we have of the next reply */
    size_t size;                    /* bytes of it; 0 = it is not rendered */
    char *requests, *reply;
};

static struct requester *requesters;

static void prepare(struct run *run)
{
    const struct settings *settings = run->settings;
    size_t payload = settings->sizes[0].max;
    unsigned count = settings->requesters;
    size_t record = 3 * HEAD_MAX + payload + 2;

    run->has_latencies = true;
    run->tail_line = (size_t)snprintf(NULL, 0, " %zu\r\n", payload);
    run->tail_size = run->tail_line + payload + 2;
    run->tail = must_alloc(1, run->tail_size);
    sprintf(run->tail, " %zu\r\n", payload);
    memset(run->tail + run->tail_line, 'x', payload);
    memcpy(run->tail + run->tail_line + payload, "\r\n", 2);
    run->links = must_alloc(count + 1, sizeof(struct link *));
    run->links[run->link_count++] = responder_prepare(run);
    requesters = must_alloc(count, sizeof(struct requester));
    for (unsigned i = 0; i < count; i++) {
        struct requester *requester = &requesters[i];

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
    at += sprintf(at, "PUB perf.request %s", inbox);
    memcpy(at, run->tail, run->tail_size);
    return at + run->tail_size;
}

static void render_reply(const struct run *run, struct requester *requester)
{
    int head = sprintf(requester->reply, "MSG _INBOX.%u.%llu %llu",
                       requester->link.index, (unsigned long long)requester->answered,
                       reply_sid(run, requester->answered));

    memcpy(requester->reply + head, run->tail, run->tail_size);
    requester->size = (size_t)head + run->tail_size;
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

static void hear(struct run *run, struct link *link, uint32_t events)
{
    struct requester *requester = (struct requester *)link;
    bool is_dry = !(events & ~(uint32_t)EPOLLOUT);

    if (link->kind == LINK_RESPONDER) {
        responder_hear(run, link, events);
        return;
    }
    while (!is_dry && !run->failure_count) {
        size_t got = link_read(run, link, run->buffer);

        read_replies(run, requester, got);
        is_dry = !got || (got < READ_SIZE && !(events & EVENTS_ENDING));
    }
    if (!run->failure_count)
        ask(run, requester);
}

static void ask_all(struct run *run)
{
    for (unsigned i = 0; i < run->settings->requesters; i++)
        ask(run, &requesters[i]);
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
        while (!run->failure_count && run->links[i]->pongs < run->links[i]->pings)
            run_turn(run, UINT64_MAX);
    }
    if (responder_answered() != run->expected)
        run_fail(run, "%llu requests arrived, not %llu",
                 (unsigned long long)responder_answered(),
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
