/* SPDX-License-Identifier: MIT */
/*
 * What others find in the middle of a purge step, while slices are with the kernel: the figures
 * name every byte, and a child forked then has those slices for itself again, unless it is the
 * purging thread's own.
 *
 * The heaps call syscall(2) through the linker's --wrap: the checks run inside its madvise().
 */
#include <pthread.h>
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
#include "wrapped_syscall.h"

#define BLOCK_BYTES ((size_t)3 << 20)
#define CHECK(e)    ((e) ? (void)0 : failed(#e, __LINE__))

static int armed, seen;
static size_t used_before;
static pid_t own_child;
static char *live;

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

static void wait_for(pid_t child)
{
    int status;

    CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
}

static void *fork_elsewhere(void *arg)
{
    pid_t child = fork();

    if (child == 0)
        be_a_child();
    wait_for(child);
    return arg;
}

static void look(void)
{
    pthread_t thread;

    seen++;
    CHECK(lodei_state.purging_slices > 0);
    CHECK(heaplook_unnamed_bytes() == 0);
    CHECK(pthread_create(&thread, NULL, fork_elsewhere, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(heaplook_unnamed_bytes() == 0);
    /* As from a signal handler: the child is to go on with what its parent was at. */
    own_child = fork();
    CHECK(own_child >= 0);
    if (own_child == 0) {
        live = lode_malloc(BLOCK_BYTES);
        CHECK(live != NULL);
        memset(live, 2, BLOCK_BYTES);
    }
}

static long before_syscall(long number, const long *arguments)
{
    if (number == SYS_madvise && arguments[2] == MADV_DONTNEED && armed) {
        armed = 0;
        look();
    }
    return 0;
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
    CHECK(heaplook_unnamed_bytes() == 0);
    if (own_child == 0) {
        for (size_t i = 0; i < BLOCK_BYTES; i++)
            CHECK(live[i] == 2);
        lode_free(live);
    }
    CHECK(lodei_state.used_slices == used_before);
    CHECK(lodei_state.purging_slices == 0);
    if (own_child > 0)
        wait_for(own_child);
    return 0;
}
