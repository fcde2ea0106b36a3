/* SPDX-License-Identifier: MIT */
/*
 * What every struct lode_allocator must do, as its traits say: one table of allocators
 * (conformance_table.c; a new allocator is a row there) that three programs run through:
 *
 *     test_conformance.c     each rule on each allocator
 *     stress_allocators.c    those with LODE_TRAIT_THREADS, by several threads
 *     misused.c              one fault a run, which ASan or memcheck must find (test_misused.py)
 */
#ifndef CONFORMANCE_H
#define CONFORMANCE_H

#include <stddef.h>

#include "lode/allocator.h"

struct conformance_row {
    const char *name;
    uint32_t traits; /* what the allocator must claim, no more and no less */
    /* Make one on `heap`, which the suite creates and afterwards looks through. 0 or -errno. */
    int (*make)(struct lode_heap *heap, struct lode_allocator *ret_allocator);
    void (*end)(struct lode_allocator *allocator);
    size_t align_max;   /* alignments up to this must be served */
    size_t block_bytes; /* LODE_TRAIT_FIXED: the size; else the largest to be tried by way of
                           ordinary; 0: 4096 */
    int wraps;          /* memory is another allocator's, and listed with that */
    int heap_announces; /* what ASan and memcheck know of its blocks is liblode-heap's doing */
};

/* Ends with a row without a name. */
extern const struct conformance_row conformance_rows[];

size_t conformance_count(void);
/* Largest ordinary block of a row. */
size_t conformance_bytes(const struct conformance_row *row);

#endif
