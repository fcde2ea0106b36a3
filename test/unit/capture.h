/* SPDX-License-Identifier: MIT */
/* Catching what is written to stderr, by way of a memory file in its place. */
#ifndef CAPTURE_H
#define CAPTURE_H

#include <stddef.h>

struct capture {
    int file, saved;
};

void capture_start(struct capture *c);
/* Restores stderr; `text` gets what was written, terminated. Returns its length. */
size_t capture_end(struct capture *c, char *text, size_t bytes);

#endif
