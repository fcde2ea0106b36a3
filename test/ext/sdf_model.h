/* SPDX-License-Identifier: MIT */
/*
 * A field beside a naive model of itself: a dense array of bricks, each with its values as floats.
 * Every operation is done to both; what the field answers is checked against the model, and a
 * difference is one line on stderr and abort(). For fuzzers and seeded tests. One thread.
 */
#ifndef SDF_MODEL_H
#define SDF_MODEL_H

#include <stdint.h>

#include "lode/sdf.h"

#define MODEL_SIDE     5 /* bricks an axis */
#define MODEL_BRICKS   (MODEL_SIDE * MODEL_SIDE * MODEL_SIDE)
#define MODEL_VOXELS   512
#define MODEL_CHANNELS 3 /* distances, 16 bits, 8 bits */
#define MODEL_STALE    32

struct model_brick {
    lode_handle handle; /* 0: none */
    unsigned tier, priority;
    float band;
    int defined; /* its voxels are */
    float values[MODEL_VOXELS];
    uint16_t elements[MODEL_VOXELS];
};

struct model {
    struct lode_sdf *sdf;
    uint32_t dim, voxels;
    struct lode_ivec3 origin; /* of the array, in bricks */
    uint32_t max_bricks;
    int has_window;
    struct lode_brick_box window;
    float bands[4]; /* by material */
    uint64_t retiered[LODE_TIER_COUNT];
    lode_handle stale[MODEL_STALE]; /* a ring */
    unsigned stale_count;
    struct model_brick bricks[MODEL_CHANNELS][MODEL_BRICKS];
};

/* dim 4 or 8. */
void model_create(struct model *m, uint32_t dim, struct lode_ivec3 origin, uint32_t max_bricks);
void model_destroy(struct model *m);

/* `place` below MODEL_BRICKS, or not less: a coordinate beside the array. */
struct lode_ivec3 model_at(const struct model *m, unsigned place);

void model_alloc(struct model *m, unsigned channel, unsigned place, unsigned tier);
/* Values from a generator with this seed; tier 0 (by distance) .. 3. */
void model_store(struct model *m, unsigned channel, unsigned place, unsigned tier,
                 unsigned material, unsigned priority, uint64_t seed);
/* The brick of another place again, by its bytes; of a tier it has to have. */
void model_copy_packed(struct model *m, unsigned from, unsigned place, unsigned tier);
void model_free(struct model *m, unsigned channel, unsigned place);
void model_free_many(struct model *m, unsigned channel, unsigned place, unsigned count);
void model_encode(struct model *m, unsigned place, uint64_t seed);
void model_edit(struct model *m, unsigned place, uint64_t seed);
void model_retier(struct model *m, unsigned channel, unsigned place, unsigned tier);
void model_prioritise(struct model *m, unsigned channel, unsigned place, unsigned priority);
void model_band(struct model *m, unsigned material, float width);
void model_window(struct model *m, const struct lode_brick_box *window);
void model_trim(struct model *m);
void model_evict(struct model *m, size_t bytes);
/* A tool's hint near a place; changes nothing that the model knows of. */
void model_hint(struct model *m, unsigned place, uint64_t seed);

/* What reads. */
void model_look(struct model *m, unsigned channel, unsigned place);
void model_view(struct model *m, unsigned place);
void model_sample(struct model *m, unsigned place, uint64_t seed);
void model_around(struct model *m, unsigned place, unsigned apron);
void model_stale(struct model *m, unsigned which);
void model_walk(struct model *m, unsigned channel, const struct lode_brick_box *box);
void model_stats(struct model *m);

#endif
