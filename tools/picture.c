/* SPDX-License-Identifier: MIT */
/* Pictures, with libpng's simplified interface; the only file that includes it. See picture.h. */
#include <err.h>
#include <png.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

/* libpng opens no file for us: it would remove what could not be written, a device too. */
static int write_png(const struct lodei_picture *picture, FILE *out, const char *path)
{
    png_image image = {.version = PNG_IMAGE_VERSION,
                       .width = picture->width,
                       .height = picture->height,
                       .format = PNG_FORMAT_RGB};

    if (!png_image_write_to_stdio(&image, out, 0, picture->pixels, 0, NULL)) {
        warnx("%s: %s", path, image.message);
        return -1;
    }
    if (fflush(out) == 0)
        return 0;
    warn("%s", path);
    return -1;
}

int lodei_picture_write(const struct lodei_picture *picture, const char *path)
{
    FILE *out = fopen(path, "wbe");
    struct stat status;
    int fault;

    if (out == NULL) {
        warn("%s", path);
        return -1;
    }
    fault = write_png(picture, out, path);
    if (fault != 0 && fstat(fileno(out), &status) == 0 && S_ISREG(status.st_mode))
        unlink(path);
    fclose(out);
    return fault;
}
