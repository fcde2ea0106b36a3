/* SPDX-License-Identifier: MIT */
/*
 * Records of live allocations. An allocation's id is its record's index and generation; a record's
 * generation is odd while it is live and is raised at both ends of a life, so an id that was freed,
 * or copied and freed, never matches again. A record whose generations are used up is not used any
 * more.
 *
 *     directory -> pages of 1,024 records, made when needed, never given back
 *     two free lists (ordinary, and one page for CRITICAL requests): stacks of indices with a
 *     count of changes beside the head, against ABA (IBM System/370 Principles of Operation,
 *     appendix on compare-and-swap)
 *
 * Getting and putting is lock-free; `lock` guards the making of pages, and is held around fork().
 */
#include "ext/requestcore.h"

#include <errno.h>
#include <pthread.h>

#define PAGE_LOG2 10
#define PAGE      (1u << PAGE_LOG2)
#define PAGES_MAX (1u << 14)

static struct lodei_record *_Atomic directory[PAGES_MAX];
static _Atomic uint32_t page_count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int critical_made; /* guarded by lock */

/* Changes so far above, 1 + index of the first record below; [1]: for CRITICAL requests. */
static _Atomic uint64_t heads[2];

static void fork_prepare(void)
{
    pthread_mutex_lock(&lock);
}

static void fork_done(void)
{
    pthread_mutex_unlock(&lock);
}

__attribute__((constructor)) static void start(void)
{
    (void)pthread_atfork(fork_prepare, fork_done, fork_done);
}

static struct lodei_record *record_at(uint32_t index)
{
    /* acquire: pairs with the release in page_make() */
    return atomic_load_explicit(&directory[index >> PAGE_LOG2], memory_order_acquire) +
           index % PAGE;
}

/* Put the records first .. last, linked already, on a list. */
static void push(int critical, struct lodei_record *first, struct lodei_record *last)
{
    uint64_t head = atomic_load_explicit(&heads[critical], memory_order_relaxed), next;
    do {
        __atomic_store_n(&last->next_free, (uint32_t)head, __ATOMIC_RELAXED);
        next = ((head >> 32) + 1) << 32 | (first->index + 1);
        /* release: the links; pairs with pop() */
    } while (!atomic_compare_exchange_weak_explicit(&heads[critical], &head, next,
                                                    memory_order_release, memory_order_relaxed));
}

static struct lodei_record *pop(int critical)
{
    /* acquire: pairs with push() */
    uint64_t head = atomic_load_explicit(&heads[critical], memory_order_acquire), next;
    struct lodei_record *record;
    do {
        if ((uint32_t)head == 0)
            return NULL;
        record = record_at((uint32_t)head - 1);
        /* It may be popped and used meanwhile: then the swap fails. */
        next = ((head >> 32) + 1) << 32 | __atomic_load_n(&record->next_free, __ATOMIC_RELAXED);
    } while (!atomic_compare_exchange_weak_explicit(&heads[critical], &head, next,
                                                    memory_order_acquire, memory_order_acquire));
    return record;
}

/* Under the lock. */
static int page_make(int critical)
{
    uint32_t count = atomic_load_explicit(&page_count, memory_order_relaxed);
    if (count == PAGES_MAX)
        return -ENOMEM;
    struct lodei_record *page = lode_calloc(PAGE, sizeof(*page));
    if (page == NULL)
        return -ENOMEM;
    for (uint32_t i = 0; i < PAGE; i++) {
        page[i].index = count * PAGE + i;
        page[i].critical = (uint8_t)critical;
        page[i].next_free = i + 1 < PAGE ? page[i].index + 2 : 0;
    }
    /* release, both: the records are written; pair with record_at() and lodei_record_find() */
    atomic_store_explicit(&directory[count], page, memory_order_release);
    atomic_store_explicit(&page_count, count + 1, memory_order_release);
    push(critical, &page[0], &page[PAGE - 1]);
    return 0;
}

static int more(void)
{
    int saved = errno, error = 0;
    pthread_mutex_lock(&lock);
    if (!critical_made)
        critical_made = page_make(1) == 0;
    /* Somebody else may have come first. */
    if ((uint32_t)atomic_load_explicit(&heads[0], memory_order_relaxed) == 0)
        error = page_make(0);
    pthread_mutex_unlock(&lock);
    errno = saved;
    return error;
}

struct lodei_record *lodei_record_get(int critical)
{
    struct lodei_record *record;
    while ((record = pop(0)) == NULL)
        if (more() != 0)
            return critical ? pop(1) : NULL;
    return record;
}

void lodei_record_put(struct lodei_record *record)
{
    if (atomic_load_explicit(&record->generation, memory_order_relaxed) < UINT32_MAX - 1)
        push(record->critical, record, record);
}

uint64_t lodei_record_open(struct lodei_record *record)
{
    /* release: what the record says; pairs with lodei_record_is() and lodei_record_close() */
    uint32_t generation =
        atomic_fetch_add_explicit(&record->generation, 1, memory_order_release) + 1;
    return (uint64_t)generation << 32 | record->index;
}

struct lodei_record *lodei_record_find(uint64_t id)
{
    uint32_t index = (uint32_t)id & ~LODEI_ID_STACK;
    /* acquire: pairs with page_make() */
    if (index >> PAGE_LOG2 >= atomic_load_explicit(&page_count, memory_order_acquire))
        return NULL;
    return record_at(index);
}

int lodei_record_is(const struct lodei_record *record, uint64_t id)
{
    /* acquire: pairs with lodei_record_open() */
    uint32_t generation = atomic_load_explicit(&record->generation, memory_order_acquire);
    return generation == (uint32_t)(id >> 32) && generation % 2 == 1;
}

int lodei_record_close(struct lodei_record *record, uint64_t id)
{
    uint32_t generation = (uint32_t)(id >> 32);
    if (generation % 2 == 0)
        return -EINVAL;
    /* acquire: pairs with lodei_record_open() */
    return atomic_compare_exchange_strong_explicit(&record->generation, &generation, generation + 1,
                                                   memory_order_acquire, memory_order_relaxed)
               ? 0
               : -EINVAL;
}

void lodei_record_reopen(struct lodei_record *record, uint64_t id)
{
    /* Nobody else has the record. release: as lodei_record_open() */
    atomic_store_explicit(&record->generation, (uint32_t)(id >> 32), memory_order_release);
}
