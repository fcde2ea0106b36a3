/* SPDX-License-Identifier: MIT */
/*
 * What valgrind's memcheck is told when a program runs under it: every block allocated and freed.
 * Under valgrind a tracer of ours is installed with the first allocation, so that both pass the
 * slow paths (trace.h); anywhere else this costs the slow paths one test.
 *
 * A preloaded malloc is replaced by valgrind's own unless it runs with
 * --soname-synonyms=somalloc=nouserintercepts; the functions of lode/heap.h never are.
 */
#ifndef LODEI_VALGRIND_H
#define LODEI_VALGRIND_H

#include <stddef.h>

#include "base/attr.h"

struct lode_heap;

extern int lodei_on_valgrind;

/* While the process has one thread, before any block is handed out. */
void lodei_valgrind_start(void);
/* Nobody has been given this memory. */
void lodei_valgrind_hide(void *start, size_t bytes);
/* The bytes of a live block that the program may use, as far as it knows. */
size_t lodei_valgrind_announced(const void *block);
/* The program knows the usable bytes of this block now, and may use them. */
void lodei_valgrind_usable_asked(void *block);
/* A realloc kept `bytes` of contents at `p`. */
void lodei_valgrind_kept(void *p, size_t bytes);
void lodei_valgrind_silence(int on);

/* Between these this thread may touch freed blocks, as the heaps do with their lists. They nest. */
LODE_INLINE void lodei_quiet(void)
{
    if (lode_unlikely(lodei_on_valgrind))
        lodei_valgrind_silence(1);
}

LODE_INLINE void lodei_loud(void)
{
    if (lode_unlikely(lodei_on_valgrind))
        lodei_valgrind_silence(0);
}

#endif
