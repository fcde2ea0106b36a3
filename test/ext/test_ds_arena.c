/* SPDX-License-Identifier: MIT */
/* The containers of lode/ds.h over an arena (lode/arena.h): growing in place, giving back the tail,
 * and starting anew after a reset; pooled vectors over an object pool (lode/pool.h). Under ASan
 * both poison what they do not hold. */
#include <criterion/criterion.h>

#include <errno.h>

#include "lode/arena.h"
#include "lode/ds.h"
#include "lode/pool.h"

LODE_VEC_DEFINE(vec, uint32_t);
LODE_BUMPVEC_DEFINE(bump, uint32_t);
LODE_SMALLVEC_DEFINE(few, uint32_t, 4);
LODE_STABLEVEC_DEFINE(stable, uint32_t, 16);
LODE_POOLEDVEC_DEFINE(pooled, uint32_t, 64);
LODE_RING_DEFINE(ring, uint32_t);
LODE_MAP_DEFINE(map, uint32_t, uint32_t, LODE_HASH_INT, LODE_EQUAL_INT);
LODE_SPARSE_SET_DEFINE(mobs, uint32_t);
LODE_SPARSE_ARRAY_DEFINE(field, uint32_t, 64);
#define FIELDS(F) F(float, x) F(float, y)
LODE_SOA_DEFINE(rows, 32, FIELDS);

static struct lode_arena *arena;
static struct lode_allocator allocator;

static void start(size_t max_bytes)
{
    struct lode_arena_opts o = LODE_ARENA_OPTS_INIT;
    o.name = "containers";
    o.max_bytes = max_bytes;
    cr_assert_eq(lode_arena_create(&o, &arena), 0);
    lode_arena_allocator(arena, &allocator);
}

static size_t used_bytes(void)
{
    struct lode_allocator_stats stats;
    lode_allocator_stats(&allocator, &stats);
    return stats.used_bytes;
}

Test(ds_arena, a_bump_vector_stays_where_it_is_and_gives_back_its_tail)
{
    struct bump v;
    start(0);
    bump_init(&v, 0, &allocator);
    cr_assert_eq(bump_push(&v, 0), 0);
    uint32_t *first = v.items;
    for (uint32_t i = 1; i < 4000; i++)
        cr_assert_eq(bump_push(&v, i), 0);
    cr_assert_eq(v.items, first);
    bump_trim(&v);
    cr_assert_eq(v.items, first);
    cr_assert_eq(used_bytes(), 4000 * sizeof(uint32_t));
    cr_assert_not_null(lode_arena_alloc(arena, 8, 8));
    for (uint32_t i = 4000; i < 300000; i++)
        cr_assert_eq(bump_push(&v, i), 0);
    for (uint32_t i = 0; i < 300000; i++)
        cr_assert_eq(v.items[i], i);
    bump_finish(&v);
    lode_arena_destroy(arena);
}

struct all {
    struct vec vec;
    struct bump bump;
    struct few few;
    struct stable stable;
    struct pooled pooled;
    struct ring ring;
    struct map map;
    struct mobs mobs;
    struct field field;
    struct rows rows;
    struct lode_interner names;
    struct lode_bitset bits;
};

static void init(struct all *all)
{
    vec_init(&all->vec, 0, &allocator);
    bump_init(&all->bump, 0, &allocator);
    few_init(&all->few, 0, &allocator);
    stable_init(&all->stable, 0, &allocator);
    cr_assert_eq(pooled_init(&all->pooled, 0, &allocator), 0);
    cr_assert_eq(ring_init(&all->ring, 0, 0, &allocator), 0);
    map_init(&all->map, 0, &allocator);
    mobs_init(&all->mobs, 0, &allocator);
    field_init(&all->field, 0, &allocator);
    rows_init(&all->rows, 0, &allocator);
    lode_interner_init(&all->names, 0, 0, &allocator);
    lode_bitset_init(&all->bits, 0, &allocator);
}

/* One more of each; 0, or -ENOMEM from the first that had none. */
static int add(struct all *all, uint32_t i)
{
    lode_sparse_id id;
    uint32_t name;
    char text[] = "name 000000";
    for (uint32_t left = i, at = 10; left > 0; left /= 10)
        text[at--] = (char)('0' + left % 10);
    int status = vec_push(&all->vec, i);
    status = status != 0 ? status : bump_push(&all->bump, i);
    status = status != 0 ? status : few_push(&all->few, i);
    status = status != 0 ? status : stable_push(&all->stable, i);
    status = status != 0 ? status : pooled_push(&all->pooled, i);
    status = status != 0 ? status : ring_push(&all->ring, i);
    status = status != 0 ? status : map_put(&all->map, i, i);
    status = status != 0 ? status : mobs_add(&all->mobs, i, &id);
    status = status != 0 ? status : field_set(&all->field, i * 7, i);
    status = status != 0 ? status : rows_push(&all->rows, (struct rows_row){(float)i, 1});
    status = status != 0 ? status : lode_intern(&all->names, text, 11, &name);
    status = status != 0 ? status : lode_bitset_resize(&all->bits, i + 1);
    return status != 0 ? status : lode_bitset_put(&all->bits, i, i % 3 == 0);
}

static void check(struct all *all, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        cr_assert(all->vec.items[i] == i && all->bump.items[i] == i);
        cr_assert(*few_at(&all->few, i) == i && *stable_at(&all->stable, i) == i);
        cr_assert(*pooled_at(&all->pooled, i) == i && *ring_at(&all->ring, i) == i);
        cr_assert(*map_find(&all->map, i) == i && all->mobs.items[i] == i);
        cr_assert(*field_get(&all->field, i * 7) == i &&
                  *LODE_SOA_AT(&all->rows, i, x) == (float)i);
        cr_assert_eq(lode_interner_bytes(&all->names, i + 1), 11);
        cr_assert_eq(lode_bitset_has(&all->bits, i), i % 3 == 0);
    }
}

Test(ds_arena, all_together_and_anew_after_each_reset)
{
    struct all all;
    start(0);
    for (int frame = 0; frame < 5; frame++) {
        init(&all);
        for (uint32_t i = 0; i < 3000; i++)
            cr_assert_eq(add(&all, i), 0);
        check(&all, 3000);
        lode_arena_reset(arena);
        cr_assert_eq(used_bytes(), 0);
    }
    lode_arena_destroy(arena);
}

Test(ds_arena, when_the_arena_is_full_everything_is_still_there)
{
    struct all all;
    uint32_t count = 0;
    int status;
    start(1 << 20);
    init(&all);
    while ((status = add(&all, count)) == 0)
        count++;
    cr_assert_eq(status, -ENOMEM);
    cr_assert_gt(count, 1000);
    check(&all, count);
    lode_arena_destroy(arena);
}

Test(ds_arena, pooled_vectors_share_one_pool_to_its_last_block)
{
    struct lode_pool_opts o = LODE_POOL_OPTS_INIT;
    struct lode_pool *pool;
    struct lode_allocator_stats stats;
    struct pooled v[3];
    size_t counts[3];
    o.object_bytes = 64;
    o.max = 300;
    cr_assert_eq(lode_pool_create(&o, &pool), 0);
    lode_pool_allocator(pool, &allocator);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(pooled_init(&v[i], 0, &allocator), 0);
    for (int round = 0; round < 3; round++) {
        for (uint32_t k = 0; k < 1000; k++)
            for (uint32_t i = 0; i < 3; i++)
                cr_assert_eq(pooled_push(&v[i], k * 3 + i), 0);
        while (pooled_push(&v[round], 7) == 0)
            ;
        for (int i = 0; i < 3; i++)
            counts[i] = pooled_count(&v[i]);
        lode_allocator_stats(&allocator, &stats);
        cr_assert_geq(stats.blocks, 298); /* what the next block's tables need is not there */
        for (uint32_t i = 0; i < 3; i++)
            for (uint32_t k = 0; k < 1000; k++)
                cr_assert_eq(*pooled_at(&v[i], k), k * 3 + i);
        cr_assert_eq(counts[(round + 1) % 3], 1000);
        for (int i = 0; i < 3; i++)
            while (pooled_pop(&v[i], NULL) == 0)
                ;
        lode_allocator_stats(&allocator, &stats);
        cr_assert_leq(stats.blocks, 3);
    }
    for (int i = 0; i < 3; i++)
        pooled_finish(&v[i]);
    lode_allocator_stats(&allocator, &stats);
    cr_assert_eq(stats.blocks, 0);
    lode_pool_destroy(pool);
}
