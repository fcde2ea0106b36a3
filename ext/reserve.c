/* SPDX-License-Identifier: MIT */
/*
 * The emergency reserve: memory set aside, and touched, for CRITICAL requests when there is no
 * other. Owns one block of the heap "reserve" and a bit map of what is free in it, a bit for each
 * 64 bytes. First fit over the map: the reserve is small, and used rarely.
 *
 *     memory  | granule | granule | ...   aligned to an OS page
 *     map     1 0 0 1 1 1 ...             set: free
 *
 * `lock` guards all of it; a leaf, held around fork(). Memory is taken from and given to the heap
 * under it: the heaps' locks come behind.
 */
#include "ext/reserve.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>

#include "base/bitmap.h"
#include "ext/poison.h"
#include "ext/requestcore.h"

#define RESERVE_BYTES ((size_t)512 << 10)
#define GRANULE_BYTES ((size_t)64)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* Guarded by lock. */
static int started;
static struct lode_heap *heap;
static char *memory; /* NULL: there is none */
static uint64_t *map;
static size_t granules, used;

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

static int heap_make(void)
{
    struct lode_heap_opts opts = LODE_HEAP_OPTS_INIT;
    opts.name = "reserve";
    return heap != NULL ? 0 : lode_heap_create(&opts, &heap);
}

static void give_up(char *old, uint64_t *old_map, size_t count)
{
    if (old != NULL)
        lodei_forgotten(old, count * GRANULE_BYTES);
    lode_free(old);
    lode_free(old_map);
}

/* Under the lock. */
static int make(size_t bytes)
{
    size_t count = bytes / GRANULE_BYTES;
    if (used > 0)
        return -EBUSY;
    char *fresh = NULL;
    uint64_t *fresh_map = NULL;
    if (count > 0) {
        if (heap_make() != 0)
            return -ENOMEM;
        fresh = lode_heap_aligned_alloc(heap, lodei_page(), count * GRANULE_BYTES);
        fresh_map = lode_heap_calloc(heap, (count + 63) / 64, sizeof(uint64_t));
        if (fresh == NULL || fresh_map == NULL) {
            give_up(NULL, fresh_map, 0);
            lode_free(fresh);
            return -ENOMEM;
        }
        memset(fresh, 0, count * GRANULE_BYTES);
        lodei_taken(fresh, count * GRANULE_BYTES);
        lodei_bitmap_put(fresh_map, 0, count, 1);
    }
    give_up(memory, map, granules);
    memory = fresh;
    map = fresh_map;
    granules = count;
    return 0;
}

void lodei_reserve_start(void)
{
    /* acquire: pairs with the release below and in lodei_reserve_set(); a hint, looked at again */
    if (lode_likely(__atomic_load_n(&started, __ATOMIC_ACQUIRE)))
        return;
    int saved = errno;
    pthread_mutex_lock(&lock);
    if (!started) {
        /* Without memory now there is none later either: it stays empty until it is set. */
        (void)make(RESERVE_BYTES);
        __atomic_store_n(&started, 1, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&lock);
    errno = saved;
}

int lodei_reserve_set(size_t bytes)
{
    int saved = errno;
    pthread_mutex_lock(&lock);
    int error = bytes > PTRDIFF_MAX ? -ENOMEM : make(lodei_round_up(bytes, GRANULE_BYTES));
    if (error == 0)
        __atomic_store_n(&started, 1, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&lock);
    errno = saved;
    return error;
}

void *lodei_reserve_alloc(size_t bytes, size_t align)
{
    size_t count = lodei_round_up(bytes, GRANULE_BYTES) / GRANULE_BYTES, longest;
    size_t steps = lodei_max(1, align / GRANULE_BYTES);
    void *ptr = NULL;
    if (bytes > PTRDIFF_MAX || align > lodei_page())
        return NULL;
    pthread_mutex_lock(&lock);
    size_t at = lodei_bitmap_find_run(map, granules, count, steps, 0, &longest);
    if (at < granules) {
        lodei_bitmap_put(map, at, count, 0);
        used += count;
        ptr = memory + at * GRANULE_BYTES;
        lodei_given(ptr, bytes);
    }
    pthread_mutex_unlock(&lock);
    return ptr;
}

void lodei_reserve_free(void *ptr, size_t bytes)
{
    size_t count = lodei_round_up(bytes, GRANULE_BYTES) / GRANULE_BYTES;
    pthread_mutex_lock(&lock);
    lodei_taken(ptr, bytes);
    lodei_bitmap_put(map, (size_t)((char *)ptr - memory) / GRANULE_BYTES, count, 1);
    used -= count;
    pthread_mutex_unlock(&lock);
}

void lodei_reserve_figures(size_t *ret_bytes, size_t *ret_used_bytes)
{
    pthread_mutex_lock(&lock);
    *ret_bytes = granules * GRANULE_BYTES;
    *ret_used_bytes = used * GRANULE_BYTES;
    pthread_mutex_unlock(&lock);
}
