/* SPDX-License-Identifier: MIT */
/* The leak report for a reader; see leakreport.h. */
#include <inttypes.h>

#include "leakreport.h"
#include "units.h"

struct lodei_symbolizer *lodei_leakreport_symbolizer(const struct lodei_leakfile *file)
{
    struct lodei_symbolizer *symbolizer = lodei_symbolizer_create();

    for (size_t i = 0; i < file->module_count; i++) {
        const struct lodei_leak_module *module = &file->modules[i];
        const char *path = module->path;

        /* The loader's own list has an empty name for the executable. */
        if (path[0] == '\0' && file->exe != NULL)
            path = file->exe;
        lodei_symbolizer_add(symbolizer, module->base, module->end, module->bias, path);
    }
    return symbolizer;
}

struct printer {
    FILE *out;
    int number; /* of the frame in its stack */
};

static void print_frame(void *ctx, const struct lodei_frame *frame)
{
    struct printer *printer = ctx;

    fprintf(printer->out, "  #%-2d ", printer->number++);
    if (frame->function != NULL)
        fprintf(printer->out, "%s", frame->function);
    else
        fprintf(printer->out, "0x%" PRIx64, frame->address);
    if (frame->inlined)
        fprintf(printer->out, " (inlined)");
    if (frame->file != NULL)
        fprintf(printer->out, "  %s:%d", frame->file, frame->line);
    else if (frame->module != NULL)
        fprintf(printer->out, "  in %s+0x%" PRIx64, frame->module, frame->offset);
    fputc('\n', printer->out);
}

static void print_counts(FILE *out, uint64_t blocks, uint64_t bytes)
{
    fprintf(out, "%" PRIu64 " byte%s in %" PRIu64 " block%s", bytes, bytes == 1 ? "" : "s", blocks,
            blocks == 1 ? "" : "s");
}

static void print_rest(const struct lodei_leakfile *file, size_t shown, FILE *out)
{
    uint64_t blocks = file->total_blocks, bytes = file->total_bytes;

    for (size_t i = 0; i < shown; i++) {
        blocks -= file->leaks[i].blocks < blocks ? file->leaks[i].blocks : blocks;
        bytes -= file->leaks[i].bytes < bytes ? file->leaks[i].bytes : bytes;
    }
    if (blocks == 0 && shown == file->leak_count)
        return;
    print_counts(out, blocks, bytes);
    fprintf(out, " in stacks not shown (see --top)\n");
}

static void print_totals(const struct lodei_leakfile *file, FILE *out)
{
    char text[LODEI_UNITS_ROOM];

    if (file->total_blocks == 0 && file->leak_count == 0) {
        fprintf(out, "nothing leaked");
    } else {
        fprintf(out, "leaked in all: ");
        print_counts(out, file->total_blocks, file->total_bytes);
        fprintf(out, " (%s)", lodei_units_bytes(file->total_bytes, text));
    }
    if (file->suppressed_blocks > 0) {
        fprintf(out, "; live by design: ");
        print_counts(out, file->suppressed_blocks, file->suppressed_bytes);
    }
    fputc('\n', out);
    if (!file->complete)
        fprintf(out, "the leak file is cut off: there may be more\n");
}

void lodei_leakreport_print(const struct lodei_leakfile *file, size_t top,
                            const struct lodei_terminal *terminal)
{
    struct lodei_symbolizer *symbolizer = lodei_leakreport_symbolizer(file);
    size_t shown = file->leak_count < top ? file->leak_count : top;

    fprintf(terminal->out, "%sleaks of process %" PRIu64 "%s%s%s\n", terminal->bold_on, file->pid,
            file->exe != NULL ? ", " : "", file->exe != NULL ? file->exe : "", terminal->plain);
    for (size_t i = 0; i < shown; i++) {
        const struct lodei_leak *leak = &file->leaks[i];
        struct printer printer = {.out = terminal->out};

        print_counts(terminal->out, leak->blocks, leak->bytes);
        fputc('\n', terminal->out);
        for (size_t f = 0; f < leak->frame_count; f++)
            lodei_symbolizer_resolve(symbolizer, leak->frames[f], print_frame, &printer);
        if (leak->frame_count == 0)
            fprintf(terminal->out, "  (no call stack)\n");
    }
    print_rest(file, shown, terminal->out);
    print_totals(file, terminal->out);
    lodei_symbolizer_destroy(symbolizer);
}
