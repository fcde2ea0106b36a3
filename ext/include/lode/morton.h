/* SPDX-License-Identifier: MIT */
/**
 * @file morton.h
 * Morton order: codes of arrays, and boxes (liblode-ext.so). Single codes are inline, in
 * lode/morton_code.h.
 */
#ifndef LODE_MORTON_H
#define LODE_MORTON_H

#include <stddef.h>
#include <stdint.h>

#include "lode/morton_code.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Arrays of codes. The processor is looked at once, in the first call; every choice gives the same
 * codes. x, y, z and the codes hold `count` elements each, of any alignment natural to them, and do
 * not overlap. No memory, no failure unless said otherwise; any thread.
 */

/** ret_codes[i] = lode_morton2_encode(x[i], y[i]). */
LODE_API void lode_morton2_encode_many(const uint32_t *x, const uint32_t *y, size_t count,
                                       uint64_t *ret_codes);
/** As lode_morton2_encode_signed(). */
LODE_API void lode_morton2_encode_signed_many(const int32_t *x, const int32_t *y, size_t count,
                                              uint64_t *ret_codes);
/** As lode_morton2_decode(). */
LODE_API void lode_morton2_decode_many(const uint64_t *codes, size_t count, uint32_t *ret_x,
                                       uint32_t *ret_y);
/** As lode_morton2_decode_signed(). */
LODE_API void lode_morton2_decode_signed_many(const uint64_t *codes, size_t count, int32_t *ret_x,
                                              int32_t *ret_y);
/** ret_codes[i] = lode_morton3_encode(x[i], y[i], z[i]); of each the low 21 bits count. */
LODE_API void lode_morton3_encode_many(const uint32_t *x, const uint32_t *y, const uint32_t *z,
                                       size_t count, uint64_t *ret_codes);
/** As lode_morton3_encode_signed(). Returns 0; -ERANGE one of them is out of range, no code was
 * written. */
LODE_API LODE_NODISCARD int lode_morton3_encode_signed_many(const int32_t *x, const int32_t *y,
                                                            const int32_t *z, size_t count,
                                                            uint64_t *ret_codes);
/** As lode_morton3_decode(). */
LODE_API void lode_morton3_decode_many(const uint64_t *codes, size_t count, uint32_t *ret_x,
                                       uint32_t *ret_y, uint32_t *ret_z);
/** As lode_morton3_decode_signed(). */
LODE_API void lode_morton3_decode_signed_many(const uint64_t *codes, size_t count, int32_t *ret_x,
                                              int32_t *ret_y, int32_t *ret_z);

/**
 * A box of cells, both corners inclusive, and a place in a walk over its codes. A plain value: copy
 * it, drop it. The fields are the library's; made by one of the three calls below.
 */
struct lode_morton_box {
    uint64_t min;      /**< code of the lowest corner: the lowest code of the box */
    uint64_t max;      /**< code of the highest corner: the highest code of the box */
    uint64_t next;     /**< the walk's next code, if has_next */
    uint32_t dims;     /**< 2 or 3 */
    uint32_t has_next; /**< 0: the walk is at its end */
};

/** The box lo .. hi, the walk at its first code. Returns 0; -EINVAL lo[i] > hi[i]. */
LODE_API LODE_NODISCARD int lode_morton2_box(const uint32_t lo[2], const uint32_t hi[2],
                                             struct lode_morton_box *ret_box);
/** As above; -ERANGE a coordinate has more than 21 bits. */
LODE_API LODE_NODISCARD int lode_morton3_box(const uint32_t lo[3], const uint32_t hi[3],
                                             struct lode_morton_box *ret_box);
/** As above, of signed coordinates; -ERANGE lode_morton3_holds() denies one. */
LODE_API LODE_NODISCARD int lode_morton3_box_signed(const int32_t lo[3], const int32_t hi[3],
                                                    struct lode_morton_box *ret_box);

/** 1: the cell of `code` lies in the box. */
LODE_API int lode_morton_box_holds(const struct lode_morton_box *box, uint64_t code);

/**
 * BIGMIN: the lowest code in the box that is above `code`, which may itself be in it or not.
 * Returns 0; -ENOENT there is none.
 * Source  Tropf and Herzog, "Multidimensional range search in dynamically balanced trees", 1981.
 */
LODE_API LODE_NODISCARD int lode_morton_bigmin(const struct lode_morton_box *box, uint64_t code,
                                               uint64_t *ret_code);
/** LITMAX: the highest code in the box that is below `code`. Returns 0; -ENOENT there is none. */
LODE_API LODE_NODISCARD int lode_morton_litmax(const struct lode_morton_box *box, uint64_t code,
                                               uint64_t *ret_code);

/** The walk's next code, in rising order. Returns 1; 0 at the end, nothing written. */
LODE_API int lode_morton_box_next(struct lode_morton_box *box, uint64_t *ret_code);
/**
 * The walk's next run: first .. last are all in the box, last + 1 is not. A box needs few runs if
 * its sides are multiples of large powers of two. May be mixed with lode_morton_box_next().
 * Returns 1; 0 at the end, nothing written.
 */
LODE_API int lode_morton_box_run(struct lode_morton_box *box, uint64_t *ret_first,
                                 uint64_t *ret_last);

#ifdef __cplusplus
}
#endif
#endif
