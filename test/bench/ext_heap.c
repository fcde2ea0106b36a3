/* SPDX-License-Identifier: MIT */
/* What everything else stands on: a block of a first-class heap, allocated and freed. */
#include <lode/heap.h>

#include "ext_bench.h"

#define PAIRS 1000000

static struct lode_heap *heap;

static void prepare(void)
{
    struct lode_heap_opts opts = LODE_HEAP_OPTS_INIT;
    opts.name = "bench";
    if (lode_heap_create(&opts, &heap) != 0)
        __builtin_trap();
}

static size_t heap_pairs(void)
{
    for (int i = 0; i < PAIRS; i++) {
        void *block = lode_heap_alloc(heap, 1024);
        ext_bench_keep(block);
        lode_free(block);
    }
    return PAIRS;
}

static void finish(void)
{
    lode_heap_destroy(heap);
}

const struct ext_bench ext_bench_heap[] = {
    {"heap-pair-1024", "alloc+free", 0, prepare, heap_pairs, finish},
    {0},
};
