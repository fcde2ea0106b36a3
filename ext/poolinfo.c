/* SPDX-License-Identifier: MIT */
/*
 * Object pools seen as a whole: walking, clearing, figures, and the common allocator interface.
 * Owns nothing. Visitors and destructors run under no lock.
 */
#include "ext/poolcore.h"

#include <string.h>

#include "base/bitmap.h"
#include "ext/ops.h"
#include "ext/poison.h"

/* ---- walking and clearing ---- */

/* The chunk with objects out of it and the lowest number >= *number, which is moved behind it. */
static struct lode_pool_chunk *next_used(struct lodei_pool *p, uint32_t *number)
{
    struct lode_pool_chunk *found = NULL;
    pthread_mutex_lock(&p->lock);
    struct lodei_pool_index *index = atomic_load_explicit(&p->index, memory_order_relaxed);
    while (found == NULL && *number < index->capacity) {
        struct lode_pool_chunk *chunk = index->chunks[*number];
        if (chunk != NULL && chunk->taken > 0)
            found = chunk;
        *number += 1;
    }
    pthread_mutex_unlock(&p->lock);
    return found;
}

static int walk_chunk(struct lodei_pool *p, struct lode_pool_chunk *chunk, lode_pool_visitor visit,
                      void *ctx)
{
    uint64_t *bits = lodei_pool_bits(chunk);
    for (uint32_t slot = 0; slot < p->front.slots; slot++) {
        if (slot % 64 == 0 && __atomic_load_n(&bits[slot / 64], __ATOMIC_RELAXED) == 0) {
            slot += 63;
            continue;
        }
        if (!lodei_pool_bit(bits, slot))
            continue;
        if (chunk->remote != NULL && lodei_pool_bit(chunk->remote, slot))
            continue;
        int status = visit(ctx, lodei_pool_object(p, chunk, slot));
        if (status != 0)
            return status;
    }
    return 0;
}

int lode_pool_walk(struct lode_pool *pool, lode_pool_visitor visit, void *ctx)
{
    struct lodei_pool *p = lodei_pool_of(pool);
    struct lode_pool_chunk *chunk;
    uint32_t number = 0;
    int status = 0;
    while (status == 0 && (chunk = next_used(p, &number)) != NULL)
        status = walk_chunk(p, chunk, visit, ctx);
    return status;
}

static int release_visited(void *ctx, void *object)
{
    /* An error says that its destructor is running already: that one is passed over. */
    return lode_pool_release(ctx, object) > 0;
}

void lodei_pool_destruct_all(struct lodei_pool *p)
{
    if (p->destruct != NULL)
        (void)lode_pool_walk(&p->front, release_visited, &p->front);
}

/* Every object of the chunk is free. Under the lock. */
static void chunk_clear(struct lodei_pool *p, struct lodei_pool_index *index,
                        struct lode_pool_chunk *chunk)
{
    uint64_t *bits = lodei_pool_bits(chunk);
    size_t words = (p->front.slots + 63) / 64;
    if (chunk->taken > 0)
        lodei_taken((void *)chunk->base, p->chunk_bytes);
    lodei_bitmap_put(bits, 0, p->front.slots, 0);
    if (chunk->remote != NULL)
        memset(chunk->remote, 0, words * sizeof(uint64_t));
    lodei_bitmap_put(index->open, chunk->number, 1, 1);
    chunk->taken = 0;
    chunk->scan = 0;
}

void lode_pool_clear(struct lode_pool *pool)
{
    struct lodei_pool *p = lodei_pool_of(pool);
    lodei_pool_destruct_all(p);
    pthread_mutex_lock(&p->lock);
    lodei_pool_collect(p);
    lodei_pool_note_peak(p);
    struct lodei_pool_index *index = atomic_load_explicit(&p->index, memory_order_relaxed);
    for (uint32_t i = 0; i < index->capacity; i++)
        if (lodei_bitmap_get(index->mapped, i))
            chunk_clear(p, index, index->chunks[i]);
    p->taken = 0;
    p->empty_chunks = p->chunks;
    p->first_open = 0;
    p->demand = p->epoch_peak = 0;
    p->quiet_epochs = 0;
    p->rising = 0;
    p->front.hot_count = p->front.hot_low = 0;
    size_t capacity = p->chunks * p->front.slots;
    lodei_pool_verify(p);
    pthread_mutex_unlock(&p->lock);
    if (capacity > p->initial)
        (void)lodei_pool_give_back(p, SIZE_MAX, p->initial);
    else if (capacity < p->initial)
        (void)lodei_pool_grow(p, p->initial - capacity);
}

/* ---- figures ---- */

/* Under the lock. */
static void fill(const struct lodei_pool *p, struct lode_pool_stats *s)
{
    /* relaxed: another thread may be moving these; then the figures are near */
    size_t hot = __atomic_load_n(&p->front.hot_count, __ATOMIC_RELAXED);
    size_t low = __atomic_load_n(&p->front.hot_low, __ATOMIC_RELAXED);
    size_t used_objects = (p->chunks - p->empty_chunks) * p->front.slots;
    s->object_bytes = p->object_bytes;
    s->chunk_objects = p->front.slots;
    s->chunk_bytes = p->chunk_bytes;
    s->live = p->taken > hot ? p->taken - hot : 0;
    s->hot = hot;
    s->capacity = lodei_pool_capacity(p);
    s->chunks = p->chunks;
    s->empty_chunks = p->empty_chunks;
    s->metadata_bytes = p->metadata_bytes;
    s->mapped_bytes = p->chunks * p->chunk_bytes + p->metadata_bytes;
    s->peak_live = lodei_max(p->peak_live, p->taken > low ? p->taken - low : 0);
    s->peak_chunks = p->peak_chunks;
    s->acquires = lodei_pool_acquires(p);
    s->misses = p->misses;
    s->refused = p->refused;
    s->failures = p->failures;
    s->misuses = atomic_load_explicit(&p->misuses, memory_order_relaxed);
    s->demand = lodei_max(p->demand, s->live);
    s->epochs = p->epochs;
    s->grows = p->grows;
    s->grows_ahead = p->grows_ahead;
    s->shrinks = p->shrinks;
    s->returned_bytes = p->returned_bytes;
    s->fragmentation = used_objects > 0 ? 1 - (double)s->live / (double)used_objects : 0;
}

/* What follows from the other figures. */
static void derive(struct lode_pool_stats *s)
{
    s->releases = s->acquires > s->live ? s->acquires - s->live : 0;
    s->hit_rate = s->acquires > 0 ? 1 - (double)s->misses / (double)s->acquires : 1;
}

void lodei_pool_stats(struct lodei_pool *p, struct lode_pool_stats *ret_stats)
{
    *ret_stats = (struct lode_pool_stats){.size = sizeof(*ret_stats)};
    pthread_mutex_lock(&p->lock);
    fill(p, ret_stats);
    if (p->adjust != NULL)
        p->adjust(p, ret_stats);
    pthread_mutex_unlock(&p->lock);
    derive(ret_stats);
}

int lodei_pool_stats_copy(struct lodei_pool *p, struct lode_pool_stats *stats)
{
    struct lode_pool_stats s;
    uint32_t size = stats->size;
    if (size < offsetof(struct lode_pool_stats, object_bytes))
        return -EINVAL;
    lodei_pool_stats(p, &s);
    s.size = size;
    memcpy(stats, &s, lodei_min(size, sizeof(s)));
    return 0;
}

int lode_pool_stats_get(const struct lode_pool *pool, struct lode_pool_stats *stats)
{
    return lodei_pool_stats_copy(lodei_pool_of(pool), stats);
}

void lodei_pool_describe(void *object, struct lode_allocator_stats *ret_stats)
{
    struct lode_pool_stats s;
    lodei_pool_stats(object, &s);
    *ret_stats = (struct lode_allocator_stats){
        .used_bytes = s.live * s.object_bytes,
        .requested_bytes = s.live * s.object_bytes,
        .peak_used_bytes = s.peak_live * s.object_bytes,
        .free_bytes = (s.capacity > s.live ? s.capacity - s.live : 0) * s.object_bytes,
        .mapped_bytes = s.mapped_bytes,
        .metadata_bytes = s.metadata_bytes,
        .largest_free_bytes = s.capacity > s.live ? s.object_bytes : 0,
        .blocks = s.live,
        .allocs = s.acquires,
        .frees = s.releases,
        .misses = s.misses,
        .failures = s.refused + s.failures,
    };
}

int lode_pool_owns(const struct lode_pool *pool, const void *address)
{
    return lodei_pool_chunk_at(lodei_pool_of(pool), address) != NULL;
}

/* ---- lode_allocator ---- */

int lodei_pool_fits(const struct lodei_pool *p, size_t bytes, size_t align)
{
    align = lodei_align_take(align);
    return align != 0 && align <= p->align && bytes <= p->object_bytes;
}

static void *pool_alloc(void *ctx, size_t bytes, size_t align)
{
    return lodei_pool_fits(lodei_pool_of(ctx), bytes, align) ? lode_pool_acquire(ctx) : NULL;
}

static void *pool_resize(void *ctx, void *block, size_t old_bytes, size_t bytes, size_t align)
{
    (void)old_bytes;
    if (block == NULL)
        return pool_alloc(ctx, bytes, align);
    return lodei_pool_fits(lodei_pool_of(ctx), bytes, align) ? block : NULL;
}

static int pool_free(void *ctx, void *block, size_t bytes, size_t align)
{
    (void)bytes;
    (void)align;
    return lode_pool_release(ctx, block);
}

static size_t pool_alloc_many(void *ctx, size_t bytes, size_t align, void **ret_blocks,
                              size_t count)
{
    if (!lodei_pool_fits(lodei_pool_of(ctx), bytes, align))
        return 0;
    return lode_pool_acquire_many(ctx, ret_blocks, count);
}

static int pool_free_many(void *ctx, void *const *blocks, size_t count, size_t bytes, size_t align)
{
    (void)bytes;
    (void)align;
    return lode_pool_release_many(ctx, blocks, count);
}

static size_t pool_max_bytes(void *ctx)
{
    return lodei_pool_of(ctx)->object_bytes;
}

static int pool_can_allocate(void *ctx, size_t bytes, size_t align)
{
    struct lode_pool_stats s;
    lodei_pool_stats(lodei_pool_of(ctx), &s);
    return lodei_pool_fits(lodei_pool_of(ctx), bytes, align) && s.live < lodei_pool_of(ctx)->max;
}

static int pool_owns(void *ctx, const void *block)
{
    return lode_pool_owns(ctx, block);
}

static void pool_stats(void *ctx, struct lode_allocator_stats *ret_stats)
{
    lodei_pool_describe(lodei_pool_of(ctx), ret_stats);
}

static const struct lode_allocator_ops pool_ops = {
    .alloc = pool_alloc,
    .resize = pool_resize,
    .free = pool_free,
    .alloc_many = pool_alloc_many,
    .free_many = pool_free_many,
    .max_bytes = pool_max_bytes,
    .can_allocate = pool_can_allocate,
    .owns = pool_owns,
    .stats = pool_stats,
};

void lode_pool_allocator(struct lode_pool *pool, struct lode_allocator *ret_allocator)
{
    const struct lodei_pool *p = lodei_pool_of(pool);
    uint32_t traits =
        LODE_TRAIT_FREES | LODE_TRAIT_FIXED | LODE_TRAIT_CHECKED | LODE_TRAIT_DESTROYS;
    if (p->max <= p->initial)
        traits |= LODE_TRAIT_BOUNDED;
    *ret_allocator = (struct lode_allocator){.ops = &pool_ops, .ctx = pool, .traits = traits};
}
