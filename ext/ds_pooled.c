/* SPDX-License-Identifier: MIT */
/*
 * The slow half of lode/ds_pooled.h: blocks of one size as a radix tree.
 *
 *     levels = 2, fan = 4:      root                      path of block 6 = 1*4 + 2:
 *                             [ * * . . ]                 root[1][2]
 *                           /        \
 *               [ * * * * ]            [ * * * . ]        tables, blocks of the pool
 *                 0 1 2 3                4 5 6            blocks of items
 *
 * A tree of `levels` holds fan^levels blocks. A block to be added may need tables: one on top when
 * the tree is full, and one at each level where it is the first below. They are all taken before
 * any is written to, so that a pool that runs dry leaves the vector, and itself, as they were.
 *
 * Owns nothing but what a caller's vector points to. No locks.
 */
#include "lode/ds_pooled.h"

#include "base/bits.h"

/* With a fan of 2, the least there is, this many levels are all of 2^63 blocks. */
#define LEVELS_MAX 63

static void *take_block(struct lodei_pooled *v, const struct lodei_pooled_shape *shape)
{
    return lodei_ds_alloc(v->allocator, shape->block_bytes, shape->align);
}

static void give_block(struct lodei_pooled *v, void *block, const struct lodei_pooled_shape *shape)
{
    lodei_ds_free(v->allocator, block, shape->block_bytes, shape->align);
}

/* What a tree of `levels` holds; SIZE_MAX stands for more than can be. */
static size_t blocks_below(uint32_t levels, uint32_t fan_log2)
{
    return levels * fan_log2 < 63 ? (size_t)1 << levels * fan_log2 : SIZE_MAX;
}

static void set_capacity(struct lodei_pooled *v, const struct lodei_pooled_shape *shape)
{
    v->capacity = v->block_count * shape->items;
    if (v->max_items != 0)
        v->capacity = lodei_min(v->capacity, v->max_items);
}

int lodei_pooled_init(struct lodei_pooled *v, size_t max_items,
                      const struct lode_allocator *allocator,
                      const struct lodei_pooled_shape *shape)
{
    if (allocator != NULL && (allocator->traits & LODE_TRAIT_FIXED) != 0 &&
        lode_allocator_max_bytes(allocator) < shape->block_bytes)
        return -EINVAL;
    *v = (struct lodei_pooled){.max_items = max_items, .allocator = allocator};
    return 0;
}

/* Hang `block` and, from `tables`, what is missing on its path, as block number `number`. */
static void hang(struct lodei_pooled *v, size_t number, void *block, void **tables,
                 uint32_t fan_log2)
{
    if (number == 0) {
        v->root = block;
        return;
    }
    if (number == blocks_below(v->levels, fan_log2)) {
        void **top = *tables++;
        top[0] = v->root;
        v->root = top;
        v->levels++;
    }
    void **node = v->root;
    for (uint32_t level = v->levels - 1; level > 0; level--) {
        void **child = &node[number >> level * fan_log2 & (((size_t)1 << fan_log2) - 1)];
        if ((number & (blocks_below(level, fan_log2) - 1)) == 0)
            *child = *tables++; /* the first block below it */
        node = *child;
    }
    node[number & (((size_t)1 << fan_log2) - 1)] = block;
}

static int add_block(struct lodei_pooled *v, const struct lodei_pooled_shape *shape)
{
    void *tables[LEVELS_MAX + 1];
    size_t number = v->block_count;
    uint32_t wanted = 0, have = 0, levels = v->levels;
    if (number != 0 && number == blocks_below(levels, shape->fan_log2)) {
        wanted++;
        levels++;
    }
    for (uint32_t level = 1; number != 0 && level < levels; level++)
        wanted += (number & (blocks_below(level, shape->fan_log2) - 1)) == 0;
    void *block = take_block(v, shape);
    while (block != NULL && have < wanted && (tables[have] = take_block(v, shape)) != NULL)
        have++;
    if (block == NULL || have < wanted) {
        while (have > 0)
            give_block(v, tables[--have], shape);
        give_block(v, block, shape);
        return -ENOMEM;
    }
    hang(v, number, block, tables, shape->fan_log2);
    v->block_count++;
    return 0;
}

/* Take the last block off, and the tables that hold nothing then. */
static void drop_block(struct lodei_pooled *v, const struct lodei_pooled_shape *shape)
{
    size_t number = --v->block_count;
    give_block(v, lodei_pooled_block(v, number, shape->fan_log2), shape);
    if (number == 0) {
        v->root = NULL;
        return;
    }
    for (uint32_t level = 1; level < v->levels; level++) {
        if ((number & (blocks_below(level, shape->fan_log2) - 1)) != 0)
            break;
        void **node = v->root;
        for (uint32_t above = v->levels - 1; above > level; above--)
            node = node[number >> above * shape->fan_log2 & (((size_t)1 << shape->fan_log2) - 1)];
        give_block(v,
                   node[number >> level * shape->fan_log2 & (((size_t)1 << shape->fan_log2) - 1)],
                   shape);
    }
    if (number == blocks_below(v->levels - 1, shape->fan_log2)) {
        void **top = v->root;
        v->root = top[0];
        v->levels--;
        give_block(v, top, shape);
    }
}

void lodei_pooled_shrink(struct lodei_pooled *v, size_t keep,
                         const struct lodei_pooled_shape *shape)
{
    while (v->block_count > keep)
        drop_block(v, shape);
    set_capacity(v, shape);
}

int lodei_pooled_grow(struct lodei_pooled *v, size_t need, const struct lodei_pooled_shape *shape)
{
    size_t before = v->block_count;
    if (v->max_items != 0 && need > v->max_items)
        return -ENOSPC;
    if (need > PTRDIFF_MAX - shape->items)
        return -ENOMEM;
    size_t blocks = (need + shape->items - 1) / shape->items;
    /* before they are taken one by one */
    if (blocks > PTRDIFF_MAX / shape->block_bytes)
        return -ENOMEM;
    while (v->block_count < blocks) {
        if (add_block(v, shape) != 0) {
            lodei_pooled_shrink(v, before, shape);
            return -ENOMEM;
        }
    }
    set_capacity(v, shape);
    return 0;
}
