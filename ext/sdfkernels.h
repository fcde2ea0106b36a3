/* SPDX-License-Identifier: MIT */
/*
 * What stands between sdfpack.c, which has the names of sdfpack.h, and the paths it can call: one
 * table of functions a path. Seen by no other file. The tables are constant; sdfpack.c says how one
 * of them is picked.
 */
#ifndef LODEI_SDFKERNELS_H
#define LODEI_SDFKERNELS_H

#include "ext/sdfpack.h"

/* A shape and its op. For a carve the surface d is turned inside out: max(v, -d). */
struct lodei_sdf_edit {
    enum { LODEI_SDF_SPHERE, LODEI_SDF_CAPSULE, LODEI_SDF_BOX } shape;
    enum lodei_sdf_op op;
    float at[3];     /* centre, or the capsule's first end */
    float extent[3]; /* the capsule's second end less the first; the box's half sides */
    float inverse;   /* capsule: 1 / |extent|^2, or 0 where that is not finite */
    float radius;
};

/* One signature for every brick, decoded or not: bits 32 is float values, band then unused. */
struct lodei_sdf_brick {
    const void *voxels;
    unsigned bits, dim;
    float band;
};

struct lodei_sdf_kernels {
    struct lodei_sdf_range (*encode)(unsigned bits, size_t voxels, float band, const float *values,
                                     void *payload);
    void (*decode)(unsigned bits, size_t voxels, float band, const void *payload, float *values);
    struct lodei_sdf_range (*range)(unsigned bits, size_t voxels, const void *payload);
    void (*recode)(unsigned from_bits, float from_band, const void *from, unsigned to_bits,
                   float to_band, void *to, size_t voxels);
    void (*decode_box)(const struct lodei_sdf_brick *brick, const struct lodei_sdf_box *box,
                       float *values, size_t row_stride, size_t slice_stride);
    size_t (*sample)(const struct lodei_sdf_brick *brick, size_t count,
                     const struct lodei_sdf_points *points,
                     const struct lodei_sdf_samples *ret_samples, uint32_t *ret_left);
    void (*sample_corners)(size_t count, const float *corners, size_t stride,
                           const struct lodei_sdf_points *fractions,
                           const struct lodei_sdf_samples *ret_samples);
    struct lodei_sdf_change (*edit)(const struct lodei_sdf_edit *edit, unsigned dim, float *values);
};

extern const struct lodei_sdf_kernels lodei_sdf_kernels_base;

/* NULL where the machine (or this build) has none. */
const struct lodei_sdf_kernels *lodei_sdf_kernels_avx2(void);

#endif
