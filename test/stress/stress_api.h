/* SPDX-License-Identifier: MIT */
/*
 * The names under test: STRESS_PREFIX=1 takes lode_malloc and its kin, linked; otherwise malloc's
 * names, and the heap API is looked up at run time, present only when lode is preloaded.
 */
#ifndef STRESS_API_H
#define STRESS_API_H

#include <lode/heap.h>
#include <lode/stats.h>

#if STRESS_PREFIX
#define STRESS_NAME        "stress-lode"
#define test_malloc        lode_malloc
#define test_calloc        lode_calloc
#define test_realloc       lode_realloc
#define test_aligned_alloc lode_aligned_alloc
#define test_free          lode_free
#define test_usable_size   lode_usable_size
#else
#include <malloc.h>
#include <stdlib.h>
#define STRESS_NAME        "stress-malloc"
#define test_malloc        malloc
#define test_calloc        calloc
#define test_realloc       realloc
#define test_aligned_alloc aligned_alloc
#define test_free          free
#define test_usable_size   malloc_usable_size
#endif

/** The heap API, all NULL where it is absent. */
struct stress_heap_api {
    int (*create)(const struct lode_heap_opts *, struct lode_heap **);
    void (*destroy)(struct lode_heap *);
    void *(*alloc)(struct lode_heap *, size_t);
    void *(*calloc)(struct lode_heap *, size_t, size_t);
    void *(*aligned_alloc)(struct lode_heap *, size_t, size_t);
    int (*walk)(struct lode_heap *, lode_span_visitor, lode_block_visitor, void *);
    int (*block_find)(const void *, struct lode_block_info *);
    int (*tag_push)(uint16_t);
    void (*tag_pop)(void);
    uint16_t (*tag_current)(void);
    size_t (*purge)(void);
    int (*stats_get)(struct lode_heap *, struct lode_stats *);
};
extern struct stress_heap_api stress_heap_api;

/** Fill stress_heap_api. Returns 0, or -1 if the API is absent. */
int stress_api_init(void);

#endif
