/* micro -- see micro.h. A line of JSON for each bench:
 *
 *   micro [--filter WORD] [--rounds N] [--round-ms N] [--quick] [--count]
 *
 * With --count, under callgrind, nothing is timed: each bench runs twice, the second
 * time COUNT_MORE operations longer, and callgrind dumps what it counted after each.
 */
#include "micro.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>
#define HAS_CALLGRIND 1
#else
#define HAS_CALLGRIND 0
#define CALLGRIND_START_INSTRUMENTATION
#define CALLGRIND_STOP_INSTRUMENTATION
#define CALLGRIND_DUMP_STATS
#endif

enum {
    ROUNDS_MAX = 1000,
    CALIBRATION_NS = 1000000, /* shorter runs say too little about the speed */
    COUNT_FIRST = 4000,       /* operations; whole turns of 1,000 subjects, */
    COUNT_MORE = 16000,       /* of 64 KiB of output and of event batches, nearly */
};

struct settings {
    const char *filter; /* part of a name, or NULL */
    uint64_t rounds, round_ns;
    bool is_count, is_quick;
};

const struct nd_hash_key micro_key = {UINT64_C(0x0123456789abcdef),
                                      UINT64_C(0xfedcba9876543210)};

void micro_die(const char *what)
{
    fprintf(stderr, "micro: %s\n", what);
    exit(1);
}

/* Of this thread: no operation here sleeps, so what others run does not count. */
static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t took_ns(const struct bench *bench, uint64_t count)
{
    uint64_t start = now_ns();
    bench->run(count);
    return now_ns() - start;
}

/* How many operations a round takes; finding out is the warm-up as well. */
static uint64_t calibrate(const struct bench *bench, uint64_t round_ns)
{
    uint64_t count = 16;
    uint64_t took = took_ns(bench, count);
    while (took < CALIBRATION_NS) {
        count *= 2;
        took = took_ns(bench, count);
    }
    count = (uint64_t)((double)count * (double)round_ns / (double)took);
    count = ND_MAX(count, 1u);
    bench->run(count);
    return count;
}

static void measure(const struct bench *bench, const struct settings *settings)
{
    uint64_t count = calibrate(bench, settings->round_ns);
    printf("{\"name\": \"%s\", \"unit\": \"ns\", \"count\": %llu, \"rounds\": [",
           bench->name, (unsigned long long)count);
    for (uint64_t i = 0; i < settings->rounds; i++) {
        double each = (double)took_ns(bench, count) / (double)count;
        printf("%s%.4f", i > 0 ? ", " : "", each);
    }
    puts("]}");
}

static void count_up(const struct bench *bench)
{
    bench->run(COUNT_FIRST);
    CALLGRIND_START_INSTRUMENTATION;
    bench->run(COUNT_FIRST);
    CALLGRIND_DUMP_STATS;
    bench->run(COUNT_FIRST + COUNT_MORE);
    CALLGRIND_DUMP_STATS;
    CALLGRIND_STOP_INSTRUMENTATION;
    printf("{\"name\": \"%s\", \"unit\": \"instructions\", \"count\": %d}\n",
           bench->name, COUNT_MORE);
}

static bool is_wanted(const struct settings *settings, const char *name)
{
    return settings->filter == NULL || strstr(name, settings->filter) != NULL;
}

static void run_table(const struct bench *bench, const struct settings *settings)
{
    for (; bench->name != NULL; bench++) {
        if (!is_wanted(settings, bench->name))
            continue;
        if (bench->begin != NULL)
            bench->begin(bench);
        if (settings->is_count)
            count_up(bench);
        else
            measure(bench, settings);
        fflush(stdout);
        if (bench->end != NULL)
            bench->end();
    }
}

static void weigh(const struct settings *settings)
{
    struct weight weights[WEIGHT_COUNT];
    if (settings->is_count || !is_wanted(settings, "memory"))
        return;
    index_weigh(weights);
    for (int i = 0; i < WEIGHT_COUNT; i++)
        printf("{\"name\": \"%s\", \"unit\": \"bytes\", \"rounds\": [%.1f]}\n",
               weights[i].name, weights[i].bytes);
}

static uint64_t whole_number(const char *text, uint64_t max)
{
    char *end;
    unsigned long long value = strtoull(text, &end, 10);
    must(*end == '\0' && value > 0 && value <= max, "not a number that will do");
    return value;
}

static void parse_command_line(struct settings *settings, int argc, char **argv)
{
    static const struct option options[] = {
        {"filter", required_argument, NULL, 'f'},
        {"rounds", required_argument, NULL, 'r'},
        {"round-ms", required_argument, NULL, 'm'},
        {"quick", no_argument, NULL, 'q'},
        {"count", no_argument, NULL, 'c'},
        {NULL, 0, NULL, 0},
    };
    int id;
    while ((id = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (id == 'f')
            settings->filter = optarg;
        else if (id == 'r')
            settings->rounds = whole_number(optarg, ROUNDS_MAX);
        else if (id == 'm')
            settings->round_ns = whole_number(optarg, 10000) * 1000000u;
        else if (id == 'q')
            settings->is_quick = true;
        else if (id == 'c')
            settings->is_count = true;
        else
            exit(2);
    }
    must(optind == argc, "too many arguments");
}

int main(int argc, char **argv)
{
    struct settings settings = {.rounds = 9, .round_ns = 10000000};
    parse_command_line(&settings, argc, argv);
    must(!settings.is_count || HAS_CALLGRIND, "built without valgrind/callgrind.h");
    if (settings.is_quick)
        index_limit = 1000;
    run_table(bytes_benches, &settings);
    run_table(index_benches, &settings);
    run_table(encode_benches, &settings);
    run_table(queue_benches, &settings);
    weigh(&settings);
    return 0;
}
