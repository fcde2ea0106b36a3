/* SPDX-License-Identifier: MIT */
/* Loads, transforms and cuts the world; see mineworld.h. */
#include <err.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "edt.h"
#include "ext/sdfpack.h"
#include "mineworld.h"
#include "pages.h"

/*
 * What is solid for digging purposes. Everything else is not: air, water, leaves, apples, grass,
 * bushes, flowers, mushrooms and insects. Stairs are cobble, a chest is wood.
 */
static const char *const solid_names[] = {
    "default:stone",
    "default:cobble",
    "default:mossycobble",
    "default:dirt",
    "default:dirt_with_grass",
    "default:sand",
    "default:silver_sand",
    "default:gravel",
    "default:tree",
    "default:stone_with_coal",
    "default:stone_with_copper",
    "default:stone_with_tin",
    "default:chest",
    "stairs:stair_cobble",
};

int lodei_mine_solid(const char *name)
{
    for (size_t i = 0; i < sizeof(solid_names) / sizeof(solid_names[0]); i++)
        if (strcmp(name, solid_names[i]) == 0)
            return 1;
    return 0;
}

float lodei_mine_distance(int square)
{
    float distance =
        abs(square) < LODEI_MINE_BEYOND ? sqrtf((float)abs(square)) - 0.5f : (float)LODEI_MINE_BAND;

    return square < 0 ? -distance : distance;
}

void lodei_mine_sign(const int32_t *to_solid, const int32_t *to_open, size_t voxels,
                     int8_t *ret_squares)
{
    for (size_t i = 0; i < voxels; i++) {
        int32_t outside = to_solid[i] < LODEI_MINE_BEYOND ? to_solid[i] : LODEI_MINE_BEYOND;
        int32_t inside = to_open[i] < LODEI_MINE_BEYOND ? to_open[i] : LODEI_MINE_BEYOND;

        /* one of the two is 0: a voxel is either solid or not */
        ret_squares[i] = (int8_t)(outside - inside);
    }
}

/* The whole world's signed squares, int8_t[LODEI_WORLD_NODES] of pages. */
static int8_t *transform(const struct lodei_mine_world *world, const uint8_t *contents)
{
    static const uint32_t sides[3] = {LODEI_WORLD_X, LODEI_WORLD_Y, LODEI_WORLD_Z};
    uint8_t *features = lodei_pages_alloc(LODEI_WORLD_NODES, 1);
    int32_t *to_solid = lodei_pages_alloc(LODEI_WORLD_NODES, sizeof(int32_t));
    int32_t *to_open = lodei_pages_alloc(LODEI_WORLD_NODES, sizeof(int32_t));
    int8_t *squares = lodei_pages_alloc(LODEI_WORLD_NODES, 1);

    for (size_t i = 0; i < LODEI_WORLD_NODES; i++)
        features[i] = world->solid[contents[i]];
    lodei_edt(features, sides, to_solid);
    for (size_t i = 0; i < LODEI_WORLD_NODES; i++)
        features[i] = !features[i];
    lodei_edt(features, sides, to_open);
    lodei_mine_sign(to_solid, to_open, LODEI_WORLD_NODES, squares);
    lodei_pages_free(features, LODEI_WORLD_NODES, 1);
    lodei_pages_free(to_solid, LODEI_WORLD_NODES, sizeof(int32_t));
    lodei_pages_free(to_open, LODEI_WORLD_NODES, sizeof(int32_t));
    return squares;
}

/* The world's arrays, and tables over them. */
struct cutter {
    const uint8_t *contents;
    const int8_t *squares;
    float distances[2 * LODEI_MINE_BEYOND + 1]; /* by square + LODEI_MINE_BEYOND */
};

/* The index of a brick's voxel in the world's arrays; `corner` is that of its lowest one. */
static size_t index_of(size_t corner, unsigned voxel)
{
    unsigned x = voxel % LODEI_MINE_SIDE, y = voxel / LODEI_MINE_SIDE % LODEI_MINE_SIDE;
    unsigned z = voxel / (LODEI_MINE_SIDE * LODEI_MINE_SIDE);

    return corner + (z * (size_t)LODEI_WORLD_Y + y) * LODEI_WORLD_X + x;
}

static void pack_brick(const struct cutter *cutter, size_t corner, struct lodei_mine_packed *packed)
{
    float distances[LODEI_MINE_VOXELS];

    for (unsigned voxel = 0; voxel < LODEI_MINE_VOXELS; voxel++)
        distances[voxel] =
            cutter->distances[cutter->squares[index_of(corner, voxel)] + LODEI_MINE_BEYOND];
    (void)lodei_sdf_encode(16, LODEI_MINE_SIDE, LODEI_MINE_BAND, distances, packed->bits16);
    (void)lodei_sdf_encode(8, LODEI_MINE_SIDE, LODEI_MINE_BAND, distances, packed->bits8);
    (void)lodei_sdf_encode(4, LODEI_MINE_SIDE, LODEI_MINE_BAND, distances, packed->bits4);
}

static void cut_brick(const struct cutter *cutter, size_t corner, struct lodei_mine_world *world,
                      struct lodei_mine_source *brick)
{
    struct lodei_mine_packed *packed = &world->packed[world->packed_count];
    unsigned in_band = 0;
    int nearest = LODEI_MINE_BEYOND;

    for (unsigned voxel = 0; voxel < LODEI_MINE_VOXELS; voxel++) {
        size_t index = index_of(corner, voxel);

        brick->contents[voxel] = cutter->contents[index];
        brick->mixed |= brick->contents[voxel] != brick->contents[0];
        in_band += abs(cutter->squares[index]) < LODEI_MINE_BEYOND;
        if (abs(cutter->squares[index]) < nearest)
            nearest = abs(cutter->squares[index]);
    }
    brick->inside = cutter->squares[corner] < 0;
    brick->tier = lodei_mine_tier(lodei_mine_distance(nearest));
    world->band_voxels += in_band;
    if (in_band == 0)
        return;
    pack_brick(cutter, corner, packed);
    brick->packed = packed;
    world->packed_count++;
}

static void cut(struct lodei_mine_world *world, const uint8_t *contents, const int8_t *squares)
{
    struct cutter cutter = {.contents = contents, .squares = squares};
    struct lodei_mine_source *brick =
        lodei_pages_alloc(LODEI_MINE_BRICKS, sizeof(struct lodei_mine_source));

    world->bricks = brick;
    /* as if all were in the band: pages that are not written to cost nothing */
    world->packed = lodei_pages_alloc(LODEI_MINE_BRICKS, sizeof(struct lodei_mine_packed));
    for (int square = -LODEI_MINE_BEYOND; square <= LODEI_MINE_BEYOND; square++)
        cutter.distances[square + LODEI_MINE_BEYOND] = lodei_mine_distance(square);
    for (size_t z = 0; z < LODEI_WORLD_Z; z += LODEI_MINE_SIDE)
        for (size_t y = 0; y < LODEI_WORLD_Y; y += LODEI_MINE_SIDE)
            for (size_t x = 0; x < LODEI_WORLD_X; x += LODEI_MINE_SIDE)
                cut_brick(&cutter, (z * LODEI_WORLD_Y + y) * LODEI_WORLD_X + x, world, brick++);
    for (size_t i = 0; i < LODEI_WORLD_NODES; i++)
        world->solid_voxels += squares[i] < 0;
}

/* What the palette's names mean. */
static int classify(struct lodei_mine_world *world, const char *dir)
{
    uint64_t most = 0;
    int with_air = 0;

    if (world->palette_count > LODEI_MINE_CONTENTS) {
        warnx("%s: %zu kinds of nodes, at most %d are supported", dir, world->palette_count,
              LODEI_MINE_CONTENTS);
        return -1;
    }
    for (size_t i = 0; i < world->palette_count; i++) {
        const struct lodei_palette_row *row = &world->palette[i];

        world->solid[i] = (uint8_t)lodei_mine_solid(row->name);
        if (strcmp(row->name, "air") == 0) {
            world->air = (uint8_t)i;
            with_air = 1;
        } else if (world->solid[i] && row->count > most) {
            world->rock = (uint8_t)i;
            most = row->count;
        }
    }
    if (!with_air)
        warnx("%s: the palette has no air", dir);
    return with_air ? 0 : -1;
}

/* The nodes' numbers of palette rows, uint8_t[LODEI_WORLD_NODES] of pages. */
static uint8_t *number_nodes(const struct lodei_worldfile *file)
{
    uint8_t *contents = lodei_pages_alloc(LODEI_WORLD_NODES, 1), rows[UINT16_MAX + 1];

    for (size_t i = 0; i < file->palette_count; i++)
        rows[file->palette[i].id] = (uint8_t)i;
    for (size_t i = 0; i < LODEI_WORLD_NODES; i++)
        contents[i] = rows[file->nodes[i]];
    return contents;
}

int lodei_mine_world_create(const char *dir, uint32_t repeat, struct lodei_mine_world *ret_world)
{
    struct lodei_worldfile file;
    uint8_t *contents;
    int8_t *squares;

    if (lodei_worldfile_read(dir, &file) != 0)
        return -1;
    memset(ret_world, 0, sizeof(*ret_world));
    ret_world->palette = file.palette;
    ret_world->palette_count = file.palette_count;
    if (classify(ret_world, dir) != 0) {
        lodei_worldfile_finish(&file);
        return -1;
    }
    ret_world->repeat = repeat;
    ret_world->sides[0] = (int32_t)(LODEI_MINE_BRICKS_X * repeat);
    ret_world->sides[1] = LODEI_MINE_BRICKS_Y;
    ret_world->sides[2] = (int32_t)(LODEI_MINE_BRICKS_Z * repeat);
    contents = number_nodes(&file);
    squares = transform(ret_world, contents);
    cut(ret_world, contents, squares);
    lodei_pages_free(contents, LODEI_WORLD_NODES, 1);
    lodei_pages_free(squares, LODEI_WORLD_NODES, 1);
    file.palette = NULL; /* the world's now */
    lodei_worldfile_finish(&file);
    return 0;
}

void lodei_mine_world_finish(struct lodei_mine_world *world)
{
    lodei_pages_free(world->bricks, LODEI_MINE_BRICKS, sizeof(*world->bricks));
    lodei_pages_free(world->packed, LODEI_MINE_BRICKS, sizeof(*world->packed));
    free(world->palette);
}
