/* SPDX-License-Identifier: MIT */
/**
 * @file sdf.h
 * Narrow-band signed distance fields in bricks (liblode-ext.so).
 *
 * A field is a sparse set of cubic bricks, 8^3 voxels (4^3 and 16^3 by option), wherever the
 * distance to a surface is less than the band. Distances are in voxels, negative inside what is
 * solid. A brick is kept in one of three precision tiers:
 *
 *     tier               bits  bytes at 8^3   quantum at band 4
 *     LODE_TIER_HIGH      16       1024         0.00012
 *     LODE_TIER_MID        8        512         0.031
 *     LODE_TIER_LOW        4        256         0.5
 *
 * quantum = 2 * band / 2^bits, mid-riser: no code means 0, so the sign never changes; the error is
 * at most half a quantum, and what lies beyond the band becomes the band. Codes are little-endian,
 * 4-bit ones two to a byte, the even voxel low. Voxel (x, y, z) of a brick has index
 * x + dim * (y + dim * z).
 *
 * Nothing but voxels is in a brick's block. Each tier is a first-class heap with a tag of its own,
 * so every tool that knows heaps shows tiers; the index costs 12 bytes a brick, and what groups of
 * 2 x 2 x 2 bricks share, out of line.
 *
 *     struct lode_sdf_opts o = LODE_SDF_OPTS_INIT;
 *     struct lode_sdf *field;
 *     if (lode_sdf_create(&o, &field) == 0) {
 *         lode_handle brick;
 *         struct lode_ivec3 at = {-3, 0, 12};
 *         float values[512];
 *         ...
 *         if (lode_sdf_store(field, 0, at, values, NULL, &brick) == 0) ...
 *         lode_sdf_destroy(field);
 *     }
 *
 * Channels: besides distances a field may carry other values per voxel, of 1 or 2 bytes, stored as
 * they are (material, light); each channel has its own bricks. Coordinates are of bricks, signed,
 * -2^20 .. 2^20 - 1 on each axis; outside: -ERANGE.
 *
 * Threads: all calls from any thread, concurrently, but create, destroy and, see there, band_set.
 * Every read gives one whole version of each brick, while others edit; readers take no lock, and
 * wait for no edit: only for the few instructions in which a brick is freed just then. Two edits of
 * one brick at once: each is applied, none is lost (lode_sdf_edit), or the later one stays (store,
 * encode).
 */
#ifndef LODE_SDF_H
#define LODE_SDF_H

#include <stddef.h>
#include <stdint.h>

#include "lode/handle.h"

#ifdef __cplusplus
extern "C" {
#endif

#ifndef LODE_IVEC3_DEFINED
#define LODE_IVEC3_DEFINED
struct lode_ivec3 {
    int32_t x, y, z;
};
#endif

enum lode_tier {
    LODE_TIER_HIGH = 0, /**< 16 bits a voxel */
    LODE_TIER_MID = 1,  /**< 8 */
    LODE_TIER_LOW = 2,  /**< 4 */
};
#define LODE_TIER_COUNT 3

/** Who goes first when memory is short: see lode_sdf_evict(). */
enum lode_brick_priority {
    LODE_PRIORITY_NORMAL = 0,
    LODE_PRIORITY_CACHED = 1, /**< before normal: can be had again cheaply */
    LODE_PRIORITY_IMPORTANT = 2,
    LODE_PRIORITY_CRITICAL = 3, /**< gameplay depends on it: last */
};

enum lode_channel_format {
    LODE_CHANNEL_SDF = 0,   /**< distances, tiered */
    LODE_CHANNEL_RAW8 = 1,  /**< uint8_t per voxel */
    LODE_CHANNEL_RAW16 = 2, /**< uint16_t per voxel */
};
#define LODE_CHANNELS_MAX 8
/** Different band widths in one field. */
#define LODE_BANDS_MAX 64

struct lode_sdf;

/** How lode_sdf_create() makes a field. Zero in any field means the default. */
struct lode_sdf_opts {
    uint32_t size;         /**< sizeof(struct lode_sdf_opts), set by LODE_SDF_OPTS_INIT */
    uint8_t brick_dim;     /**< 4, 8 or 16; 0: 8 */
    uint8_t channel_count; /**< 1 .. LODE_CHANNELS_MAX; 0: 1 */
    uint8_t formats[LODE_CHANNELS_MAX]; /**< enum lode_channel_format */
    uint16_t tags[LODE_TIER_COUNT];     /**< of the tiers' heaps */
    uint16_t raw_tag;                   /**< of the heap of all raw channels */
    uint16_t reserved;
    float band;                               /**< width on either side, voxels; 0: 4 */
    float tier_distance[LODE_TIER_COUNT - 1]; /**< least |distance| in a brick from which it is MID,
                                                 and LOW, by lode_sdf_tier_at(); 0: 1 voxel, and
                                                 twice the first; not falling */
    uint32_t max_bricks;                      /**< over all channels; 0: no limit */
    uint32_t cache_bricks; /**< decoded bricks kept, per tier, rounded up to 4 times a
                              power of two, at most 2^22; 0: 64 */
    uint32_t ready_bricks; /**< blocks kept ready for tools, per tier, at most 512: see predict.h;
                              0: 64 */
    const char *name;      /**< copied, at most 23 bytes kept; NULL: "sdf" */
};

#ifdef __cplusplus
#define LODE_SDF_OPTS_INIT                                                               \
    {                                                                                    \
        (uint32_t)sizeof(struct lode_sdf_opts), 0, 0, {}, {}, 0, 0, 0, {}, 0, 0, 0, NULL \
    }
#else
#define LODE_SDF_OPTS_INIT                             \
    {                                                  \
        .size = (uint32_t)sizeof(struct lode_sdf_opts) \
    }
#endif

/**
 * Create a field without bricks.
 *
 * Returns  0; -EINVAL a bad dim, format, band (0x1p-64 .. 0x1p64) or tier distances; -E2BIG a
 *          non-zero tail of opts; -ENOMEM.
 */
LODE_API LODE_NODISCARD int lode_sdf_create(const struct lode_sdf_opts *opts,
                                            struct lode_sdf **ret_sdf);

/** Destroy a field and all its bricks at once. Their handles become stale; pins are void. NULL is
 * fine. Nobody may use it any more; not within a reading section, nor an edit (misuse: one line and
 * abort). */
LODE_API void lode_sdf_destroy(struct lode_sdf *sdf);

/** Bytes of a brick's block: voxels x bits / 8, at least 64; 0 for a bad channel or tier. */
LODE_API size_t lode_sdf_brick_bytes(const struct lode_sdf *sdf, unsigned channel,
                                     enum lode_tier tier);

/** The tier for a brick whose least |distance| to the surface is `distance`. */
LODE_API enum lode_tier lode_sdf_tier_at(const struct lode_sdf *sdf, float distance);

/**
 * From now on bricks stored with `material` have this band. Those there are keep theirs, and so do
 * bricks of lode_sdf_brick_alloc(), which have the field's.
 *
 * Returns  0; -EINVAL bad width; -ENOSPC bricks and materials have LODE_BANDS_MAX other widths, or,
 *          within a reading section, or while a brick is edited that was replaced or freed
 *          meanwhile, had; -ENOMEM. Unchanged on failure.
 * Threads  One at a time, nobody storing bricks of this material meanwhile. May wait for the
 *          reading sections of others.
 */
LODE_API LODE_NODISCARD int lode_sdf_band_set(struct lode_sdf *sdf, uint16_t material, float width);
LODE_API float lode_sdf_band(const struct lode_sdf *sdf, uint16_t material);

/* ---- bricks ---- */

/** How a brick is to be stored. NULL where one is taken: all zero, tier by distance. */
struct lode_brick_opts {
    uint32_t size; /**< sizeof(struct lode_brick_opts) */
    uint16_t material;
    uint8_t tier;     /**< 1 + enum lode_tier; 0: by lode_sdf_tier_at() of its least |distance| */
    uint8_t priority; /**< enum lode_brick_priority */
};

/**
 * Allocate one brick at `at`, not yet encoded.
 *
 * @channel    Below channel_count. `tier` is ignored for raw channels.
 * @ret_brick  Written only on success: freed with lode_sdf_brick_free(). Its block,
 *             lode_sdf_brick_bytes() long, 64-byte aligned, is uninitialised, and others find it.
 * Returns     0; -EINVAL bad channel or tier; -ERANGE coordinate out of range or out of the
 *             window; -EEXIST there is a brick; -ENOSPC max_bricks, or 2^32 bricks have lived at
 *             this coordinate; -ENOMEM. The field is unchanged on failure.
 * Source      Ours.
 */
LODE_API LODE_NODISCARD int lode_sdf_brick_alloc(struct lode_sdf *sdf, unsigned channel,
                                                 struct lode_ivec3 at, enum lode_tier tier,
                                                 lode_handle *ret_brick);

/**
 * Free a brick.
 * Returns  0; -ESTALE it is gone already; -EINVAL not of this field, or null. Here and below: a
 *          handle of a field that was destroyed is either, for its slot may be another field's now.
 */
LODE_API int lode_sdf_brick_free(struct lode_sdf *sdf, lode_handle brick);

/**
 * lode_sdf_brick_alloc() for `count` coordinates, all or none.
 * Returns  as for one; no brick was made then, and what is in ret_bricks is undefined. A coordinate
 *          that comes twice is -EEXIST.
 */
LODE_API LODE_NODISCARD int lode_sdf_bricks_alloc(struct lode_sdf *sdf, unsigned channel,
                                                  const struct lode_ivec3 *at, size_t count,
                                                  enum lode_tier tier, lode_handle *ret_bricks);
/** Free all of them; the first error, after trying every one. */
LODE_API int lode_sdf_bricks_free(struct lode_sdf *sdf, const lode_handle *bricks, size_t count);

/** The brick at a coordinate. 0; -ENOENT none; -EINVAL bad channel; -ERANGE. */
LODE_API LODE_NODISCARD int lode_sdf_find(struct lode_sdf *sdf, unsigned channel,
                                          struct lode_ivec3 at, lode_handle *ret_brick);

struct lode_brick_info {
    struct lode_ivec3 at;
    uint16_t channel;
    uint8_t tier;     /**< enum lode_tier */
    uint8_t priority; /**< enum lode_brick_priority */
    float band;
    uint32_t bytes;
};

/** What is known of a brick. 0; -ESTALE; -EINVAL not of this field. */
LODE_API LODE_NODISCARD int lode_sdf_brick_info(const struct lode_sdf *sdf, lode_handle brick,
                                                struct lode_brick_info *ret_info);
/** Change a brick's priority. 0; -ESTALE; -EINVAL not of this field, bad priority; -ENOMEM
 * (handle.h). */
LODE_API int lode_sdf_priority_set(struct lode_sdf *sdf, lode_handle brick,
                                   enum lode_brick_priority priority);

/* ---- contents ---- */

/**
 * Store distances at `at`: a brick is made if there is none, and shown to others when it is whole;
 * else it gets a new version, and its tier, band and priority are those of `opts`, too.
 *
 * @values  float[dim][dim][dim], x fastest. NaN counts as +band.
 * Returns  0; -EINVAL bad channel (raw, too), tier or priority; -ERANGE; -E2BIG; -ENOSPC; -ENOMEM.
 */
LODE_API LODE_NODISCARD int lode_sdf_store(struct lode_sdf *sdf, unsigned channel,
                                           struct lode_ivec3 at, const float *values,
                                           const struct lode_brick_opts *opts,
                                           lode_handle *ret_brick);

/**
 * As lode_sdf_store(), but `payload` is what a brick's block of that tier holds already,
 * lode_sdf_brick_bytes() long, copied unchanged: how bricks come from a file. opts->tier has to be
 * given. -EINVAL also if it is not, and for a raw channel.
 */
LODE_API LODE_NODISCARD int lode_sdf_store_packed(struct lode_sdf *sdf, unsigned channel,
                                                  struct lode_ivec3 at, const void *payload,
                                                  const struct lode_brick_opts *opts,
                                                  lode_handle *ret_brick);

/** A brick to be stored as its block holds it: `payload` is lode_sdf_brick_bytes() long. */
struct lode_sdf_item {
    struct lode_ivec3 at;
    uint16_t material;   /**< distances: for the band */
    uint8_t tier;        /**< distances: enum lode_tier + 1, as in struct lode_brick_opts */
    uint8_t priority;    /**< enum lode_brick_priority */
    const void *payload; /**< copied */
};

/**
 * Store many bricks of one channel, as lode_sdf_store_packed() or, of a raw channel,
 * lode_sdf_raw_store() does one after the other: how a layer enters a window. Faster than those
 * when neighbours of 2 x 2 x 2 are near each other in `items`, in any order: memory is fetched
 * ahead, and what others have to see is written once for several.
 *
 * @ret_bricks  A handle for each; LODE_HANDLE_NULL for one that could not be stored. NULL is fine.
 * Returns      0, or the first error, after trying every one: as those two.
 */
LODE_API LODE_NODISCARD int lode_sdf_store_many(struct lode_sdf *sdf, unsigned channel,
                                                const struct lode_sdf_item *items, size_t count,
                                                lode_handle *ret_bricks);

/** New contents for a brick, its tier and band kept. 0; -ESTALE; -EINVAL not of this field, a raw
 * channel; -ENOMEM. */
LODE_API LODE_NODISCARD int lode_sdf_encode(struct lode_sdf *sdf, lode_handle brick,
                                            const float *values);
/** Read a brick. 0; -ESTALE; -EINVAL not of this field, a raw channel; -ENOMEM (handle.h). */
LODE_API LODE_NODISCARD int lode_sdf_decode(struct lode_sdf *sdf, lode_handle brick,
                                            float *ret_values);

/**
 * Decode a payload that the caller holds: from a file, or in place, by lode_pin() or lode_peek().
 * Returns  0; -EINVAL bad tier or band. Nothing is looked up, no section is opened.
 */
LODE_API LODE_NODISCARD int lode_sdf_unpack(const struct lode_sdf *sdf, enum lode_tier tier,
                                            float band, const void *payload, float *ret_values);

/** Changes `values` in place; may be called again with the values as another thread's edit left
 * them. Returns 0 to keep the change, 1 to leave the brick as it is, or -errno, likewise. */
typedef int (*lode_sdf_editor)(void *ctx, float *values);

/**
 * Decode, change and encode a brick as one edit.
 * Returns  0; what `editor` returned that was not 0; -ESTALE; -EINVAL; -ENOMEM.
 * Threads  The editor runs under no lock and in no reading section: it opens one for what else it
 *          reads. It must return: no longjmp(), no exception, no end of its thread.
 */
LODE_API LODE_NODISCARD int lode_sdf_edit(struct lode_sdf *sdf, lode_handle brick,
                                          lode_sdf_editor editor, void *ctx);

/** Elements of a raw channel's brick, dim^3 of them; store makes the brick if there is none.
 * 0; -EINVAL not a raw channel; and as for the calls above. */
LODE_API LODE_NODISCARD int lode_sdf_raw_store(struct lode_sdf *sdf, unsigned channel,
                                               struct lode_ivec3 at, const void *elements,
                                               const struct lode_brick_opts *opts,
                                               lode_handle *ret_brick);
LODE_API LODE_NODISCARD int lode_sdf_raw_read(struct lode_sdf *sdf, lode_handle brick,
                                              void *ret_elements);

/** Keep a brick in another tier from now on; the handle stays. Also to the tier it has.
 * Returns  0; -EINVAL bad tier, not of this field, a raw channel; -ESTALE; -ENOMEM, unchanged. */
LODE_API LODE_NODISCARD int lode_sdf_retier(struct lode_sdf *sdf, lode_handle brick,
                                            enum lode_tier tier);

/* ---- the window ---- */

/** Coordinates of bricks, both ends in. */
struct lode_brick_box {
    struct lode_ivec3 lo, hi;
};

struct lode_sdf_window_stats {
    uint32_t freed_bricks;
    uint32_t reserved;
    uint64_t freed_bytes;
};

/**
 * Bricks may be only in `window` from now on; those that are not are freed. The first call sets the
 * window.
 *
 * @ret_stats  NULL is fine; written only on success.
 * Returns     0; -EINVAL a lo is above its hi; -ERANGE part of it is out of range. Nothing changed
 *             on failure.
 * Threads     Any; moves wait for each other. A brick being made outside meanwhile is either freed
 *             by this call, or -ERANGE for its maker.
 */
LODE_API LODE_NODISCARD int lode_sdf_window_move(struct lode_sdf *sdf,
                                                 const struct lode_brick_box *window,
                                                 struct lode_sdf_window_stats *ret_stats);

/**
 * Free every brick of every channel in a box: what one of several viewers leaves behind. No window
 * is needed, and one that is set stays.
 *
 * @ret_stats  NULL is fine; written only on success.
 * Returns     0; -EINVAL a lo is above its hi; -ERANGE part of it is out of range. Nothing changed
 *             on failure.
 * Threads     Any. A brick being made in the box meanwhile is freed, or not.
 */
LODE_API LODE_NODISCARD int lode_sdf_box_free(struct lode_sdf *sdf,
                                              const struct lode_brick_box *box,
                                              struct lode_sdf_window_stats *ret_stats);

/** Called for a brick that was evicted; no lock is held. */
typedef void (*lode_sdf_evicted)(void *ctx, unsigned channel, struct lode_ivec3 at);

/**
 * Free bricks until `bytes` of blocks are freed, after those kept ready for tools: cached ones
 * first, then normal, important and, last, critical; among equals those farthest from the window's
 * centre (without one: from the origin). Pinned ones go, too; their memory is free when the last
 * pin ends.
 *
 * @evicted  NULL is fine; may make bricks.
 * Returns   bytes freed; less than asked for when there is no brick left. Needs no memory; with
 *           some for a list it is faster.
 */
LODE_API size_t lode_sdf_evict(struct lode_sdf *sdf, size_t bytes, lode_sdf_evicted evicted,
                               void *ctx);

/** Give back what the index keeps for bricks that are gone, or never came, and what is kept ready
 * for tools. Returns groups given back. */
LODE_API size_t lode_sdf_trim(struct lode_sdf *sdf);

/* ---- reading across bricks ---- */

/** Called for a brick; a non-zero return ends the walk. No lock is held; it may edit and free. */
typedef int (*lode_brick_visitor)(void *ctx, lode_handle brick, struct lode_ivec3 at);

/**
 * Every brick of a channel, or those in a box, in no particular order. Bricks made or freed
 * meanwhile may be seen or not. Returns 0, what a visit returned, or -EINVAL bad channel.
 */
LODE_API LODE_NODISCARD int lode_sdf_each(struct lode_sdf *sdf, unsigned channel,
                                          const struct lode_brick_box *box,
                                          lode_brick_visitor visit, void *ctx);

/** A brick within the band iterator; all of it is good for the visit only. */
struct lode_band_brick {
    lode_handle brick;
    struct lode_ivec3 at;
    uint32_t voxel_count;   /**< with |distance| < width; never 0 */
    const float *values;    /**< float[dim][dim][dim] */
    const uint64_t *voxels; /**< a bit per voxel: dim^3 / 64 words, or one */
};
typedef int (*lode_band_visitor)(void *ctx, const struct lode_band_brick *brick);

/** The band iterator: every brick with voxels nearer to the surface than `width`, and which. A
 * voxel beyond the band counts as the band less half a quantum: only a smaller width tells. As
 * lode_sdf_each(); -EINVAL a raw channel, too; -ENOMEM (handle.h). */
LODE_API LODE_NODISCARD int lode_sdf_band_each(struct lode_sdf *sdf, unsigned channel,
                                               const struct lode_brick_box *box, float width,
                                               lode_band_visitor visit, void *ctx);

struct lode_sdf_point {
    float value, gradient[3]; /**< distance, and its change per voxel */
};

/**
 * The distance at a point by trilinear interpolation; voxel (i, j, k) has its value at
 * (i + 0.5, j + 0.5, k + 0.5). Where a neighbouring brick is missing, its voxels count as the band
 * of the nearest of the eight voxels that is there, with its sign. A float that far out has steps
 * of point * 2^-24.
 *
 * Returns  0; -ENOENT none of the eight voxels around the point is in a brick; -ERANGE one of them
 *          is out of range, or a coordinate is NaN; -EINVAL bad channel (raw, too); -ENOMEM.
 */
LODE_API LODE_NODISCARD int lode_sdf_sample(struct lode_sdf *sdf, unsigned channel,
                                            const float point[3], struct lode_sdf_point *ret_point);

/** lode_sdf_sample() for many points, with the same results, in one reading section; faster when
 * points in the same brick follow each other. Points without a value get NaNs. Returns how many
 * have one, or -errno. */
LODE_API LODE_NODISCARD int64_t lode_sdf_sample_many(struct lode_sdf *sdf, unsigned channel,
                                                     const float (*points)[3], size_t count,
                                                     struct lode_sdf_point *ret_points);

/**
 * A brick with `apron` voxels of its neighbours around it, for meshers:
 * float[dim + 2 * apron]^3. Missing neighbours as in lode_cursor_value().
 *
 * @apron   0 .. dim.
 * Returns  0; -ENOENT no brick at `at`; -EINVAL bad apron or channel (raw, too); -ERANGE; -ENOMEM;
 *          nothing is written on failure. The bricks are each one whole
 *          version; of different bricks, versions of slightly different times.
 */
LODE_API LODE_NODISCARD int lode_sdf_decode_apron(struct lode_sdf *sdf, unsigned channel,
                                                  struct lode_ivec3 at, unsigned apron,
                                                  float *ret_values);

/**
 * A cursor: a brick and its 26 neighbours, found once. For reading voxels around a place.
 * Made by lode_cursor_move(), within a reading section, good until the section's end.
 */
struct lode_cursor {
    struct lode_sdf *sdf;
    struct lode_ivec3 at;
    uint32_t channel;
    uint32_t dim;
    uint32_t reserved;
    lode_handle bricks[27]; /**< (dx + 1) + 3 * (dy + 1) + 9 * (dz + 1); 0: none */
    const void *blocks[27]; /**< NULL: none */
    uint64_t section;       /**< in which it was found */
    float quantum[27];
    uint8_t bits[27];
    uint8_t reserved2;
};

/**
 * Put the cursor at a brick. A cursor all zero is fine; one that is moved by a step keeps what it
 * found. 0; -ENOENT: no brick at `at` (neighbours are found all the same); -EINVAL bad channel
 * (raw, too), or not within a reading section; -ERANGE. The last two leave the cursor as it was.
 */
LODE_API LODE_NODISCARD int lode_cursor_move(struct lode_cursor *cursor, struct lode_sdf *sdf,
                                             unsigned channel, struct lode_ivec3 at);

/** The voxel (x, y, z) from the cursor's brick's first voxel, each -dim .. 2 * dim - 1; there must
 * be a brick at the cursor. A voxel of a missing neighbour counts as the band, with the sign of the
 * nearest voxel of the cursor's brick. */
LODE_API float lode_cursor_value(const struct lode_cursor *cursor, int x, int y, int z);

/* ---- decoded bricks ---- */

/** A decoded brick of the cache, held until lode_view_end(). */
struct lode_view {
    const float *values; /**< float[dim][dim][dim] */
    void *entry;
};

/**
 * The values of a brick, decoded once and kept as long as it is asked for. An edit makes the next
 * view decode again; a view that is held keeps the version it has.
 *
 * Returns  0; -ESTALE; -EINVAL not of this field, a raw channel; -ENOMEM.
 * Threads  Any; a view is ended by any thread. Short locks; the decoding is done outside of them.
 */
LODE_API LODE_NODISCARD int lode_view_begin(struct lode_sdf *sdf, lode_handle brick,
                                            struct lode_view *ret_view);
LODE_API void lode_view_end(struct lode_sdf *sdf, struct lode_view *view);

/* ---- figures ---- */

struct lode_tier_stats {
    uint64_t bricks;
    uint64_t brick_bytes;  /**< bricks x bytes of one */
    uint64_t mapped_bytes; /**< of the tier's heap */
    uint64_t cache_hits, cache_misses;
    uint64_t retiered;     /**< bricks that came from another tier */
    uint64_t ready_blocks; /**< kept for tools; in none of the above but mapped_bytes */
};

struct lode_sdf_stats {
    uint32_t size; /**< sizeof(struct lode_sdf_stats), set by the caller */
    uint32_t reserved;
    struct lode_tier_stats tiers[LODE_TIER_COUNT];
    struct lode_tier_stats raw;  /**< all raw channels */
    uint64_t index_bytes;        /**< slots and tables, as used */
    uint64_t index_mapped_bytes; /**< as mapped */
    uint64_t groups;             /**< of 2 x 2 x 2 bricks that have slots */
    uint64_t cache_bytes;
    uint64_t predict_bytes; /**< what prediction keeps of places */
    double bits_per_voxel;  /**< (brick_bytes + index_bytes) x 8 / voxels, all channels */
};

/** Count what there is: a walk over all slots. 0; -EINVAL size. Exact when nobody edits. */
LODE_API LODE_NODISCARD int lode_sdf_stats(struct lode_sdf *sdf, struct lode_sdf_stats *stats);

/** The heap of a tier, or with LODE_TIER_COUNT that of the raw channels; for walks and figures. */
LODE_API struct lode_heap *lode_sdf_heap(const struct lode_sdf *sdf, unsigned tier);

#ifdef __cplusplus
}
#endif
#endif
