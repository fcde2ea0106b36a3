/* SPDX-License-Identifier: MIT */
/* ext/sdfpack.h: encoding, decoding and retiering of bricks, on each path. */
#include <criterion/criterion.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sdf_brick.h"

static const unsigned ALL_BITS[] = {16, 8, 4}, ALL_DIMS[] = {4, 8, 16};
static const float BANDS[] = {4, 1, 3, 0.1f, 7.3f, 1e-5f, 123456.7f, 0x1p-64f, 0x1p64f};

#define EACH(i, array) (unsigned i = 0; i < sizeof(array) / sizeof(*(array)); i++)

static const float NOT_A_NUMBER[] = {NAN, -NAN};

static float from_bits(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof(f));
    return f;
}

/* What goes wrong first: signs of nothing, ends of the band, borders of the quanta. */
static float awkward(uint64_t *state, unsigned bits, float band)
{
    const float edges[] = {0.0f,      -0.0f,      INFINITY, -INFINITY, NAN,      -NAN,
                           0x1p-149f, -0x1p-149f, FLT_MIN,  -FLT_MIN,  FLT_MAX,  -FLT_MAX,
                           band,      -band,      1e-38f,   -1e-38f,   0x1p-80f, -0x1p-80f};
    uint64_t r = brick_random(state);
    unsigned kind = r % 8;
    r >>= 3;
    if (kind == 0)
        return edges[r % (sizeof(edges) / sizeof(*edges))];
    if (kind == 1)
        return from_bits((uint32_t)r);
    if (kind <= 4) {
        float border = lodei_sdf_quantum(bits, band) * (float)((int)(r % 70000) - 35000);
        return kind == 2   ? border
               : kind == 3 ? nextafterf(border, INFINITY)
                           : nextafterf(border, -INFINITY);
    }
    return band * 2.2f * ((float)(r % 1000003) / 1000003 - 0.5f);
}

static void fill_awkward(uint64_t *state, unsigned bits, unsigned dim, float band, float *values)
{
    for (size_t i = 0; i < lodei_sdf_voxels(dim); i++)
        values[i] = awkward(state, bits, band);
}

/* Call `check` on each path, for each tier, side and band, with awkward values of exact size. */
static void sweep(void (*check)(unsigned bits, unsigned dim, float band, const float *values))
{
    uint64_t state = 1;
    for
        EACH(b, ALL_BITS)
        for
            EACH(d, ALL_DIMS)
            for
                EACH(w, BANDS)
            for (unsigned round = 0; round < 8; round++) {
                float *values = brick_floats(ALL_DIMS[d]);
                fill_awkward(&state, ALL_BITS[b], ALL_DIMS[d], BANDS[w], values);
                for (int path = 0; path < 2; path++)
                    if (brick_path(path))
                        check(ALL_BITS[b], ALL_DIMS[d], BANDS[w], values);
                free(values);
            }
}

static void check_codes(unsigned bits, unsigned dim, float band, const float *values)
{
    uint8_t *payload = brick_payload(bits, dim);
    float scale = lodei_sdf_scale(bits, band);
    unsigned min = UINT16_MAX, max = 0;
    struct lodei_sdf_range range = lodei_sdf_encode(bits, dim, band, values, payload);
    for (size_t i = 0; i < lodei_sdf_voxels(dim); i++) {
        unsigned code = lodei_sdf_code_at(bits, payload, i);
        cr_assert_eq(code, lodei_sdf_code(bits, scale, values[i]), "%u bits, %a in %a: %u", bits,
                     (double)values[i], (double)band, code);
        min = code < min ? code : min;
        max = code > max ? code : max;
    }
    cr_assert_eq(range.min_code, min);
    cr_assert_eq(range.max_code, max);
    struct lodei_sdf_range again = lodei_sdf_payload_range(bits, dim, payload);
    cr_assert(again.min_code == min && again.max_code == max);
    free(payload);
}

Test(sdfpack, every_path_gives_the_code_that_the_header_defines)
{
    sweep(check_codes);
}

/* The definition itself, in double precision, away from the borders where rounding decides. */
static void check_meaning(unsigned bits, unsigned dim, float band, const float *values)
{
    double n = (double)(1u << bits), quantum = 2 * (double)band / n;
    for (size_t i = 0; i < lodei_sdf_voxels(dim); i++) {
        unsigned code = lodei_sdf_code(bits, lodei_sdf_scale(bits, band), values[i]);
        double v = (double)values[i], cell = floor(v / quantum) + n / 2;
        if (isnan(v)) {
            cr_assert_eq(code, n - 1);
            continue;
        }
        cr_assert_eq(code >= n / 2, v >= 0, "%a is stored as %u", v, code);
        cell = fmin(fmax(cell, 0), n - 1);
        if (fabs(v / quantum - rint(v / quantum)) > 1e-2)
            cr_assert_eq(code, cell, "%u bits, %a in %a: %u", bits, v, (double)band, code);
    }
}

Test(sdfpack, a_code_is_the_quantum_the_value_lies_in)
{
    sweep(check_meaning);
}

static void check_decoded(unsigned bits, unsigned dim, float band, const float *values)
{
    uint8_t *payload = brick_payload(bits, dim), *again = brick_payload(bits, dim);
    float *decoded = brick_floats(dim), quantum = lodei_sdf_quantum(bits, band);
    lodei_sdf_encode(bits, dim, band, values, payload);
    lodei_sdf_decode(bits, dim, band, payload, decoded);
    for (unsigned i = 0; i < lodei_sdf_voxels(dim); i++) {
        float v = values[i], got = decoded[i];
        float at = lodei_sdf_at(bits, dim, band, payload, i % dim, i / dim % dim, i / dim / dim);
        cr_assert(memcmp(&got, &at, sizeof(got)) == 0);
        cr_assert_neq(got, 0);
        if (isnan(v))
            v = band;
        cr_assert_eq(got < 0, v < 0);
        double clamped = fmin(fmax((double)v, (double)-band), (double)band);
        double error = fabs((double)got - clamped);
        cr_assert_leq(error, (double)quantum / 2 + 0x1p-22 * fabs(clamped), "%u bits, %a in %a",
                      bits, (double)v, (double)band);
    }
    lodei_sdf_encode(bits, dim, band, decoded, again);
    cr_assert_arr_eq(again, payload, lodei_sdf_payload_bytes(bits, dim));
    free(payload);
    free(again);
    free(decoded);
}

Test(sdfpack, the_error_is_half_a_quantum_and_the_sign_stays)
{
    sweep(check_decoded);
}

Test(sdfpack, all_codes_keep_their_value_through_a_second_round)
{
    for
        EACH(b, ALL_BITS)
        for
            EACH(w, BANDS)
            {
                unsigned bits = ALL_BITS[b];
                float band = BANDS[w], before = -INFINITY;
                for (unsigned code = 0; code < 1u << bits; code++) {
                    float v = lodei_sdf_value(bits, lodei_sdf_quantum(bits, band), code);
                    cr_assert_eq(lodei_sdf_code(bits, lodei_sdf_scale(bits, band), v), code);
                    cr_assert_gt(v, before);
                    before = v;
                }
            }
}

Test(sdfpack, the_layout_of_a_payload)
{
    float values[512];
    for (unsigned i = 0; i < 512; i++)
        values[i] = lodei_sdf_value(4, lodei_sdf_quantum(4, 4), i * 7 % 16);
    for (int path = 0; path < 2; path++) {
        uint8_t payload[1024];
        if (!brick_path(path))
            continue;
        lodei_sdf_encode(4, 8, 4, values, payload);
        for (unsigned i = 0; i < 256; i++)
            cr_assert_eq(payload[i], (2 * i * 7 % 16) | ((2 * i + 1) * 7 % 16) << 4);
        lodei_sdf_encode(16, 8, 4, values, payload);
        /* the middle of quantum c of 16 is the border below code c * 4096 + 2048 of 65,536 */
        for (unsigned i = 0; i < 512; i++) {
            unsigned code = payload[2 * i] | (unsigned)payload[2 * i + 1] << 8;
            unsigned c = i * 7 % 16;
            cr_assert_eq(code, c >= 8 ? c * 4096 + 2048 : c * 4096 + 2047);
        }
    }
    cr_assert_eq(lodei_sdf_payload_bytes(16, 8), 1024);
    cr_assert_eq(lodei_sdf_payload_bytes(8, 8), 512);
    cr_assert_eq(lodei_sdf_payload_bytes(4, 8), 256);
    cr_assert_eq(lodei_sdf_payload_bytes(4, 4), 32);
}

Test(sdfpack, ranges_tell_air_from_rock)
{
    float values[512];
    uint8_t payload[1024];
    for (int path = 0; path < 2; path++)
        for
            EACH(b, ALL_BITS)
            {
                unsigned bits = ALL_BITS[b];
                if (!brick_path(path))
                    continue;
                for (unsigned i = 0; i < 512; i++)
                    values[i] = i % 2 ? 4 : INFINITY;
                struct lodei_sdf_range range = lodei_sdf_encode(bits, 8, 4, values, payload);
                cr_assert(lodei_sdf_range_homogeneous(range) &&
                          lodei_sdf_range_outside(range, bits));
                cr_assert(!lodei_sdf_range_inside(range) && !lodei_sdf_range_crosses(range, bits));
                values[77] = -1e-40f;
                range = lodei_sdf_encode(bits, 8, 4, values, payload);
                cr_assert(!lodei_sdf_range_homogeneous(range) &&
                          lodei_sdf_range_crosses(range, bits));
                for (unsigned i = 0; i < 512; i++)
                    values[i] = i % 2 ? -4 : -INFINITY;
                range = lodei_sdf_encode(bits, 8, 4, values, payload);
                cr_assert(lodei_sdf_range_homogeneous(range) && lodei_sdf_range_inside(range));
                cr_assert(!lodei_sdf_range_outside(range, bits));
            }
}

static void check_recode(unsigned from_bits, unsigned to_bits, unsigned dim, float from_band,
                         float to_band, const uint8_t *from)
{
    float *values = brick_floats(dim);
    uint8_t *wanted = brick_payload(to_bits, dim), *got = brick_payload(to_bits, dim);
    lodei_sdf_decode(from_bits, dim, from_band, from, values);
    struct lodei_sdf_range range = lodei_sdf_encode(to_bits, dim, to_band, values, wanted);
    lodei_sdf_recode(from_bits, from_band, from, to_bits, to_band, got, dim);
    cr_assert_arr_eq(got, wanted, lodei_sdf_payload_bytes(to_bits, dim), "%u to %u, %a to %a",
                     from_bits, to_bits, (double)from_band, (double)to_band);
    struct lodei_sdf_range old = lodei_sdf_payload_range(from_bits, dim, from);
    float quantum = lodei_sdf_quantum(from_bits, from_band);
    float scale = lodei_sdf_scale(to_bits, to_band);
    cr_assert_eq(range.min_code,
                 lodei_sdf_code(to_bits, scale, lodei_sdf_value(from_bits, quantum, old.min_code)));
    cr_assert_eq(range.max_code,
                 lodei_sdf_code(to_bits, scale, lodei_sdf_value(from_bits, quantum, old.max_code)));
    free(values);
    free(wanted);
    free(got);
}

Test(sdfpack, recoding_is_decoding_and_encoding)
{
    uint64_t state = 5;
    for
        EACH(f, ALL_BITS)
        for
            EACH(t, ALL_BITS)
            for
                EACH(d, ALL_DIMS)
                for
                    EACH(w, BANDS)
                    {
                        uint8_t *from = brick_payload(ALL_BITS[f], ALL_DIMS[d]);
                        brick_random_bytes(&state, from,
                                           lodei_sdf_payload_bytes(ALL_BITS[f], ALL_DIMS[d]));
                        for (unsigned other = 0; other < 6; other++) {
                            float to_band = other < 4 ? BANDS[other] : BANDS[w];
                            if (brick_path(other % 2))
                                check_recode(ALL_BITS[f], ALL_BITS[t], ALL_DIMS[d], BANDS[w],
                                             to_band, from);
                        }
                        free(from);
                    }
}

Test(sdfpack, every_16_bit_code_goes_down_as_its_value_does)
{
    uint16_t codes[4096];
    for (int path = 0; path < 2; path++)
        for
            EACH(w, BANDS)
    for (unsigned first = 0; first < 65536 && brick_path(path); first += 4096) {
        for (unsigned i = 0; i < 4096; i++)
            codes[i] = (uint16_t)(first + i);
        check_recode(16, 8, 16, BANDS[w], BANDS[w], (uint8_t *)codes);
        check_recode(16, 4, 16, BANDS[w], BANDS[w], (uint8_t *)codes);
    }
}

Test(sdfpack, a_part_of_a_brick_lands_in_its_place_and_nowhere_else)
{
    uint64_t state = 9;
    for (unsigned round = 0; round < 20000; round++) {
        unsigned bits = ALL_BITS[round % 3], dim = ALL_DIMS[round / 3 % 3];
        struct lodei_sdf_box box;
        if (!brick_path(round % 2))
            continue;
        brick_random_box(&state, dim, &box);
        size_t row = box.size[0] + brick_random(&state) % 3;
        size_t slice = row * box.size[1] + brick_random(&state) % 5;
        size_t floats = (box.size[2] - 1) * slice + (box.size[1] - 1) * row + box.size[0];
        float *got = malloc(floats * sizeof(*got)), *wanted = malloc(floats * sizeof(*wanted));
        uint8_t *payload = brick_payload(bits, dim);
        brick_random_bytes(&state, payload, lodei_sdf_payload_bytes(bits, dim));
        for (size_t i = 0; i < floats; i++)
            got[i] = wanted[i] = -77;
        for (unsigned z = 0; z < box.size[2]; z++)
            for (unsigned y = 0; y < box.size[1]; y++)
                for (unsigned x = 0; x < box.size[0]; x++)
                    wanted[z * slice + y * row + x] =
                        lodei_sdf_at(bits, dim, 3, payload, box.corner[0] + x, box.corner[1] + y,
                                     box.corner[2] + z);
        lodei_sdf_decode_box(bits, dim, 3, payload, &box, got, row, slice);
        cr_assert_arr_eq(got, wanted, floats * sizeof(*got));
        free(got);
        free(wanted);
        free(payload);
    }
}

Test(sdfpack, signs_survive_in_a_thread_without_denormals)
{
#if defined(__x86_64__)
    uint32_t before = __builtin_ia32_stmxcsr();
    float values[64];
    uint8_t payload[128];
    for (unsigned i = 0; i < 64; i++)
        values[i] = i % 2 ? -0x1p-149f : 0x1p-149f;
    for (int path = 0; path < 2; path++)
        if (brick_path(path)) {
            __builtin_ia32_ldmxcsr(before | 0x8040); /* flush to zero, denormals are zero */
            lodei_sdf_encode(16, 4, 4, values, payload);
            __builtin_ia32_ldmxcsr(before);
            for (unsigned i = 0; i < 64; i++)
                cr_assert_eq(lodei_sdf_code_at(16, payload, i), i % 2 ? 0x7fff : 0x8000);
        }
#endif
}

Test(sdfpack, bands_and_tiers_that_make_no_sense_are_seen)
{
    cr_assert(lodei_sdf_band_valid(4) && lodei_sdf_band_valid(0x1p64f));
    cr_assert(!lodei_sdf_band_valid(0) && !lodei_sdf_band_valid(-1));
    cr_assert(!lodei_sdf_band_valid(INFINITY) && !lodei_sdf_band_valid(1e-30f));
    for
        EACH(i, NOT_A_NUMBER)
    cr_assert(!lodei_sdf_band_valid(NOT_A_NUMBER[i]));
    for (unsigned n = 0; n < 40; n++) {
        cr_assert_eq(lodei_sdf_bits_valid(n), n == 4 || n == 8 || n == 16);
        cr_assert_eq(lodei_sdf_dim_valid(n), n == 4 || n == 8 || n == 16);
    }
}

Test(sdfpack, the_path_in_use_is_the_one_asked_for)
{
    cr_assert_eq(lodei_sdf_path_set(LODEI_SDF_BASE), 0);
    cr_assert_eq(lodei_sdf_path(), LODEI_SDF_BASE);
    int status = lodei_sdf_path_set(LODEI_SDF_AVX2);
    cr_assert(status == 0 || status == -ENOTSUP);
    cr_assert_eq(lodei_sdf_path(), status == 0 ? LODEI_SDF_AVX2 : LODEI_SDF_BASE);
}
