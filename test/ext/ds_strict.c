/* SPDX-License-Identifier: MIT */
/*
 * Every macro of lode/ds.h, expanded as its users do: by strict C11 and, through ds_strict_cxx.cpp,
 * by C++17, with more warnings than this project has, all fatal, and with strict aliasing. What is
 * written here is C and C++ at once. Run, it uses each a little; wrong results end with 1.
 */
#include <lode/ds.h>

#include <stdio.h>
#include <string.h>

struct wide {
    LODEI_DS_ALIGNAS(64) uint32_t value;
    char rest[100];
};
struct pos {
    int32_t x, y, z;
};
struct mob {
    struct pos at;
    struct lode_link awake, in_cell;
};

#define POS_HASH(k)     lode_hash_bytes(&(k), sizeof(k), 0)
#define POS_EQUAL(a, b) ((a).x == (b).x && (a).y == (b).y && (a).z == (b).z)
#define BY_VALUE(a, b)  ((a) < (b))
#define MOB_FLAGS(F)    F(MOB_ASLEEP) F(MOB_HOSTILE)
#define BODY_FIELDS(F)  F(float, x) F(struct pos, at) F(const char *, name) F(struct wide, wide)

LODE_VEC_DEFINE(vec, uint32_t);
LODE_VEC_DEFINE(vec_texts, const char *);
LODE_BUMPVEC_DEFINE(bump, struct wide);
LODE_SMALLVEC_DEFINE(few, const char *, 3);
LODE_STABLEVEC_DEFINE(stable, struct wide, 4);
LODE_POOLEDVEC_DEFINE(pooled, struct pos, 64);
LODE_RING_DEFINE(ring, const char *);
LODE_MAP_DEFINE(map, struct pos, struct wide, POS_HASH, POS_EQUAL);
LODE_MAP_DEFINE(map_texts, const char *, uint8_t, LODE_HASH_STRING, LODE_EQUAL_STRING);
LODE_SET_DEFINE(set, int32_t, LODE_HASH_INT, LODE_EQUAL_INT);
LODE_SET_DEFINE(set_pointers, const void *, LODE_HASH_PTR, LODE_EQUAL_PTR);
LODE_SORTED_MAP_DEFINE(sorted, float, struct wide, BY_VALUE);
LODE_SORTED_SET_DEFINE(sorted_set, uint16_t, BY_VALUE);
LODE_LIST_DEFINE(awake_list, struct mob, awake);
LODE_LIST_DEFINE(cell_list, struct mob, in_cell);
LODE_SPARSE_SET_DEFINE(mobs, struct mob);
LODE_SPARSE_ARRAY_DEFINE(damage, uint16_t, 128);
LODE_SPARSE_ARRAY_DEFINE(damage_wide, struct wide, 64);
LODE_FLAGS_DEFINE(mob_flags, MOB_FLAGS);
LODE_SOA_DEFINE(bodies, 64, BODY_FIELDS);

static int failures;

#define CHECK(e) ((e) ? (void)0 : (printf("%d: %s\n", __LINE__, #e), (void)failures++))

static struct wide wide(uint32_t value)
{
    struct wide w;
    memset(&w, 0, sizeof(w));
    w.value = value;
    return w;
}

static struct pos pos(int32_t x)
{
    struct pos p = {x, 2 * x, 3 * x};
    return p;
}

static void vectors(void)
{
    struct vec v = LODE_DS_INIT(1000, NULL);
    struct vec_texts t = LODE_DS_INIT(0, NULL);
    struct bump b = LODE_DS_INIT(0, NULL);
    struct few f;
    struct stable s;
    struct pooled p;
    few_init(&f, 0, NULL);
    stable_init(&s, 0, NULL);
    CHECK(pooled_init(&p, 0, NULL) == 0);
    for (uint32_t i = 0; i < 100; i++) {
        CHECK(vec_push(&v, i) == 0 && vec_texts_push(&t, "text") == 0);
        CHECK(bump_push(&b, wide(i)) == 0 && few_push(&f, "few") == 0);
        CHECK(stable_push(&s, wide(i)) == 0 && pooled_push(&p, pos((int32_t)i)) == 0);
    }
    CHECK(vec_insert(&v, 50, 7) == 0 && v.items[50] == 7 && vec_remove(&v, 0) == 0);
    CHECK(strcmp(*vec_texts_at(&t, 99), "text") == 0 && b.items[77].value == 77);
    CHECK(strcmp(few_items(&f)[99], "few") == 0 && few_remove_swap(&f, 0) == 0);
    CHECK(stable_at(&s, 98)->value == 98 && pooled_at(&p, 98)->z == 294);
    vec_finish(&v);
    vec_texts_finish(&t);
    bump_finish(&b);
    few_finish(&f);
    stable_finish(&s);
    pooled_finish(&p);
}

static void tables(void)
{
    struct map m;
    struct map_texts t;
    struct set s;
    struct set_pointers p;
    struct sorted o = LODE_DS_INIT(0, NULL);
    struct sorted_set os = LODE_DS_INIT(0, NULL);
    map_init(&m, 0, NULL);
    map_texts_init(&t, 0, NULL);
    set_init(&s, 0, NULL);
    set_pointers_init(&p, 0, NULL);
    for (int32_t i = 0; i < 100; i++) {
        CHECK(map_put(&m, pos(i), wide((uint32_t)i)) == 0 && set_insert(&s, -i) == 0);
        CHECK(sorted_put(&o, (float)-i, wide((uint32_t)i)) == 0);
        CHECK(sorted_set_append(&os, (uint16_t)i) == 0);
    }
    CHECK(map_texts_put(&t, "iron", 5) == 0 && set_pointers_insert(&p, &m) == 0);
    CHECK(map_find(&m, pos(50))->value == 50 && map_find(&m, pos(100)) == NULL);
    CHECK(map_remove(&m, pos(50)) == 0 && map_count(&m) == 99);
    CHECK(*map_texts_find(&t, "iron") == 5 && *set_pointers_find(&p, &m) == &m);
    CHECK(*set_find(&s, -5) == -5 && set_find(&s, 5) == NULL);
    CHECK(sorted_lower(&o, -99.0f) == 0 && o.items[0].value.value == 99);
    CHECK(sorted_upper(&o, 0.0f) == 100 && *sorted_set_find(&os, 3) == 3);
    map_finish(&m);
    map_texts_finish(&t);
    set_finish(&s);
    set_pointers_finish(&p);
    sorted_finish(&o);
    sorted_set_finish(&os);
}

static void linked(void)
{
    struct mob all[3];
    struct awake_list awake;
    struct cell_list cell;
    int seen = 0;
    memset(all, 0, sizeof(all));
    awake_list_init(&awake, 0);
    cell_list_init(&cell, 0);
    for (int i = 0; i < 3; i++)
        CHECK(awake_list_push_back(&awake, &all[i]) == 0 &&
              cell_list_push_front(&cell, &all[i]) == 0);
    LODE_LIST_EACH(awake_list, mob, &awake)
    {
        CHECK(mob == &all[seen++]);
        CHECK(awake_list_remove(&awake, mob) == 0);
    }
    LODE_LIST_EACH(cell_list, mob, &cell)
    CHECK(mob == &all[--seen]);
    CHECK(seen == 0 && awake_list_count(&awake) == 0);
}

static void sparse(void)
{
    struct mobs m;
    struct damage d;
    struct damage_wide w;
    struct lode_sparse_cursor at = {0, 0, 0};
    lode_sparse_id id = 0;
    struct mob mob;
    int seen = 0;
    memset(&mob, 0, sizeof(mob));
    mobs_init(&m, 0, NULL);
    damage_init(&d, 0, NULL);
    damage_wide_init(&w, 0, NULL);
    CHECK(mobs_add(&m, mob, &id) == 0 && mobs_get(&m, id) == m.items && mobs_remove(&m, id) == 0);
    CHECK(mobs_get(&m, id) == NULL);
    for (uint64_t i = 0; i < 1000; i += 3)
        CHECK(damage_set(&d, i, (uint16_t)i) == 0 && damage_wide_set(&w, i, wide(7)) == 0);
    CHECK(*damage_get(&d, 999) == 999 && damage_peek(&d, 1000) == NULL);
    while (damage_wide_next(&w, &at) != NULL)
        seen++;
    CHECK(seen == 334);
    mobs_finish(&m);
    damage_finish(&d);
    damage_wide_finish(&w);
}

static void others(void)
{
    struct ring r;
    struct ring_span last[2];
    struct mob_flags f = {{0}};
    struct lode_bitset bits = LODE_BITSET_INIT(0, NULL);
    struct lode_interner names;
    struct bodies b = LODE_DS_INIT(0, NULL);
    struct bodies_row row = {1.0f, {1, 2, 3}, "body", wide(5)};
    uint32_t id = 0;
    lode_interner_init(&names, 0, 0, NULL);
    CHECK(ring_init(&r, 3, LODE_RING_OVERWRITE, NULL) == 0);
    for (int i = 0; i < 20; i++)
        CHECK(ring_push(&r, "ring") == 0 && bodies_push(&b, row) == 0);
    CHECK(ring_recent(&r, 10, last) == 3 && strcmp(last[0].items[0], "ring") == 0);
    CHECK(*LODE_SOA_AT(&b, 13, x) == 1.0f && bodies_lane_count(&b) == 3);
    mob_flags_set(&f, MOB_HOSTILE);
    CHECK(mob_flags_has(&f, MOB_HOSTILE) && strcmp(mob_flags_name(MOB_ASLEEP), "MOB_ASLEEP") == 0);
    CHECK(lode_bitset_resize(&bits, 100) == 0 && lode_bitset_put(&bits, 70, 1) == 0);
    CHECK(lode_bitset_next(&bits, 0) == 70);
    CHECK(lode_intern(&names, "stone", 5, &id) == 0);
    CHECK(strcmp(lode_interner_text(&names, id), "stone") == 0);
    ring_finish(&r);
    bodies_finish(&b);
    lode_bitset_finish(&bits);
    lode_interner_finish(&names);
}

int main(void)
{
    vectors();
    tables();
    linked();
    sparse();
    others();
    return failures != 0;
}
