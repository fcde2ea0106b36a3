/* SPDX-License-Identifier: MIT */
/*
 * The figures of a run, as text and as JSON; see minereport.h.
 *
 * edits_per_s counts the time spent in edits, and not that of window shifts: with two threads the
 * two threads' rates are added up. Times of shifts stand beside it: what leaves, what enters, and
 * both; of shifts in which bricks entered, that is, and not of
 * those near the lane's sides, where the miner moves on and the window cannot.
 */
#include <err.h>
#include <math.h>
#include <stdlib.h>

#include "jsondoc.h"
#include "minereport.h"
#include "pages.h"
#include "table.h"
#include "units.h"

/* Parts of a shift, and all of it. */
enum { LEAVE, ENTER, WHOLE, PARTS };
static const char *const part_names[PARTS] = {"leave", "enter", "whole"};
static const char *const phase_names[LODEI_MINE_PHASES] = {"build", "edit", "leave", "enter"};
static const char *const tool_names[LODEI_MINE_TOOLS] = {"drill", "explosive", "precision"};
static const char *const tier_names[LODEI_MINE_TIERS] = {"16", "8", "4"};
static const char *const channel_names[] = {"both", "distances", "nodes"};

struct figures {
    struct lodei_mine_spread edit, tools[LODEI_MINE_TOOLS], shift[PARTS];
    size_t shifts;
    uint64_t shifted_bricks;
    double phase_s[LODEI_MINE_PHASES]; /* of all lanes together */
    double edits_per_s;
    struct {
        uint64_t operations;
        double each_ns, share;
    } memory[LODEI_MINE_PHASES];
    double memory_share; /* of the time from the first edit on */
    uint64_t live_bytes;
    /* bits for each voxel of bricks that are stored; of the window */
    double live_bits, resident_bits, world_bits;
};

static int by_value(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

    return (left > right) - (left < right);
}

/* The sample below which `share` of the others lie: the next one above, no interpolation. */
static double quantile(const uint32_t *sorted, size_t count, double share)
{
    size_t at = (size_t)ceil(share * (double)count);

    return sorted[at > 0 ? at - 1 : 0] * lodei_mine_tick_ns() / 1000;
}

struct lodei_mine_spread lodei_mine_spread(uint32_t *ticks, size_t count)
{
    struct lodei_mine_spread spread = {NAN, NAN, NAN, NAN, NAN};
    double sum = 0;

    if (count == 0)
        return spread;
    qsort(ticks, count, sizeof(*ticks), by_value);
    for (size_t i = 0; i < count; i++)
        sum += ticks[i];
    spread.p50 = quantile(ticks, count, 0.5);
    spread.p99 = quantile(ticks, count, 0.99);
    spread.p999 = quantile(ticks, count, 0.999);
    spread.max = quantile(ticks, count, 1);
    spread.mean = sum / (double)count * lodei_mine_tick_ns() / 1000;
    return spread;
}

/* The edits of one tool, or of all (-1). */
static struct lodei_mine_spread edit_spread(const struct lodei_mine_run *run, int tool)
{
    uint32_t *ticks = lodei_pages_alloc(run->edits, sizeof(*ticks));
    struct lodei_mine_spread spread;
    size_t count = 0;

    for (unsigned l = 0; l < LODEI_MINE_LANES; l++) {
        const struct lodei_mine_lane_script *lane = &run->config->lanes[l];

        for (size_t i = 0; i < lane->edit_count; i++)
            if (tool < 0 || lane->edits[i].tool == tool)
                ticks[count++] = lane->edit_ticks[i];
    }
    spread = lodei_mine_spread(ticks, count);
    lodei_pages_free(ticks, run->edits, sizeof(*ticks));
    return spread;
}

static uint32_t part_ticks(const struct lodei_mine_shift *shift, int part)
{
    switch (part) {
    case LEAVE:
        return shift->leave_ticks;
    case ENTER:
        return shift->enter_ticks;
    default:
        return shift->leave_ticks + shift->enter_ticks;
    }
}

static void spread_shifts(const struct lodei_mine_run *run, struct figures *figures)
{
    uint32_t *ticks = lodei_pages_alloc(run->edits, sizeof(*ticks));

    for (int part = 0; part < PARTS; part++) {
        size_t count = 0;

        for (unsigned l = 0; l < LODEI_MINE_LANES; l++)
            for (size_t i = 0; i < run->result->shift_counts[l]; i++)
                if (run->config->lanes[l].shifts[i].bricks > 0)
                    ticks[count++] = part_ticks(&run->config->lanes[l].shifts[i], part);
        figures->shift[part] = lodei_mine_spread(ticks, count);
        figures->shifts = count;
    }
    lodei_pages_free(ticks, run->edits, sizeof(*ticks));
}

static void add_times(const struct lodei_mine_run *run, struct figures *figures)
{
    double tick_s = lodei_mine_tick_ns() / 1e9;

    figures->phase_s[LODEI_MINE_BUILD] = run->result->build_s;
    for (unsigned l = 0; l < LODEI_MINE_LANES; l++) {
        const struct lodei_mine_lane_script *lane = &run->config->lanes[l];

        for (size_t i = 0; i < lane->edit_count; i++)
            figures->phase_s[LODEI_MINE_EDIT] += lane->edit_ticks[i] * tick_s;
        for (size_t i = 0; i < run->result->shift_counts[l]; i++) {
            figures->shifted_bricks += lane->shifts[i].bricks;
            figures->phase_s[LODEI_MINE_LEAVE] += lane->shifts[i].leave_ticks * tick_s;
            figures->phase_s[LODEI_MINE_ENTER] += lane->shifts[i].enter_ticks * tick_s;
        }
    }
}

static void add_memory(const struct lodei_mine_run *run, struct figures *figures)
{
    double all_s = 0, memory_s = 0;

    for (int p = 0; p < LODEI_MINE_PHASES; p++) {
        double ns = 0;

        for (unsigned l = 0; l < LODEI_MINE_LANES; l++) {
            const struct lodei_mine_meter *meter = &run->result->meters[l];

            figures->memory[p].operations += meter->phases[p].operations;
            ns += lodei_mine_meter_ns(meter, (enum lodei_mine_phase)p);
        }
        figures->memory[p].each_ns = ns / (double)figures->memory[p].operations;
        figures->memory[p].share = ns / 1e9 / figures->phase_s[p];
        all_s += p != LODEI_MINE_BUILD ? figures->phase_s[p] : 0;
        memory_s += p != LODEI_MINE_BUILD ? ns / 1e9 : 0;
    }
    figures->memory_share = memory_s / all_s;
}

static void add_bytes(const struct lodei_mine_result *result, struct figures *figures)
{
    double voxels = (double)(result->interface_bricks * LODEI_MINE_VOXELS);
    double resident = (double)result->resident_end - (double)result->resident_start;

    figures->live_bytes =
        result->distances_bytes + result->contents_bytes + result->node_bytes + result->index_bytes;
    figures->live_bits = (double)figures->live_bytes * 8 / voxels;
    figures->resident_bits = resident * 8 / voxels;
    figures->world_bits = resident * 8 / (double)(result->places * LODEI_MINE_VOXELS);
}

static void compute(const struct lodei_mine_run *run, struct figures *figures)
{
    *figures = (struct figures){0};
    add_times(run, figures);
    figures->edit = edit_spread(run, -1);
    for (int tool = 0; tool < LODEI_MINE_TOOLS; tool++)
        figures->tools[tool] = edit_spread(run, tool);
    spread_shifts(run, figures);
    figures->edits_per_s =
        (double)run->edits * run->config->threads / figures->phase_s[LODEI_MINE_EDIT];
    add_memory(run, figures);
    add_bytes(run->result, figures);
}

/* --- Samples --- */

static uint32_t ns_of(uint32_t ticks)
{
    double ns = ticks * lodei_mine_tick_ns();

    return ns < UINT32_MAX ? (uint32_t)ns : UINT32_MAX;
}

static void write_samples(const struct lodei_mine_run *run, FILE *out)
{
    for (unsigned l = 0; l < LODEI_MINE_LANES; l++)
        for (size_t i = 0; i < run->config->lanes[l].edit_count; i++) {
            uint32_t ns = ns_of(run->config->lanes[l].edit_ticks[i]);

            fwrite(&ns, sizeof(ns), 1, out);
        }
    for (unsigned l = 0; l < LODEI_MINE_LANES; l++)
        for (size_t i = 0; i < run->result->shift_counts[l]; i++) {
            const struct lodei_mine_shift *shift = &run->config->lanes[l].shifts[i];
            uint32_t row[] = {ns_of(shift->leave_ticks), ns_of(shift->enter_ticks), shift->bricks};

            fwrite(row, sizeof(row), 1, out);
        }
}

int lodei_mine_samples(const struct lodei_mine_run *run, const char *path)
{
    FILE *out = fopen(path, "we");
    int fault;

    if (out == NULL) {
        warn("%s", path);
        return -1;
    }
    write_samples(run, out);
    fault = ferror(out);
    fault |= fclose(out);
    if (fault)
        warnx("%s: could not be written", path);
    return fault ? -1 : 0;
}

/* --- JSON --- */

void lodei_mine_spread_json(struct lodei_json *in, const char *key,
                            const struct lodei_mine_spread *spread)
{
    struct lodei_json *object = lodei_json_object(in, key);

    lodei_json_real(object, "p50", spread->p50);
    lodei_json_real(object, "p99", spread->p99);
    lodei_json_real(object, "p99.9", spread->p999);
    lodei_json_real(object, "max", spread->max);
    lodei_json_real(object, "mean", spread->mean);
}

static void json_asked(struct lodei_json *root, const struct lodei_mine_run *run)
{
    const struct lodei_mine_config *config = run->config;
    struct lodei_json *window;

    lodei_json_text(root, "alloc", run->alloc);
    lodei_json_text(root, "malloc_owner", run->malloc_owner);
    lodei_json_text(root, "data", run->data);
    lodei_json_count(root, "threads", config->threads);
    lodei_json_count(root, "edits", run->edits);
    lodei_json_count(root, "seed", run->seed);
    lodei_json_count(root, "repeat", config->world->repeat);
    lodei_json_text(root, "tier", config->tier < 0 ? "distance" : tier_names[config->tier]);
    lodei_json_text(root, "channels", channel_names[config->channels]);
    window = lodei_json_object(root, "window_voxels");
    lodei_json_count(window, "x", (uint64_t)config->window[0] * LODEI_MINE_SIDE);
    lodei_json_count(window, "y", (uint64_t)config->window[1] * LODEI_MINE_SIDE);
    lodei_json_count(window, "z", (uint64_t)config->window[2] * LODEI_MINE_SIDE);
}

/* 0: the storage was not asked. */
static void json_hash(struct lodei_json *root, const char *key, uint64_t hash)
{
    if (hash != 0)
        lodei_json_hex(root, key, hash);
    else
        lodei_json_null(root, key);
}

static void json_found(struct lodei_json *root, const struct lodei_mine_result *result)
{
    struct lodei_json *bricks = lodei_json_object(root, "bricks");
    struct lodei_json *nodes = lodei_json_object(root, "nodes");

    lodei_json_count(bricks, "places", result->places);
    lodei_json_count(bricks, "interface", result->interface_bricks);
    for (int tier = 0; tier < LODEI_MINE_TIERS; tier++)
        lodei_json_count(bricks, tier_names[tier], result->tier_bricks[tier]);
    lodei_json_count(bricks, "contents", result->contents_bricks);
    lodei_json_count(nodes, "empty", result->nodes[LODEI_MINE_EMPTY]);
    lodei_json_count(nodes, "homogeneous", result->nodes[LODEI_MINE_HOMOGENEOUS]);
    lodei_json_count(nodes, "interface", result->nodes[LODEI_MINE_INTERFACE]);
}

static void json_bytes(struct lodei_json *root, const struct lodei_mine_result *result,
                       const struct figures *figures)
{
    struct lodei_json *bytes = lodei_json_object(root, "bytes");
    struct lodei_json *resident = lodei_json_object(root, "resident_bytes");
    struct lodei_json *course = lodei_json_array(resident, "course");
    struct lodei_json *bits = lodei_json_object(root, "bits_per_voxel");

    lodei_json_count(bytes, "distances", result->distances_bytes);
    lodei_json_count(bytes, "contents", result->contents_bytes);
    lodei_json_count(bytes, "nodes", result->node_bytes);
    lodei_json_count(bytes, "index", result->index_bytes);
    lodei_json_count(bytes, "live", figures->live_bytes);
    lodei_json_count(bytes, "blocks", result->memory_blocks);
    if (result->mapped_bytes != 0)
        lodei_json_count(bytes, "mapped", result->mapped_bytes);
    else
        lodei_json_null(bytes, "mapped");
    for (int i = 0; i < LODEI_MINE_COURSE && result->resident_course[i] != 0; i++)
        lodei_json_append_count(course, result->resident_course[i]);
    lodei_json_count(resident, "start", result->resident_start);
    lodei_json_count(resident, "built", result->resident_built);
    lodei_json_count(resident, "end", result->resident_end);
    if (result->resident_peak != 0)
        lodei_json_count(resident, "peak", result->resident_peak);
    else
        lodei_json_null(resident, "peak");
    lodei_json_real(bits, "live", figures->live_bits);
    lodei_json_real(bits, "resident", figures->resident_bits);
    lodei_json_real(bits, "resident_of_window", figures->world_bits);
}

static void json_times(struct lodei_json *root, const struct lodei_mine_run *run,
                       const struct figures *figures)
{
    struct lodei_json *tools, *shift, *seconds, *memory;

    lodei_json_real(root, "edits_per_s", figures->edits_per_s);
    lodei_mine_spread_json(root, "edit_us", &figures->edit);
    tools = lodei_json_object(root, "tool_us");
    for (int tool = 0; tool < LODEI_MINE_TOOLS; tool++)
        lodei_mine_spread_json(tools, tool_names[tool], &figures->tools[tool]);
    lodei_json_count(root, "shifts", figures->shifts);
    lodei_json_count(root, "shifted_bricks", figures->shifted_bricks);
    shift = lodei_json_object(root, "shift_us");
    for (int part = 0; part < PARTS; part++)
        lodei_mine_spread_json(shift, part_names[part], &figures->shift[part]);
    seconds = lodei_json_object(root, "seconds");
    lodei_json_real(seconds, "load", run->load_s);
    lodei_json_real(seconds, "dig", run->result->dig_s);
    lodei_json_real(seconds, "dig_cpu", run->result->dig_cpu_s);
    memory = lodei_json_object(root, "memory_operations");
    for (int p = 0; p < LODEI_MINE_PHASES; p++) {
        struct lodei_json *phase = lodei_json_object(memory, phase_names[p]);

        lodei_json_real(seconds, phase_names[p], figures->phase_s[p]);
        lodei_json_count(phase, "count", figures->memory[p].operations);
        lodei_json_real(phase, "ns_each", figures->memory[p].each_ns);
        lodei_json_real(phase, "share", figures->memory[p].share);
    }
    lodei_json_real(root, "memory_share", figures->memory_share);
}

void lodei_mine_json(const struct lodei_mine_run *run, FILE *out)
{
    struct lodei_json *root = lodei_json_create();
    struct figures figures;

    compute(run, &figures);
    json_asked(root, run);
    json_hash(root, "hash", run->result->hash);
    json_hash(root, "contents_hash", run->result->contents_hash);
    json_found(root, run->result);
    json_bytes(root, run->result, &figures);
    json_times(root, run, &figures);
    lodei_json_finish(root, out);
}

/* --- Text --- */

void lodei_mine_spread_row(struct lodei_table *table, const char *name, size_t count,
                           const struct lodei_mine_spread *spread)
{
    lodei_table_cell(table, "%s", name);
    lodei_table_cell(table, "%zu", count);
    lodei_table_cell(table, "%.1f", spread->p50);
    lodei_table_cell(table, "%.1f", spread->p99);
    lodei_table_cell(table, "%.1f", spread->p999);
    lodei_table_cell(table, "%.1f", spread->max);
    lodei_table_cell(table, "%.1f", spread->mean);
}

static void print_spreads(const struct lodei_mine_run *run, const struct figures *figures,
                          const struct lodei_terminal *terminal)
{
    static const char *const headings[] = {"us", "count", "p50", "p99", "p99.9", "max", "mean"};
    struct lodei_table *table = lodei_table_create("lrrrrrr", 1);

    for (size_t i = 0; i < sizeof(headings) / sizeof(headings[0]); i++)
        lodei_table_cell(table, "%s", headings[i]);
    lodei_mine_spread_row(table, "edit", run->edits, &figures->edit);
    for (int part = 0; part < PARTS; part++) {
        static const char *const rows[PARTS] = {"shift: leave", "shift: enter", "shift: whole"};

        lodei_mine_spread_row(table, rows[part], figures->shifts, &figures->shift[part]);
    }
    lodei_table_print(table, terminal, 0);
    lodei_table_destroy(table);
}

static void print_memory(const struct figures *figures, const struct lodei_terminal *terminal)
{
    struct lodei_table *table = lodei_table_create("lrrrr", 1);

    lodei_table_cell(table, "memory operations");
    lodei_table_cell(table, "count");
    lodei_table_cell(table, "ns each");
    lodei_table_cell(table, "seconds");
    lodei_table_cell(table, "share");
    for (int p = 0; p < LODEI_MINE_PHASES; p++) {
        if (figures->memory[p].operations == 0)
            continue;
        lodei_table_cell(table, "%s", phase_names[p]);
        lodei_table_cell(table, "%llu", (unsigned long long)figures->memory[p].operations);
        lodei_table_cell(table, "%.1f", figures->memory[p].each_ns);
        lodei_table_cell(table, "%.3f", figures->phase_s[p]);
        lodei_table_cell(table, "%.1f %%", figures->memory[p].share * 100);
    }
    lodei_table_print(table, terminal, 0);
    lodei_table_destroy(table);
}

static void bytes_row(struct lodei_table *table, const char *name, double bytes, const char *note)
{
    char text[LODEI_UNITS_ROOM];

    lodei_table_cell(table, "%s", name);
    lodei_table_cell(table, "%s", lodei_units_bytes(bytes > 0 ? (uint64_t)bytes : 0, text));
    lodei_table_cell(table, "%s", note);
}

static void print_bytes(const struct lodei_mine_result *result, const struct figures *figures,
                        const struct lodei_terminal *terminal)
{
    struct lodei_table *table = lodei_table_create("lrl", 0);
    double start = (double)result->resident_start;

    bytes_row(table, "distances", (double)result->distances_bytes, "");
    bytes_row(table, "contents", (double)result->contents_bytes, "");
    bytes_row(table, "nodes", (double)result->node_bytes, "");
    bytes_row(table, "index", (double)result->index_bytes, "");
    if (result->mapped_bytes != 0)
        bytes_row(table, "mapped", (double)result->mapped_bytes, "by the storage's own account");
    bytes_row(table, "resident, built", (double)result->resident_built - start, "more than before");
    bytes_row(table, "resident, end", (double)result->resident_end - start, "");
    if (result->resident_peak != 0)
        bytes_row(table, "resident, peak", (double)result->resident_peak - start, "");
    lodei_table_print(table, terminal, 0);
    lodei_table_destroy(table);
    if (result->interface_bricks == 0)
        return;
    fprintf(terminal->out,
            "bits a voxel: %.2f live, %.2f resident, of bricks stored; %.2f of the window\n",
            figures->live_bits, figures->resident_bits, figures->world_bits);
}

static void print_found(const struct lodei_mine_result *result, FILE *out)
{
    fprintf(out,
            "bricks: %llu stored of %llu: 16 bits %llu, 8 bits %llu, 4 bits %llu; with contents "
            "%llu\n",
            (unsigned long long)result->interface_bricks, (unsigned long long)result->places,
            (unsigned long long)result->tier_bricks[0], (unsigned long long)result->tier_bricks[1],
            (unsigned long long)result->tier_bricks[2],
            (unsigned long long)result->contents_bricks);
    fprintf(out, "nodes: interface %llu, homogeneous %llu, empty %llu\n",
            (unsigned long long)result->nodes[LODEI_MINE_INTERFACE],
            (unsigned long long)result->nodes[LODEI_MINE_HOMOGENEOUS],
            (unsigned long long)result->nodes[LODEI_MINE_EMPTY]);
}

void lodei_mine_print(const struct lodei_mine_run *run, const struct lodei_terminal *terminal)
{
    FILE *out = terminal->out;
    struct figures figures;

    compute(run, &figures);
    fprintf(out, "%s%s%s, malloc is that of %s; %u thread%s, seed %llu\n", terminal->bold_on,
            run->alloc, terminal->plain, run->malloc_owner, run->config->threads,
            run->config->threads > 1 ? "s" : "", (unsigned long long)run->seed);
    if (run->result->hash != 0)
        fprintf(out, "hash 0x%016llx\n", (unsigned long long)run->result->hash);
    if (run->result->interface_bricks > 0)
        print_found(run->result, out);
    print_bytes(run->result, &figures, terminal);
    if (run->edits > 0) {
        fprintf(out, "%.0f edits/s, without shifts; %.1f %% of the time in memory operations\n",
                figures.edits_per_s, figures.memory_share * 100);
        print_spreads(run, &figures, terminal);
    }
    print_memory(&figures, terminal);
}
