/* SPDX-License-Identifier: MIT */
/**
 * @file handle.h
 * Handles: names of blocks that may move (liblode-ext.so).
 *
 * Bricks, octree sibling groups and MOVABLE requests (lode/request.h) are named by a 64-bit handle,
 * a slot index and a generation, and not by address: an edit, a change of tier, later a
 * defragmentation pass or a compression may put the contents elsewhere, and no holder of the handle
 * has to know. A handle whose block was freed is stale, and every call finds that.
 *
 * Two ways to the bytes, both giving one whole version of a block that does not change under the
 * reader, while other threads edit:
 *
 *     const int16_t *voxels = lode_pin(brick);        any length of time, any thread may unpin
 *     upload(voxels);
 *     lode_unpin(brick);
 *
 *     lode_read_begin();                              short: a mesher's brick, a physics step
 *     const int16_t *now = lode_peek(brick);          no atomic write, no shared cache line
 *     ...
 *     lode_read_end();
 *
 * An edit writes a new block and swaps it in (read-copy-update, McKenney and Slingwine 1998); the
 * old one is freed when no pin, no edit and no reading section can still know of it. A section that
 * stays open for long holds back every block freed meanwhile, in memory only: writers never wait.
 */
#ifndef LODE_HANDLE_H
#define LODE_HANDLE_H

#include <stddef.h>
#include <stdint.h>

#include "lode/heap.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Slot index in the low 32 bits, generation above; 0 names nothing. */
typedef uint64_t lode_handle;

#define LODE_HANDLE_NULL ((lode_handle)0)

/** More pins of one block at once than this fail. */
#define LODE_PINS_MAX 255

/*
 * The table behind the handles, for the inlined lode_peek(); its layout is private and may change
 * with the library's major version. A slot's word:
 *
 *     63   54 53 51 50  43   42  41                0
 *     |  kind |state| pins | edit |  address / 64   |
 *
 * Addresses have 48 bits: AArch64 uses them all, x86-64's kernel gives out 47. `state` has its top
 * bit set while the block is live. Generations stand beside the words.
 */
#define LODE_HANDLE_PAGE_LOG2 12
#define LODE_HANDLE_PAGE      (1u << LODE_HANDLE_PAGE_LOG2)
#define LODE_HANDLE_ADDRESS   (((uint64_t)1 << 42) - 1)
#define LODE_HANDLE_LIVE      ((uint64_t)1 << 53)

struct lode_handle_page {
    uint64_t words[LODE_HANDLE_PAGE];
    uint32_t generations[LODE_HANDLE_PAGE];
    uint64_t keys[LODE_HANDLE_PAGE / 8];
    void *owner;
    struct lode_handle_page *next;
    uint32_t first_index;
    uint32_t groups_used;
};

struct lode_handle_directory {
    uint32_t count;
    uint32_t capacity;
    struct lode_handle_page *pages[1]; /**< `capacity` of them */
};

LODE_API extern struct lode_handle_directory *lode_handle_directory;

/** lode_peek() of a slot that is not live at first sight: waits out another thread's free of it,
 * some instructions long. */
LODE_API void *lode_peek_again(lode_handle handle);

/**
 * The address of a block now, or NULL if the handle is stale or null.
 *
 * Between lode_read_begin() and lode_read_end() the bytes behind it stay as they are. Outside of a
 * section the address holds only as long as nobody edits, frees or moves the block.
 */
static inline void *lode_peek(lode_handle handle)
{
    uint32_t index = (uint32_t)handle, at = index & (LODE_HANDLE_PAGE - 1);
    /* acquire: pairs with the release of a grown directory, and of a new page in it */
    struct lode_handle_directory *directory =
        __atomic_load_n(&lode_handle_directory, __ATOMIC_ACQUIRE);
    if ((index >> LODE_HANDLE_PAGE_LOG2) >= __atomic_load_n(&directory->count, __ATOMIC_ACQUIRE))
        return NULL;
    struct lode_handle_page *page = directory->pages[index >> LODE_HANDLE_PAGE_LOG2];
    /* seq_cst: pairs with the swap of a word before readers are looked for (grace.c) */
    uint64_t word = __atomic_load_n(&page->words[at], __ATOMIC_SEQ_CST);
    /* acquire: after the word. The generation is raised before a slot is used again, so one that
     * still matches makes the word the handle's. Pairs with the release in slots.c. */
    uint32_t generation = __atomic_load_n(&page->generations[at], __ATOMIC_ACQUIRE);
    if (generation + 1 != (uint32_t)(handle >> 32))
        return NULL;
    if ((word & LODE_HANDLE_LIVE) == 0)
        return lode_peek_again(handle);
    return (void *)(uintptr_t)((word & LODE_HANDLE_ADDRESS) << 6);
}

/**
 * The address of a block, kept with the version it has now until lode_unpin(). Edits and frees go
 * on; they do not touch these bytes.
 *
 * Returns   NULL, errno ESTALE: the handle is stale or null; EAGAIN: pinned LODE_PINS_MAX times.
 * Threads   Any. Pins nest. Pinned blocks are in the way of defragmentation: not for minutes.
 */
LODE_API void *lode_pin(lode_handle handle);

/**
 * End one lode_pin(), from any thread. The handle may have become stale meanwhile.
 * Returns 0; -EINVAL the slot has no pin, or this was never a handle: nothing changed.
 */
LODE_API int lode_unpin(lode_handle handle);

/** 1: live; 0: stale, null or never a handle. */
static inline int lode_handle_is_live(lode_handle handle)
{
    return lode_peek(handle) != NULL;
}

/** How often a block is pinned now; of a stale handle, 0. */
LODE_API unsigned lode_handle_pins(lode_handle handle);

/**
 * Begin a reading section of this thread: until its end, no block that lode_peek() gave is freed
 * or changed. Sections nest. One costs an atomic exchange; inside another, a few instructions.
 *
 * Threads   Any; a thread that ends within a section ends it. After a fork the child has the
 *           sections of the thread that forked.
 * Returns   0; -ENOMEM this thread's first section could not be registered: not in a section.
 */
LODE_API LODE_NODISCARD int lode_read_begin(void);
/** End the innermost section of this thread. Without one: nothing. */
LODE_API void lode_read_end(void);

/** What freed blocks wait for. */
struct lode_read_stats {
    size_t readers;        /**< threads inside a section now */
    size_t waiting_blocks; /**< freed, and waiting for sections to end */
    size_t parked_blocks;  /**< freed or replaced, and waiting for pins and edits to end */
};

/** Frees what need not wait any more, and tells what has to. */
LODE_API void lode_read_stats(struct lode_read_stats *ret_stats);

#ifdef __cplusplus
}
#endif
#endif
