/* SPDX-License-Identifier: MIT */
/*
 * The offset allocator against a list of live ranges in an array: whether a request can succeed is
 * decided by looking at every gap, so a -ENOSPC too many is found as well as an overlap. Names that
 * were freed are kept and tried again.
 */
#include "fuzz_input.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "lode/offset.h"

#define LIVE_MAX  200
#define STALE_MAX 64

#define CHECK(e) ((e) ? (void)0 : failed(#e, __LINE__))

static struct fuzz_input input;

/* By rising offset. */
static struct {
    uint64_t at, bytes;
    lode_range range;
} live[LIVE_MAX];
static size_t count;
static lode_range stale[STALE_MAX];
static size_t stale_count;
static uint64_t granule, total;
static struct lode_offset *offset;

static void failed(const char *what, int line)
{
    fprintf(stderr, "fuzz_offset.c:%d: %s does not hold\n", line, what);
    abort();
}

static uint64_t round_up(uint64_t n, uint64_t to)
{
    return (n + to - 1) / to * to;
}

/* Where the gap before live[i] starts and ends. */
static uint64_t gap_start(size_t i)
{
    return i > 0 ? live[i - 1].at + live[i - 1].bytes : 0;
}

static uint64_t gap_end(size_t i)
{
    return i < count ? live[i].at : total;
}

static int possible(uint64_t bytes, uint64_t align)
{
    for (size_t i = 0; i <= count; i++) {
        uint64_t at = round_up(gap_start(i), align);
        if (at <= gap_end(i) && bytes <= gap_end(i) - at)
            return 1;
    }
    return 0;
}

static void enter(uint64_t at, uint64_t bytes, lode_range range)
{
    size_t i = 0;
    while (i < count && live[i].at < at)
        i++;
    CHECK(at >= gap_start(i) && at + bytes <= gap_end(i));
    for (size_t k = count++; k > i; k--)
        live[k] = live[k - 1];
    live[i].at = at;
    live[i].bytes = bytes;
    live[i].range = range;
}

static void leave(size_t i)
{
    stale[stale_count++ % STALE_MAX] = live[i].range;
    for (count--; i < count; i++)
        live[i] = live[i + 1];
}

static uint64_t take_bytes(void)
{
    uint64_t kind = fuzz_take(&input, 4);
    if (kind == 0)
        return fuzz_take(&input, 20);
    if (kind == 1)
        return ((uint64_t)8 + fuzz_take(&input, 9)) << fuzz_take(&input, 10);
    if (kind == 2)
        return fuzz_take(&input, total + 2);
    return fuzz_take(&input, 700);
}

static void do_alloc(void)
{
    uint64_t bytes = take_bytes(), align = (uint64_t)1 << fuzz_take(&input, 10), at = 77;
    lode_range range = 77;
    uint64_t whole = round_up(bytes > 0 ? bytes : 1, granule);
    int expected = possible(whole, align > granule ? align : granule);
    if (count == LIVE_MAX)
        return;
    CHECK(lode_offset_can_allocate(offset, bytes, align) == expected);
    int error = lode_offset_alloc(offset, bytes, align, &at, &range);
    CHECK(error == (expected ? 0 : -ENOSPC));
    if (error != 0) {
        CHECK(at == 77 && range == 77);
        return;
    }
    CHECK(range != 0 && at % granule == 0 && at % align == 0);
    enter(at, whole, range);
}

static void do_extend(void)
{
    if (count == 0)
        return;
    size_t i = (size_t)fuzz_take(&input, count);
    uint64_t bytes = take_bytes(), whole = round_up(bytes > 0 ? bytes : 1, granule);
    int error = lode_offset_extend(offset, live[i].range, bytes);
    CHECK(error == (whole <= gap_end(i + 1) - live[i].at ? 0 : -ENOSPC));
    if (error == 0)
        live[i].bytes = whole;
}

static int visited(void *ctx, uint64_t at, uint64_t bytes, lode_range range)
{
    uint64_t *walk = ctx; /* reached, index of the next live one, whether the last one was free */
    CHECK(at == walk[0] && bytes > 0);
    walk[0] += bytes;
    CHECK(range != 0 || !walk[2]);
    walk[2] = range == 0;
    if (range != 0) {
        CHECK(live[walk[1]].at == at && live[walk[1]].bytes == bytes);
        CHECK(live[walk[1]].range == range);
        walk[1]++;
    }
    return 0;
}

static void check_all(void)
{
    struct lode_offset_stats s;
    uint64_t walk[3] = {0}, used = 0, largest = 0;
    CHECK(lode_offset_walk(offset, visited, walk) == 0);
    CHECK(walk[0] == total && walk[1] == count);
    for (size_t i = 0; i <= count; i++) {
        used += i < count ? live[i].bytes : 0;
        if (gap_end(i) - gap_start(i) > largest)
            largest = gap_end(i) - gap_start(i);
    }
    lode_offset_stats(offset, &s);
    CHECK(s.total_bytes == total && s.used_bytes == used && s.free_bytes == total - used);
    CHECK(s.ranges == count && s.allocs - s.frees == count && s.largest_free_bytes == largest);
    CHECK(s.peak_used_bytes >= used);
    for (size_t i = 0; i < stale_count && i < STALE_MAX; i++) {
        CHECK(lode_offset_free(offset, stale[i]) == -EINVAL);
        CHECK(lode_offset_find(offset, stale[i], NULL, NULL) == -EINVAL);
    }
    CHECK(lode_offset_free(offset, fuzz_take(&input, 1u << 24)) == -EINVAL);
}

static void do_other(void)
{
    uint64_t what = fuzz_take(&input, 16), more;
    if (what == 0) {
        for (size_t i = 0; i < count; i++)
            stale[stale_count++ % STALE_MAX] = live[i].range;
        count = 0;
        lode_offset_reset(offset);
    } else if (what < 4) {
        more = fuzz_take(&input, 3000);
        if (total + more > (1u << 24))
            return;
        CHECK(lode_offset_grow(offset, total + more) == 0);
        total = (total + more) / granule * granule;
        if (total > 0)
            CHECK(lode_offset_grow(offset, total - granule) == -EINVAL);
    } else {
        check_all();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    input.at = data;
    input.end = data + bytes;
    count = stale_count = 0;
    struct lode_offset_opts o = LODE_OFFSET_OPTS_INIT;
    o.granule = granule = (uint64_t)1 << fuzz_take(&input, 9);
    o.initial_ranges = (uint32_t)fuzz_take(&input, 4);
    uint64_t first = fuzz_take(&input, 1 << 20);
    CHECK(lode_offset_create(first, &o, &offset) == 0);
    total = first / granule * granule;
    while (input.at < input.end) {
        uint64_t what = fuzz_take(&input, 16);
        if (what < 8) {
            do_alloc();
        } else if (what < 12 && count > 0) {
            size_t i = (size_t)fuzz_take(&input, count);
            CHECK(lode_offset_free(offset, live[i].range) == 0);
            leave(i);
        } else if (what < 14) {
            do_extend();
        } else {
            do_other();
        }
    }
    check_all();
    lode_offset_destroy(offset);
    return 0;
}
