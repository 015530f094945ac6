/* brake -- back-pressure: publishers are paced for a subscriber that lags, not parked.
 *
 * A connection that is blocked and owes more than the high-water mark is heavy. Its gate
 * then carries a credit, shared by everyone who publishes to it, on any reactor:
 *
 *   share   what is left of max_pending, spread over what is left of the time that the
 *           peer has for its next sign of progress: one window's part of it. At least
 *           what a reader of ND_READER_MIN takes in that time
 *   credit  one share more every ND_PACE_MS; what is delivered is taken off
 *
 * A publish that would reach a heavy gate without credit does not run: it waits where it
 * was read, and the rest of its connection in the kernel. One with credit runs, whatever
 * its size; what it takes too much is a debt that later shares pay off. Those who wait
 * are let go in turn, each with a part of the credit reserved for it, so none of them
 * uses up what was meant for all. When the heavy one is at ease, they go on at once.
 *
 * To stop in the middle of a read costs: the rest has to be put aside. So whose last
 * publish went to a heavy one waits before it reads, and who has read already may go on
 * for a while: the first credit of a gate is as much again as made it heavy.
 *
 * So a stalled subscriber costs its publishers their speed until its deadline, a slow
 * one is fed at the speed it reads at, and nobody else's publishers are touched. An
 * inbox with too much mail is a gate like any other, without credit, but for those who
 * have read: they may fill it up to twice its mark.
 */
#ifndef ND_BRAKE_H
#define ND_BRAKE_H

#include "match.h"
#include "nd.h"
#include "sub.h"

struct nd_conn;
struct nd_reactor;

/* May *from*, of this reactor, publish *bytes* (for one subscriber) to *match* now?
 * False: it is halted, and will be resumed. True: it is charged. Cheap while nobody in
 * the whole engine is heavy. */
bool nd_brake_pass(struct nd_reactor *reactor, struct nd_conn *from,
                   struct nd_match *match, uint64_t bytes);

/* Is nobody that *match* (or NULL) reaches heavy, so that *from* may write many messages
 * to it without a look at each? As cheap. */
bool nd_brake_is_calm(struct nd_conn *from, struct nd_match *match);

/* Before a read: may *from* go on with what it wrote last, as far as that is known? False:
 * someone there is heavy; *from* is halted, and nothing of its input is held. */
bool nd_brake_enter(struct nd_conn *from);

/* For the picks of a queue group, which prefer members that have credit and charge the
 * one they took. *from* may be NULL: mail was charged where it came from. */
bool nd_brake_is_open(const struct nd_conn *from, const struct nd_gate *gate);
void nd_brake_charge(struct nd_conn *from, struct nd_gate *gate, uint64_t bytes);

/* Owner: is it heavy? Sets, updates or clears that by what it owes now. */
void nd_brake_weigh(struct nd_conn *conn);
void nd_brake_on_heavy(struct nd_conn *conn); /* timer: one more share */
void nd_brake_forget(struct nd_conn *conn);   /* it closes: let everyone go on */

void nd_brake_on_pace(struct nd_conn *conn); /* timer: may a halted one go on? */
void nd_brake_release(struct nd_conn *conn); /* it closes, or is let go */

/* *gate* is at ease: those of this reactor that it halted go on. */
void nd_brake_relieve(struct nd_reactor *reactor, const struct nd_gate *gate);

/* After posting to, and after emptying, an inbox. */
void nd_brake_weigh_inbox(struct nd_reactor *reactor, uint32_t to);
void nd_brake_empty_inbox(struct nd_reactor *reactor);

#endif
