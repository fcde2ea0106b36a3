/* SPDX-License-Identifier: MIT */
/*
 * Creatures of `lode herd`, as every storage keeps them: what is touched in each frame (hot, 64
 * bytes, field by field in arrays), what is touched when a creature thinks (warm, 256 bytes), and
 * what has no bound or is seldom looked at (cold): who it is, and its lists.
 *
 *     list       item   at most      full
 *     memories   16     100          the newest replaces the oldest
 *     relations  16     50           the newest replaces the weakest
 *     bag        8      no bound
 *     path       16     no bound
 */
#ifndef LODEI_HERDWORK_H
#define LODEI_HERDWORK_H

#include <stddef.h>
#include <stdint.h>

enum { HERD_MEMORIES = 100, HERD_RELATIONS = 50, HERD_NAME = 64 };
/* Of those who die, the lists of the one so many places on are fetched. */
enum { HERD_AHEAD = 8 };

/* generation << 32 | slot: the generation of a slot is odd while a creature has it, and one larger
 * each time it gets or loses one. Slots are reused last in, first out. 0 is nobody. */
typedef uint64_t herd_id;

/* F(type, field): 64 bytes a creature. */
/* clang-format off */
#define HERD_HOT_FIELDS(F)                                             \
    F(float, x) F(float, y) F(float, z)                                \
    F(float, vx) F(float, vy) F(float, vz)                             \
    F(float, health) F(float, energy)                                  \
    F(uint32_t, state)  /* steps of the journey under way; 0: none */  \
    F(uint32_t, flags) F(uint32_t, cell) F(uint32_t, random)           \
    F(struct herd_warm *, warm) F(struct herd_cold *, cold)
/* clang-format on */

struct herd_warm {
    struct {
        float target[3], speed, heading[3], turn, drag[4], steps[4];
    } movement;
    struct {
        float sight, hearing, smell, seen[8];
        uint32_t noticed;
    } sensory;
    struct {
        float trust, fear, bond[12];
        uint32_t met, group;
    } social;
    struct {
        float mood[8];
    } emotional;
    struct {
        uint32_t goal, wait, journey, thoughts;
        float weights[8];
    } decision;
};
_Static_assert(sizeof(struct herd_warm) == 256, "as the reference has it");

struct herd_person {
    uint32_t name; /* the storage's number for it; 0: none yet */
    uint32_t born; /* frame */
    herd_id parent;
    uint32_t genes[16];
};

struct herd_memory {
    herd_id who;
    uint32_t frame;
    float strength;
};

struct herd_relation {
    herd_id who;
    uint32_t frame;
    float trust;
};

struct herd_item {
    uint32_t kind, count;
};

struct herd_waypoint {
    float at[3], cost;
};

enum herd_list { HERD_LIST_MEMORIES, HERD_LIST_RELATIONS, HERD_LIST_BAG, HERD_LIST_PATH };

/* What a creature has from its birth. */
struct herd_body {
    struct herd_warm *warm;
    struct herd_cold *cold;
};

/* A name that is new, and who gets it. */
struct herd_text {
    struct herd_person *person;
    size_t bytes;
    char text[HERD_NAME];
};

/* Room for more in a list of a creature: for `items` in all. 0: the list is emptied. */
struct herd_need {
    struct herd_cold *cold;
    enum herd_list list;
    uint32_t items;
};

static inline uint32_t herd_random(uint32_t *state)
{
    uint32_t x = *state;

    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    return *state = x;
}

/* In 0 .. 1. */
static inline float herd_share(uint32_t random)
{
    return (float)(random >> 8) / 16777216.0f;
}

/* One of 2,304 names, of 6 to 40 bytes. Returns its length. */
size_t lodei_herd_name(uint32_t random, char ret_name[HERD_NAME]);

#endif
