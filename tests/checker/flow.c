/* flow -- publishers flat out, to plain, wildcard and queue subscribers.
 *
 * Nothing holds the publishers back but the server: there is no window. When all of
 * them have the PONG behind their last message, every subscriber sends one PING; what
 * has not come before its PONG is lost.
 */
#include "checker.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { BATCH = 128 * 1024 }; /* bytes put into a publisher's empty buffer at once */

struct flow {
    const struct settings *settings;
    struct verdict verdict;
    struct peer *peers; /* publishers, plain, wildcard, queue: in this order */
    struct peer **order;
    struct account *accounts; /* one for each plain and wildcard, one for the group */
    uint32_t count;           /* of peers */
    uint64_t sent[PUBLISHERS_MAX];
    uint64_t moved_ns; /* when a byte last moved */
};

static bool flow_turn(struct flow *flow)
{
    uint64_t now;
    bool has_moved = peers_turn(flow->order, flow->count, &flow->verdict, 100);
    now = now_ns();
    if (has_moved)
        flow->moved_ns = now;
    if (now - flow->moved_ns > flow->settings->stall_s * (uint64_t)1000000000)
        judge_error(&flow->verdict, "stalled", 7);
    return flow->verdict.error[0] == '\0';
}

static bool have_pongs(const struct peer *peers, uint32_t count, uint64_t pongs)
{
    for (uint32_t i = 0; i < count; i++)
        if (peers[i].pongs < pongs)
            return false;
    return true;
}

static void subscribe(struct flow *flow, uint32_t index)
{
    const struct settings *settings = flow->settings;
    struct peer *peer = &flow->peers[settings->publishers + index];
    uint64_t all = UINT64_MAX >> (64 - settings->publishers);
    bool is_plain = index < settings->plain;
    bool is_queue = index >= settings->plain + settings->wildcard;
    uint32_t last = settings->plain + settings->wildcard;
    peer->reader.account = &flow->accounts[is_queue ? last : index];
    peer->reader.sid = GROUP_SID + index;
    if (is_plain) {
        uint32_t pub = index % settings->publishers;
        peer->reader.account->publishers = (uint64_t)1 << pub;
        peer_put(peer, "SUB chk.%" PRIu32 " %" PRIu64 "\r\n", pub, peer->reader.sid);
    } else {
        const char *how = is_queue ? "chk.* workers" : index % 2 ? "chk.>" : "chk.*";
        peer->reader.account->publishers = all;
        peer_put(peer, "SUB %s %" PRIu64 "\r\n", how, peer->reader.sid);
    }
}

static bool flow_start(struct flow *flow)
{
    const struct settings *settings = flow->settings;
    for (uint32_t i = 0; i < flow->count; i++) {
        struct peer *peer = flow->order[i] = &flow->peers[i];
        if (!peer_open(peer, settings->port))
            fatal("cannot connect");
        peer_put(peer, "CONNECT {\"verbose\":false,\"pedantic\":false}\r\n");
        if (i >= settings->publishers)
            subscribe(flow, i - settings->publishers);
        peer_put(peer, "PING\r\n");
    }
    while (!have_pongs(flow->peers, flow->count, 1))
        if (!flow_turn(flow))
            return false;
    return true;
}

/* Fills an idle publisher's buffer; its last bytes are a PING. */
static void refill(struct flow *flow, uint32_t pub)
{
    struct peer *peer = &flow->peers[pub];
    uint64_t messages = flow->settings->messages, seq = flow->sent[pub], now = now_ns();
    if (peer_owes(peer) || seq == messages)
        return;
    for (; seq < messages && peer->out_used < BATCH; seq++) {
        uint32_t size = payload_size(pub, seq);
        peer_put(peer, "PUB chk.%" PRIu32 " %" PRIu32 "\r\n", pub, size);
        payload_write(peer_room(peer, size), pub, seq, now);
        peer_put(peer, "\r\n");
    }
    flow->sent[pub] = seq;
    if (seq == messages)
        peer_put(peer, "PING\r\n");
}

static bool flow_publish(struct flow *flow)
{
    uint32_t publishers = flow->settings->publishers;
    while (!have_pongs(flow->peers, publishers, 2)) {
        for (uint32_t pub = 0; pub < publishers; pub++)
            refill(flow, pub);
        if (!flow_turn(flow))
            return false;
    }
    return true;
}

static bool flow_finish(struct flow *flow)
{
    uint32_t publishers = flow->settings->publishers;
    for (uint32_t i = publishers; i < flow->count; i++)
        peer_put(&flow->peers[i], "PING\r\n");
    while (!have_pongs(flow->peers + publishers, flow->count - publishers, 2))
        if (!flow_turn(flow))
            return false;
    return true;
}

static uint64_t expected(const struct settings *settings)
{
    uint64_t whole = settings->messages * settings->publishers;
    uint64_t queue = settings->queue > 0 ? whole : 0;
    return settings->plain * settings->messages + settings->wildcard * whole + queue;
}

int run_flow(const struct settings *settings)
{
    char more[160];
    uint64_t start;
    struct flow flow = {.settings = settings};
    uint32_t accounts = settings->plain + settings->wildcard + 1;
    flow.count = settings->publishers + accounts - 1 + settings->queue;
    flow.peers = calloc(flow.count, sizeof *flow.peers);
    flow.order = calloc(flow.count, sizeof(struct peer *));
    flow.accounts = calloc(accounts, sizeof *flow.accounts);
    if (flow.peers == NULL || flow.order == NULL || flow.accounts == NULL)
        fatal("no memory");
    flow.moved_ns = start = now_ns();
    if (flow_start(&flow) && flow_publish(&flow))
        flow_finish(&flow);
    for (uint32_t i = 0; i < accounts; i++)
        judge_account(&flow.verdict, &flow.accounts[i], flow.sent);
    snprintf(more, sizeof more, ", \"expected\": %" PRIu64 ", \"seconds\": %.2f",
             expected(settings), (double)(now_ns() - start) / 1e9);
    judge_print(&flow.verdict, more);
    for (uint32_t i = 0; i < flow.count; i++)
        peer_close(&flow.peers[i]);
    for (uint32_t i = 0; i < accounts; i++)
        account_fini(&flow.accounts[i]);
    free(flow.accounts);
    free(flow.order);
    free(flow.peers);
    return judge_is_clean(&flow.verdict) ? 0 : 1;
}
