/* SPDX-License-Identifier: MIT */
/*
 * An owner of slots and a heap for its blocks, for tests of handles: Criterion's, one process each.
 * Blocks are published and given up as owners do it. Every test ends by a look at every invariant.
 */
#ifndef SLOT_OWNER_H
#define SLOT_OWNER_H

#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ext/grace.h"
#include "ext/parked.h"
#include "ext/slots.h"
#include "lode/stats.h"

#define SLOT_OWNER_HELPER __attribute__((unused)) static
#define KEY               UINT64_C(0x123456789abcdef)

static struct lode_heap *heap;
static struct lodei_slots slots;

SLOT_OWNER_HELPER void begin(void)
{
    cr_assert_eq(lode_heap_create(NULL, &heap), 0);
    lodei_slots_init(&slots, &slots);
}

SLOT_OWNER_HELPER void end(void)
{
    lodei_slots_verify(&slots);
    lodei_slots_finish(&slots);
    lodei_grace_wait();
    lode_heap_destroy(heap);
}

SLOT_OWNER_HELPER void *block_new(void)
{
    void *block = lode_heap_aligned_alloc(heap, 64, 64);
    cr_assert_not_null(block);
    return block;
}

SLOT_OWNER_HELPER uint64_t live_blocks(void)
{
    struct lode_stats stats = {.size = sizeof(stats)};
    cr_assert_eq(lode_stats_get(heap, &stats), 0);
    return stats.live_blocks;
}

SLOT_OWNER_HELPER uint32_t group_new(void)
{
    uint32_t first;
    cr_assert_eq(lodei_slots_take(&slots, KEY, &first), 0);
    return first;
}

SLOT_OWNER_HELPER lode_handle publish(uint32_t index, void *block)
{
    lode_handle handle;
    cr_assert_eq(lodei_slot_publish(index, KEY, block, 5, &handle), 0);
    return handle;
}

SLOT_OWNER_HELPER int release(lode_handle handle, void **ret_old)
{
    return lodei_slot_release(lodei_handle_page(handle), handle, ret_old);
}

SLOT_OWNER_HELPER void release_and_free(lode_handle handle)
{
    void *old = NULL;
    cr_assert_eq(release(handle, &old), 0);
    if (old != NULL)
        lodei_grace_free(old);
}

/* As owners do it: within a section, what was there freed after it. */
SLOT_OWNER_HELPER int swap(lode_handle handle, uint64_t expected, void *block, unsigned kind,
                           void **ret_old)
{
    cr_assert_eq(lode_read_begin(), 0);
    int status = lodei_slot_swap(handle, expected, block, kind, ret_old);
    lode_read_end();
    return status;
}

SLOT_OWNER_HELPER int kind_set(lode_handle handle, unsigned mask, unsigned bits)
{
    cr_assert_eq(lode_read_begin(), 0);
    int status = lodei_slot_kind_set(handle, mask, bits);
    lode_read_end();
    return status;
}

SLOT_OWNER_HELPER struct lode_read_stats read_stats(void)
{
    struct lode_read_stats stats;
    lode_read_stats(&stats);
    return stats;
}

/* The slot has had so many lives. */
SLOT_OWNER_HELPER void age(uint32_t index, uint32_t generation)
{
    struct lode_handle_page *page = lodei_slot_page(index);
    page->generations[index % LODE_HANDLE_PAGE] = generation;
    page->words[index % LODE_HANDLE_PAGE] = generation;
}

SLOT_OWNER_HELPER void assert_stale(lode_handle handle)
{
    void *old = &old, *block = block_new();
    cr_assert_null(lode_peek(handle));
    cr_assert_not(lode_handle_is_live(handle));
    cr_assert_eq(lodei_handle_word(handle), 0);
    cr_assert_eq(lode_handle_pins(handle), 0);
    errno = 0;
    cr_assert_null(lode_pin(handle));
    cr_assert_eq(errno, ESTALE);
    cr_assert_eq(lodei_slot_release_slow(handle, &old), -ESTALE);
    cr_assert_eq(swap(handle, 0, block, 1, &old), -ESTALE);
    cr_assert_eq(kind_set(handle, 1, 1), -ESTALE);
    cr_assert_eq(old, (void *)&old);
    lode_free(block);
}

#endif
