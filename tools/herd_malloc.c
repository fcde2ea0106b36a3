/* SPDX-License-Identifier: MIT */
/*
 * lode-herd-malloc.so: the creatures of `lode herd` over malloc, as an engine without pools would
 * keep them. Whatever allocator stands behind malloc is what is measured.
 *
 *     slots[]   by slot: generation, row        ids[], x[], y[], .. warm[], cold[]   by row
 *
 *     cold -> person, and lists:  memories   one block of their most, with the first
 *                                 relations  the same
 *                                 bag, path  realloc()ed to twice as much when full
 *
 * Tables are made once, for the most creatures there can be. A creature's lists have no memory
 * until they are first put into; memories and relations are made as large as they may become at
 * once, since most live to fill them, and nothing has to be copied then. Names are stored once
 * each, in blocks; scratch is one block that is used again in every frame.
 *
 * One thread. Out of memory ends the program.
 */
#include <dlfcn.h>
#include <err.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "herdrun.h"
#include "herdwork.h"
#include "verbs.h"

enum { NAME_BLOCK = 4096, NAME_SLOTS = 32768, SCRATCH_BYTES = 256 * 1024, LIST_ITEMS = 8 };

struct list {
    void *items;
    uint32_t count, capacity;
};

struct herd_cold {
    struct herd_person person;
    struct list memories, relations, bag, path;
    uint32_t oldest; /* of memories, once they are full */
    uint32_t spare;
};

struct slot {
    uint32_t generation; /* odd: a creature has it */
    uint32_t row;        /* nobody has it: the next free slot + 1 */
};

struct name {
    const char *text;
    uint32_t bytes, hash;
};

struct herd_store {
    uint32_t count, capacity;
    struct slot *slots;
    uint32_t slot_count, free_slot; /* + 1 */
    herd_id *ids;
#define HOT_ARRAY(type, field) type *field;
    struct {
        HERD_HOT_FIELDS(HOT_ARRAY)
    } hot;
    struct name *names; /* by number - 1 */
    uint32_t *name_slots;
    uint32_t name_count;
    char **name_blocks;
    uint32_t name_block_count, name_left;
    char *scratch;
    size_t scratch_used;
    uint64_t blocks;          /* got and not given back */
    uint64_t creature_blocks; /* of creatures */
    size_t used_bytes;        /* by mallinfo2(), before the first block */
};

#define HERD_HOT(store, row, field) ((store)->hot.field[row])

/* --- Memory --- */

static void *checked(void *block)
{
    if (block == NULL)
        errx(LODEI_EXIT_BAD_INPUT, "out of memory");
    return block;
}

static void *get_table(struct herd_store *store, size_t count, size_t bytes)
{
    store->blocks++;
    return checked(calloc(count, bytes));
}

static void give_table(struct herd_store *store, void *table)
{
    store->blocks--;
    free(table);
}

static void *get(struct herd_store *store, size_t bytes)
{
    store->creature_blocks++;
    return checked(malloc(bytes));
}

static void give(struct herd_store *store, void *block)
{
    if (block == NULL)
        return;
    store->creature_blocks--;
    free(block);
}

/* --- Rows and ids --- */

static uint32_t store_count(const struct herd_store *store)
{
    return store->count;
}

static herd_id store_id(const struct herd_store *store, uint32_t row)
{
    return store->ids[row];
}

static int64_t store_row(const struct herd_store *store, herd_id id)
{
    const struct slot *slot = &store->slots[(uint32_t)id];

    return slot->generation == id >> 32 ? (int64_t)slot->row : -1;
}

static herd_id occupy(struct herd_store *store, uint32_t row)
{
    uint32_t slot = store->free_slot > 0 ? store->free_slot - 1 : store->slot_count++;

    if (store->free_slot > 0)
        store->free_slot = store->slots[slot].row;
    store->slots[slot].row = row;
    return (uint64_t)++store->slots[slot].generation << 32 | slot;
}

/* The last row takes its place. */
static void leave(struct herd_store *store, uint32_t row)
{
    uint32_t slot = (uint32_t)store->ids[row], last = --store->count;

    store->slots[slot].generation++;
    store->slots[slot].row = store->free_slot;
    store->free_slot = slot + 1;
    if (row == last)
        return;
#define MOVE_FIELD(type, field) store->hot.field[row] = store->hot.field[last];
    HERD_HOT_FIELDS(MOVE_FIELD)
    store->ids[row] = store->ids[last];
    store->slots[(uint32_t)store->ids[row]].row = row;
}

/* --- Creatures --- */

static void store_spawn(struct herd_store *store, struct herd_body *ret_bodies, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        ret_bodies[i].warm = get(store, sizeof(struct herd_warm));
        ret_bodies[i].cold = get(store, sizeof(struct herd_cold));
    }
}

static void store_enter(struct herd_store *store, const struct herd_body *bodies, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct herd_cold *cold = bodies[i].cold;
        uint32_t row = store->count++;

        memset(&cold->memories, 0, sizeof(*cold) - offsetof(struct herd_cold, memories));
        store->hot.cold[row] = cold;
        store->hot.warm[row] = bodies[i].warm;
        store->ids[row] = occupy(store, row);
    }
}

static void store_kill(struct herd_store *store, const herd_id *ids, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t row = store->slots[(uint32_t)ids[i]].row;
        struct herd_cold *cold = store->hot.cold[row];

        if (i + HERD_AHEAD < count) {
            const struct herd_cold *next =
                store->hot.cold[store->slots[(uint32_t)ids[i + HERD_AHEAD]].row];

            __builtin_prefetch(&next->memories);
            __builtin_prefetch(&next->path);
        }
        give(store, cold->memories.items);
        give(store, cold->relations.items);
        give(store, cold->bag.items);
        give(store, cold->path.items);
        give(store, cold);
        give(store, store->hot.warm[row]);
    }
}

static void store_leave(struct herd_store *store, const herd_id *ids, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        leave(store, store->slots[(uint32_t)ids[i]].row);
}

/* --- Lists --- */

static struct list *list_of(struct herd_cold *cold, enum herd_list list)
{
    struct list *lists[] = {&cold->memories, &cold->relations, &cold->bag, &cold->path};

    return lists[list];
}

static uint32_t cold_count(const struct herd_cold *cold, enum herd_list list)
{
    return list_of((struct herd_cold *)(uintptr_t)cold, list)->count;
}

static uint32_t cold_capacity(const struct herd_cold *cold, enum herd_list list)
{
    return list_of((struct herd_cold *)(uintptr_t)cold, list)->capacity;
}

static void grow(struct herd_store *store, struct list *list, uint32_t items, size_t item_bytes)
{
    uint32_t capacity = list->capacity > 0 ? 2 * list->capacity : LIST_ITEMS;

    while (capacity < items)
        capacity *= 2;
    store->creature_blocks += list->items == NULL;
    list->items = checked(realloc(list->items, capacity * item_bytes));
    list->capacity = capacity;
}

static void store_room(struct herd_store *store, const struct herd_need *needs, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct list *list = list_of(needs[i].cold, needs[i].list);

        if (needs[i].items == 0) {
            give(store, list->items);
            *list = (struct list){0};
        } else if (needs[i].list == HERD_LIST_MEMORIES) {
            list->items = get(store, HERD_MEMORIES * sizeof(struct herd_memory));
            list->capacity = HERD_MEMORIES;
        } else if (needs[i].list == HERD_LIST_RELATIONS) {
            list->items = get(store, HERD_RELATIONS * sizeof(struct herd_relation));
            list->capacity = HERD_RELATIONS;
        } else {
            grow(store, list, needs[i].items,
                 needs[i].list == HERD_LIST_BAG ? sizeof(struct herd_item)
                                                : sizeof(struct herd_waypoint));
        }
    }
}

static void cold_remember(struct herd_cold *cold, struct herd_memory memory)
{
    struct herd_memory *memories = cold->memories.items;

    if (cold->memories.count < HERD_MEMORIES) {
        memories[cold->memories.count++] = memory;
        return;
    }
    memories[cold->oldest] = memory;
    cold->oldest = cold->oldest + 1 == HERD_MEMORIES ? 0 : cold->oldest + 1;
}

static struct herd_memory cold_memory(const struct herd_cold *cold, uint32_t at)
{
    const struct herd_memory *memories = cold->memories.items;

    return memories[(cold->oldest + cold->memories.count - 1 - at) % cold->memories.count];
}

static struct herd_relation *cold_relations(const struct herd_cold *cold)
{
    return cold->relations.items;
}

static void cold_relate(struct herd_cold *cold, struct herd_relation relation)
{
    cold_relations(cold)[cold->relations.count++] = relation;
}

static void cold_unrelate(struct herd_cold *cold, uint32_t at)
{
    cold_relations(cold)[at] = cold_relations(cold)[--cold->relations.count];
}

static void cold_take(struct herd_cold *cold, struct herd_item item)
{
    ((struct herd_item *)cold->bag.items)[cold->bag.count++] = item;
}

static void cold_eat(struct herd_cold *cold)
{
    cold->bag.count--;
}

static struct herd_item cold_item(const struct herd_cold *cold, uint32_t at)
{
    return ((const struct herd_item *)cold->bag.items)[at];
}

static void cold_step(struct herd_cold *cold, struct herd_waypoint waypoint)
{
    ((struct herd_waypoint *)cold->path.items)[cold->path.count++] = waypoint;
}

static struct herd_waypoint cold_waypoint(const struct herd_cold *cold, uint32_t at)
{
    return ((const struct herd_waypoint *)cold->path.items)[at];
}

/* --- Names --- */

static uint32_t hash_text(const char *text, size_t bytes)
{
    uint32_t hash = 2166136261u;

    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ (unsigned char)text[i]) * 16777619u;
    return hash ^ hash >> 15;
}

/* Where the name is, or has to go. */
static uint32_t *name_slot(const struct herd_store *store, const char *text, size_t bytes,
                           uint32_t hash)
{
    uint32_t at = hash & (NAME_SLOTS - 1);

    for (;; at = (at + 1) & (NAME_SLOTS - 1)) {
        uint32_t number = store->name_slots[at];

        if (number == 0 ||
            (store->names[number - 1].hash == hash && store->names[number - 1].bytes == bytes &&
             memcmp(store->names[number - 1].text, text, bytes) == 0))
            return &store->name_slots[at];
    }
}

static uint32_t store_name_find(const struct herd_store *store, const char *text, size_t bytes)
{
    return *name_slot(store, text, bytes, hash_text(text, bytes));
}

static uint32_t add_name(struct herd_store *store, const char *text, size_t bytes)
{
    uint32_t hash = hash_text(text, bytes), *slot = name_slot(store, text, bytes, hash);
    char *copy;

    if (*slot != 0)
        return *slot;
    if (store->name_left < bytes + 1) {
        store->name_blocks[store->name_block_count++] = get_table(store, NAME_BLOCK, 1);
        store->name_left = NAME_BLOCK;
    }
    copy = store->name_blocks[store->name_block_count - 1] + NAME_BLOCK - store->name_left;
    store->name_left -= (uint32_t)bytes + 1;
    memcpy(copy, text, bytes + 1);
    store->names[store->name_count] = (struct name){copy, (uint32_t)bytes, hash};
    return *slot = ++store->name_count;
}

static void store_names_add(struct herd_store *store, const struct herd_text *texts, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        texts[i].person->name = add_name(store, texts[i].text, texts[i].bytes);
}

static const char *store_name(const struct herd_store *store, uint32_t name)
{
    return store->names[name - 1].text;
}

/* --- Scratch --- */

static void *store_scratch(struct herd_store *store, size_t bytes)
{
    void *block = store->scratch + store->scratch_used;

    store->scratch_used += (bytes + 15) / 16 * 16;
    return block;
}

static void store_frame_end(struct herd_store *store)
{
    store->scratch_used = 0;
}

/* --- The whole --- */

/* 1: mallinfo2() tells of the malloc() that is called, and not of one that is not. */
static int has_figures(void)
{
    Dl_info owner, teller;

    return dladdr((void *)(uintptr_t)malloc, &owner) != 0 &&
           dladdr((void *)(uintptr_t)mallinfo2, &teller) != 0 &&
           owner.dli_fbase == teller.dli_fbase;
}

static size_t used_bytes_now(void)
{
    struct mallinfo2 info = mallinfo2();

    return info.uordblks + info.hblkhd;
}

/* The C library counts as used what stands in its thread cache, 7 blocks of each size up to 1,032
 * bytes: fill it, so that it is as full before as it is in the end. */
static void fill_thread_cache(void)
{
    void *blocks[7];

    for (size_t bytes = 24; bytes <= 1032; bytes += 16) {
        for (unsigned i = 0; i < 7; i++)
            blocks[i] = checked(malloc(bytes));
        for (unsigned i = 0; i < 7; i++)
            free(blocks[i]);
    }
}

static void store_init(struct herd_store *store, const struct lodei_herd_config *config)
{
    uint32_t capacity = config->creatures;

    memset(store, 0, sizeof(*store));
    if (has_figures()) {
        fill_thread_cache();
        store->used_bytes = used_bytes_now();
    }
    store->capacity = capacity;
    store->slots = get_table(store, capacity, sizeof(*store->slots));
    store->ids = get_table(store, capacity, sizeof(*store->ids));
#define MAKE_ARRAY(type, field) store->hot.field = get_table(store, capacity, sizeof(type));
    HERD_HOT_FIELDS(MAKE_ARRAY)
    store->names = get_table(store, NAME_SLOTS, sizeof(*store->names));
    store->name_slots = get_table(store, NAME_SLOTS, sizeof(*store->name_slots));
    store->name_blocks = get_table(store, NAME_SLOTS, sizeof(*store->name_blocks));
    store->scratch = get_table(store, SCRATCH_BYTES, 1);
}

static void store_finish(struct herd_store *store, struct lodei_herd_left *ret_left)
{
    give_table(store, store->slots);
    give_table(store, store->ids);
#define GIVE_ARRAY(type, field) give_table(store, store->hot.field);
    HERD_HOT_FIELDS(GIVE_ARRAY)
    for (uint32_t i = 0; i < store->name_block_count; i++)
        give_table(store, store->name_blocks[i]);
    give_table(store, store->names);
    give_table(store, store->name_slots);
    give_table(store, store->name_blocks);
    give_table(store, store->scratch);
    ret_left->creature_blocks = store->creature_blocks;
    ret_left->blocks = store->creature_blocks + store->blocks;
    ret_left->bytes_known = has_figures();
    if (ret_left->bytes_known)
        ret_left->bytes = (int64_t)used_bytes_now() - (int64_t)store->used_bytes;
}

#include "herd_frame.h"
