/* SPDX-License-Identifier: MIT */
/*
 * The start of the mimalloc route: mimalloc gets a part of our reservation to allocate from, so
 * that one range of addresses holds the heaps of both. What it allocated before, and what does not
 * fit, it has from the kernel itself.
 *
 * Not where data is limited: mimalloc 2.0.9 does not look whether what it commits was granted.
 */
#include <sys/resource.h>

#include "heap/slices.h"
#include "route_mimalloc.h"

#define LEND_MAX ((size_t)64 << 30)

__attribute__((constructor(102))) static void boot(void)
{
    struct rlimit data;
    size_t bytes;
    if (getrlimit(RLIMIT_DATA, &data) != 0 || data.rlim_cur != RLIM_INFINITY)
        return;
    char *start = lodei_slices_lend(LEND_MAX, &bytes);
    if (start != NULL)
        route_take_memory(start, bytes);
}
