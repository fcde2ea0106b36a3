/* SPDX-License-Identifier: MIT */
/* lode/ds_interner.h. */
#include <criterion/criterion.h>

#include <errno.h>

#include "ds_fixture.h"
#include "lode/ds_interner.h"

Test(ds_interner, equal_texts_have_equal_ids)
{
    struct lode_interner names = {0};
    uint32_t a = 0, b = 0, none = 0, zero = 0;
    char text[] = "stone";
    cr_assert_eq(lode_interner_find(&names, "stone", 5), 0);
    cr_assert_null(lode_interner_text(&names, 0));
    cr_assert_null(lode_interner_text(&names, 1));
    cr_assert_eq(lode_intern(&names, "stone", 5, &a), 0);
    cr_assert_eq(lode_intern(&names, text, 5, &b), 0);
    cr_assert(a == b && a == 1);
    text[0] = 'S'; /* it is a copy */
    cr_assert_str_eq(lode_interner_text(&names, a), "stone");
    cr_assert_eq(lode_intern(&names, NULL, 0, &none), 0);
    cr_assert_str_eq(lode_interner_text(&names, none), "");
    cr_assert_eq(lode_intern(&names, "a\0b", 3, &zero), 0);
    cr_assert_eq(lode_interner_bytes(&names, zero), 3);
    cr_assert_eq(lode_interner_find(&names, "a", 1), 0);
    cr_assert_eq(lode_interner_find(&names, "a\0b", 3), zero);
    cr_assert_eq(lode_interner_count(&names), 3);
    cr_assert_eq(lode_interner_bytes(&names, 0), 0);
    cr_assert_eq(lode_interner_bytes(&names, 4), 0);
    lode_interner_finish(&names);
}

Test(ds_interner, ids_and_texts_stay_where_they_are)
{
    struct ds_memory *m = ds_memory_create(1);
    struct lode_interner names;
    struct lode_interner_stats stats;
    static const char *at[5000];
    char text[32];
    uint32_t id = 0;
    size_t bytes = 0;
    lode_interner_init(&names, 0, 0, &m->allocator);
    for (uint32_t i = 0; i < 5000; i++) {
        int length = snprintf(text, sizeof(text), "block:%u", i);
        cr_assert_eq(lode_intern(&names, text, (size_t)length, &id), 0);
        cr_assert_eq(id, i + 1);
        at[i] = lode_interner_text(&names, id);
        bytes += (size_t)length + 1;
    }
    for (uint32_t i = 0; i < 5000; i++) {
        snprintf(text, sizeof(text), "block:%u", i);
        cr_assert_eq(lode_interner_text(&names, i + 1), at[i]);
        cr_assert_str_eq(at[i], text);
        cr_assert_eq(lode_interner_find(&names, text, strlen(text)), i + 1);
    }
    lode_interner_stats_get(&names, &stats);
    cr_assert_eq(stats.strings, 5000);
    cr_assert_eq(stats.text_bytes, bytes);
    cr_assert_eq(stats.memory_bytes, m->live_bytes);
    lode_interner_clear(&names);
    lode_interner_stats_get(&names, &stats);
    cr_assert_eq(stats.memory_bytes, m->live_bytes);
    cr_assert_eq(lode_interner_find(&names, "block:1", 7), 0);
    cr_assert_eq(lode_intern(&names, "block:7", 7, &id), 0);
    cr_assert_eq(id, 1);
    lode_interner_finish(&names);
    ds_memory_destroy(m);
}

Test(ds_interner, long_texts_get_their_own_block)
{
    struct ds_memory *m = ds_memory_create(1);
    struct lode_interner names;
    static char text[200000];
    uint32_t id[4] = {0}, s = 0;
    lode_interner_init(&names, 0, 0, &m->allocator);
    for (int round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < 4; i++) {
            memset(text, (int)('a' + i), sizeof(text));
            cr_assert_eq(lode_intern(&names, text, sizeof(text) >> i, &id[i]), 0);
            cr_assert_eq(lode_intern(&names, text, 10, &s), 0);
        }
        cr_assert_eq(lode_interner_count(&names), 8);
    }
    for (uint32_t i = 0; i < 4; i++) {
        cr_assert_eq(strlen(lode_interner_text(&names, id[i])), sizeof(text) >> i);
        cr_assert_eq(lode_interner_text(&names, id[i])[1000], 'a' + (int)i);
    }
    cr_assert_eq(lode_intern(&names, text, (size_t)UINT32_MAX, &s), -E2BIG);
    cr_assert_eq(lode_interner_find(&names, text, (size_t)UINT32_MAX), 0);
    lode_interner_clear(&names);
    cr_assert_eq(lode_intern(&names, text, 10, &s), 0);
    lode_interner_finish(&names);
    ds_memory_destroy(m);
}

Test(ds_interner, caps_on_strings_and_on_bytes)
{
    struct lode_interner names;
    uint32_t id = 77;
    lode_interner_init(&names, 3, 20, NULL);
    cr_assert_eq(lode_intern(&names, "12345678", 8, &id), 0);
    cr_assert_eq(lode_intern(&names, "1234567890", 10, &id), 0); /* 9 + 11 bytes */
    cr_assert_eq(id, 2);
    cr_assert_eq(lode_intern(&names, "", 0, &id), -ENOSPC);
    cr_assert_eq(id, 2);
    cr_assert_eq(lode_intern(&names, "12345678", 8, &id), 0);
    cr_assert_eq(id, 1);
    lode_interner_finish(&names);
    cr_assert_eq(names.max_bytes, 20);
    for (uint32_t i = 0; i < 3; i++)
        cr_assert_eq(lode_intern(&names, "abc", i, &id), 0);
    cr_assert_eq(lode_intern(&names, "abc", 3, &id), -ENOSPC);
    cr_assert_eq(lode_interner_find(&names, "abc", 3), 0);
    cr_assert_eq(lode_interner_count(&names), 3);
    lode_interner_finish(&names);
    lode_interner_init(&names, 0, 20, NULL);
    cr_assert_eq(lode_intern(&names, "12345678", 8, &id), 0);
    cr_assert_eq(lode_intern(&names, "12345678901", 11, &id), -ENOSPC, "its end counts, too");
    cr_assert_eq(lode_intern(&names, "1234567890", 10, &id), 0);
    lode_interner_finish(&names);
}

Test(ds_interner, each_allocation_may_fail)
{
    static char text[40000];
    for (size_t k = 1; k < 40; k++) {
        struct ds_memory *m = ds_memory_create(1);
        struct lode_interner names;
        uint32_t id = 0;
        lode_interner_init(&names, 0, 0, &m->allocator);
        m->fail_at = k;
        for (uint32_t i = 0; i < 600; i++) {
            size_t bytes = i % 100 == 50 ? 20000 + i : 20;
            memset(text, 'x', bytes);
            memcpy(text, &i, sizeof(i));
            int status = lode_intern(&names, text, bytes, &id);
            if (status != 0) {
                cr_assert_eq(status, -ENOMEM);
                cr_assert_eq(lode_interner_count(&names), i);
                cr_assert_eq(id, i);
                cr_assert_eq(lode_interner_find(&names, text, bytes), 0);
                cr_assert_eq(lode_intern(&names, text, bytes, &id), 0);
            }
            cr_assert_eq(id, i + 1);
        }
        for (uint32_t i = 0; i < 600; i++)
            cr_assert_eq(memcmp(lode_interner_text(&names, i + 1), &i, sizeof(i)), 0);
        lode_interner_finish(&names);
        ds_memory_destroy(m);
    }
}

Test(ds_interner, random_texts_against_a_list)
{
    uint64_t seed = 11;
    struct ds_memory *m = ds_memory_create(seed);
    struct lode_interner names;
    static char model[2000][8];
    static uint8_t lengths[2000];
    uint32_t count = 0;
    lode_interner_init(&names, 1500, 0, &m->allocator);
    m->fail_one_in = 3;
    for (int step = 0; step < 20000; step++) {
        char text[8] = {0};
        size_t bytes = ds_random(&seed) % 6;
        uint32_t id = 0, expected = 0;
        for (size_t i = 0; i < bytes; i++)
            text[i] = (char)('a' + ds_random(&seed) % 5);
        for (uint32_t i = 0; i < count && expected == 0; i++)
            if (lengths[i] == bytes && memcmp(model[i], text, bytes) == 0)
                expected = i + 1;
        cr_assert_eq(lode_interner_find(&names, text, bytes), expected);
        int status = lode_intern(&names, text, bytes, &id);
        if (status != 0) {
            cr_assert(expected == 0 && status == -(count == 1500 ? ENOSPC : ENOMEM));
            continue;
        }
        cr_assert_eq(id, expected != 0 ? expected : count + 1);
        if (expected == 0) {
            memcpy(model[count], text, 8);
            lengths[count++] = (uint8_t)bytes;
        }
    }
    cr_assert_eq(count, 1500);
    for (uint32_t i = 0; i < count; i++)
        cr_assert_str_eq(lode_interner_text(&names, i + 1), model[i]);
    lode_interner_finish(&names);
    ds_memory_destroy(m);
}
