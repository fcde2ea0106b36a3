/* SPDX-License-Identifier: MIT */
/**
 * @file freelist.h
 * Free list allocators: blocks of any size, freed in any order, out of one piece of memory.
 *
 * The general allocator for a budget: a level's script heap, a save-game buffer, memory of a
 * console that is all there is. Neighbours that are free are always one, and a request fails only
 * when no free piece holds it.
 *
 *     struct lode_freelist *scripts;
 *     struct lode_freelist_opts o = LODE_FREELIST_OPTS_INIT;
 *     o.bytes = 8 << 20;
 *     if (lode_freelist_create(&o, &scripts) == 0) {
 *         void *text = lode_freelist_alloc(scripts, length, 0);
 *         ...
 *         int error = lode_freelist_free(scripts, text);
 *     }
 *
 * Where a block goes is an option: the good fit takes a few steps whatever is free; the best fit
 * looks for the piece that leaves least; the first fit takes the lowest address, which keeps what
 * lives long together.
 *
 * A block is 8 bytes more than was asked for, in multiples of 16, and one bit elsewhere says that
 * it is live: a free of anything else is -EINVAL.
 *
 * Threads: one at a time for each allocator; nothing is locked. lode/locked.h makes one for
 * several. Figures through lode_regions_enumerate() can be read from any thread.
 */
#ifndef LODE_FREELIST_H
#define LODE_FREELIST_H

#include <stddef.h>
#include <stdint.h>

#include "lode/allocator.h"
#include "lode/heap.h"

#ifdef __cplusplus
extern "C" {
#endif

/** An opaque free list allocator. */
struct lode_freelist;

/** Which free piece a block is cut from. */
enum lode_fit {
    LODE_FIT_GOOD = 0,  /**< one of the smallest size bin that surely holds it: constant time */
    LODE_FIT_BEST = 1,  /**< the smallest that holds it: the bin is searched */
    LODE_FIT_FIRST = 2, /**< the lowest that holds it: logarithmic for pieces of mixed sizes */
};

/** How lode_freelist_create() makes one. Zero in any field means the default. */
struct lode_freelist_opts {
    uint32_t size; /**< sizeof(struct lode_freelist_opts), set by LODE_FREELIST_OPTS_INIT */
    uint16_t tag;  /**< of the heap made for it; not together with `heap` */
    uint16_t fit;  /**< enum lode_fit */
    size_t bytes;  /**< of memory to manage, at least 64; must be given */
    void *memory;  /**< borrowed until destroy: `bytes` of it; default: from the heap */
    struct lode_heap *heap; /**< borrowed; default: one of its own */
    const char *name;       /**< copied, at most 31 bytes kept; default "freelist" */
};

#define LODE_FREELIST_OPTS_INIT                                                \
    {                                                                          \
        (uint32_t)sizeof(struct lode_freelist_opts), 0, 0, 0, NULL, NULL, NULL \
    }

/**
 * Create a free list allocator.
 *
 * @opts          Borrowed for the call.
 * @ret_freelist  Written only on success: the caller owns it, and ends it with
 *                lode_freelist_destroy().
 * Returns        0; -EINVAL no opts, less than 64 bytes or 32 GiB and more, no such fit, tag and
 * heap both; -E2BIG opts has a non-zero tail this version does not know; -ENOMEM. Threads Any,
 * concurrently.
 */
LODE_API LODE_NODISCARD int lode_freelist_create(const struct lode_freelist_opts *opts,
                                                 struct lode_freelist **ret_freelist);

/** End the allocator and every block in it; NULL is fine. The caller's memory is his again. */
LODE_API void lode_freelist_destroy(struct lode_freelist *freelist);

/**
 * Allocate `bytes` (0 counts as 1) aligned to `align`, a power of two (0 means 16), uninitialised.
 *
 * Returns  The block; NULL: no free piece holds it, or `align` no power of two; nothing changed.
 * Source   Good and best fit: TLSF (Masmano, Ripoll, Crespo, Real, "TLSF: A New Dynamic Memory
 *          Allocator for Real-Time Systems", ECRTS 2004) with 16 bins a doubling. First fit:
 *          Stephenson, "Fast Fits", SOSP 1983: a Cartesian tree, by address and by size. Boundary
 *          tags: Knuth, TAOCP 1, 2.5.
 */
LODE_API void *lode_freelist_alloc(struct lode_freelist *freelist, size_t bytes, size_t align);

/**
 * Free a block; NULL is fine. Returns 0; -EINVAL not a live block of this allocator, or the 8 bytes
 * before it or behind it were overwritten; nothing changed.
 */
LODE_API LODE_NODISCARD int lode_freelist_free(struct lode_freelist *freelist, void *block);

/**
 * Make a block hold `bytes` where it is.
 *
 * @old_bytes  What it was allocated or last extended with.
 * Returns     0; -ENOMEM what is behind it is in use; -EINVAL as lode_freelist_free(). On error the
 *             block is as it was.
 */
LODE_API LODE_NODISCARD int lode_freelist_extend(struct lode_freelist *freelist, void *block,
                                                 size_t old_bytes, size_t bytes);

/** Bytes that a live block can hold; 0: it is none. */
LODE_API size_t lode_freelist_block_bytes(const struct lode_freelist *freelist, const void *block);

/** Free every block. */
LODE_API void lode_freelist_reset(struct lode_freelist *freelist);

/** 1: the address lies in the memory that is managed, live or not. */
LODE_API int lode_freelist_owns(const struct lode_freelist *freelist, const void *block);

/** The figures every allocator has. */
LODE_API void lode_freelist_stats(const struct lode_freelist *freelist,
                                  struct lode_allocator_stats *ret_stats);

/** The allocator behind the common interface. Traits FREES, BOUNDED, CHECKED, RESIZES, DESTROYS. */
LODE_API void lode_freelist_allocator(struct lode_freelist *freelist,
                                      struct lode_allocator *ret_allocator);

#ifdef __cplusplus
}
#endif
#endif
