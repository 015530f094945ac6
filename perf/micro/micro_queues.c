/* micro_queues -- output buffer, mail, timers and events; see micro.h. */
#include <stdlib.h>

#include "event.h"
#include "mailbox.h"
#include "mem.h"
#include "micro.h"
#include "outbuf.h"
#include "timer.h"

enum {
    OWED_MAX = 64 * ND_KIB, /* consumed at once */
    PARCEL_SIZE = 128,      /* bytes: about what a small message takes */
    TIMERS = 1000,          /* that run beside one another */
    TIMER_STRIDE = 7,       /* so that it is not always the first that is stopped */
    KIND = 1,               /* of parcels; nobody looks */
    EVENT_TEXT = 60         /* bytes */
};

/* ---- output buffer ---- */

static struct nd_outbuf out;
static struct nd_pool pool;
static struct nd_blob *blob;
static size_t append_len;

static void out_begin(const struct bench *bench)
{
    append_len = bench->size;
    blob = nd_blob_new(64 * ND_KIB);
    must(blob != NULL, "no memory");
    memset(blob->data, 'x', blob->cap);
    nd_outbuf_init(&out);
}

static void out_end(void)
{
    nd_outbuf_fini(&out, &pool);
    nd_pool_fini(&pool);
    nd_blob_release(blob);
}

static void append_run(uint64_t count)
{
    for (; count > 0; count--) {
        struct nd_slice bytes = nd_slice(opaque(blob->data), append_len);
        must(nd_outbuf_append(&out, &pool, bytes) == ND_OK, "no memory");
        if (nd_unlikely(out.pending >= OWED_MAX))
            nd_outbuf_consume(&out, &pool, out.pending);
    }
}

static void append_ref_run(uint64_t count)
{
    for (; count > 0; count--) {
        struct nd_slice bytes = nd_slice(opaque(blob->data), append_len);
        must(nd_outbuf_append_ref(&out, blob, bytes) == ND_OK, "no memory");
        nd_outbuf_consume(&out, &pool, out.pending);
    }
}

/* ---- mail, from one thread to itself ---- */

static struct nd_inbox inbox;
static struct nd_outbox outbox;
static uint64_t batch;

static void mail_begin(const struct bench *bench)
{
    batch = bench->size;
    must(nd_inbox_init(&inbox) == ND_OK, "no inbox");
}

static void mail_end(void)
{
    nd_inbox_fini(&inbox);
}

static void push_batch(void)
{
    for (uint64_t i = 0; i < batch; i++) {
        struct nd_parcel *parcel = nd_outbox_push(&outbox, KIND, PARCEL_SIZE);
        must(parcel != NULL, "no memory");
    }
    nd_outbox_post(&outbox, &inbox);
}

static uint64_t take_batch(void)
{
    uint64_t taken = 0;
    struct nd_page *page = nd_inbox_take(&inbox);
    while (page != NULL) {
        struct nd_page *next = page->next;
        struct nd_parcel *parcel = nd_page_at(page, 0);
        for (; parcel != NULL; parcel = nd_page_next(page, parcel))
            taken += parcel->kind;
        nd_page_free(page);
        page = next;
    }
    return taken;
}

static void mail_run(uint64_t count)
{
    for (; count > 0; count--) {
        push_batch();
        must(take_batch() == batch * KIND, "mail was lost");
    }
}

/* ---- timers ---- */

static struct nd_timers timers;
static struct nd_timer running[TIMERS];
static uint64_t now_ms, turn;

static void timer_begin(const struct bench *bench)
{
    (void)bench;
    nd_timers_init(&timers, 1000);
    memset(running, 0, sizeof(running));
    for (int i = 0; i < TIMERS; i++)
        nd_timer_start(&timers, &running[i], now_ms);
}

static void timer_run(uint64_t count)
{
    for (; count > 0; count--) {
        turn = (turn + TIMER_STRIDE) % TIMERS;
        nd_timer_stop(&timers, &running[turn]);
        nd_timer_start(&timers, &running[turn], now_ms++);
        keep((uintptr_t)timers.last);
    }
}

/* ---- events ---- */

static struct nd_events events;

static void event_begin(const struct bench *bench)
{
    (void)bench;
    must(nd_events_init(&events) == ND_OK, "no event queue");
}

static void event_end(void)
{
    nd_events_fini(&events);
}

static void take_events(void)
{
    struct nd_event_node *node = nd_events_take(&events);
    while (node != NULL) {
        struct nd_event_node *next = node->next;
        free(node);
        node = next;
    }
}

static void event_run(uint64_t count)
{
    static const char text[EVENT_TEXT] = "CONNECT {}";
    struct nd_event event = {.kind = ND_EV_CONNECT, .text = text};
    event.text_len = sizeof(text);
    for (uint64_t i = 1; i <= count; i++) {
        must(nd_events_push(&events, &event) == ND_OK, "no memory");
        if (i % ND_EVENT_BATCH == 0 || i == count)
            take_events();
    }
}

#define QUEUE(title, part, what, count)                                             \
    {                                                                               \
        .name = title, .begin = part##_begin, .run = what##_run, .end = part##_end, \
        .size = count                                                               \
    }

const struct bench queue_benches[] = {
    QUEUE("append 16 bytes", out, append, 16),
    QUEUE("append 128 bytes", out, append, 128),
    QUEUE("append 1 KiB", out, append, ND_KIB),
    QUEUE("append 64 KiB by reference", out, append_ref, 64 * ND_KIB),
    QUEUE("mail, a batch of 1", mail, mail, 1),
    QUEUE("mail, a batch of 64", mail, mail, 64),
    {.name = "timer stop and start", .begin = timer_begin, .run = timer_run},
    QUEUE("event push and take", event, event, 0),
    {.name = NULL},
};
