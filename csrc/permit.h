/* permit -- what a user may publish and subscribe to.
 *
 * Four lists of rules. A subject may be used if the allow list of its direction has it,
 * or is empty, and the deny list has it not. A rule is a pattern, and for subscriptions
 * perhaps one for queue names as well: then it is about such queue groups alone.
 *
 * Rules are found by the literal tokens that they begin with, in one table for each
 * length of those; a look at one byte of a subject tells whether it has a token's end
 * there. So thousands cost little more than a few, unless very many begin with a
 * wildcard, which are tried one by one.
 *
 *   0 bytes   *.x  >              2   in.>  in.*.x          9   in.secret
 *
 * Immutable and counted: any thread may ask. NULL may do everything.
 */
#ifndef ND_PERMIT_H
#define ND_PERMIT_H

#include "nd.h"

/* nd_permits_new and nd_permits_release are in nd_api.h. Does nothing with NULL. */
void nd_permits_retain(struct nd_permits *permits);

/* Never that of another; 0 = NULL. */
uint64_t nd_permits_id(const struct nd_permits *permits);
struct nd_slice nd_permits_name(const struct nd_permits *permits);

/* *subject* is taken literally, as the index does it. */
bool nd_permits_may_publish(const struct nd_permits *permits, struct nd_slice subject);

/* May it have a subscription to *subject*, wildcards and all, in *queue* (empty =
 * plain)? What a deny rule holds only in part is to be filtered. */
bool nd_permits_may_subscribe(const struct nd_permits *permits, struct nd_slice subject,
                              struct nd_slice queue);

/* Is some message to such a subscription denied? */
bool nd_permits_must_filter(const struct nd_permits *permits, struct nd_slice subject,
                            struct nd_slice queue);

/* May a subscription in *queue* get a message on *subject*? Only deny rules count. */
bool nd_permits_may_receive(const struct nd_permits *permits, struct nd_slice subject,
                            struct nd_slice queue);

/* Have both the same rules for subscriptions, in the same order? */
bool nd_permits_subscribe_alike(const struct nd_permits *a, const struct nd_permits *b);

/* The same for those that deny. */
bool nd_permits_filter_alike(const struct nd_permits *a, const struct nd_permits *b);

#endif
