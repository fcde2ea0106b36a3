/* SPDX-License-Identifier: MIT */
/* The cache of decoded bricks (ext/sdfcache.c). */
#include "sdf_field.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/attr.h"

static struct lode_sdf *field_with_cache(uint32_t bricks)
{
    struct lode_sdf_opts o = LODE_SDF_OPTS_INIT;
    o.channel_count = 2;
    o.formats[1] = LODE_CHANNEL_RAW8;
    o.cache_bricks = bricks;
    return field_made(&o);
}

static void expect_counts(struct lode_sdf *sdf, enum lode_tier tier, uint64_t hits, uint64_t misses)
{
    struct lode_sdf_stats s = field_stats(sdf);
    cr_assert_eq(s.tiers[tier].cache_hits, hits, "tier %d: %lu hits", (int)tier,
                 (unsigned long)s.tiers[tier].cache_hits);
    cr_assert_eq(s.tiers[tier].cache_misses, misses, "tier %d: %lu misses", (int)tier,
                 (unsigned long)s.tiers[tier].cache_misses);
}

static float viewed(struct lode_sdf *sdf, lode_handle brick)
{
    struct lode_view view;
    cr_assert_eq(lode_view_begin(sdf, brick, &view), 0);
    float v = view.values[100];
    cr_assert_eq((uintptr_t)view.values % 64, 0);
    lode_view_end(sdf, &view);
    cr_assert_null(view.values);
    cr_assert_null(view.entry);
    lode_view_end(sdf, &view); /* of none: nothing */
    return v;
}

Test(sdfcache, hits_are_counted_by_tier)
{
    struct lode_sdf *sdf = field_with_cache(64);
    for (unsigned t = 0; t < LODE_TIER_COUNT; t++) {
        lode_handle brick = brick_of(sdf, AT(0, 0, (int32_t)t), -1, (enum lode_tier)t);
        for (unsigned i = 0; i <= t; i++)
            cr_assert(fabsf(viewed(sdf, brick) + 1) <= 0.25f);
        expect_counts(sdf, (enum lode_tier)t, t, 1);
    }
    expect_counts(sdf, LODE_TIER_HIGH, 0, 1);
    cr_assert_geq(field_stats(sdf).cache_bytes, 3 * 64 * 2048);
    lode_sdf_destroy(sdf);
}

static int raise_all(void *ctx, float *values)
{
    (void)ctx;
    for (int i = 0; i < 512; i++)
        values[i] += 0.5f;
    return 0;
}

Test(sdfcache, every_change_makes_the_next_view_decode)
{
    struct lode_sdf *sdf = field_with_cache(16);
    float values[512];
    lode_handle brick = brick_of(sdf, AT(0, 0, 0), 1, LODE_TIER_HIGH);
    (void)viewed(sdf, brick);
    cr_assert_eq(lode_sdf_edit(sdf, brick, raise_all, NULL), 0);
    cr_assert(fabsf(viewed(sdf, brick) - 1.5f) < 0.001f);
    expect_counts(sdf, LODE_TIER_HIGH, 0, 2);
    values_fill(values, 512, -2);
    cr_assert_eq(lode_sdf_encode(sdf, brick, values), 0);
    cr_assert(fabsf(viewed(sdf, brick) + 2) < 0.001f);
    expect_counts(sdf, LODE_TIER_HIGH, 0, 3);
    cr_assert_eq(brick_of(sdf, AT(0, 0, 0), 3, LODE_TIER_HIGH), brick);
    cr_assert(fabsf(viewed(sdf, brick) - 3) < 0.001f);
    expect_counts(sdf, LODE_TIER_HIGH, 0, 4);
    cr_assert_eq(lode_sdf_retier(sdf, brick, LODE_TIER_LOW), 0);
    cr_assert(fabsf(viewed(sdf, brick) - 3) <= 0.25f);
    expect_counts(sdf, LODE_TIER_LOW, 0, 1);
    (void)viewed(sdf, brick);
    cr_assert_eq(lode_sdf_priority_set(sdf, brick, LODE_PRIORITY_CRITICAL), 0);
    (void)viewed(sdf, brick);
    expect_counts(sdf, LODE_TIER_LOW, 2, 1);
    cr_assert_eq(lode_sdf_brick_free(sdf, brick), 0);
    lode_handle again = brick_of(sdf, AT(0, 0, 0), 2.25f, LODE_TIER_LOW);
    cr_assert_eq((uint32_t)again, (uint32_t)brick, "the same slot");
    cr_assert_eq(viewed(sdf, again), 2.25f);
    expect_counts(sdf, LODE_TIER_LOW, 2, 2);
    lode_sdf_destroy(sdf);
}

Test(sdfcache, a_view_keeps_its_version)
{
    struct lode_sdf *sdf = field_with_cache(4);
    struct lode_view held, second, after;
    lode_handle brick = brick_of(sdf, AT(0, 0, 0), 1, LODE_TIER_HIGH);
    cr_assert_eq(lode_view_begin(sdf, brick, &held), 0);
    cr_assert_eq(lode_view_begin(sdf, brick, &second), 0);
    cr_assert_eq(second.values, held.values);
    lode_view_end(sdf, &second);
    cr_assert_eq(lode_sdf_edit(sdf, brick, raise_all, NULL), 0);
    cr_assert_eq(lode_view_begin(sdf, brick, &after), 0);
    cr_assert(fabsf(held.values[3] - 1) < 0.001f);
    cr_assert(fabsf(after.values[3] - 1.5f) < 0.001f);
    lode_view_end(sdf, &after);
    cr_assert_eq(lode_sdf_retier(sdf, brick, LODE_TIER_MID), 0);
    cr_assert_eq(lode_sdf_brick_free(sdf, brick), 0);
    for (int i = 0; i < 64; i++) /* whoever comes now does not get its place */
        (void)viewed(sdf, brick_of(sdf, AT(i % 2, i / 2 % 2, i / 4), -3, LODE_TIER_HIGH));
    for (int i = 0; i < 512; i++)
        cr_assert(fabsf(held.values[i] - 1) < 0.001f);
    cr_assert_eq(lode_view_begin(sdf, brick, &after), -ESTALE);
    lode_view_end(sdf, &held);
    lode_sdf_destroy(sdf);
}

/* 4 ways, one set: what does not fit is decoded into a block of its own. */
Test(sdfcache, more_views_than_ways)
{
    struct lode_sdf *sdf = field_with_cache(1);
    lode_handle bricks[12];
    struct lode_view views[12];
    uint64_t blocks_before, blocks;
    cr_assert_eq(lode_read_begin(), 0); /* a thread's first section is registered */
    lode_read_end();
    for (int i = 0; i < 12; i++)
        bricks[i] = brick_of(sdf, AT(i, 0, 0), (float)i / 4 - 1.375f, LODE_TIER_HIGH);
    (void)viewed(sdf, bricks[0]); /* a thread's first section makes a record that stays */
    struct lode_stats heap = {.size = sizeof(heap)};
    cr_assert_eq(lode_stats_get(lode_heap_default(), &heap), 0);
    blocks_before = heap.live_blocks;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 12; i++)
            cr_assert_eq(lode_view_begin(sdf, bricks[i], &views[i]), 0);
        for (int i = 0; i < 12; i++) {
            cr_assert(fabsf(views[i].values[77] - ((float)i / 4 - 1.375f)) < 0.001f);
            cr_assert_eq((uintptr_t)views[i].values % 64, 0);
        }
        cr_assert_eq(lode_stats_get(lode_heap_default(), &heap), 0);
        cr_assert_eq(heap.live_blocks, blocks_before + 8);
        for (int i = 11; i >= 0; i--)
            lode_view_end(sdf, &views[(i + round * 5) % 12]);
        cr_assert_eq(lode_stats_get(lode_heap_default(), &heap), 0);
        blocks = heap.live_blocks;
        cr_assert_eq(blocks, blocks_before);
    }
    struct lode_sdf_stats s = field_stats(sdf);
    cr_assert_eq(s.tiers[0].cache_hits + s.tiers[0].cache_misses, 37);
    cr_assert_eq(s.tiers[0].cache_hits, 9,
                 "what was viewed first, and the four of the round before");
    lode_sdf_destroy(sdf);
}

Test(sdfcache, the_view_longest_not_asked_for_goes)
{
    struct lode_sdf *sdf = field_with_cache(4);
    lode_handle bricks[5];
    for (int i = 0; i < 5; i++)
        bricks[i] = brick_of(sdf, AT(i, 0, 0), 1, LODE_TIER_HIGH);
    for (int i = 0; i < 4; i++)
        (void)viewed(sdf, bricks[i]);
    (void)viewed(sdf, bricks[0]);
    (void)viewed(sdf, bricks[4]); /* in the place of 1 */
    expect_counts(sdf, LODE_TIER_HIGH, 1, 5);
    (void)viewed(sdf, bricks[0]);
    (void)viewed(sdf, bricks[2]);
    (void)viewed(sdf, bricks[3]);
    expect_counts(sdf, LODE_TIER_HIGH, 4, 5);
    (void)viewed(sdf, bricks[1]);
    expect_counts(sdf, LODE_TIER_HIGH, 4, 6);
    lode_sdf_destroy(sdf);
}

Test(sdfcache, what_has_no_distances_is_refused)
{
    struct lode_sdf *sdf = field_with_cache(4);
    uint8_t elements[512] = {0};
    struct lode_view view = {(void *)&view, &view};
    lode_handle raw;
    cr_assert_eq(lode_sdf_raw_store(sdf, 1, AT(0, 0, 0), elements, NULL, &raw), 0);
    cr_assert_eq(lode_view_begin(sdf, raw, &view), -EINVAL);
    cr_assert_eq(lode_view_begin(sdf, 0, &view), -EINVAL);
    cr_assert_eq(view.entry, &view);
    lode_sdf_destroy(sdf);
}

Test(sdfcache, sizes_are_rounded_up)
{
    static const uint32_t asked[] = {1, 4, 5, 64, 65, 1000};
    static const uint32_t given[] = {4, 4, 8, 64, 128, 1024};
    for (unsigned i = 0; i < 6; i++) {
        struct lode_sdf *sdf = field_with_cache(asked[i]);
        uint64_t bytes = field_stats(sdf).cache_bytes / LODE_TIER_COUNT;
        cr_assert(bytes >= given[i] * 2048 && bytes < given[i] * (2048 + 64) + 4096);
        lode_sdf_destroy(sdf);
    }
}

/* More than 2^32 values. A sanitizer would touch what shadows them. */
Test(sdfcache, entries_of_a_huge_cache_are_apart)
{
    struct lode_sdf_opts opts = LODE_SDF_OPTS_INIT;
    struct lode_brick_opts low = {.size = sizeof(low), .tier = 1 + LODE_TIER_LOW};
    struct lode_sdf *sdf;
    lode_handle first = 0, brick = 0;
    struct lode_view views[2];
    static float values[4096];
    opts.brick_dim = 16;
    opts.cache_bricks = (1u << 20) + 1;
    if (LODE_ASAN || lode_sdf_create(&opts, &sdf) != 0)
        cr_skip_test("no room for addresses");
    for (int i = 0; i <= 1 << 15; i++) { /* a group of slots each */
        cr_assert_eq(lode_sdf_store(sdf, 0, AT(2 * i, 0, 0), values, &low, &brick), 0);
        first = i == 0 ? brick : first;
    }
    cr_assert_eq(lode_view_begin(sdf, first, &views[0]), 0);
    cr_assert_eq(lode_view_begin(sdf, brick, &views[1]), 0);
    cr_assert_neq(views[0].values, views[1].values);
    lode_view_end(sdf, &views[0]);
    lode_view_end(sdf, &views[1]);
    lode_sdf_destroy(sdf);
}
