/* SPDX-License-Identifier: MIT */
/*
 * The inside of requests (lode/request.h).
 *
 *     request.c         what a request asks for, tried in order
 *     requestfree.c     freeing, figures
 *     requestplace.c    the types' table; a place for each type, tag and set of traits: its heap
 *                       and its pools; threads' stacks
 *     requestlimit.c    what each type has, its limit, who waits for it
 *     requestrecord.c   a record for each live allocation, so that a stale one is found
 *     requestmovable.c  handles of MOVABLE ones
 *     reserve.c         the emergency reserve
 *
 * Locks: one in requestlimit.c (waiters, lent allocators), one in reserve.c, one in
 * requestrecord.c (growing the table of records): leaves, each held around fork(). One in
 * requestmovable.c (slots, records that wait for pins), above that of slots.c. Heaps and pools are
 * made under none of them.
 */
#ifndef LODEI_REQUESTCORE_H
#define LODEI_REQUESTCORE_H

#include <stdatomic.h>

#include "ext/near.h"
#include "lode/cpool.h"
#include "lode/request.h"
#include "lode/stackalloc.h"

#define LODEI_REQUEST_CLASSES 18 /* of pools */

/* ---- requestrecord.c ---- */

/* In an id, beside the index: the block is on a thread's stack. */
#define LODEI_ID_STACK ((uint32_t)1 << 31)

/* Type-stable: memory of records is never given back, so a stale id can be looked at. */
struct lodei_record {
    _Atomic uint32_t generation; /* odd: live */
    uint32_t index;
    uint32_t next_free; /* 1 + index, in a free list; atomic */
    uint8_t type, strategy;
    uint8_t critical; /* constant: of those kept for CRITICAL requests */
    uint8_t reserved;
    uint32_t flags; /* enum lode_allocation_flag */
    uint32_t below; /* 1 + index of another record; 0: none. STACK: the thread's block before */
    uint32_t slot;  /* 1 + its slot, kept from life to life; 0: never MOVABLE yet */
    void *ptr;
    size_t bytes; /* charged */
    size_t align;
    union {
        struct lode_cpool *pool;
        struct lodei_request_stack *stack;
        uint64_t near; /* serial of the offer */
        lode_handle handle;
        struct lode_allocator lent;
    } from;
};

/* A record that is nobody's; NULL: out of memory. `critical`: one of those kept back will do. */
struct lodei_record *lodei_record_get(int critical);
void lodei_record_put(struct lodei_record *record);
/* Make it live; returns its id. */
uint64_t lodei_record_open(struct lodei_record *record);
/* The record of an id that may be stale, by its index; NULL: there never was one. */
struct lodei_record *lodei_record_find(uint64_t id);
/* Make it dead, if it is the life that `id` names: 0 or -EINVAL. */
int lodei_record_close(struct lodei_record *record, uint64_t id);
/* Undo that. */
void lodei_record_reopen(struct lodei_record *record, uint64_t id);
/* Is it live, as `id` names it? */
int lodei_record_is(const struct lodei_record *record, uint64_t id);

/* ---- requestfree.c ---- */

/* Its memory is gone: close it and take it off the books. */
void lodei_record_drop(struct lodei_record *record);

/* ---- requestmovable.c ---- */

/* Give the block of a record that is not open yet a handle: 0 or -ENOMEM. */
int lodei_movable_name(struct lodei_record *record);
/* The end of a closed record that has one: the handle is stale, the block is freed when nobody has
 * it pinned or reads, and the record is put back, when no pin is left. */
void lodei_movable_end(struct lodei_record *record);
/* Assert every invariant. For tests. */
void lodei_movable_verify(void);

/* ---- requestplace.c ---- */

/* How a place differs from the plain one of its type and tag. */
#define LODEI_PLACE_HUGE    1u
#define LODEI_PLACE_MOVABLE 2u
#define LODEI_PLACE_TRAITS  4u /* sets of those */

struct lodei_place {
    struct lodei_place *next;
    struct lode_heap *heap;
    uint16_t tag;
    uint8_t type;
    uint8_t traits;
    struct lode_cpool *_Atomic pools[LODEI_REQUEST_CLASSES];
};

const struct lode_placement *lodei_placement(unsigned type);
size_t lodei_page(void);
/* The place of a type, a tag and traits, made if need be; 0; -ENOTSUP the kind; -ENOMEM. */
int lodei_place_get(unsigned type, uint16_t tag, unsigned traits, struct lodei_place **ret_place);
/* The pool for such blocks; `ret_bytes` gets its object size. 0; -ENOTSUP no class; -ENOMEM. */
int lodei_place_pool(struct lodei_place *place, size_t bytes, size_t align,
                     struct lode_cpool **ret_pool, size_t *ret_bytes);
/* Of that class, without making anything; 0: none. */
size_t lodei_pool_class_bytes(size_t bytes, size_t align);

/* The type whose place has this heap; SYSTEM if none has. */
unsigned lodei_place_type(const struct lode_heap *heap);

/* A thread's stack. */
struct lodei_request_stack {
    struct lode_stack *stack;
    uint32_t newest; /* 1 + index of a record */
    uint32_t reserved;
};

/* This thread's stack, made if need be; NULL: out of memory. */
struct lodei_request_stack *lodei_request_stack_get(void);
/* This thread's stack, if it has one. */
struct lodei_request_stack *lodei_request_stack_peek(void);

/* ---- requestlimit.c ---- */

struct lodei_request_counts {
    _Atomic uint64_t served, freed, failures, waits, timeouts, fallbacks, from_reserve;
    _Atomic size_t used, peak, limit;
    _Atomic uint32_t waiting;
} __attribute__((aligned(128)));

extern struct lodei_request_counts lodei_request_counts[LODE_MEMORY_TYPES];

/* Add `bytes` to what the type has, waiting until `deadline_ns` (0: not) while that is too much. 0;
 * 1: the same, and it waited; -ENOSPC; -ETIMEDOUT. */
int lodei_limit_charge(unsigned type, size_t bytes, int priority, uint64_t deadline_ns);
void lodei_limit_return(unsigned type, size_t bytes);
void lodei_limit_set(unsigned type, size_t bytes);
uint64_t lodei_request_clock_ns(void);
/* A copy of a lent allocator: 0 or -ENOTSUP. Counts one block of it as live on success. */
int lodei_lent_take(unsigned strategy, struct lode_allocator *ret_allocator);
void lodei_lent_drop(unsigned strategy);

#endif
