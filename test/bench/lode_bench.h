/* SPDX-License-Identifier: MIT */
/*
 * What a pattern of lode-bench is, and the few things every pattern needs: a pseudo-random
 * sequence, a wall between the compiler and an allocation, and the touch that makes a block real.
 *
 * A pattern does a fixed amount of work for a given number of operations, so two allocators under
 * the same pattern do exactly the same calls. It uses nothing but libc and pthread: whichever
 * malloc is preloaded is the one measured.
 */
#ifndef LODE_BENCH_H
#define LODE_BENCH_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

struct bench_pattern {
    const char *name;
    const char *what;  /* one line for --list, saying what one operation is */
    size_t size_bytes; /* block size, for the CSV; 0 when the pattern mixes sizes */
    uint64_t ops;      /* operations at --scale 1, chosen for 0.1-0.4 s under a good allocator */
    void (*start)(const struct bench_pattern *pattern); /* untimed; NULL for nothing */
    void (*run)(const struct bench_pattern *pattern, uint64_t ops);
    void (*stop)(const struct bench_pattern *pattern); /* untimed; NULL for nothing */
};

extern const struct bench_pattern bench_small_patterns[];
extern const size_t bench_small_count;
extern const struct bench_pattern bench_large_patterns[];
extern const size_t bench_large_count;
extern const struct bench_pattern bench_thread_patterns[];
extern const size_t bench_thread_count;

/* One line on stderr, then exit(2): a benchmark that cannot allocate measures nothing. */
__attribute__((noreturn, cold)) void bench_die(const char *what);

/* The compiler must believe that `block` is read and written elsewhere, or it may drop the pair. */
static inline void *bench_opaque(void *block)
{
    __asm__ volatile("" : "+r"(block) : : "memory");
    return block;
}

/* A block as a program would get it: checked, and its first and last byte written. */
static inline void *bench_alloc(size_t bytes)
{
    unsigned char *block = bench_opaque(malloc(bytes));

    if (!block)
        bench_die("malloc failed");
    block[0] = 1;
    block[bytes - 1] = 2;
    return bench_opaque(block);
}

static inline void bench_free(void *block)
{
    free(bench_opaque(block));
}

/* Marsaglia's xorshift64 (Journal of Statistical Software 8(14), 2003); never returns 0. */
static inline uint64_t bench_random(uint64_t *state)
{
    uint64_t x = *state;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    *state = x;
    return x;
}

#endif
