/* SPDX-License-Identifier: MIT */
/*
 * Owns the pages behind free slices: giving them back to the kernel when they are old or too many,
 * and the books of what lodei_vm_move() did to mappings. `moved` marks the slices of a mapping that
 * came from elsewhere, `edges` where one mapping ends and the next begins: mremap works on one at a
 * time. Purging a moved slice maps it afresh, and it joins its neighbours.
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

/* Trimming keeps so much above the peak of what was used: 1/64 and 256 KiB. Below 10 MiB in all it
 * does nothing. */
#define KEEP_SHARE      64
#define KEEP_SLICES     4
#define KEEP_ALL_SLICES 160

size_t lodei_slices_excess_locked(void)
{
    struct lodei_state *s = &lodei_state;
    size_t limit = s->peak_used_slices + s->peak_used_slices / KEEP_SHARE + KEEP_SLICES;
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

/* [first, +count) of one segment was mapped afresh: it joins neighbours that never moved. */
static void renewed(struct lodei_segment *seg, size_t first, size_t count)
{
    lodei_bitmap_put(seg->moved, first % LODEI_SEGMENT_SLICES, count, 0);
    for (size_t i = first; i <= first + count; i++)
        if (!moved_at(i) && !moved_at(i - 1))
            set_edge(i, 0);
}

void lodei_slices_free_moved(size_t first, size_t count)
{
    struct lodei_state *s = &lodei_state;
    lodei_lock_take(&s->slices_lock);
    for (size_t n; count > 0; first += n, count -= n) {
        struct lodei_segment *seg = lodei_segment_at(first / LODEI_SEGMENT_SLICES);
        int r = 0, moved = moved_at(first);
        size_t most = lodei_segment_part(first, count);
        for (n = 1; n < most && moved_at(first + n) == moved; n++)
            ;
        if (moved) {
            lodei_lock_drop(&s->slices_lock);
            r = lodei_vm_renew(lodei_slice_start(first), n * LODEI_SLICE_BYTES);
            if (r == 0)
                lodei_segment_advise(seg->kind, lodei_slice_start(first), n * LODEI_SLICE_BYTES);
            lodei_lock_take(&s->slices_lock);
            if (r == 0)
                renewed(seg, first, n);
        }
        if (r == -ENOMEM)
            lodei_slices_lose_locked(n);
        else
            lodei_slices_put_locked(first, n, r != 0); /* not renewed: the next purge tries again */
    }
    lodei_lock_drop(&s->slices_lock);
}

/* The next run of dirty slices of `seg` from `at` that are old enough; its length, 0 when none. */
static size_t old_run(struct lodei_segment *seg, size_t *at, uint64_t now_tick, uint64_t age_ticks)
{
    size_t i = *at, n = 0;
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

/* Purge one run; the lock is dropped meanwhile. Returns the bytes given back. */
static size_t purge_run(struct lodei_segment *seg, size_t at, size_t count)
{
    struct lodei_state *s = &lodei_state;
    size_t first = (size_t)(seg - s->segments) * LODEI_SEGMENT_SLICES + at;
    int moved = lodei_bitmap_get(seg->moved, at);
    lodei_segment_take(seg, at, count);
    lodei_lock_drop(&s->slices_lock);
    size_t bytes = count * LODEI_SLICE_BYTES;
    char *start = lodei_slice_start(first);
    int afresh = moved && lodei_vm_renew(start, bytes) == 0;
    int r = afresh ? 0 : lodei_vm_purge(start, bytes);
    if (afresh)
        lodei_segment_advise(seg->kind, start, bytes);
    lodei_lock_take(&s->slices_lock);
    if (afresh)
        renewed(seg, first, count);
    if (r == -ENOMEM) { /* renewing has left a hole: it is never handed out again */
        lodei_slices_lose_locked(count);
        return 0;
    }
    lodei_slices_put_locked(first, count, r != 0);
    if (r != 0)
        return 0;
    atomic_fetch_add_explicit(&s->purge_calls, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&s->purge_bytes, bytes, memory_order_relaxed);
    return bytes;
}

size_t lodei_slices_purge(uint64_t age_ms, uint64_t budget_us, int *ret_left)
{
    struct lodei_state *s = &lodei_state;
    uint64_t start_us = lodei_clock_us();
    uint64_t now = lodei_clock_ms() / LODEI_TICK_MS;
    uint64_t age = (age_ms + LODEI_TICK_MS - 1) / LODEI_TICK_MS;
    size_t done = 0;
    int spent = 0;
    lodei_lock_take(&s->slices_lock);
    for (size_t i = s->hint[1]; i < s->segments_opened && s->dirty_slices > 0 && !spent; i++) {
        struct lodei_segment *seg = lodei_segment_at(i);
        size_t n, at = 0;
        while (!spent && seg->dirty_count > 0 && (n = old_run(seg, &at, now, age)) > 0) {
            done += purge_run(seg, at, n);
            at += n;
            spent = lodei_clock_us() - start_us >= budget_us;
        }
    }
    *ret_left = s->dirty_slices > 0;
    lodei_lock_drop(&s->slices_lock);
    return done;
}

/* From the highest address down: reuse begins at the lowest. */
void lodei_slices_trim(void)
{
    struct lodei_state *s = &lodei_state;
    size_t most;
    lodei_lock_take(&s->slices_lock);
    for (size_t i = s->segments_opened; i-- > s->hint[1] && lodei_slices_excess_locked() > 0;) {
        struct lodei_segment *seg = lodei_segment_at(i);
        for (size_t end = LODEI_SEGMENT_SLICES, at;
             seg->dirty_count > 0 && (most = lodei_slices_excess_locked()) > 0; end = at) {
            while (end > 0 && !lodei_bitmap_get(seg->dirty, end - 1))
                end--;
            if (end == 0)
                break;
            int moved = lodei_bitmap_get(seg->moved, end - 1);
            most = lodei_min(most, lodei_min(end, PURGE_SLICES));
            for (at = end - 1; end - at < most && lodei_bitmap_get(seg->dirty, at - 1) &&
                               lodei_bitmap_get(seg->moved, at - 1) == moved;)
                at--;
            purge_run(seg, at, end - at);
        }
    }
    lodei_lock_drop(&s->slices_lock);
}

/* The end of the run of dirty slices of one mapping that starts at `at`, at most `most` on. */
static size_t dirty_run_end(const struct lodei_segment *seg, size_t at, size_t most)
{
    size_t end = at + 1, limit = lodei_min(LODEI_SEGMENT_SLICES, at + most);
    while (end < limit && lodei_bitmap_get(seg->dirty, end) && !lodei_bitmap_get(seg->edges, end))
        end++;
    return end;
}

size_t lodei_slices_take_dirty(enum lode_kind kind, size_t least, size_t most, size_t *ret_count)
{
    struct lodei_state *s = &lodei_state;
    size_t best = LODEI_SLICES_NONE, count = least - 1;
    lodei_lock_take(&s->slices_lock);
    for (size_t i = s->hint[1]; i < s->segments_opened && count < most; i++) {
        struct lodei_segment *seg = lodei_segment_at(i);
        if (seg->kind != kind || seg->dirty_count <= count)
            continue;
        for (size_t at = 0, end; count < most; at = end) {
            at = lodei_bitmap_next(seg->dirty, LODEI_SEGMENT_SLICES, at, 1);
            if (at == LODEI_SEGMENT_SLICES)
                break;
            end = dirty_run_end(seg, at, most);
            if (end - at > count) {
                best = i * LODEI_SEGMENT_SLICES + at;
                count = end - at;
            }
        }
    }
    if (best != LODEI_SLICES_NONE) {
        lodei_segment_take(lodei_segment_at(best / LODEI_SEGMENT_SLICES),
                           best % LODEI_SEGMENT_SLICES, count);
        *ret_count = count;
    }
    lodei_lock_drop(&s->slices_lock);
    return best;
}
