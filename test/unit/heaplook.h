/* SPDX-License-Identifier: MIT */
/* Looking at a heap from outside its own code: figures, address space, threads that come and rest.
 */
#ifndef HEAPLOOK_H
#define HEAPLOOK_H

#include <pthread.h>
#include <stddef.h>

#include "lode/stats.h"

/* The figures of `heap`, or of all with NULL. */
struct lode_stats heaplook_stats(struct lode_heap *heap);
/* mapped - (in_use + cached + untouched + purged + metadata), which must be 0. */
long heaplook_unnamed_bytes(void);
/* Writable bytes of the reservation, as the kernel lists them. */
size_t heaplook_writable_bytes(void);

/* A thread that does one job at a time, and sleeps in between. */
struct heaplook_worker {
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    void (*job)(void *);
    void *arg;
    int end;
};

void heaplook_worker_start(struct heaplook_worker *w);
/* Returns when job(arg) has run on the worker. */
void heaplook_worker_do(struct heaplook_worker *w, void (*job)(void *), void *arg);
void heaplook_worker_end(struct heaplook_worker *w);
/* Runs job(arg) on a thread of its own, which has ended when this returns. */
void heaplook_on_thread(void (*job)(void *), void *arg);

#endif
