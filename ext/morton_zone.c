/* SPDX-License-Identifier: MIT */
/*
 * The Morton pool's index: from a code to its zone, leaf and slot. morton_pool.h shows the
 * structures and says who guards them: the lock of the stripe, which every caller holds.
 *
 *     leaf: held    0 1 0 0 1 1 0 ...   512 bits, one a cell
 *           before  0, 23, 48, ...      blocks before each word of them
 *           slots   7 4 19 ...          the n-th is that of the n-th cell that is held
 *
 * so an index entry is two bytes and a bit, and codes are in order without being stored (rank in a
 * bitmap: Jacobson, "Space-efficient static trees and graphs", 1989). Putting one in the middle
 * moves the slots behind it, a kilobyte at the most.
 *
 * A zone's structure lives while it has a block, a leaf's while it has one. Never calls the
 * program.
 */
#include "ext/morton_pool.h"

#include <errno.h>
#include <string.h>

#define ZONES_FIRST 8u
#define WORDS       (LODEI_MORTON_LEAF_CODES / 64)

LODE_INLINE unsigned cell_of(unsigned local)
{
    return local & (LODEI_MORTON_LEAF_CODES - 1);
}

LODE_INLINE unsigned local_of(uint64_t code)
{
    return (unsigned)code & ((1u << LODEI_MORTON_ZONE_LOG2) - 1);
}

/* Without popcnt, which the x86-64 baseline lacks, the builtin is a call (Warren, "Hacker's
 * Delight", section 5-1). */
LODE_INLINE unsigned bits_of(uint64_t word)
{
    word -= word >> 1 & UINT64_C(0x5555555555555555);
    word = (word & UINT64_C(0x3333333333333333)) + (word >> 2 & UINT64_C(0x3333333333333333));
    word = (word + (word >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    return (unsigned)(word * UINT64_C(0x0101010101010101) >> 56);
}

/* ---- the table of zones ---- */

static size_t home_of(uint64_t number)
{
    /* The highest six bits chose the stripe. */
    return (size_t)(lodei_morton_hash(number) >> 26);
}

struct lodei_morton_zone *lodei_morton_zone_find(const struct lodei_morton_stripe *stripe,
                                                 uint64_t number)
{
    if (lode_unlikely(stripe->zones == NULL))
        return NULL;
    for (size_t i = home_of(number);; i++) {
        struct lodei_morton_zone *zone = stripe->zones[i & stripe->zone_mask];
        if (zone == NULL || zone->number == number)
            return zone;
    }
}

static void table_put(struct lodei_morton_zone **zones, size_t mask, struct lodei_morton_zone *zone)
{
    size_t i = home_of(zone->number);
    while (zones[i & mask] != NULL)
        i++;
    zones[i & mask] = zone;
}

/* Room for one more, at most half full. */
static int table_grow(struct lode_morton_pool *pool, struct lodei_morton_stripe *stripe)
{
    size_t entries = stripe->zones == NULL ? 0 : (size_t)stripe->zone_mask + 1;
    if ((stripe->zone_count + 1) * 2 <= entries)
        return 0;
    size_t grown = entries == 0 ? ZONES_FIRST : entries * 2;
    struct lodei_morton_zone **zones = lodei_morton_meta_alloc(
        pool, &stripe->figures.metadata_bytes, grown * sizeof(struct lodei_morton_zone *));
    if (zones == NULL)
        return -ENOMEM;
    memset(zones, 0, grown * sizeof(struct lodei_morton_zone *));
    for (size_t i = 0; i < entries; i++)
        if (stripe->zones[i] != NULL)
            table_put(zones, grown - 1, stripe->zones[i]);
    if (stripe->zones != NULL)
        lodei_morton_meta_free(&stripe->figures.metadata_bytes, stripe->zones);
    stripe->zones = zones;
    stripe->zone_mask = (uint32_t)(grown - 1);
    return 0;
}

/* Linear probing's deletion without marks (Knuth 6.4, algorithm R). */
static void table_remove(struct lodei_morton_stripe *stripe, const struct lodei_morton_zone *zone)
{
    size_t mask = stripe->zone_mask, i = home_of(zone->number) & mask;
    while (stripe->zones[i] != zone)
        i = (i + 1) & mask;
    for (size_t j = (i + 1) & mask; stripe->zones[j] != NULL; j = (j + 1) & mask)
        if (((j - home_of(stripe->zones[j]->number)) & mask) >= ((j - i) & mask)) {
            stripe->zones[i] = stripe->zones[j];
            i = j;
        }
    stripe->zones[i] = NULL;
    stripe->zone_count--;
}

static struct lodei_morton_zone *zone_new(struct lode_morton_pool *pool,
                                          struct lodei_morton_stripe *stripe, uint64_t number)
{
    if (table_grow(pool, stripe) != 0)
        return NULL;
    struct lodei_morton_zone *zone =
        lodei_morton_meta_alloc(pool, &stripe->figures.metadata_bytes, sizeof(*zone));
    if (zone == NULL)
        return NULL;
    memset(zone, 0, sizeof(*zone));
    memset(zone->open_first, 0xff, sizeof(zone->open_first));
    memset(zone->taken_last, 0xff, sizeof(zone->taken_last));
    zone->number = number;
    table_put(stripe->zones, stripe->zone_mask, zone);
    stripe->zone_count++;
    return zone;
}

/* It has no block. */
static void zone_end(struct lode_morton_pool *pool, struct lodei_morton_stripe *stripe,
                     struct lodei_morton_zone *zone)
{
    (void)lodei_morton_chunks_trim(pool, stripe, zone);
    table_remove(stripe, zone);
    if (zone->chunks != NULL)
        lodei_morton_meta_free(&stripe->figures.metadata_bytes, zone->chunks);
    lodei_morton_meta_free(&stripe->figures.metadata_bytes, zone);
}

/* ---- leaves ---- */

/* How many cells before this one are held. */
LODE_INLINE unsigned rank_of(const struct lodei_morton_leaf *leaf, unsigned cell)
{
    uint64_t lower = (UINT64_C(1) << cell % 64) - 1;
    return leaf->before[cell / 64] + bits_of(leaf->held[cell / 64] & lower);
}

LODE_INLINE int holds(const struct lodei_morton_leaf *leaf, unsigned cell)
{
    return (int)(leaf->held[cell / 64] >> cell % 64 & 1);
}

static struct lodei_morton_leaf *leaf_new(struct lode_morton_pool *pool,
                                          struct lodei_morton_stripe *stripe)
{
    struct lodei_morton_leaf *leaf =
        lodei_morton_meta_alloc(pool, &stripe->figures.metadata_bytes, sizeof(*leaf));
    if (leaf != NULL)
        memset(leaf, 0, sizeof(*leaf));
    return leaf;
}

static void leaf_end(struct lodei_morton_stripe *stripe, struct lodei_morton_zone *zone,
                     unsigned number)
{
    struct lodei_morton_leaf *leaf = zone->leaves[number];
    if (leaf->slots != NULL)
        lodei_morton_meta_free(&stripe->figures.metadata_bytes, leaf->slots);
    lodei_morton_meta_free(&stripe->figures.metadata_bytes, leaf);
    zone->leaves[number] = NULL;
}

/* `capacity` or somewhat more slots. 0; -ENOMEM. */
static int leaf_resize(struct lode_morton_pool *pool, struct lodei_morton_stripe *stripe,
                       struct lodei_morton_leaf *leaf, unsigned capacity)
{
    uint16_t *slots = lodei_morton_meta_alloc(pool, &stripe->figures.metadata_bytes,
                                              capacity * sizeof(leaf->slots[0]));
    if (slots == NULL)
        return -ENOMEM;
    if (leaf->slots != NULL) {
        memcpy(slots, leaf->slots, leaf->count * sizeof(slots[0]));
        lodei_morton_meta_free(&stripe->figures.metadata_bytes, leaf->slots);
    }
    leaf->slots = slots;
    leaf->capacity = (uint16_t)(lode_usable_size(slots) / sizeof(slots[0]));
    return 0;
}

/* Room for one more, and a little in reserve. */
static int leaf_reserve(struct lode_morton_pool *pool, struct lodei_morton_stripe *stripe,
                        struct lodei_morton_leaf *leaf)
{
    if (leaf->count < leaf->capacity)
        return 0;
    return leaf_resize(pool, stripe, leaf, leaf->count + leaf->count / 16 + 8);
}

/* Which words are behind each: eight additions at once. */
static const uint16_t behind[WORDS][WORDS] = {
    {0, 1, 1, 1, 1, 1, 1, 1}, {0, 0, 1, 1, 1, 1, 1, 1}, {0, 0, 0, 1, 1, 1, 1, 1},
    {0, 0, 0, 0, 1, 1, 1, 1}, {0, 0, 0, 0, 0, 1, 1, 1}, {0, 0, 0, 0, 0, 0, 1, 1},
    {0, 0, 0, 0, 0, 0, 0, 1}, {0, 0, 0, 0, 0, 0, 0, 0},
};

static void leaf_insert(struct lodei_morton_leaf *leaf, unsigned cell, unsigned slot)
{
    unsigned rank = rank_of(leaf, cell);
    memmove(leaf->slots + rank + 1, leaf->slots + rank,
            (leaf->count - rank) * sizeof(leaf->slots[0]));
    leaf->slots[rank] = (uint16_t)slot;
    leaf->held[cell / 64] |= UINT64_C(1) << cell % 64;
    leaf->count++;
    for (unsigned w = 0; w < WORDS; w++)
        leaf->before[w] = (uint16_t)(leaf->before[w] + behind[cell / 64][w]);
}

static void leaf_remove(struct lodei_morton_leaf *leaf, unsigned cell)
{
    unsigned rank = rank_of(leaf, cell);
    leaf->count--;
    memmove(leaf->slots + rank, leaf->slots + rank + 1,
            (leaf->count - rank) * sizeof(leaf->slots[0]));
    leaf->held[cell / 64] &= ~(UINT64_C(1) << cell % 64);
    for (unsigned w = 0; w < WORDS; w++)
        leaf->before[w] = (uint16_t)(leaf->before[w] - behind[cell / 64][w]);
}

LODE_INLINE struct lodei_morton_place place_of(const struct lode_morton_pool *pool,
                                               const struct lodei_morton_zone *zone, unsigned slot)
{
    unsigned index = lodei_morton_divide(slot, pool->cut.by_chunk_slots);
    return (struct lodei_morton_place){zone->chunks[index], slot - index * pool->cut.chunk_slots};
}

struct lodei_morton_place lodei_morton_lookup(const struct lode_morton_pool *pool,
                                              const struct lodei_morton_stripe *stripe,
                                              uint64_t code)
{
    const struct lodei_morton_place none = {0};
    struct lodei_morton_zone *zone = lodei_morton_zone_find(stripe, code >> LODEI_MORTON_ZONE_LOG2);
    if (zone == NULL)
        return none;
    const struct lodei_morton_leaf *leaf = zone->leaves[local_of(code) >> LODEI_MORTON_LEAF_LOG2];
    unsigned cell = cell_of((unsigned)code);
    if (leaf == NULL || !holds(leaf, cell))
        return none;
    return place_of(pool, zone, leaf->slots[rank_of(leaf, cell)]);
}

/* ---- acquire, release, list ---- */

/* Enter `code` into its leaf, made if there is none, at a slot that is chosen here. */
static int acquire_listed(struct lode_morton_pool *pool, struct lodei_morton_stripe *stripe,
                          struct lodei_morton_zone *zone, uint64_t code,
                          const struct lodei_morton_place *near,
                          struct lodei_morton_place *ret_place,
                          enum lode_morton_nearness *ret_nearness)
{
    unsigned local = local_of(code), cell = cell_of(local),
             number = local >> LODEI_MORTON_LEAF_LOG2;
    struct lodei_morton_leaf *leaf = zone->leaves[number];
    int status;
    if (leaf != NULL && holds(leaf, cell))
        return -EEXIST;
    if (leaf == NULL && (leaf = zone->leaves[number] = leaf_new(pool, stripe)) == NULL)
        return -ENOMEM;
    status = leaf_reserve(pool, stripe, leaf);
    if (status == 0)
        status = near != NULL
                     ? lodei_morton_choose_near(pool, stripe, zone, *near, ret_place, ret_nearness)
                     : lodei_morton_choose(pool, stripe, zone, number, leaf->count, ret_place);
    if (status != 0) {
        if (leaf->count == 0)
            leaf_end(stripe, zone, number);
        return status;
    }
    leaf_insert(leaf, cell, ret_place->chunk->index * pool->cut.chunk_slots + ret_place->slot);
    lodei_morton_take(pool, zone, *ret_place, local, 1);
    return 0;
}

static int acquire_unlisted(struct lode_morton_pool *pool, struct lodei_morton_stripe *stripe,
                            struct lodei_morton_zone *zone, const struct lodei_morton_place *near,
                            struct lodei_morton_place *ret_place,
                            enum lode_morton_nearness *ret_nearness)
{
    unsigned local = lodei_morton_codes(pool, near->chunk)[near->slot] & ~LODEI_MORTON_UNLISTED;
    int status = lodei_morton_choose_near(pool, stripe, zone, *near, ret_place, ret_nearness);
    if (status == 0)
        lodei_morton_take(pool, zone, *ret_place, local, 0);
    return status;
}

int lodei_morton_acquire(struct lode_morton_pool *pool, struct lodei_morton_stripe *stripe,
                         uint64_t code, const struct lodei_morton_place *near, void **ret_block,
                         enum lode_morton_nearness *ret_nearness)
{
    struct lodei_morton_zone *zone;
    struct lodei_morton_place place;
    int status;
    zone = near != NULL ? near->chunk->zone
                        : lodei_morton_zone_find(stripe, code >> LODEI_MORTON_ZONE_LOG2);
    if (zone == NULL && (zone = zone_new(pool, stripe, code >> LODEI_MORTON_ZONE_LOG2)) == NULL) {
        lodei_morton_count(&stripe->figures.failures, 1);
        return -ENOMEM;
    }
    if (code == LODE_MORTON_NO_CODE)
        status = acquire_unlisted(pool, stripe, zone, near, &place, ret_nearness);
    else
        status = acquire_listed(pool, stripe, zone, code, near, &place, ret_nearness);
    if (status != 0) {
        lodei_morton_count(&stripe->figures.failures, 1);
        if (zone->blocks == 0)
            zone_end(pool, stripe, zone);
        return status;
    }
    lodei_morton_count(&stripe->figures.acquired, 1);
    *ret_block = lodei_morton_block(pool, place);
    return 0;
}

void lodei_morton_release(struct lode_morton_pool *pool, struct lodei_morton_stripe *stripe,
                          struct lodei_morton_place place)
{
    struct lodei_morton_zone *zone = place.chunk->zone;
    unsigned local = lodei_morton_codes(pool, place.chunk)[place.slot];
    struct lodei_morton_leaf *leaf = NULL;
    unsigned number = (local & ~LODEI_MORTON_UNLISTED) >> LODEI_MORTON_LEAF_LOG2;
    if ((local & LODEI_MORTON_UNLISTED) == 0) {
        leaf = zone->leaves[number];
        leaf_remove(leaf, cell_of(local));
    }
    lodei_morton_give(pool, stripe, zone, place);
    lodei_morton_count(&stripe->figures.released, 1);
    if (leaf != NULL && leaf->count == 0) {
        leaf_end(stripe, zone, number);
        lodei_morton_abandon(pool, zone, number);
    } else if (leaf != NULL && leaf->capacity > 64 && leaf->count < leaf->capacity / 2) {
        /* Not having memory for less memory does no harm. */
        (void)leaf_resize(pool, stripe, leaf, leaf->count + leaf->count / 16 + 8);
    }
    if (zone->blocks == 0)
        zone_end(pool, stripe, zone);
}

size_t lodei_morton_leaf_list(const struct lode_morton_pool *pool,
                              const struct lodei_morton_zone *zone, unsigned number, uint64_t first,
                              uint64_t last, struct lodei_morton_pair *ret_pairs)
{
    const struct lodei_morton_leaf *leaf = zone->leaves[number];
    uint64_t base = zone->number << LODEI_MORTON_ZONE_LOG2 | (uint64_t)number
                                                                 << LODEI_MORTON_LEAF_LOG2;
    size_t count = 0, rank = 0;
    if (leaf == NULL)
        return 0;
    for (unsigned w = 0; w < WORDS; w++)
        for (uint64_t held = leaf->held[w]; held != 0; held &= held - 1, rank++) {
            uint64_t code = base | (w * 64 + (unsigned)__builtin_ctzll(held));
            if (code >= first && code <= last)
                ret_pairs[count++] = (struct lodei_morton_pair){
                    code, lodei_morton_block(pool, place_of(pool, zone, leaf->slots[rank]))};
        }
    return count;
}
