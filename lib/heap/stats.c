/* SPDX-License-Identifier: MIT */
/*
 * The figures of stats.h, summed from descriptors and list lengths when asked for. Each category is
 * counted for itself; that they add up to `mapped` is what test/unit checks.
 */
#include "lode/stats.h"

#include <errno.h>
#include <string.h>

#include "base/bitmap.h"
#include "heap/heaps.h"
#include "heap/meta.h"
#include "heap/purge.h"
#include "heap/sizeclass.h"
#include "heap/span.h"
#include "os/vm.h"

/* How often to sum anew when a purge step came between. */
#define TRIES_MAX 3

static void add_span(struct lode_stats *s, struct lodei_span *span)
{
    size_t bytes = span->slices * LODEI_SLICE_BYTES, purged = 0, untouched = 0;
    size_t used = (size_t)span->used * span->block_bytes;
    for (size_t i = 0; i < span->slices; i++)
        purged += (size_t)__builtin_popcount(*lodei_span_purged(span, i)) << lodei_page_log2;
    if (!span->was_dirty)
        untouched =
            bytes - lodei_round_up((size_t)span->carved * span->block_bytes, lodei_page_bytes);
    s->spans++;
    s->in_use_bytes += used;
    s->live_blocks += span->used;
    s->purged_bytes += purged;
    s->untouched_bytes += untouched;
    s->cached_bytes += bytes - used - purged - untouched;
}

/* Blocks that spans count as used but that wait on some list. */
static void waiting(struct lode_stats *s, unsigned class, uint64_t blocks)
{
    s->live_blocks -= blocks;
    s->in_use_bytes -= blocks * lodei_classes[class].block_bytes;
    s->cached_bytes += blocks * lodei_classes[class].block_bytes;
}

/* The bins and outboxes are read while their thread may be using them. Takes no lock in here: TSan
 * would not see it. */
static __attribute__((no_sanitize("thread"))) void add_lists(struct lode_stats *s,
                                                             struct lodei_theap *th)
{
    for (unsigned c = 0; c < LODEI_CLASS_COUNT; c++)
        waiting(s, c,
                (uint64_t)(th->bins[c].capacity - th->bins[c].room + th->bins[c].spare_count));
    for (unsigned i = 0; i < LODEI_OUTBOX_SLOTS; i++)
        if (th->outboxes[i].owner != NULL)
            waiting(s, th->outboxes[i].class, th->outboxes[i].count);
}

static void add_theap(struct lode_stats *s, struct lodei_theap *th)
{
    lodei_lock_take(&th->lock);
    for (struct lodei_list *l = th->spans.next; l != &th->spans; l = l->next)
        add_span(s, lode_container_of(l, struct lodei_span, all));
    for (unsigned c = 0; c < LODEI_CLASS_COUNT; c++)
        waiting(s, c, th->shelves[c].inbox_count);
    if (!th->lost)
        add_lists(s, th);
    lodei_lock_drop(&th->lock);
}

static void add_heap(struct lode_stats *s, struct lode_heap *heap)
{
    lodei_lock_take(&heap->lock);
    s->heaps++;
    s->spans += heap->large_count;
    s->large_blocks += heap->large_count;
    s->live_blocks += heap->large_count;
    s->large_bytes += heap->large_bytes;
    s->in_use_bytes += heap->large_bytes;
    s->cached_bytes += heap->large_slices * LODEI_SLICE_BYTES - heap->large_bytes;
    for (struct lodei_list *l = heap->theaps.next; l != &heap->theaps; l = l->next) {
        struct lodei_theap *th = lode_container_of(l, struct lodei_theap, heap_link);
        s->thread_heaps += th->thread != NULL;
        s->orphans += th->thread == NULL;
        if (!th->abandoned)
            add_theap(s, th);
    }
    lodei_lock_drop(&heap->lock);
}

/* What belongs to no heap: free slices, tables, counters. */
static void add_process(struct lode_stats *s)
{
    struct lodei_state *st = &lodei_state;
    lodei_lock_take(&st->slices_lock);
    size_t untouched = 0, clean = 0;
    for (size_t i = st->head_slices / LODEI_SEGMENT_SLICES; i < st->segments_opened; i++) {
        struct lodei_segment *seg = &st->segments[i];
        size_t at, head = i * LODEI_SEGMENT_SLICES < st->head_slices
                              ? st->head_slices % LODEI_SEGMENT_SLICES
                              : 0;
        for (at = head; at < seg->committed; at++) {
            if (!lodei_bitmap_get(seg->free, at) || lodei_bitmap_get(seg->dirty, at))
                continue;
            if (lodei_bitmap_get(seg->touched, at))
                clean++;
            else
                untouched++;
        }
    }
    s->cached_bytes += (st->dirty_slices + st->purging_slices) * LODEI_SLICE_BYTES;
    s->purged_bytes += clean * LODEI_SLICE_BYTES;
    s->untouched_bytes += untouched * LODEI_SLICE_BYTES;
    s->metadata_bytes = st->table_bytes_committed;
    s->mapped_bytes = st->committed_slices * LODEI_SLICE_BYTES + st->table_bytes_committed;
    lodei_lock_drop(&st->slices_lock);
    lodei_lock_take(&st->meta_lock);
    s->metadata_bytes += (size_t)(st->meta_committed - st->meta_start);
    s->mapped_bytes += (size_t)(st->meta_committed - st->meta_start);
    lodei_lock_drop(&st->meta_lock);
    s->reserved_bytes = st->reserved_bytes;
    s->lent_bytes = st->lent_bytes;
    s->purge_calls = atomic_load_explicit(&st->purge_calls, memory_order_relaxed);
    s->purge_bytes = atomic_load_explicit(&st->purge_bytes, memory_order_relaxed);
    s->misuse_count = atomic_load_explicit(&st->misuse_count, memory_order_relaxed);
    s->foreign_count = atomic_load_explicit(&st->foreign_count, memory_order_relaxed);
}

static void add_all(struct lode_stats *s)
{
    struct lodei_state *st = &lodei_state;
    lodei_lock_take(&st->registry_lock);
    for (struct lodei_list *h = st->heaps.next; h != &st->heaps; h = h->next)
        add_heap(s, lode_container_of(h, struct lode_heap, registry_link));
    lodei_lock_drop(&st->registry_lock);
    add_process(s);
}

int lode_stats_get(struct lode_heap *heap, struct lode_stats *stats)
{
    struct lode_stats s;
    uint32_t mark;
    int tries = 0;
    if (stats->size < offsetof(struct lode_stats, mapped_bytes))
        return -EINVAL;
    if (lodei_init() != 0)
        return -ENOMEM;
    do {
        s = (struct lode_stats){.size = stats->size};
        mark = lodei_purge_await_idle();
        if (heap != NULL)
            add_heap(&s, heap);
        else
            add_all(&s);
    } while (lodei_purge_stepped_since(mark) && ++tries < TRIES_MAX);
    memcpy(stats, &s, lodei_min(stats->size, sizeof(s)));
    return 0;
}
