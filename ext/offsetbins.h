/* SPDX-License-Identifier: MIT */
/*
 * An offset allocator's structure, its nodes and its bins of free ones by size. Inline: these are
 * the steps of every allocation and every free. offset.c has the layout and the rules; it is the
 * only one who owns any of this.
 */
#ifndef LODEI_OFFSETBINS_H
#define LODEI_OFFSETBINS_H

#include "base/bits.h"
#include "ext/registry.h"
#include "ext/source.h"

#define LODEI_BINS    368 /* lodei_bin_of() of 2^48 - 1 is 367 */
#define LODEI_LEAVES  64  /* a search for any size ends in here */
#define LODEI_AT_BITS 48
#define LODEI_AT_MAX  (((uint64_t)1 << LODEI_AT_BITS) - 1)

struct lodei_node {
    uint64_t at_and_low; /* offset: 48 bits; above it the lowest 16 of the size */
    uint32_t high;       /* the other 32 bits of the size */
    uint32_t life;
    uint32_t bin_prev, bin_next; /* while free; bin_next also links nodes not in use */
    uint32_t near_prev, near_next;
};

/* Nothing of so many units at such an alignment was found among the nodes there are. */
struct lodei_denied {
    uint64_t units; /* 0: nothing is known */
    uint64_t align;
};

struct lode_offset {
    struct lodei_node *nodes;
    uint64_t top;
    unsigned granule_log2;
    uint32_t unused;    /* nodes not in use, by bin_next */
    uint32_t unstarted; /* nodes from here on were never used */
    uint32_t capacity;  /* nodes in the table */
    uint8_t leaves[LODEI_LEAVES];
    struct lodei_denied denied;
    uint32_t unused_count;
    uint32_t max_nodes;
    uint32_t retired;
    uint64_t total, used, peak, live, allocs, failures;
    size_t table_bytes;
    struct lodei_source source;
    struct lodei_registered registered;
};

_Static_assert(sizeof(struct lodei_node) == 32, "two a cache line");

LODE_INLINE uint64_t lodei_node_at(const struct lodei_node *n)
{
    return n->at_and_low & LODEI_AT_MAX;
}

LODE_INLINE uint64_t lodei_node_units(const struct lodei_node *n)
{
    return (uint64_t)n->high << 16 | n->at_and_low >> LODEI_AT_BITS;
}

LODE_INLINE void lodei_node_set(struct lodei_node *n, uint64_t at, uint64_t units)
{
    n->at_and_low = at | units << LODEI_AT_BITS;
    n->high = (uint32_t)(units >> 16);
}

LODE_INLINE int lodei_node_used(const struct lodei_node *n)
{
    return (n->life & 1) != 0;
}

/* Binary digits of a size that its bin does not see. */
LODE_INLINE unsigned lodei_bin_shift(uint64_t units)
{
    return lodei_log2(units | 8) - 3;
}

/* The last bin all of whose sizes may be as small. */
LODE_INLINE unsigned lodei_bin_of(uint64_t units)
{
    unsigned shift = lodei_bin_shift(units);
    return (shift << 3) + (unsigned)(units >> shift);
}

/* Is a node of that bin large enough whichever it is? */
LODE_INLINE int lodei_bin_exact(uint64_t units)
{
    return (units & (((uint64_t)1 << lodei_bin_shift(units)) - 1)) == 0;
}

/* First node of the first bin from `bin` on that has one; 0: none has. */
LODE_INLINE uint32_t lodei_bin_first(const struct lode_offset *o, unsigned bin)
{
    unsigned leaf = bin >> 3;
    unsigned bits = o->leaves[leaf] & (0xffu << (bin & 7));
    if (bits == 0) {
        uint64_t rest = o->top & (~(uint64_t)1 << leaf);
        if (rest == 0)
            return 0;
        leaf = (unsigned)__builtin_ctzll(rest);
        bits = o->leaves[leaf];
    }
    return o->nodes[leaf << 3 | (unsigned)__builtin_ctz(bits)].bin_next;
}

LODE_INLINE void lodei_bin_add(struct lode_offset *o, uint32_t index, uint64_t units)
{
    struct lodei_node *n = &o->nodes[index];
    unsigned bin = lodei_bin_of(units);
    uint32_t next = o->nodes[bin].bin_next;
    n->bin_prev = bin;
    n->bin_next = next;
    o->nodes[bin].bin_next = index;
    o->nodes[next].bin_prev = index;
    o->leaves[bin >> 3] |= (uint8_t)(1u << (bin & 7));
    o->top |= (uint64_t)1 << (bin >> 3);
    if (lode_unlikely(units >= o->denied.units))
        o->denied.units = 0;
}

LODE_INLINE void lodei_bin_remove(struct lode_offset *o, uint32_t index)
{
    const struct lodei_node *n = &o->nodes[index];
    uint32_t prev = n->bin_prev, next = n->bin_next;
    o->nodes[prev].bin_next = next;
    o->nodes[next].bin_prev = prev;
    if (prev == next) { /* the head of a bin, which is empty now */
        unsigned leaf = o->leaves[prev >> 3] & ~(1u << (prev & 7));
        o->leaves[prev >> 3] = (uint8_t)leaf;
        o->top &= ~((uint64_t)(leaf == 0) << (prev >> 3));
    }
}

/* A free node becomes another one. */
LODE_INLINE void lodei_bin_change(struct lode_offset *o, uint32_t index, uint64_t at,
                                  uint64_t units)
{
    struct lodei_node *n = &o->nodes[index];
    unsigned was = lodei_bin_of(lodei_node_units(n));
    lodei_node_set(n, at, units);
    if (was != lodei_bin_of(units)) {
        lodei_bin_remove(o, index);
        lodei_bin_add(o, index, units);
    }
}

#endif
