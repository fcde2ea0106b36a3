/* SPDX-License-Identifier: MIT */
/*
 * Building a part of the octree from a source: eight children are asked for, those that are
 * Interface are built first, and then their lines make one group, so each group is written once and
 * at its final size, in the order in which a depth-first walk leaves the nodes: Morton order. What
 * is built is not in the tree until one edit puts it there (svoedit.c).
 *
 * The lock is held for one group at a time, never while the source is asked.
 */
#include "ext/svotree.h"

#include <errno.h>
#include <string.h>

struct builder {
    struct lode_svo *svo;
    lode_svo_source source;
    void *ctx;
};

static int ask(const struct builder *b, unsigned level, const uint32_t at[3],
               struct lode_svo_content *content)
{
    memset(content, 0, sizeof(*content));
    int status = b->source(b->ctx, level, lodei_svo_brick(b->svo, at), content);
    if (status == 0 && content->type > LODE_SVO_INTERFACE)
        return -EINVAL;
    return status;
}

/* The Interface children of a node that is being built. */
struct brood {
    struct lode_svo_line lines[8];
    unsigned count, mask;
};

/* They are not needed: what is below them goes. */
static void brood_drop(const struct builder *b, const struct brood *brood, unsigned level)
{
    for (unsigned i = 0; i < brood->count; i++)
        lodei_svo_dispose(b->svo, &brood->lines[i], level, 0);
}

static int brood_publish(const struct builder *b, const struct brood *brood, unsigned level,
                         lode_handle *ret_group)
{
    if (brood->count == 0)
        return 0;
    pthread_mutex_lock(&b->svo->lock);
    int status = lodei_svo_publish(b->svo, brood->lines, brood->mask, level, ret_group);
    pthread_mutex_unlock(&b->svo->lock);
    return status;
}

/*
 * Build what is below the Interface node `content` of `level`, which is above 0. *line is its line,
 * unless its children turn out to be alike: then content->type is what they are. 0 or -errno, or
 * what the source returned; then nothing is left.
 */
static int build_inner(const struct builder *b, unsigned level, const uint32_t at[3],
                       struct lode_svo_content *content, struct lode_svo_line *line)
{
    struct brood brood;
    int status = 0;
    brood.count = brood.mask = 0;
    lodei_svo_line_init(line, lodei_svo_code(b->svo, at, level), LODE_SVO_EMPTY, content->value);
    line->user = content->user;
    for (unsigned o = 0; o < 8 && status == 0; o++) {
        struct lode_svo_content child;
        uint32_t corner[3];
        for (unsigned axis = 0; axis < 3; axis++)
            corner[axis] = at[axis] | (o >> axis & 1) << (level - 1);
        status = ask(b, level - 1, corner, &child);
        if (status != 0)
            break;
        if (child.type == LODE_SVO_INTERFACE && level == 1)
            lodei_svo_leaf_init(&brood.lines[brood.count], line->code << 3 | o, &child);
        else if (child.type == LODE_SVO_INTERFACE)
            status = build_inner(b, level - 1, corner, &child, &brood.lines[brood.count]);
        if (status == 0 && child.type == LODE_SVO_INTERFACE) {
            brood.count++;
            brood.mask |= 1u << o;
        } else if (status == 0) {
            lodei_svo_entry_set(line, o, (enum lode_svo_type)child.type, child.value);
        }
    }
    if (status == 0)
        status = brood_publish(b, &brood, level - 1, &line->of.inner.children);
    if (status != 0) {
        brood_drop(b, &brood, level - 1);
    } else if (lodei_svo_is_uniform(line)) {
        content->type = lodei_svo_entry(line, 0);
        content->value = line->of.inner.values[0];
    }
    return status;
}

int lode_svo_build(struct lode_svo *svo, unsigned level, struct lode_ivec3 at,
                   lode_svo_source source, void *ctx)
{
    struct builder b = {svo, source, ctx};
    struct lode_svo_content content;
    struct lode_svo_line line;
    uint32_t corner[3];
    if (level > svo->levels)
        return -EINVAL;
    if (!lodei_svo_inside(svo, at, corner))
        return -ERANGE;
    for (int axis = 0; axis < 3; axis++)
        corner[axis] = corner[axis] >> level << level;
    int status = ask(&b, level, corner, &content);
    if (status == 0 && content.type == LODE_SVO_INTERFACE && level != 0)
        status = build_inner(&b, level, corner, &content, &line);
    else if (content.type == LODE_SVO_INTERFACE)
        lodei_svo_leaf_init(&line, lodei_svo_code(svo, corner, 0), &content);
    if (status != 0)
        return status;
    return lodei_svo_put(svo, level, corner, content.type == LODE_SVO_INTERFACE ? &line : NULL,
                         &content);
}
