/* load_link -- connecting, and the control lines that any connection may get. */
#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum {
    OPEN_AT_ONCE = 64, /* links greeted together; below any listen backlog */
    OPEN_SECONDS = 10, /* a server silent for longer has failed the run */
};

static const char connect_line[] =
    "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,"
    "\"no_responders\":true,\"protocol\":1,\"lang\":\"c\",\"name\":\"perf\","
    "\"version\":\"1\"}\r\n";

void *must_alloc(size_t count, size_t size)
{
    void *memory = calloc(count ? count : 1, size);

    if (!memory) {
        fputs("load: out of memory\n", stderr);
        exit(1);
    }
    return memory;
}

int subject_digits(const struct settings *settings)
{
    return snprintf(NULL, 0, "%u", settings->subjects - 1);
}

bool has_many_sids(const struct settings *settings)
{
    return settings->subjects > 1 && !settings->pairs && !settings->wildcard;
}

int subject_render(char *out, size_t size, const struct settings *settings,
                   unsigned subject)
{
    return snprintf(out, size, "perf.%0*u", subject_digits(settings), subject);
}

int sid_render(char *out, size_t size, const struct settings *settings,
               unsigned subject)
{
    if (!has_many_sids(settings))
        return snprintf(out, size, "1");
    return snprintf(out, size, "1%0*u", subject_digits(settings), subject);
}

const char *link_name(const struct link *link)
{
    static char name[32];

    snprintf(name, sizeof(name), "%s %u",
             link->kind == LINK_PUBLISHER ? "publisher" : "subscriber", link->index);
    return name;
}

/* A line is whole. False: it is one that ends the run. */
static bool act_on_line(struct run *run, struct link *link)
{
    const char *line = link->line;

    if (!strcmp(line, "PONG\r\n"))
        link->pongs++;
    else if (!strcmp(line, "PING\r\n"))
        link->pongs_owed++;
    else if (strncmp(line, "INFO ", 5) != 0) {
        run_fail(run, "%s got %.*s", link_name(link), (int)strcspn(line, "\r\n"), line);
        return false;
    }
    link->line_len = 0;
    return true;
}

size_t link_take_line(struct run *run, struct link *link, const char *data, size_t size)
{
    const char *newline = memchr(data, '\n', size);
    size_t used = newline ? (size_t)(newline - data) + 1 : size;

    if (link->line_len < LINE_KEPT - 1) {
        size_t room = LINE_KEPT - 1 - link->line_len;
        size_t kept = used < room ? used : room;

        memcpy(link->line + link->line_len, data, kept);
        link->line[link->line_len + kept] = '\0';
    }
    link->line_len += used;
    if (newline && !act_on_line(run, link))
        return 0;
    return used;
}

static int connect_to(struct run *run, const struct addrinfo *address)
{
    struct timeval patience = {.tv_sec = OPEN_SECONDS};
    int on = 1;
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        run_fail(run, "socket: %s", strerror(errno));
        return -1;
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(fd, address->ai_addr, address->ai_addrlen) != 0) {
        run_fail(run, "connect: %s", strerror(errno));
        close(fd);
        return -1;
    }
    return fd;
}

static void write_subscriptions(FILE *out, const struct settings *settings,
                                const struct link *link)
{
    const char *group = settings->queue ? settings->queue : "";
    const char *space = settings->queue ? " " : "";
    unsigned count = has_many_sids(settings) ? settings->subjects : 1;
    unsigned first = settings->pairs ? link->index : 0;
    char subject[HEAD_MAX];
    char sid[HEAD_MAX];

    if (settings->wildcard) {
        fprintf(out, "SUB perf.*%s%s 1\r\n", space, group);
        return;
    }
    for (unsigned i = first; i < first + count; i++) {
        subject_render(subject, sizeof(subject), settings, i);
        sid_render(sid, sizeof(sid), settings, i);
        fprintf(out, "SUB %s%s%s %s\r\n", subject, space, group, sid);
    }
}

/* The socket still blocks here. */
static bool send_greeting(struct run *run, struct link *link)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    bool is_sent;

    if (!out)
        return false;
    fputs(connect_line, out);
    if (link->kind == LINK_SUBSCRIBER)
        write_subscriptions(out, run->settings, link);
    fputs("PING\r\n", out);
    fclose(out);
    is_sent = send(link->fd, text, size, MSG_NOSIGNAL) == (ssize_t)size;
    free(text);
    if (!is_sent)
        run_fail(run, "%s: greeting: %s", link_name(link), strerror(errno));
    return is_sent;
}

/* Nobody publishes yet, so all that comes is lines. */
static bool await_pong(struct run *run, struct link *link)
{
    while (!link->pongs) {
        ssize_t got = recv(link->fd, run->buffer, READ_SIZE, 0);
        size_t done = 0;

        if (got <= 0) {
            run_fail(run, "%s: no PONG: %s", link_name(link),
                     got ? strerror(errno) : "closed");
            return false;
        }
        while (done < (size_t)got) {
            size_t used =
                link_take_line(run, link, run->buffer + done, (size_t)got - done);

            if (!used)
                return false;
            done += used;
        }
    }
    return fcntl(link->fd, F_SETFL, O_NONBLOCK) == 0;
}

static struct link *nth_link(struct run *run, unsigned i)
{
    unsigned subscribers = run->settings->subscribers;

    return i < subscribers ? &run->subscribers[i].link
                           : &run->publishers[i - subscribers].link;
}

static bool open_group(struct run *run, const struct addrinfo *address, unsigned from,
                       unsigned to)
{
    for (unsigned i = from; i < to; i++) {
        struct link *link = nth_link(run, i);

        link->fd = connect_to(run, address);
        if (link->fd < 0 || !send_greeting(run, link))
            return false;
    }
    for (unsigned i = from; i < to; i++) {
        if (!await_pong(run, nth_link(run, i)))
            return false;
    }
    return true;
}

bool link_open_all(struct run *run)
{
    const struct settings *settings = run->settings;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *address = NULL;
    unsigned total = settings->subscribers + settings->publishers;
    bool is_open = true;
    int rc = getaddrinfo(settings->host, settings->port, &hints, &address);

    if (rc != 0) {
        run_fail(run, "%s: %s", settings->host, gai_strerror(rc));
        return false;
    }
    for (unsigned i = 0; i < total && is_open; i += OPEN_AT_ONCE)
        is_open = open_group(run, address, i,
                             total - i < OPEN_AT_ONCE ? total : i + OPEN_AT_ONCE);
    freeaddrinfo(address);
    return is_open;
}
