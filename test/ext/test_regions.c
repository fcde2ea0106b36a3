/* SPDX-License-Identifier: MIT */
/* ext/regions.c: every mapped byte under one name, and a closer look at the allocators in heaps. */
#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

#include "failing_heap.h"
#include "lode/arena.h"
#include "lode/cpool.h"
#include "lode/pool.h"
#include "lode/regions.h"
#include "lode/stats.h"

struct seen {
    size_t count, top_bytes, frees, metadata;
    size_t nested_bytes; /* of allocators in heap */
    const void *heap;
    size_t heap_bytes, heap_used;
    const char *find; /* a name */
    struct lode_region_info found;
    const void *last_top;
    int stop_after;
};

static int see(void *ctx, const struct lode_region_info *r)
{
    struct seen *s = ctx;
    s->count++;
    cr_assert_eq(r->size, sizeof(*r));
    cr_assert_leq(r->used_bytes + r->free_bytes + r->metadata_bytes, r->mapped_bytes, "%s %s",
                  r->what, r->name);
    if (r->parent == NULL) {
        s->top_bytes += r->mapped_bytes;
        s->last_top = r->object;
    } else {
        cr_assert_eq(r->parent, s->last_top); /* right behind its heap */
        cr_assert_eq(r->sort, LODE_REGION_ALLOCATOR);
    }
    s->frees += r->sort == LODE_REGION_FREE;
    s->metadata += r->sort == LODE_REGION_METADATA;
    if (s->heap != NULL && r->parent == s->heap)
        s->nested_bytes += r->mapped_bytes;
    if (s->heap != NULL && r->object == s->heap) {
        s->heap_bytes = r->mapped_bytes;
        s->heap_used = r->used_bytes;
    }
    if (s->find != NULL && strcmp(r->name, s->find) == 0)
        s->found = *r;
    return s->stop_after != 0 && (int)s->count == s->stop_after ? 9 : 0;
}

static size_t mapped_bytes(void)
{
    struct lode_stats s = {.size = sizeof(s)};
    cr_assert_eq(lode_stats_get(NULL, &s), 0);
    return s.mapped_bytes;
}

Test(regions, top_ones_add_up_to_all_that_is_mapped)
{
    struct lode_heap *heap;
    void *blocks[200];
    cr_assert_eq(lode_heap_create(NULL, &heap), 0);
    for (int i = 0; i < 200; i++)
        blocks[i] = lode_heap_alloc(heap, (size_t)1 << (4 + i % 16));
    for (int i = 0; i < 200; i += 2)
        lode_free(blocks[i]);
    struct seen s = {0};
    cr_assert_eq(lode_regions_enumerate(see, &s), 0);
    cr_assert_eq(s.top_bytes, mapped_bytes());
    cr_assert_eq(s.frees, 1);
    cr_assert_eq(s.metadata, 1);
    lode_heap_destroy(heap);
    s = (struct seen){0};
    (void)lode_purge();
    cr_assert_eq(lode_regions_enumerate(see, &s), 0);
    cr_assert_eq(s.top_bytes, mapped_bytes());
}

Test(regions, allocators_lie_in_their_heaps)
{
    struct lode_heap_opts ho = LODE_HEAP_OPTS_INIT;
    struct lode_heap *heap;
    struct lode_pool_opts po = LODE_POOL_OPTS_INIT;
    struct lode_arena_opts ao = LODE_ARENA_OPTS_INIT;
    struct lode_pool *pool;
    struct lode_cpool *cpool;
    struct lode_arena *arena;
    ho.tag = 9;
    ho.name = "world";
    cr_assert_eq(lode_heap_create(&ho, &heap), 0);
    po.object_bytes = 64;
    po.initial = 5000;
    po.heap = heap;
    po.name = "creatures";
    cr_assert_eq(lode_pool_create(&po, &pool), 0);
    po.name = "packets";
    cr_assert_eq(lode_cpool_create(&po, &cpool), 0);
    ao.heap = heap;
    ao.initial_bytes = 100000;
    cr_assert_eq(lode_arena_create(&ao, &arena), 0);
    for (int i = 0; i < 100; i++)
        cr_assert_not_null(lode_pool_acquire(pool));
    struct seen s = {.heap = heap, .find = "creatures"};
    cr_assert_eq(lode_regions_enumerate(see, &s), 0);
    cr_assert_eq(s.top_bytes, mapped_bytes());
    cr_assert_leq(s.nested_bytes, s.heap_used);
    cr_assert_geq(s.nested_bytes, 2 * 5000 * 64 + 100000);
    cr_assert_eq(s.found.object, pool);
    cr_assert_str_eq(s.found.what, "pool");
    cr_assert_eq(s.found.tag, 9);
    cr_assert_eq(s.found.used_bytes, 6400);
    cr_assert_eq(s.found.parent, heap);
    s = (struct seen){.heap = heap, .find = "packets"};
    cr_assert_eq(lode_regions_enumerate(see, &s), 0);
    cr_assert_eq(s.found.object, cpool);
    cr_assert_str_eq(s.found.what, "cpool");
    lode_arena_destroy(arena);
    lode_cpool_destroy(cpool);
    lode_pool_destroy(pool);
    lode_heap_destroy(heap);
}

Test(regions, heaps_of_requests_say_what_they_are_for)
{
    for (unsigned t = 0; t < LODE_MEMORY_TYPES; t++) {
        struct lode_placement rule;
        struct lode_request r = LODE_REQUEST_INIT;
        struct lode_allocation a;
        cr_assert_eq(lode_placement_get(t, &rule), 0);
        r.type = (uint8_t)t;
        r.bytes = 1000;
        if (t == LODE_MEMORY_SHARED)
            continue;
        cr_assert_eq(lode_alloc(&r, &a), 0);
        struct seen s = {.find = rule.name};
        cr_assert_eq(lode_regions_enumerate(see, &s), 0);
        cr_assert_eq(s.found.memory_type, t);
        cr_assert_geq(s.found.used_bytes, 1000);
        cr_assert_eq(lode_alloc_free(&a), 0);
    }
}

Test(regions, a_visitor_may_stop_and_may_allocate)
{
    struct seen s = {.stop_after = 2};
    cr_assert_eq(lode_regions_enumerate(see, &s), 9);
    cr_assert_eq(s.count, 2);
}

Test(regions, without_memory_nothing_is_shown)
{
    struct seen s = {0};
    failing_heap_after = 0;
    errno = 7;
    cr_assert_eq(lode_regions_enumerate(see, &s), -ENOMEM);
    cr_assert_eq(errno, 7);
    failing_heap_after = -1;
    cr_assert_eq(s.count, 0);
}
