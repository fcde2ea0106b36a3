/* SPDX-License-Identifier: MIT */
/*
 * A lock around an allocator. Owns the lock; the allocator behind it is the caller's. Each
 * operation is the inner one between lock and unlock. In the registry it stands with what it takes
 * itself: the inner allocator stands there, too, and memory is to be counted once.
 *
 * The lock is taken around fork() before those of older objects (ext/registry.h), as by operations.
 */
#include "lode/locked.h"

#include <errno.h>
#include <pthread.h>

#include "ext/opts.h"
#include "ext/registry.h"
#include "ext/source.h"

struct lode_locked {
    pthread_mutex_t lock;
    struct lode_allocator inner;
    struct lodei_registered registered;
};

_Static_assert(sizeof(struct lode_locked_opts) == 8 + 2 * sizeof(void *), "no hidden padding");

void lode_locked_lock(struct lode_locked *l)
{
    pthread_mutex_lock(&l->lock);
}

void lode_locked_unlock(struct lode_locked *l)
{
    pthread_mutex_unlock(&l->lock);
}

static void *op_alloc(void *ctx, size_t bytes, size_t align)
{
    struct lode_locked *l = ctx;
    lode_locked_lock(l);
    void *block = lode_allocator_alloc(&l->inner, bytes, align);
    lode_locked_unlock(l);
    return block;
}

static void *op_resize(void *ctx, void *block, size_t old_bytes, size_t bytes, size_t align)
{
    struct lode_locked *l = ctx;
    lode_locked_lock(l);
    block = lode_allocator_resize(&l->inner, block, old_bytes, bytes, align);
    lode_locked_unlock(l);
    return block;
}

static int op_free(void *ctx, void *block, size_t bytes, size_t align)
{
    struct lode_locked *l = ctx;
    lode_locked_lock(l);
    int error = lode_allocator_free(&l->inner, block, bytes, align);
    lode_locked_unlock(l);
    return error;
}

static size_t op_alloc_many(void *ctx, size_t bytes, size_t align, void **ret_blocks, size_t count)
{
    struct lode_locked *l = ctx;
    lode_locked_lock(l);
    size_t done = lode_allocator_alloc_many(&l->inner, bytes, align, ret_blocks, count);
    lode_locked_unlock(l);
    return done;
}

static int op_free_many(void *ctx, void *const *blocks, size_t count, size_t bytes, size_t align)
{
    struct lode_locked *l = ctx;
    lode_locked_lock(l);
    int error = lode_allocator_free_many(&l->inner, blocks, count, bytes, align);
    lode_locked_unlock(l);
    return error;
}

static size_t op_max_bytes(void *ctx)
{
    struct lode_locked *l = ctx;
    lode_locked_lock(l);
    size_t bytes = lode_allocator_max_bytes(&l->inner);
    lode_locked_unlock(l);
    return bytes;
}

static int op_can_allocate(void *ctx, size_t bytes, size_t align)
{
    struct lode_locked *l = ctx;
    lode_locked_lock(l);
    int can = lode_allocator_can_allocate(&l->inner, bytes, align);
    lode_locked_unlock(l);
    return can;
}

static int op_owns(void *ctx, const void *block)
{
    struct lode_locked *l = ctx;
    lode_locked_lock(l);
    int owns = lode_allocator_owns(&l->inner, block);
    lode_locked_unlock(l);
    return owns;
}

static void op_stats(void *ctx, struct lode_allocator_stats *ret_stats)
{
    struct lode_locked *l = ctx;
    lode_locked_lock(l);
    lode_allocator_stats(&l->inner, ret_stats);
    lode_locked_unlock(l);
}

static const struct lode_allocator_ops locked_ops = {
    .alloc = op_alloc,
    .resize = op_resize,
    .free = op_free,
    .alloc_many = op_alloc_many,
    .free_many = op_free_many,
    .max_bytes = op_max_bytes,
    .can_allocate = op_can_allocate,
    .owns = op_owns,
    .stats = op_stats,
};

void lode_locked_allocator(struct lode_locked *locked, struct lode_allocator *ret_allocator)
{
    *ret_allocator = (struct lode_allocator){
        .ops = &locked_ops, .ctx = locked, .traits = locked->inner.traits | LODE_TRAIT_THREADS};
}

static void describe(void *object, struct lode_allocator_stats *ret_stats)
{
    (void)object;
    *ret_stats = (struct lode_allocator_stats){.mapped_bytes = sizeof(struct lode_locked),
                                               .metadata_bytes = sizeof(struct lode_locked)};
}

int lode_locked_create(const struct lode_allocator *inner, const struct lode_locked_opts *opts,
                       struct lode_locked **ret_locked)
{
    struct lode_locked_opts o;
    int error = lodei_opts_take(opts, &o, sizeof(o));
    if (error != 0)
        return error;
    if (o.reserved != 0)
        return -EINVAL;
    struct lodei_source source = {.heap = o.heap != NULL ? o.heap : lode_heap_default()};
    struct lode_locked *l = source.heap != NULL ? lodei_source_calloc(&source, sizeof(*l)) : NULL;
    if (l == NULL)
        return -ENOMEM;
    pthread_mutex_init(&l->lock, NULL);
    l->inner = *inner;
    lodei_registry_add_locked(&l->registered, "locked", o.name, l, describe, &l->lock);
    *ret_locked = l;
    return 0;
}

void lode_locked_destroy(struct lode_locked *l)
{
    if (l == NULL)
        return;
    lodei_registry_remove(&l->registered);
    pthread_mutex_destroy(&l->lock);
    lodei_source_free(l, sizeof(*l));
}
