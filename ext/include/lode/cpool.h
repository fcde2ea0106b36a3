/* SPDX-License-Identifier: MIT */
/**
 * @file cpool.h
 * Concurrent object pools: an object pool (lode/pool.h) shared by any threads (liblode-ext.so).
 *
 * Each thread keeps two short lists of free objects for each pool it uses, its cache; a list that
 * runs empty or full is exchanged for another at a central depot. An object may be released by any
 * thread and then belongs to that thread's cache. A thread that ends gives its cache to the depot.
 *
 *     struct lode_pool_opts o = LODE_POOL_OPTS_INIT;
 *     struct lode_cpool *packets;
 *     o.object_bytes = 1536;
 *     o.align = 64;
 *     if (lode_cpool_create(&o, &packets) == 0) {
 *         void *packet = lode_cpool_acquire(packets);    in any thread
 *         int error = lode_cpool_release(packets, packet);    in any other
 *         lode_cpool_destroy(packets);
 *     }
 *
 * Options, size by demand, priority, activity and figures are those of lode/pool.h; the pools of
 * both sorts are trimmed together by lode_pools_trim().
 *
 * ## Bounds
 * `max` counts what is live and what lies in caches: never more than max objects are live, but a
 * thread can be refused while other threads' caches hold free ones, at most
 * lode_cpool_cache_objects() each. Where `max` is small, so are the caches.
 *
 * ## fork()
 * A forked child can go on using the pool. What lay in the caches of threads that are not in the
 * child is found again when the thread that forked next runs out of cached objects, provided no
 * other thread of the child came first; else it stays unused until the pool is destroyed.
 */
#ifndef LODE_CPOOL_H
#define LODE_CPOOL_H

#include <stddef.h>
#include <stdint.h>

#include "lode/pool.h"

#ifdef __cplusplus
extern "C" {
#endif

/** An opaque concurrent pool. */
struct lode_cpool;

/**
 * Create a concurrent pool.
 *
 * @opts       As for lode_pool_create(), and cache_objects: how many free objects a thread keeps at
 *             most; default 128, fewer where they would be over 128 KiB or an eighth of `max`; at
 *             least 2, at most 4,096. LODE_POOL_REMOTE has no meaning here and is -EINVAL.
 * @ret_cpool  Written only on success: a pool the caller owns, ended with lode_cpool_destroy().
 * Returns     0; -EINVAL, -E2BIG, -ENOTSUP, -ENOMEM as lode_pool_create(); -EINVAL too for
 *             cache_objects over 4,096.
 * Threads     Any, concurrently.
 * Source      Bonwick & Adams, "Magazines and Vmem" (USENIX 2001), sections 3 and 3.4 (the depot's
 *             working set); the byte of state an object is ours.
 */
LODE_API LODE_NODISCARD int lode_cpool_create(const struct lode_pool_opts *opts,
                                              struct lode_cpool **ret_cpool);

/**
 * Destroy a concurrent pool: destructors run for what is live, then all memory goes back. NULL is
 * fine. Threads that used it need not have ended, nor help.
 * Threads  Any one; no other may be in a call on it, or come later.
 */
LODE_API void lode_cpool_destroy(struct lode_cpool *cpool);

/**
 * Acquire an object. Returns one the caller owns until it is released: constructed, zeroed, or
 * uninitialised. NULL: at `max`, out of memory, or the constructor failed; errno is kept.
 * Threads  Any, concurrently, without a lock while the thread's cache lasts.
 */
LODE_API void *lode_cpool_acquire(struct lode_cpool *cpool);

/** As lode_cpool_acquire(). Returns 0; -ENOSPC at `max`; -ENOMEM; what the constructor returned.
 * ret_object is written only on success. */
LODE_API LODE_NODISCARD int lode_cpool_try_acquire(struct lode_cpool *cpool, void **ret_object);

/**
 * Release an object, which any thread may have acquired. NULL is fine.
 * Returns  0; -EINVAL not the start of an object of this pool, or not live: nothing changed. Of two
 *          threads that release one object at the same instant, one gets -EINVAL.
 * Threads  Any, concurrently, without a lock while the thread's cache has room.
 */
LODE_API LODE_NODISCARD int lode_cpool_release(struct lode_cpool *cpool, void *object);

/** Acquire up to `count` objects; returns how many of ret_objects were filled. */
LODE_API size_t lode_cpool_acquire_many(struct lode_cpool *cpool, void **ret_objects, size_t count);
/** Release `count` objects; all are tried. Returns 0 or the first error. */
LODE_API LODE_NODISCARD int lode_cpool_release_many(struct lode_cpool *cpool, void *const *objects,
                                                    size_t count);

/** Make sure that `count` objects beside those live or cached can be had without new memory.
 * Returns 0; -ENOSPC; -ENOMEM, nothing kept. Threads: any. */
LODE_API LODE_NODISCARD int lode_cpool_reserve(struct lode_cpool *cpool, size_t count);
/** As lode_pool_expect(). Returns 0; -ENOMEM. Threads: any. */
LODE_API LODE_NODISCARD int lode_cpool_expect(struct lode_cpool *cpool, size_t count);
/** End an epoch, as lode_pool_tick(); lists that the depot did not need in it go back to their
 * chunks. Threads: any. */
LODE_API void lode_cpool_tick(struct lode_cpool *cpool);
/** Give the calling thread's cache to the depot: before it sleeps for long, say. */
LODE_API void lode_cpool_flush(struct lode_cpool *cpool);
/** Give empty chunks back until `bytes` have gone, the depot's lists first. What lies in caches
 * stays. Returns the bytes given to the heap. Threads: any. */
LODE_API size_t lode_cpool_trim(struct lode_cpool *cpool, size_t bytes);

/** As lode_pool_set_activity(). Returns 0; -EINVAL. Threads: any. */
LODE_API LODE_NODISCARD int lode_cpool_set_activity(struct lode_cpool *cpool,
                                                    enum lode_pool_activity activity);
/** Threads: any. */
LODE_API void lode_cpool_set_priority(struct lode_cpool *cpool, int8_t priority);

/** 1: `address` lies in an object of this pool, live or not; 0: it does not. Threads: any. */
LODE_API int lode_cpool_owns(const struct lode_cpool *cpool, const void *address);
/** Most free objects that one thread's cache holds. */
LODE_API size_t lode_cpool_cache_objects(const struct lode_cpool *cpool);

/**
 * Figures, as lode_pool_stats_get(): `hot` counts what lies in caches and in the depot, and
 * peak_live and demand count objects live or cached.
 * Returns  0; -EINVAL size too small for the header. Threads: any; exact while the pool rests.
 */
LODE_API LODE_NODISCARD int lode_cpool_stats_get(const struct lode_cpool *cpool,
                                                 struct lode_pool_stats *stats);

/** The pool behind the common interface: any size up to object_bytes, any alignment up to its own.
 * Traits THREADS, FREES, FIXED, CHECKED, DESTROYS, and BOUNDED where max <= initial. */
LODE_API void lode_cpool_allocator(struct lode_cpool *cpool, struct lode_allocator *ret_allocator);

#ifdef __cplusplus
}
#endif
#endif
