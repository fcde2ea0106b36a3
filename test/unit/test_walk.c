/* SPDX-License-Identifier: MIT */
/* heap/walk.c: the walk finds exactly the live blocks, wherever the free ones wait. */
#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

#include "base/conf.h"
#include "blockset.h"
#include "heap/alloc.h"
#include "heap/heaps.h"
#include "heap/sizeclass.h"
#include "heaplook.h"
#include "os/vm.h"

static struct blockset set;
static struct lode_heap *heap;

static void start(void)
{
    struct lode_heap_opts o = LODE_HEAP_OPTS_INIT;
    blockset_init(&set, 71);
    lodei_conf.purge = LODEI_PURGE_OFF;
    o.tag = 12;
    cr_assert_eq(lode_heap_create(&o, &heap), 0);
}

TestSuite(walk, .init = start);

static void alloc_one(size_t bytes)
{
    void *p = lode_heap_alloc(heap, bytes);
    cr_assert_not_null(p);
    blockset_add(&set, p, bytes)->usable = lode_usable_size(p);
}

static void free_one(void)
{
    lode_free(blockset_remove(&set, blockset_below(&set, set.count)));
}

struct visit {
    size_t next, spans, span_live, stop_after;
    struct lode_span_info span;
    struct lode_stats sum;
};

static int see_span(void *ctx, const struct lode_span_info *span)
{
    struct visit *v = ctx;
    cr_assert_eq(v->span_live, v->span.live_count, "a span's count is what is shown of it");
    cr_assert_geq((uintptr_t)span->start, (uintptr_t)v->span.start + v->span.bytes);
    cr_assert_eq(span->tag, 12);
    cr_assert_eq(span->kind, LODE_KIND_SYSTEM);
    cr_assert_leq(span->live_count, span->block_count);
    cr_assert_leq(span->block_count * span->block_bytes, span->bytes);
    v->sum.untouched_bytes += span->untouched_bytes;
    v->sum.large_blocks += span->large;
    v->span = *span;
    v->span_live = 0;
    v->spans++;
    return 0;
}

static int see_block(void *ctx, void *block, size_t usable)
{
    struct visit *v = ctx;
    if (v->stop_after != 0 && v->next == v->stop_after)
        return 5;
    cr_assert_lt(v->next, set.count, "more blocks than live: %p", block);
    cr_assert_eq(block, set.all[v->next].at, "%p is not the next live block", block);
    cr_assert_eq(usable, set.all[v->next].usable);
    cr_assert_eq(usable, v->span.block_bytes);
    v->next++;
    v->span_live++;
    return 0;
}

static void expect_walk(void)
{
    struct visit v = {.next = 0};
    struct lode_stats s = heaplook_stats(heap);
    blockset_sort(&set);
    cr_assert_eq(lode_heap_walk(heap, see_span, see_block, &v), 0);
    cr_assert_eq(v.next, set.count, "%zu of %zu live blocks found", v.next, set.count);
    cr_assert_eq(v.span_live, v.span.live_count);
    cr_assert_eq(v.spans, s.spans);
    cr_assert_eq(v.sum.untouched_bytes, s.untouched_bytes);
    cr_assert_eq(v.sum.large_blocks, s.large_blocks);
}

Test(walk, empty_heap)
{
    expect_walk();
}

Test(walk, random_against_model)
{
    for (int step = 0; step < 6000; step++) {
        if (set.count == 0 || (blockset_below(&set, 100) < 52 && set.count < 3000))
            alloc_one(blockset_size(&set, step % 40 == 0 ? 3 << 20 : 100000));
        else
            free_one();
        if (step % 150 == 0)
            expect_walk();
        if (step % 900 == 0) { /* from here on some pages are purged, some blocks dormant */
            lodei_theap_flush(lodei_theap_get(heap));
            lode_purge();
            expect_walk();
        }
    }
}

static void alloc_job(void *arg)
{
    (void)arg;
    for (int i = 0; i < 400; i++)
        alloc_one(blockset_size(&set, 60000));
}

static void free_job(void *arg)
{
    (void)arg;
    for (size_t n = set.count / 3; n > 0; n--)
        free_one();
}

/* Undelivered remote frees stand in outboxes and inboxes of threads that rest. */
Test(walk, several_threads_resting)
{
    struct heaplook_worker w[4];
    for (int i = 0; i < 4; i++)
        heaplook_worker_start(&w[i]);
    for (int round = 0; round < 16; round++) {
        heaplook_worker_do(&w[round % 4], alloc_job, NULL);
        expect_walk();
        heaplook_worker_do(&w[(round * 3 + 1) % 4], free_job, NULL);
        expect_walk();
        if (round % 5 == 4)
            lode_purge();
    }
    heaplook_worker_end(&w[0]);
    heaplook_worker_end(&w[1]);
    expect_walk();
    lode_purge();
    expect_walk();
    heaplook_worker_end(&w[2]);
    heaplook_worker_end(&w[3]);
}

Test(walk, only_its_own_heap)
{
    for (int i = 0; i < 500; i++) {
        alloc_one(blockset_size(&set, 5000));
        lode_malloc(blockset_size(&set, 5000));
    }
    expect_walk();
}

Test(walk, ends_when_told)
{
    for (int i = 0; i < 100; i++)
        alloc_one(64);
    struct visit v = {.stop_after = 10};
    blockset_sort(&set);
    cr_assert_eq(lode_heap_walk(heap, see_span, see_block, &v), 5);
    cr_assert_eq(v.next, 10);
    cr_assert_eq(lode_heap_walk(heap, NULL, NULL, NULL), 0);
}

static int allocate_meanwhile(void *ctx, void *block, size_t usable)
{
    (void)block;
    (*(size_t *)ctx)++;
    lode_free(lode_heap_alloc(heap, usable));
    return 0;
}

Test(walk, visitor_may_allocate)
{
    size_t seen = 0;
    for (int i = 0; i < 500; i++)
        alloc_one(blockset_size(&set, 300));
    cr_assert_eq(lode_heap_walk(heap, NULL, allocate_meanwhile, &seen), 0);
    cr_assert_eq(seen, 500);
    expect_walk();
}

static int free_it(void *ctx, void *block, size_t usable)
{
    (void)usable;
    (*(size_t *)ctx)++;
    lode_free(block);
    return 0;
}

Test(walk, visitor_may_free)
{
    size_t seen = 0;
    for (int i = 0; i < 2000; i++)
        alloc_one(blockset_size(&set, 200000));
    cr_assert_eq(lode_heap_walk(heap, NULL, free_it, &seen), 0);
    cr_assert_eq(seen, 2000);
    set.count = 0;
    expect_walk();
}

/* ---- lode_block_find ---- */

static void expect_found(const struct blockset_entry *e, size_t offset)
{
    struct lode_block_info info;
    cr_assert_eq(lode_block_find(e->at + offset, &info), 0);
    cr_assert_eq(info.start, e->at);
    cr_assert_eq(info.usable_bytes, e->usable);
    cr_assert_eq(info.heap, heap);
    cr_assert_eq(info.tag, 12);
    cr_assert_eq(info.kind, LODE_KIND_SYSTEM);
}

Test(walk, find_interior)
{
    for (unsigned c = 0; c < LODEI_CLASS_COUNT; c++)
        for (int i = 0; i < 6; i++)
            alloc_one(lodei_classes[c].block_bytes);
    for (size_t bytes = 1 << 20; bytes < 90 << 20; bytes *= 3)
        alloc_one(bytes);
    for (size_t i = 0; i < set.count; i++) {
        struct blockset_entry *e = &set.all[i];
        expect_found(e, 0);
        expect_found(e, 1);
        expect_found(e, e->usable / 2);
        expect_found(e, e->usable - 1);
        for (int n = 0; n < 5; n++)
            expect_found(e, blockset_below(&set, e->usable));
    }
}

Test(walk, find_nothing)
{
    struct lode_block_info info = {.tag = 99};
    int local = 0;
    cr_assert_eq(lode_block_find(&local, &info), -ENOENT);
    cr_assert_eq(lode_block_find(NULL, &info), -ENOENT);
    cr_assert_eq(lode_block_find((void *)-16, &info), -ENOENT);
    cr_assert_eq(lode_block_find(lodei_state.base, &info), -ENOENT, "the heap's own tables");
    cr_assert_eq(lode_block_find(lodei_state.base + lodei_state.reserved_bytes, &info), -ENOENT);
    alloc_one(1152);
    alloc_one((1 << 20) + 1);
    char *span = (char *)((uintptr_t)set.all[0].at & ~(uintptr_t)0xffff);
    cr_assert_eq(lode_block_find(span + 65535, &info), -ENOENT, "behind the last block");
    cr_assert_eq(lode_block_find(set.all[1].at + set.all[1].usable, &info), -ENOENT);
    char *gone = (char *)blockset_remove(&set, 1);
    lode_free(gone);
    cr_assert_eq(lode_block_find(gone, &info), -ENOENT);
    cr_assert_eq(info.tag, 99, "written only on success");
}
