/* checker -- shared words of the delivery checker.
 *
 * One thread, raw sockets, no client library, so that a client's bug cannot hide a
 * server's. Every message says who sent it and which one it is, and all of its bytes
 * follow from the seed, the publisher and the sequence number, so the receiving side
 * knows what to expect without being told.
 */
#ifndef CHECKER_H
#define CHECKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PUBLISHERS_MAX = 64,
    PAYLOAD_MIN = 32,          /* bytes: the header */
    PAYLOAD_MAX = 1024 * 1024, /* bytes */
    GROUP_SID = 1,             /* the sid of a first subscription */
};

/* ---- payload.c: what message *seq* of publisher *pub* looks like ---- */

void payload_init(uint64_t seed);
uint32_t payload_size(uint32_t pub, uint64_t seq); /* 90 % to 256 B, 9.9 % to 16 KiB,
                                                      0.1 % to 1 MiB */
void payload_write(uint8_t *to, uint32_t pub, uint64_t seq, uint64_t sent_ns);

struct payload_facts {
    uint32_t pub;
    uint64_t seq;
    uint64_t sent_ns;
};

/* False if any byte differs from what its own header promises. */
bool payload_read(const uint8_t *from, size_t len, struct payload_facts *facts);
uint64_t payload_random(uint64_t *state); /* a step of splitmix64 */

/* ---- judge.c: what was received, against what had to be ---- */

/* What has to arrive once: at one subscription, or at all members of a group together.
 * Publisher p is expected if bit p of *publishers* is set. */
struct account {
    uint64_t publishers;
    uint64_t *seen[PUBLISHERS_MAX]; /* one bit a message */
    uint64_t room[PUBLISHERS_MAX];  /* messages that *seen* has bits for */
    uint64_t count[PUBLISHERS_MAX];
};

/* One connection's view. Members of a group share an account. */
struct reader {
    struct account *account;
    uint64_t sid;                  /* the subscription that is valid now; 0 = none */
    uint64_t next[PUBLISHERS_MAX]; /* after the highest sequence that arrived here */
    uint64_t delivered;
};

enum { BUCKETS = 64 * 16 };

struct verdict {
    uint64_t delivered, bytes;
    uint64_t lost;          /* expected and never seen */
    uint64_t duplicated;    /* seen again in the same account */
    uint64_t reordered;     /* later than a younger one of the same publisher */
    uint64_t corrupt;       /* a byte differs, or the length */
    uint64_t misrouted;     /* not for this subscription: subject, publisher or sid */
    bool ignores_order;     /* reordered is counted and forgiven */
    uint64_t late[BUCKETS]; /* histogram of microseconds from send to receipt */
    char error[160];        /* first thing that should not have been on the wire */
};

/* *subject* is "chk.<publisher>". */
void judge_message(struct verdict *verdict, struct reader *reader, uint64_t sid,
                   const char *subject, size_t subject_len, const uint8_t *payload,
                   size_t len, uint64_t now_ns);

/* *sent* messages of each publisher exist: whatever is missing was lost. */
void judge_account(struct verdict *verdict, struct account *account,
                   const uint64_t sent[PUBLISHERS_MAX]);
bool judge_is_clean(const struct verdict *verdict);
void judge_print(const struct verdict *verdict, const char *more);
void judge_error(struct verdict *verdict, const char *text, size_t len);
void account_fini(struct account *account);

/* ---- peer.c: one connection to the server ---- */

struct peer {
    int fd; /* -1 = closed */
    uint8_t *in;
    size_t in_used, in_size;
    uint8_t *out;
    size_t out_sent, out_used, out_size;
    uint64_t pongs;  /* received */
    bool is_greeted; /* INFO was seen */
    struct reader reader;
};

uint64_t now_ns(void);                            /* monotonic */
bool peer_open(struct peer *peer, uint16_t port); /* without waiting for the server */
void peer_close(struct peer *peer);               /* keeps the reader, drops the rest */
uint8_t *peer_room(struct peer *peer,
                   size_t len); /* space at the end of what to send */
void peer_put(struct peer *peer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
bool peer_owes(const struct peer *peer);

/* Reads what is there and judges it; writes what the kernel takes. True if any byte
 * moved. Trouble closes the peer and is noted in the verdict. */
bool peer_receive(struct peer *peer, struct verdict *verdict);
bool peer_send(struct peer *peer, struct verdict *verdict);

/* Judges the bytes in the peer's buffer; false if they are not the protocol. */
bool peer_parse(struct peer *peer, struct verdict *verdict);
void peer_feed(struct peer *peer, const void *bytes, size_t len); /* as if received */

/* Waits at most *wait_ms* for any of them and serves it; true if a byte moved. */
bool peers_turn(struct peer *const *peers, uint32_t count, struct verdict *verdict,
                int wait_ms);
void fatal(const char *what) __attribute__((noreturn));

/* ---- the runs, one file each; all return the exit status ---- */

struct settings {
    uint16_t port;
    uint64_t seed;
    uint32_t publishers, plain, wildcard, queue; /* flow: connections */
    uint64_t messages;                           /* flow: of each publisher */
    uint32_t seconds, rate, churn;               /* churn: rate and churn per second */
    uint32_t stay, members; /* churn: members that stay, that move */
    uint32_t clients;       /* storm: connections */
    uint32_t stall_s;       /* no byte for so long: given up */
    const char *fault;      /* judge: what to break */
};

int run_flow(const struct settings *settings);
int run_churn(const struct settings *settings);
int run_storm(const struct settings *settings);
int run_judge(const struct settings *settings);

#endif
