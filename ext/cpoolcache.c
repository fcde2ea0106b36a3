/* SPDX-License-Identifier: MIT */
/*
 * Threads' caches of concurrent pools: finding this thread's, making one, and giving it back when
 * the thread ends. Owns the ids of pools and a table in each thread's thread-local storage:
 *
 *     lodei_cpool_table.rows[pool id] = {serial of the pool, this thread's cache of it}
 *
 * A row whose serial is not the pool's belonged to a pool that is gone, memory and all. When a
 * thread ends, a row is followed only while the pool is pinned (poollist.c). Destructors of other
 * thread-specific data may use pools after that; then the table is made again and comes up for
 * another round, of which POSIX promises four. What is used after the last stays with the pool.
 *
 * Locks: `ids` guards which ids are taken; a leaf, held around fork().
 */
#include "ext/cpoolcore.h"

#include <string.h>

#include "base/bitmap.h"
#include "ext/threadkey.h"

#define ROWS_MIN 8
#define IDS_MAX  ((uint32_t)1 << 16)

_Thread_local struct lodei_cpool_table lodei_cpool_table __attribute__((tls_model("initial-exec")));

static pthread_key_t key;
static int key_made; /* set before main() */

/* ---- ids ---- */

static pthread_mutex_t ids = PTHREAD_MUTEX_INITIALIZER;
static uint64_t ids_taken[IDS_MAX / 64]; /* guarded by ids */

int lodei_cpool_id_take(uint32_t *ret_id)
{
    pthread_mutex_lock(&ids);
    size_t id = lodei_bitmap_next(ids_taken, IDS_MAX, 0, 0);
    if (id < IDS_MAX)
        lodei_bitmap_put(ids_taken, id, 1, 1);
    pthread_mutex_unlock(&ids);
    *ret_id = (uint32_t)id;
    return id < IDS_MAX ? 0 : -ENOMEM;
}

void lodei_cpool_id_drop(uint32_t id)
{
    pthread_mutex_lock(&ids);
    lodei_bitmap_put(ids_taken, id, 1, 0);
    pthread_mutex_unlock(&ids);
}

/* ---- caches ---- */

static int table_grow(uint32_t id)
{
    uint32_t count = lodei_max(ROWS_MIN, lodei_cpool_table.count);
    while (count <= id)
        count *= 2;
    if (count == lodei_cpool_table.count)
        return 0;
    struct lodei_cpool_row *rows = lode_calloc(count, sizeof(*rows));
    if (rows == NULL)
        return -ENOMEM;
    if (lodei_cpool_table.count > 0)
        memcpy(rows, lodei_cpool_table.rows, lodei_cpool_table.count * sizeof(*rows));
    lode_free(lodei_cpool_table.rows);
    lodei_cpool_table.rows = rows;
    lodei_cpool_table.count = count;
    return 0;
}

static struct lodei_cpool_cache *cache_new(struct lode_cpool *cp)
{
    struct lodei_pool *p = cp->core;
    struct lodei_cpool_cache *cache = lodei_source_alloc(&p->source, sizeof(*cache), 64);
    if (cache == NULL)
        return NULL;
    *cache = (struct lodei_cpool_cache){0};
    pthread_mutex_lock(&p->lock);
    if (cp->forked)
        lodei_cpool_reclaim(cp);
    int error = lodei_cpool_cache_fill(cp, cache);
    if (error == 0) {
        lodei_list_push_back(&cp->caches, &cache->link);
        p->metadata_bytes += sizeof(*cache);
    }
    pthread_mutex_unlock(&p->lock);
    if (error == 0)
        return cache;
    lodei_source_free(cache, sizeof(*cache));
    return NULL;
}

struct lodei_cpool_cache *lodei_cpool_cache_get(struct lode_cpool *cp)
{
    struct lodei_cpool_cache *cache = lodei_cpool_cache_peek(cp);
    int saved = errno;
    if (cache != NULL)
        return cache;
    /* The value says no more than that there is something to do at the thread's end. */
    if (table_grow(cp->id) == 0 && (!key_made || lodei_threadkey_set(key, &key) == 0))
        cache = cache_new(cp);
    if (cache != NULL)
        lodei_cpool_table.rows[cp->id] = (struct lodei_cpool_row){cp->serial, cache};
    errno = saved;
    return cache;
}

static void cache_end(struct lode_cpool *cp, struct lodei_cpool_cache *cache)
{
    struct lodei_pool *p = cp->core;
    pthread_mutex_lock(&p->lock);
    if (cp->forked)
        lodei_cpool_reclaim(cp);
    if (cp->survivor_cache == cache)
        cp->survivor_cache = NULL;
    lodei_cpool_cache_empty(cp, cache);
    lodei_list_remove(&cache->link);
    cp->acquires += cache->acquires;
    cp->releases += cache->releases;
    p->metadata_bytes -= sizeof(*cache);
    pthread_mutex_unlock(&p->lock);
    lodei_source_free(cache, sizeof(*cache));
}

static void thread_ends(void *unused)
{
    (void)unused;
    int saved = errno;
    struct lodei_cpool_table own = lodei_cpool_table;
    lodei_cpool_table = (struct lodei_cpool_table){0};
    for (uint32_t i = 0; i < own.count; i++) {
        if (own.rows[i].serial == 0)
            continue;
        struct lodei_pool *p = lodei_pools_pin(own.rows[i].serial);
        if (p == NULL)
            continue;
        cache_end(p->outer, own.rows[i].cache);
        lodei_pools_unpin(p);
    }
    lode_free(own.rows);
    errno = saved;
}

/* ---- start, fork ---- */

void lodei_cpool_forked(struct lode_cpool *cp)
{
    cp->forked = 1;
    cp->survivor = pthread_self();
    cp->survivor_cache = lodei_cpool_cache_peek(cp);
}

static void fork_prepare(void)
{
    pthread_mutex_lock(&ids);
}

static void fork_done(void)
{
    pthread_mutex_unlock(&ids);
}

__attribute__((constructor)) static void start(void)
{
    /* Fails where there are no threads, so that none will end (glibc before 2.34). */
    key_made = lodei_threadkey_create(&key, thread_ends) == 0;
    (void)pthread_atfork(fork_prepare, fork_done, fork_done);
}
