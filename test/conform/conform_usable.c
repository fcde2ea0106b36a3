/* SPDX-License-Identifier: MIT */
/*
 * Conformance: malloc_usable_size. At least what was asked for, constant over the block's life, and
 * every byte of it the caller's: programs write up to it.
 */
#include "conform_areas.h"

#include <stdlib.h>
#include <string.h>

static void of_null(void)
{
    CHECK(malloc_usable_size(opaque(NULL)) == 0, "malloc_usable_size(NULL) is not 0");
}

static void at_least_requested(void)
{
    for (unsigned i = 0; i < conform_size_count; i++) {
        size_t n = conform_sizes[i];
        void *p = malloc(n), *z = calloc(1, n), *a = aligned_alloc(256, n);

        CHECK(malloc_usable_size(p) >= n, "malloc(%zu): %zu", n, malloc_usable_size(p));
        CHECK(malloc_usable_size(z) >= n, "calloc(%zu): %zu", n, malloc_usable_size(z));
        CHECK(malloc_usable_size(a) >= n, "aligned_alloc(%zu): %zu", n, malloc_usable_size(a));
        free(p);
        free(z);
        free(a);
    }
}

/* Internal waste: the class table's promise. Measured on usable sizes, so headers do not count. */
static void waste_is_bounded(void)
{
    if (!conform_expect_all)
        conform_skip("a promise of lode only");
    for (unsigned i = 0; i < conform_size_count; i++) {
        size_t n = conform_sizes[i], usable;
        void *p = malloc(n);

        usable = malloc_usable_size(p);
        if (n > 128 && n <= 32768)
            CHECK(usable - n <= usable / 8, "%zu bytes: usable %zu", n, usable);
        free(p);
    }
}

/* Fill every block of a size up to its usable size, then look whether any lost a byte. */
static void fill_to_usable(size_t bytes, bool aligned)
{
    enum { N = 24 };
    unsigned char *p[N];
    size_t usable[N];

    for (int i = 0; i < N; i++) {
        p[i] = aligned ? memalign(64, bytes) : malloc(bytes);
        REQUIRE(p[i], "%zu bytes: NULL", bytes);
        usable[i] = malloc_usable_size(p[i]);
        memset(p[i], i + 1, usable[i]);
    }
    for (int i = 0; i < N; i += 2) {
        CHECK(malloc_usable_size(p[i]) == usable[i], "%zu bytes: usable size changed", bytes);
        free(p[i]);
    }
    for (int i = 1; i < N; i += 2) {
        CHECK(malloc_usable_size(p[i]) == usable[i], "%zu bytes: usable size changed", bytes);
        CHECK(conform_all(p[i], i + 1, usable[i]), "%zu bytes: neighbours overlap", bytes);
        free(p[i]);
    }
}

static void is_writable(void)
{
    for (unsigned i = 0; i < conform_size_count; i++) {
        if (conform_sizes[i] > 300000)
            break;
        fill_to_usable(conform_sizes[i], false);
        if (i % 5 == 0)
            fill_to_usable(conform_sizes[i], true);
    }
    fill_to_usable(3 << 20, false);
}

/* Constant while thousands of other blocks come and go. */
static void is_constant(void)
{
    enum { N = 64, OTHERS = 3000 };
    static void *others[OTHERS];
    void *p[N];
    size_t usable[N];

    for (int i = 0; i < N; i++) {
        p[i] = malloc(conform_sizes[(unsigned)i * 7]);
        usable[i] = malloc_usable_size(p[i]);
    }
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < OTHERS; i++)
            others[i] = malloc((size_t)(i * 37 + round * 11) % 2000 + 1);
        /* 7 and 3000 share no factor: each is freed once, in an order unlike the allocation's. */
        for (int i = 0; i < OTHERS; i++)
            free(others[(i * 7) % OTHERS]);
        malloc_trim(0);
        for (int i = 0; i < N; i++)
            CHECK(malloc_usable_size(p[i]) == usable[i], "usable size changed");
    }
}

const struct conform_test conform_usable[] = {
    {"malloc_usable_size/of NULL", of_null, 0},
    {"malloc_usable_size/at least what was asked for", at_least_requested, 0},
    {"malloc_usable_size/waste stays under an eighth", waste_is_bounded, 0},
    {"malloc_usable_size/fully writable", is_writable, 60},
    {"malloc_usable_size/constant", is_constant, 0},
    {NULL, NULL, 0},
};
