/* SPDX-License-Identifier: MIT */
/*
 * A first-class heap as a lode_allocator. Owns nothing: ctx is the heap, which keeps its own books,
 * locks itself, and tells ASan and memcheck of its blocks. A bad free ends the program, as
 * everywhere in lode/heap.h, so there is no LODE_TRAIT_CHECKED. Heaps are listed by
 * lode_heaps_enumerate(), not by the registry of this library.
 */
#include <errno.h>

#include "ext/ops.h"
#include "ext/source.h"
#include "lode/stats.h"

static const struct lode_allocator_ops heap_ops;

static size_t heap_max_bytes(void *ctx)
{
    (void)ctx;
    return lodei_source_max_bytes();
}

static void *heap_alloc(void *ctx, size_t bytes, size_t align)
{
    int saved = errno;
    align = lodei_align_take(align);
    if (align == 0)
        return NULL;
    void *block = align <= LODEI_ALIGN_DEFAULT ? lode_heap_alloc(ctx, bytes)
                                               : lode_heap_aligned_alloc(ctx, align, bytes);
    errno = saved;
    return block;
}

static void *heap_resize(void *ctx, void *block, size_t old_bytes, size_t bytes, size_t align)
{
    int saved = errno;
    align = lodei_align_take(align);
    if (align == 0)
        return NULL;
    if (block == NULL)
        return heap_alloc(ctx, bytes, align);
    if (align <= LODEI_ALIGN_DEFAULT) {
        void *to = lode_realloc(block, bytes);
        errno = saved;
        return to;
    }
    size_t usable = lode_usable_size(block);
    if (bytes <= usable && bytes >= usable / 2)
        return block;
    return lodei_resize_by_moving(&heap_ops, ctx, block, old_bytes, bytes, align);
}

static int heap_free(void *ctx, void *block, size_t bytes, size_t align)
{
    (void)ctx;
    (void)bytes;
    (void)align;
    lode_free(block);
    return 0;
}

static int heap_can_allocate(void *ctx, size_t bytes, size_t align)
{
    size_t max = heap_max_bytes(ctx);
    align = lodei_align_take(align);
    return align != 0 && bytes <= max && align <= max;
}

static int heap_owns(void *ctx, const void *block)
{
    struct lode_block_info info;
    return lode_block_find(block, &info) == 0 && info.heap == ctx;
}

static void heap_stats(void *ctx, struct lode_allocator_stats *ret_stats)
{
    struct lode_stats s = {.size = sizeof(s)};
    *ret_stats = (struct lode_allocator_stats){0};
    if (lode_stats_get(ctx, &s) != 0)
        return;
    ret_stats->used_bytes = ret_stats->requested_bytes = s.in_use_bytes;
    ret_stats->free_bytes = s.cached_bytes + s.untouched_bytes + s.purged_bytes;
    ret_stats->mapped_bytes = ret_stats->used_bytes + ret_stats->free_bytes;
    ret_stats->blocks = s.live_blocks;
}

static const struct lode_allocator_ops heap_ops = {
    .alloc = heap_alloc,
    .resize = heap_resize,
    .free = heap_free,
    .max_bytes = heap_max_bytes,
    .can_allocate = heap_can_allocate,
    .owns = heap_owns,
    .stats = heap_stats,
};

void lode_heap_allocator(struct lode_heap *heap, struct lode_allocator *ret_allocator)
{
    uint32_t traits = LODE_TRAIT_THREADS | LODE_TRAIT_FREES | LODE_TRAIT_RESIZES;
    if (heap != NULL)
        traits |= LODE_TRAIT_DESTROYS;
    *ret_allocator = (struct lode_allocator){
        .ops = &heap_ops, .ctx = heap != NULL ? heap : lode_heap_default(), .traits = traits};
}
