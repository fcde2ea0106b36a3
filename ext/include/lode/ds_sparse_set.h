/* SPDX-License-Identifier: MIT */
/**
 * @file ds_sparse_set.h
 * Items under ids that stay valid, dense in memory (the component storage of an entity-component
 * system): LODE_SPARSE_SET_DEFINE().
 *
 *     LODE_SPARSE_SET_DEFINE(mobs, struct mob);
 *
 *     struct mobs m = {0};                               // or mobs_init(&m, 2000, &allocator)
 *     lode_sparse_id id;
 *     if (mobs_add(&m, mob, &id) != 0) ...
 *     for (uint32_t i = 0; i < m.set.count; i++) tick(&m.items[i]);
 *     struct mob *it = mobs_get(&m, id);                 // NULL: gone
 *     mobs_remove(&m, id);
 *
 *     id = generation << 32 | slot
 *     slots -> [ generation, where, slot_at | .. ]    generation, where: of this slot; where is an
 *                              |         |            index into items, or names the next free slot
 *     items -> [ item | item | item ]    |            dense, no order
 *                  0      1      2  <----+            slot_at: of the item with this index
 *
 * A slot's generation goes up when an item moves in (odd: occupied) and when it leaves (even), so
 * an id whose item is gone is told from the slot's next tenant: always, because a slot whose last
 * generation is used up is retired, never reused. An id is never 0. Slots are reused last in, first
 * out.
 * Source: Briggs and Torczon, "An efficient representation for sparse sets", 1993; generations as
 * in entity-component systems (EnTT); retiring: ours.
 *
 * LODE_SPARSE_SET_DEFINE(name, type) declares struct name and
 *
 *     void    NAME_init(s, max_items, allocator)
 *     void    NAME_finish(s)             frees all; ids of before are not told from new ones
 *     int     NAME_add(s, item, ret_id)  ret_id: written on success                   O(1)*
 *     type   *NAME_get(s, id)            NULL: stale, or never was an id              O(1)
 *     int     NAME_remove(s, id)         -ESTALE: as above                            O(1)
 *     lode_sparse_id NAME_id(s, i)       of s.items[i]; 0: i >= count
 *     int     NAME_reserve(s, n)         room for n in all, without growing
 *     void    NAME_clear(s)              removes every item: all ids are stale        O(count)
 *     void    NAME_trim(s)               gives back room, and slots that are free at the end: an
 *                                        empty set then holds no memory, and still tells every
 *                                        stale id (a slot with more than half its lives behind
 *                                        it stays)                                    O(slots)
 *     size_t  NAME_count(s)
 *
 * A slot has s.set.max_lives lives, 2^31-1 where that is 0; it may be set after init and before the
 * first item, to keep ids within fewer bits. Retired slots cost 12 bytes each.
 *
 * Returns      0; -ENOSPC the cap, or no slot is left that is not retired; -ENOMEM; -ESTALE. On
 *              error the set is as it was.
 * Invalidates  Adding, trimming: every pointer to items. Removing: pointers to the item removed and
 *              to the last one, which takes its place. Ids: only their own removal.
 * Iterating    By index. To remove on the way, count down: what moves in was seen before.
 * Threads      One at a time; readers may share it while nobody writes.
 *
 * Ours; no C library in Debian has one.
 */
#ifndef LODE_DS_SPARSE_SET_H
#define LODE_DS_SPARSE_SET_H

#include "lode/ds_base.h"

/** generation << 32 | slot; 0 is no id. */
typedef uint64_t lode_sparse_id;

#ifdef __cplusplus
extern "C" {
#endif

struct lodei_sparse_slot {
    uint32_t generation; /* odd: occupied */
    uint32_t where;      /* occupied: index in items; free: the next free slot + 1, 0 for none */
    uint32_t slot_at;    /* of the item whose index is this slot's number; there are never fewer
                            slots than items */
};

struct lodei_sparse_set {
    struct lodei_sparse_slot *slots;
    const struct lode_allocator *allocator;
    uint32_t count;
    uint32_t capacity;  /* of items */
    uint32_t max_items; /* 0: no cap */
    uint32_t max_lives; /* of a slot; 0: all there are */
    uint32_t slot_count;
    uint32_t slot_capacity;
    uint32_t retired;          /* slots that are */
    uint32_t free_slot;        /* + 1; 0: none */
    uint32_t first_generation; /* of a slot that is made; even */
    uint32_t reserved;
};

/* Room for `need` items in all, and slots for them. */
LODE_API LODE_NODISCARD int lodei_sparse_set_grow(struct lodei_sparse_set *s, void **items,
                                                  size_t need, size_t item_bytes, size_t item_align,
                                                  enum lodei_growth growth);
LODE_API void lodei_sparse_set_trim(struct lodei_sparse_set *s, void **items, size_t item_bytes,
                                    size_t item_align);
LODE_API void lodei_sparse_set_free(struct lodei_sparse_set *s, void *items, size_t item_bytes,
                                    size_t item_align);
LODE_API void lodei_sparse_set_clear(struct lodei_sparse_set *s);

#ifdef __cplusplus
}
#endif

/* The generation at which a slot is retired; even. */
LODEI_DS_FN uint32_t lodei_sparse_set_end(const struct lodei_sparse_set *s)
{
    return s->max_lives != 0 && s->max_lives < INT32_MAX ? 2 * s->max_lives : UINT32_MAX - 1;
}

/* Occupy a slot, which there is, with the item that comes next. */
LODEI_DS_FN lode_sparse_id lodei_sparse_set_occupy(struct lodei_sparse_set *s)
{
    uint32_t slot = s->free_slot - 1;
    if (s->free_slot != 0) {
        s->free_slot = s->slots[slot].where;
    } else {
        slot = s->slot_count++;
        s->slots[slot].generation = s->first_generation;
    }
    uint32_t generation = ++s->slots[slot].generation;
    s->slots[slot].where = s->count;
    s->slots[s->count++].slot_at = slot;
    return (uint64_t)generation << 32 | slot;
}

/* The slot of a live id; UINT32_MAX. */
LODEI_DS_FN uint32_t lodei_sparse_set_slot(const struct lodei_sparse_set *s, lode_sparse_id id)
{
    uint32_t slot = (uint32_t)id, generation = (uint32_t)(id >> 32);
    return slot < s->slot_count && s->slots[slot].generation == generation && (generation & 1) != 0
               ? slot
               : UINT32_MAX;
}

/* Free an occupied slot, or retire it. */
LODEI_DS_FN void lodei_sparse_set_vacate(struct lodei_sparse_set *s, uint32_t slot)
{
    struct lodei_sparse_slot *it = &s->slots[slot];
    if (LODEI_DS_UNLIKELY(++it->generation == lodei_sparse_set_end(s))) {
        s->retired++;
        return;
    }
    it->where = s->free_slot;
    s->free_slot = slot + 1;
}

#define LODE_SPARSE_SET_DEFINE(name, type)                                                  \
    LODEI_DS_ITEM_CHECK(type);                                                              \
    struct name {                                                                           \
        type *items;                                                                        \
        struct lodei_sparse_set set;                                                        \
    };                                                                                      \
    LODEI_DS_FN void name##_init(struct name *s, size_t max_items,                          \
                                 const struct lode_allocator *allocator)                    \
    {                                                                                       \
        memset((void *)s, 0, sizeof(*s));                                                   \
        s->set.max_items = max_items < UINT32_MAX ? (uint32_t)max_items : UINT32_MAX;       \
        s->set.allocator = allocator;                                                       \
    }                                                                                       \
    LODEI_DS_FN void name##_finish(struct name *s)                                          \
    {                                                                                       \
        uint32_t max_lives = s->set.max_lives;                                              \
        lodei_sparse_set_free(&s->set, s->items, sizeof(type), LODEI_DS_ALIGNOF(type));     \
        name##_init(s, s->set.max_items, s->set.allocator);                                 \
        s->set.max_lives = max_lives;                                                       \
    }                                                                                       \
    LODEI_DS_FN size_t name##_count(const struct name *s)                                   \
    {                                                                                       \
        return s->set.count;                                                                \
    }                                                                                       \
    LODEI_DS_SLOW int name##_lodei_grow(struct name *s, size_t need, enum lodei_growth how) \
    {                                                                                       \
        void *items = s->items;                                                             \
        int status = lodei_sparse_set_grow(&s->set, &items, need, sizeof(type),             \
                                           LODEI_DS_ALIGNOF(type), how);                    \
        s->items = (type *)items;                                                           \
        return status;                                                                      \
    }                                                                                       \
    LODEI_DS_TRY int name##_reserve(struct name *s, size_t need)                            \
    {                                                                                       \
        return name##_lodei_grow(s, need, LODEI_GROW_EXACT);                                \
    }                                                                                       \
    LODEI_DS_TRY int name##_add(struct name *s, type item, lode_sparse_id *ret_id)          \
    {                                                                                       \
        if (LODEI_DS_UNLIKELY(                                                              \
                s->set.count == s->set.capacity ||                                          \
                (s->set.free_slot == 0 && s->set.slot_count == s->set.slot_capacity))) {    \
            int status = name##_lodei_grow(s, (size_t)s->set.count + 1, LODEI_GROW_MORE);   \
            if (status != 0)                                                                \
                return status;                                                              \
        }                                                                                   \
        s->items[s->set.count] = item;                                                      \
        *ret_id = lodei_sparse_set_occupy(&s->set);                                         \
        return 0;                                                                           \
    }                                                                                       \
    LODEI_DS_FN type *name##_get(const struct name *s, lode_sparse_id id)                   \
    {                                                                                       \
        uint32_t slot = lodei_sparse_set_slot(&s->set, id);                                 \
        return slot != UINT32_MAX ? s->items + s->set.slots[slot].where : (type *)NULL;     \
    }                                                                                       \
    LODEI_DS_FN int name##_remove(struct name *s, lode_sparse_id id)                        \
    {                                                                                       \
        uint32_t slot = lodei_sparse_set_slot(&s->set, id);                                 \
        if (slot == UINT32_MAX)                                                             \
            return -ESTALE;                                                                 \
        uint32_t hole = s->set.slots[slot].where, last = --s->set.count;                    \
        if (hole != last) {                                                                 \
            uint32_t moved = s->set.slots[last].slot_at;                                    \
            s->items[hole] = s->items[last];                                                \
            s->set.slots[hole].slot_at = moved;                                             \
            s->set.slots[moved].where = hole;                                               \
        }                                                                                   \
        lodei_sparse_set_vacate(&s->set, slot);                                             \
        return 0;                                                                           \
    }                                                                                       \
    LODEI_DS_FN lode_sparse_id name##_id(const struct name *s, size_t i)                    \
    {                                                                                       \
        if (i >= s->set.count)                                                              \
            return 0;                                                                       \
        uint32_t slot = s->set.slots[i].slot_at;                                            \
        return (uint64_t)s->set.slots[slot].generation << 32 | slot;                        \
    }                                                                                       \
    LODEI_DS_FN void name##_clear(struct name *s)                                           \
    {                                                                                       \
        lodei_sparse_set_clear(&s->set);                                                    \
    }                                                                                       \
    LODEI_DS_FN void name##_trim(struct name *s)                                            \
    {                                                                                       \
        void *items = s->items;                                                             \
        lodei_sparse_set_trim(&s->set, &items, sizeof(type), LODEI_DS_ALIGNOF(type));       \
        s->items = (type *)items;                                                           \
    }                                                                                       \
    struct name

#endif
