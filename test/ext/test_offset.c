/* SPDX-License-Identifier: MIT */
/* ext/offset.c: names, limits, every documented errno, waste. fuzz_offset.c has the model. */
#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

#include "failing_heap.h"
#include "lode/offset.h"

static struct lode_offset *made(uint64_t bytes, const struct lode_offset_opts *opts)
{
    struct lode_offset *offset;
    cr_assert_eq(lode_offset_create(bytes, opts, &offset), 0);
    return offset;
}

static struct lode_offset_stats stats_of(const struct lode_offset *offset)
{
    struct lode_offset_stats s;
    lode_offset_stats(offset, &s);
    return s;
}

static lode_range got(struct lode_offset *offset, uint64_t bytes, uint64_t align, uint64_t *ret_at)
{
    lode_range range = 0;
    uint64_t at;
    cr_assert_eq(lode_offset_alloc(offset, bytes, align, ret_at != NULL ? ret_at : &at, &range), 0);
    return range;
}

Test(offset, bad_options_are_refused)
{
    struct lode_offset *offset = NULL;
    struct lode_offset_opts o = LODE_OFFSET_OPTS_INIT;
    o.granule = 48;
    cr_assert_eq(lode_offset_create(100, &o, &offset), -EINVAL);
    o = (struct lode_offset_opts)LODE_OFFSET_OPTS_INIT;
    o.flags = 1;
    cr_assert_eq(lode_offset_create(100, &o, &offset), -EINVAL);
    o = (struct lode_offset_opts)LODE_OFFSET_OPTS_INIT;
    o.initial_ranges = 20;
    o.max_ranges = 10;
    cr_assert_eq(lode_offset_create(100, &o, &offset), -EINVAL);
    o = (struct lode_offset_opts)LODE_OFFSET_OPTS_INIT;
    o.heap = lode_heap_default();
    o.tag = 3;
    cr_assert_eq(lode_offset_create(100, &o, &offset), -EINVAL);
    cr_assert_eq(lode_offset_create((uint64_t)1 << 48, NULL, &offset), -EINVAL);
    struct {
        struct lode_offset_opts known;
        uint64_t later;
    } newer = {.known = LODE_OFFSET_OPTS_INIT, .later = 1};
    newer.known.size = sizeof(newer);
    cr_assert_eq(lode_offset_create(100, &newer.known, &offset), -E2BIG);
    for (long after = 0; after < 3; after++) {
        failing_heap_after = after;
        cr_assert_eq(lode_offset_create(100, NULL, &offset), -ENOMEM);
    }
    failing_heap_after = -1;
    cr_assert_null(offset);
    lode_offset_destroy(NULL);
}

Test(offset, ranges_are_rounded_and_aligned)
{
    struct lode_offset_opts o = LODE_OFFSET_OPTS_INIT;
    o.granule = 256;
    struct lode_offset *offset = made(1000000, &o);
    uint64_t at, bytes;
    cr_assert_eq(stats_of(offset).total_bytes, 999936);
    lode_range a = got(offset, 1, 0, &at);
    cr_assert_eq(at, 0);
    lode_range b = got(offset, 257, 1, &at);
    cr_assert_eq(at, 256);
    cr_assert_eq(lode_offset_find(offset, b, &at, &bytes), 0);
    cr_assert_eq(at, 256);
    cr_assert_eq(bytes, 512);
    (void)got(offset, 100, 65536, &at);
    cr_assert_eq(at, 65536);
    (void)got(offset, 0, 0, &at);
    cr_assert_eq(at, 768, "what was passed over for the alignment is free");
    cr_assert_eq(lode_offset_alloc(offset, 1, 3, &at, &a), -EINVAL);
    cr_assert_eq(lode_offset_alloc(offset, 1, (uint64_t)3 << 40, &at, &a), -EINVAL);
    lode_offset_destroy(offset);
}

/* One free range of every place and size among live ones, asked for everything near its size. */
Test(offset, a_hole_serves_what_fits_and_nothing_else)
{
    for (uint64_t start = 0; start < 9; start++)
        for (uint64_t size = 1; size < 40; size++) {
            struct lode_offset *offset = made(64, NULL);
            lode_range before = start != 0 ? got(offset, start, 1, NULL) : 0;
            lode_range hole = got(offset, size, 1, NULL);
            lode_range rest = got(offset, 64 - start - size, 1, NULL);
            cr_assert_eq(lode_offset_free(offset, hole), 0);
            for (uint64_t align = 1; align <= 16; align *= 2)
                for (uint64_t bytes = 1; bytes <= size + 1; bytes++) {
                    uint64_t first = (start + align - 1) / align * align, at = 99;
                    int expected = first + bytes <= start + size ? 0 : -ENOSPC;
                    cr_assert_eq(lode_offset_can_allocate(offset, bytes, align), expected == 0);
                    cr_assert_eq(lode_offset_alloc(offset, bytes, align, &at, &hole), expected);
                    cr_assert_eq(at, expected == 0 ? first : 99);
                    if (expected == 0)
                        cr_assert_eq(lode_offset_free(offset, hole), 0);
                }
            cr_assert_eq(lode_offset_free(offset, rest), 0);
            if (before != 0)
                cr_assert_eq(lode_offset_free(offset, before), 0);
            lode_offset_destroy(offset);
        }
}

/* What a failed search has learned is forgotten when it is no longer true. */
Test(offset, a_search_that_failed_succeeds_when_there_is_room)
{
    struct lode_offset *offset = made(17 + 1 + 16 + 1, NULL);
    lode_range larger = got(offset, 17, 1, NULL);
    (void)got(offset, 1, 1, NULL);
    lode_range smaller = got(offset, 16, 1, NULL), none;
    (void)got(offset, 1, 1, NULL);
    uint64_t at = 99;
    cr_assert_eq(lode_offset_alloc(offset, 17, 1, &at, &none), -ENOSPC);
    cr_assert_eq(lode_offset_free(offset, larger), 0);
    cr_assert_eq(lode_offset_free(offset, smaller), 0); /* the first of their common bin */
    (void)got(offset, 17, 1, &at);
    cr_assert_eq(at, 0);
    lode_offset_destroy(offset);
}

Test(offset, all_of_it_can_be_one_range)
{
    for (uint64_t bytes = 1; bytes < 5000; bytes += 7) {
        struct lode_offset *offset = made(bytes, NULL);
        uint64_t at;
        lode_range all = got(offset, bytes, 1, &at), none;
        cr_assert_eq(lode_offset_alloc(offset, 1, 1, &at, &none), -ENOSPC);
        cr_assert_eq(lode_offset_free(offset, all), 0);
        cr_assert_eq(lode_offset_alloc(offset, bytes + 1, 1, &at, &none), -ENOSPC);
        cr_assert_eq(stats_of(offset).largest_free_bytes, bytes);
        lode_offset_destroy(offset);
    }
}

Test(offset, a_hole_is_used_again_by_its_own_size)
{
    struct lode_offset *offset = made(1 << 20, NULL);
    lode_range ranges[100];
    for (int i = 0; i < 100; i++)
        ranges[i] = got(offset, 1000, 0, NULL);
    for (int i = 0; i < 100; i += 2)
        cr_assert_eq(lode_offset_free(offset, ranges[i]), 0);
    uint64_t used = stats_of(offset).free_ranges, at;
    for (int i = 0; i < 50; i++) {
        (void)got(offset, 1000, 0, &at);
        cr_assert_lt(at, 100000, "not a hole");
    }
    cr_assert_eq(stats_of(offset).free_ranges, used - 50);
    lode_offset_destroy(offset);
}

Test(offset, a_name_is_never_given_twice)
{
    struct lode_offset *offset = made(1000, NULL);
    lode_range first = got(offset, 10, 0, NULL), last = first;
    cr_assert_eq(lode_offset_free(offset, first), 0);
    for (int i = 0; i < 1000; i++) {
        lode_range again = got(offset, 10, 0, NULL);
        cr_assert_neq(again, first);
        cr_assert_neq(again, last);
        cr_assert_eq(lode_offset_free(offset, last), -EINVAL);
        cr_assert_eq(lode_offset_free(offset, again), 0);
        cr_assert_eq(lode_offset_free(offset, again), -EINVAL);
        last = again;
    }
    lode_offset_destroy(offset);
}

Test(offset, what_names_no_range_is_refused_and_nothing_changes)
{
    struct lode_offset *offset = made(1000, NULL);
    lode_range a = got(offset, 10, 0, NULL);
    struct lode_offset_stats before = stats_of(offset), after;
    uint64_t at = 1, bytes = 2;
    lode_range bad[] = {0,
                        1,
                        a + 1,
                        a - 1,
                        a ^ ((uint64_t)1 << 32),
                        a ^ ((uint64_t)2 << 32),
                        UINT64_MAX,
                        (uint64_t)1 << 32};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        cr_assert_eq(lode_offset_free(offset, bad[i]), -EINVAL);
        cr_assert_eq(lode_offset_extend(offset, bad[i], 20), -EINVAL);
        cr_assert_eq(lode_offset_find(offset, bad[i], &at, &bytes), -EINVAL);
    }
    cr_assert_eq(at, 1);
    cr_assert_eq(bytes, 2);
    after = stats_of(offset);
    cr_assert_eq(memcmp(&before, &after, sizeof(after)), 0);
    lode_offset_destroy(offset);
}

Test(offset, a_range_grows_into_what_is_free_behind_it)
{
    struct lode_offset *offset = made(1000, NULL);
    lode_range a = got(offset, 100, 0, NULL), b = got(offset, 100, 0, NULL);
    uint64_t bytes;
    cr_assert_eq(lode_offset_extend(offset, a, 101), -ENOSPC);
    cr_assert_eq(lode_offset_extend(offset, b, 901), -ENOSPC);
    cr_assert_eq(lode_offset_extend(offset, b, UINT64_MAX), -ENOSPC);
    cr_assert_eq(lode_offset_extend(offset, b, 900), 0);
    cr_assert_eq(stats_of(offset).free_ranges, 0);
    cr_assert_eq(lode_offset_extend(offset, b, 50), 0);
    cr_assert_eq(lode_offset_extend(offset, a, 10), 0);
    cr_assert_eq(stats_of(offset).free_ranges, 2);
    cr_assert_eq(lode_offset_extend(offset, a, 0), 0);
    cr_assert_eq(lode_offset_find(offset, a, NULL, &bytes), 0);
    cr_assert_eq(bytes, 1);
    cr_assert_eq(stats_of(offset).used_bytes, 51);
    lode_offset_destroy(offset);
}

Test(offset, more_can_be_had_behind)
{
    struct lode_offset *offset = made(0, NULL);
    uint64_t at;
    lode_range a;
    cr_assert_eq(lode_offset_alloc(offset, 1, 0, &at, &a), -ENOSPC);
    cr_assert_eq(lode_offset_grow(offset, 100), 0);
    a = got(offset, 100, 0, NULL);
    cr_assert_eq(lode_offset_grow(offset, 100), 0);
    cr_assert_eq(lode_offset_grow(offset, 150), 0);
    cr_assert_eq(lode_offset_grow(offset, 200), 0);
    cr_assert_eq(stats_of(offset).free_ranges, 1);
    (void)got(offset, 100, 0, &at);
    cr_assert_eq(at, 100);
    cr_assert_eq(lode_offset_grow(offset, 199), -EINVAL);
    cr_assert_eq(lode_offset_grow(offset, (uint64_t)1 << 48), -EINVAL);
    cr_assert_eq(stats_of(offset).total_bytes, 200);
    lode_offset_destroy(offset);
}

Test(offset, ranges_have_a_limit)
{
    struct lode_offset_opts o = LODE_OFFSET_OPTS_INIT;
    o.max_ranges = 4;
    struct lode_offset *offset = made(1000, &o);
    uint64_t at = 5;
    lode_range all[4], none = 6;
    for (int i = 0; i < 3; i++)
        all[i] = got(offset, 100, 0, NULL);
    cr_assert_eq(lode_offset_alloc(offset, 100, 0, &at, &none), -ENOMEM);
    cr_assert_eq(lode_offset_can_allocate(offset, 100, 0), 0);
    cr_assert_eq(lode_offset_extend(offset, all[0], 50), -ENOMEM);
    cr_assert_eq(at, 5);
    cr_assert_eq(none, 6);
    cr_assert_eq(lode_offset_can_allocate(offset, 700, 0), 1);
    all[3] = got(offset, 700, 0, NULL);
    cr_assert_eq(lode_offset_grow(offset, 2000), -ENOMEM);
    for (int i = 0; i < 4; i++)
        cr_assert_eq(lode_offset_free(offset, all[i]), 0);
    lode_offset_destroy(offset);
}

/* What needs no new range needs no room in the table. */
Test(offset, at_the_limit_ranges_still_trade_with_what_is_free)
{
    struct lode_offset_opts o = LODE_OFFSET_OPTS_INIT;
    o.max_ranges = 2;
    struct lode_offset *offset = made(1000, &o);
    lode_range range = got(offset, 100, 0, NULL);
    uint64_t bytes = 0;
    cr_assert_eq(lode_offset_extend(offset, range, 200), 0);
    cr_assert_eq(lode_offset_extend(offset, range, 50), 0);
    cr_assert_eq(lode_offset_extend(offset, range, 50), 0);
    cr_assert_eq(lode_offset_find(offset, range, NULL, &bytes), 0);
    cr_assert_eq(bytes, 50);
    cr_assert_eq(lode_offset_grow(offset, 2000), 0);
    lode_range rest = got(offset, 1950, 0, NULL);
    cr_assert_eq(lode_offset_extend(offset, range, 50), 0);
    cr_assert_eq(lode_offset_extend(offset, range, 60), -ENOSPC);
    cr_assert_eq(lode_offset_extend(offset, range, 40), -ENOMEM);
    cr_assert_eq(lode_offset_grow(offset, 3000), -ENOMEM);
    cr_assert_eq(lode_offset_free(offset, rest), 0);
    cr_assert_eq(lode_offset_free(offset, range), 0);
    cr_assert_eq(stats_of(offset).largest_free_bytes, 2000);
    lode_offset_destroy(offset);
}

Test(offset, no_memory_for_the_table_changes_nothing)
{
    struct lode_offset_opts o = LODE_OFFSET_OPTS_INIT;
    o.initial_ranges = 10;
    struct lode_offset *offset = made(1 << 20, &o);
    uint64_t at;
    lode_range range = 0;
    failing_heap_after = 0;
    int error, served = 0;
    while ((error = lode_offset_alloc(offset, 10, 0, &at, &range)) == 0)
        served++;
    cr_assert_eq(error, -ENOMEM);
    cr_assert_eq(served, 9);
    struct lode_offset_stats before = stats_of(offset), after;
    cr_assert_eq(lode_offset_alloc(offset, 10, 0, &at, &range), -ENOMEM);
    after = stats_of(offset);
    cr_assert_eq(after.failures, before.failures + 1);
    after.failures--;
    cr_assert_eq(memcmp(&before, &after, sizeof(after)), 0);
    failing_heap_after = -1;
    for (int i = 0; i < 1000; i++)
        range = got(offset, 10, 0, NULL);
    cr_assert_eq(lode_offset_free(offset, range), 0);
    lode_offset_destroy(offset);
}

Test(offset, failing_again_is_found_out_once)
{
    /* 30,000 holes of 1,000, and requests for 1,001: searched through once, then known, also when
     * the holes are searched for something in between. */
    struct lode_offset *offset = made(60000 * 1000, NULL);
    static lode_range ranges[60000];
    uint64_t at;
    lode_range none;
    for (int i = 0; i < 60000; i++)
        ranges[i] = got(offset, 1000, 0, NULL);
    for (int i = 0; i < 60000; i += 2)
        cr_assert_eq(lode_offset_free(offset, ranges[i]), 0);
    for (int i = 0; i < 100000; i++)
        cr_assert_eq(lode_offset_alloc(offset, 1001 + (uint64_t)i % 10, 0, &at, &none), -ENOSPC);
    cr_assert_eq(lode_offset_free(offset, ranges[1]), 0);
    (void)got(offset, 3000, 0, &at);
    cr_assert_eq(at, 0);
    lode_offset_destroy(offset);
}

Test(offset, at_most_an_eighth_is_wasted_by_bins)
{
    /* Freed and asked for again, a little larger each time: the first hole that must fit, fits. */
    for (uint64_t bytes = 16; bytes < 1 << 20; bytes += bytes / 5 + 1) {
        struct lode_offset *offset = made(3 * bytes, NULL);
        uint64_t at, less = bytes - bytes / 9;
        lode_range a = got(offset, bytes, 0, NULL), b = got(offset, bytes, 0, NULL);
        cr_assert_eq(lode_offset_free(offset, a), 0);
        (void)got(offset, less, 0, &at);
        cr_assert(at == 0 || at == 2 * bytes);
        (void)b;
        lode_offset_destroy(offset);
    }
}

Test(offset, a_reset_frees_everything)
{
    struct lode_offset *offset = made(10000, NULL);
    lode_range ranges[50];
    for (int i = 0; i < 50; i++)
        ranges[i] = got(offset, 100, 0, NULL);
    for (int i = 0; i < 50; i += 3)
        cr_assert_eq(lode_offset_free(offset, ranges[i]), 0);
    lode_offset_reset(offset);
    cr_assert_eq(stats_of(offset).used_bytes, 0);
    cr_assert_eq(stats_of(offset).ranges, 0);
    cr_assert_eq(stats_of(offset).free_ranges, 1);
    cr_assert_eq(stats_of(offset).peak_used_bytes, 5000);
    for (int i = 0; i < 50; i++)
        cr_assert_eq(lode_offset_free(offset, ranges[i]), -EINVAL);
    (void)got(offset, 10000, 0, NULL);
    lode_offset_destroy(offset);
}

static int stop(void *ctx, uint64_t at, uint64_t bytes, lode_range range)
{
    (void)at;
    (void)bytes;
    (void)range;
    return ++*(int *)ctx == 2 ? 9 : 0;
}

Test(offset, a_walk_can_be_ended)
{
    struct lode_offset *offset = made(1000, NULL);
    int seen = 0;
    for (int i = 0; i < 5; i++)
        (void)got(offset, 10, 0, NULL);
    cr_assert_eq(lode_offset_walk(offset, stop, &seen), 9);
    cr_assert_eq(seen, 2);
    lode_offset_destroy(offset);
}

Test(offset, the_largest_numbers_work)
{
    uint64_t all = ((uint64_t)1 << 48) - 1, at;
    struct lode_offset *offset = made(all, NULL);
    lode_range range = got(offset, all, 0, &at), none;
    cr_assert_eq(lode_offset_alloc(offset, 1, 0, &at, &none), -ENOSPC);
    cr_assert_eq(lode_offset_free(offset, range), 0);
    cr_assert_eq(lode_offset_alloc(offset, all, (uint64_t)1 << 47, &at, &range), 0);
    cr_assert_eq(lode_offset_free(offset, range), 0);
    (void)got(offset, 1, 0, NULL);
    cr_assert_eq(lode_offset_alloc(offset, all, 0, &at, &none), -ENOSPC);
    cr_assert_eq(lode_offset_alloc(offset, UINT64_MAX, 0, &at, &none), -ENOSPC);
    cr_assert_eq(lode_offset_alloc(offset, 1, (uint64_t)1 << 63, &at, &none), -ENOSPC);
    (void)got(offset, 1, (uint64_t)1 << 47, &at);
    cr_assert_eq(at, (uint64_t)1 << 47);
    lode_offset_destroy(offset);
}
