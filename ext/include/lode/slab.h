/* SPDX-License-Identifier: MIT */
/**
 * @file slab.h
 * Slab allocators: blocks of a few chosen sizes, each size in slabs of its own.
 *
 * For a subsystem that allocates many small things of known sizes and frees them in any order. A
 * slab holds nothing but blocks, one behind the other: sizes that divide it fill it wholly. What is
 * known of blocks, one bit each, stands elsewhere, so a free of something that is no live block is
 * -EINVAL, and no stray write confuses the allocator.
 *
 *     static const size_t sizes[] = {32, 48, 96, 320};
 *     struct lode_slab *scripts;
 *     struct lode_slab_opts o = LODE_SLAB_OPTS_INIT;
 *     o.class_bytes = sizes;
 *     o.class_count = 4;
 *     if (lode_slab_create(&o, &scripts) == 0) {
 *         void *node = lode_slab_alloc(scripts, 40, 0);              // a block of 48
 *         ...
 *         int error = lode_slab_free(scripts, node);
 *     }
 *
 * Slabs that have become empty serve any size again. When more than keep_slabs of them are empty,
 * they go back to the heap until half as many are left, so a program that swings around a level
 * takes and gives no memory with every swing.
 *
 * One size only, constructors, and thousands of objects a frame: lode/pool.h.
 *
 * Threads: one at a time for each allocator; nothing is locked. lode/locked.h makes one for
 * several. Figures can be read from any thread.
 */
#ifndef LODE_SLAB_H
#define LODE_SLAB_H

#include <stddef.h>
#include <stdint.h>

#include "lode/allocator.h"
#include "lode/heap.h"

#ifdef __cplusplus
extern "C" {
#endif

/** An opaque slab allocator. */
struct lode_slab;

/** Most sizes an allocator can have. */
#define LODE_SLAB_CLASSES_MAX 32

/** How lode_slab_create() makes one. Zero in any field means the default. */
struct lode_slab_opts {
    uint32_t size;        /**< sizeof(struct lode_slab_opts), set by LODE_SLAB_OPTS_INIT */
    uint16_t tag;         /**< of the heap made for it; not together with `heap` */
    uint16_t flags;       /**< must be 0 */
    uint32_t class_count; /**< of class_bytes; both or neither */
    uint32_t keep_slabs;  /**< at most so many empty ones are kept, beside one a size; default 4 */
    const size_t *class_bytes; /**< borrowed for the call: rising multiples of 16, at most a quarter
                                    of slab_bytes; default: 16 to 128 in steps of 16, then four a
                                    doubling up to 4096, or a quarter of slab_bytes */
    size_t slab_bytes;         /**< a power of two, 1 KiB to 4 MiB, at most 4,096 times the smallest
                                    size; default 64 KiB */
    size_t max_bytes;          /**< most memory ever held in slabs; default: no limit */
    struct lode_heap *heap;    /**< borrowed; default: one of its own */
    const char *name;          /**< copied, at most 31 bytes kept; default "slab" */
};

#define LODE_SLAB_OPTS_INIT                                                         \
    {                                                                               \
        (uint32_t)sizeof(struct lode_slab_opts), 0, 0, 0, 0, NULL, 0, 0, NULL, NULL \
    }

/**
 * Create a slab allocator. No slab is taken before the first block.
 *
 * @opts      Borrowed for the call; NULL for all defaults.
 * @ret_slab  Written only on success: the caller owns it, and ends it with lode_slab_destroy().
 * Returns    0; -EINVAL sizes that do not rise, are no multiples of 16, too large or too many,
 *            slab_bytes no power of two or out of range, flags, tag and heap both; -E2BIG opts has
 *            a non-zero tail this version does not know; -ENOMEM.
 *
 * Threads    Any, concurrently.
 */
LODE_API LODE_NODISCARD int lode_slab_create(const struct lode_slab_opts *opts,
                                             struct lode_slab **ret_slab);

/** End the allocator and every block in it; NULL is fine. */
LODE_API void lode_slab_destroy(struct lode_slab *slab);

/**
 * Allocate `bytes` (0 counts as 1) aligned to `align`, a power of two (0 means 16), uninitialised.
 *
 * Returns  A block of the first size that holds it and is a multiple of `align`; NULL: there is no
 *          such size, out of memory, over max_bytes, or `align` no power of two; nothing changed.
 * Source   Bonwick, "The Slab Allocator", USENIX Summer 1994; bits instead of free lists, and
 *          slabs found through a hash table, ours.
 */
LODE_API void *lode_slab_alloc(struct lode_slab *slab, size_t bytes, size_t align);

/** Free a block; NULL is fine. Returns 0; -EINVAL not a live block of this allocator; nothing
 * changed. */
LODE_API LODE_NODISCARD int lode_slab_free(struct lode_slab *slab, void *block);

/** Bytes of a live block; 0: it is none. */
LODE_API size_t lode_slab_block_bytes(const struct lode_slab *slab, const void *block);

/** Give every empty slab back to the heap; returns the bytes. */
LODE_API size_t lode_slab_trim(struct lode_slab *slab);

/** Free every block; slabs are kept as keep_slabs says. */
LODE_API void lode_slab_reset(struct lode_slab *slab);

/** 1: the address lies in a slab of this allocator, live or not. */
LODE_API int lode_slab_owns(const struct lode_slab *slab, const void *block);

/** One of the sizes. */
struct lode_slab_class {
    size_t block_bytes;
    size_t blocks;   /**< live */
    size_t slabs;    /**< that hold blocks of this size, or did last */
    size_t capacity; /**< blocks that fit into those */
};

/** Tell of size `index`, from 0. Returns 0; -ERANGE there is no such size; *ret_class unchanged. */
LODE_API LODE_NODISCARD int lode_slab_class(const struct lode_slab *slab, uint32_t index,
                                            struct lode_slab_class *ret_class);

/** The figures every allocator has. */
LODE_API void lode_slab_stats(const struct lode_slab *slab, struct lode_allocator_stats *ret_stats);

/** The allocator behind the common interface. Traits FREES, CHECKED, RESIZES, DESTROYS. */
LODE_API void lode_slab_allocator(struct lode_slab *slab, struct lode_allocator *ret_allocator);

#ifdef __cplusplus
}
#endif
#endif
