/* SPDX-License-Identifier: MIT */
/*
 * Concurrent pools: options, acquire and release, caches and the depot, hooks, every documented
 * errno with the state unchanged, a heap that refuses, threads that end before and after the pool.
 * Races are stress_cpools.c's, fork() too.
 */
#include <criterion/criterion.h>

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "failing_heap.h"
#include "lode/cpool.h"
#include "lode/stats.h"

static struct lode_pool_opts opts_of(size_t object_bytes)
{
    struct lode_pool_opts o = LODE_POOL_OPTS_INIT;
    o.object_bytes = object_bytes;
    return o;
}

static struct lode_cpool *made(const struct lode_pool_opts *opts)
{
    struct lode_cpool *cp;
    cr_assert_eq(lode_cpool_create(opts, &cp), 0);
    return cp;
}

static struct lode_pool_stats stats_of(const struct lode_cpool *cp)
{
    struct lode_pool_stats s = {.size = sizeof(s)};
    cr_assert_eq(lode_cpool_stats_get(cp, &s), 0);
    return s;
}

static void *got(struct lode_cpool *cp)
{
    void *object = lode_cpool_acquire(cp);
    cr_assert_not_null(object);
    return object;
}

static void put(struct lode_cpool *cp, void *object)
{
    cr_assert_eq(lode_cpool_release(cp, object), 0);
}

static void assert_refused(const struct lode_pool_opts *opts, int error)
{
    struct lode_cpool *cp = (struct lode_cpool *)8;
    cr_assert_eq(lode_cpool_create(opts, &cp), error);
    cr_assert_eq((uintptr_t)cp, 8);
}

/* Run `work` in a thread of its own, to its end. */
static void elsewhere(void *(*work)(void *), void *arg)
{
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, work, arg), 0);
    pthread_join(thread, NULL);
}

Test(cpool, bad_options_are_refused)
{
    struct lode_pool_opts o = opts_of(0);
    assert_refused(&o, -EINVAL);
    assert_refused(NULL, -EINVAL);
    o = opts_of(64);
    o.cache_objects = 4097;
    assert_refused(&o, -EINVAL);
    o = opts_of(64);
    o.flags = LODE_POOL_REMOTE;
    assert_refused(&o, -EINVAL);
    o = opts_of(64);
    o.kind = LODE_KIND_SHARED;
    assert_refused(&o, -ENOTSUP);
    struct {
        struct lode_pool_opts known;
        uint64_t later;
    } newer = {.known = LODE_POOL_OPTS_INIT, .later = 1};
    newer.known.object_bytes = 64;
    newer.known.size = sizeof(newer);
    assert_refused(&newer.known, -E2BIG);
    lode_cpool_destroy(NULL);
}

Test(cpool, caches_are_bounded)
{
    static const struct {
        size_t bytes, max;
        uint32_t asked;
        size_t want;
    } rows[] = {
        {64, 0, 0, 128}, {64, 0, 32, 32},  {64, 0, 4096, 4096},
        {64, 0, 1, 2},   {65536, 0, 0, 2}, {4096, 0, 0, 32},
        {64, 80, 0, 10}, {64, 1, 0, 2},    {1 << 20, 0, 16, 16},
    };
    for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
        struct lode_pool_opts o = opts_of(rows[r].bytes);
        o.max = rows[r].max;
        o.cache_objects = rows[r].asked;
        struct lode_cpool *cp = made(&o);
        cr_assert_eq(lode_cpool_cache_objects(cp), rows[r].want, "row %zu", r);
        lode_cpool_destroy(cp);
    }
}

Test(cpool, what_was_released_last_comes_first)
{
    struct lode_pool_opts o = opts_of(64);
    struct lode_cpool *cp = made(&o);
    void *a = got(cp), *b = got(cp);
    put(cp, a);
    put(cp, b);
    cr_assert_eq(got(cp), b);
    cr_assert_eq(got(cp), a);
    lode_cpool_destroy(cp);
}

Test(cpool, one_thread_gets_all_up_to_max)
{
    static const size_t maxima[] = {1, 2, 3, 17, 64, 1000, 5000};
    for (size_t m = 0; m < sizeof(maxima) / sizeof(maxima[0]); m++) {
        struct lode_pool_opts o = opts_of(32);
        o.max = maxima[m];
        struct lode_cpool *cp = made(&o);
        void *objects[5000], *none = (void *)8;
        for (int round = 0; round < 3; round++) {
            cr_assert_eq(lode_cpool_acquire_many(cp, objects, o.max), o.max);
            struct lode_pool_stats before = stats_of(cp);
            errno = 7;
            cr_assert_null(lode_cpool_acquire(cp));
            cr_assert_eq(lode_cpool_try_acquire(cp, &none), -ENOSPC);
            cr_assert_eq((uintptr_t)none, 8);
            cr_assert_eq(errno, 7);
            struct lode_pool_stats after = stats_of(cp);
            cr_assert_eq(after.refused, before.refused + 2);
            after.refused = before.refused;
            cr_assert_eq(memcmp(&before, &after, sizeof(after)), 0);
            cr_assert_eq(lode_cpool_release_many(cp, objects, o.max), 0);
            cr_assert_eq(stats_of(cp).live, 0);
        }
        lode_cpool_destroy(cp);
    }
}

Test(cpool, bad_releases_change_nothing)
{
    struct lode_pool_opts o = opts_of(48);
    struct lode_cpool *cp = made(&o), *other = made(&o);
    static char foreign[64];
    char *a = got(cp), *b = got(cp), *theirs = got(other), *block = lode_malloc(48);
    put(cp, b);
    struct lode_pool_stats before = stats_of(cp);
    void *bad[] = {b, a + 1, a + 16, a + 48 * 500, theirs, block, foreign, &bad, (void *)48};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_assert_eq(lode_cpool_release(cp, bad[i]), -EINVAL, "%zu", i);
    cr_assert_eq(lode_cpool_release(cp, NULL), 0);
    struct lode_pool_stats after = stats_of(cp);
    cr_assert_eq(after.misuses, before.misuses + sizeof(bad) / sizeof(bad[0]));
    after.misuses = before.misuses;
    cr_assert_eq(memcmp(&before, &after, sizeof(after)), 0);
    put(cp, a);
    lode_free(block);
    lode_cpool_destroy(cp);
    lode_cpool_destroy(other);
}

/* ---- hooks ---- */

struct hooks {
    struct lode_cpool *cp;
    int built, destroyed, fail_with, again;
};

static int construct(void *ctx, void *object)
{
    struct hooks *h = ctx;
    if (h->fail_with != 0)
        return h->fail_with;
    *(int *)object = 77;
    h->built++;
    return 0;
}

static void destruct(void *ctx, void *object)
{
    struct hooks *h = ctx;
    cr_assert_eq(*(int *)object, 77);
    *(int *)object = 0;
    h->destroyed++;
    cr_assert_eq(lode_cpool_release(h->cp, object), -EINVAL);
    if (h->again-- > 0)
        put(h->cp, got(h->cp));
}

Test(cpool, hooks_are_balanced)
{
    struct lode_pool_opts o = opts_of(24);
    struct hooks h = {0};
    void *objects[500], *none = (void *)8;
    o.construct = construct;
    o.destruct = destruct;
    o.hook_ctx = &h;
    struct lode_cpool *cp = h.cp = made(&o);
    cr_assert_eq(lode_cpool_acquire_many(cp, objects, 500), 500);
    h.again = 5;
    cr_assert_eq(lode_cpool_release_many(cp, objects, 400), 0);
    cr_assert_eq(h.built, 505);
    cr_assert_eq(h.destroyed, 405);
    cr_assert_eq(lode_cpool_release(cp, objects[0]), -EINVAL);
    cr_assert_eq(h.destroyed, 405);
    h.fail_with = -EPROTO;
    struct lode_pool_stats before = stats_of(cp);
    errno = 7;
    cr_assert_eq(lode_cpool_try_acquire(cp, &none), -EPROTO);
    cr_assert_null(lode_cpool_acquire(cp));
    cr_assert_eq(errno, 7);
    cr_assert_eq((uintptr_t)none, 8);
    struct lode_pool_stats after = stats_of(cp);
    cr_assert_eq(after.live, before.live);
    cr_assert_eq(after.failures, before.failures + 2);
    cr_assert_eq(after.acquires - after.releases, before.acquires - before.releases);
    lode_cpool_destroy(cp);
    cr_assert_eq(h.built, h.destroyed);
}

Test(cpool, zeroed_objects_read_as_zero)
{
    struct lode_pool_opts o = opts_of(100);
    o.flags = LODE_POOL_ZERO;
    struct lode_cpool *cp = made(&o);
    for (int round = 0; round < 300; round++) {
        unsigned char *object = got(cp);
        for (int b = 0; b < 100; b++)
            cr_assert_eq(object[b], 0);
        memset(object, 0xab, 100);
        put(cp, object);
    }
    lode_cpool_destroy(cp);
}

/* ---- caches ---- */

static void *release_all(void *arg)
{
    void **objects = arg;
    for (int i = 1; i <= 1000; i++)
        cr_assert_eq(lode_cpool_release(objects[0], objects[i]), 0);
    return NULL;
}

Test(cpool, a_thread_that_ends_leaves_nothing_behind)
{
    struct lode_pool_opts o = opts_of(64);
    void *objects[1001];
    o.max = 1000;
    struct lode_cpool *cp = made(&o);
    objects[0] = cp;
    for (int round = 0; round < 5; round++) {
        cr_assert_eq(lode_cpool_acquire_many(cp, objects + 1, 1000), 1000);
        elsewhere(release_all, objects);
        cr_assert_eq(stats_of(cp).live, 0);
    }
    cr_assert_eq(stats_of(cp).acquires, 5000);
    cr_assert_eq(stats_of(cp).releases, 5000);
    lode_cpool_flush(cp);
    cr_assert_gt(lode_cpool_trim(cp, SIZE_MAX), 0);
    cr_assert_eq(stats_of(cp).chunks, 0);
    cr_assert_eq(stats_of(cp).hot, 0);
    lode_cpool_destroy(cp);
}

struct shared {
    struct lode_cpool *cp;
    pthread_barrier_t barrier;
};

static void *outlive(void *arg)
{
    struct shared *s = arg;
    put(s->cp, got(s->cp));
    pthread_barrier_wait(&s->barrier);
    pthread_barrier_wait(&s->barrier); /* the pool is gone now */
    struct lode_pool_opts o = opts_of(64);
    struct lode_cpool *mine = made(&o); /* with the id of the one that is gone */
    put(mine, got(mine));
    lode_cpool_destroy(mine);
    return NULL;
}

Test(cpool, a_thread_may_outlive_the_pool)
{
    struct lode_pool_opts o = opts_of(64);
    struct shared s = {.cp = made(&o)};
    pthread_t thread;
    pthread_barrier_init(&s.barrier, NULL, 2);
    cr_assert_eq(pthread_create(&thread, NULL, outlive, &s), 0);
    pthread_barrier_wait(&s.barrier);
    lode_cpool_destroy(s.cp);
    pthread_barrier_wait(&s.barrier);
    pthread_join(thread, NULL);
    pthread_barrier_destroy(&s.barrier);
}

Test(cpool, pools_come_and_go)
{
    struct lode_pool_opts o = opts_of(64);
    struct lode_cpool *cps[40];
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 40; i++) {
            cps[i] = made(&o);
            put(cps[i], got(cps[i]));
        }
        for (int i = round % 2; i < 40; i += 2)
            lode_cpool_destroy(cps[i]);
        for (int i = 1 - round % 2; i < 40; i += 2) {
            (void)got(cps[i]);
            cr_assert_eq(stats_of(cps[i]).live, 1);
            lode_cpool_destroy(cps[i]);
        }
    }
}

static pthread_key_t late_key;

/* The destructor of another key, which may run behind ours. */
static void use_late(void *value)
{
    put(value, got(value));
}

static void *set_late(void *arg)
{
    put(arg, got(arg));
    pthread_setspecific(late_key, arg);
    return NULL;
}

Test(cpool, destructors_of_a_thread_may_use_it)
{
    struct lode_pool_opts o = opts_of(64);
    struct lode_cpool *cp = made(&o);
    cr_assert_eq(pthread_key_create(&late_key, use_late), 0);
    elsewhere(set_late, cp);
    cr_assert_eq(stats_of(cp).acquires, 2);
    cr_assert_eq(stats_of(cp).live, 0);
    (void)lode_cpool_trim(cp, SIZE_MAX);
    cr_assert_eq(stats_of(cp).chunks, 0);
    lode_cpool_destroy(cp);
}

Test(cpool, the_depot_gives_back_what_nobody_wants)
{
    struct lode_pool_opts o = opts_of(64);
    void *objects[1500];
    o.epoch_acquires = UINT32_MAX;
    struct lode_cpool *cp = made(&o);
    cr_assert_eq(lode_cpool_acquire_many(cp, objects, 1500), 1500);
    cr_assert_eq(lode_cpool_release_many(cp, objects, 1500), 0);
    cr_assert_geq(stats_of(cp).hot, 1500);
    lode_cpool_tick(cp);
    lode_cpool_tick(cp);
    cr_assert_leq(stats_of(cp).hot, lode_cpool_cache_objects(cp));
    lode_cpool_destroy(cp);
}

Test(cpool, the_depot_is_bounded)
{
    struct lode_pool_opts o = opts_of(16);
    static void *objects[20000];
    o.epoch_acquires = UINT32_MAX;
    struct lode_cpool *cp = made(&o);
    cr_assert_eq(lode_cpool_acquire_many(cp, objects, 20000), 20000);
    cr_assert_eq(lode_cpool_release_many(cp, objects, 20000), 0);
    cr_assert_leq(stats_of(cp).hot, 34 * 64);
    lode_cpool_destroy(cp);
}

Test(cpool, sizes_follow_word_and_demand_as_in_plain_pools)
{
    struct lode_pool_opts o = opts_of(1024);
    o.epoch_acquires = UINT32_MAX;
    o.max = 8000;
    struct lode_cpool *cp = made(&o);
    cr_assert_eq(lode_cpool_reserve(cp, 8001), -ENOSPC);
    cr_assert_eq(lode_cpool_reserve(cp, 2000), 0);
    cr_assert_geq(stats_of(cp).capacity, 2000);
    failing_heap_after = 0;
    cr_assert_eq(lode_cpool_reserve(cp, 4000), -ENOMEM);
    cr_assert_eq(lode_cpool_expect(cp, 4000), -ENOMEM);
    failing_heap_after = -1;
    cr_assert_lt(stats_of(cp).capacity, 2100);
    cr_assert_eq(lode_cpool_expect(cp, 4000), 0);
    cr_assert_geq(stats_of(cp).capacity, 4000);
    for (int i = 0; i < 80; i++)
        lode_cpool_tick(cp);
    cr_assert_eq(stats_of(cp).chunks, 0);
    cr_assert_eq(lode_cpool_set_activity(cp, (enum lode_pool_activity)9), -EINVAL);
    cr_assert_eq(lode_cpool_reserve(cp, 100), 0);
    cr_assert_eq(lode_cpool_set_activity(cp, LODE_POOL_DORMANT), 0);
    cr_assert_eq(stats_of(cp).chunks, 0);
    struct lode_pool_stats s = {.size = 3};
    cr_assert_eq(lode_cpool_stats_get(cp, &s), -EINVAL);
    lode_cpool_destroy(cp);
}

Test(cpool, epochs_end_by_themselves_too)
{
    struct lode_pool_opts o = opts_of(64);
    void *objects[1000];
    o.epoch_acquires = 1000;
    struct lode_cpool *cp = made(&o);
    for (int i = 0; i < 20; i++) {
        cr_assert_eq(lode_cpool_acquire_many(cp, objects, 1000), 1000);
        cr_assert_eq(lode_cpool_release_many(cp, objects, 1000), 0);
    }
    cr_assert_geq(stats_of(cp).epochs, 10);
    cr_assert_leq(stats_of(cp).epochs, 20);
    lode_cpool_destroy(cp);
}

/* ---- two that run dry at once ---- */

static struct lode_cpool *contended;
static void *others[64];
static size_t others_want;

static void *take_there(void *unused)
{
    (void)unused;
    cr_assert_eq(lode_cpool_acquire_many(contended, others, others_want), others_want);
    return NULL;
}

static void take_elsewhere(void)
{
    elsewhere(take_there, NULL);
}

/* While this thread waits for the heap, another adds the one chunk that `max` needs, and takes
 * `wanted` objects of it. What this one's acquire answers. */
static int acquired_late(size_t wanted, struct lode_pool_stats *ret_stats)
{
    struct lode_pool_opts o = opts_of(1024);
    void *own = NULL;
    o.max = 64;
    contended = made(&o);
    put(contended, got(contended));
    lode_cpool_flush(contended); /* the cache is there, and no chunk */
    (void)lode_cpool_trim(contended, SIZE_MAX);
    others_want = wanted;
    failing_heap_meanwhile = take_elsewhere;
    int error = lode_cpool_try_acquire(contended, &own);
    cr_assert_null(failing_heap_meanwhile);
    *ret_stats = stats_of(contended);
    if (error == 0)
        put(contended, own);
    cr_assert_eq(lode_cpool_release_many(contended, others, wanted), 0);
    lode_cpool_destroy(contended);
    return error;
}

Test(cpool, a_chunk_of_another_thread_serves_too)
{
    struct lode_pool_stats s;
    cr_assert_eq(acquired_late(1, &s), 0);
    cr_assert_eq(s.failures, 0);
    cr_assert_eq(s.chunks, 1);
    cr_assert_eq(acquired_late(64, &s), -ENOSPC);
    cr_assert_eq(s.failures, 0);
    cr_assert_eq(s.refused, 1);
}

/* ---- a heap that refuses ---- */

Test(cpool, create_cleans_up_wherever_memory_ends)
{
    struct lode_stats before = {.size = sizeof(before)}, after = {.size = sizeof(after)};
    struct lode_pool_opts o = opts_of(1000);
    o.initial = 100;
    int served = 0;
    cr_assert_eq(lode_stats_get(NULL, &before), 0);
    for (long n = 0; served == 0; n++) {
        struct lode_cpool *cp = (struct lode_cpool *)8;
        failing_heap_after = n;
        int error = lode_cpool_create(&o, &cp);
        failing_heap_after = -1;
        served = error == 0;
        if (served)
            lode_cpool_destroy(cp);
        else
            cr_assert(error == -ENOMEM && (uintptr_t)cp == 8);
        cr_assert_eq(lode_stats_get(NULL, &after), 0);
        cr_assert_eq(after.live_blocks, before.live_blocks);
        cr_assert_eq(after.heaps, before.heaps);
    }
}

/* A thread without a cache works all the same, and so does one without magazines to spare. */
Test(cpool, goes_on_wherever_memory_ends)
{
    struct lode_pool_opts o = opts_of(64);
    o.initial = 3000;
    for (long n = 0; n < 30; n++) {
        struct lode_cpool *cp = made(&o);
        void *objects[3000];
        failing_heap_after = n;
        cr_assert_eq(lode_cpool_acquire_many(cp, objects, 3000), 3000);
        for (int i = 0; i < 3000; i++)
            memset(objects[i], i, 64);
        cr_assert_eq(stats_of(cp).live, 3000);
        cr_assert_eq(lode_cpool_release_many(cp, objects, 3000), 0);
        cr_assert_eq(lode_cpool_release(cp, objects[5]), -EINVAL);
        cr_assert_eq(stats_of(cp).live, 0);
        lode_cpool_flush(cp);
        (void)lode_cpool_trim(cp, SIZE_MAX);
        cr_assert_eq(stats_of(cp).chunks, 0);
        cr_assert_null(lode_cpool_acquire(cp));
        cr_assert_eq(lode_cpool_try_acquire(cp, objects), -ENOMEM);
        failing_heap_after = -1;
        put(cp, got(cp));
        lode_cpool_destroy(cp);
    }
}
