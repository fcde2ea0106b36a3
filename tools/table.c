/* SPDX-License-Identifier: MIT */
/*
 * Text tables; see table.h. A table is a row-major array of cells:
 *
 *     cells:  [r0c0][r0c1][r0c2] [r1c0][r1c1][r1c2] ...      columns = strlen(alignments)
 *
 * printed with two blanks between columns.
 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "table.h"
#include "xalloc.h"

enum { COLUMN_GAP = 2, WRAP_AT_LEAST = 24 };

struct cell {
    char *text;
    int mark;
};

struct lodei_table {
    char *alignments;
    size_t columns;
    int header;
    struct cell *cells;
    size_t count, room;
};

struct lodei_table *lodei_table_create(const char *alignments, int header)
{
    struct lodei_table *table = lodei_xcalloc(1, sizeof(*table));

    table->alignments = lodei_xstrdup(alignments);
    table->columns = strlen(alignments);
    table->header = header;
    return table;
}

void lodei_table_destroy(struct lodei_table *table)
{
    if (table == NULL)
        return;
    for (size_t i = 0; i < table->count; i++)
        free(table->cells[i].text);
    free(table->cells);
    free(table->alignments);
    free(table);
}

void lodei_table_cell(struct lodei_table *table, const char *format, ...)
{
    va_list ap;
    char *text;

    if (table->count == table->room) {
        table->room = table->room > 0 ? table->room * 2 : 64;
        table->cells = lodei_xreallocarray(table->cells, table->room, sizeof(*table->cells));
    }
    va_start(ap, format);
    if (vasprintf(&text, format, ap) < 0)
        text = lodei_xstrdup("");
    va_end(ap);
    table->cells[table->count++] = (struct cell){.text = text};
}

void lodei_table_mark(struct lodei_table *table)
{
    if (table->count > 0)
        table->cells[table->count - 1].mark = 1;
}

static int column_width(const struct lodei_table *table, size_t column)
{
    size_t width = 0;

    for (size_t i = column; i < table->count; i += table->columns) {
        size_t length = strlen(table->cells[i].text);

        width = length > width ? length : width;
    }
    return (int)width;
}

static void print_cell(const struct lodei_table *table, const struct lodei_terminal *terminal,
                       size_t index, int width)
{
    const struct cell *cell = &table->cells[index];
    int is_header = table->header && index < table->columns;
    const char *on = is_header ? terminal->bold_on : cell->mark ? terminal->colour_on : "";
    int blanks = width - (int)strlen(cell->text);

    /* Blanks stay outside the highlight, and the last column gets none: no trailing blanks. */
    if (table->alignments[index % table->columns] == 'r') {
        fprintf(terminal->out, "%*s", blanks, "");
        blanks = 0;
    }
    fprintf(terminal->out, "%s%s%s", on, cell->text, on[0] != '\0' ? terminal->plain : "");
    if ((index + 1) % table->columns != 0 && blanks > 0)
        fprintf(terminal->out, "%*s", blanks, "");
}

/* The last column, in as many lines of `room` characters as it takes, each starting at `left`. */
static void print_wrapped(const struct lodei_terminal *terminal, const char *text, int left,
                          int room)
{
    while ((int)strlen(text) > room) {
        int cut = room;

        while (cut > 0 && text[cut] != ' ')
            cut--;
        if (cut == 0)
            cut = room;
        fprintf(terminal->out, "%.*s\n%*s", cut, text, left, "");
        text += cut;
        while (*text == ' ')
            text++;
    }
    fputs(text, terminal->out);
}

void lodei_table_print(const struct lodei_table *table, const struct lodei_terminal *terminal,
                       int indent)
{
    int *widths = lodei_xcalloc(table->columns, sizeof(*widths));
    size_t last = table->columns - 1;
    int left = indent, room;

    for (size_t c = 0; c < table->columns; c++)
        widths[c] = column_width(table, c);
    for (size_t c = 0; c < last; c++)
        left += widths[c] + COLUMN_GAP;
    room = terminal->width - left;

    for (size_t i = 0; i < table->count; i++) {
        size_t c = i % table->columns;

        if (c < last || table->cells[i].text[0] != '\0')
            fprintf(terminal->out, "%*s", c == 0 ? indent : COLUMN_GAP, "");
        if (c == last && table->alignments[c] == 'l' && room >= WRAP_AT_LEAST &&
            (int)strlen(table->cells[i].text) > room)
            print_wrapped(terminal, table->cells[i].text, left, room);
        else
            print_cell(table, terminal, i, widths[c]);
        if (c == last)
            fputc('\n', terminal->out);
    }
    free(widths);
}
