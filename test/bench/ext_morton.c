/* SPDX-License-Identifier: MIT */
/* Morton codes of arrays that stay in the first cache, so that the codes are measured. */
#include <lode/lode.h>

#include <stdlib.h>

#include "ext_bench.h"

#define COUNT  2048
#define ROUNDS 500

static uint32_t x[COUNT], y[COUNT], z[COUNT];
static uint64_t codes[COUNT];

static void prepare_arrays(void)
{
    uint32_t r = 12345;
    for (int i = 0; i < COUNT; i++) {
        /* Knuth's MMIX multiplier, cut to 32 bits */
        x[i] = (r = r * 1284865837u + 1) >> 11;
        y[i] = (r = r * 1284865837u + 1) >> 11;
        z[i] = (r = r * 1284865837u + 1) >> 11;
    }
    lode_morton3_encode_many(x, y, z, COUNT, codes);
}

static void prepare_signed(void)
{
    prepare_arrays();
    for (int i = 0; i < COUNT; i++) {
        x[i] += (uint32_t)LODE_MORTON3_MIN;
        y[i] += (uint32_t)LODE_MORTON3_MIN;
        z[i] += (uint32_t)LODE_MORTON3_MIN;
    }
}

static size_t encode3(void)
{
    for (int i = 0; i < ROUNDS; i++) {
        lode_morton3_encode_many(x, y, z, COUNT, codes);
        ext_bench_keep(codes);
    }
    return (size_t)COUNT * ROUNDS;
}

static size_t encode3_signed(void)
{
    for (int i = 0; i < ROUNDS; i++) {
        if (lode_morton3_encode_signed_many((int32_t *)x, (int32_t *)y, (int32_t *)z, COUNT,
                                            codes) != 0)
            abort();
        ext_bench_keep(codes);
    }
    return (size_t)COUNT * ROUNDS;
}

static size_t decode3(void)
{
    for (int i = 0; i < ROUNDS; i++) {
        lode_morton3_decode_many(codes, COUNT, x, y, z);
        ext_bench_keep(x);
    }
    return (size_t)COUNT * ROUNDS;
}

static size_t encode2(void)
{
    for (int i = 0; i < ROUNDS; i++) {
        lode_morton2_encode_many(x, y, COUNT, codes);
        ext_bench_keep(codes);
    }
    return (size_t)COUNT * ROUNDS;
}

static size_t decode2(void)
{
    for (int i = 0; i < ROUNDS; i++) {
        lode_morton2_decode_many(codes, COUNT, x, y);
        ext_bench_keep(x);
    }
    return (size_t)COUNT * ROUNDS;
}

const struct ext_bench ext_bench_morton[] = {
    {"morton3-encode-array", "element", 1, prepare_arrays, encode3, NULL},
    {"morton3-encode-signed-array", "element", 1, prepare_signed, encode3_signed, NULL},
    {"morton3-decode-array", "element", 1, prepare_arrays, decode3, NULL},
    {"morton2-encode-array", "element", 1, prepare_arrays, encode2, NULL},
    {"morton2-decode-array", "element", 1, prepare_arrays, decode2, NULL},
    {0},
};
