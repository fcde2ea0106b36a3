/* SPDX-License-Identifier: MIT */
/*
 * Rays through the octree. A ray is at a brick, in integers, and at a t; the node that covers the
 * brick is left through the nearest of the three planes ahead, and the brick behind that plane is
 * next: its coordinate across the plane is exact, the other two are computed and kept within the
 * node that is left. So rounding can shift a ray along a face by its own error, but never loses or
 * repeats a node, and no epsilon is needed.
 *
 *     node left          next
 *     +---------------+--------+      t_out = (plane - origin) / direction, the least of three
 *     |          __---o--->    |      across the plane: plane, or plane - 1
 *     |  ___-----     |        |      along it: floor(origin + t_out * direction), clamped
 *     +---------------+--------+
 *
 * Going to the next node begins at the lowest ancestor of both, which the highest bit in which the
 * coordinates differ gives. Ancestors are kept on the stack of one call; an edit that touched one
 * sends the search to the root. It takes no lock and must never write to a line.
 */
#include "ext/svotree.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#define BRICK 8 /* voxels a side */

/* The brick that a place along an axis is in, within [low, high). */
static uint32_t brick_in(double voxel, uint32_t low, uint32_t high)
{
    double place = voxel / BRICK;
    if (!(place > low)) /* also what is not a number */
        return low;
    return place >= high ? high - 1 : (uint32_t)place;
}

/* Where the ray is within the root: 0: nowhere. */
static int enter_root(struct lode_svo_ray *ray, uint32_t side)
{
    double enters = 0, leaves = ray->t_end;
    ray->face = -1;
    for (int axis = 0; axis < 3; axis++) {
        double o = ray->origin[axis], d = ray->direction[axis], end = (double)side * BRICK;
        if (d == 0) {
            if (o < 0 || o >= end)
                return 0;
            continue;
        }
        double near = ((d > 0 ? 0 : end) - o) / d, far = ((d > 0 ? end : 0) - o) / d;
        if (near > enters) {
            enters = near;
            ray->face = 2 * axis + (d < 0);
        }
        leaves = far < leaves ? far : leaves;
    }
    if (enters > leaves)
        return 0;
    for (int axis = 0; axis < 3; axis++)
        ray->at[axis] = brick_in(ray->origin[axis] + enters * ray->direction[axis], 0, side);
    if (ray->face >= 0)
        ray->at[ray->face / 2] = ray->face % 2 == 0 ? 0 : side - 1;
    ray->t = enters;
    ray->t_end = leaves;
    return 1;
}

int lode_svo_ray_begin(struct lode_svo_ray *ray, struct lode_svo *svo, const double origin[3],
                       const double direction[3], double t_max)
{
    if (!(t_max >= 0) || (direction[0] == 0 && direction[1] == 0 && direction[2] == 0))
        return -EINVAL;
    for (int axis = 0; axis < 3; axis++)
        if (!isfinite(origin[axis]) || !isfinite(direction[axis]))
            return -EINVAL;
    memset(ray, 0, sizeof(*ray));
    ray->svo = svo;
    ray->t_end = t_max;
    for (int axis = 0; axis < 3; axis++) {
        ray->origin[axis] = origin[axis] - (double)(int32_t)svo->low[axis] * BRICK;
        ray->direction[axis] = direction[axis];
    }
    if (!enter_root(ray, (uint32_t)1 << svo->levels)) {
        ray->t = 1;
        ray->t_end = 0; /* it has ended */
    }
    return 0;
}

/* Leave the node of `level` the ray is in: *ret_t is where, ray->at the next brick. 0: the ray
 * leaves the root there. */
static int step(struct lode_svo_ray *ray, unsigned level, double *ret_t)
{
    uint32_t low[3], side = (uint32_t)1 << level;
    double least = INFINITY;
    int across = -1;
    for (int axis = 0; axis < 3; axis++) {
        low[axis] = ray->at[axis] >> level << level;
        if (ray->direction[axis] == 0)
            continue;
        double plane = (double)(ray->direction[axis] > 0 ? low[axis] + side : low[axis]) * BRICK;
        double t = (plane - ray->origin[axis]) / ray->direction[axis];
        if (across < 0 || t < least) {
            least = t;
            across = axis;
        }
    }
    for (int axis = 0; axis < 3; axis++)
        if (axis != across && ray->direction[axis] != 0)
            ray->at[axis] = brick_in(ray->origin[axis] + least * ray->direction[axis], low[axis],
                                     low[axis] + side);
    int rising = ray->direction[across] > 0;
    uint32_t edge = low[across];
    ray->at[across] = rising ? edge + side : edge - 1;
    ray->face = 2 * across + !rising;
    *ret_t = least > ray->t ? least : ray->t;
    return rising ? ray->at[across] >> ray->svo->levels == 0 : edge != 0;
}

struct trail {
    struct lodei_svo_spot spots[LODE_SVO_LEVELS_MAX + 1]; /* by level, from `level` up */
    unsigned level;
};

/* From spots[trail->level] on, find the node that covers the ray's brick, of level *ret_level. 1: a
 * leaf, whose spot is kept; 0: an inline child of the spot above it. */
static int find(const struct lode_svo_ray *ray, struct trail *trail, unsigned *ret_level)
{
    for (;;) {
        unsigned level = trail->level;
        int found;
        do {
            level--;
            found = lodei_svo_child(&trail->spots[level + 1], lodei_svo_octant(ray->at, level),
                                    &trail->spots[level]);
        } while (found == 1 && level > 0);
        *ret_level = level;
        if (lode_likely(found != LODEI_SVO_AGAIN))
            return found;
        trail->level = ray->svo->levels;
        lodei_svo_root(ray->svo, &trail->spots[trail->level]);
    }
}

/* From the brick `was` to where the ray is now: up to the lowest ancestor of both. */
static void climb(const struct lode_svo_ray *ray, struct trail *trail, const uint32_t was[3])
{
    uint32_t changed = (was[0] ^ ray->at[0]) | (was[1] ^ ray->at[1]) | (was[2] ^ ray->at[2]);
    trail->level = 32 - (unsigned)__builtin_clz(changed);
}

int lode_svo_ray_next(struct lode_svo_ray *ray, struct lode_svo_hit *ret_hit)
{
    struct lode_svo *svo = ray->svo;
    struct trail trail;
    int hit = 0;
    if (ray->t > ray->t_end)
        return 0;
    if (lode_read_begin() != 0)
        return -ENOMEM;
    trail.level = svo->levels;
    lodei_svo_root(svo, &trail.spots[trail.level]);
    while (!hit && ray->t <= ray->t_end) {
        unsigned level;
        uint32_t was[3] = {ray->at[0], ray->at[1], ray->at[2]};
        int leaf = find(ray, &trail, &level), face = ray->face;
        const struct lodei_svo_spot *spot = &trail.spots[leaf ? 0 : level + 1];
        double t_in = ray->t, t_out;
        int inside = step(ray, level, &t_out);
        hit = leaf || lodei_svo_entry(spot->line, lodei_svo_octant(was, level)) != LODE_SVO_EMPTY;
        if (hit && leaf)
            lodei_svo_line_cell(svo, spot, 0, was, &ret_hit->cell);
        else if (hit)
            lodei_svo_entry_cell(svo, spot->line, level, was, &ret_hit->cell);
        if (hit) {
            ret_hit->t_in = t_in;
            ret_hit->t_out = t_out < ray->t_end ? t_out : ray->t_end;
            ret_hit->face = face;
            ret_hit->reserved = 0;
        }
        ray->t = t_out;
        if (!inside)
            ray->t_end = -1; /* it has ended */
        else
            climb(ray, &trail, was);
    }
    lode_read_end();
    return hit;
}
