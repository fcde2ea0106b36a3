/* SPDX-License-Identifier: MIT */
/*
 * Symbols of loaded objects, found through dl_iterate_phdr and their own hash tables: works without
 * libdl, without symbol versions newer than the oldest glibc we run on, and without calling malloc.
 * Takes the loader's lock: never call with a lock of ours held.
 */
#ifndef LODEI_ELF_H
#define LODEI_ELF_H

#include <stddef.h>
#include <stdint.h>

/*
 * Address of the function `symbol` defined by the first loaded object whose file name starts with
 * one of `objects` (separated by '|', such as "libc.so.|libpthread"); NULL when there is none.
 */
void *lodei_elf_function(const char *objects, const char *symbol);

/* [start, end) of the object's loaded segments; 0 when it is not loaded. */
int lodei_elf_range(const char *objects, uintptr_t *ret_start, uintptr_t *ret_end);

#endif
