/* SPDX-License-Identifier: MIT */
/*
 * Where an allocator's chunks come from: a heap it was given, or one of its own, made for it with
 * its name and tag and destroyed with it. Owns that heap. No lock: a heap has its own.
 */
#ifndef LODEI_SOURCE_H
#define LODEI_SOURCE_H

#include "lode/heap.h"

struct lodei_source {
    struct lode_heap *heap;
    int owned;
};

/* `given` NULL: make a heap. 0; -EINVAL: a given heap has its tag already; -ENOMEM. */
int lodei_source_open(struct lodei_source *source, struct lode_heap *given, uint16_t tag,
                      const char *name);
/* The heap, if it was made here, with whatever is left in it. All of it must be plain memory again
 * (ext/poison.h). */
void lodei_source_close(struct lodei_source *source);

/* Uninitialised and plain; NULL: out of memory, errno kept. */
void *lodei_source_alloc(const struct lodei_source *source, size_t bytes, size_t align);
/* The same, zeroed, and on cache lines of its own. */
void *lodei_source_calloc(const struct lodei_source *source, size_t bytes);
/* No heap can give a larger block: the size of the reservation, constant. */
size_t lodei_source_max_bytes(void);
/* Make plain memory of `p` (NULL is fine) and free it. */
void lodei_source_free(void *p, size_t bytes);

#endif
