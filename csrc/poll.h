/* poll -- the contract that poll_epoll.c and poll_external.c fulfil.
 *
 * Connections are registered once, edge-triggered, for both directions: the poller says
 * "became readable" once, and the reactor keeps a connection with unread bytes on its
 * ready list. Listeners and bells are level-triggered and watched for reading only.
 * One poller for each reactor; its thread only.
 */
#ifndef ND_POLL_H
#define ND_POLL_H

#include "nd.h"

enum { ND_POLL_BATCH = 256 }; /* events of one wait */

struct nd_poll;

struct nd_poll_event {
    void *who; /* as given to add */
    bool readable;
    bool writable;
    bool is_ending; /* end of stream or an error: a short read does not end reading */
};

struct nd_poll *nd_poll_open(void); /* NULL: no memory or no descriptor */
void nd_poll_close(struct nd_poll *poll);

int nd_poll_add(struct nd_poll *poll, int fd, void *who);       /* a connection */
int nd_poll_add_level(struct nd_poll *poll, int fd, void *who); /* a listener, a bell */
void nd_poll_forget(struct nd_poll *poll, int fd); /* before the descriptor is closed */

/* What a connection is waiting for. Edge-triggered pollers need not be told. */
void nd_poll_want(struct nd_poll *poll, int fd, bool readable, bool writable);

/* Waits up to *timeout_ms* (-1 = for ever) and returns how many events came, at most
 * ND_POLL_BATCH; interrupted or failed: 0. */
int nd_poll_wait(struct nd_poll *poll, int64_t timeout_ms,
                 struct nd_poll_event *events);

/* The external poller's two doors; ND_ESTATE with the others. */
int nd_poll_feed(struct nd_poll *poll, const struct nd_ready *ready, int32_t count);
int32_t nd_poll_wants(struct nd_poll *poll, struct nd_want *wants, int32_t capacity);

#endif
