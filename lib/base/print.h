/* SPDX-License-Identifier: MIT */
/*
 * Output without malloc, stdio or locale: lines built in a fixed buffer and written with write(2).
 * Safe at any time, also before relocation of other objects is done and inside a crashing program.
 */
#ifndef LODEI_PRINT_H
#define LODEI_PRINT_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

struct lodei_line {
    size_t length;
    char text[512]; /* longer lines are cut */
};

void lodei_line_str(struct lodei_line *line, const char *s);
void lodei_line_strn(struct lodei_line *line, const char *s, size_t n);
void lodei_line_dec(struct lodei_line *line, uint64_t value);
void lodei_line_hex(struct lodei_line *line, uint64_t value); /* with 0x */
/* Ends the line and writes it to `fd`; interrupted and short writes are continued. 0, or -1: not
 * all of it could be written. */
int lodei_line_write(struct lodei_line *line, int fd);

/* The thread that is in lodei_fatal(), by gettid(); 0: none. */
extern _Atomic int lodei_fatal_thread;

/* "lode: WHAT 0xADDR" on stderr, then abort(). Locks may be held: a handler of the program for
 * SIGABRT that allocates goes on without them (lock.c). */
LODE_COLD __attribute__((noreturn)) void lodei_fatal(const char *what, const void *addr);
/* "lode: WHAT" on stderr; the program goes on. */
LODE_COLD void lodei_warn(const char *what);

#endif
