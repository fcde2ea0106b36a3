/* SPDX-License-Identifier: MIT */
/*
 * The plain path of sdfpack.h: C that any compiler vectorises for the processor it builds for
 * (SSE2 on x86-64), over the single-voxel functions of the header, which define every result.
 * Owns nothing. Payloads are done in runs of RUN voxels through a small array on the stack, in
 * loops of a constant length: that is what makes gcc and clang vectorise them.
 *
 *     values    |----- RUN -----|----- RUN -----| ...       every brick is a whole number of runs
 *     codes     uint16_t[RUN] on the stack
 *     payload   RUN * bits / 8 bytes
 */
#include "ext/sdfkernels.h"

#include <math.h>

#define RUN 64

/* --- Runs of codes --- */

LODE_INLINE void codes_load(unsigned bits, const uint8_t *from, uint16_t *codes)
{
    if (bits == 16)
        memcpy(codes, from, RUN * sizeof(*codes));
    else if (bits == 8)
        for (unsigned i = 0; i < RUN; i++)
            codes[i] = from[i];
    else
        for (unsigned i = 0; i < RUN / 2; i++) {
            codes[2 * i] = from[i] & 15;
            codes[2 * i + 1] = from[i] >> 4;
        }
}

LODE_INLINE void codes_store(unsigned bits, const uint16_t *codes, uint8_t *to)
{
    if (bits == 16)
        memcpy(to, codes, RUN * sizeof(*codes));
    else if (bits == 8)
        for (unsigned i = 0; i < RUN; i++)
            to[i] = (uint8_t)codes[i];
    else
        for (unsigned i = 0; i < RUN / 2; i++)
            to[i] = (uint8_t)(codes[2 * i] | codes[2 * i + 1] << 4);
}

LODE_INLINE void codes_of(unsigned bits, float scale, const float *values, uint16_t *codes)
{
    for (unsigned i = 0; i < RUN; i++)
        codes[i] = (uint16_t)lodei_sdf_code(bits, scale, values[i]);
}

LODE_INLINE void values_of(unsigned bits, float quantum, const uint16_t *codes, float *values)
{
    for (unsigned i = 0; i < RUN; i++)
        values[i] = lodei_sdf_value(bits, quantum, codes[i]);
}

/* The range so far at each place of a run, less n/2: SSE2 compares signed 16-bit numbers only. */
struct extremes {
    int16_t min[RUN], max[RUN];
};

LODE_INLINE void extremes_none(struct extremes *extremes)
{
    for (unsigned i = 0; i < RUN; i++) {
        extremes->min[i] = INT16_MAX;
        extremes->max[i] = INT16_MIN;
    }
}

LODE_INLINE void extremes_add(struct extremes *extremes, unsigned bits, const uint16_t *codes)
{
    for (unsigned i = 0; i < RUN; i++) {
        int16_t code = (int16_t)(codes[i] - (1 << (bits - 1)));
        extremes->min[i] = code < extremes->min[i] ? code : extremes->min[i];
        extremes->max[i] = code > extremes->max[i] ? code : extremes->max[i];
    }
}

/* Fold the upper half of 2 * width places into the lower one. */
LODE_INLINE void extremes_fold(struct extremes *extremes, unsigned width)
{
    for (unsigned i = 0; i < width; i++) {
        int16_t min = extremes->min[i + width], max = extremes->max[i + width];
        extremes->min[i] = min < extremes->min[i] ? min : extremes->min[i];
        extremes->max[i] = max > extremes->max[i] ? max : extremes->max[i];
    }
}

LODE_INLINE struct lodei_sdf_range extremes_range(struct extremes *extremes, unsigned bits)
{
    extremes_fold(extremes, 32);
    extremes_fold(extremes, 16);
    extremes_fold(extremes, 8);
    for (unsigned width = 4; width > 0; width /= 2)
        extremes_fold(extremes, width);
    struct lodei_sdf_range range = {(uint16_t)(extremes->min[0] + (1 << (bits - 1))),
                                    (uint16_t)(extremes->max[0] + (1 << (bits - 1)))};
    return range;
}

/* --- Whole bricks --- */

LODE_INLINE struct lodei_sdf_range encode_bits(unsigned bits, size_t voxels, float band,
                                               const float *values, uint8_t *payload)
{
    float scale = lodei_sdf_scale(bits, band);
    struct extremes extremes;
    extremes_none(&extremes);
    for (size_t i = 0; i < voxels; i += RUN) {
        uint16_t codes[RUN];
        codes_of(bits, scale, values + i, codes);
        extremes_add(&extremes, bits, codes);
        codes_store(bits, codes, payload + i * bits / 8);
    }
    return extremes_range(&extremes, bits);
}

static struct lodei_sdf_range encode(unsigned bits, size_t voxels, float band, const float *values,
                                     void *payload)
{
    if (bits == 16)
        return encode_bits(16, voxels, band, values, payload);
    if (bits == 8)
        return encode_bits(8, voxels, band, values, payload);
    return encode_bits(4, voxels, band, values, payload);
}

LODE_INLINE void decode_bits(unsigned bits, size_t voxels, float band, const uint8_t *payload,
                             float *values)
{
    float quantum = lodei_sdf_quantum(bits, band);
    for (size_t i = 0; i < voxels; i += RUN) {
        uint16_t codes[RUN];
        codes_load(bits, payload + i * bits / 8, codes);
        values_of(bits, quantum, codes, values + i);
    }
}

static void decode(unsigned bits, size_t voxels, float band, const void *payload, float *values)
{
    if (bits == 16)
        decode_bits(16, voxels, band, payload, values);
    else if (bits == 8)
        decode_bits(8, voxels, band, payload, values);
    else
        decode_bits(4, voxels, band, payload, values);
}

static struct lodei_sdf_range range(unsigned bits, size_t voxels, const void *payload)
{
    struct extremes extremes;
    extremes_none(&extremes);
    for (size_t i = 0; i < voxels; i += RUN) {
        uint16_t codes[RUN];
        codes_load(bits, (const uint8_t *)payload + i * bits / 8, codes);
        extremes_add(&extremes, bits, codes);
    }
    return extremes_range(&extremes, bits);
}

/* To fewer bits in the same band: the high bits stay. Decoding and encoding give just that: a value
 * stands 2^-16 of itself or more from the ends of a wider quantum, its roundings are 2^-22. */
static void codes_shift(unsigned by, uint16_t *codes)
{
    for (unsigned i = 0; i < RUN; i++)
        codes[i] = (uint16_t)(codes[i] >> by);
}

LODE_INLINE void recode_bits(unsigned from_bits, float from_band, const uint8_t *from,
                             unsigned to_bits, float to_band, uint8_t *to, size_t voxels)
{
    float quantum = lodei_sdf_quantum(from_bits, from_band);
    float scale = lodei_sdf_scale(to_bits, to_band);
    int shifts = from_bits > to_bits && from_band == to_band;
    for (size_t i = 0; i < voxels; i += RUN) {
        uint16_t codes[RUN];
        codes_load(from_bits, from + i * from_bits / 8, codes);
        if (shifts) {
            codes_shift(from_bits - to_bits, codes);
        } else {
            float values[RUN];
            values_of(from_bits, quantum, codes, values);
            codes_of(to_bits, scale, values, codes);
        }
        codes_store(to_bits, codes, to + i * to_bits / 8);
    }
}

static void recode(unsigned from_bits, float from_band, const void *from, unsigned to_bits,
                   float to_band, void *to, size_t voxels)
{
    if (to_bits == 16)
        recode_bits(from_bits, from_band, from, 16, to_band, to, voxels);
    else if (to_bits == 8)
        recode_bits(from_bits, from_band, from, 8, to_band, to, voxels);
    else
        recode_bits(from_bits, from_band, from, 4, to_band, to, voxels);
}

LODE_INLINE void decode_box_bits(unsigned bits, const struct lodei_sdf_brick *brick,
                                 const struct lodei_sdf_box *box, float *values, size_t row_stride,
                                 size_t slice_stride)
{
    float quantum = lodei_sdf_quantum(bits, brick->band);
    for (size_t z = 0; z < box->size[2]; z++)
        for (size_t y = 0; y < box->size[1]; y++) {
            float *row = values + z * slice_stride + y * row_stride;
            size_t start = box->corner[0] +
                           brick->dim * (box->corner[1] + y + brick->dim * (box->corner[2] + z));
            for (size_t x = 0; x < box->size[0]; x++)
                row[x] = lodei_sdf_value(bits, quantum,
                                         lodei_sdf_code_at(bits, brick->voxels, start + x));
        }
}

static void decode_box(const struct lodei_sdf_brick *brick, const struct lodei_sdf_box *box,
                       float *values, size_t row_stride, size_t slice_stride)
{
    if (brick->bits == 16)
        decode_box_bits(16, brick, box, values, row_stride, slice_stride);
    else if (brick->bits == 8)
        decode_box_bits(8, brick, box, values, row_stride, slice_stride);
    else
        decode_box_bits(4, brick, box, values, row_stride, slice_stride);
}

/* --- Sampling --- */

LODE_INLINE void sample_store(const struct lodei_sdf_samples *samples, size_t i,
                              struct lodei_sdf_sample sample)
{
    samples->value[i] = sample.value;
    if (samples->gradient_x != NULL) {
        samples->gradient_x[i] = sample.gradient[0];
        samples->gradient_y[i] = sample.gradient[1];
        samples->gradient_z[i] = sample.gradient[2];
    }
}

LODE_INLINE float voxel(unsigned bits, const void *voxels, float quantum, size_t index)
{
    if (bits == 32)
        return ((const float *)voxels)[index];
    return lodei_sdf_value(bits, quantum, lodei_sdf_code_at(bits, voxels, index));
}

LODE_INLINE size_t sample_bits(unsigned bits, const struct lodei_sdf_brick *brick, size_t count,
                               const struct lodei_sdf_points *points,
                               const struct lodei_sdf_samples *ret_samples, uint32_t *ret_left)
{
    size_t left = 0, dim = brick->dim;
    float last = (float)(brick->dim - 1);
    float quantum = bits == 32 ? 1.0f : lodei_sdf_quantum(bits, brick->band);
    for (size_t i = 0; i < count; i++) {
        float x = points->x[i] - 0.5f, y = points->y[i] - 0.5f, z = points->z[i] - 0.5f;
        if (!(x >= 0 && x < last && y >= 0 && y < last && z >= 0 && z < last)) {
            ret_left[left++] = (uint32_t)i;
            continue;
        }
        size_t low_x = (size_t)x, low_y = (size_t)y, low_z = (size_t)z;
        size_t index = low_x + dim * (low_y + dim * low_z);
        float corners[8];
        for (unsigned c = 0; c < 8; c++)
            corners[c] = voxel(bits, brick->voxels, quantum,
                               index + (c & 1) + dim * ((c >> 1 & 1) + dim * (c >> 2)));
        sample_store(
            ret_samples, i,
            lodei_sdf_sample1(corners, x - (float)low_x, y - (float)low_y, z - (float)low_z));
    }
    return left;
}

static size_t sample(const struct lodei_sdf_brick *brick, size_t count,
                     const struct lodei_sdf_points *points,
                     const struct lodei_sdf_samples *ret_samples, uint32_t *ret_left)
{
    if (brick->bits == 32)
        return sample_bits(32, brick, count, points, ret_samples, ret_left);
    if (brick->bits == 16)
        return sample_bits(16, brick, count, points, ret_samples, ret_left);
    if (brick->bits == 8)
        return sample_bits(8, brick, count, points, ret_samples, ret_left);
    return sample_bits(4, brick, count, points, ret_samples, ret_left);
}

static void sample_corners(size_t count, const float *corners, size_t stride,
                           const struct lodei_sdf_points *fractions,
                           const struct lodei_sdf_samples *ret_samples)
{
    for (size_t i = 0; i < count; i++) {
        float cube[8];
        for (unsigned c = 0; c < 8; c++)
            cube[c] = corners[c * stride + i];
        sample_store(ret_samples, i,
                     lodei_sdf_sample1(cube, fractions->x[i], fractions->y[i], fractions->z[i]));
    }
}

/* --- Edits --- */

LODE_INLINE float norm(float x, float y, float z)
{
    return __builtin_sqrtf(x * x + (y * y + z * z));
}

LODE_INLINE float larger(float a, float b)
{
    return a > b ? a : b;
}

LODE_INLINE float smaller(float a, float b)
{
    return a < b ? a : b;
}

/* chosen ? a : b, by masks: conditions one after another, or on constants, become branches, which
 * no vectoriser takes. */
LODE_INLINE float select(int chosen, float a, float b)
{
    uint32_t bits_a, bits_b, mask = -(uint32_t)chosen;
    memcpy(&bits_a, &a, sizeof(a));
    memcpy(&bits_b, &b, sizeof(b));
    bits_b = (bits_a & mask) | (bits_b & ~mask);
    memcpy(&b, &bits_b, sizeof(b));
    return b;
}

LODE_INLINE float above_zero(float v)
{
    return select(v > 0.0f, v, 0.0f);
}

/* The distance from a point to the edit's shape; x, y, z from edit->at. */
LODE_INLINE float distance(unsigned shape, const struct lodei_sdf_edit *edit, float x, float y,
                           float z)
{
    const float *extent = edit->extent;
    if (shape == LODEI_SDF_SPHERE)
        return norm(x, y, z) - edit->radius;
    if (shape == LODEI_SDF_CAPSULE) {
        float h = (x * extent[0] + (y * extent[1] + z * extent[2])) * edit->inverse;
        h = above_zero(h);
        h = select(h < 1.0f, h, 1.0f);
        return norm(x - h * extent[0], y - h * extent[1], z - h * extent[2]) - edit->radius;
    }
    float qx = __builtin_fabsf(x) - extent[0], qy = __builtin_fabsf(y) - extent[1];
    float qz = __builtin_fabsf(z) - extent[2];
    float outside = norm(above_zero(qx), above_zero(qy), above_zero(qz));
    float inside = larger(qx, larger(qy, qz));
    return outside + select(inside < 0.0f, inside, 0.0f);
}

/* The least and greatest value at each place of a run so far. */
struct bounds {
    float min[RUN], max[RUN];
    uint32_t changed;
};

/* The centres of a run's voxels, from the edit's. Those of the first run give all others, as a run
 * is whole rows: y and z grow by whole numbers, and sums of halves are exact. */
struct centres {
    float x[RUN], y[RUN], z[RUN];
};

LODE_INLINE void edit_run(unsigned shape, unsigned op, const struct lodei_sdf_edit *edit,
                          const struct centres *first, float y, float z, float *values,
                          struct bounds *bounds)
{
    for (unsigned i = 0; i < RUN; i++) {
        float d = distance(shape, edit, first->x[i] - edit->at[0], first->y[i] + y - edit->at[1],
                           first->z[i] + z - edit->at[2]);
        float v = values[i], n = op == LODEI_SDF_CARVE ? larger(-d, v) : smaller(d, v);
        bounds->changed += op == LODEI_SDF_CARVE ? -d > v : d < v;
        bounds->min[i] = smaller(n, bounds->min[i]);
        bounds->max[i] = larger(n, bounds->max[i]);
        values[i] = n;
    }
}

static struct lodei_sdf_change change_of(const struct bounds *bounds)
{
    struct lodei_sdf_change change = {bounds->changed, INFINITY, -INFINITY};
    for (unsigned i = 0; i < RUN; i++) {
        change.min = smaller(bounds->min[i], change.min);
        change.max = larger(bounds->max[i], change.max);
    }
    /* a zero bound is +0, in whatever order the voxels were taken */
    change.min += 0.0f;
    change.max += 0.0f;
    return change;
}

LODE_INLINE struct lodei_sdf_change edit_shape(unsigned shape, unsigned op,
                                               const struct lodei_sdf_edit *edit, unsigned dim,
                                               float *values)
{
    struct lodei_sdf_edit known = *edit; /* which no store to values can change */
    struct bounds bounds = {.changed = 0};
    struct centres first;
    for (unsigned i = 0; i < RUN; i++) {
        bounds.min[i] = INFINITY;
        bounds.max[i] = -INFINITY;
        first.x[i] = (float)(i % dim) + 0.5f;
        first.y[i] = (float)(i / dim % dim) + 0.5f;
        first.z[i] = (float)(i / dim / dim) + 0.5f;
    }
    for (unsigned row = 0; row < dim * dim; row += RUN / dim, values += RUN)
        edit_run(shape, op, &known, &first, (float)(row % dim), (float)(row / dim), values,
                 &bounds);
    return change_of(&bounds);
}

static struct lodei_sdf_change edit_brick(const struct lodei_sdf_edit *edit, unsigned dim,
                                          float *values)
{
    int carves = edit->op == LODEI_SDF_CARVE;
    switch (edit->shape) {
    case LODEI_SDF_SPHERE:
        return carves ? edit_shape(LODEI_SDF_SPHERE, LODEI_SDF_CARVE, edit, dim, values)
                      : edit_shape(LODEI_SDF_SPHERE, LODEI_SDF_FILL, edit, dim, values);
    case LODEI_SDF_CAPSULE:
        return carves ? edit_shape(LODEI_SDF_CAPSULE, LODEI_SDF_CARVE, edit, dim, values)
                      : edit_shape(LODEI_SDF_CAPSULE, LODEI_SDF_FILL, edit, dim, values);
    default:
        return carves ? edit_shape(LODEI_SDF_BOX, LODEI_SDF_CARVE, edit, dim, values)
                      : edit_shape(LODEI_SDF_BOX, LODEI_SDF_FILL, edit, dim, values);
    }
}

const struct lodei_sdf_kernels lodei_sdf_kernels_base = {
    .encode = encode,
    .decode = decode,
    .range = range,
    .recode = recode,
    .decode_box = decode_box,
    .sample = sample,
    .sample_corners = sample_corners,
    .edit = edit_brick,
};
