/* SPDX-License-Identifier: MIT */
/*
 * A frame arena under threads: two write and check what they allocate while a third advances frames
 * under them as fast as their blocks' lives allow, one allocates and touches nothing, and one asks
 * for figures and trims. No block may be another's. TSan runs it, too; more threads than lanes come
 * and go at the end.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lode/frame.h"

#define WORKERS 2
#define FRAMES  200
#define BLOCKS  40

#define CHECK(e) ((e) ? (void)0 : failed(#e, __LINE__))

static struct lode_frame *frame;
/* The frame a worker is in: the one after the next may not begin. */
static _Atomic uint64_t in_frame[WORKERS];
static _Atomic int over;

static void failed(const char *what, int line)
{
    fprintf(stderr, "stress_frame.c:%d: %s does not hold\n", line, what);
    abort();
}

static void *work(void *arg)
{
    size_t me = (size_t)arg;
    uint32_t seed = (uint32_t)me + 1;
    while (!atomic_load_explicit(&over, memory_order_relaxed)) {
        struct lode_frame_ref refs[BLOCKS];
        size_t bytes[BLOCKS];
        uint64_t now;
        do { /* seq_cst: as a hazard pointer, against the look in main() */
            now = lode_frame_generation(frame);
            atomic_store_explicit(&in_frame[me], now, memory_order_seq_cst);
        } while (lode_frame_generation(frame) != now);
        for (int i = 0; i < BLOCKS; i++) {
            seed = seed * 1664525 + 1013904223;
            bytes[i] = seed >> 30 == 0 && i < 4 ? 10000 + (seed >> 10) % 20000 : (seed >> 10) % 900;
            refs[i] = lode_frame_alloc_ref(frame, bytes[i], (size_t)1 << (seed & 7));
            CHECK(refs[i].block != NULL);
            CHECK(refs[i].generation == now || refs[i].generation == now + 1);
            memset(refs[i].block, (int)(me * 100 + (size_t)i), bytes[i]);
        }
        for (int i = 0; i < BLOCKS; i++) {
            const unsigned char *p = lode_frame_get(frame, refs[i]);
            CHECK(p == refs[i].block);
            for (size_t b = 0; b < bytes[i]; b++)
                CHECK(p[b] == (unsigned char)(me * 100 + (size_t)i));
        }
        /* release: pairs with the look in main(), behind which the memory may be another's */
        atomic_store_explicit(&in_frame[me], UINT64_MAX, memory_order_release);
    }
    return NULL;
}

static void *hammer(void *arg)
{
    while (!atomic_load_explicit(&over, memory_order_relaxed)) {
        for (int i = 0; i < 50; i++) {
            CHECK(lode_frame_alloc(frame, 48, 16) != NULL);
            CHECK(lode_frame_alloc(frame, 3000, 16) != NULL);
        }
        sched_yield(); /* or one frame would take all the memory there is */
    }
    return arg;
}

static void *look(void *arg)
{
    while (!atomic_load_explicit(&over, memory_order_relaxed)) {
        struct lode_allocator_stats s;
        lode_frame_stats(frame, &s);
        CHECK(s.used_bytes + s.free_bytes + s.metadata_bytes <= s.mapped_bytes);
        (void)lode_frame_trim(frame);
        CHECK(!lode_frame_owns(frame, &s));
    }
    return arg;
}

static void *once(void *arg)
{
    unsigned char *p = lode_frame_alloc(frame, 100, 16);
    CHECK(p != NULL);
    memset(p, 7, 100);
    return arg;
}

int main(void)
{
    pthread_t threads[WORKERS + 2], more[40];
    size_t count = 0;
    CHECK(lode_frame_create(NULL, &frame) == 0);
    for (size_t i = 0; i < WORKERS; i++) {
        atomic_store_explicit(&in_frame[i], UINT64_MAX, memory_order_relaxed);
        CHECK(pthread_create(&threads[count++], NULL, work, (void *)i) == 0);
    }
    CHECK(pthread_create(&threads[count++], NULL, hammer, NULL) == 0);
    CHECK(pthread_create(&threads[count++], NULL, look, NULL) == 0);
    for (uint64_t next = 2; next < FRAMES; next++) {
        for (size_t i = 0; i < WORKERS; i++) /* seq_cst: see work() */
            while (atomic_load_explicit(&in_frame[i], memory_order_seq_cst) < next - 1)
                sched_yield();
        CHECK(lode_frame_advance(frame) == next);
    }
    atomic_store_explicit(&over, 1, memory_order_relaxed);
    for (size_t i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    for (size_t i = 0; i < 40; i++)
        CHECK(pthread_create(&more[i], NULL, once, NULL) == 0);
    for (size_t i = 0; i < 40; i++)
        pthread_join(more[i], NULL);
    lode_frame_destroy(frame);
    return 0;
}
