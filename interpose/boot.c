/* SPDX-License-Identifier: MIT */
/*
 * The shim's own start: what concerns a replaced malloc and not the heaps. liblode-heap.so's
 * constructor (heap/process.c) has run before: options are read, fork and exit are arranged.
 */
#include <dlfcn.h>

#include "base/conf.h"
#include "base/print.h"
#include "foreign.h"
#include "heap/trace.h"
#include "os/elf.h"

#define TRACE_LIBRARY "liblode-trace.so"

/* Found through our RUNPATH, beside this library. dlopen is in libc since glibc 2.34, in libdl
 * before, and behind a private name where libdl is not loaded. */
static void *open_library(const char *path)
{
    void *(*open)(const char *, int);
    *(void **)&open = lodei_elf_function("libc.so.|libdl", "dlopen");
    if (open == NULL)
        *(void **)&open = lodei_elf_function("libc.so.", "__libc_dlopen_mode");
    return open != NULL ? open(path, RTLD_NOW | RTLD_LOCAL) : NULL;
}

static void start_tracer(void)
{
    int (*start)(const struct lodei_conf *) = NULL;
    if (open_library(TRACE_LIBRARY) != NULL)
        *(void **)&start = lodei_elf_function(TRACE_LIBRARY, "lode_trace_start");
    if (start == NULL || start(&lodei_conf) != 0)
        lodei_warn("cannot start " TRACE_LIBRARY ": no leak report");
}

__attribute__((constructor(102))) static void boot(void)
{
    lodei_foreign_start();
    if (lodei_conf.leaks != LODEI_LEAKS_OFF)
        start_tracer();
}
