#include "recheck.h"

#include <stdlib.h>

#include "client.h"
#include "reactor.h"

enum { FEW_BYTES = 1024 }; /* of a subject that is looked at without an allocation */

/* ---- one subscription ---- */

/* Another record in its place, if what it must not see has changed. What is on its way
 * to the old one from other reactors is lost with it. */
static int refilter(struct nd_conn *conn, struct nd_sub *sub, struct nd_slice subject)
{
    struct nd_permits *filter = nd_rights_filter(conn, subject, nd_sub_queue(sub));
    if (nd_permits_filter_alike(nd_sub_permits(sub), filter)) {
        return ND_OK;
    }
    struct nd_sub *fresh = nd_sub_new(conn->gate, conn, sub->owner, nd_sub_sid(sub),
                                      nd_sub_queue(sub), filter);
    if (fresh == NULL) {
        return ND_ENOMEM;
    }
    fresh->delivered = sub->delivered;
    fresh->max = sub->max;
    fresh->by_sid.hash = sub->by_sid.hash;
    atomic_store_explicit(&sub->dead, true, memory_order_release);
    nd_hash_remove(&conn->sids, &sub->by_sid);
    nd_hash_insert(&conn->sids, &fresh->by_sid);
    nd_sublist_replace(conn->owner->engine->index, sub, fresh);
    nd_sub_release(sub);
    return ND_OK;
}

static int check_sub(struct nd_conn *conn, struct nd_sub *sub)
{
    struct nd_sublist *index = conn->owner->engine->index;
    uint8_t few[FEW_BYTES];
    struct nd_blob *many = NULL;
    size_t len = nd_sublist_subject(index, sub, few, sizeof(few));
    struct nd_slice subject = nd_slice(few, len);
    if (len > sizeof(few)) {
        many = nd_blob_new(len);
        if (many == NULL) {
            return ND_ENOMEM;
        }
        nd_sublist_subject(index, sub, many->data, len);
        subject = nd_slice(many->data, len);
    }
    int rc = ND_OK;
    if (!nd_rights_may_subscribe(conn, subject, nd_sub_queue(sub), nd_sub_sid(sub))) {
        nd_client_unsubscribe(conn, sub);
    } else {
        rc = refilter(conn, sub, subject);
    }
    if (many != NULL) {
        nd_blob_release(many);
    }
    return rc;
}

/* ---- all of them ---- */

static void fail(struct nd_conn *conn)
{
    nd_conn_log(conn, ND_LEVEL_ERROR, "No memory for a subscription");
    nd_conn_close(conn);
}

static void enlist(struct nd_reactor *reactor, struct nd_conn *conn)
{
    conn->recheck->is_listed = true;
    conn->recheck->next = NULL;
    *(reactor->unchecked_last != NULL ? &reactor->unchecked_last->recheck->next
                                      : &reactor->unchecked_first) = conn;
    reactor->unchecked_last = conn;
}

static struct nd_conn *take_first(struct nd_reactor *reactor)
{
    struct nd_conn *conn = reactor->unchecked_first;
    reactor->unchecked_first = conn->recheck->next;
    if (reactor->unchecked_first == NULL) {
        reactor->unchecked_last = NULL;
    }
    conn->recheck->is_listed = false;
    return conn;
}

static void move_sub(struct nd_hash *from, struct nd_hash *to,
                     struct nd_hash_link *link)
{
    nd_hash_remove(from, link);
    nd_hash_insert(to, link);
}

void nd_recheck_begin(struct nd_conn *conn)
{
    struct nd_hash_link *link;
    if (conn->sids.used == 0) {
        return;
    }
    if (conn->recheck == NULL) {
        conn->recheck = calloc(1, sizeof(*conn->recheck));
        if (conn->recheck == NULL) {
            fail(conn);
            return;
        }
        conn->recheck->sids = conn->sids;
        nd_hash_init(&conn->sids);
    }
    while ((link = nd_hash_any(&conn->sids)) != NULL) { /* in the middle of it: anew */
        move_sub(&conn->sids, &conn->recheck->sids, link);
    }
    if (!conn->recheck->is_listed) {
        enlist(conn->owner, conn);
    }
}

static void check_some(struct nd_conn *conn, uint32_t *budget)
{
    struct nd_hash_link *link;
    while (*budget > 0 && nd_conn_is_alive(conn) &&
           (link = nd_hash_any(&conn->recheck->sids)) != NULL) {
        move_sub(&conn->recheck->sids, &conn->sids, link);
        if (check_sub(conn, nd_container(link, struct nd_sub, by_sid)) != ND_OK) {
            fail(conn);
        }
        --*budget;
    }
}

void nd_recheck_run(struct nd_reactor *reactor)
{
    uint32_t budget = ND_CHECK_SLICE;
    while (reactor->unchecked_first != NULL && budget > 0) {
        struct nd_conn *conn = take_first(reactor);
        check_some(conn, &budget);
        if (conn->recheck->sids.used == 0) {
            nd_recheck_fini(conn);
        } else if (nd_conn_is_alive(conn)) {
            enlist(reactor, conn); /* behind the others, who wait as well */
        }
    }
}

void nd_recheck_fini(struct nd_conn *conn)
{
    if (conn->recheck != NULL) {
        nd_hash_fini(&conn->recheck->sids);
        free(conn->recheck);
        conn->recheck = NULL;
    }
}
