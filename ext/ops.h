/* SPDX-License-Identifier: MIT */
/*
 * What several allocators' operation tables (lode/allocator.h) have in common: taking an alignment,
 * and resizing by moving. Owns nothing, locks nothing.
 */
#ifndef LODEI_OPS_H
#define LODEI_OPS_H

#include "base/bits.h"
#include "lode/allocator.h"

#define LODEI_ALIGN_DEFAULT ((size_t)16)

/* `align` as callers give it: 0 means 16. Returns 0 for what is not a power of two. */
LODE_INLINE size_t lodei_align_take(size_t align)
{
    if (align == 0)
        return LODEI_ALIGN_DEFAULT;
    return lodei_is_power_of_two(align) ? align : 0;
}

/* Allocate, copy, free. A `block` of NULL is allocated; one that cannot be freed is left with its
 * owner, and NULL returned. */
void *lodei_resize_by_moving(const struct lode_allocator_ops *ops, void *ctx, void *block,
                             size_t old_bytes, size_t bytes, size_t align);

#endif
