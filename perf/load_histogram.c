/* load_histogram -- latencies, counted in buckets of which each is at most 1/32 as
 * wide as its values are large. */
#include "load.h"

enum {
    STEP_BITS = 5, /* 32 buckets for each power of two */
    STEPS = 1 << STEP_BITS,
};

static unsigned bucket_of(uint64_t ns)
{
    unsigned shift;

    if (ns < STEPS)
        return (unsigned)ns;
    shift = 63 - (unsigned)__builtin_clzll(ns) - STEP_BITS;
    if (shift > LATENCY_BUCKETS / STEPS - 2)
        return LATENCY_BUCKETS - 1;
    return shift * STEPS + (unsigned)(ns >> shift);
}

/* The middle of a bucket. */
static double bucket_ns(unsigned bucket)
{
    unsigned shift = bucket < STEPS ? 0 : bucket / STEPS - 1;
    uint64_t low = (uint64_t)(bucket - shift * STEPS) << shift;

    return (double)low + (double)((uint64_t)1 << shift) / 2;
}

void latency_add(struct latencies *latencies, uint64_t ns)
{
    latencies->buckets[bucket_of(ns)]++;
    latencies->count++;
    if (ns > latencies->max_ns)
        latencies->max_ns = ns;
}

double latency_us(const struct latencies *latencies, double share)
{
    double wanted = (double)latencies->count * share;
    double seen = 0;

    for (unsigned i = 0; i < LATENCY_BUCKETS; i++) {
        seen += (double)latencies->buckets[i];
        if (seen > 0 && seen >= wanted) {
            double max_ns = (double)latencies->max_ns;
            double ns = bucket_ns(i);

            return (ns < max_ns ? ns : max_ns) / 1000;
        }
    }
    return 0;
}
