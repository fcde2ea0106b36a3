/* SPDX-License-Identifier: MIT */
/* The everyday allocators: arena, frame arena, stack, buddy, slab, free list, offsets. */
#include <lode/arena.h>

#include "ext_bench.h"

#define OPS 2000000

static struct lode_arena *arena;

static void must(int error)
{
    if (error != 0)
        __builtin_trap();
}

/* ---- arena: a frame's worth of blocks, reset, again ---- */

static void arena_prepare(void)
{
    must(lode_arena_create(NULL, &arena));
}

static void arena_finish(void)
{
    lode_arena_destroy(arena);
}

static size_t arena_bump(void)
{
    for (int i = 0; i < OPS / 2000; i++) {
        for (int k = 0; k < 2000; k++)
            ext_bench_keep(lode_arena_alloc(arena, 64, 16));
        lode_arena_reset(arena);
    }
    return OPS;
}

/* Sizes and alignments the compiler does not know. */
static size_t arena_bump_mixed(void)
{
    uint32_t seed = 1;
    for (int i = 0; i < OPS / 2000; i++) {
        for (int k = 0; k < 2000; k++) {
            seed = seed * 1664525 + 1013904223;
            ext_bench_keep(lode_arena_alloc(arena, seed >> 24, (size_t)8 << (seed >> 22 & 3)));
        }
        lode_arena_reset(arena);
    }
    return OPS;
}

static size_t arena_scopes(void)
{
    for (int i = 0; i < OPS / 4; i++) {
        lode_mark mark = lode_arena_mark(arena, "scope");
        ext_bench_keep(lode_arena_alloc(arena, 64, 16));
        must(lode_arena_rewind(arena, mark));
    }
    return OPS / 4;
}

const struct ext_bench ext_bench_everyday[] = {
    {"arena-bump", "alloc of 64", 2, arena_prepare, arena_bump, arena_finish},
    {"arena-bump-mixed", "alloc of 0-255", 0, arena_prepare, arena_bump_mixed, arena_finish},
    {"arena-scope", "mark+alloc+rewind", 0, arena_prepare, arena_scopes, arena_finish},
    {0},
};
