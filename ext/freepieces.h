/* SPDX-License-Identifier: MIT */
/*
 * The pieces that a free list allocator's memory is cut into, and its two ways to find free ones:
 * freebins.c by size, freetree.c by address. freelist.c cuts and joins; it owns all of this.
 *
 *     memory:  | .. | tag | block ....... | tag | block ... | tag | block ....... | tag |
 *                        0                      i           i + units             count
 *
 * A piece is `units` of 16 bytes, from its tag on; its index is where its block starts, in units
 * from `origin`. The tag (units, live or not, and the units of the piece before) stands in the 8
 * bytes before the block, so it is the end of the 16-byte unit before. The last tag is of no piece,
 * and live. While a piece is free the first 8 bytes of its block link it: `a` and `b` are the next
 * and the one before in a bin, or the left and the right child in the tree. NONE ends.
 *
 * Tags and links lie where ASan and memcheck let nobody look: they are read and written by the
 * functions below alone.
 */
#ifndef LODEI_FREEPIECES_H
#define LODEI_FREEPIECES_H

#include "base/bits.h"
#include "ext/figures.h"
#include "ext/poison.h"
#include "ext/registry.h"
#include "ext/source.h"
#include "lode/freelist.h"

#define LODEI_PIECE_UNIT ((size_t)16)
#define LODEI_PIECE_TAG  ((size_t)8)
#define LODEI_PIECE_NONE UINT32_MAX
#define LODEI_PIECE_BINS 448 /* the bin of 2^31 - 1 units is 447 */

struct lode_freelist {
    uintptr_t origin;
    uint32_t count; /* units */
    uint16_t fit;   /* enum lode_fit */
    uint16_t reserved;
    uint64_t *live; /* bit i: a live block starts at i */

    /* freebins.c */
    uint32_t top; /* bit: leaf is not 0 */
    uint16_t leaves[32];
    uint32_t heads[LODEI_PIECE_BINS];
    /* freetree.c */
    uint32_t root;
    uint32_t root_units; /* the largest there is; 0: no free piece */

    size_t blocks, free_pieces;
    size_t used_bytes, peak_bytes, free_bytes; /* without tags */
    uint64_t allocs, failures;
    void *memory; /* NULL: lent */
    size_t memory_bytes;
    size_t live_bytes; /* of the bitmap */
    struct lodei_source source;
    struct lodei_registered registered;
};

struct lodei_piece_tag {
    uint32_t units_live; /* units << 1 | live */
    uint32_t before;     /* units of the piece before; 0: it is the first */
};

struct lodei_piece_links {
    uint32_t a, b;
};

LODE_BLOCK_INLINE struct lodei_piece_tag lodei_tag_get(const struct lode_freelist *f, uint32_t at)
{
    lodei_hush();
    struct lodei_piece_tag tag =
        *(const struct lodei_piece_tag *)(f->origin + at * LODEI_PIECE_UNIT - LODEI_PIECE_TAG);
    lodei_speak();
    return tag;
}

LODE_BLOCK_INLINE void lodei_tag_put(struct lode_freelist *f, uint32_t at,
                                     struct lodei_piece_tag tag)
{
    lodei_hush();
    *(struct lodei_piece_tag *)(f->origin + at * LODEI_PIECE_UNIT - LODEI_PIECE_TAG) = tag;
    lodei_speak();
}

LODE_BLOCK_INLINE struct lodei_piece_links lodei_links_get(const struct lode_freelist *f,
                                                           uint32_t at)
{
    lodei_hush();
    struct lodei_piece_links links =
        *(const struct lodei_piece_links *)(f->origin + at * LODEI_PIECE_UNIT);
    lodei_speak();
    return links;
}

LODE_BLOCK_INLINE void lodei_links_put(struct lode_freelist *f, uint32_t at,
                                       struct lodei_piece_links links)
{
    lodei_hush();
    *(struct lodei_piece_links *)(f->origin + at * LODEI_PIECE_UNIT) = links;
    lodei_speak();
}

LODE_INLINE uint32_t lodei_tag_units(struct lodei_piece_tag tag)
{
    return tag.units_live >> 1;
}

LODE_INLINE int lodei_tag_live(struct lodei_piece_tag tag)
{
    return (tag.units_live & 1) != 0;
}

/* Units from a piece to where an aligned block starts in it. `align` is 16 at least. */
LODE_INLINE size_t lodei_piece_pad(const struct lode_freelist *f, uint32_t at, size_t align)
{
    return ((0 - (f->origin + at * LODEI_PIECE_UNIT)) & (align - 1)) / LODEI_PIECE_UNIT;
}

LODE_INLINE int lodei_piece_fits(const struct lode_freelist *f, uint32_t at, size_t have,
                                 size_t units, size_t align)
{
    size_t pad = lodei_piece_pad(f, at, align);
    return pad <= have && units <= have - pad;
}

void lodei_bins_init(struct lode_freelist *f);
void lodei_bins_add(struct lode_freelist *f, uint32_t at, uint32_t units);
void lodei_bins_remove(struct lode_freelist *f, uint32_t at, uint32_t units);
/* NONE: no free piece holds it. */
uint32_t lodei_bins_find(const struct lode_freelist *f, uint32_t units, size_t align);
/* Units of the largest; 0: nothing is free. */
uint32_t lodei_bins_largest(const struct lode_freelist *f);
/* The same for any thread: not more than that. */
uint32_t lodei_bins_large(const struct lode_freelist *f);

void lodei_tree_init(struct lode_freelist *f);
void lodei_tree_add(struct lode_freelist *f, uint32_t at, uint32_t units);
void lodei_tree_remove(struct lode_freelist *f, uint32_t at);
uint32_t lodei_tree_find(const struct lode_freelist *f, uint32_t units, size_t align);

#endif
