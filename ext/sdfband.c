/* SPDX-License-Identifier: MIT */
/* Walks over the bricks of a channel: all, those in a box, those with voxels in the band. No lock
 * is held while a visitor runs; a brick that is gone by its turn is left out. */
#include <errno.h>
#include <string.h>

#include "ext/sdfpool.h"

#define VOXELS_MAX 4096

struct walk {
    struct lode_sdf *sdf;
    const struct lode_brick_box *box;
    lode_brick_visitor visit;
    void *ctx;
};

static int in_box(const struct lode_brick_box *box, const int32_t at[3])
{
    return box == NULL || (at[0] >= box->lo.x && at[0] <= box->hi.x && at[1] >= box->lo.y &&
                           at[1] <= box->hi.y && at[2] >= box->lo.z && at[2] <= box->hi.z);
}

static int walk_group(void *ctx, uint64_t key, uint32_t first)
{
    struct walk *walk = ctx;
    for (unsigned lane = 0; lane < 8; lane++) {
        lode_handle brick = lodei_grid_handle(key, first, lane); /* visits may move the group on */
        int32_t at[3];
        lodei_grid_at(key, lane, at);
        if (brick == 0 || !in_box(walk->box, at))
            continue;
        int status = walk->visit(walk->ctx, brick, (struct lode_ivec3){at[0], at[1], at[2]});
        if (status != 0)
            return status;
    }
    return 0;
}

static int32_t limited(int32_t v)
{
    return v < LODEI_GRID_MIN ? LODEI_GRID_MIN : v > LODEI_GRID_MAX ? LODEI_GRID_MAX : v;
}

int lode_sdf_each(struct lode_sdf *sdf, unsigned channel, const struct lode_brick_box *box,
                  lode_brick_visitor visit, void *ctx)
{
    struct walk walk = {sdf, box, visit, ctx};
    if (channel >= sdf->channel_count)
        return -EINVAL;
    struct lodei_grid *grid = &sdf->channels[channel].grid;
    if (box == NULL)
        return lodei_grid_each(grid, NULL, NULL, walk_group, &walk);
    const int32_t lo[3] = {limited(box->lo.x), limited(box->lo.y), limited(box->lo.z)};
    const int32_t hi[3] = {limited(box->hi.x), limited(box->hi.y), limited(box->hi.z)};
    return lodei_grid_each(grid, lo, hi, walk_group, &walk);
}

struct band_walk {
    struct lode_sdf *sdf;
    float width;
    lode_band_visitor visit;
    void *ctx;
};

static int band_brick(void *ctx, lode_handle brick, struct lode_ivec3 at)
{
    struct band_walk *walk = ctx;
    float values[VOXELS_MAX];
    uint64_t voxels[VOXELS_MAX / 64] = {0};
    struct lode_band_brick found = {.brick = brick, .at = at, .values = values, .voxels = voxels};
    int status = lode_sdf_decode(walk->sdf, brick, values);
    if (status != 0)
        return status == -ESTALE ? 0 : status;
    for (uint32_t i = 0; i < walk->sdf->voxels; i++)
        if (__builtin_fabsf(values[i]) < walk->width) {
            voxels[i / 64] |= (uint64_t)1 << i % 64;
            found.voxel_count++;
        }
    return found.voxel_count != 0 ? walk->visit(walk->ctx, &found) : 0;
}

int lode_sdf_band_each(struct lode_sdf *sdf, unsigned channel, const struct lode_brick_box *box,
                       float width, lode_band_visitor visit, void *ctx)
{
    struct band_walk walk = {sdf, width, visit, ctx};
    if (channel >= sdf->channel_count || sdf->channels[channel].format != LODE_CHANNEL_SDF)
        return -EINVAL;
    return lode_sdf_each(sdf, channel, box, band_brick, &walk);
}
