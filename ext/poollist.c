/* SPDX-License-Identifier: MIT */
/*
 * The list of pools, and trimming them all. Owns the list and the pools lock, under which nobody
 * waits for anything: a pool to be worked on is pinned, the lock dropped, and who destroys a pool
 * waits until nobody has it pinned. So the lock can be held around fork() whatever else is.
 */
#include "ext/cpoolcore.h"

#include <limits.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t unpinned = PTHREAD_COND_INITIALIZER;
/* Guarded by lock. */
static struct lodei_list pools = {&pools, &pools};
static uint64_t last_serial;

static void fork_prepare(void)
{
    pthread_mutex_lock(&lock);
}

static void fork_parent(void)
{
    pthread_mutex_unlock(&lock);
}

/* The threads that had pools pinned are not here, nor those that waited. */
static void fork_child(void)
{
    for (struct lodei_list *l = pools.next; l != &pools; l = l->next) {
        struct lodei_pool *p = lode_container_of(l, struct lodei_pool, link);
        p->pins = 0;
        if (p->outer != NULL)
            lodei_cpool_forked(p->outer);
    }
    unpinned = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
    pthread_mutex_unlock(&lock);
}

__attribute__((constructor)) static void start(void)
{
    /* Fails only without memory at load time; then a fork at an unlucky moment is what is left. */
    (void)pthread_atfork(fork_prepare, fork_parent, fork_child);
}

void lodei_pools_add(struct lodei_pool *p)
{
    pthread_mutex_lock(&lock);
    p->serial = ++last_serial;
    lodei_list_push_back(&pools, &p->link);
    pthread_mutex_unlock(&lock);
}

void lodei_pools_remove(struct lodei_pool *p)
{
    int state;
    /* Whoever is cancelled while waiting would keep the lock. */
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    pthread_mutex_lock(&lock);
    p->closing = 1;
    while (p->pins > 0)
        pthread_cond_wait(&unpinned, &lock);
    lodei_list_remove(&p->link);
    pthread_mutex_unlock(&lock);
    pthread_setcancelstate(state, &state);
}

struct lodei_pool *lodei_pools_pin(uint64_t serial)
{
    struct lodei_pool *found = NULL;
    pthread_mutex_lock(&lock);
    for (struct lodei_list *l = pools.next; l != &pools && found == NULL; l = l->next) {
        struct lodei_pool *p = lode_container_of(l, struct lodei_pool, link);
        if (p->serial == serial && !p->closing)
            found = p;
    }
    if (found != NULL)
        found->pins++;
    pthread_mutex_unlock(&lock);
    return found;
}

/* Under the lock. */
static void unpin(struct lodei_pool *p)
{
    if (--p->pins == 0 && p->closing)
        pthread_cond_broadcast(&unpinned);
}

void lodei_pools_unpin(struct lodei_pool *p)
{
    pthread_mutex_lock(&lock);
    unpin(p);
    pthread_mutex_unlock(&lock);
}

/* The order of trimming: by priority, then the dormant before the idle before the active. */
static int rank_of(struct lodei_pool *p)
{
    pthread_mutex_lock(&p->lock);
    int rank = p->priority * 4 + (LODE_POOL_DORMANT - p->activity);
    pthread_mutex_unlock(&p->lock);
    return rank;
}

/* The pool after `previous` (NULL: the first), pinned; `previous` is let go. */
static struct lodei_pool *next_pinned(struct lodei_pool *previous)
{
    pthread_mutex_lock(&lock);
    struct lodei_list *l = previous != NULL ? previous->link.next : pools.next;
    while (l != &pools && lode_container_of(l, struct lodei_pool, link)->closing)
        l = l->next;
    struct lodei_pool *p = NULL;
    if (l != &pools) {
        p = lode_container_of(l, struct lodei_pool, link);
        p->pins++;
    }
    if (previous != NULL)
        unpin(previous);
    pthread_mutex_unlock(&lock);
    return p;
}

size_t lode_pools_trim(size_t bytes)
{
    size_t given = 0;
    /* One pass for each rank there is: no memory is needed to sort. */
    for (int rank = INT_MIN, next = INT_MIN; given < bytes; rank = next) {
        next = INT_MAX;
        for (struct lodei_pool *p = next_pinned(NULL); p != NULL; p = next_pinned(p)) {
            int own = rank_of(p);
            if (own == rank && given < bytes)
                given += lodei_pool_trim(p, bytes - given);
            else if (own > rank && own < next)
                next = own;
        }
        if (next == INT_MAX)
            break;
    }
    return given;
}
