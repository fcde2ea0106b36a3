/* SPDX-License-Identifier: MIT */
/**
 * @file ds_smallvec.h
 * A vector whose first N items stand in the struct itself: LODE_SMALLVEC_DEFINE().
 *
 *     LODE_SMALLVEC_DEFINE(targets, struct target, 8);
 *
 *     struct targets t = {0};                            // or targets_init(&t, 100, &allocator)
 *     if (targets_push(&t, it) != 0) ...
 *     struct target *items = targets_items(&t);
 *     for (uint32_t i = 0; i < t.count; i++) use(items[i]);
 *     targets_finish(&t);
 *
 *     count <= N:  away = NULL, here = [0 .. count-1 | ..N)
 *     more:        away -> [0 .. count-1 | ..capacity), here unused
 *
 * Up to N items need no memory but the struct, and cost no allocation. The struct holds no pointer
 * into itself: it may be moved with memcpy(), so it can be an item of another container. That is
 * why the items are asked for with NAME_items() (one predictable branch), not read from a field.
 *
 * Functions: as LODE_VEC_DEFINE()'s (ds_vec.h), with the same returns, but counts are uint32_t,
 * and
 *
 *     type   *NAME_items(v)   the first item, here or away; hold it no longer than until v grows,
 *                             trims or moves
 *     void    NAME_trim(v)    back into the struct when they fit; else as little room as can be
 *
 * There is no NAME_resize() and no static initialiser with settings: zero bytes, or NAME_init().
 *
 * Returns      As ds_vec.h; -ENOSPC also beyond 2^32-1 items.
 * Invalidates  Growing, trimming, finishing and moving the struct: every pointer to items.
 * Threads      One at a time; readers may share it while nobody writes.
 *
 * Ours, the idea being LLVM's SmallVector; in C there is none with an allocator.
 */
#ifndef LODE_DS_SMALLVEC_H
#define LODE_DS_SMALLVEC_H

#include "lode/ds_base.h"

#define LODE_SMALLVEC_DEFINE(name, type, inline_items)                                           \
    LODEI_DS_ITEM_CHECK(type);                                                                   \
    LODEI_DS_ASSERT((inline_items) > 0 && (inline_items) <= 65536, "1 to 65536 items inline");   \
    struct name {                                                                                \
        type *away; /* NULL: the items stand in `here` */                                        \
        const struct lode_allocator *allocator;                                                  \
        uint32_t count;                                                                          \
        uint32_t capacity; /* 0 until the first item */                                          \
        uint32_t max_items;                                                                      \
        type here[inline_items];                                                                 \
    };                                                                                           \
    LODEI_DS_FN void name##_init(struct name *v, uint32_t max_items,                             \
                                 const struct lode_allocator *allocator)                         \
    {                                                                                            \
        v->away = NULL;                                                                          \
        v->allocator = allocator;                                                                \
        v->count = v->capacity = 0;                                                              \
        v->max_items = max_items;                                                                \
    }                                                                                            \
    LODEI_DS_FN void name##_finish(struct name *v)                                               \
    {                                                                                            \
        if (v->away != NULL)                                                                     \
            lodei_ds_free(v->allocator, v->away, v->capacity * sizeof(type),                     \
                          LODEI_DS_ALIGNOF(type));                                               \
        name##_init(v, v->max_items, v->allocator);                                              \
    }                                                                                            \
    LODEI_DS_FN type *name##_items(struct name *v)                                               \
    {                                                                                            \
        return v->away != NULL ? v->away : v->here;                                              \
    }                                                                                            \
    LODEI_DS_FN uint32_t name##_count(const struct name *v)                                      \
    {                                                                                            \
        return v->count;                                                                         \
    }                                                                                            \
    LODEI_DS_FN type *name##_at(struct name *v, uint32_t i)                                      \
    {                                                                                            \
        return i < v->count ? name##_items(v) + i : (type *)NULL;                                \
    }                                                                                            \
    LODEI_DS_SLOW int name##_lodei_grow(struct name *v, size_t need, enum lodei_growth how)      \
    {                                                                                            \
        uint32_t max = v->max_items != 0 ? v->max_items : UINT32_MAX;                            \
        struct lodei_array a = {v->away, 0, v->capacity, max, v->allocator};                     \
        if (v->away == NULL && need <= (inline_items) && need <= max) {                          \
            v->capacity = max < (inline_items) ? max : (uint32_t)(inline_items);                 \
            return 0;                                                                            \
        }                                                                                        \
        int status = lodei_array_grow(&a, need, sizeof(type), LODEI_DS_ALIGNOF(type), how);      \
        if (status != 0)                                                                         \
            return status;                                                                       \
        if (v->away == NULL)                                                                     \
            memcpy(a.items, (const void *)v->here, v->count * sizeof(type));                     \
        v->away = (type *)a.items;                                                               \
        v->capacity = (uint32_t)a.capacity;                                                      \
        return 0;                                                                                \
    }                                                                                            \
    LODEI_DS_SLOW int name##_lodei_grow_one(struct name *v)                                      \
    {                                                                                            \
        return name##_lodei_grow(v, (size_t)v->count + 1, LODEI_GROW_MORE);                      \
    }                                                                                            \
    LODEI_DS_SLOW int name##_lodei_grow_many(struct name *v, type const **items, size_t n)       \
    {                                                                                            \
        uintptr_t inside = (uintptr_t)*items - (uintptr_t)name##_items(v);                       \
        int own = inside < v->count * sizeof(type);                                              \
        int status =                                                                             \
            name##_lodei_grow(v, n > UINT32_MAX ? SIZE_MAX : v->count + n, LODEI_GROW_MORE);     \
        if (status == 0 && own)                                                                  \
            *items = name##_items(v) + inside / sizeof(type);                                    \
        return status;                                                                           \
    }                                                                                            \
    LODEI_DS_FN void name##_trim(struct name *v)                                                 \
    {                                                                                            \
        if (v->away == NULL)                                                                     \
            return;                                                                              \
        if (v->count <= (inline_items)) {                                                        \
            memcpy((void *)v->here, (const void *)v->away, v->count * sizeof(type));             \
            lodei_ds_free(v->allocator, v->away, v->capacity * sizeof(type),                     \
                          LODEI_DS_ALIGNOF(type));                                               \
            v->away = NULL;                                                                      \
            v->capacity = v->count;                                                              \
            return;                                                                              \
        }                                                                                        \
        struct lodei_array a = {v->away, v->count, v->capacity, v->max_items, v->allocator};     \
        lodei_array_trim(&a, sizeof(type), LODEI_DS_ALIGNOF(type));                              \
        v->away = (type *)a.items;                                                               \
        v->capacity = (uint32_t)a.capacity;                                                      \
    }                                                                                            \
    LODEI_DS_TRY int name##_reserve(struct name *v, size_t need)                                 \
    {                                                                                            \
        return need <= v->capacity ? 0 : name##_lodei_grow(v, need, LODEI_GROW_EXACT);           \
    }                                                                                            \
    LODEI_DS_TRY int name##_add(struct name *v, type **ret_slot)                                 \
    {                                                                                            \
        if (LODEI_DS_UNLIKELY(v->count == v->capacity)) {                                        \
            int status = name##_lodei_grow_one(v);                                               \
            if (status != 0)                                                                     \
                return status;                                                                   \
        }                                                                                        \
        *ret_slot = name##_items(v) + v->count++;                                                \
        return 0;                                                                                \
    }                                                                                            \
    LODEI_DS_TRY int name##_push(struct name *v, type item)                                      \
    {                                                                                            \
        type *slot;                                                                              \
        int status = name##_add(v, &slot);                                                       \
        if (status == 0)                                                                         \
            *slot = item;                                                                        \
        return status;                                                                           \
    }                                                                                            \
    LODEI_DS_TRY int name##_push_many(struct name *v, type const *items, size_t n)               \
    {                                                                                            \
        if (n > v->capacity - v->count) {                                                        \
            int status = name##_lodei_grow_many(v, &items, n);                                   \
            if (status != 0)                                                                     \
                return status;                                                                   \
        }                                                                                        \
        if (n != 0)                                                                              \
            memcpy((void *)(name##_items(v) + v->count), (const void *)items, n * sizeof(type)); \
        v->count += (uint32_t)n;                                                                 \
        return 0;                                                                                \
    }                                                                                            \
    LODEI_DS_TRY int name##_insert(struct name *v, uint32_t at, type item)                       \
    {                                                                                            \
        type *last;                                                                              \
        if (at > v->count)                                                                       \
            return -ERANGE;                                                                      \
        int status = name##_add(v, &last);                                                       \
        if (status != 0)                                                                         \
            return status;                                                                       \
        type *slot = name##_items(v) + at;                                                       \
        memmove((void *)(slot + 1), (const void *)slot, (v->count - 1 - at) * sizeof(type));     \
        *slot = item;                                                                            \
        return 0;                                                                                \
    }                                                                                            \
    LODEI_DS_FN int name##_pop(struct name *v, type *ret_item)                                   \
    {                                                                                            \
        if (v->count == 0)                                                                       \
            return -ENOENT;                                                                      \
        v->count--;                                                                              \
        if (ret_item != NULL)                                                                    \
            *ret_item = name##_items(v)[v->count];                                               \
        return 0;                                                                                \
    }                                                                                            \
    LODEI_DS_FN int name##_remove(struct name *v, uint32_t at)                                   \
    {                                                                                            \
        if (at >= v->count)                                                                      \
            return -ERANGE;                                                                      \
        type *slot = name##_items(v) + at;                                                       \
        v->count--;                                                                              \
        memmove((void *)slot, (const void *)(slot + 1), (v->count - at) * sizeof(type));         \
        return 0;                                                                                \
    }                                                                                            \
    LODEI_DS_FN int name##_remove_swap(struct name *v, uint32_t at)                              \
    {                                                                                            \
        type *items = name##_items(v);                                                           \
        if (at >= v->count)                                                                      \
            return -ERANGE;                                                                      \
        v->count--;                                                                              \
        if (at != v->count)                                                                      \
            items[at] = items[v->count];                                                         \
        return 0;                                                                                \
    }                                                                                            \
    LODEI_DS_FN void name##_clear(struct name *v)                                                \
    {                                                                                            \
        v->count = 0;                                                                            \
    }                                                                                            \
    struct name

#endif
