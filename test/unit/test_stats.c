/* SPDX-License-Identifier: MIT */
/* heap/stats.c: every mapped byte has one name at every point, and the figures are exact when
 * quiet. */
#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

#include "base/conf.h"
#include "blockset.h"
#include "heap/heaps.h"
#include "heap/purge.h"
#include "heap/types.h"
#include "heaplook.h"
#include "os/vm.h"

static struct blockset set;

static void start(void)
{
    blockset_init(&set, 21);
    lodei_conf.purge = LODEI_PURGE_OFF;
}

TestSuite(stats, .init = start);

static void expect_exact(struct lode_heap *heap)
{
    struct lode_stats s = heaplook_stats(heap);
    size_t large = 0, large_bytes = 0;
    for (size_t i = 0; i < set.count; i++) {
        if (set.all[i].usable > LODEI_MEDIUM_MAX) {
            large++;
            large_bytes += set.all[i].usable;
        }
    }
    cr_assert_eq(s.live_blocks, set.count, "%lu live, not %zu", s.live_blocks, set.count);
    cr_assert_eq(s.in_use_bytes, blockset_usable(&set));
    cr_assert_eq(s.large_blocks, large);
    cr_assert_eq(s.large_bytes, large_bytes);
    cr_assert_eq(heaplook_unnamed_bytes(), 0, "%ld bytes without a name", heaplook_unnamed_bytes());
}

static void alloc_one(struct lode_heap *heap, size_t bytes)
{
    void *p = heap != NULL ? lode_heap_alloc(heap, bytes) : lode_malloc(bytes);
    cr_assert_not_null(p);
    blockset_add(&set, p, bytes)->usable = lode_usable_size(p);
}

static void free_one(void)
{
    size_t i = blockset_below(&set, set.count);
    cr_assert(blockset_intact(&set, i));
    lode_free(blockset_remove(&set, i));
}

static void resize_one(void)
{
    size_t i = blockset_below(&set, set.count), bytes = blockset_size(&set, 3 << 20);
    size_t old = set.all[i].bytes;
    void *p = lode_realloc(set.all[i].at, bytes);
    cr_assert_not_null(p);
    cr_assert(blockset_stands_at(&set, i, p, bytes < old ? bytes : 0));
    set.all[i].at = p;
    set.all[i].bytes = bytes;
    set.all[i].usable = lode_usable_size(p);
    blockset_fill(&set, i);
}

/* One step of a mixed load; a third of the steps grow, a third shrink what lives. */
static void churn(struct lode_heap *heap, int step)
{
    size_t what = blockset_below(&set, 100);
    int growing = step / 700 % 2 == 0;
    if (set.count == 0 || (what < (growing ? 60u : 35u) && set.count < 2000))
        alloc_one(heap, blockset_size(&set, blockset_below(&set, 20) == 0 ? 4 << 20 : 300000));
    else if (what < 90)
        free_one();
    else
        resize_one();
}

Test(stats, conserved_over_a_random_load)
{
    int left;
    for (int step = 0; step < 8000; step++) {
        churn(NULL, step);
        if (step % 500 == 250)
            lode_purge();
        if (step % 500 == 0)
            lodei_purge_step(0, 200, &left);
        if (step % 16 == 0)
            expect_exact(NULL);
    }
    while (set.count > 0)
        free_one();
    expect_exact(NULL);
    lode_purge();
    expect_exact(NULL);
    cr_assert_eq(heaplook_stats(NULL).cached_bytes, 0, "nothing lives, nothing is kept");
    cr_assert_eq(heaplook_stats(NULL).spans, 0);
}

/* Each size alone: lists that grow, shrink, and hand out directly. */
Test(stats, exact_for_each_class)
{
    for (size_t bytes = 16; bytes <= LODEI_MEDIUM_MAX; bytes += bytes / 8) {
        for (int i = 0; i < 40; i++) {
            alloc_one(NULL, bytes);
            expect_exact(NULL);
        }
        while (set.count > 0) {
            free_one();
            expect_exact(NULL);
        }
    }
}

Test(stats, mapped_is_what_the_kernel_maps)
{
    for (int step = 0; step < 1500; step++) {
        churn(NULL, step);
        if (step % 100 != 0)
            continue;
        size_t mapped = heaplook_stats(NULL).mapped_bytes, kernel = heaplook_writable_bytes();
        size_t off = mapped > kernel ? mapped - kernel : kernel - mapped;
        /* The nil block's page, and tables that end inside a page. */
        cr_assert_leq(off, 16 * lodei_page_bytes, "%zu mapped, the kernel says %zu", mapped,
                      kernel);
    }
}

Test(stats, one_heap)
{
    struct lode_heap *heap;
    cr_assert_eq(lode_heap_create(NULL, &heap), 0);
    void *elsewhere = lode_malloc(100);
    for (int step = 0; step < 1000; step++)
        churn(heap, step);
    expect_exact(heap);
    struct lode_stats s = heaplook_stats(heap);
    cr_assert_eq(s.heaps, 1);
    cr_assert_eq(s.thread_heaps, 1);
    cr_assert_eq(s.mapped_bytes, 0, "process-wide figures are not a heap's");
    cr_assert_eq(s.reserved_bytes, 0);
    cr_assert_eq(heaplook_stats(NULL).live_blocks, set.count + 1);
    cr_assert_eq(heaplook_stats(NULL).heaps, 2);
    lode_heap_destroy(heap);
    set.count = 0;
    cr_assert_eq(heaplook_stats(NULL).live_blocks, 1);
    cr_assert_eq(heaplook_unnamed_bytes(), 0);
    lode_free(elsewhere);
}

static void churn_job(void *arg)
{
    for (int step = 0; step < 700; step++)
        churn(arg, step);
}

static void free_half_job(void *arg)
{
    (void)arg;
    for (size_t n = set.count / 2; n > 0; n--)
        free_one();
}

/* Several threads free each other's blocks; each stop is quiet, with much still undelivered. */
Test(stats, exact_with_resting_threads)
{
    struct heaplook_worker w[3];
    struct lode_heap *heap;
    cr_assert_eq(lode_heap_create(NULL, &heap), 0);
    for (int i = 0; i < 3; i++)
        heaplook_worker_start(&w[i]);
    for (int round = 0; round < 12; round++) {
        heaplook_worker_do(&w[round % 3], churn_job, heap);
        expect_exact(heap);
        heaplook_worker_do(&w[(round + 1) % 3], free_half_job, NULL);
        expect_exact(heap);
    }
    cr_assert_eq(heaplook_stats(heap).thread_heaps, 3);
    heaplook_worker_end(&w[0]);
    expect_exact(heap);
    cr_assert_eq(heaplook_stats(heap).orphans, 1);
    free_half_job(NULL);
    expect_exact(heap);
    cr_assert_eq(heaplook_stats(heap).orphans, 0, "the freeing thread took the orphan's part");
    heaplook_worker_end(&w[1]);
    heaplook_worker_end(&w[2]);
    lode_purge();
    expect_exact(heap);
    cr_assert_eq(blockset_broken(&set), 0);
}

Test(stats, versions_of_the_struct)
{
    struct lode_stats s;
    memset(&s, 0x55, sizeof(s));
    s.size = 4;
    cr_assert_eq(lode_stats_get(NULL, &s), -EINVAL);
    memset(&s, 0x55, sizeof(s));
    s.size = offsetof(struct lode_stats, in_use_bytes); /* an older caller */
    cr_assert_eq(lode_stats_get(NULL, &s), 0);
    cr_assert_eq(s.mapped_bytes, heaplook_stats(NULL).mapped_bytes);
    cr_assert_eq(s.in_use_bytes, 0x5555555555555555);
    struct {
        struct lode_stats s;
        uint64_t more;
    } newer = {.s = {.size = sizeof(newer)}, .more = 7};
    cr_assert_eq(lode_stats_get(NULL, &newer.s), 0);
    cr_assert_eq(newer.more, 7, "what is unknown is left alone");
}

Test(stats, purge_figures)
{
    char *p = lode_malloc(8 << 20);
    memset(p, 1, 8 << 20);
    lode_free(p);
    struct lode_stats before = heaplook_stats(NULL);
    size_t bytes = lode_purge();
    struct lode_stats after = heaplook_stats(NULL);
    cr_assert_geq(bytes, 8 << 20);
    cr_assert_eq(after.purge_bytes - before.purge_bytes, bytes);
    cr_assert_gt(after.purge_calls, before.purge_calls);
    cr_assert_eq(after.purged_bytes - before.purged_bytes, bytes);
    cr_assert_eq(before.cached_bytes - after.cached_bytes, bytes);
}
