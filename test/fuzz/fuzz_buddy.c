/* SPDX-License-Identifier: MIT */
/*
 * The buddy allocator against a map of cells: a request must succeed if there is an aligned run of
 * free cells of its size anywhere, and fail otherwise, since blocks that can be joined count as
 * joined. Blocks hold their pattern and do not overlap; frees of anything else are refused.
 */
#include "fuzz_input.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lode/buddy.h"

#define CELL      16
#define CELLS_MAX 4096
#define LIVE_MAX  256

#define CHECK(e) ((e) ? (void)0 : failed(#e, __LINE__))

static struct fuzz_input input;

static _Alignas(65536) unsigned char memory[2 * CELLS_MAX * CELL];
static unsigned char used[2 * CELLS_MAX]; /* by cell of `memory` */
static size_t first, end, cell_bytes;     /* cells that are managed */
static size_t origin;                     /* of `memory`: blocks are aligned from there */
static struct {
    unsigned char *at;
    size_t asked, whole, align;
} live[LIVE_MAX];
static size_t count;
static struct lode_buddy *buddy;

static void failed(const char *what, int line)
{
    fprintf(stderr, "fuzz_buddy.c:%d: %s does not hold\n", line, what);
    abort();
}

static size_t whole_of(size_t bytes, size_t align)
{
    size_t whole = cell_bytes;
    while (whole < bytes || whole < align)
        whole *= 2;
    return whole;
}

static int possible(size_t whole)
{
    size_t cells = whole / cell_bytes;
    for (size_t c = origin; c + cells <= end; c += cells) {
        size_t n = c < first ? cells + 1 : 0;
        while (n < cells && !used[c + n])
            n++;
        if (n == cells)
            return 1;
    }
    return 0;
}

static void mark(const unsigned char *at, size_t whole, int value)
{
    size_t from = (size_t)(at - memory) / cell_bytes;
    for (size_t c = from; c < from + whole / cell_bytes; c++) {
        CHECK(c >= first && c < end && used[c] != value);
        used[c] = (unsigned char)value;
    }
}

static void check_pattern(size_t i)
{
    for (size_t b = 0; b < live[i].asked; b += 1 + live[i].asked / 16)
        CHECK(live[i].at[b] == (unsigned char)(uintptr_t)live[i].at / 16);
}

static void set_pattern(size_t i)
{
    memset(live[i].at, (unsigned char)(uintptr_t)live[i].at / 16, live[i].asked);
}

static size_t take_bytes(void)
{
    return fuzz_take(&input, 3) == 0 ? fuzz_take(&input, 70000)
                                     : fuzz_take(&input, (size_t)1 << fuzz_take(&input, 13));
}

static void do_alloc(void)
{
    size_t bytes = take_bytes(), align = (size_t)1 << fuzz_take(&input, 14);
    if (count == LIVE_MAX)
        return;
    struct lode_allocator a;
    lode_buddy_allocator(buddy, &a);
    size_t whole = whole_of(bytes > 0 ? bytes : 1, align);
    int expected = possible(whole) && (uintptr_t)(memory + origin * cell_bytes) % align == 0;
    if (fuzz_take(&input, 2) == 0)
        CHECK(lode_allocator_can_allocate(&a, bytes, align) == expected);
    unsigned char *p = lode_buddy_alloc(buddy, bytes, align);
    CHECK((p != NULL) == expected);
    if (p == NULL)
        return;
    CHECK((uintptr_t)p % align == 0 && lode_buddy_block_bytes(buddy, p) == whole);
    CHECK((size_t)(p - memory - origin * cell_bytes) % whole == 0);
    mark(p, whole, 1);
    live[count].at = p;
    live[count].asked = bytes;
    live[count].whole = whole;
    live[count].align = align;
    set_pattern(count++);
}

static void do_free(size_t i)
{
    check_pattern(i);
    CHECK(lode_buddy_free(buddy, live[i].at) == 0);
    CHECK(lode_buddy_free(buddy, live[i].at) == -EINVAL);
    mark(live[i].at, live[i].whole, 0);
    live[i] = live[--count];
}

static void do_extend(size_t i)
{
    size_t bytes = take_bytes(), whole = whole_of(bytes > 0 ? bytes : 1, 1);
    size_t from = (size_t)(live[i].at - memory) / cell_bytes, fits = 1;
    if ((size_t)(live[i].at - memory - origin * cell_bytes) % whole != 0)
        fits = 0;
    for (size_t c = from + live[i].whole / cell_bytes; c < from + whole / cell_bytes && fits; c++)
        fits = c < end && !used[c];
    int error = lode_buddy_extend(buddy, live[i].at, live[i].asked, bytes);
    CHECK(error == (fits ? 0 : -ENOMEM));
    if (error != 0)
        return;
    live[i].asked = bytes < live[i].asked ? bytes : live[i].asked;
    check_pattern(i);
    mark(live[i].at, live[i].whole, 0);
    mark(live[i].at, whole, 1);
    live[i].asked = bytes;
    live[i].whole = whole;
    set_pattern(i);
}

static void do_other(void)
{
    struct lode_allocator_stats s;
    size_t bytes = 0, largest = 0;
    unsigned char *p = memory + fuzz_take(&input, sizeof(memory));
    int starts = 0;
    for (size_t i = 0; i < count; i++) {
        bytes += live[i].whole;
        starts |= live[i].at == p;
    }
    CHECK(starts || lode_buddy_free(buddy, p) == -EINVAL);
    for (size_t whole = cell_bytes; whole <= (end - first) * cell_bytes; whole *= 2)
        if (possible(whole))
            largest = whole;
    lode_buddy_stats(buddy, &s);
    CHECK(s.used_bytes == bytes && s.blocks == count && s.largest_free_bytes == largest);
    CHECK(s.free_bytes == (end - first) * cell_bytes - bytes);
    if (fuzz_take(&input, 16) == 0) {
        lode_buddy_reset(buddy);
        memset(used, 0, sizeof(used));
        count = 0;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    input.at = data;
    input.end = data + bytes;
    count = 0;
    memset(used, 0, sizeof(used));
    struct lode_buddy_opts o = LODE_BUDDY_OPTS_INIT;
    size_t offset = fuzz_take(&input, CELLS_MAX * CELL),
           size = CELL + fuzz_take(&input, CELLS_MAX * CELL);
    o.min_bytes = cell_bytes = (size_t)CELL << fuzz_take(&input, 5);
    o.memory = memory + offset;
    o.bytes = size;
    first = (offset + cell_bytes - 1) / cell_bytes;
    end = (offset + size) / cell_bytes;
    size_t page = cell_bytes;
    while (end > first && page < 4096 && page * 2 <= (end - first) * cell_bytes)
        page *= 2;
    origin = first * cell_bytes / page * page / cell_bytes;
    int error = lode_buddy_create(&o, &buddy);
    CHECK(error == (size >= cell_bytes && end > first ? 0 : -EINVAL));
    if (error != 0)
        return 0;
    while (input.at < input.end) {
        size_t what = fuzz_take(&input, 16);
        if (what < 8)
            do_alloc();
        else if (what < 13 && count > 0)
            do_free(fuzz_take(&input, count));
        else if (what < 15 && count > 0)
            do_extend(fuzz_take(&input, count));
        else
            do_other();
    }
    while (count > 0)
        do_free(count - 1);
    do_other();
    lode_buddy_destroy(buddy);
    memset(memory, 0, sizeof(memory));
    return 0;
}
