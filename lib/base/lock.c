/* SPDX-License-Identifier: MIT */
#include "base/lock.h"

#include <errno.h>
#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/print.h"

void (*lodei_lock_orphaned)(void);
static int never_wiped = 1; /* until there is a page that is */
volatile int *lodei_fork_mark = &never_wiped;

/* Most holds last well under a microsecond: this many looks before the kernel is asked. */
#define SPINS 100
/* How long a wait lasts before the waiter asks whether the holder can still exist. */
#define WAIT_NS 20000000

static long futex(struct lodei_lock *lock, int op, uint32_t value, const struct timespec *timeout)
{
    int saved = errno;
    long r = syscall(SYS_futex, &lock->state, op | FUTEX_PRIVATE_FLAG, value, timeout, NULL, 0);
    if (r < 0)
        r = -errno;
    errno = saved;
    return r;
}

/* A crash handler runs in this thread, which may hold the very lock: better a handler that reports
 * from a heap that is broken anyway than one that hangs. */
static int is_dying(void)
{
    int thread = atomic_load_explicit(&lodei_fatal_thread, memory_order_relaxed);
    return thread != 0 && thread == (int)syscall(SYS_gettid);
}

void lodei_lock_wait(struct lodei_lock *lock)
{
    for (int i = 0; i < SPINS; i++) {
        uint32_t expected = 0;
        if (atomic_load_explicit(&lock->state, memory_order_relaxed) == 0 &&
            /* acquire: pairs with the release in lodei_lock_drop_unranked() */
            atomic_compare_exchange_strong_explicit(&lock->state, &expected, 1,
                                                    memory_order_acquire, memory_order_relaxed))
            return;
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#elif defined(__aarch64__)
        __asm__ volatile("yield");
#endif
    }
    struct timespec timeout = {.tv_nsec = WAIT_NS};
    /* acquire: pairs with the release in lodei_lock_drop_unranked() */
    while (atomic_exchange_explicit(&lock->state, 2, memory_order_acquire) != 0) {
        if (futex(lock, FUTEX_WAIT, 2, &timeout) != -ETIMEDOUT)
            continue;
        lodei_fork_check();
        if (is_dying())
            return;
    }
}

void lodei_lock_wake(struct lodei_lock *lock)
{
    futex(lock, FUTEX_WAKE, 1, NULL);
}

#if LODE_CHECKS >= 1
/* How many locks of each rank this thread holds. */
static _Thread_local uint8_t held[LODEI_RANK_COUNT] __attribute__((tls_model("initial-exec")));

void lodei_lock_check(struct lodei_lock *lock, int taking)
{
    lode_assert(lock->rank > LODEI_RANK_NONE && lock->rank < LODEI_RANK_COUNT);
    if (is_dying())
        return;
    if (!taking) {
        lode_assert(held[lock->rank] > 0);
        held[lock->rank]--;
        return;
    }
    for (uint32_t r = lock->rank; r < LODEI_RANK_COUNT; r++)
        lode_assert(held[r] == 0);
    held[lock->rank]++;
}
#endif
