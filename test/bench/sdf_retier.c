/* SPDX-License-Identifier: MIT */
/*
 * lode-sdf-retier [BRICKS [ROUNDS]]: how long one change of tier takes, as CSV in nanoseconds, for
 * single calls over BRICKS (default 16,384) in random order; the goal is a p99 of 20,000. Each way
 * between tiers is measured in ROUNDS (default 7) rounds over all bricks; the first is not counted.
 * The clock's own part, some 20 ns, is in it.
 */
#include <lode/sdf.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define VOXELS 512

static struct lode_sdf *field;
static lode_handle *bricks;
static size_t brick_count = 16384;
static unsigned rounds = 7;
static uint64_t random_state = 1;

static void die_unless(int ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "lode-sdf-retier: %s failed\n", what);
        exit(1);
    }
}

static size_t rnd(size_t below)
{
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (size_t)(random_state >> 33) % below;
}

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void shuffle(void)
{
    for (size_t i = brick_count - 1; i > 0; i--) {
        size_t j = rnd(i + 1);
        lode_handle moved = bricks[i];
        bricks[i] = bricks[j];
        bricks[j] = moved;
    }
}

static void fill(void)
{
    struct lode_sdf_opts opts = LODE_SDF_OPTS_INIT;
    struct lode_brick_opts high = {.size = sizeof(high), .tier = 1 + LODE_TIER_HIGH};
    float values[VOXELS];
    die_unless(lode_sdf_create(&opts, &field) == 0, "create");
    for (size_t i = 0; i < brick_count; i++) {
        struct lode_ivec3 at = {(int32_t)(i % 32), (int32_t)(i / 32 % 32), (int32_t)(i / 1024)};
        for (int v = 0; v < VOXELS; v++)
            values[v] = (float)rnd(9000) / 1000 - 4.5f;
        die_unless(lode_sdf_store(field, 0, at, values, &high, &bricks[i]) == 0, "store");
    }
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void report(enum lode_tier from, enum lode_tier to, double *ns)
{
    size_t count = brick_count * (rounds - 1);
    qsort(ns, count, sizeof(*ns), by_value);
    printf("%d,%d,%zu,%.0f,%.0f,%.0f,%.0f,20000\n", 16 >> from, 16 >> to, brick_count,
           ns[count / 2], ns[count * 99 / 100], ns[count * 999 / 1000], ns[count - 1]);
}

/* There and back; what comes back is not timed. */
static void measure(enum lode_tier from, enum lode_tier to, double *ns)
{
    for (size_t i = 0; i < brick_count; i++)
        die_unless(lode_sdf_retier(field, bricks[i], from) == 0, "retier");
    for (unsigned r = 0; r < rounds; r++) {
        double *at = r == 0 ? ns : ns + brick_count * (r - 1);
        shuffle();
        for (size_t i = 0; i < brick_count; i++) {
            double start = now_ns();
            int status = lode_sdf_retier(field, bricks[i], to);
            at[i] = now_ns() - start;
            die_unless(status == 0, "retier");
        }
        shuffle();
        for (size_t i = 0; i < brick_count; i++)
            die_unless(lode_sdf_retier(field, bricks[i], from) == 0, "retier");
    }
    report(from, to, ns);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        brick_count = strtoul(argv[1], NULL, 10);
    if (argc > 2)
        rounds = (unsigned)strtoul(argv[2], NULL, 10);
    die_unless(brick_count > 0 && brick_count <= 1 << 22 && rounds > 1 && rounds < 1000,
               "reading the arguments");
    bricks = malloc(brick_count * sizeof(*bricks));
    double *ns = malloc(brick_count * rounds * sizeof(*ns));
    die_unless(bricks != NULL && ns != NULL, "malloc");
    fill();
    printf("from_bits,to_bits,bricks,p50_ns,p99_ns,p99.9_ns,max_ns,goal_p99_ns\n");
    for (unsigned from = 0; from < LODE_TIER_COUNT; from++)
        for (unsigned to = 0; to < LODE_TIER_COUNT; to++)
            if (from != to)
                measure((enum lode_tier)from, (enum lode_tier)to, ns);
    lode_sdf_destroy(field);
    free(bricks);
    free(ns);
    return 0;
}
