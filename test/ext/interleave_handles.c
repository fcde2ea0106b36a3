/* SPDX-License-Identifier: MIT */
/*
 * Slots, reading sections and the grid, one atomic step at a time: see interleave.h. Two to four
 * tasks do a few things each to two slots; or to places of a grid whose table is about to change;
 * or end owners and their heaps, while others read and settle. Blocks come from a stack of few, so
 * that the one just freed is the next one's, at once: what takes a later life of a slot for an
 * earlier one is seen. Every block says of which version and life it is, and whether it is free.
 *
 *     interleave-handles [RUNS [SEED]]
 */
#include "interleave.h"

#include "lode/heap.h"

#define BLOCKS   64
#define CHECK(e) ((e) ? (void)0 : failed(#e, __LINE__))

static uint64_t seed;

static void failed(const char *what, int line)
{
    fprintf(stderr, "interleave_handles.c:%d: %s does not hold (seed %llu)\n", line, what,
            (unsigned long long)seed);
    abort();
}

/* ---- blocks ---- */

static struct block {
    _Alignas(64) uint64_t version;
    uint64_t life; /* the handle it is of; 0: not known yet */
    int32_t at[3];
    int live, heap; /* of the task that ends */
} all_blocks[BLOCKS];
static struct block *spares[BLOCKS];
static int spare_count;
static uint64_t next_version;

static void blocks_start(void)
{
    spare_count = 0;
    next_version = 1;
    while (spare_count < BLOCKS) {
        all_blocks[spare_count].live = 0;
        spares[spare_count] = &all_blocks[spare_count];
        spare_count++;
    }
}

static struct block *block_new(void)
{
    CHECK(spare_count > 0);
    struct block *block = spares[--spare_count];
    CHECK(!block->live);
    *block = (struct block){.version = next_version++, .live = 1};
    return block;
}

static void block_free(void *p)
{
    struct block *block = p;
    if (block < all_blocks || block >= all_blocks + BLOCKS) {
        lode_free(p);
        return;
    }
    CHECK(block->live);
    block->live = 0;
    spares[spare_count++] = block;
}

/* ---- what is tested, in this file ---- */

#define lode_free block_free
#define lock      parked_lock
#define count     parked_count
#define capacity  parked_capacity
#define entries   parked_entries
#include "../../ext/parked.c"
#undef lock
#undef count
#undef capacity
#undef entries
#define lock grace_lock
#include "../../ext/grace.c"
#undef lock
#include "../../ext/slots.c"
#include "../../ext/slotgrip.c"
#include "../../ext/slotgroups.c"
#include "../../ext/grid.c"
#undef lode_free

/* ---- slots ---- */

#define SLOTS 2
#define KEY   7

static struct lodei_slots owner;
static uint32_t first_slot;
static lode_handle known[SLOTS];
static lode_handle begun[4096]; /* handles of lives that began */
static int begun_count, ended_count, acts;

static uint32_t below(uint32_t limit)
{
    return interleave_below(limit);
}

static int has_begun(lode_handle handle)
{
    for (int i = 0; i < begun_count; i++)
        if (begun[i] == handle)
            return 1;
    return 0;
}

static void check_block(lode_handle handle, const struct block *block)
{
    CHECK(block->live && (block->life == 0 || block->life == handle));
}

static void do_publish(void)
{
    struct block *block = block_new();
    uint32_t slot = below(SLOTS);
    lode_handle handle;
    if (lodei_slot_publish(first_slot + slot, KEY, block, 1, &handle) != 0) {
        block_free(block);
        return;
    }
    CHECK(!has_begun(handle));
    if (block->live && block->life == 0) /* else it has been replaced, or freed, already */
        block->life = handle;
    begun[begun_count++] = handle;
    known[slot] = handle;
}

static void do_swap(void)
{
    lode_handle handle = known[below(SLOTS)];
    struct block *block = block_new();
    uint64_t expected = 0;
    void *old = NULL;
    CHECK(lode_read_begin() == 0);
    if (below(2) != 0)
        expected = lodei_handle_word(handle);
    block->life = handle;
    int status = lodei_slot_swap(handle, expected, block, 2, &old);
    lode_read_end();
    CHECK(status == 0 || status == -ESTALE || (status == -EAGAIN && expected != 0));
    if (status != 0)
        block_free(block);
    if (old != NULL) {
        check_block(handle, old);
        lodei_grace_free(old);
    }
}

/* As an edit does it. */
static void do_edit(void)
{
    lode_handle handle = known[below(SLOTS)];
    struct lodei_grip grip;
    void *old = NULL;
    if (lodei_slot_grip(&grip, handle) != 0)
        return;
    struct block *read = lodei_word_block(grip.word), *block = block_new();
    uint64_t version = read->version;
    check_block(handle, read);
    for (uint32_t i = below(4); i > 0; i--)
        interleave_step();
    if (below(4) == 0)
        do_swap();
    if (below(4) == 0)
        do_edit();
    CHECK(read->live && read->version == version);
    block->life = handle;
    if (below(8) == 0) {
        lodei_slot_let_go(&grip);
        block_free(block);
        return;
    }
    int status = lodei_slot_swap_gripped(&grip, block, 2, &old);
    CHECK(status == 0 || status == -ESTALE || status == -EAGAIN);
    if (status != 0)
        block_free(block);
    if (old != NULL) {
        CHECK(old == read && read->version == version);
        lodei_grace_free(old);
    }
}

static void do_release(void)
{
    lode_handle handle = known[below(SLOTS)];
    void *old = NULL;
    if (handle == 0)
        return;
    int status = lodei_slot_release(lodei_handle_page(handle), handle, &old);
    CHECK(status == 0 || status == -ESTALE);
    CHECK(lode_peek(handle) == NULL);
    ended_count += status == 0;
    if (old != NULL) {
        check_block(handle, old);
        lodei_grace_free(old);
    }
}

static void do_pin(void)
{
    lode_handle handle = known[below(SLOTS)];
    struct block *block = lode_pin(handle);
    if (block == NULL)
        return;
    uint64_t version = block->version;
    check_block(handle, block);
    if (below(2) != 0)
        do_swap();
    if (below(3) == 0)
        do_release();
    check_block(handle, block);
    CHECK(block->version == version);
    CHECK(lode_unpin(handle) == 0);
}

static void do_peek(void)
{
    CHECK(lode_read_begin() == 0);
    lode_handle handle = known[below(SLOTS)];
    struct block *block = lode_peek(handle);
    if (block != NULL) {
        uint64_t version = block->version;
        check_block(handle, block);
        for (int i = 0; i < 4; i++) {
            interleave_step();
            CHECK(block->live && block->version == version);
        }
        if (below(2) != 0)
            do_swap();
        CHECK(block->live && block->version == version);
    }
    lode_read_end();
}

static void do_look(void)
{
    lode_handle handle = lodei_slot_handle(first_slot + below(SLOTS));
    /* its publisher may have still to say so */
    for (int i = 0; handle != 0 && i < 5000 && !has_begun(handle); i++)
        interleave_yield();
    CHECK(handle == 0 || has_begun(handle));
}

static void slot_task(int number)
{
    static void (*const all[])(void) = {do_publish, do_publish, do_release, do_release, do_swap,
                                        do_pin,     do_peek,    do_look,    do_edit,    do_edit};
    (void)number;
    for (int i = 0; i < acts; i++)
        all[below(sizeof(all) / sizeof(all[0]))]();
}

static void run_slots(void)
{
    uint32_t group;
    blocks_start();
    begun_count = ended_count = 0;
    memset(known, 0, sizeof(known));
    CHECK(lodei_slots_take(&owner, KEY, &group) == 0);
    first_slot = group;
    acts = 3 + (int)(seed % 8);
    interleave_run(seed, 2 + (int)(seed % 3), slot_task);
    lodei_slots_verify(&owner);
    for (uint32_t i = 0; i < SLOTS; i++) {
        lode_handle handle = lodei_slot_handle(first_slot + i);
        void *old = NULL;
        if (handle == 0)
            continue;
        CHECK((lodei_handle_word(handle) & LODEI_SLOT_KEPT_MASK) == 0);
        CHECK(lodei_slot_release(lodei_handle_page(handle), handle, &old) == 0);
        lodei_grace_free(old);
        ended_count++;
    }
    CHECK(ended_count == begun_count);
    lodei_grace_settle();
    CHECK(spare_count == BLOCKS && lodei_parked_count() == 0);
    CHECK(lodei_slots_give(&owner, group) == 0);
}

/* ---- grid ---- */

static struct lodei_grid grid;

/* Each task's own place, all of one group; and one that they share, of another. */
static const int32_t places[TASKS_MAX][3] = {{0, 0, 0}, {1, 0, 0}, {0, 1, 0},
                                             {1, 1, 0}, {0, 0, 1}, {-1, -1, -1}};
#define SHARED 5

static lode_handle find(int place)
{
    return lodei_grid_brick(&grid, places[place][0], places[place][1], places[place][2]);
}

static uint64_t key_of(int place)
{
    return lodei_grid_key(places[place][0], places[place][1], places[place][2]);
}

static int put_in(int place, lode_handle *ret_brick)
{
    const int32_t *at = places[place];
    struct block *block = block_new();
    int status;
    memcpy(block->at, at, sizeof(block->at));
    do {
        uint32_t first;
        CHECK(lodei_grid_get(&grid, key_of(place), &first) == 0);
        status = lodei_slot_publish(first + lodei_grid_lane(at[0], at[1], at[2]), key_of(place),
                                    block, 1, ret_brick);
        if (status == -ENOSPC)
            interleave_yield(); /* its group is being given up */
    } while (status == -EAGAIN || status == -ENOSPC);
    if (status != 0)
        block_free(block);
    return status;
}

static int take_out(lode_handle brick, int place)
{
    void *p = NULL;
    int status = lodei_slot_release(lodei_handle_page(brick), brick, &p);
    struct block *block = p;
    if (block != NULL) {
        CHECK(block->live && memcmp(block->at, places[place], sizeof(block->at)) == 0);
        lodei_grace_free(block);
    }
    return status;
}

static void look_at(lode_handle brick, int place)
{
    int32_t at[3];
    if (brick == 0)
        return;
    CHECK(lode_read_begin() == 0);
    struct block *block = lode_peek(brick);
    lodei_grid_coordinate(brick, at);
    if (block != NULL) {
        CHECK(block->live && memcmp(block->at, places[place], sizeof(block->at)) == 0);
        CHECK(!lode_handle_is_live(brick) || memcmp(at, places[place], sizeof(at)) == 0);
    }
    lode_read_end();
}

/* Groups enough to make the table change, and to give them up again. */
static void churn(int number)
{
    uint64_t keys[12];
    uint32_t first;
    for (int i = 0; i < 12; i++) {
        keys[i] = lodei_grid_key(100 + 2 * i, 100 * number, 0);
        CHECK(lodei_grid_get(&grid, keys[i], &first) == 0);
        CHECK(lodei_group_key(first) == keys[i]);
    }
    for (int i = 0; i < 12; i++) {
        CHECK(lodei_grid_find(&grid, keys[i]) != UINT32_MAX);
        CHECK(lodei_grid_reclaim(&grid, keys[i]) == 1);
        CHECK(lodei_grid_find(&grid, keys[i]) == UINT32_MAX);
    }
}

static int visit(void *ctx, uint64_t key, uint32_t first)
{
    (void)ctx;
    CHECK(lode_read_begin() == 0);
    for (unsigned lane = 0; lane < 8; lane++) {
        int32_t at[3];
        struct block *block = lode_peek(lodei_grid_handle(key, first, lane));
        lodei_grid_at(key, lane, at);
        CHECK(block == NULL || (block->live && memcmp(block->at, at, sizeof(at)) == 0));
    }
    lode_read_end();
    return 0;
}

static void walk(void)
{
    static const int32_t lo[3] = {-2, -2, -2}, hi[3] = {2, 2, 2};
    CHECK(lodei_grid_each(&grid, lo, hi, visit, NULL) == 0);
}

static void grid_task(int number)
{
    lode_handle mine = 0, shared;
    for (int i = 0; i < acts; i++) {
        CHECK(find(number) == mine);
        switch (below(7)) {
        case 0:
        case 1:
            if (mine == 0) {
                CHECK(put_in(number, &mine) == 0);
            } else {
                CHECK(take_out(mine, number) == 0);
                mine = 0;
            }
            break;
        case 2:
            (void)lodei_grid_reclaim(&grid, key_of(number));
            break;
        case 3:
            (void)lodei_grid_reclaim(&grid, key_of(SHARED));
            break;
        case 4:
            (void)put_in(SHARED, &shared);
            break;
        case 5:
            shared = find(SHARED);
            look_at(shared, SHARED);
            if (shared != 0 && below(2) != 0)
                (void)take_out(shared, SHARED);
            break;
        default:
            if (below(3) == 0)
                churn(number);
            if (below(2) == 0)
                walk();
            look_at(find((number + 1) % 4), (number + 1) % 4);
            break;
        }
    }
    if (mine != 0)
        CHECK(take_out(mine, number) == 0);
}

static void run_grid(void)
{
    uint32_t first;
    blocks_start();
    CHECK(lodei_grid_init(&grid, &grid, lode_heap_default()) == 0);
    for (uint32_t i = 0; i < 26 + seed % 8; i++)
        CHECK(lodei_grid_get(&grid, lodei_grid_key(1000 + 2 * (int32_t)i, 0, 0), &first) == 0);
    acts = 3 + (int)(seed % 6);
    interleave_run(seed, 2 + (int)(seed % 3), grid_task);
    (void)lodei_grid_verify(&grid);
    lode_handle shared = find(SHARED);
    if (shared != 0)
        CHECK(take_out(shared, SHARED) == 0);
    lodei_grace_settle();
    CHECK(spare_count == BLOCKS);
    lodei_grid_finish(&grid);
}

/* ---- ends ---- */

/* A heap is destroyed: its blocks are free without more ado, and nobody frees them again. */
static void heap_destroy(int heap)
{
    for (int i = 0; i < BLOCKS; i++)
        if (all_blocks[i].live && all_blocks[i].heap == heap)
            block_free(&all_blocks[i]);
}

static void read_others(void)
{
    CHECK(lode_read_begin() == 0);
    for (int i = 0; i < 3; i++) {
        struct block *block = lode_peek(known[below(SLOTS)]);
        uint64_t version = block != NULL ? block->version : 0;
        for (int k = 0; k < 5; k++) {
            interleave_step();
            CHECK(block == NULL || (block->live && block->version == version));
        }
    }
    lode_read_end();
}

static void end_once(int number, int heap)
{
    struct lodei_slots mine;
    lode_handle handles[2];
    uint32_t first;
    lodei_slots_init(&mine, &mine);
    CHECK(lodei_slots_take(&mine, KEY, &first) == 0);
    for (uint32_t i = 0; i < 2; i++) {
        struct block *block = block_new();
        block->heap = heap;
        CHECK(lodei_slot_publish(first + i, KEY, block, 1, &handles[i]) == 0);
    }
    known[number % SLOTS] = handles[0];
    int pinned = below(2) != 0 && lode_pin(handles[1]) != NULL;
    for (uint32_t i = 0; i < 2; i++) {
        struct block *block = block_new();
        void *old = NULL;
        block->heap = heap;
        CHECK(lode_read_begin() == 0);
        CHECK(lodei_slot_swap(handles[i], 0, block, 1, &old) == 0);
        if (old != NULL)
            lodei_grace_free(old);
        lode_read_end();
    }
    lodei_slots_finish(&mine);
    lodei_grace_wait();
    heap_destroy(heap);
    CHECK(lode_peek(handles[0]) == NULL && lode_peek(handles[1]) == NULL);
    CHECK(!pinned || lode_unpin(handles[1]) == -EINVAL);
}

static void end_task(int number)
{
    for (int i = 0; i < acts; i++)
        switch (below(4)) {
        case 0:
            end_once(number, number * 100 + i + 1);
            break;
        case 1:
            lodei_grace_settle();
            break;
        default:
            read_others();
            break;
        }
}

static void run_ends(void)
{
    blocks_start();
    memset(known, 0, sizeof(known));
    acts = 2 + (int)(seed % 4);
    interleave_run(seed, 2 + (int)(seed % 3), end_task);
    lodei_grace_settle();
    CHECK(spare_count == BLOCKS && lodei_parked_count() == 0);
}

int main(int argc, char **argv)
{
    uint64_t runs = argc > 1 ? strtoull(argv[1], NULL, 10) : 20000;
    uint64_t from = argc > 2 ? strtoull(argv[2], NULL, 10) : 1, steps = 0;
    interleave_own[0] = &self;
    interleave_own[1] = &lodei_grip_own;
    lodei_slots_init(&owner, &owner);
    for (seed = from; seed < from + runs; seed++) {
        run_slots();
        steps += interleave.steps;
        run_grid();
        steps += interleave.steps;
        run_ends();
        steps += interleave.steps;
    }
    printf("%llu runs from seed %llu, %llu steps\n", (unsigned long long)runs,
           (unsigned long long)from, (unsigned long long)steps);
    return 0;
}
