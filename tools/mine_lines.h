/* SPDX-License-Identifier: MIT */
/*
 * The octree and the grid of mine_malloc.c, the only file that includes this one.
 *
 * A line is one node, or the description of one brick: 64 bytes, as in Lode's own octree, so that
 * both hold the same nodes. A node's children are uniform (their content stands in the node; those
 * of air are the empty ones) or interfaces; the interfaces among them are one array of 1-8 lines,
 * in the order of their numbers x + 2y + 4z: child c is line number
 * popcount(interfaces & ((1 << c) - 1)).
 *
 *     node        interfaces 0b00100101           group, by realloc()
 *     +--------------------------------+     +----+----+----+
 *     | group, content[8], masks       | --> | c0 | c2 | c5 |     lines of nodes, or of bricks:
 *     +--------------------------------+     +----+----+----+     payloads by malloc() of exactly
 *                                                                 what the tier takes
 *
 * Lines move when their group changes. Nothing points at a node but its parent; the lines of bricks
 * are also known to the window's grid, whose slots wrap around as the window moves: a line's
 * address, or the content of a uniform brick, shifted left, with the lowest bit set.
 *
 * One thread at a time works on a store. Out of memory ends the program.
 */
#ifndef LODEI_MINE_LINES_H
#define LODEI_MINE_LINES_H

#include <err.h>
#include <stdlib.h>
#include <string.h>

#include "mineview.h"
#include "verbs.h"

enum { CHILDREN = 8, LEVELS = 16 };

struct line {
    union {
        struct { /* a node */
            struct line *group;
            uint8_t content[CHILDREN]; /* of uniform children */
        };
        struct { /* a brick */
            void *distances;
            uint8_t *contents;
        };
    };
    int32_t at[3];      /* a brick's place */
    uint8_t interfaces; /* a node's children: a bit each */
    uint8_t with_distances, with_contents, inside, tier;
    uint8_t value; /* a brick's content, if all is one */
    uint8_t spare[30];
};
_Static_assert(sizeof(struct line) == 64, "a cache line");

struct mine_store {
    const struct mine_view *view;
    struct line root; /* a node even if all of it is uniform */
    int32_t at[3];    /* its lowest brick */
    unsigned levels;  /* it is 1 << levels bricks a side */
    uint8_t air;
    int32_t mask[3]; /* sides of the grid, less one; powers of two */
    uintptr_t *grid;
    void **retired; /* payloads to be freed */
    size_t retired_count, retired_room;
};

/* --- Memory --- */

static void *checked(void *memory)
{
    if (memory == NULL)
        errx(LODEI_EXIT_BAD_INPUT, "out of memory");
    return memory;
}

static void *get(const struct mine_store *store, size_t bytes)
{
    void *memory;

    LODEI_MINE_MEMORY(store->view->meter, memory = malloc(bytes));
    return checked(memory);
}

static void *resize(const struct mine_store *store, void *memory, size_t bytes)
{
    LODEI_MINE_MEMORY(store->view->meter, memory = realloc(memory, bytes));
    return checked(memory);
}

static void give_back(const struct mine_store *store, void *memory)
{
    if (memory != NULL)
        LODEI_MINE_MEMORY(store->view->meter, free(memory));
}

/* --- The grid --- */

static uintptr_t *slot_of(const struct mine_store *store, const int32_t at[3])
{
    size_t x = (size_t)(at[0] & store->mask[0]), y = (size_t)(at[1] & store->mask[1]);
    size_t z = (size_t)(at[2] & store->mask[2]);
    size_t width = (size_t)store->mask[0] + 1, height = (size_t)store->mask[1] + 1;

    return &store->grid[(z * height + y) * width + x];
}

static void note_uniform(const struct mine_store *store, const int32_t at[3], uint8_t content)
{
    *slot_of(store, at) = (uintptr_t)content << 1 | 1;
}

/* --- Groups --- */

static unsigned count_of(unsigned interfaces)
{
    return (unsigned)__builtin_popcount(interfaces);
}

static unsigned before(unsigned interfaces, unsigned child)
{
    return count_of(interfaces & ((1u << child) - 1));
}

/* A group of bricks has a new address, or its lines have new places in it. */
static void place_lines(const struct mine_store *store, struct line *group, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        *slot_of(store, group[i].at) = (uintptr_t)&group[i];
}

/* Give `child`, which was uniform, a line; what stands in it is undefined. */
static struct line *insert_line(const struct mine_store *store, struct line *node, unsigned child)
{
    unsigned count = count_of(node->interfaces), at = before(node->interfaces, child);

    node->group = resize(store, node->group, (count + 1) * sizeof(struct line));
    memmove(node->group + at + 1, node->group + at, (count - at) * sizeof(struct line));
    node->interfaces |= (uint8_t)(1u << child);
    return node->group + at;
}

/* Make `child`, which had a line, uniform. */
static void remove_line(const struct mine_store *store, struct line *node, unsigned child,
                        uint8_t content)
{
    unsigned count = count_of(node->interfaces) - 1, at = before(node->interfaces, child);

    memmove(node->group + at, node->group + at + 1, (count - at) * sizeof(struct line));
    if (count > 0) {
        node->group = resize(store, node->group, count * sizeof(struct line));
    } else {
        give_back(store, node->group);
        node->group = NULL;
    }
    node->interfaces &= (uint8_t) ~(1u << child);
    node->content[child] = content;
}

/* --- Nodes --- */

static void init_node(struct line *node, uint8_t content)
{
    memset(node, 0, sizeof(*node));
    for (unsigned child = 0; child < CHILDREN; child++)
        node->content[child] = content;
}

/* All children are uniform, and alike. */
static int collapses(const struct line *node)
{
    if (node->interfaces != 0)
        return 0;
    for (unsigned child = 1; child < CHILDREN; child++)
        if (node->content[child] != node->content[0])
            return 0;
    return 1;
}

/* Which child of a node at `level`, whose children are 1 << level bricks a side, `at` lies in. */
static unsigned child_of(const struct mine_store *store, const int32_t at[3], unsigned level)
{
    unsigned child = 0;

    for (unsigned axis = 0; axis < 3; axis++)
        child |= ((unsigned)(at[axis] - store->at[axis]) >> level & 1) << axis;
    return child;
}

/* The nodes around `at`, path[level] for each level, made where they do not exist. */
static void open_path(struct mine_store *store, const int32_t at[3], struct line *path[LEVELS])
{
    struct line *node = &store->root;

    for (unsigned level = store->levels - 1; level > 0; level--) {
        unsigned child = child_of(store, at, level);

        path[level] = node;
        if (node->interfaces >> child & 1) {
            node = node->group + before(node->interfaces, child);
        } else {
            uint8_t content = node->content[child];

            node = insert_line(store, node, child);
            init_node(node, content);
        }
    }
    path[0] = node;
}

/* The brick at `at`, which was uniform, gets a line. */
static struct line *make_line(struct mine_store *store, const int32_t at[3])
{
    struct line *path[LEVELS], *line;

    open_path(store, at, path);
    line = insert_line(store, path[0], child_of(store, at, 0));
    memset(line, 0, sizeof(*line));
    memcpy(line->at, at, sizeof(line->at));
    place_lines(store, path[0]->group, count_of(path[0]->interfaces));
    return line;
}

/* The brick at `at` becomes uniform, and with it every node that then is. */
static void make_uniform(struct mine_store *store, const int32_t at[3], uint8_t content)
{
    struct line *path[LEVELS];
    unsigned child = child_of(store, at, 0);

    open_path(store, at, path);
    if (path[0]->interfaces >> child & 1) {
        remove_line(store, path[0], child, content);
        place_lines(store, path[0]->group, count_of(path[0]->interfaces));
    }
    path[0]->content[child] = content;
    note_uniform(store, at, content);
    for (unsigned level = 1; level < store->levels && collapses(path[level - 1]); level++)
        remove_line(store, path[level], child_of(store, at, level), content);
}

#endif
