/* SPDX-License-Identifier: MIT */
/* lode/morton.h, the pool: options, index, errors, out of memory, and random use against a naive
 * model. Placement and walks: test_morton_place.c. */
#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "failing_heap.h"
#include "lode/morton.h"
#include "lode/stats.h"
#include "morton_pools.h"

/* ---- creating ---- */

Test(morton_pool, bad_options_are_refused)
{
    struct {
        struct lode_morton_pool_opts known;
        uint64_t later;
    } newer = {.known = LODE_MORTON_POOL_OPTS_INIT};
    struct lode_morton_pool_opts o = LODE_MORTON_POOL_OPTS_INIT;
    struct lode_morton_pool *pool = (void *)&o;
    cr_assert_eq(lode_morton_pool_create(NULL, &pool), -EINVAL);
    cr_assert_eq(lode_morton_pool_create(&o, &pool), -EINVAL); /* no block size */
#define REFUSED(status, block, ...)                                                     \
    do {                                                                                \
        struct lode_morton_pool_opts bad = {                                            \
            .size = sizeof(bad), .block_bytes = block, __VA_ARGS__};                    \
        cr_assert_eq(lode_morton_pool_create(&bad, &pool), status, "%s", #__VA_ARGS__); \
    } while (0)
    REFUSED(-EINVAL, 15, .flags = 0);
    REFUSED(-EINVAL, 65537, .flags = 0);
    REFUSED(-EINVAL, BRICK, .align = 48);
    REFUSED(-EINVAL, BRICK, .align = 1u << 17);
    REFUSED(-EINVAL, BRICK, .chunk_bytes = 5000);
    REFUSED(-EINVAL, BRICK, .chunk_bytes = 2048);
    REFUSED(-EINVAL, BRICK, .chunk_bytes = (size_t)1 << 40);
    REFUSED(-EINVAL, 2000, .chunk_bytes = 4096);  /* too few blocks */
    REFUSED(-EINVAL, 16, .chunk_bytes = 1 << 20); /* too many */
    REFUSED(-EINVAL, BRICK, .chunk_bytes = 4096, .align = 8192);
    REFUSED(-EINVAL, BRICK, .flags = 1);
    REFUSED(-EINVAL, BRICK, .reserved = 1);
    REFUSED(-EINVAL, BRICK, .kind = 99);
    REFUSED(-ENOTSUP, BRICK, .kind = LODE_KIND_SHARED);
    REFUSED(-EINVAL, BRICK, .heap = lode_heap_default(), .tag = 3);
    REFUSED(-EINVAL, BRICK, .heap = lode_heap_default(), .kind = LODE_KIND_HUGE);
    newer.known.size = sizeof(newer);
    newer.known.block_bytes = 64;
    newer.later = 1;
    cr_assert_eq(lode_morton_pool_create(&newer.known, &pool), -E2BIG);
    cr_assert_eq((void *)pool, (void *)&o);
    newer.later = 0;
    cr_assert_eq(lode_morton_pool_create(&newer.known, &pool), 0);
    lode_morton_pool_destroy(pool);
    lode_morton_pool_destroy(NULL);
}

Test(morton_pool, blocks_of_every_size_and_alignment)
{
    static const size_t sizes[] = {16,   17,   24,   48,   64,   100,   512,   640,   1000, 1024,
                                   1040, 2048, 3000, 4096, 5000, 20000, 33000, 40000, 65536};
    static const uint32_t aligns[] = {0, 1, 2, 16, 64, 256, 4096, 65536};
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++)
        for (size_t a = 0; a < sizeof(aligns) / sizeof(aligns[0]); a++) {
            struct lode_morton_pool_opts o = LODE_MORTON_POOL_OPTS_INIT;
            struct lode_morton_pool *pool;
            unsigned char *blocks[40];
            o.block_bytes = sizes[s];
            o.align = aligns[a];
            cr_assert_eq(lode_morton_pool_create(&o, &pool), 0);
            for (uint64_t i = 0; i < 40; i++) {
                cr_assert_eq(lode_morton_pool_acquire(pool, i * 37, (void **)&blocks[i]), 0);
                cr_assert_eq((uintptr_t)blocks[i] % (aligns[a] == 0 ? 16 : aligns[a]), 0);
                memset(blocks[i], (int)i, sizes[s]);
            }
            for (int i = 0; i < 40; i++)
                for (size_t b = 0; b < sizes[s]; b += sizes[s] - 1)
                    cr_assert_eq(blocks[i][b], i);
            check(pool);
            lode_morton_pool_destroy(pool);
        }
}

Test(morton_pool, memory_comes_from_the_heap_named)
{
    struct lode_heap_opts ho = LODE_HEAP_OPTS_INIT;
    struct lode_morton_pool_opts o = LODE_MORTON_POOL_OPTS_INIT;
    struct lode_morton_pool *lent, *own;
    struct lode_heap *heap;
    struct lode_block_info info;
    void *block;
    cr_assert_eq(lode_heap_create(&ho, &heap), 0);
    o.block_bytes = BRICK;
    o.heap = heap;
    cr_assert_eq(lode_morton_pool_create(&o, &lent), 0);
    cr_assert_eq(lode_morton_pool_acquire(lent, 5, &block), 0);
    cr_assert_eq(lode_block_find(block, &info), 0);
    cr_assert_eq(info.heap, heap);
    lode_morton_pool_destroy(lent);
    o.heap = NULL;
    o.tag = 77;
    o.name = "bricks";
    cr_assert_eq(lode_morton_pool_create(&o, &own), 0);
    cr_assert_eq(lode_morton_pool_acquire(own, 5, &block), 0);
    cr_assert_eq(lode_block_find(block, &info), 0);
    cr_assert_eq(info.tag, 77);
    lode_morton_pool_destroy(own);
    struct lode_stats stats = {.size = sizeof(stats)};
    cr_assert_eq(lode_stats_get(heap, &stats), 0);
    cr_assert_eq(stats.in_use_bytes, 0, "a destroyed pool leaves nothing in a lent heap");
    lode_heap_destroy(heap);
}

/* ---- the index ---- */

Test(morton_pool, what_was_acquired_is_found_by_code_and_by_block)
{
    struct lode_morton_pool *pool = make(BRICK);
    void *block, *other = NULL;
    uint64_t code, got;
    cr_assert_eq(lode_morton3_encode_signed(-7, 1000, LODE_MORTON3_MIN, &code), 0);
    cr_assert_null(lode_morton_pool_find(pool, code));
    cr_assert_eq(lode_morton_pool_acquire_at(pool, -7, 1000, LODE_MORTON3_MIN, &block), 0);
    cr_assert_eq(lode_morton_pool_find(pool, code), block);
    cr_assert_null(lode_morton_pool_find(pool, code + 1));
    cr_assert_eq(lode_morton_pool_code(pool, block, &got), 0);
    cr_assert_eq(got, code);
    cr_assert_eq(lode_morton_pool_acquire(pool, code, &other), -EEXIST);
    cr_assert_null(other);
    cr_assert_eq(lode_morton_pool_release_code(pool, code), 0);
    cr_assert_eq(lode_morton_pool_release_code(pool, code), -ENOENT);
    cr_assert_null(lode_morton_pool_find(pool, code));
    cr_assert_eq(stats_of(pool).blocks, 0);
    check(pool);
    lode_morton_pool_destroy(pool);
}

Test(morton_pool, codes_at_the_ends_of_space)
{
    static const uint64_t ends[] = {
        0, 1, 511, 512, 32767, 32768, LODE_MORTON3_LAST, LODE_MORTON3_LAST + 1, UINT64_MAX - 1};
    struct lode_morton_pool *pool = make(64);
    void *blocks[sizeof(ends) / sizeof(ends[0])];
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
        cr_assert_eq(lode_morton_pool_acquire(pool, ends[i], &blocks[i]), 0);
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
        cr_assert_eq(lode_morton_pool_find(pool, ends[i]), blocks[i]);
    cr_assert_null(lode_morton_pool_find(pool, UINT64_MAX));
    cr_assert_eq(lode_morton_pool_release_code(pool, UINT64_MAX), -ENOENT);
    check(pool);
    lode_morton_pool_destroy(pool);
}

Test(morton_pool, many_are_found_at_once)
{
    struct lode_morton_pool *pool = make(64);
    uint64_t codes[500];
    void *blocks[500], *found[500];
    for (int i = 0; i < 500; i++) {
        codes[i] = morton_random(&state) % (UINT64_C(5) << LODEI_MORTON_ZONE_LOG2);
        if (lode_morton_pool_acquire(pool, codes[i], &blocks[i]) != 0)
            blocks[i] = lode_morton_pool_find(pool, codes[i]);
        if (i % 3 == 0) {
            cr_assert_eq(lode_morton_pool_release(pool, blocks[i]), 0);
            blocks[i] = NULL;
        }
    }
    size_t there = 0, count = lode_morton_pool_find_many(pool, codes, 500, found);
    for (int i = 0; i < 500; i++) {
        there += found[i] != NULL;
        cr_assert_eq(found[i], lode_morton_pool_find(pool, codes[i]));
    }
    cr_assert_eq(count, there);
    cr_assert_eq(lode_morton_pool_find_many(pool, NULL, 0, NULL), 0);
    lode_morton_pool_destroy(pool);
}

/* ---- bad input ---- */

Test(morton_pool, coordinates_out_of_range)
{
    struct lode_morton_pool *pool = make(BRICK);
    void *block = NULL;
    cr_assert_eq(lode_morton_pool_acquire_at(pool, LODE_MORTON3_MAX + 1, 0, 0, &block), -ERANGE);
    cr_assert_eq(lode_morton_pool_acquire_at(pool, 0, LODE_MORTON3_MIN - 1, 0, &block), -ERANGE);
    cr_assert_eq(lode_morton_pool_acquire_at(pool, 0, 0, INT32_MIN, &block), -ERANGE);
    cr_assert_eq(lode_morton_pool_acquire(pool, LODE_MORTON_NO_CODE, &block), -ERANGE);
    cr_assert_null(block);
    cr_assert_eq(stats_of(pool).mapped_bytes, stats_of(pool).metadata_bytes);
    check(pool);
    lode_morton_pool_destroy(pool);
}

Test(morton_pool, double_foreign_and_interior_releases)
{
    struct lode_morton_pool *pool = make(BRICK), *other = make(BRICK);
    char local[64], *block, *theirs;
    uint64_t code = 99;
    cr_assert_eq(lode_morton_pool_acquire(pool, 1, (void **)&block), 0);
    cr_assert_eq(lode_morton_pool_acquire(other, 1, (void **)&theirs), 0);
    char *plain = lode_malloc(BRICK);
    cr_assert_eq(lode_morton_pool_release(pool, theirs), -EINVAL);
    cr_assert_eq(lode_morton_pool_release(pool, local), -EINVAL);
    cr_assert_eq(lode_morton_pool_release(pool, plain), -EINVAL);
    cr_assert_eq(lode_morton_pool_release(pool, (void *)1), -EINVAL);
    cr_assert_eq(lode_morton_pool_release(pool, (void *)UINTPTR_MAX), -EINVAL);
    cr_assert_eq(lode_morton_pool_release(pool, block + 16), -EINVAL);
    cr_assert_eq(lode_morton_pool_release(pool, block + BRICK), -EINVAL);
    cr_assert_eq(lode_morton_pool_code(pool, theirs, &code), -EINVAL);
    cr_assert_eq(lode_morton_pool_code(pool, block + BRICK, &code), -EINVAL);
    cr_assert_eq(code, 99);
    cr_assert_eq(lode_morton_pool_release(pool, NULL), 0);
    cr_assert_eq(stats_of(pool).blocks, 1);
    void *second;
    cr_assert_eq(lode_morton_pool_acquire(pool, 2, &second), 0);
    cr_assert_eq(lode_morton_pool_release(pool, block), 0);
    cr_assert_eq(lode_morton_pool_release(pool, block), -EINVAL);
    cr_assert_eq(stats_of(pool).blocks, 1);
    /* The chunk goes with its last block: the address is not the pool's any more. */
    cr_assert_eq(lode_morton_pool_release(pool, second), 0);
    cr_assert_eq(lode_morton_pool_release(pool, second), -EINVAL);
    check(pool);
    lode_free(plain);
    lode_morton_pool_destroy(pool);
    lode_morton_pool_destroy(other);
}

Test(morton_pool, the_last_slots_of_a_chunk_are_no_blocks)
{
    struct lode_morton_pool *pool = make(640); /* 102 slots, 256 bytes left over */
    char *first;
    cr_assert_eq(lode_morton_pool_acquire(pool, 0, (void **)&first), 0);
    char *chunk = (char *)((uintptr_t)first & ~(uintptr_t)0xffff);
    cr_assert_eq(lode_morton_pool_release(pool, chunk + 101 * 640), -EINVAL);
    cr_assert_eq(lode_morton_pool_release(pool, chunk + 102 * 640), -EINVAL);
    lode_morton_pool_destroy(pool);
}

Test(morton_pool, a_pool_at_its_limit)
{
    struct lode_morton_pool_opts o = LODE_MORTON_POOL_OPTS_INIT;
    struct lode_morton_pool *pool;
    void *blocks[11], *more = NULL;
    o.block_bytes = 64;
    o.max_blocks = 10;
    cr_assert_eq(lode_morton_pool_create(&o, &pool), 0);
    for (uint64_t i = 0; i < 10; i++)
        cr_assert_eq(lode_morton_pool_acquire(pool, i << 20, &blocks[i]), 0);
    cr_assert_eq(lode_morton_pool_acquire(pool, 77, &more), -ENOSPC);
    cr_assert_eq(lode_morton_pool_acquire(pool, 0, &more), -ENOSPC);
    cr_assert_null(more);
    cr_assert_eq(stats_of(pool).failures, 2);
    check(pool);
    cr_assert_eq(lode_morton_pool_release(pool, blocks[3]), 0);
    cr_assert_eq(lode_morton_pool_acquire(pool, 0, &more), -EEXIST);
    cr_assert_eq(lode_morton_pool_acquire(pool, 77, &more), 0);
    cr_assert_eq(lode_morton_pool_release_code(pool, 77), 0);
    cr_assert_eq(lode_morton_pool_acquire_near(pool, 78, blocks[0], &more, NULL), 0);
    check(pool);
    lode_morton_pool_destroy(pool);
}

/* ---- out of memory ---- */

Test(morton_pool, creating_without_memory)
{
    struct lode_morton_pool_opts o = LODE_MORTON_POOL_OPTS_INIT;
    struct lode_morton_pool *pool = NULL;
    o.block_bytes = BRICK;
    for (long n = 0;; n++) {
        failing_heap_after = n;
        int status = lode_morton_pool_create(&o, &pool);
        failing_heap_after = -1;
        if (status == 0)
            break;
        cr_assert_eq(status, -ENOMEM);
        cr_assert_null(pool);
    }
    lode_morton_pool_destroy(pool);
}

Test(morton_pool, acquiring_without_memory_changes_nothing)
{
    struct lode_morton_pool *pool = make(4096);
    void *block = NULL, *near;
    uint64_t many[3] = {UINT64_MAX - 1, UINT64_MAX - 2, UINT64_MAX >> 1};
    void *blocks[3] = {NULL}, *found[3];
    cr_assert_eq(lode_morton_pool_acquire(pool, 0, &near), 0);
    for (uint64_t i = 1; i < 3000; i++) {
        /* every kind of request for memory: zones, leaves, their slots, chunks, tables */
        uint64_t code = i % 3 == 0 ? i : i << (i % 40);
        if (lode_morton_pool_find(pool, code) != NULL)
            continue;
        for (long n = 0;; n++) {
            struct lode_allocator_stats before = stats_of(pool);
            failing_heap_after = n;
            int status = i % 5 == 0 ? lode_morton_pool_acquire_near(pool, code, near, &block, NULL)
                                    : lode_morton_pool_acquire(pool, code, &block);
            failing_heap_after = -1;
            if (status == 0)
                break;
            cr_assert_eq(status, -ENOMEM);
            cr_assert_eq(stats_of(pool).blocks, before.blocks);
            cr_assert_null(lode_morton_pool_find(pool, code));
        }
        if (i % 64 == 0)
            check(pool);
    }
    for (long n = 0;; n++) {
        failing_heap_after = n;
        int status = lode_morton_pool_acquire_many(pool, many, 3, blocks);
        failing_heap_after = -1;
        if (status == 0)
            break;
        cr_assert_eq(status, -ENOMEM);
        cr_assert(blocks[0] == NULL && lode_morton_pool_find_many(pool, many, 3, found) == 0);
    }
    failing_heap_after = 0;
    cr_assert_eq(lode_morton_pool_walk(pool, 0, UINT64_MAX, NULL, NULL), -ENOMEM);
    failing_heap_after = -1;
    check(pool);
    lode_morton_pool_destroy(pool);
}

/* ---- against a model ---- */

#define CELLS 4096

struct model {
    struct lode_morton_pool *pool;
    uint64_t codes[CELLS]; /* sorted */
    void *blocks[CELLS];   /* NULL: free */
    void *unlisted[256];
    size_t unlisted_count, held, block_bytes;
};

static void mark(const struct model *m, void *block, uint64_t code)
{
    memcpy(block, &code, sizeof(code));
    memcpy((char *)block + m->block_bytes - 8, &code, sizeof(code));
}

static void check_mark(const struct model *m, const void *block, uint64_t code)
{
    cr_assert(memcmp(block, &code, sizeof(code)) == 0 &&
              memcmp((const char *)block + m->block_bytes - 8, &code, sizeof(code)) == 0);
}

static void model_acquire(struct model *m, size_t i)
{
    void *block = NULL;
    size_t j = morton_random(&state) % CELLS;
    int near = morton_random(&state) % 4 == 0 && m->blocks[j] != NULL;
    int status =
        near ? lode_morton_pool_acquire_near(m->pool, m->codes[i], m->blocks[j], &block, NULL)
             : lode_morton_pool_acquire(m->pool, m->codes[i], &block);
    if (m->blocks[i] != NULL) {
        cr_assert_eq(status, -EEXIST);
        return;
    }
    cr_assert_eq(status, 0);
    m->blocks[i] = block;
    m->held++;
    mark(m, block, m->codes[i]);
    if (near && m->unlisted_count < 256) {
        void **next = &m->unlisted[m->unlisted_count++];
        cr_assert_eq(lode_morton_pool_acquire_near(m->pool, LODE_MORTON_NO_CODE, block, next, NULL),
                     0);
        mark(m, *next, m->unlisted_count);
    }
}

static void model_release(struct model *m, size_t i)
{
    if (m->blocks[i] == NULL) {
        cr_assert_eq(lode_morton_pool_release_code(m->pool, m->codes[i]), -ENOENT);
        return;
    }
    check_mark(m, m->blocks[i], m->codes[i]);
    cr_assert_eq(morton_random(&state) % 2 ? lode_morton_pool_release(m->pool, m->blocks[i])
                                           : lode_morton_pool_release_code(m->pool, m->codes[i]),
                 0);
    m->blocks[i] = NULL;
    m->held--;
}

static void model_run(size_t block_bytes, int spread)
{
    static struct model m;
    memset(&m, 0, sizeof(m));
    m.block_bytes = block_bytes;
    m.pool = make(block_bytes);
    for (size_t i = 0; i < CELLS; i++)
        m.codes[i] = i << spread;
    for (int round = 0; round < 24; round++) {
        /* filling, emptying, or to and fro */
        unsigned acquires = (const unsigned[]){14, 2, 8}[round % 3];
        for (int step = 0; step < 1500; step++) {
            size_t i = morton_random(&state) % CELLS;
            if (morton_random(&state) % 16 < acquires)
                model_acquire(&m, i);
            else
                model_release(&m, i);
            cr_assert_eq(lode_morton_pool_find(m.pool, m.codes[i]), m.blocks[i]);
        }
        while (m.unlisted_count > 100) {
            check_mark(&m, m.unlisted[m.unlisted_count - 1], m.unlisted_count);
            cr_assert_eq(lode_morton_pool_release(m.pool, m.unlisted[--m.unlisted_count]), 0);
        }
        if (round % 7 == 6)
            lode_morton_pool_trim(m.pool);
        check(m.pool);
        cr_assert_eq(stats_of(m.pool).blocks, m.held + m.unlisted_count);
    }
    for (size_t i = 0; i < CELLS; i++)
        if (m.blocks[i] != NULL)
            model_release(&m, i);
    while (m.unlisted_count > 0)
        cr_assert_eq(lode_morton_pool_release(m.pool, m.unlisted[--m.unlisted_count]), 0);
    lode_morton_pool_trim(m.pool);
    check(m.pool);
    cr_assert_eq(stats_of(m.pool).mapped_bytes, stats_of(m.pool).metadata_bytes);
    lode_morton_pool_destroy(m.pool);
}

Test(morton_pool, random_use_agrees_with_a_table)
{
    static const size_t sizes[] = {16, 48, 1024, 2048, 4096};
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++)
        for (int spread = 0; spread <= 12; spread += 4)
            model_run(sizes[s], spread);
}
