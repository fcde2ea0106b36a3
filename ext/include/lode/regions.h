/* SPDX-License-Identifier: MIT */
/**
 * @file regions.h
 * Every byte that Lode has mapped, by name (liblode-ext.so).
 *
 *     static int show(void *ctx, const struct lode_region_info *r)
 *     {
 *         printf("%s%-9s %-12s %zu of %zu\n", r->parent ? "  " : "", r->what, r->name,
 *                r->used_bytes, r->mapped_bytes);
 *         return 0;
 *     }
 *     lode_regions_enumerate(show, NULL);
 *
 * Regions without a parent are all there is: their mapped_bytes add up to mapped_bytes of
 * lode_stats_get(NULL). Regions with a parent, the pools, arenas and other allocators of this
 * library, are a closer look at a part of that heap and must not be added to it.
 */
#ifndef LODE_REGIONS_H
#define LODE_REGIONS_H

#include <stddef.h>
#include <stdint.h>

#include "lode/request.h"

#ifdef __cplusplus
extern "C" {
#endif

enum lode_region_sort {
    LODE_REGION_HEAP = 0,      /**< a first-class heap, the default one first */
    LODE_REGION_FREE = 1,      /**< slices that no heap uses now; purged ones, too */
    LODE_REGION_METADATA = 2,  /**< descriptors and tables of the heaps */
    LODE_REGION_ALLOCATOR = 3, /**< in a heap, which is its parent */
};

/** One region. Valid during the visit; the library sets all of it. */
struct lode_region_info {
    uint32_t size;       /**< of this struct in the library that fills it */
    uint8_t sort;        /**< enum lode_region_sort */
    uint8_t memory_type; /**< enum lode_memory_type: of a heap of requests; SYSTEM for all else */
    uint8_t kind;        /**< enum lode_kind of the heap, or of the allocator's */
    uint8_t reserved1;
    const char *what;   /**< "heap", "free", "metadata", "pool", "cpool", "arena", ... */
    const char *name;   /**< may be empty */
    const void *object; /**< the struct lode_heap, or the allocator; NULL for the other sorts */
    const void *parent; /**< the struct lode_heap an allocator lies in; NULL: stands for itself. An
                             allocator in the caller's own memory has the default heap */
    uint16_t tag;
    uint16_t reserved2;
    uint32_t reserved3;
    size_t mapped_bytes;   /**< taken from below */
    size_t used_bytes;     /**< of those, live user data */
    size_t free_bytes;     /**< held, and ready to be handed out */
    size_t metadata_bytes; /**< tables and headers */
};

/** Called for each region; no lock is held, and it may allocate. Not 0 ends the enumeration. */
typedef int (*lode_region_visitor)(void *ctx, const struct lode_region_info *region);

/**
 * Visit every region: heaps, each followed by the allocators in it, then free slices and metadata.
 *
 * Returns  0; what the visitor returned; -ENOMEM.
 * Threads  Any. The sum is exact while no other thread allocates.
 */
LODE_API LODE_NODISCARD int lode_regions_enumerate(lode_region_visitor visit, void *ctx);

#ifdef __cplusplus
}
#endif
#endif
