/* SPDX-License-Identifier: MIT */
/*
 * Limits of memory types: waiting, priorities, timeouts, fallback. Threads are brought into a known
 * order by watching the count of waits; no test depends on how long anything takes.
 */
#include <criterion/criterion.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "lode/request.h"

#define TYPE LODE_MEMORY_TEMPORARY

static struct lode_request of(size_t bytes)
{
    struct lode_request r = LODE_REQUEST_INIT;
    r.bytes = bytes;
    r.type = TYPE;
    return r;
}

static struct lode_request_stats now(void)
{
    struct lode_request_stats s = {.size = sizeof(s)};
    cr_assert_eq(lode_request_stats_get(TYPE, &s), 0);
    return s;
}

static void limit(size_t bytes)
{
    cr_assert_eq(lode_request_limit_set(TYPE, bytes), 0);
}

static struct lode_allocation got(size_t bytes)
{
    struct lode_request r = of(bytes);
    struct lode_allocation a;
    cr_assert_eq(lode_alloc(&r, &a), 0);
    return a;
}

static void put(const struct lode_allocation *a)
{
    cr_assert_eq(lode_alloc_free(a), 0);
}

/* ---- a thread that wants memory ---- */

static _Atomic int turn;

struct wanter {
    pthread_t thread;
    struct lode_request request;
    struct lode_allocation allocation;
    int error;
    int turn; /* when it was served */
};

static void *want(void *arg)
{
    struct wanter *w = arg;
    w->error = lode_alloc(&w->request, &w->allocation);
    w->turn = atomic_fetch_add(&turn, 1);
    return NULL;
}

/* Let one wait, and come back when it does. */
static void start(struct wanter *w, size_t bytes, int priority, uint32_t timeout_ms)
{
    uint64_t before = now().waits;
    w->request = of(bytes);
    w->request.priority = (int8_t)priority;
    w->request.timeout_ms = timeout_ms;
    cr_assert_eq(pthread_create(&w->thread, NULL, want, w), 0);
    while (now().waits == before)
        sched_yield();
}

static void join(struct wanter *w, int error)
{
    pthread_join(w->thread, NULL);
    cr_assert_eq(w->error, error, "%d", w->error);
}

Test(requestlimit, is_kept_to_the_byte)
{
    limit(1000);
    struct lode_allocation a = got(600), b = got(400);
    struct lode_request r = of(1);
    struct lode_allocation none = {.ptr = (void *)8};
    cr_assert_eq(lode_alloc(&r, &none), -ENOSPC);
    cr_assert_eq((uintptr_t)none.ptr, 8);
    cr_assert_eq(now().failures, 1);
    cr_assert_eq(now().waits, 0);
    cr_assert_eq(now().used_bytes, 1000);
    put(&b);
    b = got(400);
    /* Below what is live: that stays. */
    limit(10);
    cr_assert_eq(now().used_bytes, 1000);
    put(&a);
    cr_assert_eq(lode_alloc(&r, &none), -ENOSPC);
    put(&b);
    b = got(10);
    put(&b);
    cr_assert_eq(lode_request_limit_set((enum lode_memory_type)8, 1), -EINVAL);
}

Test(requestlimit, who_waits_in_vain_is_told)
{
    limit(100);
    struct lode_allocation a = got(100), none = {.ptr = (void *)8};
    struct lode_request r = of(1);
    r.timeout_ms = 20;
    cr_assert_eq(lode_alloc(&r, &none), -ETIMEDOUT);
    cr_assert_eq((uintptr_t)none.ptr, 8);
    cr_assert_eq(now().waits, 1);
    cr_assert_eq(now().timeouts, 1);
    cr_assert_eq(now().used_bytes, 100);
    r.bytes = 1000; /* could never be had */
    cr_assert_eq(lode_alloc(&r, &none), -ETIMEDOUT);
    r.flags = LODE_REQUEST_FALLBACK;
    struct lode_allocation b;
    cr_assert_eq(lode_alloc(&r, &b), 0);
    cr_assert_eq(b.type, LODE_MEMORY_SYSTEM);
    cr_assert_eq(b.flags, LODE_ALLOCATION_FELL_BACK);
    cr_assert_eq(now().fallbacks, 1);
    put(&a);
    put(&b);
}

Test(requestlimit, a_free_wakes_who_waits)
{
    struct wanter w;
    limit(1000);
    struct lode_allocation a = got(700), b = got(300);
    start(&w, 500, 0, 60000);
    put(&b); /* 300 are not enough */
    cr_assert_eq(now().used_bytes, 700);
    put(&a);
    join(&w, 0);
    cr_assert_eq(w.allocation.flags, LODE_ALLOCATION_WAITED);
    cr_assert_eq(now().used_bytes, 500);
    put(&w.allocation);
}

Test(requestlimit, a_higher_limit_wakes_who_waits)
{
    struct wanter w;
    limit(100);
    struct lode_allocation a = got(100);
    start(&w, 50, 0, 60000);
    limit(150);
    join(&w, 0);
    put(&w.allocation);
    put(&a);
}

Test(requestlimit, the_highest_priority_comes_first)
{
    static const int priorities[] = {0, 5, -5, 5, 100, -128};
    static const int order[] = {3, 1, 4, 2, 0, 5}; /* by priority, then by age */
    struct wanter w[6];
    limit(100);
    struct lode_allocation a = got(100);
    for (int i = 0; i < 6; i++)
        start(&w[i], 100, priorities[i], 60000);
    put(&a);
    for (int served = 0; served < 6; served++) {
        int i = 0;
        while (order[i] != served)
            i++;
        join(&w[i], 0);
        cr_assert_eq(w[i].turn, served);
        put(&w[i].allocation);
    }
}

Test(requestlimit, nobody_overtakes_who_waits_for_more)
{
    struct wanter large;
    limit(1000);
    struct lode_allocation a = got(900), none;
    start(&large, 500, 3, 60000);
    /* 100 are free, but the large one stands before. */
    struct lode_request small = of(50);
    cr_assert_eq(lode_alloc(&small, &none), -ENOSPC);
    small.priority = 3;
    cr_assert_eq(lode_alloc(&small, &none), -ENOSPC);
    small.priority = 4;
    struct lode_allocation b;
    cr_assert_eq(lode_alloc(&small, &b), 0);
    put(&b);
    put(&a);
    join(&large, 0);
    small.priority = 0;
    cr_assert_eq(lode_alloc(&small, &b), 0);
    put(&b);
    put(&large.allocation);
}

Test(requestlimit, who_gives_up_lets_the_next_one_pass)
{
    struct wanter large, small;
    limit(1000);
    struct lode_allocation a = got(900);
    start(&large, 500, 5, 100);
    start(&small, 100, 0, 60000);
    join(&large, -ETIMEDOUT);
    join(&small, 0);
    put(&small.allocation);
    put(&a);
}

Test(requestlimit, critical_requests_use_the_reserve_before_they_wait)
{
    struct wanter w;
    limit(100);
    struct lode_allocation a = got(100), b;
    struct lode_request r = of(50);
    r.flags = LODE_REQUEST_CRITICAL;
    r.timeout_ms = 60000;
    cr_assert_eq(lode_alloc(&r, &b), 0);
    cr_assert_eq(b.flags, LODE_ALLOCATION_RESERVE);
    cr_assert_eq(now().waits, 0);
    put(&b);
    cr_assert_eq(lode_request_reserve_set(0), 0);
    uint64_t waits = now().waits;
    w.request = r;
    cr_assert_eq(pthread_create(&w.thread, NULL, want, &w), 0);
    while (now().waits == waits)
        sched_yield();
    put(&a);
    join(&w, 0);
    cr_assert_eq(w.allocation.flags, LODE_ALLOCATION_WAITED);
    put(&w.allocation);
}

Test(requestlimit, many_wait_together)
{
    struct lode_request r = of(100);
    struct lode_allocation a[10];
    limit(900);
    r.timeout_ms = 20;
    cr_assert_eq(lode_alloc_many(&r, a, 10), -ETIMEDOUT);
    cr_assert_eq(now().used_bytes, 0);
    cr_assert_eq(lode_alloc_many(&r, a, 9), 0);
    cr_assert_eq(lode_alloc_free_many(a, 9), 0);
}

static void *be_cancelled(void *arg)
{
    struct wanter *w = arg;
    w->error = lode_alloc(&w->request, &w->allocation);
    w->turn = 77;
    pthread_testcancel();
    return NULL;
}

Test(requestlimit, waiting_is_no_cancellation_point)
{
    struct wanter w = {.request = of(100)};
    limit(100);
    struct lode_allocation a = got(100);
    w.request.timeout_ms = 60000;
    cr_assert_eq(pthread_create(&w.thread, NULL, be_cancelled, &w), 0);
    while (now().waits == 0)
        sched_yield();
    pthread_cancel(w.thread);
    put(&a);
    void *result;
    pthread_join(w.thread, &result);
    cr_assert_eq(result, PTHREAD_CANCELED);
    cr_assert_eq(w.turn, 77);
    cr_assert_eq(w.error, 0);
    put(&w.allocation);
}
