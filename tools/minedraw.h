/* SPDX-License-Identifier: MIT */
/*
 * The picture of `lode mine`: a slice of the terrain, twice.
 *
 *     above  each brick's tier: red 16 bits, yellow 8, blue 4; violet: contents only; grey:
 *            homogeneous; white: empty
 *     below  the span of 64 KiB that its distances lie in, or without them its contents: one hue a
 *            span, white and grey where there are none
 *
 * What is solid is dark, what is not is pale, and what lies outside the window is black.
 */
#ifndef LODEI_MINEDRAW_H
#define LODEI_MINEDRAW_H

#include "minerun.h"
#include "picture.h"

/* `sides` of the world in bricks. *ret_picture is ended with lodei_picture_finish(). */
void lodei_mine_draw(const struct lodei_mine_slice *slice, const int32_t sides[3],
                     struct lodei_picture *ret_picture);

#endif
