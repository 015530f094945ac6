/* digits -- a number as text, for control lines that we write ourselves. */
#ifndef ND_DIGITS_H
#define ND_DIGITS_H

#include "nd.h"

enum { ND_DIGITS_MAX = 20 }; /* of a uint64_t */

/* Appends *number*; returns where it ends. */
static inline uint8_t *nd_digits_put(uint8_t *to, uint64_t number)
{
    uint8_t digits[ND_DIGITS_MAX];
    int n = 0;
    do {
        digits[n++] = (uint8_t)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    while (n > 0) {
        *to++ = digits[--n];
    }
    return to;
}

#endif
