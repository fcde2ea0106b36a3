/* SPDX-License-Identifier: MIT */
/*
 * heap/span.c: spans of blocks, and the purge of pages nobody lives in, against a model that knows
 * which byte of which page belongs to a live block.
 */
#include <criterion/criterion.h>

#include <string.h>

#include "base/bitmap.h"
#include "base/conf.h"
#include "blockset.h"
#include "heap/alloc.h"
#include "heap/heaps.h"
#include "heap/misuse.h"
#include "heap/sizeclass.h"
#include "heap/span.h"
#include "heaplook.h"
#include "os/vm.h"

static struct blockset set;
static struct blockset_entry *freed;
static size_t freed_count;

static void start(void)
{
    blockset_init(&set, 31);
    lodei_conf.purge = LODEI_PURGE_OFF;
}

TestSuite(span, .init = start);

static struct lodei_theap *my_theap(void)
{
    return lodei_theap_get(lode_heap_default());
}

static void alloc_one(size_t bytes)
{
    void *p = lode_malloc(bytes);
    cr_assert_not_null(p);
    size_t usable = lode_usable_size(p);
    cr_assert_not(blockset_overlaps(&set, p, usable));
    blockset_add(&set, p, bytes)->usable = usable;
}

/* Free each block with probability `percent`; keep a list of what was freed. */
static void free_some(size_t percent)
{
    freed_count = 0;
    freed = realloc(freed, set.count * sizeof(*freed) + 1);
    for (size_t i = set.count; i-- > 0;) {
        if (blockset_below(&set, 100) >= percent)
            continue;
        cr_assert(blockset_intact(&set, i));
        freed[freed_count++] = set.all[i];
        lode_free(blockset_remove(&set, i));
    }
}

static size_t purge_all(void)
{
    int left;
    lodei_theap_flush(my_theap());
    return lodei_theap_purge(my_theap(), 0, UINT64_MAX / 2, &left);
}

/* Live bytes on each page of the span; the set is sorted by address. */
static void count_live(struct lodei_span *span, size_t *live, size_t pages)
{
    uintptr_t from = (uintptr_t)lodei_span_start(span), to = from + pages * lodei_page_bytes;
    memset(live, 0, pages * sizeof(*live));
    for (size_t i = 0; i < set.count; i++) {
        uintptr_t at = (uintptr_t)set.all[i].at, end = at + set.all[i].usable;
        if (at < from || at >= to)
            continue;
        for (; at < end; at = (at | (lodei_page_bytes - 1)) + 1)
            live[(at - from) / lodei_page_bytes]++;
    }
}

/* After a purge: a page is in memory if and only if it holds part of a live block. */
static void expect_pages(struct lodei_span *span)
{
    size_t pages = span->slices * LODEI_SLICE_BYTES / lodei_page_bytes;
    static size_t live[LODEI_SPAN_SLICES_MAX * LODEI_SLICE_BYTES / 4096];
    count_live(span, live, pages);
    size_t carved_end = (size_t)span->carved * span->block_bytes;
    int complete = span->carved == span->capacity;
    for (size_t p = 0; p < pages; p++) {
        /* The page that is being carved, and what a reused span has not carved yet, stay. */
        if (!complete && (p + 1) * lodei_page_bytes > carved_end)
            break;
        char *at = lodei_span_start(span) + p * lodei_page_bytes;
        size_t resident = lodei_vm_resident(at, lodei_page_bytes);
        cr_assert_eq(resident > 0, live[p] > 0,
                     "block size %u, page %zu of %zu: %zu resident, %zu live blocks",
                     span->block_bytes, p, pages, resident, live[p]);
    }
}

static void expect_all_pages(void)
{
    struct lodei_theap *th = my_theap();
    blockset_sort(&set);
    for (struct lodei_list *l = th->spans.next; l != &th->spans; l = l->next)
        expect_pages(lode_container_of(l, struct lodei_span, all));
}

static LODE_NO_ASAN int page_is_zero(const char *page)
{
    const volatile char *at = page;
    size_t n = 0;
    while (n < lodei_page_bytes && at[n] == 0)
        n++;
    return n == lodei_page_bytes;
}

/* Every block is known for what it is, wherever it waits. */
static void expect_classified(void)
{
    struct lodei_span *span;
    for (size_t i = 0; i < freed_count; i++)
        cr_assert_eq(lodei_classify(freed[i].at, &span), LODEI_FOUND_FREE,
                     "a freed block of %zu bytes passes for something else", freed[i].bytes);
    for (size_t i = 0; i < set.count; i++) {
        struct blockset_entry *e = &set.all[i];
        cr_assert_eq(lodei_classify(e->at, &span), LODEI_FOUND_BLOCK);
        cr_assert_eq(span->block_bytes, e->usable);
        cr_assert_eq(lodei_classify(e->at + 8, &span), LODEI_FOUND_MISALIGNED);
        cr_assert(e->usable == 16 || lodei_classify(e->at + 16, &span) == LODEI_FOUND_INTERIOR);
    }
}

/* Looking at dormant blocks maps the kernel's zero page under them, which counts as resident. */
static void unlook(void)
{
    struct lodei_theap *th = my_theap();
    for (struct lodei_list *l = th->spans.next; l != &th->spans; l = l->next) {
        struct lodei_span *span = lode_container_of(l, struct lodei_span, all);
        for (size_t p = 0; p < span->slices * LODEI_SLICE_BYTES / lodei_page_bytes; p++) {
            size_t in_slice = LODEI_SLICE_BYTES / lodei_page_bytes;
            char *at = lodei_span_start(span) + p * lodei_page_bytes;
            if ((*lodei_span_purged(span, p / in_slice) >> (p % in_slice) & 1) == 0)
                continue;
            cr_assert(page_is_zero(at));
            cr_assert_eq(lodei_vm_purge(at, lodei_page_bytes), 0);
        }
    }
}

static void purge_rounds(size_t bytes, size_t blocks)
{
    if (bytes > LODEI_MEDIUM_MAX)
        return;
    for (int round = 0; round < 4; round++) {
        while (set.count < blocks)
            alloc_one(bytes);
        cr_assert_eq(blockset_broken(&set), 0);
        for (int part = 0; part < 3; part++) { /* later parts find pages purged already */
            free_some(55);
            purge_all();
            expect_all_pages();
            expect_classified();
            unlook();
            cr_assert_eq(blockset_broken(&set), 0);
            cr_assert_eq(heaplook_unnamed_bytes(), 0);
            cr_assert_eq(heaplook_stats(NULL).live_blocks, set.count);
        }
    }
    free_some(100);
    purge_all();
    cr_assert(lodei_list_empty(&my_theap()->spans), "an empty span goes home");
}

Test(span, purge_exactly_small)
{
    static const size_t sizes[] = {16, 48, 112, 128, 320, 528, 704, 1024};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        purge_rounds(sizes[i], 3 * LODEI_SLICE_BYTES / sizes[i] + 7);
}

Test(span, purge_exactly_around_a_page)
{
    static const size_t sizes[] = {1152, 1792, 2048, 3072, 3584, 4096, 4608, 5120, 6144, 8192};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        purge_rounds(sizes[i], 4 * LODEI_SLICE_BYTES / sizes[i] + 5);
}

Test(span, purge_exactly_medium)
{
    static const size_t sizes[] = {9216, 13312, 20480, 36864, 65536, 106496, 180224, 262144};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        purge_rounds(sizes[i], 40 + (1 << 20) / sizes[i]);
}

/* All classes in one theap. */
Test(span, purge_exactly_mixed)
{
    for (int round = 0; round < 6; round++) {
        for (int i = 0; i < 3000; i++)
            alloc_one(blockset_size(&set, 30000));
        free_some(70);
        purge_all();
        expect_all_pages();
        expect_classified();
        unlook();
        cr_assert_eq(blockset_broken(&set), 0);
    }
}

/* Blocks that wake have a zero page under them, not the words of their last life. */
Test(span, dormant_blocks_wake)
{
    for (int i = 0; i < 64; i++)
        alloc_one(1024);
    char *keep = (char *)blockset_remove(&set, 0);
    while (set.count > 0)
        lode_free(blockset_remove(&set, 0));
    cr_assert_gt(purge_all(), 0);
    struct lodei_span *span = lodei_span_of(lodei_slice_of(keep));
    cr_assert_geq(span->dormant, 56);
    cr_assert_eq(span->used, 1);
    for (int i = 0; i < 63; i++)
        alloc_one(1024);
    cr_assert_eq(span->dormant, 0);
    for (int i = 0; i < 63; i++)
        cr_assert_eq(lodei_span_of(lodei_slice_of(set.all[i].at)), span, "purged room is reused");
    cr_assert_eq(blockset_broken(&set), 0);
    lode_free(keep);
}

/* Only spans that rested long enough are looked at, and only as long as the budget lasts. */
Test(span, age_and_budget)
{
    int left;
    for (int i = 0; i < 500; i++)
        alloc_one(4096);
    free_some(50);
    lodei_theap_flush(my_theap());
    cr_assert_eq(lodei_theap_purge(my_theap(), 60000, UINT64_MAX / 2, &left), 0);
    cr_assert_eq(left, 1);
    size_t some = lodei_theap_purge(my_theap(), 0, 0, &left);
    cr_assert_gt(some, 0);
    cr_assert_leq(some, LODEI_SLICE_BYTES, "a spent budget ends the step after one span");
    cr_assert_eq(left, 1);
    cr_assert_gt(lodei_theap_purge(my_theap(), 0, UINT64_MAX / 2, &left), 0);
    cr_assert_eq(left, 0);
    expect_all_pages();
}

/* Blocks are carved in address order and a page at a time: what nobody asked for is not touched. */
Test(span, carving_touches_no_more_than_asked)
{
    for (int i = 0; i < 10; i++)
        alloc_one(1024);
    blockset_sort(&set);
    char *first = (char *)set.all[0].at;
    for (int i = 0; i < 10; i++)
        cr_assert_eq((char *)set.all[i].at, first + i * 1024);
    cr_assert_leq(lodei_vm_resident(first, LODEI_SLICE_BYTES), 3 * lodei_page_bytes);
}

/* A block is where its class says, in every class. */
Test(span, layout_of_every_class)
{
    for (unsigned c = 0; c < LODEI_CLASS_COUNT; c++) {
        const struct lodei_class *k = &lodei_classes[c];
        for (int i = 0; i < 9; i++)
            alloc_one(k->block_bytes);
        for (size_t i = 0; i < set.count; i++) {
            struct lodei_span *span = lodei_span_of(lodei_slice_of(set.all[i].at));
            cr_assert_eq(span->class, c);
            cr_assert_eq((size_t)((char *)set.all[i].at - lodei_span_start(span)) % k->block_bytes,
                         0);
            char *end = (char *)set.all[i].at + k->block_bytes;
            cr_assert_leq(end, lodei_span_start(span) + span->slices * LODEI_SLICE_BYTES);
            cr_assert_eq(lodei_span_of(lodei_slice_of(end - 1)), span);
        }
        free_some(100);
    }
}
