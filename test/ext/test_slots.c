/* SPDX-License-Identifier: MIT */
/* ext/slots.c: the lives of a slot, its group and its page. */
#include "slot_owner.h"
#include "wrapped_heap.h"

TestSuite(slots, .init = begin, .fini = end);

/* ---- lives ---- */

Test(slots, a_published_block_is_found_by_its_handle)
{
    uint32_t first = group_new();
    void *block = block_new();
    cr_assert_eq(lodei_group_key(first), KEY);
    cr_assert_eq(first % 8, 0);
    lode_handle handle = publish(first + 3, block);
    cr_assert_eq((uint32_t)handle, first + 3);
    cr_assert_neq(handle, LODE_HANDLE_NULL);
    cr_assert_eq(lode_peek(handle), block);
    cr_assert(lode_handle_is_live(handle));
    cr_assert_eq(lodei_word_block(lodei_handle_word(handle)), block);
    cr_assert_eq(lodei_word_kind(lodei_handle_word(handle)), 5);
    cr_assert_eq(lodei_slot_handle(first + 3), handle);
    cr_assert_eq(lodei_slot_handle(first + 4), 0);
    cr_assert_eq(lodei_handle_owner(handle), &slots);
    release_and_free(handle);
    cr_assert_eq(live_blocks(), 0);
}

Test(slots, a_released_handle_is_stale_for_ever)
{
    uint32_t first = group_new();
    lode_handle handles[50];
    for (int life = 0; life < 50; life++) {
        handles[life] = publish(first, block_new());
        for (int before = 0; before < life; before++) {
            cr_assert_neq(handles[before], handles[life]);
            assert_stale(handles[before]);
        }
        lodei_slots_verify(&slots);
        release_and_free(handles[life]);
        assert_stale(handles[life]);
    }
}

Test(slots, a_live_slot_and_another_key_are_refused)
{
    uint32_t first = group_new();
    void *block = block_new(), *other = block_new();
    lode_handle handle = publish(first, block), untouched = 77;
    cr_assert_eq(lodei_slot_publish(first, KEY, other, 1, &untouched), -EEXIST);
    cr_assert_eq(lodei_slot_publish(first + 1, KEY + 1, other, 1, &untouched), -EAGAIN);
    cr_assert_eq(untouched, 77);
    cr_assert_eq(lode_peek(handle), block);
    cr_assert_eq(lodei_slot_handle(first + 1), 0);
    release_and_free(handle);
    lode_free(other);
}

Test(slots, a_swap_gives_the_old_version_back)
{
    lode_handle handle = publish(group_new(), block_new());
    void *before = lode_peek(handle), *next = block_new(), *old = NULL;
    cr_assert_eq(swap(handle, 0, next, 9, &old), 0);
    cr_assert_eq(old, before);
    cr_assert_eq(lode_peek(handle), next);
    cr_assert_eq(lodei_word_kind(lodei_handle_word(handle)), 9);
    lodei_grace_free(old);
    release_and_free(handle);
    cr_assert_eq(live_blocks(), 0);
}

Test(slots, a_swap_that_expects_another_version_changes_nothing)
{
    lode_handle handle = publish(group_new(), block_new());
    uint64_t word = lodei_handle_word(handle);
    void *next = block_new(), *old = &old;
    uint64_t other_block = word ^ 1, other_kind = word ^ (uint64_t)1 << LODEI_SLOT_KIND_SHIFT;
    cr_assert_eq(swap(handle, other_block, next, 5, &old), -EAGAIN);
    cr_assert_eq(swap(handle, other_kind, next, 5, &old), -EAGAIN);
    cr_assert_eq(lodei_handle_word(handle), word);
    cr_assert_eq(old, (void *)&old);
    /* pins that come and go are no other version */
    cr_assert_not_null(lode_pin(handle));
    cr_assert_eq(swap(handle, word, next, 5, &old), 0);
    cr_assert_null(old);
    cr_assert_eq(lode_unpin(handle), 0);
    release_and_free(handle);
    cr_assert_eq(live_blocks(), 0);
}

Test(slots, kind_bits_change_alone)
{
    lode_handle handle = publish(group_new(), block_new());
    void *block = lode_peek(handle);
    cr_assert_eq(lode_pin(handle), block);
    cr_assert_eq(kind_set(handle, 0x300, 0x2ff), 0);
    cr_assert_eq(lodei_word_kind(lodei_handle_word(handle)), 0x205);
    cr_assert_eq(lode_peek(handle), block);
    cr_assert_eq(lode_handle_pins(handle), 1);
    cr_assert_eq(lode_unpin(handle), 0);
    release_and_free(handle);
}

Test(slots, every_address_and_kind_comes_back)
{
    uint32_t first = group_new();
    for (unsigned bit = 6; bit < 48; bit++) {
        void *block = (void *)((uintptr_t)1 << bit), *old;
        lode_handle handle;
        cr_assert_eq(lodei_slot_publish(first, KEY, block, LODEI_SLOT_KIND_MAX, &handle), 0);
        cr_assert_eq(lode_peek(handle), block);
        cr_assert_eq(lode_handle_pins(handle), 0);
        cr_assert_eq(lodei_word_kind(lodei_handle_word(handle)), LODEI_SLOT_KIND_MAX);
        cr_assert_eq(release(handle, &old), 0);
        cr_assert_eq(old, block);
    }
}

/* ---- generations that end ---- */

Test(slots, a_generation_never_wraps)
{
    uint32_t first = group_new();
    age(first, UINT32_MAX - 1);
    lode_handle last = publish(first, block_new()), untouched = 77;
    cr_assert_eq(last >> 32, UINT32_MAX);
    release_and_free(last);
    assert_stale(last);
    assert_stale(first); /* generation 0 of this slot */
    cr_assert_eq(lodei_slot_publish(first, KEY, (void *)64, 1, &untouched), -ENOSPC);
    cr_assert_eq(untouched, 77);
    lodei_slots_verify(&slots);
    release_and_free(publish(first + 1, block_new())); /* its neighbours go on */
}

Test(slots, a_group_with_a_dead_slot_is_given_back_for_good)
{
    uint32_t first = group_new(), again;
    age(first + 6, UINT32_MAX - 1);
    release_and_free(publish(first + 6, block_new()));
    lode_handle neighbour = publish(first + 7, block_new());
    cr_assert_eq(lodei_slots_give(&slots, first), -EBUSY);
    cr_assert(lode_handle_is_live(neighbour));
    release_and_free(neighbour);
    cr_assert_eq(lodei_slots_give(&slots, first), 0);
    lodei_slots_verify(&slots);
    cr_assert_eq(lodei_slots_take(&slots, KEY, &again), 0);
    cr_assert_neq(again, first);
    cr_assert_eq(lodei_slot_word(first + 6), (uint64_t)LODEI_SLOT_DEAD << LODEI_SLOT_STATE_SHIFT);
}

Test(slots, a_group_whose_giving_ends_a_generation_is_not_taken_again)
{
    uint32_t first = group_new(), again;
    age(first + 2, UINT32_MAX - 1);
    cr_assert_eq(lodei_slots_give(&slots, first), 0);
    lodei_slots_verify(&slots);
    cr_assert_eq(lodei_slots_take(&slots, KEY, &again), 0);
    cr_assert_neq(again, first);
}

/* ---- groups ---- */

Test(slots, a_group_in_use_is_not_given_back)
{
    uint32_t first = group_new();
    for (uint32_t lane = 0; lane < 8; lane++) {
        lode_handle handle = publish(first + lane, block_new());
        cr_assert_eq(lodei_slots_give(&slots, first), -EBUSY);
        cr_assert_not_null(lode_pin(handle));
        cr_assert_eq(lodei_slots_give(&slots, first), -EBUSY);
        release_and_free(handle);
        cr_assert_eq(lodei_slots_give(&slots, first), -EBUSY);
        lodei_slots_verify(&slots);
        cr_assert_eq(lode_unpin(handle), 0);
        cr_assert_eq(lodei_group_key(first), KEY);
    }
    for (uint32_t lane = 0; lane < 8; lane++) /* all as free as they were */
        release_and_free(publish(first + lane, block_new()));
    cr_assert_eq(lodei_slots_give(&slots, first), 0);
}

Test(slots, groups_given_back_are_taken_again_with_other_handles)
{
    uint32_t groups[600], again;
    lode_handle handles[600];
    for (int i = 0; i < 600; i++) {
        groups[i] = group_new();
        handles[i] = publish(groups[i], block_new());
        release_and_free(handles[i]);
    }
    for (int i = 0; i < 600; i++) {
        cr_assert_eq(lodei_slots_give(&slots, groups[i]), 0);
        cr_assert(lodei_group_key(groups[i]) & LODEI_KEY_FREE);
    }
    lodei_slots_verify(&slots);
    lode_handle untouched = 77;
    cr_assert_eq(lodei_slot_publish(groups[3], KEY, (void *)64, 1, &untouched), -EAGAIN);
    for (int i = 599; i >= 0; i--) {
        cr_assert_eq(lodei_slots_take(&slots, KEY + 1, &again), 0);
        cr_assert_eq(again, groups[i]);
        lode_handle handle;
        cr_assert_eq(lodei_slot_publish(again, KEY + 1, block_new(), 1, &handle), 0);
        cr_assert_neq(handle, handles[i]);
        assert_stale(handles[i]);
        release_and_free(handle);
    }
    lodei_slots_verify(&slots);
    cr_assert_eq(slots.page_count, 2);
}

Test(slots, figures_are_those_of_groups_and_pages)
{
    size_t used, mapped;
    lodei_slots_figures(&slots, &used, &mapped);
    cr_assert_eq(used, 0);
    cr_assert_eq(mapped, 0);
    for (int i = 0; i < 513; i++)
        (void)group_new();
    lodei_slots_figures(&slots, &used, &mapped);
    cr_assert_eq(used, 513 * (8 * 12 + 8));
    cr_assert_geq(mapped, 2 * sizeof(struct lode_handle_page));
    cr_assert_lt(mapped, 2 * sizeof(struct lode_handle_page) * 5 / 4);
}

Test(slots, the_directory_grows_under_handles)
{
    lode_handle first = publish(group_new(), block_new());
    for (int i = 0; i < 70 * 512; i++)
        (void)group_new();
    cr_assert_gt(slots.page_count, 64);
    cr_assert(lode_handle_is_live(first));
    lode_handle last = publish(group_new(), block_new());
    cr_assert(lode_handle_is_live(last));
    lodei_slots_verify(&slots);
    release_and_free(first);
    release_and_free(last);
}

/* ---- in a forked child ---- */

static void begin_to_free(lode_handle handle)
{
    uint64_t *at = &lodei_handle_page(handle)->words[(uint32_t)handle % LODE_HANDLE_PAGE];
    *at = lodei_busy_word(*at);
}

Test(slots, what_a_vanished_thread_was_freeing_is_free)
{
    uint32_t first = group_new();
    lode_handle live = publish(first, block_new()), busy = publish(first + 1, block_new());
    lode_handle raised = publish(first + 2, block_new()), pinned = publish(first + 3, block_new());
    age(first + 4, UINT32_MAX - 1);
    lode_handle last = publish(first + 4, block_new());
    char *bytes = lode_pin(pinned);
    strcpy(bytes, "mine");
    begin_to_free(busy);
    begin_to_free(raised);
    lodei_handle_page(raised)->generations[(uint32_t)raised % LODE_HANDLE_PAGE]++;
    begin_to_free(pinned);
    begin_to_free(last);
    lodei_slots_forked();
    lodei_slots_verify(&slots);
    cr_assert(lode_handle_is_live(live));
    assert_stale(busy);
    assert_stale(raised);
    assert_stale(pinned);
    assert_stale(last);
    cr_assert_str_eq(bytes, "mine");
    cr_assert_eq(lode_unpin(pinned), 0);
    for (uint32_t i = 0; i < 4; i++) {
        lode_handle before[] = {live, busy, raised, pinned};
        if (i == 0)
            release_and_free(live);
        cr_assert_neq(publish(first + i, block_new()), before[i]);
    }
    lode_handle untouched = 77;
    cr_assert_eq(lodei_slot_publish(first + 4, KEY, (void *)64, 1, &untouched), -ENOSPC);
}

/* ---- owners that are gone ---- */

Test(slots, a_finished_owners_handles_are_stale_and_its_pages_serve_others)
{
    uint32_t first = group_new(), first_of_next;
    lode_handle handles[8];
    struct lodei_slots next;
    for (uint32_t i = 0; i < 7; i++)
        handles[i] = publish(first + i, block_new());
    cr_assert_eq(lodei_slots_give(&slots, group_new()), 0);
    lodei_slots_finish(&slots);
    for (uint32_t i = 0; i < 7; i++) {
        assert_stale(handles[i]);
        cr_assert_null(lodei_handle_owner(handles[i]));
    }
    lodei_slots_init(&next, &next);
    cr_assert_eq(lodei_slots_take(&next, KEY + 5, &first_of_next), 0);
    cr_assert_eq(first_of_next, first);
    for (uint32_t i = 0; i < 8; i++) {
        lode_handle handle;
        cr_assert_eq(lodei_slot_publish(first + i, KEY + 5, block_new(), 1, &handle), 0);
        for (uint32_t k = 0; k < 7; k++)
            cr_assert_neq(handle, handles[k]);
        if (i < 7)
            assert_stale(handles[i]);
        cr_assert_eq(lodei_handle_owner(handle), &next);
    }
    lodei_slots_verify(&next);
    lodei_slots_finish(&next);
}

/* ---- no memory ---- */

Test(slots, without_memory_for_a_page_nothing_changes)
{
    uint32_t first = 77;
    for (long some = 0; some < 2; some++) { /* a directory, a page */
        atomic_store(&wrapped_allocations, some);
        cr_assert_eq(lodei_slots_take(&slots, KEY, &first), -ENOMEM);
        cr_assert_eq(first, 77);
        cr_assert_eq(slots.page_count, 0);
        cr_assert_eq(slots.groups_used, 0);
    }
    atomic_store(&wrapped_allocations, -1);
    first = group_new();
    for (int i = 1; i < 512; i++)
        (void)group_new();
    atomic_store(&wrapped_allocations, 0);
    cr_assert_eq(lodei_slots_take(&slots, KEY, &first), -ENOMEM);
    lodei_slots_verify(&slots);
    cr_assert_eq(lodei_slots_give(&slots, first), 0);
    cr_assert_eq(lodei_slots_take(&slots, KEY, &first), 0);
    atomic_store(&wrapped_allocations, -1);
}
