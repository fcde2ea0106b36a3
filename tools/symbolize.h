/* SPDX-License-Identifier: MIT */
/*
 * From return addresses of a process that has ended to functions and source lines, inlined calls
 * included. One symbolizer holds the modules of one process.
 */
#ifndef LODEI_SYMBOLIZE_H
#define LODEI_SYMBOLIZE_H

#include <stdint.h>

struct lodei_symbolizer;

/* One frame. A return address gives several where calls were inlined there, innermost first. */
struct lodei_frame {
    uint64_t address;     /* the return address */
    const char *function; /* demangled; NULL: unknown */
    const char *file;     /* as the compiler was given it; NULL: no line information */
    int line;
    int inlined;        /* into the frame that comes next */
    const char *module; /* path; NULL: the address lies in no module */
    uint64_t offset;    /* of the address in the module's own numbering */
};

/* Strings in `frame` live during the call only. */
typedef void (*lodei_frame_visitor)(void *ctx, const struct lodei_frame *frame);

/* Ended with lodei_symbolizer_destroy(). */
struct lodei_symbolizer *lodei_symbolizer_create(void);
void lodei_symbolizer_destroy(struct lodei_symbolizer *symbolizer);

/* Name a loaded ELF object. Its file is opened when the first address in it is asked for. Where two
 * overlap, because one was unloaded before the other came, the one added last counts. */
void lodei_symbolizer_add(struct lodei_symbolizer *symbolizer, uint64_t base, uint64_t end,
                          uint64_t bias, const char *path);

/* Call `visit` at least once, for the frames at the return address `address`. */
void lodei_symbolizer_resolve(struct lodei_symbolizer *symbolizer, uint64_t address,
                              lodei_frame_visitor visit, void *ctx);

#endif
