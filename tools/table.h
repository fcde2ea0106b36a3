/* SPDX-License-Identifier: MIT */
/*
 * Text tables: cells are added row by row and printed in columns as wide as their widest cell.
 */
#ifndef LODEI_TABLE_H
#define LODEI_TABLE_H

#include <stdio.h>

#include "terminal.h"

struct lodei_table;

/* `alignments`: a letter per column, 'l' or 'r'. `header`: the first row is printed bold.
 * Owned by the caller, ended with lodei_table_destroy(). */
struct lodei_table *lodei_table_create(const char *alignments, int header);
void lodei_table_destroy(struct lodei_table *table);

/* Add the next cell; a row is full after as many as there are columns. */
void lodei_table_cell(struct lodei_table *table, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Highlight the cell added last. */
void lodei_table_mark(struct lodei_table *table);

/*
 * Print to terminal->out, every line behind `indent` blanks. On a terminal a left-aligned last
 * column is wrapped at blanks to the width. Cells are taken to be ASCII.
 */
void lodei_table_print(const struct lodei_table *table, const struct lodei_terminal *terminal,
                       int indent);

#endif
