/* SPDX-License-Identifier: MIT */
/*
 * Free pieces by address: first fit of free list allocators. Owns nothing; freepieces.h has the
 * layout.
 *
 * The tree is in order of address from left to right, and no piece is larger than the one above it:
 * the root is the largest there is, and whether a subtree holds a request is seen at its top.
 * Pieces of one size are above each other by a hash of where they are, so that a thousand holes of
 * one size are no list. Depth is logarithmic for sizes that come in no order; sizes that rise with
 * the address, piece by piece, make a list of it (the paper's own limit).
 *
 * Source: C. J. Stephenson, "Fast Fits: New Methods for Dynamic Storage Allocation", SOSP 1983;
 * among equals after Aragon and Seidel, "Randomized Search Trees", FOCS 1989.
 */
#include "ext/freepieces.h"

/* A place that names a piece: one side of another, or the root. */
struct place {
    uint32_t of; /* NONE: the root */
    int right;
};

static uint32_t place_get(const struct lode_freelist *f, struct place place)
{
    if (place.of == LODEI_PIECE_NONE)
        return f->root;
    struct lodei_piece_links links = lodei_links_get(f, place.of);
    return place.right ? links.b : links.a;
}

static void place_put(struct lode_freelist *f, struct place place, uint32_t at)
{
    if (place.of == LODEI_PIECE_NONE) {
        f->root = at;
        lodei_put(f->root_units,
                  at != LODEI_PIECE_NONE ? lodei_tag_units(lodei_tag_get(f, at)) : 0);
        return;
    }
    struct lodei_piece_links links = lodei_links_get(f, place.of);
    if (place.right)
        links.b = at;
    else
        links.a = at;
    lodei_links_put(f, place.of, links);
}

static uint32_t units_of(const struct lode_freelist *f, uint32_t at)
{
    return lodei_tag_units(lodei_tag_get(f, at));
}

/* Does `a` belong above `b`? */
static int is_above(const struct lode_freelist *f, uint32_t a, uint32_t b)
{
    uint32_t have_a = units_of(f, a), have_b = units_of(f, b);
    if (have_a != have_b)
        return have_a > have_b;
    /* An odd factor: different places, different hashes. */
    return a * 0x9e3779b1u > b * 0x9e3779b1u;
}

void lodei_tree_init(struct lode_freelist *f)
{
    place_put(f, (struct place){LODEI_PIECE_NONE, 0}, LODEI_PIECE_NONE);
}

void lodei_tree_add(struct lode_freelist *f, uint32_t at, uint32_t units)
{
    struct place place = {LODEI_PIECE_NONE, 0}, left = {at, 0}, right = {at, 1};
    uint32_t under;
    (void)units; /* in the tag */
    while ((under = place_get(f, place)) != LODEI_PIECE_NONE && is_above(f, under, at))
        place = (struct place){under, at > under};
    lodei_links_put(f, at, (struct lodei_piece_links){LODEI_PIECE_NONE, LODEI_PIECE_NONE});
    place_put(f, place, at);
    /* What was there goes to both sides of it, cut along its address. */
    while (under != LODEI_PIECE_NONE) {
        if (under < at) {
            place_put(f, left, under);
            left = (struct place){under, 1};
            under = place_get(f, left);
        } else {
            place_put(f, right, under);
            right = (struct place){under, 0};
            under = place_get(f, right);
        }
    }
    place_put(f, left, LODEI_PIECE_NONE);
    place_put(f, right, LODEI_PIECE_NONE);
}

void lodei_tree_remove(struct lode_freelist *f, uint32_t at)
{
    struct place place = {LODEI_PIECE_NONE, 0};
    uint32_t here;
    while ((here = place_get(f, place)) != at)
        place = (struct place){here, at > here};
    struct lodei_piece_links links = lodei_links_get(f, at);
    /* Both sides are zipped together in its place. */
    while (links.a != LODEI_PIECE_NONE && links.b != LODEI_PIECE_NONE) {
        if (is_above(f, links.a, links.b)) {
            place_put(f, place, links.a);
            place = (struct place){links.a, 1};
            links.a = place_get(f, place);
        } else {
            place_put(f, place, links.b);
            place = (struct place){links.b, 0};
            links.b = place_get(f, place);
        }
    }
    place_put(f, place, links.a != LODEI_PIECE_NONE ? links.a : links.b);
}

/* The lowest piece from `from` on with so many units. */
static uint32_t lowest_from(const struct lode_freelist *f, uint32_t from, uint32_t units)
{
    uint32_t found = LODEI_PIECE_NONE, at = f->root;
    /* Go down to where `from` is; the lowest subtree to the right of that path with room. */
    while (at != LODEI_PIECE_NONE && units_of(f, at) >= units) {
        struct lodei_piece_links links = lodei_links_get(f, at);
        if (at >= from) {
            found = at;
            at = links.a;
            continue;
        }
        at = links.b;
    }
    return found;
}

uint32_t lodei_tree_find(const struct lode_freelist *f, uint32_t units, size_t align)
{
    uint32_t at = lowest_from(f, 0, units);
    while (at != LODEI_PIECE_NONE && !lodei_piece_fits(f, at, units_of(f, at), units, align))
        at = lowest_from(f, at + 1, units);
    return at;
}
