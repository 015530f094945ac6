/* micro -- what single operations of the engine cost, without sockets or Python.
 *
 *   micro.c          command line, clock, counting, output
 *   micro_bytes.c    parser, scan, hash
 *   micro_index.c    index and cache of matches, and what a subscription weighs
 *   micro_encode.c   one delivery: what a subscriber gets, into its output buffer
 *   micro_queues.c   output buffer, mail, timers, events
 *
 * The engine's files are compiled with the flags of a release, link-time optimisation
 * included, so an operation may be inlined into its loop here as it is in the engine.
 */
#ifndef PERF_MICRO_H
#define PERF_MICRO_H

#include "hash.h"
#include "nd.h"

/* State between the calls is the file's own; one bench is open at a time. */
struct bench {
    const char *name;
    void (*begin)(const struct bench *bench); /* may be NULL */
    void (*run)(uint64_t count);              /* so many operations, one by one */
    void (*end)(void);                        /* may be NULL */
    uint64_t size;                            /* what begin makes of it: its own */
    const char *text;                         /* the same */
};

/* Tables; the last entry has no name. */
extern const struct bench bytes_benches[], index_benches[], encode_benches[],
    queue_benches[];

/* A weight: bytes for each of many things. */
struct weight {
    const char *name;
    double bytes;
};

enum { WEIGHT_COUNT = 3 };

void index_weigh(struct weight weights[WEIGHT_COUNT]);

/* No index holds more; lowered for quick runs. */
extern uint64_t index_limit;

extern const struct nd_hash_key micro_key; /* fixed, so that every run is the same */

void micro_die(const char *what);

/* An operation that did something else than meant would be measured in vain. */
static inline void must(bool is_so, const char *what)
{
    if (nd_unlikely(!is_so))
        micro_die(what);
}

/* The compiler has to have *value*, and all memory, ready here. */
static inline void keep(uint64_t value)
{
    __asm__ volatile("" : : "r"(value) : "memory");
}

/* The compiler knows nothing about what comes out. */
static inline const void *opaque(const void *ptr)
{
    __asm__ volatile("" : "+r"(ptr));
    return ptr;
}

#endif
