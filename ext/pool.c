/* SPDX-License-Identifier: MIT */
/*
 * Object pools: create and destroy, and what the inline acquire and release leave to the library.
 *
 *     acquire  <- hot list  <- refill: half a list of the lowest free objects   <- chunks <- heap
 *     release  -> hot list  -> flush: the oldest half of it                     -> chunks
 *
 * Refill and flush take pool->lock, once per half list. Pools with hooks, zeroed objects, or memory
 * that ASan or memcheck watch come here for every operation: their until_epoch and hot_max in the
 * front are 0, and the same hot list is worked here.
 *
 * The user's hooks run here and in poolinfo.c (walks), under no lock. A destructor may release
 * other objects of the pool, and may acquire: the object keeps its bit until it is done.
 */
#include "ext/poolcore.h"

#include <errno.h>
#include <string.h>

#include "ext/opts.h"
#include "ext/poison.h"

#define FLAGS_ALL (LODE_POOL_ZERO | LODE_POOL_REMOTE | LODE_POOL_TOUCH | LODE_POOL_STEADY)

#define OBJECT_BYTES_MIN ((size_t)8)
/* A chunk is 64 KiB, less only where the pool can never be that large, more where that would not
 * hold 8 objects, and up to 1 MiB where `initial` asks for more than 16 of them: the fewer chunks
 * there are, the fewer cache lines a burst of releases has to look at. */
#define CHUNK_BYTES       ((size_t)64 << 10)
#define CHUNK_BYTES_MOST  ((size_t)1 << 20)
#define CHUNK_BYTES_LEAST ((size_t)4 << 10)
#define CHUNK_OBJECTS     8
#define CHUNKS_INITIAL    16
/* What waits on the hot list keeps its chunk: so many bytes at most. */
#define HOT_BYTES ((size_t)64 << 10)

_Static_assert(sizeof(struct lode_pool_chunk) % 8 == 0, "bits follow the descriptor");
_Static_assert(sizeof(struct lode_pool_opts) == 2 * 4 + 5 * 8 + 4 * 2 + 2 * 4 + 8 + 5 * 8,
               "no hidden padding");

/* ---- create, destroy ---- */

static int opts_bad(const struct lode_pool_opts *o)
{
    static const uint8_t zeros[sizeof(o->reserved)];
    if (o->object_bytes == 0 || o->object_bytes > LODE_POOL_OBJECT_MAX)
        return 1;
    if (o->align != 0 && (!lodei_is_power_of_two(o->align) || o->align > LODE_POOL_ALIGN_MAX))
        return 1;
    if ((o->flags & ~(uint32_t)FLAGS_ALL) != 0 || o->activity > LODE_POOL_DORMANT)
        return 1;
    if (o->shrink_percent > 100 || (o->max != 0 && o->initial > o->max))
        return 1;
    if (o->heap != NULL && (o->tag != 0 || o->kind != 0))
        return 1;
    if ((o->flags & LODE_POOL_REMOTE) && o->destruct != NULL)
        return 1;
    return memcmp(o->reserved, zeros, sizeof(zeros)) != 0;
}

/* The largest power of two that divides n, at most 16. */
static size_t natural_align(size_t n)
{
    return lodei_min(n & -n, 16);
}

static uint32_t inverse_of(uint32_t odd)
{
    uint32_t x = odd; /* right in the lowest 3 bits; each step doubles them */
    for (int i = 0; i < 4; i++)
        x *= 2 - odd * x;
    return x;
}

static void set_sizes(struct lodei_pool *p, const struct lode_pool_opts *o)
{
    size_t bytes = lodei_max(o->object_bytes, OBJECT_BYTES_MIN);
    p->align = o->align != 0 ? o->align : natural_align(bytes);
    p->object_bytes = lodei_round_up(bytes, p->align);
    size_t chunk = CHUNK_BYTES;
    while (chunk / p->object_bytes < CHUNK_OBJECTS)
        chunk *= 2;
    while (chunk < CHUNK_BYTES_MOST && o->initial / CHUNKS_INITIAL > chunk / p->object_bytes)
        chunk *= 2;
    size_t useful = o->max != 0 ? o->max : SIZE_MAX;
    while (chunk > CHUNK_BYTES_LEAST && chunk > p->align && chunk / 2 / p->object_bytes >= useful)
        chunk /= 2;
    p->chunk_align = chunk;
    p->front.chunk_mask = ~(uintptr_t)(chunk - 1);
    p->front.slots = (uint32_t)(chunk / p->object_bytes);
    p->chunk_bytes = p->front.slots * p->object_bytes;
    p->front.twos = (uint32_t)__builtin_ctzll(p->object_bytes);
    p->front.inverse = inverse_of((uint32_t)(p->object_bytes >> p->front.twos));
    size_t hot = lodei_max(2, lodei_min(LODE_POOL_HOT, HOT_BYTES / p->object_bytes));
    p->hot_cap = (uint32_t)hot;
}

static void set_policy(struct lodei_pool *p, const struct lode_pool_opts *o)
{
    p->flags = o->flags;
    p->initial = o->initial;
    p->max = o->max != 0 ? o->max : SIZE_MAX;
    p->growth_objects = o->growth_objects;
    p->growth_percent = o->growth_percent;
    if (o->growth_objects == 0 && o->growth_percent == 0)
        p->growth_percent = 50;
    p->shrink_percent = o->shrink_percent != 0 ? o->shrink_percent : 50;
    p->shrink_delay = o->shrink_delay != 0 ? o->shrink_delay : 16;
    p->epoch_acquires = o->epoch_acquires;
    p->priority = o->priority;
    p->activity = o->activity;
    p->construct = o->construct;
    p->destruct = o->destruct;
    p->hook_ctx = o->hook_ctx;
    p->hooked = (o->flags & LODE_POOL_ZERO) || o->construct != NULL || o->destruct != NULL;
    p->out_of_line = p->hooked || lodei_watched || p->concurrent;
}

static int source_open(struct lodei_source *source, const struct lode_pool_opts *o)
{
    struct lode_heap_opts heap = LODE_HEAP_OPTS_INIT;
    source->heap = o->heap;
    source->owned = o->heap == NULL;
    if (o->heap != NULL)
        return 0;
    heap.tag = o->tag;
    heap.kind = o->kind;
    heap.name = o->name != NULL ? o->name : "pool";
    return lode_heap_create(&heap, &source->heap);
}

int lodei_pool_make(const struct lode_pool_opts *o, int concurrent, struct lodei_pool **ret)
{
    struct lodei_source source;
    if (opts_bad(o))
        return -EINVAL;
    int error = source_open(&source, o);
    if (error != 0)
        return error;
    struct lodei_pool *p = lodei_source_alloc(&source, sizeof(*p), 64);
    if (p == NULL) {
        lodei_source_close(&source);
        return -ENOMEM;
    }
    memset(p, 0, sizeof(*p));
    p->source = source;
    p->metadata_bytes = sizeof(*p);
    p->concurrent = concurrent;
    (void)pthread_mutex_init(&p->lock, NULL); /* cannot fail without attributes on Linux */
    set_sizes(p, o);
    set_policy(p, o);
    error = -ENOMEM;
    if (lodei_pool_possible(p, p->initial))
        error = lodei_pool_index_make(p, p->initial / p->front.slots + 1);
    if (error == 0 && p->initial > 0) {
        lodei_pool_grow(p, p->initial);
        error = p->chunks * p->front.slots < p->initial ? -ENOMEM : 0;
    }
    if (error != 0) {
        lodei_pool_unmake(p);
        return error;
    }
    lodei_pool_budget(p);
    if (!p->out_of_line && !(p->flags & LODE_POOL_REMOTE))
        p->front.hot_max = p->hot_cap;
    *ret = p;
    return 0;
}

void lodei_pool_unmake(struct lodei_pool *p)
{
    struct lodei_source source = p->source;
    if (atomic_load_explicit(&p->index, memory_order_relaxed) != NULL)
        lodei_pool_free_all(p);
    pthread_mutex_destroy(&p->lock);
    lodei_source_free(p, sizeof(*p));
    lodei_source_close(&source);
}

int lode_pool_create(const struct lode_pool_opts *opts, struct lode_pool **ret_pool)
{
    struct lode_pool_opts o;
    struct lodei_pool *p;
    int error = lodei_opts_take(opts, &o, sizeof(o));
    if (error == 0 && o.cache_objects != 0)
        error = -EINVAL;
    if (error == 0)
        error = lodei_pool_make(&o, 0, &p);
    if (error != 0)
        return error;
    lodei_pools_add(p);
    lodei_registry_add_locked(&p->registered, "pool", o.name, p, lodei_pool_describe, &p->lock);
    *ret_pool = &p->front;
    return 0;
}

void lode_pool_destroy(struct lode_pool *pool)
{
    if (pool == NULL)
        return;
    struct lodei_pool *p = lodei_pool_of(pool);
    lodei_pools_remove(p);
    lodei_registry_remove(&p->registered);
    lodei_pool_destruct_all(p);
    lodei_pool_unmake(p);
}

/* ---- acquire ---- */

static uint32_t *until_epoch(struct lodei_pool *p)
{
    return p->out_of_line ? &p->until_epoch : &p->front.until_epoch;
}

/* relaxed: the hot list is one thread's; others read its length for figures. */
static void set_hot_count(struct lodei_pool *p, uint32_t n)
{
    __atomic_store_n(&p->front.hot_count, n, __ATOMIC_RELAXED);
}

static void set_hot_low(struct lodei_pool *p, uint32_t n)
{
    __atomic_store_n(&p->front.hot_low, n, __ATOMIC_RELAXED);
}

/* Fill half of the empty hot list. Returns how many it has then. */
static uint32_t refill(struct lodei_pool *p)
{
    pthread_mutex_lock(&p->lock);
    lodei_pool_collect(p);
    lodei_pool_note_peak(p);
    uint32_t n = lodei_pool_take(p, p->front.hot, lodei_max(1, p->hot_cap / 2), 0);
    set_hot_count(p, n);
    set_hot_low(p, n);
    lodei_pool_verify(p);
    pthread_mutex_unlock(&p->lock);
    return n;
}

int lodei_pool_run_dry(struct lodei_pool *p)
{
    pthread_mutex_lock(&p->lock);
    size_t capacity = p->chunks * p->front.slots, more = p->growth_objects;
    int full = p->taken >= p->max;
    p->refused += full;
    more = lodei_max(more, capacity / 100 * p->growth_percent);
    if (p->activity == LODE_POOL_DORMANT)
        more = 1;
    else if (p->demand > capacity)
        more = lodei_max(more, p->demand - capacity);
    pthread_mutex_unlock(&p->lock);
    if (full)
        return -ENOSPC;
    size_t added = lodei_pool_grow(p, lodei_max(more, 1));
    int error = 0;
    pthread_mutex_lock(&p->lock);
    p->grows += added > 0;
    p->misses += added > 0;
    /* Another thread may have added meanwhile all that `max` needs, and even taken it. */
    if (added == 0 && p->taken >= lodei_pool_capacity(p))
        error = p->taken >= p->max ? -ENOSPC : -ENOMEM;
    p->refused += error == -ENOSPC;
    p->failures += error == -ENOMEM;
    pthread_mutex_unlock(&p->lock);
    return error;
}

/* What only some pools do with an object just taken off the hot list. */
static int prepare(struct lodei_pool *p, struct lode_pool_slot slot)
{
    lodei_given(slot.object, p->object_bytes);
    if (p->flags & LODE_POOL_ZERO)
        memset(slot.object, 0, p->object_bytes);
    int error = p->construct != NULL ? p->construct(p->hook_ctx, slot.object) : 0;
    if (error == 0)
        return 0;
    pthread_mutex_lock(&p->lock);
    p->failures++;
    pthread_mutex_unlock(&p->lock);
    return error;
}

static void push(struct lodei_pool *p, struct lode_pool_slot slot)
{
    uint32_t n = p->front.hot_count;
    lodei_taken(slot.object, p->object_bytes);
    if (n == p->hot_cap) {
        pthread_mutex_lock(&p->lock);
        lodei_pool_note_peak(p);
        lodei_pool_flush(p, lodei_max(1, n / 2));
        pthread_mutex_unlock(&p->lock);
        n = p->front.hot_count;
    }
    lodei_pool_set_bit(slot.bit, 0);
    p->front.hot[n] = slot;
    set_hot_count(p, n + 1);
}

/* A hook may have used up the budget since acquire() looked. */
static void count_acquire(struct lodei_pool *p)
{
    uint32_t *until = until_epoch(p);
    if (*until == 0)
        lodei_pool_budget_spent(p);
    __atomic_store_n(until, *until - 1, __ATOMIC_RELAXED);
}

static int acquire(struct lodei_pool *p, void **ret_object)
{
    int saved = errno, error = 0;
    if (*until_epoch(p) == 0)
        lodei_pool_budget_spent(p);
    while (p->front.hot_count == 0 && refill(p) == 0) {
        error = lodei_pool_run_dry(p);
        if (error != 0) {
            errno = saved;
            return error;
        }
    }
    uint32_t n = p->front.hot_count - 1;
    struct lode_pool_slot slot = p->front.hot[n];
    lodei_pool_set_bit(slot.bit, 1);
    set_hot_count(p, n);
    if (n < p->front.hot_low)
        set_hot_low(p, n);
    if (p->out_of_line)
        error = prepare(p, slot);
    if (error != 0)
        push(p, slot);
    else {
        count_acquire(p);
        *ret_object = slot.object;
    }
    errno = saved;
    return error;
}

void *lode_pool_acquire_slow(struct lode_pool *pool)
{
    void *object;
    return acquire(lodei_pool_of(pool), &object) == 0 ? object : NULL;
}

int lode_pool_try_acquire(struct lode_pool *pool, void **ret_object)
{
    return acquire(lodei_pool_of(pool), ret_object);
}

/* Take objects from the chunks, past the hot list, which is empty. */
static size_t take_many(struct lodei_pool *p, void **ret_objects, size_t count)
{
    struct lode_pool_slot slots[LODE_POOL_HOT];
    size_t most = lodei_min(lodei_min(count, LODE_POOL_HOT), p->front.until_epoch);
    pthread_mutex_lock(&p->lock);
    lodei_pool_collect(p);
    uint32_t n = lodei_pool_take(p, slots, (uint32_t)most, 1);
    lodei_pool_note_peak(p);
    pthread_mutex_unlock(&p->lock);
    for (uint32_t i = 0; i < n; i++)
        ret_objects[i] = slots[n - 1 - i].object;
    __atomic_store_n(&p->front.until_epoch, p->front.until_epoch - n, __ATOMIC_RELAXED);
    return n;
}

size_t lode_pool_acquire_many(struct lode_pool *pool, void **ret_objects, size_t count)
{
    struct lodei_pool *p = lodei_pool_of(pool);
    size_t done = 0;
    while (done < count) {
        size_t taken = 0;
        if (pool->hot_count == 0 && pool->until_epoch > 0)
            taken = take_many(p, ret_objects + done, count - done);
        if (taken == 0) {
            ret_objects[done] = lode_pool_acquire(pool);
            taken = ret_objects[done] != NULL;
            if (taken == 0)
                break;
        }
        done += taken;
    }
    return done;
}

/* ---- release ---- */

static int is_dying(const struct lodei_pool *p, const void *object)
{
    for (const struct lodei_pool_dying *d = p->dying; d != NULL; d = d->outer)
        if (d->object == object)
            return 1;
    return 0;
}

static void destruct(struct lodei_pool *p, void *object)
{
    struct lodei_pool_dying dying = {.object = object, .outer = p->dying};
    p->dying = &dying;
    p->destruct(p->hook_ctx, object);
    p->dying = dying.outer;
}

static LODE_NOINLINE int release(struct lodei_pool *p, void *object)
{
    uint32_t slot;
    if (object == NULL)
        return 0;
    int saved = errno;
    struct lode_pool_chunk *chunk = lodei_pool_find(p, object, &slot);
    if (chunk == NULL || !lodei_pool_bit(lodei_pool_bits(chunk), slot) || is_dying(p, object))
        return lodei_pool_misused(p);
    if (chunk->remote != NULL && lodei_pool_bit(chunk->remote, slot))
        return lodei_pool_misused(p);
    if (p->destruct != NULL)
        destruct(p, object);
    push(p, (struct lode_pool_slot){object, ((uintptr_t)lodei_pool_bits(chunk) << 3) + slot});
    errno = saved;
    return 0;
}

/* Pools with remote releases come here for each of their own; all others, when the inline path
 * knows no further. */
int lode_pool_release_slow(struct lode_pool *pool, void *object)
{
    struct lodei_pool *p = lodei_pool_of(pool);
    uint32_t slot, n = pool->hot_count;
    struct lode_pool_chunk *chunk = lodei_pool_glance(p, object, &slot);
    if (lode_unlikely(chunk == NULL || chunk->remote == NULL || p->out_of_line || n == p->hot_cap))
        return release(p, object);
    uint64_t *word = lodei_pool_bits(chunk) + slot / 64, mask = (uint64_t)1 << (slot & 63);
    /* relaxed: the bit of an object that somebody else has just released may come too late, as
     * lode_pool_release_remote() says */
    uint64_t remote = __atomic_load_n(&chunk->remote[slot / 64], __ATOMIC_RELAXED);
    if (lode_unlikely((*word & ~remote & mask) == 0))
        return release(p, object);
    __atomic_store_n(word, *word & ~mask, __ATOMIC_RELAXED);
    pool->hot[n].object = object;
    pool->hot[n].bit = ((uintptr_t)lodei_pool_bits(chunk) << 3) + slot;
    set_hot_count(p, n + 1);
    return 0;
}

/* Back into its chunk, past the hot list. Under the lock. */
static int put_back(struct lodei_pool *p, void *object)
{
    uint32_t slot;
    struct lode_pool_chunk *chunk = lodei_pool_find(p, object, &slot);
    if (chunk == NULL || !lodei_pool_bit(lodei_pool_bits(chunk), slot))
        return object != NULL ? lodei_pool_misused(p) : 0;
    lodei_pool_set_bit(((uintptr_t)lodei_pool_bits(chunk) << 3) + slot, 0);
    lodei_pool_count_back(p, chunk, slot);
    return 0;
}

/* What the hot list has no room for goes straight into the chunks, under one lock. */
int lode_pool_release_many(struct lode_pool *pool, void *const *objects, size_t count)
{
    struct lodei_pool *p = lodei_pool_of(pool);
    int first = 0, inline_path = pool->hot_max != 0;
    size_t i = 0;
    for (; i < count && (!inline_path || pool->hot_count < pool->hot_max); i++) {
        int error = lode_pool_release(pool, objects[i]);
        if (first == 0)
            first = error;
    }
    if (i == count)
        return first;
    pthread_mutex_lock(&p->lock);
    lodei_pool_note_peak(p);
    for (; i < count; i++) {
        int error = put_back(p, objects[i]);
        if (first == 0)
            first = error;
    }
    pthread_mutex_unlock(&p->lock);
    return first;
}

void lodei_pool_flush(struct lodei_pool *p, uint32_t n)
{
    uint32_t left = p->front.hot_count - n;
    lodei_pool_put(p, p->front.hot, n);
    memmove(p->front.hot, p->front.hot + n, left * sizeof(p->front.hot[0]));
    set_hot_count(p, left);
    set_hot_low(p, left);
    lodei_pool_verify(p);
}
