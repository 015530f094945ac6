#include "event.h"

#include <stdlib.h>

int nd_events_init(struct nd_events *events)
{
    memset(events, 0, sizeof(*events));
    if (nd_mutex_init(&events->mutex) != 0) {
        return ND_ESYS;
    }
    if (nd_cond_init(&events->cond) != 0) {
        nd_mutex_fini(&events->mutex);
        return ND_ESYS;
    }
    return ND_OK;
}

void nd_events_fini(struct nd_events *events)
{
    while (events->first != NULL) {
        struct nd_event_node *node = events->first;
        events->first = node->next;
        free(node);
    }
    nd_cond_fini(&events->cond);
    nd_mutex_fini(&events->mutex);
}

/* Under the mutex; true: whoever waits is to be woken, after it. */
static bool link_node(struct nd_events *events, struct nd_event_node *node)
{
    bool was_empty = events->first == NULL;
    *(events->last != NULL ? &events->last->next : &events->first) = node;
    events->last = node;
    return was_empty;
}

/* Moves *text behind the record; returns where the next one goes. */
static char *copy_text(char *to, const char **text, uint32_t len)
{
    if (len > 0) {
        memcpy(to, *text, len);
        *text = to;
    }
    return to + len;
}

int nd_events_push(struct nd_events *events, const struct nd_event *event)
{
    struct nd_event_node *node =
        malloc(sizeof(*node) + event->text_len + event->prior_len + event->peer_len);
    if (node == NULL) {
        return ND_ENOMEM;
    }
    node->next = NULL;
    node->event = *event;
    char *at = copy_text(node->data, &node->event.text, event->text_len);
    at = copy_text(at, &node->event.prior, event->prior_len);
    copy_text(at, &node->event.peer, event->peer_len);
    nd_mutex_lock(&events->mutex);
    bool was_empty = link_node(events, node);
    nd_mutex_unlock(&events->mutex);
    if (was_empty) {
        nd_cond_signal(&events->cond);
    }
    return ND_OK;
}

/* Copies as printable ASCII; returns how far *to* was filled. */
static size_t escape(char *to, size_t at, size_t cap, struct nd_slice text)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < text.len && at + 4 <= cap; i++) {
        uint8_t c = text.ptr[i];
        if (c >= 0x20 && c < 0x7f) {
            to[at++] = (char)c;
        } else {
            to[at++] = '\\';
            to[at++] = 'x';
            to[at++] = digits[c >> 4];
            to[at++] = digits[c & 15];
        }
    }
    return at;
}

void nd_events_log(struct nd_events *events, enum nd_level level, uint64_t cid,
                   const char *prefix, struct nd_slice text)
{
    struct nd_slice head = nd_slice(prefix, strlen(prefix));
    size_t cap = ND_MIN((head.len + text.len) * 4 + 4, (size_t)ND_LOG_LINE);
    struct nd_event_node *node = malloc(sizeof(*node) + cap);
    if (node == NULL) {
        atomic_fetch_add_explicit(&events->logs_dropped, 1, memory_order_relaxed);
        return;
    }
    size_t len = escape(node->data, 0, cap, head);
    len = escape(node->data, len, cap, text);
    node->next = NULL;
    node->event = (struct nd_event){.kind = ND_EV_LOG,
                                    .level = level,
                                    .cid = cid,
                                    .text = node->data,
                                    .text_len = (uint32_t)len};
    nd_mutex_lock(&events->mutex);
    bool has_room = events->log_bytes + len <= ND_LOG_QUEUE;
    bool was_empty = false;
    if (has_room) {
        events->log_bytes += len;
        was_empty = link_node(events, node);
    }
    nd_mutex_unlock(&events->mutex);
    if (was_empty) {
        nd_cond_signal(&events->cond);
    }
    if (!has_room) {
        free(node);
        atomic_fetch_add_explicit(&events->logs_dropped, 1, memory_order_relaxed);
    }
}

struct nd_event_node *nd_events_take(struct nd_events *events)
{
    nd_mutex_lock(&events->mutex);
    while (events->first == NULL && !events->is_closed) {
        nd_cond_wait(&events->cond, &events->mutex);
    }
    struct nd_event_node *first = events->first;
    struct nd_event_node *last = NULL;
    struct nd_event_node *node = first;
    for (int n = 0; node != NULL && n < ND_EVENT_BATCH; n++, node = node->next) {
        if (node->event.kind == ND_EV_LOG) {
            events->log_bytes -= node->event.text_len;
        }
        last = node;
    }
    events->first = node;
    if (node == NULL) {
        events->last = NULL;
    }
    if (last != NULL) {
        last->next = NULL;
    }
    nd_mutex_unlock(&events->mutex);
    return first;
}

void nd_events_close(struct nd_events *events)
{
    nd_mutex_lock(&events->mutex);
    events->is_closed = true;
    nd_cond_signal(&events->cond);
    nd_mutex_unlock(&events->mutex);
}
