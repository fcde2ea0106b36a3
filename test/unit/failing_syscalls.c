/* SPDX-License-Identifier: MIT */
/*
 * Every system call that the heaps make for memory fails, one run per call: the nth alone, and all
 * from the nth on. The program must see NULL with ENOMEM and nothing else: no crash, no lost
 * contents, no zeroed block that is not zero, and once the system has memory again everything works
 * and every mapped byte has its name.
 *
 * The heaps call syscall(2) through the linker's --wrap. A failing mremap behaves as Linux before
 * 6.17 may, the target is unmapped by then; or, with FAIL_KEEP=1, as it does now.
 *
 *     failing-syscalls               all runs, each in a process of its own
 *     FAIL_AT=N FAIL_ON=0|1 FAIL_KEEP=0|1 failing-syscalls run     one of them
 */
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/conf.h"
#include "blockset.h"
#include "heap/heaps.h"
#include "heaplook.h"
#include "wrapped_syscall.h"

#define RUNS_MAX 400
#define CHECK(e) ((e) ? (void)0 : failed(#e, __LINE__))

static long calls, fail_at = -1, fail_on = -1, fail_keep, disarmed;
static struct blockset set;

static void failed(const char *what, int line)
{
    fprintf(stderr, "failing_syscalls.c:%d: %s does not hold (FAIL_AT=%ld FAIL_ON=%ld)\n", line,
            what, fail_at, fail_on);
    abort();
}

static int is_for_memory(long number)
{
    return number == SYS_mmap || number == SYS_mprotect || number == SYS_mremap ||
           number == SYS_madvise;
}

/* The first call comes before main(). */
static int must_fail(void)
{
    if (fail_on < 0) {
        const char *at = getenv("FAIL_AT"), *on = getenv("FAIL_ON"), *keep = getenv("FAIL_KEEP");
        fail_keep = keep != NULL ? atol(keep) : 0;
        fail_at = at != NULL ? atol(at) : 0;
        fail_on = on != NULL ? atol(on) : 0;
    }
    calls++;
    return fail_at > 0 && !disarmed && (fail_on ? calls >= fail_at : calls == fail_at);
}

static long before_syscall(long number, const long *arguments)
{
    if (!is_for_memory(number) || !must_fail())
        return 0;
    if (number == SYS_mremap && !fail_keep)
        munmap((void *)arguments[4], (size_t)arguments[1]);
    errno = ENOMEM;
    return -1;
}

static void enter(void *p, size_t bytes)
{
    if (p == NULL) {
        CHECK(errno == ENOMEM);
        return;
    }
    CHECK(!blockset_overlaps(&set, p, lode_usable_size(p)));
    blockset_add(&set, p, bytes)->usable = lode_usable_size(p);
}

static void resize(size_t i, size_t bytes)
{
    errno = 0;
    void *p = lode_realloc(set.all[i].at, bytes);
    if (p == NULL) {
        CHECK(errno == ENOMEM);
        CHECK(blockset_intact(&set, i));
        return;
    }
    CHECK(blockset_stands_at(&set, i, p, bytes));
    blockset_remove(&set, i);
    blockset_add(&set, p, bytes)->usable = lode_usable_size(p);
}

static void free_some(size_t keep)
{
    while (set.count > keep) {
        size_t i = blockset_below(&set, set.count);
        CHECK(blockset_intact(&set, i));
        lode_free(blockset_remove(&set, i));
    }
}

/* Blocks that grow in turns stand in each other's way: their pages move again and again. */
static void grow_in_turns(void)
{
    size_t first = set.count;
    for (int i = 0; i < 3; i++) {
        errno = 0;
        enter(lode_malloc(2200000), 2200000);
    }
    for (int step = 0; step < 9; step++)
        if (set.count > first)
            resize(first, set.all[first].bytes + 700000 + (size_t)step % 2 * 70000);
}

/* Small, medium and large; everything that maps, moves, or gives back. */
static void load(void)
{
    struct lode_heap *heap = NULL;
    for (int round = 0; round < 2; round++) {
        for (size_t bytes = 16; bytes < 8 << 20; bytes = bytes * 7 / 2) {
            errno = 0;
            enter(lode_malloc(bytes), bytes);
            errno = 0;
            char *p = lode_calloc(1, bytes);
            CHECK(p == NULL || blockset_is_zero(p, bytes));
            enter(p, bytes);
        }
        errno = 0;
        enter(lode_aligned_alloc(1 << 20, 100), 100);
        grow_in_turns();
        for (size_t n = set.count; n-- > 0;)
            resize(n, set.all[n].bytes + set.all[n].bytes / 4 + 9);
        for (size_t n = set.count; n-- > 0;)
            resize(n, set.all[n].bytes / 3);
        int r = lode_heap_create(NULL, &heap);
        CHECK(r == 0 || r == -ENOMEM);
        if (r == 0) {
            void *p = lode_heap_calloc(heap, 7, 100000);
            CHECK(p == NULL || blockset_is_zero(p, 700000));
            lode_heap_destroy(heap);
        }
        r = lode_tag_push((uint16_t)(round + 1));
        CHECK(r == 0 || r == -ENOMEM);
        if (r == 0) {
            errno = 0;
            enter(lode_malloc(3000), 3000);
            lode_tag_pop();
        }
        CHECK(blockset_broken(&set) == 0);
        free_some(set.count / 2);
        lode_purge();
        CHECK(blockset_broken(&set) == 0);
    }
}

static int run(void)
{
    blockset_init(&set, 7);
    lodei_conf.purge_delay_ms = 0;
    load();
    disarmed = 1;
    CHECK(heaplook_unnamed_bytes() == 0);
    size_t before = set.count;
    load();
    CHECK(set.count >= before / 2);
    CHECK(lode_malloc(8 << 20) != NULL);
    CHECK(heaplook_unnamed_bytes() == 0);
    free_some(0);
    CHECK(heaplook_stats(NULL).live_blocks == 1);
    return calls < fail_at ? 77 : 0; /* the load does not make so many */
}

static int spawn_run(char *self, long at, int on, int keep)
{
    char at_text[32], on_text[32], keep_text[32], word[] = "run";
    char *argv[] = {self, word, NULL}, *envp[] = {at_text, on_text, keep_text, NULL};
    pid_t pid;
    int status;
    snprintf(at_text, sizeof(at_text), "FAIL_AT=%ld", at);
    snprintf(on_text, sizeof(on_text), "FAIL_ON=%d", on);
    snprintf(keep_text, sizeof(keep_text), "FAIL_KEEP=%d", keep);
    if (posix_spawn(&pid, "/proc/self/exe", NULL, NULL, argv, envp) != 0 ||
        waitpid(pid, &status, 0) != pid)
        return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(int argc, char **argv)
{
    int bad = 0;
    long runs = 0;
    if (argc > 1)
        return run();
    for (int way = 0; way < 4; way++) {
        int on = way % 2, keep = way / 2;
        for (long at = 1; at < RUNS_MAX; at++) {
            int r = spawn_run(argv[0], at, on, keep);
            if (r == 77)
                break;
            runs++;
            if (r != 0)
                printf("FAIL_AT=%ld FAIL_ON=%d FAIL_KEEP=%d: status %d\n", at, on, keep, r);
            bad += r != 0;
        }
    }
    printf("%ld runs, %d failed\n", runs, bad);
    return bad != 0 || runs < 50;
}
