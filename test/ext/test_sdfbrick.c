/* SPDX-License-Identifier: MIT */
/* What is in bricks (ext/sdfbrick.c): stored, edited, moved between tiers, pinned. */
#include "sdf_field.h"

#include <errno.h>
#include <math.h>
#include <string.h>

Test(sdfbrick, a_store_makes_or_replaces)
{
    struct lode_sdf *sdf = field_made(NULL);
    struct lode_brick_opts opts = {.size = sizeof(opts), .priority = LODE_PRIORITY_CRITICAL};
    float values[512], got[512];
    lode_handle brick, same;
    values_fill(values, 512, -2.5f);
    cr_assert_eq(lode_sdf_store(sdf, 0, AT(0, 0, 0), values, &opts, &brick), 0);
    cr_assert_eq(info_of(sdf, brick).tier, LODE_TIER_LOW, "by its least distance");
    cr_assert_eq(info_of(sdf, brick).priority, LODE_PRIORITY_CRITICAL);
    values[100] = -1.5f;
    cr_assert_eq(lode_sdf_store(sdf, 0, AT(0, 0, 0), values, NULL, &same), 0);
    cr_assert_eq(same, brick);
    cr_assert_eq(info_of(sdf, brick).tier, LODE_TIER_MID);
    cr_assert_eq(info_of(sdf, brick).priority, LODE_PRIORITY_NORMAL, "all is as opts say");
    values[7] = NAN;
    values[8] = -0.0f;
    values[9] = -100;
    values[10] = INFINITY;
    cr_assert_eq(lode_sdf_store(sdf, 0, AT(0, 0, 0), values, NULL, &same), 0);
    cr_assert_eq(info_of(sdf, brick).tier, LODE_TIER_HIGH);
    cr_assert_eq(lode_sdf_decode(sdf, brick, got), 0);
    float quantum = 8.0f / 65536;
    cr_assert_eq(got[7], 4 - quantum / 2);
    cr_assert_eq(got[8], quantum / 2);
    cr_assert_eq(got[9], -4 + quantum / 2);
    cr_assert_eq(got[10], 4 - quantum / 2);
    cr_assert(fabsf(got[100] + 1.5f) <= quantum / 2);
    cr_assert_eq(heap_stats(sdf, LODE_TIER_LOW).live_blocks, 0);
    cr_assert_eq(heap_stats(sdf, LODE_TIER_MID).live_blocks, 0);
    cr_assert_eq(heap_stats(sdf, LODE_TIER_HIGH).live_blocks, 1);
    lode_sdf_destroy(sdf);
}

Test(sdfbrick, retier_keeps_sign_and_bound)
{
    struct lode_sdf *sdf = field_made(NULL);
    float values[512], got[512];
    uint64_t state = 5;
    for (int i = 0; i < 512; i++) {
        state = state * UINT64_C(6364136223846793005) + 1;
        values[i] = (float)(int32_t)(state >> 32) / 400000000;
    }
    for (unsigned from = 0; from < 3; from++)
        for (unsigned to = 0; to < 3; to++) {
            struct lode_brick_opts opts = {.size = sizeof(opts), .tier = (uint8_t)(1 + from)};
            opts.priority = LODE_PRIORITY_IMPORTANT;
            lode_handle brick;
            cr_assert_eq(lode_sdf_store(sdf, 0, AT(1, 1, 1), values, &opts, &brick), 0);
            cr_assert_eq(lode_sdf_retier(sdf, brick, (enum lode_tier)to), 0);
            cr_assert_eq(lode_sdf_decode(sdf, brick, got), 0);
            cr_assert_eq(info_of(sdf, brick).tier, to);
            cr_assert_eq(info_of(sdf, brick).priority, LODE_PRIORITY_IMPORTANT);
            float half_a = 4.0f / (float)(1 << (16 >> from)),
                  half_b = 4.0f / (float)(1 << (16 >> to));
            for (int i = 0; i < 512; i++) {
                float inside = fmaxf(-4, fminf(4, values[i]));
                cr_assert(fabsf(got[i] - inside) <=
                          (from == to ? half_a : half_a + half_b) * 1.0001f);
                cr_assert_eq(got[i] < 0, values[i] < 0);
            }
        }
    struct lode_sdf_stats s = field_stats(sdf);
    for (unsigned t = 0; t < 3; t++)
        cr_assert_eq(s.tiers[t].retiered, 2, "to the tier it has does not count");
    cr_assert_eq(s.tiers[2].bricks, 1);
    lode_sdf_destroy(sdf);
}

struct failing {
    int status;
};

static int fails(void *ctx, float *values)
{
    values_fill(values, 512, 3);
    return ((struct failing *)ctx)->status;
}

Test(sdfbrick, an_edit_can_be_given_up)
{
    static const int statuses[] = {1, 42, -EIO, -EAGAIN, -ESTALE};
    struct lode_sdf *sdf = field_made(NULL);
    lode_handle brick = brick_of(sdf, AT(0, 0, 0), 1, LODE_TIER_HIGH);
    float before[512], after[512];
    cr_assert_eq(lode_sdf_decode(sdf, brick, before), 0);
    for (unsigned i = 0; i < 5; i++) {
        struct failing f = {statuses[i]};
        cr_assert_eq(lode_sdf_edit(sdf, brick, fails, &f), statuses[i]);
        cr_assert_eq(lode_sdf_decode(sdf, brick, after), 0);
        cr_assert_eq(memcmp(before, after, sizeof(before)), 0);
    }
    struct failing f = {0};
    cr_assert_eq(lode_sdf_edit(sdf, brick, fails, &f), 0);
    cr_assert_eq(lode_sdf_decode(sdf, brick, after), 0);
    cr_assert(fabsf(after[5] - 3) <= 4.0f / 65536);
    cr_assert_eq(heap_stats(sdf, LODE_TIER_HIGH).live_blocks, 1);
    lode_sdf_destroy(sdf);
}

Test(sdfbrick, raw_channels_keep_what_they_are_given)
{
    struct lode_sdf_opts o = LODE_SDF_OPTS_INIT;
    o.brick_dim = 4;
    o.channel_count = 3;
    o.formats[0] = LODE_CHANNEL_RAW8;
    o.formats[1] = LODE_CHANNEL_RAW16;
    struct lode_sdf *sdf = field_made(&o);
    uint8_t bytes[64], got8[65] = {0};
    uint16_t words[64], got16[65] = {0};
    lode_handle a, b, same;
    for (int i = 0; i < 64; i++) {
        bytes[i] = (uint8_t)(i * 7);
        words[i] = (uint16_t)(i * 1021);
    }
    cr_assert_eq(lode_sdf_raw_store(sdf, 0, AT(0, 0, 0), bytes, NULL, &a), 0);
    cr_assert_eq(lode_sdf_raw_store(sdf, 1, AT(0, 0, 0), words, NULL, &b), 0);
    cr_assert_eq(lode_sdf_raw_read(sdf, a, got8), 0);
    cr_assert_eq(lode_sdf_raw_read(sdf, b, got16), 0);
    cr_assert_eq(memcmp(bytes, got8, 64), 0);
    cr_assert_eq(memcmp(words, got16, 128), 0);
    cr_assert(got8[64] == 0 && got16[64] == 0, "more was written than there is");
    bytes[3]++;
    cr_assert_eq(lode_sdf_raw_store(sdf, 0, AT(0, 0, 0), bytes, NULL, &same), 0);
    cr_assert_eq(same, a);
    cr_assert_eq(lode_sdf_raw_read(sdf, a, got8), 0);
    cr_assert_eq(memcmp(bytes, got8, 64), 0);
    cr_assert_eq(field_stats(sdf).raw.bricks, 2);
    cr_assert_eq(field_stats(sdf).raw.brick_bytes, 64 + 128);
    lode_sdf_destroy(sdf);
}

Test(sdfbrick, a_pinned_version_stays)
{
    struct lode_sdf *sdf = field_made(NULL);
    lode_handle brick = brick_of(sdf, AT(0, 0, 0), 1, LODE_TIER_MID);
    const uint8_t *bytes = lode_pin(brick);
    uint8_t before = bytes[10];
    float values[512];
    values_fill(values, 512, -3);
    cr_assert_eq(lode_sdf_encode(sdf, brick, values), 0);
    cr_assert_eq(lode_sdf_retier(sdf, brick, LODE_TIER_LOW), 0);
    cr_assert_eq(lode_sdf_brick_free(sdf, brick), 0);
    cr_assert_eq(bytes[10], before);
    cr_assert_geq(heap_stats(sdf, LODE_TIER_MID).live_blocks, 1);
    cr_assert_eq(lode_unpin(brick), 0);
    cr_assert_eq(heap_stats(sdf, LODE_TIER_MID).live_blocks, 0);
    cr_assert_eq(heap_stats(sdf, LODE_TIER_LOW).live_blocks, 0);
    lode_sdf_destroy(sdf);
}
