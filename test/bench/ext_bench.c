/* SPDX-License-Identifier: MIT */
/*
 * lode-ext-bench [-n ROUNDS] [NAME...]: nanoseconds per operation of the mining API, as CSV: name,
 * unit, median, minimum, goal. Rounds of all that was asked for are interleaved, so that a slow
 * minute of the machine touches every row alike; the first round is discarded. Without names: all.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ext_bench.h"

#define ROUNDS_MAX 1001

struct row {
    const struct ext_bench *bench;
    double ns[ROUNDS_MAX];
};

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static double measure(const struct ext_bench *bench)
{
    if (bench->prepare != NULL)
        bench->prepare();
    double start = now_ns();
    size_t done = bench->run();
    double ns = now_ns() - start;
    if (bench->finish != NULL)
        bench->finish();
    return ns / (double)done;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int wanted(const char *name, int argc, char **argv)
{
    for (int i = 0; i < argc; i++)
        if (strncmp(name, argv[i], strlen(argv[i])) == 0)
            return 1;
    return argc == 0;
}

int main(int argc, char **argv)
{
    static const struct ext_bench *const areas[] = {
#define EXT_BENCH_ROW(area) ext_bench_##area,
        EXT_BENCH_AREAS(EXT_BENCH_ROW)
#undef EXT_BENCH_ROW
    };
    int rounds = 15, first = 1;
    if (argc > 2 && strcmp(argv[1], "-n") == 0) {
        rounds = atoi(argv[2]);
        first = 3;
    }
    if (rounds < 1 || rounds >= ROUNDS_MAX) {
        fprintf(stderr, "lode-ext-bench: -n takes 1 to %d\n", ROUNDS_MAX - 1);
        return 2;
    }
    size_t count = 0;
    struct row *rows = NULL;
    for (size_t a = 0; a < sizeof(areas) / sizeof(areas[0]); a++)
        for (const struct ext_bench *b = areas[a]; b->name != NULL; b++)
            if (wanted(b->name, argc - first, argv + first)) {
                rows = realloc(rows, (count + 1) * sizeof(*rows));
                if (rows == NULL)
                    return 1;
                rows[count++].bench = b;
            }
    for (int r = -1; r < rounds; r++)
        for (size_t i = 0; i < count; i++)
            rows[i].ns[r < 0 ? 0 : r] = measure(rows[i].bench);
    printf("name,unit,median_ns,min_ns,goal_ns\n");
    for (size_t i = 0; i < count; i++) {
        qsort(rows[i].ns, (size_t)rounds, sizeof(double), by_value);
        printf("%s,%s,%.2f,%.2f,%g\n", rows[i].bench->name, rows[i].bench->unit,
               rows[i].ns[rounds / 2], rows[i].ns[0], rows[i].bench->goal_ns);
    }
    free(rows);
    return 0;
}
