/* load_subject -- which subject a message has, and how subjects and sids look. */
#include "load.h"

#include <stdio.h>

uint64_t next_random(uint64_t *state)
{
    uint64_t x = *state += 0x9e3779b97f4a7c15u; /* splitmix64 */

    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

void subject_shuffle(struct run *run)
{
    unsigned count = run->settings->subjects;
    uint64_t random = 1;

    run->order = must_alloc(count, sizeof(unsigned));
    for (unsigned i = 0; i < count; i++) {
        unsigned j = (unsigned)(next_random(&random) % (i + 1));

        run->order[i] = run->order[j];
        run->order[j] = i;
    }
}

unsigned subject_of(const struct run *run, unsigned publisher, uint64_t sequence)
{
    unsigned place = (unsigned)(sequence % run->settings->subjects);

    if (run->settings->pairs)
        return publisher;
    return run->order ? run->order[place] : place;
}

int subject_digits(const struct settings *settings)
{
    return snprintf(NULL, 0, "%u", settings->subjects - 1);
}

bool has_many_sids(const struct settings *settings)
{
    return settings->subjects > 1 && !settings->pairs && !settings->wildcard;
}

int subject_render(char *out, size_t size, const struct settings *settings,
                   unsigned subject)
{
    return snprintf(out, size, "perf.%0*u", subject_digits(settings), subject);
}

int sid_render(char *out, size_t size, const struct settings *settings,
               unsigned subject)
{
    if (!has_many_sids(settings))
        return snprintf(out, size, "1");
    return snprintf(out, size, "1%0*u", subject_digits(settings), subject);
}
