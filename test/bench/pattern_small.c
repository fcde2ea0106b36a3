/* SPDX-License-Identifier: MIT */
/*
 * Patterns of small blocks in one thread: LIFO pairs, batches of 256, random lifetimes.
 * An operation is one malloc and one free.
 */
#include "lode_bench.h"

enum { BATCH = 256, LIVE = 8192 };

static void run_lifo(const struct bench_pattern *pattern, uint64_t ops)
{
    size_t bytes = pattern->size_bytes;

    for (uint64_t i = 0; i < ops; i++)
        bench_free(bench_alloc(bytes));
}

/* Freed in the order of allocation, as a frame's objects are when a list of them is walked. */
static void run_batch_same(const struct bench_pattern *pattern, uint64_t ops)
{
    size_t bytes = pattern->size_bytes;
    void *blocks[BATCH];

    for (uint64_t done = 0; done < ops; done += BATCH) {
        for (unsigned i = 0; i < BATCH; i++)
            blocks[i] = bench_alloc(bytes);
        for (unsigned i = 0; i < BATCH; i++)
            bench_free(blocks[i]);
    }
}

/* Freed last first, as scopes unwind. */
static void run_batch_reverse(const struct bench_pattern *pattern, uint64_t ops)
{
    size_t bytes = pattern->size_bytes;
    void *blocks[BATCH];

    for (uint64_t done = 0; done < ops; done += BATCH) {
        for (unsigned i = 0; i < BATCH; i++)
            blocks[i] = bench_alloc(bytes);
        for (unsigned i = BATCH; i-- > 0;)
            bench_free(blocks[i]);
    }
}

static void *live[LIVE];
static uint64_t live_random;

/* 16..528 bytes, evenly. */
static void *random_block(uint64_t draw)
{
    return bench_alloc(16 + (draw >> 40) % 513);
}

static void start_random(const struct bench_pattern *pattern)
{
    (void)pattern;
    live_random = 88172645463325252u;
    for (unsigned i = 0; i < LIVE; i++)
        live[i] = random_block(bench_random(&live_random));
}

static void run_random(const struct bench_pattern *pattern, uint64_t ops)
{
    uint64_t state = live_random;

    (void)pattern;
    for (uint64_t i = 0; i < ops; i++) {
        uint64_t draw = bench_random(&state);
        void **slot = &live[draw % LIVE];

        bench_free(*slot);
        *slot = random_block(draw);
    }
    live_random = state;
}

static void stop_random(const struct bench_pattern *pattern)
{
    (void)pattern;
    for (unsigned i = 0; i < LIVE; i++)
        bench_free(live[i]);
}

#define LIFO(bytes)                                                                         \
    {                                                                                       \
        .name = "lifo-" #bytes, .what = "free the block just allocated; op: malloc + free", \
        .size_bytes = bytes, .ops = 24000000, .run = run_lifo                               \
    }
#define SAME(bytes)                                                                            \
    {                                                                                          \
        .name = "batch-same-" #bytes,                                                          \
        .what = "256 blocks, freed in the same order; op: malloc + free", .size_bytes = bytes, \
        .ops = 256 * 80000, .run = run_batch_same                                              \
    }
#define REVERSE(bytes)                                                                  \
    {                                                                                   \
        .name = "batch-reverse-" #bytes,                                                \
        .what = "256 blocks, freed in reverse; op: malloc + free", .size_bytes = bytes, \
        .ops = 256 * 80000, .run = run_batch_reverse                                    \
    }

const struct bench_pattern bench_small_patterns[] = {
    LIFO(16),
    LIFO(64),
    LIFO(128),
    LIFO(1024),
    SAME(16),
    SAME(64),
    SAME(128),
    SAME(1024),
    REVERSE(16),
    REVERSE(64),
    REVERSE(128),
    REVERSE(1024),
    {
        .name = "random-8192",
        .what = "8,192 live blocks of 16-528 B, one replaced at random; op: free + malloc",
        .ops = 12000000,
        .start = start_random,
        .run = run_random,
        .stop = stop_random,
    },
};
const size_t bench_small_count = sizeof(bench_small_patterns) / sizeof(bench_small_patterns[0]);
