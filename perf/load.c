/* load -- one run, and its line of JSON. See load.h for the whole. */
#include "load.h"

#include <stdio.h>
#include <sys/resource.h>

/* The texts quote the server: what JSON would want escaped becomes a dot. */
static void print_failures(const struct run *run)
{
    printf("\"failures\":%u,\"errors\":[", run->failure_count);
    for (unsigned i = 0; i < run->failure_count && i < FAILURES_KEPT; i++) {
        printf("%s\"", i ? "," : "");
        for (const char *c = run->failures[i]; *c; c++)
            putchar(*c < ' ' || *c > '~' || *c == '"' || *c == '\\' ? '.' : *c);
        putchar('"');
    }
    puts("]}");
    fflush(stdout);
}

static void print_latencies(const struct latencies *latencies)
{
    printf("\"latencies\":%llu,\"p50_us\":%.1f,\"p90_us\":%.1f,\"p99_us\":%.1f,"
           "\"p999_us\":%.1f,\"max_us\":%.1f,",
           (unsigned long long)latencies->count, latency_us(latencies, 0.5),
           latency_us(latencies, 0.9), latency_us(latencies, 0.99),
           latency_us(latencies, 0.999), (double)latencies->max_ns / 1000);
}

static void print_line(const struct run *run)
{
    printf("{\"published\":%llu,\"delivered\":%llu,\"expected\":%llu,"
           "\"seconds\":%.6f,\"cpu_seconds\":%.6f,\"server_cpu_seconds\":%.6f,",
           (unsigned long long)run->taken, (unsigned long long)run->delivered,
           (unsigned long long)run->expected, run->seconds, run->cpu, run->server_cpu);
    if (run->has_latencies)
        print_latencies(&run->latencies);
    if (run->settings->rate > 0)
        printf("\"late_us\":%.1f,", latency_us(&run->lateness, 0.99));
    if (run->settings->churn)
        printf("\"churned\":%llu,\"churn_seconds\":%.6f,",
               (unsigned long long)run->churned, run->churn_seconds);
    print_failures(run);
}

static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int argc, char **argv)
{
    static struct run run;
    static struct settings settings;
    unsigned failures_shown;

    parse_command_line(&settings, argc, argv);
    raise_descriptor_limit();
    run.settings = &settings;
    if (settings.requesters)
        request_run(&run);
    else if (settings.connects)
        storm_run(&run);
    else if (run_open(&run) && !settings.idle)
        run_publish(&run);
    print_line(&run);
    failures_shown = run.failure_count;
    if (settings.idle && !failures_shown)
        run_hold(&run);
    if (run.failure_count > failures_shown)
        fprintf(stderr, "load: %s\n", run.failures[0]);
    return run.failure_count ? 1 : 0;
}
