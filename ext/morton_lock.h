/* SPDX-License-Identifier: MIT */
/*
 * The lock of a stripe of a Morton pool: a word, 0 free, 1 taken, 2 taken and somebody may sleep
 * (Drepper, "Futexes are tricky", 2011, mutex 3; the short spin is ours: what it guards takes tens
 * of nanoseconds). Not pthread_mutex_t because fork() takes all 64 of a pool at once, more than
 * TSan's deadlock detector follows; and inlined, it is 70 instructions less an acquire+release.
 */
#ifndef LODEI_MORTON_LOCK_H
#define LODEI_MORTON_LOCK_H

#include <errno.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/attr.h"

#define LODEI_MORTON_SPINS 100

struct lodei_morton_lock {
    _Atomic uint32_t state;
};

LODE_INLINE int lodei_morton_try(struct lodei_morton_lock *lock)
{
    uint32_t expected = 0;
    /* acquire: pairs with the release in lodei_morton_unlock() */
    return atomic_compare_exchange_strong_explicit(&lock->state, &expected, 1, memory_order_acquire,
                                                   memory_order_relaxed);
}

static LODE_COLD __attribute__((unused)) void lodei_morton_wait(struct lodei_morton_lock *lock)
{
    int saved = errno;
    for (int i = 0; i < LODEI_MORTON_SPINS; i++)
        if (atomic_load_explicit(&lock->state, memory_order_relaxed) == 0 && lodei_morton_try(lock))
            return;
    /* acquire: as above */
    while (atomic_exchange_explicit(&lock->state, 2, memory_order_acquire) != 0)
        syscall(SYS_futex, &lock->state, FUTEX_WAIT_PRIVATE, 2, NULL, NULL, 0);
    errno = saved;
}

static LODE_COLD __attribute__((unused)) void lodei_morton_wake(struct lodei_morton_lock *lock)
{
    syscall(SYS_futex, &lock->state, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

LODE_INLINE void lodei_morton_lock(struct lodei_morton_lock *lock)
{
    if (lode_unlikely(!lodei_morton_try(lock)))
        lodei_morton_wait(lock);
}

LODE_INLINE void lodei_morton_unlock(struct lodei_morton_lock *lock)
{
    /* release: pairs with the acquires above */
    if (lode_unlikely(atomic_exchange_explicit(&lock->state, 0, memory_order_release) == 2))
        lodei_morton_wake(lock);
}

#endif
