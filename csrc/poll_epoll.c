#include "poll.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

struct nd_poll {
    int fd;
    struct epoll_event events[ND_POLL_BATCH];
};

const char *nd_poller_name(void)
{
    return "epoll";
}

struct nd_poll *nd_poll_open(void)
{
    struct nd_poll *poll = calloc(1, sizeof(*poll));
    if (poll == NULL) {
        return NULL;
    }
    poll->fd = epoll_create1(EPOLL_CLOEXEC);
    if (poll->fd < 0) {
        free(poll);
        return NULL;
    }
    return poll;
}

void nd_poll_close(struct nd_poll *poll)
{
    close(poll->fd);
    free(poll);
}

static int add(struct nd_poll *poll, int fd, void *who, uint32_t mask)
{
    struct epoll_event event = {.events = mask, .data = {.ptr = who}};
    return epoll_ctl(poll->fd, EPOLL_CTL_ADD, fd, &event) == 0 ? ND_OK : ND_ESYS;
}

int nd_poll_add(struct nd_poll *poll, int fd, void *who)
{
    return add(poll, fd, who, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
}

int nd_poll_add_level(struct nd_poll *poll, int fd, void *who)
{
    return add(poll, fd, who, EPOLLIN);
}

void nd_poll_forget(struct nd_poll *poll, int fd)
{
    epoll_ctl(poll->fd, EPOLL_CTL_DEL, fd, NULL);
}

void nd_poll_want(struct nd_poll *poll, int fd, bool readable, bool writable)
{
    (void)poll, (void)fd, (void)readable, (void)writable;
}

int nd_poll_wait(struct nd_poll *poll, int64_t timeout_ms, struct nd_poll_event *events)
{
    int timeout = timeout_ms > INT32_MAX ? INT32_MAX : (int)timeout_ms;
    int count = epoll_wait(poll->fd, poll->events, ND_POLL_BATCH, timeout);
    for (int i = 0; i < count; i++) {
        uint32_t mask = poll->events[i].events;
        bool is_ending = (mask & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
        events[i] = (struct nd_poll_event){
            .who = poll->events[i].data.ptr,
            .readable = is_ending || (mask & EPOLLIN) != 0,
            .writable = (mask & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0,
            .is_ending = is_ending,
        };
    }
    return count > 0 ? count : 0;
}

int nd_poll_feed(struct nd_poll *poll, const struct nd_ready *ready, int32_t count)
{
    (void)poll, (void)ready;
    return count == 0 ? ND_OK : ND_ESTATE;
}

int32_t nd_poll_wants(struct nd_poll *poll, struct nd_want *wants, int32_t capacity)
{
    (void)poll, (void)wants, (void)capacity;
    return ND_ESTATE;
}
