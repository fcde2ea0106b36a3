/* SPDX-License-Identifier: MIT */
/*
 * The Morton pool as the outside sees it: options, locking, figures, fork. Structures,
 * layout and locks are told in morton_pool.h.
 *
 * Lock order: pools_lock, then every stripe in rising order (only fork() takes more than one), then
 * chunks_lock, then whatever the heaps take. The registry's lock is independent: describe() takes
 * none. User callbacks run under no lock.
 */
#include "ext/morton_pool.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/list.h"
#include "ext/opts.h"

#define CHUNK_MIN     ((size_t)4096)
#define CHUNK_MAX     ((size_t)4 * 1024 * 1024)
#define CHUNK_WANTED  ((size_t)64 * 1024)
#define BLOCKS_WANTED 64u
#define BLOCKS_MIN    4u
#define GRANULES_MAX  64u
#define AT_ONCE       64u /* blocks found under one hold of a lock */

_Static_assert(sizeof(struct lode_morton_pool_opts) == 4 * 2 + 8 * 5 + 2 + 1 + 1 + 4,
               "no hidden padding");
_Static_assert(sizeof(struct lodei_morton_stripe) == 128, "a stripe has its lines for itself");
_Static_assert(sizeof(struct lodei_morton_leaf) == 96, "one byte for each of a hundred blocks");
_Static_assert(LODEI_MORTON_STRIPES == 64, "lodei_morton_stripe_of() takes six bits");

static pthread_mutex_t pools_lock = PTHREAD_MUTEX_INITIALIZER;
static struct lodei_list pools = {&pools, &pools}; /* guarded by pools_lock */

/* ---- fork ---- */

static void fork_prepare(void)
{
    pthread_mutex_lock(&pools_lock);
    for (struct lodei_list *l = pools.next; l != &pools; l = l->next) {
        struct lode_morton_pool *pool = lode_container_of(l, struct lode_morton_pool, link);
        for (unsigned i = 0; i < LODEI_MORTON_STRIPES; i++)
            lodei_morton_lock(&pool->stripes[i].lock);
        pthread_mutex_lock(&pool->chunks_lock);
    }
}

static void fork_done(void)
{
    for (struct lodei_list *l = pools.next; l != &pools; l = l->next) {
        struct lode_morton_pool *pool = lode_container_of(l, struct lode_morton_pool, link);
        pthread_mutex_unlock(&pool->chunks_lock);
        for (unsigned i = 0; i < LODEI_MORTON_STRIPES; i++)
            lodei_morton_unlock(&pool->stripes[i].lock);
    }
    pthread_mutex_unlock(&pools_lock);
}

__attribute__((constructor)) static void start(void)
{
    /* Fails only without memory at load time; then a fork at an unlucky moment is what is left. */
    (void)pthread_atfork(fork_prepare, fork_done, fork_done);
}

/* ---- figures ---- */

static uint64_t read_figure(const _Atomic uint64_t *figure)
{
    return atomic_load_explicit(figure, memory_order_relaxed);
}

static void describe(void *object, struct lode_allocator_stats *ret_stats)
{
    struct lode_morton_pool *pool = object;
    struct lode_allocator_stats s = {0};
    /* relaxed: as all figures */
    uint64_t chunks = atomic_load_explicit(&pool->spare, memory_order_relaxed) != NULL;
    s.metadata_bytes = read_figure(&pool->shared_metadata_bytes);
    for (unsigned i = 0; i < LODEI_MORTON_STRIPES; i++) {
        const struct lodei_morton_figures *f = &pool->stripes[i].figures;
        s.frees += read_figure(&f->released);
        s.allocs += read_figure(&f->acquired);
        s.misses += read_figure(&f->misses);
        s.failures += read_figure(&f->failures);
        s.metadata_bytes += read_figure(&f->metadata_bytes);
        chunks += read_figure(&f->chunks);
    }
    s.mapped_bytes = chunks * pool->cut.chunk_usable + s.metadata_bytes;
    s.blocks = s.allocs > s.frees ? s.allocs - s.frees : 0;
    s.used_bytes = s.blocks * pool->cut.stride;
    s.requested_bytes = s.blocks * pool->cut.block_bytes;
    uint64_t slots = chunks * pool->cut.chunk_slots;
    s.free_bytes = (slots > s.blocks ? slots - s.blocks : 0) * pool->cut.stride;
    s.largest_free_bytes = s.free_bytes != 0 ? pool->cut.block_bytes : 0;
    *ret_stats = s;
}

void lode_morton_pool_stats(struct lode_morton_pool *pool, struct lode_allocator_stats *ret_stats)
{
    describe(pool, ret_stats);
}

/* ---- create and destroy ---- */

static size_t power_above(size_t n)
{
    return n <= 1 ? 1 : (size_t)2 << lodei_log2(n - 1);
}

/* Fill in how blocks, granules and chunks are cut. 0; -EINVAL. */
static int cut(const struct lode_morton_pool_opts *opts, struct lodei_morton_cut *ret)
{
    size_t align = opts->align != 0 ? opts->align : 16;
    if (!lodei_is_power_of_two(align) || align > LODE_MORTON_BLOCK_MAX ||
        opts->block_bytes < LODE_MORTON_BLOCK_MIN || opts->block_bytes > LODE_MORTON_BLOCK_MAX)
        return -EINVAL;
    long page = sysconf(_SC_PAGESIZE);
    memset(ret, 0, sizeof(*ret));
    ret->page_bytes = page > 0 ? (size_t)page : 4096;
    ret->block_bytes = opts->block_bytes;
    size_t stride = ret->stride = lodei_round_up(opts->block_bytes, align);
    ret->granule_log2 = stride * 4 <= ret->page_bytes ? 2 : stride * 2 <= ret->page_bytes ? 1 : 0;
    ret->granule_slots = 1u << ret->granule_log2;
    /* 64 blocks, but no more than a slice of the heap where that is 16 blocks or more */
    size_t chunk = lodei_min(power_above(stride * BLOCKS_WANTED),
                             lodei_max(CHUNK_WANTED, power_above(stride * BLOCKS_WANTED / 4)));
    chunk = lodei_max(chunk, CHUNK_MIN);
    if (opts->chunk_bytes != 0)
        chunk = opts->chunk_bytes;
    if (!lodei_is_power_of_two(chunk) || chunk < CHUNK_MIN || chunk > CHUNK_MAX || chunk < align ||
        chunk / stride < BLOCKS_MIN)
        return -EINVAL;
    ret->chunk_bytes = chunk;
    ret->chunk_log2 = lodei_log2(chunk);
    ret->chunk_usable = lode_good_size(chunk);
    ret->chunk_slots = (uint32_t)(chunk / stride);
    ret->chunk_granules = (ret->chunk_slots + ret->granule_slots - 1) / ret->granule_slots;
    ret->chunk_words = (ret->chunk_slots + 63) / 64;
    if (ret->chunk_granules > GRANULES_MAX)
        return -EINVAL;
    ret->codes_at = ret->chunk_words * 8;
    ret->next_at = ret->codes_at + ret->chunk_slots * 2;
    ret->owners_at = ret->next_at + ret->chunk_granules * 2;
    ret->detail_bytes = ret->owners_at + ret->chunk_granules;
    ret->enough_granules = ret->chunk_granules + (uint32_t)lodei_max(1, ret->chunk_granules / 4);
    ret->by_stride = lodei_morton_divisor((uint32_t)stride);
    ret->by_chunk_slots = lodei_morton_divisor(ret->chunk_slots);
    ret->by_chunk_granules = lodei_morton_divisor(ret->chunk_granules);
    return 0;
}

/* Its own heap, or the one given. 0; -EINVAL; -ENOTSUP; -ENOMEM. */
static int open_heap(const struct lode_morton_pool_opts *opts, struct lode_heap **ret_heap)
{
    if (opts->heap != NULL) {
        *ret_heap = opts->heap;
        return opts->tag != 0 || opts->kind != 0 ? -EINVAL : 0;
    }
    struct lode_heap_opts heap_opts = LODE_HEAP_OPTS_INIT;
    heap_opts.tag = opts->tag;
    heap_opts.kind = opts->kind;
    heap_opts.name = opts->name != NULL ? opts->name : "morton";
    return lode_heap_create(&heap_opts, ret_heap);
}

/* ---- requests with near_ptr ---- */

static int near_owns(void *ctx, const void *near)
{
    return lodei_morton_chunk_at(ctx, near) != NULL;
}

/* Slots are aligned to what divides their stride, chunks to their size. */
static void *near_alloc(void *ctx, const void *near, size_t bytes, size_t align)
{
    struct lode_morton_pool *pool = ctx;
    size_t stride = pool->cut.stride;
    void *block = NULL;
    if (bytes > stride || align > lodei_min(stride & (0 - stride), pool->cut.chunk_bytes) ||
        lode_morton_pool_acquire_near(pool, LODE_MORTON_NO_CODE, near, &block, NULL) != 0)
        return NULL;
    return block;
}

static int near_free(void *ctx, void *block)
{
    return lode_morton_pool_release(ctx, block);
}

/* ---- create, destroy ---- */

int lode_morton_pool_create(const struct lode_morton_pool_opts *opts,
                            struct lode_morton_pool **ret_pool)
{
    struct lode_morton_pool_opts o;
    struct lodei_morton_cut shape;
    struct lode_morton_pool *pool;
    struct lode_heap *heap;
    int status = lodei_opts_take(opts, &o, sizeof(o));
    if (status == 0 && (opts == NULL || o.flags != 0 || o.reserved != 0))
        status = -EINVAL;
    if (status == 0)
        status = cut(&o, &shape);
    if (status == 0)
        status = open_heap(&o, &heap);
    if (status != 0)
        return status;
    pool = lode_heap_aligned_alloc(heap, 128, sizeof(*pool));
    if (pool == NULL) {
        status = -ENOMEM;
        goto fail;
    }
    memset(pool, 0, sizeof(*pool));
    pool->cut = shape;
    pool->heap = heap;
    pool->owns_heap = o.heap == NULL;
    pool->max_blocks = o.max_blocks;
    lodei_morton_count(&pool->shared_metadata_bytes, lode_usable_size(pool));
    status = lodei_morton_chunks_init(pool);
    if (status != 0)
        goto fail;
    pthread_mutex_lock(&pools_lock);
    lodei_list_push_back(&pools, &pool->link);
    pthread_mutex_unlock(&pools_lock);
    lodei_registry_add(&pool->registered, "morton", o.name, pool, describe);
    pool->near =
        (struct lodei_near){.ctx = pool, .owns = near_owns, .alloc = near_alloc, .free = near_free};
    lodei_near_add(&pool->near);
    *ret_pool = pool;
    return 0;

fail:
    if (pool != NULL)
        lode_free(pool);
    if (o.heap == NULL)
        lode_heap_destroy(heap);
    return status;
}

static void stripe_finish(struct lodei_morton_stripe *stripe)
{
    for (size_t i = 0; stripe->zones != NULL && i <= stripe->zone_mask; i++) {
        struct lodei_morton_zone *zone = stripe->zones[i];
        if (zone == NULL)
            continue;
        for (unsigned l = 0; l < LODEI_MORTON_ZONE_LEAVES; l++)
            if (zone->leaves[l] != NULL) {
                lode_free(zone->leaves[l]->slots);
                lode_free(zone->leaves[l]);
            }
        lode_free(zone->chunks);
        lode_free(zone);
    }
    lode_free(stripe->zones);
}

void lode_morton_pool_destroy(struct lode_morton_pool *pool)
{
    if (pool == NULL)
        return;
    lodei_near_remove(&pool->near);
    lodei_registry_remove(&pool->registered);
    pthread_mutex_lock(&pools_lock);
    lodei_list_remove(&pool->link);
    pthread_mutex_unlock(&pools_lock);
    for (unsigned i = 0; i < LODEI_MORTON_STRIPES; i++)
        stripe_finish(&pool->stripes[i]);
    lodei_morton_chunks_finish(pool);
    struct lode_heap *heap = pool->owns_heap ? pool->heap : NULL;
    lode_free(pool);
    lode_heap_destroy(heap);
}

/* ---- acquire ---- */

int lodei_morton_acquire_locked(struct lode_morton_pool *pool, struct lodei_morton_stripe *stripe,
                                uint64_t code, const struct lodei_morton_place *near,
                                void **ret_block, enum lode_morton_nearness *ret_nearness)
{
    int status;
    /* relaxed: a number, and nothing is read on its account */
    if (lode_unlikely(pool->max_blocks != 0) &&
        atomic_fetch_add_explicit(&pool->limited_blocks, 1, memory_order_relaxed) >=
            pool->max_blocks) {
        lodei_morton_count(&stripe->figures.failures, 1);
        status = -ENOSPC;
    } else {
        status = lodei_morton_acquire(pool, stripe, code, near, ret_block, ret_nearness);
    }
    if (lode_unlikely(status != 0 && pool->max_blocks != 0))
        atomic_fetch_sub_explicit(&pool->limited_blocks, 1, memory_order_relaxed);
    return status;
}

static void release_locked(struct lode_morton_pool *pool, struct lodei_morton_stripe *stripe,
                           struct lodei_morton_place place)
{
    lodei_morton_release(pool, stripe, place);
    if (lode_unlikely(pool->max_blocks != 0))
        atomic_fetch_sub_explicit(&pool->limited_blocks, 1, memory_order_relaxed);
}

int lode_morton_pool_acquire(struct lode_morton_pool *pool, uint64_t code, void **ret_block)
{
    if (code == LODE_MORTON_NO_CODE)
        return -ERANGE;
    struct lodei_morton_stripe *stripe = lodei_morton_stripe_of(pool, code);
    lodei_morton_lock(&stripe->lock);
    int status = lodei_morton_acquire_locked(pool, stripe, code, NULL, ret_block, NULL);
    lodei_morton_unlock(&stripe->lock);
    return status;
}

/*
 * Find the place of a live block, and leave its stripe locked. 0; -EINVAL no block of this pool, or
 * not live. The chunk found may end, and its structure or its memory be used again, before the lock
 * is taken: then the lock is that of another stripe, or the address another one.
 */
static int locate(struct lode_morton_pool *pool, const void *block,
                  struct lodei_morton_stripe **ret_stripe, struct lodei_morton_place *ret_place)
{
    for (;;) {
        struct lodei_morton_chunk *chunk = lodei_morton_chunk_at(pool, block);
        if (chunk == NULL)
            return -EINVAL;
        unsigned number = atomic_load_explicit(&chunk->stripe, memory_order_relaxed);
        struct lodei_morton_stripe *stripe = &pool->stripes[number];
        lodei_morton_lock(&stripe->lock);
        /* acquire: pairs with the release in chunk_new() */
        uintptr_t memory = (uintptr_t)atomic_load_explicit(&chunk->memory, memory_order_acquire);
        size_t offset = (uintptr_t)block - memory;
        if (offset < pool->cut.chunk_bytes &&
            atomic_load_explicit(&chunk->stripe, memory_order_relaxed) == number) {
            unsigned slot = lodei_morton_divide((uint32_t)offset, pool->cut.by_stride);
            if (slot < pool->cut.chunk_slots && slot * pool->cut.stride == offset &&
                (chunk->detail->free_slots[slot / 64] >> slot % 64 & 1) == 0) {
                *ret_stripe = stripe;
                *ret_place = (struct lodei_morton_place){chunk, slot};
                return 0;
            }
            lodei_morton_unlock(&stripe->lock);
            return -EINVAL;
        }
        lodei_morton_unlock(&stripe->lock);
    }
}

int lode_morton_pool_acquire_near(struct lode_morton_pool *pool, uint64_t code, const void *near,
                                  void **ret_block, enum lode_morton_nearness *ret_nearness)
{
    struct lodei_morton_stripe *stripe;
    struct lodei_morton_place place;
    enum lode_morton_nearness nearness = LODE_MORTON_ELSEWHERE;
    if (locate(pool, near, &stripe, &place) != 0)
        return -EINVAL;
    int status;
    if (code != LODE_MORTON_NO_CODE &&
        place.chunk->zone->number != code >> LODEI_MORTON_ZONE_LOG2) {
        lodei_morton_unlock(&stripe->lock);
        status = lode_morton_pool_acquire(pool, code, ret_block);
    } else {
        status = lodei_morton_acquire_locked(pool, stripe, code, &place, ret_block, &nearness);
        lodei_morton_unlock(&stripe->lock);
    }
    if (status == 0 && ret_nearness != NULL)
        *ret_nearness = nearness;
    return status;
}

/* ---- release, find ---- */

int lode_morton_pool_release(struct lode_morton_pool *pool, void *block)
{
    struct lodei_morton_stripe *stripe;
    struct lodei_morton_place place;
    if (block == NULL)
        return 0;
    int status = locate(pool, block, &stripe, &place);
    if (status == 0) {
        release_locked(pool, stripe, place);
        lodei_morton_unlock(&stripe->lock);
    }
    return status;
}

int lode_morton_pool_release_code(struct lode_morton_pool *pool, uint64_t code)
{
    struct lodei_morton_stripe *stripe = lodei_morton_stripe_of(pool, code);
    lodei_morton_lock(&stripe->lock);
    struct lodei_morton_place place = lodei_morton_lookup(pool, stripe, code);
    if (place.chunk != NULL)
        release_locked(pool, stripe, place);
    lodei_morton_unlock(&stripe->lock);
    return place.chunk != NULL ? 0 : -ENOENT;
}

void *lode_morton_pool_find(struct lode_morton_pool *pool, uint64_t code)
{
    void *block = NULL;
    (void)lode_morton_pool_find_many(pool, &code, 1, &block);
    return block;
}

size_t lode_morton_pool_find_many(struct lode_morton_pool *pool, const uint64_t *codes,
                                  size_t count, void **ret_blocks)
{
    size_t found = 0, i = 0;
    while (i < count) {
        struct lodei_morton_stripe *stripe = lodei_morton_stripe_of(pool, codes[i]);
        uint64_t number = codes[i] >> LODEI_MORTON_ZONE_LOG2;
        size_t end = lodei_min(count, i + AT_ONCE);
        lodei_morton_lock(&stripe->lock);
        for (; i < end && codes[i] >> LODEI_MORTON_ZONE_LOG2 == number; i++) {
            struct lodei_morton_place place = lodei_morton_lookup(pool, stripe, codes[i]);
            ret_blocks[i] = place.chunk != NULL ? lodei_morton_block(pool, place) : NULL;
            found += place.chunk != NULL;
        }
        lodei_morton_unlock(&stripe->lock);
    }
    return found;
}

int lode_morton_pool_code(struct lode_morton_pool *pool, const void *block, uint64_t *ret_code)
{
    struct lodei_morton_stripe *stripe;
    struct lodei_morton_place place;
    if (locate(pool, block, &stripe, &place) != 0)
        return -EINVAL;
    unsigned local = lodei_morton_codes(pool, place.chunk)[place.slot];
    uint64_t number = place.chunk->zone->number;
    lodei_morton_unlock(&stripe->lock);
    if (local & LODEI_MORTON_UNLISTED)
        return -ENODATA;
    *ret_code = number << LODEI_MORTON_ZONE_LOG2 | local;
    return 0;
}

size_t lode_morton_pool_trim(struct lode_morton_pool *pool)
{
    /* First, since the chunks that end here replace each other there. */
    size_t bytes = lodei_morton_spare_free(pool);
    for (unsigned i = 0; i < LODEI_MORTON_STRIPES; i++) {
        struct lodei_morton_stripe *stripe = &pool->stripes[i];
        lodei_morton_lock(&stripe->lock);
        for (size_t z = 0; stripe->zones != NULL && z <= stripe->zone_mask; z++)
            if (stripe->zones[z] != NULL)
                bytes += lodei_morton_chunks_trim(pool, stripe, stripe->zones[z]);
        lodei_morton_unlock(&stripe->lock);
    }
    (void)lodei_morton_spare_free(pool);
    return bytes;
}
