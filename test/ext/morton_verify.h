/* SPDX-License-Identifier: MIT */
/* Every invariant of a Morton pool that nobody uses meanwhile: for tests and fuzzers. */
#ifndef MORTON_VERIFY_H
#define MORTON_VERIFY_H

#include "base/bitmap.h"
#include "ext/morton_pool.h"

/* NULL: all hold; else the text of the first that does not. */
#define MORTON_HOLDS(e) \
    do {                \
        if (!(e))       \
            return #e;  \
    } while (0)

struct morton_seen {
    size_t listed, unlisted, chunks;
};

static inline const char *morton_verify_chunk(struct lode_morton_pool *pool,
                                              struct lodei_morton_zone *zone,
                                              struct lodei_morton_chunk *chunk,
                                              struct morton_seen *seen)
{
    const struct lodei_morton_cut *cut = &pool->cut;
    const uint64_t *map = chunk->detail->free_slots;
    char *memory = atomic_load(&chunk->memory);
    MORTON_HOLDS(chunk->zone == zone);
    MORTON_HOLDS((uintptr_t)memory % cut->chunk_bytes == 0);
    MORTON_HOLDS(lodei_morton_chunk_at(pool, memory + cut->chunk_bytes - 1) == chunk);
    MORTON_HOLDS(lodei_bitmap_count(map, 0, cut->chunk_slots) + chunk->blocks == cut->chunk_slots);
    for (unsigned g = 0; g < cut->chunk_granules; g++) {
        size_t first = g * cut->granule_slots;
        size_t slots = lodei_min(cut->granule_slots, cut->chunk_slots - first);
        int is_free = lodei_bitmap_count(map, first, slots) == slots;
        MORTON_HOLDS((int)(chunk->free_granules >> g & 1) == is_free);
        MORTON_HOLDS((lodei_morton_owners(pool, chunk)[g] == LODEI_MORTON_NOBODY) == is_free);
    }
    MORTON_HOLDS(cut->chunk_granules == 64 || chunk->free_granules >> cut->chunk_granules == 0);
    for (unsigned s = 0; s < cut->chunk_slots; s++)
        if (!lodei_bitmap_get(map, s) &&
            (lodei_morton_codes(pool, chunk)[s] & LODEI_MORTON_UNLISTED))
            seen->unlisted++;
    seen->chunks++;
    return NULL;
}

static inline const char *morton_verify_open(struct lode_morton_pool *pool,
                                             struct lodei_morton_zone *zone)
{
    const struct lodei_morton_cut *cut = &pool->cut;
    size_t on_lists = 0, open = 0;
    for (unsigned l = 0; l < LODEI_MORTON_ZONE_LEAVES; l++) {
        unsigned number = zone->open_first[l];
        MORTON_HOLDS((number != LODEI_MORTON_NONE) == (int)(zone->open >> l & 1));
        while (number != LODEI_MORTON_NONE) {
            struct lodei_morton_chunk *chunk = zone->chunks[number / cut->chunk_granules];
            unsigned g = number % cut->chunk_granules;
            MORTON_HOLDS(lodei_morton_owners(pool, chunk)[g] == l);
            MORTON_HOLDS(++on_lists <= LODEI_MORTON_NONE);
            number = lodei_morton_next(pool, chunk)[g];
        }
    }
    for (unsigned i = 0; i < zone->chunk_count; i++)
        for (unsigned g = 0; zone->chunks[i] != NULL && g < cut->chunk_granules; g++) {
            size_t first = g * cut->granule_slots;
            size_t slots = lodei_min(cut->granule_slots, cut->chunk_slots - first);
            size_t left = lodei_bitmap_count(zone->chunks[i]->detail->free_slots, first, slots);
            open += left != 0 && left != slots;
        }
    MORTON_HOLDS(on_lists == open);
    return NULL;
}

static inline const char *morton_verify_leaf(struct lode_morton_pool *pool,
                                             struct lodei_morton_zone *zone, unsigned number,
                                             struct morton_seen *seen)
{
    const struct lodei_morton_leaf *leaf = zone->leaves[number];
    size_t rank = 0;
    MORTON_HOLDS(leaf->count > 0 && leaf->count <= leaf->capacity);
    for (unsigned cell = 0; cell < LODEI_MORTON_LEAF_CODES; cell++) {
        MORTON_HOLDS(cell % 64 != 0 || leaf->before[cell / 64] == rank);
        if (!lodei_bitmap_get(leaf->held, cell))
            continue;
        unsigned slot = leaf->slots[rank++];
        struct lodei_morton_chunk *chunk = zone->chunks[slot / pool->cut.chunk_slots];
        MORTON_HOLDS(chunk != NULL);
        slot %= pool->cut.chunk_slots;
        MORTON_HOLDS(!lodei_bitmap_get(chunk->detail->free_slots, slot));
        MORTON_HOLDS(lodei_morton_codes(pool, chunk)[slot] ==
                     (number << LODEI_MORTON_LEAF_LOG2 | cell));
    }
    MORTON_HOLDS(rank == leaf->count);
    seen->listed += rank;
    return NULL;
}

static inline const char *morton_verify_zone(struct lode_morton_pool *pool,
                                             struct lodei_morton_zone *zone,
                                             struct morton_seen *seen)
{
    const char *fault = NULL;
    uint32_t blocks = 0, free_granules = 0, empty = 0;
    for (unsigned i = 0; i < zone->chunk_count && fault == NULL; i++) {
        struct lodei_morton_chunk *chunk = zone->chunks[i];
        if (chunk == NULL)
            continue;
        MORTON_HOLDS(chunk->index == i);
        fault = morton_verify_chunk(pool, zone, chunk, seen);
        blocks += chunk->blocks;
        free_granules += (uint32_t)__builtin_popcountll(chunk->free_granules);
        empty += chunk->blocks == 0;
        MORTON_HOLDS(i >= zone->first_free || chunk->free_granules == 0);
    }
    if (fault != NULL)
        return fault;
    MORTON_HOLDS(zone->blocks == blocks && blocks > 0);
    MORTON_HOLDS(zone->free_granules == free_granules && zone->empty == empty);
    MORTON_HOLDS(empty == 0 || free_granules < pool->cut.chunk_granules +
                                                   lodei_max(1, pool->cut.chunk_granules / 4));
    for (unsigned l = 0; l < LODEI_MORTON_ZONE_LEAVES && fault == NULL; l++)
        if (zone->leaves[l] != NULL)
            fault = morton_verify_leaf(pool, zone, l, seen);
    return fault != NULL ? fault : morton_verify_open(pool, zone);
}

static inline const char *morton_verify(struct lode_morton_pool *pool)
{
    struct morton_seen seen = {0};
    struct lode_allocator_stats stats;
    uint64_t chunks = 0;
    for (unsigned i = 0; i < LODEI_MORTON_STRIPES; i++) {
        struct lodei_morton_stripe *stripe = &pool->stripes[i];
        uint32_t zones = 0;
        for (size_t z = 0; stripe->zones != NULL && z <= stripe->zone_mask; z++) {
            struct lodei_morton_zone *zone = stripe->zones[z];
            if (zone == NULL)
                continue;
            zones++;
            MORTON_HOLDS(lodei_morton_zone_find(stripe, zone->number) == zone);
            const char *fault = morton_verify_zone(pool, zone, &seen);
            if (fault != NULL)
                return fault;
        }
        MORTON_HOLDS(zones == stripe->zone_count);
        chunks += atomic_load(&stripe->figures.chunks);
    }
    MORTON_HOLDS(seen.chunks == pool->table_chunks);
    MORTON_HOLDS(seen.chunks == chunks);
    lode_morton_pool_stats(pool, &stats);
    MORTON_HOLDS(stats.blocks == seen.listed + seen.unlisted);
    MORTON_HOLDS(stats.used_bytes == stats.blocks * pool->cut.stride);
    MORTON_HOLDS(stats.used_bytes + stats.free_bytes + stats.metadata_bytes <= stats.mapped_bytes);
    return NULL;
}

#endif
