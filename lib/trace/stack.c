/* SPDX-License-Identifier: MIT */
/*
 * Stack capture with libunwind: the only file that includes it.
 *
 * libunwind 1.6.2 walks with a cache of its own per thread (return address -> how to find the next
 * frame), filled from the unwind tables; code without tables is walked by frame pointers, each
 * address checked first. Three properties of it shape this file and its callers:
 *
 *  - It checks addresses by writing them into a pipe whose two descriptors it never moves. Were
 * they low numbers, a program that closes all descriptors and opens its own would have bytes read
 * and written behind its back, so the first capture is made with the low numbers occupied.
 *  - The per-thread caches (256 KiB a thread) cannot be flushed. modules.c knows which addresses
 * have held two libraries, and stacks through those are walked again without the cache. What
 * remains: the first walk through such a frame trusts the cache, unchecked, and a frame pointer
 * that the old code kept and the new one uses for something else would be followed.
 *  - libunwind exports `backtrace` and `_Unwind_*`. This library is loaded RTLD_LOCAL, so the
 * program keeps glibc's and libgcc's.
 *
 * No lock of ours is held here. Must not be entered twice by one thread.
 */
#include <fcntl.h>
#include <unistd.h>

#define UNW_LOCAL_ONLY
#include <libunwind.h>

#include "trace/modules.h"
#include "trace/stack.h"

/* Frames of our own libraries between the unwinder and the caller of malloc; 4 to 6 are seen. */
#define OWN_FRAMES_MAX 10

/* Above what a program that starts over with closed descriptors opens, below the usual soft limit
 * of 1024, which is also what select() can name. */
#define PIPE_FD_MIN 1000

static unsigned frames_max;

/* Drop the leading frames of ours, and what lies beyond frames_max. */
static unsigned trim(const uintptr_t *raw, unsigned count, uintptr_t *ret_frames)
{
    unsigned first = 0;
    unsigned kept = 0;

    while (first < count && lodei_modules_is_ours(raw[first] - 1))
        first++;
    while (first + kept < count && kept < frames_max) {
        /* A thread's outermost frame is reported with a return address of 0. */
        if (raw[first + kept] == 0)
            break;
        ret_frames[kept] = raw[first + kept];
        kept++;
    }
    return kept;
}

unsigned lodei_stack_capture(uintptr_t *ret_frames)
{
    uintptr_t raw[LODEI_STACK_FRAMES_MAX + OWN_FRAMES_MAX];
    int count = unw_backtrace((void **)raw, (int)(frames_max + OWN_FRAMES_MAX));

    return count > 0 ? trim(raw, (unsigned)count, ret_frames) : 0;
}

unsigned lodei_stack_capture_uncached(uintptr_t *ret_frames)
{
    uintptr_t raw[LODEI_STACK_FRAMES_MAX + OWN_FRAMES_MAX];
    unsigned count = 0;
    unw_context_t context;
    unw_cursor_t cursor;
    unw_word_t address;

    if (unw_getcontext(&context) != 0 || unw_init_local(&cursor, &context) != 0)
        return 0;
    while (count < frames_max + OWN_FRAMES_MAX && unw_step(&cursor) > 0 &&
           unw_get_reg(&cursor, UNW_REG_IP, &address) == 0)
        raw[count++] = address;
    return trim(raw, count, ret_frames);
}

void lodei_stack_flush(void)
{
    unw_flush_cache(unw_local_addr_space, 0, 0);
}

/* Occupy every free descriptor below PIPE_FD_MIN, or all but the two highest that the limit allows.
 * `held` is a bit per descriptor. */
static void fds_hold(uint64_t *held)
{
    int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int newest[2] = {-1, -1};
    int fd = null_fd;

    while (fd >= 0 && fd < PIPE_FD_MIN) {
        held[fd / 64] |= (uint64_t)1 << (fd % 64);
        newest[0] = newest[1];
        newest[1] = fd;
        fd = fcntl(null_fd, F_DUPFD_CLOEXEC, fd + 1);
    }
    if (fd >= 0) {
        close(fd);
        return;
    }
    for (int i = 0; i < 2; i++) {
        if (newest[i] >= 0) {
            close(newest[i]);
            held[newest[i] / 64] &= ~((uint64_t)1 << (newest[i] % 64));
        }
    }
}

void lodei_stack_init(unsigned frames)
{
    uintptr_t scratch[LODEI_STACK_FRAMES_MAX];
    uint64_t held[PIPE_FD_MIN / 64 + 1] = {0};

    frames_max = frames;
    fds_hold(held);
    lodei_stack_capture(scratch);
    lodei_stack_capture_uncached(scratch);
    for (int fd = 0; fd < PIPE_FD_MIN; fd++)
        if (held[fd / 64] >> (fd % 64) & 1)
            close(fd);
}
