/* SPDX-License-Identifier: MIT */
/*
 * Owns the free slices; slicepages.c owns the pages behind them. Bits per slice stand in struct
 * lodei_segment:
 *
 *     free dirty
 *      0     0    handed out
 *      1     0    reads as zero, no page behind it
 *      1     1    old contents; kept for reuse until it has been free for purge_delay_ms
 *
 * Reuse beats fresh memory, since a page fault costs more than anything else here: dirty runs
 * first, lowest address first so that the heap stays dense; then any run; then a new segment. Runs
 * of FIRST_FIT_SLICES take the lowest address that fits, dirty or not: after a purge the dirty runs
 * are what is left of other large blocks, and a block put there drives the next one of that size to
 * fresh memory (freeciv, which saves every turn: peak 74 MB for 88). A run longer than a segment
 * takes whole segments.
 *
 * slices_lock guards everything. madvise() runs without it: the slices being purged are marked as
 * handed out meanwhile. mprotect() runs under it, once per COMMIT_SLICES at least.
 */
#include "heap/slices.h"

#include "base/bitmap.h"
#include "base/conf.h"
#include "heap/meta.h"
#include "heap/purge.h"
#include "heap/segment.h"
#include "os/vm.h"

/* Commit at least 2 MiB at once, and an eighth of what is committed already, to 64 MiB. */
#define COMMIT_SLICES 32

#define FIRST_FIT_SLICES 16

/* Tables and descriptors of segment `index` become writable. */
static int commit_tables(size_t index)
{
    struct lodei_state *s = &lodei_state;
    size_t page = lodei_page_bytes;
    uintptr_t table = (uintptr_t)(s->slice_table + index * LODEI_SEGMENT_SLICES);
    uintptr_t from = lodei_round_down(table, page);
    uintptr_t to = lodei_round_up(table + LODEI_SEGMENT_SLICES * sizeof(void *), page);
    if (lodei_vm_commit((void *)from, to - from) != 0)
        return -1;
    from = lodei_round_down((uintptr_t)lodei_span_at(index * LODEI_SEGMENT_SLICES), page);
    to = lodei_round_up((uintptr_t)lodei_span_at((index + 1) * LODEI_SEGMENT_SLICES), page);
    if (lodei_vm_commit((void *)from, to - from) != 0)
        return -1;
    uintptr_t seg = (uintptr_t)lodei_segment_at(index);
    from = lodei_round_down(seg, page);
    to = lodei_round_up(seg + sizeof(struct lodei_segment), page);
    if (lodei_vm_commit((void *)from, to - from) != 0)
        return -1;
    s->table_bytes_committed +=
        LODEI_SEGMENT_SLICES * (sizeof(void *) + LODEI_SPAN_STRIDE) + sizeof(struct lodei_segment);
    return 0;
}

/* Open the segment at segments_opened. */
static struct lodei_segment *open_segment(enum lode_kind kind)
{
    struct lodei_state *s = &lodei_state;
    size_t index = s->segments_opened;
    if (index >= s->segment_count || commit_tables(index) != 0)
        return NULL;
    struct lodei_segment *seg = lodei_segment_at(index);
    size_t first = index * LODEI_SEGMENT_SLICES;
    size_t head = first < s->head_slices ? s->head_slices - first : 0;
    size_t end = lodei_min(LODEI_SEGMENT_SLICES, s->slice_count - first);
    lodei_bitmap_put(seg->free, head, end - head, 1);
    seg->free_count = seg->longest = (uint32_t)(end - head);
    seg->kind = (uint8_t)kind;
    seg->committed = (uint32_t)head;
    for (size_t i = 0; i < LODEI_SEGMENT_SLICES; i++)
        s->slice_table[first + i] = s->no_bin;
    lodei_segment_opens(index);
    /* release: pairs with the acquire in lodei_theap_refresh(): who sees it sees the table */
    __atomic_store_n(&s->segments_opened, index + 1, __ATOMIC_RELEASE);
    return seg;
}

void lodei_segment_advise(enum lode_kind kind, void *start, size_t bytes)
{
    if (lodei_slices_are_huge(kind))
        lodei_vm_advise_huge(start, bytes, 1);
    else if (lodei_conf.thp == LODEI_THP_NEVER)
        lodei_vm_advise_huge(start, bytes, 0);
}

/* Slices [at, +count) of `seg` readable and writable. */
static int commit(struct lodei_segment *seg, size_t at, size_t count)
{
    struct lodei_state *s = &lodei_state;
    size_t end = at + count;
    if (end <= seg->committed)
        return 0;
    char *start = lodei_slice_start((size_t)(seg - s->segments) * LODEI_SEGMENT_SLICES);
    size_t step = lodei_max(COMMIT_SLICES, s->committed_slices / 8);
    size_t limit = lodei_min(LODEI_SEGMENT_SLICES,
                             s->slice_count - (size_t)(seg - s->segments) * LODEI_SEGMENT_SLICES);
    size_t want = lodei_min(lodei_round_up(end, COMMIT_SLICES) + step - COMMIT_SLICES, limit);
    char *from = start + seg->committed * LODEI_SLICE_BYTES;
    if (lodei_vm_commit(from, (want - seg->committed) * LODEI_SLICE_BYTES) != 0) {
        want = end;
        if (lodei_vm_commit(from, (want - seg->committed) * LODEI_SLICE_BYTES) != 0)
            return -1;
    }
    lodei_segment_advise(seg->kind, from, (want - seg->committed) * LODEI_SLICE_BYTES);
    s->committed_slices += want - seg->committed;
    seg->committed = (uint32_t)want;
    return 0;
}

static void set_dirty_slices(size_t count)
{
    /* relaxed: read without the lock as a hint */
    __atomic_store_n(&lodei_state.dirty_slices, count, __ATOMIC_RELAXED);
}

size_t lodei_segment_take(struct lodei_segment *seg, size_t at, size_t count)
{
    size_t dirty = 0;
    lodei_bitmap_put(seg->free, at, count, 0);
    atomic_signal_fence(memory_order_seq_cst);
    if (seg->dirty_count > 0) {
        dirty = lodei_bitmap_count(seg->dirty, at, count);
        lodei_bitmap_put(seg->dirty, at, count, 0);
    }
    lodei_bitmap_put(seg->touched, at, count, 1);
    seg->free_count -= (uint32_t)count;
    seg->dirty_count -= (uint32_t)dirty;
    set_dirty_slices(lodei_state.dirty_slices - dirty);
    lodei_state.used_slices += count;
    return dirty;
}

/* Is [first, +count) free, of `kind`, and within opened or still unopened segments? */
static int run_is_free(enum lode_kind kind, size_t first, size_t count)
{
    struct lodei_state *s = &lodei_state;
    if (first + count > s->slice_count)
        return 0;
    while (count > 0 && first / LODEI_SEGMENT_SLICES < s->segments_opened) {
        struct lodei_segment *seg = lodei_segment_at(first / LODEI_SEGMENT_SLICES);
        size_t at = first % LODEI_SEGMENT_SLICES, n = lodei_segment_part(first, count);
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
        n = lodei_segment_part(first + done, count - done);
        while (lodei_state.segments_opened <= (first + done) / LODEI_SEGMENT_SLICES)
            if (open_segment(kind) == NULL)
                return -1;
        struct lodei_segment *seg = lodei_segment_at((first + done) / LODEI_SEGMENT_SLICES);
        if (commit(seg, (first + done) % LODEI_SEGMENT_SLICES, n) != 0)
            return -1;
    }
    *ret_dirty = 0;
    for (done = 0; done < count; done += n) {
        n = lodei_segment_part(first + done, count - done);
        *ret_dirty += lodei_segment_take(lodei_segment_at((first + done) / LODEI_SEGMENT_SLICES),
                                         (first + done) % LODEI_SEGMENT_SLICES, n);
    }
    return 0;
}

enum look { LOOK_FREE, LOOK_DIRTY, LOOK_CLEAN, LOOK_COMMITTED };

static enum look look_first(enum lodei_prefer prefer, size_t count)
{
    if (prefer == LODEI_PREFER_CLEAN)
        return LOOK_CLEAN;
    return count < FIRST_FIT_SLICES ? LOOK_DIRTY : LOOK_FREE;
}

/* The slices of `seg` to look at, as a bitmap; `room` holds it where it has to be computed. */
static const uint64_t *map_of(const struct lodei_segment *seg, enum look look, uint64_t *room)
{
    if (look == LOOK_FREE || look == LOOK_COMMITTED)
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
        struct lodei_segment *seg = lodei_segment_at(i);
        size_t have = dirty ? seg->dirty_count : seg->free_count;
        if (have > 0 && !seen) {
            s->hint[dirty] = i;
            seen = 1;
        }
        if (seg->kind != kind || have < count || (!dirty && seg->longest < count))
            continue;
        size_t longest, bias = ((uintptr_t)s->base >> LODEI_SLICE_LOG2) + i * LODEI_SEGMENT_SLICES;
        size_t bits = look == LOOK_COMMITTED ? seg->committed : LODEI_SEGMENT_SLICES;
        size_t at =
            lodei_bitmap_find_run(map_of(seg, look, room), bits, count, align, bias, &longest);
        if (at < bits)
            return i * LODEI_SEGMENT_SLICES + at;
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
    for (size_t i = s->head_slices / LODEI_SEGMENT_SLICES; i < s->segment_count; i++) {
        size_t first = i * LODEI_SEGMENT_SLICES;
        if (i < s->segments_opened && lodei_segment_at(i)->free_count != LODEI_SEGMENT_SLICES)
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

/* How far the slices from `at` on, but before `end`, are all dirty, or all clean. */
static size_t same_until(size_t at, size_t end, int dirty)
{
    for (size_t n, found; at < end; at += n) {
        n = lodei_segment_part(at, end - at);
        size_t from = at % LODEI_SEGMENT_SLICES;
        if (at / LODEI_SEGMENT_SLICES >= lodei_state.segments_opened) {
            if (dirty)
                return at;
            continue;
        }
        found = lodei_bitmap_next(lodei_segment_at(at / LODEI_SEGMENT_SLICES)->dirty, from + n,
                                  from, !dirty);
        if (found < from + n)
            return at + (found - from);
    }
    return end;
}

/* Take the free run [first, +count) and tell what it holds. A block that moves stands in two places
 * for a while: that is no peak of use. */
static int take_and_tell(enum lode_kind kind, size_t first, size_t count, int moves,
                         struct lodei_taken *ret_taken)
{
    struct lodei_state *s = &lodei_state;
    size_t at = first, end = first + count, found = 0, until;
    for (; at < end && found < LODEI_CLEAN_RUNS; at = same_until(until, end, 1)) {
        until = same_until(at, end, 0);
        if (until == at)
            continue;
        ret_taken->clean[found].first = at;
        ret_taken->clean[found++].count = until - at;
    }
    ret_taken->clean_count = found;
    if (take_run(kind, first, count, &ret_taken->dirty) != 0)
        return -1;
    if (!moves)
        s->peak_used_slices = lodei_max(s->peak_used_slices, s->used_slices - s->purging_slices);
    ret_taken->excess = lodei_slices_excess_locked();
    return 0;
}

size_t lodei_slices_dirty(void)
{
    return __atomic_load_n(&lodei_state.dirty_slices, __ATOMIC_RELAXED);
}

size_t lodei_slices_alloc(enum lode_kind kind, size_t count, size_t align, enum lodei_prefer prefer,
                          struct lodei_taken *ret_taken)
{
    struct lodei_state *s = &lodei_state;
    size_t first = LODEI_SLICES_NONE;
    if (count > s->slice_count)
        return first;
    lodei_lock_take(&s->slices_lock);
    if (count <= LODEI_SEGMENT_SLICES && align <= LODEI_SEGMENT_SLICES) {
        first = find_in_segments(kind, count, align, look_first(prefer, count));
        if (first == LODEI_SLICES_NONE)
            first = find_in_segments(kind, count, align, LOOK_FREE);
        if (first == LODEI_SLICES_NONE &&
            s->segments_opened * LODEI_SEGMENT_SLICES < s->head_slices &&
            open_segment(kind) != NULL)
            first = find_in_segments(kind, count, align, LOOK_FREE);
    }
    if (first == LODEI_SLICES_NONE)
        first = find_whole(kind, count, align);
    int moves = prefer == LODEI_PREFER_CLEAN;
    if (first != LODEI_SLICES_NONE && take_and_tell(kind, first, count, moves, ret_taken) != 0) {
        /* The kernel grants no more: what it has granted may have a run elsewhere. */
        first = LODEI_SLICES_NONE;
        if (count <= LODEI_SEGMENT_SLICES && align <= LODEI_SEGMENT_SLICES)
            first = find_in_segments(kind, count, align, LOOK_COMMITTED);
        if (first != LODEI_SLICES_NONE && take_and_tell(kind, first, count, moves, ret_taken) != 0)
            first = LODEI_SLICES_NONE;
    }
    lodei_lock_drop(&s->slices_lock);
    return first;
}

int lodei_slices_extend(enum lode_kind kind, size_t end, size_t more, struct lodei_taken *ret_taken)
{
    lodei_lock_take(&lodei_state.slices_lock);
    int ok = run_is_free(kind, end, more) && take_and_tell(kind, end, more, 0, ret_taken) == 0;
    lodei_lock_drop(&lodei_state.slices_lock);
    return ok;
}

void lodei_slices_put_locked(size_t first, size_t count, int dirty)
{
    struct lodei_state *s = &lodei_state;
    uint16_t tick = (uint16_t)(lodei_clock_ms() / LODEI_TICK_MS);
    for (size_t n; count > 0; first += n, count -= n) {
        n = lodei_segment_part(first, count);
        struct lodei_segment *seg = lodei_segment_at(first / LODEI_SEGMENT_SLICES);
        size_t at = first % LODEI_SEGMENT_SLICES;
        for (size_t i = at; dirty && i < at + n; i++)
            seg->freed_tick[i] = tick;
        if (dirty) {
            lodei_bitmap_put(seg->dirty, at, n, 1);
            seg->dirty_count += (uint32_t)n;
            set_dirty_slices(s->dirty_slices + n);
            s->hint[1] = lodei_min(s->hint[1], first / LODEI_SEGMENT_SLICES);
        }
        /* Free only once it is dirty: a raw child may see the state between any two stores. */
        atomic_signal_fence(memory_order_seq_cst);
        lodei_bitmap_put(seg->free, at, n, 1);
        seg->free_count += (uint32_t)n;
        seg->longest = seg->free_count;
        s->used_slices -= n;
        s->hint[0] = lodei_min(s->hint[0], first / LODEI_SEGMENT_SLICES);
    }
}

void lodei_slices_free(size_t first, size_t count)
{
    lodei_lock_take(&lodei_state.slices_lock);
    lodei_slices_put_locked(first, count, 1);
    lodei_lock_drop(&lodei_state.slices_lock);
    lodei_purge_wake();
}

void lodei_slices_lose_locked(size_t first, size_t count)
{
    lodei_slices_forget_moves(first, count);
    lodei_state.committed_slices -= count;
    lodei_state.used_slices -= count;
}

void lodei_slices_lose(size_t first, size_t count)
{
    lodei_lock_take(&lodei_state.slices_lock);
    lodei_slices_lose_locked(first, count);
    lodei_lock_drop(&lodei_state.slices_lock);
}

void *lodei_slices_lend(size_t most_bytes, size_t *ret_bytes)
{
    struct lodei_state *s = &lodei_state;
    if (lodei_init() != 0)
        return NULL;
    lodei_lock_take(&s->slices_lock);
    size_t whole = s->slice_count / LODEI_SEGMENT_SLICES;
    size_t lent = lodei_min(most_bytes / LODEI_SEGMENT_BYTES, whole / 2);
    int can = lent > 0 && s->segments_opened <= whole - lent;
    if (can) {
        s->segment_count = whole - lent;
        s->slice_count = s->segment_count * LODEI_SEGMENT_SLICES;
        s->lent_bytes += lent * LODEI_SEGMENT_BYTES;
        *ret_bytes = lent * LODEI_SEGMENT_BYTES;
    }
    lodei_lock_drop(&s->slices_lock);
    return can ? lodei_slice_start(s->slice_count) : NULL;
}

int lodei_slices_state(size_t slice)
{
    struct lodei_state *s = &lodei_state;
    int state = 0;
    lodei_lock_take(&s->slices_lock);
    if (slice >= s->head_slices && slice / LODEI_SEGMENT_SLICES < s->segments_opened) {
        struct lodei_segment *seg = lodei_segment_at(slice / LODEI_SEGMENT_SLICES);
        if (!lodei_bitmap_get(seg->free, slice % LODEI_SEGMENT_SLICES))
            state = 1;
        else if (lodei_bitmap_get(seg->touched, slice % LODEI_SEGMENT_SLICES))
            state = 2;
    }
    lodei_lock_drop(&s->slices_lock);
    return state;
}
