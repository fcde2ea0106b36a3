/* SPDX-License-Identifier: MIT */
/*
 * A frame arena's structure, and the word that its threads add to. framearena.c has the rules, and
 * is who allocates and changes frames; frameops.c looks.
 *
 *     lanes[thread % 16] -> word:   | generation: 28 bits | chunk: 6 bits | position: 30 bits |
 *
 *                           ages[generation % ages].chunks[chunk] -> { base, units }
 *
 * Positions count units of 16 bytes. The lock guards everything but the words, `generation`, the
 * chunk entries and the pointers to lanes, which are atomic. It is held during calls of the heap,
 * and around fork().
 */
#ifndef LODEI_FRAMEARENA_H
#define LODEI_FRAMEARENA_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

#include "base/bits.h"
#include "ext/registry.h"
#include "ext/source.h"
#include "lode/frame.h"

#define LODEI_FRAME_UNIT_LOG2 4
#define LODEI_FRAME_UNIT      ((size_t)1 << LODEI_FRAME_UNIT_LOG2)
#define LODEI_FRAME_LINE      64

#define LODEI_FRAME_POSITION_BITS   30
#define LODEI_FRAME_CHUNK_BITS      6
#define LODEI_FRAME_GENERATION_BITS 28
_Static_assert(LODEI_FRAME_POSITION_BITS + LODEI_FRAME_CHUNK_BITS + LODEI_FRAME_GENERATION_BITS ==
                   64,
               "one word");
#define LODEI_FRAME_GENERATION_MASK (((uint64_t)1 << LODEI_FRAME_GENERATION_BITS) - 1)
#define LODEI_FRAME_CHUNKS          (1u << LODEI_FRAME_CHUNK_BITS)
#define LODEI_FRAME_LANES           16

struct lodei_frame_chunk {
    _Atomic uintptr_t base; /* 0: there is none */
    _Atomic uint32_t units;
    uint32_t reserved;
};

/* What a lane has allocated in one frame. */
struct lodei_frame_age {
    unsigned full;     /* chunks before the one the word names, or named last */
    size_t last_units; /* position in that one when the frame was over */
    struct lodei_frame_chunk chunks[LODEI_FRAME_CHUNKS];
};

/* Threads take turns at lanes, so that those who allocate together rarely share a word. */
struct lodei_frame_lane {
    _Atomic uint64_t word;
    char pad[LODEI_FRAME_LINE - sizeof(uint64_t)]; /* what follows is read a lot and written little
                                                    */
    struct lodei_frame_age ages[];
};

/* In front of a block with memory of its own. */
struct lodei_frame_large {
    struct lodei_frame_large *next;
    size_t total_bytes;
    uint64_t last_used; /* generation */
    uint64_t reserved;
};
_Static_assert(sizeof(struct lodei_frame_large) % LODEI_FRAME_UNIT == 0,
               "blocks behind it are aligned");

struct lode_frame {
    _Atomic uint64_t generation;
    uint32_t frames;
    uint32_t age_mask;    /* ages - 1: a power of two of them, `frames` or more */
    uint32_t small_units; /* larger requests get memory of their own */
    uint32_t reserved;
    size_t chunk_bytes;
    size_t max_bytes;
    _Atomic(struct lodei_frame_lane *) lanes[LODEI_FRAME_LANES]; /* NULL until used */

    /* Guarded by lock. */
    pthread_mutex_t lock;
    struct {
        struct lodei_frame_large *list;
        size_t used_bytes;
    } larges[8];                     /* by generation % ages */
    struct lodei_frame_large *spare; /* nobody uses these */
    size_t total_bytes;              /* from the heap, in chunks and large blocks */
    size_t lane_count;
    size_t peak_bytes;
    uint64_t misses;
    _Atomic uint64_t failures;
    struct lodei_source source;
    struct lodei_registered registered;
};

LODE_INLINE uint64_t lodei_frame_word(uint64_t generation, unsigned chunk, size_t position)
{
    return generation << (64 - LODEI_FRAME_GENERATION_BITS) |
           (uint64_t)chunk << LODEI_FRAME_POSITION_BITS | position;
}

LODE_INLINE size_t lodei_frame_position(uint64_t word)
{
    return word & (((uint64_t)1 << LODEI_FRAME_POSITION_BITS) - 1);
}

LODE_INLINE unsigned lodei_frame_chunk_in(uint64_t word)
{
    return (unsigned)(word >> LODEI_FRAME_POSITION_BITS) & (LODEI_FRAME_CHUNKS - 1);
}

/* Its low bits; they come round after 2^28 frames, 51 days at 60 a second. */
LODE_INLINE uint64_t lodei_frame_generation_in(uint64_t word)
{
    return word >> (64 - LODEI_FRAME_GENERATION_BITS);
}

LODE_INLINE struct lodei_frame_age *
lodei_frame_age(const struct lode_frame *f, struct lodei_frame_lane *lane, uint64_t generation)
{
    return &lane->ages[generation & f->age_mask];
}

/* relaxed, both: chunks change under the lock; landed() looks without */
LODE_INLINE uintptr_t lodei_frame_base(const struct lodei_frame_chunk *chunk)
{
    return atomic_load_explicit(&chunk->base, memory_order_relaxed);
}

LODE_INLINE size_t lodei_frame_units(const struct lodei_frame_chunk *chunk)
{
    return lodei_frame_base(chunk) != 0 ? atomic_load_explicit(&chunk->units, memory_order_relaxed)
                                        : 0;
}

/* acquire: pairs with lane_have() */
LODE_INLINE struct lodei_frame_lane *lodei_frame_lane(const struct lode_frame *f, unsigned number)
{
    return atomic_load_explicit(&f->lanes[number], memory_order_acquire);
}

LODE_INLINE size_t lodei_frame_slack(size_t align)
{
    return align > LODEI_FRAME_UNIT ? align - LODEI_FRAME_UNIT : 0;
}

LODE_INLINE size_t lodei_frame_lane_bytes(const struct lode_frame *f)
{
    return sizeof(struct lodei_frame_lane) + (f->age_mask + 1) * sizeof(struct lodei_frame_age);
}

/* The lane of this thread. */
unsigned lodei_frame_lane_number(void);

/* Under the lock. Bytes a chunk of that number should have, less where the limit is near. */
size_t lodei_frame_chunk_size(const struct lode_frame *f, unsigned number);
/* Under the lock. Units used of the chunk a lane is at, or was when the frame was over. */
size_t lodei_frame_last_units(const struct lode_frame *f, struct lodei_frame_lane *lane,
                              uint64_t generation);
/* Under the lock. Bytes used in all kept frames, large blocks apart or together. */
size_t lodei_frame_used_small(const struct lode_frame *f);
size_t lodei_frame_used_large(const struct lode_frame *f);
/* Any thread; takes the lock. */
void lodei_frame_describe(void *object, struct lode_allocator_stats *ret_stats);

#endif
