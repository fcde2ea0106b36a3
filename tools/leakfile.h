/* SPDX-License-Identifier: MIT */
/*
 * The leak file that liblode-trace.so writes, one record a line:
 *
 *     lode-leaks 1
 *     pid 1234
 *     exe /path/to/exe
 *     module BASE_HEX END_HEX BIAS_HEX PATH     an ELF object; one that was unloaded keeps its line
 *     suppressed BLOCKS BYTES                   live by design: libc, ld.so, libstdc++
 *     total BLOCKS BYTES                        of all leaks, also those not listed
 *     leak BLOCKS BYTES FRAME_HEX ...           one per call stack, most bytes first; innermost
 * first end
 *
 * A frame is a return address. Without `end` the writer was cut off: what stands there is good.
 */
#ifndef LODEI_LEAKFILE_H
#define LODEI_LEAKFILE_H

#include <stddef.h>
#include <stdint.h>

struct lodei_leak_module {
    uint64_t base, end, bias;
    char *path;
};

struct lodei_leak {
    uint64_t blocks, bytes;
    uint64_t *frames;
    size_t frame_count;
};

struct lodei_leakfile {
    uint64_t pid;
    char *exe;
    struct lodei_leak_module *modules;
    size_t module_count;
    struct lodei_leak *leaks;
    size_t leak_count;
    uint64_t suppressed_blocks, suppressed_bytes;
    uint64_t total_blocks, total_bytes;
    int complete; /* `end` was there */
};

/*
 * Read the file at `path`; `-` is stdin. Returns 0 and a file to end with lodei_leakfile_finish(),
 * or -1 after one message through warnx() that names the line.
 */
int lodei_leakfile_read(const char *path, struct lodei_leakfile *ret_file);
void lodei_leakfile_finish(struct lodei_leakfile *file);

#endif
