/* SPDX-License-Identifier: MIT */
/*
 * lode-fast-path ROUNDS: the calls whose instructions instructions.sh counts. Each round makes 64
 * LIFO pairs of 64 B and one batch of 64 live blocks, so nearly every malloc and free takes the
 * fast path of any allocator that has one, from the same list and from a short queue.
 */
#include "lode_bench.h"

#include <stdio.h>

enum { LIVE = 64, PAIRS = 64, BATCH = 64, BYTES = 64 };

void bench_die(const char *what)
{
    fprintf(stderr, "lode-fast-path: %s\n", what);
    exit(2);
}

int main(int argc, char **argv)
{
    long rounds = argc > 1 ? strtol(argv[1], NULL, 10) : 0;
    void *live[LIVE], *blocks[BATCH];

    if (rounds <= 0)
        bench_die("usage: lode-fast-path ROUNDS");
    for (int i = 0; i < LIVE; i++)
        live[i] = bench_alloc(BYTES);
    for (long n = 0; n < rounds; n++) {
        for (int i = 0; i < PAIRS; i++)
            bench_free(bench_alloc(BYTES));
        for (int i = 0; i < BATCH; i++)
            blocks[i] = bench_alloc(BYTES);
        for (int i = 0; i < BATCH; i++)
            bench_free(blocks[i]);
    }
    for (int i = 0; i < LIVE; i++)
        bench_free(live[i]);
    return 0;
}
