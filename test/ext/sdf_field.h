/* SPDX-License-Identifier: MIT */
/* Small fields for tests. */
#ifndef SDF_FIELD_H
#define SDF_FIELD_H

#include <criterion/criterion.h>

#include "lode/sdf.h"
#include "lode/stats.h"

#define AT(x, y, z) ((struct lode_ivec3){(x), (y), (z)})
#define RANGE_MIN   (-(1 << 20))
#define RANGE_MAX   ((1 << 20) - 1)

static inline struct lode_sdf *field_made(const struct lode_sdf_opts *opts)
{
    struct lode_sdf *sdf;
    cr_assert_eq(lode_sdf_create(opts, &sdf), 0);
    return sdf;
}

/* Two channels: distances, and 16 bits a voxel. */
static inline struct lode_sdf *field_of_two(void)
{
    struct lode_sdf_opts opts = LODE_SDF_OPTS_INIT;
    opts.channel_count = 2;
    opts.formats[1] = LODE_CHANNEL_RAW16;
    return field_made(&opts);
}

static inline struct lode_sdf_stats field_stats(struct lode_sdf *sdf)
{
    struct lode_sdf_stats stats = {.size = sizeof(stats)};
    cr_assert_eq(lode_sdf_stats(sdf, &stats), 0);
    return stats;
}

static inline struct lode_stats heap_stats(const struct lode_sdf *sdf, unsigned tier)
{
    struct lode_stats stats = {.size = sizeof(stats)};
    cr_assert_eq(lode_stats_get(lode_sdf_heap(sdf, tier), &stats), 0);
    return stats;
}

static inline uint64_t field_bricks(struct lode_sdf *sdf)
{
    struct lode_sdf_stats s = field_stats(sdf);
    return s.tiers[0].bricks + s.tiers[1].bricks + s.tiers[2].bricks + s.raw.bricks;
}

static inline void values_fill(float *values, unsigned voxels, float v)
{
    for (unsigned i = 0; i < voxels; i++)
        values[i] = v;
}

/* A brick of 8^3 with one value. */
static inline lode_handle brick_of(struct lode_sdf *sdf, struct lode_ivec3 at, float v,
                                   enum lode_tier tier)
{
    struct lode_brick_opts opts = {.size = sizeof(opts), .tier = (uint8_t)(1 + tier)};
    float values[512];
    lode_handle brick;
    values_fill(values, 512, v);
    cr_assert_eq(lode_sdf_store(sdf, 0, at, values, &opts, &brick), 0);
    return brick;
}

static inline struct lode_brick_info info_of(struct lode_sdf *sdf, lode_handle brick)
{
    struct lode_brick_info info;
    cr_assert_eq(lode_sdf_brick_info(sdf, brick, &info), 0);
    return info;
}

#endif
