/* SPDX-License-Identifier: MIT */
/* heap/purge.c: who gives pages back, when, and how much at a time. */
#include <criterion/criterion.h>

#include <string.h>
#include <time.h>

#include "base/bits.h"
#include "base/conf.h"
#include "blockset.h"
#include "heap/alloc.h"
#include "heap/heaps.h"
#include "heap/purge.h"
#include "heap/slices.h"
#include "heaplook.h"
#include "os/elf.h"
#include "os/vm.h"

#define MIB ((size_t)1 << 20)

static struct blockset set;

static void start(void)
{
    blockset_init(&set, 81);
    cr_assert_not_null(lode_heap_default());
}

TestSuite(purge, .init = start);

static void sleep_ms(long ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

static size_t resident(void)
{
    size_t from = lodei_state.head_slices, end = lodei_state.segments_opened * LODEI_SEGMENT_SLICES;
    return lodei_vm_resident(lodei_slice_start(from), (end - from) * LODEI_SLICE_BYTES);
}

/* Dirty `bytes` of slices and give them up. */
static void make_dirt(size_t bytes)
{
    char *p = lode_malloc(bytes);
    memset(p, 1, bytes);
    lode_free(p);
}

/* What a thread's slow path does now and then. */
static void tick(void)
{
    struct lodei_theap *th = lodei_theap_get(lode_heap_default());
    th->tick_ms = 0;
    lodei_theap_tick(th);
}

Test(purge, inline_after_the_delay)
{
    lodei_conf.purge_delay_ms = 300;
    make_dirt(6 * MIB);
    tick();
    cr_assert_geq(resident(), 6 * MIB, "young dirt stays");
    sleep_ms(450);
    for (int i = 0; i < 100 && resident() > MIB; i++) {
        tick();
        sleep_ms(20); /* a step at most every 50 ms */
    }
    cr_assert_leq(resident(), MIB, "old dirt goes");
}

Test(purge, off)
{
    lodei_conf.purge = LODEI_PURGE_OFF;
    lodei_conf.purge_delay_ms = 0;
    make_dirt(4 * MIB);
    for (int i = 0; i < 5; i++) {
        sleep_ms(60);
        tick();
    }
    cr_assert_geq(resident(), 4 * MIB);
    cr_assert_geq(lode_purge(), 4 * MIB, "but when asked");
    cr_assert_leq(resident(), MIB);
}

/* A step stops when its time is up, whether it stands in slices or in spans. */
Test(purge, budget)
{
    int left = 0, steps = 0;
    lodei_conf.purge = LODEI_PURGE_OFF;
    char *p[32], *wall[32];
    for (int i = 0; i < 32; i++) { /* runs that cannot be given back together */
        p[i] = lode_malloc(MIB);
        memset(p[i], 1, MIB);
        wall[i] = lode_malloc(MIB / 2);
    }
    for (int i = 0; i < 32; i++)
        lode_free(p[i]);
    for (; steps == 0 || left; steps++) {
        lodei_purge_step(0, 1, &left);
        cr_assert_lt(steps, 1000);
    }
    cr_assert_gt(steps, 3, "a microsecond is not enough for all");
    for (int i = 0; i < 32; i++)
        lode_free(wall[i]);
}

/* Runs of all heaps, with parts of several threads, orphans included. */
static void leave_holes_job(void *arg)
{
    struct lode_heap *heap = arg;
    for (int i = 0; i < 4000; i++) {
        void *p = lode_heap_alloc(heap, 1024);
        memset(p, 1, 1024);
        blockset_add(&set, p, 1024)->usable = 1024;
    }
    for (size_t i = set.count; i-- > 0;)
        if (i % 16 != 0)
            lode_free(blockset_remove(&set, i));
}

Test(purge, reaches_every_heap_and_orphan)
{
    struct lode_heap *heaps[150];
    lodei_conf.purge = LODEI_PURGE_OFF;
    for (int i = 0; i < 150; i++) {
        cr_assert_eq(lode_heap_create(NULL, &heaps[i]), 0);
        lode_free(lode_heap_alloc(heaps[i], 1));
    }
    heaplook_on_thread(leave_holes_job, heaps[149]);
    heaplook_on_thread(leave_holes_job, lode_heap_default());
    size_t before = resident();
    lode_purge();
    cr_assert_leq(resident(), before / 3, "%zu of %zu left", resident(), before);
    cr_assert_eq(blockset_broken(&set), 0);
    cr_assert_eq(heaplook_unnamed_bytes(), 0);
    for (int i = 0; i < 150; i++)
        lode_heap_destroy(heaps[i]);
}

/* The caller's own lists are in reach in every heap it uses. */
Test(purge, flushes_the_callers_lists)
{
    struct lode_heap *heap;
    lodei_conf.purge = LODEI_PURGE_OFF;
    cr_assert_eq(lode_heap_create(NULL, &heap), 0);
    for (int i = 0; i < 300; i++)
        blockset_add(&set, lode_heap_alloc(heap, 200), 200);
    while (set.count > 0)
        lode_free(blockset_remove(&set, 0));
    lode_free(lode_malloc(200));
    lode_purge();
    cr_assert_eq(lodei_state.used_slices, 0, "nothing lives, nothing is kept");
    lode_heap_destroy(heap);
}

/* Lists that nobody touches go back to their spans, and so does their memory. */
Test(purge, idle_lists_are_returned)
{
    lodei_conf.purge_delay_ms = 0;
    for (int i = 0; i < 100; i++)
        blockset_add(&set, lode_malloc(512), 512);
    while (set.count > 0)
        lode_free(blockset_remove(&set, 0));
    for (int i = 0; i < 100 && lodei_state.used_slices > 0; i++) {
        sleep_ms(60);
        lodei_theap_tick(lodei_theap_get(lode_heap_default()));
    }
    cr_assert_eq(lodei_state.used_slices, 0);
}

static int starts;

static int pretend_start(void)
{
    starts++;
    return -11;
}

Test(purge, thread_is_wanted)
{
    lodei_purge_thread_start = pretend_start;
    lodei_purge_consider(NULL);
    cr_assert_eq(starts, 0, "never by default");
    lodei_conf.purge = LODEI_PURGE_AUTO;
    lodei_purge_consider(NULL);
    cr_assert_eq(starts, 0, "not without dirt");
    lodei_conf.purge = LODEI_PURGE_INLINE;
    make_dirt(16 * MIB);
    lodei_conf.purge = LODEI_PURGE_AUTO;
    lodei_purge_consider((const void *)(uintptr_t)lodei_elf_function("libc.so.", "malloc"));
    cr_assert_eq(starts, 0, "not from inside libc");
    lodei_purge_consider(NULL);
    cr_assert_eq(starts, 1);
    lodei_purge_consider(NULL);
    cr_assert_eq(starts, 1, "one that could not be started is not tried again");
    cr_assert_eq(lodei_purge_thread_state, LODEI_THREAD_NONE, "and purging goes on inline");
}

/* The real one: started by a slow path, it empties the process while all others sleep. */
Test(purge, thread_purges_while_others_sleep, .timeout = 30)
{
    lodei_conf.purge_delay_ms = 100;
    lodei_conf.purge = LODEI_PURGE_AUTO;
    make_dirt(32 * MIB);
    lode_free(lode_malloc(3000)); /* a slow path outside libc */
    for (int i = 0; i < 200 && resident() > MIB; i++)
        sleep_ms(50);
    cr_assert_leq(resident(), MIB);
    make_dirt(32 * MIB); /* it sleeps by now; this wakes it */
    tick();
    for (int i = 0; i < 200 && resident() > MIB; i++)
        sleep_ms(50);
    cr_assert_leq(resident(), MIB);
}
