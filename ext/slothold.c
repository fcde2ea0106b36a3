/* SPDX-License-Identifier: MIT */
/*
 * Holds. An edit reads a version, writes another and swaps it in, if the one it read is still the
 * present one. Meanwhile no block may be freed, come back to the slot under the same address and be
 * taken for the one that was read. A reading section would do, but for other threads' sake an edit
 * is not to have one: as long as any section is open, what anybody replaces waits, and the next
 * block it writes is one that has left its cache. So an edit counts itself in the slot's word,
 * which it is about to change anyway:
 *
 *     LIVE, unkept -hold-> LIVE, 1 hold -swap_held-> LIVE, unkept, another version
 *
 * The old version is then nobody's but the readers'. What a hold keeps it keeps as a pin does, and
 * whoever comes in between, a pin or another edit, meets it as one: slots.c makes no difference.
 * But a forked child does: a hold ends with its thread, a pin does not. There is room for three at
 * a time; a fourth counts as a pin, and in the child of a fork at that moment stays one.
 *
 * Owns each thread's list of its holds, which only its own forked child reads. No locks.
 */
#include "ext/slothold.h"

#include <sched.h>

_Thread_local struct lodei_holds lodei_holds_own
    __attribute__((tls_model("initial-exec"), visibility("hidden")));

uint64_t lodei_slot_hold_slow(struct lode_handle_page *page, lode_handle handle)
{
    uint32_t at = (uint32_t)handle % LODE_HANDLE_PAGE;
    for (;;) {
        uint64_t word = lodei_handle_word(handle);
        if (word == 0)
            return 0;
        if ((word & LODEI_SLOT_KEPT_MASK) == LODEI_SLOT_KEPT_MASK) {
            sched_yield(); /* until one of the edits is through */
            continue;
        }
        if (!lodei_word_change(&page->words[at], &word, word + lodei_hold_unit(word)))
            continue;
        if (lode_likely(lodei_generation_is(page, handle)))
            return word;
        (void)lodei_slot_let_go(page, at, lodei_hold_unit(word));
    }
}

void lodei_slot_unhold(lode_handle handle, uint64_t held)
{
    lodei_holds_own.depth--;
    int error = lodei_slot_let_go(lodei_slot_page((uint32_t)handle),
                                  (uint32_t)handle % LODE_HANDLE_PAGE, lodei_hold_unit(held));
    lode_assert(error == 0);
    (void)error;
}

int lodei_slot_swap_held_slow(lode_handle handle, uint64_t held, void *block, unsigned kind,
                              void **ret_old)
{
    int status = lodei_slot_swap(handle, held, block, kind, ret_old);
    lodei_slot_unhold(handle, held);
    return status;
}

/* How many holds of a slot are this thread's. */
static uint32_t own_holds(uint32_t slot)
{
    const struct lodei_holds *own = &lodei_holds_own;
    uint32_t noted = own->depth < LODEI_HOLDS_NOTED ? own->depth : LODEI_HOLDS_NOTED, count = 0;
    for (uint32_t i = 1; i <= noted; i++)
        count += own->slots[(own->depth - i) % LODEI_HOLDS_NOTED] == slot;
    return count;
}

void lodei_holds_forked(void)
{
    struct lode_handle_directory *directory = lode_handle_directory;
    for (uint32_t p = 0; p < directory->count; p++) {
        struct lode_handle_page *page = directory->pages[p];
        for (uint32_t i = 0; i < page->groups_used * 8; i++) {
            uint64_t holds = (page->words[i] & LODEI_SLOT_HOLDS_MASK) / LODEI_SLOT_HOLD;
            enum lodei_slot_state state = lodei_word_state(page->words[i]);
            if (holds == 0 || state == LODEI_SLOT_FREE || state == LODEI_SLOT_DEAD)
                continue;
            for (uint64_t own = own_holds(page->first_index + i); holds > own; holds--)
                (void)lodei_slot_let_go(page, i, LODEI_SLOT_HOLD);
        }
    }
}
