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
struct nd_permits; /* what a user may do; counted, immutable */

struct nd_options {
    uint32_t reactors;          /* count, 1 to 64 */
    uint32_t max_connections;   /* count; 0 = no limit */
    uint32_t max_control_line;  /* bytes of the arguments of PUB, SUB and UNSUB */
    uint32_t max_connect_line;  /* bytes of the argument of CONNECT and INFO */
    int64_t max_payload;        /* bytes; negative = up to 1 GiB */
    uint64_t max_pending;       /* bytes owed to one connection before it is cut */
    uint32_t max_subscriptions; /* of one connection; 0 = no limit */
    uint32_t ping_interval_ms;  /* 0 = never */
    uint32_t ping_max;          /* PINGs that may stay unanswered, at most 254 */
    uint32_t write_deadline_ms; /* without progress for so long: a slow consumer */
    uint32_t auth_timeout_ms;   /* to a complete CONNECT, if auth is required */
    bool auth_required;
    bool debug; /* make ND_LEVEL_DEBUG events */
    bool trace; /* make ND_LEVEL_TRACE events, of connections made from now on */
    uint64_t open_grant; /* of clients that act without a CONNECT; as in nd_answer */
    struct nd_permits *open_permits;
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
    ND_VERDICT_NONE = 0,   /* nothing to say, or nd_answer_many follows later */
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
    uint64_t grant; /* ADMIT with a note: a number for why, see nd_regrant */
    struct nd_permits *permits; /* and what it may do; NULL = everything */
};

typedef void (*nd_on_events)(void *context, const struct nd_event *events,
                             struct nd_answer *answers, int32_t count);

/* ---- permissions ---- */

enum nd_rule_list {
    ND_RULE_PUBLISH_ALLOW = 0, /* an allow list without rules allows everything */
    ND_RULE_PUBLISH_DENY = 1,
    ND_RULE_SUBSCRIBE_ALLOW = 2,
    ND_RULE_SUBSCRIBE_DENY = 3,
};

struct nd_rule {
    uint32_t list;       /* enum nd_rule_list */
    const char *subject; /* a pattern */
    uint32_t subject_len;
    const char *queue;  /* SUBSCRIBE: a pattern too, for such queue groups alone */
    uint32_t queue_len; /* 0 = for all subscriptions */
};

/* *name* is the user's, for log lines. NULL: a rule is not valid, or no memory. The
 * engine keeps what it needs of it, so the caller may release it at any time. */
struct nd_permits *nd_permits_new(const char *name, uint32_t name_len,
                                  const struct nd_rule *rules, uint32_t count);
void nd_permits_release(struct nd_permits *permits);

/* ---- life ---- */

struct nd_engine *nd_engine_new(const struct nd_options *options); /* NULL: bad options
                             or no memory. Starts no thread and opens no socket */
void nd_engine_free(struct nd_engine *engine); /* after every run call has returned */

/* The INFO object without its last brace, as every client shall get it; the engine
 * adds client_id, client_ip and `} \r\n`. Before a reactor runs. */
int nd_engine_set_info(struct nd_engine *engine, const char *json, uint32_t len);

int nd_listen(struct nd_engine *engine, int fd); /* takes a listening socket */
int nd_adopt(struct nd_engine *engine, int fd);  /* takes a connected stream socket;
                                     ND_ESYS: it is none, and stays the caller's */

/* Runs reactor *index* until the engine stops. One thread for each. */
int nd_reactor_run(struct nd_engine *engine, uint32_t index);

/* Runs the control loop until every reactor has ended and all events are given out. */
int nd_control_run(struct nd_engine *engine, nd_on_events on_events, void *context);

/* Replaces all settings but the number of reactors (ND_EINVAL if it differs), and the
 * INFO object; if that is another one, clients of protocol 1 are told. All of it, or
 * nothing: ND_EINVAL, ND_ENOMEM. What Python decides from now on has to be by the new
 * rules: what it said of CONNECTs before is forgotten. */
int nd_reconfigure(struct nd_engine *engine, const struct nd_options *options,
                   const char *json, uint32_t len);

/* Closes the listeners, and tells clients of protocol 1 by this INFO object, which then
 * stays. After *grace_ms*, closes connections one by one, evenly over *duration_ms*,
 * with what they are owed. nd_stop ends it at any time; a second call does nothing. */
int nd_lame_duck(struct nd_engine *engine, const char *json, uint32_t len,
                 uint32_t grace_ms, uint32_t duration_ms);

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

/* Each to the connection of the same position. ND_ENOMEM: some were not sent. */
int nd_answer_many(struct nd_engine *engine, const uint64_t *cids,
                   const struct nd_answer *answers, int32_t count);
int nd_close(struct nd_engine *engine, uint64_t cid); /* no effect if it is gone */

struct nd_regrant {
    uint64_t grant;
    struct nd_permits *permits; /* in place of those that came with the grant */
    bool is_revoked; /* nobody is to be here by it: -ERR 'Authorization Violation' */
};

/* Changes what those may do who were let in by these grants, and those whose answer is
 * still on its way. Each grant once; a number that was revoked is not used again.
 * ND_ENOMEM: nothing has changed. */
int nd_regrant(struct nd_engine *engine, const struct nd_regrant *changes,
               uint32_t count);

/* ---- facts ---- */

void nd_stats_read(struct nd_engine *engine, struct nd_stats *stats);
const char *nd_poller_name(void); /* "epoll" or "external" */
const char *nd_strerror(int code);
