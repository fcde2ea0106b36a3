/* SPDX-License-Identifier: MIT */
/* base/lock.c: exclusion, waiting, ranks, and the repair in a child that ran no fork handler. */
#include <criterion/criterion.h>

#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "base/lock.h"
#include "capture.h"
#include "heaplook.h"

#define THREADS 4
#define ROUNDS  50000

static struct lodei_lock lock = LODEI_LOCK_INIT(LODEI_RANK_HEAP);
static long counter;

static void sleep_ms(long ms)
{
    struct timespec t = {.tv_nsec = ms * 1000000};
    nanosleep(&t, NULL);
}

static void *count(void *arg)
{
    (void)arg;
    for (int i = 0; i < ROUNDS; i++) {
        lodei_lock_take(&lock);
        counter++;
        lodei_lock_drop(&lock);
    }
    return NULL;
}

Test(lock, excludes)
{
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, count, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    cr_assert_eq(counter, (long)THREADS * ROUNDS);
    cr_assert_not(lodei_lock_is_taken(&lock));
}

static void *take_and_set(void *arg)
{
    lodei_lock_take(&lock);
    *(int *)arg = 1;
    lodei_lock_drop(&lock);
    return NULL;
}

/* A waiter sleeps, longer than it ever spins, and is woken. */
Test(lock, wakes_a_sleeper)
{
    pthread_t thread;
    int done = 0;
    lodei_lock_take(&lock);
    cr_assert_eq(pthread_create(&thread, NULL, take_and_set, &done), 0);
    sleep_ms(60);
    cr_assert_eq(done, 0);
    cr_assert_eq(lock.state, 2, "it announces that it waits");
    lodei_lock_drop(&lock);
    pthread_join(thread, NULL);
    cr_assert_eq(done, 1);
}

static void try_job(void *arg)
{
    *(int *)arg = lodei_lock_try(&lock);
}

Test(lock, try)
{
    int got = 7;
    cr_assert_eq(lodei_lock_try(&lock), 1);
    cr_assert(lodei_lock_is_taken(&lock));
    heaplook_on_thread(try_job, &got);
    cr_assert_eq(got, 0);
    lodei_lock_drop(&lock);
    cr_assert_eq(lodei_lock_try(&lock), 1);
    lodei_lock_drop(&lock);
}

static volatile int wiped;

static void free_it(void)
{
    lock.state = 0;
    wiped = 1;
}

/* The holder vanished in a fork without handlers: the waiter has it repaired once it finds the mark
 * wiped. */
Test(lock, orphaned, .timeout = 10)
{
    lodei_lock_orphaned = free_it;
    lodei_fork_mark = &wiped;
    lock.state = 1;
    lodei_lock_take(&lock);
    lodei_lock_drop(&lock);
    cr_assert_eq(lock.state, 0);
}

#if LODE_CHECKS >= 1
Test(lock, ranks_rise, .signal = SIGABRT)
{
    struct lodei_lock low = LODEI_LOCK_INIT(LODEI_RANK_REGISTRY);
    struct capture c;
    lodei_lock_take(&low);
    lodei_lock_take(&lock);
    lodei_lock_drop(&lock);
    lodei_lock_drop(&low);
    capture_start(&c);
    lodei_lock_take(&lock);
    lodei_lock_take(&low);
}

Test(lock, drop_of_a_free_lock, .signal = SIGABRT)
{
    struct capture c;
    capture_start(&c);
    lodei_lock_drop(&lock);
}
#endif
