/* SPDX-License-Identifier: MIT */
/* Requests: nanoseconds for one allocated and freed, by where it comes from. */
#include <lode/request.h>

#include "ext_bench.h"

#define PAIRS 300000

static struct lode_request request;

static void prepare_with(enum lode_memory_type type, size_t bytes, uint16_t tag)
{
    request = (struct lode_request)LODE_REQUEST_INIT;
    request.type = (uint8_t)type;
    request.bytes = bytes;
    request.tag = tag;
}

static void prepare_heap(void)
{
    prepare_with(LODE_MEMORY_SYSTEM, 200, 0);
}

static void prepare_tagged(void)
{
    prepare_with(LODE_MEMORY_SYSTEM, 200, 77);
}

static void prepare_pool(void)
{
    prepare_with(LODE_MEMORY_POOL, 200, 0);
}

static void prepare_stack(void)
{
    prepare_with(LODE_MEMORY_STACK, 200, 0);
}

static size_t pairs(void)
{
    for (int i = 0; i < PAIRS; i++) {
        struct lode_allocation a;
        if (lode_alloc(&request, &a) != 0 || lode_alloc_free(&a) != 0)
            __builtin_trap();
    }
    return PAIRS;
}

const struct ext_bench ext_bench_request[] = {
    {"request-heap-200", "alloc+free", 0, prepare_heap, pairs, NULL},
    {"request-heap-200-tagged", "alloc+free", 0, prepare_tagged, pairs, NULL},
    {"request-pool-200", "alloc+free", 0, prepare_pool, pairs, NULL},
    {"request-stack-200", "alloc+free", 0, prepare_stack, pairs, NULL},
    {0},
};
