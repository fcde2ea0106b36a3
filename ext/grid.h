/* SPDX-License-Identifier: MIT */
/* From the coordinate of a brick to its slot. See grid.c. */
#ifndef LODEI_GRID_H
#define LODEI_GRID_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "ext/forklock.h"
#include "ext/slots.h"

/* Coordinates of bricks: signed, 21 bits an axis. */
#define LODEI_GRID_MIN (-(1 << 20))
#define LODEI_GRID_MAX ((1 << 20) - 1)

struct lodei_grid_table {
    struct lodei_grid_table *next;
    uint32_t mask;
    uint32_t filled;            /* entries that are not 0; guarded by the grid's lock */
    uint32_t live;              /* of those, not gone */
    _Atomic uint32_t entries[]; /* group + 1 */
};

#define LODEI_ENTRY_GONE UINT32_MAX
#define LODEI_ENTRY_STEP 101u

struct lodei_grid {
    struct lodei_grid_table *_Atomic table; /* never freed while the grid lives */
    _Atomic uint64_t changes;               /* how often `table` was */
    pthread_mutex_t lock;                   /* what follows, and changes to the table */
    struct lodei_slots slots;
    struct lodei_grid_table *tables; /* all there are, by ->next */
    struct lode_heap *heap;          /* what tables are made of */
    struct lodei_forklock forklock;
};

int lodei_grid_init(struct lodei_grid *grid, void *owner, struct lode_heap *heap);
void lodei_grid_finish(struct lodei_grid *grid);

LODE_INLINE int lodei_grid_holds(int32_t x, int32_t y, int32_t z)
{
    const uint32_t min = (uint32_t)LODEI_GRID_MIN; /* unsigned: any int32_t may be asked for */
    return (((uint32_t)x - min) | ((uint32_t)y - min) | ((uint32_t)z - min)) >> 21 == 0;
}

/* The key of the group of a coordinate in range: 20 bits an axis, of 2 x 2 x 2 bricks. */
LODE_INLINE uint64_t lodei_grid_key(int32_t x, int32_t y, int32_t z)
{
    return (uint64_t)((uint32_t)(x - LODEI_GRID_MIN) >> 1) |
           (uint64_t)((uint32_t)(y - LODEI_GRID_MIN) >> 1) << 20 |
           (uint64_t)((uint32_t)(z - LODEI_GRID_MIN) >> 1) << 40;
}

/* Which of its group's 8 slots is a coordinate's. */
LODE_INLINE unsigned lodei_grid_lane(int32_t x, int32_t y, int32_t z)
{
    return ((unsigned)x & 1) | ((unsigned)y & 1) << 1 | ((unsigned)z & 1) << 2;
}

LODE_INLINE void lodei_grid_at(uint64_t key, unsigned lane, int32_t ret_at[3])
{
    for (unsigned axis = 0; axis < 3; axis++)
        ret_at[axis] =
            (int32_t)((uint32_t)(key >> (20 * axis) & 0xfffff) << 1 | (lane >> axis & 1)) +
            LODEI_GRID_MIN;
}

__extension__ typedef unsigned __int128 lodei_wide; /* of gcc and clang, on 64 bits */

/* Where the search for a key begins. */
LODE_INLINE uint32_t lodei_grid_home(uint64_t key)
{
    uint64_t place = (key & 3) | (key >> 20 & 3) << 2 | (key >> 40 & 3) << 4;
    uint64_t cell = key & ~((uint64_t)3 | (uint64_t)3 << 20 | (uint64_t)3 << 40);
    /* Multiplicative hashing, Knuth 6.4, by 2^64 / the golden ratio; the high half of the product,
     * which has what the high axes come to, folded onto the low one. */
    lodei_wide product = (lodei_wide)cell * UINT64_C(0x9e3779b97f4a7c15);
    uint64_t hash = (uint64_t)product ^ (uint64_t)(product >> 64);
    return (uint32_t)(hash >> 32 & ~(uint64_t)63) | (uint32_t)(place ^ hash >> 58);
}

LODE_INLINE uint32_t lodei_grid_table_find(const struct lodei_grid_table *table, uint64_t key)
{
    for (uint32_t i = lodei_grid_home(key);; i += LODEI_ENTRY_STEP) {
        /* acquire: pairs with the releases in table_put(), the group's page is visible, and in
         * table_clear(), that the tables changed is visible */
        uint32_t entry =
            atomic_load_explicit(&table->entries[i & table->mask], memory_order_acquire);
        if (entry == 0)
            return UINT32_MAX;
        if (entry != LODEI_ENTRY_GONE && lodei_group_key((entry - 1) * 8) == key)
            return (entry - 1) * 8;
    }
}

/* First slot of the group with this key; UINT32_MAX if there is none. Any thread. */
LODE_INLINE uint32_t lodei_grid_find(struct lodei_grid *grid, uint64_t key)
{
    for (;;) {
        /* acquire, all: pairs with the releases in table_change(). Who read an emptied entry of an
         * old table sees the count raised: it was before. */
        uint64_t changes = atomic_load_explicit(&grid->changes, memory_order_acquire);
        uint32_t first =
            lodei_grid_table_find(atomic_load_explicit(&grid->table, memory_order_acquire), key);
        if (lode_likely(first != UINT32_MAX) ||
            atomic_load_explicit(&grid->changes, memory_order_acquire) == changes)
            return first;
    }
}
/* As find, but made if there is none. 0 or -ENOMEM. */
int lodei_grid_get(struct lodei_grid *grid, uint64_t key, uint32_t *ret_first);
/* The live brick at a coordinate in range; 0: there is none. Any thread. */
lode_handle lodei_grid_brick(struct lodei_grid *grid, int32_t x, int32_t y, int32_t z);
/*
 * The brick of a lane of a group that was found with this key; 0: there is none. While it is live
 * its coordinate is that of the key and the lane, whoever has the group by now.
 */
LODE_INLINE lode_handle lodei_grid_handle(uint64_t key, uint32_t first, unsigned lane)
{
    lode_handle brick = lodei_slot_handle(first + lane);
    return brick != 0 && lodei_group_key(first) == key ? brick : 0;
}

/* The coordinate of a handle of this grid, live or not long stale. */
void lodei_grid_coordinate(lode_handle handle, int32_t ret_at[3]);
/* Give the group of `key` up if none of its slots is in use. 1: done, 0: not. */
int lodei_grid_reclaim(struct lodei_grid *grid, uint64_t key);
/* Free what lives without pins in `lanes` of the group of `key`, whose first slot was found to be
 * `first`, and give it up if nothing is left. As lodei_slots_clear(). */
unsigned lodei_grid_clear(struct lodei_grid *grid, uint64_t key, uint32_t first, unsigned lanes,
                          uint64_t ret_words[8], int *ret_given);

/*
 * Visit every group of the grid, or of those the box of coordinates touches: lo and hi inclusive,
 * NULL for all; what of the box is out of range has none. No lock is held during a visit; groups
 * made meanwhile may be left out, and one that is given up and made again may be visited twice. A
 * group is found some visits ahead, and may be of another key by its turn, or become that during
 * its own: lodei_grid_handle() tells.
 * Returns what a visit returned that was not 0.
 */
int lodei_grid_each(struct lodei_grid *grid, const int32_t lo[3], const int32_t hi[3],
                    int (*visit)(void *ctx, uint64_t key, uint32_t first), void *ctx);

/* Assert every invariant, O(grid). Returns how many entries a find of each group looks at, in all.
 */
size_t lodei_grid_verify(struct lodei_grid *grid);

/* Bytes of tables and of slot pages: used, and as mapped. */
void lodei_grid_figures(struct lodei_grid *grid, size_t *ret_used, size_t *ret_mapped);

#endif
