/* SPDX-License-Identifier: MIT */
/* Bricks of distances: made and freed, stored, read, moved between tiers, sampled. */
#include <lode/sdf.h>

#include <math.h>
#include <stdlib.h>

#include "ext_bench.h"

#define SIDE   24 /* bricks: a ball's surface runs through about 2,700 of them */
#define DIM    8
#define VOXELS 512

static struct lode_sdf *field;
static lode_handle bricks[SIDE * SIDE * SIDE];
static size_t brick_count;
static float (*shell)[VOXELS];
static struct lode_ivec3 *places;

static void die_unless(int ok)
{
    if (!ok)
        abort();
}

static void create(void)
{
    struct lode_sdf_opts opts = LODE_SDF_OPTS_INIT;
    die_unless(lode_sdf_create(&opts, &field) == 0);
}

static void destroy(void)
{
    lode_sdf_destroy(field);
    field = NULL;
}

/* Distances to a ball of radius 80 voxels in the middle; 1: some are less than the band. */
static int ball_brick(struct lode_ivec3 at, float *values)
{
    int near = 0;
    for (int i = 0; i < VOXELS; i++) {
        float x = (float)(at.x * DIM + i % DIM - SIDE * DIM / 2) + 0.5f;
        float y = (float)(at.y * DIM + i / DIM % DIM - SIDE * DIM / 2) + 0.5f;
        float z = (float)(at.z * DIM + i / DIM / DIM - SIDE * DIM / 2) + 0.5f;
        values[i] = sqrtf(x * x + y * y + z * z) - 80;
        near |= fabsf(values[i]) < 4;
    }
    return near;
}

static void find_shell(void)
{
    if (shell != NULL)
        return;
    size_t most = SIDE * SIDE * SIDE;
    shell = malloc(most * sizeof(*shell));
    places = malloc(most * sizeof(*places));
    die_unless(shell != NULL && places != NULL);
    for (int z = 0; z < SIDE; z++)
        for (int y = 0; y < SIDE; y++)
            for (int x = 0; x < SIDE; x++) {
                struct lode_ivec3 at = {x, y, z};
                if (ball_brick(at, shell[brick_count]))
                    places[brick_count++] = at;
            }
}

static void create_ball(void)
{
    struct lode_brick_opts opts = {.size = sizeof(opts), .tier = 1 + LODE_TIER_HIGH};
    find_shell();
    create();
    for (size_t i = 0; i < brick_count; i++)
        die_unless(lode_sdf_store(field, 0, places[i], shell[i], &opts, &bricks[i]) == 0);
}

static void create_empty_ball(void)
{
    create_ball();
    die_unless(lode_sdf_bricks_free(field, bricks, brick_count) == 0);
}

static size_t alloc_free_pairs(void)
{
    for (int round = 0; round < 100; round++)
        for (size_t i = 0; i < brick_count; i++) {
            lode_handle brick;
            die_unless(lode_sdf_brick_alloc(field, 0, places[i], LODE_TIER_HIGH, &brick) == 0);
            ext_bench_keep(&brick);
            die_unless(lode_sdf_brick_free(field, brick) == 0);
        }
    return 100 * brick_count;
}

static size_t alloc_all_free_all(void)
{
    for (int round = 0; round < 20; round++) {
        die_unless(lode_sdf_bricks_alloc(field, 0, places, brick_count, LODE_TIER_HIGH, bricks) ==
                   0);
        die_unless(lode_sdf_bricks_free(field, bricks, brick_count) == 0);
    }
    return 20 * brick_count;
}

static size_t store(void)
{
    struct lode_brick_opts opts = {.size = sizeof(opts), .tier = 1 + LODE_TIER_HIGH};
    for (size_t i = 0; i < brick_count; i++)
        die_unless(lode_sdf_store(field, 0, places[i], shell[i], &opts, &bricks[i]) == 0);
    return brick_count;
}

static size_t decode(void)
{
    float values[VOXELS];
    for (int round = 0; round < 4; round++)
        for (size_t i = 0; i < brick_count; i++) {
            die_unless(lode_sdf_decode(field, bricks[i], values) == 0);
            ext_bench_keep(values);
        }
    return 4 * brick_count;
}

static int touch(void *ctx, float *values)
{
    (void)ctx;
    values[0] += 0.5f;
    return 0;
}

static size_t edit(void)
{
    for (size_t i = 0; i < brick_count; i++)
        die_unless(lode_sdf_edit(field, bricks[i], touch, NULL) == 0);
    return brick_count;
}

static size_t retier(void)
{
    for (size_t i = 0; i < brick_count; i++)
        die_unless(lode_sdf_retier(field, bricks[i], LODE_TIER_MID) == 0);
    for (size_t i = 0; i < brick_count; i++)
        die_unless(lode_sdf_retier(field, bricks[i], LODE_TIER_HIGH) == 0);
    return 2 * brick_count;
}

static size_t find(void)
{
    lode_handle brick = 0;
    for (int round = 0; round < 10; round++)
        for (size_t i = 0; i < brick_count; i++)
            die_unless(lode_sdf_find(field, 0, places[i], &brick) == 0);
    ext_bench_keep(&brick);
    return 10 * brick_count;
}

static size_t peek(void)
{
    uintptr_t sum = 0;
    die_unless(lode_read_begin() == 0);
    for (int round = 0; round < 20; round++)
        for (size_t i = 0; i < brick_count; i++)
            sum += (uintptr_t)lode_peek(bricks[i]);
    lode_read_end();
    ext_bench_keep(&sum);
    return 20 * brick_count;
}

static size_t pin(void)
{
    for (int round = 0; round < 10; round++)
        for (size_t i = 0; i < brick_count; i++) {
            ext_bench_keep(lode_pin(bricks[i]));
            die_unless(lode_unpin(bricks[i]) == 0);
        }
    return 10 * brick_count;
}

static size_t sections(void)
{
    for (int i = 0; i < 200000; i++) {
        die_unless(lode_read_begin() == 0);
        lode_read_end();
    }
    return 200000;
}

#define POINTS 100000
static float walk[POINTS][3];

/* Points of a walk around the ball, some voxels apart. */
static void create_walk(void)
{
    create_ball();
    for (int i = 0; i < POINTS; i++) {
        float a = (float)i * 0.01f, b = (float)i * 0.0007f;
        walk[i][0] = 96 + 80 * cosf(a) * cosf(b);
        walk[i][1] = 96 + 80 * sinf(a) * cosf(b);
        walk[i][2] = 96 + 80 * sinf(b);
    }
}

static size_t sample(void)
{
    struct lode_sdf_point got;
    die_unless(lode_read_begin() == 0);
    for (int i = 0; i < POINTS; i++) {
        die_unless(lode_sdf_sample(field, 0, walk[i], &got) == 0);
        ext_bench_keep(&got);
    }
    lode_read_end();
    return POINTS;
}

static size_t sample_many(void)
{
    static struct lode_sdf_point got[POINTS];
    die_unless(lode_sdf_sample_many(field, 0, (const float(*)[3])walk, POINTS, got) == POINTS);
    ext_bench_keep(got);
    return POINTS;
}

static size_t apron(void)
{
    static float values[10 * 10 * 10];
    for (size_t i = 0; i < brick_count; i++) {
        die_unless(lode_sdf_decode_apron(field, 0, places[i], 1, values) == 0);
        ext_bench_keep(values);
    }
    return brick_count;
}

const struct ext_bench ext_bench_sdf[] = {
    {"sdf-brick-pair", "alloc+free", 25, create_empty_ball, alloc_free_pairs, destroy},
    {"sdf-bricks-bulk", "alloc+free", 0, create_empty_ball, alloc_all_free_all, destroy},
    {"sdf-store", "brick", 0, create_ball, store, destroy},
    {"sdf-decode", "brick", 0, create_ball, decode, destroy},
    {"sdf-edit", "brick", 0, create_ball, edit, destroy},
    {"sdf-retier", "brick", 20000, create_ball, retier, destroy},
    {"sdf-find", "brick", 0, create_ball, find, destroy},
    {"sdf-sample", "point", 0, create_walk, sample, destroy},
    {"sdf-sample-many", "point", 0, create_walk, sample_many, destroy},
    {"sdf-apron", "brick", 0, create_ball, apron, destroy},
    {"handle-peek", "handle", 0, create_ball, peek, destroy},
    {"handle-pin", "pin+unpin", 0, create_ball, pin, destroy},
    {"read-section", "begin+end", 0, create_ball, sections, destroy},
    {0},
};
