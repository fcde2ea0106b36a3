/* SPDX-License-Identifier: MIT */
/*
 * The leak report as JSON; see leakreport.h.
 *
 *     { "pid", "exe", "complete", "total": {"blocks", "bytes"}, "suppressed": {"blocks", "bytes"},
 *       "leaks": [ { "blocks", "bytes", "frames": [ { "address", "function", "file", "line",
 *                                                     "inlined", "module", "offset" } ] } ] }
 *
 * What is not known is null.
 */
#include "jsondoc.h"
#include "leakreport.h"

static void add_counts(struct lodei_json *object, uint64_t blocks, uint64_t bytes)
{
    lodei_json_count(object, "blocks", blocks);
    lodei_json_count(object, "bytes", bytes);
}

static void add_frame(void *ctx, const struct lodei_frame *frame)
{
    struct lodei_json *object = lodei_json_append(ctx);

    lodei_json_hex(object, "address", frame->address);
    lodei_json_text(object, "function", frame->function);
    lodei_json_text(object, "file", frame->file);
    if (frame->file != NULL)
        lodei_json_count(object, "line", (uint64_t)frame->line);
    else
        lodei_json_null(object, "line");
    lodei_json_flag(object, "inlined", frame->inlined);
    lodei_json_text(object, "module", frame->module);
    if (frame->module != NULL)
        lodei_json_hex(object, "offset", frame->offset);
    else
        lodei_json_null(object, "offset");
}

void lodei_leakreport_json(const struct lodei_leakfile *file, size_t top, FILE *out)
{
    struct lodei_symbolizer *symbolizer = lodei_leakreport_symbolizer(file);
    struct lodei_json *root = lodei_json_create(), *leaks;

    lodei_json_count(root, "pid", (uint64_t)file->pid);
    lodei_json_text(root, "exe", file->exe);
    lodei_json_flag(root, "complete", file->complete);
    add_counts(lodei_json_object(root, "total"), file->total_blocks, file->total_bytes);
    add_counts(lodei_json_object(root, "suppressed"), file->suppressed_blocks,
               file->suppressed_bytes);
    leaks = lodei_json_array(root, "leaks");
    for (size_t i = 0; i < file->leak_count && i < top; i++) {
        const struct lodei_leak *leak = &file->leaks[i];
        struct lodei_json *object = lodei_json_append(leaks), *frames;

        add_counts(object, leak->blocks, leak->bytes);
        frames = lodei_json_array(object, "frames");
        for (size_t f = 0; f < leak->frame_count; f++)
            lodei_symbolizer_resolve(symbolizer, leak->frames[f], add_frame, frames);
    }
    lodei_json_finish(root, out);
    lodei_symbolizer_destroy(symbolizer);
}
