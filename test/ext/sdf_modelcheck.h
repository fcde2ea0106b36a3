/* SPDX-License-Identifier: MIT */
/* What sdf_model.c and sdf_modelread.c share. */
#ifndef SDF_MODELCHECK_H
#define SDF_MODELCHECK_H

#include <stdio.h>
#include <stdlib.h>

#include "sdf_model.h"

/* What is, and what has to be; both counts, statuses or truths. */
#define MODEL_EXPECT(is, wanted) model_expect((is), (wanted), #is, __func__, __LINE__)

static inline void model_expect(long is, long wanted, const char *what, const char *who, int line)
{
    if (is == wanted)
        return;
    fprintf(stderr, "model: %s, line %d: %s is %ld, not %ld\n", who, line, what, is, wanted);
    abort();
}

/* splitmix64, Steele, Lea and Flood 2014 */
static inline uint64_t model_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static inline float model_float(uint64_t *state, float low, float high)
{
    return low + (high - low) * ((float)(model_random(state) >> 40) / (float)0xffffff);
}

int model_in_range(struct lode_ivec3 at);
int model_in_box(const struct lode_brick_box *box, struct lode_ivec3 at);
int model_in_window(const struct model *m, struct lode_ivec3 at);
/* What a window has to answer. */
int model_box_status(const struct lode_brick_box *box);
/* MODEL_BRICKS: not of the array. */
unsigned model_place(const struct model *m, struct lode_ivec3 at);
/* Groups of 2 x 2 x 2 bricks with a brick, over all channels. */
unsigned model_groups(const struct model *m);
/* Who goes first has the lower one. */
uint64_t model_evict_order(const struct model *m, const struct model_brick *brick,
                           struct lode_ivec3 at);

#endif
