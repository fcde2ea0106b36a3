/* SPDX-License-Identifier: MIT */
/*
 * Owns what happens around fork. The handlers (registered by the shim before a second thread can
 * exist) take every lock in rank order, so that the child finds every structure at rest. In the
 * child the other threads are gone: their theaps become orphans whose private lists are never read
 * again, since a vanished thread may have stood in the middle of a fast path; frees into their
 * spans work.
 *
 * A child made by a raw clone ran no handler. Its first long wait for a lock finds that out
 * (lodei_lock_orphaned) and repairs: every lock is freed. What a vanished thread was changing under
 * a lock may be half done: a theap whose lock was taken is abandoned; what is freed into it is
 * lost.
 */
#include "heap/fork.h"

#include <unistd.h>

#include "heap/heaps.h"
#include "heap/purge.h"
#include "heap/span.h"
#include "heap/trace.h"

static void each_heap_lock(void (*act)(struct lodei_lock *))
{
    struct lodei_state *s = &lodei_state;
    for (struct lodei_list *h = s->heaps.next; h != &s->heaps; h = h->next)
        act(&lode_container_of(h, struct lode_heap, registry_link)->lock);
}

/* The heaps' locks, which guard the lists of theaps, are held, or there is one thread. */
static void each_theap_lock(void (*act)(struct lodei_lock *))
{
    struct lodei_state *s = &lodei_state;
    for (struct lodei_list *h = s->heaps.next; h != &s->heaps; h = h->next) {
        struct lode_heap *heap = lode_container_of(h, struct lode_heap, registry_link);
        for (struct lodei_list *l = heap->theaps.next; l != &heap->theaps; l = l->next)
            act(&lode_container_of(l, struct lodei_theap, heap_link)->lock);
    }
}

static void reset(struct lodei_lock *lock)
{
    atomic_store_explicit(&lock->state, 0, memory_order_relaxed);
}

void lodei_fork_prepare(void)
{
    struct lodei_state *s = &lodei_state;
    if (s->default_heap == NULL)
        return;
    if (s->tracer != NULL)
        s->tracer->fork_prepare();
    lodei_lock_take_unranked(&s->registry_lock);
    each_heap_lock(lodei_lock_take_unranked);
    each_theap_lock(lodei_lock_take_unranked);
    lodei_lock_take_unranked(&s->slices_lock);
    lodei_lock_take_unranked(&s->meta_lock);
}

void lodei_fork_parent(void)
{
    struct lodei_state *s = &lodei_state;
    if (s->default_heap == NULL)
        return;
    lodei_lock_drop_unranked(&s->meta_lock);
    lodei_lock_drop_unranked(&s->slices_lock);
    each_theap_lock(lodei_lock_drop_unranked);
    each_heap_lock(lodei_lock_drop_unranked);
    lodei_lock_drop_unranked(&s->registry_lock);
    if (s->tracer != NULL)
        s->tracer->fork_parent();
}

static void child_restart(void)
{
    struct lodei_state *s = &lodei_state;
    reset(&s->meta_lock);
    reset(&s->slices_lock);
    each_theap_lock(reset);
    each_heap_lock(reset);
    reset(&s->registry_lock);
    lodei_threads_forked();
    lodei_purge_forked();
    atomic_store_explicit(&lodei_lock_pid, getpid(), memory_order_relaxed);
}

void lodei_fork_child(void)
{
    if (lodei_state.default_heap == NULL)
        return;
    child_restart();
    if (lodei_state.tracer != NULL)
        lodei_state.tracer->fork_child();
}

/* A theap found locked in a raw child: somebody stood in the middle of it. Its lists are left
 * alone. */
static void abandon_locked(void)
{
    struct lodei_state *s = &lodei_state;
    for (struct lodei_list *h = s->heaps.next; h != &s->heaps; h = h->next) {
        struct lode_heap *heap = lode_container_of(h, struct lode_heap, registry_link);
        for (struct lodei_list *l = heap->theaps.next; l != &heap->theaps; l = l->next) {
            struct lodei_theap *th = lode_container_of(l, struct lodei_theap, heap_link);
            th->abandoned |= lodei_lock_is_taken(&th->lock);
        }
    }
}

void lodei_fork_orphaned(void)
{
    int pid = getpid(), old = atomic_load_explicit(&lodei_lock_pid, memory_order_relaxed);
    if (old == pid || !atomic_compare_exchange_strong_explicit(
                          &lodei_lock_pid, &old, pid, memory_order_relaxed, memory_order_relaxed))
        return;
    abandon_locked();
    child_restart();
}
