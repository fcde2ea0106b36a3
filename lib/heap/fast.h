/* SPDX-License-Identifier: MIT */
/*
 * The inlined fast paths: pop a block, push a block. No lock, no atomic, no call; counted by
 * test/bench/instructions.sh. What they cannot serve they leave to lodei_malloc_slow() and
 * lodei_free_slow() by a tail call.
 */
#ifndef LODEI_FAST_H
#define LODEI_FAST_H

#include "heap/types.h"

LODE_EXPORT void *lodei_malloc_slow(size_t bytes);
LODE_EXPORT void *lodei_calloc_slow(size_t bytes);
LODE_EXPORT void lodei_free_slow(void *p);
LODE_EXPORT void lodei_free_overflow(struct lodei_theap *th, struct lodei_bin *bin);

/* Under ASan a block is poisoned while it is free, all of it: malloc_usable_size() bytes are
 * usable. */
#if LODE_ASAN
LODE_EXPORT void lodei_asan_alloc(void *p);
LODE_EXPORT void lodei_asan_free(void *p);
void lodei_asan_poison(void *start, size_t bytes);
void lodei_asan_unpoison(void *start, size_t bytes);
#else
#define lodei_asan_alloc(p)               ((void)0)
#define lodei_asan_free(p)                ((void)0)
#define lodei_asan_poison(start, bytes)   ((void)0)
#define lodei_asan_unpoison(start, bytes) ((void)0)
#endif

/* Take the head of `bin`; NULL when it is empty or its head's words are wrong. */
LODE_BLOCK_INLINE struct lodei_block *lodei_bin_pop(struct lodei_theap *th, struct lodei_bin *bin)
{
    struct lodei_block *block = bin->head;
    struct lodei_block *next = block->next;
    if (lode_unlikely(lodei_block_check(block, next, th->key) != block->check))
        return NULL;
    bin->head = next;
    bin->room++;
    block->check = 0;
    return block;
}

LODE_BLOCK_INLINE void *lodei_malloc_fast(struct lodei_theap *th, size_t bytes)
{
    if (lode_likely(bytes <= LODEI_TINY_MAX)) {
        void *block = lodei_bin_pop(th, th->bin_of[(bytes + 15) / 16]);
        if (lode_likely(block != NULL)) {
            lodei_asan_alloc(block);
            return block;
        }
    }
    return lodei_malloc_slow(bytes);
}

/* *a *= *b with b as a memory operand, which compilers do not do for a value used twice. */
LODE_INLINE void lodei_multiply(uint32_t *a, const uint32_t *b)
{
#if defined(__x86_64__)
    __asm__("imull %1, %0" : "+r"(*a) : "m"(*b) : "cc");
#else
    *a *= *b;
#endif
}

/*
 * Push p if it is a block of a one-slice span of `th` itself, starts where a block starts, and does
 * not look freed already. Everything else, NULL included, is the slow path's.
 */
LODE_BLOCK_INLINE void lodei_free_fast(struct lodei_theap *th, void *p)
{
    char *base = th->base;
    size_t slice = ((uintptr_t)p - (uintptr_t)base) >> LODEI_SLICE_LOG2;
    if (lode_unlikely(slice >= th->slice_count))
        goto slow;
    /* A concurrent writer is a thread that purges: it writes nobody's bin here, or the same one
     * again; both are right for a live block. */
    struct lodei_bin **table = (struct lodei_bin **)(void *)(base + LODEI_TABLE_OFFSET);
    struct lodei_bin *bin = __atomic_load_n(&table[slice], __ATOMIC_RELAXED);
    if (lode_unlikely(bin->owner != th))
        goto slow;
    uint32_t phase = (uint16_t)(uintptr_t)p;
    lodei_multiply(&phase, &bin->reciprocal);
    if (lode_unlikely(phase >= bin->reciprocal))
        goto slow;
    struct lodei_block *block = p;
    if (lode_unlikely(((uint8_t *)&block->check)[7] == ((uint8_t *)&th->key)[7]))
        goto slow;
    struct lodei_block *head = bin->head;
    lodei_asan_free(p);
    block->next = head;
    block->check = lodei_block_check(block, head, th->key);
    bin->head = block;
    if (lode_unlikely(--bin->room < 0))
        lodei_free_overflow(th, bin);
    return;
slow:
    lodei_free_slow(p);
}

#endif
