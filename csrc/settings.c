#include "settings.h"

#include <stdlib.h>

#include "permit.h"

bool nd_options_are_valid(const struct nd_options *o)
{
    return o->reactors >= 1 && o->reactors <= ND_REACTORS_MAX &&
           o->max_control_line >= 1 && o->max_control_line <= ND_LINE_CEILING &&
           o->max_connect_line >= 1 && o->max_connect_line <= ND_LINE_CEILING &&
           o->max_payload <= ND_PAYLOAD_CEILING && o->max_pending >= 1 &&
           o->ping_max < UINT8_MAX && o->write_deadline_ms >= 1 &&
           (!o->auth_required || o->auth_timeout_ms >= 1);
}

struct nd_settings *nd_settings_new(const struct nd_options *options, uint32_t version)
{
    struct nd_settings *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        return NULL;
    }
    s->options = *options;
    nd_permits_retain(options->open_permits);
    s->limits.line = options->max_control_line;
    s->limits.connect = options->max_connect_line;
    s->max_payload = options->max_payload < 0 ? (uint64_t)ND_PAYLOAD_CEILING
                                              : (uint64_t)options->max_payload;
    s->high_water = ND_MAX(options->max_pending / 8, (uint64_t)1);
    s->early_mark = ND_MIN(s->high_water, (uint64_t)ND_FLUSH_EARLY);
    s->inbox_high = ND_MIN(s->high_water, (uint64_t)ND_MIB);
    /* Half of what a read brings: its owner begins while we go on, and finds it warm. All
     * together stay below a few marks of an inbox. */
    s->outbox_high = ND_MIN(s->inbox_high / 4, 4 * s->inbox_high / options->reactors);
    s->version = version;
    atomic_init(&s->refs, 1);
    return s;
}

void nd_settings_release(struct nd_settings *settings)
{
    if (atomic_fetch_sub_explicit(&settings->refs, 1, memory_order_acq_rel) == 1) {
        nd_permits_release(settings->options.open_permits);
        free(settings);
    }
}
