/* SPDX-License-Identifier: MIT */
/* Fork handlers; registered by the library's constructor (process.c). */
#ifndef LODEI_FORK_H
#define LODEI_FORK_H

#include "base/attr.h"

LODE_EXPORT void lodei_fork_prepare(void);
LODE_EXPORT void lodei_fork_parent(void);
LODE_EXPORT void lodei_fork_child(void);
/* lodei_lock_orphaned: the repair in a child whose handlers never ran. */
void lodei_fork_orphaned(void);
/* Make the page that lodei_fork_mark points to; without it (Linux before 4.14) nothing is repaired.
 */
void lodei_fork_mark_make(void);

#endif
