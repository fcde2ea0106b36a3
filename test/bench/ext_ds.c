/* SPDX-License-Identifier: MIT */
/* The containers people use most: what an item costs. Growth is part of the insertions. */
#include <lode/ds.h>

#include <stdlib.h>

#include "ext_bench.h"

#define ITEMS 200000 /* 8 bytes each: about the second-level cache */

struct pair {
    uint64_t key, value;
};

LODE_VEC_DEFINE(numbers, uint64_t);
LODE_MAP_DEFINE(table, uint64_t, uint64_t, LODE_HASH_INT, LODE_EQUAL_INT);
LODE_SPARSE_SET_DEFINE(pairs, struct pair);

static struct table map;
static struct pairs set;
static uint64_t keys[ITEMS], order[ITEMS];
static lode_sparse_id ids[ITEMS];

static void check(int status)
{
    if (status != 0)
        abort();
}

static uint64_t mix(uint64_t z)
{
    /* splitmix64's finish, Steele, Lea and Flood 2014 */
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static void prepare(void)
{
    for (uint64_t i = 0; i < ITEMS; i++) {
        keys[i] = mix(i * 0x9e3779b97f4a7c15);
        order[i] = mix(i) % ITEMS;
    }
}

static size_t vec_push(void)
{
    struct numbers v = {0};
    for (uint64_t i = 0; i < ITEMS; i++)
        check(numbers_push(&v, i));
    ext_bench_keep(v.items);
    numbers_finish(&v);
    return ITEMS;
}

static size_t map_insert(void)
{
    struct table m = {0};
    for (uint64_t i = 0; i < ITEMS; i++)
        check(table_put(&m, keys[i], i));
    ext_bench_keep(m.items);
    table_finish(&m);
    return ITEMS;
}

static void map_fill(void)
{
    prepare();
    for (uint64_t i = 0; i < ITEMS; i++)
        check(table_put(&map, keys[i], i));
}

static size_t map_find(void)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < ITEMS; i++)
        sum += *table_find(&map, keys[order[i]]);
    ext_bench_keep(&sum);
    return ITEMS;
}

static size_t map_miss(void)
{
    uint64_t found = 0;
    for (uint64_t i = 0; i < ITEMS; i++)
        found += table_find(&map, i) != NULL;
    ext_bench_keep(&found);
    return ITEMS;
}

static size_t map_churn(void)
{
    for (uint64_t i = 0; i < ITEMS; i++) {
        check(table_remove(&map, keys[i]));
        check(table_put(&map, keys[i], i));
    }
    return ITEMS;
}

static size_t map_walk(void)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < map.table.count; i++)
        sum += map.items[i].value;
    ext_bench_keep(&sum);
    return ITEMS;
}

static void map_finish(void)
{
    table_finish(&map);
}

static void set_fill(void)
{
    prepare();
    for (uint64_t i = 0; i < ITEMS; i++)
        check(pairs_add(&set, (struct pair){i, i}, &ids[i]));
}

static size_t set_get(void)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < ITEMS; i++)
        sum += pairs_get(&set, ids[order[i]])->value;
    ext_bench_keep(&sum);
    return ITEMS;
}

static size_t set_churn(void)
{
    for (uint64_t i = 0; i < ITEMS; i++) {
        check(pairs_remove(&set, ids[i]));
        check(pairs_add(&set, (struct pair){i, i}, &ids[i]));
    }
    return ITEMS;
}

static void set_finish(void)
{
    pairs_finish(&set);
}

const struct ext_bench ext_bench_ds[] = {
    {"ds-vec-push", "push", 0, NULL, vec_push, NULL},
    {"ds-map-insert", "insert", 0, prepare, map_insert, NULL},
    {"ds-map-find", "find", 0, map_fill, map_find, map_finish},
    {"ds-map-miss", "find", 0, map_fill, map_miss, map_finish},
    {"ds-map-churn", "remove+insert", 0, map_fill, map_churn, map_finish},
    {"ds-map-walk", "item", 0, map_fill, map_walk, map_finish},
    {"ds-sparse-set-get", "get", 0, set_fill, set_get, set_finish},
    {"ds-sparse-set-churn", "remove+add", 0, set_fill, set_churn, set_finish},
    {0},
};
