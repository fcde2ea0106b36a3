/* SPDX-License-Identifier: MIT */
/*
 * lode-herd-pools.so: the creatures of `lode herd` over liblode-ext.
 *
 *     ids      sparse set: id -> row        hot   rows in lanes of 8, field by field
 *     warm, cold, memories, relations       an object pool each, as many as creatures at most
 *     bag, path                             pooled vectors over a pool of blocks each
 *     names                                 an interner
 *     scratch                               an arena, reset at the frame's end
 *
 * All of it is of one heap, whose figures say in the end that nothing is left. Pools look at their
 * demand once a frame: they grow ahead, and give back what has long been too much.
 *
 * One thread. Out of memory ends the program.
 */
#include <err.h>
#include <string.h>

#include "herdrun.h"
#include "herdwork.h"
#include "lode/lode.h"
#include "lode/stats.h"
#include "verbs.h"

enum { BAG_BLOCK = 768, PATH_BLOCK = 4224, TICK_FRAMES = 30, BATCH = 256 };

LODE_SPARSE_SET_DEFINE(herd_ids, uint32_t);
LODE_SOA_DEFINE(herd_hot, 64, HERD_HOT_FIELDS);
LODE_RING_DEFINE(herd_memories, struct herd_memory);
LODE_VEC_DEFINE(herd_relations, struct herd_relation);
LODE_POOLEDVEC_DEFINE(herd_bag, struct herd_item, BAG_BLOCK);
LODE_POOLEDVEC_DEFINE(herd_path, struct herd_waypoint, PATH_BLOCK);

struct herd_cold {
    struct herd_memories memories;
    struct herd_relations relations;
    struct herd_path path;
    struct herd_bag bag;
    struct herd_person person;
};

/*    P(name, object bytes, alignment, objects a creature has from the start) */
#define POOLS(P)                                                       \
    P(warm, sizeof(struct herd_warm), 64, 1)                           \
    P(cold, sizeof(struct herd_cold), 64, 1)                           \
    P(memories, HERD_MEMORIES * sizeof(struct herd_memory), 16, 1)     \
    P(relations, HERD_RELATIONS * sizeof(struct herd_relation), 16, 1) \
    P(bag, BAG_BLOCK, 64, 1)                                           \
    P(path, PATH_BLOCK, 64, 1)

struct herd_batch {
    size_t count;
    void *objects[BATCH + 1];
};

struct herd_store {
    struct lode_heap *heap;
    struct lode_allocator allocator; /* of the heap */
    struct {
        struct lode_pool *pool;
        struct lode_allocator allocator;
        struct herd_batch batch;
    }
#define POOL_FIELD(name, bytes, align, each) name,
    POOLS(POOL_FIELD) none;
    struct lode_arena *scratch;
    unsigned frame;
    struct lode_interner names;
    struct herd_ids ids;
    struct herd_hot hot;
};

#define HERD_HOT(store, row, field) (*LODE_SOA_AT(&(store)->hot, row, field))

static void check(int status, const char *what)
{
    if (status != 0)
        errx(LODEI_EXIT_BAD_INPUT, "%s: %s", what, strerror(-status));
}

/* --- Rows and ids --- */

static uint32_t store_count(const struct herd_store *store)
{
    return (uint32_t)store->hot.count;
}

static herd_id store_id(const struct herd_store *store, uint32_t row)
{
    return herd_ids_id(&store->ids, row);
}

static int64_t store_row(const struct herd_store *store, herd_id id)
{
    const uint32_t *item = herd_ids_get(&store->ids, id);

    return item != NULL ? item - store->ids.items : -1;
}

/* --- Creatures --- */

/* A batch of objects, of one pool and of another. */
static void store_spawn(struct herd_store *store, struct herd_body *ret_bodies, uint32_t count)
{
    void *warm[BATCH], *cold[BATCH];

    for (uint32_t done = 0; done < count; done += BATCH) {
        size_t some = count - done < BATCH ? count - done : BATCH;

        if (lode_pool_acquire_many(store->warm.pool, warm, some) < some ||
            lode_pool_acquire_many(store->cold.pool, cold, some) < some)
            check(-ENOMEM, "spawning");
        for (size_t i = 0; i < some; i++)
            ret_bodies[done + i] = (struct herd_body){warm[i], cold[i]};
    }
}

static void store_enter(struct herd_store *store, const struct herd_body *bodies, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct herd_cold *cold = bodies[i].cold;
        lode_sparse_id id;

        check(herd_memories_init(&cold->memories, HERD_MEMORIES, LODE_RING_OVERWRITE,
                                 &store->memories.allocator),
              "memories");
        herd_relations_init(&cold->relations, HERD_RELATIONS, &store->relations.allocator);
        check(herd_bag_init(&cold->bag, 0, &store->bag.allocator), "bag");
        check(herd_path_init(&cold->path, 0, &store->path.allocator), "path");
        check(
            herd_hot_push(&store->hot, (struct herd_hot_row){.warm = bodies[i].warm, .cold = cold}),
            "entering");
        check(herd_ids_add(&store->ids, 0, &id), "entering");
    }
}

/* Note an object to be released with others of its pool. */
static void gather(struct herd_batch *batch, void *object)
{
    batch->objects[batch->count] = object;
    batch->count += object != NULL;
}

static void release_batches(struct herd_store *store)
{
#define RELEASE_BATCH(name, bytes, align, each)                               \
    check(lode_pool_release_many(store->name.pool, store->name.batch.objects, \
                                 store->name.batch.count),                    \
          #name);                                                             \
    store->name.batch.count = 0;
    POOLS(RELEASE_BATCH)
}

/* What store_kill() reads of a creature it will soon come to. */
static void prefetch(const struct herd_store *store, uint32_t row)
{
    const char *cold = (const char *)HERD_HOT(store, row, cold);

    for (size_t at = 0; at < offsetof(struct herd_cold, person); at += 64)
        __builtin_prefetch(cold + at);
}

/* Pool after pool, and not creature after creature: so the processor has the descriptors of many
 * objects under way at a time, and one pool's lines at hand. */
static void store_kill(struct herd_store *store, const herd_id *ids, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t row = (uint32_t)store_row(store, ids[i]);
        struct herd_cold *cold = HERD_HOT(store, row, cold);

        if (i + HERD_AHEAD < count)
            prefetch(store, (uint32_t)store_row(store, ids[i + HERD_AHEAD]));
        gather(&store->warm.batch, HERD_HOT(store, row, warm));
        gather(&store->cold.batch, cold);
        gather(&store->memories.batch, cold->memories.items);
        gather(&store->relations.batch, cold->relations.items);
        if (cold->bag.core.block_count <= 1)
            gather(&store->bag.batch, cold->bag.core.root);
        else
            herd_bag_finish(&cold->bag);
        if (cold->path.core.block_count <= 1)
            gather(&store->path.batch, cold->path.core.root);
        else
            herd_path_finish(&cold->path);
        if ((i + 1) % BATCH == 0)
            release_batches(store);
    }
    release_batches(store);
}

static void store_leave(struct herd_store *store, const herd_id *ids, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        check(herd_hot_remove_swap(&store->hot, (size_t)store_row(store, ids[i])), "leaving");
        check(herd_ids_remove(&store->ids, ids[i]), "leaving");
    }
}

/* --- Lists --- */

static uint32_t cold_count(const struct herd_cold *cold, enum herd_list list)
{
    switch (list) {
    case HERD_LIST_MEMORIES:
        return (uint32_t)herd_memories_count(&cold->memories);
    case HERD_LIST_RELATIONS:
        return (uint32_t)cold->relations.count;
    case HERD_LIST_BAG:
        return (uint32_t)herd_bag_count(&cold->bag);
    default:
        return (uint32_t)herd_path_count(&cold->path);
    }
}

static uint32_t cold_capacity(const struct herd_cold *cold, enum herd_list list)
{
    switch (list) {
    case HERD_LIST_MEMORIES:
        return (uint32_t)cold->memories.capacity;
    case HERD_LIST_RELATIONS:
        return (uint32_t)cold->relations.capacity;
    case HERD_LIST_BAG:
        return (uint32_t)cold->bag.core.capacity;
    default:
        return (uint32_t)cold->path.core.capacity;
    }
}

static void store_room(struct herd_store *store, const struct herd_need *needs, uint32_t count)
{
    (void)store;
    for (uint32_t i = 0; i < count; i++) {
        struct herd_cold *cold = needs[i].cold;
        int status = 0;

        if (needs[i].list == HERD_LIST_MEMORIES)
            status = herd_memories_reserve(&cold->memories, HERD_MEMORIES);
        else if (needs[i].list == HERD_LIST_RELATIONS)
            status = herd_relations_reserve(&cold->relations, HERD_RELATIONS);
        else if (needs[i].list == HERD_LIST_BAG)
            status = herd_bag_reserve(&cold->bag, needs[i].items);
        else if (needs[i].items > 0)
            status = herd_path_reserve(&cold->path, needs[i].items);
        else
            herd_path_clear(&cold->path);
        check(status, "making room");
    }
}

static void cold_remember(struct herd_cold *cold, struct herd_memory memory)
{
    check(herd_memories_push(&cold->memories, memory), "remembering");
}

static struct herd_memory cold_memory(const struct herd_cold *cold, uint32_t at)
{
    return *herd_memories_newest(&cold->memories, at);
}

static struct herd_relation *cold_relations(const struct herd_cold *cold)
{
    return cold->relations.items;
}

static void cold_relate(struct herd_cold *cold, struct herd_relation relation)
{
    check(herd_relations_push(&cold->relations, relation), "relating");
}

static void cold_unrelate(struct herd_cold *cold, uint32_t at)
{
    check(herd_relations_remove_swap(&cold->relations, at), "forgetting");
}

static void cold_take(struct herd_cold *cold, struct herd_item item)
{
    check(herd_bag_push(&cold->bag, item), "taking");
}

static void cold_eat(struct herd_cold *cold)
{
    check(herd_bag_pop(&cold->bag, NULL), "eating");
}

static struct herd_item cold_item(const struct herd_cold *cold, uint32_t at)
{
    return *herd_bag_at(&cold->bag, at);
}

static void cold_step(struct herd_cold *cold, struct herd_waypoint waypoint)
{
    check(herd_path_push(&cold->path, waypoint), "planning");
}

static struct herd_waypoint cold_waypoint(const struct herd_cold *cold, uint32_t at)
{
    return *herd_path_at(&cold->path, at);
}

/* --- Names and scratch --- */

static uint32_t store_name_find(const struct herd_store *store, const char *text, size_t bytes)
{
    return lode_interner_find(&store->names, text, bytes);
}

static void store_names_add(struct herd_store *store, const struct herd_text *texts, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        check(lode_intern(&store->names, texts[i].text, texts[i].bytes, &texts[i].person->name),
              "naming");
}

static const char *store_name(const struct herd_store *store, uint32_t name)
{
    return lode_interner_text(&store->names, name);
}

static void *store_scratch(struct herd_store *store, size_t bytes)
{
    void *block = lode_arena_alloc(store->scratch, bytes, 16);

    if (block == NULL)
        check(-ENOMEM, "scratch");
    return block;
}

static void store_frame_end(struct herd_store *store)
{
    unsigned turn = store->frame++ % TICK_FRAMES;

    lode_arena_reset(store->scratch);
#define TICK_POOL(name, bytes, align, each) \
    if (turn-- == 0)                        \
        lode_pool_tick(store->name.pool);
    POOLS(TICK_POOL)
}

/* --- The whole --- */

static void make_pool(const struct herd_store *store, const char *name, size_t bytes, size_t align,
                      size_t initial, struct lode_pool **ret_pool,
                      struct lode_allocator *ret_allocator)
{
    struct lode_pool_opts opts = LODE_POOL_OPTS_INIT;

    opts.object_bytes = bytes;
    opts.align = align;
    opts.initial = initial;
    opts.heap = store->heap;
    opts.name = name;
    check(lode_pool_create(&opts, ret_pool), name);
    lode_pool_allocator(*ret_pool, ret_allocator);
}

static void store_init(struct herd_store *store, const struct lodei_herd_config *config)
{
    struct lode_heap_opts heap = LODE_HEAP_OPTS_INIT;
    struct lode_arena_opts scratch = LODE_ARENA_OPTS_INIT;
    size_t creatures = config->creatures;

    memset(store, 0, sizeof(*store));
    heap.name = "herd";
    check(lode_heap_create(&heap, &store->heap), "lode_heap_create");
    lode_heap_allocator(store->heap, &store->allocator);
#define MAKE_POOL(name, bytes, align, each)                                    \
    make_pool(store, #name, bytes, align, (each)*creatures, &store->name.pool, \
              &store->name.allocator);
    POOLS(MAKE_POOL)
    scratch.initial_bytes = (size_t)256 * 1024;
    scratch.heap = store->heap;
    check(lode_arena_create(&scratch, &store->scratch), "lode_arena_create");
    lode_interner_init(&store->names, 0, 0, &store->allocator);
    herd_ids_init(&store->ids, config->creatures, &store->allocator);
    check(herd_ids_reserve(&store->ids, creatures), "ids");
    herd_hot_init(&store->hot, creatures, &store->allocator);
    check(herd_hot_reserve(&store->hot, creatures), "rows");
}

static uint64_t live_objects(const struct lode_pool *pool)
{
    struct lode_pool_stats stats = {.size = sizeof(stats)};

    check(lode_pool_stats_get(pool, &stats), "lode_pool_stats_get");
    return stats.live;
}

static void store_finish(struct herd_store *store, struct lodei_herd_left *ret_left)
{
    struct lode_stats stats = {.size = sizeof(stats)};

#define COUNT_LIVE(name, bytes, align, each) \
    ret_left->creature_blocks += live_objects(store->name.pool);
    POOLS(COUNT_LIVE)
    herd_ids_finish(&store->ids);
    herd_hot_finish(&store->hot);
    lode_interner_finish(&store->names);
    lode_arena_destroy(store->scratch);
#define DESTROY_POOL(name, bytes, align, each) lode_pool_destroy(store->name.pool);
    POOLS(DESTROY_POOL)
    check(lode_stats_get(store->heap, &stats), "lode_stats_get");
    ret_left->blocks = stats.live_blocks;
    ret_left->bytes = (int64_t)stats.in_use_bytes;
    ret_left->bytes_known = 1;
    lode_heap_destroy(store->heap);
}

#include "herd_frame.h"
