/* SPDX-License-Identifier: MIT */
/*
 * Which bricks there may be: the sliding window, eviction, and giving back what the index keeps
 * for bricks that are gone.
 *
 * A move of the window visits what the old box has beyond the new one, cut into at most six boxes
 * that do not overlap; box by box through the index (grid.c), so its cost is that of what leaves.
 */
#include <errno.h>

#include "base/bits.h"
#include "ext/grace.h"
#include "ext/lowest.h"
#include "ext/sdfpool.h"

/* ---- the window ---- */

#define SWEPT 64 /* blocks that are freed together */

struct sweep {
    struct lode_sdf *sdf;
    struct lodei_channel *channel;
    struct lode_brick_box box;
    int within; /* 1: bricks in the box go; 0: those in it stay */
    struct lode_sdf_window_stats stats;
    unsigned count;
    void *blocks[SWEPT];
};

static void sweep_init(struct sweep *sweep, struct lode_sdf *sdf, const struct lode_brick_box *box,
                       int within)
{
    sweep->sdf = sdf;
    sweep->box = *box;
    sweep->within = within;
    sweep->stats = (struct lode_sdf_window_stats){0};
    sweep->count = 0;
}

static void sweep_flush(struct sweep *sweep)
{
    lodei_grace_free_all(sweep->blocks, sweep->count);
    sweep->count = 0;
}

/* The lanes of a group that lie in the box. */
static unsigned lanes_inside(const struct lode_brick_box *box, uint64_t key)
{
    const int32_t lo[3] = {box->lo.x, box->lo.y, box->lo.z};
    const int32_t hi[3] = {box->hi.x, box->hi.y, box->hi.z};
    int32_t at[3];
    unsigned lower = 0, upper = 0;
    lodei_grid_at(key, 0, at);
    for (unsigned axis = 0; axis < 3; axis++) {
        lower |= (unsigned)(at[axis] >= lo[axis] && at[axis] <= hi[axis]) << axis;
        upper |= (unsigned)(at[axis] + 1 >= lo[axis] && at[axis] + 1 <= hi[axis]) << axis;
    }
    return lodei_octants(lower, upper);
}

static void sweep_note(struct sweep *sweep, uint64_t word, void *block)
{
    unsigned tier = lodei_kind_tier(lodei_word_kind(word));
    if (block != NULL)
        sweep->blocks[sweep->count++] = block;
    sweep->stats.freed_bricks++;
    sweep->stats.freed_bytes += tier < LODE_TIER_COUNT
                                    ? sweep->sdf->block_bytes[tier]
                                    : lodei_sdf_raw_bytes(sweep->sdf, sweep->channel);
}

/* One brick after the other: of a group that stays, or in which something is pinned. */
static void sweep_lanes(struct sweep *sweep, uint64_t key, uint32_t first, unsigned lanes)
{
    for (; lanes != 0; lanes &= lanes - 1) {
        unsigned lane = (unsigned)__builtin_ctz(lanes);
        uint64_t word = lodei_slot_word(first + lane);
        lode_handle brick = lodei_grid_handle(key, first, lane);
        void *block;
        if (brick != 0 && lodei_sdf_withdraw(sweep->sdf, brick, &block) == 0)
            sweep_note(sweep, word, block);
    }
}

/* A group of which nothing is to stay. Returns the lanes that are left. */
static unsigned sweep_whole(struct sweep *sweep, uint64_t key, uint32_t first, unsigned lanes)
{
    uint64_t words[8];
    int given;
    unsigned freed = lodei_grid_clear(&sweep->channel->grid, key, first, lanes, words, &given);
    for (unsigned left = freed; left != 0; left &= left - 1) {
        unsigned lane = (unsigned)__builtin_ctz(left);
        lodei_sdf_gone(sweep->sdf, first + lane);
        sweep_note(sweep, words[lane], lodei_word_block(words[lane]));
    }
    return given == 0 ? 0 : lanes & ~freed;
}

static int sweep_group(void *ctx, uint64_t key, uint32_t first)
{
    struct sweep *sweep = ctx;
    unsigned live = 0, lanes = lanes_inside(&sweep->box, key);
    if (!sweep->within)
        lanes ^= 255;
    if (sweep->count > SWEPT - 8)
        sweep_flush(sweep);
    for (unsigned lane = 0; lane < 8; lane++)
        live |= (unsigned)((lodei_slot_word(first + lane) & LODE_HANDLE_LIVE) != 0) << lane;
    if ((live & ~lanes) == 0)
        lanes = sweep_whole(sweep, key, first, lanes);
    sweep_lanes(sweep, key, first, lanes & live);
    return 0;
}

/* Visit what `old` has outside of sweep->box. */
static void sweep_difference(struct sweep *sweep, const struct lode_brick_box *old)
{
    int32_t lo[3] = {old->lo.x, old->lo.y, old->lo.z}, hi[3] = {old->hi.x, old->hi.y, old->hi.z};
    const int32_t keep_lo[3] = {sweep->box.lo.x, sweep->box.lo.y, sweep->box.lo.z};
    const int32_t keep_hi[3] = {sweep->box.hi.x, sweep->box.hi.y, sweep->box.hi.z};
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
    sweep_init(&sweep, sdf, window, 0);
    pthread_mutex_lock(&sdf->window_lock);
    struct lode_brick_box old = sdf->has_window ? sdf->window : everything;
    sdf->window = *window;
    sdf->has_window = 1;
    /* seq_cst, all: before the sweep looks at slots; see lodei_sdf_confirm_moved() */
    atomic_fetch_add(&sdf->moves, 1);
    for (unsigned axis = 0; axis < 3; axis++)
        atomic_store(&sdf->limits[axis], lodei_sdf_limit(lo[axis], hi[axis]));
    atomic_fetch_add(&sdf->moves, 1);
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

int lode_sdf_box_free(struct lode_sdf *sdf, const struct lode_brick_box *box,
                      struct lode_sdf_window_stats *ret_stats)
{
    struct sweep sweep;
    const int32_t lo[3] = {box->lo.x, box->lo.y, box->lo.z};
    const int32_t hi[3] = {box->hi.x, box->hi.y, box->hi.z};
    int status = box_check(lo, hi);
    if (status != 0)
        return status;
    sweep_init(&sweep, sdf, box, 1);
    for (unsigned c = 0; c < sdf->channel_count; c++) {
        sweep.channel = &sdf->channels[c];
        (void)lodei_grid_each(&sweep.channel->grid, lo, hi, sweep_group, &sweep);
    }
    sweep_flush(&sweep);
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
    (void)lodei_sdf_unready(sdf, SIZE_MAX);
    for (unsigned c = 0; c < sdf->channel_count; c++) {
        trim.grid = &sdf->channels[c].grid;
        (void)lodei_grid_each(trim.grid, NULL, NULL, trim_group, &trim);
    }
    lodei_grace_settle();
    return trim.groups;
}

/* ---- eviction ---- */

/*
 * Bricks are ranked in rounds: one walk over all of them keeps those to go first, as many as there
 * is room for, and frees them in order; if that was not enough, another walk follows. So eviction
 * works with the few kilobytes on the stack when there is no memory at all.
 */
#define EVICT_FEW  256
#define EVICT_MANY 65536 /* a round; 1.5 MiB */

struct eviction {
    struct lode_sdf *sdf;
    struct lodei_lowest victims;
    int64_t centre2[3]; /* twice the window's centre */
    uint64_t seen;      /* bricks, in the first round */
    uint32_t channel;
};

/* The lowest goes first: rank of its priority above, nearness below. */
static uint64_t order_of(const struct eviction *eviction, unsigned priority, const int32_t at[3])
{
    static const uint8_t rank[] = {[LODE_PRIORITY_CACHED] = 0,
                                   [LODE_PRIORITY_NORMAL] = 1,
                                   [LODE_PRIORITY_IMPORTANT] = 2,
                                   [LODE_PRIORITY_CRITICAL] = 3};
    uint64_t distance2 = 0; /* < 2^46 */
    for (unsigned axis = 0; axis < 3; axis++) {
        int64_t d = 2 * (int64_t)at[axis] - eviction->centre2[axis];
        distance2 += (uint64_t)(d * d);
    }
    return (uint64_t)rank[priority] << 60 | (((uint64_t)1 << 59) - distance2);
}

static int rank_group(void *ctx, uint64_t key, uint32_t first)
{
    struct eviction *eviction = ctx;
    for (unsigned lane = 0; lane < 8; lane++) {
        lode_handle brick = lodei_grid_handle(key, first, lane);
        uint64_t word = brick != 0 ? lodei_handle_word(brick) : 0; /* of this life of the slot */
        int32_t at[3];
        if (word == 0)
            continue;
        unsigned kind = lodei_word_kind(word);
        lodei_grid_at(key, lane, at);
        eviction->seen++;
        lodei_lowest_offer(
            &eviction->victims,
            (struct lodei_ranked){
                .order = order_of(eviction, lodei_kind_priority(kind), at),
                .item = brick,
                .amount = (uint32_t)lode_sdf_brick_bytes(eviction->sdf, eviction->channel,
                                                         (enum lode_tier)lodei_kind_tier(kind)),
                .group = eviction->channel});
    }
    return 0;
}

static void rank_all(struct eviction *eviction)
{
    struct lode_sdf *sdf = eviction->sdf;
    eviction->victims.count = 0;
    for (eviction->channel = 0; eviction->channel < sdf->channel_count; eviction->channel++)
        (void)lodei_grid_each(&sdf->channels[eviction->channel].grid, NULL, NULL, rank_group,
                              eviction);
    lodei_lowest_sort(&eviction->victims);
}

static void centre_find(struct eviction *eviction)
{
    struct lode_sdf *sdf = eviction->sdf;
    pthread_mutex_lock(&sdf->window_lock);
    if (sdf->has_window) {
        eviction->centre2[0] = (int64_t)sdf->window.lo.x + sdf->window.hi.x;
        eviction->centre2[1] = (int64_t)sdf->window.lo.y + sdf->window.hi.y;
        eviction->centre2[2] = (int64_t)sdf->window.lo.z + sdf->window.hi.z;
    }
    pthread_mutex_unlock(&sdf->window_lock);
}

/* Free in order till `bytes` are freed or `most` bricks are; what was. */
static size_t evict_ranked(struct eviction *eviction, size_t bytes, uint64_t *most,
                           lode_sdf_evicted evicted, void *ctx)
{
    size_t freed = 0;
    for (size_t i = 0; i < eviction->victims.count && freed < bytes && *most != 0; i++) {
        const struct lodei_ranked *victim = &eviction->victims.entries[i];
        int32_t at[3];
        lodei_grid_coordinate(victim->item, at);
        if (lodei_sdf_release(eviction->sdf, victim->item) != 0)
            continue;
        --*most;
        freed += victim->amount;
        if (evicted != NULL)
            evicted(ctx, victim->group, (struct lode_ivec3){at[0], at[1], at[2]});
    }
    return freed;
}

size_t lode_sdf_evict(struct lode_sdf *sdf, size_t bytes, lode_sdf_evicted evicted, void *ctx)
{
    struct lodei_ranked few[EVICT_FEW], *many = NULL;
    struct eviction eviction = {.sdf = sdf, .victims = {.entries = few, .capacity = EVICT_FEW}};
    size_t freed = lodei_sdf_unready(sdf, bytes), at_most = EVICT_MANY;
    if (freed >= bytes)
        return freed;
    if ((bytes - freed) / 64 < EVICT_MANY)
        at_most = (bytes - freed) / 64 + 1;
    if (at_most > EVICT_FEW)
        many = lode_heap_alloc(lode_heap_default(), at_most * sizeof(*many));
    if (many != NULL)
        eviction.victims = (struct lodei_lowest){.entries = many, .capacity = at_most};
    centre_find(&eviction);
    rank_all(&eviction);
    /* Not more than there were: `evicted` may make bricks. */
    uint64_t most = eviction.seen;
    for (;;) {
        freed += evict_ranked(&eviction, bytes - freed, &most, evicted, ctx);
        if (freed >= bytes || most == 0 || eviction.victims.count < eviction.victims.capacity)
            break;
        rank_all(&eviction);
    }
    lode_free(many);
    return freed;
}
