/* SPDX-License-Identifier: MIT */
/*
 * Edits of the AVX2 path: the formulas of sdfpack_base.c, step for step, eight voxels at a time.
 * Owns nothing; called through the table of sdfpack_avx2.c only. sqrt is exact in both paths
 * (IEEE 754), and min, max and comparisons are written so that the same operand stays where
 * neither is greater: the second one of minps and maxps.
 *
 *     dim 8, 16   a vector is eight voxels of one row
 *     dim 4       it is two rows: lanes 4-7 have y + 1
 */
#include "ext/sdfavx2.h"

#include <math.h>

struct vec3 {
    __m256 x, y, z;
};

AVX2_INLINE struct vec3 spread(const float *from)
{
    struct vec3 v = {_mm256_set1_ps(from[0]), _mm256_set1_ps(from[1]), _mm256_set1_ps(from[2])};
    return v;
}

AVX2_INLINE __m256 dot(struct vec3 a, struct vec3 b)
{
    return _mm256_add_ps(_mm256_mul_ps(a.x, b.x),
                         _mm256_add_ps(_mm256_mul_ps(a.y, b.y), _mm256_mul_ps(a.z, b.z)));
}

AVX2_INLINE __m256 norm(struct vec3 a)
{
    return _mm256_sqrt_ps(dot(a, a));
}

AVX2_INLINE __m256 sphere(struct vec3 p, __m256 radius)
{
    return _mm256_sub_ps(norm(p), radius);
}

AVX2_INLINE __m256 capsule(struct vec3 p, struct vec3 extent, __m256 inverse, __m256 radius)
{
    __m256 h = _mm256_mul_ps(dot(p, extent), inverse);
    h = _mm256_min_ps(_mm256_max_ps(h, _mm256_setzero_ps()), _mm256_set1_ps(1.0f));
    struct vec3 off = {_mm256_sub_ps(p.x, _mm256_mul_ps(h, extent.x)),
                       _mm256_sub_ps(p.y, _mm256_mul_ps(h, extent.y)),
                       _mm256_sub_ps(p.z, _mm256_mul_ps(h, extent.z))};
    return sphere(off, radius);
}

AVX2_INLINE __m256 box(struct vec3 p, struct vec3 half)
{
    const __m256 sign = _mm256_set1_ps(-0.0f), zero = _mm256_setzero_ps();
    struct vec3 q = {_mm256_sub_ps(_mm256_andnot_ps(sign, p.x), half.x),
                     _mm256_sub_ps(_mm256_andnot_ps(sign, p.y), half.y),
                     _mm256_sub_ps(_mm256_andnot_ps(sign, p.z), half.z)};
    struct vec3 out = {_mm256_max_ps(q.x, zero), _mm256_max_ps(q.y, zero),
                       _mm256_max_ps(q.z, zero)};
    __m256 in = _mm256_max_ps(q.x, _mm256_max_ps(q.y, q.z));
    return _mm256_add_ps(norm(out), _mm256_min_ps(in, zero));
}

struct bounds {
    __m256i changed; /* less one for each change, 32 bits a lane */
    __m256 min, max;
};

AVX2_INLINE void apply(unsigned op, __m256 d, float *values, struct bounds *bounds)
{
    __m256 v = _mm256_loadu_ps(values), n, changes;
    if (op == LODEI_SDF_CARVE) {
        d = _mm256_xor_ps(d, _mm256_set1_ps(-0.0f));
        n = _mm256_max_ps(d, v);
        changes = _mm256_cmp_ps(d, v, _CMP_GT_OQ);
    } else {
        n = _mm256_min_ps(d, v);
        changes = _mm256_cmp_ps(d, v, _CMP_LT_OQ);
    }
    bounds->changed = _mm256_add_epi32(bounds->changed, _mm256_castps_si256(changes));
    bounds->min = _mm256_min_ps(n, bounds->min);
    bounds->max = _mm256_max_ps(n, bounds->max);
    _mm256_storeu_ps(values, n);
}

static AVX2 struct lodei_sdf_change change_of(const struct bounds *bounds)
{
    float min[8], max[8];
    int32_t changed[8];
    _mm256_storeu_ps(min, bounds->min);
    _mm256_storeu_ps(max, bounds->max);
    _mm256_storeu_si256((void *)changed, bounds->changed);
    struct lodei_sdf_change change = {0, INFINITY, -INFINITY};
    for (unsigned l = 0; l < 8; l++) {
        change.changed -= (uint32_t)changed[l];
        change.min = min[l] < change.min ? min[l] : change.min;
        change.max = max[l] > change.max ? max[l] : change.max;
    }
    change.min += 0.0f; /* -0 becomes +0, as in the plain path */
    change.max += 0.0f;
    return change;
}

AVX2_INLINE struct lodei_sdf_change edit_shape(unsigned shape, unsigned op,
                                               const struct lodei_sdf_edit *edit, unsigned dim,
                                               float *values)
{
    const struct vec3 at = spread(edit->at), extent = spread(edit->extent);
    const __m256 radius = _mm256_set1_ps(edit->radius), inverse = _mm256_set1_ps(edit->inverse);
    struct bounds bounds = {_mm256_setzero_si256(), _mm256_set1_ps(INFINITY),
                            _mm256_set1_ps(-INFINITY)};
    const __m256 first_x = dim == 4
                               ? _mm256_setr_ps(0.5f, 1.5f, 2.5f, 3.5f, 0.5f, 1.5f, 2.5f, 3.5f)
                               : _mm256_setr_ps(0.5f, 1.5f, 2.5f, 3.5f, 4.5f, 5.5f, 6.5f, 7.5f);
    const __m256 first_y = dim == 4 ? _mm256_setr_ps(0.5f, 0.5f, 0.5f, 0.5f, 1.5f, 1.5f, 1.5f, 1.5f)
                                    : _mm256_set1_ps(0.5f);
    for (unsigned z = 0; z < dim; z++)
        for (unsigned y = 0; y < dim; y += dim == 4 ? 2 : 1)
            for (unsigned x = 0; x < dim; x += 8, values += 8) {
                struct vec3 p = {
                    _mm256_sub_ps(_mm256_add_ps(first_x, _mm256_set1_ps((float)(int)x)), at.x),
                    _mm256_sub_ps(_mm256_add_ps(first_y, _mm256_set1_ps((float)(int)y)), at.y),
                    _mm256_sub_ps(_mm256_set1_ps((float)(int)z + 0.5f), at.z)};
                __m256 d = shape == LODEI_SDF_SPHERE    ? sphere(p, radius)
                           : shape == LODEI_SDF_CAPSULE ? capsule(p, extent, inverse, radius)
                                                        : box(p, extent);
                apply(op, d, values, &bounds);
            }
    return change_of(&bounds);
}

AVX2_INLINE struct lodei_sdf_change edit_dim(unsigned shape, unsigned op,
                                             const struct lodei_sdf_edit *edit, unsigned dim,
                                             float *values)
{
    if (dim == 8)
        return edit_shape(shape, op, edit, 8, values);
    if (dim == 16)
        return edit_shape(shape, op, edit, 16, values);
    return edit_shape(shape, op, edit, 4, values);
}

/* Functions of their own, so that none is too large for the compiler's liking. */
static AVX2 struct lodei_sdf_change edit_sphere(const struct lodei_sdf_edit *edit, unsigned dim,
                                                float *values)
{
    return edit->op == LODEI_SDF_CARVE
               ? edit_dim(LODEI_SDF_SPHERE, LODEI_SDF_CARVE, edit, dim, values)
               : edit_dim(LODEI_SDF_SPHERE, LODEI_SDF_FILL, edit, dim, values);
}

static AVX2 struct lodei_sdf_change edit_capsule(const struct lodei_sdf_edit *edit, unsigned dim,
                                                 float *values)
{
    return edit->op == LODEI_SDF_CARVE
               ? edit_dim(LODEI_SDF_CAPSULE, LODEI_SDF_CARVE, edit, dim, values)
               : edit_dim(LODEI_SDF_CAPSULE, LODEI_SDF_FILL, edit, dim, values);
}

static AVX2 struct lodei_sdf_change edit_box(const struct lodei_sdf_edit *edit, unsigned dim,
                                             float *values)
{
    return edit->op == LODEI_SDF_CARVE ? edit_dim(LODEI_SDF_BOX, LODEI_SDF_CARVE, edit, dim, values)
                                       : edit_dim(LODEI_SDF_BOX, LODEI_SDF_FILL, edit, dim, values);
}

struct lodei_sdf_change lodei_sdf_edit_avx2(const struct lodei_sdf_edit *edit, unsigned dim,
                                            float *values)
{
    if (edit->shape == LODEI_SDF_SPHERE)
        return edit_sphere(edit, dim, values);
    if (edit->shape == LODEI_SDF_CAPSULE)
        return edit_capsule(edit, dim, values);
    return edit_box(edit, dim, values);
}
