/* SPDX-License-Identifier: MIT */
/*
 * What a handle costs beside a pointer: reading sections, peeks, pins, and finding a brick by its
 * coordinate. Bricks of 64 bytes, a million of them where the caches are to miss.
 */
#include <lode/handle.h>
#include <lode/sdf.h>

#include <stdint.h>
#include <stdlib.h>

#include "ext_bench.h"

#define SIDE  128 /* bricks along x and y; half of it along z */
#define COUNT (SIDE * SIDE * SIDE / 2)
#define HOT   64
#define TIMES 1000000

static struct lode_sdf *field;
static lode_handle *bricks; /* shuffled */
static void **blocks;       /* the same, by address */
static struct lode_ivec3 *places;

static void die_unless(int ok)
{
    if (!ok)
        abort();
}

static struct lode_ivec3 place(uint32_t i)
{
    return (struct lode_ivec3){(int32_t)(i % SIDE) - SIDE / 2, (int32_t)(i / SIDE % SIDE),
                               (int32_t)(i / SIDE / SIDE)};
}

/* Made once: every row needs the same, and none changes it. */
static void prepare(void)
{
    struct lode_sdf_opts opts = LODE_SDF_OPTS_INIT;
    uint64_t random = 1;
    if (field != NULL)
        return;
    opts.brick_dim = 4;
    die_unless(lode_sdf_create(&opts, &field) == 0);
    bricks = malloc(COUNT * sizeof(*bricks));
    blocks = malloc(COUNT * sizeof(*blocks));
    places = malloc(COUNT * sizeof(*places));
    die_unless(bricks != NULL && blocks != NULL && places != NULL);
    for (uint32_t i = 0; i < COUNT; i++) {
        places[i] = place(i);
        die_unless(lode_sdf_brick_alloc(field, 0, places[i], LODE_TIER_LOW, &bricks[i]) == 0);
    }
    for (uint32_t i = COUNT - 1; i > 0; i--) {
        random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        uint32_t k = (uint32_t)((random >> 33) % (i + 1));
        lode_handle brick = bricks[i];
        struct lode_ivec3 at = places[i];
        bricks[i] = bricks[k];
        places[i] = places[k];
        bricks[k] = brick;
        places[k] = at;
    }
    for (uint32_t i = 0; i < COUNT; i++)
        blocks[i] = lode_peek(bricks[i]);
}

static size_t sections(void)
{
    for (int i = 0; i < TIMES; i++) {
        die_unless(lode_read_begin() == 0);
        ext_bench_keep(field);
        lode_read_end();
    }
    return TIMES;
}

static size_t nested_sections(void)
{
    die_unless(lode_read_begin() == 0);
    size_t done = sections();
    lode_read_end();
    return done;
}

static size_t read_blocks(uint32_t mask)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < TIMES; i++) {
        ext_bench_keep(blocks);
        sum += *(volatile uint64_t *)blocks[i & mask];
    }
    ext_bench_keep((void *)(uintptr_t)sum);
    return TIMES;
}

static size_t peek_bricks(uint32_t mask)
{
    uint64_t sum = 0;
    die_unless(lode_read_begin() == 0);
    for (uint32_t i = 0; i < TIMES; i++) {
        ext_bench_keep(bricks);
        sum += *(volatile uint64_t *)lode_peek(bricks[i & mask]);
    }
    lode_read_end();
    ext_bench_keep((void *)(uintptr_t)sum);
    return TIMES;
}

static size_t pin_bricks(uint32_t mask)
{
    for (uint32_t i = 0; i < TIMES; i++) {
        ext_bench_keep(lode_pin(bricks[i & mask]));
        die_unless(lode_unpin(bricks[i & mask]) == 0);
    }
    return TIMES;
}

static size_t pointer_hot(void)
{
    return read_blocks(HOT - 1);
}

static size_t pointer_random(void)
{
    return read_blocks(COUNT - 1);
}

static size_t peek_hot(void)
{
    return peek_bricks(HOT - 1);
}

static size_t peek_random(void)
{
    return peek_bricks(COUNT - 1);
}

static size_t pin_hot(void)
{
    return pin_bricks(HOT - 1);
}

static size_t pin_random(void)
{
    return pin_bricks(COUNT - 1);
}

static size_t find_in_order(void)
{
    lode_handle brick = 0;
    for (uint32_t i = 0; i < COUNT; i++) {
        die_unless(lode_sdf_find(field, 0, place(i), &brick) == 0);
        ext_bench_keep(&brick);
    }
    return COUNT;
}

static size_t find_random(void)
{
    lode_handle brick = 0;
    for (uint32_t i = 0; i < COUNT; i++) {
        die_unless(lode_sdf_find(field, 0, places[i], &brick) == 0);
        ext_bench_keep(&brick);
    }
    return COUNT;
}

static size_t find_absent(void)
{
    lode_handle brick = 0;
    for (uint32_t i = 0; i < COUNT; i++) {
        struct lode_ivec3 at = place(i);
        at.y -= SIDE;
        die_unless(lode_sdf_find(field, 0, at, &brick) != 0);
    }
    return COUNT;
}

/* A peek is to cost at most 1 ns more than the pointer it stands for, where both are hot. */
const struct ext_bench ext_bench_handle[] = {
    {"handle-section", "begin+end", 0, prepare, sections, NULL},
    {"handle-section-nested", "begin+end", 0, prepare, nested_sections, NULL},
    {"handle-pointer-hot", "read", 0, prepare, pointer_hot, NULL},
    {"handle-peek-hot", "peek+read", 1.5, prepare, peek_hot, NULL},
    {"handle-pointer-1M", "read", 0, prepare, pointer_random, NULL},
    {"handle-peek-1M", "peek+read", 0, prepare, peek_random, NULL},
    {"handle-pin-hot", "pin+unpin", 0, prepare, pin_hot, NULL},
    {"handle-pin-1M", "pin+unpin", 0, prepare, pin_random, NULL},
    {"handle-find-in-order", "find", 0, prepare, find_in_order, NULL},
    {"handle-find-random", "find", 0, prepare, find_random, NULL},
    {"handle-find-absent", "find", 0, prepare, find_absent, NULL},
    {0},
};
