#include "sids.h"

#include "recheck.h"

size_t nd_sids_count(const struct nd_conn *conn)
{
    return conn->sids.used + (conn->recheck != NULL ? conn->recheck->sids.used : 0);
}

static struct nd_sub *find_in(const struct nd_hash *sids, struct nd_slice sid,
                              uint64_t hash)
{
    struct nd_hash_link *link = NULL;
    while ((link = nd_hash_find(sids, hash, link)) != NULL) {
        struct nd_sub *sub = nd_container(link, struct nd_sub, by_sid);
        if (nd_slice_is_equal(nd_sub_sid(sub), sid)) {
            return sub;
        }
    }
    return NULL;
}

struct nd_sub *nd_sids_find(const struct nd_conn *conn, struct nd_slice sid,
                            uint64_t hash)
{
    struct nd_sub *sub = find_in(&conn->sids, sid, hash);
    if (sub == NULL && conn->recheck != NULL) {
        sub = find_in(&conn->recheck->sids, sid, hash);
    }
    return sub;
}

void nd_sids_remove(struct nd_conn *conn, struct nd_sub *sub)
{
    if (!nd_hash_remove(&conn->sids, &sub->by_sid)) {
        nd_hash_remove(&conn->recheck->sids, &sub->by_sid);
    }
}

struct nd_sub *nd_sids_take(struct nd_conn *conn)
{
    struct nd_hash *sids = conn->sids.used > 0 ? &conn->sids : &conn->recheck->sids;
    struct nd_hash_link *link = nd_hash_any(sids);
    nd_hash_remove(sids, link);
    return nd_container(link, struct nd_sub, by_sid);
}
