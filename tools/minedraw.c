/* SPDX-License-Identifier: MIT */
/* Draws a slice; see minedraw.h. Spans are numbered in the order of their addresses, and hues go
 * round the circle in steps of the golden ratio, so that neighbours differ. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "minedraw.h"
#include "xalloc.h"

enum { SPAN_SHIFT = 16, GAP = 12, WIDTH = 1024 };

typedef uint8_t colour[3];

struct spans {
    uintptr_t *numbers; /* ascending, each once */
    size_t count;
};

static int by_value(const void *a, const void *b)
{
    uintptr_t left = *(const uintptr_t *)a, right = *(const uintptr_t *)b;

    return (left > right) - (left < right);
}

static void find_spans(const struct lodei_mine_slice *slice, size_t bricks, struct spans *spans)
{
    size_t unique = 0;

    spans->numbers = lodei_xcalloc(bricks, sizeof(*spans->numbers));
    spans->count = 0;
    for (size_t i = 0; i < bricks; i++)
        if (slice->bricks[i].address != 0)
            spans->numbers[spans->count++] = slice->bricks[i].address >> SPAN_SHIFT;
    qsort(spans->numbers, spans->count, sizeof(*spans->numbers), by_value);
    for (size_t i = 0; i < spans->count; i++)
        if (i == 0 || spans->numbers[i] != spans->numbers[i - 1])
            spans->numbers[unique++] = spans->numbers[i];
    spans->count = unique;
}

/* A colour of full brightness: hue in turns. */
static void hue_colour(double hue, colour ret_colour)
{
    for (int c = 0; c < 3; c++) {
        double turn = fmod(hue + c / 3.0, 1.0), part = fabs(turn * 6 - 3) - 1;

        part = part < 0 ? 0 : part > 1 ? 1 : part;
        ret_colour[c] = (uint8_t)(60 + 180 * part);
    }
}

static void plain_colour(const struct lodei_mine_slice_brick *brick, colour ret_colour)
{
    static const colour empty = {250, 250, 250}, homogeneous = {150, 150, 150},
                        contents_only = {165, 130, 190};

    memcpy(ret_colour,
           brick->kind == LODEI_MINE_EMPTY         ? empty
           : brick->kind == LODEI_MINE_HOMOGENEOUS ? homogeneous
                                                   : contents_only,
           sizeof(colour));
}

static void tier_colour(const struct lodei_mine_slice_brick *brick, colour ret_colour)
{
    static const colour tiers[LODEI_MINE_TIERS] = {{230, 80, 60}, {240, 190, 50}, {70, 130, 230}};

    if (!brick->with_distances)
        plain_colour(brick, ret_colour);
    else
        memcpy(ret_colour, tiers[brick->tier], sizeof(colour));
}

static void span_colour(const struct lodei_mine_slice_brick *brick, const struct spans *spans,
                        colour ret_colour)
{
    uintptr_t span = brick->address >> SPAN_SHIFT;
    const uintptr_t *found;

    if (brick->address == 0) {
        plain_colour(brick, ret_colour);
        return;
    }
    found = bsearch(&span, spans->numbers, spans->count, sizeof(span), by_value);
    hue_colour((double)(found - spans->numbers) * 0.6180339887498949, ret_colour);
}

/* Solid voxels at two thirds of the colour, others halfway to white. */
static void shade(const colour base, int solid, colour ret_colour)
{
    for (int c = 0; c < 3; c++)
        ret_colour[c] = (uint8_t)(solid ? base[c] * 2 / 3 : (base[c] + 255) / 2);
}

struct panel {
    const struct lodei_mine_slice *slice;
    const int32_t *sides;
    struct lodei_picture *picture;
    uint32_t top, scale; /* pixels a voxel */
};

static void draw_brick(const struct panel *panel, int32_t bx, int32_t by, const colour base)
{
    size_t width = (size_t)panel->sides[0] * LODEI_MINE_SIDE;
    int32_t height = panel->sides[1] * LODEI_MINE_SIDE;

    for (int32_t y = by * LODEI_MINE_SIDE; y < (by + 1) * LODEI_MINE_SIDE; y++)
        for (int32_t x = bx * LODEI_MINE_SIDE; x < (bx + 1) * LODEI_MINE_SIDE; x++) {
            colour voxel;

            shade(base, panel->slice->solid[(size_t)y * width + (size_t)x], voxel);
            /* up is up */
            lodei_picture_paint(panel->picture, (uint32_t)x * panel->scale,
                                panel->top + (uint32_t)(height - 1 - y) * panel->scale,
                                panel->scale, panel->scale, voxel);
        }
}

static void draw_panel(const struct panel *panel, const struct spans *spans)
{
    for (int32_t y = 0; y < panel->sides[1]; y++)
        for (int32_t x = 0; x < panel->sides[0]; x++) {
            const struct lodei_mine_slice_brick *brick =
                &panel->slice->bricks[(size_t)y * (size_t)panel->sides[0] + (size_t)x];
            colour base;

            if (!brick->in_window)
                continue;
            if (spans != NULL)
                span_colour(brick, spans, base);
            else
                tier_colour(brick, base);
            draw_brick(panel, x, y, base);
        }
}

void lodei_mine_draw(const struct lodei_mine_slice *slice, const int32_t sides[3],
                     struct lodei_picture *ret_picture)
{
    uint32_t width = (uint32_t)sides[0] * LODEI_MINE_SIDE;
    uint32_t height = (uint32_t)sides[1] * LODEI_MINE_SIDE;
    uint32_t scale = width < WIDTH ? WIDTH / width : 1;
    struct panel panel = {.slice = slice, .sides = sides, .picture = ret_picture, .scale = scale};
    struct spans spans;

    find_spans(slice, (size_t)sides[0] * (size_t)sides[1], &spans);
    lodei_picture_init(ret_picture, width * scale, 2 * height * scale + GAP);
    draw_panel(&panel, NULL);
    panel.top = height * scale + GAP;
    draw_panel(&panel, &spans);
    free(spans.numbers);
}
