/* SPDX-License-Identifier: MIT */
/*
 * What a storage of `lode mine` is given to work with. A storage is a file lode-mine-NAME.so is
 * made of: it defines
 *
 *     struct mine_store   one lane's bricks and octree
 *
 * and the functions declared at the top of mine_dig.h over it, and then includes that file, whose
 * code is thus compiled once for each storage, without a call through a pointer in between.
 */
#ifndef LODEI_MINEVIEW_H
#define LODEI_MINEVIEW_H

#include "minerun.h"

/* Which bricks there are: a lane's window and its miner. */
struct mine_view {
    const struct lodei_mine_config *config;
    struct lodei_mine_box lane, window;
    int32_t viewer[3];
    struct lodei_mine_meter *meter;
    struct lodei_mine_brick *work; /* room for the brick at hand */
};

/* What stands at one place of the window. */
struct mine_cell {
    uint8_t kind; /* enum lodei_mine_kind */
    uint8_t with_distances, with_contents, inside, tier, content;
    uint64_t ref; /* the storage's */
};

/* The brick at `at` as it is when it enters the window. */
static inline struct lodei_mine_arrival mine_make(const struct mine_view *view, const int32_t at[3])
{
    return lodei_mine_arrive(view->config->world, view->config->channels, at, view->config->tier,
                             view->work);
}

static inline int mine_inside(const struct lodei_mine_box *box, const int32_t at[3])
{
    return at[0] >= box->low[0] && at[0] < box->high[0] && at[1] >= box->low[1] &&
           at[1] < box->high[1] && at[2] >= box->low[2] && at[2] < box->high[2];
}

/* Bricks in a box; 0 where a side is empty. */
static inline uint64_t mine_box_bricks(const struct lodei_mine_box *box)
{
    uint64_t bricks = 1;

    for (int axis = 0; axis < 3; axis++)
        bricks *=
            box->high[axis] > box->low[axis] ? (uint64_t)(box->high[axis] - box->low[axis]) : 0;
    return bricks;
}

#endif
