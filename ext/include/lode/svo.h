/* SPDX-License-Identifier: MIT */
/**
 * @file svo.h
 * A sparse voxel octree whose leaves are bricks of 8 x 8 x 8 voxels (liblode-ext.so).
 *
 * A node is of one of three types:
 *
 *     Empty         nothing there. Takes no memory: its parent says so.
 *     Homogeneous   one value throughout. Four bytes and a bit, inline in its parent.
 *     Interface     mixed. One line of 64 bytes: of an inner node, what its eight children are; of
 *                   a leaf, the handles of its brick's channels.
 *
 * Level 0 is a brick; a node of level n covers 2^n bricks a side; the root's level is `levels`.
 * Places are given in bricks, signed, 21 bits an axis: any brick within a node names it. A voxel's
 * brick is its coordinate >> 3.
 *
 *     struct lode_svo *svo;
 *     struct lode_svo_opts o = LODE_SVO_OPTS_INIT;
 *     o.levels = 9;                                   bricks -256 .. 255 on each axis
 *     o.flags = LODE_SVO_COALESCE;
 *     if (lode_svo_create(&o, &svo) == 0) {
 *         struct lode_svo_content rock = {.type = LODE_SVO_HOMOGENEOUS, .value = 7};
 *         struct lode_ivec3 at = {0, -32, 0};
 *         int status = lode_svo_set(svo, 5, at, &rock, NULL);     32 x 32 x 32 bricks of rock
 *         ...
 *         lode_svo_destroy(svo);
 *     }
 *
 * ## Reading while others edit
 * Queries take no lock and never wait; each sees a state that the places it looks at had while it
 * ran. A query opens a reading section (lode/handle.h) of its own unless the caller is in one,
 * which makes many queries in a row cheaper. Edits are serialised among themselves. The root is
 * always an Interface node.
 *
 * ## In memory
 * The Interface children of a node are one block, their group: 1 to 8 lines in the order of their
 * octants (x + 2y + 4z), named by a handle. `siblings` in each line says which octants have one.
 *
 *     node's line                      its children's group, a block of 64 x n bytes
 *     +--------------------+           +--------------------+--------------------+---
 *     | children: handle   |--slot---->| line of octant 1   | line of octant 6   |
 *     | values of octants  |           | siblings 0100 0010 | siblings 0100 0010 |
 *     | 0 2 3 4 5 7        |           +--------------------+--------------------+---
 *     +--------------------+                  line of octant o: popcount(siblings below o)
 *
 * An edit writes a new version of a group and swaps it in, so a line never changes: who holds one
 * in a reading section or under lode_pin() holds one whole version.
 */
#ifndef LODE_SVO_H
#define LODE_SVO_H

#include <stddef.h>
#include <stdint.h>

#include "lode/handle.h"
#include "lode/heap.h"
#include "lode/sdf.h" /* lode_ivec3, lode_brick_box */

#ifdef __cplusplus
extern "C" {
#endif

/** The highest level a root can have: 2^21 bricks a side. */
#define LODE_SVO_LEVELS_MAX 21
/** Bricks (channels) a leaf names. */
#define LODE_SVO_BRICKS 5

enum lode_svo_type {
    LODE_SVO_EMPTY = 0,
    LODE_SVO_HOMOGENEOUS = 1,
    LODE_SVO_INTERFACE = 2,
};

/** What a node holds. */
struct lode_svo_content {
    uint32_t type;  /**< enum lode_svo_type */
    uint32_t value; /**< of Homogeneous, its value; of Interface, the caller's; of Empty, as read,
                         the tree's empty_value, as written, ignored */
    uint64_t user;  /**< the caller's word of an Interface node; else 0 */
    lode_handle bricks[LODE_SVO_BRICKS]; /**< of an Interface leaf; else 0. Not looked at: whether
                                              they are live is the caller's business */
};

/** An Interface node by the group its line is in: what lode_pin() and lode_peek() take. Stale when
 *  the group is gone; a node of the same place that came back within the same group is the same. */
struct lode_node {
    lode_handle group; /**< LODE_HANDLE_NULL: no Interface node */
    uint32_t octant;
    uint32_t level;
};

/** A node and where it is. */
struct lode_svo_cell {
    struct lode_svo_content content;
    struct lode_ivec3 at; /**< its lowest brick */
    uint32_t level;       /**< it covers 2^level bricks a side from there */
    struct lode_node node;
};

/** 64 bytes, aligned to 64. Read only. */
struct lode_svo_line {
    uint64_t code;       /**< 1, then the octants from the root on, three bits each */
    uint32_t value;      /**< lode_svo_content.value */
    uint8_t siblings;    /**< the octants that have a line in this group */
    uint8_t homogeneous; /**< of an inner node: the octants of children that have no line and are
                              Homogeneous, not Empty. Bits of children with a line mean nothing */
    uint16_t reserved;
    uint64_t user;
    union {
        struct {
            lode_handle children; /**< the group of its Interface children; null: it has none */
            uint32_t values[8];   /**< by octant, of Homogeneous children */
        } inner;
        lode_handle bricks[LODE_SVO_BRICKS];
    } of;
};

/** Bits of lode_svo_opts.flags. */
enum lode_svo_flag {
    /** Setting a child that makes all eight alike makes the parent that, and so on upward. */
    LODE_SVO_COALESCE = 1,
};

/** How lode_svo_create() makes a tree. Zero in any field means the default. */
struct lode_svo_opts {
    uint32_t size;            /**< sizeof(struct lode_svo_opts), set by LODE_SVO_OPTS_INIT */
    uint16_t tag;             /**< of the tree's heaps; 0: untagged */
    uint8_t levels;           /**< 1 to LODE_SVO_LEVELS_MAX; 0: that */
    uint8_t flags;            /**< enum lode_svo_flag */
    struct lode_ivec3 centre; /**< the root covers the bricks from centre - 2^(levels-1) to
                               centre + 2^(levels-1) - 1 */
    uint32_t empty_value;     /**< what reading an Empty node gives as value */
    uint64_t max_nodes;       /**< Interface nodes at most, the root included; 0: no limit */
    const char *name;         /**< of the heaps, copied, at most 31 bytes kept; NULL: "svo" */
    /**
     * Called for each Interface leaf that an edit, of it or of a coarser node, turned into another
     * type, and for each that lode_svo_build() replaced: the place to free its bricks. The leaf is
     * out of the tree, no lock is held, and it may call anything but lode_svo_destroy(). NULL:
     * nobody wants to know.
     */
    void (*dropped)(void *ctx, const struct lode_svo_cell *leaf);
    void *ctx; /**< given to `dropped` */
};

#define LODE_SVO_OPTS_INIT                                                                 \
    {                                                                                      \
        (uint32_t)sizeof(struct lode_svo_opts), 0, 0, 0, {0, 0, 0}, 0, 0, NULL, NULL, NULL \
    }

/** An opaque octree. */
struct lode_svo;

/**
 * Create a tree, Empty throughout, on heaps of its own.
 *
 * @opts     Borrowed for the call; NULL for all defaults.
 * @ret_svo  Written only on success: a tree the caller owns, ended with lode_svo_destroy().
 * Returns   0; -EINVAL unknown flags, or levels above the maximum; -ERANGE the root would reach
 *           beyond 21-bit brick coordinates; -E2BIG opts has a non-zero tail this version does not
 *           know; -ENOMEM.
 * Threads   Any, concurrently.
 */
LODE_API LODE_NODISCARD int lode_svo_create(const struct lode_svo_opts *opts,
                                            struct lode_svo **ret_svo);

/**
 * Free all of a tree at once; `dropped` is not called. Its nodes' handles are stale from then on.
 *
 * @svo     NULL is fine.
 * Threads  Any, but no other thread may use the tree during or after the call. Waits for the
 *          reading sections that are open elsewhere; within one of this thread it is misuse.
 */
LODE_API void lode_svo_destroy(struct lode_svo *svo);

/**
 * Make the node of `level` at brick `at` what `content` says, creating the path to it.
 *
 * Empty and Homogeneous: the node and all below it. Interface, at level 0: the leaf with these
 * bricks. Interface above level 0: the node is split unless it is split already (its children are
 * what it was), and gets `value` and `user`. A coarser Empty or Homogeneous node on the way is
 * split; the lines of such ancestors start with its value. Setting the root sets its children. What
 * a node no longer needs is free when the call returns, or when the readers of it have gone.
 *
 * @content  Borrowed for the call.
 * @ret_old  NULL, or written on success: what was there. Interface also where it was split.
 * Returns   0; -ERANGE the brick is outside of the root; -EINVAL a level above the root's, or no
 *           such type; -ENOSPC over max_nodes; -ENOMEM. On error the tree is as it was.
 * Threads   Any, concurrently. May call `dropped`, after all locks are dropped.
 */
LODE_API LODE_NODISCARD int lode_svo_set(struct lode_svo *svo, unsigned level, struct lode_ivec3 at,
                                         const struct lode_svo_content *content,
                                         struct lode_svo_content *ret_old);

/**
 * Make every brick of a box what `contents` says: as lode_svo_set() at level 0 brick by brick, but
 * each group of nodes the box reaches into is written once: how a slab enters a sliding window.
 *
 * @box       All of it within the root.
 * @contents  One for each brick of the box, x fastest, then y, then z. Borrowed for the call.
 * Returns    0; -ERANGE part of the box is outside of the root; -EINVAL its hi is below its lo, or
 *            no such type; in these cases nothing has changed. -ENOSPC over max_nodes, new nodes
 *            counted before those that go; -ENOMEM: each brick is as it was, or as `contents` says.
 * Threads    Any, concurrently; readers find each brick as it was or as it is to be. Holds the lock
 *            of edits for 16 x 16 x 16 bricks at a time. May call `dropped`, after all locks are
 *            dropped.
 * Source     Ours.
 */
LODE_API LODE_NODISCARD int lode_svo_set_box(struct lode_svo *svo, const struct lode_brick_box *box,
                                             const struct lode_svo_content *contents);

/**
 * Make all of a box Empty, or Homogeneous with one value: as lode_svo_set() of the largest nodes
 * that lie within it, but each group is written once: how a slab leaves a sliding window.
 *
 * @content  Not Interface (-EINVAL).
 * Returns   as lode_svo_set_box().
 * Threads   As there, but the lock of edits is held once, for what the box's surface cuts.
 */
LODE_API LODE_NODISCARD int lode_svo_fill_box(struct lode_svo *svo,
                                              const struct lode_brick_box *box,
                                              const struct lode_svo_content *content);

/** Split the node of `level` at `at` into eight of what it is: 0, also where it was split before;
 *  -EINVAL level 0, or one above the root's; -ERANGE, -ENOSPC, -ENOMEM as for lode_svo_set(). */
LODE_API LODE_NODISCARD int lode_svo_split(struct lode_svo *svo, unsigned level,
                                           struct lode_ivec3 at);

/**
 * Find the node of `level` at brick `at`, or the coarser Empty or Homogeneous one that covers it.
 *
 * @ret_cell  Written only on success.
 * Returns    0; -ERANGE; -EINVAL a level above the root's; -ENOMEM this thread's first reading
 *            section could not be registered.
 * Threads    Any, concurrently; waits for nobody.
 */
LODE_API LODE_NODISCARD int lode_svo_get(struct lode_svo *svo, unsigned level, struct lode_ivec3 at,
                                         struct lode_svo_cell *ret_cell);

/** lode_svo_get() of the leaf that a voxel is in. */
static inline int lode_svo_point(struct lode_svo *svo, int32_t x, int32_t y, int32_t z,
                                 struct lode_svo_cell *ret_cell)
{
    struct lode_ivec3 at = {x >> 3, y >> 3, z >> 3};
    return lode_svo_get(svo, 0, at, ret_cell);
}

/**
 * As lode_svo_get(), by the reference that a cell of this tree had.
 * Returns 0; -ESTALE the node is gone, or is no longer Interface; -EINVAL not a node of this tree;
 * -ENOMEM as for lode_svo_get().
 */
LODE_API LODE_NODISCARD int lode_svo_node_get(struct lode_svo *svo, struct lode_node node,
                                              struct lode_svo_cell *ret_cell);

/** The line of `octant` in a group, from lode_pin() or lode_peek(); NULL: there is none. */
static inline const struct lode_svo_line *lode_svo_line_in(const void *group, unsigned octant)
{
    const struct lode_svo_line *lines = (const struct lode_svo_line *)group;
    unsigned siblings = lines != NULL ? lines->siblings : 0;
    if (octant > 7 || (siblings >> octant & 1) == 0)
        return NULL;
    return lines + __builtin_popcount(siblings & ((1u << octant) - 1));
}

/** The line of a node now, within a reading section of the caller; NULL: the node is stale. */
static inline const struct lode_svo_line *lode_svo_peek(struct lode_node node)
{
    return lode_svo_line_in(lode_peek(node.group), node.octant);
}

/**
 * Merge eight children that are Empty, or Homogeneous of one value, into their parent, wherever
 * that is possible among the nodes that reach into a box of bricks, and upward from there.
 *
 * @box        NULL: the whole tree. What of it is outside of the root is left out.
 * @ret_freed  Written on success unless NULL: Interface nodes freed.
 * Returns     0; -EINVAL the box's hi is below its lo; -ENOMEM: every place reads
 *             as before, but some nodes may be merged already.
 * Threads     Any, concurrently. Holds the lock of edits for one merge at a time.
 */
LODE_API LODE_NODISCARD int lode_svo_coalesce(struct lode_svo *svo,
                                              const struct lode_brick_box *box, size_t *ret_freed);

/**
 * Tell what a node is, for lode_svo_build(): fill `ret_content`, which is zero, and return 0. For a
 * cell above level 0, Interface means: ask about its children. A return other than 0 ends the
 * build.
 */
typedef int (*lode_svo_source)(void *ctx, unsigned level, struct lode_ivec3 at,
                               struct lode_svo_content *ret_content);

/**
 * Replace the node of `level` at `at` by what `source` tells, asked in Morton order: how a world,
 * or a chunk of it, is loaded. Eight children alike are merged. Readers and other editors go on;
 * they see the old node until the whole new one takes its place.
 *
 * Returns  0; -ERANGE, -EINVAL, -ENOSPC, -ENOMEM as for lode_svo_set(), also -EINVAL where `source`
 *          told no valid type; or what `source` returned. On error the tree is as it was.
 * Threads  Any, concurrently. `source` runs without a lock; `dropped` may be called for old leaves.
 */
LODE_API LODE_NODISCARD int lode_svo_build(struct lode_svo *svo, unsigned level,
                                           struct lode_ivec3 at, lode_svo_source source, void *ctx);

/** What lode_svo_walk() shows. */
enum lode_svo_walk {
    LODE_SVO_WALK_EMPTY = 1,
    LODE_SVO_WALK_HOMOGENEOUS = 2,
    LODE_SVO_WALK_INTERFACE = 4, /**< leaves */
    LODE_SVO_WALK_INNER = 8,     /**< split nodes, each before its children */
    LODE_SVO_WALK_ALL = 15,
};

/** Called for a node, with no lock and no reading section held; a non-zero return ends the walk. */
typedef int (*lode_svo_visitor)(void *ctx, const struct lode_svo_cell *cell);

/**
 * Show every node that reaches into a box, in Morton order (x fastest).
 *
 * @box      As for lode_svo_coalesce().
 * @what     Bits of enum lode_svo_walk.
 * Returns   0; what a visit returned that was not 0; -EINVAL a bad box, no or unknown bits of what;
 *           -ENOMEM as for lode_svo_get().
 * Threads   Any. Each node was there at some time during the walk; a place that others edit
 *           meanwhile may be shown before or after, and again if it became part of a coarser node.
 */
LODE_API LODE_NODISCARD int lode_svo_walk(struct lode_svo *svo, const struct lode_brick_box *box,
                                          unsigned what, lode_svo_visitor visit, void *ctx);

/**
 * Rewrite the groups so that their order in memory is Morton order, for `max_us` microseconds at
 * most, give or take eight groups; the next call goes on there. This also closes the gaps that
 * edits left. A pass copies from one of the tree's two heaps to the other, so while it goes on the
 * tree takes up to twice its memory. Pinned groups stay where they are.
 *
 * Returns  1: there is more to do; 0: done, or nothing was edited since the last pass began;
 *          -EBUSY another thread is at it; -ENOMEM: go on later, nothing is lost.
 * Threads  Any, concurrently with readers and editors. Holds the lock of edits for eight groups.
 */
LODE_API LODE_NODISCARD int lode_svo_reorder(struct lode_svo *svo, uint32_t max_us);

/** How far the order in memory is from Morton order, over pairs of groups of one size that follow
 *  each other. */
struct lode_svo_order {
    uint64_t pairs;
    uint64_t near_pairs; /**< of those: at most 4 KiB from the end of the first to the second */
    uint64_t mean_bytes; /**< mean of that distance, either way */
};

/** Walk the tree and measure its order. Returns 0; -ENOMEM as for lode_svo_get(). */
LODE_API LODE_NODISCARD int lode_svo_order(struct lode_svo *svo, struct lode_svo_order *ret_order);

/** A ray on its way; begin with lode_svo_ray_begin(). The fields are private. */
struct lode_svo_ray {
    struct lode_svo *svo;
    double origin[3]; /* in voxels from the root's lowest corner */
    double direction[3];
    double t, t_end;
    uint32_t at[3]; /* the brick it goes on in */
    int32_t face;
};

struct lode_svo_hit {
    struct lode_svo_cell cell; /**< Homogeneous, or an Interface leaf */
    double t_in, t_out;        /**< where the ray enters and leaves it; t_in = 0 where it starts */
    int32_t face; /**< entered through: 0 -x, 1 +x, 2 -y, 3 +y, 4 -z, 5 +z; -1: it began inside */
    uint32_t reserved;
};

/**
 * Begin a ray.
 *
 * @ray        Written. No memory is held by it: it needs no end.
 * @origin     In voxels, double[3]; voxel (0,0,0) reaches from 0.0 to 1.0.
 * @direction  In voxels per unit of t; any length but 0.
 * @t_max      The ray ends there; INFINITY is fine.
 * Returns     0; -EINVAL: a value that is not finite, direction zero, t_max below 0 or a NaN.
 * Source      Amanatides and Woo 1987 for the steps; going up only as far as a step needs, by the
 *             highest bit it changes in the coordinates: Laine and Karras 2010.
 */
LODE_API LODE_NODISCARD int lode_svo_ray_begin(struct lode_svo_ray *ray, struct lode_svo *svo,
                                               const double origin[3], const double direction[3],
                                               double t_max);

/**
 * Go on to the next Homogeneous node or Interface leaf, over any number of Empty nodes in one step
 * each.
 *
 * @ret_hit  Written when 1 is returned.
 * Returns   1; 0 the ray has ended; -ENOMEM as for lode_svo_get(), the ray where it was.
 * Threads   Any, one at a time per ray; waits for nobody. Each hit was there during the call.
 */
LODE_API LODE_NODISCARD int lode_svo_ray_next(struct lode_svo_ray *ray,
                                              struct lode_svo_hit *ret_hit);

/** Figures of a tree; exact while nobody edits. */
struct lode_svo_stats {
    uint32_t size; /**< sizeof(struct lode_svo_stats), set by the caller */
    uint32_t levels;
    uint64_t nodes[3][LODE_SVO_LEVELS_MAX + 1]; /**< by enum lode_svo_type and level */
    uint64_t bytes[3];       /**< of all nodes of a type: Empty 0; Homogeneous what they take of
                                  their parents' lines, 4 a node; Interface 64 a node */
    uint64_t groups[9];      /**< by their number of lines; [0] is all */
    uint64_t slot_bytes;     /**< of the slots that name the groups */
    uint64_t mapped_bytes;   /**< address space of the tree's heaps, and of its slots */
    uint64_t resident_bytes; /**< of those, what is not untouched or given back */
    uint64_t edits;          /**< groups written by edits, ever */
    uint64_t splits;         /**< nodes that were split, ever */
    uint64_t coalesced;      /**< nodes whose children were merged, ever */
    uint64_t reordered;      /**< groups moved by lode_svo_reorder(), ever */
};

/** Read the figures. Returns 0; -EINVAL stats->size is too small for the header. */
LODE_API LODE_NODISCARD int lode_svo_stats(struct lode_svo *svo, struct lode_svo_stats *stats);

#ifdef __cplusplus
}
#endif
#endif
