/* load_options -- the command line. */
#include "load.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage_text[] =
    "usage: load --port PORT [OPTION...]\n"
    "Publish, count what arrives, print one line of JSON; status 0 means faultless.\n"
    "\n"
    "  --host HOST         default 127.0.0.1\n"
    "  --publishers N      default 1\n"
    "  --subscribers N     default 0\n"
    "  --messages N        of each publisher; default 1\n"
    "  --seconds S         publish for so long instead, 0.5 for instance\n"
    "  --rate N            publish N messages a second, evenly, all publishers\n"
    "                      together; what is due is sent, and each delivery's latency\n"
    "                      is counted from when the message was due; size >= 16;\n"
    "                      0 = flat out, the default\n"
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
    "  --churn N           one more connection sends N SUBs and UNSUBs a second,\n"
    "                      together, of subjects of its own, as long as it lasts\n"
    "  --requesters N      instead: N connections that keep one request outstanding\n"
    "                      each, and one that answers; --messages is of each. With\n"
    "                      --rate they send requests in turn, answered or not\n"
    "  --new-inbox         each request has a subscription of its own; not with "
    "--rate\n"
    "  --connects N        instead: open, greet and close N connections, 64 at once\n"
    "  --server-pid PID    report the CPU time that this process takes meanwhile\n"
    "  --idle N            open N connections with one subscription each, print the\n"
    "                      line, hold them until standard input ends or brings one\n"
    "  --topics N          with --idle: N subscriptions each, no two alike\n";

enum option_id {
    OPT_HOST = 1,
    OPT_PORT,
    OPT_PUBLISHERS,
    OPT_SUBSCRIBERS,
    OPT_MESSAGES,
    OPT_SECONDS,
    OPT_RATE,
    OPT_SIZE,
    OPT_SUBJECTS,
    OPT_PAIRS,
    OPT_SHUFFLE,
    OPT_WILDCARD,
    OPT_QUEUE,
    OPT_INFLIGHT,
    OPT_CHECK,
    OPT_CHURN,
    OPT_REQUESTERS,
    OPT_NEW_INBOX,
    OPT_CONNECTS,
    OPT_SERVER_PID,
    OPT_IDLE,
    OPT_TOPICS,
};

static const struct option options[] = {
    {"host", required_argument, NULL, OPT_HOST},
    {"port", required_argument, NULL, OPT_PORT},
    {"publishers", required_argument, NULL, OPT_PUBLISHERS},
    {"subscribers", required_argument, NULL, OPT_SUBSCRIBERS},
    {"messages", required_argument, NULL, OPT_MESSAGES},
    {"seconds", required_argument, NULL, OPT_SECONDS},
    {"rate", required_argument, NULL, OPT_RATE},
    {"size", required_argument, NULL, OPT_SIZE},
    {"subjects", required_argument, NULL, OPT_SUBJECTS},
    {"pairs", no_argument, NULL, OPT_PAIRS},
    {"shuffle", no_argument, NULL, OPT_SHUFFLE},
    {"wildcard", no_argument, NULL, OPT_WILDCARD},
    {"queue", required_argument, NULL, OPT_QUEUE},
    {"inflight", required_argument, NULL, OPT_INFLIGHT},
    {"check", no_argument, NULL, OPT_CHECK},
    {"churn", required_argument, NULL, OPT_CHURN},
    {"requesters", required_argument, NULL, OPT_REQUESTERS},
    {"new-inbox", no_argument, NULL, OPT_NEW_INBOX},
    {"connects", required_argument, NULL, OPT_CONNECTS},
    {"server-pid", required_argument, NULL, OPT_SERVER_PID},
    {"idle", required_argument, NULL, OPT_IDLE},
    {"topics", required_argument, NULL, OPT_TOPICS},
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

static double real_number(const char *text, double max)
{
    char *end;
    double value = strtod(text, &end);

    if (end == text || *end || !(value >= 0 && value <= max))
        usage("a number is out of range, or none");
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

/* Options that say what kind of run it is. */
static void apply_kind(struct settings *settings, enum option_id id, const char *value)
{
    switch (id) {
    case OPT_IDLE:
        settings->idle = true;
        settings->publishers = 0;
        settings->subscribers = (unsigned)whole_number(value, 1000000);
        break;
    case OPT_TOPICS:
        settings->topics = (unsigned)whole_number(value, 100000000);
        break;
    case OPT_REQUESTERS:
        settings->requesters = (unsigned)whole_number(value, 10000);
        break;
    case OPT_CONNECTS:
        settings->connects = whole_number(value, (uint64_t)1 << 32);
        break;
    case OPT_CHURN:
        settings->churn = whole_number(value, 2000000);
        break;
    case OPT_SERVER_PID:
        settings->server_pid = (pid_t)whole_number(value, INT32_MAX);
        break;
    default:
        apply_flag(settings, id);
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
    case OPT_SECONDS:
        settings->seconds = real_number(value, 1e6);
        break;
    case OPT_RATE:
        settings->rate = real_number(value, 1e9);
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
    default:
        apply_kind(settings, id, value);
    }
}

/* Each kind of run has options that the others have no use for. */
static void validate_kind(const struct settings *settings)
{
    bool publishes = !settings->requesters && !settings->connects && !settings->idle;

    if (!!settings->requesters + !!settings->connects + settings->idle > 1)
        usage("--requesters, --connects and --idle exclude each other");
    if (settings->check && !publishes)
        usage("--check is for publishers and subscribers");
    if (settings->churn && !publishes)
        usage("--churn is for publishers and subscribers");
    if ((settings->rate > 0 || settings->seconds > 0) && !publishes &&
        !settings->requesters)
        usage("--rate and --seconds are for publishers and requesters");
    if (settings->topics && !settings->idle)
        usage("--topics is for --idle");
    if (settings->idle ? !settings->subscribers
                       : !settings->publishers || !settings->messages)
        usage("nothing to do");
    if (settings->check && settings->queue && settings->seconds > 0)
        usage("--check of a --queue wants --messages, not --seconds");
}

static void validate_rate(const struct settings *settings)
{
    if (settings->rate <= 0)
        return;
    if (settings->new_inbox)
        usage("--rate and --new-inbox exclude each other");
    if (settings->check)
        usage("--rate and --check exclude each other");
    if (settings->inflight)
        usage("--rate and --inflight exclude each other");
    if (settings->seconds > 0 && settings->rate * settings->seconds < 0.5)
        usage("--rate: nothing is due in so few --seconds");
    if (settings->sizes[0].min < 16 && !settings->requesters)
        usage("--rate needs payloads of 16 bytes or more");
}

static void validate(struct settings *settings)
{
    if (!settings->port)
        usage("--port is missing");
    validate_kind(settings);
    validate_rate(settings);
    if (settings->idle) {
        /* Subjects are numbered through, so that all have the same length. */
        settings->topics = settings->topics ? settings->topics : 1;
        if (settings->topics > UINT32_MAX / settings->subscribers)
            usage("--topics: too many subjects");
        settings->subjects = settings->subscribers * settings->topics;
        return;
    }
    if (settings->pairs && settings->subscribers &&
        settings->publishers != settings->subscribers)
        usage("--pairs needs as many publishers as subscribers");
    if (settings->pairs && settings->wildcard)
        usage("--pairs and --wildcard exclude each other");
    if (settings->pairs)
        settings->subjects = settings->publishers;
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

void parse_command_line(struct settings *settings, int argc, char **argv)
{
    int id;

    *settings = (struct settings){
        .host = "127.0.0.1",
        .publishers = 1,
        .messages = 1,
        .subjects = 1,
        .sizes = {{16, 16}},
        .size_count = 1,
    };
    while ((id = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (id == '?')
            usage("bad command line");
        apply(settings, (enum option_id)id, optarg);
    }
    if (optind < argc)
        usage("bad command line");
    validate(settings);
}
