/* SPDX-License-Identifier: MIT */
/*
 * Point queries: from a brick, or from a reference to a node, to what is there. Each runs in a
 * reading section and takes no lock; svotree.h says why what it reads belongs together. Owns
 * nothing. It must never write to a line.
 */
#include "ext/svotree.h"

#include <errno.h>
#include <string.h>

void lodei_svo_code_at(uint64_t code, unsigned level, uint32_t ret_at[3])
{
    ret_at[0] = ret_at[1] = ret_at[2] = 0;
    for (; code != 1; code >>= 3, level++)
        for (unsigned axis = 0; axis < 3; axis++)
            ret_at[axis] |= (uint32_t)(code >> axis & 1) << level;
}

void lodei_svo_line_content(const struct lode_svo_line *line, unsigned level,
                            struct lode_svo_content *ret_content)
{
    ret_content->type = LODE_SVO_INTERFACE;
    ret_content->value = line->value;
    ret_content->user = line->user;
    if (level == 0)
        memcpy(ret_content->bricks, line->of.bricks, sizeof(line->of.bricks));
    else
        memset(ret_content->bricks, 0, sizeof(ret_content->bricks));
}

static void cell_at(const struct lode_svo *svo, unsigned level, const uint32_t at[3],
                    struct lode_svo_cell *ret_cell)
{
    uint32_t corner[3] = {at[0] >> level << level, at[1] >> level << level,
                          at[2] >> level << level};
    ret_cell->level = level;
    ret_cell->at = lodei_svo_brick(svo, corner);
}

void lodei_svo_line_cell(const struct lode_svo *svo, const struct lodei_svo_spot *spot,
                         unsigned level, const uint32_t at[3], struct lode_svo_cell *ret_cell)
{
    lodei_svo_line_content(spot->line, level, &ret_cell->content);
    cell_at(svo, level, at, ret_cell);
    ret_cell->node = (struct lode_node){spot->group, (uint32_t)(spot->line->code & 7), level};
}

void lodei_svo_entry_cell(const struct lode_svo *svo, const struct lode_svo_line *parent,
                          unsigned level, const uint32_t at[3], struct lode_svo_cell *ret_cell)
{
    unsigned octant = lodei_svo_octant(at, level);
    ret_cell->content = (struct lode_svo_content){.type = lodei_svo_entry(parent, octant)};
    ret_cell->content.value = ret_cell->content.type == LODE_SVO_HOMOGENEOUS
                                  ? parent->of.inner.values[octant]
                                  : svo->empty_value;
    cell_at(svo, level, at, ret_cell);
    ret_cell->node = (struct lode_node){LODE_HANDLE_NULL, 0, 0};
}

int lode_svo_get(struct lode_svo *svo, unsigned level, struct lode_ivec3 at,
                 struct lode_svo_cell *ret_cell)
{
    uint32_t brick[3];
    struct lodei_svo_spot spot;
    unsigned found_level;
    int found;
    if (level > svo->levels)
        return -EINVAL;
    if (!lodei_svo_inside(svo, at, brick))
        return -ERANGE;
    if (lode_read_begin() != 0)
        return -ENOMEM;
    do {
        lodei_svo_root(svo, &spot);
        found_level = svo->levels;
        found = lodei_svo_descend(brick, level, &spot, &found_level);
    } while (lode_unlikely(found == LODEI_SVO_AGAIN));
    if (found != 0)
        lodei_svo_line_cell(svo, &spot, level, brick, ret_cell);
    else
        lodei_svo_entry_cell(svo, spot.line, found_level, brick, ret_cell);
    lode_read_end();
    return 0;
}

int lode_svo_node_get(struct lode_svo *svo, struct lode_node node, struct lode_svo_cell *ret_cell)
{
    struct lodei_svo_spot spot = {.group = node.group};
    int status = -ESTALE;
    if (node.group == LODE_HANDLE_NULL || node.octant > 7 || node.level > svo->levels ||
        lodei_handle_owner(node.group) != svo)
        return -EINVAL;
    if (lode_read_begin() != 0)
        return -ENOMEM;
    spot.word = lodei_handle_word(node.group);
    spot.line = lode_svo_line_in(lodei_word_block(spot.word), node.octant);
    if (spot.line != NULL) {
        uint32_t at[3];
        unsigned level = svo->levels - (63 - (unsigned)__builtin_clzll(spot.line->code)) / 3;
        status = level == node.level ? 0 : -EINVAL;
        lodei_svo_code_at(spot.line->code, level, at);
        if (status == 0)
            lodei_svo_line_cell(svo, &spot, level, at, ret_cell);
    }
    lode_read_end();
    return status;
}
