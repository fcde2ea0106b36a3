/* SPDX-License-Identifier: MIT */
/*
 * The inside of struct lode_sdf, shared by the sdf*.c files.
 *
 * What a brick is kept in, its "kind", are the owner's ten bits of its slot's word, so that they
 * change together with its block:
 *
 *     9     8 7          2 1    0
 *     | prio | band class | tier |       tier 3: a raw channel
 *
 * A band class is an index into `bands`: the band a brick was encoded with, whatever became of its
 * material's band since.
 */
#ifndef LODEI_SDFPOOL_H
#define LODEI_SDFPOOL_H

#include <pthread.h>
#include <stdatomic.h>

#include "ext/grid.h"
#include "ext/ready.h"
#include "ext/registry.h"
#include "ext/sdfpack.h"
#include "lode/sdf.h"

#define LODEI_TIER_RAW LODE_TIER_COUNT
#define LODEI_HEAPS    (LODE_TIER_COUNT + 1)

struct lodei_channel {
    struct lode_sdf *sdf;
    struct lodei_grid grid; /* its slots' owner is this channel */
    uint8_t format;         /* enum lode_channel_format */
};

struct lodei_sdf_cache;

/* Bricks moved to each tier: parts of the sums, by slot, so that threads that work on different
 * bricks count in different lines, and none in those that every call reads. */
#define LODEI_RETIERED 8u
struct lodei_retiered {
    _Atomic uint64_t to[LODE_TIER_COUNT];
} __attribute__((aligned(64)));

struct lode_sdf {
    uint32_t dim, voxels;
    uint32_t channel_count;
    uint32_t max_bricks; /* 0: no limit, and nothing is counted */
    float tier_distance[LODE_TIER_COUNT - 1];
    struct lode_heap *heaps[LODEI_HEAPS]; /* tiers, raw; NULL: no channel needs it */
    uint32_t block_bytes[LODE_TIER_COUNT];
    _Atomic float bands[LODE_BANDS_MAX]; /* see sdfmaterial.c, these three */
    uint32_t band_count;
    uint8_t *_Atomic band_of; /* by material, 65,536; NULL: all have class 0 */
    int has_window;           /* these two guarded by window_lock */
    struct lode_brick_box window;
    pthread_mutex_t window_lock;
    /* of the window, for making bricks: by axis its lowest coordinate above, and how far the
     * highest is from that */
    _Atomic uint64_t limits[3];
    _Atomic uint64_t moves;  /* twice how often the limits were changed; odd: they are just being */
    _Atomic uint32_t cached; /* entries of all caches that were ever used */
    _Atomic uint32_t brick_count;
    struct lodei_sdf_cache *caches[LODE_TIER_COUNT];
    struct lodei_ready *_Atomic ready; /* NULL till the first hint; then it stays */
    uint32_t ready_limit;
    struct lodei_registered registered;
    char name[24];
    struct lodei_channel channels[LODE_CHANNELS_MAX];
    struct lodei_retiered retiered[LODEI_RETIERED];
};

LODE_INLINE unsigned lodei_kind(unsigned tier, unsigned band, unsigned priority)
{
    return tier | band << 2 | priority << 8;
}

LODE_INLINE unsigned lodei_kind_tier(unsigned kind)
{
    return kind & 3;
}

LODE_INLINE unsigned lodei_kind_band(unsigned kind)
{
    return kind >> 2 & 63;
}

LODE_INLINE unsigned lodei_kind_priority(unsigned kind)
{
    return kind >> 8;
}

LODE_INLINE unsigned lodei_tier_bits(unsigned tier)
{
    return 16u >> tier;
}

LODE_INLINE uint64_t lodei_sdf_limit(int32_t lo, int32_t hi)
{
    return (uint64_t)(uint32_t)lo << 32 | ((uint32_t)hi - (uint32_t)lo);
}

LODE_INLINE unsigned lodei_sdf_band_class(const struct lode_sdf *sdf, uint16_t material)
{
    /* acquire: pairs with the release in lode_sdf_band_set(), of another material maybe */
    const uint8_t *band_of = atomic_load_explicit(&sdf->band_of, memory_order_acquire);
    return band_of != NULL ? band_of[material] : 0;
}

/* Of a word that was read in a section that is still open, or gripped, or of a live brick. */
LODE_INLINE float lodei_band(const struct lode_sdf *sdf, unsigned class)
{
    return atomic_load_explicit(&sdf->bands[class], memory_order_relaxed);
}

/* A coordinate as one number, never 0: see ready.h. */
LODE_INLINE uint64_t lodei_sdf_place(struct lode_ivec3 at)
{
    const uint32_t min = (uint32_t)LODEI_GRID_MIN;
    return (uint64_t)1 << 63 | (uint64_t)((uint32_t)at.x - min) |
           (uint64_t)((uint32_t)at.y - min) << 21 | (uint64_t)((uint32_t)at.z - min) << 42;
}

/* What the kernels have to know of a brick. */
struct lodei_coding {
    unsigned bits;
    float band;
};

LODE_INLINE struct lodei_coding lodei_coding_of(const struct lode_sdf *sdf, uint64_t word)
{
    unsigned kind = lodei_word_kind(word);
    struct lodei_coding coding = {lodei_tier_bits(lodei_kind_tier(kind)),
                                  lodei_band(sdf, lodei_kind_band(kind))};
    return coding;
}

/* The channel a handle is of, if it is one of this field: else NULL. Stale or not. */
struct lodei_channel *lodei_sdf_channel_of(const struct lode_sdf *sdf, lode_handle brick);
/* Give back the group of a brick that is gone, if nothing else is in it. */
void lodei_sdf_group_reclaim(struct lode_sdf *sdf, lode_handle brick);
/* 0; -EINVAL: not of this field, or not of a channel of distances. */
int lodei_sdf_check_distances(const struct lode_sdf *sdf, lode_handle brick);
size_t lodei_sdf_raw_bytes(const struct lode_sdf *sdf, const struct lodei_channel *channel);
/* Free a brick whose channel is known. 0 or -ESTALE. */
int lodei_sdf_release(struct lode_sdf *sdf, lode_handle brick);
/* The same, but *ret_block is the caller's to lodei_grace_free(); NULL: it is pinned. */
int lodei_sdf_withdraw(struct lode_sdf *sdf, lode_handle brick, void **ret_block);
/* A brick is gone from its slot: it counts no more, and nothing is kept of it. */
void lodei_sdf_gone(struct lode_sdf *sdf, lode_handle brick);
/* May a brick be made here? 0, -EINVAL, -ERANGE. */
int lodei_sdf_check_place(const struct lode_sdf *sdf, unsigned channel, struct lode_ivec3 at);
/* The group that was published in last: the next brick is probably of the same. */
struct lodei_sdf_near {
    uint64_t key; /* LODEI_KEY_FREE: none */
    uint32_t first;
};
#define LODEI_SDF_NEAR_NOTHING \
    {                          \
        .key = LODEI_KEY_FREE  \
    }

/* Make `block` a brick; it is the caller's again on failure: as lode_sdf_brick_alloc(). */
int lodei_sdf_publish(struct lode_sdf *sdf, struct lodei_channel *channel,
                      struct lodei_sdf_near *near, struct lode_ivec3 at, void *block, unsigned kind,
                      lode_handle *ret_brick);
/* Give a block to the brick at a coordinate, which is made if there is none; `moves` was taken
 * before the place was checked. The block is freed on failure: as lode_sdf_store(). */
int lodei_sdf_put(struct lode_sdf *sdf, struct lodei_channel *channel, uint64_t moves,
                  struct lode_ivec3 at, void *block, unsigned kind, lode_handle *ret_brick);
/* The window has been moved since a place was checked. As lodei_sdf_confirm(). */
int lodei_sdf_confirm_moved(struct lode_sdf *sdf, struct lode_ivec3 at, lode_handle brick);

/* Taken before lodei_sdf_check_place(), for lodei_sdf_confirm(), which looks again if it was odd.
 */
LODE_INLINE uint64_t lodei_sdf_moves(const struct lode_sdf *sdf)
{
    return atomic_load(&sdf->moves) & ~(uint64_t)1; /* seq_cst: see lodei_sdf_confirm_moved() */
}

/* After a brick was made: 0, or -ERANGE: the window has moved on, and the brick is gone. */
LODE_INLINE int lodei_sdf_confirm(struct lode_sdf *sdf, uint64_t moves, struct lode_ivec3 at,
                                  lode_handle brick)
{
    /* seq_cst: as above */
    return lode_likely(atomic_load(&sdf->moves) == moves) ? 0
                                                          : lodei_sdf_confirm_moved(sdf, at, brick);
}

/* sdfblock.c */
/* What is kept for tools, made if it is not there; NULL when out of memory. */
struct lodei_ready *lodei_sdf_ready(struct lode_sdf *sdf);
/* A block that is ready; NULL: none is. */
void *lodei_sdf_block_ready(const struct lode_sdf *sdf, struct lodei_ready *ready, unsigned tier);
/* Keep a block that nobody can reach. 1; 0: there is no room, and the block is the caller's. */
int lodei_sdf_block_keep(const struct lode_sdf *sdf, struct lodei_ready *ready, unsigned tier,
                         void *block);
/* A version of a brick of this tier has been replaced (LODEI_TIER_RAW: or of any). NULL: nothing.
 */
void lodei_sdf_block_old(const struct lode_sdf *sdf, void *block, unsigned tier);
/* Give blocks that are ready back to the heaps till `bytes` are given back; what was. */
size_t lodei_sdf_unready(struct lode_sdf *sdf, size_t bytes);

/* A block for a brick of this tier and channel; NULL when out of memory. */
LODE_INLINE void *lodei_sdf_block(const struct lode_sdf *sdf, const struct lodei_channel *channel,
                                  unsigned tier)
{
    /* acquire: pairs with the release in lodei_sdf_ready() */
    struct lodei_ready *ready = atomic_load_explicit(&sdf->ready, memory_order_acquire);
    void *block = NULL;
    if (lode_unlikely(ready != NULL) && tier != LODEI_TIER_RAW)
        block = lodei_sdf_block_ready(sdf, ready, tier);
    if (lode_likely(block == NULL))
        block = lode_heap_alloc(sdf->heaps[tier], tier == LODEI_TIER_RAW
                                                      ? lodei_sdf_raw_bytes(sdf, channel)
                                                      : sdf->block_bytes[tier]);
    lode_assert(((uintptr_t)block & 63) == 0);
    return block;
}

/* sdfcache.c */
int lodei_sdf_cache_create(struct lode_sdf *sdf, unsigned tier, uint32_t bricks);
void lodei_sdf_cache_destroy(struct lode_sdf *sdf, unsigned tier);
/* The brick has a new version, or is gone: what is kept of it is old. Its slot is enough. */
void lodei_sdf_cache_forget(struct lode_sdf *sdf, lode_handle brick);
LODE_INLINE void lodei_sdf_cache_drop(struct lode_sdf *sdf, lode_handle brick)
{
    /* seq_cst: after the swap; pairs with the raise in claim(). Whoever claims later sees the new
     * version. */
    if (lode_unlikely(atomic_load(&sdf->cached) != 0))
        lodei_sdf_cache_forget(sdf, brick);
}
void lodei_sdf_cache_figures(const struct lode_sdf *sdf, unsigned tier, uint64_t *ret_hits,
                             uint64_t *ret_misses, uint64_t *ret_bytes);

/* sdfreach.c: what a voxel beyond the bricks there are counts as. */
LODE_INLINE float lodei_sdf_beyond(float nearest, float band)
{
    return lodei_sdf_negative(nearest) ? -band : band;
}

#endif
