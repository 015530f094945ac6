#include "engine.h"

#include <stdlib.h>

#include "change.h"
#include "reactor.h"
#include "settings.h"

/* ---- life ---- */

static int make_reactors(struct nd_engine *engine, const struct nd_options *options)
{
    struct nd_settings *settings = nd_settings_new(options, 0);
    struct nd_blob *info = nd_change_print_info("{", 1);
    int rc = settings != NULL && info != NULL ? ND_OK : ND_ENOMEM;
    for (uint32_t i = 0; i < engine->reactor_count && rc == ND_OK; i++) {
        engine->reactors[i] = nd_reactor_new(engine, i, settings, info);
        rc = engine->reactors[i] != NULL ? ND_OK : ND_ENOMEM;
    }
    if (settings != NULL) {
        nd_settings_release(settings);
    }
    if (info != NULL) {
        nd_blob_release(info);
    }
    return rc;
}

static int fill(struct nd_engine *engine, const struct nd_options *options)
{
    uint32_t count = engine->reactor_count;
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
    return make_reactors(engine, options);
}

struct nd_engine *nd_engine_new(const struct nd_options *options)
{
    struct nd_engine *engine;
    if (!nd_options_are_valid(options) ||
        posix_memalign((void **)&engine, 64, sizeof(*engine)) != 0) {
        return NULL;
    }
    memset(engine, 0, sizeof(*engine));
    engine->reactor_count = options->reactors;
    engine->pid = nd_sys_pid();
    if (fill(engine, options) != ND_OK) {
        nd_engine_free(engine);
        return NULL;
    }
    return engine;
}

void nd_engine_free(struct nd_engine *engine)
{
    uint32_t count = engine->reactors != NULL ? engine->reactor_count : 0;
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
    free(engine);
}

static int check_process(const struct nd_engine *engine)
{
    return engine->pid == nd_sys_pid() ? ND_OK : ND_EFORK;
}

int nd_engine_set_info(struct nd_engine *engine, const char *json, uint32_t len)
{
    struct nd_blob *info = nd_change_print_info(json, len);
    if (info == NULL) {
        return ND_ENOMEM;
    }
    for (uint32_t i = 0; i < engine->reactor_count; i++) {
        nd_blob_retain(info);
        nd_change_set_info(engine->reactors[i], info);
    }
    nd_blob_release(info);
    return ND_OK;
}

/* ---- running ---- */

int nd_reactor_run(struct nd_engine *engine, uint32_t index)
{
    if (index >= engine->reactor_count) {
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
    if (index >= engine->reactor_count || now_ms == 0) {
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
    return index < engine->reactor_count
               ? nd_poll_wants(engine->reactors[index]->poll, wants, capacity)
               : ND_EINVAL;
}

void nd_stop(struct nd_engine *engine)
{
    if (check_process(engine) != ND_OK) {
        return;
    }
    atomic_store(&engine->is_stopping, true);
    for (uint32_t i = 0; i < engine->reactor_count; i++) {
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
    for (uint32_t i = 0; i < engine->reactor_count; i++) {
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
    rc = push_socket(engine, ND_MAIL_ADOPT, (uint32_t)(cid % engine->reactor_count), fd,
                     cid);
    if (rc == ND_OK) {
        atomic_fetch_add_explicit(&engine->total_connections, 1, memory_order_relaxed);
    } else {
        atomic_fetch_sub(&engine->connections, 1);
    }
    return rc;
}

/* *key*: the text that the answer is to be remembered for, as long as the settings have
 * that version; may be empty. */
static int push_answer(struct nd_engine *engine, struct mailbag *bag, uint32_t kind,
                       uint64_t cid, const struct nd_answer *answer, uint32_t version,
                       struct nd_slice key)
{
    uint32_t text_len = ND_MIN(answer->text_len, (uint32_t)ND_NOTE_MAX);
    uint32_t reason_len = ND_MIN(answer->reason_len, (uint32_t)ND_NOTE_MAX);
    struct nd_mail_answer *mail =
        nd_outbox_push(&bag->outboxes[cid % engine->reactor_count], kind,
                       sizeof(*mail) + text_len + reason_len + key.len);
    if (mail == NULL) {
        return ND_ENOMEM;
    }
    mail->cid = cid;
    mail->rights = (struct nd_rights){answer->grant, answer->permits};
    nd_permits_retain(answer->permits);
    mail->options = answer->options;
    mail->has_note = answer->text != NULL;
    mail->text_len = text_len;
    mail->reason_len = reason_len;
    mail->key_len = (uint32_t)key.len;
    mail->version = version;
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

static int push_verdict(struct nd_engine *engine, struct mailbag *bag, uint64_t cid,
                        const struct nd_answer *answer, uint32_t version,
                        struct nd_slice key)
{
    switch (answer->verdict) {
    case ND_VERDICT_ADMIT:
        return push_answer(engine, bag, ND_MAIL_ADMIT, cid, answer, version, key);
    case ND_VERDICT_REFUSE:
        return push_answer(engine, bag, ND_MAIL_REFUSE, cid, answer, version, key);
    default:
        return ND_OK;
    }
}

int nd_answer_many(struct nd_engine *engine, const uint64_t *cids,
                   const struct nd_answer *answers, int32_t count)
{
    struct mailbag bag = {0};
    int rc = check_process(engine);
    if (rc != ND_OK) {
        return rc;
    }
    for (int32_t i = 0; i < count; i++) {
        int pushed =
            push_verdict(engine, &bag, cids[i], &answers[i], 0, nd_slice(NULL, 0));
        rc = pushed != ND_OK ? pushed : rc;
    }
    post_bag(engine, &bag);
    return rc;
}

int nd_close(struct nd_engine *engine, uint64_t cid)
{
    struct nd_answer answer = {0};
    struct mailbag bag = {0};
    int rc = check_process(engine);
    if (rc == ND_OK) {
        rc = push_answer(engine, &bag, ND_MAIL_CLOSE, cid, &answer, 0,
                         nd_slice(NULL, 0));
        post_bag(engine, &bag);
    }
    return rc;
}

/* One reactor's copy of the changes. */
static int push_changes(struct nd_outbox *outbox, const struct nd_regrant *changes,
                        uint32_t count)
{
    struct nd_mail_regrant *mail =
        nd_outbox_push(outbox, ND_MAIL_REGRANT, sizeof(*mail));
    if (mail == NULL) {
        return ND_ENOMEM;
    }
    mail->changes = nd_changes_new(changes, count);
    return mail->changes != NULL ? ND_OK : ND_ENOMEM;
}

int nd_regrant(struct nd_engine *engine, const struct nd_regrant *changes,
               uint32_t count)
{
    struct mailbag bag = {0};
    int rc = check_process(engine);
    for (uint32_t i = 0; i < engine->reactor_count && rc == ND_OK; i++) {
        rc = push_changes(&bag.outboxes[i], changes, count);
    }
    if (rc == ND_OK) {
        post_bag(engine, &bag);
        return ND_OK;
    }
    for (uint32_t i = 0; i < engine->reactor_count; i++) {
        nd_reactor_dispose(bag.outboxes[i].first);
    }
    return rc;
}

/* ---- the control thread ---- */

/* Hands a batch to Python and mails its answers, one post for each reactor. */
static void hand_over(struct nd_engine *engine, struct nd_event_node *first,
                      nd_on_events on_events, void *context)
{
    /* Before Python decides: what it decides by older rules is not for the memo. */
    uint32_t version = atomic_load(&engine->version);
    struct nd_event events[ND_EVENT_BATCH] = {0};
    struct nd_answer answers[ND_EVENT_BATCH] = {0};
    struct mailbag bag = {0};
    int32_t count = 0;
    for (struct nd_event_node *node = first; node != NULL; node = node->next) {
        events[count++] = node->event;
    }
    on_events(context, events, answers, count);
    for (int32_t i = 0; i < count; i++) {
        bool is_kept = answers[i].is_lasting && events[i].prior == NULL;
        push_verdict(engine, &bag, events[i].cid, &answers[i], version,
                     nd_slice(events[i].text, is_kept ? events[i].text_len : 0));
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
    for (uint32_t i = 0; i < engine->reactor_count; i++) {
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
