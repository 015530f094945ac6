/* recheck -- the subscriptions of a connection under other permits.
 *
 * Those that are not allowed any more are removed, and the client is told; the others
 * have their filter renewed. A connection may have very many, so a turn looks at some
 * only. Those still to be looked at stand in a table of their own, with which the
 * connection hangs on a list of its reactor. That reactor's thread only.
 */
#ifndef ND_RECHECK_H
#define ND_RECHECK_H

#include "hash.h"
#include "nd.h"

struct nd_conn;
struct nd_reactor;

struct nd_recheck {
    struct nd_hash sids; /* not looked at yet; in use like those of the connection */
    struct nd_conn *next;
    bool is_listed; /* then the connection must not be freed */
};

/* conn->rights.permits are others now. Without memory it is closed. */
void nd_recheck_begin(struct nd_conn *conn);

void nd_recheck_run(struct nd_reactor *reactor); /* ND_CHECK_SLICE of them */
void nd_recheck_fini(struct nd_conn *conn);

#endif
