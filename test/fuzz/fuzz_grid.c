/* SPDX-License-Identifier: MIT */
/*
 * The brick grid and its slots against a naive model: a list of bricks with their coordinates,
 * handles and pins. The input is a program of steps over places from small clusters, the ends of
 * the range and anywhere; after each step the grid answers for the place as the model does, and
 * every now and then all invariants are walked.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ext/grace.h"
#include "ext/grid.h"
#include "fuzz_input.h"
#include "lode/stats.h"

#define BRICKS   512
#define CHECK(e) ((e) ? (void)0 : abort())

struct brick {
    int32_t at[3];
    lode_handle handle; /* 0: an entry of no brick */
    unsigned pins;
    uint64_t value; /* of the current version */
    uint64_t *pinned;
    uint64_t pinned_value;
};

static struct lodei_grid grid;
static struct lode_heap *heap;
static struct brick bricks[BRICKS];
static uint64_t next_value;

struct input {
    const uint8_t *data;
    size_t left;
};

static uint32_t take(struct input *in, unsigned bytes)
{
    uint32_t value = 0;
    for (; bytes > 0 && in->left > 0; bytes--, in->left--)
        value = value << 8 | *in->data++;
    return value;
}

static int32_t coordinate(struct input *in, unsigned how)
{
    int32_t near = (int32_t)(take(in, 1) % 12);
    switch (how % 4) {
    case 0:
        return near - 6;
    case 1:
        return LODEI_GRID_MIN + near;
    case 2:
        return LODEI_GRID_MAX - near;
    default:
        return (int32_t)(take(in, 3) & 0x1fffff) + LODEI_GRID_MIN;
    }
}

/* The place's entry; else one that is free, with the place in it; NULL: the model is full. */
static struct brick *entry_at(const int32_t at[3])
{
    struct brick *empty = NULL;
    for (int i = 0; i < BRICKS; i++) {
        struct brick *b = &bricks[i];
        if ((b->handle != 0 || b->pins != 0) && memcmp(b->at, at, sizeof(b->at)) == 0)
            return b;
        if (b->handle == 0 && b->pins == 0 && empty == NULL)
            empty = b;
    }
    if (empty != NULL) {
        *empty = (struct brick){.value = 0};
        memcpy(empty->at, at, sizeof(empty->at));
    }
    return empty;
}

static uint64_t *block_new(void)
{
    uint64_t *block = lode_heap_aligned_alloc(heap, 64, 64);
    CHECK(block != NULL);
    for (int i = 0; i < 8; i++)
        block[i] = next_value;
    return block;
}

static void check_brick(const struct brick *b)
{
    int32_t at[3];
    CHECK(lodei_grid_brick(&grid, b->at[0], b->at[1], b->at[2]) == b->handle);
    if (b->pinned != NULL)
        for (int i = 0; i < 8; i++)
            CHECK(b->pinned[i] == b->pinned_value);
    if (b->handle == 0)
        return;
    const uint64_t *block = lode_peek(b->handle);
    CHECK(block != NULL && block[0] == b->value && block[7] == b->value);
    CHECK(lode_handle_pins(b->handle) == b->pins);
    lodei_grid_coordinate(b->handle, at);
    CHECK(memcmp(at, b->at, sizeof(at)) == 0);
}

static void publish(struct brick *b)
{
    uint64_t key = lodei_grid_key(b->at[0], b->at[1], b->at[2]), *block = block_new();
    lode_handle before = b->handle;
    uint32_t first;
    CHECK(lodei_grid_get(&grid, key, &first) == 0);
    uint32_t index = first + lodei_grid_lane(b->at[0], b->at[1], b->at[2]);
    int status = lodei_slot_publish(index, key, block, 1, &b->handle);
    CHECK(status == (before != 0 ? -EEXIST : 0));
    if (status == 0) {
        CHECK(b->handle != before);
        b->value = next_value++;
    } else {
        CHECK(b->handle == before);
        lode_free(block);
    }
}

static void swap(struct brick *b, int expect)
{
    uint64_t *block = block_new(), word = lodei_handle_word(b->handle);
    void *old = NULL;
    CHECK(lode_read_begin() == 0);
    int status =
        lodei_slot_swap(b->handle, expect == 0 ? 0 : word ^ (uint64_t)(expect - 1), block, 2, &old);
    lode_read_end();
    CHECK(status == (b->handle == 0 ? -ESTALE : expect > 1 ? -EAGAIN : 0));
    if (status != 0)
        lode_free(block);
    else
        b->value = next_value++;
    CHECK((old != NULL) == (status == 0 && b->pins == 0));
    if (old != NULL)
        lodei_grace_free(old);
}

static void release(struct brick *b)
{
    lode_handle handle = b->handle;
    void *old = NULL;
    if (handle == 0)
        return;
    CHECK(lodei_slot_release(lodei_handle_page(handle), handle, &old) == 0);
    CHECK((old == NULL) == (b->pins != 0));
    CHECK(lode_peek(handle) == NULL && lodei_slot_release_slow(handle, &old) == -ESTALE);
    if (old != NULL)
        lodei_grace_free(old);
    b->handle = 0;
}

static void pin(struct brick *b)
{
    uint64_t *block = lode_pin(b->handle);
    CHECK((block != NULL) == (b->handle != 0 && b->pins < LODE_PINS_MAX));
    if (block == NULL)
        return;
    CHECK(*block == b->value);
    b->pins++;
    if (b->pinned == NULL) {
        b->pinned = block;
        b->pinned_value = b->value;
    }
}

/* Any handle of the slot that was given will do: this place's group stays while it is pinned. */
static void unpin(struct brick *b)
{
    uint32_t first = lodei_grid_find(&grid, lodei_grid_key(b->at[0], b->at[1], b->at[2]));
    if (first == UINT32_MAX) {
        CHECK(b->pins == 0);
        return;
    }
    lode_handle some = (uint64_t)1 << 32 | (first + lodei_grid_lane(b->at[0], b->at[1], b->at[2]));
    if (b->pins == 1)
        b->pinned = NULL;
    CHECK(lode_unpin(some) == (b->pins > 0 ? 0 : -EINVAL));
    b->pins -= b->pins > 0;
}

static void reclaim(const struct brick *b)
{
    uint64_t key = lodei_grid_key(b->at[0], b->at[1], b->at[2]);
    int used = 0, there = lodei_grid_find(&grid, key) != UINT32_MAX;
    for (int i = 0; i < BRICKS; i++)
        used |= (bricks[i].handle != 0 || bricks[i].pins != 0) &&
                lodei_grid_key(bricks[i].at[0], bricks[i].at[1], bricks[i].at[2]) == key;
    CHECK(lodei_grid_reclaim(&grid, key) == (there && !used));
}

struct box {
    int32_t lo[3], hi[3];
    unsigned count;
};

static int count_group(void *ctx, uint64_t key, uint32_t first)
{
    struct box *box = ctx;
    for (unsigned lane = 0; lane < 8; lane++) {
        int32_t at[3];
        int inside = lodei_slot_handle(first + lane) != 0;
        lodei_grid_at(key, lane, at);
        for (int axis = 0; axis < 3; axis++)
            inside &= at[axis] >= box->lo[axis] && at[axis] <= box->hi[axis];
        box->count += (unsigned)inside;
    }
    return 0;
}

static void check_box(struct input *in, const int32_t at[3])
{
    struct box box = {.count = 0};
    unsigned expected = 0;
    for (int axis = 0; axis < 3; axis++) {
        uint32_t shape = take(in, 1);
        int32_t reach = (int32_t)((shape & 7) << (shape >> 3) & 0x1fffff); /* also out of range */
        box.lo[axis] = at[axis] - (int32_t)(shape & 1);
        box.hi[axis] = at[axis] + (shape == 255 ? -1 : reach);
    }
    CHECK(lodei_grid_each(&grid, box.lo, box.hi, count_group, &box) == 0);
    for (int i = 0; i < BRICKS; i++) {
        int inside = bricks[i].handle != 0;
        for (int axis = 0; axis < 3; axis++)
            inside &= bricks[i].at[axis] >= box.lo[axis] && bricks[i].at[axis] <= box.hi[axis];
        expected += (unsigned)inside;
    }
    CHECK(box.count == expected);
}

/* A run of groups made and given up: the table changes. */
static void churn(struct input *in)
{
    int32_t count = (int32_t)take(in, 1) * 4, axis = (int32_t)take(in, 1) % 3;
    for (int turn = 0; turn < 2; turn++)
        for (int32_t i = 0; i < count; i++) {
            int32_t at[3] = {100, 200, 300};
            uint32_t first;
            at[axis] += 1000 + 2 * i;
            uint64_t key = lodei_grid_key(at[0], at[1], at[2]);
            if (turn == 0)
                CHECK(lodei_grid_get(&grid, key, &first) == 0);
            else
                CHECK(lodei_grid_reclaim(&grid, key) == 1);
        }
}

static void step(struct input *in)
{
    uint32_t what = take(in, 1), how = take(in, 1);
    int32_t at[3];
    if (what % 16 == 15 && how % 16 == 0) {
        churn(in);
        return;
    }
    for (unsigned axis = 0; axis < 3; axis++)
        at[axis] = coordinate(in, how >> (2 * axis));
    struct brick *b = entry_at(at);
    if (b == NULL)
        return;
    check_brick(b);
    switch (what % 16) {
    case 0:
    case 1:
    case 2:
    case 3:
        publish(b);
        break;
    case 4:
    case 5:
        swap(b, (int)(what >> 4) % 3);
        break;
    case 6:
    case 7:
    case 8:
        release(b);
        break;
    case 9:
    case 10:
        pin(b);
        break;
    case 11:
    case 12:
        unpin(b);
        break;
    case 13:
        reclaim(b);
        break;
    default:
        check_box(in, at);
        break;
    }
    check_brick(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct input in = {data, bytes};
    struct lode_stats stats = {.size = sizeof(stats)};
    memset(bricks, 0, sizeof(bricks));
    CHECK(lode_heap_create(NULL, &heap) == 0);
    CHECK(lodei_grid_init(&grid, &grid, lode_heap_default()) == 0);
    for (unsigned steps = 0; in.left > 0; steps++) {
        step(&in);
        if (steps % 64 == 0)
            (void)lodei_grid_verify(&grid);
    }
    for (int i = 0; i < BRICKS; i++) {
        check_brick(&bricks[i]);
        while (bricks[i].pins > 0)
            unpin(&bricks[i]);
        release(&bricks[i]);
        reclaim(&bricks[i]);
    }
    (void)lodei_grid_verify(&grid);
    CHECK(lode_stats_get(heap, &stats) == 0 && stats.live_blocks == 0);
    lodei_grid_finish(&grid);
    lodei_grace_wait();
    lode_heap_destroy(heap);
    return 0;
}
