/* SPDX-License-Identifier: MIT */
/**
 * @file util.h
 * Small things that memory code keeps needing: cache lines, aligned storage, barriers, prefetching,
 * sizes (liblode-ext; header only, nothing to link).
 */
#ifndef LODE_UTIL_H
#define LODE_UTIL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Bytes of a cache line, as far as layout is concerned: of x86-64 and most of aarch64. */
#define LODE_CACHE_LINE 64

/** Align a type or variable to whole cache lines, so that it shares none. */
#define LODE_LINE_ALIGNED __attribute__((aligned(LODE_CACHE_LINE)))

/** Declare `bytes` of raw storage named `name`, aligned to `align`; no object lives in it yet. */
#define LODE_ALIGNED_STORAGE(name, bytes, align) \
    unsigned char name[bytes] __attribute__((aligned(align)))

/** The struct of `type` whose `member` is at `ptr`. */
#define LODE_CONTAINER_OF(ptr, type, member) \
    ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* ---- sizes ---- */

static inline int lode_is_power_of_two(size_t n)
{
    return n != 0 && (n & (n - 1)) == 0;
}

/** n rounded up to a multiple of `to`, a power of two; wraps to 0 above SIZE_MAX - to + 1. */
static inline size_t lode_round_up(size_t n, size_t to)
{
    return (n + to - 1) & ~(to - 1);
}

static inline size_t lode_round_down(size_t n, size_t to)
{
    return n & ~(to - 1);
}

/** The least power of two that is not less than n; 1 for 0, and 0 where there is none. */
static inline size_t lode_power_of_two_up(size_t n)
{
    if (n <= 1)
        return 1;
    if (n > (size_t)1 << (sizeof(size_t) * 8 - 1))
        return 0;
    return (size_t)1 << (sizeof(size_t) * 8 - (size_t)__builtin_clzll((unsigned long long)n - 1));
}

/** How many cache lines the bytes [at, at + bytes) touch. */
static inline size_t lode_lines_touched(const void *at, size_t bytes)
{
    uintptr_t first = (uintptr_t)at / LODE_CACHE_LINE;
    return bytes == 0 ? 0 : ((uintptr_t)at + bytes - 1) / LODE_CACHE_LINE - first + 1;
}

/**
 * The alignment at which blocks of this size cross the fewest cache lines for the memory they take:
 * their size rounded up to a power of two, at most a line.
 */
static inline size_t lode_packing_align(size_t bytes)
{
    size_t align = bytes < LODE_CACHE_LINE ? lode_power_of_two_up(bytes) : LODE_CACHE_LINE;
    return align < 16 ? 16 : align;
}

/* ---- barriers ---- */

/** The compiler moves no memory access across; the processor may. */
static inline void lode_barrier_compiler(void)
{
    __asm__ volatile("" : : : "memory");
}

/** What is read before stays before everything after. Pairs with lode_barrier_release(). */
static inline void lode_barrier_acquire(void)
{
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
}

/** What is written after stays after everything before. Pairs with lode_barrier_acquire(). */
static inline void lode_barrier_release(void)
{
    __atomic_thread_fence(__ATOMIC_RELEASE);
}

/** Nothing crosses, not even a load past an earlier store. */
static inline void lode_barrier_full(void)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/** Tell the processor that this thread is spinning. */
static inline void lode_spin_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" : : : "memory");
#else
    lode_barrier_compiler();
#endif
}

/* ---- prefetching: a hint, of any address ---- */

/** The line at `p` will be read, and again soon. */
static inline void lode_prefetch(const void *p)
{
    __builtin_prefetch(p, 0, 3);
}

/** The line at `p` will be written. */
static inline void lode_prefetch_write(const void *p)
{
    __builtin_prefetch(p, 1, 3);
}

/** The line at `p` will be read once: it need not stay. */
static inline void lode_prefetch_once(const void *p)
{
    __builtin_prefetch(p, 0, 0);
}

/** lode_prefetch() of every line of a block. */
static inline void lode_prefetch_block(const void *p, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += LODE_CACHE_LINE)
        lode_prefetch((const char *)p + i);
}

#ifdef __cplusplus
}
#endif
#endif
