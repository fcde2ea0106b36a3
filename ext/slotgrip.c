/* SPDX-License-Identifier: MIT */
/*
 * Grips. An edit reads a version, writes another and swaps it in, if the one it read is still the
 * present one. Meanwhile no block may be freed, come back to the slot under the same address and be
 * taken for the one that was read. A reading section would do, but as long as any section is open,
 * what anybody replaces waits, and the next block it writes is one that has left its cache. So an
 * edit sets a bit in the slot's word, which it is about to change anyway (ours):
 *
 *     LIVE, unkept -grip-> LIVE, grip -swap_gripped-> LIVE, unkept, another version
 *
 * The old version is then nobody's but the readers'. What is gripped is kept as by a pin, and who
 * comes in between meets it as one: slots.c makes no difference. But a forked child does: a grip
 * ends with its thread, a pin does not.
 *
 * A slot has one grip at most, and none while it is pinned; a thread has one, too. An edit that
 * comes second opens a section, as does one within another: so what is parked under a grip waits no
 * longer than one edit takes, however many follow each other, and nobody waits for a grip.
 *
 * Owns each thread's note of what it has a grip on, which its own forked child reads. No locks.
 */
#include "ext/slotgrip.h"

_Thread_local lode_handle lodei_grip_own
    __attribute__((tls_model("initial-exec"), visibility("hidden")));

int lodei_slot_grip_slow(struct lodei_grip *grip, lode_handle handle)
{
    int status = lode_read_begin();
    if (status != 0)
        return status;
    *grip =
        (struct lodei_grip){.handle = handle, .word = lodei_handle_word(handle), .in_section = 1};
    if (grip->word != 0)
        return 0;
    lode_read_end();
    return -ESTALE;
}

void lodei_slot_let_go(struct lodei_grip *grip)
{
    uint32_t index = (uint32_t)grip->handle;
    if (grip->in_section) {
        lode_read_end();
        return;
    }
    lodei_grip_own = 0;
    int error =
        lodei_slot_unkeep(lodei_slot_page(index), index % LODE_HANDLE_PAGE, LODEI_SLOT_GRIP);
    lode_assert(error == 0);
    (void)error;
}

int lodei_slot_swap_gripped_slow(struct lodei_grip *grip, void *block, unsigned kind,
                                 void **ret_old)
{
    int status = lodei_slot_swap(grip->handle, grip->word, block, kind, ret_old);
    lodei_slot_let_go(grip);
    return status;
}

void lodei_grips_forked(void)
{
    struct lode_handle_directory *directory = lode_handle_directory;
    for (uint32_t p = 0; p < directory->count; p++) {
        struct lode_handle_page *page = directory->pages[p];
        for (uint32_t i = 0; i < page->groups_used * 8; i++)
            if (lodei_is_gripped(page->words[i]) &&
                (lodei_grip_own == 0 || page->first_index + i != (uint32_t)lodei_grip_own))
                (void)lodei_slot_unkeep(page, i, LODEI_SLOT_GRIP);
    }
}
