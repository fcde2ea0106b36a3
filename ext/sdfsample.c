/* SPDX-License-Identifier: MIT */
/*
 * Sampling a field at points: trilinear, with the gradient.
 *
 * A point has a cell, the eight voxels around it. Mostly they are in one brick, and the sample is
 * that of the kernels (sdfpack.h), one point at a time or a run of points that follow each other.
 * Points whose cells are in two to eight bricks, or in some that are not there, are put together
 * here; both ways take the same steps, so a point has one result however it is asked for.
 *
 *     point - 0.5 -> lowest voxel of the cell -> its brick -> point from the brick's corner
 *
 * A voxel of a brick that is not there counts as the band of the nearest one of the cell that is,
 * with its sign: see sdfreach.c. All works within a reading section.
 */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "ext/sdfpool.h"

#define RUN       64 /* points */
#define RUN_LEAST 3  /* for fewer the kernels take longer than point by point */

/* Bricks seen last, so that a run of points near each other looks nothing up. */
struct nearby {
    struct lode_sdf *sdf;
    struct lodei_grid *grid;
    uint32_t known; /* bits of the places below */
    struct lode_ivec3 at[8];
    uint64_t words[8]; /* 0: no brick */
};

static void nearby_init(struct nearby *near, struct lode_sdf *sdf, unsigned channel)
{
    near->sdf = sdf;
    near->grid = &sdf->channels[channel].grid;
    near->known = 0;
}

static uint64_t nearby_word(struct nearby *near, struct lode_ivec3 at)
{
    unsigned n = lodei_grid_lane(at.x, at.y, at.z);
    if ((near->known >> n & 1) != 0 && near->at[n].x == at.x && near->at[n].y == at.y &&
        near->at[n].z == at.z)
        return near->words[n];
    lode_handle brick =
        lodei_grid_holds(at.x, at.y, at.z) ? lodei_grid_brick(near->grid, at.x, at.y, at.z) : 0;
    near->at[n] = at;
    near->known |= 1u << n;
    near->words[n] = brick != 0 ? lodei_handle_word(brick) : 0;
    return near->words[n];
}

/* ---- one point ---- */

/* Where the cell of a point is: its lowest voxel, in which brick, and the point's place between
 * that voxel's centre and the next one's. */
struct cell {
    struct lode_ivec3 brick;
    int32_t voxel[3]; /* from the brick's corner */
    float local[3];   /* the point, likewise */
    float fraction[3];
};

static int cell_of(const struct lode_sdf *sdf, const float point[3], struct cell *ret)
{
    const int32_t dim = (int32_t)sdf->dim;
    const float reach = (float)(LODEI_GRID_MAX + 1) * (float)dim;
    const int shift = __builtin_ctz(sdf->dim);
    int32_t brick[3];
    for (unsigned axis = 0; axis < 3; axis++) {
        float p = point[axis] - 0.5f;
        if (!(p >= -reach && p < reach - 1)) /* a NaN, too */
            return -ERANGE;
        int32_t whole = (int32_t)p;
        brick[axis] = (whole - ((float)whole > p)) >> shift; /* rounds down */
        float local = point[axis] - (float)(brick[axis] * dim);
        if (local < 0.5f) { /* p was rounded up, to the next brick */
            if (--brick[axis] < LODEI_GRID_MIN)
                return -ERANGE;
            local += (float)dim;
        }
        ret->local[axis] = local;
        ret->voxel[axis] = (int32_t)(local - 0.5f);
        if (ret->voxel[axis] == dim) /* local was: the fraction is 1 */
            ret->voxel[axis] = dim - 1;
        ret->fraction[axis] = local - 0.5f - (float)ret->voxel[axis];
    }
    ret->brick = (struct lode_ivec3){brick[0], brick[1], brick[2]};
    return 0;
}

LODE_INLINE void corners_of_bits(unsigned bits, float quantum, const void *block, size_t index,
                                 size_t dim, float corners[8])
{
    for (unsigned c = 0; c < 8; c++)
        corners[c] = lodei_sdf_value(
            bits, quantum,
            lodei_sdf_code_at(bits, block,
                              index + (c & 1) + dim * ((c >> 1 & 1) + dim * (c >> 2))));
}

static void point_set(struct lode_sdf_point *ret_point, struct lodei_sdf_sample sample)
{
    ret_point->value = sample.value;
    memcpy(ret_point->gradient, sample.gradient, sizeof(ret_point->gradient));
}

/* For a cell within one brick. */
static void sample_inside(const struct nearby *near, uint64_t word, const struct cell *cell,
                          struct lode_sdf_point *ret_point)
{
    struct lodei_coding coding = lodei_coding_of(near->sdf, word);
    float quantum = lodei_sdf_quantum(coding.bits, coding.band), corners[8];
    size_t dim = near->sdf->dim;
    size_t index =
        (size_t)cell->voxel[0] + dim * ((size_t)cell->voxel[1] + dim * (size_t)cell->voxel[2]);
    if (coding.bits == 16)
        corners_of_bits(16, quantum, lodei_word_block(word), index, dim, corners);
    else if (coding.bits == 8)
        corners_of_bits(8, quantum, lodei_word_block(word), index, dim, corners);
    else
        corners_of_bits(4, quantum, lodei_word_block(word), index, dim, corners);
    point_set(ret_point,
              lodei_sdf_sample1(corners, cell->fraction[0], cell->fraction[1], cell->fraction[2]));
}

/* Fill in the corners in `missing` from those that are there. */
static void corners_extend(float corners[8], const float bands[8], unsigned missing)
{
    for (unsigned c = 0; c < 8; c++) {
        if ((missing >> c & 1) == 0)
            continue;
        unsigned best = 0, steps = 4;
        for (unsigned other = 0; other < 8; other++) {
            unsigned apart = (unsigned)__builtin_popcount(other ^ c);
            if ((missing >> other & 1) == 0 && apart < steps) {
                best = other;
                steps = apart;
            }
        }
        corners[c] = lodei_sdf_beyond(corners[best], bands[best]);
    }
}

/* What is known of one of the bricks that a cell is in. */
struct part {
    const void *block; /* NULL: it is not there */
    unsigned bits;
    float band, quantum;
};

static struct part part_of(struct nearby *near, struct lode_ivec3 at)
{
    uint64_t word = nearby_word(near, at);
    if (word == 0)
        return (struct part){0};
    struct lodei_coding coding = lodei_coding_of(near->sdf, word);
    return (struct part){lodei_word_block(word), coding.bits, coding.band,
                         lodei_sdf_quantum(coding.bits, coding.band)};
}

/* The axes on which a cell is in two bricks. */
static unsigned crossed_by(const struct lode_sdf *sdf, const struct cell *cell)
{
    int32_t last = (int32_t)sdf->dim - 1;
    return (unsigned)(cell->voxel[0] == last) | (unsigned)(cell->voxel[1] == last) << 1 |
           (unsigned)(cell->voxel[2] == last) << 2;
}

/* The eight values of a cell that is in several bricks. 0 or -ENOENT. */
static int corners_gather(struct nearby *near, const struct cell *cell, float corners[8])
{
    int32_t mask = (int32_t)near->sdf->dim - 1, dim = (int32_t)near->sdf->dim;
    const int32_t *v = cell->voxel;
    unsigned crossed = crossed_by(near->sdf, cell), missing = 0;
    struct part parts[8];
    float bands[8];
    for (unsigned c = 0; c < 8; c++) {
        int32_t x = (int32_t)(c & 1), y = (int32_t)(c >> 1 & 1), z = (int32_t)(c >> 2);
        struct lode_ivec3 at = {cell->brick.x + x, cell->brick.y + y, cell->brick.z + z};
        if ((c & crossed) == c)
            parts[c] = part_of(near, at);
        const struct part *part = &parts[c & crossed];
        if (part->block == NULL) {
            missing |= 1u << c;
            continue;
        }
        int32_t index =
            ((v[0] + x) & mask) + dim * (((v[1] + y) & mask) + dim * ((v[2] + z) & mask));
        bands[c] = part->band;
        corners[c] = lodei_sdf_value(part->bits, part->quantum,
                                     lodei_sdf_code_at(part->bits, part->block, (size_t)index));
    }
    if (missing == 255)
        return -ENOENT;
    if (missing != 0)
        corners_extend(corners, bands, missing);
    return 0;
}

static int sample_cell(struct nearby *near, const struct cell *cell,
                       struct lode_sdf_point *ret_point)
{
    float corners[8];
    if (crossed_by(near->sdf, cell) == 0) {
        uint64_t word = nearby_word(near, cell->brick);
        if (word != 0)
            sample_inside(near, word, cell, ret_point);
        return word != 0 ? 0 : -ENOENT;
    }
    int status = corners_gather(near, cell, corners);
    if (status == 0)
        point_set(ret_point, lodei_sdf_sample1(corners, cell->fraction[0], cell->fraction[1],
                                               cell->fraction[2]));
    return status;
}

static int sample_one(struct nearby *near, const float point[3], struct lode_sdf_point *ret_point)
{
    struct cell cell;
    int status = cell_of(near->sdf, point, &cell);
    return status != 0 ? status : sample_cell(near, &cell, ret_point);
}

/* ---- many points ---- */

struct run {
    float x[RUN], y[RUN], z[RUN];
    float value[RUN], gradient[3][RUN];
    uint32_t left[RUN];
};

/* How many points from the first on have the lowest voxels of their cells in one brick that is
 * there, its word in *ret_word. */
static size_t run_gather(struct nearby *near, const float (*points)[3], size_t count,
                         struct run *run, uint64_t *ret_word)
{
    struct cell cell;
    struct lode_ivec3 brick = {0, 0, 0};
    size_t n = 0;
    for (; n < count && n < RUN && cell_of(near->sdf, points[n], &cell) == 0; n++) {
        if (n == 0) {
            brick = cell.brick;
            *ret_word = nearby_word(near, brick);
            if (*ret_word == 0)
                break;
        } else if (cell.brick.x != brick.x || cell.brick.y != brick.y || cell.brick.z != brick.z) {
            break;
        }
        run->x[n] = cell.local[0];
        run->y[n] = cell.local[1];
        run->z[n] = cell.local[2];
    }
    return n;
}

static void point_missing(struct lode_sdf_point *ret_point)
{
    static const struct lode_sdf_point none = {NAN, {NAN, NAN, NAN}};
    *ret_point = none;
}

/* The points of a run; how many have a value. */
static size_t run_sample(struct nearby *near, struct run *run, uint64_t word,
                         const float (*points)[3], size_t count, struct lode_sdf_point *ret_points)
{
    struct lodei_coding coding = lodei_coding_of(near->sdf, word);
    struct lodei_sdf_points at = {run->x, run->y, run->z};
    struct lodei_sdf_samples samples = {run->value, run->gradient[0], run->gradient[1],
                                        run->gradient[2]};
    size_t left = lodei_sdf_sample_payload(coding.bits, near->sdf->dim, coding.band,
                                           lodei_word_block(word), count, &at, &samples, run->left);
    size_t found = count;
    for (size_t i = 0; i < count; i++)
        ret_points[i] = (struct lode_sdf_point){
            run->value[i], {run->gradient[0][i], run->gradient[1][i], run->gradient[2][i]}};
    for (size_t k = 0; k < left; k++) {
        size_t i = run->left[k];
        if (sample_one(near, points[i], &ret_points[i]) != 0) {
            point_missing(&ret_points[i]);
            found--;
        }
    }
    return found;
}

static int64_t sample_all(struct nearby *near, const float (*points)[3], size_t count,
                          struct lode_sdf_point *ret_points)
{
    struct run run;
    int64_t found = 0;
    for (size_t i = 0, n; i < count; i += n) {
        uint64_t word = 0;
        n = run_gather(near, points + i, count - i, &run, &word);
        if (n >= RUN_LEAST) {
            found += (int64_t)run_sample(near, &run, word, points + i, n, ret_points + i);
            continue;
        }
        n = n != 0 ? n : 1;
        for (size_t k = i; k < i + n; k++) {
            if (sample_one(near, points[k], &ret_points[k]) == 0)
                found++;
            else
                point_missing(&ret_points[k]);
        }
    }
    return found;
}

/* ---- as callers see it ---- */

static int distances_of(const struct lode_sdf *sdf, unsigned channel)
{
    return channel < sdf->channel_count && sdf->channels[channel].format == LODE_CHANNEL_SDF
               ? 0
               : -EINVAL;
}

int lode_sdf_sample(struct lode_sdf *sdf, unsigned channel, const float point[3],
                    struct lode_sdf_point *ret_point)
{
    struct nearby near;
    int status = distances_of(sdf, channel);
    if (status != 0 || (status = lode_read_begin()) != 0)
        return status;
    nearby_init(&near, sdf, channel);
    status = sample_one(&near, point, ret_point);
    lode_read_end();
    return status;
}

int64_t lode_sdf_sample_many(struct lode_sdf *sdf, unsigned channel, const float (*points)[3],
                             size_t count, struct lode_sdf_point *ret_points)
{
    struct nearby near;
    int status = distances_of(sdf, channel);
    if (status != 0 || (status = lode_read_begin()) != 0)
        return status;
    nearby_init(&near, sdf, channel);
    int64_t found = sample_all(&near, points, count, ret_points);
    lode_read_end();
    return found;
}
