/* SPDX-License-Identifier: MIT */
/*
 * Every allocator of conformance_table.c that any thread may use, by four threads at once: blocks
 * are written, checked, handed to another thread and freed there, while one thread reads figures
 * and lists what is alive. At the end nothing is left in the heap below. Run under TSan as well.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conformance.h"
#include "ext/registry.h"
#include "lode/heap.h"

#define THREADS 4
#define SLOTS   64
#define HELD    16
#define STEPS   20000

#define CHECK(e) ((e) ? (void)0 : failed(#e, __LINE__))

struct handed {
    size_t bytes; /* written first into the block itself, which is at least so large */
};

static const struct conformance_row *row;
static struct lode_allocator it;
static _Atomic(struct handed *) slots[SLOTS];
static _Atomic int running;

static void failed(const char *what, int line)
{
    fprintf(stderr, "stress_allocators.c:%d: %s: %s does not hold\n", line, row->name, what);
    abort();
}

static void release(struct handed *block)
{
    if (block == NULL)
        return;
    size_t bytes = block->bytes;
    const unsigned char *p = (const unsigned char *)block;
    for (size_t i = sizeof(*block); i < bytes; i++)
        CHECK(p[i] == (unsigned char)bytes);
    CHECK(lode_allocator_owns(&it, block));
    CHECK(lode_allocator_free(&it, block, bytes, 16) == 0);
}

static struct handed *acquire(size_t bytes)
{
    if (row->traits & LODE_TRAIT_FIXED)
        bytes = row->block_bytes;
    struct handed *block = lode_allocator_alloc(&it, bytes, 16);
    if (block == NULL)
        return NULL;
    memset(block, (unsigned char)bytes, bytes);
    block->bytes = bytes;
    return block;
}

static void *work(void *arg)
{
    uint32_t seed = (uint32_t)(uintptr_t)arg;
    struct handed *held[HELD] = {NULL};
    for (int step = 0; step < STEPS; step++) {
        seed = seed * 1664525 + 1013904223;
        struct handed **mine = &held[seed >> 28];
        release(*mine);
        *mine = acquire(sizeof(struct handed) + (seed >> 8) % 500);
        /* acq_rel: the block's bytes go along; pairs with the exchange of the thread that gets it
         */
        if (seed >> 20 & 1)
            *mine =
                atomic_exchange_explicit(&slots[(seed >> 22) % SLOTS], *mine, memory_order_acq_rel);
    }
    for (int i = 0; i < HELD; i++)
        release(held[i]);
    return NULL;
}

static int look(void *ctx, const struct lodei_registered *entry,
                const struct lode_allocator_stats *stats)
{
    (void)entry;
    CHECK(stats->used_bytes <= stats->mapped_bytes);
    ++*(size_t *)ctx;
    return 0;
}

static void *watch(void *arg)
{
    while (atomic_load_explicit(&running, memory_order_relaxed)) { /* only a reason to end */
        struct lode_allocator_stats stats;
        size_t seen = 0;
        lode_allocator_stats(&it, &stats);
        CHECK(lodei_registry_each(look, &seen) == 0);
        (void)lode_allocator_can_allocate(&it, 100, 16);
    }
    return arg;
}

static int count_block(void *ctx, void *block, size_t usable_bytes)
{
    (void)block;
    (void)usable_bytes;
    ++*(size_t *)ctx;
    return 0;
}

static void run(void)
{
    pthread_t threads[THREADS], watcher;
    struct lode_heap *heap;
    size_t left = 0;
    CHECK(lode_heap_create(NULL, &heap) == 0);
    CHECK(row->make(heap, &it) == 0);
    atomic_store_explicit(&running, 1, memory_order_relaxed);
    CHECK(pthread_create(&watcher, NULL, watch, NULL) == 0);
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, work, (void *)(i + 1)) == 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    atomic_store_explicit(&running, 0, memory_order_relaxed);
    pthread_join(watcher, NULL);
    for (size_t i = 0; i < SLOTS; i++)
        release(atomic_exchange_explicit(&slots[i], NULL, memory_order_relaxed));
    row->end(&it);
    CHECK(lode_heap_walk(heap, NULL, count_block, &left) == 0);
    CHECK(left == 0);
    lode_heap_destroy(heap);
}

int main(void)
{
    for (row = conformance_rows; row->name != NULL; row++)
        if (row->traits & LODE_TRAIT_THREADS) {
            run();
            printf("%s: fine\n", row->name);
        }
    return 0;
}
