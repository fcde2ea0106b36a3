/* SPDX-License-Identifier: MIT */
/* A field and its model: what reads them. See sdf_model.h. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "lode/stats.h"
#include "sdf_modelcheck.h"

#define RANGE_MIN (-(1 << 20))
#define RANGE_MAX ((1 << 20) - 1)

int model_in_range(struct lode_ivec3 at)
{
    static const struct lode_brick_box range = {{RANGE_MIN, RANGE_MIN, RANGE_MIN},
                                                {RANGE_MAX, RANGE_MAX, RANGE_MAX}};
    return model_in_box(&range, at);
}

int model_in_box(const struct lode_brick_box *box, struct lode_ivec3 at)
{
    return at.x >= box->lo.x && at.x <= box->hi.x && at.y >= box->lo.y && at.y <= box->hi.y &&
           at.z >= box->lo.z && at.z <= box->hi.z;
}

int model_in_window(const struct model *m, struct lode_ivec3 at)
{
    return m->has_window ? model_in_box(&m->window, at) : model_in_range(at);
}

int model_box_status(const struct lode_brick_box *box)
{
    if (box->lo.x > box->hi.x || box->lo.y > box->hi.y || box->lo.z > box->hi.z)
        return -EINVAL;
    return model_in_range(box->lo) && model_in_range(box->hi) ? 0 : -ERANGE;
}

unsigned model_place(const struct model *m, struct lode_ivec3 at)
{
    uint32_t x = (uint32_t)at.x - (uint32_t)m->origin.x, y = (uint32_t)at.y - (uint32_t)m->origin.y,
             z = (uint32_t)at.z - (uint32_t)m->origin.z;
    return x < MODEL_SIDE && y < MODEL_SIDE && z < MODEL_SIDE
               ? x + MODEL_SIDE * (y + MODEL_SIDE * z)
               : MODEL_BRICKS;
}

static int same_group(struct lode_ivec3 a, struct lode_ivec3 b)
{
    return a.x >> 1 == b.x >> 1 && a.y >> 1 == b.y >> 1 && a.z >> 1 == b.z >> 1;
}

unsigned model_groups(const struct model *m)
{
    unsigned groups = 0;
    for (unsigned c = 0; c < MODEL_CHANNELS; c++)
        for (unsigned p = 0; p < MODEL_BRICKS; p++) {
            int first = m->bricks[c][p].handle != 0;
            for (unsigned q = 0; q < p && first; q++)
                first = m->bricks[c][q].handle == 0 || !same_group(model_at(m, p), model_at(m, q));
            groups += (unsigned)first;
        }
    return groups;
}

uint64_t model_evict_order(const struct model *m, const struct model_brick *brick,
                           struct lode_ivec3 at)
{
    static const uint64_t rank[] = {1, 0, 2, 3}; /* by enum lode_brick_priority */
    double centre[3] = {0, 0, 0};
    if (m->has_window) {
        centre[0] = ((double)m->window.lo.x + m->window.hi.x) / 2;
        centre[1] = ((double)m->window.lo.y + m->window.hi.y) / 2;
        centre[2] = ((double)m->window.lo.z + m->window.hi.z) / 2;
    }
    double x = at.x - centre[0], y = at.y - centre[1], z = at.z - centre[2];
    return rank[brick->priority] << 60 |
           (((uint64_t)1 << 59) - (uint64_t)(4 * (x * x + y * y + z * z)));
}

/* ---- single bricks ---- */

static void look_at_values(struct model *m, unsigned channel, const struct model_brick *brick)
{
    float values[MODEL_VOXELS];
    uint16_t elements[MODEL_VOXELS];
    if (channel == 0) {
        MODEL_EXPECT(lode_sdf_decode(m->sdf, brick->handle, values), 0);
        if (brick->defined)
            MODEL_EXPECT(memcmp(values, brick->values, m->voxels * sizeof(float)), 0);
        MODEL_EXPECT(lode_sdf_raw_read(m->sdf, brick->handle, elements), -EINVAL);
        return;
    }
    MODEL_EXPECT(lode_sdf_raw_read(m->sdf, brick->handle, elements), 0);
    for (uint32_t i = 0; i < m->voxels && brick->defined; i++)
        MODEL_EXPECT(channel == 1 ? elements[i] : ((uint8_t *)elements)[i], brick->elements[i]);
    MODEL_EXPECT(lode_sdf_decode(m->sdf, brick->handle, values), -EINVAL);
    MODEL_EXPECT(lode_sdf_encode(m->sdf, brick->handle, values), -EINVAL);
}

void model_look(struct model *m, unsigned channel, unsigned place)
{
    const struct model_brick *brick = place < MODEL_BRICKS ? &m->bricks[channel][place] : NULL;
    struct lode_ivec3 at = model_at(m, place);
    struct lode_brick_info info;
    lode_handle got = 77;
    int there = brick != NULL && brick->handle != 0;
    MODEL_EXPECT(lode_sdf_find(m->sdf, channel, at, &got), there                ? 0
                                                           : model_in_range(at) ? -ENOENT
                                                                                : -ERANGE);
    if (!there) {
        MODEL_EXPECT((long)got, 77);
        return;
    }
    MODEL_EXPECT(got == brick->handle, 1);
    MODEL_EXPECT(lode_sdf_brick_info(m->sdf, got, &info), 0);
    MODEL_EXPECT(memcmp(&info.at, &at, sizeof(at)), 0);
    MODEL_EXPECT(info.channel, channel);
    MODEL_EXPECT(info.tier, brick->tier);
    MODEL_EXPECT(info.priority, brick->priority);
    MODEL_EXPECT(info.band == brick->band, 1);
    MODEL_EXPECT(info.bytes,
                 (long)lode_sdf_brick_bytes(m->sdf, channel, (enum lode_tier)brick->tier));
    MODEL_EXPECT(lode_handle_is_live(got), 1);
    look_at_values(m, channel, brick);
}

void model_view(struct model *m, unsigned place)
{
    const struct model_brick *brick = &m->bricks[0][place];
    struct lode_view view;
    if (brick->handle != 0 && !brick->defined)
        return;
    MODEL_EXPECT(lode_view_begin(m->sdf, brick->handle, &view), brick->handle != 0 ? 0 : -EINVAL);
    if (brick->handle == 0)
        return;
    MODEL_EXPECT(memcmp(view.values, brick->values, m->voxels * sizeof(float)), 0);
    lode_view_end(m->sdf, &view);
    MODEL_EXPECT(view.values == NULL && view.entry == NULL, 1);
}

void model_stale(struct model *m, unsigned which)
{
    lode_handle gone = m->stale[which % MODEL_STALE];
    float values[MODEL_VOXELS] = {0};
    uint16_t elements[MODEL_VOXELS];
    struct lode_brick_info info;
    struct lode_view view;
    if (gone == 0)
        return;
    MODEL_EXPECT(lode_sdf_brick_free(m->sdf, gone), -ESTALE);
    MODEL_EXPECT(lode_sdf_bricks_free(m->sdf, &gone, 1), -ESTALE);
    MODEL_EXPECT(lode_sdf_brick_info(m->sdf, gone, &info), -ESTALE);
    MODEL_EXPECT(lode_sdf_priority_set(m->sdf, gone, LODE_PRIORITY_CRITICAL), -ESTALE);
    int status = lode_sdf_raw_read(m->sdf, gone, elements); /* the one or the other format */
    int wanted = status == -ESTALE ? -EINVAL : -ESTALE;
    MODEL_EXPECT(status == -ESTALE || status == -EINVAL, 1);
    MODEL_EXPECT(lode_sdf_decode(m->sdf, gone, values), wanted);
    MODEL_EXPECT(lode_sdf_encode(m->sdf, gone, values), wanted);
    MODEL_EXPECT(lode_sdf_retier(m->sdf, gone, LODE_TIER_LOW), wanted);
    MODEL_EXPECT(lode_view_begin(m->sdf, gone, &view), wanted);
    MODEL_EXPECT(lode_handle_is_live(gone), 0);
}

/* ---- across bricks ---- */

/* A voxel of the array, from the first voxel of `origin`; NULL: no brick there. */
static const float *voxel_at(const struct model *m, const long v[3], const struct model_brick **ret)
{
    long dim = (long)m->dim;
    unsigned place = 0, step = 1;
    long index = 0, row = 1;
    *ret = NULL;
    for (unsigned axis = 0; axis < 3; axis++) {
        if (v[axis] < 0 || v[axis] >= dim * MODEL_SIDE)
            return NULL;
        place += step * (unsigned)(v[axis] / dim);
        index += row * (v[axis] % dim);
        step *= MODEL_SIDE;
        row *= dim;
    }
    const struct model_brick *brick = &m->bricks[0][place];
    if (brick->handle == 0)
        return NULL;
    *ret = brick;
    return &brick->values[index];
}

static int all_defined(const struct model *m)
{
    for (unsigned p = 0; p < MODEL_BRICKS; p++)
        if (m->bricks[0][p].handle != 0 && !m->bricks[0][p].defined)
            return 0;
    return 1;
}

/* The eight values around a point, in voxels of the array. 0: none is there. */
static int cell_values(const struct model *m, const long low[3], double corners[8])
{
    const struct model_brick *bricks[8];
    const float *at[8];
    int there = 0;
    for (unsigned c = 0; c < 8; c++) {
        const long v[3] = {low[0] + (long)(c & 1), low[1] + (long)(c >> 1 & 1),
                           low[2] + (long)(c >> 2)};
        at[c] = voxel_at(m, v, &bricks[c]);
        there += at[c] != NULL;
    }
    for (unsigned c = 0; c < 8 && there != 0; c++) {
        unsigned best = c;
        for (int apart = 0; at[best] == NULL; apart++)
            for (unsigned o = 0; o < 8 && at[best] == NULL; o++)
                if (at[o] != NULL && __builtin_popcount(o ^ c) == apart)
                    best = o;
        corners[c] = best == c ? *at[c] : *at[best] < 0 ? -bricks[best]->band : bricks[best]->band;
    }
    return there;
}

static double mixed(const double corners[8], const double t[3], int axis)
{
    double sum = 0;
    for (unsigned c = 0; c < 8; c++) {
        double weight = 1;
        for (int a = 0; a < 3; a++) {
            int upper = c >> a & 1;
            weight *= a == axis ? (upper ? 1 : -1) : upper ? t[a] : 1 - t[a];
        }
        sum += weight * corners[c];
    }
    return sum;
}

/* The array's first voxel, in voxels of the world. */
static double base_of(const struct model *m, unsigned axis)
{
    const int32_t origin[3] = {m->origin.x, m->origin.y, m->origin.z};
    return (double)origin[axis] * m->dim;
}

static int point_status(const struct model *m, const float point[3])
{
    for (unsigned axis = 0; axis < 3; axis++) {
        double low = floor((double)point[axis] - 0.5);
        if (!(low >= (double)RANGE_MIN * m->dim &&
              low + 1 <= (double)RANGE_MAX * m->dim + m->dim - 1))
            return -ERANGE;
    }
    return 0;
}

static void sample_check(const struct model *m, const float point[3], int status,
                         const struct lode_sdf_point *got)
{
    double corners[8] = {0}, t[3], largest = 0;
    long low[3];
    for (unsigned axis = 0; axis < 3; axis++) {
        double p = (double)point[axis] - 0.5 - base_of(m, axis);
        low[axis] = (long)floor(p);
        t[axis] = p - floor(p);
    }
    /* Floats may be on the other side of a border: the cell, and with it the gradient, is the next
     * one's. The values are the same there. */
    int doubtful = 0;
    for (unsigned axis = 0; axis < 3; axis++)
        doubtful |= (t[axis] > 0 && t[axis] < 1e-5) || t[axis] > 1 - 1e-5;
    int there = cell_values(m, low, corners);
    if (doubtful && (there != 0) != (status == 0))
        return;
    MODEL_EXPECT(status, there != 0 ? 0 : -ENOENT);
    if (there == 0)
        return;
    for (unsigned c = 0; c < 8; c++)
        largest = fabs(corners[c]) > largest ? fabs(corners[c]) : largest;
    MODEL_EXPECT(fabs((double)got->value - mixed(corners, t, -1)) <= 2e-6 * largest, 1);
    if (doubtful)
        return;
    for (int axis = 0; axis < 3; axis++)
        MODEL_EXPECT(fabs((double)got->gradient[axis] - mixed(corners, t, axis)) <= 4e-6 * largest,
                     1);
}

void model_sample(struct model *m, unsigned place, uint64_t seed)
{
    float points[40][3];
    struct lode_sdf_point one[40], many[40];
    struct lode_ivec3 at = model_at(m, place);
    const int32_t brick[3] = {at.x, at.y, at.z};
    long found = 0;
    if (!all_defined(m))
        return;
    for (unsigned i = 0; i < 40; i++)
        for (unsigned axis = 0; axis < 3; axis++) {
            /* sixteenths of a voxel, which floats keep apart out there, too */
            int32_t sixteenths = (int32_t)(model_random(&seed) % (16 * 3 * m->dim));
            points[i][axis] = (float)((double)brick[axis] * m->dim - m->dim + sixteenths / 16.0);
            if (i % 4 == 0) /* as near to a border as can be */
                points[i][axis] = nextafterf(points[i][axis], i % 8 == 0 ? INFINITY : -INFINITY);
        }
    for (unsigned i = 0; i < 40; i++) {
        one[i].value = 77;
        int status = lode_sdf_sample(m->sdf, 0, points[i], &one[i]);
        if (point_status(m, points[i]) == 0)
            sample_check(m, points[i], status, &one[i]);
        else
            MODEL_EXPECT(status, -ERANGE);
        MODEL_EXPECT(status == 0 || one[i].value == 77, 1);
        found += status == 0;
        if (status != 0)
            one[i].value = NAN;
    }
    MODEL_EXPECT((long)lode_sdf_sample_many(m->sdf, 0, (const float(*)[3])points, 40, many), found);
    for (unsigned i = 0; i < 40; i++)
        MODEL_EXPECT(isnan(one[i].value) ? isnan(many[i].value) && isnan(many[i].gradient[1])
                                         : memcmp(&one[i], &many[i], sizeof(one[i])) == 0,
                     1);
}

/* A voxel as lode_cursor_value() is to give it, from the first voxel of a brick that is there. */
static float cursor_wanted(const struct model *m, unsigned place, const long v[3])
{
    const struct model_brick *brick;
    const long first[3] = {(long)(place % MODEL_SIDE) * m->dim,
                           (long)(place / MODEL_SIDE % MODEL_SIDE) * m->dim,
                           (long)(place / MODEL_SIDE / MODEL_SIDE) * m->dim};
    long at[3], nearest[3];
    for (unsigned axis = 0; axis < 3; axis++) {
        long last = (long)m->dim - 1;
        at[axis] = first[axis] + v[axis];
        nearest[axis] = first[axis] + (v[axis] < 0 ? 0 : v[axis] > last ? last : v[axis]);
    }
    const float *value = voxel_at(m, at, &brick);
    if (value != NULL)
        return *value;
    value = voxel_at(m, nearest, &brick);
    return *value < 0 ? -brick->band : brick->band;
}

static void around_check(const struct model *m, unsigned place, unsigned apron,
                         const struct lode_cursor *cursor, const float *values)
{
    long reach = (long)apron, dim = (long)m->dim, i = 0;
    for (long z = -reach; z < dim + reach; z++)
        for (long y = -reach; y < dim + reach; y++)
            for (long x = -reach; x < dim + reach; x++, i++) {
                const long v[3] = {x, y, z};
                float wanted = cursor_wanted(m, place, v);
                MODEL_EXPECT(values[i] == wanted, 1);
                MODEL_EXPECT(lode_cursor_value(cursor, (int)x, (int)y, (int)z) == wanted, 1);
            }
}

void model_around(struct model *m, unsigned place, unsigned apron)
{
    static float values[24 * 24 * 24];
    struct lode_cursor cursor = {0};
    struct lode_ivec3 at = model_at(m, place);
    if (!all_defined(m))
        return;
    int status = !model_in_range(at)                                       ? -ERANGE
                 : place < MODEL_BRICKS && m->bricks[0][place].handle != 0 ? 0
                                                                           : -ENOENT;
    MODEL_EXPECT(lode_sdf_decode_apron(m->sdf, 0, at, m->dim + 1, values), -EINVAL);
    MODEL_EXPECT(lode_cursor_move(&cursor, m->sdf, 0, at), -EINVAL);
    MODEL_EXPECT(lode_sdf_decode_apron(m->sdf, 0, at, apron, values), status);
    MODEL_EXPECT(lode_read_begin(), 0);
    /* by a step from its neighbour, which keeps what it found */
    struct lode_ivec3 beside = {at.x + (place % 2 != 0 ? 1 : -1), at.y,
                                at.z + (int)(place % 3) - 1};
    int first = lode_cursor_move(&cursor, m->sdf, 0, beside);
    MODEL_EXPECT(first == 0 || first == -ENOENT || !model_in_range(beside), 1);
    MODEL_EXPECT(lode_cursor_move(&cursor, m->sdf, 0, at), status);
    if (status == 0)
        around_check(m, place, apron, &cursor, values);
    lode_read_end();
}

/* ---- walks ---- */

struct walking {
    struct model *m;
    unsigned channel;
    const struct lode_brick_box *box;
    uint8_t seen[MODEL_BRICKS];
    unsigned count;
};

static int walked(void *ctx, lode_handle brick, struct lode_ivec3 at)
{
    struct walking *w = ctx;
    unsigned place = model_place(w->m, at);
    MODEL_EXPECT(place < MODEL_BRICKS, 1);
    MODEL_EXPECT(w->m->bricks[w->channel][place].handle == brick, 1);
    MODEL_EXPECT(w->box == NULL || model_in_box(w->box, at), 1);
    MODEL_EXPECT(w->seen[place]++, 0);
    w->count++;
    return 0;
}

#define WIDTH 1.25f

static int banded(void *ctx, const struct lode_band_brick *found)
{
    struct walking *w = ctx;
    MODEL_EXPECT(walked(ctx, found->brick, found->at), 0);
    const struct model_brick *brick = &w->m->bricks[0][model_place(w->m, found->at)];
    uint32_t count = 0;
    for (uint32_t i = 0; i < w->m->voxels; i++) {
        int near = fabsf(brick->values[i]) < WIDTH;
        MODEL_EXPECT((long)(found->voxels[i / 64] >> i % 64 & 1), near);
        MODEL_EXPECT(found->values[i] == brick->values[i], 1);
        count += (uint32_t)near;
    }
    MODEL_EXPECT(found->voxel_count, count);
    MODEL_EXPECT(count != 0, 1);
    return 0;
}

static int has_near(const struct model *m, const struct model_brick *brick)
{
    for (uint32_t i = 0; i < m->voxels; i++)
        if (fabsf(brick->values[i]) < WIDTH)
            return 1;
    return 0;
}

void model_walk(struct model *m, unsigned channel, const struct lode_brick_box *box)
{
    struct walking w = {.m = m, .channel = channel, .box = box}, near = w;
    unsigned wanted = 0, wanted_near = 0;
    MODEL_EXPECT(lode_sdf_each(m->sdf, channel, box, walked, &w), 0);
    for (unsigned p = 0; p < MODEL_BRICKS; p++) {
        const struct model_brick *brick = &m->bricks[channel][p];
        if (brick->handle == 0 || (box != NULL && !model_in_box(box, model_at(m, p))))
            continue;
        wanted++;
        wanted_near += (unsigned)has_near(m, brick);
    }
    MODEL_EXPECT(w.count, wanted);
    if (channel != 0) {
        MODEL_EXPECT(lode_sdf_band_each(m->sdf, channel, box, WIDTH, banded, &near), -EINVAL);
        return;
    }
    if (!all_defined(m))
        return;
    MODEL_EXPECT(lode_sdf_band_each(m->sdf, 0, box, WIDTH, banded, &near), 0);
    MODEL_EXPECT(near.count, wanted_near);
}

/* ---- figures ---- */

static void heap_check(struct model *m, unsigned tier, const struct lode_tier_stats *got)
{
    struct lode_stats heap = {.size = sizeof(heap)};
    MODEL_EXPECT(lode_stats_get(lode_sdf_heap(m->sdf, tier), &heap), 0);
    uint64_t ready = got->ready_blocks;
    MODEL_EXPECT((long)heap.live_blocks, (long)(got->bricks + ready));
    ready *= tier < LODE_TIER_COUNT ? lode_sdf_brick_bytes(m->sdf, 0, (enum lode_tier)tier) : 0;
    MODEL_EXPECT((long)heap.in_use_bytes, (long)(got->brick_bytes + ready));
    MODEL_EXPECT((long)heap.mapped_bytes, (long)got->mapped_bytes);
}

void model_stats(struct model *m)
{
    struct lode_sdf_stats stats = {.size = sizeof(stats)};
    MODEL_EXPECT(lode_sdf_stats(m->sdf, &stats), 0);
    uint64_t bricks[LODE_TIER_COUNT + 1] = {0}, raw_bytes = 0, bytes = 0, all = 0;
    for (unsigned c = 0; c < MODEL_CHANNELS; c++)
        for (unsigned p = 0; p < MODEL_BRICKS; p++)
            if (m->bricks[c][p].handle != 0) {
                bricks[c == 0 ? m->bricks[c][p].tier : LODE_TIER_COUNT]++;
                raw_bytes += c == 0 ? 0 : m->voxels * (c == 1 ? 2 : 1);
            }
    for (unsigned t = 0; t < LODE_TIER_COUNT; t++) {
        MODEL_EXPECT((long)stats.tiers[t].bricks, (long)bricks[t]);
        MODEL_EXPECT((long)stats.tiers[t].brick_bytes,
                     (long)(bricks[t] * lode_sdf_brick_bytes(m->sdf, 0, (enum lode_tier)t)));
        MODEL_EXPECT((long)stats.tiers[t].retiered, (long)m->retiered[t]);
        heap_check(m, t, &stats.tiers[t]);
        bytes += stats.tiers[t].brick_bytes;
        all += bricks[t];
    }
    MODEL_EXPECT((long)stats.raw.bricks, (long)bricks[LODE_TIER_COUNT]);
    MODEL_EXPECT((long)stats.raw.brick_bytes, (long)raw_bytes);
    heap_check(m, LODE_TIER_COUNT, &stats.raw);
    MODEL_EXPECT(stats.groups >= model_groups(m), 1);
    all += stats.raw.bricks;
    bytes += raw_bytes + stats.index_bytes;
    double wanted = all != 0 ? (double)bytes * 8 / ((double)all * m->voxels) : 0;
    MODEL_EXPECT(fabs(stats.bits_per_voxel - wanted) <= 1e-9 * wanted, 1);
}
