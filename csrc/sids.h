/* sids -- the subscriptions of a connection, by their ids.
 *
 * They stand in conn->sids, and in the table of its recheck as long as there is one.
 * Its reactor's thread only.
 */
#ifndef ND_SIDS_H
#define ND_SIDS_H

#include "conn.h"
#include "nd.h"

size_t nd_sids_count(const struct nd_conn *conn);

/* *hash* is that of *sid*. Borrowed; NULL = there is none. */
struct nd_sub *nd_sids_find(const struct nd_conn *conn, struct nd_slice sid,
                            uint64_t hash);

void nd_sids_remove(struct nd_conn *conn, struct nd_sub *sub);

/* Any of those that there are, taken out. */
struct nd_sub *nd_sids_take(struct nd_conn *conn);

#endif
