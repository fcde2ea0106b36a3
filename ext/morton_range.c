/* SPDX-License-Identifier: MIT */
/*
 * Boxes in Morton order: the next code in, the last code before, and walks. Owns nothing, allocates
 * nothing, takes no lock; a walk is a struct of the caller's.
 *
 * BIGMIN and LITMAX are those of Tropf and Herzog ("Multidimensional range search in dynamically
 * balanced trees", Angewandte Informatik 2/1981, the decision table on page 76). Going down from
 * the highest bit in which the code and the two corners of the box differ, the box is cut in two at
 * the middle of the axis the bit belongs to, whenever it has codes on both sides:
 *
 *     code min max      what follows
 *      0    0   0       go on
 *      0    0   1       the answer may be the lowest of the upper half; go on in the lower half
 *      0    1   1       the whole box is above: its lowest code
 *      1    0   0       the whole box is below: the last answer noted
 *      1    0   1       go on in the upper half
 *      1    1   1       go on
 *
 * A run of consecutive codes within a box is grown block by block: 2^k codes from a multiple of 2^k
 * are a box themselves, so they are all inside if the last one is. The masks of two and three
 * dimensions are the only difference between both.
 */
#include <errno.h>

#include "base/attr.h"
#include "lode/morton.h"

/* The bits of the axis that bit `bit` belongs to. */
static uint64_t axis_of(unsigned dims, unsigned bit)
{
    return dims == 2 ? LODE_MORTON2_AXIS(bit % 2) : LODE_MORTON3_AXIS(bit % 3);
}

/* 1: on every axis min <= code <= max. */
static int is_inside(unsigned dims, uint64_t code, uint64_t min, uint64_t max)
{
    int inside = 1;
    for (unsigned axis = 0; axis < dims; axis++) {
        uint64_t mask = axis_of(dims, axis);
        inside &= (code & mask) >= (min & mask) && (code & mask) <= (max & mask);
    }
    return inside;
}

/* Of the axis of `bit`: this bit 1, those below 0, those above and the other axes as in `code`. */
static uint64_t lowest_above(unsigned dims, uint64_t code, unsigned bit)
{
    uint64_t below = axis_of(dims, bit) & ((UINT64_C(1) << bit) - 1);
    return (code & ~below) | UINT64_C(1) << bit;
}

/* This bit 0, those below 1. */
static uint64_t highest_below(unsigned dims, uint64_t code, unsigned bit)
{
    uint64_t below = axis_of(dims, bit) & ((UINT64_C(1) << bit) - 1);
    return (code | below) & ~(UINT64_C(1) << bit);
}

/* The lowest code of the box that is >= code, which is <= max. */
static uint64_t ceiling(unsigned dims, uint64_t code, uint64_t min, uint64_t max)
{
    uint64_t differ, noted = max, below = UINT64_MAX;
    while ((differ = ((code ^ min) | (code ^ max)) & below) != 0) {
        unsigned bit = 63u - (unsigned)__builtin_clzll(differ);
        uint64_t one = UINT64_C(1) << bit;
        below = one - 1;
        if ((code & one) == 0) {
            if ((min & one) != 0)
                return min;
            if ((max & one) != 0) {
                noted = lowest_above(dims, min, bit);
                max = highest_below(dims, max, bit);
            }
        } else if ((max & one) == 0) {
            return noted;
        } else if ((min & one) == 0) {
            min = lowest_above(dims, min, bit);
        }
    }
    return code;
}

/* The highest code of the box that is <= code, which is >= min. */
static uint64_t floor_of(unsigned dims, uint64_t code, uint64_t min, uint64_t max)
{
    uint64_t differ, noted = min, below = UINT64_MAX;
    while ((differ = ((code ^ min) | (code ^ max)) & below) != 0) {
        unsigned bit = 63u - (unsigned)__builtin_clzll(differ);
        uint64_t one = UINT64_C(1) << bit;
        below = one - 1;
        if ((code & one) != 0) {
            if ((max & one) == 0)
                return max;
            if ((min & one) == 0) {
                noted = highest_below(dims, max, bit);
                min = lowest_above(dims, min, bit);
            }
        } else if ((min & one) != 0) {
            return noted;
        } else if ((max & one) != 0) {
            max = highest_below(dims, max, bit);
        }
    }
    return code;
}

/* ---- boxes ---- */

static int box_of(unsigned dims, uint64_t min, uint64_t max, struct lode_morton_box *ret_box)
{
    for (unsigned axis = 0; axis < dims; axis++)
        if ((min & axis_of(dims, axis)) > (max & axis_of(dims, axis)))
            return -EINVAL;
    *ret_box =
        (struct lode_morton_box){.min = min, .max = max, .next = min, .dims = dims, .has_next = 1};
    return 0;
}

int lode_morton2_box(const uint32_t lo[2], const uint32_t hi[2], struct lode_morton_box *ret_box)
{
    return box_of(2, lode_morton2_encode(lo[0], lo[1]), lode_morton2_encode(hi[0], hi[1]), ret_box);
}

int lode_morton3_box(const uint32_t lo[3], const uint32_t hi[3], struct lode_morton_box *ret_box)
{
    if ((lo[0] | lo[1] | lo[2] | hi[0] | hi[1] | hi[2]) >> LODE_MORTON3_BITS != 0)
        return -ERANGE;
    return box_of(3, lode_morton3_encode(lo[0], lo[1], lo[2]),
                  lode_morton3_encode(hi[0], hi[1], hi[2]), ret_box);
}

int lode_morton3_box_signed(const int32_t lo[3], const int32_t hi[3],
                            struct lode_morton_box *ret_box)
{
    uint64_t min, max;
    if (lode_morton3_encode_signed(lo[0], lo[1], lo[2], &min) != 0 ||
        lode_morton3_encode_signed(hi[0], hi[1], hi[2], &max) != 0)
        return -ERANGE;
    return box_of(3, min, max, ret_box);
}

int lode_morton_box_holds(const struct lode_morton_box *box, uint64_t code)
{
    return code <= box->max && is_inside(box->dims, code, box->min, box->max);
}

int lode_morton_bigmin(const struct lode_morton_box *box, uint64_t code, uint64_t *ret_code)
{
    if (code >= box->max)
        return -ENOENT;
    *ret_code = ceiling(box->dims, code + 1, box->min, box->max);
    return 0;
}

int lode_morton_litmax(const struct lode_morton_box *box, uint64_t code, uint64_t *ret_code)
{
    if (code <= box->min)
        return -ENOENT;
    *ret_code = floor_of(box->dims, code - 1, box->min, box->max);
    return 0;
}

static void advance(struct lode_morton_box *box, uint64_t last)
{
    if (last == box->max)
        box->has_next = 0;
    else if (is_inside(box->dims, last + 1, box->min, box->max))
        box->next = last + 1;
    else
        box->next = ceiling(box->dims, last + 1, box->min, box->max);
}

int lode_morton_box_next(struct lode_morton_box *box, uint64_t *ret_code)
{
    if (!box->has_next)
        return 0;
    *ret_code = box->next;
    advance(box, box->next);
    return 1;
}

int lode_morton_box_run(struct lode_morton_box *box, uint64_t *ret_first, uint64_t *ret_last)
{
    if (!box->has_next)
        return 0;
    uint64_t at = *ret_first = box->next, last;
    for (;;) {
        uint64_t span = 0; /* codes of the block at `at`, less one */
        while (span != UINT64_MAX && (at & (span + 1)) == 0 &&
               lode_morton_box_holds(box, at | (2 * span + 1)))
            span = 2 * span + 1;
        last = at + span;
        if (last == box->max || !is_inside(box->dims, last + 1, box->min, box->max))
            break;
        at = last + 1;
    }
    *ret_last = last;
    advance(box, last);
    return 1;
}
