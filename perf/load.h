/* load -- a load generator for NATS servers, made so that the server is measured.
 *
 * One thread, one epoll, no work for a message that can be done for a buffer: a
 * publisher writes one pre-rendered block again and again, and a subscriber, knowing
 * the length of every record beforehand, hops from record to record. `--check` gives
 * up the speed and verifies every byte instead. `--rate` sends by the clock, whatever
 * the server does, and counts latencies from when a message was due: a server that
 * stops for a while is charged for all that should have been sent meanwhile.
 *
 *   load.c            the JSON line
 *   load_options.c    command line
 *   load_link.c       connecting, writing, and the lines that any connection may get
 *   load_greet.c      what a connection says first: CONNECT, its SUBs, PING
 *   load_subject.c    which subject a message has
 *   load_clock.c      the clocks, when a message is due, and one turn of the loop
 *   load_run.c        the loop of publishers and subscribers
 *   load_speed.c      blocks and records of equal length: count and framing
 *   load_check.c      records of any length: order, checksum, headers byte for byte
 *   load_request.c    the loop of requesters and their responder
 *   load_respond.c    the responder
 *   load_churn.c      a connection that subscribes and unsubscribes meanwhile
 *   load_storm.c      the loop of connections that come and go
 *   load_histogram.c  latencies
 */
#ifndef PERF_LOAD_H
#define PERF_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/types.h>

enum {
    LINE_KEPT = 128,         /* bytes of a control line that we keep, to name it */
    HEAD_MAX = 96,           /* "MSG subject sid size\r\n" of ours is far below */
    FAILURES_KEPT = 8,       /* texts; the rest is only counted */
    RANGES_MAX = 8,          /* entries of --size */
    BLOCK_SIZE = 128 * 1024, /* a publisher writes about this much at once */
    READ_SIZE = 256 * 1024,
    EVENTS_MAX = 1024, /* taken from epoll at once */
    /* What epoll reports of a stream that ends: read it to the end. */
    EVENTS_ENDING = EPOLLRDHUP | EPOLLHUP | EPOLLERR,
    STALL_SECONDS = 10,    /* a run in which nothing moves for so long has failed */
    LATENCY_BUCKETS = 992, /* up to 34 s */
};

struct range {
    size_t min, max;
};

struct settings {
    const char *host, *port;
    unsigned publishers, subscribers;
    unsigned subjects; /* subjects in use; with pairs, one for each pair */
    bool pairs;        /* publisher i and subscriber i meet on subject i */
    bool shuffle;      /* the turn of the subjects is pseudo-random, but fixed */
    bool wildcard;     /* one subscription to perf.* for each subscriber */
    bool check;
    bool idle;           /* open the subscribers, hold them, send nothing */
    unsigned topics;     /* idle: subscriptions of each, no two on one subject */
    const char *queue;   /* group of all subscribers, or NULL */
    unsigned requesters; /* they replace publishers and subscribers, if any */
    bool new_inbox;      /* each request subscribes to an inbox of its own */
    uint64_t connects;   /* connections that come and go, and nothing else */
    uint64_t messages;   /* of each publisher or requester */
    double seconds;      /* how long to send, instead of messages; 0 = not by time */
    double rate;         /* messages a second, over all senders; 0 = flat out */
    uint64_t churn;      /* SUBs and UNSUBs a second beside the publishers */
    uint64_t inflight;   /* bytes a publisher may be ahead of the deliveries; 0 = any */
    pid_t server_pid;    /* whose CPU time is read; 0 = nobody's */
    struct range sizes[RANGES_MAX]; /* of payloads; speed runs have exactly one size */
    unsigned size_count;
};

enum link_kind {
    LINK_PUBLISHER,
    LINK_SUBSCRIBER,
    LINK_REQUESTER,
    LINK_RESPONDER,
    LINK_CALLER,
    LINK_CHURNER,
};

/* A connection; first member of whoever owns it, so that epoll can hand out this. */
struct link {
    enum link_kind kind;
    int fd;
    unsigned index; /* among its kind */
    bool has_info;
    bool is_full;   /* the socket took less than all; epoll tells when it has room */
    const char *at; /* what is being written: always whole records, so that a */
    size_t left;    /* PONG put in between never lands inside a message */
    unsigned pings; /* PING lines sent, that of the greeting included */
    unsigned pongs; /* PONG lines seen; one too many fails the run */
    unsigned pongs_owed; /* PING lines not yet answered */
    size_t line_len;     /* bytes of an unfinished line; line keeps the first of them */
    char line[LINE_KEPT];
};

struct publisher {
    struct link link;
    bool has_pinged;      /* the PING behind the last message was taken */
    uint64_t taken, sent; /* messages taken for writing, and wholly written */
    char *block;          /* speed: shared by all unless pairs; check: its own */
    size_t block_pos;     /* speed: next record of the block, as a count */
    char *stamped;        /* speed with a rate: a copy of some records, with stamps */
    uint64_t random;      /* check: state of its generator of sizes and filler */
};

struct subscriber {
    struct link link;
    uint64_t received;
    size_t offset;        /* bytes we have of an unfinished record */
    char head[HEAD_MAX];  /* speed: the start of a record; NUL stands for a digit */
    char stamp[8];        /* speed with a rate: the stamp of an unfinished record */
    char *held;           /* check: the unfinished record itself */
    size_t held_size;     /* check: its whole size, 0 until the size is known */
    size_t held_head;     /* check: of that, the MSG line */
    uint64_t *next_count; /* check, or a rate: the next message of each publisher */
};

struct latencies {
    uint64_t count, max_ns;
    uint64_t buckets[LATENCY_BUCKETS];
};

/* Which messages may be sent by now. Message k of a run belongs to sender
 * k % sender_count, and with a rate is due k intervals after the start. */
struct schedule {
    unsigned sender_count;
    uint64_t total;     /* messages of the run; UINT64_MAX = until end_ns */
    uint64_t due_count; /* of them, how many may be sent by now */
    bool is_final;      /* due_count will not grow any more */
    double interval_ns; /* 0 = flat out */
    uint64_t start_ns, end_ns;
};

struct run {
    const struct settings *settings;
    struct link **links; /* all that are opened together, in that order */
    unsigned link_count;
    struct publisher *publishers;
    struct subscriber *subscribers;
    int epoll;
    unsigned *order; /* with shuffle: the subjects, turn by turn */
    struct schedule schedule;
    void (*hear)(struct run *run, struct link *link, uint32_t events);
    uint64_t now_ns;   /* read in every turn, and with a rate by reads */
    uint64_t moved_ns; /* when there was last an event, the churner's left out */
    uint64_t taken, delivered;       /* messages, over all links */
    unsigned fan_out;                /* deliveries of each message */
    uint64_t expected;               /* deliveries of a faultless run */
    size_t pub_record;               /* bytes of the largest PUB with its payload */
    size_t block_count;              /* speed: records in a block */
    size_t msg_head, msg_record;     /* speed: bytes of a MSG line, of a whole record */
    char *tail;                      /* of requests and replies, which end alike: */
    size_t tail_size, tail_line;     /* " size\r\n", which has tail_line, and payload */
    uint64_t *seen;                  /* check with a queue: one bit for each message */
    double seconds, cpu, server_cpu; /* of the timed part */
    bool has_latencies;              /* arrivals are timed */
    struct latencies latencies;      /* of requests, and with a rate of deliveries */
    struct latencies lateness;       /* with a rate: from due to written */
    uint64_t churned;                /* operations that a PONG has confirmed */
    double churn_seconds;
    unsigned failure_count;
    char failures[FAILURES_KEPT][160];
    char buffer[READ_SIZE]; /* lent to one read at a time */
};

/* Anything wrong with it ends the program with the usage. */
void parse_command_line(struct settings *settings, int argc, char **argv);
/* Remember why this run is no good. The first few texts are kept. */
void run_fail(struct run *run, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Open all links. False: it failed, and run->failures says why. */
bool run_open(struct run *run);
void run_publish(struct run *run);
/* Open, exchange and verify; run->failures says what was wrong. */
void request_run(struct run *run);
void storm_run(struct run *run);
/* Do this work, and read all clocks around it. */
void run_timed(struct run *run, void (*work)(struct run *run));
/* Wait until wake_ns at most, or until something is due or has stalled; then have
 * run->hear take what links got. wake_ns 0 = do not wait. */
void run_turn(struct run *run, uint64_t wake_ns);
/* Keep idle links alive until standard input ends or brings a line. */
void run_hold(struct run *run);

uint64_t now_ns(void);
/* Before the links are opened; the clock starts with run_timed. */
void schedule_prepare(struct run *run, unsigned sender_count);
/* How many messages more this sender, which has taken so many, may take now. */
uint64_t schedule_rest(const struct run *run, unsigned sender, uint64_t taken);
/* The number in the run of a sender's n-th message, and when that is due. */
uint64_t schedule_number(const struct run *run, unsigned sender, uint64_t n);
uint64_t schedule_due_ns(const struct run *run, uint64_t number);
/* A sender's messages from *sent up to taken have been written just now. */
void schedule_note_sent(struct run *run, unsigned sender, uint64_t *sent,
                        uint64_t taken);

/* The one link that answers requests; run->tail must be there. */
struct link *responder_prepare(struct run *run);
void responder_hear(struct run *run, struct link *link, uint32_t events);
uint64_t responder_answered(void);

/* The one link that churns; NULL without --churn. */
struct link *churn_link(const struct run *run);
void churn_start(struct run *run);
/* Write what is due. Returns when to be called again. */
uint64_t churn_serve(struct run *run);
/* Send nothing more, and wait for the PONG behind the last operation. */
void churn_stop(struct run *run);

struct addrinfo;

/* Connect every link, subscribe, and wait for the PONG that proves it. */
bool link_open_all(struct run *run);
/* The steps of that, each false, NULL or -1 if it failed. */
struct addrinfo *link_resolve(struct run *run);
int link_connect(struct run *run, const struct addrinfo *address);
bool link_greet(struct run *run, struct link *link);
/* Have epoll watch it for these events. */
bool link_watch(struct run *run, struct link *link, uint32_t events);
/* Have it watched in both directions, each change reported once. */
bool link_watch_all(struct run *run);
/* Write what is left, as far as the socket takes it. True: nothing is left. */
bool link_write(struct run *run, struct link *link);
/* Write a PING; nothing may be left. */
void link_ping(struct run *run, struct link *link);
/* Answer the PINGs that came, unless something is left to write. */
void link_pay_pongs(struct run *run, struct link *link);
/* Read what is there, at most a buffer full. 0 = nothing is, or the run failed. */
size_t link_read(struct run *run, struct link *link, char *buffer);
/* Consume run->buffer, which holds nothing but lines. */
bool link_take_lines(struct run *run, struct link *link, size_t size);
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

/* The same pseudo-random numbers in every run; the state is the seed. */
uint64_t next_random(uint64_t *state);
void subject_shuffle(struct run *run);
unsigned subject_of(const struct run *run, unsigned publisher, uint64_t sequence);
/* Subjects and sids have the same length throughout a run. */
int subject_render(char *out, size_t size, const struct settings *settings,
                   unsigned subject);
int sid_render(char *out, size_t size, const struct settings *settings,
               unsigned subject);
int subject_digits(const struct settings *settings);
/* One literal subscription for each subject, so the sid tells them apart. */
bool has_many_sids(const struct settings *settings);

void latency_add(struct latencies *latencies, uint64_t ns);
/* What this share of them (0 to 1) did not exceed, in microseconds. */
double latency_us(const struct latencies *latencies, double share);

void *must_alloc(size_t count, size_t size);

#endif
