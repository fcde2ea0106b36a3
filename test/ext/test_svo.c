/* SPDX-License-Identifier: MIT */
/* The octree: what each call promises and each errno, with the tree unchanged. test/fuzz/fuzz_svo.c
 * compares long sequences with a naive tree, stress_svo.c reads while another thread edits,
 * test_svostarved.c lets memory run out, test_svoray.c is about rays. */
#include <criterion/criterion.h>

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "ext/registry.h"
#include "ext/svotree.h"

static struct lode_svo *make(unsigned levels, unsigned flags)
{
    struct lode_svo_opts opts = LODE_SVO_OPTS_INIT;
    struct lode_svo *svo = NULL;
    opts.levels = (uint8_t)levels;
    opts.flags = (uint8_t)flags;
    opts.empty_value = 77;
    cr_assert_eq(lode_svo_create(&opts, &svo), 0);
    return svo;
}

static struct lode_ivec3 place(int32_t x, int32_t y, int32_t z)
{
    return (struct lode_ivec3){x, y, z};
}

static const struct lode_svo_content rock = {.type = LODE_SVO_HOMOGENEOUS, .value = 5};
static const struct lode_svo_content sand = {.type = LODE_SVO_HOMOGENEOUS, .value = 6};
static const struct lode_svo_content air = {.type = LODE_SVO_EMPTY};
static const struct lode_svo_content split = {.type = LODE_SVO_INTERFACE, .value = 3, .user = 9};

static struct lode_svo_content brick(uint64_t handle)
{
    return (struct lode_svo_content){.type = LODE_SVO_INTERFACE,
                                     .value = (uint32_t)handle,
                                     .user = handle << 8,
                                     .bricks = {handle, handle + 1, 0, 0, handle + 4}};
}

static struct lode_svo_cell get(struct lode_svo *svo, unsigned level, struct lode_ivec3 at)
{
    struct lode_svo_cell cell;
    cr_assert_eq(lode_svo_get(svo, level, at, &cell), 0);
    return cell;
}

static struct lode_svo_stats stats(struct lode_svo *svo)
{
    struct lode_svo_stats s = {.size = sizeof(s)};
    cr_assert_eq(lode_svo_stats(svo, &s), 0);
    return s;
}

static uint64_t lines(struct lode_svo *svo)
{
    return stats(svo).bytes[LODE_SVO_INTERFACE] / 64;
}

static void set(struct lode_svo *svo, unsigned level, struct lode_ivec3 at,
                const struct lode_svo_content *content)
{
    cr_assert_eq(lode_svo_set(svo, level, at, content, NULL), 0);
}

/* A sum of all there is, in order. */
static int add_cell(void *ctx, const struct lode_svo_cell *cell)
{
    uint64_t *sum = ctx;
    const struct lode_svo_content *c = &cell->content;
    uint64_t words[] = {c->type,
                        c->value,
                        c->user,
                        c->bricks[0],
                        c->bricks[4],
                        cell->level,
                        (uint64_t)cell->at.x,
                        (uint64_t)cell->at.y,
                        (uint64_t)cell->at.z};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        *sum = (*sum ^ words[i]) * 1099511628211u;
    return 0;
}

static uint64_t digest(struct lode_svo *svo)
{
    uint64_t sum = 14695981039346656037u;
    cr_assert_eq(lode_svo_walk(svo, NULL, LODE_SVO_WALK_ALL, add_cell, &sum), 0);
    return sum;
}

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

/* ---- references ---- */

Test(svo, a_reference_finds_its_node_or_says_it_is_gone)
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

Test(svo, a_pinned_group_keeps_its_version)
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

Test(svo, a_world_is_built_from_a_source)
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

Test(svo, a_part_is_built_in_the_place_of_another)
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

Test(svo, a_build_that_ends_early_changes_nothing)
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

Test(svo, a_walk_shows_leaves_in_morton_order)
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

Test(svo, a_visitor_may_edit)
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

Test(svo, reordering_brings_groups_into_morton_order)
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

Test(svo, reordering_goes_on_among_edits_and_passes_pinned_groups_by)
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
    svo->reordering = 1;
    cr_assert_eq(lode_svo_reorder(svo, 0), -EBUSY);
    svo->reordering = 0;
    lode_svo_destroy(svo);
}

Test(svo, reordering_again_and_again_keeps_memory_flat)
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
