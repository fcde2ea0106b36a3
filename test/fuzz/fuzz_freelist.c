/* SPDX-License-Identifier: MIT */
/*
 * The free list allocator, with each fit, against a list of live blocks by address: a request must
 * succeed if a gap holds it and fail otherwise; the first fit must take the lowest gap that does,
 * the best fit a smallest one. Blocks hold their pattern; frees of anything else are refused.
 */
#include "fuzz_input.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lode/freelist.h"

#define UNIT     16
#define UNITS    2048
#define LIVE_MAX 300

#define CHECK(e) ((e) ? (void)0 : failed(#e, __LINE__))

static struct fuzz_input input;

static _Alignas(4096) unsigned char memory[(UNITS + 2) * UNIT];
static size_t origin, total; /* of `memory`; units behind it */
static struct {
    size_t at, units, asked; /* by rising `at`, in units from the origin */
} live[LIVE_MAX];
static size_t count;
static enum lode_fit fit;
static struct lode_freelist *list;

static void failed(const char *what, int line)
{
    fprintf(stderr, "fuzz_freelist.c:%d: %s does not hold\n", line, what);
    abort();
}

static size_t units_for(size_t bytes)
{
    return ((bytes > 0 ? bytes : 1) + 8 + UNIT - 1) / UNIT;
}

static size_t gap_start(size_t i)
{
    return i > 0 ? live[i - 1].at + live[i - 1].units : 0;
}

static size_t gap_end(size_t i)
{
    return i < count ? live[i].at : total;
}

/* Where an aligned block would start in a gap; SIZE_MAX: it does not fit. */
static size_t place(size_t i, size_t units, size_t align)
{
    size_t at = gap_start(i);
    while (at < gap_end(i) && (uintptr_t)(memory + origin + at * UNIT) % align != 0)
        at++;
    return at + units <= gap_end(i) ? at : SIZE_MAX;
}

static unsigned char *block_of(size_t i)
{
    return memory + origin + live[i].at * UNIT;
}

static void set_pattern(size_t i)
{
    memset(block_of(i), (int)(live[i].at * 7), live[i].asked);
}

static void check_pattern(size_t i, size_t bytes)
{
    for (size_t b = 0; b < bytes; b++)
        CHECK(block_of(i)[b] == (unsigned char)(live[i].at * 7));
}

static size_t take_bytes(void)
{
    return fuzz_take(&input, 3) == 0 ? fuzz_take(&input, UNITS * UNIT)
                                     : fuzz_take(&input, (size_t)1 << fuzz_take(&input, 11));
}

/* Is the gap that was chosen the one its fit should choose? */
static void check_choice(size_t gap, size_t units, size_t align)
{
    for (size_t i = 0; i <= count; i++) {
        if (place(i, units, align) == SIZE_MAX)
            continue;
        if (fit == LODE_FIT_FIRST)
            CHECK(i >= gap);
        if (fit == LODE_FIT_BEST && align <= UNIT)
            CHECK(gap_end(i) - gap_start(i) >= gap_end(gap) - gap_start(gap));
    }
}

static void do_alloc(void)
{
    struct lode_allocator a;
    size_t bytes = take_bytes(), align = (size_t)1 << fuzz_take(&input, 11),
           units = units_for(bytes);
    int expected = 0;
    if (count == LIVE_MAX)
        return;
    for (size_t i = 0; i <= count; i++)
        expected |= place(i, units, align) != SIZE_MAX;
    lode_freelist_allocator(list, &a);
    CHECK(lode_allocator_can_allocate(&a, bytes, align) == expected);
    unsigned char *p = lode_freelist_alloc(list, bytes, align);
    CHECK((p != NULL) == expected);
    if (p == NULL)
        return;
    size_t at = (size_t)(p - memory - origin) / UNIT, gap = 0;
    while (gap_end(gap) <= at)
        gap++;
    CHECK(p == memory + origin + at * UNIT && at == place(gap, units, align));
    check_choice(gap, units, align);
    for (size_t k = count++; k > gap; k--)
        live[k] = live[k - 1];
    live[gap].at = at;
    live[gap].units = units;
    live[gap].asked = bytes;
    CHECK(lode_freelist_block_bytes(list, p) == units * UNIT - 8);
    set_pattern(gap);
}

static void do_free(size_t i)
{
    check_pattern(i, live[i].asked);
    CHECK(lode_freelist_free(list, block_of(i)) == 0);
    CHECK(lode_freelist_free(list, block_of(i)) == -EINVAL);
    for (count--; i < count; i++)
        live[i] = live[i + 1];
}

static void do_extend(size_t i)
{
    size_t bytes = take_bytes(), units = units_for(bytes);
    int error = lode_freelist_extend(list, block_of(i), live[i].asked, bytes);
    CHECK(error == (live[i].at + units <= gap_end(i + 1) ? 0 : -ENOMEM));
    if (error != 0)
        return;
    check_pattern(i, bytes < live[i].asked ? bytes : live[i].asked);
    live[i].units = units;
    live[i].asked = bytes;
    set_pattern(i);
}

static void do_other(void)
{
    struct lode_allocator_stats s;
    size_t used = 0, largest = 0, gaps = 0, starts = 0;
    unsigned char *p = memory + fuzz_take(&input, sizeof(memory));
    for (size_t i = 0; i <= count; i++) {
        size_t gap = gap_end(i) - gap_start(i);
        largest = gap > largest ? gap : largest;
        gaps += gap > 0;
        used += i < count ? live[i].units * UNIT - 8 : 0;
        starts |= i < count && block_of(i) == p;
    }
    CHECK(starts || lode_freelist_free(list, p) == -EINVAL);
    lode_freelist_stats(list, &s);
    CHECK(s.used_bytes == used && s.blocks == count && s.allocs - s.frees == count);
    CHECK(s.free_bytes == total * UNIT - used - 8 * (gaps + count));
    CHECK(s.largest_free_bytes == (largest > 0 ? largest * UNIT - 8 : 0));
    if (fuzz_take(&input, 16) == 0) {
        lode_freelist_reset(list);
        count = 0;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    input.at = data;
    input.end = data + bytes;
    count = 0;
    struct lode_freelist_opts o = LODE_FREELIST_OPTS_INIT;
    size_t offset = fuzz_take(&input, UNIT), size = 64 + fuzz_take(&input, UNITS * UNIT - 64);
    o.fit = (uint16_t)fuzz_take(&input, 3);
    o.memory = memory + offset;
    o.bytes = size;
    fit = (enum lode_fit)o.fit;
    origin = (offset + 8 + UNIT - 1) / UNIT * UNIT;
    total = (offset + size - origin) / UNIT;
    CHECK(lode_freelist_create(&o, &list) == 0);
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
        do_free(count / 2);
    do_other();
    lode_freelist_destroy(list);
    memset(memory, 0, sizeof(memory));
    return 0;
}
