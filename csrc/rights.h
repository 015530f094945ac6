/* rights -- what a connection may do, and by which grant it came in.
 *
 * A grant is Python's number for the reason why somebody was let in: a user, a token,
 * or that nobody has to say who he is. When the reason changes, an order goes to every
 * reactor, and each sees to its connections: they get other permits, or have to go. An
 * answer may be on its way meanwhile that was given before the change. So a reactor
 * remembers what has changed for as long as such an answer can still come true.
 *
 * Reactor's thread only, but for making the orders.
 */
#ifndef ND_RIGHTS_H
#define ND_RIGHTS_H

#include "nd.h"
#include "permit.h"

struct nd_changes;
struct nd_conn;
struct nd_op;
struct nd_reactor;

struct nd_rights {
    uint64_t grant;
    struct nd_permits *permits; /* NULL = everything */
};

/* ---- at the door ---- */

/* Makes *rights, or what has become of them, those of *conn*; retains. False: there are
 * none any more, and *conn* has been sent away. */
bool nd_rights_take(struct nd_conn *conn, struct nd_rights *rights);

/* ---- checks ---- */

/* False: told and logged. */
bool nd_rights_may_subscribe(struct nd_conn *conn, struct nd_slice subject,
                             struct nd_slice queue, struct nd_slice sid);

/* Tells and logs that a message to *subject* was dropped. */
void nd_rights_refuse_publish(struct nd_conn *conn, struct nd_slice subject);

/* What a subscription of *conn* has to be filtered with; NULL = nothing. Borrowed. */
struct nd_permits *nd_rights_filter(const struct nd_conn *conn, struct nd_slice subject,
                                    struct nd_slice queue);

/* ---- changes ---- */

/* Retains the permits. NULL: no memory. Any thread. */
struct nd_changes *nd_changes_new(const struct nd_regrant *changes, uint32_t count);
void nd_changes_free(struct nd_changes *changes); /* and those behind it */

/* From the mail: takes *changes* over, and begins a round in which they are applied to
 * every connection; until it comes to one, that acts by its old rights. */
void nd_rights_change(struct nd_reactor *reactor, struct nd_changes *changes);

/* Applies what has changed, once or again; it may be sent away. */
void nd_rights_renew(struct nd_conn *conn);

#endif
