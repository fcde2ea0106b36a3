/* SPDX-License-Identifier: MIT */
/*
 * The Morton pool's memory: chunks, and the table from addresses to chunks. morton_pool.h shows
 * the structures and says who guards them.
 *
 *     table: | chunk | NULL | chunk | chunk | ...    by chunk->memory, linear probing
 *
 * Chunks are aligned to their size, so an address leads to its chunk's. Readers of the table take
 * no lock; changes are made under chunks_lock. A table that was grown out of is kept until the pool
 * ends, the sum of all such being less than the one in use.
 *
 * The pool keeps the memory of the chunk that was given back last.
 *
 * Never calls the program, never takes a stripe's lock.
 */
#include "ext/morton_pool.h"

#include <errno.h>
#include <string.h>

#include "base/bitmap.h"
#include "ext/poison.h"

/* In a zone, so that LODEI_MORTON_NONE is none. */
#define SLOTS_MAX 65535u

#define TABLE_FIRST 16u

#define SLAB_BYTES  4096u
#define SLAB_CHUNKS ((SLAB_BYTES - sizeof(struct chunk_slab *)) / sizeof(struct lodei_morton_chunk))

struct chunk_slab {
    struct chunk_slab *next;
    struct lodei_morton_chunk chunks[];
};

_Static_assert(sizeof(struct lodei_morton_chunk) == 40, "half a byte for each of 64 blocks");

void *lodei_morton_meta_alloc(struct lode_morton_pool *pool, _Atomic uint64_t *figure, size_t bytes)
{
    void *p = lode_heap_alloc(pool->heap, bytes);
    if (p != NULL)
        lodei_morton_count(figure, lode_usable_size(p));
    return p;
}

void lodei_morton_meta_free(_Atomic uint64_t *figure, void *p)
{
    lodei_morton_uncount(figure, lode_usable_size(p));
    lode_free(p);
}

/* ---- the address table ---- */

static size_t home_of(const struct lode_morton_pool *pool, const char *memory)
{
    return (size_t)(lodei_morton_hash((uintptr_t)memory >> pool->cut.chunk_log2) >> 32);
}

static struct lodei_morton_chunk *table_find(const struct lode_morton_pool *pool,
                                             const struct lodei_morton_table *table,
                                             const char *memory)
{
    for (size_t i = home_of(pool, memory);; i++) {
        /* acquire: pairs with the release in table_put() */
        struct lodei_morton_chunk *chunk =
            atomic_load_explicit(&table->entries[i & table->mask], memory_order_acquire);
        /* relaxed: checked again under the stripe's lock */
        if (chunk == NULL || atomic_load_explicit(&chunk->memory, memory_order_relaxed) == memory)
            return chunk;
    }
}

/* One reader may miss an entry that is being moved: what is not found is looked for once more. */
struct lodei_morton_chunk *lodei_morton_chunk_at(struct lode_morton_pool *pool, const void *block)
{
    const char *memory = (const char *)((uintptr_t)block & ~(uintptr_t)(pool->cut.chunk_bytes - 1));
    if (memory == NULL)
        return NULL;
    /* acquire: pairs with the release in table_grow() */
    struct lodei_morton_chunk *chunk =
        table_find(pool, atomic_load_explicit(&pool->table, memory_order_acquire), memory);
    if (lode_unlikely(chunk == NULL)) {
        pthread_mutex_lock(&pool->chunks_lock);
        chunk = table_find(pool, atomic_load_explicit(&pool->table, memory_order_relaxed), memory);
        pthread_mutex_unlock(&pool->chunks_lock);
    }
    return chunk;
}

static void table_put(const struct lode_morton_pool *pool, struct lodei_morton_table *table,
                      struct lodei_morton_chunk *chunk)
{
    size_t i = home_of(pool, atomic_load_explicit(&chunk->memory, memory_order_relaxed));
    while (atomic_load_explicit(&table->entries[i & table->mask], memory_order_relaxed) != NULL)
        i++;
    /* release: pairs with the acquire in table_find() */
    atomic_store_explicit(&table->entries[i & table->mask], chunk, memory_order_release);
}

/* Linear probing's deletion without marks (Knuth 6.4, algorithm R). */
static void table_remove(struct lode_morton_pool *pool, struct lodei_morton_chunk *chunk)
{
    struct lodei_morton_table *table = atomic_load_explicit(&pool->table, memory_order_relaxed);
    size_t mask = table->mask;
    size_t i = home_of(pool, atomic_load_explicit(&chunk->memory, memory_order_relaxed)) & mask;
    while (atomic_load_explicit(&table->entries[i], memory_order_relaxed) != chunk)
        i = (i + 1) & mask;
    for (size_t j = (i + 1) & mask;; j = (j + 1) & mask) {
        struct lodei_morton_chunk *other =
            atomic_load_explicit(&table->entries[j], memory_order_relaxed);
        if (other == NULL)
            break;
        size_t home = home_of(pool, atomic_load_explicit(&other->memory, memory_order_relaxed));
        if (((j - home) & mask) >= ((j - i) & mask)) {
            atomic_store_explicit(&table->entries[i], other, memory_order_release);
            i = j;
        }
    }
    atomic_store_explicit(&table->entries[i], NULL, memory_order_release);
    pool->table_chunks--;
}

static struct lodei_morton_table *table_new(struct lode_morton_pool *pool, size_t entries)
{
    struct lodei_morton_table *table = lodei_morton_meta_alloc(
        pool, &pool->shared_metadata_bytes, sizeof(*table) + entries * sizeof(table->entries[0]));
    if (table != NULL) {
        memset(table, 0, sizeof(*table) + entries * sizeof(table->entries[0]));
        table->mask = entries - 1;
    }
    return table;
}

/* Room for one more, at most three quarters full. Late readers may still look at what it was. */
static int table_grow(struct lode_morton_pool *pool)
{
    struct lodei_morton_table *old = atomic_load_explicit(&pool->table, memory_order_relaxed);
    if ((pool->table_chunks + 1) * 4 <= (old->mask + 1) * 3)
        return 0;
    struct lodei_morton_table *table = table_new(pool, (old->mask + 1) * 2);
    if (table == NULL)
        return -ENOMEM;
    for (size_t i = 0; i <= old->mask; i++) {
        struct lodei_morton_chunk *chunk =
            atomic_load_explicit(&old->entries[i], memory_order_relaxed);
        if (chunk != NULL)
            table_put(pool, table, chunk);
    }
    table->older = old;
    /* release: pairs with the acquire in lodei_morton_chunk_at() */
    atomic_store_explicit(&pool->table, table, memory_order_release);
    return 0;
}

/* ---- chunk structures; under chunks_lock ---- */

static struct lodei_morton_chunk *chunk_struct(struct lode_morton_pool *pool)
{
    if (pool->unused_chunks == NULL) {
        struct chunk_slab *slab =
            lodei_morton_meta_alloc(pool, &pool->shared_metadata_bytes, SLAB_BYTES);
        if (slab == NULL)
            return NULL;
        memset(slab, 0, SLAB_BYTES);
        slab->next = pool->slabs;
        pool->slabs = slab;
        for (size_t i = SLAB_CHUNKS; i-- > 0;) {
            slab->chunks[i].zone = (void *)pool->unused_chunks;
            pool->unused_chunks = &slab->chunks[i];
        }
    }
    struct lodei_morton_chunk *chunk = pool->unused_chunks;
    pool->unused_chunks = (void *)chunk->zone;
    return chunk;
}

/* ---- memory of chunks ---- */

static char *memory_new(struct lode_morton_pool *pool, struct lodei_morton_stripe *stripe)
{
    /* acquire: pairs with the release in memory_end(): what was told of it (poison.h) came first */
    char *memory = atomic_exchange_explicit(&pool->spare, NULL, memory_order_acquire);
    if (memory == NULL) {
        memory = lode_heap_aligned_alloc(pool->heap, pool->cut.chunk_bytes, pool->cut.chunk_bytes);
        if (memory == NULL)
            return NULL;
        lodei_morton_count(&stripe->figures.misses, 1);
        lodei_taken(memory, pool->cut.chunk_bytes);
    }
    return memory;
}

static void memory_free(struct lode_morton_pool *pool, char *memory)
{
    lodei_forgotten(memory, pool->cut.chunk_bytes);
    lode_free(memory);
}

/* Becomes the spare; the one before is freed. */
static void memory_end(struct lode_morton_pool *pool, char *memory)
{
    /* acq_rel: pairs with itself and with the acquire in memory_new() */
    memory = atomic_exchange_explicit(&pool->spare, memory, memory_order_acq_rel);
    if (memory != NULL)
        memory_free(pool, memory);
}

size_t lodei_morton_spare_free(struct lode_morton_pool *pool)
{
    /* acquire: pairs with the release in memory_end() */
    char *memory = atomic_exchange_explicit(&pool->spare, NULL, memory_order_acquire);
    if (memory == NULL)
        return 0;
    memory_free(pool, memory);
    return pool->cut.chunk_usable;
}

/* ---- chunks of a zone ---- */

static int zone_reserve(struct lode_morton_pool *pool, struct lodei_morton_stripe *stripe,
                        struct lodei_morton_zone *zone, unsigned index)
{
    if (index < zone->chunk_capacity)
        return 0;
    unsigned capacity =
        zone->chunk_capacity == 0 ? 4 : zone->chunk_capacity + zone->chunk_capacity / 2;
    struct lodei_morton_chunk **chunks = lodei_morton_meta_alloc(
        pool, &stripe->figures.metadata_bytes, capacity * sizeof(struct lodei_morton_chunk *));
    if (chunks == NULL)
        return -ENOMEM;
    if (zone->chunks != NULL) {
        memcpy(chunks, zone->chunks, zone->chunk_count * sizeof(struct lodei_morton_chunk *));
        lodei_morton_meta_free(&stripe->figures.metadata_bytes, zone->chunks);
    }
    zone->chunks = chunks;
    zone->chunk_capacity =
        (uint16_t)lodei_min(lode_usable_size(chunks) / sizeof(chunks[0]), SLOTS_MAX);
    return 0;
}

static struct lodei_morton_detail *detail_new(struct lode_morton_pool *pool,
                                              struct lodei_morton_stripe *stripe)
{
    struct lodei_morton_detail *detail =
        lodei_morton_meta_alloc(pool, &stripe->figures.metadata_bytes, pool->cut.detail_bytes);
    if (detail == NULL)
        return NULL;
    memset(detail, 0, pool->cut.codes_at);
    memset((char *)detail + pool->cut.codes_at, 0xff, pool->cut.detail_bytes - pool->cut.codes_at);
    lodei_bitmap_put(detail->free_slots, 0, pool->cut.chunk_slots, 1);
    return detail;
}

int lodei_morton_chunk_new(struct lode_morton_pool *pool, struct lodei_morton_stripe *stripe,
                           struct lodei_morton_zone *zone, struct lodei_morton_chunk **ret_chunk)
{
    struct lodei_morton_chunk *chunk = NULL;
    unsigned index = 0;
    while (index < zone->chunk_count && zone->chunks[index] != NULL)
        index++;
    if ((index + 1) * pool->cut.chunk_slots > SLOTS_MAX)
        return -ENOSPC;
    if (zone_reserve(pool, stripe, zone, index) != 0)
        return -ENOMEM;
    struct lodei_morton_detail *detail = detail_new(pool, stripe);
    if (detail == NULL)
        return -ENOMEM;
    char *memory = memory_new(pool, stripe);
    if (memory == NULL)
        goto fail_memory;
    pthread_mutex_lock(&pool->chunks_lock);
    if (table_grow(pool) == 0)
        chunk = chunk_struct(pool);
    if (chunk != NULL) {
        atomic_store_explicit(&chunk->stripe, (uint16_t)(stripe - pool->stripes),
                              memory_order_relaxed);
        /* release: pairs with the acquire in locate(), morton_pool.c: who sees this address sees
         * this stripe */
        atomic_store_explicit(&chunk->memory, memory, memory_order_release);
        table_put(pool, atomic_load_explicit(&pool->table, memory_order_relaxed), chunk);
        pool->table_chunks++;
    }
    pthread_mutex_unlock(&pool->chunks_lock);
    if (chunk == NULL)
        goto fail_chunk;
    chunk->detail = detail;
    chunk->zone = zone;
    chunk->free_granules = UINT64_MAX >> (64 - pool->cut.chunk_granules);
    chunk->index = (uint16_t)index;
    chunk->blocks = 0;
    zone->chunks[index] = chunk;
    if (index == zone->chunk_count)
        zone->chunk_count++;
    zone->free_granules += pool->cut.chunk_granules;
    zone->first_free = (uint16_t)lodei_min(zone->first_free, index);
    zone->empty++;
    lodei_morton_count(&stripe->figures.chunks, 1);
    *ret_chunk = chunk;
    return 0;

fail_chunk:
    memory_end(pool, memory);
fail_memory:
    lodei_morton_meta_free(&stripe->figures.metadata_bytes, detail);
    return -ENOMEM;
}

/* Give an empty chunk back. */
static void chunk_end(struct lode_morton_pool *pool, struct lodei_morton_stripe *stripe,
                      struct lodei_morton_zone *zone, struct lodei_morton_chunk *chunk)
{
    char *memory = atomic_load_explicit(&chunk->memory, memory_order_relaxed);
    zone->chunks[chunk->index] = NULL;
    while (zone->chunk_count > 0 && zone->chunks[zone->chunk_count - 1] == NULL)
        zone->chunk_count--;
    zone->free_granules -= pool->cut.chunk_granules;
    zone->empty--;
    lodei_morton_meta_free(&stripe->figures.metadata_bytes, chunk->detail);
    lodei_morton_uncount(&stripe->figures.chunks, 1);
    pthread_mutex_lock(&pool->chunks_lock);
    table_remove(pool, chunk);
    atomic_store_explicit(&chunk->memory, NULL, memory_order_relaxed);
    chunk->zone = (void *)pool->unused_chunks;
    pool->unused_chunks = chunk;
    pthread_mutex_unlock(&pool->chunks_lock);
    memory_end(pool, memory);
}

size_t lodei_morton_chunks_trim(struct lode_morton_pool *pool, struct lodei_morton_stripe *stripe,
                                struct lodei_morton_zone *zone)
{
    size_t ended = 0;
    for (unsigned i = zone->chunk_count; zone->empty != 0 && i-- > 0;)
        if (zone->chunks[i] != NULL && zone->chunks[i]->blocks == 0) {
            chunk_end(pool, stripe, zone, zone->chunks[i]);
            ended++;
        }
    return ended * pool->cut.chunk_usable;
}

/* ---- the pool's beginning and end ---- */

int lodei_morton_chunks_init(struct lode_morton_pool *pool)
{
    struct lodei_morton_table *table = table_new(pool, TABLE_FIRST);
    if (table == NULL)
        return -ENOMEM;
    pthread_mutex_init(&pool->chunks_lock, NULL);
    atomic_store_explicit(&pool->table, table, memory_order_release);
    return 0;
}

void lodei_morton_chunks_finish(struct lode_morton_pool *pool)
{
    struct lodei_morton_table *table = atomic_load_explicit(&pool->table, memory_order_relaxed);
    for (size_t i = 0; i <= table->mask; i++) {
        struct lodei_morton_chunk *chunk =
            atomic_load_explicit(&table->entries[i], memory_order_relaxed);
        if (chunk != NULL) {
            memory_free(pool, atomic_load_explicit(&chunk->memory, memory_order_relaxed));
            lode_free(chunk->detail);
        }
    }
    (void)lodei_morton_spare_free(pool);
    for (struct lodei_morton_table *older; table != NULL; table = older) {
        older = table->older;
        lode_free(table);
    }
    for (struct chunk_slab *slab = pool->slabs, *next; slab != NULL; slab = next) {
        next = slab->next;
        lode_free(slab);
    }
    pthread_mutex_destroy(&pool->chunks_lock);
}
