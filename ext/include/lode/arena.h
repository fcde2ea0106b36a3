/* SPDX-License-Identifier: MIT */
/**
 * @file arena.h
 * Arenas: blocks one after the other, given up together.
 *
 * An allocation moves a pointer, inline; nothing is written into the memory beside the blocks, and
 * single frees mean nothing, except of the last block. What lives for a frame, a level or one call
 * goes into an arena and is dropped at once:
 *
 *     struct lode_arena *arena;
 *     struct lode_arena_opts o = LODE_ARENA_OPTS_INIT;
 *     o.name = "meshing";
 *     if (lode_arena_create(&o, &arena) != 0)
 *         return;
 *     for (;;) {                                              // a frame
 *         struct vertex *v = LODE_ARENA_ARRAY(arena, struct vertex, count);
 *         ...
 *         lode_arena_reset(arena);                            // all memory is kept for the next
 *     }
 *     lode_arena_destroy(arena);
 *
 * ## Marks and scopes
 * A mark is a place to come back to. Marks nest: the newest is rewound first, one that is not the
 * newest is -EINVAL and one that was dropped is -ESTALE, so a scope that forgot to end is found
 * where it matters. lode_arena_unwind() goes back to an outer mark over newer ones, for the way out
 * of an error.
 *
 *     lode_mark m = lode_arena_mark(arena, "path search");
 *     ...
 *     int error = lode_arena_rewind(arena, m);
 *
 *     LODE_ARENA_SCOPE(arena, "path search") { ... }          // the same, unwinding at its end
 *
 * ## Where memory comes from
 * Chunks, from a heap of the arena's own (with its name and tag, so that every tool shows it) or
 * one that is given; or memory of the caller, beyond which it goes on with chunks unless it is
 * LODE_ARENA_FIXED. A block that would take more than a quarter of the next chunk gets a chunk for
 * itself, so little is passed over at the ends: at least 99 % of what is held are blocks where
 * these are small against the chunks.
 *
 * Threads: one at a time; nothing is locked. Figures (lode_arena_stats(), lode_regions_enumerate())
 * can be read from any thread. frame.h is an arena that threads share.
 */
#ifndef LODE_ARENA_H
#define LODE_ARENA_H

#include <stddef.h>
#include <stdint.h>

#include "lode/allocator.h"
#include "lode/heap.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Only for the inline functions below; more follows that no header shows. */
struct lode_arena {
    uintptr_t next; /**< first free byte */
    uintptr_t end;  /**< behind the last; equal to `next` where somebody must hear of each block */
    size_t mask;    /**< smallest alignment of any block - 1 */
};

/** Bits of lode_arena_opts.flags. */
enum lode_arena_flags {
    LODE_ARENA_FIXED = 1, /**< never more than initial_bytes, or than the caller's memory */
};

/** How lode_arena_create() makes an arena. Zero in any field means the default. */
struct lode_arena_opts {
    uint32_t size;          /**< sizeof(struct lode_arena_opts), set by LODE_ARENA_OPTS_INIT */
    uint16_t tag;           /**< of the heap made for it; not together with `heap` */
    uint16_t flags;         /**< enum lode_arena_flags */
    size_t initial_bytes;   /**< room taken at once; default: none before the first block */
    size_t chunk_bytes;     /**< room of each further chunk; default: as much as all before,
                                 between 64 KiB and 4 MiB */
    size_t max_bytes;       /**< most room ever taken from the heap; default: no limit */
    size_t align;           /**< every block is aligned to this at least; default 1 */
    struct lode_heap *heap; /**< borrowed; default: one of its own */
    void *memory;           /**< borrowed until destroy: used first; with memory_bytes */
    size_t memory_bytes;
    const char *name; /**< copied, at most 31 bytes kept; default "arena" */
};

#define LODE_ARENA_OPTS_INIT                                                            \
    {                                                                                   \
        (uint32_t)sizeof(struct lode_arena_opts), 0, 0, 0, 0, 0, 0, NULL, NULL, 0, NULL \
    }

/**
 * Create an arena.
 *
 * @opts       Borrowed for the call; NULL for all defaults.
 * @ret_arena  Written only on success: the caller owns it, and ends it with lode_arena_destroy().
 * Returns     0; -EINVAL `align` no power of two, unknown flags, tag and heap both, memory without
 *             bytes or bytes without memory, FIXED without any room; -E2BIG opts has a non-zero
 *             tail this version does not know; -ENOMEM, also where initial_bytes > max_bytes.
 * Threads     Any, concurrently.
 */
LODE_API LODE_NODISCARD int lode_arena_create(const struct lode_arena_opts *opts,
                                              struct lode_arena **ret_arena);

/** End the arena and every block in it; NULL is fine. The caller's memory is his again. */
LODE_API void lode_arena_destroy(struct lode_arena *arena);

/** What lode_arena_alloc() does when it cannot do it inline. */
LODE_API void *lode_arena_alloc_slow(struct lode_arena *arena, size_t bytes, size_t align);

/**
 * Allocate `bytes` (0 counts as 1) aligned to `align`, a power of two (0 means 16), uninitialised.
 *
 * Returns  The block, which lives until it is rewound, reset or destroyed; NULL: out of memory,
 *          over max_bytes, FIXED and full, or `align` no power of two; nothing changed.
 * Source   Pointer bumping over chunks, after Hanson, "Fast Allocation and Deallocation of Memory
 *          Based on Object Lifetimes", Software: Practice and Experience 20(1), 1990; marks ours.
 */
static inline void *lode_arena_alloc(struct lode_arena *arena, size_t bytes, size_t align)
{
    size_t alignment = align != 0 ? align : 16;
    uintptr_t next = arena->next;
    size_t room = arena->end - next;
    size_t pad = (0 - next) & ((alignment - 1) | arena->mask);
    size_t wanted = bytes != 0 ? bytes : 1;
    if (__builtin_expect(pad <= room && wanted <= room - pad, 1) &&
        __builtin_expect((alignment & (alignment - 1)) == 0, 1)) {
        /* relaxed: a thread that reads figures sees some value, and follows it nowhere */
        __atomic_store_n(&arena->next, next + pad + wanted, __ATOMIC_RELAXED);
        return (void *)(next + pad);
    }
    return lode_arena_alloc_slow(arena, wanted, alignment);
}

/** As lode_arena_alloc(), `count` x `bytes`, zeroed; NULL if the product overflows, too. */
LODE_API void *lode_arena_calloc(struct lode_arena *arena, size_t count, size_t bytes,
                                 size_t align);

/** An array for `count` things of `bytes` each; NULL also if the product overflows. */
static inline void *lode_arena_alloc_array(struct lode_arena *arena, size_t count, size_t bytes,
                                           size_t align)
{
    size_t total;
    if (__builtin_mul_overflow(count, bytes, &total))
        return NULL;
    return lode_arena_alloc(arena, total, align);
}

#ifdef __cplusplus
#define LODE_ARENA_ALIGNOF(type) alignof(type)
#else
#define LODE_ARENA_ALIGNOF(type) _Alignof(type)
#endif

/** Room for one `type`, or an array of them, uninitialised: type *, or NULL. */
#define LODE_ARENA_NEW(arena, type) \
    ((type *)lode_arena_alloc((arena), sizeof(type), LODE_ARENA_ALIGNOF(type)))
#define LODE_ARENA_ARRAY(arena, type, count) \
    ((type *)lode_arena_alloc_array((arena), (count), sizeof(type), LODE_ARENA_ALIGNOF(type)))

/**
 * Make the arena's last block longer or shorter where it is.
 *
 * Returns  0; -EBUSY it is not the last block (nor one with a chunk of its own); -ENOMEM there is
 *          no room behind it. On error the block is as it was.
 */
LODE_API LODE_NODISCARD int lode_arena_extend(struct lode_arena *arena, void *block,
                                              size_t old_bytes, size_t bytes);

/**
 * Give up one block: its memory is used again at once where it was the last one and newer than the
 * newest mark, or had a chunk of its own; at the next rewind or reset otherwise. NULL is fine.
 */
LODE_API void lode_arena_free(struct lode_arena *arena, void *block, size_t bytes);

/**
 * Have room for a block of `bytes` aligned to 16, so that the next such allocation needs no heap.
 * Returns 0; -ENOMEM no memory, over max_bytes, or FIXED and full.
 */
LODE_API LODE_NODISCARD int lode_arena_reserve(struct lode_arena *arena, size_t bytes);

/**
 * Note where the arena stands.
 *
 * @why     Borrowed while the mark is outstanding: a literal. May be NULL.
 * Returns  The mark; 0 if there was no memory to note it (more than 8 outstanding) or 65,536 are
 *          outstanding. Every function below answers -EINVAL to 0.
 */
LODE_API LODE_NODISCARD lode_mark lode_arena_mark(struct lode_arena *arena, const char *why);

/**
 * Give up every block allocated since the newest mark, and the mark. Memory is kept.
 *
 * Returns  0; -EINVAL no mark of this arena, or a newer one is outstanding; -ESTALE the mark was
 *          given up already, by itself, with an older one, or in a reset. On error nothing changed.
 */
LODE_API LODE_NODISCARD int lode_arena_rewind(struct lode_arena *arena, lode_mark mark);
/** As lode_arena_rewind(), but newer marks are given up with it: -EINVAL only for no mark at all.
 */
LODE_API LODE_NODISCARD int lode_arena_unwind(struct lode_arena *arena, lode_mark mark);
/** Give up the newest mark and keep the blocks. Errors as of lode_arena_rewind(). */
LODE_API LODE_NODISCARD int lode_arena_keep(struct lode_arena *arena, lode_mark mark);
/** The newest outstanding mark of that name (compared as text); 0: none. */
LODE_API lode_mark lode_arena_marked(const struct lode_arena *arena, const char *why);
/** Name of the newest outstanding mark, NULL: none (or it has no name). `ret_depth`, unless NULL,
 * gets how many are outstanding. */
LODE_API const char *lode_arena_innermost(const struct lode_arena *arena, uint32_t *ret_depth);

/** Give up every block and mark; all memory is kept, and handed out in the same order again. */
LODE_API void lode_arena_reset(struct lode_arena *arena);
/** Give back to the heap what holds no block; returns the bytes. */
LODE_API size_t lode_arena_trim(struct lode_arena *arena);
/** Give up every block and mark, and all memory but the caller's; returns the bytes given back. */
LODE_API size_t lode_arena_clear(struct lode_arena *arena);

/** 1: the address lies in the arena's memory, live or not. */
LODE_API int lode_arena_owns(const struct lode_arena *arena, const void *block);

/** How an arena has grown. Exact when its thread asks. */
struct lode_arena_growth {
    size_t used_bytes;      /**< from the start to the end of blocks, padding included */
    size_t peak_used_bytes; /**< the most that ever was */
    size_t held_bytes;      /**< room held: used, free or passed over */
    size_t peak_held_bytes;
    size_t passed_bytes;   /**< at the ends of chunks left behind; usable again after a rewind */
    size_t chunks;         /**< held, the caller's memory not counted */
    size_t spare_chunks;   /**< of these, without a block */
    uint64_t chunks_taken; /**< from the heap, ever */
    uint64_t chunks_given; /**< back to the heap, ever */
    uint64_t resets;       /**< ever, clears included */
    uint64_t rewinds;      /**< ever, unwindings included */
    uint64_t extended;     /**< blocks that were made longer in place, ever */
};

LODE_API void lode_arena_growth(const struct lode_arena *arena,
                                struct lode_arena_growth *ret_growth);

/** The figures every allocator has; blocks, allocs and frees are not tracked. */
LODE_API void lode_arena_stats(const struct lode_arena *arena,
                               struct lode_allocator_stats *ret_stats);

/** The arena as an allocator. Traits RESIZES, DESTROYS, and BOUNDED when it is FIXED. */
LODE_API void lode_arena_allocator(struct lode_arena *arena, struct lode_allocator *ret_allocator);

/** A scope in progress; only for LODE_ARENA_SCOPE. */
struct lode_arena_scope {
    struct lode_arena *arena;
    lode_mark mark;
    int open;
};

static inline struct lode_arena_scope lode_arena_scope_open(struct lode_arena *arena,
                                                            const char *why)
{
    struct lode_arena_scope scope = {arena, lode_arena_mark(arena, why), 1};
    return scope;
}

static inline void lode_arena_scope_close(struct lode_arena_scope *scope)
{
    /* 0: there was no memory for the mark, and the blocks stay until an outer one. An error: it was
     * given up inside its scope, with all blocks since. */
    if (scope->mark != 0 && lode_arena_unwind(scope->arena, scope->mark) != 0)
        scope->mark = 0;
    scope->open = 0;
}

#define LODE_ARENA_JOIN2(a, b) a##b
#define LODE_ARENA_JOIN(a, b)  LODE_ARENA_JOIN2(a, b)
#define LODE_ARENA_SCOPE_AS(scope, arena, why)                                              \
    for (struct lode_arena_scope scope = lode_arena_scope_open((arena), (why)); scope.open; \
         lode_arena_scope_close(&scope))

/**
 * LODE_ARENA_SCOPE(arena, why) { ... }: what is allocated in the body is given up at its end. Out
 * of the body only by its end or `continue`; with break, return or goto the blocks live on until an
 * outer mark is unwound.
 */
#define LODE_ARENA_SCOPE(arena, why) \
    LODE_ARENA_SCOPE_AS(LODE_ARENA_JOIN(lode_arena_scope_, __LINE__), arena, why)

#ifdef __cplusplus
}
#endif
#endif
