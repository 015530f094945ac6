/* nd.h -- included first by every file of the engine: types, limits, small words.
 *
 * Limits carry their unit and, where a measurement chose them, the benchmark.
 */
#ifndef ND_H
#define ND_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "nd_api.h"

/* A borrowed run of bytes. Nothing in the engine relies on a terminating NUL. */
struct nd_slice {
    const uint8_t *ptr;
    size_t len;
};

static inline struct nd_slice nd_slice(const void *ptr, size_t len)
{
    return (struct nd_slice){ptr, len};
}

static inline bool nd_slice_is_equal(struct nd_slice a, struct nd_slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

#define ND_LIT(text) nd_slice("" text, sizeof(text) - 1)
#define ND_MIN(a, b) ((a) < (b) ? (a) : (b))
#define ND_MAX(a, b) ((a) > (b) ? (a) : (b))
#define nd_likely(x) __builtin_expect(!!(x), 1)
#define nd_unlikely(x) __builtin_expect(!!(x), 0)

/* From a pointer to a member back to its owner. */
#define nd_container(ptr, type, member) \
    ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

enum {
    ND_KIB = 1024,
    ND_MIB = 1024 * 1024,
    ND_REACTORS_MAX = 64, /* count */

    /* Reading, bytes. The sizes of reads and chunks: ARCHITECTURE.md, "Measured". */
    ND_READ_SIZE = 512 * ND_KIB,        /* asked of one read */
    ND_STRANGER_READ = 4 * ND_KIB + 2,  /* the same before OPEN */
    ND_DIRECT_MIN = 8 * ND_KIB,         /* operations from here up are read in place */
    ND_LINE_CEILING = 256 * ND_KIB,     /* what a control line may be set to */
    ND_PAYLOAD_CEILING = 1024 * ND_MIB, /* what "unlimited" means */
    ND_LINGER_BYTES = 256 * ND_KIB,     /* thrown away after a fatal error */

    /* Writing, bytes. */
    ND_CHUNK_FIRST = 2 * ND_KIB,   /* the first chunk of an output buffer */
    ND_CHUNK_SIZE = 64 * ND_KIB,   /* those that follow */
    ND_SHARE_MIN = 4 * ND_KIB,     /* payloads from here up go by reference */
    ND_REPLIES_MAX = 64 * ND_KIB,  /* PONG, +OK and such owed: we read no more */
    ND_TURN_BYTES = 8 * ND_MIB,    /* delivered before a turn writes in its middle */
    ND_FLUSH_EARLY = 512 * ND_KIB, /* owed: written before the turn ends */
    ND_FLUSH_MAX = ND_MIB,         /* written to one connection in one turn */
    ND_READER_MIN = 256 * ND_KIB,  /* a second: who reads so fast is never cut */

    /* Other amounts. */
    ND_ACCEPT_BATCH = 128,        /* connections accepted in one turn */
    ND_CONNECTS_MAX = 4096,       /* CONNECTs unanswered before accepting pauses */
    ND_NOTE_MAX = 8 * ND_KIB,     /* bytes that Python may leave with a connection */
    ND_BURST_MAX = 128,           /* messages delivered together */
    ND_BURST_BYTES = 55 * ND_KIB, /* and what they may weigh */
    ND_RUN_SLICE = 2048,          /* operations but PUB of one connection in one turn */
    ND_CHECK_SLICE = 256,         /* subscriptions rechecked in one turn */
    ND_BURY_SLICE = 1024,         /* subscriptions removed for the dead in one turn */
    ND_EXPIRE_SLICE = 256,        /* timers of one kind that run in one turn */
    ND_CHANGE_SLICE = 128,        /* connections that a round comes to in one turn */
    ND_LAME_SLICE = 128,          /* connections sent away in one turn */
    ND_CACHE_ENTRIES = 4096,      /* match results that a reactor keeps at most */
    ND_CACHE_BYTES = ND_MIB,      /* and what they may weigh together */
    ND_WARM_MAX = 16,             /* subjects that are looked at ahead of time */
    ND_MATCH_SLICE = 1000,        /* subscriptions copied under one read lock */

    ND_SPIN_BYTES = 16 * ND_KIB, /* read in a turn: from here up nobody spins */
    ND_SPIN_US = 50,             /* of looking for work before sleep */
    ND_SPIN_SOON_US = 100,       /* a sleep shorter than that might as well be spun */
    ND_ACCEPT_PAUSE_MS = 10, /* before a listener without descriptors is tried again */
    ND_ADMIT_MS = 10000,     /* for Python to answer a CONNECT, bcrypt and all */
    ND_REGRANT_MS = 15000,   /* longer than an answer may take: changes remembered */
    ND_LINGER_MS = 250,      /* for the peer to read our -ERR and go */
    ND_OWED_MS = 100,        /* between two looks at a blocked connection's progress */
    ND_PACE_MS = 10,         /* one pace window; see brake.h */
    ND_STOP_MS = 500         /* for what is owed when the engine stops */
};

#endif
