/* SPDX-License-Identifier: MIT */
/* Owns three first-class heaps, for hot, warm and cold data: see lode/temperature.h. No lock of its
 * own. */
#include "lode/temperature.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "ext/opts.h"
#include "lode/util.h"

#ifndef MADV_COLD
#define MADV_COLD 20
#endif

struct lode_temperatures {
    struct lode_heap *heaps[LODE_TEMPERATURES];
};

_Static_assert(sizeof(struct lode_temperatures_opts) == 24, "no hidden padding");

static int opts_are_valid(const struct lode_temperatures_opts *o)
{
    for (size_t i = 0; i < sizeof(o->reserved); i++)
        if (o->reserved[i] != 0)
            return 0;
    return o->huge_hot <= 1;
}

static int heap_make(const struct lode_temperatures_opts *o, unsigned temperature,
                     struct lode_heap **ret_heap)
{
    static const char *const suffixes[] = {".hot", ".warm", ".cold"};
    struct lode_heap_opts opts = LODE_HEAP_OPTS_INIT;
    char name[32] = "data";
    if (o->name != NULL) {
        strncpy(name, o->name, 24);
        name[24] = 0;
    }
    strcat(name, suffixes[temperature]);
    opts.name = name;
    opts.tag = o->tags[temperature];
    if (temperature == LODE_HOT && o->huge_hot)
        opts.kind = LODE_KIND_HUGE;
    return lode_heap_create(&opts, ret_heap);
}

int lode_temperatures_create(const struct lode_temperatures_opts *opts,
                             struct lode_temperatures **ret_temperatures)
{
    struct lode_temperatures_opts o;
    int status = lodei_opts_take(opts, &o, sizeof(o));
    if (status != 0)
        return status;
    if (!opts_are_valid(&o))
        return -EINVAL;
    int saved = errno;
    struct lode_temperatures *t = lode_heap_calloc(lode_heap_default(), 1, sizeof(*t));
    errno = saved;
    if (t == NULL)
        return -ENOMEM;
    for (unsigned i = 0; i < LODE_TEMPERATURES && status == 0; i++)
        status = heap_make(&o, i, &t->heaps[i]);
    if (status != 0) {
        lode_temperatures_destroy(t);
        return status;
    }
    *ret_temperatures = t;
    return 0;
}

void lode_temperatures_destroy(struct lode_temperatures *temperatures)
{
    if (temperatures == NULL)
        return;
    for (unsigned i = 0; i < LODE_TEMPERATURES; i++)
        lode_heap_destroy(temperatures->heaps[i]);
    lode_free(temperatures);
}

void *lode_temperature_alloc(struct lode_temperatures *temperatures,
                             enum lode_temperature temperature, size_t bytes)
{
    size_t align = temperature == LODE_HOT ? lode_packing_align(bytes) : 16;
    if ((unsigned)temperature >= LODE_TEMPERATURES) {
        errno = EINVAL;
        return NULL;
    }
    /* A size that is a multiple of its alignment is aligned so by its class. */
    if (align > 16 && bytes < PTRDIFF_MAX)
        bytes = lode_round_up(bytes, align);
    return align <= 16 ? lode_heap_alloc(temperatures->heaps[temperature], bytes)
                       : lode_heap_aligned_alloc(temperatures->heaps[temperature], align, bytes);
}

struct lode_heap *lode_temperature_heap(const struct lode_temperatures *temperatures,
                                        enum lode_temperature temperature)
{
    return (unsigned)temperature < LODE_TEMPERATURES ? temperatures->heaps[temperature] : NULL;
}

int lode_temperature_allocator(struct lode_temperatures *temperatures,
                               enum lode_temperature temperature,
                               struct lode_allocator *ret_allocator)
{
    struct lode_heap *heap = lode_temperature_heap(temperatures, temperature);
    if (heap == NULL)
        return -EINVAL;
    lode_heap_allocator(heap, ret_allocator);
    return 0;
}

static int chill_span(void *ctx, const struct lode_span_info *span)
{
    size_t *advised = ctx;
    if (madvise(span->start, span->bytes, MADV_COLD) == 0)
        *advised += span->bytes;
    return 0;
}

size_t lode_temperatures_chill(struct lode_temperatures *temperatures)
{
    size_t advised = 0;
    int saved = errno;
    /* Out of memory for the walk: nothing was advised, and nothing is lost. */
    if (lode_heap_walk(temperatures->heaps[LODE_COLD], chill_span, NULL, &advised) != 0)
        advised = 0;
    errno = saved;
    return advised;
}
