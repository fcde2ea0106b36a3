/* SPDX-License-Identifier: MIT */
/*
 * Function names from an ELF file's symbol table (.symtab, or .dynsym of a stripped file), without
 * malloc. For the report only: one thread at a time.
 */
#ifndef LODEI_ELFSYM_H
#define LODEI_ELFSYM_H

#include <stdbool.h>
#include <stdint.h>

struct lodei_elfsym;

/* Map and index the file, for the rest of the process. NULL when it cannot be read, or memory is
 * out, or it holds no function. */
struct lodei_elfsym *lodei_elfsym_open(const char *path);

/*
 * The function whose code covers `address` (as in the file, without bias).
 * Returns its name, which lives as long as the table, and its start in `*ret_start`; or NULL.
 */
const char *lodei_elfsym_name(const struct lodei_elfsym *table, uint64_t address,
                              uint64_t *ret_start);

/* Does any name of that function (fopen, fopen64, _IO_fopen) satisfy `match`? */
bool lodei_elfsym_any(const struct lodei_elfsym *table, uint64_t address,
                      bool (*match)(const char *name));

#endif
