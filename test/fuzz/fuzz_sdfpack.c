/* SPDX-License-Identifier: MIT */
/*
 * Any floats, codes, points and shapes through the kernels of ext/sdfpack.h: both paths give the
 * same bits, codes and values mean each other, and no kernel steps out of what it was given, which
 * is of exact size.
 *
 *     input   4 bytes that choose sides, tiers and shape | band | floats, repeated as needed
 */
#include "fuzz_input.h"

#include <stdlib.h>
#include <string.h>

#include "ext/sdfpack.h"

#define CHECK(e)  ((e) ? (void)0 : abort())
#define POINTS    77
#define VALUE_MAX 4096

struct input {
    const uint8_t *data;
    size_t bytes, at;
};

static void take(struct input *input, void *to, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        if (input->at >= input->bytes)
            input->at = 0;
        ((uint8_t *)to)[i] = input->data[input->at++];
    }
}

static unsigned take_byte(struct input *input)
{
    uint8_t byte;
    take(input, &byte, 1);
    return byte;
}

static void *memory(size_t bytes)
{
    void *block = malloc(bytes);
    CHECK(block != NULL);
    return block;
}

static void *taken(struct input *input, size_t bytes)
{
    void *block = memory(bytes);
    take(input, block, bytes);
    return block;
}

/* What each path made of one input; zeroed first, then compared as a whole. */
struct results {
    float decoded[VALUE_MAX], part[VALUE_MAX], edited[VALUE_MAX];
    uint8_t payload[2 * VALUE_MAX], other[2 * VALUE_MAX], filled[2 * VALUE_MAX];
    float samples[4][POINTS], value_samples[4][POINTS], corner_samples[4][POINTS];
    uint32_t left[POINTS], value_left[POINTS];
    size_t left_count, value_left_count;
    struct lodei_sdf_range range, other_range;
    struct lodei_sdf_change change;
};

struct work {
    unsigned dim, bits, to_bits, shape, op;
    float band, to_band, shape_floats[8];
    float *values, *corners, *x, *y, *z;
    uint8_t *random;
    struct lodei_sdf_box box;
};

static float band_of(float f)
{
    return lodei_sdf_band_valid(f) ? f : 4;
}

static void work_take(struct work *w, struct input *input)
{
    static const unsigned bits[] = {16, 8, 4, 16}, dims[] = {8, 8, 4, 16};
    unsigned choice = take_byte(input);
    w->dim = dims[choice % 4];
    w->bits = bits[choice / 4 % 4];
    w->to_bits = bits[choice / 16 % 4];
    w->op = choice >> 7;
    w->shape = take_byte(input) % 3;
    for (unsigned a = 0; a < 3; a++) {
        unsigned part = take_byte(input);
        w->box.corner[a] = part % w->dim;
        w->box.size[a] = 1 + part / 16 % (w->dim - w->box.corner[a]);
    }
    take(input, &w->band, sizeof(w->band));
    take(input, &w->to_band, sizeof(w->to_band));
    w->band = band_of(w->band);
    w->to_band = take_byte(input) % 2 ? w->band : band_of(w->to_band);
    take(input, w->shape_floats, sizeof(w->shape_floats));
    w->values = taken(input, lodei_sdf_voxels(w->dim) * sizeof(float));
    w->random = taken(input, lodei_sdf_payload_bytes(w->bits, w->dim));
    w->corners = taken(input, 8 * POINTS * sizeof(float));
    w->x = memory(POINTS * sizeof(float));
    w->y = memory(POINTS * sizeof(float));
    w->z = memory(POINTS * sizeof(float));
    for (unsigned i = 0; i < POINTS; i++) {
        float *const point[] = {w->x + i, w->y + i, w->z + i};
        for (unsigned a = 0; a < 3; a++) {
            unsigned where = take_byte(input);
            if (where % 8 == 0)
                take(input, point[a], sizeof(float)); /* anything, NaN too */
            else
                *point[a] = (float)where / 256 * (float)w->dim;
        }
    }
}

static void work_finish(struct work *w)
{
    free(w->values);
    free(w->random);
    free(w->corners);
    free(w->x);
    free(w->y);
    free(w->z);
}

/* Kernels write to blocks of exact size; their results are then kept. */
static void keep(void *result, void *block, size_t bytes)
{
    memcpy(result, block, bytes);
    free(block);
}

static void run_codec(const struct work *w, struct results *r)
{
    size_t bytes = lodei_sdf_payload_bytes(w->bits, w->dim);
    size_t to_bytes = lodei_sdf_payload_bytes(w->to_bits, w->dim);
    size_t value_bytes = lodei_sdf_voxels(w->dim) * sizeof(float);
    uint8_t *payload = memory(bytes), *other = memory(to_bytes);
    float *decoded = memory(value_bytes), *part;
    r->range = lodei_sdf_encode(w->bits, w->dim, w->band, w->values, payload);
    lodei_sdf_decode(w->bits, w->dim, w->band, w->random, decoded);
    r->other_range = lodei_sdf_payload_range(w->bits, w->dim, w->random);
    lodei_sdf_recode(w->bits, w->band, w->random, w->to_bits, w->to_band, other, w->dim);
    keep(r->payload, payload, bytes);
    keep(r->other, other, to_bytes);
    keep(r->decoded, decoded, value_bytes);
    size_t row = w->box.size[0], slice = row * w->box.size[1];
    size_t part_bytes = slice * w->box.size[2] * sizeof(float);
    part = memory(part_bytes);
    lodei_sdf_decode_box(w->bits, w->dim, w->band, w->random, &w->box, part, row, slice);
    keep(r->part, part, part_bytes);
}

/* Of points that were left nothing is specified; which NaN a NaN is neither. */
static void clean(float (*samples)[POINTS], const uint32_t *left, size_t left_count)
{
    for (unsigned a = 0; a < 4; a++) {
        for (size_t i = 0; i < left_count; i++)
            samples[a][left[i]] = 0;
        for (unsigned i = 0; i < POINTS; i++)
            if (samples[a][i] != samples[a][i])
                samples[a][i] = 1e10f;
    }
}

static void run_samples(const struct work *w, struct results *r)
{
    struct lodei_sdf_points points = {w->x, w->y, w->z};
    struct lodei_sdf_samples to = {r->samples[0], r->samples[1], r->samples[2], r->samples[3]};
    size_t count = w->shape == 0 ? POINTS : w->shape == 1 ? 7 : 30;
    r->left_count =
        lodei_sdf_sample_payload(w->bits, w->dim, w->band, w->random, count, &points, &to, r->left);
    clean(r->samples, r->left, r->left_count);
    to = (struct lodei_sdf_samples){r->value_samples[0], r->value_samples[1], r->value_samples[2],
                                    r->value_samples[3]};
    r->value_left_count =
        lodei_sdf_sample_values(w->dim, w->values, count, &points, &to, r->value_left);
    clean(r->value_samples, r->value_left, r->value_left_count);
    to = (struct lodei_sdf_samples){r->corner_samples[0], r->corner_samples[1],
                                    r->corner_samples[2], r->corner_samples[3]};
    lodei_sdf_sample_corners(count, w->corners, POINTS, &points, &to);
    clean(r->corner_samples, NULL, 0);
}

static void run_edit(const struct work *w, struct results *r)
{
    enum lodei_sdf_op op = w->op ? LODEI_SDF_FILL : LODEI_SDF_CARVE;
    size_t bytes = lodei_sdf_voxels(w->dim) * sizeof(float);
    const float *f = w->shape_floats;
    float *edited = memory(bytes);
    memcpy(edited, w->values, bytes);
    r->change = w->shape == 0   ? lodei_sdf_edit_sphere(op, w->dim, edited, f, f[6])
                : w->shape == 1 ? lodei_sdf_edit_capsule(op, w->dim, edited, f, f + 3, f[6])
                                : lodei_sdf_edit_box(op, w->dim, edited, f, f + 3);
    keep(r->edited, edited, bytes);
}

static int negative(float v)
{
    return v < 0;
}

static void check_meaning(const struct work *w, const struct results *r)
{
    float scale = lodei_sdf_scale(w->bits, w->band);
    float to_scale = lodei_sdf_scale(w->to_bits, w->to_band);
    unsigned half = 1u << (w->bits - 1);
    for (size_t i = 0; i < lodei_sdf_voxels(w->dim); i++) {
        unsigned code = lodei_sdf_code_at(w->bits, r->payload, i);
        CHECK(code == lodei_sdf_code(w->bits, scale, w->values[i]));
        CHECK((code < half) == negative(w->values[i]));
        CHECK(code >= r->range.min_code && code <= r->range.max_code);
        code = lodei_sdf_code_at(w->bits, w->random, i);
        CHECK(lodei_sdf_code(w->bits, scale, r->decoded[i]) == code);
        CHECK(code >= r->other_range.min_code && code <= r->other_range.max_code);
        CHECK(lodei_sdf_code_at(w->to_bits, r->other, i) ==
              lodei_sdf_code(w->to_bits, to_scale, r->decoded[i]));
    }
}

static void check_channel(const struct work *w)
{
    unsigned element_bytes = w->bits == 16 ? 2 : 1;
    unsigned dim = w->bits == 4 ? 4 : w->dim; /* the bytes of a payload are enough for that */
    if (w->bits == 4 && w->dim == 4)
        return;
    uint16_t values[9];
    unsigned count = lodei_sdf_channel_distinct(element_bytes, dim, w->random, 9, values);
    CHECK(count >= 1 && count <= 10);
    CHECK((count == 1) == lodei_sdf_channel_homogeneous(element_bytes, dim, w->random));
    for (unsigned i = 0; i < count && count <= 9; i++)
        for (unsigned k = 0; k < i; k++)
            CHECK(values[i] != values[k]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct results results[2];
    struct input input = {.data = data, .bytes = bytes};
    struct work w;
    if (bytes == 0)
        return 0;
    work_take(&w, &input);
    memset(results, 0, sizeof(results));
    for (int path = LODEI_SDF_BASE; path <= LODEI_SDF_AVX2; path++) {
        if (lodei_sdf_path_set((enum lodei_sdf_path)path) != 0)
            (void)lodei_sdf_path_set(LODEI_SDF_BASE);
        run_codec(&w, &results[path]);
        run_samples(&w, &results[path]);
        run_edit(&w, &results[path]);
    }
    CHECK(memcmp(&results[0], &results[1], sizeof(results[0])) == 0);
    check_meaning(&w, &results[0]);
    check_channel(&w);
    work_finish(&w);
    return 0;
}
