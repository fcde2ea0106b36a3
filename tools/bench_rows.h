/* SPDX-License-Identifier: MIT */
/* Which allocators `lode bench` compares. */
#ifndef LODEI_BENCH_ROWS_H
#define LODEI_BENCH_ROWS_H

#include "bench_report.h"

/* What the command line says about the rows. */
struct lodei_bench_choice {
    const char *lib_dir; /* of our libraries; NULL: beside the program */
    const char *only;    /* "NAME,NAME"; NULL: all */
    char **peers;        /* "NAME=LIB.so" */
    size_t peer_count;
    const char *options; /* added to LODE_OPTIONS in our rows; NULL for none */
};

/*
 * Fill bench->rows. Libraries of ours and of the system that are missing are left out with a line
 * on stderr. Returns 0, or -1 after a message: a bad --peer or --only, a library that the loader
 * refuses.
 */
int lodei_bench_rows_create(struct lodei_bench *bench, const struct lodei_bench_choice *choice);
void lodei_bench_rows_destroy(struct lodei_bench *bench);

#endif
