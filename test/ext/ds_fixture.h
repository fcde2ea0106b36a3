/* SPDX-License-Identifier: MIT */
/*
 * For the tests of lode/ds.h: an allocator that checks what it is called with and fails on demand,
 * and a random number generator. Blocks come from malloc, exactly as long as asked for, so that
 * ASan sees a step beyond; a resize always moves.
 */
#ifndef DS_FIXTURE_H
#define DS_FIXTURE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lode/allocator.h"

#define DS_BLOCKS_MAX 65536
#define DS_CHECK(e) \
    ((e) ? (void)0  \
         : (fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #e), abort()))

struct ds_block {
    void *at;
    size_t bytes, align;
};

struct ds_memory {
    struct lode_allocator allocator;
    struct ds_block blocks[DS_BLOCKS_MAX];
    size_t block_count;
    size_t live_bytes;
    size_t calls;       /* of alloc and resize */
    size_t fail_at;     /* this call fails, counted from 1; 0: none */
    size_t fail_one_in; /* of so many calls one fails, at random; 0: none, 1: all */
    size_t only_bytes;  /* not 0: a pool of blocks of this size */
    uint64_t random;
};

/* splitmix64, Steele, Lea and Flood 2014 */
static inline uint64_t ds_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static inline int ds_fails(struct ds_memory *m, size_t bytes)
{
    m->calls++;
    if (m->only_bytes != 0 && bytes > m->only_bytes)
        return 1;
    if (m->fail_one_in != 0 && ds_random(&m->random) % m->fail_one_in == 0)
        return 1;
    return m->fail_at != 0 && m->calls == m->fail_at;
}

static inline void *ds_alloc(void *ctx, size_t bytes, size_t align)
{
    struct ds_memory *m = ctx;
    void *at = NULL;
    DS_CHECK(align != 0 && (align & (align - 1)) == 0);
    if (ds_fails(m, bytes) || bytes > (size_t)1 << 32)
        return NULL;
    DS_CHECK(m->block_count < DS_BLOCKS_MAX);
    DS_CHECK(posix_memalign(&at, align < 16 ? 16 : align, bytes) == 0);
    memset(at, 0xa5, bytes);
    m->blocks[m->block_count++] = (struct ds_block){at, bytes, align};
    m->live_bytes += bytes;
    return at;
}

static inline struct ds_block *ds_find(struct ds_memory *m, const void *at)
{
    for (size_t i = m->block_count; i-- > 0;)
        if (m->blocks[i].at == at)
            return &m->blocks[i];
    return NULL;
}

static inline int ds_free(void *ctx, void *at, size_t bytes, size_t align)
{
    struct ds_memory *m = ctx;
    struct ds_block *block = ds_find(m, at);
    DS_CHECK(block != NULL && block->bytes == bytes && block->align == align);
    *block = m->blocks[--m->block_count];
    m->live_bytes -= bytes;
    memset(at, 0x5a, bytes);
    free(at);
    return 0;
}

static inline void *ds_resize(void *ctx, void *at, size_t old_bytes, size_t bytes, size_t align)
{
    struct ds_memory *m = ctx;
    struct ds_block *block = ds_find(m, at);
    DS_CHECK(at == NULL || (block != NULL && block->bytes == old_bytes && block->align == align));
    void *moved = ds_alloc(ctx, bytes, align);
    if (moved != NULL && at != NULL) {
        memcpy(moved, at, old_bytes < bytes ? old_bytes : bytes);
        ds_free(ctx, at, old_bytes, align);
    }
    return moved;
}

static inline size_t ds_max_bytes(void *ctx)
{
    struct ds_memory *m = ctx;
    return m->only_bytes != 0 ? m->only_bytes : SIZE_MAX;
}

/* What the containers do not call stands on nothing. */
static const struct lode_allocator_ops ds_ops = {
    .alloc = ds_alloc, .resize = ds_resize, .free = ds_free, .max_bytes = ds_max_bytes};

static inline struct ds_memory *ds_memory_create(uint64_t seed)
{
    struct ds_memory *m = calloc(1, sizeof(*m));
    DS_CHECK(m != NULL);
    m->allocator = (struct lode_allocator){.ops = &ds_ops, .ctx = m, .traits = LODE_TRAIT_FREES};
    m->random = seed;
    return m;
}

/* Everything must have come back. */
static inline void ds_memory_destroy(struct ds_memory *m)
{
    DS_CHECK(m->block_count == 0 && m->live_bytes == 0);
    free(m);
}

#endif
