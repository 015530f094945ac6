/* churn -- members of one queue group join and leave beside a steady publisher.
 *
 * Some members stay all the time, so that there is always somebody to serve. The others
 * leave with UNSUB and PING, and until the PONG what arrives is still theirs. Then they
 * come back on the same connection or on a new one. Each sequence must have reached
 * exactly one member. Order is counted but not judged: what was on its way to a member
 * that has left is handed to another, and may get there behind what was sent later.
 */
#include "checker.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum member_state { MEMBER_OUT, MEMBER_JOINING, MEMBER_IN, MEMBER_LEAVING };

struct member {
    struct peer peer;
    enum member_state state;
    uint64_t pongs_wanted;
    uint64_t last_sid;
    bool is_closing; /* leaves for good: the next join is a new connection */
};

struct churn {
    const struct settings *settings;
    struct verdict verdict;
    struct account account;
    struct peer publisher;
    struct member *members; /* those that stay stand first */
    struct peer **order;    /* the publisher, then the members */
    uint32_t count;         /* of members */
    uint64_t sent[PUBLISHERS_MAX];
    uint64_t joins, leaves, random, moved_ns;
};

static void ask(struct member *member, enum member_state state)
{
    peer_put(&member->peer, "PING\r\n");
    member->pongs_wanted++;
    member->state = state;
}

static void join(struct churn *churn, struct member *member)
{
    if (member->peer.fd < 0) {
        if (!peer_open(&member->peer, churn->settings->port))
            fatal("cannot connect");
        member->pongs_wanted = 0;
        peer_put(&member->peer, "CONNECT {\"verbose\":false}\r\n");
    }
    member->peer.reader.account = &churn->account;
    member->peer.reader.sid = ++member->last_sid;
    peer_put(&member->peer, "SUB chk.* workers %" PRIu64 "\r\n", member->last_sid);
    ask(member, MEMBER_JOINING);
    churn->joins++;
}

static void leave(struct churn *churn, struct member *member)
{
    peer_put(&member->peer, "UNSUB %" PRIu64 "\r\n", member->last_sid);
    ask(member, MEMBER_LEAVING);
    member->is_closing = payload_random(&churn->random) % 2 == 0;
    churn->leaves++;
}

/* What the answers that came in mean. */
static void settle(struct churn *churn)
{
    for (uint32_t i = 0; i < churn->count; i++) {
        struct member *member = &churn->members[i];
        if (member->peer.fd < 0 || member->peer.pongs < member->pongs_wanted)
            continue;
        if (member->state == MEMBER_JOINING) {
            member->state = MEMBER_IN;
        } else if (member->state == MEMBER_LEAVING) {
            member->state = MEMBER_OUT;
            member->peer.reader.sid = 0;
            if (member->is_closing)
                peer_close(&member->peer);
        }
    }
}

static bool churn_turn(struct churn *churn, int wait_ms)
{
    bool has_moved =
        peers_turn(churn->order, churn->count + 1, &churn->verdict, wait_ms);
    uint64_t now = now_ns();
    if (has_moved)
        churn->moved_ns = now;
    if (now - churn->moved_ns > churn->settings->stall_s * (uint64_t)1000000000)
        judge_error(&churn->verdict, "stalled", 7);
    settle(churn);
    return churn->verdict.error[0] == '\0';
}

static bool are_settled(const struct churn *churn)
{
    for (uint32_t i = 0; i < churn->count; i++)
        if (churn->members[i].state == MEMBER_JOINING ||
            churn->members[i].state == MEMBER_LEAVING)
            return false;
    return true;
}

static bool wait_settled(struct churn *churn)
{
    while (!are_settled(churn))
        if (!churn_turn(churn, 100))
            return false;
    return true;
}

static void publish_until(struct churn *churn, uint64_t due, uint64_t now)
{
    struct peer *peer = &churn->publisher;
    for (; churn->sent[0] < due; churn->sent[0]++) {
        uint32_t size = payload_size(0, churn->sent[0]);
        peer_put(peer, "PUB chk.0 %" PRIu32 "\r\n", size);
        payload_write(peer_room(peer, size), 0, churn->sent[0], now);
        peer_put(peer, "\r\n");
    }
}

/* The seed says from where to look for one that is not busy moving: it leaves if it is
 * in, else it joins. False if all are busy. */
static bool move_one(struct churn *churn)
{
    const struct settings *settings = churn->settings;
    uint64_t from = payload_random(&churn->random);
    for (uint32_t i = 0; i < settings->members; i++) {
        uint64_t index = settings->stay + (from + i) % settings->members;
        struct member *member = &churn->members[index];
        if (member->state == MEMBER_IN)
            leave(churn, member);
        else if (member->state == MEMBER_OUT)
            join(churn, member);
        else
            continue;
        return true;
    }
    return false;
}

static bool churn_run(struct churn *churn)
{
    const struct settings *settings = churn->settings;
    uint64_t start = now_ns(), moves = 0, now = start;
    uint64_t length = settings->seconds * (uint64_t)1000000000;
    while (now - start < length) {
        uint64_t elapsed_us = (now - start) / 1000;
        publish_until(churn, elapsed_us * settings->rate / 1000000, now);
        uint64_t due = elapsed_us * settings->churn * 2 / 1000000;
        while (moves < due && move_one(churn))
            moves++;
        if (!churn_turn(churn, 1))
            return false;
        now = now_ns();
    }
    return true;
}

/* Waits for a PONG of everyone that is connected. */
static bool round_of_pings(struct churn *churn)
{
    for (uint32_t i = 0; i < churn->count; i++)
        if (churn->members[i].peer.fd >= 0)
            ask(&churn->members[i],
                churn->members[i].state == MEMBER_IN ? MEMBER_JOINING : MEMBER_LEAVING);
    return wait_settled(churn);
}

/* Behind the second round there is nothing, not even what was handed on once more. */
static bool churn_finish(struct churn *churn)
{
    if (!wait_settled(churn))
        return false;
    peer_put(&churn->publisher, "PING\r\n");
    while (churn->publisher.pongs < 2)
        if (!churn_turn(churn, 100))
            return false;
    return round_of_pings(churn) && round_of_pings(churn);
}

static bool churn_start(struct churn *churn)
{
    churn->order[0] = &churn->publisher;
    if (!peer_open(&churn->publisher, churn->settings->port))
        fatal("cannot connect");
    peer_put(&churn->publisher, "CONNECT {\"verbose\":false}\r\nPING\r\n");
    for (uint32_t i = 0; i < churn->count; i++) {
        churn->order[i + 1] = &churn->members[i].peer;
        churn->members[i].peer.fd = -1;
        if (i < churn->settings->stay)
            join(churn, &churn->members[i]);
    }
    while (churn->publisher.pongs < 1)
        if (!churn_turn(churn, 100))
            return false;
    return wait_settled(churn);
}

int run_churn(const struct settings *settings)
{
    char more[160];
    struct churn churn = {.settings = settings, .random = settings->seed};
    churn.count = settings->stay + settings->members;
    churn.members = calloc(churn.count, sizeof *churn.members);
    churn.order = calloc(churn.count + 1, sizeof(struct peer *));
    if (churn.members == NULL || churn.order == NULL)
        fatal("no memory");
    churn.account.publishers = 1;
    churn.moved_ns = now_ns();
    churn.verdict.ignores_order = true;
    if (churn_start(&churn) && churn_run(&churn))
        churn_finish(&churn);
    judge_account(&churn.verdict, &churn.account, churn.sent);
    snprintf(more, sizeof more,
             ", \"expected\": %" PRIu64 ", \"joins\": %" PRIu64 ", \"leaves\": %" PRIu64
             ", \"seconds\": %" PRIu32,
             churn.sent[0], churn.joins, churn.leaves, settings->seconds);
    judge_print(&churn.verdict, more);
    for (uint32_t i = 0; i <= churn.count; i++)
        peer_close(churn.order[i]);
    account_fini(&churn.account);
    free(churn.order);
    free(churn.members);
    return judge_is_clean(&churn.verdict) ? 0 : 1;
}
