/* SPDX-License-Identifier: MIT */
/*
 * What is dug where: the same for every storage, number of threads and run with the same seed.
 *
 * The world is split along z into LODEI_MINE_LANES lanes of one miner each, who stays so far from
 * the lane's sides that no edit reaches across: lanes have nothing in common, and who works on them
 * when does not matter to what becomes of them. A miner goes through runs of one tool each:
 *
 *     drill      32-96 steps of one voxel along an axis, each a capsule of radius 2-3: a tunnel
 *     explosive  1-3 spheres of radius 4-10 around where the miner stands
 *     precision  16-48 spheres of radius 1-1.5 close together, most of them overlapping
 *
 * and now and then starts anew somewhere else (the big window shifts).
 */
#ifndef LODEI_MINESCRIPT_H
#define LODEI_MINESCRIPT_H

#include <stddef.h>
#include <stdint.h>

enum { LODEI_MINE_LANES = 2 };

enum lodei_mine_tool { LODEI_MINE_DRILL, LODEI_MINE_EXPLOSIVE, LODEI_MINE_PRECISION };
enum { LODEI_MINE_TOOLS = 3 };

struct lodei_mine_edit {
    float from[3], to[3]; /* the segment of a capsule, in voxels; the same point for a sphere */
    float radius;
    int16_t viewer[3]; /* the brick the miner stands in */
    uint8_t tool;      /* enum lodei_mine_tool */
    uint8_t unused;
};

/* Bricks from `low` up to but not including `high`. */
struct lodei_mine_box {
    int32_t low[3], high[3];
};

/* The bricks of lane number `lane` of a world with these sides in bricks. */
struct lodei_mine_box lodei_mine_lane_box(const int32_t sides[3], unsigned lane);

/* Where the miner of a lane stands before the first edit: its middle. */
void lodei_mine_start(const struct lodei_mine_box *lane, int16_t ret_viewer[3]);

/* Write `count` edits of a lane. */
void lodei_mine_script(const struct lodei_mine_box *lane, uint64_t seed,
                       struct lodei_mine_edit *ret_edits, size_t count);

#endif
