/* SPDX-License-Identifier: MIT */
/* Fields: payloads in place, many bricks stored at once, and many that leave a window or a box. */
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

/* ---- many at once ---- */

enum { SIDE = 8, PLACES = SIDE * SIDE * SIDE };

static uint32_t below(uint64_t *state, uint32_t limit)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((*state >> 33) % limit);
}

static struct lode_ivec3 place(unsigned number)
{
    return (struct lode_ivec3){(int32_t)(number % SIDE) - 3, (int32_t)(number / SIDE % SIDE) - 5,
                               (int32_t)(number / SIDE / SIDE)};
}

/* What is stored at each place: the byte its payload is full of, and its tier; 0: nothing. */
struct stored {
    uint8_t fill[2][PLACES], tier[PLACES];
};

static void compare(struct lode_sdf *field, const struct stored *stored)
{
    for (unsigned channel = 0; channel < 2; channel++)
        for (unsigned i = 0; i < PLACES; i++) {
            lode_handle brick;
            int status = lode_sdf_find(field, channel, place(i), &brick);
            cr_assert_eq(status, stored->fill[channel][i] != 0 ? 0 : -ENOENT);
            if (status != 0)
                continue;
            struct lode_brick_info info;
            const uint8_t *block = lode_peek(brick);
            cr_assert_eq(lode_sdf_brick_info(field, brick, &info), 0);
            cr_assert(channel == 1 || info.tier == stored->tier[i] - 1);
            cr_assert(block[0] == stored->fill[channel][i] &&
                      block[info.bytes - 1] == stored->fill[channel][i]);
        }
}

/* Some of them twice, and over what is there. */
Test(sdfbulk, many_are_stored_as_one_after_the_other)
{
    static uint8_t payloads[16][2 * VOXELS];
    static struct stored stored;
    struct lode_sdf *field = make();
    uint64_t state = 5;
    for (unsigned i = 1; i < 16; i++)
        memset(payloads[i], (int)i, sizeof(payloads[i]));
    for (int turn = 0; turn < 60; turn++) {
        struct lode_sdf_item items[100];
        lode_handle handles[100];
        unsigned channel = below(&state, 2);
        size_t count = below(&state, 101);
        for (size_t i = 0; i < count; i++) {
            unsigned where = below(&state, PLACES), fill = 1 + below(&state, 15);
            items[i] = (struct lode_sdf_item){.at = place(where),
                                              .tier = (uint8_t)(1 + below(&state, 3)),
                                              .payload = payloads[fill]};
            stored.fill[channel][where] = (uint8_t)fill;
            if (channel == 0)
                stored.tier[where] = items[i].tier;
        }
        cr_assert_eq(
            lode_sdf_store_many(field, channel, items, count, turn % 7 != 0 ? handles : NULL), 0);
        for (size_t i = 0; i < count && turn % 7 != 0; i++) {
            lode_handle found;
            cr_assert_eq(lode_sdf_find(field, channel, items[i].at, &found), 0);
            cr_assert_eq(handles[i], found);
        }
        compare(field, &stored);
    }
    lode_sdf_destroy(field);
}

Test(sdfbulk, what_cannot_be_stored_is_left_out)
{
    static const uint8_t payload[2 * VOXELS];
    struct lode_sdf_opts opts = LODE_SDF_OPTS_INIT;
    struct lode_sdf *field;
    struct lode_brick_box window = {{0, 0, 0}, {9, 9, 9}};
    struct lode_sdf_item items[] = {{.at = {0, 0, 0}, .tier = 1, .payload = payload},
                                    {.at = {10, 0, 0}, .tier = 1, .payload = payload},
                                    {.at = {1, 0, 0}, .tier = 0, .payload = payload},
                                    {.at = {2, 0, 0}, .tier = 4, .payload = payload},
                                    {.at = {3, 0, 0}, .tier = 1, .priority = 4, .payload = payload},
                                    {.at = {4, 0, 0}, .tier = 3, .payload = payload},
                                    {.at = {5, 0, 0}, .tier = 3, .payload = payload}};
    lode_handle bricks[7] = {7, 7, 7, 7, 7, 7, 7};
    opts.channel_count = 2;
    opts.formats[1] = LODE_CHANNEL_RAW16;
    opts.max_bricks = 2;
    cr_assert_eq(lode_sdf_create(&opts, &field), 0);
    cr_assert_eq(lode_sdf_window_move(field, &window, NULL), 0);
    cr_assert_eq(lode_sdf_store_many(field, 2, items, 1, bricks), -EINVAL);
    cr_assert_eq(bricks[0], 7);
    cr_assert_eq(lode_sdf_store_many(field, 0, items, 7, bricks), -ERANGE, "the first error");
    for (int i = 0; i < 7; i++)
        cr_assert_eq(bricks[i] != LODE_HANDLE_NULL, i == 0 || i == 5);
    cr_assert_eq(lode_sdf_store_many(field, 0, &items[2], 5, bricks), -EINVAL);
    cr_assert_eq(lode_sdf_store_many(field, 0, &items[5], 2, bricks), -ENOSPC);
    cr_assert(bricks[0] != LODE_HANDLE_NULL && bricks[1] == LODE_HANDLE_NULL);
    cr_assert_eq(live_blocks(field), 2);
    cr_assert_eq(lode_sdf_store_many(field, 0, NULL, 0, NULL), 0);
    lode_sdf_destroy(field);
}

Test(sdfbulk, many_are_freed_and_the_first_error_told)
{
    struct lode_sdf *field = make(), *other = make();
    struct lode_ivec3 at[PLACES];
    lode_handle bricks[PLACES + 2];
    for (unsigned i = 0; i < PLACES; i++)
        at[i] = place(i);
    cr_assert_eq(lode_sdf_bricks_alloc(field, 0, at, PLACES, LODE_TIER_MID, bricks), 0);
    cr_assert_not_null(lode_pin(bricks[9]));
    bricks[PLACES] = bricks[3]; /* a second time */
    cr_assert_eq(lode_sdf_brick_alloc(other, 0, at[0], LODE_TIER_LOW, &bricks[PLACES + 1]), 0);
    cr_assert_eq(lode_sdf_bricks_free(field, bricks, PLACES + 2), -ESTALE);
    cr_assert_eq(live_blocks(field), 1);
    cr_assert_eq(lode_unpin(bricks[9]), 0);
    cr_assert_eq(live_blocks(field), 0);
    cr_assert_eq(live_blocks(other), 1);
    lode_sdf_destroy(field);
    lode_sdf_destroy(other);
}

/* ---- boxes ---- */

Test(sdfbulk, boxes_are_emptied_and_nothing_else)
{
    static const uint8_t payload[2 * VOXELS] = {1};
    static struct stored stored;
    struct lode_sdf *field = make();
    uint64_t state = 11;
    for (int turn = 0; turn < 100; turn++) {
        for (int i = 0; i < 150; i++) {
            unsigned channel = below(&state, 2), where = below(&state, PLACES);
            struct lode_sdf_item item = {.at = place(where), .tier = 2, .payload = payload};
            uint8_t block[2 * VOXELS];
            memset(block, turn + 1, sizeof(block));
            item.payload = block;
            cr_assert_eq(lode_sdf_store_many(field, channel, &item, 1, NULL), 0);
            stored.fill[channel][where] = (uint8_t)(turn + 1);
            stored.tier[where] = channel == 0 ? 2 : stored.tier[where];
        }
        struct lode_brick_box box;
        struct lode_sdf_window_stats stats;
        uint32_t gone = 0;
        box.lo = place(below(&state, PLACES));
        box.hi = (struct lode_ivec3){box.lo.x + (int32_t)below(&state, 5),
                                     box.lo.y + (int32_t)below(&state, 5),
                                     box.lo.z + (int32_t)below(&state, 5)};
        for (unsigned c = 0; c < 2; c++)
            for (unsigned i = 0; i < PLACES; i++) {
                struct lode_ivec3 at = place(i);
                if (at.x < box.lo.x || at.x > box.hi.x || at.y < box.lo.y || at.y > box.hi.y ||
                    at.z < box.lo.z || at.z > box.hi.z)
                    continue;
                gone += stored.fill[c][i] != 0;
                stored.fill[c][i] = 0;
            }
        cr_assert_eq(lode_sdf_box_free(field, &box, &stats), 0);
        cr_assert_eq(stats.freed_bricks, gone);
        compare(field, &stored);
    }
    struct lode_brick_box all = {{-(1 << 20), -(1 << 20), -(1 << 20)},
                                 {(1 << 20) - 1, (1 << 20) - 1, (1 << 20) - 1}};
    struct lode_sdf_stats after = {.size = sizeof(after)};
    cr_assert_eq(lode_sdf_box_free(field, &all, NULL), 0);
    cr_assert_eq(live_blocks(field), 0);
    cr_assert_eq(lode_sdf_stats(field, &after), 0);
    cr_assert_eq(after.groups, 0, "what was empty is given back, too");
    lode_sdf_destroy(field);
}

Test(sdfbulk, boxes_that_are_none_are_refused)
{
    struct lode_sdf *field = make();
    struct lode_sdf_window_stats stats = {77, 0, 77};
    struct lode_brick_box bad[] = {{{1, 0, 0}, {0, 0, 0}},
                                   {{0, 0, INT32_MAX}, {0, 0, INT32_MIN}},
                                   {{-(1 << 20) - 1, 0, 0}, {9, 9, 9}},
                                   {{0, 0, 0}, {9, 1 << 20, 9}}};
    lode_handle brick;
    cr_assert_eq(lode_sdf_brick_alloc(field, 0, place(0), LODE_TIER_LOW, &brick), 0);
    for (unsigned i = 0; i < 4; i++)
        cr_assert_eq(lode_sdf_box_free(field, &bad[i], &stats), i < 2 ? -EINVAL : -ERANGE);
    cr_assert(stats.freed_bricks == 77 && stats.freed_bytes == 77);
    cr_assert(lode_handle_is_live(brick));
    lode_sdf_destroy(field);
}

/* A pinned brick goes like the others of its group, its block when the pin ends; the group is given
 * back after that. */
Test(sdfbulk, a_pinned_brick_in_a_box)
{
    struct lode_sdf *field = make();
    struct lode_brick_box box = {{0, 0, 0}, {1, 1, 1}};
    struct lode_sdf_window_stats stats;
    struct lode_sdf_stats after = {.size = sizeof(after)};
    lode_handle bricks[8], again;
    for (int i = 0; i < 8; i++)
        cr_assert_eq(lode_sdf_brick_alloc(field, 0, (struct lode_ivec3){i & 1, i >> 1 & 1, i >> 2},
                                          LODE_TIER_LOW, &bricks[i]),
                     0);
    cr_assert_not_null(lode_pin(bricks[5]));
    cr_assert_eq(lode_sdf_box_free(field, &box, &stats), 0);
    cr_assert_eq(stats.freed_bricks, 8);
    for (int i = 0; i < 8; i++)
        cr_assert_not(lode_handle_is_live(bricks[i]));
    cr_assert_eq(live_blocks(field), 1);
    cr_assert_eq(
        lode_sdf_brick_alloc(field, 0, (struct lode_ivec3){1, 0, 1}, LODE_TIER_LOW, &again), 0);
    cr_assert_eq(lode_unpin(bricks[5]), 0);
    cr_assert_eq(live_blocks(field), 1);
    cr_assert_eq(lode_sdf_box_free(field, &box, &stats), 0);
    cr_assert_eq(stats.freed_bricks, 1);
    cr_assert_eq(lode_sdf_stats(field, &after), 0);
    cr_assert_eq(after.groups, 0);
    lode_sdf_destroy(field);
}
