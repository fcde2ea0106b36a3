/* SPDX-License-Identifier: MIT */
/*
 * lode-ext-scale [-n ROUNDS]: how the mining API scales from one thread to two, beside what a loop
 * that touches no memory scales on this machine in the same run, as CSV: name, million operations a
 * second by one thread and by two together, two / one, and that relative to the loop's.
 *
 * Each round takes every row with one thread and with two, in turns; medians of the rounds. Threads
 * work in parts of the field that are apart, as workers of a job system do, or read the same part.
 */
#include <lode/sdf.h>

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROUNDS_MAX 1001
#define THREADS    2
#define SIDE       12 /* bricks, of each thread's part */
#define BRICKS     (SIDE * SIDE * SIDE)
#define VOXELS     512

static struct lode_sdf *field;
static lode_handle bricks[THREADS][BRICKS];

static void die_unless(int ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "lode-ext-scale: %s failed\n", what);
        exit(1);
    }
}

static struct lode_ivec3 place(unsigned thread, int i)
{
    return (struct lode_ivec3){i % SIDE + (int)thread * 64, i / SIDE % SIDE, i / SIDE / SIDE};
}

static size_t spin(unsigned thread)
{
    uint64_t x = thread + 1;
    for (int i = 0; i < 64000000; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
    }
    __asm__ volatile("" : : "r"(x));
    return 64000000;
}

static size_t pairs(unsigned thread)
{
    for (int round = 0; round < 1000; round++)
        for (int i = 0; i < BRICKS; i++) {
            lode_handle brick = bricks[thread][i];
            die_unless(lode_sdf_brick_free(field, brick) == 0, "free");
            die_unless(lode_sdf_brick_alloc(field, 0, place(thread, i), LODE_TIER_HIGH,
                                            &bricks[thread][i]) == 0,
                       "alloc");
        }
    return 1000 * (size_t)BRICKS;
}

static size_t stores(unsigned thread)
{
    float values[VOXELS];
    for (int i = 0; i < VOXELS; i++)
        values[i] = (float)(i % 8) - 3.5f;
    for (int round = 0; round < 600; round++)
        for (int i = 0; i < BRICKS; i++)
            die_unless(lode_sdf_encode(field, bricks[thread][i], values) == 0, "encode");
    return 600 * (size_t)BRICKS;
}

static size_t reads_of_the_same(unsigned thread)
{
    float values[VOXELS];
    (void)thread;
    for (int round = 0; round < 1500; round++)
        for (int i = 0; i < BRICKS; i++) {
            die_unless(lode_sdf_decode(field, bricks[0][i], values) == 0, "decode");
            __asm__ volatile("" : : "r"(values) : "memory");
        }
    return 1500 * (size_t)BRICKS;
}

static size_t retiers(unsigned thread)
{
    for (int round = 0; round < 600; round++)
        for (int i = 0; i < BRICKS; i++)
            die_unless(lode_sdf_retier(field, bricks[thread][i],
                                       round % 2 ? LODE_TIER_HIGH : LODE_TIER_MID) == 0,
                       "retier");
    return 600 * (size_t)BRICKS;
}

static const struct row {
    const char *name;
    size_t (*work)(unsigned thread);
} rows[] = {
    {"spin loop", spin},       {"brick free+alloc", pairs},
    {"brick encode", stores},  {"brick decode, the same bricks", reads_of_the_same},
    {"brick retier", retiers},
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

struct worker {
    const struct row *row;
    unsigned thread;
    size_t done;
    double began, ended; /* seconds */
    pthread_barrier_t *ready;
};

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Each thread keeps to a processor of its own: two that begin on one would take turns till the
 * kernel notices. */
static void stay(unsigned thread)
{
    cpu_set_t all, one;
    CPU_ZERO(&one);
    if (sched_getaffinity(0, sizeof(all), &all) != 0)
        return;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &all) && thread-- == 0)
            CPU_SET(cpu, &one);
    if (CPU_COUNT(&one) == 1)
        (void)sched_setaffinity(0, sizeof(one), &one);
}

static void *run(void *arg)
{
    struct worker *w = arg;
    stay(w->thread);
    pthread_barrier_wait(w->ready);
    w->began = now_s();
    w->done = w->row->work(w->thread);
    w->ended = now_s();
    return NULL;
}

/* Operations a second of `threads` threads together, from when the first began to when the last
 * ended, by their own clocks: this thread may be woken late. */
static double rate(const struct row *row, unsigned threads)
{
    struct worker workers[THREADS];
    pthread_t ids[THREADS];
    pthread_barrier_t ready;
    size_t done = 0;
    double began = 0, ended = 0;
    pthread_barrier_init(&ready, NULL, threads);
    for (unsigned i = 0; i < threads; i++) {
        workers[i] = (struct worker){.row = row, .thread = i, .ready = &ready};
        die_unless(pthread_create(&ids[i], NULL, run, &workers[i]) == 0, "pthread_create");
    }
    for (unsigned i = 0; i < threads; i++) {
        pthread_join(ids[i], NULL);
        done += workers[i].done;
        began = i == 0 || workers[i].began < began ? workers[i].began : began;
        ended = i == 0 || workers[i].ended > ended ? workers[i].ended : ended;
    }
    pthread_barrier_destroy(&ready);
    return (double)done / (ended - began);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof(double), by_value);
    return values[count / 2];
}

static void fill(void)
{
    struct lode_sdf_opts opts = LODE_SDF_OPTS_INIT;
    die_unless(lode_sdf_create(&opts, &field) == 0, "create");
    for (unsigned t = 0; t < THREADS; t++)
        for (int i = 0; i < BRICKS; i++)
            die_unless(lode_sdf_brick_alloc(field, 0, place(t, i), LODE_TIER_HIGH, &bricks[t][i]) ==
                           0,
                       "alloc");
    for (unsigned t = 0; t < THREADS; t++)
        (void)stores(t);
}

int main(int argc, char **argv)
{
    static double rates[ROWS][2][ROUNDS_MAX], scaling[ROWS][ROUNDS_MAX], against[ROUNDS_MAX];
    int rounds = argc > 2 && strcmp(argv[1], "-n") == 0 ? atoi(argv[2]) : 15;
    if (rounds < 1 || rounds > ROUNDS_MAX) {
        fprintf(stderr, "lode-ext-scale: -n takes 1 to %d\n", ROUNDS_MAX);
        return 2;
    }
    fill();
    for (int r = -1; r < rounds; r++)
        for (size_t i = 0; i < ROWS; i++) {
            int at = r < 0 ? 0 : r;
            rates[i][0][at] = rate(&rows[i], 1);
            rates[i][1][at] = rate(&rows[i], 2);
            scaling[i][at] = rates[i][1][at] / rates[i][0][at];
        }
    printf("name,one_mops,two_mops,scaling,of_the_spin_loop\n");
    for (size_t i = 0; i < ROWS; i++) {
        for (int r = 0; r < rounds; r++)
            against[r] = scaling[i][r] / scaling[0][r];
        double relative = median(against, rounds);
        double one = median(rates[i][0], rounds), two = median(rates[i][1], rounds);
        printf("%s,%.2f,%.2f,%.3f,%.3f\n", rows[i].name, one / 1e6, two / 1e6, two / one, relative);
    }
    lode_sdf_destroy(field);
    return 0;
}
