/* micro_encode -- one delivery: the view of a message, put into an output buffer.
 *
 * The one file here that knows view.h and struct nd_msg. What has been put is consumed
 * by and by, as a socket would take it, so the buffer neither grows nor stays empty.
 */
#include <stdio.h>
#include <stdlib.h>

#include "match.h"
#include "micro.h"
#include "view.h"

enum {
    HEADER_SIZE = 34,       /* bytes of the header block that is left out */
    OWED_MAX = 64 * ND_KIB, /* written at once */
    BODY_MAX = 2 * ND_KIB
};

static uint8_t input[BODY_MAX]; /* line and body, as in a read buffer */
static uint8_t bare_line[64];
static struct nd_msg msg;
static struct nd_match *match;
static struct nd_sub *sub;
static struct nd_gate *gate;
static struct nd_outbuf out;
static struct nd_pool pool;

static void open_out(void)
{
    gate = nd_gate_new(1);
    sub = gate ? nd_sub_new(gate, NULL, 0, ND_LIT("1"), ND_LIT(""), NULL) : NULL;
    must(sub != NULL, "no memory");
    nd_sub_retain(sub); /* for the match */
    match = nd_match_new(ND_LIT("perf.000"), &sub, 1, 1, NULL);
    must(match != NULL, "no memory");
    nd_outbuf_init(&out);
}

static void begin(const struct bench *bench)
{
    int len = snprintf((char *)input, sizeof(input), " %d\r\n", (int)bench->size);
    open_out();
    msg = (struct nd_msg){
        .line = nd_slice(input, (size_t)len),
        .body = nd_slice(input + len, bench->size + 2),
        .is_joined = true,
        .is_echoed = true,
    };
    must(msg.line.len + msg.body.len <= sizeof(input), "a payload that is too large");
}

static void begin_headed(const struct bench *bench)
{
    char *line = (char *)input;
    int size = (int)bench->size + HEADER_SIZE;
    int len = snprintf(line, sizeof(input), " %d %d\r\n", HEADER_SIZE, size);
    open_out();
    msg = (struct nd_msg){
        .line = nd_slice(input, (size_t)len),
        .body = nd_slice(input + len, (size_t)size + 2),
        .header_size = HEADER_SIZE,
        .has_header = true,
        .is_joined = true,
        .is_echoed = true,
    };
}

static void end(void)
{
    nd_outbuf_fini(&out, &pool);
    nd_pool_fini(&pool);
    nd_match_release(match);
    nd_sub_release(sub);
    nd_gate_release(gate);
}

static void put(const struct nd_view *view)
{
    must(nd_view_put(view, &out, &pool, sub) == ND_OK, "no memory");
    if (nd_unlikely(out.pending >= OWED_MAX))
        nd_outbuf_consume(&out, &pool, out.pending);
}

static void full_run(uint64_t count)
{
    for (; count > 0; count--) {
        struct nd_view view;
        nd_view_full(&view, opaque(&msg), match);
        put(&view);
    }
}

static void bare_run(uint64_t count)
{
    for (; count > 0; count--) {
        struct nd_view view, bare;
        nd_view_full(&view, opaque(&msg), match);
        nd_view_bare(&bare, &view, &msg, bare_line);
        put(&bare);
    }
}

/* What each further subscriber of one message costs. */
static void put_run(uint64_t count)
{
    struct nd_view view;
    nd_view_full(&view, &msg, match);
    for (; count > 0; count--)
        put(opaque(&view));
}

#define ENCODE(title, how, what, bytes)                                     \
    {                                                                       \
        .name = title, .begin = how, .run = what, .end = end, .size = bytes \
    }

const struct bench encode_benches[] = {
    ENCODE("encode 16 bytes", begin, full_run, 16),
    ENCODE("encode 128 bytes", begin, full_run, 128),
    ENCODE("encode 1 KiB", begin, full_run, ND_KIB),
    ENCODE("encode 16 bytes, again", begin, put_run, 16),
    ENCODE("encode 16 bytes, headers kept", begin_headed, full_run, 16),
    ENCODE("encode 16 bytes, headers left out", begin_headed, bare_run, 16),
    {.name = NULL},
};
