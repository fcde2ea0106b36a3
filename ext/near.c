/* SPDX-License-Identifier: MIT */
/* Offers to place blocks beside others: see near.h. The list's lock is a leaf, held around fork();
 * an offer in use is counted, and its removal waits. */
#include "ext/near.h"

#include <pthread.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t unused = PTHREAD_COND_INITIALIZER;
/* Guarded by lock. */
static struct lodei_list offers = {&offers, &offers};
static uint64_t last_serial;

static void fork_prepare(void)
{
    pthread_mutex_lock(&lock);
}

static void fork_parent(void)
{
    pthread_mutex_unlock(&lock);
}

/* Who used one is not here. */
static void fork_child(void)
{
    for (struct lodei_list *l = offers.next; l != &offers; l = l->next)
        lode_container_of(l, struct lodei_near, link)->users = 0;
    unused = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
    pthread_mutex_unlock(&lock);
}

__attribute__((constructor)) static void start(void)
{
    (void)pthread_atfork(fork_prepare, fork_parent, fork_child);
}

void lodei_near_add(struct lodei_near *offer)
{
    pthread_mutex_lock(&lock);
    offer->users = 0;
    offer->serial = ++last_serial;
    lodei_list_push_back(&offers, &offer->link);
    pthread_mutex_unlock(&lock);
}

void lodei_near_remove(struct lodei_near *offer)
{
    int state;
    /* Whoever is cancelled while waiting would keep the lock. */
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    pthread_mutex_lock(&lock);
    lodei_list_remove(&offer->link);
    while (offer->users > 0)
        pthread_cond_wait(&unused, &lock);
    pthread_mutex_unlock(&lock);
    pthread_setcancelstate(state, &state);
}

static void drop(struct lodei_near *offer)
{
    if (--offer->users == 0)
        pthread_cond_broadcast(&unused);
}

/* The offer behind `l`, or behind the head if it is NULL, with one user more; NULL: the end. An
 * offer that is being removed has left the list: then the walk ends early. */
static struct lodei_near *step(struct lodei_near *previous)
{
    struct lodei_near *next = NULL;
    pthread_mutex_lock(&lock);
    struct lodei_list *l = previous == NULL ? offers.next : previous->link.next;
    if (l != &offers && (previous == NULL || l != &previous->link)) {
        next = lode_container_of(l, struct lodei_near, link);
        next->users++;
    }
    if (previous != NULL)
        drop(previous);
    pthread_mutex_unlock(&lock);
    return next;
}

struct lodei_near *lodei_near_take(const void *near)
{
    struct lodei_near *offer = step(NULL);
    while (offer != NULL && !offer->owns(offer->ctx, near))
        offer = step(offer);
    return offer;
}

struct lodei_near *lodei_near_again(uint64_t serial)
{
    struct lodei_near *found = NULL;
    pthread_mutex_lock(&lock);
    for (struct lodei_list *l = offers.next; l != &offers && found == NULL; l = l->next) {
        struct lodei_near *offer = lode_container_of(l, struct lodei_near, link);
        if (offer->serial == serial)
            found = offer;
    }
    if (found != NULL)
        found->users++;
    pthread_mutex_unlock(&lock);
    return found;
}

void lodei_near_drop(struct lodei_near *offer)
{
    pthread_mutex_lock(&lock);
    drop(offer);
    pthread_mutex_unlock(&lock);
}
