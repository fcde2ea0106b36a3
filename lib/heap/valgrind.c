/* SPDX-License-Identifier: MIT */
/* The client requests; valgrind_none.c stands in where valgrind's headers are not installed. A
 * block is announced with the bytes asked for, and has the rest of its usable bytes from the moment
 * the program asks how many they are. */
#include "heap/valgrind.h"

#include <valgrind/memcheck.h>

#include "base/print.h"
#include "heap/span.h"
#include "heap/trace.h"
#include "lode/stats.h"

int lodei_on_valgrind;

static size_t usable(const void *block)
{
    struct lodei_span *span = lodei_span_of(lodei_slice_of(block));
    return span->theap != NULL ? span->block_bytes : span->large_bytes;
}

/* What was not asked for is hidden: pages new from the kernel are open, and how much of a block was
 * announced is read off it later. */
static void on_alloc(void *block, size_t bytes)
{
    size_t have = usable(block);
    VALGRIND_MALLOCLIKE_BLOCK(block, bytes, 0, 0);
    if (have > bytes)
        (void)VALGRIND_MAKE_MEM_NOACCESS((char *)block + bytes, have - bytes);
}

static void on_free(void *block)
{
    VALGRIND_FREELIKE_BLOCK(block, 0);
}

size_t lodei_valgrind_announced(const void *block)
{
    size_t bytes = usable(block);
    lodei_quiet();
    /* From the end: the program may have closed parts of its block to itself. */
    while (bytes > 0 && VALGRIND_CHECK_MEM_IS_ADDRESSABLE((const char *)block + bytes - 1, 1) != 0)
        bytes--;
    lodei_loud();
    return bytes;
}

static void on_resize(void *block, size_t bytes)
{
    VALGRIND_RESIZEINPLACE_BLOCK(block, lodei_valgrind_announced(block), bytes, 0);
}

void lodei_valgrind_usable_asked(void *block)
{
    on_resize(block, usable(block));
}

static void nothing(void)
{
}

static const struct lodei_tracer announcer = {
    .abi = LODEI_TRACER_ABI,
    .on_alloc = on_alloc,
    .on_free = on_free,
    .on_resize = on_resize,
    .fork_prepare = nothing,
    .fork_parent = nothing,
    .fork_child = nothing,
    .at_exit = nothing,
};

void lodei_valgrind_start(void)
{
    char any = 0, bits;
    /* Answered by memcheck alone: under callgrind the fast paths are what one wants to see. */
    if (VALGRIND_GET_VBITS(&any, &bits, 1) != 1)
        return;
    lodei_on_valgrind = 1;
    lodei_state.tracer = &announcer;
}

void lodei_valgrind_hide(void *start, size_t bytes)
{
    (void)VALGRIND_MAKE_MEM_NOACCESS(start, bytes);
}

void lodei_valgrind_kept(void *p, size_t bytes)
{
    (void)VALGRIND_MAKE_MEM_DEFINED(p, bytes);
}

void lodei_valgrind_silence(int on)
{
    if (on)
        VALGRIND_DISABLE_ERROR_REPORTING;
    else
        VALGRIND_ENABLE_ERROR_REPORTING;
}
