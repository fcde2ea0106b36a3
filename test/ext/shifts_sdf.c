/* SPDX-License-Identifier: MIT */
/*
 * A player walks over a landscape: the window of a field follows brick by brick, what enters it is
 * made, what leaves it is freed, and some bricks are dug in. Resident memory has to stay flat.
 *
 *     sdf-shifts [SHIFTS [SEED]]        default 10,000; prints CSV
 *
 * The landscape is a height over (x, y) of two sines and a lattice of random heights, without end;
 * each brick near it has distances and, in another channel, a material. After a tenth of the shifts
 * the figures count: resident bytes (/proc/self/statm) and what the heaps have mapped may then be,
 * at no time, more than a twentieth and half a MiB above what they were, and in the last quarter of
 * the walk on average no more than a fiftieth and 128 KiB above the quarter after the warm-up. A
 * sanitizer keeps freed memory: there only the heaps are looked at.
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lode/sdf.h"
#include "lode/stats.h"

#define DIM        8
#define VOXELS     512
#define WIDE       24 /* bricks */
#define HIGH       12
#define BAND       4.0f
#define SHIFTS_MAX 1000000

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

static struct lode_sdf *field;
static uint64_t random_state;

static void die_unless(int ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "sdf-shifts: %s\n", what);
    exit(1);
}

static uint32_t rnd(uint32_t below)
{
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((random_state >> 33) % below);
}

static double now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

static double resident_bytes(void)
{
    unsigned long pages = 0;
    FILE *statm = fopen("/proc/self/statm", "re");
    die_unless(statm != NULL && fscanf(statm, "%*u %lu", &pages) == 1, "no /proc/self/statm");
    fclose(statm);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static double mapped_bytes(void)
{
    struct lode_stats stats = {.size = sizeof(stats)};
    die_unless(lode_stats_get(NULL, &stats) == 0, "lode_stats_get");
    return (double)(stats.in_use_bytes + stats.cached_bytes + stats.metadata_bytes);
}

/* ---- the landscape ---- */

static float lattice(int32_t x, int32_t y)
{
    uint64_t h = ((uint64_t)(uint32_t)x << 32 | (uint32_t)y) * UINT64_C(0x9e3779b97f4a7c15);
    h = (h ^ h >> 29) * UINT64_C(0xbf58476d1ce4e5b9);
    return (float)(h >> 40) / (float)(1 << 24) * 12;
}

/* In voxels. */
static float height(float x, float y)
{
    float u = x / 32, v = y / 32;
    int32_t i = (int32_t)floorf(u), j = (int32_t)floorf(v);
    float s = u - (float)i, t = v - (float)j;
    float low = lattice(i, j) * (1 - s) + lattice(i + 1, j) * s;
    float up = lattice(i, j + 1) * (1 - s) + lattice(i + 1, j + 1) * s;
    return 10 * sinf(x / 50) + 8 * sinf(y / 37) + low * (1 - t) + up * t;
}

/* 1: some of them are within the band. The slope shortens distances. */
static int brick_values(struct lode_ivec3 at, float *values)
{
    int near = 0;
    for (int column = 0; column < DIM * DIM; column++) {
        float x = (float)(at.x * DIM + column % DIM) + 0.5f;
        float y = (float)(at.y * DIM + column / DIM) + 0.5f;
        float top = height(x, y);
        for (int z = 0; z < DIM; z++) {
            float v = ((float)(at.z * DIM + z) + 0.5f - top) * 0.8f;
            values[column + z * DIM * DIM] = v;
            near |= fabsf(v) < BAND;
        }
    }
    return near;
}

static unsigned bricks_made;

static void enter(struct lode_ivec3 at)
{
    float values[VOXELS];
    uint8_t materials[VOXELS];
    lode_handle brick;
    float middle = height((float)(at.x * DIM + 4), (float)(at.y * DIM + 4));
    if (fabsf((float)(at.z * DIM + 4) - middle) > 30 || !brick_values(at, values))
        return;
    for (int i = 0; i < VOXELS; i++)
        materials[i] = values[i] < -2 ? 3 : 1;
    die_unless(lode_sdf_store(field, 0, at, values, NULL, &brick) == 0, "store");
    die_unless(lode_sdf_raw_store(field, 1, at, materials, NULL, &brick) == 0, "raw_store");
    bricks_made++;
}

/* ---- the walk ---- */

static int holds(const struct lode_brick_box *box, struct lode_ivec3 at)
{
    return at.x >= box->lo.x && at.x <= box->hi.x && at.y >= box->lo.y && at.y <= box->hi.y &&
           at.z >= box->lo.z && at.z <= box->hi.z;
}

static void fill_new(const struct lode_brick_box *window, const struct lode_brick_box *before)
{
    for (int32_t z = window->lo.z; z <= window->hi.z; z++)
        for (int32_t y = window->lo.y; y <= window->hi.y; y++)
            for (int32_t x = window->lo.x; x <= window->hi.x; x++) {
                struct lode_ivec3 at = {x, y, z};
                if (!holds(before, at))
                    enter(at);
                else
                    x = before->hi.x; /* the rest of what was there */
            }
}

static int dig(void *ctx, float *values)
{
    (void)ctx;
    for (int i = 0; i < VOXELS; i += 3)
        values[i] += 0.5f;
    return 0;
}

static void work(const struct lode_brick_box *window)
{
    for (int i = 0; i < 8; i++) {
        struct lode_ivec3 at = {window->lo.x + (int32_t)rnd(WIDE),
                                window->lo.y + (int32_t)rnd(WIDE), 0};
        at.z = (int32_t)floorf(height((float)(at.x * DIM + 4), (float)(at.y * DIM + 4)) / DIM);
        lode_handle brick;
        if (lode_sdf_find(field, 0, at, &brick) != 0)
            continue;
        if (i < 6)
            die_unless(lode_sdf_edit(field, brick, dig, NULL) == 0, "edit");
        else if (i == 6)
            die_unless(lode_sdf_retier(field, brick, LODE_TIER_LOW) == 0, "retier");
        else
            die_unless(lode_sdf_brick_free(field, brick) == 0, "free");
    }
}

/* The way goes mostly straight on, with turns, back at times, and up and down a little. */
static void step(struct lode_brick_box *window)
{
    static int32_t dx = 1, dy;
    if (rnd(40) == 0) {
        dx = (int32_t)rnd(3) - 1;
        dy = dx == 0 ? 1 - 2 * (int32_t)rnd(2) : (int32_t)rnd(3) - 1;
    }
    int32_t dz = rnd(10) == 0 ? (window->lo.z < -HIGH / 2 ? 1 : -1) : 0;
    window->lo = (struct lode_ivec3){window->lo.x + dx, window->lo.y + dy, window->lo.z + dz};
    window->hi = (struct lode_ivec3){window->hi.x + dx, window->hi.y + dy, window->hi.z + dz};
}

/* ---- figures ---- */

struct flat {
    const char *what;
    double (*read)(void);
    double first, most, early, late;
};

static void flat_note(struct flat *f, unsigned shift, unsigned shifts)
{
    double bytes = f->read();
    unsigned start = shifts / 10, quarter = (shifts - start) / 4;
    if (shift < start)
        return;
    if (shift == start)
        f->first = bytes;
    f->most = bytes > f->most ? bytes : f->most;
    if (shift < start + quarter)
        f->early += bytes / quarter;
    else if (shift >= shifts - quarter)
        f->late += bytes / quarter;
}

static int flat_report(const struct flat *f)
{
    int flat = f->most <= f->first * 1.05 + (512 << 10) && f->late <= f->early * 1.02 + (128 << 10);
    printf("%s,%.0f,%.0f,%.0f,%.0f,%s\n", f->what, f->first, f->most, f->early, f->late,
           flat ? "flat" : "GROWS");
    return flat;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void times_report(const char *what, double *us, unsigned count)
{
    qsort(us, count, sizeof(*us), by_value);
    printf("%s,%.2f,%.2f,%.2f,%.2f\n", what, us[count / 2], us[(size_t)count * 99 / 100],
           us[(size_t)count * 999 / 1000], us[count - 1]);
}

int main(int argc, char **argv)
{
    struct lode_sdf_opts opts = LODE_SDF_OPTS_INIT;
    unsigned shifts = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 10000;
    struct lode_brick_box window = {{-WIDE / 2, -WIDE / 2, -HIGH / 2},
                                    {WIDE / 2 - 1, WIDE / 2 - 1, HIGH / 2 - 1}};
    const struct lode_brick_box nothing = {{1, 1, 1}, {0, 0, 0}};
    struct flat resident = {.what = "resident", .read = resident_bytes},
                heaps = {.what = "heaps", .read = mapped_bytes};
    die_unless(shifts >= 100 && shifts <= SHIFTS_MAX, "100 to 1000000 shifts");
    random_state = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    double *move_us = calloc(shifts, sizeof(*move_us)),
           *shift_us = calloc(shifts, sizeof(*move_us));
    die_unless(move_us != NULL && shift_us != NULL, "no memory");
    memset(move_us, 1, shifts * sizeof(*move_us)); /* resident from the start */
    memset(shift_us, 1, shifts * sizeof(*shift_us));
    opts.channel_count = 2;
    opts.formats[1] = LODE_CHANNEL_RAW8;
    opts.band = BAND;
    die_unless(lode_sdf_create(&opts, &field) == 0, "create");
    die_unless(lode_sdf_window_move(field, &window, NULL) == 0, "window");
    fill_new(&window, &nothing);
    unsigned first_bricks = bricks_made;
    for (unsigned i = 0; i < shifts; i++) {
        struct lode_brick_box before = window;
        step(&window);
        double start = now_us();
        die_unless(lode_sdf_window_move(field, &window, NULL) == 0, "window");
        double moved = now_us();
        fill_new(&window, &before);
        shift_us[i] = now_us() - start;
        move_us[i] = moved - start;
        work(&window);
        flat_note(&resident, i, shifts);
        flat_note(&heaps, i, shifts);
    }
    printf("shifts,%u\nbricks at first,%u\nbricks that entered,%u\n", shifts, first_bricks,
           bricks_made - first_bricks);
    printf("us,p50,p99,p99.9,max\n");
    times_report("window moved", move_us, shifts);
    times_report("and filled", shift_us, shifts);
    printf("bytes,after warm-up,most,early,late,\n");
    int flat = flat_report(&resident) || SANITIZED;
    flat &= flat_report(&heaps);
    lode_sdf_destroy(field);
    free(move_us);
    free(shift_us);
    return flat ? 0 : 1;
}
