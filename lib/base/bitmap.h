/* SPDX-License-Identifier: MIT */
/* Fixed bitmaps of 64-bit words, and searches for runs of set bits. Owns nothing; the caller locks.
 */
#ifndef LODEI_BITMAP_H
#define LODEI_BITMAP_H

#include <stddef.h>
#include <stdint.h>

#include "base/bits.h"

LODE_INLINE int lodei_bitmap_get(const uint64_t *map, size_t i)
{
    return (int)(map[i / 64] >> (i % 64) & 1);
}

LODE_INLINE void lodei_bitmap_put(uint64_t *map, size_t first, size_t count, int value)
{
    while (count > 0) {
        size_t bit = first % 64, n = lodei_min(count, 64 - bit);
        uint64_t mask = (n == 64 ? ~0ull : ((1ull << n) - 1)) << bit;
        if (value)
            map[first / 64] |= mask;
        else
            map[first / 64] &= ~mask;
        first += n;
        count -= n;
    }
}

/* How many bits of [first, +count) are set. */
LODE_INLINE size_t lodei_bitmap_count(const uint64_t *map, size_t first, size_t count)
{
    size_t set = 0;
    while (count > 0) {
        size_t bit = first % 64, n = lodei_min(count, 64 - bit);
        uint64_t mask = (n == 64 ? ~0ull : ((1ull << n) - 1)) << bit;
        set += (size_t)__builtin_popcountll(map[first / 64] & mask);
        first += n;
        count -= n;
    }
    return set;
}

/* First index >= from, < bits, whose bit is `value`; `bits` when there is none. */
LODE_INLINE size_t lodei_bitmap_next(const uint64_t *map, size_t bits, size_t from, int value)
{
    while (from < bits) {
        uint64_t w = (value ? map[from / 64] : ~map[from / 64]) >> (from % 64);
        if (w != 0) {
            from += (size_t)__builtin_ctzll(w);
            return from < bits ? from : bits;
        }
        from = (from / 64 + 1) * 64;
    }
    return bits;
}

/* Behind the last index below `end` whose bit is `value`; 0 when there is none. */
LODE_INLINE size_t lodei_bitmap_last(const uint64_t *map, size_t end, int value)
{
    while (end > 0) {
        size_t bits = (end - 1) % 64 + 1, word = (end - 1) / 64;
        uint64_t w = (value ? map[word] : ~map[word]) << (64 - bits);
        if (w != 0)
            return end - (size_t)__builtin_clzll(w);
        end -= bits;
    }
    return 0;
}

/*
 * First run of `count` set bits that starts at a multiple of `align` (counted from bit 0 plus
 * `bias`); `bits` when there is none. `ret_longest` gets the longest run seen on the way, aligned
 * or not.
 */
LODE_INLINE size_t lodei_bitmap_find_run(const uint64_t *map, size_t bits, size_t count,
                                         size_t align, size_t bias, size_t *ret_longest)
{
    size_t at = 0, longest = 0;
    while ((at = lodei_bitmap_next(map, bits, at, 1)) < bits) {
        size_t end = lodei_bitmap_next(map, bits, at, 0);
        size_t start = lodei_round_up(at + bias, align) - bias;
        longest = lodei_max(longest, end - at);
        if (start < end && end - start >= count) {
            *ret_longest = longest;
            return start;
        }
        at = end;
    }
    *ret_longest = longest;
    return bits;
}

#endif
