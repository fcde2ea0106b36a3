/* SPDX-License-Identifier: MIT */
/**
 * @file predict.h
 * Memory ahead of the tool: hints and prediction for fields of bricks (liblode-ext.so).
 *
 * Digging makes bricks where the new surface runs, and the first touch of fresh memory, a span to
 * be cut up or an index to be grown come at the worst time: in the edit. A hint says where a tool
 * will be; the field then
 *
 *   - makes the index for the bricks the tool is about to make,
 *   - keeps blocks of their tiers ready, taken from the heap and touched, which new bricks and new
 *     versions of bricks get first; the blocks of old versions come back to them,
 *   - fetches the blocks of bricks that are there into the cache, nearest first.
 *
 * Best given by another thread, or between two frames; it costs microseconds. A hint that was wrong
 * costs little: blocks kept ready are at most lode_sdf_opts.ready_bricks a tier, and
 * lode_sdf_trim() and lode_sdf_evict() give them and the index back.
 *
 *     struct lode_predictor drill = {0};
 *     for (each edit) {
 *         carve(field, position, radius);
 *         (void)lode_predict_observe(&drill, field, position, radius);
 *     }
 */
#ifndef LODE_PREDICT_H
#define LODE_PREDICT_H

#include <stdint.h>

#include "lode/sdf.h"

#ifdef __cplusplus
extern "C" {
#endif

enum lode_tool {
    LODE_TOOL_DRILL = 0, /**< a bore of `radius` from `position` on, `ahead` along `direction` */
    LODE_TOOL_EXPLOSIVE = 1, /**< a sphere of `radius` around `position` */
    LODE_TOOL_PRECISION = 2, /**< small edits, many of them, in the box `position` +- `radius` */
};

/** What a tool is about to do. Lengths in voxels. */
struct lode_tool_hint {
    uint32_t size; /**< sizeof(struct lode_tool_hint) */
    uint8_t tool;  /**< enum lode_tool */
    uint8_t reserved[3];
    uint32_t channels;  /**< a bit per channel it makes bricks in; 0: only the first */
    float position[3];  /**< as for lode_sdf_sample() */
    float direction[3]; /**< of a drill; of any length but 0 */
    float radius;       /**< more than 8 bricks count as 8 */
    float ahead;        /**< of a drill: speed x time; more than 32 bricks count as 32 */
};

/** At most this many bricks are dealt with for one hint: the nearest, of an explosive those nearest
 * to its surface. */
#define LODE_HINT_BRICKS 1024
/** A brick counts as foretold for so many bricks made after the hint. */
#define LODE_PREDICT_HORIZON 4096

/**
 * Prepare for what a tool is about to do. Bricks are not made, nor changed. A band of more than 8
 * bricks counts as 8.
 *
 * Returns  0; -EINVAL a bad tool, channel, length (negative, or no number) or direction; -ERANGE
 *          `position` is out of range; -E2BIG; -ENOMEM: part of it was done.
 * Threads  Any, concurrently.
 * Source   Ours. Blocks ready per tier: the magazine of Bonwick and Adams ("Magazines and vmem",
 *          2001), filled by whoever knows what is to come.
 */
LODE_API LODE_NODISCARD int lode_sdf_hint(struct lode_sdf *sdf, const struct lode_tool_hint *hint);

/**
 * What is known of one tool from its last edits. All zero is a new one; no memory is behind it.
 * A game has one for each tool that is in use.
 */
struct lode_predictor {
    uint32_t channels;           /**< as in struct lode_tool_hint; set by the caller, or 0 */
    uint32_t steps_ahead;        /**< how many edits to look ahead; set by the caller, or 0: 32 */
    uint32_t observations;       /**< since it started, or jumped */
    float radius;                /**< of the last edit */
    float position[3];           /**< the last one */
    float velocity[3];           /**< estimated, voxels an edit */
    float error;                 /**< how far off the estimate was of late, voxels */
    struct lode_tool_hint given; /**< the last hint that came of it */
};

/**
 * Note an edit, and give a hint if the last one does not reach far enough any more: along the way
 * if the tool moves steadily, around it if it stays or its way cannot be told.
 *
 * Returns  1 a hint was given; 0 the last one is good still; -EINVAL a position or radius that is
 * no number, or a channel there is not; -ERANGE; -ENOMEM. The edit is not noted if its position is
 * refused; else it is. Threads  One at a time for one predictor. Source   The alpha-beta filter
 * (Kalata, "The tracking index", IEEE TAES 20, 1984) with alpha 1, for the position is known
 * exactly, and beta 1/2.
 */
LODE_API LODE_NODISCARD int lode_predict_observe(struct lode_predictor *predictor,
                                                 struct lode_sdf *sdf, const float position[3],
                                                 float radius);

struct lode_predict_stats {
    uint32_t size; /**< sizeof(struct lode_predict_stats), set by the caller */
    uint32_t reserved;
    uint64_t hints;
    uint64_t foretold;       /**< places without a brick that hints named */
    uint64_t made;           /**< bricks made */
    uint64_t made_foretold;  /**< of those, how many a hint had named, at most
                                  LODE_PREDICT_HORIZON bricks before; about right */
    uint64_t acquired;       /**< blocks for bricks and versions */
    uint64_t acquired_ready; /**< of those, how many were ready; the others are misses */
    uint64_t prefetched_bytes;
    uint64_t ready_blocks[LODE_TIER_COUNT]; /**< now */
};

/**
 * How good the hints are. Counting begins with the first hint, or the first call of this.
 * Returns  0; -EINVAL size; -ENOMEM.
 */
LODE_API LODE_NODISCARD int lode_sdf_predict_stats(struct lode_sdf *sdf,
                                                   struct lode_predict_stats *stats);

#ifdef __cplusplus
}
#endif
#endif
