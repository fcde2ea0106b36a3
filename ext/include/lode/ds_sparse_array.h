/* SPDX-License-Identifier: MIT */
/**
 * @file ds_sparse_array.h
 * An array over all 64-bit indices that stores only the items there are:
 * LODE_SPARSE_ARRAY_DEFINE(). For fields that are mostly default (damage of a block, ownership of a
 * cell).
 *
 *     LODE_SPARSE_ARRAY_DEFINE(damage, uint16_t, 512);
 *
 *     struct damage d = {0};                             // or damage_init(&d, 100000, &allocator)
 *     if (damage_set(&d, index, 40) != 0) ...
 *     uint16_t *hit = damage_get(&d, index);             // NULL: not there
 *     struct lode_sparse_cursor at = {0};
 *     for (uint16_t *v; (v = damage_next(&d, &at)) != NULL;) use(at.index, *v);
 *
 *     chunks (a hash table)     chunk of 512 indices
 *     17 -> ------------------> [ number, last access, count, capacity ]
 *      3 -> ...                 [ 512 bits: present                    ]
 *                               [ 8 x count of those before each word  ]
 *                               [ items present, packed .. capacity    ]
 *
 * An item is found by its rank: the bits set before its own. A chunk grows with what it holds and
 * goes when it is empty. The last chunk used is remembered, so that a run of accesses to one
 * neighbourhood looks the table up once; every access through the array also stamps the chunk with
 * the array's clock, so that chunks nobody touches can be found and put away.
 * Source: rank over bitmaps, Jacobson 1989; sparse groups as in sparsehash's sparsetable.
 *
 * LODE_SPARSE_ARRAY_DEFINE(name, type, chunk_items), chunk_items a multiple of 64 up to 32768,
 * declares struct name and
 *
 *     void     NAME_init(a, max_items, allocator)
 *     void     NAME_finish(a)
 *     int      NAME_set(a, index, item)   insert or replace                  O(items of a chunk)
 *     type    *NAME_get(a, index)         NULL: not there. Stamps and remembers the chunk  O(1)
 *     type    *NAME_peek(a, index)        the same and changes nothing                     O(1)
 *     int      NAME_remove(a, index)      -ENOENT: not there                 O(items of a chunk)
 *     type    *NAME_next(a, cursor)       the next item in chunk order; cursor->index is its
 *                                         index; NULL: none left. A cursor starts as zero bytes
 *     void     NAME_clear(a)              no items, no chunks
 *     void     NAME_trim(a)               give back room that is not used
 *     uint64_t NAME_count(a)
 *     void     NAME_tick(a)               advance the clock
 *     int      NAME_idle(a, ticks, cursor, ret_chunk)  the next chunk not used for `ticks` or
 *                                         more; it may be dropped; -ENOENT: none left
 *     int      NAME_drop(a, index)        remove the whole chunk around index; -ENOENT: none
 *     void     NAME_stats(a, ret_stats)
 *
 * Returns      0; -ENOSPC the cap; -ENOMEM; -ENOENT. On error the array is as it was.
 * Invalidates  Setting a new index or removing one: pointers into the same chunk. Replacing: none.
 * Iterating    NAME_next() in ascending order within a chunk. The item just seen may be replaced;
 *              nothing may be inserted or removed.
 * Threads      One at a time, also for NAME_get(), which writes; readers may share it with
 *              NAME_peek() and NAME_next() while nobody writes.
 *
 * Ours, against Judy: malloc, one value type, no cap.
 */
#ifndef LODE_DS_SPARSE_ARRAY_H
#define LODE_DS_SPARSE_ARRAY_H

#include "lode/ds_map.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Where a walk over items or idle chunks stands; zero bytes: before the first. */
struct lode_sparse_cursor {
    uint64_t index; /**< of the item that was returned; of the chunk's first */
    uint32_t chunk; /**< private */
    uint32_t bit;   /**< private */
};

/** One chunk, as NAME_idle() shows it. */
struct lode_sparse_chunk {
    uint64_t first_index;
    uint64_t idle_ticks; /**< since it was last used */
    uint32_t count;      /**< of items */
    uint32_t bytes;      /**< of memory */
};

/** Figures of one sparse array. */
struct lode_sparse_stats {
    uint64_t items;
    uint64_t chunks;
    uint64_t bytes;      /**< of memory, the table's included */
    uint64_t hits;       /**< accesses that found the chunk remembered */
    uint64_t misses;     /**< accesses that looked the table up */
    uint64_t idle_ticks; /**< of the chunk that was not used for longest */
};

/* The head of a chunk; behind it the bits, the ranks and the items. */
struct lodei_chunk {
    uint64_t number;
    uint64_t last_access;
    uint32_t count;
    uint32_t capacity;
};

/* What the compiler knows of one kind of sparse array. */
struct lodei_chunk_shape {
    size_t item_bytes;
    size_t align;        /* of a chunk */
    size_t items_offset; /* in a chunk */
    uint32_t items;      /* indices in a chunk */
    uint32_t reserved;
};

#ifdef __cplusplus
}
#endif

LODE_MAP_DEFINE(lodei_chunk_map, uint64_t, struct lodei_chunk *, LODE_HASH_INT, LODE_EQUAL_INT);

struct lodei_sparse_array {
    struct lodei_chunk_map chunks;
    struct lodei_chunk *last; /* NULL: none is remembered */
    uint64_t count;
    uint64_t max_items; /* 0: no cap */
    uint64_t now;
    uint64_t hits;
    uint64_t misses;
};

#ifdef __cplusplus
extern "C" {
#endif

/* The chunk `number`, remembered and stamped; NULL. */
LODE_API struct lodei_chunk *lodei_sparse_array_seek(struct lodei_sparse_array *a, uint64_t number);
/* *ret_item: the item at `index`, there or new and uninitialised. */
LODE_API LODE_NODISCARD int lodei_sparse_array_add(struct lodei_sparse_array *a, uint64_t index,
                                                   void **ret_item,
                                                   const struct lodei_chunk_shape *shape);
LODE_API int lodei_sparse_array_remove(struct lodei_sparse_array *a, uint64_t index,
                                       const struct lodei_chunk_shape *shape);
LODE_API int lodei_sparse_array_drop(struct lodei_sparse_array *a, uint64_t number,
                                     const struct lodei_chunk_shape *shape);
LODE_API void lodei_sparse_array_clear(struct lodei_sparse_array *a,
                                       const struct lodei_chunk_shape *shape);
LODE_API void lodei_sparse_array_trim(struct lodei_sparse_array *a,
                                      const struct lodei_chunk_shape *shape);
LODE_API int lodei_sparse_array_idle(const struct lodei_sparse_array *a, uint64_t ticks,
                                     struct lode_sparse_cursor *cursor,
                                     struct lode_sparse_chunk *ret_chunk,
                                     const struct lodei_chunk_shape *shape);
LODE_API void lodei_sparse_array_stats(const struct lodei_sparse_array *a,
                                       struct lode_sparse_stats *ret_stats,
                                       const struct lodei_chunk_shape *shape);
LODE_API void *lodei_sparse_array_next(const struct lodei_sparse_array *a,
                                       struct lode_sparse_cursor *cursor,
                                       const struct lodei_chunk_shape *shape);

#ifdef __cplusplus
}
#endif

LODEI_DS_FN uint64_t *lodei_chunk_bits(struct lodei_chunk *chunk)
{
    return (uint64_t *)(void *)(chunk + 1);
}

/* How many items stand before those of each word of bits. */
LODEI_DS_FN uint16_t *lodei_chunk_ranks(struct lodei_chunk *chunk, uint32_t chunk_items)
{
    return (uint16_t *)(void *)(lodei_chunk_bits(chunk) + chunk_items / 64);
}

/* Where the item `bit` stands among those of the chunk, or would. */
LODEI_DS_FN uint32_t lodei_chunk_rank(struct lodei_chunk *chunk, uint32_t bit, uint32_t chunk_items)
{
    uint64_t before = lodei_chunk_bits(chunk)[bit / 64] & (((uint64_t)1 << bit % 64) - 1);
    return lodei_chunk_ranks(chunk, chunk_items)[bit / 64] + (uint32_t)__builtin_popcountll(before);
}

LODEI_DS_FN int lodei_chunk_has(struct lodei_chunk *chunk, uint32_t bit)
{
    return (lodei_chunk_bits(chunk)[bit / 64] >> bit % 64 & 1) != 0;
}

/* The item `bit` of a chunk, or NULL. */
LODEI_DS_FN void *lodei_chunk_item(struct lodei_chunk *chunk, uint32_t bit, uint32_t chunk_items,
                                   size_t items_offset, size_t item_bytes)
{
    if (!lodei_chunk_has(chunk, bit))
        return NULL;
    return (char *)(void *)chunk + items_offset +
           lodei_chunk_rank(chunk, bit, chunk_items) * item_bytes;
}

#define LODEI_CHUNK_ALIGN(type)                                                   \
    (LODEI_DS_ALIGNOF(type) > LODEI_DS_ALIGNOF(uint64_t) ? LODEI_DS_ALIGNOF(type) \
                                                         : LODEI_DS_ALIGNOF(uint64_t))
#define LODEI_CHUNK_OFFSET(type, chunk_items)                                               \
    ((sizeof(struct lodei_chunk) + (chunk_items) / 64 * 10 + LODEI_CHUNK_ALIGN(type) - 1) & \
     ~(LODEI_CHUNK_ALIGN(type) - 1))

#define LODE_SPARSE_ARRAY_DEFINE(name, type, chunk_items)                                          \
    LODEI_DS_ITEM_CHECK(type);                                                                     \
    LODEI_DS_ASSERT((chunk_items) > 0 && (chunk_items) % 64 == 0 && (chunk_items) <= 32768,        \
                    "a multiple of 64 indices in a chunk, up to 32768");                           \
    LODEI_DS_ASSERT(sizeof(type) <= 65536, "a chunk is less than 4 GiB");                          \
    struct name {                                                                                  \
        struct lodei_sparse_array core;                                                            \
    };                                                                                             \
    LODEI_DS_FN const struct lodei_chunk_shape *name##_lodei_shape(void)                           \
    {                                                                                              \
        static const struct lodei_chunk_shape shape = {sizeof(type), LODEI_CHUNK_ALIGN(type),      \
                                                       LODEI_CHUNK_OFFSET(type, chunk_items),      \
                                                       (chunk_items), 0};                          \
        return &shape;                                                                             \
    }                                                                                              \
    LODEI_DS_FN type *name##_lodei_item(struct lodei_chunk *chunk, uint64_t index)                 \
    {                                                                                              \
        return (type *)lodei_chunk_item(chunk, (uint32_t)(index % (chunk_items)), (chunk_items),   \
                                        LODEI_CHUNK_OFFSET(type, chunk_items), sizeof(type));      \
    }                                                                                              \
    LODEI_DS_FN void name##_init(struct name *a, uint64_t max_items,                               \
                                 const struct lode_allocator *allocator)                           \
    {                                                                                              \
        memset((void *)a, 0, sizeof(*a));                                                          \
        a->core.max_items = max_items;                                                             \
        a->core.chunks.table.allocator = allocator;                                                \
    }                                                                                              \
    LODEI_DS_FN void name##_clear(struct name *a)                                                  \
    {                                                                                              \
        lodei_sparse_array_clear(&a->core, name##_lodei_shape());                                  \
    }                                                                                              \
    LODEI_DS_FN void name##_finish(struct name *a)                                                 \
    {                                                                                              \
        name##_clear(a);                                                                           \
        lodei_chunk_map_finish(&a->core.chunks);                                                   \
        name##_init(a, a->core.max_items, a->core.chunks.table.allocator);                         \
    }                                                                                              \
    LODEI_DS_FN uint64_t name##_count(const struct name *a)                                        \
    {                                                                                              \
        return a->core.count;                                                                      \
    }                                                                                              \
    LODEI_DS_FN type *name##_get(struct name *a, uint64_t index)                                   \
    {                                                                                              \
        struct lodei_chunk *chunk = a->core.last;                                                  \
        if (LODEI_DS_LIKELY(chunk != NULL && chunk->number == index / (chunk_items))) {            \
            a->core.hits++;                                                                        \
            chunk->last_access = a->core.now;                                                      \
        } else {                                                                                   \
            chunk = lodei_sparse_array_seek(&a->core, index / (chunk_items));                      \
            if (chunk == NULL)                                                                     \
                return (type *)NULL;                                                               \
        }                                                                                          \
        return name##_lodei_item(chunk, index);                                                    \
    }                                                                                              \
    LODEI_DS_FN type *name##_peek(const struct name *a, uint64_t index)                            \
    {                                                                                              \
        struct lodei_chunk **chunk = lodei_chunk_map_find(&a->core.chunks, index / (chunk_items)); \
        return chunk != NULL ? name##_lodei_item(*chunk, index) : (type *)NULL;                    \
    }                                                                                              \
    LODEI_DS_TRY int name##_set(struct name *a, uint64_t index, type item)                         \
    {                                                                                              \
        void *slot;                                                                                \
        int status = lodei_sparse_array_add(&a->core, index, &slot, name##_lodei_shape());         \
        if (status == 0)                                                                           \
            *(type *)slot = item;                                                                  \
        return status;                                                                             \
    }                                                                                              \
    LODEI_DS_FN int name##_remove(struct name *a, uint64_t index)                                  \
    {                                                                                              \
        return lodei_sparse_array_remove(&a->core, index, name##_lodei_shape());                   \
    }                                                                                              \
    LODEI_DS_FN int name##_drop(struct name *a, uint64_t index)                                    \
    {                                                                                              \
        return lodei_sparse_array_drop(&a->core, index / (chunk_items), name##_lodei_shape());     \
    }                                                                                              \
    LODEI_DS_FN type *name##_next(const struct name *a, struct lode_sparse_cursor *cursor)         \
    {                                                                                              \
        return (type *)lodei_sparse_array_next(&a->core, cursor, name##_lodei_shape());            \
    }                                                                                              \
    LODEI_DS_FN int name##_idle(const struct name *a, uint64_t ticks,                              \
                                struct lode_sparse_cursor *cursor,                                 \
                                struct lode_sparse_chunk *ret_chunk)                               \
    {                                                                                              \
        return lodei_sparse_array_idle(&a->core, ticks, cursor, ret_chunk, name##_lodei_shape());  \
    }                                                                                              \
    LODEI_DS_FN void name##_tick(struct name *a)                                                   \
    {                                                                                              \
        a->core.now++;                                                                             \
    }                                                                                              \
    LODEI_DS_FN void name##_trim(struct name *a)                                                   \
    {                                                                                              \
        lodei_sparse_array_trim(&a->core, name##_lodei_shape());                                   \
    }                                                                                              \
    LODEI_DS_FN void name##_stats(const struct name *a, struct lode_sparse_stats *ret_stats)       \
    {                                                                                              \
        lodei_sparse_array_stats(&a->core, ret_stats, name##_lodei_shape());                       \
    }                                                                                              \
    struct name

#endif
