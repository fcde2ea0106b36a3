/* SPDX-License-Identifier: MIT */
/**
 * @file allocator.h
 * One interface over every allocator of this library (liblode-ext.so).
 *
 * A `struct lode_allocator` is a small value: functions and the object they work on. Each allocator
 * fills one in (lode_arena_allocator(), lode_pool_allocator(), ...); containers and C++ adapters
 * take one. It borrows the object: the object must outlive every copy.
 *
 *     struct lode_allocator a;
 *     lode_arena_allocator(arena, &a);
 *     float *heights = lode_allocator_alloc(&a, 256 * sizeof(float), 64);
 *     lode_allocator_free(&a, heights, 256 * sizeof(float), 64);
 *
 * Which of this works is told by `traits`: an arena takes a free and does nothing unless the block
 * was its last; a fixed-size pool refuses what does not fit its object.
 *
 * Common rules. `bytes` of 0 counts as 1. `align` is a power of two, 0 means 16; a block is freed
 * and resized with the bytes and the alignment it was allocated with. NULL is what cannot be had:
 * out of memory, over a limit, a bad alignment, a size no address space holds; errno is left alone.
 * An operation that fails leaves everything as it was. The library reports none of this: what was
 * refused is counted in `failures`.
 *
 * Under ASan and valgrind's memcheck every block is announced; memory that is not in a block may
 * not be touched.
 */
#ifndef LODE_ALLOCATOR_H
#define LODE_ALLOCATOR_H

#include <stddef.h>
#include <stdint.h>

#include "lode/heap.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A point in an arena or a stack to come back to: see lode_arena_mark(), lode_stack_mark(). 0 is
 * none. */
typedef uint64_t lode_mark;

/** What an allocator can do; bits of lode_allocator.traits. */
enum lode_trait {
    LODE_TRAIT_THREADS = 1u << 0,  /**< any thread, concurrently; else one thread at a time */
    LODE_TRAIT_FREES = 1u << 1,    /**< a freed block can be handed out again at once */
    LODE_TRAIT_LIFO = 1u << 2,     /**< only the newest block can be freed; others are -EBUSY */
    LODE_TRAIT_FIXED = 1u << 3,    /**< one block size: lode_allocator_max_bytes() */
    LODE_TRAIT_BOUNDED = 1u << 4,  /**< never holds more than it was created with */
    LODE_TRAIT_CHECKED = 1u << 5,  /**< a double or foreign free is an errno, state unchanged */
    LODE_TRAIT_RESIZES = 1u << 6,  /**< realloc may grow in place */
    LODE_TRAIT_DESTROYS = 1u << 7, /**< destroying or resetting the object frees every block */
};

/**
 * Figures of one allocator. Bytes are of user data unless said otherwise. Those of an allocator
 * that is in use by another thread at the moment may be of slightly different moments.
 * used + free + metadata <= mapped: what is missing is rounding, and memory passed over.
 */
struct lode_allocator_stats {
    size_t used_bytes;         /**< handed out now, as rounded by the allocator */
    size_t requested_bytes;    /**< as asked for; equal to used_bytes where not tracked */
    size_t peak_used_bytes;    /**< most that used_bytes was; 0 where not tracked */
    size_t free_bytes;         /**< held and ready to be handed out */
    size_t mapped_bytes;       /**< taken from the heap below: used + free + metadata + rounding */
    size_t metadata_bytes;     /**< tables and headers, part of mapped_bytes */
    size_t largest_free_bytes; /**< largest request, aligned to 16, that can succeed without new
                                  memory; 0 where not known */
    size_t blocks;             /**< handed out now; 0 where not tracked */
    uint64_t allocs;           /**< ever; 0 where not tracked */
    uint64_t frees;            /**< ever; 0 where not tracked */
    uint64_t misses;           /**< requests that needed new memory from the heap below */
    uint64_t failures;         /**< requests that failed */
};

/** The functions behind an allocator; `ctx` is the object. Every one is set but alloc_many and
 * free_many, without which blocks are allocated one by one, and freed so, the last first. */
struct lode_allocator_ops {
    void *(*alloc)(void *ctx, size_t bytes, size_t align);
    void *(*resize)(void *ctx, void *block, size_t old_bytes, size_t bytes, size_t align);
    int (*free)(void *ctx, void *block, size_t bytes, size_t align);
    size_t (*alloc_many)(void *ctx, size_t bytes, size_t align, void **ret_blocks, size_t count);
    int (*free_many)(void *ctx, void *const *blocks, size_t count, size_t bytes, size_t align);
    size_t (*max_bytes)(void *ctx);
    int (*can_allocate)(void *ctx, size_t bytes, size_t align);
    int (*owns)(void *ctx, const void *block);
    void (*stats)(void *ctx, struct lode_allocator_stats *ret_stats);
};

struct lode_allocator {
    const struct lode_allocator_ops *ops;
    void *ctx;
    uint32_t traits; /**< enum lode_trait */
    uint32_t reserved;
};

/** Allocate `bytes` aligned to `align`, uninitialised; NULL if that cannot be had. */
static inline void *lode_allocator_alloc(const struct lode_allocator *a, size_t bytes, size_t align)
{
    return a->ops->alloc(a->ctx, bytes, align);
}

/**
 * Resize `block` (NULL: allocate) from `old_bytes` to `bytes`. It may move; the contents up to the
 * smaller of both sizes are kept. NULL leaves the old block as it was: no memory, or (of a LIFO
 * allocator) not the newest block, so that it could not be freed after being moved.
 */
static inline void *lode_allocator_resize(const struct lode_allocator *a, void *block,
                                          size_t old_bytes, size_t bytes, size_t align)
{
    return a->ops->resize(a->ctx, block, old_bytes, bytes, align);
}

/**
 * Free `block`; NULL is fine. Returns 0; -EBUSY not the newest block of a LIFO allocator; -EINVAL
 * not a block of this allocator or not live, where it can tell (LODE_TRAIT_CHECKED).
 */
static inline int lode_allocator_free(const struct lode_allocator *a, void *block, size_t bytes,
                                      size_t align)
{
    return a->ops->free(a->ctx, block, bytes, align);
}

/** Allocate up to `count` blocks of one size; returns how many of ret_blocks were filled. */
static inline size_t lode_allocator_alloc_many(const struct lode_allocator *a, size_t bytes,
                                               size_t align, void **ret_blocks, size_t count)
{
    size_t done = 0;
    if (a->ops->alloc_many != NULL)
        return a->ops->alloc_many(a->ctx, bytes, align, ret_blocks, count);
    while (done < count) {
        void *block = a->ops->alloc(a->ctx, bytes, align);
        if (block == NULL)
            break;
        ret_blocks[done++] = block;
    }
    return done;
}

/** Free `count` blocks of one size, in the order that suits the allocator; those of a LIFO, in the
 * order they were allocated. Returns the first error, after trying all. */
static inline int lode_allocator_free_many(const struct lode_allocator *a, void *const *blocks,
                                           size_t count, size_t bytes, size_t align)
{
    int first = 0;
    if (a->ops->free_many != NULL)
        return a->ops->free_many(a->ctx, blocks, count, bytes, align);
    while (count-- > 0) {
        int error = a->ops->free(a->ctx, blocks[count], bytes, align);
        first = first != 0 ? first : error;
    }
    return first;
}

/** No larger request can ever succeed; of a fixed-size pool, its one size. */
static inline size_t lode_allocator_max_bytes(const struct lode_allocator *a)
{
    return a->ops->max_bytes(a->ctx);
}

/** 1: such a request would succeed now, other threads and the kernel's refusal aside; 0: not. */
static inline int lode_allocator_can_allocate(const struct lode_allocator *a, size_t bytes,
                                              size_t align)
{
    return a->ops->can_allocate(a->ctx, bytes, align);
}

/** 1: `block` lies in memory of this allocator. Says nothing of whether it is live. */
static inline int lode_allocator_owns(const struct lode_allocator *a, const void *block)
{
    return a->ops->owns(a->ctx, block);
}

/** Fill in the figures; fields the allocator does not know are 0. */
static inline void lode_allocator_stats(const struct lode_allocator *a,
                                        struct lode_allocator_stats *ret_stats)
{
    a->ops->stats(a->ctx, ret_stats);
}

/**
 * The allocator of a first-class heap (NULL: the default heap).
 *
 * Traits THREADS, FREES, RESIZES, and DESTROYS but for the default heap. A bad free is misuse, as
 * for lode_free(). lode_allocator_can_allocate() knows the size of the address space reserved, not
 * what is left of it. Counts of what ever happened are not kept.
 */
LODE_API void lode_heap_allocator(struct lode_heap *heap, struct lode_allocator *ret_allocator);

#ifdef __cplusplus
}
#endif
#endif
