/* SPDX-License-Identifier: MIT */
/* Marks of arenas and stacks: see marks.h. */
#include "ext/marks.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "base/attr.h"

#define DEPTH_BITS 16

static lode_mark mark_of(const struct lodei_marks *marks, uint32_t index)
{
    return marks->entries[index].serial << DEPTH_BITS | index;
}

void lodei_marks_init(struct lodei_marks *marks)
{
    /* relaxed: different numbers are all that is wanted */
    static _Atomic uint64_t tables;
    uint64_t nth = atomic_fetch_add_explicit(&tables, 1, memory_order_relaxed) + 1;
    /* Steps of the golden ratio through 47 bits lie far apart (Knuth, TAOCP 3, 6.4). */
    marks->origin = marks->serial = nth * 0x9e3779b97f4a7c15 >> 17;
    marks->entries = marks->first;
    marks->capacity = LODEI_MARKS_FIRST;
}

size_t lodei_marks_bytes(const struct lodei_marks *marks)
{
    return marks->entries == marks->first ? 0 : marks->capacity * sizeof(*marks->entries);
}

void lodei_marks_finish(struct lodei_marks *marks)
{
    if (marks->entries != marks->first)
        lodei_source_free(marks->entries, lodei_marks_bytes(marks));
}

static int grow(struct lodei_marks *marks, const struct lodei_source *source)
{
    if (marks->capacity == LODEI_MARKS_MAX)
        return -EOVERFLOW;
    struct lodei_marked *bigger =
        lodei_source_alloc(source, 2 * marks->capacity * sizeof(*bigger), 16);
    if (bigger == NULL)
        return -ENOMEM;
    memcpy(bigger, marks->entries, marks->depth * sizeof(*bigger));
    if (marks->entries != marks->first)
        lodei_source_free(marks->entries, lodei_marks_bytes(marks));
    marks->entries = bigger;
    marks->capacity *= 2;
    return 0;
}

struct lodei_marked *lodei_marks_push(struct lodei_marks *marks, const struct lodei_source *source,
                                      lode_mark *ret_mark)
{
    if (lode_unlikely(marks->depth == marks->capacity) && grow(marks, source) != 0)
        return NULL;
    struct lodei_marked *entry = &marks->entries[marks->depth];
    entry->serial = ++marks->serial;
    *ret_mark = mark_of(marks, marks->depth++);
    return entry;
}

int lodei_marks_find(const struct lodei_marks *marks, lode_mark mark, uint32_t *ret_index)
{
    uint32_t index = (uint32_t)(mark & (LODEI_MARKS_MAX - 1));
    uint64_t serial = mark >> DEPTH_BITS;
    if (serial <= marks->origin || serial > marks->serial)
        return -EINVAL;
    if (index >= marks->depth || marks->entries[index].serial != serial)
        return -ESTALE;
    *ret_index = index;
    return 0;
}

int lodei_marks_newest(const struct lodei_marks *marks, lode_mark mark, uint32_t *ret_index)
{
    uint32_t index;
    int error = lodei_marks_find(marks, mark, &index);
    if (error != 0)
        return error;
    if (index != marks->depth - 1)
        return -EINVAL;
    *ret_index = index;
    return 0;
}

lode_mark lodei_marks_named(const struct lodei_marks *marks, const char *why)
{
    for (uint32_t i = marks->depth; i-- > 0;)
        if (marks->entries[i].why != NULL && strcmp(marks->entries[i].why, why) == 0)
            return mark_of(marks, i);
    return 0;
}
