/* SPDX-License-Identifier: MIT */
/* Holds: what an edit has on the version it began with. See slothold.c. */
#ifndef LODEI_SLOTHOLD_H
#define LODEI_SLOTHOLD_H

#include "ext/slots.h"

#define LODEI_HOLDS_NOTED 4u /* of a thread; those further out are not */

/* This thread's holds, for a forked child to know. */
struct lodei_holds {
    uint32_t depth;
    uint32_t slots[LODEI_HOLDS_NOTED]; /* of the innermost, by depth modulo their number */
};

extern _Thread_local struct lodei_holds lodei_holds_own
    __attribute__((tls_model("initial-exec"), visibility("hidden")));

uint64_t lodei_slot_hold_slow(struct lode_handle_page *page, lode_handle handle);
int lodei_slot_swap_held_slow(lode_handle handle, uint64_t held, void *block, unsigned kind,
                              void **ret_old);

/* What one hold added to a word. */
LODE_INLINE uint64_t lodei_hold_unit(uint64_t held)
{
    return (held & LODEI_SLOT_HOLDS_MASK) != LODEI_SLOT_HOLDS_MASK ? LODEI_SLOT_HOLD
                                                                   : LODEI_SLOT_PIN;
}

/*
 * Hold the present version of a slot. Returns its word as it was before, which the calls below
 * take; 0: the handle is stale, nothing is held. A thread's holds end in the reverse order.
 */
LODE_INLINE uint64_t lodei_slot_hold(lode_handle handle)
{
    struct lode_handle_page *page = lodei_handle_page(handle);
    uint32_t at = (uint32_t)handle % LODE_HANDLE_PAGE;
    if (lode_unlikely(page == NULL))
        return 0;
    /* seq_cst: see lode_peek() */
    uint64_t word = __atomic_load_n(&page->words[at], __ATOMIC_SEQ_CST);
    /* A slot that lives again with the very word it had cannot be told apart before it is held;
     * then it can, for no life ends unseen under a hold. */
    if (lode_unlikely(lodei_word_state(word) != LODEI_SLOT_LIVE ||
                      (word & LODEI_SLOT_KEPT_MASK) != 0 ||
                      !lodei_word_change(&page->words[at], &word, word + LODEI_SLOT_HOLD)))
        word = lodei_slot_hold_slow(page, handle);
    else if (lode_unlikely(!lodei_generation_is(page, handle))) {
        (void)lodei_slot_let_go(page, at, LODEI_SLOT_HOLD);
        return 0;
    }
    if (lode_likely(word != 0))
        lodei_holds_own.slots[lodei_holds_own.depth++ % LODEI_HOLDS_NOTED] = (uint32_t)handle;
    return word;
}

/* End a hold. */
void lodei_slot_unhold(lode_handle handle, uint64_t held);

/* As lodei_slot_swap() with `held` expected. Ends the hold, whatever it returns. */
LODE_INLINE int lodei_slot_swap_held(lode_handle handle, uint64_t held, void *block, unsigned kind,
                                     void **ret_old)
{
    uint64_t *at = &lodei_slot_page((uint32_t)handle)->words[(uint32_t)handle % LODE_HANDLE_PAGE];
    uint64_t word = held + LODEI_SLOT_HOLD;
    if (lode_unlikely(lodei_word_state(held) != LODEI_SLOT_LIVE ||
                      (held & LODEI_SLOT_KEPT_MASK) != 0 ||
                      !lodei_word_change(at, &word, lodei_live_word(block, kind, LODEI_SLOT_LIVE))))
        return lodei_slot_swap_held_slow(handle, held, block, kind, ret_old);
    lodei_holds_own.depth--;
    *ret_old = lodei_word_block(held);
    return 0;
}

/* In the child, no lock held: the holds of threads that vanished end. */
void lodei_holds_forked(void);

#endif
