/* SPDX-License-Identifier: MIT */
/*
 * Large arrays of the workloads, straight from the kernel: what a workload holds beside the bricks
 * and nodes it measures must neither come from the allocator under test nor leave it memory to
 * reuse. Ends the program with status 2 when there is none.
 */
#ifndef LODEI_PAGES_H
#define LODEI_PAGES_H

#include <stddef.h>

/* `count` zeroed elements of `bytes`; never NULL, page-aligned, ended with lodei_pages_free(). */
void *lodei_pages_alloc(size_t count, size_t bytes);
/* With the same figures; NULL is fine. */
void lodei_pages_free(void *pages, size_t count, size_t bytes);

#endif
