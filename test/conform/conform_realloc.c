/* SPDX-License-Identifier: MIT */
/*
 * Conformance: realloc, reallocarray, reallocf. Contents across every kind of size change, the
 * corner cases (NULL, 0), and failures that must leave the old block as it was.
 */
#include "conform_areas.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void realloc_of_null(void)
{
    for (unsigned i = 0; i < conform_size_count; i += 7) {
        char *p = realloc(NULL, conform_sizes[i]);

        REQUIRE(p, "realloc(NULL, %zu): NULL", conform_sizes[i]);
        conform_fill(p, conform_sizes[i], i);
        free(p);
        p = reallocarray(NULL, conform_sizes[i], 3);
        REQUIRE(p, "reallocarray(NULL, %zu, 3): NULL", conform_sizes[i]);
        conform_fill(p, conform_sizes[i] * 3, i);
        free(p);
    }
}

/* glibc frees the block and gives NULL; others may give a new block. Neither may leak or crash. */
static void realloc_to_zero(void)
{
    static const size_t sizes[] = {1, 100, 5000, 100000, 1 << 20, 0};

    for (int i = 0; sizes[i]; i++) {
        void *p = malloc(sizes[i]), *q;

        REQUIRE(p, "malloc: NULL");
        q = realloc(p, opaque_size(0));
        if (conform_expect_all)
            CHECK(!q, "realloc(p, 0) of %zu bytes gave %p", sizes[i], q);
        free(q);
        p = malloc(sizes[i]);
        q = reallocarray(p, opaque_size(0), 8);
        if (conform_expect_all)
            CHECK(!q, "reallocarray(p, 0, 8) of %zu bytes gave %p", sizes[i], q);
        free(q);
    }
    for (int i = 0; i < 200; i++) {
        void *p = malloc(1 << 20);

        REQUIRE(p, "malloc: NULL");
        memset(p, 1, 1 << 20);
        free(realloc(p, opaque_size(0)));
    }
    CHECK(conform_rss_bytes() < 100u << 20, "realloc(p, 0) leaks: RSS %zu", conform_rss_bytes());
}

/* Every pair of sizes, so that shrinking and growing cross each class and the large boundary. */
static void realloc_pairs(size_t up_to, unsigned step)
{
    for (unsigned i = 0; i < conform_size_count; i += step) {
        for (unsigned k = i % 3; k < conform_size_count; k += step) {
            size_t from = conform_sizes[i], to = conform_sizes[k];
            char *p;

            if (from > up_to || to > up_to)
                continue;
            p = malloc(from);
            REQUIRE(p, "%zu bytes: NULL", from);
            conform_fill(p, from, i);
            p = realloc(p, to);
            REQUIRE(p, "realloc %zu -> %zu: NULL", from, to);
            CHECK(malloc_usable_size(p) >= to, "realloc %zu -> %zu: usable %zu", from, to,
                  malloc_usable_size(p));
            CHECK(conform_filled(p, from < to ? from : to, i), "realloc %zu -> %zu lost contents",
                  from, to);
            memset(p, 0xEE, to);
            free(p);
        }
    }
}

static void realloc_keeps_small(void)
{
    realloc_pairs(70000, 4);
}

static void realloc_keeps_large(void)
{
    realloc_pairs(5 << 20, 19);
}

static void realloc_grows_stepwise(void)
{
    unsigned char *p = NULL;
    size_t n;

    for (n = 1; n <= 20000; n++) {
        p = realloc(p, n);
        REQUIRE(p, "realloc to %zu: NULL", n);
        p[n - 1] = (unsigned char)(n * 7);
    }
    for (n = 1; n <= 20000; n++)
        REQUIRE(p[n - 1] == (unsigned char)(n * 7), "byte %zu lost while growing", n - 1);
    for (n = 20000; n >= 1; n--) {
        p = realloc(p, n);
        REQUIRE(p && p[n - 1] == (unsigned char)(n * 7), "byte %zu lost while shrinking", n - 1);
    }
    for (n = 1; n < 64u << 20; n += n / 2 + 1) {
        p = realloc(p, n);
        REQUIRE(p, "realloc to %zu: NULL", n);
        memset(p + n / 2, (int)(n & 0xFF), n - n / 2);
        REQUIRE(p[n / 2] == (n & 0xFF) && p[n - 1] == (n & 0xFF), "not writable at %zu", n);
    }
    free(p);
}

/* Growing large blocks with others in between: in place, by moving pages, or by copying. */
static void realloc_grows_large(void)
{
    enum { N = 8 };
    unsigned char *p[N];
    size_t n[N];

    for (int i = 0; i < N; i++) {
        n[i] = (size_t)(i + 1) << 18;
        p[i] = malloc(n[i]);
        REQUIRE(p[i], "malloc: NULL");
        conform_fill(p[i], n[i], (unsigned)i);
    }
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < N; i++) {
            size_t to = n[i] + n[i] / 3 + 12345;

            p[i] = realloc(p[i], to);
            REQUIRE(p[i], "realloc to %zu: NULL", to);
            CHECK(conform_filled(p[i], n[i], (unsigned)i), "%zu -> %zu lost contents", n[i], to);
            n[i] = to;
            conform_fill(p[i], n[i], (unsigned)i);
        }
    }
    for (int i = 0; i < N; i++)
        free(p[i]);
}

static void realloc_shrink_gives_back(void)
{
    size_t before, after;
    char *p = malloc(64 << 20);

    REQUIRE(p, "malloc: NULL");
    memset(p, 7, 64 << 20);
    before = conform_rss_bytes();
    p = realloc(p, 100);
    REQUIRE(p && conform_all(p, 7, 100), "contents lost");
    malloc_trim(0);
    after = conform_rss_bytes();
    CHECK(before - after > 32u << 20, "64 MiB shrunk to 100 bytes: RSS %zu -> %zu", before, after);
    free(p);
}

static void realloc_of_aligned(void)
{
    for (size_t align = 16; align <= 1 << 20; align *= 4) {
        for (size_t n = 1; n < 1 << 20; n = n * 5 + 3) {
            char *p = memalign(align, n);

            REQUIRE(p, "memalign(%zu, %zu): NULL", align, n);
            conform_fill(p, n, 9);
            p = realloc(p, n * 3);
            REQUIRE(p && conform_filled(p, n, 9), "align %zu, %zu bytes: contents lost", align, n);
            p = realloc(p, n / 2 + 1);
            REQUIRE(p && conform_filled(p, n / 2 + 1, 9), "align %zu: contents lost", align);
            free(p);
        }
    }
}

static void realloc_failure_keeps_block(void)
{
    static const size_t sizes[] = {1, 24, 500, 5000, 40000, 200000, 2 << 20, 0};
    const size_t bad[] = {CONFORM_TOO_LARGE, SIZE_MAX, SIZE_MAX - 4096, (size_t)PTRDIFF_MAX,
                          (size_t)PTRDIFF_MAX - 65536};

    for (int i = 0; sizes[i]; i++) {
        size_t n = sizes[i], usable;
        char *p = malloc(n), *q;

        REQUIRE(p, "malloc: NULL");
        usable = malloc_usable_size(p);
        conform_fill(p, n, 3);
        for (unsigned k = 0; k < sizeof bad / sizeof *bad; k++) {
            errno = 0;
            q = realloc(opaque(p), opaque_size(bad[k]));
            CHECK(!q && errno == ENOMEM, "realloc(p, %zx): %p, errno %d", bad[k], (void *)q, errno);
            errno = 0;
            q = reallocarray(opaque(p), opaque_size(bad[k]), 2);
            CHECK(!q && errno == ENOMEM, "reallocarray: %p, errno %d", (void *)q, errno);
        }
        errno = 0;
        q = reallocarray(opaque(p), opaque_size((size_t)1 << 33), opaque_size((size_t)1 << 33));
        CHECK(!q && errno == ENOMEM, "reallocarray 2^66: %p, errno %d", (void *)q, errno);
        p = opaque(p);
        CHECK(malloc_usable_size(p) == usable, "usable size changed by a failed realloc");
        CHECK(conform_filled(p, n, 3), "%zu bytes lost by a failed realloc", n);
        free(p);
    }
}

static void reallocarray_multiplies(void)
{
    char *p = reallocarray(NULL, 1000, 16);

    REQUIRE(p && malloc_usable_size(p) >= 16000, "reallocarray(NULL, 1000, 16)");
    conform_fill(p, 16000, 5);
    p = reallocarray(p, 50000, 16);
    REQUIRE(p && malloc_usable_size(p) >= 800000, "reallocarray(p, 50000, 16)");
    CHECK(conform_filled(p, 16000, 5), "contents lost");
    p = reallocarray(p, 10, 16);
    REQUIRE(p && conform_filled(p, 160, 5), "contents lost while shrinking");
    free(p);
}

static void reallocf_frees_on_failure(void)
{
    NEED(conform_names.reallocf, "reallocf");
    for (int i = 0; i < 200; i++) {
        char *p = conform_names.reallocf(NULL, 1000), *q;

        REQUIRE(p, "reallocf(NULL, 1000): NULL");
        conform_fill(p, 1000, 1);
        p = conform_names.reallocf(p, 1 << 20);
        REQUIRE(p && conform_filled(p, 1000, 1), "reallocf lost contents");
        memset(p, 1, 1 << 20);
        errno = 0;
        q = conform_names.reallocf(p, CONFORM_TOO_LARGE);
        REQUIRE(!q && errno == ENOMEM, "reallocf of too much: %p, errno %d", (void *)q, errno);
    }
    CHECK(conform_rss_bytes() < 100u << 20, "a failed reallocf kept its block");
}

static void realloc_same_size(void)
{
    for (unsigned i = 0; i < conform_size_count; i += 3) {
        size_t n = conform_sizes[i], usable;
        char *p = malloc(n);

        REQUIRE(p, "malloc: NULL");
        usable = malloc_usable_size(p);
        conform_fill(p, n, i);
        p = realloc(p, n);
        REQUIRE(p && conform_filled(p, n, i), "%zu -> %zu lost contents", n, n);
        p = realloc(p, usable);
        REQUIRE(p && conform_filled(p, n, i), "%zu -> usable %zu lost contents", n, usable);
        free(p);
    }
}

const struct conform_test conform_realloc[] = {
    {"realloc/of NULL is malloc", realloc_of_null, 0},
    {"realloc/to 0 bytes", realloc_to_zero, 0},
    {"realloc/to the same size", realloc_same_size, 0},
    {"realloc/keeps contents, small sizes", realloc_keeps_small, 60},
    {"realloc/keeps contents, large sizes", realloc_keeps_large, 60},
    {"realloc/grows and shrinks stepwise", realloc_grows_stepwise, 60},
    {"realloc/grows large blocks side by side", realloc_grows_large, 0},
    {"realloc/shrinking gives memory back", realloc_shrink_gives_back, 0},
    {"realloc/of aligned blocks", realloc_of_aligned, 0},
    {"realloc/failure leaves the block intact", realloc_failure_keeps_block, 0},
    {"reallocarray/multiplies", reallocarray_multiplies, 0},
    {"reallocf/frees on failure", reallocf_frees_on_failure, 0},
    {NULL, NULL, 0},
};
