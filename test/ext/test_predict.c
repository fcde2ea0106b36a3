/* SPDX-License-Identifier: MIT */
/* Hints and prediction (ext/predict.c, ext/ready.c). */
#include "sdf_field.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "../bench/drill_walk.h"
#include "lode/predict.h"

static struct lode_predict_stats predict_stats(struct lode_sdf *sdf)
{
    struct lode_predict_stats s = {.size = sizeof(s)};
    cr_assert_eq(lode_sdf_predict_stats(sdf, &s), 0);
    return s;
}

static struct lode_tool_hint drill_hint(void)
{
    return (struct lode_tool_hint){.size = sizeof(struct lode_tool_hint),
                                   .tool = LODE_TOOL_DRILL,
                                   .position = {4, 4, 4},
                                   .direction = {0, 0, 3},
                                   .radius = 3,
                                   .ahead = 40};
}

/* 1: a hint had named the place. */
static int was_foretold(struct lode_sdf *sdf, struct lode_ivec3 at)
{
    uint64_t before = predict_stats(sdf).made_foretold;
    lode_handle brick;
    cr_assert_eq(lode_sdf_brick_alloc(sdf, 0, at, LODE_TIER_HIGH, &brick), 0);
    cr_assert_eq(lode_sdf_brick_free(sdf, brick), 0);
    return predict_stats(sdf).made_foretold != before;
}

/* Live blocks of the tiers are bricks and what is ready. */
static void check_blocks(struct lode_sdf *sdf)
{
    struct lode_sdf_stats s = field_stats(sdf);
    struct lode_predict_stats p = predict_stats(sdf);
    for (unsigned t = 0; t < LODE_TIER_COUNT; t++) {
        cr_assert_eq(s.tiers[t].ready_blocks, p.ready_blocks[t]);
        cr_assert_eq(heap_stats(sdf, t).live_blocks, s.tiers[t].bricks + s.tiers[t].ready_blocks);
    }
}

/* ---- hints ---- */

Test(predict, bad_hints_are_refused)
{
    struct lode_sdf *sdf = field_of_two();
    struct lode_tool_hint good = drill_hint(), h;
    static const float bad[] = {NAN, INFINITY, -INFINITY};
#define REFUSED(change, status) \
    h = good;                   \
    change;                     \
    cr_assert_eq(lode_sdf_hint(sdf, &h), status, #change)
    REFUSED(h.tool = 3, -EINVAL);
    REFUSED(h.reserved[2] = 1, -EINVAL);
    REFUSED(h.channels = 4, -EINVAL);
    REFUSED(h.channels = UINT32_MAX, -EINVAL);
    REFUSED(h.radius = -1, -EINVAL);
    REFUSED(h.radius = NAN, -EINVAL);
    REFUSED(h.ahead = -1, -EINVAL);
    REFUSED(h.ahead = NAN, -EINVAL);
    REFUSED(memset(h.direction, 0, sizeof(h.direction)), -EINVAL);
    for (unsigned i = 0; i < 3; i++) {
        REFUSED(h.position[i] = bad[i], -EINVAL);
        REFUSED(h.direction[i] = bad[i], -EINVAL);
        REFUSED(h.position[i] = -8.0f * (1 << 20) - 8, -ERANGE);
        REFUSED(h.position[i] = 8.0f * (1 << 20), -ERANGE);
    }
    REFUSED(h.size = 2, -EINVAL);
    struct {
        struct lode_tool_hint known;
        uint32_t tail;
    } longer = {.known = good, .tail = 1};
    longer.known.size = sizeof(longer);
    cr_assert_eq(lode_sdf_hint(sdf, &longer.known), -E2BIG);
    struct lode_sdf_stats s = field_stats(sdf);
    cr_assert(s.groups == 0 && s.predict_bytes == 0, "something was made for a bad hint");
    longer.tail = 0;
    cr_assert_eq(lode_sdf_hint(sdf, &longer.known), 0);
    REFUSED(h.size = 8; h.tool = LODE_TOOL_EXPLOSIVE, 0);
    REFUSED(h.ahead = INFINITY, 0);
    REFUSED(h.radius = INFINITY, 0);
    REFUSED(h.direction[0] = 3e38f; h.direction[1] = -3e38f, 0);
    REFUSED(h.direction[2] = 1e-42f, 0);
    REFUSED(h.channels = 3, 0);
    cr_assert_eq(predict_stats(sdf).hints, 7);
    struct lode_predict_stats p = {.size = 7};
    cr_assert_eq(lode_sdf_predict_stats(sdf, &p), -EINVAL);
    p = (struct lode_predict_stats){.size = 16, .foretold = 77};
    cr_assert_eq(lode_sdf_predict_stats(sdf, &p), 0);
    cr_assert(p.hints == 7 && p.foretold == 77);
    lode_sdf_destroy(sdf);
}

Test(predict, a_hint_makes_index_and_blocks_ready)
{
    struct lode_sdf *sdf = field_of_two();
    struct lode_tool_hint hint = drill_hint();
    hint.channels = 3;
    cr_assert_eq(lode_sdf_hint(sdf, &hint), 0);
    struct lode_sdf_stats s = field_stats(sdf);
    struct lode_predict_stats p = predict_stats(sdf);
    cr_assert_eq(field_bricks(sdf), 0, "a hint makes no brick");
    cr_assert_gt(s.groups, 6);
    cr_assert_gt(s.predict_bytes, 0);
    cr_assert_gt(p.foretold, 12);
    cr_assert(p.ready_blocks[0] >= 6 && p.ready_blocks[0] <= 64);
    check_blocks(sdf);
    cr_assert_eq(heap_stats(sdf, LODE_TIER_COUNT).live_blocks, 0);
    uint64_t groups = s.groups;
    for (int32_t z = 0; z < 5; z++)
        cr_assert(was_foretold(sdf, AT(0, 0, z)), "%d", z);
    cr_assert_eq(field_stats(sdf).groups, groups, "there was a group for each");
    cr_assert_not(was_foretold(sdf, AT(0, 0, -3)));
    cr_assert_not(was_foretold(sdf, AT(0, 0, 9)));
    cr_assert_not(was_foretold(sdf, AT(5, 0, 2)));
    p = predict_stats(sdf);
    cr_assert_eq(p.made, 8);
    cr_assert_eq(p.made_foretold, 5);
    cr_assert_eq(p.acquired, 8);
    cr_assert_geq(p.acquired_ready, 6);
    check_blocks(sdf);
    cr_assert_geq(lode_sdf_trim(sdf), groups);
    for (unsigned t = 0; t < LODE_TIER_COUNT; t++)
        cr_assert_eq(heap_stats(sdf, t).live_blocks, 0);
    cr_assert_eq(field_stats(sdf).groups, 0);
    cr_assert_eq(predict_stats(sdf).ready_blocks[0], 0);
    lode_sdf_destroy(sdf);
}

Test(predict, tools_have_shapes)
{
    struct lode_sdf *sdf = field_of_two();
    struct lode_tool_hint h = {.size = sizeof(h), .tool = LODE_TOOL_EXPLOSIVE, .radius = 48};
    cr_assert_eq(lode_sdf_hint(sdf, &h), 0);
    cr_assert(was_foretold(sdf, AT(5, 0, 0)), "48 voxels are 6 bricks");
    cr_assert(was_foretold(sdf, AT(-6, -1, 0)));
    cr_assert(was_foretold(sdf, AT(0, 3, 4)));
    cr_assert_not(was_foretold(sdf, AT(0, 0, 0)), "what is in the middle is air then");
    cr_assert_not(was_foretold(sdf, AT(5, 5, 5)));
    cr_assert_not(was_foretold(sdf, AT(9, 0, 0)));
    h = (struct lode_tool_hint){
        .size = sizeof(h), .tool = LODE_TOOL_PRECISION, .position = {1004, 4, 4}, .radius = 2};
    cr_assert_eq(lode_sdf_hint(sdf, &h), 0);
    for (int32_t z = -1; z <= 1; z++)
        for (int32_t x = 124; x <= 126; x++)
            cr_assert(was_foretold(sdf, AT(x, 0, z)));
    cr_assert_not(was_foretold(sdf, AT(127, 0, 0)));
    cr_assert_not(was_foretold(sdf, AT(125, 2, 0)));
    h = drill_hint();
    h.position[0] = -1000;
    h.direction[0] = h.direction[1] = h.direction[2] = -1;
    h.ahead = 1e9f; /* counts as 32 bricks */
    cr_assert_eq(lode_sdf_hint(sdf, &h), 0);
    cr_assert(was_foretold(sdf, AT(-125 - 10, -10, -10)));
    cr_assert_not(was_foretold(sdf, AT(-125 + 4, 4, 4)));
    cr_assert_not(was_foretold(sdf, AT(-125 - 30, -30, -30)));
    lode_sdf_destroy(sdf);
}

Test(predict, bricks_that_are_there_are_fetched)
{
    struct lode_sdf *sdf = field_of_two();
    struct lode_tool_hint h = drill_hint();
    h.ahead = 0;
    h.radius = 0;
    cr_assert_eq(lode_sdf_hint(sdf, &h), 0);
    uint64_t foretold = predict_stats(sdf).foretold;
    cr_assert_eq(predict_stats(sdf).prefetched_bytes, 0);
    (void)brick_of(sdf, AT(0, 0, 0), 1, LODE_TIER_HIGH);
    cr_assert_eq(lode_sdf_hint(sdf, &h), 0);
    cr_assert_eq(predict_stats(sdf).prefetched_bytes, 1024);
    cr_assert_eq(predict_stats(sdf).foretold, foretold, "the same places are counted once");
    lode_sdf_destroy(sdf);
}

Test(predict, no_further_than_window_and_world)
{
    struct lode_sdf *sdf = field_of_two();
    struct lode_tool_hint h = drill_hint();
    struct lode_brick_box window = {{0, 0, 0}, {0, 0, 1}};
    h.position[0] = h.position[1] = h.position[2] = -8.0f * (1 << 20);
    cr_assert_eq(lode_sdf_hint(sdf, &h), 0);
    cr_assert(was_foretold(sdf, AT(RANGE_MIN, RANGE_MIN, RANGE_MIN)));
    h.position[0] = h.position[1] = h.position[2] = 8.0f * (1 << 20) - 1;
    cr_assert_eq(lode_sdf_hint(sdf, &h), 0);
    cr_assert(was_foretold(sdf, AT(RANGE_MAX, RANGE_MAX, RANGE_MAX)));
    (void)lode_sdf_trim(sdf);
    cr_assert_eq(lode_sdf_window_move(sdf, &window, NULL), 0);
    h = drill_hint();
    cr_assert_eq(lode_sdf_hint(sdf, &h), 0);
    cr_assert_eq(field_stats(sdf).groups, 1);
    window = (struct lode_brick_box){{900, 0, 0}, {901, 9, 9}};
    cr_assert_eq(lode_sdf_window_move(sdf, &window, NULL), 0);
    cr_assert_eq(lode_sdf_hint(sdf, &h), 0);
    cr_assert_leq(field_stats(sdf).groups, 1);
    lode_sdf_destroy(sdf);
}

/* As wide as bands may be: the hint costs what one of 8 bricks does. */
Test(predict, a_wide_band_is_not_searched, .timeout = 20)
{
    const float bands[] = {64, 65, 4096, 0x1p40f, 0x1p64f};
    uint64_t foretold = 0;
    for (unsigned i = 0; i < sizeof(bands) / sizeof(bands[0]); i++) {
        struct lode_sdf_opts opts = LODE_SDF_OPTS_INIT;
        opts.band = bands[i];
        struct lode_sdf *sdf = field_made(&opts);
        for (uint8_t tool = LODE_TOOL_DRILL; tool <= LODE_TOOL_PRECISION; tool++) {
            struct lode_tool_hint hint = drill_hint();
            hint.tool = tool;
            cr_assert_eq(lode_sdf_hint(sdf, &hint), 0);
        }
        if (i == 0)
            foretold = predict_stats(sdf).foretold;
        cr_assert_eq(predict_stats(sdf).foretold, foretold);
        lode_sdf_destroy(sdf);
    }
}

Test(predict, what_is_ready_is_bounded_and_goes_first)
{
    struct lode_sdf_opts o = LODE_SDF_OPTS_INIT;
    o.ready_bricks = 5;
    struct lode_sdf *sdf = field_made(&o);
    struct lode_tool_hint h = {.size = sizeof(h), .tool = LODE_TOOL_EXPLOSIVE, .radius = 60};
    cr_assert_eq(lode_sdf_hint(sdf, &h), 0);
    struct lode_predict_stats p = predict_stats(sdf);
    cr_assert_eq(p.ready_blocks[0], 5);
    cr_assert_leq(p.foretold, LODE_HINT_BRICKS);
    check_blocks(sdf);
    /* Eviction takes them before bricks, and no more than asked for. */
    lode_handle brick = brick_of(sdf, AT(0, 0, 0), 0, LODE_TIER_HIGH);
    cr_assert_eq(predict_stats(sdf).acquired_ready, 1);
    cr_assert_eq(predict_stats(sdf).ready_blocks[0], 4);
    cr_assert_eq(lode_sdf_evict(sdf, 1025, NULL, NULL), 2048);
    cr_assert_eq(predict_stats(sdf).ready_blocks[0], 2);
    cr_assert(lode_handle_is_live(brick));
    cr_assert_eq(lode_sdf_evict(sdf, SIZE_MAX, NULL, NULL),
                 2048 + 512 * p.ready_blocks[1] + 256 * p.ready_blocks[2] + 1024);
    cr_assert_not(lode_handle_is_live(brick));
    check_blocks(sdf);
    lode_sdf_destroy(sdf);
    o.ready_bricks = 100000; /* 512 at most */
    sdf = field_made(&o);
    for (int i = 0; i < 20; i++) {
        h.position[0] = (float)i * 1000;
        cr_assert_eq(lode_sdf_hint(sdf, &h), 0);
        cr_assert_leq(predict_stats(sdf).ready_blocks[0], 512);
    }
    check_blocks(sdf);
    lode_sdf_destroy(sdf); /* with blocks that are ready */
}

/* Old versions come back to what is ready, unless somebody may be reading them. */
Test(predict, old_versions_are_used_again)
{
    struct lode_sdf *sdf = field_made(NULL);
    lode_handle brick = brick_of(sdf, AT(0, 0, 0), 1, LODE_TIER_HIGH);
    float values[512];
    values_fill(values, 512, 0.5f);
    cr_assert_eq(predict_stats(sdf).ready_blocks[0], 0);
    for (int i = 0; i < 10; i++)
        cr_assert_eq(lode_sdf_encode(sdf, brick, values), 0);
    struct lode_predict_stats p = predict_stats(sdf);
    cr_assert_eq(p.ready_blocks[0], 1);
    cr_assert_eq(p.acquired, 10);
    cr_assert_eq(p.acquired_ready, 9);
    cr_assert_eq(lode_sdf_retier(sdf, brick, LODE_TIER_LOW), 0);
    cr_assert_eq(predict_stats(sdf).ready_blocks[0], 2);
    cr_assert_eq(lode_sdf_retier(sdf, brick, LODE_TIER_HIGH), 0);
    cr_assert_eq(lode_read_begin(), 0);
    const void *seen = lode_peek(brick);
    uint16_t first = *(const uint16_t *)seen;
    values_fill(values, 512, -3);
    for (int i = 0; i < 70; i++) {
        cr_assert_eq(lode_sdf_encode(sdf, brick, values), 0);
        cr_assert_eq(*(const uint16_t *)seen, first);
    }
    lode_read_end();
    (void)lode_sdf_trim(sdf);
    check_blocks(sdf);
    cr_assert_eq(heap_stats(sdf, 0).live_blocks, 1);
    lode_sdf_destroy(sdf);
}

Test(predict, a_hint_does_not_count_for_ever)
{
    struct lode_sdf *sdf = field_made(NULL);
    struct lode_tool_hint h = drill_hint();
    cr_assert_eq(lode_sdf_hint(sdf, &h), 0);
    cr_assert(was_foretold(sdf, AT(0, 0, 2)));
    for (int i = 0; i < LODE_PREDICT_HORIZON - 2; i++)
        cr_assert_not(was_foretold(sdf, AT(50, 50, i % 2)));
    cr_assert(was_foretold(sdf, AT(0, 0, 2)));
    cr_assert_not(was_foretold(sdf, AT(0, 0, 2)));
    cr_assert_eq(lode_sdf_hint(sdf, &h), 0);
    cr_assert(was_foretold(sdf, AT(0, 0, 2)));
    lode_sdf_destroy(sdf);
}

/* ---- prediction ---- */

static int observed(struct lode_predictor *p, struct lode_sdf *sdf, float x, float y, float z)
{
    const float position[3] = {x, y, z};
    int status = lode_predict_observe(p, sdf, position, 2);
    cr_assert_geq(status, 0);
    return status;
}

Test(predict, a_steady_tool_is_led)
{
    struct lode_sdf *sdf = field_made(NULL);
    struct lode_predictor p = {0};
    int hints = 0;
    for (int i = 0; i < 200; i++)
        hints += observed(&p, sdf, 10, 20 + 0.5f * (float)i, -5);
    cr_assert_eq(p.given.tool, LODE_TOOL_DRILL);
    cr_assert(p.given.direction[1] > 0 && fabsf(p.given.direction[0]) < 1e-5f);
    cr_assert(fabsf(p.velocity[1] - 0.5f) < 1e-4f);
    cr_assert(p.error < 0.01f);
    cr_assert(hints >= 100 / 16 && hints <= 30, "%d", hints);
    cr_assert_eq(predict_stats(sdf).hints, (uint64_t)hints);
    cr_assert(was_foretold(sdf, AT(1, (20 + 100 + 6) / 8, -1)));
    /* A turn is followed. */
    for (int i = 0; i < 20; i++)
        (void)observed(&p, sdf, 10 + 0.5f * (float)i, 119.5f, -5);
    cr_assert_eq(p.given.tool, LODE_TOOL_DRILL);
    cr_assert(p.given.direction[0] > 0.4f && fabsf(p.given.direction[1]) < 0.1f);
    lode_sdf_destroy(sdf);
}

Test(predict, a_tool_that_stays_is_surrounded)
{
    struct lode_sdf *sdf = field_made(NULL);
    struct lode_predictor p = {0};
    int hints = 0;
    uint32_t random = 1;
    for (int i = 0; i < 300; i++) {
        random = random * 1664525 + 1013904223;
        hints += observed(&p, sdf, (float)(random >> 8 & 15) / 8, (float)(random >> 16 & 15) / 8,
                          (float)(random >> 24 & 15) / 8);
    }
    cr_assert_eq(p.given.tool, LODE_TOOL_PRECISION);
    cr_assert_leq(hints, 30, "small and repeated: the hint is still good; %d", hints);
    cr_assert(was_foretold(sdf, AT(0, 0, 0)));
    lode_sdf_destroy(sdf);
}

Test(predict, a_jump_starts_anew)
{
    struct lode_sdf *sdf = field_made(NULL);
    struct lode_predictor p = {.channels = 1, .steps_ahead = 10};
    for (int i = 0; i < 50; i++)
        (void)observed(&p, sdf, (float)i, 0, 0);
    cr_assert_eq(p.observations, 50);
    cr_assert(fabsf(p.given.ahead - 10) < 0.1f);
    cr_assert_eq(observed(&p, sdf, 5000, 5000, 0), 1);
    cr_assert_eq(p.observations, 1);
    cr_assert_eq(p.velocity[0], 0);
    cr_assert_eq(p.given.tool, LODE_TOOL_PRECISION);
    cr_assert(was_foretold(sdf, AT(625, 625, 0)));
    struct lode_predictor before = p;
    const float bad[][3] = {{NAN, 0, 0}, {0, INFINITY, 0}, {0, 0, 1e9f}};
    for (unsigned i = 0; i < 3; i++)
        cr_assert_eq(lode_predict_observe(&p, sdf, bad[i], 1), i < 2 ? -EINVAL : -ERANGE);
    const float good[3] = {5000, 5000, 0};
    cr_assert_eq(lode_predict_observe(&p, sdf, good, -1), -EINVAL);
    cr_assert_eq(lode_predict_observe(&p, sdf, good, NAN), -EINVAL);
    cr_assert_eq(lode_predict_observe(&p, sdf, good, INFINITY), -EINVAL);
    cr_assert_eq(memcmp(&before, &p, sizeof(p)), 0);
    p.channels = 2;
    const float far[3] = {-900, 0, 0};
    cr_assert_eq(lode_predict_observe(&p, sdf, far, 1), -EINVAL, "there is no such channel");
    lode_sdf_destroy(sdf);
}

/* ---- a drill ---- */

static struct lode_predict_stats drilled(int hints, uint64_t seed)
{
    struct lode_predictor p = {0};
    struct drill_walk walk = {.random = seed, .field = field_made(NULL)};
    (void)predict_stats(walk.field); /* counts from here on */
    for (int i = 0; i < 3000; i++) {
        drill_move(&walk);
        drill_dig(&walk);
        if (hints)
            cr_assert_geq(lode_predict_observe(&p, walk.field, walk.position, DRILL_RADIUS), 0);
    }
    cr_assert_eq(walk.status, 0);
    check_blocks(walk.field);
    struct lode_predict_stats s = predict_stats(walk.field);
    cr_assert_eq(s.made, walk.made);
    cr_assert_eq(s.acquired, walk.made + walk.edited + walk.retiered);
    lode_sdf_destroy(walk.field);
    return s;
}

/* Of the blocks a drill asks for, one in fifteen is a new brick's; with hints, less than one in a
 * hundred is not ready, and nine new bricks in ten were foretold. */
Test(predict, a_drill_finds_its_blocks_ready)
{
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct lode_predict_stats off = drilled(0, seed), on = drilled(1, seed);
        uint64_t missed = on.acquired - on.acquired_ready,
                 missed_off = off.acquired - off.acquired_ready;
        cr_assert_eq(off.made, on.made, "the same way");
        cr_assert_eq(off.made_foretold, 0);
        cr_assert_geq(missed_off, off.made - off.made / 50);
        cr_assert_leq(missed * 10, missed_off, "%lu of %lu", (unsigned long)missed,
                      (unsigned long)on.acquired);
        cr_assert_leq(missed * 100, on.acquired);
        cr_assert_geq(on.made_foretold * 10, on.made * 9);
        cr_assert_leq(on.foretold, on.made * 3, "most of what was foretold came");
    }
}
