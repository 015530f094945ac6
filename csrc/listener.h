/* listener -- where connections arrive, and how they are dealt to the reactors.
 *
 * Reactor 0 accepts. One counter gives every connection its id, and id % reactors is
 * the owner for life, so dealing is round-robin and anyone can address a connection by
 * its id. Listeners are level-triggered: what one turn leaves, the next finds again.
 * Without descriptors, or with too many CONNECTs unanswered, accepting pauses for a
 * moment and arrivals wait in the kernel.
 */
#ifndef ND_LISTENER_H
#define ND_LISTENER_H

#include "conn.h"
#include "nd.h"

struct nd_reactor;

struct nd_listener {
    enum nd_source source; /* must be first */
    int fd;
    struct nd_listener *next;
};

void nd_listener_open(struct nd_reactor *reactor, int fd); /* takes the socket */
void nd_listener_accept(struct nd_reactor *reactor, struct nd_listener *listener);

/* The owner's end of dealing. *is_surplus*: over max_connections; told so and closed.
 */
void nd_listener_adopt(struct nd_reactor *reactor, int fd, uint64_t cid,
                       bool is_surplus);

void nd_listeners_resume(struct nd_reactor *reactor); /* timer: the pause is over */
void nd_listeners_close(struct nd_reactor *reactor);

#endif
