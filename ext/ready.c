/* SPDX-License-Identifier: MIT */
/*
 * Blocks that are ready, and places where bricks are foretold: see ready.h. Owns the tables, and
 * the blocks as long as they are in them.
 *
 *     full    0 1 1 0 ...     a block stands there        take: full -> mine -> vacant
 *     vacant  1 0 0 0 ...     nobody's                    put:  vacant -> mine -> full
 *                   ^ somebody is at it
 *
 * Nobody waits and no place is confused with an earlier use of it (the ABA of stacks), for a place
 * is taken by clearing its bit, which only one thread can do. A block is found by a look at up to 8
 * words; when there is none, by a look at one. Ours.
 */
#include "ext/ready.h"

#include <errno.h>

#include "lode/heap.h"

struct lodei_ready *lodei_ready_create(uint32_t limit)
{
    struct lodei_ready *ready = lode_heap_calloc(lode_heap_default(), 1, sizeof(*ready));
    if (ready == NULL)
        return NULL;
    ready->limit = limit < LODEI_READY_MAX ? limit : LODEI_READY_MAX;
    for (unsigned t = 0; t < LODE_TIER_COUNT; t++)
        for (unsigned i = 0; i < ready->limit; i++)
            ready->tiers[t].vacant[i / 64] |= (uint64_t)1 << i % 64;
    return ready;
}

void lodei_ready_destroy(struct lodei_ready *ready)
{
    lode_free(ready);
}

/* Take any bit out of a set: its number, or -1. */
static int bit_take(_Atomic uint64_t sets[LODEI_READY_SETS])
{
    for (unsigned s = 0; s < LODEI_READY_SETS; s++) {
        uint64_t bits = atomic_load_explicit(&sets[s], memory_order_relaxed);
        while (bits != 0) {
            uint64_t bit = bits & -bits;
            /* acquire: pairs with the release in bit_put(): what is in the place is seen */
            bits = atomic_fetch_and_explicit(&sets[s], ~bit, memory_order_acquire);
            if ((bits & bit) != 0)
                return (int)(s * 64 + (unsigned)__builtin_ctzll(bit));
        }
    }
    return -1;
}

static void bit_put(_Atomic uint64_t sets[LODEI_READY_SETS], int i)
{
    /* release: pairs with the acquire in bit_take() */
    atomic_fetch_or_explicit(&sets[i / 64], (uint64_t)1 << i % 64, memory_order_release);
}

void *lodei_ready_withdraw(struct lodei_ready *ready, unsigned tier)
{
    struct lodei_ready_tier *t = &ready->tiers[tier];
    int i = lodei_ready_count(ready, tier) != 0 ? bit_take(t->full) : -1;
    if (i < 0)
        return NULL;
    void *block = t->blocks[i];
    bit_put(t->vacant, i);
    atomic_fetch_sub_explicit(&t->count, 1, memory_order_relaxed);
    return block;
}

void *lodei_ready_take(struct lodei_ready *ready, unsigned tier)
{
    void *block = lodei_ready_withdraw(ready, tier);
    atomic_fetch_add_explicit(&ready->acquired, 1, memory_order_relaxed);
    if (block != NULL)
        atomic_fetch_add_explicit(&ready->acquired_ready, 1, memory_order_relaxed);
    return block;
}

int lodei_ready_put(struct lodei_ready *ready, unsigned tier, void *block)
{
    struct lodei_ready_tier *t = &ready->tiers[tier];
    int i = bit_take(t->vacant);
    if (i < 0)
        return -ENOSPC;
    t->blocks[i] = block;
    /* before the block can be taken: the count never falls below zero */
    atomic_fetch_add_explicit(&t->count, 1, memory_order_relaxed);
    bit_put(t->full, i);
    return 0;
}

/* ---- places; relaxed, all: counted with, and nothing else ---- */

static uint32_t way_of(uint64_t place)
{
    /* multiplicative hashing, Knuth 6.4; the constant is 2^64 / the golden ratio */
    uint64_t h = place * UINT64_C(0x9e3779b97f4a7c15) >> 40;
    return (uint32_t)(h * LODEI_FORETOLD_WAYS) % LODEI_FORETOLD;
}

void lodei_ready_foretell(struct lodei_ready *ready, uint64_t place)
{
    uint32_t first = way_of(place), best = first;
    uint64_t now = atomic_load_explicit(&ready->made, memory_order_relaxed);
    uint64_t soonest = UINT64_MAX;
    int known = 0;
    for (uint32_t i = first; i < first + LODEI_FORETOLD_WAYS && !known; i++) {
        uint64_t until = atomic_load_explicit(&ready->until[i], memory_order_relaxed);
        known = atomic_load_explicit(&ready->places[i], memory_order_relaxed) == place;
        if (known || until < soonest) {
            best = i;
            soonest = until;
        }
    }
    atomic_store_explicit(&ready->places[best], place, memory_order_relaxed);
    atomic_store_explicit(&ready->until[best], now + LODE_PREDICT_HORIZON, memory_order_relaxed);
    if (!known || soonest <= now)
        atomic_fetch_add_explicit(&ready->foretold, 1, memory_order_relaxed);
}

void lodei_ready_made(struct lodei_ready *ready, uint64_t place)
{
    uint64_t now = atomic_fetch_add_explicit(&ready->made, 1, memory_order_relaxed);
    uint32_t first = way_of(place);
    for (uint32_t i = first; i < first + LODEI_FORETOLD_WAYS; i++)
        if (atomic_load_explicit(&ready->places[i], memory_order_relaxed) == place &&
            atomic_load_explicit(&ready->until[i], memory_order_relaxed) > now) {
            atomic_fetch_add_explicit(&ready->made_foretold, 1, memory_order_relaxed);
            return;
        }
}
