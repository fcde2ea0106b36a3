/* SPDX-License-Identifier: MIT */
/* The summary at the end of `lode run`; see summary.h. */
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <lode/stats.h>

#include "leakreport.h"
#include "summary.h"
#include "table.h"
#include "units.h"

/* The rows of LODE_STATS_TABLE, in its order. */
static const struct figure {
    const char *name, *help;
} figures[] = {
#define FIGURE_ROW(name, help) {#name, help},
    LODE_STATS_TABLE(FIGURE_ROW)
#undef FIGURE_ROW
};

#define FIGURE_COUNT (sizeof(figures) / sizeof(figures[0]))

/* One stats file. */
struct heap_figures {
    pid_t pid;
    uint64_t values[FIGURE_COUNT];
    unsigned char present[FIGURE_COUNT];
    uint64_t maxrss_kb;
    size_t found;
};

static void row(struct lodei_table *table, const char *name, const char *value, const char *help)
{
    lodei_table_cell(table, "%s", name);
    lodei_table_cell(table, "%s", value);
    lodei_table_cell(table, "%s", help);
}

static void seconds_row(struct lodei_table *table, const char *name, double seconds)
{
    char text[LODEI_UNITS_ROOM];

    snprintf(text, sizeof(text), "%.3f s", seconds);
    row(table, name, text, "");
}

void lodei_summary_print(const struct lodei_terminal *terminal, const char *command,
                         const struct lodei_outcome *outcome)
{
    struct lodei_table *table = lodei_table_create("lrl", 0);
    char text[LODEI_UNITS_ROOM];

    fprintf(terminal->out, "%ssummary of %s%s\n", terminal->bold_on, command, terminal->plain);
    seconds_row(table, "wall", outcome->wall_s);
    seconds_row(table, "user", outcome->user_s);
    seconds_row(table, "system", outcome->system_s);
    row(table, "peak RSS", lodei_units_bytes(outcome->rss_kb * 1024, text),
        "of the largest process");
    snprintf(text, sizeof(text), "%" PRIu64, outcome->faults);
    row(table, "page faults", text, "");
    snprintf(text, sizeof(text), "%d", outcome->status);
    row(table, "exit status", text, outcome->signal != 0 ? strsignal(outcome->signal) : "");
    lodei_table_print(table, terminal, 2);
    lodei_table_destroy(table);
}

static void read_figure(struct heap_figures *heap, const char *name, const char *value)
{
    uint64_t number;

    if (lodei_units_parse(value, 0, UINT64_MAX, &number) != 0)
        return;
    if (strcmp(name, "maxrss_kb") == 0)
        heap->maxrss_kb = number;
    for (size_t i = 0; i < FIGURE_COUNT; i++) {
        if (strcmp(name, figures[i].name) != 0)
            continue;
        heap->values[i] = number;
        heap->present[i] = 1;
        heap->found++;
    }
}

static int read_figures(const struct lodei_report_path *path, struct heap_figures *ret_heap)
{
    FILE *in = fopen(path->path, "re");
    char line[256];

    memset(ret_heap, 0, sizeof(*ret_heap));
    ret_heap->pid = path->pid;
    while (in != NULL && fgets(line, sizeof(line), in) != NULL) {
        char *value = strchr(line, '=');

        line[strcspn(line, "\n")] = '\0';
        if (value == NULL)
            continue;
        *value = '\0';
        read_figure(ret_heap, line, value + 1);
    }
    if (in != NULL)
        fclose(in);
    return ret_heap->found > 0 ? 0 : -1;
}

static int is_bytes(const char *name)
{
    size_t length = strlen(name);

    return length > 6 && strcmp(name + length - 6, "_bytes") == 0;
}

static void print_figures(const struct lodei_terminal *terminal, const struct heap_figures *heap)
{
    struct lodei_table *table = lodei_table_create("lrl", 0);
    char text[LODEI_UNITS_ROOM];

    fprintf(terminal->out, "%sheap of process %d at its end%s\n", terminal->bold_on, (int)heap->pid,
            terminal->plain);
    for (size_t i = 0; i < FIGURE_COUNT; i++) {
        if (!heap->present[i])
            continue;
        if (is_bytes(figures[i].name))
            lodei_units_bytes(heap->values[i], text);
        else
            snprintf(text, sizeof(text), "%" PRIu64, heap->values[i]);
        row(table, figures[i].name, text, figures[i].help);
    }
    lodei_table_print(table, terminal, 2);
    lodei_table_destroy(table);
}

void lodei_summary_heap(const struct lodei_terminal *terminal,
                        const struct lodei_report_path *paths, size_t count, pid_t own)
{
    struct heap_figures first = {0}, largest = {0};
    size_t read = 0, shown = 0;

    for (size_t i = 0; i < count; i++) {
        struct heap_figures heap;

        if (read_figures(&paths[i], &heap) != 0)
            continue;
        read++;
        if (heap.pid == own)
            first = heap;
        if (largest.found == 0 || heap.maxrss_kb > largest.maxrss_kb)
            largest = heap;
    }
    if (first.found > 0) {
        print_figures(terminal, &first);
        shown++;
    } else {
        fprintf(terminal->out,
                "no heap figures of the command: it ended without its exit handlers, "
                "goes on in the background, or the library was not in it\n");
    }
    if (largest.found > 0 && largest.pid != first.pid) {
        print_figures(terminal, &largest);
        shown++;
    }
    if (read > shown)
        fprintf(terminal->out, "%zu smaller process%s not shown\n", read - shown,
                read - shown == 1 ? "" : "es");
}

void lodei_summary_leaks(const struct lodei_terminal *terminal,
                         const struct lodei_report_path *paths, size_t count, pid_t own, size_t top)
{
    size_t clean = 0;

    if (count == 0 || paths[0].pid != own)
        fprintf(terminal->out, "no leak report of the command: it ended without its exit handlers, "
                               "goes on in the background, or the library was not in it\n");
    for (size_t i = 0; i < count; i++) {
        struct lodei_leakfile file;

        if (lodei_leakfile_read(paths[i].path, &file) != 0)
            continue;
        if (paths[i].pid == own || file.total_blocks > 0 || file.leak_count > 0)
            lodei_leakreport_print(&file, top, terminal);
        else
            clean++;
        lodei_leakfile_finish(&file);
    }
    if (clean > 0)
        fprintf(terminal->out, "%zu other process%s leaked nothing\n", clean,
                clean == 1 ? "" : "es");
}
