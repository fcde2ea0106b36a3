/* SPDX-License-Identifier: MIT */
/* ext/arena.c: chunks, marks, single blocks, limits, every documented errno, a heap that refuses.
 */
#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

#include "failing_heap.h"
#include "lode/arena.h"
#include "lode/stats.h"

static struct lode_arena *made(const struct lode_arena_opts *opts)
{
    struct lode_arena *arena;
    cr_assert_eq(lode_arena_create(opts, &arena), 0);
    return arena;
}

static struct lode_arena_growth growth_of(const struct lode_arena *arena)
{
    struct lode_arena_growth g;
    lode_arena_growth(arena, &g);
    return g;
}

static struct lode_allocator_stats stats_of(const struct lode_arena *arena)
{
    struct lode_allocator_stats s;
    lode_arena_stats(arena, &s);
    return s;
}

Test(arena, bad_options_are_refused)
{
    struct lode_arena *arena = NULL;
    char memory[64];
    struct lode_arena_opts o = LODE_ARENA_OPTS_INIT;
    o.align = 24;
    cr_assert_eq(lode_arena_create(&o, &arena), -EINVAL);
    o = (struct lode_arena_opts)LODE_ARENA_OPTS_INIT;
    o.flags = 0x80;
    cr_assert_eq(lode_arena_create(&o, &arena), -EINVAL);
    o = (struct lode_arena_opts)LODE_ARENA_OPTS_INIT;
    o.flags = LODE_ARENA_FIXED;
    cr_assert_eq(lode_arena_create(&o, &arena), -EINVAL);
    o = (struct lode_arena_opts)LODE_ARENA_OPTS_INIT;
    o.memory = memory;
    cr_assert_eq(lode_arena_create(&o, &arena), -EINVAL);
    o = (struct lode_arena_opts)LODE_ARENA_OPTS_INIT;
    o.memory_bytes = 64;
    cr_assert_eq(lode_arena_create(&o, &arena), -EINVAL);
    o = (struct lode_arena_opts)LODE_ARENA_OPTS_INIT;
    o.heap = lode_heap_default();
    o.tag = 5;
    cr_assert_eq(lode_arena_create(&o, &arena), -EINVAL);
    o = (struct lode_arena_opts)LODE_ARENA_OPTS_INIT;
    o.initial_bytes = 1000;
    o.max_bytes = 999;
    cr_assert_eq(lode_arena_create(&o, &arena), -ENOMEM);
    struct {
        struct lode_arena_opts known;
        uint64_t later;
    } newer = {.known = LODE_ARENA_OPTS_INIT, .later = 1};
    newer.known.size = sizeof(newer);
    cr_assert_eq(lode_arena_create(&newer.known, &arena), -E2BIG);
    cr_assert_null(arena);
}

Test(arena, nothing_is_taken_before_the_first_block)
{
    struct lode_arena *arena = made(NULL);
    cr_assert_eq(growth_of(arena).chunks, 0);
    cr_assert_eq(growth_of(arena).held_bytes, 0);
    cr_assert_not_null(lode_arena_alloc(arena, 1, 1));
    cr_assert_eq(growth_of(arena).chunks, 1);
    lode_arena_destroy(arena);
    lode_arena_destroy(NULL);
}

Test(arena, blocks_lie_side_by_side)
{
    struct lode_arena *arena = made(NULL);
    char *a = lode_arena_alloc(arena, 3, 1), *b = lode_arena_alloc(arena, 0, 1);
    char *c = lode_arena_alloc(arena, 5, 8), *d = lode_arena_alloc(arena, 1, 0);
    cr_assert_eq(b - a, 3);
    cr_assert_eq(c - a, 8);
    cr_assert_eq(d - a, 16);
    cr_assert_eq(growth_of(arena).used_bytes, 17);
    lode_arena_destroy(arena);
}

Test(arena, each_alignment_is_kept)
{
    struct lode_arena *arena = made(NULL);
    for (size_t align = 1; align <= ((size_t)1 << 21); align *= 2)
        for (size_t bytes = 1; bytes < 300000; bytes = bytes * 7 + 1) {
            char *p = lode_arena_alloc(arena, bytes, align);
            cr_assert_not_null(p);
            cr_assert_eq((uintptr_t)p % align, 0);
            memset(p, 1, bytes);
        }
    uint64_t failures = stats_of(arena).failures;
    cr_assert_null(lode_arena_alloc(arena, 8, 24));
    cr_assert_null(lode_arena_alloc(arena, 8, (size_t)1 << 63));
    cr_assert_null(lode_arena_alloc(arena, SIZE_MAX, 1));
    cr_assert_null(lode_arena_alloc(arena, (size_t)PTRDIFF_MAX, (size_t)1 << 62));
    cr_assert_null(lode_arena_alloc_array(arena, SIZE_MAX / 2, 3, 1));
    cr_assert_null(lode_arena_calloc(arena, SIZE_MAX / 2, 3, 1));
    cr_assert_eq(stats_of(arena).failures, failures + 4);
    lode_arena_destroy(arena);
}

Test(arena, the_least_alignment_is_an_option)
{
    struct lode_arena_opts o = LODE_ARENA_OPTS_INIT;
    o.align = 256;
    struct lode_arena *arena = made(&o);
    for (int i = 0; i < 1000; i++)
        cr_assert_eq((uintptr_t)lode_arena_alloc(arena, 1, 1) % 256, 0);
    cr_assert_eq((uintptr_t)lode_arena_alloc(arena, 100000, 0) % 256, 0);
    lode_arena_destroy(arena);
}

Test(arena, arrays_and_zeroed_memory)
{
    struct lode_arena *arena = made(NULL);
    uint64_t *v = LODE_ARENA_ARRAY(arena, uint64_t, 100);
    memset(v, 0xff, 100 * sizeof(*v));
    double *one = LODE_ARENA_NEW(arena, double);
    cr_assert_eq((uintptr_t)one % sizeof(double), 0);
    lode_arena_reset(arena);
    uint64_t *zero = lode_arena_calloc(arena, 100, sizeof(*zero), 8);
    cr_assert_eq(zero, v);
    for (int i = 0; i < 100; i++)
        cr_assert_eq(zero[i], 0);
    lode_arena_destroy(arena);
}

Test(arena, a_reset_keeps_memory_and_order)
{
    struct lode_arena *arena = made(NULL);
    void *first[600];
    uint64_t taken = 0;
    for (int frame = 0; frame < 50; frame++) {
        for (int i = 0; i < 600; i++) {
            void *p = lode_arena_alloc(arena, i % 40 == 7 ? 90000 : 700, 16);
            cr_assert_not_null(p);
            memset(p, frame, 700);
            if (frame == 1)
                first[i] = p;
            else if (frame > 1)
                cr_assert_eq(p, first[i]);
        }
        if (frame == 1)
            taken = growth_of(arena).chunks_taken;
        lode_arena_reset(arena);
    }
    struct lode_arena_growth g = growth_of(arena);
    cr_assert_eq(g.chunks_taken, taken);
    cr_assert_eq(g.resets, 50);
    cr_assert_eq(g.used_bytes, 0);
    cr_assert_eq(g.chunks, g.chunks_taken);
    cr_assert_eq(g.chunks_given, 0);
    cr_assert_geq(g.peak_used_bytes, 585 * 700 + 15 * 90000);
    lode_arena_destroy(arena);
}

Test(arena, frames_of_all_shapes_do_not_grow_it_for_ever)
{
    struct lode_arena *arena = made(NULL);
    uint32_t seed = 1;
    size_t held = 0;
    for (int frame = 0; frame < 600; frame++) {
        for (int i = 0; i < 200; i++) {
            seed = seed * 1664525 + 1013904223;
            cr_assert_not_null(lode_arena_alloc(arena, (seed >> 8) % (1u << (seed >> 28)), 16));
        }
        lode_arena_reset(arena);
        if (frame == 299)
            held = growth_of(arena).held_bytes;
    }
    cr_assert_eq(growth_of(arena).held_bytes, held);
    lode_arena_destroy(arena);
}

Test(arena, is_99_percent_efficient)
{
    struct lode_arena *arena = made(NULL);
    uint32_t seed = 7;
    size_t asked = 0;
    while (asked < (size_t)64 << 20) {
        seed = seed * 1664525 + 1013904223;
        size_t bytes = 16 * (1 + (seed >> 16) % 64);
        asked += bytes;
        cr_assert_not_null(lode_arena_alloc(arena, bytes, 16));
    }
    struct lode_allocator_stats s = stats_of(arena);
    cr_assert_eq(s.used_bytes, asked);
    cr_assert_geq((double)asked, 0.99 * (double)(s.mapped_bytes - s.free_bytes));
    cr_assert_leq(s.used_bytes + s.free_bytes + s.metadata_bytes, s.mapped_bytes);
    lode_arena_destroy(arena);
}

Test(arena, little_is_passed_over_whatever_the_sizes)
{
    for (size_t bytes = 1000; bytes < 300000; bytes += 7000) {
        struct lode_arena *arena = made(NULL);
        for (int i = 0; i < 300; i++)
            cr_assert_not_null(lode_arena_alloc(arena, bytes, 16));
        struct lode_arena_growth g = growth_of(arena);
        cr_assert_leq(g.passed_bytes, g.used_bytes / 8, "%zu: %zu of %zu", bytes, g.passed_bytes,
                      g.used_bytes);
        lode_arena_destroy(arena);
    }
}

Test(arena, the_last_block_grows_and_shrinks_in_place)
{
    struct lode_arena *arena = made(NULL);
    char *a = lode_arena_alloc(arena, 100, 16), *b = lode_arena_alloc(arena, 100, 16);
    cr_assert_eq(lode_arena_extend(arena, a, 100, 200), -EBUSY);
    for (size_t bytes = 100; bytes < 20000; bytes += 500) {
        cr_assert_eq(lode_arena_extend(arena, b, bytes, bytes + 500), 0);
        memset(b, 1, bytes + 500);
    }
    cr_assert_eq(growth_of(arena).extended, 40);
    cr_assert_eq(lode_arena_extend(arena, b, 20100, 1 << 20), -ENOMEM);
    cr_assert_eq(lode_arena_extend(arena, b, 20100, SIZE_MAX), -ENOMEM);
    cr_assert_eq(lode_arena_extend(arena, b, 20100, 10), 0);
    cr_assert_eq((char *)lode_arena_alloc(arena, 1, 1) - b, 10);
    lode_arena_destroy(arena);
}

Test(arena, a_block_with_a_chunk_of_its_own_is_freed_at_any_time)
{
    struct lode_arena_opts o = LODE_ARENA_OPTS_INIT;
    o.chunk_bytes = 65536;
    struct lode_arena *arena = made(&o);
    cr_assert_not_null(lode_arena_alloc(arena, 100, 16));
    char *a = lode_arena_alloc(arena, 1 << 20, 16), *b = lode_arena_alloc(arena, 1 << 20, 16);
    cr_assert_not_null(lode_arena_alloc(arena, 100, 16));
    memset(a, 1, 1 << 20);
    memset(b, 2, 1 << 20);
    cr_assert_leq(growth_of(arena).passed_bytes, 2 * 4096);
    lode_arena_free(arena, a, 1 << 20);
    cr_assert_eq(growth_of(arena).spare_chunks, 1);
    cr_assert_eq(lode_arena_alloc(arena, 1 << 20, 16), a);
    cr_assert_eq(lode_arena_extend(arena, a, 1 << 20, (1 << 20) - 4096), 0);
    cr_assert_eq(lode_arena_extend(arena, a, (1 << 20) - 4096, 1 << 20), 0);
    cr_assert_eq(lode_arena_extend(arena, a, 1 << 20, 1 << 24), -ENOMEM);
    lode_mark mark = lode_arena_mark(arena, "newer");
    lode_arena_free(arena, b, 1 << 20);
    cr_assert_eq(growth_of(arena).spare_chunks, 0, "older than the mark: it stays");
    cr_assert_eq(lode_arena_rewind(arena, mark), 0);
    lode_arena_destroy(arena);
}

Test(arena, the_last_block_can_be_taken_back)
{
    struct lode_arena *arena = made(NULL);
    char *a = lode_arena_alloc(arena, 100, 16), *b = lode_arena_alloc(arena, 100, 16);
    lode_arena_free(arena, NULL, 100);
    lode_arena_free(arena, a, 100);
    cr_assert_eq(growth_of(arena).used_bytes, 212, "not the last: it stays");
    lode_arena_free(arena, b, 100);
    cr_assert_eq(growth_of(arena).used_bytes, 112);
    cr_assert_eq(growth_of(arena).peak_used_bytes, 212);
    b = lode_arena_alloc(arena, 100, 16);
    lode_mark mark = lode_arena_mark(arena, "newer");
    lode_arena_free(arena, b, 100);
    cr_assert_eq(growth_of(arena).used_bytes, 212, "older than the mark: it stays");
    cr_assert_eq(lode_arena_extend(arena, b, 100, 101), -EBUSY);
    cr_assert_eq(lode_arena_rewind(arena, mark), 0);
    lode_arena_destroy(arena);
}

Test(arena, a_reserve_is_there)
{
    struct lode_arena *arena = made(NULL);
    cr_assert_eq(lode_arena_reserve(arena, 300000), 0);
    failing_heap_after = 0;
    cr_assert_eq(lode_arena_reserve(arena, 300000), 0);
    cr_assert_eq(lode_arena_reserve(arena, 3000000), -ENOMEM);
    cr_assert_eq(lode_arena_reserve(arena, SIZE_MAX), -ENOMEM);
    cr_assert_not_null(lode_arena_alloc(arena, 300000, 16));
    failing_heap_after = -1;
    lode_arena_destroy(arena);
}

Test(arena, a_fixed_one_never_grows)
{
    struct lode_arena_opts o = LODE_ARENA_OPTS_INIT;
    o.flags = LODE_ARENA_FIXED;
    o.initial_bytes = 10000;
    struct lode_arena *arena = made(&o);
    struct lode_allocator a;
    lode_arena_allocator(arena, &a);
    cr_assert(a.traits & LODE_TRAIT_BOUNDED);
    cr_assert_eq(lode_allocator_max_bytes(&a), 10000);
    for (int round = 0; round < 3; round++) {
        cr_assert_eq(stats_of(arena).largest_free_bytes, 10000);
        cr_assert_not_null(lode_arena_alloc(arena, 6000, 16));
        cr_assert_null(lode_arena_alloc(arena, 6000, 16));
        cr_assert_not_null(lode_arena_alloc(arena, 4000, 16));
        cr_assert_null(lode_arena_alloc(arena, 1, 1));
        cr_assert_not(lode_allocator_can_allocate(&a, 1, 1));
        lode_arena_reset(arena);
    }
    cr_assert_gt(lode_arena_clear(arena), 10000);
    cr_assert_eq(growth_of(arena).held_bytes, 0);
    cr_assert(lode_allocator_can_allocate(&a, 10000, 16));
    cr_assert_not(lode_allocator_can_allocate(&a, 10001, 16));
    cr_assert_not_null(lode_arena_alloc(arena, 1, 16));
    cr_assert_not_null(lode_arena_alloc(arena, 9984, 16));
    cr_assert_null(lode_arena_alloc(arena, 1, 1));
    lode_arena_destroy(arena);
}

Test(arena, room_has_a_limit)
{
    struct lode_arena_opts o = LODE_ARENA_OPTS_INIT;
    o.max_bytes = 200000;
    struct lode_arena *arena = made(&o);
    size_t got = 0;
    while (lode_arena_alloc(arena, 100, 1) != NULL)
        got += 100;
    cr_assert_geq(got, 190000);
    cr_assert_leq(growth_of(arena).held_bytes, 200000);
    cr_assert_eq(lode_arena_reserve(arena, 1000), -ENOMEM);
    lode_arena_destroy(arena);
}

Test(arena, the_callers_memory_comes_first)
{
    static char memory[1000];
    struct lode_arena_opts o = LODE_ARENA_OPTS_INIT;
    o.memory = memory + 1;
    o.memory_bytes = sizeof(memory) - 1;
    struct lode_arena *arena = made(&o);
    char *p = lode_arena_alloc(arena, 500, 1);
    cr_assert_eq(p, memory + 1);
    cr_assert_eq(growth_of(arena).chunks, 0);
    cr_assert_not_null(lode_arena_alloc(arena, 500, 1));
    cr_assert_eq(growth_of(arena).chunks, 1);
    lode_arena_clear(arena);
    cr_assert_eq(growth_of(arena).chunks, 0);
    cr_assert_eq(lode_arena_alloc(arena, 999, 1), memory + 1);
    lode_arena_destroy(arena);
    memset(memory, 1, sizeof(memory));

    o.flags = LODE_ARENA_FIXED;
    arena = made(&o);
    cr_assert_null(lode_arena_alloc(arena, 1000, 1));
    cr_assert_not_null(lode_arena_alloc(arena, 999, 1));
    cr_assert_null(lode_arena_alloc(arena, 1, 1));
    lode_arena_destroy(arena);
}

Test(arena, a_given_heap_is_used_and_left_clean)
{
    struct lode_heap *heap;
    struct lode_stats stats = {.size = sizeof(stats)};
    cr_assert_eq(lode_heap_create(NULL, &heap), 0);
    struct lode_arena_opts o = LODE_ARENA_OPTS_INIT;
    o.heap = heap;
    struct lode_arena *arena = made(&o);
    for (int i = 0; i < 1000; i++)
        cr_assert_not_null(lode_arena_alloc(arena, 1000, 16));
    cr_assert_eq(lode_stats_get(heap, &stats), 0);
    cr_assert_geq(stats.in_use_bytes, 1000000);
    lode_arena_destroy(arena);
    stats.size = sizeof(stats);
    cr_assert_eq(lode_stats_get(heap, &stats), 0);
    cr_assert_eq(stats.live_blocks, 0);
    lode_heap_destroy(heap);
}

Test(arena, trimming_gives_back_what_holds_no_block)
{
    struct lode_arena *arena = made(NULL);
    char *kept = lode_arena_alloc(arena, 100, 16);
    lode_mark mark = lode_arena_mark(arena, "big");
    for (int i = 0; i < 1000; i++)
        cr_assert_not_null(lode_arena_alloc(arena, 10000, 16));
    cr_assert_eq(lode_arena_trim(arena), 0);
    cr_assert_eq(lode_arena_rewind(arena, mark), 0);
    cr_assert_gt(lode_arena_trim(arena), 9000000);
    cr_assert_eq(growth_of(arena).chunks, 1);
    memset(kept, 1, 100);
    lode_arena_destroy(arena);
}

Test(arena, a_heap_that_refuses_changes_nothing)
{
    struct lode_arena *arena = NULL;
    struct lode_arena_opts o = LODE_ARENA_OPTS_INIT;
    o.initial_bytes = 1000;
    for (long after = 0; after < 3; after++) {
        failing_heap_after = after;
        cr_assert_eq(lode_arena_create(&o, &arena), -ENOMEM);
        cr_assert_null(arena);
    }
    failing_heap_after = -1;
    arena = made(&o);
    lode_mark marks[8];
    for (int i = 0; i < 8; i++)
        marks[i] = lode_arena_mark(arena, "m");
    struct lode_allocator_stats before = stats_of(arena);
    failing_heap_after = 0;
    cr_assert_null(lode_arena_alloc(arena, 100000, 16));
    cr_assert_eq(lode_arena_mark(arena, "ninth"), 0);
    failing_heap_after = -1;
    struct lode_allocator_stats after = stats_of(arena);
    cr_assert_eq(after.failures, before.failures + 1);
    after.failures = before.failures;
    after.misses = before.misses;
    cr_assert_eq(memcmp(&after, &before, sizeof(after)), 0);
    for (int i = 8; i-- > 0;)
        cr_assert_eq(lode_arena_rewind(arena, marks[i]), 0);
    lode_arena_destroy(arena);
}

Test(arena, short_of_memory_it_makes_do_with_less)
{
    struct lode_arena_opts o = LODE_ARENA_OPTS_INIT;
    o.chunk_bytes = 1 << 20;
    o.max_bytes = 100000;
    struct lode_arena *arena = made(&o);
    cr_assert_not_null(lode_arena_alloc(arena, 50000, 16));
    cr_assert_not_null(lode_arena_alloc(arena, 50000, 16));
    lode_arena_destroy(arena);
}
