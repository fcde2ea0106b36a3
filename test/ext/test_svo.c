/* SPDX-License-Identifier: MIT */
/* The octree: a tree's life, set and get, merging, leaves that go; each errno, with the tree
 * unchanged. test_svoparts.c has the rest, test_svoray.c rays, test_svostarved.c lets memory run
 * out; test/fuzz/fuzz_svo.c compares long sequences with a naive tree, stress_svo.c reads while
 * another thread edits. */
#include <criterion/criterion.h>

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "ext/registry.h"
#include "lode/svo.h"
#include "svo_tree.h"

/* ---- life ---- */

Test(svo, options_are_checked)
{
    struct lode_svo *svo = (void *)1;
    struct lode_svo_opts opts = LODE_SVO_OPTS_INIT;
    opts.levels = LODE_SVO_LEVELS_MAX + 1;
    cr_assert_eq(lode_svo_create(&opts, &svo), -EINVAL);
    opts.levels = 3;
    opts.flags = 2;
    cr_assert_eq(lode_svo_create(&opts, &svo), -EINVAL);
    opts.flags = 0;
    opts.centre.y = (1 << 20) - 3;
    cr_assert_eq(lode_svo_create(&opts, &svo), -ERANGE);
    opts.centre.y = -(1 << 20) + 3;
    cr_assert_eq(lode_svo_create(&opts, &svo), -ERANGE);
    opts.centre.y = INT32_MIN;
    cr_assert_eq(lode_svo_create(&opts, &svo), -ERANGE);
    opts.centre.y = 0;
    opts.size = 3;
    cr_assert_eq(lode_svo_create(&opts, &svo), -EINVAL);
    struct {
        struct lode_svo_opts known;
        uint64_t later;
    } newer = {LODE_SVO_OPTS_INIT, 1};
    newer.known.size = sizeof(newer);
    cr_assert_eq(lode_svo_create(&newer.known, &svo), -E2BIG);
    cr_assert_eq(svo, (void *)1);
    lode_svo_destroy(NULL);
}

Test(svo, by_default_every_coordinate_of_21_bits_is_within)
{
    struct lode_svo *svo;
    int32_t low = -(1 << 20), high = (1 << 20) - 1;
    struct lode_svo_content b = brick(1);
    cr_assert_eq(lode_svo_create(NULL, &svo), 0);
    struct lode_ivec3 corners[] = {{low, low, low}, {high, high, high}, {low, 0, high}, {0, -1, 0}};
    for (int i = 0; i < 4; i++) {
        b.user = (uint64_t)i;
        set(svo, 0, corners[i], &b);
    }
    for (int i = 0; i < 4; i++) {
        struct lode_svo_cell cell = get(svo, 0, corners[i]);
        cr_assert_eq(cell.content.type, LODE_SVO_INTERFACE);
        cr_assert_eq(cell.content.user, (uint64_t)i);
        cr_assert_eq(memcmp(&cell.at, &corners[i], sizeof(cell.at)), 0);
    }
    struct lode_svo_cell cell = get(svo, 0, place(low + 1, low, low));
    cr_assert_eq(cell.content.type, LODE_SVO_EMPTY);
    cr_assert_eq(cell.content.value, 0);
    cr_assert_eq(lode_svo_get(svo, 0, place(high + 1, 0, 0), &cell), -ERANGE);
    cr_assert_eq(lode_svo_get(svo, 0, place(0, low - 1, 0), &cell), -ERANGE);
    cr_assert_eq(lode_svo_get(svo, 0, place(0, 0, INT32_MIN), &cell), -ERANGE);
    lode_svo_destroy(svo);
}

Test(svo, destroying_a_tree_makes_its_handles_stale)
{
    struct lode_svo *svo = make(4, 0), *other;
    struct lode_svo_content b = brick(1);
    set(svo, 0, place(0, 0, 0), &b);
    struct lode_node node = get(svo, 0, place(0, 0, 0)).node;
    cr_assert_not_null(lode_pin(node.group));
    cr_assert_eq(lode_unpin(node.group), 0);
    lode_svo_destroy(svo);
    cr_assert_null(lode_peek(node.group));
    cr_assert_eq(errno = 0, 0);
    cr_assert_null(lode_pin(node.group));
    cr_assert_eq(errno, ESTALE);
    other = make(4, 0);
    set(other, 0, place(0, 0, 0), &b);
    cr_assert_null(lode_peek(node.group));
    struct lode_svo_cell cell;
    int status = lode_svo_node_get(other, node, &cell); /* the slot may be the other tree's now */
    cr_assert(status == -ESTALE || status == -EINVAL);
    lode_svo_destroy(other);
}

static int find_svo(void *ctx, const struct lodei_registered *entry,
                    const struct lode_allocator_stats *s)
{
    if (strcmp(entry->type, "svo") != 0 || strcmp(entry->name, "terrain") != 0)
        return 0;
    *(struct lode_allocator_stats *)ctx = *s;
    return 1;
}

static int find_heap(void *ctx, struct lode_heap *heap, const char *name, uint16_t tag,
                     enum lode_kind kind)
{
    (void)kind;
    if (strcmp(name, "terrain") == 0 && tag == 12)
        *(struct lode_heap **)ctx = heap;
    return 0;
}

Test(svo, is_seen_by_name_and_tag)
{
    struct lode_svo_opts opts = LODE_SVO_OPTS_INIT;
    struct lode_allocator_stats s;
    struct lode_svo *svo;
    struct lode_heap *heap = NULL;
    struct lode_block_info info;
    opts.name = "terrain";
    opts.tag = 12;
    opts.levels = 4;
    cr_assert_eq(lode_svo_create(&opts, &svo), 0);
    set(svo, 0, place(1, 1, 1), &split);
    cr_assert_eq(lodei_registry_each(find_svo, &s), 1);
    cr_assert_eq(s.used_bytes, 5 * 64);
    cr_assert_eq(s.blocks, 5);
    cr_assert_geq(s.mapped_bytes, s.used_bytes + s.free_bytes);
    lode_heaps_enumerate(find_heap, &heap);
    cr_assert_not_null(heap);
    void *group = lode_pin(get(svo, 0, place(1, 1, 1)).node.group);
    cr_assert_eq(lode_block_find(group, &info), 0);
    cr_assert_eq(info.heap, heap);
    cr_assert_eq(info.usable_bytes, 64);
    cr_assert_eq((uintptr_t)group % 64, 0);
    lode_svo_destroy(svo);
    cr_assert_eq(lodei_registry_each(find_svo, &s), 0);
}

/* ---- set and get ---- */

Test(svo, empty_takes_no_memory_homogeneous_none_of_its_own)
{
    struct lode_svo *svo = make(6, 0);
    cr_assert_eq(lines(svo), 1);
    cr_assert_eq(stats(svo).bytes[LODE_SVO_EMPTY], 0);
    set(svo, 5, place(0, 0, 0), &rock);
    cr_assert_eq(lines(svo), 1);
    cr_assert_eq(stats(svo).bytes[LODE_SVO_HOMOGENEOUS], 4);
    cr_assert_eq(stats(svo).nodes[LODE_SVO_HOMOGENEOUS][5], 1);
    cr_assert_eq(stats(svo).nodes[LODE_SVO_EMPTY][5], 7);
    struct lode_svo_content b = brick(1);
    set(svo, 0, place(3, 3, 3), &b); /* a line for each level from 5 to 0 */
    cr_assert_eq(lines(svo), 7);
    struct lode_svo_stats s = stats(svo);
    for (unsigned level = 0; level < 5; level++) {
        cr_assert_eq(s.nodes[LODE_SVO_INTERFACE][level], 1);
        cr_assert_eq(s.nodes[LODE_SVO_HOMOGENEOUS][level], 7);
        cr_assert_eq(s.nodes[LODE_SVO_EMPTY][level], 0);
    }
    cr_assert_eq(s.groups[0], 7);
    cr_assert_eq(s.groups[1], 7);
    set(svo, 0, place(3, 3, 2), &b);
    cr_assert_eq(lines(svo), 8);
    cr_assert_eq(stats(svo).groups[2], 1);
    set(svo, 5, place(0, 0, 0), &air); /* frees all of it within the call */
    cr_assert_eq(lines(svo), 1);
    cr_assert_eq(stats(svo).groups[0], 1);
    lode_svo_destroy(svo);
}

Test(svo, what_is_set_is_found_at_every_level)
{
    for (unsigned level = 0; level <= 6; level++) {
        struct lode_svo *svo = make(6, 0);
        struct lode_ivec3 at = {-19, 13, 30}, beside = {-19, 13, -30};
        struct lode_svo_content old, leaf = brick(41);
        cr_assert_eq(lode_svo_set(svo, level, at, &rock, &old), 0);
        cr_assert_eq(old.type, level == 6 ? LODE_SVO_INTERFACE : LODE_SVO_EMPTY);
        cr_assert_eq(old.value, level == 6 ? 0 : 77);
        struct lode_svo_cell cell = get(svo, 0, at);
        cr_assert_eq(cell.content.type, LODE_SVO_HOMOGENEOUS);
        cr_assert_eq(cell.content.value, 5);
        cr_assert_eq(cell.level, level == 6 ? 5 : level);
        cr_assert_eq(cell.at.x, -19 & -(1 << cell.level));
        cr_assert_eq(cell.node.group, LODE_HANDLE_NULL);
        cr_assert_eq(get(svo, 0, beside).content.type, level == 6 ? 1 : 0);
        cr_assert_eq(lode_svo_set(svo, level, at, &sand, &old), 0);
        cr_assert_eq(old.type, level == 6 ? LODE_SVO_INTERFACE : LODE_SVO_HOMOGENEOUS);
        cr_assert_eq(lode_svo_set(svo, level, at, level > 0 ? &split : &leaf, &old), 0);
        cell = get(svo, level, at);
        cr_assert_eq(cell.content.type, LODE_SVO_INTERFACE);
        cr_assert_eq(cell.level, level);
        cr_assert_eq(cell.content.value, level > 0 ? 3 : 41);
        cr_assert_eq(cell.content.user, level > 0 ? 9 : 41 << 8);
        cr_assert_eq(cell.content.bricks[4], level > 0 ? 0 : 45);
        if (level > 0) /* its children are what it was */
            cr_assert_eq(get(svo, 0, at).content.value, 6);
        cr_assert_eq(lode_svo_set(svo, level, at, &air, &old), 0);
        cr_assert_eq(old.type, LODE_SVO_INTERFACE);
        cr_assert_eq(old.user, level > 0 ? 9 : 41 << 8);
        cr_assert_eq(old.bricks[1], level > 0 ? 0 : 42);
        cell = get(svo, 0, at);
        cr_assert_eq(cell.content.type, LODE_SVO_EMPTY);
        cr_assert_eq(cell.content.value, 77);
        lode_svo_destroy(svo);
    }
}

Test(svo, an_interface_node_can_get_other_content)
{
    struct lode_svo *svo = make(3, 0);
    struct lode_svo_content b = brick(1), c = brick(50), old;
    set(svo, 0, place(0, 0, 0), &b);
    set(svo, 0, place(1, 0, 0), &b);
    cr_assert_eq(lode_svo_set(svo, 0, place(1, 0, 0), &c, &old), 0);
    cr_assert_eq(memcmp(&old, &b, sizeof(b)), 0);
    struct lode_svo_cell one = get(svo, 0, place(0, 0, 0)), two = get(svo, 0, place(1, 0, 0));
    cr_assert_eq(memcmp(&one.content, &b, sizeof(b)), 0);
    cr_assert_eq(memcmp(&two.content, &c, sizeof(c)), 0);
    cr_assert_eq(lode_svo_set(svo, 1, place(0, 0, 0), &split, &old), 0);
    cr_assert_eq(old.type, LODE_SVO_INTERFACE);
    cr_assert_eq(get(svo, 1, place(0, 0, 0)).content.user, 9);
    two = get(svo, 0, place(1, 0, 0));
    cr_assert_eq(memcmp(&two.content, &c, sizeof(c)), 0);
    lode_svo_destroy(svo);
}

Test(svo, bad_arguments_change_nothing)
{
    struct lode_svo *svo = make(4, LODE_SVO_COALESCE);
    struct lode_svo_content b = brick(1), bad = {.type = 3}, old = {.user = 123};
    struct lode_svo_cell cell = {.level = 99};
    set(svo, 0, place(0, 0, 0), &b);
    uint64_t before = digest(svo);
    cr_assert_eq(lode_svo_set(svo, 0, place(8, 0, 0), &rock, &old), -ERANGE);
    cr_assert_eq(lode_svo_set(svo, 0, place(0, -9, 0), &rock, &old), -ERANGE);
    cr_assert_eq(lode_svo_set(svo, 0, place(0, 0, INT32_MAX), &rock, &old), -ERANGE);
    cr_assert_eq(lode_svo_set(svo, 5, place(0, 0, 0), &rock, &old), -EINVAL);
    cr_assert_eq(lode_svo_set(svo, UINT_MAX, place(0, 0, 0), &rock, &old), -EINVAL);
    cr_assert_eq(lode_svo_set(svo, 0, place(0, 0, 0), &bad, &old), -EINVAL);
    cr_assert_eq(lode_svo_split(svo, 0, place(0, 0, 0)), -EINVAL);
    cr_assert_eq(lode_svo_split(svo, 5, place(0, 0, 0)), -EINVAL);
    cr_assert_eq(lode_svo_split(svo, 1, place(8, 0, 0)), -ERANGE);
    cr_assert_eq(lode_svo_get(svo, 5, place(0, 0, 0), &cell), -EINVAL);
    cr_assert_eq(lode_svo_get(svo, 0, place(0, 8, 0), &cell), -ERANGE);
    cr_assert_eq(old.user, 123);
    cr_assert_eq(cell.level, 99);
    cr_assert_eq(digest(svo), before);
    lode_svo_destroy(svo);
}

Test(svo, over_the_limit_nothing_changes)
{
    struct lode_svo_opts opts = LODE_SVO_OPTS_INIT;
    struct lode_svo *svo;
    struct lode_svo_content b = brick(1), old = {.user = 123};
    opts.levels = 4;
    opts.max_nodes = 6;
    cr_assert_eq(lode_svo_create(&opts, &svo), 0);
    set(svo, 0, place(0, 0, 0), &b); /* 5 of 6 */
    uint64_t before = digest(svo);
    cr_assert_eq(lode_svo_set(svo, 0, place(2, 0, 0), &b, &old), -ENOSPC); /* would be two more */
    cr_assert_eq(lode_svo_set(svo, 0, place(-1, 0, 0), &rock, &old), -ENOSPC);
    cr_assert_eq(lode_svo_split(svo, 1, place(-1, 0, 0)), -ENOSPC);
    cr_assert_eq(old.user, 123);
    cr_assert_eq(digest(svo), before);
    cr_assert_eq(lines(svo), 5);
    set(svo, 0, place(1, 0, 0), &b);
    cr_assert_eq(lode_svo_set(svo, 0, place(0, 1, 0), &b, NULL), -ENOSPC);
    set(svo, 0, place(0, 0, 0), &air);
    set(svo, 0, place(0, 1, 0), &b);
    set(svo, 4, place(0, 0, 0), &rock);
    cr_assert_eq(lines(svo), 1);
    lode_svo_destroy(svo);
}

Test(svo, splitting_keeps_what_every_place_is)
{
    struct lode_svo *svo = make(5, 0);
    set(svo, 4, place(0, 0, 0), &rock);
    cr_assert_eq(lode_svo_split(svo, 2, place(3, 3, 3)), 0);
    cr_assert_eq(lines(svo), 4);
    struct lode_svo_cell cell = get(svo, 0, place(3, 3, 3));
    cr_assert_eq(cell.level, 1);
    cr_assert_eq(cell.content.value, 5);
    cell = get(svo, 2, place(3, 3, 3));
    cr_assert_eq(cell.content.type, LODE_SVO_INTERFACE);
    cr_assert_eq(cell.content.value, 5);
    uint64_t before = digest(svo);
    cr_assert_eq(lode_svo_split(svo, 2, place(3, 3, 3)), 0);
    cr_assert_eq(lode_svo_split(svo, 4, place(3, 3, 3)), 0);
    cr_assert_eq(lode_svo_split(svo, 5, place(3, 3, 3)), 0);
    cr_assert_eq(digest(svo), before);
    cr_assert_eq(stats(svo).splits, 3);
    cr_assert_eq(lode_svo_split(svo, 1, place(-3, 3, 3)), 0);
    cr_assert_eq(get(svo, 1, place(-3, 3, 3)).content.value, 77);
    cr_assert_eq(get(svo, 0, place(-3, 3, 3)).content.type, LODE_SVO_EMPTY);
    cr_assert_eq(stats(svo).splits, 7);
    lode_svo_destroy(svo);
}

/* ---- merging ---- */

static void set_cube(struct lode_svo *svo, int side, const struct lode_svo_content *content)
{
    for (int z = 0; z < side; z++)
        for (int y = 0; y < side; y++)
            for (int x = 0; x < side; x++)
                set(svo, 0, place(x, y, z), content);
}

Test(svo, with_the_flag_eight_alike_become_one)
{
    struct lode_svo *svo = make(5, LODE_SVO_COALESCE);
    struct lode_svo_content b = brick(1);
    set_cube(svo, 8, &b);
    cr_assert_eq(lines(svo), 1 + 1 + 1 + 8 + 64 + 512);
    set_cube(svo, 8, &rock);
    cr_assert_eq(lines(svo), 2); /* the node of level 4 is there: its other children are Empty */
    cr_assert_eq(get(svo, 0, place(5, 5, 5)).level, 3);
    cr_assert_eq(stats(svo).coalesced, 64 + 8 + 1);
    set_cube(svo, 8, &air);
    cr_assert_eq(lines(svo), 1);
    lode_svo_destroy(svo);
}

Test(svo, without_it_they_are_merged_on_request)
{
    struct lode_svo *svo = make(5, 0);
    size_t freed = 99;
    set_cube(svo, 8, &rock);
    cr_assert_eq(lines(svo), 1 + 1 + 1 + 8 + 64);
    struct lode_brick_box box = {{0, 0, 0}, {1, 1, 1}}, bad = {{0, 0, 0}, {1, -1, 1}};
    struct lode_brick_box outside = {{100, 0, 0}, {200, 1, 1}};
    cr_assert_eq(lode_svo_coalesce(svo, &bad, &freed), -EINVAL);
    cr_assert_eq(freed, 99);
    cr_assert_eq(lode_svo_coalesce(svo, &outside, &freed), 0);
    cr_assert_eq(freed, 0);
    cr_assert_eq(lode_svo_coalesce(svo, &box, &freed), 0);
    cr_assert_eq(freed, 1);
    cr_assert_eq(get(svo, 0, place(0, 0, 0)).level, 1);
    cr_assert_eq(get(svo, 0, place(2, 0, 0)).level, 0);
    cr_assert_eq(lode_svo_coalesce(svo, NULL, &freed), 0);
    cr_assert_eq(freed, 63 + 8 + 1);
    cr_assert_eq(get(svo, 0, place(7, 7, 7)).level, 3);
    cr_assert_eq(get(svo, 0, place(7, 7, 7)).content.value, 5);
    cr_assert_eq(lines(svo), 2);
    cr_assert_eq(stats(svo).coalesced, 73);
    cr_assert_eq(lode_svo_coalesce(svo, NULL, NULL), 0);
    lode_svo_destroy(svo);
}

Test(svo, what_differs_is_not_merged)
{
    struct lode_svo *svo = make(3, 0);
    size_t freed;
    struct lode_svo_content b = brick(1);
    set(svo, 1, place(0, 0, 0), &rock);
    cr_assert_eq(lode_svo_split(svo, 1, place(0, 0, 0)), 0);
    set(svo, 0, place(1, 1, 1), &sand);
    set(svo, 1, place(2, 0, 0), &rock);
    cr_assert_eq(lode_svo_split(svo, 1, place(2, 0, 0)), 0);
    set(svo, 0, place(2, 0, 0), &b);
    uint64_t before = digest(svo);
    cr_assert_eq(lode_svo_coalesce(svo, NULL, &freed), 0);
    cr_assert_eq(freed, 0);
    cr_assert_eq(digest(svo), before);
    lode_svo_destroy(svo);
}

/* ---- leaves that go ---- */

struct told {
    struct lode_svo *svo;
    int count;
    uint64_t sum;
    struct lode_ivec3 last;
};

static void on_dropped(void *ctx, const struct lode_svo_cell *leaf)
{
    struct told *told = ctx;
    told->count++;
    told->sum += leaf->content.bricks[0];
    told->last = leaf->at;
    /* no lock is held: it may edit and ask */
    cr_assert_neq(get(told->svo, 0, leaf->at).content.user, leaf->content.user);
    set(told->svo, 0, place(-8, -8, -8), &rock);
}

Test(svo, leaves_that_go_are_told)
{
    struct lode_svo_opts opts = LODE_SVO_OPTS_INIT;
    struct told told = {0};
    opts.levels = 4;
    opts.flags = LODE_SVO_COALESCE;
    opts.dropped = on_dropped;
    opts.ctx = &told;
    cr_assert_eq(lode_svo_create(&opts, &told.svo), 0);
    struct lode_svo_content a = brick(100), b = brick(1000);
    set(told.svo, 0, place(3, 4, 5), &a);
    set(told.svo, 0, place(3, 4, 5), &b); /* an Interface leaf still */
    cr_assert_eq(told.count, 0);
    set(told.svo, 0, place(3, 4, 5), &air);
    cr_assert_eq(told.count, 1);
    cr_assert_eq(told.sum, 1000);
    cr_assert_eq(told.last.y, 4);
    set(told.svo, 0, place(0, 0, 0), &a);
    set(told.svo, 0, place(7, 7, 7), &b);
    set(told.svo, 3, place(1, 1, 1), &sand);
    cr_assert_eq(told.count, 3);
    cr_assert_eq(told.sum, 2100);
    set(told.svo, 0, place(0, 0, 0), &a);
    set(told.svo, 0, place(0, 0, 0), &sand); /* and is merged upward at once */
    cr_assert_eq(told.count, 4);
    cr_assert_eq(get(told.svo, 0, place(0, 0, 0)).level, 3);
    lode_svo_destroy(told.svo);
    cr_assert_eq(told.count, 4);
}

struct path {
    struct lode_svo *svo;
    struct lode_node nodes[4];
    int told;
};

static void all_stale(void *ctx, const struct lode_svo_cell *leaf)
{
    struct path *path = ctx;
    struct lode_svo_cell cell;
    for (int level = 0; level < 4; level++)
        cr_assert_eq(lode_svo_node_get(path->svo, path->nodes[level], &cell), -ESTALE);
    path->told += leaf->level == 0;
}

/* A slot must not be free, for use elsewhere, while a line above that names it can be read. */
Test(svo, what_goes_is_released_from_the_top_down)
{
    struct lode_svo_opts opts = LODE_SVO_OPTS_INIT;
    struct path path = {.told = 0};
    struct lode_svo_content b = brick(1);
    opts.levels = 5;
    opts.dropped = all_stale;
    opts.ctx = &path;
    cr_assert_eq(lode_svo_create(&opts, &path.svo), 0);
    set(path.svo, 0, place(5, 6, 7), &b);
    for (unsigned level = 0; level < 4; level++)
        path.nodes[level] = get(path.svo, level, place(5, 6, 7)).node;
    set(path.svo, 4, place(0, 0, 0), &rock);
    cr_assert_eq(path.told, 1);
    lode_svo_destroy(path.svo);
}

Test(svo, a_reader_may_edit_within_its_section)
{
    struct lode_svo *svo = make(4, LODE_SVO_COALESCE);
    struct lode_svo_content a = brick(1), b = brick(9);
    struct lode_read_stats waiting;
    set(svo, 0, place(1, 1, 1), &a);
    cr_assert_eq(lode_read_begin(), 0);
    const struct lode_svo_line *line = lode_svo_peek(get(svo, 0, place(1, 1, 1)).node);
    set(svo, 0, place(1, 1, 1), &b);
    cr_assert_eq(get(svo, 0, place(1, 1, 1)).content.user, b.user);
    set(svo, 4, place(1, 1, 1), &rock);
    for (int i = 0; i < 300; i++)
        set(svo, 0, place(i % 8, 0, 0), i % 3 != 0 ? &a : &rock);
    cr_assert_eq(line->user, a.user); /* the version it had stays until the section ends */
    lode_read_end();
    lode_svo_destroy(svo);
    lode_read_stats(&waiting);
    cr_assert_eq(waiting.waiting_blocks, 0);
}

Test(svo, slots_are_used_again)
{
    struct lode_svo *svo = make(4, 0);
    struct lode_svo_content b = brick(1);
    for (int round = 0; round < 3000; round++) {
        set(svo, 0, place(round % 8, round / 8 % 8, round / 64 % 8), &b);
        set(svo, 4, place(0, 0, 0), &air);
    }
    cr_assert_eq(stats(svo).slot_bytes, 8 * 12 + 8);
    cr_assert_eq(stats(svo).groups[0], 1);
    lode_svo_destroy(svo);
}

Test(svo, figures_of_an_older_caller)
{
    struct lode_svo *svo = make(4, 0);
    struct lode_svo_stats s = {.size = 4};
    cr_assert_eq(lode_svo_stats(svo, &s), -EINVAL);
    s.size = offsetof(struct lode_svo_stats, bytes);
    s.bytes[0] = 123;
    cr_assert_eq(lode_svo_stats(svo, &s), 0);
    cr_assert_eq(s.bytes[0], 123);
    cr_assert_eq(s.levels, 4);
    cr_assert_eq(s.nodes[LODE_SVO_INTERFACE][4], 1);
    lode_svo_destroy(svo);
}
