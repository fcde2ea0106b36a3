/* SPDX-License-Identifier: MIT */
/*
 * The tracer without a heap below it: this program stands in for liblode-heap.so, takes the hooks
 * and calls them from many threads with made-up addresses, forks meanwhile, and reads the report.
 * It is what runs the tracer under ThreadSanitizer, which cannot be combined with a preloaded
 * malloc.
 *
 * usage: leaks-hooks FOLDER
 */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/conf.h"
#include "heap/trace.h"

#define THREADS  8
#define ROUNDS   20000
#define LIVE     100 /* blocks that each thread leaves */
#define CHILDREN 20

int lode_trace_start(const struct lodei_conf *conf);

static const struct lodei_tracer *tracer;
static struct lodei_conf conf = {.leaks_frames = 16, .leaks_top = 20};

int lodei_tracer_install(const struct lodei_tracer *given)
{
    tracer = given;
    return given->abi == LODEI_TRACER_ABI ? 0 : -EINVAL;
}

static void *made_up(size_t thread, size_t number)
{
    return (void *)(uintptr_t)(0x100000000 + thread * 0x1000000 + number * 16);
}

/* Recursion gives stacks of many depths. */
__attribute__((noinline)) static void record(void *block, unsigned depth)
{
    if (depth)
        record(block, depth - 1);
    else
        tracer->on_alloc(block, 10);
    __asm__ volatile(""); /* keeps the frame: no tail call */
}

static void *worker(void *number)
{
    size_t thread = (size_t)number;

    for (size_t i = 0; i < ROUNDS; i++) {
        errno = 7;
        record(made_up(thread, i), (unsigned)(i % 20));
        if (i % 3 == 0)
            tracer->on_resize(made_up(thread, i), 20);
        /* The neighbour's, too: known, unknown or being recorded now. */
        tracer->on_free(made_up((thread + 1) % THREADS, i));
        if (errno != 7)
            abort();
    }
    for (size_t i = 0; i < ROUNDS; i++)
        tracer->on_free(made_up(thread, i));
    return NULL;
}

static void *leaver(void *number)
{
    for (size_t i = 0; i < LIVE; i++)
        record(made_up((size_t)number, i), 0);
    return NULL;
}

static int run_threads(void *(*body)(void *), bool forking)
{
    pthread_t threads[THREADS];
    int bad = 0;

    for (size_t i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, body, (void *)i) != 0)
            return 1;
    for (int i = 0; forking && i < CHILDREN; i++) {
        int status = 0;

        tracer->fork_prepare();
        pid_t pid = fork();
        if (pid == 0) {
            tracer->fork_child();
            record(made_up(THREADS, 0), 3);
            tracer->at_exit();
            _exit(0);
        }
        tracer->fork_parent();
        bad |= pid < 0 || waitpid(pid, &status, 0) != pid || status != 0;
    }
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    return bad;
}

/* Does the report at `path` tell of so many blocks, and end as it should? */
static int check(const char *path, unsigned long blocks, unsigned long bytes)
{
    FILE *file = fopen(path, "r");
    char line[4096] = "";
    char total[100];
    bool total_seen = false;

    snprintf(total, sizeof(total), "total %lu %lu\n", blocks, bytes);
    while (file && fgets(line, sizeof(line), file))
        total_seen = total_seen || strcmp(line, total) == 0;
    if (file)
        fclose(file);
    if (total_seen && strcmp(line, "end\n") == 0)
        return 0;
    printf("%s: no line '%.*s', or cut off\n", path, (int)strlen(total) - 1, total);
    return 1;
}

int main(int argc, char **argv)
{
    char path[300];
    int bad;

    if (argc != 2)
        return 2;
    snprintf(conf.leaks_file, sizeof(conf.leaks_file), "%s/leaks-hooks-%%p", argv[1]);
    if (lode_trace_start(&conf) != 0)
        return 2;
    bad = run_threads(worker, true) | run_threads(leaver, false);
    tracer->at_exit();
    snprintf(path, sizeof(path), "%s/leaks-hooks-%d", argv[1], (int)getpid());
    bad |= check(path, THREADS * LIVE, THREADS * LIVE * 10);
    return bad;
}
