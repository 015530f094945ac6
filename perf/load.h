/* load -- a load generator for NATS servers, made so that the server is measured.
 *
 * One thread, one epoll, no work for a message that can be done for a buffer: a
 * publisher writes one pre-rendered block again and again, and a subscriber, knowing
 * the length of every record beforehand, hops from record to record. `--check` gives
 * up the speed and verifies every byte instead.
 *
 *   load.c        command line and the JSON line
 *   load_link.c   connecting, and the control lines that any connection may get
 *   load_run.c    the loop
 *   load_speed.c  blocks and records of equal length: count and framing
 *   load_check.c  records of any length: order, checksum, headers byte for byte
 */
#ifndef PERF_LOAD_H
#define PERF_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    LINE_KEPT = 128,         /* bytes of a control line that we keep, to name it */
    HEAD_MAX = 96,           /* "MSG subject sid size\r\n" of ours is far below */
    FAILURES_KEPT = 8,       /* texts; the rest is only counted */
    RANGES_MAX = 8,          /* entries of --size */
    BLOCK_SIZE = 128 * 1024, /* a publisher writes about this much at once */
    READ_SIZE = 256 * 1024,
};

struct range {
    size_t min, max;
};

struct settings {
    const char *host, *port;
    unsigned publishers, subscribers;
    unsigned subjects; /* subjects in use; with pairs, one for each pair */
    bool pairs;        /* publisher i and subscriber i meet on subject i */
    bool wildcard;     /* one subscription to perf.* for each subscriber */
    bool check;
    bool idle;         /* open the subscribers, hold them, send nothing */
    const char *queue; /* group of all subscribers, or NULL */
    uint64_t messages; /* of each publisher */
    uint64_t inflight; /* bytes a publisher may be ahead of the deliveries; 0 = any */
    pid_t server_pid;  /* whose CPU time is read; 0 = nobody's */
    struct range sizes[RANGES_MAX]; /* of payloads; speed runs have exactly one size */
    unsigned size_count;
};

enum link_kind { LINK_PUBLISHER, LINK_SUBSCRIBER };

/* A connection; first member of whoever owns it, so that epoll can hand out this. */
struct link {
    enum link_kind kind;
    int fd;
    unsigned index;      /* among its kind */
    unsigned pongs;      /* PONG lines seen */
    unsigned pongs_owed; /* PING lines not yet answered */
    size_t line_len;     /* bytes of an unfinished line; line keeps the first of them */
    char line[LINE_KEPT];
};

struct publisher {
    struct link link;
    bool is_writable; /* as far as we know; the socket tells when it is again */
    bool has_pinged;  /* the PING behind the last message was taken */
    uint64_t taken;   /* messages taken for writing */
    const char *at;   /* what is being written: always whole records, so that */
    size_t left;      /* a PONG put in between never lands inside a message */
    char *block;      /* speed: shared by all unless pairs; check: its own */
    size_t block_pos; /* speed: next record of the block, as a count */
    uint64_t random;  /* check: state of its generator of sizes and filler */
};

struct subscriber {
    struct link link;
    uint64_t received;
    size_t offset;        /* bytes we have of an unfinished record */
    char head[HEAD_MAX];  /* speed: the start of a record; NUL stands for a digit */
    char *held;           /* check: the unfinished record itself */
    size_t held_size;     /* check: its whole size, 0 until the size is known */
    size_t held_head;     /* check: of that, the MSG line */
    uint64_t *next_count; /* check: for each publisher, the next sequence number */
};

struct run {
    const struct settings *settings;
    struct publisher *publishers;
    struct subscriber *subscribers;
    int epoll;
    uint64_t taken, delivered;       /* messages, over all links */
    uint64_t expected;               /* deliveries of a faultless run */
    size_t pub_record;               /* bytes of the largest PUB with its payload */
    size_t block_count;              /* speed: records in a block */
    size_t msg_head, msg_record;     /* speed: bytes of a MSG line, of a whole record */
    uint64_t *seen;                  /* check with a queue: one bit for each message */
    double seconds, cpu, server_cpu; /* of the timed part */
    unsigned failure_count;
    char failures[FAILURES_KEPT][160];
    char buffer[READ_SIZE]; /* lent to one read at a time */
};

/* Remember why this run is no good. The first few texts are kept. */
void run_fail(struct run *run, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Open all links. False: it failed, and run->failures says why. */
bool run_open(struct run *run);
void run_publish(struct run *run);
/* Keep idle links alive until standard input ends or brings a line. */
void run_hold(struct run *run);

/* Connect every link, subscribe, and wait for the PONG that proves it. */
bool link_open_all(struct run *run);
/* Consume one control line, or the part of it that is here. 0 = the run failed. */
size_t link_take_line(struct run *run, struct link *link, const char *data,
                      size_t size);
/* "publisher 3", "subscriber 0"; the text is valid until the next call. */
const char *link_name(const struct link *link);

/* What the two modes of verification offer: memory and templates for a run, the next
 * records of a publisher (at most max_count of them; returns their number) and what
 * a subscriber makes of bytes inside its records (returns how many it consumed,
 * 0 = the run failed). */
struct mode {
    void (*prepare)(struct run *run);
    uint64_t (*fill)(struct run *run, struct publisher *publisher, uint64_t max_count);
    size_t (*take)(struct run *run, struct subscriber *subscriber, const char *data,
                   size_t size);
};

extern const struct mode speed_mode, check_mode;

/* Subjects and sids have the same length throughout a run. */
int subject_render(char *out, size_t size, const struct settings *settings,
                   unsigned subject);
int sid_render(char *out, size_t size, const struct settings *settings,
               unsigned subject);
int subject_digits(const struct settings *settings);
/* One literal subscription for each subject, so the sid tells them apart. */
bool has_many_sids(const struct settings *settings);

void *must_alloc(size_t count, size_t size);

#endif
