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
 * While no section is open a block is freed at once. Else it waits in the record of the thread that
 * gave it up, so that writers do not meet each other, until that thread ends a section or gives up
 * another block when none is in the way, or SETTLE wait. Looking whether one is in the way takes
 * the other threads' records out of their caches: who finds one does not look again for CROWDED
 * times. A record that is full, and that of a thread that ends, leave the rest to the common queue,
 * where any thread that ends a section looks.
 *
 *     thread's record: [ block, epoch | block, epoch | ... ]  --full, ended-->  queue
 *
 * The queue is freed from its head on, in the order in which blocks came there. They keep the epoch
 * at which they were given up, by which lodei_grace_wait() finds those it is about, whoever's
 * record they were in. Blocks are freed under the lock of where they waited: when it has had each
 * lock once, none is on its way to a heap that is about to be destroyed.
 *
 * Locks, in this order: `records_lock` for the list of records, record->busy (the thread's own but
 * for lodei_grace_settle()), `lock` for the queue. All are held around fork(), so that what waits
 * is whole in the child, whoever was at it. Records are reused and never freed. It must never call
 * into the program.
 */
#include "ext/grace.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#include "base/attr.h"
#include "base/print.h"
#include "ext/slotgrip.h"
#include "ext/threadkey.h"
#include "lode/handle.h"

#define SETTLE  32
#define HELD    64
#define CROWDED 128

struct waiting {
    void *block;
    uint64_t epoch;
};

struct record {
    _Atomic uint64_t since; /* epoch at which the section began; 0: in none */
    uint32_t depth;         /* the thread's own */
    uint32_t taken;         /* guarded by records_lock */
    uint32_t crowded;       /* the thread's own: so often it need not look for others' sections */
    uint64_t section;       /* the thread's own: number of the last one; top bits: of the record */
    struct record *next;    /* written once */
    _Atomic uint32_t busy;  /* a lock, hardly ever waited for; guards what follows */
    _Atomic uint32_t held_count;
    struct waiting held[HELD];   /* in rising epoch */
} __attribute__((aligned(128))); /* and no neighbour on a line that comes along */

static pthread_mutex_t records_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct record *_Atomic records; /* grows at its head, under records_lock; read without */
static _Atomic uint64_t epoch = 1;
static struct waiting *queue; /* guarded by lock: a ring of queue_capacity, a power of two */
static size_t queue_capacity, queue_first;
static _Atomic size_t queue_count;
static _Atomic int trying; /* a thread is in queue_try() */
static pthread_key_t thread_key;
static _Atomic int key_state; /* 0: no key, 1: somebody makes it, 2: it is there */
static uint64_t record_count; /* guarded by records_lock */

#define SECTION_SHIFT 44

static _Thread_local struct record *self __attribute__((tls_model("initial-exec")));

static void record_lock(struct record *r)
{
    /* acquire: pairs with the release in record_unlock() */
    while (atomic_exchange_explicit(&r->busy, 1, memory_order_acquire) != 0)
        sched_yield();
}

static void record_unlock(struct record *r)
{
    atomic_store_explicit(&r->busy, 0, memory_order_release);
}

/* ---- fork ---- */

static void fork_prepare(void)
{
    lodei_slots_fork_lock();
    pthread_mutex_lock(&records_lock);
    for (struct record *r = atomic_load(&records); r != NULL; r = r->next)
        record_lock(r);
    pthread_mutex_lock(&lock);
}

static void fork_parent(void)
{
    pthread_mutex_unlock(&lock);
    for (struct record *r = atomic_load(&records); r != NULL; r = r->next)
        record_unlock(r);
    pthread_mutex_unlock(&records_lock);
    lodei_slots_fork_unlock();
}

static void fork_child(void)
{
    for (struct record *r = atomic_load(&records); r != NULL; r = r->next)
        if (r != self) { /* what waits in it is the next owner's */
            atomic_store(&r->since, 0);
            r->depth = 0;
            r->taken = 0;
        }
    atomic_store(&trying, 0);
    int gripped = lodei_slots_forked();
    fork_parent();
    if (gripped)
        lodei_grips_forked();
}

static void thread_ended(void *record);

/*
 * The key by which ended threads are noticed: made by the constructor, or, where there were no
 * threads then (threadkey.h), by a thread that registers later. No lock is held: the loader's is
 * taken. A thread that comes while another makes it goes without.
 */
static int key_ready(void)
{
    int none = 0;
    if (atomic_load(&key_state) == 2)
        return 1;
    if (!atomic_compare_exchange_strong(&key_state, &none, 1))
        return none == 2;
    int made = lodei_threadkey_create(&thread_key, thread_ended) == 0;
    atomic_store(&key_state, made ? 2 : 0);
    return made;
}

/* Registered before the handlers of forklock.c, see there. */
__attribute__((constructor(102))) static void start(void)
{
    (void)key_ready();
    /* Fails only without memory at load time; then a fork at an unlucky moment is what is left. */
    (void)pthread_atfork(fork_prepare, fork_parent, fork_child);
}

static struct record *record_take(void)
{
    struct record *r;
    pthread_mutex_lock(&records_lock);
    for (r = atomic_load_explicit(&records, memory_order_relaxed); r != NULL; r = r->next)
        if (!r->taken)
            break;
    if (r == NULL) {
        int saved = errno;
        r = lode_heap_aligned_alloc(lode_heap_default(), _Alignof(struct record), sizeof(*r));
        errno = saved;
        if (r != NULL) {
            *r = (struct record){.next = atomic_load_explicit(&records, memory_order_relaxed),
                                 .section = ++record_count << SECTION_SHIFT};
            atomic_store(&records, r); /* seq_cst: found by every writer that looks later */
        }
    }
    if (r != NULL)
        r->taken = 1;
    pthread_mutex_unlock(&records_lock);
    return r;
}

static LODE_NOINLINE int register_thread(void)
{
    int with_key = key_ready();
    struct record *r = record_take();
    if (r == NULL)
        return -ENOMEM;
    if (with_key && lodei_threadkey_set(thread_key, r) != 0) {
        pthread_mutex_lock(&records_lock);
        r->taken = 0;
        pthread_mutex_unlock(&records_lock);
        return -ENOMEM;
    }
    self = r;
    return 0;
}

int lode_read_begin(void)
{
    if (lode_unlikely(self == NULL)) {
        int status = register_thread();
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

/* ---- blocks in a record ---- */

/* Free what was given up before an epoch of what waits in a record; it is locked. */
static void record_free(struct record *r, uint64_t before)
{
    uint32_t count = atomic_load_explicit(&r->held_count, memory_order_relaxed), gone = 0;
    while (gone < count && r->held[gone].epoch < before)
        lode_free(r->held[gone++].block);
    if (gone == 0)
        return;
    memmove(r->held, r->held + gone, (count - gone) * sizeof(r->held[0]));
    atomic_store_explicit(&r->held_count, count - gone, memory_order_relaxed);
}

/* Free what can go of what waits in a record; it is locked. 1: somebody is in a section. */
static int record_settle(struct record *r)
{
    /* Sections that begin from here on are later than all that waits here. */
    atomic_fetch_add(&epoch, 1);
    uint64_t oldest = oldest_section();
    record_free(r, oldest);
    return oldest != UINT64_MAX;
}

/* ---- the common queue; under lock ---- */

/* 0 or -ENOMEM. */
static int queue_grow(void)
{
    size_t count = atomic_load_explicit(&queue_count, memory_order_relaxed);
    size_t capacity = queue_capacity != 0 ? queue_capacity * 2 : 64;
    int saved = errno;
    struct waiting *grown = lode_heap_alloc(lode_heap_default(), capacity * sizeof(*grown));
    errno = saved;
    if (grown == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        grown[i] = queue[(queue_first + i) & (queue_capacity - 1)];
    lode_free(queue);
    queue = grown;
    queue_capacity = capacity;
    queue_first = 0;
    return 0;
}

static int queue_push(struct waiting waiting)
{
    size_t count = atomic_load_explicit(&queue_count, memory_order_relaxed);
    int status = count == queue_capacity ? queue_grow() : 0;
    if (status == 0) {
        queue[(queue_first + count) & (queue_capacity - 1)] = waiting;
        atomic_store_explicit(&queue_count, count + 1, memory_order_relaxed);
    }
    return status;
}

/* Some at a time: others may wait for the lock. 1: there may be more that can go. */
static int queue_settle(void)
{
    uint64_t oldest = oldest_section();
    size_t count = atomic_load_explicit(&queue_count, memory_order_relaxed), gone = 0;
    while (gone < HELD && gone < count && queue[queue_first].epoch < oldest) {
        lode_free(queue[queue_first].block);
        queue_first = (queue_first + 1) & (queue_capacity - 1);
        gone++;
    }
    atomic_store_explicit(&queue_count, count - gone, memory_order_relaxed);
    return gone == HELD;
}

/* Free all that was given up before an epoch, wherever in the queue it is. */
static void queue_free(uint64_t before)
{
    size_t count = atomic_load_explicit(&queue_count, memory_order_relaxed), kept = 0;
    for (size_t i = 0; i < count; i++) {
        struct waiting waiting = queue[(queue_first + i) & (queue_capacity - 1)];
        if (waiting.epoch < before)
            lode_free(waiting.block);
        else
            queue[(queue_first + kept++) & (queue_capacity - 1)] = waiting;
    }
    atomic_store_explicit(&queue_count, kept, memory_order_relaxed);
}

/* Move what waits in a record to the queue; both are locked. 0 or -ENOMEM, and the rest stays. */
static int record_spill(struct record *r)
{
    uint32_t count = atomic_load_explicit(&r->held_count, memory_order_relaxed), moved = 0;
    while (moved < count && queue_push(r->held[moved]) == 0)
        moved++;
    memmove(r->held, r->held + moved, (count - moved) * sizeof(r->held[0]));
    atomic_store_explicit(&r->held_count, count - moved, memory_order_relaxed);
    atomic_fetch_add(&epoch, 1); /* as in record_settle() */
    return moved == count ? 0 : -ENOMEM;
}

/* ---- what threads do ---- */

static void queue_settle_all(void)
{
    int more;
    do {
        pthread_mutex_lock(&lock);
        more = queue_settle();
        pthread_mutex_unlock(&lock);
    } while (more);
}

/* This thread may be the one that others' blocks waited for. Somebody else at it is as good. */
static void queue_try(void)
{
    if (atomic_exchange_explicit(&trying, 1, memory_order_relaxed) != 0)
        return;
    queue_settle_all();
    atomic_store_explicit(&trying, 0, memory_order_relaxed);
}

static void thread_ended(void *record)
{
    struct record *r = record;
    r->depth = 0;
    atomic_store_explicit(&r->since, 0, memory_order_release); /* as in lode_read_end() */
    self = NULL;
    record_lock(r);
    (void)record_settle(r);
    pthread_mutex_lock(&lock);
    (void)record_spill(r); /* what stays is the next owner's */
    pthread_mutex_unlock(&lock);
    record_unlock(r);
    queue_try();
    pthread_mutex_lock(&records_lock);
    r->taken = 0;
    pthread_mutex_unlock(&records_lock);
}

static LODE_NOINLINE void own_settle(struct record *r)
{
    record_lock(r);
    r->crowded = record_settle(r) ? CROWDED : 0;
    record_unlock(r);
}

/* Others are in sections, as a look has shown not long ago: not worth another. Their records are
 * cache lines that are being written. */
LODE_INLINE int crowded(struct record *r)
{
    if (lode_likely(r->crowded == 0))
        return 0;
    r->crowded--;
    return 1;
}

void lode_read_end(void)
{
    struct record *r = self;
    if (lode_unlikely(r == NULL || r->depth == 0) || --r->depth != 0)
        return;
    /* release: pairs with the seq_cst load in oldest_section(): what was read was read before */
    atomic_store_explicit(&r->since, 0, memory_order_release);
    if (lode_unlikely(atomic_load_explicit(&r->held_count, memory_order_relaxed) != 0) &&
        !crowded(r))
        own_settle(r);
    if (lode_unlikely(atomic_load_explicit(&queue_count, memory_order_relaxed) != 0))
        queue_try();
}

/* 0, or -ENOMEM: nowhere to note the block. */
static int hold(struct record *r, void *block)
{
    int status = 0;
    record_lock(r);
    uint32_t count = atomic_load_explicit(&r->held_count, memory_order_relaxed);
    if (count >= SETTLE && count % SETTLE == 0) {
        (void)record_settle(r);
        count = atomic_load_explicit(&r->held_count, memory_order_relaxed);
    }
    if (count == HELD) {
        pthread_mutex_lock(&lock);
        status = record_spill(r);
        pthread_mutex_unlock(&lock);
        count = atomic_load_explicit(&r->held_count, memory_order_relaxed);
    }
    if (count < HELD) {
        /* seq_cst: after the swap that made the block unreachable; a section that began by a later
         * epoch than this began after it */
        r->held[count] = (struct waiting){block, atomic_load(&epoch)};
        atomic_store_explicit(&r->held_count, count + 1, memory_order_relaxed);
        status = 0;
    }
    record_unlock(r);
    return status;
}

/* Blocks were freed at once: what waits may be able to go, too. */
LODE_INLINE void freed_now(void)
{
    struct record *r = self;
    if (lode_unlikely(r != NULL && atomic_load_explicit(&r->held_count, memory_order_relaxed) != 0))
        own_settle(r);
    if (lode_unlikely(atomic_load_explicit(&queue_count, memory_order_relaxed) != 0))
        queue_try();
}

/* A section is open somewhere. */
static void free_later(void *block)
{
    if ((self != NULL || register_thread() == 0) && hold(self, block) == 0)
        return;
    if (lodei_grace_inside())
        return; /* out of memory, and no way to wait: the block is lost */
    lodei_grace_wait();
    lode_free(block);
}

int lodei_grace_quiet(void)
{
    return oldest_section() == UINT64_MAX;
}

/* Is a section open, or was one not long ago? 0: none is. */
LODE_INLINE int sections_about(void)
{
    struct record *r = self;
    if (lode_unlikely(r != NULL && crowded(r)))
        return 1;
    if (lode_likely(oldest_section() == UINT64_MAX))
        return 0;
    if (r != NULL && r->depth == 0) /* not for its own section */
        r->crowded = CROWDED;
    return 1;
}

void lodei_grace_free(void *block)
{
    if (lode_unlikely(sections_about())) {
        free_later(block);
        return;
    }
    lode_free(block);
    freed_now();
}

void lodei_grace_free_all(void *const *blocks, size_t count)
{
    if (lode_unlikely(sections_about())) {
        for (size_t i = 0; i < count; i++)
            free_later(blocks[i]);
        if (oldest_section() == UINT64_MAX)
            freed_now(); /* it has ended meanwhile */
        return;
    }
    /* a freed block is written to: it becomes a link of a list */
    for (size_t i = 0; i < count; i++)
        __builtin_prefetch(blocks[i], 1);
    for (size_t i = 0; i < count; i++)
        lode_free(blocks[i]);
    freed_now();
}

void lodei_grace_settle(void)
{
    for (struct record *r = atomic_load(&records); r != NULL; r = r->next) {
        record_lock(r);
        (void)record_settle(r);
        record_unlock(r);
    }
    queue_settle_all();
}

int lodei_grace_inside(void)
{
    return self != NULL && self->depth != 0;
}

uint64_t lodei_grace_section(void)
{
    return self->section;
}

void lodei_grace_refuse(const char *what, const void *object)
{
    if (lodei_grace_inside())
        lodei_fatal(what, object);
}

void lodei_grace_wait(void)
{
    lodei_grace_refuse("this thread waits for its own reading section", self);
    uint64_t now = atomic_fetch_add(&epoch, 1);
    while (oldest_section() <= now)
        sched_yield();
    /* What was given up by then goes whatever sections there are: those of a later epoch cannot
     * know of it, nor can one that has only just published an epoch as old. It moves from records
     * to the queue, if at all, and never back. */
    for (struct record *r = atomic_load(&records); r != NULL; r = r->next) {
        record_lock(r);
        record_free(r, now + 1);
        record_unlock(r);
    }
    pthread_mutex_lock(&lock);
    queue_free(now + 1);
    pthread_mutex_unlock(&lock);
}

void lodei_grace_figures(size_t *ret_readers, size_t *ret_waiting)
{
    *ret_readers = 0;
    for (struct record *r = atomic_load(&records); r != NULL; r = r->next)
        *ret_readers += atomic_load_explicit(&r->since, memory_order_relaxed) != 0;
    *ret_waiting = atomic_load_explicit(&queue_count, memory_order_relaxed);
    for (struct record *r = atomic_load(&records); r != NULL; r = r->next)
        *ret_waiting += atomic_load_explicit(&r->held_count, memory_order_relaxed);
}
