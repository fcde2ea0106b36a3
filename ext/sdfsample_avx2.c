/* SPDX-License-Identifier: MIT */
/*
 * Samples of the AVX2 path: the steps of lodei_sdf_sample1(), eight points at a time. Owns nothing;
 * called through the table of sdfpack_avx2.c only.
 *
 * Eight points need eight voxels each. They are read as pairs, a voxel and the one beside it in x,
 * four pairs a point, as a 64-bit word of two floats or a 32-bit word that holds two codes:
 *
 *     16 bits   | x | x+1 |        8 bits   | x |x+1|   |   |        4 bits   |x+1:x|   |   |   |
 *                                           |   |   | x |x+1|                 |   |   | x:|:x+1|
 *
 * With 8 and 4 bits the pairs of the slice z start their word, those of the slice z + 1 end it:
 * so a word never reaches out of the payload, from the first pair of the brick to the last.
 * Words are read one by one and put together. Gathers took as long for codes (2.4 ns a point, Zen
 * 5) and twice as long for floats, and are far slower on processors mended against Downfall.
 */
#include "ext/sdfavx2.h"

struct eight {
    __m256 corners[8], x, y, z;
};

AVX2_INLINE __m256 lerp(__m256 a, __m256 b, __m256 t)
{
    return _mm256_add_ps(a, _mm256_mul_ps(t, _mm256_sub_ps(b, a)));
}

/* What is stored where: all eight lanes, or those of `lanes`. */
AVX2_INLINE void store(int all, __m256i lanes, float *to, __m256 v)
{
    if (all)
        _mm256_storeu_ps(to, v);
    else
        _mm256_maskstore_ps(to, lanes, v);
}

AVX2_INLINE __m256 load(int all, __m256i lanes, const float *from)
{
    return all ? _mm256_loadu_ps(from) : _mm256_maskload_ps(from, lanes);
}

AVX2_INLINE void sample8(const struct eight *e, int all, __m256i lanes, size_t i,
                         const struct lodei_sdf_samples *samples)
{
    const __m256 *c = e->corners;
    __m256 d00 = _mm256_sub_ps(c[1], c[0]), d10 = _mm256_sub_ps(c[3], c[2]);
    __m256 d01 = _mm256_sub_ps(c[5], c[4]), d11 = _mm256_sub_ps(c[7], c[6]);
    __m256 c00 = _mm256_add_ps(c[0], _mm256_mul_ps(e->x, d00));
    __m256 c10 = _mm256_add_ps(c[2], _mm256_mul_ps(e->x, d10));
    __m256 c01 = _mm256_add_ps(c[4], _mm256_mul_ps(e->x, d01));
    __m256 c11 = _mm256_add_ps(c[6], _mm256_mul_ps(e->x, d11));
    __m256 e0 = _mm256_sub_ps(c10, c00), e1 = _mm256_sub_ps(c11, c01);
    __m256 c0 = _mm256_add_ps(c00, _mm256_mul_ps(e->y, e0));
    __m256 c1 = _mm256_add_ps(c01, _mm256_mul_ps(e->y, e1));
    __m256 g = _mm256_sub_ps(c1, c0);
    store(all, lanes, samples->value + i, _mm256_add_ps(c0, _mm256_mul_ps(e->z, g)));
    if (samples->gradient_x == NULL)
        return;
    store(all, lanes, samples->gradient_x + i,
          lerp(lerp(d00, d10, e->y), lerp(d01, d11, e->y), e->z));
    store(all, lanes, samples->gradient_y + i, lerp(e0, e1, e->z));
    store(all, lanes, samples->gradient_z + i, g);
}

/* The first `count` lanes, at most 8. */
AVX2_INLINE __m256i first_lanes(size_t count)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)count),
                              _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

/* --- Out of a brick --- */

struct cells {
    const uint8_t *voxels;
    __m256 offset, quantum, last;
    __m128i row_shift, slice_shift;
    size_t dim;
};

AVX2_INLINE struct cells cells_of(unsigned bits, const struct lodei_sdf_brick *brick)
{
    int dim_log2 = __builtin_ctz(brick->dim);
    struct cells cells = {.voxels = brick->voxels, .dim = brick->dim};
    cells.last = _mm256_set1_ps((float)(int)(brick->dim - 1));
    cells.row_shift = _mm_cvtsi32_si128(dim_log2);
    cells.slice_shift = _mm_cvtsi32_si128(2 * dim_log2);
    cells.offset = _mm256_set1_ps(bits == 32 ? 0.0f : lodei_sdf_offset(bits));
    cells.quantum = _mm256_set1_ps(bits == 32 ? 1.0f : lodei_sdf_quantum(bits, brick->band));
    return cells;
}

AVX2_INLINE int32_t word_at(const uint8_t *from)
{
    int32_t word;
    memcpy(&word, from, sizeof(word));
    return word;
}

AVX2_INLINE __m256i words(const uint8_t *from, const uint32_t *at)
{
    __m128i low = _mm_setr_epi32(word_at(from + at[0]), word_at(from + at[1]),
                                 word_at(from + at[2]), word_at(from + at[3]));
    __m128i high = _mm_setr_epi32(word_at(from + at[4]), word_at(from + at[5]),
                                  word_at(from + at[6]), word_at(from + at[7]));
    return _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
}

/* Two pairs of floats. */
AVX2_INLINE __m128 float_pairs(const uint8_t *a, const uint8_t *b)
{
    __m128 pairs = _mm_loadl_pi(_mm_setzero_ps(), (const void *)a);
    return _mm_loadh_pi(pairs, (const void *)b);
}

AVX2_INLINE void float_words(const uint8_t *from, const uint32_t *at, __m256 *ret)
{
    __m256 a = _mm256_insertf128_ps(_mm256_castps128_ps256(float_pairs(from + at[0], from + at[1])),
                                    float_pairs(from + at[4], from + at[5]), 1);
    __m256 b = _mm256_insertf128_ps(_mm256_castps128_ps256(float_pairs(from + at[2], from + at[3])),
                                    float_pairs(from + at[6], from + at[7]), 1);
    ret[0] = _mm256_shuffle_ps(a, b, 0x88);
    ret[1] = _mm256_shuffle_ps(a, b, 0xdd);
}

/* Two codes a word, the first one from bit `shift` of it on. */
AVX2_INLINE void code_words(unsigned bits, const struct cells *cells, __m256i word, __m256i shift,
                            __m256 *ret)
{
    const __m256i code = _mm256_set1_epi32((1 << bits) - 1);
    word = _mm256_srlv_epi32(word, shift);
    __m256i next = _mm256_and_si256(_mm256_srli_epi32(word, (int)bits), code);
    ret[0] = avx2_values(_mm256_and_si256(word, code), cells->offset, cells->quantum);
    ret[1] = avx2_values(next, cells->offset, cells->quantum);
}

/* The corners of the cells whose first voxels have these indices. Distances here are in bytes. */
AVX2_INLINE void corners_of(unsigned bits, const struct cells *cells, __m256i index, __m256 *ret)
{
    const size_t row = cells->dim * bits / 8, slice = cells->dim * row;
    __m256i odd = _mm256_and_si256(index, _mm256_set1_epi32(1));
    __m256i start = _mm256_srli_epi32(_mm256_mullo_epi32(index, _mm256_set1_epi32((int)bits)), 3);
    __m256i start_shift = _mm256_setzero_si256(), end = start, end_shift = start_shift;
    size_t before_end = 0;
    if (bits == 8) {
        before_end = 2;
        end_shift = _mm256_set1_epi32(16);
    } else if (bits == 4) {
        before_end = 3;
        start_shift = _mm256_slli_epi32(odd, 2);
        end = _mm256_add_epi32(start, odd);
        end_shift = _mm256_sub_epi32(_mm256_set1_epi32(24), start_shift);
    }
    uint32_t starts[8], ends[8];
    _mm256_storeu_si256((void *)starts, start);
    _mm256_storeu_si256((void *)ends, end);
    for (unsigned k = 0; k < 4; k++) {
        const uint8_t *from = cells->voxels + (k & 1) * row + (k >> 1) * (slice - before_end);
        const uint32_t *at = k < 2 ? starts : ends;
        if (bits == 32)
            float_words(from, at, ret + 2 * k);
        else
            code_words(bits, cells, words(from, at), k < 2 ? start_shift : end_shift, ret + 2 * k);
    }
}

AVX2_INLINE __m256 within(__m256 t, __m256 last)
{
    return _mm256_and_ps(_mm256_cmp_ps(t, _mm256_setzero_ps(), _CMP_GE_OQ),
                         _mm256_cmp_ps(t, last, _CMP_LT_OQ));
}

/* The whole part of t, which becomes its fraction. */
AVX2_INLINE __m256i split(__m256 *t, __m256i inside)
{
    __m256i whole = _mm256_and_si256(_mm256_cvttps_epi32(*t), inside);
    *t = _mm256_sub_ps(*t, _mm256_cvtepi32_ps(whole));
    return whole;
}

/* Sample the points of eight lanes from i on; the mask of those that can not be. */
AVX2_INLINE unsigned points8(unsigned bits, const struct cells *cells, int all, __m256i lanes,
                             size_t i, const struct lodei_sdf_points *points,
                             const struct lodei_sdf_samples *samples)
{
    const __m256 half = _mm256_set1_ps(0.5f);
    struct eight e = {.x = _mm256_sub_ps(load(all, lanes, points->x + i), half),
                      .y = _mm256_sub_ps(load(all, lanes, points->y + i), half),
                      .z = _mm256_sub_ps(load(all, lanes, points->z + i), half)};
    __m256 in = _mm256_and_ps(within(e.x, cells->last),
                              _mm256_and_ps(within(e.y, cells->last), within(e.z, cells->last)));
    __m256i inside = _mm256_castps_si256(in);
    __m256i x = split(&e.x, inside), y = split(&e.y, inside), z = split(&e.z, inside);
    __m256i index = _mm256_add_epi32(x, _mm256_add_epi32(_mm256_sll_epi32(y, cells->row_shift),
                                                         _mm256_sll_epi32(z, cells->slice_shift)));
    corners_of(bits, cells, index, e.corners);
    sample8(&e, all, lanes, i, samples);
    return ~(unsigned)_mm256_movemask_ps(in) &
           (unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(lanes));
}

AVX2_INLINE size_t sample_bits(unsigned bits, const struct lodei_sdf_brick *brick, size_t count,
                               const struct lodei_sdf_points *points,
                               const struct lodei_sdf_samples *ret_samples, uint32_t *ret_left)
{
    struct cells cells = cells_of(bits, brick);
    size_t left = 0;
    for (size_t i = 0; i < count; i += 8) {
        unsigned outside =
            count - i >= 8
                ? points8(bits, &cells, 1, _mm256_set1_epi32(-1), i, points, ret_samples)
                : points8(bits, &cells, 0, first_lanes(count - i), i, points, ret_samples);
        for (; outside != 0; outside &= outside - 1)
            ret_left[left++] = (uint32_t)i + (uint32_t)__builtin_ctz(outside);
    }
    return left;
}

AVX2 size_t lodei_sdf_sample_avx2(const struct lodei_sdf_brick *brick, size_t count,
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

/* --- Out of cubes the caller gathered --- */

AVX2_INLINE void corners8(const float *corners, size_t stride, int all, __m256i lanes, size_t i,
                          const struct lodei_sdf_points *fractions,
                          const struct lodei_sdf_samples *samples)
{
    struct eight e = {.x = load(all, lanes, fractions->x + i),
                      .y = load(all, lanes, fractions->y + i),
                      .z = load(all, lanes, fractions->z + i)};
    for (size_t c = 0; c < 8; c++)
        e.corners[c] = load(all, lanes, corners + c * stride + i);
    sample8(&e, all, lanes, i, samples);
}

AVX2 void lodei_sdf_sample_corners_avx2(size_t count, const float *corners, size_t stride,
                                        const struct lodei_sdf_points *fractions,
                                        const struct lodei_sdf_samples *ret_samples)
{
    size_t i = 0;
    for (; i + 8 <= count; i += 8)
        corners8(corners, stride, 1, _mm256_set1_epi32(-1), i, fractions, ret_samples);
    if (i < count)
        corners8(corners, stride, 0, first_lanes(count - i), i, fractions, ret_samples);
}
