/* SPDX-License-Identifier: MIT */
/**
 * @file request.h
 * Requests: memory by what it is for (liblode-ext.so).
 *
 * A request says what kind of memory is wanted, and how much it matters; where it comes from is the
 * type's placement rule, unless the request prefers another strategy. What was done is told in the
 * allocation, which is also what it is freed by.
 *
 *     struct lode_request r = LODE_REQUEST_INIT;
 *     struct lode_allocation a;
 *     r.bytes = 64 * 1024;
 *     r.type = LODE_MEMORY_AUDIO;
 *     r.flags = LODE_REQUEST_DMA | LODE_REQUEST_FALLBACK;
 *     r.timeout_ms = 5;
 *     if (lode_alloc(&r, &a) == 0) {
 *         mix(a.ptr);
 *         int error = lode_alloc_free(&a);
 *     }
 *
 * ## Placement rules
 * Each type has a heap of its own for each tag, and others for what is HUGE or may move, so blocks
 * of different types never share a page:
 *
 *     type       from              aligned  in multiples of   beside
 *     SYSTEM     heap              16       1
 *     VIDEO      heap              OS page  OS page           can be imported by a GPU driver
 *     AUDIO      heap              64       64                touched: an audio thread never faults
 *     NETWORK    pool, over 2 KiB  64       64                packets of 64 .. 2,048 bytes
 *                heap
 *     SHARED     shared heap       OS page  OS page           -ENOTSUP in this version
 *     TEMPORARY  heap              16       1                 no span with longer lives in it
 *     STACK      thread's stack    16       1                 freed newest first, by its thread
 *     POOL       pool              16       size classes      up to 8 KiB: 16, 32, 48, 64, 96, ...
 *
 * ## What may move
 * A MOVABLE request gets a handle (lode/handle.h) beside the address, and a block of a heap where
 * everything may move, so that what stays is not in the way of what does. Whoever keeps the handle
 * reaches the block wherever it is:
 *
 *     r.flags = LODE_REQUEST_MOVABLE;
 *     if (lode_alloc(&r, &a) == 0) {
 *         char *now = lode_pin(a.handle);
 *         ...
 *         int error = lode_unpin(a.handle);
 *     }
 *
 * It is served by the type's heap for what may move, even where the rule says pool, and aligned to
 * 64 bytes at least. Freed while it is pinned, or while somebody reads, the handle is stale at
 * once, the limit has its bytes back, and the memory goes when the last of them has ended. This
 * version moves nothing by itself.
 *
 * ## When there is none
 * In this order: over the type's limit, wait up to timeout_ms, the highest priority first;
 * a CRITICAL request instead takes from the emergency reserve at once, and waits only if that is
 * used up or the request is MOVABLE; then FALLBACK, to the type's heap and at last to SYSTEM; then
 * the error.
 */
#ifndef LODE_REQUEST_H
#define LODE_REQUEST_H

#include <stddef.h>
#include <stdint.h>

#include "lode/allocator.h"
#include "lode/handle.h"
#include "lode/heap.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What memory is for. */
enum lode_memory_type {
    LODE_MEMORY_SYSTEM = 0,
    LODE_MEMORY_VIDEO = 1,
    LODE_MEMORY_AUDIO = 2,
    LODE_MEMORY_NETWORK = 3,
    LODE_MEMORY_SHARED = 4,
    LODE_MEMORY_TEMPORARY = 5,
    LODE_MEMORY_STACK = 6,
    LODE_MEMORY_POOL = 7,
};
#define LODE_MEMORY_TYPES 8

/** Which allocator serves. */
enum lode_strategy {
    LODE_STRATEGY_DEFAULT = 0, /**< the type's own */
    LODE_STRATEGY_HEAP = 1,    /**< the type's heap */
    LODE_STRATEGY_POOL = 2,    /**< a concurrent pool for each size class, in the type's heap */
    LODE_STRATEGY_STACK = 3,   /**< the calling thread's stack */
    LODE_STRATEGY_ARENA = 4,   /**< from here on: an allocator lent by lode_request_lend() */
    LODE_STRATEGY_FRAME = 5,
    LODE_STRATEGY_BUDDY = 6,
    LODE_STRATEGY_SLAB = 7,
    LODE_STRATEGY_FREELIST = 8,
    LODE_STRATEGY_OWN = 9,      /**< one of the program */
    LODE_STRATEGY_RESERVE = 10, /**< only in answers: the emergency reserve */
    LODE_STRATEGY_NEAR = 11,    /**< only in answers: the pool that `near_ptr` lies in */
};
#define LODE_STRATEGIES 12

/** Bits of lode_request.flags. */
enum lode_request_flag {
    LODE_REQUEST_ZERO = 1u << 0,     /**< reads as zero */
    LODE_REQUEST_CRITICAL = 1u << 1, /**< may use the emergency reserve */
    LODE_REQUEST_MOVABLE = 1u << 2,  /**< has a handle, and may be moved while nobody has it pinned
                                        or reads; not with DMA */
    LODE_REQUEST_HUGE = 1u << 3,     /**< from transparent huge pages; from 2 MiB on aligned so */
    LODE_REQUEST_DMA = 1u << 4,      /**< whole OS pages, locked in memory until freed. There is no
                                        true DMA in user space: physical addresses stay unknown and
                                        need not be contiguous */
    LODE_REQUEST_FALLBACK = 1u << 5, /**< anything that holds the bytes is better than an error */
};

/** A request. Zero in any field but bytes means the default. */
struct lode_request {
    uint32_t size;        /**< sizeof(struct lode_request), set by LODE_REQUEST_INIT */
    uint32_t flags;       /**< enum lode_request_flag */
    size_t bytes;         /**< 0 counts as 1 */
    size_t align;         /**< power of two; at least what the type's rule says is used */
    uint8_t type;         /**< enum lode_memory_type */
    uint8_t strategy;     /**< enum lode_strategy */
    int8_t priority;      /**< who is served first of those that wait for one type's limit */
    uint8_t reserved1;    /**< must be 0 */
    uint16_t tag;         /**< who owns it: a heap for each. A thread's stack is untagged */
    uint16_t reserved2;   /**< must be 0 */
    uint32_t timeout_ms;  /**< how long to wait while over the type's limit */
    uint32_t reserved3;   /**< must be 0 */
    const void *near_ptr; /**< place it beside this block, if that can be done; NULL: anywhere. A
                               Morton pool (lode/morton.h) places it beside one of its own, if its
                               blocks are large enough: it then goes with that pool, if it was not
                               freed before */
};

#define LODE_REQUEST_INIT                                                            \
    {                                                                                \
        (uint32_t)sizeof(struct lode_request), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, NULL \
    }

/** Bits of lode_allocation.flags. */
enum lode_allocation_flag {
    LODE_ALLOCATION_FELL_BACK = 1u << 0, /**< not as asked for: see type, strategy and LOCKED */
    LODE_ALLOCATION_RESERVE = 1u << 1,   /**< from the emergency reserve */
    LODE_ALLOCATION_WAITED = 1u << 2,
    LODE_ALLOCATION_LOCKED = 1u << 3, /**< its pages cannot be swapped out */
    LODE_ALLOCATION_HUGE = 1u << 4,   /**< from a heap of LODE_KIND_HUGE */
    LODE_ALLOCATION_MOVABLE = 1u << 5,
};

/** What a request got. The caller keeps it, or a copy, to free it. */
struct lode_allocation {
    void *ptr;             /**< where it is, or was at first if it is MOVABLE */
    lode_handle handle;    /**< of a MOVABLE one; else 0 */
    size_t bytes;          /**< usable: what was asked for, rounded up by the placement rule */
    size_t distance_bytes; /**< between ptr and near_ptr; 0 without */
    uint64_t id;           /**< never given twice */
    uint32_t flags;        /**< enum lode_allocation_flag */
    uint16_t tag;
    uint8_t type;     /**< what served: SYSTEM, if it fell back that far */
    uint8_t strategy; /**< what served, never DEFAULT */
};

/**
 * Allocate what `request` asks for.
 *
 * @request         Borrowed for the call.
 * @ret_allocation  Written only on success. Freed with lode_alloc_free().
 * Returns   0; -EINVAL bad type, strategy, flag or align, MOVABLE with DMA, a reserved field not 0;
 *           -E2BIG a non-zero tail this version does not know; -ENOTSUP a type or strategy this
 *           version does not have, that cannot serve this size, alignment, DMA, HUGE or MOVABLE, or
 *           that nobody has lent; -ENOSPC over the type's limit and timeout_ms is 0; -ETIMEDOUT
 *           over it all that time; -EPERM, -EAGAIN DMA: locking is not allowed, or beyond
 *           RLIMIT_MEMLOCK; -ENOMEM. On error nothing changed but the figures.
 *
 * Threads   Any, concurrently. Waits only for the limit; not a cancellation point.
 *
 * Moves     Only what was asked for as MOVABLE.
 */
LODE_API LODE_NODISCARD int lode_alloc(const struct lode_request *request,
                                       struct lode_allocation *ret_allocation);

/**
 * Free an allocation; one whose ptr is NULL is fine.
 *
 * Returns   0; -EINVAL not live: freed before (by this or a copy), or never an allocation; -EBUSY a
 *           STACK block that is not its thread's newest; -EPERM a STACK block of another thread;
 *           what a lent allocator answers. On error nothing changed.
 * Threads   Any, concurrently; of a STACK block, its thread.
 */
LODE_API LODE_NODISCARD int lode_alloc_free(const struct lode_allocation *allocation);

/** `count` times the same request: all or none. Returns as lode_alloc(); ret_allocations is written
 * only on success. The time to wait is for all together. */
LODE_API LODE_NODISCARD int lode_alloc_many(const struct lode_request *request,
                                            struct lode_allocation *ret_allocations, size_t count);
/** Free `count` allocations, the last first; all are tried. Returns 0 or the first error. */
LODE_API LODE_NODISCARD int lode_alloc_free_many(const struct lode_allocation *allocations,
                                                 size_t count);

/** Bytes that a block of a heap has which is asked for as `bytes` aligned to `align` (0: 16).
 * 0: there can be no such block, or `align` is no power of two. */
LODE_API size_t lode_quantize(size_t bytes, size_t align);

/** How a type is placed: the table above. */
struct lode_placement {
    const char *name;      /**< "system", ...: its heaps are called so, or "system movable" */
    size_t align;          /**< least alignment */
    size_t granule_bytes;  /**< sizes are multiples of it */
    size_t pool_max_bytes; /**< up to here from pools; 0: never */
    uint8_t strategy;      /**< enum lode_strategy */
    uint8_t kind;          /**< enum lode_kind of its heaps */
    uint8_t touched;       /**< 1: every page was written before it is handed out */
    uint8_t reserved[5];
};

/** Returns 0; -EINVAL no such type. */
LODE_API LODE_NODISCARD int lode_placement_get(enum lode_memory_type type,
                                               struct lode_placement *ret_placement);

/**
 * Limit what all live allocations of a type may have together; SIZE_MAX: no limit, as it begins.
 * What is live stays live above a new limit; a higher one wakes who waits. A block counts for the
 * type that served it, which is SYSTEM for one that fell back that far; one of the reserve for
 * none. Returns 0; -EINVAL no such type.
 */
LODE_API LODE_NODISCARD int lode_request_limit_set(enum lode_memory_type type, size_t bytes);

/**
 * Set the size of the emergency reserve, which is 512 KiB from the first request on, resident, and
 * cut in multiples of 64 bytes. 0: none.
 * Returns 0; -EBUSY something of it is in use; -ENOMEM. On error it is as it was.
 */
LODE_API LODE_NODISCARD int lode_request_reserve_set(size_t bytes);

/**
 * Lend the allocator behind one of the strategies ARENA .. OWN; NULL takes it back. It must serve
 * every thread that asks for it, and stay until it is taken back.
 * Returns 0; -EINVAL no such strategy; -EBUSY blocks of the present one are live.
 */
LODE_API LODE_NODISCARD int lode_request_lend(enum lode_strategy strategy,
                                              const struct lode_allocator *allocator);

/*       X(name, help) : all uint64_t */
#define LODE_REQUEST_STATS_TABLE(X)                                           \
    X(live, "allocations now")                                                \
    X(used_bytes, "of those, without what is in the reserve")                 \
    X(peak_bytes, "most that used_bytes was")                                 \
    X(limit_bytes, "see lode_request_limit_set()")                            \
    X(served, "requests served so far, of whatever type they were asked for") \
    X(frees, "allocations freed so far")                                      \
    X(failures, "requests for this type that failed, for whatever reason")    \
    X(waits, "requests that waited for the limit")                            \
    X(timeouts, "of those, the ones that waited in vain")                     \
    X(fallbacks, "requests for this type that were served otherwise")         \
    X(from_reserve, "requests for this type that the reserve served")         \
    X(reserve_bytes, "size of the reserve, the same for all types")           \
    X(reserve_used_bytes, "in use of it, by all types")

/** Figures of one type. */
struct lode_request_stats {
    uint32_t size; /**< sizeof(struct lode_request_stats), set by the caller */
    uint32_t reserved;
#define LODE_REQUEST_STATS_FIELD(name, help) uint64_t name;
    LODE_REQUEST_STATS_TABLE(LODE_REQUEST_STATS_FIELD)
#undef LODE_REQUEST_STATS_FIELD
};

/**
 * @stats   In: stats->size set. Out: filled up to that size.
 * Returns  0; -EINVAL no such type, or size too small for the header.
 * Threads  Any.
 */
LODE_API LODE_NODISCARD int lode_request_stats_get(enum lode_memory_type type,
                                                   struct lode_request_stats *stats);

#ifdef __cplusplus
}
#endif
#endif
