/* SPDX-License-Identifier: MIT */
/**
 * @file ds_stable.h
 * A vector whose items never move: LODE_STABLEVEC_DEFINE().
 *
 *     LODE_STABLEVEC_DEFINE(props, struct prop, 256);
 *
 *     struct props p = {0};
 *     struct prop *tree;                                 // valid until popped
 *     if (props_add(&p, &tree) != 0) ...
 *     for (size_t c = 0, n; c < props_chunks(&p); c++)
 *         for (struct prop *it = props_chunk(&p, c, &n); n > 0; it++, n--) use(it);
 *
 *     chunks -> [ * | * | * ]              a table, which does move
 *                 |   |   +-> [512 .. 767]     chunks of 256 items, which do not
 *                 |   +-----> [256 .. 511]
 *                 +---------> [  0 .. 255]
 *
 * LODE_STABLEVEC_DEFINE(name, type, chunk_items), chunk_items a power of two, declares struct name
 * and (zero bytes are an empty vector without a cap, from malloc's heap)
 *
 *     void    NAME_init(v, max_items, allocator)  NAME_finish(v)
 *     int     NAME_push(v, item)              append a copy                            O(1)
 *     int     NAME_add(v, &slot)              append; slot: the new one, uninitialised O(1)
 *     int     NAME_pop(v, ret_item)           remove the last; ret_item may be NULL    O(1)
 *     int     NAME_reserve(v, n)              room for n in all
 *     void    NAME_clear(v)                   no items, same room
 *     void    NAME_trim(v)                    give back the chunks that hold nothing
 *     size_t  NAME_count(v)
 *     type   *NAME_at(v, i)                   NULL: i >= count                         O(1)
 *     size_t  NAME_chunks(v)                  chunks that hold items
 *     type   *NAME_chunk(v, c, &n)            the n items of chunk c < NAME_chunks()
 *
 * Growing allocates a chunk and, every now and then, moves the table; never an item. There is no
 * removal from the middle: that needs a free list and a way to tell holes, which the sparse set
 * (ds_sparse_set.h) and the object pool have.
 *
 * Returns      0; -ENOSPC the cap; -ENOMEM; -ENOENT pop of an empty vector. On error the vector is
 *              as it was.
 * Invalidates  Popping, clearing, finishing: pointers to what is gone. Nothing else; the struct may
 *              be moved with memcpy().
 * Threads      One at a time; readers may share it while nobody writes.
 *
 * Ours; the method is that of every std::deque.
 */
#ifndef LODE_DS_STABLE_H
#define LODE_DS_STABLE_H

#include "lode/ds_base.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What NAME_ of LODE_STABLEVEC_DEFINE() stands on; `capacity` is what the chunks hold, capped. */
struct lodei_stable {
    void **chunks;
    size_t count;
    size_t capacity;
    size_t max_items; /* 0: no cap */
    size_t chunk_count;
    size_t table_capacity;
    const struct lode_allocator *allocator;
};

LODE_API LODE_NODISCARD int lodei_stable_grow(struct lodei_stable *v, size_t need,
                                              size_t chunk_items, size_t item_bytes, size_t align);
/* Keep the chunks of the first `keep` items, free the others; the table as well when none is left.
 */
LODE_API void lodei_stable_trim(struct lodei_stable *v, size_t keep, size_t chunk_items,
                                size_t item_bytes, size_t align);

#ifdef __cplusplus
}
#endif

#define LODE_STABLEVEC_DEFINE(name, type, chunk_items)                                       \
    LODEI_DS_ITEM_CHECK(type);                                                               \
    LODEI_DS_ASSERT((chunk_items) > 0 && ((chunk_items) & ((chunk_items)-1)) == 0,           \
                    "a power of two items in a chunk");                                      \
    struct name {                                                                            \
        struct lodei_stable core;                                                            \
    };                                                                                       \
    LODEI_DS_FN void name##_init(struct name *v, size_t max_items,                           \
                                 const struct lode_allocator *allocator)                     \
    {                                                                                        \
        memset((void *)v, 0, sizeof(*v));                                                    \
        v->core.max_items = max_items;                                                       \
        v->core.allocator = allocator;                                                       \
    }                                                                                        \
    LODEI_DS_FN void name##_finish(struct name *v)                                           \
    {                                                                                        \
        lodei_stable_trim(&v->core, 0, (chunk_items), sizeof(type), LODEI_DS_ALIGNOF(type)); \
        name##_init(v, v->core.max_items, v->core.allocator);                                \
    }                                                                                        \
    LODEI_DS_FN size_t name##_count(const struct name *v)                                    \
    {                                                                                        \
        return v->core.count;                                                                \
    }                                                                                        \
    LODEI_DS_FN type *name##_lodei_slot(const struct name *v, size_t i)                      \
    {                                                                                        \
        return (type *)v->core.chunks[i / (chunk_items)] + i % (chunk_items);                \
    }                                                                                        \
    LODEI_DS_FN type *name##_at(const struct name *v, size_t i)                              \
    {                                                                                        \
        return i < v->core.count ? name##_lodei_slot(v, i) : (type *)NULL;                   \
    }                                                                                        \
    LODEI_DS_SLOW int name##_lodei_grow(struct name *v, size_t need)                         \
    {                                                                                        \
        return lodei_stable_grow(&v->core, need, (chunk_items), sizeof(type),                \
                                 LODEI_DS_ALIGNOF(type));                                    \
    }                                                                                        \
    LODEI_DS_TRY int name##_reserve(struct name *v, size_t need)                             \
    {                                                                                        \
        return need <= v->core.capacity ? 0 : name##_lodei_grow(v, need);                    \
    }                                                                                        \
    LODEI_DS_TRY int name##_add(struct name *v, type **ret_slot)                             \
    {                                                                                        \
        if (LODEI_DS_UNLIKELY(v->core.count == v->core.capacity)) {                          \
            int status = name##_lodei_grow(v, v->core.count + 1);                            \
            if (status != 0)                                                                 \
                return status;                                                               \
        }                                                                                    \
        *ret_slot = name##_lodei_slot(v, v->core.count++);                                   \
        return 0;                                                                            \
    }                                                                                        \
    LODEI_DS_TRY int name##_push(struct name *v, type item)                                  \
    {                                                                                        \
        type *slot;                                                                          \
        int status = name##_add(v, &slot);                                                   \
        if (status == 0)                                                                     \
            *slot = item;                                                                    \
        return status;                                                                       \
    }                                                                                        \
    LODEI_DS_FN int name##_pop(struct name *v, type *ret_item)                               \
    {                                                                                        \
        if (v->core.count == 0)                                                              \
            return -ENOENT;                                                                  \
        v->core.count--;                                                                     \
        if (ret_item != NULL)                                                                \
            *ret_item = *name##_lodei_slot(v, v->core.count);                                \
        return 0;                                                                            \
    }                                                                                        \
    LODEI_DS_FN void name##_clear(struct name *v)                                            \
    {                                                                                        \
        v->core.count = 0;                                                                   \
    }                                                                                        \
    LODEI_DS_FN void name##_trim(struct name *v)                                             \
    {                                                                                        \
        lodei_stable_trim(&v->core, v->core.count, (chunk_items), sizeof(type),              \
                          LODEI_DS_ALIGNOF(type));                                           \
    }                                                                                        \
    LODEI_DS_FN size_t name##_chunks(const struct name *v)                                   \
    {                                                                                        \
        return v->core.count / (chunk_items) + (v->core.count % (chunk_items) != 0);         \
    }                                                                                        \
    LODEI_DS_FN type *name##_chunk(const struct name *v, size_t c, size_t *ret_count)        \
    {                                                                                        \
        size_t left = v->core.count - c * (chunk_items);                                     \
        *ret_count = left < (chunk_items) ? left : (size_t)(chunk_items);                    \
        return (type *)v->core.chunks[c];                                                    \
    }                                                                                        \
    struct name

#endif
