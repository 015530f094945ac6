/* load_respond -- the responder. It verifies all of a request but its reply subject,
 * which it echoes: a wrong one would not come back to who waits for it.
 */
#include "load.h"

#include <stdio.h>
#include <string.h>

enum { SHOWN_SIZE = 40 }; /* bytes of a bad record, for the message */

static const char request_start[] = "MSG perf.request 1 _INBOX.";

static struct {
    struct link link;
    uint64_t answered;
    size_t held_size; /* bytes of an unfinished record */
    char *held;       /* its start, then room for one read */
    char *replies;    /* to the requests of one read */
} responder = {.link = {.kind = LINK_RESPONDER}};

struct link *responder_prepare(struct run *run)
{
    size_t record = 3 * HEAD_MAX + run->tail_size;

    responder.held = must_alloc(1, READ_SIZE + record);
    /* A reply is shorter than its request: no sid, and a shorter word. */
    responder.replies = must_alloc(1, READ_SIZE + record);
    return &responder.link;
}

/* Answer the request at *data*. Returns its size, 0 if it is not whole yet. */
static size_t answer(struct run *run, const char *data, size_t size, char **out)
{
    const char *newline = memchr(data, '\n', size);
    size_t line = newline ? (size_t)(newline - data) + 1 : 0;
    size_t before = strlen(request_start) - strlen("_INBOX.");
    size_t body_size = run->tail_size - run->tail_line;
    size_t inbox;

    if (!newline && size < HEAD_MAX)
        return 0;
    if (line < strlen(request_start) + run->tail_line ||
        memcmp(data, request_start, strlen(request_start)) != 0 ||
        memcmp(newline + 1 - run->tail_line, run->tail, run->tail_line) != 0) {
        run_fail(run, "responder: not a request of ours: %.*s",
                 (int)(size < SHOWN_SIZE ? size : SHOWN_SIZE), data);
        return 0;
    }
    if (size < line + body_size)
        return 0;
    if (memcmp(data + line, run->tail + run->tail_line, body_size) != 0) {
        run_fail(run, "responder: wrong payload in a request");
        return 0;
    }
    inbox = line - before - run->tail_line;
    *out += sprintf(*out, "PUB %.*s", (int)inbox, data + before);
    memcpy(*out, run->tail, run->tail_size);
    *out += run->tail_size;
    responder.answered++;
    return line + body_size;
}

/* Render the replies to all whole requests that are held. */
static void answer_all(struct run *run)
{
    struct link *link = &responder.link;
    char *out = responder.replies;
    size_t done = 0;

    while (done < responder.held_size) {
        const char *at = responder.held + done;
        size_t size = responder.held_size - done;
        size_t used = link->line_len || *at != 'M' ? link_take_line(run, link, at, size)
                                                   : answer(run, at, size, &out);

        if (!used)
            break;
        done += used;
    }
    responder.held_size -= done;
    memmove(responder.held, responder.held + done, responder.held_size);
    link->at = responder.replies;
    link->left = (size_t)(out - responder.replies);
}

/* Read on only while all replies can be written: what a server does not take is not
 * piled up here. */
void responder_hear(struct run *run, struct link *link, uint32_t events)
{
    bool is_dry = false;

    while (!run->failure_count && link_write(run, link) && !is_dry) {
        size_t got = link_read(run, link, responder.held + responder.held_size);

        is_dry = !got || (got < READ_SIZE && !(events & EVENTS_ENDING));
        responder.held_size += got;
        answer_all(run);
    }
    link_pay_pongs(run, link);
}

uint64_t responder_answered(void)
{
    return responder.answered;
}
