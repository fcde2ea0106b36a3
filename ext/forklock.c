/* SPDX-License-Identifier: MIT */
/*
 * Owns the list of locks to be held around fork(), by rank; those of one rank are never held two at
 * a time by anybody else, so their order does not matter.
 *
 * Before fork() come, in this order: the list of allocators and its objects' locks (registry.c, it
 * calls objects under its lock), these, then those of handles (grace.c), then the heaps'. Handlers
 * run in the reverse order of their registration: hence the constructors' priorities.
 */
#include "ext/forklock.h"

#include <stddef.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct lodei_list ranks[LODEI_FORK_RANKS] = {
    [LODEI_FORK_GRID] = {&ranks[LODEI_FORK_GRID], &ranks[LODEI_FORK_GRID]},
    [LODEI_FORK_CACHE] = {&ranks[LODEI_FORK_CACHE], &ranks[LODEI_FORK_CACHE]},
}; /* guarded by lock */

static void each(int (*act)(pthread_mutex_t *))
{
    for (unsigned rank = 0; rank < LODEI_FORK_RANKS; rank++)
        for (struct lodei_list *l = ranks[rank].next; l != &ranks[rank]; l = l->next)
            (void)act(lode_container_of(l, struct lodei_forklock, link)->mutex);
}

static void fork_prepare(void)
{
    pthread_mutex_lock(&lock);
    each(pthread_mutex_lock);
}

static void fork_done(void)
{
    each(pthread_mutex_unlock);
    pthread_mutex_unlock(&lock);
}

__attribute__((constructor(103))) static void start(void)
{
    /* Fails only without memory at load time; then a fork at an unlucky moment is what is left. */
    (void)pthread_atfork(fork_prepare, fork_done, fork_done);
}

void lodei_forklock_add(struct lodei_forklock *forklock, pthread_mutex_t *mutex,
                        enum lodei_fork_rank rank)
{
    forklock->mutex = mutex;
    pthread_mutex_lock(&lock);
    lodei_list_push_back(&ranks[rank], &forklock->link);
    pthread_mutex_unlock(&lock);
}

void lodei_forklock_remove(struct lodei_forklock *forklock)
{
    pthread_mutex_lock(&lock);
    lodei_list_remove(&forklock->link);
    pthread_mutex_unlock(&lock);
}
