/* SPDX-License-Identifier: MIT */
/* Numbers for readers. */
#ifndef LODEI_UNITS_H
#define LODEI_UNITS_H

#include <stdint.h>

enum { LODEI_UNITS_ROOM = 32 };

/* "12.3 MiB", "999 B"; written into `text` and returned. */
const char *lodei_units_bytes(uint64_t bytes, char text[LODEI_UNITS_ROOM]);

/* A whole number in `lowest`..`highest` written in digits only. Returns 0, or -1 with *ret_number
 * untouched. */
int lodei_units_parse(const char *text, uint64_t lowest, uint64_t highest, uint64_t *ret_number);

#endif
