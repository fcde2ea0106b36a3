/* SPDX-License-Identifier: MIT */
/*
 * What is in bricks: storing, reading, editing, changing tier. Nothing is written in place: each
 * change encodes a block of its own and swaps it in (slots.c), so readers take no lock and find one
 * whole version, and a change that fails leaves the old one. An edit that read a version swaps only
 * while it is still the current one; while the edit has a grip on it no other block can get that
 * version's address (slotgrip.c).
 */
#include <errno.h>
#include <string.h>

#include "ext/grace.h"
#include "ext/opts.h"
#include "ext/sdfpool.h"
#include "ext/slotgrip.h"

#define VOXELS_MAX 4096 /* 16^3: 16 KiB of floats on the stack */

/* ---- replacing a version ---- */

/* A version that was replaced. */
struct old {
    void *block;   /* NULL: it is kept, and freed later */
    unsigned tier; /* LODEI_TIER_RAW: of a raw channel, or not known */
};

/* Who frees a brick under an edit has to leave its group where it is. */
static void reclaim_if_gone(struct lode_sdf *sdf, lode_handle brick)
{
    if (lode_unlikely(!lode_handle_is_live(brick)))
        lodei_sdf_group_reclaim(sdf, brick);
}

/* Swap `block` in, or free it. Lets go. */
static int replace(struct lode_sdf *sdf, struct lodei_grip *grip, void *block, unsigned kind,
                   void **ret_old)
{
    int status = lodei_slot_swap_gripped(grip, block, kind, ret_old);
    if (lode_likely(status == 0))
        return 0;
    lode_free(block);
    reclaim_if_gone(sdf, grip->handle);
    return status;
}

/* The same with these values, encoded as the version before was. */
static int replace_values(struct lode_sdf *sdf, struct lodei_grip *grip, const float *values,
                          struct old *ret_old)
{
    unsigned kind = lodei_word_kind(grip->word);
    struct lodei_coding coding = lodei_coding_of(sdf, grip->word);
    void *block = lodei_sdf_block(sdf, NULL, lodei_kind_tier(kind));
    if (block == NULL) {
        lodei_slot_let_go(grip);
        return -ENOMEM;
    }
    (void)lodei_sdf_encode(coding.bits, sdf->dim, coding.band, values, block);
    ret_old->tier = lodei_kind_tier(kind);
    return replace(sdf, grip, block, kind, &ret_old->block);
}

/* One try. -EAGAIN: the brick has changed. */
static int encode_once(struct lode_sdf *sdf, lode_handle brick, const float *values,
                       struct old *ret_old)
{
    struct lodei_grip grip;
    int status = lodei_slot_grip(&grip, brick);
    return status == 0 ? replace_values(sdf, &grip, values, ret_old) : status;
}

/* After a swap: what is known of the version before is old. */
static void replaced(struct lode_sdf *sdf, lode_handle brick, struct old old)
{
    lodei_sdf_cache_drop(sdf, brick);
    lodei_sdf_block_old(sdf, old.block, old.tier);
}

int lode_sdf_encode(struct lode_sdf *sdf, lode_handle brick, const float *values)
{
    struct old old = {0};
    int status = lodei_sdf_check_distances(sdf, brick);
    if (status != 0)
        return status;
    do
        status = encode_once(sdf, brick, values, &old);
    while (status == -EAGAIN);
    if (status == 0)
        replaced(sdf, brick, old);
    return status;
}

/* ---- storing by coordinate ---- */

static int brick_opts_take(const struct lode_brick_opts *opts, struct lode_brick_opts *ret)
{
    int status = lodei_opts_take(opts, ret, sizeof(*ret));
    if (status == 0 && (ret->tier > LODE_TIER_COUNT || ret->priority > LODE_PRIORITY_CRITICAL))
        status = -EINVAL;
    return status;
}

static float least_distance(const float *values, unsigned count)
{
    float least = __builtin_inff();
    for (unsigned i = 0; i < count; i++) {
        float d = __builtin_fabsf(values[i]);
        least = d < least ? d : least;
    }
    return least;
}

/* Give the block to the brick at `at`, new or there already. *ret_old is to be freed. */
static int put_once(struct lode_sdf *sdf, struct lodei_channel *channel, struct lode_ivec3 at,
                    void *block, unsigned kind, lode_handle *ret_brick, void **ret_old)
{
    lode_handle brick = lodei_grid_brick(&channel->grid, at.x, at.y, at.z);
    if (brick == 0) {
        struct lodei_sdf_near near = LODEI_SDF_NEAR_NOTHING;
        return lodei_sdf_publish(sdf, channel, &near, at, block, kind, ret_brick);
    }
    struct lodei_grip grip;
    int status = lodei_slot_grip(&grip, brick);
    if (status == 0)
        status = lodei_slot_swap_gripped(&grip, block, kind, ret_old);
    if (status == 0)
        *ret_brick = brick;
    return status;
}

int lodei_sdf_put(struct lode_sdf *sdf, struct lodei_channel *channel, uint64_t moves,
                  struct lode_ivec3 at, void *block, unsigned kind, lode_handle *ret_brick)
{
    struct old old = {.tier = LODEI_TIER_RAW};
    lode_handle brick = 0;
    int status;
    do
        status = put_once(sdf, channel, at, block, kind, &brick, &old.block);
    while (status == -EEXIST || status == -ESTALE || status == -EAGAIN);
    if (status != 0) {
        lode_free(block);
        return status;
    }
    replaced(sdf, brick, old);
    status = lodei_sdf_confirm(sdf, moves, at, brick);
    if (status == 0)
        *ret_brick = brick;
    return status;
}

int lode_sdf_store(struct lode_sdf *sdf, unsigned channel, struct lode_ivec3 at,
                   const float *values, const struct lode_brick_opts *opts, lode_handle *ret_brick)
{
    struct lode_brick_opts o;
    uint64_t moves = lodei_sdf_moves(sdf);
    int status = lodei_sdf_check_place(sdf, channel, at);
    if (status != 0 || (status = brick_opts_take(opts, &o)) != 0)
        return status;
    struct lodei_channel *c = &sdf->channels[channel];
    if (c->format != LODE_CHANNEL_SDF)
        return -EINVAL;
    unsigned tier = o.tier != 0
                        ? o.tier - 1u
                        : (unsigned)lode_sdf_tier_at(sdf, least_distance(values, sdf->voxels));
    unsigned class = lodei_sdf_band_class(sdf, o.material);
    void *block = lodei_sdf_block(sdf, c, tier);
    if (block == NULL)
        return -ENOMEM;
    (void)lodei_sdf_encode(lodei_tier_bits(tier), sdf->dim, lodei_band(sdf, class), values, block);
    return lodei_sdf_put(sdf, c, moves, at, block, lodei_kind(tier, class, o.priority), ret_brick);
}

int lode_sdf_store_packed(struct lode_sdf *sdf, unsigned channel, struct lode_ivec3 at,
                          const void *payload, const struct lode_brick_opts *opts,
                          lode_handle *ret_brick)
{
    struct lode_brick_opts o;
    uint64_t moves = lodei_sdf_moves(sdf);
    int status = lodei_sdf_check_place(sdf, channel, at);
    if (status != 0 || (status = brick_opts_take(opts, &o)) != 0)
        return status;
    struct lodei_channel *c = &sdf->channels[channel];
    if (c->format != LODE_CHANNEL_SDF || o.tier == 0)
        return -EINVAL;
    unsigned tier = o.tier - 1u;
    void *block = lodei_sdf_block(sdf, c, tier);
    if (block == NULL)
        return -ENOMEM;
    memcpy(block, payload, lodei_sdf_payload_bytes(lodei_tier_bits(tier), sdf->dim));
    return lodei_sdf_put(sdf, c, moves, at, block,
                         lodei_kind(tier, lodei_sdf_band_class(sdf, o.material), o.priority),
                         ret_brick);
}

int lode_sdf_raw_store(struct lode_sdf *sdf, unsigned channel, struct lode_ivec3 at,
                       const void *elements, const struct lode_brick_opts *opts,
                       lode_handle *ret_brick)
{
    struct lode_brick_opts o;
    uint64_t moves = lodei_sdf_moves(sdf);
    int status = lodei_sdf_check_place(sdf, channel, at);
    if (status != 0 || (status = brick_opts_take(opts, &o)) != 0)
        return status;
    struct lodei_channel *c = &sdf->channels[channel];
    if (c->format == LODE_CHANNEL_SDF)
        return -EINVAL;
    void *block = lodei_sdf_block(sdf, c, LODEI_TIER_RAW);
    if (block == NULL)
        return -ENOMEM;
    memcpy(block, elements, lodei_sdf_raw_bytes(sdf, c));
    return lodei_sdf_put(sdf, c, moves, at, block, lodei_kind(LODEI_TIER_RAW, 0, o.priority),
                         ret_brick);
}

/* ---- reading ---- */

int lode_sdf_decode(struct lode_sdf *sdf, lode_handle brick, float *ret_values)
{
    int status = lodei_sdf_check_distances(sdf, brick);
    if (status != 0 || (status = lode_read_begin()) != 0)
        return status;
    uint64_t word = lodei_handle_word(brick);
    if (word != 0) {
        struct lodei_coding coding = lodei_coding_of(sdf, word);
        lodei_sdf_decode(coding.bits, sdf->dim, coding.band, lodei_word_block(word), ret_values);
    }
    lode_read_end();
    return word != 0 ? 0 : -ESTALE;
}

int lode_sdf_unpack(const struct lode_sdf *sdf, enum lode_tier tier, float band,
                    const void *payload, float *ret_values)
{
    if ((unsigned)tier >= LODE_TIER_COUNT || !lodei_sdf_band_valid(band))
        return -EINVAL;
    lodei_sdf_decode(lodei_tier_bits((unsigned)tier), sdf->dim, band, payload, ret_values);
    return 0;
}

int lode_sdf_raw_read(struct lode_sdf *sdf, lode_handle brick, void *ret_elements)
{
    const struct lodei_channel *channel = lodei_sdf_channel_of(sdf, brick);
    if (channel == NULL || channel->format == LODE_CHANNEL_SDF)
        return -EINVAL;
    int status = lode_read_begin();
    if (status != 0)
        return status;
    uint64_t word = lodei_handle_word(brick);
    if (word != 0)
        memcpy(ret_elements, lodei_word_block(word), lodei_sdf_raw_bytes(sdf, channel));
    lode_read_end();
    return word != 0 ? 0 : -ESTALE;
}

/* ---- editing ---- */

/* One try of an edit. *ret_again: somebody else was faster. */
static int edit_once(struct lode_sdf *sdf, lode_handle brick, lode_sdf_editor editor, void *ctx,
                     struct old *ret_old, int *ret_again)
{
    float values[VOXELS_MAX];
    struct lodei_grip grip;
    int status = lodei_slot_grip(&grip, brick);
    *ret_again = 0;
    if (status != 0)
        return status;
    struct lodei_coding coding = lodei_coding_of(sdf, grip.word);
    lodei_sdf_decode(coding.bits, sdf->dim, coding.band, lodei_word_block(grip.word), values);
    status = editor(ctx, values);
    if (status != 0) {
        lodei_slot_let_go(&grip);
        reclaim_if_gone(sdf, brick);
        return status;
    }
    status = replace_values(sdf, &grip, values, ret_old);
    *ret_again = status == -EAGAIN;
    return status;
}

int lode_sdf_edit(struct lode_sdf *sdf, lode_handle brick, lode_sdf_editor editor, void *ctx)
{
    struct old old = {0};
    int again, status = lodei_sdf_check_distances(sdf, brick);
    if (status != 0)
        return status;
    do
        status = edit_once(sdf, brick, editor, ctx, &old, &again);
    while (again);
    if (status == 0)
        replaced(sdf, brick, old);
    return status;
}

/* ---- kinds ---- */

static int retier_once(struct lode_sdf *sdf, lode_handle brick, unsigned tier, struct old *ret_old)
{
    struct lodei_grip grip;
    uint64_t word = lodei_handle_word(brick);
    if (word != 0 && lodei_kind_tier(lodei_word_kind(word)) == tier)
        return 0;
    int status = lodei_slot_grip(&grip, brick);
    if (status != 0)
        return status;
    unsigned kind = lodei_word_kind(grip.word);
    struct lodei_coding coding = lodei_coding_of(sdf, grip.word);
    void *block = lodei_sdf_block(sdf, NULL, tier);
    if (block == NULL) {
        lodei_slot_let_go(&grip);
        return -ENOMEM;
    }
    lodei_sdf_recode(coding.bits, coding.band, lodei_word_block(grip.word), lodei_tier_bits(tier),
                     coding.band, block, sdf->dim);
    ret_old->tier = lodei_kind_tier(kind);
    status = replace(sdf, &grip, block,
                     lodei_kind(tier, lodei_kind_band(kind), lodei_kind_priority(kind)),
                     &ret_old->block);
    if (status == 0)
        atomic_fetch_add_explicit(&sdf->retiered[(uint32_t)brick / 512 % LODEI_RETIERED].to[tier],
                                  1, memory_order_relaxed);
    return status;
}

int lode_sdf_retier(struct lode_sdf *sdf, lode_handle brick, enum lode_tier tier)
{
    struct old old = {0};
    int status = lodei_sdf_check_distances(sdf, brick);
    if (status != 0)
        return status;
    if ((unsigned)tier >= LODE_TIER_COUNT)
        return -EINVAL;
    do
        status = retier_once(sdf, brick, (unsigned)tier, &old);
    while (status == -EAGAIN);
    if (status == 0)
        replaced(sdf, brick, old);
    return status;
}

int lode_sdf_priority_set(struct lode_sdf *sdf, lode_handle brick,
                          enum lode_brick_priority priority)
{
    if (lodei_sdf_channel_of(sdf, brick) == NULL || (unsigned)priority > LODE_PRIORITY_CRITICAL)
        return -EINVAL;
    int status = lode_read_begin();
    if (status != 0)
        return status;
    status = lodei_slot_kind_set(brick, lodei_kind(0, 0, 3), lodei_kind(0, 0, (unsigned)priority));
    lode_read_end();
    return status;
}
