/* SPDX-License-Identifier: MIT */
/*
 * The work of `lode mine` over a storage; see mineview.h. Each storage's file includes it once, at
 * its end.
 *
 * Every lane has a store of its own, and one thread at a time works on it. Two threads swap lanes
 * after each round of ROUND edits, behind a barrier, as workers of a job system would: what one
 * has allocated the other one frees. What a lane becomes does not depend on who worked on it when.
 */
#ifndef LODEI_MINE_DIG_H
#define LODEI_MINE_DIG_H

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "mineview.h"

/* --- What a storage defines --- */

/* `view` is borrowed for the store's life; its window is set and nothing stands in it. */
static void store_init(struct mine_store *store, const struct mine_view *view);
static void store_finish(struct mine_store *store);

/* What stands at a place of the window; the ref is good until the store changes. */
static struct mine_cell store_find(const struct mine_store *store, const int32_t at[3]);
static void store_distances(const struct mine_store *store, const struct mine_cell *cell,
                            float *ret_distances);
/* Contents of a cell that has some: `room`, or the store's own memory. */
static const uint8_t *store_contents(const struct mine_store *store, const struct mine_cell *cell,
                                     uint8_t *room);
/* Make `at`, now as `cell` says, what `brick` says. `opened`: its contents may have changed. */
static void store_put(struct mine_store *store, const int32_t at[3], const struct mine_cell *cell,
                      const struct lodei_mine_brick *brick, int opened);
/* Bricks of a box of the window leave it, or are made by mine_make() and enter it. */
static void store_leave(struct mine_store *store, const struct lodei_mine_box *box);
static void store_enter(struct mine_store *store, const struct lodei_mine_box *box);

/* An edit, or a part of a shift, is over: what readers could still look at goes now. */
static void store_settle(struct mine_store *store);
/* Kind and content of a place as the octree has them. */
static struct mine_cell store_tree_find(const struct mine_store *store, const int32_t at[3]);
/* Add nodes, bytes and blocks of the octree and its index to `result`. */
static void store_count(const struct mine_store *store, struct lodei_mine_result *result);
/* Where the payload of an interface lies: its distances, or else its contents. */
static uintptr_t store_address(const struct mine_store *store, const struct mine_cell *cell);
/* What the storage has from the kernel by its own account, for the whole process; 0: it has none.
 */
static uint64_t storage_mapped_bytes(void);

/* --- Lanes --- */

enum { ROUND = 256 };

struct lane {
    struct mine_view view;
    struct lodei_mine_lane_script script;
    size_t next, shifts; /* edits and shifts done */
    uint64_t *course;    /* the result's; NULL of the second lane */
    unsigned seen;       /* of it is written */
    struct lodei_mine_meter meter;
    struct lodei_mine_brick work;
    struct mine_store store;
};

static struct lodei_mine_box place_window(const struct mine_view *view, const int32_t viewer[3])
{
    struct lodei_mine_box window;

    for (int axis = 0; axis < 3; axis++) {
        int32_t side = view->config->window[axis], low = viewer[axis] - side / 2;

        if (low > view->lane.high[axis] - side)
            low = view->lane.high[axis] - side;
        if (low < view->lane.low[axis])
            low = view->lane.low[axis];
        window.low[axis] = low;
        window.high[axis] = low + side;
    }
    return window;
}

static void lane_init(struct lane *lane, const struct lodei_mine_config *config, unsigned number)
{
    int16_t viewer[3];

    lane->script = config->lanes[number];
    lane->next = lane->shifts = 0;
    lane->view.config = config;
    lane->view.lane = lodei_mine_lane_box(config->world->sides, number);
    lane->view.meter = &lane->meter;
    lane->view.work = &lane->work;
    lodei_mine_start(&lane->view.lane, viewer);
    for (int axis = 0; axis < 3; axis++)
        lane->view.viewer[axis] = viewer[axis];
    lane->view.window = place_window(&lane->view, lane->view.viewer);
    lodei_mine_meter_init(&lane->meter);
    store_init(&lane->store, &lane->view);
    lane->meter.phase = LODEI_MINE_BUILD;
    store_enter(&lane->store, &lane->view.window);
}

/* --- Digging --- */

static void dig_brick(struct lane *lane, const struct lodei_mine_edit *edit, const int32_t at[3])
{
    const struct lodei_mine_config *config = lane->view.config;
    struct mine_cell cell = store_find(&lane->store, at);
    struct lodei_mine_brick *work = &lane->work;
    unsigned changes;

    if (!cell.with_distances && !cell.inside)
        return;
    work->with_distances = cell.with_distances;
    work->with_contents = cell.with_contents;
    work->content = cell.content;
    work->inside = cell.inside;
    work->tier = cell.tier;
    if (cell.with_distances)
        store_distances(&lane->store, &cell, work->distances);
    changes = lodei_mine_carve(edit, at, config->tier, work);
    if (changes == 0)
        return;
    if (config->channels == LODEI_MINE_DISTANCES)
        work->content = config->world->air;
    else if (changes & LODEI_MINE_OPENED)
        lodei_mine_clear(cell.with_contents ? store_contents(&lane->store, &cell, work->contents)
                                            : NULL,
                         config->world->air, work);
    store_put(&lane->store, at, &cell, work, (changes & LODEI_MINE_OPENED) != 0);
}

static void dig(struct lane *lane, const struct lodei_mine_edit *edit)
{
    struct lodei_mine_box box = lodei_mine_reach(edit, &lane->view.window);
    int32_t at[3];

    for (at[2] = box.low[2]; at[2] < box.high[2]; at[2]++)
        for (at[1] = box.low[1]; at[1] < box.high[1]; at[1]++)
            for (at[0] = box.low[0]; at[0] < box.high[0]; at[0]++)
                if (lodei_mine_touches(edit, at))
                    dig_brick(lane, edit, at);
}

/* --- The window --- */

/* Cut `box` into what does not lie in `other`: at most six boxes. Returns how many. */
static unsigned subtract(struct lodei_mine_box box, const struct lodei_mine_box *other,
                         struct lodei_mine_box ret_rest[6])
{
    unsigned count = 0;

    for (int axis = 0; axis < 3; axis++) {
        if (other->high[axis] <= box.low[axis] || other->low[axis] >= box.high[axis]) {
            ret_rest[count++] = box;
            return count;
        }
        if (box.low[axis] < other->low[axis]) {
            ret_rest[count] = box;
            ret_rest[count++].high[axis] = box.low[axis] = other->low[axis];
        }
        if (box.high[axis] > other->high[axis]) {
            ret_rest[count] = box;
            ret_rest[count++].low[axis] = box.high[axis] = other->high[axis];
        }
    }
    return count;
}

/* Where the window's centre goes when the miner stands at `to`: nowhere while it is no more than
 * one brick away, one brick on when it is two, all the way when it is far. */
static int next_viewer(const int32_t viewer[3], const int16_t to[3], int32_t ret_viewer[3])
{
    int moves = 0, jumps = 0;

    for (int axis = 0; axis < 3; axis++) {
        int32_t gap = to[axis] - viewer[axis];

        jumps |= gap > 3 || gap < -3;
        ret_viewer[axis] = viewer[axis] + (gap > 1 ? gap - 1 : gap < -1 ? gap + 1 : 0);
        moves |= ret_viewer[axis] != viewer[axis];
    }
    for (int axis = 0; jumps && axis < 3; axis++)
        ret_viewer[axis] = to[axis];
    return moves;
}

static uint32_t ticks_since(uint64_t start)
{
    uint64_t ticks = lodei_mine_ticks() - start;

    return ticks < UINT32_MAX ? (uint32_t)ticks : UINT32_MAX;
}

static void follow(struct lane *lane, const int16_t to[3])
{
    struct mine_view *view = &lane->view;
    struct lodei_mine_shift *shift = &lane->script.shifts[lane->shifts];
    struct lodei_mine_box old = view->window, boxes[6];
    int32_t viewer[3];
    uint64_t start;
    unsigned count;

    if (!next_viewer(view->viewer, to, viewer))
        return;
    memcpy(view->viewer, viewer, sizeof(viewer));
    view->window = place_window(view, viewer);
    memset(shift, 0, sizeof(*shift));
    lane->shifts++;

    lane->meter.phase = LODEI_MINE_LEAVE;
    start = lodei_mine_ticks();
    count = subtract(old, &view->window, boxes);
    for (unsigned i = 0; i < count; i++)
        store_leave(&lane->store, &boxes[i]);
    store_settle(&lane->store);
    shift->leave_ticks = ticks_since(start);

    lane->meter.phase = LODEI_MINE_ENTER;
    start = lodei_mine_ticks();
    count = subtract(view->window, &old, boxes);
    for (unsigned i = 0; i < count; i++) {
        store_enter(&lane->store, &boxes[i]);
        shift->bricks += (uint32_t)mine_box_bricks(&boxes[i]);
    }
    shift->enter_ticks = ticks_since(start);
}

/* Another part of the lane's edits is done: how much memory is resident now? */
static void look_around(struct lane *lane)
{
    while (lane->course != NULL && lane->seen < LODEI_MINE_COURSE &&
           lane->next * LODEI_MINE_COURSE >= lane->script.edit_count * (lane->seen + 1))
        lane->course[lane->seen++] = lodei_mine_resident_bytes();
}

/* The lane's next round. */
static void work_round(struct lane *lane)
{
    size_t end = lane->next + ROUND;

    if (end > lane->script.edit_count)
        end = lane->script.edit_count;
    for (; lane->next < end; lane->next++) {
        const struct lodei_mine_edit *edit = &lane->script.edits[lane->next];
        uint64_t start;

        follow(lane, edit->viewer);
        lane->meter.phase = LODEI_MINE_EDIT;
        start = lodei_mine_ticks();
        dig(lane, edit);
        store_settle(&lane->store);
        lane->script.edit_ticks[lane->next] = ticks_since(start);
    }
    look_around(lane);
}

/* --- Threads --- */

struct crew {
    struct lane *lanes; /* LODEI_MINE_LANES of them */
    size_t rounds;
    pthread_barrier_t barrier;
};

struct worker {
    struct crew *crew;
    unsigned number;
    pthread_t thread;
};

static void *work(void *ctx)
{
    struct worker *worker = ctx;
    struct crew *crew = worker->crew;

    for (size_t round = 0; round < crew->rounds; round++) {
        work_round(&crew->lanes[(worker->number + round) % LODEI_MINE_LANES]);
        pthread_barrier_wait(&crew->barrier);
    }
    return NULL;
}

static int work_together(struct crew *crew)
{
    struct worker workers[LODEI_MINE_LANES];
    int fault = -pthread_barrier_init(&crew->barrier, NULL, LODEI_MINE_LANES);

    if (fault != 0)
        return fault;
    for (unsigned i = 0; i < LODEI_MINE_LANES; i++)
        workers[i] = (struct worker){.crew = crew, .number = i};
    fault = -pthread_create(&workers[1].thread, NULL, work, &workers[1]);
    if (fault == 0) {
        work(&workers[0]);
        pthread_join(workers[1].thread, NULL);
    }
    pthread_barrier_destroy(&crew->barrier);
    return fault;
}

static int dig_all(struct lane *lanes, unsigned threads)
{
    struct crew crew = {.lanes = lanes};

    for (unsigned i = 0; i < LODEI_MINE_LANES; i++) {
        size_t rounds = (lanes[i].script.edit_count + ROUND - 1) / ROUND;

        crew.rounds = rounds > crew.rounds ? rounds : crew.rounds;
    }
    if (threads > 1 && crew.rounds > 0)
        return work_together(&crew);
    for (size_t round = 0; round < crew.rounds; round++)
        for (unsigned i = 0; i < LODEI_MINE_LANES; i++)
            work_round(&lanes[i]);
    return 0;
}

/* --- What it has come to --- */

static void hash_contents(const struct lane *lane, const struct mine_cell *cell, uint64_t *hash)
{
    uint8_t room[LODEI_MINE_VOXELS];
    const uint8_t *contents = room;

    if (cell->with_contents)
        contents = store_contents(&lane->store, cell, room);
    else
        memset(room, cell->content, sizeof(room));
    lodei_mine_hash(hash, contents, sizeof(room));
}

static void count_brick(struct lane *lane, const int32_t at[3], struct lodei_mine_result *result)
{
    enum lodei_mine_channels channels = lane->view.config->channels;
    struct mine_cell cell = store_find(&lane->store, at);
    struct mine_cell node = store_tree_find(&lane->store, at);
    uint64_t words[] = {(uint64_t)at[0] << 40 | (uint64_t)at[1] << 20 | (uint64_t)at[2],
                        (uint64_t)cell.kind << 48 | (uint64_t)node.kind << 40 |
                            (uint64_t)cell.with_distances << 32 |
                            (uint64_t)cell.with_contents << 24 | cell.content,
                        0};

    if (node.kind == LODEI_MINE_HOMOGENEOUS)
        words[2] = node.content;
    else if (node.kind == LODEI_MINE_INTERFACE)
        words[2] = cell.with_distances ? cell.tier : cell.inside;
    lodei_mine_hash(&result->hash, words, sizeof(words));
    result->interface_bricks += cell.kind == LODEI_MINE_INTERFACE;
    result->contents_bricks += cell.with_contents;
    if (cell.with_distances)
        result->tier_bricks[cell.tier]++;
    if (channels == LODEI_MINE_NODES)
        return;
    if (cell.with_distances) {
        store_distances(&lane->store, &cell, lane->work.distances);
        lodei_mine_hash(&result->hash, lane->work.distances, sizeof(lane->work.distances));
    }
    hash_contents(lane, &cell, &result->contents_hash);
    result->distances_bytes += cell.with_distances ? lodei_mine_payload_bytes(cell.tier) : 0;
    result->contents_bytes += cell.with_contents ? LODEI_MINE_CONTENTS_BYTES : 0;
}

static void count_lane(struct lane *lane, struct lodei_mine_result *result)
{
    const struct lodei_mine_box *window = &lane->view.window;
    int32_t at[3];

    for (at[2] = window->low[2]; at[2] < window->high[2]; at[2]++)
        for (at[1] = window->low[1]; at[1] < window->high[1]; at[1]++)
            for (at[0] = window->low[0]; at[0] < window->high[0]; at[0]++)
                count_brick(lane, at, result);
    result->places += mine_box_bricks(window);
    store_count(&lane->store, result);
}

static void slice_brick(struct lane *lane, const int32_t at[3], struct lodei_mine_slice *slice)
{
    size_t width = (size_t)lane->view.config->world->sides[0];
    struct lodei_mine_slice_brick *brick = &slice->bricks[(size_t)at[1] * width + (size_t)at[0]];
    uint8_t *solid =
        slice->solid + ((size_t)at[1] * width * LODEI_MINE_SIDE + (size_t)at[0]) * LODEI_MINE_SIDE;
    struct mine_cell cell = store_find(&lane->store, at);
    int32_t z = slice->z % LODEI_MINE_SIDE;

    brick->in_window = 1;
    brick->kind = cell.kind;
    brick->with_distances = cell.with_distances;
    brick->tier = cell.tier;
    if (cell.kind == LODEI_MINE_INTERFACE)
        brick->address = store_address(&lane->store, &cell);
    if (cell.with_distances)
        store_distances(&lane->store, &cell, lane->work.distances);
    for (size_t y = 0; y < LODEI_MINE_SIDE; y++)
        for (size_t x = 0; x < LODEI_MINE_SIDE; x++) {
            size_t voxel = ((size_t)z * LODEI_MINE_SIDE + y) * LODEI_MINE_SIDE + x;

            solid[y * width * LODEI_MINE_SIDE + x] =
                cell.with_distances ? lane->work.distances[voxel] < 0 : cell.inside;
        }
}

static void slice_lane(struct lane *lane, struct lodei_mine_slice *slice)
{
    const struct lodei_mine_box *window = &lane->view.window;
    int32_t at[3] = {0, 0, lane->view.viewer[2]};

    slice->z = at[2] * LODEI_MINE_SIDE + LODEI_MINE_SIDE / 2;
    for (at[1] = window->low[1]; at[1] < window->high[1]; at[1]++)
        for (at[0] = window->low[0]; at[0] < window->high[0]; at[0]++)
            slice_brick(lane, at, slice);
}

static double cpu_s(void)
{
    struct timespec used;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}

static double seconds_since(uint64_t start)
{
    return (double)(lodei_mine_ticks() - start) * lodei_mine_tick_ns() / 1e9;
}

LODEI_MINE_RUN(const struct lodei_mine_config *config, struct lodei_mine_result *result)
{
    static struct lane lanes[LODEI_MINE_LANES];
    uint64_t start, mapped = storage_mapped_bytes();
    int with_peak, fault;

    (void)lodei_mine_tick_ns();
    result->resident_start = lodei_mine_resident_bytes();
    with_peak = lodei_mine_peak_reset() == 0;
    start = lodei_mine_ticks();
    for (unsigned i = 0; i < LODEI_MINE_LANES; i++)
        lane_init(&lanes[i], config, i);
    lanes[0].course = result->resident_course;
    result->build_s = seconds_since(start);
    result->resident_built = lodei_mine_resident_bytes();
    start = lodei_mine_ticks();
    result->dig_cpu_s = -cpu_s();
    fault = dig_all(lanes, config->threads);
    result->dig_cpu_s += cpu_s();
    result->dig_s = seconds_since(start);
    result->resident_end = lodei_mine_resident_bytes();
    result->resident_peak = with_peak ? lodei_mine_peak_bytes() : 0;
    if (mapped != 0)
        result->mapped_bytes = storage_mapped_bytes() - mapped;
    for (unsigned i = 0; i < LODEI_MINE_LANES && fault == 0; i++)
        count_lane(&lanes[i], result);
    lodei_mine_hash(&result->hash, &result->contents_hash, sizeof(result->contents_hash));
    if (result->slice.bricks != NULL && fault == 0 && config->channels != LODEI_MINE_NODES)
        slice_lane(&lanes[0], &result->slice);
    for (unsigned i = 0; i < LODEI_MINE_LANES; i++) {
        result->meters[i] = lanes[i].meter;
        result->shift_counts[i] = lanes[i].shifts;
        store_finish(&lanes[i].store);
    }
    return fault;
}

#endif
