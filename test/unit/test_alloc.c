/* SPDX-License-Identifier: MIT */
/* heap/alloc.c: lists that adapt, and blocks freed by threads that do not own them. */
#include <criterion/criterion.h>

#include <string.h>

#include "base/conf.h"
#include "blockset.h"
#include "heap/alloc.h"
#include "heap/heaps.h"
#include "heap/sizeclass.h"
#include "heap/span.h"
#include "heaplook.h"

static struct blockset set;

static void start(void)
{
    blockset_init(&set, 61);
    lodei_conf.purge = LODEI_PURGE_OFF;
}

TestSuite(alloc, .init = start);
TestSuite(remote, .init = start);

static struct lodei_theap *my_theap(void)
{
    return lodei_theap_get(lode_heap_default());
}

static void alloc_some(size_t count, size_t bytes)
{
    for (size_t i = 0; i < count; i++) {
        void *p = lode_malloc(bytes);
        cr_assert_not_null(p);
        blockset_add(&set, p, bytes)->usable = lode_usable_size(p);
    }
}

struct amount {
    size_t count, bytes;
};

static void alloc_job(void *arg)
{
    const struct amount *a = arg;
    alloc_some(a->count, a->bytes);
}

static void free_job(void *arg)
{
    for (size_t n = *(size_t *)arg; n > 0 && set.count > 0; n--) {
        cr_assert(blockset_intact(&set, set.count - 1));
        lode_free(blockset_remove(&set, set.count - 1));
    }
}

/* As free_job, with 50 ms passed since the thread last looked after itself, at each free. */
static void free_slowly_job(void *arg)
{
    for (size_t n = *(size_t *)arg; n > 0 && set.count > 0; n--) {
        lodei_theap_get(lode_heap_default())->tick_ms = 0;
        lode_free(blockset_remove(&set, set.count - 1));
    }
}

static void expect_live(size_t count)
{
    struct lode_stats s = heaplook_stats(NULL);
    cr_assert_eq(s.live_blocks, count, "%lu live, not %zu", s.live_blocks, count);
    cr_assert_eq(heaplook_unnamed_bytes(), 0);
}

/* A block just freed is the next one handed out. */
Test(alloc, last_in_first_out)
{
    for (size_t bytes = 1; bytes <= LODEI_MEDIUM_MAX; bytes = bytes * 2 + 1) {
        char *keep = lode_malloc(bytes), *p = lode_malloc(bytes);
        lode_free(p);
        cr_assert_eq(lode_malloc(bytes), p);
        lode_free(p);
        lode_free(keep);
    }
}

static LODE_NO_ASAN int32_t length_of(const struct lodei_block *list)
{
    int32_t n = 0;
    for (; list != NULL && list != lodei_state.nil; list = list->next)
        n++;
    return n;
}

/* What one thread keeps on its lists is bounded. */
Test(alloc, lists_are_bounded)
{
    for (unsigned c = 0; c < LODEI_CLASS_COUNT; c += 3) {
        const struct lodei_class *k = &lodei_classes[c];
        size_t blocks = (4u << 20) / k->block_bytes + 16;
        for (int round = 0; round < 4; round++) {
            alloc_some(blocks, k->block_bytes);
            free_job(&blocks);
            struct lodei_bin *bin = &my_theap()->bins[c];
            int32_t kept = bin->capacity - bin->room + bin->spare_count;
            cr_assert_leq(kept, 2 * k->list_max + 2);
            cr_assert_eq(length_of(bin->head) + length_of(bin->spare), kept,
                         "class %u: counts and lists agree", c);
        }
    }
    expect_live(0);
}

Test(alloc, flush_empties_lists)
{
    alloc_some(5000, 100);
    free_job(&(size_t){5000});
    lodei_theap_flush(my_theap());
    for (unsigned c = 0; c < LODEI_CLASS_COUNT; c++) {
        struct lodei_bin *bin = &my_theap()->bins[c];
        cr_assert_eq(bin->head, lodei_state.nil);
        cr_assert_null(bin->spare);
        cr_assert_eq(bin->room, bin->capacity);
    }
    cr_assert(lodei_list_empty(&my_theap()->spans));
    expect_live(0);
}

Test(alloc, calloc_is_zero_after_dirtying_all_sizes)
{
    for (int round = 0; round < 3; round++) {
        for (size_t bytes = 1; bytes <= 1 << 21; bytes += bytes / 9 + 1) {
            char *p[3];
            for (int i = 0; i < 3; i++) {
                p[i] = lode_calloc(1, bytes);
                cr_assert_not_null(p[i]);
                cr_assert(blockset_is_zero(p[i], bytes), "%zu bytes are not zero", bytes);
                memset(p[i], 0xff, lode_usable_size(p[i]));
            }
            for (int i = 0; i < 3; i++)
                lode_free(p[i]);
        }
        if (round == 1)
            lode_purge();
    }
    expect_live(0);
}

/* Blocks that were carved from slices others had used, and never handed out themselves. */
Test(alloc, calloc_is_zero_on_reused_slices)
{
    static const size_t sizes[] = {16, 300, 4096, 5000, 20000, 200000};
    for (size_t i = 0; i < 6; i++) {
        char *dirt = lode_malloc(8 << 20);
        memset(dirt, 0xff, 8 << 20);
        lode_free(dirt);
        for (int n = 0; n < 50; n++) {
            char *p = lode_calloc(1, sizes[i]);
            cr_assert(blockset_is_zero(p, sizes[i]));
            memset(p, 0xff, sizes[i]);
        }
    }
}

Test(remote, delivered_to_a_sleeping_owner)
{
    struct heaplook_worker owner, other;
    heaplook_worker_start(&owner);
    heaplook_worker_start(&other);
    static const size_t sizes[] = {16, 100, 1000, 4096, 9000, 100000};
    for (size_t i = 0; i < 6; i++) {
        struct amount a = {2000000 / sizes[i] + 10, sizes[i]};
        heaplook_worker_do(&owner, alloc_job, &a);
        expect_live(a.count);
        size_t n = a.count / 2;
        heaplook_worker_do(&other, free_job, &n);
        expect_live(set.count);
        cr_assert_eq(blockset_broken(&set), 0);
        heaplook_worker_do(&other, free_job, &a.count);
        expect_live(0);
    }
    heaplook_worker_end(&other); /* delivers its outboxes */
    lode_purge();
    expect_live(0);
    /* What is on its own lists it keeps: a span a class or so, out of the 34 spans there were. */
    cr_assert_leq(heaplook_stats(NULL).spans, 6);
    heaplook_worker_end(&owner);
    lode_purge();
    cr_assert_eq(lodei_state.used_slices, 0);
}

Test(remote, reused_by_the_owner)
{
    struct heaplook_worker owner;
    struct amount a = {3000, 200};
    heaplook_worker_start(&owner);
    heaplook_worker_do(&owner, alloc_job, &a);
    size_t used = lodei_state.used_slices;
    for (int round = 0; round < 50; round++) {
        heaplook_on_thread(free_job, &a.count);
        expect_live(0);
        heaplook_worker_do(&owner, alloc_job, &a);
        cr_assert_leq(lodei_state.used_slices, used + 2, "delivered blocks serve again");
        cr_assert_eq(blockset_broken(&set), 0);
    }
    heaplook_worker_end(&owner);
}

/* A thread whose tick falls due in the middle of a remote free. */
Test(remote, ticks_between_frees)
{
    struct heaplook_worker owner, other;
    struct amount a = {500, 64};
    size_t one = 1;
    heaplook_worker_start(&owner);
    heaplook_worker_start(&other);
    heaplook_worker_do(&owner, alloc_job, &a);
    heaplook_worker_do(&other, free_job, &one);
    for (int i = 0; i < 400; i++) {
        heaplook_worker_do(&other, i % 3 == 0 ? free_job : free_slowly_job, &one);
        expect_live(set.count);
    }
    cr_assert_eq(blockset_broken(&set), 0);
    heaplook_worker_do(&other, free_slowly_job, &a.count);
    heaplook_worker_end(&other);
    heaplook_worker_end(&owner);
    lode_purge();
    expect_live(0);
    cr_assert_eq(lodei_state.used_slices, 0);
}

/* More owners and classes than there are outboxes. */
Test(remote, many_owners_and_classes)
{
    struct heaplook_worker owners[8];
    for (int i = 0; i < 8; i++) {
        heaplook_worker_start(&owners[i]);
        for (size_t bytes = 16; bytes < 40000; bytes += bytes / 4) {
            struct amount a = {7, bytes};
            heaplook_worker_do(&owners[i], alloc_job, &a);
        }
    }
    while (set.count > 0) { /* in random order */
        size_t i = blockset_below(&set, set.count);
        cr_assert(blockset_intact(&set, i));
        lode_free(blockset_remove(&set, i));
        if (set.count % 8 == 0)
            expect_live(set.count);
    }
    for (int i = 0; i < 8; i++)
        heaplook_worker_end(&owners[i]);
    lode_purge();
    expect_live(0);
    cr_assert_eq(lodei_state.used_slices, 0);
}

/* Blocks of a heap the freeing thread never used. */
Test(remote, heap_new_to_the_thread)
{
    struct lode_heap *heap;
    cr_assert_eq(lode_heap_create(NULL, &heap), 0);
    for (int i = 0; i < 1000; i++)
        blockset_add(&set, lode_heap_alloc(heap, 96), 96)->usable = 96;
    size_t half = 500;
    heaplook_on_thread(free_job, &half);
    cr_assert_eq(heaplook_stats(heap).live_blocks, 500);
    free_job(&half);
    cr_assert_eq(heaplook_stats(heap).live_blocks, 0);
    lode_heap_destroy(heap);
    cr_assert_eq(lodei_state.used_slices, 0);
}
