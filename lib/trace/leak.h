/* SPDX-License-Identifier: MIT */
/*
 * The live blocks: which are recorded, and with which call stack.
 *
 * The table does not decide what is recorded: an exact run adds every block, a sampler would add
 * some. A block it does not know may be removed or resized; nothing happens. All functions: any
 * thread, except those for fork; none calls malloc or the loader.
 */
#ifndef LODEI_LEAK_H
#define LODEI_LEAK_H

#include <stddef.h>
#include <stdint.h>

struct lodei_leak_record {
    uintptr_t block;   /* 0: empty slot */
    uint64_t bytes;    /* as asked for */
    uint32_t stack;    /* stacks.h */
    uint32_t birth_ms; /* since the tracer started */
};

/* Once, before all else. */
void lodei_leak_init(void);

/* Record a block; one already known at the address is replaced. Out of memory: dropped and counted.
 */
void lodei_leak_add(const struct lodei_leak_record *record);
void lodei_leak_remove(uintptr_t block);
/* Change bytes and stack of a known block; its birth stays. */
void lodei_leak_resize(uintptr_t block, uint64_t bytes, uint32_t stack);

/* Records dropped for want of memory. */
uint64_t lodei_leak_dropped(void);

/* Visit every record, one shard locked at a time: `visit` must not call back into this table. */
void lodei_leak_walk(void (*visit)(void *ctx, const struct lodei_leak_record *record), void *ctx);

/* Around fork, in the forking thread: hold every shard; let go; in the child forget all records. */
void lodei_leak_lock_all(void);
void lodei_leak_unlock_all(void);
void lodei_leak_forget_all(void);

#endif
