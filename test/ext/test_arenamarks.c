/* SPDX-License-Identifier: MIT */
/* Marks and scopes of arenas (ext/marks.c, ext/arena.c), and an arena against a model of itself. */
#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

#include "lode/arena.h"

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

Test(arenamarks, a_mark_gives_up_what_is_newer)
{
    struct lode_arena *arena = made(NULL);
    char *kept = lode_arena_alloc(arena, 100, 16);
    memset(kept, 7, 100);
    lode_mark mark = lode_arena_mark(arena, "outer");
    char *first = lode_arena_alloc(arena, 100, 16);
    for (int i = 0; i < 1000; i++)
        cr_assert_not_null(lode_arena_alloc(arena, 5000, 16));
    cr_assert_not_null(lode_arena_alloc(arena, 1 << 20, 16));
    cr_assert_eq(lode_arena_rewind(arena, mark), 0);
    cr_assert_eq(growth_of(arena).used_bytes, 100);
    cr_assert_eq(lode_arena_alloc(arena, 100, 16), first);
    cr_assert_eq(kept[99], 7);
    cr_assert_eq(growth_of(arena).rewinds, 1);
    lode_arena_destroy(arena);
}

Test(arenamarks, a_mark_out_of_order_is_refused_and_nothing_changes)
{
    struct lode_arena *arena = made(NULL);
    uint32_t depth;
    lode_mark outer = lode_arena_mark(arena, "outer");
    char *p = lode_arena_alloc(arena, 100, 16);
    memset(p, 1, 100);
    lode_mark inner = lode_arena_mark(arena, "inner");
    size_t used = growth_of(arena).used_bytes;
    cr_assert_eq(lode_arena_rewind(arena, outer), -EINVAL);
    cr_assert_eq(lode_arena_keep(arena, outer), -EINVAL);
    cr_assert_eq(growth_of(arena).used_bytes, used);
    cr_assert_str_eq(lode_arena_innermost(arena, &depth), "inner");
    cr_assert_eq(depth, 2);
    cr_assert_eq(p[99], 1);
    cr_assert_eq(lode_arena_rewind(arena, inner), 0);
    cr_assert_eq(lode_arena_rewind(arena, inner), -ESTALE);
    cr_assert_eq(lode_arena_rewind(arena, outer), 0);
    cr_assert_eq(lode_arena_rewind(arena, outer), -ESTALE);
    cr_assert_eq(lode_arena_unwind(arena, outer), -ESTALE);
    cr_assert_eq(lode_arena_keep(arena, outer), -ESTALE);
    cr_assert_null(lode_arena_innermost(arena, NULL));
    lode_arena_destroy(arena);
}

Test(arenamarks, what_is_no_mark_is_refused)
{
    struct lode_arena *arena = made(NULL), *other = made(NULL);
    lode_mark foreign = lode_arena_mark(other, NULL), mine = lode_arena_mark(arena, NULL);
    cr_assert_neq(foreign, mine);
    cr_assert_eq(lode_arena_rewind(arena, 0), -EINVAL);
    cr_assert_eq(lode_arena_rewind(arena, 12345), -EINVAL);
    cr_assert_eq(lode_arena_unwind(arena, UINT64_MAX), -EINVAL);
    cr_assert_eq(lode_arena_rewind(arena, foreign), -EINVAL);
    cr_assert_eq(lode_arena_rewind(arena, mine), 0);
    lode_arena_destroy(other);
    lode_arena_destroy(arena);
}

Test(arenamarks, resets_make_marks_stale)
{
    struct lode_arena *arena = made(NULL);
    lode_mark mark = lode_arena_mark(arena, "a");
    lode_arena_reset(arena);
    cr_assert_eq(lode_arena_rewind(arena, mark), -ESTALE);
    lode_mark again = lode_arena_mark(arena, "b");
    cr_assert_eq(lode_arena_rewind(arena, mark), -ESTALE);
    cr_assert_eq(lode_arena_unwind(arena, mark), -ESTALE);
    cr_assert_eq(lode_arena_rewind(arena, again), 0);
    lode_arena_destroy(arena);
}

Test(arenamarks, an_outer_mark_unwinds_over_inner_ones)
{
    struct lode_arena *arena = made(NULL);
    lode_mark outer = lode_arena_mark(arena, "outer"), inner = lode_arena_mark(arena, "inner");
    cr_assert_not_null(lode_arena_alloc(arena, 100000, 16));
    cr_assert_eq(lode_arena_marked(arena, "outer"), outer);
    cr_assert_eq(lode_arena_marked(arena, "inner"), inner);
    cr_assert_eq(lode_arena_marked(arena, "none"), 0);
    cr_assert_eq(lode_arena_unwind(arena, outer), 0);
    cr_assert_eq(growth_of(arena).used_bytes, 0);
    cr_assert_eq(lode_arena_rewind(arena, inner), -ESTALE);
    lode_arena_destroy(arena);
}

Test(arenamarks, a_mark_can_be_dropped_and_the_blocks_kept)
{
    struct lode_arena *arena = made(NULL);
    lode_mark outer = lode_arena_mark(arena, "outer"), inner = lode_arena_mark(arena, "inner");
    char *p = lode_arena_alloc(arena, 100, 16);
    cr_assert_eq(lode_arena_keep(arena, inner), 0);
    memset(p, 1, 100);
    cr_assert_eq(growth_of(arena).used_bytes, 100);
    cr_assert_eq(lode_arena_rewind(arena, outer), 0);
    cr_assert_eq(growth_of(arena).used_bytes, 0);
    lode_arena_destroy(arena);
}

Test(arenamarks, marks_nest_deeply)
{
    struct lode_arena *arena = made(NULL);
    static lode_mark marks[70000];
    size_t depth = 0;
    while (depth < 70000 && (marks[depth] = lode_arena_mark(arena, "deep")) != 0) {
        cr_assert_not_null(lode_arena_alloc(arena, 16, 16));
        depth++;
    }
    cr_assert_eq(depth, 65536);
    struct lode_allocator_stats s = stats_of(arena);
    cr_assert_leq(s.used_bytes + s.free_bytes + s.metadata_bytes, s.mapped_bytes);
    while (depth-- > 0) {
        cr_assert_eq(lode_arena_rewind(arena, marks[depth]), 0);
        cr_assert_eq(growth_of(arena).used_bytes, 16 * depth);
    }
    lode_arena_destroy(arena);
}

Test(arenamarks, scopes_end_themselves)
{
    struct lode_arena *arena = made(NULL);
    LODE_ARENA_SCOPE(arena, "outer")
    {
        cr_assert_not_null(lode_arena_alloc(arena, 100, 16));
        LODE_ARENA_SCOPE(arena, "inner")
        {
            cr_assert_str_eq(lode_arena_innermost(arena, NULL), "inner");
            cr_assert_not_null(lode_arena_alloc(arena, 100, 16));
            continue;
        }
        cr_assert_eq(growth_of(arena).used_bytes, 100);
        LODE_ARENA_SCOPE(arena, "left by break")
        {
            cr_assert_not_null(lode_arena_alloc(arena, 100, 16));
            break;
        }
    }
    cr_assert_eq(growth_of(arena).used_bytes, 0);
    cr_assert_null(lode_arena_innermost(arena, NULL));
    LODE_ARENA_SCOPE(arena, "reset inside")
    {
        lode_arena_reset(arena);
        cr_assert_not_null(lode_arena_alloc(arena, 100, 16));
    }
    cr_assert_eq(growth_of(arena).used_bytes, 100);
    lode_arena_destroy(arena);
}

/* ---- against a model ---- */

#define BLOCKS 400
#define MARKS  6

static struct {
    unsigned char *at;
    size_t bytes;
    unsigned char fill;
} model[BLOCKS];
static size_t live;

static void check_contents(void)
{
    for (size_t i = 0; i < live; i++)
        for (size_t b = 0; b < model[i].bytes; b += 1 + model[i].bytes / 50)
            cr_assert_eq(model[i].at[b], model[i].fill);
}

Test(arenamarks, behaves_as_its_model)
{
    struct lode_arena_opts o = LODE_ARENA_OPTS_INIT;
    static char memory[5000];
    o.memory = memory;
    o.memory_bytes = sizeof(memory);
    struct lode_arena *arena = made(&o);
    lode_mark marks[MARKS];
    size_t live_at[MARKS], depth = 0, used_at[MARKS];
    uint32_t seed = 3;
    for (int step = 0; step < 30000; step++) {
        seed = seed * 1664525 + 1013904223;
        unsigned what = seed >> 28;
        size_t bytes = 1 + (seed >> 4) % (what == 0 ? 200000 : 500);
        if (what < 9 && live < BLOCKS) {
            unsigned char *p = lode_arena_alloc(arena, bytes, (size_t)1 << (seed & 7));
            cr_assert_not_null(p);
            memset(p, (int)live, bytes);
            model[live].at = p;
            model[live].bytes = bytes;
            model[live].fill = (unsigned char)live;
            live++;
        } else if (what < 11 && depth < MARKS) {
            live_at[depth] = live;
            used_at[depth] = growth_of(arena).used_bytes;
            marks[depth++] = lode_arena_mark(arena, "model");
        } else if (what < 13 && depth > 0) {
            size_t to = what == 11 ? depth - 1 : seed % depth;
            cr_assert_eq(lode_arena_unwind(arena, marks[to]), 0);
            cr_assert_eq(growth_of(arena).used_bytes, used_at[to]);
            live = live_at[to];
            depth = to;
        } else if (what == 13 && live > (depth > 0 ? live_at[depth - 1] : 0)) {
            live--;
            if (lode_arena_extend(arena, model[live].at, model[live].bytes, bytes) == 0) {
                memset(model[live].at, model[live].fill, bytes);
                model[live++].bytes = bytes;
            } else {
                lode_arena_free(arena, model[live].at, model[live].bytes);
            }
        } else if (what == 14 && seed % 16 == 0) {
            lode_arena_reset(arena);
            live = depth = 0;
        } else if (what == 15) {
            lode_arena_trim(arena);
        }
        if (step % 50 == 0)
            check_contents();
    }
    lode_arena_destroy(arena);
}
