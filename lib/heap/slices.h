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

/* What the slices of a run that was handed out hold. */
#define LODEI_CLEAN_RUNS 32
struct lodei_taken {
    size_t dirty;  /* so many of them may hold old contents; the others read as zero */
    size_t excess; /* so many dirty slices more are kept now than lodei_slices_trim() would keep */
    size_t clean_count;
    struct lodei_run clean[LODEI_CLEAN_RUNS]; /* the pieces that read as zero; the first so many */
};

/*
 * `count` consecutive slices of `kind`, the first at an address that is a multiple of `align`
 * slices, committed.
 *
 * Returns  the first, or LODEI_SLICES_NONE.
 * Locks    takes slices_lock.
 */
size_t lodei_slices_alloc(enum lode_kind kind, size_t count, size_t align, enum lodei_prefer prefer,
                          struct lodei_taken *ret_taken);
/* How many dirty slices there are, in runs of any length; a hint. */
size_t lodei_slices_dirty(void);
/* The next `more` slices behind `end` if they are free and of the same kind: 1, or 0 unchanged. */
int lodei_slices_extend(enum lode_kind kind, size_t end, size_t more,
                        struct lodei_taken *ret_taken);
/*
 * The last run of dirty slices of one mapping below slice *below, `least` to `most` slices, for its
 * pages; LODEI_SLICES_NONE when there is none. *below moves to its start; begin with SIZE_MAX. No
 * more than a bounded number of shorter runs are looked at in a call.
 */
size_t lodei_slices_take_dirty(enum lode_kind kind, size_t least, size_t most, size_t *below,
                               size_t *ret_count);
void lodei_slices_free(size_t first, size_t count);
/* As free, for slices whose pages lodei_vm_move() took elsewhere. */
void lodei_slices_free_moved(size_t first, size_t count);
/* Strike slices that may not be mapped any more off the books for good. */
void lodei_slices_lose(size_t first, size_t count);

/*
 * Give up the last segments of the reservation, at most half of it and at most `most_bytes`, to an
 * allocator of another kind in this process, for good: addresses without access, which it commits
 * itself. They count as not ours from then on. To be called while the process has one thread. NULL
 * when there is nothing to give.
 */
LODE_EXPORT void *lodei_slices_lend(size_t most_bytes, size_t *ret_bytes);

/* How many of the `count` slices from `first` on are one mapping: what one mremap can move. */
size_t lodei_slices_piece(size_t first, size_t count);
/* [first, +count) has become a mapping of its own, by lodei_vm_move(). */
void lodei_slices_moved(size_t first, size_t count);
/* The kernel has a border somewhere in [first, +count) that we know nothing of: look for it. */
void lodei_slices_split(size_t first, size_t count);
/* Does memory of this kind have huge pages, which moving pieces would split? */
int lodei_slices_are_huge(enum lode_kind kind);

/*
 * Give dirty slices back to the kernel that were freed at least `age_ms` ago, for at most
 * `budget_us`. No lock is held during the system calls. Returns the bytes given back; *ret_left
 * tells whether dirty slices remain.
 */
size_t lodei_slices_purge(uint64_t age_ms, uint64_t budget_us, int *ret_left);

/* In a forked child: what vanished threads were giving back is free. No other thread runs, and no
 * lock is taken. */
void lodei_slices_forked(void);

/*
 * Purge dirty slices until used and dirty ones together are no more than a little above the most
 * that were ever used: what fragmentation adds to the program's own peak stays below that little.
 * For at most `budget_us`; what is left waits for the next call.
 */
void lodei_slices_trim(uint64_t budget_us);

/* 1 when the slice is handed out; 2 when it is free but was handed out once; 0 never. */
int lodei_slices_state(size_t slice);

#endif
