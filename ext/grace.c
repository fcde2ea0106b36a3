/* SPDX-License-Identifier: MIT */
/*
 * Reading sections, and blocks that wait for them to end before they are freed.
 *
 * The method is epoch-based reclamation (Fraser, "Practical lock-freedom", 2004, section 5.2.3)
 * with the epoch as a plain counter: a thread that begins a section publishes the epoch it saw; a
 * block is filed with the epoch at which it was given up, and freed when every open section began
 * in a later one.
 *
 *     reader                                 writer
 *     record->since = epoch   (seq_cst)      swap the slot's word   (seq_cst)
 *     load the slot's word    (seq_cst)      load every record->since (seq_cst)
 *
 * In the one order of the seq_cst operations either the writer sees the section, or the reader sees
 * the new word. A reader may publish an epoch that is old already: that only holds blocks longer.
 *
 * Records belong to threads, are reused and never freed; `lock` guards their list and the blocks
 * that wait. The waiting list is a queue in rising epoch. It must never call into the program.
 */
#include "ext/grace.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/print.h"
#include "ext/slots.h"
#include "lode/handle.h"

struct record {
    _Atomic uint64_t since; /* epoch at which the section began; 0: in none */
    uint32_t depth;         /* the thread's own */
    uint32_t taken;         /* guarded by lock */
    uint64_t section;       /* the thread's own: number of the last one; top bits: of the record */
    struct record *next;    /* written once */
} __attribute__((aligned(64)));

struct waiting {
    void *block;
    uint64_t epoch;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct record *_Atomic records; /* grows at its head; read without lock */
static _Atomic uint64_t epoch = 1;
static struct waiting *queue; /* guarded by lock: a ring of queue_capacity, a power of two */
static size_t queue_capacity, queue_first;
static _Atomic size_t queue_count;
static pthread_key_t thread_key;
static int has_key;
static uint64_t record_count; /* guarded by lock */

#define SECTION_SHIFT 44

static _Thread_local struct record *self __attribute__((tls_model("initial-exec")));

static void thread_ended(void *record)
{
    struct record *r = record;
    r->depth = 0;
    atomic_store_explicit(&r->since, 0, memory_order_release); /* as in lode_read_end() */
    self = NULL;
    pthread_mutex_lock(&lock);
    r->taken = 0;
    pthread_mutex_unlock(&lock);
    if (atomic_load_explicit(&queue_count, memory_order_relaxed) != 0)
        lodei_grace_settle();
}

static void fork_prepare(void)
{
    lodei_slots_fork_lock();
    pthread_mutex_lock(&lock);
}

static void fork_parent(void)
{
    pthread_mutex_unlock(&lock);
    lodei_slots_fork_unlock();
}

static void fork_child(void)
{
    for (struct record *r = atomic_load(&records); r != NULL; r = r->next)
        if (r != self) {
            atomic_store(&r->since, 0);
            r->depth = 0;
            r->taken = 0;
        }
    lodei_slots_forked();
    fork_parent();
}

__attribute__((constructor)) static void start(void)
{
    has_key = pthread_key_create(&thread_key, thread_ended) == 0;
    /* Fails only without memory at load time; then a fork at an unlucky moment is what is left. */
    (void)pthread_atfork(fork_prepare, fork_parent, fork_child);
}

static struct record *record_take(void)
{
    struct record *r;
    pthread_mutex_lock(&lock);
    for (r = atomic_load_explicit(&records, memory_order_relaxed); r != NULL; r = r->next)
        if (!r->taken)
            break;
    if (r == NULL) {
        r = lode_heap_aligned_alloc(lode_heap_default(), 64, sizeof(*r));
        if (r != NULL) {
            *r = (struct record){.next = atomic_load_explicit(&records, memory_order_relaxed),
                                 .section = ++record_count << SECTION_SHIFT};
            atomic_store(&records, r); /* seq_cst: found by every writer that looks later */
        }
    }
    if (r != NULL)
        r->taken = 1;
    pthread_mutex_unlock(&lock);
    return r;
}

static LODE_NOINLINE int register_thread(void)
{
    struct record *r = has_key ? record_take() : NULL;
    if (r == NULL)
        return -ENOMEM;
    if (pthread_setspecific(thread_key, r) != 0) {
        pthread_mutex_lock(&lock);
        r->taken = 0;
        pthread_mutex_unlock(&lock);
        return -ENOMEM;
    }
    self = r;
    return 0;
}

int lode_read_begin(void)
{
    if (lode_unlikely(self == NULL)) {
        int saved = errno, status = register_thread();
        errno = saved;
        if (status != 0)
            return status;
    }
    if (self->depth++ == 0) {
        self->section++;
        /* seq_cst: see the top of the file */
        atomic_exchange(&self->since, atomic_load(&epoch));
    }
    return 0;
}

void lode_read_end(void)
{
    if (lode_unlikely(self == NULL || self->depth == 0) || --self->depth != 0)
        return;
    /* release: pairs with the acquire in oldest_section(): what was read was read before */
    atomic_store_explicit(&self->since, 0, memory_order_release);
    if (lode_unlikely(atomic_load_explicit(&queue_count, memory_order_relaxed) != 0))
        lodei_grace_settle();
}

/* The epoch at which the oldest open section began; UINT64_MAX when none is open. */
static uint64_t oldest_section(void)
{
    uint64_t oldest = UINT64_MAX;
    for (struct record *r = atomic_load(&records); r != NULL; r = r->next) {
        uint64_t since = atomic_load(&r->since); /* seq_cst: see the top of the file */
        if (since != 0 && since < oldest)
            oldest = since;
    }
    return oldest;
}

/* Under lock. 0 or -ENOMEM. */
static int queue_grow(void)
{
    size_t count = atomic_load_explicit(&queue_count, memory_order_relaxed);
    size_t capacity = queue_capacity != 0 ? queue_capacity * 2 : 64;
    struct waiting *grown = lode_heap_alloc(lode_heap_default(), capacity * sizeof(*grown));
    if (grown == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        grown[i] = queue[(queue_first + i) & (queue_capacity - 1)];
    if (queue != NULL)
        lode_free(queue);
    queue = grown;
    queue_capacity = capacity;
    queue_first = 0;
    return 0;
}

static int queue_push(void *block)
{
    int status = 0;
    pthread_mutex_lock(&lock);
    size_t count = atomic_load_explicit(&queue_count, memory_order_relaxed);
    if (count == queue_capacity)
        status = queue_grow();
    if (status == 0) {
        /* Sections that begin from here on publish a later epoch than this block's. */
        uint64_t now = atomic_fetch_add(&epoch, 1);
        queue[(queue_first + count) & (queue_capacity - 1)] = (struct waiting){block, now};
        atomic_store_explicit(&queue_count, count + 1, memory_order_relaxed);
    }
    pthread_mutex_unlock(&lock);
    return status;
}

void lodei_grace_free(void *block)
{
    if (lode_likely(oldest_section() == UINT64_MAX)) {
        lode_free(block);
        return;
    }
    if (queue_push(block) != 0) {
        if (self != NULL && self->depth != 0)
            return; /* nowhere to note it and no way to wait: the block is lost */
        lodei_grace_wait();
        lode_free(block);
    }
}

void lodei_grace_settle(void)
{
    struct waiting ready[32];
    size_t count;
    do {
        pthread_mutex_lock(&lock);
        uint64_t oldest = oldest_section();
        size_t waits = atomic_load_explicit(&queue_count, memory_order_relaxed);
        for (count = 0; count < 32 && count < waits && queue[queue_first].epoch < oldest; count++) {
            ready[count] = queue[queue_first];
            queue_first = (queue_first + 1) & (queue_capacity - 1);
        }
        atomic_store_explicit(&queue_count, waits - count, memory_order_relaxed);
        pthread_mutex_unlock(&lock);
        for (size_t i = 0; i < count; i++)
            lode_free(ready[i].block);
    } while (count == 32);
}

int lodei_grace_inside(void)
{
    return self != NULL && self->depth != 0;
}

uint64_t lodei_grace_section(void)
{
    return self->section;
}

void lodei_grace_wait(void)
{
    if (lodei_grace_inside())
        lodei_fatal("a pool is destroyed within a reading section by", self);
    uint64_t now = atomic_fetch_add(&epoch, 1);
    while (oldest_section() <= now)
        sched_yield();
    lodei_grace_settle();
}

void lodei_grace_figures(size_t *ret_readers, size_t *ret_waiting)
{
    *ret_readers = 0;
    for (struct record *r = atomic_load(&records); r != NULL; r = r->next)
        *ret_readers += atomic_load_explicit(&r->since, memory_order_relaxed) != 0;
    *ret_waiting = atomic_load_explicit(&queue_count, memory_order_relaxed);
}
