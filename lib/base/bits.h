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

#endif
