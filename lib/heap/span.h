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
 * @zero  LODEI_ZERO_DONE when a directly returned block is known to read as zero; else unchanged.
 * Returns    the block; or NULL with the head filled; or NULL with the head still empty: out of
 * memory. Locks      takes th->lock. Owner thread only.
 */
void *lodei_theap_refill(struct lodei_theap *th, unsigned class, enum lodei_zero *zero);

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

/* What the owner's fast free finds for a one-slice span. relaxed: see lodei_free_fast(). */
LODE_INLINE void lodei_span_table_set(struct lodei_span *span, struct lodei_bin *value)
{
    __atomic_store_n(&lodei_state.slice_table[lodei_span_slice(span)], value, __ATOMIC_RELAXED);
}

/* Let the fast free of the owner see the span, if its class has lists. */
void lodei_span_publish(struct lodei_span *span);

/* Are there blocks to hand out? */
LODE_INLINE int lodei_span_has_blocks(const struct lodei_span *span)
{
    return span->free_count > 0 || span->dormant > 0 || span->carved < span->capacity;
}

/* Blocks came back, or lie uncarved in old memory: look at the span's pages in a while. */
void lodei_span_queue(struct lodei_theap *th, struct lodei_span *span);
void lodei_span_unqueue(struct lodei_span *span);
/* Every block is back: the slices go home. */
void lodei_span_destroy(struct lodei_theap *th, struct lodei_span *span);
/* Wake some dormant blocks onto the free list; there are some. */
void lodei_span_wake(struct lodei_span *span);

/* In a forked child: end the purge steps that vanished threads stood in. */
void lodei_theap_forked(struct lodei_theap *th);

/* Pages of slice `i` of the span that are given back, as bits. */
LODE_INLINE uint16_t *lodei_span_purged(struct lodei_span *span, size_t i)
{
    return &((struct lodei_span *)(void *)((char *)span + i * LODEI_SPAN_STRIDE))->purged;
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
