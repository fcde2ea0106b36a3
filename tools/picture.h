/* SPDX-License-Identifier: MIT */
/* Pictures for people to look at. */
#ifndef LODEI_PICTURE_H
#define LODEI_PICTURE_H

#include <stddef.h>
#include <stdint.h>

struct lodei_picture {
    uint32_t width, height;
    uint8_t (*pixels)[3]; /* [height][width], red, green, blue */
};

/* All black. */
void lodei_picture_init(struct lodei_picture *picture, uint32_t width, uint32_t height);
void lodei_picture_finish(struct lodei_picture *picture);

/* Paint a rectangle; the part of it that lies outside is left out. */
void lodei_picture_paint(struct lodei_picture *picture, uint32_t x, uint32_t y, uint32_t width,
                         uint32_t height, const uint8_t colour[3]);

/* Write it as PNG. Returns 0, or -1 after a message; then no file has part of it. What is not a
 * regular file stays where it is. */
int lodei_picture_write(const struct lodei_picture *picture, const char *path);

#endif
