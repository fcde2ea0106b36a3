/* SPDX-License-Identifier: MIT */
/* What slices.c and slicepages.c share: single segments, and steps with slices_lock held. */
#ifndef LODEI_SEGMENT_H
#define LODEI_SEGMENT_H

#include "base/bits.h"
#include "heap/types.h"

LODE_INLINE struct lodei_segment *lodei_segment_at(size_t index)
{
    return &lodei_state.segments[index];
}

/* How much of the run [first, +count) lies in the segment of `first`. */
LODE_INLINE size_t lodei_segment_part(size_t first, size_t count)
{
    return lodei_min(count, LODEI_SEGMENT_SLICES - first % LODEI_SEGMENT_SLICES);
}

/* Mark [at, +count) of one segment as handed out; returns the dirty ones among them. */
size_t lodei_segment_take(struct lodei_segment *seg, size_t at, size_t count);
/* What memory of this kind is backed by. */
void lodei_segment_advise(enum lode_kind kind, void *start, size_t bytes);

void lodei_slices_put_locked(size_t first, size_t count, int dirty);
void lodei_slices_lose_locked(size_t first, size_t count);
/* The segment was opened: the slice before it may end on a moved mapping. */
void lodei_segment_opens(size_t index);
/* No mapping of [first, +count) counts as moved any more. */
void lodei_slices_forget_moves(size_t first, size_t count);
/* Dirty slices beyond what trimming keeps. */
size_t lodei_slices_excess_locked(void);

#endif
