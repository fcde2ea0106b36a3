/* SPDX-License-Identifier: MIT */
/*
 * The table of distinct call stacks. A stack has a 32-bit id that never changes and is never
 * reused; id 0 stands for "no stack". Everything that counts by call stack (leaks now, samples
 * later) keys on it.
 */
#ifndef LODEI_STACKS_H
#define LODEI_STACKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A stack, in chunk memory, for ever. Frames as in stack.h. */
struct lodei_stack {
    uint32_t next; /* id of the next stack in the bucket; 0 ends */
    uint32_t hash;
    uint32_t epoch;       /* modules.h: the list of loaded libraries that the frames belong to */
    uint32_t count;       /* of frames */
    uint64_t live_blocks; /* filled by the report, otherwise 0 */
    uint64_t live_bytes;
    uintptr_t frames[];
};

/* The hash of a stack; `salt` tells equal addresses of different libraries apart, else 0. */
uint32_t lodei_stacks_hash(const uintptr_t *frames, unsigned count, uint32_t salt);

/* The id of a known stack, or 0. Any thread, no lock, async-signal-safe. */
uint32_t lodei_stacks_find(const uintptr_t *frames, unsigned count, uint32_t hash);

/* As lodei_stacks_find(), adding it when it is new. 0 when out of memory, which is counted. */
uint32_t lodei_stacks_add(const uintptr_t *frames, unsigned count, uint32_t hash, uint32_t epoch);

/* The stack of a valid id. */
struct lodei_stack *lodei_stacks_get(uint32_t id);

/* Stacks in the table. */
uint64_t lodei_stacks_count(void);

/* Stacks that could not be kept. */
uint64_t lodei_stacks_lost(void);

#endif
