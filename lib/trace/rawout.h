/* SPDX-License-Identifier: MIT */
/*
 * Buffered output to a descriptor without malloc or stdio, whose streams may be closed at exit.
 * lib/base/print.h has lines of fixed length for messages; a leak report's lines have no limit.
 */
#ifndef LODEI_RAWOUT_H
#define LODEI_RAWOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lodei_rawout {
    int fd;
    bool failed; /* a write failed: the rest is dropped */
    size_t used;
    char text[4096];
};

void lodei_rawout_init(struct lodei_rawout *out, int fd);
void lodei_rawout_str(struct lodei_rawout *out, const char *text);
void lodei_rawout_dec(struct lodei_rawout *out, uint64_t value);
void lodei_rawout_hex(struct lodei_rawout *out, uint64_t value); /* lower case, no 0x */
void lodei_rawout_flush(struct lodei_rawout *out);

#endif
