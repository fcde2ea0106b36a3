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
/* As an object under `key`; and as a row of a table whose columns are name, count, p50, p99, p99.9,
 * max, mean. */
struct lodei_json;
void lodei_mine_spread_json(struct lodei_json *in, const char *key,
                            const struct lodei_mine_spread *spread);
struct lodei_table;
void lodei_mine_spread_row(struct lodei_table *table, const char *name, size_t count,
                           const struct lodei_mine_spread *spread);

/*
 * Write every sample, for scripts: uint32_t in the byte order of this machine, nanoseconds. First
 * the edits, lane after lane, then the shifts, lane after lane: what left, what entered, and how
 * many bricks entered. Returns 0, or -1 after a message.
 */
int lodei_mine_samples(const struct lodei_mine_run *run, const char *path);

void lodei_mine_print(const struct lodei_mine_run *run, const struct lodei_terminal *terminal);
void lodei_mine_json(const struct lodei_mine_run *run, FILE *out);

#endif
