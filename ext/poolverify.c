/* SPDX-License-Identifier: MIT */
/*
 * The invariants of object pools, walked under -Dchecks=full whenever objects move between chunks
 * and lists; compiled empty otherwise. Owns nothing; called under pool->lock by whoever may touch
 * the bits.
 *
 *     taken of all chunks        = pool->taken <= max
 *     bits of a plain pool       = taken - hot list, whose objects have theirs clear
 *     bits of a concurrent pool  = taken
 *     open                       = chunks that are mapped and not wholly taken
 */
#include "ext/poolcore.h"

#include "base/bitmap.h"

#if LODE_CHECKS >= 2

static void verify_chunk(const struct lodei_pool *p, struct lodei_pool_index *index,
                         struct lode_pool_chunk *chunk, size_t *bits)
{
    size_t set = lodei_bitmap_count(lodei_pool_bits(chunk), 0, p->front.slots);
    size_t free = lodei_bitmap_next(lodei_pool_bits(chunk), p->front.slots, 0, 0);
    uint32_t slot = 0;
    lode_assert(chunk->taken <= p->front.slots);
    lode_assert(set <= chunk->taken);
    lode_assert(!p->concurrent || set == chunk->taken);
    lode_assert(lodei_bitmap_get(index->open, chunk->number) == (chunk->taken < p->front.slots));
    lode_assert(chunk->taken == p->front.slots || chunk->number >= p->first_open);
    lode_assert(chunk->taken != set || free / 64 >= chunk->scan || free == p->front.slots);
    lode_assert(chunk->base % p->chunk_align == 0);
    lode_assert(lodei_pool_find(p, lodei_pool_object(p, chunk, 0), &slot) == chunk && slot == 0);
    *bits += set;
}

void lodei_pool_verify(const struct lodei_pool *p)
{
    struct lodei_pool_index *index = atomic_load_explicit(&p->index, memory_order_relaxed);
    size_t taken = 0, bits = 0, chunks = 0, empty = 0;
    for (uint32_t i = 0; i < index->capacity; i++) {
        struct lode_pool_chunk *chunk = index->chunks[i];
        if (!lodei_bitmap_get(index->mapped, i)) {
            lode_assert(!lodei_bitmap_get(index->open, i));
            lode_assert(chunk == NULL || (chunk->base == 0 && chunk->taken == 0));
            continue;
        }
        verify_chunk(p, index, chunk, &bits);
        taken += chunk->taken;
        empty += chunk->taken == 0;
        chunks++;
    }
    lode_assert(chunks == p->chunks && empty == p->empty_chunks);
    lode_assert(taken == p->taken && taken <= p->max);
    lode_assert(bits == taken - p->front.hot_count);
}

#endif
