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

struct granule {
    struct lodei_morton_chunk *chunk;
    unsigned index;
};

/* Where the free bits of a granule are: none crosses a word. */
LODE_INLINE uint64_t *word_of(const struct lode_morton_pool *pool, struct granule granule,
                              unsigned *ret_shift)
{
    unsigned slot = granule.index << pool->cut.granule_log2;
    *ret_shift = slot % 64;
    return &granule.chunk->detail->free_slots[slot / 64];
}

/* Its free slots, from bit 0. */
LODE_INLINE uint64_t free_bits(const struct lode_morton_pool *pool, struct granule granule)
{
    unsigned shift;
    const uint64_t *word = word_of(pool, granule, &shift);
    return *word >> shift & ((1u << pool->cut.granule_slots) - 1);
}

/* All its slots; the last granule of a chunk may be short. */
LODE_INLINE uint64_t all_bits(const struct lode_morton_pool *pool, struct granule granule)
{
    unsigned left = pool->cut.chunk_slots - (granule.index << pool->cut.granule_log2);
    return (1u << (left < pool->cut.granule_slots ? left : pool->cut.granule_slots)) - 1;
}

/* A zone's granules are numbered through. */
LODE_INLINE unsigned number_of(const struct lode_morton_pool *pool, struct granule granule)
{
    return granule.chunk->index * pool->cut.chunk_granules + granule.index;
}

LODE_INLINE struct granule granule_at(const struct lode_morton_pool *pool,
                                      const struct lodei_morton_zone *zone, unsigned number)
{
    unsigned index = lodei_morton_divide(number, pool->cut.by_chunk_granules);
    return (struct granule){zone->chunks[index], number - index * pool->cut.chunk_granules};
}

LODE_INLINE uint16_t *next_of(const struct lode_morton_pool *pool, struct granule granule)
{
    return &lodei_morton_next(pool, granule.chunk)[granule.index];
}

LODE_INLINE uint8_t *owner_of(const struct lode_morton_pool *pool, struct granule granule)
{
    return &lodei_morton_owners(pool, granule.chunk)[granule.index];
}

/* A granule with a block in it: owned by the leaf of the first. (Of an unlisted block that is the
 * leaf of the one it stands beside.) */
static void adopt(const struct lode_morton_pool *pool, struct granule granule)
{
    uint64_t used = free_bits(pool, granule) ^ all_bits(pool, granule);
    unsigned slot = (granule.index << pool->cut.granule_log2) + (unsigned)__builtin_ctzll(used);
    unsigned local = lodei_morton_codes(pool, granule.chunk)[slot] & ~LODEI_MORTON_UNLISTED;
    *owner_of(pool, granule) = (uint8_t)(local >> LODEI_MORTON_LEAF_LOG2);
}

static void open_push(const struct lode_morton_pool *pool, struct lodei_morton_zone *zone,
                      struct granule granule)
{
    unsigned leaf = *owner_of(pool, granule);
    *next_of(pool, granule) = zone->open_first[leaf];
    zone->open_first[leaf] = (uint16_t)number_of(pool, granule);
    zone->open |= UINT64_C(1) << leaf;
}

static void open_remove(const struct lode_morton_pool *pool, struct lodei_morton_zone *zone,
                        struct granule granule)
{
    unsigned leaf = *owner_of(pool, granule), number = number_of(pool, granule);
    uint16_t *link = &zone->open_first[leaf];
    while (*link != number)
        link = next_of(pool, granule_at(pool, zone, *link));
    *link = *next_of(pool, granule);
    if (zone->open_first[leaf] == LODEI_MORTON_NONE)
        zone->open &= ~(UINT64_C(1) << leaf);
}

void lodei_morton_take(struct lode_morton_pool *pool, struct lodei_morton_zone *zone,
                       struct lodei_morton_place place, unsigned local, int listed)
{
    struct lodei_morton_chunk *chunk = place.chunk;
    struct granule granule = {chunk, place.slot >> pool->cut.granule_log2};
    unsigned shift, leaf = local >> LODEI_MORTON_LEAF_LOG2;
    uint64_t *word = word_of(pool, granule, &shift);
    uint64_t bits = *word & ~(UINT64_C(1) << place.slot % 64);
    uint64_t left = bits >> shift & ((1u << pool->cut.granule_slots) - 1);
    *word = bits;
    if (chunk->free_granules >> granule.index & 1) {
        chunk->free_granules &= ~(UINT64_C(1) << granule.index);
        zone->free_granules--;
        *owner_of(pool, granule) = (uint8_t)leaf;
        zone->taken_last[leaf] = (uint16_t)number_of(pool, granule);
        if (left != 0)
            open_push(pool, zone, granule);
    } else if (left == 0) {
        open_remove(pool, zone, granule);
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
    struct granule granule = {chunk, place.slot >> pool->cut.granule_log2};
    unsigned shift;
    uint64_t *word = word_of(pool, granule, &shift);
    uint64_t was = *word >> shift & ((1u << pool->cut.granule_slots) - 1);
    lodei_taken(lodei_morton_block(pool, place), pool->cut.stride);
    *word |= UINT64_C(1) << place.slot % 64;
    if ((was | UINT64_C(1) << (place.slot - (granule.index << pool->cut.granule_log2))) ==
        all_bits(pool, granule)) {
        if (was != 0)
            open_remove(pool, zone, granule);
        *owner_of(pool, granule) = LODEI_MORTON_NOBODY;
        chunk->free_granules |= UINT64_C(1) << granule.index;
        zone->free_granules++;
        zone->first_free = (uint16_t)lodei_min(zone->first_free, chunk->index);
    } else if (was == 0) {
        if (zone->leaves[*owner_of(pool, granule)] == NULL)
            adopt(pool, granule);
        open_push(pool, zone, granule);
    }
    zone->blocks--;
    chunk->blocks--;
    zone->empty = (uint16_t)(zone->empty + (chunk->blocks == 0));
    if (zone->empty != 0 && zone->free_granules >= pool->cut.enough_granules)
        (void)lodei_morton_chunks_trim(pool, stripe, zone);
}

void lodei_morton_abandon(struct lode_morton_pool *pool, struct lodei_morton_zone *zone,
                          unsigned leaf)
{
    unsigned number = zone->open_first[leaf];
    zone->open_first[leaf] = LODEI_MORTON_NONE;
    zone->open &= ~(UINT64_C(1) << leaf);
    while (number != LODEI_MORTON_NONE) {
        struct granule granule = granule_at(pool, zone, number);
        number = *next_of(pool, granule);
        adopt(pool, granule);
        open_push(pool, zone, granule);
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

static struct lodei_morton_place first_of(const struct lode_morton_pool *pool,
                                          struct granule granule)
{
    unsigned slot = granule.index << pool->cut.granule_log2;
    return (struct lodei_morton_place){granule.chunk,
                                       slot + (unsigned)__builtin_ctzll(free_bits(pool, granule))};
}

/* In the open granules of a leaf that has one. */
static struct lodei_morton_place open_of(const struct lode_morton_pool *pool,
                                         const struct lodei_morton_zone *zone, unsigned leaf)
{
    return first_of(pool, granule_at(pool, zone, zone->open_first[leaf]));
}

/* A free granule, where the zone has one: behind the one the leaf took last, else in its chunk,
 * else the first of the zone. */
static struct lodei_morton_place free_of(const struct lode_morton_pool *pool,
                                         struct lodei_morton_zone *zone, unsigned leaf)
{
    unsigned number = zone->taken_last[leaf];
    struct granule last = {0};
    if (number != LODEI_MORTON_NONE && number < zone->chunk_count * pool->cut.chunk_granules)
        last = granule_at(pool, zone, number);
    if (last.chunk != NULL && last.chunk->free_granules != 0) {
        uint64_t all = last.chunk->free_granules, behind = all & UINT64_MAX << last.index;
        last.index = (unsigned)__builtin_ctzll(behind != 0 ? behind : all);
        return first_of(pool, last);
    }
    struct lodei_morton_chunk *chunk;
    while ((chunk = zone->chunks[zone->first_free]) == NULL || chunk->free_granules == 0)
        zone->first_free++;
    return first_of(pool, (struct granule){chunk, (unsigned)__builtin_ctzll(chunk->free_granules)});
}

int lodei_morton_choose(struct lode_morton_pool *pool, struct lodei_morton_stripe *stripe,
                        struct lodei_morton_zone *zone, unsigned leaf, unsigned count,
                        struct lodei_morton_place *ret_place)
{
    struct lodei_morton_chunk *chunk;
    int status = 0;
    if (zone->open >> leaf & 1) {
        *ret_place = open_of(pool, zone, leaf);
    } else if (zone->open != 0 && count < SHARE_BELOW) {
        *ret_place = open_of(pool, zone, nearest_leaf(zone->open, leaf));
    } else if (zone->free_granules != 0 ||
               (status = lodei_morton_chunk_new(pool, stripe, zone, &chunk)) == 0) {
        *ret_place = free_of(pool, zone, leaf);
    } else if (zone->open != 0) {
        *ret_place = open_of(pool, zone, nearest_leaf(zone->open, leaf));
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
