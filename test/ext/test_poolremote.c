/* SPDX-License-Identifier: MIT */
/* Releases by threads that do not own the pool, seen from one thread; stress_pools.c has others. */
#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

#include "lode/pool.h"

static struct lode_pool *pool;

static void make(uint32_t flags, size_t max)
{
    struct lode_pool_opts o = LODE_POOL_OPTS_INIT;
    o.object_bytes = 64;
    o.flags = flags;
    o.max = max;
    cr_assert_eq(lode_pool_create(&o, &pool), 0);
}

static struct lode_pool_stats now(void)
{
    struct lode_pool_stats s = {.size = sizeof(s)};
    cr_assert_eq(lode_pool_stats_get(pool, &s), 0);
    return s;
}

Test(poolremote, is_refused_where_it_was_not_asked_for)
{
    make(0, 0);
    void *object = lode_pool_acquire(pool);
    cr_assert_eq(lode_pool_release_remote(pool, object), -ENOTSUP);
    cr_assert_eq(lode_pool_release_remote(pool, NULL), -ENOTSUP);
    cr_assert_eq(now().live, 1);
    lode_pool_destroy(pool);
}

Test(poolremote, comes_back_when_the_pool_runs_dry)
{
    make(LODE_POOL_REMOTE, 100);
    void *objects[100], *again[100];
    cr_assert_eq(lode_pool_acquire_many(pool, objects, 100), 100);
    cr_assert_null(lode_pool_acquire(pool));
    for (int i = 0; i < 100; i += 2)
        cr_assert_eq(lode_pool_release_remote(pool, objects[i]), 0);
    cr_assert_eq(lode_pool_acquire_many(pool, again, 100), 50);
    for (int i = 0; i < 50; i++)
        cr_assert_eq(again[i], objects[2 * i]);
    cr_assert_eq(lode_pool_release_remote(pool, NULL), 0);
    lode_pool_destroy(pool);
}

Test(poolremote, comes_back_with_an_epoch)
{
    make(LODE_POOL_REMOTE, 0);
    void *objects[3000];
    cr_assert_eq(lode_pool_acquire_many(pool, objects, 3000), 3000);
    for (int i = 0; i < 3000; i++)
        cr_assert_eq(lode_pool_release_remote(pool, objects[i]), 0);
    lode_pool_tick(pool);
    cr_assert_eq(now().live, 0);
    cr_assert_eq(now().releases, 3000);
    cr_assert_eq(now().peak_live, 3000);
    (void)lode_pool_shrink(pool);
    cr_assert_eq(now().chunks, 0);
    lode_pool_destroy(pool);
}

Test(poolremote, every_double_release_is_found)
{
    make(LODE_POOL_REMOTE, 0);
    void *a = lode_pool_acquire(pool), *b = lode_pool_acquire(pool);
    char *c = lode_pool_acquire(pool);
    cr_assert_eq(lode_pool_release(pool, a), 0);
    cr_assert_eq(lode_pool_release_remote(pool, a), -EINVAL);
    cr_assert_eq(lode_pool_release_remote(pool, b), 0);
    struct lode_pool_stats before = now();
    cr_assert_eq(lode_pool_release_remote(pool, b), -EINVAL);
    cr_assert_eq(lode_pool_release(pool, b), -EINVAL);
    cr_assert_eq(lode_pool_release_remote(pool, c + 8), -EINVAL);
    cr_assert_eq(lode_pool_release_remote(pool, &before), -EINVAL);
    struct lode_pool_stats after = now();
    cr_assert_eq(after.misuses, before.misuses + 4);
    after.misuses = before.misuses;
    cr_assert_eq(memcmp(&before, &after, sizeof(after)), 0);
    lode_pool_tick(pool);
    cr_assert_eq(lode_pool_release_remote(pool, b), -EINVAL);
    cr_assert_eq(lode_pool_release(pool, b), -EINVAL);
    cr_assert_eq(now().live, 1);
    lode_pool_destroy(pool);
}

static int count_one(void *ctx, void *object)
{
    (void)object;
    ++*(int *)ctx;
    return 0;
}

Test(poolremote, walks_and_clear_know_of_it)
{
    make(LODE_POOL_REMOTE, 0);
    void *objects[500];
    int count = 0;
    cr_assert_eq(lode_pool_acquire_many(pool, objects, 500), 500);
    for (int i = 0; i < 200; i++)
        cr_assert_eq(lode_pool_release_remote(pool, objects[i]), 0);
    cr_assert_eq(lode_pool_walk(pool, count_one, &count), 0);
    cr_assert_eq(count, 300);
    lode_pool_clear(pool);
    cr_assert_eq(now().live, 0);
    cr_assert_eq(lode_pool_release_remote(pool, objects[300]), -EINVAL);
    cr_assert_eq(lode_pool_acquire_many(pool, objects, 500), 500);
    cr_assert_eq(now().live, 500);
    lode_pool_destroy(pool);
}
