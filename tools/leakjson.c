/* SPDX-License-Identifier: MIT */
/*
 * The leak report as JSON, with jansson; the only file that includes it. See leakreport.h.
 *
 *     { "pid", "exe", "complete", "total": {"blocks", "bytes"}, "suppressed": {"blocks", "bytes"},
 *       "leaks": [ { "blocks", "bytes", "frames": [ { "address", "function", "file", "line",
 *                                                     "inlined", "module", "offset" } ] } ] }
 *
 * Addresses are strings "0x…": JSON readers keep 53 bits of a number. What is not known is null.
 */
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>

#include "leakreport.h"
#include "xalloc.h"

static json_t *counts(uint64_t blocks, uint64_t bytes)
{
    return json_pack("{s:I, s:I}", "blocks", (json_int_t)blocks, "bytes", (json_int_t)bytes);
}

static json_t *address_string(uint64_t address)
{
    char *text = lodei_xasprintf("0x%" PRIx64, address);
    json_t *string = json_string(text);

    free(text);
    return string;
}

/* Text from programs and file systems need not be UTF-8, which is all that JSON takes: bytes that
 * are not ASCII become '?' where it is not. */
static json_t *text_or_null(const char *text)
{
    json_t *string;
    char *ascii;

    if (text == NULL)
        return json_null();
    string = json_string(text);
    if (string != NULL)
        return string;
    ascii = lodei_xstrdup(text);
    for (char *c = ascii; *c != '\0'; c++)
        if ((unsigned char)*c >= 0x80)
            *c = '?';
    string = json_string(ascii);
    free(ascii);
    return string;
}

static void add_frame(void *ctx, const struct lodei_frame *frame)
{
    json_t *object = json_object();

    json_object_set_new(object, "address", address_string(frame->address));
    json_object_set_new(object, "function", text_or_null(frame->function));
    json_object_set_new(object, "file", text_or_null(frame->file));
    json_object_set_new(object, "line",
                        frame->file != NULL ? json_integer(frame->line) : json_null());
    json_object_set_new(object, "inlined", json_boolean(frame->inlined));
    json_object_set_new(object, "module", text_or_null(frame->module));
    json_object_set_new(object, "offset",
                        frame->module != NULL ? address_string(frame->offset) : json_null());
    json_array_append_new(ctx, object);
}

void lodei_leakreport_json(const struct lodei_leakfile *file, size_t top, FILE *out)
{
    struct lodei_symbolizer *symbolizer = lodei_leakreport_symbolizer(file);
    json_t *root = json_object(), *leaks = json_array();

    json_object_set_new(root, "pid", json_integer((json_int_t)file->pid));
    json_object_set_new(root, "exe", text_or_null(file->exe));
    json_object_set_new(root, "complete", json_boolean(file->complete));
    json_object_set_new(root, "total", counts(file->total_blocks, file->total_bytes));
    json_object_set_new(root, "suppressed",
                        counts(file->suppressed_blocks, file->suppressed_bytes));
    for (size_t i = 0; i < file->leak_count && i < top; i++) {
        const struct lodei_leak *leak = &file->leaks[i];
        json_t *object = counts(leak->blocks, leak->bytes), *frames = json_array();

        for (size_t f = 0; f < leak->frame_count; f++)
            lodei_symbolizer_resolve(symbolizer, leak->frames[f], add_frame, frames);
        json_object_set_new(object, "frames", frames);
        json_array_append_new(leaks, object);
    }
    json_object_set_new(root, "leaks", leaks);
    json_dumpf(root, out, JSON_INDENT(2));
    fputc('\n', out);
    json_decref(root);
    lodei_symbolizer_destroy(symbolizer);
}
