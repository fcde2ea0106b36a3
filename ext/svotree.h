/* SPDX-License-Identifier: MIT */
/*
 * What the files of the octree share; lode/svo.h says what callers see, and how nodes lie in
 * memory.
 *
 *     svo.c       a tree's life, its groups and their slots, figures
 *     svofind.c   point queries
 *     svoedit.c   set and split
 *     svobox.c    boxes set and filled
 *     svobuild.c  build
 *     svowalk.c   walk and coalesce
 *     svoorder.c  reorder, and how far it is from Morton order
 *     svoray.c    rays
 *
 * ## Which of two places says what a node is
 * A child is Interface iff its octant is in the mask of the group that its parent's line names;
 * then the entry for it in the parent's line means nothing. Else that entry tells. The mask stands
 * twice: in the kind bits of the slot's word, so that one load gives a group's address and its
 * layout, and in each line, for those who hold only the block. The root is the one line of a group
 * of its own, of octant 1, because its code is 1.
 *
 * ## Edits, readers
 * `lock` serialises edits. A group is never written: an edit makes a new version and swaps the
 * slot's word (seq_cst); the old one goes through grace.c after the lock is dropped. Where two
 * groups change, the order is such that what a node is changes in one of the two swaps:
 *
 *     inline -> Interface     the children's group gets the line. If it is the first: its slot is
 *                             published, then the parent's line names it
 *     Interface -> inline     the parent's line gets the entry, and names no group if none is left;
 *                             then the line leaves the group, or the slot is released
 *
 * A reader holds a version of a line and the word it came from; it loads the word of the children's
 * group, then its own again. If that is the same version, the line was current when the other word
 * was loaded, and both belong together: no generation has to be read (lodei_svo_child()). A version
 * cannot come back, since the block is not freed before the reader's section ends. A subtree that
 * was taken out is not edited any more, so what a reader finds there is what was there when it was
 * taken out, during the query. Its groups are released from the top down: a slot is unused, and can
 * be used elsewhere, only after every line that names it is of a version that is gone, which the
 * second load finds. Then the reader starts again at the root; only an edit on its very path can
 * make it do so.
 *
 * ## Slots
 * Groups of 8 slots (slots.h) are never given back before the end; the key of such a group is
 *
 *     63      40 39    32 31                  0
 *     |   0     | unused | next group / 8 + 1 |     a list of those with unused slots
 */
#ifndef LODEI_SVOTREE_H
#define LODEI_SVOTREE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "ext/registry.h"
#include "ext/slots.h"
#include "lode/svo.h"

#define LODEI_SVO_ROOT_MASK 2u
#define LODEI_SVO_AGAIN     2 /* of searches: an edit came between; start at the root */

struct lode_svo {
    /* written once */
    uint32_t levels;
    uint32_t low[3]; /* the root's lowest brick, as two's complement */
    lode_handle root;
    uint32_t flags;
    uint32_t empty_value;
    uint64_t max_nodes;
    void (*dropped)(void *ctx, const struct lode_svo_cell *leaf);
    void *ctx;
    char name[32];
    uint16_t tag;

    pthread_mutex_t lock __attribute__((aligned(64))); /* guards all that follows */
    struct lode_heap *heaps[2];                        /* the second made by the first reorder */
    unsigned heap;                                     /* the one new groups come from */
    struct lodei_slots slots;
    uint32_t unused_group; /* head of the list of slot groups with unused slots */
    int32_t reordering;    /* pid of the process a thread of which is in lode_svo_reorder(), or 0 */
    uint32_t in_pass;      /* a pass has begun and not ended; it goes on at: */
    uint32_t pass_level;
    uint64_t pass_start;
    uint64_t pass_edits; /* `edits` when it began */
    uint64_t nodes;      /* lines, the root's included */
    uint64_t lines[LODE_SVO_LEVELS_MAX + 1];
    uint64_t homogeneous[LODE_SVO_LEVELS_MAX + 1];
    uint64_t groups[9];
    uint64_t edits, splits, coalesced, reordered;
    struct lodei_registered registered;
};

/* An Interface node as somebody found it: its line, within the version of its group that `word`
 * gave. */
struct lodei_svo_spot {
    const struct lode_svo_line *line;
    uint64_t word;
    lode_handle group;
};

LODE_INLINE unsigned lodei_svo_mask(uint64_t word)
{
    return lodei_word_kind(word) & 255;
}

/* Octants in a mask. Without the instruction, which not every x86-64 has, the compiler calls a
 * function with a table; this takes five operations (Warren, Hacker's Delight, section 5-1). */
LODE_INLINE unsigned lodei_svo_size(unsigned mask)
{
    return ((mask * 0x08040201u) >> 3 & 0x11111111u) * 0x11111111u >> 28;
}

/* Which of a group's lines is the octant's. */
LODE_INLINE unsigned lodei_svo_rank(unsigned mask, unsigned octant)
{
    return lodei_svo_size(mask & ((1u << octant) - 1));
}

/* Which child at `level` of its parent leads to the brick. */
LODE_INLINE unsigned lodei_svo_octant(const uint32_t at[3], unsigned level)
{
    return (at[0] >> level & 1) | (at[1] >> level & 1) << 1 | (at[2] >> level & 1) << 2;
}

/* Bricks from the root's lowest corner; 0: outside of the root. */
LODE_INLINE int lodei_svo_inside(const struct lode_svo *svo, struct lode_ivec3 at, uint32_t ret[3])
{
    ret[0] = (uint32_t)at.x - svo->low[0];
    ret[1] = (uint32_t)at.y - svo->low[1];
    ret[2] = (uint32_t)at.z - svo->low[2];
    return (ret[0] | ret[1] | ret[2]) >> svo->levels == 0;
}

/* The way back. */
LODE_INLINE struct lode_ivec3 lodei_svo_brick(const struct lode_svo *svo, const uint32_t at[3])
{
    return (struct lode_ivec3){(int32_t)(at[0] + svo->low[0]), (int32_t)(at[1] + svo->low[1]),
                               (int32_t)(at[2] + svo->low[2])};
}

/* The word of one of the tree's slots. Not lodei_slot_word(): a slot whose group is being released
 * is as good as released. */
LODE_INLINE uint64_t lodei_svo_word(lode_handle group)
{
    uint32_t index = (uint32_t)group;
    /* seq_cst: pairs with the swap of a word before readers are looked for (grace.c) */
    return __atomic_load_n(&lodei_slot_page(index)->words[index & (LODE_HANDLE_PAGE - 1)],
                           __ATOMIC_SEQ_CST);
}

LODE_INLINE void lodei_svo_root(const struct lode_svo *svo, struct lodei_svo_spot *ret)
{
    ret->group = svo->root;
    ret->word = lodei_svo_word(svo->root);
    ret->line = lodei_word_block(ret->word);
}

/* The same live version? Pins may have come and gone. */
LODE_INLINE int lodei_svo_same(uint64_t word, uint64_t other)
{
    uint64_t of_pins = LODEI_SLOT_KEPT_MASK | (LODEI_SLOT_STATE_MASK & ~LODE_HANDLE_LIVE);
    return ((word ^ other) & ~of_pins) == 0;
}

/*
 * Look at a child of an Interface node above level 0. 1: it is Interface, *ret is set; 0: the entry
 * in the parent's line tells; LODEI_SVO_AGAIN. In a reading section; `locked`: under the lock,
 * where nothing changes.
 */
LODE_INLINE int lodei_svo_look(const struct lodei_svo_spot *parent, unsigned octant,
                               struct lodei_svo_spot *ret, int locked)
{
    lode_handle children = parent->line->of.inner.children;
    if (children == 0)
        return 0;
    /* seq_cst, in this order: pairs with the swaps and releases of an edit, see above */
    uint64_t word = lodei_svo_word(children);
    if (!locked && lode_unlikely(!lodei_svo_same(parent->word, lodei_svo_word(parent->group))))
        return LODEI_SVO_AGAIN;
    lode_assert((word & LODE_HANDLE_LIVE) != 0);
    unsigned mask = lodei_svo_mask(word);
    if ((mask >> octant & 1) == 0)
        return 0;
    ret->line = (const struct lode_svo_line *)lodei_word_block(word) + lodei_svo_rank(mask, octant);
    ret->word = word;
    ret->group = children;
    return 1;
}

LODE_INLINE int lodei_svo_child(const struct lodei_svo_spot *parent, unsigned octant,
                                struct lodei_svo_spot *ret)
{
    return lodei_svo_look(parent, octant, ret, 0);
}

/* The type of an inline child. */
LODE_INLINE enum lode_svo_type lodei_svo_entry(const struct lode_svo_line *parent, unsigned octant)
{
    return parent->homogeneous >> octant & 1 ? LODE_SVO_HOMOGENEOUS : LODE_SVO_EMPTY;
}

/*
 * Go down from `spot`, which is at *level, to `target`. 1: an Interface node there; 0: *level is
 * that of an inline child of *spot; LODEI_SVO_AGAIN.
 */
LODE_INLINE int lodei_svo_descend(const uint32_t at[3], unsigned target,
                                  struct lodei_svo_spot *spot, unsigned *level)
{
    while (*level > target) {
        int found = lodei_svo_child(spot, lodei_svo_octant(at, --*level), spot);
        if (found != 1)
            return found;
    }
    return 1;
}

/* What an Interface node, or an inline child of it at `level`, holds. */
void lodei_svo_line_cell(const struct lode_svo *svo, const struct lodei_svo_spot *spot,
                         unsigned level, const uint32_t at[3], struct lode_svo_cell *ret_cell);
void lodei_svo_entry_cell(const struct lode_svo *svo, const struct lode_svo_line *parent,
                          unsigned level, const uint32_t at[3], struct lode_svo_cell *ret_cell);
void lodei_svo_line_content(const struct lode_svo_line *line, unsigned level,
                            struct lode_svo_content *ret_content);
/* The brick a code's node begins at, from the root's corner. */
void lodei_svo_code_at(uint64_t code, unsigned level, uint32_t ret_at[3]);

/* ---- groups; svo.c ---- */

/* All but the last: under the lock. */

/* Room for a group of so many lines; NULL: out of memory. */
struct lode_svo_line *lodei_svo_block(const struct lode_svo *svo, unsigned mask);
/* 0, or -ENOSPC: so many lines more are over the limit. */
int lodei_svo_room(const struct lode_svo *svo, unsigned lines);
/* Make a group of the lines of the octants in `mask`, in their order, and count them.
 * 0, -ENOMEM or -ENOSPC. */
int lodei_svo_publish(struct lode_svo *svo, const struct lode_svo_line *lines, unsigned mask,
                      unsigned level, lode_handle *ret_group);
/* Give a group another version; *ret_old is for the caller to lodei_grace_free() after the lock, or
 * NULL. Counts no lines. 0 or -ENOMEM. */
int lodei_svo_swap(struct lode_svo *svo, const struct lodei_svo_spot *spot,
                   struct lode_svo_line *block, unsigned mask, void **ret_old);
/* End a group and make its slot unused. Counts no lines. *ret_old as above. */
void lodei_svo_release(struct lode_svo *svo, lode_handle group, void **ret_old);
/* Count a line in or out: by = 1 or -1. */
void lodei_svo_count(struct lode_svo *svo, const struct lode_svo_line *line, unsigned level,
                     int by);
void lodei_svo_count_all(struct lode_svo *svo, const struct lode_svo_line *lines, unsigned count,
                         unsigned level, int by);
/* Make the heap that a reorder copies to, if there is none yet. 0 or -ENOMEM. */
int lodei_svo_second_heap(struct lode_svo *svo);
/* Free all below a line that is out of the tree, or was never in it. `tell`: the leaves are shown
 * to the tree's `dropped`, this one too if it is one. Returns the lines freed, this one left out.
 */
uint64_t lodei_svo_dispose(struct lode_svo *svo, const struct lode_svo_line *line, unsigned level,
                           int tell);

/* ---- edits; svoedit.c ---- */

/* The line of a new inner node whose children are all `type`, `value`. */
void lodei_svo_line_init(struct lode_svo_line *line, uint64_t code, enum lode_svo_type type,
                         uint32_t value);
/* The line of a new leaf. */
void lodei_svo_leaf_init(struct lode_svo_line *line, uint64_t code,
                         const struct lode_svo_content *content);
LODE_INLINE void lodei_svo_entry_set(struct lode_svo_line *line, unsigned octant,
                                     enum lode_svo_type type, uint32_t value)
{
    unsigned bit = 1u << octant;
    line->homogeneous =
        (uint8_t)((line->homogeneous & ~bit) | (type == LODE_SVO_HOMOGENEOUS) * bit);
    line->of.inner.values[octant] = type == LODE_SVO_HOMOGENEOUS ? value : 0;
}

/* Are all children of an inner node without Interface children alike? */
int lodei_svo_is_uniform(const struct lode_svo_line *line);
/* The code of the node of `level` at a brick. */
uint64_t lodei_svo_code(const struct lode_svo *svo, const uint32_t at[3], unsigned level);
/*
 * Put what was built in the place of a node: `line` with what is below it, or, if NULL, `content`.
 * What was there is disposed of; on error, what is below `line`. 0, -ENOMEM or -ENOSPC.
 */
int lodei_svo_put(struct lode_svo *svo, unsigned level, const uint32_t at[3],
                  const struct lode_svo_line *line, const struct lode_svo_content *content);
/* Merge the children of a node if they are alike, and upward. 0 or -ENOMEM; *ret_freed is written
 * in both cases. */
int lodei_svo_merge(struct lode_svo *svo, unsigned level, const uint32_t at[3],
                    uint64_t *ret_freed);

/* ---- walks; svowalk.c ---- */

/* Beside the bits of enum lode_svo_walk. */
#define LODEI_SVO_SCAN_UNIFORM 16 /* split nodes whose children are alike and inline */
#define LODEI_SVO_SCAN_GROUPS  32 /* split nodes that have Interface children */
#define LODEI_SVO_SCAN_MAX     32

/* A part of a walk: a few nodes are copied within one reading section, and shown after it. */
struct lodei_svo_scan {
    uint64_t start; /* Morton code of the brick it goes on at, from the root's corner... */
    uint32_t level; /* ...with nodes of this level and below, where they start there */
    uint32_t what;
    uint32_t low[3], high[3]; /* the box, from the root's corner, inclusive */
    uint32_t count, capacity;
    struct lode_svo_cell cells[LODEI_SVO_SCAN_MAX];
    lode_handle children[LODEI_SVO_SCAN_MAX]; /* of inner nodes: the group of their children */
};

/* The whole tree, from its beginning. */
void lodei_svo_scan_init(struct lodei_svo_scan *scan, const struct lode_svo *svo, unsigned what);
/* Fill in the next nodes. 1: there may be more, 0: these were the last, -ENOMEM. */
int lodei_svo_scan(struct lode_svo *svo, struct lodei_svo_scan *scan);

#endif
