/* SPDX-License-Identifier: MIT */
/*
 * The leak report: what is still live when the process exits.
 */
#ifndef LODEI_EXITREPORT_H
#define LODEI_EXITREPORT_H

#include <stdbool.h>
#include <stdint.h>

struct lodei_report_opts {
    uint64_t top;        /* stacks printed by the text report */
    unsigned frames_max; /* a stack of that many frames may have been cut */
    const char *file;    /* "": text on stderr; else the file, %p standing for the process id */
    bool forked;         /* this process was forked from a traced one */
};

/* Write the report. Called once, by one thread, other threads may go on; no lock is held. */
void lodei_report(const struct lodei_report_opts *opts);

#endif
