/* SPDX-License-Identifier: MIT */
/* Fields: payloads in place, and many bricks that leave a window at once. */
#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

#include "lode/sdf.h"
#include "lode/stats.h"

enum { VOXELS = 512 };

static struct lode_sdf *make(void)
{
    struct lode_sdf_opts opts = LODE_SDF_OPTS_INIT;
    struct lode_sdf *field = NULL;
    opts.channel_count = 2;
    opts.formats[1] = LODE_CHANNEL_RAW8;
    cr_assert_eq(lode_sdf_create(&opts, &field), 0);
    return field;
}

Test(sdfbulk, a_payload_in_place_is_what_decoding_says)
{
    struct lode_sdf *field = make();
    float values[VOXELS], decoded[VOXELS], unpacked[VOXELS];
    for (int i = 0; i < VOXELS; i++)
        values[i] = (float)(i - 200) / 64;
    for (unsigned tier = 0; tier < LODE_TIER_COUNT; tier++) {
        struct lode_brick_opts opts = {.size = sizeof(opts), .tier = (uint8_t)(1 + tier)};
        struct lode_ivec3 at = {(int32_t)tier, 0, 0};
        lode_handle brick;
        cr_assert_eq(lode_sdf_store(field, 0, at, values, &opts, &brick), 0);
        cr_assert_eq(lode_sdf_decode(field, brick, decoded), 0);
        cr_assert_eq(lode_sdf_unpack(field, (enum lode_tier)tier, 4, lode_peek(brick), unpacked),
                     0);
        cr_assert_eq(memcmp(decoded, unpacked, sizeof(decoded)), 0);
        cr_assert_eq(lode_sdf_unpack(field, (enum lode_tier)tier, 0, lode_peek(brick), unpacked),
                     -EINVAL);
        cr_assert_eq(lode_sdf_unpack(field, LODE_TIER_COUNT, 4, lode_peek(brick), unpacked),
                     -EINVAL);
    }
    lode_sdf_destroy(field);
}

static uint64_t live_blocks(struct lode_sdf *field)
{
    uint64_t live = 0;
    for (unsigned t = 0; t <= LODE_TIER_COUNT; t++) {
        struct lode_stats heap = {.size = sizeof(heap)};
        cr_assert_eq(lode_stats_get(lode_sdf_heap(field, t), &heap), 0);
        live += heap.live_blocks;
    }
    return live;
}

/* More than are freed together, with a pinned one and a reader among them. */
Test(sdfbulk, what_leaves_the_window_is_gone)
{
    struct lode_sdf *field = make();
    static uint8_t elements[VOXELS];
    float values[VOXELS] = {1};
    struct lode_brick_box window = {{0, 0, 0}, {5, 15, 15}}, none = {{40, 40, 40}, {40, 40, 40}};
    struct lode_sdf_window_stats stats;
    lode_handle first = 0, brick;
    for (int i = 0; i < 16 * 16 * 16; i++) {
        struct lode_ivec3 at = {i % 16, i / 16 % 16, i / 256};
        cr_assert_eq(lode_sdf_store(field, 0, at, values, NULL, &brick), 0);
        first = i == 0 ? brick : first;
        cr_assert_eq(lode_sdf_raw_store(field, 1, at, elements, NULL, &brick), 0);
    }
    cr_assert_eq(lode_sdf_window_move(field, &window, &stats), 0);
    cr_assert_eq(stats.freed_bricks, 2 * 10 * 256);
    cr_assert_eq(live_blocks(field), 2 * 6 * 256);
    cr_assert_eq(lode_sdf_find(field, 0, (struct lode_ivec3){6, 0, 0}, &brick), -ENOENT);
    cr_assert_eq(lode_sdf_find(field, 1, (struct lode_ivec3){5, 15, 15}, &brick), 0);
    void *block = lode_pin(first);
    cr_assert_not_null(block);
    cr_assert_eq(lode_read_begin(), 0);
    cr_assert_eq(lode_sdf_window_move(field, &none, &stats), 0);
    cr_assert_eq(stats.freed_bricks, 2 * 6 * 256);
    cr_assert_gt(live_blocks(field), 1); /* they wait for this section */
    lode_read_end();
    struct lode_read_stats waiting;
    lode_read_stats(&waiting);
    cr_assert_eq(live_blocks(field), 1);
    cr_assert_eq(lode_unpin(first), 0);
    cr_assert_eq(live_blocks(field), 0);
    lode_sdf_destroy(field);
}
