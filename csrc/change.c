#include "change.h"

#include "conn.h"
#include "lame.h"
#include "reactor.h"
#include "rights.h"

/* ---- the giver's side, any thread ---- */

struct nd_blob *nd_change_print_info(const char *json, uint32_t len)
{
    static const char verb[] = "INFO ";
    size_t verb_len = sizeof(verb) - 1;
    struct nd_blob *info = nd_blob_new(verb_len + len);
    if (info != NULL) {
        memcpy(info->data, verb, verb_len);
        memcpy(info->data + verb_len, json, len);
    }
    return info;
}

/* The same to every reactor, or to none. */
static int tell_all(struct nd_engine *engine, uint32_t kind,
                    const struct nd_mail_change *order)
{
    struct nd_outbox boxes[ND_REACTORS_MAX] = {0};
    int rc = ND_OK;
    for (uint32_t i = 0; i < engine->reactor_count && rc == ND_OK; i++) {
        struct nd_mail_change *mail = nd_outbox_push(&boxes[i], kind, sizeof(*mail));
        if (mail == NULL) {
            rc = ND_ENOMEM;
            break;
        }
        struct nd_parcel head = mail->head;
        *mail = *order;
        mail->head = head;
        nd_blob_retain(mail->info);
        if (mail->settings != NULL) {
            nd_settings_retain(mail->settings);
        }
    }
    for (uint32_t i = 0; i < engine->reactor_count; i++) {
        if (rc == ND_OK) {
            nd_outbox_post(&boxes[i], &engine->reactors[i]->inbox);
        } else {
            nd_reactor_dispose(boxes[i].first);
        }
    }
    return rc;
}

int nd_reconfigure(struct nd_engine *engine, const struct nd_options *options,
                   const char *json, uint32_t len)
{
    if (engine->pid != nd_sys_pid()) {
        return ND_EFORK;
    }
    if (!nd_options_are_valid(options) || options->reactors != engine->reactor_count) {
        return ND_EINVAL;
    }
    /* Two who call at once: all reactors end up with the higher version. */
    uint32_t version = atomic_fetch_add(&engine->version, 1) + 1;
    struct nd_mail_change order = {
        .settings = nd_settings_new(options, version),
        .info = nd_change_print_info(json, len),
    };
    int rc = ND_ENOMEM;
    if (order.settings != NULL && order.info != NULL) {
        rc = tell_all(engine, ND_MAIL_RECONFIGURE, &order);
    }
    nd_change_dispose(&order);
    return rc;
}

int nd_lame_duck(struct nd_engine *engine, const char *json, uint32_t len,
                 uint32_t grace_ms, uint32_t duration_ms)
{
    if (engine->pid != nd_sys_pid()) {
        return ND_EFORK;
    }
    struct nd_mail_change order = {
        .info = nd_change_print_info(json, len),
        .grace_ms = grace_ms,
        .duration_ms = duration_ms,
    };
    int rc =
        order.info != NULL ? tell_all(engine, ND_MAIL_LAME_DUCK, &order) : ND_ENOMEM;
    nd_change_dispose(&order);
    return rc;
}

void nd_change_dispose(const struct nd_mail_change *mail)
{
    if (mail->settings != NULL) {
        nd_settings_release(mail->settings);
    }
    if (mail->info != NULL) {
        nd_blob_release(mail->info);
    }
}

/* ---- the reactor's side ---- */

void nd_change_fini(struct nd_change *change)
{
    if (change->settings != NULL) {
        nd_settings_release(change->settings);
        nd_blob_release(change->info);
    }
    change->settings = NULL;
    change->info = NULL;
}

void nd_change_open(struct nd_reactor *reactor, const struct nd_mail_change *mail)
{
    struct nd_change *change = &reactor->change;
    if (mail->head.kind == ND_MAIL_LAME_DUCK) {
        nd_lame_begin(reactor, mail->info, mail->grace_ms, mail->duration_ms);
        return;
    }
    const struct nd_settings *newest =
        change->settings != NULL ? change->settings : reactor->settings;
    if (mail->settings->version < newest->version) {
        nd_change_dispose(mail);
        return;
    }
    nd_change_fini(change);
    change->settings = mail->settings;
    change->info = mail->info;
}

void nd_change_begin_round(struct nd_reactor *reactor)
{
    reactor->change.round++;
    reactor->change.is_going_round = true;
}

void nd_change_set_info(struct nd_reactor *reactor, struct nd_blob *info)
{
    nd_change_begin_round(reactor);
    if (!nd_slice_is_equal(nd_blob_slice(info), nd_blob_slice(reactor->info))) {
        reactor->change.info_round = reactor->change.round;
    }
    nd_blob_release(reactor->info);
    reactor->info = info;
}

void nd_change_apply(struct nd_reactor *reactor)
{
    struct nd_change *change = &reactor->change;
    nd_settings_release(reactor->settings);
    reactor->settings = change->settings;
    change->settings = NULL;
    if (reactor->lame.is_on) {
        nd_blob_release(change->info); /* ours says that we are going */
        nd_change_begin_round(reactor);
    } else {
        nd_change_set_info(reactor, change->info);
    }
    change->info = NULL;
    nd_memo_fini(&reactor->memo);

    const struct nd_options *options = &reactor->settings->options;
    reactor->auth.duration_ms = options->auth_timeout_ms;
    reactor->ping.duration_ms = options->ping_interval_ms;
    if (!options->auth_required) {
        nd_timers_stop_all(&reactor->auth);
    }
    if (options->ping_interval_ms == 0) {
        nd_timers_stop_all(&reactor->ping);
    }
}

void nd_change_tell(struct nd_conn *conn)
{
    if (conn->has_missed_info && conn->has_ponged &&
        (conn->options & ND_OPT_ASYNC_INFO)) {
        conn->has_missed_info = false;
        nd_conn_inform(conn);
    }
}

static void take_part(struct nd_conn *conn)
{
    struct nd_reactor *reactor = conn->owner;
    conn->has_missed_info |= conn->round < reactor->change.info_round;
    conn->round = reactor->change.round;
    nd_rights_renew(conn);
    if (nd_conn_is_alive(conn)) {
        nd_conn_start_timers(conn);
        nd_change_tell(conn);
    }
}

void nd_change_go_round(struct nd_reactor *reactor)
{
    for (uint32_t left = ND_CHANGE_SLICE; left > 0; left--) {
        struct nd_conn *conn = reactor->alive_first;
        if (conn == NULL || conn->round == reactor->change.round) {
            reactor->change.is_going_round = false;
            return;
        }
        nd_reactor_drop_alive(reactor, conn);
        nd_reactor_add_alive(reactor, conn);
        take_part(conn);
    }
}
