/* SPDX-License-Identifier: MIT */
/*
 * Large blocks: over 64 KiB, or aligned beyond a slice. Each has slices of its own; only the first
 * is marked, so allocating and freeing cost the same at any size. Usable bytes are whole OS pages.
 *
 * Growing tries, in this order: slices it has already; the free slices behind it; moving its pages
 * to a longer run by mremap, which copies page tables instead of bytes and leaves zero pages behind
 * without ever unmapping (MREMAP_DONTUNMAP), so no other thread's mmap can slip into the
 * reservation.
 *
 * What was added reads as zero and would cost a fault a page. Pages of dirty slices elsewhere are
 * moved there instead, in whatever pieces they lie: a program that resizes large blocks then keeps
 * no more memory than it uses and takes no faults (20 live blocks of 5-25 MiB, against faulting: a
 * quarter of the time, 365 MB for 550). The method is ours. New blocks get pages that way only when
 * fragmentation has used up what lodei_slices_trim() lets it: a program may never touch them.
 *
 * heap->lock guards the heap's list and the state of its large spans.
 */
#include <errno.h>
#include <string.h>

#include "base/conf.h"
#include "heap/alloc.h"
#include "heap/fast.h"
#include "heap/slices.h"
#include "heap/span.h"
#include "base/bits.h"
#include "os/vm.h"

/* Blocks from 4 MiB on start at a multiple of 2 MiB: page tables then move, and huge pages fit. */
#define ALIGN_FROM_SLICES 64
#define ALIGN_SLICES      32
/* Below this, copying is cheaper than a mapping of its own. */
#define MOVE_MIN_BYTES ((size_t)2 * 1024 * 1024)
/* The shortest run of dirty slices worth a mapping of its own. */
#define RECYCLE_MIN_SLICES 4
/* A block gets pages of so many runs at most; what is still missing is faulted in. */
#define RECYCLE_RUNS 64
/* From here on calloc has the kernel drop old pages instead of writing zeros: what is never touched
 * then costs nothing. glibc maps such blocks afresh, too; below, writing is faster than faulting.
 */
#define UNWRITTEN_MIN_BYTES ((size_t)32 << 20)
/* Each edge is one more mapping; the kernel's default limit is 65,530 a process. */
#define MOVED_MAX 4096
/* After so many failures that may have left a hole, no page is moved any more. */
#define HOLES_MAX 3

/* How often moving failed; HOLES_MAX at once where the kernel cannot, or may not, do it at all. */
static _Atomic int move_failures;

static size_t slices_of(size_t bytes)
{
    return (bytes + LODEI_SLICE_BYTES - 1) >> LODEI_SLICE_LOG2;
}

static size_t usable_of(size_t bytes)
{
    return lodei_round_up(lodei_max(bytes, 1), lodei_page_bytes);
}

static void account(struct lode_heap *heap, struct lodei_span *span, int sign)
{
    heap->large_bytes += sign > 0 ? span->large_bytes : -span->large_bytes;
    heap->large_slices += sign > 0 ? span->slices : -(size_t)span->slices;
    heap->large_count += (size_t)sign;
}

static void *alloc_preferring(struct lode_heap *heap, size_t bytes, size_t align,
                              enum lodei_prefer prefer, struct lodei_taken *ret_taken)
{
    if (bytes > PTRDIFF_MAX - LODEI_SLICE_BYTES)
        return NULL;
    size_t count = slices_of(lodei_max(bytes, 1));
    size_t align_slices = lodei_max(1, align >> LODEI_SLICE_LOG2);
    if (count >= ALIGN_FROM_SLICES)
        align_slices = lodei_max(align_slices, ALIGN_SLICES);
    size_t first = lodei_slices_alloc(heap->kind, count, align_slices, prefer, ret_taken);
    if (first == LODEI_SLICES_NONE && align_slices == ALIGN_SLICES && align <= LODEI_SLICE_BYTES)
        first = lodei_slices_alloc(heap->kind, count, 1, prefer, ret_taken);
    if (first == LODEI_SLICES_NONE)
        return NULL;
    struct lodei_span *span = lodei_span_at(first);
    span->theap = NULL;
    span->heap = heap;
    span->slices = (uint32_t)count;
    span->large_bytes = usable_of(bytes);
    lodei_lock_take(&heap->lock);
    atomic_store_explicit(&span->state, LODEI_SPAN_LARGE, memory_order_relaxed);
    lodei_list_push_back(&heap->larges, &span->all);
    account(heap, span, 1);
    lodei_lock_drop(&heap->lock);
    return lodei_slice_start(first);
}

/* Take the block off its heap's books; 0 when it is not live any more. */
static int unlink_large(struct lodei_span *span, const void *p)
{
    struct lode_heap *heap = span->heap;
    lodei_lock_take(&heap->lock);
    int live = atomic_load_explicit(&span->state, memory_order_relaxed) == LODEI_SPAN_LARGE &&
               span->heap == heap && lodei_span_start(span) == p;
    if (live) {
        atomic_store_explicit(&span->state, LODEI_SPAN_FREE, memory_order_relaxed);
        lodei_list_remove(&span->all);
        account(heap, span, -1);
    }
    lodei_lock_drop(&heap->lock);
    return live;
}

int lodei_large_free(struct lodei_span *span, const void *p)
{
    if (!unlink_large(span, p))
        return 0;
    lodei_asan_poison(lodei_span_start(span), span->slices * LODEI_SLICE_BYTES);
    lodei_slices_free(lodei_span_slice(span), span->slices);
    return 1;
}

/* A block that may have a hole is never handed out again. Nor are its pages given back: what lies
 * there may be another thread's. */
static void lose_block(char *p)
{
    struct lodei_span *span = lodei_span_of(lodei_slice_of(p));
    unlink_large(span, p);
    lodei_slices_lose(lodei_span_slice(span), span->slices);
}

static int may_move(void)
{
    /* relaxed: both are hints */
    return atomic_load_explicit(&move_failures, memory_order_relaxed) < HOLES_MAX &&
           __atomic_load_n(&lodei_state.moved_edges, __ATOMIC_RELAXED) < MOVED_MAX;
}

/*
 * lodei_vm_move(); -EEXIST: failed, and [to, +bytes) may be unmapped, or taken by another thread's
 * mapping since. Other failures leave both sides as they were, where `from` is one mapping.
 *
 * Linux before 6.17 unmaps the target before it looks at the source. What fails earlier (no such
 * flag, a seccomp filter, a signal) is known by its error; for the rest the target is mapped where
 * it is not. If something is there it is ours, untouched, almost always, but that cannot be known:
 * after HOLES_MAX such losses moving is given up.
 */
static int move(char *from, char *to, size_t bytes)
{
    int r = lodei_vm_move(from, to, bytes);
    if (r == -EINVAL || r == -EPERM || r == -ENOSYS)
        atomic_store_explicit(&move_failures, HOLES_MAX, memory_order_relaxed);
    else if (r != 0 && r != -EAGAIN && r != -EINTR && lodei_vm_refill(to, bytes) != 0) {
        atomic_fetch_add_explicit(&move_failures, 1, memory_order_relaxed);
        r = -EEXIST;
    }
    return r;
}

/* Locked memory (mlockall) is not purged, and moving it would unlock what stays behind. */
static int is_locked(void *page)
{
    return lodei_vm_purge(page, lodei_page_bytes) != 0;
}

/* Pages of dirty slices to [to, +count), which reads as zero, as far as there are enough together.
 * *ret_done slices got some. 0; -1: there may be a hole in them now. */
static int recycle_run(enum lode_kind kind, size_t to, size_t count, size_t *below, int *runs,
                       size_t *ret_done)
{
    size_t from, n;
    for (*ret_done = 0; count >= RECYCLE_MIN_SLICES && *runs > 0 && may_move(); count -= n) {
        from = lodei_slices_take_dirty(kind, RECYCLE_MIN_SLICES, count, below, &n);
        if (from == LODEI_SLICES_NONE)
            break;
        *runs -= 1;
        int r = move(lodei_slice_start(from), lodei_slice_start(to), n * LODEI_SLICE_BYTES);
        if (r != 0) {
            lodei_slices_free(from, n);
            if (r == -EFAULT)
                lodei_slices_split(from, n);
            return r == -EEXIST ? -1 : 0;
        }
        lodei_slices_moved(to, n);
        lodei_slices_free_moved(from, n);
        to += n;
        *ret_done += n;
    }
    return 0;
}

/* Up to `most` of the clean slices at or behind `from` get pages; they are clean no more. */
static int recycle(enum lode_kind kind, struct lodei_taken *taken, size_t from, size_t most)
{
    size_t below = SIZE_MAX;
    int runs = RECYCLE_RUNS;
    if (lodei_slices_dirty() < RECYCLE_MIN_SLICES || lodei_slices_are_huge(kind))
        return 0;
    if (taken->clean_count == 0 || is_locked(lodei_slice_start(taken->clean[0].first)))
        return 0;
    for (size_t i = 0; i < taken->clean_count && most >= RECYCLE_MIN_SLICES && runs > 0; i++) {
        size_t done, first = taken->clean[i].first, end = first + taken->clean[i].count;
        first = lodei_max(first, from);
        if (first >= end || end - first < RECYCLE_MIN_SLICES)
            continue;
        if (recycle_run(kind, first, lodei_min(end - first, most), &below, &runs, &done) != 0)
            return -1;
        taken->clean[i].first = first + done;
        taken->clean[i].count = end - first - done;
        most -= done;
    }
    return 0;
}

static void set_size(struct lodei_span *span, size_t bytes, size_t slices)
{
    struct lode_heap *heap = span->heap;
    lodei_lock_take(&heap->lock);
    account(heap, span, -1);
    span->large_bytes = usable_of(bytes);
    span->slices = (uint32_t)slices;
    account(heap, span, 1);
    lodei_lock_drop(&heap->lock);
}

/* Make [at, +bytes) of a block of `block_bytes` read as zero; `at` is a slice's start. */
static void clear(char *at, size_t bytes, size_t block_bytes)
{
    size_t pages_bytes = lodei_round_down(bytes, lodei_page_bytes);
    if (block_bytes < UNWRITTEN_MIN_BYTES || lodei_vm_purge(at, pages_bytes) != 0)
        pages_bytes = 0;
    memset(at + pages_bytes, 0, bytes - pages_bytes);
}

/* Clear what lies between the clean slices of the first `bytes` of a new block. */
static void clear_dirty(char *p, size_t bytes, const struct lodei_taken *taken)
{
    char *at = p, *end = p + bytes;
    lodei_asan_alloc(p);
    for (size_t i = 0; i < taken->clean_count && at < end; i++) {
        char *clean = lodei_slice_start(taken->clean[i].first);
        if (clean > at)
            clear(at, lodei_min((size_t)(clean - at), (size_t)(end - at)), bytes);
        at = clean + taken->clean[i].count * LODEI_SLICE_BYTES;
    }
    if (at < end)
        clear(at, (size_t)(end - at), bytes);
}

void *lodei_large_alloc(struct lode_heap *heap, size_t bytes, size_t align, enum lodei_zero *zero)
{
    struct lodei_taken taken;
    char *p = alloc_preferring(heap, bytes, align, LODEI_PREFER_DIRTY, &taken);
    if (p == NULL)
        return NULL;
    if (taken.excess > 0) {
        if (recycle(heap->kind, &taken, 0, taken.excess) != 0) {
            lose_block(p);
            return NULL;
        }
        lodei_slices_trim(lodei_conf.purge_budget_us);
    }
    if (*zero == LODEI_ZERO_WANTED) {
        clear_dirty(p, bytes, &taken);
        *zero = LODEI_ZERO_DONE;
    }
    return p;
}

/* A system call of moving failed at slice `done`. 1 when the rest is copied; -1 when everything is
 * where it was. */
static int finish_by_copying(struct lodei_span *span, char *to, size_t done, int r)
{
    char *from = lodei_span_start(span);
    size_t at = done * LODEI_SLICE_BYTES;
    if (r != -EEXIST) {
        lodei_asan_alloc(to);
        memcpy(to + at, from + at, span->large_bytes > at ? span->large_bytes - at : 0);
        return 1;
    }
    lodei_asan_alloc(to);
    memcpy(from, to, at); /* what had moved left zero pages behind, not a hole */
    return -1;
}

/* How many of up to `count` slices are one mapping of the kernel, about; 0: not even the first. The
 * program may have made borders that nobody else knows of (madvise, mlock, mprotect), and one
 * mremap over several mappings, which Linux has since 6.17, may fail with some of them moved. */
static size_t one_mapping(size_t first, size_t count)
{
    while (count > 0 &&
           !lodei_vm_is_one_mapping(lodei_slice_start(first), count * LODEI_SLICE_BYTES))
        count /= 2;
    return count;
}

/* The pages of the block over those of `to`, one mapping after the other; 0; 1: some were copied
 * instead and are still there; -1: everything is where it was. */
static int move_pages(struct lodei_span *span, char *to)
{
    size_t first = lodei_span_slice(span), target = lodei_slice_of(to), count = span->slices, n;
    for (size_t done = 0; done < count; done += n) {
        n = one_mapping(first + done, lodei_slices_piece(first + done, count - done));
        if (n == 0)
            return finish_by_copying(span, to, done, -EFAULT);
        size_t at = done * LODEI_SLICE_BYTES;
        int r = move(lodei_slice_start(first) + at, to + at, n * LODEI_SLICE_BYTES);
        if (r != 0)
            return finish_by_copying(span, to, done, r);
        lodei_slices_moved(target + done, n);
    }
    return 0;
}

static void *copy_to(struct lodei_span *span, char *to)
{
    lodei_asan_alloc(to);
    memcpy(to, lodei_span_start(span), span->large_bytes);
    lodei_large_free(span, lodei_span_start(span));
    return to;
}

/* A longer run elsewhere. Pages that are moved go to clean slices, lest dirty ones be wasted. */
static void *grow_elsewhere(struct lodei_span *span, size_t bytes)
{
    struct lodei_taken taken;
    int moving = span->large_bytes >= MOVE_MIN_BYTES && may_move();
    char *to = alloc_preferring(span->heap, bytes, LODEI_SLICE_BYTES,
                                moving ? LODEI_PREFER_CLEAN : LODEI_PREFER_DIRTY, &taken);
    if (to == NULL)
        return NULL;
    if (!moving || is_locked(to))
        return copy_to(span, to);
    int r = recycle(span->heap->kind, &taken, lodei_slice_of(to) + span->slices, SIZE_MAX);
    if (r == 0)
        r = move_pages(span, to);
    if (r < 0) {
        lose_block(to);
        return NULL;
    }
    if (!unlink_large(span, lodei_span_start(span)))
        return to;
    lodei_asan_poison(lodei_span_start(span), span->slices * LODEI_SLICE_BYTES);
    if (r == 0)
        lodei_slices_free_moved(lodei_span_slice(span), span->slices);
    else
        lodei_slices_free(lodei_span_slice(span), span->slices);
    return to;
}

/* The slices behind the block, if they are free; 0 unchanged. */
static int grow_in_place(struct lodei_span *span, size_t bytes)
{
    struct lodei_taken taken;
    size_t have = span->slices, more = slices_of(bytes) - have;
    if (!lodei_slices_extend(span->heap->kind, lodei_span_slice(span) + have, more, &taken))
        return 0;
    if (recycle(span->heap->kind, &taken, 0, SIZE_MAX) != 0) {
        lodei_slices_lose(lodei_span_slice(span) + have, more);
        return 0;
    }
    set_size(span, bytes, have + more);
    return 1;
}

void *lodei_large_resize(struct lodei_span *span, void *p, size_t bytes)
{
    if (bytes > PTRDIFF_MAX - LODEI_SLICE_BYTES)
        return NULL;
    size_t have = span->slices, want = slices_of(lodei_max(bytes, 1));
    size_t first = lodei_span_slice(span);
    if (want < have) {
        set_size(span, bytes, want);
        lodei_asan_poison(lodei_slice_start(first + want), (have - want) * LODEI_SLICE_BYTES);
        lodei_slices_free(first + want, have - want);
        return p;
    }
    if (want == have)
        set_size(span, bytes, want);
    else if (!grow_in_place(span, bytes))
        return grow_elsewhere(span, bytes);
    return p;
}
