/* SPDX-License-Identifier: MIT */
/*
 * The route of liblode.so: our own heaps, their fast paths inlined. A route is what malloc.c needs
 * from a heap; every function keeps errno on success and sets ENOMEM with a NULL.
 */
#ifndef LODEI_ROUTE_NATIVE_H
#define LODEI_ROUTE_NATIVE_H

#include <string.h>

#include "heap/entry.h"
#include "heap/fast.h"
#include "lode/stats.h"

#define ROUTE_NAME      "native"
#define ROUTE_ALIGNMENT 16

LODE_INLINE void *route_malloc(size_t bytes)
{
    return lodei_malloc_fast(lode_theap_self, bytes);
}

LODE_INLINE void *route_calloc(size_t bytes)
{
    if (lode_unlikely(bytes > LODEI_TINY_MAX))
        return lodei_calloc_slow(bytes);
    void *p = lodei_malloc_fast(lode_theap_self, bytes);
    if (lode_likely(p != NULL))
        memset(p, 0, bytes);
    return p;
}

LODE_INLINE void route_free(void *p)
{
    lodei_free_fast(lode_theap_self, p);
}

LODE_INLINE void *route_realloc(void *p, size_t bytes)
{
    return lode_realloc(p, bytes);
}

/* `align` is a power of two. */
LODE_INLINE void *route_aligned(size_t align, size_t bytes)
{
    return lodei_aligned(align, bytes);
}

LODE_INLINE size_t route_usable_size(void *p)
{
    return lode_usable_size(p);
}

LODE_INLINE size_t route_good_size(size_t bytes)
{
    return lode_good_size(bytes);
}

LODE_INLINE size_t route_trim(void)
{
    return lode_purge();
}

/* 0 or -errno. */
LODE_INLINE int route_stats(struct lode_stats *stats)
{
    return lode_stats_get(NULL, stats);
}

#endif
