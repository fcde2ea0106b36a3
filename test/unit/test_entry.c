/* SPDX-License-Identifier: MIT */
/* heap/entry.c: the lode_ functions from outside: sizes, errno, alignment, realloc, a tracer. */
#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

#include "base/conf.h"
#include "blockset.h"
#include "heap/entry.h"
#include "heap/heaps.h"
#include "heap/sizeclass.h"
#include "heap/trace.h"
#include "heaplook.h"
#include "os/vm.h"

static struct blockset set;

static void start(void)
{
    blockset_init(&set, 91);
    cr_assert_not_null(lode_heap_default());
}

TestSuite(entry, .init = start);
TestSuite(tracer, .init = start);

Test(entry, usable_sizes)
{
    for (size_t bytes = 0; bytes < 3 << 20; bytes += bytes / 50 + 1) {
        char *p = lode_malloc(bytes), *q = lode_calloc(1, bytes);
        size_t usable = lode_usable_size(p);
        cr_assert_eq((uintptr_t)p % 16, 0);
        cr_assert_geq(usable, bytes);
        cr_assert_eq(usable, lode_good_size(bytes));
        cr_assert_eq(usable, lode_usable_size(q));
        cr_assert_eq(lode_good_size(usable), usable);
        if (bytes > 128)
            cr_assert_leq((usable - bytes) * 8, usable + 8 * lodei_page_bytes);
        memset(p, 1, usable);
        cr_assert(blockset_is_zero(q, bytes));
        memset(q, 2, usable);
        cr_assert_eq(lode_usable_size(p), usable);
        lode_free(p);
        lode_free(q);
    }
    cr_assert_eq(lode_usable_size(NULL), 0);
    cr_assert_eq(lode_good_size(SIZE_MAX), 0);
    cr_assert_eq(lode_good_size(PTRDIFF_MAX), 0);
}

Test(entry, powers_of_two_are_naturally_aligned)
{
    for (size_t bytes = 16; bytes <= 4096; bytes *= 2)
        for (int i = 0; i < 300; i++)
            cr_assert_eq((uintptr_t)lode_malloc(bytes) % bytes, 0);
}

Test(entry, aligned)
{
    static const size_t sizes[] = {0, 1, 24, 100, 1000, 4000, 5000, 40000, 70000, 200000, 1 << 20};
    for (size_t align = 1; align <= 1 << 22; align *= 2) {
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            for (int n = 0; n < 3; n++) {
                char *p = lode_aligned_alloc(align, sizes[i]);
                cr_assert_not_null(p);
                cr_assert_eq((uintptr_t)p % align, 0);
                cr_assert_geq(lode_usable_size(p), sizes[i]);
                cr_assert_not(blockset_overlaps(&set, p, lode_usable_size(p)));
                blockset_add(&set, p, sizes[i])->usable = lode_usable_size(p);
            }
        }
    }
    cr_assert_eq(blockset_broken(&set), 0);
    cr_assert_eq(heaplook_unnamed_bytes(), 0);
    while (set.count > 0)
        lode_free(blockset_remove(&set, 0));
    cr_assert_eq(heaplook_stats(NULL).live_blocks, 0);
}

Test(entry, bad_alignment)
{
    static const size_t bad[] = {0, 3, 24, 4097, SIZE_MAX};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        errno = 0;
        cr_assert_null(lode_aligned_alloc(bad[i], 10));
        cr_assert_eq(errno, EINVAL);
        errno = 0;
        cr_assert_null(lode_heap_aligned_alloc(lode_heap_default(), bad[i], 10));
        cr_assert_eq(errno, EINVAL);
    }
}

Test(entry, errno_set_and_kept)
{
    errno = EDOM;
    char *p = lode_malloc(1), *q = lode_calloc(3, 1000), *r = lode_malloc(5 << 20);
    p = lode_realloc(p, 100000);
    r = lode_realloc(r, 50 << 20);
    lode_free(p);
    lode_free(q);
    lode_free(r);
    lode_free(NULL);
    lode_purge();
    cr_assert_eq(errno, EDOM);
    cr_assert_null(lode_calloc(SIZE_MAX / 2, 3));
    cr_assert_eq(errno, ENOMEM);
    errno = 0;
    cr_assert_null(lode_heap_calloc(lode_heap_default(), SIZE_MAX, SIZE_MAX));
    cr_assert_eq(errno, ENOMEM);
    errno = 0;
    cr_assert_null(lode_malloc((size_t)PTRDIFF_MAX + 1));
    cr_assert_eq(errno, ENOMEM);
    p = lode_malloc(10);
    errno = 0;
    cr_assert_null(lode_realloc(p, SIZE_MAX - 4));
    cr_assert_eq(errno, ENOMEM);
    lode_free(p);
}

/* realloc through all sizes, up and down: contents are kept. */
Test(entry, realloc_random)
{
    for (int i = 0; i < 60; i++) {
        blockset_add(&set, lode_malloc(0), 0);
        for (int step = 0; step < 60; step++) {
            size_t n = set.count - 1, bytes = blockset_size(&set, 1 << 20);
            char *p = lode_realloc(set.all[n].at, bytes);
            cr_assert_not_null(p);
            cr_assert(blockset_stands_at(&set, n, p, bytes));
            set.all[n].at = (unsigned char *)p;
            set.all[n].bytes = bytes;
            blockset_fill(&set, n);
        }
    }
    cr_assert_eq(blockset_broken(&set), 0);
    char *p = lode_realloc(NULL, 100);
    cr_assert_eq(lode_usable_size(p), 112);
    cr_assert_eq(lode_realloc(p, 112), p, "what fits stays");
    cr_assert_eq(lode_realloc(p, 60), p);
}

Test(entry, zero_bytes_are_unique)
{
    char *p[100];
    for (int i = 0; i < 100; i++) {
        p[i] = i % 2 == 0 ? lode_malloc(0) : lode_calloc(0, 5);
        cr_assert_not_null(p[i]);
        for (int k = 0; k < i; k++)
            cr_assert_neq(p[i], p[k]);
    }
}

Test(entry, heap_functions)
{
    struct lode_heap *heap;
    cr_assert_eq(lode_heap_create(NULL, &heap), 0);
    for (size_t bytes = 0; bytes < 1 << 20; bytes = bytes * 2 + 3) {
        struct lode_block_info info;
        void *p[3] = {lode_heap_alloc(heap, bytes), lode_heap_calloc(heap, 1, bytes),
                      lode_heap_aligned_alloc(heap, 64, bytes)};
        cr_assert(blockset_is_zero(p[1], bytes));
        cr_assert_eq((uintptr_t)p[2] % 64, 0);
        for (int i = 0; i < 3; i++) {
            cr_assert_eq(lode_block_find(p[i], &info), 0);
            cr_assert_eq(info.heap, heap);
            memset(p[i], 0xff, bytes);
            if (bytes % 2 == 0)
                lode_free(p[i]);
        }
    }
    lode_heap_destroy(heap);
    cr_assert_eq(lodei_state.used_slices, 0);
}

/* ---- foreign pointers ---- */

static char foreign_memory[64];

static int take_free(void *p)
{
    return p == foreign_memory;
}

static int take_usable(const void *p, size_t *ret_bytes)
{
    *ret_bytes = 64;
    return p == foreign_memory;
}

static int take_realloc(void *p, size_t bytes, void **ret_p)
{
    *ret_p = bytes > 64 ? NULL : p;
    return p == foreign_memory;
}

Test(entry, foreign_hooks)
{
    lodei_foreign.free = take_free;
    lodei_foreign.usable = take_usable;
    lodei_foreign.realloc = take_realloc;
    lode_free(foreign_memory);
    cr_assert_eq(lode_usable_size(foreign_memory), 64);
    cr_assert_eq(lode_realloc(foreign_memory, 10), foreign_memory);
    cr_assert_null(lode_realloc(foreign_memory, 100));
    cr_assert_eq(heaplook_stats(NULL).misuse_count, 0);
    lodei_foreign_counted();
    cr_assert_eq(heaplook_stats(NULL).foreign_count, 1);
    lodei_conf.misuse = LODEI_MISUSE_IGNORE;
    lode_free(foreign_memory + 16);
    cr_assert_eq(heaplook_stats(NULL).misuse_count, 1);
}

/* ---- the tracer's seam ---- */

static struct {
    int allocs, frees, resizes, depth;
    void *last;
    size_t bytes, live_bytes;
} traced;

static void on_alloc(void *block, size_t bytes)
{
    traced.allocs++;
    traced.last = block;
    traced.bytes = bytes;
    traced.depth++;
    cr_assert_eq(traced.depth, 1, "what the tracer allocates is not traced");
    lode_free(lode_realloc(lode_malloc(40), 4000));
    traced.depth--;
}

static void on_free(void *block)
{
    traced.frees++;
    traced.last = block;
}

static void on_resize(void *block, size_t bytes)
{
    traced.resizes++;
    traced.last = block;
    traced.bytes = bytes;
}

static void on_process(void)
{
}

static const struct lodei_tracer tracer = {.abi = LODEI_TRACER_ABI,
                                           .on_alloc = on_alloc,
                                           .on_free = on_free,
                                           .on_resize = on_resize,
                                           .fork_prepare = on_process,
                                           .fork_parent = on_process,
                                           .fork_child = on_process,
                                           .at_exit = on_process};

static void traced_thread(void *arg)
{
    char *p = lode_malloc(50);
    cr_assert_eq(traced.last, p);
    lode_free(arg);
    cr_assert_eq(traced.last, arg);
}

Test(tracer, is_told_of_every_block)
{
    struct lodei_tracer wrong = {.abi = LODEI_TRACER_ABI + 1};
    char *early = lode_malloc(10);
    cr_assert_eq(lodei_tracer_install(&wrong), -EINVAL);
    cr_assert_eq(lodei_tracer_install(&tracer), 0);
    cr_assert_eq(lodei_tracer_install(&tracer), -EBUSY);
    for (size_t bytes = 1; bytes < 1 << 20; bytes *= 3) {
        traced.allocs = traced.frees = traced.resizes = 0;
        char *p = lode_malloc(bytes);
        cr_assert_eq(traced.allocs, 1);
        cr_assert_eq(traced.last, p);
        cr_assert_eq(traced.bytes, bytes);
        char *q = lode_calloc(1, bytes);
        cr_assert_eq(traced.allocs, 2);
        cr_assert_eq(traced.last, q);
        q = lode_realloc(q, lode_usable_size(q));
        cr_assert_eq(traced.resizes + traced.frees, 1);
        p = lode_realloc(p, bytes * 100);
        cr_assert_eq(traced.bytes, bytes * 100);
        lode_free(p);
        cr_assert_eq(traced.last, p);
        lode_free(q);
        cr_assert_eq(traced.last, q);
        cr_assert_eq(traced.frees, traced.allocs);
    }
    char *other = lode_malloc(77);
    heaplook_on_thread(traced_thread, other);
    lode_free(early);
    cr_assert_eq(traced.last, early, "also of blocks older than the tracer");
}

Test(tracer, tags_and_heaps)
{
    struct lode_heap *heap;
    cr_assert_eq(lodei_tracer_install(&tracer), 0);
    cr_assert_eq(lode_heap_create(NULL, &heap), 0);
    char *p = lode_heap_alloc(heap, 10);
    cr_assert_eq(traced.last, p);
    cr_assert_eq(lode_tag_push(5), 0);
    p = lode_malloc(20);
    cr_assert_eq(traced.last, p);
    cr_assert_eq(lode_tag_current(), 5);
    lode_tag_pop();
    p = lode_malloc(30);
    cr_assert_eq(traced.last, p);
    cr_assert_eq(traced.allocs, 3);
    lode_heap_destroy(heap);
}
