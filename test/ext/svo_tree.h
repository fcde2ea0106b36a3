/* SPDX-License-Identifier: MIT */
/* What the tests of the octree have in common: trees, contents, and a digest of all there is. */
#ifndef SVO_TREE_H
#define SVO_TREE_H

#include <criterion/criterion.h>

#include "lode/svo.h"

static inline struct lode_svo *make(unsigned levels, unsigned flags)
{
    struct lode_svo_opts opts = LODE_SVO_OPTS_INIT;
    struct lode_svo *svo = NULL;
    opts.levels = (uint8_t)levels;
    opts.flags = (uint8_t)flags;
    opts.empty_value = 77;
    cr_assert_eq(lode_svo_create(&opts, &svo), 0);
    return svo;
}

static inline struct lode_ivec3 place(int32_t x, int32_t y, int32_t z)
{
    return (struct lode_ivec3){x, y, z};
}

static const struct lode_svo_content rock = {.type = LODE_SVO_HOMOGENEOUS, .value = 5};
static const struct lode_svo_content sand = {.type = LODE_SVO_HOMOGENEOUS, .value = 6};
static const struct lode_svo_content air = {.type = LODE_SVO_EMPTY};
static const struct lode_svo_content split = {.type = LODE_SVO_INTERFACE, .value = 3, .user = 9};

static inline struct lode_svo_content brick(uint64_t handle)
{
    return (struct lode_svo_content){.type = LODE_SVO_INTERFACE,
                                     .value = (uint32_t)handle,
                                     .user = handle << 8,
                                     .bricks = {handle, handle + 1, 0, 0, handle + 4}};
}

static inline struct lode_svo_cell get(struct lode_svo *svo, unsigned level, struct lode_ivec3 at)
{
    struct lode_svo_cell cell;
    cr_assert_eq(lode_svo_get(svo, level, at, &cell), 0);
    return cell;
}

static inline struct lode_svo_stats stats(struct lode_svo *svo)
{
    struct lode_svo_stats s = {.size = sizeof(s)};
    cr_assert_eq(lode_svo_stats(svo, &s), 0);
    return s;
}

static inline uint64_t lines(struct lode_svo *svo)
{
    return stats(svo).bytes[LODE_SVO_INTERFACE] / 64;
}

static inline void set(struct lode_svo *svo, unsigned level, struct lode_ivec3 at,
                       const struct lode_svo_content *content)
{
    cr_assert_eq(lode_svo_set(svo, level, at, content, NULL), 0);
}

/* A sum of all there is, in order. */
static inline int add_cell(void *ctx, const struct lode_svo_cell *cell)
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

static inline uint64_t digest(struct lode_svo *svo)
{
    uint64_t sum = 14695981039346656037u;
    cr_assert_eq(lode_svo_walk(svo, NULL, LODE_SVO_WALK_ALL, add_cell, &sum), 0);
    return sum;
}

#endif
