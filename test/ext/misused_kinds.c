/* SPDX-License-Identifier: MIT */
/*
 * One fault a run, on one kind of block that no allocator of conformance_table.c hands out: bricks,
 * lines of the octree, Morton blocks, and what requests get. As misused.c, and for the same script;
 * the fault is the same for all: a look at a block that was freed, by an address kept from before.
 *
 *     misused-kinds list          the kinds, one a line; with " heap" where liblode-heap is who
 *                                 tells the tool; with " freed" where only that fault makes sense
 *     misused-kinds NAME FAULT    none, freed
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lode/lode.h>

#define BLOCKS 20

struct kind {
    const char *name;
    int heap_announces;
    void (*begin)(void);
    char *(*take)(unsigned i, size_t *ret_bytes); /* and how many of them may be written */
    void (*give)(unsigned i);
    void (*end)(void);
};

static void must(int holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "misused-kinds: %s\n", what);
    exit(3);
}

/* The only access a fault makes. */
static __attribute__((noinline)) int read_at(const char *p)
{
    return *(const volatile char *)p;
}

static char *address_of(lode_handle handle)
{
    char *block = lode_pin(handle);
    must(block != NULL && lode_unpin(handle) == 0, "no pin");
    return block;
}

/* ---- bricks ---- */

static struct lode_sdf *sdf;
static lode_handle bricks[BLOCKS];

static void bricks_begin(void)
{
    struct lode_sdf_opts o = LODE_SDF_OPTS_INIT;
    o.channel_count = 2;
    o.formats[1] = LODE_CHANNEL_RAW16;
    must(lode_sdf_create(&o, &sdf) == 0, "no field");
}

static char *brick_take(unsigned i, unsigned channel, enum lode_tier tier, size_t *ret_bytes)
{
    struct lode_ivec3 at = {(int32_t)i, -1, 0};
    must(lode_sdf_brick_alloc(sdf, channel, at, tier, &bricks[i]) == 0, "no brick");
    *ret_bytes = lode_sdf_brick_bytes(sdf, channel, tier);
    return address_of(bricks[i]);
}

static char *high_take(unsigned i, size_t *ret_bytes)
{
    return brick_take(i, 0, LODE_TIER_HIGH, ret_bytes);
}

static char *low_take(unsigned i, size_t *ret_bytes)
{
    return brick_take(i, 0, LODE_TIER_LOW, ret_bytes);
}

static char *raw_take(unsigned i, size_t *ret_bytes)
{
    return brick_take(i, 1, LODE_TIER_HIGH, ret_bytes);
}

static void brick_give(unsigned i)
{
    must(lode_sdf_brick_free(sdf, bricks[i]) == 0, "brick not freed");
}

/* The window leaves it behind. */
static void brick_leave(unsigned i)
{
    int32_t at = (int32_t)i;
    struct lode_brick_box all = {{-64, -64, -64}, {64, 64, 64}};
    struct lode_brick_box rest = {{at + 1, -64, -64}, {64, 64, 64}};
    must(lode_sdf_window_move(sdf, &all, NULL) == 0, "no window");
    must(lode_sdf_window_move(sdf, &rest, NULL) == 0 && !lode_handle_is_live(bricks[i]),
         "brick not left behind");
    must(lode_sdf_window_move(sdf, &all, NULL) == 0, "no window");
}

/* What a tool's hint made ready takes old versions back. */
static void ready_begin(void)
{
    struct lode_tool_hint hint = {.size = sizeof(hint), .tool = LODE_TOOL_EXPLOSIVE, .radius = 24};
    bricks_begin();
    must(lode_sdf_hint(sdf, &hint) == 0, "no hint");
}

static void brick_replace(unsigned i)
{
    must(lode_sdf_retier(sdf, bricks[i], LODE_TIER_LOW) == 0, "no new version");
    brick_give(i);
}

static void bricks_end(void)
{
    lode_sdf_destroy(sdf);
}

/* ---- groups of the octree ---- */

static struct lode_svo *svo;

static void groups_begin(void)
{
    must(lode_svo_create(NULL, &svo) == 0, "no tree");
}

/* A leaf that is alone in its group. Nobody may write there. */
static char *group_take(unsigned i, size_t *ret_bytes)
{
    struct lode_svo_content leaf = {.type = LODE_SVO_INTERFACE, .user = i};
    struct lode_ivec3 at = {(int32_t)i * 2, 0, 0};
    struct lode_svo_cell cell;
    must(lode_svo_set(svo, 0, at, &leaf, NULL) == 0, "no leaf");
    must(lode_svo_get(svo, 0, at, &cell) == 0 && cell.node.group != 0, "no group");
    *ret_bytes = 0;
    return address_of(cell.node.group);
}

static void group_give(unsigned i)
{
    struct lode_svo_content empty = {.type = LODE_SVO_EMPTY};
    struct lode_ivec3 at = {(int32_t)i * 2, 0, 0};
    must(lode_svo_set(svo, 1, at, &empty, NULL) == 0, "group not freed");
}

static void groups_end(void)
{
    lode_svo_destroy(svo);
}

/* ---- Morton blocks ---- */

static struct lode_morton_pool *places;

static void places_begin(void)
{
    struct lode_morton_pool_opts o = LODE_MORTON_POOL_OPTS_INIT;
    o.block_bytes = 512;
    must(lode_morton_pool_create(&o, &places) == 0, "no pool");
}

static char *place_take(unsigned i, size_t *ret_bytes)
{
    void *block;
    must(lode_morton_pool_acquire(places, i, &block) == 0, "no block");
    *ret_bytes = 512;
    return block;
}

static void place_give(unsigned i)
{
    must(lode_morton_pool_release_code(places, i) == 0, "block not released");
}

static void places_end(void)
{
    lode_morton_pool_destroy(places);
}

/* ---- requests ---- */

static struct lode_request request = LODE_REQUEST_INIT;
static struct lode_allocation served[BLOCKS];

static void request_set(enum lode_memory_type type, enum lode_strategy strategy)
{
    request.bytes = 200;
    request.type = (uint8_t)type;
    request.strategy = (uint8_t)strategy;
}

static void heap_begin(void)
{
    request_set(LODE_MEMORY_VIDEO, LODE_STRATEGY_HEAP);
}

static void pool_begin(void)
{
    request_set(LODE_MEMORY_POOL, LODE_STRATEGY_POOL);
}

static void stack_begin(void)
{
    request_set(LODE_MEMORY_STACK, LODE_STRATEGY_STACK);
}

/* Over the type's limit: the reserve serves. */
static void reserve_begin(void)
{
    request_set(LODE_MEMORY_AUDIO, LODE_STRATEGY_DEFAULT);
    request.flags = LODE_REQUEST_CRITICAL;
    must(lode_request_limit_set(LODE_MEMORY_AUDIO, 1) == 0, "no limit");
}

static char *request_take(unsigned i, size_t *ret_bytes)
{
    must(lode_alloc(&request, &served[i]) == 0, "request not served");
    must(request.strategy == LODE_STRATEGY_DEFAULT || request.strategy == served[i].strategy,
         "served otherwise");
    must(request.flags == 0 || (served[i].flags & LODE_ALLOCATION_RESERVE), "not by the reserve");
    *ret_bytes = served[i].bytes;
    return served[i].ptr;
}

static void request_give(unsigned i)
{
    must(lode_alloc_free(&served[i]) == 0, "request not freed");
}

static void requests_end(void)
{
}

/* ---- all of them ---- */

static const struct kind kinds[] = {
    {"brick", 1, bricks_begin, high_take, brick_give, bricks_end},
    {"brick-low", 1, bricks_begin, low_take, brick_give, bricks_end},
    {"brick-raw", 1, bricks_begin, raw_take, brick_give, bricks_end},
    {"brick-left-behind", 1, bricks_begin, high_take, brick_leave, bricks_end},
    {"brick-replaced", 0, ready_begin, high_take, brick_replace, bricks_end},
    {"octree-group", 1, groups_begin, group_take, group_give, groups_end},
    {"morton-block", 0, places_begin, place_take, place_give, places_end},
    {"request-heap", 1, heap_begin, request_take, request_give, requests_end},
    {"request-pool", 0, pool_begin, request_take, request_give, requests_end},
    {"request-stack", 0, stack_begin, request_take, request_give, requests_end},
    {"request-reserve", 0, reserve_begin, request_take, request_give, requests_end},
};

static void all_is_well(const struct kind *kind)
{
    for (int round = 0; round < 3; round++) {
        for (unsigned i = 0; i < BLOCKS; i++) {
            size_t bytes;
            char *block = kind->take(i, &bytes);
            memset(block, 1, bytes);
            (void)read_at(block);
        }
        for (unsigned i = BLOCKS; i-- > 0;)
            kind->give(i);
    }
    kind->end();
    for (size_t i = 0; i < 2000; i++) {
        size_t room = (size_t)1 << (4 + i % 15);
        char *p = lode_malloc(room);
        must(p != NULL, "no memory");
        memset(p, 2, room);
        if (i % 3 != 0)
            lode_free(p);
    }
}

int main(int argc, char **argv)
{
    size_t count = sizeof(kinds) / sizeof(kinds[0]), n = 0, bytes;
    if (argc == 2 && strcmp(argv[1], "list") == 0) {
        for (; n < count; n++)
            printf("%s%s freed\n", kinds[n].name, kinds[n].heap_announces ? " heap" : "");
        return 0;
    }
    must(argc == 3, "list, or NAME FAULT");
    while (n < count && strcmp(kinds[n].name, argv[1]) != 0)
        n++;
    must(n < count, "no such kind");
    kinds[n].begin();
    if (strcmp(argv[2], "none") == 0) {
        all_is_well(&kinds[n]);
        return 0;
    }
    must(strcmp(argv[2], "freed") == 0, "no such fault");
    char *block = kinds[n].take(0, &bytes);
    memset(block, 1, bytes);
    kinds[n].give(0);
    printf("%d\n", read_at(block));
    return 0;
}
