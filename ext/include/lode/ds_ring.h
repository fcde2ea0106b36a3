/* SPDX-License-Identifier: MIT */
/**
 * @file ds_ring.h
 * A ring buffer: a queue, a double-ended queue, or the last N of something: LODE_RING_DEFINE().
 *
 *     LODE_RING_DEFINE(frame_times, float);
 *
 *     struct frame_times t;
 *     if (frame_times_init(&t, 240, LODE_RING_OVERWRITE, NULL) != 0) ...
 *     if (frame_times_push(&t, ms) != 0) ...             // the 241st replaces the oldest
 *     struct frame_times_span last[2];
 *     frame_times_recent(&t, 60, last);                  // the newest 60, oldest of them first
 *     for (int s = 0; s < 2; s++)
 *         for (size_t i = 0; i < last[s].count; i++) sum += last[s].items[i];
 *
 *     items -> [ 5 | 6 | free | 2 | 3 | 4 ]     head = 3, count = 5: 2 is the oldest, 6 the newest
 *
 * LODE_RING_DEFINE(name, type) declares struct name (zero bytes: empty, growing, no cap, malloc's
 * heap), struct name_span { type *items; size_t count; } and
 *
 *     int     NAME_init(r, max_items, flags, allocator)  -EINVAL: flags unknown, or to overwrite
 *                                                        without a cap
 *     void    NAME_finish(r)
 *     int     NAME_push(r, item)          append as the newest                        O(1)*
 *     int     NAME_push_front(r, item)    prepend as the oldest                       O(1)*
 *     int     NAME_pop(r, ret_item)       remove the oldest; ret_item may be NULL     O(1)
 *     int     NAME_pop_back(r, ret_item)  remove the newest                           O(1)
 *     type   *NAME_at(r, i)               i = 0: the oldest; NULL: i >= count
 *     type   *NAME_newest(r, i)           i = 0: the newest; NULL: i >= count
 *     size_t  NAME_recent(r, n, spans)    the newest n as two runs in memory, in order of age,
 *                                         the second often empty; returns how many there are,
 *                                         at most n
 *     int     NAME_reserve(r, n)          room for n in all: n = max_items makes the ring fixed
 *     void    NAME_clear(r)
 *     void    NAME_trim(r)                give back room, as far as there is memory to do so
 *     size_t  NAME_count(r)
 *
 * Full is max_items: there a ring with LODE_RING_OVERWRITE replaces the oldest (push_front: the
 * newest) and any other answers -ENOSPC. Below it the ring grows, and a growth that fails is
 * -ENOMEM: a ring that must never allocate reserves max_items at the start.
 *
 * Returns      0; -ENOSPC; -ENOMEM; -ENOENT pop of an empty ring. On error the ring is as it was.
 * Invalidates  Growing, trimming, finishing: every pointer. Overwriting: the item replaced. The
 *              struct may be moved with memcpy().
 * Threads      One at a time; readers may share it while nobody writes.
 *
 * Ours: GQueue allocates a node an item, and Debian's ring buffers (libck, liburcu) are queues
 * between threads.
 */
#ifndef LODE_DS_RING_H
#define LODE_DS_RING_H

#include "lode/ds_base.h"

/** NAME_init() flags of a ring. */
enum lode_ring_flag {
    LODE_RING_OVERWRITE = 1u << 0, /**< at the cap a push replaces what is at the other end */
};

#ifdef __cplusplus
extern "C" {
#endif

struct lodei_ring {
    void *items;
    size_t head; /* index of the oldest; < capacity, or 0 */
    size_t count;
    size_t capacity;
    size_t max_items;
    const struct lode_allocator *allocator;
};

/* As lodei_array_grow(); the oldest item is at index 0 afterwards. */
LODE_API LODE_NODISCARD int lodei_ring_grow(struct lodei_ring *ring, size_t need, size_t item_bytes,
                                            size_t item_align, enum lodei_growth growth);
LODE_API void lodei_ring_trim(struct lodei_ring *ring, size_t item_bytes, size_t item_align);

#ifdef __cplusplus
}
#endif

#define LODE_RING_DEFINE(name, type)                                                          \
    LODEI_DS_ITEM_CHECK(type);                                                                \
    struct name {                                                                             \
        type *items;                                                                          \
        size_t head;                                                                          \
        size_t count;                                                                         \
        size_t capacity;                                                                      \
        size_t max_items;                                                                     \
        const struct lode_allocator *allocator;                                               \
        uint32_t flags;                                                                       \
        uint32_t reserved;                                                                    \
    };                                                                                        \
    struct name##_span {                                                                      \
        type *items;                                                                          \
        size_t count;                                                                         \
    };                                                                                        \
    LODEI_DS_TRY int name##_init(struct name *r, size_t max_items, uint32_t flags,            \
                                 const struct lode_allocator *allocator)                      \
    {                                                                                         \
        if ((flags & ~(uint32_t)LODE_RING_OVERWRITE) != 0 || (flags != 0 && max_items == 0))  \
            return -EINVAL;                                                                   \
        memset((void *)r, 0, sizeof(*r));                                                     \
        r->max_items = max_items;                                                             \
        r->flags = flags;                                                                     \
        r->allocator = allocator;                                                             \
        return 0;                                                                             \
    }                                                                                         \
    LODEI_DS_FN void name##_finish(struct name *r)                                            \
    {                                                                                         \
        if (r->items != NULL)                                                                 \
            lodei_ds_free(r->allocator, r->items, r->capacity * sizeof(type),                 \
                          LODEI_DS_ALIGNOF(type));                                            \
        r->items = NULL;                                                                      \
        r->head = r->count = r->capacity = 0;                                                 \
    }                                                                                         \
    LODEI_DS_SLOW int name##_lodei_grow(struct name *r, size_t need, enum lodei_growth how)   \
    {                                                                                         \
        struct lodei_ring copy = {r->items,    r->head,      r->count,                        \
                                  r->capacity, r->max_items, r->allocator};                   \
        int status = lodei_ring_grow(&copy, need, sizeof(type), LODEI_DS_ALIGNOF(type), how); \
        r->items = (type *)copy.items;                                                        \
        r->head = copy.head;                                                                  \
        r->capacity = copy.capacity;                                                          \
        return status;                                                                        \
    }                                                                                         \
    LODEI_DS_FN void name##_trim(struct name *r)                                              \
    {                                                                                         \
        struct lodei_ring copy = {r->items,    r->head,      r->count,                        \
                                  r->capacity, r->max_items, r->allocator};                   \
        lodei_ring_trim(&copy, sizeof(type), LODEI_DS_ALIGNOF(type));                         \
        r->items = (type *)copy.items;                                                        \
        r->head = copy.head;                                                                  \
        r->capacity = copy.capacity;                                                          \
    }                                                                                         \
    LODEI_DS_TRY int name##_reserve(struct name *r, size_t need)                              \
    {                                                                                         \
        return need <= r->capacity ? 0 : name##_lodei_grow(r, need, LODEI_GROW_EXACT);        \
    }                                                                                         \
    LODEI_DS_FN size_t name##_count(const struct name *r)                                     \
    {                                                                                         \
        return r->count;                                                                      \
    }                                                                                         \
    /* The item `i` <= capacity behind the oldest. */                                         \
    LODEI_DS_FN type *name##_lodei_slot(const struct name *r, size_t i)                       \
    {                                                                                         \
        size_t room = r->capacity - r->head;                                                  \
        return r->items + (i < room ? r->head + i : i - room);                                \
    }                                                                                         \
    LODEI_DS_FN type *name##_at(const struct name *r, size_t i)                               \
    {                                                                                         \
        return i < r->count ? name##_lodei_slot(r, i) : (type *)NULL;                         \
    }                                                                                         \
    LODEI_DS_FN type *name##_newest(const struct name *r, size_t i)                           \
    {                                                                                         \
        return i < r->count ? name##_lodei_slot(r, r->count - 1 - i) : (type *)NULL;          \
    }                                                                                         \
    LODEI_DS_FN int name##_pop(struct name *r, type *ret_item)                                \
    {                                                                                         \
        if (r->count == 0)                                                                    \
            return -ENOENT;                                                                   \
        if (ret_item != NULL)                                                                 \
            *ret_item = r->items[r->head];                                                    \
        r->head = r->head + 1 == r->capacity ? 0 : r->head + 1;                               \
        r->count--;                                                                           \
        return 0;                                                                             \
    }                                                                                         \
    LODEI_DS_FN int name##_pop_back(struct name *r, type *ret_item)                           \
    {                                                                                         \
        if (r->count == 0)                                                                    \
            return -ENOENT;                                                                   \
        r->count--;                                                                           \
        if (ret_item != NULL)                                                                 \
            *ret_item = *name##_lodei_slot(r, r->count);                                      \
        return 0;                                                                             \
    }                                                                                         \
    LODEI_DS_SLOW int name##_lodei_grow_one(struct name *r)                                   \
    {                                                                                         \
        return name##_lodei_grow(r, r->count + 1, LODEI_GROW_MORE);                           \
    }                                                                                         \
    LODEI_DS_FN int name##_lodei_overwrites(const struct name *r)                             \
    {                                                                                         \
        return (r->flags & LODE_RING_OVERWRITE) != 0 && r->count == r->max_items;             \
    }                                                                                         \
    LODEI_DS_TRY int name##_push(struct name *r, type item)                                   \
    {                                                                                         \
        if (r->count == r->capacity) {                                                        \
            if (name##_lodei_overwrites(r)) {                                                 \
                r->items[r->head] = item;                                                     \
                r->head = r->head + 1 == r->capacity ? 0 : r->head + 1;                       \
                return 0;                                                                     \
            }                                                                                 \
            int status = name##_lodei_grow_one(r);                                            \
            if (status != 0)                                                                  \
                return status;                                                                \
        }                                                                                     \
        *name##_lodei_slot(r, r->count) = item;                                               \
        r->count++;                                                                           \
        return 0;                                                                             \
    }                                                                                         \
    LODEI_DS_TRY int name##_push_front(struct name *r, type item)                             \
    {                                                                                         \
        if (r->count == r->capacity) {                                                        \
            int status = 0;                                                                   \
            if (name##_lodei_overwrites(r))                                                   \
                r->count--;                                                                   \
            else                                                                              \
                status = name##_lodei_grow_one(r);                                            \
            if (status != 0)                                                                  \
                return status;                                                                \
        }                                                                                     \
        r->head = (r->head == 0 ? r->capacity : r->head) - 1;                                 \
        r->items[r->head] = item;                                                             \
        r->count++;                                                                           \
        return 0;                                                                             \
    }                                                                                         \
    LODEI_DS_FN void name##_clear(struct name *r)                                             \
    {                                                                                         \
        r->head = r->count = 0;                                                               \
    }                                                                                         \
    LODEI_DS_FN size_t name##_recent(const struct name *r, size_t n,                          \
                                     struct name##_span *ret_spans)                           \
    {                                                                                         \
        ret_spans[0].items = ret_spans[1].items = r->items;                                   \
        ret_spans[0].count = ret_spans[1].count = 0;                                          \
        if (n > r->count)                                                                     \
            n = r->count;                                                                     \
        if (n == 0)                                                                           \
            return 0;                                                                         \
        ret_spans[0].items = name##_lodei_slot(r, r->count - n);                              \
        size_t straight = r->capacity - (size_t)(ret_spans[0].items - r->items);              \
        ret_spans[0].count = n < straight ? n : straight;                                     \
        ret_spans[1].count = n - ret_spans[0].count;                                          \
        return n;                                                                             \
    }                                                                                         \
    struct name

#endif
