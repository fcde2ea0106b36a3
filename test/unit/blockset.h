/* SPDX-License-Identifier: MIT */
/*
 * A model of what a heap holds: the live blocks, each filled with a pattern of its own, and a
 * seeded source of sizes. Takes its storage from libc's malloc, never from the heaps under test,
 * and reports by return value, so that Criterion tests and plain programs can both use it. Not
 * thread-safe.
 */
#ifndef BLOCKSET_H
#define BLOCKSET_H

#include <stddef.h>
#include <stdint.h>

struct blockset_entry {
    unsigned char *at;
    size_t bytes;  /* as asked for; the pattern covers these */
    size_t usable; /* as the heap said when the block was new */
    uint64_t seed;
    void *owner; /* whatever the test wants to know about it */
};

struct blockset {
    struct blockset_entry *all;
    size_t count, room;
    uint64_t random;
};

void blockset_init(struct blockset *set, uint64_t seed);
void blockset_finish(struct blockset *set);

uint64_t blockset_random(struct blockset *set);
/* 0 .. limit - 1 */
size_t blockset_below(struct blockset *set, size_t limit);
/* A size up to `max`, mostly small, often one off a class boundary. */
size_t blockset_size(struct blockset *set, size_t max);

/* Enter a new block and fill it; the entry holds until the next add. */
struct blockset_entry *blockset_add(struct blockset *set, void *at, size_t bytes);
/* Write the pattern of entry `i` over its `bytes`. */
void blockset_fill(struct blockset *set, size_t i);
/* 1 when the first `bytes` of the pattern of entry `i` stand at `at`. */
int blockset_stands_at(const struct blockset *set, size_t i, const void *at, size_t bytes);
/* 1 when entry `i` still holds its pattern. */
int blockset_intact(const struct blockset *set, size_t i);
/* How many entries do not hold their pattern. */
size_t blockset_broken(const struct blockset *set);
/* Forget entry `i`; the last one takes its place. Returns where the block was. */
void *blockset_remove(struct blockset *set, size_t i);
/* 1 when [at, +bytes) touches an entry's usable bytes. */
int blockset_overlaps(const struct blockset *set, const void *at, size_t bytes);
/* Sum of the usable bytes. */
size_t blockset_usable(const struct blockset *set);
/* By address. */
void blockset_sort(struct blockset *set);

/* 1 when [at, +bytes) reads as zero. */
int blockset_is_zero(const void *at, size_t bytes);

#endif
