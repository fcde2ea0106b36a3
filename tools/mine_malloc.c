/* SPDX-License-Identifier: MIT */
/*
 * lode-mine-malloc.so: bricks and octree of `lode mine` over malloc, as an engine without pools
 * would keep them. Whatever allocator stands behind malloc is what is measured.
 *
 * Nothing is written in place, so that meshers and physics that read a brick while it is edited
 * have one whole version of it, as with Lode's pools: a change makes a new payload, and the old one
 * is freed when the edit is over (store_settle()). lode-mine-malloc-in-place.so, the same with
 * IN_PLACE 1, is for a program that has no such readers: it writes into the payload it has.
 *
 * mine_lines.h has the octree and the grid. Payloads are malloc()ed in exactly the size that their
 * tier takes.
 *
 * One thread at a time works on a store. Out of memory ends the program.
 */
#include <dlfcn.h>
#include <malloc.h>

#include "mine_lines.h"

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

/* --- Bricks --- */

/* Free a payload as soon as nobody can read it any more. */
static void retire(struct mine_store *store, void *payload)
{
    if (payload == NULL)
        return;
    if (IN_PLACE) {
        give_back(store, payload);
        return;
    }
    if (store->retired_count == store->retired_room) {
        store->retired_room = store->retired_room > 0 ? 2 * store->retired_room : 64;
        store->retired =
            checked(realloc(store->retired, store->retired_room * sizeof(*store->retired)));
    }
    store->retired[store->retired_count++] = payload;
}

static void store_settle(struct mine_store *store)
{
    for (size_t i = 0; i < store->retired_count; i++)
        give_back(store, store->retired[i]);
    store->retired_count = 0;
}

static void *copy_of(const struct mine_store *store, const void *from, size_t bytes)
{
    return memcpy(get(store, bytes), from, bytes);
}

static void put_distances(struct mine_store *store, struct line *line,
                          const struct lodei_mine_brick *brick)
{
    void *old = line->distances, *payload = NULL;

    if (brick->with_distances) {
        int in_place = IN_PLACE && old != NULL && line->tier == brick->tier;

        payload = in_place ? old : get(store, lodei_mine_payload_bytes(brick->tier));
        (void)lodei_sdf_encode(lodei_mine_bits[brick->tier], LODEI_MINE_SIDE, LODEI_MINE_BAND,
                               brick->distances, payload);
    }
    if (payload == old)
        return;
    __atomic_store_n(&line->distances, payload, __ATOMIC_RELEASE); /* pairs with readers' loads */
    retire(store, old);
}

static void put_contents(struct mine_store *store, struct line *line,
                         const struct lodei_mine_brick *brick)
{
    uint8_t *old = line->contents, *payload = NULL;

    if (brick->with_contents && IN_PLACE && old != NULL) {
        memcpy(old, brick->contents, LODEI_MINE_CONTENTS_BYTES);
        return;
    }
    if (brick->with_contents)
        payload = copy_of(store, brick->contents, LODEI_MINE_CONTENTS_BYTES);
    __atomic_store_n(&line->contents, payload, __ATOMIC_RELEASE); /* pairs with readers' loads */
    retire(store, old);
}

/* Bring a brick's line and payloads up to what `brick` says. */
static void put_line(struct mine_store *store, struct line *line,
                     const struct lodei_mine_brick *brick, int opened)
{
    put_distances(store, line, brick);
    if (opened || line->with_contents != brick->with_contents)
        put_contents(store, line, brick);
    line->with_distances = brick->with_distances;
    line->with_contents = brick->with_contents;
    line->inside = brick->inside;
    line->tier = brick->tier;
    line->value = brick->content;
}

static void empty_line(struct mine_store *store, struct line *line)
{
    retire(store, line->distances);
    retire(store, line->contents);
}

static void store_put(struct mine_store *store, const int32_t at[3], const struct mine_cell *cell,
                      const struct lodei_mine_brick *brick, int opened)
{
    struct line *line = (struct line *)(uintptr_t)cell->ref;

    if (!lodei_mine_uniform(brick)) {
        put_line(store, line != NULL ? line : make_line(store, at), brick, opened);
        return;
    }
    if (line != NULL)
        empty_line(store, line);
    make_uniform(store, at, brick->content);
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

static struct mine_cell cell_of_content(const struct mine_store *store, uint8_t content)
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
        return cell_of_content(store, (uint8_t)(slot >> 1));
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

static const uint8_t *store_contents(const struct mine_store *store, const struct mine_cell *cell,
                                     uint8_t *room)
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
                        uint8_t content)
{
    children->interfaces &= ~(1u << child);
    node->content[child] = content;
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
    store->retired = NULL;
    store->retired_count = store->retired_room = 0;
    store->grid = checked(malloc(slots * sizeof(*store->grid)));
    for (size_t i = 0; i < slots; i++)
        store->grid[i] = (uintptr_t)store->air << 1 | 1;
}

static void store_finish(struct mine_store *store)
{
    store_leave(store, &store->view->lane);
    store_settle(store);
    free(store->retired);
    free(store->grid);
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
