/* SPDX-License-Identifier: MIT */
/* Reading across bricks (ext/sdfreach.c, ext/sdfsample.c, ext/sdfband.c): walks, the cursor, aprons
 * and samples, against the model of a dense array. */
#include "sdf_field.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "ext/sdfpack.h"
#include "sdf_model.h"

static struct lode_sdf *field_of_dim(uint8_t dim)
{
    struct lode_sdf_opts o = LODE_SDF_OPTS_INIT;
    o.brick_dim = dim;
    o.channel_count = 2;
    o.formats[1] = LODE_CHANNEL_RAW8;
    return field_made(&o);
}

static uint32_t next(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*state >> 33);
}

/* About half of the places have bricks, of all tiers and two bands. */
static void half_filled(struct model *m, uint32_t dim, struct lode_ivec3 origin, uint64_t seed)
{
    uint64_t state = seed * 99;
    model_create(m, dim, origin, 0);
    model_band(m, 1, 1.5f);
    for (unsigned p = 0; p < MODEL_BRICKS; p++)
        if (next(&state) % 2 == 0)
            model_store(m, next(&state) % 8 == 0, p, next(&state) % 4, next(&state) % 2, 0,
                        next(&state));
}

static const struct lode_ivec3 origins[] = {{0, 0, 0},
                                            {-2, -3, -4},
                                            {RANGE_MIN, RANGE_MIN, 7},
                                            {RANGE_MAX - MODEL_SIDE + 1, 0, RANGE_MIN},
                                            {4096, -4096, 1}};
#define ORIGINS (sizeof(origins) / sizeof(origins[0]))

Test(sdfreach, samples_agree_with_a_reference)
{
    static struct model m;
    for (unsigned k = 0; k < ORIGINS; k++)
        for (uint32_t dim = 4; dim <= 8; dim += 4) {
            half_filled(&m, dim, origins[k], k + dim);
            for (unsigned p = 0; p < MODEL_BRICKS + 2; p++)
                model_sample(&m, p, p * 7919 + k);
            model_destroy(&m);
        }
}

Test(sdfreach, both_paths_give_the_same_samples)
{
    static struct model m;
    static struct lode_sdf_point one[5000], other[5000];
    static float points[5000][3];
    uint64_t state = 3;
    half_filled(&m, 8, origins[1], 5);
    for (unsigned i = 0; i < 5000; i++)
        for (unsigned axis = 0; axis < 3; axis++) {
            const int32_t o[3] = {m.origin.x, m.origin.y, m.origin.z};
            /* runs of up to some hundred in one brick */
            uint32_t near = i % 300 < 200 && i != 0 ? next(&state) % 96 : next(&state) % 5000;
            float base = i % 300 != 0 && near < 96
                             ? points[i - i % 300][axis]
                             : (float)(o[axis] * 8) + (float)(next(&state) % 5000) / 128;
            points[i][axis] = base + (float)near / 64;
        }
    enum lodei_sdf_path path = lodei_sdf_path();
    cr_assert_eq(lodei_sdf_path_set(LODEI_SDF_BASE), 0);
    int64_t found = lode_sdf_sample_many(m.sdf, 0, (const float(*)[3])points, 5000, one);
    cr_assert_gt(found, 1000);
    cr_assert_lt(found, 5000);
    if (path != LODEI_SDF_BASE) {
        cr_assert_eq(lodei_sdf_path_set(path), 0);
        cr_assert_eq(lode_sdf_sample_many(m.sdf, 0, (const float(*)[3])points, 5000, other), found);
        for (unsigned i = 0; i < 5000; i++)
            cr_assert(isnan(one[i].value) ? isnan(other[i].value)
                                          : memcmp(&one[i], &other[i], sizeof(one[i])) == 0);
    }
    for (unsigned i = 0; i < 5000; i++) {
        struct lode_sdf_point single = {NAN, {0, 0, 0}};
        int status = lode_sdf_sample(m.sdf, 0, points[i], &single);
        cr_assert_eq(status == 0, !isnan(one[i].value));
        cr_assert(status != 0 || memcmp(&single, &one[i], sizeof(single)) == 0);
    }
    model_destroy(&m);
}

Test(sdfreach, samples_at_the_ends_of_the_world)
{
    static const uint8_t dims[] = {4, 8, 16};
    for (unsigned d = 0; d < 3; d++) {
        struct lode_sdf *sdf = field_of_dim(dims[d]);
        lode_handle brick;
        float values[4096], reach = (float)(1 << 20) * (float)dims[d];
        struct lode_sdf_point got = {77, {0, 0, 0}};
        struct lode_ivec3 corners[] = {{RANGE_MIN, RANGE_MIN, RANGE_MIN},
                                       {RANGE_MAX, RANGE_MAX, RANGE_MAX}};
        values_fill(values, 4096, 1);
        for (unsigned c = 0; c < 2; c++)
            cr_assert_eq(lode_sdf_store(sdf, 0, corners[c], values, NULL, &brick), 0);
        float out[][3] = {{-reach, 0, 0},
                          {reach, 0, 0},
                          {0, reach * 2, 0},
                          {0, 0, -reach * 2},
                          {0, NAN, 0},
                          {INFINITY, 0, 0},
                          {0, -INFINITY, 0},
                          {0, 0, -3.4e38f},
                          {3.4e38f, 0, 0},
                          {0, 0, reach},
                          {0, nextafterf(-reach, -INFINITY), 0}};
        for (unsigned i = 0; i < sizeof(out) / sizeof(out[0]); i++)
            cr_assert_eq(lode_sdf_sample(sdf, 0, out[i], &got), -ERANGE, "dim %d, %u", dims[d], i);
        cr_assert_eq(got.value, 77);
        float low = -reach + 2, high = reach - 2; /* steps of 1 are the finest, at 16^3 */
        const float in[][3] = {{low, low, low}, {high, high, high}};
        for (unsigned i = 0; i < 2; i++) {
            cr_assert_eq(lode_sdf_sample(sdf, 0, in[i], &got), 0);
            cr_assert(fabsf(got.value - 1) < 0.05f);
        }
        const float nowhere[3] = {0, 0, 0};
        cr_assert_eq(lode_sdf_sample(sdf, 0, nowhere, &got), -ENOENT);
        lode_sdf_destroy(sdf);
    }
}

Test(sdfreach, channels_without_distances_are_refused)
{
    struct lode_sdf *sdf = field_of_dim(8);
    struct lode_sdf_point got[1];
    const float point[1][3] = {{0, 0, 0}};
    float values[512];
    struct lode_cursor cursor = {0};
    for (unsigned channel = 1; channel < 4; channel++) {
        cr_assert_eq(lode_sdf_sample(sdf, channel, point[0], got), -EINVAL);
        cr_assert_eq(lode_sdf_sample_many(sdf, channel, point, 1, got), -EINVAL);
        cr_assert_eq(lode_sdf_decode_apron(sdf, channel, AT(0, 0, 0), 1, values), -EINVAL);
        cr_assert_eq(lode_read_begin(), 0);
        cr_assert_eq(lode_cursor_move(&cursor, sdf, channel, AT(0, 0, 0)), -EINVAL);
        lode_read_end();
        cr_assert_eq(lode_sdf_band_each(sdf, channel, NULL, 1, NULL, NULL), -EINVAL);
    }
    cr_assert_eq(lode_sdf_each(sdf, 2, NULL, NULL, NULL), -EINVAL);
    cr_assert_eq(lode_sdf_sample_many(sdf, 0, point, 0, got), 0);
    lode_sdf_destroy(sdf);
}

Test(sdfreach, cursors_and_aprons_agree_with_a_dense_array)
{
    static struct model m;
    for (unsigned k = 0; k < ORIGINS; k++)
        for (uint32_t dim = 4; dim <= 8; dim += 4) {
            half_filled(&m, dim, origins[k], 17 * k + dim);
            for (unsigned p = 0; p < MODEL_BRICKS + 2; p++)
                model_around(&m, p, p % 7 == 0 ? dim : p % 3);
            model_destroy(&m);
        }
}

Test(sdfreach, an_apron_of_sixteen)
{
    struct lode_sdf *sdf = field_of_dim(16);
    static float values[4096], got[48 * 48 * 48];
    struct lode_brick_opts opts = {.size = sizeof(opts), .tier = 1 + LODE_TIER_HIGH};
    lode_handle brick;
    for (int z = 0; z < 3; z++)
        for (int x = 0; x < 3; x++)
            for (int y = 0; y < 3; y++) {
                for (int i = 0; i < 4096; i++) /* a slope over all of it */
                    values[i] = (float)(x * 16 + i % 16 + y * 16 + i / 16 % 16) / 32 - 1.2f;
                cr_assert_eq(lode_sdf_store(sdf, 0, AT(x, y, z), values, &opts, &brick), 0);
            }
    cr_assert_eq(lode_sdf_decode_apron(sdf, 0, AT(1, 1, 1), 16, got), 0);
    for (int i = 0; i < 48 * 48 * 48; i++)
        cr_assert(fabsf(got[i] - ((float)(i % 48 + i / 48 % 48) / 32 - 1.2f)) <= 4.0f / 65536);
    cr_assert_eq(lode_sdf_decode_apron(sdf, 0, AT(1, 1, 1), 17, got), -EINVAL);
    lode_sdf_destroy(sdf);
}

Test(sdfreach, a_cursor_keeps_what_it_found_till_its_section_ends)
{
    struct lode_sdf *sdf = field_of_dim(8);
    struct lode_cursor cursor = {0};
    lode_handle left = brick_of(sdf, AT(0, 0, 0), 1, LODE_TIER_HIGH);
    (void)brick_of(sdf, AT(1, 0, 0), 2, LODE_TIER_MID);
    cr_assert_eq(lode_cursor_move(&cursor, sdf, 0, AT(0, 0, 0)), -EINVAL, "without a section");
    cr_assert_null(cursor.sdf);
    cr_assert_eq(lode_read_begin(), 0);
    cr_assert_eq(lode_cursor_move(&cursor, sdf, 0, AT(0, 0, 0)), 0);
    cr_assert_eq(cursor.bricks[13], left);
    float before = lode_cursor_value(&cursor, 0, 0, 0);
    (void)brick_of(sdf, AT(0, 0, 0), -3, LODE_TIER_LOW);
    cr_assert_eq(lode_cursor_value(&cursor, 0, 0, 0), before);
    cr_assert_eq(lode_cursor_move(&cursor, sdf, 0, AT(1, 0, 0)), 0);
    cr_assert_eq(lode_cursor_value(&cursor, -1, 0, 0), before, "a step keeps what was found");
    cr_assert_eq(lode_sdf_brick_free(sdf, left), 0);
    cr_assert_eq(lode_cursor_value(&cursor, -1, 0, 0), before);
    cr_assert_eq(lode_cursor_move(&cursor, sdf, 0, AT(9, 9, 9)), -ENOENT);
    cr_assert_null(cursor.blocks[13]);
    cr_assert_eq(lode_cursor_move(&cursor, sdf, 0, AT(2, 0, 0)), -ENOENT);
    cr_assert_not_null(cursor.blocks[12], "neighbours are found all the same");
    lode_read_end();
    cr_assert_eq(lode_read_begin(), 0);
    cr_assert_eq(lode_cursor_move(&cursor, sdf, 0, AT(1, 0, 0)), 0);
    cr_assert_null(cursor.blocks[12], "another section looks again");
    lode_read_end();
    lode_sdf_destroy(sdf);
}

Test(sdfreach, missing_neighbours_have_the_sign_beside_them)
{
    struct lode_sdf_opts o = LODE_SDF_OPTS_INIT;
    struct lode_sdf *sdf = field_made(&o);
    struct lode_cursor cursor = {0};
    struct lode_sdf_point got;
    cr_assert_eq(lode_sdf_band_set(sdf, 9, 2), 0);
    for (int sign = -1; sign <= 1; sign += 2) {
        struct lode_brick_opts opts = {.size = sizeof(opts), .material = 9, .tier = 1};
        float values[512];
        lode_handle brick;
        values_fill(values, 512, 1.25f * (float)sign);
        cr_assert_eq(lode_sdf_store(sdf, 0, AT(0, 0, 0), values, &opts, &brick), 0);
        cr_assert_eq(lode_read_begin(), 0);
        cr_assert_eq(lode_cursor_move(&cursor, sdf, 0, AT(0, 0, 0)), 0);
        cr_assert_eq(lode_cursor_value(&cursor, -8, 15, 3), 2.0f * (float)sign);
        lode_read_end();
        const float point[3] = {8, 4, 4}; /* between the last voxel and one that is not there */
        cr_assert_eq(lode_sdf_sample(sdf, 0, point, &got), 0);
        cr_assert(fabsf(got.value - (float)sign * 1.625f) < 0.001f);
        cr_assert(fabsf(got.gradient[0] - (float)sign * 0.75f) < 0.001f);
    }
    lode_sdf_destroy(sdf);
}

/* ---- walks ---- */

Test(sdfreach, walks_agree_with_a_dense_array)
{
    static struct model m;
    uint64_t state = 8;
    for (unsigned k = 0; k < ORIGINS; k++) {
        half_filled(&m, 4, origins[k], 3 * k);
        for (unsigned channel = 0; channel < MODEL_CHANNELS; channel++)
            model_walk(&m, channel, NULL);
        for (int i = 0; i < 200; i++) {
            struct lode_brick_box box;
            int32_t side = i % 10 == 0 ? 1 << 19 : 6;
            box.lo = AT(m.origin.x + (int32_t)(next(&state) % 8) - 2,
                        m.origin.y + (int32_t)(next(&state) % 8) - 2,
                        m.origin.z + (int32_t)(next(&state) % 8) - 2);
            box.hi = AT(box.lo.x + (int32_t)next(&state) % side,
                        box.lo.y + (int32_t)next(&state) % 6 - 1,
                        box.lo.z + (int32_t)next(&state) % side);
            model_walk(&m, next(&state) % MODEL_CHANNELS, &box);
        }
        struct lode_brick_box all = {{INT32_MIN, INT32_MIN, INT32_MIN},
                                     {INT32_MAX, INT32_MAX, INT32_MAX}},
                              beyond = {{RANGE_MAX + 1, 0, 0}, {INT32_MAX, 9, 9}};
        model_walk(&m, 0, &all);
        model_walk(&m, 0, &beyond);
        model_destroy(&m);
    }
}

struct stopping {
    int visits, at, status;
    struct lode_sdf *sdf;
};

static int stop(void *ctx, lode_handle brick, struct lode_ivec3 at)
{
    struct stopping *s = ctx;
    (void)at;
    if (s->sdf != NULL)
        cr_assert_eq(lode_sdf_brick_free(s->sdf, brick), 0);
    return ++s->visits == s->at ? s->status : 0;
}

static int stop_band(void *ctx, const struct lode_band_brick *brick)
{
    return stop(ctx, brick->brick, brick->at);
}

Test(sdfreach, a_visit_may_end_the_walk_and_free)
{
    struct lode_sdf *sdf = field_of_dim(8);
    struct lode_brick_box box = {{0, 0, 0}, {9, 9, 9}};
    for (int i = 0; i < 10; i++)
        (void)brick_of(sdf, AT(i, i, i), 0.25f, LODE_TIER_HIGH);
    for (int k = 0; k < 2; k++) {
        struct stopping s = {.at = 4, .status = k == 0 ? 7 : -EIO};
        cr_assert_eq(lode_sdf_each(sdf, 0, k == 0 ? NULL : &box, stop, &s), s.status);
        cr_assert_eq(s.visits, 4);
        s.visits = 0;
        cr_assert_eq(lode_sdf_band_each(sdf, 0, k == 0 ? NULL : &box, 1, stop_band, &s), s.status);
        cr_assert_eq(s.visits, 4);
    }
    struct stopping freeing = {.sdf = sdf};
    cr_assert_eq(lode_sdf_each(sdf, 0, NULL, stop, &freeing), 0);
    cr_assert_eq(freeing.visits, 10);
    cr_assert_eq(field_bricks(sdf), 0);
    cr_assert_eq(lode_sdf_trim(sdf), 5);
    lode_sdf_destroy(sdf);
}

struct mover {
    struct lode_sdf *sdf;
    lode_handle *bricks;
    int visits;
};

/* At the first brick: all others go, with their groups, and as many come elsewhere. */
static int move_the_others(void *ctx, lode_handle brick, struct lode_ivec3 at)
{
    struct mover *m = ctx;
    struct lode_brick_info info = info_of(m->sdf, brick);
    cr_assert(info.at.x == at.x && info.at.y == at.y && info.at.z == at.z);
    if (m->visits++ != 0)
        return 0;
    for (int i = 0; i < 32; i++)
        if (m->bricks[i] != brick)
            cr_assert_eq(lode_sdf_brick_free(m->sdf, m->bricks[i]), 0);
    (void)lode_sdf_trim(m->sdf);
    for (int i = 0; i < 32; i++)
        (void)brick_of(m->sdf, AT(5000 + 2 * i, 7, 9), 1, LODE_TIER_HIGH);
    return 0;
}

Test(sdfreach, a_visit_tells_where_a_brick_is_whatever_visits_did)
{
    const struct lode_brick_box box = {{0, 0, 0}, {63, 1, 1}};
    for (int boxed = 0; boxed < 2; boxed++) {
        struct lode_sdf *sdf = field_of_two();
        lode_handle bricks[32];
        struct mover m = {sdf, bricks, 0};
        for (int i = 0; i < 32; i++)
            bricks[i] = brick_of(sdf, AT(2 * i, 0, 0), 1, LODE_TIER_HIGH);
        cr_assert_eq(lode_sdf_each(sdf, 0, boxed ? &box : NULL, move_the_others, &m), 0);
        cr_assert(m.visits == 1 || !boxed, "%d", m.visits);
        lode_sdf_destroy(sdf);
    }
}
