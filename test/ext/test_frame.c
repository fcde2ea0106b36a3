/* SPDX-License-Identifier: MIT */
/* ext/framearena.c: lifetimes, references, growth, limits, every documented errno. Threads are in
 * stress_frame.c, what all allocators have in common in test_conformance.c. */
#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

#include "ext/poison.h"
#include "failing_heap.h"
#include "lode/frame.h"

static struct lode_frame *made(const struct lode_frame_opts *opts)
{
    struct lode_frame *frame;
    cr_assert_eq(lode_frame_create(opts, &frame), 0);
    return frame;
}

static struct lode_allocator_stats stats_of(struct lode_frame *frame)
{
    struct lode_allocator_stats s;
    lode_frame_stats(frame, &s);
    return s;
}

Test(frame, bad_options_are_refused)
{
    struct lode_frame *frame = NULL;
    struct lode_frame_opts o = LODE_FRAME_OPTS_INIT;
    o.frames = 9;
    cr_assert_eq(lode_frame_create(&o, &frame), -EINVAL);
    o = (struct lode_frame_opts)LODE_FRAME_OPTS_INIT;
    o.chunk_bytes = 4095;
    cr_assert_eq(lode_frame_create(&o, &frame), -EINVAL);
    o.chunk_bytes = ((size_t)64 << 20) + 1;
    cr_assert_eq(lode_frame_create(&o, &frame), -EINVAL);
    o = (struct lode_frame_opts)LODE_FRAME_OPTS_INIT;
    o.flags = 1;
    cr_assert_eq(lode_frame_create(&o, &frame), -EINVAL);
    o = (struct lode_frame_opts)LODE_FRAME_OPTS_INIT;
    o.reserved = 1;
    cr_assert_eq(lode_frame_create(&o, &frame), -EINVAL);
    o = (struct lode_frame_opts)LODE_FRAME_OPTS_INIT;
    o.heap = lode_heap_default();
    o.tag = 5;
    cr_assert_eq(lode_frame_create(&o, &frame), -EINVAL);
    struct {
        struct lode_frame_opts known;
        uint64_t later;
    } newer = {.known = LODE_FRAME_OPTS_INIT, .later = 1};
    newer.known.size = sizeof(newer);
    cr_assert_eq(lode_frame_create(&newer.known, &frame), -E2BIG);
    for (long after = 0; after < 2; after++) {
        failing_heap_after = after;
        cr_assert_eq(lode_frame_create(NULL, &frame), -ENOMEM);
    }
    failing_heap_after = -1;
    cr_assert_null(frame);
    lode_frame_destroy(NULL);
}

Test(frame, a_block_lives_as_many_frames_as_are_kept)
{
    for (uint32_t frames = 1; frames <= 8; frames++) {
        struct lode_frame_opts o = LODE_FRAME_OPTS_INIT;
        struct lode_frame_ref refs[30];
        unsigned char *blocks[30];
        o.frames = frames;
        struct lode_frame *frame = made(&o);
        for (uint64_t g = 1; g < 30; g++) {
            cr_assert_eq(lode_frame_generation(frame), g);
            refs[g] = lode_frame_alloc_ref(frame, g % 3 == 0 ? 100000 : 1000, 64);
            blocks[g] = refs[g].block;
            cr_assert_not_null(blocks[g]);
            cr_assert_eq(refs[g].generation, g);
            memset(blocks[g], (int)g, 1000);
            for (uint64_t old = 1; old <= g; old++) {
                unsigned char *p = lode_frame_get(frame, refs[old]);
                cr_assert_eq(p, old + frames > g ? blocks[old] : NULL);
                for (int i = 0; p != NULL && i < 1000; i++)
                    cr_assert_eq(p[i], old);
            }
            cr_assert_eq(lode_frame_advance(frame), g + 1);
        }
        lode_frame_destroy(frame);
    }
}

Test(frame, no_reference_is_no_block)
{
    struct lode_frame *frame = made(NULL);
    struct lode_frame_ref none = {NULL, 0}, later = {&none, 17}, first = {&none, UINT64_MAX};
    cr_assert_null(lode_frame_get(frame, none));
    cr_assert_null(lode_frame_get(frame, later));
    cr_assert_null(lode_frame_get(frame, first));
    struct lode_frame_ref failed = lode_frame_alloc_ref(frame, SIZE_MAX, 1);
    cr_assert_null(failed.block);
    cr_assert_null(lode_frame_get(frame, failed));
    lode_frame_destroy(frame);
}

Test(frame, the_same_frame_again_takes_no_memory)
{
    struct lode_frame *frame = made(NULL);
    size_t mapped = 0;
    for (int g = 0; g < 300; g++) {
        for (int i = 0; i < 3000; i++) {
            size_t bytes = i % 500 == 77 ? 50000 : (size_t)(i % 300);
            char *p = lode_frame_alloc(frame, bytes, 16);
            cr_assert_not_null(p);
            memset(p, 1, bytes);
        }
        if (g == 3)
            mapped = stats_of(frame).mapped_bytes;
        if (g > 3)
            cr_assert_eq(stats_of(frame).mapped_bytes, mapped);
        lode_frame_advance(frame);
    }
    cr_assert_geq(stats_of(frame).peak_used_bytes, 2 * (6 * 50000 + 3000 * 140));
    lode_frame_destroy(frame);
}

Test(frame, chunks_grow_with_the_frame)
{
    struct lode_frame_opts o = LODE_FRAME_OPTS_INIT;
    o.chunk_bytes = 4096;
    struct lode_frame *frame = made(&o);
    size_t count = 0;
    for (; count < 100000; count++)
        cr_assert_not_null(lode_frame_alloc(frame, 400, 16));
    cr_assert_lt(stats_of(frame).misses, 60, "of so many chunks");
    cr_assert_geq(stats_of(frame).used_bytes, count * 400);
    lode_frame_destroy(frame);
}

/* 4 of the first size, 4 of the double, and so on. */
Test(frame, chunks_are_of_the_sizes_that_the_options_say)
{
    for (int by_default = 0; by_default < 2; by_default++) {
        struct lode_frame_opts o = LODE_FRAME_OPTS_INIT;
        o.chunk_bytes = by_default ? 0 : 8192;
        struct lode_frame *frame = made(&o);
        size_t expected = 0, first = by_default ? 64 << 10 : 8192;
        for (uint64_t chunk = 0; chunk < 12; chunk++) {
            while (stats_of(frame).misses == chunk)
                cr_assert_not_null(lode_frame_alloc(frame, 1000, 16));
            expected += first << chunk / 4;
            struct lode_allocator_stats s = stats_of(frame);
            cr_assert_eq(s.mapped_bytes - s.metadata_bytes, expected);
        }
        lode_frame_destroy(frame);
    }
}

Test(frame, large_blocks_are_kept_while_they_are_wanted)
{
    struct lode_frame *frame = made(NULL);
    for (int g = 0; g < 10; g++) {
        char *p = lode_frame_alloc(frame, 3 << 20, 4096);
        cr_assert_not_null(p);
        cr_assert_eq((uintptr_t)p % 4096, 0);
        memset(p, 1, 3 << 20);
        lode_frame_advance(frame);
    }
    cr_assert_eq(stats_of(frame).misses, 2, "one for each frame that is kept");
    for (int g = 0; g < 20; g++)
        lode_frame_advance(frame);
    cr_assert_lt(stats_of(frame).mapped_bytes, 1 << 20, "given back when nobody asked for long");
    lode_frame_destroy(frame);
}

Test(frame, room_has_a_limit_and_failing_changes_nothing)
{
    struct lode_frame_opts o = LODE_FRAME_OPTS_INIT;
    o.max_bytes = 200000;
    o.chunk_bytes = 32768;
    struct lode_frame *frame = made(&o);
    size_t got = 0;
    while (lode_frame_alloc(frame, 1000, 16) != NULL)
        got += 1008;
    cr_assert_geq(got, 150000);
    struct lode_allocator_stats before = stats_of(frame), after;
    cr_assert_geq(before.largest_free_bytes, 16);
    for (int i = 0; i < 100000; i++)
        cr_assert_null(lode_frame_alloc(frame, 4000, 16));
    cr_assert_null(lode_frame_alloc(frame, 100000, 16));
    after = stats_of(frame);
    cr_assert_eq(after.used_bytes, before.used_bytes);
    cr_assert_eq(after.largest_free_bytes, before.largest_free_bytes);
    cr_assert_eq(after.failures, before.failures + 100001);
    struct lode_allocator a;
    lode_frame_allocator(frame, &a);
    while (lode_allocator_can_allocate(&a, 16, 16))
        cr_assert_not_null(lode_frame_alloc(frame, 16, 16));
    cr_assert_null(lode_frame_alloc(frame, 16, 16));
    lode_frame_advance(frame);
    lode_frame_advance(frame);
    cr_assert_not_null(lode_frame_alloc(frame, 1000, 16));
    lode_frame_destroy(frame);
}

Test(frame, trimming_gives_back_what_no_frame_has_used)
{
    struct lode_frame *frame = made(NULL);
    for (int i = 0; i < 10000; i++)
        cr_assert_not_null(lode_frame_alloc(frame, 1000, 16));
    cr_assert_not_null(lode_frame_alloc(frame, 1 << 20, 16));
    cr_assert_eq(lode_frame_trim(frame), 0);
    lode_frame_advance(frame);
    cr_assert_eq(lode_frame_trim(frame), 0);
    lode_frame_advance(frame);
    cr_assert_gt(lode_frame_trim(frame), 10000000);
    struct lode_allocator_stats s = stats_of(frame);
    cr_assert_eq(s.mapped_bytes - s.metadata_bytes, 65536, "the first chunk of the first frame");
    char *p = lode_frame_alloc(frame, 1000, 16);
    memset(p, 1, 1000);
    for (int i = 0; i < 1000; i++)
        cr_assert_not_null(lode_frame_alloc(frame, 1000, 16));
    lode_frame_destroy(frame);
}

Test(frame, what_is_gone_is_closed_to_asan)
{
    struct lode_frame *frame = made(NULL);
    char *p = lode_frame_alloc(frame, 100, 16);
    lode_frame_advance(frame);
    memset(p, 1, 100);
    lode_frame_advance(frame);
#if LODE_ASAN
    extern int __asan_address_is_poisoned(const volatile void *p);
    cr_assert(__asan_address_is_poisoned(p));
    cr_assert(__asan_address_is_poisoned(p + 99));
#endif
    lode_frame_destroy(frame);
}
