/* SPDX-License-Identifier: MIT */
/*
 * The AVX2 path of sdfpack.h: codecs here, sampling and edits in sdfsample_avx2.c and
 * sdfedit_avx2.c. Owns nothing. Compiled for plain x86-64 but for functions marked AVX2, which
 * nobody may call before lodei_sdf_kernels_avx2() has looked at the processor. No FMA: each
 * product is rounded, as in the plain path.
 *
 * A step is 64 voxels, eight vectors of floats or of 32-bit codes. An encoder keeps m ^ sign
 * (-1 - m for a negative), which the saturating packs carry down to 16 and 8 bits as it is; adding
 * n/2 then is a flip of the top bit. Packs work within 128-bit halves, so that groups of four codes
 * come out as
 *
 *     packs_epi32(v0, v1)                   v0l v1l | v0h v1h                 16 bits each
 *     packs_epi16(that, the same of v2 v3)  v0l v1l v2l v3l | v0h v1h v2h v3h  8 bits each
 *
 * and one permutation a stored vector puts them in order. Ours.
 */
#include "ext/sdfavx2.h"

#define STEP 64

/* Where the voxels of a brick come from: bits 32 is floats. */
struct source {
    __m256 offset, quantum;
    const uint8_t *voxels;
};

AVX2_INLINE struct source source_of(unsigned bits, float band, const void *voxels)
{
    struct source source = {.voxels = voxels};
    source.offset = _mm256_set1_ps(bits == 32 ? 0.0f : lodei_sdf_offset(bits));
    source.quantum = _mm256_set1_ps(bits == 32 ? 1.0f : lodei_sdf_quantum(bits, band));
    return source;
}

/* Eight codes from voxel i, a multiple of 2 with 4 bits. */
AVX2_INLINE __m256i codes8(unsigned bits, const uint8_t *voxels, size_t i)
{
    if (bits == 16)
        return _mm256_cvtepu16_epi32(_mm_loadu_si128((const void *)(voxels + 2 * i)));
    if (bits == 8)
        return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)(voxels + i)));
    int32_t nibbles;
    memcpy(&nibbles, voxels + i / 2, sizeof(nibbles));
    const __m256i places = _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28);
    return _mm256_and_si256(_mm256_srlv_epi32(_mm256_set1_epi32(nibbles), places),
                            _mm256_set1_epi32(15));
}

AVX2_INLINE __m256 values8(unsigned bits, const struct source *source, size_t i)
{
    if (bits == 32)
        return _mm256_loadu_ps((const float *)(const void *)source->voxels + i);
    return avx2_values(codes8(bits, source->voxels, i), source->offset, source->quantum);
}

/* --- Range: the least and the greatest code so far, in each lane --- */

struct extremes {
    __m256i min, max; /* unsigned, 16 bits a lane with 16 bits a voxel, else 8 */
};

AVX2_INLINE struct extremes extremes_none(void)
{
    struct extremes extremes = {_mm256_set1_epi32(-1), _mm256_setzero_si256()};
    return extremes;
}

AVX2_INLINE void extremes_add(unsigned bits, struct extremes *extremes, __m256i codes)
{
    if (bits == 16) {
        extremes->min = _mm256_min_epu16(extremes->min, codes);
        extremes->max = _mm256_max_epu16(extremes->max, codes);
    } else {
        extremes->min = _mm256_min_epu8(extremes->min, codes);
        extremes->max = _mm256_max_epu8(extremes->max, codes);
    }
}

/* The least of all lanes. */
AVX2_INLINE unsigned least(unsigned bits, __m256i lanes)
{
    __m128i a = _mm256_castsi256_si128(lanes), b = _mm256_extracti128_si256(lanes, 1);
    if (bits == 16)
        return (unsigned)_mm_extract_epi16(_mm_minpos_epu16(_mm_min_epu16(a, b)), 0);
    a = _mm_min_epu8(a, b);
    /* the lesser of each two bytes, as 16 bits */
    a = _mm_min_epu8(_mm_and_si128(a, _mm_set1_epi16(0xff)), _mm_srli_epi16(a, 8));
    return (unsigned)_mm_extract_epi16(_mm_minpos_epu16(a), 0);
}

AVX2_INLINE struct lodei_sdf_range extremes_range(unsigned bits, const struct extremes *extremes)
{
    unsigned all = bits == 16 ? 0xffff : 0xff;
    __m256i flipped = _mm256_xor_si256(extremes->max, _mm256_set1_epi32(-1));
    struct lodei_sdf_range range = {(uint16_t)least(bits, extremes->min),
                                    (uint16_t)(all - least(bits, flipped))};
    return range;
}

/* --- Encoding, from floats or from another tier --- */

AVX2_INLINE __m256i signed_codes(__m256 v, __m256 scale, __m256 top)
{
    __m256 t = _mm256_mul_ps(_mm256_andnot_ps(_mm256_set1_ps(-0.0f), v), scale);
    __m256i m = _mm256_cvttps_epi32(_mm256_min_ps(t, top));
    /* lodei_sdf_negative() */
    __m256i less_one = _mm256_add_epi32(_mm256_castps_si256(v), _mm256_set1_epi32(-1));
    return _mm256_xor_si256(m, _mm256_cmpgt_epi32(_mm256_set1_epi32(-0x800000), less_one));
}

AVX2_INLINE void store16(__m256i a, __m256i b, uint8_t *to, struct extremes *extremes)
{
    __m256i codes = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xd8);
    codes = _mm256_xor_si256(codes, _mm256_set1_epi16(-0x8000));
    extremes_add(16, extremes, codes);
    _mm256_storeu_si256((void *)to, codes);
}

/* 32 codes of a byte each, in the order of the picture above. */
AVX2_INLINE __m256i bytes_of(const __m256i *s)
{
    return _mm256_packs_epi16(_mm256_packs_epi32(s[0], s[1]), _mm256_packs_epi32(s[2], s[3]));
}

AVX2_INLINE void store8(const __m256i *s, uint8_t *to, struct extremes *extremes)
{
    __m256i codes = _mm256_xor_si256(bytes_of(s), _mm256_set1_epi8(-0x80));
    extremes_add(8, extremes, codes);
    codes = _mm256_permutevar8x32_epi32(codes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    _mm256_storeu_si256((void *)to, codes);
}

/* Two vectors of 32 codes below 16, as bytes_of() orders them. */
AVX2_INLINE void store4(__m256i a, __m256i b, uint8_t *to)
{
    const __m256i ones_and_sixteens = _mm256_set1_epi16(0x1001);
    __m256i pairs = _mm256_packus_epi16(_mm256_maddubs_epi16(a, ones_and_sixteens),
                                        _mm256_maddubs_epi16(b, ones_and_sixteens));
    /* four codes are two bytes now; the halves of each v alternate */
    __m128i low = _mm256_castsi256_si128(pairs), high = _mm256_extracti128_si256(pairs, 1);
    _mm_storeu_si128((void *)to, _mm_unpacklo_epi16(low, high));
    _mm_storeu_si128((void *)(to + 16), _mm_unpackhi_epi16(low, high));
}

AVX2_INLINE void store_step(unsigned bits, const __m256i *s, uint8_t *to, struct extremes *extremes)
{
    if (bits == 16) {
        for (unsigned k = 0; k < 4; k++)
            store16(s[2 * k], s[2 * k + 1], to + 32 * k, extremes);
    } else if (bits == 8) {
        store8(s, to, extremes);
        store8(s + 4, to + 32, extremes);
    } else {
        __m256i half = _mm256_set1_epi8(8);
        __m256i a = _mm256_add_epi8(bytes_of(s), half), b = _mm256_add_epi8(bytes_of(s + 4), half);
        extremes_add(4, extremes, a);
        extremes_add(4, extremes, b);
        store4(a, b, to);
    }
}

AVX2_INLINE struct lodei_sdf_range pack(unsigned from_bits, const struct source *source,
                                        unsigned to_bits, float band, uint8_t *to, size_t voxels)
{
    __m256 scale = _mm256_set1_ps(lodei_sdf_scale(to_bits, band));
    __m256 top = _mm256_set1_ps((float)((1 << (to_bits - 1)) - 1));
    struct extremes extremes = extremes_none();
    for (size_t i = 0; i < voxels; i += STEP) {
        __m256i s[8];
        for (unsigned k = 0; k < 8; k++)
            s[k] = signed_codes(values8(from_bits, source, i + 8 * k), scale, top);
        store_step(to_bits, s, to + i * to_bits / 8, &extremes);
    }
    return extremes_range(to_bits, &extremes);
}

AVX2_INLINE struct lodei_sdf_range pack_from(unsigned from_bits, float from_band, const void *from,
                                             unsigned to_bits, float to_band, uint8_t *to,
                                             size_t voxels)
{
    struct source source = source_of(from_bits, from_band, from);
    if (to_bits == 16)
        return pack(from_bits, &source, 16, to_band, to, voxels);
    if (to_bits == 8)
        return pack(from_bits, &source, 8, to_band, to, voxels);
    return pack(from_bits, &source, 4, to_band, to, voxels);
}

AVX2 static struct lodei_sdf_range encode(unsigned bits, size_t voxels, float band,
                                          const float *values, void *payload)
{
    return pack_from(32, 1.0f, values, bits, band, payload, voxels);
}

/* --- Retiering --- */

/* Codes of one byte of 32 voxels from `voxels`, shifted down to to_bits, ordered as bytes_of() does
 * for 4 bits, else as stored. */
AVX2_INLINE __m256i shifted32(unsigned from_bits, unsigned to_bits, const uint8_t *from, size_t i)
{
    if (from_bits == 8) {
        __m256i codes = _mm256_loadu_si256((const void *)(from + i));
        codes = _mm256_and_si256(_mm256_srli_epi16(codes, 4), _mm256_set1_epi8(15));
        return _mm256_permutevar8x32_epi32(codes, _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7));
    }
    __m256i a = _mm256_loadu_si256((const void *)(from + 2 * i));
    __m256i b = _mm256_loadu_si256((const void *)(from + 2 * i + 32));
    const __m128i by = _mm_cvtsi32_si128((int)(16 - to_bits));
    __m256i codes = _mm256_packus_epi16(_mm256_srl_epi16(a, by), _mm256_srl_epi16(b, by));
    if (to_bits == 8)
        return _mm256_permute4x64_epi64(codes, 0xd8);
    return _mm256_permutevar8x32_epi32(codes, _mm256_setr_epi32(0, 4, 2, 6, 1, 5, 3, 7));
}

/* To fewer bits in the same band: the high bits, as the plain path explains. */
AVX2_INLINE void shift(unsigned from_bits, const uint8_t *from, unsigned to_bits, uint8_t *to,
                       size_t voxels)
{
    for (size_t i = 0; i < voxels; i += STEP) {
        __m256i a = shifted32(from_bits, to_bits, from, i);
        __m256i b = shifted32(from_bits, to_bits, from, i + 32);
        if (to_bits == 8) {
            _mm256_storeu_si256((void *)(to + i), a);
            _mm256_storeu_si256((void *)(to + i + 32), b);
        } else {
            store4(a, b, to + i / 2);
        }
    }
}

AVX2 static void recode(unsigned from_bits, float from_band, const void *from, unsigned to_bits,
                        float to_band, void *to, size_t voxels)
{
    if (from_bits > to_bits && from_band == to_band) {
        if (from_bits == 8)
            shift(8, from, 4, to, voxels);
        else if (to_bits == 8)
            shift(16, from, 8, to, voxels);
        else
            shift(16, from, 4, to, voxels);
    } else if (from_bits == 16) {
        (void)pack_from(16, from_band, from, to_bits, to_band, to, voxels);
    } else if (from_bits == 8) {
        (void)pack_from(8, from_band, from, to_bits, to_band, to, voxels);
    } else {
        (void)pack_from(4, from_band, from, to_bits, to_band, to, voxels);
    }
}

/* --- Decoding --- */

AVX2_INLINE void unpack(unsigned bits, const struct source *source, size_t voxels, float *values)
{
    for (size_t i = 0; i < voxels; i += 8)
        _mm256_storeu_ps(values + i, values8(bits, source, i));
}

AVX2 static void decode(unsigned bits, size_t voxels, float band, const void *payload,
                        float *values)
{
    struct source source = source_of(bits, band, payload);
    if (bits == 16)
        unpack(16, &source, voxels, values);
    else if (bits == 8)
        unpack(8, &source, voxels, values);
    else
        unpack(4, &source, voxels, values);
}

AVX2 static struct lodei_sdf_range range(unsigned bits, size_t voxels, const void *payload)
{
    const uint8_t *at = payload, *end = at + voxels * bits / 8;
    struct extremes extremes = extremes_none();
    for (; at < end; at += 32) {
        __m256i codes = _mm256_loadu_si256((const void *)at);
        if (bits == 4) {
            __m256i nibble = _mm256_set1_epi8(15);
            extremes_add(4, &extremes, _mm256_and_si256(_mm256_srli_epi16(codes, 4), nibble));
            codes = _mm256_and_si256(codes, nibble);
        }
        extremes_add(bits, &extremes, codes);
    }
    return extremes_range(bits, &extremes);
}

/* Rows of eight voxels or more; the last vector of a row overlaps the one before it. */
AVX2_INLINE void unpack_rows(unsigned bits, const struct lodei_sdf_brick *brick,
                             const struct lodei_sdf_box *box, float *values, size_t row_stride,
                             size_t slice_stride)
{
    struct source source = source_of(bits, brick->band, brick->voxels);
    for (size_t z = 0; z < box->size[2]; z++)
        for (size_t y = 0; y < box->size[1]; y++) {
            float *row = values + z * slice_stride + y * row_stride;
            size_t last = box->size[0] - 8;
            size_t start = box->corner[0] +
                           brick->dim * (box->corner[1] + y + brick->dim * (box->corner[2] + z));
            for (size_t x = 0; x < last; x += 8)
                _mm256_storeu_ps(row + x, values8(bits, &source, start + x));
            _mm256_storeu_ps(row + last, values8(bits, &source, start + last));
        }
}

AVX2 static void decode_box(const struct lodei_sdf_brick *brick, const struct lodei_sdf_box *box,
                            float *values, size_t row_stride, size_t slice_stride)
{
    int odd = box->corner[0] % 2 != 0 || box->size[0] % 2 != 0;
    if (box->size[0] < 8 || (brick->bits == 4 && odd))
        lodei_sdf_kernels_base.decode_box(brick, box, values, row_stride, slice_stride);
    else if (brick->bits == 16)
        unpack_rows(16, brick, box, values, row_stride, slice_stride);
    else if (brick->bits == 8)
        unpack_rows(8, brick, box, values, row_stride, slice_stride);
    else
        unpack_rows(4, brick, box, values, row_stride, slice_stride);
}

static const struct lodei_sdf_kernels table = {
    .encode = encode,
    .decode = decode,
    .range = range,
    .recode = recode,
    .decode_box = decode_box,
    .sample = lodei_sdf_sample_avx2,
    .sample_corners = lodei_sdf_sample_corners_avx2,
    .edit = lodei_sdf_edit_avx2,
};

const struct lodei_sdf_kernels *lodei_sdf_kernels_avx2(void)
{
    __builtin_cpu_init(); /* may run before any constructor */
    return __builtin_cpu_supports("avx2") ? &table : NULL;
}
