/* SPDX-License-Identifier: MIT */
/*
 * Which bricks there may be: the sliding window, eviction, and giving back what the index keeps
 * for bricks that are gone.
 *
 * A move of the window visits what the old box has beyond the new one, cut into at most six boxes
 * that do not overlap; box by box through the index (grid.c), so its cost is that of what leaves.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ext/grace.h"
#include "ext/sdfpool.h"

/* ---- the window ---- */

#define SWEPT 64 /* blocks that are freed together */

struct sweep {
    struct lode_sdf *sdf;
    struct lodei_channel *channel;
    struct lode_brick_box keep; /* bricks in it stay */
    struct lode_sdf_window_stats stats;
    unsigned count;
    void *blocks[SWEPT];
};

static void sweep_flush(struct sweep *sweep)
{
    lodei_grace_free_all(sweep->blocks, sweep->count);
    sweep->count = 0;
}

static int inside(const struct lode_brick_box *box, const int32_t at[3])
{
    return at[0] >= box->lo.x && at[0] <= box->hi.x && at[1] >= box->lo.y && at[1] <= box->hi.y &&
           at[2] >= box->lo.z && at[2] <= box->hi.z;
}

static int sweep_group(void *ctx, uint64_t key, uint32_t first)
{
    struct sweep *sweep = ctx;
    unsigned left = 0;
    if (sweep->count > SWEPT - 8)
        sweep_flush(sweep);
    for (unsigned lane = 0; lane < 8; lane++) {
        uint64_t word = lodei_slot_word(first + lane);
        int32_t at[3];
        if ((word & LODE_HANDLE_LIVE) == 0) {
            left += lodei_word_state(word) != LODEI_SLOT_FREE &&
                    lodei_word_state(word) != LODEI_SLOT_DEAD;
            continue;
        }
        lodei_grid_at(key, lane, at);
        lode_handle brick = inside(&sweep->keep, at) ? 0 : lodei_slot_handle(first + lane);
        unsigned tier = lodei_kind_tier(lodei_word_kind(word));
        void *block;
        if (brick == 0 || lodei_sdf_withdraw(sweep->sdf, brick, &block) != 0) {
            left++;
            continue;
        }
        if (block != NULL)
            sweep->blocks[sweep->count++] = block;
        sweep->stats.freed_bricks++;
        sweep->stats.freed_bytes += tier < LODE_TIER_COUNT
                                        ? sweep->sdf->block_bytes[tier]
                                        : lodei_sdf_raw_bytes(sweep->sdf, sweep->channel);
    }
    if (left == 0)
        lodei_grid_reclaim(&sweep->channel->grid, key);
    return 0;
}

/* Visit what `old` has outside of sweep->keep. */
static void sweep_difference(struct sweep *sweep, const struct lode_brick_box *old)
{
    int32_t lo[3] = {old->lo.x, old->lo.y, old->lo.z}, hi[3] = {old->hi.x, old->hi.y, old->hi.z};
    const int32_t keep_lo[3] = {sweep->keep.lo.x, sweep->keep.lo.y, sweep->keep.lo.z};
    const int32_t keep_hi[3] = {sweep->keep.hi.x, sweep->keep.hi.y, sweep->keep.hi.z};
    struct lodei_grid *grid = &sweep->channel->grid;
    for (unsigned axis = 0; axis < 3; axis++) {
        if (keep_lo[axis] > lo[axis]) {
            int32_t end[3] = {hi[0], hi[1], hi[2]};
            if (keep_lo[axis] <= hi[axis])
                end[axis] = keep_lo[axis] - 1;
            (void)lodei_grid_each(grid, lo, end, sweep_group, sweep);
            if (keep_lo[axis] > hi[axis])
                return;
            lo[axis] = keep_lo[axis];
        }
        if (keep_hi[axis] < hi[axis]) {
            int32_t start[3] = {lo[0], lo[1], lo[2]};
            if (keep_hi[axis] >= lo[axis])
                start[axis] = keep_hi[axis] + 1;
            (void)lodei_grid_each(grid, start, hi, sweep_group, sweep);
            if (keep_hi[axis] < lo[axis])
                return;
            hi[axis] = keep_hi[axis];
        }
    }
}

static int box_check(const int32_t lo[3], const int32_t hi[3])
{
    for (unsigned axis = 0; axis < 3; axis++)
        if (lo[axis] > hi[axis])
            return -EINVAL;
    return lodei_grid_holds(lo[0], lo[1], lo[2]) && lodei_grid_holds(hi[0], hi[1], hi[2]) ? 0
                                                                                          : -ERANGE;
}

int lode_sdf_window_move(struct lode_sdf *sdf, const struct lode_brick_box *window,
                         struct lode_sdf_window_stats *ret_stats)
{
    static const struct lode_brick_box everything = {
        {LODEI_GRID_MIN, LODEI_GRID_MIN, LODEI_GRID_MIN},
        {LODEI_GRID_MAX, LODEI_GRID_MAX, LODEI_GRID_MAX}};
    struct sweep sweep;
    const int32_t lo[3] = {window->lo.x, window->lo.y, window->lo.z};
    const int32_t hi[3] = {window->hi.x, window->hi.y, window->hi.z};
    int status = box_check(lo, hi);
    if (status != 0)
        return status;
    sweep.sdf = sdf;
    sweep.keep = *window;
    sweep.stats = (struct lode_sdf_window_stats){0};
    sweep.count = 0;
    pthread_mutex_lock(&sdf->window_lock);
    struct lode_brick_box old = sdf->has_window ? sdf->window : everything;
    sdf->window = sweep.keep;
    sdf->has_window = 1;
    for (unsigned axis = 0; axis < 3; axis++)
        /* seq_cst: before the sweep looks at slots; see lodei_sdf_confirm() */
        atomic_store(&sdf->limits[axis], (uint64_t)(uint32_t)lo[axis] << 32 | (uint32_t)hi[axis]);
    for (unsigned c = 0; c < sdf->channel_count; c++) {
        sweep.channel = &sdf->channels[c];
        sweep_difference(&sweep, &old);
    }
    sweep_flush(&sweep);
    pthread_mutex_unlock(&sdf->window_lock);
    if (ret_stats != NULL)
        *ret_stats = sweep.stats;
    return 0;
}

/* ---- giving back empty groups ---- */

struct trim {
    struct lodei_grid *grid;
    size_t groups;
};

static int trim_group(void *ctx, uint64_t key, uint32_t first)
{
    struct trim *trim = ctx;
    for (unsigned lane = 0; lane < 8; lane++) {
        enum lodei_slot_state state = lodei_word_state(lodei_slot_word(first + lane));
        if (state != LODEI_SLOT_FREE && state != LODEI_SLOT_DEAD)
            return 0;
    }
    trim->groups += (size_t)lodei_grid_reclaim(trim->grid, key);
    return 0;
}

size_t lode_sdf_trim(struct lode_sdf *sdf)
{
    struct trim trim = {0};
    for (unsigned c = 0; c < sdf->channel_count; c++) {
        trim.grid = &sdf->channels[c].grid;
        (void)lodei_grid_each(trim.grid, NULL, NULL, trim_group, &trim);
    }
    lodei_grace_settle();
    return trim.groups;
}

/* ---- eviction ---- */

struct victim {
    lode_handle brick;
    uint64_t order; /* the lowest goes first: rank of its priority above, nearness below */
    uint32_t bytes;
    uint32_t channel;
};

struct victims {
    struct lode_sdf *sdf;
    struct lode_ivec3 centre;
    uint32_t channel;
    struct victim *list;
    size_t count, capacity;
};

static uint64_t order_of(unsigned priority, const int32_t at[3], struct lode_ivec3 centre)
{
    static const uint8_t rank[] = {[LODE_PRIORITY_CACHED] = 0,
                                   [LODE_PRIORITY_NORMAL] = 1,
                                   [LODE_PRIORITY_IMPORTANT] = 2,
                                   [LODE_PRIORITY_CRITICAL] = 3};
    int64_t dx = (int64_t)at[0] - centre.x, dy = (int64_t)at[1] - centre.y,
            dz = (int64_t)at[2] - centre.z;
    uint64_t distance2 = (uint64_t)(dx * dx + dy * dy + dz * dz); /* < 2^45 */
    return (uint64_t)rank[priority] << 60 | (((uint64_t)1 << 59) - distance2);
}

static int collect_group(void *ctx, uint64_t key, uint32_t first)
{
    struct victims *v = ctx;
    for (unsigned lane = 0; lane < 8; lane++) {
        uint64_t word = lodei_slot_word(first + lane);
        lode_handle brick = (word & LODE_HANDLE_LIVE) != 0 ? lodei_slot_handle(first + lane) : 0;
        int32_t at[3];
        if (brick == 0)
            continue;
        if (v->count == v->capacity) {
            size_t capacity = v->capacity != 0 ? v->capacity * 2 : 1024;
            struct victim *grown = lode_realloc(v->list, capacity * sizeof(*grown));
            if (grown == NULL)
                return -ENOMEM;
            v->list = grown;
            v->capacity = capacity;
        }
        unsigned kind = lodei_word_kind(word), tier = lodei_kind_tier(kind);
        lodei_grid_at(key, lane, at);
        v->list[v->count++] = (struct victim){
            .brick = brick,
            .order = order_of(lodei_kind_priority(kind), at, v->centre),
            .bytes = (uint32_t)lode_sdf_brick_bytes(v->sdf, v->channel, (enum lode_tier)tier),
            .channel = v->channel};
    }
    return 0;
}

static int by_order(const void *a, const void *b)
{
    const struct victim *x = a, *y = b;
    return (x->order > y->order) - (x->order < y->order);
}

size_t lode_sdf_evict(struct lode_sdf *sdf, size_t bytes, lode_sdf_evicted evicted, void *ctx)
{
    struct victims v = {.sdf = sdf};
    size_t freed = 0;
    int status = 0;
    pthread_mutex_lock(&sdf->window_lock);
    if (sdf->has_window)
        v.centre = (struct lode_ivec3){(sdf->window.lo.x + sdf->window.hi.x) / 2,
                                       (sdf->window.lo.y + sdf->window.hi.y) / 2,
                                       (sdf->window.lo.z + sdf->window.hi.z) / 2};
    pthread_mutex_unlock(&sdf->window_lock);
    for (v.channel = 0; v.channel < sdf->channel_count && status == 0; v.channel++)
        status = lodei_grid_each(&sdf->channels[v.channel].grid, NULL, NULL, collect_group, &v);
    if (status == 0 && v.count != 0)
        qsort(v.list, v.count, sizeof(*v.list), by_order);
    for (size_t i = 0; i < v.count && freed < bytes && status == 0; i++) {
        int32_t at[3];
        lodei_grid_coordinate(v.list[i].brick, at);
        if (lodei_sdf_release(sdf, v.list[i].brick) != 0)
            continue;
        freed += v.list[i].bytes;
        if (evicted != NULL)
            evicted(ctx, v.list[i].channel, (struct lode_ivec3){at[0], at[1], at[2]});
    }
    lode_free(v.list);
    return freed;
}
