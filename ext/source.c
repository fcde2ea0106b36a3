/* SPDX-License-Identifier: MIT */
/* Chunks from heaps: see source.h. */
#include "ext/source.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "base/bits.h"
#include "ext/poison.h"
#include "lode/stats.h"

#define LINE_BYTES 64

int lodei_source_open(struct lodei_source *source, struct lode_heap *given, uint16_t tag,
                      const char *name)
{
    if (given != NULL && tag != 0)
        return -EINVAL;
    source->heap = given;
    source->owned = given == NULL;
    if (given != NULL)
        return 0;
    struct lode_heap_opts opts = LODE_HEAP_OPTS_INIT;
    opts.tag = tag;
    opts.name = name;
    return lode_heap_create(&opts, &source->heap);
}

void lodei_source_close(struct lodei_source *source)
{
    if (source->owned)
        lode_heap_destroy(source->heap);
}

void *lodei_source_alloc(const struct lodei_source *source, size_t bytes, size_t align)
{
    int saved = errno;
    void *p = align <= 16 ? lode_heap_alloc(source->heap, bytes)
                          : lode_heap_aligned_alloc(source->heap, align, bytes);
    errno = saved;
    return p;
}

void *lodei_source_calloc(const struct lodei_source *source, size_t bytes)
{
    void *p = lodei_source_alloc(source, lodei_round_up(bytes, LINE_BYTES), LINE_BYTES);
    return p != NULL ? memset(p, 0, bytes) : NULL;
}

size_t lodei_source_max_bytes(void)
{
    static _Atomic size_t known;
    size_t bytes = atomic_load_explicit(&known, memory_order_relaxed); /* a number, nothing else */
    if (bytes == 0) {
        /* Read once: it comes with a sum over all heaps. */
        struct lode_stats stats = {.size = sizeof(stats)};
        if (lode_stats_get(NULL, &stats) == 0)
            bytes = stats.reserved_bytes;
        atomic_store_explicit(&known, bytes, memory_order_relaxed);
    }
    return bytes;
}

void lodei_source_free(void *p, size_t bytes)
{
    if (p == NULL)
        return;
    lodei_forgotten(p, bytes);
    lode_free(p);
}
