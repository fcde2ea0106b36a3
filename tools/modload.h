/* SPDX-License-Identifier: MIT */
/* What the workloads (`lode mine`, `lode herd`) do before they run: load the module that --alloc
 * asks for, and find out whose malloc() this process calls. */
#ifndef LODEI_MODLOAD_H
#define LODEI_MODLOAD_H

/* Load `file_name` from `lib_dir`, or with NULL from where this program is installed, and return
 * the address of its `symbol`: NULL after a message. A module stays loaded. */
void *lodei_modload(const char *lib_dir, const char *file_name, const char *symbol);

/* The object whose malloc() this process calls; NULL: not known. Of the loader's memory. */
const char *lodei_malloc_owner(void);

#endif
