/* settings -- what the engine was told, and what follows from it.
 *
 * Made in one place, at the start and for every change. Immutable and counted: each
 * reactor reads the one that it holds, and changes over to the next at the top of a
 * turn, when its mail has brought it. So nobody reads what another thread writes, and
 * nothing changes in the middle of a read.
 */
#ifndef ND_SETTINGS_H
#define ND_SETTINGS_H

#include <stdatomic.h>

#include "nd.h"
#include "parser.h"

struct nd_settings {
    struct nd_options options;
    struct nd_parse_limits limits;
    uint64_t max_payload; /* bytes; what is enforced */
    uint64_t high_water;  /* bytes owed by a blocked connection: it is heavy */
    uint64_t early_mark;  /* bytes owed by anyone: looked at before the turn ends */
    uint64_t inbox_high;  /* bytes of mail not collected: the inbox is heavy */
    uint64_t outbox_high; /* bytes of mail not posted: it is posted at once */
    uint32_t version;     /* grows with every change */
    _Atomic uint32_t refs;
};

bool nd_options_are_valid(const struct nd_options *options);

/* Of valid options; born with 1. NULL = no memory. */
struct nd_settings *nd_settings_new(const struct nd_options *options, uint32_t version);

static inline void nd_settings_retain(struct nd_settings *settings)
{
    atomic_fetch_add_explicit(&settings->refs, 1, memory_order_relaxed);
}

void nd_settings_release(struct nd_settings *settings);

#endif
