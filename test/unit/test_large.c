/* SPDX-License-Identifier: MIT */
/* heap/large.c: large blocks, and how they grow and shrink. */
#include <criterion/criterion.h>

#include <string.h>

#include "base/bits.h"
#include "base/conf.h"
#include "blockset.h"
#include "heap/alloc.h"
#include "heap/heaps.h"
#include "heap/slices.h"
#include "heap/span.h"
#include "heaplook.h"
#include "os/vm.h"

#define MIB ((size_t)1 << 20)

static struct blockset set;

static void start(void)
{
    blockset_init(&set, 41);
    lodei_conf.purge = LODEI_PURGE_OFF;
}

TestSuite(large, .init = start);

static char *alloc_filled(size_t bytes)
{
    void *p = lode_malloc(bytes);
    cr_assert_not_null(p);
    blockset_add(&set, p, bytes)->usable = lode_usable_size(p);
    return p;
}

static size_t index_of(const void *p)
{
    for (size_t i = 0; i < set.count; i++)
        if (set.all[i].at == p)
            return i;
    cr_assert_fail("no such block");
    return 0;
}

/* realloc to `bytes`: what both sizes hold must be kept. Refilled afterwards. */
static char *resize(char *p, size_t bytes)
{
    size_t i = index_of(p), old = set.all[i].bytes;
    char *to = lode_realloc(p, bytes);
    cr_assert_not_null(to);
    cr_assert(blockset_stands_at(&set, i, to, bytes), "contents lost from %zu to %zu bytes", old,
              bytes);
    set.all[i].at = (unsigned char *)to;
    set.all[i].bytes = bytes;
    set.all[i].usable = lode_usable_size(to);
    blockset_fill(&set, i);
    return to;
}

/* Take the slice behind the block: it cannot grow in place. */
static void wall_behind(const char *p)
{
    size_t end = lodei_slice_of(p) +
                 lodei_round_up(lode_usable_size(p), LODEI_SLICE_BYTES) / LODEI_SLICE_BYTES;
    struct lodei_taken taken;
    lodei_slices_extend(LODE_KIND_SYSTEM, end, 1, &taken);
}

static void release(char *p)
{
    size_t i = index_of(p);
    cr_assert(blockset_intact(&set, i));
    lode_free(blockset_remove(&set, i));
}

Test(large, usable_is_whole_pages)
{
    static const size_t sizes[] = {262145, 300000, MIB, MIB + 1, 5 * MIB - 1, 70 * MIB};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char *p = alloc_filled(sizes[i]);
        cr_assert_eq(lode_usable_size(p), lodei_round_up(sizes[i], lodei_page_bytes));
        cr_assert_eq(lode_usable_size(p), lode_good_size(sizes[i]));
        cr_assert_eq((uintptr_t)p % LODEI_SLICE_BYTES, 0);
        memset(p, 3, lode_usable_size(p));
        blockset_fill(&set, index_of(p));
        cr_assert_eq(heaplook_stats(NULL).large_blocks, set.count);
    }
    while (set.count > 0)
        release((char *)set.all[0].at);
    cr_assert_eq(heaplook_stats(NULL).large_blocks, 0);
    cr_assert_eq(heaplook_stats(NULL).large_bytes, 0);
}

Test(large, alignment)
{
    for (size_t align = 16; align <= 512 * MIB; align *= 2) {
        char *p = lode_aligned_alloc(align, 300000);
        cr_assert_not_null(p);
        cr_assert_eq((uintptr_t)p % align, 0);
        cr_assert_geq(lode_usable_size(p), 300000);
        blockset_add(&set, p, 300000)->usable = lode_usable_size(p);
        char *small = lode_aligned_alloc(align, 1);
        cr_assert_eq((uintptr_t)small % align, 0);
        lode_free(small);
    }
    while (set.count > 0)
        release((char *)set.all[0].at);
    cr_assert_eq(heaplook_unnamed_bytes(), 0);
}

Test(large, grows_in_its_last_slice)
{
    char *p = alloc_filled(5 * LODEI_SLICE_BYTES + 1);
    cr_assert_eq(resize(p, 5 * LODEI_SLICE_BYTES + 9000), p);
    cr_assert_eq(resize(p, 6 * LODEI_SLICE_BYTES), p);
    cr_assert_eq(lode_usable_size(p), 6 * LODEI_SLICE_BYTES);
    release(p);
}

Test(large, grows_into_free_slices)
{
    char *p = alloc_filled(MIB);
    for (size_t bytes = 2 * MIB; bytes <= 100 * MIB; bytes += 7 * MIB)
        cr_assert_eq(resize(p, bytes), p, "nobody stands behind it");
    release(p);
}

/* Blocked from behind: the pages move, the old addresses read as zero and can be handed out again.
 */
Test(large, grows_by_moving_pages)
{
    char *p = alloc_filled(4 * MIB);
    size_t slice = lodei_slice_of(p), slices = 4 * MIB / LODEI_SLICE_BYTES;
    wall_behind(p);
    size_t before = lodei_state.moved_edges;
    char *to = resize(p, 5 * MIB);
    cr_assert_neq(to, p);
    cr_assert_gt(lodei_state.moved_edges, before, "its pages were moved, not copied");
#if !LODE_ASAN /* which has the old address poisoned */
    cr_assert(blockset_is_zero(p, slices * LODEI_SLICE_BYTES));
#endif
    cr_assert_eq(lodei_slices_state(slice), 2);
    struct lodei_taken taken;
    cr_assert_eq(lodei_slices_extend(LODE_KIND_SYSTEM, slice, slices, &taken), 1, "all is free");
    cr_assert_eq(taken.dirty, 0);
    lodei_slices_free_moved(slice, slices);
    release(to);
    lodei_slices_free(slice + slices, 1);
    lode_purge();
    cr_assert_eq(lodei_state.moved_edges, before, "a purge heals the mappings");
    cr_assert_eq(heaplook_unnamed_bytes(), 0);
}

/* Grown by moving, then in place, then by moving: the block stands on several mappings. */
Test(large, moves_again_after_growing_in_place)
{
    char *p = alloc_filled(4 * MIB);
    for (int round = 0; round < 12; round++) {
        size_t bytes = set.all[0].bytes;
        wall_behind(p);
        p = resize(p, bytes + bytes / 8);
        cr_assert_eq(resize(p, bytes + bytes / 8 + 3 * LODEI_SLICE_BYTES), p);
        cr_assert_eq(blockset_broken(&set), 0);
    }
    cr_assert_gt(lodei_state.moved_edges, 0);
    release(p);
    lode_purge();
    cr_assert_eq(lodei_state.moved_edges, 0);
}

/* What a growing block lacks comes from the pages of dirty slices, in whatever pieces. */
Test(large, grows_by_pages_of_others)
{
    char *p = alloc_filled(4 * MIB), *pieces[6];
    for (int i = 0; i < 6; i++) {
        pieces[i] = lode_malloc(MIB);
        memset(pieces[i], 0x5a, MIB);
        blockset_add(&set, lode_malloc(100000), 100000)->usable = 100000;
    }
    for (int i = 0; i < 6; i++)
        lode_free(pieces[i]);
    size_t dirty = lodei_state.dirty_slices;
    cr_assert_geq(dirty, 6 * MIB / LODEI_SLICE_BYTES);
    char *to = resize(p, 9 * MIB);
    cr_assert_neq(to, p);
    cr_assert_leq(lodei_state.dirty_slices, dirty - 5 * MIB / LODEI_SLICE_BYTES);
    cr_assert_eq(heaplook_unnamed_bytes(), 0);
    to = resize(to, 10 * MIB); /* in place now */
    cr_assert_leq(lodei_state.dirty_slices, dirty - 6 * MIB / LODEI_SLICE_BYTES);
    while (set.count > 0)
        release((char *)set.all[0].at);
    lode_purge();
    cr_assert_eq(lodei_state.moved_edges, 0, "a purge heals the mappings");
    cr_assert_eq(heaplook_unnamed_bytes(), 0);
}

/* A zeroed block over clean slices and dirty ones: only the dirty ones are written. */
Test(large, calloc_leaves_clean_slices_alone)
{
    char *p = alloc_filled(32 * MIB);
    release(p);
    lode_purge();
    char *first = lode_aligned_alloc(2 * MIB, MIB);
    memset(first, 0x44, MIB);
    lode_free(first);
    char *zeroed = lode_calloc(1, 20 * MIB);
    cr_assert_eq(zeroed, first);
    cr_assert_leq(lodei_vm_resident(zeroed, 20 * MIB), 2 * MIB);
    cr_assert(blockset_is_zero(zeroed, 20 * MIB));
    lode_free(zeroed);
}

/* From 32 MiB on nothing is written: what the program does not touch costs nothing. */
Test(large, calloc_of_much_writes_nothing)
{
    size_t bytes = 40 * MIB - 100;
    char *p = alloc_filled(bytes);
    lode_free(p);
    char *zeroed = lode_calloc(1, bytes);
    cr_assert_eq(zeroed, p);
    cr_assert_leq(lodei_vm_resident(zeroed, bytes), 64 * 1024);
    cr_assert(blockset_is_zero(zeroed, bytes));
    lode_free(zeroed);
    cr_assert_eq(heaplook_unnamed_bytes(), 0);
}

Test(large, shrinks_in_place)
{
    char *p = alloc_filled(20 * MIB);
    for (size_t bytes = 15 * MIB; bytes > LODEI_MEDIUM_MAX; bytes = bytes * 3 / 4) {
        cr_assert_eq(resize(p, bytes), p);
        cr_assert_eq(lode_usable_size(p), lodei_round_up(bytes, lodei_page_bytes));
        char *behind = p + lodei_round_up(bytes, LODEI_SLICE_BYTES);
        cr_assert_eq(lodei_span_of(lodei_slice_of(behind)), NULL, "the tail belongs to nobody");
        cr_assert_eq(heaplook_unnamed_bytes(), 0);
    }
    char *small = resize(p, 1000); /* too small for slices of its own */
    cr_assert_neq(small, p);
    cr_assert_eq(lode_usable_size(small), 1024);
    cr_assert_eq(heaplook_stats(NULL).large_blocks, 0);
    release(small);
}

Test(large, calloc_after_every_way_of_coming_by_dirt)
{
    for (int round = 0; round < 60; round++) {
        size_t bytes = LODEI_MEDIUM_MAX + 1 + blockset_below(&set, 3 * MIB);
        char *p = lode_calloc(1, bytes);
        cr_assert(blockset_is_zero(p, bytes), "%zu bytes are not zero", bytes);
        memset(p, 0xee, lode_usable_size(p));
        char *wall = round % 3 == 0 ? lode_malloc(MIB) : NULL;
        p = lode_realloc(p, bytes + blockset_below(&set, 2 * MIB));
        memset(p, 0xee, lode_usable_size(p));
        p = lode_realloc(p, LODEI_MEDIUM_MAX + 1 + blockset_below(&set, bytes));
        memset(p, 0xee, lode_usable_size(p));
        if (round % 7 == 0)
            lode_purge();
        lode_free(p);
        lode_free(wall);
    }
}

Test(large, random_against_model)
{
    for (int step = 0; step < 1500; step++) {
        size_t what = blockset_below(&set, 10);
        size_t bytes = LODEI_MEDIUM_MAX + 1 + blockset_below(&set, 6 * MIB);
        if (set.count == 0 || (what < 4 && set.count < 24)) {
            char *p = lode_malloc(bytes);
            cr_assert_not(blockset_overlaps(&set, p, lode_usable_size(p)));
            blockset_add(&set, p, bytes)->usable = lode_usable_size(p);
        } else if (what < 6) {
            release((char *)set.all[blockset_below(&set, set.count)].at);
        } else if (what < 9) {
            resize((char *)set.all[blockset_below(&set, set.count)].at, bytes);
        } else {
            lode_purge();
        }
        if (step % 32 == 0) {
            cr_assert_eq(blockset_broken(&set), 0);
            cr_assert_eq(heaplook_unnamed_bytes(), 0);
            cr_assert_eq(heaplook_stats(NULL).large_bytes, blockset_usable(&set));
        }
    }
}

Test(large, too_large)
{
    static const size_t sizes[] = {PTRDIFF_MAX,         (size_t)PTRDIFF_MAX + 1, SIZE_MAX,
                                   PTRDIFF_MAX - 65536, (size_t)1 << 62,         (size_t)1 << 50};
    char *p = alloc_filled(MIB);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        cr_assert_null(lode_malloc(sizes[i]));
        cr_assert_null(lode_calloc(1, sizes[i]));
        cr_assert_null(lode_aligned_alloc(4096, sizes[i]));
        cr_assert_null(lode_realloc(p, sizes[i]));
        cr_assert_null(lode_heap_alloc(lode_heap_default(), sizes[i]));
    }
    cr_assert_null(lode_aligned_alloc((size_t)1 << 63, 1));
    cr_assert_eq(blockset_broken(&set), 0, "a failed realloc leaves the block alone");
    cr_assert_eq(heaplook_stats(NULL).live_blocks, 1);
}
