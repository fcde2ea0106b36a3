/* SPDX-License-Identifier: MIT */
/* ext/stackalloc.c: order of frees, marks, chunks, limits, every documented errno, and a model.
 * What all allocators have in common is in test_conformance.c. */
#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

#include "base/attr.h"
#include "failing_heap.h"
#include "lode/stackalloc.h"

static struct lode_stack *made(const struct lode_stack_opts *opts)
{
    struct lode_stack *stack;
    cr_assert_eq(lode_stack_create(opts, &stack), 0);
    return stack;
}

static struct lode_allocator_stats stats_of(const struct lode_stack *stack)
{
    struct lode_allocator_stats s;
    lode_stack_stats(stack, &s);
    return s;
}

Test(stack, bad_options_are_refused)
{
    struct lode_stack *stack = NULL;
    char memory[64];
    struct lode_stack_opts o = LODE_STACK_OPTS_INIT;
    o.flags = 2;
    cr_assert_eq(lode_stack_create(&o, &stack), -EINVAL);
    o = (struct lode_stack_opts)LODE_STACK_OPTS_INIT;
    o.flags = LODE_STACK_FIXED;
    cr_assert_eq(lode_stack_create(&o, &stack), -EINVAL);
    o = (struct lode_stack_opts)LODE_STACK_OPTS_INIT;
    o.memory = memory;
    cr_assert_eq(lode_stack_create(&o, &stack), -EINVAL);
    o.memory_bytes = 23;
    cr_assert_eq(lode_stack_create(&o, &stack), -EINVAL);
    o.memory = NULL;
    cr_assert_eq(lode_stack_create(&o, &stack), -EINVAL);
    o = (struct lode_stack_opts)LODE_STACK_OPTS_INIT;
    o.heap = lode_heap_default();
    o.tag = 5;
    cr_assert_eq(lode_stack_create(&o, &stack), -EINVAL);
    o = (struct lode_stack_opts)LODE_STACK_OPTS_INIT;
    o.initial_bytes = ((size_t)1 << 34) + 1;
    cr_assert_eq(lode_stack_create(&o, &stack), -EINVAL);
    o.initial_bytes = 1000;
    o.max_bytes = 999;
    cr_assert_eq(lode_stack_create(&o, &stack), -ENOMEM);
    struct {
        struct lode_stack_opts known;
        uint64_t later;
    } newer = {.known = LODE_STACK_OPTS_INIT, .later = 1};
    newer.known.size = sizeof(newer);
    cr_assert_eq(lode_stack_create(&newer.known, &stack), -E2BIG);
    cr_assert_null(stack);
    lode_stack_destroy(NULL);
}

Test(stack, the_newest_block_goes_first)
{
    struct lode_stack *stack = made(NULL);
    void *a = lode_stack_alloc(stack, 100, 16), *b = lode_stack_alloc(stack, 10, 256);
    void *c = lode_stack_alloc(stack, 1, 0);
    cr_assert_eq(lode_stack_newest(stack), c);
    struct lode_allocator_stats before = stats_of(stack), after;
    cr_assert_eq(lode_stack_free(stack, a), -EBUSY);
    cr_assert_eq(lode_stack_free(stack, b), -EBUSY);
    cr_assert_eq(lode_stack_free(stack, (char *)c + 16), -EINVAL);
    cr_assert_eq(lode_stack_free(stack, (char *)b - 16), -EINVAL, "padding is no block");
    cr_assert_eq(lode_stack_extend(stack, b, 10, 20), -EBUSY);
    cr_assert_eq(lode_stack_extend(stack, &before, 10, 20), -EINVAL);
    after = stats_of(stack);
    cr_assert_eq(memcmp(&after, &before, sizeof(after)), 0);
    cr_assert_eq(lode_stack_free(stack, c), 0);
    cr_assert_eq(lode_stack_free(stack, c), -EINVAL);
    cr_assert_eq(lode_stack_newest(stack), b);
    cr_assert_eq(lode_stack_free(stack, b), 0);
    cr_assert_eq(lode_stack_alloc(stack, 1, 16), (char *)a + 112, "its padding went with it");
    cr_assert_eq(lode_stack_free(stack, a), -EBUSY);
    lode_stack_reset(stack);
    cr_assert_eq(lode_stack_free(stack, a), -EINVAL);
    cr_assert_null(lode_stack_newest(stack));
    lode_stack_destroy(stack);
}

Test(stack, it_climbs_through_chunks_and_back)
{
    struct lode_stack *stack = made(NULL);
    static void *blocks[3000];
    size_t chunks_at_peak = 0;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 3000; i++) {
            blocks[i] = lode_stack_alloc(stack, 1000, 16);
            cr_assert_not_null(blocks[i]);
            memset(blocks[i], i, 1000);
        }
        if (round == 0)
            chunks_at_peak = stats_of(stack).mapped_bytes;
        cr_assert_eq(stats_of(stack).mapped_bytes, chunks_at_peak);
        cr_assert_eq(lode_stack_free(stack, blocks[0]), -EBUSY);
        for (int i = 3000; i-- > 0;) {
            cr_assert_eq(*(unsigned char *)blocks[i], i % 256);
            cr_assert_eq(lode_stack_free(stack, blocks[i]), 0);
        }
        cr_assert_eq(stats_of(stack).used_bytes, 0);
    }
    cr_assert_gt(lode_stack_trim(stack), 3000000);
    cr_assert_lt(stats_of(stack).mapped_bytes, 4096);
    lode_stack_destroy(stack);
}

Test(stack, a_mark_protects_what_is_older)
{
    struct lode_stack *stack = made(NULL);
    void *a = lode_stack_alloc(stack, 100, 16);
    lode_mark outer = lode_stack_mark(stack, "outer");
    cr_assert_eq(lode_stack_free(stack, a), -EBUSY);
    cr_assert_eq(lode_stack_extend(stack, a, 100, 10), -EBUSY);
    void *b = lode_stack_alloc(stack, 100, 16);
    cr_assert_eq(lode_stack_free(stack, b), 0);
    for (int i = 0; i < 500; i++)
        cr_assert_not_null(lode_stack_alloc(stack, 1000, 16));
    cr_assert_eq(stats_of(stack).blocks, 501);
    cr_assert_eq(lode_stack_rewind(stack, outer), 0);
    cr_assert_eq(stats_of(stack).blocks, 1);
    cr_assert_eq(stats_of(stack).frees, 501);
    cr_assert_eq(lode_stack_newest(stack), a);
    cr_assert_eq(lode_stack_free(stack, a), 0);
    lode_stack_destroy(stack);
}

Test(stack, marks_out_of_order_are_refused_and_nothing_changes)
{
    struct lode_stack *stack = made(NULL), *other = made(NULL);
    uint32_t depth;
    lode_mark outer = lode_stack_mark(stack, "outer");
    void *p = lode_stack_alloc(stack, 100, 16);
    lode_mark inner = lode_stack_mark(stack, "inner"), foreign = lode_stack_mark(other, "inner");
    cr_assert_eq(lode_stack_rewind(stack, outer), -EINVAL);
    cr_assert_eq(lode_stack_keep(stack, outer), -EINVAL);
    cr_assert_eq(lode_stack_rewind(stack, 0), -EINVAL);
    cr_assert_eq(lode_stack_rewind(stack, foreign), -EINVAL);
    cr_assert_eq(lode_stack_unwind(stack, foreign), -EINVAL);
    cr_assert_eq(lode_stack_newest(stack), p);
    cr_assert_str_eq(lode_stack_innermost(stack, &depth), "inner");
    cr_assert_eq(depth, 2);
    cr_assert_eq(lode_stack_marked(stack, "outer"), outer);
    cr_assert_eq(lode_stack_marked(stack, "none"), 0);
    cr_assert_eq(lode_stack_unwind(stack, outer), 0);
    cr_assert_null(lode_stack_newest(stack));
    cr_assert_eq(lode_stack_rewind(stack, inner), -ESTALE);
    cr_assert_eq(lode_stack_unwind(stack, outer), -ESTALE);
    lode_mark again = lode_stack_mark(stack, NULL);
    cr_assert_null(lode_stack_innermost(stack, NULL));
    lode_stack_reset(stack);
    cr_assert_eq(lode_stack_rewind(stack, again), -ESTALE);
    cr_assert_eq(lode_stack_keep(stack, again), -ESTALE);
    lode_stack_destroy(other);
    lode_stack_destroy(stack);
}

Test(stack, a_mark_can_be_dropped_and_the_blocks_kept)
{
    struct lode_stack *stack = made(NULL);
    lode_mark mark = lode_stack_mark(stack, "loading");
    void *p = lode_stack_alloc(stack, 100, 16);
    cr_assert_eq(lode_stack_keep(stack, mark), 0);
    cr_assert_eq(lode_stack_newest(stack), p);
    cr_assert_eq(lode_stack_free(stack, p), 0);
    lode_stack_destroy(stack);
}

Test(stack, the_newest_block_grows_in_place_and_moves_beyond_its_chunk)
{
    struct lode_stack *stack = made(NULL);
    struct lode_allocator a;
    lode_stack_allocator(stack, &a);
    void *below = lode_stack_alloc(stack, 1000, 16);
    unsigned char *p = lode_stack_alloc(stack, 100, 16);
    memset(p, 5, 100);
    cr_assert_eq(lode_stack_extend(stack, p, 100, 5000), 0);
    cr_assert_eq(lode_stack_extend(stack, p, 5000, 100), 0);
    cr_assert_eq(lode_stack_extend(stack, p, 100, SIZE_MAX), -ENOMEM);
    cr_assert_eq(lode_stack_extend(stack, p, 100, 1 << 20), -ENOMEM);
    unsigned char *moved = lode_allocator_resize(&a, p, 100, 1 << 20, 16);
    cr_assert_not_null(moved);
    cr_assert_neq(moved, p);
    cr_assert_eq(moved[99], 5);
    cr_assert_eq(stats_of(stack).blocks, 2);
    cr_assert_eq(lode_stack_free(stack, p), -EINVAL, "it is dead");
    unsigned char *twice = lode_allocator_resize(&a, moved, 1 << 20, 8 << 20, 16);
    cr_assert_not_null(twice);
    cr_assert_eq(twice[99], 5);
    cr_assert_null(lode_allocator_resize(&a, below, 1000, 2000, 16), "not the newest");
    cr_assert_eq(lode_stack_free(stack, twice), 0);
    cr_assert_eq(lode_stack_newest(stack), below);
    cr_assert_eq(stats_of(stack).used_bytes, 1008);
    cr_assert_eq(lode_stack_free(stack, below), 0);
    cr_assert_eq(stats_of(stack).used_bytes, 0);
    lode_stack_destroy(stack);
}

Test(stack, figures_know_every_byte)
{
    static char memory[8192];
    struct lode_stack_opts o = LODE_STACK_OPTS_INIT;
    o.memory = memory;
    o.memory_bytes = sizeof(memory);
    o.flags = LODE_STACK_FIXED;
    struct lode_stack *stack = made(&o);
    size_t blocks = 0;
    while (lode_stack_alloc(stack, 48, 16) != NULL)
        blocks++;
    struct lode_allocator_stats s = stats_of(stack);
    cr_assert_eq(s.blocks, blocks);
    cr_assert_eq(s.used_bytes, blocks * 48);
    cr_assert_eq(s.used_bytes + s.free_bytes + s.metadata_bytes, s.mapped_bytes);
    cr_assert_geq(blocks * 52, sizeof(memory) - 56 - 52);
    cr_assert_eq(s.failures, 1);
    lode_stack_destroy(stack);
    memset(memory, 1, sizeof(memory));
}

Test(stack, a_heap_that_refuses_changes_nothing)
{
    struct lode_stack *stack = NULL;
    struct lode_stack_opts o = LODE_STACK_OPTS_INIT;
    o.initial_bytes = 1000;
    for (long after = 0; after < 3; after++) {
        failing_heap_after = after;
        cr_assert_eq(lode_stack_create(&o, &stack), -ENOMEM);
    }
    failing_heap_after = -1;
    stack = made(&o);
    unsigned char *p = lode_stack_alloc(stack, 100, 16);
    struct lode_allocator a;
    lode_stack_allocator(stack, &a);
    failing_heap_after = 0;
    cr_assert_null(lode_stack_alloc(stack, 2000, 16));
    cr_assert_null(lode_allocator_resize(&a, p, 100, 2000, 16));
    cr_assert_eq(lode_stack_newest(stack), p);
    failing_heap_after = -1;
    cr_assert_eq(lode_stack_free(stack, p), 0);
    lode_stack_destroy(stack);
}

/* ---- against a model ---- */

#define BLOCKS 500
#define MARKS  5

static struct {
    unsigned char *at;
    size_t bytes;
} model[BLOCKS];

static uint32_t seed = 11;

static size_t any(size_t limit)
{
    seed = seed * 1664525 + 1013904223;
    return (size_t)(seed >> 8) % limit;
}

Test(stack, behaves_as_its_model)
{
    static char memory[3000];
    struct lode_stack_opts o = LODE_STACK_OPTS_INIT;
    o.memory = memory + 3;
    o.memory_bytes = sizeof(memory) - 3;
    struct lode_stack *stack = made(&o);
    struct lode_allocator a;
    lode_stack_allocator(stack, &a);
    lode_mark marks[MARKS];
    size_t live = 0, depth = 0, live_at[MARKS + 1] = {0}, used_at[MARKS];
    for (int step = 0; step < 40000; step++) {
        size_t what = any(20), bytes = 1 + any(what == 0 ? 100000 : 600);
        size_t oldest = depth > 0 ? live_at[depth - 1] : 0;
        if (what < 9 && live < BLOCKS) {
            model[live].at = lode_stack_alloc(stack, bytes, (size_t)1 << any(9));
            cr_assert_not_null(model[live].at);
            model[live].bytes = bytes;
            memset(model[live].at, (int)live, bytes);
            live++;
        } else if (what < 14 && live > 0) {
            size_t i = any(4) != 0 ? live - 1 : any(live);
            int expected = i == live - 1 && i >= oldest ? 0 : -EBUSY;
            cr_assert_eq(lode_stack_free(stack, model[i].at), expected);
            live -= expected == 0;
        } else if (what < 16 && live > oldest) {
            unsigned char *p =
                lode_allocator_resize(&a, model[live - 1].at, model[live - 1].bytes, bytes, 16);
            cr_assert_not_null(p);
            memset(p, (int)(live - 1), bytes);
            model[live - 1].at = p;
            model[live - 1].bytes = bytes;
        } else if (what < 17 && depth < MARKS) {
            live_at[depth] = live;
            used_at[depth] = stats_of(stack).used_bytes;
            marks[depth++] = lode_stack_mark(stack, "model");
        } else if (what < 19 && depth > 0) {
            depth = any(depth);
            cr_assert_eq(lode_stack_unwind(stack, marks[depth]), 0);
            live = live_at[depth];
            cr_assert_eq(stats_of(stack).used_bytes, used_at[depth]);
        } else if (what == 19) {
            lode_stack_trim(stack);
        }
        cr_assert_eq(stats_of(stack).blocks, live);
        cr_assert_eq(lode_stack_newest(stack), live > 0 ? (void *)model[live - 1].at : NULL);
        for (size_t i = 0; step % 64 == 0 && i < live; i++)
            for (size_t b = 0; b < model[i].bytes; b += 1 + model[i].bytes / 50)
                cr_assert_eq(model[i].at[b], (unsigned char)i);
    }
    lode_stack_destroy(stack);
}

/* Nothing of it is touched. The heap rounds the chunk up: there is room behind what was asked. */
Test(stack, the_largest_chunk_is_known_to_its_end, .disabled = LODE_ASAN)
{
    struct lode_stack_opts o = LODE_STACK_OPTS_INIT;
    struct lode_stack *stack;
    o.initial_bytes = (size_t)1 << 40;
    while (lode_stack_create(&o, &stack) == -EINVAL)
        o.initial_bytes /= 2;
    cr_assert_geq(o.initial_bytes, (size_t)1 << 34);
    void *large = lode_stack_alloc(stack, o.initial_bytes - 4096, 16), *small[512];
    cr_assert_not_null(large);
    for (size_t i = 0; i < 512; i++)
        small[i] = lode_stack_alloc(stack, 16, 16);
    for (size_t i = 512; i-- > 0;) {
        cr_assert_eq(lode_stack_newest(stack), small[i]);
        cr_assert_eq(lode_stack_free(stack, small[i]), 0);
    }
    cr_assert_eq(lode_stack_free(stack, large), 0);
    lode_stack_destroy(stack);
}
