/* lame -- the last days of an engine: clients are sent away, not all at once.
 *
 *   order          grace over                                   duration over
 *     |  told by INFO  |  one closed, then the others at even steps  |
 *
 * Listeners close with the order. When the grace is over, those who are there are
 * counted, and a line falls evenly from their number to none. Whoever is above it, the
 * oldest first, gets what it is owed and the end of the stream; where clients leave by
 * themselves, nobody is sent away until the line is below those who are left. Each
 * reactor sees to its own connections; its thread only.
 */
#ifndef ND_LAME_H
#define ND_LAME_H

#include "mem.h"
#include "nd.h"

struct nd_reactor;

struct nd_lame {
    bool is_on;
    uint32_t count;   /* those who were there when the grace was over; 0 = it is not */
    uint64_t from_ms; /* when it is */
    uint64_t duration_ms;
    uint64_t due_ms; /* when someone is to go next */
};

/* Takes the reference to *info*. A second time it does nothing. */
void nd_lame_begin(struct nd_reactor *reactor, struct nd_blob *info, uint32_t grace_ms,
                   uint32_t duration_ms);

void nd_lame_send_away(struct nd_reactor *reactor); /* it is due; one turn's part */

#endif
