/* SPDX-License-Identifier: MIT */
/*
 * The measurements of `lode bench`, and their table: medians, and ratios to the best of each
 * column.
 */
#ifndef LODEI_BENCH_REPORT_H
#define LODEI_BENCH_REPORT_H

#include <stddef.h>
#include <stdio.h>

#include "launch.h"
#include "terminal.h"

struct lodei_bench_run {
    struct lodei_outcome outcome;
    double metric; /* NaN: none was found */
};

/* One allocator under test. */
struct lodei_bench_row {
    char *name;
    char *library; /* absolute; NULL: nothing is preloaded */
    char **env;
    struct lodei_bench_run *runs;
    size_t run_count;
};

struct lodei_bench {
    struct lodei_bench_row *rows;
    size_t row_count;
    int with_metric, higher_is_better;
};

/* The name of the row that runs glibc a second time, for the noise. */
#define LODEI_BENCH_AGAIN "glibc-again"

/* Print the table and, where glibc ran twice, the noise. */
void lodei_bench_print(const struct lodei_bench *bench, const struct lodei_terminal *terminal);

void lodei_bench_csv_header(FILE *out);
/* One run as a line of CSV; `number` counts from 1. */
void lodei_bench_csv_line(FILE *out, const char *allocator, size_t number,
                          const struct lodei_bench_run *run);

#endif
