/* SPDX-License-Identifier: MIT */
/*
 * What an output stream can do: its width, highlighting, and a line that is rewritten in place.
 * Of a stream that is no terminal, or a terminal that terminfo does not know, every capability is
 * absent, and output is plain text.
 */
#ifndef LODEI_TERMINAL_H
#define LODEI_TERMINAL_H

#include <stdio.h>

struct lodei_terminal {
    FILE *out;
    int width;        /* 0: no terminal, no limit */
    char *bold_on;    /* "" where not available; so are the next two */
    char *colour_on;  /* green; "" also when NO_COLOR is set */
    char *plain;      /* ends both */
    char *line_start; /* NULL where a line cannot be rewritten; so is the next */
    char *clear_end;
    int line_shown;
};

/* `out` is borrowed until lodei_terminal_finish(). */
void lodei_terminal_init(struct lodei_terminal *terminal, FILE *out);
void lodei_terminal_finish(struct lodei_terminal *terminal);

/* Show a line in place of the one shown before; cut to the width. Nothing on a plain stream. */
void lodei_terminal_progress(struct lodei_terminal *terminal, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Take the line away. */
void lodei_terminal_progress_end(struct lodei_terminal *terminal);

#endif
