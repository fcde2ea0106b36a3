/* SPDX-License-Identifier: MIT */
/* lode/ds_sparse_set.h and lode/ds_sparse_array.h. */
#include <criterion/criterion.h>

#include <errno.h>

#include "ds_fixture.h"
#include "lode/ds_sparse_array.h"
#include "lode/ds_sparse_set.h"

struct wide {
    _Alignas(64) uint32_t value;
    char rest[100];
};

LODE_SPARSE_SET_DEFINE(mobs, uint32_t);
LODE_SPARSE_SET_DEFINE(wides, struct wide);
LODE_SPARSE_ARRAY_DEFINE(damage, uint16_t, 512);
LODE_SPARSE_ARRAY_DEFINE(big, struct wide, 256);

Test(ds_sparse_set, ids_stay_and_stale_ones_are_told)
{
    struct mobs s = {0};
    lode_sparse_id id[100], other = 0;
    cr_assert_null(mobs_get(&s, 0));
    cr_assert_eq(mobs_remove(&s, 0), -ESTALE);
    for (uint32_t i = 0; i < 100; i++) {
        cr_assert_eq(mobs_add(&s, i, &id[i]), 0);
        cr_assert_neq(id[i], 0);
    }
    for (uint32_t i = 0; i < 100; i += 3)
        cr_assert_eq(mobs_remove(&s, id[i]), 0);
    for (uint32_t i = 0; i < 100; i++) {
        cr_assert_eq(mobs_get(&s, id[i]) != NULL, i % 3 != 0);
        if (i % 3 != 0)
            cr_assert_eq(*mobs_get(&s, id[i]), i);
        else
            cr_assert_eq(mobs_remove(&s, id[i]), -ESTALE);
    }
    cr_assert_eq(mobs_add(&s, 1000, &other), 0); /* in the slot of one that is gone */
    for (uint32_t i = 0; i < 100; i += 3) {
        cr_assert_neq(other, id[i]);
        cr_assert_null(mobs_get(&s, id[i]));
    }
    for (uint32_t i = 0; i < s.set.count; i++)
        cr_assert_eq(mobs_get(&s, mobs_id(&s, i)), &s.items[i]);
    cr_assert_eq(mobs_id(&s, s.set.count), 0);
    /* Ids nobody was given: a slot beyond, generations of free slots. */
    cr_assert_null(mobs_get(&s, (uint64_t)1 << 32 | 5000));
    cr_assert_null(mobs_get(&s, (uint64_t)2 << 32 | (uint32_t)id[3]));
    cr_assert_null(mobs_get(&s, UINT64_MAX));
    mobs_clear(&s);
    for (uint32_t i = 0; i < 100; i++)
        cr_assert_null(mobs_get(&s, id[i]));
    mobs_finish(&s);
}

/* A slot that has lived more than half its lives would take as many from all made after it. */
Test(ds_sparse_set, trimming_keeps_a_slot_that_has_lived_long)
{
    struct mobs s = {0};
    lode_sparse_id id = 0;
    s.set.max_lives = 6;
    for (uint32_t lives = 1; lives <= 4; lives++) {
        cr_assert_eq(mobs_add(&s, 1, &id), 0);
        cr_assert_eq(mobs_remove(&s, id), 0);
        if (lives >= 3) {
            mobs_trim(&s);
            cr_assert_eq(s.set.slot_count, lives > 3);
        }
    }
    mobs_finish(&s);
}

Test(ds_sparse_set, a_slot_retires_before_its_generation_comes_again)
{
    struct mobs s = {0};
    lode_sparse_id id = 0, seen[300];
    s.set.max_lives = 3;
    for (size_t i = 0; i < 300; i++) {
        cr_assert_eq(mobs_add(&s, 1, &id), 0);
        for (size_t k = 0; k < i; k++) {
            cr_assert_neq(seen[k], id);
            cr_assert_null(mobs_get(&s, seen[k]));
        }
        seen[i] = id;
        cr_assert_eq(mobs_remove(&s, id), 0);
    }
    cr_assert_eq(s.set.retired, 100);
    cr_assert_eq(s.set.slot_count, 100);
    mobs_finish(&s);
    cr_assert_eq(s.set.max_lives, 3);
}

Test(ds_sparse_set, the_last_generation_of_all_retires_too)
{
    struct mobs s = {0};
    lode_sparse_id id = 0, next = 0;
    cr_assert_eq(mobs_add(&s, 1, &id), 0);
    s.set.slots[0].generation = UINT32_MAX - 2; /* as after 2^31 - 2 lives */
    id = mobs_id(&s, 0);
    cr_assert_eq(*mobs_get(&s, id), 1);
    cr_assert_eq(mobs_remove(&s, id), 0);
    cr_assert_eq(s.set.retired, 1);
    cr_assert_eq(mobs_add(&s, 2, &next), 0);
    cr_assert_eq((uint32_t)next, 1);
    cr_assert_null(mobs_get(&s, id));
    mobs_finish(&s);
}

Test(ds_sparse_set, trimming_returns_every_byte_and_still_tells_stale_ids)
{
    struct ds_memory *m = ds_memory_create(1);
    struct wides s;
    lode_sparse_id old[200], id = 0;
    size_t count = 0;
    wides_init(&s, 0, &m->allocator);
    for (int round = 0; round < 10; round++) {
        for (uint32_t i = 0; i < 20; i++) {
            cr_assert_eq(wides_add(&s, (struct wide){.value = i}, &old[count++]), 0);
            cr_assert_eq((uintptr_t)s.items % 64, 0);
        }
        for (uint32_t i = 0; i < 20; i++)
            cr_assert_eq(wides_remove(&s, old[count - 1 - i]), 0);
        wides_trim(&s);
        cr_assert_eq(m->live_bytes, 0);
        cr_assert_eq(wides_add(&s, (struct wide){.value = 1}, &id), 0);
        for (size_t i = 0; i < count; i++)
            cr_assert_null(wides_get(&s, old[i]));
        cr_assert_eq(wides_remove(&s, id), 0);
    }
    /* In the middle: only what is free at the end goes. */
    lode_sparse_id keep = 0;
    for (uint32_t i = 0; i < 50; i++) {
        cr_assert_eq(wides_add(&s, (struct wide){.value = i}, &id), 0);
        if (i == 30)
            keep = id;
    }
    for (uint32_t i = s.set.count; i-- > 0;)
        if (wides_id(&s, i) != keep)
            cr_assert_eq(wides_remove(&s, wides_id(&s, i)), 0);
    wides_trim(&s);
    cr_assert_eq(s.set.slot_count, (uint32_t)keep + 1);
    cr_assert_eq(wides_get(&s, keep)->value, 30);
    cr_assert_eq(m->block_count, 2);
    wides_finish(&s);
    ds_memory_destroy(m);
}

Test(ds_sparse_set, caps_and_memory_run_out_without_harm)
{
    struct ds_memory *m = ds_memory_create(1);
    struct mobs s;
    lode_sparse_id id = 77;
    mobs_init(&s, 20, &m->allocator);
    for (uint32_t i = 0; i < 20; i++)
        cr_assert_eq(mobs_add(&s, i, &id), 0);
    lode_sparse_id last = id;
    cr_assert_eq(mobs_add(&s, 20, &id), -ENOSPC);
    cr_assert_eq(mobs_reserve(&s, 21), -ENOSPC);
    cr_assert_eq(id, last);
    cr_assert_eq(mobs_remove(&s, last), 0);
    cr_assert_eq(mobs_add(&s, 20, &id), 0);
    mobs_finish(&s);
    for (size_t k = 1; k < 20; k++) {
        size_t failures = 0;
        m->fail_at = m->calls + k;
        mobs_init(&s, 0, &m->allocator);
        for (uint32_t i = 0; i < 1000; i++) {
            id = 77;
            int status = mobs_add(&s, i, &id);
            if (status == 0)
                continue;
            cr_assert_eq(status, -ENOMEM);
            cr_assert(id == 77 && mobs_count(&s) == i);
            cr_assert_eq(mobs_add(&s, i, &id), 0);
            failures++;
        }
        cr_assert_leq(failures, 1);
        for (uint32_t i = 0; i < 1000; i++)
            cr_assert_eq(s.items[i], i);
        mobs_finish(&s);
    }
    mobs_init(&s, 0, &m->allocator);
    cr_assert_eq(mobs_reserve(&s, SIZE_MAX), -ENOSPC);
    cr_assert_eq(mobs_reserve(&s, 100), 0);
    size_t calls = m->calls;
    for (uint32_t i = 0; i < 100; i++)
        cr_assert_eq(mobs_add(&s, i, &id), 0);
    cr_assert_eq(m->calls, calls);
    cr_assert_eq(mobs_add(&s, s.items[3], &id), 0);
    cr_assert_eq(*mobs_get(&s, id), 3);
    mobs_finish(&s);
    ds_memory_destroy(m);
}

struct live {
    lode_sparse_id id;
    uint32_t value;
};

Test(ds_sparse_set, random_operations_do_what_a_list_does)
{
    uint64_t seed = 3;
    struct ds_memory *m = ds_memory_create(seed);
    static struct live live[400];
    static lode_sparse_id dead[100000];
    size_t count = 0, dead_count = 0;
    struct wides s;
    wides_init(&s, 400, &m->allocator);
    s.set.max_lives = 50;
    m->fail_one_in = 4;
    for (int step = 0; step < 60000; step++) {
        uint64_t what = ds_random(&seed) % 64;
        int up = step / 2000 % 2 == 0;
        uint32_t n = (uint32_t)step;
        if (what < (up ? 40 : 20)) {
            lode_sparse_id id = 0;
            int status = wides_add(&s, (struct wide){.value = n}, &id);
            cr_assert(status == 0 || status == -(count == 400 ? ENOSPC : ENOMEM));
            if (status == 0)
                live[count++] = (struct live){id, n};
        } else if (what < 61 && count > 0) {
            size_t at = ds_random(&seed) % count;
            cr_assert_eq(wides_remove(&s, live[at].id), 0);
            dead[dead_count++] = live[at].id;
            live[at] = live[--count];
        } else if (what == 61) {
            wides_trim(&s);
        } else if (what == 62 && n % 32 == 0) {
            wides_clear(&s);
            while (count > 0)
                dead[dead_count++] = live[--count].id;
        }
        cr_assert_eq(wides_count(&s), count);
        for (size_t i = 0; step % 32 == 0 && i < count; i++)
            cr_assert_eq(wides_get(&s, live[i].id)->value, live[i].value);
        for (size_t i = (size_t)step % 128; step % 32 == 0 && i < dead_count; i += 128)
            cr_assert_null(wides_get(&s, dead[i]));
    }
    cr_assert_gt(s.set.retired, 0);
    for (size_t i = 0; i < dead_count; i++)
        cr_assert_null(wides_get(&s, dead[i]));
    wides_finish(&s);
    ds_memory_destroy(m);
}

Test(ds_sparse_array, zero_bytes_are_an_empty_array)
{
    struct damage d = {0};
    struct lode_sparse_cursor at = {0};
    cr_assert_null(damage_get(&d, 0));
    cr_assert_null(damage_peek(&d, UINT64_MAX));
    cr_assert_eq(damage_remove(&d, 5), -ENOENT);
    cr_assert_eq(damage_drop(&d, 5), -ENOENT);
    cr_assert_null(damage_next(&d, &at));
    damage_trim(&d);
    cr_assert_eq(damage_set(&d, 0, 1), 0);
    cr_assert_eq(damage_set(&d, UINT64_MAX, 2), 0);
    cr_assert_eq(damage_set(&d, 511, 3), 0);
    cr_assert_eq(damage_set(&d, 512, 4), 0);
    cr_assert_eq(damage_set(&d, 0, 5), 0);
    cr_assert_eq(*damage_get(&d, 0), 5);
    cr_assert_eq(*damage_get(&d, UINT64_MAX), 2);
    cr_assert_eq(*damage_peek(&d, 511), 3);
    cr_assert_null(damage_get(&d, 1));
    cr_assert_eq(damage_count(&d), 4);
    cr_assert_eq(damage_remove(&d, 512), 0);
    cr_assert_eq(damage_remove(&d, 512), -ENOENT);
    damage_finish(&d);
    cr_assert_eq(damage_count(&d), 0);
}

Test(ds_sparse_array, the_last_chunk_is_remembered)
{
    struct damage d = {0};
    struct lode_sparse_stats stats;
    for (uint64_t i = 0; i < 1024; i++)
        cr_assert_eq(damage_set(&d, i, 1), 0);
    damage_stats(&d, &stats);
    cr_assert_eq(stats.items, 1024);
    cr_assert_eq(stats.chunks, 2);
    cr_assert_eq(stats.hits, 1022);
    cr_assert_eq(stats.misses, 2);
    for (uint64_t i = 0; i < 1024; i++)
        cr_assert_not_null(damage_get(&d, i));
    damage_stats(&d, &stats);
    cr_assert_eq(stats.hits, 1022 + 1022);
    cr_assert_eq(stats.misses, 4);
    cr_assert_not_null(damage_peek(&d, 0));
    damage_stats(&d, &stats);
    cr_assert_eq(stats.hits + stats.misses, 2048);
    damage_finish(&d);
}

Test(ds_sparse_array, idle_chunks_are_found_and_dropped)
{
    struct ds_memory *m = ds_memory_create(1);
    struct damage d;
    struct lode_sparse_chunk chunk;
    struct lode_sparse_cursor at = {0};
    struct lode_sparse_stats stats;
    damage_init(&d, 0, &m->allocator);
    for (uint64_t c = 0; c < 10; c++) {
        cr_assert_eq(damage_set(&d, c * 512 + 7, 1), 0);
        damage_tick(&d);
    }
    cr_assert_not_null(damage_get(&d, 7)); /* the oldest is used again */
    cr_assert_not_null(damage_peek(&d, 1 * 512 + 7));
    int found = 0;
    while (damage_idle(&d, 5, &at, &chunk) == 0) {
        cr_assert_geq(chunk.idle_ticks, 5);
        cr_assert_eq(chunk.count, 1);
        cr_assert_eq(chunk.first_index, at.index);
        cr_assert(chunk.first_index >= 512 && chunk.first_index <= 5 * 512);
        cr_assert_eq(damage_drop(&d, chunk.first_index), 0);
        found++;
    }
    cr_assert_eq(found, 5);
    cr_assert_eq(damage_count(&d), 5);
    cr_assert_null(damage_get(&d, 512 + 7));
    damage_stats(&d, &stats);
    cr_assert_eq(stats.chunks, 5);
    cr_assert_eq(stats.bytes, m->live_bytes);
    cr_assert_eq(stats.idle_ticks, 4);
    damage_finish(&d);
    ds_memory_destroy(m);
}

Test(ds_sparse_array, it_is_as_small_as_what_it_holds)
{
    struct ds_memory *m = ds_memory_create(1);
    struct damage d;
    damage_init(&d, 0, &m->allocator);
    for (uint64_t i = 0; i < 512 * 64; i++)
        cr_assert_eq(damage_set(&d, i, (uint16_t)i), 0);
    damage_trim(&d);
    /* two bytes an item, and per chunk a head, bits, ranks and 24 to 30 bytes of table */
    cr_assert_leq(m->live_bytes, 512 * 64 * 2 + 64 * (24 + 64 + 16 + 32));
    for (uint64_t i = 0; i < 512 * 64; i++)
        if (i % 128 != 0)
            cr_assert_eq(damage_remove(&d, i), 0);
    cr_assert_leq(m->live_bytes, 64 * (24 + 64 + 16 + 32 + 2 * 16));
    for (uint64_t i = 0; i < 512 * 64; i += 128)
        cr_assert_eq(*damage_get(&d, i), (uint16_t)i);
    for (uint64_t i = 0; i < 512 * 64; i += 128)
        cr_assert_eq(damage_remove(&d, i), 0);
    damage_trim(&d);
    cr_assert_eq(m->block_count, 0);
    ds_memory_destroy(m);
}

Test(ds_sparse_array, caps_and_memory_run_out_without_harm)
{
    struct ds_memory *m = ds_memory_create(1);
    struct big b;
    big_init(&b, 3, &m->allocator);
    for (uint64_t i = 0; i < 3; i++)
        cr_assert_eq(big_set(&b, i * 50, (struct wide){.value = 1}), 0);
    cr_assert_eq(big_set(&b, 7, (struct wide){.value = 1}), -ENOSPC);
    cr_assert_null(big_get(&b, 7));
    cr_assert_eq(big_set(&b, 50, (struct wide){.value = 9}), 0);
    cr_assert_eq(big_get(&b, 50)->value, 9);
    cr_assert_eq((uintptr_t)big_get(&b, 50) % 64, 0);
    big_finish(&b);
    for (size_t k = 1; k < 40; k++) {
        m->fail_at = m->calls + k;
        big_init(&b, 0, &m->allocator);
        for (uint32_t i = 0; i < 300; i++) {
            uint64_t index = (uint64_t)i * 37 % 300;
            int status = big_set(&b, index, (struct wide){.value = i});
            if (status != 0) {
                cr_assert_eq(status, -ENOMEM);
                cr_assert_eq(big_count(&b), i);
                cr_assert_null(big_get(&b, index));
                cr_assert_eq(big_set(&b, index, (struct wide){.value = i}), 0);
            }
        }
        for (uint32_t i = 0; i < 300; i++)
            cr_assert_eq(big_get(&b, (uint64_t)i * 37 % 300)->value, i);
        big_finish(&b);
    }
    ds_memory_destroy(m);
}

static void check_walk(const struct big *b, const uint32_t *model, size_t count)
{
    struct lode_sparse_cursor at = {0};
    size_t seen = 0;
    uint64_t last = 0;
    for (struct wide *it; (it = big_next(b, &at)) != NULL; last = at.index) {
        cr_assert(at.index < 1000 && model[at.index] == it->value + 1);
        cr_assert(seen == 0 || at.index / 256 != last / 256 || at.index > last);
        seen++;
    }
    cr_assert_eq(seen, count);
}

Test(ds_sparse_array, random_operations_do_what_an_array_does)
{
    uint64_t seed = 9;
    struct ds_memory *m = ds_memory_create(seed);
    static uint32_t model[1000]; /* value + 1; 0: not there */
    size_t count = 0;
    struct big b;
    big_init(&b, 600, &m->allocator);
    m->fail_one_in = 5;
    for (int step = 0; step < 60000; step++) {
        uint64_t index = ds_random(&seed) % 1000, what = ds_random(&seed) % 64;
        int up = step / 4000 % 2 == 0, there = model[index] != 0;
        if (what < (up ? 40 : 15)) {
            int status = big_set(&b, index, (struct wide){.value = (uint32_t)step});
            cr_assert(status == 0 || (!there && status == -(count == 600 ? ENOSPC : ENOMEM)));
            count += status == 0 && !there;
            model[index] = status == 0 ? (uint32_t)step + 1 : model[index];
        } else if (what < 61) {
            cr_assert_eq(big_remove(&b, index), there ? 0 : -ENOENT);
            count -= there != 0;
            model[index] = 0;
        } else if (what == 61) {
            big_trim(&b);
        } else if (what == 62 && step % 8 == 0) {
            int any = 0;
            for (size_t i = index / 256 * 256; i < index / 256 * 256 + 256 && i < 1000; i++) {
                any |= model[i] != 0;
                count -= model[i] != 0;
                model[i] = 0;
            }
            cr_assert_eq(big_drop(&b, index), any ? 0 : -ENOENT);
        }
        cr_assert_eq(big_count(&b), count);
        struct wide *found = step % 2 == 0 ? big_get(&b, index) : big_peek(&b, index);
        cr_assert_eq(found != NULL ? found->value + 1 : 0, model[index]);
        if (step % 100 == 0)
            check_walk(&b, model, count);
    }
    big_finish(&b);
    ds_memory_destroy(m);
}
