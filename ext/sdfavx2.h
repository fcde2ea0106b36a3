/* SPDX-License-Identifier: MIT */
/* What the files of the AVX2 path share; x86-64 only. Owns nothing. */
#ifndef LODEI_SDFAVX2_H
#define LODEI_SDFAVX2_H

#include <immintrin.h>

#include "ext/sdfkernels.h"

#define AVX2        __attribute__((target("avx2")))
#define AVX2_INLINE static inline __attribute__((always_inline, target("avx2")))

/* lodei_sdf_value() of eight codes. */
AVX2_INLINE __m256 avx2_values(__m256i codes, __m256 offset, __m256 quantum)
{
    return _mm256_mul_ps(_mm256_add_ps(_mm256_cvtepi32_ps(codes), offset), quantum);
}

size_t lodei_sdf_sample_avx2(const struct lodei_sdf_brick *brick, size_t count,
                             const struct lodei_sdf_points *points,
                             const struct lodei_sdf_samples *ret_samples, uint32_t *ret_left);
void lodei_sdf_sample_corners_avx2(size_t count, const float *corners, size_t stride,
                                   const struct lodei_sdf_points *fractions,
                                   const struct lodei_sdf_samples *ret_samples);
struct lodei_sdf_change lodei_sdf_edit_avx2(const struct lodei_sdf_edit *edit, unsigned dim,
                                            float *values);

#endif
