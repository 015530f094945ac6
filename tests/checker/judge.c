/* judge -- at most once, in order, unchanged, and in the end all of it. */
#include "checker.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void account_grow(struct account *account, uint32_t pub, uint64_t seq)
{
    uint64_t old = account->room[pub], room = old ? old : 4096;
    while (room <= seq)
        room *= 2;
    if (room == old)
        return;
    account->seen[pub] = realloc(account->seen[pub], room / 8);
    if (account->seen[pub] == NULL)
        fatal("no memory");
    memset(account->seen[pub] + old / 64, 0, (room - old) / 8);
    account->room[pub] = room;
}

/* Returns whether it had been seen before. */
static bool account_mark(struct account *account, uint32_t pub, uint64_t seq)
{
    account_grow(account, pub, seq);
    uint64_t *word = &account->seen[pub][seq / 64], bit = (uint64_t)1 << seq % 64;
    bool was = (*word & bit) != 0;
    *word |= bit;
    account->count[pub] += !was;
    return was;
}

void account_fini(struct account *account)
{
    for (uint32_t pub = 0; pub < PUBLISHERS_MAX; pub++)
        free(account->seen[pub]);
}

/* 16 buckets for each power of two of microseconds. */
static uint32_t bucket_of(uint64_t us)
{
    uint32_t power = 0;
    while (us >> power > 31)
        power++;
    return power == 0 ? (uint32_t)us : power * 16 + (uint32_t)(us >> power);
}

static uint64_t bucket_us(uint32_t bucket)
{
    return bucket < 32 ? bucket : (uint64_t)(16 + bucket % 16) << (bucket / 16 - 1);
}

void judge_error(struct verdict *verdict, const char *text, size_t len)
{
    if (verdict->error[0] != '\0')
        return;
    if (len >= sizeof verdict->error)
        len = sizeof verdict->error - 1;
    for (size_t i = 0; i < len; i++) {
        bool is_plain = text[i] >= ' ' && text[i] <= '~' && text[i] != '"';
        verdict->error[i] = is_plain && text[i] != '\\' ? text[i] : '?';
    }
    verdict->error[len] = '\0';
}

static bool is_subject_of(const char *subject, size_t len, uint32_t pub)
{
    char expected[24];
    int size = snprintf(expected, sizeof expected, "chk.%" PRIu32, pub);
    return len == (size_t)size && memcmp(subject, expected, len) == 0;
}

void judge_message(struct verdict *verdict, struct reader *reader, uint64_t sid,
                   const char *subject, size_t subject_len, const uint8_t *payload,
                   size_t len, uint64_t now)
{
    struct payload_facts facts;
    verdict->delivered++;
    verdict->bytes += len;
    reader->delivered++;
    if (!payload_read(payload, len, &facts)) {
        verdict->corrupt++;
        return;
    }
    bool is_expected = facts.pub < PUBLISHERS_MAX && reader->account != NULL &&
                       (reader->account->publishers >> facts.pub & 1) != 0;
    if (!is_expected || sid == 0 || sid != reader->sid ||
        !is_subject_of(subject, subject_len, facts.pub)) {
        verdict->misrouted++;
        return;
    }
    if (account_mark(reader->account, facts.pub, facts.seq)) {
        verdict->duplicated++;
        return;
    }
    if (facts.seq < reader->next[facts.pub])
        verdict->reordered++;
    else
        reader->next[facts.pub] = facts.seq + 1;
    uint64_t us = now > facts.sent_ns ? (now - facts.sent_ns) / 1000 : 0;
    verdict->late[bucket_of(us)]++;
}

void judge_account(struct verdict *verdict, struct account *account,
                   const uint64_t sent[PUBLISHERS_MAX])
{
    for (uint32_t pub = 0; pub < PUBLISHERS_MAX; pub++) {
        if ((account->publishers >> pub & 1) == 0)
            continue;
        if (account->count[pub] > sent[pub])
            judge_error(verdict, "more than was sent", 18);
        else
            verdict->lost += sent[pub] - account->count[pub];
    }
}

bool judge_is_clean(const struct verdict *verdict)
{
    return verdict->lost == 0 && verdict->duplicated == 0 &&
           (verdict->reordered == 0 || verdict->ignores_order) &&
           verdict->corrupt == 0 && verdict->misrouted == 0 &&
           verdict->error[0] == '\0' && verdict->delivered > 0;
}

static uint64_t percentile_us(const struct verdict *verdict, double share)
{
    uint64_t total = 0, sum = 0;
    for (uint32_t i = 0; i < BUCKETS; i++)
        total += verdict->late[i];
    for (uint32_t i = 0; i < BUCKETS; i++) {
        sum += verdict->late[i];
        if (total > 0 && (double)sum >= share * (double)total)
            return bucket_us(i);
    }
    return 0;
}

void judge_print(const struct verdict *verdict, const char *more)
{
    printf("{\"verdict\": \"%s\", \"delivered\": %" PRIu64 ", \"bytes\": %" PRIu64
           ", \"lost\": %" PRIu64 ", \"duplicated\": %" PRIu64
           ", \"reordered\": %" PRIu64 ", \"corrupt\": %" PRIu64
           ", \"misrouted\": %" PRIu64 ", \"error\": \"%s\"",
           judge_is_clean(verdict) ? "clean" : "failed", verdict->delivered,
           verdict->bytes, verdict->lost, verdict->duplicated, verdict->reordered,
           verdict->corrupt, verdict->misrouted, verdict->error);
    printf(", \"p50_us\": %" PRIu64 ", \"p99_us\": %" PRIu64 ", \"p999_us\": %" PRIu64
           ", \"max_us\": %" PRIu64 "%s}\n",
           percentile_us(verdict, 0.5), percentile_us(verdict, 0.99),
           percentile_us(verdict, 0.999), percentile_us(verdict, 1.0), more);
}
