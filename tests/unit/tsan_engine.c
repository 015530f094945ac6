/* tsan_engine -- the whole engine under churn, to be built with a sanitizer: four
 * reactors, the control thread, threads that give orders, and clients on raw sockets
 * that publish, subscribe, stall and vanish, while settings change; a lame duck ends it. Nobody looks at what arrives, other tests
 * do that: here the sanitizer is the judge.
 *
 *     tsan_engine SEED SECONDS
 *
 * Prints "ok" and what the engine counted. Every loop ends by the clock at the latest.
 */
#include <inttypes.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "nd.h"
#include "sys.h"

enum {
    REACTORS = 4,
    CLIENTS = 16,
    MEDDLERS = 2,
    GRANTS = 4,
    THREADS = REACTORS + 1 + CLIENTS + MEDDLERS,
    STALLED_EVERY = 8,          /* one client of so many never reads */
    RECENT = 64,                /* connections that an order to close may hit */
    SMALL_BUFFER = 16 * ND_KIB, /* of a socket, so that a stall is soon felt */
    LAME_MS = 100,  /* of a lame duck that would take twice as long, then the stop */
    AFTER_MS = 300, /* clients and orders go on for so long while the engine stops */
    PAUSE_US = 200
};

struct client {
    uint64_t chance;
    bool is_stalled;
    int fd;
    uint32_t len;
    char text[64 * ND_KIB]; /* what the next flush sends */
};

static struct nd_engine *engine;
static const char info[] = "{\"server_id\":\"x\"";
static const struct nd_options plain = {
    .reactors = REACTORS,
    .max_connections = 3 * CLIENTS, /* the adopted count too: some find no room */
    .max_control_line = ND_KIB,
    .max_connect_line = ND_KIB,
    .max_payload = ND_MIB,
    .max_pending = 512 * ND_KIB,
    .ping_interval_ms = 500,
    .ping_max = 2,
    .write_deadline_ms = 250,
    .debug = true,
};
static struct sockaddr_in address = {.sin_family = AF_INET};
static struct client clients[CLIENTS];
static uint64_t seed;
static uint64_t over_ms; /* monotonic; set before any thread starts */
static pthread_t threads[THREADS];
static uint32_t started;
static struct nd_permits *permits[GRANTS]; /* of the grants; the first has none */

static void require(bool is_true, const char *what)
{
    if (!is_true) {
        fprintf(stderr, "failed: %s\n", what);
        exit(1);
    }
}

static bool is_over(void)
{
    return nd_sys_now_ms() >= over_ms;
}

/* Below *limit*; every thread has a state of its own. */
static uint32_t next(uint64_t *chance, uint32_t limit)
{
    *chance = *chance * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (uint32_t)(*chance >> 33) % limit;
}

/* What a listener accepts has its sizes of buffers. */
static int open_socket(void)
{
    static const int size = SMALL_BUFFER;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    require(fd >= 0, "socket");
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    return fd;
}

/* Non-blocking, or -1: the engine has stopped, or its backlog is full. */
static int dial(void)
{
    int fd = open_socket();
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        nd_sys_close(fd);
        usleep(PAUSE_US); /* they will try again */
        return -1;
    }
    require(nd_sys_prepare_socket(fd) == 0, "prepare_socket");
    return fd;
}

/* ---- clients ---- */

__attribute__((format(printf, 2, 3))) static void add(struct client *client,
                                                      const char *format, ...)
{
    size_t room = sizeof(client->text) - client->len;
    va_list arguments;
    va_start(arguments, format);
    int len = vsnprintf(client->text + client->len, room, format, arguments);
    va_end(arguments);
    require(len >= 0 && (size_t)len < room, "room for text");
    client->len += (uint32_t)len;
}

/* Throws away what has come; false: the connection has ended. Bounded, as others may
 * send as fast as we read. */
static bool drink(struct client *client)
{
    char room[32 * ND_KIB];
    for (int i = 0; i < 16; i++) {
        int64_t got = nd_sys_read(client->fd, room, sizeof(room));
        if (got <= 0)
            return got == ND_AGAIN;
    }
    return true;
}

/* Reads while it cannot write: the engine takes nothing from one that is owed much. */
static bool flush(struct client *client)
{
    uint32_t sent = 0;
    while (sent < client->len && !is_over()) {
        struct iovec rest = {client->text + sent, client->len - sent};
        int64_t rc = nd_sys_writev(client->fd, &rest, 1);
        if (rc < 0 && (rc != ND_AGAIN || !drink(client)))
            return false;
        if (rc < 0)
            usleep(PAUSE_US);
        else
            sent += (uint32_t)rc;
    }
    client->len -= sent;
    return client->len == 0;
}

static void add_some(struct client *client, uint32_t round)
{
    uint32_t kind = next(&client->chance, 10), sid = 10 + round;
    if (kind < 4) {
        for (int i = 0; i < 20; i++)
            add(client, "PUB a.%u 5\r\nhello\r\n", next(&client->chance, 20));
    } else if (kind < 6) {
        for (int i = 0; i < 10; i++)
            add(client, "PUB shared reply 3\r\nabc\r\n");
    } else if (kind == 6) {
        /* Shared between receivers, perhaps also read in place. Its bytes are spaces. */
        int size = 5000 + (int)next(&client->chance, 40000);
        add(client, "PUB a.large %d\r\n%*s\r\n", size, size, "");
    } else if (kind == 7) {
        add(client, "SUB x.%u %u\r\nUNSUB %u\r\n", next(&client->chance, 50), sid, sid);
        add(client, "SUB shared workers 9\r\nUNSUB 9\r\nPUB literal 1\r\nx\r\n");
    } else if (kind == 8) {
        add(client, "PING\r\nPUB nobody a.reply 0\r\n\r\n");
    } else {
        add(client, "HPUB a.headers none 12 14\r\nNATS/1.0\r\n\r\nhi\r\n");
    }
}

static void talk(struct client *client)
{
    static const struct linger reset = {.l_onoff = 1};
    uint32_t rounds = 20 + next(&client->chance, 200);
    add(client, "CONNECT {}\r\nSUB a.* 1\r\nSUB shared workers 2\r\n");
    add(client, "SUB literal 3\r\nUNSUB 3 50\r\n");
    bool is_open = flush(client);
    for (uint32_t i = 0; i < rounds && is_open && !is_over(); i++) {
        if (client->is_stalled) {
            usleep(5000);
            continue;
        }
        add_some(client, i);
        is_open = flush(client) && drink(client);
    }
    client->len = 0;
    if (next(&client->chance, 3) == 0)
        setsockopt(client->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    nd_sys_close(client->fd);
}

static void *be_client(void *argument)
{
    struct client *client = argument;
    while (!is_over()) {
        client->fd = dial();
        if (client->fd >= 0)
            talk(client);
    }
    return NULL;
}

/* ---- the engine's threads, and those that give it orders ---- */

static void *run_reactor(void *argument)
{
    int rc = nd_reactor_run(engine, (uint32_t)(uintptr_t)argument);
    require(rc == ND_OK, "reactor");
    return NULL;
}

static void on_events(void *context, const struct nd_event *events,
                      struct nd_answer *answers, int32_t count)
{
    (void)context;
    for (int32_t i = 0; i < count; i++) {
        if (events[i].kind == ND_EV_LOG)
            continue;
        answers[i].verdict = ND_VERDICT_ADMIT;
        answers[i].options = ND_OPT_ECHO | ND_OPT_HEADERS | ND_OPT_NO_RESPONDERS;
        answers[i].options |= events[i].cid % 2 == 0 ? ND_OPT_ASYNC_INFO : 0;
        answers[i].text = events[i].kind == ND_EV_CONNECT ? "note" : NULL;
        answers[i].text_len = answers[i].text != NULL ? 4 : 0;
        answers[i].grant = events[i].cid % GRANTS;
        answers[i].permits = permits[answers[i].grant];
        answers[i].is_lasting = events[i].cid % 2 == 0;
        if (events[i].cid % 3 == 0) { /* as if it came later */
            nd_answer_many(engine, &events[i].cid, &answers[i], 1);
            answers[i].verdict = ND_VERDICT_NONE;
        }
    }
}

static void *run_control(void *argument)
{
    require(nd_control_run(engine, on_events, argument) == ND_OK, "control");
    return NULL;
}

static void reconfigure(uint64_t *chance)
{
    static const char other[] = "{\"server_id\":\"y\"";
    struct nd_options options = plain;
    options.open_grant = 1 + next(chance, 2);
    options.open_permits = permits[options.open_grant];
    options.max_pending = (128 + next(chance, 512)) * ND_KIB;
    options.max_payload = 30000 + next(chance, 30000);
    options.max_control_line = 64 + next(chance, 10000);
    options.max_connections = CLIENTS + next(chance, 3 * CLIENTS);
    options.max_subscriptions = next(chance, 3) == 0 ? 4 : 0;
    options.ping_interval_ms = next(chance, 3) * 50;
    options.auth_required = next(chance, 4) == 0;
    options.auth_timeout_ms = 20 + next(chance, 200);
    options.debug = next(chance, 2) == 0;
    options.trace = next(chance, 8) == 0;
    const char *json = next(chance, 2) == 0 ? info : other;
    require(nd_reconfigure(engine, &options, json, sizeof(info) - 1) == ND_OK,
            "reconfigure");
}

/* Other permits for one grant, the last of which is also taken away at times. */
static void regrant(uint64_t *chance)
{
    uint64_t grant = next(chance, GRANTS);
    struct nd_regrant change = {.grant = grant,
                                .permits = permits[next(chance, GRANTS)]};
    change.is_revoked = grant == GRANTS - 1 && next(chance, 8) == 0;
    require(nd_regrant(engine, &change, 1) == ND_OK, "regrant");
}

/* Closes whom it hits. What it has adopted is the other end of a connection that the
 * engine accepts, so the engine also talks to itself. */
static void *meddle(void *argument)
{
    uint64_t chance = seed + CLIENTS + (uintptr_t)argument;
    struct nd_stats stats;
    while (!is_over()) {
        usleep(10000);
        nd_stats_read(engine, &stats);
        uint64_t cid = stats.total_connections - next(&chance, RECENT);
        require(nd_close(engine, cid) == ND_OK, "close");
        regrant(&chance);
        int fd = next(&chance, 16) == 0 ? dial() : -1;
        require(fd < 0 || nd_adopt(engine, fd) == ND_OK, "adopt");
        reconfigure(&chance);
    }
    return NULL;
}

/* ---- start and end ---- */

static void start(void *(*work)(void *), void *argument)
{
    require(pthread_create(&threads[started++], NULL, work, argument) == 0, "thread");
}

static void make_permits(void)
{
    static const struct nd_rule rules[] = {
        {ND_RULE_SUBSCRIBE_DENY, "a.1", 3, "", 0},
        {ND_RULE_PUBLISH_DENY, "a.2", 3, "", 0},
        {ND_RULE_SUBSCRIBE_ALLOW, "a.*", 3, "", 0},
        {ND_RULE_SUBSCRIBE_ALLOW, "shared", 6, "workers", 7},
    };
    for (uint32_t i = 1; i < GRANTS; i++) {
        permits[i] = nd_permits_new("user", 4, rules, i + 1);
        require(permits[i] != NULL, "permits");
    }
}

static void start_engine(void)
{
    struct nd_options options = plain;
    options.open_grant = 1;
    options.open_permits = permits[1];
    engine = nd_engine_new(&options);
    require(engine != NULL, "engine");
    require(nd_engine_set_info(engine, info, sizeof(info) - 1) == ND_OK, "info");
    for (uintptr_t i = 0; i < REACTORS; i++)
        start(run_reactor, (void *)i);
    start(run_control, NULL);
}

static void start_listening(void)
{
    int fd = open_socket();
    socklen_t len = sizeof(address);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    require(bind(fd, (struct sockaddr *)&address, len) == 0, "bind");
    require(listen(fd, 128) == 0, "listen");
    require(getsockname(fd, (struct sockaddr *)&address, &len) == 0, "port");
    require(nd_sys_prepare_socket(fd) == 0, "prepare_socket");
    require(nd_listen(engine, fd) == ND_OK, "nd_listen");
}

int main(int argc, char **argv)
{
    struct nd_stats stats;
    require(argc == 3, "tsan_engine SEED SECONDS");
    seed = strtoul(argv[1], NULL, 10);
    unsigned long seconds = strtoul(argv[2], NULL, 10);
    require(seconds >= 1 && seconds <= 60, "SECONDS");
    over_ms = nd_sys_now_ms() + seconds * 1000 + LAME_MS + AFTER_MS;
    make_permits();
    start_engine();
    start_listening();
    for (uint32_t i = 0; i < CLIENTS; i++) {
        clients[i].chance = seed + i;
        clients[i].is_stalled = i % STALLED_EVERY == 0;
        start(be_client, &clients[i]);
    }
    for (uintptr_t i = 0; i < MEDDLERS; i++)
        start(meddle, (void *)i);
    sleep((unsigned)seconds);
    require(nd_lame_duck(engine, info, sizeof(info) - 1, 0, 2 * LAME_MS) == ND_OK,
            "lame duck");
    usleep(LAME_MS * 1000);
    nd_stop(engine);
    for (uint32_t i = 0; i < started; i++)
        require(pthread_join(threads[i], NULL) == 0, "join");
    nd_stats_read(engine, &stats);
    nd_engine_free(engine);
    for (uint32_t i = 1; i < GRANTS; i++)
        nd_permits_release(permits[i]);
    printf(
        "ok in %" PRIu64 " out %" PRIu64 " connections %" PRIu64 " slow %" PRIu64 "\n",
        stats.in_msgs, stats.out_msgs, stats.total_connections, stats.slow_consumers);
    return 0;
}
