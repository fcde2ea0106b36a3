/* SPDX-License-Identifier: MIT */
/* Arithmetic on sizes and words. Owns nothing. */
#ifndef LODEI_BITS_H
#define LODEI_BITS_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

LODE_INLINE size_t lodei_round_up(size_t n, size_t power_of_two)
{
    return (n + power_of_two - 1) & ~(power_of_two - 1);
}

LODE_INLINE size_t lodei_round_down(size_t n, size_t power_of_two)
{
    return n & ~(power_of_two - 1);
}

LODE_INLINE int lodei_is_power_of_two(size_t n)
{
    return n != 0 && (n & (n - 1)) == 0;
}

/* Index of the highest set bit; n must not be 0. */
LODE_INLINE unsigned lodei_log2(size_t n)
{
    return 63u - (unsigned)__builtin_clzll((unsigned long long)n);
}

LODE_INLINE size_t lodei_min(size_t a, size_t b)
{
    return a < b ? a : b;
}

LODE_INLINE size_t lodei_max(size_t a, size_t b)
{
    return a > b ? a : b;
}

/*
 * The octants of a cube that lie in wanted halves of all three axes: octant o is in the upper half
 * of axis k iff bit k of o is set. `lower` and `upper` have bit k set where that half of axis k is
 * wanted.
 */
LODE_INLINE unsigned lodei_octants(unsigned lower, unsigned upper)
{
    static const uint8_t low[3] = {0x55, 0x33, 0x0f};
    unsigned octants = 255;
    for (unsigned axis = 0; axis < 3; axis++)
        octants &= ((lower >> axis & 1) != 0 ? low[axis] : 0u) |
                   ((upper >> axis & 1) != 0 ? 255u ^ low[axis] : 0u);
    return octants;
}

#endif
