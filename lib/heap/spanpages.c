/* SPDX-License-Identifier: MIT */
/*
 * Owns the OS pages inside spans: finding those that hold no live block, giving them back, and
 * waking the blocks over them again. theap->lock guards all of it; it is dropped during system
 * calls, while span->purging keeps everybody else out of the span.
 *
 * A free block over a page that is given back loses its words, so it is taken off the free list and
 * counted as dormant; span->purged says which pages are gone. While a span has dormant blocks it is
 * not in the slice table: a double free of one of them is found on the slow path, by the page's
 * bit.
 */
#include "heap/span.h"

#include <string.h>

#include "base/bitmap.h"
#include "heap/fast.h"
#include "heap/misuse.h"
#include "os/vm.h"

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

static void set_dormant(struct lodei_span *span, uint32_t dormant)
{
    /* relaxed: lodei_classify() reads it without a lock */
    __atomic_store_n(&span->dormant, dormant, __ATOMIC_RELAXED);
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
void lodei_span_wake(struct lodei_span *span)
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
        lodei_block_link((struct lodei_block *)(void *)at, span->free);
        span->free = (struct lodei_block *)(void *)at;
        span->free_count++;
        set_dormant(span, span->dormant - 1);
    }
    for (; page <= last; page++)
        page_set_purged(span, page, 0);
    if (span->dormant == 0)
        lodei_span_publish(span);
}

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
        lodei_block_link(b, kept);
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
        else
            atomic_fetch_add_explicit(&lodei_state.purge_failures, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&lodei_state.purge_calls, 1, memory_order_relaxed);
        from = end;
    }
    atomic_fetch_add_explicit(&lodei_state.purge_bytes, done, memory_order_relaxed);
    return done;
}

/* After a purge: back on the shelf, and in line again if blocks came back meanwhile. */
static void span_settle(struct lodei_theap *th, struct lodei_span *span, int again)
{
    if (lodei_span_has_blocks(span))
        lodei_list_push_back(&th->shelves[span->class].partial, &span->link);
    if (again)
        lodei_span_queue(th, span);
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
    lodei_asan_unpoison(uncarved, (size_t)(start + from - uncarved));
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
    lodei_span_table_set(
        span,
        lodei_state.no_bin); /* a double free of a dormant block is found on the slow path only */
    for (size_t p = 0; p < span->slices * pages_per_slice(); p++)
        if (lodei_bitmap_get(marked, p))
            page_set_purged(span, p, 1);
    unlink_dormant(span);
    if (span->dormant == 0)
        lodei_span_publish(span);
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
        lodei_span_destroy(th, span);
    else
        span_settle(th, span, span->free_count != free_count);
    lodei_theap_verify(th);
    return done + behind;
}

void lodei_theap_forked(struct lodei_theap *th)
{
    struct lodei_list *at = th->spans.next, *next;
    for (; at != &th->spans; at = next) {
        struct lodei_span *span = lode_container_of(at, struct lodei_span, all);
        next = at->next;
        if (!span->purging)
            continue;
        span->purging = 0;
        if (span->used == 0)
            lodei_span_destroy(th, span);
        else
            span_settle(th, span, 1);
    }
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
        /* signed: it may have been queued since `now` was read */
        if ((int64_t)(int32_t)(now - span->queued_ms) < (int64_t)age_ms)
            break;
        lodei_span_unqueue(span);
        if (span->used == 0 && !span->purging)
            lodei_span_destroy(th, span);
        else
            done += span_purge(th, span);
        if (lodei_clock_us() - start_us >= budget_us)
            break;
    }
    *ret_left = !lodei_list_empty(&th->purgeable);
    lodei_lock_drop(&th->lock);
    return done;
}
