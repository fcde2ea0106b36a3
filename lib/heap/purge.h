/* SPDX-License-Identifier: MIT */
/* When and by whom unused pages are given back. */
#ifndef LODEI_PURGE_H
#define LODEI_PURGE_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

/*
 * One step over all heaps: pages unused for `age_ms`, for at most `budget_us`. Returns the bytes
 * given back; *ret_left tells whether more will fall due. No lock is held during system calls.
 */
size_t lodei_purge_step(uint64_t age_ms, uint64_t budget_us, int *ret_left);

/*
 * For sums over all heaps, which a step between two locks would falsify. Wait until no step runs,
 * some milliseconds at most; then whether one has begun since, or has run all the time.
 */
uint32_t lodei_purge_await_idle(void);
int lodei_purge_stepped_since(uint32_t mark);

/*
 * purge=thread and auto: how to start a thread that runs lodei_purge_thread_main(); set by
 * process.c. Returns 0, or -errno.
 */
extern int (*lodei_purge_thread_start)(void);
void lodei_purge_thread_main(void);
/* Start it, if it does not run; no lock is held. */
void lodei_purge_thread_launch(void);
/*
 * Memory may have been freed: start the thread if the mode and the amount ask for it. `caller` is
 * the code that called malloc or free, where that is known: never start a thread from inside libc,
 * which may hold locks that starting one needs, and not where the caller is only some part of ours.
 */
void lodei_purge_consider(const void *caller);

enum lodei_purge_thread {
    LODEI_THREAD_NONE,
    LODEI_THREAD_STARTING,
    LODEI_THREAD_RUNS,
    LODEI_THREAD_SLEEPS
};
/* enum lodei_purge_thread; also the futex the thread sleeps on. */
extern _Atomic uint32_t lodei_purge_thread_state;
LODE_COLD void lodei_purge_wake_slow(void);

/* Memory has been freed: wake the thread if it sleeps. No lock is held. */
LODE_INLINE void lodei_purge_wake(void)
{
    /* relaxed: a wake missed here is made up for by the thread, which looks once more before it
     * sleeps, and by the next free */
    if (lode_unlikely(atomic_load_explicit(&lodei_purge_thread_state, memory_order_relaxed) ==
                      LODEI_THREAD_SLEEPS))
        lodei_purge_wake_slow();
}

/* In a forked child: it is gone. */
void lodei_purge_forked(void);

#endif
