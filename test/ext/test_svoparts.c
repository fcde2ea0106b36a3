/* SPDX-License-Identifier: MIT */
/* The octree: references to nodes, building, walking, order in memory. */
#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "ext/svotree.h"
#include "svo_tree.h"

/* ---- references ---- */

Test(svoparts, a_reference_finds_its_node_or_says_it_is_gone)
{
    struct lode_svo *svo = make(4, 0), *other = make(4, 0);
    struct lode_svo_content a = brick(1), b = brick(9);
    struct lode_svo_cell cell = {.level = 99};
    set(svo, 0, place(0, 0, 0), &a);
    set(svo, 0, place(1, 0, 0), &b);
    struct lode_node node = get(svo, 0, place(0, 0, 0)).node, bad = node;
    struct lode_node inner = get(svo, 2, place(0, 0, 0)).node;
    struct lode_node root = get(svo, 4, place(0, 0, 0)).node;
    cr_assert_eq(lode_svo_node_get(other, node, &cell), -EINVAL);
    bad.octant = 8;
    cr_assert_eq(lode_svo_node_get(svo, bad, &cell), -EINVAL);
    bad.octant = 7;
    cr_assert_eq(lode_svo_node_get(svo, bad, &cell), -ESTALE);
    bad = node;
    bad.level = 1;
    cr_assert_eq(lode_svo_node_get(svo, bad, &cell), -EINVAL);
    bad.group = 0;
    cr_assert_eq(lode_svo_node_get(svo, bad, &cell), -EINVAL);
    bad.group = UINT64_C(1) << 32 | 0xfffffff0;
    cr_assert_eq(lode_svo_node_get(svo, bad, &cell), -EINVAL);
    cr_assert_eq(cell.level, 99);
    cr_assert_eq(lode_svo_node_get(svo, node, &cell), 0);
    cr_assert_eq(memcmp(&cell.content, &a, sizeof(a)), 0);
    cr_assert_eq(lode_svo_node_get(svo, inner, &cell), 0);
    cr_assert_eq(cell.level, 2);
    cr_assert_eq(lode_svo_node_get(svo, root, &cell), 0);
    cr_assert_eq(cell.at.x, -8);
    set(svo, 0, place(0, 0, 0), &rock);
    cr_assert_eq(lode_svo_node_get(svo, node, &cell), -ESTALE);
    cr_assert_eq(lode_svo_node_get(svo, get(svo, 0, place(1, 0, 0)).node, &cell), 0);
    set(svo, 0, place(0, 0, 0), &b); /* the same place within the same group */
    cr_assert_eq(lode_svo_node_get(svo, node, &cell), 0);
    set(svo, 1, place(0, 0, 0), &air);
    cr_assert_eq(lode_svo_node_get(svo, node, &cell), -ESTALE);
    cr_assert_null(lode_svo_peek(node));
    lode_svo_destroy(svo);
    lode_svo_destroy(other);
}

Test(svoparts, a_pinned_group_keeps_its_version)
{
    struct lode_svo *svo = make(4, 0);
    struct lode_svo_content a = brick(1), b = brick(9);
    set(svo, 0, place(1, 1, 1), &a);
    set(svo, 0, place(0, 1, 1), &a);
    struct lode_node node = get(svo, 0, place(1, 1, 1)).node;
    const void *group = lode_pin(node.group);
    const struct lode_svo_line *line = lode_svo_line_in(group, node.octant);
    cr_assert_eq(node.octant, 7);
    cr_assert_eq(line->siblings, 0xc0);
    set(svo, 0, place(1, 1, 1), &b);
    set(svo, 0, place(0, 0, 1), &b);
    cr_assert_eq(line->of.bricks[0], 1);
    cr_assert_eq(lode_svo_line_in(group, 4), NULL);
    cr_assert_eq(lode_read_begin(), 0);
    cr_assert_eq(lode_svo_peek(node)->of.bricks[0], 9);
    cr_assert_eq(lode_svo_peek(node)->siblings, 0xd0);
    lode_read_end();
    set(svo, 1, place(1, 1, 1), &rock);
    cr_assert_eq(line->of.bricks[0], 1);
    cr_assert_eq(line->user, 1 << 8);
    cr_assert_eq(lode_unpin(node.group), 0);
    struct lode_read_stats waiting;
    lode_read_stats(&waiting);
    cr_assert_eq(waiting.parked_blocks, 0);
    cr_assert_null(lode_svo_peek(node));
    lode_svo_destroy(svo);
}

/* ---- building ---- */

struct asked {
    int count, stop_at, stop_with;
    uint64_t last_code;
    uint32_t bad_type;
};

static uint64_t morton(struct lode_ivec3 at)
{
    uint64_t code = 0;
    for (int bit = 0; bit < 20; bit++)
        code |= (uint64_t)((uint32_t)(at.x + 1024) >> bit & 1) << 3 * bit |
                (uint64_t)((uint32_t)(at.y + 1024) >> bit & 1) << (3 * bit + 1) |
                (uint64_t)((uint32_t)(at.z + 1024) >> bit & 1) << (3 * bit + 2);
    return code;
}

/* Rock below y = 0, bricks there, air above. */
static int plain(void *ctx, unsigned level, struct lode_ivec3 at, struct lode_svo_content *content)
{
    struct asked *asked = ctx;
    asked->count++;
    if (asked->count == asked->stop_at)
        return asked->stop_with;
    if (level == 0)
        cr_assert(asked->last_code < morton(at) || asked->last_code == 0);
    asked->last_code = level == 0 ? morton(at) : asked->last_code;
    if (at.y + (1 << level) <= 0)
        *content = rock;
    else if (level == 0 && at.y == 0)
        *content = brick((uint64_t)(at.x & 0xff) << 8 | (at.z & 0xff));
    else if (at.y <= 0)
        *content = split;
    if (asked->count == 20)
        content->type += asked->bad_type;
    return 0;
}

Test(svoparts, a_world_is_built_from_a_source)
{
    struct lode_svo *svo = make(5, 0);
    struct asked asked = {0};
    set(svo, 0, place(3, 3, 3), &rock);
    cr_assert_eq(lode_svo_build(svo, 5, place(0, 0, 0), plain, &asked), 0);
    for (int32_t z = -16; z < 16; z++)
        for (int32_t y = -16; y < 16; y++)
            for (int32_t x = -16; x < 16; x++) {
                struct lode_svo_cell cell = get(svo, 0, place(x, y, z));
                cr_assert_eq(cell.content.type, y < 0 ? 1u : y == 0 ? 2u : 0u);
                if (y == 0)
                    cr_assert_eq(cell.content.bricks[0], ((uint64_t)(x & 0xff) << 8 | (z & 0xff)));
            }
    cr_assert_eq(get(svo, 1, place(0, 0, 0)).content.user, 9);
    cr_assert_eq(get(svo, 0, place(0, -1, 0)).level, 4);
    cr_assert_eq(lines(svo), 1 + 4 + 16 + 64 + 256 + 1024);
    cr_assert_eq(stats(svo).groups[4], 1 + 4 + 16 + 64 + 256);
    lode_svo_destroy(svo);
}

Test(svoparts, a_part_is_built_in_the_place_of_another)
{
    struct lode_svo *svo = make(5, LODE_SVO_COALESCE);
    struct asked asked = {0};
    set(svo, 5, place(0, 0, 0), &sand);
    cr_assert_eq(lode_svo_build(svo, 3, place(1, 2, 3), plain, &asked), 0);
    cr_assert_eq(get(svo, 0, place(0, 0, 0)).content.type, LODE_SVO_INTERFACE);
    cr_assert_eq(get(svo, 0, place(7, 1, 7)).content.type, LODE_SVO_EMPTY);
    cr_assert_eq(get(svo, 0, place(8, 0, 0)).content.value, 6);
    uint64_t before = digest(svo);
    asked.last_code = 0;
    cr_assert_eq(lode_svo_build(svo, 3, place(7, 7, 7), plain, &asked), 0);
    cr_assert_eq(digest(svo), before);
    /* alike all through, and what was there goes */
    asked.last_code = 0;
    cr_assert_eq(lode_svo_build(svo, 3, place(7, -7, 7), plain, &asked), 0);
    cr_assert_eq(get(svo, 0, place(0, -8, 0)).level, 3);
    cr_assert_eq(get(svo, 0, place(0, -8, 0)).content.value, 5);
    lode_svo_destroy(svo);
}

Test(svoparts, a_build_that_ends_early_changes_nothing)
{
    struct lode_svo_opts opts = LODE_SVO_OPTS_INIT;
    struct lode_svo *svo;
    opts.levels = 5;
    opts.max_nodes = 1000;
    cr_assert_eq(lode_svo_create(&opts, &svo), 0);
    set(svo, 0, place(3, 3, 3), &rock);
    uint64_t before = digest(svo), nodes = lines(svo);
    for (int at = 1; at < 300; at += 7) {
        struct asked asked = {.stop_at = at, .stop_with = 42};
        cr_assert_eq(lode_svo_build(svo, 5, place(0, 0, 0), plain, &asked), 42);
        cr_assert_eq(asked.count, at);
    }
    struct asked bad = {.bad_type = 3}, fine = {0}, none = {0};
    cr_assert_eq(lode_svo_build(svo, 5, place(0, 0, 0), plain, &bad), -EINVAL);
    cr_assert_eq(lode_svo_build(svo, 5, place(0, 0, 0), plain, &fine), -ENOSPC);
    cr_assert_eq(lode_svo_build(svo, 6, place(0, 0, 0), plain, &none), -EINVAL);
    cr_assert_eq(lode_svo_build(svo, 0, place(16, 0, 0), plain, &none), -ERANGE);
    cr_assert_eq(none.count, 0);
    cr_assert_eq(digest(svo), before);
    cr_assert_eq(lines(svo), nodes);
    lode_svo_destroy(svo);
}

/* ---- walking ---- */

struct seen {
    int count, stop_at;
    uint64_t last;
    unsigned types;
    const struct lode_brick_box *box;
};

static int in_order(void *ctx, const struct lode_svo_cell *cell)
{
    struct seen *seen = ctx;
    uint64_t code = morton(cell->at);
    cr_assert(seen->count == 0 || code > seen->last);
    seen->last = code;
    seen->types |= 1u << cell->content.type;
    const struct lode_brick_box *b = seen->box;
    int32_t end = (1 << cell->level) - 1;
    if (b != NULL)
        cr_assert(cell->at.x <= b->hi.x && cell->at.x + end >= b->lo.x && cell->at.y <= b->hi.y &&
                  cell->at.y + end >= b->lo.y && cell->at.z <= b->hi.z &&
                  cell->at.z + end >= b->lo.z);
    return ++seen->count == seen->stop_at ? 17 : 0;
}

Test(svoparts, a_walk_shows_leaves_in_morton_order)
{
    struct lode_svo *svo = make(5, 0);
    struct asked asked = {0};
    struct seen all = {0}, leaves = {0}, stopped = {.stop_at = 40}, boxed = {0}, nothing = {0};
    cr_assert_eq(lode_svo_build(svo, 5, place(0, 0, 0), plain, &asked), 0);
    unsigned ends = LODE_SVO_WALK_EMPTY | LODE_SVO_WALK_HOMOGENEOUS | LODE_SVO_WALK_INTERFACE;
    cr_assert_eq(lode_svo_walk(svo, NULL, ends, in_order, &all), 0);
    struct lode_svo_stats s = stats(svo);
    int expected = 0;
    for (int level = 0; level < 5; level++)
        expected += (int)(s.nodes[0][level] + s.nodes[1][level]) + (level == 0 ? 1024 : 0);
    cr_assert_eq(all.count, expected);
    cr_assert_eq(all.types, 7);
    cr_assert_eq(lode_svo_walk(svo, NULL, LODE_SVO_WALK_INTERFACE, in_order, &leaves), 0);
    cr_assert_eq(leaves.count, 1024);
    cr_assert_eq(lode_svo_walk(svo, NULL, ends, in_order, &stopped), 17);
    cr_assert_eq(stopped.count, 40);
    struct lode_brick_box box = {{-3, -100, 2}, {4, 0, INT32_MAX}};
    boxed.box = &box;
    cr_assert_eq(lode_svo_walk(svo, &box, LODE_SVO_WALK_INTERFACE, in_order, &boxed), 0);
    cr_assert_eq(boxed.count, 8 * 14);
    boxed.count = 0;
    cr_assert_eq(lode_svo_walk(svo, &box, ends, in_order, &boxed), 0);
    struct lode_brick_box outside = {{INT32_MIN, 0, 0}, {-17, 0, 0}}, bad = {{1, 0, 0}, {0, 0, 0}};
    cr_assert_eq(lode_svo_walk(svo, &outside, ends, in_order, &nothing), 0);
    cr_assert_eq(lode_svo_walk(svo, &bad, ends, in_order, &nothing), -EINVAL);
    cr_assert_eq(lode_svo_walk(svo, NULL, 0, in_order, &nothing), -EINVAL);
    cr_assert_eq(lode_svo_walk(svo, NULL, 16, in_order, &nothing), -EINVAL);
    cr_assert_eq(nothing.count, 0);
    lode_svo_destroy(svo);
}

static int dig_it(void *ctx, const struct lode_svo_cell *cell)
{
    set(ctx, 0, cell->at, &air);
    return 0;
}

Test(svoparts, a_visitor_may_edit)
{
    struct lode_svo *svo = make(5, LODE_SVO_COALESCE);
    struct asked asked = {0};
    cr_assert_eq(lode_svo_build(svo, 5, place(0, 0, 0), plain, &asked), 0);
    cr_assert_eq(lode_svo_walk(svo, NULL, LODE_SVO_WALK_INTERFACE, dig_it, svo), 0);
    cr_assert_eq(lines(svo), 1);
    cr_assert_eq(get(svo, 0, place(0, -1, 0)).content.value, 5);
    lode_svo_destroy(svo);
}

/* ---- order ---- */

static struct lode_svo *shuffled(void)
{
    struct lode_svo *svo = make(6, 0);
    struct lode_svo_content b = brick(1);
    uint32_t state = 5;
    for (int i = 0; i < 20000; i++) {
        state = state * 1664525 + 1013904223;
        b.user = state;
        struct lode_ivec3 at = {(int32_t)(state >> 26) - 32, (int32_t)(state >> 20 & 63) - 32,
                                (int32_t)(state >> 14 & 63) - 32};
        set(svo, 0, at, state >> 8 & 1 ? &b : &rock);
    }
    return svo;
}

Test(svoparts, reordering_brings_groups_into_morton_order)
{
    struct lode_svo *svo = shuffled();
    struct lode_svo_order before, after;
    uint64_t sum = digest(svo);
    int status, calls = 0;
    cr_assert_eq(lode_svo_order(svo, &before), 0);
    while ((status = lode_svo_reorder(svo, 20)) == 1)
        calls++;
    cr_assert_eq(status, 0);
    cr_assert_gt(calls, 1);
    cr_assert_eq(lode_svo_order(svo, &after), 0);
    cr_assert_eq(after.pairs, before.pairs);
    cr_assert_lt(before.near_pairs * 2, before.pairs);
    cr_assert_gt(after.near_pairs * 10, after.pairs * 9);
    cr_assert_lt(after.mean_bytes * 4, before.mean_bytes);
    cr_assert_eq(digest(svo), sum);
    uint64_t moved = stats(svo).reordered;
    cr_assert_eq(moved, stats(svo).groups[0]);
    cr_assert_eq(lode_svo_reorder(svo, 1000000), 0); /* nothing was edited */
    cr_assert_eq(stats(svo).reordered, moved);
    set(svo, 0, place(0, 0, 0), &sand);
    while ((status = lode_svo_reorder(svo, 1000000)) == 1)
        ;
    cr_assert_eq(status, 0);
    cr_assert_eq(stats(svo).reordered, moved + stats(svo).groups[0]);
    lode_svo_destroy(svo);
}

Test(svoparts, reordering_goes_on_among_edits_and_passes_pinned_groups_by)
{
    struct lode_svo *svo = shuffled();
    struct lode_svo_content b = brick(3);
    set(svo, 0, place(1, 1, 1), &b);
    struct lode_node node = get(svo, 0, place(1, 1, 1)).node;
    const void *pinned = lode_pin(node.group);
    int32_t i = 0;
    while (lode_svo_reorder(svo, 0) == 1) {
        set(svo, 0, place(i % 32, i / 32 % 32, -1 - i % 3), i % 2 != 0 ? &b : &air);
        i++;
    }
    cr_assert_gt(i, 100);
    cr_assert_eq(lode_peek(node.group), pinned);
    cr_assert_eq(lode_unpin(node.group), 0);
    cr_assert_eq(svo->in_pass, 0);
    svo->reordering = getpid();
    cr_assert_eq(lode_svo_reorder(svo, 0), -EBUSY);
    svo->reordering = getppid(); /* a process this was forked from */
    cr_assert_eq(lode_svo_reorder(svo, 0), 1);
    cr_assert_eq(svo->reordering, 0);
    lode_svo_destroy(svo);
}

Test(svoparts, reordering_again_and_again_keeps_memory_flat)
{
    struct lode_svo *svo = shuffled();
    uint64_t most = 0;
    for (int pass = 0; pass < 10; pass++) {
        set(svo, 0, place(pass, 0, 0), pass % 2 != 0 ? &air : &sand);
        while (lode_svo_reorder(svo, 1000) == 1)
            ;
        uint64_t now = stats(svo).resident_bytes;
        cr_assert(pass < 2 || now <= most + most / 8, "%lu after %lu", now, most);
        most = now > most ? now : most;
    }
    lode_svo_destroy(svo);
}
