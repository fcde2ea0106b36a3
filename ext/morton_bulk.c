/* SPDX-License-Identifier: MIT */
/*
 * The Morton pool, many blocks at a time: acquiring in the order of codes, and walking in it. Owns
 * nothing but what it borrows from the pool's heap during a call. Locks of stripes are held for 64
 * acquisitions or for one leaf's list at most, and never while the program is called.
 */
#include "ext/morton_pool.h"

#include <errno.h>
#include <string.h>

#define AT_ONCE         64u
#define ZONES_BY_NUMBER 64u /* a walk over no more looks for each by its number */

struct entry {
    uint64_t key;
    uint64_t value;
};

/*
 * Sort by key: least significant digit first (Knuth 5.2.5, algorithm R), bytes as digits, those
 * left out that all keys share. `spare` has room for as many. Returns the one of both that holds
 * the result.
 */
static struct entry *sort(struct entry *entries, struct entry *spare, size_t count)
{
    uint64_t differ = 0;
    for (size_t i = 1; i < count; i++)
        differ |= entries[i].key ^ entries[0].key;
    for (unsigned shift = 0; shift < 64; shift += 8) {
        size_t at[256] = {0}, sum = 0;
        if ((differ >> shift & 255) == 0)
            continue;
        for (size_t i = 0; i < count; i++)
            at[entries[i].key >> shift & 255]++;
        for (unsigned digit = 0; digit < 256; digit++) {
            size_t here = at[digit];
            at[digit] = sum;
            sum += here;
        }
        for (size_t i = 0; i < count; i++)
            spare[at[entries[i].key >> shift & 255]++] = entries[i];
        struct entry *swapped = entries;
        entries = spare;
        spare = swapped;
    }
    return entries;
}

/* ---- acquiring ---- */

/* Replace the keys, which are sorted, by the blocks' addresses; returns how many came before the
 * first that failed with *ret_status. */
static size_t acquire_sorted(struct lode_morton_pool *pool, struct entry *entries, size_t count,
                             int *ret_status)
{
    size_t i = 0;
    int status = 0;
    while (i < count && status == 0) {
        uint64_t number = entries[i].key >> LODEI_MORTON_ZONE_LOG2;
        struct lodei_morton_stripe *stripe = lodei_morton_stripe_of(pool, entries[i].key);
        size_t end = lodei_min(count, i + AT_ONCE);
        lodei_morton_lock(&stripe->lock);
        for (; i < end && entries[i].key >> LODEI_MORTON_ZONE_LOG2 == number; i++) {
            void *block;
            status = lodei_morton_acquire_locked(pool, stripe, entries[i].key, NULL, &block, NULL);
            if (status != 0)
                break;
            entries[i].key = (uintptr_t)block;
        }
        lodei_morton_unlock(&stripe->lock);
    }
    *ret_status = status;
    return i;
}

int lode_morton_pool_acquire_many(struct lode_morton_pool *pool, const uint64_t *codes,
                                  size_t count, void **ret_blocks)
{
    int status;
    if (count == 0)
        return 0;
    if (count > SIZE_MAX / 2 / sizeof(struct entry))
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        if (codes[i] == LODE_MORTON_NO_CODE)
            return -ERANGE;
    struct entry *room = lode_heap_alloc(pool->heap, 2 * count * sizeof(*room));
    if (room == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        room[i] = (struct entry){codes[i], i};
    struct entry *sorted = sort(room, room + count, count);
    size_t done = acquire_sorted(pool, sorted, count, &status);
    for (size_t i = 0; i < done; i++) {
        void *block = (void *)(uintptr_t)sorted[i].key;
        if (status == 0) {
            ret_blocks[sorted[i].value] = block;
        } else {
            /* Another thread may have found it by its code, and released it. */
            int released = lode_morton_pool_release(pool, block);
            (void)released;
        }
    }
    lode_free(room);
    return status;
}

/* ---- walking ---- */

struct walk {
    struct lode_morton_pool *pool;
    uint64_t first, last;
    lode_morton_visitor visit;
    void *ctx;
};

static int walk_leaf(const struct walk *walk, uint64_t number, unsigned leaf)
{
    struct lodei_morton_pair pairs[LODEI_MORTON_LEAF_CODES];
    struct lodei_morton_stripe *stripe =
        lodei_morton_stripe_of(walk->pool, number << LODEI_MORTON_ZONE_LOG2);
    size_t count = 0;
    int status = 0;
    lodei_morton_lock(&stripe->lock);
    struct lodei_morton_zone *zone = lodei_morton_zone_find(stripe, number);
    if (zone != NULL)
        count = lodei_morton_leaf_list(walk->pool, zone, leaf, walk->first, walk->last, pairs);
    lodei_morton_unlock(&stripe->lock);
    for (size_t i = 0; i < count && status == 0; i++)
        status = walk->visit(walk->ctx, pairs[i].code, pairs[i].block);
    return status;
}

/* Which leaves of the zone have blocks, and may have one in the range. 0: no such zone. */
static uint64_t leaves_of(const struct walk *walk, uint64_t number)
{
    uint64_t leaves = 0;
    struct lodei_morton_stripe *stripe =
        lodei_morton_stripe_of(walk->pool, number << LODEI_MORTON_ZONE_LOG2);
    lodei_morton_lock(&stripe->lock);
    struct lodei_morton_zone *zone = lodei_morton_zone_find(stripe, number);
    for (unsigned leaf = 0; zone != NULL && leaf < LODEI_MORTON_ZONE_LEAVES; leaf++) {
        uint64_t low = number << LODEI_MORTON_ZONE_LOG2 | (uint64_t)leaf << LODEI_MORTON_LEAF_LOG2;
        uint64_t high = low | (LODEI_MORTON_LEAF_CODES - 1);
        if (zone->leaves[leaf] != NULL && high >= walk->first && low <= walk->last)
            leaves |= UINT64_C(1) << leaf;
    }
    lodei_morton_unlock(&stripe->lock);
    return leaves;
}

static int walk_zone(const struct walk *walk, uint64_t number)
{
    int status = 0;
    for (uint64_t leaves = leaves_of(walk, number); leaves != 0 && status == 0;
         leaves &= leaves - 1)
        status = walk_leaf(walk, number, (unsigned)__builtin_ctzll(leaves));
    return status;
}

/* The zones there are now within the range, up to `room` of them. Returns how many there are. */
static size_t list_zones(const struct walk *walk, struct entry *ret_entries, size_t room)
{
    size_t count = 0;
    for (unsigned i = 0; i < LODEI_MORTON_STRIPES; i++) {
        struct lodei_morton_stripe *stripe = &walk->pool->stripes[i];
        lodei_morton_lock(&stripe->lock);
        for (size_t z = 0; stripe->zones != NULL && z <= stripe->zone_mask; z++) {
            if (stripe->zones[z] == NULL)
                continue;
            uint64_t number = stripe->zones[z]->number;
            if (number < walk->first >> LODEI_MORTON_ZONE_LOG2 ||
                number > walk->last >> LODEI_MORTON_ZONE_LOG2)
                continue;
            if (count < room)
                ret_entries[count] = (struct entry){number, 0};
            count++;
        }
        lodei_morton_unlock(&stripe->lock);
    }
    return count;
}

int lode_morton_pool_walk(struct lode_morton_pool *pool, uint64_t first, uint64_t last,
                          lode_morton_visitor visit, void *ctx)
{
    const struct walk walk = {pool, first, last, visit, ctx};
    uint64_t number = first >> LODEI_MORTON_ZONE_LOG2, end = last >> LODEI_MORTON_ZONE_LOG2;
    int status = 0;
    if (first > last)
        return 0;
    if (end - number < ZONES_BY_NUMBER) {
        for (; number <= end && status == 0; number++)
            status = walk_zone(&walk, number);
        return status;
    }
    /* Some more than there are, for those that come meanwhile. */
    size_t room = list_zones(&walk, NULL, 0) + 64;
    struct entry *entries = lode_heap_alloc(pool->heap, 2 * room * sizeof(*entries));
    if (entries == NULL)
        return -ENOMEM;
    size_t count = lodei_min(list_zones(&walk, entries, room), room);
    const struct entry *sorted = sort(entries, entries + room, count);
    for (size_t i = 0; i < count && status == 0; i++)
        status = walk_zone(&walk, sorted[i].key);
    lode_free(entries);
    return status;
}
