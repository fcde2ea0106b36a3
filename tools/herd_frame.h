/* SPDX-License-Identifier: MIT */
/*
 * The frames of `lode herd` over a storage. Each storage's file defines
 *
 *     struct herd_store   all creatures
 *     struct herd_cold    with a member `person`, and the lists of one creature
 *     HERD_HOT(store, row, field)   one hot field, an lvalue
 *
 * and the functions declared below, and then includes this file, whose code is thus compiled once
 * for each storage, without a call through a pointer in between.
 *
 * A frame goes through these steps. What is timed apart, as memory, is those that get, resize or
 * give back memory and nothing else: what has to be got is found out before, and written to after.
 *
 *     think    every creature moves, some remember, meet, loot, eat, plan      not memory
 *     room     lists that are too small for that get room; paths are dropped   LODEI_HERD_ROOM
 *     note     what was thought of is put into the lists                       not memory
 *     die      those whose time has come, and those a raid kills               not memory
 *     kill     all they had is given back                                      LODEI_HERD_KILL
 *     leave    ids and rows are free again                                     not memory
 *     spawn    warm and cold blocks, room for new names                        LODEI_HERD_SPAWN
 *     enter    ids and rows for them, and they are written to                  not memory
 *     scratch  memory for searches, given up at the frame's end                LODEI_HERD_SCRATCH
 *
 * Thus a page that is first touched when it is written to counts for the whole frame, but not as
 * memory. Each part is timed as a whole, between two readings of a clock that lets the processor
 * finish what came before and begin nothing of what comes after; that takes some 20 ns a part,
 * which are left in. Frames follow each other without a pause.
 *
 * Every few seconds a raid kills 3-18 % of all creatures in one frame, and soon after a wave of new
 * ones fills their places in one frame.
 */
#ifndef LODEI_HERD_FRAME_H
#define LODEI_HERD_FRAME_H

#include <errno.h>
#include <string.h>

#include "herdrun.h"
#include "herdwork.h"
#include "minemeter.h"
#include "minework.h"
#include "pages.h"

/* --- What a storage defines --- */

static void store_init(struct herd_store *store, const struct lodei_herd_config *config);
/* All creatures are gone. Gives up all tables and says what is left. */
static void store_finish(struct herd_store *store, struct lodei_herd_left *ret_left);

static uint32_t store_count(const struct herd_store *store);
static herd_id store_id(const struct herd_store *store, uint32_t row);
/* The row of a creature; -1: it is gone. */
static int64_t store_row(const struct herd_store *store, herd_id id);

/* Get the warm and cold blocks of `count` more; and make rows of them at the end, with ids and with
 * empty lists. There is room for as many as there may be at once. */
static void store_spawn(struct herd_store *store, struct herd_body *ret_bodies, uint32_t count);
static void store_enter(struct herd_store *store, const struct herd_body *bodies, uint32_t count);
/* Give back all that these have; and take them out, the last row taking the place of each. */
static void store_kill(struct herd_store *store, const herd_id *ids, uint32_t count);
static void store_leave(struct herd_store *store, const herd_id *ids, uint32_t count);
static void store_room(struct herd_store *store, const struct herd_need *needs, uint32_t count);
/* Aligned to 16; until the frame ends. */
static void *store_scratch(struct herd_store *store, size_t bytes);
static void store_frame_end(struct herd_store *store);

/* A name's number, 0: it is new; and store those that were (one may be there twice), and tell who
 * bears them. */
static uint32_t store_name_find(const struct herd_store *store, const char *text, size_t bytes);
static void store_names_add(struct herd_store *store, const struct herd_text *texts,
                            uint32_t count);
static const char *store_name(const struct herd_store *store, uint32_t name);

/* Items a list has, and items there is room for. */
static uint32_t cold_count(const struct herd_cold *cold, enum herd_list list);
static uint32_t cold_capacity(const struct herd_cold *cold, enum herd_list list);
/* Put in; there is room. Memories replace the oldest. */
static void cold_remember(struct herd_cold *cold, struct herd_memory memory);
static void cold_relate(struct herd_cold *cold, struct herd_relation relation);
static void cold_take(struct herd_cold *cold, struct herd_item item);
static void cold_step(struct herd_cold *cold, struct herd_waypoint waypoint);
/* The last takes its place. */
static void cold_unrelate(struct herd_cold *cold, uint32_t at);
/* The last item goes; there is one. */
static void cold_eat(struct herd_cold *cold);
/* 0: the newest. */
static struct herd_memory cold_memory(const struct herd_cold *cold, uint32_t at);
static struct herd_relation *cold_relations(const struct herd_cold *cold);
static struct herd_item cold_item(const struct herd_cold *cold, uint32_t at);
static struct herd_waypoint cold_waypoint(const struct herd_cold *cold, uint32_t at);

/* --- The herd --- */

enum {
    SIDE = 512,          /* of the plain, in metres */
    CELL = 16,           /* of the grid over it */
    THINKERS = 4,        /* one creature in so many thinks, in turns */
    LIFE = 3600,         /* frames, about */
    RAID_EVERY = 240,    /* frames, and up to half as many more */
    WAVE_AFTER = 40,     /* frames, and up to twice as many more */
    SEARCHES = 24,       /* blocks of scratch in a frame, at most */
    SEARCH_BYTES = 8192, /* each, at most */
    EVENTS = 4,          /* of a creature in a frame, at most: one a list */
    DOOMED = 1 << 0,     /* hot flag: dies in this frame */
    JOURNEY = 256,       /* steps, at most */
};

/* What goes into a list once there is room for it. */
struct event {
    struct herd_cold *cold;
    enum herd_list list;
    uint32_t count; /* items */
    uint32_t random;
    herd_id who;
};

struct herd {
    const struct lodei_herd_config *config;
    struct lodei_herd_result *result;
    uint32_t frame, random, next_raid, next_wave;
    struct event *events;
    struct herd_need *needs;
    herd_id *dying;
    struct herd_body *bodies;
    struct herd_text *texts;
    uint32_t event_count, need_count, dying_count;
    struct herd_store store;
};

static void add_event(struct herd *herd, uint32_t row, enum herd_list list, uint32_t count,
                      uint32_t random, herd_id who)
{
    herd->events[herd->event_count++] =
        (struct event){HERD_HOT(&herd->store, row, cold), list, count, random, who};
}

static void add_need(struct herd *herd, struct herd_cold *cold, enum herd_list list, uint32_t items)
{
    herd->needs[herd->need_count++] = (struct herd_need){cold, list, items};
}

/* --- Thinking --- */

static void move(struct herd_store *store, uint32_t row)
{
    float *x = &HERD_HOT(store, row, x), *z = &HERD_HOT(store, row, z);

    *x += HERD_HOT(store, row, vx) * (1.0f / 60);
    HERD_HOT(store, row, y) += HERD_HOT(store, row, vy) * (1.0f / 60);
    *z += HERD_HOT(store, row, vz) * (1.0f / 60);
    if (*x < 0 || *x >= SIDE) {
        HERD_HOT(store, row, vx) *= -1.0f;
        *x = *x < 0 ? 0 : SIDE - 0.5f;
    }
    if (*z < 0 || *z >= SIDE) {
        HERD_HOT(store, row, vz) *= -1.0f;
        *z = *z < 0 ? 0 : SIDE - 0.5f;
    }
    HERD_HOT(store, row, cell) = (uint32_t)*x / CELL + (uint32_t)*z / CELL * (SIDE / CELL);
    HERD_HOT(store, row, energy) -= 1.0f / LIFE;
    if (HERD_HOT(store, row, energy) <= 0)
        HERD_HOT(store, row, flags) |= DOOMED;
}

/* Look at another creature and decide where to go. */
static void think(struct herd_store *store, uint32_t row, uint32_t other, uint32_t random)
{
    struct herd_warm *warm = HERD_HOT(store, row, warm);
    float dx = HERD_HOT(store, other, x) - HERD_HOT(store, row, x);
    float dz = HERD_HOT(store, other, z) - HERD_HOT(store, row, z);
    float near = 1.0f / (1.0f + dx * dx + dz * dz);
    unsigned slot = random & 7;

    warm->sensory.seen[slot] = near;
    warm->sensory.noticed += near > 0.01f;
    warm->social.bond[slot] = warm->social.bond[slot] * 0.875f + near;
    warm->social.fear = warm->social.fear * 0.75f + near * warm->emotional.mood[slot];
    warm->emotional.mood[slot] += (near - 0.25f) * 0.125f;
    warm->movement.target[0] += dx * warm->decision.weights[slot] * 0.01f;
    warm->movement.target[2] += dz * warm->decision.weights[slot] * 0.01f;
    warm->movement.steps[slot & 3] = near;
    warm->decision.thoughts++;
    HERD_HOT(store, row, vx) = herd_share(random) * 8.0f - 4.0f;
    HERD_HOT(store, row, vz) = herd_share(random * 2654435761u) * 8.0f - 4.0f;
}

/* Know each other better, or get to know each other. Those who died are forgotten on the way. */
static void meet(struct herd *herd, uint32_t row, uint32_t other, uint32_t random)
{
    struct herd_cold *cold = HERD_HOT(&herd->store, row, cold);
    struct herd_relation *relations = cold_relations(cold);
    uint32_t count = cold_count(cold, HERD_LIST_RELATIONS), weakest = 0;
    herd_id who = store_id(&herd->store, other);

    for (uint32_t i = 0; i < count; i++) {
        if (relations[i].who == who) {
            relations[i].trust = relations[i].trust * 0.75f + herd_share(random);
            relations[i].frame = herd->frame;
            return;
        }
        if (relations[i].trust < relations[weakest].trust)
            weakest = i;
    }
    if (count > 0 && store_row(&herd->store, relations[random % count].who) < 0) {
        cold_unrelate(cold, random % count);
        count--;
    }
    if (count < HERD_RELATIONS)
        add_event(herd, row, HERD_LIST_RELATIONS, 1, random, who);
    else
        relations[weakest] = (struct herd_relation){who, herd->frame, herd_share(random)};
}

/* A journey is planned as it goes on, and forgotten where it ends. */
static void travel(struct herd *herd, uint32_t row, uint32_t random)
{
    struct herd_cold *cold = HERD_HOT(&herd->store, row, cold);
    uint32_t *journey = &HERD_HOT(&herd->store, row, state);

    if (*journey == 0) {
        if ((random >> 24 & 127) == 0)
            *journey = 8 + random % (JOURNEY - 8);
    } else if (cold_count(cold, HERD_LIST_PATH) >= *journey) {
        add_need(herd, cold, HERD_LIST_PATH, 0);
        *journey = 0;
    } else if ((random >> 21 & 7) == 0) {
        add_event(herd, row, HERD_LIST_PATH, 1 + (random >> 24 & 7), random, 0);
    }
}

static void think_all(struct herd *herd)
{
    struct herd_store *store = &herd->store;
    uint32_t count = store_count(store);

    herd->event_count = herd->need_count = herd->dying_count = 0;
    for (uint32_t row = 0; row < count; row++) {
        uint32_t random = herd_random(&HERD_HOT(store, row, random));
        uint32_t other = (uint32_t)(((uint64_t)(random * 2654435761u) * count) >> 32);

        move(store, row);
        if ((row + herd->frame) % THINKERS == 0)
            think(store, row, other, random);
        if ((random & 15) == 0)
            add_event(herd, row, HERD_LIST_MEMORIES, 1, random, store_id(store, other));
        if ((random >> 4 & 31) == 0)
            meet(herd, row, other, random);
        if ((random >> 9 & 63) == 0)
            add_event(herd, row, HERD_LIST_BAG, 1 + random % 3, random, 0);
        else if ((random >> 15 & 63) == 0 &&
                 cold_count(HERD_HOT(store, row, cold), HERD_LIST_BAG) > 0)
            cold_eat(HERD_HOT(store, row, cold));
        travel(herd, row, random);
    }
}

static void find_needs(struct herd *herd)
{
    for (uint32_t i = 0; i < herd->event_count; i++) {
        const struct event *event = &herd->events[i];
        uint32_t count = cold_count(event->cold, event->list) + event->count;

        if (event->list == HERD_LIST_MEMORIES && count > HERD_MEMORIES)
            count = HERD_MEMORIES;
        if (count > cold_capacity(event->cold, event->list))
            add_need(herd, event->cold, event->list, count);
    }
}

static void note(const struct herd *herd, const struct event *event)
{
    struct herd_cold *cold = event->cold;
    uint32_t random = event->random;

    switch (event->list) {
    case HERD_LIST_MEMORIES:
        cold_remember(cold, (struct herd_memory){event->who, herd->frame, herd_share(random)});
        break;
    case HERD_LIST_RELATIONS:
        cold_relate(cold, (struct herd_relation){event->who, herd->frame, herd_share(random)});
        break;
    case HERD_LIST_BAG:
        for (uint32_t i = 0; i < event->count; i++)
            cold_take(cold, (struct herd_item){herd_random(&random) % 500, 1 + random % 9});
        break;
    case HERD_LIST_PATH:
        for (uint32_t i = 0; i < event->count; i++) {
            float x = herd_share(herd_random(&random)), z = herd_share(herd_random(&random));

            cold_step(cold, (struct herd_waypoint){{x * SIDE, 0, z * SIDE}, x + z});
        }
        break;
    }
}

/* --- Dying and being born --- */

static void find_dying(struct herd *herd)
{
    struct herd_store *store = &herd->store;
    uint32_t count = store_count(store), killed = 0, keep = 1;

    if (herd->frame >= herd->next_raid) {
        killed = 3 + herd_random(&herd->random) % 16; /* percent */
        herd->next_raid = herd->frame + RAID_EVERY + herd_random(&herd->random) % (RAID_EVERY / 2);
        herd->next_wave = herd->frame + WAVE_AFTER + herd_random(&herd->random) % (2 * WAVE_AFTER);
    }
    for (uint32_t row = 0; row < count; row++) {
        int raided =
            killed > 0 && HERD_HOT(store, row, random) * 2654435761u < UINT32_MAX / 100 * killed;

        if (((HERD_HOT(store, row, flags) & DOOMED) != 0 || raided) &&
            herd->dying_count + keep < count)
            herd->dying[herd->dying_count++] = store_id(store, row);
    }
    if (herd->dying_count > herd->result->died_at_once)
        herd->result->died_at_once = herd->dying_count;
}

/* How many are born in this frame. */
static uint32_t births(struct herd *herd)
{
    uint32_t room = herd->config->creatures - store_count(&herd->store);

    if (herd->frame == herd->next_wave)
        return room;
    /* as many as die of age, or nearly */
    return room > 0 && herd_random(&herd->random) % LIFE < herd->config->creatures ? 1 : 0;
}

static void be_born(struct herd *herd, uint32_t row)
{
    struct herd_store *store = &herd->store;
    struct herd_warm *warm = HERD_HOT(store, row, warm);
    struct herd_person *person = &HERD_HOT(store, row, cold)->person;
    uint32_t random = herd_random(&herd->random);

    HERD_HOT(store, row, random) = random | 1;
    HERD_HOT(store, row, x) = herd_share(herd_random(&random)) * SIDE;
    HERD_HOT(store, row, y) = 0;
    HERD_HOT(store, row, z) = herd_share(herd_random(&random)) * SIDE;
    HERD_HOT(store, row, vx) = HERD_HOT(store, row, vy) = HERD_HOT(store, row, vz) = 0;
    HERD_HOT(store, row, health) = 1;
    HERD_HOT(store, row, energy) = 0.5f + herd_share(herd_random(&random));
    HERD_HOT(store, row, state) = HERD_HOT(store, row, flags) = HERD_HOT(store, row, cell) = 0;
    memset(warm, 0, sizeof(*warm));
    for (unsigned i = 0; i < 8; i++) {
        warm->decision.weights[i] = herd_share(herd_random(&random));
        warm->emotional.mood[i] = herd_share(herd_random(&random));
    }
    person->born = herd->frame;
    person->parent = row > 0 ? store_id(store, herd_random(&random) % row) : 0;
    for (unsigned i = 0; i < sizeof(person->genes) / sizeof(person->genes[0]); i++)
        person->genes[i] = herd_random(&random);
}

/* --- A frame --- */

/* Time `statement` as one part of a frame, in which it does so many operations. */
#define HERD_PART(herd, times, part, count, statement)                                  \
    do {                                                                                \
        uint64_t herd_part_start = lodei_mine_ticks_alone();                            \
        statement;                                                                      \
        (times)->parts[part] += (uint32_t)(lodei_mine_ticks_alone() - herd_part_start); \
        (herd)->result->operations[part] += (count);                                    \
    } while (0)

/* Names for the rows from `first` on, the last ones. */
static void name_newborn(struct herd *herd, uint32_t first, struct lodei_herd_frame *times)
{
    struct herd_store *store = &herd->store;
    uint32_t count = store_count(store) - first, fresh = 0;

    for (uint32_t i = 0; i < count; i++) {
        struct herd_text *text = &herd->texts[fresh];
        struct herd_person *person = &HERD_HOT(store, first + i, cold)->person;

        text->bytes = lodei_herd_name(herd_random(&herd->random), text->text);
        text->person = person;
        person->name = store_name_find(store, text->text, text->bytes);
        fresh += person->name == 0;
    }
    if (fresh > 0)
        HERD_PART(herd, times, LODEI_HERD_SPAWN, fresh, store_names_add(store, herd->texts, fresh));
}

/* `count` more. `times`: of the frame. */
static void spawn(struct herd *herd, uint32_t count, struct lodei_herd_frame *times)
{
    struct herd_store *store = &herd->store;
    uint32_t first = store_count(store);

    HERD_PART(herd, times, LODEI_HERD_SPAWN, count, store_spawn(store, herd->bodies, count));
    store_enter(store, herd->bodies, count);
    for (uint32_t row = first; row < first + count; row++)
        be_born(herd, row);
    name_newborn(herd, first, times);
    herd->result->spawned += count;
    if (count > herd->result->born_at_once)
        herd->result->born_at_once = count;
    if (first + count > herd->result->alive_peak)
        herd->result->alive_peak = first + count;
}

static void *search(struct herd_store *store, uint32_t count, uint32_t random)
{
    void *last = NULL;

    for (uint32_t i = 0; i < count; i++)
        last = store_scratch(store, 64 + (random >> (i & 15)) % (SEARCH_BYTES - 64));
    return last;
}

static void run_frame(struct herd *herd, struct lodei_herd_frame *times)
{
    struct herd_store *store = &herd->store;
    uint64_t start = lodei_mine_ticks();
    uint32_t born, searches = herd_random(&herd->random) % SEARCHES;
    void *last;

    think_all(herd);
    find_needs(herd);
    HERD_PART(herd, times, LODEI_HERD_ROOM, herd->need_count,
              store_room(store, herd->needs, herd->need_count));
    for (uint32_t i = 0; i < herd->event_count; i++)
        note(herd, &herd->events[i]);
    find_dying(herd);
    HERD_PART(herd, times, LODEI_HERD_KILL, herd->dying_count,
              store_kill(store, herd->dying, herd->dying_count));
    store_leave(store, herd->dying, herd->dying_count);
    herd->result->died += herd->dying_count;
    born = births(herd);
    if (born > 0)
        spawn(herd, born, times);
    HERD_PART(herd, times, LODEI_HERD_SCRATCH, searches,
              last = search(store, searches, herd->random));
    if (last != NULL)
        memset(last, 1, 64);
    HERD_PART(herd, times, LODEI_HERD_SCRATCH, 0, store_frame_end(store));
    times->whole = (uint32_t)(lodei_mine_ticks() - start);
}

/* --- The whole --- */

static void hash_creature(const struct herd *herd, uint32_t row, uint64_t *hash)
{
    const struct herd_store *store = &herd->store;
    const struct herd_cold *cold = HERD_HOT(store, row, cold);
    struct herd_person person = cold->person;
    uint64_t id = store_id(store, row);
    char name[HERD_NAME] = "";
    float place[] = {HERD_HOT(store, row, x),      HERD_HOT(store, row, y),
                     HERD_HOT(store, row, z),      HERD_HOT(store, row, vx),
                     HERD_HOT(store, row, vy),     HERD_HOT(store, row, vz),
                     HERD_HOT(store, row, health), HERD_HOT(store, row, energy)};
    uint32_t rest[] = {HERD_HOT(store, row, state), HERD_HOT(store, row, flags),
                       HERD_HOT(store, row, cell), HERD_HOT(store, row, random)};

    strncpy(name, store_name(store, person.name), sizeof(name) - 1);
    person.name = 0;
    lodei_mine_hash(hash, &id, sizeof(id));
    lodei_mine_hash(hash, place, sizeof(place));
    lodei_mine_hash(hash, rest, sizeof(rest));
    lodei_mine_hash(hash, HERD_HOT(store, row, warm), sizeof(struct herd_warm));
    lodei_mine_hash(hash, &person, sizeof(person));
    lodei_mine_hash(hash, name, sizeof(name));
}

static void hash_lists(const struct herd_cold *cold, uint64_t *hash)
{
    for (uint32_t i = 0; i < cold_count(cold, HERD_LIST_MEMORIES); i++) {
        struct herd_memory memory = cold_memory(cold, i);

        lodei_mine_hash(hash, &memory, sizeof(memory));
    }
    lodei_mine_hash(hash, cold_relations(cold),
                    cold_count(cold, HERD_LIST_RELATIONS) * sizeof(struct herd_relation));
    for (uint32_t i = 0; i < cold_count(cold, HERD_LIST_BAG); i++) {
        struct herd_item item = cold_item(cold, i);

        lodei_mine_hash(hash, &item, sizeof(item));
    }
    for (uint32_t i = 0; i < cold_count(cold, HERD_LIST_PATH); i++) {
        struct herd_waypoint waypoint = cold_waypoint(cold, i);

        lodei_mine_hash(hash, &waypoint, sizeof(waypoint));
    }
}

static void finish_figures(const struct herd *herd)
{
    static const uint32_t item_bytes[] = {sizeof(struct herd_memory), sizeof(struct herd_relation),
                                          sizeof(struct herd_item), sizeof(struct herd_waypoint)};
    struct lodei_herd_result *result = herd->result;

    result->alive_end = store_count(&herd->store);
    result->resident_end = lodei_mine_resident_bytes();
    for (uint32_t row = 0; row < result->alive_end; row++) {
        const struct herd_cold *cold = HERD_HOT(&herd->store, row, cold);

        hash_creature(herd, row, &result->hash);
        hash_lists(cold, &result->hash);
        result->live_bytes += 64 + sizeof(struct herd_warm) + sizeof(struct herd_person);
        for (unsigned list = 0; list < sizeof(item_bytes) / sizeof(item_bytes[0]); list++)
            result->live_bytes +=
                (uint64_t)cold_count(cold, (enum herd_list)list) * item_bytes[list];
    }
}

static void despawn(struct herd *herd)
{
    struct herd_store *store = &herd->store;
    uint32_t count = store_count(store);
    uint64_t start;

    for (uint32_t row = 0; row < count; row++)
        herd->dying[row] = store_id(store, row);
    start = lodei_mine_ticks_alone();
    store_kill(store, herd->dying, count);
    herd->result->despawn_us =
        (double)(lodei_mine_ticks_alone() - start) * lodei_mine_tick_ns() / 1000;
    store_leave(store, herd->dying, count);
    herd->result->died += count;
}

LODEI_HERD_RUN(const struct lodei_herd_config *config, struct lodei_herd_result *result)
{
    static struct herd herd;
    uint32_t creatures = config->creatures;
    struct lodei_herd_frame none = {0};

    herd.config = config;
    herd.result = result;
    herd.random = (uint32_t)(config->seed ^ config->seed >> 32) * 2654435761u | 1;
    herd.next_raid = RAID_EVERY;
    herd.next_wave = UINT32_MAX;
    herd.events = lodei_pages_alloc((size_t)creatures * EVENTS, sizeof(*herd.events));
    herd.needs = lodei_pages_alloc((size_t)creatures * EVENTS, sizeof(*herd.needs));
    herd.dying = lodei_pages_alloc(creatures, sizeof(*herd.dying));
    herd.bodies = lodei_pages_alloc(creatures, sizeof(*herd.bodies));
    (void)lodei_mine_tick_ns();
    result->resident_start = lodei_mine_resident_bytes();
    herd.texts = lodei_pages_alloc(creatures, sizeof(*herd.texts));
    store_init(&herd.store, config);
    spawn(&herd, creatures, &none);
    memset(result->operations, 0, sizeof(result->operations));
    result->born_at_once = 0;
    for (herd.frame = 0; herd.frame < config->frames; herd.frame++)
        run_frame(&herd, &config->times[herd.frame]);
    finish_figures(&herd);
    despawn(&herd);
    result->resident_despawned = lodei_mine_resident_bytes();
    store_finish(&herd.store, &result->left);
    lodei_pages_free(herd.events, (size_t)creatures * EVENTS, sizeof(*herd.events));
    lodei_pages_free(herd.needs, (size_t)creatures * EVENTS, sizeof(*herd.needs));
    lodei_pages_free(herd.dying, creatures, sizeof(*herd.dying));
    lodei_pages_free(herd.bodies, creatures, sizeof(*herd.bodies));
    lodei_pages_free(herd.texts, creatures, sizeof(*herd.texts));
    return 0;
}

#endif
