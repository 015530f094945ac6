/* spin -- whether a reactor looks for work a little longer before it goes to sleep.
 *
 * To sleep and to be woken costs both sides more than most of what a reactor does for a
 * message, on virtual machines most of all, and the peer that wakes us has to wait for
 * it. So where work comes back soon, the reactor keeps looking for ND_SPIN_US. Soon is
 * learnt: only who has just slept for less than ND_SPIN_SOON_US spins, and whoever spun
 * in vain sits out 1, 3, 7 ... 63 such occasions. An idle server never spins.
 *
 *   slept briefly --> spin --found--> spin again
 *                      |
 *                      +--in vain--> sleep; sit out more of them each time
 *
 * Belongs to a reactor; its thread only. Pure: told the times, reads no clock.
 */
#ifndef ND_SPIN_H
#define ND_SPIN_H

#include "nd.h"

struct nd_spin {
    bool is_brisk;    /* the last wait was short */
    uint8_t in_vain;  /* spins in a row that found nothing */
    uint8_t sits_out; /* short waits without a spin that are still to come */
};

/* Before a wait. */
static inline bool nd_spin_is_due(const struct nd_spin *spin)
{
    return spin->is_brisk && spin->sits_out == 0;
}

void nd_spin_ended(struct nd_spin *spin, bool has_found);
void nd_spin_slept(struct nd_spin *spin, uint64_t us);

#endif
