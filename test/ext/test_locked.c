/* SPDX-License-Identifier: MIT */
/* ext/locked.c: options, what stays the inner allocator's. What all allocators have in common is in
 * test_conformance.c, threads in stress_allocators.c and forked_allocators.c. */
#include <criterion/criterion.h>

#include <errno.h>

#include "failing_heap.h"
#include "lode/arena.h"
#include "lode/locked.h"

Test(locked, bad_options_are_refused)
{
    struct lode_locked *locked = NULL;
    struct lode_allocator inner;
    struct lode_locked_opts o = LODE_LOCKED_OPTS_INIT;
    lode_heap_allocator(NULL, &inner);
    o.reserved = 1;
    cr_assert_eq(lode_locked_create(&inner, &o, &locked), -EINVAL);
    struct {
        struct lode_locked_opts known;
        uint64_t later;
    } newer = {.known = LODE_LOCKED_OPTS_INIT, .later = 1};
    newer.known.size = sizeof(newer);
    cr_assert_eq(lode_locked_create(&inner, &newer.known, &locked), -E2BIG);
    failing_heap_after = 0;
    cr_assert_eq(lode_locked_create(&inner, NULL, &locked), -ENOMEM);
    failing_heap_after = -1;
    cr_assert_null(locked);
    lode_locked_destroy(NULL);
}

Test(locked, the_inner_allocator_goes_on_without_it)
{
    struct lode_arena *arena;
    struct lode_locked *locked;
    struct lode_allocator inner, shared;
    cr_assert_eq(lode_arena_create(NULL, &arena), 0);
    lode_arena_allocator(arena, &inner);
    cr_assert_eq(lode_locked_create(&inner, NULL, &locked), 0);
    lode_locked_allocator(locked, &shared);
    cr_assert_eq(shared.traits, inner.traits | LODE_TRAIT_THREADS);
    char *p = lode_allocator_alloc(&shared, 100, 16);
    cr_assert(lode_allocator_owns(&inner, p));
    lode_locked_lock(locked);
    lode_arena_reset(arena);
    lode_locked_unlock(locked);
    cr_assert_eq(lode_allocator_alloc(&shared, 100, 16), p);
    lode_locked_destroy(locked);
    cr_assert_not_null(lode_arena_alloc(arena, 100, 16));
    lode_arena_destroy(arena);
}
