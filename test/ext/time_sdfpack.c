/* SPDX-License-Identifier: MIT */
/*
 * Nanoseconds a call of the kernels in ext/sdfpack.h, path by path: CSV, no verdict, not run as a
 * test. Each figure is the fastest of ROUNDS rounds over BRICKS bricks, which stay in the cache.
 *
 *     time-sdfpack [DIM]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ext/sdfpack.h"

#define BRICKS     16
#define REPEATS    64
#define ROUNDS     200
#define POINTS     512
#define BAND       4.0f
#define VOXELS_MAX 4096

/* What a timed call works on. */
struct work {
    unsigned dim, from_bits, to_bits;
    float (*values)[VOXELS_MAX];
    uint16_t (*payloads)[VOXELS_MAX];
    uint16_t (*others)[VOXELS_MAX];
    float *corners, *points, *results;
};

static volatile unsigned sink;

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void run_encode(const struct work *w, unsigned b)
{
    sink += lodei_sdf_encode(w->to_bits, w->dim, BAND, w->values[b], w->payloads[b]).min_code;
}

static void run_decode(const struct work *w, unsigned b)
{
    lodei_sdf_decode(w->to_bits, w->dim, BAND, w->others[b], w->values[b]);
}

static void run_range(const struct work *w, unsigned b)
{
    sink += lodei_sdf_payload_range(w->to_bits, w->dim, w->others[b]).max_code;
}

static void run_recode(const struct work *w, unsigned b)
{
    lodei_sdf_recode(w->from_bits, BAND, w->others[b], w->to_bits, BAND, w->payloads[b], w->dim);
}

static void run_apron(const struct work *w, unsigned b)
{
    struct lodei_sdf_box box = {{0, 0, 0}, {w->dim, w->dim, w->dim}};
    size_t side = w->dim + 2;
    lodei_sdf_decode_box(w->to_bits, w->dim, BAND, w->others[b], &box, w->corners, side,
                         side * side);
}

static void run_face_x(const struct work *w, unsigned b)
{
    struct lodei_sdf_box box = {{w->dim - 1, 0, 0}, {1, w->dim, w->dim}};
    lodei_sdf_decode_box(w->to_bits, w->dim, BAND, w->others[b], &box, w->corners, 18, 18 * 18);
}

static struct lodei_sdf_samples samples_of(const struct work *w)
{
    struct lodei_sdf_samples samples = {w->results, w->results + POINTS, w->results + 2 * POINTS,
                                        w->results + 3 * POINTS};
    return samples;
}

static void run_sample(const struct work *w, unsigned b)
{
    static uint32_t left[POINTS];
    struct lodei_sdf_points points = {w->points, w->points + POINTS, w->points + 2 * POINTS};
    struct lodei_sdf_samples samples = samples_of(w);
    if (w->to_bits == 32)
        sink += (unsigned)lodei_sdf_sample_values(w->dim, w->values[b], POINTS, &points, &samples,
                                                  left);
    else
        sink += (unsigned)lodei_sdf_sample_payload(w->to_bits, w->dim, BAND, w->others[b], POINTS,
                                                   &points, &samples, left);
}

static void run_corners(const struct work *w, unsigned b)
{
    struct lodei_sdf_points points = {w->points, w->points + POINTS, w->points + 2 * POINTS};
    struct lodei_sdf_samples samples = samples_of(w);
    (void)b;
    lodei_sdf_sample_corners(POINTS, w->corners, POINTS, &points, &samples);
}

static void run_sphere(const struct work *w, unsigned b)
{
    float centre[3] = {(float)w->dim / 2 + (float)b * 0.1f, 3.3f, 4.1f};
    sink += lodei_sdf_edit_sphere(LODEI_SDF_CARVE, w->dim, w->values[b], centre, 2.5f).changed;
}

static void run_capsule(const struct work *w, unsigned b)
{
    float start[3] = {-3.0f, 2.5f, 4.0f}, end[3] = {12.0f, 4.0f, 3.0f + (float)b * 0.1f};
    sink += lodei_sdf_edit_capsule(LODEI_SDF_CARVE, w->dim, w->values[b], start, end, 1.5f).changed;
}

static void run_box(const struct work *w, unsigned b)
{
    float centre[3] = {3.5f, 4.5f, (float)b * 0.5f}, half_sides[3] = {1.5f, 2.0f, 2.5f};
    sink += lodei_sdf_edit_box(LODEI_SDF_CARVE, w->dim, w->values[b], centre, half_sides).changed;
}

static void run_homogeneous(const struct work *w, unsigned b)
{
    sink += (unsigned)lodei_sdf_channel_homogeneous(w->to_bits / 8, w->dim, w->payloads[b]);
}

static void run_distinct(const struct work *w, unsigned b)
{
    uint16_t found[16];
    sink += lodei_sdf_channel_distinct(w->to_bits / 8, w->dim, w->payloads[b], 16, found);
}

/* A tilted plane through each brick; layers of four materials. */
static void fill(const struct work *w)
{
    for (unsigned b = 0; b < BRICKS; b++)
        for (unsigned i = 0; i < w->dim * w->dim * w->dim; i++) {
            unsigned x = i % w->dim, y = i / w->dim % w->dim, z = i / w->dim / w->dim;
            w->values[b][i] =
                0.6f * (float)x + 0.5f * (float)y + 0.6f * (float)z - (float)(b + 1) * 0.7f;
            w->others[b][i] = (uint16_t)rand();
        }
    for (unsigned i = 0; i < 3 * POINTS; i++)
        w->points[i] = 0.5f + (float)(w->dim - 1) * ((float)rand() / (1.01f * (float)RAND_MAX));
}

static void layers(const struct work *w)
{
    for (unsigned b = 0; b < BRICKS; b++)
        for (unsigned i = 0; i < w->dim * w->dim * w->dim; i++) {
            unsigned y = i / w->dim % w->dim, value = y * 4 / w->dim;
            if (w->to_bits == 8)
                ((uint8_t *)w->payloads[b])[i] = (uint8_t)value;
            else
                w->payloads[b][i] = (uint16_t)value;
        }
}

static void same(const struct work *w)
{
    memset(w->payloads, 7, BRICKS * sizeof(*w->payloads));
}

static void measure(const char *name, void (*run)(const struct work *, unsigned),
                    void (*prepare)(const struct work *), const struct work *w)
{
    static const char *const path_names[] = {"base", "avx2"};
    double best = 1e18;
    prepare(w);
    for (unsigned r = 0; r < ROUNDS; r++) {
        double start = now_ns();
        for (unsigned i = 0; i < REPEATS; i++)
            for (unsigned b = 0; b < BRICKS; b++)
                run(w, b);
        double each = (now_ns() - start) / (REPEATS * BRICKS);
        best = each < best ? each : best;
    }
    printf("%s,%u,%u,%u,%s,%.1f\n", name, w->dim, w->from_bits, w->to_bits,
           path_names[lodei_sdf_path()], best);
}

static void measure_path(struct work *w)
{
    static const struct {
        unsigned from, to;
    } recodes[] = {{16, 8}, {16, 4}, {8, 4}, {8, 16}, {4, 16}, {4, 8}};
    w->from_bits = 0;
    for (w->to_bits = 16; w->to_bits >= 4; w->to_bits /= 2) {
        measure("encode", run_encode, fill, w);
        measure("decode", run_decode, fill, w);
        measure("range", run_range, fill, w);
        measure("apron", run_apron, fill, w);
        measure("face-x", run_face_x, fill, w);
    }
    for (w->to_bits = 32; w->to_bits >= 4; w->to_bits /= 2)
        measure("sample-512", run_sample, fill, w);
    for (unsigned i = 0; i < sizeof(recodes) / sizeof(*recodes); i++) {
        w->from_bits = recodes[i].from;
        w->to_bits = recodes[i].to;
        measure("recode", run_recode, fill, w);
    }
    w->from_bits = w->to_bits = 32;
    measure("corners-512", run_corners, fill, w);
    measure("sphere", run_sphere, fill, w);
    measure("capsule", run_capsule, fill, w);
    measure("box", run_box, fill, w);
    w->from_bits = 0;
    for (w->to_bits = 16; w->to_bits >= 8; w->to_bits /= 2) {
        measure("homogeneous", run_homogeneous, same, w);
        measure("distinct", run_distinct, layers, w);
    }
}

int main(int argc, char **argv)
{
    struct work w = {.dim = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 8};
    if (!lodei_sdf_dim_valid(w.dim))
        return fprintf(stderr, "time-sdfpack: DIM is 4, 8 or 16\n"), 2;
    w.values = calloc(BRICKS, sizeof(*w.values));
    w.payloads = calloc(BRICKS, sizeof(*w.payloads));
    w.others = calloc(BRICKS, sizeof(*w.others));
    w.corners = calloc(18 * 18 * 18, sizeof(*w.corners));
    w.points = calloc(3 * POINTS, sizeof(*w.points));
    w.results = calloc(4 * POINTS, sizeof(*w.results));
    if (w.values == NULL || w.payloads == NULL || w.others == NULL || w.corners == NULL ||
        w.points == NULL || w.results == NULL)
        return 1;
    printf("kernel,dim,from_bits,to_bits,path,ns\n");
    for (int path = LODEI_SDF_BASE; path <= LODEI_SDF_AVX2; path++)
        if (lodei_sdf_path_set((enum lodei_sdf_path)path) == 0)
            measure_path(&w);
    free(w.values);
    free(w.payloads);
    free(w.others);
    free(w.corners);
    free(w.points);
    free(w.results);
    return 0;
}
