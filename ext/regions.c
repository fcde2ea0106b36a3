/* SPDX-License-Identifier: MIT */
/*
 * lode_regions_enumerate(): a list of all heaps and all registered allocators is made first, with
 * room for the rest, and then the figures are read in one go without allocating, so that they
 * belong together. Which heap an allocator lies in is where its object lies: every allocator of
 * this library keeps that in the heap its memory comes from.
 *
 * Owns nothing; the list is gone when the call returns. Visitors run under no lock.
 */
#include "lode/regions.h"

#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "ext/registry.h"
#include "ext/requestcore.h"
#include "lode/stats.h"

struct region {
    struct lode_region_info info;
    char name[32];
};

struct list {
    struct region *regions;
    size_t count, capacity;
    int error;
};

static struct region *add(struct list *list, enum lode_region_sort sort, const char *what,
                          const char *name)
{
    if (list->count == list->capacity) {
        size_t capacity = list->capacity * 2 + 64;
        struct region *grown = lode_realloc(list->regions, capacity * sizeof(*grown));
        if (grown == NULL) {
            list->error = -ENOMEM;
            return NULL;
        }
        list->regions = grown;
        list->capacity = capacity;
    }
    struct region *r = &list->regions[list->count++];
    memset(r, 0, sizeof(*r));
    r->info.size = sizeof(r->info);
    r->info.sort = (uint8_t)sort;
    r->info.what = what;
    memcpy(r->name, name, strnlen(name, sizeof(r->name) - 1));
    return r;
}

static int add_heap(void *ctx, struct lode_heap *heap, const char *name, uint16_t tag,
                    enum lode_kind kind)
{
    struct region *r = add(ctx, LODE_REGION_HEAP, "heap", name);
    if (r == NULL)
        return -ENOMEM;
    r->info.object = heap;
    r->info.tag = tag;
    r->info.kind = (uint8_t)kind;
    r->info.memory_type = (uint8_t)lodei_place_type(heap);
    return 0;
}

static int add_allocator(void *ctx, const struct lodei_registered *entry,
                         const struct lode_allocator_stats *stats)
{
    struct region *r = add(ctx, LODE_REGION_ALLOCATOR, entry->type, entry->name);
    if (r == NULL)
        return -ENOMEM;
    r->info.object = entry->object;
    r->info.parent = entry->heap;
    r->info.tag = entry->tag;
    r->info.kind = entry->kind;
    r->info.memory_type = (uint8_t)lodei_place_type(entry->heap);
    /* Of one that is in use by another thread the figures may not fit together. */
    r->info.mapped_bytes = stats->mapped_bytes;
    r->info.used_bytes = lodei_min(stats->used_bytes, stats->mapped_bytes);
    size_t rest = r->info.mapped_bytes - r->info.used_bytes;
    r->info.free_bytes = lodei_min(stats->free_bytes, rest);
    r->info.metadata_bytes = lodei_min(stats->metadata_bytes, rest - r->info.free_bytes);
    return 0;
}

/* From here on nothing allocates. */
static int read_figures(struct list *list, struct region *unused, struct region *metadata)
{
    struct lode_stats all = {.size = sizeof(all)};
    size_t heaps = 0;
    for (size_t i = 0; i < list->count; i++) {
        struct lode_region_info *r = &list->regions[i].info;
        struct lode_stats s = {.size = sizeof(s)};
        if (r->sort != LODE_REGION_HEAP)
            continue;
        int error = lode_stats_get((struct lode_heap *)r->object, &s);
        if (error != 0)
            return error;
        r->mapped_bytes = s.in_use_bytes + s.cached_bytes + s.untouched_bytes + s.purged_bytes;
        /* While threads allocate, what waits on their lists may be read as more than there is. */
        if (s.in_use_bytes <= r->mapped_bytes)
            r->used_bytes = s.in_use_bytes;
        r->free_bytes = r->mapped_bytes - r->used_bytes;
        heaps += r->mapped_bytes;
    }
    int error = lode_stats_get(NULL, &all);
    if (error != 0)
        return error;
    metadata->info.mapped_bytes = metadata->info.metadata_bytes = all.metadata_bytes;
    heaps += all.metadata_bytes;
    unused->info.mapped_bytes = all.mapped_bytes > heaps ? all.mapped_bytes - heaps : 0;
    unused->info.free_bytes = unused->info.mapped_bytes;
    return 0;
}

static int show(struct region *r, lode_region_visitor visit, void *ctx)
{
    r->info.name = r->name;
    return visit(ctx, &r->info);
}

static int show_all(struct list *list, lode_region_visitor visit, void *ctx)
{
    int status = 0;
    for (size_t i = 0; i < list->count && status == 0; i++) {
        struct region *heap = &list->regions[i];
        if (heap->info.sort == LODE_REGION_ALLOCATOR)
            continue;
        status = show(heap, visit, ctx);
        for (size_t j = 0; j < list->count && status == 0; j++)
            if (list->regions[j].info.sort == LODE_REGION_ALLOCATOR &&
                list->regions[j].info.parent == heap->info.object)
                status = show(&list->regions[j], visit, ctx);
    }
    return status;
}

int lode_regions_enumerate(lode_region_visitor visit, void *ctx)
{
    struct list list = {0};
    int saved = errno;
    int status = lode_heaps_enumerate(add_heap, &list);
    if (status == 0)
        status = lodei_registry_each(add_allocator, &list);
    if (status == 0 && add(&list, LODE_REGION_FREE, "free", "") != NULL &&
        add(&list, LODE_REGION_METADATA, "metadata", "") != NULL)
        status = read_figures(&list, &list.regions[list.count - 2], &list.regions[list.count - 1]);
    if (status == 0)
        status = list.error;
    errno = saved;
    if (status == 0)
        status = show_all(&list, visit, ctx);
    lode_free(list.regions);
    return status;
}
