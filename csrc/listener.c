#include "listener.h"

#include <stdlib.h>

#include "reactor.h"

void nd_listener_adopt(struct nd_reactor *reactor, int fd, uint64_t cid,
                       bool is_surplus)
{
    struct nd_conn *conn;
    if (nd_conn_adopt(reactor, fd, cid, &conn) != ND_OK) {
        atomic_fetch_sub(&reactor->engine->connections, !is_surplus);
    } else if (is_surplus) {
        conn->is_surplus = true;
        nd_conn_fail(conn, ND_LIT("maximum connections exceeded"));
    }
}

/* Gives the connection its id, and with it its owner. */
static void deal(struct nd_reactor *reactor, int fd)
{
    struct nd_engine *engine = reactor->engine;
    uint64_t cid = nd_engine_next_cid(engine);
    uint32_t owner = (uint32_t)(cid % engine->reactor_count);
    uint64_t open = atomic_fetch_add(&engine->connections, 1) + 1;
    uint32_t max = reactor->settings->options.max_connections;
    bool is_surplus = max > 0 && open > max;
    atomic_fetch_sub(&engine->connections, is_surplus);
    atomic_fetch_add_explicit(&engine->total_connections, 1, memory_order_relaxed);
    if (owner == reactor->index) {
        nd_listener_adopt(reactor, fd, cid, is_surplus);
        return;
    }
    struct nd_mail_socket *mail =
        nd_outbox_push(&reactor->outboxes[owner], ND_MAIL_ADOPT, sizeof(*mail));
    if (mail == NULL) {
        atomic_fetch_sub(&engine->connections, !is_surplus);
        nd_sys_close(fd);
        return;
    }
    mail->cid = cid;
    mail->fd = fd;
    mail->is_surplus = is_surplus;
}

static void pause_accepting(struct nd_reactor *reactor)
{
    for (struct nd_listener *l = reactor->listeners; l != NULL; l = l->next) {
        nd_poll_forget(reactor->poll, l->fd);
    }
    nd_timer_start(&reactor->accept, &reactor->accept_pause, reactor->now_ms);
}

void nd_listeners_resume(struct nd_reactor *reactor)
{
    bool is_short = false;
    for (struct nd_listener *l = reactor->listeners; l != NULL; l = l->next) {
        is_short |= nd_poll_add_level(reactor->poll, l->fd, l) != ND_OK;
    }
    if (is_short) {
        pause_accepting(reactor);
    }
}

void nd_listener_accept(struct nd_reactor *reactor, struct nd_listener *listener)
{
    for (int i = 0; i < ND_ACCEPT_BATCH; i++) {
        if (atomic_load(&reactor->engine->unanswered) >= ND_CONNECTS_MAX) {
            pause_accepting(reactor);
            return;
        }
        int fd = nd_sys_accept(listener->fd);
        if (fd >= 0) {
            deal(reactor, fd);
        } else if (nd_sys_is_shortage(fd)) {
            pause_accepting(reactor);
            return;
        } else if (fd == ND_AGAIN) {
            return;
        }
    }
}

void nd_listener_open(struct nd_reactor *reactor, int fd)
{
    struct nd_listener *listener = malloc(sizeof(*listener));
    if (listener == NULL || nd_sys_prepare_socket(fd) != 0) {
        free(listener);
        nd_sys_close(fd);
        return;
    }
    *listener = (struct nd_listener){ND_SOURCE_LISTENER, fd, reactor->listeners};
    reactor->listeners = listener;
    if (!nd_timer_is_running(&reactor->accept_pause) &&
        nd_poll_add_level(reactor->poll, fd, listener) != ND_OK) {
        pause_accepting(reactor);
    }
}

void nd_listeners_close(struct nd_reactor *reactor)
{
    while (reactor->listeners != NULL) {
        struct nd_listener *listener = reactor->listeners;
        reactor->listeners = listener->next;
        if (!nd_timer_is_running(&reactor->accept_pause)) {
            nd_poll_forget(reactor->poll, listener->fd);
        }
        nd_sys_close(listener->fd);
        free(listener);
    }
    nd_timer_stop(&reactor->accept, &reactor->accept_pause);
}
