/* nd_api.h -- everything that Python can see of the engine.
 *
 * This file is a C header and the cffi declaration at once, so that the two sides
 * cannot drift. cffi reads declarations only: no guards, no conditionals, no
 * expressions here. nd.h includes it exactly once for the C side.
 *
 * Unless a line says otherwise, a call may be made by any thread, never waits for a
 * reactor, and returns 0 or a negative ND_E code. Pointers that go in are borrowed
 * for the call; pointers that come out are borrowed until the callback returns.
 */

enum nd_error {
    ND_OK = 0,
    ND_ENOMEM = -1, /* no memory */
    ND_EINVAL = -2, /* an argument is out of its range */
    ND_ESYS = -3,  /* the operating system refused a descriptor or a thread primitive */
    ND_EFORK = -4, /* this process is a fork of the one that made the engine */
    ND_ESTATE = -5, /* not in this state of the engine, or not with this poller */
};

struct nd_engine;

struct nd_options {
    uint32_t reactors;          /* count, 1 to 64 */
    uint32_t max_connections;   /* count; 0 = no limit */
    uint32_t max_control_line;  /* bytes of the arguments of PUB, SUB and UNSUB */
    uint32_t max_connect_line;  /* bytes of the argument of CONNECT and INFO */
    int64_t max_payload;        /* bytes; negative = up to 1 GiB */
    uint64_t max_pending;       /* bytes owed to one connection before it is cut */
    uint32_t ping_interval_ms;  /* 0 = never */
    uint32_t ping_max;          /* PINGs that may stay unanswered, at most 254 */
    uint32_t write_deadline_ms; /* without progress for so long: a slow consumer */
    uint32_t auth_timeout_ms;   /* to a complete CONNECT, if auth is required */
    bool auth_required;
    bool debug; /* make ND_LEVEL_DEBUG events */
    bool trace; /* make ND_LEVEL_TRACE events, of connections made from now on */
};

struct nd_stats {
    uint64_t in_msgs;           /* complete PUB and HPUB received */
    uint64_t in_bytes;          /* payload (and header) bytes of those */
    uint64_t out_msgs;          /* MSG and HMSG written, one per delivery */
    uint64_t out_bytes;         /* payload (and header) bytes of those */
    uint64_t connections;       /* open now */
    uint64_t total_connections; /* accepted since start */
    uint64_t slow_consumers;    /* cut since start */
    uint64_t stale_connections; /* cut for unanswered PINGs since start */
    uint64_t subscriptions;     /* in the index now */
    uint64_t sub_inserts;       /* since start */
    uint64_t sub_removes;       /* since start */
    uint64_t cache_entries;     /* match results cached now, all reactors */
    uint64_t cache_hits;        /* lookups answered by a cache, since start */
    uint64_t cache_misses;      /* lookups answered by the index, since start */
    uint64_t logs_dropped; /* log and trace events dropped because the queue was full */
};

/* ---- events: C to Python, on the control thread alone ---- */

enum nd_event_kind {
    ND_EV_CONNECT = 1, /* a client sent CONNECT and waits for the answer */
    ND_EV_INFO = 2,    /* a client sent INFO and waits; only its syntax matters */
    ND_EV_LOG = 3,     /* a line for the log; no answer */
};

enum nd_level {
    ND_LEVEL_INFO = 1,
    ND_LEVEL_ERROR = 2,
    ND_LEVEL_DEBUG = 3,
    ND_LEVEL_TRACE = 4,
};

struct nd_event {
    uint32_t kind;    /* enum nd_event_kind */
    uint32_t level;   /* enum nd_level, of a LOG */
    uint64_t cid;     /* of the connection; 0 = of none */
    const char *text; /* CONNECT, INFO: the argument as sent. LOG: printable ASCII */
    uint32_t text_len;
    const char *prior; /* CONNECT: the note that an earlier CONNECT left, or NULL */
    uint32_t prior_len;
    const char *peer; /* CONNECT, INFO: "ip:port - cid:n", as log lines begin */
    uint32_t peer_len;
    bool is_traced; /* CONNECT: to be traced by Python, which knows the secrets */
};

enum nd_verdict {
    ND_VERDICT_NONE = 0,   /* nothing to say, or nd_admit / nd_refuse follows later */
    ND_VERDICT_ADMIT = 1,  /* let it in with these options; keep the note */
    ND_VERDICT_REFUSE = 2, /* send -ERR 'text', none if it is empty, and close */
};

/* Bits of nd_answer.options. */
enum nd_connect_option {
    ND_OPT_VERBOSE = 1,
    ND_OPT_PEDANTIC = 2,
    ND_OPT_ECHO = 4,
    ND_OPT_HEADERS = 8,
    ND_OPT_NO_RESPONDERS = 16,
    ND_OPT_ASYNC_INFO = 32, /* protocol 1 or later */
};

struct nd_answer {      /* to the event of the same position; arrives zeroed */
    uint32_t verdict;   /* enum nd_verdict */
    uint32_t options;   /* ADMIT: bits of enum nd_connect_option */
    const char *text;   /* ADMIT: the note to keep; NULL = note and options stay as they
                           are, as for INFO. REFUSE: the error text. Must live
                           until the next callback, or the end of the control loop */
    uint32_t text_len;  /* at most 8192 */
    bool is_lasting;    /* ADMIT, to a client without a prior note: the same for whoever
                           sends the same text, so Python need not be asked again */
    const char *reason; /* REFUSE: for the log, level ERROR; NULL = no line */
    uint32_t reason_len;
};

typedef void (*nd_on_events)(void *context, const struct nd_event *events,
                             struct nd_answer *answers, int32_t count);

/* ---- life ---- */

struct nd_engine *nd_engine_new(const struct nd_options *options); /* NULL: bad options
                             or no memory. Starts no thread and opens no socket */
void nd_engine_free(struct nd_engine *engine); /* after every run call has returned */

/* The INFO object without its last brace, as every client shall get it; the engine
 * adds client_id, client_ip and `} \r\n`. Before the first nd_listen or nd_adopt. */
int nd_engine_set_info(struct nd_engine *engine, const char *json, uint32_t len);

int nd_listen(struct nd_engine *engine, int fd); /* takes a listening socket */
int nd_adopt(struct nd_engine *engine, int fd);  /* takes a connected stream socket;
                                     ND_ESYS: it is none, and stays the caller's */

/* Runs reactor *index* until the engine stops. One thread for each. */
int nd_reactor_run(struct nd_engine *engine, uint32_t index);

/* Runs the control loop until every reactor has ended and all events are given out. */
int nd_control_run(struct nd_engine *engine, nd_on_events on_events, void *context);

/* Ends every run call: no more reading, what is owed gets 0.5 s, then all is closed. */
void nd_stop(struct nd_engine *engine);

/* ---- one reactor by hand: tests, and platforms without epoll ---- */

struct nd_ready {
    int fd;
    bool readable; /* end of stream and errors count as readable */
    bool writable;
};

struct nd_want { /* what to watch a descriptor for; both false: forget it */
    int fd;
    bool readable;
    bool writable;
};

/* One turn at time *now_ms* (monotonic). The ready list is for the external poller
 * only; the others look for themselves, without waiting. Returns the milliseconds
 * until the next turn is due: 0 = at once, -1 = when a descriptor is ready; or, below
 * -1, an ND_E code, ND_ESTATE meaning that the engine stopped and so this reactor. */
int64_t nd_reactor_step(struct nd_engine *engine, uint32_t index, uint64_t now_ms,
                        const struct nd_ready *ready, int32_t count);

/* Changes of interest since the last call, at most *capacity*; returns how many. The
 * external poller only. */
int32_t nd_reactor_wants(struct nd_engine *engine, uint32_t index,
                         struct nd_want *wants, int32_t capacity);

/* ---- answers that come later, and orders ---- */

int nd_admit(struct nd_engine *engine, uint64_t cid, uint32_t options, const char *note,
             uint32_t len);
int nd_refuse(struct nd_engine *engine, uint64_t cid, const char *text, uint32_t len);
int nd_close(struct nd_engine *engine, uint64_t cid); /* no effect if it is gone */

/* ---- facts ---- */

void nd_stats_read(struct nd_engine *engine, struct nd_stats *stats);
const char *nd_poller_name(void); /* "epoll" or "external" */
const char *nd_strerror(int code);
