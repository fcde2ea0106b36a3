/* SPDX-License-Identifier: MIT */
/*
 * A drill through solid rock, as a game would do it: at each step it takes a ball out of what is
 * there, in every brick that the ball's band reaches; a brick that is not there is all rock. The
 * way bends now and then.
 */
#ifndef DRILL_WALK_H
#define DRILL_WALK_H

#include <lode/predict.h>

#include <math.h>
#include <stdint.h>

#define DRILL_DIM    8
#define DRILL_VOXELS 512
#define DRILL_RADIUS 3.0f
#define DRILL_STEP   0.75f
#define DRILL_BAND   4.0f

struct drill_walk {
    struct lode_sdf *field;
    uint64_t random;
    float position[3], direction[3];
    unsigned steps;
    unsigned long made, edited, retiered; /* bricks */
    int status;                           /* the first error */
    double (*now_ns)(void);               /* NULL: what follows is not wanted */
    double *made_ns;                      /* how long the store of each new brick took */
    unsigned long made_room;
};

struct drill_ball {
    float centre[3]; /* from the brick's corner */
    float least;     /* |distance|, afterwards */
    int changed;
};

/* What is solid less the ball: max(v, radius - |p - centre|). */
static inline int drill_carve(void *ctx, float *values)
{
    struct drill_ball *ball = ctx;
    ball->changed = 0;
    ball->least = DRILL_BAND;
    for (int i = 0; i < DRILL_VOXELS; i++) {
        float x = (float)(i % 8) + 0.5f - ball->centre[0];
        float y = (float)(i / 8 % 8) + 0.5f - ball->centre[1];
        float z = (float)(i / 64) + 0.5f - ball->centre[2];
        float d = DRILL_RADIUS - sqrtf(x * x + y * y + z * z);
        if (d > values[i]) {
            values[i] = d;
            ball->changed = 1;
        }
        ball->least = fabsf(values[i]) < ball->least ? fabsf(values[i]) : ball->least;
    }
    return !ball->changed;
}

/* Edit a brick, and keep it as finely as it is near to the surface now. */
static inline int drill_edit(struct drill_walk *walk, lode_handle brick, struct drill_ball *ball)
{
    struct lode_brick_info info;
    int status = lode_sdf_edit(walk->field, brick, drill_carve, ball);
    if (status != 0)
        return status < 0 ? status : 0; /* not reached: 1 */
    walk->edited++;
    status = lode_sdf_brick_info(walk->field, brick, &info);
    enum lode_tier tier = lode_sdf_tier_at(walk->field, ball->least);
    if (status != 0 || tier == info.tier)
        return status;
    walk->retiered++;
    return lode_sdf_retier(walk->field, brick, tier);
}

static inline int drill_brick(struct drill_walk *walk, struct lode_ivec3 at)
{
    struct drill_ball ball = {.centre = {walk->position[0] - (float)(at.x * DRILL_DIM),
                                         walk->position[1] - (float)(at.y * DRILL_DIM),
                                         walk->position[2] - (float)(at.z * DRILL_DIM)}};
    float values[DRILL_VOXELS];
    lode_handle brick;
    if (lode_sdf_find(walk->field, 0, at, &brick) == 0)
        return drill_edit(walk, brick, &ball);
    for (int i = 0; i < DRILL_VOXELS; i++)
        values[i] = -DRILL_BAND;
    if (drill_carve(&ball, values) != 0)
        return 0;
    double start = walk->now_ns != NULL ? walk->now_ns() : 0;
    int status = lode_sdf_store(walk->field, 0, at, values, NULL, &brick);
    if (walk->now_ns != NULL && walk->made < walk->made_room)
        walk->made_ns[walk->made] = walk->now_ns() - start;
    walk->made++;
    return status;
}

/* One step of the drill: what is timed. */
static inline void drill_dig(struct drill_walk *walk)
{
    int32_t lo[3], hi[3];
    for (int axis = 0; axis < 3; axis++) {
        lo[axis] = (int32_t)floorf((walk->position[axis] - DRILL_RADIUS - DRILL_BAND) / DRILL_DIM);
        hi[axis] = (int32_t)floorf((walk->position[axis] + DRILL_RADIUS + DRILL_BAND) / DRILL_DIM);
    }
    for (int32_t z = lo[2]; z <= hi[2]; z++)
        for (int32_t y = lo[1]; y <= hi[1]; y++)
            for (int32_t x = lo[0]; x <= hi[0]; x++) {
                int status = drill_brick(walk, (struct lode_ivec3){x, y, z});
                if (walk->status == 0)
                    walk->status = status;
            }
}

static inline float drill_random(struct drill_walk *walk)
{
    walk->random = walk->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (float)(walk->random >> 40) / (float)(1 << 23) - 1;
}

/* Go on to where the next step is; the first time, to the start. */
static inline void drill_move(struct drill_walk *walk)
{
    float length = 0;
    if (walk->steps++ % 250 == 0)
        for (int axis = 0; axis < 3; axis++)
            walk->direction[axis] += drill_random(walk) * (walk->steps == 1 ? 1.0f : 0.4f);
    for (int axis = 0; axis < 3; axis++) {
        walk->direction[axis] += drill_random(walk) * 0.01f; /* nobody holds it quite still */
        length += walk->direction[axis] * walk->direction[axis];
    }
    for (int axis = 0; axis < 3; axis++) {
        walk->direction[axis] /= sqrtf(length);
        walk->position[axis] += walk->direction[axis] * DRILL_STEP;
    }
}

#endif
