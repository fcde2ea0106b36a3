/* SPDX-License-Identifier: MIT */
/*
 * A hash table from numbers (addresses divided by what they are aligned to) to pointers: open
 * addressing, linear probing, at most half full. Owns its slots. No lock.
 *
 * Source: Knuth, The Art of Computer Programming 3, section 6.4: Fibonacci hashing, and algorithm R
 * for taking out without leaving marks.
 */
#ifndef LODEI_ADDRTABLE_H
#define LODEI_ADDRTABLE_H

#include "base/attr.h"
#include "ext/source.h"

struct lodei_addrslot {
    uintptr_t number;
    void *value; /* NULL: the slot is empty */
};

struct lodei_addrtable {
    struct lodei_addrslot *slots;
    size_t capacity; /* slots, a power of two; 0 in a fresh table */
    size_t count;
};

/* Have room for one more: 0, or -ENOMEM. */
int lodei_addrtable_grow(struct lodei_addrtable *t, const struct lodei_source *source);
/* `number` is not in it, and there is room. */
void lodei_addrtable_put(struct lodei_addrtable *t, uintptr_t number, void *value);
/* `number` is in it. */
void lodei_addrtable_remove(struct lodei_addrtable *t, uintptr_t number);
void lodei_addrtable_finish(struct lodei_addrtable *t);

LODE_INLINE size_t lodei_addrtable_home(const struct lodei_addrtable *t, uintptr_t number)
{
    return (size_t)(number * 0x9e3779b97f4a7c15 >> 32) & (t->capacity - 1);
}

/* NULL: it is not in the table, which has slots. */
LODE_INLINE void *lodei_addrtable_find(const struct lodei_addrtable *t, uintptr_t number)
{
    size_t i = lodei_addrtable_home(t, number);
    while (t->slots[i].value != NULL && t->slots[i].number != number)
        i = (i + 1) & (t->capacity - 1);
    return t->slots[i].value;
}

#endif
