/* SPDX-License-Identifier: MIT */
/*
 * Owns nothing: the buffer is the caller's. One thread per buffer. Short and interrupted writes are
 * continued.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "trace/rawout.h"

void lodei_rawout_init(struct lodei_rawout *out, int fd)
{
    out->fd = fd;
    out->failed = false;
    out->used = 0;
}

void lodei_rawout_flush(struct lodei_rawout *out)
{
    size_t done = 0;

    while (done < out->used && !out->failed) {
        ssize_t bytes = write(out->fd, out->text + done, out->used - done);

        if (bytes > 0)
            done += (size_t)bytes;
        else if (bytes == 0 || errno != EINTR)
            out->failed = true;
    }
    out->used = 0;
}

void lodei_rawout_str(struct lodei_rawout *out, const char *text)
{
    size_t left = strlen(text);

    while (left) {
        size_t room = sizeof(out->text) - out->used;
        size_t part = left < room ? left : room;

        memcpy(out->text + out->used, text, part);
        out->used += part;
        text += part;
        left -= part;
        if (out->used == sizeof(out->text))
            lodei_rawout_flush(out);
    }
}

static void number(struct lodei_rawout *out, uint64_t value, unsigned base)
{
    char digits[24];
    size_t at = sizeof(digits) - 1;

    digits[at] = 0;
    do {
        digits[--at] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value);
    lodei_rawout_str(out, digits + at);
}

void lodei_rawout_dec(struct lodei_rawout *out, uint64_t value)
{
    number(out, value, 10);
}

void lodei_rawout_hex(struct lodei_rawout *out, uint64_t value)
{
    number(out, value, 16);
}
