/* SPDX-License-Identifier: MIT */
/*
 * The invariants of slots.h, walked and asserted: for tests, and in owners' changes under
 * checks=full. Other threads may publish, swap, release and pin meanwhile; what their owner
 * serialises rests. Nothing is changed.
 */
#include "ext/parked.h"
#include "ext/slots.h"

/* What holds of one slot at any time. */
static void verify_slot(const struct lode_handle_page *page, uint32_t at)
{
    /* acquire, all: the same generation before and after means that the word is of that life */
    uint32_t generation = __atomic_load_n(&page->generations[at], __ATOMIC_ACQUIRE);
    uint64_t word = __atomic_load_n(&page->words[at], __ATOMIC_ACQUIRE);
    if (__atomic_load_n(&page->generations[at], __ATOMIC_ACQUIRE) != generation)
        return;
    int pinned = (word & LODEI_SLOT_KEPT_MASK) != 0, placed = (word & LODE_HANDLE_ADDRESS) != 0;
    switch (lodei_word_state(word)) {
    case LODEI_SLOT_FREE:
        lodei_holds(word == generation && generation != UINT32_MAX);
        break;
    case LODEI_SLOT_DEAD:
        lodei_holds(word == lodei_free_word(UINT32_MAX) && generation == UINT32_MAX);
        break;
    case LODEI_SLOT_ZOMBIE:
        lodei_holds(pinned && placed);
        break;
    case LODEI_SLOT_PARKED:
        lodei_holds(pinned && placed && generation != UINT32_MAX);
        break;
    case LODEI_SLOT_LIVE:
        lodei_holds(placed && generation != UINT32_MAX);
        break;
    case LODEI_SLOT_BUSY:
        lodei_holds(placed);
        break;
    default:
        lodei_holds(!"a state that there is not");
    }
}

void lodei_group_verify(const struct lodei_slots *slots, uint32_t first)
{
    const struct lode_handle_page *page = lodei_slot_page(first);
    uint32_t at = first % LODE_HANDLE_PAGE;
    lodei_holds(first % 8 == 0 && at / 8 < page->groups_used);
    lodei_holds(page->owner == slots->owner);
    for (uint32_t i = 0; i < 8; i++)
        verify_slot(page, at + i);
}

/* Groups of a page that are taken. */
static uint32_t verify_page(const struct lodei_slots *slots, struct lode_handle_page *page)
{
    uint32_t taken = 0;
    lodei_holds(page->first_index % LODE_HANDLE_PAGE == 0);
    lodei_holds(lodei_slot_page(page->first_index) == page);
    lodei_holds(page == slots->pages ? page->groups_used <= LODE_HANDLE_PAGE / 8
                                     : page->groups_used == LODE_HANDLE_PAGE / 8);
    for (uint32_t group = 0; group < page->groups_used; group++) {
        lodei_group_verify(slots, page->first_index + group * 8);
        taken += (page->keys[group] & LODEI_KEY_FREE) == 0;
    }
    return taken;
}

/* A slot of the list of groups given back is free, and nobody can publish it. */
static void verify_given(uint32_t first)
{
    const struct lode_handle_page *page = lodei_slot_page(first);
    for (uint32_t at = first % LODE_HANDLE_PAGE, end = at + 8; at < end; at++)
        lodei_holds(page->words[at] == page->generations[at] &&
                    page->generations[at] != UINT32_MAX);
}

static void verify_parked(uint32_t index)
{
    uint64_t word = lodei_word_settled(&lodei_slot_page(index)->words[index % LODE_HANDLE_PAGE]);
    enum lodei_slot_state state = lodei_word_state(word);
    lodei_holds(state == LODEI_SLOT_PARKED || state == LODEI_SLOT_ZOMBIE);
    lodei_holds((word & LODEI_SLOT_KEPT_MASK) != 0);
}

void lodei_slots_verify(const struct lodei_slots *slots)
{
    uint32_t pages = 0, taken = 0, given = 0, most = 0;
    for (struct lode_handle_page *page = slots->pages; page != NULL; page = page->next) {
        lodei_holds(pages++ < slots->page_count);
        taken += verify_page(slots, page);
        most += page->groups_used;
    }
    lodei_holds(pages == slots->page_count && taken == slots->groups_used);
    for (uint32_t group = slots->free_group; group != 0; given++) {
        uint32_t first = (group - 1) * 8;
        lodei_holds(given < most);
        lodei_holds(lodei_slot_page(first)->owner == slots->owner);
        lodei_holds((lodei_group_key(first) & LODEI_KEY_FREE) != 0);
        verify_given(first);
        group = (uint32_t)lodei_group_key(first);
    }
    lodei_holds(given + taken <= most); /* the rest have dead slots */
    lodei_parked_lock();
    lodei_parked_verify(verify_parked);
    lodei_parked_unlock();
}
