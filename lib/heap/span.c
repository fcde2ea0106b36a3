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

static void table_set(struct lodei_span *span, struct lodei_bin *value)
{
    /* relaxed: read by the owner's fast free; see lodei_free_fast() */
    __atomic_store_n(&lodei_state.slice_table[lodei_span_slice(span)], value, __ATOMIC_RELAXED);
}

/* Let the fast free of the owner see the span: only classes with lists, and no dormant blocks. */
static void table_publish(struct lodei_span *span)
{
    table_set(span, span->class < LODEI_SINGLE_CLASSES ? &span->theap->bins[span->class]
                                                       : lodei_state.no_bin);
}

static void set_carved(struct lodei_span *span, uint32_t carved)
{
    /* relaxed: lodei_classify() reads it without a lock */
    __atomic_store_n(&span->carved, carved, __ATOMIC_RELAXED);
}

static void set_dormant(struct lodei_span *span, uint32_t dormant)
{
    /* relaxed: lodei_classify() reads it without a lock */
    __atomic_store_n(&span->dormant, dormant, __ATOMIC_RELAXED);
}

/* Blocks came back: its pages are to be looked at in a while. */
static void span_queue(struct lodei_theap *th, struct lodei_span *span)
{
    if (lodei_list_linked(&span->purge_link))
        return;
    span->queued_ms = (uint32_t)lodei_clock_ms();
    lodei_list_push_back(&th->purgeable, &span->purge_link);
    atomic_fetch_add_explicit(&lodei_state.queued_spans, 1, memory_order_relaxed);
}

static void span_unqueue(struct lodei_span *span)
{
    if (!lodei_list_linked(&span->purge_link))
        return;
    lodei_list_remove(&span->purge_link);
    atomic_fetch_sub_explicit(&lodei_state.queued_spans, 1, memory_order_relaxed);
}

static struct lodei_span *span_create(struct lodei_theap *th, unsigned class)
{
    const struct lodei_class *k = &lodei_classes[class];
    size_t dirty;
    size_t first = lodei_slices_alloc(th->heap->kind, k->slices, 1, LODEI_PREFER_DIRTY, &dirty);
    if (first == LODEI_SLICES_NONE)
        return NULL;
    struct lodei_span *span = lodei_span_at(first);
    span->theap = th;
    span->free = lodei_state.nil;
    span->used = span->free_count = 0;
    set_dormant(span, 0);
    set_carved(span, 0);
    span->capacity = k->blocks;
    span->block_bytes = k->block_bytes;
    span->slices = k->slices;
    span->heap = th->heap;
    span->class = (uint8_t) class;
    span->was_dirty = dirty > 0;
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
    table_publish(span);
    if (span->was_dirty)
        span_queue(th, span); /* what is not carved for long is worth giving back too */
    return span;
}

/* Every block is back: the slices go home. */
static void span_destroy(struct lodei_theap *th, struct lodei_span *span)
{
    size_t first = lodei_span_slice(span), n = span->slices;
    if (th->retained == span)
        th->retained = NULL;
    table_set(span, lodei_state.no_bin);
    th->shelves[span->class].spans--;
    lodei_list_remove(&span->all);
    if (lodei_list_linked(&span->link))
        lodei_list_remove(&span->link);
    span_unqueue(span);
    for (size_t i = 0; i < n; i++)
        atomic_store_explicit(&lodei_span_at(first + i)->state, LODEI_SPAN_FREE,
                              memory_order_relaxed);
    lodei_asan_poison(lodei_slice_start(first), n * LODEI_SLICE_BYTES);
    lodei_slices_free(first, n);
}

/* First and last OS page, counted from the span's start, of block `index`. */
static void pages_of(const struct lodei_span *span, uint32_t index, size_t *first, size_t *last)
{
    size_t at = (size_t)index * span->block_bytes;
    *first = at >> lodei_page_log2;
    *last = (at + span->block_bytes - 1) >> lodei_page_log2;
}

static size_t pages_per_slice(void)
{
    return LODEI_SLICE_BYTES >> lodei_page_log2;
}

static int page_is_purged(struct lodei_span *span, size_t page)
{
    /* relaxed: lodei_classify() asks without a lock, about blocks whose bits cannot be changing */
    uint16_t bits =
        __atomic_load_n(lodei_span_purged(span, page / pages_per_slice()), __ATOMIC_RELAXED);
    return bits >> (page % pages_per_slice()) & 1;
}

static void page_set_purged(struct lodei_span *span, size_t page, int value)
{
    uint16_t *bits = lodei_span_purged(span, page / pages_per_slice());
    uint16_t bit = (uint16_t)(1u << (page % pages_per_slice()));
    __atomic_store_n(bits, (uint16_t)(value ? *bits | bit : *bits & ~bit), __ATOMIC_RELAXED);
}

int lodei_span_is_dormant(struct lodei_span *span, uint32_t index)
{
    size_t page, last;
    for (pages_of(span, index, &page, &last); page <= last; page++)
        if (page_is_purged(span, page))
            return 1;
    return 0;
}

static LODE_NO_ASAN void link_block(struct lodei_block *block, struct lodei_block *next)
{
    block->next = next;
    block->check = lodei_block_check(block, next, lodei_state.key);
}

/* Does block `index` overlap a purged page outside [first, last]? */
static int purged_elsewhere(struct lodei_span *span, uint32_t index, size_t first, size_t last)
{
    size_t page, end;
    for (pages_of(span, index, &page, &end); page <= end; page++)
        if ((page < first || page > last) && page_is_purged(span, page))
            return 1;
    return 0;
}

/*
 * Wake the blocks over the lowest purged page, with all their pages. Blocks before them lie over
 * lower pages only, so none of those is dormant; blocks behind them that share their last page wake
 * too, unless they reach into a page that stays purged.
 */
static void span_wake(struct lodei_span *span)
{
    size_t page = 0, last, ignore;
    while (!page_is_purged(span, page))
        page++;
    uint32_t from = (uint32_t)((page << lodei_page_log2) / span->block_bytes);
    uint32_t to = (uint32_t)((((page + 1) << lodei_page_log2) - 1) / span->block_bytes);
    pages_of(span, from, &page, &ignore);
    pages_of(span, to < span->carved ? to : span->carved - 1, &ignore, &last);
    to = (uint32_t)((((last + 1) << lodei_page_log2) - 1) / span->block_bytes);
    for (uint32_t i = from; i <= to && i < span->carved; i++) {
        if (!lodei_span_is_dormant(span, i) || purged_elsewhere(span, i, page, last))
            continue;
        char *at = lodei_span_start(span) + (size_t)i * span->block_bytes;
        link_block((struct lodei_block *)(void *)at, span->free);
        span->free = (struct lodei_block *)(void *)at;
        span->free_count++;
        set_dormant(span, span->dormant - 1);
    }
    for (; page <= last; page++)
        page_set_purged(span, page, 0);
    if (span->dormant == 0)
        table_publish(span);
}

static int span_has_blocks(const struct lodei_span *span)
{
    return span->free_count > 0 || span->dormant > 0 || span->carved < span->capacity;
}

/* Hand out never used blocks as a chain in address order, at most to the end of an OS page. */
static LODE_NO_ASAN struct lodei_block *span_carve(struct lodei_span *span, uint32_t want,
                                                   uint32_t *ret_count)
{
    char *start = lodei_span_start(span);
    size_t at = (size_t)span->carved * span->block_bytes;
    uint32_t n = lodei_min(want, span->capacity - span->carved);
    if (!span->was_dirty) {
        size_t page_end = lodei_round_up(at + 1, lodei_page_bytes);
        n = (uint32_t)lodei_min(n, lodei_max(1, (page_end - at) / span->block_bytes));
    }
    for (uint32_t i = n; i-- > 0;) {
        char *p = start + at + (size_t)i * span->block_bytes;
        struct lodei_block *next = i + 1 < n ? (void *)(p + span->block_bytes) : lodei_state.nil;
        link_block((void *)p, next);
    }
    set_carved(span, span->carved + n);
    span->used += n;
    *ret_count = n;
    return (void *)(start + at);
}

/* Hand out one never used block without linking it. */
static LODE_NO_ASAN void *span_carve_one(struct lodei_span *span, int *ret_zero)
{
    struct lodei_block *block =
        (void *)(lodei_span_start(span) + (size_t)span->carved * span->block_bytes);
    set_carved(span, span->carved + 1);
    span->used++;
    *ret_zero = !span->was_dirty;
    if (span->was_dirty)
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
        link_block(last, lodei_state.nil);
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

void *lodei_theap_refill(struct lodei_theap *th, unsigned class, int *ret_zero)
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
                span_wake(span);
            if (span->free_count > 0)
                chain = span_take(span, lodei_max(1, (size_t)bin->capacity), &count);
            else if (span->carved < span->capacity && k->block_bytes < lodei_page_bytes)
                chain = span_carve(span, (uint32_t)bin->capacity, &count);
            else if (span->carved < span->capacity)
                direct = span_carve_one(span, ret_zero);
            if (!span_has_blocks(span))
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
    if (th->retained != NULL && th->retained != span && th->retained->used == 0)
        span_destroy(th, th->retained);
    th->retained = span;
    return 1;
}

static LODE_NO_ASAN void return_one(struct lodei_theap *th, struct lodei_block *block)
{
    struct lodei_span *span = lodei_span_of(lodei_slice_of(block));
    lode_assert(span != NULL && span->theap == th && span->used > 0);
    int was_empty = !span_has_blocks(span);
    link_block(block, span->free);
    span->free = block;
    span->free_count++;
    span->used--;
    if (span->used == 0 && !span->purging && !span_retain(th, span)) {
        span_destroy(th, span);
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
    span_queue(th, span);
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
            span_destroy(th, span);
    }
    for (unsigned c = 0; c < LODEI_CLASS_COUNT; c++) {
        th->shelves[c].inbox = NULL;
        th->shelves[c].inbox_count = 0;
    }
    return busy;
}

/* ---- giving back the pages of a span that hold no live block ---- */

#define PAGES_MAX (LODEI_SPAN_SLICES_MAX * (LODEI_SLICE_BYTES / 4096))

/* Bytes of each page that lie in blocks on the span's free list. */
static LODE_NO_ASAN void count_free_bytes(struct lodei_span *span, uint16_t *free_units)
{
    char *start = lodei_span_start(span);
    for (struct lodei_block *b = span->free; b != lodei_state.nil; b = b->next) {
        lodei_block_verify(b);
        size_t at = (size_t)((char *)b - start), end = at + span->block_bytes;
        while (at < end) {
            size_t page_end = lodei_round_down(at, lodei_page_bytes) + lodei_page_bytes;
            size_t stop = lodei_min(page_end, end);
            free_units[at >> lodei_page_log2] += (uint16_t)((stop - at) / 16);
            at = stop;
        }
    }
}

/*
 * Mark every page of which each byte is in a free or dormant block, or behind the last block, as
 * purged. Pages behind `carved` are left alone: in a fresh span nothing is there, and in a reused
 * one the next carving wants them. Returns how many were marked.
 */
static size_t mark_free_pages(struct lodei_span *span, uint64_t *marked)
{
    uint16_t units[PAGES_MAX];
    size_t pages = span->slices * pages_per_slice(), n = 0;
    memset(units, 0, pages * sizeof(units[0]));
    count_free_bytes(span, units);
    size_t carved_bytes = (size_t)span->carved * span->block_bytes;
    size_t carved_pages = carved_bytes >> lodei_page_log2;
    if (span->carved == span->capacity) { /* nobody will ever live behind the last block */
        carved_pages = pages;
        for (size_t at = carved_bytes; at < pages << lodei_page_log2; at += 16)
            units[at >> lodei_page_log2]++;
    }
    for (size_t p = 0; p < carved_pages; p++) {
        if (page_is_purged(span, p))
            continue;
        size_t at = p << lodei_page_log2, covered = units[p];
        /* What dormant blocks at the edges hold of this page is free too. */
        uint32_t first = (uint32_t)(at / span->block_bytes);
        uint32_t last = (uint32_t)((at + lodei_page_bytes - 1) / span->block_bytes);
        if (span->dormant > 0 && first < span->carved && lodei_span_is_dormant(span, first))
            covered +=
                (lodei_min((first + 1) * (size_t)span->block_bytes, at + lodei_page_bytes) - at) /
                16;
        if (span->dormant > 0 && last != first && last < span->carved &&
            lodei_span_is_dormant(span, last))
            covered += (at + lodei_page_bytes - last * (size_t)span->block_bytes) / 16;
        if (covered == lodei_page_bytes / 16) {
            marked[p / 64] |= 1ull << (p % 64);
            n++;
        }
    }
    return n;
}

/* Take blocks that became dormant off the free list. */
static LODE_NO_ASAN void unlink_dormant(struct lodei_span *span)
{
    struct lodei_block *kept = lodei_state.nil, *next;
    uint32_t count = 0;
    for (struct lodei_block *b = span->free; b != lodei_state.nil; b = next) {
        next = b->next;
        uint32_t index =
            (uint32_t)((size_t)((char *)b - lodei_span_start(span)) / span->block_bytes);
        if (lodei_span_is_dormant(span, index)) {
            set_dormant(span, span->dormant + 1);
            continue;
        }
        link_block(b, kept);
        kept = b;
        count++;
    }
    span->free = kept;
    span->free_count = count;
}

/* The system calls for the marked pages, runs together. Returns the bytes given back. */
static size_t purge_marked(struct lodei_span *span, const uint64_t *marked)
{
    size_t pages = span->slices * pages_per_slice(), done = 0, from = 0;
    while ((from = lodei_bitmap_next(marked, pages, from, 1)) < pages) {
        size_t end = lodei_bitmap_next(marked, pages, from, 0);
        size_t bytes = (end - from) << lodei_page_log2;
        /* A failure (pages locked in memory) leaves old contents: as if carved from a dirty slice.
         */
        if (lodei_vm_purge(lodei_span_start(span) + (from << lodei_page_log2), bytes) == 0)
            done += bytes;
        atomic_fetch_add_explicit(&lodei_state.purge_calls, 1, memory_order_relaxed);
        from = end;
    }
    atomic_fetch_add_explicit(&lodei_state.purge_bytes, done, memory_order_relaxed);
    return done;
}

/* After a purge: back on the shelf, and in line again if blocks came back meanwhile. */
static void span_settle(struct lodei_theap *th, struct lodei_span *span, int again)
{
    if (span_has_blocks(span))
        lodei_list_push_back(&th->shelves[span->class].partial, &span->link);
    if (again)
        span_queue(th, span);
}

/* Give back the pages behind the carved blocks of a span that was made from dirty slices; it is
 * then as good as fresh. Returns the bytes. */
static size_t purge_uncarved(struct lodei_span *span)
{
    size_t end = span->slices * LODEI_SLICE_BYTES;
    size_t from = lodei_round_up((size_t)span->carved * span->block_bytes, lodei_page_bytes);
    char *start = lodei_span_start(span),
         *uncarved = start + (size_t)span->carved * span->block_bytes;
    if (from >= end || lodei_vm_purge(start + from, end - from) != 0)
        return 0;
    memset(uncarved, 0, (size_t)(start + from - uncarved));
    return end - from;
}

/* Purge what can be purged of one span, th->lock held; it is dropped during the system calls. */
static size_t span_purge(struct lodei_theap *th, struct lodei_span *span)
{
    uint64_t marked[PAGES_MAX / 64] = {0};
    int uncarved = span->was_dirty && span->carved < span->capacity;
    if (mark_free_pages(span, marked) == 0 && !uncarved)
        return 0;
    table_set(
        span,
        lodei_state.no_bin); /* a double free of a dormant block is found on the slow path only */
    for (size_t p = 0; p < span->slices * pages_per_slice(); p++)
        if (lodei_bitmap_get(marked, p))
            page_set_purged(span, p, 1);
    unlink_dormant(span);
    if (span->dormant == 0)
        table_publish(span);
    uint32_t free_count = span->free_count;
    span->purging = 1; /* and nobody may fill a list from it meanwhile */
    lodei_list_remove(&span->link);
    lodei_lock_drop(&th->lock);
    size_t done = purge_marked(span, marked);
    size_t behind = uncarved ? purge_uncarved(span) : 0;
    lodei_lock_take(&th->lock);
    if (behind > 0)
        span->was_dirty = 0;
    span->purging = 0;
    if (span->used == 0)
        span_destroy(th, span);
    else
        span_settle(th, span, span->free_count != free_count);
    lodei_theap_verify(th);
    return done + behind;
}

size_t lodei_theap_purge(struct lodei_theap *th, uint64_t age_ms, uint64_t budget_us, int *ret_left)
{
    uint64_t start_us = lodei_clock_us();
    uint32_t now = (uint32_t)lodei_clock_ms();
    size_t done = 0;
    lodei_lock_take(&th->lock);
    while (!lodei_list_empty(&th->purgeable)) {
        struct lodei_span *span =
            lode_container_of(th->purgeable.next, struct lodei_span, purge_link);
        if ((uint32_t)(now - span->queued_ms) < age_ms)
            break;
        span_unqueue(span);
        if (span->used == 0 && !span->purging)
            span_destroy(th, span);
        else
            done += span_purge(th, span);
        if (lodei_clock_us() - start_us >= budget_us)
            break;
    }
    *ret_left = !lodei_list_empty(&th->purgeable);
    lodei_lock_drop(&th->lock);
    return done;
}
