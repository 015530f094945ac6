/* load_storm -- connections that come and go, at most CALLERS_MAX of them at once.
 *
 * A caller connects, awaits INFO, sends CONNECT and PING, awaits PONG, says that it
 * will send no more, and is done when the server has closed as well: so the server's
 * part of closing belongs to the measured time, and is proved to happen.
 */
#include "load.h"

#include <errno.h>
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CALLERS_MAX = 64 }; /* below any listen backlog */

struct caller {
    struct link link;
    bool is_greeted;
    bool is_leaving;
};

static struct {
    struct addrinfo *address;
    struct caller callers[CALLERS_MAX];
} storm;

static void call(struct run *run, struct caller *caller)
{
    *caller = (struct caller){
        .link = {.kind = LINK_CALLER, .index = (unsigned)run->taken},
    };
    caller->link.fd = link_connect(run, storm.address);
    if (caller->link.fd >= 0 && link_watch(run, &caller->link, EPOLLIN))
        run->taken++;
}

/* The server has closed; it has to be the last thing it did. */
static void hang_up(struct run *run, struct caller *caller)
{
    if (!caller->is_leaving || caller->link.line_len) {
        run_fail(run, "%s: closed by the server", link_name(&caller->link));
        return;
    }
    close(caller->link.fd);
    run->delivered++;
    if (run->taken < run->expected)
        call(run, caller);
}

static void advance(struct run *run, struct caller *caller)
{
    struct link *link = &caller->link;

    if (link->has_info && !caller->is_greeted) {
        caller->is_greeted = link_greet(run, link);
    } else if (link->pongs && !caller->is_leaving) {
        link_pay_pongs(run, link);
        shutdown(link->fd, SHUT_WR);
        caller->is_leaving = true;
    }
}

static void hear(struct run *run, struct caller *caller)
{
    ssize_t got = recv(caller->link.fd, run->buffer, READ_SIZE, 0);

    if (got < 0)
        run_fail(run, "%s: %s", link_name(&caller->link), strerror(errno));
    else if (got == 0)
        hang_up(run, caller);
    else if (link_take_lines(run, &caller->link, (size_t)got))
        advance(run, caller);
}

static void connect_all(struct run *run)
{
    struct epoll_event events[CALLERS_MAX];

    for (unsigned i = 0; i < CALLERS_MAX && run->taken < run->expected; i++) {
        call(run, &storm.callers[i]);
        if (run->failure_count)
            return;
    }
    while (!run->failure_count && run->delivered < run->expected) {
        int count = epoll_wait(run->epoll, events, CALLERS_MAX, STALL_SECONDS * 1000);

        if (count == 0)
            run_fail(run, "nothing moved for %d s", STALL_SECONDS);
        for (int i = 0; i < count && !run->failure_count; i++)
            hear(run, events[i].data.ptr);
    }
}

void storm_run(struct run *run)
{
    run->expected = run->settings->connects;
    run->epoll = epoll_create1(EPOLL_CLOEXEC);
    storm.address = link_resolve(run);
    if (!storm.address)
        return;
    run_timed(run, connect_all);
    freeaddrinfo(storm.address);
}
