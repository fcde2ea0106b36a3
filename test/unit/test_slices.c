/* SPDX-License-Identifier: MIT */
/* heap/slices.c against a model with one byte per slice. */
#include <criterion/criterion.h>

#include <string.h>

#include "base/bits.h"
#include "blockset.h"
#include "heap/meta.h"
#include "heap/slices.h"
#include "os/vm.h"

#define SEG       LODEI_SEGMENT_SLICES
#define MODEL_MAX ((size_t)16 * SEG)
#define RUNS_MAX  400
#define MARK      0x5ca1ab1e0ddba11u

enum fate { FRESH, USED, DIRTY };

static unsigned char model[MODEL_MAX]; /* from head_slices on: enum fate */
static struct run {
    size_t first, count;
} runs[RUNS_MAX];
static size_t run_count;
static struct blockset random_source;

static void start(void)
{
    cr_assert_eq(lodei_init(), 0);
    blockset_init(&random_source, 5);
}

TestSuite(slices, .init = start);

static unsigned char *fate_of(size_t slice)
{
    cr_assert_geq(slice, lodei_state.head_slices);
    cr_assert_lt(slice - lodei_state.head_slices, MODEL_MAX);
    return &model[slice - lodei_state.head_slices];
}

static uint64_t *word_of(size_t slice)
{
    return (uint64_t *)(void *)(lodei_slice_start(slice) + (slice % 16) * 4096);
}

/* In slices. */
static size_t address_of(size_t slice)
{
    return (uintptr_t)lodei_slice_start(slice) / LODEI_SLICE_BYTES;
}

/* A run just handed out: nobody has it, and what is said to be fresh reads as zero. */
static void enter(size_t first, size_t count, size_t align, size_t dirty)
{
    cr_assert_eq(address_of(first) % align, 0);
    size_t model_dirty = 0;
    for (size_t i = first; i < first + count; i++) {
        cr_assert_neq(*fate_of(i), USED, "slice %zu handed out twice", i);
        cr_assert_eq(lodei_slices_state(i), 1);
        if (*fate_of(i) == DIRTY)
            model_dirty++;
        else
            cr_assert_eq(*word_of(i), 0, "slice %zu is not fresh", i);
        *fate_of(i) = USED;
        *word_of(i) = MARK;
    }
    cr_assert_eq(dirty, model_dirty, "%zu dirty, not %zu", model_dirty, dirty);
}

/* Where the lowest run of `count` slices inside one opened segment would be. */
static size_t lowest(size_t count, size_t align, int dirty)
{
    size_t n = 0, end = lodei_state.segments_opened * SEG;
    for (size_t i = lodei_state.head_slices; i < end; i++) {
        enum fate fate = *fate_of(i);
        if (i % SEG == 0)
            n = 0;
        n = dirty ? (fate == DIRTY ? n + 1 : 0) : (fate != USED ? n + 1 : 0);
        for (size_t k = count; k <= n; k++)
            if (address_of(i + 1 - k) % align == 0)
                return i + 1 - k;
    }
    return LODEI_SLICES_NONE;
}

/* What is said about a run just taken agrees with the model. */
static void expect_taken(size_t first, size_t count, const struct lodei_taken *taken)
{
    size_t clean = 0, piece = 0, end = 0;
    for (size_t i = first; i < first + count; i++)
        clean += *fate_of(i) != DIRTY;
    cr_assert_eq(taken->dirty, count - clean);
    for (; piece < taken->clean_count; piece++) {
        cr_assert_geq(taken->clean[piece].first, lodei_max(first, end), "pieces in rising order");
        end = taken->clean[piece].first + taken->clean[piece].count;
        for (size_t i = taken->clean[piece].first; i < end; i++)
            cr_assert_neq(*fate_of(i), DIRTY);
        clean -= taken->clean[piece].count;
    }
    cr_assert_leq(end, first + count);
    cr_assert(clean == 0 || piece == LODEI_CLEAN_RUNS);
}

static size_t take_preferring(enum lode_kind kind, size_t count, size_t align,
                              enum lodei_prefer prefer, size_t *ret_dirty)
{
    struct lodei_taken taken;
    size_t first = lodei_slices_alloc(kind, count, align, prefer, &taken);
    if (first == LODEI_SLICES_NONE)
        return first;
    expect_taken(first, count, &taken);
    *ret_dirty = taken.dirty;
    return first;
}

static size_t take(enum lode_kind kind, size_t count, size_t align, size_t *ret_dirty)
{
    return take_preferring(kind, count, align, LODEI_PREFER_DIRTY, ret_dirty);
}

static int extend(size_t end, size_t more)
{
    struct lodei_taken taken;
    return lodei_slices_extend(LODE_KIND_SYSTEM, end, more, &taken);
}

static void expect_lowest(size_t first, size_t count, size_t align, size_t expected_dirty,
                          size_t expected_any)
{
    if (count < 16 && expected_dirty != LODEI_SLICES_NONE)
        cr_assert_eq(first / SEG, expected_dirty / SEG, "old contents are reused first");
    else if (expected_any != LODEI_SLICES_NONE && count >= 16)
        cr_assert_eq(first, expected_any, "first fit");
    else if (expected_any != LODEI_SLICES_NONE)
        cr_assert_leq(first, expected_any + count * align);
}

static void do_alloc(void)
{
    if (run_count == RUNS_MAX)
        return;
    size_t count = blockset_below(&random_source, 8) != 0
                       ? 1 + blockset_below(&random_source, 20)
                       : 1 + blockset_below(&random_source, SEG / 2);
    size_t align =
        (size_t)1 << (blockset_below(&random_source, 4) == 0 ? blockset_below(&random_source, 6)
                                                             : 0);
    size_t dirty_run = lowest(count, align, 1), any_run = lowest(count, align, 0), dirty = 99;
    int clean = blockset_below(&random_source, 4) == 0;
    enum lodei_prefer prefer = clean ? LODEI_PREFER_CLEAN : LODEI_PREFER_DIRTY;
    size_t first = take_preferring(LODE_KIND_SYSTEM, count, align, prefer, &dirty);
    cr_assert_neq(first, LODEI_SLICES_NONE);
    if (!clean)
        expect_lowest(first, count, align, dirty_run, any_run);
    enter(first, count, align, dirty);
    runs[run_count++] = (struct run){first, count};
}

static void do_free(void)
{
    if (run_count == 0)
        return;
    size_t i = blockset_below(&random_source, run_count);
    struct run r = runs[i];
    runs[i] = runs[--run_count];
    int clean = blockset_below(&random_source, 6) == 0;
    if (clean)
        cr_assert_eq(lodei_vm_purge(lodei_slice_start(r.first), r.count * LODEI_SLICE_BYTES), 0);
    for (size_t s = r.first; s < r.first + r.count; s++) {
        cr_assert_eq(*word_of(s), clean ? 0 : MARK, "slice %zu was written by others", s);
        *fate_of(s) = clean ? FRESH : DIRTY;
    }
    if (clean)
        lodei_slices_free_moved(r.first, r.count);
    else
        lodei_slices_free(r.first, r.count);
    cr_assert_eq(lodei_slices_state(r.first), 2);
}

static void do_extend(void)
{
    if (run_count == 0)
        return;
    struct run *r = &runs[blockset_below(&random_source, run_count)];
    size_t more = 1 + blockset_below(&random_source, 40), end = r->first + r->count;
    int room = 1;
    for (size_t i = end; i < end + more; i++)
        room &= *fate_of(i) != USED;
    cr_assert_eq(extend(end, more), room);
    for (size_t i = end; room && i < end + more; i++) {
        *fate_of(i) = USED;
        *word_of(i) = MARK;
    }
    r->count += room ? more : 0;
}

static void do_purge(void)
{
    size_t dirty = 0, left = 0;
    int more;
    for (size_t i = 0; i < MODEL_MAX; i++)
        dirty += model[i] == DIRTY;
    cr_assert_eq(lodei_slices_purge(100000, UINT64_MAX / 2, &more), 0, "nothing is that old");
    cr_assert_eq(more, dirty > 0);
    size_t done = lodei_slices_purge(0, UINT64_MAX / 2, &more);
    cr_assert_eq(done, dirty * LODEI_SLICE_BYTES);
    cr_assert_eq(more, 0);
    for (size_t i = 0; i < MODEL_MAX; i++) {
        if (model[i] == DIRTY)
            model[i] = FRESH;
        left += model[i] == USED;
    }
    cr_assert_eq(lodei_state.used_slices, left);
}

static void expect_counts(void)
{
    size_t dirty = 0, used = 0;
    for (size_t i = 0; i < MODEL_MAX; i++) {
        dirty += model[i] == DIRTY;
        used += model[i] == USED;
    }
    cr_assert_eq(lodei_state.dirty_slices, dirty);
    cr_assert_eq(lodei_state.used_slices, used);
}

Test(slices, random_against_model)
{
    for (int step = 0; step < 6000; step++) {
        size_t what = blockset_below(&random_source, 100);
        int filling = step / 500 % 2 == 0;
        if (what < (filling ? 55u : 30u))
            do_alloc();
        else if (what < 88)
            do_free();
        else if (what < 99)
            do_extend();
        else
            do_purge();
        if (step % 64 == 0)
            expect_counts();
    }
    while (run_count > 0)
        do_free();
    do_purge();
    expect_counts();
}

Test(slices, longer_than_a_segment)
{
    size_t dirty = 9, small = take(LODE_KIND_SYSTEM, 3, 1, &dirty);
    enter(small, 3, 1, dirty);
    size_t count = 3 * SEG + 5;
    size_t big = take(LODE_KIND_SYSTEM, count, 1, &dirty);
    cr_assert_eq(big % SEG, 0);
    enter(big, count, 1, dirty);
    size_t next = take(LODE_KIND_SYSTEM, SEG, 1, &dirty);
    enter(next, SEG, 1, dirty);
    /* Its tail shares a segment with others. */
    cr_assert_eq(extend(big + count, 7), 1);
    enter(big + count, 7, 1, 0);
    lodei_slices_free(big, count + 7);
    for (size_t i = big; i < big + count + 7; i++)
        *fate_of(i) = DIRTY;
    size_t again = take(LODE_KIND_SYSTEM, 2 * SEG, 1, &dirty);
    cr_assert_eq(again, big, "the same addresses serve again");
    enter(again, 2 * SEG, 1, dirty);
    expect_counts();
}

Test(slices, aligned_beyond_a_segment)
{
    for (size_t align = 1; align <= 4 * SEG; align *= 2) {
        size_t dirty = 9, first = take(LODE_KIND_SYSTEM, 2, align, &dirty);
        cr_assert_neq(first, LODEI_SLICES_NONE);
        cr_assert_eq((uintptr_t)lodei_slice_start(first) % (align * LODEI_SLICE_BYTES), 0);
        for (size_t i = first; i < first + 2; i++)
            cr_assert_eq(*word_of(i), 0);
    }
}

Test(slices, impossible)
{
    size_t dirty = 77;
    size_t none = take(LODE_KIND_SYSTEM, lodei_state.slice_count + 1, 1, &dirty);
    cr_assert_eq(none, LODEI_SLICES_NONE);
    none = take(LODE_KIND_SYSTEM, lodei_state.slice_count, 1, &dirty);
    cr_assert_eq(none, LODEI_SLICES_NONE, "the head is never handed out");
    none = take(LODE_KIND_SYSTEM, 1, (size_t)1 << 47, &dirty);
    cr_assert_eq(none, LODEI_SLICES_NONE);
    cr_assert_eq(extend(lodei_state.slice_count, 1), 0);
    cr_assert_eq(lodei_state.used_slices, 0);
}

/* Kinds do not share segments. */
Test(slices, kinds)
{
    size_t dirty, system = take(LODE_KIND_SYSTEM, 1, 1, &dirty);
    size_t huge = take(LODE_KIND_HUGE, 1, 1, &dirty);
    cr_assert_neq(system / SEG, huge / SEG);
    cr_assert_eq(take(LODE_KIND_SYSTEM, 1, 1, &dirty) / SEG, system / SEG);
    cr_assert_eq(take(LODE_KIND_HUGE, 1, 1, &dirty) / SEG, huge / SEG);
    size_t end = (system / SEG + 1) * SEG;
    size_t rest = take(LODE_KIND_SYSTEM, end - system - 2, 1, &dirty);
    cr_assert_eq(rest + (end - system - 2), end);
    cr_assert_eq(extend(end, 1), huge / SEG != system / SEG + 1);
}

Test(slices, budget)
{
    size_t dirty, first[8];
    int left;
    for (int i = 0; i < 8; i++)
        first[i] = take(LODE_KIND_SYSTEM, 2, 1, &dirty);
    for (int i = 0; i < 8; i += 2)
        lodei_slices_free(first[i], 2);
    cr_assert_eq(lodei_slices_purge(0, 0, &left), 2 * LODEI_SLICE_BYTES, "a step does one run");
    cr_assert_eq(left, 1);
    cr_assert_eq(lodei_slices_purge(0, 1000000, &left), 6 * LODEI_SLICE_BYTES);
    cr_assert_eq(left, 0);
}

/* Slices that stand on a moved mapping are known for it, mapped afresh by a purge, and zero then.
 */
Test(slices, moved_mappings_heal)
{
    size_t dirty, n = 16, bytes = n * LODEI_SLICE_BYTES;
    size_t from = take(LODE_KIND_SYSTEM, n, 1, &dirty);
    size_t to = take(LODE_KIND_SYSTEM, n, 1, &dirty);
    size_t behind = take(LODE_KIND_SYSTEM, n, 1, &dirty);
    int left;
    cr_assert_eq(behind, to + n);
    cr_assert_eq(lodei_slices_piece(from, 3 * n), 3 * n, "nothing has moved yet");
    memset(lodei_slice_start(from), 0x77, bytes);
    cr_assert_eq(lodei_vm_move(lodei_slice_start(from), lodei_slice_start(to), bytes), 0);
    lodei_slices_moved(to, n);
    cr_assert(blockset_is_zero(lodei_slice_start(from), bytes));
    cr_assert_eq(lodei_slice_start(to)[5], 0x77);
    cr_assert_eq(lodei_slices_piece(from, 3 * n), n);
    cr_assert_eq(lodei_slices_piece(to, 2 * n), n);
    cr_assert_eq(lodei_slices_piece(to + 3, 2 * n), n - 3);
    cr_assert_eq(lodei_state.moved_edges, 2);
    lodei_slices_free(to, n);
    cr_assert_eq(lodei_slices_purge(0, 1000000, &left), bytes);
    cr_assert_eq(lodei_state.moved_edges, 0);
    cr_assert_eq(lodei_slices_piece(from, 3 * n), 3 * n);
    cr_assert_eq(take(LODE_KIND_SYSTEM, n, 1, &dirty), to);
    cr_assert_eq(dirty, 0);
    cr_assert(blockset_is_zero(lodei_slice_start(to), bytes));
}

static size_t take_dirty(enum lode_kind kind, size_t least, size_t most, size_t *at,
                         size_t *ret_count)
{
    *ret_count = 0;
    return lodei_slices_take_dirty(kind, least, most, at, ret_count);
}

/* For their pages: one run of dirty slices after the other, downwards, not across mappings. */
Test(slices, dirty_runs)
{
    size_t dirty, count, at = SIZE_MAX, all = take(LODE_KIND_SYSTEM, 64, 1, &dirty);
    cr_assert_eq(take_dirty(LODE_KIND_SYSTEM, 1, 9, &at, &count), LODEI_SLICES_NONE);
    lodei_slices_free(all + 3, 4);
    lodei_slices_free(all + 10, 7);
    lodei_slices_free(all + 20, 9);
    lodei_slices_split(all + 20, 8);
    at = SIZE_MAX;
    cr_assert_eq(take_dirty(LODE_KIND_SYSTEM, 8, 9, &at, &count), LODEI_SLICES_NONE);
    at = SIZE_MAX;
    cr_assert_eq(take_dirty(LODE_KIND_HUGE, 1, 9, &at, &count), LODEI_SLICES_NONE);
    at = SIZE_MAX;
    cr_assert_eq(take_dirty(LODE_KIND_SYSTEM, 2, 4, &at, &count), all + 25);
    cr_assert_eq(count, 4, "no more than asked");
    cr_assert_eq(take_dirty(LODE_KIND_SYSTEM, 2, 9, &at, &count), all + 20);
    cr_assert_eq(count, 4, "from the edge on one was left, too few");
    cr_assert_eq(take_dirty(LODE_KIND_SYSTEM, 5, 9, &at, &count), all + 10);
    cr_assert_eq(count, 7);
    cr_assert_eq(take_dirty(LODE_KIND_SYSTEM, 5, 9, &at, &count), LODEI_SLICES_NONE);
    cr_assert_eq(lodei_state.dirty_slices, 5);
}

/* What is kept beyond the peak of use is bounded, from the highest address down. */
Test(slices, trim)
{
    size_t dirty, n = 4096, first = take(LODE_KIND_SYSTEM, n, 1, &dirty), half = n / 2;
    lodei_slices_free(first, half);
    lodei_slices_trim(UINT64_MAX / 2);
    cr_assert_eq(lodei_state.dirty_slices, half, "no more than was used once");
    size_t other = take(LODE_KIND_SYSTEM, half + 1, 1, &dirty);
    cr_assert_neq(other, first);
    lodei_slices_trim(UINT64_MAX / 2);
    size_t kept = lodei_state.peak_used_slices / 64 + 4;
    cr_assert_eq(lodei_state.dirty_slices, kept, "%zu, not %zu", lodei_state.dirty_slices, kept);
    size_t at = SIZE_MAX, count, lowest_dirty = take_dirty(LODE_KIND_SYSTEM, 1, n, &at, &count);
    cr_assert_eq(lowest_dirty, first, "the lowest ones are kept");
    cr_assert_eq(count, kept);
}

/* Who makes us trim over and over again is left more. */
Test(slices, trim_less_and_less)
{
    size_t dirty, n = 4096, first = take(LODE_KIND_SYSTEM, n, 1, &dirty), half = n / 2;
    for (int round = 0; round < 6; round++) {
        lodei_slices_free(first, half);
        size_t other = take(LODE_KIND_SYSTEM, half + 1, 1, &dirty);
        lodei_slices_trim(UINT64_MAX / 2);
        size_t share = round < 3 ? (size_t)64 >> round : 8;
        cr_assert_eq(lodei_state.dirty_slices, lodei_state.peak_used_slices / share + 4);
        lodei_slices_free(other, half + 1);
        lodei_slices_purge(0, UINT64_MAX / 2, &(int){0});
        cr_assert_eq(take(LODE_KIND_SYSTEM, half, 1, &dirty), first);
    }
}
