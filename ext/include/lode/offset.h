/* SPDX-License-Identifier: MIT */
/**
 * @file offset.h
 * Offset allocators: ranges of something that is not CPU memory, or not to be touched: a GPU
 * buffer, a file, an atlas row, an index space. Only numbers are handed out; what they are of is
 * never read or written, and everything known of a range is kept elsewhere.
 *
 *     struct lode_offset *vertices;
 *     struct lode_offset_opts o = LODE_OFFSET_OPTS_INIT;
 *     o.granule = 256;                                   // what the device wants
 *     if (lode_offset_create((uint64_t)1 << 30, &o, &vertices) != 0)
 *         return;
 *     uint64_t at;
 *     lode_range mesh;
 *     if (lode_offset_alloc(vertices, mesh_bytes, 0, &at, &mesh) == 0)
 *         upload(at, mesh_bytes);
 *     ...
 *     int error = lode_offset_free(vertices, mesh);
 *
 * A range is named by a lode_range, which is never given twice: freeing one again is -EINVAL, as is
 * every number that is not the name of a live range.
 *
 * Allocating and freeing take the same few steps whatever the sizes. Only where nothing larger than
 * the request's own size bin is free (less than 12.5 % more), that bin is searched: so -ENOSPC
 * means that there is no such range.
 *
 * Threads: one at a time for each allocator; nothing is locked. Figures through
 * lode_regions_enumerate() can be read from any thread.
 */
#ifndef LODE_OFFSET_H
#define LODE_OFFSET_H

#include <stddef.h>
#include <stdint.h>

#include "lode/heap.h"

#ifdef __cplusplus
extern "C" {
#endif

/** An opaque offset allocator. */
struct lode_offset;

/** Names one live range; 0 is none. */
typedef uint64_t lode_range;

/** How lode_offset_create() makes one. Zero in any field means the default. */
struct lode_offset_opts {
    uint32_t size;           /**< sizeof(struct lode_offset_opts), set by LODE_OFFSET_OPTS_INIT */
    uint16_t tag;            /**< of the heap made for its tables; not together with `heap` */
    uint16_t flags;          /**< must be 0 */
    uint64_t granule;        /**< a power of two: all offsets and sizes are multiples; default 1 */
    uint32_t initial_ranges; /**< table for so many ranges, live and free; default 128 */
    uint32_t max_ranges;     /**< never for more; default: no limit but 2^32 - 2 */
    struct lode_heap *heap;  /**< borrowed; default: one of its own */
    const char *name;        /**< copied, at most 31 bytes kept; default "offset" */
};

#define LODE_OFFSET_OPTS_INIT                                                \
    {                                                                        \
        (uint32_t)sizeof(struct lode_offset_opts), 0, 0, 0, 0, 0, NULL, NULL \
    }

/**
 * Create an allocator of the offsets [0, `bytes`).
 *
 * @bytes       Rounded down to the granule; 0 is fine, see lode_offset_grow(). Below 2^48
 *              granules.
 * @opts        Borrowed for the call; NULL for all defaults.
 * @ret_offset  Written only on success: the caller owns it, and ends it with lode_offset_destroy().
 * Returns      0; -EINVAL granule no power of two, flags, tag and heap both, initial_ranges over
 *              max_ranges, too many bytes; -E2BIG opts has a non-zero tail this version does not
 *              know; -ENOMEM.
 * Threads      Any, concurrently.
 */
LODE_API LODE_NODISCARD int lode_offset_create(uint64_t bytes, const struct lode_offset_opts *opts,
                                               struct lode_offset **ret_offset);

/** End the allocator; NULL is fine. */
LODE_API void lode_offset_destroy(struct lode_offset *offset);

/**
 * Allocate a range.
 *
 * @bytes      Rounded up to the granule; 0 counts as 1.
 * @align      A power of two; 0, and everything below the granule, means the granule.
 * @ret_at     Written only on success: where the range starts.
 * @ret_range  Written only on success: its name, to be given to lode_offset_free().
 * Returns     0; -EINVAL bad alignment; -ENOSPC no free range holds it; -ENOMEM no memory for the
 *             table, or max_ranges are there. On failure nothing changed.
 * Source      Two levels of bit masks over size bins, as in TLSF (Masmano et al., ECRTS 2004); bins
 *             as in a floating-point number of 3 mantissa bits, and no header in the memory, after
 *             an idea of S. Aaltonen's OffsetAllocator. The search of the own bin is ours.
 */
LODE_API LODE_NODISCARD int lode_offset_alloc(struct lode_offset *offset, uint64_t bytes,
                                              uint64_t align, uint64_t *ret_at,
                                              lode_range *ret_range);

/** Free a range. Returns 0; -EINVAL not the name of a live range (0 too); nothing changed. */
LODE_API LODE_NODISCARD int lode_offset_free(struct lode_offset *offset, lode_range range);

/**
 * Make a range longer or shorter where it is; 0 counts as 1 byte.
 * Returns 0; -EINVAL not the name of a live range; -ENOSPC what lies behind it is in use, or the
 * end; -ENOMEM as lode_offset_alloc(), but only where what it gives up becomes a free range of its
 * own. On failure nothing changed.
 */
LODE_API LODE_NODISCARD int lode_offset_extend(struct lode_offset *offset, lode_range range,
                                               uint64_t bytes);

/** Tell where a live range is and how long, as rounded. Either pointer may be NULL. Returns 0;
 * -EINVAL not the name of a live range. */
LODE_API LODE_NODISCARD int lode_offset_find(const struct lode_offset *offset, lode_range range,
                                             uint64_t *ret_at, uint64_t *ret_bytes);

/** 1: such an allocation would find a range now; 0: not, or bad alignment. */
LODE_API int lode_offset_can_allocate(struct lode_offset *offset, uint64_t bytes, uint64_t align);

/**
 * The thing behind has grown: from now on there are offsets up to `bytes`.
 * Returns 0; -EINVAL less than now, or too many; -ENOMEM; on failure nothing changed.
 */
LODE_API LODE_NODISCARD int lode_offset_grow(struct lode_offset *offset, uint64_t bytes);

/** Free every range; their names stay invalid for ever. */
LODE_API void lode_offset_reset(struct lode_offset *offset);

/** Figures, of the offsets and not of memory but for table_bytes. Always exact. */
struct lode_offset_stats {
    uint64_t total_bytes;
    uint64_t used_bytes; /**< in live ranges, as rounded */
    uint64_t peak_used_bytes;
    uint64_t free_bytes;         /**< used + free = total */
    uint64_t largest_free_bytes; /**< such a request, aligned to the granule, succeeds */
    uint64_t ranges;             /**< live */
    uint64_t free_ranges;
    uint64_t allocs;   /**< ever */
    uint64_t frees;    /**< ever */
    uint64_t failures; /**< requests that failed, ever */
    uint64_t table_bytes;
};

LODE_API void lode_offset_stats(const struct lode_offset *offset,
                                struct lode_offset_stats *ret_stats);

/** Called for a range; `range` is 0 for a free one. A non-zero return ends the walk. It may not
 * change the allocator. */
typedef int (*lode_offset_visitor)(void *ctx, uint64_t at, uint64_t bytes, lode_range range);

/** All ranges, free ones too, in rising order; every offset is in one. Returns 0 or what a visit
 * returned. */
LODE_API int lode_offset_walk(const struct lode_offset *offset, lode_offset_visitor visit,
                              void *ctx);

#ifdef __cplusplus
}
#endif
#endif
