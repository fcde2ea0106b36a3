/* SPDX-License-Identifier: MIT */
/* What `lode mine` prints. */
#ifndef LODEI_MINEREPORT_H
#define LODEI_MINEREPORT_H

#include <stdio.h>

#include "minerun.h"
#include "terminal.h"

struct lodei_mine_run {
    const char *alloc;        /* the --alloc it ran with */
    const char *malloc_owner; /* the object whose malloc() this process calls */
    const char *data;         /* where the world came from */
    uint64_t seed;
    uint64_t edits;
    double load_s; /* to read the world and to transform it */
    const struct lodei_mine_config *config;
    const struct lodei_mine_result *result;
};

/* Microseconds; NaN without samples. */
struct lodei_mine_spread {
    double p50, p99, p999, max, mean;
};

/* The spread of `count` samples in ticks, which are sorted. */
struct lodei_mine_spread lodei_mine_spread(uint32_t *ticks, size_t count);

/*
 * Write every sample, for scripts: uint32_t in the byte order of this machine, nanoseconds. First
 * the edits, lane after lane, then the shifts, lane after lane: what left, what entered, what
 * changed its tier, and how many bricks entered. Returns 0, or -1 after a message.
 */
int lodei_mine_samples(const struct lodei_mine_run *run, const char *path);

void lodei_mine_print(const struct lodei_mine_run *run, const struct lodei_terminal *terminal);
void lodei_mine_json(const struct lodei_mine_run *run, FILE *out);

#endif
