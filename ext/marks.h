/* SPDX-License-Identifier: MIT */
/*
 * The marks of one arena or stack: a stack of places to come back to, each with its name. A mark
 * names its entry by depth and serial number, so one that was dropped is told from one that is only
 * not the newest. Owns its table once it has outgrown the first few entries. No lock.
 *
 *     lode_mark: | serial, from 1 on: 48 bits | depth: 16 bits |
 *
 * Serial numbers start somewhere else in each table, so that a mark of another arena is no mark;
 * and they do not come round: at 10^8 marks a second they last 16 days of nothing else.
 */
#ifndef LODEI_MARKS_H
#define LODEI_MARKS_H

#include "ext/source.h"
#include "lode/allocator.h"

#define LODEI_MARKS_FIRST 8
#define LODEI_MARKS_MAX   65536

struct lodei_marked {
    uint64_t serial;
    const char *why; /* borrowed: a literal */
    void *chunk;     /* what these two say is the owner's business */
    void *more;
    uintptr_t at;
};

struct lodei_marks {
    struct lodei_marked *entries;
    uint32_t depth;
    uint32_t capacity;
    uint64_t serial; /* of the newest there ever was */
    uint64_t origin; /* the first one is one more */
    struct lodei_marked first[LODEI_MARKS_FIRST];
};

void lodei_marks_init(struct lodei_marks *marks);
void lodei_marks_finish(struct lodei_marks *marks);

/* The entry is the caller's to fill in; NULL: out of memory or too deep. */
struct lodei_marked *lodei_marks_push(struct lodei_marks *marks, const struct lodei_source *source,
                                      lode_mark *ret_mark);
/* Write the entry's index: 0; -EINVAL no mark; -ESTALE it was dropped. */
int lodei_marks_find(const struct lodei_marks *marks, lode_mark mark, uint32_t *ret_index);
/* As lodei_marks_find(), and -EINVAL when a newer one is outstanding. */
int lodei_marks_newest(const struct lodei_marks *marks, lode_mark mark, uint32_t *ret_index);
/* Newest outstanding mark of that name; 0: none. */
lode_mark lodei_marks_named(const struct lodei_marks *marks, const char *why);
/* Bytes of the table outside the structure. */
size_t lodei_marks_bytes(const struct lodei_marks *marks);

#endif
