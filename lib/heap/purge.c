/* SPDX-License-Identifier: MIT */
/*
 * Owns the decision when to give pages back. What has been unused for purge_delay_ms goes, in steps
 * of purge_budget_us: free slices first, then pages inside spans that hold no live block.
 *
 *   inline  a thread on its slow path does a step, one thread at a time, at most every STEP_MS
 *   thread  a thread of ours does; started with the process, later as with auto
 *   auto    as inline until THREAD_DIRTY_SLICES are dirty, then a thread is started
 *   off     only lode_purge() and malloc_trim() do
 *
 * The purge thread polls while anything is due and sleeps on a futex otherwise; a slow path that
 * finds it asleep wakes it. When nothing is due for LINGER_MS, or what is due is locked in memory,
 * it ends, so that a process whose own threads have all ended ends too, and is started again once
 * RESTART_SLICES are due. No lock is
 * held during madvise(). Theap storage is type-stable, so a step works on a snapshot of theaps: one
 * destroyed meanwhile has empty lists.
 */
#include "heap/purge.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/conf.h"
#include "heap/alloc.h"
#include "heap/heaps.h"
#include "heap/process.h"
#include "heap/slices.h"
#include "heap/span.h"
#include "heap/valgrind.h"
#include "os/vm.h"

#define STEP_MS             50
#define THREAD_DIRTY_SLICES 128 /* 8 MiB, or as many spans with blocks returned */
#define RESTART_SLICES      16
#define LINGER_MS           1000
/* The thread's steps may be longer: it holds nobody up. */
#define THREAD_BUDGET_US 5000
#define IDLE_WAIT_MS     8
#define SNAPSHOT         128
/* Orphans whose lists go back to their spans in one snapshot, under the locks: some 200 us. */
#define FLUSHES_MAX 8

static _Atomic uint64_t next_step_ms;
/* Where the last step ran out of time, in theaps: the next goes on there. */
static _Atomic size_t next_theap;
_Atomic uint32_t lodei_purge_thread_state;
static _Atomic int started_once;
/* Whoever sums figures sees by these whether a step moved something meanwhile. */
static _Atomic uint32_t steps_begun, steps_ended;

int (*lodei_purge_thread_start)(void);

/* Up to SNAPSHOT theaps from the *skip-th on; *skip moves behind them. Returns how many. *ret_left
 * is set when an orphan's lists had to be left. */
static size_t snapshot(struct lodei_theap **theaps, size_t *skip, size_t flushes_max, int *ret_left)
{
    struct lodei_state *s = &lodei_state;
    size_t n = 0, seen = 0, flushes = 0;
    lodei_lock_take(&s->registry_lock);
    for (struct lodei_list *h = s->heaps.next; h != &s->heaps && n < SNAPSHOT; h = h->next) {
        struct lode_heap *heap = lode_container_of(h, struct lode_heap, registry_link);
        lodei_lock_take(&heap->lock);
        struct lodei_list *l = heap->theaps.next;
        for (; l != &heap->theaps && n < SNAPSHOT; l = l->next) {
            struct lodei_theap *th = lode_container_of(l, struct lodei_theap, heap_link);
            if (seen++ < *skip || th->abandoned)
                continue;
            theaps[n++] = th;
            /* An orphan's lists belong to whoever holds the heap's lock. */
            if (!lodei_list_linked(&th->orphan_link) || th->lost || th->flushed)
                continue;
            if (flushes++ >= flushes_max) {
                *ret_left = 1;
                continue;
            }
            lodei_theap_flush(th);
            th->flushed = 1;
        }
        lodei_lock_drop(&heap->lock);
    }
    lodei_lock_drop(&s->registry_lock);
    *skip = seen;
    return n;
}

static size_t purge_step(uint64_t age_ms, uint64_t budget_us, int *ret_left)
{
    uint64_t start_us = lodei_clock_us(), spent_us = 0;
    size_t done = lodei_slices_purge(age_ms, budget_us, ret_left), n;
    /* Whoever asks for everything gets it in one go. */
    size_t flushes_max = age_ms == 0 ? SIZE_MAX : FLUSHES_MAX;
    size_t first = age_ms == 0 ? 0 : atomic_load_explicit(&next_theap, memory_order_relaxed);
    size_t skip = first;
    struct lodei_theap *theaps[SNAPSHOT];
    /* relaxed: where a step begins is a matter of fairness only */
    atomic_store_explicit(&next_theap, 0, memory_order_relaxed);
    *ret_left |= first > 0;
    do {
        n = snapshot(theaps, &skip, flushes_max, ret_left);
        for (size_t i = 0; i < n; i++) {
            int left = 0;
            spent_us = lodei_clock_us() - start_us;
            if (spent_us >= budget_us) {
                atomic_store_explicit(&next_theap, skip - n + i, memory_order_relaxed);
                *ret_left = 1;
                return done;
            }
            lodei_lock_take(&theaps[i]->lock);
            lodei_theap_drain_locked(theaps[i]);
            lodei_lock_drop(&theaps[i]->lock);
            done += lodei_theap_purge(theaps[i], age_ms, budget_us - spent_us, &left);
            *ret_left |= left;
        }
    } while (n == SNAPSHOT);
    return done;
}

size_t lodei_purge_step(uint64_t age_ms, uint64_t budget_us, int *ret_left)
{
    lodei_quiet();
    /* relaxed: what the step does under a lock carries it to who takes that lock after it */
    atomic_fetch_add_explicit(&steps_begun, 1, memory_order_relaxed);
    size_t done = purge_step(age_ms, budget_us, ret_left);
    /* release: pairs with the acquire in lodei_purge_await_idle() */
    atomic_fetch_add_explicit(&steps_ended, 1, memory_order_release);
    lodei_loud();
    return done;
}

static void sleep_ms(uint64_t ms)
{
    struct timespec t = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
    syscall(SYS_nanosleep, &t, NULL);
}

uint32_t lodei_purge_await_idle(void)
{
    uint32_t begun, ended;
    for (int waited_ms = 0;; waited_ms++) {
        /* acquire: pairs with the release at a step's end. Ended first: equal, none ran then. */
        ended = atomic_load_explicit(&steps_ended, memory_order_acquire);
        begun = atomic_load_explicit(&steps_begun, memory_order_relaxed);
        /* A child forked in the middle of its thread's own step counts one end too many. */
        int idle = (int32_t)(begun - ended) <= 0;
        if (idle || waited_ms == IDLE_WAIT_MS)
            return idle ? begun : begun - 1;
        sleep_ms(1);
    }
}

int lodei_purge_stepped_since(uint32_t mark)
{
    return atomic_load_explicit(&steps_begun, memory_order_relaxed) != mark;
}

size_t lode_purge(void)
{
    int left;
    if (lodei_state.default_heap == NULL)
        return 0;
    lodei_thread_flush();
    /* Spans first: emptied ones add to the slices. */
    size_t done = lodei_purge_step(0, UINT64_MAX / 2, &left);
    return done + lodei_slices_purge(0, UINT64_MAX / 2, &left);
}

int lodei_emergency(void)
{
    int left;
    lodei_thread_flush();
    lodei_purge_step(0, UINT64_MAX / 2, &left);
    return 1;
}

/* Lists nobody used since the last look go back to their spans. */
static void flush_idle(struct lodei_theap *th)
{
    struct lodei_block *nil = lodei_state.nil;
    for (unsigned c = 0; c < LODEI_CLASS_COUNT; c++) {
        struct lodei_bin *bin = &th->bins[c];
        if (bin->head == nil && bin->spare == NULL)
            continue;
        if (bin->head == bin->seen_head && bin->room == bin->seen_room) {
            struct lodei_block *head = bin->head, *spare = bin->spare;
            bin->head = nil;
            bin->room = bin->capacity;
            bin->spare = NULL;
            bin->spare_count = 0;
            if (spare != NULL)
                lodei_theap_return(th, spare);
            lodei_theap_return(th, head);
        }
        bin->seen_head = bin->head;
        bin->seen_room = bin->room;
    }
}

void lodei_purge_wake_slow(void)
{
    uint32_t sleeps = LODEI_THREAD_SLEEPS;
    /* acq_rel: pairs with the exchange in sleep_until_woken() */
    if (atomic_compare_exchange_strong_explicit(&lodei_purge_thread_state, &sleeps,
                                                LODEI_THREAD_RUNS, memory_order_acq_rel,
                                                memory_order_relaxed)) {
        int saved = errno;
        syscall(SYS_futex, &lodei_purge_thread_state, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
        errno = saved;
    }
}

void lodei_theap_tick_slow(struct lodei_theap *th)
{
    th->tick_skip = LODEI_TICK_SKIP;
    uint64_t now = lodei_clock_ms();
    if (lode_likely(now - th->tick_ms < STEP_MS))
        return;
    int idle_due = now / 512 != th->tick_ms / 512;
    th->tick_ms = now;
    lodei_theap_deliver_all(th);
    if (idle_due)
        flush_idle(th);
    if (lodei_conf.purge == LODEI_PURGE_OFF)
        return;
    uint32_t state = atomic_load_explicit(&lodei_purge_thread_state, memory_order_relaxed);
    if (state != LODEI_THREAD_NONE)
        return;
    uint64_t due = atomic_load_explicit(&next_step_ms, memory_order_relaxed);
    /* relaxed: only decides which thread does the step */
    if (now < due ||
        !atomic_compare_exchange_strong_explicit(&next_step_ms, &due, now + STEP_MS,
                                                 memory_order_relaxed, memory_order_relaxed))
        return;
    int left;
    lodei_purge_step(lodei_conf.purge_delay_ms, lodei_conf.purge_budget_us, &left);
}

/* ---- the purge thread ---- */

void lodei_purge_consider(const void *caller)
{
    if (lode_likely(lodei_conf.purge != LODEI_PURGE_AUTO &&
                    lodei_conf.purge != LODEI_PURGE_THREAD) ||
        atomic_load_explicit(&lodei_purge_thread_state, memory_order_relaxed) != LODEI_THREAD_NONE)
        return;
    size_t due = lodei_slices_dirty() +
                 atomic_load_explicit(&lodei_state.queued_spans, memory_order_relaxed);
    /* relaxed: a hint */
    size_t enough = atomic_load_explicit(&started_once, memory_order_relaxed) ? RESTART_SLICES
                                                                              : THREAD_DIRTY_SLICES;
    if (due >= enough && !lodei_process_in_libc(caller))
        lodei_purge_thread_launch();
}

void lodei_purge_thread_launch(void)
{
    uint32_t state = LODEI_THREAD_NONE;
    int (*start)(void) = lodei_purge_thread_start;
    if (start == NULL || !atomic_compare_exchange_strong_explicit(
                             &lodei_purge_thread_state, &state, LODEI_THREAD_STARTING,
                             memory_order_acq_rel, memory_order_relaxed))
        return;
    if (start() == 0) {
        atomic_store_explicit(&started_once, 1, memory_order_relaxed);
        return;
    }
    lodei_purge_thread_start = NULL; /* do it inline; try no more */
    atomic_store_explicit(&lodei_purge_thread_state, LODEI_THREAD_NONE, memory_order_release);
}

static uint32_t purge_failures(void)
{
    return atomic_load_explicit(&lodei_state.purge_failures, memory_order_relaxed);
}

static int nothing_left(void)
{
    return lodei_slices_dirty() == 0 &&
           atomic_load_explicit(&lodei_state.queued_spans, memory_order_relaxed) == 0;
}

/* 0 when nobody came for LINGER_MS: the thread is to end, and counts as ended already. `stuck`:
 * what is left cannot be given back. */
static int sleep_until_woken(int stuck)
{
    struct timespec linger = {.tv_sec = LINGER_MS / 1000, .tv_nsec = LINGER_MS % 1000 * 1000000};
    /* seq_cst: the state is set before it is looked once more whether anything is left; whoever
     * frees first makes it left and then looks at the state */
    atomic_store_explicit(&lodei_purge_thread_state, LODEI_THREAD_SLEEPS, memory_order_seq_cst);
    if (!stuck && !nothing_left())
        lodei_purge_wake_slow();
    while (atomic_load_explicit(&lodei_purge_thread_state, memory_order_acquire) ==
           LODEI_THREAD_SLEEPS) {
        long r = syscall(SYS_futex, &lodei_purge_thread_state, FUTEX_WAIT_PRIVATE,
                         LODEI_THREAD_SLEEPS, &linger, NULL, 0);
        uint32_t sleeps = LODEI_THREAD_SLEEPS;
        /* acq_rel: either this or the exchange of lodei_purge_wake_slow() comes first */
        if (r != 0 && errno == ETIMEDOUT &&
            atomic_compare_exchange_strong_explicit(&lodei_purge_thread_state, &sleeps,
                                                    LODEI_THREAD_NONE, memory_order_acq_rel,
                                                    memory_order_relaxed))
            return 0;
    }
    return 1;
}

/* The thread was stuck and has ended its service: something younger may have been waiting, and a
 * wake-up have been missed. 1: so it was, and the thread serves again. */
static int goes_on_after_all(void)
{
    int left;
    uint32_t none = LODEI_THREAD_NONE;
    return lodei_purge_step(0, UINT64_MAX / 2, &left) > 0 &&
           atomic_compare_exchange_strong_explicit(&lodei_purge_thread_state, &none,
                                                   LODEI_THREAD_RUNS, memory_order_acq_rel,
                                                   memory_order_relaxed);
}

void lodei_purge_thread_main(void)
{
    atomic_store_explicit(&lodei_purge_thread_state, LODEI_THREAD_RUNS, memory_order_release);
    for (;;) {
        int left = 0;
        uint32_t failures = purge_failures();
        sleep_ms(STEP_MS);
        size_t done = lodei_purge_step(lodei_conf.purge_delay_ms, THREAD_BUDGET_US, &left);
        int stuck = done == 0 && purge_failures() != failures;
        if (!stuck && (left || !nothing_left()))
            continue;
        if (!sleep_until_woken(stuck) && !(stuck && goes_on_after_all()))
            return;
    }
}

void lodei_purge_forked(void)
{
    atomic_store_explicit(&lodei_purge_thread_state, LODEI_THREAD_NONE, memory_order_relaxed);
    atomic_store_explicit(&steps_ended, steps_begun, memory_order_relaxed);
}
