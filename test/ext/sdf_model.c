/* SPDX-License-Identifier: MIT */
/* A field and its model: what changes them. See sdf_model.h; sdf_modelread.c has what reads. */
#include "sdf_model.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ext/sdfpack.h"
#include "lode/predict.h"
#include "sdf_modelcheck.h"

#define FIELD_BAND 3

void model_create(struct model *m, uint32_t dim, struct lode_ivec3 origin, uint32_t max_bricks)
{
    struct lode_sdf_opts opts = LODE_SDF_OPTS_INIT;
    memset(m, 0, sizeof(*m));
    m->dim = dim;
    m->voxels = dim * dim * dim;
    m->origin = origin;
    m->max_bricks = max_bricks;
    for (int i = 0; i < 4; i++)
        m->bands[i] = FIELD_BAND;
    opts.brick_dim = (uint8_t)dim;
    opts.channel_count = MODEL_CHANNELS;
    opts.formats[1] = LODE_CHANNEL_RAW16;
    opts.formats[2] = LODE_CHANNEL_RAW8;
    opts.band = FIELD_BAND;
    opts.max_bricks = max_bricks;
    opts.cache_bricks = 8;
    MODEL_EXPECT(lode_sdf_create(&opts, &m->sdf), 0);
}

void model_destroy(struct model *m)
{
    lode_sdf_destroy(m->sdf);
    m->sdf = NULL;
}

struct lode_ivec3 model_at(const struct model *m, unsigned place)
{
    struct lode_ivec3 at = m->origin;
    if (place >= MODEL_BRICKS) { /* one step out of the array */
        at.x += place % 2 != 0 ? -1 : MODEL_SIDE;
        return at;
    }
    at.x += (int32_t)(place % MODEL_SIDE);
    at.y += (int32_t)(place / MODEL_SIDE % MODEL_SIDE);
    at.z += (int32_t)(place / MODEL_SIDE / MODEL_SIDE);
    return at;
}

static uint32_t live_count(const struct model *m)
{
    uint32_t count = 0;
    for (unsigned c = 0; c < MODEL_CHANNELS; c++)
        for (unsigned p = 0; p < MODEL_BRICKS; p++)
            count += m->bricks[c][p].handle != 0;
    return count;
}

/* What making a brick at a place that has none has to answer, memory permitting. */
static int make_status(const struct model *m, unsigned place)
{
    if (!model_in_window(m, model_at(m, place)))
        return -ERANGE;
    return m->max_bricks != 0 && live_count(m) >= m->max_bricks ? -ENOSPC : 0;
}

static void forget(struct model *m, struct model_brick *brick)
{
    m->stale[m->stale_count++ % MODEL_STALE] = brick->handle;
    brick->handle = 0;
}

void model_alloc(struct model *m, unsigned channel, unsigned place, unsigned tier)
{
    lode_handle got = 77;
    struct model_brick *brick = &m->bricks[channel][place];
    int status = make_status(m, place);
    if (channel == 0 && tier >= LODE_TIER_COUNT)
        status = status == -ERANGE ? -ERANGE : -EINVAL;
    else if (brick->handle != 0)
        status = status == -ENOSPC ? -ENOSPC : -EEXIST;
    MODEL_EXPECT(
        lode_sdf_brick_alloc(m->sdf, channel, model_at(m, place), (enum lode_tier)tier, &got),
        status);
    if (status != 0) {
        MODEL_EXPECT((long)got, 77);
        return;
    }
    *brick =
        (struct model_brick){.handle = got, .tier = channel == 0 ? tier : 0, .band = FIELD_BAND};
}

/* ---- contents ---- */

static float quantised(const struct model_brick *brick, float v)
{
    unsigned bits = 16u >> brick->tier;
    return lodei_sdf_value(bits, lodei_sdf_quantum(bits, brick->band),
                           lodei_sdf_code(bits, lodei_sdf_scale(bits, brick->band), v));
}

static void put_values(struct model *m, struct model_brick *brick, const float *values)
{
    for (uint32_t i = 0; i < m->voxels; i++)
        brick->values[i] = quantised(brick, values[i]);
    brick->defined = 1;
}

/* Smooth or rough, near the surface or not, with a NaN at times. */
static void values_make(const struct model *m, uint64_t seed, float *values)
{
    uint64_t state = seed;
    float around = model_float(&state, -5, 5), spread = model_float(&state, 0, 4);
    for (uint32_t i = 0; i < m->voxels; i++)
        values[i] = around + model_float(&state, -spread, spread);
    if (seed % 16 == 3)
        values[seed / 16 % m->voxels] = __builtin_nanf("");
}

static unsigned tier_of(const struct model *m, const float *values)
{
    float least = __builtin_inff();
    for (uint32_t i = 0; i < m->voxels; i++)
        least = __builtin_fabsf(values[i]) < least ? __builtin_fabsf(values[i]) : least;
    return least >= 2 ? LODE_TIER_LOW : least >= 1 ? LODE_TIER_MID : LODE_TIER_HIGH;
}

static void elements_make(struct model *m, unsigned channel, uint64_t seed, void *elements,
                          uint16_t *wide)
{
    uint64_t state = seed;
    for (uint32_t i = 0; i < m->voxels; i++) {
        wide[i] = (uint16_t)(model_random(&state) >> (channel == 1 ? 0 : 8) &
                             (channel == 1 ? 0xffff : 0xff));
        if (channel == 1)
            ((uint16_t *)elements)[i] = wide[i];
        else
            ((uint8_t *)elements)[i] = (uint8_t)wide[i];
    }
}

void model_store(struct model *m, unsigned channel, unsigned place, unsigned tier,
                 unsigned material, unsigned priority, uint64_t seed)
{
    struct lode_brick_opts opts = {.size = sizeof(opts),
                                   .material = (uint16_t)material,
                                   .tier = (uint8_t)tier,
                                   .priority = (uint8_t)priority};
    struct model_brick *brick = &m->bricks[channel][place];
    struct lode_ivec3 at = model_at(m, place);
    float values[MODEL_VOXELS];
    uint16_t elements[MODEL_VOXELS], wide[MODEL_VOXELS];
    lode_handle got = 77;
    int status = make_status(m, place);
    if (status == -ENOSPC && brick->handle != 0)
        status = 0;
    if (status != -ERANGE && (tier > LODE_TIER_COUNT || priority > LODE_PRIORITY_CRITICAL))
        status = -EINVAL;
    values_make(m, seed, values);
    elements_make(m, channel, seed, elements, wide);
    MODEL_EXPECT(channel == 0 ? lode_sdf_store(m->sdf, 0, at, values, &opts, &got)
                              : lode_sdf_raw_store(m->sdf, channel, at, elements, &opts, &got),
                 status);
    MODEL_EXPECT(got != 77, status == 0);
    if (status != 0)
        return;
    if (brick->handle != 0)
        MODEL_EXPECT(got == brick->handle, 1);
    *brick = (struct model_brick){.handle = got,
                                  .priority = priority,
                                  .band = channel == 0 ? m->bands[material] : FIELD_BAND};
    brick->tier = channel != 0 ? 0 : tier != 0 ? tier - 1 : tier_of(m, values);
    put_values(m, brick, values);
    memcpy(brick->elements, wide, sizeof(wide));
}

void model_copy_packed(struct model *m, unsigned from, unsigned place, unsigned tier)
{
    const struct model_brick *other = &m->bricks[0][from];
    struct model_brick *brick = &m->bricks[0][place];
    struct lode_brick_opts opts = {.size = sizeof(opts), .tier = (uint8_t)tier};
    lode_handle got = 77;
    if (other->handle == 0 || !other->defined || other->band != m->bands[0] ||
        (tier != 0 && tier != 1 + other->tier))
        return;
    int status = make_status(m, place);
    if (status == -ENOSPC && brick->handle != 0)
        status = 0;
    if (status != -ERANGE && tier == 0)
        status = -EINVAL;
    const void *payload = lode_pin(other->handle);
    MODEL_EXPECT(lode_sdf_store_packed(m->sdf, 0, model_at(m, place), payload, &opts, &got),
                 status);
    MODEL_EXPECT(lode_unpin(other->handle), 0);
    MODEL_EXPECT(got != 77, status == 0);
    if (status != 0)
        return;
    struct model_brick copy = *other;
    copy.handle = got;
    copy.priority = 0;
    *brick = copy;
}

void model_encode(struct model *m, unsigned place, uint64_t seed)
{
    struct model_brick *brick = &m->bricks[0][place];
    float values[MODEL_VOXELS];
    values_make(m, seed, values);
    MODEL_EXPECT(lode_sdf_encode(m->sdf, brick->handle, values), brick->handle != 0 ? 0 : -EINVAL);
    if (brick->handle != 0)
        put_values(m, brick, values);
}

struct change {
    uint64_t seed;
    uint32_t voxels;
    int status;
};

static int change(void *ctx, float *values)
{
    struct change *c = ctx;
    uint64_t state = c->seed;
    float by = model_float(&state, -2, 2);
    for (uint32_t i = (uint32_t)(c->seed % 7); i < c->voxels; i += 1 + (uint32_t)(c->seed % 5))
        values[i] += by;
    return c->status;
}

void model_edit(struct model *m, unsigned place, uint64_t seed)
{
    struct model_brick *brick = &m->bricks[0][place];
    static const int statuses[] = {0, 0, 0, 0, 0, 1, -EAGAIN, -EIO};
    struct change c = {seed, m->voxels, statuses[seed / 64 % 8]};
    if (brick->handle != 0 && !brick->defined)
        return;
    MODEL_EXPECT(lode_sdf_edit(m->sdf, brick->handle, change, &c),
                 brick->handle != 0 ? c.status : -EINVAL);
    if (brick->handle == 0 || c.status != 0)
        return;
    float values[MODEL_VOXELS];
    memcpy(values, brick->values, sizeof(values));
    (void)change(&c, values);
    put_values(m, brick, values);
}

void model_retier(struct model *m, unsigned channel, unsigned place, unsigned tier)
{
    struct model_brick *brick = &m->bricks[channel][place];
    int bad = brick->handle == 0 || channel != 0 || tier >= LODE_TIER_COUNT;
    if (brick->handle != 0 && !brick->defined)
        return;
    MODEL_EXPECT(lode_sdf_retier(m->sdf, brick->handle, (enum lode_tier)tier), bad ? -EINVAL : 0);
    if (bad || tier == brick->tier)
        return;
    m->retiered[tier]++;
    float half_quantum = brick->band / (float)(1u << (16u >> tier));
    float before[MODEL_VOXELS];
    memcpy(before, brick->values, sizeof(before));
    brick->tier = tier;
    put_values(m, brick, before);
    for (uint32_t i = 0; i < m->voxels; i++) {
        MODEL_EXPECT(__builtin_fabsf(brick->values[i] - before[i]) <= half_quantum * 1.001f, 1);
        MODEL_EXPECT((brick->values[i] < 0) == (before[i] < 0), 1);
    }
}

void model_prioritise(struct model *m, unsigned channel, unsigned place, unsigned priority)
{
    struct model_brick *brick = &m->bricks[channel][place];
    int bad = brick->handle == 0 || priority > LODE_PRIORITY_CRITICAL;
    MODEL_EXPECT(lode_sdf_priority_set(m->sdf, brick->handle, (enum lode_brick_priority)priority),
                 bad ? -EINVAL : 0);
    if (!bad)
        brick->priority = priority;
}

void model_band(struct model *m, unsigned material, float width)
{
    int bad = !(width >= 0x1p-64f && width <= 0x1p64f);
    MODEL_EXPECT(lode_sdf_band_set(m->sdf, (uint16_t)material, width), bad ? -EINVAL : 0);
    if (!bad)
        m->bands[material] = width;
    MODEL_EXPECT(lode_sdf_band(m->sdf, (uint16_t)material) == m->bands[material], 1);
}

/* ---- what goes ---- */

void model_free(struct model *m, unsigned channel, unsigned place)
{
    struct model_brick *brick = &m->bricks[channel][place];
    MODEL_EXPECT(lode_sdf_brick_free(m->sdf, brick->handle), brick->handle != 0 ? 0 : -EINVAL);
    if (brick->handle == 0)
        return;
    MODEL_EXPECT(lode_sdf_brick_free(m->sdf, brick->handle), -ESTALE);
    forget(m, brick);
}

void model_free_many(struct model *m, unsigned channel, unsigned place, unsigned count)
{
    lode_handle bricks[MODEL_BRICKS] = {0};
    int status = 0;
    unsigned n = 0;
    for (unsigned p = place; p < MODEL_BRICKS && n < count; p++) {
        bricks[n++] = m->bricks[channel][p].handle;
        if (m->bricks[channel][p].handle == 0 && status == 0)
            status = -EINVAL;
    }
    MODEL_EXPECT(lode_sdf_bricks_free(m->sdf, bricks, n), status);
    for (unsigned p = place; p < place + n; p++)
        if (m->bricks[channel][p].handle != 0)
            forget(m, &m->bricks[channel][p]);
}

void model_window(struct model *m, const struct lode_brick_box *window)
{
    struct lode_sdf_window_stats stats = {77, 0, 77};
    int status = model_box_status(window);
    MODEL_EXPECT(lode_sdf_window_move(m->sdf, window, &stats), status);
    if (status != 0) {
        MODEL_EXPECT(stats.freed_bricks, 77);
        return;
    }
    uint32_t bricks = 0;
    uint64_t bytes = 0;
    m->window = *window;
    m->has_window = 1;
    for (unsigned c = 0; c < MODEL_CHANNELS; c++)
        for (unsigned p = 0; p < MODEL_BRICKS; p++) {
            struct model_brick *brick = &m->bricks[c][p];
            if (brick->handle == 0 || model_in_window(m, model_at(m, p)))
                continue;
            bricks++;
            bytes += lode_sdf_brick_bytes(m->sdf, c, (enum lode_tier)brick->tier);
            forget(m, brick);
        }
    MODEL_EXPECT(stats.freed_bricks, bricks);
    MODEL_EXPECT((long)stats.freed_bytes, (long)bytes);
}

void model_trim(struct model *m)
{
    struct lode_sdf_stats before = {.size = sizeof(before)}, after = before;
    MODEL_EXPECT(lode_sdf_stats(m->sdf, &before), 0);
    size_t given = lode_sdf_trim(m->sdf);
    MODEL_EXPECT(lode_sdf_stats(m->sdf, &after), 0);
    MODEL_EXPECT((long)(before.groups - after.groups), (long)given);
    MODEL_EXPECT((long)after.groups, (long)model_groups(m));
}

struct evicting {
    struct model *m;
    uint64_t last, bytes;
};

static void evicted(void *ctx, unsigned channel, struct lode_ivec3 at)
{
    struct evicting *e = ctx;
    unsigned place = model_place(e->m, at);
    MODEL_EXPECT(channel < MODEL_CHANNELS && place < MODEL_BRICKS, 1);
    struct model_brick *brick = &e->m->bricks[channel][place];
    MODEL_EXPECT(brick->handle != 0, 1);
    uint64_t order = model_evict_order(e->m, brick, at);
    MODEL_EXPECT(order >= e->last, 1);
    e->last = order;
    e->bytes += lode_sdf_brick_bytes(e->m->sdf, channel, (enum lode_tier)brick->tier);
    forget(e->m, brick);
}

static size_t ready_bytes(struct model *m)
{
    struct lode_sdf_stats stats = {.size = sizeof(stats)};
    size_t bytes = 0;
    MODEL_EXPECT(lode_sdf_stats(m->sdf, &stats), 0);
    for (unsigned t = 0; t < LODE_TIER_COUNT; t++)
        bytes += stats.tiers[t].ready_blocks * lode_sdf_brick_bytes(m->sdf, 0, (enum lode_tier)t);
    return bytes;
}

void model_hint(struct model *m, unsigned place, uint64_t seed)
{
    struct lode_ivec3 at = model_at(m, place);
    struct lode_tool_hint hint = {.size = sizeof(hint),
                                  .tool = (uint8_t)(seed % 4),
                                  .channels = (uint32_t)(seed / 4 % 16),
                                  .radius = model_float(&seed, 0, 30),
                                  .ahead = model_float(&seed, 0, 100)};
    const int32_t brick[3] = {at.x, at.y, at.z};
    int bad = hint.tool > LODE_TOOL_PRECISION || hint.channels > 7;
    for (unsigned axis = 0; axis < 3; axis++) {
        hint.position[axis] = (float)(brick[axis] * (int32_t)m->dim) + 1.5f;
        hint.direction[axis] = model_float(&seed, -1, 1);
    }
    MODEL_EXPECT(lode_sdf_hint(m->sdf, &hint), bad ? -EINVAL
                                               : place < MODEL_BRICKS || model_in_range(at)
                                                   ? 0
                                                   : -ERANGE);
}

void model_evict(struct model *m, size_t bytes)
{
    struct evicting e = {.m = m};
    size_t ready = ready_bytes(m);
    size_t freed = lode_sdf_evict(m->sdf, bytes, evicted, &e);
    MODEL_EXPECT((long)freed, (long)(e.bytes + ready - ready_bytes(m)));
    MODEL_EXPECT(e.bytes == 0 || ready_bytes(m) == 0, 1);
    MODEL_EXPECT(freed >= bytes || live_count(m) == 0, 1);
    for (unsigned c = 0; c < MODEL_CHANNELS; c++)
        for (unsigned p = 0; p < MODEL_BRICKS; p++)
            if (m->bricks[c][p].handle != 0)
                MODEL_EXPECT(model_evict_order(m, &m->bricks[c][p], model_at(m, p)) >= e.last, 1);
}
