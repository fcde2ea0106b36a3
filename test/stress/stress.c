/* SPDX-License-Identifier: MIT */
/*
 * The stress program: arguments, threads, and the balance at the end.
 *
 *   stress-malloc|stress-lode [--seed N] [--ops N | --seconds S] [--threads T] [--only MODE]
 *
 * Each mode runs its threads to the end before the next starts. Prints one line a mode; exits 0, or
 * aborts with the first mismatch and the seed that brings it about.
 */
#include "stress.h"

#include <argp.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { THREADS_MAX = 64 };

struct stress_conf stress_conf = {.seed = 1, .ops = 20000, .threads = 4};

static const char *only;
static const char *current_mode = "start";
static struct timespec deadline;

void stress_die(const char *fmt, ...)
{
    char text[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    fprintf(stderr, STRESS_NAME ": %s, seed %llu: %s\n", current_mode,
            (unsigned long long)stress_conf.seed, text);
    abort();
}

bool stress_more(struct stress_thread *thread)
{
    struct timespec now;

    if (stress_conf.seconds == 0)
        return thread->ops_left-- > 0;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec < deadline.tv_sec ||
           (now.tv_sec == deadline.tv_sec && now.tv_nsec < deadline.tv_nsec);
}

static const struct stress_mode *running;

static void *thread_body(void *arg)
{
    running->run(arg);
    return NULL;
}

/* What the figures must say while nobody allocates: every mapped byte has exactly one name. */
static void check_balance(void)
{
    struct lode_stats s = {.size = sizeof s};
    uint64_t named;

    if (!stress_heap_api.stats_get)
        return;
    if (stress_heap_api.stats_get(NULL, &s) != 0)
        stress_die("lode_stats_get failed");
    named = s.in_use_bytes + s.cached_bytes + s.untouched_bytes + s.purged_bytes + s.metadata_bytes;
    if (named != s.mapped_bytes)
        stress_die("mapped %llu bytes, named %llu", (unsigned long long)s.mapped_bytes,
                   (unsigned long long)named);
    stress_heap_api.purge();
}

static void run_mode(const struct stress_mode *mode)
{
    static struct stress_thread threads[THREADS_MAX];
    static struct block *slots[THREADS_MAX];
    pthread_t ids[THREADS_MAX];

    current_mode = mode->name;
    running = mode;
    clock_gettime(CLOCK_MONOTONIC, &deadline);
    deadline.tv_sec += (time_t)stress_conf.seconds;
    for (unsigned i = 0; i < stress_conf.threads; i++) {
        if (!slots[i])
            slots[i] = stress_pages(STRESS_SLOTS * sizeof(struct block));
        threads[i] = (struct stress_thread){
            .rng = stress_conf.seed * 1000003u + i * 7919u,
            .index = i,
            .ops_left = stress_conf.ops / mode->cost,
            .slots = slots[i],
        };
    }
    for (unsigned i = 0; i < stress_conf.threads; i++) {
        int code = pthread_create(&ids[i], NULL, thread_body, &threads[i]);

        if (code != 0)
            stress_die("pthread_create: %s", strerror(code));
    }
    for (unsigned i = 0; i < stress_conf.threads; i++)
        pthread_join(ids[i], NULL);
    check_balance();
    printf("%s: fine\n", mode->name);
    fflush(stdout);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    switch (key) {
    case 's':
        stress_conf.seed = strtoull(arg, NULL, 0);
        return 0;
    case 'n':
        stress_conf.ops = strtoull(arg, NULL, 0);
        return 0;
    case 't':
        stress_conf.seconds = (unsigned)strtoul(arg, NULL, 0);
        return 0;
    case 'j':
        stress_conf.threads = (unsigned)strtoul(arg, NULL, 0);
        if (stress_conf.threads == 0 || stress_conf.threads > THREADS_MAX)
            argp_error(state, "threads: 1 to %d", THREADS_MAX);
        return 0;
    case 'm':
        only = arg;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

int main(int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"seed", 's', "N", 0, "Start of the random sequences", 0},
        {"ops", 'n', "N", 0, "Operations per thread and mode (default 20000)", 0},
        {"seconds", 't', "S", 0, "Run each mode this long instead", 0},
        {"threads", 'j', "T", 0, "Threads of each mode (default 4)", 0},
        {"only", 'm', "MODE", 0, "One mode: mixed realloc aligned remote churn fork heaps tags", 0},
        {NULL, 0, NULL, 0, NULL, 0},
    };
    static const struct argp parser = {
        options, parse, NULL, "Fill and verify every block under random load.", NULL, NULL, NULL};
    bool have_lode, found = false;

    argp_parse(&parser, argc, argv, 0, NULL, NULL);
    have_lode = stress_api_init() == 0;
    for (const struct stress_mode *m = stress_modes; m->name; m++) {
        if (only && strcmp(only, m->name) != 0)
            continue;
        found = true;
        if (m->needs_lode && !have_lode) {
            printf("%s: skipped, no lode API\n", m->name);
            continue;
        }
        run_mode(m);
    }
    if (!found) {
        fprintf(stderr, STRESS_NAME ": no mode '%s'\n", only);
        return 2;
    }
    return 0;
}
