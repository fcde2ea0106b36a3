/* SPDX-License-Identifier: MIT */
/*
 * How large an object pool is: reserve and expect, growing ahead, shrinking with hysteresis on
 * traces, activity, trimming by priority, and a heap that refuses. Objects are 1 KiB, 64 to a
 * chunk, unless said otherwise, and epochs end by lode_pool_tick() alone.
 */
#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

#include "failing_heap.h"
#include "lode/cpool.h"
#include "lode/pool.h"

#define MOST 8192

static struct lode_pool *pool;
static void *live[MOST];
static size_t live_count;

static struct lode_pool_opts defaults(void)
{
    struct lode_pool_opts o = LODE_POOL_OPTS_INIT;
    o.object_bytes = 1024;
    o.epoch_acquires = UINT32_MAX;
    return o;
}

static void make(const struct lode_pool_opts *opts)
{
    live_count = 0;
    cr_assert_eq(lode_pool_create(opts, &pool), 0);
}

static struct lode_pool_stats now(void)
{
    struct lode_pool_stats s = {.size = sizeof(s)};
    cr_assert_eq(lode_pool_stats_get(pool, &s), 0);
    return s;
}

/* Acquire or release until `count` are live. */
static void use(size_t count)
{
    while (live_count < count) {
        live[live_count] = lode_pool_acquire(pool);
        cr_assert_not_null(live[live_count]);
        live_count++;
    }
    while (live_count > count)
        cr_assert_eq(lode_pool_release(pool, live[--live_count]), 0);
}

/* An epoch that swings from nothing to `count` and back. */
static void epoch(size_t count)
{
    use(count);
    use(0);
    lode_pool_tick(pool);
}

/* ---- by word of the caller ---- */

Test(pooldemand, reserve_makes_the_next_acquires_free_of_misses)
{
    struct lode_pool_opts o = defaults();
    o.max = 5000;
    make(&o);
    use(100);
    uint64_t misses = now().misses;
    cr_assert_eq(lode_pool_reserve(pool, 1000), 0);
    size_t chunks = now().chunks;
    cr_assert_geq(now().capacity, 1100);
    failing_heap_after = 0;
    use(1100);
    failing_heap_after = -1;
    cr_assert_eq(now().misses, misses);
    cr_assert_eq(now().chunks, chunks);
    use(600);
    cr_assert_eq(lode_pool_reserve(pool, 500), 0);
    cr_assert_eq(now().chunks, chunks);
    cr_assert_eq(lode_pool_reserve(pool, 4401), -ENOSPC);
    cr_assert_eq(lode_pool_reserve(pool, SIZE_MAX), -ENOSPC);
    cr_assert_eq(now().chunks, chunks);
    lode_pool_destroy(pool);
}

Test(pooldemand, a_reserve_that_fails_keeps_nothing)
{
    struct lode_pool_opts o = defaults();
    make(&o);
    use(10);
    for (long n = 0; n < 10; n++) {
        struct lode_pool_stats before = now();
        failing_heap_after = n;
        cr_assert_eq(lode_pool_reserve(pool, 2000), -ENOMEM);
        cr_assert_eq(lode_pool_expect(pool, 2000), -ENOMEM);
        failing_heap_after = -1;
        cr_assert_eq(now().chunks, before.chunks);
        cr_assert_eq(now().demand, before.demand);
    }
    cr_assert_eq(lode_pool_reserve(pool, SIZE_MAX), -ENOMEM);
    lode_pool_destroy(pool);
}

Test(pooldemand, what_is_expected_is_there_and_stays_a_while)
{
    struct lode_pool_opts o = defaults();
    o.shrink_delay = 4;
    o.max = 3000;
    make(&o);
    use(64);
    cr_assert_eq(lode_pool_expect(pool, 1000), 0);
    cr_assert_eq(now().demand, 1064);
    cr_assert_geq(now().capacity, 1064);
    for (int i = 0; i < 4; i++)
        lode_pool_tick(pool);
    cr_assert_geq(now().capacity, 1064);
    failing_heap_after = 0;
    use(1064);
    failing_heap_after = -1;
    cr_assert_eq(lode_pool_expect(pool, SIZE_MAX), 0);
    cr_assert_eq(now().capacity, 3000);
    use(0);
    for (int i = 0; i < 60; i++)
        lode_pool_tick(pool);
    cr_assert_eq(now().chunks, 1, "%zu", (size_t)now().chunks); /* the hot list's */
    lode_pool_destroy(pool);
}

/* ---- growing ahead ---- */

Test(pooldemand, a_rising_demand_is_met_ahead)
{
    struct lode_pool_opts o = defaults();
    o.growth_objects = 1;
    make(&o);
    uint64_t misses = 0;
    for (size_t i = 1; i <= 20; i++) {
        use(i * 150);
        if (i == 3)
            misses = now().misses;
        lode_pool_tick(pool);
    }
    /* Two rises make a row: from there on nothing had to wait. */
    cr_assert_eq(now().misses, misses);
    cr_assert_gt(now().grows_ahead, 0);
    lode_pool_destroy(pool);
}

Test(pooldemand, a_steady_pool_does_nothing_by_itself)
{
    struct lode_pool_opts o = defaults();
    o.flags = LODE_POOL_STEADY;
    make(&o);
    for (size_t i = 1; i <= 20; i++)
        epoch(i * 150);
    size_t chunks = now().chunks;
    for (int i = 0; i < 200; i++)
        lode_pool_tick(pool);
    cr_assert_eq(now().chunks, chunks);
    cr_assert_eq(now().grows_ahead, 0);
    cr_assert_eq(now().shrinks, 0);
    lode_pool_destroy(pool);
}

Test(pooldemand, epochs_end_by_themselves_too)
{
    struct lode_pool_opts o = defaults();
    o.epoch_acquires = 100;
    make(&o);
    for (int i = 0; i < 1000; i++) {
        use(1);
        use(0);
    }
    cr_assert_eq(now().epochs, 9);
    cr_assert_eq(now().acquires, 1000);
    lode_pool_destroy(pool);
    o.epoch_acquires = 0;
    make(&o);
    for (int i = 0; i < 2100; i++) {
        use(1);
        use(0);
    }
    cr_assert_eq(now().epochs, 2);
    lode_pool_destroy(pool);
}

/* ---- shrinking ---- */

Test(pooldemand, an_alternating_demand_does_not_flap)
{
    struct lode_pool_opts o = defaults();
    o.shrink_delay = 4;
    make(&o);
    for (int i = 0; i < 400; i++) {
        epoch(i % 2 == 0 ? 3000 : 20);
        if (i == 10)
            cr_assert_gt(now().capacity, 3000);
    }
    struct lode_pool_stats s = now();
    cr_assert_leq(s.grows + s.grows_ahead, 12, "%lu + %lu", (unsigned long)s.grows,
                  (unsigned long)s.grows_ahead);
    cr_assert_eq(s.shrinks, 0);
    /* Also where the swing is longer than an epoch, but not than the decay and the delay. */
    uint64_t grows = s.grows + s.grows_ahead;
    for (int i = 0; i < 400; i++)
        epoch(i / 5 % 2 == 0 ? 3000 : 20);
    cr_assert_eq(now().grows + now().grows_ahead, grows);
    cr_assert_eq(now().shrinks, 0);
    lode_pool_destroy(pool);
}

Test(pooldemand, low_demand_shrinks_after_the_delay_and_not_before)
{
    struct lode_pool_opts o = defaults();
    o.shrink_delay = 10;
    o.shrink_percent = 40;
    make(&o);
    epoch(1000);
    epoch(1000);
    size_t capacity = now().capacity;
    int low = 0, epochs = 0;
    while (now().capacity == capacity) {
        epoch(10);
        epochs++;
        low += now().demand * 100 < capacity * 40;
        cr_assert_lt(epochs, 100);
    }
    cr_assert_eq(low, 11); /* ten of delay, and the one that shrank */
    cr_assert_eq(now().shrinks, 1);
    /* Back to a quarter above the demand, a chunk more or less. */
    cr_assert_leq(now().capacity, now().demand * 5 / 4 + 64, "%zu, %zu of %zu",
                  (size_t)now().capacity, (size_t)now().demand, capacity);
    cr_assert_geq(now().capacity, now().demand);
    lode_pool_destroy(pool);
}

Test(pooldemand, initial_is_what_stays)
{
    struct lode_pool_opts o = defaults();
    o.shrink_delay = 1;
    o.initial = 640;
    make(&o);
    epoch(4000);
    for (int i = 0; i < 100; i++)
        epoch(0);
    cr_assert_eq(now().capacity, 640);
    lode_pool_destroy(pool);
}

Test(pooldemand, a_large_pool_shrinks_in_steps)
{
    struct lode_pool_opts o = defaults();
    o.shrink_delay = 1;
    make(&o);
    epoch(8000); /* 125 chunks */
    size_t most = 0;
    for (int i = 0; i < 60; i++) {
        size_t before = now().chunks;
        lode_pool_tick(pool);
        size_t gone = before - now().chunks;
        most = gone > most ? gone : most;
    }
    cr_assert_eq(most, 32);
    cr_assert_leq(now().chunks, 2);
    lode_pool_destroy(pool);
}

/* ---- activity ---- */

static size_t chunks_kept(enum lode_pool_activity activity, int ticks)
{
    struct lode_pool_opts o = defaults();
    o.activity = (uint8_t)activity;
    make(&o);
    use(640);
    use(1);
    for (int i = 0; i < ticks; i++)
        lode_pool_tick(pool);
    size_t chunks = now().chunks;
    lode_pool_destroy(pool);
    return chunks;
}

Test(pooldemand, activity_says_how_much_is_kept)
{
    size_t active = chunks_kept(LODE_POOL_ACTIVE, 3);
    size_t idle = chunks_kept(LODE_POOL_IDLE, 3);
    size_t dormant = chunks_kept(LODE_POOL_DORMANT, 3);
    cr_assert_gt(active, idle);
    cr_assert_gt(idle, dormant);
    cr_assert_leq(dormant, 2);
    cr_assert_leq(chunks_kept(LODE_POOL_IDLE, 60), 2);
}

Test(pooldemand, going_dormant_gives_back_at_once)
{
    struct lode_pool_opts o = defaults();
    o.initial = 1024;
    make(&o);
    use(1);
    cr_assert_eq(lode_pool_set_activity(pool, (enum lode_pool_activity)3), -EINVAL);
    cr_assert_eq(lode_pool_set_activity(pool, LODE_POOL_IDLE), 0);
    cr_assert_eq(now().chunks, 16);
    cr_assert_eq(lode_pool_set_activity(pool, LODE_POOL_DORMANT), 0);
    cr_assert_eq(now().chunks, 1);
    /* It grows by one chunk at a time then. */
    use(200);
    cr_assert_eq(now().chunks, 4);
    lode_pool_destroy(pool);
}

/* ---- trimming ---- */

Test(pooldemand, trim_gives_what_was_asked_for_and_no_more)
{
    struct lode_pool_opts o = defaults();
    make(&o);
    use(6400);
    use(0);
    size_t chunk_bytes = now().chunk_bytes, chunks = now().chunks;
    cr_assert_eq(lode_pool_trim(pool, 0), 0);
    cr_assert_eq(lode_pool_trim(pool, 1), chunk_bytes);
    cr_assert_eq(lode_pool_trim(pool, 3 * chunk_bytes), 3 * chunk_bytes);
    cr_assert_eq(now().chunks, chunks - 4);
    cr_assert_eq(now().returned_bytes, 4 * chunk_bytes);
    /* All but what the hot list holds. */
    cr_assert_eq(lode_pool_trim(pool, SIZE_MAX), (now().returned_bytes - 4 * chunk_bytes));
    cr_assert_leq(now().chunks, 2);
    cr_assert_gt(lode_pool_shrink(pool), 0);
    cr_assert_eq(now().chunks, 0);
    cr_assert_eq(lode_pool_trim(pool, SIZE_MAX), 0);
    use(100);
    lode_pool_destroy(pool);
}

Test(pooldemand, what_is_live_holds_its_chunk_only)
{
    struct lode_pool_opts o = defaults();
    make(&o);
    use(6400);
    char *kept = live[5000];
    memset(kept, 0x5a, 1024);
    live[5000] = live[6399];
    live_count--;
    use(0);
    (void)lode_pool_shrink(pool);
    cr_assert_eq(now().chunks, 1);
    cr_assert_float_eq(now().fragmentation, 63. / 64, 1e-9);
    for (int i = 0; i < 1024; i++)
        cr_assert_eq(kept[i], 0x5a);
    cr_assert_eq(lode_pool_release(pool, kept), 0);
    lode_pool_destroy(pool);
}

static size_t chunks_of(const struct lode_pool *p)
{
    struct lode_pool_stats s = {.size = sizeof(s)};
    cr_assert_eq(lode_pool_stats_get(p, &s), 0);
    return s.chunks;
}

static struct lode_pool *ranked(int8_t priority, enum lode_pool_activity activity)
{
    struct lode_pool_opts o = defaults();
    struct lode_pool *p;
    o.initial = 640;
    o.priority = priority;
    o.activity = (uint8_t)activity;
    cr_assert_eq(lode_pool_create(&o, &p), 0);
    return p;
}

Test(pooldemand, the_lowest_priority_shrinks_first)
{
    struct lode_pool *high = ranked(100, LODE_POOL_ACTIVE);
    struct lode_pool *low = ranked(-100, LODE_POOL_ACTIVE);
    struct lode_pool *middle = ranked(0, LODE_POOL_ACTIVE);
    struct lode_pool *asleep = ranked(0, LODE_POOL_DORMANT);
    struct lode_pool *resting = ranked(0, LODE_POOL_IDLE);
    struct lode_pool *order[] = {low, asleep, resting, middle, high};
    size_t chunk = 65536;
    for (size_t i = 0; i < 5; i++) {
        cr_assert_eq(lode_pools_trim(9 * chunk), 9 * chunk);
        for (size_t j = 0; j < 5; j++)
            cr_assert_eq(chunks_of(order[j]), j < i ? 0 : j == i ? 1 : 10, "%zu %zu", i, j);
        cr_assert_eq(lode_pools_trim(1), chunk);
    }
    cr_assert_eq(lode_pools_trim(SIZE_MAX), 0);
    cr_assert_eq(lode_pools_trim(0), 0);
    for (size_t i = 0; i < 5; i++)
        lode_pool_destroy(order[i]);
}

Test(pooldemand, a_priority_can_change_and_concurrent_pools_take_part)
{
    struct lode_pool *a = ranked(5, LODE_POOL_ACTIVE), *b = ranked(6, LODE_POOL_ACTIVE);
    struct lode_pool_opts o = defaults();
    struct lode_cpool *c;
    struct lode_pool_stats s = {.size = sizeof(s)};
    o.initial = 640;
    o.priority = 7;
    cr_assert_eq(lode_cpool_create(&o, &c), 0);
    lode_pool_set_priority(a, 120);
    lode_cpool_set_priority(c, -1);
    size_t chunk = 65536;
    cr_assert_eq(lode_pools_trim(12 * chunk), 12 * chunk);
    cr_assert_eq(lode_cpool_stats_get(c, &s), 0);
    cr_assert_eq(s.chunks, 0);
    cr_assert_eq(chunks_of(b), 8);
    cr_assert_eq(chunks_of(a), 10);
    lode_cpool_destroy(c);
    lode_pool_destroy(a);
    lode_pool_destroy(b);
}

Test(pooldemand, trimming_needs_no_memory)
{
    struct lode_pool *p = ranked(0, LODE_POOL_ACTIVE);
    failing_heap_after = 0;
    cr_assert_eq(lode_pools_trim(SIZE_MAX), 655360);
    failing_heap_after = -1;
    lode_pool_destroy(p);
}

/* ---- long runs ---- */

Test(pooldemand, a_thousand_tides_leave_nothing_behind)
{
    struct lode_pool_opts o = defaults();
    o.shrink_delay = 1;
    make(&o);
    uint32_t seed = 3;
    for (int i = 0; i < 1000; i++) {
        seed = seed * 1664525 + 1013904223;
        use((seed >> 8) % 4000);
        if (i % 3 == 0)
            use(0);
        lode_pool_tick(pool);
        if (i % 7 == 0)
            (void)lode_pool_trim(pool, SIZE_MAX);
    }
    /* Descriptors of the most chunks there were, and what else does not add up with time. */
    cr_assert_leq(now().metadata_bytes, 4096 + 200 * now().peak_chunks);
    use(0);
    (void)lode_pool_shrink(pool);
    cr_assert_eq(now().chunks, 0);
    lode_pool_destroy(pool);
}
