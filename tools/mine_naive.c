/* SPDX-License-Identifier: MIT */
/*
 * lode-mine-naive-node.so and lode-mine-naive-voxel.so: the world of `lode mine` in the octree of
 * the textbooks, one malloc() for each child of a node, whatever it is. For its size only: nothing
 * is dug in it.
 *
 *     node, 64 bytes                       homogeneous or empty: 64 bytes
 *     +----------------------------+      +--------------------------+
 *     | child[8]: pointers, tagged | -->  | content                  |
 *     +----------------------------+      +--------------------------+
 *              |                          interface, a brick: 64 bytes
 *              |                          +--------------------------+
 *              +----------------------->  | distances, contents, ... |
 *                                         +--------------------------+
 *
 * The lowest bit of a child's pointer tells a node from what has no children. LEAF_SIDE, in voxels,
 * is what the tree goes down to where contents differ: 8 for the bricks that the other storages
 * have too, with the same payloads, or 1, without any payload.
 */
#include <err.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mineview.h"
#include "verbs.h"

enum { CHILDREN = 8 };

struct node {
    union {
        uintptr_t child[CHILDREN];
        struct {
            void *distances;
            uint8_t *contents;
            uint8_t content;
            uint8_t tier;
        };
    };
};
_Static_assert(sizeof(struct node) == 64, "as large as the nodes it is compared with");

struct forest {
    const struct lodei_mine_config *config;
    struct lodei_mine_result *result;
    struct lodei_mine_box lane;
    struct lodei_mine_meter *meter;
    struct lodei_mine_brick room;
    uintptr_t root;
};

static void *get(struct forest *forest, size_t bytes)
{
    void *memory;

    LODEI_MINE_MEMORY(forest->meter, memory = malloc(bytes));
    if (memory == NULL)
        errx(LODEI_EXIT_BAD_INPUT, "out of memory");
    forest->result->memory_blocks++;
    return memory;
}

static struct node *get_node(struct forest *forest)
{
    forest->result->node_bytes += sizeof(struct node);
    return get(forest, sizeof(struct node));
}

static uintptr_t get_uniform(struct forest *forest, uint8_t content)
{
    struct node *node = get_node(forest);

    forest->result->nodes[content == forest->config->world->air ? LODEI_MINE_EMPTY
                                                                : LODEI_MINE_HOMOGENEOUS]++;
    memset(node, 0, sizeof(*node));
    node->content = content;
    return (uintptr_t)node;
}

/* --- Bricks --- */

static uintptr_t get_brick(struct forest *forest, const struct lodei_mine_arrival *arrival)
{
    struct lodei_mine_result *result = forest->result;
    struct node *node = get_node(forest);
    size_t bytes = lodei_mine_payload_bytes(arrival->tier);

    memset(node, 0, sizeof(*node));
    result->nodes[LODEI_MINE_INTERFACE]++;
    node->content = arrival->content;
    node->tier = arrival->tier;
    if (arrival->distances != NULL) {
        node->distances = memcpy(get(forest, bytes), arrival->distances, bytes);
        result->distances_bytes += bytes;
    }
    if (arrival->contents != NULL) {
        node->contents = memcpy(get(forest, LODEI_MINE_CONTENTS_BYTES), arrival->contents,
                                LODEI_MINE_CONTENTS_BYTES);
        result->contents_bytes += LODEI_MINE_CONTENTS_BYTES;
    }
    return (uintptr_t)node;
}

/* --- Voxels --- */

/* The voxel `corner` and those up to `side` away from it are all alike. */
static int alike(const uint8_t *contents, unsigned corner, unsigned side)
{
    for (unsigned z = 0; z < side; z++)
        for (unsigned y = 0; y < side; y++)
            for (unsigned x = 0; x < side; x++)
                if (contents[corner + (z * LODEI_MINE_SIDE + y) * LODEI_MINE_SIDE + x] !=
                    contents[corner])
                    return 0;
    return 1;
}

static uintptr_t get_voxels(struct forest *forest, const uint8_t *contents, unsigned corner,
                            unsigned side)
{
    struct node *node;

    if (alike(contents, corner, side))
        return get_uniform(forest, contents[corner]);
    node = get_node(forest);
    forest->result->nodes[LODEI_MINE_INTERFACE]++;
    side /= 2;
    for (unsigned child = 0; child < CHILDREN; child++) {
        unsigned at = (child & 1) + (child >> 1 & 1) * LODEI_MINE_SIDE +
                      (child >> 2) * LODEI_MINE_SIDE * LODEI_MINE_SIDE;

        node->child[child] = get_voxels(forest, contents, corner + at * side, side);
    }
    return (uintptr_t)node | 1;
}

/* Without a channel for contents, what is solid is told by the sign of the distance. */
static uintptr_t get_signs(struct forest *forest, const struct lodei_mine_arrival *arrival)
{
    const struct lodei_mine_world *world = forest->config->world;
    const uint8_t *payload = arrival->distances;
    unsigned bits = lodei_mine_bits[arrival->tier];
    uint8_t contents[LODEI_MINE_VOXELS];

    for (unsigned i = 0; i < LODEI_MINE_VOXELS; i++) {
        int solid = lodei_sdf_code_at(bits, payload, i) < 1u << (bits - 1);

        contents[i] = solid ? world->rock : world->air;
    }
    return get_voxels(forest, contents, 0, LODEI_MINE_SIDE);
}

static struct lodei_mine_arrival arrive(struct forest *forest, const int32_t at[3])
{
    const struct lodei_mine_config *config = forest->config;
    enum lodei_mine_channels channels = config->channels;

    if (!mine_inside(&forest->lane, at))
        return (struct lodei_mine_arrival){.content = config->world->air};
    /* voxels are wanted where they are not stored as such, too */
    if (LEAF_SIDE == 1 && channels == LODEI_MINE_NODES)
        channels = LODEI_MINE_BOTH;
    return lodei_mine_arrive(config->world, channels, at, config->tier, &forest->room);
}

static uintptr_t get_place(struct forest *forest, const int32_t at[3])
{
    struct lodei_mine_arrival arrival = arrive(forest, at);

    if (!arrival.with_distances && !arrival.with_contents)
        return get_uniform(forest, arrival.content);
    forest->result->interface_bricks++;
    if (arrival.with_distances)
        forest->result->tier_bricks[arrival.tier]++;
    forest->result->contents_bricks += arrival.with_contents;
    if (LEAF_SIDE == LODEI_MINE_SIDE)
        return get_brick(forest, &arrival);
    if (arrival.contents != NULL)
        return get_voxels(forest, arrival.contents, 0, LODEI_MINE_SIDE);
    if (forest->config->channels == LODEI_MINE_DISTANCES)
        return get_signs(forest, &arrival);
    return get_uniform(forest, arrival.content);
}

/* --- The tree above the bricks --- */

/* Are all bricks up to `side` away from `low` uniform and alike? */
static int uniform(struct forest *forest, const int32_t low[3], int32_t side, uint8_t *ret_content)
{
    int32_t at[3];

    *ret_content = arrive(forest, low).content;
    for (at[2] = low[2]; at[2] < low[2] + side; at[2]++)
        for (at[1] = low[1]; at[1] < low[1] + side; at[1]++)
            for (at[0] = low[0]; at[0] < low[0] + side; at[0]++) {
                struct lodei_mine_arrival arrival = arrive(forest, at);

                if (arrival.with_distances || arrival.with_contents ||
                    arrival.content != *ret_content)
                    return 0;
            }
    return 1;
}

static uintptr_t get_tree(struct forest *forest, const int32_t low[3], int32_t side)
{
    struct node *node;
    uint8_t content;

    if (side == 1)
        return get_place(forest, low);
    if (uniform(forest, low, side, &content))
        return get_uniform(forest, content);
    node = get_node(forest);
    forest->result->nodes[LODEI_MINE_INTERFACE]++;
    side /= 2;
    for (unsigned child = 0; child < CHILDREN; child++) {
        int32_t at[3] = {low[0] + (child & 1 ? side : 0), low[1] + (child & 2 ? side : 0),
                         low[2] + (child & 4 ? side : 0)};

        node->child[child] = get_tree(forest, at, side);
    }
    return (uintptr_t)node | 1;
}

static void give_back(uintptr_t tree)
{
    struct node *node = (struct node *)(tree & ~(uintptr_t)1);

    if (tree & 1) {
        for (unsigned child = 0; child < CHILDREN; child++)
            give_back(node->child[child]);
    } else {
        free(node->distances);
        free(node->contents);
    }
    free(node);
}

/* --- What has become of it --- */

/* The contents of a tree of `side` voxels, as part of a brick's. */
static void spread(uintptr_t tree, unsigned side, uint8_t *ret_contents)
{
    const struct node *node = (const struct node *)(tree & ~(uintptr_t)1);

    if (tree & 1) {
        side /= 2;
        for (unsigned child = 0; child < CHILDREN; child++)
            spread(node->child[child], side,
                   ret_contents + ((child & 1) + (child >> 1 & 1) * LODEI_MINE_SIDE +
                                   (child >> 2) * LODEI_MINE_SIDE * LODEI_MINE_SIDE) *
                                      side);
        return;
    }
    for (unsigned z = 0; z < side; z++)
        for (unsigned y = 0; y < side; y++)
            for (unsigned x = 0; x < side; x++)
                ret_contents[(z * LODEI_MINE_SIDE + y) * LODEI_MINE_SIDE + x] = node->content;
    if (node->contents != NULL)
        memcpy(ret_contents, node->contents, LODEI_MINE_CONTENTS_BYTES);
}

static void hash_place(const struct forest *forest, const int32_t at[3], int32_t side,
                       uint64_t *hash)
{
    uint8_t contents[LODEI_MINE_VOXELS];
    uintptr_t tree = forest->root;

    while (side > 1 && tree & 1) {
        unsigned child = 0;

        side /= 2;
        for (unsigned axis = 0; axis < 3; axis++)
            child |= (at[axis] - forest->lane.low[axis]) & side ? 1u << axis : 0;
        tree = ((const struct node *)(tree & ~(uintptr_t)1))->child[child];
    }
    spread(tree, LODEI_MINE_SIDE, contents);
    lodei_mine_hash(hash, contents, sizeof(contents));
}

static void hash_lane(const struct forest *forest, int32_t side, uint64_t *hash)
{
    const struct lodei_mine_box *lane = &forest->lane;
    int32_t at[3];

    for (at[2] = lane->low[2]; at[2] < lane->high[2]; at[2]++)
        for (at[1] = lane->low[1]; at[1] < lane->high[1]; at[1]++)
            for (at[0] = lane->low[0]; at[0] < lane->high[0]; at[0]++)
                hash_place(forest, at, side, hash);
}

LODEI_MINE_RUN(const struct lodei_mine_config *config, struct lodei_mine_result *result)
{
    static struct forest forests[LODEI_MINE_LANES];
    int32_t sides[LODEI_MINE_LANES];
    uint64_t start;

    (void)lodei_mine_tick_ns();
    result->resident_start = lodei_mine_resident_bytes();
    start = lodei_mine_ticks();
    for (unsigned i = 0; i < LODEI_MINE_LANES; i++) {
        struct forest *forest = &forests[i];

        if (config->lanes[i].edit_count > 0)
            return -ENOTSUP;
        forest->config = config;
        forest->result = result;
        forest->lane = lodei_mine_lane_box(config->world->sides, i);
        forest->meter = &result->meters[i];
        lodei_mine_meter_init(forest->meter);
        sides[i] = 1;
        for (int axis = 0; axis < 3; axis++)
            while (sides[i] < forest->lane.high[axis] - forest->lane.low[axis])
                sides[i] *= 2;
        forest->root = get_tree(forest, forest->lane.low, sides[i]);
        result->places += mine_box_bricks(&forest->lane);
    }
    result->build_s = (double)(lodei_mine_ticks() - start) * lodei_mine_tick_ns() / 1e9;
    result->resident_built = result->resident_end = lodei_mine_resident_bytes();
    for (unsigned i = 0; i < LODEI_MINE_LANES; i++) {
        if (config->channels != LODEI_MINE_NODES)
            hash_lane(&forests[i], sides[i], &result->contents_hash);
        give_back(forests[i].root);
    }
    return 0;
}
