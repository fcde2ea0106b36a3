/* SPDX-License-Identifier: MIT */
/*
 * Morton codes of arrays on x86-64: BMI2 and AVX2. Owns nothing.
 *
 * BMI2: one pdep or pext for each coordinate. On processors that run it in microcode it is left
 * out (morton_array.h).
 *
 * AVX2: eight codes at a time by tables of 16 entries in registers, looked up by nibble (vpshufb).
 * In three dimensions a byte of each axis makes three bytes of the code:
 *
 *     nibbles of a byte        n1   n0
 *     spread, 12 bits each     bbbbbbbb bbbbaaaa aaaaaaaa
 *     bytes of the code           k=2      k=1      k=0
 *
 * so k=0 is looked up by n0, k=2 by n1, and k=1 by both; the three axes are or'ed and the bytes
 * k=0,1,2 of each group put in line by one more shuffle. Decoding runs the same way back: the bytes
 * of equal k of eight codes are brought together, and each nibble of them holds one or two bits of
 * every axis. The idea of nibble tables is old (Mula's for population count); these are ours.
 */
#include <cpuid.h>
#include <immintrin.h>
#include <string.h>

#include "base/attr.h"
#include "ext/morton_array.h"
#include "lode/morton_code.h"

#define BMI2 __attribute__((target("bmi2")))
#define AVX2 __attribute__((target("avx2")))

/* ---- BMI2 ---- */

BMI2 static void bmi2_encode2(const uint32_t *x, const uint32_t *y, size_t count, uint32_t bias,
                              uint64_t *ret_codes)
{
    for (size_t i = 0; i < count; i++)
        ret_codes[i] = _pdep_u64(x[i] + bias, LODE_MORTON2_AXIS(0)) |
                       _pdep_u64(y[i] + bias, LODE_MORTON2_AXIS(1));
}

BMI2 static void bmi2_decode2(const uint64_t *codes, size_t count, uint32_t bias, uint32_t *ret_x,
                              uint32_t *ret_y)
{
    for (size_t i = 0; i < count; i++) {
        ret_x[i] = (uint32_t)_pext_u64(codes[i], LODE_MORTON2_AXIS(0)) - bias;
        ret_y[i] = (uint32_t)_pext_u64(codes[i], LODE_MORTON2_AXIS(1)) - bias;
    }
}

BMI2 static void bmi2_encode3(const uint32_t *x, const uint32_t *y, const uint32_t *z, size_t count,
                              uint32_t bias, uint64_t *ret_codes)
{
    for (size_t i = 0; i < count; i++)
        ret_codes[i] = _pdep_u64(x[i] + bias, LODE_MORTON3_AXIS(0)) |
                       _pdep_u64(y[i] + bias, LODE_MORTON3_AXIS(1)) |
                       _pdep_u64(z[i] + bias, LODE_MORTON3_AXIS(2));
}

BMI2 static void bmi2_decode3(const uint64_t *codes, size_t count, uint32_t bias, uint32_t *ret_x,
                              uint32_t *ret_y, uint32_t *ret_z)
{
    for (size_t i = 0; i < count; i++) {
        ret_x[i] = (uint32_t)_pext_u64(codes[i], LODE_MORTON3_AXIS(0)) - bias;
        ret_y[i] = (uint32_t)_pext_u64(codes[i], LODE_MORTON3_AXIS(1)) - bias;
        ret_z[i] = (uint32_t)_pext_u64(codes[i], LODE_MORTON3_AXIS(2)) - bias;
    }
}

static const struct lodei_morton_paths bmi2 = {"bmi2", bmi2_encode2, bmi2_decode2, bmi2_encode3,
                                               bmi2_decode3};

/* ---- AVX2 ---- */

/* A table of sixteen bytes, in both halves of a register. */
#define TABLE(f)                                                                                 \
    _mm256_setr_epi8((char)f(0), (char)f(1), (char)f(2), (char)f(3), (char)f(4), (char)f(5),     \
                     (char)f(6), (char)f(7), (char)f(8), (char)f(9), (char)f(10), (char)f(11),   \
                     (char)f(12), (char)f(13), (char)f(14), (char)f(15), (char)f(0), (char)f(1), \
                     (char)f(2), (char)f(3), (char)f(4), (char)f(5), (char)f(6), (char)f(7),     \
                     (char)f(8), (char)f(9), (char)f(10), (char)f(11), (char)f(12), (char)f(13), \
                     (char)f(14), (char)f(15))
/* The same sixteen byte numbers for both halves of a register. */
#define BOTH(...) _mm256_setr_epi8(__VA_ARGS__, __VA_ARGS__)

#define BIT(n, i) ((n) >> (i)&1)
/* A nibble spread to every third bit, from bit `axis`: 12 bits. */
#define SPREAD3(n, axis) \
    ((BIT(n, 0) | BIT(n, 1) << 3 | BIT(n, 2) << 6 | BIT(n, 3) << 9) << (axis)&0xfff)

#define LOW_X(n)    (SPREAD3(n, 0) & 0xff)
#define LOW_Y(n)    (SPREAD3(n, 1) & 0xff)
#define LOW_Z(n)    (SPREAD3(n, 2) & 0xff)
#define MID0_X(n)   (SPREAD3(n, 0) >> 8)
#define MID0_Y(n)   (SPREAD3(n, 1) >> 8)
#define MID0_Z(n)   (SPREAD3(n, 2) >> 8)
#define MID1_X(n)   (SPREAD3(n, 0) << 4 & 0xf0)
#define MID1_Y(n)   (SPREAD3(n, 1) << 4 & 0xf0)
#define MID1_Z(n)   (SPREAD3(n, 2) << 4 & 0xf0)
#define HIGH_X(n)   (SPREAD3(n, 0) >> 4)
#define HIGH_Y(n)   (SPREAD3(n, 1) >> 4)
#define HIGH_Z(n)   (SPREAD3(n, 2) >> 4)
#define LOOKUP      _mm256_shuffle_epi8
#define OR(a, b)    _mm256_or_si256(a, b)
#define LOAD(p)     _mm256_loadu_si256((const __m256i *)(const void *)(p))
#define STORE(p, v) _mm256_storeu_si256((__m256i *)(void *)(p), v)

AVX2 static void avx2_encode3(const uint32_t *x, const uint32_t *y, const uint32_t *z, size_t count,
                              uint32_t bias, uint64_t *ret_codes)
{
    /* Of 21 bits: all of bytes 0 and 1, five bits of byte 2. */
    const __m256i low = _mm256_set1_epi32(0x000f0f0f), high = _mm256_set1_epi32(0x00010f0f);
    const __m256i biases = _mm256_set1_epi32((int)bias);
    const __m256i k01 = BOTH(0, 1, -1, 2, 3, -1, 4, 5, 8, 9, -1, 10, 11, -1, 12, 13);
    const __m256i k2_first = BOTH(-1, -1, 0, -1, -1, 1, -1, -1, -1, -1, 4, -1, -1, 5, -1, -1);
    const __m256i k2_last = BOTH(-1, -1, 8, -1, -1, 9, -1, -1, -1, -1, 12, -1, -1, 13, -1, -1);
    size_t i = 0;
    for (; i + 8 <= count; i += 8) {
        __m256i vx = _mm256_add_epi32(LOAD(x + i), biases);
        __m256i vy = _mm256_add_epi32(LOAD(y + i), biases);
        __m256i vz = _mm256_add_epi32(LOAD(z + i), biases);
        __m256i x0 = _mm256_and_si256(vx, low), y0 = _mm256_and_si256(vy, low);
        __m256i z0 = _mm256_and_si256(vz, low);
        __m256i x1 = _mm256_and_si256(_mm256_srli_epi32(vx, 4), high);
        __m256i y1 = _mm256_and_si256(_mm256_srli_epi32(vy, 4), high);
        __m256i z1 = _mm256_and_si256(_mm256_srli_epi32(vz, 4), high);
        __m256i k0 =
            OR(OR(LOOKUP(TABLE(LOW_X), x0), LOOKUP(TABLE(LOW_Y), y0)), LOOKUP(TABLE(LOW_Z), z0));
        __m256i k1 = OR(OR(OR(LOOKUP(TABLE(MID0_X), x0), LOOKUP(TABLE(MID0_Y), y0)),
                           OR(LOOKUP(TABLE(MID0_Z), z0), LOOKUP(TABLE(MID1_X), x1))),
                        OR(LOOKUP(TABLE(MID1_Y), y1), LOOKUP(TABLE(MID1_Z), z1)));
        __m256i k2 =
            OR(OR(LOOKUP(TABLE(HIGH_X), x1), LOOKUP(TABLE(HIGH_Y), y1)), LOOKUP(TABLE(HIGH_Z), z1));
        /* Codes 0, 1 and 4, 5; then 2, 3 and 6, 7. */
        __m256i first = OR(LOOKUP(_mm256_unpacklo_epi8(k0, k1), k01), LOOKUP(k2, k2_first));
        __m256i last = OR(LOOKUP(_mm256_unpackhi_epi8(k0, k1), k01), LOOKUP(k2, k2_last));
        STORE(ret_codes + i, _mm256_permute2x128_si256(first, last, 0x20));
        STORE(ret_codes + i + 4, _mm256_permute2x128_si256(first, last, 0x31));
    }
    lodei_morton_baseline.encode3(x + i, y + i, z + i, count - i, bias, ret_codes + i);
}

/* What bit `p` of a group of 24 bits is to an axis: bit p / 3 of its byte, or nothing. */
#define PUT3(n, i, p, axis) ((p) % 3 == (axis) ? BIT(n, i) << (p) / 3 : 0)
/* What a nibble of a group, from bit `at` of it, is to an axis. */
#define TAKE3(n, at, axis)                                                            \
    (PUT3(n, 0, at, axis) | PUT3(n, 1, (at) + 1, axis) | PUT3(n, 2, (at) + 2, axis) | \
     PUT3(n, 3, (at) + 3, axis))
#define X0(n)  TAKE3(n, 0, 0)
#define X4(n)  TAKE3(n, 4, 0)
#define X8(n)  TAKE3(n, 8, 0)
#define X12(n) TAKE3(n, 12, 0)
#define X16(n) TAKE3(n, 16, 0)
#define X20(n) TAKE3(n, 20, 0)
#define Y0(n)  TAKE3(n, 0, 1)
#define Y4(n)  TAKE3(n, 4, 1)
#define Y8(n)  TAKE3(n, 8, 1)
#define Y12(n) TAKE3(n, 12, 1)
#define Y16(n) TAKE3(n, 16, 1)
#define Y20(n) TAKE3(n, 20, 1)
#define Z0(n)  TAKE3(n, 0, 2)
#define Z4(n)  TAKE3(n, 4, 2)
#define Z8(n)  TAKE3(n, 8, 2)
#define Z12(n) TAKE3(n, 12, 2)
#define Z16(n) TAKE3(n, 16, 2)
#define Z20(n) TAKE3(n, 20, 2)

/* Codes p[0], p[1] in the lower half, q[0], q[1] in the upper. */
#define LOAD_HALVES(p, q) \
    _mm256_loadu2_m128i((const __m128i *)(const void *)(q), (const __m128i *)(const void *)(p))

AVX2 static void avx2_decode3(const uint64_t *codes, size_t count, uint32_t bias, uint32_t *ret_x,
                              uint32_t *ret_y, uint32_t *ret_z)
{
    const __m256i nibble = _mm256_set1_epi8(15), biases = _mm256_set1_epi32((int)bias);
    const __m256i pick01 = BOTH(0, 3, 6, -1, 8, 11, 14, -1, 1, 4, 7, -1, 9, 12, 15, -1);
    const __m256i pick2 = BOTH(2, 5, -1, -1, 10, 13, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
    const __m256i axis_bits = _mm256_set1_epi32(0x1fffff); /* bit 63 of a code is nobody's */
    size_t i = 0;
    for (; i + 8 <= count; i += 8) {
        __m256i a = LOAD_HALVES(codes + i, codes + i + 4);
        __m256i b = LOAD_HALVES(codes + i + 2, codes + i + 6);
        __m256i a01 = LOOKUP(a, pick01), b01 = LOOKUP(b, pick01);
        __m256i k0 = _mm256_unpacklo_epi64(a01, b01), k1 = _mm256_unpackhi_epi64(a01, b01);
        __m256i k2 = _mm256_unpacklo_epi64(LOOKUP(a, pick2), LOOKUP(b, pick2));
        __m256i n0 = _mm256_and_si256(k0, nibble), n8 = _mm256_and_si256(k1, nibble);
        __m256i n16 = _mm256_and_si256(k2, nibble);
        __m256i n4 = _mm256_and_si256(_mm256_srli_epi16(k0, 4), nibble);
        __m256i n12 = _mm256_and_si256(_mm256_srli_epi16(k1, 4), nibble);
        __m256i n20 = _mm256_and_si256(_mm256_srli_epi16(k2, 4), nibble);
#define GATHER(A)                                                  \
    OR(OR(OR(LOOKUP(TABLE(A##0), n0), LOOKUP(TABLE(A##4), n4)),    \
          OR(LOOKUP(TABLE(A##8), n8), LOOKUP(TABLE(A##12), n12))), \
       OR(LOOKUP(TABLE(A##16), n16), LOOKUP(TABLE(A##20), n20)))
        STORE(ret_x + i, _mm256_sub_epi32(_mm256_and_si256(GATHER(X), axis_bits), biases));
        STORE(ret_y + i, _mm256_sub_epi32(GATHER(Y), biases));
        STORE(ret_z + i, _mm256_sub_epi32(GATHER(Z), biases));
#undef GATHER
    }
    lodei_morton_baseline.decode3(codes + i, count - i, bias, ret_x + i, ret_y + i, ret_z + i);
}

/* A nibble spread to every second bit, from bit `axis`. */
#define SPREAD2(n, axis) ((BIT(n, 0) | BIT(n, 1) << 2 | BIT(n, 2) << 4 | BIT(n, 3) << 6) << (axis))
#define SPREAD_X(n)      SPREAD2(n, 0)
#define SPREAD_Y(n)      SPREAD2(n, 1)

AVX2 static void avx2_encode2(const uint32_t *x, const uint32_t *y, size_t count, uint32_t bias,
                              uint64_t *ret_codes)
{
    const __m256i nibble = _mm256_set1_epi8(15), biases = _mm256_set1_epi32((int)bias);
    size_t i = 0;
    for (; i + 8 <= count; i += 8) {
        __m256i vx = _mm256_add_epi32(LOAD(x + i), biases);
        __m256i vy = _mm256_add_epi32(LOAD(y + i), biases);
        __m256i low = OR(LOOKUP(TABLE(SPREAD_X), _mm256_and_si256(vx, nibble)),
                         LOOKUP(TABLE(SPREAD_Y), _mm256_and_si256(vy, nibble)));
        vx = _mm256_and_si256(_mm256_srli_epi16(vx, 4), nibble);
        vy = _mm256_and_si256(_mm256_srli_epi16(vy, 4), nibble);
        __m256i high = OR(LOOKUP(TABLE(SPREAD_X), vx), LOOKUP(TABLE(SPREAD_Y), vy));
        /* Codes 0, 1 and 4, 5; then 2, 3 and 6, 7. */
        __m256i first = _mm256_unpacklo_epi8(low, high), last = _mm256_unpackhi_epi8(low, high);
        STORE(ret_codes + i, _mm256_permute2x128_si256(first, last, 0x20));
        STORE(ret_codes + i + 4, _mm256_permute2x128_si256(first, last, 0x31));
    }
    lodei_morton_baseline.encode2(x + i, y + i, count - i, bias, ret_codes + i);
}

#define GATHER_X(n)      (BIT(n, 0) | BIT(n, 2) << 1)
#define GATHER_Y(n)      (BIT(n, 1) | BIT(n, 3) << 1)
#define GATHER_HIGH_X(n) (GATHER_X(n) << 2)
#define GATHER_HIGH_Y(n) (GATHER_Y(n) << 2)

AVX2 static void avx2_decode2(const uint64_t *codes, size_t count, uint32_t bias, uint32_t *ret_x,
                              uint32_t *ret_y)
{
    const __m256i nibble = _mm256_set1_epi8(15), biases = _mm256_set1_epi32((int)bias);
    const __m256i pair = _mm256_set1_epi16(0x1001); /* low byte + 16 x high byte */
    size_t i = 0;
    for (; i + 8 <= count; i += 8) {
        __m256i a = LOAD_HALVES(codes + i, codes + i + 4);
        __m256i b = LOAD_HALVES(codes + i + 2, codes + i + 6);
        __m256i a0 = _mm256_and_si256(a, nibble), b0 = _mm256_and_si256(b, nibble);
        __m256i a1 = _mm256_and_si256(_mm256_srli_epi16(a, 4), nibble);
        __m256i b1 = _mm256_and_si256(_mm256_srli_epi16(b, 4), nibble);
        __m256i ax = OR(LOOKUP(TABLE(GATHER_X), a0), LOOKUP(TABLE(GATHER_HIGH_X), a1));
        __m256i bx = OR(LOOKUP(TABLE(GATHER_X), b0), LOOKUP(TABLE(GATHER_HIGH_X), b1));
        __m256i ay = OR(LOOKUP(TABLE(GATHER_Y), a0), LOOKUP(TABLE(GATHER_HIGH_Y), a1));
        __m256i by = OR(LOOKUP(TABLE(GATHER_Y), b0), LOOKUP(TABLE(GATHER_HIGH_Y), b1));
        __m256i vx =
            _mm256_packus_epi16(_mm256_maddubs_epi16(ax, pair), _mm256_maddubs_epi16(bx, pair));
        __m256i vy =
            _mm256_packus_epi16(_mm256_maddubs_epi16(ay, pair), _mm256_maddubs_epi16(by, pair));
        STORE(ret_x + i, _mm256_sub_epi32(vx, biases));
        STORE(ret_y + i, _mm256_sub_epi32(vy, biases));
    }
    lodei_morton_baseline.decode2(codes + i, count - i, bias, ret_x + i, ret_y + i);
}

static const struct lodei_morton_paths avx2 = {"avx2", avx2_encode2, avx2_decode2, avx2_encode3,
                                               avx2_decode3};

static int pdep_is_slow(void)
{
    unsigned a, b, c, d;
    char vendor[12];
    if (!__get_cpuid(0, &a, &b, &c, &d))
        return 1;
    memcpy(vendor, &b, 4);
    memcpy(vendor + 4, &d, 4);
    memcpy(vendor + 8, &c, 4);
    if (!__get_cpuid(1, &a, &b, &c, &d))
        return 1;
    unsigned family = a >> 8 & 15;
    if (family == 15)
        family += a >> 20 & 255;
    return lodei_morton_pdep_is_slow(vendor, family);
}

size_t lodei_morton_faster_paths(const struct lodei_morton_paths *ret_paths[2])
{
    size_t count = 0;
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2"))
        ret_paths[count++] = &avx2;
    if (__builtin_cpu_supports("bmi2") && !pdep_is_slow())
        ret_paths[count++] = &bmi2;
    return count;
}
