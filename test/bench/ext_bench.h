/* SPDX-License-Identifier: MIT */
/* What lode-ext-bench measures: one table per area of liblode-ext, each in its ext_AREA.c. */
#ifndef EXT_BENCH_H
#define EXT_BENCH_H

#include <stddef.h>

struct ext_bench {
    const char *name;      /* "area-what", unique */
    const char *unit;      /* what one operation is */
    double goal_ns;        /* per operation; 0: none is set */
    void (*prepare)(void); /* not timed; may be NULL */
    size_t (*run)(void);   /* timed; some milliseconds; returns the operations it did */
    void (*finish)(void);  /* not timed; may be NULL */
};

/* Each ends with a row whose name is NULL. */
#define EXT_BENCH_AREAS(A) \
    A(ds) A(everyday) A(handle) A(heap) A(morton) A(pool) A(request) A(sdf) A(svo)

#define EXT_BENCH_DECLARE(area) extern const struct ext_bench ext_bench_##area[];
EXT_BENCH_AREAS(EXT_BENCH_DECLARE)
#undef EXT_BENCH_DECLARE

/* Keep a value, or the memory behind a pointer, from being optimised away. */
static inline void ext_bench_keep(const void *p)
{
    __asm__ volatile("" : : "r"(p) : "memory");
}

#endif
