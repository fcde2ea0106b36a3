/* SPDX-License-Identifier: MIT */
/*
 * The miners; see minescript.h. Coordinates are whole and half voxels and radii quarters, so that
 * every figure is exact in a float. Numbers come from splitmix64 (Steele, Lea, Flood 2014).
 */
#include <string.h>

#include "minescript.h"
#include "mineworld.h"

enum {
    MARGIN = 16,      /* voxels to a lane's side: a radius of 10, the band, and 2 to spare */
    RUNS_A_PLACE = 12 /* before the miner starts anew somewhere else */
};

struct miner {
    uint64_t random;
    int32_t low[3], high[3]; /* voxels it may stand in, `high` not included */
    int32_t at[3];
    unsigned runs;
    struct lodei_mine_edit *edits;
    size_t count, room;
};

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

/* A whole number from `low` to `high`, both included. */
static int32_t between(struct miner *miner, int32_t low, int32_t high)
{
    return low + (int32_t)(next_random(&miner->random) % (uint64_t)(high - low + 1));
}

static int may_stand(const struct miner *miner, int axis, int32_t at)
{
    return at >= miner->low[axis] && at < miner->high[axis];
}

/* Add an edit from the voxel `from` to the voxel `to` while there is room. */
static void add(struct miner *miner, enum lodei_mine_tool tool, const int32_t from[3],
                const int32_t to[3], float radius)
{
    struct lodei_mine_edit *edit = &miner->edits[miner->count];

    if (miner->count == miner->room)
        return;
    for (int axis = 0; axis < 3; axis++) {
        edit->from[axis] = (float)from[axis] + 0.5f;
        edit->to[axis] = (float)to[axis] + 0.5f;
        edit->viewer[axis] = (int16_t)(miner->at[axis] / LODEI_MINE_SIDE);
    }
    edit->radius = radius;
    edit->tool = (uint8_t)tool;
    edit->unused = 0;
    miner->count++;
}

static void drill(struct miner *miner)
{
    static const uint8_t axes[8] = {0, 0, 0, 2, 2, 2, 1, 0};
    int axis = axes[between(miner, 0, 7)], step = between(miner, 0, 1) ? 1 : -1;
    int32_t steps = between(miner, 32, 96);
    float radius = (float)between(miner, 8, 12) / 4;

    if (!may_stand(miner, axis, miner->at[axis] + 24 * step))
        step = -step;
    for (; steps > 0 && may_stand(miner, axis, miner->at[axis] + step); steps--) {
        int32_t from[3];

        memcpy(from, miner->at, sizeof(from));
        miner->at[axis] += step;
        add(miner, LODEI_MINE_DRILL, from, miner->at, radius);
    }
}

/* Spheres of `least` to `most` quarter voxels around where the miner stands. */
static void spheres(struct miner *miner, enum lodei_mine_tool tool, int32_t count, int32_t spread,
                    int32_t least, int32_t most)
{
    for (; count > 0; count--) {
        int32_t at[3];

        for (int axis = 0; axis < 3; axis++) {
            at[axis] = miner->at[axis] + between(miner, -spread, spread);
            if (!may_stand(miner, axis, at[axis]))
                at[axis] = miner->at[axis];
        }
        add(miner, tool, at, at, (float)between(miner, least, most) / 4);
    }
}

static void run(struct miner *miner)
{
    int32_t which = between(miner, 0, 15);

    if (++miner->runs % RUNS_A_PLACE == 0)
        for (int axis = 0; axis < 3; axis++)
            miner->at[axis] = between(miner, miner->low[axis], miner->high[axis] - 1);
    if (which < 8)
        drill(miner);
    else if (which < 11)
        spheres(miner, LODEI_MINE_EXPLOSIVE, between(miner, 1, 3), 8, 16, 40);
    else
        spheres(miner, LODEI_MINE_PRECISION, between(miner, 16, 48), 3, 4, 6);
}

struct lodei_mine_box lodei_mine_lane_box(const int32_t sides[3], unsigned lane)
{
    int32_t half = sides[2] / LODEI_MINE_LANES;
    struct lodei_mine_box box = {.low = {0, 0, (int32_t)lane * half},
                                 .high = {sides[0], sides[1], ((int32_t)lane + 1) * half}};

    return box;
}

void lodei_mine_start(const struct lodei_mine_box *lane, int16_t ret_viewer[3])
{
    for (int axis = 0; axis < 3; axis++)
        ret_viewer[axis] = (int16_t)((lane->low[axis] + lane->high[axis]) / 2);
}

void lodei_mine_script(const struct lodei_mine_box *lane, uint64_t seed,
                       struct lodei_mine_edit *ret_edits, size_t count)
{
    struct miner miner = {
        .random = seed ^ (uint64_t)lane->low[2] << 32, .edits = ret_edits, .room = count};
    int16_t viewer[3];

    lodei_mine_start(lane, viewer);
    for (int axis = 0; axis < 3; axis++) {
        miner.low[axis] = lane->low[axis] * LODEI_MINE_SIDE + MARGIN;
        miner.high[axis] = lane->high[axis] * LODEI_MINE_SIDE - MARGIN;
        miner.at[axis] = viewer[axis] * LODEI_MINE_SIDE;
    }
    while (miner.count < miner.room)
        run(&miner);
}
