/* SPDX-License-Identifier: MIT */
/* Pointers by address: see addrtable.h. */
#include "ext/addrtable.h"

#include <errno.h>

#include "ext/figures.h"

#define CAPACITY_FIRST 16

int lodei_addrtable_grow(struct lodei_addrtable *t, const struct lodei_source *source)
{
    if (t->count * 2 < t->capacity)
        return 0;
    struct lodei_addrtable bigger = {.capacity =
                                         t->capacity != 0 ? t->capacity * 2 : CAPACITY_FIRST};
    bigger.slots = lodei_source_calloc(source, bigger.capacity * sizeof(*bigger.slots));
    if (bigger.slots == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < t->capacity; i++)
        if (t->slots[i].value != NULL)
            lodei_addrtable_put(&bigger, t->slots[i].number, t->slots[i].value);
    lodei_addrtable_finish(t);
    t->slots = bigger.slots;
    t->count = bigger.count;
    lodei_put(t->capacity, bigger.capacity); /* a figure of the table's owner */
    return 0;
}

void lodei_addrtable_put(struct lodei_addrtable *t, uintptr_t number, void *value)
{
    size_t i = lodei_addrtable_home(t, number);
    while (t->slots[i].value != NULL)
        i = (i + 1) & (t->capacity - 1);
    t->slots[i] = (struct lodei_addrslot){.number = number, .value = value};
    t->count++;
}

void lodei_addrtable_remove(struct lodei_addrtable *t, uintptr_t number)
{
    size_t mask = t->capacity - 1, hole = lodei_addrtable_home(t, number);
    while (t->slots[hole].number != number || t->slots[hole].value == NULL)
        hole = (hole + 1) & mask;
    for (size_t i = (hole + 1) & mask; t->slots[i].value != NULL; i = (i + 1) & mask) {
        size_t home = lodei_addrtable_home(t, t->slots[i].number);
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            t->slots[hole] = t->slots[i];
            hole = i;
        }
    }
    t->slots[hole].value = NULL;
    t->count--;
}

void lodei_addrtable_finish(struct lodei_addrtable *t)
{
    lodei_source_free(t->slots, t->capacity * sizeof(*t->slots));
    t->slots = NULL;
}
