/* SPDX-License-Identifier: MIT */
/* The allocators there are: see conformance.h. Public headers only. */
#include "conformance.h"

#include <lode/arena.h>

size_t conformance_count(void)
{
    size_t count = 0;
    while (conformance_rows[count].name != NULL)
        count++;
    return count;
}

size_t conformance_bytes(const struct conformance_row *row)
{
    return row->block_bytes != 0 ? row->block_bytes : 4096;
}

/* ---- heap ---- */

static int heap_make(struct lode_heap *heap, struct lode_allocator *ret_allocator)
{
    lode_heap_allocator(heap, ret_allocator);
    return 0;
}

static void heap_end(struct lode_allocator *allocator)
{
    (void)allocator; /* the heap is the suite's */
}

/* ---- arena ---- */

static int arena_make_with(const struct lode_arena_opts *opts, struct lode_allocator *ret_allocator)
{
    struct lode_arena *arena;
    int error = lode_arena_create(opts, &arena);
    if (error == 0)
        lode_arena_allocator(arena, ret_allocator);
    return error;
}

static int arena_make(struct lode_heap *heap, struct lode_allocator *ret_allocator)
{
    struct lode_arena_opts o = LODE_ARENA_OPTS_INIT;
    o.heap = heap;
    return arena_make_with(&o, ret_allocator);
}

static int arena_fixed_make(struct lode_heap *heap, struct lode_allocator *ret_allocator)
{
    struct lode_arena_opts o = LODE_ARENA_OPTS_INIT;
    o.heap = heap;
    o.flags = LODE_ARENA_FIXED;
    o.initial_bytes = 1 << 20;
    return arena_make_with(&o, ret_allocator);
}

static int arena_lent_make(struct lode_heap *heap, struct lode_allocator *ret_allocator)
{
    static char memory[1 << 20];
    struct lode_arena_opts o = LODE_ARENA_OPTS_INIT;
    o.heap = heap;
    o.flags = LODE_ARENA_FIXED;
    o.memory = memory;
    o.memory_bytes = sizeof(memory);
    return arena_make_with(&o, ret_allocator);
}

static void arena_end(struct lode_allocator *allocator)
{
    lode_arena_destroy(allocator->ctx);
}

/* ---- all of them ---- */

#define ARENA_TRAITS (LODE_TRAIT_RESIZES | LODE_TRAIT_DESTROYS)

const struct conformance_row conformance_rows[] = {
    {.name = "heap",
     .traits = LODE_TRAIT_THREADS | LODE_TRAIT_FREES | LODE_TRAIT_RESIZES | LODE_TRAIT_DESTROYS,
     .make = heap_make,
     .end = heap_end,
     .align_max = 1 << 20,
     .heap_announces = 1},
    {.name = "arena",
     .traits = ARENA_TRAITS,
     .make = arena_make,
     .end = arena_end,
     .align_max = 1 << 20},
    {.name = "arena-fixed",
     .traits = ARENA_TRAITS | LODE_TRAIT_BOUNDED,
     .make = arena_fixed_make,
     .end = arena_end,
     .align_max = 4096},
    {.name = "arena-lent",
     .traits = ARENA_TRAITS | LODE_TRAIT_BOUNDED,
     .make = arena_lent_make,
     .end = arena_end,
     .align_max = 4096},
    {0},
};
