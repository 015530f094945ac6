/* load -- command line and the JSON line. See load.h for the whole. */
#include "load.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static const char usage_text[] =
    "usage: load --port PORT [OPTION...]\n"
    "Publish, count what arrives, print one line of JSON; status 0 means faultless.\n"
    "\n"
    "  --host HOST         default 127.0.0.1\n"
    "  --publishers N      default 1\n"
    "  --subscribers N     default 0\n"
    "  --messages N        of each publisher; default 1\n"
    "  --size BYTES        of a payload; with --check also a list of sizes and\n"
    "                      ranges, as 16,100-4096; default 16\n"
    "  --subjects N        publish to N subjects in turn; default 1\n"
    "  --pairs             publisher i and subscriber i have subject i to themselves\n"
    "  --shuffle           take the subjects in a pseudo-random turn, always the same\n"
    "  --wildcard          subscribe to perf.* instead of every subject\n"
    "  --queue GROUP       all subscribers join this queue group\n"
    "  --inflight BYTES    how far a publisher may be ahead of the deliveries;\n"
    "                      default: as far as the sockets let it\n"
    "  --check             verify order, checksum and all bytes, slowly; sizes >= 16\n"
    "  --requesters N      instead: N connections that keep one request outstanding\n"
    "                      each, --messages of each, and one that answers\n"
    "  --new-inbox         each request has a subscription of its own\n"
    "  --connects N        instead: open, greet and close N connections, 64 at once\n"
    "  --server-pid PID    report the CPU time that this process takes meanwhile\n"
    "  --idle N            open N connections with one subscription each, print the\n"
    "                      line, hold them until standard input ends or brings one\n";

enum option_id {
    OPT_HOST = 1,
    OPT_PORT,
    OPT_PUBLISHERS,
    OPT_SUBSCRIBERS,
    OPT_MESSAGES,
    OPT_SIZE,
    OPT_SUBJECTS,
    OPT_PAIRS,
    OPT_SHUFFLE,
    OPT_WILDCARD,
    OPT_QUEUE,
    OPT_INFLIGHT,
    OPT_CHECK,
    OPT_REQUESTERS,
    OPT_NEW_INBOX,
    OPT_CONNECTS,
    OPT_SERVER_PID,
    OPT_IDLE,
};

static const struct option options[] = {
    {"host", required_argument, NULL, OPT_HOST},
    {"port", required_argument, NULL, OPT_PORT},
    {"publishers", required_argument, NULL, OPT_PUBLISHERS},
    {"subscribers", required_argument, NULL, OPT_SUBSCRIBERS},
    {"messages", required_argument, NULL, OPT_MESSAGES},
    {"size", required_argument, NULL, OPT_SIZE},
    {"subjects", required_argument, NULL, OPT_SUBJECTS},
    {"pairs", no_argument, NULL, OPT_PAIRS},
    {"shuffle", no_argument, NULL, OPT_SHUFFLE},
    {"wildcard", no_argument, NULL, OPT_WILDCARD},
    {"queue", required_argument, NULL, OPT_QUEUE},
    {"inflight", required_argument, NULL, OPT_INFLIGHT},
    {"check", no_argument, NULL, OPT_CHECK},
    {"requesters", required_argument, NULL, OPT_REQUESTERS},
    {"new-inbox", no_argument, NULL, OPT_NEW_INBOX},
    {"connects", required_argument, NULL, OPT_CONNECTS},
    {"server-pid", required_argument, NULL, OPT_SERVER_PID},
    {"idle", required_argument, NULL, OPT_IDLE},
    {NULL, 0, NULL, 0},
};

_Noreturn static void usage(const char *complaint)
{
    fprintf(stderr, "load: %s\n%s", complaint, usage_text);
    exit(2);
}

static uint64_t number(const char *text, char **end, uint64_t max)
{
    unsigned long long value;

    errno = 0;
    value = strtoull(text, end, 10);
    if (errno || *end == text || value > max || *text == '-')
        usage("a number is out of range, or none");
    return value;
}

static uint64_t whole_number(const char *text, uint64_t max)
{
    char *end;
    uint64_t value = number(text, &end, max);

    if (*end)
        usage("a number is followed by something");
    return value;
}

static void parse_sizes(struct settings *settings, const char *text)
{
    const uint64_t most = 64 * 1024 * 1024;

    for (;;) {
        struct range *range = &settings->sizes[settings->size_count++];
        char *end;

        range->min = range->max = number(text, &end, most);
        if (*end == '-')
            range->max = number(end + 1, &end, most);
        if (range->max < range->min)
            usage("--size: a range runs backwards");
        if (!*end)
            return;
        if (*end != ',' || settings->size_count == RANGES_MAX)
            usage("--size: not a list of sizes, or too long");
        text = end + 1;
    }
}

static void apply_flag(struct settings *settings, enum option_id id)
{
    switch (id) {
    case OPT_PAIRS:
        settings->pairs = true;
        break;
    case OPT_SHUFFLE:
        settings->shuffle = true;
        break;
    case OPT_WILDCARD:
        settings->wildcard = true;
        break;
    case OPT_CHECK:
        settings->check = true;
        break;
    case OPT_NEW_INBOX:
        settings->new_inbox = true;
        break;
    default:
        break;
    }
}

static void apply(struct settings *settings, enum option_id id, const char *value)
{
    switch (id) {
    case OPT_HOST:
        settings->host = value;
        break;
    case OPT_PORT:
        settings->port = value;
        break;
    case OPT_PUBLISHERS:
        settings->publishers = (unsigned)whole_number(value, 10000);
        break;
    case OPT_SUBSCRIBERS:
        settings->subscribers = (unsigned)whole_number(value, 1000000);
        break;
    case OPT_MESSAGES:
        settings->messages = whole_number(value, (uint64_t)1 << 40);
        break;
    case OPT_SIZE:
        settings->size_count = 0;
        parse_sizes(settings, value);
        break;
    case OPT_SUBJECTS:
        settings->subjects = (unsigned)whole_number(value, 1000000);
        break;
    case OPT_QUEUE:
        settings->queue = value;
        break;
    case OPT_INFLIGHT:
        settings->inflight = whole_number(value, (uint64_t)1 << 40);
        break;
    case OPT_SERVER_PID:
        settings->server_pid = (pid_t)whole_number(value, INT32_MAX);
        break;
    case OPT_IDLE:
        settings->idle = true;
        settings->pairs = true;
        settings->publishers = 0;
        settings->subscribers = (unsigned)whole_number(value, 1000000);
        break;
    case OPT_REQUESTERS:
        settings->requesters = (unsigned)whole_number(value, 10000);
        break;
    case OPT_CONNECTS:
        settings->connects = whole_number(value, (uint64_t)1 << 32);
        break;
    default:
        apply_flag(settings, id);
    }
}

static void validate(struct settings *settings)
{
    if (!settings->port)
        usage("--port is missing");
    if (settings->requesters && settings->connects)
        usage("--requesters and --connects exclude each other");
    if (settings->check && (settings->requesters || settings->connects))
        usage("--check is for publishers and subscribers");
    if (settings->idle ? !settings->subscribers
                       : !settings->publishers || !settings->messages)
        usage("nothing to do");
    if (settings->pairs && settings->publishers && settings->subscribers &&
        settings->publishers != settings->subscribers)
        usage("--pairs needs as many publishers as subscribers");
    if (settings->pairs && settings->wildcard)
        usage("--pairs and --wildcard exclude each other");
    if (settings->pairs)
        settings->subjects = settings->publishers > settings->subscribers
                                 ? settings->publishers
                                 : settings->subscribers;
    if (!settings->subjects)
        usage("--subjects must be positive");
    for (unsigned i = 0; i < settings->size_count; i++) {
        if (settings->check && settings->sizes[i].min < 16)
            usage("--check needs payloads of 16 bytes or more");
        if (!settings->check && (settings->size_count > 1 ||
                                 settings->sizes[i].min != settings->sizes[i].max))
            usage("only --check knows more than one size");
    }
}

static void parse_command_line(struct settings *settings, int argc, char **argv)
{
    int id;

    while ((id = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (id == '?')
            usage("bad command line");
        apply(settings, (enum option_id)id, optarg);
    }
    if (optind < argc)
        usage("bad command line");
    validate(settings);
}

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
    static struct settings settings = {
        .host = "127.0.0.1",
        .publishers = 1,
        .messages = 1,
        .subjects = 1,
        .sizes = {{16, 16}},
        .size_count = 1,
    };
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
    printf("{\"published\":%llu,\"delivered\":%llu,\"expected\":%llu,"
           "\"seconds\":%.6f,\"cpu_seconds\":%.6f,\"server_cpu_seconds\":%.6f,",
           (unsigned long long)run.taken, (unsigned long long)run.delivered,
           (unsigned long long)run.expected, run.seconds, run.cpu, run.server_cpu);
    if (settings.requesters)
        printf("\"p50_us\":%.1f,\"p99_us\":%.1f,", latency_us(&run.latencies, 0.5),
               latency_us(&run.latencies, 0.99));
    print_failures(&run);
    failures_shown = run.failure_count;
    if (settings.idle && !failures_shown)
        run_hold(&run);
    if (run.failure_count > failures_shown)
        fprintf(stderr, "load: %s\n", run.failures[0]);
    return run.failure_count ? 1 : 0;
}
