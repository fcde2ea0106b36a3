/* SPDX-License-Identifier: MIT */
/*
 * Forking while threads allocate, over the heaps' own API: by fork() with its handlers, and raw,
 * where locks of vanished threads may stay taken. Each child reads what it inherited, frees it,
 * allocates from heaps old and new, and ends; none may hang or find broken contents.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "blockset.h"
#include "heap/types.h"
#include "heaplook.h"

#define THREADS  3
#define CHILDREN 60
#define SHARED   400
/* A thread takes at most one run of slices at a time: here for a block of 400,000 bytes. */
#define UNNAMED_MAX ((size_t)1 << 20)
#define CHECK(e)    ((e) ? (void)0 : failed(#e, __LINE__))

static _Atomic int stop;
static struct blockset inherited;
static struct lode_heap *heap;

static void failed(const char *what, int line)
{
    char text[256];
    int n = snprintf(text, sizeof(text), "forked.c:%d: %s does not hold\n", line, what);
    if (write(STDERR_FILENO, text, (size_t)n) >= 0)
        abort();
}

static void *allocate(void *arg)
{
    struct blockset set;
    blockset_init(&set, (uint64_t)(uintptr_t)arg);
    while (!stop) {
        size_t bytes = blockset_size(&set, 400000);
        if (set.count < 200) {
            void *p = bytes % 2 ? lode_malloc(bytes) : lode_heap_alloc(heap, bytes);
            blockset_add(&set, p, bytes);
        } else {
            lode_free(blockset_remove(&set, blockset_below(&set, set.count)));
        }
    }
    while (set.count > 0)
        lode_free(blockset_remove(&set, 0));
    blockset_finish(&set);
    return NULL;
}

static void be_a_child(int raw)
{
    alarm(30);
    CHECK(blockset_broken(&inherited) == 0);
    struct lode_heap *own = NULL;
    CHECK(lode_heap_create(NULL, &own) == 0);
    for (int i = 0; i < 300; i++) {
        char *p = lode_malloc((size_t)i * 37), *q = lode_heap_alloc(heap, (size_t)i * 91);
        char *r = lode_heap_calloc(own, 1, (size_t)i * 53);
        CHECK(p != NULL && q != NULL && r != NULL);
        memset(p, 1, (size_t)i * 37);
        memset(q, 2, (size_t)i * 91);
        CHECK(blockset_is_zero(r, (size_t)i * 53));
        lode_free(p);
        lode_free(q);
    }
    lode_heap_destroy(own);
    while (inherited.count > 0)
        lode_free(blockset_remove(&inherited, inherited.count - 1));
    lode_purge();
    /* What vanished threads were taking at that moment has no name any more. Of a raw child nothing
     * is promised: it may have had to give up whole thread heaps. */
    long unnamed = heaplook_unnamed_bytes();
    CHECK(raw || (unnamed >= 0 && unnamed <= (long)(THREADS * UNNAMED_MAX)));
    _exit(0);
}

static void fork_one(int raw)
{
    int status;
    pid_t pid = raw ? (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL) : fork();
    CHECK(pid >= 0);
    if (pid == 0)
        be_a_child(raw);
    CHECK(waitpid(pid, &status, 0) == pid);
    if (status != 0)
        printf("a %s child ended with status %#x\n", raw ? "raw" : "forked", (unsigned)status);
    CHECK(status == 0);
}

static void share(void)
{
    for (int i = 0; i < SHARED; i++) {
        size_t bytes = blockset_size(&inherited, 100000);
        void *p = i % 2 ? lode_malloc(bytes) : lode_heap_alloc(heap, bytes);
        CHECK(p != NULL);
        blockset_add(&inherited, p, bytes);
    }
}

int main(void)
{
    pthread_t threads[THREADS];
    blockset_init(&inherited, 3);
    CHECK(lode_heap_create(NULL, &heap) == 0);
    share();
    for (uintptr_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, allocate, (void *)(i + 1)) == 0);
    for (int i = 0; i < CHILDREN; i++) {
        fork_one(0);
        if (getenv("FORKED_RAW") != NULL)
            fork_one(1);
    }
    stop = 1;
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK(blockset_broken(&inherited) == 0);
    CHECK(heaplook_stats(NULL).live_blocks == SHARED);
    CHECK(heaplook_unnamed_bytes() == 0);
    lode_heap_destroy(heap);
    puts("every child ended well");
    return 0;
}
