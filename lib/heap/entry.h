/* SPDX-License-Identifier: MIT */
/* What the shim calls besides the fast paths and the public functions. */
#ifndef LODEI_ENTRY_H
#define LODEI_ENTRY_H

#include "heap/types.h"

/* As malloc, aligned to `align`, which is a power of two. */
LODE_EXPORT void *lodei_aligned(size_t align, size_t bytes);

/*
 * What to do with pointers that are not ours: set by the shim, which knows how to find glibc's own
 * malloc. Each returns 1 when it took care of the pointer. All NULL: every foreign pointer is a
 * fault.
 */
struct lodei_foreign {
    int (*free)(void *p);
    int (*usable)(const void *p, size_t *ret_bytes);
    int (*realloc)(void *p, size_t bytes, void **ret_p);
};

extern LODE_EXPORT struct lodei_foreign lodei_foreign;
/* One more pointer was handed on (stats: foreign_count). */
LODE_EXPORT void lodei_foreign_counted(void);

#endif
