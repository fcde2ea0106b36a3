/* SPDX-License-Identifier: MIT */
/* Pointers that glibc's own malloc gave out (a library loaded with RTLD_DEEPBIND, say). */
#ifndef LODEI_FOREIGN_H
#define LODEI_FOREIGN_H

/* From here on the heap asks us about pointers that are not its own. */
void lodei_foreign_start(void);

#endif
