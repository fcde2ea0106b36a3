/* SPDX-License-Identifier: MIT */
/* Operations made of other operations: see ops.h. */
#include "ext/ops.h"

#include <string.h>

size_t lodei_alloc_each(const struct lode_allocator_ops *ops, void *ctx, size_t bytes, size_t align,
                        void **ret_blocks, size_t count)
{
    size_t done = 0;
    while (done < count) {
        void *block = ops->alloc(ctx, bytes, align);
        if (block == NULL)
            break;
        ret_blocks[done++] = block;
    }
    return done;
}

int lodei_free_each(const struct lode_allocator_ops *ops, void *ctx, void *const *blocks,
                    size_t count, size_t bytes, size_t align)
{
    int first = 0;
    for (size_t i = 0; i < count; i++) {
        int error = ops->free(ctx, blocks[i], bytes, align);
        if (first == 0)
            first = error;
    }
    return first;
}

int lodei_free_each_backwards(const struct lode_allocator_ops *ops, void *ctx, void *const *blocks,
                              size_t count, size_t bytes, size_t align)
{
    int first = 0;
    while (count-- > 0) {
        int error = ops->free(ctx, blocks[count], bytes, align);
        if (first == 0)
            first = error;
    }
    return first;
}

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
