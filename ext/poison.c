/* SPDX-License-Identifier: MIT */
/* Who listens, and telling them: see poison.h. */
#include "ext/poison.h"

/* Of ASan's runtime, as <sanitizer/asan_interface.h> has them; that header may not be there. */
__attribute__((weak)) void __asan_poison_memory_region(const volatile void *p, size_t bytes);
__attribute__((weak)) void __asan_unpoison_memory_region(const volatile void *p, size_t bytes);

int lodei_watched;

/* Ahead of other constructors of the same program, which may create allocators. */
__attribute__((constructor(101))) static void start(void)
{
    if (__asan_poison_memory_region != NULL && __asan_unpoison_memory_region != NULL)
        lodei_watched |= LODEI_WATCH_ASAN;
    if (lodei_memcheck_present())
        lodei_watched |= LODEI_WATCH_MEMCHECK;
}

void lodei_tell_given(const void *p, size_t bytes)
{
    if (lodei_watched & LODEI_WATCH_ASAN)
        __asan_unpoison_memory_region(p, bytes);
    if (lodei_watched & LODEI_WATCH_MEMCHECK)
        lodei_memcheck_undefined(p, bytes);
}

void lodei_tell_taken(const void *p, size_t bytes)
{
    if (lodei_watched & LODEI_WATCH_ASAN)
        __asan_poison_memory_region(p, bytes);
    if (lodei_watched & LODEI_WATCH_MEMCHECK)
        lodei_memcheck_noaccess(p, bytes);
}

void lodei_tell_forgotten(const void *p, size_t bytes)
{
    if (lodei_watched & LODEI_WATCH_ASAN)
        __asan_unpoison_memory_region(p, bytes);
    if (lodei_watched & LODEI_WATCH_MEMCHECK)
        lodei_memcheck_defined(p, bytes);
}
