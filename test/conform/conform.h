/* SPDX-License-Identifier: MIT */
/*
 * The conformance suite: what every area of tests shares.
 *
 * The suite checks the contract of libc's malloc family on whatever allocator the process runs on:
 * glibc's own, or one put in its place with LD_PRELOAD. It is plain C over libc, links nothing
 * else, and looks up every name newer than glibc 2.31 with dlsym, so that it builds on Debian 11
 * too.
 *
 *   runner (conform.c)  --fork-->  child: one test  --pipe-->  diagnostic lines
 *        |                              '-- exits 0 passed, 1 failed, 77 skipped, or dies
 *        '-- one TAP line per test
 *
 * Each test runs in a process of its own with a time limit, so a crash or a hang fails that test
 * and no other. A test reports with CHECK (goes on), REQUIRE (ends the test) and SKIP; these never
 * call malloc. With LODE_EXPECT_ALL=1 in the environment the properties that lode promises beyond
 * glibc's are asserted as well, and a missing function is a failure instead of a skip.
 */
#ifndef CONFORM_H
#define CONFORM_H

#include <malloc.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/** One test: a group of checks under one name. */
struct conform_test {
    const char *name; /**< area/what, unique */
    void (*run)(void);
    unsigned seconds; /**< time limit; 0 means 20 */
};

/** A table of tests, ended by a NULL name. */
struct conform_area {
    const struct conform_test *tests;
};

/** A program body run through exec, for tests that need a fresh process: conform_exec(). */
struct conform_mode {
    const char *name;
    int (*run)(void); /**< returns the exit status */
};

/** A test that an allocator other than lode is known to miss: reported as an expected failure. */
struct conform_known {
    const char *allocator;
    const char *test;
    const char *why;
};

/* Each program of the suite defines these three; all are ended by a NULL. */
extern const struct conform_area conform_areas[];
extern const struct conform_mode conform_modes[];
extern const struct conform_known conform_knowns[];

/** struct mallinfo2 is absent from old headers; the layout is glibc's ABI. */
struct conform_mallinfo2 {
    size_t arena, ordblks, smblks, hblks, hblkhd, usmblks, fsmblks, uordblks, fordblks, keepcost;
};

/** Names that glibc 2.31 or 2.36 may lack, NULL where nothing exports them. */
struct conform_names {
    void (*free_sized)(void *, size_t);
    void (*free_aligned_sized)(void *, size_t, size_t);
    void *(*reallocf)(void *, size_t);
    void (*cfree)(void *);
    size_t (*malloc_good_size)(size_t);
    struct conform_mallinfo2 (*mallinfo2)(void);
};
extern struct conform_names conform_names;

/** LODE_EXPECT_ALL=1 was given. */
extern bool conform_expect_all;

void conform_fail(const char *file, int line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void conform_skip(const char *why) __attribute__((noreturn));
void conform_end(void) __attribute__((noreturn));

#define CHECK(cond, ...)                                   \
    do {                                                   \
        if (!(cond))                                       \
            conform_fail(__FILE__, __LINE__, __VA_ARGS__); \
    } while (0)
#define REQUIRE(cond, ...)                                 \
    do {                                                   \
        if (!(cond)) {                                     \
            conform_fail(__FILE__, __LINE__, __VA_ARGS__); \
            conform_end();                                 \
        }                                                  \
    } while (0)

/** Skip the test unless `fn` exists; under LODE_EXPECT_ALL its absence fails the test. */
#define NEED(fn, name)                                                \
    do {                                                              \
        if (!(fn)) {                                                  \
            REQUIRE(!conform_expect_all, "%s is not exported", name); \
            conform_skip(name " is not exported");                    \
        }                                                             \
    } while (0)

/** True when malloc comes from the C library itself. */
bool conform_is_glibc(void);
/** Look `name` up in the global scope and store its address in the function pointer at `ret_fn`. */
void conform_find(const char *name, void *ret_fn);
/** Run `mode` of conform_modes in a fresh process; gives its wait status. */
int conform_exec(const char *mode);
/** The folder of the running program, without a trailing slash. Static storage. */
const char *conform_folder(void);

/** Resident, virtual and data bytes of this process, from /proc/self/status; 0 if unreadable. */
size_t conform_rss_bytes(void);
size_t conform_vm_bytes(void);
size_t conform_data_bytes(void);

/** Sizes worth trying: every one up to 128, then eight steps a doubling, each with its neighbours.
 */
#define CONFORM_SIZES_MAX 1024
extern size_t conform_sizes[CONFORM_SIZES_MAX];
extern unsigned conform_size_count;

/** Fill with, and check for, bytes that depend on position and key. */
void conform_fill(void *p, size_t bytes, unsigned key);
bool conform_filled(const void *p, size_t bytes, unsigned key);
/** True when all `bytes` hold `value`. */
bool conform_all(const void *p, int value, size_t bytes);

/** Hide a value from the compiler, which knows malloc's contract and would fold the checks away. */
static inline void *opaque(void *p)
{
    void *volatile v = p;
    return v;
}

static inline size_t opaque_size(size_t n)
{
    volatile size_t v = n;
    return v;
}

/** The size that no entry point may grant. */
#define CONFORM_TOO_LARGE opaque_size((size_t)PTRDIFF_MAX + 1)

#ifdef __cplusplus
}
#endif
#endif
