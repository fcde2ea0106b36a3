/* SPDX-License-Identifier: MIT */
/*
 * Threads that come and go, allocate, free each other's blocks, and go on allocating in their
 * thread-specific destructors, while the main thread loads and unloads a library and forks children
 * that allocate, leak one block each and exit. Leaks nothing itself.
 *
 * usage: leaks-churn LIBRARY CHILDREN
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 4
#define SLOTS   256
#define ROUNDS  4000

static _Atomic(void *) slots[SLOTS];
static atomic_bool stopping;
static pthread_key_t key;
static __thread void *volatile sink; /* hides blocks from the optimiser */

static void in_destructor(void *left)
{
    size_t rounds = (size_t)left;

    sink = malloc(rounds * 100);
    free(sink);
    /* glibc calls again up to PTHREAD_DESTRUCTOR_ITERATIONS times; go past the tracer's own end. */
    if (rounds > 1)
        pthread_setspecific(key, (void *)(rounds - 1));
}

static void *worker(void *seed)
{
    unsigned state = (unsigned)(size_t)seed;

    pthread_setspecific(key, (void *)(size_t)6);
    for (int i = 0; i < ROUNDS; i++) {
        void *block = malloc(16 + rand_r(&state) % 2000);

        if (rand_r(&state) % 4 == 0)
            block = realloc(block, 16 + rand_r(&state) % 4000);
        free(atomic_exchange(&slots[rand_r(&state) % SLOTS], block));
    }
    return NULL;
}

static void *breeder(void *seed)
{
    size_t number = (size_t)seed;

    while (!atomic_load(&stopping)) {
        pthread_t thread;

        number += THREADS;
        if (pthread_create(&thread, NULL, worker, (void *)number) == 0)
            pthread_join(thread, NULL);
    }
    return NULL;
}

__attribute__((noinline)) static void leak_in_child(void)
{
    sink = malloc(777);
}

static int child(const char *library)
{
    void *handle;

    for (int i = 0; i < 200; i++) {
        sink = malloc((size_t)(100 + i));
        free(sink);
    }
    handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (!handle)
        return 1;
    dlclose(handle);
    leak_in_child();
    return 0;
}

int main(int argc, char **argv)
{
    pthread_t threads[THREADS];
    int children = argc == 3 ? atoi(argv[2]) : 0;

    if (argc != 3 || pthread_key_create(&key, in_destructor) != 0)
        return 2;
    for (size_t i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, breeder, (void *)i) != 0)
            return 2;
    for (int i = 0; i < children; i++) {
        void *handle = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
        int status = 0;
        pid_t pid = fork();

        if (pid == 0)
            exit(child(argv[1]));
        if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) {
            fprintf(stderr, "child %d: status 0x%x\n", i, (unsigned)status);
            return 1;
        }
        if (handle)
            dlclose(handle);
    }
    atomic_store(&stopping, true);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < SLOTS; i++)
        free(atomic_exchange(&slots[i], NULL));
    return 0;
}
