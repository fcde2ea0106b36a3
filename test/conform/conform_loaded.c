/* SPDX-License-Identifier: MIT */
/*
 * A library that the suite loads with dlopen: it allocates in its constructor and when asked.
 * Loaded with RTLD_DEEPBIND, its malloc is libc's whatever was preloaded.
 */
#include <stdlib.h>
#include <string.h>

#define LOADED_API __attribute__((visibility("default")))

LOADED_API void *conform_loaded_take(size_t bytes);
LOADED_API void **conform_loaded_early(void);

static void *early[4];

__attribute__((constructor)) static void allocate_early(void)
{
    static const size_t sizes[4] = {1, 100, 10000, 1000000};

    for (int i = 0; i < 4; i++) {
        early[i] = malloc(sizes[i]);
        if (early[i])
            memset(early[i], 1, sizes[i]);
    }
}

void *conform_loaded_take(size_t bytes)
{
    return malloc(bytes);
}

void **conform_loaded_early(void)
{
    return early;
}
