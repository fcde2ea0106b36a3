/* SPDX-License-Identifier: MIT */
/*
 * Threads that used a heap end while another thread destroys it: ending is no use of the heap.
 * Their records, parts and undelivered frees must go with whichever comes first. Meant for TSan as
 * well.
 */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#include "blockset.h"
#include "heap/types.h"
#include "heaplook.h"

#define THREADS  3
#define ROUNDS   400
#define BLOCKS   64
#define CHECK(e) ((e) ? (void)0 : failed(#e, __LINE__))

static struct lode_heap *heap;
static pthread_barrier_t filled, freed;
static void *blocks[THREADS][BLOCKS];

static void failed(const char *what, int line)
{
    fprintf(stderr, "ending_threads.c:%d: %s does not hold\n", line, what);
    abort();
}

static void *use_and_end(void *arg)
{
    size_t me = (size_t)(uintptr_t)arg, next = (me + 1) % THREADS;
    for (size_t i = 0; i < BLOCKS; i++)
        blocks[me][i] = lode_heap_alloc(heap, 16 + i * 40);
    pthread_barrier_wait(&filled);
    for (size_t i = 0; i < BLOCKS; i += 2)
        lode_free(blocks[next][i]); /* most of these are never delivered */
    pthread_barrier_wait(&freed);
    for (size_t i = 0; i < me; i++)
        sched_yield();
    return NULL;
}

int main(int argc, char **argv)
{
    int rounds = argc > 1 ? atoi(argv[1]) : ROUNDS;
    pthread_t threads[THREADS];
    pthread_barrier_init(&filled, NULL, THREADS);
    pthread_barrier_init(&freed, NULL, THREADS + 1);
    for (int round = 0; round < rounds; round++) {
        CHECK(lode_heap_create(NULL, &heap) == 0);
        for (uintptr_t i = 0; i < THREADS; i++)
            CHECK(pthread_create(&threads[i], NULL, use_and_end, (void *)i) == 0);
        pthread_barrier_wait(&freed);
        for (int i = 0; i < round % 7; i++)
            sched_yield();
        lode_heap_destroy(heap);
        struct lode_heap *other; /* takes over the records of the one just destroyed */
        CHECK(lode_heap_create(NULL, &other) == 0);
        void *p = lode_heap_alloc(other, 100);
        for (int i = 0; i < THREADS; i++)
            pthread_join(threads[i], NULL);
        struct lode_stats s = heaplook_stats(other);
        CHECK(s.live_blocks == 1 && s.thread_heaps == 1 && s.orphans == 0);
        lode_free(p);
        lode_heap_destroy(other);
    }
    lode_purge();
    CHECK(heaplook_unnamed_bytes() == 0);
    CHECK(heaplook_stats(NULL).live_blocks == 0);
    CHECK(lodei_state.used_slices == 0);
    puts("every heap went quietly");
    return 0;
}
