/* SPDX-License-Identifier: MIT */
/*
 * Free pieces by size: good fit and best fit of free list allocators. Owns nothing; freepieces.h
 * has the layout.
 *
 *     top:     bit: leaves[..] is not 0
 *     leaves:  bit: the bin is not empty
 *     heads:   bin -> piece -> piece, newest first
 *
 * A bin is a floating-point number with 4 bits of mantissa: exact to 31 units, then at most 6.25 %
 * wide. The good fit takes the first piece of the first bin all of whose pieces are large enough,
 * after a look at the first of the request's own bin, where a block of its size went when it was
 * freed; when there is none, the bins below are searched, so that what exists is found.
 */
#include "ext/freepieces.h"

#define SHIFT  4
#define A_LEAF 16 /* bins */

static unsigned shift_of(uint32_t units)
{
    return lodei_log2(units | (1u << SHIFT)) - SHIFT;
}

static unsigned bin_of(uint32_t units)
{
    unsigned shift = shift_of(units);
    return (shift << SHIFT) + (units >> shift);
}

/* The smallest size in a bin. */
static uint32_t least_of(unsigned bin)
{
    unsigned shift = bin < 2 * A_LEAF ? 0 : bin / A_LEAF - 1;
    return (bin - shift * A_LEAF) << shift;
}

/* The first bin all of whose pieces are large enough; there may be no such bin. */
static unsigned bin_enough(uint64_t units)
{
    if (units > UINT32_MAX / 2)
        return LODEI_PIECE_BINS;
    unsigned bin = bin_of((uint32_t)units);
    return bin + (least_of(bin) < units);
}

/* The first bin from `bin` on that is not empty; LODEI_PIECE_BINS: none is. */
static unsigned bin_next(const struct lode_freelist *f, unsigned bin)
{
    unsigned leaf = bin / A_LEAF;
    if (bin >= LODEI_PIECE_BINS)
        return LODEI_PIECE_BINS;
    unsigned bits = f->leaves[leaf] & (0xffffu << bin % A_LEAF);
    if (bits == 0) {
        uint32_t rest = leaf < 31 ? f->top & (~(uint32_t)1 << leaf) : 0;
        if (rest == 0)
            return LODEI_PIECE_BINS;
        leaf = (unsigned)__builtin_ctz(rest);
        bits = f->leaves[leaf];
    }
    return leaf * A_LEAF + (unsigned)__builtin_ctz(bits);
}

void lodei_bins_init(struct lode_freelist *f)
{
    lodei_put(f->top, 0);
    for (unsigned leaf = 0; leaf < sizeof(f->leaves) / sizeof(f->leaves[0]); leaf++)
        lodei_put(f->leaves[leaf], 0);
    for (unsigned bin = 0; bin < LODEI_PIECE_BINS; bin++)
        f->heads[bin] = LODEI_PIECE_NONE;
}

void lodei_bins_add(struct lode_freelist *f, uint32_t at, uint32_t units)
{
    unsigned bin = bin_of(units);
    uint32_t next = f->heads[bin];
    lodei_links_put(f, at, (struct lodei_piece_links){.a = next, .b = LODEI_PIECE_NONE});
    if (next != LODEI_PIECE_NONE) {
        struct lodei_piece_links links = lodei_links_get(f, next);
        links.b = at;
        lodei_links_put(f, next, links);
    }
    f->heads[bin] = at;
    lodei_put(f->leaves[bin / A_LEAF], (uint16_t)(f->leaves[bin / A_LEAF] | 1u << bin % A_LEAF));
    lodei_put(f->top, f->top | (uint32_t)1 << bin / A_LEAF);
}

void lodei_bins_remove(struct lode_freelist *f, uint32_t at, uint32_t units)
{
    struct lodei_piece_links mine = lodei_links_get(f, at), other;
    unsigned bin = bin_of(units);
    if (mine.a != LODEI_PIECE_NONE) {
        other = lodei_links_get(f, mine.a);
        other.b = mine.b;
        lodei_links_put(f, mine.a, other);
    }
    if (mine.b != LODEI_PIECE_NONE) {
        other = lodei_links_get(f, mine.b);
        other.a = mine.a;
        lodei_links_put(f, mine.b, other);
        return;
    }
    f->heads[bin] = mine.a;
    if (mine.a == LODEI_PIECE_NONE) {
        lodei_put(f->leaves[bin / A_LEAF],
                  (uint16_t)(f->leaves[bin / A_LEAF] & ~(1u << bin % A_LEAF)));
        if (f->leaves[bin / A_LEAF] == 0)
            lodei_put(f->top, f->top & ~((uint32_t)1 << bin / A_LEAF));
    }
}

static int head_fits(const struct lode_freelist *f, unsigned bin, uint32_t units, size_t align)
{
    uint32_t at = bin < LODEI_PIECE_BINS ? f->heads[bin] : LODEI_PIECE_NONE;
    return at != LODEI_PIECE_NONE &&
           lodei_piece_fits(f, at, lodei_tag_units(lodei_tag_get(f, at)), units, align);
}

/* The smallest that holds it in the first bin that has one. */
static uint32_t find_best(const struct lode_freelist *f, uint32_t units, size_t align)
{
    for (unsigned bin = bin_next(f, bin_of(units)); bin < LODEI_PIECE_BINS;
         bin = bin_next(f, bin + 1)) {
        uint32_t best = LODEI_PIECE_NONE, best_units = UINT32_MAX;
        for (uint32_t at = f->heads[bin]; at != LODEI_PIECE_NONE && best_units != units;
             at = lodei_links_get(f, at).a) {
            uint32_t have = lodei_tag_units(lodei_tag_get(f, at));
            if (have < best_units && lodei_piece_fits(f, at, have, units, align)) {
                best = at;
                best_units = have;
            }
        }
        if (best != LODEI_PIECE_NONE)
            return best;
    }
    return LODEI_PIECE_NONE;
}

uint32_t lodei_bins_find(const struct lode_freelist *f, uint32_t units, size_t align)
{
    if (f->fit == LODE_FIT_GOOD) {
        unsigned own = bin_of(units), bin = bin_enough(units);
        if (own != bin && head_fits(f, own, units, align))
            return f->heads[own];
        bin = bin_next(f, bin);
        if (lode_likely(head_fits(f, bin, units, align)))
            return f->heads[bin];
        if (align > LODEI_PIECE_UNIT) {
            bin = bin_next(f, bin_enough((uint64_t)units + align / LODEI_PIECE_UNIT - 1));
            if (bin < LODEI_PIECE_BINS)
                return f->heads[bin];
        }
    }
    return find_best(f, units, align);
}

uint32_t lodei_bins_largest(const struct lode_freelist *f)
{
    uint32_t largest = 0;
    if (f->top == 0)
        return 0;
    unsigned leaf = lodei_log2(f->top), bin = leaf * A_LEAF + lodei_log2(f->leaves[leaf]);
    for (uint32_t at = f->heads[bin]; at != LODEI_PIECE_NONE; at = lodei_links_get(f, at).a)
        largest = (uint32_t)lodei_max(largest, lodei_tag_units(lodei_tag_get(f, at)));
    return largest;
}

uint32_t lodei_bins_large(const struct lode_freelist *f)
{
    uint32_t top = lodei_get(f->top);
    if (top == 0)
        return 0;
    unsigned leaf = lodei_log2(top), bits = lodei_get(f->leaves[leaf]);
    return bits != 0 ? least_of(leaf * A_LEAF + lodei_log2(bits)) : 0;
}
