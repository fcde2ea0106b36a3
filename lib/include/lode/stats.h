/* SPDX-License-Identifier: MIT */
/**
 * @file stats.h
 * Figures of the heaps. They are derived from descriptors and list lengths when asked for: nothing
 * is counted on the fast path. Exact while no other thread allocates; otherwise within what the
 * thread heaps hold.
 *
 * Every mapped byte has one name:
 *
 *     mapped = in_use + cached + untouched + purged + metadata
 */
#ifndef LODE_STATS_H
#define LODE_STATS_H

#include <lode/heap.h>

#ifdef __cplusplus
extern "C" {
#endif

/*       X(name, help) : all uint64_t */
#define LODE_STATS_TABLE(X)                                                                      \
    X(mapped_bytes, "address space made readable and writable")                                  \
    X(in_use_bytes, "usable bytes of live blocks")                                               \
    X(cached_bytes, "freed blocks and free slices still backed by pages, and rounding in spans") \
    X(untouched_bytes, "never touched since the kernel gave it")                                 \
    X(purged_bytes, "given back to the kernel, address space kept")                              \
    X(metadata_bytes, "descriptors, thread heaps and tables")                                    \
    X(live_blocks, "blocks allocated and not freed")                                             \
    X(spans, "spans holding at least one block")                                                 \
    X(large_blocks, "live blocks with a span of their own")                                      \
    X(large_bytes, "usable bytes of those")                                                      \
    X(reserved_bytes, "address space reserved at start")                                         \
    X(heaps, "heaps alive")                                                                      \
    X(thread_heaps, "thread heaps in use by a thread")                                           \
    X(orphans, "thread heaps waiting for adoption")                                              \
    X(purge_calls, "times pages were given back")                                                \
    X(purge_bytes, "bytes given back so far")                                                    \
    X(misuse_count, "bad frees counted with misuse=ignore")                                      \
    X(foreign_count, "pointers of glibc's own malloc handed to glibc")                           \
    X(lent_bytes, "address space of the reservation that mimalloc allocates from")

/** All figures in bytes or counts. */
struct lode_stats {
    uint32_t size; /**< sizeof(struct lode_stats), set by the caller */
    uint32_t reserved;
#define LODE_STATS_FIELD(name, help) uint64_t name;
    LODE_STATS_TABLE(LODE_STATS_FIELD)
#undef LODE_STATS_FIELD
};

/**
 * Read the figures of one heap, or of all (`heap` NULL: every field; one heap: the fields that
 * belong to it, the process-wide ones zero).
 *
 * @stats   In: stats->size set. Out: filled up to that size.
 * Returns  0; -EINVAL size too small for the header.
 * Threads  Any. While memory is being given back it waits for that, some milliseconds at most.
 */
LODE_API LODE_NODISCARD int lode_stats_get(struct lode_heap *heap, struct lode_stats *stats);

#ifdef __cplusplus
}
#endif
#endif
