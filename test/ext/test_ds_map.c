/* SPDX-License-Identifier: MIT */
/* lode/ds_map.h and lode/ds_sorted.h: hash tables and sorted tables. */
#include <criterion/criterion.h>

#include <errno.h>

#include "ds_fixture.h"
#include "lode/ds_map.h"
#include "lode/ds_sorted.h"

struct pos {
    int32_t x, y, z;
};
struct wide {
    _Alignas(64) uint32_t value;
    char rest[100];
};

#define POS_HASH(k)     lode_hash_bytes(&(k), sizeof(k), 7)
#define POS_EQUAL(a, b) ((a).x == (b).x && (a).y == (b).y && (a).z == (b).z)
#define BAD_HASH(k)     ((k) % 3)
#define ONE_HASH(k)     ((void)(k), 0u)
#define BY_VALUE(a, b)  ((a) < (b))
LODE_MAP_DEFINE(numbers, uint32_t, uint32_t, LODE_HASH_INT, LODE_EQUAL_INT);
LODE_MAP_DEFINE(ores, struct pos, struct wide, POS_HASH, POS_EQUAL);
LODE_MAP_DEFINE(names, const char *, int, LODE_HASH_STRING, LODE_EQUAL_STRING);
LODE_MAP_DEFINE(bad, uint32_t, uint32_t, BAD_HASH, LODE_EQUAL_INT);
LODE_SET_DEFINE(one, uint32_t, ONE_HASH, LODE_EQUAL_INT);
LODE_SET_DEFINE(seen, uint64_t, LODE_HASH_INT, LODE_EQUAL_INT);
LODE_SET_DEFINE(owners, void *, LODE_HASH_PTR, LODE_EQUAL_PTR);
LODE_SORTED_MAP_DEFINE(sorted, uint32_t, uint32_t, BY_VALUE);
LODE_SORTED_SET_DEFINE(steps, uint32_t, BY_VALUE);

Test(ds_map, zero_bytes_are_an_empty_map)
{
    struct numbers m = {0};
    uint32_t *value = NULL;
    cr_assert_null(numbers_find(&m, 1));
    cr_assert_eq(numbers_remove(&m, 1), -ENOENT);
    cr_assert_eq(numbers_remove_at(&m, 0), -ERANGE);
    numbers_clear(&m);
    numbers_trim(&m);
    for (uint32_t i = 0; i < 10000; i++)
        cr_assert_eq(numbers_put(&m, i * 7, i), 0);
    cr_assert_eq(numbers_count(&m), 10000);
    for (uint32_t i = 0; i < 10000; i++)
        cr_assert_eq(*numbers_find(&m, i * 7), i);
    cr_assert_null(numbers_find(&m, 1));
    cr_assert_eq(numbers_put(&m, 7, 100), 0);
    cr_assert_eq(*numbers_find(&m, 7), 100);
    cr_assert_eq(numbers_insert(&m, 7, 1), -EEXIST);
    cr_assert_eq(numbers_get_or_add(&m, 7, &value), 0);
    cr_assert_eq(*value, 100);
    cr_assert_eq(numbers_get_or_add(&m, 8, &value), 0);
    cr_assert_eq(*value, 0);
    numbers_finish(&m);
    cr_assert_eq(numbers_count(&m), 0);
    numbers_finish(&m);
}

Test(ds_map, keys_of_all_sorts)
{
    struct names n = {0};
    struct ores o = {0};
    struct owners s = {0};
    char text[] = "stone";
    cr_assert_eq(names_put(&n, "stone", 3), 0);
    cr_assert_eq(names_put(&n, "", 4), 0);
    cr_assert_eq(*names_find(&n, text), 3);
    cr_assert_eq(*names_find(&n, ""), 4);
    cr_assert_null(names_find(&n, "ston"));
    for (int32_t x = -8; x < 8; x++)
        for (int32_t z = -8; z < 8; z++)
            cr_assert_eq(ores_put(&o, (struct pos){x, -x, z}, (struct wide){.value = 5}), 0);
    cr_assert_eq(ores_find(&o, (struct pos){-8, 8, 7})->value, 5);
    cr_assert_eq((uintptr_t)ores_find(&o, (struct pos){-8, 8, 7}) % 64, 0);
    cr_assert_null(ores_find(&o, (struct pos){-8, 8, 8}));
    cr_assert_eq(owners_insert(&s, &n), 0);
    cr_assert_eq(owners_insert(&s, &n), -EEXIST);
    cr_assert_eq(*owners_find(&s, &n), &n);
    cr_assert_null(owners_find(&s, &o));
    names_finish(&n);
    ores_finish(&o);
    owners_finish(&s);
}

Test(ds_map, items_are_dense_and_in_order_until_one_is_removed)
{
    struct seen s = {0};
    for (uint64_t i = 0; i < 100; i++)
        cr_assert_eq(seen_insert(&s, i * i), 0);
    for (uint32_t i = 0; i < s.table.count; i++)
        cr_assert_eq(s.items[i], (uint64_t)i * i);
    for (uint32_t i = s.table.count; i-- > 0;)
        if (s.items[i] % 2 == 0)
            cr_assert_eq(seen_remove_at(&s, i), 0);
    cr_assert_eq(seen_count(&s), 50);
    for (uint64_t i = 0; i < 100; i++)
        cr_assert_eq(seen_find(&s, i * i) != NULL, i % 2 == 1);
    seen_finish(&s);
}

Test(ds_map, the_cap_is_never_passed_but_replacing_is_fine)
{
    struct ds_memory *mem = ds_memory_create(1);
    struct numbers m;
    numbers_init(&m, 10, &mem->allocator);
    for (uint32_t i = 0; i < 10; i++)
        cr_assert_eq(numbers_put(&m, i, i), 0);
    cr_assert_eq(numbers_put(&m, 10, 1), -ENOSPC);
    cr_assert_eq(numbers_insert(&m, 10, 1), -ENOSPC);
    cr_assert_eq(numbers_reserve(&m, 11), -ENOSPC);
    cr_assert_eq(numbers_put(&m, 9, 1), 0);
    cr_assert_eq(numbers_insert(&m, 9, 1), -EEXIST);
    cr_assert_eq(numbers_count(&m), 10);
    cr_assert_eq(numbers_remove(&m, 0), 0);
    cr_assert_eq(numbers_put(&m, 10, 1), 0);
    numbers_finish(&m);
    cr_assert_eq(m.table.max_items, 10);
    numbers_init(&m, 0, &mem->allocator);
    cr_assert_eq(numbers_reserve(&m, SIZE_MAX), -ENOSPC);
    cr_assert_eq(numbers_reserve(&m, (size_t)3 << 30), -ENOSPC);
    cr_assert_null(m.items);
    ds_memory_destroy(mem);
}

Test(ds_map, reserved_room_is_not_left_and_trimming_gives_it_back)
{
    struct ds_memory *mem = ds_memory_create(1);
    struct numbers m;
    numbers_init(&m, 0, &mem->allocator);
    cr_assert_eq(numbers_reserve(&m, 1000), 0);
    size_t calls = mem->calls;
    for (uint32_t i = 0; i < 1000; i++)
        cr_assert_eq(numbers_put(&m, i, i), 0);
    for (uint32_t i = 0; i < 100000; i++) { /* churn: no tombstones, nothing to rehash */
        cr_assert_eq(numbers_remove(&m, i), 0);
        cr_assert_eq(numbers_put(&m, i + 1000, i), 0);
    }
    cr_assert_eq(mem->calls, calls);
    for (uint32_t i = 100000; i < 100990; i++)
        cr_assert_eq(numbers_remove(&m, i), 0);
    numbers_trim(&m);
    cr_assert_eq(mem->live_bytes, 10 * 8 + 16 * 8);
    for (uint32_t i = 100990; i < 101000; i++)
        cr_assert_eq(*numbers_find(&m, i), i - 1000);
    numbers_clear(&m);
    cr_assert_eq(numbers_count(&m), 0);
    cr_assert_null(numbers_find(&m, 100990));
    numbers_trim(&m);
    cr_assert_eq(mem->block_count, 0);
    ds_memory_destroy(mem);
}

Test(ds_map, each_allocation_may_fail)
{
    for (size_t k = 1; k < 60; k++) {
        struct ds_memory *mem = ds_memory_create(1);
        struct numbers m;
        uint32_t failures = 0;
        numbers_init(&m, 0, &mem->allocator);
        mem->fail_at = k;
        for (uint32_t i = 0; i < 2000; i++) {
            int status = numbers_put(&m, i, i);
            if (status != 0) {
                cr_assert_eq(status, -ENOMEM);
                cr_assert_eq(numbers_count(&m), i);
                cr_assert_null(numbers_find(&m, i));
                cr_assert_eq(numbers_put(&m, i, i), 0);
                failures++;
            }
        }
        cr_assert_leq(failures, 1);
        for (uint32_t i = 0; i < 2000; i++)
            cr_assert_eq(*numbers_find(&m, i), i);
        numbers_finish(&m);
        ds_memory_destroy(mem);
    }
}

Test(ds_map, where_double_is_too_much_less_will_do)
{
    struct ds_memory *mem = ds_memory_create(1);
    struct ores o;
    uint32_t last = 0;
    ores_init(&o, 0, &mem->allocator);
    mem->only_bytes = 30 * sizeof(struct ores_item);
    while (ores_put(&o, (struct pos){(int32_t)last, 0, 0}, (struct wide){.value = last}) == 0)
        last++;
    cr_assert_eq(last, 30);
    for (uint32_t i = 0; i < last; i++)
        cr_assert_eq(ores_find(&o, (struct pos){(int32_t)i, 0, 0})->value, i);
    ores_finish(&o);
    ds_memory_destroy(mem);
}

Test(ds_map, a_hash_that_tells_nothing_apart_is_refused_in_the_end)
{
    struct one s = {0};
    uint32_t i = 0;
    int status;
    while ((status = one_insert(&s, i)) == 0)
        i++;
    cr_assert_eq(status, -EOVERFLOW);
    cr_assert_eq(i, 8191);
    cr_assert_eq(one_count(&s), i);
    cr_assert_null(one_find(&s, i));
    for (uint32_t k = 0; k < i; k += 111)
        cr_assert_not_null(one_find(&s, k));
    cr_assert_eq(one_insert(&s, 5), -EEXIST);
    cr_assert_eq(one_remove(&s, 5), 0);
    cr_assert_eq(one_insert(&s, i), 0);
    one_finish(&s);
}

Test(ds_map, items_of_its_own_may_be_entered_while_it_grows)
{
    struct ds_memory *mem = ds_memory_create(1);
    struct numbers m;
    numbers_init(&m, 0, &mem->allocator);
    cr_assert_eq(numbers_put(&m, 0, 42), 0);
    for (uint32_t i = 1; i < 1000; i++)
        cr_assert_eq(numbers_put(&m, m.items[i - 1].key + 1, m.items[0].value), 0);
    for (uint32_t i = 0; i < 1000; i++)
        cr_assert_eq(*numbers_find(&m, i), 42);
    numbers_finish(&m);
    ds_memory_destroy(mem);
}

Test(ds_map, hash_of_bytes_depends_on_each_bit_length_and_seed)
{
    unsigned char data[64] = {0};
    struct seen s = {0};
    for (size_t bytes = 0; bytes <= sizeof(data); bytes++) {
        cr_assert_eq(seen_insert(&s, lode_hash_bytes(data, bytes, 0)), 0);
        cr_assert_eq(seen_insert(&s, lode_hash_bytes(data, bytes, 1)), 0);
        for (size_t bit = 0; bit < bytes * 8; bit++) {
            data[bit / 8] ^= (unsigned char)(1u << bit % 8);
            cr_assert_eq(seen_insert(&s, lode_hash_bytes(data, bytes, 0)), 0);
            data[bit / 8] ^= (unsigned char)(1u << bit % 8);
        }
    }
    cr_assert_eq(lode_hash_bytes(NULL, 0, 5), lode_hash_bytes(data, 0, 5));
    seen_finish(&s);
}

/* Random operations against a table of all keys. */
#define MODEL(name)                                                                                \
    static void name##_against_model(uint64_t seed)                                                \
    {                                                                                              \
        struct ds_memory *mem = ds_memory_create(seed);                                            \
        static uint32_t model[1000]; /* value + 1 by key; 0: not there */                          \
        size_t count = 0;                                                                          \
        struct name m;                                                                             \
        memset(model, 0, sizeof(model));                                                           \
        name##_init(&m, 700, &mem->allocator);                                                     \
        mem->fail_one_in = 4;                                                                      \
        for (int step = 0; step < 60000; step++) {                                                 \
            uint32_t key = (uint32_t)ds_random(&seed) % 1000, n = (uint32_t)step;                  \
            uint64_t what = ds_random(&seed) % 64;                                                 \
            int up = step / 5000 % 2 == 0, there = model[key] != 0;                                \
            if (what < (up ? 20 : 10)) {                                                           \
                int status = name##_put(&m, key, n);                                               \
                cr_assert(status == 0 || (!there && status == -(count == 700 ? ENOSPC : ENOMEM))); \
                count += status == 0 && !there;                                                    \
                model[key] = status == 0 ? n + 1 : model[key];                                     \
            } else if (what < (up ? 40 : 20)) {                                                    \
                int status = name##_insert(&m, key, n);                                            \
                cr_assert_eq(status == -EEXIST, there);                                            \
                count += status == 0;                                                              \
                model[key] = status == 0 ? n + 1 : model[key];                                     \
            } else if (what < 60) {                                                                \
                cr_assert_eq(name##_remove(&m, key), there ? 0 : -ENOENT);                         \
                count -= there != 0;                                                               \
                model[key] = 0;                                                                    \
            } else if (what < 61 && count > 0) {                                                   \
                size_t at = n % count;                                                             \
                model[m.items[at].key] = 0;                                                        \
                cr_assert_eq(name##_remove_at(&m, at), 0);                                         \
                count--;                                                                           \
            } else if (what < 62) {                                                                \
                name##_trim(&m);                                                                   \
            } else {                                                                               \
                (void)!name##_reserve(&m, n % 900);                                                \
            }                                                                                      \
            cr_assert_eq(name##_count(&m), count);                                                 \
            uint32_t *found = name##_find(&m, key);                                                \
            cr_assert_eq(found != NULL ? *found + 1 : 0, model[key]);                              \
            for (uint32_t k = 0; step % 64 == 0 && k < 1000; k++) {                                \
                found = name##_find(&m, k);                                                        \
                cr_assert_eq(found != NULL ? *found + 1 : 0, model[k]);                            \
            }                                                                                      \
        }                                                                                          \
        name##_finish(&m);                                                                         \
        ds_memory_destroy(mem);                                                                    \
    }

MODEL(numbers)
MODEL(bad)
MODEL(sorted)

Test(ds_map, random_operations_do_what_a_table_of_all_keys_does)
{
    for (uint64_t seed = 1; seed <= 3; seed++) {
        numbers_against_model(seed);
        bad_against_model(seed);
        sorted_against_model(seed);
    }
}

Test(ds_map, a_sorted_map_finds_neighbours_and_walks_in_order)
{
    struct sorted m = {0};
    struct steps s = LODE_DS_INIT(4, NULL);
    cr_assert_eq(sorted_lower(&m, 5), 0);
    cr_assert_null(sorted_find(&m, 5));
    for (uint32_t i = 100; i-- > 0;)
        cr_assert_eq(sorted_put(&m, i * 10, i), 0);
    for (size_t i = 0; i < m.count; i++)
        cr_assert_eq(m.items[i].key, i * 10);
    cr_assert_eq(sorted_lower(&m, 50), 5);
    cr_assert_eq(sorted_lower(&m, 51), 6);
    cr_assert_eq(sorted_upper(&m, 50), 6);
    cr_assert_eq(sorted_upper(&m, 49), 5);
    cr_assert_eq(sorted_lower(&m, 5000), 100);
    cr_assert_eq(sorted_append(&m, 990, 1), -EINVAL);
    cr_assert_eq(sorted_append(&m, 991, 1), 0);
    cr_assert_eq(sorted_remove_at(&m, 101), -ERANGE);
    cr_assert_eq(m.count, 101);
    sorted_finish(&m);
    cr_assert_eq(steps_insert(&s, 4), 0);
    cr_assert_eq(steps_insert(&s, 2), 0);
    cr_assert_eq(steps_insert(&s, 2), -EEXIST);
    cr_assert_eq(steps_append(&s, 4), -EINVAL);
    cr_assert_eq(steps_append(&s, 6), 0);
    cr_assert_eq(steps_insert(&s, 1), 0);
    cr_assert_eq(steps_insert(&s, 3), -ENOSPC);
    cr_assert_eq(steps_append(&s, 7), -ENOSPC);
    cr_assert_eq(*steps_find(&s, 6), 6);
    cr_assert_null(steps_find(&s, 3));
    cr_assert_eq(steps_remove(&s, 3), -ENOENT);
    cr_assert_eq(steps_remove(&s, 1), 0);
    cr_assert_eq(steps_at(&s, 0)[0], 2);
    steps_finish(&s);
}
