/* SPDX-License-Identifier: MIT */
/*
 * Operation sequences on the heaps against a model: the live blocks with their patterns. Input
 * bytes are read front to back; each operation takes a few. Checked all along: blocks do not
 * overlap, hold their patterns, keep their usable size, lie where asked, and are zero when calloc
 * said so; a walk finds the model's blocks and no others. At the end everything is freed and the
 * figures add up.
 */
#include "fuzz_input.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/conf.h"
#include "heap/heaps.h"
#include "heap/purge.h"
#include "lode/stats.h"
#include "../unit/blockset.h"

#define HEAPS_MAX 4
#define LIVE_MAX  300
/* Of all live blocks together: a sequence may not use up the machine. */
#define BYTES_MAX ((size_t)24 << 20)

#define CHECK(e) ((e) ? (void)0 : failed(#e, __LINE__))

static struct input {
    const uint8_t *at, *end;
} input;
static struct blockset set;
static struct lode_heap *heaps[HEAPS_MAX];
static int tag_depth;
static uint16_t tags[16];
static size_t live_bytes;

static void failed(const char *what, int line)
{
    fprintf(stderr, "fuzz_ops.c:%d: %s does not hold\n", line, what);
    abort();
}

static size_t take(size_t limit)
{
    size_t value = 0;
    for (size_t n = limit > 256 ? 3 : 1; n > 0 && input.at < input.end; n--)
        value = value << 8 | *input.at++;
    return value % limit;
}

/* Sizes around class boundaries, around multiples of pages and slices, and any. */
static size_t take_bytes(void)
{
    size_t kind = take(8);
    if (kind < 3)
        return take(256) * 4;
    if (kind < 6) {
        size_t power = (size_t)1 << take(20);
        return power * (8 + take(8)) / 8 + take(3) - (power > 8);
    }
    if (kind == 6)
        return (take(32) << (take(2) != 0 ? 12 : 16)) + take(3);
    return take((size_t)3 << 20);
}

static struct lode_heap *current_heap(void)
{
    struct lodei_theap *th = lode_theap_self->real;
    return th != NULL ? th->heap : lode_heap_default();
}

static void enter(void *p, size_t bytes, struct lode_heap *heap)
{
    struct lode_block_info info;
    CHECK(p != NULL && (uintptr_t)p % 16 == 0);
    size_t usable = lode_usable_size(p);
    CHECK(usable >= bytes);
    CHECK(!blockset_overlaps(&set, p, usable));
    CHECK(lode_block_find((char *)p + usable - 1, &info) == 0);
    CHECK(info.start == p && info.usable_bytes == usable && info.heap == heap);
    struct blockset_entry *e = blockset_add(&set, p, bytes);
    e->usable = usable;
    e->owner = heap;
    live_bytes += usable;
}

static void leave(size_t i)
{
    CHECK(blockset_intact(&set, i));
    CHECK(lode_usable_size(set.all[i].at) == set.all[i].usable);
    live_bytes -= set.all[i].usable;
    blockset_remove(&set, i);
}

static void do_alloc(void)
{
    size_t bytes = take_bytes(), how = take(6), align = (size_t)1 << take(18);
    struct lode_heap *heap = heaps[take(HEAPS_MAX)];
    if (set.count >= LIVE_MAX || live_bytes + bytes > BYTES_MAX)
        return;
    char *p;
    if (heap == NULL || how < 3) {
        heap = current_heap();
        p = how % 3 == 0   ? lode_malloc(bytes)
            : how % 3 == 1 ? lode_calloc(1, bytes)
                           : lode_aligned_alloc(align, bytes);
    } else {
        p = how % 3 == 0   ? lode_heap_alloc(heap, bytes)
            : how % 3 == 1 ? lode_heap_calloc(heap, 1, bytes)
                           : lode_heap_aligned_alloc(heap, align, bytes);
    }
    CHECK(how % 3 != 1 || blockset_is_zero(p, bytes));
    CHECK(how % 3 != 2 || (uintptr_t)p % align == 0);
    enter(p, bytes, heap);
}

static void do_free(void)
{
    if (set.count == 0)
        return;
    size_t i = take(set.count);
    void *p = set.all[i].at;
    leave(i);
    lode_free(p);
}

static void do_realloc(void)
{
    size_t bytes = take_bytes();
    if (set.count == 0 || live_bytes + bytes > BYTES_MAX)
        return;
    size_t i = take(set.count);
    struct blockset_entry old = set.all[i];
    CHECK(blockset_intact(&set, i));
    void *p = lode_realloc(old.at, bytes);
    CHECK(p != NULL && blockset_stands_at(&set, i, p, bytes));
    live_bytes -= old.usable;
    blockset_remove(&set, i);
    enter(p, bytes, old.owner);
}

static void do_heap(void)
{
    size_t which = take(HEAPS_MAX);
    if (heaps[which] == NULL) {
        struct lode_heap_opts o = LODE_HEAP_OPTS_INIT;
        o.kind = take(4) == 0 ? LODE_KIND_HUGE : LODE_KIND_SYSTEM;
        o.tag = (uint16_t)take(5);
        CHECK(lode_heap_create(&o, &heaps[which]) == 0);
        return;
    }
    for (size_t i = set.count; i-- > 0;)
        if (set.all[i].owner == heaps[which])
            leave(i);
    lode_heap_destroy(heaps[which]);
    heaps[which] = NULL;
}

static void do_tag(void)
{
    CHECK(lode_tag_current() == (tag_depth > 0 ? tags[tag_depth - 1] : 0));
    if (take(2) == 0 && tag_depth < 16) {
        tags[tag_depth] = (uint16_t)take(4);
        CHECK(lode_tag_push(tags[tag_depth++]) == 0);
    } else if (tag_depth > 0) {
        tag_depth--;
        lode_tag_pop();
    }
}

struct walk {
    struct lode_heap *heap;
    size_t next, seen;
};

/* The set is sorted by address, and so is the walk: meet in the middle. */
static int on_block(void *ctx, void *block, size_t usable)
{
    struct walk *w = ctx;
    while (w->next < set.count && (void *)set.all[w->next].at < block)
        w->next++;
    CHECK(w->next < set.count && set.all[w->next].at == block);
    CHECK(set.all[w->next].usable == usable && set.all[w->next].owner == w->heap);
    w->seen++;
    return 0;
}

static void walk(struct lode_heap *heap)
{
    struct walk w = {.heap = heap};
    size_t live = 0;
    blockset_sort(&set);
    for (size_t i = 0; i < set.count; i++)
        live += set.all[i].owner == heap;
    CHECK(lode_heap_walk(heap, NULL, on_block, &w) == 0);
    CHECK(w.seen == live);
}

static void check_figures(void)
{
    struct lode_stats s = {.size = sizeof(s)};
    CHECK(lode_stats_get(NULL, &s) == 0);
    CHECK(s.live_blocks == set.count);
    CHECK(s.in_use_bytes == live_bytes);
    CHECK(s.mapped_bytes ==
          s.in_use_bytes + s.cached_bytes + s.untouched_bytes + s.purged_bytes + s.metadata_bytes);
}

static void do_look(void)
{
    int left;
    switch (take(5)) {
    case 0:
        lode_purge();
        break;
    case 1:
        lodei_purge_step(0, 100, &left);
        break;
    case 2:
        walk(current_heap());
        break;
    case 3: {
        size_t which = take(HEAPS_MAX);
        if (heaps[which] != NULL)
            walk(heaps[which]);
        break;
    }
    default:
        check_figures();
    }
}

static void finish(void)
{
    walk(lode_heap_default());
    while (tag_depth > 0) {
        tag_depth--;
        lode_tag_pop();
    }
    for (int i = 0; i < HEAPS_MAX; i++) {
        for (size_t b = set.count; heaps[i] != NULL && i % 2 == 0 && b-- > 0;)
            if (set.all[b].owner == heaps[i])
                leave(b); /* destroyed with its blocks */
        if (i % 2 == 0) {
            lode_heap_destroy(heaps[i]);
            heaps[i] = NULL;
        }
    }
    while (set.count > 0) {
        void *p = set.all[set.count - 1].at;
        leave(set.count - 1);
        lode_free(p);
    }
    for (int i = 1; i < HEAPS_MAX; i += 2) {
        lode_heap_destroy(heaps[i]);
        heaps[i] = NULL;
    }
    check_figures();
    CHECK(live_bytes == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    lodei_conf.purge_delay_ms = 0;
    input = (struct input){data, data + bytes};
    blockset_init(&set, bytes);
    while (input.at < input.end) {
        size_t what = take(32);
        if (what < 13)
            do_alloc();
        else if (what < 21)
            do_free();
        else if (what < 26)
            do_realloc();
        else if (what < 28)
            do_heap();
        else if (what < 30)
            do_tag();
        else
            do_look();
    }
    finish();
    blockset_finish(&set);
    return 0;
}
