/* SPDX-License-Identifier: MIT */
/* What the tests of the Morton pool have in common. */
#ifndef MORTON_POOLS_H
#define MORTON_POOLS_H

#include <criterion/criterion.h>

#include <stdlib.h>

#include "lode/morton.h"
#include "morton_model.h"
#include "morton_verify.h"

#define BRICK 1024

static uint64_t state = 7; /* of morton_random() */

static inline struct lode_morton_pool *make(size_t block_bytes)
{
    struct lode_morton_pool_opts o = LODE_MORTON_POOL_OPTS_INIT;
    struct lode_morton_pool *pool;
    o.block_bytes = block_bytes;
    cr_assert_eq(lode_morton_pool_create(&o, &pool), 0);
    return pool;
}

static inline void check(struct lode_morton_pool *pool)
{
    const char *fault = morton_verify(pool);
    cr_assert_null(fault, "%s", fault);
}

static inline struct lode_allocator_stats stats_of(struct lode_morton_pool *pool)
{
    struct lode_allocator_stats stats;
    lode_morton_pool_stats(pool, &stats);
    return stats;
}

static inline void shuffle(uint64_t *codes, size_t count)
{
    for (size_t i = count; i > 1; i--) {
        size_t j = morton_random(&state) % i;
        uint64_t code = codes[i - 1];
        codes[i - 1] = codes[j];
        codes[j] = code;
    }
}

/* A rolling surface of `side` x `side` columns: their codes, in rising order. */
static inline size_t surface(uint64_t *ret_codes, int side)
{
    size_t count = 0;
    for (int z = 0; z < side; z++)
        for (int x = 0; x < side; x++) {
            int height = (x * x / 7 + z * 3 + x * z / 5) % 23 / 16 + (x + z) / 12;
            for (int y = height; y < height + 1 + (x + z) % 3; y++)
                cr_assert_eq(
                    lode_morton3_encode_signed(x - side / 2, y, z - side / 2, &ret_codes[count++]),
                    0);
        }
    qsort(ret_codes, count, sizeof(*ret_codes), morton_by_value);
    return count;
}

#endif
