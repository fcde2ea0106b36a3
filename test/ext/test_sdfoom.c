/* SPDX-License-Identifier: MIT */
/* Fields over heaps that refuse (failing_heap.h): at each allocation that an operation makes, it
 * fails with -ENOMEM and changes nothing, or does without. */
#include "sdf_field.h"

#include <errno.h>
#include <string.h>

#include "failing_heap.h"
#include "lode/predict.h"
#include "sdf_model.h"

/* Run `what` with the heap refusing its first, second, ... allocation till it succeeds; how often
 * that was. After every failure the field is as before. */
static int refusals(int (*what)(struct lode_sdf *sdf), struct lode_sdf *sdf)
{
    for (int after = 0;; after++) {
        struct lode_sdf_stats before = {0}, now = {0};
        struct lode_stats heaps[LODE_TIER_COUNT];
        if (sdf != NULL) {
            before = field_stats(sdf);
            for (unsigned t = 0; t < LODE_TIER_COUNT; t++)
                heaps[t] = heap_stats(sdf, t);
        }
        long asked = failing_heap_asked;
        failing_heap_after = after;
        int status = what(sdf);
        failing_heap_after = -1;
        if (status == 0) {
            if (failing_heap_asked - asked <= after)
                return after;
            continue; /* it did without the one that was refused */
        }
        cr_assert_eq(status, -ENOMEM, "refusal %d: %d", after, status);
        if (sdf == NULL)
            continue;
        now = field_stats(sdf);
        for (unsigned t = 0; t < LODE_TIER_COUNT; t++) {
            cr_assert_eq(now.tiers[t].bricks, before.tiers[t].bricks);
            cr_assert_eq(now.tiers[t].retiered, before.tiers[t].retiered);
            cr_assert_eq(heap_stats(sdf, t).live_blocks, heaps[t].live_blocks, "a block is lost");
        }
        cr_assert_eq(now.raw.bricks, before.raw.bricks);
        cr_assert_eq(now.groups, before.groups);
    }
}

static int create(struct lode_sdf *none)
{
    struct lode_sdf_opts o = LODE_SDF_OPTS_INIT;
    struct lode_sdf *sdf = none;
    o.channel_count = 3;
    o.formats[1] = LODE_CHANNEL_RAW8;
    int status = lode_sdf_create(&o, &sdf);
    if (status == 0)
        lode_sdf_destroy(sdf);
    else
        cr_assert_null(sdf);
    return status;
}

static uint64_t all_blocks(void)
{
    struct lode_stats all = {.size = sizeof(all)};
    cr_assert_eq(lode_stats_get(NULL, &all), 0);
    return all.live_blocks;
}

static uint64_t all_heaps(void)
{
    struct lode_stats all = {.size = sizeof(all)};
    cr_assert_eq(lode_stats_get(NULL, &all), 0);
    return all.heaps;
}

Test(sdfoom, creating)
{
    lode_sdf_destroy(field_of_two()); /* what stays for ever is there now */
    uint64_t blocks = all_blocks(), heaps = all_heaps();
    int count = refusals(create, NULL);
    cr_assert_geq(count, 4 + 6 + 3, "heaps, caches and tables: %d", count);
    cr_assert_eq(all_heaps(), heaps);
    cr_assert_eq(all_blocks(), blocks);
}

static lode_handle brick;
static float values[512];
static uint16_t elements[512];
static struct lode_ivec3 place;

static int alloc(struct lode_sdf *sdf)
{
    lode_handle got = 77;
    int status = lode_sdf_brick_alloc(sdf, 0, place, LODE_TIER_MID, &got);
    cr_assert_eq(got != 77, status == 0);
    if (status == 0)
        place.x += 2;
    return status;
}

Test(sdfoom, making_bricks_and_the_index_under_them)
{
    struct lode_sdf *sdf = field_of_two();
    int most = 0;
    place = AT(-3000, 0, 0);
    for (int i = 0; i < 700; i++) {
        int count = refusals(alloc, sdf);
        most = count > most ? count : most;
        cr_assert_geq(count, 1);
    }
    cr_assert_geq(most, 2, "at times the index grows, too");
    cr_assert_geq(field_bricks(sdf), 700);
    lode_sdf_destroy(sdf);
}

static int store(struct lode_sdf *sdf)
{
    lode_handle got = 77;
    int status = lode_sdf_store(sdf, 0, place, values, NULL, &got);
    cr_assert_eq(got != 77, status == 0);
    return status;
}

static int raw_store(struct lode_sdf *sdf)
{
    lode_handle got = 77;
    int status = lode_sdf_raw_store(sdf, 1, place, elements, NULL, &got);
    cr_assert_eq(got != 77, status == 0);
    return status;
}

static int encode(struct lode_sdf *sdf)
{
    return lode_sdf_encode(sdf, brick, values);
}

static int raise_all(void *ctx, float *v)
{
    (void)ctx;
    for (int i = 0; i < 512; i++)
        v[i] += 0.25f;
    return 0;
}

static int edit(struct lode_sdf *sdf)
{
    return lode_sdf_edit(sdf, brick, raise_all, NULL);
}

static int retier(struct lode_sdf *sdf)
{
    return lode_sdf_retier(
        sdf, brick, info_of(sdf, brick).tier == LODE_TIER_HIGH ? LODE_TIER_LOW : LODE_TIER_HIGH);
}

Test(sdfoom, changing_bricks)
{
    struct lode_sdf *sdf = field_of_two();
    float before[512], after[512];
    cr_assert_eq(lode_read_begin(), 0); /* a thread's first section is registered */
    lode_read_end();
    (void)brick_of(sdf, AT(1, 1, 1), 1, LODE_TIER_HIGH);
    cr_assert_eq(lode_read_begin(), 0); /* a thread's first section makes a record that stays */
    lode_read_end();
    place = AT(0, 0, 0);
    cr_assert_geq(refusals(store, sdf), 1, "a brick that is new");
    cr_assert_eq(refusals(store, sdf), 1, "one that is there");
    cr_assert_geq(refusals(raw_store, sdf), 2);
    cr_assert_eq(refusals(raw_store, sdf), 1);
    cr_assert_eq(lode_sdf_find(sdf, 0, place, &brick), 0);
    int (*const changes[])(struct lode_sdf *) = {encode, edit, retier};
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(lode_sdf_decode(sdf, brick, before), 0);
        failing_heap_after = 0;
        cr_assert_eq(changes[i](sdf), -ENOMEM);
        failing_heap_after = -1;
        cr_assert_eq(lode_sdf_decode(sdf, brick, after), 0);
        cr_assert_eq(memcmp(before, after, sizeof(before)), 0);
        cr_assert_eq(refusals(changes[i], sdf), 1);
    }
    lode_sdf_destroy(sdf);
}

/* A pinned brick's old version has to be noted somewhere. */
Test(sdfoom, changing_what_is_pinned)
{
    struct lode_sdf *sdf = field_of_two();
    brick = brick_of(sdf, AT(0, 0, 0), 1, LODE_TIER_HIGH);
    const uint16_t *pinned = lode_pin(brick);
    uint16_t was = pinned[0];
    failing_heap_after = 1; /* the block, but nothing to note the old one */
    int status = lode_sdf_encode(sdf, brick, values);
    failing_heap_after = -1;
    cr_assert(status == 0 || status == -ENOMEM);
    cr_assert_eq(pinned[0], was);
    cr_assert_eq(lode_sdf_encode(sdf, brick, values), 0);
    cr_assert_eq(pinned[0], was);
    cr_assert_eq(lode_unpin(brick), 0);
    cr_assert_eq(heap_stats(sdf, LODE_TIER_HIGH).live_blocks, 1);
    lode_sdf_destroy(sdf);
}

static int alloc_many(struct lode_sdf *sdf)
{
    struct lode_ivec3 at[40];
    lode_handle bricks[40];
    for (int i = 0; i < 40; i++)
        at[i] = AT(place.x, i % 2, i / 2 % 2); /* in groups that are there */
    for (int i = 4; i < 40; i++)
        at[i].x += i / 4 * 2;
    int status = lode_sdf_bricks_alloc(sdf, 0, at, 40, LODE_TIER_LOW, bricks);
    if (status == 0)
        cr_assert_eq(lode_sdf_bricks_free(sdf, bricks, 40), 0);
    return status;
}

Test(sdfoom, many_bricks_are_all_or_none)
{
    struct lode_sdf *sdf = field_of_two();
    place = AT(0, 0, 0);
    cr_assert_eq(alloc_many(sdf), 0);
    cr_assert_eq(refusals(alloc_many, sdf), 40);
    lode_sdf_destroy(sdf);
}

/* The index cannot grow for one of the items: those after it are stored where they belong, also
 * when another field has a group of the same place. */
Test(sdfoom, many_are_stored_but_for_what_finds_no_room)
{
    static const uint8_t payload[1024];
    struct lode_sdf *other = field_of_two(), *sdf = field_of_two();
    struct lode_sdf_item items[10];
    lode_handle bricks[10], found;
    cr_assert_eq(lode_read_begin(), 0); /* a thread's first section is registered */
    lode_read_end();
    (void)brick_of(other, AT(0, 0, 0), 1, LODE_TIER_HIGH);
    for (int i = 0; i < 32; i++) /* half of the first table */
        (void)brick_of(sdf, AT(2 * i, 0, 0), 1, LODE_TIER_HIGH);
    for (int i = 0; i < 10; i++) {
        int lane = i < 2 ? 0 : i - 2;
        items[i] = (struct lode_sdf_item){
            .at = AT(lane & 1, lane >> 1 & 1, lane >> 2), .tier = 1, .payload = payload};
    }
    items[1].at = AT(1000, 0, 0);
    failing_heap_after = 10; /* a block each */
    int status = lode_sdf_store_many(sdf, 0, items, 10, bricks);
    failing_heap_after = -1;
    cr_assert_eq(status, -ENOMEM);
    for (int i = 0; i < 10; i++) {
        int there = lode_sdf_find(sdf, 0, items[i].at, &found) == 0;
        cr_assert_eq(there, i != 1);
        cr_assert_eq(bricks[i], there ? found : LODE_HANDLE_NULL);
    }
    cr_assert_eq(field_bricks(sdf), 32 + 7);
    cr_assert_eq(field_bricks(other), 1);
    cr_assert_eq(heap_stats(sdf, LODE_TIER_HIGH).live_blocks, 32 + 7);
    lode_sdf_destroy(sdf);
    lode_sdf_destroy(other);
}

static int band_set(struct lode_sdf *sdf)
{
    return lode_sdf_band_set(sdf, 5, 2);
}

Test(sdfoom, setting_a_band)
{
    struct lode_sdf *sdf = field_of_two();
    failing_heap_after = 0;
    cr_assert_eq(band_set(sdf), -ENOMEM);
    failing_heap_after = -1;
    cr_assert_eq(lode_sdf_band(sdf, 5), 4.0f);
    cr_assert_eq(refusals(band_set, sdf), 1);
    cr_assert_eq(lode_sdf_band(sdf, 5), 2.0f);
    lode_sdf_destroy(sdf);
}

/* What gives memory back needs none. */
Test(sdfoom, window_eviction_and_trim)
{
    struct lode_sdf *sdf = field_of_two();
    lode_handle got;
    struct lode_brick_box window = {{0, 0, 0}, {1499, 9, 9}};
    struct lode_sdf_window_stats stats;
    for (int i = 0; i < 2000; i++)
        cr_assert_eq(lode_sdf_brick_alloc(sdf, 0, AT(i, 0, 0), LODE_TIER_LOW, &got), 0);
    failing_heap_after = 0;
    cr_assert_eq(lode_sdf_window_move(sdf, &window, &stats), 0);
    cr_assert_eq(stats.freed_bricks, 500);
    cr_assert_eq(lode_sdf_evict(sdf, 1000 * 256, NULL, NULL), 1000 * 256);
    failing_heap_after = -1;
    cr_assert_eq(field_bricks(sdf), 500);
    for (int i = 500; i < 1000; i++) /* the farthest from 749.5 went */
        cr_assert_eq(lode_sdf_find(sdf, 0, AT(i, 0, 0), &got), 0);
    failing_heap_after = 0;
    cr_assert_eq(lode_sdf_trim(sdf), 500);
    cr_assert_eq(lode_sdf_evict(sdf, SIZE_MAX, NULL, NULL), 500 * 256);
    failing_heap_after = -1;
    lode_sdf_destroy(sdf);
}

static int hint(struct lode_sdf *sdf)
{
    struct lode_tool_hint h = {
        .size = sizeof(h), .tool = LODE_TOOL_EXPLOSIVE, .radius = 30, .channels = 3};
    return lode_sdf_hint(sdf, &h);
}

/* Part of a hint may be done: it is what is ready that grows, and nothing else. */
Test(sdfoom, hints)
{
    struct lode_sdf *sdf = field_of_two();
    (void)brick_of(sdf, AT(0, 0, 0), 1, LODE_TIER_HIGH);
    long after = 0, refused = 0;
    for (int status = -ENOMEM; status != 0; after++) {
        failing_heap_after = after;
        status = hint(sdf);
        failing_heap_after = -1;
        cr_assert(status == 0 || status == -ENOMEM);
        refused += status != 0;
        struct lode_sdf_stats s = field_stats(sdf);
        for (unsigned t = 0; t < LODE_TIER_COUNT; t++)
            cr_assert_eq(heap_stats(sdf, t).live_blocks,
                         s.tiers[t].bricks + s.tiers[t].ready_blocks);
        cr_assert_eq(field_bricks(sdf), 1);
        (void)lode_sdf_trim(sdf);
    }
    cr_assert_gt(refused, 60, "%ld", refused);
    struct lode_predict_stats stats = {.size = sizeof(stats)};
    struct lode_sdf *other = field_of_two();
    failing_heap_after = 0;
    cr_assert_eq(lode_sdf_predict_stats(other, &stats), -ENOMEM);
    cr_assert_eq(hint(other), -ENOMEM);
    failing_heap_after = -1;
    cr_assert_eq(field_stats(other).predict_bytes, 0);
    lode_sdf_destroy(other);
    lode_sdf_destroy(sdf);
}

Test(sdfoom, reading)
{
    struct lode_sdf_opts o = LODE_SDF_OPTS_INIT;
    o.cache_bricks = 1;
    struct lode_sdf *sdf = field_made(&o);
    struct lode_view views[5], more = {0};
    float got[512];
    for (int i = 0; i < 6; i++) {
        brick = brick_of(sdf, AT(i, 0, 0), 1, LODE_TIER_HIGH);
        if (i < 4)
            cr_assert_eq(lode_view_begin(sdf, brick, &views[i]), 0);
    }
    failing_heap_after = 0;
    cr_assert_eq(lode_view_begin(sdf, brick, &more), -ENOMEM, "no way is free");
    cr_assert_null(more.entry);
    lode_view_end(sdf, &views[2]);
    cr_assert_eq(lode_view_begin(sdf, brick, &views[2]), 0);
    cr_assert_eq(lode_sdf_decode(sdf, brick, got), 0);
    failing_heap_after = -1;
    for (int i = 0; i < 4; i++)
        lode_view_end(sdf, &views[i]);
    lode_sdf_destroy(sdf);
}
