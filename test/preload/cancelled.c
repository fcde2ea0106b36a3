/* SPDX-License-Identifier: MIT */
/*
 * Neither malloc nor free nor fork is a cancellation point: cancelled WAY, for
 * test_startup.py. A thread cancels itself, does one thing, and must come back from it.
 *
 *   malloc    allocates and frees
 *   fork      forks while others allocate
 *   foreign   frees a block of libc's own malloc
 *   bad       frees a block twice: the process must abort
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROUNDS = 50, OTHERS = 3 };

static atomic_int back, stop;
static void *foreign;
static void *volatile sink;

static void *do_malloc(void *arg)
{
    pthread_cancel(pthread_self());
    sink = malloc(1000);
    free(sink);
    back++;
    pthread_testcancel();
    return arg;
}

static void *do_fork(void *arg)
{
    pthread_cancel(pthread_self());
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    back++;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    waitpid(child, NULL, 0);
    return arg;
}

static void *do_foreign(void *arg)
{
    pthread_cancel(pthread_self());
    free(foreign);
    back++;
    pthread_testcancel();
    return arg;
}

static void *do_bad(void *arg)
{
    pthread_cancel(pthread_self());
    char *p = malloc(40), *volatile again = p;
    free(p);
    free(again);
    return arg;
}

static void *churn(void *arg)
{
    while (!stop)
        free(memset(malloc(100), 1, 100));
    return arg;
}

static void run(void *(*body)(void *))
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, body, NULL) != 0 || pthread_join(thread, NULL) != 0)
        _exit(3);
}

int main(int argc, char **argv)
{
    const char *way = argc == 2 ? argv[1] : "";
    pthread_t others[OTHERS];
    int rounds = ROUNDS;

    if (strcmp(way, "foreign") == 0) {
        void *libc = dlopen("libc.so.6", RTLD_NOW), *(*libc_malloc)(size_t);
        *(void **)&libc_malloc = dlsym(libc, "__libc_malloc");
        rounds = 1;
        foreign = libc_malloc(300000);
        run(do_foreign);
    } else if (strcmp(way, "bad") == 0) {
        run(do_bad);
    } else if (strcmp(way, "fork") == 0) {
        for (int i = 0; i < OTHERS; i++)
            if (pthread_create(&others[i], NULL, churn, NULL) != 0)
                return 3;
        for (int i = 0; i < rounds; i++)
            run(do_fork);
        stop = 1;
        for (int i = 0; i < OTHERS; i++)
            pthread_join(others[i], NULL);
    } else {
        for (int i = 0; i < rounds; i++)
            run(do_malloc);
    }
    if (back == rounds)
        return 0;
    fprintf(stderr, "cancelled: %d of %d came back\n", back, rounds);
    return 1;
}
