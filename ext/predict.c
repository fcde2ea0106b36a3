/* SPDX-License-Identifier: MIT */
/*
 * Hints by tool: which bricks a tool will reach, and what is done ahead for each.
 *
 *     drill      (====================)     a capsule from the position on
 *     explosive        (  o  )              a sphere
 *     precision        [  o  ]              a box
 *
 * Bricks are made where the surface of what the tool takes away comes to run: near the shape's own
 * surface, on the inside and the outside; those that are there are edited all through the shape. Of
 * the bricks of either sort the nearest are kept (lowest.h) and dealt with in order. How near to
 * the new surface a brick is says of which tier it will be.
 *
 * Takes no lock itself; the grid's to make groups. Calls nobody's code.
 */
#include <errno.h>
#include <string.h>

#include "ext/lowest.h"
#include "ext/opts.h"
#include "ext/sdfpool.h"

#define RADIUS_BRICKS  8.0f
#define BAND_BRICKS    8.0f /* a band may be as wide as the world */
#define AHEAD_BRICKS   32.0f
#define PREFETCH_BYTES 65536u /* a hint; much more would drive out what was fetched first */
#define STEPS_AHEAD    32u
#define SQRT_3         1.7320508f

_Static_assert(sizeof(struct lode_tool_hint) == 44, "no hidden padding");
_Static_assert(sizeof(struct lode_predict_stats) == 88, "no hidden padding");

/* ---- shapes ---- */

struct shape {
    unsigned tool;
    float from[3], way[3]; /* way: of a drill, with its length */
    float way2, radius;    /* |way|^2 */
    float dim, band;
};

/* libm is not linked for these. */
static float larger(float a, float b)
{
    return a > b ? a : b;
}

static float smaller(float a, float b)
{
    return a < b ? a : b;
}

static int32_t floor_of(float v)
{
    int32_t whole = (int32_t)v;
    return whole - ((float)whole > v);
}

static float dot(const float a[3], const float b[3])
{
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

/* Of a brick's centre. */
struct apart {
    float distance; /* to the surface of the shape, negative inside */
    float extent;   /* how far the brick goes that way, and the other way, from its centre */
};

/* The extent is the support function of a cube, so exact where the surface is flat. */
static struct apart apart_from(const struct shape *s, const float p[3])
{
    float d[3] = {p[0] - s->from[0], p[1] - s->from[1], p[2] - s->from[2]};
    if (s->tool == LODE_TOOL_PRECISION) {
        float most =
            larger(__builtin_fabsf(d[0]), larger(__builtin_fabsf(d[1]), __builtin_fabsf(d[2])));
        return (struct apart){most - s->radius, s->dim / 2};
    }
    if (s->way2 > 0) {
        float t = smaller(larger(dot(d, s->way) / s->way2, 0), 1);
        for (unsigned axis = 0; axis < 3; axis++)
            d[axis] -= t * s->way[axis];
    }
    float length = __builtin_sqrtf(dot(d, d));
    float sum = __builtin_fabsf(d[0]) + __builtin_fabsf(d[1]) + __builtin_fabsf(d[2]);
    return (struct apart){length - s->radius, s->dim / 2 * (length > 0 ? sum / length : SQRT_3)};
}

static int all_finite(const float v[3])
{
    return __builtin_isfinite(v[0]) && __builtin_isfinite(v[1]) && __builtin_isfinite(v[2]);
}

static int in_world(const struct lode_sdf *sdf, const float p[3])
{
    float end = (float)(LODEI_GRID_MAX + 1) * (float)(int)sdf->dim;
    for (unsigned axis = 0; axis < 3; axis++)
        if (p[axis] < -end || p[axis] >= end)
            return 0;
    return 1;
}

/* 0; -EINVAL; -ERANGE. */
static int shape_of(const struct lode_sdf *sdf, const struct lode_tool_hint *hint,
                    struct shape *ret)
{
    const float dim = (float)(int)sdf->dim;
    struct shape s = {
        .tool = hint->tool, .dim = dim, .band = smaller(lodei_band(sdf, 0), BAND_BRICKS * dim)};
    if (hint->tool > LODE_TOOL_PRECISION || hint->reserved[0] != 0 || hint->reserved[1] != 0 ||
        hint->reserved[2] != 0 || hint->channels >> sdf->channel_count != 0 ||
        !all_finite(hint->position) || !(hint->radius >= 0))
        return -EINVAL;
    s.radius = smaller(hint->radius, RADIUS_BRICKS * dim);
    memcpy(s.from, hint->position, sizeof(s.from));
    if (hint->tool == LODE_TOOL_DRILL) {
        if (!all_finite(hint->direction) || !(hint->ahead >= 0))
            return -EINVAL;
        /* by the largest first: no square of it overflows, or vanishes */
        float largest = larger(
            __builtin_fabsf(hint->direction[0]),
            larger(__builtin_fabsf(hint->direction[1]), __builtin_fabsf(hint->direction[2])));
        if (largest == 0)
            return -EINVAL;
        for (unsigned axis = 0; axis < 3; axis++)
            s.way[axis] = hint->direction[axis] / largest;
        float scale = smaller(hint->ahead, AHEAD_BRICKS * dim) / __builtin_sqrtf(dot(s.way, s.way));
        for (unsigned axis = 0; axis < 3; axis++)
            s.way[axis] *= scale;
        s.way2 = dot(s.way, s.way);
    }
    if (!in_world(sdf, s.from))
        return -ERANGE;
    *ret = s;
    return 0;
}

/* ---- which bricks ---- */

static struct lode_ivec3 place_unpack(uint64_t place)
{
    int32_t at[3];
    for (unsigned axis = 0; axis < 3; axis++)
        at[axis] = (int32_t)(place >> 21 * axis & 0x1fffff) + LODEI_GRID_MIN;
    return (struct lode_ivec3){at[0], at[1], at[2]};
}

/* The bricks that the shape may touch, as far as the window goes. */
static void bounds_of(const struct lode_sdf *sdf, const struct shape *s, int32_t lo[3],
                      int32_t hi[3])
{
    for (unsigned axis = 0; axis < 3; axis++) {
        float margin = s->radius + s->band + s->dim / 2 * SQRT_3, a = s->from[axis],
              b = a + s->way[axis];
        uint64_t limit = atomic_load_explicit(&sdf->limits[axis], memory_order_relaxed);
        int32_t first = (int32_t)(limit >> 32), last = first + (int32_t)(uint32_t)limit;
        /* within a few worlds of the origin, and so within an int32_t */
        int32_t low = floor_of((smaller(a, b) - margin) / s->dim);
        int32_t high = floor_of((larger(a, b) + margin) / s->dim);
        lo[axis] = low > first ? low : first;
        hi[axis] = high < last ? high : last;
    }
}

enum { EDITED, MADE }; /* a brick is looked for, and if there is none: it may be made */

static void brick_rank(const struct lode_sdf *sdf, const struct shape *s, const int32_t at[3],
                       struct lodei_lowest *nearest)
{
    float centre[3], from[3];
    for (unsigned axis = 0; axis < 3; axis++) {
        centre[axis] = ((float)at[axis] + 0.5f) * s->dim;
        from[axis] = centre[axis] - s->from[axis];
    }
    struct apart apart = apart_from(s, centre);
    if (apart.distance - apart.extent > s->band)
        return;
    float least = larger(__builtin_fabsf(apart.distance) - apart.extent, 0);
    /* The middle of an explosion is air in a moment: what is nearest to its surface comes first. */
    float order = s->tool == LODE_TOOL_EXPLOSIVE ? least : dot(from, from);
    uint32_t bits;
    memcpy(&bits, &order, sizeof(bits)); /* of floats not below 0 they rise as these do */
    lodei_lowest_offer(
        nearest,
        (struct lodei_ranked){.order = bits,
                              .item = lodei_sdf_place((struct lode_ivec3){at[0], at[1], at[2]}),
                              .amount = (uint32_t)lode_sdf_tier_at(sdf, least),
                              .group = least <= s->band ? MADE : EDITED});
}

static void bricks_rank(const struct lode_sdf *sdf, const struct shape *s,
                        struct lodei_lowest *nearest)
{
    int32_t lo[3], hi[3], at[3];
    bounds_of(sdf, s, lo, hi);
    for (at[2] = lo[2]; at[2] <= hi[2]; at[2]++)
        for (at[1] = lo[1]; at[1] <= hi[1]; at[1]++)
            for (at[0] = lo[0]; at[0] <= hi[0]; at[0]++)
                brick_rank(sdf, s, at, nearest);
    lodei_lowest_sort(nearest);
}

/* ---- what is done for them ---- */

/* What a hint has found, and is about to want. */
struct ahead {
    struct lode_sdf *sdf;
    struct lodei_ready *ready;
    uint32_t made[LODE_TIER_COUNT]; /* blocks */
    /* A drill reaches a brick with the edge of the band first: it is made in that tier, and goes to
     * its own when the drill is there. */
    unsigned edge_tier;
    int comes_nearer;
    uint64_t fetched_bytes;
};

static void fetch(struct ahead *ahead, const struct lodei_channel *channel, uint64_t word)
{
    unsigned tier = lodei_kind_tier(lodei_word_kind(word));
    size_t bytes = tier == LODEI_TIER_RAW ? lodei_sdf_raw_bytes(ahead->sdf, channel)
                                          : ahead->sdf->block_bytes[tier];
    const char *block = lodei_word_block(word);
    /* It may be freed by now: a prefetch of any address is harmless. */
    for (size_t o = 0; o < bytes && ahead->fetched_bytes < PREFETCH_BYTES; o += 64) {
        __builtin_prefetch(block + o);
        ahead->fetched_bytes += 64;
    }
}

static int prepare(struct ahead *ahead, struct lodei_channel *channel,
                   const struct lodei_ranked *brick)
{
    struct lode_ivec3 at = place_unpack(brick->item);
    lode_handle there = lodei_grid_brick(&channel->grid, at.x, at.y, at.z);
    uint64_t word = there != 0 ? lodei_handle_word(there) : 0;
    uint32_t first;
    if (word != 0) {
        fetch(ahead, channel, word);
        return 0;
    }
    if (brick->group != MADE)
        return 0;
    lodei_ready_foretell(ahead->ready, brick->item);
    if (channel->format == LODE_CHANNEL_SDF) {
        ahead->made[brick->amount]++;
        if (ahead->edge_tier != brick->amount && ahead->comes_nearer)
            ahead->made[ahead->edge_tier]++;
    }
    return lodei_grid_get(&channel->grid, lodei_grid_key(at.x, at.y, at.z), &first);
}

/* Have so many blocks of a tier ready, their pages touched. */
static int stock(struct ahead *ahead, unsigned tier)
{
    struct lodei_ready *ready = ahead->ready;
    uint32_t wanted = ahead->made[tier] < ready->limit ? ahead->made[tier] : ready->limit;
    while (lodei_ready_count(ready, tier) < wanted) {
        uint32_t bytes = ahead->sdf->block_bytes[tier];
        char *block = lode_heap_alloc(ahead->sdf->heaps[tier], bytes);
        if (block == NULL)
            return -ENOMEM;
        for (uint32_t o = 0; o < bytes; o += 4096) /* no page is smaller */
            *(volatile char *)(block + o) = 0;
        if (!lodei_sdf_block_keep(ahead->sdf, ready, tier, block)) {
            lode_free(block); /* others' hints were faster */
            return 0;
        }
    }
    return 0;
}

static int prepare_all(struct ahead *ahead, const struct lodei_lowest *nearest, uint32_t channels)
{
    int status = 0;
    for (size_t i = 0; i < nearest->count && status == 0; i++)
        for (unsigned c = 0; c < ahead->sdf->channel_count && status == 0; c++)
            if ((channels >> c & 1) != 0)
                status = prepare(ahead, &ahead->sdf->channels[c], &nearest->entries[i]);
    for (unsigned t = 0; t < LODE_TIER_COUNT && status == 0; t++)
        status = stock(ahead, t);
    atomic_fetch_add_explicit(&ahead->ready->prefetched_bytes, ahead->fetched_bytes,
                              memory_order_relaxed);
    return status;
}

int lode_sdf_hint(struct lode_sdf *sdf, const struct lode_tool_hint *hint)
{
    struct lodei_ranked entries[LODE_HINT_BRICKS];
    struct lodei_lowest nearest = {.entries = entries, .capacity = LODE_HINT_BRICKS};
    struct lode_tool_hint h;
    struct shape shape;
    int status = lodei_opts_take(hint, &h, sizeof(h));
    if (status != 0 || (status = shape_of(sdf, &h, &shape)) != 0)
        return status;
    struct ahead ahead = {.sdf = sdf,
                          .ready = lodei_sdf_ready(sdf),
                          .edge_tier = (unsigned)lode_sdf_tier_at(sdf, shape.band),
                          .comes_nearer = h.tool == LODE_TOOL_DRILL};
    if (ahead.ready == NULL)
        return -ENOMEM;
    atomic_fetch_add_explicit(&ahead.ready->hints, 1, memory_order_relaxed);
    bricks_rank(sdf, &shape, &nearest);
    return prepare_all(&ahead, &nearest, h.channels != 0 ? h.channels : 1);
}

/* ---- prediction ---- */

#define BETA        0.5f
#define ERROR_SHARE 0.25f /* of the newest in the error's mean */
#define JUMP        8.0f  /* steps, or radii, at once: another place, another way */

/* Take a position in; the velocity is what it was expected to be by, and corrected by. */
static void track(struct lode_predictor *p, const float position[3], float radius)
{
    float step[3], off[3];
    for (unsigned axis = 0; axis < 3; axis++) {
        step[axis] = position[axis] - p->position[axis];
        off[axis] = step[axis] - p->velocity[axis];
    }
    float speed = __builtin_sqrtf(dot(p->velocity, p->velocity)),
          length = __builtin_sqrtf(dot(step, step));
    if (p->observations > 0 && length > JUMP * larger(speed, larger(radius, 1)))
        p->observations = 0;
    if (p->observations <= 1) {
        float known = p->observations == 1 ? 1.0f : 0.0f; /* one step is known, or none */
        for (unsigned axis = 0; axis < 3; axis++)
            p->velocity[axis] = known != 0 ? step[axis] : 0;
        p->error = 0;
    } else {
        for (unsigned axis = 0; axis < 3; axis++)
            p->velocity[axis] += BETA * off[axis];
        p->error += ERROR_SHARE * (__builtin_sqrtf(dot(off, off)) - p->error);
    }
    memcpy(p->position, position, sizeof(p->position));
    p->radius = radius;
    p->observations += p->observations != UINT32_MAX;
}

/* The hint that what is known now asks for. */
static struct lode_tool_hint hint_of(const struct lode_predictor *p)
{
    struct lode_tool_hint hint = {.size = sizeof(hint), .channels = p->channels};
    float speed = __builtin_sqrtf(dot(p->velocity, p->velocity));
    uint32_t steps = p->steps_ahead != 0 ? p->steps_ahead : STEPS_AHEAD;
    memcpy(hint.position, p->position, sizeof(hint.position));
    if (p->observations >= 3 && p->error <= speed / 2 && speed * (float)steps > p->radius) {
        hint.tool = LODE_TOOL_DRILL;
        memcpy(hint.direction, p->velocity, sizeof(hint.direction));
        hint.ahead = speed * (float)steps;
        hint.radius = p->radius;
    } else {
        hint.tool = LODE_TOOL_PRECISION;
        hint.radius = p->radius + 2 * speed;
    }
    return hint;
}

/* Does the last hint reach to where the tool is to be in half the time it looks ahead? */
static int still_good(const struct lode_sdf *sdf, const struct lode_predictor *p,
                      const struct lode_tool_hint *next)
{
    struct shape shape;
    float there[3];
    if (p->given.size == 0 || shape_of(sdf, &p->given, &shape) != 0)
        return 0;
    float half = next->tool == LODE_TOOL_DRILL ? 0.5f * next->ahead : 0;
    float length = __builtin_sqrtf(dot(p->velocity, p->velocity));
    for (unsigned axis = 0; axis < 3; axis++)
        there[axis] = p->position[axis] + (length > 0 ? p->velocity[axis] / length * half : 0);
    return apart_from(&shape, there).distance <= 0 && p->radius <= p->given.radius;
}

int lode_predict_observe(struct lode_predictor *predictor, struct lode_sdf *sdf,
                         const float position[3], float radius)
{
    if (!all_finite(position) || !(radius >= 0) || !__builtin_isfinite(radius))
        return -EINVAL;
    if (!in_world(sdf, position))
        return -ERANGE;
    track(predictor, position, radius);
    struct lode_tool_hint next = hint_of(predictor);
    if (still_good(sdf, predictor, &next))
        return 0;
    int status = lode_sdf_hint(sdf, &next);
    if (status != 0)
        return status;
    predictor->given = next;
    return 1;
}

/* ---- figures ---- */

int lode_sdf_predict_stats(struct lode_sdf *sdf, struct lode_predict_stats *stats)
{
    if (stats->size < 2 * sizeof(uint32_t))
        return -EINVAL;
    struct lodei_ready *r = lodei_sdf_ready(sdf);
    if (r == NULL)
        return -ENOMEM;
    struct lode_predict_stats s = {
        .size = stats->size,
        .hints = atomic_load_explicit(&r->hints, memory_order_relaxed),
        .foretold = atomic_load_explicit(&r->foretold, memory_order_relaxed),
        .made = atomic_load_explicit(&r->made, memory_order_relaxed),
        .made_foretold = atomic_load_explicit(&r->made_foretold, memory_order_relaxed),
        .acquired = atomic_load_explicit(&r->acquired, memory_order_relaxed),
        .acquired_ready = atomic_load_explicit(&r->acquired_ready, memory_order_relaxed),
        .prefetched_bytes = atomic_load_explicit(&r->prefetched_bytes, memory_order_relaxed),
    };
    for (unsigned t = 0; t < LODE_TIER_COUNT; t++)
        s.ready_blocks[t] = lodei_ready_count(r, t);
    memcpy(stats, &s, stats->size < sizeof(s) ? stats->size : sizeof(s));
    return 0;
}
