/* SPDX-License-Identifier: MIT */
/* lode/ds_vec.h and lode/ds_smallvec.h: vector, bump vector, small vector. */
#include <criterion/criterion.h>

#include <errno.h>

#include "ds_fixture.h"
#include "lode/ds_smallvec.h"
#include "lode/ds_vec.h"

struct wide {
    _Alignas(64) uint32_t value;
    char rest[100];
};

LODE_VEC_DEFINE(ints, uint32_t);
LODE_VEC_DEFINE(wides, struct wide);
LODE_VEC_DEFINE(texts, const char *);
LODE_BUMPVEC_DEFINE(bump, uint32_t);
LODE_SMALLVEC_DEFINE(few, uint32_t, 6);
LODE_SMALLVEC_DEFINE(few_wide, struct wide, 3);

Test(ds_vec, zero_bytes_are_an_empty_vector_of_mallocs_heap)
{
    struct ints v = {0};
    struct lode_block_info info;
    for (uint32_t i = 0; i < 1000; i++)
        cr_assert_eq(ints_push(&v, i), 0);
    cr_assert_eq(ints_count(&v), 1000);
    cr_assert_eq(*ints_at(&v, 999), 999);
    cr_assert_null(ints_at(&v, 1000));
    cr_assert_eq(lode_block_find(v.items, &info), 0);
    cr_assert_leq(v.capacity * 4, info.usable_bytes);
    ints_finish(&v);
    cr_assert_null(v.items);
    ints_finish(&v);
    struct wides w = {0};
    for (uint32_t i = 0; i < 100; i++)
        cr_assert_eq(wides_push(&w, (struct wide){.value = i}), 0);
    cr_assert_eq((uintptr_t)w.items % 64, 0);
    cr_assert_eq(w.items[77].value, 77);
    w.count = 10;
    wides_trim(&w);
    cr_assert_eq(w.capacity, 10);
    cr_assert_eq((uintptr_t)w.items % 64, 0);
    cr_assert_eq(w.items[9].value, 9);
    wides_finish(&w);
}

Test(ds_vec, nothing_is_allocated_before_the_first_item)
{
    struct ds_memory *m = ds_memory_create(1);
    struct ints v = LODE_DS_INIT(0, &m->allocator);
    cr_assert_eq(ints_push_many(&v, NULL, 0), 0);
    cr_assert_eq(ints_resize(&v, 0), 0);
    ints_clear(&v);
    ints_trim(&v);
    cr_assert_eq(ints_pop(&v, NULL), -ENOENT);
    cr_assert_eq(m->calls, 0);
    ints_finish(&v);
    ds_memory_destroy(m);
}

Test(ds_vec, the_cap_is_never_passed)
{
    struct ds_memory *m = ds_memory_create(1);
    struct ints v = LODE_DS_INIT(10, &m->allocator);
    const uint32_t three[] = {1, 2, 3};
    volatile size_t most = SIZE_MAX;
    for (uint32_t i = 0; i < 10; i++)
        cr_assert_eq(ints_push(&v, i), 0);
    cr_assert_eq(v.capacity, 10);
    cr_assert_eq(ints_push(&v, 10), -ENOSPC);
    cr_assert_eq(ints_insert(&v, 0, 10), -ENOSPC);
    cr_assert_eq(ints_resize(&v, 11), -ENOSPC);
    cr_assert_eq(ints_reserve(&v, 11), -ENOSPC);
    cr_assert_eq(ints_remove(&v, 0), 0);
    cr_assert_eq(ints_remove(&v, 0), 0);
    cr_assert_eq(ints_push_many(&v, three, 3), -ENOSPC);
    cr_assert_eq(v.count, 8);
    cr_assert_eq(ints_push_many(&v, three, most), -ENOSPC);
    cr_assert_eq(ints_push_many(&v, three, 2), 0);
    cr_assert_eq(v.items[9], 2);
    ints_finish(&v);
    ds_memory_destroy(m);
}

Test(ds_vec, sizes_that_overflow_are_no_memory)
{
    struct ds_memory *m = ds_memory_create(1);
    struct wides v = LODE_DS_INIT(0, &m->allocator);
    volatile size_t most = SIZE_MAX;
    cr_assert_eq(wides_reserve(&v, SIZE_MAX), -ENOMEM);
    cr_assert_eq(wides_reserve(&v, SIZE_MAX / sizeof(struct wide) + 2), -ENOMEM);
    cr_assert_eq(wides_resize(&v, SIZE_MAX / 2), -ENOMEM);
    cr_assert_eq(wides_push(&v, (struct wide){.value = 1}), 0);
    cr_assert_eq(wides_push_many(&v, v.items, most), -ENOMEM);
    cr_assert_eq(v.count, 1);
    wides_finish(&v);
    ds_memory_destroy(m);
}

Test(ds_vec, bad_places_are_refused)
{
    struct ints v = {0};
    cr_assert_eq(ints_insert(&v, 1, 5), -ERANGE);
    cr_assert_eq(ints_remove(&v, 0), -ERANGE);
    cr_assert_eq(ints_remove_swap(&v, 0), -ERANGE);
    cr_assert_eq(v.count, 0);
    cr_assert_null(v.items);
}

Test(ds_vec, without_memory_everything_is_as_it_was)
{
    struct ds_memory *m = ds_memory_create(1);
    struct ints v = LODE_DS_INIT(0, &m->allocator);
    uint32_t *slot = NULL;
    m->fail_one_in = 1;
    cr_assert_eq(ints_push(&v, 1), -ENOMEM);
    cr_assert_eq(v.capacity, 0);
    m->fail_one_in = 0;
    while (v.count < v.capacity || v.count == 0)
        cr_assert_eq(ints_push(&v, (uint32_t)v.count), 0);
    struct ints before = v;
    m->fail_one_in = 1;
    cr_assert_eq(ints_push(&v, 1), -ENOMEM);
    cr_assert_eq(ints_add(&v, &slot), -ENOMEM);
    cr_assert_null(slot);
    cr_assert_eq(ints_insert(&v, 0, 1), -ENOMEM);
    cr_assert_eq(ints_push_many(&v, v.items, 2), -ENOMEM);
    cr_assert_eq(ints_resize(&v, 1000), -ENOMEM);
    cr_assert_eq(ints_reserve(&v, 1000), -ENOMEM);
    cr_assert_eq(memcmp(&v, &before, sizeof(v)), 0);
    (void)ints_pop(&v, NULL);
    ints_trim(&v); /* cannot move: keeps its room */
    cr_assert_eq(v.capacity, before.capacity);
    ints_finish(&v);
    ds_memory_destroy(m);
}

Test(ds_vec, where_double_is_too_much_less_will_do)
{
    struct ds_memory *m = ds_memory_create(1);
    struct ints v = LODE_DS_INIT(0, &m->allocator);
    cr_assert_eq(ints_resize(&v, 100), 0);
    m->only_bytes = 150 * 4;
    while (ints_push(&v, 7) == 0)
        ;
    cr_assert_eq(v.count, 150);
    cr_assert_eq(v.capacity, 150);
    cr_assert_lt(m->calls, 40);
    ints_finish(&v);
    ds_memory_destroy(m);
}

Test(ds_vec, items_of_its_own_may_be_pushed_while_it_grows)
{
    struct ds_memory *m = ds_memory_create(1);
    struct wides v = LODE_DS_INIT(0, &m->allocator);
    cr_assert_eq(wides_push(&v, (struct wide){.value = 42}), 0);
    for (int i = 0; i < 100; i++)
        cr_assert_eq(wides_push(&v, v.items[0]), 0);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(wides_push_many(&v, v.items + 1, v.count - 1), 0);
    for (size_t i = 0; i < v.count; i++)
        cr_assert_eq(v.items[i].value, 42);
    cr_assert_eq(v.count, 801);
    wides_finish(&v);
    struct few_wide f;
    few_wide_init(&f, 0, &m->allocator);
    cr_assert_eq(few_wide_push(&f, (struct wide){.value = 7}), 0);
    for (int i = 0; i < 6; i++) /* inline at first, then away */
        cr_assert_eq(few_wide_push_many(&f, few_wide_items(&f), f.count), 0);
    cr_assert_eq(f.count, 64);
    for (uint32_t i = 0; i < f.count; i++)
        cr_assert_eq(few_wide_items(&f)[i].value, 7);
    few_wide_finish(&f);
    ds_memory_destroy(m);
}

Test(ds_vec, resize_fills_with_zero_bytes)
{
    struct ds_memory *m = ds_memory_create(1);
    struct ints v = LODE_DS_INIT(0, &m->allocator);
    cr_assert_eq(ints_resize(&v, 5), 0);
    v.items[4] = 9;
    cr_assert_eq(ints_resize(&v, 3), 0);
    cr_assert_eq(ints_resize(&v, 50), 0);
    for (size_t i = 0; i < 50; i++)
        cr_assert_eq(v.items[i], 0);
    ints_finish(&v);
    ds_memory_destroy(m);
}

Test(ds_vec, items_may_be_pointers_to_const)
{
    struct texts v = {0};
    const char *text = NULL;
    cr_assert_eq(texts_push(&v, "a"), 0);
    cr_assert_eq(texts_push_many(&v, v.items, 1), 0);
    cr_assert_eq(texts_pop(&v, &text), 0);
    cr_assert_str_eq(text, "a");
    texts_finish(&v);
}

/* A piece of memory whose newest block is extended in place, as arenas do. */
struct strip {
    struct lode_allocator allocator;
    size_t used, newest, copies;
    _Alignas(64) char bytes[1 << 16];
};

static void *strip_alloc(void *ctx, size_t bytes, size_t align)
{
    struct strip *s = ctx;
    size_t at = (s->used + align - 1) & ~(align - 1);
    if (bytes > sizeof(s->bytes) - at)
        return NULL;
    s->newest = at;
    s->used = at + bytes;
    return s->bytes + at;
}

static void *strip_resize(void *ctx, void *block, size_t old_bytes, size_t bytes, size_t align)
{
    struct strip *s = ctx;
    if (s->bytes + s->newest == block) {
        if (bytes > sizeof(s->bytes) - s->newest)
            return NULL;
        s->used = s->newest + bytes;
        return block;
    }
    s->copies++;
    void *moved = strip_alloc(ctx, bytes, align);
    return moved != NULL ? memcpy(moved, block, old_bytes < bytes ? old_bytes : bytes) : NULL;
}

static int strip_free(void *ctx, void *block, size_t bytes, size_t align)
{
    (void)ctx, (void)block, (void)bytes, (void)align;
    return -EBUSY;
}

static const struct lode_allocator_ops strip_ops = {
    .alloc = strip_alloc, .resize = strip_resize, .free = strip_free};

Test(ds_vec, a_bump_vector_extends_in_place_and_wastes_little)
{
    static struct strip strip;
    strip.allocator = (struct lode_allocator){.ops = &strip_ops, .ctx = &strip};
    struct bump v = LODE_DS_INIT(0, &strip.allocator);
    for (uint32_t i = 0; i < 4000; i++) {
        cr_assert_eq(bump_push(&v, i), 0);
        cr_assert_leq(v.capacity, v.count + v.count / 8 + 64);
    }
    cr_assert_eq(strip.copies, 0);
    bump_trim(&v);
    cr_assert_eq(strip.used, 4000 * 4);
    /* Something behind it: it moves once, and then has room to go on. */
    cr_assert_not_null(lode_allocator_alloc(&strip.allocator, 16, 16));
    cr_assert_eq(bump_push(&v, 4000), 0);
    cr_assert_eq(strip.copies, 1);
    cr_assert_geq(v.capacity, 7900);
    for (uint32_t i = 0; i <= 4000; i++)
        cr_assert_eq(v.items[i], i);
    /* To the last byte of the arena. */
    while (bump_push(&v, 1) == 0)
        ;
    cr_assert_eq(strip.used, sizeof(strip.bytes));
    cr_assert_eq(strip.copies, 1);
    bump_finish(&v);
}

Test(ds_vec, two_bump_vectors_side_by_side_copy_as_little_as_doubling)
{
    static struct strip strip;
    strip.allocator = (struct lode_allocator){.ops = &strip_ops, .ctx = &strip};
    struct bump a = LODE_DS_INIT(0, &strip.allocator), b = LODE_DS_INIT(0, &strip.allocator);
    for (uint32_t i = 0; i < 2000; i++) {
        cr_assert_eq(bump_push(&a, i), 0);
        cr_assert_eq(bump_push(&b, i + 1), 0);
    }
    cr_assert_leq(strip.copies, 16);
    for (uint32_t i = 0; i < 2000; i++)
        cr_assert(a.items[i] == i && b.items[i] == i + 1);
}

Test(ds_vec, a_small_vector_allocates_nothing_up_to_n)
{
    struct ds_memory *m = ds_memory_create(1);
    struct few v;
    few_init(&v, 0, &m->allocator);
    for (uint32_t i = 0; i < 6; i++)
        cr_assert_eq(few_push(&v, i), 0);
    cr_assert_eq(m->calls, 0);
    struct few moved = v; /* no pointer into itself */
    memset(&v, 0xee, sizeof(v));
    cr_assert_eq(few_items(&moved)[5], 5);
    m->fail_one_in = 1;
    cr_assert_eq(few_push(&moved, 6), -ENOMEM);
    cr_assert_eq(few_insert(&moved, 0, 6), -ENOMEM);
    cr_assert_eq(moved.count, 6);
    m->fail_one_in = 0;
    cr_assert_eq(few_push(&moved, 6), 0);
    cr_assert_eq(moved.capacity, 12);
    for (uint32_t i = 0; i < 7; i++)
        cr_assert_eq(*few_at(&moved, i), i);
    cr_assert_null(few_at(&moved, 7));
    cr_assert_eq(few_pop(&moved, NULL), 0);
    few_trim(&moved);
    cr_assert_eq(m->block_count, 0);
    for (uint32_t i = 0; i < 6; i++)
        cr_assert_eq(few_items(&moved)[i], i);
    few_finish(&moved);
    ds_memory_destroy(m);
}

Test(ds_vec, a_small_vector_has_caps_too)
{
    struct few v;
    few_init(&v, 4, NULL);
    for (uint32_t i = 0; i < 4; i++)
        cr_assert_eq(few_push(&v, i), 0);
    cr_assert_eq(few_push(&v, 4), -ENOSPC);
    cr_assert_eq(few_reserve(&v, 5), -ENOSPC);
    cr_assert_eq(few_push_many(&v, few_items(&v), (size_t)UINT32_MAX + 2), -ENOSPC);
    cr_assert_eq(v.count, 4);
    cr_assert_eq(few_insert(&v, 5, 1), -ERANGE);
    cr_assert_eq(few_remove(&v, 4), -ERANGE);
    cr_assert_eq(few_remove_swap(&v, 4), -ERANGE);
    few_finish(&v);
    few_init(&v, 8, NULL);
    for (uint32_t i = 0; i < 8; i++)
        cr_assert_eq(few_push(&v, i), 0);
    cr_assert_eq(few_push(&v, 8), -ENOSPC);
    cr_assert_eq(v.capacity, 8);
    few_finish(&v);
    cr_assert_eq(few_pop(&v, NULL), -ENOENT);
}

/* Random operations against an array, a fourth of the allocations failing. TO(n) makes an item of a
 * number, OF(item) gives it back. */
#define MODEL(name, type, TO, OF, ITEMS)                                                         \
    static void name##_check(struct name *v, const uint32_t *model, uint32_t count)              \
    {                                                                                            \
        cr_assert_eq(v->count, count);                                                           \
        cr_assert(v->count <= v->capacity && v->capacity <= 500);                                \
        for (uint32_t i = 0; i < count; i++)                                                     \
            cr_assert_eq(OF(ITEMS(v)[i]), model[i]);                                             \
    }                                                                                            \
    static uint32_t name##_add_step(struct name *v, uint32_t *model, uint32_t count, size_t at,  \
                                    uint32_t n, uint64_t what)                                   \
    {                                                                                            \
        size_t own = (count - at) % 17;                                                          \
        if (what < 6) {                                                                          \
            int status = name##_push(v, TO(n));                                                  \
            cr_assert(status == 0 || status == -(count == 500 ? ENOSPC : ENOMEM));               \
            if (status == 0)                                                                     \
                model[count++] = n;                                                              \
        } else if (what < 9) {                                                                   \
            if (name##_insert(v, at, TO(n)) == 0) {                                              \
                memmove(model + at + 1, model + at, (count++ - at) * 4);                         \
                model[at] = n;                                                                   \
            }                                                                                    \
        } else if (name##_push_many(v, ITEMS(v) + at, own) == 0) {                               \
            memcpy(model + count, model + at, own * 4);                                          \
            count += (uint32_t)own;                                                              \
        }                                                                                        \
        return count;                                                                            \
    }                                                                                            \
    static uint32_t name##_drop_step(struct name *v, uint32_t *model, uint32_t count, size_t at, \
                                     uint32_t n, uint64_t what)                                  \
    {                                                                                            \
        type item;                                                                               \
        if (what < 14) {                                                                         \
            int status = name##_pop(v, &item);                                                   \
            cr_assert_eq(status, count > 0 ? 0 : -ENOENT);                                       \
            if (status == 0)                                                                     \
                cr_assert_eq(OF(item), model[--count]);                                          \
        } else if (what < 17) {                                                                  \
            if (name##_remove(v, at) == 0)                                                       \
                memmove(model + at, model + at + 1, (--count - at) * 4);                         \
        } else if (what < 18) {                                                                  \
            if (name##_remove_swap(v, at) == 0)                                                  \
                model[at] = model[--count];                                                      \
        } else if (what < 19) {                                                                  \
            if (n % 8 == 0)                                                                      \
                name##_trim(v);                                                                  \
            else if (n % 64 == 1)                                                                \
                name##_clear(v), count = 0;                                                      \
        } else if (name##_reserve(v, n % 400) == 0) {                                            \
            cr_assert_geq(v->capacity, n % 400);                                                 \
        }                                                                                        \
        return count;                                                                            \
    }                                                                                            \
    static void name##_against_model(uint64_t seed)                                              \
    {                                                                                            \
        struct ds_memory *m = ds_memory_create(seed);                                            \
        uint32_t model[600], count = 0;                                                          \
        struct name v;                                                                           \
        name##_init(&v, 500, &m->allocator);                                                     \
        m->fail_one_in = 4;                                                                      \
        for (int step = 0; step < 20000; step++) {                                               \
            uint32_t n = (uint32_t)ds_random(&seed);                                             \
            uint32_t at = count > 0 ? (uint32_t)ds_random(&seed) % count : 0;                    \
            uint64_t what = ds_random(&seed) % 20;                                               \
            count =                                                                              \
                (what < 11 ? name##_add_step : name##_drop_step)(&v, model, count, at, n, what); \
            name##_check(&v, model, count);                                                      \
        }                                                                                        \
        name##_finish(&v);                                                                       \
        ds_memory_destroy(m);                                                                    \
    }

#define PLAIN(n)   (n)
#define WIDE(n)    ((struct wide){.value = (n)})
#define WIDE_OF(w) ((w).value)
#define FIELD(v)   ((v)->items)
MODEL(ints, uint32_t, PLAIN, PLAIN, FIELD)
MODEL(bump, uint32_t, PLAIN, PLAIN, FIELD)
MODEL(wides, struct wide, WIDE, WIDE_OF, FIELD)
MODEL(few, uint32_t, PLAIN, PLAIN, few_items)
MODEL(few_wide, struct wide, WIDE, WIDE_OF, few_wide_items)

Test(ds_vec, random_operations_do_what_an_array_does)
{
    for (uint64_t seed = 1; seed <= 3; seed++) {
        ints_against_model(seed);
        bump_against_model(seed);
        wides_against_model(seed);
        few_against_model(seed);
        few_wide_against_model(seed);
    }
}
