/* load_greet -- what a connection says first: CONNECT, its SUBs, PING.
 *
 * The text may be much longer than a socket takes at once (a million SUBs), so it is
 * written piece by piece; run->buffer holds a piece. The socket still blocks.
 */
#include "load.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum {
    PIECE_SIZE = 64 * 1024,
    LINE_MAX = 512, /* our longest line is the CONNECT, of less than half of this */
};

static const char connect_line[] =
    "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,"
    "\"no_responders\":true,\"protocol\":1,\"lang\":\"c\",\"name\":\"perf\","
    "\"version\":\"1\"}\r\n";

struct greeting {
    struct run *run;
    struct link *link;
    size_t size; /* of the piece in run->buffer */
};

static void write_piece(struct greeting *greeting)
{
    const char *at = greeting->run->buffer;

    while (greeting->size && !greeting->run->failure_count) {
        ssize_t sent = send(greeting->link->fd, at, greeting->size, MSG_NOSIGNAL);

        if (sent < 0) {
            run_fail(greeting->run, "%s: greeting: %s", link_name(greeting->link),
                     strerror(errno));
            return;
        }
        at += sent;
        greeting->size -= (size_t)sent;
    }
}

__attribute__((format(printf, 2, 3))) static void say(struct greeting *greeting,
                                                      const char *format, ...)
{
    va_list args;

    if (greeting->size > PIECE_SIZE - LINE_MAX)
        write_piece(greeting);
    va_start(args, format);
    greeting->size += (size_t)vsnprintf(greeting->run->buffer + greeting->size,
                                        LINE_MAX, format, args);
    va_end(args);
}

static void say_topics(struct greeting *greeting)
{
    const struct settings *settings = greeting->run->settings;
    const struct link *link = greeting->link;
    const char *group = settings->queue ? settings->queue : "";
    const char *space = settings->queue ? " " : "";
    unsigned count = has_many_sids(settings) ? settings->subjects : 1;
    unsigned first = settings->pairs ? link->index : 0;
    char subject[HEAD_MAX];
    char sid[HEAD_MAX];

    if (settings->wildcard) {
        say(greeting, "SUB perf.*%s%s 1\r\n", space, group);
        return;
    }
    if (settings->idle) {
        count = settings->topics;
        first = link->index * count;
    }
    for (unsigned i = 0; i < count && !greeting->run->failure_count; i++) {
        subject_render(subject, sizeof(subject), settings, first + i);
        if (settings->idle)
            snprintf(sid, sizeof(sid), "%u", i + 1);
        else
            sid_render(sid, sizeof(sid), settings, first + i);
        say(greeting, "SUB %s%s%s %s\r\n", subject, space, group, sid);
    }
}

bool link_greet(struct run *run, struct link *link)
{
    const struct settings *settings = run->settings;
    struct greeting greeting = {.run = run, .link = link};

    say(&greeting, "%s", connect_line);
    if (link->kind == LINK_SUBSCRIBER)
        say_topics(&greeting);
    else if (link->kind == LINK_RESPONDER)
        say(&greeting, "SUB perf.request 1\r\n");
    else if (link->kind == LINK_REQUESTER && !settings->new_inbox)
        say(&greeting, "SUB _INBOX.%u.* 1\r\n", link->index);
    say(&greeting, "PING\r\n");
    link->pings++;
    write_piece(&greeting);
    return !run->failure_count;
}
