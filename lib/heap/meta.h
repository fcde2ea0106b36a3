/* SPDX-License-Identifier: MIT */
/* Start of the heaps: the reservation, its tables, and storage for theaps, heaps and threads. */
#ifndef LODEI_META_H
#define LODEI_META_H

#include "heap/types.h"

/*
 * Reserve and lay out everything and make the default heap; any thread may call it, any number of
 * times. 0, or -ENOMEM when not even the smallest reservation is granted.
 */
int lodei_init(void);

/* Zeroed storage, 64-byte aligned, never given back; NULL when exhausted. */
void *lodei_meta_alloc(size_t bytes);

/*
 * Type-stable storage; NULL when out of memory. The first time it is zeroed; reused, a theap and a
 * heap are as they were left (their locks and generations stay valid), a thread is zeroed but keeps
 * its table of parts.
 */
struct lodei_theap *lodei_meta_theap_new(void);
void lodei_meta_theap_free(struct lodei_theap *th);
struct lode_heap *lodei_meta_heap_new(void);
void lodei_meta_heap_free(struct lode_heap *heap);
struct lodei_thread *lodei_meta_thread_new(void);
void lodei_meta_thread_free(struct lodei_thread *thread);

#endif
