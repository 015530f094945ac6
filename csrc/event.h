/* event -- the queue from the engine to Python's control thread.
 *
 * Pushing never waits for Python. CONNECT and INFO events are bounded by the number of
 * connections that may wait for an answer (the reactors see to it); log events are
 * bounded here in bytes, and dropped and counted beyond. The lock is a leaf and is held
 * for a few steps.
 */
#ifndef ND_EVENT_H
#define ND_EVENT_H

#include <stdatomic.h>

#include "nd.h"
#include "sys.h"

enum {
    ND_EVENT_BATCH = 256,     /* events of one callback */
    ND_LOG_LINE = 4 * ND_KIB, /* bytes of one log line at most */
    ND_LOG_QUEUE = ND_MIB     /* bytes of log lines that may wait */
};

struct nd_event_node {
    struct nd_event_node *next;
    struct nd_event event; /* its texts lie behind this record */
    char data[];
};

struct nd_events {
    nd_mutex mutex;
    nd_cond cond;
    struct nd_event_node *first, *last; /* these and all below: under the mutex */
    uint64_t log_bytes;
    bool is_closed;
    _Atomic uint64_t logs_dropped; /* anyone may read */
};

int nd_events_init(struct nd_events *events);
void nd_events_fini(struct nd_events *events);

/* Copies *event* and its texts. */
int nd_events_push(struct nd_events *events, const struct nd_event *event);

/* *prefix* and *text* make one line; what is not printable ASCII is escaped. */
void nd_events_log(struct nd_events *events, enum nd_level level, uint64_t cid,
                   const char *prefix, struct nd_slice text);

/* Waits for events and takes at most ND_EVENT_BATCH; NULL: closed and empty. */
struct nd_event_node *nd_events_take(struct nd_events *events);
void nd_events_close(struct nd_events *events);

#endif
