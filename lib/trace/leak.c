/* SPDX-License-Identifier: MIT */
/*
 * Owns the table of live blocks: 256 shards by the hash of the address, each an open-addressing
 * table with a lock of its own.
 *
 *     hash = address / 16 x 2^64/golden ratio:   [shard: 8 bits][slot: the next bits][...]
 *     shard -> slots [ record | empty | record | ... ]  power of two, at most 7/8 full
 *
 * Linear probing; a removal moves later records of the run back, so there are no tombstones and the
 * load never creeps up (Knuth, The Art of Computer Programming 3, 6.4, Algorithm R). A shard grows
 * alone when 3/4 full: with 50 million blocks that rehashes 200 thousand records, a few ms, while
 * the other 255 shards go on. When the larger table cannot be had, the old one is filled to 7/8 and
 * further records are dropped and counted.
 *
 * Locks: a shard's lock guards all its fields and is a leaf: nothing is called under it but mmap.
 * Only fork holds several, in index order.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "trace/chunk.h"
#include "trace/leak.h"

#define SHARDS         256
#define SHARD_BITS     8
#define SLOTS_LOG2_MIN 7 /* 128 records of 24 bytes: one OS page */
#define SLOTS_LOG2_MAX 40
#define CACHE_LINE     64

_Static_assert(sizeof(struct lodei_leak_record) == 24, "50 million blocks take 1.6 to 3.2 GB");

struct shard {
    pthread_mutex_t lock;
    struct lodei_leak_record *slots; /* NULL until the first record */
    uint64_t count;
    uint32_t slots_log2;
} __attribute__((aligned(CACHE_LINE)));

static struct shard shards[SHARDS];
static _Atomic(uint64_t) dropped;

void lodei_leak_init(void)
{
    for (int i = 0; i < SHARDS; i++)
        pthread_mutex_init(&shards[i].lock, NULL);
}

static uint64_t hash_of(uintptr_t block)
{
    return (block >> 4) * UINT64_C(0x9e3779b97f4a7c15);
}

static struct shard *shard_of(uint64_t hash)
{
    return &shards[hash >> (64 - SHARD_BITS)];
}

static uint64_t home_of(const struct shard *shard, uint64_t hash)
{
    return hash << SHARD_BITS >> (64 - shard->slots_log2);
}

/* The slot of `block`, or the empty slot that ends its run. */
static struct lodei_leak_record *slot_of(const struct shard *shard, uintptr_t block, uint64_t hash)
{
    uint64_t mask = ((uint64_t)1 << shard->slots_log2) - 1;
    uint64_t at = home_of(shard, hash);

    while (shard->slots[at].block && shard->slots[at].block != block)
        at = (at + 1) & mask;
    return &shard->slots[at];
}

static void shard_grow(struct shard *shard)
{
    struct shard larger = {.slots_log2 = shard->slots ? shard->slots_log2 + 1 : SLOTS_LOG2_MIN};
    uint64_t old_slots = shard->slots ? (uint64_t)1 << shard->slots_log2 : 0;

    if (larger.slots_log2 > SLOTS_LOG2_MAX)
        return;
    larger.slots = lodei_chunk_map(sizeof(*larger.slots) << larger.slots_log2);
    if (!larger.slots)
        return;
    for (uint64_t i = 0; i < old_slots; i++) {
        const struct lodei_leak_record *record = &shard->slots[i];

        if (record->block)
            *slot_of(&larger, record->block, hash_of(record->block)) = *record;
    }
    lodei_chunk_unmap(shard->slots, old_slots * sizeof(*shard->slots));
    shard->slots = larger.slots;
    shard->slots_log2 = larger.slots_log2;
}

/* Make sure that one more record leaves an empty slot in every run. */
static bool shard_has_room(struct shard *shard)
{
    uint64_t slots = shard->slots ? (uint64_t)1 << shard->slots_log2 : 0;

    if (shard->count >= slots / 4 * 3) {
        shard_grow(shard);
        slots = shard->slots ? (uint64_t)1 << shard->slots_log2 : 0;
    }
    return shard->count < slots / 8 * 7;
}

void lodei_leak_add(const struct lodei_leak_record *record)
{
    uint64_t hash = hash_of(record->block);
    struct shard *shard = shard_of(hash);
    bool room;

    pthread_mutex_lock(&shard->lock);
    room = shard_has_room(shard);
    if (room) {
        struct lodei_leak_record *slot = slot_of(shard, record->block, hash);

        shard->count += !slot->block;
        *slot = *record;
    }
    pthread_mutex_unlock(&shard->lock);
    if (!room)
        atomic_fetch_add_explicit(&dropped, 1, memory_order_relaxed);
}

/* Empty `hole` and close the run over it: a later record moves in unless its home lies after. */
static void slot_empty(struct shard *shard, uint64_t hole)
{
    uint64_t mask = ((uint64_t)1 << shard->slots_log2) - 1;
    uint64_t at = hole;

    for (;;) {
        at = (at + 1) & mask;
        if (!shard->slots[at].block)
            break;
        uint64_t home = home_of(shard, hash_of(shard->slots[at].block));
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            shard->slots[hole] = shard->slots[at];
            hole = at;
        }
    }
    shard->slots[hole].block = 0;
}

void lodei_leak_remove(uintptr_t block)
{
    uint64_t hash = hash_of(block);
    struct shard *shard = shard_of(hash);

    pthread_mutex_lock(&shard->lock);
    if (shard->slots) {
        struct lodei_leak_record *slot = slot_of(shard, block, hash);

        if (slot->block) {
            slot_empty(shard, (uint64_t)(slot - shard->slots));
            shard->count--;
        }
    }
    pthread_mutex_unlock(&shard->lock);
}

void lodei_leak_resize(uintptr_t block, uint64_t bytes, uint32_t stack)
{
    uint64_t hash = hash_of(block);
    struct shard *shard = shard_of(hash);

    pthread_mutex_lock(&shard->lock);
    if (shard->slots) {
        struct lodei_leak_record *slot = slot_of(shard, block, hash);

        if (slot->block) {
            slot->bytes = bytes;
            slot->stack = stack;
        }
    }
    pthread_mutex_unlock(&shard->lock);
}

uint64_t lodei_leak_dropped(void)
{
    return atomic_load_explicit(&dropped, memory_order_relaxed);
}

void lodei_leak_walk(void (*visit)(void *ctx, const struct lodei_leak_record *record), void *ctx)
{
    for (int i = 0; i < SHARDS; i++) {
        struct shard *shard = &shards[i];

        pthread_mutex_lock(&shard->lock);
        for (uint64_t at = 0; shard->slots && at < (uint64_t)1 << shard->slots_log2; at++)
            if (shard->slots[at].block)
                visit(ctx, &shard->slots[at]);
        pthread_mutex_unlock(&shard->lock);
    }
}

void lodei_leak_lock_all(void)
{
    for (int i = 0; i < SHARDS; i++)
        pthread_mutex_lock(&shards[i].lock);
}

void lodei_leak_unlock_all(void)
{
    for (int i = SHARDS - 1; i >= 0; i--)
        pthread_mutex_unlock(&shards[i].lock);
}

void lodei_leak_forget_all(void)
{
    for (int i = 0; i < SHARDS; i++) {
        struct shard *shard = &shards[i];

        if (shard->slots)
            lodei_chunk_unmap(shard->slots, sizeof(*shard->slots) << shard->slots_log2);
        shard->slots = NULL;
        shard->slots_log2 = 0;
        shard->count = 0;
    }
    atomic_store_explicit(&dropped, 0, memory_order_relaxed);
}
