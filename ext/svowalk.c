/* SPDX-License-Identifier: MIT */
/*
 * Walks of the octree in Morton order. A scan copies the next few nodes within one reading section,
 * going down from the root past what was shown already; the visitor is called when the section has
 * ended. A scan that meets an edit starts at the root again, with what it has copied.
 *
 * Nodes are ordered by the Morton code of the brick they begin at, and at one brick from the
 * coarsest to the finest: a parent comes before its children. Merging is a walk that looks for
 * nodes whose children are alike, each then merged, and upward, by an edit of its own.
 *
 * Owns nothing. It must never call a visitor in a section or under a lock.
 */
#include "ext/svotree.h"

#include <errno.h>
#include <string.h>

#define FULL 1

static uint64_t bricks_of(unsigned level)
{
    return (uint64_t)1 << 3 * level;
}

static int in_box(const struct lodei_svo_scan *scan, unsigned level, const uint32_t at[3])
{
    for (int axis = 0; axis < 3; axis++)
        if (at[axis] > scan->high[axis] || at[axis] + ((uint32_t)1 << level) - 1 < scan->low[axis])
            return 0;
    return 1;
}

/* The node is noted, or not wanted: go on behind it, or with its children. FULL: no room for it. */
static int note(const struct lode_svo *svo, struct lodei_svo_scan *scan, unsigned what,
                const struct lodei_svo_spot *spot, unsigned level, const uint32_t at[3],
                uint64_t start, int is_line)
{
    if ((scan->what & what) != 0) {
        if (scan->count == scan->capacity)
            return FULL;
        struct lode_svo_cell *cell = &scan->cells[scan->count];
        if (is_line)
            lodei_svo_line_cell(svo, spot, level, at, cell);
        else
            lodei_svo_entry_cell(svo, spot->line, level, at, cell);
        scan->children[scan->count] = is_line && level > 0 ? spot->line->of.inner.children : 0;
        scan->count++;
    }
    scan->start = what >= LODE_SVO_WALK_INNER ? start : start + bricks_of(level);
    scan->level = what >= LODE_SVO_WALK_INNER ? level - 1 : svo->levels;
    return 0;
}

static unsigned inner_kinds(const struct lode_svo_line *line)
{
    unsigned what = LODE_SVO_WALK_INNER;
    if (line->of.inner.children != 0)
        what |= LODEI_SVO_SCAN_GROUPS;
    else if (lodei_svo_is_uniform(line))
        what |= LODEI_SVO_SCAN_UNIFORM;
    return what;
}

/* 0: done with this node, FULL, or LODEI_SVO_AGAIN. */
static int scan_node(const struct lode_svo *svo, struct lodei_svo_scan *scan,
                     const struct lodei_svo_spot *spot, unsigned level, const uint32_t at[3],
                     uint64_t start)
{
    if (start > scan->start || (start == scan->start && level <= scan->level)) {
        unsigned what = inner_kinds(spot->line);
        if (note(svo, scan, what, spot, level, at, start, 1) == FULL)
            return FULL;
    }
    level--;
    for (unsigned o = 0; o < 8; o++, start += bricks_of(level)) {
        uint32_t corner[3];
        struct lodei_svo_spot child;
        if (start + bricks_of(level) <= scan->start)
            continue;
        for (unsigned axis = 0; axis < 3; axis++)
            corner[axis] = at[axis] | (o >> axis & 1) << level;
        if (!in_box(scan, level, corner))
            continue;
        int found = lodei_svo_child(spot, o, &child);
        if (found == LODEI_SVO_AGAIN)
            return found;
        if (found == 1 && level > 0)
            found = scan_node(svo, scan, &child, level, corner, start);
        else if (found == 1)
            found = note(svo, scan, LODE_SVO_WALK_INTERFACE, &child, level, corner, start, 1);
        else
            found = note(svo, scan, 1u << lodei_svo_entry(spot->line, o), spot, level, corner,
                         start, 0);
        if (found != 0)
            return found;
    }
    return 0;
}

void lodei_svo_scan_init(struct lodei_svo_scan *scan, const struct lode_svo *svo, unsigned what)
{
    scan->start = 0;
    scan->level = svo->levels;
    scan->what = what;
    scan->capacity = LODEI_SVO_SCAN_MAX;
    for (int axis = 0; axis < 3; axis++) {
        scan->low[axis] = 0;
        scan->high[axis] = ((uint32_t)1 << svo->levels) - 1;
    }
}

int lodei_svo_scan(struct lode_svo *svo, struct lodei_svo_scan *scan)
{
    static const uint32_t corner[3];
    int status;
    scan->count = 0;
    if (lode_read_begin() != 0)
        return -ENOMEM;
    do {
        struct lodei_svo_spot root;
        lodei_svo_root(svo, &root);
        status = scan_node(svo, scan, &root, svo->levels, corner, 0);
    } while (status == LODEI_SVO_AGAIN);
    lode_read_end();
    return status;
}

/* The part of a caller's box that is within the root. 1, 0: none is; -EINVAL. */
static int box_take(struct lodei_svo_scan *scan, const struct lode_svo *svo,
                    const struct lode_brick_box *box)
{
    if (box == NULL)
        return 1;
    const int32_t lo[3] = {box->lo.x, box->lo.y, box->lo.z};
    const int32_t hi[3] = {box->hi.x, box->hi.y, box->hi.z};
    int some = 1;
    for (int axis = 0; axis < 3; axis++) {
        int64_t low = (int32_t)svo->low[axis], last = scan->high[axis];
        int64_t from = lo[axis] - low, to = hi[axis] - low;
        if (to < from)
            return -EINVAL;
        some &= to >= 0 && from <= last;
        scan->low[axis] = from < 0 ? 0 : (uint32_t)from;
        scan->high[axis] = to > last ? (uint32_t)last : (uint32_t)to;
    }
    return some;
}

int lode_svo_walk(struct lode_svo *svo, const struct lode_brick_box *box, unsigned what,
                  lode_svo_visitor visit, void *ctx)
{
    struct lodei_svo_scan scan;
    if (what == 0 || (what & ~(unsigned)LODE_SVO_WALK_ALL) != 0)
        return -EINVAL;
    lodei_svo_scan_init(&scan, svo, what);
    int more = box_take(&scan, svo, box);
    while (more == 1) {
        more = lodei_svo_scan(svo, &scan);
        for (uint32_t i = 0; i < scan.count; i++) {
            int status = visit(ctx, &scan.cells[i]);
            if (status != 0)
                return status;
        }
    }
    return more;
}

int lode_svo_coalesce(struct lode_svo *svo, const struct lode_brick_box *box, size_t *ret_freed)
{
    struct lodei_svo_scan scan;
    uint64_t all = 0, freed;
    lodei_svo_scan_init(&scan, svo, LODEI_SVO_SCAN_UNIFORM);
    int more = box_take(&scan, svo, box), status = 0;
    while (more == 1 && status == 0) {
        more = lodei_svo_scan(svo, &scan);
        for (uint32_t i = 0; i < scan.count && status == 0; i++) {
            uint32_t at[3];
            (void)lodei_svo_inside(svo, scan.cells[i].at, at);
            status = lodei_svo_merge(svo, scan.cells[i].level, at, &freed);
            all += freed;
        }
    }
    if (status == 0)
        status = more;
    if (status == 0 && ret_freed != NULL)
        *ret_freed = (size_t)all;
    return status;
}
