/* SPDX-License-Identifier: MIT */
/* lode/temperature.h and lode/util.h: hot, warm and cold apart; sizes, lines, barriers. */
#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

#include "lode/stats.h"
#include "lode/temperature.h"
#include "lode/util.h"

static struct lode_temperatures *make(const struct lode_temperatures_opts *opts)
{
    struct lode_temperatures *t = NULL;
    cr_assert_eq(lode_temperatures_create(opts, &t), 0);
    return t;
}

Test(temperature, pages_of_different_temperatures_are_disjoint)
{
    struct lode_temperatures *t = make(NULL);
    uintptr_t pages[3][200];
    for (int i = 0; i < 200; i++)
        for (int k = 0; k < 3; k++)
            pages[k][i] = (uintptr_t)lode_temperature_alloc(t, (enum lode_temperature)k, 64) / 4096;
    for (int i = 0; i < 200; i++)
        for (int j = 0; j < 200; j++) {
            cr_assert_neq(pages[0][i], pages[1][j]);
            cr_assert_neq(pages[0][i], pages[2][j]);
            cr_assert_neq(pages[1][i], pages[2][j]);
        }
    lode_temperatures_destroy(t);
}

Test(temperature, hot_blocks_cross_no_line_they_need_not)
{
    struct lode_temperatures *t = make(NULL);
    for (size_t bytes = 1; bytes <= 1024; bytes++)
        for (int i = 0; i < 5; i++) {
            void *block = lode_temperature_alloc(t, LODE_HOT, bytes);
            cr_assert_eq((uintptr_t)block % lode_packing_align(bytes), 0);
            cr_assert_eq(lode_lines_touched(block, bytes),
                         (bytes + LODE_CACHE_LINE - 1) / LODE_CACHE_LINE);
        }
    lode_temperatures_destroy(t);
}

Test(temperature, each_is_a_heap_with_its_tag)
{
    struct lode_temperatures_opts o = LODE_TEMPERATURES_OPTS_INIT;
    o.tags[LODE_HOT] = 11;
    o.tags[LODE_COLD] = 13;
    o.huge_hot = 1;
    o.name = "a name that is longer than it may be";
    struct lode_temperatures *t = make(&o);
    struct lode_block_info info;
    cr_assert_eq(lode_block_find(lode_temperature_alloc(t, LODE_HOT, 10), &info), 0);
    cr_assert_eq(info.tag, 11);
    cr_assert_eq(info.kind, LODE_KIND_HUGE);
    cr_assert_eq(info.heap, lode_temperature_heap(t, LODE_HOT));
    struct lode_allocator a;
    cr_assert_eq(lode_temperature_allocator(t, LODE_COLD, &a), 0);
    void *block = lode_allocator_alloc(&a, 100, 16);
    cr_assert_eq(lode_block_find(block, &info), 0);
    cr_assert_eq(info.tag, 13);
    cr_assert_eq(lode_allocator_free(&a, block, 100, 16), 0);
    lode_temperatures_destroy(t);
}

Test(temperature, chilling_keeps_contents)
{
    struct lode_temperatures *t = make(NULL);
    char *block = lode_temperature_alloc(t, LODE_COLD, 100000);
    memset(block, 7, 100000);
    size_t advised = lode_temperatures_chill(t);
    cr_assert(advised == 0 || advised >= 100000);
    for (int i = 0; i < 100000; i++)
        cr_assert_eq(block[i], 7);
    lode_temperatures_destroy(t);
}

Test(temperature, bad_input)
{
    struct lode_temperatures_opts o = LODE_TEMPERATURES_OPTS_INIT;
    struct lode_temperatures *t = NULL;
    struct lode_allocator a = {0};
    o.huge_hot = 2;
    cr_assert_eq(lode_temperatures_create(&o, &t), -EINVAL);
    o.huge_hot = 0;
    o.reserved[4] = 1;
    cr_assert_eq(lode_temperatures_create(&o, &t), -EINVAL);
    cr_assert_null(t);
    struct {
        struct lode_temperatures_opts known;
        uint64_t later;
    } newer = {LODE_TEMPERATURES_OPTS_INIT, 1};
    newer.known.size = sizeof(newer);
    cr_assert_eq(lode_temperatures_create(&newer.known, &t), -E2BIG);
    t = make(NULL);
    errno = 0;
    cr_assert_null(lode_temperature_alloc(t, (enum lode_temperature)3, 1));
    cr_assert_eq(errno, EINVAL);
    cr_assert_null(lode_temperature_heap(t, (enum lode_temperature)3));
    cr_assert_eq(lode_temperature_allocator(t, (enum lode_temperature)3, &a), -EINVAL);
    cr_assert_null(a.ops);
    cr_assert_null(lode_temperature_alloc(t, LODE_HOT, SIZE_MAX));
    cr_assert_null(lode_temperature_alloc(t, LODE_HOT, PTRDIFF_MAX));
    lode_temperatures_destroy(t);
    lode_temperatures_destroy(NULL);
}

/* ---- util.h ---- */

Test(util, sizes)
{
    cr_assert(lode_is_power_of_two(64) && !lode_is_power_of_two(0) && !lode_is_power_of_two(65));
    cr_assert_eq(lode_round_up(65, 64), 128);
    cr_assert_eq(lode_round_down(127, 64), 64);
    cr_assert_eq(lode_power_of_two_up(0), 1);
    cr_assert_eq(lode_power_of_two_up(64), 64);
    cr_assert_eq(lode_power_of_two_up(65), 128);
    cr_assert_eq(lode_power_of_two_up(((size_t)1 << 63) + 1), 0);
    cr_assert_eq(lode_packing_align(1), 16);
    cr_assert_eq(lode_packing_align(33), 64);
    cr_assert_eq(lode_packing_align(1000), 64);
}

struct lined {
    int before;
    LODE_ALIGNED_STORAGE(room, 100, 32);
} LODE_LINE_ALIGNED;

Test(util, layout)
{
    struct lined lined[2];
    cr_assert_eq((uintptr_t)&lined[1] % LODE_CACHE_LINE, 0);
    cr_assert_eq((uintptr_t)lined[1].room % 32, 0);
    cr_assert_eq(LODE_CONTAINER_OF(lined[1].room, struct lined, room), &lined[1]);
    cr_assert_eq(lode_lines_touched((void *)60, 4), 1);
    cr_assert_eq(lode_lines_touched((void *)60, 5), 2);
    cr_assert_eq(lode_lines_touched((void *)60, 0), 0);
}
