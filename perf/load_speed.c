/* load_speed -- blocks and records of equal length: count and framing.
 *
 * All payloads have one size, and subjects and sids one length, so the n-th record of
 * a subscriber starts n * msg_record bytes into its messages. Of every record the MSG
 * line up to the first digit that varies, its end, and the CRLF behind the payload are
 * compared; of the first whole one in a read, and of every record that a read cuts,
 * the varying digits too.
 *
 * With a rate, a payload begins with the number of its message in the run (8 bytes, in
 * the byte order of this machine), which says when it was due.
 */
#include "load.h"

#include <stdio.h>
#include <string.h>

enum {
    SHOWN_SIZE = 40,          /* bytes of a bad record, for the message */
    STAMPED_SIZE = 32 * 1024, /* a publisher with a rate writes about this at once */
};

static void render_block(struct run *run, struct publisher *publisher)
{
    const struct settings *settings = run->settings;
    size_t payload = settings->sizes[0].max;
    char *at = publisher->block;

    for (size_t i = 0; i < run->block_count; i++) {
        unsigned subject = subject_of(run, publisher->link.index, i);
        char name[HEAD_MAX];

        subject_render(name, sizeof(name), settings, subject);
        at += sprintf(at, "PUB %s %zu\r\n", name, payload);
        memset(at, 'x', payload);
        at += payload;
        memcpy(at, "\r\n", 2);
        at += 2;
    }
}

static void prepare_publishers(struct run *run)
{
    const struct settings *settings = run->settings;
    size_t payload = settings->sizes[0].max;
    char name[HEAD_MAX];
    size_t cycle;

    subject_render(name, sizeof(name), settings, 0);
    run->pub_record =
        (size_t)snprintf(NULL, 0, "PUB %s %zu\r\n", name, payload) + payload + 2;
    cycle = settings->pairs ? 1 : settings->subjects;
    run->block_count = (BLOCK_SIZE / run->pub_record / cycle + 1) * cycle;
    for (unsigned i = 0; i < settings->publishers; i++) {
        struct publisher *publisher = &run->publishers[i];

        if (settings->rate > 0)
            publisher->stamped = must_alloc(1, STAMPED_SIZE + run->pub_record);
        if (i > 0 && !settings->pairs) {
            publisher->block = run->publishers[0].block;
            continue;
        }
        /* One byte more for the NUL that sprintf leaves. */
        publisher->block = must_alloc(1, run->block_count * run->pub_record + 1);
        render_block(run, publisher);
    }
}

/* A subscriber of one subject knows its digits; another one knows where they are. */
static void prepare_subscriber(struct run *run, struct subscriber *subscriber)
{
    const struct settings *settings = run->settings;
    unsigned subject = settings->pairs ? subscriber->link.index : 0;
    size_t digits = (size_t)subject_digits(settings);
    size_t payload = settings->sizes[0].max;
    char name[HEAD_MAX / 3];
    char sid[HEAD_MAX / 3];
    size_t name_end = strlen("MSG ");

    name_end += (size_t)subject_render(name, sizeof(name), settings, subject);
    sid_render(sid, sizeof(sid), settings, subject);
    run->msg_head = (size_t)snprintf(subscriber->head, HEAD_MAX, "MSG %s %s %zu\r\n",
                                     name, sid, payload);
    run->msg_record = run->msg_head + payload + 2;
    if (settings->subjects > 1 && !settings->pairs)
        memset(subscriber->head + name_end - digits, 0, digits);
    if (has_many_sids(settings))
        memset(subscriber->head + name_end + strlen(" 1"), 0, digits);
}

static void prepare(struct run *run)
{
    prepare_publishers(run);
    for (unsigned i = 0; i < run->settings->subscribers; i++)
        prepare_subscriber(run, &run->subscribers[i]);
    for (unsigned i = 0; run->has_latencies && i < run->settings->subscribers; i++)
        run->subscribers[i].next_count =
            must_alloc(run->settings->publishers, sizeof(uint64_t));
}

static uint64_t fill_stamped(struct run *run, struct publisher *publisher,
                             uint64_t max_count)
{
    size_t payload_at = run->pub_record - 2 - run->settings->sizes[0].max;
    char *at = publisher->stamped;
    uint64_t count = 0;

    for (; count < max_count && at - publisher->stamped < STAMPED_SIZE; count++) {
        uint64_t number =
            schedule_number(run, publisher->link.index, publisher->taken + count);

        memcpy(at, publisher->block + publisher->block_pos * run->pub_record,
               run->pub_record);
        memcpy(at + payload_at, &number, sizeof(number));
        publisher->block_pos = (publisher->block_pos + 1) % run->block_count;
        at += run->pub_record;
    }
    publisher->link.at = publisher->stamped;
    publisher->link.left = (size_t)(at - publisher->stamped);
    return count;
}

static uint64_t fill(struct run *run, struct publisher *publisher, uint64_t max_count)
{
    uint64_t count = run->block_count - publisher->block_pos;

    if (run->settings->rate > 0)
        return fill_stamped(run, publisher, max_count);
    if (count > max_count)
        count = max_count;
    publisher->link.at = publisher->block + publisher->block_pos * run->pub_record;
    publisher->link.left = count * run->pub_record;
    publisher->block_pos = (publisher->block_pos + count) % run->block_count;
    return count;
}

/* data holds bytes from..to of a record. */
static bool has_framing(const struct run *run, const struct subscriber *subscriber,
                        const char *data, size_t from, size_t to)
{
    size_t ending = run->msg_record - 2;

    for (size_t i = from; i < to && i < run->msg_head; i++) {
        char want = subscriber->head[i];
        char got = data[i - from];

        if (want ? got != want : got < '0' || got > '9')
            return false;
    }
    for (size_t i = from > ending ? from : ending; i < to; i++) {
        if (data[i - from] != "\r\n"[i - ending])
            return false;
    }
    return true;
}

/* Bytes from..to of a record are here: keep those of the stamp. */
static void keep_stamp(const struct run *run, struct subscriber *subscriber,
                       const char *data, size_t from, size_t to)
{
    for (size_t i = 0; i < sizeof(subscriber->stamp); i++) {
        size_t at = run->msg_head + i;

        if (at >= from && at < to)
            subscriber->stamp[i] = data[at - from];
    }
}

/* A whole message is here. False: it is not the next of its publisher; in a queue
 * group, not a later one. */
static bool note_arrival(struct run *run, struct subscriber *subscriber,
                         const char *stamp)
{
    unsigned publishers = run->settings->publishers;
    uint64_t number, due_ns, n;
    uint64_t *next;

    memcpy(&number, stamp, sizeof(number));
    if (number >= run->schedule.due_count)
        return false;
    n = number / publishers;
    next = &subscriber->next_count[number % publishers];
    if (run->settings->queue ? n < *next : n != *next)
        return false;
    *next = n + 1;
    due_ns = schedule_due_ns(run, number);
    latency_add(&run->latencies, run->now_ns > due_ns ? run->now_ns - due_ns : 0);
    return true;
}

/* Hop over whole records; stops before the first that does not look like one. */
static size_t hop(struct run *run, struct subscriber *subscriber, const char *data,
                  size_t size)
{
    size_t record = run->msg_record;
    size_t line_end = run->msg_head - 4;
    size_t sure = strlen(subscriber->head);
    size_t at = 0;

    while (size - at >= record) {
        const char *start = data + at;

        if (memcmp(start, subscriber->head, sure) != 0 ||
            memcmp(start + line_end, subscriber->head + line_end, 4) != 0 ||
            memcmp(start + record - 2, "\r\n", 2) != 0)
            break;
        if (run->has_latencies && !note_arrival(run, subscriber, start + run->msg_head))
            break;
        at += record;
    }
    return at;
}

static size_t take(struct run *run, struct subscriber *subscriber, const char *data,
                   size_t size)
{
    size_t from = subscriber->offset;
    size_t missing = run->msg_record - from;
    size_t used = size < missing ? size : missing;
    bool is_whole = used == missing;
    bool is_good = has_framing(run, subscriber, data, from, from + used);
    size_t hopped;

    if (run->has_latencies) {
        keep_stamp(run, subscriber, data, from, from + used);
        if (is_good && is_whole)
            is_good = note_arrival(run, subscriber, subscriber->stamp);
    }
    if (!is_good) {
        run_fail(run, "%s: bad framing or order in message %llu near: %.*s",
                 link_name(&subscriber->link), (unsigned long long)subscriber->received,
                 (int)(used < SHOWN_SIZE ? used : SHOWN_SIZE), data);
        return 0;
    }
    subscriber->offset += used;
    if (!is_whole)
        return used;
    hopped = hop(run, subscriber, data + used, size - used);
    subscriber->offset = 0;
    subscriber->received += 1 + hopped / run->msg_record;
    run->delivered += 1 + hopped / run->msg_record;
    return used + hopped;
}

const struct mode speed_mode = {prepare, fill, take};
