/* SPDX-License-Identifier: MIT */
/*
 * The stress programs: what the modes share.
 *
 * Seeded threads allocate, fill, verify and free. Every live block is filled with a pattern that
 * depends on its address and a key, and verified whole before it is freed, grown or handed on; the
 * first wrong byte ends the program with its place. One source gives two programs:
 *
 *   stress-malloc   over malloc and free: whatever allocator is preloaded
 *   stress-lode     -DSTRESS_PREFIX=1: over lode_malloc and lode_free; ASan, UBSan and TSan run it
 *
 * Tables of the program itself come from mmap, so that the run depends on the seed alone: with
 * --ops each thread's operations are the same in every run (what meets in the mailbox is not).
 *
 *     struct block {ptr, bytes, key}  ->  [ pattern(key ^ address), `bytes` long | rest of usable ]
 */
#ifndef STRESS_H
#define STRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stress_api.h"

/** A filled block. ptr NULL: an empty slot. */
struct block {
    unsigned char *ptr;
    size_t bytes; /**< filled and verified; may exceed what was asked for, up to the usable size */
    uint64_t key;
};

/** What one thread of a mode works with. */
struct stress_thread {
    uint64_t rng;
    unsigned index; /**< 0 .. threads-1 */
    uint64_t ops_left;
    struct block *slots;
    size_t live_bytes; /**< in slots */
};

enum {
    STRESS_SLOTS = 512,
    STRESS_LIVE_MAX = 48 << 20, /**< bytes a thread keeps alive, so that TSan's shadow fits too */
};

/** One way of stressing. `run` is the body of each of the threads. */
struct stress_mode {
    const char *name;
    void (*run)(struct stress_thread *thread);
    unsigned cost;   /**< ops are divided by it: a mode whose operations are dear does fewer */
    bool needs_lode; /**< skipped where the lode API is absent */
};

extern const struct stress_mode stress_modes[];

/** Settings from the command line. */
struct stress_conf {
    uint64_t seed;
    uint64_t ops;     /**< per thread; 0: run for `seconds` */
    unsigned seconds; /**< per mode */
    unsigned threads;
};
extern struct stress_conf stress_conf;

/** Prints what went wrong with the run's seed, then aborts. */
void stress_die(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));

uint64_t stress_random(uint64_t *rng);
/** 0 .. below-1 */
size_t stress_below(uint64_t *rng, size_t below);
/** Log-uniform in 1 .. 4 MiB; large ones made rarer so that small blocks get most of the time. */
size_t stress_size(uint64_t *rng);

/** True while the thread has operations left; counts one. */
bool stress_more(struct stress_thread *thread);

void block_fill(struct block *block, void *ptr, size_t bytes, uint64_t key);
/** Verify the first `bytes` of what was filled, at the place `at` where they may have moved. */
void block_verify_at(const struct block *block, const void *at, size_t bytes, const char *when);
void block_verify(const struct block *block, const char *when);
/** Verify and free. An empty block is fine. */
void block_free(struct block *block);

/** A filled block of random size, kind of call and alignment; NULL answers end the program. */
void stress_take(struct block *block, uint64_t *rng);
/** One random operation on a random slot: take, free, or grow and shrink. */
void stress_step(struct stress_thread *thread);
/** Free all slots. */
void stress_drain(struct stress_thread *thread);

/** Zeroed pages. */
void *stress_pages(size_t bytes);

/* The modes that need more than stress_step(). */
void stress_mode_realloc(struct stress_thread *thread);
void stress_mode_aligned(struct stress_thread *thread);
void stress_mode_remote(struct stress_thread *thread);
void stress_mode_churn(struct stress_thread *thread);
void stress_mode_fork(struct stress_thread *thread);
void stress_mode_heaps(struct stress_thread *thread);
void stress_mode_tags(struct stress_thread *thread);

#endif
