/* What reactors and Python's threads send a reactor: opened, given back, posted. */
#include "reactor.h"

#include "brake.h"
#include "client.h"
#include "deliver.h"

/* Gives back what it holds. */
static void dispose(struct nd_parcel *parcel)
{
    switch ((enum nd_mail)parcel->kind) {
    case ND_MAIL_MSG:
        nd_deliver_dispose(parcel);
        break;
    case ND_MAIL_BURST:
        nd_burst_dispose(parcel);
        break;
    case ND_MAIL_LISTEN:
    case ND_MAIL_ADOPT:
        nd_sys_close(nd_container(parcel, struct nd_mail_socket, head)->fd);
        break;
    case ND_MAIL_RECONFIGURE:
    case ND_MAIL_LAME_DUCK:
        nd_change_dispose(nd_container(parcel, struct nd_mail_change, head));
        break;
    case ND_MAIL_ADMIT:
    case ND_MAIL_REFUSE:
    case ND_MAIL_CLOSE:
        nd_permits_release(
            nd_container(parcel, struct nd_mail_answer, head)->rights.permits);
        break;
    case ND_MAIL_REGRANT:
        nd_changes_free(nd_container(parcel, struct nd_mail_regrant, head)->changes);
        break;
    case ND_MAIL_RELIEF:
        break;
    }
}

void nd_reactor_dispose(struct nd_page *page)
{
    while (page != NULL) {
        struct nd_page *next = page->next;
        for (struct nd_parcel *parcel = nd_page_at(page, 0); parcel != NULL;
             parcel = nd_page_next(page, parcel)) {
            dispose(parcel);
        }
        page->home = NULL; /* that reactor may be gone already */
        nd_page_free(page);
        page = next;
    }
}

/* ---- collect ---- */

static void give_answer(struct nd_conn *conn, const struct nd_mail_answer *mail)
{
    const uint8_t *text = (const uint8_t *)mail->text;
    struct nd_slice first = nd_slice(text, mail->text_len);
    bool is_kept = mail->version == conn->owner->settings->version;
    switch (mail->head.kind) {
    case ND_MAIL_ADMIT:
        nd_client_admit(conn, mail->has_note, mail->options, first,
                        nd_slice(text + mail->text_len + mail->reason_len,
                                 is_kept ? mail->key_len : 0),
                        mail->rights);
        break;
    case ND_MAIL_REFUSE:
        nd_client_refuse(conn, first,
                         nd_slice(text + mail->text_len, mail->reason_len));
        break;
    default:
        nd_conn_drain(conn);
    }
}

static void on_answer(struct nd_reactor *reactor, struct nd_mail_answer *mail)
{
    struct nd_conn *conn = nd_reactor_find(reactor, mail->cid);
    if (conn != NULL) { /* else gone meanwhile; ids are never used again */
        give_answer(conn, mail);
    }
    dispose(&mail->head);
}

static void open_parcel(struct nd_reactor *reactor, struct nd_parcel *parcel)
{
    struct nd_mail_socket *mail = nd_container(parcel, struct nd_mail_socket, head);
    switch ((enum nd_mail)parcel->kind) {
    case ND_MAIL_MSG:
        nd_deliver_mail(reactor, parcel);
        break;
    case ND_MAIL_BURST:
        nd_burst_mail(reactor, parcel);
        break;
    case ND_MAIL_LISTEN:
        nd_listener_open(reactor, mail->fd);
        break;
    case ND_MAIL_ADOPT:
        nd_listener_adopt(reactor, mail->fd, mail->cid, mail->is_surplus);
        break;
    case ND_MAIL_ADMIT:
    case ND_MAIL_REFUSE:
    case ND_MAIL_CLOSE:
        on_answer(reactor, nd_container(parcel, struct nd_mail_answer, head));
        break;
    case ND_MAIL_RELIEF:
        nd_brake_relieve(reactor,
                         nd_container(parcel, struct nd_mail_relief, head)->gate);
        break;
    case ND_MAIL_RECONFIGURE:
    case ND_MAIL_LAME_DUCK:
        nd_change_open(reactor, nd_container(parcel, struct nd_mail_change, head));
        break;
    case ND_MAIL_REGRANT:
        nd_rights_change(reactor,
                         nd_container(parcel, struct nd_mail_regrant, head)->changes);
        break;
    }
}

void nd_reactor_collect(struct nd_reactor *reactor)
{
    assert(!nd_burst_is_open(&reactor->burst));
    if (nd_likely(!nd_inbox_has_mail(&reactor->inbox))) {
        return;
    }
    struct nd_page *page = nd_inbox_take(&reactor->inbox);
    while (page != NULL) {
        struct nd_page *next = page->next;
        for (struct nd_parcel *parcel = nd_page_at(page, 0); parcel != NULL;
             parcel = nd_page_next(page, parcel)) {
            open_parcel(reactor, parcel);
        }
        nd_page_free(page);
        page = next;
    }
    nd_brake_empty_inbox(reactor);
}

/* ---- post ---- */

void nd_reactor_post(struct nd_reactor *reactor)
{
    struct nd_engine *engine = reactor->engine;
    for (uint32_t i = 0; i < engine->reactor_count; i++) {
        if (reactor->outboxes[i].first != NULL) {
            nd_outbox_post(&reactor->outboxes[i], &engine->reactors[i]->inbox);
            nd_brake_weigh_inbox(reactor, i);
        }
    }
}
