/* SPDX-License-Identifier: MIT */
/*
 * The Morton pool's slots: the granules a chunk is cut into, whose they are, and which slot a new
 * block gets. morton_pool.h says why, shows the structures, and says who guards them: the lock of
 * the stripe, which every caller holds.
 *
 *     chunk->memory    | s s s s | s s s s | s s s s | ...     granules of up to 4 slots
 *     free_slots         0 1 1 0   0 0 0 0   1 1 1 1           one bit a slot
 *     owners             leaf 7    leaf 12   nobody
 *     free_granules                          1
 *
 * A granule with a free slot is on the list of its owner's open granules, linked through `next`; a
 * full one is on no list; a free one is a bit of free_granules. A leaf takes the granule it opened
 * last. Taking a granule off the middle of a list walks it: lists are long only while a full leaf
 * is being emptied, and then 128 at the most.
 *
 * Empty chunks: one is kept in a zone that has less than a quarter of a chunk free elsewhere, so
 * that acquiring and releasing at the brim does not reach the heap.
 *
 * Never calls the program, takes no lock.
 */
#include "ext/morton_pool.h"

#include "base/bitmap.h"
#include "ext/poison.h"

/* A leaf with fewer blocks than this uses the open granules of its neighbours. */
#define SHARE_BELOW 8

/* ---- granules ---- */

/* The free slots of a granule, from bit 0. */
static uint64_t granule_bits(const struct lode_morton_pool *pool,
                             const struct lodei_morton_chunk *chunk, unsigned granule)
{
    unsigned slot = granule * pool->cut.granule_slots;
    return chunk->detail->free_slots[slot / 64] >> slot % 64 &
           ((1u << pool->cut.granule_slots) - 1);
}

/* All its slots; the last granule of a chunk may be short. */
static uint64_t granule_full(const struct lode_morton_pool *pool, unsigned granule)
{
    unsigned left = pool->cut.chunk_slots - granule * pool->cut.granule_slots;
    return (1u << (left < pool->cut.granule_slots ? left : pool->cut.granule_slots)) - 1;
}

static unsigned number_of(const struct lode_morton_pool *pool,
                          const struct lodei_morton_chunk *chunk, unsigned granule)
{
    return chunk->index * pool->cut.chunk_granules + granule;
}

/* A granule with a block in it: owned by the leaf of the first. (Of an unlisted block that is the
 * leaf of the one it stands beside.) */
static void adopt(struct lode_morton_pool *pool, struct lodei_morton_chunk *chunk, unsigned granule)
{
    uint64_t used = granule_bits(pool, chunk, granule) ^ granule_full(pool, granule);
    unsigned slot = granule * pool->cut.granule_slots + (unsigned)__builtin_ctzll(used);
    unsigned local = lodei_morton_codes(pool, chunk)[slot] & ~LODEI_MORTON_UNLISTED;
    lodei_morton_owners(pool, chunk)[granule] = (uint8_t)(local >> LODEI_MORTON_LEAF_LOG2);
}

static void open_push(struct lode_morton_pool *pool, struct lodei_morton_zone *zone,
                      struct lodei_morton_chunk *chunk, unsigned granule)
{
    unsigned leaf = lodei_morton_owners(pool, chunk)[granule];
    lodei_morton_next(pool, chunk)[granule] = zone->open_first[leaf];
    zone->open_first[leaf] = (uint16_t)number_of(pool, chunk, granule);
    zone->open |= UINT64_C(1) << leaf;
}

static uint16_t *open_link(struct lode_morton_pool *pool, struct lodei_morton_zone *zone,
                           unsigned number)
{
    return &lodei_morton_next(
        pool, zone->chunks[number / pool->cut.chunk_granules])[number % pool->cut.chunk_granules];
}

static void open_remove(struct lode_morton_pool *pool, struct lodei_morton_zone *zone,
                        struct lodei_morton_chunk *chunk, unsigned granule)
{
    unsigned leaf = lodei_morton_owners(pool, chunk)[granule];
    unsigned number = number_of(pool, chunk, granule);
    uint16_t *link = &zone->open_first[leaf];
    while (*link != number)
        link = open_link(pool, zone, *link);
    *link = lodei_morton_next(pool, chunk)[granule];
    if (zone->open_first[leaf] == LODEI_MORTON_NONE)
        zone->open &= ~(UINT64_C(1) << leaf);
}

void lodei_morton_take(struct lode_morton_pool *pool, struct lodei_morton_zone *zone,
                       struct lodei_morton_place place, unsigned local, int listed)
{
    struct lodei_morton_chunk *chunk = place.chunk;
    unsigned granule = place.slot / pool->cut.granule_slots;
    lodei_bitmap_put(chunk->detail->free_slots, place.slot, 1, 0);
    uint64_t left = granule_bits(pool, chunk, granule);
    if (chunk->free_granules >> granule & 1) {
        chunk->free_granules &= ~(UINT64_C(1) << granule);
        zone->free_granules--;
        lodei_morton_owners(pool, chunk)[granule] = (uint8_t)(local >> LODEI_MORTON_LEAF_LOG2);
        zone->taken_last[local >> LODEI_MORTON_LEAF_LOG2] =
            (uint16_t)number_of(pool, chunk, granule);
        if (left != 0)
            open_push(pool, zone, chunk, granule);
    } else if (left == 0) {
        open_remove(pool, zone, chunk, granule);
    }
    lodei_morton_codes(pool, chunk)[place.slot] =
        (uint16_t)(listed ? local : local | LODEI_MORTON_UNLISTED);
    zone->empty = (uint16_t)(zone->empty - (chunk->blocks == 0));
    chunk->blocks++;
    zone->blocks++;
    lodei_given(lodei_morton_block(pool, place), pool->cut.block_bytes);
}

void lodei_morton_give(struct lode_morton_pool *pool, struct lodei_morton_stripe *stripe,
                       struct lodei_morton_zone *zone, struct lodei_morton_place place)
{
    struct lodei_morton_chunk *chunk = place.chunk;
    unsigned granule = place.slot / pool->cut.granule_slots;
    uint64_t was = granule_bits(pool, chunk, granule);
    lodei_taken(lodei_morton_block(pool, place), pool->cut.stride);
    lodei_bitmap_put(chunk->detail->free_slots, place.slot, 1, 1);
    if (granule_bits(pool, chunk, granule) == granule_full(pool, granule)) {
        if (was != 0)
            open_remove(pool, zone, chunk, granule);
        lodei_morton_owners(pool, chunk)[granule] = LODEI_MORTON_NOBODY;
        chunk->free_granules |= UINT64_C(1) << granule;
        zone->free_granules++;
        zone->first_free = (uint16_t)lodei_min(zone->first_free, chunk->index);
    } else if (was == 0) {
        if (zone->leaves[lodei_morton_owners(pool, chunk)[granule]] == NULL)
            adopt(pool, chunk, granule);
        open_push(pool, zone, chunk, granule);
    }
    zone->blocks--;
    chunk->blocks--;
    zone->empty = (uint16_t)(zone->empty + (chunk->blocks == 0));
    uint32_t enough = pool->cut.chunk_granules + lodei_max(1, pool->cut.chunk_granules / 4);
    if (zone->empty != 0 && zone->free_granules >= enough)
        (void)lodei_morton_chunks_trim(pool, stripe, zone);
}

void lodei_morton_abandon(struct lode_morton_pool *pool, struct lodei_morton_zone *zone,
                          unsigned leaf)
{
    unsigned number = zone->open_first[leaf], next;
    zone->open_first[leaf] = LODEI_MORTON_NONE;
    zone->open &= ~(UINT64_C(1) << leaf);
    for (; number != LODEI_MORTON_NONE; number = next) {
        struct lodei_morton_chunk *chunk = zone->chunks[number / pool->cut.chunk_granules];
        unsigned granule = number % pool->cut.chunk_granules;
        next = *open_link(pool, zone, number);
        adopt(pool, chunk, granule);
        open_push(pool, zone, chunk, granule);
    }
}

/* ---- which slot ---- */

/* Of the leaves in `open`, the nearest: one in the smallest aligned group that `leaf` is in. */
static unsigned nearest_leaf(uint64_t open, unsigned leaf)
{
    for (unsigned side = 1; side < LODEI_MORTON_ZONE_LEAVES; side *= 2) {
        unsigned first = leaf & ~(side - 1);
        uint64_t group = open & ((UINT64_C(1) << side) - 1) << first;
        if (group != 0)
            return (unsigned)__builtin_ctzll(group);
    }
    return (unsigned)__builtin_ctzll(open);
}

static void place_in(const struct lode_morton_pool *pool, struct lodei_morton_chunk *chunk,
                     unsigned granule, struct lodei_morton_place *ret_place)
{
    ret_place->chunk = chunk;
    ret_place->slot = granule * pool->cut.granule_slots +
                      (unsigned)__builtin_ctzll(granule_bits(pool, chunk, granule));
}

static void place_open(const struct lode_morton_pool *pool, const struct lodei_morton_zone *zone,
                       unsigned leaf, struct lodei_morton_place *ret_place)
{
    unsigned number = zone->open_first[leaf];
    place_in(pool, zone->chunks[number / pool->cut.chunk_granules],
             number % pool->cut.chunk_granules, ret_place);
}

/* A free granule, where the zone has one: behind the one the leaf took last, else in its chunk,
 * else the first of the zone. */
static void place_free(const struct lode_morton_pool *pool, struct lodei_morton_zone *zone,
                       unsigned leaf, struct lodei_morton_place *ret_place)
{
    unsigned last = zone->taken_last[leaf], index = last / pool->cut.chunk_granules;
    struct lodei_morton_chunk *chunk =
        last != LODEI_MORTON_NONE && index < zone->chunk_count ? zone->chunks[index] : NULL;
    if (chunk != NULL && chunk->free_granules != 0) {
        uint64_t behind = chunk->free_granules & UINT64_MAX << last % pool->cut.chunk_granules;
        place_in(pool, chunk,
                 (unsigned)__builtin_ctzll(behind != 0 ? behind : chunk->free_granules), ret_place);
        return;
    }
    while ((chunk = zone->chunks[zone->first_free]) == NULL || chunk->free_granules == 0)
        zone->first_free++;
    place_in(pool, chunk, (unsigned)__builtin_ctzll(chunk->free_granules), ret_place);
}

int lodei_morton_choose(struct lode_morton_pool *pool, struct lodei_morton_stripe *stripe,
                        struct lodei_morton_zone *zone, unsigned leaf, unsigned count,
                        struct lodei_morton_place *ret_place)
{
    struct lodei_morton_chunk *chunk;
    int status = 0;
    if (zone->open >> leaf & 1) {
        place_open(pool, zone, leaf, ret_place);
    } else if (zone->open != 0 && count < SHARE_BELOW) {
        place_open(pool, zone, nearest_leaf(zone->open, leaf), ret_place);
    } else if (zone->free_granules != 0 ||
               (status = lodei_morton_chunk_new(pool, stripe, zone, &chunk)) == 0) {
        place_free(pool, zone, leaf, ret_place);
    } else if (zone->open != 0) {
        place_open(pool, zone, nearest_leaf(zone->open, leaf), ret_place);
        status = 0;
    }
    return status;
}

/* ---- beside another block ---- */

static int share_page(const struct lode_morton_pool *pool, unsigned a, unsigned b)
{
    size_t page = pool->cut.page_bytes, low = lodei_min(a, b), high = lodei_max(a, b);
    return (low * pool->cut.stride + pool->cut.stride - 1) / page >= high * pool->cut.stride / page;
}

/* The free slot of the chunk nearest to `slot`; chunk_slots where it has none. */
static unsigned nearest_slot(const struct lode_morton_pool *pool,
                             const struct lodei_morton_chunk *chunk, unsigned slot)
{
    const uint64_t *map = chunk->detail->free_slots;
    size_t after = lodei_bitmap_next(map, pool->cut.chunk_slots, slot, 1);
    size_t before = lodei_bitmap_last(map, slot, 1); /* behind it */
    if (before == 0 || (after < pool->cut.chunk_slots && after - slot <= slot - (before - 1)))
        return (unsigned)after;
    return (unsigned)(before - 1);
}

static struct lodei_morton_chunk *chunk_with_room(const struct lode_morton_pool *pool,
                                                  const struct lodei_morton_zone *zone,
                                                  size_t index)
{
    if (index >= zone->chunk_count || zone->chunks[index] == NULL ||
        zone->chunks[index]->blocks == pool->cut.chunk_slots)
        return NULL;
    return zone->chunks[index];
}

int lodei_morton_choose_near(struct lode_morton_pool *pool, struct lodei_morton_stripe *stripe,
                             struct lodei_morton_zone *zone, struct lodei_morton_place near,
                             struct lodei_morton_place *ret_place,
                             enum lode_morton_nearness *ret_nearness)
{
    struct lodei_morton_chunk *chunk = NULL;
    unsigned slot = nearest_slot(pool, near.chunk, near.slot);
    if (slot < pool->cut.chunk_slots) {
        *ret_place = (struct lodei_morton_place){near.chunk, slot};
        *ret_nearness =
            share_page(pool, slot, near.slot) ? LODE_MORTON_SAME_PAGE : LODE_MORTON_SAME_CHUNK;
        return 0;
    }
    for (size_t away = 1; away < zone->chunk_count && chunk == NULL; away++) {
        chunk = chunk_with_room(pool, zone, near.chunk->index + away);
        if (chunk == NULL)
            chunk = chunk_with_room(pool, zone, near.chunk->index - away);
    }
    if (chunk == NULL) {
        int status = lodei_morton_chunk_new(pool, stripe, zone, &chunk);
        if (status != 0)
            return status;
    }
    *ret_place = (struct lodei_morton_place){chunk, nearest_slot(pool, chunk, 0)};
    *ret_nearness = LODE_MORTON_SAME_ZONE;
    return 0;
}
