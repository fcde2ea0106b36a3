/* SPDX-License-Identifier: MIT */
/*
 * Requests: the eight types and their placement read back, every field and flag, every documented
 * errno with nothing changed, the reserve, and a heap that refuses. Stacks, lent allocators and
 * blocks beside others are in test_requestways.c, waiting for a limit in test_requestlimit.c,
 * regions in test_regions.c, locked memory without rights in locked_memory.c.
 */
#include <criterion/criterion.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/attr.h"
#include "failing_heap.h"
#include "lode/request.h"
#include "requests.h"

/* ---- placement ---- */

struct named {
    struct lode_heap *heap;
    char name[32];
};

static int name_of(void *ctx, struct lode_heap *heap, const char *name, uint16_t tag,
                   enum lode_kind kind)
{
    struct named *named = ctx;
    (void)tag;
    (void)kind;
    if (heap == named->heap)
        snprintf(named->name, sizeof(named->name), "%s", name);
    return 0;
}

static void assert_heap(const void *ptr, const char *name, uint16_t tag, enum lode_kind kind)
{
    struct lode_block_info info;
    cr_assert_eq(lode_block_find(ptr, &info), 0);
    struct named named = {.heap = info.heap};
    (void)lode_heaps_enumerate(name_of, &named);
    cr_assert_str_eq(named.name, name);
    cr_assert_eq(info.tag, tag);
    cr_assert_eq(info.kind, kind);
}

Test(request, each_type_is_placed_by_its_rule)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    static const size_t sizes[] = {0, 1, 100, 1000, 5000, 100000};
    for (unsigned t = 0; t < LODE_MEMORY_TYPES; t++) {
        struct lode_placement rule;
        cr_assert_eq(lode_placement_get(t, &rule), 0);
        if (t == LODE_MEMORY_VIDEO || t == LODE_MEMORY_SHARED)
            cr_assert(rule.align == page && rule.granule_bytes == page);
        if (t == LODE_MEMORY_AUDIO || t == LODE_MEMORY_NETWORK)
            cr_assert(rule.align == 64 && rule.granule_bytes == 64);
        for (size_t i = 0; t != LODE_MEMORY_SHARED && i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            struct lode_request r = of(sizes[i], t);
            if (t == LODE_MEMORY_POOL && sizes[i] > 8192) {
                assert_refused(&r, -ENOTSUP);
                continue;
            }
            struct lode_allocation a = got(&r);
            cr_assert_eq(a.type, t);
            cr_assert_eq(a.flags, 0);
            cr_assert_eq((uintptr_t)a.ptr % rule.align, 0, "%s", rule.name);
            cr_assert_eq(a.bytes % rule.granule_bytes, 0);
            int pooled = sizes[i] <= rule.pool_max_bytes && rule.pool_max_bytes != 0;
            cr_assert_eq(a.strategy, pooled                   ? LODE_STRATEGY_POOL
                                     : t == LODE_MEMORY_STACK ? LODE_STRATEGY_STACK
                                                              : LODE_STRATEGY_HEAP);
            assert_heap(a.ptr, rule.name, 0, LODE_KIND_SYSTEM);
            put(&a);
        }
    }
    struct lode_placement rule = {.name = "kept"};
    cr_assert_eq(lode_placement_get((enum lode_memory_type)8, &rule), -EINVAL);
    cr_assert_str_eq(rule.name, "kept");
}

Test(request, shared_memory_is_not_there_yet)
{
    struct lode_request r = of(4096, LODE_MEMORY_SHARED);
    assert_refused(&r, -ENOTSUP);
    r.flags = LODE_REQUEST_FALLBACK;
    uint64_t before = stats_of(LODE_MEMORY_SHARED).fallbacks;
    struct lode_allocation a = got(&r);
    cr_assert_eq(a.type, LODE_MEMORY_SYSTEM);
    cr_assert(a.flags & LODE_ALLOCATION_FELL_BACK);
    cr_assert_eq(stats_of(LODE_MEMORY_SHARED).fallbacks, before + 1);
    put(&a);
}

Test(request, types_and_tags_never_share_a_page)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    struct lode_allocation a[6][50];
    for (int i = 0; i < 50; i++)
        for (int k = 0; k < 6; k++) {
            struct lode_request r = of(100, k < 3 ? LODE_MEMORY_SYSTEM : LODE_MEMORY_TEMPORARY);
            r.tag = (uint16_t)(k % 3 * 1000);
            a[k][i] = got(&r);
            cr_assert_eq(a[k][i].tag, r.tag);
        }
    for (int i = 0; i < 50; i++)
        for (int j = 0; j < 50; j++)
            for (int k = 1; k < 6; k++)
                cr_assert_neq((uintptr_t)a[0][i].ptr / page, (uintptr_t)a[k][j].ptr / page);
    assert_heap(a[4][0].ptr, "temporary", 1000, LODE_KIND_SYSTEM);
    for (int k = 0; k < 6; k++)
        cr_assert_eq(lode_alloc_free_many(a[k], 50), 0);
}

Test(request, alignments_are_kept)
{
    for (unsigned t = 0; t < LODE_MEMORY_TYPES; t++)
        for (size_t align = 1; align <= 1 << 16; align *= 2) {
            struct lode_request r = of(100, t);
            r.align = align;
            if (t == LODE_MEMORY_SHARED || (t == LODE_MEMORY_POOL && align > 4096))
                continue;
            struct lode_allocation a = got(&r);
            cr_assert_eq((uintptr_t)a.ptr % align, 0);
            put(&a);
        }
}

Test(request, pools_have_size_classes)
{
    for (size_t bytes = 1; bytes <= 8192; bytes += 7) {
        struct lode_request r = of(bytes, LODE_MEMORY_POOL);
        struct lode_allocation a = got(&r);
        cr_assert_leq(a.bytes, bytes <= 16 ? 16 : bytes * 3 / 2 + 16);
        put(&a);
    }
    struct lode_request r = of(300, LODE_MEMORY_SYSTEM);
    r.strategy = LODE_STRATEGY_POOL;
    struct lode_allocation a = got(&r);
    cr_assert_eq(a.bytes, 384);
    cr_assert_eq(a.type, LODE_MEMORY_SYSTEM);
    cr_assert_eq(a.strategy, LODE_STRATEGY_POOL);
    put(&a);
    r.bytes = 8193;
    assert_refused(&r, -ENOTSUP);
    r.flags = LODE_REQUEST_FALLBACK;
    a = got(&r);
    cr_assert_eq(a.strategy, LODE_STRATEGY_HEAP);
    cr_assert_eq(a.flags, LODE_ALLOCATION_FELL_BACK);
    put(&a);
}

/* ---- bad input ---- */

Test(request, bad_fields_are_refused)
{
    struct lode_request r = of(100, LODE_MEMORY_SYSTEM);
    r.type = 8;
    assert_refused(&r, -EINVAL);
    r = of(100, LODE_MEMORY_SYSTEM);
    r.strategy = LODE_STRATEGY_RESERVE;
    assert_refused(&r, -EINVAL);
    r.strategy = LODE_STRATEGY_NEAR;
    assert_refused(&r, -EINVAL);
    r.strategy = 200;
    assert_refused(&r, -EINVAL);
    r = of(100, LODE_MEMORY_SYSTEM);
    r.flags = 1u << 6;
    assert_refused(&r, -EINVAL);
    r = of(100, LODE_MEMORY_SYSTEM);
    r.align = 48;
    assert_refused(&r, -EINVAL);
    r = of(100, LODE_MEMORY_SYSTEM);
    r.reserved1 = 1;
    assert_refused(&r, -EINVAL);
    r = of(100, LODE_MEMORY_SYSTEM);
    r.reserved2 = 1;
    assert_refused(&r, -EINVAL);
    r = of(100, LODE_MEMORY_SYSTEM);
    r.reserved3 = 1;
    assert_refused(&r, -EINVAL);
    struct {
        struct lode_request known;
        uint64_t later;
    } newer = {.known = of(100, LODE_MEMORY_SYSTEM), .later = 1};
    newer.known.size = sizeof(newer);
    assert_refused(&newer.known, -E2BIG);
    newer.later = 0;
    struct lode_allocation a = got(&newer.known);
    put(&a);
}

Test(request, sizes_nobody_has_are_refused)
{
    static const size_t huge[] = {SIZE_MAX, SIZE_MAX - 4095, PTRDIFF_MAX, (size_t)1 << 60};
    for (unsigned t = 0; t < LODE_MEMORY_TYPES; t++)
        for (size_t i = 0; i < sizeof(huge) / sizeof(huge[0]); i++)
            for (uint32_t flags = 0; flags <= LODE_REQUEST_DMA; flags += LODE_REQUEST_DMA) {
                struct lode_request r = of(huge[i], t);
                struct lode_allocation a;
                r.flags = flags;
                int error = lode_alloc(&r, &a);
                cr_assert(error == -ENOMEM || error == -ENOTSUP, "%u %zu: %d", t, huge[i], error);
            }
    struct lode_request r = of(1, LODE_MEMORY_SYSTEM);
    struct lode_allocation a;
    r.align = (size_t)1 << 63;
    cr_assert_eq(lode_alloc(&r, &a), -ENOMEM);
}

Test(request, what_is_not_live_cannot_be_freed)
{
    struct lode_request r = of(100, LODE_MEMORY_SYSTEM), p = of(100, LODE_MEMORY_POOL);
    struct lode_allocation a = got(&r), copy = a, b = got(&p), never = {.ptr = &r, .id = 12345};
    put(&a);
    struct lode_request_stats before = stats_of(LODE_MEMORY_SYSTEM);
    cr_assert_eq(lode_alloc_free(&a), -EINVAL);
    struct lode_allocation again = got(&r); /* perhaps the same record, the same address */
    cr_assert_eq(lode_alloc_free(&copy), -EINVAL);
    cr_assert_eq(lode_alloc_free(&never), -EINVAL);
    never.id = UINT64_MAX;
    cr_assert_eq(lode_alloc_free(&never), -EINVAL);
    never.id = b.id + ((uint64_t)1 << 32);
    cr_assert_eq(lode_alloc_free(&never), -EINVAL);
    for (never.id = 0; never.id < 1024; never.id++) /* as records that were never used have it */
        cr_assert_eq(lode_alloc_free(&never), -EINVAL);
    put(&again);
    put(&b);
    cr_assert_eq(lode_alloc_free(&b), -EINVAL);
    cr_assert_eq(stats_of(LODE_MEMORY_SYSTEM).live, before.live);
    cr_assert_eq(stats_of(LODE_MEMORY_SYSTEM).used_bytes, before.used_bytes);
    struct lode_allocation nothing = {0};
    cr_assert_eq(lode_alloc_free(&nothing), 0);
}

/* ---- flags ---- */

Test(request, zeroed_memory_reads_as_zero)
{
    for (unsigned t = 0; t < LODE_MEMORY_TYPES; t++)
        for (int round = 0; round < 40; round++) {
            struct lode_request r = of(100 + 997 * (size_t)(round % 4), t);
            struct lode_allocation a;
            r.flags = LODE_REQUEST_ZERO;
            if (t == LODE_MEMORY_SHARED)
                continue;
            cr_assert_eq(lode_alloc(&r, &a), 0);
            for (size_t i = 0; i < a.bytes; i++)
                cr_assert_eq(((unsigned char *)a.ptr)[i], 0);
            memset(a.ptr, 0xff, a.bytes);
            put(&a);
        }
    cr_assert_eq(lode_request_limit_set(LODE_MEMORY_SYSTEM, 0), 0);
    for (int round = 0; round < 2; round++) {
        struct lode_request r = of(1000, LODE_MEMORY_SYSTEM);
        struct lode_allocation a;
        r.flags = LODE_REQUEST_ZERO | LODE_REQUEST_CRITICAL;
        cr_assert_eq(lode_alloc(&r, &a), 0);
        cr_assert_eq(a.strategy, LODE_STRATEGY_RESERVE);
        for (size_t i = 0; i < a.bytes; i++)
            cr_assert_eq(((unsigned char *)a.ptr)[i], 0);
        memset(a.ptr, 0xff, a.bytes);
        put(&a);
    }
}

static size_t locked_kib(void)
{
    char line[256];
    size_t kib = 0;
    FILE *f = fopen("/proc/self/status", "r");
    cr_assert_not_null(f);
    while (fgets(line, sizeof(line), f) != NULL)
        if (sscanf(line, "VmLck: %zu kB", &kib) == 1)
            break;
    fclose(f);
    return kib;
}

Test(request, dma_memory_is_locked_until_it_is_freed)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    struct lode_request r = of(40000, LODE_MEMORY_AUDIO);
    struct lode_allocation a;
    r.flags = LODE_REQUEST_DMA;
    int error = lode_alloc(&r, &a);
    if (error == -EPERM || error == -EAGAIN)
        cr_skip_test("this machine locks no memory for us");
    cr_assert_eq(error, 0);
    cr_assert_eq((uintptr_t)a.ptr % page, 0);
    cr_assert_eq(a.bytes, (40000 + page - 1) / page * page);
    cr_assert_eq(a.flags, LODE_ALLOCATION_LOCKED);
    size_t kib = LODE_ASAN ? 0 : a.bytes / 1024; /* ASan makes nothing of mlock() */
    cr_assert_eq(locked_kib(), kib);
    put(&a);
    cr_assert_eq(locked_kib(), 0);
    r.type = LODE_MEMORY_POOL;
    assert_refused(&r, -ENOTSUP);
    r.type = LODE_MEMORY_STACK;
    assert_refused(&r, -ENOTSUP);
    r.flags |= LODE_REQUEST_FALLBACK;
    a = got(&r);
    cr_assert_eq(a.flags, LODE_ALLOCATION_LOCKED | LODE_ALLOCATION_FELL_BACK);
    cr_assert_eq(a.strategy, LODE_STRATEGY_HEAP);
    put(&a);
}

Test(request, huge_memory_is_of_huge_kind)
{
    struct lode_request r = of((size_t)3 << 20, LODE_MEMORY_VIDEO);
    r.flags = LODE_REQUEST_HUGE;
    struct lode_allocation a = got(&r);
    cr_assert_eq((uintptr_t)a.ptr % (2u << 20), 0);
    cr_assert_eq(a.flags, LODE_ALLOCATION_HUGE);
    assert_heap(a.ptr, "video", 0, LODE_KIND_HUGE);
    put(&a);
    r = of(100, LODE_MEMORY_POOL);
    r.flags = LODE_REQUEST_HUGE;
    a = got(&r);
    assert_heap(a.ptr, "pool", 0, LODE_KIND_HUGE);
    put(&a);
    r.type = LODE_MEMORY_STACK;
    assert_refused(&r, -ENOTSUP);
}

/* The flags of the mapping that `at` lies in, as the kernel names them. */
static void mapping_flags(const void *at, char flags[256])
{
    char line[256];
    uintptr_t lo = 0, hi = 0, from, to;
    FILE *f = fopen("/proc/self/smaps", "r");
    cr_assert_not_null(f);
    flags[0] = '\0';
    while (flags[0] == '\0' && fgets(line, sizeof(line), f) != NULL)
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &from, &to) == 2) {
            lo = from;
            hi = to;
        } else if (strncmp(line, "VmFlags:", 8) == 0 && (uintptr_t)at >= lo && (uintptr_t)at < hi)
            snprintf(flags, 256, "%s", line + 8);
    fclose(f);
}

Test(request, the_kernel_knows_of_huge_memory)
{
    struct lode_request r = of((size_t)3 << 20, LODE_MEMORY_VIDEO);
    char huge[256], plain[256];
    if (access("/sys/kernel/mm/transparent_hugepage", F_OK) != 0)
        cr_skip_test("a kernel without transparent huge pages");
    struct lode_allocation a = got(&r);
    r.flags = LODE_REQUEST_HUGE;
    struct lode_allocation b = got(&r);
    mapping_flags(a.ptr, plain);
    mapping_flags(b.ptr, huge);
    cr_assert_not_null(strstr(huge, " hg "), "%s", huge);
    cr_assert_null(strstr(plain, " hg "), "%s", plain);
    put(&a);
    put(&b);
}

/* ---- the reserve ---- */

Test(request, critical_requests_are_served_by_the_reserve)
{
    struct lode_request r = of(1000, LODE_MEMORY_SYSTEM);
    struct lode_allocation a[600];
    size_t n = 0;
    cr_assert_eq(lode_alloc(&r, &a[0]), 0); /* the first request makes the reserve */
    cr_assert_eq(stats_of(LODE_MEMORY_SYSTEM).reserve_bytes, 512 << 10);
    put(&a[0]);
    cr_assert_eq(lode_request_limit_set(LODE_MEMORY_SYSTEM, 0), 0);
    assert_refused(&r, -ENOSPC);
    r.flags = LODE_REQUEST_CRITICAL | LODE_REQUEST_ZERO;
    while (n < 600 && lode_alloc(&r, &a[n]) == 0) {
        cr_assert_eq(a[n].flags, LODE_ALLOCATION_RESERVE);
        cr_assert_eq(a[n].strategy, LODE_STRATEGY_RESERVE);
        for (int i = 0; i < 1000; i++)
            cr_assert_eq(((char *)a[n].ptr)[i], 0);
        memset(a[n].ptr, (int)n, 1000);
        n++;
    }
    cr_assert_eq(n, 512); /* 1,000 bytes take 1,024 */
    assert_refused(&r, -ENOSPC);
    cr_assert_eq(stats_of(LODE_MEMORY_SYSTEM).reserve_used_bytes, 512 << 10);
    cr_assert_eq(stats_of(LODE_MEMORY_SYSTEM).used_bytes, 0);
    cr_assert_eq(lode_request_reserve_set(0), -EBUSY);
    for (size_t i = 0; i < n; i++)
        for (int b = 0; b < 1000; b++)
            cr_assert_eq(((unsigned char *)a[i].ptr)[b], (unsigned char)i);
    for (size_t i = 0; i < n; i += 2)
        put(&a[i]);
    cr_assert_eq(lode_alloc_free(&a[0]), -EINVAL);
    r.bytes = 2000;
    assert_refused(&r, -ENOSPC); /* only holes of 1,024 */
    for (size_t i = 1; i < n; i += 2)
        put(&a[i]);
    r.align = 4096;
    r.bytes = 512 << 10;
    struct lode_allocation whole = got(&r);
    cr_assert_eq((uintptr_t)whole.ptr % 4096, 0);
    put(&whole);
    cr_assert_eq(stats_of(LODE_MEMORY_SYSTEM).from_reserve, n + 1);
}

Test(request, the_reserve_serves_when_the_heap_refuses)
{
    struct lode_request r = of(5000, LODE_MEMORY_VIDEO);
    struct lode_allocation first = got(&r);
    failing_heap_after = 0;
    assert_refused(&r, -ENOMEM);
    r.flags = LODE_REQUEST_CRITICAL;
    struct lode_allocation a[60];
    for (int i = 0; i < 60; i++) {
        a[i] = got(&r);
        cr_assert(a[i].flags & LODE_ALLOCATION_RESERVE);
        cr_assert_eq((uintptr_t)a[i].ptr % 4096, 0);
    }
    failing_heap_after = -1;
    cr_assert_eq(lode_alloc_free_many(a, 60), 0);
    put(&first);
}

Test(request, the_reserve_has_the_size_that_was_set)
{
    struct lode_request r = of(100, LODE_MEMORY_SYSTEM);
    r.flags = LODE_REQUEST_CRITICAL;
    cr_assert_eq(lode_request_reserve_set(1000), 0);
    cr_assert_eq(stats_of(LODE_MEMORY_SYSTEM).reserve_bytes, 1024);
    cr_assert_eq(lode_request_limit_set(LODE_MEMORY_SYSTEM, 0), 0);
    struct lode_allocation a[8];
    cr_assert_eq(lode_alloc_many(&r, a, 8), 0);
    assert_refused(&r, -ENOSPC);
    cr_assert_eq(lode_alloc_free_many(a, 8), 0);
    cr_assert_eq(lode_request_reserve_set(0), 0);
    assert_refused(&r, -ENOSPC);
    failing_heap_after = 0;
    cr_assert_eq(lode_request_reserve_set(4096), -ENOMEM);
    failing_heap_after = -1;
    cr_assert_eq(stats_of(LODE_MEMORY_SYSTEM).reserve_bytes, 0);
    cr_assert_eq(lode_request_reserve_set(SIZE_MAX), -ENOMEM);
}

/* ---- many, sizes, figures, failure ---- */

Test(request, many_are_all_or_none)
{
    struct lode_request r = of(1000, LODE_MEMORY_TEMPORARY);
    struct lode_allocation a[100];
    memset(a, 0x11, sizeof(a));
    cr_assert_eq(lode_request_limit_set(LODE_MEMORY_TEMPORARY, 50 * 1000), 0);
    cr_assert_eq(lode_alloc_many(&r, a, 51), -ENOSPC);
    for (size_t i = 0; i < sizeof(a); i++)
        cr_assert_eq(((char *)a)[i], 0x11);
    cr_assert_eq(stats_of(LODE_MEMORY_TEMPORARY).live, 0);
    cr_assert_eq(stats_of(LODE_MEMORY_TEMPORARY).used_bytes, 0);
    cr_assert_eq(lode_alloc_many(&r, a, 50), 0);
    cr_assert_eq(stats_of(LODE_MEMORY_TEMPORARY).used_bytes, 50000);
    struct lode_allocation bad[2] = {a[0], a[0]};
    cr_assert_eq(lode_alloc_free_many(bad, 2), -EINVAL);
    cr_assert_eq(lode_alloc_free_many(a + 1, 49), 0);
    cr_assert_eq(stats_of(LODE_MEMORY_TEMPORARY).live, 0);
}

Test(request, quantize_tells_what_a_heap_gives)
{
    struct lode_heap *heap;
    cr_assert_eq(lode_heap_create(NULL, &heap), 0);
    for (size_t align = 1; align <= 1 << 18; align *= 2)
        for (size_t bytes = 0; bytes < 300000; bytes = bytes * 9 / 8 + 1) {
            void *p = lode_heap_aligned_alloc(heap, align, bytes);
            cr_assert_eq(lode_quantize(bytes, align), lode_usable_size(p), "%zu %zu", bytes, align);
            lode_free(p);
        }
    cr_assert_eq(lode_quantize(100, 0), lode_good_size(100));
    cr_assert_eq(lode_quantize(100, 3), 0);
    cr_assert_eq(lode_quantize(SIZE_MAX, 16), 0);
    lode_heap_destroy(heap);
}

Test(request, figures_follow)
{
    struct lode_request r = of(1000, LODE_MEMORY_AUDIO);
    struct lode_allocation a = got(&r), b = got(&r);
    struct lode_request_stats s = stats_of(LODE_MEMORY_AUDIO);
    cr_assert_eq(s.live, 2);
    cr_assert_eq(s.used_bytes, 2048);
    cr_assert_eq(s.limit_bytes, SIZE_MAX);
    put(&a);
    put(&b);
    s = stats_of(LODE_MEMORY_AUDIO);
    cr_assert_eq(s.live, 0);
    cr_assert_eq(s.used_bytes, 0);
    cr_assert_eq(s.peak_bytes, 2048);
    cr_assert_eq(s.served, 2);
    cr_assert_eq(s.frees, 2);
    s.size = 4;
    cr_assert_eq(lode_request_stats_get(LODE_MEMORY_AUDIO, &s), -EINVAL);
    s.size = sizeof(s);
    cr_assert_eq(lode_request_stats_get((enum lode_memory_type)8, &s), -EINVAL);
    s.size = offsetof(struct lode_request_stats, used_bytes);
    s.used_bytes = 77;
    cr_assert_eq(lode_request_stats_get(LODE_MEMORY_AUDIO, &s), 0);
    cr_assert_eq(s.used_bytes, 77);
}

Test(request, memory_may_end_anywhere)
{
    for (unsigned t = 0; t < LODE_MEMORY_TYPES; t++)
        for (long n = 0; t != LODE_MEMORY_SHARED && n < 20; n++) {
            struct lode_request r = of(100, t);
            struct lode_allocation a = {.ptr = (void *)8};
            r.tag = (uint16_t)(100 + 20 * t + (unsigned)n); /* a place of its own each time */
            failing_heap_after = n;
            int error = lode_alloc(&r, &a);
            failing_heap_after = -1;
            cr_assert(error == 0 || error == -ENOMEM, "%d", error);
            if (error == 0)
                put(&a);
            else
                cr_assert_eq((uintptr_t)a.ptr, 8);
            cr_assert_eq(stats_of(t).live, 0);
            cr_assert_eq(stats_of(t).used_bytes, 0);
            a = got(&r);
            put(&a);
        }
}
