/* SPDX-License-Identifier: MIT */
/*
 * Owns lodei_state: makes the reservation and lays it out (picture in types.h), and hands out
 * storage for the heap's own structures. Storage is type-stable: what was once a theap is only ever
 * reused as a theap, so a stale pointer to one reads a theap. meta_lock guards all of it.
 */
#include "heap/meta.h"

#include <errno.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/conf.h"
#include "heap/fork.h"
#include "heap/heaps.h"
#include "heap/sizeclass.h"
#include "heap/valgrind.h"
#include "os/vm.h"

struct lodei_state lodei_state = {
    .meta_lock = LODEI_LOCK_INIT(LODEI_RANK_META),
    .slices_lock = LODEI_LOCK_INIT(LODEI_RANK_SLICES),
    .registry_lock = LODEI_LOCK_INIT(LODEI_RANK_REGISTRY),
};

#define RESERVE_MIN ((size_t)8 << 20)
#define ARENA_MAX   ((size_t)1 << 30)
#define ARENA_MIN   ((size_t)1 << 20)
#define BASE_ALIGN  ((size_t)16 << 20)
#define COMMIT_STEP ((size_t)64 << 10)

static struct lodei_lock init_lock = LODEI_LOCK_INIT(LODEI_RANK_REGISTRY);

/*
 * The key's top byte tells free blocks from live ones at first glance, so it must be unlike the top
 * of pointers, small integers, floats, opaque colours and text: 0x82 to 0xb1. A live block that has
 * it by chance costs a look off the fast path, no more.
 */
static uintptr_t make_key(void)
{
    uint64_t random[2] = {0x9e3779b97f4a7c15, 0};
    const void *at = (const void *)getauxval(AT_RANDOM);
    if (at != NULL)
        memcpy(random, at, sizeof(random));
    uint64_t mixed = (random[0] ^ random[1] << 29 ^ random[1] >> 35) * 0xff51afd7ed558ccd;
    uint64_t top = 0x82 + (mixed >> 20) % 0x30;
    return (uintptr_t)(top << 56 | mixed >> 8);
}

/* Where everything stands, for a reservation of `bytes`. Returns the head's size. */
static size_t lay_out(size_t bytes)
{
    struct lodei_state *s = &lodei_state;
    s->reserved_bytes = bytes;
    s->slice_count = bytes / LODEI_SLICE_BYTES;
    s->segment_count = (bytes + LODEI_SEGMENT_BYTES - 1) / LODEI_SEGMENT_BYTES;
    /* Tables are filled by whole segments, though the last one may be cut short. */
    size_t rows = s->segment_count * LODEI_SEGMENT_SLICES;
    size_t at = lodei_round_up(LODEI_TABLE_OFFSET + rows * sizeof(void *), 65536);
    s->segments = (struct lodei_segment *)(void *)(s->base + at);
    at = lodei_round_up(at + s->segment_count * sizeof(struct lodei_segment), 65536);
    s->meta_start = s->meta_next = s->meta_committed = s->base + at;
    at += lodei_round_down(lodei_min(ARENA_MAX, lodei_max(ARENA_MIN, bytes / 64)), 65536);
    s->meta_end = s->base + at;
    s->spans = s->base + at;
    at = lodei_round_up(at + rows * LODEI_SPAN_STRIDE, LODEI_SLICE_BYTES);
    s->head_slices = at / LODEI_SLICE_BYTES;
    return at;
}

static size_t first_try_bytes(void)
{
    size_t want = (size_t)lodei_conf.reserve_gib << 30;
    struct rlimit limit;
    /* A limited address space is shared with stacks, files and libraries. */
    if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
        want = lodei_min(want, limit.rlim_cur / 8 * 5);
    return lodei_max(RESERVE_MIN, lodei_round_down(want, RESERVE_MIN));
}

static int reserve(void)
{
    struct lodei_state *s = &lodei_state;
    for (size_t bytes = first_try_bytes(); bytes >= RESERVE_MIN;
         bytes = lodei_round_down(bytes / 2, RESERVE_MIN)) {
        s->base =
            lodei_vm_reserve(bytes, bytes < LODEI_SEGMENT_BYTES ? RESERVE_MIN / 4 : BASE_ALIGN);
        if (s->base == NULL)
            continue;
        lay_out(bytes);
        if (lodei_vm_commit(s->base, lodei_page_bytes) == 0)
            return 0;
        lodei_vm_release(s->base, bytes);
        s->base = NULL;
    }
    s->reserved_bytes = s->slice_count = 0;
    return -ENOMEM;
}

static int init_locked(void)
{
    struct lodei_state *s = &lodei_state;
    lodei_vm_init();
    if (reserve() != 0)
        return -ENOMEM;
    lodei_classes_init();
    s->key = make_key();
    s->nil = (struct lodei_block *)(void *)s->base;
    s->nil->next = s->nil;
    s->no_bin = (struct lodei_bin *)(void *)s->base;
    s->slice_table = (struct lodei_bin **)(void *)(s->base + LODEI_TABLE_OFFSET);
    s->segments_opened = s->head_slices / LODEI_SEGMENT_SLICES;
    s->hint[0] = s->hint[1] = s->segments_opened;
    lodei_fork_mark_make();
    lodei_list_init(&s->heaps);
    lodei_list_init(&s->threads);
    lodei_valgrind_start();
    return lodei_heaps_init();
}

int lodei_init(void)
{
    struct lodei_state *s = &lodei_state;
    /* acquire: pairs with the release below */
    if (lode_likely(__atomic_load_n(&s->default_heap, __ATOMIC_ACQUIRE) != NULL))
        return 0;
    int saved = errno, r = 0;
    lodei_lock_take_unranked(&init_lock);
    if (s->default_heap == NULL) {
        r = init_locked();
        if (r != 0 && s->base != NULL) {
            lodei_vm_release(s->base, s->reserved_bytes);
            s->base = NULL;
        }
    }
    lodei_lock_drop_unranked(&init_lock);
    errno = saved;
    return r;
}

static void *alloc_locked(size_t bytes)
{
    struct lodei_state *s = &lodei_state;
    bytes = lodei_round_up(bytes, 64);
    if (bytes > (size_t)(s->meta_end - s->meta_next))
        return NULL;
    char *end = s->meta_next + bytes;
    if (end > s->meta_committed) {
        size_t more = lodei_min(lodei_round_up((size_t)(end - s->meta_committed), COMMIT_STEP),
                                (size_t)(s->meta_end - s->meta_committed));
        if (lodei_vm_commit(s->meta_committed, more) != 0)
            return NULL;
        s->meta_committed += more;
    }
    void *p = s->meta_next;
    s->meta_next = end;
    return p;
}

void *lodei_meta_alloc(size_t bytes)
{
    lodei_lock_take(&lodei_state.meta_lock);
    void *p = alloc_locked(bytes);
    lodei_lock_drop(&lodei_state.meta_lock);
    return p;
}

struct lodei_theap *lodei_meta_theap_new(void)
{
    struct lodei_state *s = &lodei_state;
    lodei_lock_take(&s->meta_lock);
    struct lodei_theap *th = s->free_theaps;
    if (th != NULL)
        s->free_theaps = th->free_next;
    else if ((th = alloc_locked(sizeof(*th))) != NULL)
        th->lock.rank = LODEI_RANK_THEAP; /* for ever: a purge step may hold an old name of it */
    lodei_lock_drop(&s->meta_lock);
    return th;
}

void lodei_meta_theap_free(struct lodei_theap *th)
{
    struct lodei_state *s = &lodei_state;
    lodei_lock_take(&s->meta_lock);
    th->free_next = s->free_theaps;
    s->free_theaps = th;
    lodei_lock_drop(&s->meta_lock);
}

struct lode_heap *lodei_meta_heap_new(void)
{
    struct lodei_state *s = &lodei_state;
    lodei_lock_take(&s->meta_lock);
    struct lode_heap *heap = s->free_heaps;
    if (heap != NULL)
        s->free_heaps = heap->free_next;
    else if ((heap = alloc_locked(sizeof(*heap))) != NULL)
        heap->lock.rank = LODEI_RANK_HEAP; /* for ever: threads that used the last one know it */
    lodei_lock_drop(&s->meta_lock);
    return heap;
}

void lodei_meta_heap_free(struct lode_heap *heap)
{
    struct lodei_state *s = &lodei_state;
    lodei_lock_take(&s->meta_lock);
    heap->free_next = s->free_heaps;
    s->free_heaps = heap;
    lodei_lock_drop(&s->meta_lock);
}

struct lodei_thread *lodei_meta_thread_new(void)
{
    struct lodei_state *s = &lodei_state;
    lodei_lock_take(&s->meta_lock);
    struct lodei_thread *thread = s->free_threads;
    if (thread != NULL)
        s->free_threads = thread->free_next;
    else
        thread = alloc_locked(sizeof(*thread));
    lodei_lock_drop(&s->meta_lock);
    if (thread == NULL)
        return NULL;
    struct lodei_part *parts = thread->parts;
    uint32_t log2 = thread->parts_log2;
    memset(thread, 0, sizeof(*thread));
    if (parts != NULL)
        memset(parts, 0, sizeof(*parts) << log2);
    thread->parts = parts;
    thread->parts_log2 = log2;
    return thread;
}

void lodei_meta_thread_free(struct lodei_thread *thread)
{
    struct lodei_state *s = &lodei_state;
    lodei_lock_take(&s->meta_lock);
    thread->free_next = s->free_threads;
    s->free_threads = thread;
    lodei_lock_drop(&s->meta_lock);
}
