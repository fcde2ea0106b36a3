/* SPDX-License-Identifier: MIT */
/*
 * What others find in the middle of a purge step, while slices are with the kernel: the figures
 * name every byte, and a child forked then has those slices for itself again.
 *
 * The heaps call syscall(2) through the linker's --wrap: the checks run inside its madvise().
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "heap/purge.h"
#include "heap/types.h"
#include "heaplook.h"

#define BLOCK_BYTES ((size_t)3 << 20)
#define CHECK(e)    ((e) ? (void)0 : failed(#e, __LINE__))

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);

static int armed, seen;
static size_t used_before;

static void failed(const char *what, int line)
{
    fprintf(stderr, "mid_purge.c:%d: %s does not hold\n", line, what);
    abort();
}

static void be_a_child(void)
{
    CHECK(heaplook_unnamed_bytes() == 0);
    CHECK(lodei_state.purging_slices == 0);
    CHECK(lodei_state.used_slices == used_before);
    size_t committed = lodei_state.committed_slices;
    void *p = lode_malloc(BLOCK_BYTES);
    CHECK(p != NULL);
    memset(p, 1, BLOCK_BYTES);
    CHECK(lodei_state.committed_slices == committed);
    CHECK(heaplook_unnamed_bytes() == 0);
    _exit(0);
}

static void look(void)
{
    int status;

    seen++;
    CHECK(lodei_state.purging_slices > 0);
    CHECK(heaplook_unnamed_bytes() == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0)
        be_a_child();
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    CHECK(heaplook_unnamed_bytes() == 0);
}

long __wrap_syscall(long number, ...)
{
    long a[6];
    va_list list;
    va_start(list, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(list, long);
    va_end(list);
    if (number == SYS_madvise && a[2] == MADV_DONTNEED && armed) {
        armed = 0;
        look();
    }
    return __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

int main(void)
{
    int left;
    char *p = lode_malloc(BLOCK_BYTES);

    CHECK(p != NULL);
    memset(p, 1, BLOCK_BYTES);
    used_before = lodei_state.used_slices - BLOCK_BYTES / LODEI_SLICE_BYTES;
    lode_free(p);
    CHECK(lodei_state.used_slices == used_before);
    armed = 1;
    lodei_purge_step(0, 1000000, &left);
    CHECK(seen == 1);
    CHECK(lodei_state.used_slices == used_before);
    CHECK(heaplook_unnamed_bytes() == 0);
    return 0;
}
