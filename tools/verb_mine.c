/* SPDX-License-Identifier: MIT */
/*
 * `lode mine`: digs in a real world over the storage that --alloc names. The storage is a module
 * of its own, lode-mine-NAME.so, loaded here: this program links neither of them.
 */
#include <argp.h>
#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "argwords.h"
#include "libfind.h"
#include "minedraw.h"
#include "minereport.h"
#include "mineworld.h"
#include "modload.h"
#include "pages.h"
#include "verbs.h"
#include "xalloc.h"

enum {
    OPTION_ALLOC = 256,
    OPTION_EDITS,
    OPTION_SEED,
    OPTION_REPEAT,
    OPTION_WINDOW,
    OPTION_TIER,
    OPTION_CHANNELS,
    OPTION_DATA,
    OPTION_PICTURE,
    OPTION_SAMPLES,
    OPTION_LIB_DIR,
};
enum { DEFAULT_EDITS = 200000, MAX_EDITS = 100000000 };

/* The storages there are. */
static const char *const allocs[] = {"malloc",     "pools",       "malloc-in-place",
                                     "naive-node", "naive-voxel", "godot"};
/* From this one on they only hold the whole world, to be measured. */
enum { FIRST_FOR_SIZE = 3 };

static const char *const tiers[] = {"16", "8", "4", "distance"};
static const char *const channels[] = {"both", "distances", "nodes"};

struct request {
    const char *alloc, *data, *picture, *samples, *lib_dir;
    uint64_t threads, edits, seed, repeat;
    int32_t window[3]; /* bricks; 0: all there are */
    int tier;          /* -1: by distance */
    int channels;
    int json, for_size;
    int edits_given;
};

static void set_alloc(struct request *request, const char *arg, struct argp_state *state)
{
    int choice = LODEI_ARG_WORD("alloc", allocs, arg, state);

    request->alloc = allocs[choice];
    request->for_size = choice >= FIRST_FOR_SIZE;
}

/* What has no payloads, and what only holds the world, cannot be dug in. */
static void check(struct request *request, struct argp_state *state)
{
    int fixed = request->for_size || request->channels == LODEI_MINE_NODES;

    if (fixed && request->edits_given && request->edits > 0)
        argp_error(state, "--alloc=%s --channels=%s cannot be dug in: give no --edits",
                   request->alloc, channels[request->channels]);
    if (fixed)
        request->edits = 0;
    if (request->for_size)
        memset(request->window, 0, sizeof(request->window));
    if (request->for_size && request->picture != NULL)
        argp_error(state, "--alloc=%s has no --picture", request->alloc);
}

/* "all", or "XxYxZ" in voxels. */
static void set_window(struct request *request, const char *arg, struct argp_state *state)
{
    unsigned sides[3];
    int end = 0;

    memset(request->window, 0, sizeof(request->window));
    if (strcmp(arg, "all") == 0)
        return;
    /* no signs: sscanf() would take them; and as many digits as fit */
    if (strspn(arg, "0123456789x") != strlen(arg) ||
        sscanf(arg, "%9ux%9ux%9u%n", &sides[0], &sides[1], &sides[2], &end) != 3 ||
        arg[end] != '\0')
        argp_error(state, "--window: expected XxYxZ or all, got '%s'", arg);
    for (int axis = 0; axis < 3; axis++) {
        /* a miner's edits, and the slack with which the window follows it, have to fit in */
        if (sides[axis] % LODEI_MINE_SIDE != 0 || sides[axis] < 64)
            argp_error(state, "--window: sides are multiples of %d, at least 64", LODEI_MINE_SIDE);
        request->window[axis] = (int32_t)(sides[axis] / LODEI_MINE_SIDE);
    }
}

static error_t parse_world(int key, char *arg, struct argp_state *state)
{
    struct request *request = state->input;

    switch (key) {
    case OPTION_DATA:
        request->data = arg;
        return 0;
    case OPTION_REPEAT:
        lodei_arg_number("repeat", arg, 1, LODEI_MINE_REPEAT, &request->repeat, state);
        return 0;
    case OPTION_WINDOW:
        set_window(request, arg, state);
        return 0;
    case OPTION_TIER:
        request->tier = LODEI_ARG_WORD("tier", tiers, arg, state);
        request->tier = request->tier < LODEI_MINE_TIERS ? request->tier : -1;
        return 0;
    case OPTION_CHANNELS:
        request->channels = LODEI_ARG_WORD("channels", channels, arg, state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct request *request = state->input;

    switch (key) {
    case OPTION_ALLOC:
        set_alloc(request, arg, state);
        return 0;
    case 't':
        lodei_arg_number("threads", arg, 1, LODEI_MINE_LANES, &request->threads, state);
        return 0;
    case OPTION_EDITS:
        lodei_arg_number("edits", arg, 0, MAX_EDITS, &request->edits, state);
        request->edits_given = 1;
        return 0;
    case OPTION_SEED:
        lodei_arg_number("seed", arg, 0, UINT64_MAX, &request->seed, state);
        return 0;
    case 'j':
        request->json = 1;
        return 0;
    case OPTION_PICTURE:
        request->picture = arg;
        return 0;
    case OPTION_SAMPLES:
        request->samples = arg;
        return 0;
    case OPTION_LIB_DIR:
        request->lib_dir = arg;
        return 0;
    case ARGP_KEY_END:
        check(request, state);
        return 0;
    default:
        return parse_world(key, arg, state);
    }
}

static const struct argp_option options[] = {
    {"alloc", OPTION_ALLOC, "NAME", 0,
     "the storage: malloc (default), pools, malloc-in-place; or for its size only: naive-node, "
     "naive-voxel, godot",
     1},
    {"threads", 't', "N", 0, "1 or 2 (default: 1)", 1},
    {"edits", OPTION_EDITS, "N", 0, "of both lanes together (default: 200000)", 1},
    {"seed", OPTION_SEED, "N", 0, "of the miners (default: 1)", 1},
    {"json", 'j', NULL, 0, "as JSON", 1},
    {"picture", OPTION_PICTURE, "FILE", 0, "draw a slice of the terrain, by tier and by span", 1},
    {"samples", OPTION_SAMPLES, "FILE", 0, "write the time of every edit and shift, for scripts",
     1},
    {"data", OPTION_DATA, "DIR", 0, "where the world is", 2},
    {"repeat", OPTION_REPEAT, "N", 0, "N times the world along x and z, mirrored (default: 1)", 2},
    {"window", OPTION_WINDOW, "XxYxZ", 0,
     "voxels of each lane that are kept, or 'all' (default: 168x128x104)", 2},
    {"tier", OPTION_TIER, "BITS", 0, "16, 8 or 4 for all bricks (default: by distance)", 2},
    {"channels", OPTION_CHANNELS, "WHICH", 0,
     "both, distances, or nodes: no payloads at all (default: both)", 2},
    {"lib-dir", OPTION_LIB_DIR, "DIR", 0, "where the modules are", 2},
    {0},
};

static const struct argp argp = {
    .options = options,
    .parser = parse,
    .doc = "Dig in a real world and measure: the same work over Lode's pools or over malloc, "
           "which any preloaded library may serve.",
};

/* NULL after a message. */
static lodei_mine_runner *load(const struct request *request)
{
    char *name = lodei_xasprintf("lode-mine-%s.so", request->alloc);
    void *symbol = lodei_modload(request->lib_dir, name, "lodei_mine_run");

    free(name);
    return (lodei_mine_runner *)(uintptr_t)symbol;
}

/* All a run needs beside the module. */
struct session {
    const struct request *request;
    struct lodei_mine_world world;
    struct lodei_mine_config config;
    struct lodei_mine_result result;
};

/* Touched now: it is not to count as the storage's. */
static void *touched_pages(size_t count, size_t bytes)
{
    void *pages = lodei_pages_alloc(count, bytes);

    memset(pages, 0xff, count * bytes);
    return pages;
}

static void prepare(struct session *session)
{
    const struct request *request = session->request;
    const int32_t *sides = session->world.sides;
    struct lodei_mine_config *config = &session->config;

    config->world = &session->world;
    config->tier = request->tier;
    config->channels = (enum lodei_mine_channels)request->channels;
    config->threads = (unsigned)request->threads;
    for (unsigned l = 0; l < LODEI_MINE_LANES; l++) {
        struct lodei_mine_box box = lodei_mine_lane_box(sides, l);
        struct lodei_mine_lane_script *lane = &config->lanes[l];
        struct lodei_mine_edit *edits;

        lane->edit_count = (request->edits + l) / LODEI_MINE_LANES;
        edits = lodei_pages_alloc(lane->edit_count, sizeof(*edits));
        lodei_mine_script(&box, request->seed, edits, lane->edit_count);
        lane->edits = edits;
        lane->edit_ticks = touched_pages(lane->edit_count, sizeof(*lane->edit_ticks));
        lane->shifts = touched_pages(lane->edit_count, sizeof(*lane->shifts));
        for (int axis = 0; axis < 3; axis++) {
            int32_t side = box.high[axis] - box.low[axis], asked = request->window[axis];

            config->window[axis] = asked > 0 && asked < side ? asked : side;
        }
    }
    if (request->picture != NULL) {
        size_t bricks = (size_t)sides[0] * (size_t)sides[1];

        session->result.slice.bricks = touched_pages(bricks, sizeof(struct lodei_mine_slice_brick));
        session->result.slice.solid =
            touched_pages(bricks, (size_t)LODEI_MINE_SIDE * LODEI_MINE_SIDE);
        memset(session->result.slice.bricks, 0, bricks * sizeof(struct lodei_mine_slice_brick));
    }
}

static int draw(const struct session *session)
{
    struct lodei_picture picture;
    int fault;

    lodei_mine_draw(&session->result.slice, session->world.sides, &picture);
    fault = lodei_picture_write(&picture, session->request->picture);
    lodei_picture_finish(&picture);
    if (fault == 0 && !session->request->json)
        printf("%s: above, red 16 bits, yellow 8, blue 4, violet contents only, grey all one, "
               "white air;\nbelow, a hue for each 64 KiB of memory; dark is solid, black outside "
               "the window\n",
               session->request->picture);
    return fault;
}

/* Returns 0, or -1 when a file that was asked for could not be written. */
static int report(const struct session *session, const char *data, double load_s)
{
    const struct request *request = session->request;
    struct lodei_mine_run run = {.alloc = request->alloc,
                                 .malloc_owner = lodei_malloc_owner(),
                                 .data = data,
                                 .seed = request->seed,
                                 .edits = request->edits,
                                 .load_s = load_s,
                                 .config = &session->config,
                                 .result = &session->result};
    struct lodei_terminal terminal;
    int fault = 0;

    if (request->json) {
        lodei_mine_json(&run, stdout);
    } else {
        lodei_terminal_init(&terminal, stdout);
        lodei_mine_print(&run, &terminal);
        lodei_terminal_finish(&terminal);
    }
    if (request->samples != NULL)
        fault |= lodei_mine_samples(&run, request->samples);
    if (request->picture != NULL)
        fault |= draw(session);
    return fault;
}

static int run_session(const struct request *request, lodei_mine_runner *runner, const char *data)
{
    static struct session session;
    double tick_s = lodei_mine_tick_ns() / 1e9, load_s;
    uint64_t start = lodei_mine_ticks();
    int fault;

    session.request = request;
    if (lodei_mine_world_create(data, (uint32_t)request->repeat, &session.world) != 0)
        return LODEI_EXIT_BAD_INPUT;
    load_s = (double)(lodei_mine_ticks() - start) * tick_s;
    prepare(&session);
    fault = runner(&session.config, &session.result);
    if (fault != 0) {
        warnx("--alloc=%s: %s", request->alloc, strerror(-fault));
        return LODEI_EXIT_BAD_INPUT;
    }
    fault = report(&session, data, load_s);
    lodei_mine_world_finish(&session.world);
    return fault != 0 ? LODEI_EXIT_BAD_INPUT : 0;
}

int lodei_verb_mine(int argc, char **argv)
{
    struct request request = {.alloc = "malloc",
                              .threads = 1,
                              .edits = DEFAULT_EDITS,
                              .seed = 1,
                              .repeat = 1,
                              .window = {21, 16, 13},
                              .tier = -1};
    int status = LODEI_EXIT_BAD_INPUT;
    lodei_mine_runner *runner;
    char *data;

    if (argp_parse(&argp, argc, argv, 0, NULL, &request) != 0)
        return LODEI_EXIT_BAD_INPUT;
    runner = load(&request);
    data =
        request.data != NULL ? lodei_xstrdup(request.data) : lodei_libfind_data(LODEI_WORLD_FILE);
    if (data == NULL)
        warnx("the world is not where this program was installed: --data");
    if (runner != NULL && data != NULL)
        status = run_session(&request, runner, data);
    free(data);
    return status;
}
