/* SPDX-License-Identifier: MIT */
/*
 * lode-sdf-drill [STEPS [SEED]]: a drill through rock (drill_walk.h) without hints and with those
 * that come of its last steps (lode_predict_observe()), as CSV. Each run has a process of its own.
 *
 *     hints         off; on, given between two steps (`own`); or by another thread (`other`)
 *     step_...      one step, nanoseconds of its thread (others may be on the machine); hints that
 *                   are given between steps are not in it
 *     new_...       the store of one new brick, nanoseconds
 *     hint_ns       what hints took, per step
 *     faults        page faults within steps, per 1,000 of them (own thread's)
 *     miss          of the blocks that steps acquired, how many were not ready, percent
 *     foretold      of the bricks made, how many a hint had named, percent
 *     used          of the places hints named, how many became bricks, percent
 */
#include "drill_walk.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum hints { OFF, OWN, OTHER };
static const char *const names[] = {"off", "own", "other"};

static unsigned steps = 20000;
static uint64_t seed = 1;

/* What the other thread is told: only the last position counts. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t news;
    float position[3];
    int fresh, over;
    struct lode_sdf *field;
    double ns;
} other = {.lock = PTHREAD_MUTEX_INITIALIZER, .news = PTHREAD_COND_INITIALIZER};

static void die_unless(int ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "lode-sdf-drill: %s failed\n", what);
        exit(1);
    }
}

static double now_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static double step_ns(void)
{
    return now_ns(CLOCK_THREAD_CPUTIME_ID);
}

/* Cheaper, for what is over in a moment. */
static double store_ns(void)
{
    return now_ns(CLOCK_MONOTONIC);
}

static long faults(void)
{
    struct rusage usage;
    die_unless(getrusage(RUSAGE_THREAD, &usage) == 0, "getrusage");
    return usage.ru_minflt;
}

static void *observe_other(void *arg)
{
    struct lode_predictor predictor = {0};
    float position[3];
    (void)arg;
    for (;;) {
        pthread_mutex_lock(&other.lock);
        while (!other.fresh && !other.over)
            pthread_cond_wait(&other.news, &other.lock);
        int over = other.over;
        other.fresh = 0;
        memcpy(position, other.position, sizeof(position));
        pthread_mutex_unlock(&other.lock);
        if (over)
            return NULL;
        double start = step_ns();
        die_unless(lode_predict_observe(&predictor, other.field, position, DRILL_RADIUS) >= 0,
                   "observe");
        other.ns += step_ns() - start;
    }
}

static void tell_other(const float position[3], int over)
{
    pthread_mutex_lock(&other.lock);
    if (position != NULL)
        memcpy(other.position, position, sizeof(other.position));
    other.fresh = position != NULL;
    other.over = over;
    pthread_cond_signal(&other.news);
    pthread_mutex_unlock(&other.lock);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_times(double *ns, size_t count)
{
    qsort(ns, count, sizeof(*ns), by_value);
    printf(",%.0f,%.0f,%.0f", ns[count / 2], ns[count * 99 / 100], ns[count * 999 / 1000]);
}

static void report(enum hints hints, const struct drill_walk *walk, double *ns, double hint_ns,
                   long faulted)
{
    struct lode_predict_stats s = {.size = sizeof(s)};
    die_unless(lode_sdf_predict_stats(walk->field, &s) == 0, "stats");
    printf("%s,%u,%lu", names[hints], steps, walk->made);
    print_times(ns, steps);
    print_times(walk->made_ns, walk->made);
    printf(",%.0f,%.1f,%.1f,%.1f,%.1f\n", hint_ns / steps, (double)faulted * 1000 / steps,
           100 - (double)s.acquired_ready * 100 / (double)(s.acquired != 0 ? s.acquired : 1),
           (double)s.made_foretold * 100 / (double)(s.made != 0 ? s.made : 1),
           (double)s.made_foretold * 100 / (double)(s.foretold != 0 ? s.foretold : 1));
}

static void run(enum hints hints)
{
    struct lode_sdf_opts opts = LODE_SDF_OPTS_INIT;
    struct lode_predict_stats counted = {.size = sizeof(counted)};
    struct lode_predictor predictor = {0};
    struct drill_walk walk = {.random = seed, .now_ns = store_ns, .made_room = 8ul * steps};
    double *ns = malloc(steps * sizeof(*ns)), hint_ns = 0;
    walk.made_ns = malloc(walk.made_room * sizeof(*walk.made_ns));
    long faulted = 0;
    pthread_t thread;
    die_unless(ns != NULL && walk.made_ns != NULL, "malloc");
    memset(walk.made_ns, 1, walk.made_room * sizeof(*ns));
    memset(ns, 1, steps * sizeof(*ns)); /* its own faults are not the steps' */
    die_unless(lode_sdf_create(&opts, &walk.field) == 0, "create");
    die_unless(lode_sdf_predict_stats(walk.field, &counted) == 0, "stats");
    other.field = walk.field;
    if (hints == OTHER)
        die_unless(pthread_create(&thread, NULL, observe_other, NULL) == 0, "pthread_create");
    for (unsigned i = 0; i < steps; i++) {
        drill_move(&walk);
        long before = faults();
        double start = step_ns();
        drill_dig(&walk);
        ns[i] = step_ns() - start;
        faulted += faults() - before;
        if (hints == OWN) {
            start = step_ns();
            die_unless(lode_predict_observe(&predictor, walk.field, walk.position, DRILL_RADIUS) >=
                           0,
                       "observe");
            hint_ns += step_ns() - start;
        } else if (hints == OTHER) {
            tell_other(walk.position, 0);
            if (i % 32 == 0)
                usleep(200); /* steps are a frame's, not without end */
        }
    }
    die_unless(walk.status == 0 && walk.made <= walk.made_room, "digging");
    if (hints == OTHER) {
        tell_other(NULL, 1);
        pthread_join(thread, NULL);
        hint_ns = other.ns;
    }
    report(hints, &walk, ns, hint_ns, faulted);
    lode_sdf_destroy(walk.field);
    free(ns);
    free(walk.made_ns);
}

int main(int argc, char **argv)
{
    int failed = 0, status = 0;
    if (argc > 1)
        steps = (unsigned)strtoul(argv[1], NULL, 10);
    if (argc > 2)
        seed = strtoull(argv[2], NULL, 10);
    die_unless(steps > 0 && steps < 10000000, "reading the arguments");
    printf("hints,steps,made,step_p50,step_p99,step_p99.9,new_p50,new_p99,new_p99.9,"
           "hint_ns,faults,miss,foretold,used\n");
    fflush(stdout);
    for (enum hints hints = OFF; hints <= OTHER; hints++) {
        pid_t child = fork();
        die_unless(child >= 0, "fork");
        if (child == 0) {
            run(hints);
            fflush(stdout);
            _exit(0);
        }
        die_unless(waitpid(child, &status, 0) == child, "waitpid");
        failed |= status;
    }
    return failed != 0;
}
