/* load_link -- connecting, writing, and the lines that any connection may get. */
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
        [LINK_CALLER] = "caller",       [LINK_CHURNER] = "churner",
    };
    static char name[32];

    snprintf(name, sizeof(name), "%s %u", kinds[link->kind], link->index);
    return name;
}

/* A line is whole. False: it is one that ends the run. */
static bool act_on_line(struct run *run, struct link *link)
{
    const char *line = link->line;

    if (!strcmp(line, "PONG\r\n") && link->pongs < link->pings)
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

bool link_write(struct run *run, struct link *link)
{
    ssize_t sent;

    if (!link->left || link->is_full)
        return !link->left;
    sent = send(link->fd, link->at, link->left, MSG_NOSIGNAL);
    if (sent < 0) {
        if (errno != EAGAIN)
            run_fail(run, "%s: cannot write: %s", link_name(link), strerror(errno));
        link->is_full = true;
        return false;
    }
    link->at += sent;
    link->left -= (size_t)sent;
    link->is_full = link->left > 0;
    return !link->left;
}

static void write_line(struct run *run, struct link *link, const char *line)
{
    link->at = line;
    link->left = strlen(line);
    link_write(run, link);
}

void link_ping(struct run *run, struct link *link)
{
    link->pings++;
    write_line(run, link, "PING\r\n");
}

void link_pay_pongs(struct run *run, struct link *link)
{
    for (; link->pongs_owed && !link->left; link->pongs_owed--)
        write_line(run, link, "PONG\r\n");
}

size_t link_read(struct run *run, struct link *link, char *buffer)
{
    ssize_t got = recv(link->fd, buffer, READ_SIZE, 0);

    if (run->has_latencies)
        run->now_ns = now_ns();
    if (got > 0)
        return (size_t)got;
    if (got == 0)
        run_fail(run, "%s: closed by the server", link_name(link));
    else if (errno != EAGAIN)
        run_fail(run, "%s: %s", link_name(link), strerror(errno));
    return 0;
}

bool link_watch(struct run *run, struct link *link, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = link};

    if (epoll_ctl(run->epoll, EPOLL_CTL_ADD, link->fd, &event) == 0)
        return true;
    run_fail(run, "epoll_ctl: %s", strerror(errno));
    return false;
}

bool link_watch_all(struct run *run)
{
    const uint32_t events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;

    for (unsigned i = 0; i < run->link_count; i++) {
        if (!link_watch(run, run->links[i], events))
            return false;
    }
    return true;
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
