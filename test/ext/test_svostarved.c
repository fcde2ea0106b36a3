/* SPDX-License-Identifier: MIT */
/* The octree when memory runs out: each call is made with the heap refusing after 0, 1, 2 ...
 * requests, until it succeeds. Until then it says -ENOMEM and nothing has changed; nothing is lost
 * either: the figures add up and the heap holds no group that the tree does not have. */
#include <criterion/criterion.h>

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "failing_heap.h"
#include "lode/stats.h"
#include "svo_tree.h"

static const struct lode_ivec3 here = {5, 4, 3};

/* Some of each type around `here`. */
static struct lode_svo *scene(unsigned flags)
{
    struct lode_svo *svo = make(5, flags);
    struct lode_svo_content b = brick(7);
    set(svo, 3, here, &rock);
    set(svo, 0, (struct lode_ivec3){-5, 1, 1}, &b);
    set(svo, 0, (struct lode_ivec3){-6, 1, 1}, &b);
    set(svo, 0, (struct lode_ivec3){-6, 2, 1}, &sand);
    return svo;
}

/* Blocks of the tree's heaps: its groups and itself. */
static uint64_t blocks_of(struct lode_svo *svo)
{
    struct lode_block_info info;
    struct lode_stats s = {.size = sizeof(s)};
    cr_assert_eq(lode_block_find(svo, &info), 0);
    cr_assert_eq(lode_stats_get(info.heap, &s), 0);
    return s.live_blocks;
}

/* Calls `act` until it succeeds; *ret_failed is how often it did not. */
static void starve(struct lode_svo *svo, int (*act)(struct lode_svo *svo), int *ret_failed)
{
    uint64_t before = digest(svo), count = lines(svo), blocks = blocks_of(svo);
    int status = -ENOMEM;
    for (*ret_failed = 0; status != 0; ++*ret_failed) {
        failing_heap_after = *ret_failed;
        status = act(svo);
        failing_heap_after = -1;
        if (status == 0)
            break;
        cr_assert_eq(status, -ENOMEM);
        cr_assert_eq(digest(svo), before);
        cr_assert_eq(lines(svo), count);
        cr_assert_eq(blocks_of(svo), blocks);
        cr_assert_lt(*ret_failed, 1000);
    }
    cr_assert_eq(blocks_of(svo), 1 + stats(svo).groups[0]);
}

static int set_brick(struct lode_svo *svo)
{
    struct lode_svo_content b = brick(9);
    return lode_svo_set(svo, 0, here, &b, NULL);
}

static int set_sand(struct lode_svo *svo)
{
    return lode_svo_set(svo, 0, here, &sand, NULL);
}

static int set_air(struct lode_svo *svo)
{
    return lode_svo_set(svo, 0, here, &air, NULL);
}

static int set_beside(struct lode_svo *svo)
{
    struct lode_svo_content b = brick(9);
    return lode_svo_set(svo, 0, (struct lode_ivec3){-6, 2, 1}, &b, NULL);
}

static int set_root(struct lode_svo *svo)
{
    return lode_svo_set(svo, 5, here, &sand, NULL);
}

static int split_it(struct lode_svo *svo)
{
    return lode_svo_split(svo, 1, here);
}

static int take_out(struct lode_svo *svo)
{
    return lode_svo_set(svo, 1, (struct lode_ivec3){-6, 0, 0}, &air, NULL);
}

Test(svostarved, edits_change_nothing_or_all)
{
    int (*const acts[])(struct lode_svo *) = {set_brick, set_sand, set_air, set_beside,
                                              set_root,  split_it, take_out};
    for (unsigned flags = 0; flags <= LODE_SVO_COALESCE; flags++)
        for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++) {
            struct lode_svo *svo = scene(flags);
            int failed;
            starve(svo, acts[i], &failed);
            cr_assert_gt(failed, 0);
            lode_svo_destroy(svo);
        }
}

/* What a digger does at one place; between the steps the tree is as the step before left it. */
Test(svostarved, a_row_of_edits)
{
    struct lode_svo *svo = scene(LODE_SVO_COALESCE);
    int failed;
    starve(svo, set_brick, &failed);
    starve(svo, set_brick, &failed);
    starve(svo, set_air, &failed);
    starve(svo, set_sand, &failed);
    starve(svo, set_brick, &failed);
    struct lode_svo_cell cell;
    cr_assert_eq(lode_svo_get(svo, 0, here, &cell), 0);
    cr_assert_eq(cell.content.bricks[0], 9);
    lode_svo_destroy(svo);
}

/* Pin the groups on the way to two places: of one level, or all. */
static int pin_some(struct lode_svo *svo, unsigned only, lode_handle *ret_pinned)
{
    const struct lode_ivec3 at[2] = {here, {-6, 1, 1}};
    int count = 0;
    for (unsigned level = 0; level <= 5; level++)
        for (int which = 0; which < 2 && (only > 5 || only == level); which++) {
            struct lode_svo_cell cell;
            cr_assert_eq(lode_svo_get(svo, level, at[which], &cell), 0);
            if (cell.node.group != 0 && lode_pin(cell.node.group) != NULL)
                ret_pinned[count++] = cell.node.group;
        }
    cr_assert_gt(count, 0);
    return count;
}

/* A pinned group that gets another version has to be noted somewhere, for which there may be no
 * memory: here in the first process to note one, so each case is a test of its own. */
static void under_pins(int (*act)(struct lode_svo *), unsigned only)
{
    struct lode_svo *svo = scene(0);
    lode_handle pinned[12];
    int count = pin_some(svo, only, pinned);
    uint64_t before = digest(svo), was = lines(svo);
    int status = -ENOMEM;
    for (int failed = 0; status != 0; failed++) {
        failing_heap_after = failed;
        status = act(svo);
        failing_heap_after = -1;
        cr_assert(status == 0 || status == -ENOMEM);
        if (status == 0)
            continue;
        cr_assert_eq(digest(svo), before);
        cr_assert_eq(lines(svo), was);
    }
    while (count > 0)
        cr_assert_eq(lode_unpin(pinned[--count]), 0);
    cr_assert_eq(blocks_of(svo), 1 + stats(svo).groups[0]);
    lode_svo_destroy(svo);
}

#define UNDER_PINS(act)                    \
    Test(svostarved, act##_all_pinned)     \
    {                                      \
        under_pins(act, 9);                \
    }                                      \
    Test(svostarved, act##_leaves_pinned)  \
    {                                      \
        under_pins(act, 0);                \
    }                                      \
    Test(svostarved, act##_level_1_pinned) \
    {                                      \
        under_pins(act, 1);                \
    }                                      \
    Test(svostarved, act##_level_2_pinned) \
    {                                      \
        under_pins(act, 2);                \
    }                                      \
    Test(svostarved, act##_level_4_pinned) \
    {                                      \
        under_pins(act, 4);                \
    }
UNDER_PINS(set_brick)
UNDER_PINS(set_sand)
UNDER_PINS(set_beside)
UNDER_PINS(take_out)

static int hills(void *ctx, unsigned level, struct lode_ivec3 at, struct lode_svo_content *content)
{
    (void)ctx;
    *content = level > 0 ? split : (at.x ^ at.y ^ at.z) & 3 ? rock : brick(5);
    return 0;
}

static int build(struct lode_svo *svo)
{
    return lode_svo_build(svo, 3, here, hills, NULL);
}

Test(svostarved, a_build_leaves_nothing_behind)
{
    struct lode_svo *svo = scene(0);
    int failed;
    starve(svo, build, &failed);
    cr_assert_gt(failed, 20);
    lode_svo_destroy(svo);
}

Test(svostarved, merging_may_stop_halfway_and_reads_the_same)
{
    struct lode_svo *svo = make(4, 0);
    size_t freed = 77;
    int status = -ENOMEM, failed = 0;
    for (int i = 0; i < 512; i++)
        set(svo, 0, (struct lode_ivec3){i % 8, i / 8 % 8, i / 64}, &rock);
    for (; status != 0; failed++) {
        failing_heap_after = failed;
        status = lode_svo_coalesce(svo, NULL, &freed);
        failing_heap_after = -1;
        cr_assert(status == 0 || (status == -ENOMEM && freed == 77));
        for (int i = 0; i < 512; i++) {
            struct lode_svo_cell cell;
            struct lode_ivec3 at = {i % 8, i / 8 % 8, i / 64};
            cr_assert_eq(lode_svo_get(svo, 0, at, &cell), 0);
            cr_assert_eq(cell.content.value, 5);
        }
    }
    cr_assert_gt(failed, 1);
    cr_assert_eq(lines(svo), 1);
    lode_svo_destroy(svo);
}

Test(svostarved, reordering_goes_on_later)
{
    struct lode_svo *svo = scene(0);
    uint64_t before = digest(svo);
    int status = -ENOMEM;
    for (int failed = 0; status != 0; failed++) {
        failing_heap_after = failed;
        status = lode_svo_reorder(svo, 1000000);
        failing_heap_after = -1;
        cr_assert(status == 0 || status == -ENOMEM);
        cr_assert_eq(digest(svo), before);
    }
    cr_assert_geq(stats(svo).reordered, stats(svo).groups[0]);
    lode_svo_destroy(svo);
}

Test(svostarved, no_tree_is_made)
{
    struct lode_svo *svo = (void *)1;
    int status = -ENOMEM;
    for (int failed = 0; status != 0; failed++) {
        cr_assert_lt(failed, 20);
        failing_heap_after = failed;
        status = lode_svo_create(NULL, &svo);
        failing_heap_after = -1;
        cr_assert(status == 0 || (status == -ENOMEM && svo == (void *)1));
    }
    lode_svo_destroy(svo);
}

static struct lode_node known;

/* The first section of a thread needs memory. */
static void *ask_without_memory(void *ctx)
{
    struct lode_svo *svo = ctx;
    struct lode_svo_cell cell = {.level = 99};
    struct lode_svo_ray ray;
    struct lode_svo_hit hit;
    struct lode_svo_order order;
    uint64_t sum = 0;
    double origin[3] = {0}, direction[3] = {1, 0, 0};
    failing_heap_after = 0;
    cr_assert_eq(lode_svo_get(svo, 0, here, &cell), -ENOMEM);
    cr_assert_eq(lode_svo_node_get(svo, known, &cell), -ENOMEM);
    cr_assert_eq(cell.level, 99);
    cr_assert_eq(lode_svo_walk(svo, NULL, LODE_SVO_WALK_ALL, add_cell, &sum), -ENOMEM);
    cr_assert_eq(lode_svo_coalesce(svo, NULL, NULL), -ENOMEM);
    cr_assert_eq(lode_svo_order(svo, &order), -ENOMEM);
    cr_assert_eq(lode_svo_ray_begin(&ray, svo, origin, direction, 100), 0);
    cr_assert_eq(lode_svo_ray_next(&ray, &hit), -ENOMEM);
    failing_heap_after = -1;
    cr_assert_eq(lode_svo_ray_next(&ray, &hit), 1);
    return NULL;
}

Test(svostarved, a_thread_that_cannot_read_yet)
{
    struct lode_svo *svo = scene(0);
    struct lode_svo_cell cell;
    pthread_t thread;
    cr_assert_eq(lode_svo_get(svo, 4, here, &cell), 0);
    known = cell.node;
    cr_assert_eq(pthread_create(&thread, NULL, ask_without_memory, svo), 0);
    pthread_join(thread, NULL);
    lode_svo_destroy(svo);
}
