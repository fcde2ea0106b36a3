/* SPDX-License-Identifier: MIT */
/**
 * @file pool.h
 * Object pools: many objects of one size, acquired and released one by one (liblode-ext.so).
 *
 * A pool takes chunks from a first-class heap, cuts them into objects, and keeps the objects that
 * were released last on a short hot list, so that the next acquire gets the warmest of them. Both
 * operations are inline here. Nothing is kept inside an object, live or free, and next to the
 * objects there is one bit for each: releasing one twice, or what is no object of the pool, is an
 * error that changes nothing, and an object never touched costs no page.
 *
 *     struct lode_pool_opts o = LODE_POOL_OPTS_INIT;
 *     struct lode_pool *creatures;
 *     o.object_bytes = sizeof(struct creature);
 *     o.max = 2000;
 *     o.name = "creatures";
 *     if (lode_pool_create(&o, &creatures) == 0) {
 *         struct creature *c = lode_pool_acquire(creatures);
 *         if (c != NULL)
 *             (void)lode_pool_release(creatures, c);
 *         lode_pool_destroy(creatures);
 *     }
 *
 * ## Size
 * A pool watches its demand: the most objects that were live at once, epoch by epoch, sinking by an
 * eighth for each epoch that needs less. An epoch ends with lode_pool_tick(), once a frame say, and
 * by itself after so many acquires. At its end a pool whose demand rose for the second time in a
 * row grows ahead by the same rise again; one whose demand has stayed below `shrink_percent` of its
 * capacity for `shrink_delay` epochs gives chunks back down to what its activity keeps. Demand that
 * swings within the delay costs nothing. lode_pools_trim() takes memory from all pools at once, the
 * least important first.
 *
 * ## Threads
 * A pool is used by one thread at a time, except where a function says otherwise: figures and
 * trimming work from any thread at any time, and with LODE_POOL_REMOTE so does
 * lode_pool_release_remote(). For a pool shared by all threads see lode/cpool.h.
 *
 * Under AddressSanitizer and valgrind's memcheck free objects are inaccessible; every operation
 * then goes through the library.
 */
#ifndef LODE_POOL_H
#define LODE_POOL_H

#include <stddef.h>
#include <stdint.h>

#include "lode/allocator.h"
#include "lode/heap.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Bits of lode_pool_opts.flags. */
enum lode_pool_flag {
    LODE_POOL_ZERO = 1u << 0,   /**< an acquired object reads as zero */
    LODE_POOL_REMOTE = 1u << 1, /**< other threads may call lode_pool_release_remote() */
    LODE_POOL_TOUCH = 1u << 2,  /**< growing ahead faults pages in, so that no acquire has to */
    LODE_POOL_STEADY = 1u << 3, /**< neither grows ahead nor shrinks unless told to */
};

/** How much a pool keeps beyond what is live, and how soon it lets go. */
enum lode_pool_activity {
    LODE_POOL_ACTIVE = 0,  /**< the demand and a quarter more; grows ahead */
    LODE_POOL_IDLE = 1,    /**< the demand, and no delay before shrinking to it */
    LODE_POOL_DORMANT = 2, /**< nothing: every empty chunk goes back at once and at each epoch */
};

/** Objects are at most so large, and alignments at most this. */
#define LODE_POOL_OBJECT_MAX ((size_t)64 << 20)
#define LODE_POOL_ALIGN_MAX  ((size_t)64 << 10)

/** How lode_pool_create() makes a pool. Zero in any field but object_bytes means the default. */
struct lode_pool_opts {
    uint32_t size;       /**< sizeof(struct lode_pool_opts), set by LODE_POOL_OPTS_INIT */
    uint32_t flags;      /**< enum lode_pool_flag */
    size_t object_bytes; /**< 1 .. LODE_POOL_OBJECT_MAX; below 8 it becomes 8 */
    size_t align;        /**< power of two up to LODE_POOL_ALIGN_MAX; object_bytes is rounded up to
                            it. Default: the largest that divides object_bytes, at most 16 */
    size_t initial;      /**< objects made ready by create, and by clear; default none */
    size_t max;          /**< most objects live at once; default no limit */
    size_t growth_objects;   /**< objects added when the pool runs dry, rounded up to chunks */
    uint16_t growth_percent; /**< the same as a share of the capacity; the larger of both counts.
                                Default of both: 50 % */
    uint16_t shrink_percent; /**< demand below this share of capacity is low; default 50, max 100 */
    uint16_t shrink_delay;   /**< epochs of low demand before shrinking; default 16 */
    uint16_t tag;            /**< of the pool's own heap; must be 0 if `heap` is given */
    uint32_t
        epoch_acquires;     /**< an epoch ends after so many acquires at the latest; default twice
                               the capacity, at least 1,024; UINT32_MAX: only by lode_pool_tick() */
    uint32_t cache_objects; /**< concurrent pools (lode/cpool.h); else must be 0 */
    int8_t priority;        /**< lode_pools_trim() begins with the lowest; default 0 */
    uint8_t activity;       /**< enum lode_pool_activity */
    uint8_t kind;           /**< enum lode_kind of the pool's own heap; 0 if `heap` is given */
    uint8_t reserved[5];    /**< must be 0 */
    struct lode_heap *heap; /**< chunks come from here, borrowed; default: a heap of its own */
    const char *name;       /**< copied, at most 31 bytes kept; default "pool" */
    /** Called with each object acquired; not 0: the acquire fails with this (make it -errno). */
    int (*construct)(void *hook_ctx, void *object);
    /** Called with each object released, cleared, or live when the pool is destroyed. */
    void (*destruct)(void *hook_ctx, void *object);
    void *hook_ctx; /**< given to both. They run under no lock and may use the pool */
};

#define LODE_POOL_OPTS_INIT                                                                   \
    {                                                                                         \
        (uint32_t)sizeof(struct lode_pool_opts), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, \
            {0, 0, 0, 0, 0}, NULL, NULL, NULL, NULL, NULL                                     \
    }

/* What the inline functions below work on. None of it is for other code. */

/** Most objects on the hot list; fewer where objects are large. */
#define LODE_POOL_HOT 64

/* A chunk of objects; its bits follow it, one an object, set: not free. */
struct lode_pool_chunk {
    uintptr_t base;   /* where its objects begin; 0: it has no memory now. Atomic */
    uint32_t taken;   /* objects live or hot; guarded by the pool's lock */
    uint32_t number;  /* constant */
    uint32_t scan;    /* no word of bits below this one has a free object; guarded by the lock */
    uint32_t queued;  /* on the pool's list of remote releases. Atomic */
    uint64_t *remote; /* a bit an object: released by another thread. NULL without
                         LODE_POOL_REMOTE */
    uint8_t *state;   /* a byte an object, of concurrent pools */
    struct lode_pool_chunk *queue_next;
};

/* A free object on the hot list. */
struct lode_pool_slot {
    void *object;
    uintptr_t bit; /* address of its live bit, in bits */
};

/* The part of a pool that its user's thread works on; the rest follows it. */
struct lode_pool {
    uint32_t hot_count;   /* of hot[]; the last is the next acquired. Atomic: figures */
    uint32_t hot_max;     /* 0: releases go through the library */
    uint32_t hot_low;     /* least hot_count since the peak was last noted. Atomic */
    uint32_t until_epoch; /* acquires left before the library looks at the demand. Atomic */
    uintptr_t chunk_mask; /* an address and this: the chunk's base */
    struct lode_pool_chunk **table; /* hash of bases; no entry is NULL. Entries are atomic */
    uint32_t table_shift;
    uint32_t slots;   /* objects a chunk */
    uint32_t inverse; /* of the odd part of the object's size, mod 2^32 */
    uint32_t twos;    /* the even part: size = odd << twos */
    struct lode_pool_slot hot[LODE_POOL_HOT];
};

LODE_API void *lode_pool_acquire_slow(struct lode_pool *pool);
LODE_API int lode_pool_release_slow(struct lode_pool *pool, void *object);

/**
 * Create a pool.
 *
 * @opts      Borrowed for the call.
 * @ret_pool  Written only on success: a pool the caller owns, ended with lode_pool_destroy().
 * Returns    0; -EINVAL object_bytes 0 or too large, a bad align, flag, activity, kind or percent,
 *            initial over max, cache_objects or a reserved field not 0, heap together with tag or
 *            kind, LODE_POOL_REMOTE together with a destructor; -E2BIG opts has a non-zero tail
 *            this version does not know; -ENOTSUP a kind this version does not have; -ENOMEM.
 *
 * Threads    Any, concurrently.
 */
LODE_API LODE_NODISCARD int lode_pool_create(const struct lode_pool_opts *opts,
                                             struct lode_pool **ret_pool);

/**
 * Destroy a pool: destructors run for what is live, then all memory goes back. NULL is fine.
 * Threads  The pool's thread; no other may be in a call on it, or come later.
 */
LODE_API void lode_pool_destroy(struct lode_pool *pool);

/**
 * Acquire an object: the one released last, if it is still hot.
 *
 * Returns  An object the caller owns until it is released: constructed, zeroed, or uninitialised.
 *          NULL: at `max`, out of memory, or the constructor failed; errno is kept, and
 *          lode_pool_try_acquire() tells which.
 * Threads  The pool's thread.
 * Source   A bounded LIFO array in front of chunks, as a magazine of Bonwick & Adams, "Magazines
 *          and Vmem" (USENIX 2001), section 3; the bit map instead of links is ours.
 */
static inline void *lode_pool_acquire(struct lode_pool *pool)
{
    uint32_t n = pool->hot_count, until = pool->until_epoch;
    if (__builtin_expect(n == 0 || until == 0, 0))
        return lode_pool_acquire_slow(pool);
    struct lode_pool_slot slot = pool->hot[--n];
    uint64_t *word = (uint64_t *)(slot.bit >> 6 << 3);
    __atomic_store_n(word, *word | (uint64_t)1 << (slot.bit & 63), __ATOMIC_RELAXED);
    /* relaxed: figures for other threads */
    __atomic_store_n(&pool->hot_count, n, __ATOMIC_RELAXED);
    __atomic_store_n(&pool->until_epoch, until - 1, __ATOMIC_RELAXED);
    if (n < pool->hot_low)
        __atomic_store_n(&pool->hot_low, n, __ATOMIC_RELAXED);
    return slot.object;
}

/**
 * Release an object. NULL is fine.
 *
 * Returns  0; -EINVAL not the start of an object of this pool, or not live: nothing changed.
 * Threads  The pool's thread; it need not be the one that acquired.
 * Source   The exact division by one multiplication: Warren, "Hacker's Delight" 2nd ed. (2013),
 *          10-17.
 */
static inline LODE_NODISCARD int lode_pool_release(struct lode_pool *pool, void *object)
{
    uintptr_t base = (uintptr_t)object & pool->chunk_mask;
    uint64_t hash = (uint64_t)base * 0x9e3779b97f4a7c15u;
    uint32_t product = (uint32_t)((uintptr_t)object - base) * pool->inverse;
    uint32_t twos = pool->twos, n = pool->hot_count;
    /* Below `slots` only where an object starts. */
    uint32_t index = product >> twos | product << (-twos & 31);
    /* relaxed: another thread may be taking chunks away, but none that has a live object */
    struct lode_pool_chunk *chunk =
        __atomic_load_n(&pool->table[hash >> pool->table_shift], __ATOMIC_RELAXED);
    if (__builtin_expect(__atomic_load_n(&chunk->base, __ATOMIC_RELAXED) == base &&
                             index < pool->slots && n < pool->hot_max,
                         1)) {
        uint64_t *word = (uint64_t *)(chunk + 1) + index / 64;
        uint64_t bit = (uint64_t)1 << (index & 63), bits = *word;
        if (__builtin_expect((bits & bit) != 0, 1)) {
            __atomic_store_n(word, bits & ~bit, __ATOMIC_RELAXED);
            pool->hot[n].object = object;
            pool->hot[n].bit = ((uintptr_t)(chunk + 1) << 3) + index;
            __atomic_store_n(&pool->hot_count, n + 1, __ATOMIC_RELAXED);
            return 0;
        }
    }
    return lode_pool_release_slow(pool, object);
}

/**
 * As lode_pool_acquire(), telling why not.
 *
 * @ret_object  Written only on success.
 * Returns      0; -ENOSPC `max` objects are live; -ENOMEM; what the constructor returned.
 */
LODE_API LODE_NODISCARD int lode_pool_try_acquire(struct lode_pool *pool, void **ret_object);

/** Acquire up to `count` objects; returns how many of ret_objects were filled. */
LODE_API size_t lode_pool_acquire_many(struct lode_pool *pool, void **ret_objects, size_t count);

/** Release `count` objects; all are tried. Returns 0 or the first error, as lode_pool_release(). */
LODE_API LODE_NODISCARD int lode_pool_release_many(struct lode_pool *pool, void *const *objects,
                                                   size_t count);

/**
 * Release an object from a thread that does not own the pool; it can be acquired again once the
 * pool's thread runs dry, or ticks. NULL is fine.
 *
 * Returns  0; -EINVAL as lode_pool_release(), also where the object was released remotely and not
 *          yet taken back; -ENOTSUP the pool has no LODE_POOL_REMOTE.
 * Threads  Any, concurrently, lock-free: two atomic operations, more for the first of its chunk.
 *          A second release of the same object is found, too, where it races with the first; but
 *          not if in that very instant the pool's thread takes the object back and hands it out
 *          anew, or releases it itself.
 * Source   ours: a bit map as inbox, and a list of the chunks that have mail.
 */
LODE_API LODE_NODISCARD int lode_pool_release_remote(struct lode_pool *pool, void *object);

/**
 * Make sure that the next `count` acquires need no new memory.
 * Returns  0; -ENOSPC that would be more than `max`; -ENOMEM. On error nothing was kept.
 */
LODE_API LODE_NODISCARD int lode_pool_reserve(struct lode_pool *pool, size_t count);

/**
 * Tell the pool that about `count` more objects will be wanted soon: ahead of a mining tool, say.
 * It grows now and counts them as demand, so that they are not given back before the shrink delay.
 * Asking beyond `max` is fine and stops there.
 *
 * Returns  0; -ENOMEM: neither memory nor demand changed.
 */
LODE_API LODE_NODISCARD int lode_pool_expect(struct lode_pool *pool, size_t count);

/** End an epoch: take remote releases back, grow ahead or shrink by demand (see the head). At most
 * 32 chunks go back in an epoch; the rest follows in the next ones. */
LODE_API void lode_pool_tick(struct lode_pool *pool);

/** Give every empty chunk back, below `initial` too. Returns the bytes given to the heap. */
LODE_API size_t lode_pool_shrink(struct lode_pool *pool);

/**
 * Give empty chunks back until `bytes` have gone. What is on the hot list, or released remotely and
 * not taken back yet, stays. Returns the bytes given to the heap, which keeps or purges them.
 * Threads  Any, concurrently.
 */
LODE_API size_t lode_pool_trim(struct lode_pool *pool, size_t bytes);

/**
 * Trim all pools, concurrent ones too, until `bytes` have gone: the lowest priority first, among
 * equals the dormant before the idle before the active. Returns the bytes given to the heaps.
 * Threads  Any, concurrently. Needs no memory.
 */
LODE_API size_t lode_pools_trim(size_t bytes);

/** Back to how it was created: every object is released (destructors run), the demand is forgotten,
 * and the capacity is `initial`, or what could be had of it. */
LODE_API void lode_pool_clear(struct lode_pool *pool);

/** Returns 0; -EINVAL no enum lode_pool_activity. LODE_POOL_DORMANT gives empty chunks back at
 * once. Threads: any. */
LODE_API LODE_NODISCARD int lode_pool_set_activity(struct lode_pool *pool,
                                                   enum lode_pool_activity activity);
/** Threads: any. */
LODE_API void lode_pool_set_priority(struct lode_pool *pool, int8_t priority);

/** 1: `address` lies in an object of this pool, live or not; 0: it does not. Threads: any. */
LODE_API int lode_pool_owns(const struct lode_pool *pool, const void *address);

/** Called for a live object; it may release that object. Not 0 ends the walk. */
typedef int (*lode_pool_visitor)(void *ctx, void *object);
/** Visit every live object, by address within a chunk. Returns 0 or what the visitor returned. */
LODE_API int lode_pool_walk(struct lode_pool *pool, lode_pool_visitor visit, void *ctx);

/*       X(name, help) : all uint64_t */
#define LODE_POOL_STATS_TABLE(X)                                                \
    X(object_bytes, "size of an object, rounded up to its alignment")           \
    X(chunk_objects, "objects in a chunk")                                      \
    X(chunk_bytes, "size of a chunk")                                           \
    X(live, "objects acquired and not released")                                \
    X(hot, "free objects on the hot list, or in threads' caches")               \
    X(capacity, "objects that can be live without new memory")                  \
    X(chunks, "chunks held")                                                    \
    X(empty_chunks, "of those, the ones that could be given back now")          \
    X(mapped_bytes, "taken from the heap, metadata too")                        \
    X(metadata_bytes, "bits, tables and the pool itself; part of mapped_bytes") \
    X(peak_live, "most objects that were live at once")                         \
    X(peak_chunks, "most chunks that were held at once")                        \
    X(acquires, "objects acquired so far")                                      \
    X(releases, "objects released so far")                                      \
    X(misses, "acquires that had to wait for new memory")                       \
    X(refused, "acquires that failed at max")                                   \
    X(failures, "acquires that failed for memory or in the constructor")        \
    X(misuses, "releases that were refused")                                    \
    X(demand, "objects that the pool expects to be live")                       \
    X(epochs, "epochs ended")                                                   \
    X(grows, "times it grew because it ran dry")                                \
    X(grows_ahead, "times it grew before it ran dry")                           \
    X(shrinks, "times it gave chunks back")                                     \
    X(returned_bytes, "given back so far")

/** Figures of a pool. */
struct lode_pool_stats {
    uint32_t size; /**< sizeof(struct lode_pool_stats), set by the caller */
    uint32_t reserved;
#define LODE_POOL_STATS_FIELD(name, help) uint64_t name;
    LODE_POOL_STATS_TABLE(LODE_POOL_STATS_FIELD)
#undef LODE_POOL_STATS_FIELD
    double hit_rate;      /**< acquires that needed no new memory, 0 .. 1; 1 before the first */
    double fragmentation; /**< free share of the chunks that have a live object, 0 .. 1 */
};

/**
 * @stats   In: stats->size set. Out: filled up to that size.
 * Returns  0; -EINVAL size too small for the header.
 * Threads  Any; exact while the pool rests, else within what its hot list holds.
 */
LODE_API LODE_NODISCARD int lode_pool_stats_get(const struct lode_pool *pool,
                                                struct lode_pool_stats *stats);

/** The pool behind the common interface: any size up to object_bytes, any alignment up to its own.
 * Traits FREES, FIXED, CHECKED, DESTROYS, and BOUNDED where max <= initial. */
LODE_API void lode_pool_allocator(struct lode_pool *pool, struct lode_allocator *ret_allocator);

#ifdef __cplusplus
}
#endif
#endif
