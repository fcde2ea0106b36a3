/* SPDX-License-Identifier: MIT */
/* ext/offset.c from the inside: a node that has used up its lives is retired, which would take 2^31
 * allocations otherwise. */
#include <criterion/criterion.h>

#include "ext/offset.c"

static lode_range got(struct lode_offset *offset, uint64_t bytes)
{
    lode_range range;
    uint64_t at;
    cr_assert_eq(lode_offset_alloc(offset, bytes, 1, &at, &range), 0);
    return range;
}

static uint64_t free_ranges(const struct lode_offset *offset)
{
    struct lode_offset_stats s;
    lode_offset_stats(offset, &s);
    return s.free_ranges;
}

Test(offsetlife, an_old_node_gives_no_name_again)
{
    struct lode_offset *offset;
    cr_assert_eq(lode_offset_create(1000, NULL, &offset), 0);
    lode_range a = got(offset, 10), b = got(offset, 10), last = 0;
    uint32_t index = node_of(offset, a);
    cr_assert_eq(lode_offset_free(offset, a), 0);
    cr_assert_eq(free_ranges(offset), 2);
    offset->nodes[index].life = LIFE_LAST - 2;
    last = got(offset, 10);
    cr_assert_eq((uint32_t)last, index);
    cr_assert_eq(lode_offset_free(offset, last), 0);
    cr_assert_eq(offset->nodes[index].life, LIFE_LAST);
    lode_range fresh = got(offset, 10);
    cr_assert_neq((uint32_t)fresh, index, "it was taken again");
    cr_assert_eq(offset->retired, 1);
    cr_assert_eq(free_ranges(offset), 1);
    cr_assert_eq(lode_offset_free(offset, last), -EINVAL);
    cr_assert_eq(lode_offset_free(offset, fresh), 0);
    cr_assert_eq(lode_offset_free(offset, b), 0);
    cr_assert_eq(free_ranges(offset), 1);
    for (int i = 0; i < 200; i++)
        cr_assert_neq((uint32_t)got(offset, 1), index);
    lode_offset_destroy(offset);
}

Test(offsetlife, an_old_node_that_merges_is_dropped_for_ever)
{
    struct lode_offset *offset;
    cr_assert_eq(lode_offset_create(1000, NULL, &offset), 0);
    lode_range a = got(offset, 10), b = got(offset, 10), c = got(offset, 10);
    uint32_t index = node_of(offset, b);
    offset->nodes[index].life = LIFE_LAST - 1;
    b = range_of(offset, index);
    cr_assert_eq(lode_offset_free(offset, a), 0);
    cr_assert_eq(lode_offset_free(offset, b), 0);
    cr_assert_eq(offset->retired, 1);
    cr_assert_eq(free_ranges(offset), 2);
    cr_assert_eq(lode_offset_free(offset, c), 0);
    cr_assert_eq(free_ranges(offset), 1);
    lode_offset_destroy(offset);
}

Test(offsetlife, a_reset_may_leave_an_old_node_in_place)
{
    struct lode_offset *offset;
    cr_assert_eq(lode_offset_create(1000, NULL, &offset), 0);
    lode_range all = got(offset, 1000);
    uint32_t index = node_of(offset, all);
    offset->nodes[index].life = LIFE_LAST - 1;
    lode_offset_reset(offset);
    all = got(offset, 1000);
    cr_assert_neq((uint32_t)all, index);
    cr_assert_eq(lode_offset_free(offset, all), 0);
    lode_offset_destroy(offset);
}
