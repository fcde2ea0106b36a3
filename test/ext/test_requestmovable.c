/* SPDX-License-Identifier: MIT */
/* Requests for what may move: their handles and places, what pins and reading sections hold, which
 * ways of serving them there are, and a heap that refuses. */
#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "ext/requestcore.h"
#include "ext/slots.h"
#include "failing_heap.h"
#include "lode/morton.h"
#include "lode/request.h"
#include "lode/sdf.h"
#include "requests.h"

static struct lode_request of_movable(size_t bytes, enum lode_memory_type type)
{
    struct lode_request r = of(bytes, type);
    r.flags = LODE_REQUEST_MOVABLE;
    return r;
}

/* As got(), and it has a handle. */
static struct lode_allocation got_movable(const struct lode_request *r)
{
    struct lode_allocation a = got(r);
    cr_assert(a.flags & LODE_ALLOCATION_MOVABLE);
    cr_assert_eq(lode_peek(a.handle), a.ptr);
    cr_assert_eq((uintptr_t)a.ptr % 64, 0);
    return a;
}

/* As put(), and the handle is stale. */
static void put_movable(const struct lode_allocation *a)
{
    put(a);
    cr_assert_not(lode_handle_is_live(a->handle));
}

static struct lode_heap *heap_of(const void *ptr)
{
    struct lode_block_info info;
    cr_assert_eq(lode_block_find(ptr, &info), 0);
    return info.heap;
}

struct named {
    const struct lode_heap *heap;
    int found;
};

static int look(void *ctx, struct lode_heap *heap, const char *name, uint16_t tag,
                enum lode_kind kind)
{
    struct named *named = ctx;
    if (heap == named->heap)
        named->found =
            strcmp(name, "temporary movable") == 0 && tag == 7 && kind == LODE_KIND_SYSTEM;
    return 0;
}

Test(requestmovable, what_may_move_has_a_handle_and_a_heap_of_its_own)
{
    struct lode_request r = of_movable(100, LODE_MEMORY_TEMPORARY), stays = r;
    r.tag = stays.tag = 7;
    stays.flags = 0;
    struct lode_allocation a = got_movable(&r), b = got_movable(&r), c;
    cr_assert_eq(lode_alloc(&stays, &c), 0);
    cr_assert_eq(c.handle, LODE_HANDLE_NULL);
    cr_assert_not(c.flags & LODE_ALLOCATION_MOVABLE);
    cr_assert_neq(a.handle, b.handle);
    cr_assert_eq(heap_of(a.ptr), heap_of(b.ptr));
    cr_assert_neq(heap_of(a.ptr), heap_of(c.ptr));
    struct named named = {.heap = heap_of(a.ptr)};
    (void)lode_heaps_enumerate(look, &named);
    cr_assert(named.found);
    put_movable(&a);
    put_movable(&b);
    cr_assert_eq(lode_alloc_free(&c), 0);
}

Test(requestmovable, a_handle_that_was_freed_is_stale_for_good)
{
    struct lode_request r = of_movable(64, LODE_MEMORY_SYSTEM);
    struct lode_allocation first = got_movable(&r);
    put_movable(&first);
    for (int i = 0; i < 1000; i++) {
        struct lode_allocation a = got_movable(&r); /* perhaps the same slot, the same address */
        cr_assert_neq(a.handle, first.handle);
        cr_assert_null(lode_pin(first.handle));
        cr_assert_eq(errno, ESTALE);
        cr_assert_eq(lode_alloc_free(&first), -EINVAL);
        cr_assert_eq(lode_peek(a.handle), a.ptr);
        put_movable(&a);
    }
}

Test(requestmovable, a_pinned_block_stays_until_its_last_pin)
{
    struct lode_request r = of_movable(5000, LODE_MEMORY_AUDIO);
    struct lode_allocation a = got_movable(&r);
    struct lode_read_stats waiting;
    char *pinned = lode_pin(a.handle);
    cr_assert_eq(pinned, a.ptr);
    memset(pinned, 0x33, a.bytes);
    put_movable(&a);
    cr_assert_eq(stats_of(LODE_MEMORY_AUDIO).used_bytes, 0);
    for (int i = 0; i < 1000; i++) { /* nothing else waits for the pin */
        struct lode_allocation b = got_movable(&r);
        cr_assert_neq(b.ptr, (void *)pinned);
        put_movable(&b);
        lode_read_stats(&waiting);
        cr_assert_eq(waiting.parked_blocks, 1);
    }
    lodei_movable_verify();
    for (size_t i = 0; i < a.bytes; i++)
        cr_assert_eq(pinned[i], 0x33);
    cr_assert_eq(lode_unpin(a.handle), 0);
    lode_read_stats(&waiting);
    cr_assert_eq(waiting.parked_blocks, 0);
}

Test(requestmovable, a_block_that_is_read_stays_until_the_section_ends)
{
    struct lode_request r = of_movable(5000, LODE_MEMORY_VIDEO);
    struct lode_allocation a = got_movable(&r);
    struct lode_read_stats waiting;
    memset(a.ptr, 0x44, a.bytes);
    cr_assert_eq(lode_read_begin(), 0);
    const char *now = lode_peek(a.handle);
    put_movable(&a);
    lode_read_stats(&waiting);
    cr_assert_eq(waiting.waiting_blocks, 1);
    for (size_t i = 0; i < a.bytes; i++)
        cr_assert_eq(now[i], 0x44);
    lode_read_end();
    lode_read_stats(&waiting);
    cr_assert_eq(waiting.waiting_blocks, 0);
}

Test(requestmovable, heaps_serve_whoever_has_pools)
{
    static const uint8_t types[] = {LODE_MEMORY_SYSTEM,  LODE_MEMORY_VIDEO,     LODE_MEMORY_AUDIO,
                                    LODE_MEMORY_NETWORK, LODE_MEMORY_TEMPORARY, LODE_MEMORY_POOL};
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (size_t t = 0; t < sizeof(types); t++)
        for (size_t align = 1; align <= 1 << 16; align *= 4) {
            struct lode_request r = of_movable(100 * align, types[t]);
            r.align = align;
            r.flags |= LODE_REQUEST_ZERO;
            struct lode_allocation a;
            cr_assert_eq(lode_alloc(&r, &a), 0);
            cr_assert_eq(a.strategy, LODE_STRATEGY_HEAP);
            cr_assert_eq(a.type, types[t]);
            cr_assert_eq(a.flags, LODE_ALLOCATION_MOVABLE);
            cr_assert_eq((uintptr_t)a.ptr % align, 0);
            cr_assert(types[t] != LODE_MEMORY_VIDEO || (uintptr_t)a.ptr % page == 0);
            for (size_t i = 0; i < a.bytes; i++)
                cr_assert_eq(((char *)a.ptr)[i], 0);
            memset(a.ptr, 0xff, a.bytes);
            put_movable(&a);
        }
}

Test(requestmovable, huge_ones_are_huge_and_movable)
{
    struct lode_request r = of_movable((size_t)2 << 20, LODE_MEMORY_SYSTEM);
    struct lode_block_info info;
    r.flags |= LODE_REQUEST_HUGE;
    struct lode_allocation a = got_movable(&r);
    cr_assert_eq(a.flags, LODE_ALLOCATION_MOVABLE | LODE_ALLOCATION_HUGE);
    cr_assert_eq(lode_block_find(a.ptr, &info), 0);
    cr_assert_eq(info.kind, LODE_KIND_HUGE);
    put_movable(&a);
}

Test(requestmovable, what_cannot_move_is_refused)
{
    struct lode_request r = of_movable(100, LODE_MEMORY_STACK);
    assert_refused(&r, -ENOTSUP);
    r.flags |= LODE_REQUEST_FALLBACK;
    struct lode_allocation a = got_movable(&r);
    cr_assert_eq(a.strategy, LODE_STRATEGY_HEAP);
    cr_assert(a.flags & LODE_ALLOCATION_FELL_BACK);
    put_movable(&a);
    r = of_movable(100, LODE_MEMORY_SYSTEM);
    r.strategy = LODE_STRATEGY_POOL;
    assert_refused(&r, -ENOTSUP);
    r.strategy = LODE_STRATEGY_OWN;
    assert_refused(&r, -ENOTSUP);
    r = of_movable(100, LODE_MEMORY_SYSTEM);
    r.flags |= LODE_REQUEST_DMA | LODE_REQUEST_FALLBACK;
    assert_refused(&r, -EINVAL);
    r = of_movable(100, LODE_MEMORY_SYSTEM);
    r.flags |= LODE_REQUEST_CRITICAL; /* the reserve has no handles */
    cr_assert_eq(lode_request_limit_set(LODE_MEMORY_SYSTEM, 0), 0);
    assert_refused(&r, -ENOSPC);
}

Test(requestmovable, its_handle_is_no_brick)
{
    struct lode_request r = of_movable(1024, LODE_MEMORY_SYSTEM);
    struct lode_sdf_opts opts = LODE_SDF_OPTS_INIT;
    struct lode_allocation a = got_movable(&r);
    struct lode_sdf *sdf;
    cr_assert_eq(lode_sdf_create(&opts, &sdf), 0);
    cr_assert_eq(lode_sdf_brick_free(sdf, a.handle), -EINVAL);
    cr_assert_eq(lode_peek(a.handle), a.ptr);
    lode_sdf_destroy(sdf);
    put_movable(&a);
}

Test(requestmovable, many_may_be_freed_under_pins)
{
    struct lode_request r = of_movable(100, LODE_MEMORY_SYSTEM);
    struct lode_allocation a[100], b[100];
    struct lode_read_stats waiting;
    cr_assert_eq(lode_alloc_many(&r, a, 100), 0);
    for (int i = 0; i < 100; i++)
        cr_assert_not_null(lode_pin(a[i].handle));
    cr_assert_eq(lode_alloc_free_many(a, 100), 0);
    lodei_movable_verify();
    for (int i = 0; i < 100; i += 2)
        cr_assert_eq(lode_unpin(a[i].handle), 0);
    for (int round = 0; round < 100; round++) {
        cr_assert_eq(lode_alloc_many(&r, b, 100), 0);
        cr_assert_eq(lode_alloc_free_many(b, 100), 0);
    }
    lode_read_stats(&waiting);
    cr_assert_eq(waiting.parked_blocks, 50);
    for (int i = 1; i < 100; i += 2)
        cr_assert_eq(lode_unpin(a[i].handle), 0);
    lode_read_stats(&waiting);
    cr_assert_eq(waiting.parked_blocks, 0);
    lodei_movable_verify();
}

Test(requestmovable, a_slot_whose_lives_are_used_up_is_left)
{
    struct lode_request r = of_movable(100, LODE_MEMORY_SYSTEM);
    struct lode_allocation a = got_movable(&r);
    put_movable(&a);
    uint32_t index = (uint32_t)a.handle, at = index % LODE_HANDLE_PAGE;
    struct lode_handle_page *page = lodei_slot_page(index);
    page->words[at] = page->generations[at] = UINT32_MAX - 1; /* its last life */
    struct lode_allocation last = got_movable(&r);
    cr_assert_eq((uint32_t)last.handle, index);
    put_movable(&last);
    struct lode_allocation b = got_movable(&r);
    cr_assert_neq((uint32_t)b.handle, index);
    put_movable(&b);
    lodei_movable_verify();
}

Test(requestmovable, it_lies_beside_another_in_its_own_heap)
{
    struct lode_request r = of_movable(100, LODE_MEMORY_SYSTEM);
    struct lode_morton_pool *pool;
    struct lode_morton_pool_opts opts = LODE_MORTON_POOL_OPTS_INIT;
    void *beside;
    struct lode_allocation a = got_movable(&r);
    r.near_ptr = a.ptr;
    struct lode_allocation b = got_movable(&r);
    cr_assert_lt(b.distance_bytes, 65536);
    opts.block_bytes = 256;
    cr_assert_eq(lode_morton_pool_create(&opts, &pool), 0);
    cr_assert_eq(lode_morton_pool_acquire(pool, 5, &beside), 0);
    r.near_ptr = beside;
    struct lode_allocation c = got_movable(&r); /* not of the pool: its blocks stay */
    cr_assert_eq(heap_of(c.ptr), heap_of(a.ptr));
    lode_morton_pool_destroy(pool);
    put_movable(&a);
    put_movable(&b);
    put_movable(&c);
}

Test(requestmovable, memory_may_end_anywhere)
{
    for (long n = 0; n < 30; n++) {
        struct lode_request r = of_movable(100, LODE_MEMORY_SYSTEM);
        struct lode_allocation a[20] = {{.ptr = (void *)8}};
        r.tag = (uint16_t)n; /* a place of its own each time */
        failing_heap_after = n;
        int error = lode_alloc_many(&r, a, 20);
        failing_heap_after = -1;
        cr_assert(error == 0 || error == -ENOMEM, "%d", error);
        if (error == 0)
            cr_assert_eq(lode_alloc_free_many(a, 20), 0);
        else
            cr_assert_eq((uintptr_t)a[0].ptr, 8);
        cr_assert_eq(stats_of(LODE_MEMORY_SYSTEM).live, 0);
        cr_assert_eq(stats_of(LODE_MEMORY_SYSTEM).used_bytes, 0);
        a[0] = got_movable(&r);
        put_movable(&a[0]);
    }
}
