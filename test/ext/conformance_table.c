/* SPDX-License-Identifier: MIT */
/* The allocators there are: see conformance.h. Public headers only. */
#include "conformance.h"

#include <lode/arena.h>
#include <lode/buddy.h>
#include <lode/cpool.h>
#include <lode/frame.h>
#include <lode/freelist.h>
#include <lode/locked.h>
#include <lode/pool.h>
#include <lode/slab.h>
#include <lode/stackalloc.h>

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

/* ---- stack ---- */

static int stack_make_with(const struct lode_stack_opts *opts, struct lode_allocator *ret_allocator)
{
    struct lode_stack *stack;
    int error = lode_stack_create(opts, &stack);
    if (error == 0)
        lode_stack_allocator(stack, ret_allocator);
    return error;
}

static int stack_make(struct lode_heap *heap, struct lode_allocator *ret_allocator)
{
    struct lode_stack_opts o = LODE_STACK_OPTS_INIT;
    o.heap = heap;
    return stack_make_with(&o, ret_allocator);
}

static int stack_lent_make(struct lode_heap *heap, struct lode_allocator *ret_allocator)
{
    static char memory[1 << 20];
    struct lode_stack_opts o = LODE_STACK_OPTS_INIT;
    o.heap = heap;
    o.flags = LODE_STACK_FIXED;
    o.memory = memory + 1;
    o.memory_bytes = sizeof(memory) - 1;
    return stack_make_with(&o, ret_allocator);
}

static void stack_end(struct lode_allocator *allocator)
{
    lode_stack_destroy(allocator->ctx);
}

/* ---- pools ---- */

#define OBJECT_BYTES 192

static int pool_make_with(struct lode_pool_opts *opts, struct lode_allocator *ret_allocator)
{
    struct lode_pool *pool;
    opts->object_bytes = OBJECT_BYTES;
    opts->align = 64;
    int error = lode_pool_create(opts, &pool);
    if (error == 0)
        lode_pool_allocator(pool, ret_allocator);
    return error;
}

static int pool_make(struct lode_heap *heap, struct lode_allocator *ret_allocator)
{
    struct lode_pool_opts o = LODE_POOL_OPTS_INIT;
    o.heap = heap;
    return pool_make_with(&o, ret_allocator);
}

static int pool_fixed_make(struct lode_heap *heap, struct lode_allocator *ret_allocator)
{
    struct lode_pool_opts o = LODE_POOL_OPTS_INIT;
    o.heap = heap;
    o.initial = o.max = 1000;
    return pool_make_with(&o, ret_allocator);
}

static int pool_remote_make(struct lode_heap *heap, struct lode_allocator *ret_allocator)
{
    struct lode_pool_opts o = LODE_POOL_OPTS_INIT;
    o.heap = heap;
    o.flags = LODE_POOL_REMOTE | LODE_POOL_ZERO;
    return pool_make_with(&o, ret_allocator);
}

static void pool_end(struct lode_allocator *allocator)
{
    lode_pool_destroy(allocator->ctx);
}

static int cpool_make_with(struct lode_pool_opts *opts, struct lode_allocator *ret_allocator)
{
    struct lode_cpool *cpool;
    opts->object_bytes = OBJECT_BYTES;
    opts->align = 64;
    int error = lode_cpool_create(opts, &cpool);
    if (error == 0)
        lode_cpool_allocator(cpool, ret_allocator);
    return error;
}

static int cpool_make(struct lode_heap *heap, struct lode_allocator *ret_allocator)
{
    struct lode_pool_opts o = LODE_POOL_OPTS_INIT;
    o.heap = heap;
    return cpool_make_with(&o, ret_allocator);
}

static int cpool_fixed_make(struct lode_heap *heap, struct lode_allocator *ret_allocator)
{
    struct lode_pool_opts o = LODE_POOL_OPTS_INIT;
    o.heap = heap;
    o.initial = o.max = 1000;
    return cpool_make_with(&o, ret_allocator);
}

static void cpool_end(struct lode_allocator *allocator)
{
    lode_cpool_destroy(allocator->ctx);
}

/* ---- buddy ---- */

static int buddy_make_with(const struct lode_buddy_opts *opts, struct lode_allocator *ret_allocator)
{
    struct lode_buddy *buddy;
    int error = lode_buddy_create(opts, &buddy);
    if (error == 0)
        lode_buddy_allocator(buddy, ret_allocator);
    return error;
}

static int buddy_make(struct lode_heap *heap, struct lode_allocator *ret_allocator)
{
    struct lode_buddy_opts o = LODE_BUDDY_OPTS_INIT;
    o.heap = heap;
    o.bytes = 1 << 20;
    return buddy_make_with(&o, ret_allocator);
}

static int buddy_lent_make(struct lode_heap *heap, struct lode_allocator *ret_allocator)
{
    static char memory[1 << 20];
    struct lode_buddy_opts o = LODE_BUDDY_OPTS_INIT;
    o.heap = heap;
    o.memory = memory + 5;
    o.bytes = sizeof(memory) - 5;
    o.min_bytes = 16;
    return buddy_make_with(&o, ret_allocator);
}

static void buddy_end(struct lode_allocator *allocator)
{
    lode_buddy_destroy(allocator->ctx);
}

/* ---- frame arena ---- */

static int frame_make(struct lode_heap *heap, struct lode_allocator *ret_allocator)
{
    struct lode_frame *frame;
    struct lode_frame_opts o = LODE_FRAME_OPTS_INIT;
    o.heap = heap;
    int error = lode_frame_create(&o, &frame);
    if (error == 0)
        lode_frame_allocator(frame, ret_allocator);
    return error;
}

static void frame_end(struct lode_allocator *allocator)
{
    lode_frame_destroy(allocator->ctx);
}

/* ---- slab ---- */

static int slab_make(struct lode_heap *heap, struct lode_allocator *ret_allocator)
{
    struct lode_slab *slab;
    struct lode_slab_opts o = LODE_SLAB_OPTS_INIT;
    o.heap = heap;
    int error = lode_slab_create(&o, &slab);
    if (error == 0)
        lode_slab_allocator(slab, ret_allocator);
    return error;
}

static void slab_end(struct lode_allocator *allocator)
{
    lode_slab_destroy(allocator->ctx);
}

/* ---- free list ---- */

static int freelist_make_with(struct lode_freelist_opts *opts, struct lode_heap *heap,
                              struct lode_allocator *ret_allocator)
{
    struct lode_freelist *list;
    opts->heap = heap;
    int error = lode_freelist_create(opts, &list);
    if (error == 0)
        lode_freelist_allocator(list, ret_allocator);
    return error;
}

static int freelist_make(struct lode_heap *heap, struct lode_allocator *ret_allocator)
{
    struct lode_freelist_opts o = LODE_FREELIST_OPTS_INIT;
    o.bytes = 1 << 20;
    return freelist_make_with(&o, heap, ret_allocator);
}

static int freelist_first_make(struct lode_heap *heap, struct lode_allocator *ret_allocator)
{
    struct lode_freelist_opts o = LODE_FREELIST_OPTS_INIT;
    o.bytes = 1 << 20;
    o.fit = LODE_FIT_FIRST;
    return freelist_make_with(&o, heap, ret_allocator);
}

static int freelist_lent_make(struct lode_heap *heap, struct lode_allocator *ret_allocator)
{
    static char memory[1 << 20];
    struct lode_freelist_opts o = LODE_FREELIST_OPTS_INIT;
    o.memory = memory + 3;
    o.bytes = sizeof(memory) - 3;
    o.fit = LODE_FIT_BEST;
    return freelist_make_with(&o, heap, ret_allocator);
}

static void freelist_end(struct lode_allocator *allocator)
{
    lode_freelist_destroy(allocator->ctx);
}

/* ---- a lock around one ---- */

static struct lode_allocator locked_inner;

static int locked_make(struct lode_heap *heap, struct lode_allocator *ret_allocator)
{
    struct lode_locked *locked;
    struct lode_locked_opts o = LODE_LOCKED_OPTS_INIT;
    o.heap = heap;
    int error = freelist_make(heap, &locked_inner);
    if (error != 0)
        return error;
    error = lode_locked_create(&locked_inner, &o, &locked);
    if (error == 0)
        lode_locked_allocator(locked, ret_allocator);
    else
        freelist_end(&locked_inner);
    return error;
}

static void locked_end(struct lode_allocator *allocator)
{
    lode_locked_destroy(allocator->ctx);
    freelist_end(&locked_inner);
}

/* ---- all of them ---- */

#define ARENA_TRAITS (LODE_TRAIT_RESIZES | LODE_TRAIT_DESTROYS)
#define STACK_TRAITS                                                                \
    (LODE_TRAIT_LIFO | LODE_TRAIT_FREES | LODE_TRAIT_CHECKED | LODE_TRAIT_RESIZES | \
     LODE_TRAIT_DESTROYS)

#define POOL_TRAITS (LODE_TRAIT_FREES | LODE_TRAIT_FIXED | LODE_TRAIT_CHECKED | LODE_TRAIT_DESTROYS)
#define SLAB_TRAITS \
    (LODE_TRAIT_FREES | LODE_TRAIT_CHECKED | LODE_TRAIT_RESIZES | LODE_TRAIT_DESTROYS)
#define BOUNDED_TRAITS                                                                 \
    (LODE_TRAIT_FREES | LODE_TRAIT_BOUNDED | LODE_TRAIT_CHECKED | LODE_TRAIT_RESIZES | \
     LODE_TRAIT_DESTROYS)

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
    {.name = "stack",
     .traits = STACK_TRAITS,
     .make = stack_make,
     .end = stack_end,
     .align_max = 1 << 20},
    {.name = "stack-lent",
     .traits = STACK_TRAITS | LODE_TRAIT_BOUNDED,
     .make = stack_lent_make,
     .end = stack_end,
     .align_max = 4096},
    {.name = "pool",
     .traits = POOL_TRAITS,
     .make = pool_make,
     .end = pool_end,
     .align_max = 64,
     .block_bytes = OBJECT_BYTES},
    {.name = "pool-fixed",
     .traits = POOL_TRAITS | LODE_TRAIT_BOUNDED,
     .make = pool_fixed_make,
     .end = pool_end,
     .align_max = 64,
     .block_bytes = OBJECT_BYTES},
    {.name = "pool-remote",
     .traits = POOL_TRAITS,
     .make = pool_remote_make,
     .end = pool_end,
     .align_max = 64,
     .block_bytes = OBJECT_BYTES},
    {.name = "cpool",
     .traits = POOL_TRAITS | LODE_TRAIT_THREADS,
     .make = cpool_make,
     .end = cpool_end,
     .align_max = 64,
     .block_bytes = OBJECT_BYTES},
    {.name = "cpool-fixed",
     .traits = POOL_TRAITS | LODE_TRAIT_THREADS | LODE_TRAIT_BOUNDED,
     .make = cpool_fixed_make,
     .end = cpool_end,
     .align_max = 64,
     .block_bytes = OBJECT_BYTES},
    {.name = "buddy",
     .traits = BOUNDED_TRAITS,
     .make = buddy_make,
     .end = buddy_end,
     .align_max = 1 << 20},
    {.name = "buddy-lent",
     .traits = BOUNDED_TRAITS,
     .make = buddy_lent_make,
     .end = buddy_end,
     .align_max = 4096},
    {.name = "frame",
     .traits = LODE_TRAIT_THREADS | LODE_TRAIT_DESTROYS,
     .make = frame_make,
     .end = frame_end,
     .align_max = 1 << 20},
    {.name = "slab", .traits = SLAB_TRAITS, .make = slab_make, .end = slab_end, .align_max = 4096},
    {.name = "freelist",
     .traits = BOUNDED_TRAITS,
     .make = freelist_make,
     .end = freelist_end,
     .align_max = 65536},
    {.name = "freelist-first",
     .traits = BOUNDED_TRAITS,
     .make = freelist_first_make,
     .end = freelist_end,
     .align_max = 65536},
    {.name = "freelist-lent",
     .traits = BOUNDED_TRAITS,
     .make = freelist_lent_make,
     .end = freelist_end,
     .align_max = 65536},
    {.name = "locked",
     .traits = BOUNDED_TRAITS | LODE_TRAIT_THREADS,
     .make = locked_make,
     .end = locked_end,
     .align_max = 65536,
     .wraps = 1},
    {0},
};
