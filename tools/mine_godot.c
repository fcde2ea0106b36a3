/* SPDX-License-Identifier: MIT */
/*
 * lode-mine-godot.so: the world of `lode mine` as godot_voxel, the closest engine there is, keeps
 * one in memory. For its size only: nothing is dug in it.
 *
 * Blocks are 16^3 voxels; each has a channel of 16 bits for distances, clamped to the same band,
 * and one of 16 bits for contents. A channel of one value is only that value; any other is an array
 * of 8,192 bytes from pools of powers of two, which malloc() each piece on demand and never cut one
 * up. Beside them a block is a buffer with the figures of eight channels and an entry of the map
 * from coordinates to blocks, counted here as one malloc() of 256 and one of 64 bytes.
 */
#include <err.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mineview.h"
#include "verbs.h"

enum { SIDE = 16, VOXELS = SIDE * SIDE * SIDE, BRICKS_A_SIDE = SIDE / LODEI_MINE_SIDE };
enum { CHANNELS = 8, CHANNEL_DISTANCES = 0, CHANNEL_CONTENTS = 1, ENTRY_BYTES = 64 };

struct block {
    struct {
        uint16_t *data; /* NULL: all are `value` */
        uint64_t value;
        uint64_t figures;
    } channels[CHANNELS];
    void *entry;
    uint8_t rest[56];
};
_Static_assert(sizeof(struct block) == 256, "as the file's head says");

struct land {
    const struct lodei_mine_config *config;
    struct lodei_mine_result *result;
    struct lodei_mine_meter *meter;
    struct lodei_mine_box lane;
    int32_t sides[3]; /* in blocks */
    struct block **blocks;
    struct lodei_mine_brick room;
};

static void *get(struct land *land, size_t bytes)
{
    void *memory;

    LODEI_MINE_MEMORY(land->meter, memory = malloc(bytes));
    if (memory == NULL)
        errx(LODEI_EXIT_BAD_INPUT, "out of memory");
    land->result->memory_blocks++;
    return memory;
}

/* The voxel of a block at which the brick number (x, y, z) of it starts. */
static size_t corner_of(const int32_t brick[3])
{
    return (((size_t)brick[2] * SIDE + (size_t)brick[1]) * SIDE + (size_t)brick[0]) *
           LODEI_MINE_SIDE;
}

/* Copy one brick's values to where it starts in a block's, or back. */
static void copy_brick(uint16_t *block, uint16_t *brick, int back)
{
    for (size_t row = 0; row < (size_t)LODEI_MINE_SIDE * LODEI_MINE_SIDE; row++) {
        uint16_t *at = block + (row / LODEI_MINE_SIDE * SIDE + row % LODEI_MINE_SIDE) * SIDE;

        if (back)
            memcpy(brick + row * LODEI_MINE_SIDE, at, LODEI_MINE_SIDE * sizeof(*at));
        else
            memcpy(at, brick + row * LODEI_MINE_SIDE, LODEI_MINE_SIDE * sizeof(*at));
    }
}

/* One brick into both channels of its block, 16 bits each. */
static void fill_brick(struct land *land, const int32_t at[3], uint16_t *distances,
                       uint16_t *contents)
{
    struct lodei_mine_arrival arrival =
        lodei_mine_arrive(land->config->world, LODEI_MINE_BOTH, at, 0, &land->room);
    uint16_t values[LODEI_MINE_VOXELS];

    lodei_sdf_channel_fill(sizeof(uint16_t), LODEI_MINE_SIDE, values,
                           arrival.inside ? 0 : UINT16_MAX);
    if (arrival.distances != NULL)
        memcpy(values, arrival.distances, sizeof(values));
    copy_brick(distances, values, 0);
    lodei_sdf_channel_fill(sizeof(uint16_t), LODEI_MINE_SIDE, values, arrival.content);
    for (size_t i = 0; arrival.contents != NULL && i < LODEI_MINE_VOXELS; i++)
        values[i] = arrival.contents[i];
    copy_brick(contents, values, 0);
}

static void set_channel(struct land *land, struct block *block, unsigned channel,
                        const uint16_t *values, uint64_t *bytes)
{
    block->channels[channel].value = values[0];
    if (memcmp(values, values + 1, (VOXELS - 1) * sizeof(*values)) == 0)
        return;
    block->channels[channel].data = get(land, VOXELS * sizeof(*values));
    memcpy(block->channels[channel].data, values, VOXELS * sizeof(*values));
    *bytes += VOXELS * sizeof(*values);
}

static struct block *get_block(struct land *land, const int32_t low[3])
{
    static uint16_t distances[VOXELS], contents[VOXELS];
    struct block *block = get(land, sizeof(*block));
    int32_t brick[3];

    memset(block, 0, sizeof(*block));
    block->entry = memset(get(land, ENTRY_BYTES), 0, ENTRY_BYTES);
    land->result->node_bytes += sizeof(*block) + ENTRY_BYTES;
    for (brick[2] = 0; brick[2] < BRICKS_A_SIDE; brick[2]++)
        for (brick[1] = 0; brick[1] < BRICKS_A_SIDE; brick[1]++)
            for (brick[0] = 0; brick[0] < BRICKS_A_SIDE; brick[0]++) {
                int32_t at[3] = {low[0] + brick[0], low[1] + brick[1], low[2] + brick[2]};
                size_t corner = corner_of(brick);

                fill_brick(land, at, distances + corner, contents + corner);
            }
    set_channel(land, block, CHANNEL_DISTANCES, distances, &land->result->distances_bytes);
    if (land->config->channels == LODEI_MINE_BOTH)
        set_channel(land, block, CHANNEL_CONTENTS, contents, &land->result->contents_bytes);
    return block;
}

static struct block **slot_of(const struct land *land, const int32_t at[3])
{
    size_t place[3];

    for (int axis = 0; axis < 3; axis++)
        place[axis] = (size_t)((at[axis] - land->lane.low[axis]) / BRICKS_A_SIDE);
    return &land->blocks[(place[2] * (size_t)land->sides[1] + place[1]) * (size_t)land->sides[0] +
                         place[0]];
}

static size_t count_of(const struct land *land)
{
    return (size_t)land->sides[0] * (size_t)land->sides[1] * (size_t)land->sides[2];
}

static void build(struct land *land)
{
    int32_t at[3];

    for (int axis = 0; axis < 3; axis++)
        land->sides[axis] = (land->lane.high[axis] - land->lane.low[axis]) / BRICKS_A_SIDE;
    land->blocks = get(land, count_of(land) * sizeof(struct block *));
    land->result->index_bytes += count_of(land) * sizeof(struct block *);
    for (at[2] = land->lane.low[2]; at[2] < land->lane.high[2]; at[2] += BRICKS_A_SIDE)
        for (at[1] = land->lane.low[1]; at[1] < land->lane.high[1]; at[1] += BRICKS_A_SIDE)
            for (at[0] = land->lane.low[0]; at[0] < land->lane.high[0]; at[0] += BRICKS_A_SIDE)
                *slot_of(land, at) = get_block(land, at);
}

static void hash_brick(const struct land *land, const int32_t at[3], uint64_t *hash)
{
    const struct block *block = *slot_of(land, at);
    int32_t brick[3] = {at[0] % BRICKS_A_SIDE, at[1] % BRICKS_A_SIDE, at[2] % BRICKS_A_SIDE};
    uint16_t values[LODEI_MINE_VOXELS];
    uint8_t contents[LODEI_MINE_VOXELS];

    lodei_sdf_channel_fill(sizeof(uint16_t), LODEI_MINE_SIDE, values,
                           (unsigned)block->channels[CHANNEL_CONTENTS].value);
    if (block->channels[CHANNEL_CONTENTS].data != NULL)
        copy_brick(block->channels[CHANNEL_CONTENTS].data + corner_of(brick), values, 1);
    for (size_t i = 0; i < LODEI_MINE_VOXELS; i++)
        contents[i] = (uint8_t)values[i];
    lodei_mine_hash(hash, contents, sizeof(contents));
}

static void hash_land(const struct land *land, uint64_t *hash)
{
    int32_t at[3];

    for (at[2] = land->lane.low[2]; at[2] < land->lane.high[2]; at[2]++)
        for (at[1] = land->lane.low[1]; at[1] < land->lane.high[1]; at[1]++)
            for (at[0] = land->lane.low[0]; at[0] < land->lane.high[0]; at[0]++)
                hash_brick(land, at, hash);
}

static void give_back(struct land *land)
{
    for (size_t i = 0; i < count_of(land); i++) {
        free(land->blocks[i]->channels[CHANNEL_DISTANCES].data);
        free(land->blocks[i]->channels[CHANNEL_CONTENTS].data);
        free(land->blocks[i]->entry);
        free(land->blocks[i]);
    }
    free(land->blocks);
}

LODEI_MINE_RUN(const struct lodei_mine_config *config, struct lodei_mine_result *result)
{
    static struct land lands[LODEI_MINE_LANES];
    uint64_t start;

    if (config->channels == LODEI_MINE_NODES)
        return -ENOTSUP;
    (void)lodei_mine_tick_ns();
    result->resident_start = lodei_mine_resident_bytes();
    start = lodei_mine_ticks();
    for (unsigned i = 0; i < LODEI_MINE_LANES; i++) {
        struct land *land = &lands[i];

        if (config->lanes[i].edit_count > 0)
            return -ENOTSUP;
        land->config = config;
        land->result = result;
        land->lane = lodei_mine_lane_box(config->world->sides, i);
        land->meter = &result->meters[i];
        lodei_mine_meter_init(land->meter);
        build(land);
        result->places += mine_box_bricks(&land->lane);
    }
    result->build_s = (double)(lodei_mine_ticks() - start) * lodei_mine_tick_ns() / 1e9;
    result->resident_built = result->resident_end = lodei_mine_resident_bytes();
    for (unsigned i = 0; i < LODEI_MINE_LANES; i++) {
        if (config->channels == LODEI_MINE_BOTH)
            hash_land(&lands[i], &result->contents_hash);
        give_back(&lands[i]);
    }
    return 0;
}
