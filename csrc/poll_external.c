/* The poller that does not poll: whoever steps the reactor (pollers.py, a test) learns
 * what to watch from nd_poll_wants and says what is ready through nd_poll_feed. Its
 * readiness is level-triggered, so interest is dropped while a reader is paused. */
#include "poll.h"

#include <stdlib.h>

struct watch { /* of one descriptor, at its number */
    void *who; /* NULL = free */
    bool readable, writable;
    bool changed; /* since the last nd_poll_wants */
};

struct nd_poll {
    struct watch *watches;
    int capacity;
    int changed_count;
    struct nd_poll_event events[ND_POLL_BATCH]; /* fed, not yet waited for */
    int event_count;
};

const char *nd_poller_name(void)
{
    return "external";
}

struct nd_poll *nd_poll_open(void)
{
    return calloc(1, sizeof(struct nd_poll));
}

void nd_poll_close(struct nd_poll *poll)
{
    free(poll->watches);
    free(poll);
}

static void mark_changed(struct nd_poll *poll, struct watch *watch)
{
    poll->changed_count += !watch->changed;
    watch->changed = true;
}

int nd_poll_add(struct nd_poll *poll, int fd, void *who)
{
    if (fd >= poll->capacity) {
        int capacity = ND_MAX(fd + 1, poll->capacity * 2);
        struct watch *watches =
            realloc(poll->watches, (size_t)capacity * sizeof(*watches));
        if (watches == NULL) {
            return ND_ENOMEM;
        }
        memset(watches + poll->capacity, 0,
               (size_t)(capacity - poll->capacity) * sizeof(*watches));
        poll->watches = watches;
        poll->capacity = capacity;
    }
    struct watch *watch = &poll->watches[fd];
    watch->who = who;
    watch->readable = true;
    watch->writable = false;
    mark_changed(poll, watch);
    return ND_OK;
}

int nd_poll_add_level(struct nd_poll *poll, int fd, void *who)
{
    return nd_poll_add(poll, fd, who);
}

void nd_poll_forget(struct nd_poll *poll, int fd)
{
    struct watch *watch = &poll->watches[fd];
    watch->who = NULL;
    watch->readable = watch->writable = false;
    mark_changed(poll, watch);
}

void nd_poll_want(struct nd_poll *poll, int fd, bool readable, bool writable)
{
    struct watch *watch = &poll->watches[fd];
    if (watch->readable != readable || watch->writable != writable) {
        watch->readable = readable;
        watch->writable = writable;
        mark_changed(poll, watch);
    }
}

int nd_poll_wait(struct nd_poll *poll, int64_t timeout_ms, struct nd_poll_event *events)
{
    (void)timeout_ms;
    int count = poll->event_count;
    memcpy(events, poll->events, (size_t)count * sizeof(*events));
    poll->event_count = 0;
    return count;
}

/* Readiness is level-triggered: what a short read leaves, an end of stream included, is
 * reported again. So nothing is ever "ending" here. */
int nd_poll_feed(struct nd_poll *poll, const struct nd_ready *ready, int32_t count)
{
    poll->event_count = 0;
    for (int32_t i = 0; i < count && poll->event_count < ND_POLL_BATCH; i++) {
        int fd = ready[i].fd;
        if (fd < 0 || fd >= poll->capacity || poll->watches[fd].who == NULL) {
            continue; /* forgotten since it was reported */
        }
        poll->events[poll->event_count++] = (struct nd_poll_event){
            .who = poll->watches[fd].who,
            .readable = ready[i].readable,
            .writable = ready[i].writable,
        };
    }
    return ND_OK;
}

int32_t nd_poll_wants(struct nd_poll *poll, struct nd_want *wants, int32_t capacity)
{
    int32_t n = 0;
    for (int fd = 0; poll->changed_count > 0 && fd < poll->capacity && n < capacity;
         fd++) {
        struct watch *watch = &poll->watches[fd];
        if (watch->changed) {
            watch->changed = false;
            poll->changed_count--;
            wants[n++] = (struct nd_want){fd, watch->readable, watch->writable};
        }
    }
    return n;
}
