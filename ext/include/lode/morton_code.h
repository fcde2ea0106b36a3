/* SPDX-License-Identifier: MIT */
/**
 * @file morton_code.h
 * Morton codes (Z-order): the bits of two or three coordinates interleaved, x in the lowest
 * (Morton, "A computer oriented geodetic data base", IBM 1966).
 *
 *     2-D   y31 x31 ... y1 x1 y0 x0               32 bits an axis, all 64 bits of a code
 *     3-D   0 z20 y20 x20 ... z1 y1 x1 z0 y0 x0   21 bits an axis, 63 bits of a code
 *
 * Points near each other in space mostly have codes near each other, and every aligned cube of
 * side 2^k is one run of 8^k codes. Brick coordinates are signed; their codes are those of the
 * coordinate plus 2^20, so that the order of codes is the order in space across the origin too.
 *
 * Everything here is inline, without memory and without failure unless said otherwise. Compiled
 * for BMI2 (-mbmi2, -march=haswell and later; __BMI2__) each spread is one pdep, each gather one
 * pext; else shifts and masks (Raman and Wise, "Converting to and from dilated integers", IEEE
 * Transactions on Computers 57, 2008). Both give the same bits. Do not compile for BMI2 what is to
 * run on AMD processors before Zen 3: their pdep takes hundreds of cycles. The functions for arrays
 * in lode/morton.h look at the processor themselves.
 */
#ifndef LODE_MORTON_CODE_H
#define LODE_MORTON_CODE_H

#include <errno.h>
#include <stdint.h>

#include "lode/heap.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Bits of an axis. */
#define LODE_MORTON2_BITS 32
#define LODE_MORTON3_BITS 21
/** Signed 3-D coordinates: from LODE_MORTON3_MIN to LODE_MORTON3_MAX, each inclusive. */
#define LODE_MORTON3_MIN (-(1 << 20))
#define LODE_MORTON3_MAX ((1 << 20) - 1)
/** Greatest 3-D code. */
#define LODE_MORTON3_LAST ((UINT64_C(1) << 63) - 1)
/** The bits of one axis within a code: 0 x, 1 y, 2 z. */
#define LODE_MORTON2_AXIS(axis) (UINT64_C(0x5555555555555555) << (axis))
#define LODE_MORTON3_AXIS(axis) (UINT64_C(0x1249249249249249) << (axis))

/** Put the bits of `v` at every second place, from bit 0: bit i goes to 2i. */
static inline uint64_t lode_morton2_spread(uint32_t v)
{
#if defined(__BMI2__) && defined(__x86_64__)
    return __builtin_ia32_pdep_di(v, LODE_MORTON2_AXIS(0));
#else
    uint64_t s = v;
    s = (s | s << 16) & UINT64_C(0x0000ffff0000ffff);
    s = (s | s << 8) & UINT64_C(0x00ff00ff00ff00ff);
    s = (s | s << 4) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    s = (s | s << 2) & UINT64_C(0x3333333333333333);
    return (s | s << 1) & LODE_MORTON2_AXIS(0);
#endif
}

/** Undo lode_morton2_spread(); bits at other places are ignored. */
static inline uint32_t lode_morton2_gather(uint64_t s)
{
#if defined(__BMI2__) && defined(__x86_64__)
    return (uint32_t)__builtin_ia32_pext_di(s, LODE_MORTON2_AXIS(0));
#else
    s &= LODE_MORTON2_AXIS(0);
    s = (s | s >> 1) & UINT64_C(0x3333333333333333);
    s = (s | s >> 2) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    s = (s | s >> 4) & UINT64_C(0x00ff00ff00ff00ff);
    s = (s | s >> 8) & UINT64_C(0x0000ffff0000ffff);
    return (uint32_t)(s | s >> 16);
#endif
}

/** Put the low 21 bits of `v` at every third place, from bit 0: bit i goes to 3i. */
static inline uint64_t lode_morton3_spread(uint32_t v)
{
#if defined(__BMI2__) && defined(__x86_64__)
    return __builtin_ia32_pdep_di(v, LODE_MORTON3_AXIS(0));
#else
    uint64_t s = v & 0x1fffff;
    s = (s | s << 32) & UINT64_C(0x001f00000000ffff);
    s = (s | s << 16) & UINT64_C(0x001f0000ff0000ff);
    s = (s | s << 8) & UINT64_C(0x100f00f00f00f00f);
    s = (s | s << 4) & UINT64_C(0x10c30c30c30c30c3);
    return (s | s << 2) & LODE_MORTON3_AXIS(0);
#endif
}

/** Undo lode_morton3_spread(); bits at other places are ignored. */
static inline uint32_t lode_morton3_gather(uint64_t s)
{
#if defined(__BMI2__) && defined(__x86_64__)
    return (uint32_t)__builtin_ia32_pext_di(s, LODE_MORTON3_AXIS(0));
#else
    s &= LODE_MORTON3_AXIS(0);
    s = (s | s >> 2) & UINT64_C(0x10c30c30c30c30c3);
    s = (s | s >> 4) & UINT64_C(0x100f00f00f00f00f);
    s = (s | s >> 8) & UINT64_C(0x001f0000ff0000ff);
    s = (s | s >> 16) & UINT64_C(0x001f00000000ffff);
    return (uint32_t)(s | s >> 32) & 0x1fffff;
#endif
}

/** The code of (x, y). */
static inline uint64_t lode_morton2_encode(uint32_t x, uint32_t y)
{
    return lode_morton2_spread(x) | lode_morton2_spread(y) << 1;
}

static inline void lode_morton2_decode(uint64_t code, uint32_t ret_at[2])
{
    ret_at[0] = lode_morton2_gather(code);
    ret_at[1] = lode_morton2_gather(code >> 1);
}

/** The code of the signed (x, y): of both plus 2^31. Every coordinate has one. */
static inline uint64_t lode_morton2_encode_signed(int32_t x, int32_t y)
{
    return lode_morton2_encode((uint32_t)x ^ 0x80000000u, (uint32_t)y ^ 0x80000000u);
}

static inline void lode_morton2_decode_signed(uint64_t code, int32_t ret_at[2])
{
    ret_at[0] = (int32_t)(lode_morton2_gather(code) ^ 0x80000000u);
    ret_at[1] = (int32_t)(lode_morton2_gather(code >> 1) ^ 0x80000000u);
}

/** The code of (x, y, z); of each the low 21 bits count. */
static inline uint64_t lode_morton3_encode(uint32_t x, uint32_t y, uint32_t z)
{
    return lode_morton3_spread(x) | lode_morton3_spread(y) << 1 | lode_morton3_spread(z) << 2;
}

static inline void lode_morton3_decode(uint64_t code, uint32_t ret_at[3])
{
    ret_at[0] = lode_morton3_gather(code);
    ret_at[1] = lode_morton3_gather(code >> 1);
    ret_at[2] = lode_morton3_gather(code >> 2);
}

/** 1: each of x, y, z lies in LODE_MORTON3_MIN .. LODE_MORTON3_MAX. */
static inline int lode_morton3_holds(int32_t x, int32_t y, int32_t z)
{
    uint32_t bias = (uint32_t)1 << 20;
    return (((uint32_t)x + bias) | ((uint32_t)y + bias) | ((uint32_t)z + bias)) >> 21 == 0;
}

/**
 * The code of the signed (x, y, z): of each plus 2^20.
 *
 * @ret_code  Written only on success.
 * Returns    0; -ERANGE a coordinate that lode_morton3_holds() denies.
 */
LODE_NODISCARD static inline int lode_morton3_encode_signed(int32_t x, int32_t y, int32_t z,
                                                            uint64_t *ret_code)
{
    uint32_t bias = (uint32_t)1 << 20;
    if (!lode_morton3_holds(x, y, z))
        return -ERANGE;
    *ret_code = lode_morton3_encode((uint32_t)x + bias, (uint32_t)y + bias, (uint32_t)z + bias);
    return 0;
}

static inline void lode_morton3_decode_signed(uint64_t code, int32_t ret_at[3])
{
    ret_at[0] = (int32_t)lode_morton3_gather(code) + LODE_MORTON3_MIN;
    ret_at[1] = (int32_t)lode_morton3_gather(code >> 1) + LODE_MORTON3_MIN;
    ret_at[2] = (int32_t)lode_morton3_gather(code >> 2) + LODE_MORTON3_MIN;
}

/*
 * Arithmetic on codes, without decoding: the bits of the other axes are filled with ones before an
 * addition, so that carries pass over them (Schrack, "Finding neighbors of equal size in linear
 * quadtrees and octrees in constant time", CVGIP: Image Understanding 55, 1992). Each axis wraps
 * within its own bits.
 */

/** The code whose coordinates are the sums, axis by axis, modulo 2^32. */
static inline uint64_t lode_morton2_add(uint64_t a, uint64_t b)
{
    uint64_t mx = LODE_MORTON2_AXIS(0), my = LODE_MORTON2_AXIS(1);
    return (((a | my) + (b & mx)) & mx) | (((a | mx) + (b & my)) & my);
}

/** The code whose coordinates are the differences, axis by axis, modulo 2^32. */
static inline uint64_t lode_morton2_sub(uint64_t a, uint64_t b)
{
    uint64_t mx = LODE_MORTON2_AXIS(0), my = LODE_MORTON2_AXIS(1);
    return (((a & mx) - (b & mx)) & mx) | (((a & my) - (b & my)) & my);
}

/** The neighbour one further along `axis` (0 or 1); from the last to the first. */
static inline uint64_t lode_morton2_next(uint64_t code, unsigned axis)
{
    uint64_t mask = LODE_MORTON2_AXIS(axis);
    return (((code | ~mask) + (UINT64_C(1) << axis)) & mask) | (code & ~mask);
}

/** The neighbour one back along `axis`; from the first to the last. */
static inline uint64_t lode_morton2_prev(uint64_t code, unsigned axis)
{
    uint64_t mask = LODE_MORTON2_AXIS(axis);
    return (((code & mask) - (UINT64_C(1) << axis)) & mask) | (code & ~mask);
}

/** The code whose coordinates are the sums, axis by axis, modulo 2^21. */
static inline uint64_t lode_morton3_add(uint64_t a, uint64_t b)
{
    uint64_t mx = LODE_MORTON3_AXIS(0), my = LODE_MORTON3_AXIS(1), mz = LODE_MORTON3_AXIS(2);
    return (((a | ~mx) + (b & mx)) & mx) | (((a | ~my) + (b & my)) & my) |
           (((a | ~mz) + (b & mz)) & mz);
}

/** The code whose coordinates are the differences, axis by axis, modulo 2^21. */
static inline uint64_t lode_morton3_sub(uint64_t a, uint64_t b)
{
    uint64_t mx = LODE_MORTON3_AXIS(0), my = LODE_MORTON3_AXIS(1), mz = LODE_MORTON3_AXIS(2);
    return (((a & mx) - (b & mx)) & mx) | (((a & my) - (b & my)) & my) |
           (((a & mz) - (b & mz)) & mz);
}

/** The neighbour one further along `axis` (0 to 2); from the last to the first. */
static inline uint64_t lode_morton3_next(uint64_t code, unsigned axis)
{
    uint64_t mask = LODE_MORTON3_AXIS(axis);
    return (((code | ~mask) + (UINT64_C(1) << axis)) & mask) | (code & ~mask);
}

/** The neighbour one back along `axis`; from the first to the last. */
static inline uint64_t lode_morton3_prev(uint64_t code, unsigned axis)
{
    uint64_t mask = LODE_MORTON3_AXIS(axis);
    return (((code & mask) - (UINT64_C(1) << axis)) & mask) | (code & ~mask);
}

/**
 * The six neighbours of a code: -x, +x, -y, +y, -z, +z.
 * Returns bits 0 to 5 for those that exist; one over the edge of space is the wrapped code.
 */
static inline unsigned lode_morton3_neighbours(uint64_t code, uint64_t ret_codes[6])
{
    unsigned inside = 0;
    for (unsigned axis = 0; axis < 3; axis++) {
        uint64_t mask = LODE_MORTON3_AXIS(axis);
        ret_codes[2 * axis] = lode_morton3_prev(code, axis);
        ret_codes[2 * axis + 1] = lode_morton3_next(code, axis);
        inside |= (unsigned)((code & mask) != 0) << (2 * axis);
        inside |= (unsigned)((code & mask) != mask) << (2 * axis + 1);
    }
    return inside;
}

#ifdef __cplusplus
}
#endif
#endif
