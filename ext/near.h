/* SPDX-License-Identifier: MIT */
/*
 * Who can place a block beside another: pools that know where their blocks lie offer it here, and
 * requests with near_ptr ask them before they try the heap. Owns the list of offers.
 *
 * An offer is taken back before its pool goes; blocks that are live then go with the pool, and
 * whoever has one asks by the offer's serial, which is never used twice. Its functions are called
 * under no lock, by any thread.
 */
#ifndef LODEI_NEAR_H
#define LODEI_NEAR_H

#include <stddef.h>
#include <stdint.h>

#include "base/list.h"

struct lodei_near {
    void *ctx;
    /* Does `near` lie in memory of this pool? */
    int (*owns)(void *ctx, const void *near);
    /* A block beside `near`, aligned to `align` and of at least `bytes`; NULL: no room, or not such
     * blocks. */
    void *(*alloc)(void *ctx, const void *near, size_t bytes, size_t align);
    int (*free)(void *ctx, void *block);
    struct lodei_list link; /* these by lodei_near_add() */
    uint64_t serial;
    int users; /* guarded by the list's lock */
};

void lodei_near_add(struct lodei_near *offer);
/* Waits until nobody is in one of its functions. */
void lodei_near_remove(struct lodei_near *offer);
/* The offer whose pool `near` lies in, kept from removal until lodei_near_drop(); NULL: none. */
struct lodei_near *lodei_near_take(const void *near);
/* The same by its serial; NULL: it was removed. */
struct lodei_near *lodei_near_again(uint64_t serial);
void lodei_near_drop(struct lodei_near *offer);

#endif
