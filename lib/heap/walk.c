/* SPDX-License-Identifier: MIT */
/*
 * Walking a heap: every span, every live block. A block is live when it is carved, not dormant, and
 * found in none of the places where free blocks wait (types.h). The places of other threads are
 * read without their help: list nodes are verified before they are followed, so a list that changes
 * under the walk ends it early, no worse.
 *
 * Two passes: collect the spans and the waiting blocks (sorted); then, span by span under the
 * owner's lock, make the picture, drop the lock, and call the visitors.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/bitmap.h"
#include "heap/heaps.h"
#include "heap/misuse.h"
#include "heap/sizeclass.h"
#include "heap/span.h"
#include "heap/valgrind.h"
#include "os/vm.h"

/* A growing array of pointers on mappings of its own: a walk must not change the heap it walks. */
struct pointers {
    uintptr_t *at;
    size_t count, room;
};

static int pointers_add(struct pointers *p, const void *value)
{
    if (p->count == p->room) {
        size_t room = p->room != 0 ? p->room * 2 : 8192;
        void *at = p->room == 0 ? mmap(NULL, room * sizeof(uintptr_t), PROT_READ | PROT_WRITE,
                                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
                                : mremap(p->at, p->room * sizeof(uintptr_t),
                                         room * sizeof(uintptr_t), MREMAP_MAYMOVE);
        if (at == MAP_FAILED)
            return -ENOMEM;
        p->at = at;
        p->room = room;
    }
    p->at[p->count++] = (uintptr_t)value;
    return 0;
}

static void pointers_finish(struct pointers *p)
{
    if (p->room != 0)
        munmap(p->at, p->room * sizeof(uintptr_t));
}

static int by_value(const void *a, const void *b)
{
    uintptr_t x = *(const uintptr_t *)a, y = *(const uintptr_t *)b;
    return (x > y) - (x < y);
}

static void sift(uintptr_t *a, size_t i, size_t n)
{
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && by_value(&a[child], &a[child + 1]) < 0)
            child++;
        if (by_value(&a[i], &a[child]) >= 0)
            return;
        uintptr_t t = a[i];
        a[i] = a[child];
        a[child] = t;
    }
}

/* Heapsort: qsort() may call malloc, and so the heap being walked. */
static void pointers_sort(struct pointers *p)
{
    for (size_t i = p->count / 2; i-- > 0;)
        sift(p->at, i, p->count);
    for (size_t n = p->count; n-- > 1;) {
        uintptr_t t = p->at[0];
        p->at[0] = p->at[n];
        p->at[n] = t;
        sift(p->at, 0, n);
    }
}

static size_t pointers_lower_bound(const struct pointers *p, uintptr_t value)
{
    size_t lo = 0, hi = p->count;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (p->at[mid] < value)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* No list is longer than this; one that seems so is changing while it is read. */
#define LIST_LIMIT 1000000

static LODE_NO_ASAN __attribute__((no_sanitize("thread"))) int
collect_list(struct pointers *waiting, const struct lodei_block *block)
{
    for (int n = 0; block != NULL && block != lodei_state.nil && n < LIST_LIMIT; n++) {
        if (lodei_slice_of(block) >= lodei_state.slice_count ||
            lodei_span_of(lodei_slice_of(block)) == NULL || !lodei_block_is_free(block))
            break;
        if (pointers_add(waiting, block) != 0)
            return -ENOMEM;
        block = block->next;
    }
    return 0;
}

static __attribute__((no_sanitize("thread"))) int
collect_theap(struct lodei_theap *th, struct pointers *spans, struct pointers *waiting)
{
    int r = 0;
    struct lodei_list *l = th->spans.next;
    for (; l != &th->spans && r == 0; l = l->next)
        r = pointers_add(spans, lode_container_of(l, struct lodei_span, all));
    for (unsigned c = 0; c < LODEI_CLASS_COUNT && r == 0; c++) {
        r = collect_list(waiting, th->shelves[c].inbox);
        if (r != 0 || th->lost)
            continue;
        r = collect_list(waiting, th->bins[c].head);
        if (r == 0)
            r = collect_list(waiting, th->bins[c].spare);
    }
    for (unsigned i = 0; i < LODEI_OUTBOX_SLOTS && r == 0 && !th->lost; i++)
        if (th->outboxes[i].owner != NULL)
            r = collect_list(waiting, th->outboxes[i].head);
    return r;
}

static int collect(struct lode_heap *heap, struct pointers *spans, struct pointers *waiting)
{
    int r = 0;
    lodei_lock_take(&heap->lock);
    struct lodei_list *l = heap->larges.next;
    for (; l != &heap->larges && r == 0; l = l->next)
        r = pointers_add(spans, lode_container_of(l, struct lodei_span, all));
    for (l = heap->theaps.next; l != &heap->theaps && r == 0; l = l->next) {
        struct lodei_theap *th = lode_container_of(l, struct lodei_theap, heap_link);
        if (th->abandoned)
            continue;
        lodei_lock_take(&th->lock);
        r = collect_theap(th, spans, waiting);
        lodei_lock_drop(&th->lock);
    }
    lodei_lock_drop(&heap->lock);
    pointers_sort(spans);
    pointers_sort(waiting);
    return r;
}

/* Blocks in the smallest class of a one-slice span. */
#define BLOCKS_MAX (LODEI_SLICE_BYTES / 16)

struct picture {
    struct lode_span_info info;
    uint64_t live[BLOCKS_MAX / 64];
};

static LODE_NO_ASAN void draw_blocks(struct picture *pic, struct lodei_span *span,
                                     const struct pointers *waiting)
{
    char *start = lodei_span_start(span);
    size_t bytes = span->slices * LODEI_SLICE_BYTES, size = span->block_bytes;
    memset(pic->live, 0, sizeof(pic->live));
    lodei_bitmap_put(pic->live, 0, span->carved, 1);
    for (const struct lodei_block *b = span->free; b != lodei_state.nil; b = b->next)
        lodei_bitmap_put(pic->live, (size_t)((const char *)b - start) / size, 1, 0);
    for (uint32_t i = 0; span->dormant > 0 && i < span->carved; i++)
        if (lodei_span_is_dormant(span, i))
            lodei_bitmap_put(pic->live, i, 1, 0);
    size_t w = pointers_lower_bound(waiting, (uintptr_t)start);
    for (; w < waiting->count && waiting->at[w] < (uintptr_t)start + bytes; w++)
        lodei_bitmap_put(pic->live, (waiting->at[w] - (uintptr_t)start) / size, 1, 0);
    uint32_t live = 0;
    for (size_t i = 0; i < BLOCKS_MAX / 64; i++)
        live += (uint32_t)__builtin_popcountll(pic->live[i]);
    uint32_t purged_pages = 0;
    for (size_t i = 0; i < span->slices; i++)
        purged_pages += (uint32_t)__builtin_popcount(*lodei_span_purged(span, i));
    size_t carved = lodei_round_up(span->carved * size, lodei_page_bytes);
    pic->info.block_bytes = size;
    pic->info.block_count = span->capacity;
    pic->info.live_count = live;
    pic->info.purged_bytes = purged_pages << lodei_page_log2;
    pic->info.untouched_bytes = span->was_dirty ? 0 : (uint32_t)(bytes - lodei_min(carved, bytes));
}

/* 0 when the span is gone since it was collected. */
static int draw(struct picture *pic, struct lode_heap *heap, struct lodei_span *span,
                const struct pointers *waiting)
{
    memset(&pic->info, 0, sizeof(pic->info));
    struct lodei_theap *th = span->theap;
    struct lodei_lock *lock = th != NULL ? &th->lock : &heap->lock;
    lodei_lock_take(lock);
    int state = atomic_load_explicit(&span->state, memory_order_relaxed);
    int alive = span->heap == heap && span->theap == th &&
                state == (th != NULL ? LODEI_SPAN_BLOCKS : LODEI_SPAN_LARGE);
    if (alive) {
        pic->info.start = lodei_span_start(span);
        pic->info.bytes = span->slices * LODEI_SLICE_BYTES;
        pic->info.tag = heap->tag;
        pic->info.kind = heap->kind;
        pic->info.large = th == NULL;
        pic->info.block_bytes = span->large_bytes;
        pic->info.block_count = pic->info.live_count = 1;
        pic->live[0] = 1;
        if (th != NULL)
            draw_blocks(pic, span, waiting);
    }
    lodei_lock_drop(lock);
    return alive;
}

int lode_heap_walk(struct lode_heap *heap, lode_span_visitor visit_span,
                   lode_block_visitor visit_block, void *ctx)
{
    struct pointers spans = {0}, waiting = {0};
    struct picture pic;
    lodei_quiet();
    int r = collect(heap, &spans, &waiting);
    lodei_loud();
    for (size_t i = 0; i < spans.count && r == 0; i++) {
        lodei_quiet();
        int drawn = draw(&pic, heap, (struct lodei_span *)spans.at[i], &waiting);
        lodei_loud();
        if (!drawn)
            continue;
        if (visit_span != NULL)
            r = visit_span(ctx, &pic.info);
        for (size_t b = 0; b < pic.info.block_count && visit_block != NULL && r == 0; b++) {
            b = lodei_bitmap_next(pic.live, pic.info.block_count, b, 1);
            if (b < pic.info.block_count)
                r = visit_block(ctx, (char *)pic.info.start + b * pic.info.block_bytes,
                                pic.info.block_bytes);
        }
    }
    pointers_finish(&spans);
    pointers_finish(&waiting);
    return r;
}
