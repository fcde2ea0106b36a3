/* SPDX-License-Identifier: MIT */
/*
 * Patterns whose cost is memory rather than bookkeeping: realloc of large blocks, random lifetimes
 * of chunks of 64-465 KB, growing vectors, calloc from 64 B to 4 MiB. Pages are touched, as a
 * program that asked for them would.
 */
#include "lode_bench.h"

#include <string.h>
#include <unistd.h>

enum {
    BLOCKS = 20,
    VECTORS = 8,
    ELEMENT_BYTES = 64, /* one cache line, so pushing an element touches each line once */
    FIRST_CAPACITY = 4,
    ZEROED = 8,
    CHUNKS = 400,
};

static size_t page_bytes;

static void touch_pages(unsigned char *block, size_t from_bytes, size_t to_bytes)
{
    for (size_t at = from_bytes; at < to_bytes; at += page_bytes)
        block[at] = 3;
    block[to_bytes - 1] = 4;
}

/* 2^low .. 2^high, every power of two equally likely, and any size between them. */
static size_t log_uniform(uint64_t *state, unsigned low, unsigned high)
{
    uint64_t draw = bench_random(state);
    size_t base = (size_t)1 << (low + (draw >> 48) % (high - low));

    return base + (draw & 0xffffffff) % base;
}

/* Realloc of 20 live blocks of 5-25 MiB: an op is one realloc, new pages touched. */

static unsigned char *large_blocks[BLOCKS];
static size_t large_bytes[BLOCKS];
static uint64_t large_random;

static size_t large_size(uint64_t draw)
{
    return ((size_t)5 << 20) + (draw >> 24) % ((size_t)20 << 20);
}

static void start_realloc(const struct bench_pattern *pattern)
{
    (void)pattern;
    page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    large_random = 2463534242u;
    for (unsigned i = 0; i < BLOCKS; i++) {
        large_bytes[i] = large_size(bench_random(&large_random));
        large_blocks[i] = bench_alloc(large_bytes[i]);
        touch_pages(large_blocks[i], 0, large_bytes[i]);
    }
}

static void run_realloc(const struct bench_pattern *pattern, uint64_t ops)
{
    (void)pattern;
    for (uint64_t n = 0; n < ops; n++) {
        uint64_t draw = bench_random(&large_random);
        unsigned i = (unsigned)(draw % BLOCKS);
        size_t bytes = large_size(draw), old = large_bytes[i];
        unsigned char *block = bench_opaque(realloc(large_blocks[i], bytes));

        if (!block)
            bench_die("realloc failed");
        if (bytes > old)
            touch_pages(block, old, bytes);
        else
            block[bytes - 1] = 4;
        large_blocks[i] = block;
        large_bytes[i] = bytes;
    }
}

static void stop_realloc(const struct bench_pattern *pattern)
{
    (void)pattern;
    for (unsigned i = 0; i < BLOCKS; i++)
        bench_free(large_blocks[i]);
}

/* Random lifetimes of 400 live blocks of 64-465 KB, each written in full: an op is one free and one
 * malloc. */

static unsigned char *chunks[CHUNKS];
static uint64_t chunk_random;

static void run_chunks(const struct bench_pattern *pattern, uint64_t ops)
{
    (void)pattern;
    chunk_random = 88172645463325252u;
    for (uint64_t n = 0; n < ops; n++) {
        uint64_t draw = bench_random(&chunk_random);
        unsigned i = (unsigned)(draw % CHUNKS);
        size_t bytes = 65537 + (draw >> 24) % 400000;

        free(chunks[i]);
        chunks[i] = bench_alloc(bytes);
        memset(chunks[i], (int)n, bytes);
    }
}

static void stop_chunks(const struct bench_pattern *pattern)
{
    (void)pattern;
    for (unsigned i = 0; i < CHUNKS; i++)
        free(chunks[i]);
}

/* Vectors that grow by pushing elements; eight live, so growth in place is not always possible. An
 * op is one growth, its share of the pushes included. */

static unsigned char *vectors[VECTORS];
static uint64_t vector_random;
static unsigned vector_next;

static void *grow_by_realloc(void *old, size_t old_bytes, size_t new_bytes)
{
    (void)old_bytes;
    return realloc(old, new_bytes);
}

/* What std::vector does. */
static void *grow_by_copy(void *old, size_t old_bytes, size_t new_bytes)
{
    void *block = malloc(new_bytes);

    if (block && old) {
        memcpy(block, old, old_bytes);
        free(old);
    }
    return block;
}

static size_t twice(size_t capacity)
{
    return capacity * 2;
}

static size_t half_more(size_t capacity)
{
    return capacity + capacity / 2;
}

static void run_vectors(uint64_t ops, void *(*grow)(void *, size_t, size_t),
                        size_t (*next_capacity)(size_t))
{
    uint64_t growths = 0;

    while (growths < ops) {
        size_t length = log_uniform(&vector_random, 4, 14), used = 0, capacity = 0;
        unsigned char *vector = NULL;

        free(vectors[vector_next]);
        while (used < length && growths < ops) {
            size_t wanted = capacity ? next_capacity(capacity) : FIRST_CAPACITY;

            vector = bench_opaque(grow(vector, capacity * ELEMENT_BYTES, wanted * ELEMENT_BYTES));
            if (!vector)
                bench_die("a vector could not grow");
            capacity = wanted;
            growths++;
            for (; used < capacity && used < length; used++)
                memcpy(vector + used * ELEMENT_BYTES, &used, sizeof(used));
        }
        vectors[vector_next] = vector;
        vector_next = (vector_next + 1) % VECTORS;
    }
}

static void start_vectors(const struct bench_pattern *pattern)
{
    (void)pattern;
    vector_random = 362436069u;
}

static void run_vector_realloc_2(const struct bench_pattern *pattern, uint64_t ops)
{
    (void)pattern;
    run_vectors(ops, grow_by_realloc, twice);
}

static void run_vector_realloc_15(const struct bench_pattern *pattern, uint64_t ops)
{
    (void)pattern;
    run_vectors(ops, grow_by_realloc, half_more);
}

static void run_vector_copy_2(const struct bench_pattern *pattern, uint64_t ops)
{
    (void)pattern;
    run_vectors(ops, grow_by_copy, twice);
}

static void run_vector_copy_15(const struct bench_pattern *pattern, uint64_t ops)
{
    (void)pattern;
    run_vectors(ops, grow_by_copy, half_more);
}

static void stop_vectors(const struct bench_pattern *pattern)
{
    (void)pattern;
    for (unsigned i = 0; i < VECTORS; i++)
        free(vectors[i]);
}

/* calloc, every page written: an op is one calloc and one free, eight blocks live. */

static unsigned char *zeroed[ZEROED];
static uint64_t zeroed_random;

static void start_calloc(const struct bench_pattern *pattern)
{
    (void)pattern;
    page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    zeroed_random = 521288629u;
}

static void run_calloc(const struct bench_pattern *pattern, uint64_t ops)
{
    (void)pattern;
    for (uint64_t n = 0; n < ops; n++) {
        size_t bytes = log_uniform(&zeroed_random, 6, 22);
        unsigned char *block;

        free(zeroed[n % ZEROED]);
        block = bench_opaque(calloc(1, bytes));
        if (!block)
            bench_die("calloc failed");
        if (block[0] | block[bytes / 2] | block[bytes - 1])
            bench_die("calloc gave memory that is not zero");
        touch_pages(block, 0, bytes);
        zeroed[n % ZEROED] = block;
    }
}

static void stop_calloc(const struct bench_pattern *pattern)
{
    (void)pattern;
    for (unsigned i = 0; i < ZEROED; i++)
        free(zeroed[i]);
}

#define VECTOR(suffix, method, runner)                                                            \
    {                                                                                             \
        .name = "vector-" suffix, .what = "vectors of 64 B elements, " method "; op: one growth", \
        .ops = 240000, .start = start_vectors, .run = runner, .stop = stop_vectors                \
    }

const struct bench_pattern bench_large_patterns[] = {
    {
        .name = "realloc-large",
        .what = "20 live blocks of 5-25 MiB, new pages touched; op: one realloc",
        .ops = 300,
        .start = start_realloc,
        .run = run_realloc,
        .stop = stop_realloc,
    },
    {
        .name = "random-chunks",
        .what = "400 live blocks of 64-465 KB, written; op: free + malloc",
        .ops = 20000,
        .run = run_chunks,
        .stop = stop_chunks,
    },
    VECTOR("realloc-2x", "realloc, doubling", run_vector_realloc_2),
    VECTOR("realloc-1.5x", "realloc, half more", run_vector_realloc_15),
    VECTOR("copy-2x", "malloc + copy + free, doubling", run_vector_copy_2),
    VECTOR("copy-1.5x", "malloc + copy + free, half more", run_vector_copy_15),
    {
        .name = "calloc",
        .what = "64 B-4 MiB, 8 live, pages touched; op: calloc + free",
        .ops = 8000,
        .start = start_calloc,
        .run = run_calloc,
        .stop = stop_calloc,
    },
};
const size_t bench_large_count = sizeof(bench_large_patterns) / sizeof(bench_large_patterns[0]);
