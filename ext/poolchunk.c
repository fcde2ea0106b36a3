/* SPDX-License-Identifier: MIT */
/*
 * Chunks of an object pool: getting them from the heap, finding them from an address, taking
 * objects out and putting them back, giving empty ones back. Owns the index and the descriptors.
 *
 *     address -> hash of (address rounded down) -> table entry -> descriptor -> slot by division
 *
 * The table is open addressing with linear probing (Knuth, TAOCP 3, 6.4), at most a quarter full.
 * Readers take no lock: an entry that is deleted becomes `gone`, so that those behind it are still
 * found, and `none` again once only `none` follows it. Entries of live chunks never move, and a
 * table that is outgrown stays until the pool is destroyed: a reader may still be in it, and what
 * it looks for is there. Old indices together are smaller than the present one.
 *
 * Objects are taken from the open chunk with the lowest number, lowest slot first: high chunks run
 * empty, so that there is something to give back (address-ordered first fit of Wilson et al.,
 * "Dynamic Storage Allocation" (1995), here by chunk).
 *
 * pool->lock guards all changes. Nothing here calls the user or prints.
 */
#include "ext/poolcore.h"

#include <errno.h>
#include <string.h>

#include "base/bitmap.h"
#include "ext/poison.h"
#include "lode/stats.h"

#define INDEX_CHUNKS_MIN 4
#define TABLE_PER_CHUNK  4

/* No address rounds down to 1. */
static struct lode_pool_chunk none = {.base = 1};
static struct lode_pool_chunk gone = {.base = 1};

/* Under the lock, or by the thread of a plain pool. */
static struct lodei_pool_index *present(const struct lodei_pool *p)
{
    return atomic_load_explicit(&p->index, memory_order_relaxed);
}

static size_t table_entries(const struct lodei_pool_index *index)
{
    return (size_t)index->capacity * TABLE_PER_CHUNK;
}

static size_t hash(const struct lodei_pool_index *index, uintptr_t base)
{
    /* As in lode_pool_release(): Fibonacci hashing, TAOCP 3, 6.4. */
    return (size_t)((uint64_t)base * 0x9e3779b97f4a7c15u >> index->shift);
}

static struct lode_pool_chunk *load(struct lode_pool_chunk **entry)
{
    return __atomic_load_n(entry, __ATOMIC_ACQUIRE); /* pairs with store() */
}

static void store(struct lode_pool_chunk **entry, struct lode_pool_chunk *chunk)
{
    __atomic_store_n(entry, chunk, __ATOMIC_RELEASE); /* pairs with load() */
}

static void table_add(struct lodei_pool_index *index, struct lode_pool_chunk *chunk)
{
    size_t mask = table_entries(index) - 1, at = hash(index, chunk->base);
    while (index->table[at] != &none && index->table[at] != &gone)
        at = (at + 1) & mask;
    store(&index->table[at], chunk);
}

static void table_remove(struct lodei_pool_index *index, struct lode_pool_chunk *chunk)
{
    size_t mask = table_entries(index) - 1, at = hash(index, chunk->base);
    while (index->table[at] != chunk)
        at = (at + 1) & mask;
    store(&index->table[at], &gone);
    while (index->table[(at + 1) & mask] == &none && index->table[at] == &gone) {
        store(&index->table[at], &none);
        at = (at - 1) & mask;
    }
}

struct lode_pool_chunk *lodei_pool_chunk_at(const struct lodei_pool *p, const void *address)
{
    /* pairs with install() */
    const struct lodei_pool_index *index = atomic_load_explicit(&p->index, memory_order_acquire);
    uintptr_t base = (uintptr_t)address & p->front.chunk_mask;
    size_t entries = table_entries(index), at = hash(index, base);
    if ((uintptr_t)address - base >= p->chunk_bytes || base == 0)
        return NULL;
    for (size_t i = 0; i < entries; i++, at = (at + 1) & (entries - 1)) {
        struct lode_pool_chunk *chunk = load(&index->table[at]);
        if (chunk == &none)
            return NULL;
        /* relaxed: of a chunk whose object the caller has, nothing changes; of others any answer
         * is as good */
        if (__atomic_load_n(&chunk->base, __ATOMIC_RELAXED) == base)
            return chunk;
    }
    return NULL;
}

struct lode_pool_chunk *lodei_pool_find(const struct lodei_pool *p, const void *object,
                                        uint32_t *ret_slot)
{
    uint32_t offset = (uint32_t)((uintptr_t)object & ~p->front.chunk_mask);
    uint32_t product = offset * p->front.inverse;
    *ret_slot = product >> p->front.twos | product << (-p->front.twos & 31);
    return *ret_slot < p->front.slots ? lodei_pool_chunk_at(p, object) : NULL;
}

static struct lodei_pool_index *index_new(const struct lodei_pool *p, uint32_t capacity)
{
    size_t words = (capacity + 63) / 64;
    size_t entries = (size_t)capacity * TABLE_PER_CHUNK;
    size_t bytes = sizeof(struct lodei_pool_index) + capacity * sizeof(struct lode_pool_chunk *) +
                   2 * words * sizeof(uint64_t) + entries * sizeof(struct lode_pool_chunk *);
    struct lodei_pool_index *index = lodei_source_calloc(&p->source, bytes);
    if (index == NULL)
        return NULL;
    index->bytes = bytes;
    index->capacity = capacity;
    index->shift = 64 - lodei_log2(entries);
    index->mapped = (uint64_t *)(void *)(index + 1);
    index->open = index->mapped + words;
    index->chunks = (struct lode_pool_chunk **)(void *)(index->open + words);
    index->table = index->chunks + capacity;
    for (size_t i = 0; i < entries; i++)
        index->table[i] = &none;
    return index;
}

static void install(struct lodei_pool *p, struct lodei_pool_index *index)
{
    p->metadata_bytes += index->bytes;
    /* release: what it holds is written; pairs with lodei_pool_find() */
    atomic_store_explicit(&p->index, index, memory_order_release);
    p->front.table = index->table;
    p->front.table_shift = index->shift;
}

int lodei_pool_index_make(struct lodei_pool *p, size_t chunks)
{
    size_t capacity = INDEX_CHUNKS_MIN;
    while (capacity < chunks && capacity < (size_t)1 << 30)
        capacity *= 2;
    struct lodei_pool_index *index = index_new(p, (uint32_t)capacity);
    if (index == NULL)
        return -ENOMEM;
    install(p, index);
    return 0;
}

/* Under the lock. */
static int index_double(struct lodei_pool *p)
{
    struct lodei_pool_index *old = present(p);
    if (old->capacity >= (uint32_t)1 << 30)
        return -ENOMEM;
    struct lodei_pool_index *index = index_new(p, old->capacity * 2);
    if (index == NULL)
        return -ENOMEM;
    memcpy(index->chunks, old->chunks, old->capacity * sizeof(old->chunks[0]));
    memcpy(index->mapped, old->mapped, (old->capacity + 63) / 64 * sizeof(uint64_t));
    memcpy(index->open, old->open, (old->capacity + 63) / 64 * sizeof(uint64_t));
    for (uint32_t i = 0; i < old->capacity; i++)
        if (lodei_bitmap_get(old->mapped, i))
            table_add(index, old->chunks[i]);
    index->older = old;
    install(p, index);
    return 0;
}

static size_t bit_words(const struct lodei_pool *p)
{
    return (p->front.slots + 63) / 64;
}

/* Bytes of state begin at a cache line, so that those of 64 objects share one: threads that take
 * objects a word of bits at a time then write different lines. */
static size_t state_offset(const struct lodei_pool *p)
{
    return lodei_round_up(sizeof(struct lode_pool_chunk) + bit_words(p) * sizeof(uint64_t), 64);
}

static size_t descriptor_bytes(const struct lodei_pool *p)
{
    if (p->concurrent)
        return state_offset(p) + p->front.slots;
    size_t maps = p->flags & LODE_POOL_REMOTE ? 2 : 1;
    return sizeof(struct lode_pool_chunk) + maps * bit_words(p) * sizeof(uint64_t);
}

static struct lode_pool_chunk *descriptor_new(struct lodei_pool *p, uint32_t number)
{
    struct lode_pool_chunk *chunk = lodei_source_alloc(&p->source, descriptor_bytes(p), 64);
    if (chunk == NULL)
        return NULL;
    memset(chunk, 0, descriptor_bytes(p));
    if (p->flags & LODE_POOL_REMOTE)
        chunk->remote = lodei_pool_bits(chunk) + bit_words(p);
    if (p->concurrent)
        chunk->state = (uint8_t *)chunk + state_offset(p);
    chunk->number = number;
    /* Bits behind the last object: never free. */
    lodei_bitmap_put(lodei_pool_bits(chunk), p->front.slots, bit_words(p) * 64 - p->front.slots, 1);
    p->metadata_bytes += descriptor_bytes(p);
    return chunk;
}

/* A descriptor without memory, the one with the lowest number; NULL: out of memory. */
static struct lode_pool_chunk *descriptor_get(struct lodei_pool *p)
{
    struct lodei_pool_index *index = present(p);
    size_t number = lodei_bitmap_next(index->mapped, index->capacity, 0, 0);
    if (number == index->capacity) {
        if (index_double(p) != 0)
            return NULL;
        index = present(p);
    }
    if (index->chunks[number] == NULL)
        index->chunks[number] = descriptor_new(p, (uint32_t)number);
    return index->chunks[number];
}

/* ---- growing ---- */

/* Sizes from here on are looked at before the heap is asked for them chunk by chunk. */
#define LARGE_BYTES ((size_t)1 << 30)

int lodei_pool_possible(const struct lodei_pool *p, size_t objects)
{
    size_t bytes;
    struct lode_stats stats = {.size = sizeof(stats)};
    if (__builtin_mul_overflow(objects, p->object_bytes, &bytes))
        return 0;
    return bytes < LARGE_BYTES ||
           (lode_stats_get(NULL, &stats) == 0 && bytes < stats.reserved_bytes);
}

static char *memory_get(const struct lodei_pool *p)
{
    char *memory = lodei_source_alloc(&p->source, p->chunk_bytes, p->chunk_align);
    if (memory == NULL)
        return NULL;
    if (p->flags & LODE_POOL_TOUCH)
        for (size_t i = 0; i < p->chunk_bytes; i += 4096)
            *(volatile char *)(memory + i) = 0;
    lodei_taken(memory, p->chunk_bytes);
    return memory;
}

/* Under the lock. 0; -ENOMEM: no descriptor; -ENOSPC: `max` needs no further chunk. */
static int chunk_add(struct lodei_pool *p, char *memory)
{
    if (p->chunks * p->front.slots >= p->max)
        return -ENOSPC;
    struct lode_pool_chunk *chunk = descriptor_get(p);
    if (chunk == NULL)
        return -ENOMEM;
    struct lodei_pool_index *index = present(p);
    chunk->scan = 0;
    for (size_t i = 0; chunk->remote != NULL && i < bit_words(p); i++)
        __atomic_store_n(&chunk->remote[i], 0, __ATOMIC_RELAXED);
    /* relaxed: table_add() publishes it */
    __atomic_store_n(&chunk->base, (uintptr_t)memory, __ATOMIC_RELAXED);
    lodei_bitmap_put(index->mapped, chunk->number, 1, 1);
    lodei_bitmap_put(index->open, chunk->number, 1, 1);
    table_add(index, chunk);
    p->chunks++;
    p->empty_chunks++;
    if (chunk->number < p->first_open)
        p->first_open = chunk->number;
    p->peak_chunks = lodei_max(p->peak_chunks, p->chunks);
    return 0;
}

size_t lodei_pool_grow(struct lodei_pool *p, size_t objects)
{
    size_t added = 0, chunks = objects / p->front.slots + (objects % p->front.slots != 0);
    if (!lodei_pool_possible(p, objects))
        return 0;
    for (; added < chunks; added++) {
        char *memory = memory_get(p);
        if (memory == NULL)
            break;
        pthread_mutex_lock(&p->lock);
        int error = chunk_add(p, memory);
        pthread_mutex_unlock(&p->lock);
        if (error != 0) {
            lodei_source_free(memory, p->chunk_bytes);
            break;
        }
    }
    return added;
}

/* ---- shrinking ---- */

/* Take the memory off an empty chunk. Under the lock. */
static void *chunk_remove(struct lodei_pool *p, struct lode_pool_chunk *chunk)
{
    struct lodei_pool_index *index = present(p);
    void *memory = (void *)chunk->base;
    table_remove(index, chunk);
    __atomic_store_n(&chunk->base, 0, __ATOMIC_RELAXED); /* see lodei_pool_find() */
    lodei_bitmap_put(index->mapped, chunk->number, 1, 0);
    lodei_bitmap_put(index->open, chunk->number, 1, 0);
    p->chunks--;
    p->empty_chunks--;
    p->returned_bytes += p->chunk_bytes;
    return memory;
}

/* Collect memory of empty chunks, the last first, searching below *end. Under the lock. */
static size_t chunks_remove(struct lodei_pool *p, void **ret_memory, size_t most, size_t keep,
                            size_t *end)
{
    struct lodei_pool_index *index = present(p);
    size_t count = 0;
    while (count < most && p->empty_chunks > 0 && (p->chunks - 1) * p->front.slots >= keep) {
        *end = lodei_bitmap_last(index->open, *end, 1);
        if (*end == 0)
            break;
        struct lode_pool_chunk *chunk = index->chunks[--*end];
        if (chunk->taken == 0)
            ret_memory[count++] = chunk_remove(p, chunk);
    }
    return count;
}

size_t lodei_pool_give_back(struct lodei_pool *p, size_t chunks, size_t keep)
{
    void *memory[LODEI_POOL_SHRINK_CHUNKS];
    size_t total = 0, count, end = SIZE_MAX;
    do {
        pthread_mutex_lock(&p->lock);
        if (end > present(p)->capacity)
            end = present(p)->capacity;
        count = chunks_remove(p, memory, lodei_min(chunks - total, LODEI_POOL_SHRINK_CHUNKS), keep,
                              &end);
        p->shrinks += total == 0 && count > 0;
        pthread_mutex_unlock(&p->lock);
        for (size_t i = 0; i < count; i++)
            lodei_source_free(memory[i], p->chunk_bytes);
        total += count;
    } while (count == LODEI_POOL_SHRINK_CHUNKS);
    return total * p->chunk_bytes;
}

/* ---- objects ---- */

/* Take up to n of one chunk, lowest first; ret[-1], ret[-2], ... are filled. */
static uint32_t take_from(struct lodei_pool *p, struct lode_pool_chunk *chunk,
                          struct lode_pool_slot *ret, uint32_t n, int mark)
{
    uint64_t *bits = lodei_pool_bits(chunk);
    uint32_t words = (uint32_t)bit_words(p), word = chunk->scan, got = 0;
    for (; word < words && got < n; word++) {
        uint64_t left = ~__atomic_load_n(&bits[word], __ATOMIC_RELAXED), free = left;
        for (; left != 0 && got < n; left &= left - 1) {
            uint32_t slot = word * 64 + (uint32_t)__builtin_ctzll(left);
            ret -= 1;
            ret->object = lodei_pool_object(p, chunk, slot);
            ret->bit = ((uintptr_t)bits << 3) + slot;
            got++;
        }
        if (mark)
            __atomic_store_n(&bits[word], ~left, __ATOMIC_RELAXED);
        /* A new life. relaxed: whoever releases these got them from us */
        if (chunk->remote != NULL)
            __atomic_fetch_and(&chunk->remote[word], ~(free & ~left), __ATOMIC_RELAXED);
        /* Marked or not, what was taken is not to be found again by this refill. */
        if (left != 0)
            break;
    }
    chunk->scan = word;
    p->empty_chunks -= chunk->taken == 0 && got > 0;
    chunk->taken += got;
    return got;
}

uint32_t lodei_pool_take(struct lodei_pool *p, struct lode_pool_slot *ret, uint32_t n, int mark)
{
    struct lodei_pool_index *index = present(p);
    uint32_t got = 0, most = (uint32_t)lodei_min(n, p->max - p->taken);
    size_t number = p->first_open;
    while (got < most) {
        number = lodei_bitmap_next(index->open, index->capacity, number, 1);
        if (number == index->capacity)
            break;
        struct lode_pool_chunk *chunk = index->chunks[number];
        got += take_from(p, chunk, ret + n - got, most - got, mark);
        if (chunk->taken == p->front.slots)
            lodei_bitmap_put(index->open, number, 1, 0);
    }
    p->first_open = (uint32_t)number;
    p->taken += got;
    if (got < n)
        memmove(ret, ret + n - got, got * sizeof(*ret));
    return got;
}

/* `n` objects of the chunk are back, none in a word of bits below `word`. */
static void count_back(struct lodei_pool *p, struct lode_pool_chunk *chunk, uint32_t n,
                       uint32_t word)
{
    if (chunk->taken == p->front.slots)
        lodei_bitmap_put(present(p)->open, chunk->number, 1, 1);
    chunk->taken -= n;
    p->empty_chunks += chunk->taken == 0;
    p->taken -= n;
    if (word < chunk->scan)
        chunk->scan = word;
    if (chunk->number < p->first_open)
        p->first_open = chunk->number;
}

void lodei_pool_count_back(struct lodei_pool *p, struct lode_pool_chunk *chunk, uint32_t slot)
{
    count_back(p, chunk, 1, slot / 64);
}

void lodei_pool_put(struct lodei_pool *p, const struct lode_pool_slot *slots, uint32_t n)
{
    while (n > 0) {
        uint32_t slot = 0, i = 0;
        struct lode_pool_chunk *chunk = lodei_pool_find(p, slots[0].object, &slot);
        uintptr_t first = (uintptr_t)lodei_pool_bits(chunk) << 3, least = SIZE_MAX;
        /* Neighbours in a list are often neighbours in memory. */
        for (; i < n && slots[i].bit - first < p->front.slots; i++)
            least = lodei_min(least, slots[i].bit - first);
        count_back(p, chunk, i, (uint32_t)(least / 64));
        slots += i;
        n -= i;
    }
}

void lodei_pool_free_all(struct lodei_pool *p)
{
    struct lodei_pool_index *index = present(p);
    for (uint32_t i = 0; i < index->capacity; i++) {
        struct lode_pool_chunk *chunk = index->chunks[i];
        if (chunk == NULL)
            continue;
        if (chunk->base != 0)
            lodei_source_free((void *)chunk->base, p->chunk_bytes);
        lodei_source_free(chunk, descriptor_bytes(p));
    }
    while (index != NULL) {
        struct lodei_pool_index *older = index->older;
        lodei_source_free(index, index->bytes);
        index = older;
    }
}
