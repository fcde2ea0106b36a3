/* SPDX-License-Identifier: MIT */
/*
 * Memory of the tracer itself: straight from mmap, because the hooks run inside malloc.
 * Nothing here is counted by the heaps.
 */
#ifndef LODEI_CHUNK_H
#define LODEI_CHUNK_H

#include <stddef.h>

/* Zeroed pages, or NULL. Any thread. */
void *lodei_chunk_map(size_t bytes);
/* `bytes` as given to lodei_chunk_map(); NULL is fine. */
void lodei_chunk_unmap(void *chunk, size_t bytes);

/* Zeroed memory that is never given back, 16-byte aligned, for small things; NULL when there is
 * none. The caller serialises the calls. */
void *lodei_chunk_keep(size_t bytes);

#endif
