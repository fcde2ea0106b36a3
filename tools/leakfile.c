/* SPDX-License-Identifier: MIT */
/* Reading leak files; the format stands in leakfile.h. */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "leakfile.h"
#include "xalloc.h"

enum { FORMAT_VERSION = 1 };

struct reader {
    struct lodei_leakfile *file;
    size_t module_room, leak_room;
    int total_seen;
    const char *fault; /* what is wrong with the line */
};

/* The next blank-separated number at *text, which moves behind it. Returns 0, or -1 with the fault.
 */
static int take_number(struct reader *reader, const char **text, int base, uint64_t *ret_number)
{
    const char *start = *text;
    char *end;

    while (*start == ' ')
        start++;
    /* strtoull() takes signs and blanks that the format does not have. */
    if (strchr("0123456789abcdefABCDEF", *start) == NULL || *start == '\0') {
        reader->fault = base == 16 ? "a hexadecimal address is missing" : "a number is missing";
        return -1;
    }
    errno = 0;
    *ret_number = strtoull(start, &end, base);
    if (errno != 0 || end == start || (*end != ' ' && *end != '\0')) {
        reader->fault = base == 16 ? "bad hexadecimal address" : "bad number";
        return -1;
    }
    *text = end;
    return 0;
}

static int take_end(struct reader *reader, const char *text)
{
    if (text[strspn(text, " ")] == '\0')
        return 0;
    reader->fault = "text after the last field";
    return -1;
}

static int read_pair(struct reader *reader, const char *text, uint64_t *ret_blocks,
                     uint64_t *ret_bytes)
{
    uint64_t blocks, bytes;

    if (take_number(reader, &text, 10, &blocks) != 0 || take_number(reader, &text, 10, &bytes) != 0)
        return -1;
    if (take_end(reader, text) != 0)
        return -1;
    *ret_blocks = blocks;
    *ret_bytes = bytes;
    return 0;
}

static int read_pid(struct reader *reader, const char *text)
{
    if (take_number(reader, &text, 10, &reader->file->pid) != 0)
        return -1;
    return take_end(reader, text);
}

static int read_module(struct reader *reader, const char *text)
{
    struct lodei_leakfile *file = reader->file;
    struct lodei_leak_module module = {0};

    if (take_number(reader, &text, 16, &module.base) != 0 ||
        take_number(reader, &text, 16, &module.end) != 0 ||
        take_number(reader, &text, 16, &module.bias) != 0)
        return -1;
    if (module.end < module.base) {
        reader->fault = "a module that ends before it starts";
        return -1;
    }
    if (file->module_count == reader->module_room) {
        reader->module_room = reader->module_room > 0 ? reader->module_room * 2 : 32;
        file->modules = lodei_xreallocarray(file->modules, reader->module_room, sizeof(module));
    }
    module.path = lodei_xstrdup(*text == ' ' ? text + 1 : text);
    file->modules[file->module_count++] = module;
    return 0;
}

static int read_leak(struct reader *reader, const char *text)
{
    struct lodei_leakfile *file = reader->file;
    struct lodei_leak leak = {0};
    size_t room = 0;

    if (take_number(reader, &text, 10, &leak.blocks) != 0 ||
        take_number(reader, &text, 10, &leak.bytes) != 0)
        return -1;
    while (text[strspn(text, " ")] != '\0') {
        if (leak.frame_count == room) {
            room = room > 0 ? room * 2 : 16;
            leak.frames = lodei_xreallocarray(leak.frames, room, sizeof(*leak.frames));
        }
        if (take_number(reader, &text, 16, &leak.frames[leak.frame_count]) != 0) {
            free(leak.frames);
            return -1;
        }
        leak.frame_count++;
    }
    if (file->leak_count == reader->leak_room) {
        reader->leak_room = reader->leak_room > 0 ? reader->leak_room * 2 : 64;
        file->leaks = lodei_xreallocarray(file->leaks, reader->leak_room, sizeof(leak));
    }
    file->leaks[file->leak_count++] = leak;
    return 0;
}

static int read_record(struct reader *reader, char *line)
{
    struct lodei_leakfile *file = reader->file;
    char *text = strchr(line, ' ');

    if (text != NULL)
        *text++ = '\0';
    else
        text = line + strlen(line);

    if (strcmp(line, "leak") == 0)
        return read_leak(reader, text);
    if (strcmp(line, "module") == 0)
        return read_module(reader, text);
    if (strcmp(line, "pid") == 0)
        return read_pid(reader, text);
    if (strcmp(line, "suppressed") == 0)
        return read_pair(reader, text, &file->suppressed_blocks, &file->suppressed_bytes);
    if (strcmp(line, "total") == 0) {
        reader->total_seen = 1;
        return read_pair(reader, text, &file->total_blocks, &file->total_bytes);
    }
    if (strcmp(line, "exe") == 0) {
        free(file->exe);
        file->exe = lodei_xstrdup(text);
        return 0;
    }
    if (strcmp(line, "end") == 0) {
        file->complete = 1;
        return take_end(reader, text);
    }
    reader->fault = "unknown record";
    return -1;
}

static int read_header(struct reader *reader, const char *line)
{
    static const char magic[] = "lode-leaks ";
    const char *text = line + sizeof(magic) - 1;
    uint64_t version;

    if (strncmp(line, magic, sizeof(magic) - 1) != 0) {
        reader->fault = "not a leak file: it does not start with 'lode-leaks'";
        return -1;
    }
    if (take_number(reader, &text, 10, &version) != 0 || take_end(reader, text) != 0)
        return -1;
    if (version == FORMAT_VERSION)
        return 0;
    reader->fault = "a leak file of another version; this program reads version 1";
    return -1;
}

/* One line of the file; `whole`: it has its newline. */
static int read_line(struct reader *reader, char *line, size_t length, int whole, size_t number)
{
    if (strlen(line) != length) {
        reader->fault = "a NUL byte";
        return -1;
    }
    if (number == 1)
        return read_header(reader, line);
    if (reader->file->complete) {
        reader->fault = "text after 'end'";
        return -1;
    }
    /* Where the writer was cut off inside a line, no part of that line is worth anything. */
    if (!whole && strcmp(line, "end") != 0)
        return 0;
    return read_record(reader, line);
}

static int read_lines(struct reader *reader, FILE *in, const char *path)
{
    char *line = NULL;
    size_t room = 0, number = 0;
    ssize_t length;
    int result = 0;

    while (result == 0 && (length = getline(&line, &room, in)) > 0) {
        int whole = line[length - 1] == '\n';

        if (whole)
            line[--length] = '\0';
        number++;
        result = read_line(reader, line, (size_t)length, whole, number);
    }
    free(line);
    if (result != 0)
        warnx("%s:%zu: %s", path, number, reader->fault);
    else if (ferror(in)) {
        warn("%s", path);
        result = -1;
    } else if (number == 0) {
        warnx("%s:1: not a leak file: it is empty", path);
        result = -1;
    } else if (reader->file->complete && !reader->total_seen) {
        warnx("%s:%zu: 'end' without a record 'total'", path, number);
        result = -1;
    }
    return result;
}

int lodei_leakfile_read(const char *path, struct lodei_leakfile *ret_file)
{
    struct lodei_leakfile file = {0};
    struct reader reader = {.file = &file};
    FILE *in;
    int result;

    if (strcmp(path, "-") == 0) {
        in = stdin;
    } else {
        /* A process that we ran wrote it: no link out of its place is followed. */
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

        in = fd >= 0 ? fdopen(fd, "r") : NULL;
    }
    if (in == NULL) {
        warn("%s", path);
        return -1;
    }
    result = read_lines(&reader, in, path);
    if (in != stdin)
        fclose(in);
    if (result != 0)
        lodei_leakfile_finish(&file);
    else
        *ret_file = file;
    return result;
}

void lodei_leakfile_finish(struct lodei_leakfile *file)
{
    for (size_t i = 0; i < file->module_count; i++)
        free(file->modules[i].path);
    for (size_t i = 0; i < file->leak_count; i++)
        free(file->leaks[i].frames);
    free(file->modules);
    free(file->leaks);
    free(file->exe);
    memset(file, 0, sizeof(*file));
}
