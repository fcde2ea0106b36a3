/* SPDX-License-Identifier: MIT */
/* lode/handle.h, ext/slots.c, ext/parked.c: pins, and what waits for them to end. */
#include "slot_owner.h"

#include <pthread.h>
#include <sched.h>

#include "wrapped_heap.h"

TestSuite(pins, .init = begin, .fini = end);

/* ---- what was never a handle ---- */

Test(pins, words_that_were_never_handles_are_stale)
{
    uint32_t first = group_new();
    lode_handle handle = publish(first, block_new());
    uint64_t random = 1;
    assert_stale(LODE_HANDLE_NULL);
    assert_stale(UINT64_MAX);
    assert_stale(handle + ((uint64_t)1 << 32)); /* its next life */
    assert_stale(handle | UINT32_MAX);
    assert_stale((uint32_t)handle);
    for (int i = 0; i < 100000; i++) {
        random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        lode_handle garbage = random ^ random >> 29;
        if (garbage == handle)
            continue;
        cr_assert_null(lode_peek(garbage));
        cr_assert_null(lode_pin(garbage));
        cr_assert_eq(lode_unpin(garbage), -EINVAL);
        void *owner = lodei_handle_owner(garbage);
        cr_assert(owner == NULL || owner == &slots);
    }
    cr_assert(lode_handle_is_live(handle));
    release_and_free(handle);
}

Test(pins, what_was_never_a_handle_ends_nobodys_pin)
{
    /* the very first slot of the process: the null handle has its index */
    uint32_t first = group_new();
    cr_assert_eq(first, 0);
    lode_handle handle = publish(first, block_new());
    cr_assert_not_null(lode_pin(handle));
    cr_assert_eq(lode_unpin(LODE_HANDLE_NULL), -EINVAL);
    cr_assert_eq(lode_unpin(handle + ((uint64_t)1 << 32)), -EINVAL);
    cr_assert_eq(lode_unpin((uint64_t)UINT32_MAX << 32), -EINVAL);
    cr_assert_eq(lode_handle_pins(handle), 1);
    cr_assert_eq(lode_unpin(handle), 0);
    cr_assert_eq(lode_unpin(handle), -EINVAL);
    release_and_free(handle);
}

/* ---- pins ---- */

Test(pins, a_pinned_version_outlives_its_edits)
{
    lode_handle handle = publish(group_new(), block_new());
    char *pinned = lode_pin(handle);
    strcpy(pinned, "as it was");
    for (int edit = 1; edit <= 100; edit++) {
        void *old = &old;
        cr_assert_eq(swap(handle, 0, block_new(), 1, &old), 0);
        cr_assert_null(old);
        cr_assert_eq(read_stats().parked_blocks, (size_t)edit);
        cr_assert_eq(lode_handle_pins(handle), 1);
        cr_assert_neq(lode_peek(handle), (void *)pinned);
    }
    lodei_slots_verify(&slots);
    cr_assert_str_eq(pinned, "as it was");
    cr_assert_eq(live_blocks(), 101);
    cr_assert_eq(lode_unpin(handle), 0);
    cr_assert_eq(live_blocks(), 1);
    cr_assert_eq(read_stats().parked_blocks, 0);
    cr_assert_eq(lodei_word_state(lodei_handle_word(handle)), LODEI_SLOT_LIVE);
    release_and_free(handle);
    cr_assert_eq(live_blocks(), 0);
}

Test(pins, parked_versions_wait_for_the_last_pin)
{
    lode_handle handle = publish(group_new(), block_new());
    void *old;
    for (int pins = 0; pins < 3; pins++) {
        cr_assert_not_null(lode_pin(handle));
        cr_assert_eq(swap(handle, 0, block_new(), 1, &old), 0);
    }
    cr_assert_eq(lode_unpin(handle), 0);
    cr_assert_eq(lode_unpin(handle), 0);
    cr_assert_eq(live_blocks(), 4);
    cr_assert_eq(lode_unpin(handle), 0);
    cr_assert_eq(live_blocks(), 1);
    cr_assert_eq(lode_unpin(handle), -EINVAL);
    release_and_free(handle);
}

Test(pins, parked_versions_of_one_slot_are_no_others)
{
    uint32_t first = group_new();
    lode_handle handles[8];
    for (uint32_t i = 0; i < 8; i++) {
        handles[i] = publish(first + i, block_new());
        cr_assert_not_null(lode_pin(handles[i]));
    }
    for (int edit = 0; edit < 40; edit++)
        for (uint32_t i = 0; i < 8; i++) {
            void *old;
            cr_assert_eq(swap(handles[i], 0, block_new(), 1, &old), 0);
        }
    for (uint32_t i = 0; i < 8; i++) {
        cr_assert_eq(lode_unpin(handles[i]), 0);
        cr_assert_eq(live_blocks(), 8 + 40 * (7 - i));
        lodei_slots_verify(&slots);
    }
    for (uint32_t i = 0; i < 8; i++)
        release_and_free(handles[i]);
}

Test(pins, a_pinned_block_outlives_its_free)
{
    uint32_t first = group_new();
    lode_handle handle = publish(first, block_new());
    char *pinned = lode_pin(handle);
    void *old = &old;
    strcpy(pinned, "still here");
    cr_assert_not_null(lode_pin(handle));
    cr_assert_eq(release(handle, &old), 0);
    cr_assert_null(old);
    assert_stale(handle);
    cr_assert_eq(read_stats().parked_blocks, 1);
    lodei_slots_verify(&slots);
    cr_assert_eq(lode_unpin(handle), 0);
    cr_assert_str_eq(pinned, "still here");
    cr_assert_eq(live_blocks(), 1);
    cr_assert_eq(lode_unpin(handle), 0);
    cr_assert_eq(live_blocks(), 0);
    cr_assert_eq(read_stats().parked_blocks, 0);
    cr_assert_eq(lode_unpin(handle), -EINVAL);
    release_and_free(publish(first, block_new()));
}

Test(pins, a_slot_still_pinned_from_an_earlier_life_lives_again)
{
    uint32_t first = group_new();
    lode_handle was = publish(first, block_new());
    char *pinned = lode_pin(was);
    strcpy(pinned, "the first");
    release_and_free(was);
    lode_handle is = publish(first, block_new());
    cr_assert_neq(was, is);
    assert_stale(was);
    cr_assert(lode_handle_is_live(is));
    cr_assert_eq(read_stats().parked_blocks, 1);
    lodei_slots_verify(&slots);
    release_and_free(is); /* pinned all the same: a slot has one count */
    cr_assert_eq(live_blocks(), 2);
    is = publish(first, block_new());
    cr_assert_str_eq(pinned, "the first");
    cr_assert_eq(live_blocks(), 3);
    cr_assert_eq(lode_unpin(was), 0);
    cr_assert_eq(live_blocks(), 1);
    cr_assert_eq(lode_handle_pins(is), 0);
    release_and_free(is);
    cr_assert_eq(live_blocks(), 0);
}

static uint32_t contested;
static void *contender_block;
static int contender_status;

static void *contender(void *arg)
{
    lode_handle handle;
    contender_status = lodei_slot_publish(contested, KEY, contender_block, 5, &handle);
    return arg;
}

/* A publisher has seen the key of a slot that is still pinned, and waits for the lock, while the
 * pin ends, the group goes to another key, and the slot is pinned and freed once more. */
Test(pins, a_slot_that_changed_hands_is_not_lived_in_again)
{
    uint32_t again, generation = 1;
    pthread_t thread;
    void *first_block = block_new(), *old;
    lode_handle handle;
    contested = group_new();
    contender_block = block_new();
    handle = publish(contested, first_block);
    cr_assert_eq(lode_pin(handle), first_block);
    release_and_free(handle);
    lodei_parked_lock();
    cr_assert_eq(pthread_create(&thread, NULL, contender, NULL), 0);
    for (int i = 0; i < 1000; i++)
        sched_yield();
    /* as the end of the pin does it, under that lock */
    struct lode_handle_page *page = lodei_slot_page(contested);
    __atomic_store_n(&page->words[contested % LODE_HANDLE_PAGE], lodei_free_word(generation),
                     __ATOMIC_SEQ_CST);
    lode_free(first_block);
    cr_assert_eq(lodei_slots_give(&slots, contested), 0);
    cr_assert_eq(lodei_slots_take(&slots, KEY + 1, &again), 0);
    cr_assert_eq(again, contested);
    cr_assert_eq(lodei_slot_publish(again, KEY + 1, block_new(), 5, &handle), 0);
    cr_assert_not_null(lode_pin(handle));
    cr_assert_eq(release(handle, &old), 0);
    lodei_parked_unlock();
    pthread_join(thread, NULL);
    cr_assert_eq(contender_status, -EAGAIN);
    lode_free(contender_block);
    cr_assert_eq(lode_unpin(handle), 0);
    cr_assert_eq(live_blocks(), 0);
}

Test(pins, pins_end_somewhere)
{
    lode_handle handle = publish(group_new(), block_new());
    void *block = lode_peek(handle);
    for (int i = 0; i < LODE_PINS_MAX; i++)
        cr_assert_eq(lode_pin(handle), block);
    errno = 0;
    cr_assert_null(lode_pin(handle));
    cr_assert_eq(errno, EAGAIN);
    cr_assert_eq(lode_handle_pins(handle), LODE_PINS_MAX);
    cr_assert_eq(lode_peek(handle), block);
    release_and_free(handle);
    assert_stale(handle);
    for (int i = 0; i < LODE_PINS_MAX; i++)
        cr_assert_eq(lode_unpin(handle), 0);
    cr_assert_eq(lode_unpin(handle), -EINVAL);
    cr_assert_eq(live_blocks(), 0);
}

Test(pins, a_pinned_last_life_ends_too)
{
    uint32_t first = group_new();
    age(first, UINT32_MAX - 1);
    lode_handle last = publish(first, block_new()), untouched = 77;
    cr_assert_not_null(lode_pin(last));
    release_and_free(last);
    cr_assert_eq(lodei_slot_publish(first, KEY, (void *)64, 1, &untouched), -ENOSPC);
    cr_assert_eq(live_blocks(), 1);
    lodei_slots_verify(&slots);
    cr_assert_eq(lode_unpin(last), 0);
    cr_assert_eq(live_blocks(), 0);
    cr_assert_eq(lodei_slot_publish(first, KEY, (void *)64, 1, &untouched), -ENOSPC);
    cr_assert_eq(lode_unpin(last), -EINVAL);
    cr_assert_eq(untouched, 77);
}

Test(pins, a_void_pin_ends_nobody_elses)
{
    uint32_t first = group_new();
    lode_handle live = publish(first, block_new()), zombie = publish(first + 1, block_new());
    lode_handle edited = publish(first + 2, block_new());
    void *old;
    cr_assert_not_null(lode_pin(live));
    cr_assert_not_null(lode_pin(zombie));
    cr_assert_not_null(lode_pin(edited));
    cr_assert_eq(release(zombie, &old), 0);
    cr_assert_eq(swap(edited, 0, block_new(), 1, &old), 0);
    lodei_slots_finish(&slots);
    cr_assert_eq(read_stats().parked_blocks, 0);

    struct lodei_slots next;
    lodei_slots_init(&next, &next);
    lode_handle pinned[512 * 8];
    uint32_t count = 0;
    for (int group = 0; group < 511; group++) { /* of the one page: a group is lost */
        cr_assert_eq(lodei_slots_take(&next, KEY, &first), 0);
        for (uint32_t i = 0; i < 8; i++) {
            pinned[count] = publish(first + i, block_new());
            cr_assert_not_null(lode_pin(pinned[count++]));
        }
    }
    cr_assert_eq(next.page_count, 1);
    lodei_slots_verify(&next);
    cr_assert_eq(lode_unpin(live), -EINVAL);
    cr_assert_eq(lode_unpin(zombie), -EINVAL);
    cr_assert_eq(lode_unpin(edited), -EINVAL);
    for (uint32_t i = 0; i < count; i++) {
        cr_assert_eq(lode_handle_pins(pinned[i]), 1);
        cr_assert_eq(lode_unpin(pinned[i]), 0);
    }
    lodei_slots_finish(&next);
}

Test(pins, a_page_that_void_pins_used_up_serves_nobody)
{
    struct lodei_slots next;
    uint32_t first;
    for (int group = 0; group < 512; group++)
        cr_assert_not_null(lode_pin(publish(group_new(), block_new())));
    cr_assert_eq(slots.page_count, 1);
    lodei_slots_finish(&slots);
    lodei_slots_init(&next, &next);
    cr_assert_eq(lodei_slots_take(&next, KEY, &first), 0);
    cr_assert_geq(first, LODE_HANDLE_PAGE);
    cr_assert_eq(next.page_count, 1);
    lodei_slots_verify(&next);
    lodei_slots_finish(&next);
}

Test(pins, without_memory_to_park_a_version_nothing_changes)
{
    uint32_t first = group_new();
    lode_handle handle = publish(first, block_new()), zombie = publish(first + 1, block_new());
    void *block = lode_pin(handle), *next = block_new(), *old = &old;
    cr_assert_not_null(lode_pin(zombie));
    release_and_free(zombie);
    cr_assert_eq(lode_read_begin(), 0); /* this thread's record needs memory too */
    atomic_store(&wrapped_allocations, 0);
    cr_assert_eq(lodei_slot_swap(handle, 0, next, 1, &old), -ENOMEM);
    cr_assert_eq(old, (void *)&old);
    cr_assert_eq(lode_peek(handle), block);
    cr_assert_eq(lode_handle_pins(handle), 1);
    lode_handle untouched = 77;
    cr_assert_eq(lodei_slot_publish(first + 1, KEY, next, 1, &untouched), -ENOMEM);
    cr_assert_eq(untouched, 77);
    cr_assert_eq(lodei_slot_handle(first + 1), 0);
    lodei_slots_verify(&slots);
    /* none is needed where nobody pins */
    cr_assert_eq(lode_unpin(handle), 0);
    cr_assert_eq(lodei_slot_swap(handle, 0, next, 1, &old), 0);
    cr_assert_eq(old, block);
    atomic_store(&wrapped_allocations, -1);
    lode_read_end();
    lodei_grace_free(old);
    cr_assert_eq(lode_unpin(zombie), 0);
    release_and_free(handle);
    cr_assert_eq(live_blocks(), 0);
}

/* ---- against a model ---- */

struct life {
    lode_handle handle; /* 0: free */
    int pins;           /* of the slot */
    lode_handle any;    /* a handle of any life, to unpin with */
    uint32_t versions;  /* blocks that must be there: the current one and what is parked */
};

static void step(struct life *life, uint32_t index, unsigned what, uint32_t version)
{
    char *block;
    void *old = NULL;
    switch (what) {
    case 0: /* publish, or find that it is live */
        block = block_new();
        memcpy(block, &version, sizeof(version));
        if (life->handle != 0) {
            lode_handle untouched = 77;
            cr_assert_eq(lodei_slot_publish(index, KEY, block, 1, &untouched), -EEXIST);
            lode_free(block);
            break;
        }
        life->handle = life->any = publish(index, block);
        life->versions++;
        break;
    case 1:
        if (life->handle == 0)
            break;
        block = block_new();
        memcpy(block, &version, sizeof(version));
        cr_assert_eq(swap(life->handle, 0, block, 2, &old), 0);
        cr_assert_eq(old == NULL, life->pins > 0);
        life->versions += life->pins > 0;
        break;
    case 2:
        if (life->handle == 0)
            break;
        cr_assert_eq(release(life->handle, &old), 0);
        cr_assert_eq(old == NULL, life->pins > 0);
        life->versions -= life->pins == 0;
        assert_stale(life->handle);
        life->handle = 0;
        break;
    case 3:
    case 4:
        if (life->handle != 0 && life->pins < 5) {
            cr_assert_not_null(lode_pin(life->handle));
            life->pins++;
        }
        break;
    default:
        if (life->any == 0)
            break;
        cr_assert_eq(lode_unpin(life->any), life->pins > 0 ? 0 : -EINVAL);
        life->pins -= life->pins > 0;
        if (life->pins == 0)
            life->versions = life->handle != 0;
        break;
    }
    if (old != NULL)
        lodei_grace_free(old);
}

Test(pins, thousands_of_steps_keep_to_the_model)
{
    struct life lives[24] = {{0}};
    uint32_t groups[3] = {group_new(), group_new(), group_new()};
    uint64_t random = 12345, versions;
    for (uint32_t i = 0; i < 40000; i++) {
        random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        uint32_t which = (uint32_t)(random >> 33) % 24, what = (uint32_t)(random >> 40) % 7;
        struct life *life = &lives[which];
        step(life, groups[which / 8] + which % 8, what, i);
        cr_assert_eq(lodei_slot_handle(groups[which / 8] + which % 8), life->handle);
        if (life->handle != 0)
            cr_assert_eq(lode_handle_pins(life->handle), (unsigned)life->pins);
        if (i % 97 != 0)
            continue;
        lodei_slots_verify(&slots);
        versions = 0;
        for (int k = 0; k < 24; k++)
            versions += lives[k].versions;
        cr_assert_eq(live_blocks(), versions);
    }
}
