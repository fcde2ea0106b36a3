/* SPDX-License-Identifier: MIT */
/* heap/heaps.c: heaps made and destroyed by any thread, parts and orphans, tag scopes. */
#include <criterion/criterion.h>

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "base/conf.h"
#include "blockset.h"
#include "capture.h"
#include "heap/heaps.h"
#include "heap/misuse.h"
#include "heap/span.h"
#include "heaplook.h"

static struct blockset set;

static void start(void)
{
    blockset_init(&set, 51);
    lodei_conf.purge = LODEI_PURGE_OFF;
    cr_assert_not_null(lode_heap_default());
}

TestSuite(heaps, .init = start);
TestSuite(tags, .init = start);

static struct lode_heap *make(uint16_t tag, const char *name)
{
    struct lode_heap_opts o = LODE_HEAP_OPTS_INIT;
    struct lode_heap *heap = NULL;
    o.tag = tag;
    o.name = name;
    cr_assert_eq(lode_heap_create(&o, &heap), 0);
    cr_assert_not_null(heap);
    return heap;
}

static void fill(struct lode_heap *heap, int blocks)
{
    for (int i = 0; i < blocks; i++) {
        size_t bytes = blockset_size(&set, 1 << 20);
        char *p = lode_heap_alloc(heap, bytes);
        cr_assert_not_null(p);
        blockset_add(&set, p, bytes)->usable = lode_usable_size(p);
    }
}

static void fill_job(void *arg)
{
    fill(arg, 800);
}

static void destroy_job(void *arg)
{
    lode_heap_destroy(arg);
}

/* Nothing lives but what the test process held before, and no slice is in use. */
static void expect_nothing(void)
{
    cr_assert_eq(heaplook_stats(NULL).live_blocks, 0);
    cr_assert_eq(heaplook_stats(NULL).in_use_bytes, 0);
    cr_assert_eq(heaplook_unnamed_bytes(), 0);
    cr_assert_eq(lodei_state.used_slices, 0);
}

Test(heaps, destroy_frees_everything)
{
    for (int round = 0; round < 20; round++) {
        struct lode_heap *heap = make(0, NULL);
        fill(heap, 600);
        for (int i = 0; i < 200; i++)
            lode_free(blockset_remove(&set, blockset_below(&set, set.count)));
        cr_assert_eq(blockset_broken(&set), 0);
        lode_heap_destroy(heap);
        set.count = 0;
        expect_nothing();
    }
    lode_heap_destroy(NULL);
}

Test(heaps, destroyed_by_another_thread)
{
    struct lode_heap *heap = make(0, NULL);
    fill(heap, 800);
    heaplook_on_thread(destroy_job, heap);
    expect_nothing();
    /* This thread's part of it is stale now, also when the record serves again. */
    struct lode_heap *next = make(0, NULL);
    cr_assert_null(lodei_theap_peek(next));
    fill(next, 10);
    lode_heap_destroy(next);
    expect_nothing();
}

Test(heaps, destroyed_while_its_thread_sleeps)
{
    struct heaplook_worker w;
    heaplook_worker_start(&w);
    for (int round = 0; round < 10; round++) {
        struct lode_heap *heap = make(0, NULL);
        heaplook_worker_do(&w, fill_job, heap);
        for (int i = 0; i < 100; i++) /* frees that the sleeper never gets to see */
            lode_free(blockset_remove(&set, blockset_below(&set, set.count)));
        lode_heap_destroy(heap);
        set.count = 0;
        expect_nothing();
    }
    heaplook_worker_end(&w);
    expect_nothing();
}

Test(heaps, destroyed_after_its_thread_ended)
{
    struct lode_heap *heap = make(0, NULL);
    heaplook_on_thread(fill_job, heap);
    cr_assert_eq(heaplook_stats(heap).orphans, 1);
    lode_heap_destroy(heap);
    expect_nothing();
    cr_assert_eq(heaplook_stats(NULL).heaps, 1);
}

Test(heaps, many_at_once)
{
    struct lode_heap *heaps[600];
    size_t metadata = 0;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 600; i++) {
            heaps[i] = make((uint16_t)i, "many");
            blockset_add(&set, lode_heap_alloc(heaps[i], 100), 100)->usable = 112;
        }
        for (int i = 0; i < 600; i++) {
            struct lode_block_info info;
            cr_assert_eq(lode_block_find(set.all[i].at, &info), 0);
            cr_assert_eq(info.heap, heaps[i]);
            cr_assert_eq(info.tag, i);
        }
        cr_assert_eq(blockset_broken(&set), 0);
        for (int i = 0; i < 600; i++)
            lode_heap_destroy(heaps[i]);
        set.count = 0;
        expect_nothing();
        if (round > 0)
            cr_assert_eq(heaplook_stats(NULL).metadata_bytes, metadata, "records are reused");
        metadata = heaplook_stats(NULL).metadata_bytes;
    }
}

Test(heaps, options)
{
    struct {
        struct lode_heap_opts o;
        uint32_t more[4];
    } big = {.o = LODE_HEAP_OPTS_INIT};
    struct lode_heap *heap = NULL;
    big.o.size = sizeof(big);
    cr_assert_eq(lode_heap_create(&big.o, &heap), 0, "an unknown tail of zeros is fine");
    lode_heap_destroy(heap);
    heap = NULL;
    big.more[3] = 1;
    cr_assert_eq(lode_heap_create(&big.o, &heap), -E2BIG);
    struct lode_heap_opts o = LODE_HEAP_OPTS_INIT;
    o.size = 0;
    cr_assert_eq(lode_heap_create(&o, &heap), -EINVAL);
    o = (struct lode_heap_opts)LODE_HEAP_OPTS_INIT;
    o.flags = 1;
    cr_assert_eq(lode_heap_create(&o, &heap), -EINVAL);
    o = (struct lode_heap_opts)LODE_HEAP_OPTS_INIT;
    o.reserved = 1;
    cr_assert_eq(lode_heap_create(&o, &heap), -EINVAL);
    o = (struct lode_heap_opts)LODE_HEAP_OPTS_INIT;
    o.kind = LODE_KIND_USER + 1;
    cr_assert_eq(lode_heap_create(&o, &heap), -EINVAL);
    for (uint8_t kind = LODE_KIND_NODE; kind <= LODE_KIND_USER; kind++) {
        o.kind = kind;
        cr_assert_eq(lode_heap_create(&o, &heap), -ENOTSUP);
    }
    cr_assert_null(heap, "written only on success");
    cr_assert_eq(heaplook_stats(NULL).heaps, 1);
    cr_assert_eq(lode_heap_create(NULL, &heap), 0);
    lode_heap_destroy(heap);
}

/* A caller built before the later fields existed. */
Test(heaps, short_options)
{
    struct lode_heap_opts o;
    struct lode_heap *heap;
    memset(&o, 0xff, sizeof(o));
    o.size = offsetof(struct lode_heap_opts, kind);
    o.tag = 9;
    cr_assert_eq(lode_heap_create(&o, &heap), 0);
    cr_assert_eq(heap->tag, 9);
    cr_assert_eq(heap->kind, LODE_KIND_SYSTEM);
    lode_heap_destroy(heap);
}

struct seen {
    int count, stop_at;
    char names[512];
};

static int see(void *ctx, struct lode_heap *heap, const char *name, uint16_t tag,
               enum lode_kind kind)
{
    struct seen *seen = ctx;
    cr_assert_not_null(heap);
    cr_assert(kind == LODE_KIND_SYSTEM || kind == LODE_KIND_HUGE);
    cr_assert_eq(tag, heap->tag);
    if (seen->count < 3) {
        strcat(seen->names, name);
        strcat(seen->names, ";");
    }
    return ++seen->count == seen->stop_at ? 77 : 0;
}

Test(heaps, enumerate)
{
    struct seen seen = {.stop_at = -1};
    struct lode_heap *long_name = make(3, "a name of more than thirty-one letters is cut");
    for (int i = 0; i < 300; i++)
        make(4, NULL);
    cr_assert_eq(lode_heaps_enumerate(see, &seen), 0);
    cr_assert_eq(seen.count, 302);
    cr_assert_str_eq(seen.names, "default;a name of more than thirty-one ;;");
    seen = (struct seen){.stop_at = 2};
    cr_assert_eq(lode_heaps_enumerate(see, &seen), 77);
    cr_assert_eq(seen.count, 2);
    lode_heap_destroy(long_name);
}

Test(heaps, huge_kind)
{
    struct lode_heap_opts o = LODE_HEAP_OPTS_INIT;
    struct lode_heap *heap;
    struct lode_block_info info;
    o.kind = LODE_KIND_HUGE;
    cr_assert_eq(lode_heap_create(&o, &heap), 0);
    char *p = lode_heap_alloc(heap, 100), *big = lode_heap_calloc(heap, 3, 1 << 20);
    cr_assert_eq(lode_block_find(p, &info), 0);
    cr_assert_eq(info.kind, LODE_KIND_HUGE);
    cr_assert(blockset_is_zero(big, 3 << 20));
    memset(big, 1, 3 << 20);
    big = lode_realloc(big, 9 << 20);
    cr_assert_eq(big[(3 << 20) - 1], 1);
    cr_assert_eq(lode_block_find(big, &info), 0);
    cr_assert_eq(info.heap, heap);
    lode_heap_destroy(heap);
    expect_nothing();
}

/* realloc stays in the block's heap, whatever this thread's malloc uses. */
Test(heaps, realloc_stays)
{
    struct lode_heap *heap = make(5, NULL);
    struct lode_block_info info;
    char *p = lode_heap_alloc(heap, 40);
    for (size_t bytes = 40; bytes < 8 << 20; bytes = bytes * 2 + 1) {
        p = lode_realloc(p, bytes);
        cr_assert_eq(lode_block_find(p, &info), 0);
        cr_assert_eq(info.heap, heap);
    }
    lode_heap_destroy(heap);
    expect_nothing();
}

/* ---- orphans ---- */

static struct lodei_theap *last_theap;

static void use_default_job(void *arg)
{
    for (int i = 0; i < 300; i++) {
        size_t bytes = blockset_size(&set, 3000);
        void *p = lode_malloc(bytes);
        blockset_add(&set, p, bytes)->usable = lode_usable_size(p);
    }
    for (int i = 0; i < 100; i++)
        lode_free(blockset_remove(&set, blockset_below(&set, set.count)));
    last_theap = lodei_theap_peek(lode_heap_default());
    (void)arg;
}

Test(heaps, orphans_are_adopted)
{
    size_t metadata = 0;
    struct lodei_theap *first = NULL;
    for (int i = 0; i < 30; i++) {
        heaplook_on_thread(use_default_job, NULL);
        first = first != NULL ? first : last_theap;
        cr_assert_eq(last_theap, first, "one after the other, they share one thread heap");
        cr_assert_null(first->thread);
        cr_assert_eq(heaplook_stats(NULL).orphans, 1);
        cr_assert_eq(heaplook_stats(NULL).live_blocks, set.count);
        if (i > 0)
            cr_assert_eq(heaplook_stats(NULL).metadata_bytes, metadata);
        metadata = heaplook_stats(NULL).metadata_bytes;
    }
    /* The main thread had no part so far: it adopts this one by its first allocation. */
    lode_free(lode_malloc(1));
    cr_assert_eq(lodei_theap_peek(lode_heap_default()), first);
    cr_assert_eq(heaplook_stats(NULL).orphans, 0);
    while (set.count > 0) {
        cr_assert(blockset_intact(&set, 0));
        lode_free(blockset_remove(&set, 0));
    }
    cr_assert_eq(heaplook_stats(NULL).live_blocks, 0);
}

static void free_all_job(void *arg)
{
    (void)arg;
    while (set.count > 0)
        lode_free(blockset_remove(&set, set.count - 1));
}

/* Blocks of an orphan can be freed by anyone; its spans go home though it never wakes. */
Test(heaps, frees_into_an_orphan)
{
    lode_free(lode_malloc(1));
    heaplook_on_thread(use_default_job, NULL);
    struct lodei_theap *orphan = last_theap;
    cr_assert_not(lodei_list_empty(&orphan->spans));
    heaplook_on_thread(free_all_job, NULL);
    lode_purge();
    cr_assert_eq(heaplook_stats(NULL).live_blocks, 0);
    cr_assert(lodei_list_empty(&orphan->spans));
    expect_nothing();
}

/* ---- tags ---- */

static uint16_t tag_of(const void *p)
{
    struct lode_block_info info;
    cr_assert_eq(lode_block_find(p, &info), 0);
    return info.tag;
}

Test(tags, route_malloc)
{
    cr_assert_eq(lode_tag_current(), 0);
    char *plain = lode_malloc(100);
    cr_assert_eq(lode_tag_push(7), 0);
    cr_assert_eq(lode_tag_current(), 7);
    char *seven = lode_malloc(100), *big = lode_calloc(1, 1 << 20),
         *al = lode_aligned_alloc(256, 9);
    cr_assert_eq(lode_tag_push(8), 0);
    char *eight = lode_malloc(100);
    cr_assert_eq(lode_tag_push(0), 0);
    char *none = lode_malloc(100);
    lode_tag_pop();
    cr_assert_eq(lode_tag_current(), 8);
    lode_tag_pop();
    char *seven2 = lode_malloc(5000);
    lode_free(plain);
    lode_tag_pop();
    char *plain2 = lode_malloc(100);
    cr_assert_eq(tag_of(seven), 7);
    cr_assert_eq(tag_of(big), 7);
    cr_assert_eq(tag_of(al), 7);
    cr_assert_eq(tag_of(seven2), 7);
    cr_assert_eq(tag_of(eight), 8);
    cr_assert_eq(tag_of(none), 0);
    cr_assert_eq(tag_of(plain2), 0);
    lode_free(seven);
    lode_free(eight);
    cr_assert_eq(heaplook_stats(NULL).live_blocks, 5);
}

static void tag_job(void *arg)
{
    cr_assert_eq(lode_tag_current(), 0, "scopes belong to a thread");
    cr_assert_eq(lode_tag_push(*(uint16_t *)arg), 0);
    blockset_add(&set, lode_malloc(64), 64)->usable = 64;
    /* and ends inside the scope */
}

Test(tags, one_heap_for_all_threads)
{
    uint16_t tag = 65535;
    struct lode_block_info info, other;
    cr_assert_eq(lode_tag_push(tag), 0);
    void *mine = lode_malloc(64);
    for (int i = 0; i < 5; i++)
        heaplook_on_thread(tag_job, &tag);
    cr_assert_eq(lode_block_find(mine, &info), 0);
    for (int i = 0; i < 5; i++) {
        cr_assert_eq(lode_block_find(set.all[i].at, &other), 0);
        cr_assert_eq(other.heap, info.heap);
        lode_free(set.all[i].at);
    }
    cr_assert_eq(heaplook_stats(NULL).live_blocks, 1);
    lode_tag_pop();
    cr_assert_eq(lode_tag_current(), 0);
}

Test(tags, depth)
{
    for (int i = 0; i < 16; i++)
        cr_assert_eq(lode_tag_push((uint16_t)(i + 1)), 0);
    cr_assert_eq(lode_tag_push(99), -EOVERFLOW);
    for (int i = 16; i > 0; i--) {
        cr_assert_eq(lode_tag_current(), i);
        lode_tag_pop();
    }
    cr_assert_eq(lode_tag_current(), 0);
}

Test(tags, pop_without_push, .signal = SIGABRT)
{
    struct capture c;
    lode_free(lode_malloc(1));
    capture_start(&c);
    lode_tag_pop();
}

Test(heaps, default_heap_stays, .signal = SIGABRT)
{
    struct capture c;
    capture_start(&c);
    lode_heap_destroy(lode_heap_default());
}

Test(heaps, destroyed_once, .signal = SIGABRT)
{
    struct capture c;
    struct lode_heap *heap;
    cr_assert_eq(lode_heap_create(NULL, &heap), 0);
    lode_heap_destroy(heap);
    capture_start(&c);
    lode_heap_destroy(heap);
}

Test(heaps, not_used_after_destroy, .signal = SIGABRT)
{
    struct capture c;
    struct lode_heap *heap;
    cr_assert_eq(lode_heap_create(NULL, &heap), 0);
    lode_free(lode_heap_alloc(heap, 10));
    lode_heap_destroy(heap);
    capture_start(&c);
    lode_heap_alloc(heap, 10);
}
