/* SPDX-License-Identifier: MIT */
/*
 * lode-sdf-density [BRICKS]: what one voxel of one channel of distances costs, per tier, as CSV:
 * bits per voxel by payload, by what the field reports it uses, by what it has mapped, and
 * resident, index and handles included.
 *
 * Each tier is measured in a process of its own, on a solid block of bricks (at least BRICKS,
 * default 65,536), every voxel written. Resident is what the process gained
 * (/proc/self/smaps_rollup) from before the field was created; mapped is the gain of all heaps
 * together.
 */
#include <lode/sdf.h>
#include <lode/stats.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define VOXELS 512

static void die_unless(int ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "lode-sdf-density: %s failed\n", what);
        exit(1);
    }
}

static uint64_t resident_bytes(void)
{
    char line[256];
    unsigned long kib = 0;
    FILE *rollup = fopen("/proc/self/smaps_rollup", "re");
    die_unless(rollup != NULL, "smaps_rollup");
    while (fgets(line, sizeof(line), rollup) != NULL)
        if (sscanf(line, "Private_Dirty: %lu", &kib) == 1)
            break;
    fclose(rollup);
    return (uint64_t)kib * 1024;
}

/* Address space that is in use for anything: what was never touched is not. */
static uint64_t heaps_bytes(void)
{
    struct lode_stats stats = {.size = sizeof(stats)};
    die_unless(lode_stats_get(NULL, &stats) == 0, "lode_stats_get");
    return stats.in_use_bytes + stats.cached_bytes + stats.metadata_bytes;
}

static void fill(struct lode_sdf *field, int side, enum lode_tier tier)
{
    struct lode_brick_opts opts = {.size = sizeof(opts), .tier = (uint8_t)(1 + tier)};
    float values[VOXELS];
    lode_handle brick;
    for (int i = 0; i < VOXELS; i++)
        values[i] = (float)(i % 8) - 3.5f;
    for (int z = 0; z < side; z++)
        for (int y = 0; y < side; y++)
            for (int x = 0; x < side; x++) {
                struct lode_ivec3 at = {x - side / 2, y - side / 2, z - side / 2};
                die_unless(lode_sdf_store(field, 0, at, values, &opts, &brick) == 0, "store");
            }
}

static void measure(int side, enum lode_tier tier)
{
    struct lode_sdf_opts opts = LODE_SDF_OPTS_INIT;
    struct lode_sdf_stats stats = {.size = sizeof(stats)};
    struct lode_sdf *field;
    double voxels = (double)side * side * side * VOXELS;
    lode_free(lode_malloc(1));
    uint64_t heaps = heaps_bytes(), resident = resident_bytes();
    die_unless(lode_sdf_create(&opts, &field) == 0, "create");
    fill(field, side, tier);
    heaps = heaps_bytes() - heaps;
    resident = resident_bytes() - resident;
    die_unless(lode_sdf_stats(field, &stats) == 0, "stats");
    printf("%d,%d,%.3f,%.3f,%.3f,%.3f\n", 16 >> tier, side * side * side,
           (double)stats.tiers[tier].brick_bytes * 8 / voxels, stats.bits_per_voxel,
           (double)heaps * 8 / voxels, (double)resident * 8 / voxels);
    lode_sdf_destroy(field);
}

int main(int argc, char **argv)
{
    long bricks = argc > 1 ? atol(argv[1]) : 65536;
    int side = 1, status = 0, failed = 0;
    while ((long)side * side * side < bricks)
        side++;
    printf("bits,bricks,payload,reported,heaps,resident\n");
    fflush(stdout);
    for (int tier = 0; tier < LODE_TIER_COUNT; tier++) {
        pid_t child = fork();
        die_unless(child >= 0, "fork");
        if (child == 0) {
            measure(side, (enum lode_tier)tier);
            fflush(stdout);
            _exit(0);
        }
        die_unless(waitpid(child, &status, 0) == child, "waitpid");
        failed |= status;
    }
    return failed != 0;
}
