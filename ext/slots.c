/* SPDX-License-Identifier: MIT */
/*
 * The process's table of handles: pages of slots, and the lives of a slot.
 *
 *     directory -> page: words[4096], generations[4096], keys[512], owner
 *
 * A word has the address, the grip, the pins, the state and ten bits of the owner's; every
 * transition is one compare-and-swap of it:
 *
 *     FREE -publish-> LIVE -swap-> LIVE ...   -release-> BUSY -> FREE      (generation + 1)
 *     LIVE or PARKED, pinned -swap-> PARKED   the old version is parked
 *     LIVE or PARKED, pinned -release-> BUSY -> ZOMBIE                      (generation + 1)
 *     PARKED -last unpin-> LIVE
 *     ZOMBIE -last unpin-> FREE
 *     ZOMBIE -publish-> PARKED                its last version is parked
 *
 * Pins count for the slot, not for a version: a parked version is freed when the slot has no pin at
 * all. A generation is raised before its slot can be published again, so a handle that matches
 * names the life it was made for; a free word carries the generation, so a publish cannot mistake
 * one free time for another. A slot whose generation would wrap is dead, and its group never taken
 * again.
 *
 * What is said of pins is true of the grip, too: see slotgrip.c.
 *
 * `table_lock` guards the directory and the pages nobody owns; the lock of parked.c every
 * transition to PARKED, and the end of the last pin of a PARKED or ZOMBIE slot. Both are held
 * around fork(). Neither is held while a block is freed. Groups are given back in slotgroups.c.
 * Pages are made of the heap "handles" and stay for ever: a handle of an owner that is gone must
 * find its slot, to be found stale.
 */
#include "ext/slots.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "ext/grace.h"
#include "ext/parked.h"

#define DIRECTORY_FIRST 64u
#define PAGES_MAX       (1u << (32 - LODE_HANDLE_PAGE_LOG2))

static struct lode_handle_directory no_pages;
struct lode_handle_directory *lode_handle_directory = &no_pages;

static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;
static struct lode_heap *table_heap;         /* these two guarded by table_lock */
static struct lode_handle_page *spare_pages; /* by ->next; generations kept */
static size_t zombies;                       /* slots in that state; atomic */

static uint64_t word_state(enum lodei_slot_state state)
{
    return (uint64_t)state << LODEI_SLOT_STATE_SHIFT;
}

static void zombies_add(size_t change)
{
    /* relaxed: a figure */
    (void)__atomic_fetch_add(&zombies, change, __ATOMIC_RELAXED);
}

/* ---- fork ---- */

void lodei_slots_fork_lock(void)
{
    pthread_mutex_lock(&table_lock);
    lodei_parked_lock();
}

void lodei_slots_fork_unlock(void)
{
    lodei_parked_unlock();
    pthread_mutex_unlock(&table_lock);
}

static void busy_forked(struct lode_handle_page *page, uint32_t at)
{
    uint64_t word = page->words[at];
    /* Raised or not, the next generation is one that nobody has. */
    if (page->generations[at] != UINT32_MAX)
        page->generations[at]++;
    page->words[at] = lodei_free_word(page->generations[at]);
    if ((word & LODEI_SLOT_KEPT_MASK) != 0) { /* this thread's may be among them */
        page->words[at] = (word & ~LODEI_SLOT_STATE_MASK) | word_state(LODEI_SLOT_ZOMBIE);
        zombies_add(1);
    }
}

int lodei_slots_forked(void)
{
    struct lode_handle_directory *directory = lode_handle_directory;
    int gripped = 0;
    for (uint32_t p = 0; p < directory->count; p++) {
        struct lode_handle_page *page = directory->pages[p];
        for (uint32_t i = 0; i < page->groups_used * 8; i++) {
            if (lodei_word_state(page->words[i]) == LODEI_SLOT_BUSY)
                busy_forked(page, i);
            gripped |= lodei_is_gripped(page->words[i]);
        }
    }
    return gripped;
}

/* ---- pages ---- */

static int heap_ready(void)
{
    struct lode_heap_opts opts = LODE_HEAP_OPTS_INIT;
    opts.name = "handles";
    return table_heap != NULL ? 0 : lode_heap_create(&opts, &table_heap);
}

/* Room for one page more. Readers may hold the old directory for ever: it stays, half as large. */
static int directory_reserve(void)
{
    struct lode_handle_directory *old = lode_handle_directory, *grown;
    if (old->count < old->capacity)
        return 0;
    if (old->count == PAGES_MAX)
        return -ENOMEM;
    uint32_t capacity = old->capacity != 0 ? old->capacity * 2 : DIRECTORY_FIRST;
    grown = lode_heap_calloc(table_heap, 1, sizeof(*grown) + capacity * sizeof(grown->pages[0]));
    if (grown == NULL)
        return -ENOMEM;
    grown->capacity = capacity;
    grown->count = old->count;
    if (old->count != 0)
        memcpy(grown->pages, old->pages, old->count * sizeof(old->pages[0]));
    __atomic_store_n(&lode_handle_directory, grown, __ATOMIC_RELEASE); /* pairs with lode_peek() */
    return 0;
}

static struct lode_handle_page *page_new(void)
{
    struct lode_handle_page *page;
    if (heap_ready() != 0 || directory_reserve() != 0)
        return NULL;
    page = lode_heap_calloc(table_heap, 1, sizeof(*page));
    if (page == NULL)
        return NULL;
    struct lode_handle_directory *directory = lode_handle_directory;
    page->first_index = directory->count << LODE_HANDLE_PAGE_LOG2;
    directory->pages[directory->count] = page;
    /* release: pairs with the acquire in lode_peek() */
    __atomic_store_n(&directory->count, directory->count + 1, __ATOMIC_RELEASE);
    return page;
}

static struct lode_handle_page *page_take(void *owner)
{
    int saved = errno;
    pthread_mutex_lock(&table_lock);
    struct lode_handle_page *page = spare_pages;
    if (page != NULL)
        spare_pages = page->next;
    else
        page = page_new();
    if (page != NULL) {
        __atomic_store_n(&page->owner, owner, __ATOMIC_RELAXED);
        page->groups_used = 0;
    }
    pthread_mutex_unlock(&table_lock);
    errno = saved;
    return page;
}

void lodei_slots_init(struct lodei_slots *slots, void *owner)
{
    *slots = (struct lodei_slots){.owner = owner};
}

static int group_is_usable(const struct lode_handle_page *page, uint32_t at)
{
    for (uint32_t i = at; i < at + 8; i++)
        if (page->words[i] != page->generations[i])
            return 0; /* not free: dead */
    return 1;
}

int lodei_slots_take(struct lodei_slots *slots, uint64_t key, uint32_t *ret_first)
{
    struct lode_handle_page *page;
    uint32_t first;
    if (slots->free_group != 0) {
        first = (slots->free_group - 1) * 8;
        page = lodei_slot_page(first);
        slots->free_group = (uint32_t)page->keys[first % LODE_HANDLE_PAGE / 8];
    } else {
        for (;;) {
            page = slots->pages;
            if (page == NULL || page->groups_used == LODE_HANDLE_PAGE / 8) {
                page = page_take(slots->owner);
                if (page == NULL)
                    return -ENOMEM;
                page->next = slots->pages;
                slots->pages = page;
                slots->page_count++;
            }
            first = page->first_index + page->groups_used++ * 8;
            if (group_is_usable(page, first % LODE_HANDLE_PAGE))
                break;
            /* release: as below; it has the key of an owner before */
            __atomic_store_n(&page->keys[first % LODE_HANDLE_PAGE / 8], LODEI_KEY_FREE,
                             __ATOMIC_RELEASE);
        }
    }
    slots->groups_used++;
    /* release: pairs with lodei_group_key() */
    __atomic_store_n(&page->keys[first % LODE_HANDLE_PAGE / 8], key, __ATOMIC_RELEASE);
    *ret_first = first;
    return 0;
}

/* A slot that is pinned is never used again: who unpins it later must not find another's pin. */
static void slot_finish(struct lode_handle_page *page, uint32_t at)
{
    uint64_t word = __atomic_load_n(&page->words[at], __ATOMIC_ACQUIRE);
    enum lodei_slot_state state = lodei_word_state(word);
    uint32_t generation = page->generations[at];
    if (state == LODEI_SLOT_FREE || state == LODEI_SLOT_DEAD)
        return;
    if (state == LODEI_SLOT_ZOMBIE)
        zombies_add((size_t)-1);
    lodei_parked_forget(page->first_index + at);
    generation = (word & LODEI_SLOT_KEPT_MASK) != 0 ? UINT32_MAX : generation + 1;
    __atomic_store_n(&page->generations[at], generation, __ATOMIC_RELEASE);
    /* seq_cst: pairs with readers' loads, see grace.c */
    __atomic_store_n(&page->words[at], lodei_free_word(generation), __ATOMIC_SEQ_CST);
}

/* Nearly always told by the first group. */
static int page_is_usable(const struct lode_handle_page *page)
{
    for (uint32_t at = 0; at < LODE_HANDLE_PAGE; at += 8)
        if (group_is_usable(page, at))
            return 1;
    return 0;
}

void lodei_slots_finish(struct lodei_slots *slots)
{
    struct lode_handle_page *page, *next;
    pthread_mutex_lock(&table_lock);
    lodei_parked_lock();
    for (page = slots->pages; page != NULL; page = next) {
        next = page->next;
        for (uint32_t at = 0; at < page->groups_used * 8; at++)
            slot_finish(page, at);
        __atomic_store_n(&page->owner, NULL, __ATOMIC_RELAXED);
        if (!page_is_usable(page))
            continue;
        page->next = spare_pages;
        spare_pages = page;
    }
    lodei_parked_unlock();
    pthread_mutex_unlock(&table_lock);
    lodei_slots_init(slots, slots->owner);
}

void lodei_slots_figures(const struct lodei_slots *slots, size_t *ret_used, size_t *ret_mapped)
{
    *ret_used = slots->groups_used * (8 * (sizeof(uint64_t) + sizeof(uint32_t)) + sizeof(uint64_t));
    *ret_mapped = slots->page_count * lode_good_size(sizeof(struct lode_handle_page));
}

/* ---- handles ---- */

uint64_t lodei_word_settle(uint64_t *at)
{
    uint64_t word;
    while (lodei_word_state(word = __atomic_load_n(at, __ATOMIC_SEQ_CST)) == LODEI_SLOT_BUSY)
        sched_yield();
    return word;
}

void *lode_peek_again(lode_handle handle)
{
    uint64_t word = lodei_handle_word(handle);
    return word != 0 ? lodei_word_block(word) : NULL;
}

/* ---- parked versions ---- */

/* A pinned slot gets another version; the lock is held. As lodei_slot_swap(), -EBUSY: not pinned
 * any more. */
static int swap_pinned(uint64_t *at, uint32_t index, uint64_t word, uint64_t next)
{
    if ((word & LODEI_SLOT_KEPT_MASK) == 0)
        return -EBUSY;
    int status = lodei_parked_reserve();
    if (status != 0)
        return status;
    if (!lodei_word_change(at, &word,
                           next | (word & LODEI_SLOT_KEPT_MASK) | word_state(LODEI_SLOT_PARKED)))
        return -EBUSY;
    lodei_parked_add(index, lodei_word_block(word));
    return 0;
}

/* ---- lives ---- */

static int group_key_is(const struct lode_handle_page *page, uint32_t index, uint64_t key)
{
    /* acquire: pairs with the release in lodei_slots_take() */
    return __atomic_load_n(&page->keys[index % LODE_HANDLE_PAGE / 8], __ATOMIC_ACQUIRE) == key;
}

/* A slot freed while pinned, and still pinned, is published again: its last version is parked. */
static int publish_over_zombie(struct lode_handle_page *page, uint32_t index, uint64_t key,
                               uint64_t next, uint32_t *ret_generation)
{
    uint64_t *at = &page->words[index % LODE_HANDLE_PAGE];
    lodei_parked_lock();
    uint64_t word = lodei_word_settled(at);
    int status = -EBUSY;
    /* The key again: this word says nothing of generations. A group with a zombie is not given
     * back, and it stays one as long as the lock is held. */
    if (lodei_word_state(word) == LODEI_SLOT_ZOMBIE && group_key_is(page, index, key)) {
        *ret_generation = page->generations[index % LODE_HANDLE_PAGE];
        status = *ret_generation != UINT32_MAX ? swap_pinned(at, index, word, next) : -ENOSPC;
        if (status == 0)
            zombies_add((size_t)-1);
    }
    lodei_parked_unlock();
    return status;
}

/* One try; -EBUSY: look again. */
static int publish_once(struct lode_handle_page *page, uint32_t index, uint64_t key, uint64_t next,
                        uint32_t *ret_generation)
{
    uint64_t *at = &page->words[index % LODE_HANDLE_PAGE];
    /* acquire, before the key: a free word holds the generation, which giving the group back
     * raises, so if the group has changed hands either the key tells or the swap fails */
    uint64_t word = __atomic_load_n(at, __ATOMIC_ACQUIRE);
    if (!group_key_is(page, index, key))
        return -EAGAIN;
    switch (lodei_word_state(word)) {
    case LODEI_SLOT_FREE:
        *ret_generation = (uint32_t)word;
        return lodei_word_change(at, &word, next) ? 0 : -EBUSY;
    case LODEI_SLOT_ZOMBIE:
        return publish_over_zombie(page, index, key, next & ~LODEI_SLOT_STATE_MASK, ret_generation);
    case LODEI_SLOT_BUSY:
        sched_yield();
        return -EBUSY;
    case LODEI_SLOT_DEAD:
        return -ENOSPC;
    default:
        return -EEXIST;
    }
}

int lodei_slot_publish_slow(uint32_t index, uint64_t key, void *block, unsigned kind,
                            lode_handle *ret_handle)
{
    struct lode_handle_page *page = lodei_slot_page(index);
    uint64_t next = lodei_live_word(block, kind, LODEI_SLOT_LIVE);
    uint32_t generation = 0;
    int status;
    do
        status = publish_once(page, index, key, next, &generation);
    while (status == -EBUSY);
    if (status == 0)
        *ret_handle = (uint64_t)(generation + 1) << 32 | index;
    return status;
}

static int same_version(uint64_t word, uint64_t expected)
{
    return ((word ^ expected) & ~(LODEI_SLOT_KEPT_MASK | LODEI_SLOT_STATE_MASK)) == 0;
}

int lodei_slot_swap(lode_handle handle, uint64_t expected, void *block, unsigned kind,
                    void **ret_old)
{
    struct lode_handle_page *page = lodei_handle_page(handle);
    uint64_t next = lodei_live_word(block, kind, LODEI_SLOT_LIVE);
    if (page == NULL)
        return -ESTALE;
    uint64_t *at = &page->words[(uint32_t)handle % LODE_HANDLE_PAGE];
    for (;;) {
        uint64_t word = lodei_handle_word(handle);
        if (word == 0)
            return -ESTALE;
        if (expected != 0 && !same_version(word, expected))
            return -EAGAIN;
        if ((word & LODEI_SLOT_KEPT_MASK) == 0) {
            if (!lodei_word_change(at, &word, next))
                continue;
            *ret_old = lodei_word_block(word);
            return 0;
        }
        lodei_parked_lock();
        int status = swap_pinned(at, (uint32_t)handle, word, next & ~LODEI_SLOT_STATE_MASK);
        lodei_parked_unlock();
        if (status == -EBUSY)
            continue;
        if (status == 0)
            *ret_old = NULL;
        return status;
    }
}

int lodei_slot_kind_set(lode_handle handle, unsigned mask, unsigned bits)
{
    struct lode_handle_page *page = lodei_handle_page(handle);
    uint64_t word, next;
    do {
        word = page != NULL ? lodei_handle_word(handle) : 0;
        if (word == 0)
            return -ESTALE;
        next = (word & ~((uint64_t)mask << LODEI_SLOT_KIND_SHIFT)) | (uint64_t)(bits & mask)
                                                                         << LODEI_SLOT_KIND_SHIFT;
    } while (!lodei_word_change(&page->words[(uint32_t)handle % LODE_HANDLE_PAGE], &word, next));
    return 0;
}

int lodei_slot_release_slow(lode_handle handle, void **ret_old)
{
    struct lode_handle_page *page = lodei_handle_page(handle);
    uint32_t i = (uint32_t)handle % LODE_HANDLE_PAGE;
    uint64_t word, next;
    do {
        word = page != NULL ? lodei_handle_word(handle) : 0;
        if (word == 0)
            return -ESTALE;
        /* see lodei_slot_release() */
    } while (!lodei_word_change(&page->words[i], &word, lodei_busy_word(word)));
    if (!lodei_generation_is(page, handle)) {
        __atomic_store_n(&page->words[i], word, __ATOMIC_RELEASE);
        return -ESTALE;
    }
    uint32_t generation = lodei_generation_raise(page, i);
    if ((word & LODEI_SLOT_KEPT_MASK) == 0) {
        next = lodei_free_word(generation);
        *ret_old = lodei_word_block(word);
    } else {
        next = (word & ~LODEI_SLOT_STATE_MASK) | word_state(LODEI_SLOT_ZOMBIE);
        *ret_old = NULL;
        zombies_add(1);
    }
    /* release: the generation is raised before anyone can publish again */
    __atomic_store_n(&page->words[i], next, __ATOMIC_RELEASE);
    return 0;
}

/* ---- pins ---- */

void *lode_pin(lode_handle handle)
{
    struct lode_handle_page *page = lodei_handle_page(handle);
    for (;;) {
        uint64_t word = page != NULL ? lodei_handle_word(handle) : 0;
        if (word == 0) {
            errno = ESTALE;
            return NULL;
        }
        if ((word & LODEI_SLOT_PINS_MASK) == LODEI_SLOT_PINS_MASK) {
            errno = EAGAIN;
            return NULL;
        }
        /* The slot may have been freed and published again since it was looked at, with the very
         * word it had: then the generation differs now. */
        if (!lodei_word_change(&page->words[(uint32_t)handle % LODE_HANDLE_PAGE], &word,
                               word + LODEI_SLOT_PIN))
            continue;
        if (lode_likely(lodei_generation_is(page, handle)))
            return lodei_word_block(word);
        (void)lode_unpin(handle);
    }
}

#define UNPIN_BATCH 16

/* The last pin, or the grip, of a slot with parked versions, or of one that was freed; the lock is
 * held. Returns 1: done, 0: look again; in both cases *ret_count of ret_blocks are to be freed. */
static int unkeep_last(struct lode_handle_page *page, uint32_t i, uint64_t unit,
                       void *ret_blocks[UNPIN_BATCH + 1], size_t *ret_count)
{
    uint64_t *at = &page->words[i];
    uint32_t index = page->first_index + i;
    uint64_t word = lodei_word_settled(at), next;
    int zombie = lodei_word_state(word) == LODEI_SLOT_ZOMBIE;
    if ((word & LODEI_SLOT_KEPT_MASK) != unit)
        return 0;
    *ret_count = lodei_parked_take(index, ret_blocks, UNPIN_BATCH);
    if (*ret_count == UNPIN_BATCH)
        return 0; /* there may be more: the pin stays for another turn */
    if (zombie)
        next = lodei_free_word(page->generations[i]);
    else
        next =
            (word & ~(LODEI_SLOT_KEPT_MASK | LODEI_SLOT_STATE_MASK)) | word_state(LODEI_SLOT_LIVE);
    if (!lodei_word_change(at, &word, next)) {
        for (size_t k = 0; k < *ret_count; k++) /* there is room: they were just taken from it */
            lodei_parked_add(index, ret_blocks[k]);
        *ret_count = 0;
        return 0;
    }
    if (zombie) {
        ret_blocks[(*ret_count)++] = lodei_word_block(word);
        zombies_add((size_t)-1);
    }
    return 1;
}

/* Of this life of its slot, or of an earlier one. */
static int was_a_handle(const struct lode_handle_page *page, lode_handle handle)
{
    uint32_t life = (uint32_t)(handle >> 32);
    /* relaxed: who has a handle knows of its publishing */
    return life != 0 &&
           life - 1 <= __atomic_load_n(&page->generations[(uint32_t)handle % LODE_HANDLE_PAGE],
                                       __ATOMIC_RELAXED);
}

int lodei_slot_unkeep(struct lode_handle_page *page, uint32_t i, uint64_t unit)
{
    uint64_t *at = &page->words[i];
    uint64_t of_its_kind = unit == LODEI_SLOT_PIN ? LODEI_SLOT_PINS_MASK : LODEI_SLOT_GRIP;
    for (;;) {
        uint64_t word = lodei_word_settled(at);
        enum lodei_slot_state state = lodei_word_state(word);
        if ((word & of_its_kind) == 0 || state == LODEI_SLOT_FREE || state == LODEI_SLOT_DEAD)
            return -EINVAL;
        if ((word & LODEI_SLOT_KEPT_MASK) != unit || state == LODEI_SLOT_LIVE) {
            if (lodei_word_change(at, &word, word - unit))
                return 0;
            continue;
        }
        void *blocks[UNPIN_BATCH + 1];
        size_t count = 0;
        lodei_parked_lock();
        int done = unkeep_last(page, i, unit, blocks, &count);
        lodei_parked_unlock();
        for (size_t k = 0; k < count; k++)
            lodei_grace_free(blocks[k]);
        if (done)
            return 0;
    }
}

int lode_unpin(lode_handle handle)
{
    struct lode_handle_page *page = lodei_handle_page(handle);
    if (page == NULL || !was_a_handle(page, handle))
        return -EINVAL;
    return lodei_slot_unkeep(page, (uint32_t)handle % LODE_HANDLE_PAGE, LODEI_SLOT_PIN);
}

unsigned lode_handle_pins(lode_handle handle)
{
    return (unsigned)((lodei_handle_word(handle) & LODEI_SLOT_PINS_MASK) >> LODEI_SLOT_PINS_SHIFT);
}

void lode_read_stats(struct lode_read_stats *ret_stats)
{
    lodei_grace_settle();
    lodei_grace_figures(&ret_stats->readers, &ret_stats->waiting_blocks);
    lodei_parked_lock();
    ret_stats->parked_blocks = lodei_parked_count() + __atomic_load_n(&zombies, __ATOMIC_RELAXED);
    lodei_parked_unlock();
}
