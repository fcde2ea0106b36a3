/* SPDX-License-Identifier: MIT */
/* What `lode run` prints at the end: figures of the kernel, of the heap, and the leaks. */
#ifndef LODEI_SUMMARY_H
#define LODEI_SUMMARY_H

#include <stddef.h>

#include "launch.h"
#include "reportdir.h"
#include "terminal.h"

/* Seconds, peak RSS and exit status of `command`. */
void lodei_summary_print(const struct lodei_terminal *terminal, const char *command,
                         const struct lodei_outcome *outcome);

/* The heap figures of the command, the first of `paths` if its pid is `own`, and of the process
 * with the highest peak RSS where that is another. */
void lodei_summary_heap(const struct lodei_terminal *terminal,
                        const struct lodei_report_path *paths, size_t count, pid_t own);

/* The leak reports of all processes; those of others than `own` only where something leaked. */
void lodei_summary_leaks(const struct lodei_terminal *terminal,
                         const struct lodei_report_path *paths, size_t count, pid_t own,
                         size_t top);

#endif
