/* SPDX-License-Identifier: MIT */
/* base/bits.h, base/bitmap.h, base/list.h against plain loops. */
#include <criterion/criterion.h>

#include <string.h>

#include "base/bitmap.h"
#include "base/bits.h"
#include "base/list.h"
#include "blockset.h"

#define BITS  300
#define WORDS ((BITS + 63) / 64)

Test(bits, rounding)
{
    for (size_t align = 1; align <= 4096; align *= 2) {
        for (size_t n = 0; n < 9000; n += 7) {
            size_t up = lodei_round_up(n, align), down = lodei_round_down(n, align);
            cr_assert(up % align == 0 && up >= n && up - n < align);
            cr_assert(down % align == 0 && down <= n && n - down < align);
        }
    }
}

Test(bits, powers)
{
    cr_assert_not(lodei_is_power_of_two(0));
    for (unsigned k = 0; k < 64; k++) {
        size_t p = (size_t)1 << k;
        cr_assert(lodei_is_power_of_two(p));
        cr_assert_eq(lodei_log2(p), k);
        cr_assert_eq(lodei_log2(p | (p - 1)), k);
        if (p > 2)
            cr_assert_not(lodei_is_power_of_two(p - 1));
    }
    cr_assert_eq(lodei_min(3, 4), 3);
    cr_assert_eq(lodei_max(3, 4), 4);
}

static size_t naive_next(const unsigned char *model, size_t from, int value)
{
    while (from < BITS && model[from] != value)
        from++;
    return from;
}

/* The lowest aligned start of `count` set bits. */
static size_t naive_run(const unsigned char *model, size_t count, size_t align, size_t bias)
{
    for (size_t start = 0; start + count <= BITS; start++) {
        size_t n = 0;
        while (n < count && model[start + n])
            n++;
        if (n == count && (start + bias) % align == 0)
            return start;
    }
    return BITS;
}

static size_t naive_longest(const unsigned char *model)
{
    size_t longest = 0, n = 0;
    for (size_t i = 0; i < BITS; i++) {
        n = model[i] ? n + 1 : 0;
        longest = n > longest ? n : longest;
    }
    return longest;
}

Test(bitmap, put_get_next)
{
    struct blockset random;
    uint64_t map[WORDS] = {0};
    unsigned char model[BITS] = {0};
    blockset_init(&random, 11);
    for (int round = 0; round < 3000; round++) {
        size_t first = blockset_below(&random, BITS);
        size_t count = blockset_below(&random, BITS - first + 1);
        int value = (int)blockset_below(&random, 2);
        lodei_bitmap_put(map, first, count, value);
        memset(model + first, value, count);
        for (size_t i = 0; i < BITS; i++)
            cr_assert_eq(lodei_bitmap_get(map, i), model[i]);
        size_t from = blockset_below(&random, BITS + 1);
        cr_assert_eq(lodei_bitmap_next(map, BITS, from, 1), naive_next(model, from, 1));
        cr_assert_eq(lodei_bitmap_next(map, BITS, from, 0), naive_next(model, from, 0));
    }
}

Test(bitmap, find_run)
{
    struct blockset random;
    blockset_init(&random, 12);
    for (int round = 0; round < 5000; round++) {
        uint64_t map[WORDS] = {0};
        unsigned char model[BITS] = {0};
        size_t holes = blockset_below(&random, 40), longest = 0;
        lodei_bitmap_put(map, 0, BITS, 1);
        memset(model, 1, BITS);
        for (size_t i = 0; i < holes; i++) {
            size_t at = blockset_below(&random, BITS);
            lodei_bitmap_put(map, at, 1, 0);
            model[at] = 0;
        }
        size_t count = 1 + blockset_below(&random, 80),
               align = (size_t)1 << blockset_below(&random, 7);
        size_t bias = blockset_below(&random, 3) * BITS;
        size_t found = lodei_bitmap_find_run(map, BITS, count, align, bias, &longest);
        cr_assert_eq(found, naive_run(model, count, align, bias));
        if (found == BITS)
            cr_assert_eq(longest, naive_longest(model));
        else
            cr_assert_geq(longest, count);
    }
}

Test(bitmap, find_run_edges)
{
    uint64_t map[2] = {0, 0};
    size_t longest = 7;
    cr_assert_eq(lodei_bitmap_find_run(map, 128, 1, 1, 0, &longest), 128);
    cr_assert_eq(longest, 0);
    lodei_bitmap_put(map, 0, 128, 1);
    cr_assert_eq(lodei_bitmap_find_run(map, 128, 128, 1, 0, &longest), 0);
    cr_assert_eq(lodei_bitmap_find_run(map, 128, 129, 1, 0, &longest), 128);
    cr_assert_eq(longest, 128);
    lodei_bitmap_put(map, 63, 2, 0);
    cr_assert_eq(lodei_bitmap_find_run(map, 128, 63, 1, 0, &longest), 0);
    cr_assert_eq(lodei_bitmap_find_run(map, 128, 32, 64, 0, &longest), 0);
    cr_assert_eq(lodei_bitmap_find_run(map, 128, 32, 64, 1, &longest), 128);
}

Test(bitmap, last)
{
    uint64_t map[3] = {0};
    cr_assert_eq(lodei_bitmap_last(map, 192, 1), 0);
    cr_assert_eq(lodei_bitmap_last(map, 0, 0), 0);
    cr_assert_eq(lodei_bitmap_last(map, 130, 0), 130);
    lodei_bitmap_put(map, 60, 70, 1);
    cr_assert_eq(lodei_bitmap_last(map, 192, 1), 130);
    cr_assert_eq(lodei_bitmap_last(map, 129, 1), 129);
    cr_assert_eq(lodei_bitmap_last(map, 129, 0), 60);
    cr_assert_eq(lodei_bitmap_last(map, 128, 0), 60);
    cr_assert_eq(lodei_bitmap_last(map, 60, 1), 0);
    cr_assert_eq(lodei_bitmap_count(map, 0, 192), 70);
    cr_assert_eq(lodei_bitmap_count(map, 63, 3), 3);
    cr_assert_eq(lodei_bitmap_count(map, 129, 60), 1);
}

struct item {
    int value;
    struct lodei_list link;
};

static void expect_order(struct lodei_list *head, const char *order)
{
    struct lodei_list *at = head->next;
    for (; *order != '\0'; order++, at = at->next) {
        cr_assert_neq(at, head);
        cr_assert_eq(lode_container_of(at, struct item, link)->value, *order);
        cr_assert_eq(at->next->prev, at);
    }
    cr_assert_eq(at, head);
}

Test(list, order)
{
    struct lodei_list head;
    struct item a = {.value = 'a'}, b = {.value = 'b'}, c = {.value = 'c'};
    lodei_list_init(&head);
    cr_assert(lodei_list_empty(&head));
    cr_assert_not(lodei_list_linked(&a.link), "zeroed storage counts as unlinked");
    lodei_list_push_back(&head, &b.link);
    lodei_list_push_front(&head, &a.link);
    lodei_list_push_back(&head, &c.link);
    expect_order(&head, "abc");
    cr_assert(lodei_list_linked(&b.link));
    lodei_list_remove(&b.link);
    cr_assert_not(lodei_list_linked(&b.link));
    expect_order(&head, "ac");
    lodei_list_push_front(&head, &b.link);
    expect_order(&head, "bac");
    lodei_list_remove(&a.link);
    lodei_list_remove(&b.link);
    lodei_list_remove(&c.link);
    cr_assert(lodei_list_empty(&head));
    lodei_list_remove(&a.link); /* unlinked: nothing happens */
    cr_assert(lodei_list_empty(&head));
}

Test(bits, octants_in_wanted_halves)
{
    for (unsigned lower = 0; lower < 8; lower++)
        for (unsigned upper = 0; upper < 8; upper++) {
            unsigned octants = lodei_octants(lower, upper);
            for (unsigned o = 0; o < 8; o++) /* wanted on each axis, in the half it is in */
                cr_assert_eq(octants >> o & 1, ((o & upper) | (~o & lower)) % 8 == 7);
        }
}
