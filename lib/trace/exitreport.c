/* SPDX-License-Identifier: MIT */
/*
 * Grouping and output of the leak report.
 *
 * The records are summed up by stack (live_blocks and live_bytes of struct lodei_stack), the stacks
 * with a sum are collected, those that a runtime library keeps by design are set aside, and the
 * rest is sorted by bytes. Text goes to stderr with function names from the symbol tables; with a
 * file given, what is written is for `lode leaks`, which knows source lines:
 *
 *     lode-leaks 1
 *     pid 1234
 *     exe /path/to/exe
 *     module BEGIN END BIAS PATH          hex; one per ELF object ever seen; PATH to the line's end
 *     suppressed BLOCKS BYTES
 *     total BLOCKS BYTES                  of the leak lines
 *     leak BLOCKS BYTES FRAME FRAME ...   hex return addresses, innermost first; most bytes first
 *     end
 *
 * A forked child whose file has no %p in its name writes to NAME.PID: the name is its parent's.
 * Never calls malloc, except through __cxa_demangle, which the heap does not trace here.
 */
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "trace/chunk.h"
#include "trace/elfsym.h"
#include "trace/keeper.h"
#include "trace/leak.h"
#include "trace/modules.h"
#include "trace/rawout.h"
#include "trace/exitreport.h"
#include "trace/stacks.h"

/* There when the program has the C++ runtime. */
extern char *__cxa_demangle(const char *name, char *buffer, size_t *bytes, int *status)
    __attribute__((weak));

struct sums {
    uint32_t *ids; /* stacks with live blocks */
    uint64_t count;
    uint64_t room;
    uint64_t blocks;
    uint64_t bytes;
    uint64_t kept_blocks;
    uint64_t kept_bytes;
    uint64_t nowhere_blocks; /* recorded without a stack */
    uint64_t nowhere_bytes;
};

static void sum_record(void *ctx, const struct lodei_leak_record *record)
{
    struct sums *sums = ctx;
    struct lodei_stack *stack;

    if (!record->stack) {
        sums->nowhere_blocks++;
        sums->nowhere_bytes += record->bytes;
        return;
    }
    stack = lodei_stacks_get(record->stack);
    /* A stack's first block makes it an entry; past the room (threads still run), it stays out. */
    if (!stack->live_blocks) {
        if (sums->count == sums->room)
            return;
        sums->ids[sums->count++] = record->stack;
    }
    stack->live_blocks++;
    stack->live_bytes += record->bytes;
}

static uint64_t bytes_at(const struct sums *sums, uint64_t at)
{
    return lodei_stacks_get(sums->ids[at])->live_bytes;
}

static void sift_down(struct sums *sums, uint64_t root, uint64_t count)
{
    uint64_t child;

    while ((child = 2 * root + 1) < count) {
        uint32_t moved = sums->ids[root];

        if (child + 1 < count && bytes_at(sums, child) > bytes_at(sums, child + 1))
            child++;
        if (bytes_at(sums, root) <= bytes_at(sums, child))
            return;
        sums->ids[root] = sums->ids[child];
        sums->ids[child] = moved;
        root = child;
    }
}

/* Most bytes first: a heap sort with the smallest on top, since qsort() may call malloc. */
static void sort(struct sums *sums)
{
    for (uint64_t root = sums->count / 2; root-- > 0;)
        sift_down(sums, root, sums->count);
    for (uint64_t last = sums->count; last-- > 1;) {
        uint32_t smallest = sums->ids[0];

        sums->ids[0] = sums->ids[last];
        sums->ids[last] = smallest;
        sift_down(sums, 0, last);
    }
}

/* Take out the stacks whose blocks a runtime library keeps. */
static void set_kept_aside(struct sums *sums, unsigned frames_max)
{
    uint64_t left = 0;

    for (uint64_t i = 0; i < sums->count; i++) {
        const struct lodei_stack *stack = lodei_stacks_get(sums->ids[i]);

        if (lodei_keeper_owns(stack, stack->count < frames_max)) {
            sums->kept_blocks += stack->live_blocks;
            sums->kept_bytes += stack->live_bytes;
        } else {
            sums->blocks += stack->live_blocks;
            sums->bytes += stack->live_bytes;
            sums->ids[left++] = sums->ids[i];
        }
    }
    sums->count = left;
    sums->blocks += sums->nowhere_blocks;
    sums->bytes += sums->nowhere_bytes;
}

static void put_count(struct lodei_rawout *out, uint64_t count, const char *one, const char *many)
{
    lodei_rawout_dec(out, count);
    lodei_rawout_str(out, count == 1 ? one : many);
}

static void put_amount(struct lodei_rawout *out, uint64_t bytes, uint64_t blocks)
{
    put_count(out, bytes, " byte in ", " bytes in ");
    put_count(out, blocks, " block", " blocks");
}

static void put_function(struct lodei_rawout *out, const char *name, uint64_t offset)
{
    char *readable = NULL;

    if (__cxa_demangle && name[0] == '_' && name[1] == 'Z')
        readable = __cxa_demangle(name, NULL, NULL, NULL);
    lodei_rawout_str(out, readable ? readable : name);
    free(readable);
    lodei_rawout_str(out, "+0x");
    lodei_rawout_hex(out, offset);
}

/* "    #0 0xADDR function+0xOFF (module)" */
static void put_frame(struct lodei_rawout *out, const struct lodei_stack *stack, uint32_t at)
{
    uintptr_t frame = stack->frames[at];
    struct lodei_module *module = lodei_modules_find(frame - 1, stack->epoch);
    const struct lodei_elfsym *symbols = module ? lodei_modules_symbols(module) : NULL;
    const char *name = NULL;
    uint64_t start;

    lodei_rawout_str(out, "    #");
    lodei_rawout_dec(out, at);
    lodei_rawout_str(out, " 0x");
    lodei_rawout_hex(out, frame);
    lodei_rawout_str(out, " ");
    if (symbols)
        name = lodei_elfsym_name(symbols, frame - 1 - module->bias, &start);
    if (name)
        put_function(out, name, frame - module->bias - start);
    else
        lodei_rawout_str(out, "??");
    lodei_rawout_str(out, " (");
    lodei_rawout_str(out, module ? module->path : "no library");
    if (module && !name) {
        lodei_rawout_str(out, "+0x");
        lodei_rawout_hex(out, frame - module->bias);
    }
    lodei_rawout_str(out, ")\n");
}

static void put_losses(struct lodei_rawout *out)
{
    if (lodei_leak_dropped()) {
        lodei_rawout_str(out, "lode: leaks: out of memory, ");
        put_count(out, lodei_leak_dropped(), " block was", " blocks were");
        lodei_rawout_str(out, " not recorded\n");
    }
    if (lodei_stacks_lost()) {
        lodei_rawout_str(out, "lode: leaks: out of memory, ");
        put_count(out, lodei_stacks_lost(), " call stack was", " call stacks were");
        lodei_rawout_str(out, " not kept\n");
    }
}

static void write_text(struct lodei_rawout *out, const struct sums *sums, uint64_t top)
{
    if (sums->blocks) {
        lodei_rawout_str(out, "lode: leaks of ");
        lodei_rawout_str(out, lodei_modules_exe());
        lodei_rawout_str(out, " (pid ");
        lodei_rawout_dec(out, (uint64_t)getpid());
        lodei_rawout_str(out, "), most bytes first\n");
    }
    for (uint64_t i = 0; i < sums->count && i < top; i++) {
        const struct lodei_stack *stack = lodei_stacks_get(sums->ids[i]);

        put_amount(out, stack->live_bytes, stack->live_blocks);
        lodei_rawout_str(out, "\n");
        for (uint32_t frame = 0; frame < stack->count; frame++)
            put_frame(out, stack, frame);
    }
    if (sums->count > top) {
        put_count(out, sums->count - top, " more stack", " more stacks");
        lodei_rawout_str(out, " (option leaks_top)\n");
    }
    if (sums->nowhere_blocks) {
        put_amount(out, sums->nowhere_bytes, sums->nowhere_blocks);
        lodei_rawout_str(out, " without a call stack\n");
    }
    put_losses(out);
    lodei_rawout_str(out, "lode: leaks: ");
    put_amount(out, sums->bytes, sums->blocks);
    lodei_rawout_str(out, ", ");
    put_count(out, sums->count, " stack", " stacks");
    lodei_rawout_str(out, " (suppressed: ");
    put_amount(out, sums->kept_bytes, sums->kept_blocks);
    lodei_rawout_str(out, ")\n");
    lodei_rawout_flush(out);
}

static void put_pair(struct lodei_rawout *out, const char *key, uint64_t blocks, uint64_t bytes)
{
    lodei_rawout_str(out, key);
    lodei_rawout_dec(out, blocks);
    lodei_rawout_str(out, " ");
    lodei_rawout_dec(out, bytes);
}

static void put_modules(struct lodei_rawout *out)
{
    lodei_modules_lock();
    for (const struct lodei_module *module = lodei_modules_first(); module; module = module->next) {
        lodei_rawout_str(out, "module ");
        lodei_rawout_hex(out, module->begin);
        lodei_rawout_str(out, " ");
        lodei_rawout_hex(out, module->end);
        lodei_rawout_str(out, " ");
        lodei_rawout_hex(out, module->bias);
        lodei_rawout_str(out, " ");
        lodei_rawout_str(out, module->path);
        lodei_rawout_str(out, "\n");
    }
    lodei_modules_unlock();
}

static void write_file(struct lodei_rawout *out, const struct sums *sums)
{
    lodei_rawout_str(out, "lode-leaks 1\npid ");
    lodei_rawout_dec(out, (uint64_t)getpid());
    lodei_rawout_str(out, "\nexe ");
    lodei_rawout_str(out, lodei_modules_exe());
    lodei_rawout_str(out, "\n");
    put_modules(out);
    put_pair(out, "suppressed ", sums->kept_blocks, sums->kept_bytes);
    put_pair(out, "\ntotal ", sums->blocks, sums->bytes);
    lodei_rawout_str(out, "\n");
    for (uint64_t i = 0; i < sums->count; i++) {
        const struct lodei_stack *stack = lodei_stacks_get(sums->ids[i]);

        put_pair(out, "leak ", stack->live_blocks, stack->live_bytes);
        for (uint32_t frame = 0; frame < stack->count; frame++) {
            lodei_rawout_str(out, " ");
            lodei_rawout_hex(out, stack->frames[frame]);
        }
        lodei_rawout_str(out, "\n");
    }
    if (sums->nowhere_blocks) {
        put_pair(out, "leak ", sums->nowhere_blocks, sums->nowhere_bytes);
        lodei_rawout_str(out, "\n");
    }
    lodei_rawout_str(out, "end\n");
    lodei_rawout_flush(out);
}

/* Fill in the process id. */
static void file_path(char *path, size_t room, const struct lodei_report_opts *opts)
{
    struct lodei_rawout name;
    bool placed = false;

    /* A rawout that is never full and never flushed serves as a string builder. */
    lodei_rawout_init(&name, -1);
    for (const char *at = opts->file; *at; at++) {
        if (at[0] == '%' && at[1] == 'p') {
            lodei_rawout_dec(&name, (uint64_t)getpid());
            placed = true;
            at++;
        } else {
            lodei_rawout_str(&name, (char[]){*at, 0});
        }
    }
    if (opts->forked && !placed) {
        lodei_rawout_str(&name, ".");
        lodei_rawout_dec(&name, (uint64_t)getpid());
    }
    size_t bytes = name.used < room - 1 ? name.used : room - 1;
    memcpy(path, name.text, bytes);
    path[bytes] = 0;
}

static void output(const struct lodei_report_opts *opts, const struct sums *sums)
{
    struct lodei_rawout out;
    char path[PATH_MAX];
    int fd = -1;

    lodei_rawout_init(&out, STDERR_FILENO);
    if (opts->file[0]) {
        file_path(path, sizeof(path), opts);
        fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0644);
        if (fd < 0) {
            lodei_rawout_str(&out, "lode: leaks: cannot write '");
            lodei_rawout_str(&out, path);
            lodei_rawout_str(&out, "', the report follows\n");
        }
    }
    if (fd < 0) {
        write_text(&out, sums, opts->top);
        return;
    }
    lodei_rawout_init(&out, fd);
    write_file(&out, sums);
    close(fd);
    if (out.failed) {
        lodei_rawout_init(&out, STDERR_FILENO);
        lodei_rawout_str(&out, "lode: leaks: could not write all of '");
        lodei_rawout_str(&out, path);
        lodei_rawout_str(&out, "'\n");
        lodei_rawout_flush(&out);
    }
}

void lodei_report(const struct lodei_report_opts *opts)
{
    /* Room for every stack there is; untouched pages cost nothing. */
    struct sums sums = {.room = lodei_stacks_count()};
    size_t bytes = sums.room * sizeof(*sums.ids) + 1;

    sums.ids = lodei_chunk_map(bytes);
    if (!sums.ids)
        sums.room = 0;
    lodei_modules_refresh();
    lodei_leak_walk(sum_record, &sums);
    set_kept_aside(&sums, opts->frames_max);
    sort(&sums);
    output(opts, &sums);
    lodei_chunk_unmap(sums.ids, bytes);
}
