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
#include <sys/epoll.h>
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

const char *link_name(const struct link *link)
{
    static const char *const kinds[] = {
        [LINK_PUBLISHER] = "publisher", [LINK_SUBSCRIBER] = "subscriber",
        [LINK_REQUESTER] = "requester", [LINK_RESPONDER] = "responder",
        [LINK_CALLER] = "caller",
    };
    static char name[32];

    snprintf(name, sizeof(name), "%s %u", kinds[link->kind], link->index);
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
    else if (!strncmp(line, "INFO ", 5))
        link->has_info = true;
    else {
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

bool link_take_lines(struct run *run, struct link *link, size_t size)
{
    for (size_t done = 0; done < size;) {
        size_t used = link_take_line(run, link, run->buffer + done, size - done);

        if (!used)
            return false;
        done += used;
    }
    return true;
}

void link_send(struct run *run, struct link *link, const char *data, size_t size)
{
    if (send(link->fd, data, size, MSG_NOSIGNAL) != (ssize_t)size)
        run_fail(run, "%s: cannot write: %s", link_name(link), strerror(errno));
}

void link_pay_pongs(struct run *run, struct link *link)
{
    for (; link->pongs_owed; link->pongs_owed--)
        link_send(run, link, "PONG\r\n", strlen("PONG\r\n"));
}

bool link_watch(struct run *run, struct link *link, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = link};

    if (epoll_ctl(run->epoll, EPOLL_CTL_ADD, link->fd, &event) == 0)
        return true;
    run_fail(run, "epoll_ctl: %s", strerror(errno));
    return false;
}

int link_connect(struct run *run, const struct addrinfo *address)
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

static void write_topics(FILE *out, const struct settings *settings,
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

static void write_subscriptions(FILE *out, const struct settings *settings,
                                const struct link *link)
{
    if (link->kind == LINK_SUBSCRIBER)
        write_topics(out, settings, link);
    else if (link->kind == LINK_RESPONDER)
        fputs("SUB perf.request 1\r\n", out);
    else if (link->kind == LINK_REQUESTER && !settings->new_inbox)
        fprintf(out, "SUB _INBOX.%u.* 1\r\n", link->index);
}

/* The socket still blocks here. */
bool link_greet(struct run *run, struct link *link)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    bool is_sent;

    if (!out)
        return false;
    fputs(connect_line, out);
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

        if (got <= 0) {
            run_fail(run, "%s: no PONG: %s", link_name(link),
                     got ? strerror(errno) : "closed");
            return false;
        }
        if (!link_take_lines(run, link, (size_t)got))
            return false;
    }
    return fcntl(link->fd, F_SETFL, O_NONBLOCK) == 0;
}

static bool open_group(struct run *run, const struct addrinfo *address, unsigned from,
                       unsigned to)
{
    for (unsigned i = from; i < to; i++) {
        struct link *link = run->links[i];

        link->fd = link_connect(run, address);
        if (link->fd < 0 || !link_greet(run, link))
            return false;
    }
    for (unsigned i = from; i < to; i++) {
        if (!await_pong(run, run->links[i]))
            return false;
    }
    return true;
}

struct addrinfo *link_resolve(struct run *run)
{
    const struct settings *settings = run->settings;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *address = NULL;
    int rc = getaddrinfo(settings->host, settings->port, &hints, &address);

    if (rc == 0)
        return address;
    run_fail(run, "%s: %s", settings->host, gai_strerror(rc));
    return NULL;
}

bool link_open_all(struct run *run)
{
    unsigned total = run->link_count;
    struct addrinfo *address = link_resolve(run);
    bool is_open = true;

    if (!address)
        return false;
    for (unsigned i = 0; i < total && is_open; i += OPEN_AT_ONCE)
        is_open = open_group(run, address, i,
                             total - i < OPEN_AT_ONCE ? total : i + OPEN_AT_ONCE);
    freeaddrinfo(address);
    return is_open;
}
