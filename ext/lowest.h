/* SPDX-License-Identifier: MIT */
/*
 * The lowest of many: of all entries offered, those of the lowest orders, as many as there is room
 * for, in memory the caller has. A heap with the highest order on top (Williams, "Algorithm 232:
 * Heapsort", 1964): offering one of n to room for k costs O(log k) at most, and mostly one look.
 * Owns nothing.
 */
#ifndef LODEI_LOWEST_H
#define LODEI_LOWEST_H

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"

struct lodei_ranked {
    uint64_t order;
    uint64_t item; /* this and the following as the caller likes */
    uint32_t amount;
    uint32_t group;
};

struct lodei_lowest {
    struct lodei_ranked *entries;
    size_t count, capacity;
};

LODE_INLINE void lodei_lowest_sift(struct lodei_ranked *entries, size_t count, size_t at)
{
    struct lodei_ranked moved = entries[at];
    for (;;) {
        size_t child = 2 * at + 1;
        if (child + 1 < count && entries[child + 1].order > entries[child].order)
            child++;
        if (child >= count || entries[child].order <= moved.order)
            break;
        entries[at] = entries[child];
        at = child;
    }
    entries[at] = moved;
}

LODE_INLINE void lodei_lowest_offer(struct lodei_lowest *lowest, struct lodei_ranked entry)
{
    if (lowest->count == lowest->capacity) {
        if (lowest->capacity == 0 || entry.order >= lowest->entries[0].order)
            return;
        lowest->entries[0] = entry;
        lodei_lowest_sift(lowest->entries, lowest->count, 0);
        return;
    }
    size_t at = lowest->count++;
    for (; at != 0 && lowest->entries[(at - 1) / 2].order < entry.order; at = (at - 1) / 2)
        lowest->entries[at] = lowest->entries[(at - 1) / 2];
    lowest->entries[at] = entry;
}

/* Put the entries in rising order; nothing can be offered after that. */
LODE_INLINE void lodei_lowest_sort(struct lodei_lowest *lowest)
{
    for (size_t left = lowest->count; left > 1; left--) {
        struct lodei_ranked top = lowest->entries[0];
        lowest->entries[0] = lowest->entries[left - 1];
        lodei_lowest_sift(lowest->entries, left - 1, 0);
        lowest->entries[left - 1] = top;
    }
}

#endif
