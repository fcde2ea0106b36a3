/* SPDX-License-Identifier: MIT */
/*
 * Reading around a place: the cursor over 27 bricks, and bricks with an apron.
 *
 * All of it works within a reading section: each brick is found once, its block and coding noted,
 * and read as often as needed. A voxel of a brick that is not there counts as the band, with the
 * sign of the nearest voxel of the cursor's brick: a missing brick lies beyond the band, where
 * distances change by at most 1 a voxel, so no surface can be between the two.
 */
#include <errno.h>

#include "ext/grace.h"
#include "ext/sdfpool.h"

#define CENTRE 13

static unsigned neighbour(int dx, int dy, int dz)
{
    return (unsigned)(dx + 1 + 3 * (dy + 1) + 9 * (dz + 1));
}

/* ---- the cursor ---- */

static void cursor_find(struct lode_cursor *cursor, struct lodei_grid *grid, unsigned n,
                        struct lode_ivec3 at)
{
    struct lode_sdf *sdf = cursor->sdf;
    cursor->blocks[n] = NULL;
    cursor->bricks[n] =
        lodei_grid_holds(at.x, at.y, at.z) ? lodei_grid_brick(grid, at.x, at.y, at.z) : 0;
    uint64_t word = cursor->bricks[n] != 0 ? lodei_handle_word(cursor->bricks[n]) : 0;
    if (word == 0) {
        cursor->bricks[n] = 0;
        return;
    }
    struct lodei_coding coding = lodei_coding_of(sdf, word);
    cursor->blocks[n] = lodei_word_block(word);
    cursor->bits[n] = (uint8_t)coding.bits;
    cursor->quantum[n] = lodei_sdf_quantum(coding.bits, coding.band);
}

/* Find again what is there now; `from` (NULL: nothing) has what an earlier place found, shifted. */
static void cursor_fill(struct lode_cursor *cursor, struct lodei_grid *grid,
                        const struct lode_cursor *from)
{
    int dx = from != NULL ? cursor->at.x - from->at.x : 3;
    int dy = from != NULL ? cursor->at.y - from->at.y : 3;
    int dz = from != NULL ? cursor->at.z - from->at.z : 3;
    for (int z = -1; z <= 1; z++)
        for (int y = -1; y <= 1; y++)
            for (int x = -1; x <= 1; x++) {
                unsigned n = neighbour(x, y, z);
                struct lode_ivec3 at = {cursor->at.x + x, cursor->at.y + y, cursor->at.z + z};
                if (x + dx < -1 || x + dx > 1 || y + dy < -1 || y + dy > 1 || z + dz < -1 ||
                    z + dz > 1) {
                    cursor_find(cursor, grid, n, at);
                    continue;
                }
                unsigned old = neighbour(x + dx, y + dy, z + dz);
                cursor->bricks[n] = from->bricks[old];
                cursor->blocks[n] = from->blocks[old];
                cursor->quantum[n] = from->quantum[old];
                cursor->bits[n] = from->bits[old];
            }
}

int lode_cursor_move(struct lode_cursor *cursor, struct lode_sdf *sdf, unsigned channel,
                     struct lode_ivec3 at)
{
    if (channel >= sdf->channel_count || sdf->channels[channel].format != LODE_CHANNEL_SDF ||
        !lodei_grace_inside())
        return -EINVAL;
    if (!lodei_grid_holds(at.x, at.y, at.z))
        return -ERANGE;
    struct lode_cursor before = *cursor;
    uint64_t section = lodei_grace_section();
    int same = before.sdf == sdf && before.channel == channel && before.section == section;
    cursor->sdf = sdf;
    cursor->channel = channel;
    cursor->dim = sdf->dim;
    cursor->section = section;
    cursor->at = at;
    cursor_fill(cursor, &sdf->channels[channel].grid, same ? &before : NULL);
    return cursor->blocks[CENTRE] != NULL ? 0 : -ENOENT;
}

/* A voxel of brick n of the cursor, which is there. */
static float value_in(const struct lode_cursor *cursor, unsigned n, int x, int y, int z)
{
    int dim = (int)cursor->dim;
    size_t index = (size_t)(x + dim * (y + dim * z));
    unsigned bits = cursor->bits[n];
    return lodei_sdf_value(bits, cursor->quantum[n],
                           lodei_sdf_code_at(bits, cursor->blocks[n], index));
}

static int clamped(int v, int top)
{
    return v < 0 ? 0 : v > top ? top : v;
}

/* -1, 0 or 1: on which side of the cursor's brick. */
static int side(int v, int dim)
{
    return v < 0 ? -1 : v >= dim;
}

static float band_of(const struct lode_cursor *cursor, unsigned n)
{
    return cursor->quantum[n] * (float)(1u << (cursor->bits[n] - 1));
}

float lode_cursor_value(const struct lode_cursor *cursor, int x, int y, int z)
{
    int dim = (int)cursor->dim;
    int dx = side(x, dim), dy = side(y, dim), dz = side(z, dim);
    unsigned n = neighbour(dx, dy, dz);
    if (cursor->blocks[n] != NULL)
        return value_in(cursor, n, x - dx * dim, y - dy * dim, z - dz * dim);
    float nearest =
        value_in(cursor, CENTRE, clamped(x, dim - 1), clamped(y, dim - 1), clamped(z, dim - 1));
    return lodei_sdf_beyond(nearest, band_of(cursor, CENTRE));
}

/* ---- a brick with an apron ---- */

/* Where neighbour d on one axis stands in the array, and what part of the brick it is. */
static void apron_span(int d, unsigned dim, unsigned apron, unsigned *ret_to, unsigned *ret_corner,
                       unsigned *ret_size)
{
    *ret_to = d < 0 ? 0 : d == 0 ? apron : apron + dim;
    *ret_corner = d < 0 ? dim - apron : 0;
    *ret_size = d == 0 ? dim : apron;
}

static void apron_part(const struct lode_cursor *cursor, unsigned apron, const int d[3],
                       float *ret_values)
{
    unsigned dim = cursor->dim, to[3], n = neighbour(d[0], d[1], d[2]);
    size_t row = dim + 2 * apron, slice = row * row;
    struct lodei_sdf_box box;
    for (unsigned axis = 0; axis < 3; axis++)
        apron_span(d[axis], dim, apron, &to[axis], &box.corner[axis], &box.size[axis]);
    float *values = ret_values + to[0] + row * to[1] + slice * to[2];
    if (cursor->blocks[n] != NULL) {
        lodei_sdf_decode_box(cursor->bits[n], dim, band_of(cursor, n), cursor->blocks[n], &box,
                             values, row, slice);
        return;
    }
    for (unsigned z = 0; z < box.size[2]; z++)
        for (unsigned y = 0; y < box.size[1]; y++)
            for (unsigned x = 0; x < box.size[0]; x++)
                values[x + row * y + slice * z] =
                    lode_cursor_value(cursor, (int)(to[0] + x) - (int)apron,
                                      (int)(to[1] + y) - (int)apron, (int)(to[2] + z) - (int)apron);
}

int lode_sdf_decode_apron(struct lode_sdf *sdf, unsigned channel, struct lode_ivec3 at,
                          unsigned apron, float *ret_values)
{
    struct lode_cursor cursor = {0};
    if (apron > sdf->dim)
        return -EINVAL;
    int status = lode_read_begin();
    if (status != 0)
        return status;
    status = lode_cursor_move(&cursor, sdf, channel, at);
    for (int i = 0; i < 27 && status == 0; i++) {
        const int d[3] = {i % 3 - 1, i / 3 % 3 - 1, i / 9 - 1};
        if (apron != 0 || i == CENTRE)
            apron_part(&cursor, apron, d, ret_values);
    }
    lode_read_end();
    return status;
}
