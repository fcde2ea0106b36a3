/* SPDX-License-Identifier: MIT */
/*
 * Every allocator of conformance_table.c that any thread may use, forked while two threads are at
 * work in it: the child must be able to allocate, free and list what is alive, and end. A lock that
 * a vanished thread held would keep it for ever.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conformance.h"
#include "ext/registry.h"
#include "lode/heap.h"

#define FORKS 30

#define CHECK(e) ((e) ? (void)0 : failed(#e, __LINE__))

static const struct conformance_row *row;
static struct lode_allocator it;
static _Atomic int running;

static void failed(const char *what, int line)
{
    fprintf(stderr, "forked_allocators.c:%d: %s: %s does not hold\n", line, row->name, what);
    _exit(3);
}

static void use(size_t rounds)
{
    size_t bytes = row->traits & LODE_TRAIT_FIXED ? row->block_bytes : 100;
    for (size_t i = 0; i < rounds; i++) {
        void *p = lode_allocator_alloc(&it, bytes, 16);
        if (p != NULL) {
            memset(p, 1, bytes);
            CHECK(lode_allocator_free(&it, p, bytes, 16) == 0);
        }
    }
}

static void *work(void *arg)
{
    while (atomic_load_explicit(&running, memory_order_relaxed)) /* only a reason to end */
        use(100);
    return arg;
}

static int look(void *ctx, const struct lodei_registered *entry,
                const struct lode_allocator_stats *stats)
{
    (void)entry;
    CHECK(stats->used_bytes <= stats->mapped_bytes);
    ++*(int *)ctx;
    return 0;
}

static void in_child(void)
{
    int seen = 0;
    alarm(20); /* a hang ends by a signal */
    use(1000);
    CHECK(lodei_registry_each(look, &seen) == 0);
    row->end(&it);
    _exit(0);
}

static void run(void)
{
    pthread_t threads[2];
    struct lode_heap *heap;
    CHECK(lode_heap_create(NULL, &heap) == 0);
    CHECK(row->make(heap, &it) == 0);
    atomic_store_explicit(&running, 1, memory_order_relaxed);
    for (int i = 0; i < 2; i++)
        CHECK(pthread_create(&threads[i], NULL, work, NULL) == 0);
    for (int i = 0; i < FORKS; i++) {
        int status = 0;
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0)
            in_child();
        CHECK(waitpid(child, &status, 0) == child);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    atomic_store_explicit(&running, 0, memory_order_relaxed);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    row->end(&it);
    lode_heap_destroy(heap);
}

int main(void)
{
    for (row = conformance_rows; row->name != NULL; row++)
        if (row->traits & LODE_TRAIT_THREADS) {
            run();
            printf("%s: fine\n", row->name);
        }
    return 0;
}
