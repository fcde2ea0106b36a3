/* SPDX-License-Identifier: MIT */
/*
 * Kernels over one SDF brick: pack and unpack its voxels, sample it, dig in it. Owns nothing,
 * allocates nothing, takes no lock, reads no handle: plain memory in, plain memory out. Any thread.
 *
 * A brick is dim^3 voxels, dim 4, 8 or 16; voxel (x, y, z) has index x + dim * (y + dim * z).
 * Values are signed distances in voxels, negative inside what is solid. Points are in voxels from
 * the brick's lowest corner; a voxel's value stands at its centre, (x + 0.5, y + 0.5, z + 0.5).
 *
 * A tier keeps `bits` (16, 8 or 4) bits a voxel. With n = 2^bits and quantum = 2 * band / n, code c
 * in [0, n) means (c + 0.5) * quantum - band: mid-riser, so that no code means 0 and the sign is a
 * bit of the code. In floats, each step rounded once, nothing contracted:
 *
 *     encode  scale = n/2 / band
 *             m = trunc(min(|v| * scale, n/2 - 1))       a NaN product: n/2 - 1
 *             c = v < 0 ? n/2 - 1 - m : n/2 + m          -0.0 and NaN are not below 0
 *     decode  v = (c + (0.5 - n/2)) * (band * 2/n)       the sum is exact
 *
 * Inside the band |decoded - v| <= quantum/2 but for rounding (2^-22 of |v|); beyond it v takes the
 * end code of its sign; a NaN becomes +band; a negative denormal stays negative, also in a
 * thread that runs with denormals as zero. Encoding what was decoded gives the same code.
 *
 *     bits  payload (no header, no padding)
 *      16   uint16_t[dim^3]          little-endian, 2-byte aligned
 *       8   uint8_t[dim^3]
 *       4   uint8_t[dim^3 / 2]       voxel 2i in the low nibble, 2i + 1 in the high one
 *
 * There are two paths through the kernels, plain C and AVX2, picked once when the library is
 * loaded. In the default rounding mode they give the same bits for every input; only where a sample
 * is NaN, which NaN it is may differ. Ours; the mid-riser quantizer is textbook (Gersho and Gray,
 * Vector Quantization and Signal Compression, 1992), the distance functions are the usual exact
 * ones (Hart, Sphere tracing, 1996; Quilez, Distance functions).
 */
#ifndef LODEI_SDFPACK_H
#define LODEI_SDFPACK_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/attr.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "16-bit payloads are little-endian");

/* --- Which path --- */

enum lodei_sdf_path { LODEI_SDF_BASE, LODEI_SDF_AVX2 };

enum lodei_sdf_path lodei_sdf_path(void);

/* Take another path from now on, for tests and measurements. 0; -ENOTSUP: not on this machine. */
int lodei_sdf_path_set(enum lodei_sdf_path path);

/* --- Single voxels --- */

/* Bands with which nothing below overflows or vanishes. Callers check; kernels assume. */
LODE_INLINE int lodei_sdf_band_valid(float band)
{
    return band >= 0x1p-64f && band <= 0x1p64f;
}

LODE_INLINE int lodei_sdf_bits_valid(unsigned bits)
{
    return bits == 16 || bits == 8 || bits == 4;
}

LODE_INLINE int lodei_sdf_dim_valid(unsigned dim)
{
    return dim == 4 || dim == 8 || dim == 16;
}

LODE_INLINE size_t lodei_sdf_voxels(unsigned dim)
{
    return (size_t)dim * dim * dim;
}

LODE_INLINE size_t lodei_sdf_payload_bytes(unsigned bits, unsigned dim)
{
    return lodei_sdf_voxels(dim) * bits / 8;
}

LODE_INLINE float lodei_sdf_scale(unsigned bits, float band)
{
    return (float)(1u << (bits - 1)) / band;
}

LODE_INLINE float lodei_sdf_quantum(unsigned bits, float band)
{
    return band * (1.0f / (float)(1u << (bits - 1)));
}

/* What is added to a code, exactly, before it is multiplied with the quantum. */
LODE_INLINE float lodei_sdf_offset(unsigned bits)
{
    return 0.5f - (float)(1u << (bits - 1));
}

/* v < 0, by its bits: no float comparison sees denormals where a thread takes them for zero. */
LODE_INLINE int lodei_sdf_negative(float v)
{
    uint32_t u;
    memcpy(&u, &v, sizeof(u));
    /* [0x80000001, 0xff800000], from the least denormal to -inf, less 1 */
    return (int32_t)(u - 1) < -0x800000;
}

/* The code of one value, with scale = lodei_sdf_scale(bits, band). */
LODE_INLINE unsigned lodei_sdf_code(unsigned bits, float scale, float v)
{
    unsigned half = 1u << (bits - 1);
    float t = __builtin_fabsf(v) * scale, top = (float)(half - 1);
    unsigned m = (unsigned)(int)(t < top ? t : top);
    return lodei_sdf_negative(v) ? half - 1 - m : half + m;
}

/* The value of one code, with quantum = lodei_sdf_quantum(bits, band). */
LODE_INLINE float lodei_sdf_value(unsigned bits, float quantum, unsigned code)
{
    return ((float)(int)code + lodei_sdf_offset(bits)) * quantum;
}

/* The code of the voxel with this index. */
LODE_INLINE unsigned lodei_sdf_code_at(unsigned bits, const void *payload, size_t index)
{
    if (bits == 16)
        return ((const uint16_t *)payload)[index];
    if (bits == 8)
        return ((const uint8_t *)payload)[index];
    return ((const uint8_t *)payload)[index / 2] >> (index % 2 * 4) & 15;
}

/* The value of voxel (x, y, z), each below dim. */
LODE_INLINE float lodei_sdf_at(unsigned bits, unsigned dim, float band, const void *payload,
                               unsigned x, unsigned y, unsigned z)
{
    size_t index = x + (size_t)dim * (y + (size_t)dim * z);
    return lodei_sdf_value(bits, lodei_sdf_quantum(bits, band),
                           lodei_sdf_code_at(bits, payload, index));
}

/* --- Whole bricks --- */

/* The least and the greatest code of a brick. */
struct lodei_sdf_range {
    uint16_t min_code, max_code;
};

LODE_INLINE int lodei_sdf_range_homogeneous(struct lodei_sdf_range range)
{
    return range.min_code == range.max_code;
}

/* Nothing but +band or beyond. */
LODE_INLINE int lodei_sdf_range_outside(struct lodei_sdf_range range, unsigned bits)
{
    return range.min_code == (1u << bits) - 1;
}

/* Nothing but -band or beyond. */
LODE_INLINE int lodei_sdf_range_inside(struct lodei_sdf_range range)
{
    return range.max_code == 0;
}

/* Both signs: the surface runs through this brick. */
LODE_INLINE int lodei_sdf_range_crosses(struct lodei_sdf_range range, unsigned bits)
{
    unsigned half = 1u << (bits - 1);
    return range.min_code < half && range.max_code >= half;
}

/* values: float[dim][dim][dim], x fastest, 4-byte aligned; payload: all of it is written. */
struct lodei_sdf_range lodei_sdf_encode(unsigned bits, unsigned dim, float band,
                                        const float *values, void *payload);
void lodei_sdf_decode(unsigned bits, unsigned dim, float band, const void *payload, float *values);

/* The range of what was encoded before. */
struct lodei_sdf_range lodei_sdf_payload_range(unsigned bits, unsigned dim, const void *payload);

/* What decode and then encode give, without the floats between in memory. The buffers do not
 * overlap. A range maps by its two codes: the recoding of a code is monotone. */
void lodei_sdf_recode(unsigned from_bits, float from_band, const void *from, unsigned to_bits,
                      float to_band, void *to, unsigned dim);

/* Part of a brick: corner + size <= dim on each axis. A face is a box with one side of 1. */
struct lodei_sdf_box {
    unsigned corner[3], size[3];
};

/* Decode `box` into values[(z * slice_stride) + (y * row_stride) + x], x, y, z from the box's
 * corner, strides in floats: one part of an array with an apron. */
void lodei_sdf_decode_box(unsigned bits, unsigned dim, float band, const void *payload,
                          const struct lodei_sdf_box *box, float *values, size_t row_stride,
                          size_t slice_stride);

/* --- Sampling: trilinear, with the exact gradient of the interpolant (per voxel) --- */

struct lodei_sdf_sample {
    float value, gradient[3];
};

/* Arrays of as many floats as points are given. */
struct lodei_sdf_points {
    const float *x, *y, *z;
};

/* gradient_x NULL: no gradients are wanted; else all three are there. */
struct lodei_sdf_samples {
    float *value, *gradient_x, *gradient_y, *gradient_z;
};

LODE_INLINE float lodei_sdf_lerp(float a, float b, float t)
{
    return a + t * (b - a);
}

/*
 * corners[i + 2j + 4k] is the value at the corner (i, j, k) of a cube of side 1; (x, y, z) in
 * [0, 1] is a point in it. The order of the steps here is what the batches below do.
 */
LODE_INLINE struct lodei_sdf_sample lodei_sdf_sample1(const float corners[8], float x, float y,
                                                      float z)
{
    float d00 = corners[1] - corners[0], d10 = corners[3] - corners[2];
    float d01 = corners[5] - corners[4], d11 = corners[7] - corners[6];
    float c00 = corners[0] + x * d00, c10 = corners[2] + x * d10;
    float c01 = corners[4] + x * d01, c11 = corners[6] + x * d11;
    float e0 = c10 - c00, e1 = c11 - c01;
    float c0 = c00 + y * e0, c1 = c01 + y * e1;
    float g = c1 - c0;
    struct lodei_sdf_sample sample = {
        c0 + z * g,
        {lodei_sdf_lerp(lodei_sdf_lerp(d00, d10, y), lodei_sdf_lerp(d01, d11, y), z),
         lodei_sdf_lerp(e0, e1, z), g}};
    return sample;
}

/*
 * Sample `count` points inside one brick. A point whose eight voxels are not all in this brick
 * (outside [0.5, dim - 0.5) on an axis, or NaN) is left to the caller: its index goes to ret_left
 * (room for `count`), ascending, and what is written for it is unspecified. Returns how many were
 * left. count <= UINT32_MAX.
 */
size_t lodei_sdf_sample_payload(unsigned bits, unsigned dim, float band, const void *payload,
                                size_t count, const struct lodei_sdf_points *points,
                                const struct lodei_sdf_samples *ret_samples, uint32_t *ret_left);

/* The same over a decoded brick. */
size_t lodei_sdf_sample_values(unsigned dim, const float *values, size_t count,
                               const struct lodei_sdf_points *points,
                               const struct lodei_sdf_samples *ret_samples, uint32_t *ret_left);

/* Sample `count` cubes: corners[c * stride + i] is corner c of cube i, fractions are in [0, 1]. */
void lodei_sdf_sample_corners(size_t count, const float *corners, size_t stride,
                              const struct lodei_sdf_points *fractions,
                              const struct lodei_sdf_samples *ret_samples);

/* --- Edits: constructive solid geometry on a decoded brick, in place --- */

enum lodei_sdf_op {
    LODEI_SDF_CARVE, /* v = max(v, -d): what is inside the shape becomes air */
    LODEI_SDF_FILL,  /* v = min(v, d): it becomes solid */
};

/* What an edit did. A NaN is never changed and counts for neither bound. */
struct lodei_sdf_change {
    uint32_t changed; /* voxels */
    float min, max;   /* of all voxels afterwards; +inf and -inf where all are NaN */
};

/* d = |p - centre| - radius */
struct lodei_sdf_change lodei_sdf_edit_sphere(enum lodei_sdf_op op, unsigned dim, float *values,
                                              const float centre[3], float radius);

/* d = |p - nearest point of the segment a b| - radius; a == b is a sphere. */
struct lodei_sdf_change lodei_sdf_edit_capsule(enum lodei_sdf_op op, unsigned dim, float *values,
                                               const float a[3], const float b[3], float radius);

/* d = distance to the box of these half sides, along the axes, around centre; exact outside and
 * inside. */
struct lodei_sdf_change lodei_sdf_edit_box(enum lodei_sdf_op op, unsigned dim, float *values,
                                           const float centre[3], const float half_sides[3]);

/* --- Other channels: elements of 1 or 2 bytes a voxel, stored as they are --- */

void lodei_sdf_channel_fill(unsigned element_bytes, unsigned dim, void *elements, unsigned value);

/* All elements are equal. */
int lodei_sdf_channel_homogeneous(unsigned element_bytes, unsigned dim, const void *elements);

/* How many different values there are, at most `limit` (1..256); limit + 1: more than that. They go
 * to ret_values (room for `limit`) in the order of their first voxels. */
unsigned lodei_sdf_channel_distinct(unsigned element_bytes, unsigned dim, const void *elements,
                                    unsigned limit, uint16_t *ret_values);

/* Copy `box` out as lodei_sdf_decode_box() does, strides in elements. */
void lodei_sdf_channel_copy_box(unsigned element_bytes, unsigned dim, const void *elements,
                                const struct lodei_sdf_box *box, void *ret_elements,
                                size_t row_stride, size_t slice_stride);

#endif
