/* SPDX-License-Identifier: MIT */
/*
 * Groups of slots that go: given back when nothing is in them, or emptied first.
 *
 *     FREE, LIVE unpinned -shut-> DEAD -open-> FREE   (generation + 1)
 *
 * A slot is shut, by one compare-and-swap, so that nobody can publish in it while all eight are
 * looked at; then the group has no key, and its slots are opened again for the next owner. Of a
 * group that cannot go, those that were free are opened as they were. Whoever meets a shut slot
 * while publishing waits at the lock of the owner, which is held here (publish_again() in sdf.c).
 *
 * Owns nothing. Locks: none of its own; the owner serialises the calls.
 */
#include <errno.h>

#include "ext/slots.h"

/* What a slot has to be for being shut: one state, or else live, too, without pins. */
static int can_shut(uint64_t word, int live)
{
    enum lodei_slot_state state = lodei_word_state(word);
    return state == LODEI_SLOT_FREE ||
           (live && state == LODEI_SLOT_LIVE && (word & LODEI_SLOT_KEPT_MASK) == 0);
}

/* Shut a slot: 1; 0: it is in use. *ret_word is what it was. */
static int slot_shut(uint64_t *at, int live, uint64_t *ret_word)
{
    uint64_t word = __atomic_load_n(at, __ATOMIC_ACQUIRE);
    do {
        *ret_word = word;
        if (!can_shut(word, live))
            return lodei_word_state(word) == LODEI_SLOT_DEAD;
    } while (!lodei_word_change(at, &word, (uint64_t)LODEI_SLOT_DEAD << LODEI_SLOT_STATE_SHIFT));
    return 1;
}

/* Open what was shut. `raise`: those slots start another life. 1: each can be used again. */
static int slots_open(struct lode_handle_page *page, uint32_t at, unsigned shut, unsigned raise)
{
    int usable = 1;
    for (; shut != 0; shut &= shut - 1) {
        unsigned lane = (unsigned)__builtin_ctz(shut);
        uint32_t generation = page->generations[at + lane];
        if ((raise >> lane & 1) != 0 && generation != UINT32_MAX)
            generation = lodei_generation_raise(page, at + lane);
        usable &= generation != UINT32_MAX;
        /* release: the generation is raised before anyone can publish again */
        __atomic_store_n(&page->words[at + lane], lodei_free_word(generation), __ATOMIC_RELEASE);
    }
    return usable;
}

unsigned lodei_slots_clear(struct lodei_slots *slots, uint32_t first, unsigned lanes,
                           uint64_t ret_words[8], int *ret_given)
{
    struct lode_handle_page *page = lodei_slot_page(first);
    uint32_t at = first % LODE_HANDLE_PAGE;
    unsigned shut = 0, live = 0;
    for (unsigned lane = 0; lane < 8; lane++) {
        if (!slot_shut(&page->words[at + lane], (lanes >> lane & 1) != 0, &ret_words[lane]))
            continue;
        shut |= 1u << lane;
        live |= (unsigned)(lodei_word_state(ret_words[lane]) == LODEI_SLOT_LIVE) << lane;
    }
    if (shut == 255) /* release: nobody who sees the slots open again sees the old key */
        __atomic_store_n(&page->keys[at / 8], LODEI_KEY_FREE | slots->free_group, __ATOMIC_RELEASE);
    int usable = slots_open(page, at, shut, shut == 255 ? 255 : live);
    *ret_given = shut == 255 ? 0 : -EBUSY;
    if (shut == 255) {
        slots->groups_used--;
        if (usable)
            slots->free_group = first / 8 + 1;
    }
    return live;
}

int lodei_slots_give(struct lodei_slots *slots, uint32_t first)
{
    uint64_t words[8];
    int given;
    (void)lodei_slots_clear(slots, first, 0, words, &given);
    return given;
}
