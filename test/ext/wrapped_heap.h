/* SPDX-License-Identifier: MIT */
/*
 * For programs linked with --wrap for the calls below, one file each: what the library asks of the
 * heaps passes here, so that a test can let memory run out, and see and hold up frees.
 */
#ifndef WRAPPED_HEAP_H
#define WRAPPED_HEAP_H

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>

#include "lode/heap.h"

/* So many allocations succeed, then all fail; < 0: none fails. */
static _Atomic long wrapped_allocations = -1;
/* Called before the call goes on; NULL: nothing is. */
static void (*_Atomic wrapped_on_alloc)(void);
static void (*_Atomic wrapped_on_free)(void *block);

void *__real_lode_heap_alloc(struct lode_heap *from, size_t bytes);
void *__wrap_lode_heap_alloc(struct lode_heap *from, size_t bytes);
void *__real_lode_heap_calloc(struct lode_heap *from, size_t count, size_t bytes);
void *__wrap_lode_heap_calloc(struct lode_heap *from, size_t count, size_t bytes);
void *__real_lode_heap_aligned_alloc(struct lode_heap *from, size_t align, size_t bytes);
void *__wrap_lode_heap_aligned_alloc(struct lode_heap *from, size_t align, size_t bytes);
void __real_lode_free(void *block);
void __wrap_lode_free(void *block);

static int wrapped_must_fail(void)
{
    void (*act)(void) = atomic_load(&wrapped_on_alloc);
    if (act != NULL)
        act();
    if (atomic_load(&wrapped_allocations) < 0)
        return 0;
    if (atomic_load(&wrapped_allocations) > 0) {
        atomic_fetch_sub(&wrapped_allocations, 1);
        return 0;
    }
    errno = ENOMEM;
    return 1;
}

void *__wrap_lode_heap_alloc(struct lode_heap *from, size_t bytes)
{
    return wrapped_must_fail() ? NULL : __real_lode_heap_alloc(from, bytes);
}

void *__wrap_lode_heap_calloc(struct lode_heap *from, size_t count, size_t bytes)
{
    return wrapped_must_fail() ? NULL : __real_lode_heap_calloc(from, count, bytes);
}

void *__wrap_lode_heap_aligned_alloc(struct lode_heap *from, size_t align, size_t bytes)
{
    return wrapped_must_fail() ? NULL : __real_lode_heap_aligned_alloc(from, align, bytes);
}

void __wrap_lode_free(void *block)
{
    void (*act)(void *) = atomic_load(&wrapped_on_free);
    if (act != NULL)
        act(block);
    __real_lode_free(block);
}

#endif
