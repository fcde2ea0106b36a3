/* SPDX-License-Identifier: MIT */
/*
 * The Morton pool's structures and who guards them. morton_pool.c and morton_bulk.c are what the
 * outside calls, morton_zone.c is the index from codes to slots, morton_slot.c says which slot a
 * block gets, morton_chunk.c where chunks come from and how they are found.
 *
 *     code, 64 bits:   | zone ............ | leaf, 6 bits | cell, 9 bits |
 *
 *     pool -> 64 stripes, by hash of the zone: lock, table of zones, figures
 *     zone -> 64 leaves, by number: bitmap of cells that have a block, their slots in rising order
 *          -> chunks, by index: slots 0 .. chunk_slots-1, cut into granules of 1, 2 or 4
 *
 *     slot of a zone = chunk index x chunk_slots + slot in the chunk      (16 bits)
 *
 * A granule is what a leaf takes from a chunk: an OS page where blocks are smaller, four blocks
 * where they are smaller than a quarter of that. A new block goes to
 *   1. a granule of its leaf that has a free slot, else
 *   2. while the leaf has fewer than SHARE_BELOW blocks, one of the nearest leaf's, else
 *   3. a free granule: behind the leaf's last one, else the first of the zone, else of a new chunk.
 * So what leaves hold in reserve is less than a granule each, and little of that where leaves have
 * few blocks.
 *
 * This was chosen by measurement: 183,494 bricks of 1 KiB on the surface of a terrain, inserted in
 * shuffled order one by one, then a 7-point walk, in Morton order and row by row: time against the
 * same walk in insertion order (medians of four runs of 15 interleaved rounds, on a busy Zen 5),
 * and pages touched and addresses taken against the fewest possible.
 *
 *                                                            Morton   row   pages  addresses
 *     sorted (what acquire_many gives)                        0.52    0.61   1.00    1.00
 *     granules of 8 x 8 x 8 cells, chunks of zones (this)     0.62    0.70   1.02    1.03
 *     granules of 8 x 8 x 8 cells, chunks of the pool         0.69    0.72   1.02    1.02
 *     granules of 4 x 4 x 4 cells, chunks of 8 x 8 x 8        0.62    0.66   1.07    1.38
 *     the page of the nearest code, 1/16 of slots kept open   0.61    0.76   1.10    1.12
 *     anywhere in chunks of zones                             0.63    0.77   1.00    1.02
 *
 * Locks: a stripe's lock guards its zones with all that hangs on them, chunks included; at most one
 * stripe is locked at a time. `chunks_lock` guards the address table and the unused chunk
 * structures, and is taken last. Chunk structures are never freed before the pool is, so one
 * found through an outdated table entry can be looked at, and what it says is checked again under
 * the stripe's lock. Nothing here calls the program; heaps are called under these locks.
 */
#ifndef LODEI_MORTON_POOL_H
#define LODEI_MORTON_POOL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bits.h"
#include "ext/morton_lock.h"
#include "ext/near.h"
#include "ext/registry.h"
#include "lode/morton.h"

#define LODEI_MORTON_LEAF_LOG2   9
#define LODEI_MORTON_LEAF_CODES  (1u << LODEI_MORTON_LEAF_LOG2)
#define LODEI_MORTON_ZONE_LOG2   15
#define LODEI_MORTON_ZONE_LEAVES 64
#define LODEI_MORTON_STRIPES     64
#define LODEI_MORTON_NONE        UINT16_MAX /* no slot, no granule, no code in the zone */
#define LODEI_MORTON_NOBODY      UINT8_MAX  /* owner of a free granule */
#define LODEI_MORTON_UNLISTED    0x8000u    /* beside a code in the zone: the index has no such */

/* A chunk's other half: of cut.detail_bytes, made and freed with the chunk's memory. */
struct lodei_morton_detail {
    uint64_t free_slots[1]; /* really cut.chunk_words of them; then, at offsets the pool knows:
                             * uint16_t codes[chunk_slots]     code in the zone, or NONE
                             * uint16_t next[chunk_granules]   links of a leaf's open granules
                             * uint8_t owners[chunk_granules]  leaf, or NOBODY */
};

/* `memory` and `stripe` change under the lock of the stripe the chunk belongs to; everybody may
 * read them. The rest is guarded by that lock. */
struct lodei_morton_chunk {
    char *_Atomic memory; /* NULL: unused */
    struct lodei_morton_detail *detail;
    struct lodei_morton_zone *zone; /* unused: struct lodei_morton_chunk *, the next unused one */
    uint64_t free_granules;         /* bit g: nobody's */
    _Atomic uint16_t stripe;
    uint16_t index;
    uint16_t blocks;
    uint16_t reserved;
};

struct lodei_morton_leaf {
    uint64_t held[LODEI_MORTON_LEAF_CODES / 64];   /* cells with a block */
    uint16_t before[LODEI_MORTON_LEAF_CODES / 64]; /* how many stand before each word */
    uint16_t *slots;                               /* of the blocks, in the order of their codes */
    uint16_t count, capacity;
};

struct lodei_morton_zone {
    uint64_t number; /* code >> ZONE_LOG2 */
    uint64_t open;   /* bit l: leaf l has open granules: some of their slots are free */
    struct lodei_morton_chunk **chunks; /* by index; NULL where there is none */
    uint32_t blocks;
    uint32_t free_granules; /* of all chunks */
    uint16_t chunk_count;   /* all chunks have a lower index */
    uint16_t chunk_capacity;
    uint16_t first_free; /* no chunk with a lower index has a free granule */
    uint16_t empty;      /* chunks without a block */
    uint16_t open_first[LODEI_MORTON_ZONE_LEAVES]; /* granule numbers, or NONE */
    uint16_t taken_last[LODEI_MORTON_ZONE_LEAVES]; /* the granule a leaf took last, or NONE */
    struct lodei_morton_leaf *leaves[LODEI_MORTON_ZONE_LEAVES]; /* NULL: no block */
};

/* Written under the stripe's lock, read by everybody. */
struct lodei_morton_figures {
    _Atomic uint64_t acquired, released, misses, failures;
    _Atomic uint64_t chunks, metadata_bytes;
};

struct lodei_morton_stripe {
    struct lodei_morton_lock lock;
    uint32_t reserved;
    struct lodei_morton_zone **zones; /* open addressing, linear probing, at most half full */
    uint32_t zone_mask;
    uint32_t zone_count;
    struct lodei_morton_figures figures;
} __attribute__((aligned(128)));

struct lodei_morton_table {
    struct lodei_morton_table *older; /* the one this grew out of; kept for late readers */
    size_t mask;
    struct lodei_morton_chunk *_Atomic entries[];
};

/* How memory is cut up. */
struct lodei_morton_cut {
    size_t block_bytes;  /* as asked for */
    size_t stride;       /* from slot to slot */
    size_t chunk_bytes;  /* a power of two, and what chunks are aligned to */
    size_t page_bytes;   /* of the OS */
    size_t chunk_usable; /* of the heap's block behind a chunk */
    uint32_t chunk_slots, chunk_granules;
    uint32_t granule_log2, granule_slots; /* 1 << granule_log2 */
    uint32_t chunk_log2, chunk_words;     /* of its bytes; of a bitmap with a bit per slot */
    uint32_t enough_granules;             /* free ones of a zone that needs no empty chunk */
    uint32_t codes_at, next_at, owners_at, detail_bytes;   /* struct lodei_morton_detail */
    uint64_t by_stride, by_chunk_slots, by_chunk_granules; /* for lodei_morton_divide() */
};

/*
 * n / d as one multiplication (Granlund and Montgomery, "Division by invariant integers using
 * multiplication", 1994). Exact where n x d < 2^40; n x by fits for n < 2^24.
 */
LODE_INLINE uint64_t lodei_morton_divisor(uint32_t d)
{
    return ((UINT64_C(1) << 40) + d - 1) / d;
}

LODE_INLINE uint32_t lodei_morton_divide(uint32_t n, uint64_t by)
{
    return (uint32_t)(n * by >> 40);
}

struct lode_morton_pool {
    struct lodei_morton_stripe stripes[LODEI_MORTON_STRIPES];

    struct lodei_morton_cut cut; /* constant, and what follows */
    uint64_t max_blocks;
    struct lode_heap *heap;
    int owns_heap;

    _Atomic uint64_t limited_blocks; /* live blocks, where max_blocks is set */
    char *_Atomic spare;             /* memory of the chunk given back last, or NULL */

    struct lodei_morton_table *_Atomic table; /* read by everybody, changed under chunks_lock */
    pthread_mutex_t chunks_lock;
    struct lodei_morton_chunk *unused_chunks; /* these guarded by chunks_lock */
    size_t table_chunks;
    struct chunk_slab *slabs;
    _Atomic uint64_t shared_metadata_bytes; /* pool, table, chunk structures */

    struct lodei_near near; /* for requests beside a block of this pool */
    struct lodei_registered registered;
    struct lodei_list link; /* in the list of all pools, for fork() */
};

LODE_INLINE uint16_t *lodei_morton_codes(const struct lode_morton_pool *pool,
                                         const struct lodei_morton_chunk *chunk)
{
    return (uint16_t *)(void *)((char *)chunk->detail + pool->cut.codes_at);
}

LODE_INLINE uint16_t *lodei_morton_next(const struct lode_morton_pool *pool,
                                        const struct lodei_morton_chunk *chunk)
{
    return (uint16_t *)(void *)((char *)chunk->detail + pool->cut.next_at);
}

LODE_INLINE uint8_t *lodei_morton_owners(const struct lode_morton_pool *pool,
                                         const struct lodei_morton_chunk *chunk)
{
    return (uint8_t *)chunk->detail + pool->cut.owners_at;
}

/* Add to a figure whose lock is held. */
LODE_INLINE void lodei_morton_count(_Atomic uint64_t *figure, uint64_t n)
{
    /* relaxed: only figures */
    atomic_store_explicit(figure, atomic_load_explicit(figure, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

LODE_INLINE void lodei_morton_uncount(_Atomic uint64_t *figure, uint64_t n)
{
    lodei_morton_count(figure, (uint64_t)0 - n);
}

/* Where a slot is: of chunk->memory, at slot x stride. */
struct lodei_morton_place {
    struct lodei_morton_chunk *chunk;
    uint32_t slot;
};

LODE_INLINE void *lodei_morton_block(const struct lode_morton_pool *pool,
                                     struct lodei_morton_place at)
{
    /* relaxed: the stripe is locked */
    return atomic_load_explicit(&at.chunk->memory, memory_order_relaxed) +
           at.slot * pool->cut.stride;
}

/* ---- morton_chunk.c, under the lock of the zone's stripe, except where it says otherwise ---- */

/* Metadata, counted in *figure, which the caller guards. NULL: out of memory. */
void *lodei_morton_meta_alloc(struct lode_morton_pool *pool, _Atomic uint64_t *figure,
                              size_t bytes);
void lodei_morton_meta_free(_Atomic uint64_t *figure, void *p);

/* Give the zone a chunk more, empty. 0; -ENOMEM; -ENOSPC. */
int lodei_morton_chunk_new(struct lode_morton_pool *pool, struct lodei_morton_stripe *stripe,
                           struct lodei_morton_zone *zone, struct lodei_morton_chunk **ret_chunk);
/* Give every chunk of the zone back that has no block. Returns the bytes. */
size_t lodei_morton_chunks_trim(struct lode_morton_pool *pool, struct lodei_morton_stripe *stripe,
                                struct lodei_morton_zone *zone);
/* The chunk that `block` would lie in, or NULL. Without a lock: what it says is to be checked. */
struct lodei_morton_chunk *lodei_morton_chunk_at(struct lode_morton_pool *pool, const void *block);
/* Free the spare memory. Returns the bytes. Without a lock. */
size_t lodei_morton_spare_free(struct lode_morton_pool *pool);
int lodei_morton_chunks_init(struct lode_morton_pool *pool);
/* Free all memory and all metadata; nobody uses the pool any more. */
void lodei_morton_chunks_finish(struct lode_morton_pool *pool);

/* ---- morton_slot.c, under the lock of the zone's stripe ---- */

/* Choose a free slot for a new block of this leaf, which has `count` blocks. 0; -ENOMEM; -ENOSPC.
 * On error nothing changed but that the zone may have an empty chunk more. */
int lodei_morton_choose(struct lode_morton_pool *pool, struct lodei_morton_stripe *stripe,
                        struct lodei_morton_zone *zone, unsigned leaf, unsigned count,
                        struct lodei_morton_place *ret_place);
/* Choose a free slot beside `near`. Errors as above. */
int lodei_morton_choose_near(struct lode_morton_pool *pool, struct lodei_morton_stripe *stripe,
                             struct lodei_morton_zone *zone, struct lodei_morton_place near,
                             struct lodei_morton_place *ret_place,
                             enum lode_morton_nearness *ret_nearness);
/* Hand out a free slot for the code `local` of the zone; `listed`: the index has it. */
void lodei_morton_take(struct lode_morton_pool *pool, struct lodei_morton_zone *zone,
                       struct lodei_morton_place place, unsigned local, int listed);
/* Take it back. May end a chunk that is empty. */
void lodei_morton_give(struct lode_morton_pool *pool, struct lodei_morton_stripe *stripe,
                       struct lodei_morton_zone *zone, struct lodei_morton_place place);
/* A leaf that has no blocks any more: others get its open granules. */
void lodei_morton_abandon(struct lode_morton_pool *pool, struct lodei_morton_zone *zone,
                          unsigned leaf);

/* ---- morton_pool.c ---- */

/* As lode_morton_pool_acquire(), under the lock of the code's stripe; `near` as below. */
int lodei_morton_acquire_locked(struct lode_morton_pool *pool, struct lodei_morton_stripe *stripe,
                                uint64_t code, const struct lodei_morton_place *near,
                                void **ret_block, enum lode_morton_nearness *ret_nearness);

/* ---- morton_zone.c; under the lock of the stripe ---- */

struct lodei_morton_zone *lodei_morton_zone_find(const struct lodei_morton_stripe *stripe,
                                                 uint64_t number);
/* The block of `code`, or a chunk of NULL. */
struct lodei_morton_place lodei_morton_lookup(const struct lode_morton_pool *pool,
                                              const struct lodei_morton_stripe *stripe,
                                              uint64_t code);
/* Acquire; `near`: NULL or a block of the same zone. `code` as in lode_morton_pool_acquire().
 * 0; -EEXIST; -ENOMEM; -ENOSPC; nothing changed on error. */
int lodei_morton_acquire(struct lode_morton_pool *pool, struct lodei_morton_stripe *stripe,
                         uint64_t code, const struct lodei_morton_place *near, void **ret_block,
                         enum lode_morton_nearness *ret_nearness);
/* Release a live block; its zone goes when it was the last. */
void lodei_morton_release(struct lode_morton_pool *pool, struct lodei_morton_stripe *stripe,
                          struct lodei_morton_place place);
/* The blocks of a leaf with first <= code <= last. Returns how many, at most LEAF_CODES. */
struct lodei_morton_pair {
    uint64_t code;
    void *block;
};
size_t lodei_morton_leaf_list(const struct lode_morton_pool *pool,
                              const struct lodei_morton_zone *zone, unsigned leaf, uint64_t first,
                              uint64_t last, struct lodei_morton_pair *ret_pairs);

LODE_INLINE uint64_t lodei_morton_hash(uint64_t number)
{
    /* multiplicative hashing, Knuth 6.4; the constant is 2^64 / the golden ratio */
    return number * UINT64_C(0x9e3779b97f4a7c15);
}

LODE_INLINE struct lodei_morton_stripe *lodei_morton_stripe_of(struct lode_morton_pool *pool,
                                                               uint64_t code)
{
    return &pool->stripes[lodei_morton_hash(code >> LODEI_MORTON_ZONE_LOG2) >> 58];
}

#endif
