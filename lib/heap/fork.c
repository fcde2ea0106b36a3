/* SPDX-License-Identifier: MIT */
/*
 * Owns what happens around fork. The handlers (registered by the shim before a second thread can
 * exist) take every lock in rank order, so that the child finds every structure at rest. In the
 * child the other threads are gone: their theaps become orphans whose private lists are never read
 * again, since a vanished thread may have stood in the middle of a fast path; frees into their
 * spans work.
 *
 * A child made by a raw clone ran no handler. Its first slow path finds lodei_fork_mark wiped and
 * repairs: every lock is freed. What a vanished thread was changing under a lock may be half done:
 * a theap whose lock was taken is abandoned, and what is freed into it is lost; only the child's
 * own is kept, on the guess that it was whole, since the one thread left stands in it. The child is
 * not traced: the tracer's locks, and the unwinder's, may be taken for ever.
 */
#include "heap/fork.h"

#include "heap/heaps.h"
#include "heap/purge.h"
#include "heap/slices.h"
#include "heap/span.h"
#include "heap/trace.h"
#include "heap/valgrind.h"
#include "os/vm.h"

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

/* Of what waits in storage too: a purge step may have been looking at it. */
static void each_stored_lock(void (*act)(struct lodei_lock *))
{
    for (struct lodei_theap *th = lodei_state.free_theaps; th != NULL; th = th->free_next)
        act(&th->lock);
    for (struct lode_heap *heap = lodei_state.free_heaps; heap != NULL; heap = heap->free_next)
        act(&heap->lock);
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
    each_stored_lock(reset);
    reset(&s->registry_lock);
    lodei_slices_forked();
    lodei_threads_forked();
    lodei_purge_forked();
    *lodei_fork_mark = 1;
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
            if (!lodei_lock_is_taken(&th->lock) || lodei_theap_is_mine(th))
                continue;
            th->abandoned = 1;
            if (lodei_list_linked(&th->orphan_link))
                lodei_list_remove(&th->orphan_link);
        }
    }
}

void lodei_fork_orphaned(void)
{
    /* acquire: the first thread of the child that gets here does it */
    if (__atomic_exchange_n(lodei_fork_mark, 1, __ATOMIC_ACQUIRE) != 0)
        return;
    abandon_locked();
    child_restart();
    if (!lodei_on_valgrind)
        lodei_state.tracer = NULL;
}

void lodei_fork_mark_make(void)
{
    int *mark = lodei_vm_wiped_page();
    if (mark == NULL)
        return;
    *mark = 1;
    lodei_fork_mark = mark;
}
