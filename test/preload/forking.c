/* SPDX-License-Identifier: MIT */
/*
 * Children of a process whose threads allocate: forking WAY COUNT, for test_startup.py.
 *
 *   fork    fork() while four threads allocate
 *   raw     the clone system call itself, which runs no handlers, while four threads allocate
 *   vfork   children that only exec, while four threads allocate
 *   stdio   fork() while one thread flushes all files and three read lines, which allocate while
 *           they hold a file: fork() wants stdio's list of files, and our locks
 *
 * Each child allocates, frees, also what its parent had allocated, and exits; an alarm ends a child
 * that hangs. Prints "children COUNT" and exits 0 when every child did well.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 4, SHARED = 64, CHILD_SECONDS = 10 };

static atomic_bool stop;
/* Blocks that travel between the threads, so that frees by other threads are always under way. */
static _Atomic(void *) shared[SHARED];

static size_t next_size(unsigned *rng)
{
    *rng = *rng * 1103515245u + 12345u;
    return ((*rng >> 8) % 64 == 0) ? (*rng >> 12) % 300000 + 1 : (*rng >> 12) % 2000 + 1;
}

/* Take blocks, write them, and put each into the shared table, freeing what stood there. */
static void churn(unsigned *rng, int ops)
{
    for (int i = 0; i < ops; i++) {
        size_t bytes = next_size(rng);
        void *p = malloc(bytes);

        if (!p)
            _exit(4);
        memset(p, (int)(*rng & 0xFF), bytes);
        free(atomic_exchange_explicit(&shared[(*rng >> 5) % SHARED], p, memory_order_acq_rel));
    }
}

static void *worker(void *arg)
{
    unsigned rng = (unsigned)(uintptr_t)arg;

    while (!atomic_load_explicit(&stop, memory_order_relaxed))
        churn(&rng, 100);
    return NULL;
}

static void *reader(void *arg)
{
    FILE *file = tmpfile();
    char *line = NULL;
    size_t room = 0;

    if (!file)
        _exit(4);
    for (int i = 0; i < 8 * 20000; i++)
        putc(i % 20000 == 19999 ? '\n' : 'x', file);
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        rewind(file);
        while (getdelim(&line, &room, '\n', file) > 0) {
            free(line);
            line = NULL;
            room = 0;
        }
    }
    free(line);
    fclose(file);
    return arg;
}

static void *flusher(void *arg)
{
    while (!atomic_load_explicit(&stop, memory_order_relaxed))
        fflush(NULL);
    return arg;
}

/* What a child does before it exits: its own blocks, and those that it inherited. */
static void child_body(unsigned seed, void *inherited)
{
    enum { N = 300 };
    unsigned char *p[N];
    unsigned rng = seed;

    alarm(CHILD_SECONDS);
    free(inherited);
    for (int i = 0; i < N; i++) {
        p[i] = calloc(1, next_size(&rng));
        if (!p[i] || p[i][0] != 0)
            _exit(5);
        p[i][0] = (unsigned char)i;
    }
    for (int i = 0; i < N; i++) {
        if (p[i][0] != (unsigned char)i)
            _exit(6);
        free(p[i]);
    }
    for (int i = 0; i < SHARED; i++)
        free(atomic_exchange_explicit(&shared[i], NULL, memory_order_acq_rel));
    churn(&rng, 200);
    FILE *file = fopen("/dev/null", "w");
    if (!file || fclose(file) != 0)
        _exit(7);
    _exit(0);
}

static pid_t start_vfork(void)
{
    pid_t pid = vfork();

    if (pid == 0) {
        execl("/bin/true", "true", (char *)NULL);
        _exit(127);
    }
    return pid;
}

static pid_t start_child(const char *way, unsigned seed)
{
    void *inherited = malloc(seed % 2 ? 100 : 50000);
    pid_t pid;

    if (strcmp(way, "vfork") == 0)
        pid = start_vfork();
    else if (strcmp(way, "raw") == 0)
        pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    else
        pid = fork();
    if (pid == 0)
        child_body(seed, inherited);
    free(inherited);
    return pid;
}

/* Wait for one child. Returns 0 if it did well. */
static int reap(void)
{
    int status = 0;
    pid_t pid;

    do
        pid = waitpid(-1, &status, 0);
    while (pid < 0 && errno == EINTR);
    if (pid < 0 || status == 0)
        return pid < 0;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
        fprintf(stderr, "forking: a child hung\n");
    else
        fprintf(stderr, "forking: a child ended with status %x\n", (unsigned)status);
    return 1;
}

int main(int argc, char **argv)
{
    int count = argc == 3 ? atoi(argv[2]) : 0, bad = 0;
    pthread_t threads[THREADS];

    if (count <= 0) {
        fprintf(stderr, "usage: forking fork|raw|vfork|stdio COUNT\n");
        return 2;
    }
    for (int i = 0; i < THREADS; i++) {
        void *(*body)(void *) = worker;

        if (strcmp(argv[1], "stdio") == 0)
            body = i == 0 ? flusher : reader;
        if (pthread_create(&threads[i], NULL, body, (void *)(uintptr_t)(i + 1)) != 0)
            return 3;
    }
    for (int i = 0; i < count && !bad; i++) {
        if (start_child(argv[1], (unsigned)i) < 0)
            bad = 1;
        else
            bad = reap();
    }
    atomic_store_explicit(&stop, true, memory_order_relaxed);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    if (!bad)
        printf("children %d\n", count);
    return bad;
}
