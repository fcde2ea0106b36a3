/* SPDX-License-Identifier: MIT */
#include "blockset.h"

#include <stdlib.h>
#include <string.h>

/* Blocks over this carry their pattern at both ends and at each WORD_STEP between. */
#define DENSE_BYTES ((size_t)8192)
#define EDGE_BYTES  ((size_t)1024)
#define WORD_STEP   ((size_t)2048)

void blockset_init(struct blockset *set, uint64_t seed)
{
    *set = (struct blockset){.random = seed * 0x9e3779b97f4a7c15u + 1};
}

void blockset_finish(struct blockset *set)
{
    free(set->all);
    set->all = NULL;
    set->count = set->room = 0;
}

uint64_t blockset_random(struct blockset *set)
{
    /* xorshift64*, Vigna 2016 */
    uint64_t x = set->random;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    set->random = x;
    return x * 0x2545f4914f6cdd1du;
}

size_t blockset_below(struct blockset *set, size_t limit)
{
    return (size_t)(blockset_random(set) >> 16) % limit;
}

size_t blockset_size(struct blockset *set, size_t max)
{
    size_t kind = blockset_below(set, 16), bytes;
    if (kind < 8) {
        bytes = blockset_below(set, 1025);
    } else if (kind < 14) { /* around 2^k * (8..15) / 8: where classes end */
        size_t power = (size_t)1 << blockset_below(set, 19);
        bytes = power * (8 + blockset_below(set, 8)) / 8 + blockset_below(set, 3);
        bytes -= bytes > 0;
    } else {
        bytes = blockset_below(set, max + 1);
    }
    return bytes < max ? bytes : max;
}

static unsigned char pattern(uint64_t seed, size_t offset)
{
    return (unsigned char)((seed + offset * 0x9e3779b97f4a7c15u) >> 40 | 1);
}

/* The next offset that carries pattern after `offset`. */
static size_t next_offset(size_t offset, size_t bytes)
{
    if (bytes <= DENSE_BYTES || offset < EDGE_BYTES || offset + EDGE_BYTES >= bytes)
        return offset + 1;
    size_t next = offset + WORD_STEP;
    return next < bytes - EDGE_BYTES ? next : bytes - EDGE_BYTES;
}

void blockset_fill(struct blockset *set, size_t i)
{
    struct blockset_entry *e = &set->all[i];
    for (size_t at = 0; at < e->bytes; at = next_offset(at, e->bytes))
        e->at[at] = pattern(e->seed, at);
}

struct blockset_entry *blockset_add(struct blockset *set, void *at, size_t bytes)
{
    if (set->count == set->room) {
        set->room = set->room != 0 ? set->room * 2 : 256;
        set->all = realloc(set->all, set->room * sizeof(*set->all));
        if (set->all == NULL)
            abort();
    }
    struct blockset_entry *e = &set->all[set->count++];
    *e = (struct blockset_entry){
        .at = at, .bytes = bytes, .usable = bytes, .seed = blockset_random(set)};
    blockset_fill(set, set->count - 1);
    return e;
}

int blockset_stands_at(const struct blockset *set, size_t i, const void *at, size_t bytes)
{
    const struct blockset_entry *e = &set->all[i];
    const unsigned char *p = at;
    for (size_t o = 0; o < e->bytes && o < bytes; o = next_offset(o, e->bytes))
        if (p[o] != pattern(e->seed, o))
            return 0;
    return 1;
}

int blockset_intact(const struct blockset *set, size_t i)
{
    return blockset_stands_at(set, i, set->all[i].at, set->all[i].bytes);
}

size_t blockset_broken(const struct blockset *set)
{
    size_t broken = 0;
    for (size_t i = 0; i < set->count; i++)
        broken += !blockset_intact(set, i);
    return broken;
}

void *blockset_remove(struct blockset *set, size_t i)
{
    void *at = set->all[i].at;
    set->all[i] = set->all[--set->count];
    return at;
}

int blockset_overlaps(const struct blockset *set, const void *at, size_t bytes)
{
    uintptr_t from = (uintptr_t)at, to = from + bytes;
    for (size_t i = 0; i < set->count; i++) {
        uintptr_t start = (uintptr_t)set->all[i].at;
        if (start < to && from < start + set->all[i].usable)
            return 1;
    }
    return 0;
}

size_t blockset_usable(const struct blockset *set)
{
    size_t bytes = 0;
    for (size_t i = 0; i < set->count; i++)
        bytes += set->all[i].usable;
    return bytes;
}

static int by_address(const void *a, const void *b)
{
    const struct blockset_entry *x = a, *y = b;
    return ((uintptr_t)x->at > (uintptr_t)y->at) - ((uintptr_t)x->at < (uintptr_t)y->at);
}

void blockset_sort(struct blockset *set)
{
    if (set->count > 1)
        qsort(set->all, set->count, sizeof(*set->all), by_address);
}

int blockset_is_zero(const void *at, size_t bytes)
{
    const unsigned char *p = at;
    return bytes == 0 || (p[0] == 0 && memcmp(p, p + 1, bytes - 1) == 0);
}
