/* SPDX-License-Identifier: MIT */
/* Operations made of other operations: see ops.h. */
#include "ext/ops.h"

#include <string.h>

void *lodei_resize_by_moving(const struct lode_allocator_ops *ops, void *ctx, void *block,
                             size_t old_bytes, size_t bytes, size_t align)
{
    void *to = ops->alloc(ctx, bytes, align);
    if (to == NULL || block == NULL)
        return to;
    memcpy(to, block, lodei_min(old_bytes, bytes));
    if (ops->free(ctx, block, old_bytes, align) == 0)
        return to;
    (void)ops->free(ctx, to, bytes, align);
    return NULL;
}
