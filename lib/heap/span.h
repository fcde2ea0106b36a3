/* SPDX-License-Identifier: MIT */
/* Spans of blocks: filling a thread's list, taking blocks back, purging pages nobody lives in. */
#ifndef LODEI_SPAN_H
#define LODEI_SPAN_H

#include "heap/types.h"

/* The descriptor that speaks for the span `slice` is in; NULL when the slice belongs to none. */
struct lodei_span *lodei_span_of(size_t slice);

/*
 * Get blocks of `class`: onto the bin's head, which must be empty; or, for blocks of an OS page and
 * more, one directly.
 *
 * @ret_zero  Set to 1 when a directly returned block reads as zero.
 * Returns    the block; or NULL with the head filled; or NULL with the head still empty: out of
 * memory. Locks      takes th->lock. Owner thread only.
 */
void *lodei_theap_refill(struct lodei_theap *th, unsigned class, int *ret_zero);

/* Return a chain of free blocks, all of spans of `th`, to their spans. Takes th->lock. */
void lodei_theap_return(struct lodei_theap *th, struct lodei_block *chain);
/* Likewise with th->lock held. */
void lodei_theap_return_locked(struct lodei_theap *th, struct lodei_block *chain);
/* Return what other threads delivered; th->lock held. */
void lodei_theap_drain_locked(struct lodei_theap *th);

/* Free every span whatever lies in it, th->lock held. 1 when some could not be freed yet because a
 * purge step stands in them. */
int lodei_theap_drop_spans_locked(struct lodei_theap *th);

/*
 * Give pages of `th` that hold no live block back, in spans that had blocks returned at least
 * `age_ms` ago, for at most `budget_us`. Takes and drops th->lock; no lock is held during system
 * calls. Returns the bytes given back; *ret_left: more remains to be looked at later.
 */
size_t lodei_theap_purge(struct lodei_theap *th, uint64_t age_ms, uint64_t budget_us,
                         int *ret_left);

/* Pages of slice `i` of the span that are given back, as bits. */
LODE_INLINE uint16_t *lodei_span_purged(struct lodei_span *span, size_t i)
{
    return &((struct lodei_span *)((char *)span + i * LODEI_SPAN_STRIDE))->purged;
}

/* 1 when block `index` overlaps a page given back. */
int lodei_span_is_dormant(struct lodei_span *span, uint32_t index);

#if LODE_CHECKS >= 2
/* Verify the invariants of types.h on the spans of one class, another one each call; th->lock held.
 */
void lodei_theap_verify(struct lodei_theap *th);
#else
#define lodei_theap_verify(th) ((void)0)
#endif

#endif
