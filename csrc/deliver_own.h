/* deliver_own -- what deliver.c and burst.c share, and nobody else. */
#ifndef ND_DELIVER_OWN_H
#define ND_DELIVER_OWN_H

#include "conn.h"
#include "deliver.h"
#include "reactor.h"
#include "view.h"

/* A message on its way through a reactor. */
struct nd_delivery {
    struct nd_reactor *reactor;
    const struct nd_msg *msg;
    struct nd_conn *from; /* the publisher; NULL = it lives elsewhere */
    uint64_t from_cid;
    struct nd_view full;
    struct nd_view bare; /* without the header block, for those who do not know of it */
    bool has_bare;
};

void nd_deliver__begin(struct nd_delivery *d, struct nd_reactor *reactor,
                       const struct nd_msg *msg, const struct nd_match *match,
                       struct nd_conn *from, uint64_t from_cid);

/* To a subscription of our own. False: it takes no part any more. */
bool nd_deliver__serve(struct nd_delivery *d, struct nd_sub *sub);

static inline void nd_deliver__count(struct nd_conn *to, uint64_t msgs, uint64_t bytes)
{
    to->out_msgs += msgs;
    to->out_bytes += bytes;
    nd_tally_add(&to->owner->tally.out_msgs, msgs);
    nd_tally_add(&to->owner->tally.out_bytes, bytes);
}

/* What *to* owes has grown by *bytes*: it is to be flushed, at once if that is much. */
void nd_deliver__owe(struct nd_reactor *reactor, struct nd_conn *to, uint64_t bytes);

#endif
