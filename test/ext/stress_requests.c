/* SPDX-License-Identifier: MIT */
/*
 * Requests under threads: all types, limits that are hit and waited for, the reserve, frees by
 * other threads, double frees that race, figures and regions meanwhile, threads that end with
 * blocks on their stacks, fork() while others wait. At the end nothing is live and nothing is
 * charged. Run under TSan as well, without the fork.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ext/requestcore.h"
#include "lode/regions.h"
#include "lode/request.h"

#define THREADS 4
#define SLOTS   64
#define HELD    32
#define STEPS   8000

/* TSan ends a child of several threads that starts one. */
#ifdef __SANITIZE_THREAD__
#define FORKS 0
#else
#define FORKS 1
#endif

#define CHECK(e) ((e) ? (void)0 : failed(#e, __LINE__))

static pthread_mutex_t slots_lock = PTHREAD_MUTEX_INITIALIZER;
static struct lode_allocation slots[SLOTS]; /* guarded by slots_lock */
static _Atomic int running;
static _Atomic uint64_t out_of_limit, from_reserve;

static void failed(const char *what, int line)
{
    fprintf(stderr, "stress_requests.c:%d: %s does not hold\n", line, what);
    abort();
}

static uint32_t next(uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 8;
}

static struct lode_request_stats stats_of(unsigned type)
{
    struct lode_request_stats s = {.size = sizeof(s)};
    CHECK(lode_request_stats_get(type, &s) == 0);
    return s;
}

static void check_bytes(const unsigned char *p, const struct lode_allocation *a)
{
    for (size_t i = 0; i < a->bytes; i += 61)
        CHECK(p[i] == (unsigned char)a->id);
}

static void release(const struct lode_allocation *a)
{
    if (a->ptr == NULL)
        return;
    const unsigned char *p = a->ptr;
    CHECK(a->handle == 0 || lode_peek(a->handle) == a->ptr);
    int pinned = a->handle != 0 && a->id % 5 == 0;
    CHECK(!pinned || lode_pin(a->handle) == a->ptr);
    if (!pinned)
        check_bytes(p, a);
    CHECK(lode_alloc_free(a) == 0);
    CHECK(lode_alloc_free(a) == -EINVAL);
    if (pinned) {
        check_bytes(p, a);
        CHECK(lode_unpin(a->handle) == 0);
    }
}

static void acquire(uint32_t *seed, struct lode_allocation *ret)
{
    static const uint8_t types[] = {LODE_MEMORY_SYSTEM,    LODE_MEMORY_AUDIO, LODE_MEMORY_NETWORK,
                                    LODE_MEMORY_TEMPORARY, LODE_MEMORY_POOL,  LODE_MEMORY_STACK};
    struct lode_request r = LODE_REQUEST_INIT;
    uint32_t dice = next(seed);
    r.type = types[dice % 6];
    r.bytes = 1 + next(seed) % 4000;
    r.priority = (int8_t)(dice >> 4);
    r.tag = dice >> 8 & 1;
    if (r.type == LODE_MEMORY_TEMPORARY)
        r.timeout_ms = dice >> 9 & 1;
    if ((dice >> 10 & 7) == 0)
        r.flags = LODE_REQUEST_CRITICAL;
    if ((dice >> 13 & 7) == 0)
        r.flags |= LODE_REQUEST_FALLBACK;
    if ((dice >> 16 & 3) == 0 && r.type != LODE_MEMORY_STACK)
        r.flags |= LODE_REQUEST_MOVABLE;
    ret->ptr = NULL;
    int error = lode_alloc(&r, ret);
    if (error != 0) {
        CHECK(error == -ENOSPC || error == -ETIMEDOUT || error == -ENOMEM);
        atomic_fetch_add_explicit(&out_of_limit, 1, memory_order_relaxed);
        return;
    }
    if (ret->flags & LODE_ALLOCATION_RESERVE)
        atomic_fetch_add_explicit(&from_reserve, 1, memory_order_relaxed);
    memset(ret->ptr, (int)(unsigned char)ret->id, ret->bytes);
}

/* Blocks of the thread's stack go in their order, all others in any. */
static void *work(void *arg)
{
    uint32_t seed = (uint32_t)(uintptr_t)arg;
    struct lode_allocation held[HELD], stacked[HELD];
    size_t stack_count = 0;
    memset(held, 0, sizeof(held));
    for (int step = 0; step < STEPS; step++) {
        struct lode_allocation *mine = &held[next(&seed) % HELD];
        release(mine);
        acquire(&seed, mine);
        if (mine->ptr != NULL && mine->strategy == LODE_STRATEGY_STACK) {
            stacked[stack_count++] = *mine;
            mine->ptr = NULL;
            if (stack_count > 1)
                CHECK(lode_alloc_free(&stacked[0]) == -EBUSY);
        }
        if (stack_count == HELD || (stack_count > 0 && step % 3 == 0))
            release(&stacked[--stack_count]);
        if (step % 4 == 0) {
            struct lode_allocation *slot = &slots[next(&seed) % SLOTS], other;
            pthread_mutex_lock(&slots_lock);
            other = *slot;
            *slot = *mine;
            pthread_mutex_unlock(&slots_lock);
            *mine = other;
        }
    }
    for (int i = 0; i < HELD; i++)
        release(&held[i]);
    return NULL; /* with what is on the stack */
}

static int look(void *ctx, const struct lode_region_info *r)
{
    CHECK(r->used_bytes <= r->mapped_bytes);
    ++*(size_t *)ctx;
    return 0;
}

static void *watch(void *arg)
{
    size_t limit = 0;
    while (atomic_load_explicit(&running, memory_order_relaxed)) { /* only a reason to end */
        size_t seen = 0;
        CHECK(lode_regions_enumerate(look, &seen) == 0);
        for (unsigned t = 0; t < LODE_MEMORY_TYPES; t++) {
            struct lode_request_stats s = stats_of(t);
            CHECK(s.used_bytes < (size_t)1 << 30 && s.reserve_used_bytes <= s.reserve_bytes);
        }
        limit = (limit + 7919) % 100000;
        CHECK(lode_request_limit_set(LODE_MEMORY_TEMPORARY, 20000 + limit) == 0);
    }
    return arg;
}

static void all_types_at_once(void)
{
    pthread_t threads[THREADS], watcher;
    CHECK(lode_request_limit_set(LODE_MEMORY_TEMPORARY, 50000) == 0);
    CHECK(lode_request_limit_set(LODE_MEMORY_POOL, 20000) == 0);
    atomic_store_explicit(&running, 1, memory_order_relaxed);
    CHECK(pthread_create(&watcher, NULL, watch, NULL) == 0);
    for (int group = 0; group < 3; group++) {
        for (size_t i = 0; i < THREADS; i++)
            CHECK(pthread_create(&threads[i], NULL, work,
                                 (void *)((size_t)group * THREADS + i + 1)) == 0);
        for (size_t i = 0; i < THREADS; i++)
            pthread_join(threads[i], NULL);
    }
    atomic_store_explicit(&running, 0, memory_order_relaxed);
    pthread_join(watcher, NULL);
    for (size_t i = 0; i < SLOTS; i++)
        release(&slots[i]);
    for (unsigned t = 0; t < LODE_MEMORY_TYPES; t++) {
        struct lode_request_stats s = stats_of(t);
        CHECK(s.live == 0 && s.used_bytes == 0 && s.reserve_used_bytes == 0);
        CHECK(s.peak_bytes <= 120000 || (t != LODE_MEMORY_TEMPORARY && t != LODE_MEMORY_POOL));
    }
    CHECK(out_of_limit > 0 && from_reserve > 0);
    struct lode_read_stats waiting;
    lode_read_stats(&waiting);
    CHECK(waiting.parked_blocks == 0 && waiting.waiting_blocks == 0);
    lodei_movable_verify();
}

/* ---- one allocation, freed by all at once ---- */

static pthread_barrier_t barrier;
static struct lode_allocation victim;
static _Atomic uint64_t freed;

static void *race(void *arg)
{
    struct lode_request r = LODE_REQUEST_INIT;
    r.bytes = 100;
    for (int i = 0; i < 2000; i++) {
        if (arg != NULL)
            CHECK(lode_alloc(&r, &victim) == 0);
        pthread_barrier_wait(&barrier);
        int error = lode_alloc_free(&victim);
        if (error == 0)
            atomic_fetch_add_explicit(&freed, 1, memory_order_relaxed);
        else
            CHECK(error == -EINVAL);
        pthread_barrier_wait(&barrier);
    }
    return NULL;
}

static void double_frees_race(void)
{
    pthread_t threads[3];
    pthread_barrier_init(&barrier, NULL, 3);
    for (size_t i = 0; i < 3; i++)
        CHECK(pthread_create(&threads[i], NULL, race, (void *)(i == 0 ? &barrier : NULL)) == 0);
    for (size_t i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    CHECK(freed == 2000);
    pthread_barrier_destroy(&barrier);
}

/* ---- fork, while others wait and allocate ---- */

static void *wait_for_ever(void *arg)
{
    struct lode_request r = LODE_REQUEST_INIT;
    struct lode_allocation a;
    r.type = LODE_MEMORY_AUDIO;
    r.bytes = 1000;
    r.timeout_ms = 60000;
    CHECK(lode_alloc(&r, &a) == 0);
    CHECK(lode_alloc_free(&a) == 0);
    return arg;
}

static void *churn(void *arg)
{
    uint32_t seed = (uint32_t)(uintptr_t)arg;
    while (atomic_load_explicit(&running, memory_order_relaxed)) {
        struct lode_allocation a;
        acquire(&seed, &a);
        release(&a);
    }
    return NULL;
}

static void in_child(struct lode_allocation *mine)
{
    uint32_t seed = 5;
    struct lode_allocation a;
    struct lode_request r = LODE_REQUEST_INIT;
    r.type = LODE_MEMORY_AUDIO;
    r.bytes = 1000;
    CHECK(lode_alloc(&r, &a) == -ENOSPC);
    r.timeout_ms = 1;
    CHECK(lode_alloc(&r, &a) == -ETIMEDOUT);
    CHECK(lode_alloc_free(mine) == 0);
    CHECK(lode_alloc(&r, &a) == 0); /* nobody waits here any more */
    CHECK(lode_alloc_free(&a) == 0);
    for (int i = 0; i < 1000; i++) {
        acquire(&seed, &a);
        release(&a);
    }
}

static void a_forked_child_goes_on(void)
{
    pthread_t threads[THREADS], waiter;
    struct lode_allocation mine;
    struct lode_request r = LODE_REQUEST_INIT;
    r.type = LODE_MEMORY_AUDIO;
    r.bytes = 1024;
    CHECK(lode_request_limit_set(LODE_MEMORY_AUDIO, 1024) == 0);
    CHECK(lode_alloc(&r, &mine) == 0);
    CHECK(pthread_create(&waiter, NULL, wait_for_ever, NULL) == 0);
    atomic_store_explicit(&running, 1, memory_order_relaxed);
    for (size_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, churn, (void *)(i + 1)) == 0);
    for (int i = 0; i < 30; i++) {
        int status;
        usleep(500);
        pid_t pid = fork();
        if (pid == 0) {
            alarm(20);
            in_child(&mine);
            _exit(0);
        }
        CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    atomic_store_explicit(&running, 0, memory_order_relaxed);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK(lode_alloc_free(&mine) == 0);
    pthread_join(waiter, NULL);
}

int main(void)
{
    all_types_at_once();
    double_frees_race();
    if (FORKS)
        a_forked_child_goes_on();
    printf("fine\n");
    return 0;
}
