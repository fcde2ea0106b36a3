/* SPDX-License-Identifier: MIT */
/*
 * Owns the free slices. Bits per slice stand in struct lodei_segment:
 *
 *     free dirty
 *      0     0    handed out
 *      1     0    reads as zero, no page behind it
 *      1     1    old contents; kept for reuse until it has been free for purge_delay_ms
 *
 * Reuse beats fresh memory, since a page fault costs more than anything else here: dirty runs
 * first, lowest address first so that the heap stays dense; then any run; then a new segment. A run
 * longer than a segment takes whole segments.
 *
 * slices_lock guards everything. madvise() runs without it: the slices being purged are marked as
 * handed out meanwhile. mprotect() runs under it, once per COMMIT_SLICES at least.
 */
#include "heap/slices.h"

#include <errno.h>
#include <string.h>

#include "base/bitmap.h"
#include "base/conf.h"
#include "heap/purge.h"
#include "os/vm.h"

/* Commit at least 2 MiB at once, and an eighth of what is committed already, to 64 MiB. */
#define COMMIT_SLICES 32
/* The longest run given back by one system call: 4 MiB. */
#define PURGE_SLICES 64

#define SEG_SLICES LODEI_SEGMENT_SLICES

static struct lodei_segment *segment_at(size_t index)
{
    return &lodei_state.segments[index];
}

/* Tables and descriptors of segment `index` become writable. */
static int commit_tables(size_t index)
{
    struct lodei_state *s = &lodei_state;
    size_t page = lodei_page_bytes;
    uintptr_t table = (uintptr_t)(s->slice_table + index * SEG_SLICES);
    uintptr_t from = lodei_round_down(table, page);
    uintptr_t to = lodei_round_up(table + SEG_SLICES * sizeof(void *), page);
    if (lodei_vm_commit((void *)from, to - from) != 0)
        return -1;
    from = lodei_round_down((uintptr_t)lodei_span_at(index * SEG_SLICES), page);
    to = lodei_round_up((uintptr_t)lodei_span_at((index + 1) * SEG_SLICES), page);
    if (lodei_vm_commit((void *)from, to - from) != 0)
        return -1;
    uintptr_t seg = (uintptr_t)segment_at(index);
    from = lodei_round_down(seg, page);
    to = lodei_round_up(seg + sizeof(struct lodei_segment), page);
    if (lodei_vm_commit((void *)from, to - from) != 0)
        return -1;
    s->table_bytes_committed +=
        SEG_SLICES * (sizeof(void *) + LODEI_SPAN_STRIDE) + sizeof(struct lodei_segment);
    return 0;
}

/* Open the segment at segments_opened. */
static struct lodei_segment *open_segment(enum lode_kind kind)
{
    struct lodei_state *s = &lodei_state;
    size_t index = s->segments_opened;
    if (index >= s->segment_count || commit_tables(index) != 0)
        return NULL;
    struct lodei_segment *seg = segment_at(index);
    size_t first = index * SEG_SLICES;
    size_t head = first < s->head_slices ? s->head_slices - first : 0;
    size_t end = lodei_min(SEG_SLICES, s->slice_count - first);
    lodei_bitmap_put(seg->free, head, end - head, 1);
    seg->free_count = seg->longest = (uint32_t)(end - head);
    seg->kind = (uint8_t)kind;
    seg->committed = (uint32_t)head;
    for (size_t i = 0; i < SEG_SLICES; i++)
        s->slice_table[first + i] = s->no_bin;
    /* release: pairs with the acquire in lodei_theap_refresh(): who sees it sees the table */
    __atomic_store_n(&s->segments_opened, index + 1, __ATOMIC_RELEASE);
    return seg;
}

/* What a segment of this kind is backed by. */
static void advise(enum lode_kind kind, void *start, size_t bytes)
{
    if (lodei_conf.thp == LODEI_THP_ALWAYS ||
        (kind == LODE_KIND_HUGE && lodei_conf.thp == LODEI_THP_KIND))
        lodei_vm_advise_huge(start, bytes);
}

/* Slices [at, +count) of `seg` readable and writable. */
static int commit(struct lodei_segment *seg, size_t at, size_t count)
{
    struct lodei_state *s = &lodei_state;
    size_t end = at + count;
    if (end <= seg->committed)
        return 0;
    char *start = lodei_slice_start((size_t)(seg - s->segments) * SEG_SLICES);
    size_t step = lodei_max(COMMIT_SLICES, s->committed_slices / 8);
    size_t limit = lodei_min(SEG_SLICES, s->slice_count - (size_t)(seg - s->segments) * SEG_SLICES);
    size_t want = lodei_min(lodei_round_up(end, COMMIT_SLICES) + step - COMMIT_SLICES, limit);
    char *from = start + seg->committed * LODEI_SLICE_BYTES;
    if (lodei_vm_commit(from, (want - seg->committed) * LODEI_SLICE_BYTES) != 0) {
        want = end;
        if (lodei_vm_commit(from, (want - seg->committed) * LODEI_SLICE_BYTES) != 0)
            return -1;
    }
    advise(seg->kind, from, (want - seg->committed) * LODEI_SLICE_BYTES);
    s->committed_slices += want - seg->committed;
    seg->committed = (uint32_t)want;
    return 0;
}

static void set_dirty_slices(size_t count)
{
    /* relaxed: read without the lock as a hint */
    __atomic_store_n(&lodei_state.dirty_slices, count, __ATOMIC_RELAXED);
}

/* Hand out [at, +count) of one segment; returns the dirty ones among them. */
static size_t take(struct lodei_segment *seg, size_t at, size_t count)
{
    size_t dirty = 0;
    lodei_bitmap_put(seg->free, at, count, 0);
    atomic_signal_fence(memory_order_seq_cst);
    if (seg->dirty_count > 0) {
        for (size_t i = at; (i = lodei_bitmap_next(seg->dirty, at + count, i, 1)) < at + count; i++)
            dirty++;
        lodei_bitmap_put(seg->dirty, at, count, 0);
    }
    lodei_bitmap_put(seg->touched, at, count, 1);
    seg->free_count -= (uint32_t)count;
    seg->dirty_count -= (uint32_t)dirty;
    set_dirty_slices(lodei_state.dirty_slices - dirty);
    lodei_state.used_slices += count;
    return dirty;
}

/* The part of the run [first, +count) that lies in the segment of `first`. */
static size_t part_in_segment(size_t first, size_t count)
{
    return lodei_min(count, SEG_SLICES - first % SEG_SLICES);
}

/* Is [first, +count) free, of `kind`, and within opened or still unopened segments? */
static int run_is_free(enum lode_kind kind, size_t first, size_t count)
{
    struct lodei_state *s = &lodei_state;
    if (first + count > s->slice_count)
        return 0;
    while (count > 0 && first / SEG_SLICES < s->segments_opened) {
        struct lodei_segment *seg = segment_at(first / SEG_SLICES);
        size_t at = first % SEG_SLICES, n = part_in_segment(first, count);
        if (seg->kind != kind || lodei_bitmap_next(seg->free, at + n, at, 0) < at + n)
            return 0;
        first += n;
        count -= n;
    }
    return 1;
}

/* Open, commit and take the free run [first, +count). Returns 0, or -1 with nothing taken. */
static int take_run(enum lode_kind kind, size_t first, size_t count, size_t *ret_dirty)
{
    size_t done = 0, n;
    for (; done < count; done += n) {
        n = part_in_segment(first + done, count - done);
        while (lodei_state.segments_opened <= (first + done) / SEG_SLICES)
            if (open_segment(kind) == NULL)
                return -1;
        struct lodei_segment *seg = segment_at((first + done) / SEG_SLICES);
        if (commit(seg, (first + done) % SEG_SLICES, n) != 0)
            return -1;
    }
    *ret_dirty = 0;
    for (done = 0; done < count; done += n) {
        n = part_in_segment(first + done, count - done);
        *ret_dirty += take(segment_at((first + done) / SEG_SLICES), (first + done) % SEG_SLICES, n);
    }
    return 0;
}

enum look { LOOK_FREE, LOOK_DIRTY, LOOK_CLEAN };

/* The slices of `seg` to look at, as a bitmap; `room` holds it where it has to be computed. */
static const uint64_t *map_of(const struct lodei_segment *seg, enum look look, uint64_t *room)
{
    if (look == LOOK_FREE)
        return seg->free;
    if (look == LOOK_DIRTY)
        return seg->dirty;
    for (size_t i = 0; i < LODEI_SEGMENT_WORDS; i++)
        room[i] = seg->free[i] & ~seg->dirty[i];
    return room;
}

/* A run inside one segment. */
static size_t find_in_segments(enum lode_kind kind, size_t count, size_t align, enum look look)
{
    struct lodei_state *s = &lodei_state;
    int dirty = look == LOOK_DIRTY, seen = 0;
    uint64_t room[LODEI_SEGMENT_WORDS];
    if (dirty && s->dirty_slices < count)
        return LODEI_SLICES_NONE;
    for (size_t i = s->hint[dirty]; i < s->segments_opened; i++) {
        struct lodei_segment *seg = segment_at(i);
        size_t have = dirty ? seg->dirty_count : seg->free_count;
        if (have > 0 && !seen) {
            s->hint[dirty] = i;
            seen = 1;
        }
        if (seg->kind != kind || have < count || (!dirty && seg->longest < count))
            continue;
        size_t longest, bias = ((uintptr_t)s->base >> LODEI_SLICE_LOG2) + i * SEG_SLICES;
        size_t at = lodei_bitmap_find_run(map_of(seg, look, room), SEG_SLICES, count, align, bias,
                                          &longest);
        if (at < SEG_SLICES)
            return i * SEG_SLICES + at;
        if (look == LOOK_FREE)
            seg->longest = (uint32_t)longest;
    }
    if (!seen)
        s->hint[dirty] = s->segments_opened;
    return LODEI_SLICES_NONE;
}

/* A run that starts at a segment's start and needs more than one, or begins in unopened ones. */
static size_t find_whole(enum lode_kind kind, size_t count, size_t align)
{
    struct lodei_state *s = &lodei_state;
    for (size_t i = s->head_slices / SEG_SLICES; i < s->segment_count; i++) {
        size_t first = i * SEG_SLICES;
        if (i < s->segments_opened && segment_at(i)->free_count != SEG_SLICES)
            continue;
        size_t address = (uintptr_t)lodei_slice_start(first) >> LODEI_SLICE_LOG2;
        first += lodei_round_up(address, align) - address;
        if (first + count > s->slice_count)
            break;
        if (first >= s->head_slices && run_is_free(kind, first, count))
            return first;
    }
    return LODEI_SLICES_NONE;
}

size_t lodei_slices_dirty(void)
{
    return __atomic_load_n(&lodei_state.dirty_slices, __ATOMIC_RELAXED);
}

size_t lodei_slices_alloc(enum lode_kind kind, size_t count, size_t align, enum lodei_prefer prefer,
                          size_t *ret_dirty)
{
    struct lodei_state *s = &lodei_state;
    size_t first = LODEI_SLICES_NONE;
    if (count > s->slice_count)
        return first;
    lodei_lock_take(&s->slices_lock);
    if (count <= SEG_SLICES && align <= SEG_SLICES) {
        first = find_in_segments(kind, count, align,
                                 prefer == LODEI_PREFER_DIRTY ? LOOK_DIRTY : LOOK_CLEAN);
        if (first == LODEI_SLICES_NONE)
            first = find_in_segments(kind, count, align, LOOK_FREE);
        if (first == LODEI_SLICES_NONE && s->segments_opened * SEG_SLICES < s->head_slices &&
            open_segment(kind) != NULL)
            first = find_in_segments(kind, count, align, LOOK_FREE);
    }
    if (first == LODEI_SLICES_NONE)
        first = find_whole(kind, count, align);
    if (first != LODEI_SLICES_NONE && take_run(kind, first, count, ret_dirty) != 0)
        first = LODEI_SLICES_NONE;
    lodei_lock_drop(&s->slices_lock);
    return first;
}

int lodei_slices_extend(enum lode_kind kind, size_t end, size_t more)
{
    size_t dirty;
    lodei_lock_take(&lodei_state.slices_lock);
    int ok = run_is_free(kind, end, more) && take_run(kind, end, more, &dirty) == 0;
    lodei_lock_drop(&lodei_state.slices_lock);
    return ok;
}

static void put_back(size_t first, size_t count, int dirty)
{
    struct lodei_state *s = &lodei_state;
    uint16_t tick = (uint16_t)(lodei_clock_ms() / LODEI_TICK_MS);
    for (size_t n; count > 0; first += n, count -= n) {
        n = part_in_segment(first, count);
        struct lodei_segment *seg = segment_at(first / SEG_SLICES);
        size_t at = first % SEG_SLICES;
        for (size_t i = at; dirty && i < at + n; i++)
            seg->freed_tick[i] = tick;
        if (dirty) {
            lodei_bitmap_put(seg->dirty, at, n, 1);
            seg->dirty_count += (uint32_t)n;
            set_dirty_slices(s->dirty_slices + n);
            s->hint[1] = lodei_min(s->hint[1], first / SEG_SLICES);
        }
        /* Free only once it is dirty: a raw child may see the state between any two stores. */
        atomic_signal_fence(memory_order_seq_cst);
        lodei_bitmap_put(seg->free, at, n, 1);
        seg->free_count += (uint32_t)n;
        seg->longest = seg->free_count;
        s->used_slices -= n;
        s->hint[0] = lodei_min(s->hint[0], first / SEG_SLICES);
    }
}

void lodei_slices_free(size_t first, size_t count)
{
    lodei_lock_take(&lodei_state.slices_lock);
    put_back(first, count, 1);
    lodei_lock_drop(&lodei_state.slices_lock);
    lodei_purge_wake();
}

void lodei_slices_free_clean(size_t first, size_t count)
{
    lodei_lock_take(&lodei_state.slices_lock);
    for (size_t n; count > 0; first += n, count -= n) {
        /* Moved ones count as dirty: the next purge renews them, and their mappings join again. */
        int moved = lodei_bitmap_get(segment_at(first / SEG_SLICES)->moved, first % SEG_SLICES);
        for (n = 1; n < part_in_segment(first, count); n++)
            if (lodei_bitmap_get(segment_at(first / SEG_SLICES)->moved, first % SEG_SLICES + n) !=
                moved)
                break;
        put_back(first, n, moved);
    }
    lodei_lock_drop(&lodei_state.slices_lock);
}

static void lose(size_t count)
{
    lodei_state.committed_slices -= count;
    lodei_state.used_slices -= count;
}

void lodei_slices_lose(size_t count)
{
    lodei_lock_take(&lodei_state.slices_lock);
    lose(count);
    lodei_lock_drop(&lodei_state.slices_lock);
}

static int edge_at(size_t slice)
{
    return lodei_bitmap_get(segment_at(slice / SEG_SLICES)->edges, slice % SEG_SLICES);
}

static void set_edge(size_t slice, int value)
{
    struct lodei_state *s = &lodei_state;
    if (slice / SEG_SLICES >= s->segments_opened || edge_at(slice) == value)
        return;
    lodei_bitmap_put(segment_at(slice / SEG_SLICES)->edges, slice % SEG_SLICES, 1, value);
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
        n = part_in_segment(at, left);
        lodei_bitmap_put(segment_at(at / SEG_SLICES)->moved, at % SEG_SLICES, n, 1);
    }
    lodei_lock_drop(&lodei_state.slices_lock);
}

/* 0 also behind the last opened segment and before the first. */
static int moved_at(size_t slice)
{
    struct lodei_state *s = &lodei_state;
    return slice >= s->head_slices && slice / SEG_SLICES < s->segments_opened &&
           lodei_bitmap_get(segment_at(slice / SEG_SLICES)->moved, slice % SEG_SLICES);
}

/* [first, +count) of one segment was mapped afresh: it joins neighbours that never moved. */
static void renewed(struct lodei_segment *seg, size_t first, size_t count)
{
    lodei_bitmap_put(seg->moved, first % SEG_SLICES, count, 0);
    for (size_t i = first; i <= first + count; i++)
        if (!moved_at(i) && !moved_at(i - 1))
            set_edge(i, 0);
}

/* The next run of dirty slices of `seg` from `at` that are old enough; its length, 0 when none. */
static size_t old_run(struct lodei_segment *seg, size_t *at, uint64_t now_tick, uint64_t age_ticks)
{
    size_t i = *at, n = 0;
    while ((i = lodei_bitmap_next(seg->dirty, SEG_SLICES, i, 1)) < SEG_SLICES) {
        int moved = lodei_bitmap_get(seg->moved, i);
        for (n = 0; i + n < SEG_SLICES && n < PURGE_SLICES && lodei_bitmap_get(seg->dirty, i + n) &&
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
    size_t first = (size_t)(seg - s->segments) * SEG_SLICES + at;
    int moved = lodei_bitmap_get(seg->moved, at);
    take(seg, at, count);
    lodei_lock_drop(&s->slices_lock);
    size_t bytes = count * LODEI_SLICE_BYTES;
    char *start = lodei_slice_start(first);
    int afresh = moved && lodei_vm_renew(start, bytes) == 0;
    int r = afresh ? 0 : lodei_vm_purge(start, bytes);
    if (afresh)
        advise(seg->kind, start, bytes);
    lodei_lock_take(&s->slices_lock);
    if (afresh)
        renewed(seg, first, count);
    if (r == -ENOMEM) { /* renewing has left a hole: it is never handed out again */
        lose(count);
        return 0;
    }
    put_back(first, count, r != 0);
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
        struct lodei_segment *seg = segment_at(i);
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

int lodei_slices_state(size_t slice)
{
    struct lodei_state *s = &lodei_state;
    int state = 0;
    lodei_lock_take(&s->slices_lock);
    if (slice >= s->head_slices && slice / SEG_SLICES < s->segments_opened) {
        struct lodei_segment *seg = segment_at(slice / SEG_SLICES);
        if (!lodei_bitmap_get(seg->free, slice % SEG_SLICES))
            state = 1;
        else if (lodei_bitmap_get(seg->touched, slice % SEG_SLICES))
            state = 2;
    }
    lodei_lock_drop(&s->slices_lock);
    return state;
}
