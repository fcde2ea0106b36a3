/* SPDX-License-Identifier: MIT */
/*
 * Behind the fast paths: refilling lists, overflowing lists, frees by threads that do not own the
 * span.
 *
 * A full head becomes the spare and the old spare, the oldest blocks, goes back to its spans, so
 * lists are never walked to be cut (the magazine scheme of Bonwick and Adams 2001, with lists for
 * arrays). A refill that follows flushes doubles the capacity, to 256 blocks or 128 KiB: the
 * program goes up and down by more than a list holds. More blocks flushed in a row than the longest
 * lists could have held are a phase that only frees: it gains nothing from long lists, and each
 * block held keeps an OS page, so each further flush halves the capacity.
 *
 * A free by another thread goes to an outbox, keyed by owner and class, in the freeing thread's own
 * theap of that heap; full, it is delivered with one lock operation to the owner's inbox, which the
 * owner takes whole as its next list. An inbox that outgrows a list, or whose owner has exited, is
 * emptied into the spans on the spot by whoever delivers, so no sleeping owner can hold memory
 * back.
 */
#include "heap/alloc.h"

#include <sched.h>

#include "heap/fast.h"
#include "heap/heaps.h"
#include "heap/misuse.h"
#include "heap/purge.h"
#include "heap/sizeclass.h"
#include "heap/slices.h"
#include "heap/span.h"

/* An outbox is delivered when it holds so many blocks or bytes. */
#define OUTBOX_BLOCKS 64
#define OUTBOX_BYTES  ((size_t)32 * 1024)

static struct lodei_block *pop_checked(struct lodei_theap *th, struct lodei_bin *bin)
{
    struct lodei_block *block = lodei_bin_pop(th, bin);
    if (lode_unlikely(block == NULL && bin->head != lodei_state.nil))
        lodei_corrupted(bin->head);
    return block;
}

static void *alloc_class(struct lodei_theap *th, unsigned class, enum lodei_zero *zero)
{
    struct lodei_bin *bin = &th->bins[class];
    struct lodei_block *block = pop_checked(th, bin);
    if (lode_likely(block != NULL))
        return block;
    if (bin->spare != NULL) {
        bin->head = bin->spare;
        bin->room = bin->capacity - bin->spare_count;
        bin->spare = NULL;
        bin->spare_count = 0;
        return pop_checked(th, bin);
    }
    lodei_theap_tick(th);
    for (int attempt = 0;; attempt++) {
        void *direct = lodei_theap_refill(th, class, zero);
        if (direct != NULL)
            return direct;
        block = pop_checked(th, bin);
        if (block != NULL || attempt > 0 || !lodei_emergency())
            return block;
    }
}

void *lodei_theap_alloc(struct lodei_theap *th, size_t bytes, size_t align, enum lodei_zero *zero)
{
    if (lode_unlikely(bytes > PTRDIFF_MAX))
        return NULL;
    if (lode_likely(align <= 16) && bytes <= LODEI_MEDIUM_MAX)
        return alloc_class(th, lodei_class_of(bytes), zero);
    size_t least = lodei_max(bytes, align);
    if (least <= LODEI_MEDIUM_MAX && align <= LODEI_SLICE_BYTES) {
        /* Spans start at multiples of a slice: a class that is a multiple of `align` is aligned. */
        unsigned class = lodei_class_of(least);
        while (class < LODEI_CLASS_COUNT && lodei_classes[class].block_bytes % align != 0)
            class += 1;
        if (class < LODEI_CLASS_COUNT)
            return alloc_class(th, class, zero);
    }
    void *p = lodei_large_alloc(th->heap, bytes, align, zero);
    lodei_theap_tick(th);
    /* Not for what could never be had. */
    if (lode_unlikely(p == NULL) && bytes < lodei_state.reserved_bytes && lodei_emergency())
        p = lodei_large_alloc(th->heap, bytes, align, zero);
    return p;
}

static void spare_flush(struct lodei_theap *th, struct lodei_bin *bin)
{
    struct lodei_block *chain = bin->spare;
    bin->spare = NULL;
    bin->spare_count = 0;
    lodei_theap_return(th, chain);
}

void lodei_bin_overflow(struct lodei_theap *th, struct lodei_bin *bin)
{
    struct lodei_block *oldest = bin->spare;
    int32_t oldest_count = bin->spare_count;
    bin->spare = bin->head;
    bin->spare_count = bin->capacity - bin->room;
    bin->head = lodei_state.nil;
    bin->room = bin->capacity;
    if (oldest == NULL)
        return;
    bin->flushed += oldest_count;
    if (bin->flushed > LODEI_BULK_LISTS * lodei_classes[bin - th->bins].list_max &&
        bin->capacity > lodei_classes[bin - th->bins].list_min)
        bin->room = bin->capacity = bin->capacity / 2;
    lodei_theap_return(th, oldest);
    lodei_theap_tick(th);
    lodei_purge_wake();
}

void lodei_theap_free_spans(struct lodei_theap *th)
{
    for (;;) {
        lodei_lock_take(&th->lock);
        int busy = lodei_theap_drop_spans_locked(th);
        lodei_lock_drop(&th->lock);
        if (!busy)
            return;
        sched_yield(); /* a purge step stands in one of its spans, outside the lock */
    }
}

void lodei_theap_flush(struct lodei_theap *th)
{
    struct lodei_block *nil = lodei_state.nil;
    for (unsigned c = 0; c < LODEI_CLASS_COUNT; c++) {
        struct lodei_bin *bin = &th->bins[c];
        if (bin->spare != NULL)
            spare_flush(th, bin);
        if (bin->head == nil)
            continue;
        struct lodei_block *chain = bin->head;
        bin->head = nil;
        bin->room = bin->capacity;
        lodei_theap_return(th, chain);
    }
}

/* ---- blocks of other threads ---- */

/* Give a chain of `count` blocks of one class to `owner`. */
static LODE_NO_ASAN void deliver(struct lodei_theap *owner, unsigned class,
                                 struct lodei_block *head, struct lodei_block *tail, uint32_t count)
{
    struct lodei_shelf *shelf = &owner->shelves[class];
    lodei_lock_take(&owner->lock);
    if (lode_unlikely(owner->abandoned)) {
        lodei_lock_drop(&owner->lock);
        return;
    }
    int sorted = __atomic_load_n(&owner->thread, __ATOMIC_RELAXED) == NULL ||
                 shelf->inbox_count + count > lodei_classes[class].list_max;
    if (sorted) {
        lodei_theap_return_locked(owner, head);
        if (shelf->inbox != NULL) {
            head = shelf->inbox;
            shelf->inbox = NULL;
            shelf->inbox_count = 0;
            lodei_theap_return_locked(owner, head);
        }
    } else {
        if (shelf->inbox != NULL) {
            tail->next = shelf->inbox;
            tail->check = lodei_block_check(tail, tail->next, owner->key);
        }
        shelf->inbox = head;
        shelf->inbox_count += count;
    }
    lodei_lock_drop(&owner->lock);
}

static void outbox_deliver(struct lodei_outbox *box)
{
    struct lodei_outbox b = *box;
    box->owner = NULL;
    deliver(b.owner, b.class, b.head, b.tail, b.count);
}

void lodei_theap_deliver_all(struct lodei_theap *th)
{
    for (unsigned i = 0; i < LODEI_OUTBOX_SLOTS; i++)
        if (th->outboxes[i].owner != NULL)
            outbox_deliver(&th->outboxes[i]);
}

/* Fibonacci hashing: owners are a fixed distance apart, classes of one program neighbours. */
static size_t outbox_slot(const struct lodei_theap *owner, unsigned class)
{
    uint64_t key = (uintptr_t)owner / 64 * LODEI_CLASS_COUNT + class;
    return (size_t)(key * 0x9e3779b97f4a7c15u >> (64 - LODEI_OUTBOX_LOG2));
}

static void free_remote(struct lodei_theap *mine, struct lodei_span *span,
                        struct lodei_block *block)
{
    struct lodei_theap *owner = span->theap;
    unsigned class = span->class;
    if (mine == NULL) {
        lodei_block_link(block, lodei_state.nil);
        deliver(owner, class, block, block, 1);
        return;
    }
    struct lodei_outbox *box = &mine->outboxes[outbox_slot(owner, class)];
    if (box->owner != NULL && (box->owner != owner || box->class != class))
        outbox_deliver(box);
    if (box->owner == NULL)
        *box = (struct lodei_outbox){
            .owner = owner, .head = lodei_state.nil, .tail = block, .class = class};
    lodei_block_link(block, box->head);
    box->head = block;
    box->count++;
    if (box->count >= OUTBOX_BLOCKS || box->count * (size_t)span->block_bytes >= OUTBOX_BYTES) {
        outbox_deliver(box);
        lodei_theap_tick(mine);
        lodei_purge_wake();
    }
}

void lodei_block_free(struct lodei_span *span, void *p)
{
    struct lodei_theap *owner = span->theap;
    struct lodei_thread *thread = lodei_thread_peek();
    if (thread == NULL && !lodei_thread_is_past_end())
        thread = lodei_thread_get();
    lodei_asan_free(p);
    /* relaxed: it can equal this thread's record only if this thread wrote it */
    if (thread == NULL || __atomic_load_n(&owner->thread, __ATOMIC_RELAXED) != thread) {
        free_remote(thread != NULL ? lodei_theap_get(owner->heap) : NULL, span, p);
        return;
    }
    if (lode_unlikely(lodei_slice_of(p) >= owner->slice_count))
        lodei_theap_refresh(owner);
    /* lode_free() looks the owner up through the current one. */
    struct lodei_theap *current = lode_theap_self->real;
    if (lode_unlikely(current != NULL && lodei_slice_of(p) >= current->slice_count))
        lodei_theap_refresh(current);
    struct lodei_bin *bin = &owner->bins[span->class];
    if (bin->capacity == 0) {
        lodei_block_link(p, lodei_state.nil);
        lodei_theap_return(owner, p);
        lodei_theap_tick(owner);
        lodei_purge_wake();
        return;
    }
    lodei_block_link(p, bin->head);
    bin->head = p;
    if (--bin->room < 0)
        lodei_bin_overflow(owner, bin);
}

#if LODE_ASAN
#include <sanitizer/asan_interface.h>

void lodei_asan_alloc(void *p)
{
    struct lodei_span *span = lodei_span_of(lodei_slice_of(p));
    ASAN_UNPOISON_MEMORY_REGION(p, span->theap != NULL ? span->block_bytes : span->large_bytes);
}

void lodei_asan_free(void *p)
{
    struct lodei_span *span = lodei_span_of(lodei_slice_of(p));
    ASAN_POISON_MEMORY_REGION(p, span->theap != NULL ? span->block_bytes : span->large_bytes);
}

void lodei_asan_poison(void *start, size_t bytes)
{
    ASAN_POISON_MEMORY_REGION(start, bytes);
}

void lodei_asan_unpoison(void *start, size_t bytes)
{
    ASAN_UNPOISON_MEMORY_REGION(start, bytes);
}
#endif
