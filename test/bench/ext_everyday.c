/* SPDX-License-Identifier: MIT */
/* The everyday allocators: arena, frame arena, stack, buddy, slab, free list, offsets. */
#include <lode/arena.h>
#include <lode/buddy.h>
#include <lode/frame.h>
#include <lode/freelist.h>
#include <lode/offset.h>
#include <lode/slab.h>
#include <lode/stackalloc.h>

#include <pthread.h>

#include "ext_bench.h"

#define OPS 2000000

static struct lode_arena *arena;
static struct lode_buddy *buddy;
static struct lode_frame *frame;
static struct lode_freelist *freelist;
static struct lode_offset *offset;
static struct lode_slab *slab;
static struct lode_stack *stack;

/* Live things of the benches that allocate and free at random. */
#define LIVE 4096
static void *live[LIVE];
static uint32_t order[OPS];
static uint32_t seed;

static uint32_t any(void)
{
    seed = seed * 1664525 + 1013904223;
    return seed >> 8;
}

static void must(int error)
{
    if (error != 0)
        __builtin_trap();
}

static void shuffle(void)
{
    for (int i = 0; i < OPS; i++)
        order[i] = any();
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
    seed = 1;
    for (int i = 0; i < OPS / 2000; i++) {
        for (int k = 0; k < 2000; k++) {
            uint32_t bits = any();
            ext_bench_keep(lode_arena_alloc(arena, bits >> 16, (size_t)8 << (bits & 3)));
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

/* ---- stack: eight blocks up, eight down ---- */

static void stack_prepare(void)
{
    must(lode_stack_create(NULL, &stack));
}

static void stack_finish(void)
{
    lode_stack_destroy(stack);
}

static size_t stack_pairs(void)
{
    void *blocks[8];
    for (int i = 0; i < OPS / 8; i++) {
        for (int k = 0; k < 8; k++)
            ext_bench_keep(blocks[k] = lode_stack_alloc(stack, 64, 16));
        for (int k = 8; k-- > 0;)
            must(lode_stack_free(stack, blocks[k]));
    }
    return OPS;
}

/* ---- frame arena: two threads at once, and one alone; nanoseconds as each of them sees them ----
 */

static void frame_prepare(void)
{
    must(lode_frame_create(NULL, &frame));
}

static void frame_finish(void)
{
    lode_frame_destroy(frame);
}

static size_t frame_bump(void)
{
    for (int i = 0; i < OPS / 2000; i++) {
        for (int k = 0; k < 2000; k++)
            ext_bench_keep(lode_frame_alloc(frame, 64, 16));
        (void)lode_frame_advance(frame);
    }
    return OPS;
}

static void *frame_thread(void *arg)
{
    for (int k = 0; k < OPS / 2; k++)
        ext_bench_keep(lode_frame_alloc(frame, 64, 16));
    return arg;
}

static size_t frame_contended(void)
{
    pthread_t other;
    must(pthread_create(&other, NULL, frame_thread, NULL));
    (void)frame_thread(NULL);
    pthread_join(other, NULL);
    return OPS / 2;
}

/* ---- buddy: 64 MiB, 4,096 blocks of up to 16 KiB at random; one block in 64 MiB of nothing ----
 */

static void buddy_start(void)
{
    struct lode_buddy_opts o = LODE_BUDDY_OPTS_INIT;
    o.bytes = (size_t)64 << 20;
    must(lode_buddy_create(&o, &buddy));
}

static void buddy_prepare(void)
{
    seed = 1;
    buddy_start();
    for (int i = 0; i < LIVE; i++)
        live[i] = lode_buddy_alloc(buddy, (size_t)64 << (any() % 9), 0);
    shuffle();
}

static void buddy_finish(void)
{
    lode_buddy_destroy(buddy);
}

static size_t buddy_random(void)
{
    for (int i = 0; i < OPS / 2; i++) {
        void **p = &live[order[i] % LIVE];
        must(lode_buddy_free(buddy, *p));
        *p = lode_buddy_alloc(buddy, (size_t)64 << (order[i] >> 13) % 9, 0);
        ext_bench_keep(*p);
    }
    return OPS;
}

static size_t buddy_pairs(void)
{
    for (int i = 0; i < OPS / 2; i++) {
        void *p = lode_buddy_alloc(buddy, 100, 0);
        ext_bench_keep(p);
        must(lode_buddy_free(buddy, p));
    }
    return OPS;
}

/* Splitting all the way down and joining all the way up: the most it can take. */
static size_t buddy_cold_pairs(void)
{
    for (int i = 0; i < OPS / 4; i++) {
        void *p = lode_buddy_alloc(buddy, 100, 0), *q = lode_buddy_alloc(buddy, 100, 0);
        must(lode_buddy_free(buddy, p));
        must(lode_buddy_free(buddy, q));
        struct lode_allocator_stats s;
        lode_buddy_stats(buddy, &s);
    }
    return OPS;
}

/* ---- free list: 64 MiB, 4,096 blocks of 16 to 16,000 bytes at random; one block ---- */

static void freelist_start(enum lode_fit fit)
{
    struct lode_freelist_opts o = LODE_FREELIST_OPTS_INIT;
    o.bytes = (size_t)64 << 20;
    o.fit = (uint16_t)fit;
    must(lode_freelist_create(&o, &freelist));
}

static void freelist_fill(enum lode_fit fit)
{
    seed = 1;
    freelist_start(fit);
    for (int i = 0; i < LIVE; i++)
        live[i] = lode_freelist_alloc(freelist, 16 + any() % 16000, 0);
    shuffle();
}

static void freelist_good(void)
{
    freelist_fill(LODE_FIT_GOOD);
}

static void freelist_best(void)
{
    freelist_fill(LODE_FIT_BEST);
}

static void freelist_first(void)
{
    freelist_fill(LODE_FIT_FIRST);
}

static void freelist_finish(void)
{
    lode_freelist_destroy(freelist);
}

static size_t freelist_random(void)
{
    for (int i = 0; i < OPS / 2; i++) {
        void **p = &live[order[i] % LIVE];
        must(lode_freelist_free(freelist, *p));
        *p = lode_freelist_alloc(freelist, 16 + order[i] % 16000, 0);
        ext_bench_keep(*p);
    }
    return OPS;
}

static size_t freelist_pairs(void)
{
    for (int i = 0; i < OPS / 2; i++) {
        void *p = lode_freelist_alloc(freelist, 1000, 0);
        ext_bench_keep(p);
        must(lode_freelist_free(freelist, p));
    }
    return OPS;
}

/* ---- offsets: a GPU buffer of 1 GiB, half full of ranges of 256 B to 64 KiB ---- */

static lode_range ranges[LIVE];

static uint64_t range_bytes(void)
{
    return (uint64_t)256 << (any() % 9);
}

static void offset_prepare(void)
{
    uint64_t at;
    seed = 1;
    must(lode_offset_create((uint64_t)1 << 30, NULL, &offset));
    for (int i = 0; i < LIVE; i++)
        must(lode_offset_alloc(offset, range_bytes() + any() % 200, 0, &at, &ranges[i]));
    shuffle();
}

static void offset_finish(void)
{
    lode_offset_destroy(offset);
}

static size_t offset_random(void)
{
    uint64_t at;
    for (int i = 0; i < OPS / 2; i++) {
        lode_range *r = &ranges[order[i] % LIVE];
        must(lode_offset_free(offset, *r));
        must(lode_offset_alloc(offset, 256 + order[i] % 60000, 0, &at, r));
        ext_bench_keep(&at);
    }
    return OPS;
}

static size_t offset_pairs(void)
{
    uint64_t at;
    lode_range r;
    for (int i = 0; i < OPS / 2; i++) {
        must(lode_offset_alloc(offset, 1000, 0, &at, &r));
        ext_bench_keep(&at);
        must(lode_offset_free(offset, r));
    }
    return OPS;
}

/* ---- slab: 4,096 blocks of 16 to 1,024 bytes at random; one block ---- */

static void slab_start(void)
{
    must(lode_slab_create(NULL, &slab));
}

static void slab_prepare(void)
{
    seed = 1;
    slab_start();
    for (int i = 0; i < LIVE; i++)
        live[i] = lode_slab_alloc(slab, 1 + any() % 1024, 0);
    shuffle();
}

static void slab_finish(void)
{
    lode_slab_destroy(slab);
}

static size_t slab_random(void)
{
    for (int i = 0; i < OPS / 2; i++) {
        void **p = &live[order[i] % LIVE];
        must(lode_slab_free(slab, *p));
        *p = lode_slab_alloc(slab, 1 + (order[i] >> 13) % 1024, 0);
        ext_bench_keep(*p);
    }
    return OPS;
}

static size_t slab_pairs(void)
{
    for (int i = 0; i < OPS / 2; i++) {
        void *p = lode_slab_alloc(slab, 100, 0);
        ext_bench_keep(p);
        must(lode_slab_free(slab, p));
    }
    return OPS;
}

const struct ext_bench ext_bench_everyday[] = {
    {"arena-bump", "alloc of 64", 2, arena_prepare, arena_bump, arena_finish},
    {"arena-bump-mixed", "alloc of 0-255", 0, arena_prepare, arena_bump_mixed, arena_finish},
    {"arena-scope", "mark+alloc+rewind", 0, arena_prepare, arena_scopes, arena_finish},
    {"buddy-random", "alloc or free", 40, buddy_prepare, buddy_random, buddy_finish},
    {"buddy-pair", "alloc or free", 40, buddy_start, buddy_pairs, buddy_finish},
    {"buddy-whole", "alloc or free", 40, buddy_start, buddy_cold_pairs, buddy_finish},
    {"frame-alone", "alloc of 64", 15, frame_prepare, frame_bump, frame_finish},
    {"frame-contended", "alloc of 64", 15, frame_prepare, frame_contended, frame_finish},
    {"freelist-good", "alloc or free", 0, freelist_good, freelist_random, freelist_finish},
    {"freelist-best", "alloc or free", 0, freelist_best, freelist_random, freelist_finish},
    {"freelist-first", "alloc or free", 0, freelist_first, freelist_random, freelist_finish},
    {"freelist-pair", "alloc or free", 0, freelist_good, freelist_pairs, freelist_finish},
    {"offset-random", "alloc or free", 25, offset_prepare, offset_random, offset_finish},
    {"offset-pair", "alloc or free", 25, offset_prepare, offset_pairs, offset_finish},
    {"slab-random", "alloc or free", 0, slab_prepare, slab_random, slab_finish},
    {"slab-pair", "alloc or free", 0, slab_start, slab_pairs, slab_finish},
    {"stack-pair", "alloc+free of 64", 0, stack_prepare, stack_pairs, stack_finish},
    {0},
};
