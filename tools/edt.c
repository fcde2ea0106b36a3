/* SPDX-License-Identifier: MIT */
/*
 * The distance transform of edt.h: A. Meijster, J. Roerdink, W. Hesselink, "A general algorithm for
 * computing distance transforms in linear time" (2000), its Euclidean case, taken from two to three
 * dimensions by repeating its second phase. Exact: nothing but integers.
 *
 * Along x, two scans give each voxel its distance to the nearest feature of its row. Along y and
 * then z, the square of a voxel is the least of (u - i)^2 + square(i) over its line: the lower
 * envelope of one parabola a voxel, built from left to right with a stack of those that are on it,
 * and read back from right to left.
 *
 *     f(i) + (u-i)^2   \   \_/   /       stack: which parabola (at), and from where on (from)
 *                       \__/ \__/
 *
 * Lines along y and z are copied out TILE at a time, so that each cache line read serves TILE of
 * them.
 */
#include <string.h>

#include "edt.h"
#include "pages.h"

enum { TILE = 16 };
/* Stands for no feature so far: more than any square, and twice it fits an int32_t. */
#define FAR (1 << 29)

_Static_assert(3 * LODEI_EDT_SIDE * LODEI_EDT_SIDE < FAR, "squares are less than FAR");

/* One line to work on: f is the input, and output. */
struct line {
    int32_t f[LODEI_EDT_SIDE], envelope[LODEI_EDT_SIDE];
    int32_t at[LODEI_EDT_SIDE], from[LODEI_EDT_SIDE];
};

struct workplace {
    int32_t tile[TILE][LODEI_EDT_SIDE];
    struct line line;
};

static void scan_row(const uint8_t *features, uint32_t count, int32_t *squares)
{
    int32_t distance = FAR;

    for (uint32_t x = 0; x < count; x++) {
        distance = features[x] ? 0 : distance + (distance < FAR);
        squares[x] = distance;
    }
    distance = FAR;
    for (uint32_t x = count; x-- > 0;) {
        distance = features[x] ? 0 : distance + (distance < FAR);
        if (distance < squares[x])
            squares[x] = distance;
        squares[x] = squares[x] < FAR ? squares[x] * squares[x] : FAR;
    }
}

/* The parabola of voxel i, at u. */
static int32_t parabola(const int32_t *f, int32_t i, int32_t u)
{
    return (u - i) * (u - i) + f[i];
}

static void transform_line(struct line *line, int32_t count)
{
    int32_t *f = line->f, *at = line->at, *from = line->from, top = 0;

    at[0] = from[0] = 0;
    for (int32_t u = 1; u < count; u++) {
        while (top >= 0 && parabola(f, at[top], from[top]) > parabola(f, u, from[top]))
            top--;
        if (top < 0) {
            top = 0;
            at[0] = u;
        } else {
            /* where u's parabola gets below that of i; not negative, or i had been popped */
            int32_t i = at[top];
            int32_t cross = 1 + (u * u - i * i + f[u] - f[i]) / (2 * (u - i));

            if (cross < count) {
                top++;
                at[top] = u;
                from[top] = cross;
            }
        }
    }
    for (int32_t u = count - 1; u >= 0; u--) {
        line->envelope[u] = parabola(f, at[top], u);
        top -= u == from[top];
    }
}

/* Transform `count` lines that start side by side at `squares`, `length` voxels `stride` apart. */
static void transform_tile(struct workplace *work, int32_t *squares, uint32_t count,
                           uint32_t length, size_t stride)
{
    for (uint32_t u = 0; u < length; u++)
        for (uint32_t c = 0; c < count; c++)
            work->tile[c][u] = squares[u * stride + c];
    for (uint32_t c = 0; c < count; c++) {
        memcpy(work->line.f, work->tile[c], length * sizeof(int32_t));
        transform_line(&work->line, (int32_t)length);
        memcpy(work->tile[c], work->line.envelope, length * sizeof(int32_t));
    }
    for (uint32_t u = 0; u < length; u++)
        for (uint32_t c = 0; c < count; c++)
            squares[u * stride + c] = work->tile[c][u] < FAR ? work->tile[c][u] : FAR;
}

static void transform_slice(struct workplace *work, int32_t *squares, uint32_t width,
                            uint32_t length, size_t stride)
{
    for (uint32_t x = 0; x < width; x += TILE)
        transform_tile(work, squares + x, width - x < TILE ? width - x : TILE, length, stride);
}

void lodei_edt(const uint8_t *features, const uint32_t sides[3], int32_t *ret_squares)
{
    struct workplace *work = lodei_pages_alloc(1, sizeof(*work));
    size_t row = sides[0], slice = row * sides[1], voxels = slice * sides[2];

    for (size_t at = 0; at < voxels; at += row)
        scan_row(features + at, sides[0], ret_squares + at);
    for (size_t at = 0; at < voxels; at += slice)
        transform_slice(work, ret_squares + at, sides[0], sides[1], row);
    for (size_t at = 0; at < slice; at += row)
        transform_slice(work, ret_squares + at, sides[0], sides[2], slice);
    for (size_t i = 0; i < voxels; i++)
        if (ret_squares[i] >= FAR)
            ret_squares[i] = LODEI_EDT_NONE;
    lodei_pages_free(work, 1, sizeof(*work));
}
