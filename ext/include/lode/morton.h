/* SPDX-License-Identifier: MIT */
/**
 * @file morton.h
 * Morton order: codes of arrays, boxes, and a pool that places blocks by it (liblode-ext.so).
 * Single codes are inline, in lode/morton_code.h.
 *
 *     struct lode_morton_pool *bricks;
 *     struct lode_morton_pool_opts o = LODE_MORTON_POOL_OPTS_INIT;
 *     void *brick;
 *     o.block_bytes = 1024;
 *     if (lode_morton_pool_create(&o, &bricks) == 0 &&
 *         lode_morton_pool_acquire_at(bricks, -3, 40, 12, &brick) == 0) {
 *         ...
 *         lode_morton_pool_release(bricks, brick);
 *     }
 */
#ifndef LODE_MORTON_H
#define LODE_MORTON_H

#include <stddef.h>
#include <stdint.h>

#include "lode/allocator.h"
#include "lode/morton_code.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Arrays of codes. The processor is looked at once, in the first call; every choice gives the same
 * codes. x, y, z and the codes hold `count` elements each, of any alignment natural to them, and do
 * not overlap. No memory, no failure unless said otherwise; any thread.
 */

/** ret_codes[i] = lode_morton2_encode(x[i], y[i]). */
LODE_API void lode_morton2_encode_many(const uint32_t *x, const uint32_t *y, size_t count,
                                       uint64_t *ret_codes);
/** As lode_morton2_encode_signed(). */
LODE_API void lode_morton2_encode_signed_many(const int32_t *x, const int32_t *y, size_t count,
                                              uint64_t *ret_codes);
/** As lode_morton2_decode(). */
LODE_API void lode_morton2_decode_many(const uint64_t *codes, size_t count, uint32_t *ret_x,
                                       uint32_t *ret_y);
/** As lode_morton2_decode_signed(). */
LODE_API void lode_morton2_decode_signed_many(const uint64_t *codes, size_t count, int32_t *ret_x,
                                              int32_t *ret_y);
/** ret_codes[i] = lode_morton3_encode(x[i], y[i], z[i]); of each the low 21 bits count. */
LODE_API void lode_morton3_encode_many(const uint32_t *x, const uint32_t *y, const uint32_t *z,
                                       size_t count, uint64_t *ret_codes);
/** As lode_morton3_encode_signed(). Returns 0; -ERANGE one of them is out of range, no code was
 * written. */
LODE_API LODE_NODISCARD int lode_morton3_encode_signed_many(const int32_t *x, const int32_t *y,
                                                            const int32_t *z, size_t count,
                                                            uint64_t *ret_codes);
/** As lode_morton3_decode(). */
LODE_API void lode_morton3_decode_many(const uint64_t *codes, size_t count, uint32_t *ret_x,
                                       uint32_t *ret_y, uint32_t *ret_z);
/** As lode_morton3_decode_signed(). */
LODE_API void lode_morton3_decode_signed_many(const uint64_t *codes, size_t count, int32_t *ret_x,
                                              int32_t *ret_y, int32_t *ret_z);

/**
 * A box of cells, both corners inclusive, and a place in a walk over its codes. A plain value: copy
 * it, drop it. The fields are the library's; made by one of the three calls below.
 */
struct lode_morton_box {
    uint64_t min;      /**< code of the lowest corner: the lowest code of the box */
    uint64_t max;      /**< code of the highest corner: the highest code of the box */
    uint64_t next;     /**< the walk's next code, if has_next */
    uint32_t dims;     /**< 2 or 3 */
    uint32_t has_next; /**< 0: the walk is at its end */
};

/** The box lo .. hi, the walk at its first code. Returns 0; -EINVAL lo[i] > hi[i]. */
LODE_API LODE_NODISCARD int lode_morton2_box(const uint32_t lo[2], const uint32_t hi[2],
                                             struct lode_morton_box *ret_box);
/** As above; -ERANGE a coordinate has more than 21 bits. */
LODE_API LODE_NODISCARD int lode_morton3_box(const uint32_t lo[3], const uint32_t hi[3],
                                             struct lode_morton_box *ret_box);
/** As above, of signed coordinates; -ERANGE lode_morton3_holds() denies one. */
LODE_API LODE_NODISCARD int lode_morton3_box_signed(const int32_t lo[3], const int32_t hi[3],
                                                    struct lode_morton_box *ret_box);

/** 1: the cell of `code` lies in the box. */
LODE_API int lode_morton_box_holds(const struct lode_morton_box *box, uint64_t code);

/**
 * BIGMIN: the lowest code in the box that is above `code`, which may itself be in it or not.
 * Returns 0; -ENOENT there is none.
 * Source  Tropf and Herzog, "Multidimensional range search in dynamically balanced trees", 1981.
 */
LODE_API LODE_NODISCARD int lode_morton_bigmin(const struct lode_morton_box *box, uint64_t code,
                                               uint64_t *ret_code);
/** LITMAX: the highest code in the box that is below `code`. Returns 0; -ENOENT there is none. */
LODE_API LODE_NODISCARD int lode_morton_litmax(const struct lode_morton_box *box, uint64_t code,
                                               uint64_t *ret_code);

/** The walk's next code, in rising order. Returns 1; 0 at the end, nothing written. */
LODE_API int lode_morton_box_next(struct lode_morton_box *box, uint64_t *ret_code);
/**
 * The walk's next run: first .. last are all in the box, last + 1 is not. A box needs few runs if
 * its sides are multiples of large powers of two. May be mixed with lode_morton_box_next().
 * Returns 1; 0 at the end, nothing written.
 */
LODE_API int lode_morton_box_run(struct lode_morton_box *box, uint64_t *ret_first,
                                 uint64_t *ret_last);

/**
 * A pool of blocks of one size, each named by a code and placed by it: blocks of neighbouring cells
 * share OS pages and chunks, in whatever order they are acquired. An address never changes; no byte
 * of a block is the pool's.
 *
 * Space is cut into leaves of 2^9 codes (8 x 8 x 8 cells in three dimensions) and zones of 2^15
 * (32 x 32 x 32). A chunk of memory belongs to a zone, and within it an OS page, or four blocks of
 * less than a quarter page, to a leaf. So what is free in a page waits for a neighbour, and a zone
 * that holds one block holds a chunk of addresses, of which pages nobody used cost no memory.
 *
 * About 8 bytes of metadata a block, index included, where leaves hold a hundred blocks each, as on
 * the surface of a terrain.
 */
struct lode_morton_pool;

/** A block without a code: lode_morton_pool_acquire_near() only. */
#define LODE_MORTON_NO_CODE UINT64_MAX

#define LODE_MORTON_BLOCK_MIN ((size_t)16)
#define LODE_MORTON_BLOCK_MAX ((size_t)64 * 1024)

/** How lode_morton_pool_create() makes a pool. Zero in any field but block_bytes: the default. */
struct lode_morton_pool_opts {
    uint32_t size;  /**< sizeof(struct lode_morton_pool_opts), set by LODE_MORTON_POOL_OPTS_INIT */
    uint32_t align; /**< of each block, a power of two to 64 KiB; 0: 16 */
    size_t block_bytes;  /**< LODE_MORTON_BLOCK_MIN .. LODE_MORTON_BLOCK_MAX, rounded to `align` */
    size_t chunk_bytes;  /**< a power of two; 0: of 16 to 256 blocks, by their size */
    uint64_t max_blocks; /**< no more than this at once; 0: no limit */
    struct lode_heap *heap; /**< where everything comes from, borrowed; NULL: a heap of its own */
    const char *name;       /**< of the pool and its own heap; copied, 31 bytes kept; or NULL */
    uint16_t tag;           /**< of its own heap */
    uint8_t kind;           /**< enum lode_kind of its own heap */
    uint8_t flags;          /**< must be 0 */
    uint32_t reserved;      /**< must be 0 */
};

#define LODE_MORTON_POOL_OPTS_INIT                                                         \
    {                                                                                      \
        (uint32_t)sizeof(struct lode_morton_pool_opts), 0, 0, 0, 0, NULL, NULL, 0, 0, 0, 0 \
    }

/**
 * Create a pool.
 *
 * @opts      Borrowed for the call.
 * @ret_pool  Written only on success: a pool the caller owns, ended with
 *            lode_morton_pool_destroy().
 * Returns    0; -EINVAL opts NULL, a size or alignment out of range, a chunk that is no power of
 *            two or holds too few or too many blocks, tag or kind beside a heap, flags or reserved
 *            not 0; -E2BIG opts has a non-zero tail this version does not know; -ENOTSUP a kind
 *            this version does not have; -ENOMEM.
 * Threads    Any.
 */
LODE_API LODE_NODISCARD int lode_morton_pool_create(const struct lode_morton_pool_opts *opts,
                                                    struct lode_morton_pool **ret_pool);

/** End a pool and all its blocks. NULL is fine. No other thread may use it during or after. */
LODE_API void lode_morton_pool_destroy(struct lode_morton_pool *pool);

/*
 * All calls below may be made by any thread at any time: a zone is guarded by one of 64 locks,
 * held for one operation, so threads wait for each other where they work on the same place (or,
 * one time in 64, on two places with the same lock). Not async-signal-safe. Nothing moves.
 */

/**
 * Acquire the block of `code`.
 *
 * @code       Of any kind (2-D, 3-D, signed or not: one kind a pool), but not LODE_MORTON_NO_CODE.
 * @ret_block  Written only on success: block_bytes of the caller's, uninitialised, given back with
 *             lode_morton_pool_release().
 * Returns     0; -EEXIST the code has a block; -ERANGE LODE_MORTON_NO_CODE; -ENOSPC max_blocks are
 *             held, or the zone holds its most (65,535 slots, which only blocks without a code
 *             can bring about); -ENOMEM. On error nothing changed.
 */
LODE_API LODE_NODISCARD int lode_morton_pool_acquire(struct lode_morton_pool *pool, uint64_t code,
                                                     void **ret_block);

/** As above, of the cell (x, y, z), signed; -ERANGE lode_morton3_holds() denies it. */
LODE_NODISCARD static inline int lode_morton_pool_acquire_at(struct lode_morton_pool *pool,
                                                             int32_t x, int32_t y, int32_t z,
                                                             void **ret_block)
{
    uint64_t code;
    int status = lode_morton3_encode_signed(x, y, z, &code);
    return status != 0 ? status : lode_morton_pool_acquire(pool, code, ret_block);
}

/**
 * Acquire the blocks of `count` codes, all or none. They are placed in the order of their codes,
 * whatever order they come in: the densest and most orderly placement there is, for a region that
 * is loaded at once.
 *
 * @ret_blocks  count pointers, ret_blocks[i] of codes[i]; written only on success.
 * Returns      As lode_morton_pool_acquire(), also -EEXIST where a code is given twice.
 */
LODE_API LODE_NODISCARD int lode_morton_pool_acquire_many(struct lode_morton_pool *pool,
                                                          const uint64_t *codes, size_t count,
                                                          void **ret_blocks);

/** How near lode_morton_pool_acquire_near() came. */
enum lode_morton_nearness {
    LODE_MORTON_SAME_PAGE = 0,  /**< both have bytes on one OS page */
    LODE_MORTON_SAME_CHUNK = 1, /**< of one chunk */
    LODE_MORTON_SAME_ZONE = 2,  /**< of chunks of one zone */
    LODE_MORTON_ELSEWHERE = 3,  /**< the code belongs to another zone: placed there */
};

/**
 * Acquire a block beside `near`: on its page if that has room, else as near as there is room in its
 * chunk, else in a chunk of its zone, the nearest first.
 *
 * @code          The new block's own, as in lode_morton_pool_acquire(); or LODE_MORTON_NO_CODE: a
 *                block that is not found by code nor met by walks, for data that belongs to
 *                another block's cell.
 * @near          A live block of this pool.
 * @ret_nearness  May be NULL.
 * Returns        As lode_morton_pool_acquire(); -EINVAL `near` is no live block of this pool.
 */
LODE_API LODE_NODISCARD int lode_morton_pool_acquire_near(struct lode_morton_pool *pool,
                                                          uint64_t code, const void *near,
                                                          void **ret_block,
                                                          enum lode_morton_nearness *ret_nearness);

/**
 * Give a block back. Its chunk, once empty, goes back to the heap, unless the zone is short of
 * room without it; the pool keeps the last one given back.
 *
 * Returns  0, also for NULL; -EINVAL not the start of a block of this pool, or not live: nothing
 *          changed.
 */
LODE_API LODE_NODISCARD int lode_morton_pool_release(struct lode_morton_pool *pool, void *block);
/** Give the block of `code` back. Returns 0; -ENOENT it has none, nothing changed. */
LODE_API LODE_NODISCARD int lode_morton_pool_release_code(struct lode_morton_pool *pool,
                                                          uint64_t code);

/** The block of `code`, or NULL. It stays live until somebody releases it. */
LODE_API void *lode_morton_pool_find(struct lode_morton_pool *pool, uint64_t code);
/** As above for `count` codes, cheaper by far where they are of one zone. Returns how many blocks
 * there are; ret_blocks[i] is NULL where there is none. */
LODE_API size_t lode_morton_pool_find_many(struct lode_morton_pool *pool, const uint64_t *codes,
                                           size_t count, void **ret_blocks);
/** The code of a live block. Returns 0; -EINVAL no live block of this pool; -ENODATA it has none.
 */
LODE_API LODE_NODISCARD int lode_morton_pool_code(struct lode_morton_pool *pool, const void *block,
                                                  uint64_t *ret_code);

/** Called for a block; a non-zero return ends the walk. No lock is held: it may acquire and
 * release, this block too. */
typedef int (*lode_morton_visitor)(void *ctx, uint64_t code, void *block);

/**
 * Visit the blocks with first <= code <= last, in rising order: 0 and LODE_MORTON_NO_CODE for all,
 * the runs of a lode_morton_box for those of a box.
 *
 * Returns  0; what a visit returned that was not 0; -ENOMEM, nothing was visited.
 * Notes    Blocks acquired or released meanwhile, by the visitor or by other threads, may be
 *          visited or not: up to 512 blocks ahead are known to the walk.
 */
LODE_API LODE_NODISCARD int lode_morton_pool_walk(struct lode_morton_pool *pool, uint64_t first,
                                                  uint64_t last, lode_morton_visitor visit,
                                                  void *ctx);

/** Give everything back to the heap that holds no block. Returns the bytes given back. */
LODE_API size_t lode_morton_pool_trim(struct lode_morton_pool *pool);

/** The figures; exact while no other thread uses the pool. Bytes are those the heap counts for
 * it; peak_used_bytes is not tracked. */
LODE_API void lode_morton_pool_stats(struct lode_morton_pool *pool,
                                     struct lode_allocator_stats *ret_stats);

#ifdef __cplusplus
}
#endif
#endif
