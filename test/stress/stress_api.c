/* SPDX-License-Identifier: MIT */
/*
 * Where the heap API comes from: linked, or looked up in what was preloaded.
 */
#include "stress_api.h"

#include <string.h>

struct stress_heap_api stress_heap_api;

#if STRESS_PREFIX

int stress_api_init(void)
{
    stress_heap_api = (struct stress_heap_api){
        .create = lode_heap_create,
        .destroy = lode_heap_destroy,
        .alloc = lode_heap_alloc,
        .calloc = lode_heap_calloc,
        .aligned_alloc = lode_heap_aligned_alloc,
        .walk = lode_heap_walk,
        .block_find = lode_block_find,
        .tag_push = lode_tag_push,
        .tag_pop = lode_tag_pop,
        .tag_current = lode_tag_current,
        .purge = lode_purge,
        .stats_get = lode_stats_get,
    };
    return 0;
}

#else

#include <dlfcn.h>

int stress_api_init(void)
{
    const struct {
        const char *name;
        void *ret_fn;
    } names[] = {
        {"lode_heap_create", &stress_heap_api.create},
        {"lode_heap_destroy", &stress_heap_api.destroy},
        {"lode_heap_alloc", &stress_heap_api.alloc},
        {"lode_heap_calloc", &stress_heap_api.calloc},
        {"lode_heap_aligned_alloc", &stress_heap_api.aligned_alloc},
        {"lode_heap_walk", &stress_heap_api.walk},
        {"lode_block_find", &stress_heap_api.block_find},
        {"lode_tag_push", &stress_heap_api.tag_push},
        {"lode_tag_pop", &stress_heap_api.tag_pop},
        {"lode_tag_current", &stress_heap_api.tag_current},
        {"lode_purge", &stress_heap_api.purge},
        {"lode_stats_get", &stress_heap_api.stats_get},
    };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        void *sym = dlsym(RTLD_DEFAULT, names[i].name);

        if (!sym)
            return -1;
        memcpy(names[i].ret_fn, &sym, sizeof sym);
    }
    return 0;
}

#endif
