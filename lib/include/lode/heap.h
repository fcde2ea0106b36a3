/* SPDX-License-Identifier: MIT */
/**
 * @file heap.h
 * First-class heaps (liblode-heap.so).
 *
 * A heap is a set of spans of one memory kind and one tag. Any thread may allocate from any heap
 * and free any block; destroying a heap frees all its blocks at once. The default heap is what
 * malloc() uses when liblode.so is preloaded or linked; liblode-heap.so itself exports no malloc
 * name.
 *
 *     struct lode_heap *terrain;
 *     struct lode_heap_opts o = LODE_HEAP_OPTS_INIT;
 *     o.tag = 7;
 *     o.name = "terrain";
 *     if (lode_heap_create(&o, &terrain) == 0) {
 *         void *brick = lode_heap_alloc(terrain, 1024);
 *         lode_free(brick);
 *         lode_heap_destroy(terrain);
 *     }
 *
 * Errors: functions returning int give 0 or -errno. Functions returning a pointer give NULL and
 * leave errno alone unless they say otherwise. Caller misuse (double free, a foreign pointer) is
 * one line on stderr and abort(), see the option `misuse`.
 */
#ifndef LODE_HEAP_H
#define LODE_HEAP_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef LODE_API
#define LODE_API __attribute__((visibility("default")))
#endif
#ifndef LODE_NODISCARD
#define LODE_NODISCARD __attribute__((warn_unused_result))
#endif

/** Where a heap's memory comes from. */
enum lode_kind {
    LODE_KIND_SYSTEM = 0, /**< ordinary anonymous pages */
    LODE_KIND_HUGE = 1,   /**< anonymous pages advised for transparent huge pages */
    LODE_KIND_NODE = 2,   /**< bound to one NUMA node; -ENOTSUP in this version */
    LODE_KIND_SHARED =
        3, /**< memfd, importable by other processes and GPUs; -ENOTSUP in this version */
    LODE_KIND_USER = 4, /**< addresses given by the caller; -ENOTSUP in this version */
};

/** An opaque first-class heap. */
struct lode_heap;

/** How lode_heap_create() makes a heap. Zero in any field means the default. */
struct lode_heap_opts {
    uint32_t size; /**< sizeof(struct lode_heap_opts), set by LODE_HEAP_OPTS_INIT */
    uint16_t tag;  /**< who owns the memory; 0 untagged */
    uint8_t kind;  /**< enum lode_kind */
    uint8_t flags; /**< must be 0 */
    int32_t node;  /**< NUMA node for LODE_KIND_NODE */
    uint32_t reserved;
    const char *name; /**< copied, at most 31 bytes kept; NULL for none */
};

#define LODE_HEAP_OPTS_INIT                                          \
    {                                                                \
        (uint32_t)sizeof(struct lode_heap_opts), 0, 0, 0, 0, 0, NULL \
    }

/**
 * Create a heap.
 *
 * @opts      Borrowed for the call; NULL for all defaults.
 * @ret_heap  Written only on success: a heap the caller owns, ended with lode_heap_destroy().
 * Returns    0; -EINVAL bad kind or flags; -E2BIG opts has a non-zero tail this version does not
 * know; -ENOTSUP a kind this version does not have; -ENOMEM. Threads    Any, concurrently.
 */
LODE_API LODE_NODISCARD int lode_heap_create(const struct lode_heap_opts *opts,
                                             struct lode_heap **ret_heap);

/**
 * Destroy a heap and free every block in it at once, whichever thread allocated it.
 *
 * @heap     NULL is fine. The default heap cannot be destroyed: misuse.
 * Threads   Any, but no other thread may use the heap or its blocks during or after the call; no
 * help from other threads is needed, those that used the heap may be asleep or gone.
 */
LODE_API void lode_heap_destroy(struct lode_heap *heap);

/** The heap behind malloc(). Never NULL once memory could be reserved at all. */
LODE_API struct lode_heap *lode_heap_default(void);

/**
 * Allocate `bytes` from `heap` (0 gives a unique block), aligned to 16, uninitialised.
 * Returns NULL with errno ENOMEM when out of memory. Free with lode_free().
 */
LODE_API void *lode_heap_alloc(struct lode_heap *heap, size_t bytes);
/** As lode_heap_alloc(), `count` x `bytes`, zeroed; NULL with ENOMEM if the product overflows. */
LODE_API void *lode_heap_calloc(struct lode_heap *heap, size_t count, size_t bytes);
/** As lode_heap_alloc(), aligned to `align`, a power of two (else NULL with EINVAL). */
LODE_API void *lode_heap_aligned_alloc(struct lode_heap *heap, size_t align, size_t bytes);

/** malloc(), calloc(), realloc(), aligned_alloc() and free() on this thread's current heap. */
LODE_API void *lode_malloc(size_t bytes);
LODE_API void *lode_calloc(size_t count, size_t bytes);
/** The new block comes from the heap of the old one; NULL with ENOMEM leaves the old block as it
 * was. */
LODE_API void *lode_realloc(void *ptr, size_t bytes);
LODE_API void *lode_aligned_alloc(size_t align, size_t bytes);
/** Free a block of any heap, from any thread. NULL is fine. errno is kept. */
LODE_API void lode_free(void *ptr);

/** Bytes the caller may use at `ptr`; constant while the block lives. 0 for NULL. */
LODE_API size_t lode_usable_size(const void *ptr);
/** The usable size that lode_malloc(bytes) would give. 0 if no such block can exist. */
LODE_API size_t lode_good_size(size_t bytes);

/** What lode_block_find() tells of an address. */
struct lode_block_info {
    struct lode_heap *heap; /**< the heap the block belongs to */
    void *start;            /**< first byte of the block */
    size_t usable_bytes;
    uint16_t tag;
    uint8_t kind; /**< enum lode_kind */
    uint8_t reserved[5];
};

/**
 * Tell which block the address `ptr` lies in; interior addresses are fine.
 *
 * @ret_info  Written only on success.
 * Returns    0; -ENOENT not in a block of ours (foreign address, or in a span's unused tail).
 * Notes      Says nothing of whether the block is live: a freed block answers as a live one does.
 * Threads    Any. The answer holds while the block lives.
 */
LODE_API LODE_NODISCARD int lode_block_find(const void *ptr, struct lode_block_info *ret_info);

/**
 * From here on this thread's malloc() serves from the heap of `tag`, created on first use.
 * Scopes nest to a depth of 16; pop in the reverse order.
 *
 * Returns  0; -ENOMEM; -EOVERFLOW nested too deep.
 */
LODE_API LODE_NODISCARD int lode_tag_push(uint16_t tag);
/** End the innermost tag scope of this thread. Without one: misuse. */
LODE_API void lode_tag_pop(void);
/** The tag this thread's malloc() serves from now. */
LODE_API uint16_t lode_tag_current(void);

/**
 * Give every unused OS page that can be reached back to the kernel, at once.
 * Returns the bytes given back. Other threads' private free lists are out of reach.
 */
LODE_API size_t lode_purge(void);

/** One span, as lode_heap_walk() shows it. */
struct lode_span_info {
    void *start;        /**< first byte */
    size_t bytes;       /**< whole span, slices x 64 KiB */
    size_t block_bytes; /**< size of each block; for a large block, of the one block */
    uint32_t block_count;
    uint32_t live_count;      /**< blocks not on a free list that the walk can see */
    uint32_t untouched_bytes; /**< never touched since the kernel gave it */
    uint32_t purged_bytes;    /**< given back to the kernel */
    uint16_t tag;
    uint8_t kind;
    uint8_t large; /**< 1: one block of its own */
    uint8_t reserved[4];
};

/** Called for a span; a non-zero return ends the walk. No lock is held; it may allocate. */
typedef int (*lode_span_visitor)(void *ctx, const struct lode_span_info *span);
/** Called for a live block; a non-zero return ends the walk. No lock is held; it may allocate. */
typedef int (*lode_block_visitor)(void *ctx, void *block, size_t usable_bytes);

/**
 * Walk `heap`: every span, and in each every live block, in address order within the span.
 *
 * @span, @block  Either may be NULL.
 * Returns        0; what a visitor returned; -ENOMEM.
 * Threads        Any. Exact when no other thread uses the heap; blocks that other threads hold on
 *                their private free lists are told from live ones only while those threads rest.
 */
LODE_API LODE_NODISCARD int lode_heap_walk(struct lode_heap *heap, lode_span_visitor span,
                                           lode_block_visitor block, void *ctx);

/** Called for each heap; a non-zero return ends the enumeration. */
typedef int (*lode_heap_visitor)(void *ctx, struct lode_heap *heap, const char *name, uint16_t tag,
                                 enum lode_kind kind);
/** Every heap there is, the default one first. Returns 0 or what the visitor returned. */
LODE_API int lode_heaps_enumerate(lode_heap_visitor visit, void *ctx);

#ifdef __cplusplus
}
#endif
#endif
