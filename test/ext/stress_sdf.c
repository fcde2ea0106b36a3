/* SPDX-License-Identifier: MIT */
/*
 * Fields of bricks under many threads. Every version of every brick has one value in all its
 * voxels, so a read that mixes two versions is seen at once; under ASan and TSan so is a read of a
 * block that is somebody else's already.
 *
 *     stress-sdf [ROUNDS [SEED]]
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lode/predict.h"
#include "lode/sdf.h"
#include "lode/stats.h"

#define SIDE   6 /* bricks */
#define VOXELS 512
#define BAND   4.0f

static struct lode_sdf *field;
static unsigned rounds = 20000;
static pthread_barrier_t ready;
static _Atomic int storing = 2;

static void fail(const char *what, int status)
{
    fprintf(stderr, "stress-sdf: %s: %d\n", what, status);
    abort();
}

struct worker {
    uint64_t random;
    void (*work)(struct worker *w);
    pthread_t thread;
    unsigned done; /* calls that found something to do */
};

static uint32_t rnd(struct worker *w, uint32_t below)
{
    w->random = w->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((w->random >> 33) % below);
}

static struct lode_ivec3 place(struct worker *w)
{
    return (struct lode_ivec3){(int32_t)rnd(w, SIDE) - SIDE / 2, (int32_t)rnd(w, SIDE) - SIDE / 2,
                               (int32_t)rnd(w, SIDE) - SIDE / 2};
}

/* A value that every tier keeps apart from its neighbours. */
static float level(struct worker *w)
{
    return ((float)rnd(w, 16) + 0.5f) * (BAND / 8) - BAND;
}

static void fill(float *values, float v)
{
    for (int i = 0; i < VOXELS; i++)
        values[i] = v;
}

static void check_same(const float *values, const char *who)
{
    for (int i = 1; i < VOXELS; i++)
        if (values[i] != values[0])
            fail(who, i);
}

static int expected(int status)
{
    return status == 0 || status == -ENOENT || status == -ESTALE || status == -ERANGE ||
           status == -EEXIST;
}

static lode_handle find(struct worker *w)
{
    lode_handle brick = 0;
    int status = lode_sdf_find(field, 0, place(w), &brick);
    if (!expected(status))
        fail("find", status);
    return brick;
}

static void storer(struct worker *w)
{
    struct lode_brick_opts opts = {.size = sizeof(opts), .tier = (uint8_t)(1 + rnd(w, 3))};
    float values[VOXELS];
    lode_handle brick;
    fill(values, level(w));
    int status = lode_sdf_store(field, 0, place(w), values, &opts, &brick);
    if (!expected(status))
        fail("store", status);
    w->done += status == 0;
}

static int set_level(void *ctx, float *values)
{
    check_same(values, "an editor's values");
    fill(values, level(ctx));
    return 0;
}

static void editor(struct worker *w)
{
    lode_handle brick = find(w);
    int status = lode_sdf_edit(field, brick, set_level, w);
    if (brick != 0 && !expected(status))
        fail("edit", status);
    w->done += status == 0;
}

static void freer(struct worker *w)
{
    lode_handle brick = rnd(w, 4) == 0 ? find(w) : 0;
    int status = brick != 0 ? lode_sdf_brick_free(field, brick) : -ENOENT;
    if (!expected(status))
        fail("free", status);
    w->done += status == 0;
    if (rnd(w, 64) == 0)
        (void)lode_sdf_trim(field);
}

static void retierer(struct worker *w)
{
    lode_handle brick = find(w);
    int status = brick != 0 ? lode_sdf_retier(field, brick, (enum lode_tier)rnd(w, 3)) : -ENOENT;
    if (!expected(status))
        fail("retier", status);
    if (status == 0 && rnd(w, 2) == 0)
        status = lode_sdf_priority_set(field, brick, (enum lode_brick_priority)rnd(w, 4));
    if (!expected(status))
        fail("priority", status);
    w->done += status == 0;
}

static void decoder(struct worker *w)
{
    float values[VOXELS];
    lode_handle brick = find(w);
    int status = brick != 0 ? lode_sdf_decode(field, brick, values) : -ENOENT;
    if (!expected(status))
        fail("decode", status);
    if (status == 0)
        check_same(values, "a decoded brick");
    w->done += status == 0;
}

static void viewer(struct worker *w)
{
    struct lode_view view;
    lode_handle brick = find(w);
    int status = brick != 0 ? lode_view_begin(field, brick, &view) : -ENOENT;
    if (!expected(status))
        fail("view", status);
    if (status != 0)
        return;
    check_same(view.values, "a view");
    lode_view_end(field, &view);
    w->done++;
}

/* Raw bytes stay as they are while they are pinned. */
static void pinner(struct worker *w)
{
    lode_handle brick = find(w);
    const unsigned char *bytes = lode_pin(brick);
    unsigned char before[256];
    if (bytes == NULL)
        return;
    memcpy(before, bytes, sizeof(before));
    for (int i = 0; i < 20; i++)
        if (memcmp(before, bytes, sizeof(before)) != 0)
            fail("pinned bytes changed", i);
    int status = lode_unpin(brick);
    if (status != 0)
        fail("unpin", status);
    w->done++;
}

static void sampler(struct worker *w)
{
    struct lode_sdf_point got;
    struct lode_ivec3 at = place(w);
    float point[3] = {(float)at.x * 8 + 4, (float)at.y * 8 + 4, (float)at.z * 8 + 4};
    int status = lode_sdf_sample(field, 0, point, &got);
    if (!expected(status))
        fail("sample", status);
    if (status == 0 && (got.gradient[0] != 0 || got.gradient[1] != 0 || got.gradient[2] != 0))
        fail("a sample within one brick mixes versions", 0);
    float around[10 * 10 * 10];
    status = lode_sdf_decode_apron(field, 0, at, 1, around);
    if (!expected(status))
        fail("apron", status);
    for (int i = 0; status == 0 && i < 512; i++)
        if (around[(i % 8 + 1) + 10 * (i / 8 % 8 + 1) + 100 * (i / 64 + 1)] != around[111])
            fail("an apron's brick mixes versions", i);
    w->done += status == 0;
}

static int look(void *ctx, const struct lode_band_brick *brick)
{
    struct worker *w = ctx;
    check_same(brick->values, "the band iterator");
    w->done++;
    return 0;
}

static void mover(struct worker *w)
{
    int32_t middle = (int32_t)rnd(w, 3) - 1, half = SIDE;
    if (rnd(w, 8) != 0)
        return;
    if (rnd(w, 16) == 0)
        half = 1;
    struct lode_brick_box window = {{middle - half, -SIDE, -SIDE}, {middle + half, SIDE, SIDE}};
    int status = lode_sdf_window_move(field, &window, NULL);
    if (status != 0)
        fail("window", status);
    status = lode_sdf_band_each(field, 0, NULL, BAND, look, w);
    if (status != 0)
        fail("band", status);
    if (rnd(w, 32) == 0)
        (void)lode_sdf_evict(field, 4096, NULL, NULL);
}

static void hinter(struct worker *w)
{
    struct lode_ivec3 at = place(w);
    struct lode_tool_hint hint = {.size = sizeof(hint),
                                  .tool = (uint8_t)rnd(w, 3),
                                  .position = {(float)at.x * 8, (float)at.y * 8, (float)at.z * 8},
                                  .direction = {1, (float)at.x, 0},
                                  .radius = (float)rnd(w, 16),
                                  .ahead = (float)rnd(w, 40)};
    int status = rnd(w, 4) == 0 ? lode_sdf_hint(field, &hint) : 0;
    if (status != 0)
        fail("hint", status);
    w->done++;
}

static void *run(void *arg)
{
    struct worker *w = arg;
    pthread_barrier_wait(&ready);
    /* The storers say when it is over; who only looks goes on till then. */
    for (unsigned i = 0; w->work == storer ? i < rounds : atomic_load(&storing) != 0; i++) {
        w->work(w);
        if (rnd(w, 16) == 0)
            sched_yield();
    }
    if (w->work == storer)
        atomic_fetch_sub(&storing, 1);
    return NULL;
}

int main(int argc, char **argv)
{
    struct worker workers[] = {
        {.work = storer},  {.work = storer}, {.work = editor},   {.work = editor},
        {.work = freer},   {.work = mover},  {.work = retierer}, {.work = decoder},
        {.work = decoder}, {.work = viewer}, {.work = pinner},   {.work = sampler},
        {.work = hinter},
    };
    struct lode_sdf_opts opts = LODE_SDF_OPTS_INIT;
    unsigned count = sizeof(workers) / sizeof(workers[0]);
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    if (argc > 1)
        rounds = (unsigned)strtoul(argv[1], NULL, 10);
    opts.cache_bricks = 8;
    int status = lode_sdf_create(&opts, &field);
    if (status != 0)
        fail("create", status);
    pthread_barrier_init(&ready, NULL, count);
    for (unsigned i = 0; i < count; i++) {
        workers[i].random = seed * 1000 + i;
        if (pthread_create(&workers[i].thread, NULL, run, &workers[i]) != 0)
            fail("pthread_create", errno);
    }
    /* of other materials than those stored */
    for (uint16_t material = 1; material < LODE_BANDS_MAX; material++)
        if ((status = lode_sdf_band_set(field, material, (float)material / 2)) != 0)
            fail("band_set", status);
    for (unsigned i = 0; i < count; i++)
        pthread_join(workers[i].thread, NULL);
    struct lode_read_stats left;
    lode_read_stats(&left);
    if (left.readers != 0 || left.waiting_blocks != 0 || left.parked_blocks != 0)
        fail("blocks still wait", (int)(left.waiting_blocks + left.parked_blocks));
    struct lode_sdf_stats stats = {.size = sizeof(stats)};
    if (lode_sdf_stats(field, &stats) != 0)
        fail("stats", 0);
    unsigned long bricks = 0, live = 0;
    for (int t = 0; t < LODE_TIER_COUNT; t++) {
        bricks += stats.tiers[t].bricks + stats.tiers[t].ready_blocks;
        struct lode_stats heap = {.size = sizeof(heap)};
        if (lode_stats_get(lode_sdf_heap(field, (unsigned)t), &heap) != 0)
            fail("heap stats", t);
        live += heap.live_blocks;
    }
    if (bricks != live)
        fail("blocks that are neither bricks nor ready", (int)(live - bricks));
    lode_sdf_destroy(field);
    for (unsigned i = 0; i < count; i++)
        printf("%u%s", workers[i].done, i + 1 < count ? " " : "\n");
    return 0;
}
