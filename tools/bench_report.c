/* SPDX-License-Identifier: MIT */
/*
 * Figures and table of `lode bench`; see bench_report.h.
 *
 * A run that failed measures something else than the work. It is counted, and stays out of the
 * medians unless no run of any allocator succeeded: then the command just ends that way, and all
 * runs count.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench_report.h"
#include "table.h"
#include "xalloc.h"

enum column { WALL, CPU, RSS, FAULTS, METRIC, COLUMN_COUNT };

static const char *const headings[COLUMN_COUNT] = {"wall s", "user+sys s", "peak RSS KiB",
                                                   "page faults", "metric"};
static const char *const short_names[COLUMN_COUNT] = {"wall", "user+sys", "RSS", "faults",
                                                      "metric"};

static double figure_of(const struct lodei_bench_run *run, enum column column)
{
    switch (column) {
    case WALL:
        return run->outcome.wall_s;
    case CPU:
        return run->outcome.user_s + run->outcome.system_s;
    case RSS:
        return (double)run->outcome.rss_kb;
    case FAULTS:
        return (double)run->outcome.faults;
    default:
        return run->metric;
    }
}

static int any_succeeded(const struct lodei_bench *bench)
{
    for (size_t r = 0; r < bench->row_count; r++)
        for (size_t i = 0; i < bench->rows[r].run_count; i++)
            if (bench->rows[r].runs[i].outcome.status == 0)
                return 1;
    return 0;
}

/* Append the row's figures that count to `values`; returns how many there are then. */
static size_t collect(const struct lodei_bench_row *row, enum column column, int succeeded_only,
                      double *values, size_t count)
{
    for (size_t i = 0; i < row->run_count; i++) {
        double value = figure_of(&row->runs[i], column);

        if (!isnan(value) && (!succeeded_only || row->runs[i].outcome.status == 0))
            values[count++] = value;
    }
    return count;
}

static int by_value(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;

    return (left > right) - (left < right);
}

/* The value below which `share` of the sorted values lie, interpolated; NaN of none. */
static double quantile(const double *sorted, size_t count, double share)
{
    double at = share * (double)(count - 1);
    size_t below = (size_t)at;

    if (count == 0)
        return NAN;
    if (below + 1 >= count)
        return sorted[count - 1];
    return sorted[below] + (at - (double)below) * (sorted[below + 1] - sorted[below]);
}

static double median_of(const struct lodei_bench_row *row, enum column column, int succeeded_only)
{
    double *values = lodei_xcalloc(row->run_count, sizeof(*values)), median;
    size_t count = collect(row, column, succeeded_only, values, 0);

    qsort(values, count, sizeof(*values), by_value);
    median = quantile(values, count, 0.5);
    free(values);
    return median;
}

/* How many times worse than the best; 1 for the best itself, NaN where it means nothing. */
static double ratio_of(double value, double best, int higher_is_better)
{
    double ratio = higher_is_better ? best / value : value / best;

    return isfinite(ratio) && ratio > 0 ? ratio : NAN;
}

static double best_of(const double *medians, size_t count, int higher_is_better)
{
    double best = NAN;

    for (size_t i = 0; i < count; i++)
        if (isnan(best) || (higher_is_better ? medians[i] > best : medians[i] < best))
            best = medians[i];
    return best;
}

static void value_cells(struct lodei_table *table, enum column column, double value, double ratio)
{
    int decimals = column == WALL || column == CPU ? 4 : column == METRIC ? 2 : 0;

    if (isnan(value))
        lodei_table_cell(table, "-");
    else
        lodei_table_cell(table, "%.*f", decimals, value);
    if (isnan(ratio)) {
        lodei_table_cell(table, "-");
    } else {
        lodei_table_cell(table, "x%.3f", ratio);
        if (ratio == 1)
            lodei_table_mark(table);
    }
}

static size_t failed_count(const struct lodei_bench_row *row)
{
    size_t failed = 0;

    for (size_t i = 0; i < row->run_count; i++)
        failed += row->runs[i].outcome.status != 0;
    return failed;
}

static void print_table(const struct lodei_bench *bench, size_t columns,
                        const struct lodei_terminal *terminal, int succeeded_only)
{
    struct lodei_table *table =
        lodei_table_create(columns == COLUMN_COUNT ? "lrrrrrrrrrrr" : "lrrrrrrrrr", 1);
    double *medians = lodei_xcalloc(bench->row_count * columns, sizeof(*medians));
    double best[COLUMN_COUNT];

    lodei_table_cell(table, "allocator");
    for (size_t c = 0; c < columns; c++) {
        for (size_t r = 0; r < bench->row_count; r++)
            medians[c * bench->row_count + r] =
                median_of(&bench->rows[r], (enum column)c, succeeded_only);
        best[c] = best_of(medians + c * bench->row_count, bench->row_count,
                          c == METRIC && bench->higher_is_better);
        lodei_table_cell(table, "%s", headings[c]);
        lodei_table_cell(table, "to best");
    }
    lodei_table_cell(table, "failed");
    for (size_t r = 0; r < bench->row_count; r++) {
        const struct lodei_bench_row *row = &bench->rows[r];

        lodei_table_cell(table, "%s", row->name);
        for (size_t c = 0; c < columns; c++) {
            double median = medians[c * bench->row_count + r];

            value_cells(table, (enum column)c, median,
                        ratio_of(median, best[c], c == METRIC && bench->higher_is_better));
        }
        lodei_table_cell(table, "%zu/%zu", failed_count(row), row->run_count);
    }
    lodei_table_print(table, terminal, 0);
    lodei_table_destroy(table);
    free(medians);
}

static const struct lodei_bench_row *find_row(const struct lodei_bench *bench, const char *name)
{
    for (size_t r = 0; r < bench->row_count; r++)
        if (strcmp(bench->rows[r].name, name) == 0)
            return &bench->rows[r];
    return NULL;
}

/* The noise: how far apart two medians of the very same thing are, and how wide the middle half of
 * all its runs is, as a share of their median. */
static void print_noise(const struct lodei_bench *bench, size_t columns, FILE *out,
                        int succeeded_only)
{
    const struct lodei_bench_row *a = find_row(bench, "glibc"),
                                 *b = find_row(bench, LODEI_BENCH_AGAIN);
    double *values;

    if (a == NULL || b == NULL)
        return;
    values = lodei_xcalloc(a->run_count + b->run_count, sizeof(*values));
    fprintf(out, "noise, glibc against itself (A/A):");
    for (size_t c = 0; c < columns; c++) {
        double left = median_of(a, (enum column)c, succeeded_only);
        double right = median_of(b, (enum column)c, succeeded_only);
        double ratio = ratio_of(fmax(left, right), fmin(left, right), 0), spread;
        size_t count = collect(a, (enum column)c, succeeded_only, values, 0);

        count = collect(b, (enum column)c, succeeded_only, values, count);
        qsort(values, count, sizeof(*values), by_value);
        spread = (quantile(values, count, 0.75) - quantile(values, count, 0.25)) /
                 quantile(values, count, 0.5);
        if (isnan(ratio) || !isfinite(spread))
            fprintf(out, "%s %s -", c > 0 ? "," : "", short_names[c]);
        else
            fprintf(out, "%s %s x%.3f spread %.1f%%", c > 0 ? "," : "", short_names[c], ratio,
                    spread * 100);
    }
    fputc('\n', out);
    free(values);
}

void lodei_bench_print(const struct lodei_bench *bench, const struct lodei_terminal *terminal)
{
    int succeeded_only = any_succeeded(bench);
    size_t columns = bench->with_metric ? COLUMN_COUNT : METRIC;

    print_table(bench, columns, terminal, succeeded_only);
    print_noise(bench, columns, terminal->out, succeeded_only);
}

void lodei_bench_csv_header(FILE *out)
{
    fprintf(out, "allocator,run,wall_s,user_s,sys_s,rss_kb,faults,status,metric\n");
}

void lodei_bench_csv_line(FILE *out, const char *allocator, size_t number,
                          const struct lodei_bench_run *run)
{
    fprintf(out, "%s,%zu,%.6f,%.6f,%.6f,%" PRIu64 ",%" PRIu64 ",%d,", allocator, number,
            run->outcome.wall_s, run->outcome.user_s, run->outcome.system_s, run->outcome.rss_kb,
            run->outcome.faults, run->outcome.status);
    if (!isnan(run->metric))
        fprintf(out, "%.17g", run->metric);
    fputc('\n', out);
    fflush(out);
}
