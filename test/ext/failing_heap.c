/* SPDX-License-Identifier: MIT */
/* Stands between liblode-ext and the heap by the linker's --wrap: see failing_heap.h. */
#include "failing_heap.h"

#include <errno.h>

#include "lode/heap.h"

long failing_heap_after = -1;
long failing_heap_asked;
void (*failing_heap_meanwhile)(void);

int __real_lode_heap_create(const struct lode_heap_opts *opts, struct lode_heap **ret_heap);
void *__real_lode_heap_alloc(struct lode_heap *heap, size_t bytes);
void *__real_lode_heap_calloc(struct lode_heap *heap, size_t count, size_t bytes);
void *__real_lode_heap_aligned_alloc(struct lode_heap *heap, size_t align, size_t bytes);
void *__real_lode_realloc(void *ptr, size_t bytes);
int __wrap_lode_heap_create(const struct lode_heap_opts *opts, struct lode_heap **ret_heap);
void *__wrap_lode_heap_alloc(struct lode_heap *heap, size_t bytes);
void *__wrap_lode_heap_calloc(struct lode_heap *heap, size_t count, size_t bytes);
void *__wrap_lode_heap_aligned_alloc(struct lode_heap *heap, size_t align, size_t bytes);
void *__wrap_lode_realloc(void *ptr, size_t bytes);

static int refuses(void)
{
    void (*meanwhile)(void) = failing_heap_meanwhile;
    failing_heap_asked++;
    failing_heap_meanwhile = NULL;
    if (meanwhile != NULL)
        meanwhile();
    if (failing_heap_after < 0)
        return 0;
    if (failing_heap_after > 0) {
        failing_heap_after--;
        return 0;
    }
    errno = ENOMEM;
    return 1;
}

int __wrap_lode_heap_create(const struct lode_heap_opts *opts, struct lode_heap **ret_heap)
{
    return refuses() ? -ENOMEM : __real_lode_heap_create(opts, ret_heap);
}

void *__wrap_lode_heap_alloc(struct lode_heap *heap, size_t bytes)
{
    return refuses() ? NULL : __real_lode_heap_alloc(heap, bytes);
}

void *__wrap_lode_heap_calloc(struct lode_heap *heap, size_t count, size_t bytes)
{
    return refuses() ? NULL : __real_lode_heap_calloc(heap, count, bytes);
}

void *__wrap_lode_heap_aligned_alloc(struct lode_heap *heap, size_t align, size_t bytes)
{
    return refuses() ? NULL : __real_lode_heap_aligned_alloc(heap, align, bytes);
}

void *__wrap_lode_realloc(void *ptr, size_t bytes)
{
    return refuses() ? NULL : __real_lode_realloc(ptr, bytes);
}
