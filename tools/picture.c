/* SPDX-License-Identifier: MIT */
/* Pictures, with libpng's simplified interface; the only file that includes it. See picture.h. */
#include <err.h>
#include <png.h>
#include <string.h>

#include "pages.h"
#include "picture.h"

static const size_t pixel_bytes = sizeof(uint8_t[3]);

void lodei_picture_init(struct lodei_picture *picture, uint32_t width, uint32_t height)
{
    picture->width = width;
    picture->height = height;
    picture->pixels = lodei_pages_alloc((size_t)width * height, pixel_bytes);
}

void lodei_picture_finish(struct lodei_picture *picture)
{
    lodei_pages_free(picture->pixels, (size_t)picture->width * picture->height, pixel_bytes);
}

void lodei_picture_paint(struct lodei_picture *picture, uint32_t x, uint32_t y, uint32_t width,
                         uint32_t height, const uint8_t colour[3])
{
    for (uint32_t row = y; row < y + height && row < picture->height; row++)
        for (uint32_t column = x; column < x + width && column < picture->width; column++)
            memcpy(picture->pixels[(size_t)row * picture->width + column], colour, pixel_bytes);
}

int lodei_picture_write(const struct lodei_picture *picture, const char *path)
{
    png_image image = {.version = PNG_IMAGE_VERSION,
                       .width = picture->width,
                       .height = picture->height,
                       .format = PNG_FORMAT_RGB};

    /* a file that could not be finished is removed by libpng */
    if (png_image_write_to_file(&image, path, 0, picture->pixels, 0, NULL))
        return 0;
    warnx("%s: %s", path, image.message);
    return -1;
}
