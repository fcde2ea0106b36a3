/* SPDX-License-Identifier: MIT */
/*
 * A constant live set, replayed: after warm-up an allocator needs no system call for it. Two
 * getppid calls mark the stretch that test_syscalls.py looks at.
 *
 *   steady one     one thread, random sizes and lifetimes over 2,000 blocks, large ones among them
 *   steady two     one thread takes blocks, another frees them; they meet by spinning, so that the
 *                  program itself makes no call either
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LIVE = 2000, OPS = 60000, WARM_ROUNDS = 4, ROUNDS = 3, RING = 1024, PASSED = 40000 };

/* The same sequence each time, from an empty set to an empty set. */
static void replay(void)
{
    static void *p[LIVE];
    unsigned rng = 7;

    for (int op = 0; op < OPS; op++) {
        unsigned slot;
        size_t bytes;

        rng = rng * 1103515245u + 12345u;
        slot = (rng >> 8) % LIVE;
        bytes = (rng >> 16) % 500 == 0 ? 200000 + (rng >> 6) % 300000 : (rng >> 6) % 2000 + 1;
        free(p[slot]);
        p[slot] = malloc(bytes);
        if (!p[slot])
            _exit(3);
        *(unsigned char *)p[slot] = 1;
    }
    for (int i = 0; i < LIVE; i++) {
        free(p[i]);
        p[i] = NULL;
    }
}

static void one(void)
{
    for (int i = 0; i < WARM_ROUNDS; i++)
        replay();
    getppid();
    for (int i = 0; i < ROUNDS; i++)
        replay();
    getppid();
}

/* One producer, one consumer; each index is written by one side only. */
static void *ring[RING];
static atomic_uint head, tail;
static atomic_bool stop;

static void *consumer(void *arg)
{
    unsigned t = 0;

    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        /* Pairs with the release in pass(). */
        if (t == atomic_load_explicit(&head, memory_order_acquire))
            continue;
        free(ring[t % RING]);
        atomic_store_explicit(&tail, ++t, memory_order_release);
    }
    return arg;
}

static void pass(int blocks)
{
    unsigned h = atomic_load_explicit(&head, memory_order_relaxed);

    for (int i = 0; i < blocks; i++) {
        /* Pairs with the release in consumer(). */
        while (h - atomic_load_explicit(&tail, memory_order_acquire) == RING)
            ;
        ring[h % RING] = malloc((size_t)(i * 61) % 1500 + 1);
        if (!ring[h % RING])
            _exit(3);
        *(unsigned char *)ring[h % RING] = 1;
        atomic_store_explicit(&head, ++h, memory_order_release);
    }
    while (h != atomic_load_explicit(&tail, memory_order_acquire))
        ;
}

static int two(void)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, consumer, NULL) != 0)
        return 4;
    for (int i = 0; i < WARM_ROUNDS; i++)
        pass(PASSED);
    getppid();
    pass(PASSED);
    getppid();
    atomic_store_explicit(&stop, true, memory_order_relaxed);
    pthread_join(thread, NULL);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "two") == 0)
        return two();
    one();
    return 0;
}
