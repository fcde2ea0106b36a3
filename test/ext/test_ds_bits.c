/* SPDX-License-Identifier: MIT */
/* lode/ds_bits.h and lode/ds_soa.h. */
#include <criterion/criterion.h>

#include <errno.h>

#include "ds_fixture.h"
#include "lode/ds_bits.h"
#include "lode/ds_soa.h"

#define MOB_FLAGS(F) F(MOB_ASLEEP) F(MOB_HOSTILE) F(MOB_BURNING)
LODE_FLAGS_DEFINE(mob_flags, MOB_FLAGS);

#define FIVE(F, p)    F(p##0) F(p##1) F(p##2) F(p##3) F(p##4)
#define TEN(F, p)     FIVE(F, p) F(p##5) F(p##6) F(p##7) F(p##8) F(p##9)
#define MANY_FLAGS(F) TEN(F, A) TEN(F, B) TEN(F, C) TEN(F, D) TEN(F, E) TEN(F, G) TEN(F, H)
LODE_FLAGS_DEFINE(many, MANY_FLAGS);

Test(ds_bits, flags_have_names_and_set_operations)
{
    struct mob_flags f = {{0}}, of = {{0}};
    unsigned flag = 77;
    cr_assert(mob_flags_is_empty(&f));
    mob_flags_set(&f, MOB_HOSTILE);
    mob_flags_set(&f, MOB_BURNING);
    cr_assert(mob_flags_has(&f, MOB_HOSTILE) && !mob_flags_has(&f, MOB_ASLEEP));
    cr_assert_eq(mob_flags_count(&f), 2);
    cr_assert_eq(mob_flags_next(&f, 0), MOB_HOSTILE);
    cr_assert_eq(mob_flags_next(&f, MOB_HOSTILE + 1), MOB_BURNING);
    cr_assert_eq(mob_flags_next(&f, MOB_BURNING + 1), mob_flags_flag_count);
    cr_assert_str_eq(mob_flags_name(MOB_BURNING), "MOB_BURNING");
    cr_assert_null(mob_flags_name(3));
    cr_assert_eq(mob_flags_find("MOB_HOSTILE", &flag), 0);
    cr_assert_eq(flag, MOB_HOSTILE);
    cr_assert_eq(mob_flags_find("MOB", &flag), -ENOENT);
    cr_assert_eq(flag, MOB_HOSTILE);
    mob_flags_toggle(&f, MOB_HOSTILE);
    mob_flags_toggle(&f, MOB_ASLEEP);
    cr_assert(!mob_flags_has(&f, MOB_HOSTILE) && mob_flags_has(&f, MOB_ASLEEP));
    mob_flags_put(&of, MOB_ASLEEP, 1);
    cr_assert(mob_flags_has_all(&f, &of) && mob_flags_has_any(&f, &of));
    mob_flags_put(&of, MOB_HOSTILE, 7);
    cr_assert(!mob_flags_has_all(&f, &of) && mob_flags_has_any(&f, &of));
    mob_flags_drop(&f, &of);
    cr_assert(!mob_flags_has_any(&f, &of) && mob_flags_has(&f, MOB_BURNING));
    mob_flags_add(&f, &of);
    cr_assert_eq(mob_flags_count(&f), 3);
    mob_flags_keep(&f, &of);
    cr_assert(mob_flags_equal(&f, &of));
    mob_flags_clear(&f, MOB_ASLEEP);
    cr_assert(!mob_flags_equal(&f, &of));
    mob_flags_set(&f, 3); /* no flag: nothing happens */
    mob_flags_set(&f, 1000);
    cr_assert_eq(f.words[0], 1u << MOB_HOSTILE);
    cr_assert(!mob_flags_has(&f, 3) && !mob_flags_has(&f, 1000));
}

Test(ds_bits, there_may_be_more_than_64_flags)
{
    struct many f = {{0}};
    cr_assert_eq(sizeof(f), 16);
    many_set(&f, A0);
    many_set(&f, G3);
    many_set(&f, H9);
    cr_assert_eq(many_count(&f), 3);
    cr_assert_eq(many_next(&f, 1), G3);
    cr_assert_eq(many_next(&f, G4), H9);
    cr_assert_str_eq(many_name(H9), "H9");
    many_clear(&f, H9);
    cr_assert_eq(many_next(&f, G4), many_flag_count);
}

Test(ds_bits, a_bitset_refuses_what_is_not_there)
{
    struct ds_memory *m = ds_memory_create(1);
    struct lode_bitset a = LODE_BITSET_INIT(100, &m->allocator), b = {0};
    cr_assert_eq(lode_bitset_next(&a, 0), 0);
    cr_assert_eq(lode_bitset_next_clear(&a, 0), 0);
    cr_assert_eq(lode_bitset_count(&a), 0);
    cr_assert_eq(lode_bitset_put(&a, 0, 1), -ERANGE);
    cr_assert_eq(lode_bitset_resize(&a, 101), -ENOSPC);
    cr_assert_eq(lode_bitset_resize(&a, 100), 0);
    cr_assert_eq(lode_bitset_fill(&a, 90, 11, 1), -ERANGE);
    cr_assert_eq(lode_bitset_fill(&a, 101, 0, 1), -ERANGE);
    cr_assert_eq(lode_bitset_fill(&a, 5, SIZE_MAX, 1), -ERANGE);
    cr_assert_eq(lode_bitset_count(&a), 0);
    cr_assert_eq(lode_bitset_fill(&a, 0, 100, 1), 0);
    cr_assert_eq(lode_bitset_next_clear(&a, 0), 100);
    cr_assert_eq(lode_bitset_or(&a, &b), -EINVAL);
    cr_assert_eq(lode_bitset_and(&a, &b), -EINVAL);
    cr_assert_eq(lode_bitset_and_not(&a, &b), -EINVAL);
    cr_assert_eq(lode_bitset_xor(&a, &b), -EINVAL);
    cr_assert_eq(lode_bitset_count_range(&a, 95, SIZE_MAX), 5);
    cr_assert_eq(lode_bitset_count_range(&a, 100, 1), 0);
    cr_assert(!lode_bitset_has(&a, 100) && lode_bitset_has(&a, 99));
    cr_assert_eq(lode_bitset_count(&a), 100);
    lode_bitset_finish(&a);
    lode_bitset_init(&a, 0, &m->allocator);
    m->fail_one_in = 1;
    cr_assert_eq(lode_bitset_resize(&a, 100), -ENOMEM);
    cr_assert_eq(lode_bitset_resize(&a, SIZE_MAX), -ENOMEM);
    cr_assert_eq(a.bits, 0);
    lode_bitset_finish(&b);
    ds_memory_destroy(m);
}

static void check_bits(const struct lode_bitset *set, const uint8_t *model, size_t bits)
{
    size_t count = 0, next = bits, next_clear = bits;
    cr_assert_eq(set->bits, bits);
    for (size_t i = bits; i-- > 0;) {
        next = model[i] ? i : next;
        next_clear = model[i] ? next_clear : i;
        count += model[i];
        cr_assert_eq(lode_bitset_has(set, i), model[i]);
        cr_assert_eq(lode_bitset_next(set, i), next);
        cr_assert_eq(lode_bitset_next_clear(set, i), next_clear);
    }
    cr_assert_eq(lode_bitset_count(set), count);
}

Test(ds_bits, random_operations_do_what_an_array_does)
{
    uint64_t seed = 4;
    struct ds_memory *m = ds_memory_create(seed);
    struct lode_bitset s[2];
    uint8_t model[2][520] = {{0}};
    size_t bits = 0;
    lode_bitset_init(&s[0], 500, &m->allocator);
    lode_bitset_init(&s[1], 500, &m->allocator);
    m->fail_one_in = 4;
    for (int step = 0; step < 20000; step++) {
        uint64_t what = ds_random(&seed) % 16, first = ds_random(&seed) % 520;
        uint64_t n = ds_random(&seed) % 200;
        int on = step % 2, which = step / 2 % 2;
        if (what == 0) {
            size_t both = ds_random(&seed) % 520;
            int done = lode_bitset_resize(&s[0], both) == 0;
            if (done && lode_bitset_resize(&s[1], both) != 0)
                cr_assert(lode_bitset_resize(&s[0], bits) == 0 || bits > both);
            if (s[0].bits != s[1].bits) /* one had no memory: shrinking needs none */
                cr_assert_eq(lode_bitset_resize(&s[s[0].bits < s[1].bits],
                                                s[0].bits < s[1].bits ? s[0].bits : s[1].bits),
                             0);
            for (int k = 0; k < 2; k++)
                memset(&model[k][s[0].bits], 0, sizeof(model[k]) - s[0].bits);
            bits = s[0].bits;
        } else if (what < 5) {
            cr_assert_eq(lode_bitset_put(&s[which], first, on), first < bits ? 0 : -ERANGE);
            if (first < bits)
                model[which][first] = (uint8_t)on;
        } else if (what < 9) {
            int fits = first <= bits && n <= bits - first;
            cr_assert_eq(lode_bitset_fill(&s[which], first, n, on), fits ? 0 : -ERANGE);
            for (size_t i = first; fits && i < first + n; i++)
                model[which][i] = (uint8_t)on;
        } else if (what < 13) {
            int (*const ops[])(struct lode_bitset *, const struct lode_bitset *) = {
                lode_bitset_or, lode_bitset_and, lode_bitset_and_not, lode_bitset_xor};
            cr_assert_eq(ops[what - 9](&s[which], &s[!which]), 0);
            for (size_t i = 0; i < bits; i++) {
                uint8_t a = model[which][i], b = model[!which][i];
                const uint8_t results[] = {a | b, a & b, a & !b, a ^ b};
                model[which][i] = results[what - 9];
            }
        } else if (what < 14) {
            lode_bitset_trim(&s[which]);
        } else {
            size_t count = 0;
            for (size_t i = first; i < bits && i < first + n; i++)
                count += model[which][i];
            cr_assert_eq(lode_bitset_count_range(&s[which], first, n), count);
        }
        check_bits(&s[which], model[which], bits);
    }
    lode_bitset_finish(&s[0]);
    lode_bitset_finish(&s[1]);
    ds_memory_destroy(m);
}

struct pos {
    float x, y, z;
};
#define BODY_FIELDS(F) \
    F(float, x) F(double, mass) F(uint8_t, hp) F(struct pos, at) F(const char *, name)
LODE_SOA_DEFINE(bodies, 64, BODY_FIELDS);
#define THIN_FIELDS(F) F(float, x) F(uint16_t, y)
LODE_SOA_DEFINE(thin, 32, THIN_FIELDS);

static struct bodies_row body(uint32_t n)
{
    return (struct bodies_row){(float)n, n * 2.0, (uint8_t)n, {(float)n, 1, 2}, "body"};
}

static int is_body(const struct bodies *v, size_t i, uint32_t n)
{
    struct bodies_row row;
    return bodies_get(v, i, &row) == 0 && row.x == (float)n && row.mass == n * 2.0 &&
           row.hp == (uint8_t)n && row.at.x == (float)n && row.at.z == 2 &&
           *LODE_SOA_AT(v, i, x) == (float)n;
}

Test(ds_soa, lanes_are_aligned_and_padded_with_zero_bytes)
{
    struct bodies v = {0};
    struct thin t = LODE_DS_INIT(20, NULL);
    cr_assert_eq(sizeof(struct bodies_lane) % 64, 0);
    cr_assert_eq(sizeof(struct thin_lane) % 32, 0);
    cr_assert_eq(offsetof(struct bodies_lane, mass) % 64, 0);
    cr_assert_eq(offsetof(struct bodies_lane, at) % 32, 0);
    cr_assert_eq(sizeof(struct thin_lane), 64);
    for (uint32_t i = 0; i < 13; i++)
        cr_assert_eq(bodies_push(&v, body(i)), 0);
    cr_assert_eq((uintptr_t)v.lanes % 64, 0);
    cr_assert_eq(bodies_lane_count(&v), 2);
    cr_assert_eq(bodies_lane_mask(&v, 0), 0xff);
    cr_assert_eq(bodies_lane_mask(&v, 1), 0x1f);
    cr_assert_eq(bodies_lane_mask(&v, 2), 0);
    float sum = 0;
    for (size_t l = 0; l < bodies_lane_count(&v); l++)
        for (int s = 0; s < 8; s++)
            sum += v.lanes[l].x[s];
    cr_assert_eq(sum, 78);
    cr_assert_eq(bodies_remove_swap(&v, 0), 0);
    cr_assert(is_body(&v, 0, 12));
    cr_assert_eq(v.lanes[1].x[4], 0);
    cr_assert_eq(v.lanes[1].name[4], NULL);
    bodies_finish(&v);
    for (uint32_t i = 0; i < 20; i++)
        cr_assert_eq(thin_push(&t, (struct thin_row){1, 2}), 0);
    cr_assert_eq(thin_push(&t, (struct thin_row){1, 2}), -ENOSPC);
    cr_assert_eq(thin_reserve(&t, 21), -ENOSPC);
    cr_assert_eq(t.capacity, 20);
    thin_finish(&t);
    cr_assert_null(t.lanes);
}

Test(ds_soa, rows_that_are_not_there_are_refused)
{
    struct bodies v = {0};
    struct bodies_row row;
    cr_assert_eq(bodies_get(&v, 0, &row), -ERANGE);
    cr_assert_eq(bodies_set(&v, 0, body(1)), -ERANGE);
    cr_assert_eq(bodies_remove_swap(&v, 0), -ERANGE);
    cr_assert_eq(bodies_pop(&v, &row), -ENOENT);
    cr_assert_eq(bodies_reserve(&v, SIZE_MAX), -ENOMEM);
    cr_assert_null(v.lanes);
}

Test(ds_soa, random_operations_do_what_an_array_does)
{
    uint64_t seed = 8;
    struct ds_memory *m = ds_memory_create(seed);
    uint32_t model[200];
    size_t count = 0;
    struct bodies v;
    bodies_init(&v, 150, &m->allocator);
    m->fail_one_in = 4;
    for (int step = 0; step < 30000; step++) {
        uint32_t n = (uint32_t)step % 60000;
        size_t at = count > 0 ? ds_random(&seed) % count : 0;
        uint64_t what = ds_random(&seed) % 32;
        if (what < (step / 1000 % 2 == 0 ? 20 : 8)) {
            int status = bodies_push(&v, body(n));
            cr_assert(status == 0 || status == -(count == 150 ? ENOSPC : ENOMEM));
            if (status == 0)
                model[count++] = n;
        } else if (what < 24) {
            if (bodies_remove_swap(&v, at) == 0)
                model[at] = model[--count];
        } else if (what < 26) {
            count -= bodies_pop(&v, NULL) == 0;
        } else if (what < 28) {
            if (bodies_set(&v, at, body(n)) == 0)
                model[at] = n;
        } else if (what < 30) {
            bodies_trim(&v);
        } else {
            (void)!bodies_reserve(&v, n % 150);
        }
        cr_assert_eq(bodies_count(&v), count);
        for (size_t i = 0; i < count; i++)
            cr_assert(is_body(&v, i, model[i]));
        for (size_t i = count; i % 8 != 0; i++)
            cr_assert(*LODE_SOA_AT(&v, i, x) == 0 && *LODE_SOA_AT(&v, i, name) == NULL);
    }
    bodies_finish(&v);
    ds_memory_destroy(m);
}
