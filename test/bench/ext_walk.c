/* SPDX-License-Identifier: MIT */
/*
 * lode-morton-walk: what the placement of bricks is worth to code that reads across them.
 *
 * Bricks of 8 x 8 x 8 int16_t (1 KiB) of a region of a world's surface are acquired in shuffled
 * order, and placed in one of three ways:
 *     insertion  one behind the other, as a plain pool does
 *     morton     struct lode_morton_pool, one by one
 *     bulk       struct lode_morton_pool, all in one call
 * Then every brick is visited, and at each voxel the sum of its six neighbours less six times
 * itself is taken (a 7-point Laplacian), across the faces from the six neighbouring bricks; where
 * there is none, from a brick of zeros. Visits go
 *     stored  in the order in which the pool itself would be walked: for "insertion" that of
 *             addresses, for the others Morton order
 *     morton  in Morton order, whatever the placement
 *     row     row by row: x fastest, then y, then z
 *     stream  as "stored", each brick read for itself, no neighbours
 * With --records the blocks are of 16 bytes, as what is known of a brick without looking into it,
 * and a visit reads one number of each. Four of them share a cache line, which bricks never do.
 *
 * The addresses of a brick and its neighbours stand in a table made before, in the order of visits:
 * finding them costs the same everywhere.
 *
 *     lode-morton-walk [--side N] [--world FILE --empty ID,ID,...] [--rounds N] [--huge]
 * [--records]
 *                      [--placement NAME] [--order NAME]
 *
 * FILE: uint16_t nodes[256 z][128 y][256 x], of which the IDs are not solid; four voxels a node,
 * and the bricks are those within four voxels of a face between solid and not. Else: a synthetic
 * terrain of N x N columns of bricks. --placement and --order leave the others out (for
 * cachegrind). Prints CSV: world, bricks, order, placement, median ns a brick, minimum. walk.py
 * runs it all.
 */
#include <lode/lode.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ext_bench.h"

#define EDGE       8
#define VOXELS     (EDGE * EDGE * EDGE)
#define BYTES      (VOXELS * sizeof(int16_t))
#define RECORD     16
#define CHUNK      65536 /* of what stands in for a plain pool */
#define ROUNDS_MAX 99
#define MAP_X      256
#define MAP_Y      128
#define MAP_Z      256
#define NODES_EDGE 2 /* nodes along a brick */
#define NODES_BAND 1 /* nodes that the band reaches beyond it */

enum placement { INSERTION, MORTON, BULK, PLACEMENTS };
enum order { STORED, IN_MORTON, ROW, STREAM, ORDERS };
static const char *const placement_names[] = {"insertion", "morton", "bulk"};
static const char *const order_names[] = {"stored", "morton", "row", "stream"};

typedef int16_t row_of_8 __attribute__((vector_size(16)));

/* What a visit reads: the brick, then its neighbours -x +x -y +y -z +z. */
struct visit {
    const int16_t *brick, *beside[6];
};

/* The world's bricks: cells of a grid, numbered in row order. */
static struct {
    int nx, ny, nz;
    int32_t *number;                /* of each cell; -1: no brick */
    uint64_t *codes;                /* of each brick */
    uint32_t *in_morton, *inserted; /* the bricks in that order */
    uint32_t count;
} world;
static int16_t *at[PLACEMENTS][1 << 20];
static struct visit *visits;
static const int16_t zeros[VOXELS] __attribute__((aligned(64)));
static struct lode_heap *heap;
static size_t block_bytes = BYTES;

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "lode-morton-walk: %s\n", what);
    exit(1);
}

static void *need(void *p)
{
    if (p == NULL)
        fail("out of memory");
    return p;
}

static uint64_t next_random(uint64_t *state)
{
    /* splitmix64, Steele, Lea and Flood 2014 */
    uint64_t z = *state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

/* ---- worlds ---- */

static void grid_new(int nx, int ny, int nz)
{
    size_t cells = (size_t)nx * (size_t)ny * (size_t)nz;
    world.nx = nx;
    world.ny = ny;
    world.nz = nz;
    world.number = need(malloc(cells * sizeof(*world.number)));
    memset(world.number, 0xff, cells * sizeof(*world.number));
}

static int32_t *cell(int x, int y, int z)
{
    return &world.number[((size_t)z * (size_t)world.ny + (size_t)y) * (size_t)world.nx + (size_t)x];
}

/* A lattice of random heights, smoothly joined: -1 .. 1. */
static double noise(double x, double z, uint64_t seed)
{
    double corner[4], fx = x - (int)x, fz = z - (int)z;
    for (int i = 0; i < 4; i++) {
        uint64_t state = seed + (uint64_t)((int)x + (i & 1)) * 0x51ed27 +
                         (uint64_t)((int)z + (i >> 1)) * 0x9e3779b1;
        corner[i] = (double)(next_random(&state) >> 11) * 0x1p-52 - 1;
    }
    fx = fx * fx * (3 - 2 * fx);
    fz = fz * fz * (3 - 2 * fz);
    return (corner[0] * (1 - fx) + corner[1] * fx) * (1 - fz) +
           (corner[2] * (1 - fx) + corner[3] * fx) * fz;
}

/* Height in bricks. */
static double height(int x, int z)
{
    double sum = 0, size = 1;
    for (int octave = 0; octave < 5; octave++, size /= 2)
        sum += size * noise(x / (64 * size), z / (64 * size), (uint64_t)octave);
    return 32 + 14 * sum;
}

/* Every cell that the surface passes through, or within half a brick of. */
static void terrain(int side)
{
    grid_new(side, 64, side);
    for (int z = 0; z < side; z++)
        for (int x = 0; x < side; x++) {
            double low = 64, high = 0;
            for (int i = 0; i < 4; i++) {
                double h = height(x + (i & 1), z + (i >> 1));
                low = h < low ? h : low;
                high = h > high ? h : high;
            }
            for (int y = (int)(low - 0.5); y <= (int)(high + 0.5); y++)
                if (y >= 0 && y < 64)
                    *cell(x, y, z) = 0;
        }
}

static int touches_both(const uint16_t *nodes, const uint8_t *empty, int bx, int by, int bz)
{
    int seen[2] = {0};
    for (int z = bz * NODES_EDGE - NODES_BAND; z < (bz + 1) * NODES_EDGE + NODES_BAND; z++)
        for (int y = by * NODES_EDGE - NODES_BAND; y < (by + 1) * NODES_EDGE + NODES_BAND; y++)
            for (int x = bx * NODES_EDGE - NODES_BAND; x < (bx + 1) * NODES_EDGE + NODES_BAND; x++)
                if (x >= 0 && y >= 0 && z >= 0 && x < MAP_X && y < MAP_Y && z < MAP_Z)
                    seen[empty[nodes[((size_t)z * MAP_Y + (size_t)y) * MAP_X + (size_t)x]]] = 1;
    return seen[0] && seen[1];
}

static void real_world(const char *path, const char *ids)
{
    static uint16_t nodes[MAP_X * MAP_Y * MAP_Z];
    static uint8_t empty[1 << 16];
    FILE *file = fopen(path, "rb");
    if (file == NULL || fread(nodes, sizeof(nodes), 1, file) != 1)
        fail("the world cannot be read");
    fclose(file);
    for (char *end; *ids != '\0'; ids = *end == ',' ? end + 1 : end) {
        empty[strtoul(ids, &end, 10) & 0xffff] = 1;
        if (end == ids)
            fail("--empty takes numbers");
    }
    grid_new(MAP_X / NODES_EDGE, MAP_Y / NODES_EDGE, MAP_Z / NODES_EDGE);
    for (int z = 0; z < world.nz; z++)
        for (int y = 0; y < world.ny; y++)
            for (int x = 0; x < world.nx; x++)
                if (touches_both(nodes, empty, x, y, z))
                    *cell(x, y, z) = 0;
}

static int by_code(const void *a, const void *b)
{
    uint64_t x = world.codes[*(const uint32_t *)a], y = world.codes[*(const uint32_t *)b];
    return (x > y) - (x < y);
}

/* Number the bricks and bring them into their orders. */
static void number_bricks(void)
{
    size_t cells = (size_t)world.nx * (size_t)world.ny * (size_t)world.nz;
    uint64_t state = 1;
    for (size_t i = 0; i < cells; i++)
        if (world.number[i] >= 0)
            world.number[i] = (int32_t)world.count++;
    if (world.count > sizeof(at[0]) / sizeof(at[0][0]))
        fail("too many bricks");
    world.codes = need(malloc(world.count * sizeof(*world.codes)));
    world.in_morton = need(malloc(world.count * sizeof(*world.in_morton)));
    world.inserted = need(malloc(world.count * sizeof(*world.inserted)));
    for (int z = 0; z < world.nz; z++)
        for (int y = 0; y < world.ny; y++)
            for (int x = 0; x < world.nx; x++)
                if (*cell(x, y, z) >= 0)
                    world.codes[*cell(x, y, z)] =
                        lode_morton3_encode((uint32_t)x, (uint32_t)y, (uint32_t)z);
    for (uint32_t i = 0; i < world.count; i++)
        world.in_morton[i] = world.inserted[i] = i;
    qsort(world.in_morton, world.count, sizeof(*world.in_morton), by_code);
    for (uint32_t i = world.count; i > 1; i--) {
        uint32_t j = (uint32_t)(next_random(&state) % i), n = world.inserted[i - 1];
        world.inserted[i - 1] = world.inserted[j];
        world.inserted[j] = n;
    }
}

/* ---- placements ---- */

static void place_insertion(void)
{
    size_t per_chunk = CHUNK / block_bytes;
    char *chunk = NULL;
    for (uint32_t i = 0; i < world.count; i++) {
        if (i % per_chunk == 0)
            chunk = need(lode_heap_aligned_alloc(heap, CHUNK, CHUNK));
        at[INSERTION][world.inserted[i]] = (int16_t *)(void *)(chunk + i % per_chunk * block_bytes);
    }
}

static struct lode_morton_pool *pool_new(void)
{
    struct lode_morton_pool_opts opts = LODE_MORTON_POOL_OPTS_INIT;
    struct lode_morton_pool *pool;
    opts.block_bytes = block_bytes;
    opts.heap = heap;
    if (lode_morton_pool_create(&opts, &pool) != 0)
        fail("out of memory");
    return pool;
}

static void place_morton(void)
{
    struct lode_morton_pool *pool = pool_new();
    for (uint32_t i = 0; i < world.count; i++) {
        uint32_t n = world.inserted[i];
        if (lode_morton_pool_acquire(pool, world.codes[n], (void **)&at[MORTON][n]) != 0)
            fail("out of memory");
    }
}

static void place_bulk(void)
{
    struct lode_morton_pool *pool = pool_new();
    uint64_t *codes = need(malloc(world.count * sizeof(*codes)));
    void **blocks = need(malloc(world.count * sizeof(*blocks)));
    for (uint32_t i = 0; i < world.count; i++)
        codes[i] = world.codes[world.inserted[i]];
    if (lode_morton_pool_acquire_many(pool, codes, world.count, blocks) != 0)
        fail("out of memory");
    for (uint32_t i = 0; i < world.count; i++)
        at[BULK][world.inserted[i]] = blocks[i];
    free(codes);
    free(blocks);
}

/* In the order of insertion, as bricks are filled when they are made. */
static void fill(enum placement placement)
{
    for (uint32_t i = 0; i < world.count; i++) {
        uint32_t n = world.inserted[i];
        for (uint32_t v = 0; v < block_bytes / sizeof(int16_t); v++)
            at[placement][n][v] = (int16_t)(v * 7 + n);
    }
}

/* ---- walks ---- */

static const int16_t *beside(enum placement placement, int x, int y, int z)
{
    if (x < 0 || y < 0 || z < 0 || x >= world.nx || y >= world.ny || z >= world.nz ||
        *cell(x, y, z) < 0)
        return zeros;
    return at[placement][*cell(x, y, z)];
}

/* The table of visits, in their order. */
static void plan(enum placement placement, enum order order)
{
    int own = order == STORED || order == STREAM;
    for (uint32_t i = 0; i < world.count; i++) {
        uint32_t n = i, c[3];
        if (order == IN_MORTON || (own && placement != INSERTION))
            n = world.in_morton[i];
        else if (own)
            n = world.inserted[i];
        lode_morton3_decode(world.codes[n], c);
        int x = (int)c[0], y = (int)c[1], z = (int)c[2];
        visits[i] = (struct visit){
            at[placement][n],
            {beside(placement, x - 1, y, z), beside(placement, x + 1, y, z),
             beside(placement, x, y - 1, z), beside(placement, x, y + 1, z),
             beside(placement, x, y, z - 1), beside(placement, x, y, z + 1)},
        };
    }
}

static row_of_8 row(const int16_t *brick, int y, int z)
{
    return *(const row_of_8 *)(const void *)(brick + (z * EDGE + y) * EDGE);
}

static __attribute__((noinline)) row_of_8 walk_neighbours(uint32_t count)
{
    row_of_8 sum = {0};
    for (uint32_t i = 0; i < count; i++) {
        const struct visit v = visits[i];
        for (int z = 0; z < EDGE; z++)
            for (int y = 0; y < EDGE; y++) {
                row_of_8 here = row(v.brick, y, z), low = {0}, high = {0};
                low[0] = v.beside[0][(z * EDGE + y) * EDGE + EDGE - 1];
                high[0] = v.beside[1][(z * EDGE + y) * EDGE];
                low = __builtin_shufflevector(here, low, 8, 0, 1, 2, 3, 4, 5, 6);
                high = __builtin_shufflevector(here, high, 1, 2, 3, 4, 5, 6, 7, 8);
                low += y > 0 ? row(v.brick, y - 1, z) : row(v.beside[2], EDGE - 1, z);
                high += y < EDGE - 1 ? row(v.brick, y + 1, z) : row(v.beside[3], 0, z);
                low += z > 0 ? row(v.brick, y, z - 1) : row(v.beside[4], y, EDGE - 1);
                high += z < EDGE - 1 ? row(v.brick, y, z + 1) : row(v.beside[5], y, 0);
                sum += low + high - 6 * here;
            }
    }
    return sum;
}

static __attribute__((noinline)) row_of_8 walk_stream(uint32_t count)
{
    row_of_8 sum = {0};
    for (uint32_t i = 0; i < count; i++)
        for (int z = 0; z < EDGE; z++)
            for (int y = 0; y < EDGE; y++)
                sum += row(visits[i].brick, y, z);
    return sum;
}

static __attribute__((noinline)) row_of_8 walk_records(uint32_t count, int neighbours)
{
    row_of_8 sum = {0};
    for (uint32_t i = 0; i < count; i++) {
        const struct visit *v = &visits[i];
        sum[0] = (int16_t)(sum[0] + *v->brick);
        for (int n = 0; n < neighbours; n++)
            sum[1] = (int16_t)(sum[1] + *v->beside[n]);
    }
    return sum;
}

static row_of_8 walk(enum order order)
{
    if (block_bytes == RECORD)
        return walk_records(world.count, order == STREAM ? 0 : 6);
    return order == STREAM ? walk_stream(world.count) : walk_neighbours(world.count);
}

static double measure(enum order order)
{
    struct timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    row_of_8 sum = walk(order);
    ext_bench_keep(&sum);
    clock_gettime(CLOCK_MONOTONIC, &to);
    return ((double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec)) /
           (double)world.count;
}

/* ---- */

struct asked {
    const char *world, *empty;
    int side, rounds, huge, records;
    int placement, order; /* -1: all */
};

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int index_of(const char *name, const char *const *names, int count)
{
    for (int i = 0; i < count; i++)
        if (strcmp(name, names[i]) == 0)
            return i;
    fail("no such placement or order");
}

static struct asked take_arguments(int argc, char **argv)
{
    struct asked asked = {.side = 192, .rounds = 15, .placement = -1, .order = -1};
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(name, "--huge") == 0) {
            asked.huge = 1;
            continue;
        }
        if (strcmp(name, "--records") == 0) {
            asked.records = 1;
            continue;
        }
        i++;
        if (strcmp(name, "--side") == 0)
            asked.side = atoi(value);
        else if (strcmp(name, "--rounds") == 0)
            asked.rounds = atoi(value);
        else if (strcmp(name, "--world") == 0)
            asked.world = value;
        else if (strcmp(name, "--empty") == 0)
            asked.empty = value;
        else if (strcmp(name, "--placement") == 0)
            asked.placement = index_of(value, placement_names, PLACEMENTS);
        else if (strcmp(name, "--order") == 0)
            asked.order = index_of(value, order_names, ORDERS);
        else
            fail("see the top of ext_walk.c for what it takes");
    }
    if (asked.side < 8 || asked.side > 512 || asked.rounds < 1 || asked.rounds > ROUNDS_MAX ||
        (asked.world != NULL && asked.empty == NULL))
        fail("--side 8 to 512, --rounds 1 to 99, --world with --empty");
    return asked;
}

static int wanted(int asked, int i)
{
    return asked < 0 || asked == i;
}

int main(int argc, char **argv)
{
    static void (*const place[])(void) = {place_insertion, place_morton, place_bulk};
    static double ns[ORDERS][PLACEMENTS][ROUNDS_MAX];
    struct asked asked = take_arguments(argc, argv);
    struct lode_heap_opts opts = LODE_HEAP_OPTS_INIT;
    opts.name = "walk";
    opts.kind = asked.huge ? LODE_KIND_HUGE : LODE_KIND_SYSTEM;
    if (lode_heap_create(&opts, &heap) != 0)
        fail("out of memory");
    if (asked.records)
        block_bytes = RECORD;
    if (asked.world != NULL)
        real_world(asked.world, asked.empty);
    else
        terrain(asked.side);
    number_bricks();
    visits = need(malloc(world.count * sizeof(*visits)));
    for (int p = 0; p < PLACEMENTS; p++)
        if (wanted(asked.placement, p)) {
            place[p]();
            fill((enum placement)p);
        }
    for (int r = 0; r < asked.rounds; r++)
        for (int o = 0; o < ORDERS; o++)
            for (int p = 0; p < PLACEMENTS; p++)
                if (wanted(asked.placement, p) && wanted(asked.order, o)) {
                    plan((enum placement)p, (enum order)o);
                    ns[o][p][r] = measure((enum order)o);
                }
    printf("world,bricks,order,placement,median_ns,min_ns\n");
    for (int o = 0; o < ORDERS; o++)
        for (int p = 0; p < PLACEMENTS; p++)
            if (wanted(asked.placement, p) && wanted(asked.order, o)) {
                qsort(ns[o][p], (size_t)asked.rounds, sizeof(double), by_value);
                printf("%s,%u,%s,%s,%.1f,%.1f\n", asked.world != NULL ? "real" : "terrain",
                       world.count, order_names[o], placement_names[p], ns[o][p][asked.rounds / 2],
                       ns[o][p][0]);
            }
    return 0;
}
