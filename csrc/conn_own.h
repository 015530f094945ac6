/* conn_own -- what conn.c and conn_read.c share, and nobody else. */
#ifndef ND_CONN_OWN_H
#define ND_CONN_OWN_H

#include "conn.h"

bool nd_conn__can_run(const struct nd_conn *conn);  /* operations */
bool nd_conn__can_read(const struct nd_conn *conn); /* or throw away what comes */
void nd_conn__tell_poller(struct nd_conn *conn);    /* what we wait for now */

#endif
