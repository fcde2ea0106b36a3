/* SPDX-License-Identifier: MIT */
/* The octree: a world of 32 x 32 x 32 bricks with a hilly surface through it, queried, edited,
 * crossed by rays, built. Places are taken in random order. */
#include <lode/svo.h>

#include <math.h>
#include <stdlib.h>

#include "ext_bench.h"

#define LEVELS 5
#define SIDE   (1 << LEVELS)
#define PLACES 4096
#define ROUNDS 16

static struct lode_svo *svo;
static struct lode_ivec3 places[PLACES], surface[PLACES];

static void die_unless(int ok)
{
    if (!ok)
        abort();
}

static uint32_t next(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

static double height(int x, int z)
{
    return SIDE / 2 + 5 * sin(x * 0.35) + 4 * cos(z * 0.27 + x * 0.1);
}

static int describe(void *ctx, unsigned level, struct lode_ivec3 at,
                    struct lode_svo_content *ret_content)
{
    (void)ctx;
    double surface_y = height(at.x, at.z);
    if (level > 0)
        ret_content->type = LODE_SVO_INTERFACE;
    else if (fabs(at.y - surface_y) < 1)
        *ret_content = (struct lode_svo_content){.type = LODE_SVO_INTERFACE, .bricks = {at.x + 1}};
    else if (at.y < surface_y)
        *ret_content = (struct lode_svo_content){.type = LODE_SVO_HOMOGENEOUS,
                                                 .value = at.y < SIDE / 4 ? 2 : 1};
    return 0;
}

static size_t build(void)
{
    struct lode_ivec3 at = {0, 0, 0};
    die_unless(lode_svo_build(svo, LEVELS, at, describe, NULL) == 0);
    return SIDE * SIDE * SIDE;
}

static void create(void)
{
    struct lode_svo_opts opts = LODE_SVO_OPTS_INIT;
    opts.levels = LEVELS;
    opts.flags = LODE_SVO_COALESCE;
    opts.centre = (struct lode_ivec3){SIDE / 2, SIDE / 2, SIDE / 2};
    die_unless(lode_svo_create(&opts, &svo) == 0);
}

static void create_world(void)
{
    uint64_t state = 7;
    create();
    build();
    for (int i = 0; i < PLACES; i++) {
        int x = (int)(next(&state) % SIDE), y = (int)(next(&state) % SIDE),
            z = (int)(next(&state) % SIDE);
        places[i] = (struct lode_ivec3){x, y, z};
        surface[i] = (struct lode_ivec3){x, (int)height(x, z), z};
    }
}

static void destroy(void)
{
    lode_svo_destroy(svo);
    svo = NULL;
}

static size_t get(void)
{
    struct lode_svo_cell cell;
    for (int i = 0; i < ROUNDS * PLACES; i++) {
        die_unless(lode_svo_get(svo, 0, places[i % PLACES], &cell) == 0);
        ext_bench_keep(&cell);
    }
    return ROUNDS * PLACES;
}

static size_t get_in_section(void)
{
    die_unless(lode_read_begin() == 0);
    size_t done = get();
    lode_read_end();
    return done;
}

/* What digging does: a brick of rock is touched, changes, and is gone. */
static size_t dig(void)
{
    struct lode_svo_content rock = {.type = LODE_SVO_HOMOGENEOUS, .value = 1};
    struct lode_svo_content brick = {.type = LODE_SVO_INTERFACE, .bricks = {5}}, old;
    struct lode_svo_content air = {.type = LODE_SVO_EMPTY};
    for (int i = 0; i < PLACES; i++) {
        die_unless(lode_svo_set(svo, 0, surface[i], &rock, NULL) == 0);
        die_unless(lode_svo_set(svo, 0, surface[i], &brick, &old) == 0);
        brick.user++;
        die_unless(lode_svo_set(svo, 0, surface[i], &brick, &old) == 0);
        die_unless(lode_svo_set(svo, 0, surface[i], &air, &old) == 0);
    }
    return PLACES * 4;
}

static size_t update(void)
{
    struct lode_svo_content brick = {.type = LODE_SVO_INTERFACE, .bricks = {5}}, old;
    for (int i = 0; i < PLACES; i++)
        die_unless(lode_svo_set(svo, 0, surface[i], &brick, &old) == 0);
    return PLACES;
}

/* To the first hit, from above the hills. */
static size_t rays(void)
{
    uint64_t state = 3;
    struct lode_svo_ray ray;
    struct lode_svo_hit hit;
    for (int i = 0; i < PLACES; i++) {
        double origin[3] = {next(&state) % (SIDE * 8) + 0.5, SIDE * 8 - 1,
                            next(&state) % (SIDE * 8) + 0.5};
        double direction[3] = {(int)(next(&state) % 200) / 100.0 - 1, -0.4,
                               (int)(next(&state) % 200) / 100.0 - 1};
        die_unless(lode_svo_ray_begin(&ray, svo, origin, direction, INFINITY) == 0);
        die_unless(lode_svo_ray_next(&ray, &hit) >= 0);
        ext_bench_keep(&hit);
    }
    return PLACES;
}

static int count(void *ctx, const struct lode_svo_cell *cell)
{
    (void)cell;
    ++*(size_t *)ctx;
    return 0;
}

static size_t walk(void)
{
    size_t cells = 0;
    die_unless(lode_svo_walk(svo, NULL, LODE_SVO_WALK_ALL, count, &cells) == 0);
    return cells;
}

/* Made in shuffled order, each group in as many steps as it has lines. */
static void create_shuffled(void)
{
    uint64_t state = 7;
    create();
    for (int i = 0; i < SIDE * SIDE * SIDE; i++) {
        uint32_t r = next(&state);
        struct lode_ivec3 at = {r % SIDE, r / SIDE % SIDE, r / SIDE / SIDE % SIDE};
        struct lode_svo_content content = {.type = LODE_SVO_EMPTY};
        (void)describe(NULL, 0, at, &content);
        die_unless(lode_svo_set(svo, 0, at, &content, NULL) == 0);
    }
}

static size_t reorder(void)
{
    struct lode_svo_stats stats = {.size = sizeof(stats)};
    int more;
    while ((more = lode_svo_reorder(svo, 500)) == 1)
        ;
    die_unless(more == 0 && lode_svo_stats(svo, &stats) == 0);
    return stats.reordered;
}

const struct ext_bench ext_bench_svo[] = {
    {"svo-get", "brick", 200, create_world, get, destroy},
    {"svo-get-in-section", "brick", 200, create_world, get_in_section, destroy},
    {"svo-dig", "set", 200, create_world, dig, destroy},
    {"svo-update", "set", 200, create_world, update, destroy},
    {"svo-ray", "ray", 0, create_world, rays, destroy},
    {"svo-walk", "node", 0, create_world, walk, destroy},
    {"svo-build", "brick", 0, create, build, destroy},
    {"svo-reorder", "group", 0, create_shuffled, reorder, destroy},
    {0},
};
