/* SPDX-License-Identifier: MIT */
/*
 * Concurrent object pools: create and destroy, acquire and release in a thread's cache, figures.
 * See cpoolcore.h for how they are built.
 *
 * The user's hooks run here, under no lock. While an object's destructor runs its state is DYING:
 * releasing it again then is refused.
 *
 * A thread that can have no cache, for want of memory, works on the chunks under core->lock, one
 * object at a time.
 */
#include "ext/cpoolcore.h"

#include <string.h>

#include "ext/ops.h"
#include "ext/opts.h"
#include "ext/poison.h"

#define CACHE_OBJECTS     128
#define CACHE_OBJECTS_MAX 4096
#define CACHE_BYTES       ((size_t)128 << 10)
#define CACHE_MAX_SHARE   8

/* ---- create, destroy ---- */

static uint32_t magazine_objects(const struct lodei_pool *p, size_t asked)
{
    size_t n = asked != 0 ? asked : CACHE_OBJECTS;
    if (asked == 0)
        n = lodei_min(n, CACHE_BYTES / p->object_bytes);
    n = lodei_min(n, p->max / CACHE_MAX_SHARE);
    return (uint32_t)lodei_max(1, n / 2);
}

static void drain(struct lodei_pool *p, int all)
{
    struct lode_cpool *cp = p->outer;
    lodei_cpool_depot_drain(cp, all ? 0 : cp->full.count - cp->full_low);
}

static void adjust(struct lodei_pool *p, struct lode_pool_stats *s)
{
    const struct lode_cpool *cp = p->outer;
    uint64_t acquires = cp->acquires, releases = cp->releases;
    for (struct lodei_list *l = cp->caches.next; l != &cp->caches; l = l->next) {
        struct lodei_cpool_cache *cache = lode_container_of(l, struct lodei_cpool_cache, link);
        /* relaxed: figures. Releases first: then live is rather too large than below zero */
        releases += __atomic_load_n(&cache->releases, __ATOMIC_RELAXED);
        acquires += __atomic_load_n(&cache->acquires, __ATOMIC_RELAXED);
    }
    s->acquires = acquires;
    s->live = lodei_min(acquires > releases ? acquires - releases : 0, p->taken);
    s->hot = p->taken - s->live;
}

static void describe(void *object, struct lode_allocator_stats *ret_stats)
{
    const struct lode_cpool *cp = object;
    lodei_pool_describe(cp->core, ret_stats);
}

int lode_cpool_create(const struct lode_pool_opts *opts, struct lode_cpool **ret_cpool)
{
    struct lode_pool_opts o;
    struct lodei_pool *p;
    struct lode_cpool *cp = NULL;
    int error = lodei_opts_take(opts, &o, sizeof(o));
    if (error == 0 && (o.cache_objects > CACHE_OBJECTS_MAX || (o.flags & LODE_POOL_REMOTE)))
        error = -EINVAL;
    if (error == 0)
        error = lodei_pool_make(&o, 1, &p);
    if (error != 0)
        return error;
    uint32_t id;
    error = lodei_cpool_id_take(&id);
    if (error != 0)
        goto fail;
    cp = lodei_source_calloc(&p->source, sizeof(*cp));
    if (cp == NULL) {
        error = -ENOMEM;
        goto fail_id;
    }
    cp->core = p;
    cp->id = id;
    cp->magazine_objects = magazine_objects(p, o.cache_objects);
    cp->plain = !p->hooked && !lodei_watched;
    lodei_list_init(&cp->caches);
    p->outer = cp;
    p->drain = drain;
    p->adjust = adjust;
    p->metadata_bytes += sizeof(*cp);
    lodei_pools_add(p);
    cp->serial = p->serial;
    lodei_registry_add_locked(&p->registered, "cpool", o.name, cp, describe, &p->lock);
    *ret_cpool = cp;
    return 0;

fail_id:
    lodei_cpool_id_drop(id);
fail:
    lodei_pool_unmake(p);
    return error;
}

static void destruct_live(struct lodei_pool *p)
{
    struct lodei_pool_index *index = atomic_load_explicit(&p->index, memory_order_relaxed);
    for (uint32_t i = 0; i < index->capacity; i++) {
        struct lode_pool_chunk *chunk = index->chunks[i];
        for (uint32_t slot = 0; chunk != NULL && slot < p->front.slots; slot++)
            if (chunk->state[slot] == LODEI_CPOOL_LIVE) {
                chunk->state[slot] = LODEI_CPOOL_DYING;
                p->destruct(p->hook_ctx, lodei_pool_object(p, chunk, slot));
            }
    }
}

void lode_cpool_destroy(struct lode_cpool *cp)
{
    if (cp == NULL)
        return;
    struct lodei_pool *p = cp->core;
    lodei_pools_remove(p);
    lodei_registry_remove(&p->registered);
    if (p->destruct != NULL)
        destruct_live(p);
    for (struct lodei_list *l = cp->caches.next, *next; l != &cp->caches; l = next) {
        next = l->next;
        lodei_source_free(lode_container_of(l, struct lodei_cpool_cache, link),
                          sizeof(struct lodei_cpool_cache));
    }
    lodei_cpool_depot_free(cp);
    lodei_cpool_id_drop(cp->id);
    lodei_source_free(cp, sizeof(*cp));
    lodei_pool_unmake(p);
}

/* ---- acquire, release ---- */

static int take_uncached(struct lode_cpool *cp, struct lodei_cpool_entry *ret_entry)
{
    struct lodei_pool *p = cp->core;
    for (;;) {
        pthread_mutex_lock(&p->lock);
        int got = lodei_cpool_take_one(cp, ret_entry);
        cp->acquires += (uint64_t)got;
        pthread_mutex_unlock(&p->lock);
        if (got)
            return 0;
        int error = lodei_pool_run_dry(p);
        if (error != 0)
            return error;
    }
}

static int take(struct lode_cpool *cp, struct lodei_cpool_entry *ret_entry)
{
    struct lodei_cpool_cache *cache = lodei_cpool_cache_get(cp);
    if (cache == NULL)
        return take_uncached(cp, ret_entry);
    struct lodei_magazine *m = cache->loaded;
    if (m->count == 0) {
        cache->loaded = cache->previous;
        cache->previous = m;
        if (cache->loaded->count == 0) {
            int error = lodei_cpool_fetch(cp, cache);
            if (error != 0)
                return error;
        }
        m = cache->loaded;
    }
    *ret_entry = m->entries[--m->count];
    lodei_cpool_count(&cache->acquires, 1);
    return 0;
}

static void put_uncached(struct lode_cpool *cp, struct lodei_cpool_entry entry)
{
    pthread_mutex_lock(&cp->core->lock);
    lodei_cpool_put_one(cp, entry);
    cp->releases++;
    pthread_mutex_unlock(&cp->core->lock);
}

static void put(struct lode_cpool *cp, struct lodei_cpool_entry entry)
{
    struct lodei_cpool_cache *cache = lodei_cpool_cache_get(cp);
    if (cache == NULL) {
        put_uncached(cp, entry);
        return;
    }
    struct lodei_magazine *m = cache->loaded;
    if (m->count == cp->magazine_objects) {
        cache->loaded = cache->previous;
        cache->previous = m;
        if (cache->loaded->count == cp->magazine_objects)
            lodei_cpool_make_room(cp, cache);
        m = cache->loaded;
    }
    m->entries[m->count++] = entry;
    lodei_cpool_count(&cache->releases, 1);
}

static int prepare(struct lodei_pool *p, struct lodei_cpool_entry entry)
{
    lodei_given(entry.object, p->object_bytes);
    if (p->flags & LODE_POOL_ZERO)
        memset(entry.object, 0, p->object_bytes);
    return p->construct != NULL ? p->construct(p->hook_ctx, entry.object) : 0;
}

static void take_back(struct lode_cpool *cp, struct lodei_cpool_entry entry)
{
    struct lodei_pool *p = cp->core;
    lodei_taken(entry.object, p->object_bytes);
    pthread_mutex_lock(&p->lock);
    p->failures++;
    pthread_mutex_unlock(&p->lock);
    put(cp, entry);
}

static LODE_NOINLINE int acquire_slow(struct lode_cpool *cp, void **ret_object)
{
    struct lodei_cpool_entry entry;
    int saved = errno, error = take(cp, &entry);
    if (error == 0 && !cp->plain) {
        error = prepare(cp->core, entry);
        if (error != 0)
            take_back(cp, entry);
    }
    if (error == 0) {
        /* relaxed: whoever releases the object got it from us */
        __atomic_store_n(entry.state, LODEI_CPOOL_LIVE, __ATOMIC_RELAXED);
        *ret_object = entry.object;
    }
    errno = saved;
    return error;
}

LODE_INLINE void *acquire_fast(struct lode_cpool *cp)
{
    struct lodei_cpool_cache *cache = lodei_cpool_cache_peek(cp);
    if (lode_unlikely(cache == NULL))
        return NULL;
    struct lodei_magazine *m = cache->loaded;
    uint32_t n = m->count;
    if (lode_unlikely(n == 0 || !cp->plain))
        return NULL;
    m->count = --n;
    __atomic_store_n(m->entries[n].state, LODEI_CPOOL_LIVE, __ATOMIC_RELAXED); /* as above */
    lodei_cpool_count(&cache->acquires, 1);
    return m->entries[n].object;
}

void *lode_cpool_acquire(struct lode_cpool *cp)
{
    void *object = acquire_fast(cp);
    if (lode_likely(object != NULL))
        return object;
    return acquire_slow(cp, &object) == 0 ? object : NULL;
}

int lode_cpool_try_acquire(struct lode_cpool *cp, void **ret_object)
{
    return acquire_slow(cp, ret_object);
}

static LODE_NOINLINE int release_slow(struct lode_cpool *cp, void *object)
{
    struct lodei_pool *p = cp->core;
    uint32_t slot;
    if (object == NULL)
        return 0;
    struct lode_pool_chunk *chunk = lodei_pool_find(p, object, &slot);
    if (chunk == NULL)
        return lodei_pool_misused(p);
    uint8_t *state = chunk->state + slot, live = LODEI_CPOOL_LIVE;
    /* relaxed: the object's contents travel with its magazine, or with its user */
    if (!__atomic_compare_exchange_n(state, &live, LODEI_CPOOL_DYING, 0, __ATOMIC_RELAXED,
                                     __ATOMIC_RELAXED))
        return lodei_pool_misused(p);
    int saved = errno;
    if (p->destruct != NULL)
        p->destruct(p->hook_ctx, object);
    lodei_taken(object, p->object_bytes);
    __atomic_store_n(state, LODEI_CPOOL_FREE, __ATOMIC_RELAXED);
    put(cp, (struct lodei_cpool_entry){object, state});
    errno = saved;
    return 0;
}

int lode_cpool_release(struct lode_cpool *cp, void *object)
{
    struct lodei_cpool_cache *cache = lodei_cpool_cache_peek(cp);
    uint32_t slot;
    struct lode_pool_chunk *chunk = lodei_pool_glance(cp->core, object, &slot);
    if (lode_unlikely(cache == NULL || chunk == NULL))
        return release_slow(cp, object);
    struct lodei_magazine *m = cache->loaded;
    uint32_t n = m->count;
    if (lode_unlikely(n == cp->magazine_objects || !cp->plain))
        return release_slow(cp, object);
    uint8_t *state = chunk->state + slot, live = LODEI_CPOOL_LIVE;
    if (!__atomic_compare_exchange_n(state, &live, LODEI_CPOOL_FREE, 0, __ATOMIC_RELAXED,
                                     __ATOMIC_RELAXED))
        return lodei_pool_misused(cp->core);
    m->entries[n].object = object;
    m->entries[n].state = state;
    m->count = n + 1;
    lodei_cpool_count(&cache->releases, 1);
    return 0;
}

size_t lode_cpool_acquire_many(struct lode_cpool *cp, void **ret_objects, size_t count)
{
    size_t done = 0;
    for (void *object; done < count && (object = lode_cpool_acquire(cp)) != NULL; done++)
        ret_objects[done] = object;
    return done;
}

int lode_cpool_release_many(struct lode_cpool *cp, void *const *objects, size_t count)
{
    int first = 0;
    for (size_t i = 0; i < count; i++) {
        int error = lode_cpool_release(cp, objects[i]);
        if (first == 0)
            first = error;
    }
    return first;
}

/* ---- size, figures ---- */

void lode_cpool_flush(struct lode_cpool *cp)
{
    struct lodei_cpool_cache *cache = lodei_cpool_cache_peek(cp);
    if (cache == NULL)
        return;
    pthread_mutex_lock(&cp->core->lock);
    if (cp->forked)
        lodei_cpool_reclaim(cp);
    lodei_cpool_cache_flush(cp, cache);
    pthread_mutex_unlock(&cp->core->lock);
}

int lode_cpool_reserve(struct lode_cpool *cp, size_t count)
{
    return lodei_pool_reserve(cp->core, count);
}

int lode_cpool_expect(struct lode_cpool *cp, size_t count)
{
    return lodei_pool_expect(cp->core, count);
}

void lode_cpool_tick(struct lode_cpool *cp)
{
    lodei_pool_epoch(cp->core);
}

size_t lode_cpool_trim(struct lode_cpool *cp, size_t bytes)
{
    return lodei_pool_trim(cp->core, bytes);
}

int lode_cpool_set_activity(struct lode_cpool *cp, enum lode_pool_activity activity)
{
    return lodei_pool_set_activity(cp->core, activity);
}

void lode_cpool_set_priority(struct lode_cpool *cp, int8_t priority)
{
    lodei_pool_set_priority(cp->core, priority);
}

int lode_cpool_owns(const struct lode_cpool *cp, const void *address)
{
    return lode_pool_owns(&cp->core->front, address);
}

size_t lode_cpool_cache_objects(const struct lode_cpool *cp)
{
    return 2 * (size_t)cp->magazine_objects;
}

int lode_cpool_stats_get(const struct lode_cpool *cp, struct lode_pool_stats *stats)
{
    return lodei_pool_stats_copy(cp->core, stats);
}

/* ---- lode_allocator ---- */

static void *cpool_alloc(void *ctx, size_t bytes, size_t align)
{
    const struct lode_cpool *cp = ctx;
    return lodei_pool_fits(cp->core, bytes, align) ? lode_cpool_acquire(ctx) : NULL;
}

static void *cpool_resize(void *ctx, void *block, size_t old_bytes, size_t bytes, size_t align)
{
    const struct lode_cpool *cp = ctx;
    (void)old_bytes;
    if (block == NULL)
        return cpool_alloc(ctx, bytes, align);
    return lodei_pool_fits(cp->core, bytes, align) ? block : NULL;
}

static int cpool_free(void *ctx, void *block, size_t bytes, size_t align)
{
    (void)bytes;
    (void)align;
    return lode_cpool_release(ctx, block);
}

static size_t cpool_alloc_many(void *ctx, size_t bytes, size_t align, void **ret_blocks,
                               size_t count)
{
    const struct lode_cpool *cp = ctx;
    if (!lodei_pool_fits(cp->core, bytes, align))
        return 0;
    return lode_cpool_acquire_many(ctx, ret_blocks, count);
}

static int cpool_free_many(void *ctx, void *const *blocks, size_t count, size_t bytes, size_t align)
{
    (void)bytes;
    (void)align;
    return lode_cpool_release_many(ctx, blocks, count);
}

static size_t cpool_max_bytes(void *ctx)
{
    const struct lode_cpool *cp = ctx;
    return cp->core->object_bytes;
}

static int cpool_can_allocate(void *ctx, size_t bytes, size_t align)
{
    const struct lode_cpool *cp = ctx;
    struct lode_pool_stats s;
    lodei_pool_stats(cp->core, &s);
    return lodei_pool_fits(cp->core, bytes, align) && s.live < cp->core->max;
}

static int cpool_owns(void *ctx, const void *block)
{
    return lode_cpool_owns(ctx, block);
}

static const struct lode_allocator_ops cpool_ops = {
    .alloc = cpool_alloc,
    .resize = cpool_resize,
    .free = cpool_free,
    .alloc_many = cpool_alloc_many,
    .free_many = cpool_free_many,
    .max_bytes = cpool_max_bytes,
    .can_allocate = cpool_can_allocate,
    .owns = cpool_owns,
    .stats = describe,
};

void lode_cpool_allocator(struct lode_cpool *cp, struct lode_allocator *ret_allocator)
{
    uint32_t traits = LODE_TRAIT_THREADS | LODE_TRAIT_FREES | LODE_TRAIT_FIXED |
                      LODE_TRAIT_CHECKED | LODE_TRAIT_DESTROYS;
    if (cp->core->max <= cp->core->initial)
        traits |= LODE_TRAIT_BOUNDED;
    *ret_allocator = (struct lode_allocator){.ops = &cpool_ops, .ctx = cp, .traits = traits};
}
