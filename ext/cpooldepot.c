/* SPDX-License-Identifier: MIT */
/*
 * The depot of a concurrent pool: full and empty magazines, exchanged with threads' caches and
 * filled from and emptied to the core. Owns the magazines.
 *
 * What a thread brings back full is the next thing another one gets; only when there are more than
 * LODEI_CPOOL_FULL_MAX do objects go back to their chunks, and at the end of an epoch those
 * magazines that nobody wanted in it: the least number that were there (Bonwick & Adams 2001,
 * section 3.4).
 *
 * core->lock guards everything; functions that grow the core do so after dropping it.
 */
#include "ext/cpoolcore.h"

#include "base/bitmap.h"
#include "ext/poison.h"

#define BATCH 64

static size_t magazine_bytes(const struct lode_cpool *cp)
{
    return sizeof(struct lodei_magazine) + cp->magazine_objects * sizeof(struct lodei_cpool_entry);
}

/* ---- objects between core and magazines ---- */

static uint32_t take(struct lode_cpool *cp, struct lodei_cpool_entry *ret, uint32_t n)
{
    struct lodei_pool *p = cp->core;
    struct lode_pool_slot slots[BATCH];
    struct lode_pool_chunk *chunk = NULL;
    uint32_t slot;
    uintptr_t first = 0;
    n = lodei_pool_take(p, slots, (uint32_t)lodei_min(n, BATCH), 1);
    for (uint32_t i = 0; i < n; i++) {
        if (chunk == NULL || slots[i].bit - first >= p->front.slots) {
            chunk = lodei_pool_find(p, slots[i].object, &slot);
            first = (uintptr_t)lodei_pool_bits(chunk) << 3;
        }
        ret[i].object = slots[i].object;
        ret[i].state = chunk->state + (slots[i].bit - first);
    }
    return n;
}

int lodei_cpool_take_one(struct lode_cpool *cp, struct lodei_cpool_entry *ret_entry)
{
    int got = (int)take(cp, ret_entry, 1);
    lodei_pool_note_peak(cp->core);
    return got;
}

void lodei_cpool_put_one(struct lode_cpool *cp, struct lodei_cpool_entry entry)
{
    uint32_t slot = 0;
    struct lode_pool_chunk *chunk = lodei_pool_find(cp->core, entry.object, &slot);
    lodei_pool_set_bit(((uintptr_t)lodei_pool_bits(chunk) << 3) + slot, 0);
    lodei_pool_count_back(cp->core, chunk, slot);
}

static void pour_out(struct lode_cpool *cp, struct lodei_magazine *m)
{
    while (m->count > 0)
        lodei_cpool_put_one(cp, m->entries[--m->count]);
}

/* ---- magazines ---- */

static void list_push(struct lodei_depot_list *list, struct lodei_magazine *m)
{
    m->next = list->first;
    list->first = m;
    list->count++;
}

static struct lodei_magazine *list_pop(struct lodei_depot_list *list)
{
    struct lodei_magazine *m = list->first;
    if (m != NULL) {
        list->first = m->next;
        list->count--;
    }
    return m;
}

static struct lodei_magazine *full_pop(struct lode_cpool *cp)
{
    struct lodei_magazine *m = list_pop(&cp->full);
    cp->full_low = lodei_min(cp->full_low, cp->full.count);
    return m;
}

static struct lodei_magazine *empty_get(struct lode_cpool *cp)
{
    struct lodei_magazine *m = list_pop(&cp->empty);
    if (m != NULL)
        return m;
    m = lodei_source_alloc(&cp->core->source, magazine_bytes(cp), 64);
    if (m == NULL)
        return NULL;
    m->count = 0;
    m->all = cp->all;
    cp->all = m;
    cp->core->metadata_bytes += magazine_bytes(cp);
    return m;
}

static void give(struct lode_cpool *cp, struct lodei_magazine *m)
{
    if (m->count > 0 && cp->full.count < LODEI_CPOOL_FULL_MAX) {
        list_push(&cp->full, m);
        return;
    }
    pour_out(cp, m);
    list_push(&cp->empty, m);
}

int lodei_cpool_cache_fill(struct lode_cpool *cp, struct lodei_cpool_cache *cache)
{
    cache->loaded = empty_get(cp);
    cache->previous = empty_get(cp);
    if (cache->loaded != NULL && cache->previous != NULL)
        return 0;
    if (cache->loaded != NULL)
        list_push(&cp->empty, cache->loaded);
    return -ENOMEM;
}

void lodei_cpool_cache_empty(struct lode_cpool *cp, struct lodei_cpool_cache *cache)
{
    give(cp, cache->loaded);
    give(cp, cache->previous);
}

static void exchange(struct lode_cpool *cp, struct lodei_magazine **magazine)
{
    if ((*magazine)->count == 0)
        return;
    struct lodei_magazine *m = empty_get(cp);
    if (m == NULL) {
        pour_out(cp, *magazine);
        return;
    }
    give(cp, *magazine);
    *magazine = m;
}

void lodei_cpool_cache_flush(struct lode_cpool *cp, struct lodei_cpool_cache *cache)
{
    exchange(cp, &cache->loaded);
    exchange(cp, &cache->previous);
}

void lodei_cpool_depot_drain(struct lode_cpool *cp, size_t keep)
{
    while (cp->full.count > keep) {
        struct lodei_magazine *m = full_pop(cp);
        pour_out(cp, m);
        list_push(&cp->empty, m);
    }
    cp->full_low = cp->full.count;
    lodei_pool_verify(cp->core);
}

void lodei_cpool_depot_free(struct lode_cpool *cp)
{
    while (cp->all != NULL) {
        struct lodei_magazine *m = cp->all;
        cp->all = m->all;
        lodei_source_free(m, magazine_bytes(cp));
    }
}

/* ---- exchange with a cache ---- */

/* Objects were asked for: does the epoch end with that? Under the lock. */
static int spend(struct lodei_pool *p, uint32_t n)
{
    if (p->until_epoch == 0)
        return 0; /* somebody is about to end it */
    p->until_epoch -= (uint32_t)lodei_min(n, p->until_epoch);
    return p->until_epoch == 0;
}

static uint32_t fetch(struct lode_cpool *cp, struct lodei_cpool_cache *cache, int *ret_epoch)
{
    struct lodei_pool *p = cp->core;
    pthread_mutex_lock(&p->lock);
    if (cp->forked)
        lodei_cpool_reclaim(cp);
    struct lodei_magazine *m = full_pop(cp);
    if (m != NULL) {
        list_push(&cp->empty, cache->loaded);
        cache->loaded = m;
    } else {
        m = cache->loaded;
        uint32_t wanted = cp->magazine_objects, got;
        do {
            got = take(cp, m->entries + m->count, wanted - m->count);
            m->count += got;
        } while (got > 0 && m->count < wanted);
        lodei_pool_note_peak(p);
    }
    *ret_epoch = spend(p, m->count);
    lodei_pool_verify(p);
    pthread_mutex_unlock(&p->lock);
    return m->count;
}

int lodei_cpool_fetch(struct lode_cpool *cp, struct lodei_cpool_cache *cache)
{
    int epoch = 0, error = 0;
    while (error == 0 && fetch(cp, cache, &epoch) == 0)
        error = lodei_pool_run_dry(cp->core);
    if (epoch)
        lodei_pool_budget_spent(cp->core);
    return error;
}

void lodei_cpool_make_room(struct lode_cpool *cp, struct lodei_cpool_cache *cache)
{
    pthread_mutex_lock(&cp->core->lock);
    if (cp->forked)
        lodei_cpool_reclaim(cp);
    struct lodei_magazine *m = empty_get(cp);
    if (m == NULL) {
        m = cache->previous;
        pour_out(cp, m);
    } else
        give(cp, cache->previous);
    cache->previous = cache->loaded;
    cache->loaded = m;
    pthread_mutex_unlock(&cp->core->lock);
}

/* ---- in a forked child ---- */

static void mark(struct lodei_magazine *m, enum lodei_cpool_state from, enum lodei_cpool_state to)
{
    for (uint32_t i = 0; i < m->count; i++)
        if (*m->entries[i].state == from)
            *m->entries[i].state = (uint8_t)to;
}

static void mark_kept(struct lode_cpool *cp, enum lodei_cpool_state from, enum lodei_cpool_state to)
{
    for (struct lodei_magazine *m = cp->full.first; m != NULL; m = m->next)
        mark(m, from, to);
    if (cp->survivor_cache != NULL) {
        mark(cp->survivor_cache->loaded, from, to);
        mark(cp->survivor_cache->previous, from, to);
    }
}

/* Objects that are out of their chunk, and nobody has them, go back; returns how many are live. */
static uint64_t sweep(struct lodei_pool *p)
{
    struct lodei_pool_index *index = atomic_load_explicit(&p->index, memory_order_relaxed);
    uint64_t live = 0;
    for (uint32_t i = 0; i < index->capacity; i++) {
        struct lode_pool_chunk *chunk = index->chunks[i];
        for (uint32_t slot = 0; chunk != NULL && chunk->taken > 0 && slot < p->front.slots;
             slot++) {
            if (!lodei_pool_bit(lodei_pool_bits(chunk), slot))
                continue;
            live += chunk->state[slot] == LODEI_CPOOL_LIVE;
            if (chunk->state[slot] != LODEI_CPOOL_FREE)
                continue;
            lodei_taken(lodei_pool_object(p, chunk, slot), p->object_bytes);
            lodei_pool_set_bit(((uintptr_t)lodei_pool_bits(chunk) << 3) + slot, 0);
            lodei_pool_count_back(p, chunk, slot);
        }
    }
    return live;
}

/* Magazines that lie nowhere now: those of the vanished caches. Their contents may be half written
 * and are not looked at. */
static void recover_magazines(struct lode_cpool *cp)
{
    struct lodei_cpool_cache *own = cp->survivor_cache;
    for (struct lodei_magazine *m = cp->all; m != NULL; m = m->all) {
        int found = own != NULL && (own->loaded == m || own->previous == m);
        for (struct lodei_magazine *f = cp->full.first; f != NULL && !found; f = f->next)
            found = f == m;
        for (struct lodei_magazine *e = cp->empty.first; e != NULL && !found; e = e->next)
            found = e == m;
        if (found)
            continue;
        m->count = 0;
        list_push(&cp->empty, m);
    }
}

void lodei_cpool_reclaim(struct lode_cpool *cp)
{
    struct lodei_cpool_cache *own = cp->survivor_cache;
    cp->forked = 0;
    /* Another thread of the child has objects in hand that look like lost ones. */
    if (!pthread_equal(cp->survivor, pthread_self()))
        return;
    mark_kept(cp, LODEI_CPOOL_FREE, LODEI_CPOOL_FOUND);
    uint64_t live = sweep(cp->core);
    mark_kept(cp, LODEI_CPOOL_FOUND, LODEI_CPOOL_FREE);
    recover_magazines(cp);
    for (struct lodei_list *l = cp->caches.next, *next; l != &cp->caches; l = next) {
        struct lodei_cpool_cache *cache = lode_container_of(l, struct lodei_cpool_cache, link);
        next = l->next;
        if (cache == own)
            continue;
        cp->acquires += cache->acquires;
        lodei_list_remove(l);
        lodei_source_free(cache, sizeof(*cache));
        cp->core->metadata_bytes -= sizeof(*cache);
    }
    /* What they released is known from what is live. */
    uint64_t others = own != NULL ? own->acquires - own->releases : 0;
    cp->releases = cp->acquires + others - live;
}
