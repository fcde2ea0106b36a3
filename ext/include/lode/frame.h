/* SPDX-License-Identifier: MIT */
/**
 * @file frame.h
 * Frame arenas: what all threads of a game allocate for one frame, and nobody frees.
 *
 * One atomic addition an allocation, to one of 16 lanes that threads are spread over, each with
 * chunks of its own. lode_frame_advance() begins a new frame and gives up what is
 * older than the frames that are kept: with two, the default, what was allocated in frame N can be
 * used in frames N and N+1, as by a renderer that is a frame behind, and is gone with frame N+2.
 *
 *     struct lode_frame *frame;
 *     if (lode_frame_create(NULL, &frame) != 0)
 *         return;
 *     // any thread, at any time:
 *     struct draw *list = lode_frame_alloc(frame, count * sizeof(*list), 64);
 *     // once a frame:
 *     lode_frame_advance(frame);
 *
 * Frames are numbered: the generation. A block that is remembered beyond a frame is best remembered
 * as a struct lode_frame_ref, which tells whether it is still there:
 *
 *     struct lode_frame_ref ref = lode_frame_alloc_ref(frame, bytes, 16);
 *     ...
 *     struct decal *d = lode_frame_get(frame, ref);       // NULL: its frame is gone
 *
 * All memory is kept from frame to frame; a game that does the same every frame takes none from the
 * heap after the first few.
 */
#ifndef LODE_FRAME_H
#define LODE_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "lode/allocator.h"
#include "lode/heap.h"

#ifdef __cplusplus
extern "C" {
#endif

/** An opaque frame arena. */
struct lode_frame;

/** How lode_frame_create() makes one. Zero in any field means the default. */
struct lode_frame_opts {
    uint32_t size;          /**< sizeof(struct lode_frame_opts), set by LODE_FRAME_OPTS_INIT */
    uint16_t tag;           /**< of the heap made for it; not together with `heap` */
    uint16_t flags;         /**< must be 0 */
    uint32_t frames;        /**< how many frames a block lives, 1 to 8; default 2 */
    uint32_t reserved;      /**< must be 0 */
    size_t chunk_bytes;     /**< of a lane's first chunks in a frame, 4 KiB to 64 MiB; after every 4
                                 chunks the next ones are twice as large; default 64 KiB */
    size_t max_bytes;       /**< most memory ever held, all frames together; default: no limit */
    struct lode_heap *heap; /**< borrowed; default: one of its own */
    const char *name;       /**< copied, at most 31 bytes kept; default "frame" */
};

#define LODE_FRAME_OPTS_INIT                                                   \
    {                                                                          \
        (uint32_t)sizeof(struct lode_frame_opts), 0, 0, 0, 0, 0, 0, NULL, NULL \
    }

/** A block and the frame it belongs to. */
struct lode_frame_ref {
    void *block;
    uint64_t generation;
};

/**
 * Create a frame arena, in frame 1.
 *
 * @opts       Borrowed for the call; NULL for all defaults.
 * @ret_frame  Written only on success: the caller owns it, and ends it with lode_frame_destroy().
 * Returns     0; -EINVAL more than 8 frames, chunk_bytes out of range, flags or reserved not 0, tag
 *             and heap both; -E2BIG opts has a non-zero tail this version does not know; -ENOMEM.
 * Threads     Any, concurrently.
 */
LODE_API LODE_NODISCARD int lode_frame_create(const struct lode_frame_opts *opts,
                                              struct lode_frame **ret_frame);

/** End the arena and every block in it; NULL is fine. No other thread may be using it. */
LODE_API void lode_frame_destroy(struct lode_frame *frame);

/**
 * Allocate `bytes` (0 counts as 1) aligned to `align`, a power of two (0 means 16), uninitialised,
 * for this frame and as many later ones as are kept.
 *
 * Returns  The block; NULL: out of memory, over max_bytes, or `align` no power of two.
 * Threads  Any, concurrently, also with lode_frame_advance(). The block belongs to the frame that
 *          lode_frame_generation() has told this thread, or to a later one.
 * Source   Ours: one word holds generation, chunk and position, so that an addition to it that
 * comes late, over a chunk's end or into a new frame, still knows where it landed.
 */
LODE_API void *lode_frame_alloc(struct lode_frame *frame, size_t bytes, size_t align);

/** The same with the block's generation; `block` is NULL on failure. */
LODE_API struct lode_frame_ref lode_frame_alloc_ref(struct lode_frame *frame, size_t bytes,
                                                    size_t align);

/** The block of `ref`; NULL: its frame has been given up, or it has none. Threads: any. */
LODE_API void *lode_frame_get(const struct lode_frame *frame, struct lode_frame_ref ref);

/** The number of this frame, from 1 on. Threads: any. */
LODE_API uint64_t lode_frame_generation(const struct lode_frame *frame);

/**
 * Begin a new frame: blocks of the oldest one that was kept are given up. Returns its number.
 * Threads: any; usually one, once a frame, when nobody uses the oldest frame's blocks any more.
 */
LODE_API uint64_t lode_frame_advance(struct lode_frame *frame);

/** Give memory back to the heap that no kept frame has used so far (but the chunk each is at);
 * returns the bytes. Threads: any. */
LODE_API size_t lode_frame_trim(struct lode_frame *frame);

/** 1: the address lies in the arena's memory, live or not. Threads: any. */
LODE_API int lode_frame_owns(struct lode_frame *frame, const void *block);

/**
 * The figures every allocator has, over all kept frames; blocks, allocs and frees are not tracked.
 * A chunk that is full counts as used whole, and so does the memory of a large block; the largest
 * free request is one by the calling thread. Threads: any.
 */
LODE_API void lode_frame_stats(struct lode_frame *frame, struct lode_allocator_stats *ret_stats);

/**
 * The arena as an allocator. Traits THREADS, DESTROYS. A free does nothing; can_allocate does not
 * know what other threads are about to take.
 */
LODE_API void lode_frame_allocator(struct lode_frame *frame, struct lode_allocator *ret_allocator);

#ifdef __cplusplus
}
#endif
#endif
