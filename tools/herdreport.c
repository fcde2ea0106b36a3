/* SPDX-License-Identifier: MIT */
/* The figures of a run of `lode herd`, as text and as JSON; see herdreport.h. */
#include <err.h>

#include "herdreport.h"
#include "jsondoc.h"
#include "minereport.h"
#include "pages.h"
#include "table.h"
#include "units.h"

/* The parts of a frame, their sum, and all of the frame. */
enum { MEMORY = LODEI_HERD_PARTS, WHOLE, ROWS };
static const char *const row_names[ROWS] = {"room", "kill", "spawn", "scratch", "memory", "frame"};

static uint32_t ticks_of(const struct lodei_herd_frame *frame, int row)
{
    uint32_t sum = 0;

    if (row == WHOLE)
        return frame->whole;
    for (int part = 0; part < LODEI_HERD_PARTS; part++)
        sum += row == MEMORY || row == part ? frame->parts[part] : 0;
    return sum;
}

struct figures {
    struct lodei_mine_spread rows[ROWS]; /* us */
    double memory_share;                 /* of the time of all frames */
};

static void compute(const struct lodei_herd_run *run, struct figures *figures)
{
    uint32_t frames = run->config->frames;
    uint32_t *ticks = lodei_pages_alloc(frames, sizeof(*ticks));

    for (int row = 0; row < ROWS; row++) {
        for (uint32_t i = 0; i < frames; i++)
            ticks[i] = ticks_of(&run->config->times[i], row);
        figures->rows[row] = lodei_mine_spread(ticks, frames);
    }
    figures->memory_share = figures->rows[MEMORY].mean / figures->rows[WHOLE].mean;
    lodei_pages_free(ticks, frames, sizeof(*ticks));
}

/* --- Samples --- */

int lodei_herd_samples(const struct lodei_herd_run *run, const char *path)
{
    double tick_ns = lodei_mine_tick_ns();
    FILE *out = fopen(path, "we");
    int fault;

    if (out == NULL) {
        warn("%s", path);
        return -1;
    }
    for (uint32_t i = 0; i < run->config->frames; i++) {
        const struct lodei_herd_frame *frame = &run->config->times[i];
        uint32_t row[LODEI_HERD_PARTS + 1];

        for (int part = 0; part < LODEI_HERD_PARTS; part++)
            row[part] = (uint32_t)(frame->parts[part] * tick_ns);
        row[LODEI_HERD_PARTS] = (uint32_t)(frame->whole * tick_ns);
        fwrite(row, sizeof(row), 1, out);
    }
    fault = ferror(out);
    fault |= fclose(out);
    if (fault)
        warnx("%s: could not be written", path);
    return fault ? -1 : 0;
}

/* --- JSON --- */

static void json_left(struct lodei_json *root, const struct lodei_herd_left *left)
{
    struct lodei_json *object = lodei_json_object(root, "left");

    lodei_json_count(object, "creature_blocks", left->creature_blocks);
    lodei_json_count(object, "blocks", left->blocks);
    if (left->bytes_known)
        lodei_json_real(object, "bytes", (double)left->bytes);
    else
        lodei_json_null(object, "bytes");
}

void lodei_herd_json(const struct lodei_herd_run *run, FILE *out)
{
    const struct lodei_herd_result *result = run->result;
    struct lodei_json *root = lodei_json_create(), *creatures, *times, *operations, *resident;
    struct figures figures;

    compute(run, &figures);
    lodei_json_text(root, "alloc", run->alloc);
    lodei_json_text(root, "malloc_owner", run->malloc_owner);
    lodei_json_count(root, "frames", run->config->frames);
    lodei_json_count(root, "seed", run->config->seed);
    lodei_json_hex(root, "hash", result->hash);
    creatures = lodei_json_object(root, "creatures");
    lodei_json_count(creatures, "max", run->config->creatures);
    lodei_json_count(creatures, "spawned", result->spawned);
    lodei_json_count(creatures, "died", result->died);
    lodei_json_count(creatures, "alive_peak", result->alive_peak);
    lodei_json_count(creatures, "alive_end", result->alive_end);
    lodei_json_count(creatures, "born_at_once", result->born_at_once);
    lodei_json_count(creatures, "died_at_once", result->died_at_once);
    times = lodei_json_object(root, "us");
    for (int row = 0; row < ROWS; row++)
        lodei_mine_spread_json(times, row_names[row], &figures.rows[row]);
    lodei_json_real(root, "memory_share", figures.memory_share);
    operations = lodei_json_object(root, "operations");
    for (int part = 0; part < LODEI_HERD_PARTS; part++)
        lodei_json_count(operations, row_names[part], result->operations[part]);
    lodei_json_count(root, "live_bytes", result->live_bytes);
    resident = lodei_json_object(root, "resident_bytes");
    lodei_json_count(resident, "start", result->resident_start);
    lodei_json_count(resident, "end", result->resident_end);
    lodei_json_count(resident, "despawned", result->resident_despawned);
    lodei_json_real(root, "despawn_us", result->despawn_us);
    json_left(root, &result->left);
    lodei_json_finish(root, out);
}

/* --- Text --- */

static void print_times(const struct lodei_herd_run *run, const struct figures *figures,
                        const struct lodei_terminal *terminal)
{
    static const char *const headings[] = {"us", "count", "p50", "p99", "p99.9", "max", "mean"};
    struct lodei_table *table = lodei_table_create("lrrrrrr", 1);

    for (size_t i = 0; i < sizeof(headings) / sizeof(headings[0]); i++)
        lodei_table_cell(table, "%s", headings[i]);
    for (int row = 0; row < ROWS; row++)
        lodei_mine_spread_row(table, row_names[row],
                              row < LODEI_HERD_PARTS ? run->result->operations[row]
                                                     : run->config->frames,
                              &figures->rows[row]);
    lodei_table_print(table, terminal, 0);
    lodei_table_destroy(table);
}

void lodei_herd_print(const struct lodei_herd_run *run, const struct lodei_terminal *terminal)
{
    const struct lodei_herd_result *result = run->result;
    char live[LODEI_UNITS_ROOM], resident[LODEI_UNITS_ROOM];
    FILE *out = terminal->out;
    struct figures figures;

    compute(run, &figures);
    fprintf(out, "%s%s%s, malloc is that of %s; %u frames, seed %llu\n", terminal->bold_on,
            run->alloc, terminal->plain, run->malloc_owner, run->config->frames,
            (unsigned long long)run->config->seed);
    fprintf(out, "hash 0x%016llx\n", (unsigned long long)result->hash);
    fprintf(out,
            "creatures: %llu born, %llu died, at most %llu and %llu in one frame; %llu alive "
            "at the end\n",
            (unsigned long long)result->spawned, (unsigned long long)result->died,
            (unsigned long long)result->born_at_once, (unsigned long long)result->died_at_once,
            (unsigned long long)result->alive_end);
    print_times(run, &figures, terminal);
    fprintf(out, "%.2f %% of the time in memory\n", figures.memory_share * 100);
    fprintf(out, "%s in lists and creatures, resident %s more than before\n",
            lodei_units_bytes(result->live_bytes, live),
            lodei_units_bytes(result->resident_end > result->resident_start
                                  ? result->resident_end - result->resident_start
                                  : 0,
                              resident));
    fprintf(out, "despawned all in %.0f us; left: %llu blocks of creatures, %llu in all",
            result->despawn_us, (unsigned long long)result->left.creature_blocks,
            (unsigned long long)result->left.blocks);
    if (result->left.bytes_known)
        fprintf(out, ", %lld bytes", (long long)result->left.bytes);
    fprintf(out, "\n");
}
