/* SPDX-License-Identifier: MIT */
/*
 * Ranked locks on futexes: 4 bytes, no libc, usable before anything is initialised (all zero is
 * free).
 *
 * Ranks: a thread takes locks only in rising rank; checks=debug and full verify it. Locks of equal
 * rank are taken together only by lodei_fork_prepare(), which takes every lock there is.
 *
 * A child made by a raw clone or _Fork ran no fork handler: locks of its vanished siblings stay
 * taken. lodei_fork_mark is a word the kernel wipes in every copy of the address space (and only
 * there: not for vfork or CLONE_VM): slow paths look at it on entry, a long wait as a last resort,
 * and `lodei_lock_orphaned` puts things right.
 */
#ifndef LODEI_LOCK_H
#define LODEI_LOCK_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

enum lodei_rank {
    LODEI_RANK_NONE,
    LODEI_RANK_REGISTRY, /* the list of heaps */
    LODEI_RANK_HEAP,     /* one heap's thread heaps and large blocks */
    LODEI_RANK_THEAP,    /* one thread heap's spans */
    LODEI_RANK_SLICES,   /* which slices are free */
    LODEI_RANK_META,     /* storage of descriptors */
    LODEI_RANK_COUNT
};

struct lodei_lock {
    _Atomic uint32_t state; /* 0 free, 1 taken, 2 taken and somebody may wait */
    uint32_t rank;          /* enum lodei_rank */
};

#define LODEI_LOCK_INIT(r)      \
    {                           \
        .state = 0, .rank = (r) \
    }

/* Called in a child that finds the mark wiped; set by heap/process.c. */
extern void (*lodei_lock_orphaned)(void);
/* Points to 1; to 0 in a copy of the process whose handlers did not run. */
extern volatile int *lodei_fork_mark;

LODE_INLINE void lodei_fork_check(void)
{
    if (lode_unlikely(*lodei_fork_mark == 0) && lodei_lock_orphaned != NULL)
        lodei_lock_orphaned();
}

LODE_COLD void lodei_lock_wait(struct lodei_lock *lock);
LODE_COLD void lodei_lock_wake(struct lodei_lock *lock);

#if LODE_CHECKS >= 1
void lodei_lock_check(struct lodei_lock *lock, int taking);
#else
#define lodei_lock_check(lock, taking) ((void)0)
#endif

LODE_INLINE void lodei_lock_take_unranked(struct lodei_lock *lock)
{
    uint32_t expected = 0;
    /* acquire: pairs with the release in lodei_lock_drop_unranked() */
    if (lode_unlikely(!atomic_compare_exchange_strong_explicit(
            &lock->state, &expected, 1, memory_order_acquire, memory_order_relaxed)))
        lodei_lock_wait(lock);
}

LODE_INLINE void lodei_lock_drop_unranked(struct lodei_lock *lock)
{
    /* release: pairs with the acquire in taking */
    if (lode_unlikely(atomic_exchange_explicit(&lock->state, 0, memory_order_release) == 2))
        lodei_lock_wake(lock);
}

LODE_INLINE void lodei_lock_take(struct lodei_lock *lock)
{
    lodei_lock_check(lock, 1);
    lodei_lock_take_unranked(lock);
}

/* 1 when taken. */
LODE_INLINE int lodei_lock_try(struct lodei_lock *lock)
{
    uint32_t expected = 0;
    /* acquire: pairs with the release in lodei_lock_drop_unranked() */
    if (!atomic_compare_exchange_strong_explicit(&lock->state, &expected, 1, memory_order_acquire,
                                                 memory_order_relaxed))
        return 0;
    lodei_lock_check(lock, 1);
    return 1;
}

LODE_INLINE void lodei_lock_drop(struct lodei_lock *lock)
{
    lodei_lock_check(lock, 0);
    lodei_lock_drop_unranked(lock);
}

LODE_INLINE int lodei_lock_is_taken(const struct lodei_lock *lock)
{
    return atomic_load_explicit(&lock->state, memory_order_relaxed) != 0;
}

#endif
