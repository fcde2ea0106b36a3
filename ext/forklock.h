/* SPDX-License-Identifier: MIT */
/*
 * Locks that are held around fork(), so that a forked child finds what they guard whole. For parts
 * of objects; an object that is in the list of allocators can name one lock there (registry.h).
 * See forklock.c.
 */
#ifndef LODEI_FORKLOCK_H
#define LODEI_FORKLOCK_H

#include <pthread.h>

#include "base/list.h"

/* In the order in which they may be taken: who holds one may take those of later ranks only. */
enum lodei_fork_rank {
    LODEI_FORK_GRID,
    LODEI_FORK_CACHE,
    LODEI_FORK_RANKS,
};

struct lodei_forklock {
    struct lodei_list link;
    pthread_mutex_t *mutex;
};

/* The mutex is ready; none of the ranks above is held. Both calls take a lock of their own. */
void lodei_forklock_add(struct lodei_forklock *forklock, pthread_mutex_t *mutex,
                        enum lodei_fork_rank rank);
void lodei_forklock_remove(struct lodei_forklock *forklock);

#endif
