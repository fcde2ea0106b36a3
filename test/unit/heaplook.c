/* SPDX-License-Identifier: MIT */
#include "heaplook.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "heap/types.h"

struct lode_stats heaplook_stats(struct lode_heap *heap)
{
    struct lode_stats s = {.size = sizeof(s)};
    if (lode_stats_get(heap, &s) != 0)
        abort();
    return s;
}

long heaplook_unnamed_bytes(void)
{
    struct lode_stats s = heaplook_stats(NULL);
    return (long)(s.mapped_bytes - s.in_use_bytes - s.cached_bytes - s.untouched_bytes -
                  s.purged_bytes - s.metadata_bytes);
}

size_t heaplook_writable_bytes(void)
{
    uintptr_t base = (uintptr_t)lodei_state.base, end = base + lodei_state.reserved_bytes;
    size_t bytes = 0;
    unsigned long from, to;
    char line[512], rights[8];
    FILE *maps = fopen("/proc/self/maps", "r");
    if (maps == NULL)
        abort();
    while (fgets(line, sizeof(line), maps) != NULL) {
        if (sscanf(line, "%lx-%lx %7s", &from, &to, rights) != 3 || rights[1] != 'w')
            continue;
        from = from < base ? base : from;
        to = to > end ? end : to;
        bytes += from < to ? to - from : 0;
    }
    fclose(maps);
    return bytes;
}

static void *work(void *arg)
{
    struct heaplook_worker *w = arg;
    pthread_mutex_lock(&w->mutex);
    while (!w->end) {
        if (w->job == NULL) {
            pthread_cond_wait(&w->cond, &w->mutex);
            continue;
        }
        w->job(w->arg);
        w->job = NULL;
        pthread_cond_broadcast(&w->cond);
    }
    pthread_mutex_unlock(&w->mutex);
    return NULL;
}

void heaplook_worker_start(struct heaplook_worker *w)
{
    w->job = NULL;
    w->end = 0;
    pthread_mutex_init(&w->mutex, NULL);
    pthread_cond_init(&w->cond, NULL);
    if (pthread_create(&w->thread, NULL, work, w) != 0)
        abort();
}

void heaplook_worker_do(struct heaplook_worker *w, void (*job)(void *), void *arg)
{
    pthread_mutex_lock(&w->mutex);
    w->arg = arg;
    w->job = job;
    pthread_cond_broadcast(&w->cond);
    while (w->job != NULL)
        pthread_cond_wait(&w->cond, &w->mutex);
    pthread_mutex_unlock(&w->mutex);
}

void heaplook_worker_end(struct heaplook_worker *w)
{
    pthread_mutex_lock(&w->mutex);
    w->end = 1;
    pthread_cond_broadcast(&w->cond);
    pthread_mutex_unlock(&w->mutex);
    pthread_join(w->thread, NULL);
}

void heaplook_on_thread(void (*job)(void *), void *arg)
{
    struct heaplook_worker w;
    heaplook_worker_start(&w);
    heaplook_worker_do(&w, job, arg);
    heaplook_worker_end(&w);
}
