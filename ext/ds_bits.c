/* SPDX-License-Identifier: MIT */
/*
 * struct lode_bitset of lode/ds_bits.h: what works on whole words.
 *
 *     words -> [ .. | .. | bits % 64 | not read .. word_capacity ]     bits behind the last are
 * zero
 *
 * Owns nothing but what a caller's set points to. No locks.
 */
#include "lode/ds_bits.h"

#include "base/bitmap.h"

static size_t words_of(size_t bits)
{
    return bits / 64 + (bits % 64 != 0);
}

static struct lodei_array as_array(const struct lode_bitset *set)
{
    return (struct lodei_array){set->words, words_of(set->bits), set->word_capacity, 0,
                                set->allocator};
}

void lode_bitset_finish(struct lode_bitset *set)
{
    lodei_ds_free(set->allocator, set->words, set->word_capacity * 8, _Alignof(uint64_t));
    lode_bitset_init(set, set->max_items, set->allocator);
}

int lode_bitset_resize(struct lode_bitset *set, size_t bits)
{
    size_t before = words_of(set->bits), words = words_of(bits);
    if (set->max_items != 0 && bits > set->max_items)
        return -ENOSPC;
    if (words > set->word_capacity) {
        struct lodei_array a = as_array(set);
        int status =
            lodei_array_grow(&a, words, sizeof(uint64_t), _Alignof(uint64_t), LODEI_GROW_MORE);
        if (status != 0)
            return status;
        set->words = a.items;
        set->word_capacity = a.capacity;
    }
    if (words > before)
        memset(set->words + before, 0, (words - before) * 8);
    if (bits < set->bits && bits % 64 != 0)
        set->words[bits / 64] &= ((uint64_t)1 << bits % 64) - 1;
    set->bits = bits;
    return 0;
}

void lode_bitset_trim(struct lode_bitset *set)
{
    struct lodei_array a = as_array(set);
    lodei_array_trim(&a, sizeof(uint64_t), _Alignof(uint64_t));
    set->words = a.items;
    set->word_capacity = a.capacity;
}

int lode_bitset_fill(struct lode_bitset *set, size_t first, size_t count, int on)
{
    if (first > set->bits || count > set->bits - first)
        return -ERANGE;
    lodei_bitmap_put(set->words, first, count, on);
    return 0;
}

size_t lode_bitset_count_range(const struct lode_bitset *set, size_t first, size_t count)
{
    if (first >= set->bits)
        return 0;
    return lodei_bitmap_count(set->words, first, lodei_min(count, set->bits - first));
}

size_t lode_bitset_next_clear(const struct lode_bitset *set, size_t from)
{
    return from < set->bits ? lodei_bitmap_next(set->words, set->bits, from, 0) : set->bits;
}

int lode_bitset_or(struct lode_bitset *set, const struct lode_bitset *of)
{
    if (set->bits != of->bits)
        return -EINVAL;
    for (size_t w = 0; w < words_of(set->bits); w++)
        set->words[w] |= of->words[w];
    return 0;
}

int lode_bitset_and(struct lode_bitset *set, const struct lode_bitset *of)
{
    if (set->bits != of->bits)
        return -EINVAL;
    for (size_t w = 0; w < words_of(set->bits); w++)
        set->words[w] &= of->words[w];
    return 0;
}

int lode_bitset_and_not(struct lode_bitset *set, const struct lode_bitset *of)
{
    if (set->bits != of->bits)
        return -EINVAL;
    for (size_t w = 0; w < words_of(set->bits); w++)
        set->words[w] &= ~of->words[w];
    return 0;
}

int lode_bitset_xor(struct lode_bitset *set, const struct lode_bitset *of)
{
    if (set->bits != of->bits)
        return -EINVAL;
    for (size_t w = 0; w < words_of(set->bits); w++)
        set->words[w] ^= of->words[w];
    return 0;
}
