/* SPDX-License-Identifier: MIT */
/*
 * How large an object pool is: reserve, expect, epochs, shrinking, and what a pool's activity
 * keeps.
 *
 *     demand   most objects live in an epoch; sinks by an eighth of itself in an epoch that needed
 *              less, so that what comes back every few epochs stays
 *     rise     by how much an epoch's peak was above the demand known before
 *     grow     to demand + rise, ahead of the program, at the second rise in a row: one alone may
 *              be a swing
 *     shrink   after shrink_delay epochs in which the demand stayed below shrink_percent of the
 *              capacity, to demand + a quarter; an idle pool at once to its demand, a dormant one
 *              to what is live
 *
 * Growing and shrinking thus need different signs, and a quarter lies between their goals: a
 * program that swings within the delay sees neither. The method is ours; decaying peaks are a
 * common way to follow a load (Bonwick & Adams 2001, section 3.4 size a depot by its working set).
 *
 * pool->lock guards all of it. Chunks come and go after it was dropped.
 */
#include "ext/poolcore.h"

#define EPOCH_ACQUIRES_MIN 1024
#define DECAY_SHARE        8
#define SLACK_SHARE        4

size_t lodei_pool_capacity(const struct lodei_pool *p)
{
    return lodei_min(p->chunks * p->front.slots, p->max);
}

static size_t hot_count(const struct lodei_pool *p)
{
    return __atomic_load_n(&p->front.hot_count, __ATOMIC_RELAXED);
}

static size_t live_count(const struct lodei_pool *p)
{
    size_t hot = hot_count(p);
    return p->taken > hot ? p->taken - hot : 0;
}

/* ---- counting ---- */

static uint32_t *until_epoch(const struct lodei_pool *p)
{
    return (uint32_t *)(p->out_of_line ? &p->until_epoch : &p->front.until_epoch);
}

uint64_t lodei_pool_acquires(const struct lodei_pool *p)
{
    /* relaxed: a figure */
    return p->acquires_before + (p->budget - __atomic_load_n(until_epoch(p), __ATOMIC_RELAXED));
}

void lodei_pool_budget(struct lodei_pool *p)
{
    size_t budget = p->epoch_acquires;
    if (budget == 0)
        budget = lodei_max(EPOCH_ACQUIRES_MIN, 2 * lodei_pool_capacity(p));
    p->acquires_before = lodei_pool_acquires(p);
    p->budget = (uint32_t)lodei_min(budget, UINT32_MAX);
    __atomic_store_n(until_epoch(p), p->budget, __ATOMIC_RELAXED);
}

void lodei_pool_budget_spent(struct lodei_pool *p)
{
    if (p->epoch_acquires != UINT32_MAX) {
        lodei_pool_epoch(p);
        return;
    }
    pthread_mutex_lock(&p->lock);
    lodei_pool_budget(p);
    pthread_mutex_unlock(&p->lock);
}

void lodei_pool_note_peak(struct lodei_pool *p)
{
    /* The hot list is this thread's. */
    size_t live = p->taken - p->front.hot_low;
    p->epoch_peak = lodei_max(p->epoch_peak, live);
    p->peak_live = lodei_max(p->peak_live, live);
    __atomic_store_n(&p->front.hot_low, p->front.hot_count, __ATOMIC_RELAXED);
}

/* ---- epochs ---- */

struct plan {
    size_t grow_objects;
    size_t give_chunks;
    size_t keep_objects;
};

static size_t kept(const struct lodei_pool *p)
{
    if (p->activity == LODE_POOL_DORMANT)
        return 0;
    size_t slack = p->activity == LODE_POOL_ACTIVE ? p->demand / SLACK_SHARE : 0;
    return lodei_max(p->initial, p->demand + slack);
}

/* Follow the demand; returns the rise, if it is one of a row. */
static size_t follow(struct lodei_pool *p)
{
    size_t peak = p->epoch_peak;
    size_t sunk = p->demand - (p->demand + DECAY_SHARE - 1) / DECAY_SHARE;
    size_t rise = peak > p->demand ? peak - p->demand : 0;
    int again = p->rising;
    p->rising = rise > 0;
    p->demand = lodei_max(peak, sunk);
    p->epoch_peak = live_count(p);
    p->epochs++;
    return again ? rise : 0;
}

static struct plan decide(struct lodei_pool *p)
{
    size_t rise = follow(p), capacity = p->chunks * p->front.slots;
    struct plan plan = {.keep_objects = kept(p)};
    if (p->flags & LODE_POOL_STEADY)
        return plan;
    int low =
        p->demand < capacity / 100 * p->shrink_percent + capacity % 100 * p->shrink_percent / 100;
    p->quiet_epochs = low ? p->quiet_epochs + 1 : 0;
    if (p->activity != LODE_POOL_ACTIVE || p->quiet_epochs > p->shrink_delay)
        plan.give_chunks = LODEI_POOL_SHRINK_CHUNKS;
    size_t ahead = lodei_min(p->demand + rise, p->max);
    if (p->activity == LODE_POOL_ACTIVE && rise > 0 && ahead > capacity)
        plan.grow_objects = ahead - capacity;
    return plan;
}

static void grow_ahead(struct lodei_pool *p, size_t objects)
{
    size_t added = lodei_pool_grow(p, objects);
    pthread_mutex_lock(&p->lock);
    p->grows_ahead += added > 0;
    pthread_mutex_unlock(&p->lock);
}

void lodei_pool_epoch(struct lodei_pool *p)
{
    pthread_mutex_lock(&p->lock);
    lodei_pool_collect(p);
    if (p->drain != NULL)
        p->drain(p, p->activity == LODE_POOL_DORMANT);
    lodei_pool_note_peak(p);
    struct plan plan = decide(p);
    lodei_pool_budget(p);
    lodei_pool_verify(p);
    pthread_mutex_unlock(&p->lock);
    if (plan.grow_objects > 0)
        grow_ahead(p, plan.grow_objects);
    else if (plan.give_chunks > 0)
        (void)lodei_pool_give_back(p, plan.give_chunks, plan.keep_objects);
}

void lode_pool_tick(struct lode_pool *pool)
{
    lodei_pool_epoch(lodei_pool_of(pool));
}

/* ---- sizes by word of the caller ---- */

/* Make `total` objects possible in all. 0; -ENOMEM: what was added is gone again. */
static int grow_to(struct lodei_pool *p, size_t total)
{
    pthread_mutex_lock(&p->lock);
    size_t before = p->chunks, capacity = before * p->front.slots;
    pthread_mutex_unlock(&p->lock);
    if (capacity >= total)
        return 0;
    size_t wanted = total - capacity, added = lodei_pool_grow(p, wanted);
    if (added * p->front.slots < wanted) {
        (void)lodei_pool_give_back(p, added, capacity);
        return -ENOMEM;
    }
    pthread_mutex_lock(&p->lock);
    p->grows_ahead++;
    pthread_mutex_unlock(&p->lock);
    return 0;
}

static size_t total_with(struct lodei_pool *p, size_t count)
{
    size_t total;
    pthread_mutex_lock(&p->lock);
    lodei_pool_collect(p);
    if (__builtin_add_overflow(live_count(p), count, &total))
        total = SIZE_MAX;
    pthread_mutex_unlock(&p->lock);
    return total;
}

int lodei_pool_reserve(struct lodei_pool *p, size_t count)
{
    size_t total = total_with(p, count);
    if (total > p->max)
        return -ENOSPC;
    return grow_to(p, total);
}

int lodei_pool_expect(struct lodei_pool *p, size_t count)
{
    size_t total = lodei_min(total_with(p, count), p->max);
    int error = grow_to(p, total);
    if (error != 0)
        return error;
    pthread_mutex_lock(&p->lock);
    p->demand = lodei_max(p->demand, total);
    p->epoch_peak = lodei_max(p->epoch_peak, total);
    p->quiet_epochs = 0;
    pthread_mutex_unlock(&p->lock);
    return 0;
}

int lode_pool_reserve(struct lode_pool *pool, size_t count)
{
    return lodei_pool_reserve(lodei_pool_of(pool), count);
}

int lode_pool_expect(struct lode_pool *pool, size_t count)
{
    return lodei_pool_expect(lodei_pool_of(pool), count);
}

size_t lode_pool_shrink(struct lode_pool *pool)
{
    struct lodei_pool *p = lodei_pool_of(pool);
    pthread_mutex_lock(&p->lock);
    lodei_pool_collect(p);
    lodei_pool_note_peak(p);
    lodei_pool_flush(p, p->front.hot_count);
    pthread_mutex_unlock(&p->lock);
    return lodei_pool_give_back(p, SIZE_MAX, 0);
}

size_t lodei_pool_trim(struct lodei_pool *p, size_t bytes)
{
    if (bytes == 0)
        return 0;
    if (p->drain != NULL) {
        pthread_mutex_lock(&p->lock);
        p->drain(p, 1);
        pthread_mutex_unlock(&p->lock);
    }
    return lodei_pool_give_back(p, (bytes - 1) / p->chunk_bytes + 1, 0);
}

size_t lode_pool_trim(struct lode_pool *pool, size_t bytes)
{
    return lodei_pool_trim(lodei_pool_of(pool), bytes);
}

int lodei_pool_set_activity(struct lodei_pool *p, enum lode_pool_activity activity)
{
    if ((unsigned)activity > LODE_POOL_DORMANT)
        return -EINVAL;
    pthread_mutex_lock(&p->lock);
    p->activity = (uint8_t)activity;
    p->quiet_epochs = 0;
    pthread_mutex_unlock(&p->lock);
    if (activity == LODE_POOL_DORMANT)
        (void)lodei_pool_trim(p, SIZE_MAX);
    return 0;
}

int lode_pool_set_activity(struct lode_pool *pool, enum lode_pool_activity activity)
{
    return lodei_pool_set_activity(lodei_pool_of(pool), activity);
}

void lodei_pool_set_priority(struct lodei_pool *p, int8_t priority)
{
    pthread_mutex_lock(&p->lock);
    p->priority = priority;
    pthread_mutex_unlock(&p->lock);
}

void lode_pool_set_priority(struct lode_pool *pool, int8_t priority)
{
    lodei_pool_set_priority(lodei_pool_of(pool), priority);
}
