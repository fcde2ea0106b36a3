/* SPDX-License-Identifier: MIT */
/*
 * Object pools and other threads. A pool's own thread acquires, releases, grows and shrinks, while
 * others release what it hands them (LODE_POOL_REMOTE), read figures, and trim all pools. At the
 * end every object was released once, and nothing is left. Run under TSan as well.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ext/registry.h"
#include "lode/pool.h"

#define OWNERS  2
#define HELPERS 2
#define SLOTS   256
#define STEPS   60000

#define CHECK(e) ((e) ? (void)0 : failed(#e, __LINE__))

struct object {
    struct lode_pool *pool;
    uint64_t mark;
};

static _Atomic(struct object *) slots[SLOTS];
static _Atomic int running;

static void failed(const char *what, int line)
{
    fprintf(stderr, "stress_pools.c:%d: %s does not hold\n", line, what);
    abort();
}

static uint32_t next(uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 8;
}

static void release_remotely(struct object *object)
{
    if (object == NULL)
        return;
    struct lode_pool *pool = object->pool;
    CHECK(object->mark == (uintptr_t)object);
    object->mark = 0;
    CHECK(lode_pool_release_remote(pool, (char *)object + 8) == -EINVAL);
    CHECK(lode_pool_owns(pool, object));
    CHECK(lode_pool_release_remote(pool, object) == 0);
}

/* A pool that is there for a moment: who trims may be at it when it goes. */
static void come_and_go(void)
{
    struct lode_pool_opts o = LODE_POOL_OPTS_INIT;
    struct lode_pool *pool;
    o.object_bytes = 100;
    o.initial = 2000;
    CHECK(lode_pool_create(&o, &pool) == 0);
    CHECK(lode_pool_acquire(pool) != NULL);
    lode_pool_destroy(pool);
}

/* Swings between few and many objects; every other one goes to the helpers. */
static void *own(void *arg)
{
    uint32_t seed = (uint32_t)(uintptr_t)arg;
    static _Thread_local struct object *held[2000];
    struct lode_pool_opts o = LODE_POOL_OPTS_INIT;
    struct lode_pool *pool;
    size_t count = 0;
    o.object_bytes = 200;
    o.flags = LODE_POOL_REMOTE;
    o.epoch_acquires = 500;
    o.shrink_delay = 1;
    CHECK(lode_pool_create(&o, &pool) == 0);
    for (int step = 0; step < STEPS; step++) {
        size_t most = step / 5000 % 2 == 0 ? 2000 : 50;
        uint32_t what = next(&seed) % 8;
        if (step % 512 == 0)
            come_and_go();
        if (what < 4 && count < most) {
            struct object *object = lode_pool_acquire(pool);
            CHECK(object != NULL);
            *object = (struct object){pool, (uintptr_t)object};
            held[count++] = object;
        } else if (what < 6 && count > 0) {
            struct object *object = held[--count];
            CHECK(object->mark == (uintptr_t)object);
            CHECK(lode_pool_release(pool, object) == 0);
            CHECK(lode_pool_release(pool, object) == -EINVAL);
        } else if (count > 0) {
            /* acq_rel: the object's bytes go along; pairs with the other exchanges of slots */
            release_remotely(atomic_exchange_explicit(&slots[next(&seed) % SLOTS], held[--count],
                                                      memory_order_acq_rel));
        }
    }
    while (count > 0)
        CHECK(lode_pool_release(pool, held[--count]) == 0);
    return pool;
}

static void *help(void *arg)
{
    uint32_t seed = (uint32_t)(uintptr_t)arg;
    while (atomic_load_explicit(&running, memory_order_relaxed)) /* only a reason to end */
        release_remotely(
            atomic_exchange_explicit(&slots[next(&seed) % SLOTS], NULL, memory_order_acq_rel));
    return NULL;
}

static int look(void *ctx, const struct lodei_registered *entry,
                const struct lode_allocator_stats *stats)
{
    (void)entry;
    CHECK(stats->used_bytes <= stats->mapped_bytes);
    ++*(int *)ctx;
    return 0;
}

static void *watch(void *arg)
{
    while (atomic_load_explicit(&running, memory_order_relaxed)) {
        int seen = 0;
        CHECK(lodei_registry_each(look, &seen) == 0);
        (void)lode_pools_trim((size_t)1 << 17);
    }
    return arg;
}

int main(void)
{
    pthread_t owners[OWNERS], helpers[HELPERS], watcher;
    struct lode_pool *pools[OWNERS];
    atomic_store_explicit(&running, 1, memory_order_relaxed);
    CHECK(pthread_create(&watcher, NULL, watch, NULL) == 0);
    for (size_t i = 0; i < OWNERS; i++)
        CHECK(pthread_create(&owners[i], NULL, own, (void *)(i + 1)) == 0);
    for (size_t i = 0; i < HELPERS; i++)
        CHECK(pthread_create(&helpers[i], NULL, help, (void *)(i + 10)) == 0);
    for (size_t i = 0; i < OWNERS; i++) {
        void *pool;
        CHECK(pthread_join(owners[i], &pool) == 0);
        pools[i] = pool;
    }
    atomic_store_explicit(&running, 0, memory_order_relaxed);
    for (size_t i = 0; i < HELPERS; i++)
        pthread_join(helpers[i], NULL);
    pthread_join(watcher, NULL);
    for (size_t i = 0; i < SLOTS; i++)
        release_remotely(atomic_load_explicit(&slots[i], memory_order_relaxed));
    for (size_t i = 0; i < OWNERS; i++) {
        struct lode_pool_stats s = {.size = sizeof(s)};
        (void)lode_pool_shrink(pools[i]);
        CHECK(lode_pool_stats_get(pools[i], &s) == 0);
        CHECK(s.live == 0 && s.chunks == 0);
        CHECK(s.acquires == s.releases && s.acquires > STEPS / 8);
        CHECK(s.returned_bytes > 0);
        lode_pool_destroy(pools[i]);
    }
    printf("fine\n");
    return 0;
}
