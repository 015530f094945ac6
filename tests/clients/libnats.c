/* The steps of tests/clients with libnats, the C client; steps.py describes the report
 * that the test expects. A step that fails prints the line where it did.
 */
#include <nats/nats.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WAIT_MS = 5000, MEGABYTE = 1024 * 1024 };

static char failure[256];

static bool note(bool is_right, natsStatus status, const char *what, int line)
{
    if (!is_right && failure[0] == '\0')
        snprintf(failure, sizeof failure, "line %d: %.80s: %s", line, what,
                 natsStatus_GetText(status));
    return is_right;
}

/* Each makes a step fail, and the step goes on: it has to tidy up all the same. */
#define DO(call) do_(call, #call, __LINE__)
#define CHECK(condition) note(condition, NATS_OK, #condition, __LINE__)

static bool do_(natsStatus status, const char *what, int line)
{
    return note(status == NATS_OK, status, what, line);
}

static void report(const char *step)
{
    for (char *at = failure; *at != '\0'; at++)
        if (*at == '"' || *at == '\\')
            *at = '\'';
    printf("{\"step\": \"%s\", \"ok\": %s, \"error\": \"%s\"}\n", step,
           failure[0] == '\0' ? "true" : "false", failure);
    fflush(stdout);
    failure[0] = '\0';
}

/* The next message has this subject and these bytes; either may be NULL. */
static bool expect(natsSubscription *sub, const char *subject, const void *data,
                   int len)
{
    natsMsg *msg = NULL;
    if (sub == NULL || !DO(natsSubscription_NextMsg(&msg, sub, WAIT_MS)))
        return false;
    bool is_right =
        CHECK(subject == NULL || strcmp(natsMsg_GetSubject(msg), subject) == 0);
    is_right &=
        CHECK(data == NULL || (natsMsg_GetDataLength(msg) == len &&
                               memcmp(natsMsg_GetData(msg), data, (size_t)len) == 0));
    natsMsg_Destroy(msg);
    return is_right;
}

static void publish_subscribe(natsConnection *nc)
{
    natsSubscription *sub = NULL;
    char text[16];
    DO(natsConnection_SubscribeSync(&sub, nc, "news"));
    for (int i = 0; i < 100; i++) {
        snprintf(text, sizeof text, "%d", i);
        DO(natsConnection_PublishString(nc, "news", text));
    }
    for (int i = 0; i < 100; i++) {
        int len = snprintf(text, sizeof text, "%d", i);
        if (!expect(sub, "news", text, len))
            break;
    }
    natsSubscription_Destroy(sub);
}

static void wildcard(natsConnection *nc)
{
    static const char *subjects[] = {"wild.a.x", "wild.a.y", "wild.a.b.x"};
    natsSubscription *one = NULL, *all = NULL;
    uint64_t left = 99;
    DO(natsConnection_SubscribeSync(&one, nc, "wild.*.x"));
    DO(natsConnection_SubscribeSync(&all, nc, "wild.>"));
    for (int i = 0; i < 3; i++)
        DO(natsConnection_PublishString(nc, subjects[i], "x"));
    for (int i = 0; i < 3; i++)
        expect(all, subjects[i], NULL, 0);
    expect(one, subjects[0], NULL, 0);
    DO(natsSubscription_QueuedMsgs(one, &left));
    CHECK(left == 0);
    natsSubscription_Destroy(one);
    natsSubscription_Destroy(all);
}

static void queue_group(natsConnection *nc)
{
    natsSubscription *members[3] = {NULL};
    bool seen[300] = {false};
    int total = 0;
    for (int i = 0; i < 3; i++)
        DO(natsConnection_QueueSubscribeSync(&members[i], nc, "work", "workers"));
    for (int i = 0; i < 300; i++)
        DO(natsConnection_Publish(nc, "work", &i, sizeof i));
    DO(natsConnection_Flush(nc));
    for (int i = 0; i < 3; i++) {
        natsMsg *msg = NULL;
        int before = total;
        while (natsSubscription_NextMsg(&msg, members[i], 1) == NATS_OK) {
            int number;
            memcpy(&number, natsMsg_GetData(msg), sizeof number);
            CHECK(number >= 0 && number < 300 && !seen[number]);
            seen[number] = true;
            total++;
            natsMsg_Destroy(msg);
        }
        CHECK(total > before);
        natsSubscription_Destroy(members[i]);
    }
    CHECK(total == 300);
}

static void answer(natsConnection *nc, natsSubscription *sub, natsMsg *msg,
                   void *closure)
{
    (void)sub;
    (void)closure;
    natsConnection_PublishString(nc, natsMsg_GetReply(msg), "HELLO");
    natsMsg_Destroy(msg);
}

static void request_reply(natsConnection *nc)
{
    natsSubscription *sub = NULL;
    DO(natsConnection_Subscribe(&sub, nc, "upper", answer, NULL));
    for (int i = 0; i < 10; i++) {
        natsMsg *reply = NULL;
        if (!DO(natsConnection_RequestString(&reply, nc, "upper", "hello", WAIT_MS)))
            break;
        CHECK(natsMsg_GetDataLength(reply) == 5);
        CHECK(memcmp(natsMsg_GetData(reply), "HELLO", 5) == 0);
        natsMsg_Destroy(reply);
    }
    natsSubscription_Destroy(sub);
}

static void headers(natsConnection *nc)
{
    natsSubscription *sub = NULL;
    natsMsg *msg = NULL, *got = NULL;
    const char *colour = NULL;
    DO(natsConnection_SubscribeSync(&sub, nc, "headed"));
    DO(natsMsg_Create(&msg, "headed", NULL, "body", 4));
    DO(natsMsgHeader_Set(msg, "Colour", "blue"));
    DO(natsConnection_PublishMsg(nc, msg));
    if (DO(natsSubscription_NextMsg(&got, sub, WAIT_MS))) {
        DO(natsMsgHeader_Get(got, "Colour", &colour));
        CHECK(colour != NULL && strcmp(colour, "blue") == 0);
        CHECK(natsMsg_GetDataLength(got) == 4);
    }
    natsMsg_Destroy(got);
    natsMsg_Destroy(msg);
    natsSubscription_Destroy(sub);
}

static void no_responders(natsConnection *nc)
{
    natsMsg *reply = NULL;
    int64_t start = nats_Now();
    natsStatus status =
        natsConnection_RequestString(&reply, nc, "nobody.is.here", "", WAIT_MS);
    note(status == NATS_NO_RESPONDERS, status, "a request to nobody", __LINE__);
    CHECK(nats_Now() - start < WAIT_MS / 2);
    natsMsg_Destroy(reply);
}

static void megabyte(natsConnection *nc)
{
    natsSubscription *sub = NULL;
    char *payload = malloc(MEGABYTE);
    if (!CHECK(payload != NULL))
        return;
    for (int i = 0; i < MEGABYTE; i++)
        payload[i] = (char)(i % 251);
    CHECK(natsConnection_GetMaxPayload(nc) == MEGABYTE);
    DO(natsConnection_SubscribeSync(&sub, nc, "large"));
    for (int i = 0; i < 3; i++)
        DO(natsConnection_Publish(nc, "large", payload, MEGABYTE));
    for (int i = 0; i < 3; i++)
        expect(sub, "large", payload, MEGABYTE);
    natsSubscription_Destroy(sub);
    free(payload);
}

static void reconnect(natsConnection *nc)
{
    natsSubscription *sub = NULL;
    natsStatistics *statistics = NULL;
    uint64_t times = 0;
    char line[16];
    int64_t start;
    DO(natsConnection_SubscribeSync(&sub, nc, "again"));
    DO(natsConnection_Flush(nc));
    DO(natsStatistics_Create(&statistics));
    printf("{\"ask\": \"restart\"}\n");
    fflush(stdout);
    CHECK(fgets(line, sizeof line, stdin) != NULL);
    for (start = nats_Now(); times == 0 && nats_Now() - start < WAIT_MS;
         nats_Sleep(5)) {
        natsConnection_GetStats(nc, statistics);
        natsStatistics_GetCounts(statistics, NULL, NULL, NULL, NULL, &times);
    }
    CHECK(times == 1);
    DO(natsConnection_PublishString(nc, "again", "back"));
    expect(sub, "again", "back", 4);
    natsStatistics_Destroy(statistics);
    natsSubscription_Destroy(sub);
}

static natsConnection *open_connection(const char *port)
{
    char url[64];
    natsOptions *options = NULL;
    natsConnection *nc = NULL;
    snprintf(url, sizeof url, "nats://127.0.0.1:%.5s", port);
    DO(natsOptions_Create(&options));
    DO(natsOptions_SetURL(options, url));
    DO(natsOptions_SetReconnectWait(options, 50));
    DO(natsOptions_SetReconnectJitter(options, 0, 0));
    DO(natsOptions_SetMaxReconnect(options, -1));
    DO(natsConnection_Connect(&nc, options));
    natsOptions_Destroy(options);
    return nc;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(natsConnection *nc);
    } steps[] = {
        {"publish_subscribe", publish_subscribe},
        {"wildcard", wildcard},
        {"queue_group", queue_group},
        {"request_reply", request_reply},
        {"headers", headers},
        {"no_responders", no_responders},
        {"megabyte", megabyte},
        {"reconnect", reconnect},
    };
    natsConnection *nc = open_connection(argc > 1 ? argv[1] : "4222");
    report("connect");
    if (nc == NULL)
        return 1;
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        steps[i].run(nc);
        report(steps[i].name);
    }
    natsConnection_Destroy(nc);
    nats_Close();
    return 0;
}
