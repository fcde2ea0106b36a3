/* SPDX-License-Identifier: MIT */
/*
 * The route of liblode-mimalloc.so: the system's mimalloc, a known-good heap to triage a strange
 * program against. Figures are what mimalloc tells: the process as a whole.
 */
#ifndef LODEI_ROUTE_MIMALLOC_H
#define LODEI_ROUTE_MIMALLOC_H

#include <errno.h>
#include <mimalloc.h>
#include <stdint.h>
#include <string.h>

#include "base/attr.h"
#include "lode/stats.h"

#define ROUTE_NAME "mimalloc"

/* What every block is aligned to: mimalloc gives blocks of 8 bytes no more than that. */
#define ROUTE_ALIGNMENT 8

/* mimalloc cuts an arena into pieces of this size, which must start at a multiple of it. */
#define ROUTE_ARENA_PIECE ((uintptr_t)32 << 20)

/* Addresses without access to allocate from: mimalloc commits them, and gives them back. */
LODE_INLINE void route_take_memory(void *start, size_t bytes)
{
    mi_arena_id_t arena;
    uintptr_t from = ((uintptr_t)start + ROUTE_ARENA_PIECE - 1) & ~(ROUTE_ARENA_PIECE - 1);
    uintptr_t end = ((uintptr_t)start + bytes) & ~(ROUTE_ARENA_PIECE - 1);
    /* Not committed, not huge, all zero, on no NUMA node in particular, for every heap. */
    (void)mi_manage_os_memory_ex((void *)from, end - from, false, false, true, -1, false, &arena);
}

/* mimalloc 2.0.9 leaves errno alone where it refuses a size itself. */
LODE_INLINE void *route_checked(void *p)
{
    if (lode_unlikely(p == NULL))
        errno = ENOMEM;
    return p;
}

LODE_INLINE void *route_malloc(size_t bytes)
{
    return route_checked(mi_malloc(bytes));
}

LODE_INLINE void *route_calloc(size_t bytes)
{
    return route_checked(mi_zalloc(bytes));
}

LODE_INLINE void route_free(void *p)
{
    mi_free(p);
}

LODE_INLINE void *route_realloc(void *p, size_t bytes)
{
    return route_checked(mi_realloc(p, bytes));
}

LODE_INLINE void *route_aligned(size_t align, size_t bytes)
{
    return route_checked(mi_malloc_aligned(bytes, align));
}

LODE_INLINE size_t route_usable_size(void *p)
{
    return mi_usable_size(p);
}

LODE_INLINE size_t route_good_size(size_t bytes)
{
    return mi_good_size(bytes);
}

LODE_INLINE size_t route_trim(void)
{
    size_t before = 0, after = 0;
    mi_process_info(NULL, NULL, NULL, &before, NULL, NULL, NULL, NULL);
    mi_collect(true);
    mi_process_info(NULL, NULL, NULL, &after, NULL, NULL, NULL, NULL);
    return before > after ? before - after : 0;
}

LODE_INLINE int route_stats(struct lode_stats *stats)
{
    struct lode_stats ours = {.size = sizeof(ours)};
    size_t rss = 0, commit = 0;
    mi_process_info(NULL, NULL, NULL, &rss, NULL, &commit, NULL, NULL);
    memset(stats, 0, sizeof(*stats));
    stats->size = sizeof(*stats);
    if (lode_stats_get(NULL, &ours) == 0) {
        stats->reserved_bytes = ours.reserved_bytes;
        stats->lent_bytes = ours.lent_bytes;
    }
    /* mimalloc 2.0.9 counts what it takes back of lent memory, but not what it commits there: its
     * figure may be too small, and below zero. */
    stats->mapped_bytes = commit > PTRDIFF_MAX || commit < rss ? rss : commit;
    stats->in_use_bytes = rss;
    return 0;
}

#endif
