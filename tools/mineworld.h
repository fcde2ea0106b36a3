/* SPDX-License-Identifier: MIT */
/*
 * The world that `lode mine` digs in, cut into bricks: where every brick that enters the window
 * comes from, packed, as from a region file. It is read by all threads.
 *
 * Distances are signed, in voxels, from a voxel's centre to the surface, which is taken to lie half
 * a voxel before the nearest centre of the other side: below 0 in what is solid. With s the squared
 * distance between the two centres, |d| = sqrt(s) - 1/2, so that within the band of 4 voxels a
 * distance is told exactly by a whole number from -20 to 20, and beyond it by -21 or 21.
 *
 * A brick's tier goes by how near the surface comes to one of its voxels' centres.
 *
 * A voxel's content is the number of its node's row in the palette, and fits a byte.
 *
 *     file: nodes[z][y][x]  ->  bricks[z / 8][y / 8][x / 8], each of 8^3 voxels, x fastest
 *
 * `repeat` puts the file's world that many times along x and along z, each copy the mirror image of
 * its neighbours: distances are right across the seams too, because a voxel's nearest on the other
 * side of a mirror is never nearer than that one's mirror image.
 */
#ifndef LODEI_MINEWORLD_H
#define LODEI_MINEWORLD_H

#include <stdint.h>

#include "worldfile.h"

enum {
    LODEI_MINE_SIDE = 8,       /* of a brick, in voxels */
    LODEI_MINE_VOXELS = 512,   /* of a brick */
    LODEI_MINE_BAND = 4,       /* voxels on either side of the surface */
    LODEI_MINE_BEYOND = 21,    /* the least square that lies beyond the band: sqrt(21) > 4.5 */
    LODEI_MINE_REPEAT = 16,    /* at most */
    LODEI_MINE_CONTENTS = 256, /* kinds of nodes, at most: a content is a byte */
};

enum {
    LODEI_MINE_BRICKS_X = LODEI_WORLD_X / LODEI_MINE_SIDE,
    LODEI_MINE_BRICKS_Y = LODEI_WORLD_Y / LODEI_MINE_SIDE,
    LODEI_MINE_BRICKS_Z = LODEI_WORLD_Z / LODEI_MINE_SIDE,
    LODEI_MINE_BRICKS = LODEI_MINE_BRICKS_X * LODEI_MINE_BRICKS_Y * LODEI_MINE_BRICKS_Z,
};

/* The distances of a brick, packed as ext/sdfpack.h has it, for each tier. */
struct lodei_mine_packed {
    uint16_t bits16[LODEI_MINE_VOXELS];
    uint8_t bits8[LODEI_MINE_VOXELS];
    uint8_t bits4[LODEI_MINE_VOXELS / 2];
};
_Static_assert(sizeof(struct lodei_mine_packed) % 64 == 0, "whole cache lines");

struct lodei_mine_source {
    uint8_t contents[LODEI_MINE_VOXELS];    /* numbers of palette rows */
    const struct lodei_mine_packed *packed; /* NULL: all of it lies beyond the band */
    uint8_t inside;                         /* then: beyond -band; else beyond +band */
    uint8_t mixed;                          /* not of one content */
    uint8_t tier;                           /* by its distance; lodei_mine_tier() */
    uint8_t unused[53];
};
_Static_assert(sizeof(struct lodei_mine_source) % 64 == 0, "whole cache lines");

struct lodei_mine_world {
    struct lodei_mine_source *bricks; /* [LODEI_MINE_BRICKS_Z][.._Y][.._X] */
    uint32_t repeat;
    int32_t sides[3];                 /* of the repeated world, in bricks */
    struct lodei_mine_packed *packed; /* packed_count of them */
    size_t packed_count;
    uint16_t air, rock;                 /* content ids: nothing, and the commonest solid */
    uint8_t solid[LODEI_MINE_CONTENTS]; /* by content */
    uint64_t solid_voxels, band_voxels; /* of the file's world */
    struct lodei_palette_row *palette;  /* for reports */
    size_t palette_count;
};

/* Read the world in `dir` and cut it up. 0, or -1 after a message; world->repeat is `repeat`, from
 * 1 to LODEI_MINE_REPEAT. */
int lodei_mine_world_create(const char *dir, uint32_t repeat, struct lodei_mine_world *ret_world);
void lodei_mine_world_finish(struct lodei_mine_world *world);

/* The tier of a brick whose least |distance| is this, as lode_sdf_tier_at() has it: the surface is
 * nearer than a voxel, nearer than two, or farther away. */
static inline uint8_t lodei_mine_tier(float least)
{
    return (uint8_t)((least >= 1) + (least >= 2));
}

/* Is a node of this name solid? */
int lodei_mine_solid(const char *name);

/* The distance a signed square stands for; +-LODEI_MINE_BAND beyond it. */
float lodei_mine_distance(int square);

/* The signed squares of `voxels` voxels, from the squared distances to what is solid and to what is
 * not. */
void lodei_mine_sign(const int32_t *to_solid, const int32_t *to_open, size_t voxels,
                     int8_t *ret_squares);

#endif
