/* SPDX-License-Identifier: MIT */
/* Rays through the octree: against stepping through voxels in small steps, and cases by hand. */
#include <criterion/criterion.h>

#include <errno.h>
#include <math.h>

#include "svo_tree.h"

static uint32_t state = 1;

static uint32_t next(uint32_t limit)
{
    state = state * 1664525 + 1013904223;
    return (state >> 8) % limit;
}

static struct lode_svo *scattered(void)
{
    struct lode_svo *svo = make(4, LODE_SVO_COALESCE);
    for (int i = 0; i < 60; i++) {
        struct lode_ivec3 at = {(int32_t)next(16) - 8, (int32_t)next(16) - 8,
                                (int32_t)next(16) - 8};
        struct lode_svo_content b = brick(next(1000));
        unsigned level = i < 6 ? 2 : i < 20 ? 1 : 0;
        set(svo, level, at, level == 0 && i % 2 != 0 ? &b : i % 5 != 0 ? &rock : &air);
    }
    return svo;
}

/* Where the ray is in a cell, by the planes of its box alone. */
static void between(const double origin[3], const double direction[3],
                    const struct lode_svo_cell *cell, double *ret_in, double *ret_out)
{
    const int32_t at[3] = {cell->at.x, cell->at.y, cell->at.z};
    *ret_in = 0;
    *ret_out = INFINITY;
    for (int axis = 0; axis < 3; axis++) {
        double low = at[axis] * 8.0, high = low + (8 << cell->level);
        if (direction[axis] == 0)
            continue;
        double a = (low - origin[axis]) / direction[axis];
        double b = (high - origin[axis]) / direction[axis];
        *ret_in = fmax(*ret_in, fmin(a, b));
        *ret_out = fmin(*ret_out, fmax(a, b));
    }
}

/* What a point query finds at t. */
static struct lode_svo_cell sample(struct lode_svo *svo, const double origin[3],
                                   const double direction[3], double t)
{
    struct lode_svo_cell cell = {.level = 0};
    int32_t at[3];
    for (int axis = 0; axis < 3; axis++)
        at[axis] = (int32_t)floor(origin[axis] + t * direction[axis]);
    (void)lode_svo_point(svo, at[0], at[1], at[2], &cell);
    return cell;
}

static int same_place(const struct lode_svo_cell *a, const struct lode_svo_cell *b)
{
    return a->at.x == b->at.x && a->at.y == b->at.y && a->at.z == b->at.z && a->level == b->level;
}

static void check_ray(struct lode_svo *svo, const double origin[3], const double direction[3],
                      double t_max)
{
    struct lode_svo_ray ray;
    struct lode_svo_hit hit = {.t_in = 0};
    cr_assert_eq(lode_svo_ray_begin(&ray, svo, origin, direction, t_max), 0);
    int more = lode_svo_ray_next(&ray, &hit);
    double last = 0;
    for (double t = 0; t <= t_max; t += 1.0 / 16) {
        while (more == 1 && hit.t_out < t) {
            double in, out;
            between(origin, direction, &hit.cell, &in, &out);
            cr_assert(fabs(hit.t_in - in) < 1e-9);
            cr_assert(fabs(hit.t_out - fmin(out, t_max)) < 1e-9);
            cr_assert(hit.t_in >= last);
            cr_assert(hit.face != -1 || hit.t_in == 0);
            last = hit.t_out;
            more = lode_svo_ray_next(&ray, &hit);
        }
        struct lode_svo_cell there = sample(svo, origin, direction, t);
        if (there.content.type != LODE_SVO_EMPTY) {
            double in, out;
            between(origin, direction, &there, &in, &out);
            if (t - in < 1e-6 || out - t < 1e-6)
                continue; /* at an edge either may be right */
            cr_assert_eq(more, 1);
            cr_assert(hit.t_in <= t && same_place(&hit.cell, &there));
        } else if (more == 1 && hit.t_in < t) {
            cr_assert(hit.t_in > t - 1e-6 || hit.t_out < t + 1e-6);
        }
    }
}

Test(svoray, finds_what_stepping_finds)
{
    struct lode_svo *svo = scattered();
    for (int i = 0; i < 2000; i++) {
        double origin[3], direction[3];
        for (int axis = 0; axis < 3; axis++) {
            origin[axis] = (next(2000) - 1000) * 0.1;
            direction[axis] = next(6) == 0 ? 0 : (next(2001) - 1000.0) / 1000;
        }
        if (direction[0] == 0 && direction[1] == 0 && direction[2] == 0)
            continue;
        check_ray(svo, origin, direction, next(400));
    }
    lode_svo_destroy(svo);
}

Test(svoray, along_axes_and_from_corners)
{
    struct lode_svo *svo = scattered();
    for (int i = 0; i < 27; i++) {
        double direction[3] = {i % 3 - 1, i / 3 % 3 - 1, i / 9 - 1};
        if (i == 13)
            continue;
        for (int from = 0; from < 60; from++) {
            double origin[3];
            for (int axis = 0; axis < 3; axis++)
                origin[axis] = (int)next(160) - 80 + (from % 2 != 0 ? 0.5 : 0);
            check_ray(svo, origin, direction, 300);
        }
    }
    lode_svo_destroy(svo);
}

Test(svoray, tells_what_it_hits_and_through_which_face)
{
    struct lode_svo *svo = make(4, 0);
    struct lode_svo_content b = brick(8);
    struct lode_svo_ray ray;
    struct lode_svo_hit hit;
    set(svo, 0, (struct lode_ivec3){3, 0, 0}, &b);
    set(svo, 1, (struct lode_ivec3){4, 0, 0}, &rock);
    double origin[3] = {-20, 4, 4}, direction[3] = {2, 0, 0};
    cr_assert_eq(lode_svo_ray_begin(&ray, svo, origin, direction, INFINITY), 0);
    cr_assert_eq(lode_svo_ray_next(&ray, &hit), 1);
    cr_assert_eq(hit.cell.content.type, LODE_SVO_INTERFACE);
    cr_assert_eq(hit.cell.content.bricks[0], 8);
    cr_assert_eq(hit.cell.level, 0);
    cr_assert_float_eq(hit.t_in, 22, 1e-12);
    cr_assert_float_eq(hit.t_out, 26, 1e-12);
    cr_assert_eq(hit.face, 0);
    struct lode_svo_cell again;
    cr_assert_eq(lode_svo_node_get(svo, hit.cell.node, &again), 0);
    cr_assert_eq(lode_svo_ray_next(&ray, &hit), 1);
    cr_assert_eq(hit.cell.content.value, 5);
    cr_assert_eq(hit.cell.level, 1);
    cr_assert_eq(hit.cell.at.x, 4);
    cr_assert_float_eq(hit.t_in, 26, 1e-12);
    cr_assert_float_eq(hit.t_out, 34, 1e-12);
    cr_assert_eq(lode_svo_ray_next(&ray, &hit), 0);
    cr_assert_eq(lode_svo_ray_next(&ray, &hit), 0);
    direction[0] = -1;
    origin[0] = 44;
    cr_assert_eq(lode_svo_ray_begin(&ray, svo, origin, direction, 3), 0); /* it begins inside */
    cr_assert_eq(lode_svo_ray_next(&ray, &hit), 1);
    cr_assert_eq(hit.face, -1);
    cr_assert_eq(hit.t_in, 0);
    cr_assert_eq(hit.t_out, 3);
    cr_assert_eq(lode_svo_ray_next(&ray, &hit), 0);
    origin[0] = 500;
    cr_assert_eq(lode_svo_ray_begin(&ray, svo, origin, direction, INFINITY), 0);
    cr_assert_eq(lode_svo_ray_next(&ray, &hit), 1);
    cr_assert_eq(hit.face, 1);
    cr_assert_float_eq(hit.t_in, 500 - 48, 1e-9);
    lode_svo_destroy(svo);
}

Test(svoray, may_miss_the_tree)
{
    struct lode_svo *svo = make(2, 0);
    struct lode_svo_ray ray;
    struct lode_svo_hit hit;
    set(svo, 2, (struct lode_ivec3){0, 0, 0}, &rock);
    double outside[3] = {40, 0, 0}, away[3] = {1, 0.1, 0}, beside[3] = {0, 1, 0};
    cr_assert_eq(lode_svo_ray_begin(&ray, svo, outside, away, INFINITY), 0);
    cr_assert_eq(lode_svo_ray_next(&ray, &hit), 0);
    cr_assert_eq(lode_svo_ray_begin(&ray, svo, outside, beside, INFINITY), 0);
    cr_assert_eq(lode_svo_ray_next(&ray, &hit), 0);
    double towards[3] = {-1, 0, 0};
    cr_assert_eq(lode_svo_ray_begin(&ray, svo, outside, towards, 23), 0); /* ends before it */
    cr_assert_eq(lode_svo_ray_next(&ray, &hit), 0);
    cr_assert_eq(lode_svo_ray_begin(&ray, svo, outside, towards, 25), 0);
    cr_assert_eq(lode_svo_ray_next(&ray, &hit), 1);
    lode_svo_destroy(svo);
}

Test(svoray, what_is_no_ray_is_refused)
{
    struct lode_svo *svo = make(2, 0);
    struct lode_svo_ray ray;
    double at[3] = {0, 0, 0}, x[3] = {1, 0, 0}, nowhere[3] = {NAN, 0, 0}, far[3] = {0, INFINITY, 0};
    cr_assert_eq(lode_svo_ray_begin(&ray, svo, at, at, 1), -EINVAL);
    cr_assert_eq(lode_svo_ray_begin(&ray, svo, nowhere, x, 1), -EINVAL);
    cr_assert_eq(lode_svo_ray_begin(&ray, svo, at, nowhere, 1), -EINVAL);
    cr_assert_eq(lode_svo_ray_begin(&ray, svo, at, far, 1), -EINVAL);
    cr_assert_eq(lode_svo_ray_begin(&ray, svo, at, x, -1), -EINVAL);
    cr_assert_eq(lode_svo_ray_begin(&ray, svo, at, x, NAN), -EINVAL);
    lode_svo_destroy(svo);
}

Test(svoray, the_largest_and_smallest_numbers_end)
{
    struct lode_svo *svo = make(LODE_SVO_LEVELS_MAX, 0);
    struct lode_svo_ray ray;
    struct lode_svo_hit hit;
    double numbers[] = {0, 5e-324, 1e-300, 1e-9, 1, 1e9, 1e300, 1.7e308, -5e-324, -1, -1.7e308};
    set(svo, 0, (struct lode_ivec3){0, 0, 0}, &rock);
    set(svo, 20, (struct lode_ivec3){-1, -1, -1}, &rock);
    for (int i = 0; i < 11 * 11 * 11 * 11; i++) {
        double direction[3] = {numbers[i % 11], numbers[i / 11 % 11], numbers[i / 121 % 11]};
        double start = numbers[i / 1331], origin[3] = {start, -start, start / 2};
        if (lode_svo_ray_begin(&ray, svo, origin, direction, INFINITY) != 0)
            continue;
        int hits = 0;
        double last = 0;
        while (lode_svo_ray_next(&ray, &hit) == 1) {
            cr_assert(hit.t_in >= last && hit.t_out >= hit.t_in);
            last = hit.t_out;
            cr_assert_leq(++hits, 2);
        }
    }
    lode_svo_destroy(svo);
}
