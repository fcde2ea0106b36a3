/* SPDX-License-Identifier: MIT */
/* The figures as text, without malloc or stdio. */
#ifndef LODEI_REPORT_H
#define LODEI_REPORT_H

/* Options stats_file: write it. */
void lodei_report_at_exit(void);

#endif
