/* SPDX-License-Identifier: MIT */
/*
 * Owns the stack table: a fixed array of buckets, each a chain of stacks that only grows at its
 * head.
 *
 *     id = chunk number << 16 | offset in the chunk / 16
 *     heads[hash] -> id -> id -> 0            chunk: [stack][stack][ ...untouched... ]  1 MiB
 *
 * 65,536 chunks hold 64 GiB of stacks. There is no lock: stacks are bump-allocated, filled, and
 * published by a compare-and-swap on the bucket's head, so a fork at any instant leaves the child a
 * whole table. Two threads that add the same stack at once see each other at the swap; the loser's
 * copy is wasted. 2^18 buckets: a million stacks are chains of four.
 *
 * Never calls malloc or the loader.
 */
#include <stdatomic.h>
#include <string.h>

#include "trace/chunk.h"
#include "trace/stacks.h"

#define BUCKETS_LOG2  18
#define CHUNK_BYTES   ((uint32_t)1 << 20)
#define CHUNKS        65536u
#define STACK_ALIGN   16u
#define ID_OFFSET_BIT 16

_Static_assert(CHUNK_BYTES / STACK_ALIGN == 1u << ID_OFFSET_BIT,
               "an offset fills its half of the id");
_Static_assert(sizeof(struct lodei_stack) % sizeof(uintptr_t) == 0, "frames are aligned");

static _Atomic(uint32_t) heads[1u << BUCKETS_LOG2];
static _Atomic(char *) chunks[CHUNKS];
/* Bytes handed out so far, whole chunks included; starts past the place of id 0. */
static _Atomic(uint64_t) cursor = STACK_ALIGN;
static _Atomic(uint64_t) kept;
static _Atomic(uint64_t) lost;

uint32_t lodei_stacks_hash(const uintptr_t *frames, unsigned count, uint32_t salt)
{
    uint64_t hash = count + ((uint64_t)salt << 8);

    /* Multiply and fold, per word: 2^64 / golden ratio, odd. */
    for (unsigned i = 0; i < count; i++) {
        hash = (hash ^ frames[i]) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 29;
    }
    return (uint32_t)(hash >> 16);
}

struct lodei_stack *lodei_stacks_get(uint32_t id)
{
    /* Pairs with the release that published the id's chunk in chunk_at(). */
    char *chunk = atomic_load_explicit(&chunks[id >> ID_OFFSET_BIT], memory_order_acquire);
    void *stack = chunk + (size_t)(id & ((1u << ID_OFFSET_BIT) - 1)) * STACK_ALIGN;

    return stack;
}

/* Look in the chain from `id` up to, not including, `end`. */
static uint32_t chain_find(uint32_t id, uint32_t end, const uintptr_t *frames, unsigned count,
                           uint32_t hash)
{
    while (id != end) {
        const struct lodei_stack *stack = lodei_stacks_get(id);

        if (stack->hash == hash && stack->count == count &&
            memcmp(stack->frames, frames, count * sizeof(*frames)) == 0)
            return id;
        id = stack->next;
    }
    return 0;
}

uint32_t lodei_stacks_find(const uintptr_t *frames, unsigned count, uint32_t hash)
{
    /* Pairs with the release in lodei_stacks_add(): the stack is whole. */
    uint32_t head = atomic_load_explicit(&heads[hash >> (32 - BUCKETS_LOG2)], memory_order_acquire);

    return chain_find(head, 0, frames, count, hash);
}

static bool chunk_at(uint64_t index)
{
    char *none = NULL;
    char *chunk;

    if (index >= CHUNKS)
        return false;
    if (atomic_load_explicit(&chunks[index], memory_order_acquire))
        return true;
    chunk = lodei_chunk_map(CHUNK_BYTES);
    if (!chunk)
        return false;
    /* Release pairs with lodei_stacks_get(); on failure another thread's chunk stands there. */
    if (!atomic_compare_exchange_strong_explicit(&chunks[index], &none, chunk, memory_order_release,
                                                 memory_order_acquire))
        lodei_chunk_unmap(chunk, CHUNK_BYTES);
    return true;
}

/* Room for `bytes`, as an id; 0 when out of memory. */
static uint32_t carve(uint64_t bytes)
{
    uint64_t at = atomic_load_explicit(&cursor, memory_order_relaxed);
    uint64_t start;

    bytes = (bytes + STACK_ALIGN - 1) & ~(uint64_t)(STACK_ALIGN - 1);
    do {
        start = at;
        if (start / CHUNK_BYTES != (start + bytes - 1) / CHUNK_BYTES)
            start = (start / CHUNK_BYTES + 1) * CHUNK_BYTES;
        if (!chunk_at(start / CHUNK_BYTES))
            return 0;
        /* Relaxed: the cursor only divides addresses; stacks are published through heads[]. */
    } while (!atomic_compare_exchange_weak_explicit(&cursor, &at, start + bytes,
                                                    memory_order_relaxed, memory_order_relaxed));
    return (uint32_t)(start / STACK_ALIGN);
}

uint32_t lodei_stacks_add(const uintptr_t *frames, unsigned count, uint32_t hash, uint32_t epoch)
{
    _Atomic(uint32_t) *head = &heads[hash >> (32 - BUCKETS_LOG2)];
    uint32_t first = atomic_load_explicit(head, memory_order_acquire);
    uint32_t known = chain_find(first, 0, frames, count, hash);
    struct lodei_stack *stack;
    uint32_t id;

    if (known)
        return known;
    id = carve(sizeof(*stack) + count * sizeof(*frames));
    if (!id) {
        atomic_fetch_add_explicit(&lost, 1, memory_order_relaxed);
        return 0;
    }
    stack = lodei_stacks_get(id);
    stack->hash = hash;
    stack->epoch = epoch;
    stack->count = count;
    memcpy(stack->frames, frames, count * sizeof(*frames));
    stack->next = first;
    /* Release pairs with the acquire of whoever finds the stack. */
    while (!atomic_compare_exchange_weak_explicit(head, &first, id, memory_order_release,
                                                  memory_order_acquire)) {
        known = chain_find(first, stack->next, frames, count, hash);
        if (known)
            return known;
        stack->next = first;
    }
    atomic_fetch_add_explicit(&kept, 1, memory_order_relaxed);
    return id;
}

uint64_t lodei_stacks_count(void)
{
    return atomic_load_explicit(&kept, memory_order_relaxed);
}

uint64_t lodei_stacks_lost(void)
{
    return atomic_load_explicit(&lost, memory_order_relaxed);
}
