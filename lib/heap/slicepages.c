/* SPDX-License-Identifier: MIT */
/*
 * Owns the pages behind free slices: giving them back to the kernel when they are old or too many,
 * and the books of what lodei_vm_move() did to mappings. `moved` marks the slices of a mapping that
 * came from elsewhere, `edges` where one mapping ends and the next begins: mremap works on one at a
 * time. Purging a moved slice maps it afresh, and it joins neighbours that never moved as far as
 * the kernel sees them alike. The kernel may have borders that are not in `edges`: since 6.17 it
 * moves across them; before, such a move fails, and lodei_slices_split() adds an edge.
 *
 * slices_lock guards everything; system calls run without it, their slices marked as handed out.
 */
#include <errno.h>

#include "base/bitmap.h"
#include "base/conf.h"
#include "heap/purge.h"
#include "heap/segment.h"
#include "heap/slices.h"
#include "os/vm.h"

/* The longest run given back by one system call: 4 MiB. */
#define PURGE_SLICES 64

/* So many runs or segments are looked at for pages in one go: some 20 us. */
#define LOOKS_MAX 1024

/* Trimming keeps so much above the peak of what was used: 1/64 and 256 KiB. Below 10 MiB in all it
 * does nothing. A program that keeps needing it, because its blocks fit ill into what others left,
 * would pay with a fault for every page trimmed: each time a quarter of its peak has gone, twice as
 * much is kept, up to 1/8 (random blocks of 64-465 KB: 5.5 s and 814 MB without, 2.4 s and 900 MB
 * with this; glibc 2.7 s and 832 MB, mimalloc 3.6 s and 871 MB). */
#define KEEP_LOG2       6
#define KEEP_LOG2_LEAST 3
#define KEEP_SLICES     4
#define KEEP_ALL_SLICES 160

size_t lodei_slices_excess_locked(void)
{
    struct lodei_state *s = &lodei_state;
    size_t keep_log2 = KEEP_LOG2 - s->keep_doubled;
    size_t limit = s->peak_used_slices + (s->peak_used_slices >> keep_log2) + KEEP_SLICES;
    limit = lodei_max(limit, KEEP_ALL_SLICES);
    size_t have = s->used_slices + s->dirty_slices;
    if (have <= limit || lodei_conf.purge == LODEI_PURGE_OFF)
        return 0;
    return lodei_min(have - limit, s->dirty_slices);
}

static int edge_at(size_t slice)
{
    return lodei_bitmap_get(lodei_segment_at(slice / LODEI_SEGMENT_SLICES)->edges,
                            slice % LODEI_SEGMENT_SLICES);
}

static void set_edge(size_t slice, int value)
{
    struct lodei_state *s = &lodei_state;
    if (slice / LODEI_SEGMENT_SLICES >= s->segments_opened || edge_at(slice) == value)
        return;
    lodei_bitmap_put(lodei_segment_at(slice / LODEI_SEGMENT_SLICES)->edges,
                     slice % LODEI_SEGMENT_SLICES, 1, value);
    uint32_t edges = s->moved_edges + (value ? 1u : -1u);
    __atomic_store_n(&s->moved_edges, edges, __ATOMIC_RELAXED);
}

size_t lodei_slices_piece(size_t first, size_t count)
{
    size_t n = 1;
    lodei_lock_take(&lodei_state.slices_lock);
    while (n < count && !edge_at(first + n))
        n++;
    lodei_lock_drop(&lodei_state.slices_lock);
    return n;
}

void lodei_slices_moved(size_t first, size_t count)
{
    lodei_lock_take(&lodei_state.slices_lock);
    set_edge(first, 1);
    for (size_t i = first + 1; i < first + count; i++)
        set_edge(i, 0);
    set_edge(first + count, 1);
    for (size_t at = first, n, left = count; left > 0; at += n, left -= n) {
        n = lodei_segment_part(at, left);
        lodei_bitmap_put(lodei_segment_at(at / LODEI_SEGMENT_SLICES)->moved,
                         at % LODEI_SEGMENT_SLICES, n, 1);
    }
    lodei_lock_drop(&lodei_state.slices_lock);
}

/* 0 also behind the last opened segment and before the first. */
static int moved_at(size_t slice)
{
    struct lodei_state *s = &lodei_state;
    return slice >= s->head_slices && slice / LODEI_SEGMENT_SLICES < s->segments_opened &&
           lodei_bitmap_get(lodei_segment_at(slice / LODEI_SEGMENT_SLICES)->moved,
                            slice % LODEI_SEGMENT_SLICES);
}

/* [first, +count) of one segment was mapped afresh: borders only with what is still moved. */
static void renewed(struct lodei_segment *seg, size_t first, size_t count)
{
    lodei_bitmap_put(seg->moved, first % LODEI_SEGMENT_SLICES, count, 0);
    for (size_t i = first + 1; i < first + count; i++)
        set_edge(i, 0);
    set_edge(first, moved_at(first - 1));
    set_edge(first + count, moved_at(first + count));
}

void lodei_segment_opens(size_t index)
{
    if (moved_at(index * LODEI_SEGMENT_SLICES - 1))
        set_edge(index * LODEI_SEGMENT_SLICES, 1);
}

void lodei_slices_forget_moves(size_t first, size_t count)
{
    for (size_t n; count > 0; first += n, count -= n) {
        n = lodei_segment_part(first, count);
        renewed(lodei_segment_at(first / LODEI_SEGMENT_SLICES), first, n);
    }
}

void lodei_slices_split(size_t first, size_t count)
{
    lodei_lock_take(&lodei_state.slices_lock);
    set_edge(first + count / 2, 1);
    lodei_lock_drop(&lodei_state.slices_lock);
}

int lodei_slices_are_huge(enum lode_kind kind)
{
    return lodei_conf.thp == LODEI_THP_ALWAYS ||
           (kind == LODE_KIND_HUGE && lodei_conf.thp == LODEI_THP_KIND);
}

/* The system calls that empty slices; *ret_afresh: by a new mapping. -ENOMEM: there is a hole now.
 * Where the kernel refuses a new mapping (too many), the old one is emptied and stays moved. */
static int give_back(enum lode_kind kind, char *start, size_t bytes, int moved, int *ret_afresh)
{
    *ret_afresh = moved && lodei_vm_renew(start, bytes) == 0;
    if (!*ret_afresh)
        return lodei_vm_purge(start, bytes);
    lodei_segment_advise(kind, start, bytes);
    return 0;
}

void lodei_slices_free_moved(size_t first, size_t count)
{
    struct lodei_state *s = &lodei_state;
    lodei_lock_take(&s->slices_lock);
    for (size_t n; count > 0; first += n, count -= n) {
        struct lodei_segment *seg = lodei_segment_at(first / LODEI_SEGMENT_SLICES);
        int r = 0, afresh = 0, moved = moved_at(first);
        size_t most = lodei_segment_part(first, count);
        for (n = 1; n < most && moved_at(first + n) == moved; n++)
            ;
        if (moved) {
            lodei_lock_drop(&s->slices_lock);
            r = give_back(seg->kind, lodei_slice_start(first), n * LODEI_SLICE_BYTES, 1, &afresh);
            lodei_lock_take(&s->slices_lock);
        }
        if (afresh)
            renewed(seg, first, n);
        if (r == -ENOMEM)
            lodei_slices_lose_locked(first, n);
        else
            lodei_slices_put_locked(first, n, r != 0);
    }
    lodei_lock_drop(&s->slices_lock);
}

/* The next run of dirty slices of `seg` from `at` that are old enough; its length, 0 when none. */
static size_t old_run(struct lodei_segment *seg, size_t *at, uint64_t age_ticks)
{
    size_t i = *at, n = 0;
    /* Read with the lock held: nothing was freed later. */
    uint64_t now_tick = lodei_clock_ms() / LODEI_TICK_MS;
    while ((i = lodei_bitmap_next(seg->dirty, LODEI_SEGMENT_SLICES, i, 1)) < LODEI_SEGMENT_SLICES) {
        int moved = lodei_bitmap_get(seg->moved, i);
        for (n = 0; i + n < LODEI_SEGMENT_SLICES && n < PURGE_SLICES &&
                    lodei_bitmap_get(seg->dirty, i + n) &&
                    lodei_bitmap_get(seg->moved, i + n) == moved &&
                    (uint16_t)(now_tick - seg->freed_tick[i + n]) >= age_ticks;)
            n++;
        if (n > 0)
            break;
        i++;
    }
    *at = i;
    return n;
}

/* Where a purge is to be noted; where more run at once than are noted, one goes without. */
static struct lodei_purge_note *free_note(struct lodei_purge_note *none)
{
    struct lodei_purge_note *notes = lodei_state.purging;
    for (size_t i = 0; i < LODEI_PURGES_NOTED; i++)
        if (notes[i].run.count == 0)
            return &notes[i];
    return none;
}

void lodei_slices_forked(void)
{
    struct lodei_state *s = &lodei_state;
    for (size_t i = 0; i < LODEI_PURGES_NOTED; i++) {
        struct lodei_run run = s->purging[i].run;
        if (s->purging[i].thread == &lode_theap_self)
            continue; /* this very thread forked from a signal handler: it goes on with them */
        s->purging[i].run.count = 0;
        s->purging_slices -= run.count;
        lodei_slices_put_locked(run.first, run.count, 1);
    }
}

/* Purge one run; the lock is dropped meanwhile. Returns the bytes given back. */
static size_t purge_run(struct lodei_segment *seg, size_t at, size_t count)
{
    struct lodei_state *s = &lodei_state;
    size_t first = (size_t)(seg - s->segments) * LODEI_SEGMENT_SLICES + at;
    size_t bytes = count * LODEI_SLICE_BYTES;
    int afresh, moved = lodei_bitmap_get(seg->moved, at);
    struct lodei_purge_note none, *note = free_note(&none);
    lodei_segment_take(seg, at, count);
    s->purging_slices += count;
    note->thread = &lode_theap_self;
    note->run.first = first;
    /* A raw child may see the state between any two stores: noted only while they are taken. */
    atomic_signal_fence(memory_order_seq_cst);
    note->run.count = count;
    lodei_lock_drop(&s->slices_lock);
    int r = give_back(seg->kind, lodei_slice_start(first), bytes, moved, &afresh);
    lodei_lock_take(&s->slices_lock);
    note->run.count = 0;
    atomic_signal_fence(memory_order_seq_cst);
    s->purging_slices -= count;
    if (afresh)
        renewed(seg, first, count);
    if (r == -ENOMEM) {
        lodei_slices_lose_locked(first, count);
        return 0;
    }
    lodei_slices_put_locked(first, count, r != 0);
    if (r != 0) {
        atomic_fetch_add_explicit(&s->purge_failures, 1, memory_order_relaxed);
        return 0;
    }
    atomic_fetch_add_explicit(&s->purge_calls, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&s->purge_bytes, bytes, memory_order_relaxed);
    return bytes;
}

size_t lodei_slices_purge(uint64_t age_ms, uint64_t budget_us, int *ret_left)
{
    struct lodei_state *s = &lodei_state;
    uint64_t start_us = lodei_clock_us();
    uint64_t age = (age_ms + LODEI_TICK_MS - 1) / LODEI_TICK_MS;
    size_t done = 0;
    int spent = 0;
    lodei_lock_take(&s->slices_lock);
    for (size_t i = s->hint[1]; i < s->segments_opened && s->dirty_slices > 0 && !spent; i++) {
        struct lodei_segment *seg = lodei_segment_at(i);
        size_t n, at = 0;
        while (!spent && seg->dirty_count > 0 && (n = old_run(seg, &at, age)) > 0) {
            done += purge_run(seg, at, n);
            at += n;
            spent = lodei_clock_us() - start_us >= budget_us;
        }
    }
    *ret_left = s->dirty_slices > 0;
    lodei_lock_drop(&s->slices_lock);
    return done;
}

/* Pages of `count` slices were taken from a program that will want them back. */
static void count_trimmed(size_t count)
{
    struct lodei_state *s = &lodei_state;
    s->trimmed_slices += count;
    if (s->trimmed_slices < s->peak_used_slices / 4 ||
        s->keep_doubled == KEEP_LOG2 - KEEP_LOG2_LEAST)
        return;
    s->trimmed_slices = 0;
    s->keep_doubled++;
}

/* From the highest address down: reuse begins at the lowest. */
void lodei_slices_trim(uint64_t budget_us)
{
    struct lodei_state *s = &lodei_state;
    uint64_t start_us = lodei_clock_us();
    size_t most, trimmed = 0;
    int goes_on = 1; /* not where memory is locked: no page would be given back */
    lodei_lock_take(&s->slices_lock);
    for (size_t i = s->segments_opened; i-- > s->hint[1] && goes_on;) {
        struct lodei_segment *seg = lodei_segment_at(i);
        for (size_t end = LODEI_SEGMENT_SLICES, at;
             goes_on && seg->dirty_count > 0 && (most = lodei_slices_excess_locked()) > 0;
             end = at) {
            while (end > 0 && !lodei_bitmap_get(seg->dirty, end - 1))
                end--;
            if (end == 0)
                break;
            int moved = lodei_bitmap_get(seg->moved, end - 1);
            most = lodei_min(most, lodei_min(end, PURGE_SLICES));
            for (at = end - 1; end - at < most && lodei_bitmap_get(seg->dirty, at - 1) &&
                               lodei_bitmap_get(seg->moved, at - 1) == moved;)
                at--;
            goes_on = purge_run(seg, at, end - at) > 0 && lodei_clock_us() - start_us < budget_us;
            trimmed += end - at;
        }
    }
    count_trimmed(trimmed);
    lodei_lock_drop(&s->slices_lock);
}

/* From the highest address down, as trimming does: what is reused first stays. */
size_t lodei_slices_take_dirty(enum lode_kind kind, size_t least, size_t most, size_t *below,
                               size_t *ret_count)
{
    struct lodei_state *s = &lodei_state;
    size_t found = LODEI_SLICES_NONE;
    lodei_lock_take(&s->slices_lock);
    size_t end = lodei_min(*below, s->segments_opened * LODEI_SEGMENT_SLICES);
    for (int looks = 0; looks < LOOKS_MAX && end > s->hint[1] * LODEI_SEGMENT_SLICES; looks++) {
        struct lodei_segment *seg = lodei_segment_at((end - 1) / LODEI_SEGMENT_SLICES);
        size_t start = end - 1 - (end - 1) % LODEI_SEGMENT_SLICES;
        size_t to = 0, from = 0;
        if (seg->kind == kind && seg->dirty_count >= least) {
            to = lodei_bitmap_last(seg->dirty, end - start, 1);
            size_t behind_edge = lodei_bitmap_last(seg->edges, to, 1);
            from = lodei_bitmap_last(seg->dirty, to, 0);
            from = lodei_max(from, lodei_max(behind_edge, 1) - 1);
        }
        end = start + from;
        if (to - from < least)
            continue;
        from = lodei_max(from, to - lodei_min(to, most));
        end = start + from;
        found = start + from;
        *ret_count = to - from;
        lodei_segment_take(seg, from, to - from);
        break;
    }
    *below = end;
    lodei_lock_drop(&s->slices_lock);
    return found;
}
