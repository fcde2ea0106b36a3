/* SPDX-License-Identifier: MIT */
/* Which slices of the reservation are free: handing out and taking back runs of them. */
#ifndef LODEI_SLICES_H
#define LODEI_SLICES_H

#include "heap/types.h"

#define LODEI_SLICES_NONE SIZE_MAX

/* Which free slices to look at first. When those do not have the run, any free ones will do. */
enum lodei_prefer {
    LODEI_PREFER_DIRTY, /* ones with pages behind them: no page faults */
    LODEI_PREFER_CLEAN, /* ones without: pages will be moved there */
};

/*
 * `count` consecutive slices of `kind`, the first at an address that is a multiple of `align`
 * slices, committed.
 *
 * @ret_dirty  How many of them may hold old contents; the others read as zero.
 * Returns     the first, or LODEI_SLICES_NONE.
 * Locks       takes slices_lock.
 */
size_t lodei_slices_alloc(enum lode_kind kind, size_t count, size_t align, enum lodei_prefer prefer,
                          size_t *ret_dirty);
/* How many dirty slices there are, in runs of any length; a hint. */
size_t lodei_slices_dirty(void);
/* The next `more` slices behind `end` if they are free and of the same kind: 1, or 0 unchanged. */
int lodei_slices_extend(enum lode_kind kind, size_t end, size_t more);
void lodei_slices_free(size_t first, size_t count);
/* As free, for slices whose pages are gone already. */
void lodei_slices_free_clean(size_t first, size_t count);
/* Strike slices that are not mapped any more off the books for good. */
void lodei_slices_lose(size_t count);

/* How many of the `count` slices from `first` on are one mapping: what one mremap can move. */
size_t lodei_slices_piece(size_t first, size_t count);
/* [first, +count) has become a mapping of its own, by lodei_vm_move(). */
void lodei_slices_moved(size_t first, size_t count);

/*
 * Give dirty slices back to the kernel that were freed at least `age_ms` ago, for at most
 * `budget_us`. No lock is held during the system calls. Returns the bytes given back; *ret_left
 * tells whether dirty slices remain.
 */
size_t lodei_slices_purge(uint64_t age_ms, uint64_t budget_us, int *ret_left);

/* 1 when the slice is handed out; 2 when it is free but was handed out once; 0 never. */
int lodei_slices_state(size_t slice);

#endif
