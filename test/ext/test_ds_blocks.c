/* SPDX-License-Identifier: MIT */
/* lode/ds_stable.h and lode/ds_pooled.h: vectors made of blocks. */
#include <criterion/criterion.h>

#include <errno.h>

#include "ds_fixture.h"
#include "lode/ds_pooled.h"
#include "lode/ds_stable.h"

struct wide {
    _Alignas(64) uint32_t value;
    char rest[100];
};

LODE_STABLEVEC_DEFINE(stable, uint32_t, 8);
LODE_STABLEVEC_DEFINE(stable_wide, struct wide, 4);
LODE_POOLEDVEC_DEFINE(pooled, uint32_t, 40);          /* 10 items, a fan of 4 */
LODE_POOLEDVEC_DEFINE(pooled_pairs, uint64_t, 16);    /* 2 items, a fan of 2 */
LODE_POOLEDVEC_DEFINE(pooled_wide, struct wide, 512); /* 2 items */

Test(ds_blocks, addresses_never_change)
{
    struct ds_memory *m = ds_memory_create(1);
    struct stable v;
    uint32_t *first = NULL, *at[1000];
    stable_init(&v, 0, &m->allocator);
    cr_assert_eq(stable_add(&v, &first), 0);
    *first = 0;
    at[0] = first;
    for (uint32_t i = 1; i < 1000; i++) {
        cr_assert_eq(stable_push(&v, i), 0);
        at[i] = stable_at(&v, i);
    }
    for (uint32_t i = 0; i < 1000; i++)
        cr_assert(stable_at(&v, i) == at[i] && *at[i] == i);
    cr_assert_null(stable_at(&v, 1000));
    for (int i = 0; i < 500; i++)
        cr_assert_eq(stable_pop(&v, NULL), 0);
    stable_trim(&v);
    cr_assert_eq(v.core.capacity, 504);
    for (uint32_t i = 0; i < 500; i++)
        cr_assert(stable_at(&v, i) == at[i] && *at[i] == i);
    stable_finish(&v);
    ds_memory_destroy(m);
}

Test(ds_blocks, chunks_are_walked_in_order)
{
    struct stable v = {0};
    struct pooled p = {0};
    for (uint32_t i = 0; i < 77; i++) {
        cr_assert_eq(stable_push(&v, i), 0);
        cr_assert_eq(pooled_push(&p, i), 0);
    }
    uint32_t next = 0;
    for (size_t c = 0, n; c < stable_chunks(&v); c++)
        for (uint32_t *it = stable_chunk(&v, c, &n); n > 0; it++, n--)
            cr_assert_eq(*it, next++);
    cr_assert_eq(next, 77);
    next = 0;
    for (size_t b = 0, n; b < pooled_blocks(&p); b++)
        for (uint32_t *it = pooled_block(&p, b, &n); n > 0; it++, n--)
            cr_assert_eq(*it, next++);
    cr_assert_eq(next, 77);
    stable_finish(&v);
    pooled_finish(&p);
    cr_assert_eq(stable_chunks(&v), 0);
    cr_assert_eq(pooled_blocks(&p), 0);
    cr_assert_eq(stable_pop(&v, NULL), -ENOENT);
    cr_assert_eq(pooled_pop(&p, NULL), -ENOENT);
}

Test(ds_blocks, caps_that_are_no_multiple_of_a_block_hold)
{
    struct stable v;
    struct pooled p;
    stable_init(&v, 11, NULL);
    cr_assert_eq(pooled_init(&p, 11, NULL), 0);
    for (uint32_t i = 0; i < 11; i++) {
        cr_assert_eq(stable_push(&v, i), 0);
        cr_assert_eq(pooled_push(&p, i), 0);
    }
    cr_assert_eq(stable_push(&v, 11), -ENOSPC);
    cr_assert_eq(pooled_push(&p, 11), -ENOSPC);
    cr_assert_eq(stable_reserve(&v, 12), -ENOSPC);
    cr_assert_eq(pooled_reserve(&p, 12), -ENOSPC);
    cr_assert_eq(stable_count(&v), 11);
    cr_assert_eq(pooled_count(&p), 11);
    stable_finish(&v);
    pooled_finish(&p);
}

Test(ds_blocks, sizes_that_overflow_are_no_memory)
{
    struct stable_wide v = {0};
    struct pooled_wide p = {0};
    cr_assert_eq(stable_wide_reserve(&v, SIZE_MAX), -ENOMEM);
    cr_assert_eq(pooled_wide_reserve(&p, SIZE_MAX), -ENOMEM);
    cr_assert_eq(stable_wide_reserve(&v, SIZE_MAX / sizeof(struct wide)), -ENOMEM);
    cr_assert_null(v.core.chunks);
    cr_assert_null(p.core.root);
}

Test(ds_blocks, what_no_memory_holds_is_refused_before_a_block_is_taken)
{
    struct ds_memory *m = ds_memory_create(1);
    struct pooled_wide p;
    cr_assert_eq(pooled_wide_init(&p, 0, &m->allocator), 0);
    size_t calls = m->calls;
    m->fail_at = calls + 1000; /* not to go on for ever */
    cr_assert_eq(pooled_wide_reserve(&p, PTRDIFF_MAX / sizeof(struct wide) + 1), -ENOMEM);
    cr_assert_eq(m->calls, calls);
    pooled_wide_finish(&p);
    ds_memory_destroy(m);
}

Test(ds_blocks, a_reserve_that_fails_midway_gives_everything_back)
{
    struct ds_memory *m = ds_memory_create(1);
    struct stable_wide v;
    struct pooled_wide p;
    stable_wide_init(&v, 0, &m->allocator);
    cr_assert_eq(pooled_wide_init(&p, 0, &m->allocator), 0);
    cr_assert_eq(stable_wide_reserve(&v, 5), 0);
    cr_assert_eq(pooled_wide_reserve(&p, 5), 0);
    size_t calls = m->calls, blocks;
    for (size_t k = 1; k < 100; k++) {
        m->fail_at = 0;
        stable_wide_trim(&v);
        pooled_wide_trim(&p);
        cr_assert_eq(m->block_count, 0);
        cr_assert_eq(stable_wide_reserve(&v, 5), 0);
        cr_assert_eq(pooled_wide_reserve(&p, 5), 0);
        blocks = m->block_count;
        calls = m->calls;
        m->fail_at = calls + k;
        int status = pooled_wide_reserve(&p, 200);
        cr_assert(status == 0 || (status == -ENOMEM && m->block_count == blocks));
        m->fail_at = m->calls + k;
        size_t chunks = v.core.chunk_count;
        int also = stable_wide_reserve(&v, 200);
        cr_assert(also == 0 || (also == -ENOMEM && v.core.capacity == 8));
        cr_assert(also == 0 || v.core.chunk_count == chunks);
        pooled_wide_trim(&p);
        stable_wide_trim(&v);
    }
    stable_wide_finish(&v);
    pooled_wide_finish(&p);
    ds_memory_destroy(m);
}

Test(ds_blocks, a_pooled_vector_lives_on_blocks_of_one_size)
{
    struct ds_memory *m = ds_memory_create(1);
    struct pooled v;
    m->only_bytes = 39;
    m->allocator.traits |= LODE_TRAIT_FIXED;
    memset(&v, 0xee, sizeof(v));
    cr_assert_eq(pooled_init(&v, 0, &m->allocator), -EINVAL);
    cr_assert_eq(v.core.count, (size_t)0xeeeeeeeeeeeeeeee);
    m->only_bytes = 40;
    cr_assert_eq(pooled_init(&v, 0, &m->allocator), 0);
    for (uint32_t i = 0; i < 5000; i++)
        cr_assert_eq(pooled_push(&v, i), 0);
    for (size_t i = 0; i < m->block_count; i++)
        cr_assert_eq(m->blocks[i].bytes, 40);
    cr_assert_eq(v.core.levels, 5); /* 500 blocks, a fan of 4 */
    cr_assert_eq(m->block_count, 500 + 125 + 32 + 8 + 2 + 1);
    for (uint32_t i = 0; i < 5000; i++)
        cr_assert_eq(*pooled_at(&v, i), i);
    pooled_clear(&v);
    cr_assert_eq(m->block_count, 0);
    ds_memory_destroy(m);
}

Test(ds_blocks, a_pooled_vector_keeps_one_empty_block_at_most)
{
    struct ds_memory *m = ds_memory_create(1);
    struct pooled v;
    cr_assert_eq(pooled_init(&v, 0, &m->allocator), 0);
    for (uint32_t i = 0; i < 31; i++)
        cr_assert_eq(pooled_push(&v, i), 0);
    cr_assert_eq(v.core.block_count, 4);
    cr_assert_eq(pooled_remove_swap(&v, 3), 0);
    cr_assert_eq(*pooled_at(&v, 3), 30);
    cr_assert_eq(pooled_remove_swap(&v, 30), -ERANGE);
    cr_assert_eq(v.core.block_count, 4);
    size_t calls = m->calls;
    cr_assert_eq(pooled_push(&v, 1), 0); /* at the edge nothing is allocated and freed in turn */
    cr_assert_eq(pooled_pop(&v, NULL), 0);
    cr_assert_eq(m->calls, calls);
    while (v.core.count > 20)
        cr_assert_eq(pooled_pop(&v, NULL), 0);
    cr_assert_eq(v.core.block_count, 3);
    pooled_trim(&v);
    cr_assert_eq(v.core.block_count, 2);
    pooled_finish(&v);
    ds_memory_destroy(m);
}

#define MODEL(name, type, TO, OF)                                                      \
    static void name##_against_model(uint64_t seed)                                    \
    {                                                                                  \
        struct ds_memory *m = ds_memory_create(seed);                                  \
        uint32_t model[700], count = 0;                                                \
        struct name v;                                                                 \
        memset(&v, 0, sizeof(v));                                                      \
        v.core.max_items = 600;                                                        \
        v.core.allocator = &m->allocator;                                              \
        m->fail_one_in = 8;                                                            \
        for (int step = 0; step < 20000; step++) {                                     \
            uint32_t n = (uint32_t)ds_random(&seed);                                   \
            uint64_t what = ds_random(&seed) % 32;                                     \
            type item = TO(n);                                                         \
            /* long runs up and down, so that levels come and go */                    \
            int up = step / 1500 % 2 == 0;                                             \
            if (what < (up ? 22 : 8)) {                                                \
                int status = name##_push(&v, item);                                    \
                cr_assert(status == 0 || status == -(count == 600 ? ENOSPC : ENOMEM)); \
                if (status == 0)                                                       \
                    model[count++] = n;                                                \
            } else if (what < 29) {                                                    \
                int status = name##_pop(&v, &item);                                    \
                cr_assert_eq(status, count > 0 ? 0 : -ENOENT);                         \
                if (status == 0)                                                       \
                    cr_assert_eq(OF(item), model[--count]);                            \
            } else if (what == 29) {                                                   \
                size_t capacity = v.core.capacity;                                     \
                if (name##_reserve(&v, n % 600) != 0)                                  \
                    cr_assert_eq(v.core.capacity, capacity);                           \
            } else if (what == 30) {                                                   \
                name##_trim(&v);                                                       \
            } else if (n % 256 == 0) {                                                 \
                name##_clear(&v);                                                      \
                count = 0;                                                             \
            }                                                                          \
            cr_assert(name##_count(&v) == count && v.core.capacity >= count);          \
            for (uint32_t i = step % 64; i < count; i += 7)                            \
                cr_assert_eq(OF(*name##_at(&v, i)), model[i]);                         \
        }                                                                              \
        name##_finish(&v);                                                             \
        ds_memory_destroy(m);                                                          \
    }

#define PLAIN(n)   (n)
#define LESS(n)    ((uint32_t)(n))
#define WIDE(n)    ((struct wide){.value = (n)})
#define WIDE_OF(w) ((w).value)
MODEL(stable, uint32_t, PLAIN, PLAIN)
MODEL(stable_wide, struct wide, WIDE, WIDE_OF)
MODEL(pooled, uint32_t, PLAIN, PLAIN)
MODEL(pooled_pairs, uint64_t, PLAIN, LESS)
MODEL(pooled_wide, struct wide, WIDE, WIDE_OF)

Test(ds_blocks, random_operations_do_what_an_array_does)
{
    for (uint64_t seed = 1; seed <= 3; seed++) {
        stable_against_model(seed);
        stable_wide_against_model(seed);
        pooled_against_model(seed);
        pooled_pairs_against_model(seed);
        pooled_wide_against_model(seed);
    }
}
