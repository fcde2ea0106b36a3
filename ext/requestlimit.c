/* SPDX-License-Identifier: MIT */
/*
 * What each memory type has, what it may have, and who waits for it; and the allocators that were
 * lent. Owns the counts.
 *
 * While nobody waits, charging is one compare-and-swap. Who is over the limit and has time queues,
 * by priority and then by age; who returns bytes serves the queue from its head as far as they
 * reach: nobody overtakes one of the same or a higher priority, not even by asking for less, so a
 * large request is not starved by small ones.
 *
 * `lock` guards the queues and the lent allocators; a leaf, held around fork(). The counts are
 * atomic. A waiter announces itself before it looks at what is left, and who returns bytes looks
 * for waiters after: both sequentially consistent, so one of them sees the other.
 */
#include "ext/requestcore.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct waiter {
    struct lodei_list link;
    size_t bytes;
    int priority;
    uint32_t granted; /* the word it sleeps on */
};

struct lodei_request_counts lodei_request_counts[LODE_MEMORY_TYPES] = {
    {.limit = SIZE_MAX}, {.limit = SIZE_MAX}, {.limit = SIZE_MAX}, {.limit = SIZE_MAX},
    {.limit = SIZE_MAX}, {.limit = SIZE_MAX}, {.limit = SIZE_MAX}, {.limit = SIZE_MAX},
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* Guarded by lock. */
#define EMPTY(t)               \
    {                          \
        &queues[t], &queues[t] \
    }
static struct lodei_list queues[LODE_MEMORY_TYPES] = {EMPTY(0), EMPTY(1), EMPTY(2), EMPTY(3),
                                                      EMPTY(4), EMPTY(5), EMPTY(6), EMPTY(7)};
static struct {
    struct lode_allocator allocator;
    size_t live;
    int present;
} lent[LODE_STRATEGIES];

static void fork_prepare(void)
{
    pthread_mutex_lock(&lock);
}

static void fork_parent(void)
{
    pthread_mutex_unlock(&lock);
}

/* Who waited is not here. */
static void fork_child(void)
{
    for (unsigned t = 0; t < LODE_MEMORY_TYPES; t++) {
        lodei_list_init(&queues[t]);
        atomic_store_explicit(&lodei_request_counts[t].waiting, 0, memory_order_relaxed);
    }
    pthread_mutex_unlock(&lock);
}

__attribute__((constructor)) static void start(void)
{
    (void)pthread_atfork(fork_prepare, fork_parent, fork_child);
}

uint64_t lodei_request_clock_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Add the bytes if they fit. */
static int try_charge(struct lodei_request_counts *c, size_t bytes)
{
    size_t limit = atomic_load_explicit(&c->limit, memory_order_seq_cst);
    size_t used = atomic_load_explicit(&c->used, memory_order_seq_cst);
    do {
        if (used > limit || bytes > limit - used)
            return -ENOSPC;
    } while (!atomic_compare_exchange_weak_explicit(&c->used, &used, used + bytes,
                                                    memory_order_seq_cst, memory_order_seq_cst));
    size_t peak = atomic_load_explicit(&c->peak, memory_order_relaxed); /* a figure */
    while (peak < used + bytes &&
           !atomic_compare_exchange_weak_explicit(&c->peak, &peak, used + bytes,
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
    return 0;
}

/* ---- the queue; under the lock ---- */

static struct waiter *first_of(unsigned type)
{
    return lodei_list_empty(&queues[type])
               ? NULL
               : lode_container_of(queues[type].next, struct waiter, link);
}

static void leave(unsigned type, struct waiter *w)
{
    lodei_list_remove(&w->link);
    atomic_fetch_sub_explicit(&lodei_request_counts[type].waiting, 1, memory_order_seq_cst);
}

static void serve_queue(unsigned type)
{
    struct waiter *w;
    while ((w = first_of(type)) != NULL && try_charge(&lodei_request_counts[type], w->bytes) == 0) {
        leave(type, w);
        /* It needs the lock before it can go: the word is there until we are done. */
        __atomic_store_n(&w->granted, 1, __ATOMIC_RELAXED);
        (void)syscall(SYS_futex, &w->granted, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    }
}

static void enqueue(unsigned type, struct waiter *w)
{
    struct lodei_list *at = queues[type].next;
    while (at != &queues[type] &&
           lode_container_of(at, struct waiter, link)->priority >= w->priority)
        at = at->next;
    lodei_list_push_back(at, &w->link);
    atomic_fetch_add_explicit(&lodei_request_counts[type].waiting, 1, memory_order_seq_cst);
}

/* A futex and not a condition variable: those sleep by the clock that may be set, unless by
 * functions that glibc has moved since 2.31, and are cancellation points, which would leave the
 * waiter's stack in the queue. The lock is dropped meanwhile. */
static int wait_until(unsigned type, struct waiter *w, uint64_t deadline_ns)
{
    struct timespec until = {.tv_sec = (time_t)(deadline_ns / 1000000000u),
                             .tv_nsec = (long)(deadline_ns % 1000000000u)};
    int timed_out = 0;
    while (!w->granted && !timed_out) {
        pthread_mutex_unlock(&lock);
        timed_out = syscall(SYS_futex, &w->granted, FUTEX_WAIT_BITSET_PRIVATE, 0, &until, NULL,
                            FUTEX_BITSET_MATCH_ANY) != 0 &&
                    errno == ETIMEDOUT;
        pthread_mutex_lock(&lock);
    }
    if (w->granted)
        return 1;
    leave(type, w);
    serve_queue(type); /* it may have stood before smaller ones */
    return -ETIMEDOUT;
}

/* Over the limit, or behind others. */
static int charge_in_turn(unsigned type, size_t bytes, int priority, uint64_t deadline_ns)
{
    struct lodei_request_counts *c = &lodei_request_counts[type];
    pthread_mutex_lock(&lock);
    const struct waiter *first = first_of(type);
    int error = -ENOSPC;
    if (first == NULL || first->priority < priority)
        error = try_charge(c, bytes);
    if (error != 0 && deadline_ns != 0) {
        struct waiter w = {.bytes = bytes, .priority = priority};
        atomic_fetch_add_explicit(&c->waits, 1, memory_order_relaxed); /* a figure */
        enqueue(type, &w);
        serve_queue(type);
        error = wait_until(type, &w, deadline_ns);
        if (error == -ETIMEDOUT)
            atomic_fetch_add_explicit(&c->timeouts, 1, memory_order_relaxed); /* a figure */
    }
    pthread_mutex_unlock(&lock);
    return error;
}

int lodei_limit_charge(unsigned type, size_t bytes, int priority, uint64_t deadline_ns)
{
    struct lodei_request_counts *c = &lodei_request_counts[type];
    if (lode_likely(atomic_load_explicit(&c->waiting, memory_order_seq_cst) == 0)) {
        int error = try_charge(c, bytes);
        if (error == 0 || deadline_ns == 0)
            return error;
    }
    return charge_in_turn(type, bytes, priority, deadline_ns);
}

static void look_for_waiters(unsigned type)
{
    if (lode_likely(
            atomic_load_explicit(&lodei_request_counts[type].waiting, memory_order_seq_cst) == 0))
        return;
    pthread_mutex_lock(&lock);
    serve_queue(type);
    pthread_mutex_unlock(&lock);
}

void lodei_limit_return(unsigned type, size_t bytes)
{
    atomic_fetch_sub_explicit(&lodei_request_counts[type].used, bytes, memory_order_seq_cst);
    look_for_waiters(type);
}

void lodei_limit_set(unsigned type, size_t bytes)
{
    atomic_store_explicit(&lodei_request_counts[type].limit, bytes, memory_order_seq_cst);
    look_for_waiters(type);
}

/* ---- lent allocators ---- */

int lode_request_lend(enum lode_strategy strategy, const struct lode_allocator *allocator)
{
    int error = 0;
    if (strategy < LODE_STRATEGY_ARENA || strategy > LODE_STRATEGY_OWN)
        return -EINVAL;
    pthread_mutex_lock(&lock);
    if (lent[strategy].live > 0)
        error = -EBUSY;
    else {
        lent[strategy].present = allocator != NULL;
        if (allocator != NULL)
            lent[strategy].allocator = *allocator;
    }
    pthread_mutex_unlock(&lock);
    return error;
}

int lodei_lent_take(unsigned strategy, struct lode_allocator *ret_allocator)
{
    pthread_mutex_lock(&lock);
    int present = lent[strategy].present;
    if (present) {
        *ret_allocator = lent[strategy].allocator;
        lent[strategy].live++;
    }
    pthread_mutex_unlock(&lock);
    return present ? 0 : -ENOTSUP;
}

void lodei_lent_drop(unsigned strategy)
{
    pthread_mutex_lock(&lock);
    lent[strategy].live--;
    pthread_mutex_unlock(&lock);
}
