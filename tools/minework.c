/* SPDX-License-Identifier: MIT */
/* Bricks made and dug; see minework.h. */
#include <math.h>
#include <string.h>

#include "minework.h"

static const float band = LODEI_MINE_BAND;

static float larger(float a, float b)
{
    return a > b ? a : b;
}

static float smaller(float a, float b)
{
    return a < b ? a : b;
}

/* Where a brick of the repeated world stands in the file. Its voxel v is voxel v ^ *ret_flip of
 * that: x, z or both run the other way. */
static const struct lodei_mine_source *find_source(const struct lodei_mine_world *world,
                                                   const int32_t at[3], unsigned *ret_flip)
{
    int32_t x = at[0] % LODEI_MINE_BRICKS_X, z = at[2] % LODEI_MINE_BRICKS_Z;

    *ret_flip = 0;
    if (at[0] / LODEI_MINE_BRICKS_X % 2) {
        x = LODEI_MINE_BRICKS_X - 1 - x;
        *ret_flip |= LODEI_MINE_SIDE - 1;
    }
    if (at[2] / LODEI_MINE_BRICKS_Z % 2) {
        z = LODEI_MINE_BRICKS_Z - 1 - z;
        *ret_flip |= (LODEI_MINE_SIDE - 1) * LODEI_MINE_SIDE * LODEI_MINE_SIDE;
    }
    return &world->bricks[(z * LODEI_MINE_BRICKS_Y + at[1]) * LODEI_MINE_BRICKS_X + x];
}

static const void *packed_of(const struct lodei_mine_packed *packed, uint8_t tier)
{
    switch (lodei_mine_bits[tier]) {
    case 16:
        return packed->bits16;
    case 8:
        return packed->bits8;
    default:
        return packed->bits4;
    }
}

/* The payload of a mirrored brick. Codes of fewer bits are the upper ones of codes of more. */
static const void *mirror_packed(const struct lodei_mine_packed *packed, uint8_t tier,
                                 unsigned flip, struct lodei_mine_brick *room)
{
    uint16_t codes[LODEI_MINE_VOXELS];

    for (unsigned i = 0; i < LODEI_MINE_VOXELS; i++)
        codes[i] = packed->bits16[i ^ flip];
    lodei_sdf_recode(16, band, codes, lodei_mine_bits[tier], band, room->packed, LODEI_MINE_SIDE);
    return room->packed;
}

static const uint8_t *mirror_contents(const uint8_t *contents, unsigned flip,
                                      struct lodei_mine_brick *room)
{
    for (unsigned i = 0; i < LODEI_MINE_VOXELS; i++)
        room->contents[i] = contents[i ^ flip];
    return room->contents;
}

struct lodei_mine_arrival lodei_mine_arrive(const struct lodei_mine_world *world,
                                            enum lodei_mine_channels channels, const int32_t at[3],
                                            int32_t tier, struct lodei_mine_brick *room)
{
    unsigned flip;
    const struct lodei_mine_source *source = find_source(world, at, &flip);
    struct lodei_mine_arrival arrival = {.content = source->contents[0],
                                         .inside = source->inside,
                                         .tier = tier < 0 ? source->tier : (uint8_t)tier,
                                         .with_distances = source->packed != NULL,
                                         .with_contents = source->mixed};

    if (channels == LODEI_MINE_DISTANCES) {
        arrival.with_contents = 0;
        arrival.content = source->inside ? world->rock : world->air;
    }
    if (channels == LODEI_MINE_NODES)
        return arrival;
    if (arrival.with_distances)
        arrival.distances = flip == 0 ? packed_of(source->packed, arrival.tier)
                                      : mirror_packed(source->packed, arrival.tier, flip, room);
    if (arrival.with_contents)
        arrival.contents =
            flip == 0 ? source->contents : mirror_contents(source->contents, flip, room);
    return arrival;
}

struct lodei_mine_box lodei_mine_reach(const struct lodei_mine_edit *edit,
                                       const struct lodei_mine_box *limit)
{
    struct lodei_mine_box box;

    for (int axis = 0; axis < 3; axis++) {
        float reach = edit->radius + band;
        float low = smaller(edit->from[axis], edit->to[axis]) - reach;
        float high = larger(edit->from[axis], edit->to[axis]) + reach;
        int32_t first = (int32_t)floorf(low / LODEI_MINE_SIDE);
        int32_t last = (int32_t)floorf(high / LODEI_MINE_SIDE);

        box.low[axis] = first > limit->low[axis] ? first : limit->low[axis];
        box.high[axis] = last < limit->high[axis] ? last + 1 : limit->high[axis];
    }
    return box;
}

/* Is a voxel centre of the brick nearer than `reach` to the edit's segment? */
static int near(const struct lodei_mine_edit *edit, const int32_t at[3], float reach)
{
    float square = 0;

    /* segments run along an axis: segment and voxel centres both are boxes */
    for (int axis = 0; axis < 3; axis++) {
        float low = (float)(at[axis] * LODEI_MINE_SIDE) + 0.5f;
        float below = low - larger(edit->from[axis], edit->to[axis]);
        float above = smaller(edit->from[axis], edit->to[axis]) - (low + LODEI_MINE_SIDE - 1);
        float gap = larger(larger(below, above), 0);

        square += gap * gap;
    }
    return square < reach * reach;
}

int lodei_mine_touches(const struct lodei_mine_edit *edit, const int32_t at[3])
{
    return near(edit, at, edit->radius + band);
}

static struct lodei_sdf_change cut(const struct lodei_mine_edit *edit, const int32_t at[3],
                                   float *distances)
{
    float from[3], to[3];

    for (int axis = 0; axis < 3; axis++) {
        from[axis] = edit->from[axis] - (float)(at[axis] * LODEI_MINE_SIDE);
        to[axis] = edit->to[axis] - (float)(at[axis] * LODEI_MINE_SIDE);
    }
    if (edit->tool == LODEI_MINE_DRILL)
        return lodei_sdf_edit_capsule(LODEI_SDF_CARVE, LODEI_MINE_SIDE, distances, from, to,
                                      edit->radius);
    return lodei_sdf_edit_sphere(LODEI_SDF_CARVE, LODEI_MINE_SIDE, distances, from, edit->radius);
}

/* The tier of a brick after an edit. */
static uint8_t tier_now(const struct lodei_sdf_change *change)
{
    if (change->min < 0 && change->max > 0)
        return lodei_mine_tier(0);
    return lodei_mine_tier(smaller(fabsf(change->min), fabsf(change->max)));
}

unsigned lodei_mine_carve(const struct lodei_mine_edit *edit, const int32_t at[3], int32_t tier,
                          struct lodei_mine_brick *brick)
{
    float beyond; /* what the tier does not tell apart from the band's end */
    int opens = near(edit, at, edit->radius);
    struct lodei_sdf_change change;
    unsigned opened = 0;

    if (!brick->with_distances && !brick->inside)
        return 0;
    if (!brick->with_distances)
        for (unsigned i = 0; i < LODEI_MINE_VOXELS; i++)
            brick->distances[i] = -band;
    for (unsigned i = 0; opens && i < LODEI_MINE_VOXELS; i++)
        brick->opened[i] = brick->distances[i] < 0;
    change = cut(edit, at, brick->distances);
    if (change.changed == 0)
        return 0;
    brick->tier = tier < 0 ? tier_now(&change) : (uint8_t)tier;
    beyond = band - lodei_sdf_quantum(lodei_mine_bits[brick->tier], band);
    if (change.max <= -beyond)
        return 0;
    for (unsigned i = 0; opens && i < LODEI_MINE_VOXELS; i++) {
        brick->opened[i] &= brick->distances[i] > 0;
        opened |= brick->opened[i];
    }
    brick->with_distances = change.min < beyond;
    brick->inside = 0;
    return LODEI_MINE_CARVED | (opened ? LODEI_MINE_OPENED : 0);
}

void lodei_mine_clear(const uint8_t *contents, uint8_t air, struct lodei_mine_brick *brick)
{
    for (unsigned i = 0; i < LODEI_MINE_VOXELS; i++) {
        uint8_t old = contents != NULL ? contents[i] : brick->content;

        brick->contents[i] = brick->opened[i] ? air : old;
    }
    brick->with_contents = !lodei_sdf_channel_homogeneous(1, LODEI_MINE_SIDE, brick->contents);
    brick->content = brick->contents[0];
}

/* Add, multiply and fold, ours. */
void lodei_mine_hash(uint64_t *hash, const void *from, size_t bytes)
{
    const unsigned char *at = from;

    for (; bytes > 0; bytes -= 8, at += 8) {
        uint64_t word;

        memcpy(&word, at, 8);
        *hash = ((*hash + 0x9e3779b97f4a7c15) ^ word) * 0xff51afd7ed558ccd;
        *hash ^= *hash >> 29;
    }
}
