/* SPDX-License-Identifier: MIT */
/*
 * A set of numbers below 2^30 as a bitmap whose words are summed up by bitmaps above it, 64 to 1:
 * adding, removing and finding the lowest take one word a level, of which there are at most five.
 * Owns nothing; the caller gives the storage, and locks.
 *
 *     level 2:  1 word                       bit i: word i of level 1 is not 0
 *     level 1:  up to 64 words               bit i: word i of level 0 is not 0
 *     level 0:  a bit for each number
 *
 * Source: van Emde Boas trees cut down to words; common in kernels as a "priority bitmap".
 */
#ifndef LODEI_BITTREE_H
#define LODEI_BITTREE_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

#define LODEI_BITTREE_LEVELS 5

struct lodei_bittree {
    uint64_t *levels[LODEI_BITTREE_LEVELS];
    unsigned depth; /* levels there are: the last has one word */
};

/* Words of storage that a tree for numbers below `count` takes. */
static inline size_t lodei_bittree_words(size_t count)
{
    size_t words = 0;
    do {
        count = (count + 63) / 64;
        words += count;
    } while (count > 1);
    return words;
}

/* An empty set in zeroed `storage`; returns the words behind it. */
static inline uint64_t *lodei_bittree_init(struct lodei_bittree *t, uint64_t *storage, size_t count)
{
    t->depth = 0;
    do {
        count = (count + 63) / 64;
        t->levels[t->depth++] = storage;
        storage += count;
    } while (count > 1);
    return storage;
}

LODE_INLINE int lodei_bittree_has(const struct lodei_bittree *t, size_t i)
{
    return (int)(t->levels[0][i / 64] >> (i % 64) & 1);
}

/* Returns 1 if the set was empty. */
LODE_INLINE int lodei_bittree_add(struct lodei_bittree *t, size_t i)
{
    for (unsigned level = 0; level < t->depth; level++) {
        uint64_t *word = &t->levels[level][i / 64], was = *word;
        *word = was | (uint64_t)1 << (i % 64);
        if (was != 0)
            return 0;
        i /= 64;
    }
    return 1;
}

/* Returns 1 if the set is empty now. */
LODE_INLINE int lodei_bittree_remove(struct lodei_bittree *t, size_t i)
{
    for (unsigned level = 0; level < t->depth; level++) {
        uint64_t *word = &t->levels[level][i / 64];
        *word &= ~((uint64_t)1 << (i % 64));
        if (*word != 0)
            return 0;
        i /= 64;
    }
    return 1;
}

/* The lowest number; the set is not empty. */
LODE_INLINE size_t lodei_bittree_first(const struct lodei_bittree *t)
{
    size_t i = 0;
    for (unsigned level = t->depth; level-- > 0;)
        i = i * 64 + (size_t)__builtin_ctzll(t->levels[level][i]);
    return i;
}

#endif
