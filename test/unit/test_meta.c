/* SPDX-License-Identifier: MIT */
/* heap/meta.c: the reservation and the storage of the heap's own structures. */
#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>
#include <sys/resource.h>

#include "blockset.h"
#include "heap/heaps.h"
#include "heap/meta.h"
#include "heap/sizeclass.h"
#include "heaplook.h"

static void start(void)
{
    cr_assert_eq(lodei_init(), 0);
}

TestSuite(meta, .init = start);

Test(meta, layout)
{
    struct lodei_state *s = &lodei_state;
    size_t rows = s->segment_count * LODEI_SEGMENT_SLICES;
    char *table_end = (char *)(s->slice_table + rows);
    char *spans_end = s->spans + rows * LODEI_SPAN_STRIDE;
    cr_assert_eq((uintptr_t)s->base % LODEI_SLICE_BYTES, 0);
    cr_assert_leq(table_end, (char *)s->segments);
    cr_assert_leq((char *)(s->segments + s->segment_count), s->meta_start);
    cr_assert_leq(s->meta_end, s->spans);
    cr_assert_leq(spans_end, lodei_slice_start(s->head_slices));
    cr_assert_eq(s->slice_count * LODEI_SLICE_BYTES, s->reserved_bytes);
    cr_assert_eq(s->segment_count * LODEI_SEGMENT_BYTES, s->reserved_bytes);
    cr_assert_eq(heaplook_stats(NULL).reserved_bytes, s->reserved_bytes);
    cr_assert_eq(lodei_init(), 0, "a second time changes nothing");
}

/* The top byte marks free blocks: unlike that of pointers, small integers, text or floats. */
Test(meta, key)
{
    uintptr_t key = lodei_state.key;
    cr_assert(key >> 56 >= 0x82 && key >> 56 <= 0xb1);
    cr_assert_neq(key << 8, 0);
    cr_assert_eq(lodei_state.nil->next, lodei_state.nil);
    cr_assert_neq(lodei_state.nil->check, lodei_block_check(lodei_state.nil, lodei_state.nil, key));
}

Test(meta, storage)
{
    char *last = NULL;
    for (size_t bytes = 1; bytes < 300000; bytes = bytes * 2 + 1) {
        char *p = lodei_meta_alloc(bytes);
        cr_assert_not_null(p);
        cr_assert_eq((uintptr_t)p % 64, 0);
        cr_assert_geq(p, last);
        cr_assert(blockset_is_zero(p, bytes));
        memset(p, 0xff, bytes);
        last = p + bytes;
    }
    cr_assert_eq(heaplook_unnamed_bytes(), 0);
    cr_assert_null(lodei_meta_alloc((size_t)1 << 40), "more than the arena");
    cr_assert_not_null(lodei_meta_alloc(64));
}

/* What was a theap is only ever a theap again: locks and generations survive. */
Test(meta, type_stable)
{
    struct lodei_theap *th = lodei_meta_theap_new();
    struct lode_heap *heap = lodei_meta_heap_new();
    struct lodei_thread *thread = lodei_meta_thread_new();
    heap->generation = 41;
    thread->tag_depth = 3;
    lodei_meta_theap_free(th);
    lodei_meta_heap_free(heap);
    lodei_meta_thread_free(thread);
    cr_assert_eq(lodei_meta_theap_new(), th);
    cr_assert_eq(lodei_meta_heap_new(), heap);
    cr_assert_eq(heap->generation, 41);
    cr_assert_eq(lodei_meta_thread_new(), thread);
    cr_assert_eq(thread->tag_depth, 0, "a thread's record starts afresh");
    cr_assert_neq(lodei_meta_theap_new(), th);
    cr_assert_neq(lodei_meta_heap_new(), heap);
    cr_assert_neq(lodei_meta_thread_new(), thread);
}
