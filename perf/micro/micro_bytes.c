/* micro_bytes -- parser, scan and hash; see micro.h. */
#include "micro.h"
#include "parser.h"
#include "scan.h"

static const struct nd_parse_limits limits = {.line = 4096, .connect = 65536};

/* A line, and behind it more than the scan looks ahead, as in a full read buffer. */
static uint8_t input[1024];
static size_t line_len;

static void parse_begin(const struct bench *bench)
{
    line_len = strlen(bench->text);
    memset(input, 'x', sizeof(input));
    memcpy(input, bench->text, line_len);
}

static void parse_run(uint64_t count)
{
    for (; count > 0; count--) {
        struct nd_op op;
        int used = nd_parse(opaque(input), sizeof(input), &limits, &op);
        must(used == (int)line_len, "not the line that it was to parse");
        keep((uint64_t)(uintptr_t)&op);
    }
}

/* "PUB <200 bytes> 16": the subject spans several steps of the scan. */
static void parse_long_begin(const struct bench *bench)
{
    static const char head[] = "PUB ", tail[] = " 16\r\n";
    line_len = sizeof(head) - 1 + bench->size + sizeof(tail) - 1;
    memset(input, 'x', sizeof(input));
    memcpy(input, head, sizeof(head) - 1);
    memcpy(input + line_len - (sizeof(tail) - 1), tail, sizeof(tail) - 1);
}

static void scan_begin(const struct bench *bench)
{
    parse_begin(bench);
}

static void scan_wide_run(uint64_t count)
{
    for (; count > 0; count--)
        keep(nd_scan(opaque(input)));
}

static void scan_portable_run(uint64_t count)
{
    for (; count > 0; count--)
        keep(nd_scan_portable(opaque(input)));
}

static size_t hash_len;

static void hash_begin(const struct bench *bench)
{
    hash_len = bench->size;
}

static void hash_run(uint64_t count)
{
    for (; count > 0; count--)
        keep(nd_hash_bytes(opaque(&micro_key), nd_slice(opaque(input), hash_len)));
}

#define PARSE(title, line)                                                  \
    {                                                                       \
        .name = title, .begin = parse_begin, .run = parse_run, .text = line \
    }
#define HASH(title, len)                                                 \
    {                                                                    \
        .name = title, .begin = hash_begin, .run = hash_run, .size = len \
    }

const struct bench bytes_benches[] = {
    PARSE("parse PUB", "PUB perf.000 16\r\n"),
    PARSE("parse PUB with reply", "PUB perf.000 _INBOX.abcdefgh.12 16\r\n"),
    PARSE("parse HPUB", "HPUB perf.000 34 50\r\n"),
    PARSE("parse SUB", "SUB perf.000 workers 17\r\n"),
    PARSE("parse PING", "PING\r\n"),
    {.name = "parse PUB, 200 bytes of subject",
     .begin = parse_long_begin,
     .run = parse_run,
     .size = 200},
    PARSE("parse PUB with tabs", "PUB\tperf.000\t16\r\n"),
    {.name = "scan 64 bytes, wide",
     .begin = scan_begin,
     .run = scan_wide_run,
     .text = "PUB perf.000 16\r\n"},
    {.name = "scan 64 bytes, portable",
     .begin = scan_begin,
     .run = scan_portable_run,
     .text = "PUB perf.000 16\r\n"},
    HASH("hash 8 bytes", 8),
    HASH("hash 20 bytes", 20),
    HASH("hash 60 bytes", 60),
    {.name = NULL},
};
