/* SPDX-License-Identifier: MIT */
/*
 * The inside of object pools, shared by pool*.c (one thread at a time) and cpool*.c (any thread).
 *
 * ## Layout
 *
 *     struct lodei_pool   front (lode/pool.h: what inline code touches), then the rest
 *     index               chunks[] by number, bitmaps over numbers, hash table by address
 *     chunk descriptor    struct lode_pool_chunk, a bit an object, [remote bits], [state bytes]
 *     chunk               objects and nothing else; aligned to chunk_align >= its size
 *
 * A chunk is found from an address by hashing the address rounded down to chunk_align; a chunk's
 * descriptor stays where it is until the pool is destroyed, and so does an index that was replaced
 * by a larger one: other threads may be looking. All memory is from pool->source.
 *
 * ## Where an object is
 * Its bit in the descriptor is set while somebody has it. Plain pools: the user. A free object has
 * its bit clear, also while it waits on the hot list; since a refill happens only when that list is
 * empty, every clear bit is then free to be taken. Concurrent pools set the bit for what they hold
 * in magazines as well, and have a byte of state an object for what the user has.
 * `taken` counts objects that are out of their chunk: live, hot, or in a magazine. A chunk with
 * taken 0 is empty and has no bit set: only then may it go back, by any thread.
 *
 * ## Who may do what
 * The pool's thread: hot list, bits, growth of a plain pool. pool->lock: everything else that
 * changes; the pool's thread takes it once per refill or flush, not on the inline paths. Fields of
 * the front that others read are written by relaxed atomic stores. Chunks get their memory before
 * the lock is taken and lose it after it was dropped.
 *
 * Locks: pool->lock -> the heaps' own. The registry (registry.h) takes pool->lock for figures and
 * around fork(). The pools lock (poollist.c) guards the list of pools; nobody waits for anything
 * else while holding it: who works on a pool of the list pins it and lets go of the lock.
 */
#ifndef LODEI_POOLCORE_H
#define LODEI_POOLCORE_H

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/bits.h"
#include "base/list.h"
#include "ext/registry.h"
#include "ext/source.h"
#include "lode/pool.h"

/* Chunks go back at most so many an epoch, and so many per hold of the lock. */
#define LODEI_POOL_SHRINK_CHUNKS 32

struct lodei_pool_index {
    struct lodei_pool_index *older; /* replaced by this one; freed with the pool */
    size_t bytes;
    uint32_t capacity;               /* of chunks[] */
    uint32_t shift;                  /* 64 - log2 of the table's entries, which are 4 x capacity */
    struct lode_pool_chunk **chunks; /* by number; NULL: never made */
    uint64_t *mapped;                /* by number: has memory */
    uint64_t *open;                  /* by number: has memory and a free object */
    struct lode_pool_chunk **table;  /* entries atomic, none is NULL */
};

struct lodei_pool_dying {
    void *object;
    struct lodei_pool_dying *outer;
};

struct lodei_pool {
    struct lode_pool front;

    /* Constant. */
    struct lodei_source source;
    size_t object_bytes; /* a multiple of the alignment */
    size_t align;
    size_t chunk_bytes; /* slots x object_bytes */
    size_t chunk_align;
    size_t initial;
    size_t max; /* SIZE_MAX: none */
    size_t growth_objects;
    uint32_t flags;
    uint32_t growth_percent;
    uint32_t shrink_percent;
    uint32_t shrink_delay;
    uint32_t epoch_acquires; /* 0: by capacity */
    uint32_t hot_cap;        /* length of the hot list */
    int hooked;              /* hooks or ZERO: there is something to do for each object */
    int out_of_line;         /* every operation comes here: hooks, ZERO, watched memory */
    int concurrent;          /* the core of a struct lode_cpool */
    int (*construct)(void *hook_ctx, void *object);
    void (*destruct)(void *hook_ctx, void *object);
    void *hook_ctx;

    /* The pool's thread. */
    uint32_t until_epoch;           /* instead of the front's where out_of_line */
    struct lodei_pool_dying *dying; /* objects whose destructor is running */

    /* Lock-free. */
    struct lode_pool_chunk *_Atomic queue;  /* chunks with remote releases */
    struct lodei_pool_index *_Atomic index; /* replaced under the lock */
    _Atomic uint64_t misuses;

    pthread_mutex_t lock; /* guards all below */
    size_t taken;
    size_t chunks, empty_chunks;
    uint32_t first_open; /* no open chunk has a lower number */
    size_t metadata_bytes;
    int8_t priority;
    uint8_t activity;

    /* Demand; see pooldemand.c. */
    uint32_t budget; /* what until_epoch began with */
    uint64_t acquires_before;
    size_t epoch_peak, demand;
    uint32_t quiet_epochs;
    int rising; /* the last epoch raised the demand */

    size_t peak_live, peak_chunks;
    uint64_t misses, refused, failures;
    uint64_t epochs, grows, grows_ahead, shrinks, returned_bytes;

    /* Concurrent pools: give back to the chunks what lies at the depot, or only what was not needed
     * in this epoch; and set the figures that only they know. Constant, called under the lock. */
    struct lode_cpool *outer;
    void (*drain)(struct lodei_pool *p, int all);
    void (*adjust)(struct lodei_pool *p, struct lode_pool_stats *stats);

    /* Guarded by the pools lock. */
    struct lodei_list link;
    uint64_t serial; /* never used again; constant while in the list */
    uint32_t pins;   /* threads that work on it from the list */
    int closing;     /* no new pins */

    struct lodei_registered registered;
};

LODE_INLINE struct lodei_pool *lodei_pool_of(const struct lode_pool *pool)
{
    return lode_container_of(pool, struct lodei_pool, front);
}

LODE_INLINE uint64_t *lodei_pool_bits(struct lode_pool_chunk *chunk)
{
    return (uint64_t *)(void *)(chunk + 1);
}

LODE_INLINE void *lodei_pool_object(const struct lodei_pool *p, const struct lode_pool_chunk *chunk,
                                    uint32_t slot)
{
    return (void *)(chunk->base + (uintptr_t)slot * p->object_bytes);
}

/* The first look of lodei_pool_find(), which almost always suffices; NULL: look properly. The table
 * is a quarter full at most. */
LODE_INLINE struct lode_pool_chunk *lodei_pool_glance(const struct lodei_pool *p,
                                                      const void *object, uint32_t *ret_slot)
{
    /* pairs with install() in poolchunk.c */
    const struct lodei_pool_index *index = atomic_load_explicit(&p->index, memory_order_acquire);
    uintptr_t base = (uintptr_t)object & p->front.chunk_mask;
    uint64_t hash = (uint64_t)base * 0x9e3779b97f4a7c15u;
    uint32_t product = (uint32_t)((uintptr_t)object - base) * p->front.inverse;
    /* acquire: pairs with store() there */
    struct lode_pool_chunk *chunk =
        __atomic_load_n(&index->table[hash >> index->shift], __ATOMIC_ACQUIRE);
    *ret_slot = product >> p->front.twos | product << (-p->front.twos & 31);
    if (lode_likely(__atomic_load_n(&chunk->base, __ATOMIC_RELAXED) == base &&
                    *ret_slot < p->front.slots))
        return chunk;
    return NULL;
}

/* Bit `slot` of a map that other threads may write. acquire: what its writer did before it */
LODE_INLINE int lodei_pool_bit(const uint64_t *bits, uint32_t slot)
{
    return (int)(__atomic_load_n(&bits[slot / 64], __ATOMIC_ACQUIRE) >> (slot % 64) & 1);
}

/* relaxed: bits of objects that other threads have do not change */
LODE_INLINE void lodei_pool_set_bit(uintptr_t bit, int value)
{
    uint64_t *word = (uint64_t *)(bit >> 6 << 3), mask = (uint64_t)1 << (bit & 63);
    __atomic_store_n(word, value ? *word | mask : *word & ~mask, __ATOMIC_RELAXED);
}

LODE_INLINE int lodei_pool_misused(struct lodei_pool *p)
{
    atomic_fetch_add_explicit(&p->misuses, 1, memory_order_relaxed); /* a figure */
    return -EINVAL;
}

/* ---- poolchunk.c: chunks ---- */

/* The chunk and slot of `object`; NULL: no object starts there. Any thread, no lock. */
struct lode_pool_chunk *lodei_pool_find(const struct lodei_pool *p, const void *object,
                                        uint32_t *ret_slot);
/* The chunk in whose objects `address` lies; NULL: none. Any thread, no lock. */
struct lode_pool_chunk *lodei_pool_chunk_at(const struct lodei_pool *p, const void *address);
/* The first index, for `chunks` chunks at least; 0 or -ENOMEM. */
int lodei_pool_index_make(struct lodei_pool *p, size_t chunks);
/* 0: so many objects can never be had. */
int lodei_pool_possible(const struct lodei_pool *p, size_t objects);
/* Add chunks for `objects` more; the caller holds no lock. Returns the chunks added: fewer where
 * memory ran out or `max` needs no more. Only the thread of a plain pool may grow it. */
size_t lodei_pool_grow(struct lodei_pool *p, size_t objects);
/* Give up to `chunks` empty chunks back, the last first, while more than `keep` objects of capacity
 * are left; the caller holds no lock. Returns the bytes. */
size_t lodei_pool_give_back(struct lodei_pool *p, size_t chunks, size_t keep);
/* Take up to n objects out of their chunks, lowest first, never more than `max` in all; `mark`:
 * set their bits. Under the lock; where not `mark` nobody may hold a free object. Returns how
 * many. ret[0] is the last in address order. */
uint32_t lodei_pool_take(struct lodei_pool *p, struct lode_pool_slot *ret, uint32_t n, int mark);
/* Put objects back whose bits are clear. Under the lock. */
void lodei_pool_put(struct lodei_pool *p, const struct lode_pool_slot *slots, uint32_t n);
/* An object of `chunk` is back: its bit is clear already. Under the lock. */
void lodei_pool_count_back(struct lodei_pool *p, struct lode_pool_chunk *chunk, uint32_t slot);
/* Free all chunks, descriptors and indices. */
void lodei_pool_free_all(struct lodei_pool *p);

/* ---- pool.c ---- */

/* Checked options to a pool that is in no list yet; `concurrent`: with states. */
int lodei_pool_make(const struct lode_pool_opts *opts, int concurrent, struct lodei_pool **ret);
void lodei_pool_unmake(struct lodei_pool *p);
/* The hot list's oldest `n` go back to their chunks. Under the lock. */
void lodei_pool_flush(struct lodei_pool *p, uint32_t n);
/* Grow because there is nothing left; no lock. 0; -ENOSPC; -ENOMEM. */
int lodei_pool_run_dry(struct lodei_pool *p);

/* ---- poolremote.c ---- */

/* Take remote releases back into their chunks. The pool's thread, under the lock. */
void lodei_pool_collect(struct lodei_pool *p);

/* ---- poolverify.c ---- */

/* Assert every invariant. Under the lock, by the pool's thread. */
#if LODE_CHECKS >= 2
void lodei_pool_verify(const struct lodei_pool *p);
#else
#define lodei_pool_verify(p) ((void)(p))
#endif

/* ---- pooldemand.c ---- */

/* Note how many were live since the last call. Under the lock. */
void lodei_pool_note_peak(struct lodei_pool *p);
/* End the epoch: decide, then grow or shrink. The pool's thread (any, of a concurrent pool); no
 * lock. */
void lodei_pool_epoch(struct lodei_pool *p);
/* The budget of acquires is used up: end the epoch, if that is how epochs end. */
void lodei_pool_budget_spent(struct lodei_pool *p);
/* Start counting acquires anew. Under the lock. */
void lodei_pool_budget(struct lodei_pool *p);
/* Acquires so far. Under the lock. */
uint64_t lodei_pool_acquires(const struct lodei_pool *p);
/* Objects that can be live without new memory. Under the lock. */
size_t lodei_pool_capacity(const struct lodei_pool *p);

/* As the lode_pool_ functions, for both sorts of pools. */
int lodei_pool_reserve(struct lodei_pool *p, size_t count);
int lodei_pool_expect(struct lodei_pool *p, size_t count);
size_t lodei_pool_trim(struct lodei_pool *p, size_t bytes);
int lodei_pool_set_activity(struct lodei_pool *p, enum lode_pool_activity activity);
void lodei_pool_set_priority(struct lodei_pool *p, int8_t priority);

/* ---- poollist.c ---- */

/* Show the pool to lode_pools_trim(). */
void lodei_pools_add(struct lodei_pool *p);
/* Hide it again, when nobody works on it any more. */
void lodei_pools_remove(struct lodei_pool *p);
/* Keep the pool with this serial from being destroyed; NULL: it was already. */
struct lodei_pool *lodei_pools_pin(uint64_t serial);
void lodei_pools_unpin(struct lodei_pool *p);

/* ---- poolinfo.c ---- */

/* Release every live object, for the destructors' sake. */
void lodei_pool_destruct_all(struct lodei_pool *p);
void lodei_pool_stats(struct lodei_pool *p, struct lode_pool_stats *ret_stats);
/* The same into a struct of the caller's size: 0 or -EINVAL. */
int lodei_pool_stats_copy(struct lodei_pool *p, struct lode_pool_stats *stats);
void lodei_pool_describe(void *object, struct lode_allocator_stats *ret_stats);
/* Would an object do for such a request? */
int lodei_pool_fits(const struct lodei_pool *p, size_t bytes, size_t align);

#endif
