/* SPDX-License-Identifier: MIT */
/**
 * @file ds_base.h
 * What the containers of ds.h stand on: the vocabulary of their macros, and growable arrays without
 * a type. Include ds.h or one of its parts; what is named lodei_ here is called by generated code
 * only.
 *
 * Code split: what runs for every item is generated inline for each element type; what runs when a
 * container grows (lodei_array_grow() and its likes) is one function for all types in liblode-ext.
 * Generated code never reads memory of one type as another: the untyped functions get copies of the
 * fields, in a struct lodei_array, and hand the new ones back.
 */
#ifndef LODE_DS_BASE_H
#define LODE_DS_BASE_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "lode/allocator.h"

#ifdef __cplusplus
#define LODEI_DS_ALIGNOF(type)   alignof(type)
#define LODEI_DS_ALIGNAS(align)  alignas(align)
#define LODEI_DS_ASSERT(e, text) static_assert(e, text)
/* Containers move items with memcpy() and run no destructor. */
#define LODEI_DS_ITEM_CHECK(type) \
    static_assert(__is_trivially_copyable(type), "items are moved with memcpy()")
#else
#define LODEI_DS_ALIGNOF(type)    _Alignof(type)
#define LODEI_DS_ALIGNAS(align)   _Alignas(align)
#define LODEI_DS_ASSERT(e, text)  _Static_assert(e, text)
#define LODEI_DS_ITEM_CHECK(type) _Static_assert(sizeof(type) > 0, "an item has bytes")
#endif

#define LODEI_DS_LIKELY(e)   __builtin_expect(!!(e), 1)
#define LODEI_DS_UNLIKELY(e) __builtin_expect(!!(e), 0)

/* How generated functions are declared: the many, those that may fail for want of memory, and those
 * that grow a container, which stay out of the way of the inlined rest. */
#define LODEI_DS_FN   static inline __attribute__((unused))
#define LODEI_DS_TRY  LODE_NODISCARD static inline __attribute__((unused))
#define LODEI_DS_SLOW static __attribute__((unused, noinline, cold))

#ifdef __cplusplus
extern "C" {
#endif

/* Memory of `allocator`; NULL: of the calling thread's malloc heap (lode_malloc()). A block is
 * resized and freed with the bytes and alignment it was allocated with. What an allocator refuses
 * to take back (an arena, a stack) stays with it until it is reset. */
LODE_API void *lodei_ds_alloc(const struct lode_allocator *allocator, size_t bytes, size_t align);
LODE_API void *lodei_ds_alloc_zeroed(const struct lode_allocator *allocator, size_t bytes,
                                     size_t align);
LODE_API void *lodei_ds_resize(const struct lode_allocator *allocator, void *block,
                               size_t old_bytes, size_t bytes, size_t align);
LODE_API void lodei_ds_free(const struct lode_allocator *allocator, void *block, size_t bytes,
                            size_t align);

/* A growable array: [0, count) items, [count, capacity) uninitialised; max_items 0: no cap.
 * capacity never exceeds max_items. */
struct lodei_array {
    void *items;
    size_t count;
    size_t capacity;
    size_t max_items;
    const struct lode_allocator *allocator;
};

enum lodei_growth {
    LODEI_GROW_EXACT = 0, /* to what is needed */
    LODEI_GROW_MORE = 1,  /* so that a run of pushes costs O(1) each: x2, above 64 KiB x1.5 */
    LODEI_GROW_STEPS = 2, /* as bump vectors do: see ds_vec.h */
};

/* Make room for `need` items in all. 0; -ENOSPC more than max_items; -ENOMEM, also where the bytes
 * overflow; the array is then as it was. Less than wanted is taken where the allocator has not
 * more.
 */
LODE_API LODE_NODISCARD int lodei_array_grow(struct lodei_array *array, size_t need,
                                             size_t item_bytes, size_t item_align,
                                             enum lodei_growth growth);
/* Give back the room behind the last item, as far as the allocator takes it. */
LODE_API void lodei_array_trim(struct lodei_array *array, size_t item_bytes, size_t item_align);

#ifdef __cplusplus
}
#endif

/* The fields of the array containers, in one order, so that LODE_DS_INIT() fits them all. */
#define LODEI_ARRAY_FIELDS(type) \
    type *items;                 \
    size_t count;                \
    size_t capacity;             \
    size_t max_items;            \
    const struct lode_allocator *allocator

/* The slow halves of an array container `name` of `type`. */
#define LODEI_ARRAY_DEFINE(name, type, growth)                                                \
    LODEI_DS_SLOW int name##_lodei_grow(struct name *v, size_t need, enum lodei_growth how)   \
    {                                                                                         \
        struct lodei_array a = {v->items, v->count, v->capacity, v->max_items, v->allocator}; \
        int status = lodei_array_grow(&a, need, sizeof(type), LODEI_DS_ALIGNOF(type), how);   \
        v->items = (type *)a.items;                                                           \
        v->capacity = a.capacity;                                                             \
        return status;                                                                        \
    }                                                                                         \
    /* Room for one more; kept apart from the above so that a push passes one argument. */    \
    LODEI_DS_SLOW int name##_lodei_grow_one(struct name *v)                                   \
    {                                                                                         \
        return name##_lodei_grow(v, v->count + 1, growth);                                    \
    }                                                                                         \
    LODEI_DS_FN void name##_trim(struct name *v)                                              \
    {                                                                                         \
        struct lodei_array a = {v->items, v->count, v->capacity, v->max_items, v->allocator}; \
        lodei_array_trim(&a, sizeof(type), LODEI_DS_ALIGNOF(type));                           \
        v->items = (type *)a.items;                                                           \
        v->capacity = a.capacity;                                                             \
    }                                                                                         \
    LODEI_DS_FN void name##_init(struct name *v, size_t max_items,                            \
                                 const struct lode_allocator *allocator)                      \
    {                                                                                         \
        v->items = NULL;                                                                      \
        v->count = v->capacity = 0;                                                           \
        v->max_items = max_items;                                                             \
        v->allocator = allocator;                                                             \
    }                                                                                         \
    LODEI_DS_FN void name##_finish(struct name *v)                                            \
    {                                                                                         \
        if (v->items != NULL)                                                                 \
            lodei_ds_free(v->allocator, v->items, v->capacity * sizeof(type),                 \
                          LODEI_DS_ALIGNOF(type));                                            \
        name##_init(v, v->max_items, v->allocator);                                           \
    }                                                                                         \
    LODEI_DS_TRY int name##_reserve(struct name *v, size_t need)                              \
    {                                                                                         \
        return need <= v->capacity ? 0 : name##_lodei_grow(v, need, LODEI_GROW_EXACT);        \
    }                                                                                         \
    LODEI_DS_FN size_t name##_count(const struct name *v)                                     \
    {                                                                                         \
        return v->count;                                                                      \
    }                                                                                         \
    LODEI_DS_FN type *name##_at(const struct name *v, size_t i)                               \
    {                                                                                         \
        return i < v->count ? v->items + i : (type *)NULL;                                    \
    }

/**
 * Initialiser of a container whose fields start with LODE_VEC_DEFINE()'s: at most `max_items` (0:
 * no cap) from `allocator` (NULL: lode_malloc()'s heap). A container of zero bytes is initialised
 * too: no cap, no allocator.
 */
#define LODE_DS_INIT(max_items, allocator)   \
    {                                        \
        NULL, 0, 0, (max_items), (allocator) \
    }

#endif
