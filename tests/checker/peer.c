/* peer -- one raw connection: buffers, and just enough of the protocol. */
#include "checker.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { READ_SIZE = 256 * 1024, LINE_MAX_SIZE = 4096 };

void fatal(const char *what)
{
    fprintf(stderr, "checker: %s\n", what);
    exit(2);
}

uint64_t now_ns(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (uint64_t)at.tv_sec * 1000000000U + (uint64_t)at.tv_nsec;
}

bool peer_open(struct peer *peer, uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    int on = 1;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    peer->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (peer->fd < 0)
        return false;
    setsockopt(peer->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    peer->pongs = 0;
    peer->is_greeted = false;
    return connect(peer->fd, (struct sockaddr *)&to, sizeof to) == 0 ||
           errno == EINPROGRESS;
}

void peer_close(struct peer *peer)
{
    if (peer->fd >= 0)
        close(peer->fd);
    free(peer->in);
    free(peer->out);
    peer->in = peer->out = NULL;
    peer->in_used = peer->in_size = 0;
    peer->out_sent = peer->out_used = peer->out_size = 0;
    peer->fd = -1;
}

static void make_room(uint8_t **bytes, size_t *size, size_t used, size_t more)
{
    size_t wanted = *size ? *size : 4096;
    while (wanted - used < more)
        wanted *= 2;
    if (wanted == *size)
        return;
    *bytes = realloc(*bytes, wanted);
    if (*bytes == NULL)
        fatal("no memory");
    *size = wanted;
}

uint8_t *peer_room(struct peer *peer, size_t len)
{
    make_room(&peer->out, &peer->out_size, peer->out_used, len);
    uint8_t *start = peer->out + peer->out_used;
    peer->out_used += len;
    return start;
}

void peer_put(struct peer *peer, const char *format, ...)
{
    char line[512];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (len < 0 || (size_t)len >= sizeof line)
        fatal("a line is too long");
    memcpy(peer_room(peer, (size_t)len), line, (size_t)len);
}

bool peer_owes(const struct peer *peer)
{
    return peer->out_sent < peer->out_used;
}

void peer_feed(struct peer *peer, const void *bytes, size_t len)
{
    make_room(&peer->in, &peer->in_size, peer->in_used, len);
    memcpy(peer->in + peer->in_used, bytes, len);
    peer->in_used += len;
}

struct msg_line {
    const char *subject;
    size_t subject_len;
    uint64_t sid, size;
};

/* Digits only, as the server must write them: canonical, so no leading zero. */
static bool read_number(const char **at, const char *end, uint64_t *number)
{
    const char *start = *at;
    *number = 0;
    while (*at < end && **at >= '0' && **at <= '9' && *at - start < 10)
        *number = *number * 10 + (uint64_t)(*(*at)++ - '0');
    return *at > start && (*start != '0' || *at - start == 1);
}

/* "subject sid size", one blank between; the checker never sends a reply subject. */
static bool read_msg_line(const char *at, const char *end, struct msg_line *line)
{
    line->subject = at;
    while (at < end && *at != ' ')
        at++;
    line->subject_len = (size_t)(at - line->subject);
    if (at++ >= end || !read_number(&at, end, &line->sid))
        return false;
    if (at >= end || *at++ != ' ' || !read_number(&at, end, &line->size))
        return false;
    return at == end && line->size <= PAYLOAD_MAX;
}

static bool starts_with(const char *line, size_t len, const char *text)
{
    size_t size = strlen(text);
    return len >= size && memcmp(line, text, size) == 0;
}

/* Anything but MSG. */
static bool take_line(struct peer *peer, const char *line, size_t len)
{
    if (starts_with(line, len, "PONG"))
        peer->pongs++;
    else if (starts_with(line, len, "PING"))
        peer_put(peer, "PONG\r\n");
    else if (starts_with(line, len, "INFO "))
        peer->is_greeted = true;
    else
        return false;
    return true;
}

/* Takes one operation; its length, 0 if it is not all there, -1 if it is none. */
static int64_t parse_one(struct peer *peer, const uint8_t *from, size_t len,
                         struct verdict *verdict)
{
    const char *line = (const char *)from;
    const char *end = memchr(line, '\n', len < LINE_MAX_SIZE ? len : LINE_MAX_SIZE);
    if (end == NULL)
        return len < LINE_MAX_SIZE ? 0 : -1;
    size_t line_len = (size_t)(end + 1 - line);
    if (line_len < 2 || end[-1] != '\r')
        return -1;
    if (!starts_with(line, line_len, "MSG "))
        return take_line(peer, line, line_len) ? (int64_t)line_len : -1;
    struct msg_line msg;
    if (!read_msg_line(line + 4, end - 1, &msg))
        return -1;
    size_t whole = line_len + msg.size + 2;
    if (len < whole)
        return 0;
    if (memcmp(from + whole - 2, "\r\n", 2) != 0)
        return -1;
    judge_message(verdict, &peer->reader, msg.sid, msg.subject, msg.subject_len,
                  from + line_len, msg.size, now_ns());
    return (int64_t)whole;
}

bool peer_parse(struct peer *peer, struct verdict *verdict)
{
    size_t done = 0;
    int64_t step = 1;
    while (step > 0 && done < peer->in_used) {
        step = parse_one(peer, peer->in + done, peer->in_used - done, verdict);
        done += step > 0 ? (size_t)step : 0;
    }
    if (step < 0)
        judge_error(verdict, (const char *)peer->in + done,
                    peer->in_used - done < 80 ? peer->in_used - done : 80);
    if (done > 0)
        memmove(peer->in, peer->in + done, peer->in_used - done);
    peer->in_used -= done;
    return step >= 0;
}

bool peer_receive(struct peer *peer, struct verdict *verdict)
{
    make_room(&peer->in, &peer->in_size, peer->in_used, READ_SIZE);
    ssize_t got = recv(peer->fd, peer->in + peer->in_used, READ_SIZE, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (got <= 0) {
        const char *why = got == 0 ? "the server closed a connection" : strerror(errno);
        judge_error(verdict, why, strlen(why));
        peer_close(peer);
        return false;
    }
    peer->in_used += (size_t)got;
    if (!peer_parse(peer, verdict))
        peer_close(peer);
    return true;
}

bool peer_send(struct peer *peer, struct verdict *verdict)
{
    size_t len = peer->out_used - peer->out_sent;
    ssize_t put = send(peer->fd, peer->out + peer->out_sent, len, MSG_NOSIGNAL);
    if (put < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (put < 0) {
        judge_error(verdict, strerror(errno), strlen(strerror(errno)));
        peer_close(peer);
        return false;
    }
    peer->out_sent += (size_t)put;
    if (!peer_owes(peer))
        peer->out_sent = peer->out_used = 0;
    return put > 0;
}

bool peers_turn(struct peer *const *peers, uint32_t count, struct verdict *verdict,
                int wait_ms)
{
    static struct pollfd polls[8192];
    bool has_moved = false;
    if (count > sizeof polls / sizeof polls[0])
        fatal("too many connections");
    for (uint32_t i = 0; i < count; i++) {
        short events = peer_owes(peers[i]) ? POLLIN | POLLOUT : POLLIN;
        polls[i] = (struct pollfd){peers[i]->fd, events, 0};
    }
    if (poll(polls, count, wait_ms) <= 0)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        if ((polls[i].revents & ~POLLOUT) != 0)
            has_moved |= peer_receive(peers[i], verdict);
        if (peers[i]->fd >= 0 && (polls[i].revents & POLLOUT) != 0 &&
            peer_owes(peers[i]))
            has_moved |= peer_send(peers[i], verdict);
    }
    return has_moved;
}
