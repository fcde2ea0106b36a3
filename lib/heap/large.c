/* SPDX-License-Identifier: MIT */
/*
 * Large blocks: over 64 KiB, or aligned beyond a slice. Each has slices of its own; only the first
 * is marked, so allocating and freeing cost the same at any size. Usable bytes are whole OS pages.
 *
 * Growing tries, in this order: slices it has already; the free slices behind it; moving its pages
 * to a longer run by mremap, which copies page tables instead of bytes and leaves zero pages behind
 * without ever unmapping (MREMAP_DONTUNMAP), so no other thread's mmap can slip into the
 * reservation.
 *
 * heap->lock guards the heap's list and the state of its large spans.
 */
#include <string.h>

#include "heap/alloc.h"
#include "heap/fast.h"
#include "heap/slices.h"
#include "heap/span.h"
#include "base/bits.h"
#include "os/vm.h"

/* Blocks from 4 MiB on start at a multiple of 2 MiB: page tables then move, and huge pages fit. */
#define ALIGN_FROM_SLICES 64
#define ALIGN_SLICES      32
/* Below this, copying is cheaper than a mapping of its own. */
#define MOVE_MIN_BYTES ((size_t)512 * 1024)
/* Growing by more than this share of the block: copying onto pages that are there is cheaper. */
#define GROWTH_SHARE 3
/* Each edge is one more mapping; the kernel's default limit is 65,530 a process. */
#define MOVED_MAX 4096

static size_t slices_of(size_t bytes)
{
    return (bytes + LODEI_SLICE_BYTES - 1) >> LODEI_SLICE_LOG2;
}

static size_t usable_of(size_t bytes)
{
    return lodei_round_up(lodei_max(bytes, 1), lodei_page_bytes);
}

static void account(struct lode_heap *heap, struct lodei_span *span, int sign)
{
    heap->large_bytes += sign > 0 ? span->large_bytes : -span->large_bytes;
    heap->large_slices += sign > 0 ? span->slices : -(size_t)span->slices;
    heap->large_count += (size_t)sign;
}

/* `*ret_dirty`: how many of the block's slices may hold old contents. */
static void *alloc_preferring(struct lode_heap *heap, size_t bytes, size_t align,
                              enum lodei_prefer prefer, size_t *ret_dirty)
{
    if (bytes > PTRDIFF_MAX - LODEI_SLICE_BYTES)
        return NULL;
    size_t count = slices_of(lodei_max(bytes, 1));
    size_t align_slices = lodei_max(1, align >> LODEI_SLICE_LOG2);
    if (count >= ALIGN_FROM_SLICES)
        align_slices = lodei_max(align_slices, ALIGN_SLICES);
    size_t first = lodei_slices_alloc(heap->kind, count, align_slices, prefer, ret_dirty);
    if (first == LODEI_SLICES_NONE && align_slices == ALIGN_SLICES && align <= LODEI_SLICE_BYTES)
        first = lodei_slices_alloc(heap->kind, count, 1, prefer, ret_dirty);
    if (first == LODEI_SLICES_NONE)
        return NULL;
    struct lodei_span *span = lodei_span_at(first);
    span->theap = NULL;
    span->heap = heap;
    span->slices = (uint32_t)count;
    span->large_bytes = usable_of(bytes);
    lodei_lock_take(&heap->lock);
    atomic_store_explicit(&span->state, LODEI_SPAN_LARGE, memory_order_relaxed);
    lodei_list_push_back(&heap->larges, &span->all);
    account(heap, span, 1);
    lodei_lock_drop(&heap->lock);
    return lodei_slice_start(first);
}

void *lodei_large_alloc(struct lode_heap *heap, size_t bytes, size_t align, int *ret_zero)
{
    size_t dirty;
    void *p = alloc_preferring(heap, bytes, align, LODEI_PREFER_DIRTY, &dirty);
    if (p != NULL && dirty == 0)
        *ret_zero = 1;
    return p;
}

/* Take the block off its heap's books; 0 when it is not live any more. */
static int unlink_large(struct lodei_span *span, const void *p)
{
    struct lode_heap *heap = span->heap;
    lodei_lock_take(&heap->lock);
    int live = atomic_load_explicit(&span->state, memory_order_relaxed) == LODEI_SPAN_LARGE &&
               span->heap == heap && lodei_span_start(span) == p;
    if (live) {
        atomic_store_explicit(&span->state, LODEI_SPAN_FREE, memory_order_relaxed);
        lodei_list_remove(&span->all);
        account(heap, span, -1);
    }
    lodei_lock_drop(&heap->lock);
    return live;
}

int lodei_large_free(struct lodei_span *span, const void *p)
{
    if (!unlink_large(span, p))
        return 0;
    lodei_asan_poison(lodei_span_start(span), span->slices * LODEI_SLICE_BYTES);
    lodei_slices_free(lodei_span_slice(span), span->slices);
    return 1;
}

static void set_size(struct lodei_span *span, size_t bytes, size_t slices)
{
    struct lode_heap *heap = span->heap;
    lodei_lock_take(&heap->lock);
    account(heap, span, -1);
    span->large_bytes = usable_of(bytes);
    span->slices = (uint32_t)slices;
    account(heap, span, 1);
    lodei_lock_drop(&heap->lock);
}

/* A system call of moving failed at slice `done`, with the target's pages perhaps unmapped already
 * (Linux before 6.17). 1 when the rest is copied; -1 when everything is where it was. */
static int finish_by_copying(struct lodei_span *span, char *to, size_t done)
{
    char *from = lodei_span_start(span);
    size_t at = done * LODEI_SLICE_BYTES;
    lodei_asan_alloc(to);
    /* Only into the hole, if there is one: another thread's mapping may have come to lie there. */
    if (lodei_vm_refill(to + at, span->slices * LODEI_SLICE_BYTES - at) == 0) {
        memcpy(to + at, from + at, span->large_bytes > at ? span->large_bytes - at : 0);
        return 1;
    }
    memcpy(from, to, at); /* what had moved left zero pages behind, not a hole */
    return -1;
}

/* The pages of the block over those of `to`, one mapping after the other; 0; 1: some were copied
 * instead and are still there; -1: nothing moved. */
static int move_pages(struct lodei_span *span, char *to)
{
    size_t first = lodei_span_slice(span), target = lodei_slice_of(to), count = span->slices, n;
    for (size_t done = 0; done < count; done += n) {
        n = lodei_slices_piece(first + done, count - done);
        size_t at = done * LODEI_SLICE_BYTES;
        if (lodei_vm_move(lodei_slice_start(first) + at, to + at, n * LODEI_SLICE_BYTES) != 0)
            return finish_by_copying(span, to, done);
        lodei_slices_moved(target + done, n);
    }
    return 0;
}

static void *copy_to(struct lodei_span *span, char *to)
{
    lodei_asan_alloc(to);
    memcpy(to, lodei_span_start(span), span->large_bytes);
    lodei_large_free(span, lodei_span_start(span));
    return to;
}

/*
 * A longer run elsewhere. Measured here, a page costs 0.3 us to copy onto one that is there, and
 * about 1 us to fault in: where dirty slices can take the whole block, copying beats moving once
 * the block grows by more than a third. Pages that are moved go to clean slices, lest dirty ones be
 * wasted.
 */
static void *grow_elsewhere(struct lodei_span *span, size_t bytes)
{
    size_t dirty, old_bytes = span->large_bytes;
    int may_move = old_bytes >= MOVE_MIN_BYTES &&
                   __atomic_load_n(&lodei_state.moved_edges, __ATOMIC_RELAXED) < MOVED_MAX;
    int copy = !may_move || (bytes - old_bytes > old_bytes / GROWTH_SHARE &&
                             lodei_slices_dirty() >= slices_of(bytes));
    char *to = alloc_preferring(span->heap, bytes, LODEI_SLICE_BYTES,
                                copy ? LODEI_PREFER_DIRTY : LODEI_PREFER_CLEAN, &dirty);
    if (to == NULL)
        return NULL;
    if (!may_move || (copy && dirty == slices_of(bytes)))
        return copy_to(span, to);
    int r = move_pages(span, to);
    if (r < 0) { /* the target may be a hole now: it is never handed out again; the block stays */
        struct lodei_span *target = lodei_span_of(lodei_slice_of(to));
        unlink_large(target, to);
        lodei_slices_lose(target->slices);
        return NULL;
    }
    if (!unlink_large(span, lodei_span_start(span)))
        return to;
    if (r == 0)
        lodei_slices_free_clean(lodei_span_slice(span), span->slices);
    else
        lodei_slices_free(lodei_span_slice(span), span->slices);
    return to;
}

void *lodei_large_resize(struct lodei_span *span, void *p, size_t bytes)
{
    if (bytes > PTRDIFF_MAX - LODEI_SLICE_BYTES)
        return NULL;
    size_t have = span->slices, want = slices_of(lodei_max(bytes, 1));
    size_t first = lodei_span_slice(span);
    if (want < have) {
        set_size(span, bytes, want);
        lodei_slices_free(first + want, have - want);
        return p;
    }
    if (want == have || lodei_slices_extend(span->heap->kind, first + have, want - have)) {
        set_size(span, bytes, want);
        return p;
    }
    return grow_elsewhere(span, bytes);
}
