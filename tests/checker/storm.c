/* storm -- many clients connect at once; each wants its first PONG. */
#include "checker.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct storm {
    struct verdict verdict;
    struct peer *peers;
    struct peer **order;
    uint64_t *waited_us; /* from the start of all to the PONG of each */
    uint32_t served;
};

static int compare(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

/* Greets back whom the server has greeted, and counts whom it has served. */
static void storm_look(struct storm *storm, uint32_t count, uint64_t start)
{
    for (uint32_t i = 0; i < count; i++) {
        struct peer *peer = &storm->peers[i];
        if (peer->is_greeted) {
            peer->is_greeted = false;
            peer_put(
                peer,
                "CONNECT {\"verbose\":false,\"name\":\"c%" PRIu32 "\"}\r\nPING\r\n", i);
        }
        if (peer->pongs > 0) {
            peer->pongs = 0;
            storm->waited_us[storm->served++] = (now_ns() - start) / 1000;
        }
    }
}

int run_storm(const struct settings *settings)
{
    struct storm storm = {0};
    uint32_t count = settings->clients;
    uint64_t start = now_ns(), limit = settings->stall_s * (uint64_t)1000000000;
    storm.peers = calloc(count, sizeof *storm.peers);
    storm.order = calloc(count, sizeof(struct peer *));
    storm.waited_us = calloc(count, sizeof *storm.waited_us);
    if (storm.peers == NULL || storm.order == NULL || storm.waited_us == NULL)
        fatal("no memory");
    for (uint32_t i = 0; i < count; i++) {
        storm.order[i] = &storm.peers[i];
        if (!peer_open(&storm.peers[i], settings->port))
            fatal("cannot connect: too few descriptors?");
    }
    while (storm.served < count && storm.verdict.error[0] == '\0' &&
           now_ns() - start < limit) {
        peers_turn(storm.order, count, &storm.verdict, 10);
        storm_look(&storm, count, start);
    }
    bool is_clean = storm.served == count && storm.verdict.error[0] == '\0';
    double seconds = (double)(now_ns() - start) / 1e9;
    qsort(storm.waited_us, storm.served, sizeof *storm.waited_us, compare);
    printf("{\"verdict\": \"%s\", \"clients\": %" PRIu32 ", \"served\": %" PRIu32
           ", \"seconds\": %.3f, \"p50_us\": %" PRIu64 ", \"p99_us\": %" PRIu64
           ", \"error\": \"%s\"}\n",
           is_clean ? "clean" : "failed", count, storm.served, seconds,
           storm.served ? storm.waited_us[storm.served / 2] : 0,
           storm.served ? storm.waited_us[storm.served * 99 / 100] : 0,
           storm.verdict.error);
    for (uint32_t i = 0; i < count; i++)
        peer_close(&storm.peers[i]);
    free(storm.waited_us);
    free(storm.order);
    free(storm.peers);
    return is_clean ? 0 : 1;
}
