/* SPDX-License-Identifier: MIT */
/*
 * What the containers of lode/ds.h share: memory from an allocator or from lode_malloc(), growable
 * arrays without a type, and the slow halves of ring and stable vector.
 *
 * Owns nothing but what a caller's container points to. No locks: a container is one thread's at a
 * time. Every function leaves its container as it was when it fails: new memory is taken first,
 * fields are written last.
 */
#include "lode/ds_base.h"
#include "lode/ds_ring.h"
#include "lode/ds_stable.h"

#include "base/bits.h"

#define HEAP_ALIGN  16 /* of every block of lode_malloc() */
#define LARGE_BYTES ((size_t)16 << 10)

void *lodei_ds_alloc(const struct lode_allocator *allocator, size_t bytes, size_t align)
{
    if (allocator != NULL)
        return lode_allocator_alloc(allocator, bytes, align);
    return align <= HEAP_ALIGN ? lode_malloc(bytes) : lode_aligned_alloc(align, bytes);
}

void *lodei_ds_alloc_zeroed(const struct lode_allocator *allocator, size_t bytes, size_t align)
{
    if (allocator == NULL && align <= HEAP_ALIGN)
        return lode_calloc(1, bytes);
    void *block = lodei_ds_alloc(allocator, bytes, align);
    return block != NULL ? memset(block, 0, bytes) : NULL;
}

void *lodei_ds_resize(const struct lode_allocator *allocator, void *block, size_t old_bytes,
                      size_t bytes, size_t align)
{
    if (block == NULL)
        return lodei_ds_alloc(allocator, bytes, align);
    if (allocator != NULL)
        return lode_allocator_resize(allocator, block, old_bytes, bytes, align);
    if (align <= HEAP_ALIGN)
        return lode_realloc(block, bytes);
    void *moved = lode_aligned_alloc(align, bytes); /* lode_realloc() keeps no larger alignment */
    if (moved != NULL) {
        memcpy(moved, block, lodei_min(old_bytes, bytes));
        lode_free(block);
    }
    return moved;
}

void lodei_ds_free(const struct lode_allocator *allocator, void *block, size_t bytes, size_t align)
{
    if (block == NULL)
        return;
    if (allocator == NULL)
        lode_free(block);
    else
        (void)lode_allocator_free(allocator, block, bytes, align); /* refused: it stays there */
}

/* As many items as `capacity` grows to when it must hold `need`; both times item_bytes fit. */
static size_t generous(size_t capacity, size_t need, size_t item_bytes)
{
    size_t more = capacity <= 65536 / item_bytes ? capacity : capacity / 2;
    if (capacity == 0)
        more = lodei_max(64 / item_bytes, item_bytes <= 1024 ? 4 : 1);
    return lodei_max(capacity + more, need);
}

/* Bytes up to which lode_malloc() gives room for free. */
static size_t fill_block(const struct lode_allocator *allocator, size_t align, size_t count,
                         size_t item_bytes)
{
    if (allocator != NULL || align > HEAP_ALIGN)
        return count;
    return lodei_max(lode_good_size(count * item_bytes) / item_bytes, count);
}

/* Resize to `wanted` items, or as many as there is memory for, down to `need`. */
static int resize_array(struct lodei_array *a, size_t need, size_t wanted, size_t item_bytes,
                        size_t align)
{
    for (;;) {
        void *items = lodei_ds_resize(a->allocator, a->items, a->capacity * item_bytes,
                                      wanted * item_bytes, align);
        if (items != NULL) {
            a->items = items;
            a->capacity = wanted;
            return 0;
        }
        if (wanted == need)
            return -ENOMEM;
        wanted = need + (wanted - need) / 4;
    }
}

/* The growth of a bump vector: an eighth more costs nothing where the block is extended in place.
 * Where it had to move it is the newest block now, and can be extended to double. A large one may
 * stand in a chunk of its own (arena.h: over a quarter of 64 KiB at least), which nothing extends:
 * that one grows by half, in one go. */
static int grow_in_steps(struct lodei_array *a, size_t need, size_t limit, size_t item_bytes,
                         size_t align)
{
    size_t old = a->capacity, step = lodei_max(old / 8, 256 / item_bytes);
    int large = old * item_bytes >= LARGE_BYTES;
    size_t wanted = lodei_min(lodei_max(need, old + (large ? old / 2 : step)), limit);
    void *before = a->items;
    int status = resize_array(a, need, wanted, item_bytes, align);
    if (status != 0 || before == NULL || a->items == before || large)
        return status;
    wanted = lodei_min(generous(old, need, item_bytes), limit);
    void *items = wanted <= a->capacity
                      ? NULL
                      : lodei_ds_resize(a->allocator, a->items, a->capacity * item_bytes,
                                        wanted * item_bytes, align);
    if (items != NULL) {
        a->items = items;
        a->capacity = wanted;
    }
    return 0;
}

int lodei_array_grow(struct lodei_array *array, size_t need, size_t item_bytes, size_t item_align,
                     enum lodei_growth growth)
{
    size_t limit = PTRDIFF_MAX / item_bytes, wanted = need;
    if (array->max_items != 0 && need > array->max_items)
        return -ENOSPC;
    if (need <= array->capacity && array->items != NULL)
        return 0;
    if (need > limit)
        return -ENOMEM;
    if (array->max_items != 0)
        limit = lodei_min(limit, array->max_items);
    if (growth == LODEI_GROW_STEPS)
        return grow_in_steps(array, need, limit, item_bytes, item_align);
    if (growth == LODEI_GROW_MORE)
        wanted = lodei_min(generous(array->capacity, need, item_bytes), limit);
    wanted = lodei_min(fill_block(array->allocator, item_align, wanted, item_bytes), limit);
    return resize_array(array, need, wanted, item_bytes, item_align);
}

void lodei_array_trim(struct lodei_array *array, size_t item_bytes, size_t item_align)
{
    if (array->items == NULL || array->count == array->capacity)
        return;
    if (array->count == 0) {
        lodei_ds_free(array->allocator, array->items, array->capacity * item_bytes, item_align);
        array->items = NULL;
        array->capacity = 0;
        return;
    }
    void *items = lodei_ds_resize(array->allocator, array->items, array->capacity * item_bytes,
                                  array->count * item_bytes, item_align);
    if (items != NULL) {
        array->items = items;
        array->capacity = array->count;
    }
}

/* The items of a ring, oldest first, in a new block of `capacity` items. */
static int rehouse_ring(struct lodei_ring *ring, size_t capacity, size_t item_bytes, size_t align)
{
    char *items = lodei_ds_alloc(ring->allocator, capacity * item_bytes, align);
    const char *from = ring->items;
    if (items == NULL)
        return -ENOMEM;
    size_t first = lodei_min(ring->count, ring->capacity - ring->head);
    if (ring->count > 0) {
        memcpy(items, from + ring->head * item_bytes, first * item_bytes);
        memcpy(items + first * item_bytes, from, (ring->count - first) * item_bytes);
    }
    lodei_ds_free(ring->allocator, ring->items, ring->capacity * item_bytes, align);
    ring->items = items;
    ring->head = 0;
    ring->capacity = capacity;
    return 0;
}

int lodei_ring_grow(struct lodei_ring *ring, size_t need, size_t item_bytes, size_t item_align,
                    enum lodei_growth growth)
{
    size_t limit = PTRDIFF_MAX / item_bytes, wanted = need;
    if (ring->max_items != 0 && need > ring->max_items)
        return -ENOSPC;
    if (need > limit)
        return -ENOMEM;
    if (ring->max_items != 0)
        limit = lodei_min(limit, ring->max_items);
    if (growth != LODEI_GROW_EXACT)
        wanted = lodei_min(generous(ring->capacity, need, item_bytes), limit);
    for (;;) {
        int status = rehouse_ring(ring, wanted, item_bytes, item_align);
        if (status == 0 || wanted == need)
            return status;
        wanted = need + (wanted - need) / 4;
    }
}

void lodei_ring_trim(struct lodei_ring *ring, size_t item_bytes, size_t item_align)
{
    if (ring->count == 0) {
        lodei_ds_free(ring->allocator, ring->items, ring->capacity * item_bytes, item_align);
        ring->items = NULL;
        ring->head = ring->capacity = 0;
    } else if (ring->count < ring->capacity) {
        (void)rehouse_ring(ring, ring->count, item_bytes, item_align);
    }
}

/* What the chunks hold, and no more than the cap. */
static void set_stable_capacity(struct lodei_stable *v, size_t chunk_items)
{
    v->capacity = v->chunk_count * chunk_items;
    if (v->max_items != 0)
        v->capacity = lodei_min(v->capacity, v->max_items);
}

int lodei_stable_grow(struct lodei_stable *v, size_t need, size_t chunk_items, size_t item_bytes,
                      size_t align)
{
    if (v->max_items != 0 && need > v->max_items)
        return -ENOSPC;
    if (chunk_items > PTRDIFF_MAX / item_bytes || need > PTRDIFF_MAX / item_bytes - chunk_items)
        return -ENOMEM;
    size_t chunks = (need + chunk_items - 1) / chunk_items, before = v->chunk_count;
    struct lodei_array table = {v->chunks, before, v->table_capacity, 0, v->allocator};
    int status =
        lodei_array_grow(&table, chunks, sizeof(void *), _Alignof(void *), LODEI_GROW_MORE);
    if (status != 0)
        return status;
    v->chunks = table.items;
    v->table_capacity = table.capacity;
    while (v->chunk_count < chunks) {
        void *chunk = lodei_ds_alloc(v->allocator, chunk_items * item_bytes, align);
        if (chunk == NULL) {
            lodei_stable_trim(v, before * chunk_items, chunk_items, item_bytes, align);
            return -ENOMEM;
        }
        v->chunks[v->chunk_count++] = chunk;
    }
    set_stable_capacity(v, chunk_items);
    return 0;
}

void lodei_stable_trim(struct lodei_stable *v, size_t keep, size_t chunk_items, size_t item_bytes,
                       size_t align)
{
    size_t chunks = keep / chunk_items + (keep % chunk_items != 0);
    while (v->chunk_count > chunks)
        lodei_ds_free(v->allocator, v->chunks[--v->chunk_count], chunk_items * item_bytes, align);
    set_stable_capacity(v, chunk_items);
    struct lodei_array table = {v->chunks, chunks, v->table_capacity, 0, v->allocator};
    lodei_array_trim(&table, sizeof(void *), _Alignof(void *));
    v->chunks = table.items;
    v->table_capacity = table.capacity;
}
