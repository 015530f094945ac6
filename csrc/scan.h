/* scan -- looks at 64 bytes at once for the bytes that can end a word.
 *
 * A word ends at a blank or at the end of its line, and all of those are at most 0x20
 * (the space). Other control bytes are as well: the caller checks what it has found.
 * Bit n of a result stands for byte n. Always reads exactly ND_SCAN_SIZE bytes.
 */
#ifndef ND_SCAN_H
#define ND_SCAN_H

#include "nd.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

enum { ND_SCAN_SIZE = 64 };

/* For any machine: eight bytes to a word. Adding 0x5f to the low seven bits of a byte
 * carries into its top bit if they are above 0x20, and never into the next byte. */
static inline uint64_t nd_scan_portable(const uint8_t *bytes)
{
    const uint64_t each = 0x0101010101010101u;
    uint64_t found = 0;
    for (unsigned i = 0; i < ND_SCAN_SIZE; i += 8) {
        uint64_t word;
        memcpy(&word, bytes + i, sizeof word);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
        word = __builtin_bswap64(word);
#endif
        uint64_t above = ((word & each * 0x7f) + each * 0x5f) | word;
        uint64_t low = (~above >> 7) & each;
        /* Gathers the eight bits that stand a byte apart in the top byte. */
        found |= (low * 0x0102040810204080u >> 56) << i;
    }
    return found;
}

#if defined(__SSE2__)
static inline uint64_t nd_scan__sixteen(const uint8_t *bytes)
{
    __m128i block = _mm_loadu_si128((const __m128i *)(const void *)bytes);
    __m128i capped = _mm_min_epu8(block, _mm_set1_epi8(0x20));
    return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(capped, block));
}
#endif

static inline uint64_t nd_scan(const uint8_t *bytes)
{
#if defined(__SSE2__)
    return nd_scan__sixteen(bytes) | nd_scan__sixteen(bytes + 16) << 16 |
           nd_scan__sixteen(bytes + 32) << 32 | nd_scan__sixteen(bytes + 48) << 48;
#else
    return nd_scan_portable(bytes);
#endif
}

#endif
