/* SPDX-License-Identifier: MIT */
/*
 * The names of sdfpack.h, and the choice of path. Owns the pointer to the table in use: it names
 * the plain one from the start and the best one from the library's constructor on, so that it is
 * never unset and never costs a branch. Both give the same results: it may change at any time.
 */
#include "ext/sdfkernels.h"

#include <errno.h>
#include <stdatomic.h>

/* Bricks up to this side are decoded on the stack; 16^3 floats would be 16 KiB of it. */
#define DECODED_DIM 8

/* Relaxed: the tables are constant data of this library, nothing else is published with it. */
static _Atomic(const struct lodei_sdf_kernels *) in_use = &lodei_sdf_kernels_base;

static const struct lodei_sdf_kernels *kernels(void)
{
    return atomic_load_explicit(&in_use, memory_order_relaxed);
}

__attribute__((constructor)) static void start(void)
{
    (void)lodei_sdf_path_set(LODEI_SDF_AVX2);
}

enum lodei_sdf_path lodei_sdf_path(void)
{
    return kernels() == &lodei_sdf_kernels_base ? LODEI_SDF_BASE : LODEI_SDF_AVX2;
}

int lodei_sdf_path_set(enum lodei_sdf_path path)
{
    const struct lodei_sdf_kernels *wanted =
        path == LODEI_SDF_AVX2 ? lodei_sdf_kernels_avx2() : &lodei_sdf_kernels_base;
    if (wanted == NULL)
        return -ENOTSUP;
    atomic_store_explicit(&in_use, wanted, memory_order_relaxed);
    return 0;
}

/* --- Whole bricks --- */

struct lodei_sdf_range lodei_sdf_encode(unsigned bits, unsigned dim, float band,
                                        const float *values, void *payload)
{
    return kernels()->encode(bits, lodei_sdf_voxels(dim), band, values, payload);
}

void lodei_sdf_decode(unsigned bits, unsigned dim, float band, const void *payload, float *values)
{
    kernels()->decode(bits, lodei_sdf_voxels(dim), band, payload, values);
}

struct lodei_sdf_range lodei_sdf_payload_range(unsigned bits, unsigned dim, const void *payload)
{
    return kernels()->range(bits, lodei_sdf_voxels(dim), payload);
}

void lodei_sdf_recode(unsigned from_bits, float from_band, const void *from, unsigned to_bits,
                      float to_band, void *to, unsigned dim)
{
    if (from_bits == to_bits && from_band == to_band)
        memcpy(to, from, lodei_sdf_payload_bytes(from_bits, dim));
    else
        kernels()->recode(from_bits, from_band, from, to_bits, to_band, to, lodei_sdf_voxels(dim));
}

void lodei_sdf_decode_box(unsigned bits, unsigned dim, float band, const void *payload,
                          const struct lodei_sdf_box *box, float *values, size_t row_stride,
                          size_t slice_stride)
{
    struct lodei_sdf_brick brick = {.voxels = payload, .bits = bits, .dim = dim, .band = band};
    kernels()->decode_box(&brick, box, values, row_stride, slice_stride);
}

/* --- Sampling --- */

/* For many points, by way of floats on the stack (2 KiB): decoding 8^3 voxels takes 24 ns, a point
 * out of a payload takes 0.6 ns longer than one out of floats (AVX2; plain: 42 and 4). */
static LODE_NOINLINE size_t sample_decoded(const struct lodei_sdf_brick *brick, size_t count,
                                           const struct lodei_sdf_points *points,
                                           const struct lodei_sdf_samples *ret_samples,
                                           uint32_t *ret_left)
{
    float values[DECODED_DIM * DECODED_DIM * DECODED_DIM];
    lodei_sdf_decode(brick->bits, brick->dim, brick->band, brick->voxels, values);
    return lodei_sdf_sample_values(brick->dim, values, count, points, ret_samples, ret_left);
}

size_t lodei_sdf_sample_payload(unsigned bits, unsigned dim, float band, const void *payload,
                                size_t count, const struct lodei_sdf_points *points,
                                const struct lodei_sdf_samples *ret_samples, uint32_t *ret_left)
{
    struct lodei_sdf_brick brick = {.voxels = payload, .bits = bits, .dim = dim, .band = band};
    if (dim <= DECODED_DIM && count >= lodei_sdf_voxels(dim) / 8)
        return sample_decoded(&brick, count, points, ret_samples, ret_left);
    return kernels()->sample(&brick, count, points, ret_samples, ret_left);
}

size_t lodei_sdf_sample_values(unsigned dim, const float *values, size_t count,
                               const struct lodei_sdf_points *points,
                               const struct lodei_sdf_samples *ret_samples, uint32_t *ret_left)
{
    struct lodei_sdf_brick brick = {.voxels = values, .bits = 32, .dim = dim, .band = 1};
    return kernels()->sample(&brick, count, points, ret_samples, ret_left);
}

void lodei_sdf_sample_corners(size_t count, const float *corners, size_t stride,
                              const struct lodei_sdf_points *fractions,
                              const struct lodei_sdf_samples *ret_samples)
{
    kernels()->sample_corners(count, corners, stride, fractions, ret_samples);
}

/* --- Edits --- */

struct lodei_sdf_change lodei_sdf_edit_sphere(enum lodei_sdf_op op, unsigned dim, float *values,
                                              const float centre[3], float radius)
{
    struct lodei_sdf_edit edit = {.shape = LODEI_SDF_SPHERE,
                                  .op = op,
                                  .at = {centre[0], centre[1], centre[2]},
                                  .radius = radius};
    return kernels()->edit(&edit, dim, values);
}

struct lodei_sdf_change lodei_sdf_edit_capsule(enum lodei_sdf_op op, unsigned dim, float *values,
                                               const float a[3], const float b[3], float radius)
{
    struct lodei_sdf_edit edit = {.shape = LODEI_SDF_CAPSULE,
                                  .op = op,
                                  .at = {a[0], a[1], a[2]},
                                  .extent = {b[0] - a[0], b[1] - a[1], b[2] - a[2]},
                                  .radius = radius};
    float square = edit.extent[0] * edit.extent[0] +
                   (edit.extent[1] * edit.extent[1] + edit.extent[2] * edit.extent[2]);
    float inverse = 1.0f / square;
    /* ends so close that nothing is left of the square: one point */
    edit.inverse = inverse <= 0x1.fffffep127f ? inverse : 0.0f;
    return kernels()->edit(&edit, dim, values);
}

struct lodei_sdf_change lodei_sdf_edit_box(enum lodei_sdf_op op, unsigned dim, float *values,
                                           const float centre[3], const float half_sides[3])
{
    struct lodei_sdf_edit edit = {.shape = LODEI_SDF_BOX,
                                  .op = op,
                                  .at = {centre[0], centre[1], centre[2]},
                                  .extent = {half_sides[0], half_sides[1], half_sides[2]}};
    return kernels()->edit(&edit, dim, values);
}
