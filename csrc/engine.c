#include "engine.h"

#include <stdlib.h>

#include "reactor.h"

/* ---- life ---- */

static bool are_valid(const struct nd_options *o)
{
    return o->reactors >= 1 && o->reactors <= ND_REACTORS_MAX &&
           o->max_control_line >= 1 && o->max_control_line <= ND_LINE_CEILING &&
           o->max_connect_line >= 1 && o->max_connect_line <= ND_LINE_CEILING &&
           o->max_payload <= ND_PAYLOAD_CEILING && o->max_pending >= 1 &&
           o->ping_max < UINT8_MAX && o->write_deadline_ms >= 1 &&
           (!o->auth_required || o->auth_timeout_ms >= 1);
}

static int fill(struct nd_engine *engine)
{
    uint32_t count = engine->options.reactors;
    int rc = nd_sys_random(&engine->key, sizeof(engine->key));
    if (rc == ND_OK) {
        rc = nd_events_init(&engine->events);
    }
    if (rc != ND_OK) {
        return rc;
    }
    engine->index = nd_sublist_new(&engine->key, count);
    engine->reactors = calloc(count, sizeof(*engine->reactors));
    if (engine->index == NULL || engine->reactors == NULL) {
        return ND_ENOMEM;
    }
    for (uint32_t i = 0; i < count; i++) {
        engine->reactors[i] = nd_reactor_new(engine, i);
        if (engine->reactors[i] == NULL) {
            return ND_ENOMEM;
        }
    }
    return nd_engine_set_info(engine, "{", 1);
}

struct nd_engine *nd_engine_new(const struct nd_options *options)
{
    struct nd_engine *engine;
    if (!are_valid(options) ||
        posix_memalign((void **)&engine, 64, sizeof(*engine)) != 0) {
        return NULL;
    }
    memset(engine, 0, sizeof(*engine));
    engine->options = *options;
    engine->limits.line = options->max_control_line;
    engine->limits.connect = options->max_connect_line;
    engine->max_payload = options->max_payload < 0 ? (uint64_t)ND_PAYLOAD_CEILING
                                                   : (uint64_t)options->max_payload;
    engine->high_water = ND_MAX(options->max_pending / 8, (uint64_t)1);
    engine->early_mark = ND_MIN(engine->high_water, (uint64_t)ND_FLUSH_EARLY);
    engine->inbox_high = ND_MIN(engine->high_water, (uint64_t)ND_MIB);
    /* Half of what a read brings: its owner begins while we go on, and finds it warm. All
     * together stay below a few marks of an inbox. */
    engine->outbox_high =
        ND_MIN(engine->inbox_high / 4, 4 * engine->inbox_high / options->reactors);
    engine->pid = nd_sys_pid();
    if (fill(engine) != ND_OK) {
        nd_engine_free(engine);
        return NULL;
    }
    return engine;
}

void nd_engine_free(struct nd_engine *engine)
{
    uint32_t count = engine->reactors != NULL ? engine->options.reactors : 0;
    if (engine->pid != nd_sys_pid()) {
        return; /* a fork: threads, sockets and memory are the parent's */
    }
    /* Mail may hold subscriptions of any reactor, and closing may send some more. */
    for (uint32_t i = 0; i < count; i++) {
        if (engine->reactors[i] != NULL) {
            nd_reactor_close_all(engine->reactors[i]);
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        if (engine->reactors[i] != NULL) {
            nd_reactor_free(engine->reactors[i]);
        }
    }
    free(engine->reactors);
    if (engine->index != NULL) {
        nd_sublist_free(engine->index);
    }
    nd_events_fini(&engine->events);
    free(engine->info);
    free(engine);
}

static int check_process(const struct nd_engine *engine)
{
    return engine->pid == nd_sys_pid() ? ND_OK : ND_EFORK;
}

int nd_engine_set_info(struct nd_engine *engine, const char *json, uint32_t len)
{
    static const char verb[] = "INFO ";
    uint32_t verb_len = sizeof(verb) - 1;
    uint8_t *info = malloc(verb_len + len);
    if (info == NULL) {
        return ND_ENOMEM;
    }
    memcpy(info, verb, verb_len);
    memcpy(info + verb_len, json, len);
    free(engine->info);
    engine->info = info;
    engine->info_len = verb_len + len;
    return ND_OK;
}

/* ---- running ---- */

int nd_reactor_run(struct nd_engine *engine, uint32_t index)
{
    if (index >= engine->options.reactors) {
        return ND_EINVAL;
    }
    if (check_process(engine) != ND_OK) {
        return ND_EFORK;
    }
    int64_t timeout_ms = 0;
    while (timeout_ms != ND_ESTATE) {
        timeout_ms = nd_reactor_turn(engine->reactors[index], timeout_ms, 0);
    }
    return ND_OK;
}

int64_t nd_reactor_step(struct nd_engine *engine, uint32_t index, uint64_t now_ms,
                        const struct nd_ready *ready, int32_t count)
{
    if (index >= engine->options.reactors || now_ms == 0) {
        return ND_EINVAL;
    }
    if (check_process(engine) != ND_OK) {
        return ND_EFORK;
    }
    struct nd_reactor *reactor = engine->reactors[index];
    if (reactor->is_ended) {
        return ND_ESTATE;
    }
    int rc = nd_poll_feed(reactor->poll, ready, count);
    if (rc != ND_OK) {
        return rc;
    }
    /* Whoever steps us sleeps for us: mail must ring the bell meanwhile. */
    nd_inbox_wake(&reactor->inbox);
    int64_t due_ms = nd_reactor_turn(reactor, 0, now_ms);
    bool may_sleep = due_ms != 0 && due_ms != ND_ESTATE;
    return may_sleep && !nd_inbox_doze(&reactor->inbox) ? 0 : due_ms;
}

int32_t nd_reactor_wants(struct nd_engine *engine, uint32_t index,
                         struct nd_want *wants, int32_t capacity)
{
    return index < engine->options.reactors
               ? nd_poll_wants(engine->reactors[index]->poll, wants, capacity)
               : ND_EINVAL;
}

void nd_stop(struct nd_engine *engine)
{
    if (check_process(engine) != ND_OK) {
        return;
    }
    atomic_store(&engine->is_stopping, true);
    for (uint32_t i = 0; i < engine->options.reactors; i++) {
        nd_bell_ring(&engine->reactors[i]->inbox.bell);
    }
}

/* ---- mail from threads that are no reactors ---- */

/* One outbox for each reactor, filled and posted within one call. */
struct mailbag {
    struct nd_outbox outboxes[ND_REACTORS_MAX];
};

static void post_bag(struct nd_engine *engine, struct mailbag *bag)
{
    for (uint32_t i = 0; i < engine->options.reactors; i++) {
        nd_outbox_post(&bag->outboxes[i], &engine->reactors[i]->inbox);
    }
}

static int push_socket(struct nd_engine *engine, uint32_t kind, uint32_t to, int fd,
                       uint64_t cid)
{
    struct mailbag bag = {0};
    struct nd_mail_socket *mail =
        nd_outbox_push(&bag.outboxes[to], kind, sizeof(*mail));
    if (mail == NULL) {
        return ND_ENOMEM;
    }
    mail->fd = fd;
    mail->cid = cid;
    mail->is_surplus = false;
    post_bag(engine, &bag);
    return ND_OK;
}

int nd_listen(struct nd_engine *engine, int fd)
{
    int rc = check_process(engine);
    return rc == ND_OK ? push_socket(engine, ND_MAIL_LISTEN, 0, fd, 0) : rc;
}

int nd_adopt(struct nd_engine *engine, int fd)
{
    int rc = check_process(engine);
    if (rc != ND_OK) {
        return rc;
    }
    if (nd_sys_prepare_socket(fd) != 0) {
        return ND_ESYS;
    }
    uint64_t cid = nd_engine_next_cid(engine);
    atomic_fetch_add(&engine->connections, 1); /* it may be gone before we return */
    rc = push_socket(engine, ND_MAIL_ADOPT, (uint32_t)(cid % engine->options.reactors),
                     fd, cid);
    if (rc == ND_OK) {
        atomic_fetch_add_explicit(&engine->total_connections, 1, memory_order_relaxed);
    } else {
        atomic_fetch_sub(&engine->connections, 1);
    }
    return rc;
}

/* *key*: the text that the answer is to be remembered for; may be empty. */
static int push_answer(struct nd_engine *engine, struct mailbag *bag, uint32_t kind,
                       uint64_t cid, const struct nd_answer *answer,
                       struct nd_slice key)
{
    uint32_t text_len = ND_MIN(answer->text_len, (uint32_t)ND_NOTE_MAX);
    uint32_t reason_len = ND_MIN(answer->reason_len, (uint32_t)ND_NOTE_MAX);
    struct nd_mail_answer *mail =
        nd_outbox_push(&bag->outboxes[cid % engine->options.reactors], kind,
                       sizeof(*mail) + text_len + reason_len + key.len);
    if (mail == NULL) {
        return ND_ENOMEM;
    }
    mail->cid = cid;
    mail->options = answer->options;
    mail->has_note = answer->text != NULL;
    mail->text_len = text_len;
    mail->reason_len = reason_len;
    mail->key_len = (uint32_t)key.len;
    if (text_len > 0) {
        memcpy(mail->text, answer->text, text_len);
    }
    if (reason_len > 0) {
        memcpy(mail->text + text_len, answer->reason, reason_len);
    }
    if (key.len > 0) {
        memcpy(mail->text + text_len + reason_len, key.ptr, key.len);
    }
    return ND_OK;
}

static int send_answer(struct nd_engine *engine, uint32_t kind, uint64_t cid,
                       const struct nd_answer *answer)
{
    struct mailbag bag = {0};
    int rc = check_process(engine);
    if (rc == ND_OK) {
        rc = push_answer(engine, &bag, kind, cid, answer, nd_slice(NULL, 0));
        post_bag(engine, &bag);
    }
    return rc;
}

int nd_admit(struct nd_engine *engine, uint64_t cid, uint32_t options, const char *note,
             uint32_t len)
{
    struct nd_answer answer = {.options = options, .text = note, .text_len = len};
    return send_answer(engine, ND_MAIL_ADMIT, cid, &answer);
}

int nd_refuse(struct nd_engine *engine, uint64_t cid, const char *text, uint32_t len)
{
    struct nd_answer answer = {.text = text, .text_len = len};
    return send_answer(engine, ND_MAIL_REFUSE, cid, &answer);
}

int nd_close(struct nd_engine *engine, uint64_t cid)
{
    struct nd_answer answer = {0};
    return send_answer(engine, ND_MAIL_CLOSE, cid, &answer);
}

/* ---- the control thread ---- */

/* Hands a batch to Python and mails its answers, one post for each reactor. */
static void hand_over(struct nd_engine *engine, struct nd_event_node *first,
                      nd_on_events on_events, void *context)
{
    struct nd_event events[ND_EVENT_BATCH] = {0};
    struct nd_answer answers[ND_EVENT_BATCH] = {0};
    struct mailbag bag = {0};
    int32_t count = 0;
    for (struct nd_event_node *node = first; node != NULL; node = node->next) {
        events[count++] = node->event;
    }
    on_events(context, events, answers, count);
    for (int32_t i = 0; i < count; i++) {
        if (answers[i].verdict != ND_VERDICT_NONE) {
            bool is_admitted = answers[i].verdict == ND_VERDICT_ADMIT;
            bool is_kept =
                is_admitted && answers[i].is_lasting && events[i].prior == NULL;
            push_answer(engine, &bag, is_admitted ? ND_MAIL_ADMIT : ND_MAIL_REFUSE,
                        events[i].cid, &answers[i],
                        nd_slice(events[i].text, is_kept ? events[i].text_len : 0));
        }
    }
    post_bag(engine, &bag);
    while (first != NULL) {
        struct nd_event_node *next = first->next;
        free(first);
        first = next;
    }
}

int nd_control_run(struct nd_engine *engine, nd_on_events on_events, void *context)
{
    struct nd_event_node *first;
    if (check_process(engine) != ND_OK) {
        return ND_EFORK;
    }
    while ((first = nd_events_take(&engine->events)) != NULL) {
        hand_over(engine, first, on_events, context);
    }
    return ND_OK;
}

/* ---- facts ---- */

static uint64_t read_number(const _Atomic uint64_t *number)
{
    return atomic_load_explicit(number, memory_order_relaxed);
}

void nd_stats_read(struct nd_engine *engine, struct nd_stats *stats)
{
    struct nd_sublist_counts index;
    memset(stats, 0, sizeof(*stats));
    for (uint32_t i = 0; i < engine->options.reactors; i++) {
        const struct nd_tally *tally = &engine->reactors[i]->tally;
        stats->in_msgs += read_number(&tally->in_msgs);
        stats->in_bytes += read_number(&tally->in_bytes);
        stats->out_msgs += read_number(&tally->out_msgs);
        stats->out_bytes += read_number(&tally->out_bytes);
        stats->slow_consumers += read_number(&tally->slow_consumers);
        stats->stale_connections += read_number(&tally->stale_connections);
        stats->cache_entries += read_number(&tally->cache_entries);
        stats->cache_hits += read_number(&tally->cache_hits);
        stats->cache_misses += read_number(&tally->cache_misses);
    }
    nd_sublist_count(engine->index, &index);
    stats->connections = read_number(&engine->connections);
    stats->total_connections = read_number(&engine->total_connections);
    stats->subscriptions = index.subscriptions;
    stats->sub_inserts = index.inserts;
    stats->sub_removes = index.removes;
    stats->logs_dropped = read_number(&engine->events.logs_dropped);
}

const char *nd_strerror(int code)
{
    switch (code) {
    case ND_OK:
        return "no error";
    case ND_ENOMEM:
        return "out of memory";
    case ND_EINVAL:
        return "an argument is out of range";
    case ND_ESYS:
        return "the operating system refused a descriptor or a lock";
    case ND_EFORK:
        return "the engine belongs to the process that made it, not to its fork";
    case ND_ESTATE:
        return "not possible in this state, or with this poller";
    default:
        return "unknown error";
    }
}
