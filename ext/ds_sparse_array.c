/* SPDX-License-Identifier: MIT */
/*
 * The slow half of lode/ds_sparse_array.h: chunks of packed items, and their table.
 *
 *     chunk: [ number, last access, count, capacity | bits | ranks | items packed .. capacity ]
 *                                                     ^ bit i: index number * items + i is there
 *                                                            ^ items before each word of bits
 *
 * Inserting and removing move the items behind the place and count the ranks of the words behind it
 * on or back: O(items of the chunk). A chunk's capacity grows by half and shrinks to a half when
 * three quarters are unused; it never exceeds the indices of a chunk.
 *
 * Owns nothing but what a caller's array points to. No locks. Each step that can fail comes before
 * the first that changes anything.
 */
#include "lode/ds_sparse_array.h"

#include "base/bits.h"

static const struct lode_allocator *allocator_of(const struct lodei_sparse_array *a)
{
    return a->chunks.table.allocator;
}

static size_t chunk_bytes(const struct lodei_chunk_shape *shape, size_t capacity)
{
    return shape->items_offset + capacity * shape->item_bytes;
}

static char *item_at(struct lodei_chunk *chunk, size_t rank, const struct lodei_chunk_shape *shape)
{
    return (char *)chunk + shape->items_offset + rank * shape->item_bytes;
}

struct lodei_chunk *lodei_sparse_array_seek(struct lodei_sparse_array *a, uint64_t number)
{
    if (a->last != NULL && a->last->number == number) {
        a->hits++;
    } else {
        struct lodei_chunk **found = lodei_chunk_map_find(&a->chunks, number);
        a->misses++;
        if (found == NULL)
            return NULL;
        a->last = *found;
    }
    a->last->last_access = a->now;
    return a->last;
}

/* An empty chunk, in the table; NULL with *ret_status. */
static struct lodei_chunk *new_chunk(struct lodei_sparse_array *a, uint64_t number,
                                     const struct lodei_chunk_shape *shape, int *ret_status)
{
    size_t capacity = lodei_max(64 / shape->item_bytes, 1);
    capacity = lodei_min(capacity, shape->items);
    size_t bytes = chunk_bytes(shape, capacity);
    struct lodei_chunk *chunk = lodei_ds_alloc(allocator_of(a), bytes, shape->align);
    if (chunk == NULL) {
        *ret_status = -ENOMEM;
        return NULL;
    }
    *ret_status = lodei_chunk_map_insert(&a->chunks, number, chunk);
    if (*ret_status != 0) {
        lodei_ds_free(allocator_of(a), chunk, bytes, shape->align);
        return NULL;
    }
    memset(chunk, 0, shape->items_offset);
    chunk->number = number;
    chunk->last_access = a->now;
    chunk->capacity = (uint32_t)capacity;
    a->last = chunk;
    return chunk;
}

/* The chunk with room for `capacity` items, which may be elsewhere; NULL: no memory, as it was. */
static struct lodei_chunk *resize_chunk(struct lodei_sparse_array *a, struct lodei_chunk *chunk,
                                        size_t capacity, const struct lodei_chunk_shape *shape)
{
    struct lodei_chunk **entry = lodei_chunk_map_find(&a->chunks, chunk->number);
    struct lodei_chunk *moved =
        lodei_ds_resize(allocator_of(a), chunk, chunk_bytes(shape, chunk->capacity),
                        chunk_bytes(shape, capacity), shape->align);
    if (moved == NULL)
        return NULL;
    if (a->last == chunk)
        a->last = moved;
    *entry = moved;
    moved->capacity = (uint32_t)capacity;
    return moved;
}

static struct lodei_chunk *widen_chunk(struct lodei_sparse_array *a, struct lodei_chunk *chunk,
                                       const struct lodei_chunk_shape *shape)
{
    size_t need = (size_t)chunk->count + 1;
    size_t wanted = lodei_min(need + chunk->capacity / 2, shape->items);
    struct lodei_chunk *moved = resize_chunk(a, chunk, wanted, shape);
    return moved != NULL || wanted == need ? moved : resize_chunk(a, chunk, need, shape);
}

static void forget_chunk(struct lodei_sparse_array *a, struct lodei_chunk *chunk,
                         const struct lodei_chunk_shape *shape)
{
    if (a->last == chunk)
        a->last = NULL;
    (void)lodei_chunk_map_remove(&a->chunks, chunk->number);
    lodei_ds_free(allocator_of(a), chunk, chunk_bytes(shape, chunk->capacity), shape->align);
}

/* Count the words behind `bit` one item on or back. */
static void shift_ranks(struct lodei_chunk *chunk, uint32_t bit, int by,
                        const struct lodei_chunk_shape *shape)
{
    uint16_t *ranks = lodei_chunk_ranks(chunk, shape->items);
    for (uint32_t word = bit / 64 + 1; word < shape->items / 64; word++)
        ranks[word] = (uint16_t)(ranks[word] + by);
}

int lodei_sparse_array_add(struct lodei_sparse_array *a, uint64_t index, void **ret_item,
                           const struct lodei_chunk_shape *shape)
{
    int status;
    uint32_t bit = (uint32_t)(index % shape->items);
    struct lodei_chunk *chunk = lodei_sparse_array_seek(a, index / shape->items);
    if (chunk != NULL && lodei_chunk_has(chunk, bit)) {
        *ret_item = item_at(chunk, lodei_chunk_rank(chunk, bit, shape->items), shape);
        return 0;
    }
    if (a->max_items != 0 && a->count >= a->max_items)
        return -ENOSPC;
    if (chunk == NULL) {
        chunk = new_chunk(a, index / shape->items, shape, &status);
        if (chunk == NULL)
            return status;
    } else if (chunk->count == chunk->capacity) {
        chunk = widen_chunk(a, chunk, shape);
        if (chunk == NULL)
            return -ENOMEM;
    }
    uint32_t rank = lodei_chunk_rank(chunk, bit, shape->items);
    char *item = item_at(chunk, rank, shape);
    memmove(item + shape->item_bytes, item, (chunk->count - rank) * shape->item_bytes);
    lodei_chunk_bits(chunk)[bit / 64] |= (uint64_t)1 << bit % 64;
    shift_ranks(chunk, bit, 1, shape);
    chunk->count++;
    a->count++;
    *ret_item = item;
    return 0;
}

int lodei_sparse_array_remove(struct lodei_sparse_array *a, uint64_t index,
                              const struct lodei_chunk_shape *shape)
{
    uint32_t bit = (uint32_t)(index % shape->items);
    struct lodei_chunk *chunk = lodei_sparse_array_seek(a, index / shape->items);
    if (chunk == NULL || !lodei_chunk_has(chunk, bit))
        return -ENOENT;
    a->count--;
    if (chunk->count == 1) {
        forget_chunk(a, chunk, shape);
        return 0;
    }
    uint32_t rank = lodei_chunk_rank(chunk, bit, shape->items);
    char *item = item_at(chunk, rank, shape);
    chunk->count--;
    memmove(item, item + shape->item_bytes, (chunk->count - rank) * shape->item_bytes);
    lodei_chunk_bits(chunk)[bit / 64] &= ~((uint64_t)1 << bit % 64);
    shift_ranks(chunk, bit, -1, shape);
    if (chunk->count <= chunk->capacity / 4)
        (void)resize_chunk(a, chunk, chunk->capacity / 2, shape);
    return 0;
}

int lodei_sparse_array_drop(struct lodei_sparse_array *a, uint64_t number,
                            const struct lodei_chunk_shape *shape)
{
    struct lodei_chunk **found = lodei_chunk_map_find(&a->chunks, number);
    if (found == NULL)
        return -ENOENT;
    a->count -= (*found)->count;
    forget_chunk(a, *found, shape);
    return 0;
}

void lodei_sparse_array_clear(struct lodei_sparse_array *a, const struct lodei_chunk_shape *shape)
{
    for (uint32_t i = 0; i < a->chunks.table.count; i++) {
        struct lodei_chunk *chunk = a->chunks.items[i].value;
        lodei_ds_free(allocator_of(a), chunk, chunk_bytes(shape, chunk->capacity), shape->align);
    }
    lodei_chunk_map_clear(&a->chunks);
    a->last = NULL;
    a->count = 0;
}

void lodei_sparse_array_trim(struct lodei_sparse_array *a, const struct lodei_chunk_shape *shape)
{
    for (uint32_t i = 0; i < a->chunks.table.count; i++) {
        struct lodei_chunk *chunk = a->chunks.items[i].value;
        if (chunk->count < chunk->capacity)
            (void)resize_chunk(a, chunk, chunk->count, shape);
    }
    lodei_chunk_map_trim(&a->chunks);
}

int lodei_sparse_array_idle(const struct lodei_sparse_array *a, uint64_t ticks,
                            struct lode_sparse_cursor *cursor, struct lode_sparse_chunk *ret_chunk,
                            const struct lodei_chunk_shape *shape)
{
    uint32_t count = a->chunks.table.count;
    /* Backwards: a chunk that is dropped is replaced by the last, which was seen. */
    uint32_t left = cursor->bit == 0 || cursor->chunk > count ? count : cursor->chunk;
    cursor->bit = 1;
    while (left > 0) {
        const struct lodei_chunk *chunk = a->chunks.items[--left].value;
        cursor->chunk = left;
        if (a->now - chunk->last_access < ticks)
            continue;
        cursor->index = chunk->number * shape->items;
        ret_chunk->first_index = cursor->index;
        ret_chunk->idle_ticks = a->now - chunk->last_access;
        ret_chunk->count = chunk->count;
        ret_chunk->bytes = (uint32_t)chunk_bytes(shape, chunk->capacity);
        return 0;
    }
    return -ENOENT;
}

void lodei_sparse_array_stats(const struct lodei_sparse_array *a,
                              struct lode_sparse_stats *ret_stats,
                              const struct lodei_chunk_shape *shape)
{
    const struct lodei_table *t = &a->chunks.table;
    struct lode_sparse_stats stats = {
        .items = a->count, .chunks = t->count, .hits = a->hits, .misses = a->misses};
    if (t->buckets != NULL)
        stats.bytes =
            t->room * sizeof(a->chunks.items[0]) + ((size_t)t->mask + 1) * sizeof(uint64_t);
    for (uint32_t i = 0; i < t->count; i++) {
        const struct lodei_chunk *chunk = a->chunks.items[i].value;
        stats.bytes += chunk_bytes(shape, chunk->capacity);
        if (a->now - chunk->last_access > stats.idle_ticks)
            stats.idle_ticks = a->now - chunk->last_access;
    }
    *ret_stats = stats;
}

void *lodei_sparse_array_next(const struct lodei_sparse_array *a, struct lode_sparse_cursor *cursor,
                              const struct lodei_chunk_shape *shape)
{
    while (cursor->chunk < a->chunks.table.count) {
        struct lodei_chunk *chunk = a->chunks.items[cursor->chunk].value;
        const uint64_t *bits = lodei_chunk_bits(chunk);
        uint32_t bit = cursor->bit;
        while (bit < shape->items && bits[bit / 64] >> bit % 64 == 0)
            bit = (bit / 64 + 1) * 64;
        if (bit < shape->items) {
            bit += (uint32_t)__builtin_ctzll(bits[bit / 64] >> bit % 64);
            cursor->bit = bit + 1;
            cursor->index = chunk->number * shape->items + bit;
            return item_at(chunk, lodei_chunk_rank(chunk, bit, shape->items), shape);
        }
        cursor->chunk++;
        cursor->bit = 0;
    }
    return NULL;
}
