/* SPDX-License-Identifier: MIT */
/* lode/ds_ring.h and lode/ds_list.h: ring buffers and intrusive lists. */
#include <criterion/criterion.h>

#include <errno.h>

#include "ds_fixture.h"
#include "lode/ds_list.h"
#include "lode/ds_ring.h"

struct wide {
    _Alignas(64) uint32_t value;
    char rest[100];
};

LODE_RING_DEFINE(ring, uint32_t);
LODE_RING_DEFINE(wide_ring, struct wide);

Test(ds_ring, zero_bytes_are_an_empty_growing_queue)
{
    struct ring r = {0};
    uint32_t item;
    for (uint32_t i = 0; i < 1000; i++)
        cr_assert_eq(ring_push(&r, i), 0);
    for (uint32_t i = 0; i < 1000; i++) {
        cr_assert_eq(ring_pop(&r, &item), 0);
        cr_assert_eq(item, i);
    }
    cr_assert_eq(ring_pop(&r, &item), -ENOENT);
    cr_assert_eq(ring_pop_back(&r, NULL), -ENOENT);
    ring_finish(&r);
    cr_assert_null(r.items);
}

Test(ds_ring, settings_that_make_no_sense_are_refused)
{
    struct ring r, before;
    memset(&r, 0xee, sizeof(r));
    before = r;
    cr_assert_eq(ring_init(&r, 0, LODE_RING_OVERWRITE, NULL), -EINVAL);
    cr_assert_eq(ring_init(&r, 10, 2, NULL), -EINVAL);
    cr_assert_eq(memcmp(&r, &before, sizeof(r)), 0);
}

Test(ds_ring, full_is_an_error_and_changes_nothing)
{
    struct ring r;
    cr_assert_eq(ring_init(&r, 5, 0, NULL), 0);
    for (uint32_t i = 0; i < 5; i++)
        cr_assert_eq(ring_push(&r, i), 0);
    cr_assert_eq(ring_push(&r, 5), -ENOSPC);
    cr_assert_eq(ring_push_front(&r, 5), -ENOSPC);
    cr_assert_eq(ring_reserve(&r, 6), -ENOSPC);
    for (uint32_t i = 0; i < 5; i++)
        cr_assert_eq(*ring_at(&r, i), i);
    cr_assert_null(ring_at(&r, 5));
    cr_assert_null(ring_newest(&r, 5));
    ring_finish(&r);
}

Test(ds_ring, an_overwriting_ring_keeps_the_newest)
{
    struct ds_memory *m = ds_memory_create(1);
    struct ring r;
    struct ring_span last[2];
    cr_assert_eq(ring_init(&r, 240, LODE_RING_OVERWRITE, &m->allocator), 0);
    cr_assert_eq(ring_reserve(&r, 240), 0);
    size_t calls = m->calls;
    for (uint32_t i = 0; i < 1000; i++) {
        cr_assert_eq(ring_push(&r, i), 0);
        cr_assert_eq(*ring_newest(&r, 0), i);
        size_t n = ring_recent(&r, 60, last), wanted = i < 60 ? i + 1 : 60;
        cr_assert_eq(n, wanted);
        cr_assert_eq(last[0].count + last[1].count, wanted);
        for (size_t s = 0, age = n; s < 2; s++)
            for (size_t k = 0; k < last[s].count; k++)
                cr_assert_eq(last[s].items[k], i - (uint32_t)--age);
    }
    cr_assert_eq(m->calls, calls);
    cr_assert_eq(*ring_at(&r, 0), 760);
    cr_assert_eq(ring_push_front(&r, 7), 0); /* replaces the newest */
    cr_assert_eq(*ring_at(&r, 0), 7);
    cr_assert_eq(*ring_newest(&r, 0), 998);
    cr_assert_eq(ring_count(&r), 240);
    ring_clear(&r);
    cr_assert_eq(ring_recent(&r, 10, last), 0);
    cr_assert_eq(last[0].count + last[1].count, 0);
    ring_finish(&r);
    ds_memory_destroy(m);
}

Test(ds_ring, without_memory_everything_is_as_it_was)
{
    struct ds_memory *m = ds_memory_create(1);
    struct wide_ring r;
    cr_assert_eq(wide_ring_init(&r, 100, LODE_RING_OVERWRITE, &m->allocator), 0);
    m->fail_one_in = 1;
    cr_assert_eq(wide_ring_push(&r, (struct wide){.value = 1}), -ENOMEM);
    m->fail_one_in = 0;
    cr_assert_eq(wide_ring_push(&r, (struct wide){.value = 1}), 0);
    while (r.count < r.capacity)
        cr_assert_eq(wide_ring_push(&r, *wide_ring_at(&r, 0)), 0);
    cr_assert_eq((uintptr_t)r.items % 64, 0);
    struct wide_ring before = r;
    m->fail_one_in = 1;
    cr_assert_eq(wide_ring_push(&r, (struct wide){.value = 2}), -ENOMEM);
    cr_assert_eq(wide_ring_push_front(&r, (struct wide){.value = 2}), -ENOMEM);
    cr_assert_eq(wide_ring_reserve(&r, 50), -ENOMEM);
    cr_assert_eq(wide_ring_pop(&r, NULL), 0);
    wide_ring_trim(&r);
    cr_assert_eq(r.capacity, before.capacity);
    m->fail_one_in = 0;
    wide_ring_trim(&r);
    cr_assert_eq(r.capacity, r.count);
    cr_assert_eq(wide_ring_at(&r, 0)->value, 1);
    struct wide_ring huge = {0};
    cr_assert_eq(wide_ring_reserve(&huge, SIZE_MAX), -ENOMEM);
    wide_ring_finish(&r);
    ds_memory_destroy(m);
}

static void check_ring(const struct wide_ring *r, const uint32_t *model, size_t count)
{
    cr_assert(r->count == count && r->capacity <= 90);
    for (size_t i = 0; i < count; i++) {
        cr_assert_eq(wide_ring_at(r, i)->value, model[i]);
        cr_assert_eq(wide_ring_newest(r, count - 1 - i)->value, model[i]);
    }
}

static void ring_against_model(uint64_t seed, uint32_t flags)
{
    struct ds_memory *m = ds_memory_create(seed);
    uint32_t model[100];
    size_t count = 0;
    struct wide_ring r;
    cr_assert_eq(wide_ring_init(&r, 90, flags, &m->allocator), 0);
    m->fail_one_in = 3;
    for (int step = 0; step < 30000; step++) {
        uint32_t n = (uint32_t)ds_random(&seed);
        uint64_t what = ds_random(&seed) % 64;
        struct wide item = {.value = n};
        int front = what % 2 != 0, up = step / 700 % 2 == 0;
        if (what < (up ? 40 : 20)) {
            int full = count == 90,
                status = (front ? wide_ring_push_front : wide_ring_push)(&r, item);
            cr_assert_eq(status, status == 0 ? 0 : full && flags == 0 ? -ENOSPC : -ENOMEM);
            if (status == 0 && full && !front)
                memmove(model, model + 1, --count * 4);
            else if (status == 0 && full)
                count--;
            if (status == 0 && front)
                memmove(model + 1, model, count * 4);
            if (status == 0)
                model[front ? 0 : count] = n;
            count += status == 0;
        } else if (what < 60) {
            int status = (front ? wide_ring_pop : wide_ring_pop_back)(&r, &item);
            cr_assert_eq(status, count > 0 ? 0 : -ENOENT);
            if (status == 0) {
                cr_assert_eq(item.value, model[front ? 0 : count - 1]);
                count--;
                if (front)
                    memmove(model, model + 1, count * 4);
            }
        } else if (what < 61) {
            wide_ring_trim(&r);
        } else if (what < 62 && n % 16 == 0) {
            wide_ring_clear(&r);
            count = 0;
        } else {
            (void)!wide_ring_reserve(&r, n % 100);
        }
        check_ring(&r, model, count);
    }
    wide_ring_finish(&r);
    ds_memory_destroy(m);
}

Test(ds_ring, random_operations_do_what_an_array_does)
{
    for (uint64_t seed = 1; seed <= 3; seed++) {
        ring_against_model(seed, 0);
        ring_against_model(seed, LODE_RING_OVERWRITE);
    }
}

struct mob {
    uint32_t value;
    struct lode_link awake, in_cell;
};

LODE_LIST_DEFINE(awake_list, struct mob, awake);
LODE_LIST_DEFINE(cell_list, struct mob, in_cell);

Test(ds_list, one_item_is_on_several_lists)
{
    struct mob mobs[4] = {0};
    struct awake_list awake = {0};
    struct cell_list cell = {0};
    for (uint32_t i = 0; i < 4; i++) {
        mobs[i].value = i;
        cr_assert_eq(awake_list_push_back(&awake, &mobs[i]), 0);
        cr_assert_eq(cell_list_push_front(&cell, &mobs[i]), 0);
    }
    cr_assert_eq(awake_list_first(&awake), &mobs[0]);
    cr_assert_eq(awake_list_last(&awake), &mobs[3]);
    cr_assert_eq(cell_list_first(&cell), &mobs[3]);
    cr_assert_eq(cell_list_next(&mobs[3]), &mobs[2]);
    cr_assert_null(cell_list_next(&mobs[0]));
    cr_assert_null(cell_list_prev(&mobs[3]));
    cr_assert_eq(awake_list_remove(&awake, &mobs[1]), 0);
    cr_assert_not(awake_list_linked(&mobs[1]));
    cr_assert(cell_list_linked(&mobs[1]));
    struct awake_list moved = awake; /* no item points to the list */
    memset(&awake, 0xee, sizeof(awake));
    cr_assert_eq(awake_list_remove(&moved, &mobs[0]), 0);
    cr_assert_eq(awake_list_count(&moved), 2);
    cr_assert_eq(awake_list_first(&moved), &mobs[2]);
}

Test(ds_list, misuse_is_told_and_changes_nothing)
{
    struct mob a = {0}, b = {0}, c = {0};
    struct awake_list l, other;
    awake_list_init(&l, 2);
    awake_list_init(&other, 0);
    cr_assert_eq(awake_list_remove(&l, &a), -ENOENT);
    cr_assert_eq(awake_list_insert_after(&l, &a, &b), -ENOENT);
    cr_assert_eq(awake_list_insert_before(&l, &a, &b), -ENOENT);
    cr_assert_null(awake_list_pop_front(&l));
    cr_assert_null(awake_list_pop_back(&l));
    cr_assert_eq(awake_list_push_back(&l, &a), 0);
    cr_assert_eq(awake_list_push_back(&l, &a), -EALREADY);
    cr_assert_eq(awake_list_push_front(&other, &a), -EALREADY);
    cr_assert_eq(awake_list_push_back(&l, &b), 0);
    cr_assert_eq(awake_list_push_back(&l, &c), -ENOSPC);
    cr_assert_eq(awake_list_insert_after(&l, &a, &c), -ENOSPC);
    cr_assert_not(awake_list_linked(&c));
    cr_assert_eq(awake_list_push_back(&other, &c), 0);
    cr_assert_eq(awake_list_append_all(&l, &other), -ENOSPC);
    cr_assert_eq(awake_list_count(&other), 1);
    cr_assert_eq(awake_list_append_all(&l, &l), 0);
    cr_assert_eq(awake_list_remove(&l, &c), -EINVAL); /* of the other list */
    cr_assert(awake_list_linked(&c) && awake_list_count(&l) == 2 && awake_list_count(&other) == 1);
    cr_assert_eq(awake_list_append_all(&other, &l), 0);
    cr_assert_eq(awake_list_count(&other), 3);
    cr_assert_null(awake_list_first(&l));
    cr_assert_eq(awake_list_last(&other), &b);
    cr_assert_eq(awake_list_append_all(&l, &other), -ENOSPC);
    awake_list_clear(&other);
    cr_assert(!awake_list_linked(&a) && !awake_list_linked(&b) && !awake_list_linked(&c));
    cr_assert_eq(awake_list_append_all(&l, &other), 0);
}

Test(ds_list, a_walk_may_remove_and_free_the_item_at_hand_and_stop)
{
    struct awake_list l = {0};
    uint32_t seen = 0;
    for (uint32_t i = 0; i < 10; i++) {
        struct mob *mob = calloc(1, sizeof(*mob));
        mob->value = i;
        cr_assert_eq(awake_list_push_back(&l, mob), 0);
    }
    LODE_LIST_EACH(awake_list, mob, &l)
    {
        cr_assert_eq(mob->value, seen++);
        if (mob->value % 2 == 0)
            continue;
        cr_assert_eq(awake_list_remove(&l, mob), 0);
        free(mob);
    }
    cr_assert_eq(seen, 10);
    LODE_LIST_EACH(awake_list, mob, &l)
    if (mob->value == 4)
        break;
    else
        seen++;
    cr_assert_eq(seen, 12);
    for (struct mob *mob; (mob = awake_list_pop_back(&l)) != NULL;)
        free(mob);
    cr_assert_eq(l.core.count, 0);
    LODE_LIST_EACH(awake_list, mob, &l)
    cr_assert_fail("an empty list has item %u", mob->value);
}

Test(ds_list, random_operations_do_what_an_array_does)
{
    uint64_t seed = 5;
    static struct mob mobs[50];
    struct mob *model[50];
    size_t count = 0;
    struct cell_list l;
    cell_list_init(&l, 40);
    for (int step = 0; step < 100000; step++) {
        struct mob *mob = &mobs[ds_random(&seed) % 50], *place = NULL;
        size_t at = count > 0 ? ds_random(&seed) % count : 0, found = 0;
        int expected = cell_list_linked(mob) ? -EALREADY : count == 40 ? -ENOSPC : 0;
        uint64_t what = ds_random(&seed) % 8;
        place = count > 0 ? model[at] : NULL;
        if (what < 4 && (count > 0 || what < 2)) {
            int status = what == 0   ? cell_list_push_front(&l, mob)
                         : what == 1 ? cell_list_push_back(&l, mob)
                         : what == 2 ? cell_list_insert_before(&l, place, mob)
                                     : cell_list_insert_after(&l, place, mob);
            cr_assert_eq(status, expected);
            at = what == 0 ? 0 : what == 1 ? count : what == 2 ? at : at + 1;
            if (status == 0) {
                memmove(model + at + 1, model + at, (count++ - at) * sizeof(model[0]));
                model[at] = mob;
            }
        } else if (what < 6) {
            while (found < count && model[found] != mob)
                found++;
            cr_assert_eq(cell_list_remove(&l, mob), found < count ? 0 : -ENOENT);
            if (found < count)
                memmove(model + found, model + found + 1, (--count - found) * sizeof(model[0]));
        } else if (what == 6) {
            cr_assert_eq(cell_list_pop_front(&l), count > 0 ? model[0] : NULL);
            if (count > 0)
                memmove(model, model + 1, --count * sizeof(model[0]));
        } else {
            cr_assert_eq(cell_list_pop_back(&l), count > 0 ? model[count - 1] : NULL);
            count -= count > 0;
        }
        size_t i = 0;
        LODE_LIST_EACH(cell_list, it, &l)
        cr_assert_eq(it, model[i++]);
        cr_assert(i == count && cell_list_count(&l) == count);
        for (struct mob *it = cell_list_last(&l); it != NULL; it = cell_list_prev(it))
            cr_assert_eq(it, model[--i]);
    }
}
