/* SPDX-License-Identifier: MIT */
/*
 * Slots: what handles name. See lode/handle.h for what callers are promised, slots.c for how.
 *
 * Every slot is in one page of 4,096, every page belongs to one owner (a channel's grid, a tree).
 * Owners take slots in groups of 8 that follow each other, and use them as they like; a group has a
 * 64-bit key that is the owner's to define.
 */
#ifndef LODEI_SLOTS_H
#define LODEI_SLOTS_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "lode/handle.h"

#define LODEI_SLOT_PINS_SHIFT  41
#define LODEI_SLOT_PINS_MASK   ((uint64_t)LODE_PINS_MAX << LODEI_SLOT_PINS_SHIFT)
#define LODEI_SLOT_PIN         ((uint64_t)1 << LODEI_SLOT_PINS_SHIFT)
#define LODEI_SLOT_STATE_SHIFT 51
#define LODEI_SLOT_STATE_MASK  ((uint64_t)7 << LODEI_SLOT_STATE_SHIFT)
#define LODEI_SLOT_KIND_SHIFT  54
#define LODEI_SLOT_KIND_MAX    1023u

_Static_assert(LODE_HANDLE_LIVE == (uint64_t)4 << LODEI_SLOT_STATE_SHIFT, "live is state & 4");
_Static_assert(LODE_HANDLE_ADDRESS + 1 == LODEI_SLOT_PIN, "pins stand behind the address");

enum lodei_slot_state {
    LODEI_SLOT_FREE = 0,   /* the address bits hold the generation: no two free words are alike */
    LODEI_SLOT_BUSY = 1,   /* between live and free, for some instructions */
    LODEI_SLOT_ZOMBIE = 2, /* freed, but still pinned; the address is the last version's */
    LODEI_SLOT_DEAD = 3,   /* its generations are used up, or its group is being given back */
    LODEI_SLOT_LIVE = 4,
    LODEI_SLOT_PARKED = 5, /* live, and older versions wait in slots.c for the pins to end */
};

LODE_INLINE enum lodei_slot_state lodei_word_state(uint64_t word)
{
    return (enum lodei_slot_state)((word & LODEI_SLOT_STATE_MASK) >> LODEI_SLOT_STATE_SHIFT);
}

LODE_INLINE void *lodei_word_block(uint64_t word)
{
    return (void *)(uintptr_t)((word & LODE_HANDLE_ADDRESS) << 6);
}

/* The owner's 10 bits. They change together with the address, never apart. */
LODE_INLINE unsigned lodei_word_kind(uint64_t word)
{
    return (unsigned)(word >> LODEI_SLOT_KIND_SHIFT);
}

LODE_INLINE struct lode_handle_page *lodei_slot_page(uint32_t index)
{
    /* acquire: pairs with the release of a grown directory, and of a new page in it */
    return __atomic_load_n(&lode_handle_directory, __ATOMIC_ACQUIRE)
        ->pages[index >> LODE_HANDLE_PAGE_LOG2];
}

/* The word of a slot that exists. */
LODE_INLINE uint64_t lodei_slot_word(uint32_t index)
{
    /* seq_cst: see lode_peek() */
    return __atomic_load_n(&lodei_slot_page(index)->words[index & (LODE_HANDLE_PAGE - 1)],
                           __ATOMIC_SEQ_CST);
}

/* The handle of what lives in a slot that exists; 0 if nothing does. */
LODE_INLINE lode_handle lodei_slot_handle(uint32_t index)
{
    struct lode_handle_page *page = lodei_slot_page(index);
    uint32_t at = index & (LODE_HANDLE_PAGE - 1);
    /* acquire, both: whichever life the generation is of, the handle names one that was there */
    uint64_t word = __atomic_load_n(&page->words[at], __ATOMIC_ACQUIRE);
    uint32_t generation = __atomic_load_n(&page->generations[at], __ATOMIC_ACQUIRE);
    return (word & LODE_HANDLE_LIVE) != 0 ? ((uint64_t)(generation + 1) << 32 | index) : 0;
}

/* As lode_peek(), but the whole word; 0 if the handle is stale. */
uint64_t lodei_handle_word(lode_handle handle);
/* Whom the page of a handle belongs to; NULL if there is no such page. Live or stale alike. */
void *lodei_handle_owner(lode_handle handle);

/* ---- one owner's pages; calls are serialised by the owner ---- */

struct lodei_slots {
    void *owner;
    struct lode_handle_page *pages; /* the newest first: only it has groups never used */
    uint32_t free_group;            /* 1 + first slot / 8 of a list of groups given back; 0: none */
    uint32_t page_count;
    uint32_t groups_used;
};

void lodei_slots_init(struct lodei_slots *slots, void *owner);
/*
 * Take a group: 8 slots from *ret_first on, all free, key as given; not taken before `key` is
 * visible. 0 or -ENOMEM.
 */
int lodei_slots_take(struct lodei_slots *slots, uint64_t key, uint32_t *ret_first);
/* Give a group back if all its slots are free: 0; -EBUSY: one is not, nothing changed. */
int lodei_slots_give(struct lodei_slots *slots, uint32_t first);
/*
 * Make every handle of this owner stale and give its pages up. The blocks go with their heaps, and
 * nobody may use the owner any more. Pins that are still held are void.
 */
void lodei_slots_finish(struct lodei_slots *slots);
/* Bytes of pages that were ever touched, and of whole pages. */
void lodei_slots_figures(const struct lodei_slots *slots, size_t *ret_used, size_t *ret_mapped);

LODE_INLINE uint64_t lodei_group_key(uint32_t first)
{
    /* acquire: pairs with the release in lodei_slots_take() */
    return __atomic_load_n(&lodei_slot_page(first)->keys[first % LODE_HANDLE_PAGE / 8],
                           __ATOMIC_ACQUIRE);
}

/* The bit that says a group is not taken; no owner's key has it. */
#define LODEI_KEY_FREE ((uint64_t)1 << 63)

/* ---- lives of a slot; any thread ---- */

/* Free slot -> live with `block`. 0; -EEXIST: it is live; -ENOSPC: it is dead, or its group is
 * being given back; -EAGAIN: the key of its group is not `key`; -ENOMEM: it is still pinned from an
 * earlier life, and there is no memory to note that. */
int lodei_slot_publish(uint32_t index, uint64_t key, void *block, unsigned kind,
                       lode_handle *ret_handle);
/*
 * Live slot -> live with another version. `expected`: only if its word's block and kind are still
 * those of this word, else -EAGAIN; 0: whatever it is. On success *ret_old is the version before,
 * for the caller to lodei_grace_free() once out of its own section, or NULL if that is pinned and
 * will be freed later. -ESTALE; -ENOMEM: the old one is pinned and there is no memory to note it.
 */
int lodei_slot_swap(lode_handle handle, uint64_t expected, void *block, unsigned kind,
                    void **ret_old);
/* Replace those bits of a live slot's kind that are in `mask`. -ESTALE. */
int lodei_slot_kind_set(lode_handle handle, unsigned mask, unsigned bits);
/* Live -> free, the handle stale. *ret_old as for swap. -ESTALE. */
int lodei_slot_release(lode_handle handle, void **ret_old);

void lodei_slots_fork_lock(void);
void lodei_slots_fork_unlock(void);

#endif
