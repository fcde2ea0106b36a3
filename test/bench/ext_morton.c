/* SPDX-License-Identifier: MIT */
/* Morton codes of arrays that stay in the first cache, so that the codes are measured; and the
 * Morton pool over a surface of 65,536 bricks that is held, in shuffled order. */
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

#define BRICKS 65536
#define PAIRS  200000

static struct lode_morton_pool *pool;
static uint64_t bricks[BRICKS];
static void *blocks[BRICKS];

/* 256 x 256 columns, one brick each on a slope; every fourth is left out. */
static void prepare_pool(void)
{
    struct lode_morton_pool_opts opts = LODE_MORTON_POOL_OPTS_INIT;
    opts.block_bytes = 1024;
    if (lode_morton_pool_create(&opts, &pool) != 0)
        abort();
    for (uint32_t i = 0; i < BRICKS; i++)
        bricks[i] = lode_morton3_encode(i % 256, i % 256 / 3 + i / 256 / 5, i / 256);
    uint32_t r = 1;
    for (uint32_t i = BRICKS; i > 1; i--) {
        uint32_t j = (r = r * 1284865837u + 1) % i;
        uint64_t code = bricks[i - 1];
        bricks[i - 1] = bricks[j];
        bricks[j] = code;
    }
    if (lode_morton_pool_acquire_many(pool, bricks, BRICKS / 4 * 3, blocks) != 0)
        abort();
}

/* A different free place each time. */
static size_t pairs(void)
{
    for (uint32_t i = 0; i < PAIRS; i++) {
        void *block;
        if (lode_morton_pool_acquire(pool, bricks[BRICKS / 4 * 3 + i % (BRICKS / 4)], &block) != 0)
            abort();
        ext_bench_keep(block);
        if (lode_morton_pool_release(pool, block) != 0)
            abort();
    }
    return PAIRS;
}

/* Those a tool works on: 64 bricks of one place, released in another order. */
static size_t pairs_here(void)
{
    void *here[64];
    for (uint32_t i = 0; i < PAIRS / 64; i++) {
        uint64_t first = lode_morton3_encode(64, 200, 64);
        for (uint32_t k = 0; k < 64; k++)
            if (lode_morton_pool_acquire(pool, first + k * 5 % 64, &here[k]) != 0)
                abort();
        for (uint32_t k = 0; k < 64; k++)
            if (lode_morton_pool_release(pool, here[k * 11 % 64]) != 0)
                abort();
    }
    return PAIRS / 64 * 64;
}

static size_t insert_one_by_one(void)
{
    for (uint32_t i = BRICKS / 4 * 3; i < BRICKS; i++)
        if (lode_morton_pool_acquire(pool, bricks[i], &blocks[i]) != 0)
            abort();
    return BRICKS / 4;
}

static size_t insert_at_once(void)
{
    if (lode_morton_pool_acquire_many(pool, bricks + BRICKS / 4 * 3, BRICKS / 4, blocks) != 0)
        abort();
    return BRICKS / 4;
}

static size_t find(void)
{
    for (uint32_t i = 0; i < PAIRS; i++)
        ext_bench_keep(lode_morton_pool_find(pool, bricks[i % BRICKS]));
    return PAIRS;
}

static size_t find_neighbours(void)
{
    for (uint32_t i = 0; i < PAIRS / 6; i++) {
        uint64_t codes_near[6];
        void *near[6];
        (void)lode_morton3_neighbours(bricks[i % BRICKS], codes_near);
        (void)lode_morton_pool_find_many(pool, codes_near, 6, near);
        ext_bench_keep(near);
    }
    return PAIRS / 6 * 6;
}

static int seen(void *ctx, uint64_t code, void *block)
{
    (void)code;
    ext_bench_keep(block);
    ++*(size_t *)ctx;
    return 0;
}

static size_t walk(void)
{
    size_t count = 0;
    if (lode_morton_pool_walk(pool, 0, LODE_MORTON_NO_CODE, seen, &count) != 0)
        abort();
    return count;
}

static void finish_pool(void)
{
    lode_morton_pool_destroy(pool);
}

const struct ext_bench ext_bench_morton[] = {
    {"morton3-encode-array", "element", 1, prepare_arrays, encode3, NULL},
    {"morton3-encode-signed-array", "element", 1, prepare_signed, encode3_signed, NULL},
    {"morton3-decode-array", "element", 1, prepare_arrays, decode3, NULL},
    {"morton2-encode-array", "element", 1, prepare_arrays, encode2, NULL},
    {"morton2-decode-array", "element", 1, prepare_arrays, decode2, NULL},
    {"morton-pool-pair", "acquire+release", 0, prepare_pool, pairs, finish_pool},
    {"morton-pool-pair-local", "acquire+release", 0, prepare_pool, pairs_here, finish_pool},
    {"morton-pool-insert", "block", 0, prepare_pool, insert_one_by_one, finish_pool},
    {"morton-pool-insert-many", "block", 0, prepare_pool, insert_at_once, finish_pool},
    {"morton-pool-find", "find", 0, prepare_pool, find, finish_pool},
    {"morton-pool-find-neighbours", "find", 0, prepare_pool, find_neighbours, finish_pool},
    {"morton-pool-walk", "block", 0, prepare_pool, walk, finish_pool},
    {0},
};
