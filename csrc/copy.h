/* copy -- short copies without a call.
 *
 * Most of what a delivery copies is short, and a call of memcpy costs as much as the
 * bytes. Ends are copied by overlapping moves: nothing outside of the two runs of bytes
 * is ever touched.
 */
#ifndef ND_COPY_H
#define ND_COPY_H

#include "nd.h"

enum { ND_COPY_SHORT = 256 }; /* bytes: from here up a call is cheaper */

static inline void nd_copy_8_to_16(uint8_t *to, const uint8_t *from, size_t len)
{
    uint64_t head, tail;
    memcpy(&head, from, 8);
    memcpy(&tail, from + len - 8, 8);
    memcpy(to, &head, 8);
    memcpy(to + len - 8, &tail, 8);
}

static inline void nd_copy_16_to_32(uint8_t *to, const uint8_t *from, size_t len)
{
    uint8_t head[16], tail[16];
    memcpy(head, from, 16);
    memcpy(tail, from + len - 16, 16);
    memcpy(to, head, 16);
    memcpy(to + len - 16, tail, 16);
}

static inline void nd_copy(uint8_t *to, const uint8_t *from, size_t len)
{
    if (len < 8 || len > ND_COPY_SHORT) {
        memcpy(to, from, len);
    } else if (len <= 16) {
        nd_copy_8_to_16(to, from, len);
    } else if (len <= 32) {
        nd_copy_16_to_32(to, from, len);
    } else {
        size_t at = 0;
        for (; at + 32 < len; at += 32) {
            memcpy(to + at, from + at, 32);
        }
        memcpy(to + len - 32, from + len - 32, 32);
    }
}

#endif
