/* SPDX-License-Identifier: MIT */
/*
 * lode-mine-malloc.so: bricks and octree of `lode mine` over malloc, as an engine without pools
 * would keep them. Whatever allocator stands behind malloc is what is measured.
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
#include <dlfcn.h>
#include <err.h>
#include <malloc.h>
#include <stdlib.h>

#include "mineview.h"
#include "verbs.h"

enum { CHILDREN = 8, LEVELS = 16 };

struct line {
    union {
        struct { /* a node */
            struct line *group;
            uint16_t content[CHILDREN]; /* of uniform children */
        };
        struct { /* a brick */
            void *distances;
            uint16_t *contents;
        };
    };
    int32_t at[3];      /* a brick's place */
    uint8_t interfaces; /* a node's children: a bit each */
    uint8_t with_distances, with_contents, inside, tier;
    uint8_t unused;
    uint16_t value; /* a brick's content, if all is one */
    uint8_t spare[16];
};
_Static_assert(sizeof(struct line) == 64, "a cache line");

struct mine_store {
    const struct mine_view *view;
    struct line root; /* a node even if all of it is uniform */
    int32_t at[3];    /* its lowest brick */
    unsigned levels;  /* it is 1 << levels bricks a side */
    uint16_t air;
    int32_t mask[3]; /* sides of the grid, less one; powers of two */
    uintptr_t *grid;
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

/* What the C library's malloc has from the kernel; 0 where another allocator stands before it. */
static uint64_t storage_mapped_bytes(void)
{
    Dl_info owner, teller;
    struct mallinfo2 info;

    if (dladdr((void *)(uintptr_t)malloc, &owner) == 0 ||
        dladdr((void *)(uintptr_t)mallinfo2, &teller) == 0 || owner.dli_fbase != teller.dli_fbase)
        return 0;
    info = mallinfo2();
    return info.arena + info.hblkhd;
}

/* --- The grid --- */

static uintptr_t *slot_of(const struct mine_store *store, const int32_t at[3])
{
    size_t x = (size_t)(at[0] & store->mask[0]), y = (size_t)(at[1] & store->mask[1]);
    size_t z = (size_t)(at[2] & store->mask[2]);
    size_t width = (size_t)store->mask[0] + 1, height = (size_t)store->mask[1] + 1;

    return &store->grid[(z * height + y) * width + x];
}

static void note_uniform(const struct mine_store *store, const int32_t at[3], uint16_t content)
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
                        uint16_t content)
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

static void init_node(struct line *node, uint16_t content)
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
            uint16_t content = node->content[child];

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
static void make_uniform(struct mine_store *store, const int32_t at[3], uint16_t content)
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

/* --- Bricks --- */

/* Bring a brick's payloads up to what `brick` says. */
static void fill_line(const struct mine_store *store, struct line *line,
                      const struct lodei_mine_brick *brick, int opened)
{
    line->with_distances = brick->with_distances;
    line->inside = brick->inside;
    line->tier = brick->tier;
    line->value = brick->content;
    opened |= line->with_contents != brick->with_contents;
    line->with_contents = brick->with_contents;
    if (store->view->config->channels == LODEI_MINE_NODES)
        return;
    if (!brick->with_distances) {
        give_back(store, line->distances);
        line->distances = NULL;
    } else {
        if (line->distances == NULL)
            line->distances = get(store, lodei_mine_payload_bytes(brick->tier));
        (void)lodei_sdf_encode(lodei_mine_bits[brick->tier], LODEI_MINE_SIDE, LODEI_MINE_BAND,
                               brick->distances, line->distances);
    }
    if (!brick->with_contents) {
        give_back(store, line->contents);
        line->contents = NULL;
    } else if (opened) {
        if (line->contents == NULL)
            line->contents = get(store, LODEI_MINE_CONTENTS_BYTES);
        memcpy(line->contents, brick->contents, LODEI_MINE_CONTENTS_BYTES);
    }
}

static void empty_line(const struct mine_store *store, struct line *line)
{
    give_back(store, line->distances);
    give_back(store, line->contents);
}

static void store_put(struct mine_store *store, const int32_t at[3], const struct mine_cell *cell,
                      const struct lodei_mine_brick *brick, int opened)
{
    struct line *line = (struct line *)(uintptr_t)cell->ref;

    if (!lodei_mine_uniform(brick)) {
        fill_line(store, line != NULL ? line : make_line(store, at), brick, opened);
        return;
    }
    if (line != NULL)
        empty_line(store, line);
    make_uniform(store, at, brick->content);
}

static void store_retier(struct mine_store *store, const int32_t at[3],
                         const struct mine_cell *cell, uint8_t tier)
{
    struct line *line = (struct line *)(uintptr_t)cell->ref;
    void *distances = get(store, lodei_mine_payload_bytes(tier));

    (void)at;
    lodei_sdf_recode(lodei_mine_bits[line->tier], LODEI_MINE_BAND, line->distances,
                     lodei_mine_bits[tier], LODEI_MINE_BAND, distances, LODEI_MINE_SIDE);
    give_back(store, line->distances);
    line->distances = distances;
    line->tier = tier;
}

static struct mine_cell cell_of_line(const struct line *line)
{
    return (struct mine_cell){.kind = LODEI_MINE_INTERFACE,
                              .with_distances = line->with_distances,
                              .with_contents = line->with_contents,
                              .inside = line->inside,
                              .tier = line->tier,
                              .content = line->value,
                              .ref = (uintptr_t)line};
}

static struct mine_cell cell_of_content(const struct mine_store *store, uint16_t content)
{
    return (struct mine_cell){.kind =
                                  content == store->air ? LODEI_MINE_EMPTY : LODEI_MINE_HOMOGENEOUS,
                              .inside = store->view->config->world->solid[content],
                              .content = content};
}

static struct mine_cell store_find(const struct mine_store *store, const int32_t at[3])
{
    uintptr_t slot = *slot_of(store, at);

    if (slot & 1)
        return cell_of_content(store, (uint16_t)(slot >> 1));
    return cell_of_line((const struct line *)slot);
}

static void store_distances(const struct mine_store *store, const struct mine_cell *cell,
                            float *ret_distances)
{
    const struct line *line = (const struct line *)(uintptr_t)cell->ref;

    (void)store;
    lodei_sdf_decode(lodei_mine_bits[line->tier], LODEI_MINE_SIDE, LODEI_MINE_BAND, line->distances,
                     ret_distances);
}

static const uint16_t *store_contents(const struct mine_store *store, const struct mine_cell *cell,
                                      uint16_t *room)
{
    (void)store;
    (void)room;
    return ((const struct line *)(uintptr_t)cell->ref)->contents;
}

static uintptr_t store_address(const struct mine_store *store, const struct mine_cell *cell)
{
    const struct line *line = (const struct line *)(uintptr_t)cell->ref;

    (void)store;
    return (uintptr_t)(line->distances != NULL ? line->distances : (void *)line->contents);
}

/* --- Boxes --- */

/* Children of a node while it is worked on, a line each. */
struct children {
    struct line lines[CHILDREN];
    unsigned interfaces;
};

static void take_children(const struct line *node, struct children *ret_children)
{
    const struct line *next = node->group;

    ret_children->interfaces = node->interfaces;
    for (unsigned child = 0; child < CHILDREN; child++)
        if (node->interfaces >> child & 1)
            ret_children->lines[child] = *next++;
}

static void keep_children(const struct mine_store *store, struct line *node, unsigned level,
                          const struct children *children)
{
    unsigned count = count_of(children->interfaces);
    struct line *next;

    if (count == 0) {
        give_back(store, node->group);
        node->group = NULL;
    } else if (count != count_of(node->interfaces)) {
        node->group = resize(store, node->group, count * sizeof(struct line));
    }
    node->interfaces = (uint8_t)children->interfaces;
    next = node->group;
    for (unsigned child = 0; child < CHILDREN; child++)
        if (children->interfaces >> child & 1)
            *next++ = children->lines[child];
    if (level == 0)
        place_lines(store, node->group, count);
}

static void set_uniform(struct line *node, struct children *children, unsigned child,
                        uint16_t content)
{
    children->interfaces &= ~(1u << child);
    node->content[child] = content;
}

static void *copy_of(const struct mine_store *store, const void *from, size_t bytes)
{
    return memcpy(get(store, bytes), from, bytes);
}

static void enter_brick(struct mine_store *store, const int32_t at[3], struct line *node,
                        struct children *children, unsigned child)
{
    struct lodei_mine_arrival arrival = mine_make(store->view, at);
    struct line *line = &children->lines[child];

    if (!arrival.with_distances && !arrival.with_contents) {
        set_uniform(node, children, child, arrival.content);
        note_uniform(store, at, arrival.content);
        return;
    }
    children->interfaces |= 1u << child;
    *line = (struct line){.at = {at[0], at[1], at[2]},
                          .with_distances = arrival.with_distances,
                          .with_contents = arrival.with_contents,
                          .inside = arrival.inside,
                          .tier = arrival.tier,
                          .value = arrival.content};
    if (arrival.distances != NULL)
        line->distances = copy_of(store, arrival.distances, lodei_mine_payload_bytes(arrival.tier));
    if (arrival.contents != NULL)
        line->contents = copy_of(store, arrival.contents, LODEI_MINE_CONTENTS_BYTES);
}

static void leave_brick(struct mine_store *store, const int32_t at[3], struct line *node,
                        struct children *children, unsigned child)
{
    if (children->interfaces >> child & 1)
        empty_line(store, &children->lines[child]);
    set_uniform(node, children, child, store->air);
    note_uniform(store, at, store->air);
}

typedef void brick_visit(struct mine_store *store, const int32_t at[3], struct line *node,
                         struct children *children, unsigned child);

/* Visit the bricks of `box` under `node`, whose lowest brick is `at`; groups are resized once,
 * nodes that have become uniform are given back. */
static inline __attribute__((always_inline)) void
visit_children(struct mine_store *store, struct line *node, unsigned level, const int32_t at[3],
               const struct lodei_mine_box *box, brick_visit *visit,
               void (*descend)(struct mine_store *, struct line *, unsigned, const int32_t[3],
                               const struct lodei_mine_box *))
{
    struct children children;
    int32_t side = 1 << level;

    take_children(node, &children);
    for (unsigned child = 0; child < CHILDREN; child++) {
        struct line *line = &children.lines[child];
        int32_t low[3] = {at[0] + (child & 1 ? side : 0), at[1] + (child & 2 ? side : 0),
                          at[2] + (child & 4 ? side : 0)};

        if (low[0] >= box->high[0] || low[0] + side <= box->low[0] || low[1] >= box->high[1] ||
            low[1] + side <= box->low[1] || low[2] >= box->high[2] || low[2] + side <= box->low[2])
            continue;
        if (level == 0) {
            visit(store, low, node, &children, child);
            continue;
        }
        if (visit == leave_brick && !(children.interfaces >> child & 1) &&
            node->content[child] == store->air)
            continue;
        if (!(children.interfaces >> child & 1))
            init_node(line, node->content[child]);
        descend(store, line, level - 1, low, box);
        children.interfaces |= 1u << child;
        if (collapses(line))
            set_uniform(node, &children, child, line->content[0]);
    }
    keep_children(store, node, level, &children);
}

static void enter_node(struct mine_store *store, struct line *node, unsigned level,
                       const int32_t at[3], const struct lodei_mine_box *box)
{
    visit_children(store, node, level, at, box, enter_brick, enter_node);
}

static void leave_node(struct mine_store *store, struct line *node, unsigned level,
                       const int32_t at[3], const struct lodei_mine_box *box)
{
    visit_children(store, node, level, at, box, leave_brick, leave_node);
}

static void store_enter(struct mine_store *store, const struct lodei_mine_box *box)
{
    enter_node(store, &store->root, store->levels - 1, store->at, box);
}

static void store_leave(struct mine_store *store, const struct lodei_mine_box *box)
{
    leave_node(store, &store->root, store->levels - 1, store->at, box);
}

/* --- The whole --- */

static void store_init(struct mine_store *store, const struct mine_view *view)
{
    size_t slots = 1;

    store->view = view;
    store->air = view->config->world->air;
    store->levels = 1;
    for (int axis = 0; axis < 3; axis++) {
        int32_t side = view->lane.high[axis] - view->lane.low[axis];

        store->at[axis] = view->lane.low[axis];
        while (1 << store->levels < side)
            store->levels++;
        store->mask[axis] = 1;
        while (store->mask[axis] < view->config->window[axis])
            store->mask[axis] *= 2;
        slots *= (size_t)store->mask[axis]--;
    }
    init_node(&store->root, store->air);
    store->grid = checked(malloc(slots * sizeof(*store->grid)));
    for (size_t i = 0; i < slots; i++)
        store->grid[i] = (uintptr_t)store->air << 1 | 1;
}

static void store_finish(struct mine_store *store)
{
    store_leave(store, &store->view->lane);
    free(store->grid);
}

static void store_hint(struct mine_store *store, const struct lodei_mine_edit *edit)
{
    (void)store;
    (void)edit;
}

static struct mine_cell store_tree_find(const struct mine_store *store, const int32_t at[3])
{
    const struct line *node = &store->root;

    for (unsigned level = store->levels; level-- > 0;) {
        unsigned child = child_of(store, at, level);

        if (!(node->interfaces >> child & 1))
            return cell_of_content(store, node->content[child]);
        node = node->group + before(node->interfaces, child);
    }
    return cell_of_line(node);
}

static void count_node(const struct mine_store *store, const struct line *node, unsigned level,
                       struct lodei_mine_result *result)
{
    const struct line *line = node->group;

    result->memory_blocks += node->group != NULL;
    for (unsigned child = 0; child < CHILDREN; child++) {
        if (!(node->interfaces >> child & 1)) {
            result->nodes[node->content[child] == store->air ? LODEI_MINE_EMPTY
                                                             : LODEI_MINE_HOMOGENEOUS]++;
            continue;
        }
        result->nodes[LODEI_MINE_INTERFACE]++;
        result->node_bytes += sizeof(*line);
        if (level > 0)
            count_node(store, line, level - 1, result);
        else
            result->memory_blocks += (line->distances != NULL) + (line->contents != NULL);
        line++;
    }
}

static void store_count(const struct mine_store *store, struct lodei_mine_result *result)
{
    size_t slots = 1;

    count_node(store, &store->root, store->levels - 1, result);
    for (int axis = 0; axis < 3; axis++)
        slots *= (size_t)store->mask[axis] + 1;
    result->index_bytes += slots * sizeof(*store->grid) + sizeof(store->root);
    result->memory_blocks++;
}

#include "mine_dig.h"
