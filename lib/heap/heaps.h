/* SPDX-License-Identifier: MIT */
/* Heaps, their parts by thread, and the threads: creation, lookup, adoption, end. */
#ifndef LODEI_HEAPS_H
#define LODEI_HEAPS_H

#include "heap/types.h"

/* Make the default heap; called once, by lodei_init(). 0 or -ENOMEM. */
int lodei_heaps_init(void);

/* This thread's record, made on first use; NULL when out of memory. */
struct lodei_thread *lodei_thread_get(void);
/* As get, but NULL when there is none yet. */
struct lodei_thread *lodei_thread_peek(void);
/*
 * This thread's part of `heap`: the one it has, else an orphan, else a new one. NULL when out of
 * memory, and for a thread that is past its end.
 */
struct lodei_theap *lodei_theap_get(struct lode_heap *heap);
/* The part this thread has of `heap`, or NULL. */
struct lodei_theap *lodei_theap_peek(struct lode_heap *heap);

/* Let the fast free of `th` know of segments opened since. Owner thread only. */
void lodei_theap_refresh(struct lodei_theap *th);

/* Is it a part this thread has? */
int lodei_theap_is_mine(const struct lodei_theap *th);

/* What malloc() of this thread uses from here on: `th`, or its twin under a tracer. */
void lodei_theap_select(struct lodei_theap *th);

/* The thread ends: its theaps become orphans. Called by process.c's thread destructor, and by
 * itself. */
LODE_EXPORT void lodei_thread_finish(void);

/* Deliver and return all that this thread's theaps, of whatever heap, hold. */
void lodei_thread_flush(void);

/* In a forked child: every other thread's theaps become orphans whose bins nobody may read. */
void lodei_threads_forked(void);

/* Called when a thread gets its record; set by process.c to arrange for lodei_thread_finish(). */
extern LODE_EXPORT void (*lodei_thread_started)(void);

#endif
