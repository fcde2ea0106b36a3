/* SPDX-License-Identifier: MIT */
/* lode/morton.h, the pool: where blocks are placed, what that costs, and walks in Morton order. */
#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "lode/morton.h"
#include "lode/stats.h"
#include "morton_pools.h"

/* ---- placement ---- */

struct page_count {
    size_t pages, leaves;
};

/* OS pages under all blocks, each leaf's counted for itself. */
static struct page_count pages_under(struct lode_morton_pool *pool, const uint64_t *codes,
                                     size_t count)
{
    struct page_count result = {0};
    uint64_t *pages = malloc(count * sizeof(*pages));
    for (size_t i = 0, next; i < count; i = next) {
        for (next = i; next < count && codes[next] >> 9 == codes[i] >> 9; next++)
            pages[next] = (uintptr_t)lode_morton_pool_find(pool, codes[next]) / 4096;
        qsort(pages + i, next - i, sizeof(*pages), morton_by_value);
        result.leaves++;
        for (size_t j = i; j < next; j++)
            result.pages += j == i || pages[j] != pages[j - 1];
    }
    free(pages);
    return result;
}

#define SIDE    96
#define SURFACE (SIDE * SIDE * 3)

Test(morton_place, neighbours_share_pages_whatever_the_order)
{
    static uint64_t codes[SURFACE], order[SURFACE];
    struct lode_morton_pool *pool = make(BRICK);
    size_t count = surface(codes, SIDE);
    void *block;
    memcpy(order, codes, sizeof(codes));
    shuffle(order, count);
    for (size_t i = 0; i < count; i++)
        cr_assert_eq(lode_morton_pool_acquire(pool, order[i], &block), 0);
    check(pool);
    struct page_count got = pages_under(pool, codes, count);
    /* Four to a page; at most two pages of a leaf are not full, and its first eight blocks may
     * stand on others'. In insertion order it would be about a page for each. */
    cr_assert_leq(got.pages, count / 4 + got.leaves * 8);
    cr_assert_leq(got.pages, count * 2 / 5);
    lode_morton_pool_destroy(pool);
}

Test(morton_place, a_sparse_world_is_dense_in_memory)
{
    /* One cell of each leaf of 8 x 8 x 8 */
    struct lode_morton_pool *pool = make(BRICK);
    void *block;
    for (uint64_t i = 0; i < 64 * 100; i++)
        cr_assert_eq(lode_morton_pool_acquire(pool, i << 9 | (i * 37 & 511), &block), 0);
    struct lode_allocator_stats stats = stats_of(pool);
    cr_assert_eq(stats.free_bytes, 0);
    check(pool);
    lode_morton_pool_destroy(pool);
}

Test(morton_place, reported_bytes_are_the_heaps_and_metadata_is_small)
{
    static uint64_t codes[SURFACE];
    struct lode_heap_opts ho = LODE_HEAP_OPTS_INIT;
    struct lode_morton_pool_opts o = LODE_MORTON_POOL_OPTS_INIT;
    struct lode_stats heap_stats = {.size = sizeof(heap_stats)};
    struct lode_morton_pool *pool;
    struct lode_heap *heap;
    void *block;
    cr_assert_eq(lode_heap_create(&ho, &heap), 0);
    o.block_bytes = BRICK;
    o.heap = heap;
    cr_assert_eq(lode_morton_pool_create(&o, &pool), 0);
    size_t fixed = stats_of(pool).metadata_bytes, count = surface(codes, SIDE);
    shuffle(codes, count);
    for (size_t i = 0; i < count; i++)
        cr_assert_eq(lode_morton_pool_acquire(pool, codes[i], &block), 0);
    for (int half = 0; half < 2; half++) {
        struct lode_allocator_stats stats = stats_of(pool);
        cr_assert_eq(lode_stats_get(heap, &heap_stats), 0);
        cr_assert_eq(stats.mapped_bytes, heap_stats.in_use_bytes);
        cr_assert_eq(stats.used_bytes, stats.blocks * BRICK);
        cr_assert_eq(stats.requested_bytes, stats.blocks * BRICK);
        cr_assert_eq(stats.mapped_bytes,
                     stats.used_bytes + stats.free_bytes + stats.metadata_bytes);
        if (half == 0)
            cr_assert_leq(stats.metadata_bytes - fixed, count * 10, "%zu bytes for %zu blocks",
                          stats.metadata_bytes - fixed, count);
        for (size_t i = 0; i < count / 2 && half == 0; i++)
            cr_assert_eq(lode_morton_pool_release_code(pool, codes[i]), 0);
    }
    lode_morton_pool_destroy(pool);
    lode_heap_destroy(heap);
}

Test(morton_place, reported_bytes_are_true_for_every_size)
{
    static const size_t sizes[] = {16, 40, 640, 1000, 4096, 5000, 33000, 65536};
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        struct lode_morton_pool *pool = make(sizes[s]);
        struct lode_stats heap_stats = {.size = sizeof(heap_stats)};
        struct lode_block_info info;
        void *block;
        for (uint64_t i = 0; i < 200; i++)
            cr_assert_eq(lode_morton_pool_acquire(pool, i * 300, &block), 0);
        for (uint64_t i = 0; i < 70; i++)
            cr_assert_eq(lode_morton_pool_release_code(pool, i * 300), 0);
        cr_assert_eq(lode_block_find(block, &info), 0);
        cr_assert_eq(lode_stats_get(info.heap, &heap_stats), 0);
        cr_assert_eq(stats_of(pool).mapped_bytes, heap_stats.in_use_bytes, "of %zu", sizes[s]);
        lode_morton_pool_destroy(pool);
    }
}

__attribute__((weak)) int __asan_address_is_poisoned(const volatile void *p);

static int closed(const char *p)
{
    return LODE_ASAN && __asan_address_is_poisoned(p);
}

Test(morton_place, asan_knows_which_blocks_are_live)
{
    struct lode_morton_pool_opts o = LODE_MORTON_POOL_OPTS_INIT;
    struct lode_morton_pool *pool;
    char *block, *other;
    o.block_bytes = 1000;
    o.align = 64;
    cr_assert_eq(lode_morton_pool_create(&o, &pool), 0);
    cr_assert_eq(lode_morton_pool_acquire(pool, 1, (void **)&block), 0);
    cr_assert_eq(lode_morton_pool_acquire(pool, 2, (void **)&other), 0);
    cr_assert(!closed(block) && !closed(block + 999));
    cr_assert_eq(closed(block + 1000), LODE_ASAN);
    cr_assert_eq(lode_morton_pool_release(pool, block), 0);
    cr_assert_eq(closed(block), LODE_ASAN);
    cr_assert_eq(closed(block + 999), LODE_ASAN);
    /* The chunk lies idle as the spare, then it is the heap's again. */
    cr_assert_eq(lode_morton_pool_release(pool, other), 0);
    cr_assert_eq(closed(other), LODE_ASAN);
    cr_assert_eq(lode_morton_pool_acquire(pool, 3, (void **)&block), 0);
    memset(block, 1, 1000);
    lode_morton_pool_destroy(pool);
}

Test(morton_place, empty_chunks_go_back_but_not_at_the_brim)
{
    struct lode_morton_pool *pool = make(BRICK);
    void *blocks[65], *again;
    for (uint64_t i = 0; i < 64; i++)
        cr_assert_eq(lode_morton_pool_acquire(pool, i, &blocks[i]), 0);
    cr_assert_eq(stats_of(pool).misses, 1);
    /* One chunk is full: the 65th block comes and goes. */
    for (int i = 0; i < 100; i++) {
        cr_assert_eq(lode_morton_pool_acquire(pool, 64, &blocks[64]), 0);
        cr_assert_eq(lode_morton_pool_release(pool, blocks[64]), 0);
    }
    struct lode_allocator_stats stats = stats_of(pool);
    cr_assert_eq(stats.misses, 2);
    cr_assert_eq(stats.free_bytes, 64 * BRICK);
    /* With room elsewhere the empty chunk is let go; the pool keeps it as its spare. */
    for (int i = 0; i < 40; i++)
        cr_assert_eq(lode_morton_pool_release(pool, blocks[i]), 0);
    check(pool);
    cr_assert_eq(atomic_load(&pool->stripes[0].figures.chunks), 1);
    cr_assert_neq(atomic_load(&pool->spare), NULL);
    /* A zone that begins and ends does not reach the heap either. */
    for (int i = 0; i < 100; i++) {
        cr_assert_eq(lode_morton_pool_acquire(pool, UINT64_C(1) << 40, &again), 0);
        cr_assert_eq(lode_morton_pool_release(pool, again), 0);
    }
    cr_assert_eq(stats_of(pool).misses, 2);
    size_t mapped = stats_of(pool).mapped_bytes, given = lode_morton_pool_trim(pool);
    cr_assert_eq(given, 65536);
    cr_assert_eq(stats_of(pool).mapped_bytes, mapped - given);
    for (int i = 40; i < 64; i++)
        cr_assert_eq(lode_morton_pool_release(pool, blocks[i]), 0);
    cr_assert_eq(lode_morton_pool_trim(pool), 65536);
    cr_assert_eq(lode_morton_pool_trim(pool), 0);
    cr_assert_eq(stats_of(pool).mapped_bytes, stats_of(pool).metadata_bytes);
    check(pool);
    lode_morton_pool_destroy(pool);
}

Test(morton_place, near_is_the_page_then_the_chunk_then_the_zone)
{
    struct lode_morton_pool *pool = make(BRICK);
    enum lode_morton_nearness nearness = LODE_MORTON_ELSEWHERE;
    char *near, *block;
    size_t seen[4] = {0};
    uint64_t code = 5;
    cr_assert_eq(lode_morton_pool_acquire(pool, 1000, (void **)&near), 0);
    for (int i = 0; i < 127; i++) {
        cr_assert_eq(lode_morton_pool_acquire_near(pool, LODE_MORTON_NO_CODE, near, (void **)&block,
                                                   &nearness),
                     0);
        seen[nearness]++;
        int same_page = (uintptr_t)block / 4096 == (uintptr_t)near / 4096;
        int same_chunk = (uintptr_t)block / 65536 == (uintptr_t)near / 65536;
        cr_assert_eq(same_page, nearness == LODE_MORTON_SAME_PAGE);
        cr_assert_eq(same_chunk, nearness <= LODE_MORTON_SAME_CHUNK);
        cr_assert_eq(lode_morton_pool_code(pool, block, &code), -ENODATA);
        cr_assert_eq(code, 5);
    }
    cr_assert_eq(seen[LODE_MORTON_SAME_PAGE], 3);
    cr_assert_eq(seen[LODE_MORTON_SAME_CHUNK], 60);
    cr_assert_eq(seen[LODE_MORTON_SAME_ZONE], 64);
    check(pool);
    /* With a code of the same zone it is found by it; with one of another zone it stands there. */
    cr_assert_eq(lode_morton_pool_acquire_near(pool, 2000, near, (void **)&block, &nearness), 0);
    cr_assert_eq(nearness, LODE_MORTON_SAME_ZONE);
    cr_assert_eq(lode_morton_pool_find(pool, 2000), block);
    cr_assert_eq(lode_morton_pool_acquire_near(pool, 1 << 20, near, (void **)&block, &nearness), 0);
    cr_assert_eq(nearness, LODE_MORTON_ELSEWHERE);
    cr_assert_eq(lode_morton_pool_find(pool, 1 << 20), block);
    cr_assert_eq(lode_morton_pool_acquire_near(pool, 2000, near, (void **)&block, NULL), -EEXIST);
    cr_assert_eq(lode_morton_pool_acquire_near(pool, 1 << 20, near, (void **)&block, NULL),
                 -EEXIST);
    check(pool);
    /* A neighbour that is not live, or not ours */
    cr_assert_eq(lode_morton_pool_release(pool, near), 0);
    cr_assert_eq(lode_morton_pool_acquire_near(pool, 3000, near, (void **)&block, NULL), -EINVAL);
    cr_assert_eq(lode_morton_pool_acquire_near(pool, 3000, &code, (void **)&block, NULL), -EINVAL);
    cr_assert_eq(lode_morton_pool_acquire_near(pool, 3000, NULL, (void **)&block, NULL), -EINVAL);
    cr_assert_null(lode_morton_pool_find(pool, 3000));
    check(pool);
    lode_morton_pool_destroy(pool);
}

Test(morton_place, a_zone_has_a_most)
{
    struct lode_morton_pool *pool = make(16);
    void *near, *block = NULL;
    size_t count = 1;
    int status;
    cr_assert_eq(lode_morton_pool_acquire(pool, 1, &near), 0);
    while ((status =
                lode_morton_pool_acquire_near(pool, LODE_MORTON_NO_CODE, near, &block, NULL)) == 0)
        count++;
    cr_assert_eq(status, -ENOSPC);
    cr_assert_eq(count, 65535 / 256 * 256);
    cr_assert_eq(lode_morton_pool_acquire(pool, 2, &block), -ENOSPC);
    cr_assert_null(lode_morton_pool_find(pool, 2));
    cr_assert_eq(lode_morton_pool_acquire(pool, 1 << 20, &block), 0);
    check(pool);
    lode_morton_pool_destroy(pool);
}

Test(morton_place, a_full_zone_of_cells_fits)
{
    struct lode_morton_pool *pool = make(16);
    void *block;
    for (uint64_t i = 0; i < 32768; i++)
        cr_assert_eq(lode_morton_pool_acquire(pool, i * 12345 % 32768, &block), 0);
    cr_assert_eq(stats_of(pool).blocks, 32768);
    /* Leaves that used others' granules leave some of theirs open. */
    cr_assert_leq(stats_of(pool).free_bytes, 32768 * 16 / 50);
    check(pool);
    lode_morton_pool_destroy(pool);
}

/* ---- bulk ---- */

Test(morton_place, many_acquired_at_once_stand_in_the_order_of_codes)
{
    static uint64_t codes[SURFACE], order[SURFACE];
    static void *blocks[SURFACE];
    struct lode_morton_pool *pool = make(BRICK);
    size_t count = surface(codes, SIDE), steps = 0;
    memcpy(order, codes, sizeof(codes));
    shuffle(order, count);
    cr_assert_eq(lode_morton_pool_acquire_many(pool, order, count, blocks), 0);
    for (size_t i = 0; i < count; i++)
        cr_assert_eq(lode_morton_pool_find(pool, order[i]), blocks[i]);
    for (size_t i = 1; i < count; i++)
        steps += (char *)lode_morton_pool_find(pool, codes[i]) ==
                 (char *)lode_morton_pool_find(pool, codes[i - 1]) + BRICK;
    /* but where one leaf ends on another's page, and where chunks end */
    cr_assert_geq(steps, count * 9 / 10);
    check(pool);
    lode_morton_pool_destroy(pool);
}

Test(morton_place, many_are_all_or_none)
{
    struct lode_morton_pool *pool = make(64);
    uint64_t codes[200];
    void *blocks[200], *held;
    memset(blocks, 0, sizeof(blocks));
    for (uint64_t i = 0; i < 200; i++)
        codes[i] = i * 1000;
    cr_assert_eq(lode_morton_pool_acquire(pool, 150000, &held), 0);
    cr_assert_eq(lode_morton_pool_acquire_many(pool, codes, 200, blocks), -EEXIST);
    cr_assert_eq(stats_of(pool).blocks, 1);
    check(pool);
    cr_assert_eq(lode_morton_pool_release(pool, held), 0);
    codes[199] = codes[7];
    cr_assert_eq(lode_morton_pool_acquire_many(pool, codes, 200, blocks), -EEXIST);
    codes[199] = LODE_MORTON_NO_CODE;
    cr_assert_eq(lode_morton_pool_acquire_many(pool, codes, 200, blocks), -ERANGE);
    cr_assert_eq(lode_morton_pool_acquire_many(pool, codes, SIZE_MAX / 8, blocks), -ENOMEM);
    cr_assert_eq(lode_morton_pool_acquire_many(pool, codes, 0, blocks), 0);
    for (int i = 0; i < 200; i++)
        cr_assert_null(blocks[i]);
    cr_assert_eq(stats_of(pool).blocks, 0);
    check(pool);
    lode_morton_pool_destroy(pool);
}

/* ---- walking ---- */

struct walked {
    struct lode_morton_pool *pool;
    uint64_t codes[5000];
    size_t count, stop_after;
    int release;
};

static int note(void *ctx, uint64_t code, void *block)
{
    struct walked *walked = ctx;
    cr_assert_eq(lode_morton_pool_find(walked->pool, code), block);
    cr_assert(walked->count == 0 || walked->codes[walked->count - 1] < code);
    walked->codes[walked->count++] = code;
    if (walked->release)
        cr_assert_eq(lode_morton_pool_release(walked->pool, block), 0);
    return walked->count == walked->stop_after ? 31 : 0;
}

Test(morton_place, walks_go_in_rising_order_over_any_range)
{
    static struct walked walked;
    struct lode_morton_pool *pool = walked.pool = make(64);
    static uint64_t codes[4000];
    void *block;
    /* Dense and far apart, on both sides of the middle of space */
    for (size_t i = 0; i < 4000; i++) {
        do
            codes[i] = i % 2 ? morton_random(&state) >> 1
                             : (UINT64_C(1) << 62) + morton_random(&state) % 200000;
        while (lode_morton_pool_acquire(pool, codes[i], &block) != 0);
    }
    qsort(codes, 4000, sizeof(*codes), morton_by_value);
    cr_assert_eq(lode_morton_pool_walk(pool, 0, LODE_MORTON_NO_CODE, note, &walked), 0);
    cr_assert_eq(walked.count, 4000);
    cr_assert_arr_eq(walked.codes, codes, sizeof(codes));
    for (int i = 0; i < 200; i++) {
        size_t a = morton_random(&state) % 4000, b = a + morton_random(&state) % (4000 - a);
        walked.count = 0;
        cr_assert_eq(lode_morton_pool_walk(pool, codes[a], codes[b], note, &walked), 0);
        cr_assert_eq(walked.count, b - a + 1);
        cr_assert_eq(walked.codes[0], codes[a]);
    }
    walked.count = 0;
    cr_assert_eq(lode_morton_pool_walk(pool, 9, 8, note, &walked), 0);
    cr_assert_eq(walked.count, 0);
    walked.stop_after = 17;
    cr_assert_eq(lode_morton_pool_walk(pool, 0, UINT64_MAX, note, &walked), 31);
    cr_assert_eq(walked.count, 17);
    lode_morton_pool_destroy(pool);
}

Test(morton_place, a_box_is_walked_by_its_runs_and_visitors_may_release)
{
    static struct walked walked;
    struct lode_morton_pool *pool = walked.pool = make(64);
    struct lode_morton_box box;
    const int32_t lo[3] = {-5, 2, -9}, hi[3] = {11, 7, 3};
    uint64_t first, last;
    void *block;
    for (int z = -12; z < 12; z++)
        for (int y = -12; y < 12; y++)
            for (int x = -12; x < 12; x++)
                cr_assert_eq(lode_morton_pool_acquire_at(pool, x, y, z, &block), 0);
    cr_assert_eq(lode_morton3_box_signed(lo, hi, &box), 0);
    walked.release = 1;
    while (lode_morton_box_run(&box, &first, &last))
        cr_assert_eq(lode_morton_pool_walk(pool, first, last, note, &walked), 0);
    cr_assert_eq(walked.count, 17 * 6 * 13);
    cr_assert_eq(stats_of(pool).blocks, 24 * 24 * 24 - 17 * 6 * 13);
    check(pool);
    lode_morton_pool_destroy(pool);
}
