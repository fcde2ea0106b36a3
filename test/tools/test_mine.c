/* SPDX-License-Identifier: MIT */
/* What `lode mine` is made of: the distance transform, the world, its bricks, the miners, figures.
 */
#include <criterion/criterion.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "edt.h"
#include "minereport.h"
#include "minescript.h"
#include "minework.h"
#include "mineworld.h"
#include "worldfile.h"

static uint64_t random_state = 7;

static uint32_t random_below(uint32_t end)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 32) % end;
}

/* --- The distance transform --- */

static int32_t brute_square(const uint8_t *features, const uint32_t sides[3], const int32_t at[3])
{
    int32_t best = LODEI_EDT_NONE;

    for (int32_t z = 0; z < (int32_t)sides[2]; z++)
        for (int32_t y = 0; y < (int32_t)sides[1]; y++)
            for (int32_t x = 0; x < (int32_t)sides[0]; x++) {
                int32_t dx = x - at[0], dy = y - at[1], dz = z - at[2];
                int32_t square = dx * dx + dy * dy + dz * dz;
                size_t index = ((size_t)z * sides[1] + (size_t)y) * sides[0] + (size_t)x;

                if (features[index] && square < best)
                    best = square;
            }
    return best;
}

static void compare_with_brute(const uint32_t sides[3], uint32_t one_in)
{
    size_t voxels = (size_t)sides[0] * sides[1] * sides[2];
    uint8_t *features = calloc(voxels, 1);
    int32_t *squares = calloc(voxels, sizeof(*squares));
    int32_t at[3];
    size_t index = 0;

    for (size_t i = 0; i < voxels; i++)
        features[i] = one_in > 0 && random_below(one_in) == 0;
    lodei_edt(features, sides, squares);
    for (at[2] = 0; at[2] < (int32_t)sides[2]; at[2]++)
        for (at[1] = 0; at[1] < (int32_t)sides[1]; at[1]++)
            for (at[0] = 0; at[0] < (int32_t)sides[0]; at[0]++, index++)
                cr_assert_eq(squares[index], brute_square(features, sides, at),
                             "%u x %u x %u, one in %u: (%d, %d, %d)", sides[0], sides[1], sides[2],
                             one_in, at[0], at[1], at[2]);
    free(features);
    free(squares);
}

Test(edt, is_what_a_search_of_all_voxels_finds)
{
    static const uint32_t sides[][3] = {{1, 1, 1},   {9, 1, 1},    {1, 9, 1},   {1, 1, 9},
                                        {17, 16, 3}, {16, 15, 17}, {33, 2, 18}, {5, 40, 5}};
    static const uint32_t one_in[] = {1, 2, 10, 100, 1000};

    for (size_t s = 0; s < sizeof(sides) / sizeof(sides[0]); s++)
        for (size_t d = 0; d < sizeof(one_in) / sizeof(one_in[0]); d++)
            compare_with_brute(sides[s], one_in[d]);
}

Test(edt, without_any_feature_there_is_no_distance)
{
    static const uint32_t sides[3] = {20, 7, 19};

    compare_with_brute(sides, 0);
}

Test(edt, reaches_across_the_longest_side)
{
    static const uint32_t sides[3] = {LODEI_EDT_SIDE, 2, 2};
    static uint8_t features[LODEI_EDT_SIDE * 4];
    static int32_t squares[LODEI_EDT_SIDE * 4];

    features[LODEI_EDT_SIDE * 4 - 1] = 1;
    lodei_edt(features, sides, squares);
    cr_assert_eq(squares[0], (LODEI_EDT_SIDE - 1) * (LODEI_EDT_SIDE - 1) + 2);
    cr_assert_eq(squares[LODEI_EDT_SIDE * 4 - 1], 0);
}

/* --- The world --- */

/* Loaded once a test: each runs in a process of its own. */
static struct lodei_mine_world world;
static struct lodei_worldfile file;

static void load(uint32_t repeat)
{
    cr_assert_eq(lodei_worldfile_read(WORLD_DIR, &file), 0);
    cr_assert_eq(lodei_mine_world_create(WORLD_DIR, repeat, &world), 0);
}

static void unload(void)
{
    lodei_worldfile_finish(&file);
    lodei_mine_world_finish(&world);
}

static uint64_t count_of(const char *name)
{
    for (size_t i = 0; i < file.palette_count; i++)
        if (strcmp(file.palette[i].name, name) == 0)
            return file.palette[i].count;
    return 0;
}

static size_t index_of(const int32_t at[3])
{
    return ((size_t)at[2] * LODEI_WORLD_Y + (size_t)at[1]) * LODEI_WORLD_X + (size_t)at[0];
}

static int is_solid(const int32_t at[3])
{
    uint16_t id = file.nodes[index_of(at)];

    for (size_t i = 0; i < file.palette_count; i++)
        if (file.palette[i].id == id)
            return lodei_mine_solid(file.palette[i].name);
    return -1;
}

Test(world, holds_what_its_readme_says, .fini = unload)
{
    uint64_t nodes = 0, solid = 0;

    load(1);
    for (size_t i = 0; i < file.palette_count; i++) {
        nodes += file.palette[i].count;
        solid += lodei_mine_solid(file.palette[i].name) ? file.palette[i].count : 0;
    }
    cr_assert_eq(nodes, 8388608);
    cr_assert_eq(count_of("air"), 2179241);
    cr_assert_eq(count_of("default:stone"), 5470972);
    cr_assert_eq(count_of("default:stone_with_coal"), 85226);
    cr_assert_eq(world.solid_voxels, solid);
    cr_assert_str_eq(world.palette[world.air].name, "air");
    cr_assert_str_eq(world.palette[world.rock].name, "default:stone");
}

Test(world, water_leaves_and_plants_are_not_solid)
{
    cr_assert(lodei_mine_solid("default:stone"));
    cr_assert(lodei_mine_solid("default:tree"));
    cr_assert(lodei_mine_solid("default:stone_with_tin"));
    cr_assert_not(lodei_mine_solid("air"));
    cr_assert_not(lodei_mine_solid("default:water_source"));
    cr_assert_not(lodei_mine_solid("default:leaves"));
    cr_assert_not(lodei_mine_solid("default:grass_1"));
    cr_assert_not(lodei_mine_solid("flowers:tulip"));
    cr_assert_not(lodei_mine_solid("stone"));
}

/* The distance at a voxel by looking at all voxels that could be near enough. */
static float brute_distance(const int32_t at[3])
{
    int solid = is_solid(at);
    int32_t best = LODEI_MINE_BEYOND, to[3];

    for (to[2] = at[2] - 5; to[2] <= at[2] + 5; to[2]++)
        for (to[1] = at[1] - 5; to[1] <= at[1] + 5; to[1]++)
            for (to[0] = at[0] - 5; to[0] <= at[0] + 5; to[0]++) {
                int32_t dx = to[0] - at[0], dy = to[1] - at[1], dz = to[2] - at[2];

                if (to[0] < 0 || to[0] >= LODEI_WORLD_X || to[1] < 0 || to[1] >= LODEI_WORLD_Y ||
                    to[2] < 0 || to[2] >= LODEI_WORLD_Z || is_solid(to) == solid)
                    continue;
                if (dx * dx + dy * dy + dz * dz < best)
                    best = dx * dx + dy * dy + dz * dz;
            }
    return lodei_mine_distance(solid ? -best : best);
}

static float arrived_distance(const struct lodei_mine_arrival *arrival, unsigned voxel)
{
    unsigned bits = lodei_mine_bits[arrival->tier];

    if (!arrival->with_distances)
        return arrival->inside ? -LODEI_MINE_BAND : LODEI_MINE_BAND;
    return lodei_sdf_at(bits, LODEI_MINE_SIDE, LODEI_MINE_BAND, arrival->distances, voxel % 8,
                        voxel / 8 % 8, voxel / 64);
}

Test(world, bricks_have_the_distances_that_a_search_finds, .fini = unload)
{
    static struct lodei_mine_brick room;

    load(1);
    for (int i = 0; i < 4000; i++) {
        int32_t at[3] = {(int32_t)random_below(256), (int32_t)random_below(128),
                         (int32_t)random_below(256)};
        int32_t brick[3] = {at[0] / 8, at[1] / 8, at[2] / 8};
        unsigned voxel = (unsigned)((at[2] % 8 * 8 + at[1] % 8) * 8 + at[0] % 8);
        float distance = brute_distance(at);

        for (uint8_t tier = 0; tier < LODEI_MINE_TIERS; tier++) {
            struct lodei_mine_arrival arrival =
                lodei_mine_arrive(&world, LODEI_MINE_BOTH, brick, tier, &room);
            float quantum = lodei_sdf_quantum(lodei_mine_bits[tier], LODEI_MINE_BAND);
            float got = arrived_distance(&arrival, voxel);

            cr_assert_leq(fabsf(got - distance), quantum / 2 + 1e-5f, "(%d, %d, %d) %u bits", at[0],
                          at[1], at[2], lodei_mine_bits[tier]);
            cr_assert_eq(got < 0, distance < 0);
            cr_assert_eq(
                world.solid[arrival.with_contents ? arrival.contents[voxel] : arrival.content],
                distance < 0);
        }
    }
}

Test(world, bricks_arrive_in_the_tier_of_their_distance, .fini = unload)
{
    static struct lodei_mine_brick room;
    unsigned counts[LODEI_MINE_TIERS] = {0};

    load(2);
    for (int i = 0; i < 4000; i++) {
        int32_t at[3] = {(int32_t)random_below(64), (int32_t)random_below(16),
                         (int32_t)random_below(64)};
        struct lodei_mine_arrival exact = lodei_mine_arrive(&world, LODEI_MINE_BOTH, at, 0, &room);
        float least = LODEI_MINE_BAND;

        if (exact.distances == NULL)
            continue;
        for (unsigned voxel = 0; voxel < LODEI_MINE_VOXELS; voxel++)
            least = fminf(least, fabsf(arrived_distance(&exact, voxel)));
        struct lodei_mine_arrival usual = lodei_mine_arrive(&world, LODEI_MINE_BOTH, at, -1, &room);
        cr_assert_eq(usual.tier, least < 1 ? 0 : least < 2 ? 1 : 2);
        counts[usual.tier]++;
    }
    for (int tier = 0; tier < LODEI_MINE_TIERS; tier++)
        cr_assert_gt(counts[tier], 0);
}

Test(world, distances_rise_with_their_squares)
{
    for (int square = 2; square <= LODEI_MINE_BEYOND; square++)
        cr_assert_gt(lodei_mine_distance(square), lodei_mine_distance(square - 1));
    cr_assert_eq(lodei_mine_distance(1), 0.5f);
    cr_assert_eq(lodei_mine_distance(-4), -1.5f);
    cr_assert_eq(lodei_mine_distance(LODEI_MINE_BEYOND), (float)LODEI_MINE_BAND);
    cr_assert_lt(lodei_mine_distance(LODEI_MINE_BEYOND - 1), (float)LODEI_MINE_BAND);
}

/* One voxel of a repeated world, `at` in voxels. */
static void look(const int32_t at[3], uint8_t tier, float *ret_distance, unsigned *ret_content)
{
    static struct lodei_mine_brick room;
    int32_t brick[3] = {at[0] / 8, at[1] / 8, at[2] / 8};
    unsigned voxel = (unsigned)((at[2] % 8 * 8 + at[1] % 8) * 8 + at[0] % 8);
    struct lodei_mine_arrival arrival =
        lodei_mine_arrive(&world, LODEI_MINE_BOTH, brick, tier, &room);

    *ret_distance = arrived_distance(&arrival, voxel);
    *ret_content = arrival.with_contents ? arrival.contents[voxel] : arrival.content;
}

Test(world, repeated_it_is_its_own_mirror_image, .fini = unload)
{
    load(3);
    cr_assert_eq(world.sides[0], 96);
    cr_assert_eq(world.sides[1], 16);
    cr_assert_eq(world.sides[2], 96);
    for (int i = 0; i < 5000; i++) {
        int32_t at[3] = {(int32_t)random_below(768), (int32_t)random_below(128),
                         (int32_t)random_below(768)};
        int32_t image[3] = {511 - at[0] + (at[0] > 511 ? 1024 : 0), at[1], at[2]};
        uint8_t tier = (uint8_t)random_below(3);
        unsigned content, image_content;
        float distance, image_distance;

        if (i % 2 && at[2] < 512) {
            image[0] = at[0];
            image[2] = 511 - at[2];
        }
        if (image[0] < 0 || image[0] >= 768)
            continue;
        look(at, tier, &distance, &content);
        look(image, tier, &image_distance, &image_content);
        cr_assert_eq(distance, image_distance);
        cr_assert_eq(content, image_content);
    }
}

/* --- Bricks being dug in --- */

static void random_edit(struct lodei_mine_edit *edit)
{
    int axis = (int)random_below(3);

    memset(edit, 0, sizeof(*edit));
    edit->tool = (uint8_t)random_below(3);
    for (int a = 0; a < 3; a++)
        edit->from[a] = edit->to[a] = (float)random_below(48) + 0.5f;
    if (edit->tool == LODEI_MINE_DRILL)
        edit->to[axis] += (float)random_below(5);
    edit->radius = 1 + (float)random_below(32) / 4;
}

/* Distance of a voxel's centre from an edit's segment. */
static float gap(const struct lodei_mine_edit *edit, const int32_t at[3])
{
    float square = 0;

    for (int axis = 0; axis < 3; axis++) {
        float p = (float)at[axis] + 0.5f;
        float nearest = fminf(fmaxf(p, edit->from[axis]), edit->to[axis]);

        square += (p - nearest) * (p - nearest);
    }
    return sqrtf(square);
}

Test(brick, an_edit_reaches_exactly_the_bricks_it_could_change)
{
    static const struct lodei_mine_box limit = {.high = {6, 6, 6}};

    for (int i = 0; i < 2000; i++) {
        struct lodei_mine_edit edit;
        struct lodei_mine_box box;
        int32_t brick[3], at[3];

        random_edit(&edit);
        box = lodei_mine_reach(&edit, &limit);
        for (brick[2] = 0; brick[2] < 6; brick[2]++)
            for (brick[1] = 0; brick[1] < 6; brick[1]++)
                for (brick[0] = 0; brick[0] < 6; brick[0]++) {
                    float nearest = INFINITY;
                    int inside = 1;

                    for (int axis = 0; axis < 3; axis++)
                        inside &= brick[axis] >= box.low[axis] && brick[axis] < box.high[axis];
                    for (unsigned v = 0; v < LODEI_MINE_VOXELS; v++) {
                        at[0] = brick[0] * 8 + (int32_t)(v % 8);
                        at[1] = brick[1] * 8 + (int32_t)(v / 8 % 8);
                        at[2] = brick[2] * 8 + (int32_t)(v / 64);
                        nearest = fminf(nearest, gap(&edit, at));
                    }
                    cr_assert_eq(inside && lodei_mine_touches(&edit, brick),
                                 nearest < edit.radius + LODEI_MINE_BAND);
                }
    }
}

/* A brick of random distances around one level, or uniform rock. */
static void random_brick(struct lodei_mine_brick *brick)
{
    float level = (float)random_below(17) / 2 - 4;

    memset(brick, 0, sizeof(*brick));
    brick->tier = (uint8_t)random_below(3);
    brick->with_distances = random_below(4) > 0;
    brick->inside = random_below(4) > 0;
    brick->content = 1;
    for (unsigned i = 0; i < LODEI_MINE_VOXELS; i++) {
        float d = level + (float)random_below(64) / 64;

        brick->distances[i] = d < 0 ? fmaxf(d, -4) : fminf(d + 0.01f, 4);
    }
}

Test(brick, digging_is_what_each_voxel_says)
{
    static struct lodei_mine_brick brick, before;
    static const int32_t place[3] = {2, 2, 2};

    for (int i = 0; i < 3000; i++) {
        struct lodei_mine_edit edit;
        unsigned changes, opened = 0;
        float beyond, least = INFINITY, most = -INFINITY;
        int32_t tier = (int32_t)random_below(4) - 1;

        random_edit(&edit);
        random_brick(&before);
        brick = before;
        changes = lodei_mine_carve(&edit, place, tier, &brick);
        beyond = LODEI_MINE_BAND - lodei_sdf_quantum(lodei_mine_bits[brick.tier], LODEI_MINE_BAND);
        if (!before.with_distances && !before.inside) {
            cr_assert_eq(changes, 0);
            continue;
        }
        for (unsigned v = 0; v < LODEI_MINE_VOXELS; v++) {
            int32_t at[3] = {16 + (int32_t)(v % 8), 16 + (int32_t)(v / 8 % 8),
                             16 + (int32_t)(v / 64)};
            float old = before.with_distances ? before.distances[v] : -LODEI_MINE_BAND;
            float want = fmaxf(old, edit.radius - gap(&edit, at));

            least = fminf(least, brick.distances[v]);
            most = fmaxf(most, brick.distances[v]);
            cr_assert_float_eq(brick.distances[v], want, 1e-4f);
            if (changes & LODEI_MINE_OPENED) {
                cr_assert_eq(brick.opened[v], old < 0 && brick.distances[v] > 0);
                opened += brick.opened[v];
            } else if (changes) {
                cr_assert_eq(old < 0, brick.distances[v] <= 0);
            }
        }
        if (changes == 0)
            continue;
        cr_assert_eq((changes & LODEI_MINE_OPENED) != 0, opened > 0);
        if (tier >= 0)
            cr_assert_eq(brick.tier, tier);
        else if (least < 0 && most > 0)
            cr_assert_eq(brick.tier, 0);
        else
            cr_assert_eq(brick.tier, lodei_mine_tier(fminf(fabsf(least), fabsf(most))));
        if (fabsf(least - beyond) > 1e-3f)
            cr_assert_eq(brick.with_distances, least < beyond);
        cr_assert_eq(brick.inside, 0);
    }
}

Test(brick, what_was_opened_becomes_air)
{
    static struct lodei_mine_brick brick;
    static uint8_t contents[LODEI_MINE_VOXELS];

    memset(contents, 3, sizeof(contents));
    contents[5] = 4;
    brick.opened[5] = brick.opened[6] = 1;
    lodei_mine_clear(contents, 9, &brick);
    cr_assert(brick.with_contents);
    cr_assert_eq(brick.contents[4], 3);
    cr_assert_eq(brick.contents[5], 9);
    cr_assert_eq(brick.contents[6], 9);
    /* all of one content again */
    memset(brick.opened, 1, sizeof(brick.opened));
    lodei_mine_clear(contents, 9, &brick);
    cr_assert_not(brick.with_contents);
    cr_assert_eq(brick.content, 9);
    /* a brick of one content */
    memset(brick.opened, 0, sizeof(brick.opened));
    brick.opened[511] = 1;
    brick.content = 2;
    lodei_mine_clear(NULL, 9, &brick);
    cr_assert(brick.with_contents);
    cr_assert_eq(brick.contents[510], 2);
    cr_assert_eq(brick.contents[511], 9);
}

Test(brick, hashes_differ_where_bytes_do)
{
    uint8_t bytes[64] = {0};
    uint64_t first = 0, second = 0, third = 0;

    lodei_mine_hash(&first, bytes, sizeof(bytes));
    bytes[63] = 1;
    lodei_mine_hash(&second, bytes, sizeof(bytes));
    bytes[63] = 0;
    lodei_mine_hash(&third, bytes, sizeof(bytes));
    cr_assert_neq(first, second);
    cr_assert_eq(first, third);
    lodei_mine_hash(&third, bytes, sizeof(bytes));
    cr_assert_neq(first, third);
}

/* --- The miners --- */

static const int32_t sides[3] = {32, 16, 32};
enum { EDITS = 20000 };

Test(script, miners_stay_in_their_lanes)
{
    struct lodei_mine_edit *edits = calloc(EDITS, sizeof(*edits));
    unsigned tools[LODEI_MINE_TOOLS] = {0};

    for (unsigned l = 0; l < LODEI_MINE_LANES; l++) {
        struct lodei_mine_box lane = lodei_mine_lane_box(sides, l);

        lodei_mine_script(&lane, 3, edits, EDITS);
        for (size_t i = 0; i < EDITS; i++) {
            static const struct lodei_mine_box everywhere = {.low = {-99, -99, -99},
                                                             .high = {99, 99, 99}};
            struct lodei_mine_box box = lodei_mine_reach(&edits[i], &everywhere);

            tools[edits[i].tool]++;
            for (int axis = 0; axis < 3; axis++) {
                cr_assert_geq(box.low[axis], lane.low[axis]);
                cr_assert_leq(box.high[axis], lane.high[axis]);
                cr_assert_geq(edits[i].viewer[axis], lane.low[axis]);
                cr_assert_lt(edits[i].viewer[axis], lane.high[axis]);
            }
        }
    }
    for (int tool = 0; tool < LODEI_MINE_TOOLS; tool++)
        cr_assert_gt(tools[tool], EDITS / 100);
    free(edits);
}

Test(script, a_seed_gives_the_same_edits_every_time)
{
    struct lodei_mine_edit *first = calloc(EDITS, sizeof(*first));
    struct lodei_mine_edit *second = calloc(EDITS, sizeof(*second));
    struct lodei_mine_box lane = lodei_mine_lane_box(sides, 0);

    lodei_mine_script(&lane, 3, first, EDITS);
    lodei_mine_script(&lane, 3, second, EDITS);
    cr_assert_arr_eq(first, second, EDITS * sizeof(*first));
    /* fewer are the first ones of more */
    lodei_mine_script(&lane, 3, second, EDITS / 2);
    cr_assert_arr_eq(first, second, EDITS / 2 * sizeof(*first));
    lodei_mine_script(&lane, 4, second, EDITS);
    cr_assert_arr_neq(first, second, EDITS * sizeof(*first));
    free(first);
    free(second);
}

Test(script, tunnels_are_whole)
{
    struct lodei_mine_edit *edits = calloc(EDITS, sizeof(*edits));
    struct lodei_mine_box lane = lodei_mine_lane_box(sides, 1);

    lodei_mine_script(&lane, 9, edits, EDITS);
    for (size_t i = 0; i < EDITS; i++) {
        const struct lodei_mine_edit *edit = &edits[i];
        int moved = 0;

        for (int axis = 0; axis < 3; axis++)
            moved += edit->from[axis] != edit->to[axis];
        cr_assert_eq(moved, edit->tool == LODEI_MINE_DRILL);
        if (edit->tool == LODEI_MINE_DRILL)
            cr_assert(edit->radius >= 2 && edit->radius <= 3);
        else if (edit->tool == LODEI_MINE_EXPLOSIVE)
            cr_assert(edit->radius >= 4 && edit->radius <= 10);
        else
            cr_assert(edit->radius >= 1 && edit->radius <= 1.5f);
    }
    free(edits);
}

/* --- Figures --- */

Test(figures, quantiles_are_samples)
{
    uint32_t ticks[1000];
    double tick_us = lodei_mine_tick_ns() / 1000;
    struct lodei_mine_spread spread;

    for (uint32_t i = 0; i < 1000; i++)
        ticks[i] = (i * 7919 + 13) % 1000 + 1; /* 1..1000 in disorder */
    spread = lodei_mine_spread(ticks, 1000);
    cr_assert_float_eq(spread.p50 / tick_us, 500, 1e-6);
    cr_assert_float_eq(spread.p99 / tick_us, 990, 1e-6);
    cr_assert_float_eq(spread.p999 / tick_us, 999, 1e-6);
    cr_assert_float_eq(spread.max / tick_us, 1000, 1e-6);
    cr_assert_float_eq(spread.mean / tick_us, 500.5, 1e-6);
    spread = lodei_mine_spread(ticks, 1);
    cr_assert_eq(spread.p50, spread.max);
    spread = lodei_mine_spread(ticks, 0);
    cr_assert(isnan(spread.p50) && isnan(spread.max));
}

Test(figures, a_meter_counts_every_operation_and_times_some)
{
    struct lodei_mine_meter meter;
    volatile unsigned done = 0;

    (void)lodei_mine_tick_ns();
    lodei_mine_meter_init(&meter);
    meter.phase = LODEI_MINE_EDIT;
    for (unsigned i = 0; i < LODEI_MINE_SAMPLED * 100; i++)
        LODEI_MINE_MEMORY(&meter, done++);
    cr_assert_eq(done, LODEI_MINE_SAMPLED * 100);
    cr_assert_eq(meter.phases[LODEI_MINE_EDIT].operations, LODEI_MINE_SAMPLED * 100);
    cr_assert_leq(meter.phases[LODEI_MINE_EDIT].sampled, 100);
    cr_assert_eq(meter.phases[LODEI_MINE_BUILD].operations, 0);
    cr_assert_eq(lodei_mine_meter_ns(&meter, LODEI_MINE_BUILD), 0);
    /* what the scheduler did is no sample */
    uint64_t sampled = meter.phases[LODEI_MINE_EDIT].sampled;
    lodei_mine_meter_add(&meter, (uint64_t)(1e9 / lodei_mine_tick_ns()));
    cr_assert_eq(meter.phases[LODEI_MINE_EDIT].sampled, sampled);
}

Test(figures, resident_memory_is_what_was_touched)
{
    size_t bytes = (size_t)64 << 20;
    uint64_t before = lodei_mine_resident_bytes();
    char *memory = malloc(bytes);

    memset(memory, 1, bytes);
    cr_assert_geq(lodei_mine_resident_bytes(), before + bytes);
    cr_assert_leq(lodei_mine_resident_bytes(), before + bytes + ((size_t)4 << 20));
    free(memory);
}
