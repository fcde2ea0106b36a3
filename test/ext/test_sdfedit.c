/* SPDX-License-Identifier: MIT */
/* ext/sdfpack.h: samples, edits and plain channels, on each path. */
#include <criterion/criterion.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sdf_brick.h"

static const unsigned ALL_DIMS[] = {4, 8, 16};

/* --- Samples --- */

struct field {
    float *x, *y, *z, *value, *gx, *gy, *gz;
    uint32_t *left;
    size_t count;
};

static struct field field_create(uint64_t *state, size_t count, float low, float high)
{
    struct field field = {.count = count};
    float **arrays[] = {&field.x,  &field.y,  &field.z, &field.value,
                        &field.gx, &field.gy, &field.gz};
    for (unsigned a = 0; a < 7; a++) {
        *arrays[a] = brick_memory(count * sizeof(float) + !count);
        for (size_t i = 0; i < count; i++)
            (*arrays[a])[i] = a < 3 ? brick_random_float(state, low, high) : -55;
    }
    field.left = brick_memory(count * sizeof(uint32_t) + !count);
    return field;
}

static void field_destroy(struct field *field)
{
    free(field->x);
    free(field->y);
    free(field->z);
    free(field->value);
    free(field->gx);
    free(field->gy);
    free(field->gz);
    free(field->left);
}

static struct lodei_sdf_points points_of(const struct field *field)
{
    struct lodei_sdf_points points = {field->x, field->y, field->z};
    return points;
}

static struct lodei_sdf_samples samples_of(const struct field *field)
{
    struct lodei_sdf_samples samples = {field->value, field->gx, field->gy, field->gz};
    return samples;
}

static int same_bits(float a, float b)
{
    return memcmp(&a, &b, sizeof(a)) == 0 || (isnan(a) && isnan(b));
}

/* Trilinear interpolation as its definition has it: eight weights, in double precision. */
static double reference(const float *c, double x, double y, double z, double *gradient)
{
    double sum = 0;
    gradient[0] = gradient[1] = gradient[2] = 0;
    for (unsigned k = 0; k < 8; k++) {
        double wx = k & 1 ? x : 1 - x, wy = k & 2 ? y : 1 - y, wz = k & 4 ? z : 1 - z;
        sum += (double)c[k] * wx * wy * wz;
        gradient[0] += (double)c[k] * (k & 1 ? 1 : -1) * wy * wz;
        gradient[1] += (double)c[k] * (k & 2 ? 1 : -1) * wx * wz;
        gradient[2] += (double)c[k] * (k & 4 ? 1 : -1) * wx * wy;
    }
    return sum;
}

static void check_sample(const float *corners, const struct field *field, size_t i, float x,
                         float y, float z)
{
    struct lodei_sdf_sample one = lodei_sdf_sample1(corners, x, y, z);
    double gradient[3], value = reference(corners, (double)x, (double)y, (double)z, gradient);
    float size = 1e-30f;
    cr_assert(same_bits(field->value[i], one.value));
    cr_assert(same_bits(field->gx[i], one.gradient[0]));
    cr_assert(same_bits(field->gy[i], one.gradient[1]));
    cr_assert(same_bits(field->gz[i], one.gradient[2]));
    for (unsigned c = 0; c < 8; c++)
        size = fmaxf(size, fabsf(corners[c]));
    cr_assert_leq(fabs((double)one.value - value), 1e-6 * (double)size);
    for (unsigned a = 0; a < 3; a++)
        cr_assert_leq(fabs((double)one.gradient[a] - gradient[a]), 2e-6 * (double)size);
}

Test(sdfedit, cubes_the_caller_gathered_are_interpolated)
{
    uint64_t state = 3;
    for (size_t count = 0; count < 200; count++) {
        size_t stride = count + count % 3;
        float *corners = brick_memory(8 * stride * sizeof(float) + 1);
        struct field field = field_create(&state, count, 0, 1);
        struct lodei_sdf_points points = points_of(&field);
        struct lodei_sdf_samples samples = samples_of(&field);
        for (size_t i = 0; i < 8 * stride; i++)
            corners[i] = brick_random_float(&state, -4, 4);
        if (!brick_path(count % 2))
            continue;
        lodei_sdf_sample_corners(count, corners, stride, &points, &samples);
        for (size_t i = 0; i < count; i++) {
            float cube[8];
            for (unsigned c = 0; c < 8; c++)
                cube[c] = corners[c * stride + i];
            check_sample(cube, &field, i, field.x[i], field.y[i], field.z[i]);
        }
        field_destroy(&field);
        free(corners);
    }
}

/* bits 32: a decoded brick. */
static size_t sample(unsigned bits, unsigned dim, const void *voxels, struct field *field)
{
    struct lodei_sdf_points points = points_of(field);
    struct lodei_sdf_samples samples = samples_of(field);
    return bits == 32
               ? lodei_sdf_sample_values(dim, voxels, field->count, &points, &samples, field->left)
               : lodei_sdf_sample_payload(bits, dim, 3, voxels, field->count, &points, &samples,
                                          field->left);
}

static void check_field(unsigned bits, unsigned dim, const void *voxels, struct field *field)
{
    size_t left = sample(bits, dim, voxels, field), next = 0;
    float last = (float)dim - 0.5f;
    for (size_t i = 0; i < field->count; i++) {
        float x = field->x[i], y = field->y[i], z = field->z[i], corners[8];
        if (!(x >= 0.5f && x < last && y >= 0.5f && y < last && z >= 0.5f && z < last)) {
            cr_assert_lt(next, left);
            cr_assert_eq(field->left[next++], i);
            continue;
        }
        unsigned low_x = (unsigned)(x - 0.5f), low_y = (unsigned)(y - 0.5f);
        unsigned low_z = (unsigned)(z - 0.5f);
        for (unsigned c = 0; c < 8; c++) {
            unsigned vx = low_x + (c & 1), vy = low_y + (c >> 1 & 1), vz = low_z + (c >> 2);
            corners[c] = bits == 32 ? ((const float *)voxels)[vx + dim * (vy + dim * vz)]
                                    : lodei_sdf_at(bits, dim, 3, voxels, vx, vy, vz);
        }
        check_sample(corners, field, i, x - 0.5f - (float)low_x, y - 0.5f - (float)low_y,
                     z - 0.5f - (float)low_z);
    }
    cr_assert_eq(next, left);
}

static void *random_voxels(uint64_t *state, unsigned bits, unsigned dim)
{
    if (bits < 32) {
        uint8_t *payload = brick_payload(bits, dim);
        brick_random_bytes(state, payload, lodei_sdf_payload_bytes(bits, dim));
        return payload;
    }
    float *values = brick_floats(dim);
    for (size_t i = 0; i < lodei_sdf_voxels(dim); i++)
        values[i] = brick_random_float(state, -4, 4);
    return values;
}

Test(sdfedit, points_in_a_brick_are_sampled_and_the_others_named)
{
    uint64_t state = 4;
    for (unsigned bits = 32; bits >= 4; bits /= 2)
        for (unsigned d = 0; d < 3; d++)
            for (size_t round = 0; round < 300; round++) {
                unsigned dim = ALL_DIMS[d];
                void *voxels = random_voxels(&state, bits, dim);
                struct field field = field_create(&state, round % 100, -0.2f, (float)dim + 0.2f);
                if (brick_path(round % 2))
                    check_field(bits, dim, voxels, &field);
                field_destroy(&field);
                free(voxels);
            }
}

Test(sdfedit, points_on_every_border_and_nowhere)
{
    uint64_t state = 6;
    for (unsigned bits = 32; bits >= 4; bits /= 2)
        for (unsigned d = 0; d < 3; d++) {
            unsigned dim = ALL_DIMS[d];
            float last = (float)dim - 0.5f;
            const float where[] = {0.5f,
                                   nextafterf(0.5f, 0),
                                   nextafterf(last, 0),
                                   last,
                                   NAN,
                                   INFINITY,
                                   -INFINITY,
                                   1e30f,
                                   -1e30f,
                                   1.5f,
                                   nextafterf(1.5f, 0),
                                   last - 1,
                                   0,
                                   -0.0f};
            const size_t n = sizeof(where) / sizeof(*where);
            void *voxels = random_voxels(&state, bits, dim);
            /* with few points at a time too: many are sampled another way */
            for (size_t count = n * n * n, part = 0; count > 0 && part < 2; part++, count = 5) {
                struct field field = field_create(&state, count, 0, 1);
                for (size_t i = 0; i < count; i++) {
                    field.x[i] = where[i % n];
                    field.y[i] = where[i / n % n];
                    field.z[i] = where[i / n / n];
                }
                for (int path = 0; path < 2; path++)
                    if (brick_path(path))
                        check_field(bits, dim, voxels, &field);
                field_destroy(&field);
            }
            free(voxels);
        }
}

Test(sdfedit, gradients_need_not_be_taken)
{
    uint64_t state = 8;
    for (int path = 0; path < 2; path++) {
        void *voxels = random_voxels(&state, 8, 8);
        struct field field = field_create(&state, 21, 0.5f, 7.4f);
        struct lodei_sdf_points points = points_of(&field);
        struct lodei_sdf_samples values_only = {.value = field.gx};
        if (!brick_path(path))
            continue;
        cr_assert_eq(sample(8, 8, voxels, &field), 0);
        cr_assert_eq(
            lodei_sdf_sample_payload(8, 8, 3, voxels, 21, &points, &values_only, field.left), 0);
        cr_assert_arr_eq(field.gx, field.value, 21 * sizeof(float));
        field_destroy(&field);
        free(voxels);
    }
}

/* --- Edits --- */

/* The formulas, written out once more without any thought for speed. */
static float norm_of(const float *v)
{
    return sqrtf(v[0] * v[0] + (v[1] * v[1] + v[2] * v[2]));
}

static float sphere_at(const float *p, const float *centre, float radius)
{
    float off[3];
    for (unsigned a = 0; a < 3; a++)
        off[a] = p[a] - centre[a];
    return norm_of(off) - radius;
}

static float capsule_at(const float *p, const float *a, const float *b, float radius)
{
    float off[3], axis[3];
    for (unsigned i = 0; i < 3; i++) {
        off[i] = p[i] - a[i];
        axis[i] = b[i] - a[i];
    }
    float inverse = 1 / (axis[0] * axis[0] + (axis[1] * axis[1] + axis[2] * axis[2]));
    float h = (off[0] * axis[0] + (off[1] * axis[1] + off[2] * axis[2])) *
              (isfinite(inverse) ? inverse : 0);
    h = !(h > 0) ? 0 : h >= 1 ? 1 : h;
    for (unsigned i = 0; i < 3; i++)
        off[i] = off[i] - h * axis[i];
    return norm_of(off) - radius;
}

static float box_at(const float *p, const float *centre, const float *half)
{
    float q[3], out[3];
    for (unsigned i = 0; i < 3; i++) {
        q[i] = fabsf(p[i] - centre[i]) - half[i];
        out[i] = q[i] > 0 ? q[i] : 0;
    }
    float in = q[1] > q[2] ? q[1] : q[2];
    in = q[0] > in ? q[0] : in;
    return norm_of(out) + (in < 0 ? in : 0);
}

struct shape {
    int kind; /* sphere, capsule, box */
    float a[3], b[3], radius;
};

static float shape_at(const struct shape *shape, const float *p)
{
    return shape->kind == 0   ? sphere_at(p, shape->a, shape->radius)
           : shape->kind == 1 ? capsule_at(p, shape->a, shape->b, shape->radius)
                              : box_at(p, shape->a, shape->b);
}

static struct lodei_sdf_change edit(const struct shape *shape, enum lodei_sdf_op op, unsigned dim,
                                    float *values)
{
    return shape->kind == 0 ? lodei_sdf_edit_sphere(op, dim, values, shape->a, shape->radius)
           : shape->kind == 1
               ? lodei_sdf_edit_capsule(op, dim, values, shape->a, shape->b, shape->radius)
               : lodei_sdf_edit_box(op, dim, values, shape->a, shape->b);
}

static struct lodei_sdf_change naive_edit(const struct shape *shape, enum lodei_sdf_op op,
                                          unsigned dim, float *values)
{
    struct lodei_sdf_change change = {0, INFINITY, -INFINITY};
    for (unsigned i = 0; i < dim * dim * dim; i++) {
        const float p[3] = {(float)(i % dim) + 0.5f, (float)(i / dim % dim) + 0.5f,
                            (float)(i / dim / dim) + 0.5f};
        float d = shape_at(shape, p), v = values[i];
        float n = op == LODEI_SDF_CARVE ? (-d > v ? -d : v) : (d < v ? d : v);
        change.changed += n != v && v == v;
        change.min = n < change.min ? n : change.min;
        change.max = n > change.max ? n : change.max;
        values[i] = n;
    }
    return change;
}

static void check_edit(const struct shape *shape, enum lodei_sdf_op op, unsigned dim,
                       const float *before)
{
    size_t bytes = lodei_sdf_voxels(dim) * sizeof(float);
    float *wanted = brick_floats(dim), *got = brick_floats(dim);
    memcpy(wanted, before, bytes);
    memcpy(got, before, bytes);
    struct lodei_sdf_change naive = naive_edit(shape, op, dim, wanted);
    struct lodei_sdf_change change = edit(shape, op, dim, got);
    cr_assert_arr_eq(got, wanted, bytes);
    cr_assert_eq(change.changed, naive.changed);
    cr_assert(change.min == naive.min && change.max == naive.max);
    cr_assert(!(change.min == 0 && signbit(change.min)) &&
              !(change.max == 0 && signbit(change.max)));
    free(wanted);
    free(got);
}

static void random_shape(uint64_t *state, unsigned dim, struct shape *ret_shape)
{
    float side = (float)dim;
    ret_shape->kind = (int)(brick_random(state) % 3);
    ret_shape->radius = brick_random_float(state, 0, side);
    for (unsigned a = 0; a < 3; a++) {
        ret_shape->a[a] = brick_random_float(state, -side, 2 * side);
        ret_shape->b[a] = brick_random_float(state, 0, side);
        if (brick_random(state) % 4 == 0) /* whole numbers: ties, and distances of exactly 0 */
            ret_shape->a[a] = floorf(ret_shape->a[a]) + 0.5f;
        if (brick_random(state) % 4 == 0)
            ret_shape->b[a] = floorf(ret_shape->b[a]);
    }
    if (brick_random(state) % 8 == 0)
        memcpy(ret_shape->b, ret_shape->a, sizeof(ret_shape->a));
    if (brick_random(state) % 8 == 0)
        ret_shape->radius = floorf(ret_shape->radius);
}

Test(sdfedit, edits_are_the_plain_formulas_bit_for_bit)
{
    uint64_t state = 10;
    const float odd[] = {NAN, INFINITY, -INFINITY, 0.0f, -0.0f, 1e-40f, -1e-40f};
    for (unsigned round = 0; round < 6000; round++) {
        unsigned dim = ALL_DIMS[round % 3];
        float *values = brick_floats(dim);
        struct shape shape;
        random_shape(&state, dim, &shape);
        for (size_t i = 0; i < lodei_sdf_voxels(dim); i++)
            values[i] = brick_random(&state) % 16 == 0 ? odd[brick_random(&state) % 7]
                                                       : brick_random_float(&state, -4, 4);
        for (int path = 0; path < 2; path++)
            if (brick_path(path)) {
                check_edit(&shape, LODEI_SDF_CARVE, dim, values);
                check_edit(&shape, LODEI_SDF_FILL, dim, values);
            }
        free(values);
    }
}

Test(sdfedit, shapes_of_no_sense_harm_nothing)
{
    const float odd[] = {NAN, INFINITY, -INFINITY, 3e38f, -3e38f, 0, 1e-40f};
    float values[512];
    for (unsigned i = 0; i < 512; i++)
        values[i] = (float)i / 64 - 4;
    for (int path = 0; path < 2; path++)
        for (unsigned code = 0; code < 7 * 7 * 7 * 3 && brick_path(path); code++) {
            struct shape shape = {(int)(code / 343),
                                  {odd[code % 7], 4, 4},
                                  {odd[code / 7 % 7], 4, odd[code / 49 % 7]},
                                  odd[code / 49 % 7]};
            check_edit(&shape, LODEI_SDF_CARVE, 8, values);
            check_edit(&shape, LODEI_SDF_FILL, 8, values);
        }
}

Test(sdfedit, what_an_edit_did_is_told)
{
    float values[512], centre[3] = {4, 4, 4}, far[3] = {100, 4, 4};
    for (int path = 0; path < 2; path++) {
        if (!brick_path(path))
            continue;
        for (unsigned i = 0; i < 512; i++)
            values[i] = -1;
        struct lodei_sdf_change change = lodei_sdf_edit_sphere(LODEI_SDF_CARVE, 8, values, far, 3);
        cr_assert(change.changed == 0 && change.min == -1 && change.max == -1);
        change = lodei_sdf_edit_sphere(LODEI_SDF_CARVE, 8, values, centre, 1);
        cr_assert_gt(change.changed, 0);
        cr_assert_gt(change.max, 0);
        cr_assert_eq(lodei_sdf_edit_sphere(LODEI_SDF_CARVE, 8, values, centre, 1).changed, 0);
        change = lodei_sdf_edit_box(LODEI_SDF_FILL, 8, values, centre, (float[3]){5, 5, 5});
        cr_assert_lt(change.max, -0.4f);
        for (unsigned i = 0; i < 512; i++)
            values[i] = NAN;
        change = lodei_sdf_edit_sphere(LODEI_SDF_FILL, 8, values, centre, 1);
        cr_assert(change.changed == 0 && change.min == INFINITY && change.max == -INFINITY);
    }
}

/* --- Channels --- */

static unsigned element(unsigned element_bytes, const void *elements, size_t i)
{
    return element_bytes == 1 ? ((const uint8_t *)elements)[i] : ((const uint16_t *)elements)[i];
}

static void element_set(unsigned element_bytes, void *elements, size_t i, unsigned value)
{
    if (element_bytes == 1)
        ((uint8_t *)elements)[i] = (uint8_t)value;
    else
        ((uint16_t *)elements)[i] = (uint16_t)value;
}

static unsigned naive_distinct(unsigned element_bytes, size_t voxels, const void *elements,
                               unsigned limit, uint16_t *ret_values)
{
    unsigned count = 0;
    for (size_t i = 0; i < voxels; i++) {
        unsigned value = element(element_bytes, elements, i), k = 0;
        while (k < count && ret_values[k] != value)
            k++;
        if (k == count && count == limit)
            return limit + 1;
        if (k == count)
            ret_values[count++] = (uint16_t)value;
    }
    return count;
}

Test(sdfedit, palettes_are_found_in_the_order_of_their_voxels)
{
    uint64_t state = 12;
    for (unsigned round = 0; round < 8000; round++) {
        unsigned bytes = 1 + round % 2, dim = ALL_DIMS[round / 2 % 3];
        unsigned limit = 1 + (unsigned)brick_random(&state) % (round % 5 == 0 ? 256 : 6);
        unsigned kinds = 1 + (unsigned)brick_random(&state) % 8;
        unsigned runs = 1 + (unsigned)brick_random(&state) % 20, value = 0;
        size_t voxels = lodei_sdf_voxels(dim);
        void *elements = brick_memory(voxels * bytes);
        uint16_t *got = brick_memory(limit * sizeof(*got));
        uint16_t *wanted = brick_memory(limit * sizeof(*wanted));
        for (size_t i = 0; i < voxels; i++) {
            if (brick_random(&state) % runs == 0)
                value = (unsigned)brick_random(&state) % kinds * 0x6d01;
            if (round % 7 == 0)
                value = (unsigned)brick_random(&state);
            element_set(bytes, elements, i, value);
        }
        unsigned count = naive_distinct(bytes, voxels, elements, limit, wanted);
        cr_assert_eq(lodei_sdf_channel_distinct(bytes, dim, elements, limit, got), count);
        if (count <= limit)
            cr_assert_arr_eq(got, wanted, count * sizeof(*got));
        free(elements);
        free(got);
        free(wanted);
    }
}

Test(sdfedit, a_filled_channel_is_homogeneous_until_one_voxel_differs)
{
    for (unsigned bytes = 1; bytes <= 2; bytes++)
        for (unsigned d = 0; d < 3; d++) {
            size_t voxels = lodei_sdf_voxels(ALL_DIMS[d]);
            void *elements = brick_memory(voxels * bytes);
            lodei_sdf_channel_fill(bytes, ALL_DIMS[d], elements, 0xa1b2);
            for (size_t i = 0; i < voxels; i++) {
                cr_assert_eq(element(bytes, elements, i), bytes == 1 ? 0xb2 : 0xa1b2);
                cr_assert(lodei_sdf_channel_homogeneous(bytes, ALL_DIMS[d], elements));
                element_set(bytes, elements, i, 0xa0b3);
                cr_assert(!lodei_sdf_channel_homogeneous(bytes, ALL_DIMS[d], elements));
                element_set(bytes, elements, i, 0xa1b2);
            }
            free(elements);
        }
}

Test(sdfedit, a_part_of_a_channel_lands_in_its_place_and_nowhere_else)
{
    uint64_t state = 14;
    for (unsigned round = 0; round < 4000; round++) {
        unsigned bytes = 1 + round % 2, dim = ALL_DIMS[round / 2 % 3];
        struct lodei_sdf_box box;
        brick_random_box(&state, dim, &box);
        size_t row = box.size[0] + brick_random(&state) % 3;
        size_t slice = row * box.size[1] + brick_random(&state) % 5;
        size_t count = (box.size[2] - 1) * slice + (box.size[1] - 1) * row + box.size[0];
        void *elements = brick_memory(lodei_sdf_voxels(dim) * bytes);
        void *got = brick_memory(count * bytes), *wanted = brick_memory(count * bytes);
        brick_random_bytes(&state, elements, lodei_sdf_voxels(dim) * bytes);
        memset(got, 0x5a, count * bytes);
        memset(wanted, 0x5a, count * bytes);
        for (unsigned z = 0; z < box.size[2]; z++)
            for (unsigned y = 0; y < box.size[1]; y++)
                for (unsigned x = 0; x < box.size[0]; x++) {
                    size_t at = box.corner[0] + x +
                                dim * (box.corner[1] + y + (size_t)dim * (box.corner[2] + z));
                    element_set(bytes, wanted, z * slice + y * row + x,
                                element(bytes, elements, at));
                }
        lodei_sdf_channel_copy_box(bytes, dim, elements, &box, got, row, slice);
        cr_assert_arr_eq(got, wanted, count * bytes);
        free(elements);
        free(got);
        free(wanted);
    }
}
