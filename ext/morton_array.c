/* SPDX-License-Identifier: MIT */
/*
 * Morton codes of arrays: the baseline, and the choice between it and what the processor offers.
 * Owns one pointer, to a set of functions, written with the same value by every thread that finds
 * it unset. Allocates nothing, takes no lock.
 */
#include "ext/morton_array.h"

#include <errno.h>
#include <stdatomic.h>

#include "base/attr.h"
#include "lode/morton.h"

#define SIGNED3 ((uint32_t)1 << 20)
#define SIGNED2 ((uint32_t)1 << 31)

static void encode2(const uint32_t *x, const uint32_t *y, size_t count, uint32_t bias,
                    uint64_t *ret_codes)
{
    for (size_t i = 0; i < count; i++)
        ret_codes[i] = lode_morton2_encode(x[i] + bias, y[i] + bias);
}

static void decode2(const uint64_t *codes, size_t count, uint32_t bias, uint32_t *ret_x,
                    uint32_t *ret_y)
{
    for (size_t i = 0; i < count; i++) {
        ret_x[i] = lode_morton2_gather(codes[i]) - bias;
        ret_y[i] = lode_morton2_gather(codes[i] >> 1) - bias;
    }
}

static void encode3(const uint32_t *x, const uint32_t *y, const uint32_t *z, size_t count,
                    uint32_t bias, uint64_t *ret_codes)
{
    for (size_t i = 0; i < count; i++)
        ret_codes[i] = lode_morton3_encode(x[i] + bias, y[i] + bias, z[i] + bias);
}

static void decode3(const uint64_t *codes, size_t count, uint32_t bias, uint32_t *ret_x,
                    uint32_t *ret_y, uint32_t *ret_z)
{
    for (size_t i = 0; i < count; i++) {
        ret_x[i] = lode_morton3_gather(codes[i]) - bias;
        ret_y[i] = lode_morton3_gather(codes[i] >> 1) - bias;
        ret_z[i] = lode_morton3_gather(codes[i] >> 2) - bias;
    }
}

const struct lodei_morton_paths lodei_morton_baseline = {"baseline", encode2, decode2, encode3,
                                                         decode3};

static const struct lodei_morton_paths *_Atomic chosen;

static LODE_NOINLINE const struct lodei_morton_paths *choose(void)
{
    const struct lodei_morton_paths *faster[2] = {&lodei_morton_baseline};
    (void)lodei_morton_faster_paths(faster);
    /* relaxed: constants, and every thread finds the same */
    atomic_store_explicit(&chosen, faster[0], memory_order_relaxed);
    return faster[0];
}

const struct lodei_morton_paths *lodei_morton_chosen(void)
{
    const struct lodei_morton_paths *paths = atomic_load_explicit(&chosen, memory_order_relaxed);
    return lode_likely(paths != NULL) ? paths : choose();
}

int lodei_morton_pdep_is_slow(const char vendor[12], unsigned family)
{
    if (__builtin_memcmp(vendor, "HygonGenuine", 12) == 0)
        return 1;
    return __builtin_memcmp(vendor, "AuthenticAMD", 12) == 0 && family < 0x19;
}

void lode_morton2_encode_many(const uint32_t *x, const uint32_t *y, size_t count,
                              uint64_t *ret_codes)
{
    lodei_morton_chosen()->encode2(x, y, count, 0, ret_codes);
}

void lode_morton2_encode_signed_many(const int32_t *x, const int32_t *y, size_t count,
                                     uint64_t *ret_codes)
{
    lodei_morton_chosen()->encode2((const uint32_t *)x, (const uint32_t *)y, count, SIGNED2,
                                   ret_codes);
}

void lode_morton2_decode_many(const uint64_t *codes, size_t count, uint32_t *ret_x, uint32_t *ret_y)
{
    lodei_morton_chosen()->decode2(codes, count, 0, ret_x, ret_y);
}

void lode_morton2_decode_signed_many(const uint64_t *codes, size_t count, int32_t *ret_x,
                                     int32_t *ret_y)
{
    lodei_morton_chosen()->decode2(codes, count, SIGNED2, (uint32_t *)ret_x, (uint32_t *)ret_y);
}

void lode_morton3_encode_many(const uint32_t *x, const uint32_t *y, const uint32_t *z, size_t count,
                              uint64_t *ret_codes)
{
    lodei_morton_chosen()->encode3(x, y, z, count, 0, ret_codes);
}

int lode_morton3_encode_signed_many(const int32_t *x, const int32_t *y, const int32_t *z,
                                    size_t count, uint64_t *ret_codes)
{
    uint32_t seen = 0;
    for (size_t i = 0; i < count; i++)
        seen |=
            ((uint32_t)x[i] + SIGNED3) | ((uint32_t)y[i] + SIGNED3) | ((uint32_t)z[i] + SIGNED3);
    if (seen >> LODE_MORTON3_BITS != 0)
        return -ERANGE;
    lodei_morton_chosen()->encode3((const uint32_t *)x, (const uint32_t *)y, (const uint32_t *)z,
                                   count, SIGNED3, ret_codes);
    return 0;
}

void lode_morton3_decode_many(const uint64_t *codes, size_t count, uint32_t *ret_x, uint32_t *ret_y,
                              uint32_t *ret_z)
{
    lodei_morton_chosen()->decode3(codes, count, 0, ret_x, ret_y, ret_z);
}

void lode_morton3_decode_signed_many(const uint64_t *codes, size_t count, int32_t *ret_x,
                                     int32_t *ret_y, int32_t *ret_z)
{
    lodei_morton_chosen()->decode3(codes, count, SIGNED3, (uint32_t *)ret_x, (uint32_t *)ret_y,
                                   (uint32_t *)ret_z);
}
