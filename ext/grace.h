/* SPDX-License-Identifier: MIT */
/* Reading sections and what is freed after them. See grace.c. */
#ifndef LODEI_GRACE_H
#define LODEI_GRACE_H

#include <stddef.h>
#include <stdint.h>

/*
 * Free `block` with lode_free() once no reading section that may know its address is open: at once
 * if there is none. The caller has made the address unreachable before, by a seq_cst operation.
 */
void lodei_grace_free(void *block);

/* No section is open: what was made unreachable before, as above, can be used again at once. */
int lodei_grace_quiet(void);

/* The same for many: what is in the way is looked at once, and blocks that left the processor's
 * caches long ago come back side by side, not one after the other. */
void lodei_grace_free_all(void *const *blocks, size_t count);

/* Free what can be freed now of what waits. */
void lodei_grace_settle(void);
/* Wait until every section open now has ended; never within a section. For the end of a pool. */
void lodei_grace_wait(void);
/* Misuse, if this thread is inside a section: `what` of `object` cannot wait for itself. */
void lodei_grace_refuse(const char *what, const void *object);

/* Is this thread within a section? */
int lodei_grace_inside(void);
/* A number that no other section of this process has, or had; within one only. */
uint64_t lodei_grace_section(void);

void lodei_grace_figures(size_t *ret_readers, size_t *ret_waiting);

#endif
