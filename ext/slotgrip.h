/* SPDX-License-Identifier: MIT */
/* What an edit has on the version it began with. See slotgrip.c. */
#ifndef LODEI_SLOTGRIP_H
#define LODEI_SLOTGRIP_H

#include <errno.h>

#include "ext/slots.h"

struct lodei_grip {
    lode_handle handle;
    uint64_t word;  /* of the version, as it was before */
    int in_section; /* it has no grip, but a reading section */
};

/* What this thread has a grip on; 0: nothing. */
extern _Thread_local lode_handle lodei_grip_own
    __attribute__((tls_model("initial-exec"), visibility("hidden")));

int lodei_slot_grip_slow(struct lodei_grip *grip, lode_handle handle);
int lodei_slot_swap_gripped_slow(struct lodei_grip *grip, void *block, unsigned kind,
                                 void **ret_old);

/* Get hold of the present version. 0, and one of the two below is to follow; -ESTALE; -ENOMEM. */
LODE_INLINE int lodei_slot_grip(struct lodei_grip *grip, lode_handle handle)
{
    struct lode_handle_page *page = lodei_handle_page(handle);
    uint32_t at = (uint32_t)handle % LODE_HANDLE_PAGE;
    if (lode_unlikely(page == NULL))
        return -ESTALE;
    /* seq_cst: see lode_peek() */
    uint64_t word = __atomic_load_n(&page->words[at], __ATOMIC_SEQ_CST);
    if (lode_unlikely(lodei_word_state(word) != LODEI_SLOT_LIVE ||
                      (word & LODEI_SLOT_KEPT_MASK) != 0 || lodei_grip_own != 0 ||
                      !lodei_word_change(&page->words[at], &word, word | LODEI_SLOT_GRIP)))
        return lodei_slot_grip_slow(grip, handle);
    /* A slot that lives again with the very word it had cannot be told apart before; now it can,
     * for no life ends unseen under a grip. */
    if (lode_unlikely(!lodei_generation_is(page, handle))) {
        (void)lodei_slot_unkeep(page, at, LODEI_SLOT_GRIP);
        return -ESTALE;
    }
    lodei_grip_own = handle;
    *grip = (struct lodei_grip){.handle = handle, .word = word};
    return 0;
}

/* Leave the version as it is. */
void lodei_slot_let_go(struct lodei_grip *grip);

/* As lodei_slot_swap() with that version expected. Lets go, whatever it returns. */
LODE_INLINE int lodei_slot_swap_gripped(struct lodei_grip *grip, void *block, unsigned kind,
                                        void **ret_old)
{
    uint32_t index = (uint32_t)grip->handle;
    uint64_t *at = &lodei_slot_page(index)->words[index % LODE_HANDLE_PAGE];
    uint64_t word = grip->word | LODEI_SLOT_GRIP;
    if (lode_unlikely(grip->in_section ||
                      !lodei_word_change(at, &word, lodei_live_word(block, kind, LODEI_SLOT_LIVE))))
        return lodei_slot_swap_gripped_slow(grip, block, kind, ret_old);
    lodei_grip_own = 0;
    *ret_old = lodei_word_block(grip->word);
    return 0;
}

/* In the child, when it may free: what threads that vanished had a grip on is let go. */
void lodei_grips_forked(void);

#endif
