/* SPDX-License-Identifier: MIT */
/*
 * Conformance: memalign, aligned_alloc, posix_memalign, valloc, pvalloc.
 *
 * Alignments that are no power of two: posix_memalign answers EINVAL everywhere. aligned_alloc and
 * memalign: lode answers NULL with EINVAL for aligned_alloc and either that or glibc's rounding up
 * for memalign; glibc before 2.38 rounds up in both, which passes without LODE_EXPECT_ALL.
 */
#include "conform_areas.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const size_t some_sizes[] = {1, 15, 100, 1000, 4096, 5000, 65536, 70000, 300000, 5 << 20, 0};

static void check_block(const char *name, void *p, size_t align, size_t bytes)
{
    REQUIRE(p, "%s(%zu, %zu): NULL", name, align, bytes);
    CHECK((uintptr_t)p % align == 0, "%s(%zu, %zu) gave %p", name, align, bytes, p);
    CHECK(malloc_usable_size(p) >= bytes, "%s(%zu, %zu): usable %zu", name, align, bytes,
          malloc_usable_size(p));
    conform_fill(p, bytes, (unsigned)align);
}

static void every_alignment(void)
{
    enum { N = 3 };
    void *held[3 * N];

    for (size_t align = 16; align <= 4u << 20; align *= 2) {
        for (int i = 0; some_sizes[i]; i++) {
            size_t n = some_sizes[i];

            for (int k = 0; k < N; k++) {
                void *p = NULL;

                CHECK(posix_memalign(&p, align, n) == 0, "posix_memalign(%zu, %zu)", align, n);
                check_block("posix_memalign", p, align, n);
                held[3 * k] = p;
                held[3 * k + 1] = memalign(align, n);
                check_block("memalign", held[3 * k + 1], align, n);
                held[3 * k + 2] = aligned_alloc(align, n);
                check_block("aligned_alloc", held[3 * k + 2], align, n);
            }
            for (int k = 0; k < 3 * N; k++) {
                CHECK(conform_filled(held[k], n, (unsigned)align),
                      "align %zu, %zu bytes: block %d overwritten", align, n, k);
                free(held[k]);
            }
        }
    }
}

static void small_alignments(void)
{
    for (size_t align = sizeof(void *); align <= 16; align *= 2) {
        for (size_t n = 0; n < 100; n++) {
            void *p = NULL;

            CHECK(posix_memalign(&p, align, n) == 0 && p, "posix_memalign(%zu, %zu)", align, n);
            CHECK((uintptr_t)p % align == 0, "posix_memalign(%zu, %zu): %p", align, n, p);
            free(p);
        }
    }
    for (size_t align = 1; align <= 16; align *= 2) {
        void *p = memalign(align, 10), *q = aligned_alloc(align, 10);

        CHECK(p && q, "alignment %zu: %p, %p", align, p, q);
        free(p);
        free(q);
    }
}

/* Aligned blocks among plain ones: freed, reused, checked, so that padding never strays. */
static void aligned_reuse(void)
{
    enum { N = 128 };
    static unsigned char *p[N];
    static size_t bytes[N];
    unsigned r = 99;

    for (unsigned op = 0; op < 40000; op++) {
        unsigned slot;
        size_t align;

        r = r * 1103515245u + 12345u;
        slot = (r >> 9) % N;
        if (p[slot]) {
            REQUIRE(p[slot][0] == (slot & 0xFF) && conform_all(p[slot], (int)slot, bytes[slot]),
                    "block of %zu bytes overwritten", bytes[slot]);
            free(p[slot]);
        }
        align = (size_t)16 << (r >> 20) % 9;
        bytes[slot] = 1 + (r >> 16) % 3000;
        p[slot] = r & 0x80 ? aligned_alloc(align, bytes[slot]) : malloc(bytes[slot]);
        REQUIRE(p[slot], "NULL");
        if (r & 0x80)
            REQUIRE((uintptr_t)p[slot] % align == 0, "align %zu at %p", align, (void *)p[slot]);
        memset(p[slot], (int)slot, bytes[slot]);
    }
}

static void posix_memalign_errors(void)
{
    static const size_t bad[] = {0, 1, 2, 3, 4, 7, 12, 24, 48, 100, 4097, 65537};
    void *const mark = (void *)(uintptr_t)0x1234;
    void *p = mark;

    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        errno = EXDEV;
        CHECK(posix_memalign(&p, opaque_size(bad[i]), 100) == EINVAL, "alignment %zu", bad[i]);
        CHECK(p == mark, "alignment %zu: *ret written: %p", bad[i], p);
        CHECK(errno == EXDEV, "alignment %zu: errno %d", bad[i], errno);
    }
    errno = EXDEV;
    CHECK(posix_memalign(&p, 64, CONFORM_TOO_LARGE) == ENOMEM, "too large: not ENOMEM");
    CHECK(p == mark, "too large: *ret written: %p", p);
    CHECK(posix_memalign(&p, opaque_size((size_t)1 << 62), opaque_size((size_t)1 << 62)) == ENOMEM,
          "2^62 aligned to 2^62: not ENOMEM");
    CHECK(p == mark, "*ret written: %p", p);
    /* glibc's posix_memalign itself sets errno on ENOMEM; POSIX leaves that open. */
    if (conform_expect_all)
        CHECK(errno == EXDEV, "posix_memalign set errno to %d", errno);
    CHECK(posix_memalign(&p, 64, 0) == 0 && p != mark, "0 bytes");
    free(p);
}

static void odd_alignments(void)
{
    static const size_t bad[] = {3, 12, 24, 48, 100, 4097, 65537};

    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        void *p;

        errno = 0;
        p = aligned_alloc(opaque_size(bad[i]), 100);
        if (conform_expect_all)
            CHECK(!p, "aligned_alloc(%zu, 100) gave %p", bad[i], p);
        CHECK(p || errno == EINVAL, "aligned_alloc(%zu, 100): errno %d", bad[i], errno);
        free(p);
        errno = 0;
        p = memalign(opaque_size(bad[i]), 100);
        CHECK(p || errno == EINVAL, "memalign(%zu, 100): errno %d", bad[i], errno);
        if (p) {
            size_t up = 1;

            while (up < bad[i])
                up *= 2;
            CHECK((uintptr_t)p % up == 0, "memalign(%zu, 100) gave %p, not rounded up", bad[i], p);
        }
        free(p);
    }
}

static void alignment_overflow(void)
{
    const size_t aligns[] = {(size_t)1 << 62, (size_t)1 << 63, (size_t)1 << 47, SIZE_MAX};
    const size_t sizes[] = {1, 4096, SIZE_MAX, SIZE_MAX - 4096, CONFORM_TOO_LARGE, PTRDIFF_MAX};

    for (unsigned i = 0; i < sizeof aligns / sizeof *aligns; i++) {
        for (unsigned k = 0; k < sizeof sizes / sizeof *sizes; k++) {
            void *p, *q;
            int code;

            errno = 0;
            p = memalign(opaque_size(aligns[i]), opaque_size(sizes[k]));
            CHECK(!p && (errno == ENOMEM || errno == EINVAL), "memalign(%zx, %zx): %p, errno %d",
                  aligns[i], sizes[k], p, errno);
            errno = 0;
            p = aligned_alloc(opaque_size(aligns[i]), opaque_size(sizes[k]));
            CHECK(!p && (errno == ENOMEM || errno == EINVAL),
                  "aligned_alloc(%zx, %zx): %p, errno %d", aligns[i], sizes[k], p, errno);
            q = NULL;
            code = posix_memalign(&q, opaque_size(aligns[i]), opaque_size(sizes[k]));
            CHECK(!q && (code == ENOMEM || code == EINVAL), "posix_memalign(%zx, %zx): %p, %d",
                  aligns[i], sizes[k], q, code);
        }
    }
}

static void valloc_pages(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    for (unsigned i = 0; i < conform_size_count; i += 5) {
        size_t n = conform_sizes[i];
        char *v = valloc(n), *p = pvalloc(n);

        REQUIRE(v && p, "%zu bytes: NULL", n);
        CHECK((uintptr_t)v % page == 0, "valloc(%zu) gave %p", n, (void *)v);
        CHECK((uintptr_t)p % page == 0, "pvalloc(%zu) gave %p", n, (void *)p);
        CHECK(malloc_usable_size(p) >= (n + page - 1) / page * page, "pvalloc(%zu): usable %zu", n,
              malloc_usable_size(p));
        memset(v, 1, n);
        memset(p, 2, (n + page - 1) / page * page);
        CHECK(conform_all(v, 1, n), "valloc(%zu) overwritten", n);
        free(v);
        free(p);
    }
}

static void valloc_too_large(void)
{
    const size_t bad[] = {CONFORM_TOO_LARGE, SIZE_MAX,        SIZE_MAX - 1,
                          SIZE_MAX - 4095,   SIZE_MAX - 4096, (size_t)PTRDIFF_MAX};

    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        void *p;

        errno = 0;
        p = valloc(opaque_size(bad[i]));
        CHECK(!p && errno == ENOMEM, "valloc(%zx): %p, errno %d", bad[i], p, errno);
        errno = 0;
        p = pvalloc(opaque_size(bad[i]));
        CHECK(!p && errno == ENOMEM, "pvalloc(%zx): %p, errno %d", bad[i], p, errno);
    }
}

const struct conform_test conform_align[] = {
    {"aligned/every power of two from 16 to 4 MiB", every_alignment, 60},
    {"aligned/up to 16", small_alignments, 0},
    {"aligned/reuse among plain blocks", aligned_reuse, 0},
    {"posix_memalign/errors leave errno and *ret alone", posix_memalign_errors, 0},
    {"aligned/no power of two", odd_alignments, 0},
    {"aligned/overflow of alignment and size", alignment_overflow, 0},
    {"valloc, pvalloc/whole pages", valloc_pages, 0},
    {"valloc, pvalloc/too large", valloc_too_large, 0},
    {NULL, NULL, 0},
};
