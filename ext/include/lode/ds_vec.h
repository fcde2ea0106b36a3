/* SPDX-License-Identifier: MIT */
/**
 * @file ds_vec.h
 * Vectors in one block of memory: LODE_VEC_DEFINE() and LODE_BUMPVEC_DEFINE().
 *
 *     LODE_VEC_DEFINE(ids, uint32_t);
 *
 *     struct ids v = LODE_DS_INIT(1000, &allocator);     // or = {0}: no cap, malloc's heap
 *     if (ids_push(&v, 7) != 0) ...
 *     for (size_t i = 0; i < v.count; i++) use(v.items[i]);
 *     ids_finish(&v);
 *
 *     items -> [0 | 1 | .. | count-1 | uninitialised .. capacity)
 *
 * LODE_VEC_DEFINE(name, type) declares struct name { type *items; size_t count, capacity,
 * max_items; const struct lode_allocator *allocator; } (all readable; write none of them) and
 *
 *     void    NAME_init(v, max_items, allocator)  as LODE_DS_INIT(); also after the allocator
 *                                                 was reset, which took the items with it
 *     void    NAME_finish(v)                  frees; v is as after init
 *     int     NAME_push(v, item)              append a copy                            O(1)*
 *     int     NAME_add(v, &slot)              append; slot: the new one, uninitialised O(1)*
 *     int     NAME_push_many(v, items, n)     append n copies; all or none             O(n)*
 *     int     NAME_insert(v, at, item)        before item `at`; at == count appends    O(count)
 *     int     NAME_pop(v, ret_item)           remove the last; ret_item may be NULL    O(1)
 *     int     NAME_remove(v, at)              close the gap, order kept                O(count)
 *     int     NAME_remove_swap(v, at)         the last item fills the gap              O(1)
 *     int     NAME_resize(v, count)           drop items, or append zero bytes         O(n)*
 *     int     NAME_reserve(v, n)              room for n in all, not more
 *     void    NAME_clear(v)                   no items, same room
 *     void    NAME_trim(v)                    give back the room that is not used
 *     size_t  NAME_count(v)
 *     type   *NAME_at(v, i)                   NULL: i >= count
 *
 * (* amortised.) An item is any type that memcpy() moves, of any size and alignment; a name of one
 * word or two (array and function types need a typedef). Items that are given may stand in the
 * vector itself: push(&v, v.items[0]) and push_many(&v, v.items, n) are fine while it grows.
 *
 * Returns      0; -ENOSPC the cap; -ENOMEM no memory, or bytes that overflow; -ERANGE `at` beyond
 *              the end; -ENOENT pop of an empty vector. On error the vector is as it was.
 * Invalidates  Growing, trimming, finishing: every pointer to items. insert and remove: those at
 *              and behind `at`. A struct vector itself may be moved with memcpy().
 * Iterating    By index. Removing by swap while counting down visits every item once.
 * Threads      One at a time; readers may share it while nobody writes.
 *
 * LODE_BUMPVEC_DEFINE(name, type) is the same vector for arena-like allocators, whose newest block
 * is extended in place (LODE_TRAIT_RESIZES). Below 16 KiB it asks for an eighth more at a time,
 * which costs no copy there and leaves little unused, and doubles only where the allocator had to
 * move it because something was allocated behind it; above, it asks for half as much again.
 * NAME_trim() gives the tail back to the arena. An arena takes nothing else back: NAME_finish() is
 * optional before it is reset.
 *
 * Ours, against GArray, klib's kvec and utarray: those take memory from malloc, abort or say
 * nothing where there is none, and have no cap.
 */
#ifndef LODE_DS_VEC_H
#define LODE_DS_VEC_H

#include "lode/ds_base.h"

#define LODE_VEC_DEFINE(name, type)     LODEI_VEC_DEFINE(name, type, LODEI_GROW_MORE)
#define LODE_BUMPVEC_DEFINE(name, type) LODEI_VEC_DEFINE(name, type, LODEI_GROW_STEPS)

#define LODEI_VEC_DEFINE(name, type, growth)                                                 \
    LODEI_DS_ITEM_CHECK(type);                                                               \
    struct name {                                                                            \
        LODEI_ARRAY_FIELDS(type);                                                            \
    };                                                                                       \
    LODEI_ARRAY_DEFINE(name, type, growth)                                                   \
    /* Room for n more. *items moves along when it points into the vector. */                \
    LODEI_DS_SLOW int name##_lodei_grow_many(struct name *v, type const **items, size_t n)   \
    {                                                                                        \
        uintptr_t inside = (uintptr_t)*items - (uintptr_t)v->items;                          \
        int own = v->items != NULL && inside < v->count * sizeof(type);                      \
        int status =                                                                         \
            name##_lodei_grow(v, n > SIZE_MAX - v->count ? SIZE_MAX : v->count + n, growth); \
        if (status == 0 && own)                                                              \
            *items = v->items + inside / sizeof(type);                                       \
        return status;                                                                       \
    }                                                                                        \
    LODEI_DS_TRY int name##_add(struct name *v, type **ret_slot)                             \
    {                                                                                        \
        if (LODEI_DS_UNLIKELY(v->count == v->capacity)) {                                    \
            int status = name##_lodei_grow_one(v);                                           \
            if (status != 0)                                                                 \
                return status;                                                               \
        }                                                                                    \
        *ret_slot = v->items + v->count++;                                                   \
        return 0;                                                                            \
    }                                                                                        \
    LODEI_DS_TRY int name##_push(struct name *v, type item)                                  \
    {                                                                                        \
        if (LODEI_DS_UNLIKELY(v->count == v->capacity)) {                                    \
            int status = name##_lodei_grow_one(v);                                           \
            if (status != 0)                                                                 \
                return status;                                                               \
        }                                                                                    \
        v->items[v->count++] = item;                                                         \
        return 0;                                                                            \
    }                                                                                        \
    LODEI_DS_TRY int name##_push_many(struct name *v, type const *items, size_t n)           \
    {                                                                                        \
        if (n > v->capacity - v->count) {                                                    \
            int status = name##_lodei_grow_many(v, &items, n);                               \
            if (status != 0)                                                                 \
                return status;                                                               \
        }                                                                                    \
        if (n != 0)                                                                          \
            memcpy((void *)(v->items + v->count), (const void *)items, n * sizeof(type));    \
        v->count += n;                                                                       \
        return 0;                                                                            \
    }                                                                                        \
    LODEI_DS_TRY int name##_insert(struct name *v, size_t at, type item)                     \
    {                                                                                        \
        if (at > v->count)                                                                   \
            return -ERANGE;                                                                  \
        if (LODEI_DS_UNLIKELY(v->count == v->capacity)) {                                    \
            int status = name##_lodei_grow_one(v);                                           \
            if (status != 0)                                                                 \
                return status;                                                               \
        }                                                                                    \
        memmove((void *)(v->items + at + 1), (const void *)(v->items + at),                  \
                (v->count - at) * sizeof(type));                                             \
        v->items[at] = item;                                                                 \
        v->count++;                                                                          \
        return 0;                                                                            \
    }                                                                                        \
    LODEI_DS_FN int name##_pop(struct name *v, type *ret_item)                               \
    {                                                                                        \
        if (v->count == 0)                                                                   \
            return -ENOENT;                                                                  \
        v->count--;                                                                          \
        if (ret_item != NULL)                                                                \
            *ret_item = v->items[v->count];                                                  \
        return 0;                                                                            \
    }                                                                                        \
    LODEI_DS_FN int name##_remove(struct name *v, size_t at)                                 \
    {                                                                                        \
        if (at >= v->count)                                                                  \
            return -ERANGE;                                                                  \
        v->count--;                                                                          \
        memmove((void *)(v->items + at), (const void *)(v->items + at + 1),                  \
                (v->count - at) * sizeof(type));                                             \
        return 0;                                                                            \
    }                                                                                        \
    LODEI_DS_FN int name##_remove_swap(struct name *v, size_t at)                            \
    {                                                                                        \
        if (at >= v->count)                                                                  \
            return -ERANGE;                                                                  \
        v->count--;                                                                          \
        if (at != v->count)                                                                  \
            v->items[at] = v->items[v->count];                                               \
        return 0;                                                                            \
    }                                                                                        \
    LODEI_DS_TRY int name##_resize(struct name *v, size_t count)                             \
    {                                                                                        \
        if (count > v->count) {                                                              \
            if (count > v->capacity) {                                                       \
                int status = name##_lodei_grow(v, count, growth);                            \
                if (status != 0)                                                             \
                    return status;                                                           \
            }                                                                                \
            memset((void *)(v->items + v->count), 0, (count - v->count) * sizeof(type));     \
        }                                                                                    \
        v->count = count;                                                                    \
        return 0;                                                                            \
    }                                                                                        \
    LODEI_DS_FN void name##_clear(struct name *v)                                            \
    {                                                                                        \
        v->count = 0;                                                                        \
    }                                                                                        \
    struct name

#endif
