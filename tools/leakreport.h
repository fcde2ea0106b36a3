/* SPDX-License-Identifier: MIT */
/* Printing a leak file with its addresses resolved. */
#ifndef LODEI_LEAKREPORT_H
#define LODEI_LEAKREPORT_H

#include <stdio.h>

#include "leakfile.h"
#include "symbolize.h"
#include "terminal.h"

/* A symbolizer that knows the file's modules; ended by the caller. */
struct lodei_symbolizer *lodei_leakreport_symbolizer(const struct lodei_leakfile *file);

/* Print for a reader: the `top` largest stacks and the totals. */
void lodei_leakreport_print(const struct lodei_leakfile *file, size_t top,
                            const struct lodei_terminal *terminal);

/* Print as one JSON object. */
void lodei_leakreport_json(const struct lodei_leakfile *file, size_t top, FILE *out);

#endif
