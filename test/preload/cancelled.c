/* SPDX-License-Identifier: MIT */
/*
 * Neither malloc nor free nor fork is a cancellation point: cancelled WAY, for
 * test_startup.py. A thread cancels itself, does one thing, and must come back from it, while
 * others allocate.
 *
 *   malloc    allocates and frees
 *   fork      forks
 *   foreign   frees a block of libc's own malloc
 *   bad       frees a block twice: the process must abort
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROUNDS = 50, OTHERS = 3, STACK_BYTES = 1 << 20 };

static atomic_int back, stop;
static void *foreign;
static void *volatile sink;
static pid_t child;

static void act_malloc(void)
{
    sink = malloc(1000);
    free(sink);
}

static void act_fork(void)
{
    child = fork();
    if (child == 0)
        _exit(0);
}

static void act_foreign(void)
{
    free(foreign);
}

static void act_bad(void)
{
    char *p = malloc(40), *volatile again = p;
    free(p);
    free(again);
}

static const struct way {
    const char *name;
    void (*act)(void);
    int rounds;
} ways[] = {
    {"malloc", act_malloc, ROUNDS},
    {"fork", act_fork, ROUNDS},
    {"foreign", act_foreign, 1},
    {"bad", act_bad, 1},
};

static void *cancelled(void *way)
{
    pthread_cancel(pthread_self());
    ((const struct way *)way)->act();
    back++;
    pthread_testcancel();
    return way;
}

static void *churn(void *arg)
{
    while (!stop)
        free(memset(malloc(100), 1, 100));
    return arg;
}

/* On a stack nobody has walked yet: there an unwinder asks the kernel about it. */
static void run(const struct way *way)
{
    pthread_t thread;
    pthread_attr_t attr;
    void *stack =
        mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (stack == MAP_FAILED || pthread_attr_init(&attr) != 0 ||
        pthread_attr_setstack(&attr, stack, STACK_BYTES) != 0 ||
        pthread_create(&thread, &attr, cancelled, (void *)(uintptr_t)way) != 0 ||
        pthread_join(thread, NULL) != 0)
        _exit(3);
    if (child > 0)
        waitpid(child, NULL, 0);
}

int main(int argc, char **argv)
{
    const struct way *way = ways;
    pthread_t others[OTHERS];
    void *libc = dlopen("libc.so.6", RTLD_NOW), *(*libc_malloc)(size_t);

    while (argc != 2 || strcmp(way->name, argv[1]) != 0)
        if (++way == ways + sizeof ways / sizeof *ways)
            return 2;
    *(void **)&libc_malloc = dlsym(libc, "__libc_malloc");
    foreign = libc_malloc(300000);
    for (int i = 0; i < OTHERS; i++)
        if (pthread_create(&others[i], NULL, churn, NULL) != 0)
            return 3;
    for (int i = 0; i < way->rounds; i++)
        run(way);
    stop = 1;
    for (int i = 0; i < OTHERS; i++)
        pthread_join(others[i], NULL);
    if (back == way->rounds)
        return 0;
    fprintf(stderr, "cancelled: %d of %d came back\n", back, way->rounds);
    return 1;
}
