/* SPDX-License-Identifier: MIT */
/*
 * Owns the spans of blocks of a thread heap: their free lists, their carving, their end. All of it
 * is guarded by theap->lock, taken once per list of blocks, not per block.
 *
 * A span stands on its shelf's `partial` list while it has free, dormant or uncarved blocks.
 * Refilling takes from the front; a span is put at the front when it gets its first block back, and
 * moved to the back when more than three quarters of it are free, so that dense spans are filled up
 * and sparse ones have a chance to empty.
 *
 * Blocks are carved in address order, an OS page's worth at a time, so that memory nobody asked for
 * is not touched. A block of a page or more is never linked when carved but handed out directly: it
 * keeps what is known about being zero.
 */
#include "heap/span.h"

#include <string.h>

#include "base/bitmap.h"
#include "heap/fast.h"
#include "heap/misuse.h"
#include "heap/sizeclass.h"
#include "heap/slices.h"
#include "heap/valgrind.h"
#include "os/vm.h"

struct lodei_span *lodei_span_of(size_t slice)
{
    struct lodei_state *s = &lodei_state;
    if (slice < s->head_slices ||
        slice / LODEI_SEGMENT_SLICES >= __atomic_load_n(&s->segments_opened, __ATOMIC_RELAXED))
        return NULL;
    struct lodei_span *span = lodei_span_at(slice);
    switch (atomic_load_explicit(&span->state, memory_order_relaxed)) {
    case LODEI_SPAN_BLOCKS:
    case LODEI_SPAN_LARGE:
        return span;
    case LODEI_SPAN_REST:
        return lodei_span_at(slice - span->back);
    default:
        break;
    }
    /* Inside a large block only its first slice is marked: look back for it. */
    for (size_t at = slice; at-- > s->head_slices;) {
        span = lodei_span_at(at);
        int state = atomic_load_explicit(&span->state, memory_order_relaxed);
        if (state == LODEI_SPAN_LARGE)
            return at + span->slices > slice ? span : NULL;
        if (state != LODEI_SPAN_FREE)
            return NULL;
    }
    return NULL;
}

/* Let the fast free of the owner see the span: only classes with lists, and no dormant blocks. */
void lodei_span_publish(struct lodei_span *span)
{
    lodei_span_table_set(span, span->class < LODEI_SINGLE_CLASSES ? &span->theap->bins[span->class]
                                                                  : lodei_state.no_bin);
}

static void set_carved(struct lodei_span *span, uint32_t carved)
{
    /* relaxed: lodei_classify() reads it without a lock */
    __atomic_store_n(&span->carved, carved, __ATOMIC_RELAXED);
}

/* Blocks came back: its pages are to be looked at in a while. */
void lodei_span_queue(struct lodei_theap *th, struct lodei_span *span)
{
    if (lodei_list_linked(&span->purge_link))
        return;
    span->queued_ms = (uint32_t)lodei_clock_ms();
    lodei_list_push_back(&th->purgeable, &span->purge_link);
    atomic_fetch_add_explicit(&lodei_state.queued_spans, 1, memory_order_relaxed);
}

void lodei_span_unqueue(struct lodei_span *span)
{
    if (!lodei_list_linked(&span->purge_link))
        return;
    lodei_list_remove(&span->purge_link);
    atomic_fetch_sub_explicit(&lodei_state.queued_spans, 1, memory_order_relaxed);
}

static struct lodei_span *span_create(struct lodei_theap *th, unsigned class)
{
    const struct lodei_class *k = &lodei_classes[class];
    struct lodei_taken taken;
    size_t first = lodei_slices_alloc(th->heap->kind, k->slices, 1, LODEI_PREFER_DIRTY, &taken);
    if (first == LODEI_SLICES_NONE)
        return NULL;
    struct lodei_span *span = lodei_span_at(first);
    span->theap = th;
    span->free = lodei_state.nil;
    span->used = span->free_count = 0;
    __atomic_store_n(&span->dormant, 0, __ATOMIC_RELAXED);
    set_carved(span, 0);
    span->capacity = k->blocks;
    span->block_bytes = k->block_bytes;
    span->slices = k->slices;
    span->heap = th->heap;
    span->class = (uint8_t) class;
    span->was_dirty = taken.dirty > 0;
    span->purged = 0;
    span->purging = 0;
    lodei_list_init(&span->purge_link);
    for (size_t i = 1; i < k->slices; i++) {
        struct lodei_span *rest = lodei_span_at(first + i);
        rest->back = (uint32_t)i;
        rest->purged = 0;
        atomic_store_explicit(&rest->state, LODEI_SPAN_REST, memory_order_relaxed);
    }
    atomic_store_explicit(&span->state, LODEI_SPAN_BLOCKS, memory_order_relaxed);
    lodei_list_push_back(&th->spans, &span->all);
    lodei_list_push_back(&th->shelves[class].partial, &span->link);
    th->shelves[class].spans++;
    lodei_span_publish(span);
    if (lodei_on_valgrind)
        lodei_valgrind_hide(lodei_slice_start(first), k->slices * LODEI_SLICE_BYTES);
    if (span->was_dirty)
        lodei_span_queue(th, span); /* what is not carved for long is worth giving back too */
    return span;
}

/* Every block is back: the slices go home. */
void lodei_span_destroy(struct lodei_theap *th, struct lodei_span *span)
{
    size_t first = lodei_span_slice(span), n = span->slices;
    if (th->retained == span)
        th->retained = NULL;
    lodei_span_table_set(span, lodei_state.no_bin);
    th->shelves[span->class].spans--;
    lodei_list_remove(&span->all);
    if (lodei_list_linked(&span->link))
        lodei_list_remove(&span->link);
    lodei_span_unqueue(span);
    for (size_t i = 0; i < n; i++)
        atomic_store_explicit(&lodei_span_at(first + i)->state, LODEI_SPAN_FREE,
                              memory_order_relaxed);
    lodei_asan_poison(lodei_slice_start(first), n * LODEI_SLICE_BYTES);
    lodei_slices_free(first, n);
}

/* Hand out never used blocks as a chain in address order, at most to the end of an OS page. */
static LODE_NO_ASAN struct lodei_block *span_carve(struct lodei_span *span, size_t want,
                                                   uint32_t *ret_count)
{
    char *start = lodei_span_start(span);
    size_t at = (size_t)span->carved * span->block_bytes;
    uint32_t n = (uint32_t)lodei_min(want, span->capacity - span->carved);
    if (!span->was_dirty) {
        size_t page_end = lodei_round_up(at + 1, lodei_page_bytes);
        n = (uint32_t)lodei_min(n, lodei_max(1, (page_end - at) / span->block_bytes));
    }
    for (uint32_t i = n; i-- > 0;) {
        char *p = start + at + (size_t)i * span->block_bytes;
        struct lodei_block *next = i + 1 < n ? (void *)(p + span->block_bytes) : lodei_state.nil;
        lodei_block_link((void *)p, next);
    }
    set_carved(span, span->carved + n);
    span->used += n;
    *ret_count = n;
    return (void *)(start + at);
}

/* Hand out one never used block without linking it. */
static LODE_NO_ASAN void *span_carve_one(struct lodei_span *span, enum lodei_zero *zero)
{
    struct lodei_block *block =
        (void *)(lodei_span_start(span) + (size_t)span->carved * span->block_bytes);
    set_carved(span, span->carved + 1);
    span->used++;
    if (!span->was_dirty)
        *zero = LODEI_ZERO_DONE;
    else
        block->check = 0; /* words of an earlier life must not look like those of a free block */
    return block;
}

/* `want` blocks off the front of the span's free list; all of it if that is not much more. */
static LODE_NO_ASAN struct lodei_block *span_take(struct lodei_span *span, size_t want,
                                                  uint32_t *ret_count)
{
    struct lodei_block *chain = span->free;
    uint32_t n = span->free_count;
    if (n <= want + want / 2) {
        span->free = lodei_state.nil;
    } else {
        struct lodei_block *last = chain;
        for (n = 1; n < want; n++) {
            lodei_block_verify(last);
            last = last->next;
        }
        lodei_block_verify(last);
        span->free = last->next;
        lodei_block_link(last, lodei_state.nil);
    }
    span->free_count -= n;
    span->used += n;
    *ret_count = n;
    return chain;
}

static void bin_fill(struct lodei_bin *bin, struct lodei_block *chain, uint32_t count)
{
    bin->head = chain;
    bin->room = bin->capacity - (int32_t)count;
}

/*
 * A list that ran empty gets twice as long: up to quiet_max while blocks are only taken, and
 * further only after flushes that a longer list would have saved.
 */
static void bin_grow(struct lodei_bin *bin, const struct lodei_class *k)
{
    int32_t limit = k->quiet_max;
    if (bin->flushed > 0 && bin->flushed <= LODEI_BULK_LISTS * k->list_max)
        limit = k->list_max;
    if (bin->capacity < limit)
        bin->capacity = (int32_t)lodei_min((size_t)bin->capacity * 2, (size_t)limit);
    bin->flushed = 0;
}

void *lodei_theap_refill(struct lodei_theap *th, unsigned class, enum lodei_zero *zero)
{
    struct lodei_bin *bin = &th->bins[class];
    struct lodei_shelf *shelf = &th->shelves[class];
    const struct lodei_class *k = &lodei_classes[class];
    struct lodei_block *chain = NULL;
    void *direct = NULL;
    uint32_t count = 0;

    lodei_lock_take(&th->lock);
    if (shelf->inbox != NULL) {
        chain = shelf->inbox;
        count = shelf->inbox_count;
        shelf->inbox = NULL;
        shelf->inbox_count = 0;
    } else {
        struct lodei_span *span = NULL;
        if (!lodei_list_empty(&shelf->partial))
            span = lode_container_of(shelf->partial.next, struct lodei_span, link);
        else
            span = span_create(th, class);
        if (span != NULL) {
            if (span->free_count == 0 && span->dormant > 0)
                lodei_span_wake(span);
            if (span->free_count > 0)
                chain = span_take(span, lodei_max(1, (size_t)bin->capacity), &count);
            else if (span->carved < span->capacity && k->block_bytes < lodei_page_bytes)
                chain = span_carve(span, lodei_max(1, (size_t)bin->capacity), &count);
            else if (span->carved < span->capacity)
                direct = span_carve_one(span, zero);
            if (!lodei_span_has_blocks(span))
                lodei_list_remove(&span->link);
        }
    }
    lodei_theap_verify(th);
    lodei_lock_drop(&th->lock);
    bin_grow(bin, k);
    bin_fill(bin, chain != NULL ? chain : lodei_state.nil, count);
    return direct;
}

/*
 * Blocks over 8 KiB wait on no list, so a program that allocates and frees one of them over and
 * over would make and end a span each time: the last such span of the theap that became empty is
 * kept.
 */
static int span_retain(struct lodei_theap *th, struct lodei_span *span)
{
    if (span->class < LODEI_SINGLE_CLASSES)
        return 0;
    if (th->retained != NULL && th->retained != span && th->retained->used == 0 &&
        !th->retained->purging)
        lodei_span_destroy(th, th->retained);
    th->retained = span;
    return 1;
}

static LODE_NO_ASAN void return_one(struct lodei_theap *th, struct lodei_block *block)
{
    struct lodei_span *span = lodei_span_of(lodei_slice_of(block));
    lode_assert(span != NULL && span->theap == th && span->used > 0);
    int was_empty = !lodei_span_has_blocks(span);
    lodei_block_link(block, span->free);
    span->free = block;
    span->free_count++;
    span->used--;
    if (span->used == 0 && !span->purging && !span_retain(th, span)) {
        lodei_span_destroy(th, span);
        return;
    }
    if (span->purging)
        return;
    struct lodei_shelf *shelf = &th->shelves[span->class];
    if (was_empty) {
        lodei_list_push_front(&shelf->partial, &span->link);
    } else if (span->used == span->capacity / 4) {
        lodei_list_remove(&span->link);
        lodei_list_push_back(&shelf->partial, &span->link);
    }
    lodei_span_queue(th, span);
}

LODE_NO_ASAN void lodei_theap_return_locked(struct lodei_theap *th, struct lodei_block *chain)
{
    struct lodei_block *nil = lodei_state.nil;
    while (chain != nil) {
        struct lodei_block *next = chain->next;
        lodei_block_verify(chain);
        return_one(th, chain);
        chain = next;
    }
    lodei_theap_verify(th);
}

void lodei_theap_return(struct lodei_theap *th, struct lodei_block *chain)
{
    lodei_lock_take(&th->lock);
    lodei_theap_return_locked(th, chain);
    lodei_lock_drop(&th->lock);
}

void lodei_theap_drain_locked(struct lodei_theap *th)
{
    for (unsigned c = 0; c < LODEI_CLASS_COUNT; c++) {
        struct lodei_shelf *shelf = &th->shelves[c];
        struct lodei_block *chain = shelf->inbox;
        if (chain == NULL)
            continue;
        shelf->inbox = NULL;
        shelf->inbox_count = 0;
        lodei_theap_return_locked(th, chain);
    }
}

int lodei_theap_drop_spans_locked(struct lodei_theap *th)
{
    int busy = 0;
    struct lodei_list *at = th->spans.next, *next;
    for (; at != &th->spans; at = next) {
        struct lodei_span *span = lode_container_of(at, struct lodei_span, all);
        next = at->next;
        if (span->purging)
            busy = 1;
        else
            lodei_span_destroy(th, span);
    }
    for (unsigned c = 0; c < LODEI_CLASS_COUNT; c++) {
        th->shelves[c].inbox = NULL;
        th->shelves[c].inbox_count = 0;
    }
    return busy;
}
