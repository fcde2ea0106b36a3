/* SPDX-License-Identifier: MIT */
/*
 * lode-mine-pools.so: bricks and octree of `lode mine` in Lode's pools: the example to read for
 * what liblode-ext is for.
 *
 * There is one field of two channels (lode/sdf.h), distances in three tiers and contents of a byte,
 * in which each lane has a window of its own, as two players would, and for each lane an octree
 * (lode/svo.h) whose leaves name the bricks by their handles. Handles stay while
 * edits replace what is behind them, so a plain edit touches the field alone, and the octree
 * changes only when a brick becomes another type of node.
 *
 * The window has a flat table beside it, as mine_malloc.c has, here of handles: what stands at a
 * place, and the few bits that digging asks for first.
 *
 * Memory operations that are timed are calls into the pools; those that store distances encode
 * them, too. Out of memory ends the program.
 */
#include <err.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lode/lode.h"
#include "mineview.h"
#include "verbs.h"

enum { DISTANCES, CONTENTS };
enum {
    ENTER_BRICKS = 512, /* so many nodes at a time, or two layers of them */
    ARRIVALS = 128,     /* so many bricks of a channel */
};

struct place {
    lode_handle brick; /* of the distances, or without those of the contents; 0: of neither */
    uint8_t kind, flags, tier, content;
};
enum { WITH_DISTANCES = 1, WITH_CONTENTS = 2, INSIDE = 4 };

struct mine_store {
    const struct mine_view *view;
    struct lode_sdf *field;
    struct lode_svo *tree;
    uint8_t air;
    int32_t mask[3];     /* sides of the table, less one; powers of two */
    lode_handle *bricks; /* these two are the table */
    uint32_t *notes;
    struct lode_svo_content *nodes; /* room for those of ENTER_BRICKS, or of two layers */
};

static struct lode_sdf *the_field; /* the first store makes it */
static struct mine_store *field_owner;
static unsigned field_users; /* stores are made and finished one after the other */

static void check(int status, const char *what)
{
    if (status != 0)
        errx(LODEI_EXIT_BAD_INPUT, "%s: %s", what, strerror(-status));
}

static uint64_t storage_mapped_bytes(void)
{
    struct lode_stats stats = {.size = sizeof(stats)};

    check(lode_stats_get(NULL, &stats), "lode_stats_get");
    return stats.in_use_bytes + stats.cached_bytes + stats.metadata_bytes;
}

static struct lode_ivec3 vector(const int32_t at[3])
{
    return (struct lode_ivec3){at[0], at[1], at[2]};
}

/* --- The table --- */

static size_t slot_of(const struct mine_store *store, const int32_t at[3])
{
    size_t x = (size_t)(at[0] & store->mask[0]), y = (size_t)(at[1] & store->mask[1]);
    size_t z = (size_t)(at[2] & store->mask[2]);
    size_t width = (size_t)store->mask[0] + 1, height = (size_t)store->mask[1] + 1;

    return (z * height + y) * width + x;
}

static struct place place_at(const struct mine_store *store, const int32_t at[3])
{
    size_t slot = slot_of(store, at);
    uint32_t note = store->notes[slot];

    return (struct place){.brick = store->bricks[slot],
                          .kind = (uint8_t)note,
                          .flags = (uint8_t)(note >> 8),
                          .tier = (uint8_t)(note >> 16),
                          .content = (uint8_t)(note >> 24)};
}

static void note(const struct mine_store *store, const int32_t at[3], const struct place *place)
{
    size_t slot = slot_of(store, at);

    store->bricks[slot] = place->brick;
    store->notes[slot] = (uint32_t)place->kind | (uint32_t)place->flags << 8 |
                         (uint32_t)place->tier << 16 | (uint32_t)place->content << 24;
}

static struct mine_cell store_find(const struct mine_store *store, const int32_t at[3])
{
    struct place place = place_at(store, at);

    return (struct mine_cell){.kind = place.kind,
                              .with_distances = (place.flags & WITH_DISTANCES) != 0,
                              .with_contents = (place.flags & WITH_CONTENTS) != 0,
                              .inside = (place.flags & INSIDE) != 0,
                              .tier = place.tier,
                              .content = place.content,
                              .ref = place.brick};
}

/* --- Bricks --- */

static lode_handle contents_at(const struct mine_store *store, const int32_t at[3])
{
    lode_handle brick = 0;

    return lode_sdf_find(store->field, CONTENTS, vector(at), &brick) == 0 ? brick : 0;
}

static void store_distances(const struct mine_store *store, const struct mine_cell *cell,
                            float *ret_distances)
{
    check(lode_sdf_unpack(store->field, (enum lode_tier)cell->tier, LODEI_MINE_BAND,
                          lode_peek(cell->ref), ret_distances),
          "lode_sdf_unpack");
}

/* In place: nobody but this thread edits here now, so what it finds stays until it replaces it. */
static const uint8_t *store_contents(const struct mine_store *store, const struct mine_cell *cell,
                                     uint8_t *room)
{
    lode_handle brick = cell->ref;

    (void)room;
    if (cell->with_distances) {
        struct lode_brick_info info;

        check(lode_sdf_brick_info(store->field, cell->ref, &info), "lode_sdf_brick_info");
        check(lode_sdf_find(store->field, CONTENTS, info.at, &brick), "lode_sdf_find");
    }
    return lode_peek(brick);
}

static void free_brick(const struct mine_store *store, lode_handle brick)
{
    int status = 0;

    if (brick != 0)
        LODEI_MINE_MEMORY(store->view->meter, status = lode_sdf_brick_free(store->field, brick));
    check(status, "lode_sdf_brick_free");
}

static struct lode_svo_content node_of(const struct mine_store *store, const struct place *place,
                                       lode_handle distances, lode_handle contents)
{
    struct lode_svo_content node = {.value = place->content};

    if (place->kind == LODEI_MINE_INTERFACE) {
        node.type = LODE_SVO_INTERFACE;
        node.bricks[DISTANCES] = distances;
        node.bricks[CONTENTS] = contents;
    } else {
        node.type = place->content == store->air ? LODE_SVO_EMPTY : LODE_SVO_HOMOGENEOUS;
    }
    return node;
}

static void set_node(const struct mine_store *store, const int32_t at[3], const struct place *place,
                     lode_handle distances, lode_handle contents)
{
    struct lode_svo_content node = node_of(store, place, distances, contents);
    int status;

    LODEI_MINE_MEMORY(store->view->meter,
                      status = lode_svo_set(store->tree, 0, vector(at), &node, NULL));
    check(status, "lode_svo_set");
}

static struct place place_of(const struct mine_store *store, const struct lodei_mine_brick *brick)
{
    struct place place = {.tier = brick->tier, .content = brick->content};

    place.kind = !lodei_mine_uniform(brick)     ? LODEI_MINE_INTERFACE
                 : brick->content == store->air ? LODEI_MINE_EMPTY
                                                : LODEI_MINE_HOMOGENEOUS;
    place.flags = (uint8_t)((brick->with_distances ? WITH_DISTANCES : 0) |
                            (brick->with_contents ? WITH_CONTENTS : 0));
    if (place.kind != LODEI_MINE_INTERFACE)
        place.flags = store->view->config->world->solid[brick->content] ? INSIDE : 0;
    else if (!brick->with_distances)
        place.flags |= brick->inside ? INSIDE : 0;
    return place;
}

/* The handle of the distances as `brick` says; 0: it has none. */
static lode_handle put_distances(struct mine_store *store, const int32_t at[3],
                                 const struct mine_cell *cell, const struct lodei_mine_brick *brick)
{
    struct lode_brick_opts opts = {.size = sizeof(opts), .tier = (uint8_t)(1 + brick->tier)};
    lode_handle handle = cell->with_distances ? cell->ref : 0;
    int status = 0;

    if (!brick->with_distances) {
        free_brick(store, handle);
        return 0;
    }
    if (handle != 0 && cell->tier == brick->tier)
        LODEI_MINE_MEMORY(store->view->meter,
                          status = lode_sdf_encode(store->field, handle, brick->distances));
    else
        LODEI_MINE_MEMORY(store->view->meter,
                          status = lode_sdf_store(store->field, DISTANCES, vector(at),
                                                  brick->distances, &opts, &handle));
    check(status, "storing distances");
    return handle;
}

static lode_handle put_contents(struct mine_store *store, const int32_t at[3],
                                const struct mine_cell *cell, const struct lodei_mine_brick *brick)
{
    lode_handle handle = 0;
    int status = 0;

    if (!brick->with_contents) {
        if (cell->with_contents)
            free_brick(store, contents_at(store, at));
        return 0;
    }
    LODEI_MINE_MEMORY(store->view->meter,
                      status = lode_sdf_raw_store(store->field, CONTENTS, vector(at),
                                                  brick->contents, NULL, &handle));
    check(status, "storing contents");
    return handle;
}

static void store_put(struct mine_store *store, const int32_t at[3], const struct mine_cell *cell,
                      const struct lodei_mine_brick *brick, int opened)
{
    struct place place = place_of(store, brick);
    lode_handle distances = put_distances(store, at, cell, brick), contents = 0;
    int same_contents = !opened && cell->with_contents == brick->with_contents;

    if (!same_contents)
        contents = put_contents(store, at, cell, brick);
    place.brick = distances != 0 ? distances : contents;
    if (same_contents && brick->with_contents && distances == 0)
        place.brick = cell->with_distances ? contents_at(store, at) : cell->ref;
    note(store, at, &place);
    if (cell->kind == place.kind && place.kind == LODEI_MINE_INTERFACE &&
        cell->with_distances == brick->with_distances &&
        cell->with_contents == brick->with_contents && cell->content == brick->content)
        return;
    if (same_contents && brick->with_contents)
        contents = contents_at(store, at);
    set_node(store, at, &place, distances, contents);
}

static uintptr_t store_address(const struct mine_store *store, const struct mine_cell *cell)
{
    (void)store;
    return (uintptr_t)lode_peek(cell->ref);
}

/* --- Boxes --- */

/* What arrives, till it is stored: some places, and what they have of each channel. */
struct arrivals {
    struct mine_store *store;
    unsigned places, bricks[2];
    int32_t at[ARRIVALS][3];
    struct place place[ARRIVALS];
    struct lode_svo_content *node[ARRIVALS];
    int brick_of[ARRIVALS][2]; /* its items, -1: none */
    struct lode_sdf_item items[2][ARRIVALS];
    lode_handle handles[2][ARRIVALS];
};

static lode_handle arrived(const struct arrivals *arrivals, unsigned i, unsigned channel)
{
    int brick = arrivals->brick_of[i][channel];

    return brick < 0 ? 0 : arrivals->handles[channel][brick];
}

static void store_arrivals(struct arrivals *arrivals)
{
    struct mine_store *store = arrivals->store;

    for (unsigned channel = 0; channel < 2; channel++) {
        int status;

        LODEI_MINE_MEMORY(
            store->view->meter,
            status = lode_sdf_store_many(store->field, channel, arrivals->items[channel],
                                         arrivals->bricks[channel], arrivals->handles[channel]));
        check(status, "loading bricks");
        arrivals->bricks[channel] = 0;
    }
    for (unsigned i = 0; i < arrivals->places; i++) {
        struct place *place = &arrivals->place[i];
        lode_handle distances = arrived(arrivals, i, DISTANCES);
        lode_handle contents = arrived(arrivals, i, CONTENTS);

        place->brick = distances != 0 ? distances : contents;
        note(store, arrivals->at[i], place);
        *arrivals->node[i] = node_of(store, place, distances, contents);
    }
    arrivals->places = 0;
}

static void add_brick(struct arrivals *arrivals, unsigned channel, const int32_t at[3],
                      const void *payload, uint8_t tier)
{
    unsigned brick = arrivals->bricks[channel];

    arrivals->brick_of[arrivals->places][channel] = payload != NULL ? (int)brick : -1;
    if (payload == NULL)
        return;
    arrivals->items[channel][brick] =
        (struct lode_sdf_item){.at = vector(at), .tier = (uint8_t)(1 + tier), .payload = payload};
    arrivals->bricks[channel]++;
}

/* A payload that is not the world's is in the room for one, which the next place may need. */
static int in_room(const struct mine_store *store, const void *payload)
{
    const struct lodei_mine_brick *work = store->view->work;

    return (uintptr_t)payload - (uintptr_t)work < sizeof(*work);
}

static void add_place(struct arrivals *arrivals, const int32_t at[3], struct lode_svo_content *node)
{
    struct mine_store *store = arrivals->store;
    struct lodei_mine_arrival arrival = mine_make(store->view, at);
    struct lodei_mine_brick as = {.content = arrival.content,
                                  .with_distances = arrival.with_distances,
                                  .with_contents = arrival.with_contents,
                                  .inside = arrival.inside,
                                  .tier = arrival.tier};

    memcpy(arrivals->at[arrivals->places], at, sizeof(arrivals->at[0]));
    arrivals->place[arrivals->places] = place_of(store, &as);
    arrivals->node[arrivals->places] = node;
    add_brick(arrivals, DISTANCES, at, arrival.distances, arrival.tier);
    add_brick(arrivals, CONTENTS, at, arrival.contents, 0);
    arrivals->places++;
    if (arrivals->places == ARRIVALS || in_room(store, arrival.distances) ||
        in_room(store, arrival.contents))
        store_arrivals(arrivals);
}

/* The bricks of one group of 2 x 2 x 2 that are in the box; their nodes stand row by row. */
static void add_group(struct arrivals *arrivals, const struct lodei_mine_box *box,
                      const int32_t group[3])
{
    int32_t width = box->high[0] - box->low[0], height = box->high[1] - box->low[1];

    for (unsigned child = 0; child < 8; child++) {
        int32_t at[3] = {group[0] + (child & 1), group[1] + (child >> 1 & 1),
                         group[2] + (child >> 2)};
        int64_t number = ((int64_t)(at[2] - box->low[2]) * height + at[1] - box->low[1]) * width +
                         at[0] - box->low[0];

        if (mine_inside(box, at))
            add_place(arrivals, at, &arrivals->store->nodes[number]);
    }
}

static struct lode_brick_box bricks_of(const struct lodei_mine_box *box)
{
    return (struct lode_brick_box){vector(box->low),
                                   {box->high[0] - 1, box->high[1] - 1, box->high[2] - 1}};
}

static void enter_slab(struct mine_store *store, const struct lodei_mine_box *box)
{
    struct lode_brick_box bricks = bricks_of(box);
    struct arrivals arrivals = {.store = store};
    int32_t at[3];
    int status;

    for (at[2] = box->low[2] & ~1; at[2] < box->high[2]; at[2] += 2)
        for (at[1] = box->low[1] & ~1; at[1] < box->high[1]; at[1] += 2)
            for (at[0] = box->low[0] & ~1; at[0] < box->high[0]; at[0] += 2)
                add_group(&arrivals, box, at);
    store_arrivals(&arrivals);
    LODEI_MINE_MEMORY(store->view->meter,
                      status = lode_svo_set_box(store->tree, &bricks, store->nodes));
    check(status, "lode_svo_set_box");
}

/* Some layers of bricks at a time, whole groups of the octree: not much room for their nodes. */
static void store_enter(struct mine_store *store, const struct lodei_mine_box *box)
{
    int64_t area = (int64_t)(box->high[0] - box->low[0]) * (box->high[1] - box->low[1]);
    struct lodei_mine_box slab = *box;

    for (; slab.low[2] < box->high[2]; slab.low[2] = slab.high[2]) {
        slab.high[2] = (slab.low[2] | 1) + 1;
        while (slab.high[2] < box->high[2] &&
               area * (slab.high[2] + 2 - slab.low[2]) <= ENTER_BRICKS)
            slab.high[2] += 2;
        if (slab.high[2] > box->high[2])
            slab.high[2] = box->high[2];
        enter_slab(store, &slab);
    }
}

static void store_leave(struct mine_store *store, const struct lodei_mine_box *box)
{
    const struct place nothing = {.kind = LODEI_MINE_EMPTY, .content = store->air};
    const struct lode_svo_content air = {.type = LODE_SVO_EMPTY};
    struct lode_brick_box bricks = bricks_of(box);
    int32_t at[3];
    int status;

    for (at[2] = box->low[2]; at[2] < box->high[2]; at[2]++)
        for (at[1] = box->low[1]; at[1] < box->high[1]; at[1]++)
            for (at[0] = box->low[0]; at[0] < box->high[0]; at[0]++)
                note(store, at, &nothing);
    LODEI_MINE_MEMORY(store->view->meter, status = lode_svo_fill_box(store->tree, &bricks, &air));
    check(status, "lode_svo_fill_box");
    LODEI_MINE_MEMORY(store->view->meter, status = lode_sdf_box_free(store->field, &bricks, NULL));
    check(status, "lode_sdf_box_free");
}

/* --- The whole --- */

static size_t slot_count(const struct mine_store *store)
{
    const int32_t last[3] = {store->mask[0], store->mask[1], store->mask[2]};

    return slot_of(store, last) + 1;
}

static void make_table(struct mine_store *store)
{
    size_t slots;

    for (int axis = 0; axis < 3; axis++) {
        store->mask[axis] = 1;
        while (store->mask[axis] < store->view->config->window[axis])
            store->mask[axis] *= 2;
        store->mask[axis]--;
    }
    slots = slot_count(store);
    store->bricks = lode_calloc(slots, sizeof(*store->bricks));
    store->notes = lode_malloc(slots * sizeof(*store->notes));
    if (store->bricks == NULL || store->notes == NULL)
        errx(LODEI_EXIT_BAD_INPUT, "out of memory");
    for (size_t i = 0; i < slots; i++)
        store->notes[i] = LODEI_MINE_EMPTY | (uint32_t)store->air << 24;
}

static void make_room(struct mine_store *store)
{
    const int32_t *window = store->view->config->window;
    size_t nodes = 2 * (size_t)window[0] * (size_t)window[1];

    if (nodes < ENTER_BRICKS)
        nodes = ENTER_BRICKS;
    store->nodes = lode_malloc(nodes * sizeof(*store->nodes));
    if (store->nodes == NULL)
        errx(LODEI_EXIT_BAD_INPUT, "out of memory");
}

static struct lode_sdf *take_field(struct mine_store *store)
{
    struct lode_sdf_opts field = LODE_SDF_OPTS_INIT;

    field.channel_count = 2;
    field.formats[CONTENTS] = LODE_CHANNEL_RAW8;
    field.band = LODEI_MINE_BAND;
    field.cache_bricks = 4;
    if (field_users++ == 0) {
        check(lode_sdf_create(&field, &the_field), "lode_sdf_create");
        field_owner = store;
    }
    return the_field;
}

static void store_init(struct mine_store *store, const struct mine_view *view)
{
    struct lode_svo_opts tree = LODE_SVO_OPTS_INIT;

    store->view = view;
    store->air = view->config->world->air;
    make_table(store);
    make_room(store);
    store->field = take_field(store);
    tree.levels = 1;
    for (int axis = 0; axis < 3; axis++)
        while (1 << tree.levels < view->lane.high[axis] - view->lane.low[axis])
            tree.levels++;
    tree.centre.x = view->lane.low[0] + (1 << (tree.levels - 1));
    tree.centre.y = view->lane.low[1] + (1 << (tree.levels - 1));
    tree.centre.z = view->lane.low[2] + (1 << (tree.levels - 1));
    tree.flags = LODE_SVO_COALESCE;
    tree.empty_value = store->air;
    check(lode_svo_create(&tree, &store->tree), "lode_svo_create");
}

static void store_finish(struct mine_store *store)
{
    lode_svo_destroy(store->tree);
    if (--field_users == 0)
        lode_sdf_destroy(the_field);
    lode_free(store->bricks);
    lode_free(store->notes);
    lode_free(store->nodes);
}

static void store_settle(struct mine_store *store)
{
    (void)store;
}

static struct mine_cell store_tree_find(const struct mine_store *store, const int32_t at[3])
{
    struct lode_svo_cell cell;
    struct mine_cell found = {0};

    check(lode_svo_get(store->tree, 0, vector(at), &cell), "lode_svo_get");
    found.content = (uint8_t)cell.content.value;
    found.kind = cell.content.type == LODE_SVO_INTERFACE ? LODEI_MINE_INTERFACE
                 : cell.content.type == LODE_SVO_EMPTY   ? LODEI_MINE_EMPTY
                                                         : LODEI_MINE_HOMOGENEOUS;
    return found;
}

static void count_field(const struct mine_store *store, struct lodei_mine_result *result)
{
    struct lode_sdf_stats field = {.size = sizeof(field)};

    check(lode_sdf_stats(store->field, &field), "lode_sdf_stats");
    result->index_bytes += field.index_bytes;
    result->memory_blocks += field.raw.bricks;
    for (unsigned tier = 0; tier < LODE_TIER_COUNT; tier++)
        result->memory_blocks += field.tiers[tier].bricks;
}

static void store_count(const struct mine_store *store, struct lodei_mine_result *result)
{
    struct lode_svo_stats tree = {.size = sizeof(tree)};

    check(lode_svo_stats(store->tree, &tree), "lode_svo_stats");
    for (unsigned level = 0; level < tree.levels; level++) {
        result->nodes[LODEI_MINE_EMPTY] += tree.nodes[LODE_SVO_EMPTY][level];
        result->nodes[LODEI_MINE_HOMOGENEOUS] += tree.nodes[LODE_SVO_HOMOGENEOUS][level];
        result->nodes[LODEI_MINE_INTERFACE] += tree.nodes[LODE_SVO_INTERFACE][level];
    }
    result->node_bytes += tree.bytes[LODE_SVO_INTERFACE];
    result->index_bytes += tree.slot_bytes;
    result->index_bytes += slot_count(store) * (sizeof(*store->bricks) + sizeof(*store->notes));
    result->memory_blocks += tree.groups[0];
    if (store == field_owner)
        count_field(store, result);
}

#include "mine_dig.h"
