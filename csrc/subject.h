/* subject -- tokens, validity, wildcards.
 *
 *   foo.bar     a literal            foo.*   one token in the second place
 *   foo*        a literal too        foo.>   one or more tokens after foo
 *
 * Tokens are separated by '.'. Only a token that is exactly "*" or exactly ">" is a
 * wildcard. A published subject is always taken literally, empty tokens included.
 */
#ifndef ND_SUBJECT_H
#define ND_SUBJECT_H

#include "nd.h"

/* May be subscribed to: no empty token, nothing after a ">" token. */
bool nd_subject_is_subscribable(struct nd_slice subject);

/* May be published to by a pedantic client: no empty token, no wildcard token. */
bool nd_subject_is_publishable(struct nd_slice subject);

/* Holds a wildcard token. */
bool nd_subject_has_wildcard(struct nd_slice subject);

/* Takes the next token off *rest*. Returns false when there is none; a subject has one
 * token more than it has dots, so "a." yields "a" and "". Start with *more = true. */
bool nd_subject_next(struct nd_slice *rest, bool *more, struct nd_slice *token);

#endif
