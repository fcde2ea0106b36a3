/* SPDX-License-Identifier: MIT */
/*
 * Handles of MOVABLE requests. Owns one set of slots for all of them, and the records whose slot is
 * still kept.
 *
 * A record that serves its first MOVABLE request takes a slot and keeps it from then on, as records
 * are never given back either: after that, naming a block is one compare-and-swap. Slots come in
 * groups of eight; what a group has left over is in `spare`.
 *
 * A block that is freed while it is pinned leaves its slot to the pins. Were the record used again
 * before they end, whatever it serves would be parked for them, too: so it waits.
 *
 *     first_waiting -> record -> record (last_waiting)       by below
 *
 * Each time another joins, and when a slot is wanted, the first few are looked at: those that may
 * go on do, the others move to the end.
 *
 * `lock` guards all of this, and is held around fork().
 */
#include "ext/requestcore.h"

#include <errno.h>

#include "ext/forklock.h"
#include "ext/grace.h"
#include "ext/slots.h"

#define GROUP     8u
#define KEY       0 /* of every group: none is ever given back */
#define LOOKED_AT 4

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct lodei_forklock forklock;
static struct lodei_slots slots = {.owner = &slots};
static uint32_t spare, spare_count; /* slots spare .. spare + spare_count - 1 are nobody's */
static struct lodei_record *first_waiting, *last_waiting;
static uint32_t waiting_count;

__attribute__((constructor)) static void start(void)
{
    lodei_forklock_add(&forklock, &lock, LODEI_FORK_GRID);
}

/* ---- records that wait; the lock is held ---- */

static void wait_last(struct lodei_record *record)
{
    record->below = 0;
    if (last_waiting != NULL)
        last_waiting->below = 1 + record->index;
    else
        first_waiting = record;
    last_waiting = record;
    waiting_count++;
}

static struct lodei_record *wait_no_more(void)
{
    struct lodei_record *record = first_waiting;
    first_waiting = record->below != 0 ? lodei_record_find(record->below - 1) : NULL;
    if (first_waiting == NULL)
        last_waiting = NULL;
    waiting_count--;
    return record;
}

static int is_kept(const struct lodei_record *record)
{
    return (lodei_slot_word(record->slot - 1) & LODEI_SLOT_KEPT_MASK) != 0;
}

static void look_at_waiting(void)
{
    uint32_t count = waiting_count < LOOKED_AT ? waiting_count : LOOKED_AT;
    for (; count > 0; count--) {
        struct lodei_record *record = wait_no_more();
        if (is_kept(record))
            wait_last(record);
        else
            lodei_record_put(record);
    }
}

/* ---- slots ---- */

static int slot_take(struct lodei_record *record)
{
    int error = 0;
    pthread_mutex_lock(&lock);
    look_at_waiting();
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

void lodei_movable_end(struct lodei_record *record)
{
    lode_handle handle = record->from.handle;
    void *old = NULL;
    int error = lodei_slot_release(lodei_handle_page(handle), handle, &old);
    lode_assert(error == 0); /* the record was closed by its one free */
    (void)error;
    if (old != NULL) {
        lodei_record_put(record);
        lodei_grace_free(old);
        return;
    }
    pthread_mutex_lock(&lock);
    look_at_waiting();
    wait_last(record);
    pthread_mutex_unlock(&lock);
}

void lodei_movable_verify(void)
{
    pthread_mutex_lock(&lock);
    lodei_slots_verify(&slots);
    uint32_t count = 0;
    for (struct lodei_record *r = first_waiting; r != NULL; count++)
        r = r->below != 0 ? lodei_record_find(r->below - 1) : NULL;
    lodei_holds(count == waiting_count);
    pthread_mutex_unlock(&lock);
}
