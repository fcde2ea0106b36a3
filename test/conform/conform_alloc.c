/* SPDX-License-Identifier: MIT */
/*
 * Conformance: malloc, calloc, free and their close kin (free_sized, free_aligned_sized, cfree,
 * malloc_good_size, the __libc_* names): uniqueness, alignment, zeroing, errno.
 */
#include "conform_areas.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void malloc_zero_bytes(void)
{
    enum { N = 1000 };
    static void *p[N];

    for (int i = 0; i < N; i++) {
        p[i] = malloc(opaque_size(0));
        REQUIRE(p[i], "malloc(0) gave NULL");
        for (int k = 0; k < i; k++)
            REQUIRE(p[k] != p[i], "malloc(0) gave %p twice", p[i]);
    }
    for (int i = 0; i < N; i++)
        free(p[i]);
    p[0] = calloc(opaque_size(0), 8);
    p[1] = calloc(8, opaque_size(0));
    p[2] = realloc(NULL, opaque_size(0));
    p[3] = aligned_alloc(64, opaque_size(0));
    p[4] = valloc(opaque_size(0));
    for (int i = 0; i < 5; i++) {
        CHECK(p[i], "a request for 0 bytes gave NULL (case %d)", i);
        free(p[i]);
    }
}

static void malloc_alignment(void)
{
    static void *p[CONFORM_SIZES_MAX];

    for (int round = 0; round < 3; round++) {
        for (unsigned i = 0; i < conform_size_count; i++) {
            size_t n = conform_sizes[i];
            size_t align = n >= 16 || conform_expect_all || conform_is_glibc() ? 16 : 8;

            p[i] = round == 1 ? calloc(1, n) : malloc(n);
            REQUIRE(p[i], "%zu bytes: NULL", n);
            CHECK((uintptr_t)p[i] % align == 0, "%zu bytes at %p", n, p[i]);
        }
        for (unsigned i = 0; i < conform_size_count; i++)
            free(p[round == 2 ? conform_size_count - 1 - i : i]);
    }
}

static void malloc_natural_alignment(void)
{
    enum { N = 300 };
    static void *p[N];

    if (!conform_expect_all)
        conform_skip("a promise of lode only");
    for (size_t n = 16; n <= 4096; n *= 2) {
        for (int i = 0; i < N; i++) {
            p[i] = malloc(n);
            REQUIRE(p[i], "%zu bytes: NULL", n);
            CHECK((uintptr_t)p[i] % n == 0, "%zu bytes at %p", n, p[i]);
        }
        for (int i = 0; i < N; i++)
            free(p[i]);
    }
}

static const size_t some_sizes[] = {1,      16,      100,     1000,     5000,     20000,
                                    100000, 1 << 18, 1 << 20, 10 << 20, 64 << 20, 0};

/* free of a large block gives its pages back with a system call; errno must survive that too. */
static void free_keeps_errno(void)
{
    static void *held[64];

    for (int i = 0; some_sizes[i]; i++) {
        void *p = malloc(some_sizes[i]);

        REQUIRE(p, "%zu bytes: NULL", some_sizes[i]);
        memset(p, 1, some_sizes[i]);
        errno = EXDEV;
        free(opaque(p));
        CHECK(errno == EXDEV, "free of %zu bytes left errno %d", some_sizes[i], errno);
    }
    for (int round = 0; round < 100; round++) {
        for (int i = 0; i < 64; i++)
            held[i] = malloc((size_t)(i + 1) * 1000);
        errno = 0;
        for (int i = 0; i < 64; i++)
            free(held[i]);
        REQUIRE(errno == 0, "freeing many blocks set errno to %d", errno);
    }
    errno = EXDEV;
    free(opaque(NULL));
    CHECK(errno == EXDEV, "free(NULL) set errno to %d", errno);
}

static void failure_sets_errno(void)
{
    void *p = NULL;

    errno = 0;
    p = malloc(CONFORM_TOO_LARGE);
    CHECK(!p && errno == ENOMEM, "malloc: %p, errno %d", p, errno);
    errno = 0;
    p = calloc(CONFORM_TOO_LARGE, 1);
    CHECK(!p && errno == ENOMEM, "calloc: %p, errno %d", p, errno);
    errno = 0;
    p = realloc(NULL, CONFORM_TOO_LARGE);
    CHECK(!p && errno == ENOMEM, "realloc: %p, errno %d", p, errno);
    p = malloc(100);
    CHECK(p, "malloc after a failed one: NULL");
    free(p);
}

static void free_sized_frees(void)
{
    NEED(conform_names.free_sized, "free_sized");
    for (int i = 0; some_sizes[i]; i++) {
        void *p = malloc(some_sizes[i]);
        void *z = calloc(1, some_sizes[i]);

        REQUIRE(p && z, "%zu bytes: NULL", some_sizes[i]);
        errno = EXDEV;
        conform_names.free_sized(p, some_sizes[i]);
        conform_names.free_sized(z, some_sizes[i]);
        CHECK(errno == EXDEV, "free_sized of %zu bytes left errno %d", some_sizes[i], errno);
    }
    conform_names.free_sized(NULL, 0);
    conform_names.free_sized(NULL, 100);
    for (int i = 0; i < 200; i++) {
        char *p = malloc(1 << 20);

        REQUIRE(p, "malloc: NULL");
        memset(p, 1, 1 << 20);
        conform_names.free_sized(p, 1 << 20);
    }
    CHECK(conform_rss_bytes() < 100u << 20, "free_sized leaks: RSS %zu", conform_rss_bytes());
}

static void free_aligned_sized_frees(void)
{
    NEED(conform_names.free_aligned_sized, "free_aligned_sized");
    for (size_t align = 8; align <= 1 << 16; align *= 2) {
        for (int i = 0; some_sizes[i]; i++) {
            void *p = aligned_alloc(align, some_sizes[i]);

            REQUIRE(p, "align %zu, %zu bytes: NULL", align, some_sizes[i]);
            errno = EXDEV;
            conform_names.free_aligned_sized(p, align, some_sizes[i]);
            CHECK(errno == EXDEV, "errno %d", errno);
        }
    }
    conform_names.free_aligned_sized(NULL, 64, 0);
}

static void cfree_frees(void)
{
    NEED(conform_names.cfree, "cfree");
    for (int i = 0; some_sizes[i]; i++)
        conform_names.cfree(calloc(1, some_sizes[i]));
    conform_names.cfree(NULL);
}

static void good_size(void)
{
    NEED(conform_names.malloc_good_size, "malloc_good_size");
    for (unsigned i = 0; i < conform_size_count; i++) {
        size_t n = conform_sizes[i], good = conform_names.malloc_good_size(n);
        void *p = malloc(n), *q = malloc(good);

        CHECK(good >= n, "good size of %zu is %zu", n, good);
        CHECK(conform_names.malloc_good_size(good) == good, "good size of %zu is not stable", good);
        if (conform_expect_all) {
            CHECK(malloc_usable_size(p) == good, "%zu bytes: usable %zu, good size %zu", n,
                  malloc_usable_size(p), good);
            CHECK(malloc_usable_size(q) == good, "%zu bytes: usable %zu", good,
                  malloc_usable_size(q));
        }
        free(p);
        free(q);
    }
}

/* Leave dirty blocks of `n` bytes behind in several ways, then ask for zeroed ones. */
static void calloc_after_dirt(size_t n)
{
    enum { N = 4 };
    unsigned char *p[N];

    for (int way = 0; way < 3; way++) {
        for (int i = 0; i < N; i++) {
            p[i] = way == 1 ? aligned_alloc(64, n) : malloc(n);
            REQUIRE(p[i], "%zu bytes: NULL", n);
            memset(p[i], 0xA5, malloc_usable_size(p[i]));
        }
        for (int i = 0; i < N; i++) {
            if (way == 2) {
                p[i] = realloc(p[i], n + n / 2 + 1);
                REQUIRE(p[i], "realloc: NULL");
                memset(p[i], 0xA5, n + n / 2 + 1);
            }
            free(p[i]);
        }
        for (int i = 0; i < N; i++) {
            p[i] = i & 1 ? calloc(n, 1) : calloc(1, n);
            REQUIRE(p[i], "calloc of %zu bytes: NULL", n);
            CHECK(conform_all(p[i], 0, n), "calloc of %zu bytes not zero (way %d)", n, way);
            memset(p[i], 0x5A, malloc_usable_size(p[i]));
        }
        for (int i = 0; i < N; i++)
            free(p[i]);
    }
}

static void calloc_zeroes_small(void)
{
    for (unsigned i = 0; i < conform_size_count; i++)
        if (conform_sizes[i] < 1 << 16)
            calloc_after_dirt(conform_sizes[i]);
}

static void calloc_zeroes_large(void)
{
    for (unsigned i = 0; i < conform_size_count; i += 5)
        if (conform_sizes[i] >= 1 << 16 && conform_sizes[i] < 3 << 20)
            calloc_after_dirt(conform_sizes[i]);
}

/* Mixed sizes in random order, so that zeroed blocks land on memory last used by other classes. */
static void calloc_zeroes_mixed(void)
{
    enum { N = 256 };
    static unsigned char *p[N];
    unsigned r = 12345;

    for (int op = 0; op < 60000; op++) {
        unsigned slot, log2;
        size_t n;

        r = r * 1103515245u + 12345u;
        slot = (r >> 8) % N;
        log2 = (r >> 16) % 17;
        n = ((size_t)1 << log2) + ((r >> 4) & (((size_t)1 << log2) - 1));
        free(p[slot]);
        p[slot] = calloc(1, n);
        REQUIRE(p[slot], "calloc of %zu bytes: NULL", n);
        REQUIRE(conform_all(p[slot], 0, n), "calloc of %zu bytes not zero (op %d)", n, op);
        memset(p[slot], 0xEE, malloc_usable_size(p[slot]));
    }
    /* Once more after the pages were given back: fresh-zero knowledge must not outlive reuse. */
    for (int i = 0; i < N; i++) {
        free(p[i]);
        p[i] = NULL;
    }
    malloc_trim(0);
    for (int i = 0; i < N; i++) {
        p[i] = calloc(1, (size_t)(i + 1) * 500);
        REQUIRE(p[i] && conform_all(p[i], 0, (size_t)(i + 1) * 500), "not zero after a trim");
        memset(p[i], 0xEE, (size_t)(i + 1) * 500);
    }
}

static void libc_names(void)
{
    void *(*lm)(size_t), *(*lc)(size_t, size_t), *(*lr)(void *, size_t), (*lf)(void *);
    void *(*la)(size_t, size_t), *(*lv)(size_t), *(*lp)(size_t);
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *p;

    conform_find("__libc_malloc", &lm);
    conform_find("__libc_calloc", &lc);
    conform_find("__libc_realloc", &lr);
    conform_find("__libc_free", &lf);
    conform_find("__libc_memalign", &la);
    conform_find("__libc_valloc", &lv);
    conform_find("__libc_pvalloc", &lp);
    REQUIRE(lm && lc && lr && lf && la && lv && lp, "a __libc_ name is missing");
    /* Every mixture of the two name sets must work: programs wrap one with the other. */
    p = lm(100);
    CHECK(p && malloc_usable_size(p) >= 100, "__libc_malloc");
    p = realloc(p, 10000);
    lf(p);
    p = lc(10, 1000);
    CHECK(p && conform_all(p, 0, 10000), "__libc_calloc");
    free(p);
    p = malloc(100);
    conform_fill(p, 100, 1);
    p = lr(p, 100000);
    CHECK(p && conform_filled(p, 100, 1), "__libc_realloc");
    lf(p);
    p = la(4096, 100);
    CHECK(p && (uintptr_t)p % 4096 == 0, "__libc_memalign");
    free(p);
    p = lv(100);
    CHECK(p && (uintptr_t)p % page == 0, "__libc_valloc");
    free(p);
    p = lp(page + 1);
    CHECK(p && (uintptr_t)p % page == 0 && malloc_usable_size(p) >= 2 * page, "__libc_pvalloc");
    lf(p);
    errno = 0;
    p = lm(CONFORM_TOO_LARGE);
    CHECK(!p && errno == ENOMEM, "__libc_malloc of too much: %p, errno %d", (void *)p, errno);
    lf(NULL);
}

const struct conform_test conform_alloc[] = {
    {"malloc/zero bytes give unique blocks", malloc_zero_bytes, 0},
    {"malloc/16-byte alignment", malloc_alignment, 0},
    {"malloc/powers of two are naturally aligned", malloc_natural_alignment, 0},
    {"malloc/failure sets ENOMEM", failure_sets_errno, 0},
    {"free/errno is kept", free_keeps_errno, 0},
    {"free_sized/frees", free_sized_frees, 0},
    {"free_aligned_sized/frees", free_aligned_sized_frees, 0},
    {"cfree/frees", cfree_frees, 0},
    {"malloc_good_size/agrees with usable size", good_size, 0},
    {"calloc/zeroes small blocks", calloc_zeroes_small, 0},
    {"calloc/zeroes large blocks", calloc_zeroes_large, 0},
    {"calloc/zeroes among mixed sizes", calloc_zeroes_mixed, 0},
    {"__libc_ names/mix with the plain ones", libc_names, 0},
    {NULL, NULL, 0},
};
