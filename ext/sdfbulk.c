/* SPDX-License-Identifier: MIT */
/*
 * Many bricks at a time: stored, allocated, freed. Owns nothing.
 *
 * Storing goes in batches, in three rounds, each over the whole batch:
 *
 *     blocks from the heap; the lines of block and payload that come first are fetched ahead
 *     payloads are copied
 *     bricks are published, the group of one being the likely one of the next
 *
 * A publish is a locked instruction and waits until all stores before it have reached the cache;
 * after each copy it would wait for the block's lines every time, after a batch of copies they
 * arrive together.
 */
#include <errno.h>
#include <string.h>

#include "ext/grace.h"
#include "ext/sdfpool.h"

#define BATCH 16

struct batch {
    struct lode_sdf *sdf;
    struct lodei_channel *channel;
    struct lodei_sdf_near near;
    uint64_t moves; /* of the window, before places were checked */
    int status;     /* the first error */
    unsigned count;
    const struct lode_sdf_item *items;
    void *blocks[BATCH]; /* NULL: not to be stored */
    uint16_t kinds[BATCH];
};

static void batch_fail(struct batch *batch, int status)
{
    if (batch->status == 0)
        batch->status = status;
}

static unsigned tier_of(const struct batch *batch, const struct lode_sdf_item *item)
{
    return batch->channel->format == LODE_CHANNEL_SDF ? item->tier - 1u : LODEI_TIER_RAW;
}

static int item_check(const struct batch *batch, const struct lode_sdf_item *item)
{
    unsigned channel = (unsigned)(batch->channel - batch->sdf->channels);
    int status = lodei_sdf_check_place(batch->sdf, channel, item->at);
    if (status == 0 && (item->priority > LODE_PRIORITY_CRITICAL ||
                        (batch->channel->format == LODE_CHANNEL_SDF &&
                         (item->tier == 0 || item->tier > LODE_TIER_COUNT))))
        status = -EINVAL;
    return status;
}

static size_t item_bytes(const struct batch *batch, const struct lode_sdf_item *item)
{
    if (batch->channel->format != LODE_CHANNEL_SDF)
        return lodei_sdf_raw_bytes(batch->sdf, batch->channel);
    return lodei_sdf_payload_bytes(lodei_tier_bits(item->tier - 1u), batch->sdf->dim);
}

#define FETCHED 4 /* lines of each; what follows the processor fetches ahead itself */

static void fetch_ahead(const void *payload, void *block)
{
    for (unsigned line = 0; line < FETCHED; line++) {
        __builtin_prefetch((const char *)payload + 64 * line);
        __builtin_prefetch((char *)block + 64 * line, 1);
    }
}

static void batch_blocks(struct batch *batch)
{
    for (unsigned i = 0; i < batch->count; i++) {
        const struct lode_sdf_item *item = &batch->items[i];
        int status = item_check(batch, item);
        batch->blocks[i] = NULL;
        if (status == 0) {
            unsigned tier = tier_of(batch, item);
            unsigned class =
                tier != LODEI_TIER_RAW ? lodei_sdf_band_class(batch->sdf, item->material) : 0;
            batch->kinds[i] = (uint16_t)lodei_kind(tier, class, item->priority);
            batch->blocks[i] = lodei_sdf_block(batch->sdf, batch->channel, tier);
            status = batch->blocks[i] != NULL ? 0 : -ENOMEM;
        }
        if (status == 0)
            fetch_ahead(item->payload, batch->blocks[i]);
        else
            batch_fail(batch, status);
    }
}

static void batch_copy(struct batch *batch)
{
    for (unsigned i = 0; i < batch->count; i++)
        if (batch->blocks[i] != NULL)
            memcpy(batch->blocks[i], batch->items[i].payload, item_bytes(batch, &batch->items[i]));
}

static lode_handle publish(struct batch *batch, unsigned i)
{
    lode_handle brick = LODE_HANDLE_NULL;
    struct lode_ivec3 at = batch->items[i].at;
    int status = lodei_sdf_publish(batch->sdf, batch->channel, &batch->near, at, batch->blocks[i],
                                   batch->kinds[i], &brick);
    if (status == 0)
        status = lodei_sdf_confirm(batch->sdf, batch->moves, at, brick);
    else if (status == -EEXIST || status == -ENOSPC) /* one is there, and gets a version */
        status = lodei_sdf_put(batch->sdf, batch->channel, batch->moves, at, batch->blocks[i],
                               batch->kinds[i], &brick);
    else
        lode_free(batch->blocks[i]);
    if (status == 0)
        return brick;
    batch_fail(batch, status);
    return LODE_HANDLE_NULL;
}

int lode_sdf_store_many(struct lode_sdf *sdf, unsigned channel, const struct lode_sdf_item *items,
                        size_t count, lode_handle *ret_bricks)
{
    struct batch batch = {.sdf = sdf, .near = LODEI_SDF_NEAR_NOTHING};
    if (channel >= sdf->channel_count)
        return -EINVAL;
    batch.channel = &sdf->channels[channel];
    for (size_t done = 0; done < count; done += batch.count) {
        batch.items = items + done;
        batch.count = count - done < BATCH ? (unsigned)(count - done) : BATCH;
        batch.moves = lodei_sdf_moves(sdf);
        batch_blocks(&batch);
        batch_copy(&batch);
        for (unsigned i = 0; i < batch.count; i++) {
            lode_handle brick = batch.blocks[i] != NULL ? publish(&batch, i) : LODE_HANDLE_NULL;
            if (ret_bricks != NULL)
                ret_bricks[done + i] = brick;
        }
    }
    return batch.status;
}

int lode_sdf_bricks_alloc(struct lode_sdf *sdf, unsigned channel, const struct lode_ivec3 *at,
                          size_t count, enum lode_tier tier, lode_handle *ret_bricks)
{
    for (size_t i = 0; i < count; i++) {
        int status = lode_sdf_brick_alloc(sdf, channel, at[i], tier, &ret_bricks[i]);
        if (status != 0) {
            (void)lode_sdf_bricks_free(sdf, ret_bricks, i);
            return status;
        }
    }
    return 0;
}

#define FREED 64 /* blocks that are freed together */

int lode_sdf_bricks_free(struct lode_sdf *sdf, const lode_handle *bricks, size_t count)
{
    void *blocks[FREED];
    size_t waiting = 0;
    int first = 0;
    for (size_t i = 0; i < count; i++) {
        int known = lodei_sdf_channel_of(sdf, bricks[i]) != NULL;
        int status = known ? lodei_sdf_withdraw(sdf, bricks[i], &blocks[waiting]) : -EINVAL;
        if (status == 0 && blocks[waiting] != NULL && ++waiting == FREED) {
            lodei_grace_free_all(blocks, waiting);
            waiting = 0;
        }
        if (first == 0)
            first = status;
    }
    lodei_grace_free_all(blocks, waiting);
    return first;
}
