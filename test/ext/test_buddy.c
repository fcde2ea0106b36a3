/* SPDX-License-Identifier: MIT */
/* ext/buddy.c and ext/bittree.h: rounding, alignment, joining, efficiency, every documented errno.
 * fuzz_buddy.c has the model; what all allocators have in common is in test_conformance.c. */
#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

#include "ext/bittree.h"
#include "failing_heap.h"
#include "lode/buddy.h"

static struct lode_buddy *made(size_t bytes, size_t min_bytes)
{
    struct lode_buddy *buddy;
    struct lode_buddy_opts o = LODE_BUDDY_OPTS_INIT;
    o.bytes = bytes;
    o.min_bytes = min_bytes;
    cr_assert_eq(lode_buddy_create(&o, &buddy), 0);
    return buddy;
}

static struct lode_allocator_stats stats_of(struct lode_buddy *buddy)
{
    struct lode_allocator_stats s;
    lode_buddy_stats(buddy, &s);
    return s;
}

Test(buddy, bad_options_are_refused)
{
    struct lode_buddy *buddy = NULL;
    struct lode_buddy_opts o = LODE_BUDDY_OPTS_INIT;
    static char memory[100];
    cr_assert_eq(lode_buddy_create(NULL, &buddy), -EINVAL);
    cr_assert_eq(lode_buddy_create(&o, &buddy), -EINVAL);
    o.bytes = 63;
    cr_assert_eq(lode_buddy_create(&o, &buddy), -EINVAL);
    o.bytes = 4096;
    o.min_bytes = 8;
    cr_assert_eq(lode_buddy_create(&o, &buddy), -EINVAL);
    o.min_bytes = 48;
    cr_assert_eq(lode_buddy_create(&o, &buddy), -EINVAL);
    o.min_bytes = 8192;
    cr_assert_eq(lode_buddy_create(&o, &buddy), -EINVAL);
    o.min_bytes = 0;
    o.flags = 1;
    cr_assert_eq(lode_buddy_create(&o, &buddy), -EINVAL);
    o.flags = 0;
    o.tag = 1;
    o.heap = lode_heap_default();
    cr_assert_eq(lode_buddy_create(&o, &buddy), -EINVAL);
    o = (struct lode_buddy_opts)LODE_BUDDY_OPTS_INIT;
    o.bytes = SIZE_MAX;
    cr_assert_eq(lode_buddy_create(&o, &buddy), -EINVAL);
    o.bytes = 64;
    o.memory = memory + 1;
    cr_assert_eq(lode_buddy_create(&o, &buddy), -EINVAL, "no whole block in there");
    o.memory = NULL;
    for (long after = 0; after < 4; after++) {
        failing_heap_after = after;
        cr_assert_eq(lode_buddy_create(&o, &buddy), -ENOMEM);
    }
    failing_heap_after = -1;
    struct {
        struct lode_buddy_opts known;
        uint64_t later;
    } newer = {.known = LODE_BUDDY_OPTS_INIT, .later = 1};
    newer.known.size = sizeof(newer);
    newer.known.bytes = 4096;
    cr_assert_eq(lode_buddy_create(&newer.known, &buddy), -E2BIG);
    cr_assert_null(buddy);
    lode_buddy_destroy(NULL);
}

Test(buddy, blocks_are_aligned_to_their_size)
{
    struct lode_buddy *buddy = made(4 << 20, 64);
    for (size_t bytes = 1; bytes <= 1 << 20; bytes = bytes * 2 + 1) {
        char *p = lode_buddy_alloc(buddy, bytes, 1);
        size_t whole = lode_buddy_block_bytes(buddy, p);
        cr_assert_geq(whole, bytes);
        cr_assert_geq(whole, 64);
        cr_assert(whole == 64 || whole < 2 * bytes);
        cr_assert_eq((uintptr_t)p % whole, 0);
        memset(p, 1, bytes);
    }
    cr_assert_eq((uintptr_t)lode_buddy_alloc(buddy, 1, 65536) % 65536, 0);
    cr_assert_eq(lode_buddy_block_bytes(buddy, &buddy), 0);
    lode_buddy_destroy(buddy);
}

Test(buddy, all_of_it_comes_back_whole)
{
    struct lode_buddy *buddy = made(1 << 20, 64);
    static void *blocks[(1 << 14) + 1];
    for (int round = 0; round < 3; round++) {
        size_t count = 0;
        while ((blocks[count] = lode_buddy_alloc(buddy, 64, 0)) != NULL)
            count++;
        cr_assert_eq(count, 1 << 14);
        cr_assert_eq(stats_of(buddy).free_bytes, 0);
        cr_assert_eq(stats_of(buddy).largest_free_bytes, 0);
        for (size_t i = 0; i < count; i++)
            cr_assert_eq(lode_buddy_free(buddy, blocks[(i * 7919) % count]), 0);
        cr_assert_eq(stats_of(buddy).largest_free_bytes, 1 << 20);
        void *whole = lode_buddy_alloc(buddy, 1 << 20, 0);
        cr_assert_not_null(whole);
        cr_assert_eq(lode_buddy_free(buddy, whole), 0);
    }
    lode_buddy_destroy(buddy);
}

Test(buddy, what_waits_is_never_in_the_way)
{
    struct lode_buddy *buddy = made(1 << 16, 64);
    void *a = lode_buddy_alloc(buddy, 64, 0);
    cr_assert_eq(lode_buddy_free(buddy, a), 0);
    cr_assert_eq(lode_buddy_free(buddy, a), -EINVAL);
    cr_assert_eq(lode_buddy_alloc(buddy, 64, 0), a, "had again while it waits");
    cr_assert_eq(lode_buddy_free(buddy, a), 0);
    cr_assert_not_null(lode_buddy_alloc(buddy, 1 << 16, 0), "joined for a larger one");
    lode_buddy_destroy(buddy);
}

Test(buddy, bad_frees_change_nothing)
{
    struct lode_buddy *buddy = made(1 << 16, 64);
    char *a = lode_buddy_alloc(buddy, 256, 0);
    struct lode_allocator_stats before = stats_of(buddy), after;
    cr_assert_eq(lode_buddy_free(buddy, a + 64), -EINVAL);
    cr_assert_eq(lode_buddy_free(buddy, a + 1), -EINVAL);
    cr_assert_eq(lode_buddy_free(buddy, a + 256), -EINVAL);
    cr_assert_eq(lode_buddy_free(buddy, a - 64), -EINVAL);
    cr_assert_eq(lode_buddy_free(buddy, a + (1 << 16)), -EINVAL);
    cr_assert_eq(lode_buddy_free(buddy, &before), -EINVAL);
    cr_assert_eq(lode_buddy_extend(buddy, a + 64, 64, 128), -EINVAL);
    cr_assert_eq(lode_buddy_free(buddy, NULL), 0);
    after = stats_of(buddy);
    cr_assert_eq(memcmp(&before, &after, sizeof(after)), 0);
    cr_assert_eq(lode_buddy_free(buddy, a), 0);
    before = stats_of(buddy);
    cr_assert_eq(lode_buddy_free(buddy, a), -EINVAL);
    after = stats_of(buddy);
    cr_assert_eq(memcmp(&before, &after, sizeof(after)), 0);
    lode_buddy_destroy(buddy);
}

Test(buddy, a_block_grows_over_free_buddies)
{
    struct lode_buddy *buddy = made(1 << 16, 64);
    char *a = lode_buddy_alloc(buddy, 64, 0), *b = lode_buddy_alloc(buddy, 64, 0);
    cr_assert_eq(lode_buddy_extend(buddy, a, 64, 128), -ENOMEM, "its buddy is in use");
    cr_assert_eq(lode_buddy_extend(buddy, b, 64, 128), -ENOMEM, "the upper half");
    cr_assert_eq(lode_buddy_free(buddy, b), 0);
    cr_assert_eq(lode_buddy_extend(buddy, a, 64, 5000), 0);
    cr_assert_eq(lode_buddy_block_bytes(buddy, a), 8192);
    cr_assert_eq(lode_buddy_extend(buddy, a, 5000, 1 << 17), -ENOMEM);
    cr_assert_eq(lode_buddy_extend(buddy, a, 5000, SIZE_MAX), -ENOMEM);
    cr_assert_eq(lode_buddy_extend(buddy, a, 5000, 0), 0);
    cr_assert_eq(lode_buddy_block_bytes(buddy, a), 64);
    cr_assert_eq(stats_of(buddy).largest_free_bytes, 1 << 15);
    cr_assert_eq(lode_buddy_free(buddy, a), 0);
    lode_buddy_destroy(buddy);
}

Test(buddy, is_75_to_90_percent_efficient)
{
    /* Requested against handed out, over sizes of all kinds; metadata beside it. */
    struct lode_buddy *buddy = made(16 << 20, 64);
    uint32_t seed = 5;
    size_t asked = 0;
    for (;;) {
        seed = seed * 1664525 + 1013904223;
        size_t bytes = 64 + (seed >> 12) % 16000;
        if (lode_buddy_alloc(buddy, bytes, 0) == NULL)
            break;
        asked += bytes;
    }
    struct lode_allocator_stats s = stats_of(buddy);
    double inside = (double)asked / (double)s.used_bytes;
    cr_assert(inside >= 0.72 && inside <= 0.90, "%f of what is handed out", inside);
    cr_assert_geq((double)s.used_bytes, 0.97 * (16 << 20));
    cr_assert_leq((double)s.metadata_bytes, 0.0205 * (16 << 20));
    lode_buddy_destroy(buddy);
    /* Sizes a little below a power of two: the case it is made for. */
    buddy = made(16 << 20, 64);
    asked = 0;
    for (size_t order = 6; lode_buddy_alloc(buddy, ((size_t)1 << order) * 9 / 10, 0) != NULL;) {
        asked += ((size_t)1 << order) * 9 / 10;
        order = order < 14 ? order + 1 : 6;
    }
    inside = (double)asked / (double)stats_of(buddy).used_bytes;
    cr_assert_geq(inside, 0.89);
    lode_buddy_destroy(buddy);
}

Test(buddy, memory_of_any_size_and_place_is_used_to_the_last_block)
{
    static char memory[20000];
    struct lode_buddy_opts o = LODE_BUDDY_OPTS_INIT;
    o.min_bytes = 16;
    for (size_t offset = 0; offset < 300; offset += 7)
        for (size_t bytes = 32; bytes < sizeof(memory) - 300; bytes = bytes * 2 + 13) {
            struct lode_buddy *buddy;
            size_t count = 0;
            o.memory = memory + offset;
            o.bytes = bytes;
            cr_assert_eq(lode_buddy_create(&o, &buddy), 0);
            char *p;
            while ((p = lode_buddy_alloc(buddy, 16, 0)) != NULL) {
                cr_assert(p >= memory + offset && p + 16 <= memory + offset + bytes);
                memset(p, 1, 16);
                count++;
            }
            cr_assert_geq(count, bytes / 16 - 1);
            lode_buddy_destroy(buddy);
        }
    memset(memory, 0, sizeof(memory));
}

Test(buddy, the_set_below_it_finds_its_lowest)
{
    static uint64_t storage[8192];
    static const size_t counts[] = {1, 63, 64, 65, 4096, 4097, 300000};
    for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
        struct lodei_bittree t;
        memset(storage, 0, sizeof(storage));
        cr_assert_leq(lodei_bittree_words(counts[c]), 8192);
        cr_assert_eq(lodei_bittree_init(&t, storage, counts[c]),
                     storage + lodei_bittree_words(counts[c]));
        size_t step = counts[c] / 50 + 1, added = 0;
        for (size_t i = counts[c]; i > 0; i = i > step ? i - step : 0, added++) {
            cr_assert_eq(lodei_bittree_add(&t, i - 1), added == 0);
            cr_assert_eq(lodei_bittree_first(&t), i - 1);
            cr_assert(lodei_bittree_has(&t, i - 1));
        }
        while (added-- > 0) {
            size_t i = lodei_bittree_first(&t);
            cr_assert_eq(lodei_bittree_remove(&t, i), added == 0);
            cr_assert_not(lodei_bittree_has(&t, i));
        }
    }
}
