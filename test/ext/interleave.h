/* SPDX-License-Identifier: MIT */
/*
 * Threads as coroutines of one thread, which change places before any atomic operation, lock or
 * yield of the code under test, as a seed says: the same seed gives the same run. Sees every
 * interleaving of sequentially consistent steps, many of which threads of a machine never get to,
 * such as one that rests between a look and a compare-and-swap while others go through two lives of
 * a slot; sees nothing of weaker orders.
 *
 * A program includes this first, then the sources under test. What it calls beside them is one
 * step. By Musuvathi and Qadeer, "Iterative context bounding" (2007), with random choices.
 */
#ifndef INTERLEAVE_H
#define INTERLEAVE_H

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#define TASKS_MAX   6
#define OWN_COUNT   2
#define STACK_BYTES (128 * 1024)
#define STEPS_MAX   2000000

static struct task {
    ucontext_t context; /* to begin with; later changes need no system call: */
    jmp_buf point;
    void (*run)(int number);
    int begun, done;
    uint64_t own[OWN_COUNT]; /* what the program keeps by thread, see interleave_own */
    char *stack;
} tasks[TASKS_MAX];

static struct {
    ucontext_t back;
    uint64_t random, steps;
    int count, current; /* current < 0: no task runs */
    uint32_t often;     /* a change every so many steps, on average */
    int resting;        /* this task does not run from step `rest_from` till `rest_to` */
    uint64_t rest_from, rest_to;
} interleave = {.current = -1};

/* The words that the code under test keeps by thread, saved and restored at each change. */
static void *interleave_own[OWN_COUNT];

static void interleave_save(uint64_t own[OWN_COUNT])
{
    for (int i = 0; i < OWN_COUNT; i++)
        memcpy(&own[i], interleave_own[i], sizeof(own[i]));
}

static void interleave_restore(const uint64_t own[OWN_COUNT])
{
    for (int i = 0; i < OWN_COUNT; i++)
        memcpy(interleave_own[i], &own[i], sizeof(own[i]));
}

static uint32_t interleave_below(uint32_t limit)
{
    interleave.random =
        interleave.random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((interleave.random >> 33) % limit);
}

static int interleave_rests(int number)
{
    return number == interleave.resting && interleave.steps >= interleave.rest_from &&
           interleave.steps < interleave.rest_to;
}

/* Another task that can go on; -1: none. */
static int interleave_next(void)
{
    int from = (int)interleave_below((uint32_t)interleave.count);
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < interleave.count; i++) {
            int n = (from + i) % interleave.count;
            if (n != interleave.current && !tasks[n].done && (pass || !interleave_rests(n)))
                return n;
        }
    return -1;
}

static void interleave_go(int to)
{
    struct task *task = &tasks[to];
    interleave.current = to;
    interleave_restore(task->own);
    if (task->begun)
        _longjmp(task->point, 1);
    task->begun = 1;
    setcontext(&task->context);
}

static void interleave_change(int to)
{
    struct task *was = &tasks[interleave.current];
    interleave_save(was->own);
    if (_setjmp(was->point) == 0)
        interleave_go(to);
}

static void interleave_step(void)
{
    if (interleave.current < 0)
        return;
    if (++interleave.steps > STEPS_MAX) {
        fprintf(stderr, "interleave: no end: a task waits for ever\n");
        abort();
    }
    if (interleave_rests(interleave.current) || interleave_below(interleave.often) == 0) {
        int to = interleave_next();
        if (to >= 0)
            interleave_change(to);
    }
}

/* The task cannot go on before another one did something. */
static int interleave_yield(void)
{
    if (interleave.current < 0)
        return sched_yield();
    int to = interleave_next();
    interleave.steps++;
    if (to >= 0)
        interleave_change(to);
    return 0;
}

static int interleave_lock(pthread_mutex_t *mutex)
{
    interleave_step();
    while (pthread_mutex_trylock(mutex) != 0)
        interleave_yield();
    return 0;
}

static int interleave_unlock(pthread_mutex_t *mutex)
{
    pthread_mutex_unlock(mutex);
    interleave_step();
    return 0;
}

static void interleave_main(int number)
{
    struct task *task = &tasks[number];
    task->run(number);
    interleave_save(task->own);
    task->done = 1;
    int to = interleave_next();
    if (to >= 0)
        interleave_go(to);
    interleave.current = -1;
    setcontext(&interleave.back);
}

static void interleave_ready(struct task *task, int number, void (*run)(int number))
{
    if (task->stack == NULL)
        task->stack = malloc(STACK_BYTES);
    if (task->stack == NULL || getcontext(&task->context) != 0)
        abort();
    task->run = run;
    task->begun = task->done = 0;
    task->context.uc_stack.ss_sp = task->stack;
    task->context.uc_stack.ss_size = STACK_BYTES;
    task->context.uc_link = NULL;
    makecontext(&task->context, (void (*)(void))interleave_main, 1, number);
}

/* Run `count` tasks to their ends. The program's own words of the main thread are kept. */
static void interleave_run(uint64_t seed, int count, void (*run)(int number))
{
    static const uint32_t often[] = {2, 3, 6, 15, 50};
    uint64_t own[OWN_COUNT];
    interleave_save(own);
    interleave.random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    interleave.steps = 0;
    interleave.count = count;
    interleave.often = often[interleave_below(5)];
    interleave.resting = (int)interleave_below((uint32_t)count);
    interleave.rest_from = interleave_below(200);
    interleave.rest_to = interleave.rest_from + interleave_below(600);
    for (int i = 0; i < count; i++)
        interleave_ready(&tasks[i], i, run);
    int first = (int)interleave_below((uint32_t)count);
    interleave.current = first;
    interleave_restore(tasks[first].own);
    tasks[first].begun = 1;
    swapcontext(&interleave.back, &tasks[first].context);
    interleave_restore(own);
}

/* From here on, in what is included: a macro's own name within it is the function. */
#define __atomic_load_n(...)    (interleave_step(), __atomic_load_n(__VA_ARGS__))
#define __atomic_store_n(...)   (interleave_step(), __atomic_store_n(__VA_ARGS__))
#define __atomic_fetch_add(...) (interleave_step(), __atomic_fetch_add(__VA_ARGS__))
#define __atomic_compare_exchange_n(...) \
    (interleave_step(), __atomic_compare_exchange_n(__VA_ARGS__))
#if defined(__clang__) /* what stdatomic.h is made of */
#define __c11_atomic_load(...)      (interleave_step(), __c11_atomic_load(__VA_ARGS__))
#define __c11_atomic_store(...)     (interleave_step(), __c11_atomic_store(__VA_ARGS__))
#define __c11_atomic_exchange(...)  (interleave_step(), __c11_atomic_exchange(__VA_ARGS__))
#define __c11_atomic_fetch_add(...) (interleave_step(), __c11_atomic_fetch_add(__VA_ARGS__))
#define __c11_atomic_compare_exchange_strong(...) \
    (interleave_step(), __c11_atomic_compare_exchange_strong(__VA_ARGS__))
#else
#define __atomic_load(...)             (interleave_step(), __atomic_load(__VA_ARGS__))
#define __atomic_store(...)            (interleave_step(), __atomic_store(__VA_ARGS__))
#define __atomic_exchange(...)         (interleave_step(), __atomic_exchange(__VA_ARGS__))
#define __atomic_compare_exchange(...) (interleave_step(), __atomic_compare_exchange(__VA_ARGS__))
#endif
#define pthread_mutex_lock(mutex)   interleave_lock(mutex)
#define pthread_mutex_unlock(mutex) interleave_unlock(mutex)
#define sched_yield()               interleave_yield()

#endif
