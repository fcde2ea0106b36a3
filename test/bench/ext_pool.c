/* SPDX-License-Identifier: MIT */
/* Object pools, plain and concurrent: nanoseconds an operation; an acquire and its release are two.
 */
#include <lode/cpool.h>
#include <lode/pool.h>

#include <pthread.h>
#include <stdlib.h>

#include "ext_bench.h"

#define PAIRS   1000000
#define BATCH   1000
#define BATCHES 500
#define LIVE    8192
#define THREADS 2

static struct lode_pool *pool;
static struct lode_cpool *cpool;
static void *objects[LIVE];

static void must(int holds)
{
    if (!holds)
        __builtin_trap();
}

static void prepare_with(size_t object_bytes, uint32_t flags)
{
    struct lode_pool_opts o = LODE_POOL_OPTS_INIT;
    o.object_bytes = object_bytes;
    o.flags = flags;
    must(lode_pool_create(&o, &pool) == 0);
}

static void prepare_8(void)
{
    prepare_with(8, 0);
}

static void prepare_64(void)
{
    prepare_with(64, 0);
}

static void prepare_1024(void)
{
    prepare_with(1024, 0);
}

static void prepare_remote(void)
{
    prepare_with(64, LODE_POOL_REMOTE);
}

static size_t pairs(void)
{
    for (int i = 0; i < PAIRS; i++) {
        void *object = lode_pool_acquire(pool);
        ext_bench_keep(object);
        must(lode_pool_release(pool, object) == 0);
    }
    return 2 * PAIRS;
}

static size_t batches(void)
{
    for (int round = 0; round < BATCHES; round++) {
        for (int i = 0; i < BATCH; i++)
            objects[i] = lode_pool_acquire(pool);
        for (int i = 0; i < BATCH; i++)
            must(lode_pool_release(pool, objects[i]) == 0);
    }
    return (size_t)2 * BATCHES * BATCH;
}

/* Objects of random age among LIVE places; half of them are taken. */
static size_t random_ages(void)
{
    uint32_t seed = 1;
    for (int i = 0; i < LIVE; i++)
        objects[i] = NULL;
    for (int i = 0; i < 2 * PAIRS; i++) {
        seed = seed * 1664525 + 1013904223;
        void **place = &objects[(seed >> 8) % LIVE];
        if (*place == NULL)
            *place = lode_pool_acquire(pool);
        else {
            must(lode_pool_release(pool, *place) == 0);
            *place = NULL;
        }
    }
    return 2 * PAIRS;
}

static void finish(void)
{
    lode_pool_destroy(pool);
}

/* ---- concurrent pools ---- */

static void cpool_prepare(void)
{
    struct lode_pool_opts o = LODE_POOL_OPTS_INIT;
    o.object_bytes = 64;
    must(lode_cpool_create(&o, &cpool) == 0);
}

static size_t cpool_pairs(void)
{
    for (int i = 0; i < PAIRS; i++) {
        void *object = lode_cpool_acquire(cpool);
        ext_bench_keep(object);
        must(lode_cpool_release(cpool, object) == 0);
    }
    return 2 * PAIRS;
}

static size_t cpool_batches(void)
{
    void *mine[BATCH];
    for (int round = 0; round < BATCHES; round++) {
        for (int i = 0; i < BATCH; i++)
            mine[i] = lode_cpool_acquire(cpool);
        for (int i = 0; i < BATCH; i++)
            must(lode_cpool_release(cpool, mine[i]) == 0);
    }
    return (size_t)2 * BATCHES * BATCH;
}

static void *thread_main(void *run)
{
    size_t (*const *body)(void) = run;
    return (void *)(*body)();
}

/* Time by the wall: twice one thread's work in the same time shows as half the figure. */
static size_t by_threads(size_t (*body)(void))
{
    pthread_t threads[THREADS];
    size_t done = 0;
    for (int i = 0; i < THREADS; i++)
        must(pthread_create(&threads[i], NULL, thread_main, &body) == 0);
    for (int i = 0; i < THREADS; i++) {
        void *ops;
        pthread_join(threads[i], &ops);
        done += (size_t)ops;
    }
    return done;
}

static size_t cpool_pairs_threads(void)
{
    return by_threads(cpool_pairs);
}

static size_t cpool_batches_threads(void)
{
    return by_threads(cpool_batches);
}

/* What two threads give where they share nothing. */
static size_t spin(void)
{
    for (int i = 0; i < 4 * PAIRS; i++)
        __asm__ volatile("" : : : "memory");
    return 4 * PAIRS;
}

static size_t spin_threads(void)
{
    return by_threads(spin);
}

static void cpool_finish(void)
{
    lode_cpool_destroy(cpool);
}

const struct ext_bench ext_bench_pool[] = {
    {"pool-pair-8", "operation", 4, prepare_8, pairs, finish},
    {"pool-pair-64", "operation", 4, prepare_64, pairs, finish},
    {"pool-pair-1024", "operation", 4, prepare_1024, pairs, finish},
    {"pool-batch-64", "operation", 4, prepare_64, batches, finish},
    {"pool-batch-remote-64", "operation", 0, prepare_remote, batches, finish},
    {"pool-random-64", "operation", 0, prepare_64, random_ages, finish},
    {"cpool-pair-64", "operation", 0, cpool_prepare, cpool_pairs, cpool_finish},
    {"cpool-pair-64-2-threads", "operation", 0, cpool_prepare, cpool_pairs_threads, cpool_finish},
    {"cpool-batch-64", "operation", 0, cpool_prepare, cpool_batches, cpool_finish},
    {"cpool-batch-64-2-threads", "operation", 0, cpool_prepare, cpool_batches_threads,
     cpool_finish},
    {"cpool-spin", "loop", 0, NULL, spin, NULL},
    {"cpool-spin-2-threads", "loop", 0, NULL, spin_threads, NULL},
    {0},
};
