/* SPDX-License-Identifier: MIT */
/*
 * Handles of MOVABLE requests. Owns one set of slots for all of them.
 *
 * A record that serves its first MOVABLE request takes a slot and keeps it from then on, as records
 * are never given back either: after that, naming a block is one compare-and-swap. Slots come in
 * groups of eight; what a group has left over is in `spare`.
 *
 * `lock` guards `slots` and `spare`, and is held around fork().
 */
#include "ext/requestcore.h"

#include <errno.h>

#include "ext/forklock.h"
#include "ext/grace.h"
#include "ext/slots.h"

#define GROUP 8u
#define KEY   0 /* of every group: none is ever given back */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct lodei_forklock forklock;
static struct lodei_slots slots;
static uint32_t spare, spare_count; /* slots spare .. spare + spare_count - 1 are nobody's */

__attribute__((constructor)) static void start(void)
{
    lodei_slots_init(&slots, &slots);
    lodei_forklock_add(&forklock, &lock, LODEI_FORK_GRID);
}

static int slot_take(struct lodei_record *record)
{
    int error = 0;
    pthread_mutex_lock(&lock);
    if (spare_count == 0) {
        error = lodei_slots_take(&slots, KEY, &spare);
        if (error == 0)
            spare_count = GROUP;
    }
    if (error == 0) {
        record->slot = 1 + spare++;
        spare_count--;
    }
    pthread_mutex_unlock(&lock);
    return error;
}

int lodei_movable_name(struct lodei_record *record)
{
    int error;
    do {
        error = record->slot == 0 ? slot_take(record) : 0;
        if (error == 0)
            error = lodei_slot_publish(record->slot - 1, KEY, record->ptr, 0, &record->from.handle);
        if (error == -ENOSPC)
            record->slot = 0; /* its generations are used up: it is never used again */
    } while (error == -ENOSPC);
    if (error == 0)
        record->flags |= LODE_ALLOCATION_MOVABLE;
    return error;
}

void lodei_movable_free(struct lodei_record *record)
{
    lode_handle handle = record->from.handle;
    void *old;
    /* The record was closed by its one free, so the handle is live. */
    int error = lodei_slot_release(lodei_handle_page(handle), handle, &old);
    lode_assert(error == 0);
    if (error == 0 && old != NULL)
        lodei_grace_free(old);
}
