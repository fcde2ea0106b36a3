/* SPDX-License-Identifier: MIT */
/*
 * Owns struct lode_sdf: its heaps, channels and limits; making, finding and freeing bricks.
 *
 *     lode_sdf -> channel -> grid -> slot (word: block, pins, tier, band, priority) -> block
 *                 heap per tier, one for raw channels ----------------------------------^
 *
 * A brick in a group that exists is made by one compare-and-swap and freed by one; locks are taken
 * only to make groups (grid.c). Blocks are those of the heaps, whose lists are per thread.
 *
 * max_bricks is kept by a counter that is raised before a brick is made: with racing threads a
 * request may fail while another one is being taken back, but the limit is never passed.
 */
#include <errno.h>
#include <math.h>
#include <sched.h>
#include <string.h>

#include "base/print.h"
#include "ext/grace.h"
#include "ext/opts.h"
#include "ext/sdfpool.h"
#include "ext/slotgrip.h"
#include "lode/stats.h"

#define CACHE_BRICKS 64
#define READY_BRICKS 64

_Static_assert(sizeof(struct lode_sdf_opts) == 56, "no hidden padding");
_Static_assert(sizeof(struct lode_brick_opts) == 8, "no hidden padding");

/* ---- create and destroy ---- */

static int opts_check(struct lode_sdf_opts *o)
{
    if (o->brick_dim == 0)
        o->brick_dim = 8;
    if (o->channel_count == 0)
        o->channel_count = 1;
    if (o->band == 0)
        o->band = 4;
    if (o->tier_distance[0] == 0)
        o->tier_distance[0] = 1;
    if (o->tier_distance[1] == 0)
        o->tier_distance[1] = 2 * o->tier_distance[0];
    if (o->cache_bricks == 0)
        o->cache_bricks = CACHE_BRICKS;
    if (o->ready_bricks == 0)
        o->ready_bricks = READY_BRICKS;
    if (!lodei_sdf_dim_valid(o->brick_dim) || o->channel_count > LODE_CHANNELS_MAX ||
        !lodei_sdf_band_valid(o->band) || !(o->tier_distance[0] > 0) ||
        !(o->tier_distance[1] >= o->tier_distance[0]) || o->reserved != 0)
        return -EINVAL;
    for (unsigned c = 0; c < LODE_CHANNELS_MAX; c++)
        if (o->formats[c] > LODE_CHANNEL_RAW16 || (c >= o->channel_count && o->formats[c] != 0))
            return -EINVAL;
    return 0;
}

static int heap_make(struct lode_sdf *sdf, unsigned which, uint16_t tag)
{
    static const char *const suffix[LODEI_HEAPS] = {".high", ".mid", ".low", ".raw"};
    struct lode_heap_opts opts = LODE_HEAP_OPTS_INIT;
    char name[32];
    strcpy(stpcpy(name, sdf->name), suffix[which]);
    opts.tag = tag;
    opts.name = name;
    return sdf->heaps[which] != NULL ? 0 : lode_heap_create(&opts, &sdf->heaps[which]);
}

static int channel_make(struct lode_sdf *sdf, unsigned index, const struct lode_sdf_opts *o)
{
    struct lodei_channel *channel = &sdf->channels[index];
    int status = 0;
    channel->sdf = sdf;
    channel->format = o->formats[index];
    if (channel->format != LODE_CHANNEL_SDF)
        status = heap_make(sdf, LODEI_TIER_RAW, o->raw_tag);
    for (unsigned t = 0; t < LODE_TIER_COUNT && channel->format == LODE_CHANNEL_SDF; t++) {
        if (status == 0)
            status = heap_make(sdf, t, o->tags[t]);
        if (status == 0 && sdf->caches[t] == NULL)
            status = lodei_sdf_cache_create(sdf, t, o->cache_bricks);
    }
    return status != 0 ? status : lodei_grid_init(&channel->grid, channel, lode_heap_default());
}

static void grids_finish(struct lode_sdf *sdf, unsigned channels)
{
    (void)lodei_sdf_unready(sdf, SIZE_MAX);
    for (unsigned c = 0; c < channels; c++)
        lodei_grid_finish(&sdf->channels[c].grid);
}

static void parts_destroy(struct lode_sdf *sdf)
{
    for (unsigned t = 0; t < LODE_TIER_COUNT; t++)
        lodei_sdf_cache_destroy(sdf, t);
    for (unsigned h = 0; h < LODEI_HEAPS; h++)
        lode_heap_destroy(sdf->heaps[h]);
    lodei_ready_destroy(atomic_load_explicit(&sdf->ready, memory_order_relaxed));
    lode_free(atomic_load_explicit(&sdf->band_of, memory_order_relaxed));
    lode_free(sdf);
}

static void describe(void *object, struct lode_allocator_stats *ret_stats)
{
    struct lode_sdf *sdf = object;
    struct lode_sdf_stats s = {.size = sizeof(s)};
    memset(ret_stats, 0, sizeof(*ret_stats));
    if (lode_sdf_stats(sdf, &s) != 0)
        return;
    const struct lode_tier_stats *tiers[] = {&s.tiers[0], &s.tiers[1], &s.tiers[2], &s.raw};
    for (unsigned i = 0; i < sizeof(tiers) / sizeof(tiers[0]); i++) {
        ret_stats->used_bytes += tiers[i]->brick_bytes;
        ret_stats->mapped_bytes += tiers[i]->mapped_bytes;
        ret_stats->blocks += tiers[i]->bricks;
    }
    ret_stats->requested_bytes = ret_stats->used_bytes;
    ret_stats->metadata_bytes = s.index_mapped_bytes + s.cache_bytes + s.predict_bytes;
    ret_stats->mapped_bytes += ret_stats->metadata_bytes;
}

int lode_sdf_create(const struct lode_sdf_opts *opts, struct lode_sdf **ret_sdf)
{
    struct lode_sdf_opts o;
    int status = lodei_opts_take(opts, &o, sizeof(o));
    if (status != 0 || (status = opts_check(&o)) != 0)
        return status;
    struct lode_sdf *sdf =
        lode_heap_aligned_alloc(lode_heap_default(), _Alignof(struct lode_sdf), sizeof(*sdf));
    if (sdf == NULL)
        return -ENOMEM;
    memset(sdf, 0, sizeof(*sdf));
    sdf->dim = o.brick_dim;
    sdf->voxels = sdf->dim * sdf->dim * sdf->dim;
    sdf->channel_count = o.channel_count;
    sdf->max_bricks = o.max_bricks;
    sdf->ready_limit = o.ready_bricks;
    memcpy(sdf->tier_distance, o.tier_distance, sizeof(sdf->tier_distance));
    atomic_store_explicit(&sdf->bands[0], o.band, memory_order_relaxed);
    sdf->band_count = 1;
    for (unsigned axis = 0; axis < 3; axis++)
        atomic_store(&sdf->limits[axis], lodei_sdf_limit(LODEI_GRID_MIN, LODEI_GRID_MAX));
    strncpy(sdf->name, o.name != NULL ? o.name : "sdf", sizeof(sdf->name) - 1);
    for (unsigned t = 0; t < LODE_TIER_COUNT; t++) {
        size_t bytes = lodei_sdf_payload_bytes(lodei_tier_bits(t), sdf->dim);
        sdf->block_bytes[t] = bytes < 64 ? 64 : (uint32_t)bytes;
    }
    unsigned made = 0;
    while (made < sdf->channel_count && (status = channel_make(sdf, made, &o)) == 0)
        made++;
    if (status != 0) {
        grids_finish(sdf, made);
        parts_destroy(sdf);
        return status;
    }
    pthread_mutex_init(&sdf->window_lock, NULL);
    lodei_registry_add_locked(&sdf->registered, "sdf", sdf->name, sdf, describe, &sdf->window_lock);
    *ret_sdf = sdf;
    return 0;
}

void lode_sdf_destroy(struct lode_sdf *sdf)
{
    if (sdf == NULL)
        return;
    lodei_grace_refuse("destroy within a reading section of this thread, of field", sdf);
    if (lodei_grip_own != 0)
        lodei_fatal("destroy within an edit of this thread, of field", sdf);
    lodei_registry_remove(&sdf->registered);
    grids_finish(sdf, sdf->channel_count);
    /* Blocks of these heaps may be among those that wait; and who peeked at one before its handle
     * was stale is in a section. */
    lodei_grace_wait();
    pthread_mutex_destroy(&sdf->window_lock);
    parts_destroy(sdf);
}

/* ---- what bricks are like ---- */

size_t lodei_sdf_raw_bytes(const struct lode_sdf *sdf, const struct lodei_channel *channel)
{
    return (size_t)sdf->voxels * (channel->format == LODE_CHANNEL_RAW16 ? 2 : 1);
}

size_t lode_sdf_brick_bytes(const struct lode_sdf *sdf, unsigned channel, enum lode_tier tier)
{
    if (channel >= sdf->channel_count)
        return 0;
    if (sdf->channels[channel].format != LODE_CHANNEL_SDF)
        return lodei_sdf_raw_bytes(sdf, &sdf->channels[channel]);
    return (unsigned)tier < LODE_TIER_COUNT ? sdf->block_bytes[tier] : 0;
}

enum lode_tier lode_sdf_tier_at(const struct lode_sdf *sdf, float distance)
{
    float d = fabsf(distance);
    return d >= sdf->tier_distance[1]   ? LODE_TIER_LOW
           : d >= sdf->tier_distance[0] ? LODE_TIER_MID
                                        : LODE_TIER_HIGH;
}

struct lode_heap *lode_sdf_heap(const struct lode_sdf *sdf, unsigned tier)
{
    return tier < LODEI_HEAPS ? sdf->heaps[tier] : NULL;
}

/* ---- bricks ---- */

/* The channel that a page of slots is of, if it is one of this field. */
LODE_INLINE struct lodei_channel *channel_of_page(const struct lode_sdf *sdf,
                                                  const struct lode_handle_page *page)
{
    void *owner = page != NULL ? __atomic_load_n(&page->owner, __ATOMIC_RELAXED) : NULL;
    uintptr_t offset = (uintptr_t)owner - (uintptr_t)sdf->channels; /* without owner: beyond */
    return offset < sdf->channel_count * sizeof(sdf->channels[0]) ? owner : NULL;
}

struct lodei_channel *lodei_sdf_channel_of(const struct lode_sdf *sdf, lode_handle brick)
{
    return brick != LODE_HANDLE_NULL ? channel_of_page(sdf, lodei_handle_page(brick)) : NULL;
}

int lodei_sdf_check_distances(const struct lode_sdf *sdf, lode_handle brick)
{
    const struct lodei_channel *channel = lodei_sdf_channel_of(sdf, brick);
    return channel != NULL && channel->format == LODE_CHANNEL_SDF ? 0 : -EINVAL;
}

LODE_INLINE int in_limit(const struct lode_sdf *sdf, unsigned axis, int32_t at)
{
    uint64_t limit = atomic_load(&sdf->limits[axis]); /* seq_cst: see lodei_sdf_confirm_moved() */
    return (uint32_t)at - (uint32_t)(limit >> 32) <= (uint32_t)limit;
}

LODE_INLINE int in_window(const struct lode_sdf *sdf, struct lode_ivec3 at)
{
    return in_limit(sdf, 0, at.x) & in_limit(sdf, 1, at.y) & in_limit(sdf, 2, at.z);
}

int lodei_sdf_check_place(const struct lode_sdf *sdf, unsigned channel, struct lode_ivec3 at)
{
    if (channel >= sdf->channel_count)
        return -EINVAL;
    return in_window(sdf, at) ? 0 : -ERANGE; /* without a window its limits are the range */
}

static int count_one(struct lode_sdf *sdf)
{
    /* relaxed, all: a count, it guards no memory */
    if (sdf->max_bricks == 0)
        return 0;
    if (atomic_fetch_add_explicit(&sdf->brick_count, 1, memory_order_relaxed) < sdf->max_bricks)
        return 0;
    atomic_fetch_sub_explicit(&sdf->brick_count, 1, memory_order_relaxed);
    return -ENOSPC;
}

static void uncount_one(struct lode_sdf *sdf)
{
    if (sdf->max_bricks != 0)
        atomic_fetch_sub_explicit(&sdf->brick_count, 1, memory_order_relaxed);
}

/* -ENOSPC means a dead slot, or a group that is being given back: the grid's lock tells. */
static int publish_again(struct lodei_grid *grid, uint32_t index, uint64_t key, void *block,
                         unsigned kind, lode_handle *ret_brick)
{
    pthread_mutex_lock(&grid->lock);
    int status = lodei_slot_publish(index, key, block, kind, ret_brick);
    pthread_mutex_unlock(&grid->lock);
    return status;
}

/* Within its count. */
LODE_INLINE int publish_near(struct lodei_channel *channel, struct lodei_sdf_near *near,
                             struct lode_ivec3 at, void *block, unsigned kind,
                             lode_handle *ret_brick)
{
    uint64_t key = lodei_grid_key(at.x, at.y, at.z);
    if (key != near->key) {
        uint32_t first = lodei_grid_find(&channel->grid, key);
        if (lode_unlikely(first == UINT32_MAX)) {
            int status = lodei_grid_get(&channel->grid, key, &first);
            if (status != 0)
                return status;
        }
        *near = (struct lodei_sdf_near){key, first};
    }
    uint32_t index = near->first + lodei_grid_lane(at.x, at.y, at.z);
    int status = lodei_slot_publish(index, key, block, kind, ret_brick);
    if (lode_unlikely(status == -ENOSPC))
        status = publish_again(&channel->grid, index, key, block, kind, ret_brick);
    if (lode_unlikely(status == -EAGAIN))
        near->key = LODEI_KEY_FREE;
    return status;
}

LODE_INLINE int publish(struct lode_sdf *sdf, struct lodei_channel *channel,
                        struct lodei_sdf_near *near, struct lode_ivec3 at, void *block,
                        unsigned kind, lode_handle *ret_brick)
{
    int status = count_one(sdf);
    if (status != 0)
        return status;
    do
        status = publish_near(channel, near, at, block, kind, ret_brick);
    while (lode_unlikely(status == -EAGAIN));
    if (lode_unlikely(status != 0)) {
        uncount_one(sdf);
        return status;
    }
    /* acquire: as in lodei_sdf_block() */
    struct lodei_ready *ready = atomic_load_explicit(&sdf->ready, memory_order_acquire);
    if (lode_unlikely(ready != NULL))
        lodei_ready_made(ready, lodei_sdf_place(at));
    return 0;
}

int lodei_sdf_publish(struct lode_sdf *sdf, struct lodei_channel *channel,
                      struct lodei_sdf_near *near, struct lode_ivec3 at, void *block, unsigned kind,
                      lode_handle *ret_brick)
{
    return publish(sdf, channel, near, at, block, kind, ret_brick);
}

/* Is it in one and the same window on all axes? Not while one is being written. */
static int in_one_window(const struct lode_sdf *sdf, struct lode_ivec3 at)
{
    for (;;) {
        uint64_t moves = atomic_load(&sdf->moves);
        int in = in_window(sdf, at);
        if (moves % 2 == 0 && atomic_load(&sdf->moves) == moves)
            return in;
        sched_yield();
    }
}

/*
 * Who makes a brick looks at `moves` and then at the limits, writes its slot's word, and looks at
 * `moves` again; who moves the window raises `moves`, writes the limits, raises it again, and then
 * looks at the words. In the one order of these seq_cst operations, if the maker finds `moves` as
 * it was, and even, the limits were those of one window, and both raises come after its word was
 * written: the sweep sees it. A group made meanwhile is made under the grid's lock, which the sweep
 * takes before it looks for groups: it either finds the group, or `moves` is seen to be raised.
 *
 * Else the brick may be where neither the window before nor the one after has it, but the limits of
 * one axis from the one and of another axis from the other, and no sweep looks there: it stays only
 * if it is in the window that is there when its word has been written.
 */
int lodei_sdf_confirm_moved(struct lode_sdf *sdf, struct lode_ivec3 at, lode_handle brick)
{
    if (in_one_window(sdf, at))
        return 0;
    (void)lodei_sdf_release(sdf, brick); /* or the sweep did */
    return -ERANGE;
}

int lode_sdf_brick_alloc(struct lode_sdf *sdf, unsigned channel, struct lode_ivec3 at,
                         enum lode_tier tier, lode_handle *ret_brick)
{
    uint64_t moves = lodei_sdf_moves(sdf);
    int status = lodei_sdf_check_place(sdf, channel, at);
    if (lode_unlikely(status != 0))
        return status;
    struct lodei_channel *c = &sdf->channels[channel];
    unsigned in = c->format == LODE_CHANNEL_SDF ? (unsigned)tier : LODEI_TIER_RAW;
    if (lode_unlikely(c->format == LODE_CHANNEL_SDF && in >= LODE_TIER_COUNT))
        return -EINVAL;
    void *block = lodei_sdf_block(sdf, c, in);
    if (lode_unlikely(block == NULL))
        return -ENOMEM;
    lode_handle brick;
    struct lodei_sdf_near near = LODEI_SDF_NEAR_NOTHING;
    status = publish(sdf, c, &near, at, block, lodei_kind(in, 0, 0), &brick);
    if (lode_unlikely(status != 0)) {
        lode_free(block);
        return status;
    }
    status = lodei_sdf_confirm(sdf, moves, at, brick);
    if (lode_likely(status == 0))
        *ret_brick = brick;
    return status;
}

void lodei_sdf_gone(struct lode_sdf *sdf, lode_handle brick)
{
    uncount_one(sdf);
    lodei_sdf_cache_drop(sdf, brick);
}

LODE_INLINE int withdraw(struct lode_sdf *sdf, struct lode_handle_page *page, lode_handle brick,
                         void **ret_block)
{
    int status = lodei_slot_release(page, brick, ret_block);
    if (lode_likely(status == 0))
        lodei_sdf_gone(sdf, brick);
    return status;
}

int lodei_sdf_withdraw(struct lode_sdf *sdf, lode_handle brick, void **ret_block)
{
    return withdraw(sdf, lodei_handle_page(brick), brick, ret_block);
}

LODE_INLINE int release(struct lode_sdf *sdf, struct lode_handle_page *page, lode_handle brick)
{
    void *old;
    int status = withdraw(sdf, page, brick, &old);
    if (lode_likely(status == 0 && old != NULL))
        lodei_grace_free(old);
    return status;
}

void lodei_sdf_group_reclaim(struct lode_sdf *sdf, lode_handle brick)
{
    struct lodei_channel *channel = lodei_sdf_channel_of(sdf, brick);
    uint64_t key = lodei_group_key((uint32_t)brick & ~7u);
    if (channel != NULL && (key & LODEI_KEY_FREE) == 0)
        (void)lodei_grid_reclaim(&channel->grid, key);
}

int lodei_sdf_release(struct lode_sdf *sdf, lode_handle brick)
{
    return release(sdf, lodei_handle_page(brick), brick);
}

int lode_sdf_brick_free(struct lode_sdf *sdf, lode_handle brick)
{
    struct lode_handle_page *page = lodei_handle_page(brick);
    if (lode_unlikely(brick == LODE_HANDLE_NULL || channel_of_page(sdf, page) == NULL))
        return -EINVAL;
    return release(sdf, page, brick);
}

int lode_sdf_find(struct lode_sdf *sdf, unsigned channel, struct lode_ivec3 at,
                  lode_handle *ret_brick)
{
    if (channel >= sdf->channel_count)
        return -EINVAL;
    if (!lodei_grid_holds(at.x, at.y, at.z))
        return -ERANGE;
    lode_handle brick = lodei_grid_brick(&sdf->channels[channel].grid, at.x, at.y, at.z);
    if (brick == 0)
        return -ENOENT;
    *ret_brick = brick;
    return 0;
}

int lode_sdf_brick_info(const struct lode_sdf *sdf, lode_handle brick,
                        struct lode_brick_info *ret_info)
{
    const struct lodei_channel *channel = lodei_sdf_channel_of(sdf, brick);
    if (channel == NULL)
        return -EINVAL;
    int32_t at[3];
    lodei_grid_coordinate(brick, at);
    uint64_t word = lodei_handle_word(brick);
    float band = lodei_band(sdf, lodei_kind_band(lodei_word_kind(word)));
    /* live after the coordinate and the band were read: they are its */
    if (word == 0 || lodei_handle_word(brick) == 0)
        return -ESTALE;
    unsigned kind = lodei_word_kind(word), index = (unsigned)(channel - sdf->channels);
    unsigned tier = lodei_kind_tier(kind) < LODE_TIER_COUNT ? lodei_kind_tier(kind) : 0;
    memset(ret_info, 0, sizeof(*ret_info));
    ret_info->at = (struct lode_ivec3){at[0], at[1], at[2]};
    ret_info->channel = (uint16_t)index;
    ret_info->tier = (uint8_t)tier;
    ret_info->priority = (uint8_t)lodei_kind_priority(kind);
    ret_info->band = band;
    ret_info->bytes = (uint32_t)lode_sdf_brick_bytes(sdf, index, (enum lode_tier)tier);
    return 0;
}

/* ---- figures ---- */

static int count_group(void *ctx, uint64_t key, uint32_t first)
{
    struct lode_sdf_stats *s = ctx;
    (void)key;
    s->groups++;
    for (uint32_t i = 0; i < 8; i++) {
        uint64_t word = lodei_slot_word(first + i);
        unsigned tier = lodei_kind_tier(lodei_word_kind(word));
        if ((word & LODE_HANDLE_LIVE) != 0)
            (tier == LODEI_TIER_RAW ? &s->raw : &s->tiers[tier])->bricks++;
    }
    return 0;
}

static uint64_t mapped_bytes(struct lode_heap *heap)
{
    struct lode_stats stats = {.size = sizeof(stats)};
    return heap != NULL && lode_stats_get(heap, &stats) == 0 ? stats.mapped_bytes : 0;
}

static void tier_figures(struct lode_sdf *sdf, struct lode_sdf_stats *s)
{
    struct lodei_ready *ready = atomic_load_explicit(&sdf->ready, memory_order_acquire);
    s->predict_bytes = ready != NULL ? lode_usable_size(ready) : 0;
    for (unsigned t = 0; t < LODE_TIER_COUNT; t++) {
        struct lode_tier_stats *tier = &s->tiers[t];
        uint64_t bytes = 0;
        tier->brick_bytes = tier->bricks * sdf->block_bytes[t];
        tier->mapped_bytes = mapped_bytes(sdf->heaps[t]);
        for (unsigned part = 0; part < LODEI_RETIERED; part++)
            tier->retiered +=
                atomic_load_explicit(&sdf->retiered[part].to[t], memory_order_relaxed);
        lodei_sdf_cache_figures(sdf, t, &tier->cache_hits, &tier->cache_misses, &bytes);
        s->cache_bytes += bytes;
        tier->ready_blocks = ready != NULL ? lodei_ready_count(ready, t) : 0;
    }
    s->raw.mapped_bytes = mapped_bytes(sdf->heaps[LODEI_TIER_RAW]);
}

int lode_sdf_stats(struct lode_sdf *sdf, struct lode_sdf_stats *stats)
{
    struct lode_sdf_stats s = {.size = stats->size};
    uint64_t bytes = 0, bricks = 0;
    if (stats->size < 2 * sizeof(uint32_t))
        return -EINVAL;
    for (unsigned c = 0; c < sdf->channel_count; c++) {
        struct lodei_channel *channel = &sdf->channels[c];
        size_t used, mapped;
        uint64_t raw_before = s.raw.bricks;
        (void)lodei_grid_each(&channel->grid, NULL, NULL, count_group, &s);
        if (channel->format != LODE_CHANNEL_SDF)
            s.raw.brick_bytes += (s.raw.bricks - raw_before) * lodei_sdf_raw_bytes(sdf, channel);
        lodei_grid_figures(&channel->grid, &used, &mapped);
        s.index_bytes += used;
        s.index_mapped_bytes += mapped;
    }
    tier_figures(sdf, &s);
    for (unsigned t = 0; t < LODE_TIER_COUNT; t++) {
        bytes += s.tiers[t].brick_bytes;
        bricks += s.tiers[t].bricks;
    }
    bytes += s.raw.brick_bytes + s.index_bytes;
    bricks += s.raw.bricks;
    s.bits_per_voxel = bricks != 0 ? (double)bytes * 8 / ((double)bricks * sdf->voxels) : 0;
    memcpy(stats, &s, stats->size < sizeof(s) ? stats->size : sizeof(s));
    return 0;
}
