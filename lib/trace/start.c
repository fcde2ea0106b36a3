/* SPDX-License-Identifier: MIT */
/*
 * liblode-trace.so begins here: lode_trace_start(), called by liblode.so's constructor, and the
 * hooks that the heap calls from then on.
 *
 * A block's way: capture the stack (stack.c), find its id (stacks.c), record the block (leak.c). At
 * exit exitreport.c groups what is left. A program that ends by _exit() or a signal makes no
 * report; one that ends by exit(), by returning from main or by quick_exit() does.
 *
 * Locks and fork. A capture takes the loader's lock and libunwind's, so none of ours is held during
 * it. Those of libunwind must not be left taken in a forked child: fork first closes the gate (no
 * capture begins) and waits for the captures under way (draining), then takes our own locks
 * (closed). A thread that meets a closed gate waits for it to open, as it would for our locks. At a
 * draining one it waits GATE_PATIENCE_MS and then goes on without a stack: it may hold the loader's
 * lock that a capture under way needs. Should a capture take longer than GATE_DRAIN_MS (it waits
 * for the loader's lock, and the forking thread holds that), fork goes on and the child traces
 * nothing.
 *
 *     order: gate -> loader -> modules | gate -> shards of leak.c
 *
 * What no handler can mend: a child forked while another thread was inside the loader inherits the
 * loader's lock as it was, and glibc does not reset the one that dl_iterate_phdr() takes.
 *
 * The child forgets the blocks recorded before the fork: they are its parent's to report.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

#include "base/attr.h"
#include "base/conf.h"
#include "heap/trace.h"
#include "trace/leak.h"
#include "trace/modules.h"
#include "trace/exitreport.h"
#include "trace/stack.h"
#include "trace/stacks.h"

#define STRIPES          64 /* power of two */
#define CACHE_LINE       64
#define GATE_DRAIN_MS    200
#define GATE_PATIENCE_MS 20

enum gate { GATE_OPEN, GATE_DRAINING, GATE_CLOSED };

/* Captures under way, spread over cache lines: a thread uses the stripe of its number. */
struct stripe {
    _Atomic(uint32_t) captures;
} __attribute__((aligned(CACHE_LINE)));

/* Initial-exec: reading it never allocates. 4 of the 64 bytes that all our libraries may take. */
struct thread {
    bool busy;     /* in a hook: what happens now is the tracer's own doing */
    bool numbered; /* `stripe` is set */
    uint16_t stripe;
};

static __thread struct thread self __attribute__((tls_model("initial-exec")));

static struct stripe stripes[STRIPES];
static _Atomic(uint32_t) threads_seen;
static _Atomic(uint32_t) gate; /* enum gate */
static bool drained;
/* Set in a child whose copy of libunwind cannot be trusted. */
static bool disabled;
static uint64_t start_ms;
static struct lodei_report_opts report_opts;

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void pause_briefly(void)
{
    struct timespec pause = {.tv_nsec = 20000};

    nanosleep(&pause, NULL);
}

/* Returns whether the gate has opened; false when a draining gate tried the caller's patience. */
static bool gate_await(void)
{
    uint64_t deadline_ms = 0;
    uint32_t state;

    while ((state = atomic_load(&gate)) != GATE_OPEN) {
        if (state == GATE_DRAINING) {
            if (!deadline_ms)
                deadline_ms = now_ms() + GATE_PATIENCE_MS;
            else if (now_ms() > deadline_ms)
                return false;
        }
        pause_briefly();
    }
    return true;
}

static bool gate_enter(struct stripe *stripe)
{
    do {
        /* Sequentially consistent, as are the store and loads in gate_close(): of this increment
         * and that store, at least one side sees the other's. */
        atomic_fetch_add(&stripe->captures, 1);
        if (lode_likely(atomic_load(&gate) == GATE_OPEN))
            return true;
        atomic_fetch_sub_explicit(&stripe->captures, 1, memory_order_release);
    } while (gate_await());
    return false;
}

static void gate_leave(struct stripe *stripe)
{
    /* Pairs with the loads in gate_close(). */
    atomic_fetch_sub_explicit(&stripe->captures, 1, memory_order_release);
}

/* Returns whether no capture is under way. */
static bool gate_close(void)
{
    uint64_t deadline_ms = now_ms() + GATE_DRAIN_MS;
    bool all_out = true;

    atomic_store(&gate, GATE_DRAINING);
    for (int i = 0; i < STRIPES && all_out; i++) {
        while (all_out && atomic_load(&stripes[i].captures)) {
            pause_briefly();
            all_out = now_ms() <= deadline_ms;
        }
    }
    atomic_store(&gate, GATE_CLOSED);
    return all_out;
}

/* The id of the calling stack. Inside the gate. */
static uint32_t stack_here(void)
{
    uintptr_t frames[LODEI_STACK_FRAMES_MAX];
    unsigned count = lodei_stack_capture(frames);
    bool reused = lodei_modules_reused(frames, count);
    uint32_t hash;
    uint32_t id;

    if (!reused) {
        hash = lodei_stacks_hash(frames, count, 0);
        id = lodei_stacks_find(frames, count, hash);
        if (id || !count)
            return id;
    }
    /* A new stack, maybe through a new library, maybe where an old one was. */
    if (lodei_modules_refresh())
        lodei_stack_flush();
    reused = lodei_modules_reused(frames, count);
    if (reused)
        count = lodei_stack_capture_uncached(frames);
    if (!count)
        return 0;
    uint32_t epoch = lodei_modules_epoch();
    hash = lodei_stacks_hash(frames, count, reused ? epoch : 0);
    return lodei_stacks_add(frames, count, hash, epoch);
}

static uint32_t stack_id(void)
{
    struct stripe *stripe;
    uint32_t id = 0;

    if (!self.numbered) {
        uint32_t number = atomic_fetch_add_explicit(&threads_seen, 1, memory_order_relaxed);

        self.stripe = (uint16_t)(number & (STRIPES - 1));
        self.numbered = true;
    }
    stripe = &stripes[self.stripe];
    if (gate_enter(stripe)) {
        id = stack_here();
        gate_leave(stripe);
    }
    return id;
}

/* What a hook must leave as it was. malloc and free are no cancellation points; what the unwinder
 * calls may be. */
struct outside {
    int saved_errno;
    int cancel_state;
};

static bool enter(struct outside *outside)
{
    if (self.busy || disabled)
        return false;
    outside->saved_errno = errno;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &outside->cancel_state);
    self.busy = true;
    return true;
}

static void leave(const struct outside *outside)
{
    self.busy = false;
    pthread_setcancelstate(outside->cancel_state, NULL);
    errno = outside->saved_errno;
}

static void on_alloc(void *block, size_t bytes)
{
    struct outside outside;

    if (!enter(&outside))
        return;
    struct lodei_leak_record record = {
        .block = (uintptr_t)block,
        .bytes = bytes,
        .stack = stack_id(),
        .birth_ms = (uint32_t)(now_ms() - start_ms),
    };
    lodei_leak_add(&record);
    leave(&outside);
}

static void on_free(void *block)
{
    struct outside outside;

    if (!enter(&outside))
        return;
    lodei_leak_remove((uintptr_t)block);
    leave(&outside);
}

/* A block grown in place belongs to who grew it, as it does when it had to move. */
static void on_resize(void *block, size_t bytes)
{
    struct outside outside;

    if (!enter(&outside))
        return;
    lodei_leak_resize((uintptr_t)block, bytes, stack_id());
    leave(&outside);
}

static int fork_cancel_state; /* of the thread that forks, which holds all locks */

static void fork_prepare(void)
{
    int cancel_state;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    self.busy = true;
    drained = gate_close();
    lodei_modules_lock();
    lodei_leak_lock_all();
    fork_cancel_state = cancel_state;
}

static void fork_parent(void)
{
    int cancel_state = fork_cancel_state;

    lodei_leak_unlock_all();
    lodei_modules_unlock();
    atomic_store(&gate, GATE_OPEN);
    self.busy = false;
    pthread_setcancelstate(cancel_state, NULL);
}

static void fork_child(void)
{
    lodei_leak_forget_all();
    report_opts.forked = true;
    disabled = disabled || !drained;
    for (int i = 0; i < STRIPES; i++)
        atomic_store_explicit(&stripes[i].captures, 0, memory_order_relaxed);
    fork_parent();
}

static void at_exit(void)
{
    if (self.busy || disabled)
        return;
    self.busy = true;
    lodei_report(&report_opts);
    self.busy = false;
}

static const struct lodei_tracer tracer = {
    .abi = LODEI_TRACER_ABI,
    .on_alloc = on_alloc,
    .on_free = on_free,
    .on_resize = on_resize,
    .fork_prepare = fork_prepare,
    .fork_parent = fork_parent,
    .fork_child = fork_child,
    .at_exit = at_exit,
};

/*
 * Begin to record every live block with its call stack.
 *
 * @conf    Borrowed for ever: leaks_frames, leaks_top and leaks_file.
 * Returns  0, or what lodei_tracer_install() returned.
 * Threads  From a constructor, while the process has one thread.
 */
LODE_EXPORT int lode_trace_start(const struct lodei_conf *conf);

int lode_trace_start(const struct lodei_conf *conf)
{
    unsigned frames_max = (unsigned)conf->leaks_frames;

    report_opts = (struct lodei_report_opts){
        .top = conf->leaks_top,
        .frames_max = frames_max,
        .file = conf->leaks_file,
    };
    start_ms = now_ms();
    lodei_leak_init();
    lodei_modules_init();
    lodei_stack_init(frames_max);
    return lodei_tracer_install(&tracer);
}
