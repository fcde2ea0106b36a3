/* SPDX-License-Identifier: MIT */
/**
 * @file ds_pooled.h
 * A vector that takes all its memory in blocks of one size: LODE_POOLEDVEC_DEFINE(). Many such
 * vectors share one fixed-size pool, so that none fragments memory and what one gives back the next
 * can use at once.
 *
 *     LODE_POOLEDVEC_DEFINE(trail, struct footprint, 1024);
 *
 *     struct trail t;                                    // blocks of 1024 bytes
 *     if (trail_init(&t, 5000, &pool_allocator) != 0 || trail_push(&t, it) != 0) ...
 *     for (size_t b = 0, n; b < trail_blocks(&t); b++)
 *         for (struct footprint *it = trail_block(&t, b, &n); n > 0; it++, n--) use(it);
 *
 *     1 block:        root -> [items]
 *     to FAN blocks:  root -> [ * | * | .. ] -> [items] each
 *     to FAN^2:       root -> [ * | .. ] -> [ * | .. ] -> [items]
 *
 * FAN is how many pointers a block holds, rounded down to a power of two. The tables are blocks of
 * the same pool, and levels are added on top as the vector grows (a radix tree over the block
 * number), so nothing but pool blocks is ever asked for; no item moves.
 *
 * LODE_POOLEDVEC_DEFINE(name, type, block_bytes) declares struct name and
 *
 *     int     NAME_init(v, max_items, allocator)  -EINVAL: the allocator is of one size
 *                                                 (LODE_TRAIT_FIXED), and that is below
 *                                                 block_bytes
 *     void    NAME_finish(v)
 *     int     NAME_push(v, item)              append a copy                            O(1)
 *     int     NAME_add(v, &slot)              append; slot: the new one, uninitialised O(1)
 *     int     NAME_pop(v, ret_item)           remove the last; ret_item may be NULL    O(1)
 *     int     NAME_remove_swap(v, at)         the last item fills the gap              O(1)
 *     int     NAME_reserve(v, n)              room for n in all
 *     void    NAME_clear(v)                   no items; all blocks go back
 *     void    NAME_trim(v)                    the blocks that hold nothing go back
 *     size_t  NAME_count(v)
 *     type   *NAME_at(v, i)                   NULL: i >= count                     O(levels)
 *     size_t  NAME_blocks(v)                  blocks that hold items
 *     type   *NAME_block(v, b, &n)            the n items of block b < NAME_blocks()
 *
 * Removing keeps one empty block at most; the next goes back to the pool at once. Zero bytes are
 * an empty vector without a cap, with blocks from malloc's heap.
 *
 * Returns      0; -ENOSPC the cap; -ENOMEM the pool is empty; -ENOENT pop of an empty vector;
 *              -ERANGE `at` beyond the end. On error the vector, and what the pool has, is as it
 *              was.
 * Invalidates  Pointers to what is removed, or moved into a gap. Nothing else.
 * Threads      One at a time; readers may share it while nobody writes.
 *
 * Ours.
 */
#ifndef LODE_DS_POOLED_H
#define LODE_DS_POOLED_H

#include "lode/ds_base.h"

#ifdef __cplusplus
extern "C" {
#endif

struct lodei_pooled {
    void *root; /* the one block, or the top table */
    size_t count;
    size_t capacity; /* what the blocks hold, capped */
    size_t max_items;
    size_t block_count; /* of items; tables apart */
    uint32_t levels;    /* of tables */
    uint32_t reserved;
    const struct lode_allocator *allocator;
};

/* What the compiler knows of one kind of pooled vector. */
struct lodei_pooled_shape {
    size_t block_bytes;
    size_t align;
    size_t items; /* in a block */
    uint32_t fan_log2;
};

LODE_API LODE_NODISCARD int lodei_pooled_init(struct lodei_pooled *v, size_t max_items,
                                              const struct lode_allocator *allocator,
                                              const struct lodei_pooled_shape *shape);
LODE_API LODE_NODISCARD int lodei_pooled_grow(struct lodei_pooled *v, size_t need,
                                              const struct lodei_pooled_shape *shape);
/* Give back blocks until `keep` are left. */
LODE_API void lodei_pooled_shrink(struct lodei_pooled *v, size_t keep,
                                  const struct lodei_pooled_shape *shape);

/* Block number b of items. */
static inline __attribute__((unused)) void *lodei_pooled_block(const struct lodei_pooled *v,
                                                               size_t b, uint32_t fan_log2)
{
    void *node = v->root;
    for (uint32_t level = v->levels; level > 0; level--)
        node = ((void **)node)[b >> ((level - 1) * fan_log2) & (((size_t)1 << fan_log2) - 1)];
    return node;
}

#ifdef __cplusplus
}
#endif

/* log2 of the pointers that a block holds. */
#define LODEI_POOLED_FAN_LOG2(block_bytes) \
    (63u - (uint32_t)__builtin_clzll((unsigned long long)(block_bytes) / sizeof(void *)))

#define LODE_POOLEDVEC_DEFINE(name, type, block_bytes)                                      \
    LODEI_DS_ITEM_CHECK(type);                                                              \
    LODEI_DS_ASSERT((block_bytes) >= sizeof(type) && (block_bytes) >= 2 * sizeof(void *),   \
                    "a block holds an item, and two pointers");                             \
    struct name {                                                                           \
        struct lodei_pooled core;                                                           \
    };                                                                                      \
    LODEI_DS_FN const struct lodei_pooled_shape *name##_lodei_shape(void)                   \
    {                                                                                       \
        static const struct lodei_pooled_shape shape = {                                    \
            (block_bytes),                                                                  \
            LODEI_DS_ALIGNOF(type) > LODEI_DS_ALIGNOF(void *) ? LODEI_DS_ALIGNOF(type)      \
                                                              : LODEI_DS_ALIGNOF(void *),   \
            (block_bytes) / sizeof(type), LODEI_POOLED_FAN_LOG2(block_bytes)};              \
        return &shape;                                                                      \
    }                                                                                       \
    LODEI_DS_TRY int name##_init(struct name *v, size_t max_items,                          \
                                 const struct lode_allocator *allocator)                    \
    {                                                                                       \
        return lodei_pooled_init(&v->core, max_items, allocator, name##_lodei_shape());     \
    }                                                                                       \
    LODEI_DS_FN size_t name##_count(const struct name *v)                                   \
    {                                                                                       \
        return v->core.count;                                                               \
    }                                                                                       \
    LODEI_DS_FN type *name##_lodei_slot(const struct name *v, size_t i)                     \
    {                                                                                       \
        return (type *)lodei_pooled_block(&v->core, i / ((block_bytes) / sizeof(type)),     \
                                          LODEI_POOLED_FAN_LOG2(block_bytes)) +             \
               i % ((block_bytes) / sizeof(type));                                          \
    }                                                                                       \
    LODEI_DS_FN type *name##_at(const struct name *v, size_t i)                             \
    {                                                                                       \
        return i < v->core.count ? name##_lodei_slot(v, i) : (type *)NULL;                  \
    }                                                                                       \
    LODEI_DS_SLOW int name##_lodei_grow(struct name *v, size_t need)                        \
    {                                                                                       \
        return lodei_pooled_grow(&v->core, need, name##_lodei_shape());                     \
    }                                                                                       \
    LODEI_DS_SLOW void name##_lodei_shrink(struct name *v, size_t items, size_t spare)      \
    {                                                                                       \
        size_t each = (block_bytes) / sizeof(type);                                         \
        lodei_pooled_shrink(&v->core, items / each + (items % each != 0) + spare,           \
                            name##_lodei_shape());                                          \
    }                                                                                       \
    LODEI_DS_FN void name##_finish(struct name *v)                                          \
    {                                                                                       \
        v->core.count = 0;                                                                  \
        name##_lodei_shrink(v, 0, 0);                                                       \
    }                                                                                       \
    LODEI_DS_FN void name##_clear(struct name *v)                                           \
    {                                                                                       \
        name##_finish(v);                                                                   \
    }                                                                                       \
    LODEI_DS_FN void name##_trim(struct name *v)                                            \
    {                                                                                       \
        name##_lodei_shrink(v, v->core.count, 0);                                           \
    }                                                                                       \
    LODEI_DS_TRY int name##_reserve(struct name *v, size_t need)                            \
    {                                                                                       \
        return need <= v->core.capacity ? 0 : name##_lodei_grow(v, need);                   \
    }                                                                                       \
    LODEI_DS_TRY int name##_add(struct name *v, type **ret_slot)                            \
    {                                                                                       \
        if (LODEI_DS_UNLIKELY(v->core.count == v->core.capacity)) {                         \
            int status = name##_lodei_grow(v, v->core.count + 1);                           \
            if (status != 0)                                                                \
                return status;                                                              \
        }                                                                                   \
        *ret_slot = name##_lodei_slot(v, v->core.count++);                                  \
        return 0;                                                                           \
    }                                                                                       \
    LODEI_DS_TRY int name##_push(struct name *v, type item)                                 \
    {                                                                                       \
        type *slot;                                                                         \
        int status = name##_add(v, &slot);                                                  \
        if (status == 0)                                                                    \
            *slot = item;                                                                   \
        return status;                                                                      \
    }                                                                                       \
    LODEI_DS_FN int name##_pop(struct name *v, type *ret_item)                              \
    {                                                                                       \
        if (v->core.count == 0)                                                             \
            return -ENOENT;                                                                 \
        v->core.count--;                                                                    \
        if (ret_item != NULL)                                                               \
            *ret_item = *name##_lodei_slot(v, v->core.count);                               \
        if (LODEI_DS_UNLIKELY(v->core.count % ((block_bytes) / sizeof(type)) == 0))         \
            name##_lodei_shrink(v, v->core.count, 1);                                       \
        return 0;                                                                           \
    }                                                                                       \
    LODEI_DS_FN int name##_remove_swap(struct name *v, size_t at)                           \
    {                                                                                       \
        if (at >= v->core.count)                                                            \
            return -ERANGE;                                                                 \
        if (at != v->core.count - 1)                                                        \
            *name##_lodei_slot(v, at) = *name##_lodei_slot(v, v->core.count - 1);           \
        return name##_pop(v, (type *)NULL);                                                 \
    }                                                                                       \
    LODEI_DS_FN size_t name##_blocks(const struct name *v)                                  \
    {                                                                                       \
        size_t each = (block_bytes) / sizeof(type);                                         \
        return v->core.count / each + (v->core.count % each != 0);                          \
    }                                                                                       \
    LODEI_DS_FN type *name##_block(const struct name *v, size_t b, size_t *ret_count)       \
    {                                                                                       \
        size_t each = (block_bytes) / sizeof(type), left = v->core.count - b * each;        \
        *ret_count = left < each ? left : each;                                             \
        return (type *)lodei_pooled_block(&v->core, b, LODEI_POOLED_FAN_LOG2(block_bytes)); \
    }                                                                                       \
    struct name

#endif
