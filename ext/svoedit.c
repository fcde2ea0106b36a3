/* SPDX-License-Identifier: MIT */
/*
 * Edits of the octree: what a node is, with the path to it, and merging upward. All of it reduces
 * to three steps on groups of lines, each a new version swapped in (svotree.h tells the order):
 *
 *     replace    a line of a group by another          entries, content of Interface nodes
 *     attach     a line for an inline child             with a chain of new lines down to the
 *                                                       target, one group of one line per level
 *     detach     a line, its place becoming inline      what is below it is disposed of afterwards
 *
 * Everything that can fail is done before the first swap that readers can notice; what was made is
 * undone on failure. Merging is not a step: a target whose new state makes its siblings alike is
 * exchanged for its parent before anything is done. The lock is held for one edit; old blocks are
 * freed and callbacks run after it.
 */
#include "ext/svotree.h"

#include <errno.h>
#include <string.h>

#include "ext/grace.h"

struct edit {
    struct lode_svo *svo;
    uint32_t at[3];
    unsigned level;  /* of the target */
    unsigned top;    /* the lowest Interface node on the way to it, or it itself */
    unsigned raised; /* levels the target was raised by */
    struct lodei_svo_spot path[LODE_SVO_LEVELS_MAX + 1]; /* by level, from `top` up */
    void *old[2];                                        /* versions that were replaced */
    unsigned old_count;
    int has_gone;        /* `gone` is out of the tree, or never got into it, and */
    unsigned gone_level; /* what is below it is to be disposed of */
    struct lode_svo_line gone;
};

/* ---- lines ---- */

void lodei_svo_line_init(struct lode_svo_line *line, uint64_t code, enum lode_svo_type type,
                         uint32_t value)
{
    *line = (struct lode_svo_line){.code = code, .value = value};
    if (type != LODE_SVO_HOMOGENEOUS)
        return;
    line->homogeneous = 255;
    for (unsigned o = 0; o < 8; o++)
        line->of.inner.values[o] = value;
}

void lodei_svo_leaf_init(struct lode_svo_line *line, uint64_t code,
                         const struct lode_svo_content *content)
{
    *line = (struct lode_svo_line){.code = code, .value = content->value, .user = content->user};
    memcpy(line->of.bricks, content->bricks, sizeof(line->of.bricks));
}

/* Are all entries but those in `except` the same as this one? */
static int entries_are(const struct lode_svo_line *line, unsigned except, enum lode_svo_type type,
                       uint32_t value)
{
    for (unsigned o = 0; o < 8; o++)
        if ((except >> o & 1) == 0 &&
            (lodei_svo_entry(line, o) != type ||
             (type == LODE_SVO_HOMOGENEOUS && line->of.inner.values[o] != value)))
            return 0;
    return 1;
}

int lodei_svo_is_uniform(const struct lode_svo_line *line)
{
    return line->of.inner.children == 0 &&
           entries_are(line, 1, lodei_svo_entry(line, 0), line->of.inner.values[0]);
}

uint64_t lodei_svo_code(const struct lode_svo *svo, const uint32_t at[3], unsigned level)
{
    uint64_t code = 1;
    for (unsigned l = svo->levels; l-- > level;)
        code = code << 3 | lodei_svo_octant(at, l);
    return code;
}

/* A version of the group `lines` whose mask becomes `to`; `octant` gets `line`. NULL: no memory. */
static struct lode_svo_line *group_make(const struct lode_svo *svo,
                                        const struct lode_svo_line *lines, unsigned from,
                                        unsigned to, unsigned octant,
                                        const struct lode_svo_line *line)
{
    struct lode_svo_line *block = lodei_svo_block(svo, to), *out = block;
    if (block == NULL)
        return NULL;
    for (unsigned left = to; left != 0; left &= left - 1, out++) {
        unsigned o = (unsigned)__builtin_ctz(left);
        *out = line != NULL && o == octant ? *line : lines[lodei_svo_rank(from, o)];
        out->siblings = (uint8_t)to;
    }
    return block;
}

static struct lode_svo_line *group_with(const struct lode_svo *svo,
                                        const struct lodei_svo_spot *spot,
                                        const struct lode_svo_line *line)
{
    unsigned mask = lodei_svo_mask(spot->word);
    return group_make(svo, lodei_word_block(spot->word), mask, mask,
                      (unsigned)(spot->line->code & 7), line);
}

/* ---- an edit ---- */

static int swap(struct edit *e, const struct lodei_svo_spot *spot, struct lode_svo_line *block,
                unsigned mask)
{
    void *old;
    int status = lodei_svo_swap(e->svo, spot, block, mask, &old);
    if (status != 0)
        return status;
    if (old != NULL)
        e->old[e->old_count++] = old;
    e->svo->edits++;
    return 0;
}

static void goes(struct edit *e, const struct lode_svo_line *line, unsigned level)
{
    e->gone = *line;
    e->gone_level = level;
    e->has_gone = 1;
}

static void find_path(struct edit *e)
{
    e->top = e->svo->levels;
    lodei_svo_root(e->svo, &e->path[e->top]);
    while (e->top > e->level &&
           lodei_svo_look(&e->path[e->top], lodei_svo_octant(e->at, e->top - 1),
                          &e->path[e->top - 1], 1) == 1)
        e->top--;
}

/* What the target, or the inline node around it, is now. */
static void content_now(const struct edit *e, struct lode_svo_content *ret_content)
{
    const struct lode_svo_line *line = e->path[e->top].line;
    if (e->top == e->level) {
        lodei_svo_line_content(line, e->level, ret_content);
    } else {
        struct lode_svo_cell cell;
        lodei_svo_entry_cell(e->svo, line, e->top - 1, e->at, &cell);
        *ret_content = cell.content;
    }
}

static int replace(struct edit *e, unsigned level, const struct lode_svo_line *line)
{
    const struct lodei_svo_spot *spot = &e->path[level];
    struct lode_svo_line *block = group_with(e->svo, spot, line);
    if (block == NULL)
        return -ENOMEM;
    lodei_svo_count(e->svo, spot->line, level, -1);
    int status = swap(e, spot, block, lodei_svo_mask(spot->word));
    lodei_svo_count(e->svo, status == 0 ? line : spot->line, level, 1);
    if (status != 0)
        lode_free(block);
    return status;
}

/* The first Interface child of path[top]: a group of its own. */
static int attach_first(struct edit *e, const struct lode_svo_line *line)
{
    const struct lodei_svo_spot *parent = &e->path[e->top];
    struct lode_svo_line named = *parent->line;
    unsigned mask = 1u << (line->code & 7);
    struct lode_svo_line *block = group_with(e->svo, parent, &named);
    if (block == NULL)
        return -ENOMEM;
    int status = lodei_svo_publish(e->svo, line, mask, e->top - 1, &named.of.inner.children);
    if (status == 0) {
        unsigned octant = (unsigned)(parent->line->code & 7);
        block[lodei_svo_rank(lodei_svo_mask(parent->word), octant)].of.inner.children =
            named.of.inner.children;
        status = swap(e, parent, block, lodei_svo_mask(parent->word));
        if (status == 0)
            return 0;
        void *unseen;
        lodei_svo_count(e->svo, line, e->top - 1, -1);
        lodei_svo_release(e->svo, named.of.inner.children, &unseen);
        lode_free(unseen);
    }
    lode_free(block);
    return status;
}

/* One more among the Interface children of path[top]. */
static int attach_beside(struct edit *e, const struct lode_svo_line *line)
{
    struct lodei_svo_spot siblings = {.group = e->path[e->top].line->of.inner.children};
    siblings.word = lodei_svo_word(siblings.group);
    unsigned from = lodei_svo_mask(siblings.word), octant = (unsigned)(line->code & 7);
    int status = lodei_svo_room(e->svo, 1);
    if (status != 0)
        return status;
    struct lode_svo_line *block = group_make(e->svo, lodei_word_block(siblings.word), from,
                                             from | 1u << octant, octant, line);
    if (block == NULL)
        return -ENOMEM;
    status = swap(e, &siblings, block, from | 1u << octant);
    if (status != 0)
        lode_free(block);
    else
        lodei_svo_count(e->svo, line, e->top - 1, 1);
    return status;
}

/*
 * Make a line of `level` part of the tree, whose place is inline now, through a chain of new lines
 * up to path[top]. On failure all of it, and what is below the line, goes.
 */
static int attach(struct edit *e, struct lode_svo_line *line, unsigned level)
{
    const struct lode_svo_line *above = e->path[e->top].line;
    unsigned octant = lodei_svo_octant(e->at, e->top - 1);
    enum lode_svo_type was = lodei_svo_entry(above, octant);
    uint32_t value =
        was == LODE_SVO_HOMOGENEOUS ? above->of.inner.values[octant] : e->svo->empty_value;
    unsigned from = level;
    int status = lodei_svo_room(e->svo, e->top - level);
    for (; status == 0 && level < e->top - 1; level++) {
        lode_handle group;
        status = lodei_svo_publish(e->svo, line, 1u << (line->code & 7), level, &group);
        if (status != 0)
            break;
        unsigned child = (unsigned)(line->code & 7);
        lodei_svo_line_init(line, line->code >> 3, was, value);
        lodei_svo_entry_set(line, child, LODE_SVO_EMPTY, 0);
        line->of.inner.children = group;
    }
    if (status == 0)
        status = above->of.inner.children != 0 ? attach_beside(e, line) : attach_first(e, line);
    if (status != 0) {
        goes(e, line, level);
        return status;
    }
    e->svo->homogeneous[e->top - 1] -= was == LODE_SVO_HOMOGENEOUS;
    e->svo->splits += e->top - 1 - from;
    return 0;
}

/* The target, an Interface node with a parent, becomes inline. */
static int detach(struct edit *e, enum lode_svo_type type, uint32_t value)
{
    const struct lodei_svo_spot *parent = &e->path[e->level + 1], *spot = &e->path[e->level];
    unsigned octant = (unsigned)(spot->line->code & 7), from = lodei_svo_mask(spot->word);
    unsigned to = from & ~(1u << octant);
    /* A copy now: a version that was pinned is freed by whoever ends the pin, once it is swapped.
     */
    struct lode_svo_line gone = *spot->line, entry = *parent->line, *lower = NULL, *upper;
    lodei_svo_entry_set(&entry, octant, type, value);
    if (to == 0)
        entry.of.inner.children = 0;
    else if ((lower = group_make(e->svo, lodei_word_block(spot->word), from, to, 0, NULL)) == NULL)
        return -ENOMEM;
    upper = group_with(e->svo, parent, &entry);
    int status = upper != NULL ? swap(e, parent, upper, lodei_svo_mask(parent->word)) : -ENOMEM;
    if (status != 0) {
        lode_free(upper);
        lode_free(lower);
        return status;
    }
    if (to != 0) {
        status = swap(e, spot, lower, to);
        if (status != 0) { /* the entry written above means nothing while there is a line */
            lode_free(lower);
            return status;
        }
    } else {
        void *old;
        lodei_svo_release(e->svo, spot->group, &old);
        if (old != NULL)
            e->old[e->old_count++] = old;
    }
    goes(e, &gone, e->level);
    lodei_svo_count(e->svo, &e->gone, e->level, -1);
    e->svo->homogeneous[e->level] += type == LODE_SVO_HOMOGENEOUS;
    return 0;
}

/* While the target's siblings are all inline and what it is to become, let their parent be it. */
static void raise_target(struct edit *e, enum lode_svo_type type, uint32_t value)
{
    while (e->level + 1 < e->svo->levels && e->top <= e->level + 1) {
        const struct lode_svo_line *parent = e->path[e->level + 1].line;
        unsigned bit = 1u << lodei_svo_octant(e->at, e->level), lines = 0;
        if (parent->of.inner.children != 0)
            lines = lodei_svo_mask(lodei_svo_word(parent->of.inner.children));
        if ((lines & ~bit) != 0 || !entries_are(parent, bit, type, value))
            return;
        e->level++;
        e->top = e->level;
        e->raised++;
    }
}

/* The target, an Interface node, becomes another with other children. */
static int exchange(struct edit *e, const struct lode_svo_line *line)
{
    struct lode_svo_line old = *e->path[e->level].line;
    int status = replace(e, e->level, line);
    goes(e, status == 0 ? &old : line, e->level);
    return status;
}

static int set_inline(struct edit *e, enum lode_svo_type type, uint32_t value)
{
    struct lode_svo_line line;
    unsigned octant = lodei_svo_octant(e->at, e->level);
    if (e->level == e->svo->levels) {
        lodei_svo_line_init(&line, 1, type, value);
        line.user = e->path[e->level].line->user;
        return exchange(e, &line);
    }
    if (e->top == e->level)
        return detach(e, type, value);
    const struct lode_svo_line *above = e->path[e->top].line;
    unsigned from = lodei_svo_octant(e->at, e->top - 1);
    if (lodei_svo_entry(above, from) == type &&
        (type != LODE_SVO_HOMOGENEOUS || above->of.inner.values[from] == value))
        return 0;
    if (e->top == e->level + 1) {
        line = *above;
        lodei_svo_entry_set(&line, octant, type, value);
        return replace(e, e->top, &line);
    }
    enum lode_svo_type was = lodei_svo_entry(above, from);
    lodei_svo_line_init(&line, lodei_svo_code(e->svo, e->at, e->level + 1), was,
                        was == LODE_SVO_HOMOGENEOUS ? above->of.inner.values[from]
                                                    : e->svo->empty_value);
    lodei_svo_entry_set(&line, octant, type, value);
    int status = attach(e, &line, e->level + 1);
    e->svo->splits += status == 0;
    return status;
}

/* As set_inline(), merging upward if the tree does. */
static int set_uniform(struct edit *e, const struct lode_svo_content *content)
{
    enum lode_svo_type type = (enum lode_svo_type)content->type;
    if ((e->svo->flags & LODE_SVO_COALESCE) != 0)
        raise_target(e, type, content->value);
    return set_inline(e, type, content->value);
}

static int set_interface(struct edit *e, const struct lode_svo_content *content)
{
    struct lode_svo_line line;
    if (e->top == e->level) {
        line = *e->path[e->level].line;
        line.value = content->value;
        line.user = content->user;
        if (e->level == 0)
            memcpy(line.of.bricks, content->bricks, sizeof(line.of.bricks));
        return replace(e, e->level, &line);
    }
    uint64_t code = lodei_svo_code(e->svo, e->at, e->level);
    if (e->level == 0) {
        lodei_svo_leaf_init(&line, code, content);
        return attach(e, &line, 0);
    }
    const struct lode_svo_line *above = e->path[e->top].line;
    unsigned from = lodei_svo_octant(e->at, e->top - 1);
    lodei_svo_line_init(&line, code, lodei_svo_entry(above, from), above->of.inner.values[from]);
    line.value = content->value;
    line.user = content->user;
    int status = attach(e, &line, e->level);
    e->svo->splits += status == 0;
    return status;
}

/* A line that was built, with what is below it, in the place of the target. */
static int put_line(struct edit *e, const struct lode_svo_line *built)
{
    struct lode_svo_line line = *built;
    if (e->top != e->level)
        return attach(e, &line, e->level);
    return exchange(e, &line);
}

static void edit_begin(struct edit *e, struct lode_svo *svo, unsigned level, const uint32_t at[3])
{
    e->svo = svo;
    memcpy(e->at, at, sizeof(e->at));
    e->level = level;
    e->raised = 0;
    e->old_count = 0;
    e->has_gone = 0;
    pthread_mutex_lock(&svo->lock);
    find_path(e);
}

/* Returns the lines that were freed. */
static uint64_t edit_end(struct edit *e, int status)
{
    e->svo->coalesced += status == 0 ? e->raised : 0;
    pthread_mutex_unlock(&e->svo->lock);
    for (unsigned i = 0; i < e->old_count; i++)
        lodei_grace_free(e->old[i]);
    if (!e->has_gone)
        return 0;
    return 1 + lodei_svo_dispose(e->svo, &e->gone, e->gone_level, status == 0);
}

int lode_svo_set(struct lode_svo *svo, unsigned level, struct lode_ivec3 at,
                 const struct lode_svo_content *content, struct lode_svo_content *ret_old)
{
    struct edit e;
    struct lode_svo_content old;
    uint32_t brick[3];
    int status;
    if (level > svo->levels || content->type > LODE_SVO_INTERFACE)
        return -EINVAL;
    if (!lodei_svo_inside(svo, at, brick))
        return -ERANGE;
    edit_begin(&e, svo, level, brick);
    if (ret_old != NULL)
        content_now(&e, &old);
    if (content->type == LODE_SVO_INTERFACE)
        status = set_interface(&e, content);
    else
        status = set_uniform(&e, content);
    edit_end(&e, status);
    if (status == 0 && ret_old != NULL)
        *ret_old = old;
    return status;
}

int lode_svo_split(struct lode_svo *svo, unsigned level, struct lode_ivec3 at)
{
    struct edit e;
    uint32_t brick[3];
    int status = 0;
    if (level == 0 || level > svo->levels)
        return -EINVAL;
    if (!lodei_svo_inside(svo, at, brick))
        return -ERANGE;
    edit_begin(&e, svo, level, brick);
    if (e.top != e.level) {
        struct lode_svo_content content;
        content_now(&e, &content);
        status = set_interface(&e, &content);
    }
    edit_end(&e, status);
    return status;
}

int lodei_svo_put(struct lode_svo *svo, unsigned level, const uint32_t at[3],
                  const struct lode_svo_line *line, const struct lode_svo_content *content)
{
    struct edit e;
    edit_begin(&e, svo, level, at);
    int status = line != NULL ? put_line(&e, line) : set_uniform(&e, content);
    edit_end(&e, status);
    return status;
}

int lodei_svo_merge(struct lode_svo *svo, unsigned level, const uint32_t at[3], uint64_t *ret_freed)
{
    struct edit e;
    int status = 0;
    edit_begin(&e, svo, level, at);
    const struct lode_svo_line *line = e.path[e.top].line;
    if (e.top == level && level < svo->levels && lodei_svo_is_uniform(line)) {
        enum lode_svo_type type = lodei_svo_entry(line, 0);
        uint32_t value = line->of.inner.values[0];
        e.raised = 1;
        raise_target(&e, type, value);
        status = set_inline(&e, type, value);
    }
    *ret_freed = edit_end(&e, status);
    return status;
}
