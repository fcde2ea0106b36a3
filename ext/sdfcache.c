/* SPDX-License-Identifier: MIT */
/*
 * The cache of decoded bricks: one per tier, 4-way set-associative, by slot index.
 *
 *     set = index mod sets: | entry | entry | entry | entry |   entry: handle, state, views, values
 *
 * An entry is claimed (FILLING) before its brick's version is looked up, and decoded outside of the
 * lock. An edit swaps its version in first and then drops what the cache has of the brick, whatever
 * its state: so a decoding that read the version before is marked old before it is used by anyone
 * but those who asked for it. The victim is the way used longest ago without a view on it; if all
 * have views, the values go into a block of their own, freed when its view ends.
 *
 * One lock per cache guards all of it but the values; it is held for some instructions only, and
 * around fork().
 */
#include <errno.h>
#include <string.h>

#include "ext/sdfpool.h"

#define WAYS 4

enum state { EMPTY, FILLING, READY, OLD };

struct entry {
    lode_handle brick;
    uint32_t views;
    uint32_t used; /* the cache's clock */
    uint8_t state; /* enum state */
    uint8_t alone; /* not of any set: freed with its last view */
    float *values;
};

struct lodei_sdf_cache {
    pthread_mutex_t lock;
    struct lodei_forklock forklock;
    uint32_t sets;
    uint32_t clock;
    uint64_t hits, misses;
    size_t value_bytes;
    float *values;
    struct entry entries[];
};

int lodei_sdf_cache_create(struct lode_sdf *sdf, unsigned tier, uint32_t bricks)
{
    uint32_t sets = 1;
    while (sets * WAYS < bricks && sets < 1u << 20)
        sets *= 2;
    size_t value_bytes = sdf->voxels * sizeof(float);
    struct lode_heap *heap = lode_heap_default();
    struct lodei_sdf_cache *cache =
        lode_heap_calloc(heap, 1, sizeof(*cache) + sets * WAYS * sizeof(struct entry));
    if (cache == NULL)
        return -ENOMEM;
    cache->values = lode_heap_aligned_alloc(heap, 64, sets * WAYS * value_bytes);
    if (cache->values == NULL) {
        lode_free(cache);
        return -ENOMEM;
    }
    pthread_mutex_init(&cache->lock, NULL);
    lodei_forklock_add(&cache->forklock, &cache->lock, LODEI_FORK_CACHE);
    cache->sets = sets;
    cache->value_bytes = value_bytes;
    for (uint32_t i = 0; i < sets * WAYS; i++)
        cache->entries[i].values = cache->values + (size_t)i * sdf->voxels;
    sdf->caches[tier] = cache;
    return 0;
}

void lodei_sdf_cache_destroy(struct lode_sdf *sdf, unsigned tier)
{
    struct lodei_sdf_cache *cache = sdf->caches[tier];
    if (cache == NULL)
        return;
    lodei_forklock_remove(&cache->forklock);
    pthread_mutex_destroy(&cache->lock);
    lode_free(cache->values);
    lode_free(cache);
    sdf->caches[tier] = NULL;
}

static struct entry *set_of(struct lodei_sdf_cache *cache, lode_handle brick)
{
    return &cache->entries[((uint32_t)brick & (cache->sets - 1)) * WAYS];
}

/* ---- under cache->lock ---- */

static struct entry *lookup(struct lodei_sdf_cache *cache, lode_handle brick)
{
    struct entry *set = set_of(cache, brick);
    for (unsigned w = 0; w < WAYS; w++)
        if (set[w].state == READY && set[w].brick == brick)
            return &set[w];
    return NULL;
}

/* A way to fill; NULL: all are in use. */
static struct entry *claim(struct lode_sdf *sdf, struct lodei_sdf_cache *cache, lode_handle brick)
{
    struct entry *set = set_of(cache, brick), *best = NULL;
    for (unsigned w = 0; w < WAYS; w++) {
        if (set[w].views != 0)
            continue;
        if (set[w].state == EMPTY || set[w].state == OLD) {
            best = &set[w];
            break;
        }
        if (best == NULL || (int32_t)(set[w].used - best->used) < 0)
            best = &set[w];
    }
    if (best == NULL)
        return NULL;
    if (best->state == EMPTY)
        /* seq_cst: pairs with the swap of the slot's word before an edit looks here */
        atomic_fetch_add(&sdf->cached, 1);
    best->brick = brick;
    best->state = FILLING;
    best->views = 1;
    best->used = ++cache->clock;
    return best;
}

/* ---- views ---- */

static struct entry *entry_alone(struct lodei_sdf_cache *cache)
{
    struct entry *entry = lode_heap_aligned_alloc(lode_heap_default(), 64, 64 + cache->value_bytes);
    if (entry == NULL)
        return NULL;
    *entry = (struct entry){.views = 1, .state = OLD, .alone = 1};
    entry->values = (float *)(void *)((char *)entry + 64);
    return entry;
}

_Static_assert(sizeof(struct entry) <= 64, "values stand behind it on a line of their own");

static int fill(struct lode_sdf *sdf, struct lodei_sdf_cache *cache, lode_handle brick,
                struct entry *entry)
{
    int status = lode_sdf_decode(sdf, brick, entry->values);
    pthread_mutex_lock(&cache->lock);
    if (status != 0) {
        entry->views = 0;
        entry->state = OLD;
    } else if (entry->state == FILLING) {
        entry->state = READY;
    }
    pthread_mutex_unlock(&cache->lock);
    return status;
}

int lode_view_begin(struct lode_sdf *sdf, lode_handle brick, struct lode_view *ret_view)
{
    int status = lodei_sdf_check_distances(sdf, brick);
    uint64_t word = status == 0 ? lodei_handle_word(brick) : 0;
    if (word == 0)
        return status != 0 ? status : -ESTALE;
    struct lodei_sdf_cache *cache = sdf->caches[lodei_kind_tier(lodei_word_kind(word))];
    int must_fill = 0;
    pthread_mutex_lock(&cache->lock);
    struct entry *entry = lookup(cache, brick);
    if (entry != NULL) {
        entry->views++;
        entry->used = ++cache->clock;
        cache->hits++;
    } else {
        entry = claim(sdf, cache, brick);
        must_fill = 1;
        cache->misses++;
    }
    pthread_mutex_unlock(&cache->lock);
    if (entry == NULL)
        entry = entry_alone(cache);
    if (entry == NULL)
        return -ENOMEM;
    if (must_fill)
        status = entry->alone ? lode_sdf_decode(sdf, brick, entry->values)
                              : fill(sdf, cache, brick, entry);
    if (status != 0) {
        if (entry->alone)
            lode_free(entry);
        return status;
    }
    *ret_view = (struct lode_view){entry->values, entry};
    return 0;
}

/* The cache an entry is of; its sets are one array. */
static struct lodei_sdf_cache *cache_of(struct lode_sdf *sdf, const struct entry *entry)
{
    for (unsigned t = 0; t < LODE_TIER_COUNT; t++) {
        struct lodei_sdf_cache *cache = sdf->caches[t];
        if (cache != NULL && (uintptr_t)entry >= (uintptr_t)cache->entries &&
            (uintptr_t)entry < (uintptr_t)(cache->entries + (size_t)cache->sets * WAYS))
            return cache;
    }
    return NULL;
}

void lode_view_end(struct lode_sdf *sdf, struct lode_view *view)
{
    struct entry *entry = view->entry;
    if (entry == NULL)
        return;
    struct lodei_sdf_cache *cache = cache_of(sdf, entry);
    *view = (struct lode_view){NULL, NULL};
    if (cache == NULL) {
        lode_free(entry); /* alone: one view */
        return;
    }
    pthread_mutex_lock(&cache->lock);
    entry->views--;
    pthread_mutex_unlock(&cache->lock);
}

/* ---- the other side ---- */

void lodei_sdf_cache_forget(struct lode_sdf *sdf, lode_handle brick)
{
    for (unsigned t = 0; t < LODE_TIER_COUNT; t++) {
        struct lodei_sdf_cache *cache = sdf->caches[t];
        if (cache == NULL)
            continue;
        struct entry *set = set_of(cache, brick);
        pthread_mutex_lock(&cache->lock);
        for (unsigned w = 0; w < WAYS; w++)
            if ((uint32_t)set[w].brick == (uint32_t)brick && set[w].state != EMPTY)
                set[w].state = OLD; /* of whichever life */
        pthread_mutex_unlock(&cache->lock);
    }
}

void lodei_sdf_cache_figures(const struct lode_sdf *sdf, unsigned tier, uint64_t *ret_hits,
                             uint64_t *ret_misses, uint64_t *ret_bytes)
{
    struct lodei_sdf_cache *cache = sdf->caches[tier];
    if (cache == NULL)
        return;
    pthread_mutex_lock(&cache->lock);
    *ret_hits = cache->hits;
    *ret_misses = cache->misses;
    *ret_bytes = cache->sets * WAYS * (sizeof(struct entry) + cache->value_bytes);
    pthread_mutex_unlock(&cache->lock);
}
