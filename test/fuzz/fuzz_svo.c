/* SPDX-License-Identifier: MIT */
/*
 * Operation sequences on the octree against a naive tree of pointers. Input bytes are read front to
 * back. Checked all along: what a query finds, what an edit says was there and which leaves it
 * dropped; and now and then the whole tree by a walk, the figures by type and level, rays by
 * stepping through voxels, and a group's own description of its layout. At the end nothing is live.
 */
#include "fuzz_input.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lode/svo.h"

#define CHECK(e) ((e) ? (void)0 : failed(#e, __LINE__))

/* Of the naive tree; a leaf of an octree that has its eight children in an array. */
struct node {
    struct lode_svo_content content;
    struct node *children; /* 8; NULL: none */
};

static struct input {
    const uint8_t *at, *end;
} input;
static struct lode_svo *svo;
static struct node *model;
static unsigned levels;
static int coalescing;
static int32_t low[3], side;
static uint64_t max_nodes;
static uint64_t dropped_sum, dropped_expected; /* of the first bricks of dropped leaves */

static void failed(const char *what, int line)
{
    fprintf(stderr, "fuzz_svo.c:%d: %s does not hold\n", line, what);
    abort();
}

static unsigned take(unsigned limit)
{
    unsigned value = 0;
    for (int n = limit > 256 ? 2 : 1; n > 0 && input.at < input.end; n--)
        value = value << 8 | *input.at++;
    return value % limit;
}

static struct lode_ivec3 vec(const int32_t at[3])
{
    return (struct lode_ivec3){at[0], at[1], at[2]};
}

static int32_t axis_of(struct lode_ivec3 v, int axis)
{
    return axis == 0 ? v.x : axis == 1 ? v.y : v.z;
}

static void on_dropped(void *ctx, const struct lode_svo_cell *leaf)
{
    CHECK(ctx == &svo && leaf->level == 0 && leaf->content.type == LODE_SVO_INTERFACE);
    uint64_t place = 0;
    for (int axis = 0; axis < 3; axis++)
        place = place * 64 + (uint64_t)(axis_of(leaf->at, axis) - low[axis]);
    dropped_sum += leaf->content.bricks[0] * (place + 1);
}

/* ---- the naive tree ---- */

static void model_drop(struct node *n, unsigned level, uint64_t x, uint64_t y, uint64_t z)
{
    if (level == 0 && n->content.type == LODE_SVO_INTERFACE)
        dropped_expected += n->content.bricks[0] * (((x * 64 + y) * 64 + z) + 1);
    if (n->children == NULL)
        return;
    uint64_t half = (uint64_t)1 << (level - 1);
    for (unsigned o = 0; o < 8; o++)
        model_drop(&n->children[o], level - 1, x + (o & 1) * half, y + (o >> 1 & 1) * half,
                   z + (o >> 2 & 1) * half);
    free(n->children);
    n->children = NULL;
}

static void model_split(struct node *n)
{
    if (n->children != NULL)
        return;
    n->children = calloc(8, sizeof(*n->children));
    CHECK(n->children != NULL);
    for (int o = 0; o < 8; o++)
        n->children[o].content = n->content;
    n->content.type = LODE_SVO_INTERFACE;
}

static int alike(const struct node *n)
{
    if (n->children == NULL)
        return 0;
    for (int o = 0; o < 8; o++)
        if (n->children[o].content.type == LODE_SVO_INTERFACE ||
            n->children[o].content.type != n->children[0].content.type ||
            n->children[o].content.value != n->children[0].content.value)
            return 0;
    return 1;
}

static void model_merge(struct node *n)
{
    n->content = n->children[0].content;
    free(n->children);
    n->children = NULL;
}

static unsigned octant_of(const int32_t at[3], unsigned level)
{
    unsigned octant = 0;
    for (int axis = 0; axis < 3; axis++)
        octant |= ((unsigned)(at[axis] - low[axis]) >> level & 1) << axis;
    return octant;
}

/* The node of `level`, or the coarser one without children; its level in *found. */
static struct node *model_find(unsigned level, const int32_t at[3], unsigned *found)
{
    struct node *n = model;
    for (*found = levels; *found > level && n->children != NULL; --*found)
        n = &n->children[octant_of(at, *found - 1)];
    return n;
}

static void model_put(struct node *n, unsigned level, const int32_t at[3],
                      const struct lode_svo_content *content)
{
    uint64_t base[3];
    for (int axis = 0; axis < 3; axis++)
        base[axis] = (uint64_t)(at[axis] - low[axis]) >> level << level;
    if (content->type == LODE_SVO_INTERFACE && level > 0) {
        model_split(n);
        n->content.value = content->value;
        n->content.user = content->user;
        return;
    }
    if (content->type != LODE_SVO_INTERFACE)
        model_drop(n, level, base[0], base[1], base[2]);
    n->content = *content;
    if (content->type == LODE_SVO_INTERFACE)
        return;
    n->content.user = 0;
    memset(n->content.bricks, 0, sizeof(n->content.bricks));
    if (content->type == LODE_SVO_EMPTY)
        n->content.value = 99;
}

static void model_set(unsigned level, const int32_t at[3], const struct lode_svo_content *content)
{
    struct node *path[LODE_SVO_LEVELS_MAX + 1];
    struct node *n = path[levels] = model;
    uint64_t user = model->content.user;
    unsigned l = levels;
    for (; l > level; l--) {
        if (n->children == NULL) {
            uint32_t value = content->type == LODE_SVO_EMPTY ? 99 : content->value;
            if (content->type != LODE_SVO_INTERFACE && n->content.type == content->type &&
                n->content.value == value)
                return;
            model_split(n);
        }
        n = path[l - 1] = &n->children[octant_of(at, l - 1)];
    }
    model_put(n, level, at, content);
    if (level == levels && n->children == NULL) { /* the root is always split */
        model_split(n);
        n->content.user = user;
    }
    if (coalescing && content->type != LODE_SVO_INTERFACE)
        for (l = level + 1; l < levels && alike(path[l]); l++)
            model_merge(path[l]);
}

static uint64_t model_coalesce(struct node *n, unsigned level, const int32_t at[3],
                               const int32_t lo[3], const int32_t hi[3])
{
    uint64_t freed = 0;
    for (int axis = 0; axis < 3; axis++)
        if (at[axis] > hi[axis] || at[axis] + (1 << level) - 1 < lo[axis])
            return 0;
    if (n->children == NULL || level == 0)
        return 0;
    for (unsigned o = 0; o < 8; o++) {
        int32_t corner[3];
        for (int axis = 0; axis < 3; axis++)
            corner[axis] = at[axis] + (int32_t)((o >> axis & 1) << (level - 1));
        freed += model_coalesce(&n->children[o], level - 1, corner, lo, hi);
    }
    if (level < levels && alike(n)) {
        model_merge(n);
        freed++;
    }
    return freed;
}

static void model_count(const struct node *n, unsigned level,
                        uint64_t nodes[3][LODE_SVO_LEVELS_MAX + 1])
{
    nodes[n->content.type][level]++;
    for (int o = 0; o < 8 && n->children != NULL; o++)
        model_count(&n->children[o], level - 1, nodes);
}

static uint64_t model_lines(const struct node *n)
{
    uint64_t lines = n->content.type == LODE_SVO_INTERFACE;
    for (int o = 0; o < 8 && n->children != NULL; o++)
        lines += model_lines(&n->children[o]);
    return lines;
}

/* ---- checks ---- */

static void same_content(const struct lode_svo_content *a, const struct lode_svo_content *b,
                         int whole)
{
    CHECK(a->type == b->type);
    /* The value of an inner node that only an edit below it made is not looked at. */
    CHECK(!whole || (a->value == b->value && a->user == b->user));
    CHECK(!whole || memcmp(a->bricks, b->bricks, sizeof(a->bricks)) == 0);
}

static void check_get(unsigned level, const int32_t at[3])
{
    struct lode_svo_cell cell, again;
    unsigned found;
    const struct node *n = model_find(level, at, &found);
    CHECK(lode_svo_get(svo, level, vec(at), &cell) == 0);
    CHECK(cell.level == found);
    same_content(&cell.content, &n->content, n->children == NULL);
    for (int axis = 0; axis < 3; axis++)
        CHECK(axis_of(cell.at, axis) == low[axis] + ((at[axis] - low[axis]) >> found << found));
    if (cell.content.type != LODE_SVO_INTERFACE) {
        CHECK(cell.node.group == LODE_HANDLE_NULL);
        return;
    }
    CHECK(lode_svo_node_get(svo, cell.node, &again) == 0);
    CHECK(memcmp(&cell, &again, sizeof(cell)) == 0);
    const void *group = lode_pin(cell.node.group);
    const struct lode_svo_line *line = lode_svo_line_in(group, cell.node.octant);
    CHECK(group != NULL && line != NULL && (line->code & 7) == cell.node.octant);
    CHECK(line->user == cell.content.user && line->value == cell.content.value);
    CHECK(lode_unpin(cell.node.group) == 0);
}

struct walking {
    const struct node *stack[8 * LODE_SVO_LEVELS_MAX + 8];
    unsigned stack_level[8 * LODE_SVO_LEVELS_MAX + 8];
    unsigned depth;
};

/* The model in the same order: a node, then its children. */
static int on_walk(void *ctx, const struct lode_svo_cell *cell)
{
    struct walking *w = ctx;
    CHECK(w->depth > 0);
    const struct node *n = w->stack[--w->depth];
    unsigned level = w->stack_level[w->depth];
    CHECK(cell->level == level);
    same_content(&cell->content, &n->content, n->children == NULL);
    for (int o = 7; o >= 0 && n->children != NULL; o--) {
        w->stack[w->depth] = &n->children[o];
        w->stack_level[w->depth++] = level - 1;
    }
    return 0;
}

static void check_all(void)
{
    struct walking w = {.stack = {model}, .stack_level = {levels}, .depth = 1};
    CHECK(lode_svo_walk(svo, NULL, LODE_SVO_WALK_ALL, on_walk, &w) == 0);
    CHECK(w.depth == 0);
    uint64_t nodes[3][LODE_SVO_LEVELS_MAX + 1] = {{0}};
    struct lode_svo_stats s = {.size = sizeof(s)};
    model_count(model, levels, nodes);
    CHECK(lode_svo_stats(svo, &s) == 0);
    CHECK(memcmp(nodes, s.nodes, sizeof(nodes)) == 0);
    uint64_t lines = 0, groups = 0;
    for (unsigned n = 1; n <= 8; n++) {
        groups += s.groups[n];
        lines += n * s.groups[n];
    }
    CHECK(groups == s.groups[0] && lines == model_lines(model));
    CHECK(s.bytes[LODE_SVO_INTERFACE] == lines * 64 && s.bytes[LODE_SVO_EMPTY] == 0);
}

/* ---- operations ---- */

static void take_place(int32_t at[3])
{
    for (int axis = 0; axis < 3; axis++)
        at[axis] = low[axis] + (int32_t)take((unsigned)side);
}

static struct lode_svo_content take_content(void)
{
    static uint64_t fresh;
    struct lode_svo_content c = {.type = take(3), .value = take(3)};
    if (c.type == LODE_SVO_INTERFACE) {
        c.user = ++fresh;
        for (int i = 0; i < LODE_SVO_BRICKS; i++)
            c.bricks[i] = ++fresh;
    }
    return c;
}

static void op_set(void)
{
    int32_t at[3];
    unsigned level = take(4) == 0 ? take(levels + 1) : 0, found;
    struct lode_svo_content content = take_content(), old;
    take_place(at);
    const struct node *n = model_find(level, at, &found);
    struct lode_svo_content was = n->content;
    int inner = n->children != NULL;
    int status = lode_svo_set(svo, level, vec(at), &content, &old);
    if (status == -ENOSPC) {
        CHECK(max_nodes != 0 && model_lines(model) + levels > max_nodes);
        check_get(level, at);
        return;
    }
    CHECK(status == 0);
    same_content(&old, &was, !inner);
    if (level > 0)
        memset(content.bricks, 0, sizeof(content.bricks));
    model_set(level, at, &content);
    CHECK(dropped_sum == dropped_expected);
    CHECK(max_nodes == 0 || model_lines(model) <= max_nodes);
    check_get(0, at);
    check_get(level, at);
}

static void op_split(void)
{
    int32_t at[3];
    unsigned level = 1 + take(levels);
    take_place(at);
    int status = lode_svo_split(svo, level, vec(at));
    CHECK(status == 0 || (status == -ENOSPC && max_nodes != 0));
    if (status != 0)
        return;
    struct node *n = model;
    for (unsigned l = levels; l > level; l--) {
        model_split(n);
        n = &n->children[octant_of(at, l - 1)];
    }
    model_split(n);
}

static void op_coalesce(void)
{
    int32_t lo[3], hi[3];
    size_t freed = 0;
    take_place(lo);
    for (int axis = 0; axis < 3; axis++)
        hi[axis] = lo[axis] + (int32_t)take((unsigned)side);
    int whole = (int)take(2);
    struct lode_brick_box box = {vec(lo), vec(hi)};
    CHECK(lode_svo_coalesce(svo, whole ? NULL : &box, &freed) == 0);
    for (int axis = 0; axis < 3 && whole; axis++) {
        lo[axis] = low[axis];
        hi[axis] = low[axis] + side - 1;
    }
    CHECK(freed == model_coalesce(model, levels, low, lo, hi));
}

/* A made-up world: what a cell is depends on its place alone. */
static struct lode_svo_content world(unsigned seed, unsigned level, const int32_t at[3])
{
    uint32_t hash = seed * 2654435761u + level * 97;
    for (int axis = 0; axis < 3; axis++)
        hash = (hash ^ (uint32_t)at[axis]) * 16777619u;
    hash ^= hash >> 15;
    struct lode_svo_content c = {.type = hash % 3, .value = hash >> 8 & 1};
    if (level > 0 && hash % 5 != 0)
        c.type = LODE_SVO_INTERFACE;
    if (c.type == LODE_SVO_INTERFACE)
        c.user = hash;
    if (c.type == LODE_SVO_INTERFACE && level == 0)
        c.bricks[0] = c.bricks[4] = hash | 1;
    return c;
}

static int from_world(void *ctx, unsigned level, struct lode_ivec3 corner,
                      struct lode_svo_content *ret_content)
{
    const unsigned *seed = ctx;
    int32_t at[3] = {corner.x, corner.y, corner.z};
    CHECK(ret_content->type == 0 && ret_content->user == 0);
    *ret_content = world(*seed, level, at);
    return 0;
}

static void model_build(struct node *n, unsigned seed, unsigned level, const int32_t at[3])
{
    struct lode_svo_content c = world(seed, level, at);
    model_put(n, level, at, &c);
    if (c.type != LODE_SVO_INTERFACE || level == 0)
        return;
    for (unsigned o = 0; o < 8; o++) {
        int32_t corner[3];
        for (int axis = 0; axis < 3; axis++)
            corner[axis] = at[axis] + (int32_t)((o >> axis & 1) << (level - 1));
        model_build(&n->children[o], seed, level - 1, corner);
    }
    if (level < levels && alike(n))
        model_merge(n);
}

static void op_build(void)
{
    int32_t at[3];
    unsigned level = take(levels + 1), seed = take(60000), found;
    take_place(at);
    int status = lode_svo_build(svo, level, vec(at), from_world, &seed);
    CHECK(status == 0 || (status == -ENOSPC && max_nodes != 0));
    if (status != 0)
        return;
    for (int axis = 0; axis < 3; axis++)
        at[axis] = low[axis] + ((at[axis] - low[axis]) >> level << level);
    const struct node *was = model_find(level, at, &found);
    uint64_t leaf_was = was->content.bricks[0];
    /* Built apart, to know whether it is of one kind. */
    struct node built = {.children = NULL};
    uint64_t before = dropped_expected;
    model_build(&built, seed, level, at);
    dropped_expected = before;
    if (built.children == NULL && built.content.type != LODE_SVO_INTERFACE) {
        model_set(level, at, &built.content);
    } else {
        /* All that was there is dropped, also where there is a leaf again. */
        struct lode_svo_content split = {.type = LODE_SVO_INTERFACE};
        struct lode_svo_content empty = {.type = LODE_SVO_EMPTY};
        model_set(level, at, &split);
        struct node *n = model_find(level, at, &found);
        n->content.bricks[0] = level == 0 ? leaf_was : 0;
        model_put(n, level, at, &empty);
        *n = built;
    }
    CHECK(dropped_sum == dropped_expected);
}

static void op_reorder(void)
{
    int status = lode_svo_reorder(svo, take(2) * 1000);
    CHECK(status == 0 || status == 1);
    struct lode_svo_order order;
    CHECK(lode_svo_order(svo, &order) == 0);
    CHECK(order.near_pairs <= order.pairs);
}

/* Nothing that is there may lie between hits, and nothing else in them. */
static void op_ray(void)
{
    struct lode_svo_ray ray;
    struct lode_svo_hit hit = {.t_in = 0};
    double origin[3], direction[3];
    for (int axis = 0; axis < 3; axis++) {
        origin[axis] = low[axis] * 8 + (take(1000) - 300.0) / 400 * side * 8;
        direction[axis] = take(5) == 0 ? 0 : ((int)take(200) - 100) / 64.0;
    }
    double t_max = take(300) + 0.5, last = 0;
    int status = lode_svo_ray_begin(&ray, svo, origin, direction, t_max);
    if (direction[0] == 0 && direction[1] == 0 && direction[2] == 0) {
        CHECK(status == -EINVAL);
        return;
    }
    CHECK(status == 0);
    int more = lode_svo_ray_next(&ray, &hit);
    for (double t = 0; t <= t_max; t += 1.0 / 8) {
        int32_t at[3], inside = 1, near_edge = 0;
        unsigned level;
        for (int axis = 0; axis < 3; axis++) {
            double place = (origin[axis] + t * direction[axis]) / 8;
            at[axis] = (int32_t)place - (place < (int32_t)place);
            near_edge |= place - at[axis] < 1e-6 || place - at[axis] > 1 - 1e-6;
            inside &= at[axis] >= low[axis] && at[axis] < low[axis] + side;
        }
        while (more && hit.t_out < t) {
            CHECK(hit.t_in <= hit.t_out && hit.t_in >= last && hit.t_out <= t_max);
            last = hit.t_out;
            more = lode_svo_ray_next(&ray, &hit);
        }
        if (near_edge)
            continue;
        const struct node *n = inside ? model_find(0, at, &level) : NULL;
        int there = n != NULL && n->content.type != LODE_SVO_EMPTY;
        CHECK(there == (more && hit.t_in <= t));
        if (!there)
            continue;
        CHECK(hit.cell.level == level);
        same_content(&hit.cell.content, &n->content, 1);
        for (int axis = 0; axis < 3; axis++)
            CHECK(axis_of(hit.cell.at, axis) ==
                  low[axis] + ((at[axis] - low[axis]) >> level << level));
    }
}

static void begin(void)
{
    struct lode_svo_opts opts = LODE_SVO_OPTS_INIT;
    levels = 1 + take(4);
    side = 1 << levels;
    coalescing = (int)take(2);
    opts.levels = (uint8_t)levels;
    opts.flags = coalescing ? LODE_SVO_COALESCE : 0;
    opts.empty_value = 99;
    opts.max_nodes = max_nodes = take(4) == 0 ? 20 + take(300) : 0;
    opts.dropped = on_dropped;
    opts.ctx = &svo;
    for (int axis = 0; axis < 3; axis++)
        low[axis] = (int32_t)take(40) - 20 - side / 2;
    opts.centre = (struct lode_ivec3){low[0] + side / 2, low[1] + side / 2, low[2] + side / 2};
    dropped_sum = dropped_expected = 0;
    CHECK(lode_svo_create(&opts, &svo) == 0);
    model = calloc(1, sizeof(*model));
    CHECK(model != NULL);
    model->content.value = 99;
    model_split(model);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    input.at = data;
    input.end = data + bytes;
    begin();
    while (input.at < input.end) {
        unsigned kind = take(64);
        if (kind < 48)
            op_set();
        else if (kind < 52)
            op_split();
        else if (kind < 54)
            op_coalesce();
        else if (kind < 55)
            op_build();
        else if (kind < 58)
            op_reorder();
        else if (kind < 62)
            op_ray();
        else
            check_all();
    }
    check_all();
    lode_svo_destroy(svo);
    uint64_t expected = dropped_expected;
    model_drop(model, levels, 0, 0, 0);
    dropped_expected = expected;
    free(model);
    struct lode_read_stats waiting;
    lode_read_stats(&waiting);
    CHECK(waiting.waiting_blocks == 0 && waiting.parked_blocks == 0 && waiting.readers == 0);
    return 0;
}
