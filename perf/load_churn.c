/* load_churn -- a connection that subscribes and unsubscribes while others publish.
 *
 * Operations go out in slices of a millisecond, so that they are spread evenly at
 * little cost. The subjects are its own: what this shows is what a change of the
 * subscriptions costs the others. A PING now and then, one at a time, and its PONG
 * prove which operations the server has done.
 */
#include "load.h"

#include <stdio.h>
#include <string.h>

enum {
    SUBJECTS = 1000,
    HELD_MAX = 100, /* subscribed at once */
    SLICE_NS = 1000 * 1000,
    PING_NS = 100 * SLICE_NS,
    TEXT_SIZE = 64 * 1024,
    LINE_MAX = 64,
};

static struct {
    struct link link;
    uint64_t subscribed, unsubscribed; /* operations so far; the sid is the count */
    uint64_t pinged;                   /* operations before the last PING */
    uint64_t start_ns, next_ns, next_ping_ns;
    bool is_stopping;
    char text[TEXT_SIZE];
} churn = {.link = {.kind = LINK_CHURNER}};

struct link *churn_link(const struct run *run)
{
    return run->settings->churn ? &churn.link : NULL;
}

void churn_start(struct run *run)
{
    churn.start_ns = run->now_ns;
    churn.next_ping_ns = run->now_ns + PING_NS;
}

static size_t render_operation(char *out)
{
    int size;

    if (churn.subscribed - churn.unsubscribed < HELD_MAX) {
        size = snprintf(out, LINE_MAX, "SUB churn.%u %llu\r\n",
                        (unsigned)(churn.subscribed % SUBJECTS),
                        (unsigned long long)churn.subscribed);
        churn.subscribed++;
    } else {
        size = snprintf(out, LINE_MAX, "UNSUB %llu\r\n",
                        (unsigned long long)churn.unsubscribed);
        churn.unsubscribed++;
    }
    return (size_t)size;
}

/* What is due by now, as far as it has room, and a PING if it is time for one. */
static size_t render(const struct run *run)
{
    double elapsed_ns = (double)(run->now_ns - churn.start_ns);
    uint64_t due = (uint64_t)(elapsed_ns * (double)run->settings->churn / 1e9);
    uint64_t done = churn.subscribed + churn.unsubscribed;
    size_t size = 0;

    for (; !churn.is_stopping && done < due && size < TEXT_SIZE - 2 * LINE_MAX; done++)
        size += render_operation(churn.text + size);
    if (churn.link.pongs == churn.link.pings && done > churn.pinged &&
        (churn.is_stopping || run->now_ns >= churn.next_ping_ns)) {
        size += (size_t)snprintf(churn.text + size, LINE_MAX, "PING\r\n");
        churn.link.pings++;
        churn.pinged = done;
        churn.next_ping_ns = run->now_ns + PING_NS;
    }
    return size;
}

uint64_t churn_serve(struct run *run)
{
    struct link *link = &churn.link;

    if (link->pongs == link->pings)
        run->churned = churn.pinged;
    if (link_write(run, link))
        link_pay_pongs(run, link);
    if (link->left) /* the socket is full; it will have us called again */
        return UINT64_MAX;
    if (run->now_ns < churn.next_ns && !churn.is_stopping)
        return churn.next_ns;
    churn.next_ns = run->now_ns - (run->now_ns - churn.start_ns) % SLICE_NS + SLICE_NS;
    link->at = churn.text;
    link->left = render(run);
    link_write(run, link);
    return churn.next_ns;
}

void churn_stop(struct run *run)
{
    churn.is_stopping = true;
    run->churn_seconds = (double)(run->now_ns - churn.start_ns) / 1e9;
    churn_serve(run);
    while (!run->failure_count &&
           run->churned < churn.subscribed + churn.unsubscribed) {
        run_turn(run, UINT64_MAX);
        churn_serve(run);
    }
}
