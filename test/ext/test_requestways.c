/* SPDX-License-Identifier: MIT */
/* Requests served by threads' stacks, by allocators that the program lends, beside other blocks,
 * and from touched memory. */
#include <criterion/criterion.h>

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ext/near.h"
#include "lode/morton.h"
#include "lode/cpool.h"
#include "lode/request.h"
#include "requests.h"

/* ---- stacks ---- */

static void *free_elsewhere(void *arg)
{
    struct lode_request r = of(10, LODE_MEMORY_STACK);
    cr_assert_eq(lode_alloc_free(arg), -EPERM);
    struct lode_allocation own = got(&r), left = got(&r);
    cr_assert_eq(lode_alloc_free(arg), -EPERM);
    cr_assert_eq(lode_alloc_free(&own), -EBUSY);
    put(&left);
    put(&own);
    (void)got(&r);
    *(struct lode_allocation *)arg = got(&r); /* both end with the thread */
    return NULL;
}

Test(requestways, a_thread_has_a_stack)
{
    struct lode_request r = of(100, LODE_MEMORY_STACK);
    struct lode_allocation a = got(&r), b = got(&r), c = got(&r), lent;
    pthread_t thread;
    cr_assert_eq((char *)b.ptr - (char *)a.ptr, 112);
    struct lode_request_stats before = stats_of(LODE_MEMORY_STACK);
    cr_assert_eq(lode_alloc_free(&a), -EBUSY);
    cr_assert_eq(lode_alloc_free(&b), -EBUSY);
    cr_assert_eq(stats_of(LODE_MEMORY_STACK).used_bytes, before.used_bytes);
    put(&c);
    cr_assert_eq(lode_alloc_free(&c), -EINVAL);
    put(&b);
    lent = a;
    cr_assert_eq(pthread_create(&thread, NULL, free_elsewhere, &lent), 0);
    pthread_join(thread, NULL);
    cr_assert_eq(lode_alloc_free(&lent), -EINVAL);
    cr_assert_eq(stats_of(LODE_MEMORY_STACK).live, 1);
    put(&a);
    cr_assert_eq(stats_of(LODE_MEMORY_STACK).live, 0);
    cr_assert_eq(stats_of(LODE_MEMORY_STACK).used_bytes, 0);
    struct lode_allocation many[20];
    cr_assert_eq(lode_alloc_many(&r, many, 20), 0);
    cr_assert_eq(lode_alloc_free_many(many, 20), 0);
}

/* ---- lent allocators ---- */

Test(requestways, a_program_may_lend_allocators)
{
    struct lode_pool_opts o = LODE_POOL_OPTS_INIT;
    struct lode_cpool *cpool;
    struct lode_allocator lent;
    struct lode_request r = of(100, LODE_MEMORY_SYSTEM);
    o.object_bytes = 128;
    o.max = 3;
    r.strategy = LODE_STRATEGY_BUDDY;
    cr_assert_eq(lode_cpool_create(&o, &cpool), 0);
    lode_cpool_allocator(cpool, &lent);
    assert_refused(&r, -ENOTSUP);
    cr_assert_eq(lode_request_lend(LODE_STRATEGY_POOL, &lent), -EINVAL);
    cr_assert_eq(lode_request_lend(LODE_STRATEGY_RESERVE, &lent), -EINVAL);
    cr_assert_eq(lode_request_lend(LODE_STRATEGY_BUDDY, &lent), 0);
    struct lode_allocation a[3];
    cr_assert_eq(lode_alloc_many(&r, a, 3), 0);
    cr_assert(lode_cpool_owns(cpool, a[1].ptr));
    cr_assert_eq(a[1].strategy, LODE_STRATEGY_BUDDY);
    assert_refused(&r, -ENOMEM);
    cr_assert_eq(lode_alloc_many(&r, a, 0), 0);
    cr_assert_eq(lode_request_lend(LODE_STRATEGY_BUDDY, NULL), -EBUSY);
    /* Freed behind our back: what it answers is what the caller hears, and nothing changes. */
    cr_assert_eq(lode_cpool_release(cpool, a[2].ptr), 0);
    cr_assert_eq(lode_alloc_free(&a[2]), -EINVAL);
    cr_assert_eq(stats_of(LODE_MEMORY_SYSTEM).live, 3);
    cr_assert_eq(lode_cpool_acquire(cpool), a[2].ptr);
    cr_assert_eq(lode_alloc_free_many(a, 3), 0);
    r.flags = LODE_REQUEST_HUGE;
    assert_refused(&r, -ENOTSUP);
    r.flags = 0;
    r.bytes = 129;
    assert_refused(&r, -ENOTSUP);
    cr_assert_eq(lode_request_lend(LODE_STRATEGY_BUDDY, NULL), 0);
    assert_refused(&r, -ENOTSUP);
    r.flags = LODE_REQUEST_FALLBACK;
    struct lode_allocation b = got(&r);
    cr_assert_eq(b.strategy, LODE_STRATEGY_HEAP);
    put(&b);
    lode_cpool_destroy(cpool);
}

/* ---- near ---- */

Test(requestways, a_block_beside_another)
{
    struct lode_request r = of(200, LODE_MEMORY_SYSTEM);
    struct lode_allocation a[400];
    uint64_t beside = 0, anywhere = 0;
    for (int i = 0; i < 400; i++)
        a[i] = got(&r);
    for (int i = 0; i < 400; i += 3)
        put(&a[i]);
    for (int i = 1; i < 60; i += 3) {
        struct lode_allocation plain = got(&r);
        anywhere += (uintptr_t)plain.ptr > (uintptr_t)a[i].ptr
                        ? (uintptr_t)plain.ptr - (uintptr_t)a[i].ptr
                        : (uintptr_t)a[i].ptr - (uintptr_t)plain.ptr;
        put(&plain);
        r.near_ptr = a[i].ptr;
        struct lode_allocation near = got(&r);
        r.near_ptr = NULL;
        cr_assert_eq(near.distance_bytes, (uintptr_t)near.ptr > (uintptr_t)a[i].ptr
                                              ? (uintptr_t)near.ptr - (uintptr_t)a[i].ptr
                                              : (uintptr_t)a[i].ptr - (uintptr_t)near.ptr);
        beside += near.distance_bytes;
        put(&near);
        cr_assert_eq(plain.distance_bytes, 0);
    }
    cr_assert_lt(beside, anywhere);
    for (int i = 0; i < 400; i++)
        if (i % 3 != 0)
            put(&a[i]);
}

static _Alignas(64) char slots[4][64];
static int slots_used[4];

static int offer_owns(void *ctx, const void *near)
{
    (void)ctx;
    return (const char *)near >= slots[0] && (const char *)near < slots[4];
}

static void *offer_alloc(void *ctx, const void *near, size_t bytes, size_t align)
{
    int at = (int)(((const char *)near - slots[0]) / 64), beside = at ^ 1;
    (void)ctx;
    if (bytes > 64 || align > 64 || slots_used[beside])
        return NULL;
    slots_used[beside] = 1;
    return slots[beside];
}

static int offer_free(void *ctx, void *block)
{
    (void)ctx;
    slots_used[((char *)block - slots[0]) / 64] = 0;
    return 0;
}

Test(requestways, a_pool_that_knows_places_is_asked_first)
{
    struct lodei_near offer = {.owns = offer_owns, .alloc = offer_alloc, .free = offer_free};
    struct lode_request r = of(60, LODE_MEMORY_SYSTEM);
    lodei_near_add(&offer);
    r.near_ptr = slots[2];
    struct lode_allocation a = got(&r);
    cr_assert_eq(a.ptr, slots[3]);
    cr_assert_eq(a.strategy, LODE_STRATEGY_NEAR);
    cr_assert_eq(a.distance_bytes, 64);
    struct lode_allocation b = got(&r); /* no room: from the heap */
    cr_assert_eq(b.strategy, LODE_STRATEGY_HEAP);
    put(&b);
    put(&a);
    cr_assert_eq(slots_used[3], 0);
    cr_assert_eq(lode_alloc_free(&a), -EINVAL);
    lodei_near_remove(&offer);
    a = got(&r);
    cr_assert_eq(a.strategy, LODE_STRATEGY_HEAP);
    put(&a);
}

static size_t used_by_system(void)
{
    struct lode_request_stats s = {.size = sizeof(s)};
    cr_assert_eq(lode_request_stats_get(LODE_MEMORY_SYSTEM, &s), 0);
    return s.used_bytes;
}

Test(requestways, a_morton_pool_places_beside_its_blocks)
{
    struct lode_morton_pool_opts o = LODE_MORTON_POOL_OPTS_INIT;
    struct lode_morton_pool *pool;
    struct lode_request r = of(60, LODE_MEMORY_SYSTEM);
    size_t used = used_by_system();
    void *cell;
    uint64_t code;
    o.block_bytes = 128;
    cr_assert_eq(lode_morton_pool_create(&o, &pool), 0);
    cr_assert_eq(lode_morton_pool_acquire(pool, 77, &cell), 0);
    r.near_ptr = cell;
    struct lode_allocation a = got(&r), b = got(&r);
    cr_assert(a.strategy == LODE_STRATEGY_NEAR && b.strategy == LODE_STRATEGY_NEAR);
    cr_assert(a.distance_bytes < 4096 && b.distance_bytes < 4096 && a.ptr != b.ptr);
    cr_assert_eq(lode_morton_pool_code(pool, a.ptr, &code), -ENODATA);
    put(&a);
    cr_assert_eq(lode_alloc_free(&a), -EINVAL);
    cr_assert_eq(lode_morton_pool_code(pool, a.ptr, &code), -EINVAL);
    r.bytes = 129;
    a = got(&r);
    cr_assert_eq(a.strategy, LODE_STRATEGY_HEAP, "too large for it");
    put(&a);
    r.bytes = 60;
    r.align = 256;
    a = got(&r);
    cr_assert(a.strategy == LODE_STRATEGY_HEAP && (uintptr_t)a.ptr % 256 == 0);
    put(&a);
    r.align = 128;
    r.flags = LODE_REQUEST_ZERO;
    cr_assert_eq(lode_alloc(&r, &a), 0);
    cr_assert(a.strategy == LODE_STRATEGY_NEAR && (uintptr_t)a.ptr % 128 == 0);
    for (size_t i = 0; i < a.bytes; i++)
        cr_assert_eq(((char *)a.ptr)[i], 0);
    put(&a);
    cr_assert_gt(used_by_system(), used);
    lode_morton_pool_destroy(pool); /* b goes with it */
    put(&b);
    cr_assert_eq(lode_alloc_free(&b), -EINVAL);
    cr_assert_eq(used_by_system(), used);
}

/* Is every page of it in memory? */
static int is_resident(const struct lode_allocation *a)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uintptr_t first = (uintptr_t)a->ptr / page * page;
    uintptr_t end = ((uintptr_t)a->ptr + a->bytes + page - 1) / page * page;
    for (; first < end; first += page) {
        unsigned char in_core;
        cr_assert_eq(mincore((void *)first, page, &in_core), 0);
        if ((in_core & 1) == 0)
            return 0;
    }
    return 1;
}

Test(requestways, sound_is_played_from_touched_memory)
{
    static const size_t sizes[] = {64, 192, 5056, 70000, 1 << 20};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        for (int n = 0; n < 64; n++) {
            struct lode_request r = of(sizes[i], LODE_MEMORY_AUDIO);
            struct lode_allocation a;
            r.tag = 77; /* a heap nobody else has touched */
            cr_assert_eq(lode_alloc(&r, &a), 0);
            cr_assert(is_resident(&a), "%zu bytes, the %dth", sizes[i], n);
        }
}
