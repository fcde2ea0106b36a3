/* SPDX-License-Identifier: MIT */
/*
 * The allocation and free paths behind the fast ones. Everything here works on real theaps; tracing
 * is decided in entry.c, which the outside calls.
 */
#ifndef LODEI_ALLOC_H
#define LODEI_ALLOC_H

#include "heap/types.h"

/*
 * A block of `bytes` from `th`, aligned to `align` (a power of two; 16 is always given).
 *
 * @zero    LODEI_ZERO_DONE when the block is known to read as zero; else unchanged.
 * Returns  the block or NULL; errno untouched.
 */
void *lodei_theap_alloc(struct lodei_theap *th, size_t bytes, size_t align, enum lodei_zero *zero);

/* Free a live block of a span of blocks, from any thread. */
void lodei_block_free(struct lodei_span *span, void *p);

/* The bin's list has grown past its capacity: make room. Owner thread only. */
void lodei_bin_overflow(struct lodei_theap *th, struct lodei_bin *bin);

/* Hand everything this theap holds for other theaps to them. Owner thread only. */
void lodei_theap_deliver_all(struct lodei_theap *th);
/* Return the blocks on all the theap's own lists to their spans. Owner thread, or an orphan's
 * taker. */
void lodei_theap_flush(struct lodei_theap *th);
/* Free all spans with whatever is in them (heap destroy). */
void lodei_theap_free_spans(struct lodei_theap *th);

/* Large blocks: slices of their own. `align` is a power of two. If `*zero` is LODEI_ZERO_WANTED the
 * block is zeroed where it does not read as zero yet. */
void *lodei_large_alloc(struct lode_heap *heap, size_t bytes, size_t align, enum lodei_zero *zero);
/* 0 when `p` is not a live large block any more (freed by a racing thread). */
int lodei_large_free(struct lodei_span *span, const void *p);
/* Resize in place or by moving pages; NULL when neither works: the block is as it was. */
void *lodei_large_resize(struct lodei_span *span, void *p, size_t bytes);

/* Give back what caches hold after an allocation failed: 1 when a retry makes sense. */
int lodei_emergency(void);

/* Thread end, see heaps.c. */
int lodei_thread_is_past_end(void);
void lodei_thread_settle(void);

/* The theap looks after itself: called on slow paths, cheap. Never with a lock held. */
void lodei_theap_tick_slow(struct lodei_theap *th);

LODE_INLINE void lodei_theap_tick(struct lodei_theap *th)
{
    if (lode_likely(th->tick_skip > 0))
        th->tick_skip--;
    else
        lodei_theap_tick_slow(th);
}

#endif
