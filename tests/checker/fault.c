/* fault -- the judge is judged: a perfect delivery with one thing broken in it.
 *
 * Two publishers, a plain subscriber of the first, a wildcard subscriber, two members
 * of a queue group. The bytes go through the same parser and judge as those of a
 * server; no socket is opened.
 */
#include "checker.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PUBS = 2, MESSAGES = 200, VICTIM = 77, READERS = 4 };
enum { PLAIN, WILDCARD, MEMBER_A, MEMBER_B };

struct stage {
    const char *fault;
    struct verdict verdict;
    struct account accounts[3];
    struct peer peers[READERS];
    uint8_t *bytes; /* one delivery */
};

static bool is_fault(const struct stage *stage, const char *name)
{
    return strcmp(stage->fault, name) == 0;
}

/* Writes one delivery into stage->bytes; returns its length, *body* is the payload. */
static size_t compose(struct stage *stage, uint32_t reader, uint32_t pub, uint64_t seq,
                      uint8_t **body)
{
    uint32_t size = payload_size(pub, seq);
    uint64_t sid = stage->peers[reader].reader.sid;
    int len =
        snprintf((char *)stage->bytes, 64,
                 "MSG chk.%" PRIu32 " %" PRIu64 " %" PRIu32 "\r\n", pub, sid, size);
    *body = stage->bytes + len;
    payload_write(*body, pub, seq, now_ns());
    memcpy(*body + size, "\r\n", 2);
    return (size_t)len + size + 2;
}

static void deliver(struct stage *stage, uint32_t reader, uint32_t pub, uint64_t seq)
{
    uint8_t *body;
    size_t len = compose(stage, reader, pub, seq, &body);
    peer_feed(&stage->peers[reader], stage->bytes, len);
}

/* A delivery with something wrong in its bytes; false if the fault is of another kind.
 */
static bool deliver_broken(struct stage *stage, uint32_t reader, uint32_t pub,
                           uint64_t seq)
{
    uint8_t *body;
    size_t len = compose(stage, reader, pub, seq, &body);
    if (is_fault(stage, "flip-body"))
        body[payload_size(pub, seq) - 1] ^= 4;
    else if (is_fault(stage, "flip-sequence"))
        body[8] ^= 1;
    else if (is_fault(stage, "flip-time"))
        body[16] ^= 1;
    else if (is_fault(stage, "subject"))
        stage->bytes[8] ^= 1; /* MSG chk.0 becomes MSG chk.1 */
    else if (is_fault(stage, "sid"))
        stage->bytes[10] ^= 1;
    else if (is_fault(stage, "framing"))
        stage->bytes[len - 2] = ' ';
    else if (is_fault(stage, "verb"))
        stage->bytes[0] = 'X';
    else
        return false;
    peer_feed(&stage->peers[reader], stage->bytes, len);
    return true;
}

/* The victim message at the plain subscriber. */
static void deliver_victim(struct stage *stage, uint64_t seq)
{
    if (is_fault(stage, "drop") || deliver_broken(stage, PLAIN, 0, seq))
        return;
    if (is_fault(stage, "swap")) {
        deliver(stage, PLAIN, 0, seq + 1);
        deliver(stage, PLAIN, 0, seq);
        return;
    }
    deliver(stage, PLAIN, 0, seq);
    if (is_fault(stage, "duplicate"))
        deliver(stage, PLAIN, 0, seq);
    if (is_fault(stage, "stranger"))
        deliver(stage, PLAIN, 1, seq);
}

static void deliver_to_group(struct stage *stage, uint32_t pub, uint64_t seq)
{
    bool is_victim = pub == 0 && seq == VICTIM;
    uint32_t member = seq % 3 == 0 ? MEMBER_A : MEMBER_B;
    if (!(is_victim && is_fault(stage, "group-none")))
        deliver(stage, member, pub, seq);
    if (is_victim && is_fault(stage, "group-twice"))
        deliver(stage, MEMBER_A + MEMBER_B - member, pub, seq);
}

static void play(struct stage *stage)
{
    for (uint64_t seq = 0; seq < MESSAGES; seq++) {
        bool is_tail = seq == MESSAGES - 1 && is_fault(stage, "tail");
        bool is_swapped = seq == VICTIM + 1 && is_fault(stage, "swap");
        if (seq == VICTIM)
            deliver_victim(stage, seq);
        else if (!is_tail && !is_swapped)
            deliver(stage, PLAIN, 0, seq);
        for (uint32_t pub = 0; pub < PUBS; pub++) {
            deliver(stage, WILDCARD, pub, seq);
            deliver_to_group(stage, pub, seq);
        }
        for (uint32_t i = 0; i < READERS; i++)
            peer_parse(&stage->peers[i], &stage->verdict);
    }
}

int run_judge(const struct settings *settings)
{
    uint64_t sent[PUBLISHERS_MAX] = {MESSAGES, MESSAGES};
    struct stage stage = {.fault = settings->fault};
    stage.bytes = malloc(PAYLOAD_MAX + 128);
    if (stage.bytes == NULL)
        fatal("no memory");
    for (uint32_t i = 0; i < READERS; i++) {
        struct account *account = &stage.accounts[i < MEMBER_A ? i : MEMBER_A];
        account->publishers = i == PLAIN ? 1 : 3;
        stage.peers[i].fd = -1;
        stage.peers[i].reader.account = account;
        stage.peers[i].reader.sid = GROUP_SID + i;
    }
    play(&stage);
    for (uint32_t i = 0; i <= MEMBER_A; i++) {
        judge_account(&stage.verdict, &stage.accounts[i], sent);
        account_fini(&stage.accounts[i]);
    }
    for (uint32_t i = 0; i < READERS; i++)
        peer_close(&stage.peers[i]);
    free(stage.bytes);
    judge_print(&stage.verdict, "");
    return judge_is_clean(&stage.verdict) ? 0 : 1;
}
