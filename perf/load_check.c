/* load_check -- records of any length: order, checksum, headers byte for byte.
 *
 * A payload is: publisher (4 bytes), checksum of all the rest (4), sequence number
 * (8), filler. It is written and read on one machine, so in its own byte order. The
 * filler is random, CR LF and NUL included. The sequence number says which subject the
 * message was published to, so a misrouted message is found too.
 */
#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct stamp {
    uint32_t publisher, checksum;
    uint64_t sequence;
};

/* FNV-1a over the payload with its checksum taken as zero. */
static uint32_t checksum_of(const char *payload, size_t size)
{
    struct stamp stamp;
    uint32_t sum = 2166136261u;

    memcpy(&stamp, payload, sizeof(stamp));
    stamp.checksum = 0;
    for (size_t i = 0; i < sizeof(stamp); i++)
        sum = (sum ^ ((const unsigned char *)&stamp)[i]) * 16777619u;
    for (size_t i = sizeof(stamp); i < size; i++)
        sum = (sum ^ (unsigned char)payload[i]) * 16777619u;
    return sum;
}

static size_t largest_payload(const struct settings *settings)
{
    size_t largest = 0;

    for (unsigned i = 0; i < settings->size_count; i++) {
        if (settings->sizes[i].max > largest)
            largest = settings->sizes[i].max;
    }
    return largest;
}

static void prepare(struct run *run)
{
    const struct settings *settings = run->settings;
    size_t record = HEAD_MAX + largest_payload(settings) + 2;

    run->pub_record = record;
    for (unsigned i = 0; i < settings->publishers; i++) {
        run->publishers[i].random = i;
        run->publishers[i].block = must_alloc(1, BLOCK_SIZE + record);
    }
    for (unsigned i = 0; i < settings->subscribers; i++) {
        run->subscribers[i].held = must_alloc(1, record);
        run->subscribers[i].next_count =
            must_alloc(settings->publishers, sizeof(uint64_t));
    }
    if (settings->queue)
        run->seen = must_alloc(settings->publishers * settings->messages / 64 + 1,
                               sizeof(uint64_t));
}

static size_t pick_size(const struct settings *settings, uint64_t *random)
{
    const struct range *range =
        &settings->sizes[next_random(random) % settings->size_count];

    return range->min + next_random(random) % (range->max - range->min + 1);
}

static char *render_record(const struct run *run, struct publisher *publisher,
                           uint64_t sequence, char *at)
{
    const struct settings *settings = run->settings;
    struct stamp stamp = {.publisher = publisher->link.index, .sequence = sequence};
    size_t size = pick_size(settings, &publisher->random);
    char name[HEAD_MAX];

    subject_render(name, sizeof(name), settings,
                   subject_of(run, stamp.publisher, sequence));
    at += sprintf(at, "PUB %s %zu\r\n", name, size);
    for (size_t i = sizeof(stamp); i < size; i += sizeof(uint64_t)) {
        uint64_t word = next_random(&publisher->random);
        size_t rest = size - i;

        memcpy(at + i, &word, rest < sizeof(word) ? rest : sizeof(word));
    }
    memcpy(at, &stamp, sizeof(stamp));
    stamp.checksum = checksum_of(at, size);
    memcpy(at, &stamp, sizeof(stamp));
    memcpy(at + size, "\r\n", 2);
    return at + size + 2;
}

static uint64_t fill(struct run *run, struct publisher *publisher, uint64_t max_count)
{
    char *at = publisher->block;
    uint64_t count = 0;

    while (count < max_count && at - publisher->block < BLOCK_SIZE) {
        at = render_record(run, publisher, publisher->taken + count, at);
        count++;
    }
    publisher->link.at = publisher->block;
    publisher->link.left = (size_t)(at - publisher->block);
    return count;
}

/* Exactly the next one; in a queue group, a later one that nobody had yet. */
static bool is_in_order(struct run *run, struct subscriber *subscriber,
                        const struct stamp *stamp)
{
    uint64_t *next = &subscriber->next_count[stamp->publisher];
    uint64_t wanted = *next;

    *next = stamp->sequence + 1;
    if (run->settings->queue) {
        uint64_t n = stamp->publisher * run->settings->messages + stamp->sequence;
        uint64_t bit = (uint64_t)1 << (n % 64);
        bool is_new = !(run->seen[n / 64] & bit);

        run->seen[n / 64] |= bit;
        return is_new && stamp->sequence >= wanted;
    }
    return stamp->sequence == wanted;
}

static const char *verify(struct run *run, struct subscriber *subscriber)
{
    const struct settings *settings = run->settings;
    const char *payload = subscriber->held + subscriber->held_head;
    size_t size = subscriber->held_size - subscriber->held_head - 2;
    char name[HEAD_MAX / 3];
    char sid[HEAD_MAX / 3];
    char head[HEAD_MAX];
    struct stamp stamp;
    unsigned subject;

    memcpy(&stamp, payload, sizeof(stamp));
    if (stamp.checksum != checksum_of(payload, size))
        return "checksum";
    if (stamp.publisher >= settings->publishers ||
        stamp.sequence >= run->publishers[stamp.publisher].taken)
        return "sequence number out of range";
    subject = subject_of(run, stamp.publisher, stamp.sequence);
    subject_render(name, sizeof(name), settings, subject);
    sid_render(sid, sizeof(sid), settings, subject);
    snprintf(head, sizeof(head), "MSG %s %s %zu\r\n", name, sid, size);
    if (strlen(head) != subscriber->held_head ||
        memcmp(head, subscriber->held, subscriber->held_head) != 0)
        return "MSG line";
    if (memcmp(payload + size, "\r\n", 2) != 0)
        return "end of payload";
    return is_in_order(run, subscriber, &stamp) ? NULL : "order";
}

/* The MSG line is whole: how long will the record be? False: no size of ours. */
static bool read_size(struct run *run, struct subscriber *subscriber)
{
    const char *last_space;
    size_t size;

    subscriber->held[subscriber->offset] = '\0';
    last_space = strrchr(subscriber->held, ' ');
    size = last_space ? strtoul(last_space, NULL, 10) : 0;
    if (size < sizeof(struct stamp) || size > largest_payload(run->settings))
        return false;
    subscriber->held_head = subscriber->offset;
    subscriber->held_size = subscriber->held_head + size + 2;
    return true;
}

static size_t hold(struct subscriber *subscriber, const char *data, size_t size,
                   size_t missing)
{
    size_t used = size < missing ? size : missing;

    memcpy(subscriber->held + subscriber->offset, data, used);
    subscriber->offset += used;
    return used;
}

static size_t take(struct run *run, struct subscriber *subscriber, const char *data,
                   size_t size)
{
    const char *fault = NULL;
    size_t used;

    if (!subscriber->held_size) {
        const char *newline = memchr(data, '\n', size);
        size_t line = newline ? (size_t)(newline - data) + 1 : size;

        used = hold(subscriber, data, line, HEAD_MAX - 1 - subscriber->offset);
        if (used < line || (newline && !read_size(run, subscriber)))
            fault = "MSG line";
    } else {
        used = hold(subscriber, data, size, subscriber->held_size - subscriber->offset);
        if (subscriber->offset == subscriber->held_size) {
            fault = verify(run, subscriber);
            subscriber->offset = subscriber->held_size = 0;
            subscriber->received++;
            run->delivered++;
        }
    }
    if (!fault)
        return used;
    run_fail(run, "%s: wrong %s in message %llu", link_name(&subscriber->link), fault,
             (unsigned long long)subscriber->received);
    return 0;
}

const struct mode check_mode = {prepare, fill, take};
