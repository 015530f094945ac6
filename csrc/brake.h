/* brake -- back-pressure: publishers are paced for a subscriber that lags, not parked.
 *
 * A connection that is blocked and owes more than the high-water mark is heavy. Its
 * gate then carries a credit, shared by everyone who publishes to it, on any reactor:
 *
 *   share   what is left of max_pending, spread over what is left of the time that the
 *           peer has for its next sign of progress; one window's part of it
 *   credit  refilled by one share every ND_PACE_MS; every delivery takes its bytes off
 *
 * Whoever delivers past the end of the credit halts until its own window ends: the
 * operations it has read wait, the rest waits in its kernel. Then it goes on, one
 * operation at least, so others that it serves hear from it every window. Only while a
 * large message is still being paid for, by a peer that does make progress, it waits
 * longer. When the heavy one is at ease again, those that it halted go on at once.
 *
 * So a stalled subscriber costs its publishers their speed until its deadline, a slow
 * one is fed at the speed it reads at, and nobody else's publishers are touched. An
 * inbox with too much mail is a gate like any other.
 */
#ifndef ND_BRAKE_H
#define ND_BRAKE_H

#include "nd.h"
#include "sub.h"

struct nd_conn;
struct nd_reactor;

/* *bytes* were delivered to *gate*, which is heavy, for the connection whose operation
 * is running (reactor->actor). Any reactor's deliverer. */
void nd_brake_charge(struct nd_reactor *reactor, struct nd_gate *gate, uint64_t bytes);

/* Owner: is it heavy? Sets, updates or clears that by what it owes now. */
void nd_brake_weigh(struct nd_conn *conn);
void nd_brake_on_heavy(struct nd_conn *conn); /* timer: refill */
void nd_brake_forget(struct nd_conn *conn);   /* it closes: let everyone go on */

void nd_brake_on_pace(struct nd_conn *conn); /* timer: the window of a paced one ends */
void nd_brake_release(struct nd_conn *conn); /* it closes, or is let go */

/* *gate* is at ease: those of this reactor that it halted go on. */
void nd_brake_relieve(struct nd_reactor *reactor, const struct nd_gate *gate);

/* Before and after mail: is reactor *to*'s inbox too full? */
void nd_brake_weigh_inbox(struct nd_reactor *reactor, uint32_t to);
void nd_brake_empty_inbox(struct nd_reactor *reactor);

#endif
