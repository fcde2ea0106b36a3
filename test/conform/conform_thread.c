/* SPDX-License-Identifier: MIT */
/*
 * Conformance: threads. Blocks that outlive their thread, many short threads, cancellation, and
 * allocation in the destructors of thread-specific data, after the allocator's own may have run.
 */
#include "conform_areas.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MIB = 1 << 20, HELD = 2000 };

static void *held[HELD];

static pthread_t start(void *(*body)(void *), void *arg)
{
    pthread_t thread;
    int code = pthread_create(&thread, NULL, body, arg);

    REQUIRE(code == 0, "pthread_create: %s", strerror(code));
    return thread;
}

static size_t held_bytes(int i)
{
    return i % 100 == 0 ? 300000 : (size_t)(i * 53) % 5000 + 1;
}

static void *fill_held(void *arg)
{
    for (int i = 0; i < HELD; i++) {
        held[i] = malloc(held_bytes(i));
        if (held[i])
            conform_fill(held[i], held_bytes(i), (unsigned)i);
    }
    return arg;
}

static void *free_held(void *arg)
{
    for (int i = 0; i < HELD; i++)
        free(held[i]);
    return arg;
}

static void blocks_outlive_thread(void)
{
    for (int round = 0; round < 20; round++) {
        pthread_join(start(fill_held, NULL), NULL);
        for (int i = 0; i < HELD; i++)
            REQUIRE(held[i] && conform_filled(held[i], held_bytes(i), (unsigned)i),
                    "block %d lost when its thread ended", i);
        if (round % 2)
            free_held(NULL);
        else
            pthread_join(start(free_held, NULL), NULL);
    }
    CHECK(conform_rss_bytes() < 150u * MIB, "freed by others, RSS %zu", conform_rss_bytes());
}

static void usable_from_elsewhere(void)
{
    pthread_join(start(fill_held, NULL), NULL);
    for (int i = 0; i < HELD; i++) {
        char *p = held[i];

        CHECK(malloc_usable_size(p) >= held_bytes(i), "usable size of a gone thread's block");
        p = realloc(p, held_bytes(i) * 2);
        REQUIRE(p && conform_filled(p, held_bytes(i), (unsigned)i), "realloc lost contents");
        held[i] = p;
    }
    free_held(NULL);
}

/* Allocates, frees most, leaves ten blocks to the caller. */
static void *short_thread(void *arg)
{
    void **left = arg;
    void *mine[200];

    for (int i = 0; i < 200; i++) {
        mine[i] = malloc((size_t)(i * 29) % 3000 + 1);
        if (mine[i])
            memset(mine[i], 1, (size_t)(i * 29) % 3000 + 1);
    }
    for (int i = 0; i < 190; i++)
        free(mine[i]);
    memcpy(left, mine + 190, 10 * sizeof *mine);
    return arg;
}

static void short_threads(void)
{
    void *left[4][10];
    size_t warm = 0, end;

    for (int i = 0; i < 2000; i += 4) {
        pthread_t t[4];

        for (int k = 0; k < 4; k++)
            t[k] = start(short_thread, left[k]);
        for (int k = 0; k < 4; k++)
            pthread_join(t[k], NULL);
        for (int k = 0; k < 4; k++)
            for (int b = 0; b < 10; b++)
                free(left[k][b]);
        if (i == 200)
            warm = conform_rss_bytes();
    }
    end = conform_rss_bytes();
    CHECK(end < warm + 8u * MIB, "2,000 threads: RSS %zu -> %zu", warm, end);
}

static void *allocate_for_ever(void *arg)
{
    void *volatile keep = NULL;

    pthread_cleanup_push(free, NULL);
    for (;;) {
        keep = malloc(100);
        memset(keep, 1, 100);
        free(keep);
        keep = calloc(1, 20000);
        keep = realloc(keep, 200000);
        free(keep);
        pthread_testcancel();
    }
    pthread_cleanup_pop(0);
    return arg;
}

static void cancellation(void)
{
    for (int i = 0; i < 100; i++) {
        pthread_t thread = start(allocate_for_ever, NULL);
        void *result = NULL;

        usleep(500);
        pthread_cancel(thread);
        pthread_join(thread, &result);
        REQUIRE(result == PTHREAD_CANCELED, "not cancelled");
    }
    fill_held(NULL);
    free_held(NULL);
}

/* No allocation function is a cancellation point: a pending cancel must not end the thread in one.
 */
static void *pending_cancel(void *arg)
{
    pthread_cancel(pthread_self());
    for (int i = 0; i < HELD; i++) {
        void *p = malloc(held_bytes(i));

        free(p);
    }
    free(malloc(20 * MIB));
    /* glibc's own malloc_trim is one on its first call, before anything was allocated there. */
    if (conform_expect_all)
        malloc_trim(0);
    *(bool *)arg = true;
    pthread_testcancel();
    return NULL;
}

static void no_cancellation_point(void)
{
    bool reached = false;

    pthread_join(start(pending_cancel, &reached), NULL);
    CHECK(reached, "the thread was cancelled inside an allocation function");
}

static pthread_key_t key;
static int destructor_runs;

/* Sets its key again to be called in every round, so the last runs after all other destructors. */
static void destructor(void *value)
{
    char *p = malloc(1000);

    destructor_runs++;
    if (p && conform_filled(value, 500, 4)) {
        conform_fill(p, 500, 4);
        free(value);
        free(calloc(1, 50000));
        free(malloc(MIB));
        pthread_setspecific(key, p);
    }
}

static void *set_key(void *arg)
{
    char *p = malloc(500);

    if (p)
        conform_fill(p, 500, 4);
    pthread_setspecific(key, p);
    return arg;
}

static void in_key_destructors(void)
{
    REQUIRE(pthread_key_create(&key, destructor) == 0, "pthread_key_create");
    for (int i = 0; i < 300; i++) {
        destructor_runs = 0;
        pthread_join(start(set_key, NULL), NULL);
        REQUIRE(destructor_runs >= PTHREAD_DESTRUCTOR_ITERATIONS, "destructor ran %d times",
                destructor_runs);
    }
    fill_held(NULL);
    free_held(NULL);
    CHECK(conform_rss_bytes() < 100u * MIB, "RSS %zu", conform_rss_bytes());
}

/* Many threads at once, each filling and checking its own blocks. */
static void *check_own(void *arg)
{
    unsigned key_of = (unsigned)(uintptr_t)arg;
    static __thread char *mine[300];

    for (int round = 0; round < 40; round++) {
        for (int i = 0; i < 300; i++) {
            mine[i] = malloc((size_t)(i * 31 + round) % 4000 + 1);
            if (!mine[i])
                return (void *)1;
            conform_fill(mine[i], (size_t)(i * 31 + round) % 4000 + 1, key_of);
        }
        for (int i = 0; i < 300; i++) {
            if (!conform_filled(mine[i], (size_t)(i * 31 + round) % 4000 + 1, key_of))
                return (void *)2;
            free(mine[i]);
        }
    }
    return NULL;
}

static void many_at_once(void)
{
    enum { N = 32 };
    pthread_t t[N];

    for (int i = 0; i < N; i++)
        t[i] = start(check_own, (void *)(uintptr_t)(i + 1));
    for (int i = 0; i < N; i++) {
        void *wrong = NULL;

        pthread_join(t[i], &wrong);
        CHECK(!wrong, "thread %d: %s", i, wrong == (void *)1 ? "NULL" : "block overwritten");
    }
}

static sem_t asleep, wake;

static void *allocate_and_sleep(void *arg)
{
    fill_held(NULL);
    sem_post(&asleep);
    sem_wait(&wake);
    return arg;
}

/* The owner of freed blocks sleeps: what others free must become free all the same. */
static void owner_asleep(void)
{
    pthread_t sleepers[20];
    size_t warm = 0, end;

    sem_init(&asleep, 0, 0);
    sem_init(&wake, 0, 0);
    for (int i = 0; i < 20; i++) {
        sleepers[i] = start(allocate_and_sleep, NULL);
        sem_wait(&asleep);
        free_held(NULL);
        malloc_trim(0);
        if (i == 4)
            warm = conform_rss_bytes();
    }
    end = conform_rss_bytes();
    for (int i = 0; i < 20; i++)
        sem_post(&wake);
    for (int i = 0; i < 20; i++)
        pthread_join(sleepers[i], NULL);
    /* 15 owners hold about 11 MiB of blocks each that others freed. */
    if (conform_expect_all)
        CHECK(end < warm + 60u * MIB, "RSS %zu -> %zu", warm, end);
}

const struct conform_test conform_thread[] = {
    {"thread/blocks outlive their thread", blocks_outlive_thread, 0},
    {"thread/realloc and usable size from elsewhere", usable_from_elsewhere, 0},
    {"thread/2,000 short threads do not accumulate", short_threads, 60},
    {"thread/cancellation", cancellation, 0},
    {"thread/no cancellation point", no_cancellation_point, 0},
    {"thread/in destructors of thread-specific data", in_key_destructors, 0},
    {"thread/many at once", many_at_once, 60},
    {"thread/freeing blocks of a sleeping owner", owner_asleep, 0},
    {NULL, NULL, 0},
};
