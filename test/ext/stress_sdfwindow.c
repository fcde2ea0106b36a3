/* SPDX-License-Identifier: MIT */
/*
 * Makers of bricks, who empty a box now and then, against a window that jumps to and fro. Whenever
 * all of them rest, there is no brick outside of it, in either channel; in the end the heaps hold
 * as many blocks as there are bricks. Then the window jumps on all axes at once.
 *
 *     stress-sdfwindow [RESTS [SEED]]
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "lode/sdf.h"
#include "lode/stats.h"

#define MAKERS         3
#define MOVES_PER_REST 40
#define SIDE           4
#define VOXELS         512

static struct lode_sdf *field;
static struct lode_brick_box window;
static pthread_barrier_t rest, go;
static _Atomic int resting, over;

static void fail(const char *what, int status)
{
    fprintf(stderr, "stress-sdfwindow: %s: %d\n", what, status);
    abort();
}

static uint32_t rnd(uint64_t *state, uint32_t below)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((*state >> 33) % below);
}

static int make(uint64_t *random, unsigned channel)
{
    static const float values[VOXELS];
    static const uint8_t elements[VOXELS];
    struct lode_ivec3 at = {(int32_t)rnd(random, SIDE) - SIDE / 2, (int32_t)rnd(random, SIDE),
                            (int32_t)rnd(random, SIDE)};
    lode_handle brick = 0;
    int status;
    struct lode_sdf_item item = {.at = at, .tier = 1, .payload = values};
    if (channel == 1)
        status = lode_sdf_raw_store(field, 1, at, elements, NULL, &brick);
    else if (rnd(random, 3) == 0)
        status = lode_sdf_store_many(field, 0, &item, 1, &brick);
    else if (rnd(random, 2) == 0)
        status = lode_sdf_store(field, 0, at, values, NULL, &brick);
    else
        status = lode_sdf_brick_alloc(field, 0, at, LODE_TIER_MID, &brick);
    if ((status == 0) != (brick != 0))
        fail("a handle was written, or not, against what was returned", status);
    return status;
}

/* Some of the bricks, as a second viewer that leaves would. */
static void drop(uint64_t *random)
{
    struct lode_brick_box box;
    box.lo = (struct lode_ivec3){(int32_t)rnd(random, SIDE) - SIDE / 2, (int32_t)rnd(random, SIDE),
                                 (int32_t)rnd(random, SIDE)};
    box.hi = (struct lode_ivec3){box.lo.x + (int32_t)rnd(random, 3), box.lo.y + 1, box.lo.z + 1};
    int status = lode_sdf_box_free(field, &box, NULL);
    if (status != 0)
        fail("box_free", status);
}

static void *maker(void *seed)
{
    uint64_t random = (uint64_t)(uintptr_t)seed;
    unsigned made = 0;
    while (!atomic_load(&over)) {
        int status = make(&random, rnd(&random, 4) == 0);
        if (status != 0 && status != -ERANGE && status != -EEXIST)
            fail("make", status);
        made += status == 0;
        if (rnd(&random, 16) == 0)
            drop(&random);
        if (atomic_load(&resting)) {
            pthread_barrier_wait(&rest);
            pthread_barrier_wait(&go);
        }
    }
    return (void *)(uintptr_t)made;
}

static int check_inside(void *ctx, lode_handle brick, struct lode_ivec3 at)
{
    (void)ctx;
    (void)brick;
    return at.x < window.lo.x || at.x > window.hi.x || at.y < window.lo.y || at.y > window.hi.y ||
           at.z < window.lo.z || at.z > window.hi.z;
}

/* Frees that are on their way to another thread's part of a heap count as live till then: `exact`
 * once all threads have ended. */
static void check(int exact)
{
    struct lode_sdf_stats stats = {.size = sizeof(stats)};
    struct lode_read_stats read;
    for (unsigned channel = 0; channel < 2; channel++)
        if (lode_sdf_each(field, channel, NULL, check_inside, NULL) != 0)
            fail("a brick is outside of the window, in channel", (int)channel);
    if (lode_sdf_stats(field, &stats) != 0)
        fail("stats", 0);
    lode_read_stats(&read); /* frees what waited for makers that are at rest now */
    uint64_t bricks = stats.raw.bricks, live = 0;
    for (unsigned t = 0; t <= LODE_TIER_COUNT; t++) {
        struct lode_stats heap = {.size = sizeof(heap)};
        if (lode_stats_get(lode_sdf_heap(field, t), &heap) != 0)
            fail("heap stats", (int)t);
        live += heap.live_blocks;
        bricks += t < LODE_TIER_COUNT ? stats.tiers[t].bricks : 0;
    }
    lode_read_stats(&read);
    if (exact ? bricks != live || read.waiting_blocks != 0 : bricks + read.waiting_blocks > live)
        fail("blocks that are no bricks", (int)(live - bricks));
}

static void move(uint64_t *random, int turn)
{
    int32_t lo = turn % 2 != 0 ? 0 : -SIDE / 2;
    window = (struct lode_brick_box){{lo, (int32_t)rnd(random, 2), 0}, {lo + 1, SIDE, SIDE}};
    int status = lode_sdf_window_move(field, &window, NULL);
    if (status != 0)
        fail("window", status);
}

/* ---- a window that jumps on all three axes ---- */

#define JUMP 100

/* Corners of the two windows, and those that are of one window on one axis, of the other on
 * another. */
static void *corner_maker(void *arg)
{
    for (unsigned i = 0; !atomic_load(&over); i++) {
        struct lode_ivec3 at = {(int32_t)(i & 1) * JUMP, (int32_t)(i >> 1 & 1) * JUMP,
                                (int32_t)(i >> 2 & 1) * JUMP};
        lode_handle brick;
        int status = lode_sdf_brick_alloc(field, 0, at, LODE_TIER_LOW, &brick);
        if (status != 0 && status != -ERANGE && status != -EEXIST)
            fail("make a corner", status);
    }
    return arg;
}

static void jump(unsigned jumps)
{
    pthread_t thread;
    atomic_store(&over, 0);
    if (pthread_create(&thread, NULL, corner_maker, NULL) != 0)
        fail("pthread_create", errno);
    for (unsigned turn = 0; turn < jumps; turn++) {
        int32_t at = turn % 2 != 0 ? JUMP : 0;
        window = (struct lode_brick_box){{at, at, at}, {at, at, at}};
        int status = lode_sdf_window_move(field, &window, NULL);
        if (status != 0)
            fail("window", status);
    }
    atomic_store(&over, 1);
    pthread_join(thread, NULL);
    check(0);
}

int main(int argc, char **argv)
{
    struct lode_sdf_opts opts = LODE_SDF_OPTS_INIT;
    unsigned rests = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 400;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1, random = seed * 77;
    pthread_t threads[MAKERS];
    opts.channel_count = 2;
    opts.formats[1] = LODE_CHANNEL_RAW8;
    if (lode_sdf_create(&opts, &field) != 0)
        fail("create", 0);
    pthread_barrier_init(&rest, NULL, MAKERS + 1);
    pthread_barrier_init(&go, NULL, MAKERS + 1);
    move(&random, 0);
    for (unsigned i = 0; i < MAKERS; i++)
        if (pthread_create(&threads[i], NULL, maker, (void *)(uintptr_t)(seed * 100 + i)) != 0)
            fail("pthread_create", errno);
    for (unsigned r = 0; r < rests; r++) {
        for (int turn = 0; turn < MOVES_PER_REST; turn++)
            move(&random, turn);
        atomic_store(&resting, 1);
        pthread_barrier_wait(&rest);
        check(0);
        atomic_store(&resting, 0);
        atomic_store(&over, r + 1 == rests);
        pthread_barrier_wait(&go);
    }
    for (unsigned i = 0; i < MAKERS; i++) {
        void *made;
        pthread_join(threads[i], &made);
        printf("%u%s", (unsigned)(uintptr_t)made, i + 1 < MAKERS ? " " : "\n");
    }
    check(1);
    jump(rests * 500);
    lode_sdf_destroy(field);
    return 0;
}
