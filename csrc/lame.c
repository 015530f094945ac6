#include "lame.h"

#include "change.h"
#include "conn.h"
#include "listener.h"
#include "reactor.h"

void nd_lame_begin(struct nd_reactor *reactor, struct nd_blob *info, uint32_t grace_ms,
                   uint32_t duration_ms)
{
    if (reactor->lame.is_on) {
        nd_blob_release(info);
        return;
    }
    nd_listeners_close(reactor);
    nd_change_set_info(reactor, info);
    uint64_t from_ms = reactor->now_ms + grace_ms;
    reactor->lame = (struct nd_lame){
        .is_on = true,
        .from_ms = from_ms,
        .duration_ms = duration_ms,
        .due_ms = from_ms,
    };
}

/* How many may be left now. */
static uint64_t line(const struct nd_lame *lame, uint64_t now_ms)
{
    uint64_t passed_ms = now_ms - lame->from_ms;
    if (passed_ms >= lame->duration_ms) {
        return 0;
    }
    return lame->count - 1 - passed_ms * lame->count / lame->duration_ms;
}

/* When *left* will be one too many. */
static uint64_t next_due(const struct nd_lame *lame, uint32_t left)
{
    uint64_t gone = lame->count - ND_MIN(left, lame->count);
    uint64_t steps_ms = gone * lame->duration_ms;
    return lame->from_ms + (steps_ms + lame->count - 1) / lame->count;
}

void nd_lame_send_away(struct nd_reactor *reactor)
{
    struct nd_lame *lame = &reactor->lame;
    if (lame->count == 0) {
        lame->count = ND_MAX(reactor->alive_count, (uint32_t)1);
    }
    uint64_t most = line(lame, reactor->now_ms);
    for (uint32_t left = ND_LAME_SLICE; left > 0 && reactor->alive_count > most;
         left--) {
        /* As after an error, but without one: a close beside bytes that were not read
         * would be a reset, and take what we owe with it. */
        nd_conn_fail(reactor->alive_first, nd_slice(NULL, 0));
    }
    lame->due_ms = next_due(lame, reactor->alive_count);
}
