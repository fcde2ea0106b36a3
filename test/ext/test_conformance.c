/* SPDX-License-Identifier: MIT */
/*
 * Every rule of lode/allocator.h on every allocator of conformance_table.c: each test runs once
 * for each row, on a heap of its own, in which nothing may be left at the end.
 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>

#include <errno.h>
#include <string.h>

#include "conformance.h"
#include "ext/registry.h"
#include "failing_heap.h"
#include "lode/stats.h"

#define MANY 64

static const struct conformance_row *row;
static struct lode_allocator it;
static struct lode_heap *heap;

static struct criterion_test_params every_row(void)
{
    static size_t indices[100];
    size_t count = conformance_count();
    cr_assert_lt(count, 100);
    for (size_t i = 0; i < count; i++)
        indices[i] = i;
    return cr_make_param_array(size_t, indices, count);
}

static void begin(size_t index)
{
    row = &conformance_rows[index];
    cr_assert_eq(lode_heap_create(NULL, &heap), 0);
    cr_assert_eq(row->make(heap, &it), 0, "%s", row->name);
}

static int block_left(void *ctx, void *block, size_t usable_bytes)
{
    (void)block;
    *(size_t *)ctx += usable_bytes;
    return 0;
}

/* The allocator ended, with whatever was live if it DESTROYS. */
static void end(void)
{
    size_t left = 0;
    row->end(&it);
    if (it.ctx != heap) {
        cr_assert_eq(lode_heap_walk(heap, NULL, block_left, &left), 0);
        cr_assert_eq(left, 0, "%s: %zu bytes left in the heap", row->name, left);
    }
    lode_heap_destroy(heap);
}

static struct lode_allocator_stats now(void)
{
    struct lode_allocator_stats s;
    memset(&s, 0xff, sizeof(s));
    lode_allocator_stats(&it, &s);
    cr_assert_leq(s.used_bytes, s.mapped_bytes, "%s", row->name);
    cr_assert_leq(s.used_bytes + s.free_bytes + s.metadata_bytes, s.mapped_bytes,
                  "%s: %zu + %zu + %zu > %zu", row->name, s.used_bytes, s.free_bytes,
                  s.metadata_bytes, s.mapped_bytes);
    cr_assert_leq(s.largest_free_bytes, s.free_bytes, "%s", row->name);
    cr_assert(s.peak_used_bytes == 0 || s.peak_used_bytes >= s.used_bytes, "%s", row->name);
    return s;
}

/* Nothing but the count of failures and misses may differ. */
static void assert_unchanged(const struct lode_allocator_stats *before, const char *what)
{
    struct lode_allocator_stats after = now();
    after.failures = before->failures;
    after.misses = before->misses;
    cr_assert_eq(memcmp(before, &after, sizeof(after)), 0, "%s: %s changed it", row->name, what);
}

static void *get(size_t bytes, size_t align)
{
    void *block = lode_allocator_alloc(&it, bytes, align);
    cr_assert_not_null(block, "%s: no %zu bytes aligned to %zu", row->name, bytes, align);
    cr_assert_eq((uintptr_t)block % (align != 0 ? align : 16), 0, "%s", row->name);
    cr_assert(lode_allocator_owns(&it, block), "%s", row->name);
    return block;
}

static void put(void *block, size_t bytes, size_t align)
{
    cr_assert_eq(lode_allocator_free(&it, block, bytes, align), 0, "%s", row->name);
}

/* The size a test may ask for where it would like `bytes`. */
static size_t size_for(size_t bytes)
{
    if (row->traits & LODE_TRAIT_FIXED)
        return row->block_bytes;
    return bytes < conformance_bytes(row) ? bytes : conformance_bytes(row);
}

static uint32_t seed = 1;

static size_t any(size_t limit)
{
    seed = seed * 1664525 + 1013904223;
    return (size_t)(seed >> 8) % limit;
}

#define EVERY(name)                                \
    ParameterizedTestParameters(conformance, name) \
    {                                              \
        return every_row();                        \
    }                                              \
    ParameterizedTest(size_t *index, conformance, name)

EVERY(claims_its_traits)
{
    begin(*index);
    cr_assert_eq(it.traits, row->traits, "%s: %#x", row->name, it.traits);
    cr_assert_not_null(it.ops->alloc);
    cr_assert_not_null(it.ops->resize);
    cr_assert_not_null(it.ops->free);
    cr_assert_eq(it.ops->alloc_many == NULL, it.ops->free_many == NULL);
    cr_assert_not_null(it.ops->max_bytes);
    cr_assert_not_null(it.ops->can_allocate);
    cr_assert_not_null(it.ops->owns);
    cr_assert_not_null(it.ops->stats);
    end();
}

struct wanted {
    const void *ctx;
    int seen;
};

static int look_for(void *ctx, const struct lodei_registered *entry,
                    const struct lode_allocator_stats *stats)
{
    struct wanted *wanted = ctx;
    if (entry->object == wanted->ctx && (row->wraps || stats->mapped_bytes == now().mapped_bytes))
        wanted->seen++;
    return 0;
}

EVERY(is_listed_while_it_lives)
{
    begin(*index);
    struct wanted wanted = {.ctx = it.ctx};
    cr_assert_eq(lodei_registry_each(look_for, &wanted), 0);
    cr_assert_eq(wanted.seen, it.ctx != heap, "%s", row->name);
    end();
    cr_assert_eq(lodei_registry_each(look_for, &wanted), 0);
    cr_assert_leq(wanted.seen, 1);
}

EVERY(keeps_every_alignment_it_promises)
{
    begin(*index);
    for (size_t align = 1; align <= row->align_max; align *= 2)
        for (size_t bytes = 1; bytes <= conformance_bytes(row); bytes = bytes * 3 + 1) {
            char *block = get(size_for(bytes), align);
            memset(block, 1, size_for(bytes));
            put(block, size_for(bytes), align);
        }
    char *plain = get(size_for(100), 0);
    put(plain, size_for(100), 0);
    end();
}

EVERY(refuses_what_is_no_alignment)
{
    begin(*index);
    struct lode_allocator_stats before = now();
    static const size_t bad[] = {3, 24, 100, SIZE_MAX, (size_t)1 << 63};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        errno = 7;
        cr_assert_null(lode_allocator_alloc(&it, size_for(16), bad[i]), "%s", row->name);
        cr_assert_not(lode_allocator_can_allocate(&it, size_for(16), bad[i]), "%s", row->name);
        cr_assert_eq(errno, 7, "%s", row->name);
    }
    assert_unchanged(&before, "a bad alignment");
    end();
}

EVERY(gives_something_for_zero_bytes)
{
    begin(*index);
    if (!(row->traits & LODE_TRAIT_FIXED)) {
        char *a = get(0, 1), *b = get(0, 1);
        cr_assert_neq(a, b);
        *a = *b = 1;
        put(b, 0, 1);
        put(a, 0, 1);
    }
    cr_assert_eq(lode_allocator_free(&it, NULL, 0, 0), 0);
    cr_assert_eq(lode_allocator_free(&it, NULL, 100, 16), 0);
    end();
}

EVERY(refuses_what_nobody_has)
{
    begin(*index);
    size_t max = lode_allocator_max_bytes(&it);
    struct lode_allocator_stats before = now();
    cr_assert_gt(max, 0, "%s", row->name);
    static const size_t huge[] = {SIZE_MAX, SIZE_MAX - 15, PTRDIFF_MAX, (size_t)PTRDIFF_MAX + 1,
                                  (size_t)1 << 62};
    for (size_t i = 0; i <= sizeof(huge) / sizeof(huge[0]); i++) {
        size_t bytes = i < sizeof(huge) / sizeof(huge[0]) ? huge[i] : max + 1;
        errno = 7;
        cr_assert_null(lode_allocator_alloc(&it, bytes, 1), "%s: %zu", row->name, bytes);
        cr_assert_null(lode_allocator_alloc(&it, bytes, row->align_max), "%s", row->name);
        cr_assert_not(lode_allocator_can_allocate(&it, bytes, 1), "%s: %zu", row->name, bytes);
        cr_assert_eq(errno, 7, "%s", row->name);
    }
    if (row->traits & LODE_TRAIT_FIXED)
        cr_assert_eq(max, row->block_bytes, "%s", row->name);
    assert_unchanged(&before, "a request nobody can serve");
    if (before.failures != 0 || now().failures != 0)
        cr_assert_gt(now().failures, before.failures, "%s", row->name);
    end();
}

EVERY(blocks_do_not_overlap)
{
    begin(*index);
    static struct {
        unsigned char *at;
        size_t bytes, align;
    } live[MANY];
    size_t count = 0;
    for (int step = 0; step < 4000; step++) {
        if (count < MANY && any(2) == 0) {
            live[count].bytes = size_for(1 + any(400));
            live[count].align = (size_t)1 << any(6);
            if (live[count].align > row->align_max)
                live[count].align = row->align_max;
            if (!lode_allocator_can_allocate(&it, live[count].bytes, live[count].align))
                continue;
            live[count].at = get(live[count].bytes, live[count].align);
            memset(live[count].at, (int)count, live[count].bytes);
            count++;
        } else if (count > 0) {
            size_t i = row->traits & LODE_TRAIT_LIFO ? count - 1 : any(count);
            for (size_t b = 0; b < live[i].bytes; b++)
                cr_assert_eq(live[i].at[b], live[i].at[0], "%s", row->name);
            put(live[i].at, live[i].bytes, live[i].align);
            live[i] = live[--count];
            if (i < count)
                memset(live[i].at, (int)i, live[i].bytes);
        }
        (void)now();
    }
    while (count-- > 0)
        put(live[count].at, live[count].bytes, live[count].align);
    end();
}

EVERY(serves_in_bulk)
{
    begin(*index);
    void *blocks[MANY] = {NULL};
    size_t bytes = size_for(100);
    size_t got = lode_allocator_alloc_many(&it, bytes, 16, blocks, MANY);
    cr_assert_eq(got, MANY, "%s", row->name);
    for (size_t i = 0; i < got; i++) {
        cr_assert(lode_allocator_owns(&it, blocks[i]));
        cr_assert_eq((uintptr_t)blocks[i] % 16, 0);
        memset(blocks[i], (int)i, bytes);
    }
    for (size_t i = 0; i < got; i++)
        for (size_t b = 0; b < bytes; b++)
            cr_assert_eq(((unsigned char *)blocks[i])[b], i, "%s", row->name);
    cr_assert_eq(lode_allocator_free_many(&it, blocks, got, bytes, 16), 0, "%s", row->name);
    cr_assert_eq(lode_allocator_alloc_many(&it, bytes, 16, blocks, 0), 0);
    cr_assert_eq(lode_allocator_free_many(&it, blocks, 0, bytes, 16), 0);
    blocks[0] = blocks;
    cr_assert_eq(lode_allocator_alloc_many(&it, SIZE_MAX, 16, blocks, 3), 0);
    cr_assert_eq(blocks[0], (void *)blocks, "%s: only what was allocated is written", row->name);
    end();
}

static void fill(unsigned char *p, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        p[i] = (unsigned char)(i * 7);
}

static void assert_filled(const unsigned char *p, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        cr_assert_eq(p[i], (unsigned char)(i * 7), "%s: byte %zu", row->name, i);
}

EVERY(resizing_keeps_the_contents)
{
    begin(*index);
    struct lode_allocator_stats empty = now();
    static const size_t steps[] = {1, 16, 17, 100, 99, 3000, 4096, 2000, 64, 4000, 1};
    for (size_t align = 1; align <= 64 && align <= row->align_max; align *= 8) {
        size_t bytes = size_for(40);
        unsigned char *block = lode_allocator_resize(&it, NULL, 0, bytes, align);
        cr_assert_not_null(block, "%s", row->name);
        fill(block, bytes);
        for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
            size_t to = size_for(steps[i]);
            unsigned char *moved = lode_allocator_resize(&it, block, bytes, to, align);
            cr_assert_not_null(moved, "%s: %zu to %zu", row->name, bytes, to);
            cr_assert_eq((uintptr_t)moved % align, 0, "%s", row->name);
            assert_filled(moved, bytes < to ? bytes : to);
            fill(moved, to);
            block = moved;
            bytes = to;
            cr_assert_geq(now().used_bytes, empty.used_bytes + bytes, "%s", row->name);
        }
        put(block, bytes, align);
        if (row->traits & (LODE_TRAIT_FREES | LODE_TRAIT_LIFO)) {
            cr_assert_eq(now().used_bytes, empty.used_bytes, "%s", row->name);
            cr_assert_eq(now().blocks, empty.blocks, "%s", row->name);
        }
    }
    end();
}

EVERY(a_resize_that_fails_leaves_the_block)
{
    begin(*index);
    size_t bytes = size_for(40);
    unsigned char *block = get(bytes, 16);
    fill(block, bytes);
    struct lode_allocator_stats before = now();
    errno = 7;
    cr_assert_null(lode_allocator_resize(&it, block, bytes, SIZE_MAX, 16), "%s", row->name);
    cr_assert_null(lode_allocator_resize(&it, block, bytes, lode_allocator_max_bytes(&it) + 1, 16));
    cr_assert_null(lode_allocator_resize(&it, block, bytes, bytes * 2, 24), "%s", row->name);
    cr_assert_eq(errno, 7, "%s", row->name);
    assert_unchanged(&before, "a failed resize");
    assert_filled(block, bytes);
    put(block, bytes, 16);
    end();
}

EVERY(can_allocate_tells_the_truth)
{
    begin(*index);
    void *live[MANY];
    size_t sizes[MANY], count = 0;
    for (int step = 0; step < 3000; step++) {
        size_t bytes = any(8) == 0 ? any((size_t)1 << (8 + any(14))) : size_for(1 + any(5000));
        size_t align = (size_t)1 << any(7);
        int can = lode_allocator_can_allocate(&it, bytes, align);
        void *block = lode_allocator_alloc(&it, bytes, align);
        cr_assert_eq(block != NULL, can, "%s: %zu aligned to %zu: says %d", row->name, bytes, align,
                     can);
        if (block == NULL && count > 0) {
            count--;
            cr_assert_eq(lode_allocator_free(&it, live[count], sizes[count], 16), 0);
        }
        if (block != NULL && count == MANY)
            put(block, bytes, align);
        else if (block != NULL) {
            live[count] = block;
            sizes[count++] = bytes;
        }
    }
    end();
}

EVERY(the_largest_free_request_succeeds)
{
    begin(*index);
    for (int round = 0; round < 30; round++) {
        cr_assert(lode_allocator_alloc(&it, size_for(1 + any(900)), 16) != NULL || round > 2);
        struct lode_allocator_stats s = now();
        if (s.largest_free_bytes == 0 || (row->traits & LODE_TRAIT_FIXED))
            continue;
        failing_heap_after = 0;
        void *block = lode_allocator_alloc(&it, s.largest_free_bytes, 16);
        failing_heap_after = -1;
        cr_assert_not_null(block, "%s: not %zu", row->name, s.largest_free_bytes);
        put(block, s.largest_free_bytes, 16);
    }
    end();
}

EVERY(knows_its_blocks)
{
    begin(*index);
    static char elsewhere[64];
    void *other = lode_malloc(64);
    size_t bytes = size_for(100);
    char *block = get(bytes, 16);
    cr_assert(lode_allocator_owns(&it, block));
    cr_assert(lode_allocator_owns(&it, block + bytes - 1));
    cr_assert_not(lode_allocator_owns(&it, NULL), "%s", row->name);
    cr_assert_not(lode_allocator_owns(&it, elsewhere), "%s", row->name);
    cr_assert_not(lode_allocator_owns(&it, &bytes), "%s", row->name);
    cr_assert_not(lode_allocator_owns(&it, other), "%s", row->name);
    put(block, bytes, 16);
    lode_free(other);
    end();
}

EVERY(figures_follow_the_blocks)
{
    begin(*index);
    struct lode_allocator_stats empty = now();
    void *blocks[MANY];
    size_t bytes = size_for(128);
    for (size_t i = 0; i < MANY; i++)
        blocks[i] = get(bytes, 16);
    struct lode_allocator_stats full = now();
    cr_assert_geq(full.used_bytes, empty.used_bytes + MANY * bytes, "%s", row->name);
    cr_assert_geq(full.requested_bytes, empty.requested_bytes + MANY * bytes, "%s", row->name);
    cr_assert_leq(full.requested_bytes, full.used_bytes, "%s", row->name);
    if (full.blocks != 0)
        cr_assert_eq(full.blocks, empty.blocks + MANY, "%s", row->name);
    if (full.allocs != 0)
        cr_assert_eq(full.allocs, empty.allocs + MANY, "%s", row->name);
    for (size_t i = MANY; i-- > 0;)
        put(blocks[i], bytes, 16);
    struct lode_allocator_stats after = now();
    if (row->traits & (LODE_TRAIT_FREES | LODE_TRAIT_LIFO)) {
        cr_assert_eq(after.used_bytes, empty.used_bytes, "%s", row->name);
        cr_assert_eq(after.blocks, empty.blocks, "%s", row->name);
    }
    if (full.allocs != 0 && (row->traits & LODE_TRAIT_FREES))
        cr_assert_eq(after.frees, empty.frees + MANY, "%s", row->name);
    if (after.peak_used_bytes != 0)
        cr_assert_geq(after.peak_used_bytes, full.used_bytes, "%s", row->name);
    end();
}

EVERY(a_lifo_frees_the_newest_only)
{
    begin(*index);
    if (row->traits & LODE_TRAIT_LIFO) {
        size_t bytes = size_for(100);
        void *a = get(bytes, 16), *b = get(bytes, 16), *c = get(bytes, 16);
        struct lode_allocator_stats before = now();
        cr_assert_eq(lode_allocator_free(&it, a, bytes, 16), -EBUSY, "%s", row->name);
        cr_assert_eq(lode_allocator_free(&it, b, bytes, 16), -EBUSY, "%s", row->name);
        assert_unchanged(&before, "a free out of order");
        put(c, bytes, 16);
        put(b, bytes, 16);
        put(a, bytes, 16);
    }
    end();
}

EVERY(bad_frees_are_found)
{
    begin(*index);
    if (row->traits & LODE_TRAIT_CHECKED) {
        static _Alignas(64) char elsewhere[64];
        size_t bytes = size_for(100);
        char *a = get(bytes, 16), *b = get(bytes, 16);
        put(b, bytes, 16);
        struct lode_allocator_stats before = now();
        cr_assert_eq(lode_allocator_free(&it, b, bytes, 16), -EINVAL, "%s: twice", row->name);
        cr_assert_eq(lode_allocator_free(&it, elsewhere, bytes, 16), -EINVAL, "%s", row->name);
        cr_assert_eq(lode_allocator_free(&it, &bytes, bytes, 16), -EINVAL, "%s", row->name);
        cr_assert_eq(lode_allocator_free(&it, a + 1, bytes, 16), -EINVAL, "%s", row->name);
        cr_assert_eq(lode_allocator_free(&it, a + 16, bytes, 16), -EINVAL, "%s", row->name);
        cr_assert_eq(lode_allocator_free(&it, (void *)16, bytes, 16), -EINVAL, "%s", row->name);
        assert_unchanged(&before, "a bad free");
        put(a, bytes, 16);
        cr_assert_eq(lode_allocator_free(&it, a, bytes, 16), -EINVAL, "%s: twice", row->name);
        void *bad[3] = {get(bytes, 16), elsewhere, NULL};
        cr_assert_eq(lode_allocator_free_many(&it, bad, 3, bytes, 16), -EINVAL, "%s", row->name);
        cr_assert_eq(lode_allocator_free(&it, bad[0], bytes, 16), -EINVAL, "%s: left", row->name);
    }
    end();
}

EVERY(a_bounded_one_ends_and_recovers)
{
    begin(*index);
    static void *blocks[1 << 16];
    size_t bytes = size_for(100), first = 0;
    for (int round = 0; (row->traits & LODE_TRAIT_BOUNDED) && round < 3; round++) {
        size_t count = 0;
        while (count < 1 << 16 && lode_allocator_can_allocate(&it, bytes, 16))
            blocks[count++] = get(bytes, 16);
        cr_assert_lt(count, 1 << 16, "%s has no end", row->name);
        struct lode_allocator_stats before = now();
        cr_assert_null(lode_allocator_alloc(&it, bytes, 16), "%s", row->name);
        cr_assert_eq(lode_allocator_alloc_many(&it, bytes, 16, &blocks[count], 3), 0);
        assert_unchanged(&before, "exhaustion");
        if (round == 0)
            first = count;
        if (!(row->traits & (LODE_TRAIT_FREES | LODE_TRAIT_LIFO)))
            break;
        cr_assert_eq(count, first, "%s", row->name);
        while (count-- > 0)
            put(blocks[count], bytes, 16);
    }
    end();
}

EVERY(a_heap_that_refuses_changes_nothing)
{
    begin(*index);
    size_t bytes = size_for(4096);
    (void)get(bytes, 16);
    failing_heap_after = 0;
    /* What is held already may go out; then comes NULL, and nothing else changes. */
    size_t served = 0;
    while (served < 100000 && lode_allocator_alloc(&it, bytes, 16) != NULL)
        served++;
    if (!(row->traits & LODE_TRAIT_BOUNDED))
        cr_assert_lt(served, 100000, "%s", row->name);
    struct lode_allocator_stats before = now();
    cr_assert_null(lode_allocator_alloc(&it, bytes, 16), "%s", row->name);
    assert_unchanged(&before, "a heap that refuses");
    failing_heap_after = -1;
    if (!(row->traits & LODE_TRAIT_BOUNDED))
        (void)get(bytes, 16);
    end();
}

EVERY(ending_it_frees_what_is_live)
{
    begin(*index);
    if (row->traits & LODE_TRAIT_DESTROYS)
        for (int i = 0; i < MANY; i++)
            memset(get(size_for(200), 16), 1, size_for(200));
    end();
}

EVERY(making_one_on_a_heap_that_refuses_leaves_nothing)
{
    row = &conformance_rows[*index];
    for (long after = 0; after < 30; after++) {
        size_t left = 0;
        cr_assert_eq(lode_heap_create(NULL, &heap), 0);
        failing_heap_after = after;
        int error = row->make(heap, &it);
        failing_heap_after = -1;
        cr_assert(error == 0 || error == -ENOMEM, "%s: %d", row->name, error);
        if (error == 0)
            row->end(&it);
        cr_assert_eq(lode_heap_walk(heap, NULL, block_left, &left), 0);
        cr_assert_eq(left, 0, "%s", row->name);
        lode_heap_destroy(heap);
    }
}
