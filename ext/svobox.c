/* SPDX-License-Identifier: MIT */
/*
 * Edits of many bricks at once: a box set brick by brick, or filled with one value. Ours.
 *
 * The box is cut along nodes of CHUNK_LEVEL; each part is one edit under one hold of the lock:
 *
 *     plan    from the root down to what the part reaches into, and back up: the new versions of
 *             all groups that change, each written once; groups that are new are published
 *     apply   swap the versions in, from the top down
 *
 *     steps:  [ lowest group ... its parent's group ... root's ]    planned -->   <-- applied
 *
 * What readers find in between is what svotree.h asks for, since the parent's line changes first:
 * children that become inline have their entry before they leave their group, entries of children
 * that become Interface stay as they were, and new groups are complete before they are named.
 *
 * Planning changes nothing that readers see. A swap can fail too, of a pinned group when there is
 * no memory to note its old version: then the steps below it are dropped, and the places they are
 * about stay as they were. `needs` of a step, or of a subtree that goes, is the step without which
 * it has not happened.
 *
 * Blocks are freed, subtrees disposed of and callbacks called after the lock.
 */
#include "ext/svotree.h"

#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "ext/grace.h"

#define CHUNK_LEVEL 4
#define FIRST_ROOM  48 /* steps, and subtrees that go, for which there is room on the stack */
#define UNKNOWN     UINT32_MAX

/* What planning changed: the node's line, and what is below it. */
enum { LINE = 1, BELOW = 2 };

struct step {
    struct lodei_svo_spot spot;  /* of a group that has a new version: group and word */
    struct lode_svo_line *block; /* that version; NULL: the group is new */
    void *old;                   /* the version before, once it is swapped */
    uint32_t mask, level;        /* of the new version's lines */
    uint32_t homogeneous;        /* of the line that names the group */
    uint32_t needs;
    uint32_t done;
};

struct leaving {
    struct lode_svo_line line;
    uint32_t level, needs;
};

struct box_edit {
    struct lode_svo *svo;
    const struct lode_svo_content *contents; /* one a brick, or, if `fill`, one */
    int fill;
    uint32_t low[3], high[3]; /* of the part at hand; from the root's corner, inclusive */
    uint32_t from[3];         /* the box's own low: contents[0] */
    size_t row, slice;        /* of contents */
    struct step *steps;
    struct leaving *leaving;
    uint32_t step_count, step_room, leaving_count, leaving_room;
    unsigned growth, splits, merged;
    struct step first_steps[FIRST_ROOM];
    struct leaving first_leaving[FIRST_ROOM];
};

/* ---- lists ---- */

/* Twice the room; `first` stands on the stack. NULL: out of memory, the list is as it was. */
static void *grown(void *list, const void *first, uint32_t *room, size_t bytes)
{
    void *wider = lode_heap_alloc(lode_heap_default(), 2 * (size_t)*room * bytes);
    if (wider == NULL)
        return NULL;
    memcpy(wider, list, *room * bytes);
    if (list != first)
        lode_free(list);
    *room *= 2;
    return wider;
}

static int step_add(struct box_edit *e, const struct step *step)
{
    if (e->step_count == e->step_room) {
        struct step *wider = grown(e->steps, e->first_steps, &e->step_room, sizeof(*step));
        if (wider == NULL)
            return -ENOMEM;
        e->steps = wider;
    }
    e->steps[e->step_count++] = *step;
    return 0;
}

static int leaving_add(struct box_edit *e, const struct lode_svo_line *line, uint32_t level,
                       uint32_t needs)
{
    if (level == 0 && e->svo->dropped == NULL)
        return 0; /* nothing is below a leaf, and nobody is to be told */
    if (e->leaving_count == e->leaving_room) {
        struct leaving *wider =
            grown(e->leaving, e->first_leaving, &e->leaving_room, sizeof(*wider));
        if (wider == NULL)
            return -ENOMEM;
        e->leaving = wider;
    }
    e->leaving[e->leaving_count++] = (struct leaving){*line, level, needs};
    return 0;
}

/* Where the lists were when something began. */
struct mark {
    uint32_t steps, leaving;
};

static struct mark mark_of(const struct box_edit *e)
{
    return (struct mark){e->step_count, e->leaving_count};
}

/* What was planned since the mark and depends on a step not known then depends on the last one. */
static void now_known(struct box_edit *e, struct mark mark)
{
    uint32_t last = e->step_count - 1;
    for (uint32_t i = mark.steps; i < last; i++)
        if (e->steps[i].needs == UNKNOWN)
            e->steps[i].needs = last;
    for (uint32_t i = mark.leaving; i < e->leaving_count; i++)
        if (e->leaving[i].needs == UNKNOWN)
            e->leaving[i].needs = last;
}

/* A node became one inline value: nothing below it has to be written, for all of it goes. No group
 * was made there, since it would have Interface children. */
static void forget_since(struct box_edit *e, struct mark mark)
{
    while (e->step_count > mark.steps)
        lode_free(e->steps[--e->step_count].block);
    e->leaving_count = mark.leaving;
}

/* ---- planning ---- */

/* A node's children while they are planned. */
struct brood {
    struct lode_svo_line *parent; /* as it will be */
    lode_handle group;            /* of those that have lines now; 0: none has */
    uint64_t word;
    const struct lode_svo_line *lines;
    unsigned from, to;             /* octants with a line, now and then */
    unsigned written;              /* octants with a line in `fresh` */
    int changes;                   /* LINE: an entry of `parent` */
    struct lode_svo_line fresh[8]; /* by octant */
};

static void brood_begin(struct brood *brood, struct lode_svo_line *parent)
{
    brood->parent = parent;
    brood->group = parent->of.inner.children;
    brood->word = brood->group != 0 ? lodei_svo_word(brood->group) : 0;
    brood->lines = lodei_word_block(brood->word);
    brood->from = brood->to = lodei_svo_mask(brood->word);
    brood->written = 0;
    brood->changes = 0;
}

static const struct lode_svo_line *line_now(const struct brood *brood, unsigned octant)
{
    return (brood->from >> octant & 1) != 0 ? brood->lines + lodei_svo_rank(brood->from, octant)
                                            : NULL;
}

static void becomes_inline(struct brood *brood, unsigned octant, enum lode_svo_type type,
                           uint32_t value)
{
    uint32_t now = brood->parent->of.inner.values[octant];
    if ((brood->to >> octant & 1) == 0 && lodei_svo_entry(brood->parent, octant) == type &&
        (type != LODE_SVO_HOMOGENEOUS || now == value))
        return;
    brood->to &= ~(1u << octant);
    lodei_svo_entry_set(brood->parent, octant, type, value);
    brood->changes |= LINE;
}

static void becomes_line(struct brood *brood, unsigned octant)
{
    brood->to |= 1u << octant;
    brood->written |= 1u << octant;
}

static void plan_leaf(const struct box_edit *e, struct brood *brood, unsigned octant,
                      const uint32_t at[3])
{
    const struct lode_svo_content *content = e->contents;
    const struct lode_svo_line *now = line_now(brood, octant);
    if (!e->fill)
        content +=
            (at[0] - e->from[0]) + e->row * (at[1] - e->from[1]) + e->slice * (at[2] - e->from[2]);
    if (content->type != LODE_SVO_INTERFACE) {
        becomes_inline(brood, octant, (enum lode_svo_type)content->type, content->value);
        return;
    }
    lodei_svo_leaf_init(&brood->fresh[octant], brood->parent->code << 3 | octant, content);
    if (now == NULL || now->value != content->value || now->user != content->user ||
        memcmp(now->of.bricks, content->bricks, sizeof(content->bricks)) != 0)
        becomes_line(brood, octant);
}

static int plan_node(struct box_edit *e, struct lode_svo_line *line, unsigned level,
                     const uint32_t at[3]);

/* A child above level 0, as far as the box reaches into it: LINE and BELOW, or -errno. */
static int plan_child(struct box_edit *e, struct brood *brood, unsigned octant, unsigned level,
                      const uint32_t at[3])
{
    const struct lode_svo_line *now = line_now(brood, octant);
    struct lode_svo_line *line = &brood->fresh[octant];
    struct mark mark = mark_of(e);
    uint32_t last = (1u << level) - 1;
    int covered = 1;
    for (unsigned axis = 0; axis < 3; axis++)
        covered &= at[axis] >= e->low[axis] && at[axis] + last <= e->high[axis];
    if (e->fill && covered) {
        becomes_inline(brood, octant, (enum lode_svo_type)e->contents->type, e->contents->value);
        return 0;
    }
    if (now != NULL) {
        *line = *now;
    } else {
        enum lode_svo_type type = lodei_svo_entry(brood->parent, octant);
        lodei_svo_line_init(line, brood->parent->code << 3 | octant, type,
                            type == LODE_SVO_HOMOGENEOUS ? brood->parent->of.inner.values[octant]
                                                         : e->svo->empty_value);
    }
    int changes = plan_node(e, line, level, at);
    if (changes < 0 || (changes & LINE) == 0)
        return changes;
    if ((e->svo->flags & LODE_SVO_COALESCE) != 0 && lodei_svo_is_uniform(line)) {
        forget_since(e, mark);
        becomes_inline(brood, octant, lodei_svo_entry(line, 0), line->of.inner.values[0]);
        e->merged += now != NULL;
        return 0;
    }
    e->splits += now == NULL;
    becomes_line(brood, octant);
    return BELOW;
}

/* The group has another version: write it. */
static int plan_swap(struct box_edit *e, const struct brood *brood, unsigned level)
{
    unsigned from = lodei_svo_size(brood->from), to = lodei_svo_size(brood->to);
    struct step step = {.spot = {.group = brood->group, .word = brood->word},
                        .block = lodei_svo_block(e->svo, brood->to),
                        .mask = brood->to,
                        .level = level,
                        .homogeneous = brood->parent->homogeneous,
                        .needs = UNKNOWN};
    struct lode_svo_line *out = step.block;
    if (out == NULL)
        return -ENOMEM;
    const struct lode_svo_line *now = brood->lines;
    for (unsigned o = 0; o < 8; o++) {
        if ((brood->to >> o & 1) != 0) {
            *out = (brood->written >> o & 1) != 0 ? brood->fresh[o] : *now;
            out++->siblings = (uint8_t)brood->to;
        }
        now += brood->from >> o & 1;
    }
    e->growth += to > from ? to - from : 0;
    int status = step_add(e, &step);
    if (status != 0)
        lode_free(step.block);
    return status;
}

/* The node gets its first Interface children. */
static int plan_group(struct box_edit *e, struct brood *brood, unsigned level)
{
    struct step step = {.mask = brood->to, .level = level, .needs = UNKNOWN};
    struct lode_svo_line lines[8];
    unsigned n = 0;
    for (unsigned left = brood->to; left != 0; left &= left - 1)
        lines[n++] = brood->fresh[__builtin_ctz(left)];
    int status = step_add(e, &step); /* first: it can be taken back without a trace */
    if (status != 0)
        return status;
    status =
        lodei_svo_publish(e->svo, lines, brood->to, level, &e->steps[e->step_count - 1].spot.group);
    if (status != 0)
        e->step_count--;
    else
        brood->parent->of.inner.children = e->steps[e->step_count - 1].spot.group;
    return status;
}

/* What becomes of a node's group, at `level`, now that all its children are planned. */
static int brood_end(struct box_edit *e, struct brood *brood, unsigned level, struct mark mark)
{
    int status = 0;
    if (brood->to == brood->from && brood->written == 0)
        return brood->changes;
    if (brood->to == 0) { /* there is a group: all of it goes with the line that names it */
        forget_since(e, mark);
        status = leaving_add(e, brood->parent, level + 1, UNKNOWN);
        brood->parent->of.inner.children = 0;
        return status != 0 ? status : brood->changes | LINE;
    }
    if (brood->from == 0) {
        status = plan_group(e, brood, level);
        brood->changes |= LINE;
    } else {
        status = plan_swap(e, brood, level);
    }
    if (status == 0)
        now_known(e, mark);
    for (unsigned left = brood->from & ~brood->to; left != 0 && status == 0; left &= left - 1)
        status = leaving_add(e, line_now(brood, (unsigned)__builtin_ctz(left)), level,
                             e->step_count - 1);
    return status != 0 ? status : brood->changes | BELOW;
}

/* The octants into which the box reaches, of a node at `at` whose children are `side` wide. */
static unsigned octants_reached(const struct box_edit *e, const uint32_t at[3], uint32_t side)
{
    unsigned lower = 0, upper = 0;
    for (unsigned axis = 0; axis < 3; axis++) {
        uint32_t middle = at[axis] + side;
        lower |= (unsigned)(at[axis] <= e->high[axis] && middle - 1 >= e->low[axis]) << axis;
        upper |= (unsigned)(middle <= e->high[axis] && middle + (side - 1) >= e->low[axis]) << axis;
    }
    return lodei_octants(lower, upper);
}

/*
 * Plan a node of `level`, above 0, into which the box reaches: `line` is a copy of its line, or, of
 * an inline one, what that would be, and becomes what it is to be. LINE and BELOW, or -errno.
 */
static int plan_node(struct box_edit *e, struct lode_svo_line *line, unsigned level,
                     const uint32_t at[3])
{
    struct brood brood;
    struct mark mark = mark_of(e);
    uint32_t side = 1u << (level - 1);
    brood_begin(&brood, line);
    for (unsigned left = octants_reached(e, at, side); left != 0; left &= left - 1) {
        unsigned o = (unsigned)__builtin_ctz(left);
        const uint32_t corner[3] = {at[0] + (o & 1) * side, at[1] + (o >> 1 & 1) * side,
                                    at[2] + (o >> 2) * side};
        if (level == 1) {
            plan_leaf(e, &brood, o, corner);
        } else {
            int changes = plan_child(e, &brood, o, level - 1, corner);
            if (changes < 0)
                return changes;
            brood.changes |= changes & BELOW;
        }
    }
    return brood_end(e, &brood, level - 1, mark);
}

static int plan(struct box_edit *e)
{
    static const uint32_t corner[3] = {0, 0, 0};
    struct lodei_svo_spot root;
    struct mark mark = mark_of(e);
    lodei_svo_root(e->svo, &root);
    struct brood brood = {.group = root.group,
                          .word = root.word,
                          .lines = root.line,
                          .from = LODEI_SVO_ROOT_MASK,
                          .to = LODEI_SVO_ROOT_MASK,
                          .written = LODEI_SVO_ROOT_MASK};
    struct lode_svo_line nothing = {.homogeneous = 0};
    unsigned octant = (unsigned)__builtin_ctz(LODEI_SVO_ROOT_MASK);
    brood.parent = &nothing; /* nobody names the root */
    brood.fresh[octant] = *root.line;
    int changes = plan_node(e, &brood.fresh[octant], e->svo->levels, corner);
    if (changes < 0 || (changes & LINE) == 0)
        return changes < 0 ? changes : lodei_svo_room(e->svo, e->growth);
    int status = plan_swap(e, &brood, e->svo->levels);
    if (status == 0)
        now_known(e, mark);
    return status != 0 ? status : lodei_svo_room(e->svo, e->growth);
}

/* ---- applying ---- */

static int apply(struct box_edit *e, struct step *step)
{
    struct lode_svo *svo = e->svo;
    const struct lode_svo_line *before = lodei_word_block(step->spot.word);
    unsigned from = lodei_svo_mask(step->spot.word), hidden = step->homogeneous;
    lodei_svo_count_all(svo, before, lodei_svo_size(from), step->level, -1);
    int status = lodei_svo_swap(svo, &step->spot, step->block, step->mask, &step->old);
    if (status != 0) {
        lodei_svo_count_all(svo, before, lodei_svo_size(from), step->level, 1);
        return status;
    }
    lodei_svo_count_all(svo, step->block, lodei_svo_size(step->mask), step->level, 1);
    /* entries of the parent's line that come to mean something, or do not any more */
    svo->homogeneous[step->level] += lodei_svo_size(hidden & from & ~step->mask);
    svo->homogeneous[step->level] -= lodei_svo_size(hidden & ~from & step->mask);
    svo->edits++;
    step->done = 1;
    return 0;
}

/* A group that was made and is named by no line that anybody sees. */
static void unmake(struct box_edit *e, const struct step *step)
{
    uint64_t word = lodei_svo_word(step->spot.group);
    void *block;
    lodei_svo_count_all(e->svo, lodei_word_block(word), lodei_svo_size(step->mask), step->level,
                        -1);
    lodei_svo_release(e->svo, step->spot.group, &block);
    lode_free(block);
}

/* Carry out what is planned, or, after an error, undo it. */
static int carry_out(struct box_edit *e, int status)
{
    for (uint32_t i = e->step_count; i-- > 0;) {
        struct step *step = &e->steps[i];
        if (step->block == NULL) {
            step->done = step->needs != UNKNOWN && e->steps[step->needs].done;
            if (!step->done)
                unmake(e, step);
            continue;
        }
        if (status == 0)
            status = apply(e, step);
        if (!step->done)
            lode_free(step->block);
    }
    if (status == 0) {
        e->svo->splits += e->splits;
        e->svo->coalesced += e->merged;
    }
    return status;
}

static int edit_part(struct box_edit *e)
{
    struct lode_svo *svo = e->svo;
    e->step_count = e->leaving_count = 0;
    e->growth = e->splits = e->merged = 0;
    pthread_mutex_lock(&svo->lock);
    int status = carry_out(e, plan(e));
    pthread_mutex_unlock(&svo->lock);
    for (uint32_t i = 0; i < e->step_count; i++)
        if (e->steps[i].done && e->steps[i].old != NULL)
            lodei_grace_free(e->steps[i].old);
    for (uint32_t i = 0; i < e->leaving_count; i++) {
        const struct leaving *l = &e->leaving[i];
        if (l->needs != UNKNOWN && e->steps[l->needs].done)
            (void)lodei_svo_dispose(svo, &l->line, l->level, 1);
    }
    return status;
}

/* ---- boxes ---- */

static int edit_box(struct box_edit *e, struct lode_svo *svo, const struct lode_brick_box *box)
{
    uint32_t low[3], high[3];
    /* what is filled is written along the box's surface only: one part */
    const uint64_t step = e->fill ? UINT32_MAX : (1u << CHUNK_LEVEL) - 1;
    int status = 0;
    e->svo = svo;
    e->steps = e->first_steps;
    e->leaving = e->first_leaving;
    e->step_room = e->leaving_room = FIRST_ROOM;
    (void)lodei_svo_inside(svo, box->lo, low);
    (void)lodei_svo_inside(svo, box->hi, high);
    memcpy(e->from, low, sizeof(low));
    e->row = (size_t)(high[0] - low[0]) + 1;
    e->slice = e->row * ((size_t)(high[1] - low[1]) + 1);
    for (uint64_t z = low[2]; z <= high[2] && status == 0; z = (z | step) + 1)
        for (uint64_t y = low[1]; y <= high[1] && status == 0; y = (y | step) + 1)
            for (uint64_t x = low[0]; x <= high[0] && status == 0; x = (x | step) + 1) {
                const uint64_t at[3] = {x, y, z};
                for (unsigned axis = 0; axis < 3; axis++) {
                    e->low[axis] = (uint32_t)at[axis];
                    e->high[axis] =
                        (uint32_t)((at[axis] | step) < high[axis] ? at[axis] | step : high[axis]);
                }
                status = edit_part(e);
            }
    if (e->steps != e->first_steps)
        lode_free(e->steps);
    if (e->leaving != e->first_leaving)
        lode_free(e->leaving);
    return status;
}

static int box_check(const struct lode_svo *svo, const struct lode_brick_box *box)
{
    uint32_t at[3];
    if (box->hi.x < box->lo.x || box->hi.y < box->lo.y || box->hi.z < box->lo.z)
        return -EINVAL;
    return lodei_svo_inside(svo, box->lo, at) && lodei_svo_inside(svo, box->hi, at) ? 0 : -ERANGE;
}

int lode_svo_set_box(struct lode_svo *svo, const struct lode_brick_box *box,
                     const struct lode_svo_content *contents)
{
    struct box_edit e;
    int status = box_check(svo, box);
    if (status != 0)
        return status;
    size_t count = ((size_t)(box->hi.x - box->lo.x) + 1) * ((size_t)(box->hi.y - box->lo.y) + 1) *
                   ((size_t)(box->hi.z - box->lo.z) + 1);
    for (size_t i = 0; i < count; i++)
        if (contents[i].type > LODE_SVO_INTERFACE)
            return -EINVAL;
    e.contents = contents;
    e.fill = 0;
    return edit_box(&e, svo, box);
}

int lode_svo_fill_box(struct lode_svo *svo, const struct lode_brick_box *box,
                      const struct lode_svo_content *content)
{
    struct box_edit e;
    int status = box_check(svo, box);
    if (status != 0)
        return status;
    if (content->type >= LODE_SVO_INTERFACE)
        return -EINVAL;
    e.contents = content;
    e.fill = 1;
    return edit_box(&e, svo, box);
}
