/* SPDX-License-Identifier: MIT */
/**
 * @file locked.h
 * Any allocator, for several threads: a lock around it.
 *
 * Arenas, stacks, buddies, slabs and free lists serve one thread at a time. Where several need one,
 * and neither a frame arena (frame.h) nor a concurrent pool (cpool.h) is what they need:
 *
 *     struct lode_allocator inner, shared;
 *     struct lode_locked *locked;
 *     lode_buddy_allocator(buddy, &inner);
 *     if (lode_locked_create(&inner, NULL, &locked) == 0) {
 *         lode_locked_allocator(locked, &shared);
 *         ...                                                // any thread: through `shared` alone
 *     }
 *
 * One uncontended lock and unlock is about 10 ns an operation. The lock is held around fork(), so a
 * forked child finds the allocator whole. It is not recursive: an allocator that calls user code
 * may not be called again from there.
 */
#ifndef LODE_LOCKED_H
#define LODE_LOCKED_H

#include <stdint.h>

#include "lode/allocator.h"
#include "lode/heap.h"

#ifdef __cplusplus
extern "C" {
#endif

/** An opaque lock with an allocator behind it. */
struct lode_locked;

/** How lode_locked_create() makes one. Zero in any field means the default. */
struct lode_locked_opts {
    uint32_t size;          /**< sizeof(struct lode_locked_opts), set by LODE_LOCKED_OPTS_INIT */
    uint32_t reserved;      /**< must be 0 */
    struct lode_heap *heap; /**< borrowed; the lock itself is there; default: the default heap */
    const char *name;       /**< copied, at most 31 bytes kept; default "locked" */
};

#define LODE_LOCKED_OPTS_INIT                                    \
    {                                                            \
        (uint32_t)sizeof(struct lode_locked_opts), 0, NULL, NULL \
    }

/**
 * Put a lock around an allocator.
 *
 * @inner       Copied. Its object is borrowed until lode_locked_destroy(), must be older than this
 *              one, and may be used only through it until then.
 * @opts        Borrowed for the call; NULL for all defaults.
 * @ret_locked  Written only on success: the caller owns it, and ends it with lode_locked_destroy().
 * Returns      0; -EINVAL reserved not 0; -E2BIG opts has a non-zero tail this version does not
 * know; -ENOMEM. Threads      Any, concurrently.
 */
LODE_API LODE_NODISCARD int lode_locked_create(const struct lode_allocator *inner,
                                               const struct lode_locked_opts *opts,
                                               struct lode_locked **ret_locked);

/** Take the lock away; NULL is fine. What it stood around goes on. */
LODE_API void lode_locked_destroy(struct lode_locked *locked);

/** Hold the lock, to call functions of the allocator's own; and let it go. Not across a fork(). */
LODE_API void lode_locked_lock(struct lode_locked *locked);
LODE_API void lode_locked_unlock(struct lode_locked *locked);

/** The allocator behind the lock. Traits of the inner one, and THREADS. */
LODE_API void lode_locked_allocator(struct lode_locked *locked,
                                    struct lode_allocator *ret_allocator);

#ifdef __cplusplus
}
#endif
#endif
