/* SPDX-License-Identifier: MIT */
/*
 * Reading around a place: the cursor over 27 bricks, bricks with an apron, and sampling.
 *
 * All of it works within a reading section: each brick is found once, its block and coding noted,
 * and read as often as needed. A voxel of a brick that is not there counts as the band, with the
 * sign of the nearest voxel of the bricks that are: a missing brick lies beyond the band, where
 * distances change by at most 1 a voxel, so no surface can be between the two.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "ext/grace.h"
#include "ext/sdfpool.h"

#define CENTRE 13

static unsigned neighbour(int dx, int dy, int dz)
{
    return (unsigned)(dx + 1 + 3 * (dy + 1) + 9 * (dz + 1));
}

/* ---- the cursor ---- */

static void cursor_find(struct lode_cursor *cursor, struct lodei_grid *grid, unsigned n,
                        struct lode_ivec3 at)
{
    struct lode_sdf *sdf = cursor->sdf;
    cursor->blocks[n] = NULL;
    cursor->bricks[n] =
        lodei_grid_holds(at.x, at.y, at.z) ? lodei_grid_brick(grid, at.x, at.y, at.z) : 0;
    uint64_t word = cursor->bricks[n] != 0 ? lodei_handle_word(cursor->bricks[n]) : 0;
    if (word == 0) {
        cursor->bricks[n] = 0;
        return;
    }
    struct lodei_coding coding = lodei_coding_of(sdf, word);
    cursor->blocks[n] = lodei_word_block(word);
    cursor->bits[n] = (uint8_t)coding.bits;
    cursor->quantum[n] = lodei_sdf_quantum(coding.bits, coding.band);
}

/* Find again what is there now; `from` (NULL: nothing) has what an earlier place found, shifted. */
static void cursor_fill(struct lode_cursor *cursor, struct lodei_grid *grid,
                        const struct lode_cursor *from)
{
    int dx = from != NULL ? cursor->at.x - from->at.x : 3;
    int dy = from != NULL ? cursor->at.y - from->at.y : 3;
    int dz = from != NULL ? cursor->at.z - from->at.z : 3;
    for (int z = -1; z <= 1; z++)
        for (int y = -1; y <= 1; y++)
            for (int x = -1; x <= 1; x++) {
                unsigned n = neighbour(x, y, z);
                struct lode_ivec3 at = {cursor->at.x + x, cursor->at.y + y, cursor->at.z + z};
                if (x + dx < -1 || x + dx > 1 || y + dy < -1 || y + dy > 1 || z + dz < -1 ||
                    z + dz > 1) {
                    cursor_find(cursor, grid, n, at);
                    continue;
                }
                unsigned old = neighbour(x + dx, y + dy, z + dz);
                cursor->bricks[n] = from->bricks[old];
                cursor->blocks[n] = from->blocks[old];
                cursor->quantum[n] = from->quantum[old];
                cursor->bits[n] = from->bits[old];
            }
}

int lode_cursor_move(struct lode_cursor *cursor, struct lode_sdf *sdf, unsigned channel,
                     struct lode_ivec3 at)
{
    if (channel >= sdf->channel_count || sdf->channels[channel].format != LODE_CHANNEL_SDF ||
        !lodei_grace_inside())
        return -EINVAL;
    if (!lodei_grid_holds(at.x, at.y, at.z))
        return -ERANGE;
    struct lode_cursor before = *cursor;
    uint64_t section = lodei_grace_section();
    int same = before.sdf == sdf && before.channel == channel && before.section == section;
    cursor->sdf = sdf;
    cursor->channel = channel;
    cursor->dim = sdf->dim;
    cursor->section = section;
    cursor->at = at;
    cursor_fill(cursor, &sdf->channels[channel].grid, same ? &before : NULL);
    return cursor->blocks[CENTRE] != NULL ? 0 : -ENOENT;
}

/* A voxel of brick n of the cursor, which is there. */
static float value_in(const struct lode_cursor *cursor, unsigned n, int x, int y, int z)
{
    int dim = (int)cursor->dim;
    size_t index = (size_t)(x + dim * (y + dim * z));
    unsigned bits = cursor->bits[n];
    return lodei_sdf_value(bits, cursor->quantum[n],
                           lodei_sdf_code_at(bits, cursor->blocks[n], index));
}

static int clamped(int v, int top)
{
    return v < 0 ? 0 : v > top ? top : v;
}

/* -1, 0 or 1: on which side of the cursor's brick. */
static int side(int v, int dim)
{
    return v < 0 ? -1 : v >= dim;
}

static float band_of(const struct lode_cursor *cursor, unsigned n)
{
    return cursor->quantum[n] * (float)(1u << (cursor->bits[n] - 1));
}

float lode_cursor_value(const struct lode_cursor *cursor, int x, int y, int z)
{
    int dim = (int)cursor->dim;
    int dx = side(x, dim), dy = side(y, dim), dz = side(z, dim);
    unsigned n = neighbour(dx, dy, dz);
    if (cursor->blocks[n] != NULL)
        return value_in(cursor, n, x - dx * dim, y - dy * dim, z - dz * dim);
    float nearest =
        value_in(cursor, CENTRE, clamped(x, dim - 1), clamped(y, dim - 1), clamped(z, dim - 1));
    return lodei_sdf_beyond(nearest, band_of(cursor, CENTRE));
}

/* ---- a brick with an apron ---- */

/* Where neighbour d on one axis stands in the array, and what part of the brick it is. */
static void apron_span(int d, unsigned dim, unsigned apron, unsigned *ret_to, unsigned *ret_corner,
                       unsigned *ret_size)
{
    *ret_to = d < 0 ? 0 : d == 0 ? apron : apron + dim;
    *ret_corner = d < 0 ? dim - apron : 0;
    *ret_size = d == 0 ? dim : apron;
}

static void apron_part(const struct lode_cursor *cursor, unsigned apron, const int d[3],
                       float *ret_values)
{
    unsigned dim = cursor->dim, to[3], n = neighbour(d[0], d[1], d[2]);
    size_t row = dim + 2 * apron, slice = row * row;
    struct lodei_sdf_box box;
    for (unsigned axis = 0; axis < 3; axis++)
        apron_span(d[axis], dim, apron, &to[axis], &box.corner[axis], &box.size[axis]);
    float *values = ret_values + to[0] + row * to[1] + slice * to[2];
    if (cursor->blocks[n] != NULL) {
        lodei_sdf_decode_box(cursor->bits[n], dim, band_of(cursor, n), cursor->blocks[n], &box,
                             values, row, slice);
        return;
    }
    for (unsigned z = 0; z < box.size[2]; z++)
        for (unsigned y = 0; y < box.size[1]; y++)
            for (unsigned x = 0; x < box.size[0]; x++)
                values[x + row * y + slice * z] =
                    lode_cursor_value(cursor, (int)(to[0] + x) - (int)apron,
                                      (int)(to[1] + y) - (int)apron, (int)(to[2] + z) - (int)apron);
}

int lode_sdf_decode_apron(struct lode_sdf *sdf, unsigned channel, struct lode_ivec3 at,
                          unsigned apron, float *ret_values)
{
    struct lode_cursor cursor = {0};
    if (apron > sdf->dim)
        return -EINVAL;
    int status = lode_read_begin();
    if (status != 0)
        return status;
    status = lode_cursor_move(&cursor, sdf, channel, at);
    for (int i = 0; i < 27 && status == 0; i++) {
        const int d[3] = {i % 3 - 1, i / 3 % 3 - 1, i / 9 - 1};
        if (apron != 0 || i == CENTRE)
            apron_part(&cursor, apron, d, ret_values);
    }
    lode_read_end();
    return status;
}

/* ---- sampling ---- */

/* The lowest of the eight voxels around a point, and where in their cube it is. */
struct support {
    int32_t voxel[3];
    float fraction[3];
};

static int support_of(const struct lode_sdf *sdf, const float point[3], struct support *ret)
{
    float reach = (float)(LODEI_GRID_MAX + 1) * (float)sdf->dim;
    for (unsigned axis = 0; axis < 3; axis++) {
        float p = point[axis] - 0.5f, low = floorf(p);
        if (!(p >= -reach && p < reach - 1)) /* a NaN, too */
            return -ERANGE;
        ret->voxel[axis] = (int32_t)low;
        ret->fraction[axis] = p - low;
    }
    return 0;
}

static struct lode_ivec3 brick_of(const struct lode_sdf *sdf, const int32_t voxel[3])
{
    int shift = __builtin_ctz(sdf->dim); /* >> of a negative number rounds down here */
    return (struct lode_ivec3){voxel[0] >> shift, voxel[1] >> shift, voxel[2] >> shift};
}

/* Bricks seen last, so that a run of points near each other looks nothing up. */
struct nearby {
    struct lode_sdf *sdf;
    struct lodei_grid *grid;
    struct lode_ivec3 at[8];
    uint64_t words[8]; /* 0: no brick */
    uint8_t known[8];
};

static uint64_t nearby_word(struct nearby *near, struct lode_ivec3 at)
{
    unsigned n = lodei_grid_lane(at.x, at.y, at.z);
    if (near->known[n] && near->at[n].x == at.x && near->at[n].y == at.y && near->at[n].z == at.z)
        return near->words[n];
    lode_handle brick =
        lodei_grid_holds(at.x, at.y, at.z) ? lodei_grid_brick(near->grid, at.x, at.y, at.z) : 0;
    near->at[n] = at;
    near->known[n] = 1;
    near->words[n] = brick != 0 ? lodei_handle_word(brick) : 0;
    return near->words[n];
}

static float decoded(const struct lode_sdf *sdf, uint64_t word, size_t index)
{
    struct lodei_coding coding = lodei_coding_of(sdf, word);
    return lodei_sdf_value(coding.bits, lodei_sdf_quantum(coding.bits, coding.band),
                           lodei_sdf_code_at(coding.bits, lodei_word_block(word), index));
}

/* Fill in the corners in `missing` from those that are there: the nearest one's sign. */
static void corners_extend(float corners[8], unsigned missing, float band)
{
    for (unsigned c = 0; c < 8; c++) {
        if ((missing >> c & 1) == 0)
            continue;
        unsigned best = 8, steps = 4;
        for (unsigned other = 0; other < 8; other++) {
            unsigned apart = (unsigned)__builtin_popcount(other ^ c);
            if ((missing >> other & 1) == 0 && apart < steps) {
                best = other;
                steps = apart;
            }
        }
        corners[c] = lodei_sdf_beyond(corners[best], band);
    }
}

/* The eight values around a point, from up to eight bricks. 0 or -ENOENT. */
static int corners_gather(struct nearby *near, const struct support *s, float corners[8])
{
    struct lode_sdf *sdf = near->sdf;
    int32_t mask = (int32_t)sdf->dim - 1;
    unsigned missing = 0;
    float band = sdf->bands[0];
    for (unsigned c = 0; c < 8; c++) {
        const int32_t v[3] = {s->voxel[0] + (int32_t)(c & 1), s->voxel[1] + (int32_t)(c >> 1 & 1),
                              s->voxel[2] + (int32_t)(c >> 2)};
        uint64_t word = nearby_word(near, brick_of(sdf, v));
        if (word == 0) {
            missing |= 1u << c;
            continue;
        }
        band = lodei_coding_of(sdf, word).band;
        corners[c] = decoded(
            sdf, word,
            (size_t)((v[0] & mask) +
                     (int32_t)sdf->dim * ((v[1] & mask) + (int32_t)sdf->dim * (v[2] & mask))));
    }
    if (missing == 255)
        return -ENOENT;
    if (missing != 0)
        corners_extend(corners, missing, band);
    return 0;
}

static int sample_one(struct nearby *near, const float point[3], struct lode_sdf_point *ret_point)
{
    struct support s;
    float corners[8];
    int status = support_of(near->sdf, point, &s);
    if (status != 0 || (status = corners_gather(near, &s, corners)) != 0)
        return status;
    struct lodei_sdf_sample sample =
        lodei_sdf_sample1(corners, s.fraction[0], s.fraction[1], s.fraction[2]);
    ret_point->value = sample.value;
    memcpy(ret_point->gradient, sample.gradient, sizeof(ret_point->gradient));
    return 0;
}

static int distances_of(struct lode_sdf *sdf, unsigned channel)
{
    return channel < sdf->channel_count && sdf->channels[channel].format == LODE_CHANNEL_SDF
               ? 0
               : -EINVAL;
}

int lode_sdf_sample(struct lode_sdf *sdf, unsigned channel, const float point[3],
                    struct lode_sdf_point *ret_point)
{
    int status = distances_of(sdf, channel);
    if (status != 0 || (status = lode_read_begin()) != 0)
        return status;
    struct nearby near = {.sdf = sdf, .grid = &sdf->channels[channel].grid};
    status = sample_one(&near, point, ret_point);
    lode_read_end();
    return status;
}

int64_t lode_sdf_sample_many(struct lode_sdf *sdf, unsigned channel, const float (*points)[3],
                             size_t count, struct lode_sdf_point *ret_points)
{
    static const struct lode_sdf_point none = {NAN, {NAN, NAN, NAN}};
    int status = distances_of(sdf, channel);
    int64_t done = 0;
    if (status != 0 || (status = lode_read_begin()) != 0)
        return status;
    struct nearby near = {.sdf = sdf, .grid = &sdf->channels[channel].grid};
    for (size_t i = 0; i < count; i++) {
        if (sample_one(&near, points[i], &ret_points[i]) == 0)
            done++;
        else
            ret_points[i] = none;
    }
    lode_read_end();
    return done;
}
