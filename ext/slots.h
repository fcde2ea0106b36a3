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

/* Two things keep a version where it is: an edit that read it (slotgrip.c), and pins. */
#define LODEI_SLOT_GRIP        ((uint64_t)1 << 42)
#define LODEI_SLOT_PINS_SHIFT  43
#define LODEI_SLOT_PIN         ((uint64_t)1 << LODEI_SLOT_PINS_SHIFT)
#define LODEI_SLOT_PINS_MASK   ((uint64_t)LODE_PINS_MAX << LODEI_SLOT_PINS_SHIFT)
#define LODEI_SLOT_KEPT_MASK   (LODEI_SLOT_PINS_MASK | LODEI_SLOT_GRIP)
#define LODEI_SLOT_STATE_SHIFT 51
#define LODEI_SLOT_STATE_MASK  ((uint64_t)7 << LODEI_SLOT_STATE_SHIFT)
#define LODEI_SLOT_KIND_SHIFT  54
#define LODEI_SLOT_KIND_MAX    1023u

_Static_assert(LODE_HANDLE_LIVE == (uint64_t)4 << LODEI_SLOT_STATE_SHIFT, "live is state & 4");
_Static_assert(LODE_HANDLE_ADDRESS + 1 == LODEI_SLOT_GRIP, "the grip stands behind the address");
_Static_assert(LODEI_SLOT_GRIP * 2 == LODEI_SLOT_PIN, "then the pins");
_Static_assert((LODEI_SLOT_KEPT_MASK & LODEI_SLOT_STATE_MASK) == 0 &&
                   LODEI_SLOT_KEPT_MASK + LODEI_SLOT_GRIP == (uint64_t)1 << LODEI_SLOT_STATE_SHIFT,
               "the state stands behind the pins");

enum lodei_slot_state {
    LODEI_SLOT_FREE = 0,   /* the address bits hold the generation: no two free words are alike */
    LODEI_SLOT_BUSY = 1,   /* somebody decides whether it is theirs to free: look again */
    LODEI_SLOT_ZOMBIE = 2, /* freed, but still kept; the address is the last version's */
    LODEI_SLOT_DEAD = 3,   /* its generations are used up, or its group is being given back */
    LODEI_SLOT_LIVE = 4,
    LODEI_SLOT_PARKED = 5, /* live, and older versions wait in parked.c for what keeps it to end */
};

LODE_INLINE enum lodei_slot_state lodei_word_state(uint64_t word)
{
    return (enum lodei_slot_state)((word & LODEI_SLOT_STATE_MASK) >> LODEI_SLOT_STATE_SHIFT);
}

LODE_INLINE void *lodei_word_block(uint64_t word)
{
    return (void *)(uintptr_t)((word & LODE_HANDLE_ADDRESS) << 6);
}

/* Words of slots that are free or dead have nothing there: generations are shorter. */
LODE_INLINE int lodei_is_gripped(uint64_t word)
{
    return (word & LODEI_SLOT_GRIP) != 0;
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

uint64_t lodei_word_settle(uint64_t *at);

/* A slot's word, once it is not BUSY. seq_cst: see lode_peek() */
LODE_INLINE uint64_t lodei_word_settled(uint64_t *at)
{
    uint64_t word = __atomic_load_n(at, __ATOMIC_SEQ_CST);
    return lode_unlikely(lodei_word_state(word) == LODEI_SLOT_BUSY) ? lodei_word_settle(at) : word;
}

/* The word of a slot that exists. */
LODE_INLINE uint64_t lodei_slot_word(uint32_t index)
{
    return lodei_word_settled(&lodei_slot_page(index)->words[index & (LODE_HANDLE_PAGE - 1)]);
}

/* The handle of what lives in a slot that exists; 0 if nothing does. */
LODE_INLINE lode_handle lodei_slot_handle(uint32_t index)
{
    struct lode_handle_page *page = lodei_slot_page(index);
    uint32_t at = index & (LODE_HANDLE_PAGE - 1), generation;
    uint64_t word;
    do {
        /* acquire, all: a word between two looks at one generation is of that life. With the later
         * one alone the word of a life that just ended would give the handle of the next. */
        generation = __atomic_load_n(&page->generations[at], __ATOMIC_ACQUIRE);
        word = lodei_word_settled(&page->words[at]);
    } while (__atomic_load_n(&page->generations[at], __ATOMIC_ACQUIRE) != generation);
    return (word & LODE_HANDLE_LIVE) != 0 ? ((uint64_t)(generation + 1) << 32 | index) : 0;
}

/* The page of a handle's slot; NULL if there is none. */
LODE_INLINE struct lode_handle_page *lodei_handle_page(lode_handle handle)
{
    uint32_t page = (uint32_t)handle >> LODE_HANDLE_PAGE_LOG2;
    /* acquire: as in lode_peek() */
    struct lode_handle_directory *directory =
        __atomic_load_n(&lode_handle_directory, __ATOMIC_ACQUIRE);
    if (lode_unlikely(page >= __atomic_load_n(&directory->count, __ATOMIC_ACQUIRE)))
        return NULL;
    return directory->pages[page];
}

/* As lode_peek(), but the whole word; 0 if the handle is stale. */
LODE_INLINE uint64_t lodei_handle_word(lode_handle handle)
{
    struct lode_handle_page *page = lodei_handle_page(handle);
    uint32_t at = (uint32_t)handle % LODE_HANDLE_PAGE;
    if (lode_unlikely(page == NULL))
        return 0;
    /* the generation after the word: see lode_peek() */
    uint64_t word = lodei_word_settled(&page->words[at]);
    uint32_t generation = __atomic_load_n(&page->generations[at], __ATOMIC_ACQUIRE);
    return (word & LODE_HANDLE_LIVE) != 0 && generation + 1 == (uint32_t)(handle >> 32) ? word : 0;
}

/* Whom the page of a handle belongs to; NULL if there is no such page. Live or stale alike. */
LODE_INLINE void *lodei_handle_owner(lode_handle handle)
{
    struct lode_handle_page *page = lodei_handle_page(handle);
    return page != NULL ? __atomic_load_n(&page->owner, __ATOMIC_RELAXED) : NULL;
}

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
/* Give a group back if all its slots are free or dead: 0; -EBUSY: one is not, nothing changed. With
 * a dead one it is never taken again. */
int lodei_slots_give(struct lodei_slots *slots, uint32_t first);
/*
 * Free those slots of a group that are in the set `lanes` and live with nothing to keep them, and
 * then give the group back, if all of its slots are free or dead. Returns the set of those freed;
 * ret_words has the word of each as it was, whose block is the caller's to lodei_grace_free().
 * *ret_given: as lodei_slots_give() would return. What is kept or just being changed is left as it
 * is.
 */
unsigned lodei_slots_clear(struct lodei_slots *slots, uint32_t first, unsigned lanes,
                           uint64_t ret_words[8], int *ret_given);
/*
 * Make every handle of this owner stale and give its pages up. The blocks go with their heaps, but
 * not before lodei_grace_wait(); nobody may use the owner any more. Pins that are still held are
 * void, and their slots never used again.
 */
void lodei_slots_finish(struct lodei_slots *slots);
/* Bytes of pages that were ever touched, and of whole pages. */
void lodei_slots_figures(const struct lodei_slots *slots, size_t *ret_used, size_t *ret_mapped);

/* Assert every invariant: of all, O(slots); of one group that is taken. */
void lodei_slots_verify(const struct lodei_slots *slots);
void lodei_group_verify(const struct lodei_slots *slots, uint32_t first);

LODE_INLINE uint64_t lodei_group_key(uint32_t first)
{
    /* acquire: pairs with the release in lodei_slots_take() */
    return __atomic_load_n(&lodei_slot_page(first)->keys[first % LODE_HANDLE_PAGE / 8],
                           __ATOMIC_ACQUIRE);
}

/* Only by the owner of the group, as it takes it. */
LODE_INLINE void lodei_group_key_set(uint32_t first, uint64_t key)
{
    /* release: pairs with lodei_group_key() */
    __atomic_store_n(&lodei_slot_page(first)->keys[first % LODE_HANDLE_PAGE / 8], key,
                     __ATOMIC_RELEASE);
}

/* The bit that says a group is not taken; no owner's key has it, but while it takes the group. */
#define LODEI_KEY_FREE ((uint64_t)1 << 63)

/* ---- lives of a slot; any thread ---- */

/* The halves of publish and release below that are not a single compare-and-swap. */
int lodei_slot_publish_slow(uint32_t index, uint64_t key, void *block, unsigned kind,
                            lode_handle *ret_handle);
int lodei_slot_release_slow(lode_handle handle, void **ret_old);

/*
 * Live slot -> live with another version. Within a reading section, or gripped: no block of an
 * earlier life can come back to this slot meanwhile and be taken for this one. `expected`: only if
 * its word's block and kind are still those of this word, else -EAGAIN; 0: whatever it is. On
 * success *ret_old is the version before, for the caller to lodei_grace_free() once out of its own
 * section, or NULL if that is pinned and will be freed later. -ESTALE; -ENOMEM: the old one is
 * pinned and there is no memory to note it.
 */
int lodei_slot_swap(lode_handle handle, uint64_t expected, void *block, unsigned kind,
                    void **ret_old);
/* Replace those bits of a live slot's kind that are in `mask`, within a reading section. -ESTALE.
 */
int lodei_slot_kind_set(lode_handle handle, unsigned mask, unsigned bits);

LODE_INLINE uint64_t lodei_live_word(void *block, unsigned kind, enum lodei_slot_state state)
{
    lode_assert(((uintptr_t)block & 63) == 0 && (uint64_t)(uintptr_t)block >> 48 == 0);
    lode_assert(kind <= LODEI_SLOT_KIND_MAX);
    return (uint64_t)(uintptr_t)block >> 6 | (uint64_t)state << LODEI_SLOT_STATE_SHIFT |
           (uint64_t)kind << LODEI_SLOT_KIND_SHIFT;
}

/* What a slot's word is while it is free. */
LODE_INLINE uint64_t lodei_free_word(uint32_t generation)
{
    return lode_likely(generation != UINT32_MAX)
               ? generation
               : (uint64_t)LODEI_SLOT_DEAD << LODEI_SLOT_STATE_SHIFT;
}

/* All but the state is kept: it may have to be put back. */
LODE_INLINE uint64_t lodei_busy_word(uint64_t word)
{
    return (word & ~LODEI_SLOT_STATE_MASK) | (uint64_t)LODEI_SLOT_BUSY << LODEI_SLOT_STATE_SHIFT;
}

/* seq_cst: pairs with readers' loads, see grace.c. *word is what was there when it fails. */
LODE_INLINE int lodei_word_change(uint64_t *at, uint64_t *word, uint64_t to)
{
    return __atomic_compare_exchange_n(at, word, to, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

/* Raise the generation of a slot that is BUSY or shut: the caller's alone. */
LODE_INLINE uint32_t lodei_generation_raise(struct lode_handle_page *page, uint32_t at)
{
    uint32_t generation = page->generations[at] + 1;
    /* release: pairs with the acquire of those who compare: the word changed before */
    __atomic_store_n(&page->generations[at], generation, __ATOMIC_RELEASE);
    return generation;
}

/* Free slot -> live with `block`. 0; -EEXIST: it is live; -ENOSPC: it is dead, or its group is
 * being given back; -EAGAIN: the key of its group is not `key`; -ENOMEM: it is still pinned from an
 * earlier life, and there is no memory to note that. */
LODE_INLINE int lodei_slot_publish(uint32_t index, uint64_t key, void *block, unsigned kind,
                                   lode_handle *ret_handle)
{
    struct lode_handle_page *page = lodei_slot_page(index);
    uint64_t *at = &page->words[index % LODE_HANDLE_PAGE];
    /* acquire, before the key: a free word holds the generation, which giving the group back
     * raises, so if the group has changed hands either the key tells or the swap fails */
    uint64_t word = __atomic_load_n(at, __ATOMIC_ACQUIRE);
    if (lode_likely(lodei_word_state(word) == LODEI_SLOT_FREE &&
                    __atomic_load_n(&page->keys[index % LODE_HANDLE_PAGE / 8], __ATOMIC_ACQUIRE) ==
                        key)) {
        uint32_t generation = (uint32_t)word;
        if (lode_likely(
                lodei_word_change(at, &word, lodei_live_word(block, kind, LODEI_SLOT_LIVE)))) {
            *ret_handle = (uint64_t)(generation + 1) << 32 | index;
            return 0;
        }
    }
    return lodei_slot_publish_slow(index, key, block, kind, ret_handle);
}

/* Live -> free, the handle stale. *ret_old as for swap. -ESTALE. `page` is the handle's. */
LODE_INLINE int lodei_slot_release(struct lode_handle_page *page, lode_handle handle,
                                   void **ret_old)
{
    uint32_t at = (uint32_t)handle % LODE_HANDLE_PAGE;
    /* seq_cst, and the generation after it: see lode_peek() */
    uint64_t word = __atomic_load_n(&page->words[at], __ATOMIC_SEQ_CST);
    uint32_t generation = __atomic_load_n(&page->generations[at], __ATOMIC_ACQUIRE) + 1;
    if (lode_likely(lodei_word_state(word) == LODEI_SLOT_LIVE &&
                    (word & LODEI_SLOT_KEPT_MASK) == 0 && generation == (uint32_t)(handle >> 32) &&
                    lodei_word_change(&page->words[at], &word, lodei_busy_word(word)))) {
        /* The slot may have been freed and published again between the two loads and the swap, with
         * the very word it had: then the generation is another now. */
        if (lode_likely(__atomic_load_n(&page->generations[at], __ATOMIC_RELAXED) + 1 ==
                        generation)) {
            /* release, both: the word changed before; the generation is raised before anyone can
             * publish again */
            __atomic_store_n(&page->generations[at], generation, __ATOMIC_RELEASE);
            __atomic_store_n(&page->words[at], lodei_free_word(generation), __ATOMIC_RELEASE);
            *ret_old = lodei_word_block(word);
            return 0;
        }
        /* release: as it was, it is not ours; nobody else changes a busy word */
        __atomic_store_n(&page->words[at], word, __ATOMIC_RELEASE);
    }
    return lodei_slot_release_slow(handle, ret_old);
}

/* A handle's life is the slot's present one. acquire: pairs with lodei_generation_raise() */
LODE_INLINE int lodei_generation_is(const struct lode_handle_page *page, lode_handle handle)
{
    return __atomic_load_n(&page->generations[(uint32_t)handle % LODE_HANDLE_PAGE],
                           __ATOMIC_ACQUIRE) +
               1 ==
           (uint32_t)(handle >> 32);
}

/* End one pin or the grip of a slot (`unit`: LODEI_SLOT_PIN or _GRIP), and free what waited for the
 * last: 0; -EINVAL: there is none. */
int lodei_slot_unkeep(struct lode_handle_page *page, uint32_t at, uint64_t unit);

void lodei_slots_fork_lock(void);
void lodei_slots_fork_unlock(void);
/* In the child, the locks held: what vanished threads were freeing is free. Returns whether any
 * slot is gripped. */
int lodei_slots_forked(void);

#endif
