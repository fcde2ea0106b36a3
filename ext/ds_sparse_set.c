/* SPDX-License-Identifier: MIT */
/*
 * The slow half of lode/ds_sparse_set.h: room for items and slots, and giving it back.
 *
 *     slots: [ occupied | free | retired | free | occupied | . . . ]     slot_count <=
 * slot_capacity |               ^ | free_slot -+---------------+ 0
 *
 * Free slots form a list through `where`. There are at least as many slots as items, since each
 * item occupies one; that is why `slot_at`, which belongs to an item's index, can stand in the
 * slots.
 *
 * Owns nothing but what a caller's set points to. No locks.
 */
#include "lode/ds_sparse_set.h"

#include "base/bits.h"

#define SLOTS_MAX (UINT32_MAX - 1) /* an id must fit beside the mark for none, and where + 1 */

static size_t slot_bytes(const struct lodei_sparse_set *s)
{
    return s->slot_capacity * sizeof(struct lodei_sparse_slot);
}

static int grow_slots(struct lodei_sparse_set *s, size_t slots, enum lodei_growth growth)
{
    struct lodei_array a = {s->slots, s->slot_count, s->slot_capacity, SLOTS_MAX, s->allocator};
    int status = lodei_array_grow(&a, slots, sizeof(struct lodei_sparse_slot),
                                  _Alignof(struct lodei_sparse_slot), growth);
    s->slots = a.items;
    s->slot_capacity = (uint32_t)a.capacity;
    return status;
}

int lodei_sparse_set_grow(struct lodei_sparse_set *s, void **items, size_t need, size_t item_bytes,
                          size_t item_align, enum lodei_growth growth)
{
    size_t limit = s->max_items != 0 ? lodei_min(s->max_items, SLOTS_MAX) : SLOTS_MAX;
    if (need > limit)
        return -ENOSPC;
    if (need + s->retired > s->slot_capacity) {
        int status = grow_slots(s, need + s->retired, growth);
        if (status != 0)
            return status;
    }
    if (need > s->capacity) {
        struct lodei_array a = {*items, s->count, s->capacity, limit, s->allocator};
        int status = lodei_array_grow(&a, need, item_bytes, item_align, growth);
        *items = a.items;
        s->capacity = (uint32_t)a.capacity;
        return status;
    }
    return 0;
}

void lodei_sparse_set_free(struct lodei_sparse_set *s, void *items, size_t item_bytes,
                           size_t item_align)
{
    lodei_ds_free(s->allocator, items, s->capacity * item_bytes, item_align);
    lodei_ds_free(s->allocator, s->slots, slot_bytes(s), _Alignof(struct lodei_sparse_slot));
}

void lodei_sparse_set_clear(struct lodei_sparse_set *s)
{
    while (s->count > 0)
        lodei_sparse_set_vacate(s, s->slots[--s->count].slot_at);
}

/* Forget the free slots behind the last that is not: a slot made there later starts with the
 * generation that the most used of them has. Half of the lives are left to it. */
static void forget_slots(struct lodei_sparse_set *s)
{
    uint32_t half = lodei_sparse_set_end(s) / 2;
    while (s->slot_count > 0) {
        uint32_t generation = s->slots[s->slot_count - 1].generation;
        if (generation % 2 != 0 || generation > half)
            break;
        if (generation > s->first_generation)
            s->first_generation = generation;
        s->slot_count--;
    }
    s->free_slot = 0;
    for (uint32_t slot = s->slot_count; slot-- > 0;)
        if (s->slots[slot].generation % 2 == 0 &&
            s->slots[slot].generation != lodei_sparse_set_end(s)) {
            s->slots[slot].where = s->free_slot;
            s->free_slot = slot + 1;
        }
}

void lodei_sparse_set_trim(struct lodei_sparse_set *s, void **items, size_t item_bytes,
                           size_t item_align)
{
    forget_slots(s);
    struct lodei_array a = {*items, s->count, s->capacity, 0, s->allocator};
    lodei_array_trim(&a, item_bytes, item_align);
    *items = a.items;
    s->capacity = (uint32_t)a.capacity;
    a = (struct lodei_array){s->slots, s->slot_count, s->slot_capacity, 0, s->allocator};
    lodei_array_trim(&a, sizeof(struct lodei_sparse_slot), _Alignof(struct lodei_sparse_slot));
    s->slots = a.items;
    s->slot_capacity = (uint32_t)a.capacity;
}
