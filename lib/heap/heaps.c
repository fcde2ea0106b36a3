/* SPDX-License-Identifier: MIT */
/*
 * Owns the heaps, their thread heaps (theaps) and the threads' records.
 *
 * A heap knows all its theaps; a thread finds its part of a heap in its own table, where a row is
 * valid only while its generation is the heap's. So a heap can be destroyed while threads that used
 * it sleep.
 *
 * registry_lock guards the lists of heaps and threads; heap->lock a heap's lists of theaps, orphans
 * and large blocks and who a theap's thread is.
 */
#include "heap/heaps.h"

#include <errno.h>
#include <string.h>

#include "base/print.h"
#include "heap/alloc.h"
#include "heap/meta.h"
#include "heap/purge.h"
#include "heap/sizeclass.h"
#include "heap/slices.h"
#include "heap/span.h"
#include "heap/trace.h"
#include "heap/valgrind.h"

/* What the bins of the empty theap end on before there is a reservation. Its words are wrong. */
static struct lodei_block no_block = {.next = &no_block, .check = 0};

__extension__ static struct lodei_theap empty_theap = {
    .bin_of = {[0 ... LODEI_TINY_MAX / 16] = &empty_theap.bins[0]},
    .bins = {{.head = &no_block}},
};

_Thread_local struct lodei_theap *lode_theap_self __attribute__((tls_model("initial-exec"))) =
    &empty_theap;
static _Thread_local struct lodei_thread *thread_self __attribute__((tls_model("initial-exec")));
/* How often this thread's end was announced; from END_ROUNDS on it keeps nothing any more. */
static _Thread_local int thread_ended __attribute__((tls_model("initial-exec")));

#define END_ROUNDS 3

void (*lodei_thread_started)(void);

/* ---- thread heaps ---- */

void lodei_theap_refresh(struct lodei_theap *th)
{
    /* acquire: pairs with the release in open_segment() */
    th->slice_count =
        __atomic_load_n(&lodei_state.segments_opened, __ATOMIC_ACQUIRE) * LODEI_SEGMENT_SLICES;
}

static void bins_reset(struct lodei_theap *th)
{
    for (unsigned c = 0; c < LODEI_CLASS_COUNT; c++) {
        const struct lodei_class *k = &lodei_classes[c];
        int32_t capacity = k->list_min;
        th->bins[c] = (struct lodei_bin){.head = lodei_state.nil,
                                         .owner = th,
                                         .room = capacity,
                                         .capacity = capacity,
                                         .reciprocal = k->reciprocal};
    }
}

static struct lodei_theap *theap_create(struct lode_heap *heap)
{
    struct lodei_theap *th = lodei_meta_theap_new();
    if (th == NULL)
        return NULL;
    lodei_lock_take(&th->lock);
    th->base = lodei_state.base;
    lodei_theap_refresh(th);
    th->key = lodei_state.key;
    th->real = th;
    th->heap = heap;
    th->lost = th->abandoned = 0;
    th->tick_ms = 0;
    for (size_t bytes = 0; bytes <= LODEI_TINY_MAX; bytes += 16)
        th->bin_of[bytes / 16] = &th->bins[lodei_class_of(bytes)];
    bins_reset(th);
    memset(th->outboxes, 0, sizeof(th->outboxes));
    th->retained = NULL;
    lodei_list_init(&th->spans);
    lodei_list_init(&th->purgeable);
    lodei_list_init(&th->orphan_link);
    for (unsigned c = 0; c < LODEI_CLASS_COUNT; c++) {
        th->shelves[c] = (struct lodei_shelf){.inbox = NULL};
        lodei_list_init(&th->shelves[c].partial);
    }
    lodei_lock_drop(&th->lock);
    return th;
}

/* A theap of `heap` for `thread`: an orphan, lists and all, or a new one. */
static struct lodei_theap *theap_obtain(struct lode_heap *heap, struct lodei_thread *thread)
{
    struct lodei_theap *th = NULL;
    lodei_lock_take(&heap->lock);
    if (!lodei_list_empty(&heap->orphans)) {
        th = lode_container_of(heap->orphans.next, struct lodei_theap, orphan_link);
        lodei_list_remove(&th->orphan_link);
        if (th->lost) {
            bins_reset(th);
            memset(th->outboxes, 0, sizeof(th->outboxes));
            th->lost = 0;
        }
        /* relaxed: only this thread acts on its own name; others test for NULL under th->lock */
        __atomic_store_n(&th->thread, thread, __ATOMIC_RELAXED);
    }
    lodei_lock_drop(&heap->lock);
    if (th != NULL)
        return th;
    th = theap_create(heap);
    if (th == NULL)
        return NULL;
    lodei_lock_take(&heap->lock);
    __atomic_store_n(&th->thread, thread, __ATOMIC_RELAXED);
    lodei_list_push_back(&heap->theaps, &th->heap_link);
    lodei_lock_drop(&heap->lock);
    return th;
}

/* Give `th` up, unless another thread has destroyed `heap`, and `th` with it, since `generation`.
 */
static void theap_orphan(struct lodei_theap *th, struct lode_heap *heap, uint32_t generation)
{
    lodei_lock_take(&heap->lock);
    if (heap->generation == generation) {
        lodei_theap_deliver_all(th);
        th->flushed = 0;
        __atomic_store_n(&th->thread, NULL, __ATOMIC_RELAXED);
        lodei_list_push_back(&heap->orphans, &th->orphan_link);
    }
    lodei_lock_drop(&heap->lock);
}

static struct lodei_theap *twin_of(struct lodei_theap *th)
{
    if (th->twin != NULL)
        return th->twin;
    size_t bytes = offsetof(struct lodei_theap, bins) + sizeof(struct lodei_bin);
    struct lodei_theap *twin = lodei_meta_alloc(bytes);
    if (twin == NULL)
        return th;
    twin->base = th->base;
    twin->slice_count = th->slice_count;
    twin->key = th->key;
    twin->real = th;
    for (size_t i = 0; i <= LODEI_TINY_MAX / 16; i++)
        twin->bin_of[i] = &twin->bins[0];
    twin->bins[0].head = lodei_state.nil;
    th->twin = twin;
    return twin;
}

void lodei_theap_select(struct lodei_theap *th)
{
    lode_theap_self = lodei_state.tracer != NULL ? twin_of(th) : th;
}

/* ---- threads ---- */

struct lodei_thread *lodei_thread_peek(void)
{
    return thread_self;
}

int lodei_thread_is_past_end(void)
{
    return thread_ended > 0;
}

struct lodei_thread *lodei_thread_get(void)
{
    lodei_fork_check();
    if (lode_likely(thread_self != NULL))
        return thread_self;
    if (lodei_init() != 0)
        return NULL;
    struct lodei_thread *thread = lodei_meta_thread_new();
    if (thread == NULL)
        return NULL;
    thread->theap = theap_obtain(lodei_state.default_heap, thread);
    if (thread->theap == NULL) {
        lodei_meta_thread_free(thread);
        return NULL;
    }
    lodei_lock_take(&lodei_state.registry_lock);
    lodei_list_push_back(&lodei_state.threads, &thread->registry_link);
    lodei_lock_drop(&lodei_state.registry_lock);
    thread_self = thread;
    lodei_theap_select(thread->theap);
    if (lodei_thread_started != NULL && thread_ended < END_ROUNDS)
        lodei_thread_started();
    return thread;
}

void lodei_thread_settle(void)
{
    if (lode_unlikely(thread_ended >= END_ROUNDS))
        lodei_thread_finish();
}

static int part_is_valid(const struct lodei_part *part)
{
    /* relaxed: it differs only when the heap is gone, and then nobody may be using it */
    return part->theap != NULL &&
           part->generation == __atomic_load_n(&part->heap->generation, __ATOMIC_RELAXED);
}

void lodei_thread_finish(void)
{
    struct lodei_thread *thread = thread_self;
    thread_ended++;
    if (thread == NULL)
        return;
    lodei_quiet();
    lode_theap_self = &empty_theap;
    thread_self = NULL;
    struct lode_heap *heap = thread->theap->heap;
    theap_orphan(thread->theap, heap, heap->generation);
    size_t rows = thread->parts != NULL ? (size_t)1 << thread->parts_log2 : 0;
    for (size_t i = 0; i < rows; i++)
        if (thread->parts[i].theap != NULL)
            theap_orphan(thread->parts[i].theap, thread->parts[i].heap,
                         thread->parts[i].generation);
    lodei_lock_take(&lodei_state.registry_lock);
    lodei_list_remove(&thread->registry_link);
    lodei_lock_drop(&lodei_state.registry_lock);
    lodei_meta_thread_free(thread);
    lodei_loud();
}

static void theap_empty(struct lodei_theap *th)
{
    lodei_theap_deliver_all(th);
    lodei_theap_flush(th);
}

void lodei_thread_flush(void)
{
    struct lodei_thread *thread = thread_self;
    if (thread == NULL)
        return;
    lodei_quiet();
    theap_empty(thread->theap);
    size_t rows = thread->parts != NULL ? (size_t)1 << thread->parts_log2 : 0;
    for (size_t i = 0; i < rows; i++) {
        struct lodei_part *part = &thread->parts[i];
        if (part->theap == NULL)
            continue;
        /* Another thread may destroy the heap meanwhile: this one is not using it. */
        lodei_lock_take(&part->heap->lock);
        if (part_is_valid(part))
            theap_empty(part->theap);
        lodei_lock_drop(&part->heap->lock);
    }
    lodei_loud();
}

int lodei_theap_is_mine(const struct lodei_theap *th)
{
    return thread_self != NULL && th->thread == thread_self;
}

void lodei_threads_forked(void)
{
    struct lodei_list *at = lodei_state.threads.next, *next;
    for (; at != &lodei_state.threads; at = next) {
        struct lodei_thread *thread = lode_container_of(at, struct lodei_thread, registry_link);
        next = at->next;
        if (thread != thread_self)
            lodei_list_remove(at);
    }
    for (at = lodei_state.heaps.next; at != &lodei_state.heaps; at = at->next) {
        struct lode_heap *heap = lode_container_of(at, struct lode_heap, registry_link);
        struct lodei_list *l = heap->theaps.next;
        for (; l != &heap->theaps; l = l->next) {
            struct lodei_theap *th = lode_container_of(l, struct lodei_theap, heap_link);
            if (!th->abandoned)
                lodei_theap_forked(th);
            if (th->thread == NULL || th->thread == thread_self)
                continue;
            th->thread = NULL;
            th->lost = 1;
            if (!th->abandoned)
                lodei_list_push_back(&heap->orphans, &th->orphan_link);
        }
    }
}

/* ---- a thread's parts of heaps other than the default one ---- */

static struct lodei_part *part_slot(struct lodei_part *parts, uint32_t log2,
                                    const struct lode_heap *heap)
{
    size_t mask = ((size_t)1 << log2) - 1;
    size_t i = ((uintptr_t)heap * 0x9e3779b97f4a7c15u) >> (64 - log2);
    while (parts[i].theap != NULL && parts[i].heap != heap)
        i = (i + 1) & mask;
    return &parts[i];
}

#define PARTS_LOG2_FIRST 6

/*
 * Make room for one more row. The table stays with the thread's record when the record is reused;
 * an outgrown one is lost, which over all growth is less than the last one's size.
 */
static int parts_grow(struct lodei_thread *thread)
{
    uint32_t log2 = thread->parts == NULL ? PARTS_LOG2_FIRST : thread->parts_log2 + 1;
    struct lodei_part *parts = lodei_meta_alloc(sizeof(struct lodei_part) << log2);
    if (parts == NULL)
        return -ENOMEM;
    size_t rows = thread->parts != NULL ? (size_t)1 << thread->parts_log2 : 0;
    thread->parts_count = 0;
    for (size_t i = 0; i < rows; i++) {
        if (!part_is_valid(&thread->parts[i]))
            continue;
        *part_slot(parts, log2, thread->parts[i].heap) = thread->parts[i];
        thread->parts_count++;
    }
    thread->parts = parts;
    thread->parts_log2 = log2;
    return 0;
}

struct lodei_theap *lodei_theap_peek(struct lode_heap *heap)
{
    struct lodei_thread *thread = thread_self;
    if (thread == NULL)
        return NULL;
    if (lode_likely(thread->theap->heap == heap))
        return thread->theap;
    if (thread->parts == NULL)
        return NULL;
    struct lodei_part *part = part_slot(thread->parts, thread->parts_log2, heap);
    return part_is_valid(part) ? part->theap : NULL;
}

struct lodei_theap *lodei_theap_get(struct lode_heap *heap)
{
    struct lodei_thread *thread = lodei_thread_get();
    if (thread == NULL)
        return NULL;
    struct lodei_theap *th = lodei_theap_peek(heap);
    if (th != NULL)
        return th;
    /* relaxed: a destroy that is not over when this is called is a misuse of its own */
    if (__atomic_load_n(&heap->generation, __ATOMIC_RELAXED) % 2 == 0)
        lodei_fatal("use of a destroyed heap", heap);
    if (thread->parts == NULL || (thread->parts_count + 1) * 2 > 1u << thread->parts_log2)
        if (parts_grow(thread) != 0)
            return NULL;
    th = theap_obtain(heap, thread);
    if (th == NULL)
        return NULL;
    struct lodei_part *part = part_slot(thread->parts, thread->parts_log2, heap);
    thread->parts_count += part->theap == NULL;
    *part = (struct lodei_part){.theap = th, .heap = heap, .generation = heap->generation};
    return th;
}

/* ---- heaps ---- */

static struct lode_heap *heap_new(enum lode_kind kind, uint16_t tag, const char *name)
{
    struct lode_heap *heap = lodei_meta_heap_new();
    if (heap == NULL)
        return NULL;
    heap->tag = tag;
    heap->kind = (uint8_t)kind;
    heap->by_tag = 0;
    memset(heap->name, 0, sizeof(heap->name));
    if (name != NULL)
        strncpy(heap->name, name, sizeof(heap->name) - 1);
    lodei_lock_take(&heap->lock);
    lodei_list_init(&heap->theaps);
    lodei_list_init(&heap->orphans);
    lodei_list_init(&heap->larges);
    heap->large_bytes = heap->large_slices = heap->large_count = 0;
    /* Odd already where lode_tag_push() lost a race and gave the heap back unused. */
    __atomic_store_n(&heap->generation, (heap->generation + 1) | 1, __ATOMIC_RELAXED);
    lodei_lock_drop(&heap->lock);
    return heap;
}

static void heap_register(struct lode_heap *heap)
{
    lodei_lock_take(&lodei_state.registry_lock);
    lodei_list_push_back(&lodei_state.heaps, &heap->registry_link);
    lodei_lock_drop(&lodei_state.registry_lock);
}

int lodei_heaps_init(void)
{
    struct lode_heap *heap = heap_new(LODE_KIND_SYSTEM, 0, "default");
    if (heap == NULL)
        return -ENOMEM;
    heap_register(heap);
    /* release: pairs with the acquire in lodei_init(): who sees the heap sees the whole state */
    __atomic_store_n(&lodei_state.default_heap, heap, __ATOMIC_RELEASE);
    return 0;
}

static int opts_copy(struct lode_heap_opts *to, const struct lode_heap_opts *from)
{
    *to = (struct lode_heap_opts)LODE_HEAP_OPTS_INIT;
    if (from == NULL)
        return 0;
    if (from->size < sizeof(uint32_t))
        return -EINVAL;
    for (size_t i = sizeof(*to); i < from->size; i++)
        if (((const char *)from)[i] != 0)
            return -E2BIG;
    memcpy(to, from, lodei_min(from->size, sizeof(*to)));
    return 0;
}

int lode_heap_create(const struct lode_heap_opts *opts, struct lode_heap **ret_heap)
{
    struct lode_heap_opts o;
    int r = opts_copy(&o, opts);
    if (r != 0)
        return r;
    if (o.kind > LODE_KIND_USER || o.flags != 0 || o.reserved != 0)
        return -EINVAL;
    if (o.kind != LODE_KIND_SYSTEM && o.kind != LODE_KIND_HUGE)
        return -ENOTSUP;
    if (lodei_init() != 0)
        return -ENOMEM;
    struct lode_heap *heap = heap_new(o.kind, o.tag, o.name);
    if (heap == NULL)
        return -ENOMEM;
    heap_register(heap);
    *ret_heap = heap;
    return 0;
}

struct lode_heap *lode_heap_default(void)
{
    return lodei_init() == 0 ? lodei_state.default_heap : NULL;
}

/* Free the spans of one theap, whatever lies in them; the theap itself goes back to storage. */
static void theap_destroy(struct lodei_theap *th)
{
    lodei_theap_free_spans(th);
    th->thread = NULL;
    lodei_meta_theap_free(th);
}

static int block_is_gone(void *ctx, void *block, size_t usable_bytes)
{
    (void)ctx;
    (void)usable_bytes;
    lodei_state.tracer->on_free(block);
    return 0;
}

void lode_heap_destroy(struct lode_heap *heap)
{
    if (heap == NULL)
        return;
    if (heap == lodei_state.default_heap || heap->by_tag)
        lodei_fatal("destroy of a heap that malloc uses", heap);
    lodei_lock_take(&lodei_state.registry_lock);
    int listed = lodei_list_linked(&heap->registry_link);
    if (listed)
        lodei_list_remove(&heap->registry_link);
    lodei_lock_drop(&lodei_state.registry_lock);
    if (!listed)
        lodei_fatal("double destroy of heap", heap);

    if (lodei_state.tracer != NULL && lode_heap_walk(heap, NULL, block_is_gone, NULL) != 0)
        lodei_warn("no memory to trace the blocks of a destroyed heap");
    lodei_lock_take(&heap->lock);
    __atomic_store_n(&heap->generation, heap->generation + 1, __ATOMIC_RELAXED);
    lodei_lock_drop(&heap->lock);
    while (!lodei_list_empty(&heap->larges)) {
        struct lodei_span *span = lode_container_of(heap->larges.next, struct lodei_span, all);
        lodei_large_free(span, lodei_span_start(span));
    }
    while (!lodei_list_empty(&heap->theaps)) {
        struct lodei_theap *th =
            lode_container_of(heap->theaps.next, struct lodei_theap, heap_link);
        lodei_lock_take(&heap->lock);
        lodei_list_remove(&th->heap_link);
        lodei_lock_drop(&heap->lock);
        theap_destroy(th);
    }
    lodei_meta_heap_free(heap);
    lodei_purge_consider(__builtin_return_address(0));
}

int lode_heaps_enumerate(lode_heap_visitor visit, void *ctx)
{
    struct lode_heap *heaps[256];
    size_t n = 0, from = 0;
    if (lodei_init() != 0)
        return 0;
    do { /* in batches, since no lock is held while the visitor runs */
        size_t skip = from;
        n = 0;
        lodei_lock_take(&lodei_state.registry_lock);
        struct lodei_list *at = lodei_state.heaps.next;
        for (; at != &lodei_state.heaps && n < 256; at = at->next) {
            if (skip > 0)
                skip--;
            else
                heaps[n++] = lode_container_of(at, struct lode_heap, registry_link);
        }
        lodei_lock_drop(&lodei_state.registry_lock);
        for (size_t i = 0; i < n; i++) {
            int r = visit(ctx, heaps[i], heaps[i]->name, heaps[i]->tag, heaps[i]->kind);
            if (r != 0)
                return r;
        }
        from += n;
    } while (n == 256);
    return 0;
}

/* ---- tag scopes ---- */

#define TAGS 65536

static struct lode_heap *heap_of_tag(uint16_t tag)
{
    struct lodei_state *s = &lodei_state;
    if (tag == 0)
        return s->default_heap;
    lodei_lock_take(&s->registry_lock);
    if (s->heap_by_tag == NULL)
        s->heap_by_tag = lodei_meta_alloc(TAGS * sizeof(struct lode_heap *));
    struct lode_heap *heap = s->heap_by_tag != NULL ? s->heap_by_tag[tag] : NULL;
    int room = s->heap_by_tag != NULL;
    lodei_lock_drop(&s->registry_lock);
    if (heap != NULL || !room)
        return heap;
    heap = heap_new(LODE_KIND_SYSTEM, tag, "tag");
    if (heap == NULL)
        return NULL;
    heap->by_tag = 1;
    lodei_lock_take(&s->registry_lock);
    if (s->heap_by_tag[tag] == NULL) {
        s->heap_by_tag[tag] = heap;
        lodei_list_push_back(&s->heaps, &heap->registry_link);
        heap = NULL;
    }
    struct lode_heap *winner = s->heap_by_tag[tag];
    lodei_lock_drop(&s->registry_lock);
    if (heap != NULL)
        lodei_meta_heap_free(heap);
    return winner;
}

int lode_tag_push(uint16_t tag)
{
    struct lodei_thread *thread = lodei_thread_get();
    if (thread == NULL)
        return -ENOMEM;
    if (thread->tag_depth == LODEI_TAG_DEPTH)
        return -EOVERFLOW;
    struct lode_heap *heap = heap_of_tag(tag);
    struct lodei_theap *th = heap != NULL ? lodei_theap_get(heap) : NULL;
    if (th == NULL)
        return -ENOMEM;
    thread->tag_saved[thread->tag_depth++] = lode_theap_self->real;
    lodei_theap_select(th);
    return 0;
}

void lode_tag_pop(void)
{
    struct lodei_thread *thread = thread_self;
    if (thread == NULL || thread->tag_depth == 0)
        lodei_fatal("lode_tag_pop without lode_tag_push by thread", thread);
    lodei_theap_select(thread->tag_saved[--thread->tag_depth]);
}

uint16_t lode_tag_current(void)
{
    struct lodei_theap *th = lode_theap_self->real;
    return th != NULL ? th->heap->tag : 0;
}
