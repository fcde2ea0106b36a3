/* SPDX-License-Identifier: MIT */
/* ext/freelist.c, freebins.c, freetree.c: fits, joining, stray writes, every documented errno.
 * fuzz_freelist.c has the model; what all allocators have in common is in test_conformance.c. */
#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

#include "ext/poison.h"
#include "failing_heap.h"
#include "lode/freelist.h"

static struct lode_freelist *made(size_t bytes, enum lode_fit fit)
{
    struct lode_freelist *list;
    struct lode_freelist_opts o = LODE_FREELIST_OPTS_INIT;
    o.bytes = bytes;
    o.fit = (uint16_t)fit;
    cr_assert_eq(lode_freelist_create(&o, &list), 0);
    return list;
}

static struct lode_allocator_stats stats_of(const struct lode_freelist *list)
{
    struct lode_allocator_stats s;
    lode_freelist_stats(list, &s);
    return s;
}

Test(freelist, bad_options_are_refused)
{
    struct lode_freelist *list = NULL;
    struct lode_freelist_opts o = LODE_FREELIST_OPTS_INIT;
    cr_assert_eq(lode_freelist_create(NULL, &list), -EINVAL);
    cr_assert_eq(lode_freelist_create(&o, &list), -EINVAL);
    o.bytes = 63;
    cr_assert_eq(lode_freelist_create(&o, &list), -EINVAL);
    o.bytes = (size_t)1 << 35;
    cr_assert_eq(lode_freelist_create(&o, &list), -EINVAL);
    o.bytes = 4096;
    o.fit = 3;
    cr_assert_eq(lode_freelist_create(&o, &list), -EINVAL);
    o.fit = 0;
    o.heap = lode_heap_default();
    o.tag = 1;
    cr_assert_eq(lode_freelist_create(&o, &list), -EINVAL);
    o = (struct lode_freelist_opts)LODE_FREELIST_OPTS_INIT;
    o.bytes = 4096;
    for (long after = 0; after < 4; after++) {
        failing_heap_after = after;
        cr_assert_eq(lode_freelist_create(&o, &list), -ENOMEM);
    }
    failing_heap_after = -1;
    struct {
        struct lode_freelist_opts known;
        uint64_t later;
    } newer = {.known = LODE_FREELIST_OPTS_INIT, .later = 1};
    newer.known.size = sizeof(newer);
    newer.known.bytes = 4096;
    cr_assert_eq(lode_freelist_create(&newer.known, &list), -E2BIG);
    cr_assert_null(list);
    lode_freelist_destroy(NULL);
}

Test(freelist, all_of_it_is_one_piece_again)
{
    for (int fit = LODE_FIT_GOOD; fit <= LODE_FIT_FIRST; fit++) {
        struct lode_freelist *list = made(1 << 20, (enum lode_fit)fit);
        static void *blocks[12000];
        size_t whole = stats_of(list).largest_free_bytes, count = 0;
        cr_assert_geq(whole, (1 << 20) - 64);
        while ((blocks[count] = lode_freelist_alloc(list, 88, 0)) != NULL)
            count++;
        cr_assert_geq(count, (1 << 20) / 96 - 1);
        for (size_t i = 0; i < count; i++)
            cr_assert_eq(lode_freelist_free(list, blocks[i * 7919 % count]), 0);
        cr_assert_eq(stats_of(list).largest_free_bytes, whole);
        cr_assert_eq(stats_of(list).used_bytes, 0);
        cr_assert_not_null(lode_freelist_alloc(list, whole, 16));
        cr_assert_null(lode_freelist_alloc(list, 1, 1));
        lode_freelist_destroy(list);
    }
}

/* Holes of 3000, 1000, 2000 bytes in this order, each between live blocks. */
static void make_holes(struct lode_freelist *list, void *holes[3])
{
    static const size_t sizes[] = {3000, 1000, 2000};
    for (int i = 0; i < 3; i++) {
        holes[i] = lode_freelist_alloc(list, sizes[i], 0);
        cr_assert_not_null(lode_freelist_alloc(list, 16, 0));
    }
    while (lode_freelist_alloc(list, 5000, 0) != NULL)
        ;
    while (lode_freelist_alloc(list, 100, 0) != NULL)
        ;
    for (int i = 0; i < 3; i++)
        cr_assert_eq(lode_freelist_free(list, holes[i]), 0);
}

Test(freelist, each_fit_takes_its_piece)
{
    void *holes[3];
    struct lode_freelist *list = made(1 << 20, LODE_FIT_FIRST);
    make_holes(list, holes);
    cr_assert_eq(lode_freelist_alloc(list, 900, 0), holes[0]);
    lode_freelist_destroy(list);
    list = made(1 << 20, LODE_FIT_BEST);
    make_holes(list, holes);
    cr_assert_eq(lode_freelist_alloc(list, 900, 0), holes[1]);
    cr_assert_eq(lode_freelist_alloc(list, 1900, 0), holes[2]);
    lode_freelist_destroy(list);
    list = made(1 << 20, LODE_FIT_GOOD);
    make_holes(list, holes);
    cr_assert_eq(lode_freelist_alloc(list, 1000, 0), holes[1], "the hole it came from");
    cr_assert_eq(lode_freelist_alloc(list, 3000, 0), holes[0]);
    lode_freelist_destroy(list);
}

Test(freelist, a_thousand_holes_of_one_size_are_no_list)
{
    /* First fit over 30,000 of them: a list would take minutes. */
    struct lode_freelist *list = made(16 << 20, LODE_FIT_FIRST);
    static void *blocks[60000];
    for (int i = 0; i < 60000; i++)
        blocks[i] = lode_freelist_alloc(list, 200, 0);
    for (int i = 0; i < 60000; i += 2)
        cr_assert_eq(lode_freelist_free(list, blocks[i]), 0);
    for (int i = 0; i < 60000; i += 2)
        cr_assert_eq(lode_freelist_alloc(list, 200, 0), blocks[i]);
    lode_freelist_destroy(list);
}

Test(freelist, bad_frees_change_nothing)
{
    struct lode_freelist *list = made(1 << 16, LODE_FIT_GOOD);
    char *a = lode_freelist_alloc(list, 200, 0), *b = lode_freelist_alloc(list, 200, 0);
    struct lode_allocator_stats before = stats_of(list), after;
    cr_assert_eq(lode_freelist_free(list, a + 1), -EINVAL);
    cr_assert_eq(lode_freelist_free(list, a + 16), -EINVAL);
    cr_assert_eq(lode_freelist_free(list, a - 16), -EINVAL);
    cr_assert_eq(lode_freelist_free(list, b + 208), -EINVAL);
    cr_assert_eq(lode_freelist_free(list, a + (1 << 16)), -EINVAL);
    cr_assert_eq(lode_freelist_free(list, &before), -EINVAL);
    cr_assert_eq(lode_freelist_extend(list, a + 16, 10, 20), -EINVAL);
    cr_assert_eq(lode_freelist_block_bytes(list, a + 16), 0);
    after = stats_of(list);
    cr_assert_eq(memcmp(&before, &after, sizeof(after)), 0);
    cr_assert_eq(lode_freelist_free(list, a), 0);
    cr_assert_eq(lode_freelist_free(list, a), -EINVAL);
    cr_assert_eq(lode_freelist_free(list, b), 0);
    cr_assert_eq(lode_freelist_free(list, b), -EINVAL, "its tag is inside a free piece now");
    lode_freelist_destroy(list);
}

static LODE_NO_ASAN void scribble(volatile char *at)
{
    for (int i = 0; i < 8; i++)
        at[i] = (char)0x5a;
}

Test(freelist, a_stray_write_over_a_tag_is_found)
{
    struct lode_freelist *list = made(1 << 16, LODE_FIT_GOOD);
    char *a = lode_freelist_alloc(list, 200, 0), *b = lode_freelist_alloc(list, 200, 0);
    char *c = lode_freelist_alloc(list, 200, 0);
    scribble(b - 8); /* the end of a, one byte too many */
    cr_assert_eq(lode_freelist_free(list, b), -EINVAL);
    cr_assert_eq(lode_freelist_free(list, a), -EINVAL);
    cr_assert_eq(lode_freelist_free(list, c), -EINVAL);
    lode_freelist_reset(list);
    cr_assert_eq(lode_freelist_alloc(list, 200, 0), a);
    lode_freelist_destroy(list);
}

Test(freelist, a_block_grows_and_shrinks_where_it_is)
{
    for (int fit = LODE_FIT_GOOD; fit <= LODE_FIT_FIRST; fit++) {
        struct lode_freelist *list = made(1 << 16, (enum lode_fit)fit);
        char *a = lode_freelist_alloc(list, 200, 0), *b = lode_freelist_alloc(list, 200, 0);
        cr_assert_eq(lode_freelist_extend(list, a, 200, 216), -ENOMEM);
        cr_assert_eq(lode_freelist_extend(list, a, 200, SIZE_MAX), -ENOMEM);
        cr_assert_eq(lode_freelist_extend(list, a, 200, 20), 0);
        cr_assert_eq(lode_freelist_alloc(list, 160, 0) != NULL, 1);
        cr_assert_eq(lode_freelist_extend(list, b, 200, 5000), 0);
        memset(b, 1, 5000);
        cr_assert_eq(lode_freelist_block_bytes(list, b), 5000);
        cr_assert_eq(lode_freelist_extend(list, b, 5000, 0), 0);
        cr_assert_eq(lode_freelist_block_bytes(list, b), 8);
        cr_assert_eq(stats_of(list).blocks, 3);
        lode_freelist_destroy(list);
    }
}

Test(freelist, overhead_is_a_tag_and_a_bit)
{
    struct lode_freelist *list = made(1 << 20, LODE_FIT_GOOD);
    size_t count = 0;
    while (lode_freelist_alloc(list, 120, 0) != NULL)
        count++;
    struct lode_allocator_stats s = stats_of(list);
    cr_assert_eq(s.used_bytes, count * 120);
    cr_assert_geq((double)s.used_bytes, 0.93 * (1 << 20));
    cr_assert_leq(s.metadata_bytes - 8 * (count + 2), (1 << 20) / 128 + 4096);
    lode_freelist_destroy(list);
}
