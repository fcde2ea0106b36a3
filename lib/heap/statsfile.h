/* SPDX-License-Identifier: MIT */
/* The figures as text, without malloc or stdio. */
#ifndef LODEI_STATSFILE_H
#define LODEI_STATSFILE_H

/* Options stats_file: write it. */
void lodei_statsfile_at_exit(void);

#endif
