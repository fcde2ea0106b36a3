/* SPDX-License-Identifier: MIT */
/*
 * The loaded ELF objects, including those unloaded since: whose code an address was.
 *
 * The list is brought up to date when a stack is seen for the first time, so a library that appears
 * in any recorded stack is known for ever. Each change of the list starts a new epoch; an address
 * that has belonged to two libraries is told apart by the epoch of its stack.
 */
#ifndef LODEI_MODULES_H
#define LODEI_MODULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lodei_elfsym;

enum lodei_module_role {
    LODEI_MODULE_PROGRAM, /* the program and its libraries */
    LODEI_MODULE_OURS,    /* liblode*.so */
    LODEI_MODULE_LIBC,    /* libc, ld.so and what comes with them */
    LODEI_MODULE_CXX,     /* the C++ and unwinding runtimes */
};

/* In kept memory, for ever. `begin` to `path` never change. */
struct lodei_module {
    struct lodei_module *next; /* in order of first sight */
    uintptr_t begin;           /* first mapped byte, and past the last */
    uintptr_t end;
    uintptr_t bias;    /* run-time address minus address in the file */
    uint64_t identity; /* hash of the build id, 0 without one */
    enum lodei_module_role role;
    const char *path;
    uint32_t born; /* epochs: the first with it, */
    uint32_t died; /* and the first without it; 0 while loaded. Guarded by the modules' lock */
    uint32_t scan; /* the last scan that met it; same lock */
    struct lodei_elfsym *symbols; /* of the report: read at first use */
    bool symbols_tried;
};

/* The first scan. Call once, while there is one thread. */
void lodei_modules_init(void);

/*
 * Scan again if a library was loaded or unloaded since the last scan. Takes the loader's lock: call
 * it with no lock held. Returns whether a library was unloaded, and so lodei_stack_flush() is due.
 */
bool lodei_modules_refresh(void);

/* The epoch of the last scan. */
uint32_t lodei_modules_epoch(void);

/* Does code of liblode*.so stand at `address`? No lock. */
bool lodei_modules_is_ours(uintptr_t address);

/* Has any of the frames held two different libraries? No lock. */
bool lodei_modules_reused(const uintptr_t *frames, unsigned count);

/* Whose code stood at `address` in `epoch`? NULL if nobody's. For the report. */
struct lodei_module *lodei_modules_find(uintptr_t address, uint32_t epoch);

/* The functions of `module`, read at first use; NULL without any. For the report. */
const struct lodei_elfsym *lodei_modules_symbols(struct lodei_module *module);

/* Every module ever seen, in order of first sight. Under lodei_modules_lock(). */
struct lodei_module *lodei_modules_first(void);

/* The program's path. */
const char *lodei_modules_exe(void);

/* Around fork, and around a walk of the list. A leaf below the loader's lock: call nothing of the
 * loader's in between. */
void lodei_modules_lock(void);
void lodei_modules_unlock(void);

#endif
