/* SPDX-License-Identifier: MIT */
/**
 * @file buddy.h
 * Buddy allocators: blocks of a power of two, each aligned to its own size (up to a page or more,
 * see lode_buddy_create()), out of one piece of memory. Freed blocks join with their neighbours at
 * once, so what is free can always be had in the largest pieces there are.
 *
 *     struct lode_buddy *textures;
 *     struct lode_buddy_opts o = LODE_BUDDY_OPTS_INIT;
 *     o.bytes = 64 << 20;
 *     o.min_bytes = 4096;
 *     if (lode_buddy_create(&o, &textures) == 0) {
 *         void *mip = lode_buddy_alloc(textures, 128 * 128 * 4, 0);     // 64 KiB, aligned to it
 *         ...
 *         int error = lode_buddy_free(textures, mip);
 *     }
 *
 * What is handed out is rounded up to a power of two: between half and all of it is used, 75 % of
 * it for sizes of all kinds. Everything known of blocks is kept outside of them, in 1.3 bytes for
 * each block of the smallest size: memory that was written past its end, or after it was freed,
 * breaks nothing here, and a free of something that is no live block is -EINVAL.
 *
 * Threads: one at a time for each allocator; nothing is locked. lode/locked.h makes one for
 * several. Figures through lode_regions_enumerate() can be read from any thread.
 */
#ifndef LODE_BUDDY_H
#define LODE_BUDDY_H

#include <stddef.h>
#include <stdint.h>

#include "lode/allocator.h"
#include "lode/heap.h"

#ifdef __cplusplus
extern "C" {
#endif

/** An opaque buddy allocator. */
struct lode_buddy;

/** How lode_buddy_create() makes one. Zero in any field means the default. */
struct lode_buddy_opts {
    uint32_t size;          /**< sizeof(struct lode_buddy_opts), set by LODE_BUDDY_OPTS_INIT */
    uint16_t tag;           /**< of the heap made for it; not together with `heap` */
    uint16_t flags;         /**< must be 0 */
    size_t bytes;           /**< of memory to manage; must be given */
    size_t min_bytes;       /**< smallest block, a power of two, at least 16; default 64 */
    void *memory;           /**< borrowed until destroy: `bytes` of it; default: from the heap */
    struct lode_heap *heap; /**< borrowed; default: one of its own */
    const char *name;       /**< copied, at most 31 bytes kept; default "buddy" */
};

#define LODE_BUDDY_OPTS_INIT                                                   \
    {                                                                          \
        (uint32_t)sizeof(struct lode_buddy_opts), 0, 0, 0, 0, NULL, NULL, NULL \
    }

/**
 * Create a buddy allocator.
 *
 * Memory of the heap is aligned to the largest power of two in `bytes`, up to 2 MiB, and that is
 * what blocks can be aligned to. Memory of the caller is used from its first to its last multiple
 * of min_bytes; blocks are aligned to their size up to 4096, or more where it starts at a multiple
 * of more. Memory that starts at a multiple of 4096 can be had in the largest blocks.
 *
 * @opts       Borrowed for the call.
 * @ret_buddy  Written only on success: the caller owns it, and ends it with lode_buddy_destroy().
 * Returns     0; -EINVAL no opts, no room for one block, min_bytes no power of two or below 16,
 *             flags, tag and heap both, more than 2^28 smallest blocks; -E2BIG opts has a non-zero
 *             tail this version does not know; -ENOMEM.
 * Threads     Any, concurrently.
 */
LODE_API LODE_NODISCARD int lode_buddy_create(const struct lode_buddy_opts *opts,
                                              struct lode_buddy **ret_buddy);

/** End the allocator and every block in it; NULL is fine. The caller's memory is his again. */
LODE_API void lode_buddy_destroy(struct lode_buddy *buddy);

/**
 * Allocate `bytes` (0 counts as 1) aligned to `align`, a power of two (0 means 16), uninitialised.
 * The block is at least min_bytes, and a power of two.
 *
 * Returns  The lowest free block that leaves the larger ones whole; NULL: nothing so large is free,
 *          `align` no power of two or more than the memory is aligned to; nothing changed.
 * Source   Knowlton, "A Fast Storage Allocator", CACM 8(10), 1965; free blocks by size in bitmaps
 *          that are searched through summaries instead of lists, and one freed block of each size
 *          that waits to be had again before it joins its buddy: ours.
 */
LODE_API void *lode_buddy_alloc(struct lode_buddy *buddy, size_t bytes, size_t align);

/** Free a block; NULL is fine. Returns 0; -EINVAL not a live block of this allocator; nothing
 * changed. */
LODE_API LODE_NODISCARD int lode_buddy_free(struct lode_buddy *buddy, void *block);

/**
 * Make a block hold `bytes` where it is: it takes free buddies behind it, or gives halves back.
 *
 * @old_bytes  What it was allocated or last extended with.
 * Returns     0; -ENOMEM what is behind it is in use, or it is the upper half of a larger block;
 *             -EINVAL not a live block of this allocator. On error the block is as it was.
 */
LODE_API LODE_NODISCARD int lode_buddy_extend(struct lode_buddy *buddy, void *block,
                                              size_t old_bytes, size_t bytes);

/** Bytes of a live block, a power of two; 0: it is none. */
LODE_API size_t lode_buddy_block_bytes(const struct lode_buddy *buddy, const void *block);

/** Free every block. */
LODE_API void lode_buddy_reset(struct lode_buddy *buddy);

/** 1: the address lies in the memory that is managed, live or not. */
LODE_API int lode_buddy_owns(const struct lode_buddy *buddy, const void *block);

/** The figures every allocator has. */
LODE_API void lode_buddy_stats(struct lode_buddy *buddy, struct lode_allocator_stats *ret_stats);

/** The allocator behind the common interface. Traits FREES, BOUNDED, CHECKED, RESIZES, DESTROYS. */
LODE_API void lode_buddy_allocator(struct lode_buddy *buddy, struct lode_allocator *ret_allocator);

#ifdef __cplusplus
}
#endif
#endif
