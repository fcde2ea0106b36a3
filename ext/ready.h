/* SPDX-License-Identifier: MIT */
/*
 * What a field keeps for its tools: blocks that are ready, and places where bricks are foretold.
 * See ready.c; lode/predict.h has what callers see.
 */
#ifndef LODEI_READY_H
#define LODEI_READY_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/attr.h"
#include "lode/predict.h"

#define LODEI_READY_MAX  512u /* blocks a tier */
#define LODEI_READY_SETS (LODEI_READY_MAX / 64)

/* Blocks of one tier. Each place is in `full`, in `vacant`, or some thread's who just took it out
 * of one and will put it into the other. */
struct lodei_ready_tier {
    _Atomic uint32_t count; /* of the full ones, about; 0, and nobody looks */
    _Atomic uint64_t full[LODEI_READY_SETS];
    _Atomic uint64_t vacant[LODEI_READY_SETS];
    void *blocks[LODEI_READY_MAX]; /* whose place it is writes and reads it */
};

#define LODEI_FORETOLD      4096u
#define LODEI_FORETOLD_WAYS 4u

struct lodei_ready {
    struct lodei_ready_tier tiers[LODE_TIER_COUNT];
    uint32_t limit; /* blocks a tier */
    /* by place, LODEI_FORETOLD_WAYS for each hash; written by several threads without order, for
     * they are only counted with */
    _Atomic uint64_t places[LODEI_FORETOLD]; /* 0: none */
    _Atomic uint64_t until[LODEI_FORETOLD];  /* by `made` */
    _Atomic uint64_t hints, foretold, made, made_foretold, acquired, acquired_ready;
    _Atomic uint64_t prefetched_bytes;
};

/* NULL: no memory. */
struct lodei_ready *lodei_ready_create(uint32_t limit);
/* The blocks go with their heaps. */
void lodei_ready_destroy(struct lodei_ready *ready);

/* A block of a tier that is ready; NULL: none is. For tiers only, no raw channels. Any thread. */
void *lodei_ready_take(struct lodei_ready *ready, unsigned tier);
/* 0: kept; -ENOSPC: there are as many as there may be. Any thread. */
int lodei_ready_put(struct lodei_ready *ready, unsigned tier, void *block);
/* As lodei_ready_take(), without counting it as used. */
void *lodei_ready_withdraw(struct lodei_ready *ready, unsigned tier);

LODE_INLINE uint32_t lodei_ready_count(const struct lodei_ready *ready, unsigned tier)
{
    return atomic_load_explicit(&ready->tiers[tier].count, memory_order_relaxed);
}

/* A brick is to be expected at this place: any number but 0. */
void lodei_ready_foretell(struct lodei_ready *ready, uint64_t place);
/* A brick was made there. */
void lodei_ready_made(struct lodei_ready *ready, uint64_t place);

#endif
