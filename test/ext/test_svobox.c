/* SPDX-License-Identifier: MIT */
/* The octree: boxes set and filled, against the same bricks set one by one, and when memory runs
 * out or somebody reads. */
#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

#include "failing_heap.h"
#include "svo_tree.h"

enum { LEVELS = 6, SIDE = 1 << LEVELS, MOST = 24 };

static uint64_t state = 1;

static uint32_t below(uint32_t end)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((state >> 33) % end);
}

static struct lode_brick_box box_at(int32_t x, int32_t y, int32_t z, int32_t nx, int32_t ny,
                                    int32_t nz)
{
    return (struct lode_brick_box){{x, y, z}, {x + nx - 1, y + ny - 1, z + nz - 1}};
}

static struct lode_brick_box random_box(uint32_t most)
{
    int32_t n[3], at[3];
    for (int axis = 0; axis < 3; axis++) {
        n[axis] = 1 + (int32_t)below(most);
        at[axis] = (int32_t)below((uint32_t)(SIDE - n[axis] + 1)) - SIDE / 2;
    }
    return box_at(at[0], at[1], at[2], n[0], n[1], n[2]);
}

/* Mostly what the brick's surroundings are, so that nodes merge and split. */
static struct lode_svo_content random_content(uint32_t mood)
{
    switch (below(4) != 0 ? mood : below(4)) {
    case 0:
        return air;
    case 1:
        return rock;
    case 2:
        return sand;
    default:
        return brick(1 + below(1000));
    }
}

static void same_reading(struct lode_svo *a, struct lode_svo *b)
{
    const unsigned what = LODE_SVO_WALK_ALL & ~LODE_SVO_WALK_INNER;
    uint64_t sums[2] = {1, 1};
    cr_assert_eq(lode_svo_walk(a, NULL, what, add_cell, &sums[0]), 0);
    cr_assert_eq(lode_svo_walk(b, NULL, what, add_cell, &sums[1]), 0);
    cr_assert_eq(sums[0], sums[1]);
}

static void same_figures(struct lode_svo *a, struct lode_svo *b)
{
    struct lode_svo_stats x = stats(a), y = stats(b);
    cr_assert_eq(memcmp(x.nodes, y.nodes, sizeof(x.nodes)), 0);
    cr_assert_eq(memcmp(x.groups, y.groups, sizeof(x.groups)), 0);
    cr_assert_eq(memcmp(x.bytes, y.bytes, sizeof(x.bytes)), 0);
}

static void set_one_by_one(struct lode_svo *svo, const struct lode_brick_box *box,
                           const struct lode_svo_content *contents)
{
    for (int32_t z = box->lo.z; z <= box->hi.z; z++)
        for (int32_t y = box->lo.y; y <= box->hi.y; y++)
            for (int32_t x = box->lo.x; x <= box->hi.x; x++)
                set(svo, 0, place(x, y, z), contents++);
}

static void set_both(struct lode_svo *boxes, struct lode_svo *singles)
{
    static struct lode_svo_content contents[MOST * MOST * MOST];
    struct lode_brick_box box = random_box(below(4) != 0 ? 6 : MOST);
    uint32_t mood = below(5);
    for (size_t i = 0; i < sizeof(contents) / sizeof(contents[0]); i++)
        contents[i] = random_content(mood < 4 ? mood : below(4));
    cr_assert_eq(lode_svo_set_box(boxes, &box, contents), 0);
    set_one_by_one(singles, &box, contents);
}

static void fill_both(struct lode_svo *boxes, struct lode_svo *singles)
{
    static struct lode_svo_content contents[SIDE * SIDE * SIDE];
    struct lode_brick_box box = random_box(below(8) != 0 ? 10 : SIDE);
    const struct lode_svo_content content = below(2) ? air : rock;
    for (size_t i = 0; i < sizeof(contents) / sizeof(contents[0]); i++)
        contents[i] = content;
    cr_assert_eq(lode_svo_fill_box(boxes, &box, &content), 0);
    set_one_by_one(singles, &box, contents);
}

Test(svobox, boxes_are_what_single_bricks_are)
{
    for (unsigned flags = 0; flags <= LODE_SVO_COALESCE; flags++) {
        struct lode_svo *boxes = make(LEVELS, flags), *singles = make(LEVELS, flags);
        for (int i = 0; i < 150; i++) {
            /* filled nodes stay whole, but where nothing merges bricks set singly do not */
            if (flags != 0 && below(2))
                fill_both(boxes, singles);
            else
                set_both(boxes, singles);
            same_reading(boxes, singles);
            same_figures(boxes, singles);
        }
        lode_svo_destroy(boxes);
        lode_svo_destroy(singles);
    }
}

Test(svobox, a_fill_makes_the_largest_nodes)
{
    struct lode_svo *svo = make(LEVELS, 0);
    struct lode_svo_content b = brick(4);
    struct lode_brick_box box = box_at(-9, -16, -16, 17, 16, 16);
    set(svo, 0, place(-1, -1, -1), &b);
    set(svo, 0, place(-10, -1, -1), &b);
    cr_assert_eq(lode_svo_fill_box(svo, &box, &rock), 0);
    cr_assert_eq(get(svo, 0, place(7, -1, -1)).level, 3);
    cr_assert_eq(get(svo, 0, place(-1, -1, -1)).level, 3);
    cr_assert_eq(get(svo, 0, place(-9, -1, -1)).level, 0);
    cr_assert_eq(get(svo, 0, place(-10, -1, -1)).content.bricks[0], 4);
    cr_assert_eq(get(svo, 0, place(8, -1, -1)).content.type, LODE_SVO_EMPTY);
    box = box_at(-SIDE / 2, -SIDE / 2, -SIDE / 2, SIDE, SIDE, SIDE);
    cr_assert_eq(lode_svo_fill_box(svo, &box, &air), 0);
    cr_assert_eq(lines(svo), 1);
    cr_assert_eq(stats(svo).groups[0], 1);
    lode_svo_destroy(svo);
}

static void on_dropped(void *ctx, const struct lode_svo_cell *leaf)
{
    uint64_t *sum = ctx;
    *sum += (uint64_t)(leaf->at.x + 100) * leaf->content.bricks[0];
}

Test(svobox, leaves_that_go_are_told_once)
{
    struct lode_svo_opts opts = LODE_SVO_OPTS_INIT;
    struct lode_svo_content contents[8 * 8 * 8];
    struct lode_svo *svo;
    struct lode_brick_box all = box_at(-4, -4, -4, 8, 8, 8), part = box_at(-3, -4, -4, 2, 8, 7);
    uint64_t sum = 0, want = 0, rest = 0;
    opts.levels = 4;
    opts.dropped = on_dropped;
    opts.ctx = &sum;
    cr_assert_eq(lode_svo_create(&opts, &svo), 0);
    for (uint64_t i = 0; i < 512; i++) {
        struct lode_ivec3 at = {(int32_t)(i % 8) - 4, (int32_t)(i / 8 % 8) - 4,
                                (int32_t)(i / 64) - 4};
        uint64_t worth = (uint64_t)(at.x + 100) * (i + 1);
        contents[i] = brick(i + 1);
        if (at.x >= -3 && at.x <= -2 && at.z <= 2)
            want += worth;
        else
            rest += worth;
    }
    cr_assert_eq(lode_svo_set_box(svo, &all, contents), 0);
    cr_assert_eq(lode_svo_set_box(svo, &all, contents), 0);
    cr_assert_eq(sum, 0);
    cr_assert_eq(lode_svo_fill_box(svo, &part, &rock), 0);
    cr_assert_eq(sum, want);
    sum = 0;
    for (size_t i = 0; i < 512; i++)
        contents[i] = air;
    cr_assert_eq(lode_svo_set_box(svo, &all, contents), 0);
    cr_assert_eq(sum, rest);
    lode_svo_destroy(svo);
}

Test(svobox, what_cannot_be_is_refused)
{
    struct lode_svo *svo = make(4, 0);
    struct lode_svo_content contents[8], b = brick(3);
    struct lode_brick_box box = box_at(6, 0, 0, 2, 2, 2), bad;
    for (int i = 0; i < 8; i++)
        contents[i] = brick(5);
    uint64_t before = digest(svo);
    bad = box_at(7, 0, 0, 2, 2, 2);
    cr_assert_eq(lode_svo_set_box(svo, &bad, contents), -ERANGE);
    cr_assert_eq(lode_svo_fill_box(svo, &bad, &rock), -ERANGE);
    bad = box_at(0, 0, 0, 1, 0, 1);
    cr_assert_eq(lode_svo_set_box(svo, &bad, contents), -EINVAL);
    cr_assert_eq(lode_svo_fill_box(svo, &bad, &rock), -EINVAL);
    cr_assert_eq(lode_svo_fill_box(svo, &box, &b), -EINVAL);
    contents[7].type = 3;
    cr_assert_eq(lode_svo_set_box(svo, &box, contents), -EINVAL);
    cr_assert_eq(lode_svo_fill_box(svo, &box, &contents[7]), -EINVAL);
    cr_assert_eq(digest(svo), before);
    lode_svo_destroy(svo);
}

Test(svobox, a_limit_of_nodes_holds)
{
    struct lode_svo_opts opts = LODE_SVO_OPTS_INIT;
    struct lode_svo_content contents[8];
    struct lode_brick_box box = box_at(0, 0, 0, 2, 2, 2);
    struct lode_svo *svo;
    for (int i = 0; i < 8; i++)
        contents[i] = brick(5);
    for (opts.max_nodes = 1; opts.max_nodes <= 12; opts.max_nodes++) {
        opts.levels = 4;
        cr_assert_eq(lode_svo_create(&opts, &svo), 0);
        uint64_t before = digest(svo);
        int status = lode_svo_set_box(svo, &box, contents);
        cr_assert_eq(status, opts.max_nodes < 1 + 3 + 8 ? -ENOSPC : 0);
        if (status != 0) {
            cr_assert_eq(digest(svo), before);
            cr_assert_eq(lines(svo), 1);
        }
        lode_svo_destroy(svo);
    }
}

/* One part of a box, with the heap refusing after 0, 1, 2 ... requests: nothing or all. */
static void starve(struct lode_svo *svo, const struct lode_brick_box *box,
                   const struct lode_svo_content *contents)
{
    uint64_t before = digest(svo), count = lines(svo);
    for (int failed = 0;; failed++) {
        failing_heap_after = failed;
        int status = contents != NULL ? lode_svo_set_box(svo, box, contents)
                                      : lode_svo_fill_box(svo, box, &air);
        failing_heap_after = -1;
        if (status == 0)
            break;
        cr_assert_eq(status, -ENOMEM);
        cr_assert_eq(digest(svo), before);
        cr_assert_eq(lines(svo), count);
        cr_assert_lt(failed, 2000);
    }
}

Test(svobox, without_memory_nothing_has_changed)
{
    static struct lode_svo_content contents[16 * 16 * 16];
    for (unsigned flags = 0; flags <= LODE_SVO_COALESCE; flags++) {
        struct lode_svo *svo = make(LEVELS, flags), *fed = make(LEVELS, flags);
        struct lode_brick_box box = box_at(0, 0, 0, 13, 11, 9);
        for (int i = 0; i < 4; i++) {
            for (size_t k = 0; k < sizeof(contents) / sizeof(contents[0]); k++)
                contents[k] = random_content((uint32_t)i);
            starve(svo, &box, i != 2 ? contents : NULL);
            if (i != 2)
                cr_assert_eq(lode_svo_set_box(fed, &box, contents), 0);
            else
                cr_assert_eq(lode_svo_fill_box(fed, &box, &air), 0);
            box.lo.x += i == 1;
            box.hi.z += i == 1;
            same_figures(svo, fed);
            same_reading(svo, fed);
        }
        lode_svo_destroy(svo);
        lode_svo_destroy(fed);
    }
}

/* Is each brick as it was, of handle 1, or what `contents` says? How many are the latter. */
static int count_new(struct lode_svo *svo, const struct lode_svo_content *contents)
{
    int news = 0;
    for (int i = 0; i < 512; i++) {
        struct lode_svo_cell cell = get(svo, 0, place(i % 8, i / 8 % 8, i / 64));
        int is_new = contents[i].type == cell.content.type &&
                     contents[i].bricks[0] == cell.content.bricks[0];
        cr_assert(is_new || cell.content.bricks[0] == 1);
        news += is_new;
    }
    return news;
}

/* The figures are those of a tree in which the same is set brick by brick. */
static void figures_are_right(struct lode_svo *svo)
{
    struct lode_svo *again = make(LEVELS, LODE_SVO_COALESCE);
    for (int i = 0; i < 512; i++) {
        struct lode_ivec3 at = place(i % 8, i / 8 % 8, i / 64);
        struct lode_svo_content is = get(svo, 0, at).content;
        set(again, 0, at, &is);
    }
    same_figures(svo, again);
    lode_svo_destroy(again);
}

/* Pinned groups keep their versions; where these cannot be noted each brick is as it was, or as it
 * is to be. */
Test(svobox, pinned_groups_without_memory)
{
    static struct lode_svo_content old[512], contents[512];
    struct lode_brick_box box = box_at(0, 0, 0, 8, 8, 8);
    int status = -ENOMEM, halves = 0;
    for (int i = 0; i < 512; i++) {
        old[i] = brick(1);
        contents[i] = i % 3 == 0 ? rock : brick(2);
    }
    for (int after = 0; status != 0; after++) {
        struct lode_svo *svo = make(LEVELS, LODE_SVO_COALESCE);
        lode_handle pinned[128];
        cr_assert_eq(lode_svo_set_box(svo, &box, old), 0);
        for (int i = 0; i < 128; i++) {
            struct lode_ivec3 at = place(i % 4 * 2, i / 4 % 4 * 2, i / 16 % 4 * 2);
            pinned[i] = get(svo, i < 64 ? 0 : 1, at).node.group;
            cr_assert_not_null(lode_pin(pinned[i]));
        }
        failing_heap_after = after;
        status = lode_svo_set_box(svo, &box, contents);
        failing_heap_after = -1;
        cr_assert(status == 0 || status == -ENOMEM);
        int news = count_new(svo, contents);
        cr_assert(status != 0 || news == 512);
        halves += news != 0 && news != 512;
        figures_are_right(svo);
        for (int i = 0; i < 128; i++)
            cr_assert_eq(lode_unpin(pinned[i]), 0);
        lode_svo_destroy(svo);
    }
    cr_assert_gt(halves, 0);
}
