/* change -- what changes while the engine runs: its settings, its INFO, rights.
 *
 * An order goes to every reactor by mail, or to none. What it brings is put aside, and
 * counts from the top of the reactor's next turn. Then the reactor goes round: every
 * connection that it had by then takes part once, so many in a turn, in the order of
 * the list of the living, from whose front they move to its back.
 *
 * A client of protocol 1 learns of a new INFO when the round reaches it, or with the
 * first PONG that it gets, if it has had none: it counts as a reply (conn.h). Others
 * learn nothing.
 */
#ifndef ND_CHANGE_H
#define ND_CHANGE_H

#include "mailbox.h"
#include "mem.h"
#include "nd.h"
#include "settings.h"

struct nd_conn;
struct nd_reactor;

struct nd_mail_change { /* RECONFIGURE, LAME_DUCK */
    struct nd_parcel head;
    struct nd_settings *settings; /* RECONFIGURE: one reference */
    struct nd_blob *info;         /* one reference */
    uint32_t grace_ms, duration_ms;
};

struct nd_change {                /* of a reactor; its thread only */
    struct nd_settings *settings; /* put aside for the next turn; or NULL */
    struct nd_blob *info;         /* with them */
    uint32_t round;               /* rounds begun */
    uint32_t info_round;          /* the last one that brought another INFO */
    bool is_going_round;
};

void nd_change_fini(struct nd_change *change);

/* The INFO line up to the client's own fields; NULL = no memory. */
struct nd_blob *nd_change_print_info(const char *json, uint32_t len);

/* Mail: puts it aside, or begins the lame duck. */
void nd_change_open(struct nd_reactor *reactor, const struct nd_mail_change *mail);
void nd_change_dispose(const struct nd_mail_change *mail); /* that is not opened */

/* Everyone takes part in it who is here by now. */
void nd_change_begin_round(struct nd_reactor *reactor);

void nd_change_apply(struct nd_reactor *reactor); /* top of a turn: what is put aside */
void nd_change_go_round(struct nd_reactor *reactor); /* one turn's part of a round */

/* Replaces the INFO, whose reference it takes, and begins a round. */
void nd_change_set_info(struct nd_reactor *reactor, struct nd_blob *info);

/* Sends *conn* the INFO that it has missed, if it may have one. */
void nd_change_tell(struct nd_conn *conn);

#endif
