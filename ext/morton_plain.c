/* SPDX-License-Identifier: MIT */
/* Processors for which there is nothing beside the baseline of morton_array.c. Owns nothing. */
#include "ext/morton_array.h"

size_t lodei_morton_faster_paths(const struct lodei_morton_paths *ret_paths[2])
{
    (void)ret_paths;
    return 0;
}
