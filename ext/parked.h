/* SPDX-License-Identifier: MIT */
/*
 * Parked versions: blocks that were freed or replaced while their slot was pinned, and wait for its
 * pins to end. See parked.c. All calls but the first and the last are made with the lock held.
 */
#ifndef LODEI_PARKED_H
#define LODEI_PARKED_H

#include <stddef.h>
#include <stdint.h>

void lodei_parked_lock(void);
void lodei_parked_unlock(void);

/* Make room for one block more. 0 or -ENOMEM. */
int lodei_parked_reserve(void);
/* There is room: it was reserved, or something was taken since. */
void lodei_parked_add(uint32_t index, void *block);
/* Move up to `count` blocks of a slot to ret_blocks; how many. */
size_t lodei_parked_take(uint32_t index, void **ret_blocks, size_t count);
/* Forget the blocks of a slot: they go with their heap. */
void lodei_parked_forget(uint32_t index);

size_t lodei_parked_count(void);

/* Assert every invariant; `visit`, if not NULL, sees the slot of each block. */
void lodei_parked_verify(void (*visit)(uint32_t index));

#endif
