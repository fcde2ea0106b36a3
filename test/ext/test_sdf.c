/* SPDX-License-Identifier: MIT */
/* Fields and their bricks (ext/sdf.c, ext/sdfbrick.c): what is made, freed, stored and moved
 * between tiers, and every errno, with the field as it was. */
#include "sdf_field.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "ext/registry.h"
#include "sdf_model.h"

/* ---- creating ---- */

static int refused(const struct lode_sdf_opts *opts)
{
    struct lode_sdf *sdf = (void *)&sdf;
    int status = lode_sdf_create(opts, &sdf);
    cr_assert_neq(status, 0);
    cr_assert_eq((void *)sdf, (void *)&sdf, "the out-parameter was written");
    return status;
}

Test(sdf, defaults)
{
    struct lode_sdf *sdf = field_made(NULL);
    static const size_t bytes[] = {1024, 512, 256};
    for (unsigned t = 0; t < LODE_TIER_COUNT; t++) {
        cr_assert_eq(lode_sdf_brick_bytes(sdf, 0, (enum lode_tier)t), bytes[t]);
        cr_assert_not_null(lode_sdf_heap(sdf, t));
    }
    cr_assert_eq(lode_sdf_brick_bytes(sdf, 0, (enum lode_tier)3), 0);
    cr_assert_eq(lode_sdf_brick_bytes(sdf, 1, LODE_TIER_HIGH), 0);
    cr_assert_null(lode_sdf_heap(sdf, LODE_TIER_COUNT), "no raw channel, no heap for one");
    cr_assert_null(lode_sdf_heap(sdf, 99));
    cr_assert_eq(lode_sdf_band(sdf, 0), 4.0f);
    cr_assert_eq(lode_sdf_band(sdf, 65535), 4.0f);
    cr_assert_eq(lode_sdf_tier_at(sdf, 0.99f), LODE_TIER_HIGH);
    cr_assert_eq(lode_sdf_tier_at(sdf, -1.0f), LODE_TIER_MID);
    cr_assert_eq(lode_sdf_tier_at(sdf, 1.99f), LODE_TIER_MID);
    cr_assert_eq(lode_sdf_tier_at(sdf, -2.0f), LODE_TIER_LOW);
    cr_assert_eq(lode_sdf_tier_at(sdf, INFINITY), LODE_TIER_LOW);
    cr_assert_eq(lode_sdf_tier_at(sdf, NAN), LODE_TIER_HIGH);
    cr_assert_eq(field_bricks(sdf), 0);
    lode_sdf_destroy(sdf);
    lode_sdf_destroy(NULL);
}

Test(sdf, options_out_of_range_are_refused)
{
    static const uint8_t dims[] = {1, 2, 5, 32, 255};
    static const float bands[] = {-1, NAN, INFINITY, 1e-30f, 1e30f};
    static const float distances[][2] = {{3, 2}, {3, 2.9f}, {-1, 1}, {NAN, 1}, {1, NAN}, {0, 0.5f}};
    struct lode_sdf_opts o = LODE_SDF_OPTS_INIT;
    for (unsigned i = 0; i < sizeof(dims); i++) {
        o.brick_dim = dims[i];
        cr_assert_eq(refused(&o), -EINVAL);
    }
    o.brick_dim = 0;
    o.channel_count = LODE_CHANNELS_MAX + 1;
    cr_assert_eq(refused(&o), -EINVAL);
    o.channel_count = 1;
    o.formats[0] = LODE_CHANNEL_RAW16 + 1;
    cr_assert_eq(refused(&o), -EINVAL);
    o.formats[0] = 0;
    o.formats[1] = LODE_CHANNEL_RAW8; /* of a channel there is not */
    cr_assert_eq(refused(&o), -EINVAL);
    o.formats[1] = 0;
    for (unsigned i = 0; i < sizeof(bands) / sizeof(bands[0]); i++) {
        o.band = bands[i];
        cr_assert_eq(refused(&o), -EINVAL, "band %g", (double)bands[i]);
    }
    o.band = 0;
    for (unsigned i = 0; i < sizeof(distances) / sizeof(distances[0]); i++) {
        memcpy(o.tier_distance, distances[i], sizeof(o.tier_distance));
        cr_assert_eq(refused(&o), -EINVAL, "distances %u", i);
    }
    memset(o.tier_distance, 0, sizeof(o.tier_distance));
    o.reserved = 1;
    cr_assert_eq(refused(&o), -EINVAL);
}

Test(sdf, each_tier_distance_has_its_default)
{
    struct lode_sdf_opts o = LODE_SDF_OPTS_INIT;
    o.tier_distance[1] = 3;
    struct lode_sdf *sdf = field_made(&o);
    cr_assert_eq(lode_sdf_tier_at(sdf, 0.5f), LODE_TIER_HIGH);
    cr_assert_eq(lode_sdf_tier_at(sdf, 2.5f), LODE_TIER_MID);
    cr_assert_eq(lode_sdf_tier_at(sdf, 3), LODE_TIER_LOW);
    lode_sdf_destroy(sdf);
    o.tier_distance[0] = 3;
    o.tier_distance[1] = 0;
    sdf = field_made(&o);
    cr_assert_eq(lode_sdf_tier_at(sdf, 2.5f), LODE_TIER_HIGH);
    cr_assert_eq(lode_sdf_tier_at(sdf, 5.5f), LODE_TIER_MID);
    cr_assert_eq(lode_sdf_tier_at(sdf, 6), LODE_TIER_LOW);
    lode_sdf_destroy(sdf);
}

Test(sdf, option_structs_of_other_versions)
{
    struct {
        struct lode_sdf_opts known;
        uint32_t tail[4];
    } longer = {.known = LODE_SDF_OPTS_INIT};
    longer.known.size = sizeof(longer);
    longer.known.brick_dim = 16;
    struct lode_sdf *sdf = field_made(&longer.known);
    cr_assert_eq(lode_sdf_brick_bytes(sdf, 0, LODE_TIER_HIGH), 8192);
    lode_sdf_destroy(sdf);
    longer.tail[3] = 1;
    cr_assert_eq(refused(&longer.known), -E2BIG);
    struct lode_sdf_opts shorter = LODE_SDF_OPTS_INIT;
    shorter.size = 5; /* up to brick_dim */
    shorter.brick_dim = 4;
    shorter.channel_count = 99;
    sdf = field_made(&shorter);
    cr_assert_eq(lode_sdf_brick_bytes(sdf, 0, LODE_TIER_HIGH), 128);
    cr_assert_eq(lode_sdf_brick_bytes(sdf, 1, LODE_TIER_HIGH), 0);
    lode_sdf_destroy(sdf);
    shorter.size = 3;
    cr_assert_eq(refused(&shorter), -EINVAL);
}

Test(sdf, brick_options_of_other_versions)
{
    struct lode_sdf *sdf = field_made(NULL);
    struct {
        struct lode_brick_opts known;
        uint32_t tail;
    } longer = {.known = {.size = sizeof(longer), .tier = 1 + LODE_TIER_LOW}, .tail = 1};
    float values[512] = {0};
    lode_handle brick = 77;
    cr_assert_eq(lode_sdf_store(sdf, 0, AT(0, 0, 0), values, &longer.known, &brick), -E2BIG);
    cr_assert_eq(brick, 77);
    cr_assert_eq(field_bricks(sdf), 0);
    longer.tail = 0;
    cr_assert_eq(lode_sdf_store(sdf, 0, AT(0, 0, 0), values, &longer.known, &brick), 0);
    cr_assert_eq(info_of(sdf, brick).tier, LODE_TIER_LOW);
    longer.known.size = 6; /* only the material */
    cr_assert_eq(lode_sdf_store(sdf, 0, AT(0, 0, 0), values, &longer.known, &brick), 0);
    cr_assert_eq(info_of(sdf, brick).tier, LODE_TIER_HIGH);
    longer.known.size = 0;
    cr_assert_eq(lode_sdf_store(sdf, 0, AT(0, 0, 0), values, &longer.known, &brick), -EINVAL);
    lode_sdf_destroy(sdf);
}

Test(sdf, brick_sizes)
{
    static const uint8_t dims[] = {4, 8, 16};
    for (unsigned d = 0; d < 3; d++) {
        struct lode_sdf_opts o = LODE_SDF_OPTS_INIT;
        size_t voxels = (size_t)dims[d] * dims[d] * dims[d];
        o.brick_dim = dims[d];
        o.channel_count = 3;
        o.formats[1] = LODE_CHANNEL_RAW8;
        o.formats[2] = LODE_CHANNEL_RAW16;
        struct lode_sdf *sdf = field_made(&o);
        for (unsigned t = 0; t < LODE_TIER_COUNT; t++) {
            size_t bytes = voxels * (16u >> t) / 8;
            cr_assert_eq(lode_sdf_brick_bytes(sdf, 0, (enum lode_tier)t), bytes < 64 ? 64 : bytes);
        }
        cr_assert_eq(lode_sdf_brick_bytes(sdf, 1, LODE_TIER_LOW), voxels);
        cr_assert_eq(lode_sdf_brick_bytes(sdf, 2, LODE_TIER_LOW), voxels * 2);
        lode_sdf_destroy(sdf);
    }
}

static int find_by_name(void *ctx, struct lode_heap *heap, const char *name, uint16_t tag,
                        enum lode_kind kind)
{
    struct lode_sdf *sdf = ctx;
    static const char *const names[] = {"crust.high", "crust.mid", "crust.low", "crust.raw"};
    (void)kind;
    for (unsigned t = 0; t <= LODE_TIER_COUNT; t++)
        if (heap == lode_sdf_heap(sdf, t)) {
            cr_assert_str_eq(name, names[t]);
            cr_assert_eq(tag, 21 + t);
        }
    return 0;
}

/* A tier's bytes by tag are its heap's bytes, and the blocks in it its bricks. */
Test(sdf, every_tier_is_a_heap_with_a_tag)
{
    struct lode_sdf_opts o = LODE_SDF_OPTS_INIT;
    o.channel_count = 2;
    o.formats[1] = LODE_CHANNEL_RAW8;
    for (unsigned t = 0; t < LODE_TIER_COUNT; t++)
        o.tags[t] = (uint16_t)(21 + t);
    o.raw_tag = 24;
    o.name = "crust";
    struct lode_sdf *sdf = field_made(&o);
    (void)lode_heaps_enumerate(find_by_name, sdf);
    lode_handle brick;
    for (int i = 0; i < 300; i++) {
        cr_assert_eq(lode_sdf_brick_alloc(sdf, 0, AT(i, -i, 3), (enum lode_tier)(i % 3), &brick),
                     0);
        struct lode_block_info block;
        cr_assert_eq(lode_block_find(lode_peek(brick), &block), 0);
        cr_assert_eq(block.tag, 21 + i % 3);
        cr_assert_eq(block.heap, lode_sdf_heap(sdf, (unsigned)i % 3));
        cr_assert_eq((uintptr_t)block.start % 64, 0);
        cr_assert_eq(lode_sdf_brick_alloc(sdf, 1, AT(i, -i, 3), LODE_TIER_HIGH, &brick), 0);
    }
    struct lode_sdf_stats s = field_stats(sdf);
    const struct lode_tier_stats *tiers[] = {&s.tiers[0], &s.tiers[1], &s.tiers[2], &s.raw};
    for (unsigned t = 0; t <= LODE_TIER_COUNT; t++) {
        struct lode_stats heap = heap_stats(sdf, t);
        cr_assert_eq(tiers[t]->bricks, t < LODE_TIER_COUNT ? 100 : 300);
        cr_assert_eq(heap.live_blocks, tiers[t]->bricks);
        cr_assert_eq(heap.in_use_bytes, tiers[t]->brick_bytes);
        cr_assert_eq(heap.mapped_bytes, tiers[t]->mapped_bytes);
    }
    lode_sdf_destroy(sdf);
}

struct region {
    const struct lode_sdf *sdf;
    int seen;
    struct lode_allocator_stats stats;
};

static int find_region(void *ctx, const struct lodei_registered *entry,
                       const struct lode_allocator_stats *stats)
{
    struct region *region = ctx;
    if (entry->object != region->sdf)
        return 0;
    cr_assert_str_eq(entry->type, "sdf");
    cr_assert_str_eq(entry->name, "a field with a long nam");
    region->seen++;
    region->stats = *stats;
    return 0;
}

/* ---- bricks ---- */

Test(sdf, coordinates_are_21_bits_signed)
{
    static const int32_t in[] = {RANGE_MIN, RANGE_MAX, -1, 0};
    static const int32_t out[] = {RANGE_MIN - 1, RANGE_MAX + 1, INT32_MIN, INT32_MAX};
    struct lode_sdf *sdf = field_of_two();
    float values[512] = {0};
    lode_handle brick, found = 77;
    for (unsigned i = 0; i < 64; i++) {
        struct lode_ivec3 at = AT(in[i % 4], in[i / 4 % 4], in[i / 16]);
        cr_assert_eq(lode_sdf_brick_alloc(sdf, 0, at, LODE_TIER_LOW, &brick), 0);
        cr_assert_eq(lode_sdf_find(sdf, 0, at, &found), 0);
        cr_assert_eq(found, brick);
        struct lode_brick_info info = info_of(sdf, brick);
        cr_assert_eq(memcmp(&info.at, &at, sizeof(at)), 0);
    }
    cr_assert_eq(field_bricks(sdf), 64);
    found = 77;
    for (unsigned axis = 0; axis < 3; axis++)
        for (unsigned i = 0; i < 4; i++) {
            struct lode_ivec3 at =
                AT(axis == 0 ? out[i] : 5, axis == 1 ? out[i] : 5, axis == 2 ? out[i] : 5);
            struct lode_cursor cursor = {0};
            cr_assert_eq(lode_sdf_brick_alloc(sdf, 0, at, LODE_TIER_LOW, &found), -ERANGE);
            cr_assert_eq(lode_sdf_bricks_alloc(sdf, 1, &at, 1, LODE_TIER_LOW, &found), -ERANGE);
            cr_assert_eq(lode_sdf_store(sdf, 0, at, values, NULL, &found), -ERANGE);
            cr_assert_eq(lode_sdf_raw_store(sdf, 1, at, values, NULL, &found), -ERANGE);
            cr_assert_eq(lode_sdf_find(sdf, 0, at, &found), -ERANGE);
            cr_assert_eq(lode_sdf_decode_apron(sdf, 0, at, 0, values), -ERANGE);
            cr_assert_eq(lode_read_begin(), 0);
            cr_assert_eq(lode_cursor_move(&cursor, sdf, 0, at), -ERANGE);
            lode_read_end();
            cr_assert_null(cursor.sdf, "the cursor was written");
        }
    cr_assert_eq(found, 77);
    cr_assert_eq(field_bricks(sdf), 64);
    lode_sdf_destroy(sdf);
}

Test(sdf, wrong_channels_and_tiers)
{
    struct lode_sdf *sdf = field_of_two();
    float values[512] = {0};
    uint16_t elements[512] = {0};
    struct lode_brick_opts bad_tier = {.size = sizeof(bad_tier), .tier = 4},
                           bad_priority = {.size = sizeof(bad_priority), .priority = 4};
    lode_handle got = 77, raw, brick = brick_of(sdf, AT(0, 0, 0), 1, LODE_TIER_HIGH);
    struct lode_ivec3 at = AT(1, 0, 0);
    cr_assert_eq(lode_sdf_raw_store(sdf, 1, AT(0, 0, 0), elements, NULL, &raw), 0);
    for (unsigned channel = 2; channel < 5; channel++) {
        cr_assert_eq(lode_sdf_brick_alloc(sdf, channel, at, LODE_TIER_HIGH, &got), -EINVAL);
        cr_assert_eq(lode_sdf_bricks_alloc(sdf, channel, &at, 1, LODE_TIER_HIGH, &got), -EINVAL);
        cr_assert_eq(lode_sdf_store(sdf, channel, at, values, NULL, &got), -EINVAL);
        cr_assert_eq(lode_sdf_raw_store(sdf, channel, at, values, NULL, &got), -EINVAL);
        cr_assert_eq(lode_sdf_find(sdf, channel, AT(0, 0, 0), &got), -EINVAL);
    }
    cr_assert_eq(lode_sdf_brick_alloc(sdf, 0, at, (enum lode_tier)3, &got), -EINVAL);
    cr_assert_eq(lode_sdf_brick_alloc(sdf, 0, at, (enum lode_tier) - 1, &got), -EINVAL);
    cr_assert_eq(lode_sdf_store(sdf, 1, at, values, NULL, &got), -EINVAL, "a raw channel");
    cr_assert_eq(lode_sdf_raw_store(sdf, 0, at, elements, NULL, &got), -EINVAL, "no raw channel");
    cr_assert_eq(lode_sdf_store(sdf, 0, at, values, &bad_tier, &got), -EINVAL);
    cr_assert_eq(lode_sdf_store(sdf, 0, at, values, &bad_priority, &got), -EINVAL);
    cr_assert_eq(lode_sdf_raw_store(sdf, 1, at, elements, &bad_priority, &got), -EINVAL);
    cr_assert_eq(lode_sdf_retier(sdf, brick, (enum lode_tier)3), -EINVAL);
    cr_assert_eq(lode_sdf_retier(sdf, raw, LODE_TIER_LOW), -EINVAL);
    cr_assert_eq(lode_sdf_encode(sdf, raw, values), -EINVAL);
    cr_assert_eq(lode_sdf_decode(sdf, raw, values), -EINVAL);
    cr_assert_eq(lode_sdf_raw_read(sdf, brick, elements), -EINVAL);
    cr_assert_eq(lode_sdf_priority_set(sdf, brick, (enum lode_brick_priority)4), -EINVAL);
    cr_assert_eq(info_of(sdf, brick).tier, LODE_TIER_HIGH);
    cr_assert_eq(info_of(sdf, brick).priority, LODE_PRIORITY_NORMAL);
    cr_assert_eq(got, 77);
    cr_assert_eq(field_bricks(sdf), 2);
    cr_assert_eq(field_stats(sdf).groups, 2);
    lode_sdf_destroy(sdf);
}

static int keep(void *ctx, float *values)
{
    (void)values;
    ++*(int *)ctx;
    return 0;
}

/* What every call that takes a handle says of one that is not live here. */
static void refuses_handle(struct lode_sdf *sdf, lode_handle brick, int wanted, int wanted_sdf,
                           int wanted_raw)
{
    float values[512] = {0};
    uint16_t elements[512];
    struct lode_brick_info info;
    struct lode_view view = {0};
    int edits = 0;
    memset(&info, 77, sizeof(info));
    elements[0] = 77;
    cr_assert_eq(lode_sdf_brick_free(sdf, brick), wanted);
    cr_assert_eq(lode_sdf_bricks_free(sdf, &brick, 1), wanted);
    cr_assert_eq(lode_sdf_brick_info(sdf, brick, &info), wanted);
    cr_assert_eq(info.channel, 77 * 257);
    cr_assert_eq(lode_sdf_priority_set(sdf, brick, LODE_PRIORITY_CRITICAL), wanted);
    cr_assert_eq(lode_sdf_encode(sdf, brick, values), wanted_sdf);
    cr_assert_eq(lode_sdf_decode(sdf, brick, values), wanted_sdf);
    cr_assert_eq(lode_sdf_edit(sdf, brick, keep, &edits), wanted_sdf);
    cr_assert_eq(edits, 0);
    cr_assert_eq(lode_sdf_retier(sdf, brick, LODE_TIER_LOW), wanted_sdf);
    cr_assert_eq(lode_sdf_retier(sdf, brick, LODE_TIER_HIGH), wanted_sdf);
    cr_assert_eq(lode_view_begin(sdf, brick, &view), wanted_sdf);
    cr_assert_null(view.entry);
    cr_assert_eq(lode_sdf_raw_read(sdf, brick, elements), wanted_raw);
    cr_assert_eq(elements[0], 77);
}

Test(sdf, stale_handles_are_found)
{
    struct lode_sdf *sdf = field_of_two();
    uint16_t elements[512] = {0};
    lode_handle brick = brick_of(sdf, AT(3, 3, 3), 1, LODE_TIER_HIGH), raw, again;
    cr_assert_eq(lode_sdf_brick_free(sdf, brick), 0);
    refuses_handle(sdf, brick, -ESTALE, -ESTALE, -EINVAL);
    again = brick_of(sdf, AT(3, 3, 3), 2, LODE_TIER_HIGH);
    cr_assert_neq(again, brick);
    refuses_handle(sdf, brick, -ESTALE, -ESTALE, -EINVAL);
    cr_assert_eq(info_of(sdf, again).priority, LODE_PRIORITY_NORMAL);
    cr_assert_eq(lode_sdf_raw_store(sdf, 1, AT(3, 3, 3), elements, NULL, &raw), 0);
    cr_assert_eq(lode_sdf_brick_free(sdf, raw), 0);
    cr_assert_eq(lode_sdf_brick_free(sdf, raw), -ESTALE);
    cr_assert_eq(lode_sdf_raw_read(sdf, raw, elements), -ESTALE);
    cr_assert_eq(lode_sdf_trim(sdf), 1);
    refuses_handle(sdf, raw, -ESTALE, -EINVAL, -ESTALE);
    lode_sdf_destroy(sdf);
}

Test(sdf, bricks_of_others_are_refused)
{
    struct lode_sdf *sdf = field_of_two(), *other = field_of_two();
    lode_handle mine = brick_of(sdf, AT(0, 0, 0), 1, LODE_TIER_HIGH),
                theirs = brick_of(other, AT(0, 0, 0), 1, LODE_TIER_HIGH);
    static const lode_handle never[] = {(uint64_t)1 << 32 | 0xfffffff0, 0xffffffffffffffff,
                                        (uint64_t)1 << 32 | 0x00ffffff};
    refuses_handle(sdf, theirs, -EINVAL, -EINVAL, -EINVAL);
    refuses_handle(other, mine, -EINVAL, -EINVAL, -EINVAL);
    refuses_handle(sdf, LODE_HANDLE_NULL, -EINVAL, -EINVAL, -EINVAL);
    refuses_handle(other, LODE_HANDLE_NULL, -EINVAL, -EINVAL, -EINVAL);
    for (unsigned i = 0; i < 3; i++)
        refuses_handle(sdf, never[i], -EINVAL, -EINVAL, -EINVAL);
    cr_assert_eq(field_bricks(sdf), 1);
    cr_assert_eq(field_bricks(other), 1);
    cr_assert_eq(lode_sdf_brick_free(other, theirs), 0);
    lode_sdf_destroy(other);
    cr_assert_not(lode_handle_is_live(theirs));
    cr_assert(lode_handle_is_live(mine));
    lode_sdf_destroy(sdf);
    cr_assert_not(lode_handle_is_live(mine));
}

Test(sdf, a_place_has_one_brick_a_channel)
{
    struct lode_sdf *sdf = field_of_two();
    lode_handle brick, raw, got = 77;
    cr_assert_eq(lode_sdf_brick_alloc(sdf, 0, AT(-1, 2, 3), LODE_TIER_MID, &brick), 0);
    cr_assert_eq(lode_sdf_brick_alloc(sdf, 0, AT(-1, 2, 3), LODE_TIER_LOW, &got), -EEXIST);
    cr_assert_eq(got, 77);
    cr_assert_eq(info_of(sdf, brick).tier, LODE_TIER_MID);
    cr_assert_eq(lode_sdf_brick_alloc(sdf, 1, AT(-1, 2, 3), LODE_TIER_LOW, &raw), 0);
    cr_assert_neq(raw, brick);
    cr_assert_eq(info_of(sdf, raw).channel, 1);
    cr_assert_eq(info_of(sdf, raw).bytes, 1024);
    cr_assert_eq(heap_stats(sdf, LODE_TIER_LOW).live_blocks, 0, "the refused one's block is lost");
    lode_sdf_destroy(sdf);
}

Test(sdf, max_bricks_counts_all_channels)
{
    struct lode_sdf_opts o = LODE_SDF_OPTS_INIT;
    o.channel_count = 2;
    o.formats[1] = LODE_CHANNEL_RAW8;
    o.max_bricks = 3;
    struct lode_sdf *sdf = field_made(&o);
    float values[512] = {0};
    uint8_t elements[512] = {0};
    lode_handle bricks[3], got = 77;
    struct lode_brick_box window = {{0, 0, 0}, {0, 9, 9}};
    bricks[0] = brick_of(sdf, AT(0, 0, 0), 1, LODE_TIER_HIGH);
    cr_assert_eq(lode_sdf_raw_store(sdf, 1, AT(0, 0, 0), elements, NULL, &bricks[1]), 0);
    cr_assert_eq(lode_sdf_brick_alloc(sdf, 0, AT(1, 0, 0), LODE_TIER_LOW, &bricks[2]), 0);
    cr_assert_eq(lode_sdf_brick_alloc(sdf, 0, AT(20, 0, 0), LODE_TIER_LOW, &got), -ENOSPC);
    cr_assert_eq(lode_sdf_store(sdf, 0, AT(20, 0, 0), values, NULL, &got), -ENOSPC);
    cr_assert_eq(lode_sdf_raw_store(sdf, 1, AT(20, 0, 0), elements, NULL, &got), -ENOSPC);
    cr_assert_eq(got, 77);
    cr_assert_eq(field_bricks(sdf), 3);
    cr_assert_eq(field_stats(sdf).groups, 2, "the index grew for a brick that was refused");
    /* what is there can be stored to, moved and edited all the same */
    cr_assert_eq(lode_sdf_store(sdf, 0, AT(0, 0, 0), values, NULL, &got), 0);
    cr_assert_eq(got, bricks[0]);
    cr_assert_eq(lode_sdf_retier(sdf, got, LODE_TIER_MID), 0);
    /* room is made by every way a brick can go */
    cr_assert_eq(lode_sdf_window_move(sdf, &window, NULL), 0);
    cr_assert_eq(lode_sdf_brick_alloc(sdf, 0, AT(0, 1, 0), LODE_TIER_LOW, &got), 0);
    cr_assert_eq(lode_sdf_brick_alloc(sdf, 0, AT(0, 2, 0), LODE_TIER_LOW, &got), -ENOSPC);
    cr_assert_eq(lode_sdf_evict(sdf, 1, NULL, NULL), 512);
    cr_assert_eq(lode_sdf_brick_alloc(sdf, 0, AT(0, 2, 0), LODE_TIER_LOW, &got), 0);
    cr_assert_eq(lode_sdf_brick_free(sdf, got), 0);
    cr_assert_eq(lode_sdf_brick_alloc(sdf, 0, AT(0, 3, 0), LODE_TIER_LOW, &got), 0);
    lode_sdf_destroy(sdf);
}

Test(sdf, many_at_once_are_all_or_none)
{
    struct lode_sdf_opts o = LODE_SDF_OPTS_INIT;
    o.max_bricks = 40;
    struct lode_sdf *sdf = field_made(&o);
    struct lode_ivec3 at[50];
    lode_handle bricks[50];
    for (int i = 0; i < 50; i++)
        at[i] = AT(i * 3, -i, i / 2);
    cr_assert_eq(lode_sdf_bricks_alloc(sdf, 0, at, 50, LODE_TIER_HIGH, bricks), -ENOSPC);
    cr_assert_eq(field_bricks(sdf), 0);
    at[9] = at[4];
    cr_assert_eq(lode_sdf_bricks_alloc(sdf, 0, at, 20, LODE_TIER_HIGH, bricks), -EEXIST);
    cr_assert_eq(field_bricks(sdf), 0);
    at[9].y = INT32_MAX;
    cr_assert_eq(lode_sdf_bricks_alloc(sdf, 0, at, 20, LODE_TIER_HIGH, bricks), -ERANGE);
    cr_assert_eq(field_bricks(sdf), 0);
    cr_assert_eq(heap_stats(sdf, LODE_TIER_HIGH).live_blocks, 0);
    cr_assert_eq(lode_sdf_bricks_alloc(sdf, 0, at, 9, LODE_TIER_HIGH, bricks), 0);
    cr_assert_eq(lode_sdf_bricks_alloc(sdf, 0, at, 0, LODE_TIER_HIGH, bricks), 0);
    cr_assert_eq(field_bricks(sdf), 9);
    lode_handle twice[] = {bricks[0], bricks[1], bricks[1], 0, bricks[2]};
    cr_assert_eq(lode_sdf_bricks_free(sdf, twice, 5), -ESTALE, "the first error");
    cr_assert_eq(field_bricks(sdf), 6, "what comes after an error is freed all the same");
    cr_assert_eq(lode_sdf_bricks_free(sdf, bricks + 3, 6), 0);
    cr_assert_eq(lode_sdf_bricks_free(sdf, bricks, 0), 0);
    cr_assert_eq(field_bricks(sdf), 0);
    lode_sdf_destroy(sdf);
}

/* ---- figures ---- */

Test(sdf, stats_of_other_versions)
{
    struct lode_sdf *sdf = field_made(NULL);
    struct {
        struct lode_sdf_stats known;
        uint64_t tail;
    } longer = {.known = {.size = sizeof(longer)}, .tail = 77};
    (void)brick_of(sdf, AT(0, 0, 0), 1, LODE_TIER_HIGH);
    cr_assert_eq(lode_sdf_stats(sdf, &longer.known), 0);
    cr_assert_eq(longer.tail, 77);
    cr_assert_eq(longer.known.tiers[0].bricks, 1);
    struct lode_sdf_stats shorter = {.size = 16, .tiers[0].brick_bytes = 77};
    cr_assert_eq(lode_sdf_stats(sdf, &shorter), 0);
    cr_assert_eq(shorter.tiers[0].bricks, 1);
    cr_assert_eq(shorter.tiers[0].brick_bytes, 77);
    shorter.size = 7;
    cr_assert_eq(lode_sdf_stats(sdf, &shorter), -EINVAL);
    lode_sdf_destroy(sdf);
}

Test(sdf, is_among_the_regions)
{
    struct lode_sdf_opts o = LODE_SDF_OPTS_INIT;
    o.name = "a field with a long name that goes on";
    struct lode_sdf *sdf = field_made(&o);
    struct region region = {.sdf = sdf};
    for (int i = 0; i < 10; i++)
        (void)brick_of(sdf, AT(i, 0, 0), 1, LODE_TIER_MID);
    cr_assert_eq(lodei_registry_each(find_region, &region), 0);
    cr_assert_eq(region.seen, 1);
    cr_assert_eq(region.stats.blocks, 10);
    cr_assert_eq(region.stats.used_bytes, 5120);
    cr_assert_geq(region.stats.mapped_bytes, heap_stats(sdf, LODE_TIER_MID).mapped_bytes);
    lode_sdf_destroy(sdf);
    cr_assert_eq(lodei_registry_each(find_region, &region), 0);
    cr_assert_eq(region.seen, 1, "it is still there");
}

Test(sdf, any_order_of_operations)
{
    static struct model m;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        uint64_t state = seed;
        model_create(&m, seed % 3 == 0 ? 8 : 4, AT(-2, 0, RANGE_MIN), seed % 4 == 0 ? 60 : 0);
        for (int i = 0; i < 1500; i++) {
            state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            unsigned r = (unsigned)(state >> 33), place = r % MODEL_BRICKS, channel = r / 128 % 5;
            channel = channel > 2 ? 0 : channel;
            r /= 1024;
            if (r % 8 < 4)
                model_store(&m, channel, place, r / 8 % 4, r / 32 % 4, r / 128 % 4, state);
            else if (r % 8 == 4)
                model_free(&m, channel, place);
            else if (r % 8 == 5)
                model_retier(&m, channel, place, r / 8 % 3);
            else if (r % 8 == 6)
                model_edit(&m, place, state >> 20);
            else if (r % 64 == 7)
                model_band(&m, r / 64 % 4, (float)(1 + r / 256 % 7));
            else
                model_look(&m, channel, place);
        }
        for (unsigned p = 0; p < MODEL_BRICKS; p++)
            for (unsigned c = 0; c < MODEL_CHANNELS; c++)
                model_look(&m, c, p);
        model_stats(&m);
        model_destroy(&m);
    }
}
