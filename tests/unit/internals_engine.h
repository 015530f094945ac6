/* The engine and its smaller parts, as the tests see them. */

#define ND_ACCEPT_PAUSE_MS ...
#define ND_CHANGE_SLICE ...
#define ND_EXPIRE_SLICE ...
#define ND_LAME_SLICE ...
#define ND_LINE_CEILING ...
#define ND_RUN_SLICE ...
#define ND_CHUNK_FIRST ...
#define ND_CHUNK_SIZE ...
#define ND_SHARE_MIN ...
#define ND_EVENT_BATCH ...
#define ND_LOG_LINE ...
#define ND_LOG_QUEUE ...
#define ND_PACE_MS ...
#define ND_OWED_MS ...
#define ND_LINGER_MS ...
#define ND_LINGER_BYTES ...
#define ND_STOP_MS ...
#define ND_REGRANT_MS ...
#define ND_REPLIES_MAX ...

struct nd_blob {
    uint32_t refs;
    uint32_t cap;
    struct nd_blob *next;
    uint8_t data[];
    ...;
};
struct nd_pool {
    struct nd_blob *first, *next;
    uint32_t bytes;
};
struct nd_blob *nd_blob_new(size_t cap);
struct nd_blob *nd_blob_copy(struct nd_slice bytes);
void nd_blob_release(struct nd_blob *blob);
void nd_pool_fini(struct nd_pool *pool);

struct iovec {
    void *iov_base;
    size_t iov_len;
    ...;
};
struct nd_outbuf {
    uint32_t count, cap;
    struct nd_blob *chunk;
    uint64_t pending;
    ...;
};
void nd_outbuf_init(struct nd_outbuf *out);
void nd_outbuf_fini(struct nd_outbuf *out, struct nd_pool *pool);
int nd_outbuf_append(struct nd_outbuf *out, struct nd_pool *pool,
                     struct nd_slice bytes);
int nd_outbuf_append_ref(struct nd_outbuf *out, struct nd_blob *blob,
                         struct nd_slice bytes);
uint8_t *nd_outbuf_room(const struct nd_outbuf *out, size_t len);
void nd_outbuf_commit(struct nd_outbuf *out, size_t len);
int nd_outbuf_peek(const struct nd_outbuf *out, struct iovec *iov, int max);
void nd_outbuf_consume(struct nd_outbuf *out, struct nd_pool *pool, uint64_t len);
int nd_outbuf_settle(struct nd_outbuf *out, struct nd_blob *blob);
const char *nd_outbuf_check(const struct nd_outbuf *out);

struct nd_rights {
    uint64_t grant;
    struct nd_permits *permits;
};
struct nd_memo_entry {
    struct nd_blob *note;
    uint32_t options;
    struct nd_rights rights;
    ...;
};
struct nd_memo {
    uint32_t next;
    ...;
};
const struct nd_memo_entry *nd_memo_find(const struct nd_memo *memo,
                                         const struct nd_hash_key *key,
                                         struct nd_slice text);
void nd_memo_put(struct nd_memo *memo, const struct nd_hash_key *key,
                 struct nd_slice text, struct nd_blob *note, uint32_t options,
                 struct nd_rights rights);
void nd_memo_fini(struct nd_memo *memo);

struct nd_spin {
    bool is_brisk;
    uint8_t in_vain;
    uint8_t sits_out;
};
bool nd_spin_is_due(const struct nd_spin *spin);
void nd_spin_ended(struct nd_spin *spin, bool has_found);
void nd_spin_slept(struct nd_spin *spin, uint64_t us);

struct nd_timer {
    struct nd_timer *prev, *next;
    uint64_t since_ms;
};
struct nd_timers {
    struct nd_timer *first, *last;
    uint64_t duration_ms;
};
void nd_timers_init(struct nd_timers *timers, uint64_t duration_ms);
void nd_timer_start(struct nd_timers *timers, struct nd_timer *timer, uint64_t now_ms);
void nd_timer_stop(struct nd_timers *timers, struct nd_timer *timer);
bool nd_timer_is_running(const struct nd_timer *timer);
uint64_t nd_timers_due(const struct nd_timers *timers);
void nd_timers_stop_all(struct nd_timers *timers);
struct nd_timer *nd_timers_take_due(struct nd_timers *timers, uint64_t now_ms);

struct nd_parcel {
    uint32_t size;
    uint32_t kind;
};
struct nd_page {
    struct nd_page *next;
    uint32_t used, cap;
    uint64_t weight;
    ...;
};
struct nd_page_pool {
    uint32_t count;
    ...;
};
void nd_page_pool_fini(struct nd_page_pool *pool);
struct nd_outbox {
    struct nd_page *first, *last;
    uint64_t weight;
    struct nd_page_pool *pool;
    struct nd_blob *chunk;
    uint32_t fill;
};
uint8_t *nd_outbox_room(struct nd_outbox *outbox, struct nd_pool *pool, size_t len);
struct nd_blob *nd_outbox_take_room(struct nd_outbox *outbox, size_t len);
void nd_outbox_close_room(struct nd_outbox *outbox);
struct nd_bell {
    int read_fd, write_fd;
};
struct nd_inbox {
    bool has_mail;
    bool is_asleep;
    uint64_t weight;
    struct nd_bell bell;
    ...;
};
int nd_inbox_init(struct nd_inbox *inbox);
void nd_inbox_fini(struct nd_inbox *inbox);
void *nd_outbox_push(struct nd_outbox *outbox, uint32_t kind, size_t size);
void nd_outbox_weigh(struct nd_outbox *outbox, uint64_t bytes);
void nd_outbox_post(struct nd_outbox *outbox, struct nd_inbox *inbox);
bool nd_inbox_has_mail(const struct nd_inbox *inbox);
struct nd_page *nd_inbox_take(struct nd_inbox *inbox);
void nd_page_free(struct nd_page *page);
bool nd_inbox_doze(struct nd_inbox *inbox);
void nd_inbox_wake(struct nd_inbox *inbox);
struct nd_parcel *nd_page_at(struct nd_page *page, size_t at);
struct nd_parcel *nd_page_next(struct nd_page *page, struct nd_parcel *parcel);

struct nd_event_node {
    struct nd_event_node *next;
    struct nd_event event;
    ...;
};
struct nd_events {
    struct nd_event_node *first, *last;
    uint64_t log_bytes;
    bool is_closed;
    uint64_t logs_dropped;
    ...;
};
int nd_events_init(struct nd_events *events);
void nd_events_fini(struct nd_events *events);
int nd_events_push(struct nd_events *events, const struct nd_event *event);
void nd_events_log(struct nd_events *events, enum nd_level level, uint64_t cid,
                   const char *prefix, struct nd_slice text);
struct nd_event_node *nd_events_take(struct nd_events *events);
void nd_events_close(struct nd_events *events);

/* ---- internals_engine.c ---- */

struct nd_test_conn { /* a connection, as it is now */
    int state;
    uint64_t pending;
    uint64_t tail_cap;
    uint64_t out_msgs;
    bool is_halted, is_blocked, is_heavy, is_sated;
};

/* False: there is no such connection. Not while its reactor runs. */
bool nd_test_conn_look(struct nd_engine *engine, uint64_t cid,
                       struct nd_test_conn *view);
/* Reactor 0 finds mail of nd_reconfigure with settings of this version. */
void nd_test_change(struct nd_engine *engine, const struct nd_options *options,
                    uint32_t version);
uint32_t nd_test_unanswered(struct nd_engine *engine);
struct nd_event_node *nd_test_events_take(struct nd_engine *engine); /* NULL: none */
void nd_test_event_free(struct nd_event_node *node);

/* NULL, or what is wrong with the index or a buffer. Not while reactors run. */
const char *nd_test_check(struct nd_engine *engine);

/* From now on the *nth* allocation fails (0 = none), and those after it as well if
 * *is_lasting*. */
void nd_test_alloc_fail(int64_t nth, bool is_lasting);
int64_t nd_test_alloc_calls(void); /* since nd_test_alloc_fail */
int64_t nd_test_alloc_live(void);  /* blocks not freed */
void nd_test_alloc_show(void);     /* where the last failure was, on stderr */

/* The next *times* accepts fail with this errno. */
void nd_test_accept_fail(int error, int times);
