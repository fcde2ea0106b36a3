/* SPDX-License-Identifier: MIT */
/*
 * One grid under threads: bricks put in, found, freed, groups given up and taken by others, the
 * table growing and shrinking all the while. Each brick's block says of which coordinate it is, so
 * a find that leads to another's brick is seen at once.
 *
 * Owners   have places that nobody else touches, spread over the same groups as everybody's: they
 *          know what is there, and a find that misses it, or finds what is gone, is wrong.
 * Sharers  put, find, edit and free at places of all, and give groups up.
 * Churners make and give up groups by the thousand: the table changes.
 * Walkers  visit boxes, and walk every invariant.
 *
 *     stress-grid [ROUNDS [SEED]]
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ext/grace.h"
#include "ext/grid.h"
#include "ext/slotgrip.h"
#include "lode/stats.h"

#define OWNERS   2
#define SHARERS  2
#define PLACES   96 /* of an owner */
#define CHECK(e) ((e) ? (void)0 : failed(#e, __LINE__))

static struct lodei_grid grid;
static struct lode_heap *heap;
static unsigned rounds = 60000;
static _Atomic int working;

static void failed(const char *what, int line)
{
    fprintf(stderr, "stress_grid.c:%d: %s does not hold\n", line, what);
    abort();
}

struct worker {
    uint64_t random;
    pthread_t thread;
    int number;
};

static uint32_t below(struct worker *w, uint32_t limit)
{
    w->random = w->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((w->random >> 33) % limit);
}

struct place {
    int32_t x, y, z;
};

static int32_t *block_new(struct place at)
{
    int32_t *block = lode_heap_aligned_alloc(heap, 64, 64);
    CHECK(block != NULL);
    for (int i = 0; i < 15; i += 3) {
        block[i] = at.x;
        block[i + 1] = at.y;
        block[i + 2] = at.z;
    }
    return block;
}

static void check_block(const int32_t *block, struct place at)
{
    for (int i = 0; i < 15; i += 3)
        CHECK(block[i] == at.x && block[i + 1] == at.y && block[i + 2] == at.z);
}

static lode_handle find(struct place at)
{
    return lodei_grid_brick(&grid, at.x, at.y, at.z);
}

/* 0 or -EEXIST. */
static int put_in(struct place at, lode_handle *ret_brick)
{
    uint64_t key = lodei_grid_key(at.x, at.y, at.z);
    int32_t *block = block_new(at);
    uint32_t first;
    int status;
    do {
        CHECK(lodei_grid_get(&grid, key, &first) == 0);
        status =
            lodei_slot_publish(first + lodei_grid_lane(at.x, at.y, at.z), key, block, 1, ret_brick);
        if (status == -ENOSPC) { /* a group that is being given back: the lock tells */
            pthread_mutex_lock(&grid.lock);
            status = lodei_slot_publish(first + lodei_grid_lane(at.x, at.y, at.z), key, block, 1,
                                        ret_brick);
            pthread_mutex_unlock(&grid.lock);
            CHECK(status != -ENOSPC);
        }
    } while (status == -EAGAIN);
    CHECK(status == 0 || status == -EEXIST);
    if (status != 0)
        lode_free(block);
    return status;
}

/* 0 or -ESTALE. */
static int take_out(lode_handle brick, struct place at)
{
    void *old = NULL;
    int status = lodei_slot_release(lodei_handle_page(brick), brick, &old);
    CHECK(status == 0 || status == -ESTALE);
    if (old != NULL) {
        check_block(old, at);
        lodei_grace_free(old);
    }
    return status;
}

static void reclaim(struct place at)
{
    (void)lodei_grid_reclaim(&grid, lodei_grid_key(at.x, at.y, at.z));
}

/* What a live handle names now is of its coordinate, and both are found by it. */
static void check_live(lode_handle brick, struct place at)
{
    int32_t back[3];
    CHECK(lode_read_begin() == 0);
    const int32_t *block = lode_peek(brick);
    if (block != NULL)
        check_block(block, at);
    lode_read_end();
    lodei_grid_coordinate(brick, back);
    if (lode_handle_is_live(brick)) /* still: it was while the coordinate was read */
        CHECK(back[0] == at.x && back[1] == at.y && back[2] == at.z);
}

/* ---- owners ---- */

/* In the same groups as others' places: owners are told apart by x, the sharers' have odd y. */
static struct place own_place(int number, uint32_t i)
{
    return (struct place){(int32_t)(i % 8) * 4 + number, (int32_t)(i / 8 % 4) * 2,
                          (int32_t)(i / 32) * 2 - 3};
}

static void *own(void *arg)
{
    struct worker *w = arg;
    lode_handle there[PLACES] = {0};
    for (unsigned i = 0; i < rounds; i++) {
        uint32_t n = below(w, PLACES);
        struct place at = own_place(w->number, n);
        CHECK(find(at) == there[n]);
        if (there[n] == 0) {
            CHECK(put_in(at, &there[n]) == 0);
        } else if (below(w, 3) != 0) {
            CHECK(take_out(there[n], at) == 0);
            there[n] = 0;
            if (below(w, 2) != 0)
                reclaim(at);
        } else {
            check_live(there[n], at);
            CHECK(lode_handle_is_live(there[n]));
        }
        CHECK(find(at) == there[n]);
    }
    for (uint32_t n = 0; n < PLACES; n++)
        if (there[n] != 0)
            CHECK(take_out(there[n], own_place(w->number, n)) == 0);
    atomic_fetch_sub(&working, 1);
    return NULL;
}

/* ---- sharers ---- */

static struct place shared_place(struct worker *w)
{
    /* some among the owners', some at the ends of the range */
    if (below(w, 4) == 0)
        return (struct place){below(w, 2) != 0 ? LODEI_GRID_MIN : LODEI_GRID_MAX,
                              LODEI_GRID_MAX - (int32_t)below(w, 3), LODEI_GRID_MIN};
    return (struct place){(int32_t)below(w, 32), (int32_t)below(w, 4) * 2 + 1,
                          (int32_t)below(w, 7) - 3};
}

static void edit(lode_handle brick, struct place at)
{
    int32_t *block = block_new(at);
    void *old = NULL;
    struct lodei_grip grip;
    int status = lodei_slot_grip(&grip, brick);
    if (status == 0)
        status = lodei_slot_swap_gripped(&grip, block, 1, &old);
    CHECK(status == 0 || status == -ESTALE || status == -EAGAIN);
    if (status != 0)
        lode_free(block);
    if (old != NULL) {
        check_block(old, at);
        lodei_grace_free(old);
    }
}

static void *share(void *arg)
{
    struct worker *w = arg;
    for (unsigned i = 0; i < rounds; i++) {
        struct place at = shared_place(w);
        lode_handle brick = find(at);
        const int32_t *block;
        switch (below(w, 6)) {
        case 0:
        case 1:
            (void)put_in(at, &brick);
            break;
        case 2:
            if (brick != 0)
                (void)take_out(brick, at);
            if (below(w, 2) != 0)
                reclaim(at);
            break;
        case 3:
            edit(brick, at);
            break;
        case 4:
            block = lode_pin(brick);
            if (block != NULL) {
                check_block(block, at);
                edit(brick, at);
                reclaim(at);
                check_block(block, at);
                CHECK(lode_unpin(brick) == 0);
            }
            break;
        default:
            if (brick != 0)
                check_live(brick, at);
            break;
        }
    }
    atomic_fetch_sub(&working, 1);
    return NULL;
}

/* ---- churners and walkers ---- */

static void *churn(void *arg)
{
    struct worker *w = arg;
    while (atomic_load(&working) > 0) {
        int32_t count = 1 + (int32_t)below(w, 2000), from = 5000 + (int32_t)below(w, 100000);
        uint32_t first;
        for (int32_t i = 0; i < count; i++)
            CHECK(lodei_grid_get(&grid, lodei_grid_key(from + 2 * i, 7, 7), &first) == 0);
        for (int32_t i = 0; i < count; i++) {
            uint64_t key = lodei_grid_key(from + 2 * i, 7, 7);
            CHECK(lodei_grid_find(&grid, key) != UINT32_MAX);
            CHECK(lodei_grid_reclaim(&grid, key) == 1);
            CHECK(lodei_grid_find(&grid, key) == UINT32_MAX);
        }
    }
    return NULL;
}

static int visit(void *ctx, uint64_t key, uint32_t first)
{
    (void)ctx;
    CHECK(lode_read_begin() == 0);
    for (unsigned lane = 0; lane < 8; lane++) {
        lode_handle brick = lodei_grid_handle(key, first, lane);
        const int32_t *block = lode_peek(brick);
        int32_t at[3];
        lodei_grid_at(key, lane, at);
        if (block != NULL)
            check_block(block, (struct place){at[0], at[1], at[2]});
    }
    lode_read_end();
    return 0;
}

static void *walk(void *arg)
{
    struct worker *w = arg;
    while (atomic_load(&working) > 0) {
        int32_t lo[3] = {(int32_t)below(w, 30), 0, -3},
                hi[3] = {lo[0] + (int32_t)below(w, 9), 7, 4};
        CHECK(lodei_grid_each(&grid, lo, hi, visit, NULL) == 0);
        if (below(w, 10) == 0)
            CHECK(lodei_grid_each(&grid, NULL, NULL, visit, NULL) == 0);
        if (below(w, 4) == 0)
            (void)lodei_grid_verify(&grid);
    }
    return NULL;
}

static void start(struct worker *w, uint64_t seed, int number, void *(*work)(void *))
{
    w->random = (seed * 64 + (uint64_t)number) * UINT64_C(0x9e3779b97f4a7c15) + 1;
    w->number = number;
    CHECK(pthread_create(&w->thread, NULL, work, w) == 0);
}

static int remove_all(void *ctx, uint64_t key, uint32_t first)
{
    (void)ctx;
    for (unsigned lane = 0; lane < 8; lane++) {
        int32_t at[3];
        lode_handle brick = lodei_grid_handle(key, first, lane);
        lodei_grid_at(key, lane, at);
        if (brick != 0)
            CHECK(take_out(brick, (struct place){at[0], at[1], at[2]}) == 0);
    }
    CHECK(lodei_grid_reclaim(&grid, key) == 1);
    return 0;
}

int main(int argc, char **argv)
{
    static struct worker workers[OWNERS + SHARERS + 2];
    struct lode_stats stats = {.size = sizeof(stats)};
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    int count = 0;
    if (argc > 1)
        rounds = (unsigned)strtoul(argv[1], NULL, 10);
    CHECK(lode_heap_create(NULL, &heap) == 0);
    CHECK(lodei_grid_init(&grid, &grid, lode_heap_default()) == 0);
    atomic_store(&working, OWNERS + SHARERS);
    for (int i = 0; i < OWNERS; i++, count++)
        start(&workers[count], seed, i, own);
    for (int i = 0; i < SHARERS; i++, count++)
        start(&workers[count], seed, OWNERS + i, share);
    start(&workers[count++], seed, 10, churn);
    start(&workers[count++], seed, 11, walk);
    for (int i = 0; i < count; i++)
        pthread_join(workers[i].thread, NULL);
    (void)lodei_grid_verify(&grid);
    CHECK(lodei_grid_each(&grid, NULL, NULL, remove_all, NULL) == 0);
    CHECK(grid.slots.groups_used == 0);
    (void)lodei_grid_verify(&grid);
    lodei_grace_settle();
    CHECK(lode_stats_get(heap, &stats) == 0 && stats.live_blocks == 0);
    lodei_grid_finish(&grid);
    lodei_grace_wait();
    lode_heap_destroy(heap);
    printf("%u rounds from seed %llu\n", rounds, (unsigned long long)seed);
    return 0;
}
