#include "spin.h"

enum { IN_VAIN_MAX = 6 }; /* are told apart */

void nd_spin_ended(struct nd_spin *spin, bool has_found)
{
    if (has_found) {
        spin->in_vain = 0;
    } else {
        spin->in_vain = (uint8_t)ND_MIN(spin->in_vain + 1, IN_VAIN_MAX);
        /* The sleep that follows is the first of them. */
        spin->sits_out = (uint8_t)(1 << spin->in_vain);
    }
}

void nd_spin_slept(struct nd_spin *spin, uint64_t us)
{
    spin->is_brisk = us < ND_SPIN_SOON_US;
    if (spin->is_brisk && spin->sits_out > 0) {
        spin->sits_out--;
    }
}
