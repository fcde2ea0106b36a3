/* SPDX-License-Identifier: MIT */
/*
 * What the files of the C conformance program give to its tables in conform_areas.c.
 */
#ifndef CONFORM_AREAS_H
#define CONFORM_AREAS_H

#include "conform.h"

extern const struct conform_test conform_alloc[];
extern const struct conform_test conform_realloc[];
extern const struct conform_test conform_align[];
extern const struct conform_test conform_usable[];
extern const struct conform_test conform_limits[];
extern const struct conform_test conform_info[];
extern const struct conform_test conform_thread[];
extern const struct conform_test conform_process[];
extern const struct conform_test conform_dynamic[];

int conform_mode_limit_as(void);
int conform_mode_limit_threads(void);
int conform_mode_atexit(void);
int conform_mode_quick_exit(void);
int conform_mode_child(void);

#endif
