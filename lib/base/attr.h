/* SPDX-License-Identifier: MIT */
/*
 * Compiler vocabulary: branch hints, visibility, sanitizer switches, assertions.
 * Owns nothing; every other file may include it.
 */
#ifndef LODEI_ATTR_H
#define LODEI_ATTR_H

#define lode_likely(x)   __builtin_expect(!!(x), 1)
#define lode_unlikely(x) __builtin_expect(!!(x), 0)

#define LODE_EXPORT       __attribute__((visibility("default")))
#define LODE_COLD         __attribute__((cold, noinline))
#define LODE_NOINLINE     __attribute__((noinline))
#define LODE_INLINE       static inline __attribute__((always_inline))
#define LODE_PRINTF(f, a) __attribute__((format(printf, f, a)))

#if defined(__SANITIZE_ADDRESS__)
#define LODE_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LODE_ASAN 1
#endif
#endif
#ifndef LODE_ASAN
#define LODE_ASAN 0
#endif

/* The heap reads and writes free blocks, which ASan holds poisoned: such code is not instrumented.
 */
#if LODE_ASAN
#define LODE_NO_ASAN __attribute__((no_sanitize("address")))
#else
#define LODE_NO_ASAN
#endif

/* For inlined code that touches free blocks: inlining would lose the attribute above. */
#if LODE_ASAN
#define LODE_BLOCK_INLINE static __attribute__((noinline, unused, no_sanitize("address")))
#else
#define LODE_BLOCK_INLINE static inline __attribute__((always_inline))
#endif

#ifndef LODE_CHECKS
#define LODE_CHECKS 0
#endif

/* Our own bugs. Caller misuse goes to lodei_fatal() in every build instead. */
#if LODE_CHECKS >= 1
#define lode_assert(e) ((e) ? (void)0 : lodei_assert_failed(#e, __FILE__, __LINE__))
#else
#define lode_assert(e) ((void)0)
#endif

/* As lode_assert(), but in every build: for functions whose only work is to check. */
#define lodei_holds(e) ((e) ? (void)0 : lodei_assert_failed(#e, __FILE__, __LINE__))

LODE_COLD __attribute__((noreturn)) void lodei_assert_failed(const char *expr, const char *file,
                                                             int line);

#define lode_container_of(ptr, type, member) \
    ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#endif
