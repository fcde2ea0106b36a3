/* SPDX-License-Identifier: MIT */
/* What `lode herd` prints. */
#ifndef LODEI_HERDREPORT_H
#define LODEI_HERDREPORT_H

#include <stdio.h>

#include "herdrun.h"
#include "terminal.h"

struct lodei_herd_run {
    const char *alloc;        /* the --alloc it ran with */
    const char *malloc_owner; /* the object whose malloc() this process calls */
    const struct lodei_herd_config *config;
    const struct lodei_herd_result *result;
};

/* Write a row of five uint32_t a frame, in nanoseconds, for scripts: the parts in the order of enum
 * lodei_herd_part, and the whole frame. Returns 0, or -1 after a message. */
int lodei_herd_samples(const struct lodei_herd_run *run, const char *path);

void lodei_herd_print(const struct lodei_herd_run *run, const struct lodei_terminal *terminal);
void lodei_herd_json(const struct lodei_herd_run *run, FILE *out);

#endif
