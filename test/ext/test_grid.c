/* SPDX-License-Identifier: MIT */
/* ext/grid.c: from coordinates to slots and back. */
#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ext/grace.h"
#include "ext/grid.h"
#include "wrapped_heap.h"

#define MIN LODEI_GRID_MIN
#define MAX LODEI_GRID_MAX

static struct lodei_grid grid;
static struct lode_heap *blocks;

static void begin(void)
{
    cr_assert_eq(lode_heap_create(NULL, &blocks), 0);
    cr_assert_eq(lodei_grid_init(&grid, &grid, lode_heap_default()), 0);
}

static void end(void)
{
    (void)lodei_grid_verify(&grid);
    lodei_grid_finish(&grid);
    lode_heap_destroy(blocks);
}

TestSuite(grid, .init = begin, .fini = end);

struct place {
    int32_t x, y, z;
};

static uint32_t group_at(int32_t x, int32_t y, int32_t z)
{
    uint32_t first;
    cr_assert_eq(lodei_grid_get(&grid, lodei_grid_key(x, y, z), &first), 0);
    return first;
}

static lode_handle insert(int32_t x, int32_t y, int32_t z)
{
    lode_handle brick;
    void *block = lode_heap_aligned_alloc(blocks, 64, 64);
    cr_assert_eq(lodei_slot_publish(group_at(x, y, z) + lodei_grid_lane(x, y, z),
                                    lodei_grid_key(x, y, z), block, 1, &brick),
                 0);
    return brick;
}

static void take_out(lode_handle brick)
{
    void *old;
    cr_assert_eq(lodei_slot_release(lodei_handle_page(brick), brick, &old), 0);
    lodei_grace_free(old);
}

/* ---- coordinates ---- */

Test(grid, twenty_one_bits_an_axis_are_in_range)
{
    static const int32_t in[] = {MIN, MIN + 1, -2, -1, 0, 1, MAX - 1, MAX};
    static const int32_t out[] = {INT32_MIN, INT32_MIN + 1, 2 * MIN,  MIN - 2,       MIN - 1,
                                  MAX + 1,   MAX + 2,       -MIN * 2, INT32_MAX - 1, INT32_MAX};
    for (size_t i = 0; i < sizeof(in) / sizeof(in[0]); i++) {
        cr_assert(lodei_grid_holds(in[i], in[7 - i], 0));
        for (size_t o = 0; o < sizeof(out) / sizeof(out[0]); o++) {
            cr_assert_not(lodei_grid_holds(out[o], in[i], in[i]));
            cr_assert_not(lodei_grid_holds(in[i], out[o], in[i]));
            cr_assert_not(lodei_grid_holds(in[i], in[i], out[o]));
        }
    }
}

Test(grid, keys_and_lanes_lead_back_to_coordinates)
{
    static const int32_t at[] = {MIN, MIN + 1, -12345, -2, -1, 0, 1, 2, 777, MAX - 1, MAX};
    for (int x = 0; x < 11; x++)
        for (int y = 0; y < 11; y++)
            for (int z = 0; z < 11; z++) {
                uint64_t key = lodei_grid_key(at[x], at[y], at[z]);
                int32_t back[3];
                cr_assert_eq(key >> 60, 0);
                lodei_grid_at(key, lodei_grid_lane(at[x], at[y], at[z]), back);
                cr_assert(back[0] == at[x] && back[1] == at[y] && back[2] == at[z]);
            }
    cr_assert_eq(lodei_grid_key(-2, 4, 6), lodei_grid_key(-1, 5, 7));
    cr_assert_neq(lodei_grid_key(-1, 0, 0), lodei_grid_key(0, 0, 0));
}

Test(grid, a_brick_is_found_where_it_is_and_nowhere_else)
{
    static const int32_t at[] = {MIN, -1, 0, 5, MAX};
    lode_handle bricks[5][5][5];
    for (int x = 0; x < 5; x++)
        for (int y = 0; y < 5; y++)
            for (int z = 0; z < 5; z++) {
                cr_assert_eq(lodei_grid_brick(&grid, at[x], at[y], at[z]), 0);
                bricks[x][y][z] = insert(at[x], at[y], at[z]);
            }
    for (int x = 0; x < 5; x++)
        for (int y = 0; y < 5; y++)
            for (int z = 0; z < 5; z++) {
                int32_t back[3];
                lode_handle brick = lodei_grid_brick(&grid, at[x], at[y], at[z]);
                cr_assert_eq(brick, bricks[x][y][z]);
                cr_assert(lode_handle_is_live(brick));
                cr_assert_eq(lodei_handle_owner(brick), &grid);
                lodei_grid_coordinate(brick, back);
                cr_assert(back[0] == at[x] && back[1] == at[y] && back[2] == at[z]);
            }
    cr_assert_eq(lodei_grid_brick(&grid, 1, 0, 0), 0);
    cr_assert_eq(lodei_grid_brick(&grid, 100, 0, 0), 0);
    take_out(bricks[0][0][0]);
    cr_assert_eq(lodei_grid_brick(&grid, MIN, MIN, MIN), 0);
}

/* ---- groups ---- */

Test(grid, a_group_is_given_up_when_nothing_is_in_it)
{
    uint64_t key = lodei_grid_key(10, 20, 30);
    uint32_t first = group_at(11, 21, 31);
    lode_handle brick = insert(10, 20, 30);
    cr_assert_eq(group_at(10, 20, 30), first);
    cr_assert_eq(lodei_grid_find(&grid, key), first);
    cr_assert_eq(lodei_grid_reclaim(&grid, key), 0);
    cr_assert_eq(lodei_grid_brick(&grid, 10, 20, 30), brick);
    cr_assert_not_null(lode_pin(brick));
    void *old;
    cr_assert_eq(lodei_slot_release(lodei_handle_page(brick), brick, &old), 0);
    cr_assert_eq(lodei_grid_reclaim(&grid, key), 0); /* still pinned */
    cr_assert_eq(lode_unpin(brick), 0);
    cr_assert_eq(lodei_grid_reclaim(&grid, key), 1);
    cr_assert_eq(lodei_grid_find(&grid, key), UINT32_MAX);
    cr_assert_eq(lodei_grid_reclaim(&grid, key), 0);
    (void)lodei_grid_verify(&grid);

    lode_handle there = insert(-10, -20, -30); /* by the group's next owner */
    cr_assert_eq((uint32_t)there & ~7u, first);
    cr_assert_eq(lodei_slot_publish(first, key, NULL, 1, &brick), -EAGAIN);
    cr_assert_eq(lodei_grid_brick(&grid, 10, 20, 30), 0);
    cr_assert_not(lode_handle_is_live(brick));
    (void)insert(10, 20, 30);
    (void)lodei_grid_verify(&grid);
}

Test(grid, tables_grow_and_shrink_and_are_used_again)
{
    size_t mapped_before, mapped, used;
    for (int round = 0; round < 6; round++) {
        for (int32_t i = 0; i < 30000; i++)
            (void)group_at(2 * (i % 100) - 100, 2 * (i / 100 % 100), 2 * (i / 10000) - 4);
        (void)lodei_grid_verify(&grid);
        for (int32_t i = 0; i < 30000; i++)
            cr_assert_eq(
                lodei_grid_reclaim(&grid, lodei_grid_key(2 * (i % 100) - 100, 2 * (i / 100 % 100),
                                                         2 * (i / 10000) - 4)),
                1);
        (void)lodei_grid_verify(&grid);
        for (int32_t i = 0; i < 200000; i++) { /* few at a time: it shrinks */
            uint64_t key = lodei_grid_key(2 * i, 0, 0);
            uint32_t first;
            cr_assert_eq(lodei_grid_get(&grid, key, &first), 0);
            cr_assert_eq(lodei_grid_reclaim(&grid, key), 1);
        }
        (void)lodei_grid_verify(&grid);
        lodei_grid_figures(&grid, &used, &mapped);
        cr_assert_leq(used, 64 * sizeof(uint32_t) * 2);
        if (round == 0)
            mapped_before = mapped;
        cr_assert_eq(mapped, mapped_before);
    }
}

/* ---- how far a find looks ---- */

static void assert_near(const char *pattern, uint32_t groups)
{
    double looks = (double)lodei_grid_verify(&grid) / groups;
    cr_assert_lt(looks, 2.5, "%s, %u groups: a find looks at %.1f entries", pattern, groups, looks);
}

static void fill_and_check(const char *pattern, uint32_t count, struct place (*place)(uint32_t i))
{
    uint32_t first;
    for (uint32_t i = 0; i < count; i++) {
        struct place at = place(i);
        cr_assert_eq(lodei_grid_get(&grid, lodei_grid_key(at.x, at.y, at.z), &first), 0);
    }
    assert_near(pattern, grid.slots.groups_used);
    for (uint32_t i = 0; i < count; i++) {
        struct place at = place(i);
        (void)lodei_grid_reclaim(&grid, lodei_grid_key(at.x, at.y, at.z));
    }
    cr_assert_eq(grid.slots.groups_used, 0);
}

static struct place column_x(uint32_t i)
{
    return (struct place){2 * (int32_t)i - 40000, 0, 0};
}

static struct place column_y(uint32_t i)
{
    return (struct place){7, 2 * (int32_t)i - 40000, -9};
}

static struct place column_z(uint32_t i)
{
    return (struct place){0, 0, 2 * (int32_t)i - 40000};
}

static struct place cube(uint32_t i)
{
    return (struct place){2 * (int32_t)(i % 32), 2 * (int32_t)(i / 32 % 32),
                          2 * (int32_t)(i / 1024) - 20};
}

static struct place terrain(uint32_t i)
{
    int32_t x = (int32_t)(i % 200), z = (int32_t)(i / 200);
    return (struct place){2 * x - 200, (x * 7 + z * 3) / 16 % 40, 2 * z};
}

static struct place corners(uint32_t i)
{
    return (struct place){i & 1 ? MIN : MAX,
                          i & 2 ? MIN + (int32_t)(i / 4) : MAX - (int32_t)(i / 4),
                          i & 4 ? MIN : MAX - 2 * (int32_t)(i / 8)};
}

Test(grid, no_shape_of_world_crowds_the_table, .timeout = 120)
{
    static const uint32_t counts[] = {20, 300, 4000, 33000};
    for (int c = 0; c < 4; c++) {
        fill_and_check("column along x", counts[c], column_x);
        fill_and_check("column along y", counts[c], column_y);
        fill_and_check("column along z", counts[c], column_z);
        fill_and_check("cube", counts[c], cube);
        fill_and_check("terrain", counts[c], terrain);
        fill_and_check("corners", counts[c], corners);
    }
}

/* ---- visiting ---- */

struct visits {
    uint32_t count;
    int stop_after;
    uint64_t last_key;
};

static int visit(void *ctx, uint64_t key, uint32_t first)
{
    struct visits *v = ctx;
    cr_assert_eq(lodei_group_key(first), key);
    v->last_key = key;
    return (int)++v->count == v->stop_after ? 5 : 0;
}

static uint32_t visited(struct place lo, struct place hi)
{
    struct visits v = {0};
    const int32_t from[3] = {lo.x, lo.y, lo.z}, to[3] = {hi.x, hi.y, hi.z};
    cr_assert_eq(lodei_grid_each(&grid, from, to, visit, &v), 0);
    return v.count;
}

Test(grid, a_visit_sees_the_groups_the_box_touches)
{
    for (int32_t i = 0; i < 1000; i++)
        (void)group_at(2 * (i % 10), 2 * (i / 10 % 10), 2 * (i / 100));
    struct visits v = {0};
    cr_assert_eq(lodei_grid_each(&grid, NULL, NULL, visit, &v), 0);
    cr_assert_eq(v.count, 1000);
    cr_assert_eq(visited((struct place){0, 0, 0}, (struct place){19, 19, 19}), 1000);
    cr_assert_eq(visited((struct place){1, 1, 1}, (struct place){1, 1, 1}), 1);
    cr_assert_eq(visited((struct place){1, 1, 1}, (struct place){2, 2, 2}), 8);
    cr_assert_eq(visited((struct place){-50, 3, 3}, (struct place){500, 3, 3}), 10);
    cr_assert_eq(visited((struct place){-50, -50, -50}, (struct place){-1, 500, 500}), 0);
    cr_assert_eq(visited((struct place){5, 5, 5}, (struct place){4, 9, 9}), 0);
    v = (struct visits){.stop_after = 7};
    cr_assert_eq(lodei_grid_each(&grid, NULL, NULL, visit, &v), 5);
    cr_assert_eq(v.count, 7);
    v = (struct visits){.stop_after = 7};
    const int32_t lo[3] = {0, 0, 0}, hi[3] = {3, 3, 3};
    cr_assert_eq(lodei_grid_each(&grid, lo, hi, visit, &v), 5);
    cr_assert_eq(v.count, 7);
}

Test(grid, a_box_may_reach_beyond_the_range)
{
    const struct place far_below = {INT32_MIN, INT32_MIN, INT32_MIN};
    const struct place far_above = {INT32_MAX, INT32_MAX, INT32_MAX};
    for (int32_t i = 0; i < 40; i++) {
        (void)group_at(MAX - 2 * i, MAX, MAX);
        (void)group_at(MIN + 2 * i, MIN + 2, MIN);
        (void)group_at(MIN + 2 * i, MIN, MIN);
    }
    cr_assert_eq(visited(far_below, far_above), 120);
    cr_assert_eq(visited((struct place){MAX - 1, MAX - 1, MAX - 1}, far_above), 1);
    cr_assert_eq(visited(far_below, (struct place){MIN + 1, MIN + 1, MIN + 1}), 1);
    /* few cells, of which all beyond the range are none: their keys would be others' */
    cr_assert_eq(visited((struct place){MAX + 1, MIN, MIN}, (struct place){MAX + 9, MIN, MIN}), 0);
    cr_assert_eq(visited((struct place){MIN - 9, MIN, MIN}, (struct place){MIN - 1, MIN, MIN}), 0);
    cr_assert_eq(visited((struct place){MIN, MIN - 3, MIN}, (struct place){MIN, MIN + 3, MIN}), 2);
    cr_assert_eq(visited((struct place){MAX, MAX, MAX}, far_above), 1);
    cr_assert_eq(
        visited((struct place){INT32_MAX - 1, 0, 0}, (struct place){INT32_MAX, INT32_MAX, 0}), 0);
    cr_assert_eq(
        visited((struct place){INT32_MIN, 0, 0}, (struct place){INT32_MIN + 1, INT32_MAX, 0}), 0);
}

/* ---- no memory ---- */

Test(grid, without_memory_nothing_changes)
{
    struct lodei_grid other;
    uint32_t first = 77;
    atomic_store(&wrapped_allocations, 0);
    cr_assert_eq(lodei_grid_init(&other, &other, lode_heap_default()), -ENOMEM);
    cr_assert_eq(lodei_grid_get(&grid, 5, &first), -ENOMEM);
    atomic_store(&wrapped_allocations, -1);
    for (int32_t i = 0; i < 32; i++)
        (void)group_at(2 * i, 0, 0);
    atomic_store(&wrapped_allocations, 0); /* the table is as full as it may be */
    cr_assert_eq(lodei_grid_get(&grid, lodei_grid_key(0, 2, 0), &first), -ENOMEM);
    cr_assert_eq(first, 77);
    (void)lodei_grid_verify(&grid);
    for (int32_t i = 0; i < 32; i++)
        (void)group_at(2 * i, 0, 0);
    atomic_store(&wrapped_allocations, -1);
    for (int32_t i = 32; i < 512; i++)
        (void)group_at(2 * i, 0, 0);
    atomic_store(&wrapped_allocations, 1); /* a table, no page */
    cr_assert_eq(lodei_grid_get(&grid, lodei_grid_key(0, 2, 0), &first), -ENOMEM);
    cr_assert_eq(lodei_grid_find(&grid, lodei_grid_key(0, 2, 0)), UINT32_MAX);
    atomic_store(&wrapped_allocations, -1);
    (void)lodei_grid_verify(&grid);
    (void)group_at(0, 2, 0);
}

/* ---- against a model ---- */

#define PLACES 700

static struct place places[PLACES];
static lode_handle there[PLACES]; /* 0: none */
static uint64_t random_state;

static uint32_t below(uint32_t limit)
{
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((random_state >> 33) % limit);
}

static int32_t clamped(int64_t v)
{
    return (int32_t)(v < MIN ? MIN : v > MAX ? MAX : v);
}

/* Clusters around some points, some of them at the ends of the range, and single bricks. */
static struct place some_place(void)
{
    static const int32_t centres[][3] = {
        {0, 0, 0}, {MIN, MIN, MIN}, {MAX, MAX, MAX}, {-300000, 5, MAX}, {-1, MIN, 77777}};
    uint32_t which = below(6), spread = 1 + below(20);
    if (which == 5)
        return (struct place){(int32_t)below(1u << 21) + MIN, (int32_t)below(1u << 21) + MIN,
                              (int32_t)below(1u << 21) + MIN};
    return (struct place){clamped(centres[which][0] - (int64_t)spread / 2 + below(spread)),
                          clamped(centres[which][1] - (int64_t)spread / 2 + below(spread)),
                          clamped(centres[which][2] - (int64_t)spread / 2 + below(spread))};
}

static size_t find_place(struct place at)
{
    for (size_t i = 0; i < PLACES; i++)
        if (there[i] != 0 && places[i].x == at.x && places[i].y == at.y && places[i].z == at.z)
            return i;
    return PLACES;
}

static int in_box(const struct place *at, const int32_t lo[3], const int32_t hi[3])
{
    return at->x >= lo[0] && at->x <= hi[0] && at->y >= lo[1] && at->y <= hi[1] && at->z >= lo[2] &&
           at->z <= hi[2];
}

struct counted {
    const int32_t *lo, *hi;
    uint32_t count;
};

static int count_in_box(void *ctx, uint64_t key, uint32_t first)
{
    struct counted *c = ctx;
    for (unsigned lane = 0; lane < 8; lane++) {
        int32_t at[3];
        lodei_grid_at(key, lane, at);
        struct place p = {at[0], at[1], at[2]};
        c->count += lodei_slot_handle(first + lane) != 0 && in_box(&p, c->lo, c->hi);
    }
    return 0;
}

static void check_box(void)
{
    struct place a = some_place(), b = some_place();
    const int32_t lo[3] = {a.x, a.y, a.z};
    int32_t hi[3] = {b.x, b.y, b.z};
    if (below(2) != 0) /* small, so that it is walked by cells */
        for (int axis = 0; axis < 3; axis++)
            hi[axis] = lo[axis] + (int32_t)below(6);
    struct counted c = {lo, hi, 0};
    uint32_t expected = 0;
    cr_assert_eq(lodei_grid_each(&grid, lo, hi, count_in_box, &c), 0);
    for (size_t i = 0; i < PLACES; i++)
        expected += there[i] != 0 && in_box(&places[i], lo, hi);
    cr_assert_eq(c.count, expected);
}

static void put_in(struct place at)
{
    size_t empty = 0;
    while (empty < PLACES && there[empty] != 0)
        empty++;
    if (empty == PLACES)
        return;
    places[empty] = at;
    there[empty] = insert(at.x, at.y, at.z);
}

static void check_all(void)
{
    (void)lodei_grid_verify(&grid);
    for (size_t i = 0; i < PLACES; i++)
        if (there[i] != 0)
            cr_assert_eq(lodei_grid_brick(&grid, places[i].x, places[i].y, places[i].z), there[i]);
}

static void run_model(uint64_t seed, uint32_t steps)
{
    random_state = seed;
    for (uint32_t step = 0; step < steps; step++) {
        struct place at = below(3) != 0 ? some_place() : places[below(PLACES)];
        size_t known = find_place(at);
        lode_handle brick = lodei_grid_brick(&grid, at.x, at.y, at.z);
        cr_assert_eq(brick, known < PLACES ? there[known] : 0);
        if (known < PLACES && below(2) != 0) {
            take_out(brick);
            there[known] = 0;
            if (below(2) != 0)
                (void)lodei_grid_reclaim(&grid, lodei_grid_key(at.x, at.y, at.z));
        } else if (known == PLACES) {
            put_in(at);
        }
        if (step % 64 == 0)
            check_box();
        if (step % 512 == 0)
            check_all();
    }
    for (size_t i = 0; i < PLACES; i++)
        if (there[i] != 0) {
            take_out(there[i]);
            there[i] = 0;
            (void)lodei_grid_reclaim(&grid, lodei_grid_key(places[i].x, places[i].y, places[i].z));
        }
    check_all();
}

Test(grid, thousands_of_steps_keep_to_the_model, .timeout = 200)
{
    for (uint64_t seed = 1; seed <= 5; seed++)
        run_model(seed, 20000);
}
