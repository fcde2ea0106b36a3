/* SPDX-License-Identifier: MIT */
/* Which bricks there may be (ext/sdfwindow.c, ext/sdfmaterial.c): windows, eviction, trimming, and
 * bands by material. */
#include "sdf_field.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "sdf_model.h"

/* ---- the window ---- */

Test(sdfwindow, boxes_that_are_none_are_refused)
{
    struct lode_sdf *sdf = field_of_two();
    struct lode_sdf_window_stats stats = {77, 0, 77};
    lode_handle brick = brick_of(sdf, AT(5, 5, 5), 1, LODE_TIER_HIGH);
    struct lode_brick_box bad[] = {{{1, 0, 0}, {0, 0, 0}},
                                   {{0, 1, 0}, {0, 0, 0}},
                                   {{0, 0, INT32_MAX}, {0, 0, INT32_MIN}},
                                   {{RANGE_MIN - 1, 0, 0}, {9, 9, 9}},
                                   {{0, 0, 0}, {9, RANGE_MAX + 1, 9}},
                                   {{0, 0, INT32_MIN}, {9, 9, INT32_MAX}}};
    for (unsigned i = 0; i < 6; i++)
        cr_assert_eq(lode_sdf_window_move(sdf, &bad[i], &stats), i < 3 ? -EINVAL : -ERANGE);
    cr_assert(stats.freed_bricks == 77 && stats.freed_bytes == 77);
    cr_assert(lode_handle_is_live(brick));
    (void)brick_of(sdf, AT(-100, 0, 0), 1, LODE_TIER_HIGH);
    lode_sdf_destroy(sdf);
}

Test(sdfwindow, frees_exactly_what_leaves)
{
    struct lode_sdf *sdf = field_of_two();
    struct lode_sdf_window_stats stats;
    lode_handle bricks[2][6];
    uint16_t elements[512] = {0};
    for (int i = 0; i < 6; i++) {
        bricks[0][i] = brick_of(sdf, AT(i, 0, 0), 1, (enum lode_tier)(i % 3));
        cr_assert_eq(lode_sdf_raw_store(sdf, 1, AT(i, 0, 0), elements, NULL, &bricks[1][i]), 0);
    }
    struct lode_brick_box window = {{1, 0, 0}, {4, 0, 0}}; /* an even number of bricks */
    cr_assert_eq(lode_sdf_window_move(sdf, &window, &stats), 0);
    cr_assert_eq(stats.freed_bricks, 4);
    cr_assert_eq(stats.freed_bytes, 1024 + 256 + 2 * 1024);
    for (int c = 0; c < 2; c++)
        for (int i = 0; i < 6; i++)
            cr_assert_eq(lode_handle_is_live(bricks[c][i]), i >= 1 && i <= 4);
    float values[512] = {0};
    lode_handle got = 77;
    for (int i = 0; i < 6; i += 5) {
        cr_assert_eq(lode_sdf_brick_alloc(sdf, 0, AT(i, 0, 0), LODE_TIER_LOW, &got), -ERANGE);
        cr_assert_eq(lode_sdf_store(sdf, 0, AT(i, 0, 0), values, NULL, &got), -ERANGE);
        cr_assert_eq(lode_sdf_raw_store(sdf, 1, AT(i, 0, 0), elements, NULL, &got), -ERANGE);
        cr_assert_eq(lode_sdf_find(sdf, 0, AT(i, 0, 0), &got), -ENOENT);
    }
    cr_assert_eq(got, 77);
    cr_assert_eq(lode_sdf_window_move(sdf, &window, NULL), 0, "no figures wanted");
    window = (struct lode_brick_box){{RANGE_MIN, RANGE_MIN, RANGE_MIN},
                                     {RANGE_MAX, RANGE_MAX, RANGE_MAX}};
    cr_assert_eq(lode_sdf_window_move(sdf, &window, &stats), 0);
    cr_assert_eq(stats.freed_bricks, 0);
    cr_assert_eq(lode_sdf_brick_alloc(sdf, 0, AT(0, 0, 0), LODE_TIER_LOW, &got), 0);
    lode_sdf_destroy(sdf);
}

static int32_t below(uint64_t *state, uint32_t limit)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (int32_t)((*state >> 33) % limit);
}

static struct lode_brick_box random_window(const struct model *m, uint64_t *state)
{
    struct lode_brick_box w;
    int32_t far = below(state, 6) == 0 ? 100 * (below(state, 3) - 1) : 0; /* a jump */
    w.lo = AT(m->origin.x + below(state, 7) - 2 + far, m->origin.y + below(state, 7) - 2,
              m->origin.z + below(state, 7) - 2 + far);
    w.hi = AT(w.lo.x + below(state, 6), w.lo.y + below(state, 6), w.lo.z + below(state, 6));
    return w;
}

Test(sdfwindow, random_windows_agree_with_a_model)
{
    static struct model m;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        uint64_t state = seed;
        model_create(&m, 4, seed % 2 == 0 ? AT(-3, 0, 5000) : AT(RANGE_MIN, -1, 0), 0);
        for (int turn = 0; turn < 60; turn++) {
            for (int i = 0; i < 80; i++)
                model_store(&m, (unsigned)below(&state, MODEL_CHANNELS),
                            (unsigned)below(&state, MODEL_BRICKS), 0, 0, 0, (uint64_t)i);
            struct lode_brick_box window = random_window(&m, &state);
            model_window(&m, &window);
            if (turn % 8 == 0)
                model_trim(&m);
            for (unsigned channel = 0; channel < MODEL_CHANNELS; channel++)
                model_walk(&m, channel, NULL);
        }
        model_stats(&m);
        model_destroy(&m);
    }
}

Test(sdfwindow, groups_that_leave_are_given_back)
{
    struct lode_sdf *sdf = field_made(NULL);
    lode_handle brick;
    for (int i = 0; i < 64; i++)
        cr_assert_eq(lode_sdf_brick_alloc(sdf, 0, AT(2 * i, 0, 0), LODE_TIER_LOW, &brick), 0);
    cr_assert_eq(field_stats(sdf).groups, 64);
    struct lode_brick_box window = {{0, 0, 0}, {9, 0, 0}};
    cr_assert_eq(lode_sdf_window_move(sdf, &window, NULL), 0);
    cr_assert_eq(field_stats(sdf).groups, 5);
    cr_assert_eq(lode_sdf_trim(sdf), 0);
    cr_assert_eq(lode_sdf_brick_free(sdf, brick), -ESTALE);
    cr_assert_eq(lode_sdf_find(sdf, 0, AT(2, 0, 0), &brick), 0);
    cr_assert_eq(lode_sdf_brick_free(sdf, brick), 0);
    cr_assert_eq(lode_sdf_trim(sdf), 1);
    cr_assert_eq(field_stats(sdf).groups, 4);
    lode_sdf_destroy(sdf);
}

/* ---- eviction ---- */

struct gone {
    int count;
    struct lode_ivec3 at[64];
    unsigned channels[64];
    struct lode_sdf *refill;
};

static void note(void *ctx, unsigned channel, struct lode_ivec3 at)
{
    struct gone *gone = ctx;
    if (gone->count < 64) {
        gone->at[gone->count] = at;
        gone->channels[gone->count] = channel;
    }
    gone->count++;
    if (gone->refill != NULL)
        (void)brick_of(gone->refill, at, 3, LODE_TIER_LOW);
}

Test(sdfwindow, eviction_goes_by_priority_and_then_by_distance)
{
    struct lode_sdf *sdf = field_of_two();
    static const enum lode_brick_priority priorities[] = {
        LODE_PRIORITY_CRITICAL, LODE_PRIORITY_IMPORTANT, LODE_PRIORITY_NORMAL,
        LODE_PRIORITY_CACHED};
    struct gone gone = {0};
    uint16_t elements[512] = {0};
    lode_handle raw;
    for (int p = 0; p < 4; p++)
        for (int i = 1; i <= 3; i++)
            cr_assert_eq(
                lode_sdf_priority_set(sdf, brick_of(sdf, AT(10 * p, 10 * i, 0), 1, LODE_TIER_MID),
                                      priorities[p]),
                0);
    cr_assert_eq(lode_sdf_raw_store(sdf, 1, AT(-5, 0, 0), elements, NULL, &raw), 0);
    struct lode_brick_box window = {{-1000, 0, -10}, {1000, 21, 11}}; /* centre (0, 10.5, 0.5) */
    cr_assert_eq(lode_sdf_window_move(sdf, &window, NULL), 0);
    cr_assert_eq(field_bricks(sdf), 9, "what was at 30 has left");
    cr_assert_eq(lode_sdf_evict(sdf, 0, note, &gone), 0);
    cr_assert_eq(gone.count, 0);
    cr_assert_eq(lode_sdf_evict(sdf, 1, note, &gone), 512);
    cr_assert_eq(gone.count, 1);
    cr_assert_eq(gone.at[0].x, 30, "cached first");
    cr_assert_eq(gone.at[0].y, 10 + 10 * (gone.at[0].y == 20));
    gone.count = 0;
    /* 1 cached, 2 normal and the raw one, 2 important, 1 critical */
    cr_assert_eq(lode_sdf_evict(sdf, 6 * 512 + 1024 + 1, note, &gone), 7 * 512 + 1024);
    cr_assert_eq(gone.count, 8);
    static const int32_t x[] = {30, 20, 20, -5, 10, 10, 0, 0};
    for (int i = 0; i < 8; i++)
        cr_assert_eq(gone.at[i].x, x[i], "%d: %d", i, gone.at[i].x);
    cr_assert_eq(gone.channels[3], 1);
    cr_assert_eq(gone.at[6].y, 20, "the farther one first");
    cr_assert_eq(field_bricks(sdf), 0);
    cr_assert_eq(lode_sdf_evict(sdf, 1 << 20, NULL, NULL), 0);
    lode_sdf_destroy(sdf);
}

Test(sdfwindow, without_a_window_distance_is_from_the_origin)
{
    struct lode_sdf *sdf = field_made(NULL);
    struct gone gone = {0};
    for (int i = -9; i <= 10; i++)
        (void)brick_of(sdf, AT(0, i * 1000, 0), 1, LODE_TIER_LOW);
    cr_assert_eq(lode_sdf_evict(sdf, 3 * 256, note, &gone), 3 * 256);
    cr_assert_eq(gone.at[0].y, 10000);
    cr_assert_eq(gone.at[1].y * gone.at[1].y, 81000000);
    cr_assert_eq(gone.at[2].y, -gone.at[1].y);
    lode_sdf_destroy(sdf);
}

Test(sdfwindow, eviction_of_many)
{
    struct lode_sdf *sdf = field_made(NULL);
    lode_handle brick;
    for (int i = 0; i < 3000; i++)
        cr_assert_eq(lode_sdf_brick_alloc(sdf, 0, AT(i, 0, 0), LODE_TIER_LOW, &brick), 0);
    cr_assert_eq(lode_sdf_evict(sdf, 2000 * 256, NULL, NULL), 2000 * 256);
    cr_assert_eq(field_bricks(sdf), 1000);
    cr_assert_eq(lode_sdf_find(sdf, 0, AT(999, 0, 0), &brick), 0);
    cr_assert_eq(lode_sdf_find(sdf, 0, AT(1000, 0, 0), &brick), -ENOENT);
    /* What the callback makes is not evicted for ever. */
    struct gone gone = {.refill = sdf};
    cr_assert_eq(lode_sdf_evict(sdf, SIZE_MAX, note, &gone), 1000 * 256);
    cr_assert_eq(gone.count, 1000);
    cr_assert_eq(field_bricks(sdf), 1000);
    lode_sdf_destroy(sdf);
}

Test(sdfwindow, random_evictions_agree_with_a_model)
{
    static struct model m;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        uint64_t state = seed * 31;
        model_create(&m, 4, AT(-2, -2, -2), 0);
        for (int turn = 0; turn < 40; turn++) {
            for (int i = 0; i < 60; i++)
                model_store(&m, (unsigned)below(&state, MODEL_CHANNELS),
                            (unsigned)below(&state, MODEL_BRICKS), (unsigned)below(&state, 4), 0,
                            (unsigned)below(&state, 4), (uint64_t)i);
            if (seed % 2 == 0 && turn % 7 == 0) {
                struct lode_brick_box window = {{-3 + turn % 2, -3, -4}, {4, 4, 4}};
                model_window(&m, &window);
            }
            model_evict(&m, (size_t)below(&state, turn % 8 == 0 ? 100000 : 4000));
        }
        model_stats(&m);
        model_destroy(&m);
    }
}

/* ---- bands ---- */

Test(sdfwindow, bands_by_material)
{
    struct lode_sdf *sdf = field_made(NULL);
    float values[512], got[512];
    lode_handle rock, dust;
    struct lode_brick_opts opts = {.size = sizeof(opts), .material = 300, .tier = 1};
    values_fill(values, 512, 3);
    static const float bad[] = {0, -1, NAN, INFINITY, 1e-30f};
    for (unsigned i = 0; i < 5; i++)
        cr_assert_eq(lode_sdf_band_set(sdf, 300, bad[i]), -EINVAL);
    cr_assert_eq(lode_sdf_band(sdf, 300), 4.0f);
    cr_assert_eq(lode_sdf_band_set(sdf, 300, 1.5f), 0);
    cr_assert_eq(lode_sdf_band(sdf, 300), 1.5f);
    cr_assert_eq(lode_sdf_band(sdf, 0), 4.0f);
    cr_assert_eq(lode_sdf_store(sdf, 0, AT(0, 0, 0), values, &opts, &dust), 0);
    cr_assert_eq(lode_sdf_store(sdf, 0, AT(1, 0, 0), values, NULL, &rock), 0);
    cr_assert_eq(info_of(sdf, dust).band, 1.5f);
    cr_assert_eq(info_of(sdf, rock).band, 4.0f);
    cr_assert_eq(lode_sdf_decode(sdf, dust, got), 0);
    cr_assert(fabsf(got[0] - 1.5f) < 0.0001f, "beyond the band is the band");
    cr_assert_eq(lode_sdf_band_set(sdf, 300, 8), 0);
    cr_assert_eq(info_of(sdf, dust).band, 1.5f, "bricks keep theirs");
    values_fill(values, 512, 1);
    cr_assert_eq(lode_sdf_encode(sdf, dust, values), 0);
    cr_assert_eq(info_of(sdf, dust).band, 1.5f);
    cr_assert_eq(lode_sdf_decode(sdf, dust, got), 0);
    cr_assert(fabsf(got[0] - 1) <= 1.5f / 65536);
    lode_sdf_destroy(sdf);
}

/* Widths may change for ever, as long as no more than there is room for are in use. */
Test(sdfwindow, bands_nobody_has_any_more_are_used_again)
{
    struct lode_sdf *sdf = field_made(NULL);
    struct lode_brick_opts opts = {.size = sizeof(opts), .tier = 1 + LODE_TIER_HIGH};
    float values[512] = {0}, got[512];
    lode_handle bricks[LODE_BANDS_MAX - 1], again;
    for (unsigned i = 0; i < 500; i++)
        cr_assert_eq(lode_sdf_band_set(sdf, 7, 1 + (float)i / 16), 0, "width %u", i);
    opts.material = 7;
    for (unsigned i = 0; i < LODE_BANDS_MAX - 1; i++) {
        cr_assert_eq(lode_sdf_band_set(sdf, 7, 100 + (float)i), 0);
        values_fill(values, 512, 90 + (float)i);
        cr_assert_eq(lode_sdf_store(sdf, 0, AT((int32_t)i, 0, 0), values, &opts, &bricks[i]), 0);
    }
    cr_assert_eq(lode_sdf_band_set(sdf, 7, 2), -ENOSPC, "each is some brick's");
    cr_assert_eq(lode_sdf_band(sdf, 7), 100 + LODE_BANDS_MAX - 2);
    for (unsigned i = 0; i < LODE_BANDS_MAX - 1; i++) {
        cr_assert_eq(lode_sdf_decode(sdf, bricks[i], got), 0);
        cr_assert(fabsf(got[9] - 90 - (float)i) < 0.01f, "brick %u has another band", i);
    }
    cr_assert_eq(lode_sdf_brick_free(sdf, bricks[20]), 0);
    cr_assert_eq(lode_read_begin(), 0);
    cr_assert_eq(lode_sdf_band_set(sdf, 7, 2), -ENOSPC, "this section may have read that brick");
    lode_read_end();
    cr_assert_eq(lode_sdf_band_set(sdf, 7, 2), 0);
    cr_assert_eq(lode_sdf_store(sdf, 0, AT(20, 0, 0), values, &opts, &again), 0);
    cr_assert_eq(info_of(sdf, again).band, 2.0f);
    cr_assert_eq(info_of(sdf, bricks[21]).band, 121.0f);
    cr_assert_eq(lode_sdf_band(sdf, 0), 4.0f, "the field's own stays");
    lode_sdf_destroy(sdf);
}
