/* SPDX-License-Identifier: MIT */
/* lode/morton_code.h and lode/morton.h: codes, arrays of codes on every path, and boxes, against
 * loops over bits and cells. */
#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ext/morton_array.h"
#include "lode/morton.h"
#include "morton_model.h"

#define RANDOM_ROUNDS 20000

static uint64_t state = 20240607;

static uint32_t random32(void)
{
    return (uint32_t)(morton_random(&state) >> 32);
}

/* Values at the edges of bits, or any. */
static uint32_t some(unsigned bits)
{
    uint32_t all = bits == 32 ? UINT32_MAX : ((uint32_t)1 << bits) - 1, r = random32();
    switch (r % 4) {
    case 0:
        return (uint32_t)1 << r / 4 % bits;
    case 1:
        return all >> r / 4 % bits;
    default:
        return random32() & all;
    }
}

Test(morton_code, interleaves_as_a_loop_over_bits_does)
{
    for (int i = 0; i < RANDOM_ROUNDS; i++) {
        uint32_t at[3] = {some(32), some(32), some(32)}, back[3];
        uint64_t two = lode_morton2_encode(at[0], at[1]);
        cr_assert_eq(two, morton_model(2, 32, at));
        lode_morton2_decode(two, back);
        cr_assert_arr_eq(back, at, 2 * sizeof(at[0]));
        uint64_t three = lode_morton3_encode(at[0], at[1], at[2]);
        cr_assert_eq(three, morton_model(3, 21, at));
        lode_morton3_decode(three, back);
        for (int axis = 0; axis < 3; axis++)
            cr_assert_eq(back[axis], at[axis] & 0x1fffff);
    }
}

Test(morton_code, bit_63_of_a_3d_code_is_nobodys)
{
    uint32_t at[3];
    lode_morton3_decode(UINT64_MAX, at);
    for (int axis = 0; axis < 3; axis++)
        cr_assert_eq(at[axis], 0x1fffff);
    cr_assert_eq(lode_morton3_encode(0x1fffff, 0x1fffff, 0x1fffff), LODE_MORTON3_LAST);
}

Test(morton_code, signed_coordinates_keep_their_order)
{
    for (int i = 0; i < RANDOM_ROUNDS; i++) {
        int32_t at[3], back[3];
        uint64_t code, next;
        for (int axis = 0; axis < 3; axis++)
            at[axis] = (int32_t)some(21) + LODE_MORTON3_MIN;
        cr_assert_eq(lode_morton3_encode_signed(at[0], at[1], at[2], &code), 0);
        lode_morton3_decode_signed(code, back);
        cr_assert_arr_eq(back, at, sizeof(at));
        if (at[0] < LODE_MORTON3_MAX) {
            cr_assert_eq(lode_morton3_encode_signed(at[0] + 1, at[1], at[2], &next), 0);
            cr_assert_gt(next, code);
            cr_assert_eq(next, lode_morton3_next(code, 0));
        }
        int32_t x = (int32_t)some(32), y = (int32_t)some(32), back2[2];
        lode_morton2_decode_signed(lode_morton2_encode_signed(x, y), back2);
        cr_assert(back2[0] == x && back2[1] == y);
    }
    cr_assert_lt(lode_morton2_encode_signed(-1, -1), lode_morton2_encode_signed(0, 0));
}

Test(morton_code, out_of_range_is_erange_and_writes_nothing)
{
    static const int32_t bad[] = {LODE_MORTON3_MAX + 1, LODE_MORTON3_MIN - 1, INT32_MAX, INT32_MIN};
    uint64_t code = 77;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        cr_assert_eq(lode_morton3_encode_signed(bad[i], 0, 0, &code), -ERANGE);
        cr_assert_eq(lode_morton3_encode_signed(0, bad[i], 0, &code), -ERANGE);
        cr_assert_eq(lode_morton3_encode_signed(0, 0, bad[i], &code), -ERANGE);
    }
    cr_assert_eq(code, 77);
    cr_assert_eq(
        lode_morton3_encode_signed(LODE_MORTON3_MIN, LODE_MORTON3_MIN, LODE_MORTON3_MIN, &code), 0);
    cr_assert_eq(code, 0);
    cr_assert_eq(
        lode_morton3_encode_signed(LODE_MORTON3_MAX, LODE_MORTON3_MAX, LODE_MORTON3_MAX, &code), 0);
    cr_assert_eq(code, LODE_MORTON3_LAST);
}

Test(morton_code, arithmetic_without_decoding_is_that_of_the_coordinates)
{
    for (int i = 0; i < RANDOM_ROUNDS; i++) {
        uint32_t a[3] = {some(32), some(32), some(32)}, b[3] = {some(32), some(32), some(32)};
        uint64_t a2 = lode_morton2_encode(a[0], a[1]), b2 = lode_morton2_encode(b[0], b[1]);
        uint64_t a3 = lode_morton3_encode(a[0], a[1], a[2]);
        uint64_t b3 = lode_morton3_encode(b[0], b[1], b[2]);
        cr_assert_eq(lode_morton2_add(a2, b2), lode_morton2_encode(a[0] + b[0], a[1] + b[1]));
        cr_assert_eq(lode_morton2_sub(a2, b2), lode_morton2_encode(a[0] - b[0], a[1] - b[1]));
        cr_assert_eq(lode_morton3_add(a3, b3),
                     lode_morton3_encode(a[0] + b[0], a[1] + b[1], a[2] + b[2]));
        cr_assert_eq(lode_morton3_sub(a3, b3),
                     lode_morton3_encode(a[0] - b[0], a[1] - b[1], a[2] - b[2]));
        for (unsigned axis = 0; axis < 3; axis++) {
            uint32_t up[3] = {a[0], a[1], a[2]}, down[3] = {a[0], a[1], a[2]};
            up[axis]++;
            down[axis]--;
            cr_assert_eq(lode_morton3_next(a3, axis), lode_morton3_encode(up[0], up[1], up[2]));
            cr_assert_eq(lode_morton3_prev(a3, axis),
                         lode_morton3_encode(down[0], down[1], down[2]));
            if (axis < 2) {
                cr_assert_eq(lode_morton2_next(a2, axis), lode_morton2_encode(up[0], up[1]));
                cr_assert_eq(lode_morton2_prev(a2, axis), lode_morton2_encode(down[0], down[1]));
            }
        }
    }
}

Test(morton_code, six_neighbours_and_which_of_them_exist)
{
    uint64_t codes[6], inside = lode_morton3_encode(5, 9, 1000), corner = 0;
    cr_assert_eq(lode_morton3_neighbours(inside, codes), 0x3f);
    cr_assert_eq(codes[0], lode_morton3_encode(4, 9, 1000));
    cr_assert_eq(codes[1], lode_morton3_encode(6, 9, 1000));
    cr_assert_eq(codes[2], lode_morton3_encode(5, 8, 1000));
    cr_assert_eq(codes[3], lode_morton3_encode(5, 10, 1000));
    cr_assert_eq(codes[4], lode_morton3_encode(5, 9, 999));
    cr_assert_eq(codes[5], lode_morton3_encode(5, 9, 1001));
    cr_assert_eq(lode_morton3_neighbours(corner, codes), 0x2a);
    cr_assert_eq(lode_morton3_neighbours(LODE_MORTON3_LAST, codes), 0x15);
}

/* ---- arrays ---- */

#define ARRAY_MAX 300

static uint32_t xs[ARRAY_MAX], ys[ARRAY_MAX], zs[ARRAY_MAX], back[3][ARRAY_MAX + 1];
static uint64_t codes[ARRAY_MAX + 1];

static void check_path(const struct lodei_morton_paths *path, size_t count, uint32_t bias)
{
    codes[count] = 0x1234567;
    path->encode2(xs, ys, count, bias, codes);
    for (size_t i = 0; i < count; i++)
        cr_assert_eq(codes[i], lode_morton2_encode(xs[i] + bias, ys[i] + bias), "%s", path->name);
    for (int axis = 0; axis < 3; axis++)
        back[axis][count] = 0x7654321;
    path->decode2(codes, count, bias, back[0], back[1]);
    cr_assert(memcmp(back[0], xs, count * 4) == 0 && memcmp(back[1], ys, count * 4) == 0);
    path->encode3(xs, ys, zs, count, bias, codes);
    for (size_t i = 0; i < count; i++) {
        cr_assert_eq(codes[i], lode_morton3_encode(xs[i] + bias, ys[i] + bias, zs[i] + bias), "%s",
                     path->name);
        codes[i] |= (uint64_t)(i & 1) << 63;
    }
    cr_assert_eq(codes[count], 0x1234567, "%s wrote over its end", path->name);
    path->decode3(codes, count, bias, back[0], back[1], back[2]);
    for (size_t i = 0; i < count; i++) {
        cr_assert_eq(back[0][i], ((xs[i] + bias) & 0x1fffff) - bias, "%s", path->name);
        cr_assert_eq(back[1][i], ((ys[i] + bias) & 0x1fffff) - bias, "%s", path->name);
        cr_assert_eq(back[2][i], ((zs[i] + bias) & 0x1fffff) - bias, "%s", path->name);
    }
    for (int axis = 0; axis < 3; axis++)
        cr_assert_eq(back[axis][count], 0x7654321, "%s wrote over its end", path->name);
}

Test(morton_array, every_path_gives_the_same_codes)
{
    static const uint32_t biases[] = {0, 1u << 20, 1u << 31};
    const struct lodei_morton_paths *paths[LODEI_MORTON_PATHS_MAX] = {0};
    size_t count = lodei_morton_faster_paths(paths);
    paths[count++] = &lodei_morton_baseline;
    for (size_t p = 0; p < count; p++)
        for (size_t n = 0; n < ARRAY_MAX; n += n < 40 ? 1 : 37)
            for (int b = 0; b < 3; b++) {
                for (size_t i = 0; i < n; i++) {
                    xs[i] = some(32);
                    ys[i] = some(32);
                    zs[i] = some(32);
                }
                check_path(paths[p], n, biases[b]);
            }
}

Test(morton_array, the_best_path_is_taken)
{
    const struct lodei_morton_paths *paths[LODEI_MORTON_PATHS_MAX] = {&lodei_morton_baseline};
    (void)lodei_morton_faster_paths(paths);
    cr_assert_eq(lodei_morton_chosen(), paths[0]);
    cr_assert_eq(lodei_morton_chosen(), paths[0]);
}

Test(morton_array, slow_pdep_is_known)
{
    cr_assert(lodei_morton_pdep_is_slow("AuthenticAMD", 0x15));
    cr_assert(lodei_morton_pdep_is_slow("AuthenticAMD", 0x17));
    cr_assert(!lodei_morton_pdep_is_slow("AuthenticAMD", 0x19));
    cr_assert(!lodei_morton_pdep_is_slow("AuthenticAMD", 0x1a));
    cr_assert(lodei_morton_pdep_is_slow("HygonGenuine", 0x18));
    cr_assert(!lodei_morton_pdep_is_slow("GenuineIntel", 6));
}

Test(morton_array, public_calls_plain_and_signed)
{
    int32_t sx[ARRAY_MAX], sy[ARRAY_MAX], sz[ARRAY_MAX], bx[ARRAY_MAX], by[ARRAY_MAX],
        bz[ARRAY_MAX];
    uint64_t one;
    for (size_t i = 0; i < ARRAY_MAX; i++) {
        xs[i] = some(21);
        ys[i] = some(21);
        zs[i] = some(21);
        sx[i] = (int32_t)xs[i] + LODE_MORTON3_MIN;
        sy[i] = (int32_t)ys[i] + LODE_MORTON3_MIN;
        sz[i] = (int32_t)zs[i] + LODE_MORTON3_MIN;
    }
    lode_morton3_encode_many(xs, ys, zs, ARRAY_MAX, codes);
    cr_assert_eq(codes[7], lode_morton3_encode(xs[7], ys[7], zs[7]));
    lode_morton3_decode_many(codes, ARRAY_MAX, back[0], back[1], back[2]);
    cr_assert_arr_eq(back[2], zs, sizeof(zs));
    lode_morton2_encode_many(xs, ys, ARRAY_MAX, codes);
    cr_assert_eq(codes[9], lode_morton2_encode(xs[9], ys[9]));
    lode_morton2_decode_many(codes, ARRAY_MAX, back[0], back[1]);
    cr_assert_arr_eq(back[1], ys, sizeof(ys));
    lode_morton2_encode_signed_many(sx, sy, ARRAY_MAX, codes);
    cr_assert_eq(codes[9], lode_morton2_encode_signed(sx[9], sy[9]));
    lode_morton2_decode_signed_many(codes, ARRAY_MAX, bx, by);
    cr_assert(memcmp(bx, sx, sizeof(sx)) == 0 && memcmp(by, sy, sizeof(sy)) == 0);
    cr_assert_eq(lode_morton3_encode_signed_many(sx, sy, sz, ARRAY_MAX, codes), 0);
    for (size_t i = 0; i < ARRAY_MAX; i++) {
        cr_assert_eq(lode_morton3_encode_signed(sx[i], sy[i], sz[i], &one), 0);
        cr_assert_eq(codes[i], one);
    }
    lode_morton3_decode_signed_many(codes, ARRAY_MAX, bx, by, bz);
    cr_assert(memcmp(bx, sx, sizeof(sx)) == 0 && memcmp(bz, sz, sizeof(sz)) == 0);
}

Test(morton_array, one_coordinate_out_of_range_fails_all_and_writes_nothing)
{
    int32_t at[3][40];
    for (int bad = 0; bad < 120; bad++) {
        memset(at, 0, sizeof(at));
        at[bad % 3][bad / 3] = bad & 1 ? LODE_MORTON3_MAX + 1 : LODE_MORTON3_MIN - 1;
        memset(codes, 0x55, sizeof(codes));
        cr_assert_eq(lode_morton3_encode_signed_many(at[0], at[1], at[2], 40, codes), -ERANGE);
        for (int i = 0; i < 40; i++)
            cr_assert_eq(codes[i], UINT64_C(0x5555555555555555));
    }
    cr_assert_eq(lode_morton3_encode_signed_many(NULL, NULL, NULL, 0, NULL), 0);
}

/* ---- boxes ---- */

/* Every code of the model space in and around a random small box. */
static void check_box(unsigned dims)
{
    struct lode_morton_box box, runs;
    struct morton_model_box model;
    uint64_t got, first, last, at = 0;
    morton_model_box(&model, dims, &state);
    cr_assert_eq(dims == 2 ? lode_morton2_box(model.lo, model.hi, &box)
                           : lode_morton3_box(model.lo, model.hi, &box),
                 0);
    runs = box;
    for (size_t i = 0; i < model.count; i++) {
        cr_assert(lode_morton_box_holds(&box, model.codes[i]));
        cr_assert_eq(lode_morton_box_next(&box, &got), 1);
        cr_assert_eq(got, model.codes[i]);
    }
    got = 99;
    cr_assert_eq(lode_morton_box_next(&box, &got), 0);
    cr_assert_eq(got, 99);
    while (lode_morton_box_run(&runs, &first, &last)) {
        cr_assert_eq(first, model.codes[at]);
        while (at + 1 < model.count && model.codes[at + 1] == model.codes[at] + 1)
            at++;
        cr_assert_eq(last, model.codes[at]);
        at++;
    }
    cr_assert_eq(at, model.count);
    for (int i = 0; i < 200; i++) {
        uint64_t code = morton_model_code(&model, dims, &state);
        size_t above = 0;
        while (above < model.count && model.codes[above] <= code)
            above++;
        cr_assert_eq(lode_morton_bigmin(&box, code, &got), above < model.count ? 0 : -ENOENT);
        cr_assert(above == model.count || got == model.codes[above]);
        size_t below = above;
        while (below > 0 && model.codes[below - 1] >= code)
            below--;
        cr_assert_eq(lode_morton_litmax(&box, code, &got), below > 0 ? 0 : -ENOENT);
        cr_assert(below == 0 || got == model.codes[below - 1]);
        cr_assert_eq(lode_morton_box_holds(&box, code),
                     above > 0 && model.codes[above - 1] == code);
    }
    free(model.codes);
}

Test(morton_box, walks_runs_bigmin_and_litmax_agree_with_a_sorted_list)
{
    for (int i = 0; i < 400; i++) {
        check_box(2);
        check_box(3);
    }
}

Test(morton_box, the_whole_of_space_is_one_run)
{
    struct lode_morton_box box;
    uint64_t first, last;
    const uint32_t lo[3] = {0, 0, 0}, hi2[2] = {UINT32_MAX, UINT32_MAX};
    const uint32_t hi3[3] = {0x1fffff, 0x1fffff, 0x1fffff};
    cr_assert_eq(lode_morton2_box(lo, hi2, &box), 0);
    cr_assert_eq(lode_morton_box_run(&box, &first, &last), 1);
    cr_assert(first == 0 && last == UINT64_MAX);
    cr_assert_eq(lode_morton_box_run(&box, &first, &last), 0);
    cr_assert_eq(lode_morton_bigmin(&box, UINT64_MAX, &first), -ENOENT);
    cr_assert_eq(lode_morton_litmax(&box, 0, &first), -ENOENT);
    cr_assert_eq(lode_morton3_box(lo, hi3, &box), 0);
    cr_assert_eq(lode_morton_box_run(&box, &first, &last), 1);
    cr_assert(first == 0 && last == LODE_MORTON3_LAST);
    cr_assert_eq(lode_morton_box_run(&box, &first, &last), 0);
    cr_assert(!lode_morton_box_holds(&box, LODE_MORTON3_LAST + 1));
}

Test(morton_box, signed_boxes_stand_on_both_sides_of_zero)
{
    struct lode_morton_box box;
    const int32_t lo[3] = {-2, -1, -3}, hi[3] = {1, 2, 0};
    int32_t at[3];
    uint64_t code, count = 0, before = 0;
    cr_assert_eq(lode_morton3_box_signed(lo, hi, &box), 0);
    while (lode_morton_box_next(&box, &code)) {
        cr_assert(count == 0 || code > before);
        before = code;
        lode_morton3_decode_signed(code, at);
        for (int axis = 0; axis < 3; axis++)
            cr_assert(at[axis] >= lo[axis] && at[axis] <= hi[axis]);
        count++;
    }
    cr_assert_eq(count, 4 * 4 * 4);
}

Test(morton_box, bad_corners_are_refused_and_write_nothing)
{
    struct lode_morton_box box = {.next = 42};
    const uint32_t lo[3] = {3, 4, 5}, turned[3] = {4, 4, 4}, wide[3] = {3, 1u << 21, 9};
    const int32_t slo[3] = {0, 0, 0}, shi[3] = {0, 0, -1};
    const int32_t far[3] = {0, LODE_MORTON3_MAX + 1, 0};
    cr_assert_eq(lode_morton3_box(lo, turned, &box), -EINVAL);
    cr_assert_eq(lode_morton3_box(lo, wide, &box), -ERANGE);
    cr_assert_eq(lode_morton2_box(lo, turned, &box), 0);
    box.next = 42;
    cr_assert_eq(lode_morton2_box(turned, lo, &box), -EINVAL);
    cr_assert_eq(lode_morton3_box_signed(slo, shi, &box), -EINVAL);
    cr_assert_eq(lode_morton3_box_signed(slo, far, &box), -ERANGE);
    cr_assert_eq(lode_morton3_box_signed(far, far, &box), -ERANGE);
    cr_assert_eq(box.next, 42);
}
