/* SPDX-License-Identifier: MIT */
/*
 * Where the outside comes in: the slow halves of malloc and free, realloc, aligned and zeroed
 * allocation, questions about pointers, and the same functions under lode_ names. Sorts out who the
 * thread is, whether a tracer listens, and what a pointer is; works no lists itself.
 */
#include "heap/entry.h"

#include <errno.h>
#include <string.h>

#include "heap/alloc.h"
#include "heap/fast.h"
#include "heap/heaps.h"
#include "heap/meta.h"
#include "heap/misuse.h"
#include "heap/purge.h"
#include "heap/sizeclass.h"
#include "heap/span.h"
#include "heap/trace.h"
#include "heap/valgrind.h"
#include "os/vm.h"

struct lodei_foreign lodei_foreign;

void lodei_foreign_counted(void)
{
    atomic_fetch_add_explicit(&lodei_state.foreign_count, 1, memory_order_relaxed);
}

/* ---- tracing ---- */

/* Does this thread's tracer want to know? If so the thread counts as inside it until trace_leave().
 */
static struct lodei_thread *trace_enter(void)
{
    struct lodei_thread *thread = lodei_thread_peek();
    if (lodei_state.tracer == NULL || thread == NULL || thread->in_tracer)
        return NULL;
    thread->in_tracer = 1;
    return thread;
}

static void trace_leave(struct lodei_thread *thread)
{
    thread->in_tracer = 0;
}

static void trace_alloc(void *p, size_t bytes)
{
    struct lodei_thread *thread = p != NULL ? trace_enter() : NULL;
    if (thread == NULL)
        return;
    lodei_state.tracer->on_alloc(p, bytes);
    trace_leave(thread);
}

static void trace_free(void *p)
{
    struct lodei_thread *thread = trace_enter();
    if (thread != NULL) {
        lodei_state.tracer->on_free(p);
        trace_leave(thread);
    } else if (lodei_state.tracer != NULL && lodei_thread_peek() == NULL) {
        /* A thread that never allocated, or is past its end; it is not inside the tracer. */
        lodei_state.tracer->on_free(p);
    }
}

static void trace_resize(void *p, size_t bytes)
{
    struct lodei_thread *thread = trace_enter();
    if (thread == NULL)
        return;
    lodei_state.tracer->on_resize(p, bytes);
    trace_leave(thread);
}

/* ---- allocation ---- */

/* The theap malloc() of this thread uses, made if need be; NULL when out of memory. */
static struct lodei_theap *real_theap(void)
{
    struct lodei_theap *th = lode_theap_self->real;
    if (lode_likely(th != NULL))
        return th;
    if (lodei_thread_get() == NULL)
        return NULL;
    return lode_theap_self->real;
}

static void *alloc_from(struct lodei_theap *th, size_t bytes, size_t align, enum lodei_zero *zero)
{
    lodei_fork_check();
    lodei_quiet();
    void *p = th != NULL ? lodei_theap_alloc(th, bytes, align, zero) : NULL;
    if (lode_unlikely(p == NULL))
        errno = ENOMEM;
    else
        lodei_asan_alloc(p);
    trace_alloc(p, bytes);
    lodei_thread_settle();
    lodei_loud();
    return p;
}

void *lodei_malloc_slow(size_t bytes)
{
    enum lodei_zero zero = LODEI_ZERO_ANY;
    void *p = alloc_from(real_theap(), bytes, 16, &zero);
    lodei_purge_consider(__builtin_return_address(0));
    return p;
}

static void *zeroed(void *p, size_t bytes, enum lodei_zero zero)
{
    /* Where memory is zero already, memcheck is to know too. */
    if (p != NULL && (zero != LODEI_ZERO_DONE || lodei_on_valgrind))
        memset(p, 0, bytes);
    return p;
}

void *lodei_calloc_slow(size_t bytes)
{
    enum lodei_zero zero = LODEI_ZERO_WANTED;
    void *p = alloc_from(real_theap(), bytes, 16, &zero);
    return zeroed(p, bytes, zero);
}

void *lodei_aligned(size_t align, size_t bytes)
{
    enum lodei_zero zero = LODEI_ZERO_ANY;
    return alloc_from(real_theap(), bytes, align, &zero);
}

/* ---- free ---- */

/* Not ours by its address: somebody else's malloc may know it. */
static int is_outside(const void *p)
{
    return lodei_state.base == NULL || lodei_slice_of(p) >= lodei_state.slice_count;
}

static enum lodei_finding classify_live(const void *p, struct lodei_span **ret_span)
{
    if (lodei_state.base == NULL)
        return LODEI_FOUND_FOREIGN;
    lodei_fork_check();
    lodei_quiet();
    enum lodei_finding found = lodei_classify(p, ret_span);
    lodei_loud();
    return found;
}

void lodei_free_slow(void *p)
{
    struct lodei_span *span;
    if (p == NULL)
        return;
    enum lodei_finding found = classify_live(p, &span);
    lodei_quiet();
    switch (found) {
    case LODEI_FOUND_BLOCK:
        trace_free(p);
        lodei_block_free(span, p);
        break;
    case LODEI_FOUND_LARGE:
        trace_free(p);
        if (!lodei_large_free(span, p))
            lodei_misuse(LODEI_VERB_FREE, LODEI_FOUND_FREE, p);
        break;
    case LODEI_FOUND_FOREIGN:
        if (is_outside(p) && lodei_foreign.free != NULL && lodei_foreign.free(p))
            break;
        /* fall through */
    default:
        lodei_misuse(LODEI_VERB_FREE, found, p);
    }
    lodei_loud();
    lodei_purge_consider(__builtin_return_address(0));
}

/* The list has grown past its capacity. */
void lodei_free_overflow(struct lodei_theap *th, struct lodei_bin *bin)
{
    lodei_fork_check();
    lodei_bin_overflow(th, bin);
    lodei_purge_consider(__builtin_return_address(0));
}

/* ---- size and realloc ---- */

static size_t span_usable(const struct lodei_span *span, enum lodei_finding found)
{
    return found == LODEI_FOUND_LARGE ? span->large_bytes : span->block_bytes;
}

size_t lode_usable_size(const void *p)
{
    struct lodei_span *span;
    size_t bytes = 0;
    if (p == NULL)
        return 0;
    enum lodei_finding found = classify_live(p, &span);
    if (found == LODEI_FOUND_BLOCK || found == LODEI_FOUND_LARGE) {
        if (lodei_on_valgrind)
            lodei_valgrind_usable_asked((void *)(uintptr_t)p);
        return span_usable(span, found);
    }
    if (found == LODEI_FOUND_FOREIGN && is_outside(p) && lodei_foreign.usable != NULL &&
        lodei_foreign.usable(p, &bytes))
        return bytes;
    lodei_misuse(LODEI_VERB_USABLE, found, p);
    return 0;
}

size_t lode_good_size(size_t bytes)
{
    if (bytes <= LODEI_MEDIUM_MAX) {
        if (lodei_init() != 0)
            return 0;
        return lodei_classes[lodei_class_of(bytes)].block_bytes;
    }
    if (bytes > PTRDIFF_MAX - LODEI_SLICE_BYTES)
        return 0;
    return lodei_round_up(bytes, lodei_page_bytes);
}

/* A new block of the same heap with the old contents; the old one is freed. */
static void *move_block(struct lodei_span *span, enum lodei_finding found, void *p, size_t bytes)
{
    struct lode_heap *heap = span->heap;
    struct lodei_theap *th = real_theap();
    if (th != NULL && th->heap != heap)
        th = lodei_theap_get(heap);
    enum lodei_zero zero = LODEI_ZERO_ANY;
    void *to = alloc_from(th, bytes, 16, &zero);
    if (to == NULL)
        return NULL;
    size_t have = lodei_on_valgrind ? lodei_valgrind_announced(p) : span_usable(span, found);
    lodei_quiet(); /* parts of the block may be closed to the program */
    memcpy(to, p, lodei_min(have, bytes));
    lodei_loud();
    lodei_free_slow(p);
    return to;
}

/* As move_block, but a block that shrinks stays where it is when memory is short. */
static void *move_or_keep(struct lodei_span *span, enum lodei_finding found, void *p, size_t bytes)
{
    int saved = errno;
    void *to = move_block(span, found, p, bytes);
    if (to != NULL || bytes > span_usable(span, found))
        return to;
    errno = saved;
    return p;
}

static void *resize_large(struct lodei_span *span, void *p, size_t bytes)
{
    /* A block that shrinks below the large sizes moves among its kind. */
    if (bytes <= LODEI_MEDIUM_MAX)
        return move_or_keep(span, LODEI_FOUND_LARGE, p, bytes);
    /* The record of the old address must be gone before anyone can be given that address again. */
    struct lodei_thread *tracing = trace_enter();
    size_t old_bytes = lodei_on_valgrind ? lodei_valgrind_announced(p) : span->large_bytes;
    if (tracing != NULL)
        lodei_state.tracer->on_free(p);
    lodei_quiet();
    void *to = lodei_large_resize(span, p, bytes);
    lodei_loud();
    if (tracing != NULL) {
        lodei_state.tracer->on_alloc(to != NULL ? to : p, to != NULL ? bytes : old_bytes);
        trace_leave(tracing);
    }
    if (lodei_on_valgrind)
        lodei_valgrind_kept(to != NULL ? to : p,
                            to != NULL ? lodei_min(old_bytes, bytes) : old_bytes);
    if (to == NULL)
        return move_block(span, LODEI_FOUND_LARGE, p, bytes);
    lodei_asan_alloc(to);
    return to;
}

void *lode_realloc(void *p, size_t bytes)
{
    struct lodei_span *span;
    if (p == NULL)
        return lode_malloc(bytes);
    if (lode_unlikely(bytes > PTRDIFF_MAX)) {
        errno = ENOMEM;
        return NULL;
    }
    enum lodei_finding found = classify_live(p, &span);
    if (lodei_state.tracer != NULL)
        (void)real_theap(); /* a thread that never allocated cannot trace yet */
    if (found == LODEI_FOUND_LARGE) {
        void *resized = resize_large(span, p, bytes);
        if (lode_theap_self->real != NULL)
            lodei_theap_tick(lode_theap_self->real);
        lodei_purge_consider(__builtin_return_address(0));
        return resized;
    }
    if (found == LODEI_FOUND_BLOCK) {
        /* In place unless more than half of the block would lie idle. */
        int fits = bytes <= span->block_bytes;
        if (fits && (bytes >= span->block_bytes / 2 || lodei_class_of(bytes) == span->class)) {
            trace_resize(p, bytes);
            return p;
        }
        return move_or_keep(span, found, p, bytes);
    }
    void *to;
    if (found == LODEI_FOUND_FOREIGN && is_outside(p) && lodei_foreign.realloc != NULL &&
        lodei_foreign.realloc(p, bytes, &to))
        return to;
    lodei_misuse(LODEI_VERB_REALLOC, found, p);
    errno = ENOMEM;
    return NULL;
}

/* ---- the same under lode_ names, and on a chosen heap ---- */

void *lode_malloc(size_t bytes)
{
    return lodei_malloc_fast(lode_theap_self, bytes);
}

void *lode_calloc(size_t count, size_t bytes)
{
    if (__builtin_mul_overflow(count, bytes, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return lodei_calloc_slow(bytes);
}

/* The theap of this thread that p is of, where the slice table tells it; else its current one, with
 * which the fast free comes to the same slow path. */
static struct lodei_theap *free_theap(const void *p)
{
    struct lodei_theap *th = lode_theap_self;
    size_t slice = ((uintptr_t)p - (uintptr_t)th->base) >> LODEI_SLICE_LOG2;
    if (lode_unlikely(slice >= th->slice_count || lodei_state.tracer != NULL))
        return th;
    struct lodei_bin **table = (struct lodei_bin **)(void *)(th->base + LODEI_TABLE_OFFSET);
    /* relaxed, both: as in lodei_free_fast(); and the owner's thread can equal this one's only if
     * this thread wrote it */
    struct lodei_bin *bin = __atomic_load_n(&table[slice], __ATOMIC_RELAXED);
    if (bin != lodei_state.no_bin && bin->owner != th &&
        __atomic_load_n(&bin->owner->thread, __ATOMIC_RELAXED) == th->thread)
        return bin->owner;
    return th;
}

void lode_free(void *p)
{
    lodei_free_fast(free_theap(p), p);
}

static int bad_alignment(size_t align)
{
    if (lodei_is_power_of_two(align))
        return 0;
    errno = EINVAL;
    return 1;
}

void *lode_aligned_alloc(size_t align, size_t bytes)
{
    return bad_alignment(align) ? NULL : lodei_aligned(align, bytes);
}

void *lode_heap_alloc(struct lode_heap *heap, size_t bytes)
{
    enum lodei_zero zero = LODEI_ZERO_ANY;
    struct lodei_theap *th = lodei_theap_peek(heap);
    if (lode_likely(th != NULL && bytes <= LODEI_TINY_MAX && lodei_state.tracer == NULL)) {
        struct lodei_bin *bin = th->bin_of[(bytes + 15) / 16];
        void *p = lodei_bin_pop(th, bin);
        if (lode_likely(p != NULL)) {
            /* The next one's link is what the next call waits for: pools fill what they get at
             * once, and meanwhile it comes. */
            __builtin_prefetch(bin->head, 1);
            lodei_asan_alloc(p);
            return p;
        }
    }
    return alloc_from(th != NULL ? th : lodei_theap_get(heap), bytes, 16, &zero);
}

void *lode_heap_calloc(struct lode_heap *heap, size_t count, size_t bytes)
{
    enum lodei_zero zero = LODEI_ZERO_WANTED;
    if (__builtin_mul_overflow(count, bytes, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    void *p = alloc_from(lodei_theap_get(heap), bytes, 16, &zero);
    return zeroed(p, bytes, zero);
}

void *lode_heap_aligned_alloc(struct lode_heap *heap, size_t align, size_t bytes)
{
    enum lodei_zero zero = LODEI_ZERO_ANY;
    return bad_alignment(align) ? NULL : alloc_from(lodei_theap_get(heap), bytes, align, &zero);
}

int lode_block_find(const void *p, struct lode_block_info *ret_info)
{
    if (lodei_state.base == NULL || lodei_slice_of(p) >= lodei_state.slice_count)
        return -ENOENT;
    struct lodei_span *span = lodei_span_of(lodei_slice_of(p));
    if (span == NULL)
        return -ENOENT;
    size_t offset = (size_t)((const char *)p - lodei_span_start(span));
    char *start = lodei_span_start(span);
    size_t usable = span->large_bytes;
    if (span->theap != NULL) {
        usable = span->block_bytes;
        /* relaxed: pairs with set_carved(); it only grows, and a live block is below it */
        if (offset / usable >= __atomic_load_n(&span->carved, __ATOMIC_RELAXED))
            return -ENOENT;
        start += offset / usable * usable;
    } else if (offset >= usable) {
        return -ENOENT;
    }
    *ret_info = (struct lode_block_info){.heap = span->heap,
                                         .start = start,
                                         .usable_bytes = usable,
                                         .tag = span->heap->tag,
                                         .kind = span->heap->kind};
    return 0;
}

int lodei_tracer_install(const struct lodei_tracer *tracer)
{
    if (tracer->abi != LODEI_TRACER_ABI)
        return -EINVAL;
    if (lodei_state.tracer != NULL)
        return -EBUSY;
    struct lodei_theap *th = real_theap();
    if (th == NULL)
        return -ENOMEM;
    lodei_state.tracer = tracer;
    lodei_theap_select(th);
    return 0;
}
