/* SPDX-License-Identifier: MIT */
/*
 * The modes over the heap API: heaps created, shared and destroyed by any thread, and tag scopes.
 *
 *   heap_slot    one heap and the live blocks in it
 *     use        read: threads allocate and free in the heap side by side; write: one walks or
 *                destroys it, all others shut out, as lode_heap_destroy() asks
 *     table      guards blocks[] for a moment, so that each block has one owner
 */
#include "stress.h"

#include <pthread.h>
#include <string.h>

enum { HEAPS = 6, HEAP_BLOCKS = 200, TAG_FIRST = 100 };

static struct heap_slot {
    pthread_rwlock_t use;
    pthread_mutex_t table;
    struct lode_heap *heap;
    uint16_t tag;
    struct block blocks[HEAP_BLOCKS];
} heap_slots[HEAPS];

__attribute__((constructor)) static void heap_slots_init(void)
{
    for (int i = 0; i < HEAPS; i++) {
        pthread_rwlock_init(&heap_slots[i].use, NULL);
        pthread_mutex_init(&heap_slots[i].table, NULL);
    }
}

/* Needs the slot's write lock. */
static void slot_create(struct heap_slot *slot, uint64_t *rng)
{
    struct lode_heap_opts opts = LODE_HEAP_OPTS_INIT;
    int code;

    slot->tag = (uint16_t)(TAG_FIRST + stress_below(rng, 50));
    opts.tag = slot->tag;
    opts.kind = stress_below(rng, 4) == 0 ? LODE_KIND_HUGE : LODE_KIND_SYSTEM;
    opts.name = "stress";
    code = stress_heap_api.create(&opts, &slot->heap);
    if (code != 0)
        stress_die("lode_heap_create: %d", code);
}

struct walk {
    struct heap_slot *slot;
    size_t visited;
};

static int visit_block(void *ctx, void *ptr, size_t usable)
{
    struct walk *walk = ctx;

    for (int i = 0; i < HEAP_BLOCKS; i++) {
        if (walk->slot->blocks[i].ptr != ptr)
            continue;
        if (usable < walk->slot->blocks[i].bytes)
            stress_die("walk: block %p has %zu bytes, usable %zu", ptr, walk->slot->blocks[i].bytes,
                       usable);
        walk->visited++;
        return 0;
    }
    stress_die("walk: block %p is not live", ptr);
}

/* Needs the slot's write lock: nobody else uses the heap, so the walk is exact. */
static void slot_walk(struct heap_slot *slot)
{
    struct walk walk = {.slot = slot};
    size_t live = 0;
    int code;

    for (int i = 0; i < HEAP_BLOCKS; i++)
        live += slot->blocks[i].ptr != NULL;
    code = stress_heap_api.walk(slot->heap, NULL, visit_block, &walk);
    if (code != 0)
        stress_die("lode_heap_walk: %d", code);
    if (walk.visited != live)
        stress_die("walk: %zu blocks visited of %zu live", walk.visited, live);
}

/* Needs the slot's write lock. The blocks go with the heap, whoever took them. */
static void slot_destroy(struct heap_slot *slot)
{
    for (int i = 0; i < HEAP_BLOCKS; i++) {
        if (slot->blocks[i].ptr)
            block_verify(&slot->blocks[i], "before the heap is destroyed");
        slot->blocks[i].ptr = NULL;
    }
    stress_heap_api.destroy(slot->heap);
    slot->heap = NULL;
}

static void check_info(const struct block *block, const struct lode_heap *heap, unsigned tag)
{
    struct lode_block_info info;
    int code = stress_heap_api.block_find(block->ptr + block->bytes / 2, &info);

    if (code != 0)
        stress_die("lode_block_find of %p: %d", (void *)block->ptr, code);
    if (info.start != block->ptr || (heap && info.heap != heap) || info.tag != tag)
        stress_die("lode_block_find of %p: start %p, heap %p, tag %u instead of %u",
                   (void *)block->ptr, info.start, (void *)info.heap, info.tag, tag);
}

/* Needs the slot's read lock. */
static void slot_use(struct heap_slot *slot, uint64_t *rng)
{
    size_t bytes = stress_size(rng) / 4 + 1;
    struct block mine, old;
    unsigned char *p;

    if (stress_below(rng, 5) == 0)
        p = stress_heap_api.aligned_alloc(slot->heap, (size_t)16 << stress_below(rng, 9), bytes);
    else if (stress_below(rng, 3) == 0)
        p = stress_heap_api.calloc(slot->heap, 1, bytes);
    else
        p = stress_heap_api.alloc(slot->heap, bytes);
    if (!p)
        stress_die("%zu bytes from a heap: NULL", bytes);
    block_fill(&mine, p, bytes, stress_random(rng));
    if (stress_below(rng, 16) == 0)
        check_info(&mine, slot->heap, slot->tag);
    pthread_mutex_lock(&slot->table);
    old = slot->blocks[bytes % HEAP_BLOCKS];
    slot->blocks[bytes % HEAP_BLOCKS] = mine;
    pthread_mutex_unlock(&slot->table);
    block_free(&old);
}

static void heaps_end(void)
{
    for (int i = 0; i < HEAPS; i++) {
        pthread_rwlock_wrlock(&heap_slots[i].use);
        if (heap_slots[i].heap)
            slot_destroy(&heap_slots[i]);
        pthread_rwlock_unlock(&heap_slots[i].use);
    }
}

void stress_mode_heaps(struct stress_thread *thread)
{
    while (stress_more(thread)) {
        struct heap_slot *slot = &heap_slots[stress_below(&thread->rng, HEAPS)];

        if (stress_below(&thread->rng, 100) == 0) {
            pthread_rwlock_wrlock(&slot->use);
            if (slot->heap) {
                slot_walk(slot);
                slot_destroy(slot);
            }
            if (stress_below(&thread->rng, 2) == 0)
                slot_create(slot, &thread->rng);
            pthread_rwlock_unlock(&slot->use);
            continue;
        }
        /* Also while another thread destroys a heap that this one has used. */
        if (stress_below(&thread->rng, 400) == 0)
            stress_heap_api.purge();
        pthread_rwlock_rdlock(&slot->use);
        if (slot->heap)
            slot_use(slot, &thread->rng);
        pthread_rwlock_unlock(&slot->use);
        stress_step(thread);
    }
    stress_drain(thread);
    heaps_end();
}

/* Nested scopes; blocks of every tag live on after their scope and are freed under any other. */
void stress_mode_tags(struct stress_thread *thread)
{
    enum { DEPTH_MAX = 16 };
    uint16_t stack[DEPTH_MAX + 1] = {0};
    int depth = 0;

    while (stress_more(thread)) {
        size_t roll = stress_below(&thread->rng, 10);
        struct block block;

        if (roll == 0 && depth < DEPTH_MAX) {
            uint16_t tag = (uint16_t)(1 + stress_below(&thread->rng, 20));

            if (stress_heap_api.tag_push(tag) != 0)
                stress_die("lode_tag_push(%u)", tag);
            stack[++depth] = tag;
        } else if (roll == 1 && depth > 0) {
            stress_heap_api.tag_pop();
            depth--;
        }
        if (stress_heap_api.tag_current() != stack[depth])
            stress_die("tag %u is current instead of %u", stress_heap_api.tag_current(),
                       stack[depth]);
        stress_step(thread);
        if (roll > 7) {
            stress_take(&block, &thread->rng);
            check_info(&block, NULL, stack[depth]);
            block_free(&block);
        }
    }
    while (depth-- > 0)
        stress_heap_api.tag_pop();
    stress_drain(thread);
}
