/* SPDX-License-Identifier: MIT */
/**
 * @file stackalloc.h
 * Stack allocators: blocks are freed in the reverse order of their allocation, one by one or down
 * to a mark.
 *
 * Where an arena forgives, a stack checks: a block that is not the newest is -EBUSY, one that is
 * not live is -EINVAL, and a mark that is not the newest is refused. Levels of a game, states of a
 * menu, nested loading:
 *
 *     lode_mark level = lode_stack_mark(stack, "level 3");
 *     struct map *map = lode_stack_alloc(stack, sizeof(*map), 64);
 *     ...
 *     int error = lode_stack_rewind(stack, level);     // and the map is gone
 *
 * Blocks are multiples of 16 bytes; beside them a stack keeps 4 bytes a block (8 where it is
 * aligned beyond 16), at the other end of its chunk, where no block that is written past its end
 * soon gets.
 *
 * Memory comes from a heap in chunks, or first from the caller, as of arena.h. Chunks are kept when
 * they have become empty, until lode_stack_trim().
 *
 * Threads: one at a time; nothing is locked. Figures can be read from any thread.
 */
#ifndef LODE_STACKALLOC_H
#define LODE_STACKALLOC_H

#include <stddef.h>
#include <stdint.h>

#include "lode/allocator.h"
#include "lode/heap.h"

#ifdef __cplusplus
extern "C" {
#endif

/** An opaque stack allocator. */
struct lode_stack;

/** Bits of lode_stack_opts.flags. */
enum lode_stack_flags {
    LODE_STACK_FIXED = 1, /**< never more than initial_bytes, or than the caller's memory */
};

/** How lode_stack_create() makes a stack. Zero in any field means the default. */
struct lode_stack_opts {
    uint32_t size;          /**< sizeof(struct lode_stack_opts), set by LODE_STACK_OPTS_INIT */
    uint16_t tag;           /**< of the heap made for it; not together with `heap` */
    uint16_t flags;         /**< enum lode_stack_flags */
    size_t initial_bytes;   /**< room taken at once, for blocks and what is kept beside them */
    size_t chunk_bytes;     /**< room of each further chunk; default: as much as all before,
                                 between 64 KiB and 4 MiB */
    size_t max_bytes;       /**< most room ever taken from the heap; default: no limit */
    struct lode_heap *heap; /**< borrowed; default: one of its own */
    void *memory;           /**< borrowed until destroy: used first; with memory_bytes */
    size_t memory_bytes;
    const char *name; /**< copied, at most 31 bytes kept; default "stack" */
};

#define LODE_STACK_OPTS_INIT                                                         \
    {                                                                                \
        (uint32_t)sizeof(struct lode_stack_opts), 0, 0, 0, 0, 0, NULL, NULL, 0, NULL \
    }

/**
 * Create a stack allocator.
 *
 * @opts       Borrowed for the call; NULL for all defaults.
 * @ret_stack  Written only on success: the caller owns it, and ends it with lode_stack_destroy().
 * Returns     0; -EINVAL unknown flags, tag and heap both, memory without bytes or bytes without
 *             memory, memory too small for one block, FIXED without any room, more than 16 GiB in
 *             one piece; -E2BIG opts has a non-zero tail this version does not
 *             know; -ENOMEM, also where initial_bytes > max_bytes.
 * Threads     Any, concurrently.
 */
LODE_API LODE_NODISCARD int lode_stack_create(const struct lode_stack_opts *opts,
                                              struct lode_stack **ret_stack);

/** End the stack and every block in it; NULL is fine. The caller's memory is his again. */
LODE_API void lode_stack_destroy(struct lode_stack *stack);

/**
 * Allocate `bytes` (0 counts as 1) aligned to `align`, a power of two (0 means 16), uninitialised.
 *
 * Returns  The block; NULL: out of memory, over max_bytes, FIXED and full, `align` no power of two;
 *          nothing changed.
 * Source   The two-ended layout (blocks up, records down) is that of slotted pages in databases.
 */
LODE_API void *lode_stack_alloc(struct lode_stack *stack, size_t bytes, size_t align);

/**
 * Free the newest block; NULL is fine.
 *
 * Returns  0; -EBUSY it is live, but not the newest, or older than the newest mark; -EINVAL no live
 *          block of this stack. On error nothing changed.
 */
LODE_API LODE_NODISCARD int lode_stack_free(struct lode_stack *stack, void *block);

/**
 * Make the newest block longer or shorter where it is.
 *
 * Returns  0; -ENOMEM no room behind it; -EBUSY and -EINVAL as lode_stack_free(). On error the
 *          block is as it was.
 */
LODE_API LODE_NODISCARD int lode_stack_extend(struct lode_stack *stack, void *block,
                                              size_t old_bytes, size_t bytes);

/** The newest block; NULL: there is none. */
LODE_API void *lode_stack_newest(const struct lode_stack *stack);

/**
 * Note where the stack stands. Blocks older than the mark cannot be freed while it is outstanding.
 *
 * @why     Borrowed while the mark is outstanding: a literal. May be NULL.
 * Returns  The mark; 0 if there was no memory to note it (more than 8 outstanding) or 65,536 are
 *          outstanding. Every function below answers -EINVAL to 0.
 */
LODE_API LODE_NODISCARD lode_mark lode_stack_mark(struct lode_stack *stack, const char *why);

/**
 * Free every block allocated since the newest mark, and give up the mark.
 *
 * Returns  0; -EINVAL no mark of this stack, or a newer one is outstanding; -ESTALE the mark was
 *          given up already, by itself, with an older one, or in a reset. On error nothing changed.
 */
LODE_API LODE_NODISCARD int lode_stack_rewind(struct lode_stack *stack, lode_mark mark);
/** As lode_stack_rewind(), but newer marks are given up with it: -EINVAL only for no mark at all.
 */
LODE_API LODE_NODISCARD int lode_stack_unwind(struct lode_stack *stack, lode_mark mark);
/** Give up the newest mark and keep the blocks. Errors as of lode_stack_rewind(). */
LODE_API LODE_NODISCARD int lode_stack_keep(struct lode_stack *stack, lode_mark mark);
/** The newest outstanding mark of that name (compared as text); 0: none. */
LODE_API lode_mark lode_stack_marked(const struct lode_stack *stack, const char *why);
/** Name of the newest outstanding mark, NULL: none (or it has no name). `ret_depth`, unless NULL,
 * gets how many are outstanding. */
LODE_API const char *lode_stack_innermost(const struct lode_stack *stack, uint32_t *ret_depth);

/** Free every block and give up every mark; memory is kept. */
LODE_API void lode_stack_reset(struct lode_stack *stack);
/** Give back to the heap the chunks that hold no block; returns the bytes. */
LODE_API size_t lode_stack_trim(struct lode_stack *stack);

/** 1: the address lies in the stack's memory, live or not. */
LODE_API int lode_stack_owns(const struct lode_stack *stack, const void *block);

/** The figures every allocator has; used_bytes is rounded up to 16 a block and includes padding. */
LODE_API void lode_stack_stats(const struct lode_stack *stack,
                               struct lode_allocator_stats *ret_stats);

/**
 * The stack as an allocator. Traits LIFO, FREES, CHECKED, RESIZES, DESTROYS, and BOUNDED when it is
 * FIXED. Only the newest block can be resized.
 */
LODE_API void lode_stack_allocator(struct lode_stack *stack, struct lode_allocator *ret_allocator);

#ifdef __cplusplus
}
#endif
#endif
