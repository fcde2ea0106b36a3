/* SPDX-License-Identifier: MIT */
/*
 * The inside of concurrent pools: a core (poolcore.h), a depot, and a cache for each thread.
 *
 *     thread's cache           depot (core->lock)          core (core->lock)
 *     loaded   [ooo....]  <->  full  [ooooooo] ...  <->    chunks: bits say what is out
 *     previous [ooooooo]  <->  empty [.......] ...
 *
 * A magazine is an array of free objects. A thread works on `loaded`, swaps it with `previous` when
 * it runs empty or full, and when that does not help exchanges one at the depot, so that it comes
 * there at most once for every magazine's worth of operations (Bonwick & Adams 2001, section 3.1).
 *
 * An object's state byte says whether a user has it; its bit in the core, whether it is out of its
 * chunk. Both are set while a user has it, only the bit while it lies in a magazine.
 *
 * A cache belongs to its thread; other threads read its counters. Magazines of caches are exchanged
 * only by their thread, under core->lock. Which cache is whose: the thread's table in thread-local
 * storage, by the pool's id, checked against the pool's serial, which is never used twice: an entry
 * of a pool that is gone is never followed.
 *
 * Locks: core->lock for everything here; ids have a lock of their own, a leaf.
 */
#ifndef LODEI_CPOOLCORE_H
#define LODEI_CPOOLCORE_H

#include "ext/poolcore.h"
#include "lode/cpool.h"

/* Full magazines at the depot, at most; what is more goes back to the chunks. */
#define LODEI_CPOOL_FULL_MAX 32

enum lodei_cpool_state {
    LODEI_CPOOL_FREE = 0,
    LODEI_CPOOL_LIVE = 1,
    LODEI_CPOOL_DYING = 2, /* its destructor is running */
    LODEI_CPOOL_FOUND = 3, /* in lodei_cpool_reclaim(): free, and somebody has it */
};

struct lodei_cpool_entry {
    void *object;
    uint8_t *state; /* enum lodei_cpool_state, atomic */
};

struct lodei_magazine {
    struct lodei_magazine *next; /* of the depot's list */
    struct lodei_magazine *all;  /* of the pool's */
    uint32_t count;
    struct lodei_cpool_entry entries[];
};

/* One thread's part of one pool. */
struct lodei_cpool_cache {
    struct lodei_magazine *loaded, *previous;
    /* Written by the thread, relaxed; read for figures. */
    uint64_t acquires, releases;
    struct lodei_list link; /* guarded by core->lock */
};

struct lodei_depot_list {
    struct lodei_magazine *first;
    size_t count;
};

/* A thread's caches by the pools' ids. */
struct lodei_cpool_table {
    struct lodei_cpool_row {
        uint64_t serial; /* of the pool whose cache it is; 0: none */
        struct lodei_cpool_cache *cache;
    } * rows;
    uint32_t count;
};

/* Initial-exec: one load. 16 bytes are in the surplus that libraries loaded later share. */
extern _Thread_local struct lodei_cpool_table lodei_cpool_table
    __attribute__((tls_model("initial-exec")));

struct lode_cpool {
    struct lodei_pool *core;
    uint64_t serial; /* core->serial */
    uint32_t id;     /* index in threads' tables; used again after the pool is gone */
    uint32_t magazine_objects;
    int plain; /* nothing to do for an object but hand it out */

    /* Guarded by core->lock. */
    struct lodei_depot_list full, empty;
    size_t full_low;            /* least full.count in this epoch */
    struct lodei_magazine *all; /* every magazine */
    struct lodei_list caches;
    uint64_t acquires, releases; /* of caches that are gone, and without cache */
    int forked;                  /* this is a forked child, and nothing was reclaimed yet */
    pthread_t survivor;          /* the thread that forked */
    struct lodei_cpool_cache *survivor_cache;
};

/* This thread's cache; NULL: it has none yet. */
LODE_INLINE struct lodei_cpool_cache *lodei_cpool_cache_peek(const struct lode_cpool *cp)
{
    uint32_t id = cp->id;
    if (lode_unlikely(id >= lodei_cpool_table.count))
        return NULL;
    const struct lodei_cpool_row *row = &lodei_cpool_table.rows[id];
    return lode_likely(row->serial == cp->serial) ? row->cache : NULL;
}

/* relaxed: written by one thread, read for figures */
LODE_INLINE void lodei_cpool_count(uint64_t *counter, uint64_t n)
{
    __atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

/* ---- cpoolcache.c ---- */

int lodei_cpool_id_take(uint32_t *ret_id);
void lodei_cpool_id_drop(uint32_t id);
/* The same, made if need be; NULL: out of memory. */
struct lodei_cpool_cache *lodei_cpool_cache_get(struct lode_cpool *cp);

/* This is a forked child; called by the only thread there is. */
void lodei_cpool_forked(struct lode_cpool *cp);

/* ---- cpooldepot.c ---- */

/* Put free objects into the cache, which has none. 0; -ENOSPC; -ENOMEM. No lock. */
int lodei_cpool_fetch(struct lode_cpool *cp, struct lodei_cpool_cache *cache);
/* Make room in the cache, which has none. No lock. */
void lodei_cpool_make_room(struct lode_cpool *cp, struct lodei_cpool_cache *cache);
/* One object without a cache: out of its chunk, and back. Under the lock. 1, or 0: none free. */
int lodei_cpool_take_one(struct lode_cpool *cp, struct lodei_cpool_entry *ret_entry);
void lodei_cpool_put_one(struct lode_cpool *cp, struct lodei_cpool_entry entry);
/* Two empty magazines for a new cache; 0 or -ENOMEM. Under the lock. */
int lodei_cpool_cache_fill(struct lode_cpool *cp, struct lodei_cpool_cache *cache);
/* What the cache holds goes to the depot; it stays usable. Under the lock. */
void lodei_cpool_cache_flush(struct lode_cpool *cp, struct lodei_cpool_cache *cache);
/* The cache's magazines go to the depot, and it is no more. Under the lock. */
void lodei_cpool_cache_empty(struct lode_cpool *cp, struct lodei_cpool_cache *cache);
/* Full magazines back to the chunks, all but `keep`. Under the lock. */
void lodei_cpool_depot_drain(struct lode_cpool *cp, size_t keep);
void lodei_cpool_depot_free(struct lode_cpool *cp);
/* In a forked child: find what lay in vanished threads' caches. Under the lock. */
void lodei_cpool_reclaim(struct lode_cpool *cp);

#endif
