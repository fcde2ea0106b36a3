/* SPDX-License-Identifier: MIT */
/*
 * Concurrent pools under threads: objects acquired here and released there, threads that come and
 * go, double releases that race, figures and trims meanwhile, and fork(): the child finds what lay
 * in vanished threads' caches, and can go on. Run under TSan as well, without the fork.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lode/cpool.h"

#define THREADS 4
#define SLOTS   128
#define STEPS   40000
#define GROUPS  6

/* TSan ends a child of several threads that starts one. */
#ifdef __SANITIZE_THREAD__
#define FORKS 0
#else
#define FORKS 1
#endif

#define CHECK(e) ((e) ? (void)0 : failed(#e, __LINE__))

struct object {
    uint64_t owner; /* who has it; 0: in a slot */
    uint64_t rest[7];
};

static struct lode_cpool *cp;
static _Atomic(struct object *) slots[SLOTS];
static _Atomic int running;
static _Atomic uint64_t released_twice;

static void failed(const char *what, int line)
{
    fprintf(stderr, "stress_cpools.c:%d: %s does not hold\n", line, what);
    abort();
}

static uint32_t next(uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 8;
}

static struct lode_pool_stats now(void)
{
    struct lode_pool_stats s = {.size = sizeof(s)};
    CHECK(lode_cpool_stats_get(cp, &s) == 0);
    return s;
}

static void *work(void *arg)
{
    uint32_t seed = (uint32_t)(uintptr_t)arg;
    uint64_t self = (uint64_t)(uintptr_t)arg;
    struct object *held[300];
    int count = 0;
    for (int step = 0; step < STEPS; step++) {
        uint32_t what = next(&seed) % 8;
        if (what < 4 && count < 300) {
            struct object *object = lode_cpool_acquire(cp);
            CHECK(object != NULL);
            object->owner = self;
            memset(object->rest, (int)self, sizeof(object->rest));
            held[count++] = object;
        } else if (what < 7 && count > 0) {
            struct object *object = held[--count];
            CHECK(object->owner == self);
            CHECK((uint8_t)object->rest[3] == (uint8_t)self);
            CHECK(lode_cpool_release(cp, object) == 0);
        } else if (count > 0) {
            held[count - 1]->owner = 0;
            /* acq_rel: the object's bytes go along; pairs with the other threads' exchanges */
            struct object *other = atomic_exchange_explicit(&slots[next(&seed) % SLOTS],
                                                            held[--count], memory_order_acq_rel);
            if (other != NULL) {
                CHECK(other->owner == 0);
                CHECK(lode_cpool_release(cp, other) == 0);
            }
        }
    }
    while (count > 0)
        CHECK(lode_cpool_release(cp, held[--count]) == 0);
    return NULL;
}

static void *watch(void *arg)
{
    while (atomic_load_explicit(&running, memory_order_relaxed)) { /* only a reason to end */
        struct lode_pool_stats s = now();
        CHECK(s.live + s.hot <= s.chunks * s.chunk_objects);
        (void)lode_pools_trim((size_t)1 << 16);
        lode_cpool_tick(cp);
    }
    return arg;
}

static void make(void)
{
    struct lode_pool_opts o = LODE_POOL_OPTS_INIT;
    o.object_bytes = sizeof(struct object);
    o.epoch_acquires = 3000;
    o.shrink_delay = 1;
    CHECK(lode_cpool_create(&o, &cp) == 0);
}

static void threads_come_and_go(void)
{
    pthread_t threads[THREADS], watcher;
    make();
    atomic_store_explicit(&running, 1, memory_order_relaxed);
    CHECK(pthread_create(&watcher, NULL, watch, NULL) == 0);
    for (size_t group = 0; group < GROUPS; group++) {
        for (size_t i = 0; i < THREADS; i++)
            CHECK(pthread_create(&threads[i], NULL, work, (void *)(group * THREADS + i + 1)) == 0);
        for (size_t i = 0; i < THREADS; i++)
            pthread_join(threads[i], NULL);
    }
    atomic_store_explicit(&running, 0, memory_order_relaxed);
    pthread_join(watcher, NULL);
    for (size_t i = 0; i < SLOTS; i++)
        CHECK(lode_cpool_release(
                  cp, atomic_exchange_explicit(&slots[i], NULL, memory_order_relaxed)) == 0);
    lode_cpool_flush(cp);
    (void)lode_cpool_trim(cp, SIZE_MAX);
    struct lode_pool_stats s = now();
    CHECK(s.live == 0 && s.hot == 0 && s.chunks == 0);
    CHECK(s.acquires == s.releases && s.acquires > GROUPS * THREADS * STEPS / 8);
    lode_cpool_destroy(cp);
}

/* ---- one object, released by all at once ---- */

static pthread_barrier_t barrier;
static void *_Atomic victim;

static void *race(void *arg)
{
    for (int i = 0; i < 2000; i++) {
        if (arg != NULL)
            atomic_store_explicit(&victim, lode_cpool_acquire(cp), memory_order_release);
        pthread_barrier_wait(&barrier);
        int error = lode_cpool_release(cp, atomic_load_explicit(&victim, memory_order_acquire));
        if (error == 0)
            atomic_fetch_add_explicit(&released_twice, 1, memory_order_relaxed);
        else
            CHECK(error == -EINVAL);
        pthread_barrier_wait(&barrier);
    }
    return NULL;
}

static void double_releases_race(void)
{
    pthread_t threads[3];
    make();
    pthread_barrier_init(&barrier, NULL, 3);
    for (size_t i = 0; i < 3; i++)
        CHECK(pthread_create(&threads[i], NULL, race, (void *)(i == 0 ? &barrier : NULL)) == 0);
    for (size_t i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    CHECK(released_twice == 2000);
    CHECK(now().misuses == 4000 && now().live == 0);
    pthread_barrier_destroy(&barrier);
    lode_cpool_destroy(cp);
}

/* ---- fork ---- */

#define FORK_MAX 2000

static _Atomic int stop;
static _Atomic size_t under_way; /* threads past their start */

static void *churn(void *arg)
{
    atomic_fetch_add(&under_way, 1);
    uint32_t seed = (uint32_t)(uintptr_t)arg;
    struct object *held[100];
    int count = 0;
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        struct object *object = NULL;
        if (next(&seed) % 2 == 0 && count < 100)
            object = lode_cpool_acquire(cp);
        if (object != NULL)
            held[count++] = object;
        else if (count > 0)
            CHECK(lode_cpool_release(cp, held[--count]) == 0);
    }
    while (count > 0)
        CHECK(lode_cpool_release(cp, held[--count]) == 0);
    return NULL;
}

static void *child_thread(void *arg)
{
    for (int i = 0; i < 1000; i++)
        CHECK(lode_cpool_release(cp, lode_cpool_acquire(cp)) == 0);
    return arg;
}

/* The other threads had at most 100 objects each; all else is to be had here. */
static void in_child(void)
{
    static void *objects[FORK_MAX];
    pthread_t thread;
    size_t count = lode_cpool_acquire_many(cp, objects, FORK_MAX);
    struct lode_pool_stats s = now();
    CHECK(count >= FORK_MAX - THREADS * 101);
    /* What they had in caches was found, but for what was on its way. */
    CHECK(s.live <= FORK_MAX && s.live >= FORK_MAX - THREADS && s.live <= count + THREADS * 101);
    CHECK(lode_cpool_release_many(cp, objects, count) == 0);
    CHECK(pthread_create(&thread, NULL, child_thread, NULL) == 0);
    pthread_join(thread, NULL);
    (void)lode_pools_trim(SIZE_MAX);
    lode_cpool_destroy(cp);
}

static void a_forked_child_goes_on(void)
{
    pthread_t threads[THREADS];
    struct lode_pool_opts o = LODE_POOL_OPTS_INIT;
    o.object_bytes = sizeof(struct object);
    o.max = FORK_MAX;
    CHECK(lode_cpool_create(&o, &cp) == 0);
    void *mine = lode_cpool_acquire(cp);
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, churn, (void *)(i + 1)) == 0);
    /* ASan's runtime takes locks where a thread starts, which it does not hold around fork(). */
    while (atomic_load(&under_way) < THREADS)
        usleep(1000);
    for (int i = 0; i < 40; i++) {
        int status;
        usleep(1000);
        pid_t pid = fork();
        if (pid == 0) {
            alarm(20);
            CHECK(lode_cpool_release(cp, mine) == 0);
            in_child();
            _exit(0);
        }
        CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    atomic_store_explicit(&stop, 1, memory_order_relaxed);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK(now().live == 1);
    lode_cpool_destroy(cp);
}

int main(void)
{
    threads_come_and_go();
    double_releases_race();
    if (FORKS)
        a_forked_child_goes_on();
    printf("fine\n");
    return 0;
}
