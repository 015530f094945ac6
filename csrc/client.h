/* client -- what CONNECT, PUB, SUB, UNSUB, PING and PONG do.
 *
 * The connection (conn.c) finds the operations; here they act on the index, on others
 * through deliver.c, and on Python through events. Reactor's thread only.
 */
#ifndef ND_CLIENT_H
#define ND_CLIENT_H

#include "conn.h"
#include "nd.h"
#include "parser.h"

/* Any operation without a payload. */
void nd_client_run(struct nd_conn *conn, const struct nd_op *op);

/* Its first operation is no CONNECT, and it is OPEN without one. False: it may not. */
bool nd_client_begin(struct nd_conn *conn);

/* The control line of PUB or HPUB has come: false if the connection ends by it. Called
 * once for each, before its payload is complete. */
bool nd_client_announce(struct nd_conn *conn, const struct nd_op *op);

/* All of it has come. *body* is header block, payload and CR LF; *blob* is what it lies
 * in and can be held, or NULL. False: the connection is halted by the brake, and the
 * operation is to be run again when it is not. */
bool nd_client_publish(struct nd_conn *conn, const struct nd_op *op,
                       struct nd_slice body, struct nd_blob *blob);

/* *input* does not begin with an operation (op->error_at, rc of nd_parse); or, with rc
 * ND_PARSE_VERB, a payload did not end with CR LF. Answers and closes. */
void nd_client_reject(struct nd_conn *conn, int rc, const struct nd_op *op,
                      struct nd_slice input);

/* Python's answers. */
void nd_client_admit(struct nd_conn *conn, bool has_note, uint32_t options,
                     struct nd_slice note, struct nd_slice key,
                     struct nd_rights rights);
void nd_client_refuse(struct nd_conn *conn, struct nd_slice text,
                      struct nd_slice reason);

/* Takes up to *budget* subscriptions of a closing connection out of the index. */
void nd_client_forget(struct nd_conn *conn, uint32_t *budget);

/* Ends one subscription (UNSUB, or its limit was reached). */
void nd_client_unsubscribe(struct nd_conn *conn, struct nd_sub *sub);

void nd_client_on_auth(
    struct nd_conn *conn); /* timer: no CONNECT, or no answer, in time */
void nd_client_on_ping(struct nd_conn *conn); /* timer: ask, or give up */

#endif
